//! The actions this installation has, by task type.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::action::{Action, Context, Error, Intent, Perform, Planned, Settle};
use crate::core::BoxFuture;
use crate::core::duration::Span;
use crate::playbook::model::{Playbook, Task};
use crate::playbook::run::Missing;

/// The actions, by task type. `Wait` and `Ask_Human` are the engine's own unless others are given; `Verify` and a `Wait`
/// with `until` are always its own.
#[derive(Clone)]
pub struct Registry(HashMap<&'static str, Arc<dyn Action>>);

impl Registry {
    /// With these actions; a later one of the same type replaces an earlier one.
    #[must_use]
    pub fn new(actions: Vec<Arc<dyn Action>>) -> Self {
        let own: [Arc<dyn Action>; 2] = [Arc::new(Wait), Arc::new(AskHuman)];
        Self(own.into_iter().chain(actions).map(|action| (action.kind(), action)).collect())
    }

    /// The action of a task type.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Action>> {
        self.0.get(kind)
    }

    /// The versions of the actions that a playbook uses and this installation has: they stand in the run's head.
    #[must_use]
    pub fn versions(&self, playbook: &Playbook) -> BTreeMap<String, u32> {
        let version = |task: &Task| Some((task.kind.clone(), self.get(&task.kind)?.version()));
        playbook.tasks.iter().filter_map(version).collect()
    }

    /// Which of the actions that a run was started with are not here, or not in a version that can go on with it.
    #[must_use]
    pub fn missing(&self, started_with: &BTreeMap<String, u32>) -> Vec<Missing> {
        let lacks = |(kind, version): (&String, &u32)| {
            let here = self.get(kind);
            (!here.is_some_and(|action| action.knows(*version))).then(|| Missing {
                kind: kind.clone(),
                version: *version,
                here: here.map(|action| action.version()),
            })
        };
        started_with.iter().filter_map(lacks).collect()
    }
}

fn as_read(parameters: &Value) -> Planned {
    Planned {
        object: String::new(),
        changes: Vec::new(),
        target: parameters.clone(),
        radius: String::new(),
        undo: None,
        details: Vec::new(),
    }
}

/// When a wait that began with this intent is over. The start is what the intent's target says, so that a crash does not
/// make the wait longer.
fn until(intent: &Intent) -> Result<crate::core::Timestamp, Error> {
    let text = intent.target.get("until").and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|_| Error::Permanent(format!("`{text}` is no time to wait for")))
}

fn with_end(context: &Context, parameters: &Value, key: &str, missing: Span) -> Result<Planned, Error> {
    let span = match parameters.get(key).and_then(Value::as_str) {
        Some(text) => text.parse::<Span>().map_err(|error| Error::Permanent(error.to_string()))?,
        None => missing,
    };
    let until = context.now.checked_add(span.0).map_err(|_| Error::Permanent(format!("{span} is too long")))?;
    let mut planned = as_read(parameters);
    if let Value::Object(target) = &mut planned.target {
        target.insert("until".to_owned(), json!(until));
        target.insert("since".to_owned(), json!(context.now));
    }
    Ok(planned)
}

/// Waits a time.
struct Wait;

impl Action for Wait {
    fn kind(&self) -> &'static str {
        "Wait"
    }
    fn settle(&self, _target: &Value) -> Settle {
        Settle::Repeat
    }
    fn plan<'a>(&'a self, context: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(std::future::ready(with_end(context, parameters, "for", Span::from_secs(0))))
    }
    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let done = until(intent).map(|until| {
            if context.now < until {
                return Perform::Wait { until, why: format!("waits until {until:.0}") };
            }
            let since =
                intent.target.get("since").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(until);
            Perform::Done(json!({"waited_seconds": until.duration_since(since).as_secs_f64()}))
        });
        Box::pin(std::future::ready(done))
    }
}

/// Asks people and waits for the answer, which comes as an order.
struct AskHuman;

impl Action for AskHuman {
    fn kind(&self) -> &'static str {
        "Ask_Human"
    }
    fn settle(&self, _target: &Value) -> Settle {
        Settle::Repeat
    }
    fn plan<'a>(&'a self, context: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(std::future::ready(with_end(context, parameters, "expires", Span::from_secs(30 * 60))))
    }
    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let question = intent.target.get("question").and_then(Value::as_str).unwrap_or_default().to_owned();
        let done = until(intent).and_then(|until| {
            if context.now < until {
                return Ok(Perform::Wait { until, why: question });
            }
            Err(Error::Permanent("nobody answered in time".to_owned()))
        });
        Box::pin(std::future::ready(done))
    }
}

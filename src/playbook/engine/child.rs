//! `Sub_Playbook`: a run of another playbook as one task of this one.
//!
//! The child is proposed under a key made of the parent's run and task, so that asking again after a crash finds the same
//! one. It has its own journal and asks for its own approvals: what the parent's approval covers ends at the parent. The
//! parent's task waits until the child has ended, however long, and through restarts; when the parent is to end, it has the
//! child cancelled and waits for that end too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::driver::{Driver, Landed};
use super::effects::Came;
use super::propose::{self, Wanted};
use super::{Engine, Said, journal};
use crate::core::RunId;
use crate::core::message::playbook as say;
use crate::playbook::Error;
use crate::playbook::run::{End, FailureKind, Parent, standing};
use crate::playbook::view::{Proposed, RunOutcome};
use crate::store;

/// A child is looked at this often where nothing wakes its parent earlier (another process may drive it).
const LOOK: Duration = Duration::from_secs(1);

/// Whether the run is to end, for the futures that wait for its children.
#[derive(Debug, Default)]
pub struct Stopping {
    set: AtomicBool,
    wakes: Notify,
}

impl Stopping {
    /// From now on; they are woken.
    pub fn set(&self) {
        if !self.set.swap(true, Ordering::SeqCst) {
            self.wakes.notify_waiters();
        }
    }
}

/// How a child ended.
pub(super) struct ChildEnd {
    /// What it came to.
    pub outcome: RunOutcome,
    /// One sentence.
    pub why: String,
    /// What it changed that stands.
    pub stays: Vec<String>,
}

impl Driver {
    /// Whether a step's task is a run of its own.
    pub(super) fn is_child(&self, index: usize) -> bool {
        self.status.head.tasks[index].kind == crate::playbook::run::CHILD
    }

    fn child_key(&self, index: usize) -> Option<String> {
        self.status.tasks[index].intent.as_ref().map(|intent| format!("child/{}", intent.idempotency_key))
    }

    /// Proposes the child, or finds the one that was.
    pub(super) fn call(&mut self, index: usize) {
        let (Some(intent), Some(key)) = (self.status.tasks[index].intent.clone(), self.child_key(index)) else {
            return;
        };
        let (engine, head) = (Engine(self.shared.clone()), self.status.head.clone());
        let parent = Parent { run: head.run, task: head.tasks[index].id.clone() };
        let mut line = head.line.clone();
        line.push(head.playbook.clone());
        let parameters = match intent.target.get("parameters") {
            Some(Value::Object(map)) => map.clone().into_iter().collect(),
            _ => std::collections::BTreeMap::new(),
        };
        let wanted = Wanted {
            playbook: intent.target["playbook"].as_str().unwrap_or_default().to_owned(),
            parameters,
            incident: head.incident,
            alert: head.alert,
            by: head.by,
            key,
            parent: Some(parent),
            line,
        };
        self.busy.insert(index);
        let now = self.shared.parts.clock.now();
        self.fly(async move {
            loop {
                let came = match propose::wanted(&engine, &wanted).await {
                    Ok(Proposed::New(run) | Proposed::Already(run)) => {
                        Came::Waits { until: now, why: say::waits_for(run) }
                    }
                    // Asking again would come to the same.
                    Err(error @ Error::Store(store::Error::TooLarge { .. } | store::Error::Encode(_))) => {
                        Came::Failed(FailureKind::Permanent, error.to_string())
                    }
                    // Whether it was proposed is not known: it is asked again under the same key.
                    Err(Error::Store(error)) => {
                        tracing::warn!(run = %wanted.key, %error, "a child run can't be proposed yet");
                        tokio::select! {
                            () = engine.0.stop.wait() => return Landed::Nothing(index),
                            () = engine.0.parts.clock.sleep(LOOK) => continue,
                        }
                    }
                    Err(error @ Error::NotNow(_)) => Came::Failed(FailureKind::Transient, error.to_string()),
                    Err(error) => Came::Failed(FailureKind::Permanent, error.to_string()),
                };
                return Landed::Came(index, came);
            }
        });
    }

    /// Waits for the child's end, and has it cancelled when this run is to end.
    pub(super) fn await_child(&mut self, index: usize) {
        let Some(key) = self.child_key(index) else { return };
        let (engine, stopping) = (Engine(self.shared.clone()), self.stopping.clone());
        let parent = self.status.head.run;
        self.busy.insert(index);
        self.fly(async move {
            loop {
                // Made before it is looked at, so that nothing in between is missed.
                let (child_ended, told) = (engine.0.child_ended.notified(), stopping.wakes.notified());
                let stops = stopping.set.load(Ordering::SeqCst);
                match ended(&engine, &key, parent, stops).await {
                    Ok(Some((run, end))) => return Landed::Child(index, run, end),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%parent, %error, "a child run can't be read"),
                }
                tokio::select! {
                    () = engine.0.stop.wait() => return Landed::Nothing(index),
                    () = child_ended => {}
                    () = told => {}
                    () = engine.0.parts.clock.sleep(LOOK) => {}
                }
            }
        });
    }
}

/// The end of the child that was proposed under a key; none as long as it goes on. One that should end is cancelled.
async fn ended(engine: &Engine, key: &str, parent: RunId, stops: bool) -> Result<Option<(RunId, ChildEnd)>, Error> {
    let store = &engine.0.parts.store;
    let Some(run) = propose::made_by(store, key).await? else { return Ok(None) };
    let Some(status) = journal::load(store, run).await? else {
        let why = format!("the journal of {run} is gone");
        return Err(store::Error::Corrupt { key: journal::status_key(run), why }.into());
    };
    if status.ended.is_none() && status.cancelled.is_none() && stops {
        // Nobody may drive it yet, right after a start: then it is said again at the next look.
        let _ = engine.say(run, Said::ParentEnds { parent }).await?;
    }
    let stays = standing(&status);
    Ok(status.ended.map(|End { outcome, why, .. }| (run, ChildEnd { outcome, why, stays })))
}

/// What a child gives its parent.
pub(super) fn output(run: RunId, end: &ChildEnd) -> Value {
    let changed = !end.stays.is_empty();
    json!({"run": run, "outcome": end.outcome, "why": end.why, "changed": changed, "stays": end.stays})
}

impl Engine {
    /// A run of this process has ended: a parent may wait for it.
    pub(super) fn wake_parents(shared: &Arc<super::Shared>) {
        shared.child_ended.notify_waiters();
    }
}

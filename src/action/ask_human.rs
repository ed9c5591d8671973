//! `Ask_Human`: waits until a person answers; the engine completes the task with the answer and who gave it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{json as to_json, parameters, reading, target};
use crate::core::duration::Span;
use crate::core::message::action as say;
use crate::core::{BoxFuture, Timestamp, text};
use crate::playbook::Action;
use crate::playbook::action::{Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "Ask_Human";

/// The executor.
pub struct AskHuman;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    question: String,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default = "half_an_hour")]
    expires: Span,
}

const fn half_an_hour() -> Span {
    Span::from_secs(30 * 60)
}

#[derive(Serialize, Deserialize)]
struct Target {
    question: String,
    options: Vec<String>,
    until: Timestamp,
}

impl Action for AskHuman {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }

    fn default_timeout(&self) -> Duration {
        // One look; how long the answer may take stands in the target.
        Duration::from_secs(5)
    }

    fn plan<'a>(&'a self, context: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let planned = parameters(KIND, value).and_then(|Parameters { question, options, expires }| {
            let until = context.now.checked_add(expires.0).map_err(|error| Error::Permanent(error.to_string()))?;
            let object = format!("question: {}", text::capped(&question, 200));
            Ok(reading(object, to_json(&Target { question, options, until })))
        });
        Box::pin(std::future::ready(planned))
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let looked = target(KIND, &intent.target).and_then(|Target { question, options, until }| {
            if context.now >= until {
                return Err(Error::Permanent(say::nobody_answered(&text::capped(&question, 200))));
            }
            let why = if options.is_empty() { question } else { format!("{question} ({})", options.join(", ")) };
            Ok(Perform::Wait { until, why })
        });
        Box::pin(std::future::ready(looked))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::action::testing::{context, intent, now};

    #[tokio::test]
    async fn it_waits_for_an_answer_until_its_time_is_over_also_after_a_crash() {
        let parameters = json!({"question": "Fail over?", "options": ["yes", "no"], "expires": "10m"});
        let planned = AskHuman.plan(&context(), &parameters).await.unwrap();
        let until = now() + Duration::from_secs(600);
        let waits = AskHuman.perform(&context(), &intent(planned.target.clone())).await.unwrap();
        assert_eq!(waits, Perform::Wait { until, why: "Fail over? (yes, no)".into() });
        let late = Context { now: until, ..context() };
        let over = AskHuman.perform(&late, &intent(planned.target)).await.unwrap_err();
        assert_eq!(over, Error::Permanent("nobody answered in time: Fail over?".into()));
    }
}

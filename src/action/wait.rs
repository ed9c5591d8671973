//! `Wait`: until a moment, which stands absolute in the target, so that a crash in between makes the wait no longer.
//! (`Wait` until a condition holds is the engine's own, like `Verify`: only it can read earlier outputs again.)

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{json as to_json, parameters, reading, target};
use crate::core::duration::{Span, human};
use crate::core::{BoxFuture, Timestamp};
use crate::playbook::Action;
use crate::playbook::action::{Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "Wait";

/// The executor.
pub struct Wait;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(rename = "for")]
    how_long: Span,
}

#[derive(Serialize, Deserialize)]
struct Target {
    from: Timestamp,
    until: Timestamp,
}

impl Action for Wait {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn plan<'a>(&'a self, context: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let planned = parameters(KIND, value).and_then(|Parameters { how_long }| {
            let from = context.now;
            let until = from.checked_add(how_long.0).map_err(|error| Error::Permanent(error.to_string()))?;
            Ok(reading(format!("wait {}", human(how_long.0)), to_json(&Target { from, until })))
        });
        Box::pin(std::future::ready(planned))
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let looked = target(KIND, &intent.target).map(|Target { from, until }| {
            if context.now < until {
                return Perform::Wait { until, why: format!("waits until {} UTC", until.strftime("%H:%M:%S")) };
            }
            let waited = until.duration_since(from).as_secs_f64();
            Perform::Done(json!({"waited_seconds": waited}))
        });
        Box::pin(std::future::ready(looked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::testing::{context, intent, now};

    #[tokio::test]
    async fn it_waits_until_the_moment_of_the_plan_however_often_it_is_looked_at() {
        let planned = Wait.plan(&context(), &json!({"for": "90s"})).await.unwrap();
        let intent = intent(planned.target);
        let until = now() + Duration::from_secs(90);
        for after in [0, 30, 89] {
            let context = Context { now: now() + Duration::from_secs(after), ..context() };
            let waits = Wait.perform(&context, &intent).await.unwrap();
            assert!(matches!(waits, Perform::Wait { until: at, .. } if at == until));
        }
        let context = Context { now: until, ..context() };
        assert_eq!(Wait.perform(&context, &intent).await.unwrap(), Perform::Done(json!({"waited_seconds": 90.0})));
    }
}

//! `pause`, `resume`, `cancel`, `retry`, `approve`, `reject`: what a person says about a run.

use serde_json::json;

use super::speaker::{Speaker, no_run_error};
use super::{Answer, No, data_of};
use crate::chat::Reply;
use crate::chat::grammar::Verb;
use crate::core::RunId;
use crate::core::message::command as say;
use crate::playbook::view::{Decided, Order};

pub(super) async fn order(speaker: &Speaker<'_>, verb: Verb, run: RunId, order: Order) -> Answer {
    speaker.run(run).await?;
    speaker.audit(verb.as_str(), run.to_string()).await?;
    let decided = speaker.deps.runs.order(run, order, speaker.person).await.map_err(no_run_error)?;
    let view = speaker.run(run).await?;
    let (ok, text, decided) = match decided {
        Decided::Done(text) => (true, text, "done"),
        Decided::Nothing(text) => (false, text, "nothing"),
        Decided::Refused(text) => (false, text, "refused"),
    };
    Ok(Reply { ok, text, card: None, data: json!({ "decided": decided, "run": data_of(&view)? }) })
}

/// The record must say why. A button's rejection is for the plan its card showed: of one that has been replaced meanwhile nothing is said.
pub(super) async fn reject(speaker: &Speaker<'_>, run: RunId, plan: Option<&str>, reason: Option<String>) -> Answer {
    let view = speaker.run(run).await?;
    if reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(No::Refused(say::reject_why(run)));
    }
    if let (Some(seen), Some(approval)) = (plan, &view.approval)
        && !approval.plan_hash.eq_ignore_ascii_case(seen)
    {
        return Err(No::Refused(say::plan_moved(run)));
    }
    order(speaker, Verb::Reject, run, Order::Reject { reason }).await
}

//! `answer`: what a run asks a person.

use super::speaker::Speaker;
use super::{Answer, No, order};
use crate::chat::grammar::Verb;
use crate::core::RunId;
use crate::core::message::command as say;
use crate::playbook::TaskState;
use crate::playbook::view::Order;

pub(super) async fn answer(speaker: &Speaker<'_>, run: RunId, task: Option<String>, answer: String) -> Answer {
    let task = match task {
        Some(task) => task,
        None => only_question(speaker, run).await?,
    };
    order::order(speaker, Verb::Answer, run, Order::Answer { task, answer }).await
}

/// The one task that waits for a person.
async fn only_question(speaker: &Speaker<'_>, run: RunId) -> Result<String, No> {
    let view = speaker.run(run).await?;
    let asks = view.tasks.iter().filter(|task| match task.state {
        TaskState::InDoubt => true,
        TaskState::Waiting => task.kind == "Ask_Human",
        _ => false,
    });
    let mut asks: Vec<String> = asks.map(|task| task.id.clone()).collect();
    match (asks.pop(), asks.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            asks.push(last);
            Err(No::Refused(say::asks_several(run, &asks)))
        }
        (None, _) => Err(No::Refused(say::asks_nothing(run))),
    }
}

//! What the engine has to tell people: an item of the `notice` queue in the commit that caused it, so that it is told
//! once however often the process dies.

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::model::{OnSuccess, Otherwise};
use super::run::{Event, FailureKind, Part, Stage, Status};
use super::view::RunOutcome;
use crate::core::message::playbook as say;
use crate::core::message::playbook_undo as undo;
use crate::core::{IncidentId, RunId, SharedClock};
use crate::store::{self, Batch, SharedStore};
use crate::work::{Queue, Shard};

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which run.
    pub run: RunId,
    /// For which incident: its thread is where it belongs.
    pub incident: Option<IncidentId>,
    /// The playbook's id.
    pub playbook: String,
    /// The task it is about; empty: the whole run.
    pub task: String,
    /// What it is.
    pub kind: NoticeKind,
    /// The sentence.
    pub says: String,
}

/// What a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A task is done, and its playbook wants that told.
    Success,
    /// A task failed.
    Failure,
    /// More people are needed.
    Escalation,
}

/// Takes notices; implemented above, where chats and on-call are known.
pub trait Notices: Send + Sync + 'static {
    /// Adds what makes the notice reach people to the batch. Must not do anything before the batch is durable.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    fn tell(&self, batch: &mut Batch, shard: Shard, notice: &Notice) -> Result<(), store::Error>;
}

/// What must be told after an event, with the status it led to.
#[must_use]
pub fn after(book: &Book, status: &Status, event: &Event) -> Vec<Notice> {
    let Some(index) = event.task().and_then(|task| status.index(task)) else { return of_run(status, event) };
    let undo = status.part(index).is_undo();
    let declared = &book.playbook.tasks[status.declared(index)];
    let (name, task) = (&status.head.tasks[index].name, &status.tasks[index]);
    let note = task.note.as_deref().unwrap_or_default();
    let notice = |kind: NoticeKind, says: String| Notice {
        run: status.head.run,
        incident: status.head.incident,
        playbook: status.head.playbook.clone(),
        task: status.head.tasks[index].id.clone(),
        kind,
        says,
    };
    let mut notices = Vec::new();
    // What can be said once for all items is: when the last is over.
    let item = matches!(status.part(index), Part::Item { .. });
    if task.stage == Stage::Succeeded && !undo && !item && declared.on_success == OnSuccess::SendNotification {
        notices.push(notice(NoticeKind::Success, say::notice_success(name, task.note.as_deref())));
    }
    if task.stage == Stage::InDoubt {
        notices.push(notice(NoticeKind::Escalation, say::notice_doubt(name, note)));
    }
    if task.stage == Stage::Failed && undo {
        notices.push(notice(NoticeKind::Escalation, say::notice_not_undone(name, note)));
    } else if task.stage == Stage::Failed && !(item && declared.on_failure.continues()) {
        let otherwise = declared.verify.as_ref().map_or(Otherwise::Fail, |verify| verify.otherwise);
        let unverified = task.failure.is_some_and(FailureKind::is_unverified) && otherwise != Otherwise::Fail;
        // Who is called reads the same there.
        let kind = if declared.on_failure.escalates() || unverified {
            Some(NoticeKind::Escalation)
        } else {
            declared.on_failure.notifies().then_some(NoticeKind::Failure)
        };
        let says = say::notice_failure(name, note, declared.on_failure.continues());
        notices.extend(kind.map(|kind| notice(kind, says)));
    }
    notices
}

/// What is told about the whole run: the ends that nobody asked for.
#[must_use]
pub(super) fn of_run(status: &Status, event: &Event) -> Vec<Notice> {
    let head = &status.head;
    let of_run = |kind: NoticeKind, says: String| Notice {
        run: head.run,
        incident: head.incident,
        playbook: head.playbook.clone(),
        task: String::new(),
        kind,
        says,
    };
    match event {
        Event::GlassBroken { vote } => {
            let reason = vote.reason.as_deref().unwrap_or_default();
            return vec![of_run(NoticeKind::Escalation, say::notice_glass(&vote.name, reason))];
        }
        Event::Allowed { ask, policy, used } => {
            let names = ask.tasks.iter().filter_map(|task| Some(head.tasks[status.index(task)?].name.as_str()));
            let names: Vec<&str> = names.collect();
            let says = say::notice_allowed(&names, &policy.id, *used, policy.limits.per_day);
            return vec![of_run(NoticeKind::Success, says)];
        }
        // Everyone waits for an answer while the system is as nobody wants it.
        Event::Asked { ask } if status.unwinding.is_some() => {
            let name = ask.tasks.first().and_then(|task| status.index(task)).map(|step| &status.head.tasks[step].name);
            let difference = ask.difference.join("; ");
            let says = undo::notice_asks(name.map_or("", String::as_str), &difference);
            return vec![of_run(NoticeKind::Escalation, says)];
        }
        // The end says it.
        Event::Expired if status.unwinding.is_some() => return Vec::new(),
        Event::Held { why } => return vec![of_run(NoticeKind::Escalation, say::notice_held(why))],
        Event::Unwinding { undo, why } => {
            let names = undo.iter().filter_map(|task| Some(status.head.tasks[status.index(task)?].name.as_str()));
            let says = say::notice_unwinding(&names.collect::<Vec<_>>(), why);
            return vec![of_run(NoticeKind::Failure, says)];
        }
        Event::Ended { outcome, why } if *outcome != RunOutcome::Stuck && status.unwinding.is_some() => {
            return vec![of_run(NoticeKind::Failure, say::notice_end(&head.playbook, why))];
        }
        _ => {}
    }
    let why = match event {
        Event::Expired => say::end_expired(),
        Event::Ended { outcome: RunOutcome::Stuck, why } => why.clone(),
        Event::Ended { outcome: RunOutcome::Failed, why } if status.at >= head.deadline => why.clone(),
        _ => return Vec::new(),
    };
    vec![ended(head.run, head.incident, head.playbook.clone(), &why)]
}

/// A run has ended in a way that a person must look at.
#[must_use]
pub(super) fn ended(run: RunId, incident: Option<IncidentId>, playbook: String, why: &str) -> Notice {
    let says = say::notice_end(&playbook, why);
    Notice { run, incident, playbook, task: String::new(), kind: NoticeKind::Escalation, says }
}

/// Notices as items of the queue named `notice`.
pub struct QueuedNotices(Queue<Notice>);

impl QueuedNotices {
    /// The queue's name.
    pub const QUEUE: &'static str = "notice";

    /// Into the queue of this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self(Queue::new(Self::QUEUE, store, clock))
    }
}

impl Notices for QueuedNotices {
    fn tell(&self, batch: &mut Batch, shard: Shard, notice: &Notice) -> Result<(), store::Error> {
        self.0.push(batch, shard, notice).map(|_| ())
    }
}

impl store::Record for Notice {}

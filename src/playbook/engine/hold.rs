//! A run whose playbook is whole, and that this Mayday can't read: a newer one wrote it, with a task type that this one does
//! not know. It stays open and says what it waits for; a Mayday that can read it goes on with it. Meanwhile nobody drives it,
//! and all that a person may do is end it, as long as it has changed nothing.

use super::commit::{Lost, Pending, commit};
use super::journal::Journaled;
use super::{Engine, Error, Said, shard_of, share};
use crate::core::message::playbook as say;
use crate::playbook::notices;
use crate::playbook::run::{Event, FailureKind, Stage, Status};
use crate::playbook::view::{Decided, Order, RunOutcome};
use crate::store;

/// Writes down that a run waits, and tells people: once.
///
/// # Errors
/// The store's.
pub async fn unreadable(engine: &Engine, status: Status, why: String) -> Result<(), Error> {
    if status.held.as_ref() == Some(&why) || status.ended.is_some() {
        return Ok(());
    }
    tracing::error!(run = %status.head.run, %why, "a run waits");
    write(engine, status, vec![Event::Held { why }], Pending::default()).await.map(|_| ())
}

/// What an order to a run that waits here comes to; none if it is not such a run.
///
/// # Errors
/// The store's.
pub async fn order(
    engine: &Engine,
    status: &Status,
    said: &Said,
    taken: Option<&share::Taken>,
) -> Result<Option<Decided>, store::Error> {
    let Some(why) = status.held.clone().filter(|_| status.ended.is_none()) else { return Ok(None) };
    let unread = matches!(engine.book_of(status).await, Err(Error::NotHere(_)));
    if !unread || engine.0.parts.leases.of(shard_of(status.head.run)).is_none() {
        return Ok(None);
    }
    let now = engine.0.parts.clock.now();
    if matches!(said, Said::Order { order, .. } if !matches!(order, Order::Cancel | Order::Reject { .. })) {
        return Ok(Some(Decided::Nothing(say::not_while_held(status.head.run, &why))));
    }
    let answer = said.decide(status, now);
    if answer.events.is_empty() {
        return Ok(Some(answer.says));
    }
    if status.touched {
        return Ok(Some(Decided::Nothing(say::not_now(status.head.run, &say::changed_while_held()))));
    }
    let mut events = answer.events;
    if let Some(ended) = events.iter().find_map(end) {
        // Nothing was changed, so what was under way only read; nobody here can go on with it.
        let under_way = status.tasks.iter().zip(&status.head.tasks).filter(|(task, _)| task.stage == Stage::Running);
        events.extend(under_way.map(|(_, task)| Event::Failed {
            task: task.id.clone(),
            kind: FailureKind::NotAvailable,
            why: why.clone(),
            retry_at: None,
            output: None,
        }));
        events.push(ended);
    }
    let mut pending = Pending { audit: answer.audit.into_iter().collect(), ..Pending::default() };
    pending.taken.extend(taken.map(|taken| (taken.clone(), answer.says.clone())));
    match write(engine, status.clone(), events, pending).await {
        Ok(()) => Ok(Some(answer.says)),
        Err(Error::Store(error)) => Err(error),
        Err(error) => Ok(Some(Decided::Nothing(error.to_string()))),
    }
}

/// How a run ends that has changed nothing and is ended by a decision.
fn end(decision: &Event) -> Option<Event> {
    match decision {
        Event::Cancelled { by, .. } => {
            Some(Event::Ended { outcome: RunOutcome::Cancelled, why: say::end_cancelled(by) })
        }
        Event::Rejected { name, reason, .. } => {
            let why = say::end_rejected(name, reason.as_deref());
            Some(Event::Ended { outcome: RunOutcome::Rejected, why })
        }
        _ => None,
    }
}

async fn write(engine: &Engine, mut status: Status, events: Vec<Event>, mut pending: Pending) -> Result<(), Error> {
    let (shared, run) = (&engine.0, status.head.run);
    let now = shared.parts.clock.now();
    // Another process's: that one writes it.
    let Some(lease) = shared.parts.leases.of(shard_of(run)) else { return Ok(()) };
    for event in events {
        status.step(&event, now).map_err(|illegal| store::Error::Corrupt {
            key: super::journal::status_key(run),
            why: illegal.to_string(),
        })?;
        pending.notices.extend(notices::of_run(&status, &event));
        pending.events.push(Journaled { at: now, event });
    }
    match commit(shared, &lease, &status, &pending).await {
        Ok(()) => Ok(()),
        Err(Lost::Store(error)) => Err(error.into()),
        Err(Lost::Lease | Lost::Crashed | Lost::Illegal(_)) => {
            let why = format!("{run} is not this process's any more; try again");
            Err(store::Error::Unavailable(why).into())
        }
    }
}

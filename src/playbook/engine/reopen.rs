//! An order to a run that has ended. One that is stuck because an undo failed goes on when a person says so, and one whose
//! parent takes back what was done takes back its own: it is opened again in one commit with that decision. Everything else
//! changes nothing.

use std::time::Duration;

use super::commit::{Lost, Pending, commit_with};
use super::journal::open_key;
use super::propose::{Made, lock_key};
use super::{Engine, Said, shard_of, share};
use crate::core::message::playbook as say;
use crate::playbook::Error;
use crate::playbook::run::{Status, apply};
use crate::playbook::view::Decided;
use crate::store::{self, Batch};

/// How long the task of a run that has just ended may take to let go of it.
const LET_GO: Duration = Duration::from_secs(2);

/// Answers, and opens the run again if what is said does that.
pub(super) async fn answer(
    engine: &Engine,
    ended: &Status,
    said: &Said,
    taken: Option<&share::Taken>,
) -> Result<Decided, Error> {
    let shared = &engine.0;
    let now = shared.parts.clock.now();
    let answer = said.decide(ended, now);
    if answer.events.is_empty() {
        return Ok(answer.says);
    }
    let run = ended.head.run;
    // Another replica's: only the holder of its shard may open it again.
    let Some(lease) = shared.parts.leases.of(shard_of(run)) else {
        return share::ask_holder(engine, run, said.clone()).await;
    };
    let book = engine.book_of(ended).await?;
    let begun = std::time::Instant::now();
    while engine.mailbox(run).is_some() && begun.elapsed() < LET_GO {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut status = ended.clone();
    let mut pending = Pending::default();
    for event in answer.events {
        status = apply(&event, now, Some(status)).map_err(|illegal| store::Error::Corrupt {
            key: super::journal::status_key(run),
            why: illegal.to_string(),
        })?;
        pending.events.push(super::journal::Journaled { at: now, event });
    }
    pending.audit.extend(answer.audit);
    pending.taken.extend(taken.map(|taken| (taken.clone(), answer.says.clone())));
    let mut batch = Batch::new();
    let made = Made::new(run, now);
    batch.put(open_key(run), &made)?;
    let lock = status.head.lock.as_deref().map(lock_key);
    if let Some(lock) = &lock {
        batch.require_absent(lock.clone());
        batch.put(lock.clone(), &made)?;
    }
    match commit_with(shared, &lease, batch, &status, &pending).await {
        Ok(()) => {
            engine.spawn(status, book);
            Ok(answer.says)
        }
        Err(Lost::Store(store::Error::Conflict(key))) if Some(&key) == lock.as_ref() => {
            let other = shared.parts.store.read(&key).await?.and_then(|entry| entry.decode::<Made>().ok());
            let other = other.map_or_else(|| "another run".to_owned(), |made| made.run.to_string());
            Ok(Decided::Nothing(say::reopen_blocked(run, &other)))
        }
        Err(Lost::Store(error)) => Err(error.into()),
        Err(Lost::Lease | Lost::Crashed | Lost::Illegal(_)) => {
            let why = format!("{} of {run} is not this process's any more; try again", shard_of(run).key());
            Err(store::Error::Unavailable(why).into())
        }
    }
}

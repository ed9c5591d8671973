//! `Sub_Playbook`: a run of another playbook as one task of this one.
//!
//! The child is proposed under a key made of the parent's run and task, so that asking again after a crash finds the same
//! one. It has its own journal and asks for its own approvals: what the parent's approval covers ends at the parent. The
//! parent's task waits until the child has ended, however long, and through restarts; when the parent is to end, it has the
//! child cancelled and waits for that end too. When the parent unwinds and the task says `rollback: inverse`, the child is opened
//! again and takes back what it did, under the rights it was done by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::driver::{Driver, Landed};
use super::effects::Came;
use super::propose::{self, Wanted};
use super::{Engine, Said, journal, reopen};
use crate::core::RunId;
use crate::core::message::playbook as say;
use crate::playbook::Error;
use crate::playbook::action::Intent;
use crate::playbook::run::{CHILD, Done, End, FailureKind, Parent, Stage, Status, standing, stops};
use crate::playbook::view::{Decided, Proposed, RunOutcome};
use crate::store::{self, SharedStore};

/// A child is looked at this often where nothing wakes its parent earlier (another process may drive it).
const LOOK: Duration = Duration::from_secs(1);

/// An order to another replica is not repeated for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

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
        self.status.tasks[index].intent.as_ref().map(key_of)
    }

    /// Proposes the child, or finds the one that was. A run that is to end by now begins none.
    pub(super) fn call(&mut self, index: usize) {
        let (Some(intent), Some(key)) = (self.status.tasks[index].intent.clone(), self.child_key(index)) else {
            return;
        };
        let (engine, head) = (Engine(self.shared.clone()), self.status.head.clone());
        let parent = Parent { run: head.run, task: head.tasks[index].id.clone(), again: self.status.is_again() };
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
            fence: Some(self.lease.clone()),
        };
        self.busy.insert(index);
        let now = self.shared.parts.clock.now();
        let ends = stops(&self.book, &self.status, now);
        self.fly(async move {
            loop {
                let proposed = if ends {
                    propose::made_by(&engine.0.parts.store, &wanted.key).await.map_err(Error::from)
                } else {
                    propose::wanted(&engine, &wanted)
                        .await
                        .map(|(Proposed::New(run) | Proposed::Already(run))| Some(run))
                };
                let came = match proposed {
                    Ok(Some(run)) => Came::Waits { until: now, why: say::waits_for(run) },
                    Ok(None) => Came::Failed(FailureKind::Permanent, say::part_not_begun()),
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

impl Driver {
    /// Has the child that an undo step is about take back what it did.
    pub(super) fn take_back(&mut self, index: usize) {
        let Some(key) = self.taken_back(index) else { return };
        let (engine, parent) = (Engine(self.shared.clone()), self.status.head.run);
        self.busy.insert(index);
        let now = self.shared.parts.clock.now();
        self.fly(async move {
            loop {
                let came = match ask_to_take_back(&engine, &key, parent).await {
                    Ok(Asked::Waits(run)) => Came::Waits { until: now, why: say::waits_for(run) },
                    Ok(Asked::Nothing) => Came::Done(json!({"changed": false, "stays": []})),
                    Ok(Asked::NotNow(why)) => Came::Failed(FailureKind::Transient, why),
                    // Asking again would come to the same. What a later Mayday wrote is whole: it is waited for.
                    Err(Error::Store(error @ store::Error::Corrupt { .. })) => {
                        Came::Failed(FailureKind::Permanent, error.to_string())
                    }
                    Err(Error::Store(error)) => {
                        tracing::warn!(%parent, %error, "a child run can't be asked to take back what it did yet");
                        tokio::select! {
                            () = engine.0.stop.wait() => return Landed::Nothing(index),
                            () = engine.0.parts.clock.sleep(LOOK) => continue,
                        }
                    }
                    Err(error) => Came::Failed(FailureKind::Permanent, error.to_string()),
                };
                return Landed::Came(index, came);
            }
        });
    }

    /// Waits until it has.
    pub(super) fn await_taken_back(&mut self, index: usize) {
        let Some(key) = self.taken_back(index) else { return };
        let (engine, parent) = (Engine(self.shared.clone()), self.status.head.run);
        self.busy.insert(index);
        self.fly(async move {
            let mut told: Option<Instant> = None;
            loop {
                let child_ended = engine.0.child_ended.notified();
                match child_of(&engine, &key).await {
                    // Who was to open it again may have died before that.
                    Ok(None) => return Landed::Came(index, Came::Done(json!({"changed": false, "stays": []}))),
                    // An order that has not been answered is on its way: the shard may be changing hands.
                    Ok(Some((_, status)))
                        if status.may_be_taken_back() && told.is_some_and(|told| told.elapsed() < ON_ITS_WAY) => {}
                    Ok(Some((run, status))) if status.may_be_taken_back() => {
                        told = Some(Instant::now());
                        match tell(&engine, run, Said::ParentUndoes { parent }).await {
                            Ok(Decided::Done(_)) => {}
                            // It can't be opened: another try is made like any other, and after the last one people are
                            // told. Unless an earlier order has opened it meanwhile.
                            Ok(Decided::Nothing(why) | Decided::Refused(why)) => {
                                let still = child_of(&engine, &key).await;
                                if matches!(still, Ok(Some((_, status))) if status.may_be_taken_back()) {
                                    return Landed::Came(index, Came::Failed(FailureKind::Transient, why));
                                }
                            }
                            Err(error) => {
                                tracing::warn!(%parent, %error, "a child run can't be asked to take back what it did yet");
                            }
                        }
                    }
                    Ok(Some((run, status))) => {
                        if let Some(end) = ended_as(&status) {
                            return Landed::Child(index, run, end);
                        }
                    }
                    Err(Error::Store(error @ store::Error::Corrupt { .. })) => {
                        return Landed::Came(index, Came::Failed(FailureKind::Permanent, error.to_string()));
                    }
                    Err(error) => tracing::warn!(%parent, %error, "a child run can't be read"),
                }
                tokio::select! {
                    () = engine.0.stop.wait() => return Landed::Nothing(index),
                    () = child_ended => {}
                    () = engine.0.parts.clock.sleep(LOOK) => {}
                }
            }
        });
    }

    fn taken_back(&self, index: usize) -> Option<String> {
        self.status.tasks[index].intent.as_ref().and_then(back_key)
    }
}

fn back_key(undo: &Intent) -> Option<String> {
    undo.target["child"].as_str().map(str::to_owned)
}

/// The run that a step of another waits for, which takes it for a part or has it take back what it did; none if it waits
/// for no run, or that never came about.
///
/// # Errors
/// The store's.
pub async fn part_of(store: &SharedStore, status: &Status, index: usize) -> Result<Option<RunId>, store::Error> {
    let waits = matches!(status.tasks[index].stage, Stage::Waits { .. });
    let intent = status.tasks[index].intent.as_ref().filter(|_| waits && status.head.tasks[index].kind == CHILD);
    let key = |intent: &Intent| if status.part(index).is_undo() { back_key(intent) } else { Some(key_of(intent)) };
    match intent.and_then(key) {
        Some(key) => propose::made_by(store, &key).await,
        None => Ok(None),
    }
}

/// What the undo of a child run is about: the key that it was proposed under.
pub(super) fn to_take_back(done: &Done) -> Option<Value> {
    done.intent.as_ref().map(|intent| json!({"child": key_of(intent)}))
}

fn key_of(intent: &Intent) -> String {
    format!("child/{}", intent.idempotency_key)
}

/// What came of asking a child to take back what it did.
enum Asked {
    /// Its end is waited for.
    Waits(RunId),
    /// There never was one.
    Nothing,
    /// It can't now, and why.
    NotNow(String),
}

async fn ask_to_take_back(engine: &Engine, key: &str, parent: RunId) -> Result<Asked, Error> {
    let Some((run, status)) = child_of(engine, key).await? else { return Ok(Asked::Nothing) };
    let stuck = status.ended.is_some() && status.failed_undo().is_some();
    if !status.may_be_taken_back() && !stuck {
        return Ok(Asked::Waits(run));
    }
    Ok(match tell(engine, run, Said::ParentUndoes { parent }).await? {
        Decided::Done(_) => Asked::Waits(run),
        Decided::Nothing(why) | Decided::Refused(why) => Asked::NotNow(why),
    })
}

async fn tell(engine: &Engine, run: RunId, said: Said) -> Result<Decided, Error> {
    match engine.say(run, said.clone()).await? {
        Ok(decided) => Ok(decided),
        Err(ended) => reopen::answer(engine, &ended, &said, None).await,
    }
}

/// The child that was proposed under a key, as it stands; none if that never came about.
async fn child_of(engine: &Engine, key: &str) -> Result<Option<(RunId, Status)>, Error> {
    let store = &engine.0.parts.store;
    let Some(run) = propose::made_by(store, key).await? else { return Ok(None) };
    match journal::load(store, run).await? {
        Some(status) => Ok(Some((run, status))),
        None => Err(store::Error::Corrupt { key: journal::status_key(run), why: say::child_gone() }.into()),
    }
}

fn ended_as(status: &Status) -> Option<ChildEnd> {
    let End { outcome, why, .. } = status.ended.clone()?;
    Some(ChildEnd { outcome, why, stays: standing(status) })
}

/// The end of the child that was proposed under a key; none as long as it goes on. One that should end is cancelled.
async fn ended(engine: &Engine, key: &str, parent: RunId, stops: bool) -> Result<Option<(RunId, ChildEnd)>, Error> {
    let Some((run, status)) = child_of(engine, key).await? else { return Ok(None) };
    if status.ended.is_none() && status.cancelled.is_none() && stops {
        // Nobody may drive it yet, right after a start: then it is said again at the next look.
        let _ = engine.say(run, Said::ParentEnds { parent }).await?;
    }
    Ok(ended_as(&status).map(|end| (run, end)))
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

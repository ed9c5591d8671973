//! Standing policies: where people allowed a class of change in advance, nobody is asked for it.
//!
//! A policy is asked right before people would be. What it has allowed in the last 24 hours stands in one record for each
//! policy, which the commit that allows something requires to be as it was read: of two runs, on whatever replicas, that want
//! the last change that is left one gets it. Where a policy does not cover everything that would be asked together, people are
//! asked for all of it. Never covered are a task that says who approves it, a program whose risk its playbook does not say,
//! what a person runs, and what moved since it was allowed. The library holds only playbooks that people wrote.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commit::Lost;
use super::driver::{Driver, Landed};
use crate::access::{Actor, Asked, AuditRecord, Right, Risk, StandingPolicy};
use crate::core::message::access as say;
use crate::core::{RunId, Timestamp};
use crate::playbook::book::Book;
use crate::playbook::model::Undo;
use crate::playbook::run::{Ask, Event, Head, Rollback, TaskPlan, risk};
use crate::playbook::tasks;
use crate::store::{self, Batch, Key, Record, Revision, SharedStore};

/// A change counts against its policy for so long.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a policy has allowed in the last 24 hours.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Used {
    allowed: Vec<Allowed>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Allowed {
    at: Timestamp,
    run: RunId,
    changes: u32,
}

impl Record for Used {}

impl Used {
    fn count(&self) -> u32 {
        self.allowed.iter().map(|allowed| allowed.changes).sum()
    }
}

/// A policy that covers a request, and what it had allowed when that was read.
#[derive(Debug)]
pub(super) struct Cover {
    policy: StandingPolicy,
    used: Used,
    read: Option<Revision>,
}

/// What the commit that allows a change writes down of it.
#[derive(Debug)]
pub(super) struct Count {
    policy: String,
    changes: u32,
    used: Used,
    read: Option<Revision>,
}

impl Count {
    /// Into the batch, if nobody else was faster.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn write(&self, batch: &mut Batch) -> Result<(), store::Error> {
        batch.require_as_read(key(&self.policy), self.read);
        batch.put(key(&self.policy), &self.used)?;
        Ok(())
    }

    /// It is durable.
    pub fn tell(&self) {
        let changes = u64::from(self.changes);
        metrics::counter!("mayday_playbook_allowed_total", "policy" => self.policy.clone()).increment(changes);
    }
}

/// Whether policies are asked for the approval that a run wants.
#[derive(Debug, Default)]
pub(super) enum Consulted {
    /// Not yet.
    #[default]
    No,
    /// For the plan with this hash; the answer is on its way.
    Asking(String),
    /// None covers it, or this one does.
    Answered(String, Option<Box<Cover>>),
}

fn key(policy: &str) -> Key {
    Key::of(["standing", policy])
}

/// Whether this is where policies count what they allowed.
pub(super) fn is_count(of: &Key) -> bool {
    of.is_under(&Key::of(["standing"]))
}

/// What a policy has allowed in the last 24 hours.
///
/// # Errors
/// The store's.
async fn used(store: &SharedStore, policy: &str, now: Timestamp) -> Result<(Used, Option<Revision>), store::Error> {
    let Some(entry) = store.read(&key(policy)).await? else { return Ok((Used::default(), None)) };
    let mut used = entry.decode::<Used>()?;
    used.allowed.retain(|allowed| allowed.at.checked_add(DAY).is_ok_and(|over| over > now));
    Ok((used, Some(entry.revision)))
}

/// How many more changes a policy allows now.
///
/// # Errors
/// The store's.
pub(super) async fn left(store: &SharedStore, policy: &StandingPolicy, now: Timestamp) -> Result<u32, store::Error> {
    Ok(policy.left(used(store, &policy.id, now).await?.0.count()))
}

/// The first of these policies that has so many changes left.
async fn with_room(
    store: SharedStore,
    policies: Vec<StandingPolicy>,
    changes: u32,
    now: Timestamp,
) -> Option<Box<Cover>> {
    for policy in policies {
        match used(&store, &policy.id, now).await {
            Ok((used, read)) if policy.left(used.count()) >= changes => {
                return Some(Box::new(Cover { policy, used, read }));
            }
            Ok(_) => tracing::info!(policy = %policy.id, "{}", say::policy_used(&policy.id, policy.limits.per_day)),
            // Then people decide.
            Err(error) => {
                tracing::warn!(policy = %policy.id, %error, "it can't be told what a standing policy has allowed")
            }
        }
    }
    None
}

/// A planned change as a policy sees it, and how it is undone, where that is known: a policy must cover both.
pub(super) fn asked<'a>(book: &Book, head: &'a Head, declared: usize, plan: &'a TaskPlan) -> Vec<Asked<'a>> {
    let task = &book.playbook.tasks[declared];
    let undone_by = match task.undone_by() {
        Some(Undo::Task(by)) => book.playbook.tasks.iter().find(|other| other.id == by),
        Some(Undo::Inverse) | None => None,
    };
    // What nobody said how bad it is counts as what can't be taken back.
    let known = std::iter::once(task).chain(undone_by).all(tasks::risk_is_known);
    let risk = if known { risk(book, task) } else { Risk::Destructive };
    let undo = match &plan.rollback {
        Some(Rollback::Known { planned, .. }) => Some(planned.service()),
        // What is only known later is asked for then.
        Some(Rollback::Later { .. }) | None => None,
    };
    let services = std::iter::once(plan.planned.service()).chain(undo);
    services.map(|service| Asked { risk, playbook: &head.playbook, service }).collect()
}

impl Driver {
    /// People are to be asked: unless a policy covers all of it. Whether something was written down; if not, the answer of
    /// the policies is still on its way.
    pub(super) fn ask(&mut self, ask: Box<Ask>, now: Timestamp) -> Result<bool, Lost> {
        let covering = self.covering(&ask);
        if covering.is_empty() {
            self.consulted = Consulted::No;
            return self.record(Event::Asked { ask }, now).map(|()| true);
        }
        match std::mem::take(&mut self.consulted) {
            Consulted::Answered(of, None) if of == ask.request.plan_hash => {
                self.record(Event::Asked { ask }, now).map(|()| true)
            }
            Consulted::Answered(of, Some(cover)) if of == ask.request.plan_hash && covering.contains(&cover.policy) => {
                if !self.pending.is_empty() {
                    // Alone in its commit: where another run was faster, nothing else is lost with it.
                    self.consulted = Consulted::Answered(of, Some(cover));
                    self.wake_at(now);
                    return Ok(false);
                }
                self.before_allowed = Some(Box::new(self.status.clone()));
                self.allow(ask, *cover, now).map(|()| true)
            }
            Consulted::Asking(of) if of == ask.request.plan_hash => {
                self.consulted = Consulted::Asking(of);
                Ok(false)
            }
            // What has just been allowed must count when the next is asked.
            _ if !self.pending.counts.is_empty() => {
                self.wake_at(now);
                Ok(false)
            }
            _ => {
                let (hash, store) = (ask.request.plan_hash.clone(), self.shared.parts.store.clone());
                self.consulted = Consulted::Asking(hash.clone());
                let changes = u32::try_from(ask.tasks.len()).unwrap_or(u32::MAX);
                self.flights
                    .begin(async move { Landed::Consulted(hash, with_room(store, covering, changes, now).await) });
                Ok(false)
            }
        }
    }

    /// The policies have answered.
    pub(super) fn consulted(&mut self, hash: String, found: Option<Box<Cover>>) {
        if matches!(&self.consulted, Consulted::Asking(of) if *of == hash) {
            self.consulted = Consulted::Answered(hash, found);
        }
    }

    /// The policies that cover each of the changes, however often they have been used.
    fn covering(&self, ask: &Ask) -> Vec<StandingPolicy> {
        let covers = |policy: &&StandingPolicy| {
            ask.tasks.iter().all(|task| {
                let Some(index) = self.status.index(task) else { return false };
                let Some(plan) = &self.status.tasks[index].plan else { return false };
                let asked = asked(&self.book, &self.status.head, self.status.declared(index), plan);
                self.declared(index).approval.is_none() && asked.iter().all(|asked| policy.covers(asked).is_ok())
            })
        };
        // What a person runs, or has started again, they have approved by those who may. What moved since it was allowed, and an undo that is not the
        // one that was allowed with its change, is no routine any more.
        let by_itself = matches!(self.status.head.by, Actor::Mayday(_));
        if !by_itself || self.status.is_again() || !ask.difference.is_empty() || self.status.unwinding.is_some() {
            return Vec::new();
        }
        self.shared.parts.standing.iter().filter(covers).cloned().collect()
    }

    fn allow(&mut self, ask: Box<Ask>, cover: Cover, now: Timestamp) -> Result<(), Lost> {
        let Cover { policy, mut used, read } = cover;
        let (run, changes) = (self.status.head.run, u32::try_from(ask.tasks.len()).unwrap_or(u32::MAX));
        used.allowed.push(Allowed { at: now, run, changes });
        let count = used.count();
        self.pending.audit.push(AuditRecord {
            actor: Actor::Mayday("playbook".to_owned()),
            action: "allow".to_owned(),
            subject: run.to_string(),
            detail: json!({
                "playbook": self.status.head.playbook, "plan": ask.request.plan_hash, "tasks": ask.tasks,
                "policy": policy.id, "used": count,
            }),
            right: Some(Right::StandingPolicy { id: policy.id.clone(), limits: policy.limits.clone() }),
        });
        self.pending.counts.push(Count { policy: policy.id.clone(), changes, used, read });
        self.record(Event::Allowed { ask, policy, used: count }, now)
    }

    /// The policy that a change went by, as people want it now; to undo one, as it was: what was done may be undone whatever is
    /// allowed by then.
    ///
    /// # Errors
    /// It is not there any more.
    pub(super) fn policy_now<'a>(&'a self, then: &'a StandingPolicy, undo: bool) -> Result<&'a StandingPolicy, String> {
        let now = || self.shared.parts.standing.iter().find(|policy| policy.id == then.id);
        if undo { Ok(then) } else { now().ok_or_else(|| say::policy_gone(&then.id)) }
    }
}

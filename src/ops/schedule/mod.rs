//! The scheduler: playbooks and jobs at set times.
//!
//! For each schedule the store has up to which tick each of its timetables was decided (`schedule/<id>`, `state.rs`). A tick is taken by one commit that
//! requires this record as it was read, moves it on, and queues what is to be done; so it is taken once, however many
//! replicas look, and what it asks for is done also if the process ends right after. A playbook is proposed with the key
//! `schedule/<id>/<tick>`, so handling the item twice makes one run. A job may be done twice after a crash; jobs stand that.
//!
//! Bounds: of missed ticks at most [`RUN_ALL`] are made up for, out of [`LOOK_BACK`]; a tick that is taken up to
//! [`GRACE`] late was not missed.

mod done;
mod options;
mod state;
mod timetable;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use done::{Job, Jobs, Tick};
pub use options::{JOBS, Missed, Options};
pub use timetable::Timetable;

use crate::chat::{ChannelId, Post};
use crate::core::message::schedule as say;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::ops::delivery;
use crate::playbook::Runs;
use crate::store::{self, Batch, Key, SharedStore};
use crate::work::{Leases, Queue, Shard, serve};
use state::State;

/// Missed ticks that are made up for at most.
const RUN_ALL: usize = 24;
/// Ticks that lie further back are forgotten.
const LOOK_BACK: Duration = Duration::from_secs(31 * 86_400);
/// A tick this late was not missed: the loop, or a short restart, was in the way.
const GRACE: Duration = Duration::from_secs(60);
/// A tick that another replica was faster at is looked at again so often, and then at the next look.
const AGAIN: usize = 8;
/// The loop looks this often at least: the machine's clock may be set.
const POLL: Duration = Duration::from_secs(30);
/// The name of the queue with ticks that are to be carried out.
pub const QUEUE: &str = "schedule";

/// What can't be: a schedule that the check would have refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schedules: `{id}`: `{key}` {why}")]
pub struct BadSchedule {
    /// Which.
    pub id: String,
    /// At which key.
    pub key: &'static str,
    /// Why.
    pub why: String,
}

/// A schedule with its times.
#[derive(Debug, Clone)]
struct Plan {
    options: Options,
    times: Timetable,
}

impl Plan {
    fn key(&self) -> Key {
        Key::of(["schedule", &self.options.id])
    }

    fn written(&self) -> String {
        Timetable::text(&self.options.cron, &self.options.zone)
    }
}

/// A schedule as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// The playbook or job.
    pub what: String,
    /// Its pattern.
    pub cron: String,
    /// Its time zone.
    pub zone: String,
    /// What becomes of missed ticks.
    pub missed: &'static str,
    /// The next ticks.
    pub next: Vec<Timestamp>,
    /// The same as the zone's clocks show them.
    pub next_local: Vec<String>,
    /// The newest tick that something was done for.
    pub last: Option<Timestamp>,
}

/// What the scheduler needs from other rooms.
#[derive(Clone)]
pub struct Deps {
    /// Where everything is kept.
    pub store: SharedStore,
    /// Time.
    pub clock: SharedClock,
    /// The engine.
    pub runs: Arc<dyn Runs>,
    /// What schedules may name as jobs.
    pub jobs: Jobs,
    /// Where people are told of what was proposed, or could not be.
    pub channel: ChannelId,
}

/// Takes ticks and carries them out. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    deps: Deps,
    plans: Arc<[Plan]>,
    queue: Queue<Tick>,
    posts: Queue<Post>,
}

impl Scheduler {
    /// Over these schedules.
    ///
    /// # Errors
    /// [`BadSchedule`].
    pub fn new(deps: Deps, schedules: Vec<Options>) -> Result<Self, BadSchedule> {
        let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
        for options in schedules {
            let bad = |(key, why)| BadSchedule { id: options.id.clone(), key, why };
            if let Some(problem) = options.problems().into_iter().next() {
                return Err(bad(problem));
            }
            let times = options.timetable().map_err(bad)?;
            let id = options.id.clone();
            if plans.insert(id.clone(), Plan { options, times }).is_some() {
                return Err(BadSchedule { id, key: "id", why: say::twice() });
            }
        }
        let queue = Queue::new(QUEUE, deps.store.clone(), deps.clock.clone());
        let posts = Queue::new(delivery::QUEUE, deps.store.clone(), deps.clock.clone());
        Ok(Self { plans: plans.into_values().collect(), deps, queue, posts })
    }

    /// Takes ticks, and carries out what was taken, until asked to stop.
    pub async fn run(self, leases: Arc<Leases>, stop: Stop) {
        let handler = Arc::new(self.clone());
        tokio::join!(
            serve(self.queue.clone(), leases, self.deps.clock.clone(), handler, stop.clone()),
            self.take_until(stop),
        );
    }

    async fn take_until(&self, stop: Stop) {
        while !stop.is_set() {
            let wait = match self.take_due().await {
                Ok(next) => next.and_then(|next| Duration::try_from(next.duration_since(self.deps.clock.now())).ok()),
                Err(error) => {
                    tracing::warn!(%error, "scheduled work can't be looked up");
                    None
                }
            };
            let wait = wait.unwrap_or(POLL).clamp(Duration::from_millis(50), POLL);
            tokio::select! {
                () = stop.wait() => {}
                () = self.deps.clock.sleep(wait) => {}
            }
        }
    }

    /// Takes every tick that is due; gives when the next one is.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_due(&self) -> Result<Option<Timestamp>, store::Error> {
        let now = self.deps.clock.now();
        for plan in self.plans.iter() {
            let mut left = AGAIN;
            loop {
                match self.take(plan, now).await {
                    // Another replica was faster, perhaps with another timetable: what that leaves is this one's, and now.
                    Err(store::Error::Conflict(_)) if left > 0 => left -= 1,
                    Ok(()) | Err(store::Error::Conflict(_)) => break,
                    // The others go on.
                    Err(error @ (store::Error::Corrupt { .. } | store::Error::TooNew { .. })) => {
                        tracing::error!(schedule = plan.options.id, %error, "a schedule does not run: what it has decided can't be read");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.plans.iter().filter_map(|plan| plan.times.next(now)).min())
    }

    async fn take(&self, plan: &Plan, now: Timestamp) -> Result<(), store::Error> {
        let key = plan.key();
        let entry = self.deps.store.read(&key).await?;
        let known: Option<State> = entry.as_ref().map(store::Entry::decode).transpose()?;
        let (mut state, must) = State::taken_up(known, plan.written(), now);
        let (newest, ticks) = due(plan, state.until(), now);
        let (elsewhere, own): (VecDeque<Timestamp>, VecDeque<Timestamp>) =
            newest.iter().partition(|tick| state.is_decided_elsewhere(**tick));
        let chosen: Vec<Timestamp> =
            chosen(plan.options.missed, &newest, now).into_iter().filter(|tick| own.contains(tick)).collect();
        match newest.back() {
            Some(until) => state.decide(*until, chosen.last().copied()),
            None if must => {}
            None => return Ok(()),
        }
        let mut batch = Batch::new();
        batch.require_as_read(key.clone(), entry.map(|entry| entry.revision));
        for tick in &chosen {
            self.queue.push(&mut batch, Shard::of(key.as_str()), &Tick::of(&plan.options, *tick))?;
        }
        batch.put(key, &state)?;
        self.deps.store.commit(batch).await?;
        let id = &plan.options.id;
        metrics::counter!("mayday_ops_schedule_ticks_total", "schedule" => id.clone()).increment(chosen.len() as u64);
        let left_out = ticks - elsewhere.len() - chosen.len();
        if left_out > 0 {
            tracing::warn!(schedule = id, left_out, policy = plan.options.missed.as_str(), "ticks were missed");
        }
        Ok(())
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<Listed>, store::Error> {
        let now = self.deps.clock.now();
        let mut listed = Vec::with_capacity(self.plans.len());
        for plan in self.plans.iter() {
            // That it can't be read is told by the log.
            let state = self.deps.store.read(&plan.key()).await?.and_then(|entry| entry.decode::<State>().ok());
            let next: Vec<Timestamp> =
                std::iter::successors(plan.times.next(now), |at| plan.times.next(*at)).take(3).collect();
            listed.push(Listed {
                id: plan.options.id.clone(),
                what: plan.options.what().to_owned(),
                cron: plan.options.cron.clone(),
                zone: plan.options.zone.clone(),
                missed: plan.options.missed.as_str(),
                next_local: next.iter().map(|at| plan.times.shown(*at)).collect(),
                next,
                last: state.and_then(|state| state.last),
            });
        }
        Ok(listed)
    }
}

/// The newest ticks after `until` and up to now, oldest first, and how many there are in all.
fn due(plan: &Plan, until: Timestamp, now: Timestamp) -> (VecDeque<Timestamp>, usize) {
    let from = now.checked_sub(LOOK_BACK).map_or(until, |earliest| until.max(earliest));
    let (mut newest, mut ticks) = (VecDeque::with_capacity(RUN_ALL), 0);
    let mut next = plan.times.next(from);
    while let Some(tick) = next.filter(|tick| *tick <= now) {
        if newest.len() == RUN_ALL {
            newest.pop_front();
        }
        newest.push_back(tick);
        ticks += 1;
        next = plan.times.next(tick);
    }
    (newest, ticks)
}

/// Which of the due ticks something is done for, oldest first.
fn chosen(missed: Missed, newest: &VecDeque<Timestamp>, now: Timestamp) -> Vec<Timestamp> {
    let in_time = |tick: &Timestamp| tick.checked_add(GRACE).is_ok_and(|latest| latest >= now);
    let wanted = |at: usize, tick: &Timestamp| match missed {
        Missed::Skip => in_time(tick),
        Missed::RunOnce => in_time(tick) || at + 1 == newest.len(),
        Missed::RunAll => true,
    };
    newest.iter().enumerate().filter(|(at, tick)| wanted(*at, tick)).map(|(_, tick)| *tick).collect()
}

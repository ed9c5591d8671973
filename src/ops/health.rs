//! How Mayday itself is, part by part; the worst part wins. One report for `/health`, `mayday health` and the command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::delivery::Outbox;
use super::telemetry::Telemetry;
use crate::core::message::ops as say;
use crate::core::{BoxFuture, SharedClock, Timestamp};
use crate::store::{Key, SharedStore};
use crate::work::Shard;
use crate::work::queue::heads_of;

/// How a part is. Ordered: each is worse than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does what it should.
    Well,
    /// It does it late or not wholly; people should look.
    Degraded,
    /// It does not do it.
    Down,
}

impl State {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `store`, `queues`, `playbooks` …
    pub name: String,
    /// How it is.
    pub state: State,
    /// One sentence.
    pub says: String,
}

impl Part {
    /// A part.
    pub fn new(name: impl Into<String>, state: State, says: impl Into<String>) -> Self {
        Self { name: name.into(), state, says: says.into() }
    }
}

/// All parts, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst part's.
    pub state: State,
    /// Each part.
    pub parts: Vec<Part>,
    /// When it was asked.
    pub at: Timestamp,
}

impl Report {
    /// Whether `/health` answers 200: a degraded Mayday still takes alerts, and must not be restarted for it.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        !matches!(self.state, State::Down)
    }
}

/// Looks at one part. Must not change anything.
pub trait Check: Send + Sync + 'static {
    /// The part's name.
    fn name(&self) -> &'static str;
    /// How it is now.
    fn check(&self) -> BoxFuture<'_, Part>;
}

/// A part has so long to answer; then it is down.
const DEADLINE: Duration = Duration::from_secs(2);

/// Asks all parts. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    checks: Arc<[Arc<dyn Check>]>,
    clock: SharedClock,
}

impl Health {
    /// Over these parts, reported in this order.
    #[must_use]
    pub fn new(checks: Vec<Arc<dyn Check>>, clock: SharedClock) -> Self {
        Self { checks: checks.into(), clock }
    }

    /// Every part, asked side by side, each with a deadline of 2 s.
    pub async fn report(&self) -> Report {
        let asked = self.checks.iter().map(|check| async move {
            let answer = tokio::time::timeout(DEADLINE, check.check()).await;
            answer.unwrap_or_else(|_| Part::new(check.name(), State::Down, say::no_answer(DEADLINE)))
        });
        let parts = futures_util::future::join_all(asked).await;
        let state = parts.iter().map(|part| part.state).max().unwrap_or(State::Well);
        metrics::gauge!("mayday_ops_health_state").set(f64::from(state as u8));
        Report { state, parts, at: self.clock.now() }
    }
}

/// The store answers a read, and takes commits as far as it knows itself.
pub struct StoreCheck(pub SharedStore);

/// A read that takes longer is slow.
const SLOW: Duration = Duration::from_millis(500);

impl Check for StoreCheck {
    fn name(&self) -> &'static str {
        "store"
    }

    fn check(&self) -> BoxFuture<'_, Part> {
        Box::pin(async move {
            if let Some(why) = self.0.failed() {
                return Part::new(self.name(), State::Down, say::store_failed(&why));
            }
            let began = Instant::now();
            match self.0.read(&Key::of(["lease", &Shard(0).key()])).await {
                Err(error) => Part::new(self.name(), State::Down, say::store_down(&error.to_string())),
                Ok(_) if began.elapsed() > SLOW => {
                    Part::new(self.name(), State::Degraded, say::store_slow(began.elapsed()))
                }
                Ok(_) => Part::new(self.name(), State::Well, say::store_answers(began.elapsed())),
            }
        })
    }
}

/// No item of a queue waits long after it was due.
pub struct QueuesCheck {
    /// Where they are.
    pub store: SharedStore,
    /// Time.
    pub clock: SharedClock,
    /// Their names.
    pub queues: &'static [&'static str],
}

/// The queues of this Mayday.
pub const QUEUES: &[&str] =
    &["incident", "signal", "investigate", "run-changed", "notice", "schedule", "order", "post"];

/// An item that is due this long ago is late.
const LATE: Duration = Duration::from_secs(15);

impl QueuesCheck {
    async fn age(&self, queue: &str) -> Result<Duration, crate::store::Error> {
        let now = self.clock.now();
        let first = heads_of(&self.store, queue).await?.into_iter().map(|(_, _, due)| due).min().unwrap_or(now);
        let oldest = Duration::try_from(now.duration_since(first)).unwrap_or_default();
        metrics::gauge!("mayday_work_queue_age_seconds", "queue" => queue.to_owned()).set(oldest.as_secs_f64());
        Ok(oldest)
    }
}

impl Check for QueuesCheck {
    fn name(&self) -> &'static str {
        "queues"
    }

    fn check(&self) -> BoxFuture<'_, Part> {
        Box::pin(async move {
            let mut late = Vec::new();
            let ages = futures_util::future::join_all(self.queues.iter().map(|queue| self.age(queue)));
            // A slow store is no reason to take this replica out of service, and perhaps all of them at once.
            let Ok(ages) = tokio::time::timeout(DEADLINE.mul_f32(0.75), ages).await else {
                return Part::new(self.name(), State::Degraded, say::store_slow(DEADLINE.mul_f32(0.75)));
            };
            for (queue, age) in self.queues.iter().zip(ages) {
                match age {
                    Ok(age) if age > LATE => late.push(((*queue).to_owned(), age)),
                    Ok(_) => {}
                    Err(error) => return Part::new(self.name(), State::Down, say::store_down(&error.to_string())),
                }
            }
            if late.is_empty() {
                Part::new(self.name(), State::Well, say::queues_fine(self.queues.len()))
            } else {
                Part::new(self.name(), State::Degraded, say::queues_late(&late))
            }
        })
    }
}

/// Posts reach their chats.
pub struct DeliveryCheck {
    /// Where dead letters are.
    pub store: SharedStore,
    /// Time.
    pub clock: SharedClock,
}

/// A post given up longer ago is history.
const RECENT: Duration = Duration::from_secs(3600);

impl Check for DeliveryCheck {
    fn name(&self) -> &'static str {
        "chat delivery"
    }

    fn check(&self) -> BoxFuture<'_, Part> {
        Box::pin(async move {
            let since = self.clock.now() - RECENT;
            match Outbox::dead_letters(&self.store, 100).await {
                Err(error) => Part::new(self.name(), State::Down, say::store_down(&error.to_string())),
                Ok(letters) => {
                    let recent: Vec<_> = letters.into_iter().filter(|letter| letter.at >= since).collect();
                    match recent.first() {
                        None => Part::new(self.name(), State::Well, say::delivery_fine()),
                        Some(newest) => {
                            let says = say::delivery_lost(recent.len(), RECENT, &newest.why);
                            Part::new(self.name(), State::Degraded, says)
                        }
                    }
                }
            }
        })
    }
}

/// A part that answers without waiting: what is loaded, what is watched.
pub struct Ask<F> {
    /// The part's name.
    pub name: &'static str,
    /// How it is and one sentence.
    pub ask: F,
}

impl<F: Fn() -> (State, String) + Send + Sync + 'static> Check for Ask<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self) -> BoxFuture<'_, Part> {
        let (state, says) = (self.ask)();
        Box::pin(std::future::ready(Part::new(self.name, state, says)))
    }
}

/// The process itself: how long it is up, and the memory it uses.
pub struct ProcessCheck(pub Telemetry);

impl Check for ProcessCheck {
    fn name(&self) -> &'static str {
        "process"
    }

    fn check(&self) -> BoxFuture<'_, Part> {
        Box::pin(async move {
            let says = say::process(self.0.uptime(), self.0.resident_bytes());
            Part::new(self.name(), State::Well, says)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::ManualClock;
    use crate::incident::Signal;
    use crate::store::Batch;
    use crate::store::memory::Memory;
    use crate::work::Queue;

    fn clock() -> ManualClock {
        ManualClock::at(Timestamp::from_second(1_795_000_000).unwrap())
    }

    fn part(name: &'static str, state: State) -> Arc<dyn Check> {
        Arc::new(Ask { name, ask: move || (state, String::new()) })
    }

    #[tokio::test]
    async fn the_worst_part_wins_and_only_a_part_that_is_down_takes_mayday_down() {
        let health = |checks| Health::new(checks, Arc::new(clock()));
        let report = health(vec![part("a", State::Well), part("b", State::Degraded)]).report().await;
        assert_eq!((report.state, report.is_up()), (State::Degraded, true));
        let report = health(vec![part("a", State::Down), part("b", State::Degraded)]).report().await;
        assert_eq!((report.state, report.is_up(), report.parts.len()), (State::Down, false, 2));
    }

    /// Reads work, and nothing is taken any more.
    struct Full(SharedStore);

    impl crate::store::Store for Full {
        fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<crate::store::Entry>, crate::store::Error>> {
            self.0.read(key)
        }
        fn scan<'a>(
            &'a self,
            range: &'a crate::store::Range,
        ) -> BoxFuture<'a, Result<Vec<crate::store::Entry>, crate::store::Error>> {
            self.0.scan(range)
        }
        fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<crate::store::Revision, crate::store::Error>> {
            self.0.commit(batch)
        }
        fn failed(&self) -> Option<String> {
            Some("no space left on device".to_owned())
        }
        fn watch(&self, prefix: &Key) -> crate::store::Watch {
            self.0.watch(prefix)
        }
    }

    #[tokio::test]
    async fn a_store_that_takes_no_more_commits_is_down_though_it_still_reads() {
        assert_eq!(StoreCheck(Memory::shared()).check().await.state, State::Well);
        let part = StoreCheck(Arc::new(Full(Memory::shared()))).check().await;
        assert_eq!(part.state, State::Down);
        assert!(part.says.contains("no space left on device"), "{}", part.says);
    }

    #[tokio::test]
    async fn a_queue_whose_item_waits_too_long_is_named_with_its_age() {
        let clock = clock();
        let (store, shared): (_, SharedClock) = (Memory::shared(), Arc::new(clock.clone()));
        let queue: Queue<Signal> = Queue::new("signal", store.clone(), shared.clone());
        let mut batch = Batch::new();
        queue.push(&mut batch, Shard(3), &Signal::Resolved { incident: crate::core::IncidentId::new(1) }).unwrap();
        store.commit(batch).await.unwrap();
        let check = QueuesCheck { store, clock: shared, queues: QUEUES };
        assert_eq!(check.check().await.state, State::Well);
        clock.advance(Duration::from_secs(40));
        let part = check.check().await;
        assert_eq!((part.state, part.says.as_str()), (State::Degraded, "signal is 40 s behind"));
    }
}

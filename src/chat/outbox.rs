//! Delivery of posts to their chats: in order per channel, retried with a growing pause, given up visibly.
//!
//! Pure of the queue: [`Delivery::deliver`] takes the posts that are due and says what became of each; the room that
//! serves the queue writes that down in one commit.
//!
//! * A channel whose chat says "later" holds back its own posts only; other channels go on.
//! * Of several versions of one slot that wait together only the newest is shown.
//! * What is refused, or still fails after [`Options::attempts`] tries, is a dead letter: kept, counted, and shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChannelId, Chat, Error, Post};
use crate::core::duration::Span;
use crate::core::{SharedClock, Timestamp};

/// How patiently posts are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// After so many failed tries a post is a dead letter. With the pauses below the default lasts about an hour.
    pub attempts: u32,
    /// Pause after the first failure; doubles with each further one.
    pub first_pause: Span,
    /// The longest pause.
    pub longest_pause: Span,
    /// The chat must have taken a post within this time, else it counts as a failure.
    pub timeout: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempts: 20,
            first_pause: Span::from_secs(1),
            longest_pause: Span::from_secs(300),
            timeout: Span::from_secs(10),
        }
    }
}

/// What became of one post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The chat has it.
    Shown,
    /// A newer version of the same message waited with it, so it was not needed any more.
    Superseded,
    /// It failed; try again then.
    Failed {
        /// When.
        until: Timestamp,
    },
    /// It was not tried, since its channel is held back; not a failure of its own.
    Held {
        /// Until when.
        until: Timestamp,
    },
    /// It will not be shown.
    Dead {
        /// Why.
        why: String,
    },
}

/// A post that was given up, as it is kept for people to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The post.
    pub post: Post,
    /// Why.
    pub why: String,
    /// When it was given up.
    pub at: Timestamp,
}

impl crate::store::Record for DeadLetter {}

/// A post that is due, and how often it failed.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What to show.
    pub post: Post,
    /// Failed tries so far.
    pub failures: u32,
}

/// Hands posts to the chats.
pub struct Delivery {
    chats: BTreeMap<&'static str, Arc<dyn Chat>>,
    clock: SharedClock,
    options: Options,
    /// Channels that asked to wait, and until when. Forgotten at a restart: then posts of such a channel may overtake
    /// each other once, which their versions make harmless.
    held: Mutex<HashMap<ChannelId, Timestamp>>,
}

impl Delivery {
    /// A delivery to these chats.
    #[must_use]
    pub fn new(chats: Vec<Arc<dyn Chat>>, clock: SharedClock, options: Options) -> Self {
        let chats = chats.into_iter().map(|chat| (chat.name(), chat)).collect();
        Self { chats, clock, options, held: Mutex::default() }
    }

    /// Delivers posts; the answer has one fate per post, in the same order. Channels are served side by side, the posts
    /// of one channel one after the other.
    pub async fn deliver(&self, waiting: &[Waiting]) -> Vec<Fate> {
        let mut channels: BTreeMap<&ChannelId, Vec<usize>> = BTreeMap::new();
        for (index, item) in waiting.iter().enumerate() {
            channels.entry(&item.post.channel).or_default().push(index);
        }
        let served = channels.into_iter().map(|(channel, indexes)| self.serve(channel, waiting, indexes));
        let mut fates = vec![Fate::Superseded; waiting.len()];
        for (index, fate) in futures_util::future::join_all(served).await.into_iter().flatten() {
            fates[index] = fate;
        }
        fates
    }

    async fn serve(&self, channel: &ChannelId, waiting: &[Waiting], indexes: Vec<usize>) -> Vec<(usize, Fate)> {
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for index in &indexes {
            let post = &waiting[*index].post;
            let version = newest.entry(&post.slot).or_default();
            *version = post.version.max(*version);
        }
        let mut fates = Vec::with_capacity(indexes.len());
        let mut held = self.held_until(channel);
        for index in indexes {
            let item = &waiting[index];
            let fate = if newest.get(item.post.slot.as_str()).is_some_and(|version| *version > item.post.version) {
                Fate::Superseded
            } else if let Some(until) = held {
                Fate::Held { until }
            } else {
                self.one(item).await
            };
            if let Fate::Failed { until } = &fate {
                held = Some(*until);
                self.hold(channel, *until);
            }
            fates.push((index, fate));
        }
        fates
    }

    async fn one(&self, item: &Waiting) -> Fate {
        let post = &item.post;
        let Some(chat) = self.chats.get(post.channel.chat.as_str()) else {
            return Fate::Dead { why: format!("no chat `{}` is configured", post.channel.chat) };
        };
        let shown = tokio::time::timeout(self.options.timeout.0, chat.show(post)).await.unwrap_or_else(|_| {
            Err(Error::Later { why: format!("no answer within {}", self.options.timeout), after_ms: 0 })
        });
        match shown {
            Ok(()) => {
                self.record_delay(post);
                Fate::Shown
            }
            Err(Error::Refused(why)) => Fate::Dead { why },
            Err(Error::Later { why, .. }) if item.failures + 1 >= self.options.attempts => {
                Fate::Dead { why: format!("given up after {} tries: {why}", item.failures + 1) }
            }
            Err(Error::Later { why, after_ms }) => {
                metrics::counter!("mayday_chat_delivery_failures_total", "chat" => chat.name()).increment(1);
                tracing::warn!(chat = chat.name(), channel = %post.channel.name, slot = %post.slot, %why, "a post waits");
                let pause = self.pause(item.failures).max(Duration::from_millis(after_ms));
                Fate::Failed { until: self.clock.now() + pause }
            }
        }
    }

    fn pause(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.min(16));
        self.options.first_pause.0.saturating_mul(factor).min(self.options.longest_pause.0)
    }

    fn held_until(&self, channel: &ChannelId) -> Option<Timestamp> {
        let now = self.clock.now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, until| *until > now);
        held.get(channel).copied()
    }

    fn hold(&self, channel: &ChannelId, until: Timestamp) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(channel.clone(), until);
    }

    /// From "said" to "shown", for the first version of a card.
    fn record_delay(&self, post: &Post) {
        if post.version <= 1 && matches!(post.content, super::Content::Card(_)) {
            let delay = self.clock.now().duration_since(post.at).as_secs_f64().max(0.0);
            metrics::histogram!("mayday_card_delay_seconds").record(delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Content;
    use crate::core::BoxFuture;
    use crate::core::clock::ManualClock;

    /// Takes everything but what is posted to `busy`, and remembers what it showed.
    #[derive(Default)]
    struct Fake {
        shown: Mutex<Vec<String>>,
        up: std::sync::atomic::AtomicBool,
    }

    impl Chat for Fake {
        fn name(&self) -> &'static str {
            "web"
        }
        fn show<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<(), Error>> {
            Box::pin(async move {
                match post.channel.name.as_str() {
                    "busy" if !self.up.load(std::sync::atomic::Ordering::Relaxed) => {
                        Err(Error::Later { why: "429".into(), after_ms: 5_000 })
                    }
                    "gone" => Err(Error::Refused("no such channel".into())),
                    _ => {
                        self.shown.lock().unwrap().push(format!("{}@{}", post.slot, post.version));
                        Ok(())
                    }
                }
            })
        }
    }

    fn waiting(channel: &str, slot: &str, version: u64, failures: u32) -> Waiting {
        let post = Post {
            channel: ChannelId::web(channel),
            slot: slot.into(),
            thread: None,
            version,
            author: "Mayday".into(),
            at: Timestamp::UNIX_EPOCH,
            content: Content::Text("text".into()),
        };
        Waiting { post, failures }
    }

    #[tokio::test]
    async fn a_busy_channel_holds_back_its_own_posts_in_order_and_nobody_elses() {
        let chat = Arc::new(Fake::default());
        let clock = ManualClock::at(Timestamp::from_second(1_000).unwrap());
        let delivery = Delivery::new(vec![chat.clone()], Arc::new(clock.clone()), Options::default());
        let items = [waiting("busy", "a", 1, 0), waiting("orders", "x", 1, 0), waiting("busy", "b", 1, 0)];
        let until = Timestamp::from_second(1_005).unwrap();
        let fates = delivery.deliver(&items).await;
        assert_eq!(fates, [Fate::Failed { until }, Fate::Shown, Fate::Held { until }]);
        assert_eq!(
            delivery.deliver(&[waiting("busy", "c", 1, 0)]).await,
            [Fate::Held { until }],
            "later ones queue up"
        );
        clock.advance(Duration::from_secs(5));
        chat.up.store(true, std::sync::atomic::Ordering::Relaxed);
        let again = [waiting("busy", "a", 1, 1), waiting("busy", "b", 1, 0), waiting("busy", "c", 1, 0)];
        assert!(delivery.deliver(&again).await.iter().all(|fate| *fate == Fate::Shown));
        assert_eq!(*chat.shown.lock().unwrap(), ["x@1", "a@1", "b@1", "c@1"]);
    }

    #[tokio::test]
    async fn of_several_versions_that_wait_only_the_newest_is_shown() {
        let chat = Arc::new(Fake::default());
        let delivery =
            Delivery::new(vec![chat.clone()], Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)), Options::default());
        let items =
            [waiting("orders", "INC-7", 3, 0), waiting("orders", "INC-7", 5, 0), waiting("orders", "INC-7", 4, 0)];
        assert_eq!(delivery.deliver(&items).await, [Fate::Superseded, Fate::Shown, Fate::Superseded]);
        assert_eq!(*chat.shown.lock().unwrap(), ["INC-7@5"]);
    }

    #[tokio::test]
    async fn what_is_refused_or_fails_too_often_is_a_dead_letter_with_its_reason() {
        let delivery = Delivery::new(
            vec![Arc::new(Fake::default())],
            Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)),
            Options::default(),
        );
        let mut unknown = waiting("orders", "a", 1, 0);
        unknown.post.channel.chat = "pager".into();
        let fates = delivery.deliver(&[waiting("gone", "a", 1, 0), waiting("busy", "b", 1, 19), unknown]).await;
        assert_eq!(fates[0], Fate::Dead { why: "no such channel".into() });
        assert!(matches!(&fates[1], Fate::Dead { why } if why.contains("after 20 tries")), "{fates:?}");
        assert!(matches!(&fates[2], Fate::Dead { why } if why.contains("`pager`")), "{fates:?}");
    }
}

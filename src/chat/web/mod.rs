//! The web chat: messages in the store, edited in place, threads, and a live feed of what changed.
//!
//! Keys: `web-channel/<channel>` (its [`Head`]), `web/<channel>/<seq>` (messages of the channel itself),
//! `web-thread/<channel>/<root>/<seq>` (replies), `web-slot/<channel>/<slot>` (where a slot's message stands).
//!
//! Bounds: a channel keeps its newest [`Options::history`] messages, a thread its newest [`Options::thread`] replies; one
//! more lets the oldest go. At most [`MAX_CHANNELS`] channels; a post to one more is refused.
//!
//! Architecture Invariant: this room draws nothing; `http/` turns messages into pages.

mod follow;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell, broadcast};
use uuid::Uuid;

pub use follow::{Elsewhere, Look};
pub use read::{Page, Stored, Thread};

use follow::Followers;

use super::{ChannelId, Chat, Content, Error, Post};
use crate::core::{BoxFuture, SharedClock, Timestamp};
use crate::store::{self, Key, Record, Revision, SharedStore};

/// At most so many channels exist.
pub const MAX_CHANNELS: usize = 500;
/// How many messages back a live page looks for what it missed.
pub const CATCH_UP: usize = 60;
/// Changes a browser may be behind before it is told to load the page's state again.
const FEED: usize = 512;
/// Writers of one channel take turns, so that its messages get their numbers without conflicts; channels share locks.
const LOCKS: usize = 16;

/// How much the web chat keeps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Messages kept per channel, without replies.
    pub history: usize,
    /// Replies kept per thread.
    pub thread: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { history: 2_000, thread: 300 }
    }
}

/// One message as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its number in the channel (replies count too); stays when it is edited.
    pub seq: u64,
    /// The number of the message whose thread it stands in.
    pub root: Option<u64>,
    /// Its identity, chosen by the sender.
    pub slot: String,
    /// The slot it replies to.
    pub thread: Option<String>,
    /// Version of its content.
    pub version: u64,
    /// Who speaks.
    pub author: String,
    /// When it was said first, UTC.
    pub at: Timestamp,
    /// What it shows.
    pub content: Content,
}

impl Record for Message {}

/// A channel in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its name without `#`.
    pub name: String,
    /// The number of its newest message; 0 if it has none.
    pub last: u64,
    /// Messages kept, without replies.
    pub kept: u64,
    /// Cards whose trouble is not over.
    pub open: u64,
    /// Cards with a plan that waits for someone.
    pub waiting: u64,
}

impl Record for Head {}

/// Where a slot's message stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slot {
    seq: u64,
    root: Option<u64>,
    version: u64,
    /// Replies below it.
    replies: u64,
}

impl Record for Slot {}

/// One change, as the live feed tells it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The commit that made it; grows.
    pub revision: Revision,
    /// The message as it is now.
    pub message: Arc<Message>,
    /// Its channel as it is now.
    pub head: Head,
}

/// The web chat; cheap to clone.
#[derive(Clone)]
pub struct WebChat {
    inner: Arc<Inner>,
}

struct Inner {
    store: SharedStore,
    clock: SharedClock,
    options: Options,
    feed: broadcast::Sender<Arc<Change>>,
    /// Whether other processes may write to the store; asked once.
    shared: OnceCell<bool>,
    pages: Followers<Page>,
    cards: Followers<Option<Stored>>,
    numbers: Followers<Vec<Head>>,
    /// Held over a commit, so tokio's.
    writers: [Mutex<()>; LOCKS],
}

impl WebChat {
    /// The web chat kept in this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, options: Options) -> Self {
        let inner = Inner {
            store,
            clock,
            options,
            feed: broadcast::channel(FEED).0,
            shared: OnceCell::new(),
            pages: Followers::default(),
            cards: Followers::default(),
            numbers: Followers::default(),
            writers: std::array::from_fn(|_| Mutex::new(())),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What changes from now on. Who falls behind by more than the feed holds gets `Lagged`, and must read the page
    /// again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.inner.feed.subscribe()
    }

    /// Says something in a channel, or in a thread of it: a new message with a slot of its own, which is returned.
    ///
    /// # Errors
    /// As [`Chat::show`].
    pub async fn say(
        &self,
        channel: &str,
        thread: Option<&str>,
        author: &str,
        content: Content,
    ) -> Result<String, Error> {
        let at = self.inner.clock.now();
        let secs = u64::try_from(at.as_second()).unwrap_or(0);
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, secs, nanos));
        let slot = format!("said-{}", id.simple());
        let post = Post {
            channel: ChannelId::web(channel),
            slot: slot.clone(),
            thread: thread.map(str::to_owned),
            version: 1,
            author: author.to_owned(),
            at,
            content,
        };
        self.show(&post).await?;
        Ok(slot)
    }
}

impl Chat for WebChat {
    fn name(&self) -> &'static str {
        "web"
    }

    fn show<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.write(post))
    }
}

/// Whether a content counts as open trouble, and whether it waits for a person's decision.
fn counts(content: &Content) -> (u64, u64) {
    match content {
        Content::Card(card) => {
            let open = card.severity.is_some() && !card.over;
            let waiting = !card.over && card.plan.as_ref().is_some_and(|plan| !plan.buttons.is_empty());
            (u64::from(open), u64::from(waiting))
        }
        Content::Text(_) => (0, 0),
    }
}

fn head_key(channel: &str) -> Key {
    Key::of(["web-channel", channel])
}
fn slot_key(channel: &str, slot: &str) -> Key {
    Key::of(["web-slot", channel, slot])
}
fn thread_prefix(channel: &str, root: u64) -> Key {
    Key::of(["web-thread", channel, &format!("{root:010}")])
}
fn message_key(channel: &str, root: Option<u64>, seq: u64) -> Key {
    let seq = format!("{seq:010}");
    match root {
        None => Key::of(["web", channel, &seq]),
        Some(root) => thread_prefix(channel, root).child(&seq),
    }
}

fn later(error: &store::Error) -> Error {
    Error::Later { why: error.to_string(), after_ms: 100 }
}

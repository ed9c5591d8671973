//! Reading: the channels, a page of one backwards from any message, one whole thread.

use super::{Head, MAX_CHANNELS, Message, WebChat, head_key, message_key, slot_key, store, thread_prefix};
use super::{Key, Revision, Slot};
use crate::store::Range;

/// Replies shown below a message before "earlier replies" is asked for.
const REPLIES: usize = 12;

/// A message and the commit that last wrote it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The commit.
    pub revision: Revision,
    /// The message.
    pub message: Message,
}

/// A message of the channel with the newest of its replies, oldest of them first.
#[derive(Debug, Clone)]
pub struct Thread {
    /// The message.
    pub root: Stored,
    /// Its newest replies.
    pub replies: Vec<Stored>,
    /// Whether it has earlier ones than these.
    pub earlier: bool,
}

/// A piece of a channel, oldest message first.
#[derive(Debug, Clone)]
pub struct Page {
    /// Everything that changed after this commit is not on the page yet.
    pub revision: Revision,
    /// The messages.
    pub threads: Vec<Thread>,
    /// Whether the channel goes on before them.
    pub older: bool,
}

impl WebChat {
    /// All channels, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn channels(&self) -> Result<Vec<Head>, store::Error> {
        let range = Range::under(&Key::of(["web-channel"]), MAX_CHANNELS);
        self.inner.store.scan(&range).await?.iter().map(store::Entry::decode).collect()
    }

    /// The newest `limit` messages before `before` (all of them if none), with their newest replies.
    ///
    /// # Errors
    /// The store's.
    pub async fn page(&self, channel: &str, before: Option<u64>, limit: usize) -> Result<Page, store::Error> {
        // Each added message, replies as well, writes the channel's numbers. Whatever was committed up to there or up to the
        // newest of the messages is seen by the scans that follow; what came later is told again, which does no harm.
        let numbers = self.inner.store.read(&head_key(channel)).await?.map(|entry| entry.revision);
        let mut range = Range::under(&Key::of(["web", channel]), limit + 1).backward();
        if let Some(before) = before {
            range = range.past(&message_key(channel, None, before));
        }
        let mut entries = self.inner.store.scan(&range).await?;
        let older = entries.len() > limit;
        entries.truncate(limit);
        let revision = entries.iter().map(|entry| entry.revision).chain(numbers).max().unwrap_or_default();
        let mut threads = Vec::with_capacity(entries.len());
        for entry in entries.iter().rev() {
            let root = stored(entry)?;
            threads.push(self.with_replies(channel, root, REPLIES).await?);
        }
        Ok(Page { revision, threads, older })
    }

    /// One message of the channel with all its replies that are kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn thread(&self, channel: &str, root: u64) -> Result<Option<Thread>, store::Error> {
        match self.inner.store.read(&message_key(channel, None, root)).await? {
            Some(entry) => Ok(Some(self.with_replies(channel, stored(&entry)?, self.inner.options.thread).await?)),
            None => Ok(None),
        }
    }

    /// The message that has a slot, if the channel still has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, channel: &str, slot: &str) -> Result<Option<Message>, store::Error> {
        Ok(self.stored(channel, slot).await?.map(|stored| stored.message))
    }

    /// The same with the commit that last wrote it.
    ///
    /// # Errors
    /// The store's.
    pub async fn stored(&self, channel: &str, slot: &str) -> Result<Option<Stored>, store::Error> {
        let Some(entry) = self.inner.store.read(&slot_key(channel, slot)).await? else { return Ok(None) };
        let slot: Slot = entry.decode()?;
        let entry = self.inner.store.read(&message_key(channel, slot.root, slot.seq)).await?;
        entry.as_ref().map(stored).transpose()
    }

    pub(super) async fn message(
        &self,
        channel: &str,
        root: Option<u64>,
        seq: u64,
    ) -> Result<Option<Message>, store::Error> {
        self.inner.store.read(&message_key(channel, root, seq)).await?.map(|entry| entry.decode()).transpose()
    }

    async fn with_replies(&self, channel: &str, root: Stored, limit: usize) -> Result<Thread, store::Error> {
        let range = Range::under(&thread_prefix(channel, root.message.seq), limit + 1).backward();
        let mut entries = self.inner.store.scan(&range).await?;
        let earlier = entries.len() > limit;
        entries.truncate(limit);
        let replies = entries.iter().rev().map(stored).collect::<Result<_, _>>()?;
        Ok(Thread { root, replies, earlier })
    }
}

fn stored(entry: &store::Entry) -> Result<Stored, store::Error> {
    Ok(Stored { revision: entry.revision, message: entry.decode()? })
}

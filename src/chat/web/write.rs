//! Showing a post: a new message, or an edit of the one that has its slot.

use std::sync::Arc;

use super::{
    Change, Head, LOCKS, MAX_CHANNELS, Message, Slot, WebChat, counts, head_key, later, message_key, slot_key,
};
use super::{Error, Key, Post, Revision, store, thread_prefix};
use crate::store::{Batch, Range};

/// Another process may write the same channel; after so many conflicts the post waits for its next turn.
const TRIES: usize = 16;
/// Longest name of a channel, bytes.
const NAME: usize = 80;

impl WebChat {
    /// Shows a post; an older version than the one shown changes nothing.
    pub(super) async fn write(&self, post: &Post) -> Result<(), Error> {
        let channel = post.channel.name.as_str();
        if post.channel.chat != "web" {
            return Err(Error::Refused(format!("`{}` is not the web chat", post.channel.chat)));
        }
        if channel.is_empty() || channel.len() > NAME || channel.chars().any(char::is_control) {
            return Err(Error::Refused(format!("a channel's name has 1 to {NAME} bytes and no control characters")));
        }
        let _turn = self.inner.writers[lock_of(channel)].lock().await;
        for _ in 0..TRIES {
            match self.attempt(post).await {
                Err(Attempt::Store(store::Error::Conflict(_))) => {}
                Err(Attempt::Store(error)) => return Err(later(&error)),
                Err(Attempt::Full) => {
                    return Err(Error::Refused(format!("there are {MAX_CHANNELS} channels already; use one of them")));
                }
                Ok(None) => return Ok(()),
                Ok(Some(change)) => {
                    // No receiver is no error: nobody is looking.
                    let _ = self.inner.feed.send(Arc::new(change));
                    return Ok(());
                }
            }
        }
        Err(Error::Later { why: "others write this channel all the time".to_owned(), after_ms: 50 })
    }

    /// Makes sure a channel exists, so that it is listed before its first message.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_channel(&self, channel: &str) -> Result<(), store::Error> {
        let key = head_key(channel);
        if self.inner.store.read(&key).await?.is_some() {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.require_absent(key.clone());
        batch.put(key, &empty(channel))?;
        match self.inner.store.commit(batch).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn attempt(&self, post: &Post) -> Result<Option<Change>, Attempt> {
        let channel = post.channel.name.as_str();
        let store = &self.inner.store;
        let found = store.read(&slot_key(channel, &post.slot)).await?;
        let mut batch = Batch::new();
        batch.require_as_read(slot_key(channel, &post.slot), found.as_ref().map(|entry| entry.revision));
        let slot: Option<Slot> = found.as_ref().map(store::Entry::decode).transpose()?;
        if slot.as_ref().is_some_and(|slot| slot.version >= post.version) {
            return Ok(None);
        }
        let (head_at, mut head) = self.head_for(channel).await?;
        let before = match &slot {
            Some(slot) => self.message(channel, slot.root, slot.seq).await?,
            None => None,
        };
        let message = match (slot, before) {
            (Some(slot), Some(before)) => self.edit(post, slot, before, &mut head, &mut batch)?,
            _ => self.add(post, &mut head, &mut batch).await?,
        };
        // Most edits leave the channel's numbers as they are; they need not wait for each other.
        let head_before = head_at.as_ref().map(|(_, before)| before);
        if head_before != Some(&head) {
            batch.require_as_read(head_key(channel), head_at.as_ref().map(|(revision, _)| *revision));
            batch.put(head_key(channel), &head)?;
        }
        let revision = store.commit(batch).await?;
        Ok(Some(Change { revision, message: Arc::new(message), head }))
    }

    async fn head_for(&self, channel: &str) -> Result<(Option<(Revision, Head)>, Head), Attempt> {
        if let Some(entry) = self.inner.store.read(&head_key(channel)).await? {
            let head: Head = entry.decode()?;
            return Ok((Some((entry.revision, head.clone())), head));
        }
        let others = self.inner.store.scan(&Range::under(&Key::of(["web-channel"]), MAX_CHANNELS)).await?;
        if others.len() >= MAX_CHANNELS {
            return Err(Attempt::Full);
        }
        Ok((None, empty(channel)))
    }

    fn edit(
        &self,
        post: &Post,
        slot: Slot,
        before: Message,
        head: &mut Head,
        batch: &mut Batch,
    ) -> Result<Message, store::Error> {
        let channel = post.channel.name.as_str();
        if before.root.is_none() {
            let ((open, waiting), (was_open, was_waiting)) = (counts(&post.content), counts(&before.content));
            head.open = (head.open + open).saturating_sub(was_open);
            head.waiting = (head.waiting + waiting).saturating_sub(was_waiting);
        }
        let message =
            Message { version: post.version, author: post.author.clone(), content: post.content.clone(), ..before };
        batch.put(message_key(channel, message.root, message.seq), &message)?;
        batch.put(slot_key(channel, &post.slot), &Slot { version: post.version, ..slot })?;
        Ok(message)
    }

    async fn add(&self, post: &Post, head: &mut Head, batch: &mut Batch) -> Result<Message, store::Error> {
        let channel = post.channel.name.as_str();
        let root = match &post.thread {
            Some(thread) => self.join_thread(channel, thread, batch).await?,
            None => None,
        };
        head.last += 1;
        let message = Message {
            seq: head.last,
            root,
            slot: post.slot.clone(),
            thread: post.thread.clone(),
            version: post.version,
            author: post.author.clone(),
            at: post.at,
            content: post.content.clone(),
        };
        batch.put(message_key(channel, root, message.seq), &message)?;
        let slot = Slot { seq: message.seq, root, version: post.version, replies: 0 };
        batch.put(slot_key(channel, &post.slot), &slot)?;
        if root.is_none() {
            let (open, waiting) = counts(&post.content);
            head.open += open;
            head.waiting += waiting;
            head.kept += 1;
            self.forget_oldest(channel, head, batch).await?;
        }
        Ok(message)
    }

    /// Counts one more reply under `thread`, lets its oldest go if it is full, and gives the number of its root. None if
    /// no message has that slot (any more): then the reply stands in the channel itself.
    async fn join_thread(&self, channel: &str, thread: &str, batch: &mut Batch) -> Result<Option<u64>, store::Error> {
        let Some(entry) = self.inner.store.read(&slot_key(channel, thread)).await? else { return Ok(None) };
        let slot: Slot = entry.decode()?;
        if let Some(root) = slot.root {
            // Threads are one level deep: a reply to a reply stands beside it.
            return Ok(Some(root));
        }
        let mut replies = slot.replies + 1;
        if replies > self.inner.options.thread as u64 {
            for old in self.inner.store.scan(&Range::under(&thread_prefix(channel, slot.seq), 1)).await? {
                forget(channel, &old, batch)?;
                replies -= 1;
            }
        }
        batch.require_unchanged(slot_key(channel, thread), entry.revision);
        let root = slot.seq;
        batch.put(slot_key(channel, thread), &Slot { replies, ..slot })?;
        Ok(Some(root))
    }

    /// Drops the oldest message with its thread when the channel is full.
    async fn forget_oldest(&self, channel: &str, head: &mut Head, batch: &mut Batch) -> Result<(), store::Error> {
        if head.kept <= self.inner.options.history as u64 {
            return Ok(());
        }
        for old in self.inner.store.scan(&Range::under(&Key::of(["web", channel]), 1)).await? {
            let message = forget(channel, &old, batch)?;
            let (open, waiting) = counts(&message.content);
            head.open = head.open.saturating_sub(open);
            head.waiting = head.waiting.saturating_sub(waiting);
            head.kept -= 1;
            let replies = Range::under(&thread_prefix(channel, message.seq), self.inner.options.thread + 1);
            for reply in self.inner.store.scan(&replies).await? {
                forget(channel, &reply, batch)?;
            }
        }
        Ok(())
    }
}

fn forget(channel: &str, entry: &store::Entry, batch: &mut Batch) -> Result<Message, store::Error> {
    let message: Message = entry.decode()?;
    batch.delete(entry.key.clone());
    batch.delete(slot_key(channel, &message.slot));
    Ok(message)
}

fn empty(channel: &str) -> Head {
    Head { name: channel.to_owned(), last: 0, kept: 0, open: 0, waiting: 0 }
}

fn lock_of(channel: &str) -> usize {
    channel.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % LOCKS
}

enum Attempt {
    Store(store::Error),
    Full,
}

impl From<store::Error> for Attempt {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

//! Serves the `post` queue: hands due posts to [`Delivery`] and writes down what became of each, in one commit.

use std::sync::Arc;

use uuid::Uuid;

use crate::chat::Post;
use crate::chat::outbox::{DeadLetter, Delivery, Fate, Waiting};
use crate::core::{BoxFuture, SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, SharedStore};
use crate::work::{Handler, Lease, Queue, Queued};

/// The name of the queue that every room pushes its posts to.
pub const QUEUE: &str = "post";
/// So many dead letters are kept; the oldest goes when one more comes.
const DEAD_LETTERS: usize = 1_000;

/// The handler of the `post` queue.
pub struct Outbox {
    delivery: Delivery,
    queue: Queue<Post>,
    store: SharedStore,
    clock: SharedClock,
}

impl Outbox {
    /// A handler that delivers through `delivery`.
    #[must_use]
    pub fn new(delivery: Delivery, store: SharedStore, clock: SharedClock) -> Arc<Self> {
        let queue = Queue::new(QUEUE, store.clone(), clock.clone());
        Arc::new(Self { delivery, queue, store, clock })
    }

    /// Its queue, for [`crate::work::serve`].
    #[must_use]
    pub fn queue(&self) -> Queue<Post> {
        self.queue.clone()
    }

    /// The newest dead letters, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn dead_letters(store: &SharedStore, limit: usize) -> Result<Vec<DeadLetter>, store::Error> {
        let range = Range::under(&Key::of(["dead-post"]), limit).backward();
        store.scan(&range).await?.iter().map(store::Entry::decode).collect()
    }

    async fn bury(&self, batch: &mut Batch, post: &Post, why: &str) -> Result<(), store::Error> {
        let at = self.clock.now();
        metrics::counter!("mayday_chat_dead_letters_total", "chat" => post.channel.chat.clone()).increment(1);
        tracing::error!(chat = %post.channel.chat, channel = %post.channel.name, slot = %post.slot, why, "a post is not shown");
        batch.put(dead_key(at), &DeadLetter { post: post.clone(), why: why.to_owned(), at })?;
        let kept = self.store.scan(&Range::under(&Key::of(["dead-post"]), DEAD_LETTERS)).await?;
        if let (DEAD_LETTERS, Some(oldest)) = (kept.len(), kept.first()) {
            batch.delete(oldest.key.clone());
        }
        Ok(())
    }
}

fn dead_key(at: Timestamp) -> Key {
    let millis = at.as_millisecond().max(0);
    let secs = u64::try_from(at.as_second()).unwrap_or(0);
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, secs, 0));
    Key::of(["dead-post", &format!("{millis:013}-{}", id.simple())])
}

impl Handler<Post> for Outbox {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Post>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            let waiting: Vec<Waiting> =
                items.iter().map(|item| Waiting { post: item.record.clone(), failures: item.failures }).collect();
            let fates = self.delivery.deliver(&waiting).await;
            let mut batch = Batch::new();
            lease.guard(&mut batch);
            for (item, fate) in items.iter().zip(fates) {
                match fate {
                    Fate::Shown | Fate::Superseded => self.queue.done(&mut batch, item),
                    Fate::Failed { until } => self.queue.postpone(&mut batch, item, until)?,
                    // A new item: being held back is no failure of its own.
                    Fate::Held { until } => {
                        self.queue.done(&mut batch, item);
                        self.queue.push_at(&mut batch, item.shard, until, &item.record)?;
                    }
                    Fate::Dead { why } => {
                        self.queue.done(&mut batch, item);
                        self.bury(&mut batch, &item.record, &why).await?;
                    }
                }
            }
            self.store.commit(batch).await.map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::outbox::Options;
    use crate::chat::web::{self, WebChat};
    use crate::chat::{ChannelId, Content};
    use crate::core::clock::ManualClock;
    use crate::store::memory::Memory;
    use crate::work::{Leases, Shard};

    #[tokio::test]
    async fn a_queued_post_stands_in_the_channel_and_leaves_the_queue_and_one_for_nobody_is_kept_as_a_dead_letter() {
        let store = Memory::shared();
        let clock: SharedClock = Arc::new(ManualClock::at(Timestamp::from_second(1_000_000).unwrap()));
        let chat = Arc::new(WebChat::new(store.clone(), clock.clone(), web::Options::default()));
        let outbox = Outbox::new(
            Delivery::new(vec![chat.clone()], clock.clone(), Options::default()),
            store.clone(),
            clock.clone(),
        );
        let leases = Leases::take_all(&store, &clock, "test").await.unwrap();
        let post = Post {
            channel: ChannelId::web("orders"),
            slot: "INC-1".into(),
            thread: None,
            version: 1,
            author: "Mayday".into(),
            at: clock.now(),
            content: Content::Text("hello".into()),
        };
        let mut lost = post.clone();
        lost.channel.chat = "pager".into();
        let mut batch = Batch::new();
        outbox.queue.push(&mut batch, Shard(1), &post).unwrap();
        outbox.queue.push(&mut batch, Shard(1), &lost).unwrap();
        store.commit(batch).await.unwrap();
        let items = outbox.queue.due(Shard(1), 10).await.unwrap();
        outbox.handle(&leases.of(Shard(1)).unwrap(), items).await.unwrap();
        assert_eq!(outbox.queue.waiting(Shard(1), 10).await.unwrap(), 0);
        assert_eq!(chat.page("orders", None, 10).await.unwrap().threads.len(), 1);
        let dead = Outbox::dead_letters(&store, 10).await.unwrap();
        assert_eq!(dead.len(), 1);
        assert!(dead[0].why.contains("pager"));
    }
}

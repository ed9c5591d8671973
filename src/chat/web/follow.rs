//! What other processes write is looked for once for all pages of this process that show it.
//!
//! A follower reads the newest piece of a channel, or one message, or the numbers of all channels, when the store says that something was
//! written there, and gives each page that listens the same look. It begins with the first page and ends with the last one.
//! A look is the whole piece and not what changed in it: a page that missed some needs only the newest, and what of it is
//! news to the page is told by the revisions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{CATCH_UP, Head, Page, Stored, WebChat, slot_key};
use crate::store::{self, Key, SharedStore, Watch};

/// What was written is looked for this long after the wake-up, so that a burst is one look.
const GATHER: Duration = Duration::from_millis(500);
/// The longest pause before a look that failed is tried again.
const PAUSE: Duration = Duration::from_secs(8);

/// A look at what stands in the store now.
#[derive(Debug, Clone)]
pub enum Look {
    /// The newest piece of the channel.
    Messages(Arc<Page>),
    /// The one message, if the channel still has it.
    One(Arc<Option<Stored>>),
    /// All channels.
    Numbers(Arc<Vec<Head>>),
}

/// What one page hears of other processes.
#[derive(Debug)]
pub struct Elsewhere {
    messages: Messages,
    numbers: Looks<Vec<Head>>,
}

#[derive(Debug)]
enum Messages {
    Newest(Looks<Page>),
    One(Looks<Option<Stored>>),
}

impl Elsewhere {
    /// The next look; none when nobody can look any more and the page has to load again.
    pub async fn next(&mut self) -> Option<Look> {
        let messages = async {
            match &mut self.messages {
                Messages::Newest(looks) => looks.next().await.map(Look::Messages),
                Messages::One(looks) => looks.next().await.map(Look::One),
            }
        };
        tokio::select! {
            look = messages => look,
            heads = self.numbers.next() => heads.map(Look::Numbers),
        }
    }
}

impl WebChat {
    /// Follows what other processes on the same store say or edit in a channel (or only the message of one slot there), and the
    /// numbers of all channels; none where no other process can be. A page that reads after this call misses nothing that
    /// follows.
    ///
    /// # Errors
    /// The store's.
    pub async fn elsewhere(&self, channel: &str, slot: Option<&str>) -> Result<Option<Elsewhere>, store::Error> {
        let inner = &self.inner;
        let shared = async || Ok::<_, store::Error>(inner.store.now().await?.is_some());
        if !*inner.shared.get_or_try_init(shared).await? {
            return Ok(None);
        }
        // Each message that is written writes its slot.
        let (chat, name) = (self.clone(), channel.to_owned());
        let messages = match slot {
            None => {
                let read = move || {
                    let (chat, name) = (chat.clone(), name.clone());
                    async move { chat.page(&name, None, CATCH_UP).await }
                };
                Messages::Newest(inner.pages.join(&inner.store, &Key::of(["web-slot", channel]), read))
            }
            Some(slot) => {
                let key = slot_key(channel, slot);
                let slot = slot.to_owned();
                let read = move || {
                    let (chat, name, slot) = (chat.clone(), name.clone(), slot.clone());
                    async move { chat.stored(&name, &slot).await }
                };
                Messages::One(inner.cards.join(&inner.store, &key, read))
            }
        };
        let chat = self.clone();
        let heads = move || {
            let chat = chat.clone();
            async move { chat.channels().await }
        };
        Ok(Some(Elsewhere { messages, numbers: inner.numbers.join(&inner.store, &Key::of(["web-channel"]), heads) }))
    }
}

/// Who follows what, for as long as a page listens.
#[derive(Debug)]
pub(super) struct Followers<T>(Mutex<HashMap<Key, Weak<Follower<T>>>>);

impl<T> Default for Followers<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[derive(Debug)]
struct Follower<T> {
    looks: watch::Receiver<Option<Arc<T>>>,
    task: AbortHandle,
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One page's end of a follower.
#[derive(Debug)]
struct Looks<T> {
    looks: watch::Receiver<Option<Arc<T>>>,
    /// The last page to let go of it ends it.
    _follower: Arc<Follower<T>>,
}

impl<T> Looks<T> {
    async fn next(&mut self) -> Option<Arc<T>> {
        self.looks.changed().await.ok()?;
        self.looks.borrow_and_update().clone()
    }
}

impl<T: Send + Sync + 'static> Followers<T> {
    /// Listens to whoever follows what is under a key already, or begins to.
    fn join<R>(&self, store: &SharedStore, key: &Key, read: impl Fn() -> R + Send + Sync + 'static) -> Looks<T>
    where
        R: Future<Output = Result<T, store::Error>> + Send + 'static,
    {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose task has ended gives no looks.
        let alive = |follower: &Arc<Follower<T>>| follower.looks.has_changed().is_ok();
        let found = followers.get(key).and_then(Weak::upgrade).filter(alive);
        let follower = found.unwrap_or_else(|| {
            followers.retain(|_, follower| follower.strong_count() > 0);
            let (tell, looks) = watch::channel(None);
            let task = tokio::spawn(follow(store.watch(key), tell, read)).abort_handle();
            let follower = Arc::new(Follower { looks, task });
            followers.insert(key.clone(), Arc::downgrade(&follower));
            follower
        });
        let mut looks = follower.looks.clone();
        // What was seen before the page was read is on it.
        looks.mark_unchanged();
        Looks { looks, _follower: follower }
    }
}

/// Looks after each change until nobody listens, or until what stands there can't be read at all: then pages load again,
/// and that says why.
async fn follow<T, R>(mut changes: Watch, tell: watch::Sender<Option<Arc<T>>>, read: impl Fn() -> R)
where
    R: Future<Output = Result<T, store::Error>>,
{
    loop {
        changes.changed().await;
        tokio::time::sleep(GATHER).await;
        changes.0.mark_unchanged();
        let mut pause = GATHER;
        let look = loop {
            match read().await {
                Ok(look) => break look,
                Err(error @ store::Error::Unavailable(_)) => {
                    tracing::warn!(%error, "what other processes wrote can't be read for the pages now; it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE);
                }
                Err(error) => {
                    tracing::warn!(%error, "what other processes wrote can't be read for the pages; they load again");
                    return;
                }
            }
        };
        tell.send_replace(Some(Arc::new(look)));
    }
}

//! The engine: carries runs out, one small task of this process for each open run, with everything that matters in the
//! journal first.
//!
//! A run's task decides (purely), commits what follows, and only then performs. Orders reach it through its mailbox; timers
//! are its own sleep. There is no polling and no lock that is held across a commit, so that the store can commit the steps
//! of many runs together.
//!
//! Architecture Invariant: an effect starts only after the commit that holds its intent returned.
//! Architecture Invariant: every commit is guarded by the lease of the run's shard and by the journal's next free place, so
//! that of two who think they drive a run only one goes on.

mod bounded;
mod child;
mod commit;
mod driver;
mod effects;
mod flights;
mod hold;
mod journal;
mod landing;
mod launch;
mod preview;
mod propose;
mod render;
mod reopen;
mod rollback;
mod share;
mod slots;
mod standing;
mod stuck;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};

pub use child::part_of;
pub use journal::{Journaled, Together, events};
pub use preview::{Preview, Would};
pub(in crate::playbook) use propose::{Text, text_key};
pub use render::parameters as parameters_of;

use super::book::Book;
use super::faults::Faults;
use super::library::Library;
use super::notices::{Notices, QueuedNotices};
use super::options::Options;
use super::order;
use super::registry::Registry;
use super::run::Status;
use super::view::{Decided, Order, ProposeRequest, Proposed, RunView, Runs};
use super::{Error, RunChanged};
use crate::access::{Audit, Person, StandingPolicy};
use crate::core::message::playbook as say;
use crate::core::stop::{Stop, Stopper};
use crate::core::text::capped;
use crate::core::{BoxFuture, RunId, SharedClock, Timestamp};
use crate::store::key::Order as KeyOrder;
use crate::store::{self, Key, Range, SharedStore};
use crate::work::{Leases, Queue, Shard};

/// What the engine is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: SharedStore,
    /// Time.
    pub clock: SharedClock,
    /// What this process may change.
    pub leases: Arc<Leases>,
    /// Decisions and changes are written here with the commit that makes them.
    pub audit: Audit,
    /// The playbooks.
    pub library: Arc<Library>,
    /// What carries tasks out.
    pub actions: Registry,
    /// Limits and policy.
    pub options: Options,
    /// Classes of change that people allowed in advance.
    pub standing: Vec<StandingPolicy>,
}

/// Runs playbooks. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

/// What every run's task sees.
pub(in crate::playbook) struct Shared {
    parts: Parts,
    tools: effects::Tools,
    notices: Arc<dyn Notices>,
    changed: Queue<RunChanged>,
    /// The mailboxes of the runs that tasks of this process drive. Held to look a run up, never across a commit.
    live: Mutex<HashMap<RunId, mpsc::Sender<Letter>>>,
    /// Playbooks by digest, as runs need them.
    books: Mutex<HashMap<String, Arc<Book>>>,
    /// Digests of the playbooks whose text this process has made durable.
    texts: Mutex<HashSet<String>>,
    /// Open runs of a later Mayday, which the log has named.
    newer: Mutex<HashSet<RunId>>,
    /// The highest run number known; 0: look it up.
    last_run: AtomicU64,
    stop: Stop,
    stopper: Mutex<Option<Stopper>>,
    crashed: AtomicBool,
    /// Woken when a run's task ends.
    ended: Notify,
    /// Woken when a run has ended that may be a part of another.
    child_ended: Notify,
}

/// An order on its way to a run.
struct Letter {
    said: Said,
    /// The item of the queue that brought it, if another replica was asked: taken away by the commit that carries it out.
    taken: Option<share::Taken>,
    reply: oneshot::Sender<Decided>,
}

/// What a letter says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "said")]
enum Said {
    /// What a person wants.
    Order { order: Order, person: Person },
    /// Mayday takes its proposal back.
    Withdraw { why: String },
    /// The run that this one is a part of is to end.
    ParentEnds { parent: RunId },
    /// The run that this one is a part of takes back what was done, also what this one did that has ended.
    ParentUndoes { parent: RunId },
}

impl Said {
    /// What it does to a run.
    fn decide(&self, status: &Status, now: Timestamp) -> order::Answer {
        match self {
            Self::Order { order, person } => order::answer(status, order, person, now),
            Self::Withdraw { why } => order::withdraw(status, why),
            Self::ParentEnds { parent } => order::parent_ends(status, *parent),
            Self::ParentUndoes { parent } => order::parent_undoes(status, *parent),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// An engine that has not looked at the store yet: [`Engine::resume`] or [`Service::run`] does.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let notices = Arc::new(QueuedNotices::new(parts.store.clone(), parts.clock.clone()));
        Self::with(parts, notices, Faults::none())
    }

    /// The same with another way to tell people, and with faults on purpose.
    #[must_use]
    pub fn with(parts: Parts, notices: Arc<dyn Notices>, faults: Faults) -> Self {
        let (stopper, stop) = Stopper::new();
        let tools = effects::Tools {
            clock: parts.clock.clone(),
            registry: parts.actions.clone(),
            slots: slots::Slots::new(parts.options.effects_at_once.clamp(1, 100_000)),
            priority: 0,
            output_bytes: parts.options.output_bytes,
            faults,
        };
        Self(Arc::new(Shared {
            changed: Queue::new("run-changed", parts.store.clone(), parts.clock.clone()),
            tools,
            notices,
            live: Mutex::default(),
            books: Mutex::default(),
            texts: Mutex::default(),
            newer: Mutex::default(),
            last_run: AtomicU64::new(0),
            stop,
            stopper: Mutex::new(Some(stopper)),
            crashed: AtomicBool::new(false),
            ended: Notify::new(),
            child_ended: Notify::new(),
            parts,
        }))
    }

    /// Goes on with every run of this process's shards that has not ended and that nobody drives yet.
    ///
    /// # Errors
    /// The store's. A run that can't be read ends as stuck, which lets go of what it holds and is told to people.
    pub async fn resume(&self) -> Result<usize, store::Error> {
        let mut range = Range::under(&Key::of(["run-open"]), 1_000);
        let mut found = 0;
        loop {
            let page = self.0.parts.store.scan(&range).await?;
            for entry in &page {
                let Ok(run) = entry.key.last().parse::<RunId>() else { continue };
                if self.mailbox(run).is_some() || self.0.parts.leases.of(shard_of(run)).is_none() {
                    continue;
                }
                match self.take_up(run).await {
                    Ok(true) => found += 1,
                    Ok(false) => {}
                    // It is whole, and its writer may come back.
                    Err(Error::Store(error @ store::Error::TooNew { .. })) => {
                        // Once: open runs are looked for every few seconds.
                        if locked(&self.0.newer).insert(run) {
                            tracing::error!(%run, %error, "a run waits for the newer Mayday that wrote it");
                        }
                    }
                    Err(Error::Store(error @ store::Error::Corrupt { .. })) => {
                        tracing::error!(%run, %error, "a run can't go on; it ends as stuck");
                        stuck::end(&self.0, run, &say::end_unreadable(&capped(&error.to_string(), 500))).await?;
                    }
                    Err(Error::Store(error)) => return Err(error),
                    Err(error) => tracing::error!(%run, %error, "a run can't go on"),
                }
            }
            let Some(last) = page.last().filter(|_| page.len() == 1_000) else { break };
            range = range.past(&last.key);
        }
        if found > 0 {
            tracing::info!(runs = found, "going on with open runs");
        }
        Ok(found)
    }

    /// Goes on with a run, or has it wait for a Mayday that can read its playbook (then false).
    async fn take_up(&self, run: RunId) -> Result<bool, Error> {
        let Some(status) = journal::load(&self.0.parts.store, run).await? else { return Ok(false) };
        match self.book_of(&status).await {
            Ok(book) => self.spawn(status, book),
            Err(Error::NotHere(why)) => {
                hold::unreadable(self, status, why).await?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// The playbook's text as it was when the run was proposed. One that is whole and that this Mayday can't read is
    /// [`Error::NotHere`]: another could.
    async fn book_of(&self, status: &Status) -> Result<Arc<Book>, Error> {
        let head = &status.head;
        if let Some(book) = locked(&self.0.books).get(&head.digest) {
            return Ok(book.clone());
        }
        let key = propose::text_key(&head.playbook, &head.digest);
        let entry = self.0.parts.store.read(&key).await?;
        let text: propose::Text = match entry {
            Some(entry) => entry.decode()?,
            None => {
                return Err(store::Error::Corrupt { key, why: "the playbook of a run is missing".to_owned() }.into());
            }
        };
        let book = Book::stored(&head.playbook, text.text.as_bytes()).map_err(|mistakes| {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            let why = say::playbook_unknown(&first);
            if crate::core::digest::hex(text.text.as_bytes()) == head.digest {
                let left = if status.touched { say::Held::Changed } else { say::Held::MayBeCancelled };
                return Error::NotHere(say::held(&[why], left));
            }
            store::Error::Corrupt { key, why }.into()
        })?;
        Ok(self.keep(Arc::new(book)))
    }

    fn keep(&self, book: Arc<Book>) -> Arc<Book> {
        let mut books = locked(&self.0.books);
        if books.len() >= 1_000 {
            books.clear();
        }
        books.entry(book.digest.clone()).or_insert(book).clone()
    }

    fn spawn(&self, status: Status, book: Arc<Book>) {
        let run = status.head.run;
        // Another process's: it takes the run up.
        let Some(lease) = self.0.parts.leases.of(shard_of(run)) else { return };
        let (orders, mailbox) = mpsc::channel(32);
        {
            let mut runs = locked(&self.0.live);
            if runs.contains_key(&run) || status.ended.is_some() {
                return;
            }
            runs.insert(run, orders);
            metrics::gauge!("mayday_playbook_runs_open").set(runs.len() as f64);
        }
        tokio::spawn(driver::drive(self.0.clone(), lease, status, book, mailbox));
    }

    fn mailbox(&self, run: RunId) -> Option<mpsc::Sender<Letter>> {
        locked(&self.0.live).get(&run).cloned()
    }

    /// Every event of a run, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn journal(&self, run: RunId) -> Result<Vec<Journaled>, store::Error> {
        events(&self.0.parts.store, run).await
    }

    /// Whether a fault on purpose has ended this engine.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.0.crashed.load(Ordering::SeqCst)
    }

    /// Asks every run's task to end where it stands, and waits for that, at most `options.grace`.
    pub async fn stop(&self) {
        locked(&self.0.stopper).take();
        let grace = tokio::time::sleep(self.0.parts.options.grace.0 + Duration::from_secs(1));
        tokio::pin!(grace);
        loop {
            let ended = self.0.ended.notified();
            if locked(&self.0.live).is_empty() {
                return;
            }
            tokio::select! {
                () = ended => {}
                () = &mut grace => return,
            }
        }
    }

    /// Tells a run's task something and waits for what it makes of it; the status of a run that has ended.
    async fn say(&self, run: RunId, said: Said) -> Result<Result<Decided, Arc<Status>>, Error> {
        if let Some(decided) = self.say_here(run, &said, None).await {
            return Ok(Ok(decided));
        }
        // Nobody drives it: it has ended, or can't go on. Then nothing changes, and the answer says so.
        let Some(status) = self.status_of(run).await? else { return Err(Error::NoRun(run)) };
        if let Some(decided) = hold::order(self, &status, &said, None).await? {
            return Ok(Ok(decided));
        }
        if status.ended.is_none() && self.0.parts.leases.shares() {
            return share::ask_holder(self, run, said).await.map(Ok);
        }
        if status.ended.is_none() {
            let why = format!("nobody drives {run} now; try again in a moment, or look at the log");
            return Err(store::Error::Unavailable(why).into());
        }
        Ok(Err(status))
    }

    /// Tells a run that this process drives, if it does.
    async fn say_here(&self, run: RunId, said: &Said, taken: Option<&share::Taken>) -> Option<Decided> {
        let mailbox = self.mailbox(run)?;
        let (reply, answer) = oneshot::channel();
        mailbox.send(Letter { said: said.clone(), taken: taken.cloned(), reply }).await.ok()?;
        answer.await.ok()
    }

    async fn listed(&self, entry: &store::Entry) -> Result<Option<RunView>, Error> {
        let stored: Status = entry.decode()?;
        let status = match stored.ended {
            Some(_) => Some(Arc::new(stored)),
            // What is stored of one that goes on may be older than its journal.
            None => self.status_of(stored.head.run).await?,
        };
        Ok(match status {
            Some(status) => Some(self.view_of(&status).await),
            None => None,
        })
    }

    async fn view_of(&self, status: &Status) -> RunView {
        let book = if status.ended.is_none() { self.book_of(status).await.ok() } else { None };
        status.view(book.as_deref())
    }

    async fn status_of(&self, run: RunId) -> Result<Option<Arc<Status>>, Error> {
        Ok(journal::load(&self.0.parts.store, run).await?.map(Arc::new))
    }
}

impl Shared {
    fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
        locked(&self.stopper).take();
    }
}

impl Runs for Engine {
    fn propose(&self, request: ProposeRequest) -> BoxFuture<'_, Result<Proposed, Error>> {
        Box::pin(async move { propose::wanted(self, &request.into()).await })
    }

    fn order<'a>(&'a self, run: RunId, order: Order, person: &'a Person) -> BoxFuture<'a, Result<Decided, Error>> {
        Box::pin(async move {
            let said = Said::Order { order: order.clone(), person: person.clone() };
            match self.say(run, said.clone()).await? {
                Ok(decided) => Ok(decided),
                Err(ended) => reopen::answer(self, &ended, &said, None).await,
            }
        })
    }

    fn withdraw(&self, run: RunId, why: String) -> BoxFuture<'_, Result<Decided, Error>> {
        Box::pin(async move {
            match self.say(run, Said::Withdraw { why: why.clone() }).await? {
                Ok(decided) => Ok(decided),
                Err(ended) => Ok(order::withdraw(&ended, &why).says),
            }
        })
    }

    fn get(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunView>, Error>> {
        Box::pin(async move {
            // Always from the journal: whoever was woken by a commit must see it, and what is shown is what is durable.
            match journal::load(&self.0.parts.store, run).await? {
                Some(status) => Ok(Some(self.view_of(&status).await)),
                None => Ok(None),
            }
        })
    }

    fn list(&self, before: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunView>, Error>> {
        Box::pin(async move {
            let limit = limit.min(1_000);
            let mut range = Range::under(&Key::of(["run"]), limit);
            range.order = KeyOrder::Backward;
            if let Some(before) = before {
                range = range.past(&journal::status_key(before));
            }
            let mut views = Vec::new();
            loop {
                let page = self.0.parts.store.scan(&range).await?;
                for entry in &page {
                    match self.listed(entry).await {
                        Ok(view) => views.extend(view),
                        // Those of a later Mayday are its own to show; the rest is shown all the same.
                        Err(Error::Store(error @ store::Error::TooNew { .. })) => {
                            tracing::debug!(%error, "a run is left out of the list");
                        }
                        Err(error) => return Err(error),
                    }
                    if views.len() == limit {
                        return Ok(views);
                    }
                }
                // A list that is shorter than wanted says that there are no more.
                let Some(last) = page.last().filter(|_| page.len() == limit) else { return Ok(views) };
                range = range.past(&last.key);
            }
        })
    }
}

/// Goes on with open runs at start and lets them end in order at stop.
pub struct Service(Engine);

impl Service {
    /// Of this engine.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self(engine)
    }

    /// Runs until asked to stop.
    pub async fn run(self, stop: Stop) {
        let mut pause = Duration::from_millis(100);
        while let Err(error) = self.0.resume().await {
            tracing::warn!(%error, "open runs can't be read; trying again");
            tokio::select! {
                () = stop.wait() => return,
                () = self.0.0.parts.clock.sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        }
        share::keep(&self.0, stop).await;
        self.0.stop().await;
    }
}

/// The shard of a run.
pub(in crate::playbook) fn shard_of(run: RunId) -> Shard {
    Shard::of(&run.to_string())
}

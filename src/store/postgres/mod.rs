//! The shared store: PostgreSQL 13 or later, one database for all replicas.
//!
//! * **Order.** All commits of all replicas pass one row (`mayday_head`): its lock makes them serial, its number is the
//!   revision. So revisions are in commit order, conditions see everything committed before, and a reader of the changes
//!   misses none. What that costs is bought back by groups: one call, one sync for all commits that wait (`writer.rs`).
//! * **No lock waits for a client.** A group is one call of a function and commits with its end; a replica that is
//!   frozen in the middle holds nobody up.
//! * **A lost answer** is asked for again under the group's id. The server may restart; commits and reads wait for it as
//!   long as `patience` says.
//! * **Plain SQL reads it**: `mayday_incidents`, `mayday_runs`, `mayday_audit`, `mayday_records` (`migrations/`).
//!
//! Architecture Invariant: sqlx is named in this folder only.

mod changes;
mod group;
mod layout;
mod options;
mod probe;
mod reader;
mod server;
mod writer;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sqlx::postgres::PgPoolOptions;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use options::Options;
pub use probe::{Probed, probe};

use super::watchers::Watchers;
use super::{Batch, Entry, Error, Key, Range, Revision, SharedStore, Store, Watch, Write};
use crate::core::message::store as message;
use crate::core::{BoxFuture, Timestamp};
use reader::{Reader, apart};
use server::{Server, within};
use writer::{Request, Writer};

/// Longer keys are refused, as in the embedded store.
const KEY_BYTES: usize = 1_024;

/// Opens the store, making or changing its tables where that is needed.
///
/// # Errors
/// [`Error::Unavailable`] with what to do about the server; [`Error::NewerLayout`] when a later Mayday owns it.
pub async fn open(options: &Options, limits: &super::Options) -> Result<SharedStore, Error> {
    opened(options, limits, true).await
}

/// Opens the store for a command that looks into it or mends something: the tables are left as they are.
///
/// # Errors
/// As [`open`]; also where that would have to make or change tables.
pub async fn open_as_it_is(options: &Options, limits: &super::Options) -> Result<SharedStore, Error> {
    opened(options, limits, false).await
}

async fn opened(options: &Options, limits: &super::Options, may_migrate: bool) -> Result<SharedStore, Error> {
    let server = Arc::new(Server::new(options)?);
    let mut patience = server.patience();
    let mut connection = loop {
        match server.connect().await {
            Ok(connection) => break connection,
            Err(error) => patience.wait(error).await?,
        }
    };
    probe::usable(&mut connection, &server).await?;
    if may_migrate {
        layout::prepare(&mut connection, &server).await?;
    } else {
        layout::as_it_is(&mut connection, &server).await?;
    }
    let seen: i64 = within(sqlx::query_scalar("SELECT last FROM mayday_head").fetch_one(&mut connection))
        .await
        .map_err(|error| server.error(&error))?;
    drop(connection);

    // One to listen and one to look for changes, besides the readers.
    let pool = PgPoolOptions::new()
        .max_connections(options.connections.saturating_add(2))
        .acquire_timeout(server::FREE)
        // A broken connection is noticed by its error, and the question asked again; asking before each would double the cost.
        .test_before_acquire(false)
        .connect_lazy_with(server.address().clone());
    let watchers = Arc::new(Watchers::default());
    let (me, news, heard) = (Uuid::now_v7(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (requests, receiver) = mpsc::channel(limits.queue.max(1));
    let failed = Arc::new(OnceLock::new());
    let writer = Writer {
        server: server.clone(),
        watchers: watchers.clone(),
        requests: receiver,
        group_bytes: limits.group_bytes.max(1),
        me,
        news: news.clone(),
        failed: failed.clone(),
        connection: None,
        down: false,
    };
    let ear = changes::Ear {
        pool: pool.clone(),
        watchers: watchers.clone(),
        me,
        poll: options.poll.0,
        seen,
        heard: heard.clone(),
    };
    let mut tasks = vec![tokio::spawn(ear.run()), tokio::spawn(changes::tell(pool.clone(), me, news))];
    if options.listen {
        tasks.push(tokio::spawn(changes::listen(pool.clone(), me, heard)));
    }
    Ok(Arc::new(Postgres {
        reader: Reader { server, pool },
        watchers,
        requests,
        writer: Mutex::new(tokio::spawn(writer.run())),
        tasks,
        failed,
        batch_bytes: limits.batch_bytes,
    }))
}

/// The store behind the trait.
struct Postgres {
    reader: Reader,
    watchers: Arc<Watchers>,
    requests: mpsc::Sender<Request>,
    /// Ends by itself when the last sender is gone: what it took is still written.
    writer: Mutex<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    failed: Arc<OnceLock<String>>,
    batch_bytes: usize,
}

impl Store for Postgres {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        let (reader, key) = (self.reader.clone(), key.clone());
        Box::pin(apart(async move { reader.read(key).await }))
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        let (reader, range) = (self.reader.clone(), range.clone());
        Box::pin(apart(async move { reader.scan(range).await }))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            let bytes = check(&batch, self.batch_bytes)?;
            let closed = || Error::Unavailable(message::closed());
            let (done, answer) = oneshot::channel();
            self.requests.send(Request { batch, bytes, done }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        let reader = self.reader.clone();
        Box::pin(apart(async move { reader.now().await.map(Some) }))
    }

    fn failed(&self) -> Option<String> {
        let ended = self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_finished();
        self.failed.get().cloned().or_else(|| ended.then(|| "its writer has ended with a panic".to_owned()))
    }

    fn watch(&self, prefix: &Key) -> Watch {
        self.watchers.watch(prefix)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A batch's size, if it is small enough to be taken.
fn check(batch: &Batch, most: usize) -> Result<usize, Error> {
    let mut bytes = 0;
    for write in &batch.writes {
        let (key, value) = match write {
            Write::Put(key, value) => (key, value.len()),
            Write::Delete(key) => (key, 0),
        };
        if key.as_str().is_empty() || key.as_str().len() > KEY_BYTES || key.as_str().contains('\0') {
            let start: String = key.as_str().chars().take(80).collect();
            return Err(Error::Encode(format!(
                "the key `{start}` is empty, longer than {KEY_BYTES} bytes or not text"
            )));
        }
        bytes += key.as_str().len() + value + 16;
    }
    if bytes > most { Err(Error::TooLarge { bytes, most }) } else { Ok(bytes) }
}

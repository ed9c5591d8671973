//! Hears of other replicas' commits, and tells them of this one's.
//!
//! Looking at the changes every few hundred milliseconds suffices alone; a notification only makes it look at once. The
//! notification is sent beside the commits, many of them as one, since PostgreSQL lets one transaction with a notification
//! commit at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use uuid::Uuid;

use super::server::{ask, within};
use super::writer::revision;
use crate::store::Revision;
use crate::store::watchers::Watchers;

const CHANNEL: &str = "mayday_changes";
/// Commits within so long are told as one.
const TOGETHER: Duration = Duration::from_millis(20);
/// The pause after the server did not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// So many changes are read at once.
const PAGE: i64 = 1_000;
/// Changes are forgotten after so long; looked at every so often.
const FORGET: &str = "WITH gone AS (DELETE FROM mayday_changes WHERE at < now() - interval '3 minutes' RETURNING revision) \
     UPDATE mayday_head SET forgotten = greatest(forgotten, (SELECT max(revision) FROM gone)) WHERE EXISTS (SELECT FROM gone)";
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// Looks for others' changes.
pub(super) struct Ear {
    pub pool: PgPool,
    pub watchers: Arc<Watchers>,
    pub me: Uuid,
    pub poll: Duration,
    /// Everything up to here has been told to this process's watches.
    pub seen: i64,
    /// Woken by a notification.
    pub heard: Arc<Notify>,
}

impl Ear {
    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let mut forgotten_at = tokio::time::Instant::now();
        loop {
            let pause = match self.look().await {
                Ok(()) => self.poll,
                Err(error) => {
                    tracing::debug!(%error, "others' changes can't be read now");
                    PAUSE
                }
            };
            if forgotten_at.elapsed() > FORGET_EVERY {
                forgotten_at = tokio::time::Instant::now();
                if let Err(error) = ask!(self.pool, |one| sqlx::query(FORGET).execute(one)) {
                    tracing::debug!(%error, "old changes stay for now");
                }
            }
            // A notification cuts the wait short; it can't be missed, since a permit is kept.
            let _ = tokio::time::timeout(pause, self.heard.notified()).await;
        }
    }

    async fn look(&mut self) -> Result<(), sqlx::Error> {
        loop {
            let (last, forgotten): (i64, i64) =
                ask!(self.pool, |one| sqlx::query_as("SELECT last, forgotten FROM mayday_head").fetch_one(one))?;
            if last <= self.seen {
                return Ok(());
            }
            if self.seen < forgotten {
                // Away for minutes: nobody knows any more what changed.
                self.watchers.wake_all(revision(last));
                self.seen = last;
                return Ok(());
            }
            let changes: Vec<(i64, bool, Vec<String>)> = ask!(self.pool, |one| {
                sqlx::query_as(
                    "SELECT revision, writer = $2::uuid, prefixes FROM mayday_changes WHERE revision > $1 AND revision <= $3 \
                     ORDER BY revision LIMIT $4",
                )
                .bind(self.seen)
                .bind(self.me.to_string())
                .bind(last)
                .bind(PAGE)
                .fetch_all(one)
            })?;
            let whole = i64::try_from(changes.len()).unwrap_or(PAGE) < PAGE;
            let upto = if whole { last } else { changes.last().map_or(last, |change| change.0) };
            // Own commits have woken their watches already.
            let mut prefixes: Vec<String> =
                changes.into_iter().filter(|(_, own, _)| !own).flat_map(|(_, _, prefixes)| prefixes).collect();
            prefixes.sort_unstable();
            prefixes.dedup();
            if !prefixes.is_empty() {
                self.watchers.wake_around(&prefixes, Revision(u64::try_from(upto).unwrap_or(0)));
            }
            self.seen = upto;
            if whole {
                return Ok(());
            }
        }
    }
}

/// Tells the others that there is something new, now and then.
pub(super) async fn tell(pool: PgPool, me: Uuid, news: Arc<Notify>) {
    loop {
        news.notified().await;
        tokio::time::sleep(TOGETHER).await;
        let told = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(me.to_string());
        if let Err(error) = ask!(pool, |one| told.execute(one)) {
            // They look by themselves.
            tracing::debug!(%error, "the others were not notified");
        }
    }
}

/// Listens for what others tell.
pub(super) async fn listen(pool: PgPool, me: Uuid, heard: Arc<Notify>) {
    let me = me.to_string();
    loop {
        if let Err(error) = listen_once(&pool, &me, &heard).await {
            tracing::debug!(%error, "notifications can't be listened for now");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen_once(pool: &PgPool, me: &str, heard: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        match listener.try_recv().await? {
            Some(notification) if notification.payload() == me => {}
            // None: the connection was lost and made again; something may have been missed.
            _ => heard.notify_one(),
        }
    }
}

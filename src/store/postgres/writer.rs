//! The one task that writes: group commit over one connection.
//!
//! It takes one commit and all that wait with it (bounded), decides them (`group.rs`), and sends them as one call of
//! `mayday_commit`, which is one transaction. While that call is under way the next group gathers. An answer that was lost
//! is asked for again under the group's id, which the database decides only once; so a server may restart in the middle.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use super::group::{Known, Plan, decide};
use super::layout;
use super::server::{Server, Trouble, within};
use crate::store::watchers::Watchers;
use crate::store::{Batch, Error, Key, Revision};

/// At most so many commits in a group: bounds how long the first of them waits, and the size of an answer.
const GROUP: usize = 4_096;

/// Raised where the server has it lower: an answer then means that the commit survives a power cut there.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local') \
     UNION ALL SELECT set_config('plan_cache_mode', 'force_generic_plan', false)";

/// JSON nested deeper is stored as bytes.
const DEEPEST: i32 = 500;

const COMMIT: &str = "SELECT out_base, out_wrong, out_found FROM mayday_commit($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// What a commit is told.
type Answer = Result<Revision, Error>;

/// One commit that waits.
pub(super) struct Request {
    pub batch: Batch,
    pub bytes: usize,
    pub done: oneshot::Sender<Answer>,
}

/// The writer's own state.
pub(super) struct Writer {
    pub server: Arc<Server>,
    pub watchers: Arc<Watchers>,
    pub requests: mpsc::Receiver<Request>,
    pub group_bytes: usize,
    /// This process, for its own changes.
    pub me: Uuid,
    /// Woken when there is something to tell the others.
    pub news: Arc<Notify>,
    /// Why nothing is taken any more.
    pub failed: Arc<OnceLock<String>>,
    pub connection: Option<PgConnection>,
    /// Whether the last group was given up: then the next does not wait as long again.
    pub down: bool,
}

/// What the database said of a group.
enum Said {
    /// The revision before the group's first.
    Done(Revision),
    /// What it found where something else was needed.
    Wrong(Known),
}

impl Writer {
    /// Runs until every sender is gone.
    pub async fn run(mut self) {
        while let Some(first) = self.requests.recv().await {
            let started = Instant::now();
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < self.group_bytes && group.len() < GROUP {
                let Ok(next) = self.requests.try_recv() else { break };
                bytes += next.bytes;
                group.push(next);
            }
            let commits = group.len() as u64;
            self.settle(group).await;
            metrics::counter!("mayday_store_commits_total").increment(commits);
            metrics::counter!("mayday_store_groups_total").increment(1);
            metrics::histogram!("mayday_store_group_seconds").record(started.elapsed().as_secs_f64());
        }
    }

    /// Has a group decided and answers all of it.
    async fn settle(&mut self, group: Vec<Request>) {
        let mut known = Known::new();
        loop {
            let plan = decide(group.iter().map(|request| &request.batch), &known);
            let said = if plan.settled { Ok(Said::Done(Revision(0))) } else { self.ask(&plan).await };
            match said {
                Ok(Said::Wrong(found)) => known.extend(found),
                Ok(Said::Done(base)) => {
                    let changed: Vec<Key> = plan.writes.keys().map(|key| (*key).clone()).collect();
                    let last = Revision(base.0 + plan.accepted);
                    let answers = plan.answers;
                    for (request, answer) in group.into_iter().zip(answers) {
                        let answer = answer.map(|number| Revision(base.0 + number)).map_err(Error::Conflict);
                        // The asker may be gone.
                        let _ = request.done.send(answer);
                    }
                    self.watchers.wake(changed.iter().map(Key::as_str), last);
                    if !changed.is_empty() {
                        self.news.notify_one();
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, commits = group.len(), "commits failed");
                    metrics::counter!("mayday_store_failures_total").increment(1);
                    if matches!(error, Error::NewerLayout { .. }) {
                        let _ = self.failed.set(error.to_string());
                    }
                    for request in group {
                        let _ = request.done.send(Err(error.clone()));
                    }
                    return;
                }
            }
        }
    }

    /// Asks until there is an answer or the patience is over. The id stays the same meanwhile: whatever became of an
    /// earlier call, and even if it is still to be carried out, the database decides the group once.
    async fn ask(&mut self, plan: &Plan<'_>) -> Result<Said, Error> {
        let mut id = Uuid::now_v7();
        let server = self.server.clone();
        let mut patience = server.patience();
        let mut plain = false;
        let mut asked_before = false;
        loop {
            let error = match self.call(plan, id, plain).await {
                Ok(Some(said)) => {
                    self.down = false;
                    return Ok(said);
                }
                // An earlier call whose answer was lost was refused; what it found was lost with it.
                Ok(None) if asked_before => {
                    id = Uuid::now_v7();
                    continue;
                }
                Ok(None) => return Err(Error::Unavailable("a group's id was used twice".to_owned())),
                Err(error) => error,
            };
            match server.trouble(&error) {
                // Some JSON is not PostgreSQL's: stored as bytes, it comes back as it was all the same.
                Trouble::Value(why) if !plain => {
                    tracing::debug!(why, "a group is stored as bytes");
                    plain = true;
                    continue;
                }
                _ => {}
            }
            asked_before = true;
            self.connection = None;
            if self.down {
                return Err(server.error(&error));
            }
            if let Err(error) = patience.wait(error).await {
                self.down = true;
                return Err(error);
            }
        }
    }

    /// One call; nothing if the group was refused by an earlier call.
    async fn call(&mut self, plan: &Plan<'_>, id: Uuid, plain: bool) -> Result<Option<Said>, sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.server.connect().await?;
                within(sqlx::query(SETTINGS).execute(&mut connection)).await?;
                connection
            }
        };
        let mut needs: Vec<(&str, Option<i64>)> =
            plan.needs.iter().map(|(key, found)| (key.as_str(), found.map(number))).collect();
        // In one order always, for the index's pages.
        needs.sort_unstable();
        let (need_keys, need_revisions): (Vec<&str>, Vec<Option<i64>>) = needs.into_iter().unzip();
        let mut puts: Vec<_> =
            plan.writes.iter().filter_map(|(key, put)| Some((key.as_str(), put.as_ref()?))).collect();
        puts.sort_unstable_by_key(|(key, _)| *key);
        let texts: Vec<Option<&str>> = puts.iter().map(|(_, put)| if plain { None } else { json(put.value) }).collect();
        let bytes: Vec<Option<&[u8]>> =
            puts.iter().zip(&texts).map(|((_, put), text)| text.is_none().then_some(put.value)).collect();
        let gone: Vec<&str> =
            plan.writes.iter().filter(|(_, put)| put.is_none()).map(|(key, _)| key.as_str()).collect();
        let question = sqlx::query_as::<_, (Option<i64>, Option<Vec<String>>, Option<Vec<Option<i64>>>)>(COMMIT)
            .bind(id.to_string())
            .bind(self.me.to_string())
            .bind(i32::try_from(layout::KNOWN).unwrap_or(i32::MAX))
            .bind(i64::try_from(plan.accepted).unwrap_or(i64::MAX))
            .bind(&need_keys)
            .bind(&need_revisions)
            .bind(puts.iter().map(|(key, _)| *key).collect::<Vec<&str>>())
            .bind(puts.iter().map(|(_, put)| i64::try_from(put.by).unwrap_or(i64::MAX)).collect::<Vec<i64>>())
            .bind(&texts)
            .bind(&bytes)
            .bind(&gone)
            .bind(plan.prefixes());
        let answer = within(question.fetch_one(&mut connection)).await;
        // An error that the server itself told leaves the connection as it was.
        if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
            self.connection = Some(connection);
        } else {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(100), connection.close_hard()).await;
        }
        let (base, wrong, found) = answer?;
        Ok(match (wrong, base) {
            (Some(wrong), _) => {
                let found = found.unwrap_or_default().into_iter().map(|found| found.map(revision));
                Some(Said::Wrong(wrong.into_iter().map(Key::stored).zip(found).collect()))
            }
            (None, Some(base)) => Some(Said::Done(revision(base))),
            (None, None) => None,
        })
    }
}

/// The value as text, if it is JSON and PostgreSQL can keep it as such.
fn json(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    // `json` takes it, and no view over it can be read any more: its texts have no zero.
    if text.contains("\\u0000") {
        return None;
    }
    // PostgreSQL's reader is recursive. Brackets in texts count too: what is then stored as bytes does no harm.
    let (mut depth, mut deepest) = (0_i32, 0);
    for byte in value {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    (deepest <= DEEPEST).then_some(text)
}

pub(super) fn revision(stored: i64) -> Revision {
    Revision(u64::try_from(stored).unwrap_or(0))
}

pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

//! Reading, over a pool of connections.

use std::sync::Arc;

use sqlx::PgPool;

use super::server::{Server, ask, within};
use super::writer::revision;
use crate::core::Timestamp;
use crate::core::message::store as message;
use crate::store::key::Order;
use crate::store::{Entry, Error, Key, Range};

type Row = (i64, Option<String>, Option<Vec<u8>>);
type KeyRow = (String, i64, Option<String>, Option<Vec<u8>>);

/// Asks questions; each waits for a server that restarts.
#[derive(Clone)]
pub(super) struct Reader {
    pub server: Arc<Server>,
    pub pool: PgPool,
}

/// Runs a question as a task of its own. The pool gives a free connection to whoever waited longest; a caller that is not
/// polled meanwhile (one of many futures of a task that waits for another of them) would keep it, and others wait for it
/// for ever. A task is always polled.
pub(super) async fn apart<T: Send + 'static>(
    question: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(question).await.unwrap_or_else(|_| Err(Error::Unavailable(message::closed())))
}

impl Reader {
    pub async fn read(&self, key: Key) -> Result<Option<Entry>, Error> {
        const READ: &str = "SELECT revision, json::text, bytes FROM mayday_entries WHERE key = $1";
        if key.as_str().contains('\0') {
            return Ok(None);
        }
        let mut patience = self.server.patience();
        loop {
            match ask!(self.pool, |one| sqlx::query_as::<_, Row>(READ).bind(key.as_str()).fetch_optional(one)) {
                Ok(row) => return Ok(row.map(|(at, json, bytes)| entry(key, at, json, bytes))),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    pub async fn scan(&self, range: Range) -> Result<Vec<Entry>, Error> {
        if range.limit == 0 || range.from >= range.to {
            return Ok(Vec::new());
        }
        let bounds = Bounds::of(&range);
        let mut patience = self.server.patience();
        loop {
            let question = sqlx::query_as::<_, KeyRow>(bounds.statement)
                .bind(bounds.from)
                .bind(bounds.to)
                .bind(i64::try_from(range.limit).unwrap_or(i64::MAX));
            match ask!(self.pool, |one| question.fetch_all(one)) {
                Ok(rows) => {
                    let entries = rows.into_iter();
                    return Ok(entries
                        .map(|(key, at, json, bytes)| entry(Key::stored(key), at, json, bytes))
                        .collect());
                }
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    /// The server's clock.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let mut patience = self.server.patience();
        loop {
            match ask!(self.pool, |one| sqlx::query_scalar::<_, i64>(NOW).fetch_one(one)) {
                Ok(millis) => {
                    let wrong =
                        |error: jiff::Error| Error::Unavailable(message::other(self.server.name(), &error.to_string()));
                    return Timestamp::from_millisecond(millis).map_err(wrong);
                }
                Err(error) => patience.wait(error).await?,
            }
        }
    }
}

fn entry(key: Key, at: i64, json: Option<String>, bytes: Option<Vec<u8>>) -> Entry {
    Entry { key, revision: revision(at), value: json.map(String::into_bytes).or(bytes).unwrap_or_default() }
}

/// A range as PostgreSQL can say it: its texts hold no zero byte, which [`Range::past`] uses for "right after".
struct Bounds<'a> {
    from: &'a str,
    to: &'a str,
    statement: &'static str,
}

macro_rules! scan {
    ($from:literal, $to:literal, $order:literal) => {
        concat!(
            "SELECT key, revision, json::text, bytes FROM mayday_entries WHERE key ",
            $from,
            " $1 AND key ",
            $to,
            " $2 ORDER BY key ",
            $order,
            " LIMIT $3"
        )
    };
}

impl<'a> Bounds<'a> {
    fn of(range: &'a Range) -> Self {
        let cut = |key: &'a Key| key.as_str().split_once('\0').map_or((key.as_str(), false), |(text, _)| (text, true));
        let ((from, after), (to, upto)) = (cut(&range.from), cut(&range.to));
        let statement = match (after, upto, range.order) {
            (false, false, Order::Forward) => scan!(">=", "<", "ASC"),
            (true, false, Order::Forward) => scan!(">", "<", "ASC"),
            (false, true, Order::Forward) => scan!(">=", "<=", "ASC"),
            (true, true, Order::Forward) => scan!(">", "<=", "ASC"),
            (false, false, Order::Backward) => scan!(">=", "<", "DESC"),
            (true, false, Order::Backward) => scan!(">", "<", "DESC"),
            (false, true, Order::Backward) => scan!(">=", "<=", "DESC"),
            (true, true, Order::Backward) => scan!(">", "<=", "DESC"),
        };
        Self { from, to, statement }
    }
}

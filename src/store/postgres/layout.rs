//! The tables and their versions: each migration is one file, applied once, in a transaction of its own with the mark that it was.
//!
//! A binary that knows layout N works with N and N + 1: a migration must therefore only add. Beyond that it refuses.
//!
//! Replicas of before go on meanwhile. Whoever waits for a table's lock keeps all others waiting who come later, so a migration
//! gives up waiting soon ([`LOCK_WAIT`]), undoes all it did and begins again; and each of its statements must be done
//! soon ([`STATEMENT`]). The server bounds statements, not their sum: of those that lock a table in use, a file has one, and what
//! needs two is two layouts. The head's row, which every commit passes, is touched last.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::server::{Server, within};
use crate::core::message::store as message;
use crate::store::Error;

/// What brings layout n - 1 to layout n, first the one that makes layout 1.
const MIGRATIONS: &[&str] = &[include_str!("migrations/1.sql")];

/// The newest layout this binary knows.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// So long a migration waits for a lock. Commits of running replicas may have to wait as long.
const LOCK_WAIT: &str = "1s";
/// So long one statement of a migration takes at most: less than a running replica waits for an answer.
const STATEMENT: &str = "5s";

/// Any number; two processes that start at once take turns.
const LOCK: i64 = 0x006d_6179_6461_7931;

/// Brings the database to the newest layout this binary knows.
///
/// # Errors
/// [`Error::NewerLayout`], or the server's.
pub(super) async fn prepare(connection: &mut PgConnection, server: &Server) -> Result<(), Error> {
    if allowed(connection, server).await? >= KNOWN {
        return Ok(());
    }
    let mut patience = server.patience();
    loop {
        match migrate(connection).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // By the server's own word: the transaction is over, the connection as it was.
            Err(error @ sqlx::Error::Database(_)) => patience.wait(error).await?,
            Err(error) => return Err(server.error(&error)),
        }
    }
}

/// For who only works on what is there: the database must have tables, and those that this binary knows.
///
/// # Errors
/// [`Error::Unavailable`] where a start would have to make or change them, [`Error::NewerLayout`], or the server's.
pub(super) async fn as_it_is(connection: &mut PgConnection, server: &Server) -> Result<(), Error> {
    match allowed(connection, server).await? {
        0 => Err(Error::Unavailable(message::no_tables(server.name()))),
        found if found < KNOWN => Err(Error::Unavailable(message::older_tables(server.name(), found, KNOWN))),
        _ => Ok(()),
    }
}

/// The database's layout, if this binary may write to it.
///
/// # Errors
/// [`Error::NewerLayout`], or the server's.
pub(super) async fn allowed(connection: &mut PgConnection, server: &Server) -> Result<u32, Error> {
    let found = within(found(connection)).await.map_err(|error| server.error(&error))?;
    if found > KNOWN + 1 { Err(Error::NewerLayout { found, known: KNOWN + 1 }) } else { Ok(found) }
}

/// The database's layout; 0 where there is none yet.
async fn found(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    // Not `to_regclass`: that may remember that there was none, although another process has made it meanwhile.
    const THERE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE tablename = 'mayday_head' AND schemaname = ANY (current_schemas(false)))";
    let there: bool = sqlx::query_scalar(THERE).fetch_one(&mut *connection).await?;
    if !there {
        return Ok(0);
    }
    let layout: i32 = sqlx::query_scalar("SELECT layout FROM mayday_head").fetch_one(connection).await?;
    Ok(u32::try_from(layout).unwrap_or(u32::MAX))
}

/// Applies the next migration; whether there was one.
async fn migrate(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)")
        .bind(LOCK_WAIT)
        .bind(STATEMENT)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    // Another process may have done it while this one waited.
    let from = found(&mut transaction).await?;
    let Some((number, migration)) = (1_u32..).zip(MIGRATIONS).find(|(number, _)| *number > from) else {
        return Ok(false);
    };
    (&mut *transaction).execute(sqlx::raw_sql(*migration)).await?;
    sqlx::query("UPDATE mayday_head SET layout = $1").bind(i64::from(number)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    tracing::info!(layout = number, "the database has a new layout");
    Ok(true)
}

//! The tables and their versions: each migration is one file, applied once, in one transaction with the mark that it was.
//!
//! A binary that knows layout N works with N and N + 1: a migration must therefore only add. Beyond that it refuses.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::server::Server;
use crate::store::Error;

/// What brings layout n - 1 to layout n, first the one that makes layout 1.
const MIGRATIONS: &[&str] = &[include_str!("migrations/1.sql")];

/// The newest layout this binary knows.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

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
    migrate(connection).await.map_err(|error| server.error(&error))
}

/// The database's layout, if this binary may write to it.
///
/// # Errors
/// [`Error::NewerLayout`], or the server's.
pub(super) async fn allowed(connection: &mut PgConnection, server: &Server) -> Result<u32, Error> {
    let found = found(connection).await.map_err(|error| server.error(&error))?;
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

async fn migrate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    // Another process may have done it while this one waited.
    let from = found(&mut transaction).await?;
    for (number, migration) in (1u32..).zip(MIGRATIONS).filter(|(number, _)| *number > from) {
        (&mut *transaction).execute(sqlx::raw_sql(*migration)).await?;
        sqlx::query("UPDATE mayday_head SET layout = $1")
            .bind(i32::try_from(number).unwrap_or(i32::MAX))
            .execute(&mut *transaction)
            .await?;
        tracing::info!(layout = number, "the database has a new layout");
    }
    transaction.commit().await
}

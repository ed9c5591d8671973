//! Looks at a server for `mayday check`: whether it can be used, and what about it can lose data.

use sqlx::postgres::PgConnection;

use super::server::{Server, within};
use super::{Options, layout};
use crate::core::message::store as message;
use crate::store::Error;

/// The oldest version that is supported anywhere.
const LEAST: u32 = 13;

/// What a look at a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Where it is, without the password.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Settings that can lose what was acknowledged, a sentence each.
    pub warnings: Vec<String>,
}

/// Looks at the server without changing anything.
///
/// # Errors
/// Why it can't be used, and what to do.
pub async fn probe(options: &Options) -> Result<Probed, Error> {
    let server = Server::new(options)?;
    let mut connection = server.connect().await.map_err(|error| server.error(&error))?;
    let version = usable(&mut connection, &server).await?;
    layout::allowed(&mut connection, &server).await?;
    let off: Vec<(String,)> = within(
        sqlx::query_as(
            "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'off' \
             ORDER BY name",
        )
        .fetch_all(&mut connection),
    )
    .await
    .map_err(|error| server.error(&error))?;
    let warning = |(name,): (String,)| message::unsafe_setting(server.name(), &name, message::harm(&name));
    Ok(Probed { server: server.name().to_owned(), version, warnings: off.into_iter().map(warning).collect() })
}

/// Whether the server is one that the adapter works with; its version.
pub(super) async fn usable(connection: &mut PgConnection, server: &Server) -> Result<String, Error> {
    let question = "SELECT current_setting('server_version'), current_setting('server_version_num')::integer, \
                    current_setting('server_encoding'), pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let (version, number, encoding, read_only): (String, i32, String, bool) =
        within(sqlx::query_as(question).fetch_one(connection)).await.map_err(|error| server.error(&error))?;
    let wrong = if u32::try_from(number).unwrap_or(0) / 10_000 < LEAST {
        message::too_old(server.name(), &version, LEAST)
    } else if encoding != "UTF8" {
        message::encoding(server.name(), &encoding)
    } else if read_only {
        message::read_only(server.name())
    } else {
        return Ok(version);
    };
    Err(Error::Unavailable(wrong))
}

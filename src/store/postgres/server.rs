//! The server as the adapter sees it: how to reach it, what its errors mean, and when to try again.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;

use super::Options;
use crate::core::message::store as message;
use crate::store::Error;

/// One question and its answer may take so long; after that the connection is given up.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// A connection of the pool must be free within so long.
pub(super) const FREE: Duration = Duration::from_secs(3);
/// So many tries are made even if the time is over: a process that was frozen has not had its time.
const TRIES: u32 = 4;
/// Pauses between tries, doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Where it is, and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    address: PgConnectOptions,
    /// For sentences.
    name: String,
    patience: Duration,
}

/// What to do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may go by itself: the server restarts, a connection broke.
    Passing(String),
    /// A value is not what the server takes.
    Value(String),
    /// The layout is newer than this binary writes to.
    Layout(u32),
    /// Someone must do something.
    Lasting(String),
}

impl Server {
    pub fn new(options: &Options) -> Result<Self, Error> {
        let address = options.address().map_err(Error::Unavailable)?;
        let name = message::server(address.get_host(), address.get_port(), address.get_database().unwrap_or_default());
        let address = address
            .application_name("mayday")
            // Statements are few and fixed; each is sent once in full.
            .statement_cache_capacity(32)
            .options([("default_transaction_isolation", "read committed"), ("timezone", "UTC")])
            .disable_statement_logging();
        Ok(Self { address, name, patience: options.patience.0 })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> &PgConnectOptions {
        &self.address
    }

    /// A connection of one's own.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(PgConnection::connect_with(&self.address)).await
    }

    /// Someone who waits for it from now on.
    pub fn patience(&self) -> Patience<'_> {
        Patience { server: self, until: Instant::now() + self.patience, pause: PAUSES.0, tries: 0 }
    }

    /// What an error means.
    pub fn trouble(&self, error: &sqlx::Error) -> Trouble {
        let name = self.name.as_str();
        match error {
            sqlx::Error::Database(said) => {
                let code = said.code().unwrap_or_default();
                let why = said.message();
                match code.as_ref() {
                    "MD001" => Trouble::Layout(why.parse().unwrap_or(u32::MAX)),
                    "28P01" | "28000" => Trouble::Lasting(message::refused(name, why)),
                    "3D000" => {
                        Trouble::Lasting(message::no_database(name, self.address.get_database().unwrap_or_default()))
                    }
                    "42501" => Trouble::Lasting(message::no_right(name, self.address.get_username(), why)),
                    "25006" => Trouble::Lasting(message::read_only(name)),
                    "53100" => Trouble::Lasting(message::disk_full(name)),
                    "53300" => Trouble::Passing(message::full(name)),
                    "57P01" | "57P02" | "57P03" => Trouble::Passing(message::not_ready(name, why)),
                    // Cancelled by a time limit, deadlock, lock not had.
                    "57014" | "40P01" | "40001" | "55P03" => Trouble::Passing(message::other(name, why)),
                    code if code.starts_with("08") => Trouble::Passing(message::no_answer(name, why)),
                    code if code.starts_with("22") || code == "54001" => Trouble::Value(message::other(name, why)),
                    _ => Trouble::Lasting(message::other(name, why)),
                }
            }
            sqlx::Error::PoolTimedOut => Trouble::Passing(message::too_slow(name, FREE.as_secs())),
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Trouble::Passing(message::too_slow(name, ANSWER.as_secs()))
            }
            sqlx::Error::Io(error) => Trouble::Passing(message::no_answer(name, &error.to_string())),
            sqlx::Error::Protocol(why) => Trouble::Passing(message::no_answer(name, why)),
            sqlx::Error::Tls(why) => Trouble::Lasting(message::no_answer(name, &why.to_string())),
            error => Trouble::Lasting(message::other(name, &error.to_string())),
        }
    }

    /// The error in the store's words.
    pub fn error(&self, error: &sqlx::Error) -> Error {
        match self.trouble(error) {
            Trouble::Layout(found) => Error::NewerLayout { found, known: super::layout::KNOWN + 1 },
            Trouble::Passing(why) | Trouble::Value(why) | Trouble::Lasting(why) => Error::Unavailable(why),
        }
    }
}

/// Waits for a server that restarts, up to a time.
pub(super) struct Patience<'a> {
    server: &'a Server,
    until: Instant,
    pause: Duration,
    tries: u32,
}

impl Patience<'_> {
    /// Returns after a pause when trying again makes sense.
    ///
    /// # Errors
    /// The error, in the store's words, when it does not.
    pub async fn wait(&mut self, error: sqlx::Error) -> Result<(), Error> {
        self.tries += 1;
        let over = Instant::now() + self.pause > self.until && self.tries >= TRIES;
        if over || !matches!(self.server.trouble(&error), Trouble::Passing(_)) {
            // The pool says only that it had no connection in time; a connection of one's own says why.
            if matches!(error, sqlx::Error::PoolTimedOut)
                && let Err(error) = self.server.connect().await
            {
                return Err(self.server.error(&error));
            }
            return Err(self.server.error(&error));
        }
        tracing::debug!(%error, "the database is asked again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// A question to a connection of the pool. After an error that is not the server's own word the connection is closed here and
/// now: the pool would ask it whether it still lives, for as long as a silent peer keeps it waiting, and its place with it.
macro_rules! ask {
    ($pool:expr, |$connection:ident| $question:expr) => {
        match within($pool.acquire()).await {
            Err(error) => Err(error),
            Ok(mut held) => {
                let answer = {
                    let $connection = &mut *held;
                    within($question).await
                };
                if answer.as_ref().is_err_and(|error| !matches!(error, sqlx::Error::Database(_))) {
                    drop(held.detach());
                }
                answer
            }
        }
    };
}
pub(super) use ask;

/// The answer, if it comes in time. Whoever waited must not use the connection again after an error.
pub(super) async fn within<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER, question).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

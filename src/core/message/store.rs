//! What the store says about a database server: what is wrong, and what to do.

use jiff::SignedDuration;

use crate::core::duration::human;

/// Where a server is, for sentences: never with a password.
pub fn server(host: &str, port: u16, database: &str) -> String {
    format!("PostgreSQL at {host}:{port}/{database}")
}

/// Nobody answers there.
pub fn no_answer(server: &str, why: &str) -> String {
    format!("{server} does not answer ({why}); start it, or correct `store.postgres.url`")
}

/// It answers, but not in time.
pub fn too_slow(server: &str, seconds: u64) -> String {
    format!(
        "{server} took longer than {seconds} s to answer; look at its load, its locks and the network between, or raise `store.postgres.connections`"
    )
}

/// The user or the password is wrong.
pub fn refused(server: &str, why: &str) -> String {
    format!("{server} refuses this user ({why}); correct user and password in `store.postgres.url`, or pg_hba.conf")
}

/// There is no such database.
pub fn no_database(server: &str, database: &str) -> String {
    format!("{server} has no such database; create it with `createdb {database}`, or correct `store.postgres.url`")
}

/// The user may not do what is needed.
pub fn no_right(server: &str, user: &str, why: &str) -> String {
    format!(
        "{server} does not let `{user}` use its tables ({why}); run there: GRANT CREATE, USAGE ON SCHEMA public TO \"{user}\""
    )
}

/// All connections are taken.
pub fn full(server: &str) -> String {
    format!("{server} takes no more connections; raise its max_connections, or lower `store.postgres.connections`")
}

/// A standby, or a server that was told to take no writes.
pub fn read_only(server: &str) -> String {
    format!("{server} takes no writes; name the primary in `store.postgres.url`, or let this one take over")
}

/// No room on the server's disk.
pub fn disk_full(server: &str) -> String {
    format!("{server} has no room on its disk; make room there")
}

/// What to do where the embedded store's files find no room.
pub fn make_room() -> &'static str {
    "make room on the disk of the data folder"
}

/// It goes down or comes up.
pub fn not_ready(server: &str, why: &str) -> String {
    format!("{server} is not ready ({why}); wait for it, or look at its log")
}

/// Anything else.
pub fn other(server: &str, why: &str) -> String {
    format!("{server}: {why}; look at the server's log")
}

/// Its text encoding can't hold every text.
pub fn encoding(server: &str, found: &str) -> String {
    format!("{server} stores text as {found}; create the database with ENCODING 'UTF8'")
}

/// An old server.
pub fn too_old(server: &str, found: &str, least: u32) -> String {
    format!("{server} is version {found}; Mayday needs {least} or later")
}

/// A database without Mayday's tables, for a command that makes none.
#[must_use]
pub fn no_tables(server: &str) -> String {
    format!("{server} holds no data of Mayday: is store.postgres the one that the bot runs with?")
}

/// A database as an older Mayday left it, for a command that changes no tables.
#[must_use]
pub fn older_tables(server: &str, found: u32, known: u32) -> String {
    format!(
        "{server} has layout {found}, this Mayday works with {known}: use the Mayday that runs on it, or start this one, which changes the tables"
    )
}

/// Not a database's address. The address itself is not shown: it may hold a password.
pub fn bad_address(why: &str) -> String {
    format!("this is not a PostgreSQL address: {why}; write postgres://user:password@host:5432/database")
}

/// A setting that can lose what was acknowledged.
pub fn unsafe_setting(server: &str, name: &str, harm: &str) -> String {
    format!("{server} has {name} off: {harm}; set `{name} = on` in its postgresql.conf and reload it")
}

/// What is lost without the setting.
pub fn harm(name: &str) -> &'static str {
    match name {
        "fsync" => "a power cut there loses what was acknowledged, or the whole database",
        "synchronous_commit" => "others' commits may be lost in a power cut (Mayday turns it on for its own)",
        _ => "a power cut in the middle of a write leaves damaged pages",
    }
}

/// The way to the server leaves the machine, and may be in the open.
pub fn in_the_open(server: &str) -> String {
    format!("{server} is reached without TLS if it offers none, so others on the way may read along; {}", verify_full())
}

/// It is encrypted, to nobody in particular.
pub fn anyone_may_answer(server: &str) -> String {
    format!("{server} is reached with TLS that takes whoever answers for the server; {}", verify_full())
}

fn verify_full() -> &'static str {
    "add `sslmode=verify-full` to its address, and `sslrootcert=FILE` if an authority of your own signed its certificate"
}

/// The connection is gone and with it the answer.
pub fn closed() -> String {
    "the store is closed".to_owned()
}

/// The machine's clock is not the server's.
pub fn clock_off(off: SignedDuration) -> String {
    format!(
        "this machine's clock is {} {} the database's; Mayday goes by the database's, so that all replicas agree; set one of them right",
        human(off.unsigned_abs()),
        if off.is_negative() { "behind" } else { "ahead of" },
    )
}

/// The server's clock was set, or another server with another clock answers.
pub fn clock_moved(by: SignedDuration) -> String {
    format!(
        "the database's clock was set {} by {}; Mayday goes by it: what is due comes so much {}",
        if by.is_negative() { "back" } else { "forward" },
        human(by.unsigned_abs()),
        if by.is_negative() { "later" } else { "earlier" },
    )
}

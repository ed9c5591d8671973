//! What the configuration says about the database.

use std::net::IpAddr;
use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::core::duration::Span;
use crate::core::message::store as message;

/// Which database, and how patient to be with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `postgres://user:password@host:5432/database`; `?sslmode=verify-full` and the like may follow.
    pub url: SecretString,
    /// Connections for reading; two more write and listen.
    #[serde(default = "connections")]
    pub connections: u32,
    /// How often other replicas' commits are looked for, should no notification come.
    #[serde(default = "poll")]
    pub poll: Span,
    /// Whether notifications are listened for, which makes others' commits seen at once. Not through a pooler.
    #[serde(default = "yes")]
    pub listen: bool,
    /// So long a read or a commit waits for a server that restarts before it fails.
    #[serde(default = "patience")]
    pub patience: Span,
}

const fn connections() -> u32 {
    8
}
const fn poll() -> Span {
    Span(std::time::Duration::from_millis(200))
}
const fn yes() -> bool {
    true
}
const fn patience() -> Span {
    Span::from_secs(10)
}

impl Options {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            connections: connections(),
            poll: poll(),
            listen: yes(),
            patience: patience(),
        }
    }

    /// What is wrong with it, without looking at the server: key and sentence.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Err(why) = self.address() {
            found.push(("url", why));
        }
        let mut bound = |key, holds: bool, why: &str| {
            if !holds {
                found.push((key, why.to_owned()));
            }
        };
        bound("connections", (1..=200).contains(&self.connections), "must be from 1 to 200");
        bound("poll", (10..=5_000).contains(&self.poll.0.as_millis()), "must be from 10ms to 5s");
        bound("patience", (1..=300).contains(&self.patience.0.as_secs()), "must be from 1s to 5m");
        found
    }

    /// What is wrong with the way to the server: others may read along, or answer in its place. None where it does not leave
    /// the machine, or TLS checks who answers.
    #[must_use]
    pub fn in_the_open(&self) -> Option<String> {
        let address = self.address().ok()?;
        let host = address.get_host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        let here = name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(loopback);
        if here || address.get_socket().is_some() || host.starts_with('/') {
            return None;
        }
        let server = message::server(host, address.get_port(), address.get_database().unwrap_or_default());
        match address.get_ssl_mode() {
            PgSslMode::VerifyFull => None,
            // With verify-ca whoever has a certificate that the system trusts, for whatever name, may answer.
            PgSslMode::Require | PgSslMode::VerifyCa => Some(message::anyone_may_answer(&server)),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Some(message::in_the_open(&server)),
        }
    }

    /// The address taken apart.
    ///
    /// # Errors
    /// Why it is none; the words hold nothing of it, since it may have a password.
    pub(super) fn address(&self) -> Result<PgConnectOptions, String> {
        let text = self.url.expose_secret().trim();
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            return Err(message::bad_address("it does not begin with postgres://"));
        }
        let url = reqwest::Url::parse(text).map_err(|error| message::bad_address(&error.to_string()))?;
        if url.path().trim_start_matches('/').is_empty() {
            return Err(message::bad_address("it names no database"));
        }
        let named = |key: &str| url.query_pairs().any(|(name, _)| name == key);
        if url.username().is_empty() && !named("user") {
            return Err(message::bad_address("it names no user"));
        }
        if url.host_str().is_none_or(str::is_empty) && !named("host") {
            return Err(message::bad_address("it names no host"));
        }
        PgConnectOptions::from_str(text).map_err(|_| message::bad_address("a parameter after `?` is not known"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_a_mistake_never_shows_it() {
        assert!(
            Options::new("postgres://mayday:hunter2@db.example.com:5433/ops?sslmode=require").problems().is_empty()
        );
        for wrong in [
            "",
            "mysql://a:hunter2@b/c",
            "postgres://a:hunter2@b",
            "postgres://a:hunter2@b:99999/c",
            "postgres://:hunter2@b/c",
            "postgres://a:hunter2@b/c?sslmode=hunter2",
        ] {
            let found = Options::new(wrong).problems();
            assert!(found.len() == 1 && found[0].0 == "url", "{wrong}: {found:?}");
            assert!(!found[0].1.contains("hunter2"), "{found:?}");
        }
        assert!(!format!("{:?}", Options::new("postgres://a:hunter2@b/c")).contains("hunter2"));
    }

    #[test]
    fn a_way_on_which_others_may_read_along_is_said_with_the_fix() {
        let said = |url: &str| Options::new(url).in_the_open().unwrap_or_default();
        for plain in ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"] {
            let says = said(&format!("postgres://a:hunter2@db.example.com/c{plain}"));
            assert!(says.contains("db.example.com") && says.contains("may read along"), "{plain}: {says}");
            assert!(says.contains("sslmode=verify-full") && !says.contains("hunter2"), "{plain}: {says}");
        }
        for open in ["require", "verify-ca"] {
            let says = said(&format!("postgres://a:hunter2@10.0.0.7/c?sslmode={open}"));
            assert!(says.contains("whoever answers") && says.contains("sslmode=verify-full"), "{says}");
        }
        for well in [
            "postgres://a@db.example.com/c?sslmode=verify-full",
            "postgres://a@localhost/c",
            "postgres://a@127.0.0.2/c?sslmode=disable",
            "postgres://a@[::1]:5433/c",
            "postgres://a@%2Fvar%2Frun%2Fpostgresql/c",
            "postgres:///c?host=/var/run/postgresql&user=a",
        ] {
            assert_eq!(said(well), "", "{well}");
        }
    }
}

//! Signing in and staying signed in.
//!
//! A session is a random 256-bit secret in the person's cookie; the store knows its digest only. The CSRF token is an HMAC
//! of that secret, so it belongs to the session and needs no storage. Roles are looked up at each request: whoever is taken
//! out of the configuration is out with the next restart, whatever sessions they have.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::passwords::Checker;
use super::throttle::Throttle;
use super::{Error, Options, Person, PersonId, Persons, random};
use crate::core::message::access as say;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Entry, Key, Range, Record, SharedStore};

/// A session's last use is written down at most this often: every request would be a commit otherwise.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// At most so many sessions and links are kept; beyond it the longest unused go.
const MOST: usize = 1000;

/// A session as it is stored, under the digest of its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    person: PersonId,
    since: Timestamp,
    used: Timestamp,
}
impl Record for Stored {}

/// A one-time link as it is stored, under the digest of its token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Link {
    person: PersonId,
    expires: Timestamp,
}
impl Record for Link {}

/// A request's session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who is signed in, with today's role.
    pub person: Person,
    /// What forms and scripts of this session must send along.
    pub csrf: String,
    /// When it ends at the latest.
    pub ends: Timestamp,
}

/// What signing in gives: the cookie's value.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// The secret for the cookie; never stored, never logged.
    pub secret: SecretString,
    /// For the cookie's `Max-Age`.
    pub valid: Duration,
}

/// Signs people in and out. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    store: SharedStore,
    clock: SharedClock,
    persons: Arc<Persons>,
    options: Arc<Options>,
    checker: Checker,
    throttle: Arc<Throttle>,
}

impl Sessions {
    /// For these people.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new(store: SharedStore, clock: SharedClock, persons: Arc<Persons>, options: Options) -> Result<Self, Error> {
        let checker = Checker::new(persons.hashes())?;
        Ok(Self { store, clock, persons, options: Arc::new(options), checker, throttle: Arc::default() })
    }

    /// A token for a one-time sign-in link of this person.
    ///
    /// # Errors
    /// The store's, [`Error::NoRandomness`].
    pub async fn invite(&self, person: &PersonId) -> Result<SecretString, Error> {
        let token = random::token()?;
        let now = self.clock.now();
        let expires = now.checked_add(self.options.link_valid.0).unwrap_or(now);
        let mut batch = Batch::new();
        self.sweep(&mut batch, "sign-in", |entry| {
            entry.decode::<Link>().map(|link| (link.expires > now, link.expires))
        })
        .await?;
        batch.put(
            Key::of(["sign-in", &random::digest(token.expose_secret())]),
            &Link { person: person.clone(), expires },
        )?;
        self.store.commit(batch).await?;
        Ok(token)
    }

    /// Signs in with a one-time token. The token is used up by the same commit that makes the session.
    ///
    /// # Errors
    /// [`Error::SignIn`] with a sentence when it is void; the store's.
    pub async fn redeem(&self, token: &str) -> Result<SignedIn, Error> {
        let void = || Error::SignIn(say::link_void());
        let key = Key::of(["sign-in", &random::digest(token)]);
        let entry = self.store.read(&key).await?.ok_or_else(void)?;
        let link: Link = entry.decode()?;
        if link.expires <= self.clock.now() {
            return Err(void());
        }
        let person = self.persons.get(&link.person).cloned().ok_or_else(|| Error::SignIn(say::person_gone()))?;
        let mut batch = Batch::new();
        batch.require_unchanged(key.clone(), entry.revision);
        batch.delete(key);
        match self.open(batch, person).await {
            // Two browsers at the same moment: one of them was first.
            Err(Error::Store(store::Error::Conflict(_))) => Err(void()),
            other => other,
        }
    }

    /// Signs in with name and password. Wrong name and wrong password are the same answer after the same work.
    ///
    /// # Errors
    /// [`Error::SignIn`] with a sentence; the store's.
    pub async fn sign_in(&self, user: &str, password: SecretString, address: IpAddr) -> Result<SignedIn, Error> {
        let id = Persons::id_of(user);
        if let Err(wait) = self.throttle.take(&id.0, address, self.clock.now()) {
            metrics::counter!("mayday_access_sign_ins_total", "outcome" => "throttled").increment(1);
            return Err(Error::SignIn(say::too_many_tries(wait.as_secs().div_ceil(60))));
        }
        let right = self.checker.matches(password, self.persons.hash_of(&id)).await;
        let person = match (right, self.persons.get(&id)) {
            (Some(true), Some(person)) => person.clone(),
            (None, _) => return Err(Error::SignIn(say::sign_in_busy())),
            _ => {
                metrics::counter!("mayday_access_sign_ins_total", "outcome" => "wrong").increment(1);
                return Err(Error::SignIn(say::wrong_password()));
            }
        };
        self.throttle.succeeded(&id.0, address);
        metrics::counter!("mayday_access_sign_ins_total", "outcome" => "ok").increment(1);
        self.open(Batch::new(), person).await
    }

    /// The session of a cookie's value; none when there is no such session any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn check(&self, secret: &str) -> Result<Option<Session>, Error> {
        // Anything else is no secret of ours, and needs no look into the store.
        if secret.len() != 43 {
            return Ok(None);
        }
        let key = session_key(secret);
        let Some(entry) = self.store.read(&key).await? else { return Ok(None) };
        let mut stored: Stored = entry.decode()?;
        let now = self.clock.now();
        if !self.alive(&stored, now) {
            self.forget(key, entry.revision).await?;
            return Ok(None);
        }
        let Some(person) = self.persons.get(&stored.person).cloned() else { return Ok(None) };
        if passed(stored.used, now) >= TOUCH_EVERY {
            stored.used = now;
            let mut batch = Batch::new();
            batch.require_unchanged(key.clone(), entry.revision);
            batch.put(key, &stored)?;
            // Two requests at once: one of them wrote it, or the session was ended, and the next request sees that.
            match self.store.commit(batch).await {
                Ok(_) | Err(store::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ends = stored.since.checked_add(self.options.session_absolute.0).unwrap_or(stored.since);
        Ok(Some(Session { person, csrf: csrf(secret), ends }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store's.
    pub async fn sign_out(&self, secret: &str) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.delete(session_key(secret));
        self.store.commit(batch).await?;
        Ok(())
    }

    async fn open(&self, mut batch: Batch, person: Person) -> Result<SignedIn, Error> {
        let now = self.clock.now();
        let secret = random::token()?;
        self.sweep(&mut batch, "session", |entry| entry.decode::<Stored>().map(|s| (self.alive(&s, now), s.used)))
            .await?;
        let stored = Stored { person: person.id.clone(), since: now, used: now };
        batch.put(session_key(secret.expose_secret()), &stored)?;
        self.store.commit(batch).await?;
        Ok(SignedIn { person, secret, valid: self.options.session_absolute.0 })
    }

    /// Adds the removal of what has ended, and of the oldest beyond [`MOST`], to a batch.
    async fn sweep(
        &self,
        batch: &mut Batch,
        room: &str,
        look: impl Fn(&Entry) -> Result<(bool, Timestamp), store::Error>,
    ) -> Result<(), Error> {
        let entries = self.store.scan(&Range::under(&Key::of([room]), MOST * 2)).await?;
        let mut alive = Vec::new();
        for entry in entries {
            match look(&entry) {
                Ok((true, used)) => alive.push((used, entry.key)),
                // What can't be read can't be used to sign in either.
                Ok((false, _)) | Err(store::Error::Corrupt { .. }) => {
                    batch.delete(entry.key);
                }
                Err(error) => return Err(error.into()),
            }
        }
        alive.sort();
        let too_many = (alive.len() + 1).saturating_sub(MOST);
        for (_, key) in alive.into_iter().take(too_many) {
            batch.delete(key);
        }
        Ok(())
    }

    async fn forget(&self, key: Key, revision: store::Revision) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.require_unchanged(key.clone(), revision);
        batch.delete(key);
        match self.store.commit(batch).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn alive(&self, stored: &Stored, now: Timestamp) -> bool {
        passed(stored.used, now) < self.options.session_idle.0
            && passed(stored.since, now) < self.options.session_absolute.0
    }
}

impl Session {
    /// Whether a request sent this session's token along; in constant time.
    #[must_use]
    pub fn csrf_is(&self, candidate: &str) -> bool {
        random::same(candidate, &self.csrf.clone().into())
    }
}

fn session_key(secret: &str) -> Key {
    Key::of(["session", &random::digest(secret)])
}

fn passed(since: Timestamp, now: Timestamp) -> Duration {
    // Negative (a clock that was set back) counts as nothing.
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn csrf(secret: &str) -> String {
    use base64::Engine as _;
    // HMAC takes keys of any length; the error can't occur, and an empty token is one that nothing matches.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(b"mayday-csrf");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;

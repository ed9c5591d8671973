//! Passwords: argon2id hashes (OWASP's and the crate's default cost: 19 MiB, 2 passes), checked off the event loop.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::{Error, random};

/// Longest password that is looked at, bytes; longer ones are wrong without hashing them.
const MAX_BYTES: usize = 1024;
/// Highest memory cost of a configured hash, KiB: a hash from elsewhere must not take the machine down.
const MAX_MEMORY_KIB: u32 = 128 * 1024;
/// So many passwords are hashed at the same time; each takes 19 MiB for some 20 ms.
const AT_ONCE: usize = 2;
/// So many more may wait for their turn.
const WAITING: usize = 16;

/// The hash to put in the configuration: `$argon2id$v=19$…`.
///
/// # Errors
/// [`Error::NoRandomness`], and passwords below 8 or above 1024 bytes.
pub fn hash(password: &SecretString) -> Result<String, Error> {
    let text = password.expose_secret();
    if !(8..=MAX_BYTES).contains(&text.len()) {
        return Err(Error::BadUser(format!("a password has 8 to {MAX_BYTES} bytes")));
    }
    hash_with(text, Params::default())
}

fn hash_with(text: &str, params: Params) -> Result<String, Error> {
    let bad = |error: argon2::password_hash::Error| Error::BadUser(error.to_string());
    let salt = SaltString::encode_b64(&random::bytes::<16>()?).map_err(bad)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon.hash_password(text.as_bytes(), &salt).map_err(bad)?.to_string())
}

/// Whether this is a hash that [`Checker::matches`] can check.
///
/// # Errors
/// What is wrong with it.
pub fn check_hash(hash: &str) -> Result<(), String> {
    let fix = "make one with `mayday password`";
    let parsed = PasswordHash::new(hash).map_err(|error| format!("the password hash is not valid ({error}); {fix}"))?;
    if parsed.algorithm.as_str() != "argon2id" {
        return Err(format!("the password hash is {}, wanted is argon2id; {fix}", parsed.algorithm));
    }
    let params =
        Params::try_from(&parsed).map_err(|error| format!("the password hash's cost is not valid ({error}); {fix}"))?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > 16 {
        return Err(format!(
            "the password hash costs too much ({} KiB, {} passes); {fix}",
            params.m_cost(),
            params.t_cost()
        ));
    }
    Ok(())
}

/// Checks passwords with bounded memory. Someone unknown costs what someone known does.
#[derive(Clone)]
pub struct Checker {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// A hash of a password that nobody knows, at the cost of the configured ones.
    nobody: Arc<str>,
}

impl Checker {
    /// A checker for users with these hashes.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn new<'a>(hashes: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        // The dearest configured cost, so that the difference between known and unknown never favours guessing.
        let params = hashes
            .into_iter()
            .filter_map(|hash| Params::try_from(&PasswordHash::new(hash).ok()?).ok())
            .max_by_key(|params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
            .unwrap_or_default();
        let nobody = hash_shape(&params)?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            nobody: nobody.into(),
        })
    }

    /// Whether the password belongs to the hash; for someone unknown (no hash) the same work, and always no.
    /// None when too many wait already.
    pub async fn matches(&self, password: SecretString, hash: Option<&str>) -> Option<bool> {
        let _place = self.queue.try_acquire().ok()?;
        let _turn = self.turns.acquire().await.ok()?;
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let right = tokio::task::spawn_blocking(move || {
            let text = password.expose_secret();
            // Too long is wrong, but only after the same work.
            let looked_at = text.get(..MAX_BYTES).unwrap_or(text);
            let right = PasswordHash::new(&hash)
                .is_ok_and(|parsed| Argon2::default().verify_password(looked_at.as_bytes(), &parsed).is_ok());
            right && text.len() <= MAX_BYTES
        })
        .await
        .unwrap_or(false);
        Some(right && known)
    }
}

/// A hash with random bytes in place of an output: no password gives it, and making it costs nothing at start.
fn hash_shape(params: &Params) -> Result<String, Error> {
    use base64::Engine as _;
    let b64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let salt = b64.encode(random::bytes::<16>()?);
    let output = b64.encode(random::bytes::<32>()?);
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_nobody_matches_nothing() {
        let hash = hash(&"correct horse".into()).unwrap();
        check_hash(&hash).unwrap();
        let checker = Checker::new([hash.as_str()]).unwrap();
        assert_eq!(checker.matches("correct horse".into(), Some(&hash)).await, Some(true));
        assert_eq!(checker.matches("wrong horse".into(), Some(&hash)).await, Some(false));
        assert_eq!(checker.matches("correct horse".into(), None).await, Some(false));
    }

    #[tokio::test]
    async fn someone_unknown_costs_the_same_work() {
        let checker = Checker::new([]).unwrap();
        let parsed = PasswordHash::new(&checker.nobody).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!((params.m_cost(), params.t_cost()), (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST));
        // The stand-in is a hash that can be verified (and fails), not one that is refused before the work.
        let error = Argon2::default().verify_password(b"x", &parsed).unwrap_err();
        assert_eq!(error, argon2::password_hash::Error::Password);
    }

    #[test]
    fn hashes_of_other_kinds_and_absurd_costs_are_refused_with_the_fix() {
        for wrong in [
            "",
            "plain",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=9999999,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        ] {
            assert!(check_hash(wrong).unwrap_err().contains("mayday password"), "{wrong}");
        }
        assert!(hash(&"short".into()).is_err());
    }
}

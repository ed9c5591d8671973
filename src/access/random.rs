//! Secrets drawn at random.
//!
//! Source: `ring`'s system generator (`getrandom(2)`), through rustls, which is a direct dependency with that provider.
//! Preferred over `password_hash::rand_core::OsRng`, whose feature is only on because another crate happens to ask for it,
//! and over reading `/dev/urandom`, which does not wait for the kernel's pool to be seeded after boot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::Error;

/// Random bytes.
///
/// # Errors
/// [`Error::NoRandomness`] when the system gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0_u8; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    Ok(bytes)
}

/// A token of 256 random bits: 43 characters that need no escaping in a URL, a header or a cookie.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn token() -> Result<SecretString, Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?).into())
}

/// What is stored instead of a token. A plain digest is enough: 256 random bits can't be guessed from it.
#[must_use]
pub fn digest(token: &str) -> String {
    crate::core::digest::of_parts([b"mayday-token".as_slice(), token.as_bytes()])
}

/// Whether a candidate is the token, in time that does not depend on where they differ.
#[must_use]
pub fn same(candidate: &str, token: &SecretString) -> bool {
    // Comparing digests: how far an equality test of theirs gets says nothing about the token.
    digest(candidate) == digest(token.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let tokens: std::collections::HashSet<String> =
            (0..200).map(|_| token().unwrap().expose_secret().to_owned()).collect();
        assert_eq!(tokens.len(), 200);
        assert!(
            tokens.iter().all(
                |token| token.len() == 43 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            )
        );
    }
}

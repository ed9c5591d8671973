//! Comparing secrets in a time that does not tell how much of them was right.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Whether two secrets are the same. Both are hashed first, so neither length nor content shows in the time taken.
pub(super) fn same(given: &[u8], wanted: &[u8]) -> bool {
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(wanted));
    let differing = given.iter().zip(wanted.iter()).fold(0_u8, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0
}

/// Whether `tag_hex` is the HMAC-SHA256 of `message` under `key`.
pub(super) fn signed(key: &[u8], message: &[u8], tag_hex: &str) -> bool {
    let Some(tag) = from_hex(tag_hex) else { return false };
    // HMAC takes keys of any length, so there is no error to meet.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    mac.update(message);
    mac.verify_slice(&tag).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        // RFC 4231, test case 2.
        let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(signed(b"Jefe", b"what do ya want for nothing?", tag));
        assert!(!signed(b"Jefe", b"what do ya want for nothing!", tag));
        assert!(!signed(b"jefe", b"what do ya want for nothing?", tag));
        for wrong in ["", "5bdc", &"é".repeat(32), &format!("{tag}00")] {
            assert!(!signed(b"Jefe", b"what do ya want for nothing?", wrong), "{wrong}");
        }
        assert!(same(b"a", b"a") && !same(b"a", b"ab") && !same(b"", b"a"));
    }
}

//! How often someone may guess a password: per user and address, per address, and per user over all addresses.
//!
//! The limit per user over all addresses is high, since whoever reaches it locks the user out too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::core::Timestamp;

/// Failures are forgotten this long after the first of them.
const WINDOW: Duration = Duration::from_secs(15 * 60);
const PER_USER_AND_ADDRESS: u32 = 5;
const PER_ADDRESS: u32 = 30;
const PER_USER: u32 = 100;
/// At most so many keys are remembered; beyond it, those whose window ended go first, then the oldest.
const KEYS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Both(String, IpAddr),
    Address(IpAddr),
    User(String),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    tries: u32,
}

/// Counts tries in memory: a restart forgets them, and costs an attacker more than it gives.
#[derive(Debug, Default)]
pub struct Throttle {
    counts: Mutex<HashMap<Key, Count>>,
}

impl Throttle {
    /// Takes one try, before the password is looked at (so that tries at the same moment count as well).
    ///
    /// # Errors
    /// How long to wait when there is none left.
    pub fn take(&self, user: &str, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that nobody has are as long as the attacker likes; a digest is not.
        let user = crate::core::digest::hex(user.as_bytes());
        let address = network(address);
        let keys = [
            (Key::Both(user.clone(), address), PER_USER_AND_ADDRESS),
            (Key::Address(address), PER_ADDRESS),
            (Key::User(user), PER_USER),
        ];
        for (key, limit) in &keys {
            if let Some(count) = counts.get(key)
                && let Some(left) = left_of(count.since, now)
                && count.tries >= *limit
            {
                return Err(left);
            }
        }
        for (key, _) in keys {
            let count = counts.entry(key).or_insert(Count { since: now, tries: 0 });
            if left_of(count.since, now).is_none() {
                *count = Count { since: now, tries: 0 };
            }
            count.tries += 1;
        }
        if counts.len() > KEYS {
            forget_old(&mut counts, now);
        }
        Ok(())
    }

    /// The password was right: this user and address start afresh, and the try does not count elsewhere.
    pub fn succeeded(&self, user: &str, address: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let user = crate::core::digest::hex(user.as_bytes());
        let address = network(address);
        counts.remove(&Key::Both(user.clone(), address));
        for key in [Key::Address(address), Key::User(user)] {
            if let Some(count) = counts.get_mut(&key) {
                count.tries = count.tries.saturating_sub(1);
            }
        }
    }
}

/// One household of IPv6 addresses (/64) is one address: its owner has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// What is left of the window, none when it is over.
fn left_of(since: Timestamp, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    WINDOW.checked_sub(passed).filter(|left| !left.is_zero())
}

fn forget_old(counts: &mut HashMap<Key, Count>, now: Timestamp) {
    counts.retain(|_, count| left_of(count.since, now).is_some());
    if counts.len() > KEYS {
        let mut times: Vec<Timestamp> = counts.values().map(|count| count.since).collect();
        times.sort_unstable();
        let cut = times[times.len() / 2];
        counts.retain(|_, count| count.since > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn five_wrong_passwords_and_the_sixth_try_waits_until_the_window_ends() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            throttle.take("ana", ip(1), at(0)).unwrap();
        }
        assert_eq!(throttle.take("ana", ip(1), at(60)), Err(Duration::from_secs(14 * 60)));
        throttle.take("ana", ip(2), at(60)).unwrap();
        throttle.take("ana", ip(1), at(15 * 60)).unwrap();
    }

    #[test]
    fn an_address_that_tries_many_names_is_stopped_and_a_right_password_counts_for_nothing() {
        let throttle = Throttle::default();
        for round in 0..200 {
            throttle.take("ana", ip(1), at(round)).unwrap();
            throttle.succeeded("ana", ip(1));
        }
        let tried = (0..100).take_while(|n| throttle.take(&format!("user{n}"), ip(1), at(0)).is_ok()).count();
        assert_eq!(tried, PER_ADDRESS as usize);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let throttle = Throttle::default();
        for n in 0..30_000_u32 {
            let _ = throttle.take(&format!("user{n}"), IpAddr::from(n.to_be_bytes()), at(i64::from(n) / 100));
        }
        assert!(throttle.counts.lock().unwrap().len() <= KEYS);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), ip(1));
    }
}

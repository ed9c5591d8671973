//! Ids as people say them (`INC-7`, `RUN-3`), typed so that one kind can't stand where another belongs.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a [`Serial`] counts; gives the prefix people see.
pub trait Kind: 'static {
    /// Upper-case prefix before the dash: `INC`.
    const PREFIX: &'static str;
}

/// Marks incidents.
#[derive(Debug)]
pub enum IncidentKind {}
impl Kind for IncidentKind {
    const PREFIX: &'static str = "INC";
}

/// Marks runs of playbooks.
#[derive(Debug)]
pub enum RunKind {}
impl Kind for RunKind {
    const PREFIX: &'static str = "RUN";
}

/// An incident's number, `INC-7`.
pub type IncidentId = Serial<IncidentKind>;
/// A run's number, `RUN-3`.
pub type RunId = Serial<RunKind>;

/// A number counted up from 1 in the store, with its kind in the type.
pub struct Serial<K: Kind>(u64, PhantomData<fn() -> K>);

impl<K: Kind> Serial<K> {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }

    /// The number alone.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Ten digits with leading zeros, so that text order is number order in store keys.
    #[must_use]
    pub fn key(self) -> String {
        format!("{:010}", self.0)
    }
}

impl<K: Kind> Clone for Serial<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Serial<K> {}
impl<K: Kind> PartialEq for Serial<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K: Kind> Eq for Serial<K> {}
impl<K: Kind> PartialOrd for Serial<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Serial<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: Kind> std::hash::Hash for Serial<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind> fmt::Display for Serial<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", K::PREFIX, self.0)
    }
}
impl<K: Kind> fmt::Debug for Serial<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not an id like `{prefix}-7`")]
pub struct NotAnId {
    /// What was written instead.
    pub got: String,
    /// The prefix that was wanted.
    pub prefix: &'static str,
}

impl<K: Kind> FromStr for Serial<K> {
    type Err = NotAnId;

    /// Takes `INC-7`, `inc-7` and plain `7`.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bare = text.trim();
        let digits = match bare.split_once('-') {
            Some((prefix, digits)) if prefix.eq_ignore_ascii_case(K::PREFIX) => digits,
            Some(_) => "",
            None => bare,
        };
        digits
            .parse()
            .ok()
            .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .map(Self::new)
            .ok_or_else(|| NotAnId { got: text.chars().take(40).collect(), prefix: K::PREFIX })
    }
}

impl<K: Kind> Serialize for Serial<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> Deserialize<'de> for Serial<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_shows() {
        let id = IncidentId::new(7);
        assert_eq!(id.to_string(), "INC-7");
        assert_eq!("inc-7".parse(), Ok(id));
        assert_eq!("7".parse(), Ok(id));
        assert_eq!("RUN-7".parse::<IncidentId>().unwrap_err().prefix, "INC");
        assert!("INC--7".parse::<IncidentId>().is_err());
        assert!("INC-+7".parse::<IncidentId>().is_err());
    }
}

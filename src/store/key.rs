//! Keys: readable paths like `incident/0000000007`, ordered by bytes, so that a prefix is a range.

use std::fmt;

/// A key: parts joined by `/`, room first. Parts are lower-case letters, digits, `-`, `_`, `.`, `:`; numbers have leading
/// zeros, so that byte order is number order (in PostgreSQL: collation "C").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// A key from its parts. Other characters than the allowed ones are written as `%xx`, so that text from outside can
    /// be a part and can't become two.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut key = String::with_capacity(48);
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                key.push('/');
            }
            for byte in part.bytes() {
                if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
                    key.push(char::from(byte));
                } else {
                    key.push_str(&format!("%{byte:02x}"));
                }
            }
        }
        Self(key)
    }

    /// A key as it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// This key with one more part.
    #[must_use]
    pub fn child(&self, part: &str) -> Self {
        let tail = Self::of([part]);
        Self(format!("{}/{}", self.0, tail.0))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `/`.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether this key stands below `prefix` (or is it).
    #[must_use]
    pub fn is_under(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// A range of keys: `from` ≤ key < `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// First key that may be returned.
    pub from: Key,
    /// First key that may not.
    pub to: Key,
    /// At most so many entries.
    pub limit: usize,
    /// Which end first.
    pub order: Order,
}

impl Range {
    /// Everything strictly below a prefix (`a/b` gives `a/b/…`), forward.
    #[must_use]
    pub fn under(prefix: &Key, limit: usize) -> Self {
        // '0' is the byte after '/'.
        Self { from: Key(format!("{prefix}/")), to: Key(format!("{prefix}0")), limit, order: Order::Forward }
    }

    /// The same range from its other end.
    #[must_use]
    pub fn backward(mut self) -> Self {
        self.order = Order::Backward;
        self
    }

    /// Only keys after this one (forward) or before it (backward): the next page.
    #[must_use]
    pub fn past(mut self, last: &Key) -> Self {
        match self.order {
            Order::Forward => self.from = Key(format!("{last}\u{0}")).max(self.from),
            Order::Backward => self.to = last.clone().min(self.to),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_one_part() {
        let key = Key::of(["alert", "a/b é", "x"]);
        assert_eq!(key.as_str(), "alert/a%2fb%20%c3%a9/x");
        assert!(key.is_under(&Key::of(["alert"])));
        assert!(!Key::of(["alerts", "x"]).is_under(&Key::of(["alert"])));
    }
}

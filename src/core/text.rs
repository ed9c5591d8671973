//! Text from outside as a type of its own, so that it can't become a parameter, a mention or a command by accident.

use serde::{Deserialize, Serialize};

/// Text that someone else wrote: alert labels, log lines, HTTP answers, chat. Data, never instruction.
///
/// There is no `Display` and no `Into<String>` on purpose: whoever needs the text says why by the method it calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tainted(String);

impl Tainted {
    /// Marks text as coming from outside.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// To show to a person or to compare; the renderer escapes it for its medium.
    #[must_use]
    pub fn as_data(&self) -> &str {
        &self.0
    }

    /// A plain name: 1 to 253 of letters, digits, `.`, `_`, `-`, first one a letter or digit. For parameters that name things.
    ///
    /// # Errors
    /// Says which text was refused and what is allowed.
    pub fn as_name(&self) -> Result<&str, NotAName> {
        let text = self.0.as_str();
        let plain = (1..=253).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if plain { Ok(text) } else { Err(NotAName(text.chars().take(80).collect())) }
    }
}

impl From<&str> for Tainted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
impl From<String> for Tainted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Text from outside that was to name a thing and has characters a name can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a plain name; allowed are letters, digits, `.`, `_` and `-`, at most 253")]
pub struct NotAName(String);

/// Cuts text to at most `max` bytes at a character's border and says so with `…`.
#[must_use]
pub fn capped(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

//! Cuts a line into words, one at a time, so that a command that takes the rest of the line as text gets it untouched.

use std::ops::Range;

/// A word with its place in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// As it stands, quotes included.
    pub raw: &'a str,
    /// Without quotes.
    pub text: String,
    /// Byte range in the line.
    pub at: Range<usize>,
}

impl Token<'_> {
    /// Whether it begins with a quote: then it is a plain word, whatever it looks like.
    pub fn quoted(&self) -> bool {
        self.raw.starts_with(is_quote)
    }
}

/// A quote that nothing closes; where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclosed(pub usize);

/// Phones write “ and ” for ".
pub(super) const fn is_double(c: char) -> bool {
    matches!(c, '"' | '“' | '”')
}

const fn is_quote(c: char) -> bool {
    is_double(c) || c == '\''
}

/// Whether `\` before it takes it as it is; before anything else the `\` stays, for regular expressions.
const fn is_escapable(c: char) -> bool {
    is_quote(c) || c == '\\'
}

/// Reads the characters of a quoted stretch up to the one that closes it.
///
/// Gives the text and the byte position after the closing quote.
pub(super) fn unquote(line: &str, open: usize) -> Result<(String, usize), Unclosed> {
    let mut chars = line[open..].char_indices();
    let double = chars.next().is_some_and(|(_, c)| is_double(c));
    let mut text = String::new();
    while let Some((offset, c)) = chars.next() {
        if c == '\\' {
            let mut ahead = chars.clone();
            match ahead.next() {
                Some((_, escaped)) if is_escapable(escaped) => {
                    text.push(escaped);
                    chars = ahead;
                }
                _ => text.push(c),
            }
        } else if if double { is_double(c) } else { c == '\'' } {
            return Ok((text, open + offset + c.len_utf8()));
        } else {
            text.push(c);
        }
    }
    Err(Unclosed(open))
}

/// A place in a line, moving forward.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    /// The whole line.
    pub line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// Byte position of the next word, or the end.
    pub fn place(&self) -> usize {
        let rest = &self.line[self.at..];
        self.at + (rest.len() - rest.trim_start().len())
    }

    /// What is left, without blanks around it.
    pub fn rest(&self) -> &'a str {
        self.line[self.at..].trim()
    }

    /// Takes all that is left.
    pub fn finish(&mut self) {
        self.at = self.line.len();
    }

    /// Moves to a byte position (a character's border).
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The next word without taking it.
    pub fn peek(&self) -> Result<Option<Token<'a>>, Unclosed> {
        let start = self.place();
        if start == self.line.len() {
            return Ok(None);
        }
        let mut text = String::new();
        let mut at = start;
        let mut before: Option<char> = None;
        while let Some(c) = self.line[at..].chars().next() {
            if c.is_whitespace() {
                break;
            }
            // An apostrophe inside a word (`can't`) is no quote.
            let opens =
                is_double(c) || (c == '\'' && before.is_none_or(|before| matches!(before, '=' | ',' | '@' | '~')));
            if opens {
                let (stretch, after) = unquote(self.line, at)?;
                text.push_str(&stretch);
                at = after;
            } else {
                text.push(c);
                at += c.len_utf8();
            }
            before = Some(c);
        }
        Ok(Some(Token { raw: &self.line[start..at], text, at: start..at }))
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Result<Option<Token<'a>>, Unclosed> {
        let token = self.peek()?;
        if let Some(token) = &token {
            self.at = token.at.end;
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut cursor = Cursor::new(line);
        std::iter::from_fn(|| cursor.next().unwrap()).map(|token| token.text).collect()
    }

    #[test]
    fn quotes_keep_blanks_and_apostrophes_are_letters() {
        assert_eq!(
            words(r#"logs "order service" can't 'a b' k="x y""#),
            ["logs", "order service", "can't", "a b", "k=x y"]
        );
        assert_eq!(words("say “hello there” \"a\\\"b\" \"\\d+\""), ["say", "hello there", "a\"b", "\\d+"]);
        assert_eq!(words("  a\u{a0}b\n c "), ["a", "b", "c"]);
    }

    #[test]
    fn an_open_quote_is_found_where_it_opens() {
        assert_eq!(Cursor::new("  k=\"x y").peek(), Err(Unclosed(4)));
    }
}

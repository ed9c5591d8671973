//! An expression's text as tokens with their places.

use super::Error;

/// Longest expression, in bytes.
const LONGEST: usize = 4_096;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A metric's name, a function, a label.
    Word(String),
    Number(f64),
    /// A number with a unit right behind it, `5m`.
    Duration(String),
    Text(String),
    /// Operators and brackets.
    Sign(&'static str),
    End,
}

impl Token {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Duration(text) => format!("`{text}`"),
            Self::Number(number) => format!("`{number}`"),
            Self::Text(text) => format!("{text:?}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Longer signs first.
const SIGNS: [&str; 17] = ["=~", "!~", "!=", "==", ">=", "<=", "=", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*"];

/// Tokens with their byte offsets, `End` last.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Error> {
    if text.len() > LONGEST {
        return Err(Error { column: 1, why: format!("an expression has at most {LONGEST} bytes") });
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let end = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(byte)).count();
            (Token::Word(rest[..end].to_owned()), end)
        } else if first.is_ascii_digit() || first == '.' {
            number(rest).map_err(|why| place(text, at, why))?
        } else if first == '"' || first == '\'' {
            quoted(rest, first).map_err(|why| place(text, at, why))?
        } else if let Some(sign) = SIGNS.iter().chain(&["/", ">", "<"]).find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(place(text, at, format!("`{first}` has no meaning here")));
        };
        found.push((at, token));
        at += length;
    }
    found.push((text.len(), Token::End));
    Ok(found)
}

/// The error at a byte offset.
pub(super) fn place(text: &str, at: usize, why: impl Into<String>) -> Error {
    let column = text.get(..at).map_or(0, |before| before.chars().count()) + 1;
    Error { column, why: why.into() }
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let bytes = rest.as_bytes();
    let mut end = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let digits = rest[end + 1 + sign..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            end += 1 + sign + digits;
        }
    }
    let whole = end + rest[end..].bytes().take_while(u8::is_ascii_alphanumeric).count();
    if whole > end {
        return Ok((Token::Duration(rest[..whole].to_owned()), whole));
    }
    let value = rest[..end].parse().map_err(|_| format!("`{}` is not a number", &rest[..end]))?;
    Ok((Token::Number(value), end))
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, other)) if other == '\\' || other == quote => text.push(other),
                // `"\d+"` is meant as a regular expression; PromQL refuses it, people write it all the same.
                Some((_, other)) => {
                    text.push('\\');
                    text.push(other);
                }
                None => break,
            },
            letter if letter == quote => return Ok((Token::Text(text), at + 1)),
            letter => text.push(letter),
        }
    }
    Err("a text has no closing quote".to_owned())
}

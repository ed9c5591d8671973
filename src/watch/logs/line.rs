//! What a log line says about itself: its time and its level, in plain text, logfmt and JSON lines.

use crate::core::Timestamp;

/// Own time and level, as far as the line says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub at: Option<Timestamp>,
    pub level: Option<&'static str>,
}

/// How far into a plain line a level is looked for, in bytes: further on the word is part of a sentence.
const HEAD: usize = 96;
/// A line may claim a time this far ahead of now; further ahead its clock or zone is wrong, and now is nearer the truth.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

const TIME_KEYS: [&str; 6] = ["time", "ts", "timestamp", "@timestamp", "t", "datetime"];
const LEVEL_KEYS: [&str; 5] = ["level", "lvl", "severity", "loglevel", "log.level"];

/// Whether a level is ERROR or worse.
#[must_use]
pub fn is_error(level: &str) -> bool {
    matches!(level, "ERROR" | "FATAL")
}

/// Reads the facts of a line. Never fails: a line that says nothing has no facts.
pub(super) fn facts(text: &str, now: Timestamp) -> Facts {
    let trimmed = text.trim_start();
    let mut facts = if trimmed.starts_with('{') { json(trimmed) } else { None }.unwrap_or_else(|| words(trimmed));
    facts.at = facts.at.filter(|at| *at <= now + AHEAD);
    facts
}

fn json(text: &str) -> Option<Facts> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key)).cloned();
    let at = first(&TIME_KEYS).and_then(|value| match value {
        serde_json::Value::String(text) => time(&text),
        serde_json::Value::Number(number) => unix(number.as_f64()?),
        _ => None,
    });
    let level = first(&LEVEL_KEYS).and_then(|value| match value {
        serde_json::Value::String(text) => level_of(&text),
        // bunyan and pino count: 30 info, 40 warn, 50 error, 60 fatal.
        serde_json::Value::Number(number) => match number.as_u64()? {
            0..=19 => Some("TRACE"),
            20..=29 => Some("DEBUG"),
            30..=39 => Some("INFO"),
            40..=49 => Some("WARN"),
            50..=59 => Some("ERROR"),
            _ => Some("FATAL"),
        },
        _ => None,
    });
    Some(Facts { at, level })
}

fn words(text: &str) -> Facts {
    let mut facts = Facts { at: leading_time(text), level: None };
    for (key, value) in pairs(text) {
        if facts.at.is_none() && TIME_KEYS.contains(&key) {
            facts.at = time(value).or_else(|| value.parse().ok().and_then(unix));
        }
        if facts.level.is_none() && LEVEL_KEYS.contains(&key) {
            facts.level = level_of(value);
        }
    }
    if facts.level.is_none() {
        let head = &text[..(0..=HEAD.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)];
        // A lower-case word counts only in brackets or before a colon: "an error was avoided" is no ERROR.
        facts.level = head.split([' ', '\t', '|']).find_map(|word| {
            let marked = word.starts_with(['[', '<', '(']) || word.ends_with(':');
            let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphabetic());
            (marked || bare.bytes().all(|byte| byte.is_ascii_uppercase())).then(|| level_of(bare)).flatten()
        });
    }
    facts
}

/// `key=value` and `key="a value"` pairs among the words.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return None;
            }
            let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let Some(equals) = rest[..word_end].find('=') else {
                rest = &rest[word_end..];
                continue;
            };
            let key = &rest[..equals];
            let after = &rest[equals + 1..];
            let (value, used) = match after.strip_prefix('"') {
                Some(quoted) => match quoted.find('"') {
                    Some(end) => (&quoted[..end], end + 2),
                    None => (quoted, after.len()),
                },
                None => (&rest[equals + 1..word_end], word_end - equals - 1),
            };
            rest = &after[used..];
            return Some((key, value));
        }
    })
}

fn leading_time(text: &str) -> Option<Timestamp> {
    let start = text.trim_start_matches(['[', '(']);
    // Letters, digits and the signs of a date; the T or the blank in the middle, a zone at the end.
    let end = start.bytes().take_while(|byte| byte.is_ascii_digit() || b"-:.,TZ+/ ".contains(byte)).count().min(40);
    let mut head = start[..end].trim_end();
    // The blank before the level may have taken a word with it: try shorter heads.
    loop {
        if head.len() < 19 {
            return None;
        }
        if let Some(at) = time(head) {
            return Some(at);
        }
        head = head[..head.len() - 1].trim_end();
    }
}

/// RFC 3339, with a blank instead of the T, a comma before the fraction, and UTC where no zone is given.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() < 19 || text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let mut plain = text.replace(',', ".").replace('/', "-");
    if plain.as_bytes()[10] == b' ' {
        plain.replace_range(10..11, "T");
    }
    if plain.as_bytes()[10] != b'T' || plain.contains(' ') {
        return None;
    }
    plain.parse::<Timestamp>().ok().or_else(|| format!("{plain}Z").parse().ok())
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by their size.
fn unix(number: f64) -> Option<Timestamp> {
    let millis = match number {
        1e8..1e11 => number * 1e3,
        1e11..1e14 => number,
        1e14..1e17 => number / 1e3,
        1e17..1e20 => number / 1e6,
        _ => return None,
    };
    Timestamp::from_millisecond(millis as i64).ok()
}

fn level_of(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_ascii_uppercase().as_str() {
        "TRACE" | "TRC" | "FINEST" => "TRACE",
        "DEBUG" | "DBG" | "DEBG" | "FINE" => "DEBUG",
        "INFO" | "INF" | "INFORMATION" | "NOTICE" => "INFO",
        "WARN" | "WARNING" | "WRN" => "WARN",
        "ERROR" | "ERR" | "EROR" | "SEVERE" => "ERROR",
        "FATAL" | "CRITICAL" | "CRIT" | "PANIC" | "EMERG" | "EMERGENCY" | "ALERT" => "FATAL",
        _ => return None,
    })
}

/// The text without terminal colours and other control characters, with `…` where it was cut.
pub(super) fn plain(text: &str, cut: bool) -> Box<str> {
    let mut plain = String::with_capacity(text.len() + 4);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                if letters.next_if_eq(&'[').is_some() {
                    // A control sequence ends with a letter or `~`.
                    for inner in letters.by_ref() {
                        if inner.is_ascii_alphabetic() || inner == '~' {
                            break;
                        }
                    }
                }
            }
            '\t' => plain.push('\t'),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    if cut {
        plain.push('…');
    }
    plain.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_and_level_are_read_from_the_usual_forms() {
        let now: Timestamp = "2026-05-01T12:00:30Z".parse().unwrap();
        let noon: Timestamp = "2026-05-01T12:00:00.5Z".parse().unwrap();
        for (line, level) in [
            ("2026-05-01T12:00:00.500Z ERROR payment failed", "ERROR"),
            ("2026-05-01 12:00:00,500 [worker-1] WARN  c.s.Pool - slow", "WARN"),
            ("[2026-05-01T14:00:00.5+02:00] [error] no route", "ERROR"),
            ("2026/05/01 12:00:00.500 fatal: out of memory", "FATAL"),
            ("time=2026-05-01T12:00:00.5Z level=info msg=\"an ERROR is a word here\"", "INFO"),
            ("level=warning ts=1777636800.5 caller=main.go msg=x", "WARN"),
            (r#"{"timestamp":"2026-05-01T12:00:00.5Z","level":"error","message":"x"}"#, "ERROR"),
            (r#"{"time":1777636800500,"level":50,"msg":"x"}"#, "ERROR"),
        ] {
            let facts = facts(line, now);
            assert_eq!(facts.level, Some(level), "{line}");
            assert_eq!(facts.at, Some(noon), "{line}");
        }
    }

    #[test]
    fn a_sentence_is_no_level_and_a_future_is_no_time() {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        assert_eq!(facts("this error was avoided", now), Facts::default());
        assert_eq!(facts("{not json", now), Facts::default());
        assert_eq!(facts("2026-05-01T14:00:00 local time INFO x", now).at, None);
        assert_eq!(facts("200 OK", now).at, None);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,80}|[0-9TZ:. ,/+-]{0,50}|[a-z=\" {}:]{0,60}", cut: bool) {
            let facts = facts(&line, Timestamp::UNIX_EPOCH);
            prop_assert!(facts.at.is_none_or(|at| at <= Timestamp::UNIX_EPOCH + AHEAD));
            let shown = plain(&line, cut);
            prop_assert!(shown.chars().all(|letter| letter == '\t' || !letter.is_control()));
        }
    }
}

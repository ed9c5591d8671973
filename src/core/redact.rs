//! Takes secrets out of text before it leaves for a chat, an LLM, the journal or a log.
//!
//! The rules are a data file (`redact.rules`), compiled once: a [`RegexSet`] tells which rules can match at all, so that
//! ordinary text costs one pass and no copy. Regular expressions here are linear in the text's length.
//!
//! What is meant to stay readable: UUIDs, digests, plan hashes, ids, paths, names of pods and images.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};
use serde_json::Value;

/// What stands where a secret stood.
pub const MARK: &str = "[redacted]";

/// Rounds until nothing changes any more; text that needs more is hostile, and its remaining matches are few.
const ROUNDS: usize = 4;

static RULES: LazyLock<Result<Rules, String>> = LazyLock::new(|| Rules::parse(include_str!("redact.rules")));

struct Rules {
    set: RegexSet,
    rules: Vec<Rule>,
}

struct Rule {
    regex: Regex,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    Any,
    Mixed,
    Entropy,
}

/// The text without secrets; borrowed if there were none.
///
/// Doing it twice changes nothing more.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    match &*RULES {
        Ok(rules) => rules.apply(text),
        // The rules are part of the binary and tested; if they are broken all the same, nothing may pass.
        Err(_) => Cow::Borrowed(MARK),
    }
}

/// Redacts every text in a JSON value, and every value whose key names a secret (`password`, `api_key` …).
pub fn redact_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = redact(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_json),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if names_a_secret(name) { hide(field) } else { redact_json(field) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Everything below a key that names a secret is one, however it is packed.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(_) | Value::Number(_) => *value = Value::String(MARK.to_owned()),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Text from outside as it leaves for a person: without secrets (looked for before it is cut), on one line, without
/// characters that drive a terminal or turn the reading direction, and at most `most` bytes.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    crate::core::text::capped(&plain(text, false), most)
}

/// Text from outside in which people must see every character, since they decide by it: what drives a terminal, breaks the
/// line, turns the reading direction or can't be seen stands there by its code (`\n`, `\u{202e}`).
#[must_use]
pub fn escaped(text: &str) -> String {
    let hidden = |c: char| {
        is_unsafe(c, false)
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{061c}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
    };
    text.chars().flat_map(|c| if hidden(c) { c.escape_default().collect::<Vec<char>>() } else { vec![c] }).collect()
}

/// A record as it leaves for a program or the API: every text in it as [`shown`], at most 64 KiB. Only texts that are not
/// names keep their lines.
pub fn shown_json(value: &mut Value) {
    redact_json(value);
    show_within(value, true);
}

/// Longest text in a record that leaves, bytes.
const IN_RECORD: usize = 64 * 1024;

fn show_within(value: &mut Value, lines: bool) {
    match value {
        Value::String(text) => {
            if text.len() > IN_RECORD || text.chars().any(|c| is_unsafe(c, lines)) {
                *text = crate::core::text::capped(&plain(text, lines), IN_RECORD);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| show_within(item, lines)),
        Value::Object(fields) => {
            // Names of labels come from outside too.
            if fields.keys().any(|name| name.chars().any(|c| is_unsafe(c, false))) {
                *fields =
                    std::mem::take(fields).into_iter().map(|(name, field)| (plain(&name, false), field)).collect();
            }
            for (name, field) in fields.iter_mut() {
                show_within(field, !(name.ends_with("name") || name == "service" || name == "group_key"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn plain(text: &str, lines: bool) -> String {
    // Turned text is put right first, so that no secret hides behind a control that is dropped later.
    let straight: String = text.chars().filter(|c| !turns(*c)).collect();
    let clean = redact(&straight);
    if !clean.chars().any(|c| is_unsafe(c, lines)) {
        return clean.into_owned();
    }
    let clean: String = clean.chars().map(|c| if is_unsafe(c, lines) { ' ' } else { c }).collect();
    redact(&clean).into_owned()
}

/// Bidirectional controls: they let text stand in another order than it is.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_unsafe(c: char, lines: bool) -> bool {
    turns(c) || (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) && !(lines && matches!(c, '\n' | '\t'))
}

/// Whether a field of this name holds a secret. Counts (`tokens`, `max_tokens`) and references (`secret_name`) don't.
#[must_use]
pub fn names_a_secret(name: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "secretkey",
        "authkey",
        "privatekey",
        "signingkey",
        "authorization",
        "credential",
    ];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    ENDINGS.iter().any(|ending| plain.ends_with(ending)) || plain == "cookie" || plain == "credentials"
}

impl Rules {
    fn parse(file: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut parts = line.splitn(2, ' ');
            let name = parts.next().unwrap_or_default();
            let rest = parts.next().unwrap_or_default().trim_start();
            let (check, pattern) = rest.split_once(' ').ok_or_else(|| format!("rule {name} has no expression"))?;
            let check = match check {
                "any" => Check::Any,
                "mixed" => Check::Mixed,
                "entropy" => Check::Entropy,
                other => return Err(format!("rule {name} has the unknown check {other}")),
            };
            let regex = Regex::new(pattern.trim()).map_err(|error| format!("rule {name}: {error}"))?;
            rules.push(Rule { regex, check });
        }
        let set = RegexSet::new(rules.iter().map(|rule| rule.regex.as_str())).map_err(|error| error.to_string())?;
        Ok(Self { set, rules })
    }

    fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        for _ in 0..ROUNDS {
            let mut changed = false;
            for index in self.set.matches(&clean) {
                if let Some(next) = self.rules[index].apply(&clean) {
                    clean = Cow::Owned(next);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        clean
    }
}

impl Rule {
    /// The text with this rule's secrets replaced, or none if nothing changed.
    fn apply(&self, text: &str) -> Option<String> {
        let mut clean = String::new();
        let mut copied = 0;
        for found in self.regex.captures_iter(text) {
            let Some(secret) = secret_of(&found) else { continue };
            if secret.as_str().starts_with(MARK.trim_end_matches(']')) || !self.check.holds(secret.as_str()) {
                continue;
            }
            clean.push_str(&text[copied..secret.start()]);
            clean.push_str(MARK);
            copied = secret.end();
        }
        if copied == 0 {
            return None;
        }
        clean.push_str(&text[copied..]);
        Some(clean)
    }
}

fn secret_of<'t>(found: &Captures<'t>) -> Option<regex::Match<'t>> {
    if found.len() == 1 {
        return found.get(0);
    }
    ["secret", "secret2", "secret3"].iter().find_map(|name| found.name(name))
}

impl Check {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Mixed => is_mixed(text),
            Self::Entropy => looks_random(text),
        }
    }
}

fn is_mixed(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().any(u8::is_ascii_digit)
        || bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Careful on purpose: digests are one case, UUIDs have four dashes and one case, paths and names change their kind of
/// character seldom. Text drawn at random from base64's alphabet changes it at more than half of its places.
fn looks_random(text: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 0_u8,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = text.as_bytes();
    let count = |wanted: u8| bytes.iter().filter(|byte| kind(**byte) == wanted).count();
    let changes = bytes.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    count(0) >= 3
        && count(1) >= 3
        && count(2) >= 2
        && count(3) * 8 <= bytes.len()
        && changes * 20 >= bytes.len() * 7
        && bits_per_byte(bytes) >= 4.0
}

/// Shannon entropy of the byte frequencies, bits per byte.
fn bits_per_byte(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "lengths of tokens are far below 2^52")]
    let total = bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).fold(0.0, |sum, count| {
        let share = f64::from(*count) / total;
        sum - share * share.log2()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_rule_compiles_and_has_a_secret_to_replace() {
        let rules = Rules::parse(include_str!("redact.rules")).unwrap();
        assert!(rules.rules.len() >= 20);
        for rule in &rules.rules {
            let named = rule.regex.capture_names().flatten().count();
            assert_eq!(rule.regex.captures_len(), named + 1, "unnamed group in {}", rule.regex.as_str());
        }
    }

    #[test]
    fn secrets_go_and_what_surrounds_them_stays() {
        // Put together at run time, so that no scanner of the repository takes these for real ones.
        let aws = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        let slack = ["xoxb", "-123456789012-abcdefABCDEF"].concat();
        let github = ["ghp", "_abcdefghijklmnopqrstuvwxyz0123456789"].concat();
        let jwt = ["eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"].concat();
        let key = format!("-----BEGIN {0} KEY-----\nMIIEow\nabc\n-----END {0} KEY-----", "RSA PRIVATE");
        for (text, want) in [
            ("Authorization: Bearer abc123def456".to_owned(), "Authorization: Bearer [redacted]"),
            ("curl -H 'authorization: Basic dXNlcjpwYXNz'".to_owned(), "curl -H 'authorization: Basic [redacted]'"),
            ("postgres://app:s3cr@t@db:5432/shop".to_owned(), "postgres://app:[redacted]@db:5432/shop"),
            (format!("key {aws} used"), "key [redacted] used"),
            (format!("bot {slack}, ok"), "bot [redacted], ok"),
            (format!("push with {github}"), "push with [redacted]"),
            (format!("got {jwt} from login"), "got [redacted] from login"),
            (format!("read\n{key}\ndone"), "read\n[redacted]\ndone"),
            ("DB_PASSWORD=hunter2 make".to_owned(), "DB_PASSWORD=[redacted] make"),
            (r#"{"user":"a","apiKey":"k-1 2"}"#.to_owned(), r#"{"user":"a","apiKey":"[redacted]"}"#),
            (r#"body: "{\"password\":\"x1\"}""#.to_owned(), r#"body: "{\"password\":\"[redacted]\"}""#),
            ("GET /x?token=abc&page=2".to_owned(), "GET /x?token=[redacted]&page=2"),
            ("mysql --password hunter2 -h db".to_owned(), "mysql --password [redacted] -h db"),
            ("Set-Cookie: mayday=abc; Path=/".to_owned(), "Set-Cookie: [redacted]"),
            ("aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY9z".to_owned(), "aws [redacted]"),
        ] {
            assert_eq!(redact(&text), want);
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is_and_is_not_copied() {
        for text in [
            "order-service: 3 of 4 pods restart every 40 s since 14:02, after rollout 7f3c",
            "bearer authentication failed for user ana",
            "llm tokens=512 max_tokens: 4096 secretName=order-db",
            "run RUN-3 of PB-Payment-Troubleshoot for INC-7",
            "019a1b2c-7d3e-7f00-8abc-0123456789ab",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "image registry.example.com/shop/order-service@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/var/lib/mayday/data/incidents/2026-11-21/order-service-7d9f8b6c5d-x2x4z.log",
            "java.lang.IllegalStateException at com.example.OrderServiceHttpRequestV2HandlerFactoryBean.handle",
            "支付网关故障处理报告",
            "http://10.0.0.1:8080/api/v1/health?verbose=true",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text} became {}", redact(text));
        }
    }

    #[test]
    fn what_is_shown_is_one_line_that_drives_no_terminal_and_hides_no_secret() {
        assert_eq!(shown("X\u{202e}evil\u{202c}\nINC-1  fine\u{1b}[2J", 80), "Xevil INC-1  fine [2J");
        assert_eq!(shown("pass\u{202e}word=hunter2\nnext", 80), "password=[redacted] next");
        assert_eq!(escaped("a\u{202e}b\nc 支付"), "a\\u{202e}b\\nc 支付");
        assert_eq!(shown(&"x".repeat(100), 10), "xxxxxxx…");
        let mut value = json!({"alert_name": "a\nb", "description": "a\nb\u{1b}c\u{2066}", "labels": {"token": "t"}});
        shown_json(&mut value);
        assert_eq!(value, json!({"alert_name": "a b", "description": "a\nb c", "labels": {"token": MARK}}));
        let mut names = json!({"labels": {"te\u{202e}am\u{1b}[2J": "a", "path": "b"}, "list": [{"x\ny": 1}]});
        shown_json(&mut names);
        assert_eq!(names, json!({"labels": {"team [2J": "a", "path": "b"}, "list": [{"x y": 1}]}));
    }

    #[test]
    fn json_loses_secrets_by_name_and_by_look() {
        let mut value =
            json!({"token": "x", "tokens": 3, "pin_secret": 12, "note": "password=abc", "list": ["Bearer abc123456"]});
        redact_json(&mut value);
        assert_eq!(
            value,
            json!({"token": MARK, "tokens": 3, "pin_secret": MARK, "note": "password=[redacted]", "list": ["Bearer [redacted]"]})
        );
    }

    #[test]
    fn whatever_stands_below_a_secret_name_is_hidden() {
        let mut value =
            json!({"password": ["hunter2", 7, ""], "api_key": {"old": "a", "since": 3, "on": true, "no": null}});
        redact_json(&mut value);
        let hidden =
            json!({"password": [MARK, MARK, ""], "api_key": {"old": MARK, "since": MARK, "on": true, "no": null}});
        assert_eq!(value, hidden);
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_a_second_time_changes_nothing(text in ".{0,200}") {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once), once.as_str());
        }

        #[test]
        fn text_made_of_its_own_pieces_settles(parts in prop::collection::vec(prop::sample::select(vec![
            "password", "=", ":", "\"", " ", "token", "Bearer ", "abc123XYZ", "://", "@", "[redacted]", "\\", "'", "cookie", "\n", "eyJabcdef.abcdef.",
        ]), 0..24)) {
            let once = redact(&parts.concat()).into_owned();
            prop_assert_eq!(redact(&once), once.as_str());
        }

        #[test]
        fn no_password_gets_through(before in "[ a-z]{0,20}", secret in "[A-Za-z0-9!#%*+.~]{6,40}", after in "[ a-z]{0,20}") {
            for text in [
                format!("{before} password={secret} {after}"),
                format!("{before} \"password\": \"{secret}\" {after}"),
                format!("{before} Authorization: Bearer {secret} {after}"),
                format!("{before} https://user:{secret}@example.com/ {after}"),
            ] {
                let clean = redact(&text);
                prop_assert!(!clean.contains(&secret), "{} kept {}", clean, secret);
            }
        }

        #[test]
        fn digests_and_uuids_stay(digest in "[0-9a-f]{64}", short in "[0-9a-f]{40}", uuid in "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}") {
            let text = format!("plan {digest} commit {short} id {uuid}");
            prop_assert_eq!(redact(&text), text.as_str());
        }
    }
}

//! Outcomes on their way to the journal: redacted, capped; and when a failure is tried again.

use std::time::Duration;

use serde_json::{Map, Value};

use super::event::FailureKind;
use crate::core::{Timestamp, digest};
use crate::playbook::model::{Retry, RetryOn};

/// No wait between tries is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// An output as it is stored: at most `max` bytes of JSON; what was cut is said under `_capped`.
#[must_use]
pub fn capped(output: Value, max: usize) -> Value {
    let size = output.to_string().len();
    if size <= max {
        return output;
    }
    let mut object = match output {
        Value::Object(map) => map,
        other => Map::from_iter([("body".to_owned(), other)]),
    };
    let note = format!("cut from {size} to at most {max} bytes before it was stored");
    for limit in [4096_usize, 1024, 256, 64, 16, 4] {
        let mut cut = Value::Object(object.clone());
        shorten(&mut cut, limit, 0);
        if let Value::Object(map) = &mut cut {
            map.insert("_capped".to_owned(), Value::String(note.clone()));
        }
        if cut.to_string().len() <= max {
            return cut;
        }
    }
    object.clear();
    object.insert("_capped".to_owned(), Value::String(note));
    Value::Object(object)
}

/// What the items of a task gave, as one list of at most about `max` bytes: it stays a list with a place for each item.
#[must_use]
pub fn each_capped(output: Value, max: usize) -> Value {
    match output {
        Value::Array(items) if serde_json::to_string(&items).is_ok_and(|text| text.len() > max) => {
            let share = max / items.len().max(1);
            Value::Array(items.into_iter().map(|item| capped(item, share)).collect())
        }
        output => output,
    }
}

fn shorten(value: &mut Value, limit: usize, depth: usize) {
    match value {
        Value::String(text) => *text = crate::core::text::capped(text, limit.max(8)),
        Value::Array(items) => {
            items.truncate(limit);
            items.iter_mut().for_each(|item| shorten(item, limit, depth + 1));
        }
        Value::Object(map) => {
            if depth > 0 && map.len() > limit {
                let gone: Vec<String> = map.keys().skip(limit).cloned().collect();
                gone.iter().for_each(|key| drop(map.remove(key)));
            }
            map.values_mut().for_each(|item| shorten(item, limit, depth + 1));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// When a failed try is tried again; none when it is not. The chance in it comes from the task and the try, so that a
/// replay sees the same.
#[must_use]
pub fn retry_at(
    retry: Option<&Retry>,
    kind: FailureKind,
    attempt: u32,
    seed: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    let retry = retry?;
    let on = if retry.on.is_empty() { &[RetryOn::Transient, RetryOn::Timeout][..] } else { &retry.on };
    let wanted = match kind {
        FailureKind::Transient => on.contains(&RetryOn::Transient) || on.contains(&RetryOn::Any),
        FailureKind::Timeout => on.contains(&RetryOn::Timeout) || on.contains(&RetryOn::Any),
        FailureKind::Permanent => on.contains(&RetryOn::Any),
        FailureKind::NotAvailable
        | FailureKind::Broken
        | FailureKind::NotVerified
        | FailureKind::MadeWorse
        | FailureKind::Reported => false,
    };
    if !wanted || attempt >= retry.attempts {
        return None;
    }
    let first = retry.backoff.map_or(Duration::from_secs(1), |span| span.0);
    let wait =
        first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_BACKOFF);
    let jitter = retry.jitter.unwrap_or(0.2).clamp(0.0, 1.0);
    let dice = digest::of_parts([seed.as_bytes(), &attempt.to_be_bytes()]);
    let share = f64::from(u32::from_str_radix(&dice[..8], 16).unwrap_or(0)) / f64::from(u32::MAX);
    let wait = wait.mul_f64(1.0 - jitter * share);
    now.checked_add(wait).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::duration::Span;

    #[test]
    fn a_large_output_is_cut_and_says_so_and_small_fields_survive() {
        let output = json!({"total": 7, "lines": vec!["x".repeat(2000); 500], "ok": true});
        let stored = capped(output, 64 * 1024);
        assert!(stored.to_string().len() <= 64 * 1024);
        assert_eq!(stored["total"], 7);
        assert_eq!(stored["ok"], true);
        assert!(stored["_capped"].as_str().unwrap().contains("cut from"));
        assert_eq!(capped(json!({"a": 1}), 64), json!({"a": 1}));
        let wide: Map<String, Value> = (0..10_000).map(|n| (format!("key{n}"), json!(n))).collect();
        assert!(capped(Value::Object(wide), 1024).to_string().len() <= 1024);
    }

    #[test]
    fn tries_wait_longer_each_time_and_end() {
        let retry = Retry { attempts: 3, backoff: Some(Span::from_secs(2)), jitter: Some(0.0), on: Vec::new() };
        let now = Timestamp::UNIX_EPOCH;
        let at = |attempt, kind| retry_at(Some(&retry), kind, attempt, "s", now).map(|at| at.as_second());
        assert_eq!(at(1, FailureKind::Transient), Some(2));
        assert_eq!(at(2, FailureKind::Timeout), Some(4));
        assert_eq!(at(3, FailureKind::Transient), None);
        assert_eq!(at(1, FailureKind::Permanent), None);
        assert_eq!(retry_at(None, FailureKind::Transient, 1, "s", now), None);
    }
}

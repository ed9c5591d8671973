//! Times as senders write them, to UTC.

use jiff::civil::DateTime;
use serde_json::Value;

use crate::core::Timestamp;
use crate::core::text::capped;

/// RFC 3339 in text, or a number counted from 1970: seconds, milli-, micro- or nanoseconds by its size. Without a zone
/// UTC is taken. The zero time of Go (`0001-01-01T00:00:00Z`), 0 and empty text mean "none".
///
/// # Errors
/// What was read and what is expected.
pub(super) fn read(value: &Value) -> Result<Option<Timestamp>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => read_text(text),
        Value::Number(number) => number.as_f64().map_or_else(|| Err(not_a_time(&number.to_string())), from_number),
        other => Err(format!("{} where a time was expected (RFC 3339 or unix seconds)", super::json::kind(other))),
    }
}

fn read_text(text: &str) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(real(at));
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return jiff::tz::TimeZone::UTC.to_timestamp(local).map(real).map_err(|_| not_a_time(text));
    }
    match text.parse::<f64>() {
        Ok(number) => from_number(number),
        Err(_) => Err(not_a_time(text)),
    }
}

/// Whatever lies before 1970 is a sender's "none".
fn real(at: Timestamp) -> Option<Timestamp> {
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

fn from_number(number: f64) -> Result<Option<Timestamp>, String> {
    let seconds = match number.abs() {
        size if size < 1e11 => number,
        size if size < 1e14 => number / 1e3,
        size if size < 1e17 => number / 1e6,
        _ => number / 1e9,
    };
    if !seconds.is_finite() || !(0.0..=2.5e11).contains(&seconds) {
        return Err(not_a_time(&number.to_string()));
    }
    // Milliseconds are as fine as a double of this size is exact.
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let millis = (seconds * 1e3).round() as i64;
    Timestamp::from_millisecond(millis).map(real).map_err(|_| not_a_time(&number.to_string()))
}

fn not_a_time(text: &str) -> String {
    format!("{:?} is not a time; write RFC 3339 (2026-11-21T00:05:26Z) or unix seconds", capped(text, 40))
}

/// Zabbix's `2026.11.21` and `00:01:49` in the server's zone.
pub(super) fn zabbix(date: &str, clock: &str, zone: &jiff::tz::TimeZone) -> Result<Timestamp, String> {
    let wrong =
        || format!("{:?} is not Zabbix's date and time (2026.11.21 00:01:49)", capped(&format!("{date} {clock}"), 60));
    let iso = format!("{}T{}", date.trim().replace('.', "-"), clock.trim());
    let local: DateTime = iso.parse().map_err(|_| wrong())?;
    zone.to_timestamp(local).map_err(|_| wrong())
}

/// Refuses a start that no clock of today can have meant; a wrong one would stand at the end of every list for ever.
pub(super) fn plausible(start: Timestamp, received_at: Timestamp) -> Result<(), String> {
    const AHEAD: i64 = 86_400;
    if start.as_second() > received_at.as_second().saturating_add(AHEAD) {
        return Err(format!(
            "starts at {start}, more than a day in the future; check the sender's clock and time zone"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_common_forms_become_utc() {
        let shown = |value: Value| read(&value).unwrap().map(|at| at.to_string());
        let same = Some("2026-11-21T00:05:26Z".to_owned());
        assert_eq!(shown("2026-11-21T00:05:26Z".into()), same);
        assert_eq!(shown("2026-11-21T02:05:26+02:00".into()), same);
        assert_eq!(shown("2026-11-21 00:05:26".into()), same);
        assert_eq!(shown(1_795_219_526_i64.into()), same);
        assert_eq!(shown(1_795_219_526_000_i64.into()), same);
        assert_eq!(shown("1795219526".into()), same);
        assert_eq!(shown("0001-01-01T00:00:00Z".into()), None);
        assert_eq!(shown(0.into()), None);
        assert!(read(&"yesterday".into()).unwrap_err().contains("yesterday"));
        assert!(read(&Value::from(1e300)).is_err());
        assert!(read(&Value::Bool(true)).is_err());
    }

    #[test]
    fn a_zabbix_time_is_in_the_servers_zone() {
        let berlin: super::super::Zone = "+01:00".parse().unwrap();
        assert_eq!(zabbix("2026.11.21", "00:01:49", berlin.zone()).unwrap().to_string(), "2026-11-20T23:01:49Z");
        assert!(zabbix("{EVENT.DATE}", "x", berlin.zone()).is_err());
    }
}

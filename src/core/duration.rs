//! Durations as people write and read them: `90s`, `10m`, `2h30m`, `7d`; shown as `4 min`, `2 h 30 min`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in configuration, playbooks and commands. Written `500ms`, `90s`, `10m`, `2h30m`, `7d`, `1w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write {}", .meant.map_or_else(|| "for instance 90s, 10m, 2h30m or 7d".to_owned(), |meant| format!("`{meant}`")))]
pub struct NotADuration {
    text: String,
    /// What was probably meant.
    meant: Option<Span>,
}

/// What people mean by `10 minutes`, `1.5h` or `30 sec`.
fn meant(text: &str) -> Option<Span> {
    let text = text.trim();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let number: f64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
        "m" | "min" | "mins" | "minute" | "minutes" => 60e3,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600e3,
        "d" | "day" | "days" => 86_400e3,
        "w" | "week" | "weeks" => 604_800e3,
        _ => return None,
    };
    // Beyond a century it is refused anyway; a rounded number of milliseconds reads back as it is shown.
    let millis = (number * millis).round();
    (1.0..3e12).contains(&millis).then(|| Span(Duration::from_millis(millis as u64)))
}

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl std::str::FromStr for Span {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = || NotADuration { text: text.chars().take(40).collect(), meant: meant(text) };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let millis: u64 = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return Err(wrong()),
            };
            rest = &rest[letters..];
            let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        // A century bounds every later addition to a timestamp.
        if total > Duration::from_secs(100 * 366 * 86_400) { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl std::fmt::Display for Span {
    /// The form that [`Span::from_str`](std::str::FromStr) reads back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let mut rest = millis;
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|min|h|d|w))+$",
            "description": "a duration: 500ms, 90s, 10m, 2h30m, 7d, 1w"
        })
    }
}

/// For people, the two largest units: `45 s`, `4 min 10 s`, `2 h 30 min`, `3 d 4 h`; below a second `320 ms`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let secs = duration.as_secs();
    if secs == 0 {
        return format!("{} ms", duration.as_millis());
    }
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, size)| secs >= *size) else { return String::new() };
    let (name, size) = units[first];
    let mut text = format!("{} {name}", secs / size);
    if let Some((name, next)) = units.get(first + 1) {
        let count = secs % size / next;
        if count > 0 {
            text.push_str(&format!(" {count} {name}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_back_what_it_shows() {
        for text in ["500ms", "90s", "10m", "2h30m", "7d"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
        for wrong in ["", "10", "m", "10 m", "-1s", "99999999999999999999s", "9000w9000w9000w9000w9000w", "1é"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_meant_is_told() {
        for (wrong, right) in [("10 minutes", "10m"), ("1.5h", "1h30m"), ("30 sec", "30s")] {
            assert_eq!(
                wrong.parse::<Span>().unwrap_err().to_string(),
                format!("`{wrong}` is not a duration; write `{right}`")
            );
        }
        assert!("soon".parse::<Span>().unwrap_err().to_string().ends_with("write for instance 90s, 10m, 2h30m or 7d"));
    }

    #[test]
    fn people_read_two_units() {
        assert_eq!(human(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(human(Duration::from_secs(7200)), "2 h");
        assert_eq!(human(Duration::from_millis(320)), "320 ms");
    }
}

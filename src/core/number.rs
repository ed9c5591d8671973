//! Numbers as people read them: two or three digits and a unit, `83 %`, `1.4 s`, `2.3/s`, `1.1 GB`.

use std::time::Duration;

use super::duration;

/// A number for people. Whole numbers keep all their digits, as counts should, and below a hundred one
/// decimal stays (85.4 % is over a limit of 85 %); milliseconds become seconds and
/// bytes larger units (steps of 1024) where that is shorter.
#[must_use]
pub fn human(value: f64, unit: Option<&str>) -> String {
    let (value, unit) = match unit {
        Some("ms") if value.abs() >= 1000.0 => (value / 1000.0, Some("s".to_owned())),
        Some(bytes @ ("B" | "Bps" | "B/s")) if value.abs() >= 1024.0 => {
            let steps = ["k", "M", "G", "T", "P"];
            let mut step = 0;
            let mut size = value / 1024.0;
            while size.abs() >= 1024.0 && step + 1 < steps.len() {
                size /= 1024.0;
                step += 1;
            }
            (size, Some(format!("{}{bytes}", steps[step])))
        }
        other => (value, other.map(str::to_owned)),
    };
    match unit.as_deref() {
        Some("s") if (60.0..1e9).contains(&value) => duration::human(Duration::from_secs_f64(value.round())),
        // Nearly all is not all.
        Some("%") if value > 99.9 && value < 100.0 => format!("{} %", (value * 10.0).floor() / 10.0),
        Some(per) if per.starts_with('/') => format!("{}{per}", digits(value)),
        Some(unit) => format!("{} {unit}", digits(value)),
        None => digits(value),
    }
}

fn digits(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude >= 1e15 || (magnitude > 0.0 && magnitude < 1e-3) {
        return format!("{value:.1e}");
    }
    let decimals = match magnitude {
        _ if magnitude >= 100.0 || magnitude == 0.0 => 0,
        _ if magnitude >= 1.0 => 1,
        _ if magnitude >= 0.1 => 2,
        _ if magnitude >= 0.01 => 3,
        _ => 4,
    };
    let mut text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn people_read_two_digits_and_a_unit() {
        for (value, unit, text) in [
            (82.73, "%", "82.7 %"),
            (0.0, "%", "0 %"),
            (99.97, "%", "99.9 %"),
            (100.0, "%", "100 %"),
            (620.0, "ms", "620 ms"),
            (1361.0, "ms", "1.4 s"),
            (90_000.0, "ms", "1 min 30 s"),
            (2.31, "/s", "2.3/s"),
            (1.1 * 1024.0 * 1024.0 * 1024.0, "B", "1.1 GB"),
        ] {
            assert_eq!(human(value, Some(unit)), text);
        }
        for (value, text) in [(12.0, "12"), (525.0, "525"), (0.254, "0.25"), (9.96, "10"), (0.0123, "0.012")] {
            assert_eq!(human(value, None), text);
        }
        assert_eq!(human(f64::NAN, None), "NaN");
    }
}

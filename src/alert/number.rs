//! Reading a number honestly: `96.5 %`, `5xx: 12.25 %`, `1.5 GB`, `1.2e+09`. A text with more than one number, or with
//! words around it, has no value; a guess would start playbooks.

/// A number as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Finite. With a unit prefix (`1.5 GB`, `3 Mbps`, `1.2k`) it is in the unit without the prefix, since the same
    /// sender writes `900 MB` and `1.1 GB` about the same thing.
    pub value: f64,
    /// The unit without its prefix, as written; none for a bare number.
    pub unit: Option<String>,
}

/// Reads text that is one number, perhaps with a unit, perhaps with a name before it (`name: 12 %`, `name=12`).
#[must_use]
pub fn read(text: &str) -> Option<Reading> {
    let text = text.trim();
    // Longer text is prose.
    if text.len() > 120 {
        return None;
    }
    plain(text).or_else(|| {
        let (name, rest) = text.split_once([':', '='])?;
        // `12:30` is a time.
        let named = name.chars().any(char::is_alphabetic);
        if !named || rest.contains([':', '=']) { None } else { plain(rest.trim()) }
    })
}

/// Zabbix writes a value with a value map as `mapped text (raw value)`.
#[must_use]
pub fn read_mapped(text: &str) -> Option<Reading> {
    read(text).or_else(|| {
        let (_, raw) = text.trim().strip_suffix(')')?.rsplit_once('(')?;
        plain(raw.trim()).filter(|reading| reading.unit.is_none())
    })
}

fn plain(text: &str) -> Option<Reading> {
    let digits = length_of_number(text.as_bytes())?;
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let fits = unit.len() <= 12
        && unit.chars().all(|letter| letter.is_alphabetic() || "%/°µ²³".contains(letter))
        // `5m` is five minutes to one and 0.005 to Prometheus's humanize.
        && unit != "m";
    if !fits {
        return None;
    }
    let (factor, unit) = prefix(unit);
    let value = number * factor;
    value.is_finite().then(|| Reading { value, unit: (!unit.is_empty()).then(|| unit.to_owned()) })
}

/// How many bytes at the beginning are a decimal number.
fn length_of_number(bytes: &[u8]) -> Option<usize> {
    let run = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = run(at);
    at += whole;
    let mut any = whole > 0;
    if bytes.get(at) == Some(&b'.') {
        let fraction = run(at + 1);
        if fraction > 0 {
            at += 1 + fraction;
            any = true;
        }
    }
    if !any {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = run((at + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    Some(at)
}

/// The factor of a unit's prefix and the unit without it. Bytes count in 1024 (as Zabbix writes `B` and `Bps`, and
/// Prometheus's humanize1024 `Ki`), everything else in 1000.
fn prefix(unit: &str) -> (f64, &str) {
    let power = |letter: Option<char>| match letter {
        Some('k' | 'K') => Some(1),
        Some('M') => Some(2),
        Some('G') => Some(3),
        Some('T') => Some(4),
        Some('P') => Some(5),
        _ => None,
    };
    let Some(exponent) = power(unit.chars().next()) else { return (1.0, unit) };
    let rest = &unit[1..];
    match rest {
        "" | "bps" | "bit/s" | "b/s" => (1000_f64.powi(exponent), rest),
        "B" | "Bps" | "B/s" => (1024_f64.powi(exponent), rest),
        "i" | "iB" | "iB/s" => (1024_f64.powi(exponent), &rest[1..]),
        _ => (1.0, unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Option<(f64, Option<String>)> {
        read(text).map(|reading| (reading.value, reading.unit))
    }

    #[test]
    fn one_number_with_its_unit_is_a_value() {
        let percent = Some("%".to_owned());
        assert_eq!(reads("96.5 %"), Some((96.5, percent.clone())));
        assert_eq!(reads("86.49%"), Some((86.49, percent.clone())));
        assert_eq!(reads("5xx: 12.25 %"), Some((12.25, percent)));
        assert_eq!(reads("-3"), Some((-3.0, None)));
        assert_eq!(reads("1.2e+09"), Some((1.2e9, None)));
        assert_eq!(reads(".5"), Some((0.5, None)));
        assert_eq!(reads("620ms"), Some((620.0, Some("ms".to_owned()))));
        assert_eq!(reads("1.5 GB"), Some((1.5 * 1024.0 * 1024.0 * 1024.0, Some("B".to_owned()))));
        assert_eq!(reads("2 Mbps"), Some((2e6, Some("bps".to_owned()))));
        assert_eq!(reads("1.2k"), Some((1200.0, None)));
    }

    #[test]
    fn prose_and_several_numbers_are_no_value() {
        for text in [
            "job backup has 12 errors",
            "12 errors of 13",
            "cpu: 93 %, load: 12",
            "1m 35s",
            "5m",
            "NaN",
            "+Inf",
            "1e999",
            "",
            "%",
            "0x10",
            "1,234",
            "12:30",
            "a: b: 3",
            ".",
            "-",
        ] {
            assert_eq!(reads(text), None, "{text}");
        }
    }

    #[test]
    fn a_mapped_value_is_its_raw_number() {
        assert_eq!(read_mapped("not available (0)").map(|reading| reading.value), Some(0.0));
        assert_eq!(read_mapped("up (for 3 days)"), None);
        assert_eq!(read_mapped("97 %").map(|reading| reading.value), Some(97.0));
    }
}

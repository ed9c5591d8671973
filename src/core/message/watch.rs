//! What own eyes say: the descriptions of own alerts.

use crate::core::Timestamp;

/// A number as people read it: two digits that matter, and whole numbers whole.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        1.0..100.0 => 1,
        0.1..1.0 => 2,
        0.001..0.1 => 3,
        _ if value == 0.0 => 0,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A value with its unit: `2.1 s` rather than `2100 ms`, `48 %`, `2.3/s`.
#[must_use]
pub fn amount(value: f64, unit: &str) -> String {
    match unit {
        "ms" if value.abs() >= 1_000.0 => format!("{} s", number(value / 1_000.0)),
        "MiB" if value.abs() >= 1_024.0 => format!("{} GiB", number(value / 1_024.0)),
        "" => number(value),
        "/s" => format!("{}/s", number(value)),
        unit => format!("{} {unit}", number(value)),
    }
}

/// Whose alert it is: its service, and the machine where each machine has its own.
#[must_use]
pub fn whose(service: &str, machine: Option<&str>) -> String {
    match (service, machine) {
        (service, None) => service.to_owned(),
        ("", Some(machine)) => machine.to_owned(),
        (service, Some(machine)) => format!("{service} on {machine}"),
    }
}

/// An own alert fires.
#[must_use]
pub fn alert_fires(
    whose: &str,
    measures: &str,
    value: Option<f64>,
    (sign, threshold): (&str, f64),
    unit: &str,
) -> String {
    let whose = if whose.is_empty() { String::new() } else { format!("{whose}: ") };
    let value = value.map_or_else(|| "unknown".to_owned(), |value| amount(value, unit));
    format!("{whose}{measures} is {value}, the limit is {sign} {}", amount(threshold, unit))
}

/// An own alert fires because its series is gone.
#[must_use]
pub fn no_data(alert_name: &str, whose: &str, measures: &str, since: Timestamp) -> String {
    let whose = if whose.is_empty() { String::new() } else { format!("{whose}: ") };
    format!("{whose}no data since {}, so {alert_name} can't be judged ({measures})", since.strftime("%H:%M:%S UTC"))
}

/// An own alert has ended.
#[must_use]
pub fn alert_over(alert_name: &str, measures: &str, value: Option<f64>, unit: &str) -> String {
    match value {
        Some(value) => format!("{alert_name} is over: {measures} is {}", amount(value, unit)),
        None => format!("{alert_name} is over"),
    }
}

/// An alert ends since nobody watches it any more.
#[must_use]
pub fn rule_removed(rule: &str) -> String {
    format!("The rule {rule} was removed from the configuration, so its alert ends here; it was not seen to recover")
}

/// An alert ends since nobody looks at its machine any more.
#[must_use]
pub fn machine_gone(rule: &str, machine: &str) -> String {
    format!(
        "No Mayday has run on {machine} for an hour, so the alert of the rule {rule} there ends here; it was not seen to \
         recover"
    )
}

/// An alert ends since its rule watches something else now.
#[must_use]
pub fn rule_changed(rule: &str) -> String {
    format!(
        "The rule {rule} is evaluated in another way now (for all machines, or on each), so its alert of before ends here; \
         where it still holds, a new one says so"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (1234.5, "1234"),
            (93.25, "93.2"),
            (0.5, "0.5"),
            (3.0, "3"),
            (0.0, "0"),
            (2.333, "2.3"),
            (0.0123, "0.012"),
            (0.000_012, "1.2e-5"),
            (-4.26, "-4.3"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(amount(2.333, "/s"), "2.3/s");
        assert_eq!(amount(1_315.0, "ms"), "1.3 s");
        assert_eq!(amount(500.0, "ms"), "500 ms");
    }
}

//! What own eyes say: the descriptions of own alerts.

use crate::core::Timestamp;

/// A number as people read it: three significant decimals at most.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0..100.0 => 1,
        0.001..10.0 => 3,
        _ if value == 0.0 => 0,
        _ => return format!("{value:.2e}"),
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// An own alert fires.
#[must_use]
pub fn alert_fires(service: &str, measures: &str, value: Option<f64>, sign: &str, threshold: f64) -> String {
    let whose = if service.is_empty() { String::new() } else { format!("{service}: ") };
    let value = value.map_or_else(|| "unknown".to_owned(), number);
    format!("{whose}{measures} is {value}, the limit is {sign} {}", number(threshold))
}

/// An own alert fires because its series is gone.
#[must_use]
pub fn no_data(alert_name: &str, service: &str, measures: &str, since: Timestamp) -> String {
    let whose = if service.is_empty() { String::new() } else { format!("{service}: ") };
    format!("{whose}no data since {}, so {alert_name} can't be judged ({measures})", since.strftime("%H:%M:%S UTC"))
}

/// An own alert has ended.
#[must_use]
pub fn alert_over(alert_name: &str, measures: &str, value: Option<f64>) -> String {
    match value {
        Some(value) => format!("{alert_name} is over: {measures} is {}", number(value)),
        None => format!("{alert_name} is over"),
    }
}

/// An alert ends since nobody watches it any more.
#[must_use]
pub fn rule_removed(rule: &str) -> String {
    format!("The rule {rule} was removed from the configuration, so its alert ends here; it was not seen to recover")
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
            (0.000_012, "1.20e-5"),
            (-4.25, "-4.25"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}

//! What an own rule hands to intake: the alert of one of its series, when it fires and when it is over.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::RuleOptions;
use super::kept::Kept;
use crate::alert::{Alert, AlertId, Fingerprint, Status};
use crate::core::message::watch as say;
use crate::core::{Tainted, Timestamp, digest};

/// A series' name in the store and in its alerts.
pub(super) fn series_digest(labels: &BTreeMap<String, String>) -> String {
    let parts = labels.iter().flat_map(|(label, value)| [label.as_bytes(), value.as_bytes()]);
    digest::of_parts(parts)[..16].to_owned()
}

/// The alert of a rule for one of its series; `blind` where it fires because nothing is measured any more.
pub(super) fn fired(rule: &RuleOptions, kept: &Kept, since: Timestamp, blind: bool) -> Alert {
    let (series, state) = (&kept.labels, &kept.state);
    let mut labels = series.clone();
    labels.remove("__name__");
    labels.extend(rule.labels.clone());
    labels.insert("rule".to_owned(), rule.id.clone());
    let service = rule
        .service
        .clone()
        .or_else(|| rule.logs.as_ref().map(|logs| logs.service.clone()))
        .or_else(|| labels.get("service").cloned())
        .unwrap_or_default();
    let value = state.value;
    let limit = (rule.comparison.sign(), rule.threshold);
    let whose = say::whose(&service, kept.machine.as_deref());
    let fires = || say::alert_fires(&whose, &rule.measures(), value, limit, unit_of(rule));
    let described = match (&rule.description, blind) {
        (_, true) => say::no_data(&rule.alert_name, &whose, &rule.measures(), state.seen_at),
        (Some(text), false) => described(text, &labels, value.unwrap_or_default(), rule.threshold, &service)
            .unwrap_or_else(|error| {
                tracing::warn!(rule = rule.id, %error, "a rule's description can't be filled in");
                fires()
            }),
        (None, false) => fires(),
    };
    let fingerprint =
        Fingerprint(digest::of_parts([rule.id.as_bytes(), series_digest(series).as_bytes()])[..16].to_owned());
    Alert {
        alert_id: AlertId::of("mayday", &fingerprint, since),
        source_system: "mayday".to_owned(),
        alert_name: Tainted::new(rule.alert_name.clone()),
        severity: rule.severity,
        status: Status::Firing,
        service_name: Tainted::new(service),
        host_ip: ["host_ip", "instance", "host"].iter().find_map(|label| address(labels.get(*label)?)),
        metric_value: if blind { None } else { value },
        timestamp: since,
        labels: labels.into_iter().map(|(label, value)| (label, Tainted::new(value))).collect(),
        description: Tainted::new(described),
        metric_value_from: Some(rule.measures()),
        metric_unit: rule.unit.clone(),
        fingerprint,
        ended_at: None,
        link: None,
    }
}

/// The unit of what a rule measures; empty where it has none.
pub(super) fn unit_of(rule: &RuleOptions) -> &str {
    rule.unit.as_deref().unwrap_or_default()
}

/// The same alert, over.
pub(super) fn ended(open: &Alert, at: Timestamp, says: &str) -> Alert {
    Alert { status: Status::Resolved, ended_at: Some(at), description: Tainted::new(says), ..open.clone() }
}

/// `10.0.0.1`, `10.0.0.1:9100`, `[::1]:9100`.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

/// A rule's description with its numbers filled in. Numbers lose what lies beyond a thousandth; `round` gives whole
/// numbers without `.0`, and `{{ value | amount("ms") }}` writes `1.3 s` where 1315 were measured.
///
/// # Errors
/// The template's, with its line.
pub(super) fn described(
    text: &str,
    labels: &BTreeMap<String, String>,
    value: f64,
    threshold: f64,
    service: &str,
) -> Result<String, minijinja::Error> {
    let mut templates = minijinja::Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    templates.set_fuel(Some(10_000));
    templates.add_filter("round", |number: f64, digits: Option<i32>| rounded(number, digits.unwrap_or(0).clamp(0, 9)));
    templates.add_filter("amount", |number: f64, unit: Option<String>| say::amount(number, &unit.unwrap_or_default()));
    let short = |number: f64| rounded(number, 3);
    templates
        .render_str(text, minijinja::context! { value => short(value), threshold => short(threshold), service, labels })
}

/// Rounded to so many decimals; a whole number is an integer, which is written without `.0`.
fn rounded(number: f64, digits: i32) -> minijinja::Value {
    let scale = 10f64.powi(digits);
    let rounded = (number * scale).round() / scale;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { minijinja::Value::from(rounded as i64) } else { rounded.into() }
}

//! What expressions come to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Fetched, Query, Selector, Test};
use crate::core::Timestamp;

type Point = (i64, f64);
/// Name, labels, points.
type Written<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [Point]);

/// A little memory of series.
fn fetch(query: &Query, series: &[Written<'_>]) -> Fetched {
    let matches = |selector: &Selector, name: &str, labels: &[(&str, &str)]| {
        selector.name.as_deref().is_none_or(|wanted| wanted == name)
            && selector.labels.iter().all(|wanted| {
                let value = labels.iter().find(|(label, _)| *label == wanted.label).map_or("", |(_, value)| *value);
                match &wanted.test {
                    Test::Is(text) => value == text,
                    Test::IsNot(text) => value != text,
                    Test::Like(regex) => regex.is_match(value),
                    Test::NotLike(regex) => !regex.is_match(value),
                }
            })
    };
    let one = |selector: &Selector| {
        series
            .iter()
            .filter(|(name, labels, _)| matches(selector, name, labels))
            .map(|(name, labels, points)| {
                let mut all: BTreeMap<String, String> =
                    labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
                all.insert("__name__".to_owned(), (*name).to_owned());
                (
                    Arc::new(all),
                    points.iter().map(|(at, value)| (Timestamp::from_second(*at).unwrap(), *value)).collect(),
                )
            })
            .collect()
    };
    Fetched(query.selectors().iter().map(one).collect())
}

fn shop() -> Vec<Written<'static>> {
    vec![
        ("requests_total", &[("service", "order"), ("code", "200")], &[(0, 100.0), (30, 130.0), (60, 160.0)]),
        ("requests_total", &[("service", "order"), ("code", "500")], &[(0, 0.0), (30, 10.0), (60, 40.0)]),
        // A restart in between: 50 → 20 is an increase of 20.
        ("requests_total", &[("service", "pay"), ("code", "200")], &[(0, 40.0), (30, 50.0), (60, 20.0)]),
        ("cpu", &[("service", "order")], &[(0, 10.0), (30, 20.0), (60, 90.0)]),
        ("cpu", &[("service", "pay")], &[(0, 5.0)]),
    ]
}

fn eval_at(text: &str, at: i64) -> Vec<(String, f64)> {
    let query = Query::parse(text).unwrap();
    let fetched = fetch(&query, &shop());
    let value = query.at(&fetched, Timestamp::from_second(at).unwrap(), Duration::ZERO).unwrap();
    let shown = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",")
    };
    value.finite().into_iter().map(|(labels, value)| (shown(&labels), (value * 1000.0).round() / 1000.0)).collect()
}

fn eval(text: &str) -> Vec<(String, f64)> {
    eval_at(text, 60)
}

#[test]
fn a_selector_gives_the_last_sample_that_is_fresh_enough() {
    assert_eq!(eval("cpu{service=\"order\"}"), [("__name__=cpu,service=order".into(), 90.0)]);
    // The other's only sample is 60 s old: too old to stand for now.
    assert_eq!(eval("cpu").len(), 1);
    assert_eq!(eval_at("cpu", 59).len(), 2);
    assert_eq!(eval("cpu{service!~\"ord.*\"}"), []);
    assert_eq!(
        eval("{service=\"order\", code=~\"2..|3..\"}"),
        [("__name__=requests_total,code=200,service=order".into(), 160.0)]
    );
}

#[test]
fn rates_survive_a_counter_that_starts_again() {
    assert_eq!(
        eval("rate(requests_total{code=\"200\"}[2m])"),
        [("code=200,service=order".into(), 1.0), ("code=200,service=pay".into(), 0.5)]
    );
    assert_eq!(eval("increase(requests_total{service=\"pay\"}[60s])"), [("code=200,service=pay".into(), 40.0)]);
}

#[test]
fn aggregates_and_arithmetic_between_them() {
    let share = "100 * sum by (service) (rate(requests_total{code=~\"5..\"}[2m])) / sum by (service) (rate(requests_total[2m]))";
    assert_eq!(eval(share), [("service=order".into(), 40.0)]);
    assert_eq!(eval("max(max_over_time(cpu[2m])) - min(min_over_time(cpu[2m]))"), [(String::new(), 85.0)]);
    assert_eq!(eval("count(requests_total) without (code)").len(), 2);
    assert_eq!(eval("2 + 3 * -(4 - 1)"), [(String::new(), -7.0)]);
    assert_eq!(eval("delta(cpu{service='order'}[2m])"), [("service=order".into(), 80.0)]);
    assert_eq!(eval("cpu / 0"), []);
}

#[test]
fn a_quantile_comes_from_buckets() {
    let series: Vec<Written<'_>> = vec![
        ("took_bucket", &[("le", "0.1")], &[(0, 50.0)]),
        ("took_bucket", &[("le", "0.5")], &[(0, 90.0)]),
        ("took_bucket", &[("le", "+Inf")], &[(0, 100.0)]),
    ];
    let value = |text: &str| {
        let query = Query::parse(text).unwrap();
        query.at(&fetch(&query, &series), Timestamp::from_second(1).unwrap(), Duration::ZERO).unwrap().finite()[0].1
    };
    assert!((value("histogram_quantile(0.5, took_bucket)") - 0.1).abs() < 1e-9);
    assert!((value("histogram_quantile(0.7, took_bucket)") - 0.3).abs() < 1e-9);
    assert!((value("histogram_quantile(0.99, took_bucket)") - 0.5).abs() < 1e-9);
}

#[test]
fn a_mistake_has_a_place_and_says_what_to_write() {
    for (text, column, why) in [
        ("", 1, "expected a number"),
        ("cpu > 90", 5, "`comparison`"),
        ("rate(cpu)", 9, "[5m]"),
        ("cpu[5m]", 8, "needs a function"),
        ("rate(cpu[5])", 10, "a duration"),
        ("sum by (a (cpu)", 11, "expected `)`"),
        ("speed(cpu[5m])", 1, "no function `speed`"),
        ("cpu{a=~\"(\"}", 8, "regular expression"),
        ("cpu{a=1}", 7, "a text in quotes"),
        ("cpu{a=\"1}", 7, "closing quote"),
        ("é", 1, "no meaning"),
        ("{}", 1, "at least one label"),
        ("histogram_quantile(2, cpu)", 20, "between 0 and 1"),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.why.contains(why), "{text}: {error}");
    }
    assert!(Query::parse(&"(".repeat(3000)).is_err());
    assert!(Query::parse(&"-".repeat(3000)).is_err());
    let query = Query::parse("requests_total{service=\"order\"} + requests_total").unwrap();
    let error = Query::parse("sum by (code)(cpu) + {service=\"order\"}")
        .map(|query| query.at(&fetch(&query, &shop()), Timestamp::from_second(60).unwrap(), Duration::ZERO));
    assert!(error.unwrap().is_ok());
    assert!(query.at(&fetch(&query, &shop()), Timestamp::from_second(60).unwrap(), Duration::ZERO).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z(){}\\[\\]=~!\"'0-9.+*/, -]{0,60}|.{0,40}") {
        if let Ok(query) = Query::parse(&text) {
            let _ = query.at(&fetch(&query, &shop()), Timestamp::from_second(60).unwrap(), Duration::ZERO);
        }
    }
}

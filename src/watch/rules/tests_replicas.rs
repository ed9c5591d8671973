//! How rules behave where several Maydays share a store.

use std::sync::Arc;

use super::charge::per_host;
use super::tests::{House, at, rule};
use super::tests_town::{Crowd, stored};
use super::{By, NoData, RuleOptions};
use crate::alert::Status;
use crate::store::{Batch, Key, Range};
use crate::watch::expr::Query;
use crate::watch::options::{Options, ScrapeOptions};

fn fires(host: &str) -> (Status, String) {
    (Status::Firing, host.to_owned())
}

fn ends(host: &str) -> (Status, String) {
    (Status::Resolved, host.to_owned())
}

/// A rule over the machine's own metrics.
fn own(no_data: NoData) -> RuleOptions {
    RuleOptions { expr: Some("host_load1".to_owned()), no_data, ..rule("") }
}

#[tokio::test]
async fn what_all_see_is_evaluated_by_one_and_goes_on_elsewhere_when_that_one_dies() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[rule("")]).await;
    for index in [0, 1] {
        crowd.see(index, "cpu_usage", 95.0);
    }
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.told(), [fires("")], "once, and without a machine's name");
    assert_eq!([crowd.by(0), crowd.by(1)], [By::This, By::Another]);
    assert_eq!(crowd.replicas[1].view.list()[0].at, None);
    // The second one's eyes missed it for a while. What the first one wrote is not without data for all that time.
    crowd.house.later(300);
    crowd.dies(0, 1).await;
    crowd.round(&[1]).await;
    assert_eq!((crowd.by(1), crowd.replicas[1].view.list()[0].blind), (By::This, 0));
    crowd.house.later(5);
    crowd.see(1, "cpu_usage", 12.0);
    crowd.round(&[1]).await;
    assert_eq!(crowd.told(), [fires(""), ends("")]);
    let taken = crowd.house.sink.taken.lock().unwrap();
    assert!(taken.iter().all(|alert| alert.alert_id == taken[0].alert_id));
}

#[tokio::test]
async fn what_waits_and_what_is_pending_goes_on_where_it_was() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[rule(r#","for":"10s""#)]).await;
    crowd.see(0, "cpu_usage", 95.0);
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.replicas[0].view.list()[0].pending, 1);
    crowd.house.later(6);
    crowd.hold(1).await;
    crowd.see(1, "cpu_usage", 95.0);
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.told(), []);
    crowd.house.later(5);
    crowd.house.sink.refuses.store(true, std::sync::atomic::Ordering::SeqCst);
    crowd.round(&[0, 1]).await;
    assert_eq!([0, 1].map(|index: usize| crowd.replicas[index].view.list()[0].waiting), [0, 1]);
    crowd.hold(0).await;
    crowd.house.sink.refuses.store(false, std::sync::atomic::Ordering::SeqCst);
    crowd.round(&[1, 0]).await;
    let taken = crowd.house.sink.taken.lock().unwrap();
    assert_eq!((taken.len(), taken[0].timestamp), (1, at(0)), "since it holds, whoever saw that");
}

#[tokio::test]
async fn one_that_was_frozen_writes_nothing_and_reads_what_was_written_meanwhile() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[rule("")]).await;
    crowd.see(0, "cpu_usage", 95.0);
    crowd.round(&[0, 1]).await;
    crowd.replicas[0].member.freeze();
    crowd.hold(1).await;
    crowd.house.later(5);
    crowd.see(1, "cpu_usage", 95.0);
    crowd.round(&[1]).await;
    // It wakes, still believes that it holds the rule, and sees something else.
    crowd.see(0, "cpu_usage", 12.0);
    crowd.round(&[0, 0]).await;
    assert_eq!(crowd.told(), [fires("")]);
    // The other way round: what it takes back, it reads first.
    *crowd.replicas[0].member.town.lock().unwrap() = crowd.town.clone();
    crowd.house.later(5);
    crowd.see(1, "cpu_usage", 12.0);
    crowd.round(&[0, 1]).await;
    crowd.hold(0).await;
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.told(), [fires(""), ends("")]);
    assert_eq!(crowd.replicas[0].view.list()[0].firing, 0);
}

#[tokio::test]
async fn what_is_one_machines_alone_is_evaluated_on_each() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[own(NoData::Keep)]).await;
    crowd.see(0, "host_load1", 12.0);
    crowd.see(1, "host_load1", 95.0);
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.told(), [fires("web-2")]);
    assert!(crowd.last_words().starts_with("order-service on web-2: host_load1 is 95,"), "{}", crowd.last_words());
    assert_eq!([crowd.by(0), crowd.by(1)], [By::This; 2]);
    crowd.house.later(5);
    crowd.see(0, "host_load1", 95.0);
    crowd.see(1, "host_load1", 12.0);
    crowd.round(&[0, 1]).await;
    assert_eq!(crowd.told(), [fires("web-2"), fires("web-1"), ends("web-2")]);
    let written = stored(&crowd.house.store).await;
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|state| state.contains(r#""machine":"web-"#)), "{written:?}");
    // Where one Mayday owns its store nothing is told apart.
    let alone = House::new();
    let options = Options { rules: vec![rule("")], ..Options::default() };
    let (mut service, _) = alone.replica(options, Arc::new(super::Alone::default()));
    alone.measure("order-service", 95.0);
    service.round().await.unwrap();
    let written = stored(&alone.store).await;
    assert!(written.len() == 1 && !written[0].contains("machine"), "{written:?}");
}

#[tokio::test]
async fn of_two_on_one_machine_one_evaluates_and_the_other_goes_on() {
    let mut crowd = Crowd::of(&["web-1", "web-1"], &[own(NoData::Keep)]).await;
    for index in [0, 1] {
        crowd.see(index, "host_load1", 95.0);
    }
    crowd.round(&[0, 1, 0, 1]).await;
    assert_eq!(crowd.told(), [fires("web-1")]);
    assert_eq!([crowd.by(0), crowd.by(1)], [By::This, By::Another]);
    crowd.dies(0, 1).await;
    crowd.house.later(5);
    crowd.see(1, "host_load1", 12.0);
    crowd.round(&[1]).await;
    assert_eq!(crowd.told(), [fires("web-1"), ends("web-1")]);
    // The first one was only frozen, and stands for the machine again as if nothing had been.
    crowd.town.lock().unwrap().alive.insert(0, "web-1");
    crowd.hold(0).await;
    crowd.round(&[0, 1]).await;
    let firing = crowd.replicas[0].view.list()[0].firing;
    assert_eq!((crowd.by(0), firing), (By::This, 0), "what the other one wrote meanwhile is read");
}

#[tokio::test]
async fn a_machine_that_is_gone_is_without_data_and_given_up_after_an_hour() {
    for (no_data, after_a_minute, after_an_hour) in [
        (NoData::Keep, vec![fires("web-1")], vec![fires("web-1"), ends("web-1")]),
        (NoData::Ok, vec![fires("web-1"), ends("web-1")], vec![fires("web-1"), ends("web-1")]),
    ] {
        let mut crowd = Crowd::of(&["web-1", "web-2"], &[own(no_data)]).await;
        crowd.see(0, "host_load1", 95.0);
        crowd.round(&[0, 1]).await;
        crowd.dies(0, 1).await;
        crowd.round(&[1]).await;
        assert_eq!((crowd.told().len(), crowd.replicas[1].view.list()[0].left), (1, 1));
        crowd.house.later(65);
        crowd.round(&[1]).await;
        assert_eq!(crowd.told(), after_a_minute, "{no_data:?}");
        for _ in 0..3 {
            crowd.house.later(1_800);
            crowd.round(&[1, 1]).await;
        }
        assert_eq!(crowd.told(), after_an_hour, "{no_data:?}");
        if no_data == NoData::Keep {
            assert!(crowd.last_words().contains("No Mayday has run on web-1 for an hour"), "{}", crowd.last_words());
        }
        assert_eq!(stored(&crowd.house.store).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_machine_that_was_well_and_is_gone_is_told_by_a_rule_that_wants_data() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[own(NoData::Alert)]).await;
    crowd.see(0, "host_load1", 1.0);
    crowd.round(&[0, 1]).await;
    crowd.dies(0, 1).await;
    crowd.round(&[1]).await;
    crowd.house.later(30);
    crowd.round(&[1]).await;
    assert_eq!(crowd.told(), [], "a restart takes no minute");
    crowd.house.later(35);
    crowd.round(&[1]).await;
    assert_eq!(crowd.told(), [fires("web-1")]);
    // It comes back, and says itself how it is.
    crowd.town.lock().unwrap().alive.insert(0, "web-1");
    crowd.see(0, "host_load1", 2.0);
    crowd.round(&[1, 0]).await;
    assert_eq!(crowd.told(), [fires("web-1"), ends("web-1")]);
    assert_eq!(crowd.replicas[1].view.list()[0].left, 0);
    // Gone again for good: told, and after an hour it is over, also after further rounds.
    crowd.dies(0, 1).await;
    for _ in 0..40 {
        crowd.house.later(120);
        crowd.round(&[1]).await;
    }
    assert_eq!(crowd.told().len(), 4, "{:?}", crowd.told());
    assert_eq!(crowd.told().last(), Some(&ends("web-1")));
}

#[tokio::test]
async fn a_rule_that_only_some_have_is_evaluated_by_one_of_them() {
    // The oldest replica holds the lease, and does not know the rules.
    let mut crowd = Crowd::of(&["web-1"], &[]).await;
    crowd.join("web-2", &[rule("")]);
    crowd.join("web-3", &[rule("")]);
    // The second look knows what the others have.
    crowd.round(&[0, 1, 2, 0, 1, 2]).await;
    assert_eq!([crowd.by(1), crowd.by(2)], [By::This, By::Another]);
    for _ in 0..5 {
        crowd.house.later(40);
        for index in [1, 2] {
            crowd.see(index, "cpu_usage", 95.0);
        }
        crowd.round(&[0, 1, 2]).await;
        assert_eq!(crowd.told(), [fires("")], "the holder does not take the rule for removed");
    }
    crowd.dies(1, 0).await;
    crowd.house.later(5);
    crowd.see(2, "cpu_usage", 12.0);
    crowd.round(&[0, 2]).await;
    assert_eq!(crowd.told(), [fires(""), ends("")]);
    // Its holder is not the oldest, but knows it.
    crowd.hold(2).await;
    crowd.round(&[0, 2]).await;
    assert_eq!(crowd.by(2), By::This);

    // On a machine of two, the one that has the rule evaluates it.
    let mut crowd = Crowd::of(&["web-1"], &[]).await;
    crowd.join("web-1", &[own(NoData::Keep)]);
    crowd.see(1, "host_load1", 95.0);
    crowd.round(&[0, 1, 0, 1]).await;
    assert_eq!(crowd.told(), [fires("web-1")]);
}

#[tokio::test]
async fn a_rule_that_nobody_has_any_more_ends_its_alerts_once() {
    for (rule, name, host) in [(rule(""), "cpu_usage", ""), (own(NoData::Keep), "host_load1", "web-1")] {
        let mut crowd = Crowd::of(&["web-1", "web-2"], std::slice::from_ref(&rule)).await;
        crowd.see(0, name, 95.0);
        crowd.round(&[0, 1]).await;
        // Replicas start again with the new configuration, one after the other.
        crowd.join("web-3", &[]);
        crowd.dies(0, 2).await;
        crowd.join("web-4", &[]);
        for _ in 0..3 {
            crowd.house.later(50);
            crowd.round(&[1, 2, 3]).await;
        }
        assert_eq!(crowd.told(), [fires(host)], "one still has it");
        crowd.dies(1, 2).await;
        crowd.round(&[2, 3]).await;
        crowd.house.later(30);
        crowd.round(&[2, 3]).await;
        assert_eq!(crowd.told(), [fires(host)], "it may only be starting again");
        for _ in 0..3 {
            crowd.house.later(40);
            crowd.round(&[2, 3]).await;
        }
        assert_eq!(crowd.told(), [fires(host), ends(host)]);
        assert!(crowd.last_words().contains("removed"), "{}", crowd.last_words());
        assert_eq!(stored(&crowd.house.store).await, Vec::<String>::new());
    }
    // What the dead have said of their rules is removed as well.
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[]).await;
    crowd.round(&[0, 1]).await;
    crowd.dies(0, 1).await;
    crowd.house.later(700);
    crowd.round(&[1]).await;
    let said = crowd.house.store.scan(&Range::under(&Key::of(["rule-set"]), 10)).await.unwrap();
    assert_eq!(said.iter().map(|entry| entry.key.last()).collect::<Vec<_>>(), ["replica-1"]);
}

#[tokio::test]
async fn states_of_a_mayday_that_knew_no_machines_end_in_order() {
    let mut crowd = Crowd::of(&["web-1"], &[own(NoData::Keep)]).await;
    let options = Options { rules: vec![own(NoData::Keep)], ..Options::default() };
    let (mut before, _) = crowd.house.replica(options, Arc::new(super::Alone::default()));
    crowd.see(0, "host_load1", 95.0);
    before.round().await.unwrap();
    assert_eq!(crowd.told(), [fires("")]);
    crowd.round(&[0]).await;
    assert_eq!(crowd.told(), [fires(""), fires("web-1")]);
    for _ in 0..4 {
        crowd.house.later(1_200);
        crowd.see(0, "host_load1", 95.0);
        crowd.round(&[0, 0]).await;
    }
    assert_eq!(crowd.told(), [fires(""), fires("web-1"), ends("")]);
    assert_eq!(stored(&crowd.house.store).await.len(), 1);
}

#[tokio::test]
async fn a_mayday_of_before_that_leaves_the_machines_name_out_takes_nothing_away() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[own(NoData::Ok)]).await;
    crowd.see(1, "host_load1", 95.0);
    crowd.round(&[0, 1]).await;
    let entry = crowd.house.store.scan(&Range::under(&Key::of(["rule"]), 1)).await.unwrap().remove(0);
    let written = String::from_utf8(entry.value).unwrap().replace(r#","machine":"web-2""#, "");
    let old: super::kept::Kept =
        serde_json::from_value(serde_json::from_str::<serde_json::Value>(&written).unwrap()["d"].clone()).unwrap();
    assert_eq!(old.machine, None);
    let mut batch = Batch::new();
    batch.put(entry.key, &old).unwrap();
    crowd.house.store.commit(batch).await.unwrap();
    for _ in 0..4 {
        crowd.house.later(30);
        crowd.see(1, "host_load1", 95.0);
        crowd.round(&[0, 1]).await;
    }
    assert_eq!(crowd.told(), [fires("web-2")], "the holder of the rule's lease does not take it for gone");
    assert_eq!(crowd.replicas[1].view.list()[0].firing, 1);
}

#[test]
fn whose_a_rule_is_follows_from_what_it_is_over() {
    let page = |service: &str, url: &str| -> ScrapeOptions {
        serde_json::from_value(serde_json::json!({"service": service, "url": url, "labels": {"zone": "a"}})).unwrap()
    };
    let pages = [
        page("order", "http://127.0.0.1:8080/metrics"),
        page("stock", "http://[::1]:9090/metrics"),
        page("pay", "http://pay.shop:8080/metrics"),
    ];
    let over = |expr: &str, more: &str| {
        let rule = RuleOptions { expr: Some(expr.to_owned()), ..rule(more) };
        per_host(&rule, Some(&Query::parse(expr).unwrap()), &pages)
    };
    for expr in [
        "host_cpu_usage_percent",
        "process_up",
        r#"up{service="order"}"#,
        r#"rate(errors_total{service=~"order|stock", zone="a"}[1m]) / 2"#,
        r#"host_load1 / on_all{service="pay"}"#,
    ] {
        assert!(over(expr, ""), "{expr}");
    }
    for expr in [
        "up",
        "1 + 1",
        r#"up{service="pay"}"#,
        r#"up{service="order", zone="b"}"#,
        r#"rate(process_cpu_seconds_total{service="pay"}[1m])"#,
    ] {
        assert!(!over(expr, ""), "{expr}");
    }
    assert!(over("up", r#","per_host":true"#) && !over("host_load1", r#","per_host":false"#));
    let lines =
        r#"{"id":"db","alert_name":"DB","severity":"Critical","threshold":5,"logs":{"service":"pay","window":"1m"}}"#;
    assert!(per_host(&serde_json::from_str(lines).unwrap(), None, &[]));
}

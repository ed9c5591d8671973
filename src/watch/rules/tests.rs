//! How rules behave over time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::run::Service;
use super::state::{Measured, Phase, SeriesState, Tell};
use super::{NoData, RuleOptions};
use crate::alert::{Alert, Status};
use crate::core::clock::ManualClock;
use crate::core::{BoxFuture, Clock, Timestamp};
use crate::store::SharedStore;
use crate::store::memory::Memory;
use crate::store::series::{self, Sample, Series, SeriesKey};
use crate::watch::logs::Tails;
use crate::watch::metrics::OwnMetrics;
use crate::watch::options::{LogOptions, Options, RuleDefaults};
use crate::watch::rules::{Alone, Charge};
use crate::watch::{AlertSink, Rules};

pub(super) fn rule(more: &str) -> RuleOptions {
    let text = format!(
        r#"{{"id":"cpu","alert_name":"High_CPU_Usage","severity":"Critical","expr":"cpu_usage","threshold":90{more}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

/// Steps one value a second; returns what was told, with the second.
fn told(rule: &RuleOptions, values: &[Option<f64>]) -> (Vec<(usize, Tell)>, SeriesState) {
    let mut state = SeriesState::new(at(0));
    let mut told = Vec::new();
    for (second, value) in values.iter().enumerate() {
        let measured = value.map_or(Measured::Missing, Measured::Value);
        if let (Some(tell), _) = state.step(rule, measured, at(second as i64), 5) {
            told.push((second, tell));
        }
    }
    (told, state)
}

#[test]
fn an_alert_fires_only_after_the_limit_was_passed_for_the_whole_duration() {
    let rule = rule(r#","for":"3s""#);
    let (told_short, _) = told(&rule, &[95.0, 95.0, 95.0, 10.0, 95.0].map(Some));
    assert_eq!(told_short, []);
    let (told_long, state) = told(&rule, &[10.0, 95.0, 95.0, 95.0, 95.0, 95.0].map(Some));
    assert_eq!(told_long, [(4, Tell::Fires { since: at(1), blind: false })]);
    assert_eq!(state.history.iter().map(|step| step.to.as_str()).collect::<Vec<_>>(), ["pending", "firing"]);
}

#[test]
fn it_resolves_after_being_clear_for_long_enough() {
    let rule = rule(r#","clear_for":"2s""#);
    let (told, _) = told(&rule, &[95.0, 10.0, 95.0, 10.0, 10.0, 10.0].map(Some));
    assert_eq!(told, [(0, Tell::Fires { since: at(0), blind: false }), (5, Tell::Resolves { since: at(0) })]);
}

#[test]
fn a_flapping_series_is_quiet_during_the_cooldown_and_fires_after_it_if_it_still_holds() {
    let rule = rule(r#","cooldown":"10s""#);
    let mut values: Vec<Option<f64>> = (0..9).map(|second| Some(if second % 2 == 0 { 95.0 } else { 10.0 })).collect();
    values.extend([Some(95.0); 4]);
    let (told, _) = told(&rule, &values);
    assert_eq!(
        told,
        [
            (0, Tell::Fires { since: at(0), blind: false }),
            (1, Tell::Resolves { since: at(0) }),
            (11, Tell::Fires { since: at(11), blind: false }),
        ]
    );
}

#[test]
fn missing_data_is_never_taken_for_well_unless_the_rule_says_so() {
    let values = [Some(95.0), None, None, None, None, None];
    let keep = rule(r#","no_data_after":"2s""#);
    let (told_keep, state) = told(&keep, &values);
    assert_eq!(told_keep.len(), 1);
    assert!(state.blind && matches!(state.phase, Phase::Firing { .. }));
    assert_eq!(state.history.last().unwrap().to, "no data");

    let ok = RuleOptions { no_data: NoData::Ok, ..keep.clone() };
    assert_eq!(told(&ok, &values).0.last(), Some(&(2, Tell::Resolves { since: at(0) })));

    let alert = RuleOptions { no_data: NoData::Alert, ..keep };
    let calm = [Some(10.0), None, None, None];
    assert_eq!(told(&alert, &calm).0, [(2, Tell::Fires { since: at(2), blind: true })]);
}

proptest! {
    #[test]
    fn every_resolve_ends_the_alert_that_fired_before_it(
        values in prop::collection::vec(prop::option::weighted(0.8, 0.0f64..180.0), 0..80),
        held in 0u64..4, clear in 0u64..4, cooldown in 0u64..6, blind in 0usize..3,
    ) {
        let mut rule = rule("");
        rule.held_for = crate::core::duration::Span::from_secs(held);
        rule.clear_for = crate::core::duration::Span::from_secs(clear);
        rule.cooldown = crate::core::duration::Span::from_secs(cooldown);
        rule.no_data_after = crate::core::duration::Span::from_secs(2);
        rule.no_data = [NoData::Keep, NoData::Alert, NoData::Ok][blind];
        let (told, state) = told(&rule, &values);
        let mut open = None;
        let mut ended = None::<usize>;
        for (second, tell) in told {
            match tell {
                Tell::Fires { since, .. } => {
                    prop_assert!(open.replace(since).is_none());
                    prop_assert!(ended.is_none_or(|ended| second - ended >= cooldown as usize));
                }
                Tell::Resolves { since } => {
                    prop_assert_eq!(open.take(), Some(since));
                    ended = Some(second);
                }
            }
        }
        let firing = matches!(state.phase, Phase::Firing { .. });
        prop_assert_eq!(open.is_some(), firing);
        prop_assert!(state.history.len() <= 5);
    }
}

#[derive(Default)]
pub(super) struct Sink {
    pub taken: Mutex<Vec<Alert>>,
    pub refuses: AtomicBool,
}

impl AlertSink for Sink {
    fn accept<'a>(&'a self, alerts: Vec<Alert>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                return Err("overloaded".to_owned());
            }
            self.taken.lock().unwrap().extend(alerts);
            Ok(())
        })
    }
}

pub(super) struct House {
    pub clock: ManualClock,
    pub store: SharedStore,
    pub series: Arc<Series>,
    pub tails: Tails,
    pub sink: Arc<Sink>,
    _folder: tempfile::TempDir,
}

impl House {
    pub fn new() -> Self {
        let clock = ManualClock::at(at(0));
        let folder = tempfile::tempdir().unwrap();
        let series = Series::open(folder.path(), series::Options::default(), Arc::new(clock.clone())).unwrap();
        let tails = Tails::new(&LogOptions::default(), Arc::new(clock.clone()));
        Self { clock, store: Memory::shared(), series, tails, sink: Arc::default(), _folder: folder }
    }

    fn service(&self, rules: Vec<RuleOptions>) -> (Service, Rules) {
        self.replica(Options { rules, ..Options::default() }, Arc::new(Alone::default()))
    }

    pub fn replica(&self, options: Options, charge: Arc<dyn Charge>) -> (Service, Rules) {
        let reads = (OwnMetrics::new(self.series.clone()), self.tails.clone());
        let clock = Arc::new(self.clock.clone());
        Service::new(&options, reads, self.store.clone(), self.sink.clone(), charge, clock).unwrap()
    }

    pub fn measure(&self, service: &str, value: f64) {
        let sample = Sample { key: SeriesKey::new("cpu_usage", [("service", service)]), at: self.clock.now(), value };
        self.series.append(&[sample]).unwrap();
    }

    pub fn taken(&self) -> Vec<(Status, String)> {
        let taken = self.sink.taken.lock().unwrap();
        taken.iter().map(|alert| (alert.status, alert.service_name.as_data().to_owned())).collect()
    }

    pub fn later(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }
}

#[tokio::test]
async fn an_own_alert_has_all_fields_and_the_same_id_for_its_end() {
    let house = House::new();
    let described =
        rule(r#","description":"{{ service }} uses {{ value }} % (limit {{ threshold }})","labels":{"tier":"1"}"#);
    let (mut service, view) = house.service(vec![described]);
    house.measure("order-service", 95.5);
    service.round().await.unwrap();
    assert_eq!(view.list()[0].firing, 1);
    house.later(5);
    house.measure("order-service", 12.0);
    service.round().await.unwrap();
    let taken = house.sink.taken.lock().unwrap().clone();
    let (fired, over) = (&taken[0], &taken[1]);
    assert_eq!(fired.description.as_data(), "order-service uses 95.5 % (limit 90)");
    assert_eq!(
        (fired.source_system.as_str(), fired.metric_value, fired.metric_value_from.as_deref()),
        ("mayday", Some(95.5), Some("cpu_usage"))
    );
    assert_eq!((fired.service_name.as_data(), fired.timestamp), ("order-service", at(0)));
    assert_eq!(fired.labels["tier"].as_data(), "1");
    assert_eq!((over.status, over.ended_at, &over.alert_id), (Status::Resolved, Some(at(5)), &fired.alert_id));
}

#[tokio::test]
async fn an_alert_that_is_not_taken_waits_also_through_a_restart() {
    let house = House::new();
    house.sink.refuses.store(true, Ordering::SeqCst);
    let (mut service, view) = house.service(vec![rule("")]);
    house.measure("order-service", 95.0);
    service.round().await.unwrap();
    assert_eq!((house.taken().len(), view.list()[0].waiting), (0, 1));
    drop(service);

    house.sink.refuses.store(false, Ordering::SeqCst);
    house.later(5);
    let (mut service, _) = house.service(vec![rule("")]);
    service.round().await.unwrap();
    assert_eq!(house.taken(), [(Status::Firing, "order-service".to_owned())]);
    // The state came back too: it does not fire again, and resolves.
    house.later(5);
    house.measure("order-service", 95.0);
    service.round().await.unwrap();
    house.later(5);
    house.measure("order-service", 1.0);
    service.round().await.unwrap();
    assert_eq!(house.taken().len(), 2);
    assert_eq!(house.taken()[1].0, Status::Resolved);
}

#[tokio::test]
async fn an_alert_that_goes_on_is_said_again_every_minute_while_its_comparison_holds() {
    let house = House::new();
    let (mut service, _) = house.service(vec![rule(r#","clear_for":"10m""#)]);
    let mut told = Vec::new();
    for second in (0..=150).step_by(5) {
        house.measure("order-service", if second < 125 { 95.0 } else { 12.0 });
        service.round().await.unwrap();
        told.push((second, house.taken().len()));
        house.later(5);
    }
    let at_second = |wanted| told.iter().find(|(second, _)| *second == wanted).unwrap().1;
    assert_eq!([0, 55, 60, 115, 120, 150].map(at_second), [1, 1, 2, 2, 3, 3]);
    let taken = house.sink.taken.lock().unwrap().clone();
    assert!(taken.iter().all(|alert| alert == &taken[0]), "the same word again: {taken:?}");
    drop(service);

    // It is clear, though not yet for long enough to be over: nothing is repeated, also not by the next process.
    house.later(60);
    let (mut service, _) = house.service(vec![rule(r#","clear_for":"10m""#)]);
    house.measure("order-service", 12.0);
    service.round().await.unwrap();
    assert_eq!(house.taken().len(), 3);
}

#[tokio::test]
async fn a_long_stop_is_no_missing_data_before_anything_was_looked_at() {
    let house = House::new();
    let wants_data = || vec![rule(r#","no_data":"alert","clear_for":"10m""#)];
    let (mut service, _) = house.service(wants_data());
    house.measure("order-service", 95.0);
    service.round().await.unwrap();
    drop(service);
    house.later(3_600);
    let (mut service, view) = house.service(wants_data());
    service.round().await.unwrap();
    assert_eq!((house.taken().len(), view.list()[0].blind), (1, 0));
    house.later(60);
    service.round().await.unwrap();
    assert_eq!((house.taken().len(), view.list()[0].blind), (2, 1), "a minute later it is missing, and said again");
}

#[tokio::test]
async fn taking_a_rule_away_ends_its_open_alert_and_says_why() {
    let house = House::new();
    let (mut service, _) = house.service(vec![rule("")]);
    house.measure("order-service", 95.0);
    service.round().await.unwrap();
    let (mut service, _) = house.service(Vec::new());
    for _ in 0..3 {
        service.round().await.unwrap();
    }
    assert_eq!(house.taken().last().unwrap().0, Status::Resolved);
    assert!(house.sink.taken.lock().unwrap()[1].description.as_data().contains("removed"));
    let left = house.store.scan(&crate::store::Range::under(&crate::store::Key::of(["rule"]), 10)).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn lines_of_a_log_are_counted() {
    let house = House::new();
    let logs = r#"{"id":"db","alert_name":"DB_Connection_Error","severity":"Critical","threshold":5,
        "logs":{"service":"inventory-service","words":["connection refused"],"window":"1m"}}"#;
    let (mut service, _) = house.service(vec![serde_json::from_str(logs).unwrap()]);
    for number in 0..6 {
        house.tails.take("inventory-service", format!("ERROR db: Connection refused, try {number}").as_bytes(), None);
    }
    service.round().await.unwrap();
    assert_eq!(house.sink.taken.lock().unwrap()[0].metric_value, Some(6.0));
    house.later(61);
    service.round().await.unwrap();
    assert_eq!(
        house.taken(),
        [Status::Firing, Status::Resolved].map(|status| (status, "inventory-service".to_owned()))
    );
}

#[tokio::test]
async fn a_movement_can_be_the_measure_and_series_beyond_the_bound_are_said() {
    let house = House::new();
    let moved = rule(r#","change":{"over":"30s","in":"percent"}"#);
    let (mut service, view) = house.service(vec![moved]);
    house.measure("order-service", 10.0);
    service.round().await.unwrap();
    house.later(30);
    house.measure("order-service", 25.0);
    service.round().await.unwrap();
    assert_eq!(house.sink.taken.lock().unwrap()[0].metric_value, Some(150.0));

    let mut bounded = rule("");
    bounded.id = "bounded".to_owned();
    let rule_defaults = RuleDefaults { max_series: 3, ..RuleDefaults::default() };
    let few = Options { rules: vec![bounded], rule_defaults, ..Options::default() };
    let (mut service, bounded_view) = house.replica(few, Arc::new(Alone::default()));
    for number in 0..5 {
        house.measure(&format!("service-{number}"), 1.0);
    }
    service.round().await.unwrap();
    assert_eq!((bounded_view.list()[0].series, bounded_view.list()[0].not_followed), (3, 3));
    assert_eq!(view.list()[0].not_followed, 0);
}

#[test]
fn values_in_sentences_are_rounded_to_what_a_person_reads() {
    let labels = Default::default();
    let filled = |text: &str, value: f64| super::alert::described(text, &labels, value, 500.0, "order").unwrap();
    let text = "answers take {{ value | amount('ms') }}, more than {{ threshold | amount('ms') }}";
    assert_eq!(filled(text, 1315.02), "answers take 1.3 s, more than 500 ms");
    assert_eq!(filled("{{ value | round }} ms", 1315.02), "1315 ms");
    assert_eq!(filled("{{ value | round(1) }} %", 41.26), "41.3 %");
    assert_eq!(
        crate::core::message::watch::alert_fires("order", "rate(errors[1m])", Some(2.333_3), (">", 1.0), "/s"),
        "order: rate(errors[1m]) is 2.3/s, the limit is > 1/s"
    );
}

#[test]
fn mistakes_in_a_rule_are_named_with_their_field() {
    let mut wrong = rule(r#","description":"{{ value","change":{"over":"0s"}"#);
    wrong.expr = Some("rate(cpu)".to_owned());
    wrong.threshold = f64::NAN;
    wrong.id = "no/way".to_owned();
    let fields: Vec<&str> = wrong.problems().iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, ["id", "expr", "change", "threshold", "description"]);
    assert_eq!(rule(r#","description":"{{ labels.pod }}""#).problems(), []);
    assert!(serde_json::from_str::<RuleOptions>(r#"{"id":"x","treshold":1}"#).is_err());
}

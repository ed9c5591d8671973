//! How rules behave where several Maydays share a store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch::{self, Receiver};

use super::charge::per_host;
use super::run::Service;
use super::tests::{House, at, rule};
use super::{By, Charge, NoData, RuleOptions, Rules};
use crate::alert::{Alert, Status};
use crate::store::series::{self, Sample, Series, SeriesKey};
use crate::store::{Batch, Key, Range, Revision, SharedStore};
use crate::watch::expr::Query;
use crate::watch::options::{Options, ScrapeOptions};

/// What the replicas agree on; a test moves it.
#[derive(Default)]
struct Town {
    /// Who holds every rule, and at which revision it took them.
    holder: (usize, Revision),
    /// Each living replica's machine.
    alive: BTreeMap<usize, &'static str>,
}

/// One replica's view. A frozen one sees what it saw before.
struct Member {
    index: usize,
    machine: &'static str,
    town: Mutex<Arc<Mutex<Town>>>,
    changed: watch::Sender<u64>,
}

impl Member {
    fn town<T>(&self, look: impl FnOnce(&Town) -> T) -> T {
        look(&self.town.lock().unwrap().lock().unwrap())
    }

    fn freeze(&self) {
        let mut town = self.town.lock().unwrap();
        let seen = town.lock().unwrap();
        let copy = Town { holder: seen.holder, alive: seen.alive.clone() };
        drop(seen);
        *town = Arc::new(Mutex::new(copy));
    }
}

impl Charge for Member {
    fn machine(&self) -> Option<&str> {
        Some(self.machine)
    }

    fn holds(&self, _: &str) -> bool {
        self.town(|town| town.holder.0 == self.index)
    }

    fn guard(&self, _: &str, batch: &mut Batch) -> bool {
        self.town(|town| {
            batch.require_unchanged(Key::of(["lease"]), town.holder.1);
            town.holder.0 == self.index
        })
    }

    fn machines(&self) -> Option<BTreeMap<String, bool>> {
        self.town(|town| {
            let mut machines = BTreeMap::new();
            for (index, machine) in &town.alive {
                machines.entry((*machine).to_owned()).or_insert(*index == self.index);
            }
            Some(machines)
        })
    }

    fn changed(&self) -> Receiver<u64> {
        self.changed.subscribe()
    }
}

/// A replica with eyes of its own.
struct Replica {
    member: Arc<Member>,
    service: Service,
    view: Rules,
    series: Arc<Series>,
    _folder: tempfile::TempDir,
}

struct Crowd {
    house: House,
    town: Arc<Mutex<Town>>,
    replicas: Vec<Replica>,
}

impl Crowd {
    async fn of(machines: &[&'static str], rules: &[RuleOptions]) -> Self {
        let mut crowd = Self { house: House::new(), town: Arc::default(), replicas: Vec::new() };
        for machine in machines {
            crowd.join(machine, rules);
        }
        crowd.hold(0).await;
        crowd
    }

    fn join(&mut self, machine: &'static str, rules: &[RuleOptions]) {
        let index = self.replicas.len();
        self.town.lock().unwrap().alive.insert(index, machine);
        let member =
            Arc::new(Member { index, machine, town: Mutex::new(self.town.clone()), changed: watch::Sender::default() });
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(self.house.clock.clone());
        self.house.series = Series::open(folder.path(), series::Options::default(), clock).unwrap();
        let options = Options { rules: rules.to_vec(), ..Options::default() };
        let (service, view) = self.house.replica(options, member.clone());
        let series = self.house.series.clone();
        self.replicas.push(Replica { member, service, view, series, _folder: folder });
    }

    /// A replica takes the leases.
    async fn hold(&self, index: usize) {
        let mut batch = Batch::new();
        batch.put(Key::of(["lease"]), &Held).unwrap();
        let revision = self.house.store.commit(batch).await.unwrap();
        self.town.lock().unwrap().holder = (index, revision);
    }

    /// A replica is no more, and another one takes its leases.
    async fn dies(&self, index: usize, heir: usize) {
        self.town.lock().unwrap().alive.remove(&index);
        self.hold(heir).await;
    }

    fn see(&self, index: usize, name: &str, value: f64) {
        let key = SeriesKey::new(name, [("service", "order-service")]);
        let sample = Sample { key, at: crate::core::Clock::now(&self.house.clock), value };
        self.replicas[index].series.append(&[sample]).unwrap();
    }

    async fn round(&mut self, who: &[usize]) {
        for index in who {
            self.replicas[*index].service.round().await.unwrap();
        }
    }

    fn by(&self, index: usize) -> By {
        self.replicas[index].view.list()[0].by
    }

    /// What was told, repeats left out: the status, and the label `host`.
    fn told(&self) -> Vec<(Status, String)> {
        let mut seen: Vec<Alert> = Vec::new();
        for alert in self.house.sink.taken.lock().unwrap().iter() {
            if !seen.iter().any(|known| (&known.alert_id, known.status) == (&alert.alert_id, alert.status)) {
                seen.push(alert.clone());
            }
        }
        let host = |alert: &Alert| alert.labels.get("host").map(|host| host.as_data().to_owned()).unwrap_or_default();
        seen.iter().map(|alert| (alert.status, host(alert))).collect()
    }

    fn last_words(&self) -> String {
        self.house.sink.taken.lock().unwrap().last().unwrap().description.as_data().to_owned()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Held;

impl crate::store::Record for Held {}

async fn stored(store: &SharedStore) -> Vec<String> {
    let entries = store.scan(&Range::under(&Key::of(["rule"]), 10)).await.unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.value).unwrap()).collect()
}

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
async fn a_rule_that_is_gone_from_the_configuration_ends_its_alerts_once() {
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[rule("")]).await;
    crowd.see(0, "cpu_usage", 95.0);
    crowd.round(&[0, 1]).await;
    // One replica starts with the new configuration; the lease says who decides.
    crowd.join("web-3", &[]);
    crowd.round(&[0, 1, 2]).await;
    assert_eq!(crowd.told(), [fires("")]);
    crowd.dies(0, 2).await;
    for _ in 0..3 {
        crowd.see(1, "cpu_usage", 95.0);
        crowd.round(&[1, 2]).await;
        crowd.house.later(60);
    }
    assert_eq!(crowd.told(), [fires(""), ends("")]);
    assert!(crowd.last_words().contains("removed"));
    assert_eq!(stored(&crowd.house.store).await, Vec::<String>::new());

    // On each machine: it is its own replica that knows the rule or does not.
    let mut crowd = Crowd::of(&["web-1", "web-2"], &[own(NoData::Keep)]).await;
    crowd.join("web-3", &[]);
    crowd.hold(2).await;
    crowd.see(0, "host_load1", 95.0);
    crowd.round(&[0, 1, 2, 2]).await;
    assert_eq!(crowd.told(), [fires("web-1")]);
    crowd.dies(0, 2).await;
    crowd.round(&[1, 2, 2]).await;
    assert_eq!(crowd.told(), [fires("web-1"), ends("web-1")]);
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

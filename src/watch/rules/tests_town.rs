//! Replicas on one store for tests of rules, each with eyes of its own; who lives and who holds what is the test's to move.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch::{self, Receiver};

use super::run::Service;
use super::tests::House;
use super::{By, Charge, RuleOptions, Rules};
use crate::alert::{Alert, Status};
use crate::store::series::{self, Sample, Series, SeriesKey};
use crate::store::{Batch, Key, Range, Revision, SharedStore};
use crate::watch::options::Options;

/// What the replicas agree on; a test moves it.
#[derive(Default)]
pub(super) struct Town {
    /// Who holds every rule, and at which revision it took them.
    pub holder: (usize, Revision),
    /// Each living replica's machine.
    pub alive: BTreeMap<usize, &'static str>,
}

/// One replica's view. A frozen one sees what it saw before.
pub(super) struct Member {
    pub index: usize,
    pub name: String,
    pub machine: &'static str,
    pub town: Mutex<Arc<Mutex<Town>>>,
    pub changed: watch::Sender<u64>,
}

impl Member {
    pub fn town<T>(&self, look: impl FnOnce(&Town) -> T) -> T {
        look(&self.town.lock().unwrap().lock().unwrap())
    }

    pub fn freeze(&self) {
        let mut town = self.town.lock().unwrap();
        let seen = town.lock().unwrap();
        let copy = Town { holder: seen.holder, alive: seen.alive.clone() };
        drop(seen);
        *town = Arc::new(Mutex::new(copy));
    }
}

impl Charge for Member {
    fn me(&self) -> &str {
        &self.name
    }

    fn holder(&self, _: &str) -> Option<String> {
        Some(named(self.town(|town| town.holder.0)))
    }

    fn machine(&self) -> Option<&str> {
        Some(self.machine)
    }

    fn holds(&self, _: &str) -> bool {
        self.town(|town| town.holder.0 == self.index)
    }

    fn guard(&self, _: &str, batch: &mut Batch) -> bool {
        self.town(|town| {
            let holds = town.holder.0 == self.index;
            if holds {
                batch.require_unchanged(Key::of(["lease"]), town.holder.1);
            }
            holds
        })
    }

    fn living(&self) -> Option<BTreeMap<String, Option<String>>> {
        let named = |(index, machine): (&usize, &&str)| (named(*index), Some((*machine).to_owned()));
        Some(self.town(|town| town.alive.iter().map(named).collect()))
    }

    fn changed(&self) -> Receiver<u64> {
        self.changed.subscribe()
    }
}

pub(super) fn named(index: usize) -> String {
    format!("replica-{index}")
}

/// A replica with eyes of its own.
pub(super) struct Replica {
    pub member: Arc<Member>,
    pub service: Service,
    pub view: Rules,
    pub series: Arc<Series>,
    _folder: tempfile::TempDir,
}

pub(super) struct Crowd {
    pub house: House,
    pub town: Arc<Mutex<Town>>,
    pub replicas: Vec<Replica>,
}

impl Crowd {
    pub async fn of(machines: &[&'static str], rules: &[RuleOptions]) -> Self {
        let mut crowd = Self { house: House::new(), town: Arc::default(), replicas: Vec::new() };
        for machine in machines {
            crowd.join(machine, rules);
        }
        crowd.hold(0).await;
        crowd
    }

    pub fn join(&mut self, machine: &'static str, rules: &[RuleOptions]) {
        let index = self.replicas.len();
        self.town.lock().unwrap().alive.insert(index, machine);
        let member = Arc::new(Member {
            index,
            name: named(index),
            machine,
            town: Mutex::new(self.town.clone()),
            changed: watch::Sender::default(),
        });
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(self.house.clock.clone());
        self.house.series = Series::open(folder.path(), series::Options::default(), clock).unwrap();
        let options = Options { rules: rules.to_vec(), ..Options::default() };
        let (service, view) = self.house.replica(options, member.clone());
        let series = self.house.series.clone();
        self.replicas.push(Replica { member, service, view, series, _folder: folder });
    }

    /// A replica takes the leases.
    pub async fn hold(&self, index: usize) {
        let mut batch = Batch::new();
        batch.put(Key::of(["lease"]), &Held).unwrap();
        let revision = self.house.store.commit(batch).await.unwrap();
        self.town.lock().unwrap().holder = (index, revision);
    }

    /// A replica is no more, and another one takes its leases.
    pub async fn dies(&self, index: usize, heir: usize) {
        self.town.lock().unwrap().alive.remove(&index);
        self.hold(heir).await;
    }

    pub fn see(&self, index: usize, name: &str, value: f64) {
        let key = SeriesKey::new(name, [("service", "order-service")]);
        let sample = Sample { key, at: crate::core::Clock::now(&self.house.clock), value };
        self.replicas[index].series.append(&[sample]).unwrap();
    }

    pub async fn round(&mut self, who: &[usize]) {
        for index in who {
            self.replicas[*index].service.round().await.unwrap();
        }
    }

    pub fn by(&self, index: usize) -> By {
        self.replicas[index].view.list()[0].by
    }

    /// What was told, repeats left out: the status, and the label `host`.
    pub fn told(&self) -> Vec<(Status, String)> {
        let mut seen: Vec<Alert> = Vec::new();
        for alert in self.house.sink.taken.lock().unwrap().iter() {
            if !seen.iter().any(|known| (&known.alert_id, known.status) == (&alert.alert_id, alert.status)) {
                seen.push(alert.clone());
            }
        }
        let host = |alert: &Alert| alert.labels.get("host").map(|host| host.as_data().to_owned()).unwrap_or_default();
        seen.iter().map(|alert| (alert.status, host(alert))).collect()
    }

    pub fn last_words(&self) -> String {
        self.house.sink.taken.lock().unwrap().last().unwrap().description.as_data().to_owned()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Held;

impl crate::store::Record for Held {}

pub(super) async fn stored(store: &SharedStore) -> Vec<String> {
    let entries = store.scan(&Range::under(&Key::of(["rule"]), 10)).await.unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.value).unwrap()).collect()
}

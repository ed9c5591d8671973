//! From accepted alerts to incidents, through the public door: grouping, ending, reopening, acting, restarting.

use std::sync::Arc;
use std::time::Duration;

use mayday::access::{Actor, PersonId};
use mayday::alert::{Format, Severity};
use mayday::catalog::{Catalog, Service as CatalogService};
use mayday::chat::{Content, Post};
use mayday::core::clock::ManualClock;
use mayday::core::stop::Stopper;
use mayday::core::{IncidentId, SharedClock, Timestamp};
use mayday::incident::{Act, Error, Incident, Incidents, Intake, Options, Phase, Service, Signal};
use mayday::store::memory::Memory;
use mayday::store::{Batch, SharedStore};
use mayday::work::{Leases, Queue, Shard};

struct House {
    store: SharedStore,
    clock: SharedClock,
    manual: ManualClock,
    catalog: Arc<Catalog>,
    options: Options,
}

impl House {
    fn new() -> Self {
        let manual = ManualClock::at("2026-11-21T14:02:00Z".parse::<Timestamp>().unwrap());
        let clock: SharedClock = Arc::new(manual.clone());
        let orders: CatalogService = serde_json::from_value(serde_json::json!({
            "name": "order-service", "aliases": ["orders"], "team": "shop", "channel": "orders", "journey": "checkout"
        }))
        .unwrap();
        let catalog = Arc::new(Catalog::new(vec![orders]).unwrap());
        Self { store: Memory::shared(), clock, manual, catalog, options: Options::default() }
    }

    /// A fresh process on the same store.
    async fn service(&self) -> Service {
        let leases = Leases::take_all(&self.store, &self.clock, "test").await.unwrap();
        Service::new(self.store.clone(), self.clock.clone(), leases, self.catalog.clone(), self.options.clone())
    }

    async fn send(&self, body: &serde_json::Value) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let intake = Intake::new(store, clock, self.catalog.clone(), self.options.clone());
        intake.accept(Format::Generic, "test", body.to_string().as_bytes()).await.unwrap();
    }

    /// A word of Alertmanager about an alert that began at 14:00 and, where it has, ended at 14:04. Gives how many were
    /// duplicates.
    async fn hears(&self, status: &str) -> usize {
        let body = serde_json::json!({"version": "4", "alerts": [{
            "status": status, "startsAt": "2026-11-21T14:00:00Z",
            "endsAt": if status == "resolved" { "2026-11-21T14:04:00Z" } else { "0001-01-01T00:00:00Z" },
            "labels": {"alertname": "A", "service": "orders", "severity": "critical"},
        }]});
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let intake = Intake::new(store, clock, self.catalog.clone(), self.options.clone());
        intake.accept(Format::Alertmanager, "am", body.to_string().as_bytes()).await.unwrap().duplicates
    }

    async fn apply(&self) {
        self.service().await.apply_waiting().await.unwrap();
    }

    fn handle(&self) -> Incidents {
        Incidents::new(self.store.clone(), self.clock.clone())
    }

    async fn all(&self) -> Vec<Incident> {
        self.handle().list(false, None, 100).await.unwrap()
    }

    async fn waiting<T: mayday::store::Record + Clone>(&self, queue: &'static str) -> Vec<T> {
        let queue: Queue<T> = Queue::new(queue, self.store.clone(), self.clock.clone());
        let mut found = Vec::new();
        for shard in Shard::all() {
            found.extend(queue.due(shard, 1000).await.unwrap().into_iter().map(|item| item.record));
        }
        found
    }
}

fn alert(name: &str, service: &str, status: &str, start: &str) -> serde_json::Value {
    serde_json::json!({
        "alert_name": name, "service_name": service, "status": status, "severity": "Critical",
        "timestamp": format!("2026-11-21T{start}Z"), "metric_value": "93.5 %", "host_ip": "10.0.0.5",
    })
}

#[tokio::test]
async fn alerts_of_one_service_are_one_incident_with_a_card_and_a_signal() {
    let house = House::new();
    let (first, second) =
        (alert("High_CPU_Usage", "orders", "firing", "14:01:00"), alert("Slow", "order-service", "firing", "14:01:30"));
    house.send(&serde_json::json!([first, second, alert("Disk_Full", "cart", "firing", "14:01:00")])).await;
    house.apply().await;
    let all = house.all().await;
    assert_eq!(all.len(), 2);
    let orders = all.iter().find(|incident| incident.service.as_data() == "order-service").unwrap();
    assert_eq!((orders.alerts, orders.firing, orders.team.as_str()), (2, 2, "shop"));
    assert_eq!(orders.channel.name, "orders");
    let posts: Vec<Post> = house.waiting("post").await;
    assert_eq!(posts.len(), 2);
    let post = posts.iter().find(|post| post.slot == orders.id.to_string()).unwrap();
    let Content::Card(card) = &post.content else { panic!("a card was expected") };
    assert_eq!(card.title, "order-service: Slow at 93.5 % and High CPU Usage since 14:01 UTC");
    let signals: Vec<Signal> = house.waiting("signal").await;
    assert_eq!(signals.iter().filter(|signal| matches!(signal, Signal::Opened { .. })).count(), 2);
    assert_eq!(signals.iter().filter(|signal| matches!(signal, Signal::Joined { .. })).count(), 1);
    let views = house.handle().alerts(None, 10).await.unwrap();
    assert!(views.iter().all(|view| view.incident.is_some()), "each alert shows its incident");
    assert_eq!(house.handle().alerts_of(orders.id, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_incident_ends_with_its_last_alert_and_comes_back_within_the_window() {
    let house = House::new();
    house
        .send(&serde_json::json!([
            alert("A", "orders", "firing", "14:01:00"),
            alert("B", "orders", "firing", "14:01:00")
        ]))
        .await;
    house.apply().await;
    house.send(&alert("A", "orders", "resolved", "14:01:00")).await;
    house.apply().await;
    assert_eq!(house.all().await[0].phase, Phase::Triggered);
    house.manual.advance(Duration::from_secs(600));
    house.send(&alert("B", "orders", "resolved", "14:01:00")).await;
    house.apply().await;
    let ended = house.all().await.remove(0);
    assert_eq!((ended.phase, ended.firing), (Phase::Resolved, 0));
    assert!(house.handle().list(true, None, 10).await.unwrap().is_empty());
    house.manual.advance(Duration::from_secs(14 * 60));
    house.send(&alert("A", "orders", "firing", "14:20:00")).await;
    house.apply().await;
    let back = house.all().await;
    assert_eq!((back.len(), back[0].phase), (1, Phase::Reopened));
    house.send(&alert("A", "orders", "resolved", "14:20:00")).await;
    house.apply().await;
    house.manual.advance(Duration::from_secs(16 * 60));
    house.send(&alert("A", "orders", "firing", "14:40:00")).await;
    house.apply().await;
    assert_eq!(house.all().await.len(), 2, "after the window it is another incident");
    assert_eq!(house.handle().list(true, None, 10).await.unwrap().len(), 1);
    let told: Vec<String> =
        house.handle().timeline(IncidentId::new(1)).await.unwrap().into_iter().map(|moment| moment.says).collect();
    assert_eq!(
        told,
        [
            "Opened by A, B.",
            "1 alert ended; 1 still firing.",
            "1 alert ended; none is left.",
            "Resolved: the last alert ended, 11 min after the first began.",
            "Reopened: A fires again.",
            "1 alert joined: A.",
            "1 alert ended; none is left.",
            "Resolved: the last alert ended, 6 min after the first began.",
        ]
    );
}

#[tokio::test]
async fn an_end_of_what_was_never_heard_of_opens_nothing() {
    let house = House::new();
    house.send(&alert("A", "orders", "resolved", "14:01:00")).await;
    house.apply().await;
    assert!(house.all().await.is_empty());
    house.send(&alert("A", "orders", "firing", "14:01:00")).await;
    house.apply().await;
    assert!(house.all().await.is_empty(), "its beginning comes late");
}

#[tokio::test]
async fn a_restart_in_the_middle_applies_every_item_once() {
    let house = House::new();
    for minute in 0..10 {
        house.send(&alert(&format!("A{minute}"), "orders", "firing", "14:01:00")).await;
    }
    // The old process is stopped at some point; the new one takes the leases and goes on.
    let (stopper, stop) = Stopper::new();
    let old = tokio::spawn(house.service().await.run(stop));
    tokio::task::yield_now().await;
    let new = house.service().await;
    new.apply_waiting().await.unwrap();
    stopper.stop();
    house.manual.advance(Duration::from_secs(10));
    old.await.unwrap();
    house.apply().await;
    let all = house.all().await;
    assert_eq!((all.len(), all[0].alerts, all[0].firing), (1, 10, 10));
    assert_eq!(house.waiting::<mayday::incident::Input>("incident").await.len(), 0);
}

#[tokio::test]
async fn a_person_acts_and_the_handle_waits_until_it_is_applied() {
    let house = House::new();
    house.send(&alert("A", "orders", "firing", "14:01:00")).await;
    let (stopper, stop) = Stopper::new();
    let service = tokio::spawn(house.service().await.run(stop));
    let mut changed = house.store.watch(&mayday::store::Key::of(["incident"]));
    while house.all().await.is_empty() {
        changed.changed().await;
    }
    let (handle, ana) = (house.handle(), Actor::Person(PersonId("web:ana".to_owned())));
    let id = IncidentId::new(1);
    let acknowledged = handle.act(id, ana.clone(), Act::Acknowledge).await.unwrap();
    assert_eq!(
        (acknowledged.phase, acknowledged.commander),
        (Phase::Acknowledged, Some(PersonId("web:ana".to_owned())))
    );
    let again = handle.act(id, ana.clone(), Act::Acknowledge).await.unwrap_err();
    assert!(matches!(again, Error::Illegal(_)), "{again}");
    let set = handle.act(id, ana.clone(), Act::SetSeverity { severity: Severity::Info }).await.unwrap();
    assert_eq!(set.severity, Severity::Info);
    assert_eq!(handle.act(id, ana.clone(), Act::Resolve).await.unwrap().phase, Phase::Resolved);
    let missing = handle.act(IncidentId::new(99), ana, Act::Resolve).await.unwrap_err();
    assert_eq!(missing.to_string(), "There is no INC-99. `incidents` lists what is open.");
    stopper.stop();
    house.manual.advance(Duration::from_secs(10));
    service.await.unwrap();
}

#[tokio::test]
async fn pages_go_back_without_a_gap_or_a_repeat() {
    let house = House::new();
    let many: Vec<_> = (0..25).map(|number| alert("A", &format!("s{number}"), "firing", "14:01:00")).collect();
    house.send(&many.into()).await;
    house.apply().await;
    let (handle, mut seen, mut before) = (house.handle(), Vec::new(), None);
    loop {
        let page = handle.list(true, before, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|incident| incident.id.number()));
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<u64>>());
    let (mut ids, mut before) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = handle.alerts(before.as_ref(), 10).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.alert.alert_id.clone());
        for view in page {
            assert!(ids.insert(view.alert.alert_id));
        }
    }
    assert_eq!(ids.len(), 25);
}

#[tokio::test]
async fn a_storm_of_one_service_is_one_incident_in_few_commits() {
    let house = House::new();
    for part in 0..20 {
        let many: Vec<_> =
            (0..100).map(|number| alert(&format!("A{part}-{number}"), "orders", "firing", "14:01:00")).collect();
        house.send(&many.into()).await;
    }
    house.apply().await;
    let incident = house.all().await.remove(0);
    assert_eq!((incident.alerts, incident.firing, incident.latest_alerts.len()), (2000, 2000, 20));
    assert_eq!(incident.known.kinds.len(), 50);
    for part in 0..20 {
        let many: Vec<_> =
            (0..100).map(|number| alert(&format!("A{part}-{number}"), "orders", "resolved", "14:01:00")).collect();
        house.send(&many.into()).await;
    }
    house.apply().await;
    let incident = house.all().await.remove(0);
    assert_eq!((incident.phase, incident.firing), (Phase::Resolved, 0));
}

#[tokio::test]
async fn a_change_that_came_too_late_takes_its_item_away_and_changes_nothing() {
    let house = House::new();
    house.send(&alert("A", "orders", "firing", "14:01:00")).await;
    house.apply().await;
    let incident = house.all().await.remove(0);
    let mut batch = Batch::new();
    for _ in 0..2 {
        let by = Actor::Person(PersonId("web:ana".to_owned()));
        let input = mayday::incident::Input::Act { incident: incident.id, by, act: Act::Resolve };
        house.handle().push(&mut batch, &incident, &input).unwrap();
    }
    house.store.commit(batch).await.unwrap();
    house.apply().await;
    let ended = house.all().await.remove(0);
    assert_eq!((ended.phase, ended.version), (Phase::Resolved, incident.version + 1));
    assert!(house.waiting::<mayday::incident::Input>("incident").await.is_empty());
}

#[tokio::test]
async fn hosts_that_share_only_a_scrape_job_are_incidents_of_their_own() {
    let house = House::new();
    let of_host = |host: &str| serde_json::json!({"status":"firing","labels":{"alertname":"HighLoad","job":"node","instance":host,"severity":"warning"},"startsAt":"2026-11-21T14:00:00Z"});
    let body = serde_json::json!({"alerts":[of_host("10.0.0.1:9100"), of_host("10.0.0.2:9100")],"version":"4"});
    let intake = Intake::new(house.store.clone(), house.clock.clone(), house.catalog.clone(), house.options.clone());
    intake.accept(Format::Alertmanager, "am", body.to_string().as_bytes()).await.unwrap();
    house.apply().await;
    assert_eq!(house.all().await.len(), 2);
}

#[tokio::test]
async fn an_incident_belongs_to_a_team_and_stands_in_its_channel() {
    let mut house = House::new();
    house.options.team_channels.insert("storage".to_owned(), "#storage".to_owned());
    let intake = Intake::new(house.store.clone(), house.clock.clone(), house.catalog.clone(), house.options.clone());
    let bodies = [
        serde_json::json!({"alert_name": "A", "service_name": "orders", "labels": {"team": "storage"}}),
        serde_json::json!({"alert_name": "B", "labels": {"team": "storage"}}),
        serde_json::json!({"alert_name": "C", "labels": {"team": "made-up"}}),
    ];
    for body in &bodies {
        let sender = mayday::incident::Sender { integration: "x", team: Some("network") };
        intake.accept(Format::Generic, sender, body.to_string().as_bytes()).await.unwrap();
        house.apply().await;
    }
    let all = house.all().await;
    let routes: Vec<_> =
        all.iter().rev().map(|incident| (incident.team.as_str(), incident.channel.name.as_str())).collect();
    assert_eq!(routes, [("shop", "orders"), ("storage", "storage"), ("network", "incidents")]);
}

#[tokio::test]
async fn an_alert_that_fires_again_with_the_start_it_had_reopens_its_incident() {
    let house = House::new();
    let send = async |status: &str| {
        let duplicates = house.hears(status).await;
        house.apply().await;
        duplicates
    };
    assert_eq!(send("firing").await, 0);
    house.manual.advance(Duration::from_secs(180));
    assert_eq!(send("resolved").await, 0);
    house.manual.advance(Duration::from_secs(20));
    assert_eq!(send("firing").await, 1, "a slower peer's beginning");
    assert_eq!(house.all().await[0].phase, Phase::Resolved);
    house.manual.advance(Duration::from_secs(300));
    assert_eq!(send("resolved").await, 1, "the same end minutes later");
    assert_eq!(send("firing").await, 0, "Prometheus had missed it for a while, and it burns");
    let back = house.all().await.remove(0);
    assert_eq!((back.phase, back.firing, back.alerts), (Phase::Reopened, 1, 1));
    assert_eq!(house.handle().list(true, None, 10).await.unwrap().len(), 1);
    assert_eq!(send("firing").await, 1);
    assert_eq!(send("resolved").await, 0);
    let over = house.all().await.remove(0);
    assert_eq!((over.phase, over.firing, over.alerts), (Phase::Resolved, 0, 1));
}

/// The same when all of it waited and is folded in together.
#[tokio::test]
async fn an_alert_that_ended_and_fires_again_while_its_words_waited_fires() {
    let house = House::new();
    for (status, later) in [("firing", 180), ("resolved", 300), ("firing", 0)] {
        assert_eq!(house.hears(status).await, 0);
        house.manual.advance(Duration::from_secs(later));
    }
    house.apply().await;
    let all = house.all().await;
    assert_eq!(all.len(), 1);
    assert!(!all[0].phase.is_over(), "{:?}", all[0].phase);
    assert_eq!((all[0].firing, all[0].alerts), (1, 1));
}

#[tokio::test]
async fn what_a_person_resolves_while_it_fires_comes_back_with_the_senders_next_word() {
    let house = House::new();
    let said = async |id: u64| {
        let told = house.handle().timeline(IncidentId::new(id)).await.unwrap();
        told.into_iter().map(|moment| moment.says).collect::<Vec<_>>()
    };
    let resolve = async |id: u64| {
        let incident = house.handle().get(IncidentId::new(id)).await.unwrap().unwrap();
        let by = Actor::Person(PersonId("web:ana".to_owned()));
        let input = mayday::incident::Input::Act { incident: incident.id, by, act: Act::Resolve };
        let mut batch = Batch::new();
        house.handle().push(&mut batch, &incident, &input).unwrap();
        house.store.commit(batch).await.unwrap();
        house.apply().await;
    };
    let repeat = async |name: &str| {
        house.send(&alert(name, "orders", "firing", "14:01:00")).await;
        let pushed = house.waiting::<mayday::incident::Input>("incident").await.len();
        house.apply().await;
        pushed
    };
    house
        .send(&serde_json::json!([
            alert("A", "orders", "firing", "14:01:00"),
            alert("B", "orders", "firing", "14:01:00")
        ]))
        .await;
    house.apply().await;
    assert_eq!(repeat("A").await, 0, "a duplicate costs nothing while the incident is open");
    resolve(1).await;
    house.manual.advance(Duration::from_secs(60));
    repeat("A").await;
    assert_eq!(house.all().await[0].phase, Phase::Resolved, "on its way when the person resolved it, or nearly");
    house.manual.advance(Duration::from_secs(120));
    repeat("A").await;
    let back = house.all().await.remove(0);
    assert_eq!((back.phase, back.firing, back.alerts), (Phase::Reopened, 2, 2));
    assert_eq!(said(1).await.last().unwrap(), "Reopened: A still fires, 3 min after the incident was resolved.");
    let signals: Vec<Signal> = house.waiting("signal").await;
    assert!(matches!(signals.last(), Some(Signal::Opened { .. })), "it is looked at again: {signals:?}");
    assert_eq!(repeat("A").await, 0);

    // A sender that repeats later than the window: another incident, and both say so.
    resolve(1).await;
    house.manual.advance(Duration::from_secs(3600));
    repeat("A").await;
    let all = house.all().await;
    let (new, old) = (&all[0], &all[1]);
    assert_eq!((all.len(), new.phase, new.firing, new.alerts), (2, Phase::Triggered, 1, 1));
    assert_eq!((old.phase, old.firing), (Phase::Resolved, 1), "B, which nobody has repeated");
    assert_eq!(said(2).await, ["Opened by A.", "It fired in INC-1 already, which is resolved."]);
    assert_eq!(said(1).await.last().unwrap(), "Fires on in INC-2: A.");
    repeat("B").await;
    assert_eq!(house.all().await.iter().map(|one| one.firing).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(house.handle().alerts_of(IncidentId::new(2), 10).await.unwrap().len(), 2);
    for name in ["A", "B"] {
        house.send(&alert(name, "orders", "resolved", "14:01:00")).await;
    }
    house.apply().await;
    assert!(house.handle().list(true, None, 10).await.unwrap().is_empty(), "it ends by its alerts");
    assert_eq!(repeat("A").await, 0);
}

#[tokio::test]
async fn a_record_that_can_not_be_read_holds_up_only_its_own_incident() {
    let house = House::new();
    house.send(&alert("A", "orders", "firing", "14:01:00")).await;
    house.apply().await;
    let damaged = house.all().await.remove(0);
    let key = mayday::store::Key::of(["incident", &damaged.id.key()]);
    let writes = vec![mayday::store::Write::Put(key, b"{".to_vec())];
    house.store.commit(Batch { conditions: Vec::new(), writes }).await.unwrap();
    let shard = Shard::of(&damaged.group_key);
    let neighbour = (0..)
        .map(|number| format!("s{number}"))
        .find(|name| Shard::of(&format!("service_name={name}")) == shard)
        .unwrap();
    house.send(&alert("B", "orders", "firing", "14:01:00")).await;
    house.send(&alert("C", &neighbour, "firing", "14:01:00")).await;
    let (stopper, stop) = Stopper::new();
    let service = tokio::spawn(house.service().await.run(stop));
    let inbox: Queue<mayday::incident::Input> = Queue::new("incident", house.store.clone(), house.clock.clone());
    let mut given_up = Vec::new();
    for _ in 0..200 {
        house.manual.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
        given_up = inbox.dead(10).await.unwrap();
        if !given_up.is_empty() {
            break;
        }
    }
    assert_eq!(given_up.len(), 1);
    assert!(given_up[0].1.why.contains("can't be read"), "{}", given_up[0].1.why);
    let opened = house.handle().get(IncidentId::new(2)).await.unwrap().unwrap();
    assert_eq!((opened.service.as_data(), opened.firing), (neighbour.as_str(), 1));
    stopper.stop();
    house.manual.advance(Duration::from_secs(10));
    service.await.unwrap();
}

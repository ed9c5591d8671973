//! The auditor finds what is taken away behind everyone's back, raises an alert for it, and ends the alert when it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mayday::access::audit::{KEY_NAME, Signer, checkpoint};
use mayday::access::{Actor, Audit, AuditRecord, PersonId, Role};
use mayday::alert::{Alert, Format, Status};
use mayday::catalog::Catalog;
use mayday::chat::outbox::{self, Delivery};
use mayday::chat::web::{self, WebChat};
use mayday::core::clock::ManualClock;
use mayday::core::duration::Span;
use mayday::core::{BoxFuture, RunId, SharedClock, Timestamp};
use mayday::incident::{self, Incidents, Intake};
use mayday::ops::auditor::{Auditor, Options};
use mayday::ops::delivery::Outbox;
use mayday::ops::health::State;
use mayday::playbook::view::{Order, RunOutcome};
use mayday::playbook::{Faults, Runs as _, TaskState};
use mayday::store::memory::Memory;
use mayday::store::{self, Batch, Entry, Key, Range, SharedStore, Store, Write};
use mayday::watch::AlertSink;
use mayday::work::{Handler as _, Leases, Shard};
use serde_json::json;

use super::engine_world::{Act, Moving, World, person};

/// Keeps what it is given, unless it is full.
#[derive(Default)]
struct Inbox {
    alerts: Mutex<Vec<Alert>>,
    full: Mutex<bool>,
}

impl AlertSink for Inbox {
    fn accept<'a>(&'a self, alerts: Vec<Alert>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if *self.full.lock().unwrap() {
                return Err("the inbox is full".to_owned());
            }
            self.alerts.lock().unwrap().extend(alerts);
            Ok(())
        })
    }
}

fn auditor(store: &SharedStore, clock: &SharedClock, sink: &Arc<Inbox>) -> Auditor {
    let incidents = Arc::new(Incidents::new(store.clone(), clock.clone()));
    Auditor::new(store.clone(), clock.clone(), incidents, sink.clone(), Options::default())
}

async fn under(store: &SharedStore, prefix: &[&str]) -> Vec<Entry> {
    store.scan(&Range::under(&Key::of(prefix.iter().copied()), 10_000)).await.unwrap()
}

async fn write(store: &SharedStore, writes: Vec<Write>) {
    store.commit(Batch { conditions: Vec::new(), writes }).await.unwrap();
}

/// What is found about runs, and the audit: the engine's world serves no queues.
async fn found(auditor: &Auditor) -> Vec<(String, &'static str)> {
    let all = auditor.look().await.unwrap();
    let of_queues = |subject: &str| subject.starts_with("queue");
    all.into_iter().filter(|found| !of_queues(&found.subject)).map(|found| (found.subject, found.kind)).collect()
}

const RESTART: &str = "
playbook_id: PB-Restart
name: restart
concurrency_key: 'x'
tasks:
  - {id: restart, type: Service_Restart, parameters: {service: order-service}}
";

#[tokio::test]
async fn a_record_of_a_run_that_is_taken_away_is_found_whichever_it_is() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    assert_eq!(found(&auditor).await, [], "all is well while it waits");
    let open = under(&world.store, &["run-open"]).await;
    let lock = under(&world.store, &["run-lock"]).await;
    write(&world.store, vec![Write::Delete(open[0].key.clone())]).await;
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "open_mark_missing")]);
    write(&world.store, vec![Write::Put(open[0].key.clone(), open[0].value.clone())]).await;

    let early = under(&world.store, &["run"]).await.remove(0);
    world.approve(&engine, run, "ana").await;
    world.until_ended(&engine, run).await;
    assert_eq!(found(&auditor).await, [], "all is well at the end");
    let back = |entry: &Entry| Write::Put(entry.key.clone(), entry.value.clone());
    for (left, kind) in [(&open[0], "open_mark_left"), (&lock[0], "lock_left")] {
        write(&world.store, vec![back(left)]).await;
        assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), kind)]);
        write(&world.store, vec![Write::Delete(left.key.clone())]).await;
    }
    let shard = Shard::of(&run.to_string()).key();
    let chain = format!("run-{shard}");
    let records = under(&world.store, &["audit", &chain]).await;
    assert_eq!(records.len(), 2, "the vote and the change");
    for record in &records {
        write(&world.store, vec![Write::Delete(record.key.clone())]).await;
        assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "audit_missing")], "{}", record.key);
        write(&world.store, vec![back(record)]).await;
    }
    let bad = |key: &Key| Write::Put(key.clone(), b"nonsense".to_vec());
    write(&world.store, vec![bad(&records[0].key), Write::Delete(records[1].key.clone())]).await;
    let said = found(&auditor).await;
    assert!(said.contains(&(records[0].key.as_str().to_owned(), "unreadable")), "{said:?}");
    assert!(said.contains(&("RUN-1".to_owned(), "audit_missing")), "{said:?}");
    write(&world.store, records.iter().map(back).collect()).await;
    let events = under(&world.store, &["run-event"]).await;
    for event in &events {
        write(&world.store, vec![Write::Delete(event.key.clone())]).await;
        let said = found(&auditor).await;
        assert!(said.contains(&("RUN-1".to_owned(), "journal_broken")), "{}: {said:?}", event.key);
        write(&world.store, vec![back(event)]).await;
    }
    // The end of the journal, from the step on, and the status set back to match: only the audit knows of the step.
    let started =
        events.iter().position(|event| String::from_utf8_lossy(&event.value).contains("\"started\"")).unwrap();
    let mut cut: Vec<Write> = events[started..].iter().map(|event| Write::Delete(event.key.clone())).collect();
    cut.push(back(&early));
    cut.push(back(&open[0]));
    write(&world.store, cut).await;
    let said = found(&auditor).await;
    assert!(said.contains(&("RUN-1".to_owned(), "step_missing")), "{said:?}");
    assert_eq!(run, RunId::new(1));
}

/// While replicas of two versions run, or after going back to the older one.
#[tokio::test]
async fn a_run_that_a_later_mayday_wrote_is_not_called_broken() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    drop(engine);
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    for entry in [under(&world.store, &["run"]).await, under(&world.store, &["run-event"]).await].concat() {
        let mut later: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
        later["v"] = json!(9_999);
        write(&world.store, vec![Write::Put(entry.key.clone(), later.to_string().into_bytes())]).await;
        assert_eq!(found(&auditor).await, [(entry.key.as_str().to_owned(), "unreadable")]);
        write(&world.store, vec![Write::Put(entry.key.clone(), entry.value)]).await;
    }
    assert_eq!(found(&auditor).await, []);
}

#[tokio::test]
async fn a_run_that_is_gone_one_whose_status_was_changed_and_one_that_stands_still_are_found() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    let waiting = [under(&world.store, &["run"]).await, under(&world.store, &["run-event"]).await].concat();
    let open = under(&world.store, &["run-open"]).await;
    world.approve(&engine, run, "ana").await;
    world.until_ended(&engine, run).await;
    drop(engine);
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    assert_eq!(found(&auditor).await, []);
    let back = |entry: &Entry| Write::Put(entry.key.clone(), entry.value.clone());

    let status = under(&world.store, &["run"]).await.remove(0);
    let text = String::from_utf8(status.value.clone()).unwrap();
    let edited = text.replace("\"outcome\":\"fixed\"", "\"outcome\":\"no_effect\"");
    let edited =
        if edited == text { text.replace("\"outcome\":\"no_effect\"", "\"outcome\":\"fixed\"") } else { edited };
    assert_ne!(edited, text, "it has an outcome");
    write(&world.store, vec![Write::Put(status.key.clone(), edited.into_bytes())]).await;
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "journal_broken")]);
    write(&world.store, vec![back(&status)]).await;

    let all = [under(&world.store, &["run"]).await, under(&world.store, &["run-event"]).await].concat();
    write(&world.store, all.iter().map(|entry| Write::Delete(entry.key.clone())).collect()).await;
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "run_missing")]);

    // As if nobody had driven it on since it asked.
    let audits = [under(&world.store, &["audit"]).await, under(&world.store, &["audit-payload"]).await].concat();
    let mut still: Vec<Write> = audits.iter().map(|entry| Write::Delete(entry.key.clone())).collect();
    still.extend(waiting.iter().chain(&open).map(back));
    write(&world.store, still).await;
    assert_eq!(found(&auditor).await, [], "its time is not over");
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "run_late")]);
}

#[tokio::test]
async fn a_run_that_asks_past_its_own_time_while_it_takes_back_what_it_did_is_not_late() {
    let text = "
playbook_id: PB-Restart
name: restart
max_duration: 1h
tasks:
  - {id: restart, type: API_Call, action: POST /x, rollback: back}
  - {id: back, type: API_Call, action: POST /y, parameters: {undoes: restart}}
  - {id: wait, type: Wait, depends_on: [restart], parameters: {for: 50m}}
  - {id: again, type: Wait, depends_on: [wait], parameters: {for: 50m}}
";
    let world = World::of(&[text]);
    world.target().moving.insert("back".to_owned(), Moving::Value("restart".to_owned()));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    for minutes in [55, 10] {
        world.until(&engine, run, "done", |view| World::states(view)["restart"] == TaskState::Succeeded).await;
        world.clock.advance(Duration::from_secs(60 * minutes));
    }
    world.until_asked(&engine, run).await;
    world.clock.advance(Duration::from_secs(15 * 60));
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    assert_eq!(found(&auditor(&world.store, &clock, &sink)).await, []);
}

#[tokio::test]
async fn a_run_is_late_once_the_part_that_it_waits_for_has_ended() {
    let parent = "{playbook_id: PB-Parent, name: p, tasks: [{id: part, type: Sub_Playbook, parameters: {playbook: PB-Restart}}]}";
    let world = World::of(&[parent, RESTART]);
    let engine = world.engine(Faults::none()).await;
    let (run, part) = (world.propose(&engine, "PB-Parent").await, RunId::new(2));
    world.until(&engine, run, "waiting", |view| World::states(view)["part"] == TaskState::Waiting).await;
    world.until_asked(&engine, part).await;
    engine.stop().await;
    let of_parent = async || {
        let mut all = under(&world.store, &["run-event", &run.key()]).await;
        for prefix in ["run", "run-open"] {
            all.extend(world.store.read(&Key::of([prefix, &run.key()])).await.unwrap());
        }
        all
    };
    let waiting = of_parent().await;
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    assert_eq!(found(&auditor).await, [("RUN-2".to_owned(), "run_late")], "the part has times of its own");
    let engine = world.engine(Faults::none()).await;
    engine.resume().await.unwrap();
    world.until_ended(&engine, run).await;
    assert_eq!(found(&auditor).await, []);
    // As if nobody had told the parent.
    let mut still: Vec<Write> = of_parent().await.into_iter().map(|entry| Write::Delete(entry.key)).collect();
    still.extend(waiting.into_iter().map(|entry| Write::Put(entry.key, entry.value)));
    write(&world.store, still).await;
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "run_late")]);
}

#[tokio::test]
async fn nobody_is_late_to_approve_while_a_person_holds_the_run() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    let asked = world.until_asked(&engine, run).await;
    let ana = person("ana", Role::Approver);
    engine.order(run, Order::Pause, &ana).await.unwrap();
    let expires = asked.approval.unwrap().expires;
    let left = Duration::try_from(expires.duration_since(world.clock().now())).unwrap();
    world.clock.advance(left + Duration::from_secs(600));
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    assert_eq!(found(&auditor(&world.store, &clock, &sink)).await, []);
    engine.order(run, Order::Resume, &ana).await.unwrap();
    world.approve(&engine, run, "ana").await;
    assert_ne!(world.until_ended(&engine, run).await.outcome, Some(RunOutcome::Expired));
}

#[tokio::test]
async fn markers_without_a_record_of_the_erasure_hide_nothing_and_one_with_it_hides_one() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until_ended(&engine, run).await;
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    let chain = format!("run-{}", Shard::of(&run.to_string()).key());
    let payloads = under(&world.store, &["audit-payload", &chain]).await;
    let marker = b"{\"v\":1,\"d\":{\"erased_at\":\"2026-11-21T02:00:00Z\"}}".to_vec();
    write(&world.store, vec![Write::Put(payloads[0].key.clone(), marker)]).await;
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "audit_missing")]);
    write(&world.store, vec![Write::Put(payloads[0].key.clone(), payloads[0].value.clone())]).await;
    let audit = Audit::new(world.store.clone(), world.clock());
    let by = Actor::Person(PersonId("web:dpo".into()));
    audit.erase(&chain, 1, by, "asked for").await.unwrap();
    assert_eq!(found(&auditor).await, []);
}

const UNWIND: &str = "
playbook_id: PB-Unwind
name: items, a failure, and the way back
tasks:
  - {id: each, type: Config_Rollback, for_each: {in: [x, y], concurrency: 2}, parameters: {service: '{{ item }}', to: v1}, rollback: inverse}
  - {id: command, type: Run_Command, depends_on: [each], parameters: {program: fix}, rollback: none}
";

#[tokio::test]
async fn a_run_with_items_that_was_undone_is_whole() {
    let world = World::of(&[UNWIND]);
    world.target().script.insert("command".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Unwind").await;
    world.finish(&engine, run).await.unwrap();
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    assert_eq!(found(&auditor(&world.store, &clock, &sink)).await, []);
}

#[tokio::test]
async fn tasks_of_any_name_are_found_in_the_audit_and_keep_their_key_there() {
    // The last one looks like a password, so the audit does not keep it.
    let names =
        ["raise_pool", "restart_inventory_service", "Restart_Order_Service_2", "aB3xY9kQ2mZ7pL4wR8tN6vC1sD5fG0hJ"];
    for name in names {
        // A key has a part of its own for each installation: what it looks like differs from run to run.
        for round in 0..8 {
            let text = format!(
                "{{playbook_id: PB-Named, name: n, tasks: [{{id: {name}, type: Service_Restart, parameters: {{service: s{round}}}}}]}}"
            );
            let world = World::of(&[&text]);
            let engine = world.engine(Faults::none()).await;
            let run = world.propose(&engine, "PB-Named").await;
            world.until_asked(&engine, run).await;
            world.approve(&engine, run, "ana").await;
            world.until_ended(&engine, run).await;
            let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
            assert_eq!(found(&auditor(&world.store, &clock, &sink)).await, [], "{name}");
            let kept = under(&world.store, &["audit-payload"]).await;
            let kept =
                kept.iter().any(|entry| String::from_utf8_lossy(&entry.value).contains(&format!("RUN-1.{name}.")));
            assert_eq!(kept, name != names[3], "{name}");
        }
    }
}

#[tokio::test]
async fn a_cut_audit_no_longer_fits_the_newest_checkpoint() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until_ended(&engine, run).await;
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::open(&data.path().join(KEY_NAME)).unwrap();
    let signing = checkpoint::Service::new(world.store.clone(), world.clock(), signer, &checkpoint::Options::default());
    signing.make(Span::from_secs(1)).await.unwrap().unwrap();
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    assert_eq!(found(&auditor).await, []);
    for prefix in ["audit", "audit-payload", "audit-head"] {
        let all = under(&world.store, &[prefix]).await;
        write(&world.store, all.into_iter().map(|entry| Write::Delete(entry.key)).collect()).await;
    }
    let chain = format!("audit chain run-{}", Shard::of(&run.to_string()).key());
    let said = found(&auditor).await;
    assert!(said.contains(&(chain, "audit_cut")), "{said:?}");
    assert!(said.contains(&("RUN-1".to_owned(), "audit_missing")), "{said:?}");
}

#[tokio::test]
async fn a_cut_audit_stays_an_alert_when_it_is_time_to_sign_again() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let audit = Audit::new(world.store.clone(), world.clock());
    let say = |number: u32| AuditRecord {
        actor: Actor::Mayday("test".into()),
        action: "say".into(),
        subject: format!("INC-{number}"),
        detail: json!({}),
        right: None,
    };
    for number in 0..4 {
        audit.commit(Batch::new(), say(number)).await.unwrap();
    }
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::open(&data.path().join(KEY_NAME)).unwrap();
    let signing = checkpoint::Service::new(world.store.clone(), world.clock(), signer, &checkpoint::Options::default());
    signing.make(Span::from_secs(0)).await.unwrap().unwrap();
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink).trusting(signing.only_key());
    assert_eq!(found(&auditor).await, []);
    let links = under(&world.store, &["audit", "main"]).await;
    let payloads = under(&world.store, &["audit-payload", "main"]).await;
    let second: serde_json::Value = serde_json::from_slice(&links[1].value).unwrap();
    let head = json!({"v": 1, "d": {"seq": 2, "at": second["d"]["at"], "hash": second["d"]["hash"]}});
    let mut cut = vec![Write::Put(Key::of(["audit-head", "main"]), head.to_string().into_bytes())];
    cut.extend(links[2..].iter().chain(&payloads[2..]).map(|entry| Write::Delete(entry.key.clone())));
    write(&world.store, cut).await;
    let alarm = [("audit chain main".to_owned(), "audit_cut")];
    assert_eq!(found(&auditor).await, alarm);
    for _ in 0..3 {
        let again = Audit::new(world.store.clone(), world.clock());
        again.commit(Batch::new(), say(9)).await.unwrap();
        assert!(signing.make(Span::from_secs(0)).await.unwrap_err().to_string().contains("nothing is signed"));
        assert_eq!(found(&auditor).await, alarm);
    }
    drop(engine);
}

/// An incident whose card stands in the web channel.
struct House {
    store: SharedStore,
    clock: SharedClock,
    manual: ManualClock,
    catalog: Arc<Catalog>,
    sink: Arc<Inbox>,
}

impl House {
    async fn new() -> Self {
        let manual = ManualClock::at("2026-11-21T14:02:00Z".parse::<Timestamp>().unwrap());
        let clock: SharedClock = Arc::new(manual.clone());
        let catalog = Arc::new(Catalog::new(Vec::new()).unwrap());
        let house = Self { store: Memory::shared(), clock, manual, catalog, sink: Arc::default() };
        house.send("Service_Down").await;
        house.apply().await;
        house.deliver().await;
        house
    }

    async fn send(&self, name: &str) {
        let options = incident::Options::default();
        let intake = Intake::new(self.store.clone(), self.clock.clone(), self.catalog.clone(), options);
        let body =
            json!({"alert_name": name, "service_name": "order-service", "severity": "Critical", "status": "firing"});
        intake.accept(Format::Generic, "test", body.to_string().as_bytes()).await.unwrap();
    }

    async fn apply(&self) {
        let leases = Leases::take_all(&self.store, &self.clock, "test").await.unwrap();
        let (store, clock, catalog) = (self.store.clone(), self.clock.clone(), self.catalog.clone());
        let service = incident::Service::new(store, clock, leases, catalog, incident::Options::default());
        service.apply_waiting().await.unwrap();
        // Nobody serves heal's queue here.
        let signals = under(&self.store, &["queue", "signal"]).await;
        write(&self.store, signals.into_iter().map(|entry| Write::Delete(entry.key)).collect()).await;
    }

    async fn deliver(&self) {
        let chat = Arc::new(WebChat::new(self.store.clone(), self.clock.clone(), web::Options::default()));
        let delivery = Delivery::new(vec![chat], self.clock.clone(), outbox::Options::default());
        let outbox = Outbox::new(delivery, self.store.clone(), self.clock.clone());
        let leases = Leases::take_all(&self.store, &self.clock, "test").await.unwrap();
        for shard in Shard::all() {
            let items = outbox.queue().due(shard, 100).await.unwrap();
            if !items.is_empty() {
                outbox.handle(&leases.of(shard).unwrap(), items).await.unwrap();
            }
        }
    }

    /// One round of the auditor; what it handed in.
    async fn round(&self) -> Vec<Alert> {
        let auditor = auditor(&self.store, &self.clock, &self.sink);
        let findings = auditor.look().await.unwrap();
        // What can't be handed in now is handed in later.
        let _ = auditor.tell(&findings).await;
        std::mem::take(&mut self.sink.alerts.lock().unwrap())
    }
}

#[tokio::test]
async fn a_card_that_vanishes_raises_one_alert_which_ends_when_it_is_back() {
    let house = House::new().await;
    assert_eq!(house.round().await, [], "the card stands there");
    let slot = under(&house.store, &["web-slot"]).await.remove(0);
    assert!(slot.key.last().starts_with("INC-"), "{}", slot.key);
    write(&house.store, vec![Write::Delete(slot.key.clone())]).await;

    *house.sink.full.lock().unwrap() = true;
    assert!(house.round().await.is_empty());
    *house.sink.full.lock().unwrap() = false;
    house.manual.advance(Duration::from_secs(60));
    let raised = house.round().await;
    assert_eq!(raised.len(), 1);
    assert_eq!((raised[0].alert_name.as_data(), raised[0].status), ("Mayday_Record_Missing", Status::Firing));
    assert!(raised[0].description.as_data().contains("the card of INC-1 does not stand in channel"), "{:?}", raised[0]);
    house.manual.advance(Duration::from_secs(60));
    // Said again as the alert it is, also by an auditor that was started again: who resolved its incident hears of it.
    assert_eq!(house.round().await, raised);

    write(&house.store, vec![Write::Put(slot.key.clone(), slot.value.clone())]).await;
    let ended = house.round().await;
    assert_eq!((ended.len(), ended[0].status), (1, Status::Resolved));
    assert_eq!(ended[0].alert_id, raised[0].alert_id);
    assert!(house.round().await.is_empty());
    assert!(under(&house.store, &["auditor"]).await.is_empty());
}

#[tokio::test]
async fn a_message_without_its_text_an_incident_without_its_mark_and_one_that_is_gone_are_found() {
    let house = House::new().await;
    let auditor = auditor(&house.store, &house.clock, &house.sink);
    let look = async || -> Vec<(String, &'static str)> {
        let found = auditor.look().await.unwrap();
        found.into_iter().map(|found| (found.subject, found.kind)).collect()
    };
    assert_eq!(look().await, []);
    let message = under(&house.store, &["web"]).await.remove(0);
    let text = String::from_utf8(message.value.clone()).unwrap();
    let back = |entry: &Entry| Write::Put(entry.key.clone(), entry.value.clone());
    let card = || ("INC-1".to_owned(), "card_not_shown");
    let old = text.replace("\"version\":1", "\"version\":0");
    for hurt in [Write::Delete(message.key.clone()), Write::Put(message.key.clone(), old.into_bytes())] {
        write(&house.store, vec![hurt]).await;
        assert_eq!(look().await, [card()]);
        write(&house.store, vec![back(&message)]).await;
    }
    let (mark, incident) =
        (under(&house.store, &["incident-open"]).await.remove(0), under(&house.store, &["incident"]).await.remove(0));
    write(&house.store, vec![Write::Delete(mark.key.clone())]).await;
    assert_eq!(look().await, [("INC-1".to_owned(), "incident_mark_missing")]);
    write(&house.store, vec![back(&mark), Write::Delete(incident.key.clone())]).await;
    assert_eq!(look().await, [("INC-1".to_owned(), "incident_mark_left"), ("INC-1".to_owned(), "number_missing")]);

    // It ended, and the last edit of its card is lost.
    let mut ended: serde_json::Value = serde_json::from_slice(&incident.value).unwrap();
    ended["d"]["phase"] = json!("resolved");
    ended["d"]["resolved_at"] = json!(house.clock.now());
    ended["d"]["version"] = json!(2);
    write(&house.store, vec![Write::Delete(mark.key), Write::Put(incident.key, ended.to_string().into_bytes())]).await;
    assert_eq!(look().await, [card()]);
    house.manual.advance(Duration::from_secs(25 * 3600));
    assert_eq!(look().await, []);
}

#[tokio::test]
async fn an_alert_that_was_taken_in_and_belongs_to_no_incident_is_found() {
    let house = House::new().await;
    let link = under(&house.store, &["alert-incident"]).await.remove(0);
    write(&house.store, vec![Write::Delete(link.key.clone())]).await;
    let auditor = auditor(&house.store, &house.clock, &house.sink);
    assert_eq!(found(&auditor).await, [], "it may be on its way");
    house.manual.advance(Duration::from_secs(301));
    assert_eq!(found(&auditor).await, [("alerts".to_owned(), "alert_without_incident")]);
    write(&house.store, vec![Write::Put(link.key, link.value)]).await;
    assert_eq!(found(&auditor).await, []);
}

#[tokio::test]
async fn the_card_of_a_run_without_an_incident_stands_in_its_newest_version() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.finish(&engine, run).await.unwrap();
    let journal = engine.get(run).await.unwrap().unwrap().journal;
    drop(engine);
    let (sink, clock) = (Arc::new(Inbox::default()), world.clock());
    let auditor = auditor(&world.store, &clock, &sink);
    let card = |version: u64| {
        let slot = json!({"v": 1, "d": {"seq": 1, "root": null, "version": version, "replies": 0}});
        let message = json!({"v": 1, "d": {"slot": "RUN-1", "version": version, "at": world.now()}});
        let put = |key: &[&str], value: &serde_json::Value| {
            Write::Put(Key::of(key.iter().copied()), value.to_string().into_bytes())
        };
        vec![
            put(&["web-channel", "incidents"], &json!({})),
            put(&["web-slot", "incidents", "RUN-1"], &slot),
            put(&["web", "incidents", "0000000001"], &message),
        ]
    };
    write(&world.store, card(journal - 1)).await;
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(found(&auditor).await, [("RUN-1".to_owned(), "card_not_shown")]);
    write(&world.store, card(journal)).await;
    assert_eq!(found(&auditor).await, []);
}

#[tokio::test]
async fn an_edit_of_a_card_that_is_lost_shows_and_one_that_is_on_its_way_does_not() {
    let house = House::new().await;
    house.send("Service_Slow").await;
    house.apply().await;
    assert!(house.round().await.is_empty(), "the edit waits to be delivered");
    let posts = under(&house.store, &["queue", "post"]).await;
    assert_eq!(posts.len(), 1);
    write(&house.store, vec![Write::Delete(posts[0].key.clone())]).await;
    let raised = house.round().await;
    assert!(raised[0].description.as_data().contains("in its version 2"), "{raised:?}");
}

/// A store that gives nothing while it is broken.
struct Broken {
    store: SharedStore,
    now: AtomicBool,
}

impl Broken {
    fn check(&self) -> Result<(), store::Error> {
        if self.now.load(Ordering::SeqCst) { Err(store::Error::Unavailable("no answer".to_owned())) } else { Ok(()) }
    }
}

impl Store for Broken {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, store::Error>> {
        Box::pin(async move {
            // What the auditor has told stands elsewhere than what it looks at.
            if !key.as_str().starts_with("auditor/") {
                self.check()?;
            }
            self.store.read(key).await
        })
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, store::Error>> {
        Box::pin(async move {
            if !range.from.as_str().starts_with("auditor/") {
                self.check()?;
            }
            self.store.scan(range).await
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<store::Revision, store::Error>> {
        self.store.commit(batch)
    }

    fn watch(&self, prefix: &Key) -> store::Watch {
        self.store.watch(prefix)
    }
}

#[tokio::test]
async fn rounds_that_could_not_look_show_in_health_and_become_an_alert() {
    let house = House::new().await;
    let slot = under(&house.store, &["web-slot"]).await.remove(0);
    write(&house.store, vec![Write::Delete(slot.key.clone())]).await;
    let broken = Arc::new(Broken { store: house.store.clone(), now: AtomicBool::new(false) });
    let shared: SharedStore = broken.clone();
    let auditor = auditor(&shared, &house.clock, &house.sink);
    let handed = || std::mem::take(&mut *house.sink.alerts.lock().unwrap());
    assert_eq!(auditor.round().await.unwrap(), 1);
    assert_eq!((handed().len(), auditor.health().0), (1, State::Well));
    broken.now.store(true, Ordering::SeqCst);
    for round in 1..=3 {
        auditor.round().await.unwrap_err();
        let (state, says) = auditor.health();
        assert!(state == State::Degraded && says.contains(&format!("{round} times in a row")), "{says}");
    }
    let raised = handed();
    assert_eq!(raised.len(), 1, "of the missing card nothing is known: {raised:?}");
    assert!(raised[0].status == Status::Firing && raised[0].description.as_data().contains("could not look"));
    broken.now.store(false, Ordering::SeqCst);
    assert_eq!(auditor.round().await.unwrap(), 1);
    assert!(handed().iter().any(|alert| alert.alert_id == raised[0].alert_id && alert.status == Status::Resolved));
    assert_eq!(auditor.health().0, State::Well);
}

#[tokio::test]
async fn a_record_that_cant_be_read_is_found_and_hides_no_other() {
    let house = House::new().await;
    house.send("Service_Slow").await;
    house.apply().await;
    house.deliver().await;
    assert!(house.round().await.is_empty());
    let posts = under(&house.store, &["web-slot"]).await;
    for (broken, kind) in [
        (Key::of(["incident", "0000000099"]), false),
        (Key::of(["run-open", "0000000009"]), true),
        (Key::of(["audit-checkpoint", "000000000001"]), true),
        (posts[0].key.clone(), true),
    ] {
        let before = house.store.read(&broken).await.unwrap();
        let open = Key::of(["incident-open", broken.last()]);
        let grave = Key::of(["dead", "post", "00", "0000000000001-x"]);
        let bad = vec![
            Write::Put(broken.clone(), b"nonsense".to_vec()),
            Write::Put(open.clone(), b"{}".to_vec()),
            Write::Put(grave.clone(), b"{}".to_vec()),
        ];
        write(&house.store, bad).await;
        let auditor = auditor(&house.store, &house.clock, &house.sink);
        let found: Vec<_> =
            auditor.look().await.unwrap().into_iter().map(|found| (found.subject, found.kind)).collect();
        assert!(found.contains(&("queue post".to_owned(), "item_given_up")), "{broken}: {found:?}");
        let unreadable = found.iter().any(|(subject, kind)| *kind == "unreadable" && subject == broken.as_str());
        let changed = found.iter().any(|(_, kind)| *kind == "checkpoint_changed");
        assert!(unreadable || changed && kind, "{broken}: {found:?}");
        let mut back = vec![Write::Delete(open), Write::Delete(grave), Write::Delete(broken.clone())];
        back.extend(before.map(|entry| Write::Put(broken, entry.value)));
        write(&house.store, back).await;
    }
    // What it has told itself, too.
    write(&house.store, vec![Write::Put(Key::of(["auditor", "x"]), b"nonsense".to_vec())]).await;
    write(&house.store, vec![Write::Delete(posts[0].key.clone())]).await;
    assert_eq!(house.round().await.len(), 1);
    assert_eq!(under(&house.store, &["auditor"]).await.len(), 1);
}

#[tokio::test]
async fn an_item_that_nobody_does_and_one_that_was_given_up_raise_alerts() {
    let house = House::new().await;
    house.send("Service_Slow").await;
    house.manual.advance(Duration::from_secs(299));
    assert!(house.round().await.is_empty());
    house.manual.advance(Duration::from_secs(2));
    let raised = house.round().await;
    assert_eq!(raised.len(), 1);
    assert!(raised[0].description.as_data().contains("an item of the queue incident"), "{raised:?}");
    house.apply().await;
    house.deliver().await;
    assert_eq!(house.round().await[0].status, Status::Resolved);
    let grave = Key::of(["dead", "post", "00", "0000000000001-x"]);
    write(&house.store, vec![Write::Put(grave, b"{}".to_vec())]).await;
    assert!(house.round().await[0].description.as_data().contains("1 items of the queue post were given up"));
}

#[tokio::test]
async fn the_alert_goes_through_the_same_intake_and_becomes_an_incident_with_a_card() {
    struct Own(Intake);
    impl AlertSink for Own {
        fn accept<'a>(&'a self, alerts: Vec<Alert>) -> BoxFuture<'a, Result<(), String>> {
            self.0.hand_over(alerts)
        }
    }
    let house = House::new().await;
    let slot = under(&house.store, &["web-slot"]).await.remove(0);
    write(&house.store, vec![Write::Delete(slot.key)]).await;
    let options = incident::Options::default();
    let intake = Intake::new(house.store.clone(), house.clock.clone(), house.catalog.clone(), options);
    let incidents = Arc::new(Incidents::new(house.store.clone(), house.clock.clone()));
    let sink = Arc::new(Own(intake));
    let auditor = Auditor::new(house.store.clone(), house.clock.clone(), incidents.clone(), sink, Options::default());
    let findings = auditor.look().await.unwrap();
    auditor.tell(&findings).await.unwrap();
    house.apply().await;
    house.deliver().await;
    let all = incidents.list(true, None, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].alert_name.as_data(), "Mayday_Record_Missing");
    assert!(under(&house.store, &["web-slot"]).await.iter().any(|slot| slot.key.last() == all[0].id.to_string()));
}

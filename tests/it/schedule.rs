//! Scheduled work through the public door: once per tick whoever looks, over changes of the clock, a restart and an outage.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mayday::access::Person;
use mayday::chat::{ChannelId, Content, Post};
use mayday::config;
use mayday::core::clock::ManualClock;
use mayday::core::stop::Stopper;
use mayday::core::{BoxFuture, Clock as _, RunId, SharedClock, Timestamp};
use mayday::ops::schedule::{Deps, Job, Jobs, Options, Scheduler, Tick, Timetable};
use mayday::playbook::view::{Decided, Order};
use mayday::playbook::{self, ProposeRequest, Proposed, RunView, Runs};
use mayday::store::memory::Memory;
use mayday::store::{Batch, Key, Range, SharedStore, Write};
use mayday::work::{Handler as _, Leases, Queue, Shard};
use serde_json::json;

/// An engine that keeps what it is asked for.
#[derive(Default)]
struct Asked {
    requests: Mutex<Vec<ProposeRequest>>,
    refuse: Mutex<Option<String>>,
}

impl Runs for Asked {
    fn propose(&self, request: ProposeRequest) -> BoxFuture<'_, Result<Proposed, playbook::Error>> {
        Box::pin(async move {
            if let Some(why) = self.refuse.lock().unwrap().clone() {
                return Err(playbook::Error::NotNow(why));
            }
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            Ok(Proposed::New(RunId::new(requests.len() as u64)))
        })
    }
    fn order<'a>(&'a self, _: RunId, _: Order, _: &'a Person) -> BoxFuture<'a, Result<Decided, playbook::Error>> {
        Box::pin(async { Ok(Decided::Nothing(String::new())) })
    }
    fn withdraw(&self, _: RunId, _: String) -> BoxFuture<'_, Result<Decided, playbook::Error>> {
        Box::pin(async { Ok(Decided::Nothing(String::new())) })
    }
    fn get(&self, _: RunId) -> BoxFuture<'_, Result<Option<RunView>, playbook::Error>> {
        Box::pin(async { Ok(None) })
    }
    fn list(&self, _: Option<RunId>, _: usize) -> BoxFuture<'_, Result<Vec<RunView>, playbook::Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

struct House {
    store: SharedStore,
    clock: ManualClock,
    engine: Arc<Asked>,
    jobs_done: Arc<Mutex<u32>>,
}

impl House {
    fn at(moment: &str) -> Self {
        let clock = ManualClock::at(moment.parse().unwrap());
        Self { store: Memory::shared(), clock, engine: Arc::default(), jobs_done: Arc::default() }
    }

    fn shared_clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    /// A process on the store.
    fn scheduler(&self, schedules: serde_json::Value) -> Scheduler {
        let done = self.jobs_done.clone();
        let job: Job = Arc::new(move || {
            let done = done.clone();
            Box::pin(async move {
                *done.lock().unwrap() += 1;
                if *done.lock().unwrap() == 1 { Ok("done".to_owned()) } else { Err("the disk is full".to_owned()) }
            })
        });
        let deps = Deps {
            store: self.store.clone(),
            clock: self.shared_clock(),
            runs: self.engine.clone(),
            jobs: Jobs::from([("sign_audit", job)]),
            channel: ChannelId::web("incidents"),
        };
        let schedules: Vec<Options> = serde_json::from_value(schedules).unwrap();
        Scheduler::new(deps, schedules).unwrap()
    }

    /// Carries out what was taken; when the ticks were due.
    async fn carry_out(&self, scheduler: &Scheduler) -> Vec<String> {
        if self.store.scan(&Range::under(&Key::of(["queue", "schedule"]), 1)).await.unwrap().is_empty() {
            return Vec::new();
        }
        let leases = Leases::take_all(&self.store, &self.shared_clock(), "test").await.unwrap();
        let queue: Queue<Tick> = Queue::new("schedule", self.store.clone(), self.shared_clock());
        let mut ticks = Vec::new();
        for shard in Shard::all() {
            let items = queue.due(shard, 100).await.unwrap();
            ticks.extend(items.iter().map(|item| item.record.at.to_string()));
            if !items.is_empty() {
                scheduler.handle(&leases.of(shard).unwrap(), items).await.unwrap();
            }
        }
        ticks
    }

    /// Lets the time pass in steps, looking after each; the ticks that were taken.
    async fn pass(&self, scheduler: &Scheduler, step: Duration, until: &str) -> Vec<String> {
        let until: Timestamp = until.parse().unwrap();
        let mut ticks = Vec::new();
        while self.clock.now() < until {
            self.clock.advance(step);
            scheduler.take_due().await.unwrap();
            ticks.extend(self.carry_out(scheduler).await);
        }
        ticks
    }

    async fn told(&self) -> Vec<String> {
        let posts: Queue<Post> = Queue::new("post", self.store.clone(), self.shared_clock());
        let mut told = Vec::new();
        for shard in Shard::all() {
            for item in posts.due(shard, 100).await.unwrap() {
                let Content::Text(text) = item.record.content else { panic!("{:?}", item.record) };
                told.push(text);
            }
        }
        told
    }
}

fn nightly(missed: &str) -> serde_json::Value {
    json!([{
        "id": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "missed": missed,
        "playbook": "PB-Disk-Cleanup", "parameters": {"service": "order-service"},
    }])
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_tick_proposes_its_playbook_once_and_leaves_the_telling_to_the_runs_card() {
    let house = House::at("2026-11-21T00:00:00Z");
    let scheduler = house.scheduler(nightly("skip"));
    scheduler.take_due().await.unwrap();
    let ticks = house.pass(&scheduler, MINUTE, "2026-11-22T00:00:00Z").await;
    assert_eq!(ticks, ["2026-11-21T01:30:00Z"]);
    let asked = house.engine.requests.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].key, "schedule/nightly/2026-11-21T01:30:00Z");
    assert_eq!(
        (asked[0].playbook.as_str(), &asked[0].parameters["service"]),
        ("PB-Disk-Cleanup", &json!("order-service"))
    );
    assert_eq!(asked[0].by, mayday::access::Actor::Mayday("schedule nightly".to_owned()));
    assert_eq!(house.told().await, [""; 0]);
}

#[tokio::test]
async fn over_the_changes_of_the_clock_each_day_has_its_tick() {
    for (zone, from, until, wanted) in [
        ("Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z", ["28T01:30", "29T01:00", "30T00:30"]),
        ("Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z", ["24T00:30", "25T00:30", "26T01:30"]),
        ("America/New_York", "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z", ["07T07:30", "08T07:00", "09T06:30"]),
        ("America/New_York", "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z", ["31T06:30", "01T07:30", "02T07:30"]),
    ] {
        let house = House::at(from);
        let mut schedules = nightly("skip");
        schedules[0]["zone"] = json!(zone);
        let scheduler = house.scheduler(schedules);
        scheduler.take_due().await.unwrap();
        let ticks = house.pass(&scheduler, MINUTE, until).await;
        let short: Vec<&str> = ticks.iter().map(|tick| &tick[8..16]).collect();
        assert_eq!(short, wanted, "{zone} from {from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_replicas_look_a_tick_is_taken_once() {
    let house = House::at("2026-11-21T00:00:30Z");
    let every_minute = json!([{"id": "often", "cron": "* * * * *", "job": "sign_audit", "missed": "run_all"}]);
    let replicas: Vec<Scheduler> = (0..4).map(|_| house.scheduler(every_minute.clone())).collect();
    for _ in 0..30 {
        let looks =
            replicas.iter().cloned().map(|replica| tokio::spawn(async move { replica.take_due().await.unwrap() }));
        futures_util::future::join_all(looks).await;
        house.clock.advance(MINUTE);
    }
    let queue: Queue<Tick> = Queue::new("schedule", house.store.clone(), house.shared_clock());
    let items = queue.due(Shard::of("schedule/often"), 1_000).await.unwrap();
    let mut ticks: Vec<Timestamp> = items.into_iter().map(|item| item.record.at).collect();
    assert_eq!(ticks.len(), 29);
    ticks.sort();
    ticks.dedup();
    assert_eq!(ticks.len(), 29, "each of them once");
}

#[tokio::test]
async fn what_was_missed_is_left_out_or_made_up_for_as_the_schedule_says() {
    for (missed, wanted) in [
        ("skip", vec![]),
        ("run_once", vec!["2026-11-24T01:30:00Z"]),
        ("run_all", vec!["2026-11-22T01:30:00Z", "2026-11-23T01:30:00Z", "2026-11-24T01:30:00Z"]),
    ] {
        let house = House::at("2026-11-21T12:00:00Z");
        house.scheduler(nightly(missed)).take_due().await.unwrap();
        house.clock.advance(Duration::from_secs(3 * 86_400));
        // Another process, three days later.
        let scheduler = house.scheduler(nightly(missed));
        scheduler.take_due().await.unwrap();
        assert_eq!(house.carry_out(&scheduler).await, wanted, "{missed}");
        scheduler.take_due().await.unwrap();
        assert!(house.carry_out(&scheduler).await.is_empty(), "{missed}: once");
        // Afterwards it goes on as before.
        let next = house.pass(&scheduler, MINUTE, "2026-11-25T12:00:00Z").await;
        assert_eq!(next, ["2026-11-25T01:30:00Z"], "{missed}");
    }
}

#[tokio::test]
async fn after_a_long_outage_only_the_newest_ticks_are_made_up_for() {
    let house = House::at("2026-11-21T12:00:30Z");
    let often = json!([{"id": "often", "cron": "*/5 * * * *", "playbook": "PB-X", "missed": "run_all"}]);
    house.scheduler(often.clone()).take_due().await.unwrap();
    house.clock.advance(Duration::from_secs(90 * 86_400));
    let scheduler = house.scheduler(often);
    scheduler.take_due().await.unwrap();
    let ticks = house.carry_out(&scheduler).await;
    assert_eq!((ticks.len(), ticks[23].as_str()), (24, "2027-02-19T12:00:00Z"));
}

#[tokio::test]
async fn a_restart_at_a_tick_neither_loses_nor_repeats_it_and_a_new_timetable_begins_now() {
    let house = House::at("2026-11-21T01:29:30Z");
    house.scheduler(nightly("skip")).take_due().await.unwrap();
    house.clock.advance(MINUTE);
    // Taken, and the process ends before it is carried out.
    house.scheduler(nightly("skip")).take_due().await.unwrap();
    let scheduler = house.scheduler(nightly("skip"));
    scheduler.take_due().await.unwrap();
    assert_eq!(house.carry_out(&scheduler).await, ["2026-11-21T01:30:00Z"]);
    let mut moved = nightly("run_all");
    moved[0]["cron"] = json!("0 1 * * *");
    let scheduler = house.scheduler(moved);
    scheduler.take_due().await.unwrap();
    assert!(house.carry_out(&scheduler).await.is_empty(), "what lies back does not count");
    house.clock.advance(Duration::from_secs(86_400));
    scheduler.take_due().await.unwrap();
    assert_eq!(house.carry_out(&scheduler).await, ["2026-11-22T00:00:00Z"]);
}

fn timetable(cron: &str) -> serde_json::Value {
    json!([{"id": "often", "cron": cron, "zone": "Europe/Berlin", "playbook": "PB-X", "missed": "run_all"}])
}

/// A change of the configuration comes one replica after the other; here it takes a day, over a change of the clock.
#[tokio::test]
async fn while_two_timetables_stand_for_a_schedule_each_tick_of_either_happens_once() {
    let house = House::at("2026-10-24T12:00:30Z");
    let texts = ["*/4 * * * *", "*/6 1-4 * * *"];
    let [old, new] = texts.map(|cron| house.scheduler(timetable(cron)));
    let mut ticks = Vec::new();
    old.take_due().await.unwrap();
    new.take_due().await.unwrap();
    for minute in 0..24 * 60 {
        house.clock.advance(MINUTE);
        // In turns, now and then one alone or late.
        let (first, second) = if minute % 2 == 0 { (&old, &new) } else { (&new, &old) };
        first.take_due().await.unwrap();
        if minute % 7 != 0 {
            second.take_due().await.unwrap();
        }
        ticks.extend(house.carry_out(&old).await);
    }
    old.take_due().await.unwrap();
    new.take_due().await.unwrap();
    ticks.extend(house.carry_out(&old).await);
    ticks.sort();
    let mut wanted = Vec::new();
    for cron in texts {
        let zone = Timetable::zone("Europe/Berlin").unwrap();
        let table = Timetable::cron(cron, zone).unwrap();
        let due = std::iter::successors(table.next("2026-10-24T12:00:30Z".parse().unwrap()), |at| table.next(*at));
        wanted.extend(due.take_while(|at| *at <= house.clock.now()).map(|at| at.to_string()));
    }
    wanted.sort();
    let all = wanted.len();
    wanted.dedup();
    assert!(wanted.len() > 380 && wanted.len() < all, "some are ticks of both");
    assert_eq!(ticks, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_begin_at_once_with_different_timetables_all_begin() {
    for _ in 0..20 {
        let house = House::at("2026-11-21T00:00:59Z");
        let looks = ["*/2 * * * *", "1-59/2 * * * *", "1 * * * *", "2 * * * *"].map(|cron| {
            let replica = house.scheduler(timetable(cron));
            tokio::spawn(async move { replica.take_due().await.map(|_| replica) })
        });
        let mut replicas = Vec::new();
        for look in looks {
            replicas.push(look.await.unwrap().unwrap());
        }
        house.clock.advance(MINUTE * 2);
        let looks =
            replicas.iter().cloned().map(|replica| tokio::spawn(async move { replica.take_due().await.unwrap() }));
        futures_util::future::join_all(looks).await;
        let mut ticks = house.carry_out(&replicas[0]).await;
        ticks.sort();
        assert_eq!(ticks, ["2026-11-21T00:01:00Z", "2026-11-21T00:02:00Z"]);
    }
}

#[tokio::test]
async fn a_text_that_comes_back_after_weeks_makes_up_for_nothing() {
    let house = House::at("2026-11-01T12:00:30Z");
    let old = house.scheduler(timetable("*/4 * * * *"));
    old.take_due().await.unwrap();
    house.pass(&old, MINUTE, "2026-11-01T13:00:00Z").await;
    let new = house.scheduler(timetable("0 3 * * *"));
    new.take_due().await.unwrap();
    let ticks = house.pass(&new, MINUTE, "2026-11-21T12:00:00Z").await;
    assert_eq!(ticks.len(), 20, "the new one's alone");
    old.take_due().await.unwrap();
    assert_eq!(house.carry_out(&old).await, [""; 0]);
    let ticks = house.pass(&old, MINUTE, "2026-11-21T12:10:00Z").await;
    assert_eq!(ticks, ["2026-11-21T12:04:00Z", "2026-11-21T12:08:00Z"]);
}

#[tokio::test]
async fn a_schedule_whose_record_can_not_be_read_holds_up_no_other() {
    for record in ["nonsense", r#"{"v": 9999, "d": {}}"#] {
        let house = House::at("2026-11-21T12:09:30Z");
        let two = json!([
            {"id": "a", "cron": "*/5 * * * *", "playbook": "PB-X"}, {"id": "b", "cron": "*/5 * * * *", "playbook": "PB-X"},
        ]);
        let scheduler = house.scheduler(two);
        scheduler.take_due().await.unwrap();
        let written = Write::Put(Key::of(["schedule", "a"]), record.as_bytes().to_vec());
        house.store.commit(Batch { conditions: Vec::new(), writes: vec![written] }).await.unwrap();
        house.clock.advance(MINUTE);
        scheduler.take_due().await.unwrap();
        assert_eq!(house.carry_out(&scheduler).await, ["2026-11-21T12:10:00Z"]);
        assert_eq!(scheduler.list().await.unwrap().len(), 2);
    }
}

/// As the release before wrote it.
#[tokio::test]
async fn a_schedule_goes_on_from_a_record_of_before() {
    let house = House::at("2026-11-21T12:09:30Z");
    let record = json!({"v": 1, "d": {
        "until": "2026-11-21T12:00:00Z", "timetable": "*/4 * * * * Europe/Berlin", "last": "2026-11-21T12:00:00Z",
    }});
    let written = Write::Put(Key::of(["schedule", "often"]), record.to_string().into_bytes());
    house.store.commit(Batch { conditions: Vec::new(), writes: vec![written] }).await.unwrap();
    let scheduler = house.scheduler(timetable("*/4 * * * *"));
    assert_eq!(scheduler.list().await.unwrap()[0].last, Some("2026-11-21T12:00:00Z".parse().unwrap()));
    scheduler.take_due().await.unwrap();
    let mut ticks = house.carry_out(&scheduler).await;
    ticks.sort();
    assert_eq!(ticks, ["2026-11-21T12:04:00Z", "2026-11-21T12:08:00Z"]);
}

#[tokio::test]
async fn what_can_not_be_done_is_told_to_people_and_tried_at_the_next_tick() {
    let house = House::at("2026-11-21T00:00:30Z");
    let schedules = json!([
        {"id": "cleanup", "cron": "0 * * * *", "playbook": "PB-X"},
        {"id": "sign", "cron": "0 * * * *", "job": "sign_audit"},
    ]);
    let scheduler = house.scheduler(schedules);
    scheduler.take_due().await.unwrap();
    *house.engine.refuse.lock().unwrap() = Some("it ran 3 min ago, cooldown 10 min".to_owned());
    house.pass(&scheduler, MINUTE, "2026-11-21T01:30:00Z").await;
    let told = house.told().await;
    assert_eq!(told, ["The schedule cleanup could not propose PB-X: it ran 3 min ago, cooldown 10 min."]);
    assert_eq!(*house.jobs_done.lock().unwrap(), 1);
    *house.engine.refuse.lock().unwrap() = None;
    house.pass(&scheduler, MINUTE, "2026-11-21T02:30:00Z").await;
    let told = house.told().await;
    assert_eq!(house.engine.requests.lock().unwrap().len(), 1);
    assert!(told.contains(&"The schedule sign could not do sign_audit: the disk is full.".to_owned()), "{told:?}");
}

#[tokio::test]
async fn the_loop_takes_ticks_by_itself_and_lists_what_comes_next() {
    let house = House::at("2026-03-28T12:00:00Z");
    let scheduler = house.scheduler(nightly("skip"));
    let leases = Leases::take_all(&house.store, &house.shared_clock(), "test").await.unwrap();
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(scheduler.clone().run(leases, stop));
    for _ in 0..20_000 {
        if !house.engine.requests.lock().unwrap().is_empty() {
            break;
        }
        house.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
        if house.clock.now() > "2026-03-30T00:00:00Z".parse().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(house.engine.requests.lock().unwrap().len(), 1);
    stopper.stop();
    running.await.unwrap();
    let listed = scheduler.list().await.unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].what.as_str()), ("nightly", "PB-Disk-Cleanup"));
    assert_eq!(listed[0].last, Some("2026-03-29T01:00:00Z".parse().unwrap()));
    assert_eq!(listed[0].next_local.len(), 3);
    assert!(listed[0].next_local[0].ends_with("02:30 +02:00"), "{:?}", listed[0].next_local);
}

#[test]
fn mistakes_in_schedules_are_said_with_their_place() {
    let text = "
schedules:
  - id: one
    cron: '0 0 30 2 *'
    playbook: PB-Disk-Cleanup
  - id: one
    cron: '0 2 * * * *'
    zone: Europe/Berlim
    playbook: PB-Disk-Cleanup
    job: sign_audit
  - id: three
    cron: '@daily'
    job: sign_audits
  - id: four
    cron: '61 * * * *'
";
    let none = |_: &str| None;
    let wrong = config::from_bytes("mayday.yaml", text.as_bytes(), Path::new("."), &none).unwrap_err();
    let said: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    for part in [
        "mayday.yaml:4:",
        "never due",
        "mayday.yaml:6:",
        "mayday.yaml:8:",
        "Europe/Berlim",
        "mayday.yaml:10:",
        "did you mean `sign_audit`",
        "mayday.yaml:14:",
        "mayday.yaml:15:",
    ] {
        assert!(said.iter().any(|line| line.contains(part)), "{part} in\n{}", said.join("\n"));
    }
}

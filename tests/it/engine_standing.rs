//! Standing policies: nobody is asked for what people allowed in advance, never more often than they allowed it, and people are
//! asked for everything else.

use std::sync::Arc;
use std::time::Duration;

use mayday::access::right::Limits;
use mayday::access::{Actor, Audit, PersonId, Right, Risk, Role, StandingPolicy};
use mayday::core::{BoxFuture, RunId};
use mayday::playbook::run::Event;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, Proposed, RunState, RunView, Runs as _, TaskState};
use mayday::store::{self, Batch, Entry, Key, Range, SharedStore, Store};
use mayday::work::Leases;
use serde_json::{Value, json};

use super::engine_world::{Act, World, notices, person};

const RESTART: &str = "
playbook_id: PB-Restart
name: restart
tasks:
  - {id: look, type: Metric_Query, parameters: {expr: up}, output_variable: seen}
  - {id: restart, name: Restart it, type: Service_Restart, depends_on: [look], parameters: {service: shop}}
";

fn policy(per_day: u32) -> StandingPolicy {
    StandingPolicy {
        id: "restart-shop".to_owned(),
        limits: Limits {
            max_risk: Risk::Disruptive,
            playbooks: vec!["PB-Restart".to_owned()],
            services: vec!["shop".to_owned()],
            per_day,
        },
    }
}

fn world(text: &str, policies: &[StandingPolicy]) -> World {
    let mut world = World::of(&[text]);
    world.standing = policies.to_vec();
    world
}

async fn begin(world: &World, engine: &Engine, key: &str) -> RunId {
    match engine.propose(world.request("PB-Restart", key)).await.unwrap() {
        Proposed::New(run) | Proposed::Already(run) => run,
    }
}

/// Until it has ended, or asks.
async fn settled(world: &World, engine: &Engine, run: RunId) -> RunView {
    world.until(engine, run, "ended or asked", |view| view.state == RunState::Ended || view.approval.is_some()).await
}

async fn words(engine: &Engine, run: RunId) -> Vec<&'static str> {
    engine.journal(run).await.unwrap().iter().map(|entry| entry.event.word()).collect()
}

async fn times(engine: &Engine, run: RunId, word: &str) -> usize {
    words(engine, run).await.iter().filter(|event| **event == word).count()
}

/// The audit's words about runs, with the right each names.
async fn audited(world: &World) -> Vec<(String, Option<Right>)> {
    let page = Audit::new(world.store.clone(), world.clock()).list(None, 200).await.unwrap();
    page.records.into_iter().map(|entry| (entry.action, entry.right)).collect()
}

#[tokio::test]
async fn what_a_policy_covers_is_done_without_asking_and_names_its_right() {
    let world = world(RESTART, &[policy(3)]);
    let engine = world.engine(Faults::none()).await;
    let run = begin(&world, &engine, "one").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(world.target().effects["restart"], 1);
    assert_eq!((view.allowed_by, view.approved_by.len()), (vec!["restart-shop".to_owned()], 0));
    let words = words(&engine, run).await;
    assert!(words.contains(&"allowed") && !words.contains(&"asked"), "{words:?}");
    let told: Vec<String> = notices(&world).await.into_iter().map(|notice| notice.says).collect();
    assert_eq!(
        told,
        ["Restart it, allowed by the standing policy restart-shop (1 of 3 changes in 24 hours)."],
        "nobody was asked, so people are told"
    );
    let right = Right::StandingPolicy { id: "restart-shop".to_owned(), limits: policy(3).limits };
    let audited = audited(&world).await;
    for action in ["allow", "perform"] {
        assert!(audited.contains(&(action.to_owned(), Some(right.clone()))), "{action}: {audited:?}");
    }
    let decided = world.approve(&engine, run, "ana").await;
    assert!(matches!(decided, Decided::Nothing(_)), "{decided:?}");
}

#[tokio::test]
async fn when_a_policy_is_used_up_people_are_asked_until_a_day_has_passed() {
    let world = world(RESTART, &[policy(2)]);
    let engine = world.engine(Faults::none()).await;
    for key in ["one", "two"] {
        let run = begin(&world, &engine, key).await;
        assert!(world.until_ended(&engine, run).await.approved_by.is_empty());
    }
    let third = begin(&world, &engine, "three").await;
    let view = settled(&world, &engine, third).await;
    assert_eq!((view.state, world.target().effects["restart"]), (RunState::Proposed, 2), "{view:#?}");
    world.approve(&engine, third, "ana").await;
    assert!(world.until_ended(&engine, third).await.allowed_by.is_empty());
    world.clock.advance(Duration::from_secs(24 * 3600));
    let fourth = begin(&world, &engine, "four").await;
    assert_eq!(settled(&world, &engine, fourth).await.allowed_by, ["restart-shop"]);
}

#[tokio::test]
async fn people_are_asked_for_everything_where_a_policy_covers_only_some_of_it() {
    let also = |task: &str| format!("{RESTART}  - {task}\n");
    let other = "{id: other, type: Service_Restart, parameters: {service: bank}}";
    let command = "{id: other, type: Run_Command, risk: reversible, parameters: {program: p}}";
    let clean = "{id: other, type: Disk_Cleanup, parameters: {service: shop}}";
    let own = RESTART.replace("parameters: {service: shop}}", "parameters: {service: shop}, approval: {count: 1}}");
    let undone = RESTART.replace("parameters: {service: shop}}", "parameters: {service: shop}, rollback: back}")
        + "  - {id: back, type: Disk_Cleanup, parameters: {service: shop}}\n";
    let elsewhere = RESTART.replace("parameters: {service: shop}}", "parameters: {service: shop}, rollback: back}")
        + "  - {id: back, type: Service_Restart, parameters: {service: bank}}\n";
    let program = "{id: other, type: Run_Command, parameters: {program: p}}";
    let delete = "{id: other, type: API_Call, action: 'DELETE shop:/things/7'}";
    let cases = [
        ("a program whose risk nobody says", also(program)),
        ("what deletes", also(delete)),
        ("an undo of a service that it does not name", elsewhere),
        ("a service that it does not name", also(other)),
        ("a change of no service", also(command)),
        ("a change that can't be taken back", also(clean)),
        ("a task that says who approves it", own),
        ("an undo that can't be taken back", undone),
        ("a playbook that it does not name", RESTART.replace("PB-Restart", "PB-Other")),
    ];
    for (what, text) in cases {
        let world = world(&text, &[policy(100)]);
        let engine = world.engine(Faults::none()).await;
        let playbook = if text.contains("PB-Other") { "PB-Other" } else { "PB-Restart" };
        let run = world.propose(&engine, playbook).await;
        let view = settled(&world, &engine, run).await;
        let asked = view.approval.unwrap_or_else(|| panic!("{what}: not asked"));
        assert_eq!(asked.frontier.len(), 1 + usize::from(text.contains("id: other")), "{what}");
        assert!(!world.target().effects.contains_key("restart"), "{what}");
        assert_eq!(world.store.scan(&Range::under(&Key::of(["standing"]), 10)).await.unwrap().len(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_program_whose_risk_its_playbook_says_is_covered_where_any_service_is() {
    let text = RESTART.to_owned() + "  - {id: other, type: Run_Command, risk: reversible, parameters: {program: p}}\n";
    let mut any = policy(2);
    any.limits.services = vec!["any".to_owned()];
    let world = world(&text, &[any]);
    let engine = world.engine(Faults::none()).await;
    let run = begin(&world, &engine, "one").await;
    world.until_ended(&engine, run).await;
    let effects = world.target().effects.clone();
    assert_eq!((effects["restart"], effects["other"]), (1, 1));
}

#[tokio::test]
async fn what_a_person_runs_is_approved_as_before() {
    let world = world(RESTART, &[policy(2)]);
    let engine = world.engine(Faults::none()).await;
    let mut request = world.request("PB-Restart", "one");
    request.by = Actor::Person(PersonId("web:rita".to_owned()));
    let Proposed::New(run) = engine.propose(request).await.unwrap() else { panic!() };
    assert!(settled(&world, &engine, run).await.approval.is_some());
}

#[tokio::test]
async fn what_a_person_starts_again_is_approved_as_what_they_run() {
    let text = RESTART.replace("{service: shop}", "{service: shop}, on_failure: continue")
        + "  - {id: hold, type: Wait, parameters: {for: 10m}}\n";
    let world = world(&text, &[policy(3)]);
    world.target().script.insert("restart".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = begin(&world, &engine, "one").await;
    world.until(&engine, run, "failed", |view| World::states(view)["restart"] == TaskState::Failed).await;
    engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
    assert!(settled(&world, &engine, run).await.approval.is_some());
    assert_eq!(times(&engine, run, "allowed").await, 1);
    // Also what comes only after what they started again, as the items of a list do.
    for restart in ["", ", for_each: [1, 2]"] {
        let text = RESTART
            .replace("output_variable: seen", "output_variable: seen, on_failure: continue")
            .replace("depends_on: [look],", "depends_on: [hold],")
            .replace("{service: shop}", &format!("{{service: shop}}{restart}"))
            + "  - {id: hold, type: Wait, depends_on: [look], parameters: {for: 10m}}\n";
        let mut world = self::world(&text, &[policy(3)]);
        world.label = restart.to_owned();
        world.target().script.insert("look".to_owned(), [Act::Permanent].into());
        let engine = world.engine(Faults::none()).await;
        let run = begin(&world, &engine, "one").await;
        world.until(&engine, run, "failed", |view| World::states(view)["look"] == TaskState::Failed).await;
        let decided = engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
        assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
        assert!(settled(&world, &engine, run).await.approval.is_some());
        assert_eq!(times(&engine, run, "allowed").await, 0);
    }
}

#[tokio::test]
async fn a_part_of_what_a_person_started_again_is_for_people_too() {
    let parent = "
playbook_id: PB-Parent
name: parent
tasks:
  - {id: look, type: Metric_Query, parameters: {expr: up}, output_variable: seen, on_failure: continue}
  - {id: hold, type: Wait, depends_on: [look], parameters: {for: 10m}}
  - {id: part, type: Sub_Playbook, depends_on: [hold], parameters: {playbook: PB-Restart}}
";
    for again in [false, true] {
        let mut world = World::of(&[parent, RESTART]);
        world.standing = vec![policy(3)];
        world.target().script.insert("look".to_owned(), [Act::Permanent].into());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Parent").await;
        world.until(&engine, run, "failed", |view| World::states(view)["look"] == TaskState::Failed).await;
        if again {
            engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
        }
        world.until(&engine, run, "at its part", |view| World::states(view)["part"] == TaskState::Waiting).await;
        let part = settled(&world, &engine, RunId::new(2)).await;
        assert_eq!((part.approval.is_some(), part.allowed_by.is_empty()), (again, again), "{part:#?}");
    }
}

#[tokio::test]
async fn what_moved_since_it_was_allowed_is_for_people_and_uses_up_no_more() {
    let at = record_of(RESTART, "allowed", |_| {}).await;
    let world = world(RESTART, &[policy(3)]);
    let engine = world.engine(Faults { crash_after: Some(at), ..Faults::none() }).await;
    let run = begin(&world, &engine, "one").await;
    dead(&engine).await;
    world.target().objects.insert("restart".to_owned(), "pid 2".to_owned());
    let engine = world.engine(Faults::none()).await;
    engine.resume().await.unwrap();
    let asked = settled(&world, &engine, run).await.approval.unwrap();
    assert!(asked.difference.iter().any(|line| line.contains("pid 2")), "{:?}", asked.difference);
    assert_eq!(times(&engine, run, "allowed").await, 1);
}

#[tokio::test]
async fn a_second_policy_covers_what_the_first_has_no_more_left_for() {
    let mut wide = policy(5);
    wide.id = "wide".to_owned();
    wide.limits.services = vec!["any".to_owned()];
    let world = world(RESTART, &[policy(1), wide]);
    let engine = world.engine(Faults::none()).await;
    let mut by = Vec::new();
    for key in ["one", "two"] {
        let run = begin(&world, &engine, key).await;
        by.extend(world.until_ended(&engine, run).await.allowed_by);
    }
    assert_eq!(by, ["restart-shop", "wide"]);
}

/// The record of a run's journal that is the first with this word.
async fn record_of(text: &str, word: &str, script: impl Fn(&World)) -> u64 {
    let world = world(text, &[policy(1)]);
    script(&world);
    let engine = world.engine(Faults::none()).await;
    let run = begin(&world, &engine, "one").await;
    world.until_ended(&engine, run).await;
    let words = words(&engine, run).await;
    words.iter().position(|event| *event == word).unwrap_or_else(|| panic!("{words:?}")) as u64
}

/// Waits until the process has died on purpose.
async fn dead(engine: &Engine) {
    while !engine.has_crashed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_policy_that_is_taken_away_or_narrowed_before_the_effect_gives_no_right_any_more() {
    let at = record_of(RESTART, "allowed", |_| {}).await;
    let mut narrowed = policy(1);
    narrowed.limits.services = vec!["bank".to_owned()];
    for (now, why) in [(vec![], "is not there any more"), (vec![narrowed], "does not name the service shop")] {
        let mut world = world(RESTART, &[policy(1)]);
        let engine = world.engine(Faults { crash_after: Some(at), ..Faults::none() }).await;
        let run = begin(&world, &engine, "one").await;
        dead(&engine).await;
        world.standing = now;
        let engine = world.engine(Faults::none()).await;
        engine.resume().await.unwrap();
        let view = settled(&world, &engine, run).await;
        let asked = view.approval.unwrap_or_else(|| panic!("{why}: not asked"));
        assert!(asked.difference.iter().any(|line| line.contains(why)), "{:?}", asked.difference);
        assert!(!world.target().effects.contains_key("restart"));
        world.approve(&engine, run, "ana").await;
        let view = world.until_ended(&engine, run).await;
        assert_eq!((World::states(&view)["restart"], view.approved_by.len()), (TaskState::Succeeded, 1));
    }
}

#[tokio::test]
async fn what_a_policy_allowed_may_be_undone_when_it_is_gone() {
    let text = "
playbook_id: PB-Restart
name: restart
tasks:
  - {id: shift, type: Traffic_Shift, parameters: {service: shop, to: b, percent: 50}, rollback: inverse}
  - {id: check, type: Metric_Query, depends_on: [shift], parameters: {expr: up}}
";
    let fails = |world: &World| {
        world.target().script.insert("check".to_owned(), vec![Act::Permanent; 50].into());
    };
    let at = record_of(text, "unwinding", fails).await;
    let mut world = world(text, &[policy(1)]);
    fails(&world);
    let engine = world.engine(Faults { crash_after: Some(at), ..Faults::none() }).await;
    let run = begin(&world, &engine, "one").await;
    dead(&engine).await;
    world.standing = Vec::new();
    let engine = world.engine(Faults::none()).await;
    engine.resume().await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(
        (view.outcome, World::states(&view)["shift"]),
        (Some(RunOutcome::Failed), TaskState::RolledBack),
        "{view:#?}"
    );
}

#[tokio::test]
async fn an_undo_that_is_not_the_one_that_was_allowed_is_for_people() {
    let text = "
playbook_id: PB-Restart
name: restart
tasks:
  - {id: change, type: Service_Restart, parameters: {service: shop}, rollback: back}
  - {id: back, type: Service_Restart, parameters: {service: shop}}
  - {id: check, type: Metric_Query, depends_on: [change], parameters: {expr: up}}
";
    for moves in [false, true] {
        let world = world(text, &[policy(10)]);
        world.target().script.insert("check".to_owned(), vec![Act::Permanent; 50].into());
        world.target().script.insert("change".to_owned(), vec![Act::Later].into());
        world.target().objects.insert("back".to_owned(), "pid 1".to_owned());
        let engine = world.engine(Faults::none()).await;
        let run = begin(&world, &engine, "one").await;
        world.until(&engine, run, "begun", |view| view.allowed_by.len() == 1).await;
        if moves {
            world.target().objects.insert("back".to_owned(), "pid 2".to_owned());
        }
        let view = settled(&world, &engine, run).await;
        assert_eq!(view.approval.is_some(), moves, "{view:#?}");
        if moves {
            world.approve(&engine, run, "ana").await;
        }
        let view = world.until_ended(&engine, run).await;
        assert_eq!(World::states(&view)["change"], TaskState::RolledBack, "{view:#?}");
    }
}

#[tokio::test]
async fn a_crash_at_any_record_neither_counts_a_change_twice_nor_forgets_it() {
    let length = {
        let world = world(RESTART, &[policy(1)]);
        let engine = world.engine(Faults::none()).await;
        let run = begin(&world, &engine, "one").await;
        world.until_ended(&engine, run).await.journal
    };
    for record in 1..length {
        for faults in [
            Faults { crash_before: Some(record), ..Faults::none() },
            Faults { crash_after: Some(record), ..Faults::none() },
        ] {
            let world = world(RESTART, &[policy(1)]);
            let engine = world.engine(faults.clone()).await;
            let run = begin(&world, &engine, "one").await;
            dead(&engine).await;
            let engine = world.engine(Faults::none()).await;
            engine.resume().await.unwrap();
            let view = settled(&world, &engine, run).await;
            assert_eq!((view.state, view.allowed_by.len()), (RunState::Ended, 1), "{faults:?}: {view:#?}");
            assert_eq!(world.target().effects["restart"], 1, "{faults:?}");
            assert_eq!(times(&engine, run, "allowed").await, 1, "{faults:?}");
            let next = begin(&world, &engine, "two").await;
            assert!(settled(&world, &engine, next).await.approval.is_some(), "{faults:?}: it was counted");
        }
    }
}

/// A store that takes its time to tell what a policy has allowed: whoever else asks reads the same.
struct Slow(SharedStore);

impl Store for Slow {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, store::Error>> {
        Box::pin(async move {
            let found = self.0.read(key).await;
            let turns = if key.is_under(&Key::of(["standing"])) { 500 } else { 0 };
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            found
        })
    }

    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, store::Error>> {
        self.0.scan(range)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<store::Revision, store::Error>> {
        self.0.commit(batch)
    }

    fn watch(&self, prefix: &Key) -> store::Watch {
        self.0.watch(prefix)
    }
}

#[tokio::test]
async fn of_many_runs_at_the_same_moment_on_two_replicas_as_many_are_allowed_as_are_left() {
    let mut world = world(RESTART, &[policy(3)]);
    world.store = Arc::new(Slow(world.store.clone()));
    let mut engines = Vec::new();
    for _ in 0..2 {
        let leases = Leases::share(&world.store, &world.clock()).await.unwrap();
        let (stopper, stop) = mayday::core::stop::Stopper::new();
        let (of_service, stop_service) = mayday::core::stop::Stopper::new();
        let engine = world.engine_with(leases.clone(), Faults::none());
        tokio::spawn(leases.keep(stop));
        tokio::spawn(mayday::playbook::Service::new(engine.clone()).run(stop_service));
        engines.push((engine, stopper, of_service));
    }
    let mut runs = Vec::new();
    for number in 0..12 {
        runs.push(begin(&world, &engines[number % 2].0, &number.to_string()).await);
    }
    let engine = &engines[0].0;
    let (mut allowed, mut asked) = (0, 0);
    for run in runs {
        let view = settled(&world, engine, run).await;
        allowed += view.allowed_by.len();
        asked += usize::from(view.approval.is_some());
    }
    assert_eq!((allowed, asked, world.target().effects["restart"]), (3, 9, 3));
}

#[tokio::test]
async fn items_of_a_list_count_one_by_one_and_together_or_not_at_all() {
    let text = "
playbook_id: PB-Restart
name: restart
tasks:
  - {id: restart, type: Service_Restart, for_each: [shop, shop2, shop3], parameters: {service: '{{ item }}'}}
";
    let mut three = policy(5);
    three.limits.services = ["shop", "shop2", "shop3"].map(str::to_owned).to_vec();
    let world = world(text, &[three]);
    let engine = world.engine(Faults::none()).await;
    let first = begin(&world, &engine, "one").await;
    world.until_ended(&engine, first).await;
    let events = engine.journal(first).await.unwrap();
    let used: Vec<u32> = events
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Allowed { used, .. } => Some(*used),
            _ => None,
        })
        .collect();
    assert_eq!(used, [3]);
    // Two are left, and three are wanted.
    let second = begin(&world, &engine, "two").await;
    assert_eq!(settled(&world, &engine, second).await.approval.unwrap().frontier.len(), 3);
}

#[tokio::test]
async fn a_plan_says_that_a_policy_covers_it_and_how_often() {
    let world = world(RESTART, &[policy(2)]);
    let engine = world.engine(Faults::none()).await;
    let preview = async |engine: &Engine| -> Value {
        let found = engine.preview("PB-Restart", &std::collections::BTreeMap::new(), None).await.unwrap();
        json!(found.into_iter().find(|task| task.task == "restart").unwrap().policy)
    };
    assert_eq!(preview(&engine).await, json!(["restart-shop", 2]));
    for key in ["one", "two"] {
        let run = begin(&world, &engine, key).await;
        world.until_ended(&engine, run).await;
    }
    assert_eq!(preview(&engine).await, Value::Null, "none are left, so people are asked");
}

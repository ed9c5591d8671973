//! The task that undoes a change: what an approval of the change covers of it, and what happens when it is another by the
//! time it is needed.

use std::time::Duration;

use mayday::access::{Audit, Hashed as _, Right, Role};
use mayday::core::RunId;
use mayday::playbook::engine::{Journaled, Together, Would};
use mayday::playbook::run::{Event, Frontier, Status, TaskPlan, apply};
use mayday::playbook::view::{Decided, Order, RunOutcome, RunView};
use mayday::playbook::{Engine, Faults, NoticeKind, RunState, Runs as _, TaskState};
use mayday::store::{Batch, Key};

use super::engine_world::{Act, Moving, World, notices, person};

/// Two changes, each with a task that undoes it, and a reading that fails.
const POOLS: &str = "
playbook_id: PB-Pools
name: two pools
max_duration: 4h
concurrency_key: pools
tasks:
  - {id: first, type: API_Call, action: POST /first, parameters: {size: 16}, rollback: unfirst}
  - {id: unfirst, type: API_Call, action: POST /first, parameters: {undoes: first}, name: Set the first pool back}
  - {id: second, type: API_Call, action: POST /second, depends_on: [first], parameters: {size: 16}, output_variable: second, rollback: unsecond}
  - {id: unsecond, type: API_Call, action: POST /second, parameters: {undoes: second}, name: Set the second pool back}
  - {id: check, type: Metric_Query, depends_on: [second], parameters: {expr: up}}
";

fn world(text: &str, moving: &[(&str, Moving)]) -> World {
    let world = World::of(&[text]);
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    world.target().moving.extend(moving.iter().map(|(undo, moving)| ((*undo).to_owned(), moving.clone())));
    world
}

fn value(change: &str) -> Moving {
    Moving::Value(change.to_owned())
}

fn undo_of(view: &RunView) -> String {
    view.approval.as_ref().unwrap().frontier[0].1.undo.clone().unwrap()
}

fn undone(world: &World) -> Vec<String> {
    world.target().order.iter().filter(|task| task.starts_with("un")).cloned().collect()
}

/// Approves the changes, until the run asks while it takes back what it did.
async fn until_it_asks(world: &World, engine: &Engine, run: RunId) -> RunView {
    let begun = std::time::Instant::now();
    loop {
        let view = engine.get(run).await.unwrap().unwrap();
        match (view.state, view.approval.is_some()) {
            (RunState::RollingBack, true) => return view,
            (RunState::Ended, _) => panic!("it has ended: {view:#?}"),
            (_, true) => drop(world.approve(engine, run, "ana").await),
            (_, false) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never asked: {view:#?}");
        tokio::task::yield_now().await;
    }
}

async fn asked(engine: &Engine, run: RunId) -> Vec<Vec<String>> {
    let journal = engine.journal(run).await.unwrap();
    let tasks = |entry: &Journaled| match &entry.event {
        Event::Asked { ask } => Some(ask.tasks.clone()),
        _ => None,
    };
    journal.iter().filter_map(tasks).collect()
}

#[tokio::test]
async fn an_approval_says_what_the_undo_sets_and_covers_it() {
    let world = world(POOLS, &[]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    let first = world.until_asked(&engine, run).await;
    let undo = undo_of(&first);
    assert_eq!(
        undo,
        "by itself if the run fails or is cancelled: Set the first pool back (the object: state new → new)"
    );
    // The undo moves before the change is made: what was approved is not what would undo it.
    world.target().objects.insert("unfirst".to_owned(), "another pool".to_owned());
    world.approve(&engine, run, "ana").await;
    let moved = |view: &RunView| view.approval.as_ref().is_some_and(|approval| !approval.difference.is_empty());
    let again = world.until(&engine, run, "asked again", moved).await;
    let approval = again.approval.clone().unwrap();
    assert_eq!(approval.difference, ["first: undo: object: the object → another pool"]);
    assert_ne!(approval.plan_hash, first.approval.unwrap().plan_hash);
    assert!(undo_of(&again).contains("(another pool: state old → new)"), "{again:#?}");
    assert!(world.target().order.is_empty());
    // From here on nothing moves, and nobody is asked more than that.
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!((view.outcome, undone(&world)), (Some(RunOutcome::Failed), vec!["unsecond".into(), "unfirst".into()]));
    assert_eq!(asked(&engine, run).await, [["first"], ["first"], ["second"]]);
}

#[tokio::test]
async fn an_undo_that_moved_is_asked_for_and_holds_back_what_comes_after_it() {
    for moving in [value("second"), Moving::Object("second".to_owned())] {
        let object = matches!(moving, Moving::Object(_));
        let world = world(POOLS, &[("unsecond", moving)]);
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Pools").await;
        let view = until_it_asks(&world, &engine, run).await;
        let approval = view.approval.clone().unwrap();
        let difference =
            if object { "object: the object → another object" } else { "state: approved → new, now → newer" };
        assert_eq!(approval.difference, [format!("Set the second pool back: {difference}")]);
        assert_eq!(approval.frontier[0].0, "Set the second pool back");
        assert!(view.why.unwrap().contains("needs an approval for the next step: Set the second pool back"));
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
        assert!(undone(&world).is_empty(), "nothing is undone meanwhile, the first pool neither");
        let told = notices(&world).await;
        let loud = |notice: &&mayday::playbook::Notice| notice.kind == NoticeKind::Escalation;
        assert!(told.iter().filter(loud).any(|notice| notice.says.contains("approve or reject it")), "{told:?}");
        let decided = world.approve(&engine, run, "bo").await;
        assert_eq!(decided, Decided::Done(format!("{run}: the undo is approved and starts now.")));
        let view = world.until_ended(&engine, run).await;
        assert_eq!(
            (view.outcome, undone(&world)),
            (Some(RunOutcome::Failed), vec!["unsecond".into(), "unfirst".into()])
        );
        // Each undo names its own right: the one that was asked for, and the one that came with its change.
        let audit = Audit::new(world.store.clone(), world.clock()).list(None, 50).await.unwrap();
        let by = |task: &str| {
            let record = audit.records.iter().find(|record| record.action == "undo" && record.detail["task"] == task);
            match &record.unwrap().right {
                Some(Right::Persons { votes, .. }) => votes.iter().map(|vote| vote.by.to_string()).collect::<String>(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((by("unsecond").as_str(), by("unfirst").as_str()), ("web:bo", "web:ana"));
    }
}

#[tokio::test]
async fn an_undo_that_nobody_wants_stays_undone_names_what_stays_and_can_be_asked_for_again() {
    let world = world(POOLS, &[("unfirst", value("first"))]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    until_it_asks(&world, &engine, run).await;
    let (ana, viewer) = (person("ana", Role::Approver), person("vera", Role::Viewer));
    let reject = Order::Reject { reason: Some("not at night".to_owned()) };
    assert!(matches!(engine.order(run, reject.clone(), &viewer).await.unwrap(), Decided::Refused(_)));
    assert!(matches!(engine.order(run, reject, &ana).await.unwrap(), Decided::Done(says) if says.contains("stays")));
    let view = world.until_ended(&engine, run).await;
    assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
    let why = view.why.unwrap();
    assert!(why.contains("first could not be undone: ana rejected the undo: not at night"), "{why}");
    assert!(why.ends_with("; undone: second; stays as it is: first"), "{why}");
    assert_eq!(undone(&world), ["unsecond"]);
    // It is asked for again, and its outcome is what the run had come to before it was undone.
    engine.order(run, Order::Retry, &ana).await.unwrap();
    let view = until_it_asks(&world, &engine, run).await;
    assert_eq!(view.approval.unwrap().approved_by, []);
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!((view.outcome, World::states(&view)["first"]), (Some(RunOutcome::Failed), TaskState::RolledBack));
}

#[tokio::test]
async fn a_run_whose_time_is_over_may_ask_and_ends_as_stuck_when_nobody_answers() {
    let world = world(POOLS, &[("unsecond", value("second"))]);
    world.target().script.insert("check".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    loop {
        let view = engine.get(run).await.unwrap().unwrap();
        if World::states(&view)["check"] == TaskState::Running {
            break;
        }
        if view.approval.is_some() {
            world.approve(&engine, run, "ana").await;
        }
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_secs(5 * 3600));
    let view = until_it_asks(&world, &engine, run).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.get(run).await.unwrap().unwrap().state, RunState::RollingBack, "it has half an hour: {view:#?}");
    world.clock.advance(Duration::from_secs(20 * 60));
    let view = world.until_ended(&engine, run).await;
    let why = view.why.clone().unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Stuck));
    assert!(
        why.contains("nobody approved the undo in time") && why.ends_with("stays as it is: first, second"),
        "{why}"
    );
    let loud = |notice: &mayday::playbook::Notice| notice.kind == NoticeKind::Escalation && notice.says.contains(&why);
    assert!(notices(&world).await.iter().any(loud));
    // It has let go of what it held.
    assert!(engine.propose(world.request("PB-Pools", "again")).await.is_ok());
}

#[tokio::test]
async fn a_pause_holds_the_question_and_ends_with_the_runs_time() {
    let world = world(POOLS, &[("unsecond", value("second"))]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    until_it_asks(&world, &engine, run).await;
    let ana = person("ana", Role::Approver);
    engine.order(run, Order::Pause, &ana).await.unwrap();
    world.clock.advance(Duration::from_secs(3600));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // Nobody is late while it is paused; it is asked for anew when it goes on.
    assert!(matches!(world.approve(&engine, run, "ana").await, Decided::Nothing(_)));
    engine.order(run, Order::Resume, &ana).await.unwrap();
    engine.order(run, Order::Pause, &ana).await.unwrap();
    world.clock.advance(Duration::from_secs(4 * 3600));
    let view = world.until_ended(&engine, run).await;
    assert_eq!((view.outcome, view.approval.is_some()), (Some(RunOutcome::Stuck), false), "{view:#?}");
    assert!(view.why.unwrap().contains("paused until its time was over"));
    assert!(undone(&world).is_empty());
}

#[tokio::test]
async fn what_can_not_be_known_before_is_said_and_asked_for_when_it_is_needed() {
    let speaks = POOLS.replace("undoes: second}", "undoes: second, was: '{{ second.value }}'}");
    assert_ne!(speaks, POOLS);
    let cases = [
        (speaks.as_str(), Vec::new(), "second"),
        (POOLS, vec![("unsecond", Moving::Late("second".to_owned()))], "it is not there yet"),
    ];
    for (text, moving, why) in cases {
        let world = world(text, &moving);
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Pools").await;
        world.until_asked(&engine, run).await;
        world.approve(&engine, run, "ana").await;
        let second = |view: &RunView| view.approval.as_ref().is_some_and(|it| it.frontier[0].0 == "second");
        let view = world.until(&engine, run, "asked for the second", second).await;
        let undo = undo_of(&view);
        assert!(undo.contains("Set the second pool back; what it does is worked out when needed"), "{undo}");
        assert!(undo.contains(why), "{undo}");
        let view = until_it_asks(&world, &engine, run).await;
        let approval = view.approval.unwrap();
        assert_eq!(approval.difference, ["Set the second pool back: what it does could only be worked out now"]);
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(
            (view.outcome, undone(&world)),
            (Some(RunOutcome::Failed), vec!["unsecond".into(), "unfirst".into()])
        );
    }
}

#[tokio::test]
async fn a_plan_that_nobody_has_proposed_says_it_too_and_so_does_each_item_of_a_list() {
    let text = "
playbook_id: PB-Pools
name: pools
tasks:
  - {id: each, type: API_Call, action: 'POST /{{ item }}', for_each: {in: [x, y]}, rollback: uneach}
  - {id: uneach, type: API_Call, action: 'POST /{{ item }}', name: Set it back}
  - {id: one, type: API_Call, action: POST /one, output_variable: one, rollback: unone}
  - {id: unone, type: API_Call, action: POST /one, parameters: {was: '{{ one.value }}'}}
";
    let world = world(text, &[]);
    world.target().objects.insert("uneach[1]".to_owned(), "pool y".to_owned());
    let engine = world.engine(Faults::none()).await;
    let previews = engine.preview("PB-Pools", &std::collections::BTreeMap::new(), None).await.unwrap();
    let told = |task: &str| match &previews.iter().find(|preview| preview.task == task).unwrap().would {
        Would::Change(planned) => planned.undo.clone().unwrap(),
        Would::Later(why) => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(told("each[0]").ends_with("Set it back (the object: state new → new)"), "{}", told("each[0]"));
    assert!(told("each[1]").ends_with("Set it back (pool y: state old → new)"), "{}", told("each[1]"));
    assert_eq!(told("uneach"), "once for each item that `each` has changed");
    assert!(told("one").contains("worked out when needed"), "{}", told("one"));
    assert!(told("unone").contains("worked out when needed"), "{}", told("unone"));
    assert!(world.target().order.is_empty());
    // The approval that is asked for covers the undo of each item.
    let run = world.propose(&engine, "PB-Pools").await;
    let view = world.until_asked(&engine, run).await;
    let undo = |name: &str| {
        let frontier = view.approval.as_ref().unwrap().frontier.iter();
        frontier.filter(|(task, _)| task == name).find_map(|(_, plan)| plan.undo.clone()).unwrap()
    };
    assert!(undo("each: y").contains("pool y"), "{view:#?}");
}

#[tokio::test]
async fn who_may_approve_a_change_may_approve_its_undo_when_that_is_asked_for() {
    let text = POOLS.replace(
        "output_variable: second,",
        "output_variable: second, approval: {approvers: [dba], count: 2, expires: 5m},",
    );
    assert_ne!(text, POOLS);
    let world = world(&text, &[("unsecond", value("second"))]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    let begun = std::time::Instant::now();
    let dba = |name: &str| mayday::access::Person { teams: vec!["dba".to_owned()], ..person(name, Role::Approver) };
    let approve = Order::Approve { plan_hash: None, reason: None };
    let view = loop {
        let view = engine.get(run).await.unwrap().unwrap();
        if view.state == RunState::RollingBack && view.approval.is_some() {
            break view;
        }
        for name in ["ana", "bo"] {
            let _ = engine.order(run, approve.clone(), &dba(name)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{view:#?}");
        tokio::task::yield_now().await;
    };
    let approval = view.approval.unwrap();
    assert_eq!((approval.needed, approval.approvers), (2, vec!["dba".to_owned()]));
    assert!(approval.expires <= world.now() + Duration::from_secs(300));
    let refused = engine.order(run, approve.clone(), &person("cy", Role::Approver)).await.unwrap();
    assert!(matches!(refused, Decided::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn an_approval_that_an_earlier_mayday_asked_for_undoes_as_it_did() {
    let world = world(POOLS, &[("unfirst", value("first")), ("unsecond", value("second"))]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    world.until_asked(&engine, run).await;
    engine.stop().await;
    as_before(&world, &engine, run).await;
    // The first change goes on under the approval as it was; the second is planned by this one.
    let engine = world.engine(Faults::none()).await;
    engine.resume().await.unwrap();
    world.approve(&engine, run, "ana").await;
    until_it_asks(&world, &engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!((view.outcome, undone(&world)), (Some(RunOutcome::Failed), vec!["unsecond".into(), "unfirst".into()]));
    assert_eq!(asked(&engine, run).await, [["first"], ["second"], ["unsecond"]], "for the first undo nobody is asked");
}

/// Writes a run that waits for its first approval as an earlier Mayday would have: no plan says how it is undone.
async fn as_before(world: &World, engine: &Engine, run: RunId) {
    let mut events = engine.journal(run).await.unwrap();
    let Event::Proposed { head } = events[0].event.clone() else { panic!("{events:?}") };
    let mut plans: Vec<(String, TaskPlan)> = Vec::new();
    for entry in &mut events {
        match &mut entry.event {
            Event::Planned { task, plan } => {
                plan.rollback = None;
                plans.push((task.clone(), (**plan).clone()));
            }
            Event::Asked { ask } => {
                ask.frontier = Frontier::of(&head, plans.iter().map(|(task, plan)| (task.as_str(), plan)));
                ask.request.plan_hash = ask.frontier.plan_hash();
            }
            _ => {}
        }
    }
    let mut status: Option<Status> = None;
    for entry in &events {
        status = Some(apply(&entry.event, entry.at, status).unwrap());
    }
    let stored =
        world.store.scan(&mayday::store::Range::under(&Key::of(["run-event", &run.key()]), 100)).await.unwrap();
    let mut batch = Batch::new();
    for entry in &stored {
        batch.delete(entry.key.clone());
    }
    let together = Together(events);
    let status = status.unwrap();
    assert_eq!((version(&together), version(&status)), (2, 1), "the Mayday before reads it");
    batch.put(Key::of(["run-event", &run.key(), "0000000000"]), &together).unwrap();
    batch.put(Key::of(["run", &run.key()]), &status).unwrap();
    world.store.commit(batch).await.unwrap();
}

/// The version that a record is written as.
fn version<T: mayday::store::Record>(record: &T) -> u64 {
    let text = mayday::store::record::encode(record).unwrap();
    serde_json::from_slice::<serde_json::Value>(&text).unwrap()["v"].as_u64().unwrap()
}

#[tokio::test]
async fn a_mayday_before_waits_for_this_one_instead_of_reading_a_plan_that_it_would_find_no_approval_for() {
    let world = world(POOLS, &[]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Pools").await;
    world.until_asked(&engine, run).await;
    let written = |key: Key| {
        let store = world.store.clone();
        async move {
            let bytes = store.scan(&mayday::store::Range::under(&key, 100)).await.unwrap();
            let version = |entry: &mayday::store::Entry| {
                serde_json::from_slice::<serde_json::Value>(&entry.value).unwrap()["v"].as_u64().unwrap()
            };
            bytes.iter().map(version).collect::<Vec<_>>()
        }
    };
    let events = written(Key::of(["run-event", &run.key()])).await;
    assert_eq!((events.first(), events.last()), (Some(&2), Some(&3)), "{events:?}");
    let status = world.store.read(&Key::of(["run", &run.key()])).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&status.value).unwrap()["v"], 2);
}

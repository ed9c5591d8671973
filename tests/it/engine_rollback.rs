//! Taking back what was done: in which order, by what right, when it is not done, and what a failed undo leaves.

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, NoticeKind, Proposed, RunState, Runs as _, TaskState};
use serde_json::json;

use super::engine_world::{Act, World, notices, person};

/// Two changes that the action undoes itself, one with a task for it, one that stays; then something that may fail.
const SHIFT: &str = "
playbook_id: PB-Shift
name: shift traffic away
concurrency_key: shift
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: errors}, output_variable: errors}
  - {id: first, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: drain, type: Run_Command, depends_on: [first], parameters: {program: drain}, rollback: refill}
  - {id: refill, type: API_Call, action: POST /refill, parameters: {undoes: drain}, name: Fill the pool again}
  - {id: stays, type: Service_Restart, depends_on: [drain], parameters: {service: a}}
  - {id: last, type: Config_Rollback, depends_on: [stays], parameters: {service: a, to: v1}, rollback: inverse}
  - {id: check, type: Metric_Query, depends_on: [last], parameters: {expr: up}}
";

fn slate(world: &World) -> Vec<String> {
    world.target().slate.iter().cloned().collect()
}

fn undos(world: &World) -> Vec<String> {
    let undo = |task: &&String| task.starts_with("undo:") || *task == "refill";
    world.target().order.iter().filter(undo).cloned().collect()
}

#[tokio::test]
async fn a_failed_task_takes_back_what_was_done_in_reverse_order_under_the_right_it_was_done_by() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    let asked = world.until_asked(&engine, run).await;
    let undo = asked.approval.unwrap().frontier[0].1.undo.clone().unwrap();
    assert!(undo.contains("as it was before"), "the plan says how it is undone: {undo}");
    assert!(!asked.tasks.iter().any(|task| task.id == "refill"), "what only undoes is not shown before");
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert_eq!(undos(&world), ["undo:last", "refill", "undo:first"]);
    assert_eq!(slate(&world), ["stays"]);
    let states = World::states(&view);
    for task in ["first", "drain", "last"] {
        assert_eq!(states[task], TaskState::RolledBack, "{task}");
    }
    assert_eq!((states["stays"], states["refill"]), (TaskState::Succeeded, TaskState::Succeeded));
    let why = view.why.unwrap();
    assert!(why.contains("undone: first, drain, last") && why.contains("stays as it is: stays"), "{why}");
    // Each undo names the approval of the change in the audit.
    let audit = mayday::access::Audit::new(world.store.clone(), world.clock()).list(None, 50).await.unwrap();
    let undone: Vec<_> = audit.records.iter().filter(|record| record.action == "undo").collect();
    assert_eq!(undone.len(), 3);
    assert!(undone.iter().all(|record| record.right.is_some()));
    let told = notices(&world).await;
    assert!(told.iter().any(|notice| notice.says.contains("takes back what it did (last, drain, first)")), "{told:?}");
    // Its lock is free again.
    assert!(engine.propose(world.request("PB-Shift", "again")).await.is_ok());
}

#[tokio::test]
async fn a_cancelled_run_undoes_what_says_how_and_nothing_else() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("check".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    loop {
        let view = engine.get(run).await.unwrap().unwrap();
        if World::states(&view)["check"] == TaskState::Running {
            assert_eq!(view.undoes, ["last", "drain", "first"], "it is said before it is cancelled");
            break;
        }
        if view.approval.is_some() {
            world.approve(&engine, run, "ana").await;
        }
        tokio::task::yield_now().await;
    }
    let ana = person("ana", Role::Approver);
    assert!(matches!(engine.order(run, Order::Cancel, &ana).await.unwrap(), Decided::Done(_)));
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled));
    assert_eq!(slate(&world), ["stays"]);
    assert!(view.why.unwrap().starts_with("cancelled by ana; undone: "));
}

#[tokio::test]
async fn a_rejected_second_plan_takes_the_first_one_back() {
    let world = World::of(&[SHIFT]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "asked again", |view| view.state == RunState::Waiting && view.approval.is_some()).await;
    engine.order(run, Order::Reject { reason: None }, &person("bo", Role::Approver)).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Rejected));
    assert_eq!(undos(&world), ["undo:first"]);
    assert!(slate(&world).is_empty());
}

const VERIFIED: &str = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: latency}, output_variable: latency}
  - id: shift
    type: Traffic_Shift
    depends_on: [read]
    parameters: {service: a, to: b, percent: 0}
    verify: {condition: latency.value < 100, within: 10s, otherwise: rollback}
  - {id: tell, type: Notification, depends_on: [shift], parameters: {message: done}}
";

#[tokio::test]
async fn what_does_not_help_is_undone_and_what_makes_it_worse_is_said_to() {
    // When the run begins and right before the change, then after it.
    for (readings, outcome, undone) in [
        (vec![300, 90], RunOutcome::Fixed, false),
        (vec![300, 280], RunOutcome::NoEffect, true),
        (vec![300, 310], RunOutcome::NoEffect, true),
        (vec![300, 900], RunOutcome::MadeWorse, true),
        (vec![90, 200], RunOutcome::MadeWorse, true),
    ] {
        let world = World::of(&[VERIFIED]);
        world.target().outputs.insert(
            "read".to_owned(),
            readings[..1].iter().chain(&readings).map(|value| json!({"value": value})).collect(),
        );
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(view.outcome, Some(outcome), "{readings:?}: {view:#?}");
        assert_eq!(World::states(&view)["shift"] == TaskState::RolledBack, undone, "{readings:?}");
        let told = view.why.as_deref().unwrap_or_default().matches("undone").count();
        assert_eq!(told, usize::from(undone), "said once: {:?}", view.why);
        assert_eq!(slate(&world).is_empty(), undone, "{readings:?}");
    }
}

#[tokio::test]
async fn a_failed_undo_is_stuck_told_loudly_and_tried_again_when_a_person_says_so() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    world.target().script.insert("refill".to_owned(), [Act::Permanent, Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
    assert!(view.why.unwrap().contains("drain could not be undone"));
    // What was done before the one that can't be undone stays: the order holds.
    assert_eq!(undos(&world), ["undo:last"]);
    let loud = |notice: &&mayday::playbook::Notice| notice.kind == NoticeKind::Escalation;
    assert!(notices(&world).await.iter().filter(loud).any(|notice| notice.says.contains("is stuck")));
    let ana = person("ana", Role::Approver);
    for order in [Order::Cancel, Order::Resume, Order::Approve { plan_hash: None, reason: None }] {
        assert!(matches!(engine.order(run, order, &ana).await.unwrap(), Decided::Nothing(_)));
    }
    assert!(matches!(engine.order(run, Order::Retry, &person("cy", Role::Viewer)).await.unwrap(), Decided::Refused(_)));
    // The first try again fails too, in another process the second helps.
    assert!(matches!(engine.order(run, Order::Retry, &ana).await.unwrap(), Decided::Done(_)));
    assert_eq!(world.until_ended(&engine, run).await.outcome, Some(RunOutcome::Stuck));
    let next = world.engine(Faults::none()).await;
    assert_eq!(next.resume().await.unwrap(), 0);
    assert!(matches!(next.order(run, Order::Retry, &ana).await.unwrap(), Decided::Done(_)));
    let view = world.until_ended(&next, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert_eq!(undos(&world), ["undo:last", "refill", "undo:first"]);
    assert!(matches!(next.order(run, Order::Retry, &ana).await.unwrap(), Decided::Nothing(_)));
}

#[tokio::test]
async fn a_stuck_run_is_not_opened_while_another_works_on_the_same() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    world.target().script.insert("undo:last".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    assert_eq!(world.finish(&engine, run).await.unwrap().outcome, Some(RunOutcome::Stuck));
    engine.propose(world.request("PB-Shift", "other")).await.unwrap();
    let decided = engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
    assert!(matches!(&decided, Decided::Nothing(says) if says.contains("RUN-2 works on the same")), "{decided:?}");
}

#[tokio::test]
async fn nothing_is_undone_while_it_is_not_known_what_happened_and_a_doubtful_undo_asks() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("drain".to_owned(), [Act::DoUnsaid].into());
    world.target().script.insert("undo:first".to_owned(), [Act::DoUnsaid].into());
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    let ana = person("ana", Role::Approver);
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "asked again", |view| view.approval.is_some()).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "in doubt", |view| World::states(view)["drain"] == TaskState::InDoubt).await;
    engine.order(run, Order::Cancel, &ana).await.unwrap();
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(undos(&world).is_empty());
    let done = Order::Answer { task: "drain".to_owned(), answer: "done".to_owned() };
    engine.order(run, done, &ana).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled), "{view:#?}");
    // The answer of the last undo was lost, and it may be made again: it was, under the same key.
    assert_eq!(undos(&world), ["refill", "undo:first", "undo:first"]);
    assert_eq!(world.target().keys["undo:first"].len(), 1);
}

/// A run that made its changes, was paused while `check` hung, and has failed at that.
async fn paused_before_its_undo(world: &World, engine: &Engine) -> RunId {
    world.target().script.insert("check".to_owned(), [Act::Hang].into());
    let run = world.propose(engine, "PB-Shift").await;
    loop {
        let view = engine.get(run).await.unwrap().unwrap();
        if World::states(&view)["check"] == TaskState::Running {
            break;
        }
        if view.approval.is_some() {
            world.approve(engine, run, "ana").await;
        }
        tokio::task::yield_now().await;
    }
    engine.order(run, Order::Pause, &person("ana", Role::Approver)).await.unwrap();
    world.until(engine, run, "failed", |view| World::states(view)["check"] == TaskState::Failed).await;
    run
}

#[tokio::test]
async fn a_paused_run_undoes_nothing_until_it_goes_on() {
    let world = World::of(&[SHIFT]);
    let engine = world.engine(Faults::none()).await;
    let run = paused_before_its_undo(&world, &engine).await;
    let ana = person("ana", Role::Approver);
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
    assert!(undos(&world).is_empty());
    engine.order(run, Order::Resume, &ana).await.unwrap();
    assert_eq!(world.until_ended(&engine, run).await.outcome, Some(RunOutcome::Failed));
    assert_eq!(slate(&world), ["stays"]);
}

/// Well past the time that a run may take.
const LONG: std::time::Duration = std::time::Duration::from_secs(48 * 3600);

#[tokio::test]
async fn a_doubtful_undo_that_nobody_answers_for_ends_with_the_runs_time() {
    let refill = "type: Run_Command, parameters: {program: refill}";
    let text = SHIFT.replace("type: API_Call, action: POST /refill, parameters: {undoes: drain}", refill);
    assert_ne!(text, SHIFT);
    let world = World::of(&[&text]);
    world.target().script.insert("refill".to_owned(), [Act::DoUnsaid].into());
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    loop {
        let view = engine.get(run).await.unwrap().unwrap();
        if World::states(&view).get("refill") == Some(&TaskState::InDoubt) {
            break;
        }
        if view.approval.is_some() {
            world.approve(&engine, run, "ana").await;
        }
        tokio::task::yield_now().await;
    }
    world.clock.advance(LONG);
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Stuck), "{view:#?}");
    let why = view.why.unwrap();
    assert!(why.contains("nobody said whether") && why.contains("for refill"), "{why}");
    // Its lock is free again: another run of it keeps this one from going on.
    let other = match engine.propose(world.request("PB-Shift", "again")).await.unwrap() {
        Proposed::New(run) | Proposed::Already(run) => run,
    };
    let ana = person("ana", Role::Approver);
    let word = |answer: &str| Order::Answer { task: "refill".to_owned(), answer: answer.to_owned() };
    let blocked = engine.order(run, word("done"), &ana).await.unwrap();
    assert!(matches!(&blocked, Decided::Nothing(says) if says.contains(&other.to_string())), "{blocked:?}");
    engine.order(other, Order::Cancel, &ana).await.unwrap();
    world.until_ended(&engine, other).await;
    // A word about another task opens nothing; a viewer's word neither; that of who knows does, and the rest is undone.
    let wrong = Order::Answer { task: "drain".to_owned(), answer: "done".to_owned() };
    assert!(matches!(engine.order(run, wrong, &ana).await.unwrap(), Decided::Nothing(_)));
    let viewer = person("vera", Role::Viewer);
    assert!(matches!(engine.order(run, word("done"), &viewer).await.unwrap(), Decided::Refused(_)));
    assert!(matches!(engine.order(run, word("not_done"), &ana).await.unwrap(), Decided::Done(_)));
    let view = world.until_ended(&engine, run).await;
    assert_eq!(undos(&world), ["undo:last", "refill", "refill", "undo:first"], "{view:#?}");
    assert_eq!(World::states(&view)["first"], TaskState::RolledBack);
}

#[tokio::test]
async fn a_pause_that_outlasts_the_runs_time_ends_as_stuck_and_a_retry_undoes_the_rest() {
    let world = World::of(&[SHIFT]);
    let engine = world.engine(Faults::none()).await;
    let run = paused_before_its_undo(&world, &engine).await;
    let ana = person("ana", Role::Approver);
    world.clock.advance(LONG);
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Stuck), "{view:#?}");
    assert!(undos(&world).is_empty() && view.why.unwrap().contains("paused until its time was over"));
    engine.order(run, Order::Retry, &ana).await.unwrap();
    world.until_ended(&engine, run).await;
    assert_eq!(slate(&world), ["stays"]);
}

#[tokio::test]
async fn an_undo_that_the_action_does_not_know_is_stuck_and_not_silent() {
    let text = SHIFT.replace("to: b, percent: 0", "to: nowhere, percent: 0");
    let world = World::of(&[&text]);
    world.target().script.insert("check".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    let asked = world.until_asked(&engine, run).await;
    let undo = asked.approval.unwrap().frontier[0].1.undo.clone().unwrap();
    assert!(undo.contains("not by itself"), "who approves knows it before: {undo}");
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Stuck));
    assert!(view.why.unwrap().contains("does not say how this is undone"));
}

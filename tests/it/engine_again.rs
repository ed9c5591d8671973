//! What was done stays known when a task is begun anew: undone once for each time it was done, measured after the last,
//! and spoken of at the end.

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::run::Event;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, RunState, RunView, Runs as _, TaskState};
use serde_json::{Value, json};

use super::engine_world::{Act, World, person};

/// A change whose verification fails, and a run that goes on all the same.
const RAISE: &str = "
playbook_id: PB-Raise
name: raise the limit
max_duration: 100h
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: m}
  - id: raise
    type: Traffic_Shift
    depends_on: [read]
    parameters: {service: a, to: b, percent: 50}
    output_variable: raised
    verify: {condition: m.value > 5, within: 2s}
    on_failure: continue
    rollback: inverse
  - {id: hold, type: Wait, depends_on: [raise], parameters: {for: 10h}}
";

async fn order(engine: &Engine, run: RunId, order: Order) -> Decided {
    engine.order(run, order, &person("ana", Role::Approver)).await.unwrap()
}

async fn until_task(world: &World, engine: &Engine, run: RunId, task: &str, state: TaskState) -> RunView {
    world.until(engine, run, &format!("{task} {state:?}"), |view| World::states(view).get(task) == Some(&state)).await
}

/// What each undoing was started with, in its order.
async fn undone(engine: &Engine, run: RunId) -> Vec<(String, Value)> {
    let started = engine.journal(run).await.unwrap().into_iter().filter_map(|entry| match entry.event {
        Event::Started { task, intent, .. } => Some((task, intent.target)),
        _ => None,
    });
    started.filter(|(task, _)| task.starts_with("undo:") || task.starts_with("back")).collect()
}

#[tokio::test]
async fn a_change_that_was_done_before_a_retry_is_undone_also_when_the_retry_never_begins() {
    let world = World::of(&[RAISE]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Raise").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "raise", TaskState::Failed).await;
    assert!(matches!(order(&engine, run, Order::Retry).await, Decided::Done(_)));
    let asked = world.until_asked(&engine, run).await;
    assert_eq!(asked.undoes, ["raise"], "what would be undone is said");
    order(&engine, run, Order::Cancel).await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled), "{view:#?}");
    assert_eq!(World::states(&view)["raise"], TaskState::RolledBack);
    assert!(world.target().slate.is_empty());
    assert_eq!(undone(&engine, run).await.len(), 1);
}

#[tokio::test]
async fn what_was_done_twice_is_undone_twice_each_with_what_that_time_gave() {
    let back = "rollback: back";
    let text = RAISE.replace("rollback: inverse", back)
        + "  - {id: back, type: API_Call, action: POST /back, parameters: {undoes: raise, to: '{{ raised.before }}'}}\n";
    for crash in [false, true] {
        let world = World::of(&[&text]);
        world.target().outputs.insert("raise".to_owned(), [json!({"before": 20}), json!({"before": 50})].into());
        let mut engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Raise").await;
        for time in 0..2 {
            world.until_asked(&engine, run).await;
            world.approve(&engine, run, "ana").await;
            until_task(&world, &engine, run, "raise", TaskState::Failed).await;
            if time == 0 {
                order(&engine, run, Order::Retry).await;
            }
            if crash {
                engine.stop().await;
                engine = world.engine(Faults::none()).await;
                engine.resume().await.unwrap();
            }
        }
        order(&engine, run, Order::Cancel).await;
        // What it gave is only known once it is done, so that people are asked for each.
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(World::states(&view)["raise"], TaskState::RolledBack, "{view:#?}");
        let undone = undone(&engine, run).await;
        let with: Vec<(&str, &Value)> =
            undone.iter().map(|(task, target)| (task.as_str(), &target["parameters"]["to"])).collect();
        assert_eq!(with, [("back", &json!(50)), ("back#2", &json!(20))], "the last time first");
    }
}

#[tokio::test]
async fn a_second_try_that_did_not_happen_leaves_the_first_to_be_undone() {
    let text = RAISE
        .replace("type: Traffic_Shift", "type: Run_Command")
        .replace("parameters: {service: a, to: b, percent: 50}", "parameters: {program: raise, args: []}");
    let text = text.replace("rollback: inverse", "rollback: back")
        + "  - {id: back, type: API_Call, action: POST /back, parameters: {undoes: raise}}\n";
    let world = World::of(&[&text]);
    world.target().script.insert("raise".to_owned(), [Act::Do, Act::Lost].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Raise").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "raise", TaskState::Failed).await;
    order(&engine, run, Order::Retry).await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "raise", TaskState::InDoubt).await;
    order(&engine, run, Order::Pause).await;
    let not = Order::Answer { task: "raise".to_owned(), answer: "not_done".to_owned() };
    order(&engine, run, not).await;
    order(&engine, run, Order::Cancel).await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["raise"], TaskState::RolledBack, "{view:#?}");
    assert!(world.target().slate.is_empty());
    assert_eq!(undone(&engine, run).await.len(), 1);
}

/// A verification that was made before the change happened at last.
const VERIFIED: &str = "
playbook_id: PB-Fix
name: fix it
max_duration: 100h
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: m}
  - {id: fix, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 50}, on_failure: continue}
  - {id: check, type: Verify, depends_on: [fix], parameters: {condition: m.value < 98, within: 2s}}
  - {id: stop, type: Wait, depends_on: [check], parameters: {for: 1h}}
";

#[tokio::test]
async fn fixed_is_said_of_what_was_measured_after_the_change_and_not_before() {
    let world = World::of(&[VERIFIED]);
    world.target().script.insert("fix".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Fix").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "check", TaskState::Succeeded).await;
    // The change makes it worse: a measurement of before would call it fixed.
    world.target().outputs.insert("read".to_owned(), [json!({"value": 99})].into());
    order(&engine, run, Order::Retry).await;
    let view = world.until_asked(&engine, run).await;
    assert_ne!(World::states(&view)["check"], TaskState::Succeeded, "it is to be measured again");
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_ne!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
    assert_eq!(World::states(&view)["check"], TaskState::Failed);
}

#[tokio::test]
async fn a_try_that_timed_out_and_is_no_longer_needed_counts_as_done() {
    let text = "
playbook_id: PB-Fix
name: fix it
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: m}
  - {id: fix, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 50}, conditions: [m.value > 50], timeout: 5s, retry: {attempts: 3, backoff: 5m, jitter: 0}}
  - {id: check, type: Verify, depends_on: [fix], parameters: {condition: m.value < 50, within: 2s}}
";
    let world = World::of(&[text]);
    world.target().script.insert("fix".to_owned(), [Act::Hang].into());
    world.target().outputs.insert("read".to_owned(), [json!({"value": 90})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Fix").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "fix", TaskState::Running).await;
    world.target().outputs.insert("read".to_owned(), [json!({"value": 10})].into());
    let view = world.until_ended(&engine, run).await;
    let fix = view.tasks.iter().find(|task| task.id == "fix").unwrap();
    assert_eq!(fix.state, TaskState::Succeeded, "{view:#?}");
    assert!(fix.note.as_ref().unwrap().contains("counts as done"));
    assert_eq!(view.outcome, Some(RunOutcome::Fixed));
}

#[tokio::test]
async fn a_change_that_nobody_heard_of_again_is_not_called_nothing() {
    let text = "
playbook_id: PB-Fix
name: fix it
tasks:
  - {id: fix, type: Traffic_Shift, parameters: {service: a, to: b, percent: 50}, timeout: 5s, on_failure: continue}
";
    let world = World::of(&[text]);
    world.target().script.insert("fix".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Fix").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert!(!view.why.as_ref().unwrap().contains("nothing was changed"), "{view:#?}");
}

#[tokio::test]
async fn a_checkpoint_that_nobody_lifts_does_not_keep_what_was_done_from_being_undone() {
    let text = "
playbook_id: PB-Fix
name: fix it
max_duration: 2h
tasks:
  - {id: fix, type: Traffic_Shift, parameters: {service: a, to: b, percent: 50}, rollback: inverse}
  - {id: more, type: Service_Restart, depends_on: [fix], parameters: {service: a}, pause: true}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Fix").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "paused", |view| view.state == RunState::Paused).await;
    world.clock.advance(std::time::Duration::from_secs(3 * 3600));
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert_eq!(World::states(&view)["fix"], TaskState::RolledBack);
    assert!(world.target().slate.is_empty());
}

#[tokio::test]
async fn what_moved_is_shown_to_those_whose_approval_it_was() {
    let retry = "retry: {attempts: 3, backoff: 10m, jitter: 0}";
    let text = format!(
        "
playbook_id: PB-Two
name: two teams
max_duration: 100h
tasks:
  - {{id: data, type: Service_Restart, parameters: {{service: b}}, approval: {{approvers: [dba]}}, {retry}}}
  - {{id: front, type: Service_Restart, parameters: {{service: c}}, approval: {{approvers: [web]}}, {retry}}}
"
    );
    let world = World::of(&[&text]);
    for task in ["data", "front"] {
        world.target().objects.insert(task.to_owned(), "pid 1".to_owned());
        world.target().script.insert(task.to_owned(), [Act::Transient].into());
    }
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Two").await;
    let approve = async |team: &str| {
        let mut approver = person(team, Role::Approver);
        approver.teams = vec![team.to_owned()];
        engine.order(run, Order::Approve { plan_hash: None, reason: None }, &approver).await.unwrap()
    };
    for _ in 0..2 {
        let approval = world.until_asked(&engine, run).await.approval.unwrap();
        assert!(approval.difference.is_empty());
        approve(&approval.approvers[0]).await;
    }
    world.until(&engine, run, "both tried", |_| world.target().calls.len() == 2).await;
    for task in ["data", "front"] {
        world.target().objects.insert(task.to_owned(), "pid 2".to_owned());
    }
    world.clock.advance(std::time::Duration::from_secs(3600));
    for _ in 0..2 {
        let approval = world.until_asked(&engine, run).await.approval.unwrap();
        let task = if approval.approvers == ["dba"] { "data" } else { "front" };
        assert_eq!(approval.difference.len(), 1, "{approval:#?}");
        assert!(approval.difference[0].starts_with(&format!("{task}: ")), "{approval:#?}");
        approve(&approval.approvers[0]).await;
    }
    world.until_ended(&engine, run).await;
}

const KEYS: &str = "
playbook_id: PB-Keys
name: two changes beside each other
tasks:
  - {id: one, type: Disk_Cleanup, parameters: {service: a}, retry: {attempts: 4, backoff: 1m, jitter: 0}}
  - {id: two, type: Run_Command, parameters: {program: fix}, on_failure: continue}
";

/// The keys under which a task was started, in order.
async fn keys(engine: &Engine, run: RunId, wanted: &str) -> Vec<String> {
    let started = engine.journal(run).await.unwrap().into_iter().filter_map(|entry| match entry.event {
        Event::Started { task, intent, .. } if task == wanted => Some(intent.idempotency_key),
        _ => None,
    });
    started.collect()
}

#[tokio::test]
async fn a_key_stays_when_people_start_another_task_again_and_changes_with_the_target() {
    let world = World::of(&[KEYS]);
    world.target().script.insert("one".to_owned(), [Act::Transient, Act::Hang].into());
    world.target().script.insert("two".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Keys").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "two", TaskState::Failed).await;
    world.until(&engine, run, "tried", |_| world.target().calls.get("one") == Some(&1)).await;
    order(&engine, run, Order::Retry).await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    until_task(&world, &engine, run, "two", TaskState::Succeeded).await;
    let two = keys(&engine, run, "two").await;
    assert!(two.len() == 2 && two[0] != two[1], "what people start again is another effect: {two:?}");
    world.until(&engine, run, "tried", |_| world.target().calls.get("one") == Some(&2)).await;
    world.target().objects.insert("one".to_owned(), "another".to_owned());
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until_ended(&engine, run).await;
    let one = keys(&engine, run, "one").await;
    assert_eq!((one.len(), &one[0]), (3, &one[1]), "a try like the first: {one:?}");
    assert_ne!(one[1], one[2], "another target is another effect");

    // Another installation has a run of the same number.
    let other = World::of(&[KEYS]);
    other.clock.advance(std::time::Duration::from_secs(86_400));
    let engine = other.engine(Faults::none()).await;
    let same = other.propose(&engine, "PB-Keys").await;
    other.finish(&engine, same).await.unwrap();
    assert_eq!(same, run);
    assert_ne!(keys(&engine, same, "one").await[0], one[0]);
}

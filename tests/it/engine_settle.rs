//! What was interrupted is begun again only where the run goes on, and not for ever; and no action that breaks off leaves a run
//! to nobody.

use mayday::access::Role;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, RunView, Runs as _, TaskState};

use super::engine_world::{Act, World, person};

const SHIFT: &str = "
playbook_id: PB-Shift
name: a change that may be made again, and another that fails beside it
tasks:
  - {id: shift, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, timeout: 5m, rollback: inverse}
  - {id: clean, type: Disk_Cleanup, parameters: {service: a}}
  - {id: bad, type: Metric_Query, depends_on: [clean], parameters: {expr: up}}
";

const READ: &str = "
playbook_id: PB-Shift
name: a reading
tasks:
  - {id: shift, type: Metric_Query, parameters: {expr: up}, timeout: 5m}
";

const RESTART: &str = "
playbook_id: PB-Shift
name: a change whose target says whether it happened
tasks:
  - {id: shift, type: Service_Restart, parameters: {service: a}, timeout: 5m}
";

fn calls(world: &World) -> u32 {
    world.target().calls.get("shift").copied().unwrap_or_default()
}

/// A process that goes on where the one before it was interrupted.
async fn next(world: &World) -> Engine {
    let engine = world.engine(Faults::none()).await;
    assert_eq!(engine.resume().await.unwrap(), 1);
    engine
}

/// Lets six minutes pass: every deadline that was given before is over.
async fn passes(world: &World) {
    let until = world.now() + std::time::Duration::from_secs(360);
    while world.now() < until {
        tokio::task::yield_now().await;
    }
}

fn is(view: &RunView, task: &str, state: TaskState) -> bool {
    World::states(view)[task] == state
}

#[tokio::test]
async fn a_change_is_not_made_again_once_another_task_has_failed_for_good() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("shift".to_owned(), [Act::Hang].into());
    world.target().script.insert("bad".to_owned(), [Act::Permanent].into());
    let first = world.engine(Faults::none()).await;
    let run = world.propose(&first, "PB-Shift").await;
    world.until_asked(&first, run).await;
    world.approve(&first, run, "ana").await;
    world.until(&first, run, "failed", |view| is(view, "bad", TaskState::Failed)).await;
    assert_eq!(calls(&world), 1);
    let second = next(&world).await;
    passes(&world).await;
    world.until(&second, run, "in doubt", |view| is(view, "shift", TaskState::InDoubt)).await;
    let view = world.finish(&second, run).await.unwrap();
    assert_eq!((view.outcome, calls(&world)), (Some(RunOutcome::Failed), 1), "{view:#?}");
}

#[tokio::test]
async fn nor_while_a_person_has_paused_the_run() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("shift".to_owned(), [Act::Hang].into());
    let first = world.engine(Faults::none()).await;
    let run = world.propose(&first, "PB-Shift").await;
    world.until_asked(&first, run).await;
    world.approve(&first, run, "ana").await;
    world.until(&first, run, "under way", |view| is(view, "shift", TaskState::Running) && calls(&world) == 1).await;
    let ana = person("ana", Role::Approver);
    first.order(run, Order::Pause, &ana).await.unwrap();
    let second = next(&world).await;
    passes(&world).await;
    assert_eq!(calls(&world), 1);
    second.order(run, Order::Resume, &ana).await.unwrap();
    let view = world.finish(&second, run).await.unwrap();
    assert_eq!((World::states(&view)["shift"], calls(&world)), (TaskState::Succeeded, 2), "{view:#?}");
}

#[tokio::test]
async fn what_takes_mayday_down_each_time_is_not_begun_for_ever() {
    for (text, end) in [(READ, TaskState::Failed), (SHIFT, TaskState::InDoubt), (RESTART, TaskState::InDoubt)] {
        let world = World::of(&[text]);
        world.target().script.insert("shift".to_owned(), vec![Act::Hang; 9].into());
        let mut engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Shift").await;
        if end == TaskState::InDoubt {
            world.until_asked(&engine, run).await;
            world.approve(&engine, run, "ana").await;
        }
        for time in 1..=4 {
            world.until(&engine, run, "begun", |_| calls(&world) == time).await;
            engine = next(&world).await;
            if end == TaskState::InDoubt {
                passes(&world).await;
            }
        }
        let view = world.until(&engine, run, "given up", |view| is(view, "shift", end)).await;
        let task = view.tasks.iter().find(|task| task.id == "shift").unwrap();
        assert!(task.note.as_ref().unwrap().contains("interrupted in the middle of it 4 times"), "{task:#?}");
        assert_eq!(calls(&world), 4);
        if end == TaskState::InDoubt {
            // A person has it begun anew, and then it counts from the beginning.
            let answer = Order::Answer { task: "shift".to_owned(), answer: "not_done".to_owned() };
            engine.order(run, answer, &person("ana", Role::Approver)).await.unwrap();
            world.until(&engine, run, "begun", |_| calls(&world) == 5).await;
            engine = next(&world).await;
            passes(&world).await;
            world.until(&engine, run, "begun once more", |_| calls(&world) == 6).await;
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_slot_does_not_start_once_a_person_has_cancelled_or_paused_the_run() {
    let text = "
playbook_id: PB-Shift
name: two changes and one slot
tasks:
  - {id: shift, type: Disk_Cleanup, parameters: {service: a}, timeout: 20s, on_failure: continue}
  - {id: other, type: Disk_Cleanup, parameters: {service: b}, timeout: 5m, on_failure: continue}
";
    for pauses in [false, true] {
        let mut world = World::of(&[text]);
        world.options.effects_at_once = 1;
        for task in ["shift", "other"] {
            world.target().script.insert(task.to_owned(), [Act::Hang].into());
        }
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Shift").await;
        world.until_asked(&engine, run).await;
        world.approve(&engine, run, "ana").await;
        let both = |view: &RunView| ["shift", "other"].iter().all(|task| is(view, task, TaskState::Running));
        world.until(&engine, run, "both begin", both).await;
        let ana = person("ana", Role::Approver);
        engine.order(run, if pauses { Order::Pause } else { Order::Cancel }, &ana).await.unwrap();
        passes(&world).await;
        let performed = |world: &World| world.target().calls.values().sum::<u32>();
        assert_eq!(performed(&world), 1, "paused: {pauses}");
        if pauses {
            engine.order(run, Order::Resume, &ana).await.unwrap();
        }
        let view = world.finish(&engine, run).await.unwrap();
        let wanted = if pauses { RunOutcome::NoEffect } else { RunOutcome::Cancelled };
        assert_eq!((view.outcome, performed(&world)), (Some(wanted), 1 + u32::from(pauses)), "{view:#?}");
    }
}

#[tokio::test]
async fn an_action_that_breaks_off_when_it_is_asked_something_leaves_no_run_to_nobody() {
    super::engine_crash::quiet();
    for (what, times) in
        [("settle", 9), ("default_timeout", 99), ("inverse", 9), ("still_holds", 9), ("version", 1), ("version", 99)]
    {
        let world = World::of(&[&SHIFT.replace(", timeout: 5m", "")]);
        world.target().script.insert("shift".to_owned(), [Act::DoUnsaid].into());
        world.target().script.insert("bad".to_owned(), [Act::Permanent].into());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Shift").await;
        world.until_asked(&engine, run).await;
        world.target().breaks.insert(what, times);
        if what == "still_holds" {
            world.target().objects.insert("shift".to_owned(), "another".to_owned());
        }
        let view = world.finish(&engine, run).await.unwrap();
        let why = view.why.clone().unwrap_or_default();
        // Only what nobody can go on with ends the run as stuck, and it says so.
        let stuck = (what, times) == ("version", 99) || what == "inverse";
        assert_eq!(view.outcome == Some(RunOutcome::Stuck), stuck, "{what}: {why}");
        assert_eq!(why.contains("broke off"), (what, times) == ("version", 99), "{what}: {why}");
    }
}

#[tokio::test]
async fn a_change_that_has_begun_is_looked_at_also_while_the_run_is_paused() {
    let world = World::of(&[SHIFT]);
    world.target().script.insert("shift".to_owned(), [Act::Later].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "begun", |view| is(view, "shift", TaskState::Waiting) && calls(&world) == 1).await;
    let ana = person("ana", Role::Approver);
    engine.order(run, Order::Pause, &ana).await.unwrap();
    passes(&world).await;
    let view = world.until(&engine, run, "done", |view| is(view, "shift", TaskState::Succeeded)).await;
    assert_eq!(calls(&world), 2, "{view:#?}");
}

const DOUBT: &str = "
playbook_id: PB-Shift
name: a change of which nobody knows whether it happened
tasks:
  - {id: first, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: run, name: Run it, type: Run_Command, depends_on: [first], parameters: {program: fix}, rollback: back}
  - {id: back, type: Traffic_Shift, parameters: {service: a, to: b, percent: 1}}
  - {id: after, type: Metric_Query, depends_on: [run], parameters: {expr: up}}
";

/// Until it waits for a person's word.
async fn doubted(text: &str) -> (World, Engine, mayday::core::RunId) {
    let world = World::of(&[text]);
    world.target().script.insert("run".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Shift").await;
    for _ in 0..2 {
        world
            .until(&engine, run, "asked or in doubt", |view| {
                view.approval.is_some() || is(view, "run", TaskState::InDoubt)
            })
            .await;
        world.approve(&engine, run, "ana").await;
    }
    world.until(&engine, run, "in doubt", |view| is(view, "run", TaskState::InDoubt)).await;
    (world, engine, run)
}

#[tokio::test]
async fn what_a_person_says_has_failed_is_a_failure_that_may_have_changed_something() {
    let ana = person("ana", Role::Approver);
    let failed = Order::Answer { task: "run".to_owned(), answer: "failed".to_owned() };
    // Undone like all else, with what it may have done first.
    let (world, engine, run) = doubted(DOUBT).await;
    let said = engine.order(run, failed.clone(), &ana).await.unwrap();
    assert!(matches!(&said, Decided::Done(says) if says.contains("goes on as after a failure")), "{said:?}");
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert!(view.why.as_ref().unwrap().contains("Run it failed: ana says that it failed"), "{:?}", view.why);
    assert_eq!(World::states(&view)["run"], TaskState::RolledBack);
    assert_eq!(World::states(&view)["first"], TaskState::RolledBack);
    assert_eq!(world.target().effects.get("back"), Some(&1));
    // Where the playbook goes on after a failure, so does the run; it is not done again.
    let (world, engine, run) = doubted(&DOUBT.replace("rollback: back", "on_failure: continue, rollback: back")).await;
    engine.order(run, failed, &ana).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert!(is(&view, "run", TaskState::Failed) && is(&view, "after", TaskState::Succeeded), "{view:#?}");
    assert_eq!(world.target().calls["run"], 1);
    // A process that takes it up knows it too.
    let again = world.engine(Faults::none()).await;
    assert!(is(&again.get(run).await.unwrap().unwrap(), "run", TaskState::Failed));
}

#[tokio::test]
async fn a_cancelled_run_says_so_while_it_waits_for_a_word() {
    let (_world, engine, run) = doubted(DOUBT).await;
    let before = engine.get(run).await.unwrap().unwrap();
    assert!(!before.undoes.is_empty());
    engine.order(run, Order::Cancel, &person("ana", Role::Approver)).await.unwrap();
    let view = engine.get(run).await.unwrap().unwrap();
    let why = view.why.unwrap();
    assert!(why.starts_with("cancelled by ana; first: Run it: it is not known whether"), "{why}");
    assert!(view.undoes.is_empty(), "it will, whatever is pressed");
}

//! A playbook as a part of another: asked for by itself, waited for through crashes, ended with its parent.

use std::time::Duration;

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Error, Faults, Proposed, RunState, RunView, Runs as _, TaskState};
use serde_json::json;

use super::engine_world::{Act, World, person};

const PARENT: &str = "
playbook_id: PB-Parent
name: parent
parameters: {who: {type: name, default: cart}}
tasks:
  - {id: look, type: Metric_Query, parameters: {expr: up}}
  - {id: part, type: Sub_Playbook, depends_on: [look], parameters: {playbook: PB-Child, parameters: {service: '{{ params.who }}'}}, output_variable: part, on_failure: continue}
  - {id: tell, type: Notification, depends_on: [part], parameters: {message: '{{ part.outcome }} {{ tasks.part.state }}'}}
";

const CHILD: &str = "
playbook_id: PB-Child
name: child
parameters: {service: {type: name}}
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: change, type: Traffic_Shift, depends_on: [read], parameters: {service: '{{ params.service }}', to: b, percent: 0}, rollback: inverse}
  - {id: check, type: Verify, depends_on: [change], parameters: {condition: up.value == 1, within: 10s}}
";

/// Another playbook that wants the key of [`keyed`].
const OTHER: &str = "{playbook_id: PB-Other, name: o, concurrency_key: 'x', tasks: [{id: ask, type: Service_Restart, parameters: {service: a}}]}";

/// The child with a key of its own.
fn keyed() -> String {
    CHILD.replace("name: child\n", "name: child\nconcurrency_key: 'x'\n")
}

/// What the child does helps.
fn world() -> World {
    let world = World::of(&[PARENT, CHILD]);
    world.target().helped.insert("read".to_owned(), (json!({"value": 0}), json!({"value": 1})));
    world
}

async fn child(engine: &Engine, parent: RunId) -> Option<RunView> {
    let all = engine.list(None, 10).await.unwrap();
    all.into_iter().find(|view| view.run != parent)
}

/// Waits until the child stands as wanted.
async fn until_child(engine: &Engine, parent: RunId, wanted: impl Fn(&RunView) -> bool) -> RunView {
    let begun = std::time::Instant::now();
    loop {
        if let Some(view) = child(engine, parent).await
            && wanted(&view)
        {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the child never gets there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_child_asks_for_itself_and_its_outcome_is_the_tasks_output() {
    let world = world();
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let asked = until_child(&engine, run, |view| view.approval.is_some()).await;
    assert_eq!((asked.playbook.as_str(), asked.parameters["service"].as_str()), ("PB-Child", Some("cart")));
    let parent = engine.get(run).await.unwrap().unwrap();
    assert_eq!((parent.state, parent.approval.is_some()), (RunState::Waiting, false), "{parent:#?}");
    assert!(parent.why.unwrap().contains(&format!("waits for {}", asked.run)));
    assert!(
        matches!(world.approve(&engine, run, "ana").await, Decided::Nothing(_)),
        "the parent has nothing to approve"
    );
    world.approve(&engine, asked.run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
    assert_eq!(world.target().said, ["fixed succeeded"]);
    let output = view.tasks[1].output.clone().unwrap();
    assert_eq!((output["outcome"].as_str(), output["run"].as_str()), (Some("fixed"), Some("RUN-2")));
}

#[tokio::test]
async fn a_child_that_fails_fails_its_task_and_its_outcome_is_still_there() {
    let world = world();
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let asked = until_child(&engine, run, |view| view.approval.is_some()).await;
    engine.order(asked.run, Order::Reject { reason: None }, &person("ana", Role::Approver)).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["part"], TaskState::Failed);
    assert!(view.tasks[1].note.as_ref().unwrap().starts_with("RUN-2 ended (rejected): "));
    assert_eq!(world.target().said, ["rejected failed"]);
}

#[tokio::test]
async fn cancelling_the_parent_ends_the_child_which_undoes_what_it_did() {
    let waits = "type: Wait, depends_on: [change], parameters: {for: 1h}";
    let world = World::of(&[
        PARENT,
        &CHILD
            .replace("type: Verify, depends_on: [change], parameters: {condition: up.value == 1, within: 10s}", waits),
    ]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let asked = until_child(&engine, run, |view| view.approval.is_some()).await;
    world.approve(&engine, asked.run, "ana").await;
    until_child(&engine, run, |view| World::states(view)["check"] == TaskState::Waiting).await;
    assert!(!world.target().slate.is_empty());
    engine.order(run, Order::Cancel, &person("ana", Role::Approver)).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled));
    // The parent's end came after the child's.
    let child = engine.get(asked.run).await.unwrap().unwrap();
    assert_eq!(child.outcome, Some(RunOutcome::Cancelled), "{child:#?}");
    assert!(child.why.unwrap().starts_with("RUN-1, which it is a part of, is to end"));
    assert!(world.target().slate.is_empty());
}

#[tokio::test]
async fn a_crash_at_any_record_makes_one_child_and_waits_for_it_again() {
    for record in 1..14 {
        for after in [false, true] {
            let world = world();
            let faults = if after {
                Faults { crash_after: Some(record), ..Faults::none() }
            } else {
                Faults { crash_before: Some(record), ..Faults::none() }
            };
            let mut engine = world.engine(faults).await;
            let run = world.propose(&engine, "PB-Parent").await;
            let begun = std::time::Instant::now();
            let view = loop {
                if engine.has_crashed() {
                    engine = world.engine(Faults::none()).await;
                    engine.resume().await.unwrap();
                }
                let view = engine.get(run).await.unwrap().unwrap();
                if view.state == RunState::Ended && !engine.has_crashed() {
                    break view;
                }
                if let Some(child) = child(&engine, run).await
                    && child.approval.is_some()
                {
                    let order = Order::Approve { plan_hash: None, reason: None };
                    let _ = engine.order(child.run, order, &person("ana", Role::Approver)).await;
                }
                assert!(begun.elapsed() < Duration::from_secs(20), "{record} {after}: {view:#?}");
                tokio::task::yield_now().await;
            };
            assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{record} {after}: {view:#?}");
            assert_eq!(engine.list(None, 10).await.unwrap().len(), 2, "{record} {after}: one child");
            assert_eq!(world.target().keys["change"].len(), 1);
        }
    }
}

#[tokio::test]
async fn playbooks_that_run_each_other_in_a_circle_or_too_deep_are_refused_before_anything_starts() {
    let calls = |id: &str, child: &str| {
        format!(
            "{{playbook_id: {id}, name: a, tasks: [{{id: a, type: Sub_Playbook, parameters: {{playbook: {child}}}}}]}}"
        )
    };
    let texts = [calls("A", "B"), calls("B", "A"), calls("C", "D"), calls("D", "E"), calls("E", "F"), calls("F", "G")];
    let world = World::of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let engine = world.engine(Faults::none()).await;
    let circle = engine.propose(world.request("A", "1")).await;
    assert!(matches!(&circle, Err(Error::NotHere(says)) if says.contains("A → B → A")), "{circle:?}");
    let deep = engine.propose(world.request("C", "2")).await;
    assert!(matches!(&deep, Err(Error::NotHere(says)) if says.contains("C → D → E → F is a line of 4")), "{deep:?}");
    // Two above one that is not there: it is said when it is its turn.
    let Proposed::New(run) = engine.propose(world.request("F", "3")).await.unwrap() else { panic!() };
    let view = world.until_ended(&engine, run).await;
    assert!(view.tasks[0].note.as_ref().unwrap().contains("there is no playbook `G`"), "{view:#?}");
    // Authors see it without running anything.
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.yaml")), text).unwrap();
    }
    let mistakes: Vec<String> =
        mayday::playbook::authoring::check(folder.path()).iter().map(ToString::to_string).collect();
    assert!(mistakes.iter().any(|line| line.contains("0.yaml:1:76: PB032")), "{mistakes:#?}");
}

#[tokio::test]
async fn a_parents_own_changes_are_asked_while_the_child_waits() {
    let parent = "
playbook_id: PB-Parent
name: parent
tasks:
  - {id: part, type: Sub_Playbook, parameters: {playbook: PB-Child, parameters: {service: a}}}
  - {id: own, type: Service_Restart, parameters: {service: b}}
";
    let world = World::of(&[parent, CHILD]);
    world.target().script.insert("own".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    world.until_asked(&engine, run).await;
    until_child(&engine, run, |view| view.approval.is_some()).await;
    world.approve(&engine, run, "ana").await;
    // Its own task fails: the child, which nobody has decided on, ends with it.
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert_eq!(child(&engine, run).await.unwrap().outcome, Some(RunOutcome::Cancelled));
}

const TAKEN_BACK: &str = "
playbook_id: PB-Parent
name: parent
max_duration: 1000h
tasks:
  - {id: part, type: Sub_Playbook, parameters: {playbook: PB-Child, parameters: {service: cart}}, rollback: inverse}
  - {id: after, type: Metric_Query, depends_on: [part], parameters: {expr: up}}
";

/// A parent whose last task fails, after its child has ended well.
fn failing(child: &str) -> World {
    let world = World::of(&[TAKEN_BACK, child]);
    world.target().script.insert("after".to_owned(), vec![Act::Permanent; 500].into());
    world
}

#[tokio::test]
async fn a_parent_that_fails_has_its_child_take_back_what_it_did_though_it_had_ended_well() {
    let world = failing(CHILD);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(
        (view.outcome, World::states(&view)["part"]),
        (Some(RunOutcome::Failed), TaskState::RolledBack),
        "{view:#?}"
    );
    assert!(world.target().slate.is_empty(), "{:?}", world.target().slate);
    let child = child(&engine, run).await.unwrap();
    assert_eq!(
        (child.outcome, World::states(&child)["change"]),
        (Some(RunOutcome::Cancelled), TaskState::RolledBack),
        "{child:#?}"
    );
    assert!(child.why.unwrap().starts_with("RUN-1, which it is a part of, is to end"));
}

#[tokio::test]
async fn what_a_child_has_no_way_to_take_back_is_named_and_keeps_nobody() {
    let second = "  - {id: also, name: Also, type: Traffic_Shift, depends_on: [change], parameters: {service: x, to: b, percent: 0}}\n  - {id: check,";
    let world = failing(&CHILD.replace("  - {id: check,", second));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
    assert!(view.why.as_ref().unwrap().ends_with("; stays as it is: Also (RUN-2)"), "{:?}", view.why);
    assert_eq!(world.target().slate.iter().collect::<Vec<_>>(), ["also"]);
}

#[tokio::test]
async fn a_child_that_changed_nothing_is_left_as_it_ended() {
    let reads = "
playbook_id: PB-Child
name: child
parameters: {service: {type: name}}
tasks:
  - {id: read, type: Log_Aggregation, parameters: {service: '{{ params.service }}'}}
";
    let world = failing(reads);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!((view.outcome, World::states(&view)["part"]), (Some(RunOutcome::Failed), TaskState::Succeeded));
    assert_eq!(child(&engine, run).await.unwrap().outcome, Some(RunOutcome::NoEffect));
}

#[tokio::test]
async fn a_child_that_can_not_take_it_back_leaves_its_parent_stuck_until_a_retry_of_the_parent_helps() {
    let world = failing(CHILD);
    world.target().script.insert("undo:change".to_owned(), vec![Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
    let stuck = child(&engine, run).await.unwrap();
    assert_eq!((stuck.outcome, stuck.undo_failed()), (Some(RunOutcome::Stuck), true));
    assert!(view.why.unwrap().contains("RUN-2"), "it says where to look");
    let decided = engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(
        (view.outcome, World::states(&view)["part"]),
        (Some(RunOutcome::Failed), TaskState::RolledBack),
        "{view:#?}"
    );
    assert!(world.target().slate.is_empty());
}

#[tokio::test]
async fn a_child_whose_key_another_run_holds_by_then_is_taken_back_once_that_has_ended() {
    let keyed = keyed();
    let world = World::of(&[TAKEN_BACK, &keyed, OTHER]);
    let waits = [Act::Later];
    world.target().script.insert("after".to_owned(), waits.into_iter().chain([Act::Permanent; 50]).collect());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let asked = until_child(&engine, run, |view| view.approval.is_some()).await;
    world.approve(&engine, asked.run, "ana").await;
    until_child(&engine, run, |view| view.state == RunState::Ended).await;
    let Proposed::New(holder) = engine.propose(world.request("PB-Other", "other")).await.unwrap() else { panic!() };
    let view = world.until_ended(&engine, run).await;
    assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
    assert!(view.why.as_ref().unwrap().contains(&holder.to_string()), "{:?}", view.why);
    let ana = person("ana", Role::Approver);
    engine.order(holder, Order::Reject { reason: None }, &ana).await.unwrap();
    world.until_ended(&engine, holder).await;
    engine.order(run, Order::Retry, &ana).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["part"], TaskState::RolledBack, "{view:#?}");
    assert!(world.target().slate.is_empty());
}

#[tokio::test]
async fn a_crash_at_any_record_takes_back_what_the_child_did_once() {
    for record in 1..18 {
        for after in [false, true] {
            let mut world = failing(CHILD);
            world.label = format!("record {record}, after {after}");
            let mut faults = Faults { crash_before: Some(record), ..Faults::none() };
            if after {
                faults = Faults { crash_after: Some(record), ..Faults::none() };
            }
            let mut engine = world.engine(faults).await;
            let mut run = RunId::new(1);
            // A crash while the first is proposed is none of this.
            if let Ok(Proposed::New(made) | Proposed::Already(made)) =
                engine.propose(world.request("PB-Parent", "key")).await
            {
                run = made;
            }
            let view = loop {
                match world.finish(&engine, run).await {
                    Some(view) => break view,
                    None => {
                        engine = world.engine(Faults::none()).await;
                        engine.resume().await.unwrap();
                    }
                }
            };
            assert_eq!(
                (view.outcome, World::states(&view)["part"]),
                (Some(RunOutcome::Failed), TaskState::RolledBack),
                "{}: {view:#?}",
                world.label
            );
            assert!(world.target().slate.is_empty(), "{}", world.label);
            let effects = world.target().effects.clone();
            assert_eq!((effects["change"], effects["undo:change"]), (1, 1), "{}", world.label);
        }
    }
}

#[tokio::test]
async fn a_child_that_never_came_about_keeps_nobody_from_undoing() {
    // A crash after its task was started; then the key that it needs is another run's.
    let keyed = keyed();
    let mut seen = 0;
    for record in 1..6 {
        let world = World::of(&[TAKEN_BACK, &keyed, OTHER]);
        let engine = world.engine(Faults { crash_after: Some(record), ..Faults::none() }).await;
        let Ok(Proposed::New(run)) = engine.propose(world.request("PB-Parent", "key")).await else { continue };
        while !engine.has_crashed() {
            tokio::task::yield_now().await;
        }
        let engine = world.engine(Faults::none()).await;
        let Ok(Proposed::New(_)) = engine.propose(world.request("PB-Other", "other")).await else { continue };
        engine.resume().await.unwrap();
        let view = world.until_ended(&engine, run).await;
        assert_eq!(
            (view.outcome, World::states(&view)["part"]),
            (Some(RunOutcome::Failed), TaskState::Failed),
            "{view:#?}"
        );
        seen += 1;
    }
    assert!(seen > 0);
}

#[tokio::test]
async fn a_child_whose_playbook_is_gone_by_the_next_start_is_found_again() {
    let mut seen = 0;
    for record in 1..8 {
        let mut world = failing(CHILD);
        let engine = world.engine(Faults { crash_before: Some(record), ..Faults::none() }).await;
        let Ok(Proposed::New(run)) = engine.propose(world.request("PB-Parent", "key")).await else { continue };
        let asks = async || child(&engine, run).await.is_some_and(|view| view.approval.is_some());
        while !engine.has_crashed() && !asks().await {
            tokio::task::yield_now().await;
        }
        let Some(left) = child(&engine, run).await.filter(|_| engine.has_crashed()) else { continue };
        let started = engine.get(run).await.unwrap().unwrap().tasks[0].state == TaskState::Running;
        world.texts.truncate(1);
        let engine = world.engine(Faults::none()).await;
        engine.resume().await.unwrap();
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(World::states(&view)["part"], TaskState::RolledBack, "{record}: {view:#?}");
        assert_eq!(engine.get(left.run).await.unwrap().unwrap().state, RunState::Ended, "nobody else looks after it");
        seen += u32::from(started);
    }
    assert!(seen > 0, "at least once its task had not yet heard of it");
}

#[tokio::test]
async fn a_run_that_is_to_end_begins_no_part_after_a_restart() {
    let mut seen = 0;
    for record in 1..6 {
        let world = World::of(&[&TAKEN_BACK.replace("1000h", "1h"), CHILD]);
        let engine = world.engine(Faults { crash_before: Some(record), ..Faults::none() }).await;
        let Ok(Proposed::New(run)) = engine.propose(world.request("PB-Parent", "key")).await else { continue };
        while !engine.has_crashed() {
            tokio::task::yield_now().await;
        }
        let begun = child(&engine, run).await.is_some();
        world.clock.advance(Duration::from_secs(7200));
        let engine = world.engine(Faults::none()).await;
        engine.resume().await.unwrap();
        world.until_ended(&engine, run).await;
        assert_eq!(child(&engine, run).await.is_some(), begun, "{record}");
        seen += u32::from(!begun);
    }
    assert!(seen > 0);
}

/// Who was to open it again died before that, and another run has taken the key meanwhile.
#[tokio::test]
async fn a_parent_does_not_wait_for_ever_for_a_child_that_can_not_be_opened_again() {
    let keyed = keyed();
    let texts = [TAKEN_BACK, &keyed, OTHER];
    let mut seen = 0;
    for record in 1..40 {
        let world = World::of(&texts);
        world.target().script.insert("after".to_owned(), vec![Act::Permanent; 50].into());
        let engine = world.engine(Faults { crash_after: Some(record), ..Faults::none() }).await;
        let run = world.propose(&engine, "PB-Parent").await;
        if world.finish(&engine, run).await.is_some() {
            break;
        }
        let view = engine.get(run).await.unwrap().unwrap();
        let waits = view.tasks.iter().any(|task| task.undo && task.state == TaskState::Waiting);
        let Some(part) = child(&engine, run).await.map(|view| view.run) else { continue };
        let journal = engine.journal(part).await.unwrap();
        let Some(opened) = journal.iter().position(|entry| entry.event.word() == "cancelled").filter(|_| waits) else {
            continue;
        };
        close_again(&world, part, &journal[..opened]).await;
        let engine = world.engine(Faults::none()).await;
        let Proposed::New(holder) = engine.propose(world.request("PB-Other", "other")).await.unwrap() else { panic!() };
        engine.resume().await.unwrap();
        let view = world.until_ended(&engine, run).await;
        assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
        assert!(view.why.as_ref().unwrap().contains(&holder.to_string()), "{:?}", view.why);
        seen += 1;
        break;
    }
    assert_eq!(seen, 1);
}

/// The child as it stood before it was opened again.
async fn close_again(world: &World, part: RunId, journal: &[mayday::playbook::engine::Journaled]) {
    use mayday::playbook::run::apply;
    use mayday::store::{Batch, Key, Range};
    let status = journal.iter().fold(None, |status, entry| Some(apply(&entry.event, entry.at, status).unwrap()));
    let mut batch = Batch::new();
    batch.put(Key::of(["run", &part.key()]), &status.unwrap()).unwrap();
    batch.delete(Key::of(["run-open", &part.key()]));
    for lock in world.store.scan(&Range::under(&Key::of(["run-lock"]), 10)).await.unwrap() {
        batch.delete(lock.key);
    }
    for entry in world.store.scan(&Range::under(&Key::of(["run-event", &part.key()]), 100)).await.unwrap() {
        if entry.key.last().parse::<usize>().unwrap() >= journal.len() {
            batch.delete(entry.key);
        }
    }
    world.store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn what_one_of_two_children_of_a_task_left_is_named_though_the_other_left_nothing() {
    // Done twice: the first one's change can be undone, and the second one changes more, which can't.
    let child = "
playbook_id: PB-Child
name: child
parameters: {service: {type: name}}
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: change, type: Traffic_Shift, depends_on: [read], parameters: {service: '{{ params.service }}', to: b, percent: 0}, rollback: inverse}
  - {id: also, name: Also, type: Traffic_Shift, depends_on: [change], conditions: [up.value == 2], parameters: {service: x, to: b, percent: 0}}
";
    let parent = "
playbook_id: PB-Parent
name: parent
tasks:
  - {id: part, type: Sub_Playbook, depends_on: [level_before], parameters: {playbook: PB-Child, parameters: {service: cart}}, rollback: inverse, verify: {condition: level.value == 7, within: 2s, otherwise: fail}, on_failure: continue}
  - {id: level_before, type: Metric_Query, parameters: {expr: level}, output_variable: level}
  - {id: wait, type: Wait, depends_on: [part], parameters: {for: 1h}}
";
    let world = World::of(&[parent, child]);
    let (one, two) = (json!({"value": 1}), json!({"value": 2}));
    world.target().outputs.insert("read".to_owned(), [one.clone(), two.clone(), two].into());
    world.target().outputs.insert("level_before".to_owned(), [one].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Parent").await;
    let ana = person("ana", Role::Approver);
    let approve = async |number: u64| {
        let child = RunId::new(number);
        let begun = std::time::Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(20), "{child} never ends");
            match engine.get(child).await.unwrap() {
                Some(view) if view.state == RunState::Ended => return,
                Some(view) if view.approval.is_some() => drop(world.approve(&engine, child, "ana").await),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    approve(2).await;
    world.until(&engine, run, "failed", |view| World::states(view)["part"] == TaskState::Failed).await;
    engine.order(run, Order::Retry, &ana).await.unwrap();
    approve(3).await;
    world.until(&engine, run, "failed", |view| World::states(view)["part"] == TaskState::Failed).await;
    engine.order(run, Order::Cancel, &ana).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert!(view.why.as_ref().unwrap().ends_with("; stays as it is: Also (RUN-3)"), "{:?}", view.why);
    assert_eq!(world.target().slate.iter().collect::<Vec<_>>(), ["also"], "{view:#?}");
}

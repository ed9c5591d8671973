//! What a verification shows: that it holds for as long as it must, and that it did not hold before.

use std::time::Duration;

use mayday::access::Role;
use mayday::core::RunId;
use mayday::playbook::run::Event;
use mayday::playbook::view::{Order, RunOutcome};
use mayday::playbook::{Engine, Faults, RunView, Runs as _, TaskState};
use serde_json::{Value, json};

use super::engine_world::{Act, World, person};

const ONE: &str = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: fix, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 0}, rollback: inverse}
  - {id: check, type: Verify, depends_on: [fix], parameters: {condition: cpu.value < 80, within: 30s}}
";

/// The same, verified by the change itself.
fn own(how: &str) -> String {
    let verify = format!("verify: {{condition: cpu.value < 80, {how}}}");
    let text = ONE.replace("rollback: inverse", &verify);
    text.lines().filter(|line| !line.contains("id: check")).collect::<Vec<_>>().join("\n")
}

fn values(readings: &[i64]) -> std::collections::VecDeque<Value> {
    let one = |value: &i64| if *value < 0 { json!({"fails": "no answer"}) } else { json!({"value": value}) };
    readings.iter().map(one).collect()
}

/// A run of the first text to its end; the readings one after the other, a negative one fails. The first is how it is when
/// the run begins, and right before its change.
async fn run(texts: &[&str], readings: &[i64]) -> (World, Engine, RunView) {
    let world = World::of(texts);
    let readings = [&readings[..1], readings].concat();
    world.target().outputs.insert("read".to_owned(), values(&readings));
    let engine = world.engine(Faults::none()).await;
    let id = texts[0].lines().find_map(|line| line.strip_prefix("playbook_id: ")).unwrap();
    let run = world.propose(&engine, id).await;
    let view = world.finish(&engine, run).await.unwrap();
    (world, engine, view)
}

/// Whether what verifies it held before, of each start of a task.
async fn held(engine: &Engine, run: RunId, task: &str) -> Vec<Value> {
    let journal = engine.journal(run).await.unwrap().into_iter();
    let started = journal.filter_map(|entry| match entry.event {
        Event::Started { task: started, held_before, .. } if started == task => Some(json!(held_before)),
        _ => None,
    });
    started.collect()
}

const ALREADY: &str = "`cpu.value < 80` held already before the change: it does not show that anything was fixed";

#[tokio::test]
async fn what_must_hold_holds_without_interruption_and_an_error_is_one() {
    let task = ONE.replace("within: 30s", "within: 30s, for: 4s");
    let own = own("within: 30s, for: 4s, otherwise: rollback");
    let flaps: Vec<i64> = [90, 10, 20].into_iter().cycle().take(61).collect();
    for text in [&task, &own] {
        for (readings, outcome, reads) in [
            (vec![90, 10], RunOutcome::Fixed, 5),
            (vec![90, 10, 20, 95, 10], RunOutcome::Fixed, 8),
            (vec![90, 10, 20, -1, 10], RunOutcome::Fixed, 8),
            (flaps.clone(), RunOutcome::NoEffect, 18),
        ] {
            let (world, _, view) = run(&[text], &readings).await;
            assert_eq!(view.outcome, Some(outcome), "{readings:?} {text}: {view:#?}");
            assert_eq!(world.target().calls["read"], reads, "{readings:?} {text}");
            let note = view.why.clone().unwrap();
            let told = note.contains("did not hold for 4 s without interruption within 30 s");
            assert_eq!(told, outcome != RunOutcome::Fixed, "{note}");
        }
    }
}

#[tokio::test]
async fn who_approves_reads_for_how_long_it_must_hold() {
    let world = World::of(&[&ONE.replace("within: 30s", "within: 30s, for: 4s")]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let approval = world.until_asked(&engine, run).await.approval.unwrap();
    assert_eq!(approval.verified_by.as_deref(), Some("cpu value below 80 for 4 s"));
}

#[tokio::test]
async fn a_wait_until_waits_until_it_has_held_for_some_time() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: wait, type: Wait, depends_on: [read], parameters: {until: cpu.value < 80, for: 4s, within: 1m}}
";
    let (world, _, view) = run(&[text], &[90, 20, 95, 10]).await;
    assert_eq!(World::states(&view)["wait"], TaskState::Succeeded, "{view:#?}");
    assert_eq!(world.target().calls["read"], 7);
}

/// A run whose process dies when its verification has begun; another one takes it up so many seconds later, from when on
/// these are the readings.
async fn taken_up(text: &str, down: u64, readings: &[i64]) -> (World, Engine, RunView) {
    let (_, engine, view) = run(&[text], &[90, 10]).await;
    let begins = |event: &Event| match event {
        Event::Started { task, .. } => task == "check",
        Event::Succeeded { task, verify_until, .. } => task == "fix" && verify_until.is_some(),
        _ => false,
    };
    let journal = engine.journal(view.run).await.unwrap();
    let crash_after = journal.iter().position(|entry| begins(&entry.event)).map(|at| at as u64);
    let world = World::of(&[text]);
    world.target().outputs.insert("read".to_owned(), values(&[90]));
    let first = world.engine(Faults { crash_after, ..Faults::none() }).await;
    let run = world.propose(&first, "PB-A").await;
    assert!(world.finish(&first, run).await.is_none(), "it dies");
    world.clock.advance(Duration::from_secs(down));
    world.target().outputs.insert("read".to_owned(), values(readings));
    let next = world.engine(Faults::none()).await;
    next.resume().await.unwrap();
    let view = world.until_ended(&next, run).await;
    (world, next, view)
}

#[tokio::test]
async fn after_a_crash_it_is_measured_from_the_beginning_and_has_time_for_that() {
    let text = ONE.replace("within: 30s", "within: 2m, for: 40s");
    let own = own("within: 2m, for: 40s, otherwise: rollback");
    // In time; with less time left than it must hold; when the time is over.
    for (down, readings, helped) in [
        (5, vec![10], true),
        (100, vec![10], true),
        (500, vec![10], true),
        // What is read first may still say how it was before, or nothing.
        (100, vec![90, 10], true),
        (500, vec![90, 10], true),
        (500, vec![-1, -1, 10], true),
        (500, vec![10, 10, 90, 10], true),
        (100, vec![90], false),
        (500, vec![90], false),
    ] {
        for (text, id) in [(&text, "check"), (&own, "fix")] {
            let (world, engine, view) = taken_up(text, down, &readings).await;
            let outcome = if helped { RunOutcome::Fixed } else { RunOutcome::NoEffect };
            assert_eq!(view.outcome, Some(outcome), "{down} {readings:?}: {view:#?}");
            assert_eq!(world.target().slate.contains("fix"), helped, "{down} {readings:?}: {view:#?}");
            let took = world.target().calls["read"];
            assert!(took < 65, "it is not measured for ever: {took} readings");
            if id == "fix" {
                continue;
            }
            let journal = engine.journal(view.run).await.unwrap();
            let begun = journal.iter().filter_map(|entry| match &entry.event {
                Event::Started { task, intent, .. } if task == "check" => Some((entry.at, intent.deadline)),
                _ => None,
            });
            let begun: Vec<_> = begun.collect();
            assert_eq!(begun.len(), 2, "{journal:#?}");
            assert_eq!(begun[0].1, begun[1].1, "it has no more time than before");
            let over = journal.iter().find_map(|entry| match &entry.event {
                Event::Succeeded { task, output, .. } if task == "check" => Some((entry.at, output.clone())),
                _ => None,
            });
            assert_eq!(over.is_some(), helped, "{down} {readings:?}: {view:#?}");
            if let Some((at, output)) = over {
                let held = at.duration_since(begun[1].0).as_secs();
                assert!((40..70).contains(&held), "what was measured before does not count: {held} s");
                let all = at.duration_since(begun[0].0).as_secs_f64();
                let told = output["seconds"].as_f64().unwrap();
                assert!((all - told).abs() < 5.0, "it took {all} s from its first beginning, told are {told} s");
            }
        }
    }
}

#[tokio::test]
async fn what_held_already_before_the_change_is_not_called_fixed_and_not_undone() {
    let own = own("otherwise: rollback");
    for (text, id) in [(ONE, "check"), (own.as_str(), "fix")] {
        let (world, engine, view) = run(&[text], &[50]).await;
        assert_eq!(view.outcome, Some(RunOutcome::NoEffect), "{view:#?}");
        assert_eq!(view.why.as_deref(), Some(format!("{ALREADY}; stays as it is: fix").as_str()));
        assert!(view.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{view:#?}");
        assert!(world.target().slate.contains("fix"), "it is not undone because of that");
        assert_eq!(held(&engine, view.run, "fix").await, [json!({id: true})]);
        let (_, engine, view) = run(&[text], &[90, 50]).await;
        assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
        assert_eq!(held(&engine, view.run, "fix").await, [json!({id: false})]);
    }
}

#[tokio::test]
async fn before_is_right_before_the_change_and_what_can_not_be_read_then_is_not_known() {
    // First, then before the change, then after it.
    for (readings, outcome, known) in [
        ([90, 50, 50], RunOutcome::NoEffect, json!({"check": true})),
        ([50, 90, 50], RunOutcome::Fixed, json!({"check": false})),
        ([50, -1, 50], RunOutcome::Fixed, json!({})),
        ([-1, 50, 50], RunOutcome::NoEffect, json!({"check": true})),
    ] {
        // What was read a moment ago is not how it is right before either.
        for later in [0, 60] {
            let text = ONE.replace("output_variable: cpu}", "output_variable: cpu, on_failure: continue}");
            let world = World::of(&[&text]);
            world.target().outputs.insert("read".to_owned(), values(&readings));
            let engine = world.engine(Faults::none()).await;
            let run = world.propose(&engine, "PB-A").await;
            world.until_asked(&engine, run).await;
            world.clock.advance(Duration::from_secs(later));
            world.approve(&engine, run, "ana").await;
            let view = world.until_ended(&engine, run).await;
            assert_eq!(view.outcome, Some(outcome), "{readings:?}: {view:#?}");
            assert_eq!(held(&engine, run, "fix").await, std::slice::from_ref(&known), "{readings:?}");
        }
    }
}

#[tokio::test]
async fn what_is_read_only_after_the_change_is_read_before_it_too() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: fix, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, output_variable: fixed}
  - {id: read, type: Metric_Query, depends_on: [fix], parameters: {expr: cpu}, output_variable: cpu}
  - {id: check, type: Verify, depends_on: [read], parameters: {condition: cpu.value < 80, within: 30s}}
";
    // What the change gives says what to read: before it nobody knows.
    let later = text.replace("{expr: cpu}", "{expr: 'cpu > {{ fixed.after }}'}");
    for (text, readings, outcome, known) in [
        (text, vec![50], RunOutcome::NoEffect, json!({"check": true})),
        (text, vec![90, 50], RunOutcome::Fixed, json!({"check": false})),
        (text, vec![-1, 50], RunOutcome::Fixed, json!({})),
        (&later, vec![50], RunOutcome::Fixed, json!({})),
    ] {
        let world = World::of(&[text]);
        world.target().outputs.insert("read".to_owned(), values(&readings));
        world.target().outputs.insert("fix".to_owned(), [json!({"after": 7})].into());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(view.outcome, Some(outcome), "{readings:?}: {view:#?}");
        assert_eq!(held(&engine, run, "fix").await, [known], "{readings:?}");
    }
    // Nor does anybody know then that it is worse than before, whatever was read right after it.
    let holds = |text: &str| text.replace("within: 30s", "within: 10s, for: 4s");
    for (text, readings, outcome) in [
        (holds(text), vec![-1, 50, 95], RunOutcome::NoEffect),
        (holds(&later), vec![50, 95], RunOutcome::NoEffect),
        (holds(text), vec![50, 50, 95], RunOutcome::MadeWorse),
    ] {
        let world = World::of(&[&text]);
        world.target().outputs.insert("read".to_owned(), values(&readings));
        world.target().outputs.insert("fix".to_owned(), [json!({"after": 7})].into());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(view.outcome, Some(outcome), "{readings:?} {text}: {view:#?}");
    }
}

#[tokio::test]
async fn of_several_changes_with_one_verification_the_first_counts() {
    let text = ONE.replace(
        "  - {id: check, type: Verify, depends_on: [fix],",
        "  - {id: more, type: Traffic_Shift, depends_on: [fix], parameters: {service: a, to: b, percent: 1}}
  - {id: check, type: Verify, depends_on: [more],",
    );
    for (readings, outcome, known) in [
        ([90, 50], RunOutcome::Fixed, json!({"check": false})),
        ([50, 50], RunOutcome::NoEffect, json!({"check": true})),
    ] {
        let (_, engine, view) = run(&[&text], &readings).await;
        assert_eq!(view.outcome, Some(outcome), "{readings:?}: {view:#?}");
        assert_eq!(held(&engine, view.run, "fix").await, [known]);
        assert_eq!(held(&engine, view.run, "more").await, [json!({})], "it is measured since the first");
    }
}

#[tokio::test]
async fn a_watch_that_held_all_along_does_not_hide_what_was_fixed() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: up, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: clear, type: Service_Restart, depends_on: [up, read], parameters: {service: a}, verify: {condition: up.value == 1}}
  - {id: fix, type: Traffic_Shift, depends_on: [clear], parameters: {service: a, to: b, percent: 0}, verify: {condition: cpu.value < 80}}
";
    let (_, _, view) = run(&[text], &[90, 50]).await;
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
    let (_, _, view) = run(&[text], &[50]).await;
    assert_eq!(view.outcome, Some(RunOutcome::NoEffect), "{view:#?}");
    assert!(view.why.as_ref().unwrap().starts_with("`up.value == 1`, `cpu.value < 80` held already"), "{view:#?}");
}

#[tokio::test]
async fn what_another_branch_fixed_is_not_how_it_was_before() {
    // The second change has nothing to do with the first, whose doing it is that the reading is another by then.
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: one, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 0}, conditions: ['false']}
  - {id: two, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 1}, retry: {attempts: 2, backoff: 4s, jitter: 0}, verify: {condition: cpu.value < 80}}
";
    for (text, readings, outcome) in [
        (text.replace("'false'", "'true'"), vec![90, 90, 50], json!([{"two": false}, {"two": true}])),
        (text.to_owned(), vec![90, 90, 90, 50], json!([{"two": false}, {"two": false}])),
    ] {
        let world = World::of(&[&text]);
        world.target().script.insert("two".to_owned(), [Act::Transient].into());
        world.target().script.insert("one".to_owned(), [Act::Hang].into());
        world.target().outputs.insert("read".to_owned(), values(&readings));
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        world.finish(&engine, run).await.unwrap();
        assert_eq!(json!(held(&engine, run, "two").await), outcome, "{text}");
    }
}

#[tokio::test]
async fn a_change_in_doubt_keeps_how_it_was_before() {
    let text = ONE.replace("Traffic_Shift", "Service_Restart").replace(", to: b, percent: 0}, rollback: inverse", "}");
    for (readings, outcome) in [(vec![90, 90, 50], RunOutcome::Fixed), (vec![50], RunOutcome::NoEffect)] {
        let world = World::of(&[&text]);
        world.target().script.insert("fix".to_owned(), [Act::DoUnsaid].into());
        world.target().outputs.insert("read".to_owned(), values(&readings));
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        let view = world.finish(&engine, run).await.unwrap();
        assert_eq!(view.outcome, Some(outcome), "{readings:?}: {view:#?}");
    }
}

#[tokio::test]
async fn what_people_start_again_is_judged_by_how_it_was_before_the_first_time() {
    let text = ONE.replace("within: 30s", "within: 2s") + "  - {id: hold, type: Wait, parameters: {for: 10m}}\n";
    for (first, outcome) in [(90, RunOutcome::Fixed), (50, RunOutcome::NoEffect)] {
        let text =
            text.replace("rollback: inverse", "on_failure: continue, verify: {condition: cpu.value < 60, within: 2s}");
        let world = World::of(&[&text]);
        // Before, at the end of the first verification, which does not hold, and at all that comes then.
        world.target().outputs.insert("read".to_owned(), values(&[first, first, 70, 70, 70, 50]));
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        world.until_asked(&engine, run).await;
        world.approve(&engine, run, "ana").await;
        world.until(&engine, run, "failed", |view| World::states(view)["fix"] == TaskState::Failed).await;
        engine.order(run, Order::Retry, &person("ana", Role::Approver)).await.unwrap();
        world.until_asked(&engine, run).await;
        world.clock.advance(Duration::from_secs(600));
        world.approve(&engine, run, "ana").await;
        let view = world.until_ended(&engine, run).await;
        assert_eq!(view.outcome, Some(outcome), "{first}: {view:#?}");
    }
}

#[tokio::test]
async fn what_a_part_changed_is_measured_from_before_the_part() {
    let parent = "
playbook_id: PB-Parent
name: parent
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: part, type: Sub_Playbook, depends_on: [read], parameters: {playbook: PB-Part}}
  - {id: check, type: Verify, depends_on: [part], parameters: {condition: cpu.value < 80, within: 10s}}
";
    let part =
        "{playbook_id: PB-Part, name: p, tasks: [{id: change, type: Service_Restart, parameters: {service: a}}]}";
    for (readings, outcome) in [(vec![90, 50], RunOutcome::Fixed), (vec![50], RunOutcome::NoEffect)] {
        let (_, _, view) = run(&[parent, part], &readings).await;
        assert_eq!(view.outcome, Some(outcome), "{view:#?}");
        assert_eq!(view.why.as_ref().unwrap().starts_with(ALREADY), outcome == RunOutcome::NoEffect, "{view:#?}");
    }
    // What the part measured itself counts for the whole.
    let whole = "
playbook_id: PB-Whole
name: whole
tasks:
  - {id: part, type: Sub_Playbook, parameters: {playbook: PB-A}}
";
    for (readings, outcome) in [(vec![90, 50], RunOutcome::Fixed), (vec![50], RunOutcome::NoEffect)] {
        let (_, _, view) = run(&[whole, ONE], &readings).await;
        assert_eq!(view.outcome, Some(outcome), "{view:#?}");
    }
}

#[tokio::test]
async fn what_can_not_be_told_before_the_change_is_measured_after_it_as_ever() {
    let own = ONE.replace("rollback: inverse", "output_variable: fixed");
    let own = own.replace("cpu.value < 80", "fixed.after > 0 && cpu.value < 80");
    let world = World::of(&[&own]);
    world.target().outputs.insert("read".to_owned(), values(&[50]));
    world.target().outputs.insert("fix".to_owned(), [json!({"after": 7})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
    assert_eq!(held(&engine, run, "fix").await, [json!({})]);
}

#[tokio::test]
async fn a_journal_of_before_says_nothing_of_it_and_its_run_ends_as_it_did_then() {
    use mayday::playbook::Book;
    use mayday::playbook::run::{Busy, Limits, Next, apply, decide};
    let (world, engine, view) = run(&[ONE], &[50]).await;
    assert_eq!(view.outcome, Some(RunOutcome::NoEffect));
    let mut status = None;
    for entry in engine.journal(view.run).await.unwrap() {
        if matches!(entry.event, Event::Ended { .. }) {
            break;
        }
        let mut event = serde_json::to_value(&entry.event).unwrap();
        event.as_object_mut().unwrap().remove("held_before");
        status = Some(apply(&serde_json::from_value(event).unwrap(), entry.at, status).unwrap());
    }
    let book = Book::read("test.yaml", ONE.as_bytes()).unwrap();
    let limits = Limits {
        approvals: world.options.approvals,
        approval_expires: world.options.approval_expires,
        allow_self: false,
        parallel_tasks: 4,
        missing: Vec::new(),
        output_bytes: 1000,
    };
    let next = decide(&book, &status.unwrap(), &Busy::new(), world.now(), &limits);
    let fixed = |next: &Next| matches!(next, Next::Record(Event::Ended { outcome: RunOutcome::Fixed, .. }));
    assert!(next.iter().any(fixed), "{next:#?}");
}

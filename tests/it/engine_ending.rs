//! What a run says it came to: by what was measured of its own changes, with what stays of them, a child run's among it.

use std::time::Duration;

use mayday::access::Role;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Error, Faults, Proposed, RunState, Runs as _, TaskState};
use serde_json::json;

use super::engine_world::{Act, World, person};

#[tokio::test]
async fn what_was_measured_before_the_change_does_not_say_that_it_did_not_help() {
    let text = "
playbook_id: PB-A
name: does it recover by itself
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: itself, type: Verify, depends_on: [read], parameters: {condition: up.value == 1, within: 4s}, on_failure: continue}
  - {id: restart, type: Service_Restart, depends_on: [itself], conditions: ['tasks.itself.state == \"failed\"'], parameters: {service: a}}
  - {id: check, type: Verify, depends_on: [restart], parameters: {condition: up.value == 1, within: 20s}}
";
    let world = World::of(&[text]);
    world.target().helped.insert("read".to_owned(), (json!({"value": 0}), json!({"value": 1})));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(World::states(&view)["itself"], TaskState::Failed);
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
}

#[tokio::test]
async fn what_was_measured_beside_the_change_says_nothing_of_it() {
    let text = "
playbook_id: PB-A
name: two branches
tasks:
  - {id: other, type: Metric_Query, parameters: {expr: up}, output_variable: other}
  - {id: beside, type: Verify, depends_on: [other], parameters: {condition: other.value == 5, within: 4s}, on_failure: continue}
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: restart, type: Service_Restart, depends_on: [read], parameters: {service: a}}
  - {id: check, type: Verify, depends_on: [restart], parameters: {condition: up.value == 1, within: 20s}}
";
    let world = World::of(&[text]);
    world.target().helped.insert("read".to_owned(), (json!({"value": 0}), json!({"value": 1})));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(World::states(&view)["beside"], TaskState::Failed);
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
}

#[tokio::test]
async fn what_a_failed_run_changed_and_can_not_take_back_is_said() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: change, type: Service_Restart, parameters: {service: a}}
  - {id: after, type: API_Call, action: GET /x, depends_on: [change]}
";
    let world = World::of(&[text]);
    world.target().script.insert("after".to_owned(), [Act::Permanent].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.finish(&engine, run).await.unwrap();
    assert_eq!(view.outcome, Some(RunOutcome::Failed));
    assert!(view.why.as_ref().unwrap().ends_with("stays as it is: change"), "{view:#?}");
}

const UNMEASURED: &str = "
playbook_id: PB-Child
name: child
tasks:
  - {id: change, type: Service_Restart, parameters: {service: a}}
  - {id: after, type: API_Call, action: GET /x, depends_on: [change]}
";

#[tokio::test]
async fn what_a_child_changed_counts_as_changed_and_is_said_to_stay() {
    let parent = "
playbook_id: PB-Parent
name: parent
tasks:
  - {id: own, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, rollback: inverse, conditions: [ALSO]}
  - {id: part, type: Sub_Playbook, depends_on: [own], parameters: {playbook: PB-Child}, output_variable: part, on_failure: continue}
  - {id: tell, type: Notification, depends_on: [part], parameters: {message: '{{ part.changed }} {{ part.stays | join }}'}}
";
    // Nothing measured it, the child failed after it, the parent failed after that.
    for (child_fails, parent_fails) in [(false, false), (true, false), (false, true)] {
        let world = World::of(&[&parent.replace("ALSO", if parent_fails { "true" } else { "false" }), UNMEASURED]);
        for (task, _) in [("after", child_fails), ("tell", parent_fails)].iter().filter(|(_, fails)| *fails) {
            world.target().script.insert((*task).to_owned(), [Act::Permanent].into());
        }
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Parent").await;
        let view = world.finish(&engine, run).await.unwrap();
        let why = view.why.clone().unwrap();
        assert!(why.ends_with("stays as it is: change (RUN-2)"), "{child_fails} {parent_fails}: {view:#?}");
        if parent_fails {
            assert_eq!(view.outcome, Some(RunOutcome::Failed), "{view:#?}");
            assert!(why.contains("undone: own"), "{why}");
            assert!(world.target().slate.contains("change") && !world.target().slate.contains("own"));
        } else {
            assert_eq!(view.outcome, Some(RunOutcome::NoEffect), "{view:#?}");
            assert!(why.starts_with("the change was made, but nothing measured"), "{why}");
            assert_eq!(world.target().said, ["True change (RUN-2)"]);
        }
    }
}

#[tokio::test]
async fn a_concurrency_key_is_one_whatever_the_playbook_and_a_part_shares_its_runs() {
    let one = "
playbook_id: PB-One
name: one
concurrency_key: shop
tasks:
  - {id: part, type: Sub_Playbook, parameters: {playbook: PB-Part}}
  - {id: w, type: Wait, depends_on: [part], parameters: {for: 1h}}
";
    let part =
        "{playbook_id: PB-Part, name: p, concurrency_key: shop, tasks: [{id: w, type: Wait, parameters: {for: 10s}}]}";
    let two =
        "{playbook_id: PB-Two, name: t, concurrency_key: shop, tasks: [{id: w, type: Wait, parameters: {for: 10s}}]}";
    let world = World::of(&[one, part, two]);
    let engine = world.engine(Faults::none()).await;
    let refused = |proposed: Result<Proposed, Error>| matches!(proposed, Err(Error::NotNow(says)) if says.contains("RUN-1 works on the same"));
    let run = world.propose(&engine, "PB-One").await;
    assert!(refused(engine.propose(world.request("PB-Two", "a")).await));
    let view = world.until(&engine, run, "past its part", |view| World::states(view)["w"] == TaskState::Waiting).await;
    assert_eq!(World::states(&view)["part"], TaskState::Succeeded, "{view:#?}");
    assert!(refused(engine.propose(world.request("PB-Two", "b")).await), "the part does not let go of its run's lock");
    world.clock.advance(Duration::from_secs(3600));
    world.until_ended(&engine, run).await;
    assert!(matches!(engine.propose(world.request("PB-Two", "c")).await, Ok(Proposed::New(_))));
}

#[tokio::test]
async fn what_was_turned_down_uses_up_no_quota_and_the_cooldown_counts_from_the_change() {
    let text = "
playbook_id: PB-A
name: a
cooldown: 10m
quota: {runs: 2, per: 24h}
tasks: [{id: change, type: Service_Restart, parameters: {service: a}}]
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let propose = async |key: &str| match engine.propose(world.request("PB-A", key)).await {
        Ok(Proposed::New(run)) => Ok(run),
        Err(Error::NotNow(says)) => Err(says),
        other => panic!("{other:?}"),
    };
    for number in 0..4 {
        let run = propose(&format!("rejected {number}")).await.unwrap();
        world.until_asked(&engine, run).await;
        engine.order(run, Order::Reject { reason: None }, &person("ana", Role::Approver)).await.unwrap();
        world.until_ended(&engine, run).await;
    }
    for number in 0..2 {
        let run = propose(&format!("done {number}")).await.unwrap();
        world.until_asked(&engine, run).await;
        world.clock.advance(Duration::from_secs(20 * 60));
        world.approve(&engine, run, "ana").await;
        assert_eq!(world.until_ended(&engine, run).await.outcome, Some(RunOutcome::NoEffect));
        let says = propose(&format!("too early {number}")).await.unwrap_err();
        assert!(says.contains(if number == 0 { "may run again from" } else { "may run again" }), "{says}");
        world.clock.advance(Duration::from_secs(11 * 60));
    }
    let says = propose("too many").await.unwrap_err();
    assert!(says.contains("quota"), "{says}");
}

#[tokio::test]
async fn nobody_is_late_to_approve_while_the_run_is_paused() {
    let text = "{playbook_id: PB-A, name: a, max_duration: 10h, tasks: [{id: change, type: Service_Restart, parameters: {service: a}}]}";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    let ana = person("ana", Role::Approver);
    engine.order(run, Order::Pause, &ana).await.unwrap();
    world.clock.advance(Duration::from_secs(40 * 60));
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.get(run).await.unwrap().unwrap().state, RunState::Paused);
    let late = world.approve(&engine, run, "ana").await;
    assert!(
        matches!(&late, Decided::Nothing(says) if says.contains("`resume` asks for the approval again")),
        "{late:?}"
    );
    engine.order(run, Order::Resume, &ana).await.unwrap();
    let approved = world.approve(&engine, run, "ana").await;
    assert!(matches!(approved, Decided::Done(_)), "{approved:?}");
    assert_eq!(World::states(&world.until_ended(&engine, run).await)["change"], TaskState::Succeeded);
}

#[tokio::test]
async fn a_change_is_asked_for_while_another_branch_waits_for_a_condition() {
    for waits in [
        "type: Verify, parameters: {condition: up.value == 5, within: 2h}",
        "type: Wait, parameters: {until: up.value == 5, within: 2h}",
    ] {
        let text = format!(
            "
playbook_id: PB-A
name: a
max_duration: 10h
tasks:
  - {{id: read, type: Metric_Query, parameters: {{expr: up}}, output_variable: up}}
  - {{id: waits, {waits}, depends_on: [read]}}
  - {{id: change, type: Service_Restart, parameters: {{service: a}}}}
"
        );
        let world = World::of(&[&text]);
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        let view = world.until_asked(&engine, run).await;
        assert_eq!(World::states(&view)["waits"], TaskState::Running, "{view:#?}");
    }
}

#[tokio::test]
async fn worse_is_worse_than_right_before_the_change_and_not_than_before_the_approval() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: cpu}, output_variable: cpu}
  - {id: change, type: Service_Restart, depends_on: [read], parameters: {service: a}}
  - {id: check, type: Verify, depends_on: [change], parameters: {condition: cpu.value < 80, within: 4s}, on_failure: continue}
";
    let own = text.replace(
        "parameters: {service: a}}\n",
        "parameters: {service: a}, on_failure: continue, verify: {condition: cpu.value < 80, within: 4s}}\n",
    );
    let own = own.lines().filter(|line| !line.contains("id: check")).collect::<Vec<_>>().join("\n");
    for text in [text, &own] {
        for (before, after, outcome) in [(99, 99, RunOutcome::NoEffect), (85, 99, RunOutcome::MadeWorse)] {
            let world = World::of(&[text]);
            world.target().outputs.insert("read".to_owned(), [json!({"value": 90})].into());
            let engine = world.engine(Faults::none()).await;
            let run = world.propose(&engine, "PB-A").await;
            world.until_asked(&engine, run).await;
            world.clock.advance(Duration::from_secs(60));
            let readings = [json!({"value": before}), json!({"value": after})];
            world.target().outputs.insert("read".to_owned(), readings.into());
            world.approve(&engine, run, "ana").await;
            let view = world.until_ended(&engine, run).await;
            assert_eq!(view.outcome, Some(outcome), "{before} {after} {text}: {view:#?}");
        }
    }
}

//! How runs behave: order, approval, drift, verification, pause and cancel, limits; through the engine's public door.

use std::collections::BTreeMap;
use std::time::Duration;

use mayday::access::{Actor, Audit, PersonId, Role};
use mayday::core::Clock as _;
use mayday::core::duration::Span;
use mayday::core::stop::Stopper;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Error, Faults, NoticeKind, Proposed, RunState, Runs as _, TaskState};
use mayday::store::{Batch, Key, Range};
use mayday::work::{Leases, Shard};
use serde_json::json;

use super::engine_world::{Act, World, notices, person};

const RESTART: &str = "
playbook_id: PB-Restart
name: restart and verify
parameters: {service: {type: name, default: order-service}}
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: restart, type: Service_Restart, depends_on: [read], parameters: {service: '{{ params.service }}'}, on_success: send_notification}
  - {id: check, type: Verify, depends_on: [restart], parameters: {condition: up.value == 1, within: 20s}, on_failure: escalate_with_notification}
  - {id: tell, type: Notification, depends_on: [check], parameters: {message: '{{ params.service }} {{ up.value }}'}}
";

/// A world in which the restart helps.
fn restarted() -> World {
    let world = World::of(&[RESTART]);
    world.target().helped.insert("read".to_owned(), (json!({"value": 0}), json!({"value": 1})));
    world
}

#[tokio::test]
async fn reads_run_first_the_change_waits_for_a_person_and_ends_fixed_when_verified() {
    let world = restarted();
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    let view = world.until_asked(&engine, run).await;
    assert_eq!(view.state, RunState::Proposed);
    assert_eq!(World::states(&view)["read"], TaskState::Succeeded);
    assert_eq!(World::states(&view)["restart"], TaskState::Waiting);
    let ask = view.approval.unwrap();
    assert_eq!((ask.needed, ask.frontier.len()), (1, 1));
    assert_eq!(ask.verified_by.as_deref(), Some("up value is 1"));
    assert!(world.target().happened.keys().all(|key| !key.contains("restart")));

    let decided = world.approve(&engine, run, "ana").await;
    assert!(matches!(&decided, Decided::Done(says) if says.contains("approved")), "{decided:?}");
    let again = world.approve(&engine, run, "bo").await;
    assert!(
        matches!(&again, Decided::Nothing(says) if says.contains("by ana") || says.contains("has ended")),
        "{again:?}"
    );

    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Fixed), "{view:#?}");
    assert!(view.tasks.iter().all(|task| task.state == TaskState::Succeeded));
    assert_eq!(world.target().said, ["order-service 0"]);
    // Secrets in outputs are not stored.
    assert!(!serde_json::to_string(&view).unwrap().contains("xoxb-1234567890"));
    let late = world.approve(&engine, run, "bo").await;
    assert!(matches!(&late, Decided::Nothing(says) if says.contains("has ended (fixed)")), "{late:?}");

    let told = notices(&world).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].kind, told[0].task.as_str()), (NoticeKind::Success, "restart"));
    let report = mayday::access::audit::verify(&world.store, &[]).await.unwrap();
    assert!(report.first_bad.is_none());
    // The vote, and the change with its right.
    assert_eq!(report.records, 2);
}

#[tokio::test]
async fn who_proposed_a_run_may_not_approve_it_and_a_responder_may_not_at_all() {
    let world = restarted();
    let engine = world.engine(Faults::none()).await;
    let mut request = world.request("PB-Restart", "k");
    request.by = Actor::Person(PersonId("web:ana".to_owned()));
    let Proposed::New(run) = engine.propose(request.clone()).await.unwrap() else { panic!() };
    assert_eq!(engine.propose(request).await.unwrap(), Proposed::Already(run));
    world.until_asked(&engine, run).await;
    assert!(matches!(world.approve(&engine, run, "ana").await, Decided::Refused(_)));
    let order = Order::Approve { plan_hash: None, reason: None };
    let responder = engine.order(run, order, &person("cy", Role::Responder)).await.unwrap();
    assert!(matches!(responder, Decided::Refused(_)), "{responder:?}");
    let order = Order::Approve { plan_hash: Some("another".to_owned()), reason: None };
    let other = engine.order(run, order, &person("bo", Role::Approver)).await.unwrap();
    assert!(matches!(&other, Decided::Nothing(says) if says.contains("plan has changed")), "{other:?}");
    assert!(matches!(world.approve(&engine, run, "bo").await, Decided::Done(_)));
    assert_eq!(world.until_ended(&engine, run).await.outcome, Some(RunOutcome::Fixed));
}

#[tokio::test]
async fn a_destructive_change_needs_two_people_and_an_unanswered_request_expires() {
    let text = "{playbook_id: PB-A, name: a, tasks: [{id: clean, type: Disk_Cleanup, parameters: {service: a}}]}";
    let mut world = World::of(&[text]);
    world.options.approvals.destructive = std::num::NonZeroU32::new(2).unwrap();
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    assert_eq!(world.until_asked(&engine, run).await.approval.unwrap().needed, 2);
    assert!(matches!(&world.approve(&engine, run, "ana").await, Decided::Done(says) if says.contains("1 more")));
    assert!(matches!(world.approve(&engine, run, "ana").await, Decided::Nothing(_)));
    world.clock.advance(Duration::from_secs(31 * 60));
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Expired));
    assert!(view.why.unwrap().contains("nobody approved"));
    assert!(world.target().happened.is_empty());
    let notices = notices(&world).await;
    let told = notices.iter().find(|notice| notice.says.contains("nobody approved")).expect("people are told");
    assert_eq!(told.kind, NoticeKind::Escalation);
}

const GUARDED: &str = "
playbook_id: PB-A
name: a service that answers is not restarted
concurrency_key: one
tasks:
  - {id: look, type: Metric_Query, parameters: {expr: up}, output_variable: up}
  - {id: restart, type: Service_Restart, depends_on: [look], parameters: {service: a}, conditions: [up.value == 0]}
";

#[tokio::test]
async fn an_approval_that_comes_after_the_service_has_recovered_restarts_nothing() {
    let world = World::of(&[GUARDED]);
    world.target().outputs.insert("look".to_owned(), [json!({"value": 0}), json!({"value": 1})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    world.clock.advance(Duration::from_secs(40));
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["restart"], TaskState::Skipped);
    assert!(view.tasks[1].note.as_ref().unwrap().contains("no longer needed"), "{:?}", view.tasks[1].note);
    assert!(!world.target().keys.contains_key("restart"));
}

#[tokio::test]
async fn what_recovered_a_moment_before_the_approval_is_not_restarted_either() {
    let world = World::of(&[GUARDED]);
    world.target().outputs.insert("look".to_owned(), [json!({"value": 0}), json!({"value": 1})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["restart"], TaskState::Skipped, "{view:#?}");
    assert!(!world.target().keys.contains_key("restart"));
}

#[tokio::test]
async fn a_proposal_taken_back_ends_and_lets_the_next_one_in() {
    let world = World::of(&[GUARDED]);
    world.target().outputs.insert("look".to_owned(), [json!({"value": 0})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    assert!(engine.propose(world.request("PB-A", "other")).await.is_err(), "one at a time");
    let decided = engine.withdraw(run, "INC-1 is over".to_owned()).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled));
    assert_eq!(view.why.as_deref(), Some("Mayday took the proposal back: INC-1 is over"));
    assert!(matches!(world.approve(&engine, run, "ana").await, Decided::Nothing(_)));
    assert!(engine.propose(world.request("PB-A", "other")).await.is_ok());
}

#[tokio::test]
async fn a_change_that_has_begun_is_not_taken_back() {
    let text = "{playbook_id: PB-A, name: a, tasks: [{id: fix, type: Run_Command, parameters: {program: p}}]}";
    let world = World::of(&[text]);
    world.target().script.insert("fix".to_owned(), [Act::Lost].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "in doubt", |view| view.tasks[0].state == TaskState::InDoubt).await;
    let decided = engine.withdraw(run, "INC-1 is over".to_owned()).await.unwrap();
    assert!(matches!(&decided, Decided::Nothing(says) if says.contains("a person must end it")), "{decided:?}");
    let notices = notices(&world).await;
    assert!(notices.iter().any(|notice| notice.kind == NoticeKind::Escalation && notice.says.contains("not known")));
}

#[tokio::test]
async fn an_interrupted_effect_of_a_cancelled_run_is_not_made_again() {
    let text = "{playbook_id: PB-A, name: a, tasks: [{id: clean, type: Disk_Cleanup, parameters: {service: a}}]}";
    for cancels in [false, true] {
        let world = World::of(&[text]);
        world.target().script.insert("clean".to_owned(), [Act::Hang].into());
        let first = world.engine(Faults::none()).await;
        let run = world.propose(&first, "PB-A").await;
        world.until_asked(&first, run).await;
        world.approve(&first, run, "ana").await;
        world.until(&first, run, "running", |view| view.tasks[0].state == TaskState::Running).await;
        let second = world.engine(Faults::none()).await;
        second.resume().await.unwrap();
        if cancels {
            second.order(run, Order::Cancel, &person("ana", Role::Approver)).await.unwrap();
            let view = world.until(&second, run, "in doubt", |view| view.tasks[0].state == TaskState::InDoubt).await;
            assert!(view.why.unwrap().contains("not started again"));
            assert!(world.target().happened.is_empty());
        } else {
            world.until_ended(&second, run).await;
            let audit = mayday::access::Audit::new(world.store.clone(), world.clock()).list(None, 50).await.unwrap();
            let tries = audit.records.iter().filter(|record| record.action == "perform").count();
            assert_eq!(tries, 2, "each try is audited");
        }
    }
}

#[tokio::test]
async fn a_run_that_can_not_be_read_back_ends_as_stuck_lets_its_lock_go_and_is_told() {
    let world = World::of(&[GUARDED]);
    world.target().outputs.insert("look".to_owned(), [json!({"value": 0})].into());
    let first = world.engine(Faults::none()).await;
    let run = world.propose(&first, "PB-A").await;
    world.until_asked(&first, run).await;
    first.stop().await;
    let texts = world.store.scan(&Range::under(&Key::of(["playbook"]), 10)).await.unwrap();
    let mut batch = Batch::new();
    for entry in &texts {
        batch.delete(entry.key.clone());
    }
    world.store.commit(batch).await.unwrap();
    let second = world.engine(Faults::none()).await;
    assert_eq!(second.resume().await.unwrap(), 0);
    let view = second.get(run).await.unwrap().unwrap();
    assert_eq!((view.state, view.outcome), (RunState::Ended, Some(RunOutcome::Stuck)));
    assert!(matches!(world.approve(&second, run, "ana").await, Decided::Nothing(_)));
    assert!(second.propose(world.request("PB-A", "other")).await.is_ok(), "its lock is free");
    let notices = notices(&world).await;
    assert!(
        notices.iter().any(|notice| notice.kind == NoticeKind::Escalation && notice.says.contains("can't be read"))
    );
}

#[tokio::test]
async fn a_rejected_run_changes_nothing() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    let order = Order::Reject { reason: Some("not during the sale".to_owned()) };
    engine.order(run, order, &person("ana", Role::Approver)).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Rejected));
    assert!(view.why.unwrap().contains("not during the sale"));
    assert!(!world.target().keys.contains_key("restart"));
}

#[tokio::test]
async fn a_verification_that_does_not_hold_is_no_effect_and_calls_a_person() {
    let world = World::of(&[RESTART]);
    world.target().outputs.insert("read".to_owned(), [json!({"value": 0})].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::NoEffect), "{view:#?}");
    assert_eq!(World::states(&view)["tell"], TaskState::Pending);
    assert!(world.target().calls["read"] > 5, "it was read again and again");
    let kinds: Vec<_> = notices(&world).await.into_iter().map(|notice| notice.kind).collect();
    let once = kinds.contains(&NoticeKind::Escalation) && !kinds.contains(&NoticeKind::Failure);
    assert!(once, "who is called reads the failure there: {kinds:?}");
}

#[tokio::test]
async fn an_error_in_a_condition_fails_the_task_and_never_skips_or_runs_it() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: API_Call, action: GET /x, output_variable: x}
  - {id: no, type: API_Call, action: GET /y, depends_on: [read], conditions: [x.value > 5]}
  - {id: broken, type: API_Call, action: GET /z, depends_on: [no], conditions: [x.missing > 5], on_failure: continue}
  - {id: last, type: API_Call, action: GET /z, depends_on: [broken]}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.until_ended(&engine, run).await;
    let states = World::states(&view);
    assert_eq!(states["no"], TaskState::Skipped);
    assert_eq!(states["broken"], TaskState::Failed);
    assert_eq!(states["last"], TaskState::Succeeded);
    assert!(!world.target().calls.contains_key("broken"));
}

#[tokio::test]
async fn a_task_that_hangs_or_breaks_off_does_not_stop_the_others() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: hangs, type: API_Call, action: GET /x, timeout: 30s, on_failure: continue}
  - {id: panics, type: API_Call, action: GET /x, on_failure: continue}
  - {id: fine, type: API_Call, action: GET /y}
  - {id: after, type: API_Call, action: GET /z, depends_on: [fine]}
";
    let world = World::of(&[text]);
    world.target().script.insert("hangs".to_owned(), [Act::Hang].into());
    world.target().script.insert("panics".to_owned(), [Act::Panic].into());
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world
        .until(&engine, run, "past the hanging one", |view| World::states(view)["after"] == TaskState::Succeeded)
        .await;
    assert_eq!(World::states(&view)["hangs"], TaskState::Running);
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["hangs"], TaskState::Failed);
    assert_eq!(World::states(&view)["panics"], TaskState::Failed);
    assert!(view.tasks[0].note.as_ref().unwrap().contains("no answer within 30 s"), "{:?}", view.tasks[0].note);
}

#[tokio::test]
async fn an_effect_nobody_can_ask_about_waits_for_a_person_who_knows() {
    let text = "{playbook_id: PB-A, name: a, tasks: [{id: fix, type: Run_Command, parameters: {program: p}}]}";
    for (answer, calls) in [("done", 1), ("not done", 2)] {
        let world = World::of(&[text]);
        world.target().script.insert("fix".to_owned(), [Act::Lost].into());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-A").await;
        world.until_asked(&engine, run).await;
        world.approve(&engine, run, "ana").await;
        let view = world.until(&engine, run, "in doubt", |view| view.tasks[0].state == TaskState::InDoubt).await;
        assert!(view.why.unwrap().contains("not known whether"));
        let ask = |answer: &str| Order::Answer { task: "fix".to_owned(), answer: answer.to_owned() };
        let ana = person("ana", Role::Approver);
        assert!(matches!(engine.order(run, ask("perhaps"), &ana).await.unwrap(), Decided::Nothing(_)));
        assert!(matches!(engine.order(run, ask(answer), &ana).await.unwrap(), Decided::Done(_)));
        let view = world.until_ended(&engine, run).await;
        assert_eq!(view.tasks[0].state, TaskState::Succeeded);
        assert_eq!(world.target().calls["fix"], calls, "{answer}");
    }
}

#[tokio::test]
async fn a_paused_run_starts_nothing_and_a_cancelled_one_ends() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: first, type: Wait, parameters: {for: 1h}}
  - {id: second, type: API_Call, action: GET /x, depends_on: [first]}
  - {id: third, type: API_Call, action: GET /x, depends_on: [second], pause: true}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let ana = person("ana", Role::Approver);
    world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
    engine.order(run, Order::Pause, &ana).await.unwrap();
    world.clock.advance(Duration::from_secs(3700));
    let view =
        world.until(&engine, run, "first done", |view| World::states(view)["first"] == TaskState::Succeeded).await;
    assert_eq!(view.state, RunState::Paused);
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(World::states(&engine.get(run).await.unwrap().unwrap())["second"], TaskState::Pending);
    assert!(matches!(engine.order(run, Order::Pause, &ana).await.unwrap(), Decided::Nothing(_)));
    engine.order(run, Order::Resume, &ana).await.unwrap();
    let view = world.until(&engine, run, "paused by the playbook", |view| view.state == RunState::Paused).await;
    assert_eq!(World::states(&view)["second"], TaskState::Succeeded);
    assert!(matches!(engine.order(run, Order::Cancel, &ana).await.unwrap(), Decided::Done(_)));
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Cancelled));
    assert_eq!(World::states(&view)["third"], TaskState::Pending);
}

#[tokio::test]
async fn a_question_waits_for_its_answer_which_later_tasks_see() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: ask, type: Ask_Human, parameters: {question: Fail over?, options: ['yes', 'no']}, output_variable: said}
  - {id: tell, type: Notification, depends_on: [ask], conditions: [said.answer == 'yes'], parameters: {message: '{{ said.answer }} by {{ said.by }}'}}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
    assert!(view.why.unwrap().contains("Fail over?"));
    let ana = person("ana", Role::Approver);
    let answer = |answer: &str| Order::Answer { task: "ask".to_owned(), answer: answer.to_owned() };
    assert!(matches!(engine.order(run, answer("maybe"), &ana).await.unwrap(), Decided::Nothing(_)));
    engine.order(run, answer("YES"), &ana).await.unwrap();
    world.until_ended(&engine, run).await;
    assert_eq!(world.target().said, ["yes by web:ana"]);
}

#[tokio::test]
async fn what_people_write_is_kept_and_passed_on_without_its_secrets() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: ask, type: Ask_Human, parameters: {question: Which host?}, output_variable: said}
  - {id: tell, type: Notification, depends_on: [ask], parameters: {message: '{{ said.answer }}'}}
  - {id: restart, type: Service_Restart, depends_on: [tell], parameters: {service: order-service}}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
    let ana = person("ana", Role::Approver);
    let answer = "db-3, password=hunter2".to_owned();
    engine.order(run, Order::Answer { task: "ask".to_owned(), answer }, &ana).await.unwrap();
    world.until_asked(&engine, run).await;
    let reason = Some("token=abcdefghijklmnop1234".to_owned());
    engine.order(run, Order::Reject { reason }, &ana).await.unwrap();
    let view = world.until_ended(&engine, run).await;
    assert_eq!(world.target().said, ["db-3, password=[redacted]"]);
    let range = mayday::store::Range {
        limit: 10_000,
        ..mayday::store::Range::under(&mayday::store::Key::of(["run-event"]), 1)
    };
    let stored = world.store.scan(&range).await.unwrap();
    assert!(!stored.is_empty());
    let all = stored.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect::<String>();
    for secret in ["hunter2", "abcdefghijklmnop1234"] {
        assert!(!all.contains(secret) && !format!("{view:?}").contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_run_is_over_after_its_max_duration_whatever_it_waits_for() {
    let text = "{playbook_id: PB-A, name: a, max_duration: 10m, tasks: [
        {id: w, type: Wait, parameters: {for: 6m}}, {id: v, type: Wait, depends_on: [w], parameters: {for: 6m}}]}";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Failed));
    assert!(view.why.unwrap().contains("10 min"));
}

#[tokio::test]
async fn one_at_a_time_cooldown_and_quota_are_kept() {
    let text = "
playbook_id: PB-A
name: a
parameters: {service: {type: name, default: a}}
concurrency_key: 'k {{ params.service }}'
cooldown: 10m
quota: {runs: 2, per: 2h}
tasks: [{id: w, type: Wait, parameters: {for: 5m}}]
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let propose = |key: &str, service: &str| {
        let mut request = world.request("PB-A", key);
        request.parameters = BTreeMap::from([("service".to_owned(), json!(service))]);
        engine.propose(request)
    };
    let Proposed::New(first) = propose("1", "a").await.unwrap() else { panic!() };
    assert!(matches!(propose("2", "a").await, Err(Error::NotNow(says)) if says.contains("one run at a time")));
    // Another key is another matter.
    assert!(matches!(propose("3", "b").await, Ok(Proposed::New(_))));
    world.until_ended(&engine, first).await;
    assert!(matches!(propose("4", "a").await, Err(Error::NotNow(says)) if says.contains("may run again from")));
    world.clock.advance(Duration::from_secs(11 * 60));
    let Proposed::New(second) = propose("5", "a").await.unwrap() else { panic!() };
    world.until_ended(&engine, second).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    assert!(matches!(propose("6", "a").await, Err(Error::NotNow(says)) if says.contains("quota")));
}

#[tokio::test]
async fn wrong_requests_are_refused_with_what_to_do() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let mut request = world.request("PB-Restrat", "1");
    assert!(
        matches!(engine.propose(request.clone()).await, Err(Error::NoPlaybook { near: Some(near), .. }) if near == "PB-Restart")
    );
    request.playbook = "pb-restart".to_owned();
    request.parameters.insert("service".to_owned(), json!("a; rm -rf /"));
    assert!(
        matches!(engine.propose(request.clone()).await, Err(Error::BadParameters(says)) if says.contains("plain name"))
    );
    request.parameters = BTreeMap::from([("servcie".to_owned(), json!("a"))]);
    assert!(
        matches!(engine.propose(request).await, Err(Error::BadParameters(says)) if says.contains("did you mean `service`"))
    );
}

#[tokio::test]
async fn a_task_type_without_an_executor_fails_its_task_and_says_so() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: scale, type: Kubernetes_Scale, parameters: {service: a, replicas_increase: 1}, on_failure: continue}
  - {id: tell, type: Notification, depends_on: [scale], parameters: {message: '{{ tasks.scale.note }}'}}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["scale"], TaskState::Failed);
    assert!(world.target().said[0].contains("not available here"), "{:?}", world.target().said);
}

#[tokio::test]
async fn a_process_whose_shards_were_taken_over_changes_nothing_more() {
    let world = restarted();
    let old = world.engine(Faults::none()).await;
    let run = world.propose(&old, "PB-Restart").await;
    world.until_asked(&old, run).await;
    let new = world.engine(Faults::none()).await;
    new.resume().await.unwrap();
    // The old one is fenced: its commit conflicts, so the approval does not take effect there.
    let order = Order::Approve { plan_hash: None, reason: None };
    assert!(old.order(run, order, &person("ana", Role::Approver)).await.is_err());
    assert!(!world.target().keys.contains_key("restart"));
    world.approve(&new, run, "bo").await;
    assert_eq!(world.until_ended(&new, run).await.outcome, Some(RunOutcome::Fixed));
    assert_eq!(world.target().calls["restart"], 1);
}

#[tokio::test]
async fn stopping_lets_what_runs_finish_and_the_next_process_goes_on() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: first, type: Wait, parameters: {for: 1h}}
  - {id: second, type: API_Call, action: GET /x, depends_on: [first]}
";
    let mut world = World::of(&[text]);
    world.options.grace = Span::from_secs(1);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    world.until(&engine, run, "waiting", |view| view.state == RunState::Waiting).await;
    engine.stop().await;
    let next = world.engine(Faults::none()).await;
    assert_eq!(next.resume().await.unwrap(), 1);
    let begun = world.now();
    world.clock.advance(Duration::from_secs(3600));
    let view = world.until_ended(&next, run).await;
    assert_eq!(World::states(&view)["second"], TaskState::Succeeded);
    assert!(world.clock.now().duration_since(begun).as_secs() < 2 * 3600, "the wait did not begin anew");
    let listed = next.list(None, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].run), (1, run));
}

#[tokio::test]
async fn an_admin_breaks_the_glass_with_a_reason_and_everyone_is_told() {
    let text = "{playbook_id: PB-A, name: a, tasks: [{id: clean, type: Disk_Cleanup, parameters: {service: a}, rollback: undo}, {id: undo, type: Run_Command, parameters: {program: p}}]}";
    let mut world = World::of(&[text]);
    world.options.approvals.destructive = std::num::NonZeroU32::new(2).unwrap();
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let hash = world.until_asked(&engine, run).await.approval.unwrap().plan_hash;
    let glass = |plan: Option<&str>, reason: &str| Order::BreakGlass {
        plan_hash: plan.map(str::to_owned),
        reason: reason.to_owned(),
    };
    let (ana, root) = (person("ana", Role::Approver), person("root", Role::Admin));
    assert!(matches!(engine.order(run, glass(None, "fire"), &ana).await.unwrap(), Decided::Refused(_)));
    assert!(matches!(engine.order(run, glass(None, "  "), &root).await.unwrap(), Decided::Refused(_)));
    assert!(matches!(engine.order(run, glass(Some("other"), "fire"), &root).await.unwrap(), Decided::Nothing(_)));
    assert!(world.target().happened.is_empty());
    let decided = engine.order(run, glass(Some(&hash), "the shop is down"), &root).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    let view = world.until_ended(&engine, run).await;
    assert_eq!(view.tasks[0].state, TaskState::Succeeded, "{view:#?}");
    let audit = mayday::access::Audit::new(world.store.clone(), world.clock()).list(None, 50).await.unwrap();
    for action in ["break_glass", "perform"] {
        let record = audit.records.iter().find(|record| record.action == action).unwrap();
        let right = serde_json::to_string(&record.right).unwrap();
        assert!(right.contains("the shop is down"), "{action}: {right}");
    }
    let told = notices(&world).await;
    let loud = told.iter().find(|notice| notice.says.contains("root broke the glass")).expect("everyone is told");
    assert_eq!(loud.kind, NoticeKind::Escalation);
    assert!(loud.says.ends_with("Reason: the shop is down"));
}

#[tokio::test]
async fn the_glass_stays_whole_where_a_plain_approval_is_enough() {
    let world = World::of(&[RESTART]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    let order = Order::BreakGlass { plan_hash: None, reason: "hurry".to_owned() };
    let decided = engine.order(run, order, &person("root", Role::Admin)).await.unwrap();
    assert!(
        matches!(&decided, Decided::Nothing(says) if says.contains("your approval is all it needs")),
        "{decided:?}"
    );
}

#[tokio::test]
async fn a_run_that_nobody_drives_is_found_though_one_process_owns_all() {
    let world = restarted();
    let elsewhere = Leases::share(&world.store, &world.clock()).await.unwrap();
    let proposer = world.engine_with(elsewhere, Faults::none());
    let engine = world.engine(Faults::none()).await;
    let (stopper, stop) = Stopper::new();
    let service = tokio::spawn(mayday::playbook::Service::new(engine.clone()).run(stop));
    // Its start has looked for open runs before there is one.
    world.clock.advance(Duration::from_secs(1));
    tokio::task::yield_now().await;
    let run = world.propose(&proposer, "PB-Restart").await;
    world.until_asked(&engine, run).await;
    drop(stopper);
    service.await.unwrap();
}

#[tokio::test]
async fn what_another_process_writes_into_the_audit_disturbs_no_run() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: first, type: Service_Restart, parameters: {service: a}}
  - {id: second, type: Service_Restart, depends_on: [first], pause: true, parameters: {service: b}}
";
    let world = World::of(&[text]);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-A").await;
    let ana = person("ana", Role::Approver);
    world.until_asked(&engine, run).await;
    world.approve(&engine, run, "ana").await;
    world.until(&engine, run, "paused", |view| view.state == RunState::Paused).await;
    // The command line erases what a record says, while the run goes on.
    let chain = format!("run-{}", Shard::of(&run.to_string()).key());
    let other = Audit::new(world.store.clone(), world.clock());
    other.erase(&chain, 1, Actor::Person(PersonId("web:you".to_owned())), "law").await.unwrap();
    let decided = engine.order(run, Order::Resume, &ana).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    let view = world.finish(&engine, run).await.unwrap();
    assert!(view.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{view:#?}");
    let calls = world.target().calls.clone();
    assert_eq!((calls["first"], calls["second"]), (1, 1));
}

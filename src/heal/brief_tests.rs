//! How a run is shown on its incident's card.

use super::brief;
use super::tests::{view, waiting};
use crate::playbook::action::Change;
use crate::playbook::view::RunOutcome;
use crate::playbook::{RunState, RunView, TaskState};

#[test]
fn a_proposal_says_what_changes_how_it_is_undone_and_who_must_approve_until_when() {
    let plan = brief(&waiting(), "orders").plan;
    assert_eq!(plan.heading, "Proposed: restart order-service");
    assert_eq!(
        plan.diff,
        ["process order-service   pid       4711 → new process", "                        restarts  0 → 1",]
    );
    assert_eq!(
        plan.notes,
        [
            "restarts 1 process, ≈ 3 s without answers · can't be undone",
            "verified by: GET /health answers 200 within 20 s",
        ]
    );
    assert_eq!(plan.footer.as_deref(), Some("Needs one approver of team orders. Valid until 11:21 UTC."));
    let labels: Vec<&str> = plan.buttons.iter().map(|button| button.label.as_str()).collect();
    assert_eq!(labels, ["Restart order-service", "Reject…"]);
    assert_eq!(plan.buttons[0].command, "approve RUN-3 --plan 9f86d081");
    assert!(plan.buttons[1].ask.is_some());
    assert_eq!(plan.steps.len(), 1, "what is still to come stands in the plan, not among the steps");
    for button in &plan.buttons {
        assert!(crate::chat::grammar::parse(&button.command).is_ok(), "{}", button.command);
    }
}

#[test]
fn a_run_that_a_person_started_is_for_the_incident_and_not_for_its_newest_alert() {
    let mut view = waiting();
    assert_eq!(brief(&view, "orders").alert_name, Some("Service_Down".into()));
    view.by = crate::access::Actor::Person(crate::access::PersonId("web:ana".to_owned()));
    assert_eq!(brief(&view, "orders").alert_name, None);
}

#[test]
fn a_steps_word_says_what_it_waits_for_and_what_was_not_answered() {
    let mut view = waiting();
    view.tasks[1].state = TaskState::Waiting;
    view.tasks[0].state = TaskState::Failed;
    let words = |view: &RunView| -> Vec<String> {
        brief(view, "orders").plan.steps.into_iter().map(|step| step.state).collect()
    };
    view.tasks[0].note = Some("no answer in time".to_owned());
    assert_eq!(words(&view), ["no answer", "needs approval"]);
    assert_eq!(brief(&view, "orders").plan.steps[0].note, None, "said once");
    view.tasks[0].note = Some("HTTP 404".to_owned());
    assert_eq!(words(&view)[0], "failed");
    view.approval = None;
    view.state = RunState::Ended;
    assert_eq!(words(&view)[1], "not run");
}

#[test]
fn a_restart_that_was_not_needed_is_not_called_a_restart_without_effect() {
    let mut view = view(RunState::Ended, Some(RunOutcome::NoEffect));
    view.parameters.insert("service".to_owned(), "order-service".into());
    view.tasks[1].state = TaskState::Skipped;
    assert_eq!(brief(&view, "orders").plan.heading, "No effect: restart order-service", "nothing verified it");
    let verify = crate::playbook::view::TaskView {
        id: "verify".to_owned(),
        kind: "Verify".to_owned(),
        state: TaskState::Succeeded,
        ..view.tasks[0].clone()
    };
    view.tasks.push(verify);
    assert_eq!(brief(&view, "orders").plan.heading, "Not needed: order-service answers again");
    view.tasks[1].state = TaskState::Succeeded;
    assert_eq!(brief(&view, "orders").plan.heading, "No effect: restart order-service");
}

#[test]
fn a_change_after_which_all_is_as_it_was_before_is_told_as_text_and_without_effect() {
    let mut view = view(RunState::Ended, Some(RunOutcome::NoEffect));
    view.why = Some(crate::core::message::playbook::end_held_already(&["disk.value < 80"]));
    let plan = brief(&view, "orders").plan;
    assert!(plan.heading.starts_with("No effect: "), "{}", plan.heading);
    let says = "disk.value < 80 held already before the change: it does not show that anything was fixed. Took 41 s.";
    assert_eq!(plan.footer.as_deref(), Some(says));
}

#[test]
fn a_plan_that_is_asked_again_shows_what_moved() {
    let mut view = waiting();
    let approval = view.approval.as_mut().unwrap();
    approval.difference = vec!["pid 4711 → 4802".to_owned()];
    approval.needed = 2;
    approval.approved_by = vec![crate::access::PersonId("web:ana".to_owned())];
    let plan = brief(&view, "orders").plan;
    assert_eq!(plan.heading, "Asks again: restart order-service");
    assert_eq!(plan.notes[0], "changed since the approval: pid 4711 → 4802");
    let footer = plan.footer.unwrap();
    assert!(footer.starts_with("Needs 2 approvers of team orders. 1 of 2 approved: ana."), "{footer}");
}

#[test]
fn a_run_that_asks_before_it_undoes_says_so_and_what_it_would_set_is_not_cut_away() {
    let mut view = waiting();
    view.state = RunState::RollingBack;
    let approval = view.approval.as_mut().unwrap();
    approval.frontier[0].0 = "Set the pool back".to_owned();
    approval.frontier[0].1.target = serde_json::Value::Null;
    approval.frontier[0].1.undo = Some(format!("by itself: Set it back (pool: size 16 → {}8)", "0".repeat(300)));
    let plan = brief(&view, "orders").plan;
    assert_eq!(plan.heading, "Takes back what it did, and asks before this: set the pool back");
    let labels: Vec<&str> = plan.buttons.iter().map(|button| button.label.as_str()).collect();
    assert_eq!(labels, ["Set the pool back", "Reject…"]);
    assert!(plan.notes.iter().all(|line| line.len() <= 160), "{:?}", plan.notes);
    assert!(plan.notes.iter().any(|line| line.ends_with("08)")), "{:?}", plan.notes);
}

#[test]
fn an_ended_run_says_what_it_came_to_and_how_long_it_took_and_offers_nothing_to_press() {
    let plan = brief(&view(RunState::Ended, Some(RunOutcome::Fixed)), "orders").plan;
    assert_eq!(plan.heading, "Fixed and verified: restart a hung service", "no service is known");
    let mut of_service = view(RunState::Ended, Some(RunOutcome::Fixed));
    of_service.parameters.insert("service".to_owned(), serde_json::json!("order-service"));
    assert_eq!(brief(&of_service, "orders").plan.heading, "Fixed and verified: restart order-service");
    assert_eq!(plan.footer.as_deref(), Some("order-service answers again. Took 41 s."));
    assert!(plan.buttons.is_empty() && plan.diff.is_empty());
    assert_eq!(plan.steps.len(), 2);
    let failed = brief(&view(RunState::Ended, Some(RunOutcome::Failed)), "orders").plan;
    assert!(failed.buttons.is_empty(), "a button that is always refused is none: {:?}", failed.buttons);
}

#[test]
fn what_only_a_person_can_say_has_buttons_that_say_it() {
    let mut view = view(RunState::Waiting, None);
    view.tasks[1].state = TaskState::InDoubt;
    let plan = brief(&view, "orders").plan;
    let commands: Vec<&str> = plan.buttons.iter().map(|button| button.command.as_str()).collect();
    let said = ["done", "not_done", "failed"].map(|said| format!("answer RUN-3 --task restart {said}"));
    assert_eq!(commands[..3], said);
    view.tasks[1].state = TaskState::Waiting;
    view.tasks[1].kind = "Ask_Human".to_owned();
    let plan = brief(&view, "orders").plan;
    assert_eq!(plan.buttons[0].command, "answer RUN-3 --task restart");
    assert!(plan.buttons[0].ask.is_some(), "the text asked for is appended");
}

#[test]
fn a_plan_of_many_lines_is_cut_and_says_so() {
    let mut view = waiting();
    let approval = view.approval.as_mut().unwrap();
    approval.frontier[0].1.details = (0..60).map(|number| format!("remove tmp-{number}.log")).collect();
    let plan = brief(&view, "orders").plan;
    assert_eq!(plan.diff.len(), 24);
    assert_eq!(plan.diff[23], "… and 39 more");
}

#[test]
fn what_a_change_comes_to_is_never_cut_away() {
    let mut view = waiting();
    let approval = view.approval.as_mut().unwrap();
    let change = |before: String, after: String| Change { field: "request".to_owned(), before, after };
    let body = format!("sent with {{\"a\":\"{}\",\"drop\":true}}", "x".repeat(400));
    approval.frontier[0].1.changes =
        vec![change("o".repeat(500), "the new value".to_owned()), change("not sent".to_owned(), body.clone())];
    approval.frontier[0].1.details = (0..60).map(|number| format!("detail {number}")).collect();
    let second = approval.frontier[0].clone();
    approval.frontier.push(second);
    approval.difference = vec![format!("request: approved {} → b, now a → the new end", "y".repeat(300))];
    let shown = brief(&view, "orders").plan;
    let text: String = shown.diff.iter().map(|line| line.trim_start()).collect();
    assert_eq!(text.matches("the new value").count(), 2, "{:#?}", shown.diff);
    assert_eq!(text.matches(&body).count(), 2, "{:#?}", shown.diff);
    assert!(shown.diff.iter().all(|line| line.len() <= 160), "{:#?}", shown.diff);
    assert!(shown.diff.last().unwrap().starts_with("… and "), "details make room: {:#?}", shown.diff);
    let notes: String = shown.notes.iter().map(|line| line.trim_start()).collect();
    assert!(notes.contains("the new end"), "{notes}");
    // What is too long for a card stands whole where someone asks for the run.
    view.approval.as_mut().unwrap().frontier[0].1.changes[1].after = format!("{}END", "z".repeat(3000));
    let cut = brief(&view, "orders").plan.diff.concat();
    assert!(cut.contains("bytes left out") && cut.contains("END"));
    let all: String = super::brief::whole(&view, "orders").plan.diff.iter().map(|line| line.trim_start()).collect();
    assert!(all.contains(&format!("{}END", "z".repeat(3000))) && all.contains("detail 59"));
}

#[test]
fn files_of_a_folder_that_is_named_are_told_by_their_names() {
    let mut view = waiting();
    let planned = &mut view.approval.as_mut().unwrap().frontier[0].1;
    planned.changes = vec![Change {
        field: "files in /var/log/orders".to_owned(),
        before: "2 files".to_owned(),
        after: "removed".to_owned(),
    }];
    planned.details =
        ["/var/log/orders/a.log  1 MiB", "/var/log/orders/b.log  2 MiB", "and 4 more"].map(str::to_owned).into();
    let diff = brief(&view, "orders").plan.diff;
    assert_eq!(diff[1..], ["  a.log  1 MiB", "  b.log  2 MiB", "  and 4 more"]);
    let planned = &mut view.approval.as_mut().unwrap().frontier[0].1;
    planned.details[1] = "/srv/b.log  2 MiB".to_owned();
    assert_eq!(brief(&view, "orders").plan.diff[1], "  /var/log/orders/a.log  1 MiB", "two folders stay told apart");
}

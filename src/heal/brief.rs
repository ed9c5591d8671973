//! How a run is shown on its incident's card. Pure: a [`RunView`] in, a [`RunBrief`] out.

use std::time::Duration;

use super::box_text::{CARD, Room, WHOLE, diff_lines, notes};
use crate::access::{Actor, PersonId};
use crate::chat::card::Step;
use crate::chat::{Button, ButtonStyle, PlanBox};
use crate::core::message::heal as say;
use crate::core::text::capped;
use crate::incident::RunBrief;
use crate::playbook::view::{ApprovalView, RunOutcome, TaskView};
use crate::playbook::{RunState, RunView, TaskState};

/// A button's label is a phrase, not a paragraph; bytes.
const LABEL: usize = 60;
/// A step's note on a card; bytes.
const NOTE: usize = 200;

/// How a run stands, for the card of an incident of `team`.
#[must_use]
pub fn brief(view: &RunView, team: &str) -> RunBrief {
    brief_in(view, team, CARD)
}

/// The same for whoever asks for this run: with the whole plan.
#[must_use]
pub fn whole(view: &RunView, team: &str) -> RunBrief {
    brief_in(view, team, WHOLE)
}

fn brief_in(view: &RunView, team: &str, room: Room) -> RunBrief {
    let what = what(view);
    let approval = view.approval.as_ref().filter(|_| view.state != RunState::Ended);
    let plan = PlanBox {
        heading: heading(view, approval, &what),
        diff: approval.map(|approval| diff_lines(approval, room)).unwrap_or_default(),
        notes: approval.map(|approval| notes(approval, room)).unwrap_or_default(),
        footer: footer(view, approval, team),
        steps: steps(view),
        buttons: buttons(view, approval, &what),
    };
    RunBrief {
        run: view.run,
        playbook: view.playbook.clone(),
        state: state_word(view).to_owned(),
        ended: view.state == RunState::Ended,
        version: view.journal,
        plan,
        approved_by: view.approved_by.clone(),
        allowed_by: view.allowed_by.clone(),
        why: view.why.clone(),
        // A person who starts a run in an incident means the incident, not its newest alert.
        alert_name: view.alert_name.clone().filter(|_| matches!(view.by, Actor::Mayday(_))),
        part_of: view.part_of,
    }
}

/// The run's state, and when it has ended its outcome, in a word.
#[must_use]
pub fn state_word(view: &RunView) -> &'static str {
    match (view.state, view.outcome) {
        (RunState::Proposed, _) => "proposed",
        (RunState::Waiting, _) => "waiting",
        (RunState::Running, _) => "running",
        (RunState::Paused, _) => "paused",
        (RunState::RollingBack, _) => "rolling_back",
        (RunState::Ended, None) => "ended",
        (RunState::Ended, Some(outcome)) => outcome_word(outcome),
    }
}

/// The outcome's word.
#[must_use]
pub fn outcome_word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Fixed => "fixed",
        RunOutcome::NoEffect => "no_effect",
        RunOutcome::MadeWorse => "made_worse",
        RunOutcome::Failed => "failed",
        RunOutcome::Rejected => "rejected",
        RunOutcome::Expired => "expired",
        RunOutcome::Cancelled => "cancelled",
        RunOutcome::Stuck => "stuck",
    }
}

/// What the run does, as a phrase: its only change, or the playbook's name.
fn what(view: &RunView) -> String {
    match view.approval.as_ref().map(|approval| approval.frontier.as_slice()) {
        Some([(name, planned)]) => {
            // A shipped playbook is for any service, so its task can't name one: what it was planned for does.
            let kind = view.tasks.iter().find(|task| task.name == *name).map_or("", |task| task.kind.as_str());
            let phrase = planned.service().and_then(|service| say::change(kind, service));
            capped(&phrase.unwrap_or_else(|| name.clone()), LABEL)
        }
        Some(several) if several.len() > 1 => say::several(&capped(&view.playbook_name, LABEL), several.len()),
        // Before and after the approval: what its only change would be, or was.
        _ => {
            let service = view.parameters.get("service").and_then(serde_json::Value::as_str);
            let phrases = view.tasks.iter().filter_map(|task| say::change(&task.kind, service?));
            let mut phrases: Vec<String> = phrases.collect();
            let one = if phrases.len() == 1 { phrases.pop() } else { None };
            capped(&one.unwrap_or_else(|| view.playbook_name.clone()), LABEL)
        }
    }
}

fn heading(view: &RunView, approval: Option<&ApprovalView>, what: &str) -> String {
    match view.state {
        RunState::Proposed | RunState::Waiting => match approval {
            Some(approval) if !approval.difference.is_empty() => say::proposed_again(what),
            Some(_) => say::proposed(what),
            None if view.state == RunState::Proposed => say::preparing(what),
            None => say::waiting(what),
        },
        RunState::Running => say::running(what),
        RunState::Paused => say::paused(what),
        RunState::RollingBack if approval.is_some() => say::undoing_asks(what),
        RunState::RollingBack => say::undoing(what),
        RunState::Ended if not_needed(view) => {
            let restart = view.tasks.iter().any(|task| task.kind == "Service_Restart");
            let service = view.parameters.get("service").and_then(serde_json::Value::as_str);
            say::not_needed(service.filter(|_| restart), what)
        }
        RunState::Ended => say::ended(&say::outcome(state_word(view)), what),
    }
}

/// Whether no change was made, because its conditions did not hold any more, and what was to be reached was there.
fn not_needed(view: &RunView) -> bool {
    let is_change = |task: &&TaskView| say::change(&task.kind, "").is_some();
    let mut changes = view.tasks.iter().filter(is_change).peekable();
    let holds = |task: &&TaskView| task.kind == "Verify" && task.state == TaskState::Succeeded;
    let verify = view.tasks.iter().rfind(|task| task.kind == "Verify");
    view.outcome == Some(RunOutcome::NoEffect)
        && changes.peek().is_some()
        && changes.all(|task| task.state == TaskState::Skipped)
        && verify.as_ref().is_some_and(holds)
}

fn footer(view: &RunView, approval: Option<&ApprovalView>, team: &str) -> Option<String> {
    let mut sentences = Vec::new();
    // What keeps a run from going on is said before anyone approves it.
    sentences.extend(view.why.as_ref().filter(|_| approval.is_some()).map(|why| sentence(why)));
    if let Some(approval) = approval {
        let names: Vec<String> = approval.approved_by.iter().map(name).collect();
        sentences.push(say::needs(approval.needed, &approval.approvers, team));
        if !names.is_empty() {
            sentences.push(say::approved_by(&names, approval.needed));
        }
        sentences.push(say::valid_until(approval.expires));
    } else if let Some(why) = &view.why {
        // A condition is told as text: nothing renders its ticks.
        sentences.push(sentence(&why.replace('`', "")));
    }
    // Nobody was asked: whoever reads it must see why it runs.
    if let Some(policy) = view.allowed_by.last() {
        sentences.push(say::allowed_by(policy, approval.is_some()));
    }
    // What a cancellation takes back is said before anyone cancels.
    if approval.is_none() && !view.undoes.is_empty() {
        sentences.push(say::undoes(&view.undoes));
    }
    if let Some(ended) = view.ended_at {
        let took = Duration::try_from(ended.duration_since(view.proposed_at)).unwrap_or_default();
        sentences.push(sentence(&say::took(took)));
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// With a capital (a service keeps its name) and a full stop.
fn sentence(text: &str) -> String {
    let text = capped(text.trim(), 2 * NOTE);
    let named = text.split(' ').next().is_some_and(|word| word.contains(['-', '_', '.', '/']));
    let text = if named { text } else { say::upper_first(&text) };
    if text.ends_with(['.', '?', '…']) { text } else { format!("{text}.") }
}

/// `web:ana` is shown as `ana`.
fn name(person: &PersonId) -> String {
    person.0.rsplit(':').next().unwrap_or(&person.0).to_owned()
}

fn steps(view: &RunView) -> Vec<Step> {
    // Before the approval only what was looked up is of interest: the plan itself says what would come.
    let all = !matches!(view.state, RunState::Proposed);
    let shown = view.tasks.iter().filter(|task| all || !matches!(task.state, TaskState::Pending));
    shown
        .map(|task| Step {
            name: capped(&task.name, LABEL),
            state: step_word(view, task).to_owned(),
            note: note(view, task),
        })
        .collect()
}

/// What is to say beside the step's word.
fn note(view: &RunView, task: &TaskView) -> Option<String> {
    // A condition is told as text: nothing renders its ticks.
    let note = task.note.as_deref()?.replace('`', "");
    // That nobody answered is said by the word.
    let said = step_word(view, task) == say::NO_ANSWER && note.starts_with(say::NO_ANSWER);
    (!said).then(|| capped(&note, NOTE))
}

/// A task's state as a step of the run: what it waits for, and whether a failed question was simply not answered.
fn step_word(view: &RunView, task: &TaskView) -> &'static str {
    let asks = |approval: &ApprovalView| approval.frontier.iter().any(|(name, _)| *name == task.name);
    match task.state {
        TaskState::Pending | TaskState::Waiting if view.state == RunState::Ended => say::NOT_RUN,
        TaskState::Pending | TaskState::Waiting if view.approval.as_ref().is_some_and(asks) => say::NEEDS_APPROVAL,
        TaskState::Waiting if task.kind == "Ask_Human" => say::NEEDS_ANSWER,
        TaskState::Failed if task.kind == "API_Call" && task.note.as_deref().is_some_and(say::is_silence) => {
            say::NO_ANSWER
        }
        state => task_word(state),
    }
}

/// A task's state as people read it.
#[must_use]
pub fn task_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending | TaskState::Waiting => "waiting",
        TaskState::Running => "running",
        TaskState::Succeeded => "done",
        TaskState::Failed => "failed",
        TaskState::Skipped => "skipped",
        TaskState::InDoubt => "in doubt",
        TaskState::RolledBack => "undone",
    }
}

fn buttons(view: &RunView, approval: Option<&ApprovalView>, what: &str) -> Vec<Button> {
    let run = view.run;
    if let Some(approval) = approval {
        let hash = &approval.plan_hash;
        return vec![
            button(say::upper_first(what), format!("approve {run} --plan {hash}"), ButtonStyle::Primary, None),
            button(say::reject(), format!("reject {run} --plan {hash}"), ButtonStyle::Plain, Some(say::why_reject())),
        ];
    }
    let mut buttons: Vec<Button> = view.tasks.iter().flat_map(|task| questions(view, task)).collect();
    let plain = |label, order: &str| button(label, format!("{order} {run}"), ButtonStyle::Plain, None);
    // What has ended stays ended: a new run is a new proposal.
    // But an undo that failed leaves the system as nobody wants it, so that it may be tried again.
    let failed = view.tasks.iter().any(|task| task.state == TaskState::Failed);
    let unwinds = view.state == RunState::RollingBack;
    if view.undo_failed() {
        buttons.push(button(say::undo_again(), format!("retry {run}"), ButtonStyle::Primary, None));
    } else if !matches!(view.state, RunState::Ended | RunState::Running) && !unwinds && failed {
        buttons.push(plain(say::retry(), "retry"));
    }
    match view.state {
        RunState::Running | RunState::Waiting => {
            buttons.push(plain(say::pause(), "pause"));
            buttons.push(plain(say::cancel_and_undo(&view.undoes), "cancel"));
        }
        RunState::Paused => {
            buttons.push(plain(say::resume(), "resume"));
            buttons.push(plain(say::cancel_and_undo(&view.undoes), "cancel"));
        }
        RunState::RollingBack => buttons.push(plain(say::pause(), "pause")),
        RunState::Proposed | RunState::Ended => {}
    }
    buttons
}

/// Buttons for what only a person can say about a task.
fn questions(view: &RunView, task: &TaskView) -> Vec<Button> {
    let answer = format!("answer {} --task {}", view.run, task.id);
    match task.state {
        TaskState::InDoubt => vec![
            button(capped(&say::it_happened(&task.name), LABEL), format!("{answer} done"), ButtonStyle::Plain, None),
            button(capped(&say::it_did_not(&task.name), LABEL), format!("{answer} not_done"), ButtonStyle::Plain, None),
            button(capped(&say::it_failed(&task.name), LABEL), format!("{answer} failed"), ButtonStyle::Plain, None),
        ],
        TaskState::Waiting if task.kind == "Ask_Human" => {
            let question = task.note.as_deref().unwrap_or(&task.name);
            vec![button(say::answer(), answer, ButtonStyle::Primary, Some(capped(question, NOTE)))]
        }
        _ => Vec::new(),
    }
}

fn button(label: String, command: String, style: ButtonStyle, ask: Option<String>) -> Button {
    Button { label, command, style, ask }
}

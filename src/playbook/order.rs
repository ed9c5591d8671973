//! What a person says about a run, as a pure decision: which events follow, what is audited, what they read.

use serde_json::json;

use super::run::{Event, FailureKind, Given, Grant, Stage, Status};
use super::view::{Decided, Order};
use crate::access::{Actor, AuditRecord, Permission, Person, Refusal, Right, Standing, Vote};
use crate::core::message::access;
use crate::core::message::playbook as say;
use crate::core::message::playbook_undo as undo;
use crate::core::{RunId, Timestamp};

/// What follows from an order.
#[derive(Debug)]
pub struct Answer {
    /// What to write down.
    pub events: Vec<Event>,
    /// What to audit with it.
    pub audit: Option<AuditRecord>,
    /// What the person reads.
    pub says: Decided,
}

impl Answer {
    fn nothing(why: String) -> Self {
        Self { events: Vec::new(), audit: None, says: Decided::Nothing(why) }
    }
    fn refused(why: String) -> Self {
        Self { events: Vec::new(), audit: None, says: Decided::Refused(why) }
    }
}

/// A task whose effect happened, or may have, is started again so often at most: all that was done is kept to be undone.
const MAX_EARLIER: usize = 20;

/// Decides what an order does to a run.
#[must_use]
pub fn answer(status: &Status, order: &Order, person: &Person, now: Timestamp) -> Answer {
    let run = status.head.run;
    let opens = match order {
        Order::Retry => status.failed_undo().is_some(),
        Order::Answer { task, .. } => status.waits_for_a_word(task),
        _ => false,
    };
    if let Some(end) = status.ended.as_ref().filter(|_| !opens) {
        let outcome = serde_json::to_value(end.outcome).ok().and_then(|word| word.as_str().map(str::to_owned));
        return Answer::nothing(say::has_ended(run, &outcome.unwrap_or_default(), &end.why));
    }
    let by = Actor::Person(person.id.clone());
    let done = |action: &str, events: Vec<Event>, detail: serde_json::Value, says: String| Answer {
        events,
        audit: Some(AuditRecord {
            actor: by.clone(),
            action: action.to_owned(),
            subject: run.to_string(),
            detail,
            right: None,
        }),
        says: Decided::Done(says),
    };
    let playbook = json!({"playbook": status.head.playbook});
    let needs = |permission: Permission, what: &str| {
        (!person.role.may(permission))
            .then(|| Answer::refused(say::may_not(&person.name, what, &permission.least_role().to_string())))
    };
    match order {
        Order::Approve { plan_hash, reason } => {
            approve(status, plan_hash.as_deref(), written(reason.as_deref()), person, now)
        }
        Order::BreakGlass { plan_hash, reason } => break_glass(status, plan_hash.as_deref(), reason, person, now),
        Order::Reject { reason } => {
            let reason = written(reason.as_deref());
            let risk = status.ask.as_ref().map_or(crate::access::Risk::Reversible, |ask| ask.request.policy.risk);
            if let Some(refused) = needs(Permission::Approve(risk), "reject changes") {
                return refused;
            }
            if status.ask.is_none() {
                return Answer::nothing(say::nothing_to_approve(run, &state_word(status)));
            }
            let event = Event::Rejected { by: person.id.clone(), name: person.name.clone(), reason: reason.clone() };
            let detail = json!({"playbook": status.head.playbook, "reason": reason});
            let says = if status.unwinding.is_some() { undo::rejected(run) } else { say::rejected(run) };
            done("reject", vec![event], detail, says)
        }
        Order::Pause => needs(Permission::Steer, "pause runs").unwrap_or_else(|| match status.paused {
            Some(_) => Answer::nothing(say::not_now(run, "it is paused already")),
            None if status.unwinding.is_some() && now >= status.head.deadline => {
                Answer::nothing(say::not_now(run, "its time is over, and it takes back what it did"))
            }
            None => done("pause", vec![Event::Paused { by: by.clone(), before: None }], playbook, say::paused(run)),
        }),
        Order::Resume => needs(Permission::Steer, "resume runs").unwrap_or_else(|| match status.paused {
            None => Answer::nothing(say::not_now(run, "it is not paused")),
            Some(_) => done("resume", vec![Event::Resumed { by: by.clone() }], playbook, say::resumed(run)),
        }),
        Order::Cancel => needs(Permission::Steer, "cancel runs").unwrap_or_else(|| match status.cancelled {
            _ if status.unwinding.is_some() => {
                Answer::nothing(say::not_now(run, "it ends already and undoes what it did"))
            }
            Some(_) => Answer::nothing(say::not_now(run, "it is cancelled already")),
            None => {
                done("cancel", vec![Event::Cancelled { by: by.clone(), reopens: false }], playbook, say::cancelled(run))
            }
        }),
        Order::Retry => needs(Permission::Steer, "retry runs").unwrap_or_else(|| {
            if status.unwinding.is_some() {
                return match status.failed_undo() {
                    Some(undo) => {
                        let says = say::undo_again(run, &status.head.tasks[undo].name);
                        let mut events = vec![Event::Retried { by: by.clone(), measure: Vec::new() }];
                        // Who says that it is to be tried again ends the pause as well.
                        events.extend(status.paused.is_some().then(|| Event::Resumed { by: by.clone() }));
                        done("retry", events, playbook, says)
                    }
                    None => Answer::nothing(say::not_now(run, "it undoes what it did")),
                };
            }
            let failed = || status.tasks.iter().filter(|task| task.stage == Stage::Failed);
            match failed().count() {
                0 => Answer::nothing(say::not_now(run, "no task has failed")),
                _ if failed().any(|task| task.earlier.len() >= MAX_EARLIER) => {
                    Answer::nothing(say::not_now(run, &say::retried_enough(MAX_EARLIER)))
                }
                failed => {
                    let events = vec![Event::Retried { by: by.clone(), measure: Vec::new() }];
                    done("retry", events, playbook, say::retried(run, failed))
                }
            }
        }),
        Order::Answer { task, answer } => {
            // Saying whether a change happened steers the run; answering a question is open to every responder.
            let doubt = status.task(task).is_some_and(|task| task.stage == Stage::InDoubt);
            let needed = if doubt { Permission::Steer } else { Permission::Comment };
            needs(needed, "answer for runs").unwrap_or_else(|| reply(status, task, answer, person, &done))
        }
    }
}

/// Takes a proposal back: Mayday's own order, nothing that a person decides, so it is in the journal and not in the audit.
#[must_use]
pub fn withdraw(status: &Status, why: &str) -> Answer {
    let run = status.head.run;
    if status.ended.is_some() || status.cancelled.is_some() || status.rejected.is_some() {
        return Answer::nothing(say::not_now(run, "it ends already"));
    }
    if status.touched {
        return Answer::nothing(say::has_begun(run));
    }
    let event = Event::Cancelled { by: Actor::Mayday(why.to_owned()), reopens: false };
    Answer { events: vec![event], audit: None, says: Decided::Done(say::withdrawn(run)) }
}

/// The run that this one is a part of is to end: so is this one, and undoes what it did where it says how. The person's
/// order to the parent is in the audit; this is what follows from it.
#[must_use]
pub fn parent_ends(status: &Status, parent: RunId) -> Answer {
    let run = status.head.run;
    if status.ended.is_some() || status.cancelled.is_some() || status.rejected.is_some() || status.unwinding.is_some() {
        return Answer::nothing(say::not_now(run, "it ends already"));
    }
    let event = Event::Cancelled { by: Actor::Mayday(say::end_with_parent(parent)), reopens: false };
    Answer { events: vec![event], audit: None, says: Decided::Done(say::cancelled(run)) }
}

/// The run that this one is a part of takes back what was done: so does this one, though it has ended well; one that is stuck
/// because an undo failed tries that again. One that ended otherwise has taken back what it could.
#[must_use]
pub fn parent_undoes(status: &Status, parent: RunId) -> Answer {
    let run = status.head.run;
    let by = Actor::Mayday(say::end_with_parent(parent));
    if status.may_be_taken_back() {
        let event = Event::Cancelled { by, reopens: true };
        return Answer { events: vec![event], audit: None, says: Decided::Done(say::cancelled(run)) };
    }
    match status.failed_undo().filter(|_| status.ended.is_some()) {
        Some(undo) => {
            let says = Decided::Done(say::undo_again(run, &status.head.tasks[undo].name));
            Answer { events: vec![Event::Retried { by, measure: Vec::new() }], audit: None, says }
        }
        None => Answer::nothing(say::not_now(run, "it ends already")),
    }
}

fn state_word(status: &Status) -> String {
    serde_json::to_value(status.state()).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Longest reason that a person gives, bytes.
const REASON: usize = 500;
/// Longest answer in a person's own words, bytes.
const ANSWER: usize = 2_000;

/// What a person wrote, as it is kept: it goes into the journal, onto cards and into later tasks, where no secret belongs.
fn stored(words: &str, most: usize) -> String {
    crate::core::text::capped(&crate::core::redact::redact(words.trim()), most)
}

fn written(reason: Option<&str>) -> Option<String> {
    reason.map(|reason| stored(reason, REASON))
}

/// The second click on what is approved says who approved it.
fn already(run: RunId, grant: &Grant) -> String {
    let names: Vec<&str> = grant.votes.iter().map(|vote| vote.name.as_str()).collect();
    match &grant.given {
        Given::ByPolicy(policy) => say::already_allowed(run, &policy.id),
        Given::ByVotes | Given::ByBrokenGlass => say::already_approved(run, &names.join(", ")),
    }
}

fn approve(status: &Status, saw: Option<&str>, reason: Option<String>, person: &Person, now: Timestamp) -> Answer {
    let run = status.head.run;
    let Some(ask) = &status.ask else {
        let granted = status.grants.iter().rev().find(|grant| saw.is_none_or(|saw| grant.request.plan_hash == saw));
        return Answer::nothing(match granted {
            Some(grant) => already(run, grant),
            None => say::nothing_to_approve(run, &state_word(status)),
        });
    };
    let vote = match ask.request.vote(person, saw, &status.votes, now, reason.clone()) {
        Ok(vote) => vote,
        Err(Refusal::Already { name }) => return Answer::nothing(say::already_approved(run, &name)),
        Err(Refusal::OtherPlan) => {
            let old = status.grants.iter().find(|grant| saw == Some(grant.request.plan_hash.as_str()));
            return Answer::nothing(old.map_or_else(|| say::other_plan(run), |grant| already(run, grant)));
        }
        Err(Refusal::Expired { .. }) if status.paused.is_some() => {
            return Answer::nothing(say::asked_when_resumed(run));
        }
        Err(refusal @ Refusal::Expired { .. }) => return Answer::nothing(refusal.to_string()),
        Err(refusal) => return Answer::refused(refusal.to_string()),
    };
    let mut votes = status.votes.clone();
    votes.push(vote.clone());
    let says = match ask.request.standing(&votes) {
        Standing::Complete if status.unwinding.is_some() => undo::approved(run),
        Standing::Complete => say::approved(run),
        Standing::Missing(missing) => say::approved_more(run, missing),
    };
    let detail =
        json!({"playbook": status.head.playbook, "plan": ask.request.plan_hash, "tasks": ask.tasks, "reason": reason});
    Answer {
        events: vec![Event::Voted { vote }],
        audit: Some(AuditRecord {
            actor: Actor::Person(person.id.clone()),
            action: "approve".to_owned(),
            subject: run.to_string(),
            detail,
            right: None,
        }),
        says: Decided::Done(says),
    }
}

/// Where the policy asks for more people than there are awake: one admin, with a reason, in front of everyone.
fn break_glass(status: &Status, saw: Option<&str>, reason: &str, person: &Person, now: Timestamp) -> Answer {
    let run = status.head.run;
    if !person.role.may(Permission::BreakGlass) {
        return Answer::refused(access::may_not_break_glass(&person.name));
    }
    if reason.trim().is_empty() {
        return Answer::refused(access::break_glass_needs_reason());
    }
    let Some(ask) = &status.ask else { return Answer::nothing(say::nothing_to_approve(run, &state_word(status))) };
    if saw.is_some_and(|saw| saw != ask.request.plan_hash) {
        return Answer::nothing(say::other_plan(run));
    }
    if now >= ask.request.expires {
        return Answer::nothing(Refusal::Expired { expires: ask.request.expires }.to_string());
    }
    // What they may do as anyone may needs no broken glass, so that each broken one means something.
    if let Ok(vote) = ask.request.vote(person, saw, &status.votes, now, None) {
        let votes: Vec<_> = status.votes.iter().cloned().chain([vote]).collect();
        if ask.request.standing(&votes) == Standing::Complete {
            return Answer::nothing(say::no_need_to_break_glass(run));
        }
    }
    let reason = stored(reason, REASON);
    let vote = Vote {
        by: person.id.clone(),
        name: person.name.clone(),
        role: person.role,
        teams: person.teams.clone(),
        plan_hash: ask.request.plan_hash.clone(),
        at: now,
        reason: Some(reason.clone()),
    };
    let detail = json!({
        "playbook": status.head.playbook, "plan": ask.request.plan_hash, "tasks": ask.tasks,
        "needed": ask.request.policy.count, "approvers": ask.request.policy.approvers, "reason": reason,
    });
    Answer {
        events: vec![Event::GlassBroken { vote }],
        audit: Some(AuditRecord {
            actor: Actor::Person(person.id.clone()),
            action: "break_glass".to_owned(),
            subject: run.to_string(),
            detail,
            right: Some(Right::BreakGlass { by: person.id.clone(), reason }),
        }),
        says: Decided::Done(say::glass_broken(run)),
    }
}

/// Makes the answer to an order that takes effect: the audit's word, the events, details for the audit, the sentence.
type Done<'a> = dyn Fn(&str, Vec<Event>, serde_json::Value, String) -> Answer + 'a;

fn reply(status: &Status, task: &str, answer: &str, person: &Person, done: &Done<'_>) -> Answer {
    let run = status.head.run;
    let near = crate::core::nearest::hint(task, status.head.tasks.iter().map(|head| head.id.as_str()));
    let Some(index) = status.index(task) else {
        return Answer::nothing(say::not_now(run, &format!("it has no task `{task}`{near}")));
    };
    let detail = json!({"playbook": status.head.playbook, "task": task, "answer": answer});
    let name = status.head.tasks[index].name.as_str();
    let said = say::answered(run, name);
    match (status.tasks[index].stage, status.head.tasks[index].kind.as_str()) {
        (Stage::InDoubt, _) => match answer.trim().to_lowercase().replace([' ', '-'], "_").as_str() {
            "done" | "yes" => {
                let output = json!({"answered_by": person.id});
                let note = Some(format!("{} says it happened", person.name));
                let event = Event::Succeeded { task: task.to_owned(), output, note, verify_until: None };
                done("answer", vec![event], detail, said)
            }
            "not_done" | "no" => {
                let (task, by) = (task.to_owned(), Some(person.id.clone()));
                let event = Event::NotDone { task, by, interrupted: false };
                done("answer", vec![event], detail, say::answered_not_done(run, name))
            }
            "failed" => {
                let (task, why) = (task.to_owned(), say::reported(&person.name));
                let event = Event::Failed { task, kind: FailureKind::Reported, why, retry_at: None, output: None };
                done("answer", vec![event], detail, say::answered_failed(run, name))
            }
            other => Answer::nothing(say::not_now(
                run,
                &format!("`{other}` is no answer here; say `done`, `not_done` or `failed`"),
            )),
        },
        (Stage::Waits { .. }, "Ask_Human") => {
            let options = status.tasks[index].intent.as_ref().and_then(|intent| {
                let listed = intent.target.get("options")?.as_array()?;
                let listed: Vec<String> = listed.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
                (!listed.is_empty()).then_some(listed)
            });
            let chosen = match &options {
                Some(options) => match options.iter().find(|option| option.eq_ignore_ascii_case(answer.trim())) {
                    Some(option) => option.clone(),
                    None => {
                        let why = format!("`{answer}` is not among the answers: {}", options.join(", "));
                        return Answer::nothing(say::not_now(run, &why));
                    }
                },
                None => stored(answer, ANSWER),
            };
            let output = json!({"answer": chosen, "by": person.id});
            let note = Some(format!("{} answered: {chosen}", person.name));
            let event = Event::Succeeded { task: task.to_owned(), output, note, verify_until: None };
            done("answer", vec![event], detail, said)
        }
        _ => Answer::nothing(say::not_now(run, &format!("{name} does not wait for an answer"))),
    }
}

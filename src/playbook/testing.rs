//! Runs a playbook's own `tests:`: given outputs in, states, messages and outcome out. Nothing outside is touched; the
//! decisions are the engine's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::action::{Intent, Planned};
use super::book::Book;
use super::engine::parameters_of;
use super::measure::worse;
use super::model::TestCase;
use super::notices::{self, Notice, NoticeKind};
use super::options::{Approvals, Options};
use super::pace::Pace;
use super::parameters;
use super::run::{
    Anew, Busy, CHILD, Event, FailureKind, Head, Limits, Next, Part, Stage, Status, TaskPlan, apply, decide,
    held_before, retry, retry_at, values_before, values_for, verifiers,
};
use crate::access::{Actor, Person, PersonId, Role};
use crate::core::Timestamp;
use crate::core::message::heal as say;

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// What is not as expected; empty: it passed.
    pub failures: Vec<String>,
}

/// Runs every test of a playbook.
#[must_use]
pub fn run_tests(book: &Book) -> Vec<TestReport> {
    book.playbook.tests.iter().map(|test| TestReport { name: test.name.clone(), failures: run(book, test) }).collect()
}

fn run(book: &Book, test: &TestCase) -> Vec<String> {
    let values = match parameters::resolve(&book.playbook, &test.parameters, test.alert.as_ref()) {
        Ok(values) => values,
        Err(why) => return vec![why],
    };
    match Simulation::new(book, test, values).and_then(Simulation::run) {
        Ok(done) => done.compare(),
        Err(why) => vec![why],
    }
}

/// Decisions that a test may take; more means that it does not end.
const MAX_STEPS: usize = 5_000;

/// What a simulated verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Holds,
    Not,
    Worse,
}

/// A plan as a test sees it: nothing outside is looked at.
fn planned(kind: &str, parameters: &Value) -> Planned {
    Planned {
        object: format!("{kind} {}", parameters["service"].as_str().unwrap_or("")),
        changes: Vec::new(),
        target: parameters.clone(),
        radius: String::new(),
        undo: None,
        details: Vec::new(),
    }
}

struct Simulation<'a> {
    book: &'a Book,
    test: &'a TestCase,
    status: Status,
    now: Timestamp,
    said: Vec<String>,
    /// How many outputs of each task have been used.
    used: HashMap<String, usize>,
    /// What the verifications so far read last: nothing moves between two readings.
    read: Anew,
    /// What the tasks that come after a change, and verify it, would have read before it.
    unread: Anew,
}

impl<'a> Simulation<'a> {
    fn new(book: &'a Book, test: &'a TestCase, parameters: BTreeMap<String, Value>) -> Result<Self, String> {
        let now = Timestamp::from_second(1_767_225_600).map_err(|error| error.to_string())?;
        let longest = book.playbook.max_duration.unwrap_or(Options::default().max_duration);
        let mut head = Head::imagined(book, "test", parameters, test.alert.clone(), now);
        head.deadline = now.checked_add(longest.0).map_err(|error| error.to_string())?;
        let status = apply(&Event::Proposed { head: Box::new(head) }, now, None).map_err(|error| error.to_string())?;
        Ok(Self {
            book,
            test,
            status,
            now,
            said: Vec::new(),
            used: HashMap::new(),
            read: Anew::new(),
            unread: Anew::new(),
        })
    }

    fn run(mut self) -> Result<Self, String> {
        let options = Options::default();
        let limits = Limits {
            approvals: Approvals::default(),
            approval_expires: options.approval_expires,
            allow_self: false,
            parallel_tasks: options.parallel_tasks,
            missing: Vec::new(),
            output_bytes: options.output_bytes,
        };
        for _ in 0..MAX_STEPS {
            let next = decide(self.book, &self.status, &Busy::new(), self.now, &limits).into_iter().next();
            match next {
                None if self.status.ended.is_some() => return Ok(self),
                None => self.unblock()?,
                Some(Next::Wake(at)) if self.status.ask.is_some() => {
                    let _ = at;
                    self.unblock()?;
                }
                Some(Next::Wake(at)) => self.wait_until(at)?,
                Some(Next::Record(event)) => self.record(event)?,
                Some(Next::Prepare(index)) => self.prepare(index)?,
                Some(Next::Begin(index)) => {
                    let target =
                        self.status.tasks[index].plan.as_ref().map_or(Value::Null, |plan| plan.parameters.clone());
                    self.start(index, target)?;
                }
                Some(Next::Look(index) | Next::Settle(index)) => self.perform(index)?,
                Some(Next::Verify(index)) => {
                    let (holds, note) = self.measure(index);
                    let (holds, worse) = (holds == Measured::Holds, holds == Measured::Worse);
                    self.record(Event::Verified { task: self.id(index), holds, worse, note })?;
                }
            }
        }
        Err(format!("it does not end within {MAX_STEPS} decisions"))
    }

    fn id(&self, index: usize) -> String {
        self.status.head.tasks[index].id.clone()
    }

    fn record(&mut self, event: Event) -> Result<(), String> {
        let status = apply(&event, self.now, Some(self.status.clone())).map_err(|illegal| illegal.to_string())?;
        // As people read it where no incident has a team to name.
        let told = |notice: Notice| match notice.kind {
            NoticeKind::Success | NoticeKind::Failure => say::notice(notice.run, &notice.says),
            NoticeKind::Escalation => say::escalation_to_all(notice.run, &notice.says),
        };
        self.said.extend(notices::after(self.book, &status, &event).into_iter().map(told));
        self.status = status;
        Ok(())
    }

    /// People decide as the test says.
    fn unblock(&mut self) -> Result<(), String> {
        if self.status.paused.is_some() {
            return self.record(Event::Resumed { by: Actor::Mayday("test".to_owned()) });
        }
        let Some(ask) = self.status.ask.clone() else {
            return Err("the run waits for something that the test does not give".to_owned());
        };
        let number = self.status.votes.len();
        let id = ask.request.policy.approvers.get(number).cloned().unwrap_or_else(|| format!("test:{number}"));
        let person = Person {
            name: format!("approver {}", number + 1),
            teams: ask.request.policy.approvers.clone(),
            id: PersonId(id),
            role: Role::Admin,
        };
        if !self.test.approved {
            return self.record(Event::Rejected { by: person.id, name: person.name, reason: None });
        }
        let vote = ask
            .request
            .vote(&person, None, &self.status.votes, self.now, None)
            .map_err(|refusal| format!("the plan can't be approved in a test: {refusal}"))?;
        self.record(Event::Voted { vote })
    }

    fn wait_until(&mut self, at: Timestamp) -> Result<(), String> {
        if at >= self.status.head.deadline {
            let waiting = self.status.tasks.iter().position(|task| matches!(task.stage, Stage::InDoubt));
            let what = waiting.map_or_else(|| "something".to_owned(), |index| self.id(index));
            return Err(format!("the run waits for {what} until it is over; the test does not give it"));
        }
        self.now = at;
        Ok(())
    }

    fn prepare(&mut self, index: usize) -> Result<(), String> {
        let task = self.id(index);
        let inverse = matches!(self.status.part(index), Part::Undo { inverse: true, .. });
        let parameters = if inverse { Ok(json!({})) } else { parameters_of(self.book, &self.status, index) };
        match parameters {
            Err(why) => {
                self.record(Event::Failed { task, kind: FailureKind::Broken, why, retry_at: None, output: None })
            }
            // What the inverse does, only the action knows; it is carried out in one go.
            Ok(parameters) if self.status.part(index).is_undo() => {
                if self.status.head.tasks[index].changes {
                    let planned = planned(&self.status.head.tasks[index].kind, &parameters);
                    let plan = Box::new(TaskPlan { parameters: parameters.clone(), planned, rollback: None });
                    self.record(Event::Planned { task, plan })?;
                }
                self.start(index, parameters)
            }
            Ok(parameters) if self.status.head.tasks[index].changes => {
                let planned = planned(&self.status.head.tasks[index].kind, &parameters);
                self.record(Event::Planned { task, plan: Box::new(TaskPlan { parameters, planned, rollback: None }) })
            }
            Ok(parameters) => self.start(index, parameters),
        }
    }

    fn start(&mut self, index: usize, target: Value) -> Result<(), String> {
        let intent = Intent {
            idempotency_key: self.id(index),
            target,
            deadline: self.now,
            attempt: self.status.tasks[index].attempt + 1,
        };
        let first = self.read_before(index);
        let mut anew = self.read.clone();
        anew.extend(first.clone());
        let held_before = held_before(self.book, &self.status, index, &anew);
        let found: Map<String, Value> = first.into_iter().filter_map(|(name, read)| Some((name, read?))).collect();
        let before = (!found.is_empty()).then_some(Value::Object(found));
        self.record(Event::Started { task: self.id(index), intent, version: 1, before, held_before })?;
        self.perform(index)
    }

    /// What verifies a change, and is read by tasks that only come after it: the first output given for such a task is how it
    /// was before the change, once, however often that is tried.
    fn read_before(&mut self, change: usize) -> Anew {
        let book = self.book;
        let verifiers = verifiers(book, &self.status, change);
        let names = verifiers.iter().flat_map(|verifier| verifier.condition.roots().map(str::to_owned));
        let names: BTreeSet<String> = names.collect();
        let mut found = Anew::new();
        for name in names {
            let Some(reader) = book.reader(&name).filter(|reader| self.status.tasks[*reader].started.is_none()) else {
                continue;
            };
            let reading = match self.unread.get(&name) {
                Some(reading) => reading.clone(),
                None if parameters_of(book, &self.status, reader).is_err() => continue,
                None => self.given(&self.id(reader)).filter(|output| output.get("fails").is_none()),
            };
            self.unread.insert(name.clone(), reading.clone());
            // What a verification has read since is younger.
            if !self.read.contains_key(&name) {
                found.insert(name, reading);
            }
        }
        found
    }

    fn perform(&mut self, index: usize) -> Result<(), String> {
        let task = self.id(index);
        let declared = &self.book.playbook.tasks[self.status.declared(index)];
        if self.book.verify[self.status.declared(index)].is_some()
            && matches!(declared.kind.as_str(), "Verify" | "Wait")
        {
            let (holds, note) = self.measure(index);
            let event = if holds == Measured::Holds {
                Event::Succeeded { task, output: json!({"holds": true}), note: Some(note), verify_until: None }
            } else {
                let worse = holds == Measured::Worse;
                let kind = if worse { FailureKind::MadeWorse } else { FailureKind::NotVerified };
                Event::Failed { task, kind, why: note, retry_at: None, output: None }
            };
            return self.record(event);
        }
        let output = match (self.given(&task), declared.kind.as_str()) {
            (Some(output), _) => output,
            // That an undo works is taken for granted unless the test says otherwise.
            (None, _) if matches!(self.status.part(index), Part::Undo { inverse: true, .. }) => json!({}),
            (None, "Notification") => json!({"delivered": true, "to": []}),
            (None, "Wait") => json!({"waited_seconds": 0.0}),
            (None, _) => {
                return Err(format!("`{task}` runs, and the test gives no output for it; add `{task}:` to `given`"));
            }
        };
        if let Some(why) = output.get("fails") {
            let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
            let kind = FailureKind::Transient;
            let attempt = self.status.tasks[index].attempt;
            let retry_at = retry_at(retry(self.book, &self.status, index).as_ref(), kind, attempt, &task, self.now);
            return self.record(Event::Failed { task, kind, why, retry_at, output: None });
        }
        if declared.kind == CHILD
            && let Some(outcome) =
                output.get("outcome").and_then(Value::as_str).filter(|it| !["fixed", "no_effect"].contains(it))
        {
            let (kind, why) = (FailureKind::Permanent, format!("it ended ({outcome})"));
            return self.record(Event::Failed { task, kind, why, retry_at: None, output: Some(output) });
        }
        if declared.kind == "Notification" {
            let intent = self.status.tasks[index].intent.as_ref();
            let message = intent.and_then(|intent| intent.target["message"].as_str()).unwrap_or_default();
            self.said.push(message.to_owned());
        }
        let undo = self.status.part(index).is_undo();
        let verify_until = declared.verify.as_ref().filter(|_| !undo).map(|_| self.now);
        self.record(Event::Succeeded { task, output, note: None, verify_until })
    }

    /// The next output given for a task; the last one stays.
    fn given(&mut self, task: &str) -> Option<Value> {
        // An item's own output, else the next one that is given for its task.
        let whole = task.split_once('[').map_or(task, |(task, _)| task);
        let task = if self.test.given.contains_key(task) { task } else { whole };
        match self.test.given.get(task)? {
            Value::Array(readings) => {
                let used = self.used.entry(task.to_owned()).or_default();
                let reading = readings.get((*used).min(readings.len().saturating_sub(1)))?;
                *used += 1;
                Some(reading.clone())
            }
            output => Some(output.clone()),
        }
    }

    /// Reads again until the condition holds, at as many readings as it must, or the test has no further ones.
    fn measure(&mut self, index: usize) -> (Measured, String) {
        let book = self.book;
        let none = (Measured::Not, String::new());
        let Some(condition) = book.verify[self.status.declared(index)].as_ref() else { return none };
        let before = values_before(book, &self.status, index);
        let mut after = before.clone();
        let readers: Vec<(String, usize)> =
            condition.roots().filter_map(|root| Some((root.to_owned(), book.reader(root)?))).collect();
        let most = readers.iter().map(|(_, reader)| match self.test.given.get(&self.id(*reader)) {
            Some(Value::Array(readings)) => readings.len(),
            _ => 1,
        });
        let pace = Pace::of(&book.playbook.tasks[self.status.declared(index)]);
        // Readings from the first that holds to the last.
        let needed = 1 + pace.hold.as_millis().div_ceil(pace.every.0.as_millis().max(1)) as usize;
        let (mut last, mut held) = (String::new(), 0);
        let most = most.max().unwrap_or(1).max(1);
        for reading in 1..=most {
            let mut seen = values_for(book, &self.status, index);
            for (name, reader) in &readers {
                let task = self.id(*reader);
                let reading = self.given(&task).filter(|output| output.get("fails").is_none());
                self.read.insert(name.clone(), reading.clone());
                match reading {
                    Some(output) => seen[name.as_str()] = output,
                    None => {
                        if let Value::Object(map) = &mut seen {
                            map.remove(name);
                        }
                    }
                }
            }
            match condition.holds(&seen) {
                // The last reading stays: what holds then holds for as long as it must.
                Ok(true) if held + 1 == needed || reading == most => {
                    return (Measured::Holds, format!("`{}` holds", condition.source()));
                }
                Ok(true) => held += 1,
                Ok(false) => (last, held) = ("it is false".to_owned(), 0),
                Err(why) => (last, held) = (why, 0),
            }
            after = seen;
        }
        let found = if worse(condition, &before, &after) { Measured::Worse } else { Measured::Not };
        (found, format!("`{}` does not hold: {last}", condition.source()))
    }

    fn compare(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let view = self.status.view(Some(self.book));
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        for (task, expected) in &self.test.expect.tasks {
            let Some(found) = view.tasks.iter().find(|found| found.id == *task) else { continue };
            let state = word(json!(found.state));
            if state != *expected {
                let note = found.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
                failures.push(format!("`{task}` is {state}, not {expected}{note}"));
            }
        }
        for wanted in &self.test.expect.messages {
            if !self.said.iter().any(|said| said.contains(wanted.as_str())) {
                failures.push(format!("nobody is told {wanted:?}; what is told: {:?}", self.said));
            }
        }
        if let Some(expected) = &self.test.expect.outcome {
            let outcome = word(json!(view.outcome));
            if outcome != *expected {
                failures.push(format!("the outcome is {outcome}, not {expected} ({})", view.why.unwrap_or_default()));
            }
        }
        failures
    }
}

//! Effects: planning, performing, settling and verifying, each one bounded in time and safe against a broken action.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};

use super::bounded::by;
use super::render;
use super::slots::Slots;
use crate::core::duration::human;
use crate::core::message::playbook as say;
use crate::core::redact::redact_json;
use crate::core::{SharedClock, Timestamp};
use crate::playbook::action::{self, Action, Context, Intent, Perform, Planned, Probe, Settle};
use crate::playbook::book::Book;
use crate::playbook::faults::Faults;
use crate::playbook::measure::worse;
use crate::playbook::pace::Pace;
use crate::playbook::registry::Registry;
use crate::playbook::run::{Anew, FailureKind, Status, capped, held_before, values_before, values_for};
use crate::playbook::view::TaskState;
use crate::store::{self, SharedStore};
use crate::work::Lease;

/// Looking at a live system before a change may take this long.
const PLAN_TIMEOUT: Duration = Duration::from_secs(30);

/// No change waits longer for one of the readings that it is measured by.
const BEFORE_TIMEOUT: Duration = Duration::from_secs(5);
/// So long after a start the sources may still say how it was before: sampled last, or not reached yet.
const READINGS_COME: Duration = Duration::from_secs(60);
/// What ends with its process has ended so long after a start.
const ENDS: Duration = Duration::from_secs(1);
/// A larger plan is not kept, bytes: the plans of all tasks that one commit may write must fit into it.
pub const PLAN_MOST: usize = 400 * 1024;

/// What effects need of the engine.
#[derive(Clone)]
pub struct Tools {
    /// Time.
    pub clock: SharedClock,
    /// The actions.
    pub registry: Registry,
    /// Slots for effects of all runs.
    pub slots: Slots,
    /// Who waits for one of them goes by this: the playbook's.
    pub priority: i64,
    /// Largest stored output, bytes.
    pub output_bytes: usize,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

/// What came of performing, or of finding out about, an intent.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// It is done.
    Done(Value),
    /// It waits.
    Waits {
        /// Until then.
        until: Timestamp,
        /// What for.
        why: String,
    },
    /// It did not happen.
    Failed(FailureKind, String),
    /// It did not happen, says the target: start again.
    NotDone,
    /// Nothing was started: meanwhile the run is paused, or is to end.
    NotNow,
    /// Doing it again is safe: do.
    Repeat,
    /// Nobody can tell.
    Doubt(String),
    /// Another process has taken the shard over: nothing was done, and it is no longer this process's to do.
    TakenOver,
}

/// Whether changes of a run may start: told by the run's task, looked at by those that had to wait.
#[derive(Debug, Default)]
pub struct Halt {
    stops: AtomicBool,
    paused: AtomicBool,
}

impl Halt {
    /// What holds from now on.
    pub fn tell(&self, stops: bool, paused: bool) {
        self.stops.store(stops, Ordering::SeqCst);
        self.paused.store(paused, Ordering::SeqCst);
    }
}

/// What a change looks at last: whether this process still holds the run's shard, and whether it is still wanted.
pub struct Held {
    /// Whether the run is paused or is to end; none for a look at what has begun.
    pub halt: Option<Arc<Halt>>,
    /// Whether it undoes something: that waits only while the run is paused.
    pub undoes: bool,
    /// Where the lease stands.
    pub store: SharedStore,
    /// The lease as this process knows it.
    pub lease: Lease,
}

impl Held {
    fn halts(&self) -> bool {
        self.halt
            .as_ref()
            .is_some_and(|halt| halt.paused.load(Ordering::SeqCst) || !self.undoes && halt.stops.load(Ordering::SeqCst))
    }

    async fn look(&self) -> Result<bool, store::Error> {
        Ok(self.store.read(&self.lease.key).await?.is_some_and(|entry| entry.revision == self.lease.revision))
    }
}

/// A failure before anything was started.
pub type Unplanned = (FailureKind, String);

fn failure(error: action::Error) -> Unplanned {
    let kind = match error {
        action::Error::Transient(_) => FailureKind::Transient,
        action::Error::Permanent(_) | action::Error::InDoubt(_) => FailureKind::Permanent,
        action::Error::NotAvailable(_) => FailureKind::NotAvailable,
    };
    (kind, redacted(&error.to_string()))
}

/// Errors come from outside as well: redacted and short.
fn redacted(text: &str) -> String {
    crate::core::text::capped(&crate::core::redact::redact(text), 2_000)
}

/// How long one try may take where neither the playbook nor the action says.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks an action something; one that breaks off has said the careful thing.
pub fn safely<T>(ask: impl FnOnce() -> T, careful: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| careful())
}

/// How an action settles what is in doubt.
pub fn settles(action: &dyn Action, target: &Value) -> Settle {
    safely(|| action.settle(target), || Settle::AskPerson)
}

/// How long one try of an action may take where the playbook does not say.
pub fn timeout_of(action: &dyn Action) -> Duration {
    safely(|| action.default_timeout(), || TIMEOUT)
}

impl Tools {
    /// Works out what a task would do. Nothing is changed, so nothing is written down before it.
    pub async fn plan(
        &self,
        action: Option<Arc<dyn Action>>,
        context: Context,
        kind: &str,
        parameters: Value,
    ) -> Result<Planned, Unplanned> {
        let Some(action) = action else { return Err((FailureKind::NotAvailable, say::no_executor(kind))) };
        let _slot = self.slots.get(self.priority).await;
        let work = AssertUnwindSafe(async { action.plan(&context, &parameters).await }).catch_unwind();
        match by(&self.clock, self.clock.steady() + PLAN_TIMEOUT, work).await {
            Some(Ok(Ok(planned))) => {
                let bytes = serde_json::to_vec(&(&parameters, &planned)).map_or(0, |text| text.len());
                if bytes > PLAN_MOST {
                    return Err((FailureKind::Permanent, say::plan_too_large(bytes, PLAN_MOST)));
                }
                Ok(planned.for_people())
            }
            Some(Ok(Err(error))) => Err(failure(error)),
            Some(Err(_)) => Err((FailureKind::Permanent, "planning it broke off; the log has more".to_owned())),
            None => Err((FailureKind::Transient, format!("planning it took more than {}", human(PLAN_TIMEOUT)))),
        }
    }

    /// Performs an intent that is durable. Bounded by its deadline. A change says by what right this process makes it
    /// (`held`): the journal's fence stops the next commit of a process that was taken over, this one stops its effect.
    pub async fn perform(
        &self,
        action: Arc<dyn Action>,
        mut context: Context,
        intent: Intent,
        held: Option<Held>,
    ) -> Came {
        let late = || Came::Failed(FailureKind::Transient, "no slot was free in time".to_owned());
        let wait = Duration::try_from(intent.deadline.duration_since(self.clock.now())).unwrap_or_default();
        let _slot = tokio::select! {
            biased;
            slot = self.slots.get(self.priority) => slot,
            () = self.clock.sleep(wait) => return late(),
        };
        if let Some(held) = held {
            match held.look().await {
                Ok(true) if held.halts() => return Came::NotNow,
                Ok(true) => {}
                Ok(false) => return Came::TakenOver,
                Err(error) => return Came::Failed(FailureKind::Transient, redacted(&error.to_string())),
            }
        }
        // Before the time is asked: standing still between the two makes it shorter, never longer.
        let begun = self.clock.steady();
        context.now = self.clock.now();
        let left = Duration::try_from(intent.deadline.duration_since(context.now)).unwrap_or_default();
        if left.is_zero() {
            return late();
        }
        if self.faults.fail.contains(&context.task) {
            return Came::Failed(FailureKind::Permanent, say::made_to_fail());
        }
        if self.faults.repeat.as_deref() == Some(context.task.as_str()) {
            let _ = AssertUnwindSafe(action.perform(&context, &intent)).catch_unwind().await;
        }
        let work = AssertUnwindSafe(async { action.perform(&context, &intent).await }).catch_unwind();
        let why = match by(&self.clock, begun + left, work).await {
            Some(Ok(Ok(Perform::Done(_)))) if self.faults.unheard.contains(&context.task) => say::made_to_fail(),
            Some(Ok(Ok(Perform::Done(output)))) => return Came::Done(self.stored(output)),
            Some(Ok(Ok(Perform::Wait { until, why }))) => return Came::Waits { until, why: redacted(&why) },
            Some(Ok(Err(action::Error::InDoubt(why)))) => redacted(&why),
            Some(Ok(Err(error))) => {
                let (kind, why) = failure(error);
                return Came::Failed(kind, why);
            }
            Some(Err(_)) => "it broke off; the log has more".to_owned(),
            None => format!("no answer within {}", human(left)),
        };
        match self.find_out(&*action, &context, &intent, why.clone()).await {
            // In the same process a repetition is a try like any other: `retry` says whether.
            Came::Repeat => Came::Failed(FailureKind::Timeout, why),
            Came::NotDone => Came::Failed(FailureKind::Transient, why),
            other => other,
        }
    }

    /// Settles an intent without an outcome, as its action says; one of a change after its deadline. `alone`: no other process
    /// makes changes on this store, so that what ends with its process has ended.
    pub async fn settle(
        &self,
        action: Option<Arc<dyn Action>>,
        mut context: Context,
        intent: Intent,
        (version, changes, alone): (u32, bool, bool),
    ) -> Came {
        // Of a reading nobody need say whether it happened.
        let lost = |why: String| if changes { Came::Doubt(why) } else { Came::Failed(FailureKind::NotAvailable, why) };
        let Some(action) = action else {
            return lost(format!("this Mayday has nothing that carries out {}", context.task_name));
        };
        if !action.knows(version) {
            return lost(say::other_version(action.kind(), version, action.version()));
        }
        // A read by another process can't do harm: only changes wait until nobody can still be making them.
        if changes && let Ok(left) = Duration::try_from(intent.deadline.duration_since(self.clock.now())) {
            let over = alone && safely(|| action.ends_with_mayday(), || false);
            self.clock.sleep(if over { left.min(ENDS) } else { left }).await;
        }
        context.now = self.clock.now();
        self.find_out(&*action, &context, &intent, "Mayday was interrupted".to_owned()).await
    }

    async fn find_out(&self, action: &dyn Action, context: &Context, intent: &Intent, why: String) -> Came {
        match settles(action, &intent.target) {
            Settle::Repeat => Came::Repeat,
            Settle::AskPerson => Came::Doubt(why),
            Settle::Probe => {
                let work = AssertUnwindSafe(async { action.probe(context, intent).await }).catch_unwind();
                match by(&self.clock, self.clock.steady() + PLAN_TIMEOUT, work).await {
                    Some(Ok(Ok(Probe::Done(output)))) => Came::Done(self.stored(output)),
                    Some(Ok(Ok(Probe::NotDone))) => Came::NotDone,
                    Some(Ok(Ok(Probe::Unknown(more)))) => Came::Doubt(format!("{why}; {}", redacted(&more))),
                    Some(Ok(Err(error))) => Came::Doubt(format!("{why}; {}", redacted(&error.to_string()))),
                    Some(Err(_)) => Came::Doubt(why),
                    None => Came::Doubt(format!("{why}; asking the target took too long")),
                }
            }
        }
    }

    /// An output as it is stored: redacted, capped.
    fn stored(&self, mut output: Value) -> Value {
        redact_json(&mut output);
        capped(output, self.output_bytes)
    }

    /// Reads what a condition is about again and again until it holds, for as long as it must, or the time is over. What was
    /// measured before a crash does not count: nobody looked in between.
    pub async fn verify(
        &self,
        book: &Book,
        status: &Status,
        index: usize,
        context: &Context,
        time: Time,
        pace: Pace,
    ) -> Verification {
        if self.faults.unverified.contains(&context.task) {
            let (note, readings) = (say::made_to_fail(), Value::Null);
            return Verification { holds: false, worse: false, note, readings, seconds: 0.0 };
        }
        let Some(condition) = book.verify.get(status.declared(index)).and_then(Option::as_ref) else {
            return Verification {
                holds: false,
                worse: false,
                note: "there is nothing to verify".to_owned(),
                readings: Value::Null,
                seconds: 0.0,
            };
        };
        let readers: Vec<(String, usize)> =
            condition.roots().filter_map(|root| book.reader(root).map(|reader| (root.to_owned(), reader))).collect();
        let before = values_before(book, status, index);
        let mut seen = values_for(book, status, index);
        // Since when each reading has held.
        let mut since: Option<Timestamp> = None;
        loop {
            let mut readings = Map::new();
            let mut trouble = None;
            for (name, reader) in &readers {
                match self.read_again(book, status, *reader, context, time.until).await {
                    Ok(output) => {
                        readings.insert(name.clone(), output.clone());
                        seen[name] = output;
                    }
                    Err(why) => {
                        // What can't be read must not be judged by what was read before.
                        if let Value::Object(map) = &mut seen {
                            map.remove(name);
                        }
                        trouble = Some(why);
                    }
                }
            }
            let now = self.clock.now();
            let after = |from: Timestamp| Duration::try_from(now.duration_since(from)).unwrap_or_default();
            let (took, mut lacks, mut last) = (after(time.begun), pace.hold, trouble);
            match condition.holds(&seen) {
                Ok(true) => {
                    let held = after(*since.get_or_insert(now));
                    lacks = pace.hold.saturating_sub(held);
                    if lacks.is_zero() {
                        return Verification {
                            holds: true,
                            worse: false,
                            note: say::holds(condition.source(), pace.hold, took),
                            readings: Value::Object(readings),
                            seconds: took.as_secs_f64(),
                        };
                    }
                    last = Some(say::held_only(held));
                }
                Ok(false) => since = None,
                Err(why) => {
                    since = None;
                    last = last.or(Some(why));
                }
            }
            if now >= time.until {
                let note = say::does_not_hold(condition.source(), pace.hold, took, last.as_deref());
                return Verification {
                    holds: false,
                    worse: worse(condition, &before, &seen),
                    note,
                    readings: Value::Object(readings),
                    seconds: took.as_secs_f64(),
                };
            }
            let left = Duration::try_from(time.until.duration_since(now)).unwrap_or_default();
            // At the end of the time that it must hold it is looked at, not later.
            let pause = if since.is_some() { pace.every.0.min(lacks) } else { pace.every.0 };
            self.clock.sleep(pause.min(left)).await;
        }
    }

    /// Reads again what the conditions of an approved change are about, and judges them by that. None: they hold.
    /// Otherwise the condition that does not. What was read is kept by name.
    ///
    /// # Errors
    /// A sentence: a condition can't be evaluated on what is there now.
    pub async fn no_longer(
        &self,
        book: &Book,
        status: &Status,
        index: usize,
        readers: &[usize],
        context: &Context,
        read: &mut Anew,
    ) -> Result<Option<String>, String> {
        let mut seen = values_for(book, status, index);
        let until = self.clock.now();
        for reader in readers {
            let task = &book.playbook.tasks[*reader];
            let again = self.read_again(book, status, *reader, context, until).await;
            if let Some(variable) = &task.output_variable {
                read.insert(variable.clone(), again.as_ref().ok().cloned());
            }
            let (state, note) = match again {
                Ok(output) => {
                    if let Some(variable) = &task.output_variable {
                        seen[variable] = output;
                    }
                    (TaskState::Succeeded, None)
                }
                Err(why) => {
                    // What can't be read must not be judged by what was read before.
                    if let (Some(variable), Value::Object(map)) = (&task.output_variable, &mut seen) {
                        map.remove(variable);
                    }
                    (TaskState::Failed, Some(why))
                }
            };
            seen["tasks"][&task.id] = json!({"state": state, "note": note});
        }
        let mut no = None;
        for condition in &book.conditions[status.declared(index)] {
            if !condition.holds(&seen)? {
                no = no.or_else(|| Some(condition.source().to_owned()));
            }
        }
        Ok(no)
    }

    /// How it is right before a change: reads anew what measures it, by name, unless that was just read. What does not answer
    /// soon is left out: then it is compared with what the run stored, and whether it held before is not known.
    pub async fn before(
        &self,
        book: &Book,
        status: &Status,
        index: usize,
        readers: &[(String, usize)],
        context: &Context,
        mut anew: Anew,
    ) -> Before {
        let until = self.clock.now();
        for (name, reader) in readers {
            if anew.contains_key(name) {
                continue;
            }
            let read = tokio::select! {
                biased;
                read = self.read_again(book, status, *reader, context, until) => read.ok(),
                () = self.clock.sleep(BEFORE_TIMEOUT) => None,
            };
            anew.insert(name.clone(), read);
        }
        let held = held_before(book, status, index, &anew);
        let found = readers.iter().filter_map(|(name, _)| Some((name.clone(), anew.remove(name)??)));
        let found: Map<String, Value> = found.collect();
        Before { readings: (!found.is_empty()).then_some(Value::Object(found)), held }
    }

    async fn read_again(
        &self,
        book: &Book,
        status: &Status,
        reader: usize,
        context: &Context,
        until: Timestamp,
    ) -> Result<Value, String> {
        let task = &book.playbook.tasks[reader];
        let parameters = render::parameters(book, status, reader)?;
        let action = self.registry.get(&task.kind).cloned();
        let context =
            Context { task: task.id.clone(), task_name: task.name.clone(), now: self.clock.now(), ..context.clone() };
        let planned =
            self.plan(action.clone(), context.clone(), &task.kind, parameters).await.map_err(|(_, why)| why)?;
        let Some(action) = action else { return Err(say::no_executor(&task.kind)) };
        let now = self.clock.now();
        let timeout = task.timeout.map_or_else(|| timeout_of(&*action), |span| span.0);
        let deadline = now.checked_add(timeout).unwrap_or(until);
        let intent = Intent {
            idempotency_key: format!("{}-{}-reading", context.run, task.id),
            target: planned.target,
            deadline,
            attempt: 1,
        };
        match self.perform(action, context, intent, None).await {
            Came::Done(output) => Ok(output),
            Came::Failed(_, why) | Came::Doubt(why) | Came::Waits { why, .. } => Err(why),
            Came::NotDone | Came::NotNow | Came::Repeat | Came::TakenOver => Err("it could not be read".to_owned()),
        }
    }
}

/// How it was right before a change.
#[derive(Debug, Default)]
pub struct Before {
    /// What was read anew, by name.
    pub readings: Option<Value>,
    /// Whether what verifies the change held, by the id of what verifies it.
    pub held: BTreeMap<String, bool>,
}

/// The time that a measurement has.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// When it was first begun, by whichever process.
    pub begun: Timestamp,
    /// It is over then.
    pub until: Timestamp,
}

impl Time {
    /// A measurement that another process began, as one goes on with it that took the run up now. That one has to see what must
    /// hold for some time from its beginning, and what it reads may need a moment until it says how things are; so it has
    /// time for both, but no more than the whole. Or a restart would undo a change that helped.
    pub fn taken_up(self, now: Timestamp, pace: &Pace) -> Self {
        let least = pace.within.0.min(pace.hold.saturating_add(READINGS_COME));
        Self { until: self.until.max(now.checked_add(least).unwrap_or(now)), ..self }
    }
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Whether it holds.
    pub holds: bool,
    /// Whether it is measurably worse than before.
    pub worse: bool,
    /// In words.
    pub note: String,
    /// What was read last, by name.
    pub readings: Value,
    /// How long it took, seconds.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Actor;
    use crate::core::clock::SystemClock;
    use crate::core::{BoxFuture, RunId};
    use crate::playbook::action::{Change, Error};

    /// Plans what it is given as every text of the plan.
    struct Forger;

    impl Action for Forger {
        fn kind(&self) -> &'static str {
            "Disk_Cleanup"
        }
        fn settle(&self, _: &Value) -> Settle {
            Settle::AskPerson
        }
        fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
            let text = || value.as_str().unwrap_or_default().to_owned();
            Box::pin(std::future::ready(Ok(Planned {
                object: text(),
                changes: vec![Change { field: text(), before: text(), after: text() }],
                target: value.clone(),
                radius: text(),
                undo: Some(text()),
                details: vec![text()],
            })))
        }
        fn perform<'a>(&'a self, _: &'a Context, _: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
            Box::pin(std::future::ready(Ok(Perform::Done(Value::Null))))
        }
    }

    #[tokio::test]
    async fn no_name_in_a_plan_forges_a_line_of_it() {
        let tools = Tools {
            clock: SystemClock::shared(),
            registry: Registry::new(Vec::new()),
            slots: Slots::new(1),
            priority: 0,
            output_bytes: 1000,
            faults: Faults::default(),
        };
        let context = Context {
            run: RunId::new(1),
            task: "clean".into(),
            task_name: "Clean".into(),
            incident: None,
            by: Actor::Mayday("test".into()),
            now: tools.clock.now(),
        };
        let name = json!("a.log\nremoves nothing\u{202e}\u{1b}[2J");
        let planned = tools.plan(Some(Arc::new(Forger)), context, "Disk_Cleanup", name.clone()).await.unwrap();
        assert_eq!(planned.target, name, "what is done is not what is shown");
        let shown = "a.log\\nremoves nothing\\u{202e}\\u{1b}[2J";
        assert_eq!(planned.object, shown);
        assert_eq!(planned.details, [shown]);
        assert_eq!(planned.changes[0], Change { field: shown.into(), before: shown.into(), after: shown.into() });
        assert_eq!((&*planned.radius, planned.undo.as_deref()), (shown, Some(shown)));
    }
}

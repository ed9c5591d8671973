//! One open run: decide, commit, perform, wait; until it has ended.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::child::{ChildEnd, Stopping};
use super::commit::{Lost, Pending, commit};
use super::effects::{Came, Halt, Held, TIMEOUT, Tools, Unplanned, Verification, safely, settles, timeout_of};
use super::share::Ends;
use super::{Engine, Letter, Said, Shared, journal, locked, render, stuck};
use crate::access::Risk;
use crate::core::duration::Span;
use crate::core::message::playbook as say;
use crate::core::text::capped;
use crate::core::{BoxFuture, RunId, Timestamp};
use crate::playbook::action::{Context, Intent, Planned, Settle};
use crate::playbook::book::Book;
use crate::playbook::model::Task;
use crate::playbook::notices;
use crate::playbook::order;
use crate::playbook::run::{Event, FailureKind, Limits, Next, Part, Stage, Status, decide, stale, stops};
use crate::playbook::tasks;
use crate::playbook::view::Decided;
use crate::store;
use crate::work::Lease;

/// What must hold afterwards gets this long where the playbook does not say.
const VERIFY_WITHIN: Span = Span::from_secs(60);
/// An `until` of a Wait gets this long where the playbook does not say.
const WAIT_WITHIN: Span = Span::from_secs(300);
/// Time between readings where the playbook does not say.
const VERIFY_EVERY: Span = Span::from_secs(2);

/// Readings that an approved change depends on are taken anew right before it when they are older than this; before one
/// that interrupts or destroys something always, since what recovered a moment ago must be left alone.
const READINGS_HOLD: Duration = Duration::from_secs(30);

/// A run of which so many steps could not be written down, for a reason that stays, ends as stuck.
const HOPELESS: u32 = 3;

/// Something this process was working on has come to an end.
pub(super) enum Landed {
    /// A task's plan, with its rendered parameters.
    Planned(usize, Result<(Value, Planned), Unplanned>),
    /// The guards of an approved change, looked at again.
    Checked(usize, Result<(Value, Planned), Unplanned>),
    /// What measures a change, as it was read right before it, and what came of the change's guards.
    Before(usize, Value, Box<Self>),
    /// A condition of an approved change no longer holds.
    Unneeded(usize, String),
    /// An effect, or what was found out about one.
    Came(usize, Came),
    /// A verification of the task itself (a Verify, a Wait with `until`).
    Measured(usize, Verification),
    /// A verification after a task.
    Verified(usize, Verification),
    /// A child run has ended.
    Child(usize, RunId, ChildEnd),
    /// Mayday stops; there is nothing to write down.
    Nothing(usize),
}

/// Drives a run until it has ended or this process must let go of it.
pub async fn drive(
    shared: Arc<Shared>,
    lease: Lease,
    status: Status,
    book: Arc<Book>,
    mut mailbox: mpsc::Receiver<Letter>,
) {
    let run = status.head.run;
    let _place = Place { shared: shared.clone(), run };
    let mut driver = Driver::new(shared.clone(), lease, status, book);
    let mut pause = Duration::from_millis(100);
    let mut hopeless = 0;
    loop {
        let went = AssertUnwindSafe(driver.go(&mut mailbox)).catch_unwind().await;
        let why = match went.unwrap_or_else(|_| Err(Lost::Illegal(say::broke_off()))) {
            Ok(()) | Err(Lost::Crashed) => break,
            Err(Lost::Lease) => {
                tracing::warn!(%run, "another process has taken this run over");
                break;
            }
            Err(Lost::Store(error)) => {
                hopeless += u32::from(matches!(error, store::Error::TooLarge { .. } | store::Error::Encode(_)));
                error.to_string()
            }
            Err(Lost::Illegal(why)) => {
                hopeless += 1;
                why
            }
        };
        // It may or may not be durable: forget what was in memory and fold the journal again, as after a crash.
        tracing::warn!(%run, %why, "a run can't go on from here; reading it again");
        metrics::counter!("mayday_playbook_commit_failures_total").increment(1);
        if hopeless >= HOPELESS {
            // The same journal leads to the same again: what the run holds is let go of, and people are told.
            match stuck::end(&shared, run, &say::end_hopeless(&capped(&why, 500))).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%run, %error, "a stuck run can't be ended yet"),
            }
        }
        match driver.again(&mut pause).await {
            Some(next) => driver = next,
            None => break,
        }
    }
}

/// A run's place among those that this process drives: given up however its task ends, so that the run can be taken up again.
struct Place {
    shared: Arc<Shared>,
    run: RunId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut runs = locked(&self.shared.live);
        runs.remove(&self.run);
        metrics::gauge!("mayday_playbook_runs_open").set(runs.len() as f64);
        drop(runs);
        Engine::wake_parents(&self.shared);
        self.shared.ended.notify_waiters();
        self.shared.ended.notify_one();
    }
}

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    /// What every commit and effect of this task is fenced with.
    lease: Lease,
    /// When to let go.
    ends: Ends,
    pub(super) status: Status,
    pub(super) book: Arc<Book>,
    limits: Limits,
    pub(super) busy: HashSet<usize>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    pub(super) pending: Pending,
    /// Tasks whose intent is among what is pending: performed once that is durable.
    pub(super) starting: Vec<usize>,
    replies: Vec<(oneshot::Sender<Decided>, Decided)>,
    wake: Option<Timestamp>,
    /// What measures the changes that start next, as it is right before them.
    pub(super) before: HashMap<usize, Value>,
    /// Looked at by changes that had to wait for a slot.
    halt: Arc<Halt>,
    /// Told to those who wait for children.
    pub(super) stopping: Arc<Stopping>,
}

impl Driver {
    fn new(shared: Arc<Shared>, lease: Lease, status: Status, book: Arc<Book>) -> Self {
        let options = &shared.parts.options;
        let limits = Limits {
            approvals: options.approvals,
            approval_expires: options.approval_expires,
            allow_self: options.allow_self,
            parallel_tasks: options.parallel_tasks,
            missing: safely(|| shared.tools.registry.missing(&status.head.actions), Vec::new),
            output_bytes: options.output_bytes,
        };
        Self {
            ends: Ends { engine: shared.stop.clone(), lease: lease.leaving.clone() },
            lease,
            shared,
            status,
            book,
            limits,
            busy: HashSet::new(),
            flights: FuturesUnordered::new(),
            pending: Pending::default(),
            starting: Vec::new(),
            replies: Vec::new(),
            wake: None,
            before: HashMap::new(),
            halt: Arc::default(),
            stopping: Arc::default(),
        }
    }

    /// A driver on the journal as it is in the store, once the store gives it.
    async fn again(&mut self, pause: &mut Duration) -> Option<Self> {
        loop {
            tokio::select! {
                () = self.ends.wait() => return None,
                () = self.shared.parts.clock.sleep(*pause) => {}
            }
            *pause = (*pause * 2).min(Duration::from_secs(5));
            match journal::load(&self.shared.parts.store, self.status.head.run).await {
                Ok(Some(status)) => {
                    return Some(Self::new(self.shared.clone(), self.lease.clone(), status, self.book.clone()));
                }
                Ok(None) => return None,
                Err(error @ (store::Error::Corrupt { .. } | store::Error::TooNew { .. })) => {
                    let run = self.status.head.run;
                    tracing::error!(%run, %error, "a run can't be read");
                    match stuck::end(&self.shared, run, &say::end_unreadable(&capped(&error.to_string(), 500))).await {
                        Ok(()) => return None,
                        Err(error) => tracing::warn!(%run, %error, "a stuck run can't be ended yet"),
                    }
                }
                Err(error) => tracing::warn!(run = %self.status.head.run, %error, "a run can't be read"),
            }
        }
    }

    async fn go(&mut self, mailbox: &mut mpsc::Receiver<Letter>) -> Result<(), Lost> {
        loop {
            self.settle_down()?;
            self.save().await?;
            if self.status.ended.is_some() {
                // Letters that arrived meanwhile get their answer from the ended status.
                mailbox.close();
                while let Some(letter) = mailbox.recv().await {
                    let now = self.shared.parts.clock.now();
                    let answer = self.answer(&letter.said, now);
                    // What would open the run again is not for this task of it: who asked asks the journal then.
                    if answer.events.is_empty() {
                        let _ = letter.reply.send(answer.says);
                    }
                }
                return Ok(());
            }
            if self.ends.is_set() {
                return self.finish().await;
            }
            if !self.starting_or_landed()? {
                self.wait(mailbox).await?;
            }
        }
    }

    /// Decides until nothing more follows without waiting. What is ready at once goes into the same commit.
    fn settle_down(&mut self) -> Result<(), Lost> {
        // Each round folds at least one event or lands one flight, and a run has few of both.
        for _ in 0..10_000 {
            let now = self.shared.parts.clock.now();
            self.wake = None;
            // A step may also fail before it is worked on at all: whatever was written down, it is decided again.
            let before = self.status.seq;
            let stopping = stops(&self.book, &self.status, now);
            if stopping {
                self.stopping.set();
            }
            // Before it is durable and told: from then on nothing starts that only waits for a slot.
            self.halt.tell(stopping, self.status.paused.is_some());
            if !self.ends.is_set() {
                for next in decide(&self.book, &self.status, &self.busy, now, &self.limits) {
                    match next {
                        Next::Record(event) => {
                            self.record(event, now)?;
                            break;
                        }
                        Next::Wake(at) => self.wake_at(at),
                        Next::Prepare(task) => self.plan(task, now, Landed::Planned)?,
                        Next::Begin(task) => self.plan(task, now, Landed::Checked)?,
                        Next::Look(task) => self.perform(task),
                        Next::Settle(task) => self.settle(task, now),
                        Next::Verify(task) => self.verify(task),
                    }
                }
            }
            if self.status.seq != before || self.status.ended.is_some() {
                if self.status.ended.is_some() {
                    return Ok(());
                }
                continue;
            }
            match self.flights.next().now_or_never() {
                Some(Some(landed)) => self.land(landed)?,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Commits what is pending, then shows it, answers, and starts what was announced.
    async fn save(&mut self) -> Result<(), Lost> {
        if !self.pending.is_empty() {
            commit(&self.shared, &self.lease, &self.status, &self.pending).await?;
            self.pending = Pending::default();
        }
        for (reply, says) in self.replies.drain(..) {
            let _ = reply.send(says);
        }
        for task in std::mem::take(&mut self.starting) {
            self.perform(task);
        }
        Ok(())
    }

    /// Whether something landed at once, so that there is no need to wait.
    fn starting_or_landed(&mut self) -> Result<bool, Lost> {
        match self.flights.next().now_or_never() {
            Some(Some(landed)) => self.land(landed).map(|()| true),
            _ => Ok(false),
        }
    }

    async fn wait(&mut self, mailbox: &mut mpsc::Receiver<Letter>) -> Result<(), Lost> {
        let now = self.shared.parts.clock.now();
        let wake = match self.wake {
            Some(at) => {
                let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                self.shared.parts.clock.sleep(left.max(Duration::from_millis(1)))
            }
            None => Box::pin(std::future::pending()),
        };
        let stop = self.ends.clone();
        tokio::select! {
            biased;
            () = stop.wait() => Ok(()),
            Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.land(landed),
            letter = mailbox.recv() => match letter {
                Some(letter) => self.obey(letter),
                None => Ok(()),
            },
            () = wake => Ok(()),
        }
    }

    /// Mayday stops: what runs may finish for a while, nothing else starts.
    async fn finish(&mut self) -> Result<(), Lost> {
        let grace = tokio::time::sleep(self.shared.parts.options.grace.0);
        tokio::pin!(grace);
        while !self.flights.is_empty() && !self.shared.crashed.load(std::sync::atomic::Ordering::SeqCst) {
            tokio::select! {
                () = &mut grace => break,
                landed = self.flights.next() => {
                    if let Some(landed @ (Landed::Came(..) | Landed::Measured(..) | Landed::Verified(..) | Landed::Child(..))) = landed {
                        self.land(landed)?;
                        self.save().await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn obey(&mut self, letter: Letter) -> Result<(), Lost> {
        let now = self.shared.parts.clock.now();
        let answer = self.answer(&letter.said, now);
        if !answer.events.is_empty() {
            self.pending.taken.extend(letter.taken.map(|taken| (taken, answer.says.clone())));
        }
        for event in answer.events {
            let event = self.filled_in(event, now);
            self.record(event, now)?;
        }
        self.pending.audit.extend(answer.audit);
        self.replies.push((letter.reply, answer.says));
        Ok(())
    }

    fn answer(&self, said: &Said, now: Timestamp) -> order::Answer {
        match said {
            Said::Order { order, person } => order::answer(&self.status, order, person, now),
            Said::Withdraw { why } => order::withdraw(&self.status, why),
            Said::ParentEnds { parent } => order::parent_ends(&self.status, *parent),
        }
    }

    /// What only the playbook knows about what a person said: their "it happened" is followed by the task's verification like
    /// the action's own word, and what they start again is measured again.
    fn filled_in(&self, event: Event, now: Timestamp) -> Event {
        match event {
            Event::Succeeded { task, output, note, .. } => {
                let verify_until = self.status.index(&task).and_then(|index| self.verify_until(index, now));
                Event::Succeeded { task, output, note, verify_until }
            }
            Event::Retried { by, .. } => Event::Retried { by, measure: stale(&self.book, &self.status) },
            other => other,
        }
    }

    /// Folds an event and keeps it for the next commit, with what must be told because of it.
    pub(super) fn record(&mut self, event: Event, now: Timestamp) -> Result<(), Lost> {
        self.status.step(&event, now).map_err(|illegal| {
            tracing::error!(%illegal, "an event does not fit the run");
            Lost::Illegal(illegal.to_string())
        })?;
        self.pending.notices.extend(notices::after(&self.book, &self.status, &event));
        self.pending.events.push(journal::Journaled { at: now, event });
        Ok(())
    }

    pub(super) fn id(&self, index: usize) -> String {
        self.status.head.tasks[index].id.clone()
    }

    fn context(&self, index: usize, now: Timestamp) -> Context {
        let head = &self.status.head;
        Context {
            run: head.run,
            task: head.tasks[index].id.clone(),
            task_name: head.tasks[index].name.clone(),
            incident: head.incident,
            by: head.by.clone(),
            now,
        }
    }

    /// The task of the playbook that a step carries out.
    pub(super) fn declared(&self, index: usize) -> &Task {
        &self.book.playbook.tasks[self.status.declared(index)]
    }

    /// What effects of this run need: it waits for a slot by its playbook's priority.
    fn tools(&self) -> Tools {
        Tools { priority: self.book.playbook.priority, ..self.shared.tools.clone() }
    }

    /// Whether the engine itself carries the task out, by reading until a condition holds.
    fn measures(&self, index: usize) -> bool {
        let declared = self.status.declared(index);
        let kind = self.book.playbook.tasks[declared].kind.as_str();
        matches!(kind, "Verify" | "Wait") && self.book.verify[declared].is_some()
    }

    /// Whether the engine itself carries the step out.
    pub(super) fn is_own(&self, index: usize) -> bool {
        self.measures(index) || self.is_child(index)
    }

    /// Whether this process is to let go of the run.
    pub(super) fn leaves(&self) -> bool {
        self.ends.is_set()
    }

    /// Whether a change that was interrupted would be made again.
    fn would_repeat(&self, index: usize, intent: &Intent) -> bool {
        let head = &self.status.head.tasks[index];
        let action = self.shared.tools.registry.get(&head.kind);
        head.changes && action.is_some_and(|action| settles(&**action, &intent.target) == Settle::Repeat)
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The parameters of a step, filled in: its task's, or what its action says undoes what was done.
    fn parameters(&self, index: usize) -> Result<Value, String> {
        let undoes = matches!(self.status.part(index), Part::Undo { inverse: true, .. });
        let Some((of, task)) = self.status.undoes(index).filter(|_| undoes) else {
            return render::parameters(&self.book, &self.status, index);
        };
        let kind = &self.status.head.tasks[of].kind;
        let action = self.shared.tools.registry.get(kind).ok_or_else(|| say::no_executor(kind))?;
        if !action.knows(task.version) {
            return Err(say::other_version(kind, task.version, action.version()));
        }
        let target = task.intent.as_ref().map_or(&Value::Null, |intent| &intent.target);
        let output = task.output.as_ref().unwrap_or(&Value::Null);
        safely(|| action.inverse(target, output), || None).ok_or_else(|| say::no_inverse(kind))
    }

    fn plan(
        &mut self,
        index: usize,
        now: Timestamp,
        land: fn(usize, Result<(Value, Planned), Unplanned>) -> Landed,
    ) -> Result<(), Lost> {
        let parameters = match self.parameters(index) {
            Ok(parameters) => parameters,
            Err(why) => {
                let failed = Event::Failed {
                    task: self.id(index),
                    kind: FailureKind::Broken,
                    why,
                    retry_at: None,
                    output: None,
                };
                return self.record(failed, now);
            }
        };
        self.busy.insert(index);
        if self.is_own(index) {
            let planned = Planned {
                object: String::new(),
                changes: Vec::new(),
                target: parameters.clone(),
                radius: String::new(),
                undo: None,
                details: Vec::new(),
            };
            self.flights.push(Box::pin(std::future::ready(land(index, Ok((parameters, planned))))));
            return Ok(());
        }
        let kind = self.status.head.tasks[index].kind.clone();
        let action = self.shared.tools.registry.get(&kind).cloned();
        let (tools, context) = (self.tools(), self.context(index, now));
        let fresh = self.status.tasks[index].stage == Stage::Pending || self.status.part(index).is_undo();
        let stale = if fresh { Vec::new() } else { self.stale(index, now) };
        let measured = if fresh { Vec::new() } else { self.measured_by(index, now) };
        let reads = !stale.is_empty() || !measured.is_empty();
        let (book, status) = (self.book.clone(), reads.then(|| self.status.clone()));
        self.flights.push(Box::pin(async move {
            let mut before = None;
            if let Some(status) = &status {
                before = tools.before(&book, status, &measured, &context).await;
            }
            if let Some(status) = status.filter(|_| !stale.is_empty()) {
                match tools.no_longer(&book, &status, index, &stale, &context).await {
                    Ok(None) => {}
                    Ok(Some(condition)) => return Landed::Unneeded(index, condition),
                    Err(why) => return land(index, Err((FailureKind::Broken, why))),
                }
            }
            let planned = tools.plan(action, context, &kind, parameters.clone()).await;
            let landed = land(index, planned.map(|planned| (parameters, planned)));
            match before {
                Some(before) => Landed::Before(index, before, Box::new(landed)),
                None => landed,
            }
        }));
        Ok(())
    }

    /// What measures a change, by name, with the tasks that read it: what must hold after it, and the verifications that come
    /// after it. Only where the reading that the run has is too old to say how it was right before.
    fn measured_by(&self, index: usize, now: Timestamp) -> Vec<(String, usize)> {
        let (change, mut found) = (self.status.declared(index), Vec::new());
        for (declared, condition) in self.book.verify.iter().enumerate() {
            let Some(condition) = condition else { continue };
            if declared != change && !self.book.graph.ancestors[declared][change] {
                continue;
            }
            for root in condition.roots() {
                let Some(reader) = self.book.reader(root) else { continue };
                let task = &self.status.tasks[reader];
                let old = task.came_at.is_some_and(|came| {
                    Duration::try_from(now.duration_since(came)).is_ok_and(|age| age > READINGS_HOLD)
                });
                if old && task.output.is_some() && !found.iter().any(|(name, _)| name == root) {
                    found.push((root.to_owned(), reader));
                }
            }
        }
        found
    }

    /// The read tasks that the conditions of an approved task name and whose outcome is too old to judge by.
    fn stale(&self, index: usize, now: Timestamp) -> Vec<usize> {
        let mut found = Vec::new();
        let always = tasks::risk(self.declared(index)) >= Risk::Disruptive;
        for reference in
            self.book.conditions[self.status.declared(index)].iter().flat_map(|condition| condition.references())
        {
            let reader = match (reference.root.as_str(), reference.fields.first()) {
                ("tasks", Some(task)) => self.status.index(task),
                (variable, _) => {
                    self.book.playbook.tasks.iter().position(|task| task.output_variable.as_deref() == Some(variable))
                }
            };
            // What was skipped, or never carried out, is not carried out now. A message is not sent twice, and no
            // person is asked twice.
            let Some(reader) = reader.filter(|reader| self.book.reads(*reader)) else { continue };
            let old = self.status.tasks[reader].came_at.is_some_and(|came| {
                always || Duration::try_from(now.duration_since(came)).is_ok_and(|age| age > READINGS_HOLD)
            });
            if old && !found.contains(&reader) {
                found.push(reader);
            }
        }
        found
    }

    /// Works on something beside everything else.
    pub(super) fn fly(&mut self, work: impl Future<Output = Landed> + Send + 'static) {
        self.flights.push(Box::pin(work));
    }

    /// Performs the task's durable intent.
    fn perform(&mut self, index: usize) {
        let Some(intent) = self.status.tasks[index].intent.clone() else { return };
        let own = self.is_own(index);
        if own && self.shared.tools.faults.fail.contains(&self.status.head.tasks[index].id) {
            self.busy.insert(index);
            let came = Came::Failed(FailureKind::Permanent, say::made_to_fail());
            return self.fly(std::future::ready(Landed::Came(index, came)));
        }
        if self.is_child(index) {
            if matches!(self.status.tasks[index].stage, Stage::Waits { .. }) {
                self.await_child(index);
            } else {
                self.call(index);
            }
            return;
        }
        self.busy.insert(index);
        let now = self.shared.parts.clock.now();
        let context = self.context(index, now);
        if self.measures(index) {
            let (until, every) = (intent.deadline, self.span(index, "every", VERIFY_EVERY));
            return self.measure(index, until, every.0, Landed::Measured);
        }
        let Some(action) = self.shared.tools.registry.get(&self.status.head.tasks[index].kind).cloned() else {
            let why = say::no_executor(&self.status.head.tasks[index].kind);
            let came = Landed::Came(index, Came::Failed(FailureKind::NotAvailable, why));
            self.flights.push(Box::pin(std::future::ready(came)));
            return;
        };
        let mut intent = intent;
        let looks = matches!(self.status.tasks[index].stage, Stage::Waits { .. });
        if looks {
            // A look at something that waits is bounded by a time-out of its own; the intent stays the same.
            intent.deadline = now.checked_add(self.timeout(index)).unwrap_or(now);
        }
        let tools = self.tools();
        let held = self.status.head.tasks[index].changes.then(|| Held {
            store: self.shared.parts.store.clone(),
            lease: self.lease.clone(),
            // What has begun is seen through.
            halt: (!looks).then(|| self.halt.clone()),
            undoes: self.status.part(index).is_undo(),
        });
        let performed = async move { Landed::Came(index, tools.perform(action, context, intent, held).await) };
        self.flights.push(Box::pin(performed));
    }

    fn settle(&mut self, index: usize, now: Timestamp) {
        let Some(intent) = self.status.tasks[index].intent.clone() else { return };
        let deadline = self.status.head.deadline;
        if self.status.paused.is_some() && now < deadline && self.would_repeat(index, &intent) {
            // It would start again, and nothing starts while the run is paused. A pause ends with the run's time.
            return self.wake_at(deadline);
        }
        self.busy.insert(index);
        if self.is_own(index) {
            self.flights.push(Box::pin(std::future::ready(Landed::Came(index, Came::Repeat))));
            return;
        }
        let head = &self.status.head.tasks[index];
        let action = self.shared.tools.registry.get(&head.kind).cloned();
        let (changes, version) = (head.changes, self.status.tasks[index].version);
        let context = self.context(index, self.shared.parts.clock.now());
        let tools = self.tools();
        self.flights.push(Box::pin(async move {
            Landed::Came(index, tools.settle(action, context, intent, version, changes).await)
        }));
    }

    fn verify(&mut self, index: usize) {
        let Stage::Verifying { until } = self.status.tasks[index].stage else { return };
        self.busy.insert(index);
        self.measure(index, until, VERIFY_EVERY.0, Landed::Verified);
    }

    fn measure(&mut self, index: usize, until: Timestamp, every: Duration, land: fn(usize, Verification) -> Landed) {
        let now = self.shared.parts.clock.now();
        let (tools, book, status) = (self.tools(), self.book.clone(), self.status.clone());
        let context = self.context(index, now);
        self.flights.push(Box::pin(async move {
            if tools.faults.repeat.as_ref() == Some(&context.task) {
                let _ = tools.verify(&book, &status, index, &context, until, every).await;
            }
            let verification = tools.verify(&book, &status, index, &context, until, every).await;
            land(index, verification)
        }));
    }

    fn span(&self, index: usize, name: &str, missing: Span) -> Span {
        let given = self.declared(index).parameters.get(name);
        given.and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(missing)
    }

    pub(super) fn timeout(&self, index: usize) -> Duration {
        if self.measures(index) {
            let missing = if self.declared(index).kind == "Wait" { WAIT_WITHIN } else { VERIFY_WITHIN };
            return self.span(index, "within", missing).0;
        }
        let declared = self.declared(index).timeout.map(|span| span.0);
        let action = self.shared.tools.registry.get(&self.status.head.tasks[index].kind);
        declared.unwrap_or_else(|| action.map_or(TIMEOUT, |action| timeout_of(&**action)))
    }

    pub(super) fn verify_until(&self, index: usize, now: Timestamp) -> Option<Timestamp> {
        // Whether it helped was asked of what is undone; of the undoing it is not.
        let verify = self.declared(index).verify.as_ref().filter(|_| !self.status.part(index).is_undo())?;
        now.checked_add(verify.within.unwrap_or(VERIFY_WITHIN).0).ok()
    }
}

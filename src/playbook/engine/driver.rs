//! One open run: decide, commit, perform, wait; until it has ended.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::child::{ChildEnd, Stopping};
use super::commit::{Lost, Pending, commit};
use super::effects::{Before, Came, Halt, Tools, Unplanned, Verification, safely};
use super::flights::Flights;
use super::share::Ends;
use super::standing::{self, Consulted, Cover};
use super::{Engine, Letter, Shared, journal, locked, stuck};
use crate::core::message::playbook as say;
use crate::core::text::capped;
use crate::core::{RunId, Timestamp};
use crate::playbook::action::Context;
use crate::playbook::book::Book;
use crate::playbook::model::Task;
use crate::playbook::notices;
use crate::playbook::run::{Event, Limits, Next, Status, TaskPlan, decide, stale, stops};
use crate::playbook::view::Decided;
use crate::store;
use crate::work::Lease;

/// A run of which so many steps could not be written down, for a reason that stays, ends as stuck.
const HOPELESS: u32 = 3;

/// Something this process was working on has come to an end.
pub(super) enum Landed {
    /// A task's plan.
    Planned(usize, Result<TaskPlan, Unplanned>),
    /// The guards of an approved change, looked at again.
    Checked(usize, Result<TaskPlan, Unplanned>),
    /// How it was right before a change, and what came of the change's guards.
    Before(usize, Before, Box<Self>),
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
    /// A standing policy that covers the plan with this hash, if one does.
    Consulted(String, Option<Box<Cover>>),
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
        // What is under way as well: an outcome that lands nowhere is found out about like any other.
        driver.flights.end().await;
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
    // Before its place is given up: another task of this run finds nothing going on any more.
    driver.flights.end().await;
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
    pub(super) lease: Lease,
    /// When to let go.
    ends: Ends,
    pub(super) status: Status,
    pub(super) book: Arc<Book>,
    limits: Limits,
    pub(super) busy: HashSet<usize>,
    pub(super) flights: Flights<Landed>,
    pub(super) pending: Pending,
    /// Tasks whose intent is among what is pending: performed once that is durable.
    pub(super) starting: Vec<usize>,
    replies: Vec<(oneshot::Sender<Decided>, Decided)>,
    wake: Option<Timestamp>,
    /// When this process took the run up: what was begun before, another one began.
    pub(super) taken_up: Timestamp,
    /// How it is right before the changes that start next.
    pub(super) before: HashMap<usize, Before>,
    /// Looked at by changes that had to wait for a slot.
    pub(super) halt: Arc<Halt>,
    /// Told to those who wait for children.
    pub(super) stopping: Arc<Stopping>,
    /// Whether standing policies cover what people would be asked.
    pub(super) consulted: Consulted,
    /// The run before a policy allowed something, as long as that is not durable.
    pub(super) before_allowed: Option<Box<Status>>,
}

impl Driver {
    fn new(shared: Arc<Shared>, lease: Lease, status: Status, book: Arc<Book>) -> Self {
        let options = &shared.parts.options;
        let taken_up = shared.parts.clock.now();
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
            flights: Flights::new(),
            pending: Pending::default(),
            starting: Vec::new(),
            replies: Vec::new(),
            wake: None,
            taken_up,
            before: HashMap::new(),
            halt: Arc::default(),
            stopping: Arc::default(),
            consulted: Consulted::default(),
            before_allowed: None,
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
                    let answer = letter.said.decide(&self.status, now);
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
            // What a policy allowed is durable before anything follows from it.
            if self.before_allowed.is_some() {
                return Ok(());
            }
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
                        Next::Record(Event::Asked { ask }) => {
                            if self.ask(ask, now)? {
                                break;
                            }
                        }
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
            match self.flights.try_next() {
                Some(landed) => self.land(landed)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Commits what is pending, then shows it, answers, and starts what was announced.
    async fn save(&mut self) -> Result<(), Lost> {
        if !self.pending.is_empty() {
            let before = self.before_allowed.take();
            match (commit(&self.shared, &self.lease, &self.status, &self.pending).await, before) {
                // Another run was allowed something by the same policy at the same moment: what is left is read again.
                // Nothing else was in this commit, and what is under way goes on.
                (Err(Lost::Store(store::Error::Conflict(key))), Some(before)) if standing::is_count(&key) => {
                    self.status = *before;
                    self.pending = Pending::default();
                    self.wake_at(self.shared.parts.clock.now());
                    return Ok(());
                }
                (committed, before) => {
                    committed?;
                    if before.is_some() {
                        // What follows from it is decided now.
                        self.wake_at(self.shared.parts.clock.now());
                    }
                }
            }
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
        match self.flights.try_next() {
            Some(landed) => self.land(landed).map(|()| true),
            None => Ok(false),
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
        let answer = letter.said.decide(&self.status, now);
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

    pub(super) fn context(&self, index: usize, now: Timestamp) -> Context {
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
    pub(super) fn tools(&self) -> Tools {
        Tools { priority: self.book.playbook.priority, ..self.shared.tools.clone() }
    }

    /// Whether the engine itself carries the task out, by reading until a condition holds.
    pub(super) fn measures(&self, index: usize) -> bool {
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

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

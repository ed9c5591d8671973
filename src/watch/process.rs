//! Programs that Mayday starts, watches, restarts by order, and ends with itself.
//!
//! A process that ends by itself stays ended (unless configured otherwise): a crash is to be seen, counted and decided
//! about. Restart orders carry a key; the same key restarts once, however often it comes.
//!
//! Architecture Invariant: one task per process owns its child; everyone else sends orders and reads the status.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};

use super::logs::{Lines, Tails};
use super::options::ProcessOptions;
use super::spawn::{Starter, group_lives};
use super::unheard::Unheard;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};

/// Restart keys remembered per process.
const KEYS: usize = 256;
/// Orders that may wait per process; a further one is refused.
const ORDERS: usize = 16;

/// How a process stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Running, ended, not started.
    pub state: State,
    /// Counts starts, from 1: tells one life of the process from the next, even if a pid comes again. 0 before the first.
    pub start: u64,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
    /// How often it was restarted, by order or by itself.
    pub restarts: u64,
    /// How often it ended by itself.
    pub exits: u64,
    /// How it ended last, by itself or by order, and when.
    pub last_exit: Option<Exit>,
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum State {
    /// Not started yet.
    New,
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// It can't be started.
    Failed {
        /// Why.
        why: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, if it ended itself.
    pub code: Option<i32>,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// Whether Mayday ordered it.
    pub ordered: bool,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Display for Exit {
    /// `exit code 3`, `exit code 134 (SIGABRT)`, `signal 9 (SIGKILL)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            // A shell or a supervisor in between reports a signal as 128 and its number.
            (Some(code), _) => match signal_name(code - 128).filter(|_| code > 128) {
                Some(name) => write!(f, "exit code {code} ({name})"),
                None => write!(f, "exit code {code}"),
            },
            (None, Some(signal)) => match signal_name(signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            (None, None) => f.write_str("an unknown status"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

impl Status {
    /// The process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.state {
            State::Running { pid } => Some(pid),
            _ => None,
        }
    }
}

/// What a restart came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// Process id before, if it ran.
    pub before: Option<u32>,
    /// Process id now.
    pub pid: u32,
    /// The start counter now.
    pub start: u64,
    /// Whether this key had been carried out before: then nothing was done now, and this is what was done then.
    pub repeated: bool,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Mayday did not start such a process.
    #[error("there is no process `{0}` that Mayday started; it would stand under watch.processes")]
    Unknown(String),
    /// The program could not be started (again).
    #[error("{name} can't be started: {why}")]
    CantStart {
        /// Which.
        name: String,
        /// What the system said.
        why: String,
        /// Whether one ran, and was ended for it.
        ended: bool,
    },
    /// Another process runs than the one that was to be replaced.
    #[error("{0} is another process by now, something else restarted it; nothing was done")]
    Moved(String),
    /// Too many orders wait already.
    #[error("{0} has too many orders waiting; try again in a few seconds")]
    Busy(String),
    /// It came to its turn too late.
    #[error("{0} was not restarted: the time for it was over before its turn came; nothing was done")]
    TooLate(String),
    /// Mayday is ending.
    #[error("Mayday is stopping, {0} is not restarted")]
    Stopping(String),
}

/// Which process an order is about. Pid and start together are its identity: pids come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its pid; none while it did not run.
    pub pid: Option<u32>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
}

struct Order {
    key: String,
    /// The process to replace, where it may be no other; one that is gone by then is started all the same.
    only: Option<Identity>,
    /// Nothing is done after this moment; none: as long as somebody waits.
    until: Option<Instant>,
    reply: oneshot::Sender<Result<Restarted, Error>>,
}

/// The processes' status and the way to order restarts. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    /// A plain lock, held for a copy.
    status: Mutex<BTreeMap<String, Status>>,
    orders: BTreeMap<String, mpsc::Sender<Order>>,
    unheard: Unheard,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("processes", &self.list()).finish()
    }
}

/// Owns the children until asked to stop.
pub struct Service {
    keepers: Vec<Keeper>,
}

impl Supervisor {
    /// The service that keeps these processes, and the handle to them. Nothing is started before [`Service::run`].
    #[must_use]
    pub fn new(options: Vec<ProcessOptions>, tails: &Tails, clock: SharedClock) -> (Service, Self) {
        let mut status = BTreeMap::new();
        let mut orders = BTreeMap::new();
        let mut inboxes = Vec::new();
        for process in options {
            let (sender, inbox) = mpsc::channel(ORDERS);
            status.insert(
                process.name.clone(),
                Status {
                    name: process.name.clone(),
                    service: process.service().to_owned(),
                    state: State::New,
                    start: 0,
                    started_at: None,
                    restarts: 0,
                    exits: 0,
                    last_exit: None,
                },
            );
            orders.insert(process.name.clone(), sender);
            inboxes.push((process, inbox));
        }
        let shared = Arc::new(Shared { status: Mutex::new(status), orders, unheard: Unheard::default() });
        let keeper = |(options, inbox)| Keeper {
            options,
            inbox,
            shared: shared.clone(),
            tails: tails.clone(),
            clock: clock.clone(),
            keys: VecDeque::new(),
        };
        let keepers = inboxes.into_iter().map(keeper).collect();
        (Service { keepers }, Self { shared })
    }

    /// How one process stands.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        self.shared.status().get(name).cloned()
    }

    /// How all stand, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        self.shared.status().values().cloned().collect()
    }

    /// The processes of a service.
    #[must_use]
    pub fn of(&self, service: &str) -> Vec<Status> {
        self.list().into_iter().filter(|status| status.service == service).collect()
    }

    /// Ends the process (SIGTERM, after its grace time SIGKILL) if it runs, and starts it; returns when it was started.
    /// The same `key` does it once; keys are remembered until Mayday ends, the last 256 per process.
    ///
    /// # Errors
    /// [`Error`], each with what to do.
    pub async fn restart(&self, name: &str, key: &str) -> Result<Restarted, Error> {
        self.order(name, key, None, None).await
    }

    /// The same, but only while no other process than this one runs, and only before `until`: both are looked at right before
    /// it is ended.
    ///
    /// # Errors
    /// [`Error`], each with what to do.
    pub async fn restart_only(
        &self,
        name: &str,
        key: &str,
        only: Identity,
        until: Instant,
    ) -> Result<Restarted, Error> {
        self.order(name, key, Some(only), Some(until)).await
    }

    async fn order(
        &self,
        name: &str,
        key: &str,
        only: Option<Identity>,
        until: Option<Instant>,
    ) -> Result<Restarted, Error> {
        let sender = self.shared.orders.get(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let (reply, done) = oneshot::channel();
        self.shared.unheard.open(name, key);
        if let Err(error) = sender.try_send(Order { key: key.to_owned(), only, until, reply }) {
            self.shared.unheard.close(name, key);
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => Error::Busy(name.to_owned()),
                mpsc::error::TrySendError::Closed(_) => Error::Stopping(name.to_owned()),
            });
        }
        done.await.unwrap_or_else(|_| Err(Error::Stopping(name.to_owned())))
    }

    /// Why it can't be told yet whether an order was carried out: it waits, it runs, or it only did its first half.
    #[must_use]
    pub fn unsettled(&self, name: &str, key: &str) -> Option<String> {
        self.shared.unheard.why(name, key)
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, BTreeMap<String, Status>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Status)) {
        if let Some(status) = self.status().get_mut(name) {
            change(status);
        }
    }
}

impl Service {
    /// Starts the processes, keeps them, and ends them when asked to stop; returns when all have ended.
    pub async fn run(self, stop: Stop) {
        if self.keepers.is_empty() {
            return stop.wait().await;
        }
        let starter = match Starter::new() {
            Ok(starter) => Arc::new(starter),
            Err(error) => {
                tracing::error!(%error, "no process can be started");
                return stop.wait().await;
            }
        };
        let kept = self.keepers.into_iter().map(|keeper| keeper.run(starter.clone(), stop.clone()));
        futures_util::future::join_all(kept).await;
    }
}

/// Owns one process.
struct Keeper {
    options: ProcessOptions,
    inbox: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    tails: Tails,
    clock: SharedClock,
    /// Keys carried out, oldest first.
    keys: VecDeque<(String, Restarted)>,
}

impl Keeper {
    async fn run(mut self, starter: Arc<Starter>, stop: Stop) {
        let mut child = self.start(&starter).await.ok();
        let mut backoff = self.options.backoff.0;
        // When to start it again by itself.
        let mut again: Option<Timestamp> = None;
        loop {
            let clock = self.clock.clone();
            let pause = again.map(|at| Duration::try_from(at.duration_since(clock.now())).unwrap_or(Duration::ZERO));
            tokio::select! {
                () = stop.wait() => {
                    if let Some(child) = child {
                        self.end(child).await;
                    }
                    return;
                }
                // A future of a missing child is made but never polled: the condition stands first.
                exit = wait(&mut child), if child.is_some() => {
                    let group = child.take().and_then(|life| life.group);
                    let ran = self.ended(exit, false);
                    self.sweep(group).await;
                    if self.options.restart_on_exit {
                        backoff = if ran > self.options.backoff_limit.0 { self.options.backoff.0 } else { backoff };
                        again = Some(self.clock.now() + backoff);
                        backoff = (backoff * 2).min(self.options.backoff_limit.0);
                    }
                }
                () = clock.sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    again = None;
                    child = self.start(&starter).await.ok();
                    if child.is_some() {
                        self.shared.change(&self.options.name, |status| status.restarts += 1);
                    } else {
                        again = Some(self.clock.now() + backoff);
                        backoff = (backoff * 2).min(self.options.backoff_limit.0);
                    }
                }
                order = self.inbox.recv() => {
                    let Some(order) = order else { continue };
                    again = None;
                    child = self.obey(order, child, &starter).await;
                }
            }
        }
    }

    async fn obey(&mut self, order: Order, child: Option<Life>, starter: &Starter) -> Option<Life> {
        let key = order.key.clone();
        let child = self.carry_out(order, child, starter).await;
        self.shared.unheard.close(&self.options.name, &key);
        child
    }

    async fn carry_out(&mut self, order: Order, child: Option<Life>, starter: &Starter) -> Option<Life> {
        if let Some((_, done)) = self.keys.iter().find(|(key, _)| *key == order.key) {
            let _ = order.reply.send(Ok(Restarted { repeated: true, ..done.clone() }));
            return child;
        }
        let name = &self.options.name;
        // Whoever ordered it has gone, and has said that nothing is known of it: nothing happens after that word.
        if order.reply.is_closed() {
            tracing::info!(process = name, key = order.key, "a restart that nobody waits for any more is left out");
            return child;
        }
        // After the process stood still the order may be seen before who gave it sees that the time is over.
        if order.until.is_some_and(|until| Instant::now() >= until) {
            let _ = order.reply.send(Err(Error::TooLate(name.clone())));
            return child;
        }
        let before = child.as_ref().and_then(|life| life.child.id());
        if let Some(only) = order.only
            && before.is_some()
        {
            let started_at = self.shared.status().get(name).and_then(|status| status.started_at);
            if (Identity { pid: before, started_at }) != only {
                let _ = order.reply.send(Err(Error::Moved(name.clone())));
                return child;
            }
        }
        tracing::info!(process = name, key = order.key, pid = before, "restart ordered");
        if let Some(child) = child {
            self.end(child).await;
        }
        match self.start(starter).await {
            Ok(child) => {
                let mut start = 0;
                self.shared.change(&self.options.name, |status| {
                    status.restarts += 1;
                    start = status.start;
                });
                let done = Restarted { before, pid: child.child.id().unwrap_or(0), start, repeated: false };
                if self.keys.len() == KEYS {
                    self.keys.pop_front();
                }
                self.shared.unheard.halved(&self.options.name, &order.key, None);
                self.keys.push_back((order.key, done.clone()));
                let _ = order.reply.send(Ok(done));
                Some(child)
            }
            Err(why) => {
                let (name, ended) = (self.options.name.clone(), before.is_some());
                if ended {
                    let why = format!("the process of {name} was ended, and it can't be started again: {why}");
                    self.shared.unheard.halved(&name, &order.key, Some(why));
                }
                let _ = order.reply.send(Err(Error::CantStart { name, why, ended }));
                None
            }
        }
    }

    async fn start(&mut self, starter: &Starter) -> Result<Life, String> {
        let name = &self.options.name;
        let started = starter.start(&self.options).await;
        let at = self.clock.now();
        match started {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                tracing::info!(process = name, pid, "process started");
                for stream in
                    [child.stdout.take().map(Stream::Out), child.stderr.take().map(Stream::Err)].into_iter().flatten()
                {
                    let (tails, service) = (self.tails.clone(), self.options.service().to_owned());
                    tokio::spawn(async move {
                        match stream {
                            Stream::Out(pipe) => read_lines(pipe, &tails, &service).await,
                            Stream::Err(pipe) => read_lines(pipe, &tails, &service).await,
                        }
                    });
                }
                self.shared.change(name, |status| {
                    status.state = State::Running { pid };
                    status.start += 1;
                    status.started_at = Some(at);
                });
                let stdin = child.stdin.take();
                Ok(Life { child, stdin, group: (pid != 0).then_some(pid) })
            }
            Err(error) => {
                let why = error.to_string();
                tracing::error!(process = name, why, "process can't be started");
                self.shared.change(name, |status| status.state = State::Failed { why: why.clone() });
                Err(why)
            }
        }
    }

    /// SIGTERM, and after the grace time SIGKILL, which a stopped (SIGSTOP) process heeds as well.
    async fn end(&mut self, life: Life) {
        let Life { mut child, stdin, group } = life;
        // Programs that watch their stdin end by that alone.
        drop(stdin);
        signal_group(group, Signal::TERM);
        let exit = match tokio::time::timeout(self.options.grace.0, child.wait()).await {
            Ok(exit) => exit,
            Err(_) => {
                tracing::warn!(process = self.options.name, grace = %self.options.grace, "process did not end in time, it is killed");
                signal_group(group, Signal::KILL);
                let _ = child.start_kill();
                child.wait().await
            }
        };
        self.ended(exit, true);
        self.sweep(group).await;
    }

    /// Ends what an ended process has started and left behind: SIGTERM, and after the grace time SIGKILL. What has put
    /// itself into another group (daemons do) is not ours to end.
    async fn sweep(&self, group: Option<u32>) {
        let Some(group) = group.filter(|group| group_lives(*group)) else { return };
        tracing::info!(process = self.options.name, group, "the process left others behind, they are ended");
        signal_group(Some(group), Signal::TERM);
        let gone = async {
            while group_lives(group) {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        if tokio::time::timeout(self.options.grace.0, gone).await.is_err() {
            signal_group(Some(group), Signal::KILL);
        }
    }

    /// Notes an end; returns how long the process had run.
    fn ended(&self, exit: std::io::Result<std::process::ExitStatus>, ordered: bool) -> Duration {
        use std::os::unix::process::ExitStatusExt as _;
        let at = self.clock.now();
        let (code, signal) = exit.map_or((None, None), |status| (status.code(), status.signal()));
        let exit = Exit { code, signal, ordered, at };
        let mut ran = Duration::ZERO;
        self.shared.change(&self.options.name, |status| {
            ran = status
                .started_at
                .and_then(|started| Duration::try_from(at.duration_since(started)).ok())
                .unwrap_or_default();
            status.exits += u64::from(!ordered);
            status.state = State::Exited { exit: exit.clone() };
            status.last_exit = Some(exit.clone());
        });
        if !ordered {
            tracing::warn!(process = self.options.name, how = %exit, ran_seconds = ran.as_secs(), "process ended by itself");
            metrics::counter!("mayday_watch_process_exits_total", "process" => self.options.name.clone()).increment(1);
        }
        ran
    }
}

/// A running child. Its stdin stands beside it, since waiting for a child closes a stdin it still holds, and the open pipe
/// is what tells the child that Mayday lives.
struct Life {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its process group: the id it was started with, which the child itself no longer tells once it has ended.
    group: Option<u32>,
}

/// A group that is gone already needs no signal.
fn signal_group(group: Option<u32>, signal: Signal) {
    let group = group.and_then(|group| i32::try_from(group).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

enum Stream {
    Out(tokio::process::ChildStdout),
    Err(tokio::process::ChildStderr),
}

/// Waits for a child. Safe to cancel: the status is kept for the next call.
async fn wait(child: &mut Option<Life>) -> std::io::Result<std::process::ExitStatus> {
    match child {
        Some(life) => life.child.wait().await,
        None => std::future::pending().await,
    }
}

async fn read_lines(mut pipe: impl AsyncRead + Unpin, tails: &Tails, service: &str) {
    let mut lines = Lines::default();
    let mut buffer = vec![0u8; 4 * 1024];
    // An error of a pipe is its end.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        lines.feed(&buffer[..count], tails.line_bytes(), |line| tails.take(service, line, None));
    }
    if let Some(rest) = lines.rest() {
        tails.take(service, &rest, None);
    }
}

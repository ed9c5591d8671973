//! A world for engine tests: a store in memory, a clock that runs fast, and actions that count what they did to a target.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mayday::access::{Actor, Audit, Person, PersonId, Role, StandingPolicy};
use mayday::core::clock::ManualClock;
use mayday::core::{BoxFuture, Clock as _, RunId, SharedClock, Timestamp};
use mayday::playbook::action::{Action, Change, Context, Error, Intent, Perform, Planned, Probe, Settle};
use mayday::playbook::view::{Decided, Order};
use mayday::playbook::{
    Book, Engine, Faults, Library, Notice, Options, Parts, ProposeRequest, Proposed, QueuedNotices, Registry, RunState,
    RunView, Runs as _, TaskState,
};
use mayday::store::SharedStore;
use mayday::store::memory::Memory;
use mayday::work::{Leases, Queue, Shard};
use serde_json::{Value, json};

/// What performing a task comes to, try by try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It happens and says so.
    Do,
    /// It does not happen, and may the next time.
    Transient,
    /// It does not happen and never will.
    Permanent,
    /// It happens, but the answer is lost.
    DoUnsaid,
    /// It does not happen, and the answer is lost.
    Lost,
    /// It never answers; it has not happened.
    Hang,
    /// It has begun, and is done a minute later.
    Later,
    /// The action breaks off before it did anything.
    Panic,
}

/// How the task that undoes a change moves once the change has begun. Named is the change.
#[derive(Debug, Clone)]
pub enum Moving {
    /// It can't be worked out before.
    Late(String),
    /// It is about another object from then on.
    Object(String),
    /// It sets something else from then on.
    Value(String),
}

/// The system outside: what was done to it, and how it will behave.
#[derive(Debug, Default)]
pub struct Target {
    /// How often each effect happened, by idempotency key.
    pub happened: HashMap<String, u32>,
    /// The key of each task's effects.
    pub keys: HashMap<String, Vec<String>>,
    /// How often each task was performed, whatever came of it.
    pub calls: HashMap<String, u32>,
    /// What the next performances of a task come to; then `Do`.
    pub script: HashMap<String, VecDeque<Act>>,
    /// Outputs by task; a queue, the last one stays.
    pub outputs: HashMap<String, VecDeque<Value>>,
    /// What readings give as long as no change is made, and afterwards.
    pub helped: HashMap<String, (Value, Value)>,
    /// How often each task had an effect: where repeating is said to be safe, the same key a second time is none.
    pub effects: BTreeMap<String, u32>,
    /// The object each change sees, by task; part of its plan.
    pub objects: HashMap<String, String>,
    /// What moves with a change, by the id of the task that undoes it.
    pub moving: HashMap<String, Moving>,
    /// Whether an approved change can still be done as people saw it though its plan is another now.
    pub still_holds: bool,
    /// Questions at which the actions break off instead of answering, and how often.
    pub breaks: HashMap<&'static str, u32>,
    /// Messages that were sent.
    pub said: Vec<String>,
    /// Tasks in the order in which they were planned.
    pub planned: Vec<String>,
    /// Tasks in the order in which they happened.
    pub order: Vec<String>,
    /// Changes that are made and not undone: what an undo leaves must be empty.
    pub slate: BTreeSet<String>,
}

pub type SharedTarget = Arc<Mutex<Target>>;

/// One fake action.
struct Fake {
    kind: &'static str,
    settle: Settle,
    version: u32,
    target: SharedTarget,
}

fn lock(target: &SharedTarget) -> MutexGuard<'_, Target> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    fn asked(&self, what: &str) {
        let breaks = lock(&self.target).breaks.get_mut(what).is_some_and(|left| {
            let breaks = *left > 0;
            *left = left.saturating_sub(1);
            breaks
        });
        assert!(!breaks, "{what} breaks off (on purpose)");
    }

    fn output(target: &mut Target, task: &str) -> Value {
        if let Some((before, after)) = target.helped.get(task) {
            return if target.slate.is_empty() { before.clone() } else { after.clone() };
        }
        match target.outputs.get_mut(task) {
            Some(queue) if queue.len() > 1 => queue.pop_front().unwrap_or_default(),
            Some(queue) => queue.front().cloned().unwrap_or_default(),
            None => json!({"value": 1, "http_status": 200, "healthy": true, "token": "xoxb-1234567890-abcdefghij"}),
        }
    }

    fn happens(&self, target: &mut Target, context: &Context, intent: &Intent) {
        let times = target.happened.entry(intent.idempotency_key.clone()).or_default();
        *times += 1;
        if *times == 1 || self.settle == Settle::AskPerson {
            *target.effects.entry(context.task.clone()).or_default() += 1;
        }
        let keys = target.keys.entry(context.task.clone()).or_default();
        if !keys.contains(&intent.idempotency_key) {
            keys.push(intent.idempotency_key.clone());
        }
        target.order.push(context.task.clone());
        let undoes = intent.target["parameters"]["undoes"].as_str().or_else(|| context.task.strip_prefix("undo:"));
        match undoes {
            Some(of) => drop(target.slate.remove(of)),
            None if intent.target["undo_me"] == true => drop(target.slate.insert(context.task.clone())),
            None => {}
        }
        if let Some(message) = intent.target["message"].as_str() {
            target.said.push(message.to_owned());
        }
    }
}

impl Moving {
    /// By chance, or not at all.
    pub fn by(roll: u64, change: &str) -> Option<Self> {
        match roll {
            0 => Some(Self::Late(change.to_owned())),
            1 => Some(Self::Object(change.to_owned())),
            2 => Some(Self::Value(change.to_owned())),
            _ => None,
        }
    }
}

/// How a step that undoes something moves, and whether its change has begun.
fn moved(target: &Target, step: &str) -> Option<(Moving, bool)> {
    let step = step.split('#').next().unwrap_or_default();
    let (base, item) = step.find('[').map_or((step, ""), |at| step.split_at(at));
    let moving = target.moving.get(base)?.clone();
    let (Moving::Late(change) | Moving::Object(change) | Moving::Value(change)) = &moving;
    let begun = target.calls.contains_key(&format!("{change}{item}"));
    Some((moving, begun))
}

impl Action for Fake {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn version(&self) -> u32 {
        self.asked("version");
        self.version
    }
    fn settle(&self, _: &Value) -> Settle {
        self.asked("settle");
        self.settle
    }
    fn default_timeout(&self) -> Duration {
        self.asked("default_timeout");
        Duration::from_secs(10)
    }
    fn plan<'a>(&'a self, context: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        lock(&self.target).planned.push(context.task.clone());
        let mut other = lock(&self.target).objects.get(&context.task).cloned();
        let mut after = "new";
        match moved(&lock(&self.target), &context.task) {
            Some((Moving::Late(_), false)) => {
                return Box::pin(std::future::ready(Err(Error::Permanent("it is not there yet".to_owned()))));
            }
            Some((Moving::Object(_), true)) => other = Some("another object".to_owned()),
            Some((Moving::Value(_), true)) => after = "newer",
            _ => {}
        }
        let object = other.clone().unwrap_or_else(|| "the object".to_owned());
        let change = Change { field: "state".to_owned(), before: "old".to_owned(), after: after.to_owned() };
        let mut to = parameters.clone();
        let undoes = context.task.starts_with("undo:") || parameters["parameters"]["undoes"].is_string();
        if let Value::Object(map) = &mut to {
            let read = ["Metric_Query", "Log_Aggregation", "Notification", "Database_Check", "Dependency_Check"];
            let reads =
                read.contains(&self.kind) || parameters["action"].as_str().is_some_and(|line| line.starts_with("GET"));
            map.insert("undo_me".to_owned(), json!(!undoes && !reads));
            if let Some(other) = other {
                map.insert("object".to_owned(), json!(other));
            }
        }
        Box::pin(std::future::ready(Ok(Planned {
            object,
            changes: vec![change],
            target: to,
            radius: "one object".to_owned(),
            undo: None,
            details: Vec::new(),
        })))
    }
    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let act = {
                let mut target = lock(&self.target);
                *target.calls.entry(context.task.clone()).or_default() += 1;
                let act = target.script.get_mut(&context.task).and_then(VecDeque::pop_front).unwrap_or(Act::Do);
                // A reading that is given as a failure is one.
                let given = match target.helped.get(&context.task) {
                    Some((before, after)) => Some(if target.slate.is_empty() { before } else { after }),
                    None => target.outputs.get(&context.task).and_then(VecDeque::front),
                };
                if let Some(why) = given.and_then(|given| given["fails"].as_str()).filter(|_| act == Act::Do) {
                    let why = why.to_owned();
                    drop(Self::output(&mut target, &context.task));
                    return Err(Error::Permanent(why));
                }
                if matches!(act, Act::Do | Act::DoUnsaid) {
                    self.happens(&mut target, context, intent);
                }
                act
            };
            match act {
                Act::Do => Ok(Perform::Done(Self::output(&mut lock(&self.target), &context.task))),
                Act::Transient => Err(Error::Transient("not now".to_owned())),
                Act::Permanent => Err(Error::Permanent("never".to_owned())),
                Act::DoUnsaid | Act::Lost => Err(Error::InDoubt("the answer is lost".to_owned())),
                Act::Later => {
                    Ok(Perform::Wait { until: context.now + Duration::from_secs(60), why: "later".to_owned() })
                }
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("the action breaks off (on purpose)"),
            }
        })
    }
    fn inverse(&self, target: &Value, _: &Value) -> Option<Value> {
        self.asked("inverse");
        // Never what has no `to`: an action may find that it can't.
        if self.kind == "Kubernetes_Scale" {
            return Some(json!({"service": target["service"], "replicas": 2}));
        }
        target["to"].as_str().filter(|to| *to != "nowhere").map(|to| json!({"to": to, "service": "a", "percent": 100}))
    }
    fn still_holds(&self, _: &Planned, _: &Planned) -> bool {
        self.asked("still_holds");
        lock(&self.target).still_holds
    }
    fn probe<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Probe, Error>> {
        let mut target = lock(&self.target);
        let found = if target.happened.contains_key(&intent.idempotency_key) {
            Probe::Done(Self::output(&mut target, &context.task))
        } else {
            Probe::NotDone
        };
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// Everything a test needs.
pub struct World {
    pub store: SharedStore,
    pub clock: ManualClock,
    pub target: SharedTarget,
    pub options: Options,
    /// What people allowed in advance.
    pub standing: Vec<StandingPolicy>,
    /// Task types that have an executor besides those that always have one here.
    pub more: Vec<&'static str>,
    /// Task types that the next process has no executor for.
    pub gone: Vec<&'static str>,
    /// Real executors, in the place of those here.
    pub real: Vec<Arc<dyn Action>>,
    /// Versions of its actions, where that is not 1.
    pub versions: HashMap<&'static str, u32>,
    /// What a failure must name so that it can be seen again: the seed.
    pub label: String,
    /// The playbooks of the next process.
    pub texts: Vec<String>,
    pump: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

pub fn person(name: &str, role: Role) -> Person {
    Person { id: PersonId(format!("web:{name}")), name: name.to_owned(), role, teams: Vec::new() }
}

/// Everything that was told so far.
pub async fn notices(world: &World) -> Vec<Notice> {
    let queue: Queue<Notice> = Queue::new(QueuedNotices::QUEUE, world.store.clone(), world.clock());
    let mut all = Vec::new();
    for shard in Shard::all() {
        all.extend(queue.due(shard, 100).await.unwrap().into_iter().map(|item| item.record));
    }
    all
}

impl World {
    pub fn of(texts: &[&str]) -> Self {
        let clock = ManualClock::at(Timestamp::from_second(1_767_225_600).unwrap());
        let ticking = clock.clone();
        // Time runs, a quarter of a second at a time, whenever everything else has had its turn.
        let pump = tokio::spawn(async move {
            loop {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                ticking.advance(Duration::from_millis(250));
            }
        });
        let mut options = Options::default();
        options.approvals.destructive = std::num::NonZeroU32::MIN;
        Self {
            store: Memory::shared(),
            clock,
            target: SharedTarget::default(),
            options,
            standing: Vec::new(),
            more: Vec::new(),
            gone: Vec::new(),
            real: Vec::new(),
            versions: HashMap::new(),
            label: String::new(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            pump,
        }
    }

    pub fn clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    pub fn target(&self) -> MutexGuard<'_, Target> {
        lock(&self.target)
    }

    /// A new process on the store: it takes all shards over.
    pub async fn engine(&self, faults: Faults) -> Engine {
        let leases = Leases::take_all(&self.store, &self.clock(), "test").await.unwrap();
        self.engine_with(leases, faults)
    }

    /// A new process that may change what these leases say.
    pub fn engine_with(&self, leases: Arc<Leases>, faults: Faults) -> Engine {
        let fake = |kind, settle| -> Arc<dyn Action> {
            let version = self.versions.get(kind).copied().unwrap_or(1);
            Arc::new(Fake { kind, settle, version, target: self.target.clone() })
        };
        let mut actions = vec![
            fake("API_Call", Settle::Repeat),
            fake("Metric_Query", Settle::Repeat),
            fake("Log_Aggregation", Settle::Repeat),
            fake("Notification", Settle::Repeat),
            fake("Disk_Cleanup", Settle::Repeat),
            fake("Service_Restart", Settle::Probe),
            fake("Run_Command", Settle::AskPerson),
            fake("Traffic_Shift", Settle::Repeat),
            fake("Config_Rollback", Settle::Probe),
        ];
        actions.extend(self.more.iter().map(|kind| fake(kind, Settle::Repeat)));
        actions.retain(|action| self.real.iter().all(|real| real.kind() != action.kind()));
        actions.extend(self.real.iter().cloned());
        actions.retain(|action| !self.gone.contains(&action.kind()));
        let books = self.texts.iter().map(|text| {
            Book::read("test.yaml", text.as_bytes()).unwrap_or_else(|wrong| {
                panic!("{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })
        });
        let parts = Parts {
            leases,
            audit: Audit::new(self.store.clone(), self.clock()),
            library: Arc::new(Library::of(books)),
            actions: Registry::new(actions),
            options: self.options.clone(),
            standing: self.standing.clone(),
            store: self.store.clone(),
            clock: self.clock(),
        };
        let notices = Arc::new(QueuedNotices::new(self.store.clone(), self.clock()));
        Engine::with(parts, notices, faults)
    }

    pub fn request(&self, playbook: &str, key: &str) -> ProposeRequest {
        ProposeRequest {
            playbook: playbook.to_owned(),
            parameters: BTreeMap::new(),
            incident: None,
            alert: None,
            by: Actor::Mayday("heal".to_owned()),
            key: key.to_owned(),
        }
    }

    pub async fn propose(&self, engine: &Engine, playbook: &str) -> RunId {
        match engine.propose(self.request(playbook, "key")).await.unwrap() {
            Proposed::New(run) | Proposed::Already(run) => run,
        }
    }

    /// Waits until something is true of a run; fails after 20 s of real time.
    pub async fn until(&self, engine: &Engine, run: RunId, what: &str, wanted: impl Fn(&RunView) -> bool) -> RunView {
        let begun = std::time::Instant::now();
        loop {
            let view = engine.get(run).await.unwrap().unwrap();
            if wanted(&view) {
                return view;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{}: never {what}: {view:#?}", self.label);
            tokio::task::yield_now().await;
        }
    }

    pub async fn until_ended(&self, engine: &Engine, run: RunId) -> RunView {
        self.until(engine, run, "ended", |view| view.state == RunState::Ended).await
    }

    pub async fn until_asked(&self, engine: &Engine, run: RunId) -> RunView {
        self.until(engine, run, "asked", |view| view.approval.is_some()).await
    }

    pub async fn approve(&self, engine: &Engine, run: RunId, name: &str) -> Decided {
        let order = Order::Approve { plan_hash: None, reason: None };
        engine.order(run, order, &person(name, Role::Approver)).await.unwrap()
    }

    /// Does what people do until the run has ended or the process died: approves, and says truly what happened.
    pub async fn finish(&self, engine: &Engine, run: RunId) -> Option<RunView> {
        let begun = std::time::Instant::now();
        loop {
            if engine.has_crashed() {
                return None;
            }
            let view = engine.get(run).await.unwrap().unwrap();
            if view.state == RunState::Ended {
                return Some(view);
            }
            self.decide(engine, &view).await;
            if view.tasks.iter().any(|task| task.kind == "Sub_Playbook" && task.state == TaskState::Waiting) {
                for child in engine.list(None, 50).await.unwrap().iter().filter(|child| child.run != run) {
                    self.decide(engine, child).await;
                }
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{}: never ended: {view:#?}\n{:#?}",
                self.label,
                self.target()
            );
            // Looking is dear, and most looks find nothing to do.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Approves what waits for it, and says truly what happened.
    async fn decide(&self, engine: &Engine, view: &RunView) {
        let run = view.run;
        if view.approval.is_some() {
            // The process may die while it is asked: then there is no answer, and the next one asks again.
            let order = Order::Approve { plan_hash: None, reason: None };
            let _ = engine.order(run, order, &person("ana", Role::Approver)).await;
        }
        for task in view.tasks.iter().filter(|task| task.state == TaskState::InDoubt) {
            let key = format!("{run}.{}.", task.id);
            let happened = self.target().happened.keys().any(|happened| happened.starts_with(&key));
            let answer = if happened { "done" } else { "not_done" }.to_owned();
            let order = Order::Answer { task: task.id.clone(), answer };
            let _ = engine.order(run, order, &person("ana", Role::Approver)).await;
        }
    }

    /// State per task.
    pub fn states(view: &RunView) -> BTreeMap<String, TaskState> {
        view.tasks.iter().map(|task| (task.id.clone(), task.state)).collect()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

//! An effect's time is over when it is over: also while the store is away, and after the process stood still.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mayday::core::BoxFuture;
use mayday::playbook::action::{Action, Context, Error, Intent, Perform, Planned, Settle};
use mayday::playbook::{Faults, TaskState};
use mayday::store::{self, Batch, Entry, Key, Range, Revision, SharedStore, Store, Watch};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::engine_world::World;

const TEXT: &str = "
playbook_id: PB-Time
name: an effect of two steps, and a reading beside it
tasks:
  - {id: steps, type: Database_Check, parameters: {service: a}, timeout: 20s, on_failure: continue}
  - {id: read, type: Metric_Query, parameters: {expr: up}}
";

/// A store that takes no commit while it is away; it says nothing either.
struct Away(SharedStore, watch::Receiver<bool>);

impl Store for Away {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, store::Error>> {
        self.0.read(key)
    }
    fn scan<'a>(&'a self, range: &'a Range) -> BoxFuture<'a, Result<Vec<Entry>, store::Error>> {
        self.0.scan(range)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, store::Error>> {
        let mut away = self.1.clone();
        Box::pin(async move {
            away.wait_for(|away| !away).await.expect("it comes back");
            self.0.commit(batch).await
        })
    }
    fn watch(&self, prefix: &Key) -> Watch {
        self.0.watch(prefix)
    }
}

/// Looks at something, and when that has answered sends what it is about.
struct Steps {
    answer: Mutex<Option<oneshot::Receiver<()>>>,
    begins: watch::Sender<bool>,
    sent: AtomicBool,
    over: Arc<AtomicBool>,
}

impl Steps {
    fn new() -> (Arc<Self>, oneshot::Sender<()>) {
        let (answers, answer) = oneshot::channel();
        let steps = Self {
            answer: Mutex::new(Some(answer)),
            begins: watch::Sender::new(false),
            sent: AtomicBool::new(false),
            over: Arc::default(),
        };
        (Arc::new(steps), answers)
    }
}

/// Says when the effect is over, however it ends.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Action for Steps {
    fn kind(&self) -> &'static str {
        "Database_Check"
    }
    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }
    fn plan<'a>(&'a self, _: &'a Context, parameters: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(std::future::ready(Ok(Planned {
            object: String::new(),
            changes: Vec::new(),
            target: parameters.clone(),
            radius: String::new(),
            undo: None,
            details: Vec::new(),
        })))
    }
    fn perform<'a>(&'a self, _: &'a Context, _: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        let answer = self.answer.lock().unwrap().take().unwrap();
        Box::pin(async move {
            let _over = Over(self.over.clone());
            self.begins.send_replace(true);
            answer.await.map_err(|gone| Error::Transient(gone.to_string()))?;
            self.sent.store(true, Ordering::SeqCst);
            Ok(Perform::Done(json!({})))
        })
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_time_out_comes_in_time_though_the_store_takes_nothing() {
    let mut world = World::of(&[TEXT]);
    let (steps, answers) = Steps::new();
    world.real.push(steps.clone());
    // Away as soon as the effect begins: the reading's outcome can't be written down.
    let away = steps.begins.subscribe();
    world.store = Arc::new(Away(world.store.clone(), away));
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Time").await;
    until("begun", || *steps.begins.borrow()).await;
    let deadline = world.now() + Duration::from_secs(20);
    until("timed out", || steps.over.load(Ordering::SeqCst)).await;
    assert!(world.now() < deadline + Duration::from_secs(5), "{} after {deadline}", world.now());
    assert!(answers.is_closed(), "nobody waits for its answer any more");
    steps.begins.send_replace(false);
    let view = world.until_ended(&engine, run).await;
    assert_eq!(World::states(&view)["steps"], TaskState::Failed, "{view:#?}");
    assert!(view.tasks[0].note.as_ref().unwrap().contains("no answer within 20 s"), "{view:#?}");
}

#[tokio::test]
async fn what_was_frozen_past_its_time_does_not_take_its_next_step() {
    for (frozen, sent) in [(Duration::from_secs(60), false), (Duration::from_secs(1), true)] {
        let mut world = World::of(&[TEXT]);
        let (steps, answers) = Steps::new();
        world.real.push(steps.clone());
        let engine = world.engine(Faults::none()).await;
        let run = world.propose(&engine, "PB-Time").await;
        until("begun", || *steps.begins.borrow()).await;
        // When the process goes on, the answer and the timer are there both.
        answers.send(()).unwrap();
        world.clock.advance(frozen);
        let view = world.until_ended(&engine, run).await;
        assert_eq!(steps.sent.load(Ordering::SeqCst), sent, "{view:#?}");
        let state = if sent { TaskState::Succeeded } else { TaskState::Failed };
        assert_eq!(World::states(&view)["steps"], state, "{view:#?}");
    }
}

//! Several engines on one store: an order reaches the one that drives the run, and is carried out once.

use std::sync::Arc;
use std::time::Duration;

use mayday::access::Role;
use mayday::core::RunId;
use mayday::core::stop::Stopper;
use mayday::playbook::run::Event;
use mayday::playbook::view::{Decided, Order, RunOutcome};
use mayday::playbook::{Engine, Faults, Proposed, RunState, Runs as _, Service, TaskState};
use mayday::store::{Key, Range};
use mayday::work::{Leases, Shard};

use super::engine_world::{Act, World, person};

const UNDONE: &str = "
playbook_id: PB-Undone
name: change, fail, undo
max_duration: 1000h
tasks:
  - {id: change, type: Run_Command, parameters: {program: p}, rollback: back}
  - {id: back, type: API_Call, action: POST /back, parameters: {undoes: change}}
  - {id: check, type: Metric_Query, depends_on: [change], parameters: {expr: up}}
";

/// One process of several.
struct Replica {
    engine: Engine,
    leases: Arc<Leases>,
    stoppers: Vec<Stopper>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Replica {
    async fn start(world: &World, faults: Faults) -> Self {
        let leases = Leases::share(&world.store, &world.clock()).await.unwrap();
        let engine = world.engine_with(leases.clone(), faults);
        let ((one, of_leases), (two, of_service)) = (Stopper::new(), Stopper::new());
        let tasks = vec![
            tokio::spawn(leases.clone().keep(of_leases)),
            tokio::spawn(Service::new(engine.clone()).run(of_service)),
        ];
        Self { engine, leases, stoppers: vec![one, two], tasks }
    }

    fn holds(&self, run: RunId) -> bool {
        self.leases.of(Shard::of(&run.to_string())).is_some()
    }

    /// As a SIGKILL: nothing is given back.
    fn die(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        drop(self.stoppers);
    }
}

/// Proposes at `at` until a run belongs to `holder`.
async fn run_of(world: &World, at: &Replica, holder: &Replica) -> RunId {
    for number in 0..200 {
        let Proposed::New(run) = at.engine.propose(world.request("PB-Undone", &format!("{number}"))).await.unwrap()
        else {
            panic!()
        };
        if holder.holds(run) {
            return run;
        }
    }
    panic!("no run is the other's");
}

/// Both hold about half of the shards.
async fn two(world: &World, faults: Faults) -> (Replica, Replica) {
    let (one, two) = (Replica::start(world, Faults::none()).await, Replica::start(world, faults).await);
    let held = |replica: &Replica| Shard::all().filter(|shard| replica.leases.of(*shard).is_some()).count();
    let begun = std::time::Instant::now();
    while held(&one) != 32 || held(&two) != 32 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} and {}", held(&one), held(&two));
        tokio::task::yield_now().await;
    }
    (one, two)
}

async fn stuck(world: &World, at: &Replica, run: RunId) -> u64 {
    world.until_asked(&at.engine, run).await;
    // Through the replica that does not drive it.
    assert!(matches!(world.approve(&at.engine, run, "ana").await, Decided::Done(_)));
    let view = world.until_ended(&at.engine, run).await;
    assert_eq!((view.outcome, view.undo_failed()), (Some(RunOutcome::Stuck), true), "{view:#?}");
    view.journal
}

async fn retries(replica: &Replica, run: RunId) -> usize {
    let journal = replica.engine.journal(run).await.unwrap();
    journal.iter().filter(|entry| matches!(entry.event, Event::Retried { .. })).count()
}

async fn orders(world: &World) -> usize {
    let of = async |name: &str| world.store.scan(&Range::under(&Key::of(["queue", name]), 100)).await.unwrap().len();
    of("order").await
}

#[tokio::test]
async fn an_ended_run_is_opened_again_by_an_order_at_a_replica_that_does_not_hold_it() {
    let world = World::of(&[UNDONE]);
    world.target().script.insert("check".to_owned(), vec![Act::Permanent; 200].into());
    world.target().script.insert("back".to_owned(), [Act::Permanent].into());
    let (one, two) = two(&world, Faults::none()).await;
    let run = run_of(&world, &one, &two).await;
    stuck(&world, &one, run).await;
    let ana = person("ana", Role::Approver);
    let refused = one.engine.order(run, Order::Retry, &person("cy", Role::Viewer)).await.unwrap();
    assert!(matches!(refused, Decided::Refused(_)), "{refused:?}");
    let decided = one.engine.order(run, Order::Retry, &ana).await.unwrap();
    assert!(matches!(&decided, Decided::Done(says) if says.contains("is tried again")), "{decided:?}");
    let view = world.until_ended(&one.engine, run).await;
    assert_eq!((view.outcome, World::states(&view)["change"]), (Some(RunOutcome::Failed), TaskState::RolledBack));
    let again = one.engine.order(run, Order::Retry, &ana).await.unwrap();
    assert!(matches!(again, Decided::Nothing(_)), "{again:?}");
    assert_eq!((retries(&one, run).await, orders(&world).await), (1, 0));
    one.die();
    two.die();
}

#[tokio::test]
async fn an_order_whose_replica_dies_right_after_carrying_it_out_is_not_carried_out_again() {
    // How long the journal is then; the faults of the next world are made for it.
    let world = World::of(&[UNDONE]);
    let script = |world: &World| {
        let mut target = world.target();
        target.script.insert("check".to_owned(), vec![Act::Permanent; 200].into());
        target.script.insert("back".to_owned(), vec![Act::Permanent; 2].into());
    };
    script(&world);
    let engine = world.engine(Faults::none()).await;
    let run = world.propose(&engine, "PB-Undone").await;
    let length = world.finish(&engine, run).await.unwrap().journal;
    drop(world);

    let world = World::of(&[UNDONE]);
    script(&world);
    // The fault is after the commit with that record, which is the one that opens the run again.
    let (one, two) = two(&world, Faults { crash_after: Some(length), ..Faults::none() }).await;
    let run = run_of(&world, &one, &two).await;
    assert_eq!(stuck(&world, &one, run).await, length);
    let ana = person("ana", Role::Approver);
    let decided = one.engine.order(run, Order::Retry, &ana).await.unwrap();
    // Its answer stands beside its effect, though who carried it out is dead.
    assert!(matches!(&decided, Decided::Done(says) if says.contains("is tried again")), "{decided:?}");
    assert!(two.engine.has_crashed());
    two.die();
    let view = world.until_ended(&one.engine, run).await;
    assert_eq!(view.outcome, Some(RunOutcome::Stuck), "the undo fails a second time: {view:#?}");
    assert!(one.holds(run), "it was taken over");
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    let view = one.engine.get(run).await.unwrap().unwrap();
    assert_eq!((view.state, retries(&one, run).await, orders(&world).await), (RunState::Ended, 1, 0), "{view:#?}");
    one.die();
}

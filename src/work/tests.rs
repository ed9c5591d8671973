//! Queues and leases as their users see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Leases, Queue, Shard, serial};
use crate::core::clock::ManualClock;
use crate::core::{SharedClock, Timestamp};
use crate::store::memory::Memory;
use crate::store::{Batch, Error, Record};

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Job(u32);
impl Record for Job {}

#[tokio::test]
async fn items_come_in_the_order_they_fall_due_and_only_then() {
    let manual = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
    let clock: SharedClock = Arc::new(manual.clone());
    let store = Memory::shared();
    let queue: Queue<Job> = Queue::new("jobs", store.clone(), clock.clone());
    let mut batch = Batch::new();
    queue.push_at(&mut batch, Shard(3), clock.now() + Duration::from_secs(60), &Job(9)).unwrap();
    for number in 1..=3 {
        queue.push(&mut batch, Shard(3), &Job(number)).unwrap();
    }
    store.commit(batch).await.unwrap();
    let due: Vec<u32> = queue.due(Shard(3), 10).await.unwrap().iter().map(|item| item.record.0).collect();
    assert_eq!(due, [1, 2, 3]);
    manual.advance(Duration::from_secs(60));
    assert_eq!(queue.due(Shard(3), 10).await.unwrap().len(), 4);
    assert!(queue.due(Shard(4), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_item_is_taken_once_and_a_stale_lease_takes_nothing() {
    let clock: SharedClock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let store = Memory::shared();
    let queue: Queue<Job> = Queue::new("jobs", store.clone(), clock.clone());
    let mut batch = Batch::new();
    queue.push(&mut batch, Shard(0), &Job(1)).unwrap();
    store.commit(batch).await.unwrap();
    let old = Leases::take_all(&store, &clock, "a").await.unwrap();
    let new = Leases::take_all(&store, &clock, "b").await.unwrap();
    assert!(new.of(Shard(0)).unwrap().token > old.of(Shard(0)).unwrap().token);
    let item = queue.due(Shard(0), 1).await.unwrap().remove(0);
    let take = |leases: &Leases| {
        let mut batch = Batch::new();
        leases.of(Shard(0)).unwrap().guard(&mut batch);
        queue.done(&mut batch, &item);
        store.commit(batch)
    };
    assert!(matches!(take(&old).await, Err(Error::Conflict(_))));
    assert!(take(&new).await.is_ok());
    assert!(matches!(take(&new).await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn serial_numbers_have_no_gap_and_no_repeat() {
    let store = Memory::shared();
    for wanted in 1..=3 {
        let mut batch = Batch::new();
        assert_eq!(serial::take(&store, &mut batch, "incident").await.unwrap(), wanted);
        store.commit(batch).await.unwrap();
    }
}

/// Takes jobs away one commit at a time; some numbers it can't do.
struct Worker {
    queue: Queue<Job>,
    store: crate::store::SharedStore,
    done: std::sync::Mutex<Vec<u32>>,
}

impl super::Handler<Job> for Worker {
    fn handle<'a>(
        &'a self,
        lease: &'a super::Lease,
        items: Vec<super::Queued<Job>>,
    ) -> crate::core::BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for item in items {
                match item.record.0 {
                    13 => return Err(Error::Encode("thirteen".to_owned())),
                    666 => panic!("the number of the beast"),
                    _ => {}
                }
                let mut batch = Batch::new();
                lease.guard(&mut batch);
                self.queue.done(&mut batch, &item);
                self.store.commit(batch).await?;
                self.done.lock().unwrap().push(item.record.0);
            }
            Ok(())
        })
    }
}

struct House {
    manual: ManualClock,
    clock: SharedClock,
    store: crate::store::SharedStore,
    queue: Queue<Job>,
    worker: Arc<Worker>,
}

impl House {
    fn new() -> Self {
        let manual = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
        let clock: SharedClock = Arc::new(manual.clone());
        let store = Memory::shared();
        let queue: Queue<Job> = Queue::new("jobs", store.clone(), clock.clone());
        let worker = Arc::new(Worker { queue: queue.clone(), store: store.clone(), done: std::sync::Mutex::default() });
        Self { manual, clock, store, queue, worker }
    }

    async fn push(&self, shard: u16, jobs: &[u32]) {
        let mut batch = Batch::new();
        for job in jobs {
            self.queue.push(&mut batch, Shard(shard), &Job(*job)).unwrap();
        }
        self.store.commit(batch).await.unwrap();
    }

    async fn serve(&self) -> (crate::core::stop::Stopper, tokio::task::JoinHandle<()>) {
        self.serve_by(self.worker.clone()).await
    }

    async fn serve_by(
        &self,
        handler: Arc<dyn super::Handler<Job>>,
    ) -> (crate::core::stop::Stopper, tokio::task::JoinHandle<()>) {
        let leases = Leases::take_all(&self.store, &self.clock, "test").await.unwrap();
        let (stopper, stop) = crate::core::stop::Stopper::new();
        (stopper, tokio::spawn(super::serve(self.queue.clone(), leases, self.clock.clone(), handler, stop)))
    }

    /// Lets the clock run until something holds.
    async fn until(&self, what: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        for _ in 0..2_000 {
            let done = self.worker.done.lock().unwrap().clone();
            if what(&done) {
                return done;
            }
            self.manual.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{:?}", self.worker.done.lock().unwrap());
    }
}

#[tokio::test]
async fn an_item_is_handled_once_also_across_a_restart() {
    let house = House::new();
    let (stopper, loops) = house.serve().await;
    house.push(1, &[1, 2, 3]).await;
    house.until(|done| done.len() == 3).await;
    stopper.stop();
    loops.await.unwrap();
    house.push(1, &[4]).await;
    let (stopper, loops) = house.serve().await;
    house.push(2, &[5]).await;
    let mut done = house.until(|done| done.len() >= 5).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3, 4, 5]);
    assert_eq!(house.queue.waiting(Shard(1), 10).await.unwrap(), 0);
    stopper.stop();
    loops.await.unwrap();
}

/// Puts a new item where it has done one, as alerts that keep coming do; with a number for which a later Mayday is needed.
struct Busy {
    worker: Arc<Worker>,
    newer: std::sync::atomic::AtomicBool,
}

impl super::Handler<Job> for Busy {
    fn handle<'a>(
        &'a self,
        lease: &'a super::Lease,
        items: Vec<super::Queued<Job>>,
    ) -> crate::core::BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for item in items {
                let number = item.record.0;
                if number == 700 && self.newer.load(std::sync::atomic::Ordering::SeqCst) {
                    return Err(Error::TooNew { key: item.key.clone(), found: 2, known: 1 });
                }
                let mut batch = Batch::new();
                lease.guard(&mut batch);
                self.worker.queue.done(&mut batch, &item);
                if number < 100 {
                    self.worker.queue.push(&mut batch, lease.shard, &Job(number)).unwrap();
                }
                // Whoever does something takes a moment; that is when the other shards' turn is decided.
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.worker.store.commit(batch).await?;
                self.worker.done.lock().unwrap().push(number);
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn shards_whose_items_keep_coming_do_not_keep_the_others_waiting() {
    let house = House::new();
    for shard in 0..32 {
        house.push(shard, &[u32::from(shard)]).await;
    }
    house.push(63, &[600]).await;
    let busy = Arc::new(Busy { worker: house.worker.clone(), newer: false.into() });
    let (_stopper, _loops) = house.serve_by(busy).await;
    let done = house.until(|done| done.contains(&600)).await;
    let before = done.iter().position(|number| *number == 600).unwrap();
    assert!(before <= 64, "{before} others went before the one that waited longest");
    let done = house.until(|done| done.len() > 1_000).await;
    for shard in 0..32 {
        let turns = done.iter().filter(|number| **number == shard).count();
        assert!(turns > 10, "shard {shard} had {turns} turns of {}", done.len());
    }
}

#[tokio::test]
async fn what_only_a_later_mayday_can_read_is_kept_however_often_this_one_meets_it() {
    let house = House::new();
    house.push(1, &[700, 101, 102]).await;
    let busy = Arc::new(Busy { worker: house.worker.clone(), newer: true.into() });
    let (_stopper, _loops) = house.serve_by(busy.clone()).await;
    // The others go on, and minutes of tries count against nothing.
    house.until(|done| done.contains(&101) && done.contains(&102)).await;
    for _ in 0..300 {
        house.manual.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(house.queue.waiting(Shard(1), 10).await.unwrap(), 1);
    assert!(
        house.store.scan(&crate::store::Range::under(&crate::store::Key::of(["dead"]), 10)).await.unwrap().is_empty()
    );
    busy.newer.store(false, std::sync::atomic::Ordering::SeqCst);
    house.until(|done| done.contains(&700)).await;
}

#[tokio::test]
async fn a_timer_is_handled_when_it_is_due() {
    let house = House::new();
    let (_stopper, _loops) = house.serve().await;
    let mut batch = Batch::new();
    house.queue.push_at(&mut batch, Shard(7), house.clock.now() + Duration::from_secs(30), &Job(1)).unwrap();
    house.store.commit(batch).await.unwrap();
    let pushed = house.clock.now();
    house.until(|done| done == [1]).await;
    assert!(house.clock.now().duration_since(pushed).as_secs() >= 30);
}

#[tokio::test]
async fn a_poison_item_holds_nobody_up_and_is_kept_aside() {
    let house = House::new();
    let (_stopper, _loops) = house.serve().await;
    house.push(1, &[1, 13, 2]).await;
    house.push(2, &[666, 3]).await;
    // Bytes that are no item at all.
    let mut batch = Batch::new();
    let key = crate::store::Key::of(["queue", "jobs", "01", "0000000000001-x"]);
    batch.writes.push(crate::store::Write::Put(key, b"{\"v\":1,\"d\":17}".to_vec()));
    house.store.commit(batch).await.unwrap();
    let mut done = house.until(|done| done.len() == 3).await;
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3]);
    let mut dead = Vec::new();
    for _ in 0..1_000 {
        house.until(|_| true).await;
        house.manual.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
        dead = house.queue.dead(10).await.unwrap();
        if dead.len() == 3 {
            break;
        }
    }
    let mut reasons: Vec<_> = dead.iter().map(|(_, dead)| dead.why.as_str()).collect();
    reasons.sort_unstable();
    assert!(reasons[0].contains("thirteen"), "{reasons:?}");
    assert!(reasons[1].contains("the number of the beast"), "{reasons:?}");
    assert!(reasons[2].contains("can't be read"), "{reasons:?}");
    assert!(house.queue.due(Shard(1), 10).await.unwrap().is_empty());
    // A person may put it back.
    let (grave, _) = dead.iter().find(|(_, dead)| dead.why.contains("thirteen")).unwrap();
    let mut batch = Batch::new();
    assert!(house.queue.revive(&mut batch, grave).await.unwrap());
    assert_eq!(batch.writes.len(), 2);
    assert!(house.store.commit(batch).await.is_ok());
}

/// Takes items away at once, but first does what shard 0's items ask for: wait for ever, or keep the thread busy.
struct Slow {
    queue: Queue<Job>,
    store: crate::store::SharedStore,
    done: std::sync::Mutex<Vec<u16>>,
    busy: std::sync::atomic::AtomicBool,
}

impl super::Handler<Job> for Slow {
    fn handle<'a>(
        &'a self,
        lease: &'a super::Lease,
        items: Vec<super::Queued<Job>>,
    ) -> crate::core::BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            match items[0].record.0 {
                0 => std::future::pending().await,
                1 => {
                    while self.busy.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                _ => {}
            }
            let mut batch = Batch::new();
            for item in &items {
                self.queue.done(&mut batch, item);
            }
            self.store.commit(batch).await?;
            self.done.lock().unwrap().push(lease.shard.0);
            Ok(())
        })
    }
}

/// `what` is 0 for a handler that waits for something slow, 1 for one that computes without a pause.
async fn a_slow_item_holds_up_no_other_shard(what: u32) {
    let clock = crate::core::clock::SystemClock::shared();
    let store = Memory::shared();
    let queue: Queue<Job> = Queue::new("jobs", store.clone(), clock.clone());
    let slow = Arc::new(Slow {
        queue: queue.clone(),
        store: store.clone(),
        done: std::sync::Mutex::default(),
        busy: std::sync::atomic::AtomicBool::new(true),
    });
    let leases = Leases::take_all(&store, &clock, "test").await.unwrap();
    let (_stopper, stop) = crate::core::stop::Stopper::new();
    let loops = tokio::spawn(super::serve(queue.clone(), leases, clock.clone(), slow.clone(), stop));
    let push = |shard, job| {
        let mut batch = Batch::new();
        queue.push(&mut batch, Shard(shard), &Job(job)).unwrap();
        store.commit(batch)
    };
    // Also when the test fails, so that the runtime can end.
    let _ends = Ends(slow.clone());
    push(0, what).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // One after the other: each must be taken while the slow one still runs.
    for shard in 1..=20 {
        push(shard, 7).await.unwrap();
        let handled = async {
            while slow.done.lock().unwrap().last() != Some(&shard) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_millis(900), handled).await.expect("it waits for another shard's item");
    }
    loops.abort();
}

/// Lets the handler that computes for long end.
struct Ends(Arc<Slow>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.busy.store(false, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_item_that_waits_holds_up_no_other_shard() {
    a_slow_item_holds_up_no_other_shard(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_item_that_computes_for_long_holds_up_no_other_shard() {
    a_slow_item_holds_up_no_other_shard(1).await;
}

#[tokio::test]
async fn a_shard_that_was_taken_over_is_left_alone() {
    let house = House::new();
    let (_stopper, loops) = house.serve().await;
    let _newer = Leases::take_all(&house.store, &house.clock, "other").await.unwrap();
    house.push(1, &[1]).await;
    for _ in 0..50 {
        house.manual.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(house.worker.done.lock().unwrap().is_empty());
    assert_eq!(house.queue.waiting(Shard(1), 10).await.unwrap(), 1);
    assert!(!loops.is_finished());
}

#[tokio::test]
async fn postponed_items_come_back_with_their_failures_counted() {
    let house = House::new();
    house.push(1, &[1]).await;
    let item = house.queue.due(Shard(1), 1).await.unwrap().remove(0);
    let mut batch = Batch::new();
    house.queue.postpone(&mut batch, &item, house.clock.now() + Duration::from_secs(5)).unwrap();
    house.store.commit(batch.clone()).await.unwrap();
    assert!(house.queue.due(Shard(1), 1).await.unwrap().is_empty());
    house.manual.advance(Duration::from_secs(5));
    assert_eq!(house.queue.due(Shard(1), 1).await.unwrap()[0].failures, 1);
    // Whoever still holds the old one is too late.
    assert!(matches!(house.store.commit(batch).await, Err(Error::Conflict(_))));
}

/// Replicas that share a store, in time that a test moves.
struct Crowd {
    manual: ManualClock,
    replicas: Vec<Arc<Leases>>,
    store: crate::store::SharedStore,
}

impl Crowd {
    async fn of(count: usize) -> Self {
        let manual = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
        let mut crowd = Self { manual, replicas: Vec::new(), store: Memory::shared() };
        for _ in 0..count {
            crowd.join().await;
        }
        crowd
    }

    async fn join(&mut self) {
        let clock: SharedClock = Arc::new(self.manual.clone());
        self.replicas.push(Leases::share(&self.store, &clock).await.unwrap());
    }

    /// Half a second passes, then each has a round.
    async fn rounds(&self, count: usize, who: &[usize]) {
        for _ in 0..count {
            self.manual.advance(Duration::from_millis(500));
            for replica in who {
                self.replicas[*replica].round().await.unwrap();
            }
            for shard in Shard::all() {
                let holders = self.replicas.iter().filter(|replica| replica.of(shard).is_some()).count();
                assert!(holders <= 1, "{shard:?} has {holders} holders");
            }
        }
    }

    fn held(&self) -> Vec<usize> {
        let count = |replica: &Arc<Leases>| Shard::all().filter(|shard| replica.of(*shard).is_some()).count();
        self.replicas.iter().map(count).collect()
    }
}

#[tokio::test]
async fn replicas_share_the_shards_fairly_as_they_come_and_go() {
    let mut crowd = Crowd::of(1).await;
    assert_eq!(crowd.held(), [64]);
    crowd.join().await;
    crowd.join().await;
    crowd.rounds(4, &[0, 1, 2]).await;
    let held = crowd.held();
    assert_eq!(held.iter().sum::<usize>(), 64, "{held:?}");
    assert!(held.iter().all(|held| (20..=22).contains(held)), "{held:?}");
    // The second ends in order: its shards are free at once.
    let (stopper, stop) = crate::core::stop::Stopper::new();
    stopper.stop();
    crowd.replicas[1].clone().keep(stop).await;
    crowd.rounds(1, &[0, 2]).await;
    assert_eq!(crowd.held(), [32, 0, 32]);
}

#[tokio::test]
async fn a_dead_replicas_shards_are_taken_over_in_time_and_not_before() {
    let crowd = Crowd::of(2).await;
    crowd.rounds(3, &[0, 1]).await;
    assert_eq!(crowd.held(), [32, 32]);
    crowd.rounds(4, &[0]).await;
    assert_eq!(crowd.held()[0], 32, "it may still live");
    crowd.rounds(2, &[0]).await;
    assert_eq!(crowd.held(), [64, 0], "three seconds after its last sign of life");
}

#[tokio::test]
async fn a_replica_that_was_frozen_holds_nothing_writes_nothing_and_comes_back() {
    let crowd = Crowd::of(2).await;
    crowd.rounds(3, &[0, 1]).await;
    let shard = Shard::all().find(|shard| crowd.replicas[1].of(*shard).is_some()).unwrap();
    let old = crowd.replicas[1].of(shard).unwrap();
    crowd.manual.advance(Duration::from_millis(2_300));
    assert!(crowd.replicas[1].of(shard).is_none(), "its own clock says so before the store's");
    crowd.rounds(3, &[0]).await;
    let new = crowd.replicas[0].of(shard).unwrap();
    assert!(new.token > old.token);
    drop(new);
    let mut late = Batch::new();
    old.guard(&mut late);
    assert!(matches!(crowd.store.commit(late).await, Err(Error::Conflict(at)) if at == old.key));
    assert!(!old.leaving.is_set());
    crowd.rounds(1, &[1]).await;
    assert!(old.leaving.is_set(), "whoever works under it is told");
    crowd.rounds(4, &[0, 1]).await;
    assert_eq!(crowd.held(), [32, 32]);
}

#[tokio::test]
async fn replicas_know_who_lives_on_which_machine_and_who_holds_what() {
    let mut crowd = Crowd::of(1).await;
    let clock: SharedClock = Arc::new(crowd.manual.clone());
    for machine in ["web-1", "web-2"] {
        crowd.replicas.push(Leases::share_as(&crowd.store, &clock, Some(machine.to_owned())).await.unwrap());
    }
    crowd.rounds(4, &[0, 1, 2]).await;
    let name = |replica: usize| crowd.replicas[replica].replica().to_owned();
    let machine = |name: &str| Some(name.to_owned());
    let all = BTreeMap::from([(name(0), None), (name(1), machine("web-1")), (name(2), machine("web-2"))]);
    for replica in &crowd.replicas {
        assert_eq!(replica.living().as_ref(), Some(&all), "one of before says no machine");
        for shard in Shard::all() {
            let holder = crowd.replicas.iter().find(|replica| replica.of(shard).is_some()).unwrap();
            assert_eq!(replica.holder(shard).as_deref(), Some(holder.replica()));
        }
    }
    let mut moved = crowd.replicas[2].watch();
    moved.mark_unchanged();
    crowd.rounds(6, &[0, 2]).await;
    assert!(moved.has_changed().unwrap());
    assert_eq!(crowd.replicas[2].living().unwrap().into_keys().collect::<Vec<_>>(), [name(0), name(2)]);
    assert_eq!(crowd.replicas[1].living(), None, "a frozen one can't tell");
}

#[tokio::test]
async fn what_is_under_way_in_a_shard_that_is_given_back_may_end() {
    let mut crowd = Crowd::of(1).await;
    let working: Vec<_> = Shard::all().filter_map(|shard| crowd.replicas[0].of(shard)).collect();
    crowd.join().await;
    crowd.rounds(4, &[0, 1]).await;
    assert_eq!(crowd.held(), [32, 0]);
    let leaving: Vec<_> = working.iter().filter(|lease| lease.leaving.is_set()).collect();
    assert_eq!(leaving.len(), 32);
    let mut last = Batch::new();
    leaving[0].guard(&mut last);
    crowd.store.commit(last).await.expect("it can still write what came of it");
    drop(working);
    crowd.rounds(2, &[0, 1]).await;
    assert_eq!(crowd.held(), [32, 32]);
}

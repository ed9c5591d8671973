//! Queues and leases as their users see them.

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
    assert!(new.of(Shard(0)).token > old.of(Shard(0)).token);
    let item = queue.due(Shard(0), 1).await.unwrap().remove(0);
    let take = |leases: &Leases| {
        let mut batch = Batch::new();
        leases.of(Shard(0)).guard(&mut batch);
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

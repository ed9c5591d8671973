//! Several replicas: each drives the runs of its own shards, takes up those of shards it gains, and carries out orders that
//! reached another replica.
//!
//! An order for a run that another replica drives is an item of the `order` queue. The commit that carries it out takes the
//! item away and writes the answer, so that it is carried out once however often it is delivered.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Engine, Error, Said, Shared, shard_of};
use crate::core::message::playbook as say;
use crate::core::stop::Stop;
use crate::core::{BoxFuture, RunId, Timestamp};
use crate::playbook::run::Status;
use crate::playbook::view::Decided;
use crate::store::{self, Batch, Key, Range, Record};
use crate::work::{Handler, Lease, Queue, Queued, serve};

/// Who asked waits so long for the holder.
const PATIENCE: Duration = Duration::from_secs(8);
/// Answers are looked for this often, beside being woken.
const LOOK: Duration = Duration::from_millis(250);
/// Open runs are looked for this often, beside being woken; and at most this often.
const ADOPT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(300));
/// Where nothing is shared, open runs that nobody drives are looked for this often.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// Answers that nobody fetched are removed after this.
const UNCLAIMED: Duration = Duration::from_secs(600);

/// When a run's task lets go: Mayday stops, or the shard goes to another replica.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The whole engine's.
    pub engine: Stop,
    /// The lease's.
    pub lease: Stop,
}

impl Ends {
    /// Whether to let go.
    pub fn is_set(&self) -> bool {
        self.engine.is_set() || self.lease.is_set()
    }

    /// Waits until then.
    pub async fn wait(&self) {
        tokio::select! {
            () = self.engine.wait() => {}
            () = self.lease.wait() => {}
        }
    }
}

/// An order on its way to the replica that drives the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sent {
    run: RunId,
    said: Said,
    /// Where the answer is waited for.
    answer: String,
}
impl Record for Sent {
    const VERSION: u32 = 2;
    const READS_SINCE: u32 = 1;

    /// Since 2 a parent may have its part take back what it did; a Mayday before leaves such an order to a later one.
    fn version(&self) -> u32 {
        if matches!(self.said, Said::ParentUndoes { .. }) { Self::VERSION } else { 1 }
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    at: Timestamp,
    decided: Decided,
}
impl Record for Answered {}

/// An order that came through the queue: its item.
#[derive(Debug, Clone)]
pub struct Taken(Queued<Sent>);

impl Taken {
    /// Takes the item away with the batch, and leaves the answer.
    ///
    /// # Errors
    /// [`store::Error::Encode`].
    pub fn settle(&self, shared: &Shared, batch: &mut Batch, decided: &Decided) -> Result<(), store::Error> {
        queue(shared).done(batch, &self.0);
        let key = answers().child(&self.0.shard.key()).child(&self.0.record.answer);
        batch.put(key, &Answered { at: shared.parts.clock.now(), decided: decided.clone() })?;
        Ok(())
    }
}

fn queue(shared: &Shared) -> Queue<Sent> {
    Queue::new("order", shared.parts.store.clone(), shared.parts.clock.clone())
}

fn answers() -> Key {
    Key::of(["order-answer"])
}

/// Hands an order to whoever drives the run, and waits for what they make of it.
pub(super) async fn ask_holder(engine: &Engine, run: RunId, said: Said) -> Result<Decided, Error> {
    let parts = &engine.0.parts;
    let shard = shard_of(run);
    let name = uuid::Uuid::now_v7().simple().to_string();
    let key = answers().child(&shard.key()).child(&name);
    // Before the commit, so that no answer is missed in between.
    let mut changed = parts.store.watch(&answers());
    let mut batch = Batch::new();
    queue(&engine.0).push(&mut batch, shard, &Sent { run, said, answer: name })?;
    parts.store.commit(batch).await?;
    let answered = async {
        loop {
            if let Some(entry) = parts.store.read(&key).await? {
                return entry.decode::<Answered>();
            }
            tokio::select! {
                () = changed.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(answered) => {
            let answered = answered?;
            let mut batch = Batch::new();
            batch.delete(key);
            if let Err(error) = parts.store.commit(batch).await {
                tracing::debug!(%run, %error, "an answer stays in the store for a while");
            }
            Ok(answered.decided)
        }
        Err(_) => Ok(Decided::Done(say::order_waits(run))),
    }
}

/// Takes up runs as shards come and go, and carries out orders from other replicas, until asked to stop.
pub(super) async fn keep(engine: &Engine, stop: Stop) {
    let parts = &engine.0.parts;
    if !parts.leases.shares() {
        look_after(engine, &stop).await;
        return;
    }
    let orders = serve(
        queue(&engine.0),
        parts.leases.clone(),
        parts.clock.clone(),
        Arc::new(Orders(engine.clone())),
        stop.clone(),
    );
    tokio::join!(orders, adopt(engine, &stop));
}

/// Where one process owns all, it takes up each run when that is proposed. What let go of one all the same (a part of Mayday
/// that broke off) is found here.
async fn look_after(engine: &Engine, stop: &Stop) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = engine.0.parts.clock.sleep(LOOK_AFTER) => {}
        }
        if let Err(error) = engine.resume().await {
            tracing::warn!(%error, "open runs can't be read; trying again");
        }
    }
}

async fn adopt(engine: &Engine, stop: &Stop) {
    let parts = &engine.0.parts;
    let (mut open, mut gained) = (parts.store.watch(&Key::of(["run-open"])), parts.leases.watch());
    while !stop.is_set() {
        if let Err(error) = engine.resume().await {
            tracing::warn!(%error, "open runs can't be read; trying again");
        }
        tokio::select! {
            () = stop.wait() => return,
            () = parts.clock.sleep(ADOPT.1) => {}
        }
        tokio::select! {
            () = stop.wait() => return,
            () = open.changed() => {}
            Ok(()) = gained.changed() => {}
            () = parts.clock.sleep(ADOPT.0) => {}
        }
    }
}

/// Carries out what other replicas were asked.
struct Orders(Engine);

impl Handler<Sent> for Orders {
    fn handle<'a>(&'a self, lease: &'a Lease, items: Vec<Queued<Sent>>) -> BoxFuture<'a, Result<(), store::Error>> {
        Box::pin(async move {
            for item in items {
                let decided = self.carry_out(&item).await?;
                // What changed something has taken its item away already.
                if self.0.0.parts.store.read(&item.key).await?.is_some() {
                    self.answer(lease, item, &decided).await?;
                }
            }
            Ok(())
        })
    }
}

impl Orders {
    async fn carry_out(&self, item: &Queued<Sent>) -> Result<Decided, store::Error> {
        let Sent { run, said, .. } = &item.record;
        let taken = Taken(item.clone());
        if let Some(decided) = self.0.say_here(*run, said, Some(&taken)).await {
            return Ok(decided);
        }
        // It may have ended meanwhile, or not have been taken up yet.
        match self.0.take_up(*run).await {
            Err(Error::Store(error)) => return Err(error),
            Err(error) => return Ok(Decided::Nothing(error.to_string())),
            Ok(_) => {}
        }
        if let Some(decided) = self.0.say_here(*run, said, Some(&taken)).await {
            return Ok(decided);
        }
        match super::journal::load(&self.0.0.parts.store, *run).await? {
            Some(status) if status.ended.is_some() => self.of_ended(status, said, &taken).await,
            Some(status) => match super::hold::order(&self.0, &status, said, Some(&taken)).await? {
                Some(decided) => Ok(decided),
                None => Err(store::Error::Unavailable(format!("{run} changes hands"))),
            },
            None => Ok(Decided::Nothing(Error::NoRun(*run).to_string())),
        }
    }

    /// What an order to a run that has ended comes to; it may open it again.
    async fn of_ended(&self, status: Status, said: &Said, taken: &Taken) -> Result<Decided, store::Error> {
        if self.0.0.parts.leases.of(shard_of(status.head.run)).is_none() {
            return Err(store::Error::Unavailable(format!("{} changes hands", status.head.run)));
        }
        match super::reopen::answer(&self.0, &status, said, Some(taken)).await {
            Ok(decided) => Ok(decided),
            Err(Error::Store(error)) => Err(error),
            Err(error) => Ok(Decided::Nothing(error.to_string())),
        }
    }

    async fn answer(&self, lease: &Lease, item: Queued<Sent>, decided: &Decided) -> Result<(), store::Error> {
        let parts = &self.0.0.parts;
        let now = parts.clock.now();
        let of_shard = answers().child(&lease.shard.key());
        let mut batch = Batch::new();
        lease.guard(&mut batch);
        Taken(item).settle(&self.0.0, &mut batch, decided)?;
        for entry in parts.store.scan(&Range::under(&of_shard, 100)).await? {
            if entry.decode::<Answered>().is_ok_and(|answered| answered.at + UNCLAIMED < now) {
                batch.delete(entry.key);
            }
        }
        parts.store.commit(batch).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that does not know a word would bury the order.
    #[test]
    fn a_mayday_before_leaves_an_order_that_it_does_not_know_to_a_later_one() {
        let version = |said: Said| {
            let sent = Sent { run: RunId::new(2), said, answer: "a".to_owned() };
            let written: serde_json::Value = serde_json::from_slice(&store::record::encode(&sent).unwrap()).unwrap();
            written["v"].as_u64()
        };
        assert_eq!(version(Said::ParentEnds { parent: RunId::new(1) }), Some(1));
        assert_eq!(version(Said::ParentUndoes { parent: RunId::new(1) }), Some(2));
        let before = br#"{"v":1,"d":{"run":"RUN-2","said":{"said":"parent_ends","parent":"RUN-1"},"answer":"a"}}"#;
        let key = Key::of(["order"]);
        assert!(store::record::decode::<Sent>(&key, before).is_ok());
    }
}

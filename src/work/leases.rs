//! Who may change what belongs to a shard: a lease record per shard, with a token that grows at every take-over.
//!
//! Two ways. The embedded store has one process, which takes all shards over when it starts ([`Leases::take_all`]). Several
//! processes on one store share the shards ([`Leases::share`]):
//!
//! * Each says twice a second that it lives: one record, `replica/<id>`, with the time until which it counts as alive, by the
//!   store's clock. A lease holds as long as its holder lives; so all leases of a process are prolonged by one commit.
//! * Each looks what is free (given back, or of a holder that no longer lives) and takes its fair share. The commit requires
//!   the lease and the old holder's record to be as they were read: a holder that comes to life meanwhile keeps its shards.
//! * Who holds more than its share gives shards back: nothing new is begun there, what is under way ends (bounded).
//! * Nobody trusts a lease longer than its own clock says it can hold, counted from before the store was asked. And whoever
//!   is late all the same (frozen, woken) fails at its next commit, since the lease record has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Lease, SHARDS, Shard};
use crate::core::stop::{Stop, Stopper};
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Entry, Key, Range, Record, Revision, SharedStore};

/// A replica counts as alive so long after it said so.
const ALIVE: Duration = Duration::from_millis(2_500);
/// What its own estimate leaves of that.
const MARGIN: Duration = Duration::from_millis(300);
/// How often it says so, and looks for shards.
const EVERY: Duration = Duration::from_millis(500);
/// What runs in a shard that is given back may go on for so long.
const GRACE: Duration = Duration::from_secs(8);
/// Records of replicas that died are removed after this.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Tries in one round to take shards that others want as well.
const CLAIMS: usize = 4;
/// At most so many replicas.
const REPLICAS: usize = 1_000;

/// The stored lease of one shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    /// Empty: given back.
    replica: String,
    token: u64,
    since: Timestamp,
}

impl Record for Holder {}

/// That a replica lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Alive {
    /// By the store's clock.
    until: Timestamp,
    /// The machine it runs on, as it calls itself; none in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
}

impl Record for Alive {}

/// The leases this process holds.
pub struct Leases {
    store: SharedStore,
    clock: SharedClock,
    replica: String,
    /// The machine this process stands for.
    machine: Option<String>,
    /// Whether other processes may hold shards.
    shares: bool,
    /// A plain lock: held for look-ups only.
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<Shard, Held>,
    /// Shards that are being given back, since when.
    leaving: Vec<(Lease, Duration)>,
    /// Nothing is held after this by the steady clock; none: for ever.
    until: Option<Duration>,
    /// When the last round was.
    round: Option<Duration>,
    /// As of that round: who lives, on which machine, and who holds what.
    living: BTreeMap<String, Option<String>>,
    holders: BTreeMap<Shard, String>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    /// Dropping it tells whoever works under the lease.
    _stopper: Stopper,
}

impl Held {
    fn new(shard: Shard, token: u64, revision: Revision) -> Self {
        let (stopper, leaving) = Stopper::new();
        let lease = Lease { shard, token, key: key_of(shard), revision, leaving, users: Arc::new(()) };
        Self { lease, _stopper: stopper }
    }
}

fn key_of(shard: Shard) -> Key {
    Key::of(["lease", &shard.key()])
}

fn replica_key(replica: &str) -> Key {
    Key::of(["replica", replica])
}

/// How taking shards went.
enum Claimed {
    Nothing,
    Some,
    Overtaken,
}

/// What the store says of everybody.
struct Picture {
    leases: BTreeMap<Shard, (Holder, Revision)>,
    /// Each replica's record: until when it lives, and at which revision that was said.
    replicas: BTreeMap<String, (Timestamp, Revision)>,
    /// The machine of each replica that says one.
    machines: BTreeMap<String, String>,
    now: Timestamp,
}

impl Picture {
    fn lives(&self, replica: &str) -> bool {
        self.replicas.get(replica).is_some_and(|(until, _)| *until > self.now)
    }

    fn living(&self) -> BTreeMap<String, Option<String>> {
        let living = self.replicas.keys().filter(|replica| self.lives(replica));
        living.map(|replica| (replica.clone(), self.machines.get(replica).cloned())).collect()
    }

    fn fair_share(&self) -> usize {
        let alive = self.replicas.keys().filter(|replica| self.lives(replica)).count().max(1);
        usize::from(SHARDS).div_ceil(alive)
    }
}

impl Leases {
    fn new(store: &SharedStore, clock: &SharedClock, replica: &str, shares: bool) -> Self {
        Self {
            store: store.clone(),
            clock: clock.clone(),
            replica: replica.to_owned(),
            machine: None,
            shares,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Takes every shard over, in one commit.
    ///
    /// # Errors
    /// The store's; a conflict when another process takes them at the same time.
    pub async fn take_all(store: &SharedStore, clock: &SharedClock, replica: &str) -> Result<Arc<Self>, store::Error> {
        let leases = Self::new(store, clock, replica, false);
        let found = leases.stored().await?;
        leases.take(&found, Shard::all().collect(), clock.now(), &BTreeMap::new()).await?;
        Ok(Arc::new(leases))
    }

    /// Takes a fair share, and keeps to it as long as [`Leases::keep`] runs. Each start has an id of its own.
    ///
    /// # Errors
    /// The store's.
    pub async fn share(store: &SharedStore, clock: &SharedClock) -> Result<Arc<Self>, store::Error> {
        Self::share_as(store, clock, None).await
    }

    /// The same, standing for a machine: the others are told its name.
    ///
    /// # Errors
    /// The store's.
    pub async fn share_as(
        store: &SharedStore,
        clock: &SharedClock,
        machine: Option<String>,
    ) -> Result<Arc<Self>, store::Error> {
        let replica = uuid::Uuid::now_v7().simple().to_string();
        let leases = Self { machine, ..Self::new(store, clock, &replica, true) };
        leases.round().await?;
        Ok(Arc::new(leases))
    }

    /// What this process is called; later ones sort after it.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// The replicas that live, and the machine that each says it stands for. None while this process can't tell: it was
    /// frozen, or the store does not answer.
    #[must_use]
    pub fn living(&self) -> Option<BTreeMap<String, Option<String>>> {
        let state = self.state();
        state.until.is_none_or(|until| self.clock.steady() < until).then(|| state.living.clone())
    }

    /// Who held a shard when this process looked last; it may be dead.
    #[must_use]
    pub fn holder(&self, shard: Shard) -> Option<String> {
        self.state().holders.get(&shard).filter(|holder| !holder.is_empty()).cloned()
    }

    /// The lease of a shard, if this process holds it now.
    #[must_use]
    pub fn of(&self, shard: Shard) -> Option<Lease> {
        let state = self.state();
        let holds = state.until.is_none_or(|until| self.clock.steady() < until);
        state.held.get(&Shard(shard.0 % SHARDS)).filter(|_| holds).map(|held| held.lease.clone())
    }

    /// Whether other processes may hold shards.
    #[must_use]
    pub const fn shares(&self) -> bool {
        self.shares
    }

    /// Wakes when shards were gained or lost, and when replicas came or went.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that this process lives, takes its share and gives back what is more, until asked to stop; then gives all
    /// back. Returns at once where one process holds all.
    pub async fn keep(self: Arc<Self>, stop: Stop) {
        if !self.shares {
            return;
        }
        while !stop.is_set() {
            tokio::select! {
                () = stop.wait() => break,
                () = self.clock.sleep(EVERY) => {}
            }
            if let Err(error) = self.round().await {
                metrics::counter!("mayday_work_lease_failures_total").increment(1);
                tracing::warn!(%error, "the leases could not be looked after");
            }
        }
        if let Err(error) = self.leave().await {
            tracing::warn!(%error, "the shards are free for others a few seconds later only");
        }
    }

    /// One round of [`Leases::keep`].
    ///
    /// # Errors
    /// The store's.
    pub async fn round(&self) -> Result<(), store::Error> {
        // Before the store is asked: what is counted from here ends earlier than by the store's clock.
        let asked = self.clock.steady();
        let now = self.store_now().await?;
        let mut batch = Batch::new();
        batch.put(replica_key(&self.replica), &Alive { until: now + ALIVE, machine: self.machine.clone() })?;
        self.store.commit(batch).await?;
        let mut picture = self.picture(now).await?;
        // What others took meanwhile is dropped before anything of it is trusted again.
        let until = asked + ALIVE - MARGIN;
        let mut gained = self.reconcile(&picture, until);
        self.give_back(&picture).await?;
        // Who was away (frozen, or without a store) can't tell yet whether the others only were so as well.
        let away = self.state().round.replace(asked).is_some_and(|last| asked.saturating_sub(last) > ALIVE);
        for _ in 0..if away { 0 } else { CLAIMS } {
            match self.claim(&picture).await? {
                Claimed::Nothing => break,
                Claimed::Some => {
                    gained = true;
                    break;
                }
                Claimed::Overtaken => {
                    picture = self.picture(now).await?;
                    gained |= self.reconcile(&picture, until);
                }
            }
        }
        if gained {
            self.changed.send_modify(|count| *count += 1);
        }
        self.forget_the_dead(&picture).await
    }

    async fn store_now(&self) -> Result<Timestamp, store::Error> {
        Ok(self.store.now().await?.unwrap_or_else(|| self.clock.now()))
    }

    async fn stored(&self) -> Result<BTreeMap<Shard, (Holder, Revision)>, store::Error> {
        let entries = self.store.scan(&Range::under(&Key::of(["lease"]), usize::from(SHARDS))).await?;
        let read = |entry: &Entry| {
            let shard = u16::from_str_radix(entry.key.last(), 16).map(Shard).ok()?;
            Some(entry.decode::<Holder>().map(|holder| (shard, (holder, entry.revision))))
        };
        entries.iter().filter_map(read).collect()
    }

    async fn picture(&self, now: Timestamp) -> Result<Picture, store::Error> {
        let (mut replicas, mut machines) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.store.scan(&Range::under(&Key::of(["replica"]), REPLICAS)).await? {
            let (replica, alive) = (entry.key.last().to_owned(), entry.decode::<Alive>()?);
            machines.extend(alive.machine.map(|machine| (replica.clone(), machine)));
            replicas.insert(replica, (alive.until, entry.revision));
        }
        Ok(Picture { leases: self.stored().await?, replicas, machines, now })
    }

    /// Drops what is held no more, takes in what a commit wrote whose answer was lost, and trusts the rest until then.
    fn reconcile(&self, picture: &Picture, until: Duration) -> bool {
        let mut state = self.state();
        let own = |shard: Shard, revision: Revision| {
            picture.leases.get(&shard).is_some_and(|(holder, at)| holder.replica == self.replica && *at == revision)
        };
        let before = state.held.len();
        state.held.retain(|shard, held| own(*shard, held.lease.revision));
        if state.held.len() < before {
            tracing::warn!(shards = before - state.held.len(), "other replicas have taken shards over");
        }
        state.leaving.retain(|(lease, _)| own(lease.shard, lease.revision));
        let living = picture.living();
        let mut gained = state.living != living;
        state.living = living;
        state.holders = picture.leases.iter().map(|(shard, (holder, _))| (*shard, holder.replica.clone())).collect();
        for (shard, (holder, revision)) in &picture.leases {
            let leaving = state.leaving.iter().any(|(lease, _)| lease.shard == *shard);
            if holder.replica == self.replica && !leaving && !state.held.contains_key(shard) {
                state.held.insert(*shard, Held::new(*shard, holder.token, *revision));
                gained = true;
            }
        }
        state.until = Some(until);
        self.measure(&state);
        gained
    }

    /// Begins to give back what is more than a fair share, and gives back where nobody is at work any more.
    async fn give_back(&self, picture: &Picture) -> Result<(), store::Error> {
        let (steady, share) = (self.clock.steady(), picture.fair_share());
        let free: Vec<Lease> = {
            let mut state = self.state();
            while state.held.len() > share {
                // The highest first, so that two replicas that come and go move the same ones.
                let Some((_, held)) = state.held.pop_last() else { break };
                state.leaving.push((held.lease, steady));
            }
            self.measure(&state);
            let idle = |(lease, since): &&(Lease, Duration)| {
                Arc::strong_count(&lease.users) == 1 || steady.saturating_sub(*since) > GRACE
            };
            state.leaving.iter().filter(idle).map(|(lease, _)| lease.clone()).collect()
        };
        if free.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for lease in &free {
            lease.guard(&mut batch);
            batch.put(lease.key.clone(), &Holder { replica: String::new(), token: lease.token, since: picture.now })?;
        }
        match self.store.commit(batch).await {
            // A conflict: one was taken over; the next round sees which.
            Ok(_) | Err(store::Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        self.state().leaving.retain(|(lease, _)| !free.iter().any(|free| free.shard == lease.shard));
        Ok(())
    }

    /// Takes free shards up to a fair share.
    async fn claim(&self, picture: &Picture) -> Result<Claimed, store::Error> {
        let mine: BTreeSet<Shard> = {
            let state = self.state();
            state.held.keys().copied().chain(state.leaving.iter().map(|(lease, _)| lease.shard)).collect()
        };
        let wanted = picture.fair_share().saturating_sub(mine.len());
        let free = |shard: &Shard| match picture.leases.get(shard) {
            None => true,
            Some((holder, _)) => holder.replica.is_empty() || !picture.lives(&holder.replica),
        };
        let mut shards: Vec<Shard> = Shard::all().filter(|shard| !mine.contains(shard) && free(shard)).collect();
        if shards.is_empty() || wanted == 0 {
            return Ok(Claimed::Nothing);
        }
        // Each begins elsewhere, so that those who look at the same moment seldom want the same.
        let start = Shard::of(&self.replica).0;
        shards.sort_by_key(|shard| (shard.0 + SHARDS - start) % SHARDS);
        shards.truncate(wanted);
        let count = shards.len();
        match self.take(&picture.leases, shards, picture.now, &picture.replicas).await {
            Ok(()) => {
                tracing::info!(shards = count, "shards taken");
                Ok(Claimed::Some)
            }
            // Someone else was faster, or a holder came to life.
            Err(store::Error::Conflict(_)) => Ok(Claimed::Overtaken),
            Err(error) => Err(error),
        }
    }

    /// Takes shards, one commit for all: each lease and its holder's record must be as they were read.
    async fn take(
        &self,
        found: &BTreeMap<Shard, (Holder, Revision)>,
        shards: Vec<Shard>,
        now: Timestamp,
        replicas: &BTreeMap<String, (Timestamp, Revision)>,
    ) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        let mut holders = BTreeSet::new();
        let mut taken = Vec::new();
        for shard in shards {
            let before = found.get(&shard);
            let token = before.map_or(1, |(holder, _)| holder.token + 1);
            batch.require_as_read(key_of(shard), before.map(|(_, revision)| *revision));
            batch.put(key_of(shard), &Holder { replica: self.replica.clone(), token, since: now })?;
            holders.extend(before.map(|(holder, _)| holder.replica.clone()).filter(|replica| !replica.is_empty()));
            taken.push((shard, token));
        }
        if self.shares {
            for holder in &holders {
                batch.require_as_read(replica_key(holder), replicas.get(holder).map(|(_, revision)| *revision));
            }
        }
        let revision = self.store.commit(batch).await?;
        let mut state = self.state();
        for (shard, token) in taken {
            state.held.insert(shard, Held::new(shard, token, revision));
        }
        self.measure(&state);
        Ok(())
    }

    /// Gives everything back, when this process ends in order or can't begin.
    ///
    /// # Errors
    /// The store's; then the leases run out by themselves.
    pub async fn leave(&self) -> Result<(), store::Error> {
        let leases: Vec<Lease> = {
            let mut state = self.state();
            let held = std::mem::take(&mut state.held);
            let leaving = std::mem::take(&mut state.leaving);
            held.into_values().map(|held| held.lease).chain(leaving.into_iter().map(|(lease, _)| lease)).collect()
        };
        let now = self.store_now().await?;
        let mut batch = Batch::new();
        for lease in &leases {
            lease.guard(&mut batch);
            batch.put(lease.key.clone(), &Holder { replica: String::new(), token: lease.token, since: now })?;
        }
        batch.delete(replica_key(&self.replica));
        self.store.commit(batch).await.map(|_| ())
    }

    /// Removes the records of replicas that died long ago.
    async fn forget_the_dead(&self, picture: &Picture) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        for (replica, (until, revision)) in &picture.replicas {
            if *until + FORGOTTEN < picture.now {
                batch.require_unchanged(replica_key(replica), *revision);
                batch.delete(replica_key(replica));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        match self.store.commit(batch).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn measure(&self, state: &State) {
        metrics::gauge!("mayday_work_shards_held").set(state.held.len() as f64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

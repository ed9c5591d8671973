//! What is in memory: which series there are, their last minutes, and the running minute's roll-up.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::query::Matcher;
use super::{MINUTE_MS, Rollup, SeriesKey, floor_minute};

/// At most so many samples of a series in memory, however dense they come: sixteen bytes each.
const MAX_RECENT: usize = 1_200;

/// All series by id.
#[derive(Debug)]
pub(super) struct Head {
    max_series: usize,
    recent_ms: i64,
    ids: HashMap<Arc<SeriesKey>, u32>,
    slots: BTreeMap<u32, Slot>,
    next_id: u32,
}

#[derive(Debug)]
struct Slot {
    key: Arc<SeriesKey>,
    last_at: i64,
    recent: VecDeque<(i64, f64)>,
    /// Since when `recent` has every sample.
    whole_since: i64,
    /// Minutes not yet written; more than one only when the clock jumps.
    minutes: BTreeMap<i64, Rollup>,
}

/// What became of a sample.
pub(super) enum Taken {
    /// Kept, under this id.
    Kept(u32),
    /// Not newer than the last one.
    OutOfOrder,
    /// No room for another series.
    TooMany,
}

impl Head {
    /// An empty one.
    pub fn new(max_series: usize, recent_ms: i64) -> Self {
        Self { max_series, recent_ms, ids: HashMap::new(), slots: BTreeMap::new(), next_id: 0 }
    }

    /// Takes a series in that a file has, last seen no later than `last_at`.
    pub fn know(&mut self, (key, last_at): (Arc<SeriesKey>, i64)) {
        if let Some(id) = self.ids.get(&key) {
            if let Some(slot) = self.slots.get_mut(id) {
                slot.whole_since = slot.whole_since.max(last_at + 1);
            }
        } else if self.ids.len() < self.max_series {
            // Its last sample's exact time is not known yet: `restore` tells it, if it is recent.
            self.add(key, i64::MIN, last_at + 1);
        }
    }

    /// Takes a sample in that a file has.
    pub fn restore(&mut self, key: &Arc<SeriesKey>, at: i64, value: f64, rolled_to: i64) {
        let id = match self.ids.get(key) {
            Some(id) => *id,
            None if self.ids.len() < self.max_series => self.add(key.clone(), i64::MIN, at),
            None => return,
        };
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.whole_since = if slot.recent.is_empty() { at } else { slot.whole_since };
            slot.push(at, value, self.recent_ms, at >= rolled_to);
        }
    }

    /// Takes a new sample in.
    pub fn take(&mut self, key: &SeriesKey, at: i64, value: f64) -> Taken {
        let id = match self.ids.get(key) {
            Some(id) => *id,
            None if self.ids.len() < self.max_series => self.add(Arc::new(key.clone()), i64::MIN, i64::MIN),
            None => return Taken::TooMany,
        };
        match self.slots.get_mut(&id) {
            Some(slot) if at > slot.last_at => {
                slot.push(at, value, self.recent_ms, true);
                Taken::Kept(id)
            }
            _ => Taken::OutOfOrder,
        }
    }

    fn add(&mut self, key: Arc<SeriesKey>, last_at: i64, whole_since: i64) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.ids.insert(key.clone(), id);
        let slot = Slot { key, last_at, recent: VecDeque::new(), whole_since, minutes: BTreeMap::new() };
        self.slots.insert(id, slot);
        id
    }

    /// An id's key.
    pub fn key(&self, id: u32) -> Option<Arc<SeriesKey>> {
        self.slots.get(&id).map(|slot| slot.key.clone())
    }

    /// How many series.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The metrics' names.
    pub fn names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.ids.keys().map(|key| key.name.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The series that match, in order of their keys.
    pub fn matching(&self, matchers: &[Matcher]) -> Vec<Arc<SeriesKey>> {
        let mut keys: Vec<_> = self.ids.keys().filter(|key| super::query::matches(matchers, key)).cloned().collect();
        keys.sort();
        keys
    }

    /// A series' samples from a time on, if memory has all of them.
    pub fn recent(&self, key: &SeriesKey, from: i64) -> Option<impl Iterator<Item = (i64, f64)> + '_> {
        let slot = self.slots.get(self.ids.get(key)?)?;
        (slot.whole_since <= from).then(|| {
            let start = slot.recent.partition_point(|(at, _)| *at < from);
            slot.recent.range(start..).copied()
        })
    }

    /// Takes the roll-ups of all minutes before `minute` out, by minute.
    pub fn close_minutes(&mut self, minute: i64) -> BTreeMap<i64, Vec<(u32, Rollup)>> {
        let mut closed: BTreeMap<i64, Vec<(u32, Rollup)>> = BTreeMap::new();
        for (id, slot) in &mut self.slots {
            while let Some(entry) = slot.minutes.first_entry().filter(|entry| *entry.key() < minute) {
                let (at, rollup) = entry.remove_entry();
                closed.entry(at).or_default().push((*id, rollup));
            }
        }
        closed
    }

    /// Lets series go that have had no sample since `before`.
    pub fn forget_before(&mut self, before: i64) {
        self.slots.retain(|_, slot| {
            let last = slot.last_at.max(slot.whole_since);
            let keep = last >= before || !slot.minutes.is_empty();
            if !keep {
                self.ids.remove(&slot.key);
            }
            keep
        });
    }
}

impl Slot {
    fn push(&mut self, at: i64, value: f64, recent_ms: i64, roll: bool) {
        self.last_at = self.last_at.max(at);
        self.recent.push_back((at, value));
        while self.recent.len() > MAX_RECENT
            || self.recent.front().is_some_and(|(first, _)| *first < at.saturating_sub(recent_ms))
        {
            if let Some((first, _)) = self.recent.pop_front() {
                self.whole_since = first + 1;
            }
        }
        if roll {
            let rollup = Rollup::of(value);
            self.minutes.entry(floor_minute(at)).and_modify(|minute| minute.add(&rollup)).or_insert(rollup);
        }
        debug_assert!(self.minutes.len() <= (recent_ms / MINUTE_MS).max(64) as usize * 64, "minutes are closed");
    }
}

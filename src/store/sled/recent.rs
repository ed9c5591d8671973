//! What was written since sled was last brought up to date: held in memory, and in the write-ahead log.
//!
//! Two layers: commits go into the newer; the older, if there is one, is on its way into sled and does not change. A
//! reader looks into the newer, the older and sled, in that order, and holds the lock while it does: one read, or one
//! step of a scan, sees all of a commit or nothing of it, and nothing of what sled is being given meanwhile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use super::super::key::Order;
use super::super::{Key, Range, Revision};

/// What stands at a key; none where it was deleted.
pub(super) type Value = Option<(Revision, Vec<u8>)>;

/// About what the map itself takes for each key.
const OVERHEAD: usize = 96;

/// The writes of some time, by key.
#[derive(Default)]
pub(super) struct Layer {
    pub entries: BTreeMap<Key, Value>,
    /// About what it takes in memory.
    pub bytes: usize,
}

/// Both layers.
#[derive(Default)]
pub(super) struct Recent {
    pub newer: Layer,
    pub older: Option<Arc<Layer>>,
}

impl Layer {
    /// Bytes of the value that stands at a key here.
    pub fn value_bytes(&self, key: &Key) -> usize {
        self.entries.get(key).and_then(Option::as_ref).map_or(0, |(_, value)| value.len())
    }
}

fn size(key: &Key, value: &Value) -> usize {
    OVERHEAD + key.as_str().len() + value.as_ref().map_or(0, |(_, bytes)| bytes.len())
}

impl Recent {
    /// What is known here of a key; none if sled has to be asked.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.newer.entries.get(key).or_else(|| self.older.as_ref()?.entries.get(key))
    }

    /// Sets what stands at a key. A deletion is not kept if nothing stands below it (`below`), so that what is made
    /// and done away with in one breath, as the items of a queue are, leaves no trace.
    pub fn set(&mut self, key: Key, value: Value, below: impl FnOnce(&Key) -> bool) {
        let older = self.older.as_ref().and_then(|older| older.entries.get(&key));
        let forget = value.is_none() && !older.map_or_else(|| below(&key), Option::is_some);
        // A deletion in the older layer may be over something in sled, but it is on its way there by itself.
        let layer = &mut self.newer;
        let added = size(&key, &value);
        match layer.entries.entry(key) {
            Place::Vacant(_) if forget => {}
            Place::Vacant(place) => {
                layer.bytes += added;
                place.insert(value);
            }
            Place::Occupied(mut place) => {
                layer.bytes -= size(place.key(), place.get());
                if forget {
                    place.remove();
                } else {
                    layer.bytes += added;
                    place.insert(value);
                }
            }
        }
    }

    /// The keys of a range that are known here, deleted ones as well, in the range's order.
    pub fn range(&self, range: &Range) -> Box<dyn Iterator<Item = (&Key, &Value)> + '_> {
        let bounds = (Bound::Included(&range.from), Bound::Excluded(&range.to));
        let newer = self.newer.entries.range(bounds);
        let older = self.older.as_ref().map(|older| older.entries.range(bounds)).into_iter().flatten();
        match range.order {
            Order::Forward => Box::new(Merged::new(newer, older, range.order)),
            Order::Backward => Box::new(Merged::new(
                newer.rev(),
                self.older.as_ref().map(|older| older.entries.range(bounds).rev()).into_iter().flatten(),
                range.order,
            )),
        }
    }
}

/// Two rows of keys in the same order as one; of a key that both have, the first row's.
struct Merged<A: Iterator, B: Iterator> {
    first: Peekable<A>,
    second: Peekable<B>,
    order: Order,
}

impl<A: Iterator, B: Iterator> Merged<A, B> {
    fn new(first: A, second: B, order: Order) -> Self {
        Self { first: first.peekable(), second: second.peekable(), order }
    }
}

impl<'a, A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = (&'a Key, &'a Value)>,
    B: Iterator<Item = (&'a Key, &'a Value)>,
{
    type Item = (&'a Key, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.first.peek(), self.second.peek()) {
            (Some((first, _)), Some((second, _))) => {
                if first == second {
                    self.second.next();
                    self.first.next()
                } else if comes_first(first.as_str().as_bytes(), second.as_str().as_bytes(), self.order) {
                    self.first.next()
                } else {
                    self.second.next()
                }
            }
            (Some(_), None) => self.first.next(),
            (None, _) => self.second.next(),
        }
    }
}

/// Whether a key comes before another one in an order.
pub(super) fn comes_first(one: &[u8], other: &[u8], order: Order) -> bool {
    match order {
        Order::Forward => one < other,
        Order::Backward => one > other,
    }
}

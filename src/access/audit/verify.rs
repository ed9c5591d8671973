//! Reads all chains and says where the first thing is wrong.
//!
//! It detects: an edited link or payload, a missing or repeated place, another order, a missing payload (unless a later
//! record says that it was erased), a head that is not the last link's. It can't detect that the end of a chain was cut off
//! *and* its head set back to match: nothing inside the store knows how long it was. For that, hand in checkpoints that
//! were kept elsewhere (`checkpoint.rs` signs them). Whoever can write the store can write a whole new history up to the
//! oldest checkpoint that was kept where they can't.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::erase::{ACTION as ERASE, Erased, name};
use super::{Head, Link, Payload, START, digest, payload_key};
use crate::store::{self, Key, Range, SharedStore};

const PAGE: usize = 500;

/// Where a chain ended at some moment, kept outside the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which chain.
    pub chain: String,
    /// Its last place then.
    pub seq: u64,
    /// The hash there.
    pub hash: String,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// The first thing that is wrong; none: all is as it was written.
    pub first_bad: Option<Bad>,
    /// Where each chain ends: keep this elsewhere as checkpoints.
    pub heads: Vec<Checkpoint>,
}

/// Something wrong in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which chain.
    pub chain: String,
    /// At which place.
    pub seq: u64,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "audit chain {} at {}: {}", self.chain, self.seq, self.what)
    }
}

/// Reads every link and payload, in pages.
///
/// # Errors
/// The store's; a record that can't be read is reported as bad, not as an error.
pub async fn verify(store: &SharedStore, checkpoints: &[Checkpoint]) -> Result<Report, store::Error> {
    let mut walk = Walk {
        ends: BTreeMap::new(),
        records: 0,
        first_bad: None,
        checkpoints,
        markers: BTreeSet::new(),
        erasures: BTreeSet::new(),
    };
    let mut range = Range::under(&Key::of(["audit"]), PAGE);
    loop {
        let page = store.scan(&range).await?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
        // Payloads sort like their links, so one range has them all.
        let payloads = Range {
            from: Key::stored(first.key.as_str().replacen("audit/", "audit-payload/", 1)),
            to: Key::stored(format!("{}\u{0}", last.key.as_str().replacen("audit/", "audit-payload/", 1))),
            ..Range::under(&Key::of(["audit-payload"]), PAGE * 2)
        };
        let payloads: BTreeMap<Key, store::Entry> =
            store.scan(&payloads).await?.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        for entry in &page {
            walk.link(entry, &payloads);
        }
        if page.len() < PAGE {
            break;
        }
        range = range.past(&last.key);
    }
    let heads = store.scan(&Range::under(&Key::of(["audit-head"]), usize::from(u16::MAX))).await?;
    walk.heads(&heads);
    walk.erased();
    let heads =
        walk.ends.iter().map(|(chain, (seq, hash))| Checkpoint { chain: chain.clone(), seq: *seq, hash: hash.clone() });
    Ok(Report { records: walk.records, heads: heads.collect(), first_bad: walk.first_bad })
}

struct Walk<'a> {
    /// Last place and hash of each chain so far.
    ends: BTreeMap<String, (u64, String)>,
    records: u64,
    first_bad: Option<Bad>,
    checkpoints: &'a [Checkpoint],
    /// Records whose payload is a marker.
    markers: BTreeSet<(String, u64)>,
    /// Names of the records that a record says were erased.
    erasures: BTreeSet<String>,
}

impl Walk<'_> {
    fn bad(&mut self, chain: &str, seq: u64, what: impl Into<String>) {
        if self.first_bad.is_none() {
            self.first_bad = Some(Bad { chain: chain.to_owned(), seq, what: what.into() });
        }
    }

    fn link(&mut self, entry: &store::Entry, payloads: &BTreeMap<Key, store::Entry>) {
        self.records += 1;
        let chain = entry.key.as_str().split('/').nth(1).unwrap_or_default().to_owned();
        let (before, prev) = self.ends.get(&chain).cloned().unwrap_or((0, START.to_owned()));
        let wanted = before + 1;
        let link: Link = match entry.decode() {
            Ok(link) => link,
            Err(error) => return self.bad(&chain, wanted, error.to_string()),
        };
        let place = entry.key.last().parse::<u64>().ok();
        if place != Some(link.seq) {
            self.bad(
                &chain,
                wanted,
                format!("the record says it is number {}, its key says {}", link.seq, entry.key.last()),
            );
        } else if link.seq != wanted {
            self.bad(&chain, wanted, format!("the record is missing; the next one is number {}", link.seq));
        } else if link.prev != prev {
            self.bad(&chain, wanted, "the record does not follow the one before it");
        } else if store::record::encode(&link).ok().as_ref() != Some(&entry.value) {
            // Also what decoding forgives, a blank or a version, is an edit.
            self.bad(&chain, wanted, "the record's bytes were changed after it was written");
        } else if link.hash != Link::hash_of(&chain, link.seq, link.at, &link.prev, &link.payload) {
            self.bad(&chain, wanted, "the record was changed after it was written");
        } else {
            match payloads.get(&payload_key(&chain, link.seq)) {
                None => self.bad(&chain, wanted, "what the record says was removed"),
                Some(entry) if entry.decode::<Erased>().is_ok() => {
                    self.markers.insert((chain.clone(), link.seq));
                }
                Some(entry) if digest::hex(&entry.value) != link.payload => {
                    self.bad(&chain, wanted, "what the record says was changed");
                }
                Some(entry) => {
                    let payload = entry.decode::<Payload>().ok().filter(|payload| payload.action == ERASE);
                    self.erasures.extend(payload.map(|payload| payload.subject));
                }
            }
        }
        for checkpoint in self.checkpoints {
            if checkpoint.chain == chain && checkpoint.seq == link.seq && checkpoint.hash != link.hash {
                self.bad(&chain, link.seq, "the record is not the one of the checkpoint");
            }
        }
        self.ends.insert(chain, (link.seq, link.hash));
    }

    /// Every marker needs a record of the erasure: a chain can't be emptied by writing markers.
    fn erased(&mut self) {
        for (chain, seq) in std::mem::take(&mut self.markers) {
            if !self.erasures.contains(&name(&chain, seq)) {
                self.bad(&chain, seq, "what the record says was removed, and no record says that it was erased");
            }
        }
    }

    fn heads(&mut self, heads: &[store::Entry]) {
        let mut known: BTreeMap<String, Head> = BTreeMap::new();
        for entry in heads {
            let chain = entry.key.last().to_owned();
            match entry.decode::<Head>() {
                Ok(head) => {
                    known.insert(chain, head);
                }
                Err(error) => self.bad(&chain, 0, error.to_string()),
            }
        }
        let ends = self.ends.clone();
        for (chain, (seq, hash)) in &ends {
            match known.remove(chain) {
                Some(head) if head.seq == *seq && head.hash == *hash => {}
                Some(head) => {
                    self.bad(
                        chain,
                        head.seq.min(*seq) + 1,
                        format!("the chain ends at {seq}, its head says {}", head.seq),
                    );
                }
                None => self.bad(chain, *seq, "the chain's head is missing"),
            }
        }
        for (chain, head) in known {
            self.bad(&chain, 1, format!("all {} records are missing", head.seq));
        }
        for checkpoint in self.checkpoints {
            if ends.get(&checkpoint.chain).is_none_or(|(seq, _)| *seq < checkpoint.seq) {
                self.bad(&checkpoint.chain, checkpoint.seq, "records up to the checkpoint are missing");
            }
        }
    }
}

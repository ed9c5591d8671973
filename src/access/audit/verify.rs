//! Reads all chains and says where the first thing is wrong.
//!
//! It detects: an edited link or payload, a missing or repeated place, another order, a missing payload (unless a later
//! record says that it was erased), a payload without a link, a head that is not the last link's, a chain that does not
//! fit a signed checkpoint in the store, and checkpoints that were edited, replaced or removed between others
//! (`checkpoint.rs` signs them). It can't detect that the end of a chain was cut off *and* its head set back *and* the
//! checkpoints since then removed: nothing inside the store knows how long it was. For that, hand in checkpoints that were
//! kept elsewhere. Whoever can write the store, and has the key that signs, can write a whole new history up to the oldest
//! checkpoint that was kept where they can't.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cut::{self, Accepted};
use super::erase::{ACTION as ERASE, Erased, name};
use super::{Head, Link, MAIN, Payload, START, checkpoint, digest, link_key, payload_key};
use crate::store::{self, Key, Range, SharedStore};

const PAGE: usize = 500;
/// So many payloads without a link are looked at again.
const ORPHANS: usize = 100;

/// Where a chain ended at some moment, kept outside the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Signed checkpoints in the store, which the chains were held against.
    #[serde(default)]
    pub checkpoints: u64,
    /// Who signed those: one key, or with several replicas that have no common one, several.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Cuts that a person accepted: what the store's checkpoints of before say of the records that are gone is not held
    /// against the chains. What a checkpoint says that was handed in is.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
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

/// Reads every link and payload, in pages, and holds them against the signed checkpoints in the store and those handed in.
///
/// # Errors
/// The store's; a record that can't be read is reported as bad, not as an error.
pub async fn verify(store: &SharedStore, checkpoints: &[Checkpoint]) -> Result<Report, store::Error> {
    let Examined { mut report, misfits, in_links, .. } = examine(store, checkpoints).await?;
    // A cut explains what else is missing.
    let misfit = misfits.into_iter().next().map(|misfit| misfit.bad);
    report.first_bad = in_links.or(misfit).or(report.first_bad);
    Ok(report)
}

/// What verifying found, with what does not fit the checkpoints apart from what is wrong in the chains themselves.
pub(super) struct Examined {
    /// Without the misfits.
    pub report: Report,
    /// The first thing that is wrong in the chains' own order.
    pub in_links: Option<Bad>,
    /// What no acceptance covers.
    pub misfits: Vec<Misfit>,
    /// The last place of each chain at which it fits a checkpoint.
    pub fits: BTreeMap<String, u64>,
    pub stored: checkpoint::Stored,
}

/// A chain is not what a checkpoint says.
pub(super) struct Misfit {
    /// The first and the last checkpoint in the store that say so; none: it was handed in.
    pub stated: Option<(u64, u64)>,
    /// Whether another record stands there; if not, none does.
    pub replaced: bool,
    pub bad: Bad,
}

/// Where a chain should be what it was: the hash, and as for [`Misfit`].
type Sworn = (String, Option<(u64, u64)>);

pub(super) async fn examine(store: &SharedStore, checkpoints: &[Checkpoint]) -> Result<Examined, store::Error> {
    // Before the chains, which may grow meanwhile.
    let mut stored = checkpoint::stored(store).await?;
    let mut signed: BTreeMap<(String, u64), BTreeSet<Sworn>> = BTreeMap::new();
    let kept = stored.heads.iter().map(|(head, stated)| (head, Some(*stated)));
    for (Checkpoint { chain, seq, hash }, stated) in kept.chain(checkpoints.iter().map(|head| (head, None))) {
        signed.entry((chain.clone(), *seq)).or_default().insert((hash.clone(), stated));
    }
    let mut walk = Walk { signed, ..Walk::default() };
    let mut range = Range::under(&Key::of(["audit"]), PAGE);
    // Payloads sort like their links, so one range has those of a page. The ranges leave no gap between them: what stands
    // there without a link shows.
    let mut payload_range = Range::under(&Key::of(["audit-payload"]), PAGE * 2);
    let (payloads_end, mut orphans) = (payload_range.to.clone(), Vec::new());
    loop {
        let page = store.scan(&range).await?;
        let last = page.last().filter(|_| page.len() == PAGE).map(|last| last.key.clone());
        payload_range.to = match &last {
            Some(last) => Key::stored(format!("{}\u{0}", last.as_str().replacen("audit/", "audit-payload/", 1))),
            None => payloads_end.clone(),
        };
        let payloads: BTreeMap<Key, store::Entry> =
            store.scan(&payload_range).await?.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        for entry in &page {
            walk.link(entry, &payloads);
        }
        let linked: BTreeSet<&str> =
            page.iter().filter_map(|entry| entry.key.as_str().strip_prefix("audit/")).collect();
        let place = |key: &Key| key.as_str().strip_prefix("audit-payload/").map(str::to_owned);
        let alone = payloads.keys().filter_map(place).filter(|place| !linked.contains(place.as_str()));
        orphans.extend(alone.take(ORPHANS.saturating_sub(orphans.len())));
        let Some(last) = last else { break };
        payload_range.from = payload_range.to.clone();
        range = range.past(&last);
    }
    let heads = store.scan(&Range::under(&Key::of(["audit-head"]), usize::from(u16::MAX))).await?;
    grown(store, &heads, &mut walk).await?;
    walk.heads(&heads);
    let in_links = walk.first_bad.clone();
    walk.erased();
    for place in orphans {
        // The chain may have grown between the two looks.
        if store.read(&Key::stored(format!("audit/{place}"))).await?.is_none() {
            let (chain, seq) = place.split_once('/').unwrap_or((&place, ""));
            walk.bad(chain, seq.parse().unwrap_or(0), "it says something, and there is no record of it in the chain");
        }
    }
    if let Some((number, wrong)) = stored.wrong.take() {
        walk.bad("signed checkpoints", number, wrong.to_string());
    }
    let heads =
        walk.ends.iter().map(|(chain, (seq, hash))| Checkpoint { chain: chain.clone(), seq: *seq, hash: hash.clone() });
    let mut misfits = std::mem::take(&mut walk.misfits);
    // One after the other: what one covers asks nothing of those after it.
    walk.accepted.sort_by_key(|accepted| accepted.said.checkpoint);
    for accepted in std::mem::take(&mut walk.accepted) {
        let upto = accepted.said.checkpoint;
        let (covered, left): (Vec<_>, Vec<_>) =
            misfits.into_iter().partition(|misfit| misfit.stated.is_some_and(|(_, last)| last < upto));
        misfits = left;
        if accepted.is_signed_by(&stored, first_stated(&covered, &stored)) {
            walk.accepted.push(accepted);
        } else {
            // What anyone could have written is no acceptance, and is not shown.
            misfits.extend(covered);
        }
    }
    let report = Report {
        records: walk.records,
        heads: heads.collect(),
        first_bad: walk.first_bad,
        checkpoints: stored.count,
        keys: stored.signers.values().collect::<BTreeSet<_>>().into_iter().cloned().collect(),
        accepted: walk.accepted,
    };
    Ok(Examined { report, in_links, misfits, fits: walk.fits, stored })
}

/// The first checkpoint that states one of these, as far as the store still tells: of what the oldest one states that is kept,
/// the first may be gone.
pub(super) fn first_stated(misfits: &[Misfit], stored: &checkpoint::Stored) -> Option<u64> {
    let pruned = stored.signers.keys().next().copied().filter(|oldest| *oldest > 1);
    let first = misfits.iter().filter_map(|misfit| misfit.stated).map(|(first, _)| first);
    first.filter(|first| Some(*first) != pruned).min()
}

/// Reads what was written since the walk came by, up to these heads: a bot goes on meanwhile. Only of what is whole so far.
async fn grown(store: &SharedStore, heads: &[store::Entry], walk: &mut Walk) -> Result<(), store::Error> {
    for entry in heads {
        let chain = entry.key.last();
        let Ok(head) = entry.decode::<Head>() else { continue };
        let (mut end, upto) = (walk.ends.get(chain).map_or(0, |(seq, _)| *seq), link_key(chain, head.seq));
        // By the keys: what the records say of themselves may be forged.
        while end < head.seq && walk.first_bad.is_none() {
            let links = Range::under(&Key::of(["audit", chain]), PAGE).past(&link_key(chain, end));
            let said = Range::under(&Key::of(["audit-payload", chain]), PAGE).past(&payload_key(chain, end));
            let page = store.scan(&links).await?;
            let payloads = store.scan(&said).await?.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
            for entry in page.iter().filter(|entry| entry.key <= upto) {
                walk.link(entry, &payloads);
            }
            let Some(last) = page.last().and_then(|last| last.key.last().parse::<u64>().ok()) else { break };
            end = last;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Walk {
    /// Last place and hash of each chain so far.
    ends: BTreeMap<String, (u64, String)>,
    records: u64,
    first_bad: Option<Bad>,
    /// The hashes that checkpoints have of a chain's place.
    signed: BTreeMap<(String, u64), BTreeSet<Sworn>>,
    misfits: Vec<Misfit>,
    fits: BTreeMap<String, u64>,
    /// Records in which a person accepted a cut.
    accepted: Vec<Accepted>,
    /// Records whose payload is a marker.
    markers: BTreeSet<(String, u64)>,
    /// Names of the records that a record says were erased.
    erasures: BTreeSet<String>,
}

impl Walk {
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
                Some(entry) => match entry.decode::<Payload>() {
                    Ok(payload) if payload.action == ERASE => drop(self.erasures.insert(payload.subject)),
                    Ok(payload) if payload.action == cut::ACTION && chain == MAIN => {
                        self.accepted.extend(Accepted::read(payload, &link));
                    }
                    Ok(_) | Err(_) => {}
                },
            }
        }
        for (hash, stated) in self.signed.remove(&(chain.clone(), link.seq)).into_iter().flatten() {
            if hash == link.hash {
                self.fits.insert(chain.clone(), link.seq);
            } else {
                let what = "the record is not the one of the checkpoint".to_owned();
                let bad = Bad { chain: chain.clone(), seq: link.seq, what };
                self.misfits.push(Misfit { stated, replaced: true, bad });
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
        for ((chain, seq), sworn) in std::mem::take(&mut self.signed) {
            if ends.get(&chain).is_none_or(|(end, _)| *end < seq) {
                let what = "records up to the checkpoint are missing".to_owned();
                let bad = Bad { chain, seq, what };
                self.misfits.extend(sworn.into_iter().map(|(_, stated)| Misfit {
                    stated,
                    replaced: false,
                    bad: bad.clone(),
                }));
            }
        }
    }
}

//! Signed checkpoints: now and then, where each chain ends, signed, so that a copy kept elsewhere shows later whether the
//! records up to there are still the same.
//!
//! They stand under `audit-checkpoint/<n>`, the newest [`KEPT`] of them, each with the digest of the one before. One is
//! made every [`Options::every`] if anything was written since. With several replicas, whoever comes first makes it.
//! None is made while a chain no longer fits the one before: a signature would make good what was cut.
//!
//! What they can't show: records that were written and cut off between two checkpoints, or after the last one that was
//! copied elsewhere; and anything at all to someone who holds the key and has replaced every copy. So copy them to a
//! place that this machine can't change, and note the public key there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Audit, Checkpoint, Head, MAIN, Payload, Signer, cut, digest, is_signed, payload_key};
use crate::core::duration::Span;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp};
use crate::store::{self, Batch, Key, Range, Record, SharedStore};

/// So many are kept in the store; at ten minutes each, a week.
pub const KEPT: u64 = 1_008;
/// So many are looked at before the next one is made, and by the auditor; at ten minutes each, an hour.
pub const RECENT: usize = 6;
/// Read at once.
const PAGE: usize = 50;

/// `access.checkpoints:` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How often the chains' ends are signed.
    pub every: Span,
    /// The signing key; `audit-key` in the data folder when missing. Made if it is not there. Give all replicas on one
    /// PostgreSQL the same file; then a checkpoint that another key signed is an alert.
    pub key_path: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: Span::from_secs(600), key_path: None }
    }
}

/// Where all chains ended at one moment, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Each chain's last place and the hash there.
    pub heads: Vec<Checkpoint>,
    /// Digest of the checkpoint before this one; empty for the first.
    pub previous: String,
    /// Who signed: `ed25519:…`.
    pub key: String,
    /// Of all the above.
    pub signature: String,
}
impl Record for Signed {}

impl Signed {
    fn text(&self) -> String {
        let (number, at) = (self.number.to_be_bytes(), self.at.as_nanosecond().to_be_bytes());
        let mut parts: Vec<Vec<u8>> = vec![b"mayday audit checkpoint 1".to_vec(), number.to_vec(), at.to_vec()];
        parts.push(self.previous.clone().into_bytes());
        for head in &self.heads {
            parts.extend([head.chain.clone().into_bytes(), head.seq.to_be_bytes().to_vec(), head.hash.clone().into()]);
        }
        digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Whether its own key signed it as it is.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        is_signed(&self.key, &self.text(), &self.signature)
    }

    /// Whether it is the next one after that one.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        self.number == before.number + 1 && self.previous == digest::hex(before.signature.as_bytes())
    }
}

/// What is wrong with a file of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A line is no checkpoint.
    #[error("line {0} is no checkpoint; hand in what `mayday audit export --checkpoints` printed")]
    NoCheckpoint(usize),
    /// The signature does not fit.
    #[error("line {line}: checkpoint {number} was changed after it was signed")]
    Changed {
        /// Where.
        line: usize,
        /// Which.
        number: u64,
    },
    /// It stands beside, or after, another one than the one it was signed after.
    #[error("line {line}: checkpoint {number} does not follow the one before it: one of them was replaced")]
    Replaced {
        /// Where.
        line: usize,
        /// Which.
        number: u64,
    },
    /// Signed with a key that is not one of those expected.
    #[error(
        "line {line}: checkpoint {number} was signed with {found}, not with {wanted}; if that is another replica's key, name it too: --key {found}"
    )]
    OtherKey {
        /// Where.
        line: usize,
        /// Which.
        number: u64,
        /// With which.
        found: String,
        /// With which it should be.
        wanted: String,
    },
    /// There is none.
    #[error("there is no checkpoint in it")]
    Empty,
}

/// The chains' ends out of a file with one checkpoint a line: of each chain and place once.
///
/// # Errors
/// [`Untrusted`]. Without `keys`, the first line's key is expected of all.
pub fn trusted(file: &str, keys: &[String]) -> Result<Vec<Checkpoint>, Untrusted> {
    let mut keys = keys.to_vec();
    let mut heads: BTreeMap<(String, u64), Checkpoint> = BTreeMap::new();
    let mut all: BTreeMap<u64, Signed> = BTreeMap::new();
    for (index, text) in file.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = index + 1;
        let signed: Signed = serde_json::from_str(text).map_err(|_| Untrusted::NoCheckpoint(line))?;
        if keys.is_empty() {
            keys.push(signed.key.clone());
        }
        let number = signed.number;
        if !keys.contains(&signed.key) {
            return Err(Untrusted::OtherKey { line, number, found: signed.key, wanted: keys.join(", ") });
        }
        if !signed.is_signed() {
            return Err(Untrusted::Changed { line, number });
        }
        // Several exports in one file repeat some, and may leave a gap where none was taken for a week.
        let before = number.checked_sub(1).and_then(|before| all.get(&before));
        let after = number.checked_add(1).and_then(|after| all.get(&after));
        let fits = before.is_none_or(|before| signed.follows(before))
            && after.is_none_or(|after| after.follows(&signed))
            && all.get(&number).is_none_or(|same| *same == signed);
        if !fits {
            return Err(Untrusted::Replaced { line, number });
        }
        heads.extend(signed.heads.iter().map(|head| ((head.chain.clone(), head.seq), head.clone())));
        all.insert(number, signed);
    }
    if heads.is_empty() { Err(Untrusted::Empty) } else { Ok(heads.into_values().collect()) }
}

fn key(number: u64) -> Key {
    Key::of(["audit-checkpoint", &format!("{number:012}")])
}

/// Signed checkpoints, oldest first, after the number `after`; at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(store: &SharedStore, after: u64, limit: usize) -> Result<Vec<Signed>, store::Error> {
    let range = Range::under(&Key::of(["audit-checkpoint"]), limit).past(&key(after));
    store.scan(&range).await?.iter().map(store::Entry::decode).collect()
}

/// The newest ones, newest first, at most [`RECENT`]: each with its number in the store, and none where it can't be read.
///
/// # Errors
/// The store's.
pub async fn recent(store: &SharedStore) -> Result<Vec<(u64, Option<Signed>)>, store::Error> {
    let range = Range::under(&Key::of(["audit-checkpoint"]), RECENT).backward();
    let read = |entry: &store::Entry| (entry.key.last().parse().unwrap_or(0), entry.decode().ok());
    Ok(store.scan(&range).await?.iter().map(read).collect())
}

/// What is wrong with a checkpoint in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It can't be read, or its signature does not fit.
    #[error("it was changed after it was signed")]
    Changed,
    /// The one before it is another one than it was signed after, or missing.
    #[error("it does not follow the one before it: one was replaced or removed")]
    Replaced,
    /// It was signed with a foreign key, after others of this Mayday's key.
    #[error(
        "it was signed with another key, after this Mayday's had begun to sign; if that key was yours for a while, begin with a new one: move the key file away"
    )]
    OtherKey,
}

/// The newest checkpoints, judged.
#[derive(Debug)]
pub struct Judged {
    /// What is wrong with which.
    pub wrong: Vec<(u64, Wrong)>,
    /// The newest one that can be trusted.
    pub trusted: Option<Signed>,
    /// The newest one.
    pub last: Option<Signed>,
}

/// Judges the newest checkpoints. `own` is the only key that signs, where one process owns the store or all replicas share
/// one.
///
/// # Errors
/// The store's.
pub async fn judged(store: &SharedStore, own: Option<&str>) -> Result<Judged, store::Error> {
    let recent = recent(store).await?;
    let foreign = match own {
        Some(own) => foreign(store, &recent, own).await?,
        None => BTreeSet::new(),
    };
    let (wrong, trusted) = judge(&recent, &foreign);
    let trusted = trusted.cloned();
    Ok(Judged { wrong, trusted, last: recent.into_iter().next().and_then(|(_, signed)| signed) })
}

/// Those that another key signed after the own one had begun. A key that begins finds those of the one before it, and with
/// that one a cut may still have to be accepted.
async fn foreign(
    store: &SharedStore,
    recent: &[(u64, Option<Signed>)],
    own: &str,
) -> Result<BTreeSet<u64>, store::Error> {
    let mut foreign = BTreeSet::new();
    let others: Vec<&Signed> =
        recent.iter().flat_map(|(_, signed)| signed).filter(|signed| signed.key != own).collect();
    if others.is_empty() {
        return Ok(foreign);
    }
    let Some((since, before)) = signs_since(store, own).await? else { return Ok(foreign) };
    for signed in others.into_iter().filter(|signed| signed.number > since) {
        if !(before.contains(&signed.key) && is_acceptance(store, signed).await?) {
            foreign.insert(signed.number);
        }
    }
    Ok(foreign)
}

/// Whether a checkpoint was signed with an acceptance of a cut.
async fn is_acceptance(store: &SharedStore, signed: &Signed) -> Result<bool, store::Error> {
    let Some(end) = signed.heads.iter().find(|head| head.chain == MAIN) else { return Ok(false) };
    let payload = store.read(&payload_key(MAIN, end.seq)).await?;
    Ok(payload.is_some_and(|payload| payload.decode::<Payload>().is_ok_and(|payload| payload.action == cut::ACTION)))
}

/// The oldest checkpoint in the store that a key signed, and the keys that had signed before it.
async fn signs_since(store: &SharedStore, key: &str) -> Result<Option<(u64, BTreeSet<String>)>, store::Error> {
    let (mut range, mut read, mut before) = (Range::under(&Key::of(["audit-checkpoint"]), PAGE), 0, BTreeSet::new());
    loop {
        let page = store.scan(&range).await?;
        let signed = |entry: &store::Entry| entry.decode::<Signed>().ok().filter(Signed::is_signed);
        for signed in page.iter().filter_map(signed) {
            if signed.key == key {
                return Ok(Some((signed.number, before)));
            }
            before.insert(signed.key);
        }
        read += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE && read < 2 * KEPT => range = range.past(&last.key),
            _ => return Ok(None),
        }
    }
}

fn judge<'a>(recent: &'a [(u64, Option<Signed>)], foreign: &BTreeSet<u64>) -> (Vec<(u64, Wrong)>, Option<&'a Signed>) {
    let (mut wrong, mut trusted) = (Vec::new(), None);
    for (at, (number, signed)) in recent.iter().enumerate() {
        let Some(signed) = signed.as_ref().filter(|signed| signed.number == *number && signed.is_signed()) else {
            wrong.push((*number, Wrong::Changed));
            continue;
        };
        if foreign.contains(number) {
            wrong.push((*number, Wrong::OtherKey));
        } else {
            trusted = trusted.or(Some(signed));
        }
        let before = recent.get(at + 1);
        let replaced = match before {
            Some((_, Some(before))) => !signed.follows(before),
            Some((before, None)) => before + 1 != *number,
            // The oldest in the store, unless older ones were not asked for.
            None => recent.len() < RECENT && *number > 1,
        };
        if replaced {
            wrong.push((*number, Wrong::Replaced));
        }
    }
    (wrong, trusted)
}

/// All checkpoints in the store, as [`super::verify()`] holds them against the chains.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// How many.
    pub count: u64,
    /// Each chain and place of those whose signature fits, the hash there, and the first and the last that says so.
    pub heads: BTreeMap<Checkpoint, (u64, u64)>,
    /// Who signed each of them.
    pub signers: BTreeMap<u64, String>,
    /// The first that is not as it was signed.
    pub wrong: Option<(u64, Wrong)>,
}

/// Reads all checkpoints in the store, page by page, not more than twice those that are kept.
pub(super) async fn stored(store: &SharedStore) -> Result<Stored, store::Error> {
    let mut found = Stored::default();
    let mut range = Range::under(&Key::of(["audit-checkpoint"]), PAGE);
    let (mut oldest, mut before): (Option<u64>, Option<Signed>) = (None, None);
    loop {
        let page = store.scan(&range).await?;
        for entry in &page {
            found.count += 1;
            let number: u64 = entry.key.last().parse().unwrap_or(0);
            let first = *oldest.get_or_insert(number);
            let signed = entry.decode::<Signed>().ok().filter(|signed| signed.number == number && signed.is_signed());
            let wrong = match (&signed, &before) {
                (None, _) => Some(Wrong::Changed),
                (Some(signed), Some(before)) if !signed.follows(before) => Some(Wrong::Replaced),
                // After one that can't be read, only the number tells.
                (Some(_), None) if number != first && found.wrong.is_none() => Some(Wrong::Replaced),
                _ => None,
            };
            found.wrong = found.wrong.or(wrong.map(|wrong| (number, wrong)));
            if let Some(signed) = &signed {
                found.signers.insert(number, signed.key.clone());
                for head in &signed.heads {
                    found.heads.entry(head.clone()).or_insert((number, number)).1 = number;
                }
            }
            before = signed;
        }
        match page.last() {
            Some(last) if page.len() == PAGE && found.count < 2 * KEPT => range = range.past(&last.key),
            _ => break,
        }
    }
    // The oldest are let go one by one, never more.
    if let (Some(oldest), Some(newest)) = (oldest, before.map(|newest| newest.number))
        && oldest > (newest + 1).saturating_sub(KEPT).max(1)
    {
        found.wrong = found.wrong.or(Some((oldest, Wrong::Replaced)));
    }
    Ok(found)
}

/// Where all chains end now.
///
/// # Errors
/// The store's.
pub(super) async fn ends(store: &SharedStore) -> Result<Vec<Checkpoint>, store::Error> {
    let entries = store.scan(&Range::under(&Key::of(["audit-head"]), usize::from(u16::MAX))).await?;
    let end = |entry: &store::Entry| {
        let Head { seq, hash, .. } = entry.decode()?;
        Ok(Checkpoint { chain: entry.key.last().to_owned(), seq, hash })
    };
    entries.iter().map(end).collect()
}

/// Signs these ends as the checkpoint after `last`, and puts it into the batch: it conflicts where another was first.
///
/// # Errors
/// [`store::Error::Encode`], and that it can't be signed.
pub(super) fn sign_next(
    batch: &mut Batch,
    last: Option<&Signed>,
    heads: Vec<Checkpoint>,
    at: Timestamp,
    signer: &Signer,
) -> Result<Signed, store::Error> {
    let number = last.map_or(0, |last| last.number) + 1;
    let previous = last.map(|last| digest::hex(last.signature.as_bytes())).unwrap_or_default();
    let key_text = signer.public().to_owned();
    let mut signed = Signed { number, at, heads, previous, key: key_text, signature: String::new() };
    let signature = signer.sign(&signed.text());
    signed.signature = signature.map_err(|error| store::Error::Unavailable(error.to_string()))?;
    batch.require_absent(key(number)).put(key(number), &signed)?;
    if number > KEPT {
        batch.delete(key(number - KEPT));
    }
    Ok(signed)
}

/// Why no checkpoint was signed.
#[derive(Debug, thiserror::Error)]
pub enum CantSign {
    /// A chain was cut or written anew.
    #[error(
        "the audit chain {chain} no longer has the record {seq} that checkpoint {number} was signed for, so nothing is signed: run `mayday audit verify`, keep this store as it is, and compare it with a backup; if it was restored from an old one, say so with `mayday audit accept-cut`"
    )]
    Cut {
        /// Which chain.
        chain: String,
        /// Its place that was signed.
        seq: u64,
        /// By which checkpoint.
        number: u64,
    },
    /// The checkpoint before is not as it was signed.
    #[error("the audit's checkpoint {number} can't be signed after: {wrong}; compare it with a copy kept elsewhere")]
    Checkpoint {
        /// Which.
        number: u64,
        /// What is wrong with it.
        wrong: Wrong,
    },
    /// The store's.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Makes checkpoints.
pub struct Service {
    store: SharedStore,
    clock: SharedClock,
    signer: Signer,
    every: Span,
    shared: bool,
}

impl Service {
    /// Over the chains of this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, signer: Signer, options: &Options) -> Self {
        Self { store, clock, signer, every: options.every, shared: false }
    }

    /// Whether other replicas sign with keys of their own: then a key that is not this one's is no sign of a forgery.
    #[must_use]
    pub fn beside_other_keys(mut self, others: bool) -> Self {
        self.shared = others;
        self
    }

    /// The only key that may have signed here; none where several do.
    #[must_use]
    pub fn only_key(&self) -> Option<&str> {
        (!self.shared).then(|| self.signer.public())
    }

    /// Makes one whenever it is time, and a last one at the end.
    pub async fn run(self: std::sync::Arc<Self>, stop: Stop) {
        loop {
            if let Err(error) = self.make(self.every).await {
                tracing::warn!(%error, "the audit's ends can't be signed now");
            }
            tokio::select! {
                () = stop.wait() => break,
                () = self.clock.sleep(self.every.0) => {}
            }
        }
        if let Err(error) = self.make(Span::from_secs(0)).await {
            tracing::warn!(%error, "the audit's ends could not be signed at the end");
        }
    }

    /// Signs where the chains end now; none if nothing was written since the last one, or that one is younger than
    /// `spacing`, or another replica was first.
    ///
    /// # Errors
    /// [`CantSign`]: also when a chain is not what was signed last. What was cut must not be signed as whole.
    pub async fn make(&self, spacing: Span) -> Result<Option<Signed>, CantSign> {
        // Before the heads: if another replica signs in between, this one's number is taken.
        let Judged { wrong, last, .. } = judged(&self.store, self.only_key()).await?;
        if let Some((number, wrong)) = wrong.into_iter().next() {
            return Err(CantSign::Checkpoint { number, wrong });
        }
        let audit = Audit::new(self.store.clone(), self.clock.clone());
        for Checkpoint { chain, seq, hash } in last.iter().flat_map(|last| &last.heads) {
            if audit.hash_at(chain, *seq).await?.as_ref() != Some(hash) {
                let number = last.as_ref().map_or(0, |last| last.number);
                return Err(CantSign::Cut { chain: chain.clone(), seq: *seq, number });
            }
        }
        let heads = ends(&self.store).await?;
        let now = self.clock.now();
        let young = |last: &Signed| last.at.checked_add(spacing.0).is_ok_and(|due| due > now);
        if heads.is_empty() || last.as_ref().is_some_and(|last| last.heads == heads || young(last)) {
            return Ok(None);
        }
        let mut batch = Batch::new();
        let signed = sign_next(&mut batch, last.as_ref(), heads, now, &self.signer)?;
        match self.store.commit(batch).await {
            Ok(_) => Ok(Some(signed)),
            Err(store::Error::Conflict(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

//! Accepts that records are gone for good, where that really happened (a store restored from an old backup): a person says
//! so and why, and from then on what the checkpoints of before say of those records is no longer held against the chains.
//!
//! The acceptance is a record of the main chain. The same commit signs a checkpoint that ends exactly there, so only who has
//! a key that signed before can accept; a record alone covers nothing. It covers checkpoints in the store that are older
//! than that one, never a later cut; and never a checkpoint that was kept elsewhere: there a cut shows for ever.

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Stored, recent, sign_next};
use super::verify::{Misfit, examine, first_stated};
use super::{Audit, AuditRecord, Bad, Checkpoint, Link, MAIN, Payload, RETRIES, Signer};
use crate::access::Actor;
use crate::core::Timestamp;
use crate::store::{self, Batch};

/// The action of the record that an acceptance is.
pub(super) const ACTION: &str = "accept_cut";

/// A part of a chain that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Which chain.
    pub chain: String,
    /// The last place that is known to be as it was signed; 0: none is.
    pub kept: u64,
    /// Up to here records had been signed.
    pub signed: u64,
    /// Whether other records stand there now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
}

impl Cut {
    fn covers(&self, other: &Self) -> bool {
        self.chain == other.chain && self.kept <= other.kept && self.signed >= other.signed
    }
}

/// What the record of an acceptance says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Why, in the person's words.
    pub reason: String,
    /// The checkpoint that was signed with it: those before it are covered.
    pub checkpoint: u64,
    /// What is gone.
    pub cut: Vec<Cut>,
}

/// A cut that a person accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Its place in the main chain, and the hash there.
    pub place: Checkpoint,
    /// What and why.
    #[serde(flatten)]
    pub said: Said,
}

impl Accepted {
    /// Out of a record of the main chain; none where it is not such a record.
    pub(super) fn read(payload: Payload, link: &Link) -> Option<Self> {
        let said = serde_json::from_value(payload.detail).ok()?;
        let place = Checkpoint { chain: MAIN.to_owned(), seq: link.seq, hash: link.hash.clone() };
        Some(Self { by: payload.actor, at: link.at, place, said })
    }

    /// Whether the checkpoint it names was signed when it was the chain's end, with a key that had signed before what it
    /// covers: `first` is the first checkpoint that states what is gone. So who comes with a key of their own, and has it
    /// sign first, accepts nothing. Where the store no longer tells who signed first (none), any key does: the acceptance is
    /// shown, with who said so, and a foreign key's checkpoint is a finding of its own. Once that checkpoint is let go, as the
    /// oldest ones are, those it covers are gone too.
    pub(super) fn is_signed_by(&self, stored: &Stored, first: Option<u64>) -> bool {
        let number = self.said.checkpoint;
        let is_first = stored.signers.range(..number).next().is_none();
        let knows = |first: u64, key: &String| {
            is_first || stored.signers.range(..number.min(first + 1)).any(|(_, earlier)| earlier == key)
        };
        let is_its_end = stored.heads.get(&self.place).is_some_and(|(first, _)| *first == number);
        let signed = stored.signers.get(&number);
        is_its_end && signed.is_some_and(|key| first.is_none_or(|first| knows(first, key)))
    }
}

/// Why a cut was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CantAccept {
    /// There is none.
    #[error(
        "nothing is missing that was signed, so there is nothing to accept; if an exported file of checkpoints shows a cut, hand it in with --checkpoints"
    )]
    Nothing,
    /// A person must see all of it first.
    #[error("it was not agreed to")]
    Unseen(Vec<Cut>),
    /// Something else is wrong.
    #[error("more is wrong than a cut, and that can't be accepted: {0}; compare it with a backup")]
    Broken(Bad),
    /// The key at hand had not signed here by then.
    #[error(
        "the key at hand, {0}, had signed no checkpoint of this store when what is gone was signed; accept the cut with the key that had (keep keys that were replaced)"
    )]
    OtherKey(String),
    /// Only exported checkpoints show it, and it was accepted.
    #[error(
        "that was accepted before, and checkpoints that were exported go on to show it: export them again into a new file"
    )]
    Already,
    /// The store's.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Audit {
    /// Accepts what is missing against the checkpoints in the store, and those handed in; unless `agreed`, it only says what.
    ///
    /// # Errors
    /// [`CantAccept`]: also when the chains are not whole in themselves.
    pub async fn accept_cut(
        &self,
        signer: &Signer,
        by: Actor,
        reason: &str,
        handed: &[Checkpoint],
        agreed: bool,
    ) -> Result<Said, CantAccept> {
        let mut left = RETRIES;
        loop {
            let examined = examine(&self.store, handed).await?;
            if let Some(bad) = examined.report.first_bad {
                return Err(CantAccept::Broken(bad));
            }
            if let Some(first) = first_stated(&examined.misfits, &examined.stored)
                && !examined.stored.signers.range(..=first).any(|(_, key)| key == signer.public())
            {
                return Err(CantAccept::OtherKey(signer.public().to_owned()));
            }
            let cut = cuts(&examined.misfits, |chain| examined.fits.get(chain).copied().unwrap_or(0));
            if cut.is_empty() {
                return Err(CantAccept::Nothing);
            }
            let before: Vec<&Cut> = examined.report.accepted.iter().flat_map(|accepted| &accepted.said.cut).collect();
            let handed_only = examined.misfits.iter().all(|misfit| misfit.stated.is_none());
            if handed_only && cut.iter().all(|cut| before.iter().any(|before| before.covers(cut))) {
                return Err(CantAccept::Already);
            }
            if !agreed {
                return Err(CantAccept::Unseen(cut));
            }
            let last = recent(&self.store).await?.into_iter().next().and_then(|(_, signed)| signed);
            let checkpoint = last.as_ref().map_or(0, |last| last.number) + 1;
            let said = Said { reason: reason.to_owned(), checkpoint, cut };
            let record = AuditRecord {
                actor: by.clone(),
                action: ACTION.to_owned(),
                subject: "audit".to_owned(),
                detail: serde_json::to_value(&said).map_err(|error| store::Error::Encode(error.to_string()))?,
                right: None,
            };
            let mut appender = self.open(MAIN).await?;
            let mut batch = Batch::new();
            appender.append(&mut batch, record)?;
            let mut heads = checkpoint::ends(&self.store).await?;
            heads.retain(|head| head.chain != MAIN);
            heads.push(appender.end());
            heads.sort();
            sign_next(&mut batch, last.as_ref(), heads, self.clock.now(), signer)?;
            match appender.commit(batch).await {
                Ok(_) => return Ok(said),
                // Another process wrote to the chain, or signed: look again.
                Err(store::Error::Conflict(_)) if left > 0 => left -= 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What is gone of each chain.
fn cuts(misfits: &[Misfit], kept: impl Fn(&str) -> u64) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    for Misfit { bad: Bad { chain, seq, .. }, replaced, .. } in misfits {
        match cuts.iter_mut().find(|cut| cut.chain == *chain) {
            Some(cut) => {
                cut.signed = cut.signed.max(*seq);
                cut.replaced |= replaced;
            }
            None => {
                cuts.push(Cut { chain: chain.clone(), kept: kept(chain), signed: *seq, replaced: *replaced });
            }
        }
    }
    cuts
}

//! Reads the audit newest first, all chains together, page by page.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::erase::Erased;
use super::{Audit, Head, Link, Payload, link_key, payload_key};
use crate::access::{Actor, Right};
use crate::core::Timestamp;
use crate::store::{self, Key, Range};

/// One record as people and `/api/v1/audit` see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Which chain.
    pub chain: String,
    /// Its place there, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The link's hash.
    pub hash: String,
    /// Who; none when what the record says was erased.
    pub actor: Option<Actor>,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest.
    pub detail: Value,
    /// Why it was allowed.
    pub right: Option<Right>,
    /// Whether what it said was erased.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
}

impl Entry {
    fn without_text(chain: String, link: Link, erased: bool) -> Self {
        Self {
            chain,
            seq: link.seq,
            at: link.at,
            hash: link.hash,
            actor: None,
            action: String::new(),
            subject: String::new(),
            detail: Value::Null,
            right: None,
            erased,
        }
    }
}

/// What [`Audit::since`] found.
#[derive(Debug, Default)]
pub struct Since {
    /// Newest first.
    pub records: Vec<Entry>,
    /// Links and texts that can't be read, and why.
    pub unreadable: Vec<store::Error>,
}

/// Some records and where the next page begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Newest first.
    pub records: Vec<Entry>,
    /// Hand this in for older ones; none when there are none.
    pub next: Option<String>,
}

/// Where a page begins: for each chain the first place that was not shown yet. As text: `main:17,s3f:4`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor(BTreeMap<String, u64>);

/// The text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor that a page gave; leave it out to begin with the newest")]
pub struct NotACursor;

impl std::str::FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let part = |part: &str| {
            let (chain, seq) = part.rsplit_once(':').ok_or(NotACursor)?;
            Ok((chain.to_owned(), seq.parse().map_err(|_| NotACursor)?))
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (chain, seq)) in self.0.iter().enumerate() {
            write!(f, "{}{chain}:{seq}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl Audit {
    /// Records, newest first, from a cursor on; at most `limit` (and never more than 500).
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, store::Error> {
        let limit = limit.clamp(1, 500);
        let mut next = match from {
            Some(cursor) => cursor.clone(),
            None => self.ends().await?,
        };
        let mut links: Vec<(String, Link)> = Vec::new();
        for (chain, seq) in &next.0 {
            links.extend(self.links(chain, *seq, limit).await?.into_iter().map(|link| (chain.clone(), link)));
        }
        // The order within a chain is its own; between chains it is by time.
        links.sort_by(|(a_chain, a), (b_chain, b)| {
            b.at.cmp(&a.at).then_with(|| b_chain.cmp(a_chain)).then_with(|| b.seq.cmp(&a.seq))
        });
        links.truncate(limit);
        let mut records = Vec::with_capacity(links.len());
        for (chain, link) in links {
            next.0.insert(chain.clone(), link.seq - 1);
            records.push(self.entry(chain, link).await?);
        }
        next.0.retain(|_, seq| *seq > 0);
        let next = (!next.0.is_empty()).then(|| next.to_string());
        Ok(Page { records, next })
    }

    /// The records of one chain that are not older than `since`, newest first, at most `limit`; and those that can't be
    /// read. One whose text alone can't be read is there without it.
    ///
    /// # Errors
    /// The store's; none of a single record.
    pub async fn since(&self, chain: &str, since: Timestamp, limit: usize) -> Result<Since, store::Error> {
        let mut found = Since::default();
        let mut range = Range::under(&Key::of(["audit", chain]), 0).backward();
        while found.records.len() + found.unreadable.len() < limit {
            range.limit = (limit - found.records.len() - found.unreadable.len()).min(200);
            let page = self.store.scan(&range).await?;
            for entry in &page {
                let link: Link = match entry.decode() {
                    Ok(link) => link,
                    Err(error) => {
                        found.unreadable.push(error);
                        continue;
                    }
                };
                if link.at < since {
                    return Ok(found);
                }
                match self.entry(chain.to_owned(), link.clone()).await {
                    Ok(entry) => found.records.push(entry),
                    Err(error @ (store::Error::Corrupt { .. } | store::Error::TooNew { .. })) => {
                        found.unreadable.push(error);
                        found.records.push(Entry::without_text(chain.to_owned(), link, false));
                    }
                    Err(error) => return Err(error),
                }
            }
            match page.last() {
                Some(last) if page.len() == range.limit => range = range.past(&last.key),
                _ => break,
            }
        }
        Ok(found)
    }

    /// The hash at a chain's place; none if there is no record, or none that can be read.
    ///
    /// # Errors
    /// The store's.
    pub async fn hash_at(&self, chain: &str, seq: u64) -> Result<Option<String>, store::Error> {
        let entry = self.store.read(&link_key(chain, seq)).await?;
        Ok(entry.and_then(|entry| entry.decode::<Link>().ok()).map(|link| link.hash))
    }

    async fn ends(&self) -> Result<Cursor, store::Error> {
        let heads = self.store.scan(&Range::under(&Key::of(["audit-head"]), usize::from(u16::MAX))).await?;
        let end = |entry: &store::Entry| Ok((entry.key.last().to_owned(), entry.decode::<Head>()?.seq));
        heads.iter().map(end).collect::<Result<_, _>>().map(Cursor)
    }

    /// The links of a chain at and before a place, newest first.
    async fn links(&self, chain: &str, seq: u64, limit: usize) -> Result<Vec<Link>, store::Error> {
        let range = Range::under(&Key::of(["audit", chain]), limit).backward();
        let range = range.past(&link_key(chain, seq.saturating_add(1)));
        self.store.scan(&range).await?.iter().map(store::Entry::decode).collect()
    }

    async fn entry(&self, chain: String, link: Link) -> Result<Entry, store::Error> {
        let payload = self.store.read(&payload_key(&chain, link.seq)).await?;
        let erased = payload.as_ref().is_some_and(|entry| entry.decode::<Erased>().is_ok());
        let payload: Option<Payload> = payload.filter(|_| !erased).map(|entry| entry.decode()).transpose()?;
        let base = Entry::without_text(chain, link, erased);
        Ok(match payload {
            Some(Payload { actor, action, subject, detail, right, salt: _ }) => {
                Entry { actor: Some(actor), action, subject, detail, right, ..base }
            }
            None => base,
        })
    }
}

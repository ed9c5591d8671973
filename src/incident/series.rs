//! Which occurrence a message is about, when its sender does not repeat the start ([`Identity::Series`]).
//!
//! The last occurrence of each such series stands at `series/<source>-<fingerprint>`:
//!
//! * an end belongs to the last occurrence, whatever time it carries;
//! * a beginning without a start, or with the sender's own id, is the last occurrence while that fires;
//! * a beginning with a later start than the last occurrence is a new one, and ends the last one if that still fires,
//!   since a series can't fire twice at once.

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId, Identity, Status};
use crate::core::Timestamp;
use crate::store::{Key, Record};

/// The last known occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) alert_id: AlertId,
    pub(super) status: Status,
    pub(super) start: Timestamp,
    pub(super) ended: Option<Timestamp>,
}

impl Record for Last {}

pub(super) fn key(alert: &Alert) -> Key {
    Key::of(["series", &format!("{}-{}", alert.source_system, alert.fingerprint.0)])
}

/// What a message turns out to be about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Its own occurrence, by its id.
    Own,
    /// Its own occurrence, which ends the last one.
    OwnInsteadOf(AlertId),
    /// The last occurrence.
    Last,
}

/// Decides; `known` says whether the message's own id already stands in the store.
pub(super) fn about(alert: &Alert, identity: Identity, last: Option<&Last>, known: bool) -> About {
    let (Identity::Series { start_assumed, id_given }, Some(last)) = (identity, last) else { return About::Own };
    if known || last.alert_id == alert.alert_id {
        return About::Own;
    }
    match (alert.status, last.status) {
        (Status::Resolved, Status::Firing | Status::Resolved) => About::Last,
        (Status::Firing, Status::Firing) if start_assumed || id_given || alert.timestamp <= last.start => About::Last,
        (Status::Firing, Status::Firing) => About::OwnInsteadOf(last.alert_id.clone()),
        (Status::Firing, Status::Resolved) => {
            if start_assumed || alert.timestamp > last.ended.unwrap_or(last.start) {
                About::Own
            } else {
                About::Last
            }
        }
    }
}

//! Where this room's records stand in the store.

use crate::alert::AlertId;
use crate::core::{IncidentId, digest};
use crate::store::Key;
use crate::work::Shard;

pub(super) fn incident(id: IncidentId) -> Key {
    Key::of(["incident", &id.key()])
}

pub(super) fn incidents() -> Key {
    Key::of(["incident"])
}

pub(super) fn open(id: IncidentId) -> Key {
    Key::of(["incident-open", &id.key()])
}

pub(super) fn all_open() -> Key {
    Key::of(["incident-open"])
}

pub(super) fn held(id: IncidentId) -> Key {
    Key::of(["incident-held", &id.key()])
}

pub(super) fn all_held() -> Key {
    Key::of(["incident-held"])
}

pub(super) fn alert(id: &AlertId) -> Key {
    Key::of(["alert", &id.0])
}

pub(super) fn alerts() -> Key {
    Key::of(["alert"])
}

pub(super) fn alert_incident(id: &AlertId) -> Key {
    Key::of(["alert-incident", &id.0])
}

pub(super) fn incident_alerts(id: IncidentId) -> Key {
    Key::of(["incident-alert", &id.key()])
}

pub(super) fn group(shard: Shard, group_key: &str) -> Key {
    Key::of(["group", &shard.key(), &digest::hex(group_key.as_bytes())[..32]])
}

pub(super) fn moments(id: IncidentId) -> Key {
    Key::of(["moment", &id.key()])
}

pub(super) fn moment(id: IncidentId, number: u64) -> Key {
    Key::of(["moment", &id.key(), &format!("{number:010}")])
}

pub(super) fn set_aside() -> Key {
    Key::of(["set-aside"])
}

pub(super) fn heard(integration: &str) -> Key {
    Key::of(["heard", integration])
}

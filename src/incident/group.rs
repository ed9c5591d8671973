//! What alerts have in common, and whose incident that makes.

use crate::access::{Actor, PersonId};
use crate::alert::{Alert, Names, service};
use crate::catalog::{self, Catalog};
use crate::chat::ChannelId;
use crate::core::text::capped;
use crate::core::{Tainted, digest};

use super::{AlertRecord, Options};

/// Longest part of a group key, bytes; a longer one ends in its digest.
const PART: usize = 200;

/// The catalogue as the parsers know it.
pub(super) struct CatalogNames<'a>(pub(super) &'a Catalog);

impl Names for CatalogNames<'_> {
    fn canonical(&self, name: &str) -> Option<String> {
        self.0.find(name).map(|service| service.name.clone())
    }
}

/// The alert's group key, `service_name=order-service`.
pub(super) fn key(alert: &Alert, options: &Options, catalog: &Catalog) -> String {
    let mut parts: Vec<String> = Vec::new();
    for name in &options.group_by {
        let value = match name.as_str() {
            "service_name" => named_service(alert, catalog),
            "alert_name" => Some(alert.alert_name.as_data().to_owned()),
            "host_ip" => alert.host_ip.map(|address| address.to_string()),
            "source_system" => Some(alert.source_system.clone()),
            label => alert.labels.get(label).map(|value| value.as_data().to_owned()),
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            parts.push(format!("{name}={}", part(&value)));
        }
    }
    if parts.is_empty() {
        let (name, host) = (part(alert.alert_name.as_data()), part(host(alert).as_data()));
        parts.push(format!("alert_name={name}"));
        if !host.is_empty() {
            parts.push(format!("host={host}"));
        }
    }
    parts.join(" ")
}

/// The service, unless only the scrape job names it and the catalogue does not know it.
fn named_service(alert: &Alert, catalog: &Catalog) -> Option<String> {
    let name = alert.service_name.as_data();
    let known = catalog.find(name).is_some();
    (known || !service::only_from_job(&alert.labels)).then(|| name.to_owned())
}

fn part(value: &str) -> String {
    if value.len() <= PART {
        return value.to_owned();
    }
    format!("{}{}", capped(value, PART), &digest::hex(value.as_bytes())[..16])
}

/// Where an alert happened: the host's address, else its name, else empty.
pub(super) fn host(alert: &Alert) -> Tainted {
    match alert.host_ip {
        Some(address) => Tainted::new(address.to_string()),
        None => ["host", "instance", "hostname", "node"]
            .into_iter()
            .find_map(|label| alert.labels.get(label).cloned())
            .unwrap_or_default(),
    }
}

/// Team and channel of what an alert is about. The team is the catalogue's; else the one that the label `team` names, if
/// there is such a team; else the integration's; else the default.
pub(super) fn route(record: &AlertRecord, options: &Options, catalog: &Catalog) -> (String, ChannelId) {
    let entry = catalog.find(record.alert.service_name.as_data());
    let labelled = || {
        let name = record.alert.labels.get("team")?.as_data();
        // Text from outside names a team, but can't make one.
        let exists =
            options.team_channels.contains_key(name) || catalog.services().iter().any(|service| service.team == name);
        exists.then(|| name.to_owned())
    };
    let team = entry
        .map(|service| service.team.clone())
        .or_else(labelled)
        .or_else(|| record.team.clone())
        .unwrap_or_else(|| options.default_team.clone());
    let channel = channel(entry, &team, options);
    (team, channel)
}

/// The team a service belongs to and the channel where it is spoken of; of none, and of one that is not known, the defaults.
#[must_use]
pub fn place(service: Option<&catalog::Service>, options: &Options) -> (String, ChannelId) {
    let team = service.map_or_else(|| options.default_team.clone(), |service| service.team.clone());
    let channel = channel(service, &team, options);
    (team, channel)
}

fn channel(service: Option<&catalog::Service>, team: &str, options: &Options) -> ChannelId {
    let own = service.and_then(|service| service.channel.as_ref());
    let channel = own.or_else(|| options.team_channels.get(team)).unwrap_or(&options.default_channel);
    ChannelId { chat: options.chat.clone(), name: channel.trim_start_matches('#').to_owned() }
}

/// Who acts when nobody did.
pub(super) fn mayday() -> Actor {
    Actor::Mayday("incident".to_owned())
}

/// The person behind an actor: the one it is done as.
pub(super) fn person(actor: &Actor) -> Option<&PersonId> {
    match actor {
        Actor::Person(person) | Actor::Impersonated { person, .. } => Some(person),
        Actor::Mayday(_) => None,
    }
}

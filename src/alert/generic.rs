//! Mayday's own simple JSON: one alert, a list of them, or `{"alerts":[…]}`. Every field but the name may be missing.
//!
//! Field names are compared without case, `_`, `-` and spaces, so `alert_name`, `alertName` and `Alert-Name` are one.
//!
//! | field | also read | when missing |
//! |---|---|---|
//! | `alert_name` | alertname, name, title, rule, check; label `alertname` | the alert is rejected |
//! | `severity` | level, priority; label `severity` | Warning, with a note |
//! | `status` | state | Resolved if there is an `ended_at`, else Firing |
//! | `service_name` | service, app, application; labels as in [`super::service`] | empty |
//! | `host_ip` | ip, host, instance, hostname; labels as in [`super::host`] | null |
//! | `metric_value` | value, current_value; label `value` | null |
//! | `timestamp` | starts_at, started_at, start, time, date | time of receipt |
//! | `labels` | tags: an object, or a list of `name=value`, `name:value` or `{"name","value"}` | empty |
//! | `description` | message, summary, text, details, body | empty |
//! | `source_system` | source, system | `generic` |
//! | `alert_id` | id, event_id | the occurrence is known by fingerprint and start |
//! | `ended_at` | ends_at, end, resolved_at | – |
//! | `fingerprint` | dedup_key, key | name, service, host and labels but `severity` and `value` |
//! | `link` | url, generator_url | – |
//!
//! Senders of this format are scripts, so an end may come with another time than the beginning, or with none: it then
//! ends the occurrence of that series which is known to fire ([`Identity::Series`]).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::{self, Draft};
use super::json::{Body, Fields, kind, scalar};
use super::{Alert, Format, Identity, Parsed, Reader, Status, host, number, severity, time};
use crate::core::text::capped;

const NAME: &[&str] = &["alert_name", "alertname", "name", "title", "rule", "check"];
const SEVERITY: &[&str] = &["severity", "level", "priority"];
const STATUS: &[&str] = &["status", "state"];
const SERVICE: &[&str] = &["service_name", "service", "app", "application"];
const HOST: &[&str] = &["host_ip", "ip", "host", "instance", "hostname"];
const VALUE: &[&str] = &["metric_value", "value", "current_value"];
const START: &[&str] = &["timestamp", "starts_at", "started_at", "start", "time", "date"];
const END: &[&str] = &["ended_at", "ends_at", "end", "resolved_at"];
const LABELS: &[&str] = &["labels", "tags"];
const DESCRIPTION: &[&str] = &["description", "message", "summary", "text", "details", "body"];
const SOURCE: &[&str] = &["source_system", "source", "system"];
const ID: &[&str] = &["alert_id", "id", "event_id"];
const FINGERPRINT: &[&str] = &["fingerprint", "dedup_key", "key"];
const LINK: &[&str] = &["link", "url", "generator_url"];

pub(super) fn parse(body: &Body<'_>, reader: Reader<'_>) -> Result<Parsed, String> {
    Ok(super::parse::each(Format::Generic, body, reader, |fields, notes| one(fields, reader, notes)))
}

/// Whether an object names an alert in one of the ways above.
pub(super) fn looks_like_one(object: &Map<String, Value>) -> bool {
    Named::of(object).get(NAME).is_some()
}

/// Fields by their bare names.
struct Named<'a>(BTreeMap<String, (&'a str, &'a Value)>);

impl<'a> Named<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        let fields = object.iter().filter(|(_, value)| !value.is_null());
        Self(fields.map(|(name, value)| (bare(name), (name.as_str(), value))).collect())
    }

    /// The first of the names that is there: as the sender wrote it, and the value.
    fn get(&self, names: &[&str]) -> Option<(&'a str, &'a Value)> {
        names.iter().find_map(|name| self.0.get(&bare(name)).copied())
    }

    fn text(&self, names: &[&str], fields: &Fields<'_>) -> Result<Option<String>, String> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        let text = scalar(value)
            .ok_or_else(|| fields.wrong(&capped(name, 80), &format!("{} where text was expected", kind(value))))?;
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    fn time(&self, names: &[&str], fields: &Fields<'_>) -> Result<Option<crate::core::Timestamp>, String> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        time::read(value).map_err(|why| fields.wrong(&capped(name, 80), &why))
    }
}

fn bare(name: &str) -> String {
    name.chars().filter(|letter| !"_- ".contains(*letter)).flat_map(char::to_lowercase).collect()
}

fn one(fields: &Fields<'_>, reader: Reader<'_>, notes: &mut Vec<String>) -> Result<(Alert, Identity), String> {
    let named = Named::of(fields.all());
    let labels = labels(&named, fields)?;
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|text| !text.trim().is_empty());
    let name = named
        .text(NAME, fields)?
        .or_else(|| label("alertname").or(label("alert_name")).map(str::to_owned))
        .ok_or_else(|| fields.wrong("alert_name", "missing (nor is there an alertname, name, title, rule or check)"))?;
    let ended = named.time(END, fields)?;
    let status = match named.text(STATUS, fields)? {
        Some(word) => draft::status(&word).ok_or_else(|| {
            fields.wrong("status", &format!("{:?} where Firing or Resolved was expected", capped(&word, 40)))
        })?,
        None if ended.is_some() => Status::Resolved,
        None => Status::Firing,
    };
    let word = named.text(SEVERITY, fields)?.or_else(|| label("severity").map(str::to_owned));
    // The end of an alert needs no severity; its beginning had one.
    let severity = match (&word, status) {
        (None, Status::Resolved) => super::Severity::Warning,
        _ => severity::or_warning(word.as_deref(), notes),
    };
    let start = named.time(START, fields)?;
    let source = source(named.text(SOURCE, fields)?);
    let service = named.text(SERVICE, fields)?;
    let host = match named.get(HOST) {
        Some((_, Value::String(text))) => host::address(text),
        Some((name, other)) => {
            return Err(fields.wrong(&capped(name, 80), &format!("{} where text was expected", kind(other))));
        }
        None => None,
    };
    let given = named.text(ID, fields)?;
    let at_host = host.map_or_else(|| named.text(HOST, fields), |address| Ok(Some(address.to_string())))?;
    let fingerprint = match (&given, named.text(FINGERPRINT, fields)?) {
        (Some(id), _) => draft::fingerprint(["generic-id", &source, id]),
        (None, Some(key)) => draft::fingerprint(["generic-key", &source, &key]),
        (None, None) => {
            let identifying = labels.iter().filter(|(name, _)| *name != "severity" && *name != "value");
            let own = ["generic", &source, &name, service.as_deref().unwrap_or(""), at_host.as_deref().unwrap_or("")];
            let parts = identifying.flat_map(|(name, value)| [name.as_str(), value.as_str()]);
            draft::fingerprint(own.into_iter().chain(parts))
        }
    };
    let draft = Draft {
        severity,
        status,
        host: host.or_else(|| host::from_labels(label)),
        value: value(&named, fields, label("value"))?,
        start: start.unwrap_or(reader.received_at),
        ended,
        description: named.text(DESCRIPTION, fields)?.unwrap_or_default().replace("\r\n", "\n"),
        fingerprint,
        link: named.text(LINK, fields)?,
        service,
        source,
        name,
        labels,
    };
    let identity = Identity::Series { start_assumed: start.is_none(), id_given: given.is_some() };
    Ok((draft.finish(fields, reader, notes)?, identity))
}

/// A plain word of at most 40 characters; `generic` otherwise.
fn source(given: Option<String>) -> String {
    let word: String = given.unwrap_or_default().trim().to_lowercase();
    let plain = (1..=40).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    if plain { word } else { "generic".to_owned() }
}

fn value(
    named: &Named<'_>,
    fields: &Fields<'_>,
    label: Option<&str>,
) -> Result<Option<(number::Reading, String)>, String> {
    match named.get(VALUE) {
        Some((name, Value::Number(number))) => {
            let reading = number.as_f64().filter(|value| value.is_finite());
            Ok(reading.map(|value| (number::Reading { value, unit: None }, capped(name, 80))))
        }
        Some((name, Value::String(text))) => Ok(number::read(text).map(|reading| (reading, capped(name, 80)))),
        Some((name, other)) => {
            Err(fields.wrong(&capped(name, 80), &format!("{} where a number was expected", kind(other))))
        }
        None => Ok(label.and_then(number::read).map(|reading| (reading, "labels.value".to_owned()))),
    }
}

fn labels(named: &Named<'_>, fields: &Fields<'_>) -> Result<BTreeMap<String, String>, String> {
    let Some((name, value)) = named.get(LABELS) else { return Ok(BTreeMap::new()) };
    let Value::Array(list) = value else { return fields.texts(name) };
    let mut labels = BTreeMap::new();
    for (index, item) in list.iter().enumerate() {
        let pair = match item {
            Value::String(text) => text.split_once(['=', ':']).map_or_else(
                || (text.trim().to_owned(), String::new()),
                |(name, value)| (name.trim().to_owned(), value.trim().to_owned()),
            ),
            Value::Object(object) => {
                let of = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(scalar));
                let Some(label) = of(&["name", "tag", "key"]) else {
                    return Err(fields.wrong(&format!("{name}[{index}]"), "an object without a name"));
                };
                (label, of(&["value"]).unwrap_or_default())
            }
            other => {
                let why = format!("{} where name=value was expected", kind(other));
                return Err(fields.wrong(&format!("{name}[{index}]"), &why));
            }
        };
        labels.insert(pair.0, pair.1);
    }
    Ok(labels)
}

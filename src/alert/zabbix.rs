//! Zabbix, in the form that Mayday's media type sends: one flat object, every value text.
//!
//! * A macro that does not apply stays as it is written (`{EVENT.RECOVERY.ID}`) or becomes `*UNKNOWN*`: absent.
//! * One occurrence is trigger + host + the problem's own `event_date` and `event_time`, which recoveries and updates
//!   repeat. The end is `event_recovery_date` and `event_recovery_time`.
//! * Times are in the Zabbix server's zone, which Zabbix does not send: `zabbix_time_zone` in the options, UTC if not
//!   set. `event_age` tells what the time must have been; a difference is noted, never silently corrected, since the
//!   occurrence's id hangs on it.
//! * `metric_value` is `item_value`, else `event_opdata`; `not available (0)` is a mapped value and reads 0.
//! * An update (acknowledgement, comment) has the status of its problem; what was said goes to the description.
//! * `labels` are the event's tags, and beside them host, host_name, hostgroups, item_key, trigger_id, event_id and the
//!   acknowledgement.

use std::collections::BTreeMap;

use serde_json::Value;

use super::draft::{self, Draft};
use super::json::{Body, Fields};
use super::{Alert, Format, Identity, Parsed, Reader, Status, host, number, severity, time};
use crate::core::text::capped;

/// A clock that is off by more than this was read in the wrong zone; zones lie a quarter of an hour apart at least.
const ZONE_DOUBT_SECONDS: i64 = 7 * 60;

/// Fields that become labels, with the label's name.
const AS_LABELS: [(&str, &str); 7] = [
    ("host_host", "host"),
    ("host_name", "host_name"),
    ("hostgroups", "hostgroups"),
    ("item_key", "item_key"),
    ("trigger_id", "trigger_id"),
    ("event_id", "event_id"),
    ("event_ack_status", "acknowledged"),
];

pub(super) fn parse(body: &Body<'_>, reader: Reader<'_>) -> Result<Parsed, String> {
    Ok(super::parse::each(Format::Zabbix, body, reader, |fields, notes| one(fields, reader, notes)))
}

fn one(fields: &Fields<'_>, reader: Reader<'_>, notes: &mut Vec<String>) -> Result<(Alert, Identity), String> {
    let get = |name: &str| Ok::<_, String>(fields.text(name)?.and_then(present));
    let name = get("event_name")?
        .or(get("trigger_name")?)
        .ok_or_else(|| fields.wrong("event_name", "missing; map it to {EVENT.NAME} in the media type"))?;
    let status = status(fields, get("event_value")?.as_deref(), get("event_status")?.as_deref())?;
    let zone = reader.options.zabbix_time_zone.zone();
    let moment = |date: Option<String>, clock: Option<String>, name: &str| match (date, clock) {
        (Some(date), Some(clock)) => {
            time::zabbix(&date, &clock, zone).map(Some).map_err(|why| fields.wrong(name, &why))
        }
        _ => Ok(None),
    };
    let start = moment(get("event_date")?, get("event_time")?, "event_date")?;
    let ended = moment(get("event_recovery_date")?, get("event_recovery_time")?, "event_recovery_date")?;
    if let (Some(start), Some(age)) = (start, get("event_age")?.as_deref().and_then(age_seconds)) {
        let off = start.as_second().saturating_add(age).saturating_sub(reader.received_at.as_second());
        if off.abs() > ZONE_DOUBT_SECONDS {
            notes.push(format!(
                "Zabbix's time {start} and its age of {age} s do not fit the time of receipt (off by {} min); set zabbix_time_zone (now {})",
                off / 60,
                reader.options.zabbix_time_zone.text()
            ));
        }
    }
    let labels = labels(fields)?;
    let severity = match get("event_nseverity")?.as_deref().and_then(severity::of_zabbix_number) {
        Some(severity) => severity,
        None => severity::or_warning(get("event_severity")?.as_deref(), notes),
    };
    let trigger = get("trigger_id")?.or(get("trigger_name")?).unwrap_or_else(|| name.clone());
    let at_host = get("host_host")?.or(get("host_name")?).or(get("host_id")?).unwrap_or_default();
    let draft = Draft {
        source: "zabbix".to_owned(),
        severity,
        status,
        service: None,
        host: get("host_ip")?.as_deref().and_then(host::address),
        value: value("item_value", get("item_value")?).or(value("event_opdata", get("event_opdata")?)),
        start: start.unwrap_or(reader.received_at),
        ended,
        description: description(&get)?,
        fingerprint: draft::fingerprint(["zabbix", &trigger, &at_host]),
        link: get("trigger_url")?,
        name,
        labels,
    };
    let identity = match start {
        Some(_) => Identity::Start,
        None => Identity::Series { start_assumed: true, id_given: false },
    };
    Ok((draft.finish(fields, reader, notes)?, identity))
}

/// What a macro came to; none when it did not apply.
fn present(text: String) -> Option<String> {
    let trimmed = text.trim();
    let macro_left = trimmed.starts_with('{')
        && trimmed.ends_with('}')
        && trimmed.len() > 2
        && trimmed[1..].starts_with(|first: char| first.is_ascii_uppercase() || "$#?".contains(first))
        && !trimmed[1..trimmed.len() - 1].contains(['{', '}', ' ']);
    (!trimmed.is_empty() && !macro_left && trimmed != "*UNKNOWN*").then(|| text.replace("\r\n", "\n").trim().to_owned())
}

fn status(fields: &Fields<'_>, value: Option<&str>, word: Option<&str>) -> Result<Status, String> {
    // `1` and `0` are the problem and its end for every kind of event; the word is for people.
    match value {
        Some("1") => return Ok(Status::Firing),
        Some("0") => return Ok(Status::Resolved),
        _ => {}
    }
    match word {
        Some(word) => draft::status(word).ok_or_else(|| {
            fields.wrong("event_status", &format!("{:?} where PROBLEM or RESOLVED was expected", capped(word, 40)))
        }),
        None => Err(fields
            .wrong("event_value", "missing, and so is event_status; map them to {EVENT.VALUE} and {EVENT.STATUS}")),
    }
}

fn value(name: &str, text: Option<String>) -> Option<(number::Reading, String)> {
    Some((number::read_mapped(&text?)?, name.to_owned()))
}

fn labels(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (tag, value) in tags(fields)? {
        match labels.entry(tag) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(value);
            }
            // Zabbix allows a tag several times.
            std::collections::btree_map::Entry::Occupied(mut taken)
                if !taken.get().split(',').any(|one| one == value) =>
            {
                taken.get_mut().push(',');
                taken.get_mut().push_str(&value);
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }
    for (field, label) in AS_LABELS {
        if let Some(value) = fields.text(field)?.and_then(present) {
            labels.entry(label.to_owned()).or_insert(value);
        }
    }
    Ok(labels)
}

/// The event's tags: from the JSON form, else from `name:value, name:value`.
fn tags(fields: &Fields<'_>) -> Result<Vec<(String, String)>, String> {
    if let Some(json) = fields.text("event_tags_json")?.and_then(present)
        && let Ok(Value::Array(list)) = serde_json::from_str(&json)
    {
        let text = |tag: &Value, name: &str| tag.get(name).and_then(super::json::scalar).unwrap_or_default();
        return Ok(list
            .iter()
            .map(|tag| (text(tag, "tag"), text(tag, "value")))
            .filter(|(tag, _)| !tag.is_empty())
            .collect());
    }
    let plain = fields.text("event_tags")?.and_then(present).unwrap_or_default();
    Ok(plain
        .split(", ")
        .filter(|tag| !tag.trim().is_empty())
        .map(|tag| {
            tag.split_once(':').map_or_else(
                || (tag.trim().to_owned(), String::new()),
                |(name, value)| (name.trim().to_owned(), value.trim().to_owned()),
            )
        })
        .collect())
}

/// What a person reads: the trigger's own description and the operational data; the message where both are empty; and
/// what somebody said about it.
fn description(get: &impl Fn(&str) -> Result<Option<String>, String>) -> Result<String, String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(get("trigger_description")?);
    lines.extend(get("event_opdata")?.map(|data| format!("Operational data: {data}")));
    if lines.is_empty() {
        lines.extend(get("Message")?.or(get("Subject")?));
    }
    if get("event_update_status")?.as_deref() == Some("1") {
        let who = get("event_update_user")?.unwrap_or_else(|| "someone in Zabbix".to_owned());
        let did = get("event_update_action")?.unwrap_or_else(|| "updated it".to_owned());
        lines.push(match get("event_update_message")? {
            Some(said) => format!("{who} {did}: {said}"),
            None => format!("{who} {did}"),
        });
    }
    Ok(lines.join("\n"))
}

/// `1m 38s`, `2d 3h` as seconds.
fn age_seconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    for part in text.split_whitespace() {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = part[..digits].parse().ok()?;
        let unit = match &part[digits..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "M" => 30 * 86_400,
            "y" => 365 * 86_400,
            _ => return None,
        };
        // Months and years are rounded by Zabbix: too rough to compare clocks with.
        if unit > 7 * 86_400 {
            return None;
        }
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_macro_that_does_not_apply_is_absent() {
        for absent in ["{EVENT.RECOVERY.ID}", "{$ZABBIX.URL}", "*UNKNOWN*", "", "  "] {
            assert_eq!(present(absent.to_owned()), None, "{absent}");
        }
        for there in ["{}", "{not a macro}", "{lower}", "96.5 %", "{A} and {B}"] {
            assert!(present(there.to_owned()).is_some(), "{there}");
        }
        assert_eq!(present("a\r\nb\r\n".to_owned()).as_deref(), Some("a\nb"));
    }

    #[test]
    fn ages_are_seconds() {
        assert_eq!(age_seconds("1m 38s"), Some(98));
        assert_eq!(age_seconds("2d 3h"), Some(2 * 86_400 + 3 * 3600));
        assert_eq!(age_seconds("1y 2M"), None);
        assert_eq!(age_seconds(""), None);
    }
}

//! Alertmanager's webhook, version 4 (also its bare list of alerts, as its API writes it).
//!
//! * Each alert has its own status; the one around the list is only used where an alert has none.
//! * The fingerprint is Alertmanager's own (a digest of all labels, made by Alertmanager), so a templated `severity`
//!   label makes two series of one problem; grouping brings them together again. Without one it is ours, of the labels.
//! * `metric_value` is read from the annotations `value`, `current_value`, `metric_value`, then the label `value`:
//!   Alertmanager sends no value otherwise, and a number in a sentence may be anything.
//! * `description` is the annotation `description`, else `message`, else `summary`.
//! * `severity` is the label `severity`, else `priority`, else `level`.
//! * An `endsAt` of the year 1 is "none". `truncatedAlerts` is passed on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::draft::{self, Draft};
use super::json::{Body, Fields};
use super::{Alert, Format, Identity, Parsed, Reader, Status, host, number, severity, time};
use crate::core::text::capped;

/// Annotations that say what the measured value is.
const VALUES: [&str; 3] = ["value", "current_value", "metric_value"];

pub(super) fn parse(body: &Body<'_>, reader: Reader<'_>) -> Result<Parsed, String> {
    let status_around = body.beside("status").as_ref().and_then(Value::as_str).and_then(draft::status);
    let mut parsed = super::parse::each(Format::Alertmanager, body, reader, |fields, notes| {
        one(fields, status_around, reader, notes)
    });
    parsed.truncated = body.beside("truncatedAlerts").as_ref().and_then(Value::as_u64).unwrap_or(0);
    if parsed.truncated > 0 {
        parsed.note(format!(
            "Alertmanager left {} alerts out of this message (max_alerts); what became of them is not known here",
            parsed.truncated
        ));
    }
    Ok(parsed)
}

fn one(
    fields: &Fields<'_>,
    status_around: Option<Status>,
    reader: Reader<'_>,
    notes: &mut Vec<String>,
) -> Result<(Alert, Identity), String> {
    let labels = fields.texts("labels")?;
    let annotations = fields.texts("annotations")?;
    let name = labels
        .get("alertname")
        .filter(|name| !name.trim().is_empty())
        .cloned()
        .ok_or_else(|| fields.wrong("labels.alertname", "missing; every alert has a name"))?;
    let at = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(value) => time::read(value).map_err(|why| fields.wrong(name, &why)),
    };
    let ended = at("endsAt")?;
    let start =
        at("startsAt")?.ok_or_else(|| fields.wrong("startsAt", "missing; it tells one occurrence from the next"))?;
    let status = match fields.text("status")? {
        Some(word) => draft::status(&word).ok_or_else(|| {
            fields.wrong("status", &format!("{:?} where firing or resolved was expected", capped(&word, 40)))
        })?,
        // The API's list has no status: an end that has passed is one.
        None => status_around.unwrap_or(match ended {
            Some(ended) if ended <= reader.received_at => Status::Resolved,
            _ => Status::Firing,
        }),
    };
    let word = ["severity", "priority", "level"].into_iter().find_map(|name| labels.get(name)).map(String::as_str);
    let severity = severity::or_warning(word, notes);
    let draft = Draft {
        source: "alertmanager".to_owned(),
        severity,
        status,
        service: None,
        host: host::from_labels(|name| labels.get(name).map(String::as_str)),
        value: value(&annotations, &labels),
        start,
        ended,
        description: first(&annotations, &["description", "message", "summary"]),
        fingerprint: fields
            .text("fingerprint")?
            .filter(|own| (1..=64).contains(&own.len()) && own.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .unwrap_or_else(|| draft::fingerprint_of_labels("alertmanager", &labels)),
        link: fields.text("generatorURL")?,
        name,
        labels,
    };
    Ok((draft.finish(fields, reader, notes)?, Identity::Start))
}

fn value(
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Option<(number::Reading, String)> {
    let in_annotations = VALUES.into_iter().find_map(|name| {
        let reading = number::read(annotations.get(name)?)?;
        Some((reading, format!("annotations.{name}")))
    });
    in_annotations.or_else(|| Some((number::read(labels.get("value")?)?, "labels.value".to_owned())))
}

fn first(texts: &BTreeMap<String, String>, names: &[&str]) -> String {
    names.iter().find_map(|name| texts.get(*name).filter(|text| !text.trim().is_empty())).cloned().unwrap_or_default()
}

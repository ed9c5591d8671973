//! What every format's parser fills in, and the one place where it becomes an [`Alert`]: names, limits, id.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::json::Fields;
use super::number::Reading;
use super::{Alert, AlertId, Fingerprint, Reader, Severity, Status, service, time};
use crate::core::text::capped;
use crate::core::{Tainted, Timestamp, digest};

/// Longest alert name kept, bytes.
const NAME: usize = 300;
/// Longest service name kept, bytes (a DNS name's length).
const SERVICE: usize = 253;
/// Longest label name kept, bytes.
const LABEL_NAME: usize = 200;
/// Longest label value kept, bytes.
const LABEL_VALUE: usize = 4096;
/// Longest description kept, bytes.
const DESCRIPTION: usize = 8192;
/// Longest link kept, bytes; a longer one is dropped, since half a link leads nowhere.
const LINK: usize = 2048;

/// The parts of an alert as a format gives them.
pub(super) struct Draft {
    pub(super) source: String,
    pub(super) name: String,
    pub(super) severity: Severity,
    pub(super) status: Status,
    /// A service that the message names outright.
    pub(super) service: Option<String>,
    pub(super) host: Option<IpAddr>,
    /// The value and where it was read.
    pub(super) value: Option<(Reading, String)>,
    pub(super) start: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) description: String,
    pub(super) fingerprint: String,
    pub(super) link: Option<String>,
}

impl Draft {
    /// The alert, with its limits kept and what they cut noted.
    pub(super) fn finish(
        self,
        fields: &Fields<'_>,
        reader: Reader<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Alert, String> {
        time::plausible(self.start, reader.received_at).map_err(|why| fields.wrong("", &why))?;
        let name = self.name.trim();
        let mut cut = |what: &str, text: &str, most: usize| {
            if text.len() > most {
                notes.push(format!("{what} of {:?} is longer than {most} bytes and was cut", capped(name, 80)));
            }
            Tainted::new(capped(&without_zero(text), most))
        };
        let service = service::name(self.service.as_deref(), &self.labels, reader.names);
        let service_name = cut("the service name", &service, SERVICE);
        let alert_name = cut("the name", name, NAME);
        let description = cut("the description", self.description.trim(), DESCRIPTION);
        let mut labels = BTreeMap::new();
        for (label, value) in self.labels.iter().take(reader.options.max_labels) {
            let shown = format!("label {}", capped(label, 40));
            labels.insert(capped(&without_zero(label), LABEL_NAME), cut(&shown, value, LABEL_VALUE));
        }
        if self.labels.len() > reader.options.max_labels {
            let (had, kept) = (self.labels.len(), reader.options.max_labels);
            notes.push(format!("{:?} has {had} labels; the first {kept} were kept", capped(name, 80)));
        }
        let fingerprint = Fingerprint(self.fingerprint);
        let (reading, metric_value_from) = self.value.unzip();
        Ok(Alert {
            alert_id: AlertId::of(&self.source, &fingerprint, self.start),
            source_system: self.source,
            alert_name,
            severity: self.severity,
            status: self.status,
            service_name,
            host_ip: self.host,
            metric_value: reading.as_ref().map(|reading| reading.value).filter(|value| value.is_finite()),
            timestamp: self.start,
            labels,
            description,
            metric_value_from,
            metric_unit: reading.and_then(|reading| reading.unit),
            fingerprint,
            // An end before the beginning comes from clocks that disagree.
            ended_at: self.ended.filter(|_| self.status == Status::Resolved).map(|ended| ended.max(self.start)),
            link: self.link.filter(|link| is_link(link)).map(Tainted::new),
        })
    }
}

/// Only pages: whatever a chat would run or open otherwise stays out.
fn is_link(link: &str) -> bool {
    link.len() <= LINK && (link.starts_with("http://") || link.starts_with("https://"))
}

/// 16 hex digits over some parts.
pub(super) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = digest::of_parts(parts.into_iter().map(str::as_bytes));
    digest.truncate(16);
    digest
}

/// 16 hex digits over labels.
pub(super) fn fingerprint_of_labels(source: &str, labels: &BTreeMap<String, String>) -> String {
    let parts = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    fingerprint(std::iter::once(source).chain(parts))
}

/// The status of a word; none if no table knows it.
pub(super) fn status(word: &str) -> Option<Status> {
    match word.trim().to_ascii_lowercase().as_str() {
        "firing" | "problem" | "triggered" | "active" | "open" | "alerting" | "alarm" | "down" | "1" => {
            Some(Status::Firing)
        }
        "resolved" | "recovery" | "recovered" | "ok" | "normal" | "closed" | "inactive" | "up" | "0" => {
            Some(Status::Resolved)
        }
        _ => None,
    }
}

/// A zero is no text anywhere else: databases refuse it, terminals swallow it.
fn without_zero(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

//! The door of the room: which formats there are, what a parser is told, and what it answers.

use serde::{Deserialize, Serialize};

use super::{Alert, Names, alertmanager, detect, generic, json, zabbix};
use crate::core::Timestamp;

/// How a sender writes its alerts; the last part of `/webhook/<format>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Alertmanager's webhook, version 4.
    Alertmanager,
    /// Zabbix, through the media type that Mayday documents.
    Zabbix,
    /// Mayday's own simple JSON.
    Generic,
    /// Find out which of them it is.
    Alert,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alertmanager, Self::Zabbix, Self::Generic, Self::Alert];

    /// As it stands in the path.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Zabbix => "zabbix",
            Self::Generic => "generic",
            Self::Alert => "alert",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.word() == text)
            .ok_or_else(|| UnknownFormat(text.chars().take(40).collect()))
    }
}

/// No such format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no alert format `{0}`; use alertmanager, zabbix, generic, or alert to have it found out")]
pub struct UnknownFormat(String);

/// What can be set about reading alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The time zone that the Zabbix server writes its times in, since Zabbix does not say: `UTC`, `+02:00` or
    /// `Europe/Berlin`. Mayday compares it with the age in each message and notes when it seems wrong.
    pub zabbix_time_zone: Zone,
    /// A body with more alerts than this is refused as a whole (413).
    pub max_alerts: usize,
    /// Labels kept for one alert; the rest is dropped with a note.
    pub max_labels: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { zabbix_time_zone: Zone::default(), max_alerts: 10_000, max_labels: 128 }
    }
}

/// A time zone by name or offset, checked when it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    text: String,
    zone: jiff::tz::TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Self { text: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }
}

impl Zone {
    /// The zone itself.
    #[must_use]
    pub fn zone(&self) -> &jiff::tz::TimeZone {
        &self.zone
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for Zone {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, NotAZone> {
        let wrong = || NotAZone(text.chars().take(60).collect());
        let zone = match text.as_bytes() {
            b"UTC" | b"Z" => jiff::tz::TimeZone::UTC,
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let digits: Vec<u8> = rest.iter().copied().filter(|byte| *byte != b':').collect();
                let &[h1, h2, m1, m2] = digits.as_slice() else { return Err(wrong()) };
                if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
                    return Err(wrong());
                }
                let number = |tens: u8, ones: u8| i32::from(tens - b'0') * 10 + i32::from(ones - b'0');
                let seconds = number(h1, h2) * 3600 + number(m1, m2) * 60;
                let signed = if *sign == b'-' { -seconds } else { seconds };
                jiff::tz::Offset::from_seconds(signed).map_err(|_| wrong())?.to_time_zone()
            }
            _ => jiff::tz::TimeZone::get(text).map_err(|_| wrong())?,
        };
        Ok(Self { text: text.to_owned(), zone })
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl schemars::JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeZone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "UTC, +02:00 or Europe/Berlin" })
    }
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone; write UTC, +02:00 or a name like Europe/Berlin")]
pub struct NotAZone(String);

/// What a parser knows beside the body.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// When the body came in; the start of an alert that names none.
    pub received_at: Timestamp,
    /// The catalogue's names for services.
    pub names: &'a dyn Names,
    /// Settings.
    pub options: &'a Options,
}

/// What was read from a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The format it was in.
    pub format: Format,
    /// What could be read, in the body's order.
    pub alerts: Vec<Read>,
    /// What could not, in the body's order.
    pub rejected: Vec<Rejected>,
    /// What was cut or assumed, for the answer and the log; at most [`MAX_NOTES`].
    pub notes: Vec<String>,
    /// Alerts that the sender says it left out of this body (Alertmanager's `max_alerts`).
    pub truncated: u64,
    /// The body carries so many alerts, which is more than [`Options::max_alerts`]: none of them was read.
    pub too_many: Option<usize>,
}

/// More notes than this would repeat themselves.
pub const MAX_NOTES: usize = 20;

impl Parsed {
    pub(super) fn new(format: Format) -> Self {
        Self { format, alerts: Vec::new(), rejected: Vec::new(), notes: Vec::new(), truncated: 0, too_many: None }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// One alert as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Its place in the body, from 0.
    pub index: usize,
    /// The alert.
    pub alert: Alert,
    /// How to recognise its occurrence.
    pub identity: Identity,
}

/// How the occurrence of an alert is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// By its `alert_id`: the sender repeats the same start with every message about it.
    Start,
    /// The sender may leave the start out, or send another time with the end than with the beginning: an end belongs to
    /// whichever occurrence of the fingerprint is known to fire.
    Series {
        /// The message has no start; `timestamp` is when it was received.
        start_assumed: bool,
        /// The sender named the occurrence itself, so its start is not looked at.
        id_given: bool,
    },
}

/// An alert that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Which part is wrong, and what was expected.
    pub why: String,
    /// The alert as it came; not part of the answer.
    #[serde(skip)]
    pub text: String,
}

/// Nothing of a body could be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}; looked for {looked_for}")]
pub struct NotUnderstood {
    /// What is wrong, with the place.
    pub why: String,
    /// What would have been understood.
    pub looked_for: String,
}

/// Reads a body.
///
/// # Errors
/// [`NotUnderstood`] when it is no JSON of the format, or when every alert in it is wrong.
pub fn parse(format: Format, body: &[u8], reader: Reader<'_>) -> Result<Parsed, NotUnderstood> {
    let text = json::text(body).map_err(|why| NotUnderstood { why, looked_for: looked_for(format).to_owned() })?;
    let wrong = |why| NotUnderstood { why, looked_for: looked_for(format).to_owned() };
    let body = json::Body::read(text).map_err(wrong)?;
    let parsed = match format {
        Format::Alertmanager => alertmanager::parse(&body, reader),
        Format::Zabbix => zabbix::parse(&body, reader),
        Format::Generic => generic::parse(&body, reader),
        Format::Alert => match detect::format(&body) {
            Some(Format::Alertmanager) => alertmanager::parse(&body, reader),
            Some(Format::Zabbix) => zabbix::parse(&body, reader),
            Some(Format::Generic) => generic::parse(&body, reader),
            Some(Format::Alert) | None => Err("the body looks like none of the known formats".to_owned()),
        },
    }
    .map_err(wrong)?;
    match parsed.rejected.first() {
        Some(first) if parsed.alerts.is_empty() => {
            let count = parsed.rejected.len();
            let why = if count == 1 {
                first.why.clone()
            } else {
                format!("none of its {count} alerts can be read; the first: {}", first.why)
            };
            Err(NotUnderstood { why, looked_for: looked_for(parsed.format).to_owned() })
        }
        _ => Ok(parsed),
    }
}

/// What each format needs, for the answer to someone whose body was not understood.
fn looked_for(format: Format) -> &'static str {
    match format {
        Format::Alertmanager => {
            "Alertmanager's webhook JSON: {\"version\":\"4\",\"alerts\":[{\"status\",\"labels\":{\"alertname\"},\"startsAt\"}]}"
        }
        Format::Zabbix => {
            "the JSON of Mayday's Zabbix media type: event_name, event_value or event_status, event_date and event_time, trigger_id"
        }
        Format::Generic => {
            "one JSON object with alert_name (and severity, status, service_name, host_ip, metric_value, timestamp, labels, description), a list of them, or {\"alerts\":[…]}"
        }
        Format::Alert => {
            "Alertmanager ({\"alerts\":[{\"labels\":{\"alertname\"}}]}), Zabbix (event_id and trigger_id) or Mayday's own JSON (alert_name)"
        }
    }
}

/// Runs one format's reading of a single alert over all of them, with the limits that hold for every format.
pub(super) fn each<'a>(
    format: Format,
    body: &json::Body<'a>,
    reader: Reader<'_>,
    read: impl Fn(&json::Fields<'_>, &mut Vec<String>) -> Result<(Alert, Identity), String>,
) -> Parsed {
    let mut parsed = Parsed::new(format);
    if body.alerts.len() > reader.options.max_alerts {
        parsed.too_many = Some(body.alerts.len());
        return parsed;
    }
    let mut notes = Vec::new();
    for (index, raw) in body.alerts.iter().enumerate() {
        let place = body.place(index);
        match json::object(raw, &place).and_then(|object| {
            let fields = json::Fields::new(&object, place);
            read(&fields, &mut notes)
        }) {
            Ok((alert, identity)) => parsed.alerts.push(Read { index, alert, identity }),
            Err(why) => parsed.rejected.push(Rejected { index, why, text: raw.get().to_owned() }),
        }
        for note in notes.drain(..) {
            parsed.note(note);
        }
    }
    parsed
}

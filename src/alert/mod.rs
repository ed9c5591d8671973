//! One normalised signal, whatever sent it. One file per source format; pure: bytes in, alerts or a reason out.
//!
//! [`parse`] reads a body as one [`Format`] (or finds the format out); what comes back is [`Parsed`]: the alerts it
//! could read, each with its index in the body, the ones it could not with the reason, and notes on what was cut or
//! assumed. Nothing here does I/O or asks a clock: the time of receipt is a parameter.
//!
//! Which label names the service is documented at [`service`], where a number comes from at [`number`] and in each
//! format's file, how words become a severity at [`severity`].

mod alertmanager;
mod detect;
mod draft;
#[cfg(test)]
mod fuzz;
mod generic;
pub mod host;
mod json;
pub mod number;
pub mod parse;
pub mod service;
pub mod severity;
mod time;
mod zabbix;

pub use parse::{Format, Identity, NotUnderstood, Options, Parsed, Read, Reader, Rejected, Zone, parse};
pub use service::Names;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::core::{Tainted, Timestamp, digest};

/// How bad it is. A table per source maps its words to these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Severity {
    /// For the record.
    Info,
    /// Someone should look today.
    Warning,
    /// Someone must look now.
    Critical,
}

/// Whether the alert holds or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It holds.
    Firing,
    /// It has ended.
    Resolved,
}

/// One normalised signal: the eleven fields, and beside them what Mayday needs to recognise it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// One occurrence: start time (hex milliseconds, so that keys sort by time), `-`, digest of source + fingerprint + start.
    pub alert_id: AlertId,
    /// Who says it: `alertmanager`, `zabbix`, `generic`, `mayday` (own rules) …
    pub source_system: String,
    /// What it is called there.
    pub alert_name: Tainted,
    /// How bad.
    pub severity: Severity,
    /// Holds or ended.
    pub status: Status,
    /// The catalogue's name for the service, else the label as it came; empty when nothing names one.
    pub service_name: Tainted,
    /// The host's address without a port.
    pub host_ip: Option<IpAddr>,
    /// The measured number, in whatever unit the sender uses; never NaN or infinite.
    pub metric_value: Option<f64>,
    /// When it started, UTC.
    pub timestamp: Timestamp,
    /// All labels as they came.
    pub labels: BTreeMap<String, Tainted>,
    /// What a person reads about it.
    pub description: Tainted,

    /// Where `metric_value` was read from: a path in the sender's message, as `annotations.value` or `event_opdata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_value_from: Option<String>,
    /// Unit of `metric_value` as the sender writes it (`%`, `ms`, `B`), when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_unit: Option<String>,
    /// What makes two alerts the same series.
    pub fingerprint: Fingerprint,
    /// When it ended, if it has and the sender says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// A page of the sender about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Tainted>,
}

/// Source + the labels that identify a series, as a digest (16 hex digits) or the sender's own fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// One occurrence of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub String);

impl AlertId {
    /// The id of the occurrence of `fingerprint` at `source` that started at `start`: the same for the same occurrence,
    /// whoever computes it and however often it comes.
    #[must_use]
    pub fn of(source: &str, fingerprint: &Fingerprint, start: Timestamp) -> Self {
        let millis = start.as_millisecond().clamp(0, 0xfff_ffff_ffff);
        let nanos = start.as_nanosecond().to_be_bytes();
        let digest = digest::of_parts([source.as_bytes(), fingerprint.0.as_bytes(), &nanos]);
        Self(format!("{millis:011x}-{}", &digest[..20]))
    }
}

impl Severity {
    /// From mild to bad.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// As people read it and as it is stored: `Critical`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }
}

impl std::fmt::Display for AlertId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

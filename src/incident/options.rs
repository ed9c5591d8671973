//! What can be set about incidents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert;
use crate::core::duration::Span;

/// How alerts become incidents and where these are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What alerts of one incident have in common: `service_name`, `alert_name`, `host_ip`, `source_system`, or the name
    /// of a label. When none of them is there (or only the scrape job names the service), alert name and host are used.
    pub group_by: Vec<String>,
    /// An alert that comes within this time after the end reopens the incident; a later one opens a new one.
    pub reopen_within: Span,
    /// The team of what the catalogue does not know.
    pub default_team: String,
    /// The channel of what has none of its own.
    pub default_channel: String,
    /// Channel per team, for services without one of their own.
    pub team_channels: BTreeMap<String, String>,
    /// The chat that channels are in.
    pub chat: String,
    /// With more items in the inbox than this, bodies are refused with 503 until it has shrunk.
    pub inbox_limit: usize,
    /// The largest body, bytes.
    pub max_body: usize,
    /// How many rejected alerts are kept aside; the oldest go first.
    pub set_aside_limit: usize,
    /// How alerts are read.
    pub alerts: alert::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group_by: vec!["service_name".to_owned()],
            reopen_within: Span::from_secs(15 * 60),
            default_team: "ops".to_owned(),
            default_channel: "incidents".to_owned(),
            team_channels: BTreeMap::new(),
            chat: "web".to_owned(),
            inbox_limit: 10_000,
            max_body: 4 * 1024 * 1024,
            set_aside_limit: 1000,
            alerts: alert::Options::default(),
        }
    }
}

//! What Mayday looks at by itself: the `watch:` part of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::expr::Query;
use super::rules::RuleOptions;
use crate::core::duration::Span;

/// The whole part. Everything is off until it is written down, but the host's own metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The machine Mayday runs on.
    pub host: HostOptions,
    /// `/metrics` pages in the Prometheus text format.
    pub scrape: Vec<ScrapeOptions>,
    /// Log files.
    pub logs: LogOptions,
    /// Programs that Mayday starts, watches and ends with itself.
    pub processes: Vec<ProcessOptions>,
    /// Own alert rules.
    pub rules: Vec<RuleOptions>,
    /// How the rules are evaluated.
    pub rule_defaults: RuleDefaults,
}

/// CPU, load, memory, disks and network of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostOptions {
    /// Whether they are read at all.
    pub enabled: bool,
    /// What the machine is called where several replicas share a store; its host name when missing. Machines must differ in
    /// it, and it should outlast a restart.
    pub name: Option<String>,
    /// How often.
    pub interval: Span,
    /// Labels that all of them get, `{host: web-1}`.
    pub labels: BTreeMap<String, String>,
}

impl HostOptions {
    /// What the machine is called.
    #[must_use]
    pub fn machine(&self) -> String {
        let named = self.name.clone().or_else(|| sysinfo::System::host_name().ok());
        named.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "localhost".to_owned())
    }
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { enabled: true, name: None, interval: Span::from_secs(10), labels: BTreeMap::new() }
    }
}

/// One page of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeOptions {
    /// The catalogue's name; becomes the label `service` of all its series.
    pub service: String,
    /// `http://127.0.0.1:9100/metrics`.
    pub url: String,
    /// How often it is read.
    #[serde(default = "fifteen_seconds")]
    pub interval: Span,
    /// How long an answer may take; the target counts as down after that. Not longer than the interval.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
    /// Further labels of all its series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// At most so many series on the page; a longer page counts as not readable (`up` 0), and the reason says so.
    #[serde(default = "five_thousand")]
    pub max_series: usize,
    /// At most so many bytes of it, after decompression.
    #[serde(default = "four_mebibytes")]
    pub max_bytes: usize,
}

const fn fifteen_seconds() -> Span {
    Span::from_secs(15)
}
const fn five_seconds() -> Span {
    Span::from_secs(5)
}
const fn five_thousand() -> usize {
    5_000
}
const fn four_mebibytes() -> usize {
    4 * 1024 * 1024
}

/// Log files and how much of them is kept in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// Which files.
    pub files: Vec<LogFile>,
    /// Bytes of lines kept in memory per service; the oldest go first.
    pub keep_bytes: usize,
    /// A longer line is cut there, and ends with `…`.
    pub line_bytes: usize,
    /// How often the files are looked at.
    pub poll: Span,
    /// How much of a file's end is read when Mayday starts.
    pub read_back_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            keep_bytes: 1024 * 1024,
            line_bytes: 8 * 1024,
            poll: Span(std::time::Duration::from_millis(500)),
            read_back_bytes: 64 * 1024,
        }
    }
}

/// The log files of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// The catalogue's name.
    pub service: String,
    /// Absolute; the file's name may hold `*` and `?`: `/var/log/orders/*.log`. At most 32 files match.
    pub path: PathBuf,
}

/// A program that Mayday starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessOptions {
    /// What it is called in commands and in the catalogue's `restart: {process: …}`.
    pub name: String,
    /// Its service; the name when missing. Output and metrics go under it.
    #[serde(default)]
    pub service: Option<String>,
    /// The program: a path, or a name found through PATH. No shell.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment, beside PATH, HOME, LANG, TZ and TMPDIR, which it gets from Mayday. Nothing else is handed on.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it starts; Mayday's own folder when missing.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Whether it is started again when it ends by itself. Off: a crash stays visible until someone decides.
    #[serde(default)]
    pub restart_on_exit: bool,
    /// The first pause before such a restart; doubles each time.
    #[serde(default = "one_second")]
    pub backoff: Span,
    /// The longest pause. A process that ran longer than this starts again with the first pause.
    #[serde(default = "one_minute")]
    pub backoff_limit: Span,
    /// How long it may take to end after SIGTERM before it gets SIGKILL.
    #[serde(default = "five_seconds")]
    pub grace: Span,
}

const fn one_second() -> Span {
    Span::from_secs(1)
}
const fn one_minute() -> Span {
    Span::from_secs(60)
}

impl ProcessOptions {
    /// The service it belongs to.
    #[must_use]
    pub fn service(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.name)
    }
}

/// How rules are evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleDefaults {
    /// How often.
    pub every: Span,
    /// At most so many series of one rule are followed; further ones are counted and said.
    pub max_series: usize,
    /// State changes remembered per series.
    pub history: usize,
}

impl Default for RuleDefaults {
    fn default() -> Self {
        Self { every: Span::from_secs(5), max_series: 500, history: 20 }
    }
}

/// A mistake in the options: where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path below `watch`: `rules[2].expr`.
    pub path: String,
    /// What is wrong and the fix.
    pub why: String,
}

impl Options {
    /// Everything in them that can't work, all at once.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |path: String, why: String| problems.push(Problem { path, why });
        if self.host.interval.0 < std::time::Duration::from_secs(1) {
            wrong("host.interval".into(), "is below one second; write 1s or more".into());
        }
        if let Some(name) = &self.host.name
            && (name.trim().is_empty() || name.len() > 253 || name.contains(char::is_control))
        {
            wrong("host.name".into(), "must be a name of 1 to 253 bytes without control characters".into());
        }
        for (index, target) in self.scrape.iter().enumerate() {
            let path = |field: &str| format!("scrape[{index}].{field}");
            match reqwest::Url::parse(&target.url) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => {}
                _ => wrong(path("url"), "is not an http:// or https:// address".into()),
            }
            if target.interval.0 < std::time::Duration::from_secs(1) {
                wrong(path("interval"), "is below one second; write 1s or more".into());
            }
            if target.timeout > target.interval || target.timeout.0.is_zero() {
                wrong(path("timeout"), "must lie between 1 ms and the interval".into());
            }
            for label in target.labels.keys() {
                let selector = format!("{{{label}=\"\"}}");
                if Query::parse(&selector).is_err() || label == "service" {
                    wrong(
                        path("labels"),
                        format!("`{label}` can't be a label here; letters, digits and _ are, `service` has a field"),
                    );
                }
            }
        }
        for (index, file) in self.logs.files.iter().enumerate() {
            let folder = file.path.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
            if !file.path.is_absolute() || folder.contains(['*', '?']) {
                wrong(
                    format!("logs.files[{index}].path"),
                    "must be absolute, with * and ? in the file's name only".into(),
                );
            }
        }
        if self.logs.poll.0 < std::time::Duration::from_millis(50) {
            wrong("logs.poll".into(), "is below 50 ms; reading would never rest".into());
        }
        for (what, value, least) in
            [("keep_bytes", self.logs.keep_bytes, 4_096), ("line_bytes", self.logs.line_bytes, 128)]
        {
            if value < least {
                wrong(format!("logs.{what}"), format!("is below {least}"));
            }
        }
        for (index, process) in self.processes.iter().enumerate() {
            if process.name.is_empty() || self.processes[..index].iter().any(|other| other.name == process.name) {
                wrong(
                    format!("processes[{index}].name"),
                    format!("`{}` is empty or names another process as well", process.name),
                );
            }
            if process.program.as_os_str().is_empty() {
                wrong(format!("processes[{index}].program"), "is empty; name the program to start".into());
            }
        }
        if self.rule_defaults.every.0 < std::time::Duration::from_millis(100) {
            wrong("rule_defaults.every".into(), "is below 100 ms".into());
        }
        for (index, rule) in self.rules.iter().enumerate() {
            for (field, why) in rule.problems() {
                wrong(format!("rules[{index}].{field}"), why);
            }
            if self.rules[..index].iter().any(|other| other.id == rule.id) {
                wrong(format!("rules[{index}].id"), format!("`{}` names another rule as well", rule.id));
            }
        }
        problems
    }
}

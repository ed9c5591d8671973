//! Asks every source about every service at once, each with its own time limit.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::ports::HealthAnswer;
use super::scope::{Looked, Scope};
use super::{Options, Sources, Subject};
use crate::analysis::Outcome;
use crate::core::{BoxFuture, Timestamp};
use crate::source::{self, LogPage, LogQuery, MetricQuery, Series};
use crate::watch::process::Status;
use crate::watch::scrape::TargetStatus;

/// Services asked at the same time.
const AT_ONCE: usize = 6;
/// Points per series.
const POINTS: u32 = 240;
/// An incident older than this is looked at only in its first part: what began it happened there.
const AT_MOST: Duration = Duration::from_secs(3600);

/// Which time is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub from: Timestamp,
    pub since: Timestamp,
    pub to: Timestamp,
    pub step: Duration,
    /// Whether the trouble lasts, so that the present state of processes tells something about it.
    pub lasts: bool,
}

pub(super) fn window(subject: &Subject, now: Timestamp, look_back: Duration) -> Window {
    let since = subject.since.min(now);
    let from = since - look_back;
    let to = subject.until.unwrap_or(now).min(since + AT_MOST).max(since);
    let whole = Duration::try_from(to.duration_since(from)).unwrap_or(look_back);
    // Whole seconds, at least two: own series are rarely denser than that.
    let step = Duration::from_secs((whole / POINTS).as_secs().max(2));
    Window { from, since, to, step, lasts: subject.until.is_none() }
}

/// An answer, or one of the three ways to have none.
#[derive(Debug, Clone)]
pub(super) enum Asked<T> {
    Data(T),
    Empty,
    Timeout,
    Failed(String),
}

impl<T> Asked<T> {
    pub(super) fn data(&self) -> Option<&T> {
        match self {
            Self::Data(data) => Some(data),
            _ => None,
        }
    }

    /// As evidence shows it.
    pub(super) fn outcome(&self, rows: impl Fn(&T) -> (u64, bool)) -> Outcome {
        match self {
            Self::Data(data) => {
                let (rows, truncated) = rows(data);
                Outcome::Data { rows, truncated }
            }
            Self::Empty => Outcome::Empty,
            Self::Timeout => Outcome::Timeout,
            Self::Failed(why) => Outcome::Failed { why: why.clone() },
        }
    }
}

/// All answers about one service.
#[derive(Debug)]
pub(super) struct Seen {
    pub service: String,
    pub metric_query: String,
    pub metrics: Asked<Vec<Series>>,
    pub logs: Asked<LogPage>,
    pub processes: Vec<Status>,
    pub targets: Vec<TargetStatus>,
    /// The address, and what it answered; none if the catalogue names no health check, or the trouble is over.
    pub health: Option<(String, HealthAnswer)>,
}

pub(super) async fn all(sources: &Sources, scope: &Scope, window: &Window, options: &Options) -> Vec<Seen> {
    // Boxed one by one: the compiler can't see that a stream of borrowing futures is Send.
    let asked = scope
        .services
        .iter()
        .map(|service| -> BoxFuture<'_, Seen> { Box::pin(one(sources, service, window, options)) });
    let asked: Vec<BoxFuture<'_, Seen>> = asked.collect();
    futures_util::stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn one(sources: &Sources, service: &Looked, window: &Window, options: &Options) -> Seen {
    let limit = options.source_timeout.0;
    let metric_query = selector(service);
    let ask_metrics = MetricQuery { expr: metric_query.clone(), from: window.from, to: window.to, step: window.step };
    let ask_logs = LogQuery {
        service: service.name.clone(),
        from: window.from,
        to: window.to + Duration::from_millis(1),
        words: Vec::new(),
        limit: options.log_lines,
    };
    let health = async {
        match &service.health {
            Some(url) if window.lasts => {
                Some((url.clone(), sources.health.ask(url, options.health_timeout.0.min(limit)).await))
            }
            _ => None,
        }
    };
    let (metrics, logs, health) = tokio::join!(
        within(limit, sources.metrics.range(&ask_metrics), Vec::is_empty),
        within(limit, sources.logs.search(&ask_logs), |page: &LogPage| page.total == 0),
        health,
    );
    Seen {
        service: service.name.clone(),
        metric_query,
        metrics,
        logs,
        processes: sources.machine.processes(&service.name),
        targets: sources.machine.targets(&service.name),
        health,
    }
}

/// All series of a service but histogram buckets, which are many and say nothing here that sum and count don't.
fn selector(service: &Looked) -> String {
    let labels: Vec<String> = service
        .labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}, __name__!~\".+_bucket\"}}", labels.join(", "))
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, source::Error>>,
    empty: impl Fn(&T) -> bool,
) -> Asked<T> {
    match tokio::time::timeout(limit, answer).await {
        Err(_) | Ok(Err(source::Error::Timeout(_))) => Asked::Timeout,
        Ok(Err(error)) => Asked::Failed(super::observe::outside(&error.to_string())),
        Ok(Ok(data)) if empty(&data) => Asked::Empty,
        Ok(Ok(data)) => Asked::Data(data),
    }
}

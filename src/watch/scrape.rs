//! Reads `/metrics` pages into own series.
//!
//! Each page gives, beside its own series, `up` (1 if it could be read whole, else 0), `scrape_duration_seconds` and
//! `scrape_samples_scraped`, all with the target's labels. A label of the page that the target has as well is kept as
//! `exported_<label>`. Samples get the time of the scrape: a target's clock is not ours to trust.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::options::ScrapeOptions;
use crate::core::stop::Stop;
use crate::core::{SharedClock, Timestamp, text};
use crate::source::{Reading, exposition};
use crate::store::series::{Sample, Series, SeriesKey};

/// How one target answered last.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStatus {
    /// The catalogue's name.
    pub service: String,
    /// Which page.
    pub url: String,
    /// How it answered; none before the first scrape.
    pub answer: Option<Answer>,
    /// Since when it is up or down, as it is now.
    pub since: Option<Timestamp>,
    /// The last scrape.
    pub at: Option<Timestamp>,
}

impl TargetStatus {
    /// Whether its page could be read last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_up)
    }
}

/// What a scrape came to. Silence, refusal and nonsense are three different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The page was read.
    Up,
    /// The connection stood, or was being made, and no whole answer came in time: a hung process looks like this.
    Silent(Duration),
    /// Nobody listens, or the name is not known.
    Unreachable(String),
    /// It answered with something else than a page of metrics.
    Unreadable(String),
}

impl Answer {
    /// Whether the target is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Silent(_) => "silent",
            Self::Unreachable(_) => "unreachable",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Up => f.write_str("answers"),
            Self::Silent(limit) => write!(f, "no answer within {}", crate::core::duration::human(*limit)),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Unreadable(why) => write!(f, "not readable: {why}"),
        }
    }
}

/// What is known about the targets. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// A plain lock, held for a copy.
    known: Arc<Mutex<Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    status: TargetStatus,
    /// Whether it has ever answered.
    answered: bool,
    /// Whether it was said that it is down.
    warned: bool,
}

/// A target that has never answered gets this long to start before it is called down in the log: what starts together with
/// Mayday is not ready at once.
const START: Duration = Duration::from_secs(15);

impl Targets {
    fn new(all: impl Iterator<Item = TargetStatus>) -> Self {
        let known = all.map(|status| Known { status, answered: false, warned: false });
        Self { known: Arc::new(Mutex::new(known.collect())) }
    }

    /// All targets as they answered last.
    #[must_use]
    pub fn list(&self) -> Vec<TargetStatus> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|target| target.status.clone()).collect()
    }

    /// The targets of one service.
    #[must_use]
    pub fn of(&self, service: &str) -> Vec<TargetStatus> {
        self.list().into_iter().filter(|target| target.service == service).collect()
    }

    /// Keeps an answer; true if it made a warning.
    fn note(&self, index: usize, answer: Answer, at: Timestamp) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { status, answered, warned } = &mut known[index];
        let moved = status.answer.as_ref().is_none_or(|before| before.is_up() != answer.is_up());
        if moved {
            status.since = Some(at);
        }
        let down = status.since.and_then(|since| Duration::try_from(at.duration_since(since)).ok()).unwrap_or_default();
        let warns = !answer.is_up() && !*warned && (*answered || down >= START);
        if warns {
            tracing::warn!(service = status.service, url = status.url, answer = %answer, "scrape target is down");
        } else if moved && answer.is_up() {
            tracing::info!(service = status.service, url = status.url, "scrape target is up");
        }
        *answered |= answer.is_up();
        *warned = !answer.is_up() && (*warned || warns);
        status.answer = Some(answer);
        status.at = Some(at);
        warns
    }
}

/// Reads all targets, each on its own beat.
#[derive(Debug)]
pub struct Scraper {
    options: Vec<ScrapeOptions>,
    client: reqwest::Client,
    series: Arc<Series>,
    clock: SharedClock,
    targets: Targets,
}

impl Scraper {
    /// A scraper and what it will know.
    ///
    /// # Errors
    /// The HTTP client can't be made (no TLS provider installed).
    pub fn new(
        options: Vec<ScrapeOptions>,
        series: Arc<Series>,
        clock: SharedClock,
    ) -> Result<(Self, Targets), super::Error> {
        let client = reqwest::Client::builder()
            // A redirect would move the blame to another address.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .user_agent(concat!("mayday/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| super::Error::Http(format!("{error:?}")))?;
        let status = options.iter().map(|target| TargetStatus {
            service: target.service.clone(),
            url: target.url.clone(),
            answer: None,
            since: None,
            at: None,
        });
        let targets = Targets::new(status);
        Ok((Self { options, client, series, clock, targets: targets.clone() }, targets))
    }

    /// Scrapes until asked to stop.
    pub async fn run(self, stop: Stop) {
        let scraper = &self;
        let beats = scraper.options.iter().enumerate().map(|(index, target)| {
            let stop = stop.clone();
            async move {
                // Spread over the interval's first part, so that not all targets answer in the same instant.
                let spread = target.interval.0.min(Duration::from_secs(1)) * (index as u32 % 10) / 10;
                scraper.clock.sleep(spread).await;
                let mut due = scraper.clock.now();
                loop {
                    scraper.scrape(index, target).await;
                    // From beat to beat, not from end to end: the points stay evenly apart however long an answer takes.
                    due += target.interval.0;
                    let now = scraper.clock.now();
                    let pause = Duration::try_from(due.duration_since(now)).unwrap_or_else(|_| {
                        due = now;
                        Duration::ZERO
                    });
                    tokio::select! {
                        () = stop.wait() => return,
                        () = scraper.clock.sleep(pause) => {}
                    }
                }
            }
        });
        let all = futures_util::future::join_all(beats);
        tokio::select! {
            () = stop.wait() => {}
            _ = all => stop.wait().await,
        }
    }

    async fn scrape(&self, index: usize, target: &ScrapeOptions) {
        let began = Instant::now();
        let limit = target.timeout.0;
        let read = match tokio::time::timeout(limit, self.page(target)).await {
            Ok(read) => read,
            Err(_) => Err(Answer::Silent(limit)),
        };
        let took = began.elapsed();
        let at = self.clock.now();
        let (answer, readings) = match read {
            Ok(page) => (Answer::Up, page.samples),
            Err(answer) => (answer, Vec::new()),
        };
        let mut own: BTreeMap<String, String> = target.labels.clone();
        own.insert("service".to_owned(), target.service.clone());
        let told = |name: &str, value: f64| Sample {
            key: SeriesKey { name: name.to_owned(), labels: own.clone() },
            at,
            value,
        };
        let mut samples = vec![
            told("up", f64::from(u8::from(answer.is_up()))),
            told("scrape_duration_seconds", took.as_secs_f64()),
            told("scrape_samples_scraped", readings.len() as f64),
        ];
        samples.extend(
            readings.into_iter().filter(|reading| reading.value.is_finite()).map(|reading| labelled(reading, &own, at)),
        );
        super::keep(&self.series, &samples, "scrape");
        metrics::counter!("mayday_watch_scrapes_total", "answer" => answer.word()).increment(1);
        metrics::histogram!("mayday_watch_scrape_seconds").record(took.as_secs_f64());
        self.targets.note(index, answer, at);
    }

    async fn page(&self, target: &ScrapeOptions) -> Result<exposition::Page, Answer> {
        let unreadable = |why: String| Answer::Unreadable(text::capped(&why, 200));
        let failed = |error: reqwest::Error| {
            if error.is_timeout() { Answer::Silent(target.timeout.0) } else { Answer::Unreachable(root_cause(&error)) }
        };
        let request = self.client.get(&target.url).header("accept", "text/plain;version=0.0.4");
        let response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(unreadable(format!("HTTP {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(failed)?);
            if body.len() > target.max_bytes {
                return Err(unreadable(format!("the page has more than {} bytes", target.max_bytes)));
            }
        }
        let limits = exposition::Limits { samples: target.max_series, ..exposition::Limits::default() };
        exposition::parse(&body, &limits).map_err(|error| unreadable(error.to_string()))
    }
}

/// The innermost reason, which is the one that says something (`connection refused`).
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    text::capped(&cause.to_string(), 200)
}

fn labelled(reading: Reading, own: &BTreeMap<String, String>, at: Timestamp) -> Sample {
    let mut labels = own.clone();
    for (label, value) in reading.labels {
        if value.is_empty() {
            continue;
        }
        let label = if own.contains_key(&label) { format!("exported_{label}") } else { label };
        labels.insert(label, value);
    }
    Sample { key: SeriesKey { name: reading.name, labels }, at, value: reading.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_still_starting_is_not_called_down() {
        let at = |second: i64| Timestamp::from_second(1_795_000_000 + second).unwrap();
        let gone = || Answer::Unreachable("connection refused".to_owned());
        let target = |service: &str| TargetStatus {
            service: service.to_owned(),
            url: String::new(),
            answer: None,
            since: None,
            at: None,
        };
        let targets = Targets::new(["gateway", "store"].into_iter().map(target));
        assert!(!targets.note(0, gone(), at(0)), "it starts");
        assert!(!targets.note(0, Answer::Up, at(5)));
        assert!(targets.note(0, gone(), at(10)), "it has answered before");
        assert!(!targets.note(0, gone(), at(15)), "said once");
        assert_eq!(targets.of("gateway")[0].since, Some(at(10)));
        assert!(!targets.note(1, gone(), at(0)));
        assert!(!targets.note(1, gone(), at(14)));
        assert!(targets.note(1, gone(), at(15)), "it never came");
        assert_eq!(targets.of("store")[0].since, Some(at(0)), "down since it was first asked");
    }
}

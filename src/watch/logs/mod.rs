//! Logs of services: the last lines of files and of started processes, in memory, bounded by bytes.
//!
//! Mayday is not a log store: what it keeps is enough to say what changed around an incident. When the bound is reached
//! the oldest lines go, and an answer says that it does not reach back further (`truncated`).
//!
//! Architecture Invariant: secrets are taken out where a line enters ([`Tails::take`]); no reader has to think of it.

mod file;
mod line;
mod ring;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use file::Follower;
pub(in crate::watch) use file::Lines;
pub use line::is_error;

use super::options::LogOptions;
use crate::core::redact::redact;
use crate::core::{BoxFuture, SharedClock, Timestamp};
use crate::source::{Error, LogLine, LogPage, LogQuery, Logs};
use ring::Ring;

/// At most so many services have lines kept; those of further ones are dropped and counted.
const MOST_SERVICES: usize = 256;

/// Takes lines in and searches them. Cheap to clone.
#[derive(Clone)]
pub struct Tails {
    keep_bytes: usize,
    line_bytes: usize,
    clock: SharedClock,
    /// A plain lock: it is held for one line's work, or one search through a megabyte.
    rings: Arc<Mutex<BTreeMap<String, Ring>>>,
}

impl std::fmt::Debug for Tails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tails").field("services", &self.rings().len()).finish_non_exhaustive()
    }
}

impl Tails {
    /// Empty, with these bounds.
    #[must_use]
    pub fn new(options: &LogOptions, clock: SharedClock) -> Self {
        Self { keep_bytes: options.keep_bytes, line_bytes: options.line_bytes, clock, rings: Arc::default() }
    }

    fn rings(&self) -> MutexGuard<'_, BTreeMap<String, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one line without its line break. Bytes that are not UTF-8 become `�`; a line's own time and level are read
    /// from it; a line without a time gets `read_at`, or now.
    pub fn take(&self, service: &str, bytes: &[u8], read_at: Option<Timestamp>) {
        let now = self.clock.now();
        let cut = bytes.len() > self.line_bytes;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(self.line_bytes)]);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return;
        }
        let facts = line::facts(text, now);
        // Control characters (colours) would travel into cards and terminals.
        let text = line::plain(text, cut);
        // Here, once: what is kept is read by chats, rules, evidence and playbooks alike.
        let clean = match redact(&text) {
            Cow::Owned(clean) => Some(clean),
            Cow::Borrowed(_) => None,
        };
        let text = clean.map_or(text, String::into_boxed_str);
        let mut rings = self.rings();
        if !rings.contains_key(service) {
            if rings.len() >= MOST_SERVICES {
                metrics::counter!("mayday_watch_log_lines_dropped_total", "why" => "services").increment(1);
                return;
            }
            rings.insert(service.to_owned(), Ring::new(self.keep_bytes));
        }
        if let Some(ring) = rings.get_mut(service) {
            let evicted = ring.push(facts.at.or(read_at).unwrap_or(now), facts.level, text);
            metrics::counter!("mayday_watch_log_lines_total").increment(1);
            if cut {
                metrics::counter!("mayday_watch_log_lines_cut_total").increment(1);
            }
            if evicted > 0 {
                metrics::counter!("mayday_watch_log_lines_dropped_total", "why" => "old").increment(evicted);
            }
        }
    }

    /// The longest line that is kept whole, in bytes.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// Services that have lines.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        self.rings().keys().cloned().collect()
    }

    /// How many lines of a service match since `from`: what a log rule counts.
    #[must_use]
    pub fn count(&self, service: &str, from: Timestamp, to: Timestamp, words: &[String]) -> u64 {
        let query = LogQuery { service: service.to_owned(), from, to, words: words.to_vec(), limit: 0 };
        self.page(&query).matched
    }

    fn page(&self, query: &LogQuery) -> LogPage {
        let words: Vec<String> = query.words.iter().map(|word| word.to_lowercase()).collect();
        let rings = self.rings();
        let Some(ring) = rings.get(&query.service) else { return LogPage::default() };
        let mut page =
            LogPage { truncated: ring.gone_before().is_some_and(|gone| query.from <= gone), ..LogPage::default() };
        let mut newest = std::collections::VecDeque::new();
        for line in ring.between(query.from, query.to) {
            page.total += 1;
            page.errors += u64::from(line.level.is_some_and(is_error));
            if !words.is_empty() {
                let lower = line.text.to_lowercase();
                if !words.iter().any(|word| lower.contains(word)) {
                    continue;
                }
            }
            page.matched += 1;
            if query.limit > 0 {
                if newest.len() == query.limit {
                    newest.pop_front();
                }
                newest.push_back(line);
            }
        }
        let owned = |line: &ring::Line| LogLine {
            at: line.at,
            level: line.level.map(str::to_owned),
            text: (&*line.text).into(),
        };
        page.lines = newest.into_iter().map(owned).collect();
        page
    }
}

impl Logs for Tails {
    fn search<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, Error>> {
        Box::pin(std::future::ready(Ok(self.page(query))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::clock::ManualClock;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn ask(from: i64, to: i64, words: &[&str], limit: usize) -> LogQuery {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        LogQuery { service: "order".into(), from: at(from), to: at(to), words, limit }
    }

    #[tokio::test]
    async fn a_search_counts_everything_and_returns_the_newest() {
        let clock = ManualClock::at(at(0));
        let tails = Tails::new(&LogOptions::default(), Arc::new(clock.clone()));
        for number in 0..10 {
            let level = if number % 2 == 0 { "ERROR" } else { "INFO" };
            tails.take("order", format!("{level} order {number} Timeout").as_bytes(), None);
            clock.advance(Duration::from_secs(1));
        }
        let page = tails.search(&ask(2, 9, &["timeout"], 2)).await.unwrap();
        assert_eq!((page.total, page.matched, page.errors, page.truncated), (7, 7, 4, false));
        assert_eq!(
            page.lines.iter().map(|line| line.text.as_data()).collect::<Vec<_>>(),
            ["INFO order 7 Timeout", "ERROR order 8 Timeout"]
        );
        assert_eq!(page.lines[1].level.as_deref(), Some("ERROR"));
        let page = tails.search(&ask(0, 20, &["nothing", "order 3"], 5)).await.unwrap();
        assert_eq!((page.total, page.matched), (10, 1));
        assert_eq!(
            tails.search(&LogQuery { service: "pay".into(), ..ask(0, 20, &[], 5) }).await.unwrap(),
            LogPage::default()
        );
    }

    #[tokio::test]
    async fn the_oldest_lines_go_at_the_bound_and_the_answer_says_so() {
        let clock = ManualClock::at(at(0));
        let options = LogOptions { keep_bytes: 4_096, ..LogOptions::default() };
        let tails = Tails::new(&options, Arc::new(clock.clone()));
        for number in 0..1_000 {
            tails.take("order", format!("line {number} {}", "x".repeat(50)).as_bytes(), None);
            clock.advance(Duration::from_secs(1));
        }
        let page = tails.search(&ask(0, 2_000, &[], 1_000)).await.unwrap();
        assert!(page.truncated && page.total < 80 && page.total > 20, "{}", page.total);
        assert!(page.lines.last().unwrap().text.as_data().starts_with("line 999 "));
        assert!(!tails.search(&ask(990, 2_000, &[], 10)).await.unwrap().truncated);
    }

    #[tokio::test]
    async fn secrets_in_lines_are_gone_before_anyone_can_search_them() {
        let tails = Tails::new(&LogOptions::default(), Arc::new(ManualClock::at(at(0))));
        // Put together at run time, so that no scanner of the repository takes it for a real one.
        let jwt = ["eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"].concat();
        tails.take("order", b"ERROR login failed password=hunter2secret user=ana", None);
        tails.take("order", format!("{{\"level\":\"error\",\"msg\":\"got {jwt}\"}}").as_bytes(), None);
        tails.take("order", b"ERROR \x1b[31mpass\x1b[0mword=hunter2secret", None);
        let page = tails.search(&ask(-1, 1, &[], 5)).await.unwrap();
        let lines: Vec<&str> = page.lines.iter().map(|line| line.text.as_data()).collect();
        assert_eq!(
            lines,
            [
                "ERROR login failed password=[redacted] user=ana",
                "{\"level\":\"error\",\"msg\":\"got [redacted]\"}",
                "ERROR password=[redacted]",
            ]
        );
        assert_eq!(page.errors, 3, "what a line says about itself is read all the same");
        assert_eq!(tails.count("order", at(-1), at(1), &["hunter2secret".to_owned()]), 0);
    }

    #[tokio::test]
    async fn odd_bytes_and_endless_lines_are_kept_in_a_form_that_can_be_shown() {
        let options = LogOptions { line_bytes: 128, ..LogOptions::default() };
        let tails = Tails::new(&options, Arc::new(ManualClock::at(at(0))));
        tails.take("order", b"caf\xe9 \x1b[31mred\x1b[0m\r", None);
        tails.take("order", &[b'x'; 10_000], None);
        let page = tails.search(&ask(-1, 1, &[], 5)).await.unwrap();
        assert_eq!(page.lines[0].text.as_data(), "caf\u{fffd} red");
        assert!(page.lines[1].text.as_data().len() <= 132 && page.lines[1].text.as_data().ends_with('…'));
    }
}

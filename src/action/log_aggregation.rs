//! `Log_Aggregation`: counts a service's log lines, those with a keyword, and errors, and groups the newest by template.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{parameters, reading};
use crate::analysis::templates::Miner;
use crate::catalog::Catalog;
use crate::core::duration::Span;
use crate::core::redact::redact;
use crate::core::{BoxFuture, text};
use crate::playbook::Action;
use crate::playbook::action::{Context, Error, Intent, Perform, Planned, Settle};
use crate::source::{self, LogLine, LogQuery, Logs};

const KIND: &str = "Log_Aggregation";
/// Lines that are read for their templates; the counts cover all.
const READ: usize = 500;
/// Longest line in the output, bytes.
const LINE: usize = 500;
/// Templates in the output.
const TEMPLATES: usize = 10;

/// The executor.
pub struct LogAggregation {
    logs: Arc<dyn Logs>,
    catalog: Arc<Catalog>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    service: String,
    #[serde(default = "ten_minutes")]
    time_window: Span,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default = "twenty")]
    limit: f64,
}

const fn ten_minutes() -> Span {
    Span::from_secs(600)
}

const fn twenty() -> f64 {
    20.0
}

impl LogAggregation {
    /// Reads from these logs.
    #[must_use]
    pub fn new(logs: Arc<dyn Logs>, catalog: Arc<Catalog>) -> Self {
        Self { logs, catalog }
    }

    fn check(&self, value: &Value) -> Result<Parameters, Error> {
        let mut parameters: Parameters = parameters(KIND, value)?;
        // A service that the catalogue lacks may still have logs, under the name as it came.
        if let Some(known) = self.catalog.find(&parameters.service) {
            parameters.service.clone_from(&known.name);
        }
        Ok(parameters)
    }
}

impl Action for LogAggregation {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }

    fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let checked =
            self.check(value).map(|parameters| reading(format!("logs of {}", parameters.service), value.clone()));
        Box::pin(std::future::ready(checked))
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let parameters = self.check(&intent.target)?;
            let from = context.now.checked_sub(parameters.time_window.0).unwrap_or(context.now);
            // The end is exclusive, and lines of this very moment count.
            let to = context.now.checked_add(Duration::from_millis(1)).unwrap_or(context.now);
            let query = LogQuery { service: parameters.service, from, to, words: parameters.keywords, limit: READ };
            let page = self.logs.search(&query).await.map_err(failed)?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
            let limit = parameters.limit.clamp(0.0, 100.0) as usize;
            #[expect(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
            let rate = |part: u64| if page.total == 0 { 0.0 } else { part as f64 / page.total as f64 };
            let newest = page.lines.len().saturating_sub(limit);
            Ok(Perform::Done(json!({
                "total": page.total,
                "matched": page.matched,
                "errors": page.errors,
                "error_rate": rate(page.errors),
                "matched_rate": rate(page.matched),
                "lines": page.lines[newest..].iter().map(shown).collect::<Vec<_>>(),
                "templates": templates(&page.lines),
                "truncated": page.truncated,
                "has_data": page.total > 0,
            })))
        })
    }
}

/// What a source's error means for the task.
pub(super) fn failed(error: source::Error) -> Error {
    match error {
        source::Error::BadQuery(_) => Error::Permanent(error.to_string()),
        source::Error::Timeout(_) | source::Error::Failed(_) => Error::Transient(error.to_string()),
    }
}

fn shown(line: &LogLine) -> Value {
    json!({"at": line.at, "level": line.level, "text": text::capped(&redact(line.text.as_data()), LINE)})
}

/// Lines grouped by their template, most frequent first.
fn templates(lines: &[LogLine]) -> Vec<Value> {
    let mut miner = Miner::default();
    for line in lines {
        miner.learn(&redact(line.text.as_data()));
    }
    let mut found: Vec<(u64, String)> =
        (0..miner.len()).filter_map(|id| Some((miner.count(id), text::capped(&miner.template(id)?, LINE)))).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.truncate(TEMPLATES);
    found.into_iter().map(|(count, template)| json!({"template": template, "count": count})).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::action::testing::{carry_out, catalog, now, service};
    use crate::core::Tainted;
    use crate::source::LogPage;

    struct Given(LogPage, Mutex<Vec<LogQuery>>);
    impl Logs for Given {
        fn search<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, source::Error>> {
            self.1.lock().unwrap().push(query.clone());
            Box::pin(std::future::ready(Ok(self.0.clone())))
        }
    }

    fn line(text: &str) -> LogLine {
        LogLine { at: now(), level: Some("ERROR".into()), text: Tainted::new(text) }
    }

    #[tokio::test]
    async fn lines_are_counted_grouped_and_cleaned_of_secrets() {
        let lines = vec![
            line("payment 17 failed after 300ms"),
            line("payment 18 failed after 290ms"),
            line("login password=hunter2"),
        ];
        let page = LogPage { lines, total: 40, matched: 3, errors: 4, truncated: false };
        let given = Arc::new(Given(page, Mutex::default()));
        let known = catalog(vec![service("payment-gateway", |service| service.aliases = vec!["pg".into()])]);
        let action = LogAggregation::new(given.clone(), known);
        let parameters = json!({"service": "PG", "time_window": "10m", "keywords": ["ERROR"], "limit": 2});
        let output = carry_out(&action, parameters).await.unwrap();
        assert_eq!(output["error_rate"], 0.1);
        assert_eq!(output["lines"].as_array().unwrap().len(), 2);
        assert_eq!(output["templates"][0], json!({"template": "payment <*> failed after <*>", "count": 2}));
        assert!(!output.to_string().contains("hunter2"));
        let asked = given.1.lock().unwrap()[0].clone();
        assert_eq!(asked.service, "payment-gateway");
        assert_eq!(asked.from, now() - Duration::from_secs(600));
    }

    #[tokio::test]
    async fn no_lines_are_said_and_have_no_errors() {
        let given = Arc::new(Given(LogPage::default(), Mutex::default()));
        let action = LogAggregation::new(given, catalog(vec![]));
        let output = carry_out(&action, json!({"service": "x"})).await.unwrap();
        assert_eq!((&output["error_rate"], &output["has_data"]), (&json!(0.0), &json!(false)));
        assert!(matches!(carry_out(&action, json!({"service": "x", "typo": 1})).await, Err(Error::Permanent(_))));
    }
}

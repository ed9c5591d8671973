//! The executors as the engine gets them: the right set, under declared names, and every mistake in their options at once.

use std::sync::Arc;

use mayday::action::{self, Deps, Options};
use mayday::catalog::{Catalog, Service};
use mayday::core::BoxFuture;
use mayday::core::clock::SystemClock;
use mayday::playbook::tasks;
use mayday::source::{self, LogPage, LogQuery, Logs, MetricQuery, Metrics, Series};
use mayday::store::memory::Memory;

struct Nothing;
impl Logs for Nothing {
    fn search<'a>(&'a self, _: &'a LogQuery) -> BoxFuture<'a, Result<LogPage, source::Error>> {
        Box::pin(std::future::ready(Ok(LogPage::default())))
    }
}
impl Metrics for Nothing {
    fn range<'a>(&'a self, _: &'a MetricQuery) -> BoxFuture<'a, Result<Vec<Series>, source::Error>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn deps(options: Options, services: Vec<Service>) -> Deps {
    Deps {
        catalog: Arc::new(Catalog::new(services).unwrap()),
        logs: Arc::new(Nothing),
        metrics: Arc::new(Nothing),
        processes: None,
        mail: None,
        store: Memory::shared(),
        clock: SystemClock::shared(),
        own_listener: None,
        options,
    }
}

#[test]
fn every_executor_carries_out_a_declared_task_type_and_none_twice() {
    let actions = action::all(&deps(Options::default(), vec![])).unwrap();
    let mut kinds: Vec<&str> = actions.iter().map(|action| action.kind()).collect();
    assert!(kinds.iter().all(|kind| tasks::find(kind).is_some()), "{kinds:?}");
    kinds.sort_unstable();
    let wanted = [
        "API_Call",
        "Ask_Human",
        "Disk_Cleanup",
        "Log_Aggregation",
        "Metric_Query",
        "Notification",
        "Run_Command",
        "Service_Restart",
        "Wait",
    ];
    assert_eq!(kinds, wanted);
}

#[test]
fn every_mistake_in_the_options_and_the_catalogue_is_named_at_once() {
    let options: Options = serde_json::from_value(serde_json::json!({
        "default_api": "not a url",
        "api_hosts": ["*"],
        "commands": [{"name": "ps", "path": "ps"}],
    }))
    .unwrap();
    let service: Service = serde_json::from_value(serde_json::json!({
        "name": "x",
        "team": "t",
        "restart": {"program": ["systemctl", "restart", "x"]},
        "cleanup": [{"path": "/", "patterns": ["*"]}],
    }))
    .unwrap();
    let wrong = action::all(&deps(options, vec![service])).err().unwrap();
    assert_eq!(wrong.0.len(), 5, "{wrong}");
    let unknown = serde_json::from_value::<Options>(serde_json::json!({"api_host": []}));
    assert!(unknown.is_err(), "unknown keys are errors");
}

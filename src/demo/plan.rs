//! The demo's configuration: what a team would write into `mayday.yaml` for this shop, and nothing a team could not.
//!
//! It is JSON, which is YAML: the same reader and the same checks as for any configuration. The file stands in the data folder
//! for whoever wants to see it.

use std::path::Path;

use serde_json::{Value, json};

use super::shop::part::Part;
use super::town::Town;

/// The team and channel of the shop.
const TEAM: &str = "shop";
const CHANNEL: &str = "incidents";

/// Bytes payment-gateway's folder may hold.
const QUOTA: u64 = 20_000_000;

/// The whole configuration, for Mayday on `port` and the binary at `program`.
#[must_use]
pub fn configuration(town: &Town, port: u16, program: &Path) -> Value {
    json!({
        "data": town.data,
        "http": {
            "listen": format!("127.0.0.1:{port}"),
            "open_webhooks_on_loopback": true,
        },
        "incidents": {
            "default_team": TEAM,
            "default_channel": CHANNEL,
            // A fault made again is a new story.
            "reopen_within": "10s",
        },
        // A service of the shop answers in milliseconds: whoever asks a hung one should know soon.
        "actions": { "api_timeout": "1s" },
        // In the demo one person has all the roles: one approves also what can't be taken back, and the card says so.
        "playbooks": {
            "approvals": { "reversible": 1, "disruptive": 1, "destructive": 1 },
            "allow_self": true,
            "folder": town.playbooks(),
        },
        "services": Part::SERVICES.iter().map(|part| service(town, *part)).collect::<Vec<_>>(),
        "watch": {
            "host": { "interval": "5s" },
            "scrape": Part::SERVICES.iter().map(|part| scrape(town, *part)).collect::<Vec<_>>(),
            "processes": Part::SERVICES.iter().copied().chain([Part::Load])
                .map(|part| process(town, part, program)).collect::<Vec<_>>(),
            "rule_defaults": { "every": "1s" },
            "rules": rules(),
        },
    })
}

fn service(town: &Town, part: Part) -> Value {
    let mut service = json!({
        "name": part.name(),
        "team": TEAM,
        "channel": CHANNEL,
        "base_url": town.url(part),
        "health_path": "/health",
        "depends_on": part.calls().iter().map(|callee| callee.name()).collect::<Vec<_>>(),
        "metrics": { "service": part.name() },
        "restart": { "process": part.name() },
        "journey": "checkout",
    });
    if part == Part::PaymentGateway {
        // Only closed parts of the journal: the one being written stays.
        service["cleanup"] = json!([{ "path": town.journal(), "patterns": ["payments.log.*"], "older_than": "0s" }]);
    }
    service
}

fn scrape(town: &Town, part: Part) -> Value {
    json!({ "service": part.name(), "url": format!("{}/metrics", town.url(part)), "interval": "1s", "timeout": "800ms" })
}

fn process(town: &Town, part: Part, program: &Path) -> Value {
    let mut args = vec!["shop-service".to_owned(), part.name().to_owned()];
    if part != Part::Load {
        args.extend(["--port".to_owned(), town.port(part).to_string()]);
        args.extend(["--control-file".to_owned(), town.control_file().display().to_string()]);
    }
    for callee in part.calls() {
        args.extend(["--upstream".to_owned(), format!("{}={}", callee.name(), town.url(*callee))]);
    }
    if part == Part::PaymentGateway {
        args.extend(["--folder".to_owned(), town.journal().display().to_string()]);
        args.extend(["--quota".to_owned(), QUOTA.to_string()]);
    }
    // Not started again by itself: the demo shows that people are asked.
    json!({ "name": part.name(), "service": part.name(), "program": program, "args": args, "grace": "1s" })
}

/// The shop's alert rules. Quick, because people wait for them: a card within ten seconds of the fault.
fn rules() -> Vec<Value> {
    let share = "rate(http_answers_failed_total[20s]) / rate(http_answers_total[20s]) * 100";
    let latency =
        "rate(http_request_duration_seconds_sum[20s]) / rate(http_request_duration_seconds_count[20s]) * 1000";
    vec![
        json!({
            "id": "service-unresponsive", "alert_name": "Service_Unresponsive", "severity": "Critical",
            // Of a process that runs: one that has ended is `Service_Down`.
            "expr": "sum by (service) (process_up) - sum by (service) (up)", "comparison": ">", "threshold": 0, "for": "3s",
            // A hung process that ends is down, not well: `Service_Down` fires before this one is over.
            "clear_for": "5s",
            "description": "{{ service }}: its process runs, but does not answer",
        }),
        json!({
            "id": "service-down", "alert_name": "Service_Down", "severity": "Critical",
            "expr": "sum by (service) (process_up)", "comparison": "==", "threshold": 0, "for": "2s",
            "description": "{{ service }}: its process has ended",
        }),
        json!({
            "id": "disk-full", "alert_name": "Disk_Full", "severity": "Warning",
            "expr": "disk_usage", "threshold": 85, "unit": "%", "for": "2s",
            "description": "{{ service }}: {{ value | round(1) }} % of its folder is in use, more than {{ threshold }} %",
        }),
        json!({
            "id": "error-rate", "alert_name": "High_Error_Rate", "severity": "Warning",
            "expr": share, "threshold": 25, "unit": "%", "for": "20s",
            "description": "{{ service }}: {{ value | round(1) }} % of its answers are errors",
        }),
        json!({
            "id": "latency", "alert_name": "Service_Latency_Exceeded", "severity": "Critical",
            "expr": latency, "threshold": 500, "unit": "ms", "for": "20s",
            "description": "{{ service }}: answers take {{ value | amount('ms') }}, more than {{ threshold | amount('ms') }}",
        }),
        json!({
            "id": "cpu", "alert_name": "High_CPU_Usage", "severity": "Critical",
            // The demo's machine may be busy: a process that wants a whole core gets no more than a part of one then.
            "expr": "rate(process_cpu_seconds_total[10s]) * 100", "threshold": 60, "unit": "%", "for": "5s",
            "description": "{{ service }}: uses {{ value | round }} % of a core",
        }),
        json!({
            "id": "connections", "alert_name": "Connections_Exhausted", "severity": "Critical",
            "expr": "store_pool_in_use / store_pool_connections * 100", "threshold": 95, "unit": "%", "for": "3s",
            // More connections are free for a moment only if they leak as well.
            "clear_for": "15s",
            "description": "{{ service }}: {{ value | amount('%') }} of its connections to the store are in use",
        }),
        json!({
            "id": "database", "alert_name": "DB_Connection_Error", "severity": "Critical",
            "logs": { "service": "inventory-service", "words": ["store answered 503", "connection to store refused"], "window": "30s" },
            "threshold": 5, "for": "5s", "service": "inventory-service",
            "description": "inventory-service: {{ value }} of its calls to the store failed within 30 s",
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Timestamp;
    use crate::watch::rules::RuleOptions;
    use crate::watch::rules::state::{Measured, Phase, SeriesState};

    fn rule(id: &str) -> RuleOptions {
        let rule = rules().into_iter().find(|rule| rule["id"] == id).unwrap();
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn a_hung_process_that_dies_is_never_seen_as_well_in_between() {
        let (silent, down) = (rule("service-unresponsive"), rule("service-down"));
        let start = Timestamp::UNIX_EPOCH;
        let (mut silent_state, mut down_state) = (SeriesState::new(start), SeriesState::new(start));
        let fires = |state: &SeriesState| matches!(state.phase, Phase::Firing { .. });
        // It hangs until second 20, is dead until 40, and runs again.
        for second in 0..60 {
            let now = start + std::time::Duration::from_secs(second);
            let (process_up, up) = match second {
                0..20 => (1.0, 0.0),
                20..40 => (0.0, 0.0),
                _ => (1.0, 1.0),
            };
            silent_state.step(&silent, Measured::Value(process_up - up), now, 20);
            down_state.step(&down, Measured::Value(process_up), now, 20);
            let firing = fires(&silent_state) || fires(&down_state);
            assert_eq!(firing, (3..40).contains(&second), "second {second}");
        }
    }
}

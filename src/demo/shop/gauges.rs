//! What a service of the shop counts about itself, shown as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency histogram, seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Counts of one process.
#[derive(Debug, Default)]
pub struct Gauges {
    in_flight: AtomicI64,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
}

/// A request under way; counted out when dropped, also if its caller went away.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Gauges);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gauges {
    /// Counts a request in.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Counts an answer.
    pub fn answered(&self, code: u16, took: Duration) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals.by_code.entry(code).or_default() += 1;
        totals.seconds += took.as_secs_f64();
        for (bucket, bound) in totals.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(took.as_secs_f64() <= bound);
        }
    }

    /// All of it as Prometheus text; `extra` are further gauges: name, help, value.
    #[must_use]
    pub fn render(&self, extra: &[(&str, &str, f64)]) -> String {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(2048);
        text.push_str("# HELP http_requests_total Answers by status code.\n# TYPE http_requests_total counter\n");
        for (code, count) in &totals.by_code {
            let _ = writeln!(text, "http_requests_total{{code=\"{code}\"}} {count}");
        }
        // The same split in two plain counters, for rules that want a share without matching codes.
        let all: u64 = totals.by_code.values().sum();
        let failed: u64 = totals.by_code.range(500..).map(|(_, count)| count).sum();
        counter(&mut text, "http_answers_total", "Answers.", all);
        counter(&mut text, "http_answers_failed_total", "Answers with a status of 500 and above.", failed);
        let name = "http_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time to answer.\n# TYPE {name} histogram");
        for (count, bound) in totals.buckets.iter().zip(BOUNDS) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {}\n{name}_count {all}", totals.seconds);
        #[expect(clippy::cast_precision_loss, reason = "requests in flight are few")]
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f64;
        gauge(&mut text, "http_requests_in_flight", "Requests being answered.", in_flight);
        for (name, help, value) in extra {
            gauge(&mut text, name, help, *value);
        }
        text
    }
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

/// CPU seconds used so far and resident bytes of this process.
#[must_use]
pub fn of_process() -> Option<(f64, f64)> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_processes_specifics(
        sysinfo::ProcessesToUpdate::Some(&[pid]),
        false,
        sysinfo::ProcessRefreshKind::nothing().with_cpu().with_memory(),
    );
    let process = system.process(pid)?;
    #[expect(clippy::cast_precision_loss, reason = "shown as a metric")]
    Some((process.accumulated_cpu_time() as f64 / 1000.0, process.memory() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_add_up() {
        let gauges = Gauges::default();
        let first = gauges.begin();
        gauges.answered(200, Duration::from_millis(7));
        gauges.answered(503, Duration::from_secs(9));
        let text = gauges.render(&[("disk_used_bytes", "Bytes in the folder.", 5.0)]);
        for line in [
            "http_requests_total{code=\"200\"} 1",
            "http_answers_total 2",
            "http_answers_failed_total 1",
            "http_request_duration_seconds_bucket{le=\"0.005\"} 0",
            "http_request_duration_seconds_bucket{le=\"0.01\"} 1",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "http_requests_in_flight 1",
            "disk_used_bytes 5",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        drop(first);
        assert!(gauges.render(&[]).contains("http_requests_in_flight 0"));
    }
}

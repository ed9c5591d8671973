//! Mayday's own numbers: the recorder behind `metrics::counter!` and its kin, rendered for `/metrics`, with uptime and
//! memory added.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::core::stop::Stop;

/// Buckets of every histogram in seconds: from a store's write (1 ms) to a patient command (30 s).
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Histograms keep samples until someone renders them; this bounds how many.
const UPKEEP: Duration = Duration::from_secs(5);

/// What can go wrong here.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Something else in this process records metrics already.
    #[error("the metrics recorder can't be installed: {0}")]
    Recorder(String),
}

/// The installed recorder. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
    started: Instant,
    /// None where the system does not tell about processes.
    system: Option<Arc<Mutex<System>>>,
}

/// A process has one recorder, however often Mayday is assembled in it (tests do so).
static INSTALLED: OnceLock<Result<Telemetry, Error>> = OnceLock::new();

impl Telemetry {
    /// Installs the recorder, or gives the one that is there.
    ///
    /// # Errors
    /// [`Error::Recorder`] when another library has installed its own.
    pub fn install() -> Result<Self, Error> {
        INSTALLED.get_or_init(Self::first).clone()
    }

    fn first() -> Result<Self, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Recorder(error.to_string());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .map_err(|error| wrong(&error))?;
        let handle = builder.install_recorder().map_err(|error| wrong(&error))?;
        let system = System::new().ok().map(|system| Arc::new(Mutex::new(system)));
        Ok(Self { handle, started: Instant::now(), system })
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        metrics::gauge!("mayday_ops_uptime_seconds").set(self.uptime().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
        metrics::gauge!("mayday_ops_resident_memory_bytes").set(self.resident_bytes() as f64);
        self.handle.render()
    }

    /// Since the recorder was installed, which is the first thing Mayday does.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Resident memory of this process; 0 if the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let pid = Pid::from_u32(std::process::id());
        let Some(system) = &self.system else { return 0 };
        let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
        let only_memory = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, only_memory);
        system.process(pid).map_or(0, sysinfo::Process::memory)
    }

    /// Keeps histograms small until asked to stop.
    pub async fn upkeep(self, stop: Stop) {
        while !stop.is_set() {
            tokio::select! {
                () = stop.wait() => {}
                () = tokio::time::sleep(UPKEEP) => self.handle.run_upkeep(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_uptime_and_memory() {
        let telemetry = Telemetry::install().unwrap();
        metrics::counter!("mayday_ops_test_total").increment(2);
        metrics::histogram!("mayday_ops_test_seconds").record(0.02);
        let text = telemetry.render();
        assert!(text.contains("mayday_ops_test_total 2"), "{text}");
        assert!(text.contains("mayday_ops_test_seconds_bucket{le=\"0.025\"} 1"), "{text}");
        assert!(text.contains("mayday_ops_uptime_seconds"));
        assert!(telemetry.resident_bytes() > 1_000_000);
        assert!(Telemetry::install().is_ok(), "a second bot in the same process shares it");
    }
}

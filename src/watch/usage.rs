//! What the started processes use, on a beat into own series.
//!
//! `process_up` (1 while it runs), `process_restarts_total`, `process_exits_total` (ended by itself), `process_cpu_percent`
//! (of one core), `process_resident_bytes`, `process_stopped` (1 while the kernel holds it, SIGSTOP); labels `service`
//! and `process`.

use std::sync::Arc;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use super::process::Supervisor;
use crate::core::SharedClock;
use crate::core::stop::Stop;
use crate::store::series::{Sample, Series, SeriesKey};

/// What is measured of each.
pub(super) const NAMES: [&str; 6] = [
    "process_up",
    "process_restarts_total",
    "process_exits_total",
    "process_cpu_percent",
    "process_resident_bytes",
    "process_stopped",
];
/// Short, since "the process has ended" is the quickest sign of a crash; a few small files of /proc per process.
const BEAT: Duration = Duration::from_secs(2);

/// Measures until asked to stop.
pub async fn run(supervisor: Supervisor, series: Arc<Series>, clock: SharedClock, stop: Stop) {
    if supervisor.list().is_empty() {
        return stop.wait().await;
    }
    let mut system = System::new().ok();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = clock.sleep(BEAT) => {}
        }
        let processes = supervisor.list();
        let pids: Vec<Pid> = processes.iter().filter_map(|process| process.pid()).map(Pid::from_u32).collect();
        if let Some(system) = &mut system {
            // Reads a few small files of /proc per process.
            let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, wanted);
        }
        let at = clock.now();
        let mut samples = Vec::new();
        for process in &processes {
            let labels = [("service", process.service.as_str()), ("process", process.name.as_str())];
            let mut tell = |name: &str, value: f64| {
                debug_assert!(NAMES.contains(&name), "{name} is missing in NAMES");
                samples.push(Sample { key: SeriesKey::new(name, labels), at, value });
            };
            tell("process_up", f64::from(u8::from(process.pid().is_some())));
            tell("process_restarts_total", process.restarts as f64);
            tell("process_exits_total", process.exits as f64);
            let seen = process.pid().and_then(|pid| system.as_ref()?.process(Pid::from_u32(pid)));
            if let Some(seen) = seen {
                tell("process_cpu_percent", f64::from(seen.cpu_usage()));
                tell("process_resident_bytes", seen.memory() as f64);
                tell("process_stopped", f64::from(u8::from(seen.status() == ProcessStatus::Stop)));
            }
        }
        super::keep(&series, &samples, "processes");
    }
}

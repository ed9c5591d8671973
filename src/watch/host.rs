//! The machine's own metrics, read on a beat into own series.

use std::sync::Arc;

use super::options::HostOptions;
use crate::core::SharedClock;
use crate::core::stop::Stop;
use crate::source::host::Host;
use crate::store::series::{Sample, Series, SeriesKey};

/// Reads the host until asked to stop. A machine whose tables can't be read is said once and left alone.
pub async fn run(options: HostOptions, series: Arc<Series>, clock: SharedClock, stop: Stop) {
    if !options.enabled {
        return stop.wait().await;
    }
    let mut host = match Host::open() {
        Ok(host) => host,
        Err(error) => {
            tracing::error!(%error, "host metrics are off");
            return stop.wait().await;
        }
    };
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = clock.sleep(options.interval.0) => {}
        }
        // Reading /proc and asking each file system blocks; a network mount may hang, and must not hang a worker.
        let read = tokio::task::spawn_blocking(move || {
            let readings = host.read();
            (host, readings)
        });
        let readings = tokio::select! {
            () = stop.wait() => return,
            read = read => match read {
                Ok((back, readings)) => {
                    host = back;
                    readings
                }
                Err(error) => {
                    tracing::error!(%error, "host metrics are off: reading them failed");
                    return stop.wait().await;
                }
            },
        };
        let at = clock.now();
        let samples: Vec<Sample> = readings
            .into_iter()
            .map(|reading| {
                let mut labels = options.labels.clone();
                labels.extend(reading.labels);
                Sample { key: SeriesKey { name: reading.name, labels }, at, value: reading.value }
            })
            .collect();
        super::keep(&series, &samples, "host");
    }
}

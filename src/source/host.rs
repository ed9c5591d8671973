//! The machine Mayday runs on, through `sysinfo`: CPU, load, memory, disks, network.
//!
//! Units stand in the names: `…_percent` is 0–100 of the whole machine, `…_bytes` bytes, `…_bytes_total` counts up.

use std::collections::{BTreeMap, BTreeSet};

use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, Networks, System};

use super::Reading;

/// At most so many disks and network interfaces are read; a machine full of containers may show hundreds.
const AT_MOST: usize = 32;

/// Reads the host. Keeps what the kernel said last, since CPU usage is the difference of two readings.
pub struct Host {
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Host {
    /// Opens the kernel's tables; the first [`Host::read`] right after has no CPU usage yet.
    ///
    /// # Errors
    /// The platform is not supported, or its tables can't be read.
    pub fn open() -> Result<Self, super::Error> {
        let failed = |error: sysinfo::Error| super::Error::Failed(format!("the host's metrics can't be read: {error}"));
        let mut system = System::new().map_err(failed)?;
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        Ok(Self {
            system,
            disks: Disks::new().map_err(failed)?,
            networks: Networks::new_with_refreshed_list().map_err(failed)?,
        })
    }

    /// The host now. Takes a few milliseconds of reading `/proc`.
    pub fn read(&mut self) -> Vec<Reading> {
        self.system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        self.system.refresh_memory();
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        self.networks.refresh(true);

        let mut readings = vec![
            plain("host_cpu_usage_percent", f64::from(self.system.global_cpu_usage())),
            plain("host_cpu_count", self.system.cpus().len() as f64),
        ];
        if let Ok(load) = System::load_average() {
            readings.push(plain("host_load1", load.one));
            readings.push(plain("host_load5", load.five));
            readings.push(plain("host_load15", load.fifteen));
        }
        let total = self.system.total_memory() as f64;
        readings.push(plain("host_memory_total_bytes", total));
        readings.push(plain("host_memory_used_bytes", self.system.used_memory() as f64));
        readings.push(plain("host_memory_usage_percent", percent(self.system.used_memory() as f64, total)));
        readings.push(plain("host_swap_used_bytes", self.system.used_swap() as f64));

        let mut seen = BTreeSet::new();
        for disk in self.disks.iter() {
            let mount = disk.mount_point().to_string_lossy().into_owned();
            let size = disk.total_space() as f64;
            // Bind mounts show one disk several times: the first mount point speaks for it.
            if size == 0.0 || seen.len() >= AT_MOST || !seen.insert(mount.clone()) {
                continue;
            }
            let free = disk.available_space() as f64;
            readings.push(labelled("host_disk_total_bytes", "mount", &mount, size));
            readings.push(labelled("host_disk_free_bytes", "mount", &mount, free));
            readings.push(labelled("host_disk_usage_percent", "mount", &mount, percent(size - free, size)));
        }
        for (interface, traffic) in self.networks.iter().filter(|(name, _)| name.as_os_str() != "lo").take(AT_MOST) {
            for (name, value) in [
                ("host_network_received_bytes_total", traffic.total_received()),
                ("host_network_sent_bytes_total", traffic.total_transmitted()),
                ("host_network_receive_errors_total", traffic.total_errors_on_received()),
                ("host_network_send_errors_total", traffic.total_errors_on_transmitted()),
            ] {
                readings.push(labelled(name, "interface", &interface.to_string_lossy(), value as f64));
            }
        }
        readings
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 }
}

fn plain(name: &str, value: f64) -> Reading {
    Reading { name: name.to_owned(), labels: BTreeMap::new(), value, at: None }
}

fn labelled(name: &str, label: &str, says: &str, value: f64) -> Reading {
    Reading { labels: BTreeMap::from([(label.to_owned(), says.to_owned())]), ..plain(name, value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_percentages_between_0_and_100() {
        let mut host = Host::open().unwrap();
        let readings = host.read();
        let one = |name: &str| readings.iter().find(|reading| reading.name == name).unwrap().value;
        assert!(one("host_memory_total_bytes") > 1e6);
        assert!(one("host_cpu_count") >= 1.0);
        for reading in readings.iter().filter(|reading| reading.name.ends_with("_percent")) {
            assert!((0.0..=100.0).contains(&reading.value), "{reading:?}");
        }
    }
}

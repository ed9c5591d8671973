//! Mayday beside Alertmanager, with the same load, in turns on the same machine: `cargo bench --bench beside`.
//!
//! 100,000 series in batches of 100 over 8 connections, again and again for `MAYDAY_BENCH_SECONDS` (10), each round with a
//! fresh process and an empty folder; `MAYDAY_BENCH_ROUNDS` (3). After the first pass each alert is a repetition, for both.
//! Both group by the alert's name, so that there are 50 groups, or incidents.
//! Alertmanager answers when a batch is in its memory; Mayday when it is on the disk. The load is made before the clock
//! starts, and comes from this process, on the same cores.
//!
//! Needs `prometheus-alertmanager` (Debian's package, or the program that `MAYDAY_BENCH_ALERTMANAGER` names); without it
//! only Mayday is measured, and that is said.

mod world;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use world::{Bot, disk, number};

const SERIES: usize = 100_000;
const BATCH: usize = 100;
const CONNECTIONS: usize = 8;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parent = std::env::var_os("MAYDAY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let long = Duration::from_secs(number("MAYDAY_BENCH_SECONDS", 10));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (for_it, for_us) = (bodies(plain), bodies(webhook));
    let mut ratios = Vec::new();
    for round in 1..=number("MAYDAY_BENCH_ROUNDS", 3) {
        let folder = tempfile::tempdir_in(&parent).expect("a folder to measure in");
        let other = Alertmanager::start(folder.path()).map(|other| {
            let rate = runtime.block_on(send(&format!("{}/api/v2/alerts", other.url), &for_it, long));
            println!("{round}: Alertmanager {rate:>9.0} alerts/s, in memory; {:.0} MB resident", other.resident_mb());
            rate
        });
        let folder = tempfile::tempdir_in(&parent).expect("a folder to measure in");
        let bot = Bot::configured(folder.path(), "incidents: {group_by: [alert_name]}\n");
        let rate = runtime.block_on(send(&format!("{}/webhook/alertmanager", bot.url), &for_us, long));
        println!("{round}: Mayday       {rate:>9.0} alerts/s, on the disk; {:.0} MB resident", bot.resident_mb());
        let left = runtime.block_on(bot.folded());
        println!("{round}: … all in their incidents {:.1} s later; {:.0} MB", left.as_secs_f64(), bot.resident_mb());
        disk(folder.path());
        ratios.extend(other.map(|other| rate / other));
    }
    if ratios.is_empty() {
        println!(
            "Alertmanager is not installed (apt-get install prometheus-alertmanager): there is nothing to compare with"
        );
    } else {
        println!("Mayday / Alertmanager, each round: {ratios:.2?}");
    }
}

/// One alert of a series, without what either side adds.
fn labels(series: usize) -> serde_json::Value {
    serde_json::json!({
        "alertname": format!("Beside{}", series % 50), "instance": format!("host-{series}:9100"), "job": "node",
        "severity": "warning", "cluster": format!("c{}", series % 10),
    })
}

/// As Prometheus sends it to Alertmanager.
fn plain(series: std::ops::Range<usize>) -> String {
    let alerts: Vec<_> = series
        .map(|number| {
            serde_json::json!({
                "labels": labels(number), "annotations": {"summary": format!("alert {number}")},
                "startsAt": "2026-11-21T03:00:00Z", "generatorURL": format!("http://127.0.0.1/g/{number}"),
            })
        })
        .collect();
    serde_json::Value::from(alerts).to_string()
}

/// The same as Alertmanager sends it on.
fn webhook(series: std::ops::Range<usize>) -> String {
    let alerts: Vec<_> = series
        .map(|number| {
            serde_json::json!({
                "status": "firing", "labels": labels(number), "annotations": {"summary": format!("alert {number}")},
                "startsAt": "2026-11-21T03:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": format!("http://127.0.0.1/g/{number}"), "fingerprint": format!("{number:016x}"),
            })
        })
        .collect();
    serde_json::json!({
        "version": "4", "status": "firing", "receiver": "beside", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://127.0.0.1:9093", "groupKey": "{}", "truncatedAlerts": 0,
        "alerts": alerts,
    })
    .to_string()
}

fn bodies(one: fn(std::ops::Range<usize>) -> String) -> Arc<Vec<bytes::Bytes>> {
    Arc::new((0..SERIES / BATCH).map(|batch| one(batch * BATCH..(batch + 1) * BATCH).into()).collect())
}

/// Sends the bodies round and round; a refused one is sent again. Gives alerts taken a second.
async fn send(url: &str, bodies: &Arc<Vec<bytes::Bytes>>, long: Duration) -> f64 {
    let (next, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (next, taken, bodies, url) = (next.clone(), taken.clone(), bodies.clone(), url.to_owned());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("a client");
                while began.elapsed() < long {
                    let body = bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()].clone();
                    loop {
                        let sent = client.post(&url).header("content-type", "application/json").body(body.clone());
                        let answer = sent.send().await.expect("answered");
                        if answer.status().as_u16() == 503 {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                        assert!(answer.status().is_success(), "{}", answer.status());
                        answer.bytes().await.expect("an answer");
                        break;
                    }
                    taken.fetch_add(BATCH as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("sent");
    }
    taken.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// A running Alertmanager, ended with this.
struct Alertmanager {
    child: Child,
    url: String,
}

impl Alertmanager {
    fn start(folder: &Path) -> Option<Self> {
        let program = std::env::var("MAYDAY_BENCH_ALERTMANAGER").unwrap_or("prometheus-alertmanager".to_owned());
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
        let config = folder.join("alertmanager.yml");
        // Its webhook goes to a port where nobody listens.
        let text = "route: { receiver: bot, group_by: [ alertname ], group_wait: 1s, group_interval: 2s }\n\
                    receivers: [ { name: bot, webhook_configs: [ { url: 'http://127.0.0.1:9/' } ] } ]\n";
        std::fs::write(&config, text).expect("written");
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .args([&format!("--web.listen-address={free}"), "--cluster.listen-address=", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let started = Self { child, url: format!("http://{free}") };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(free).is_err() {
            assert!(Instant::now() < until, "Alertmanager does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(started)
    }

    fn resident_mb(&self) -> f64 {
        world::resident_mb(self.child.id())
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

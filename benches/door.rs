//! The figures of the whole bot, through its public door, with the real binary: `cargo bench --bench door`.
//!
//! * start to ready, and resident memory when idle;
//! * webhook to card in the web channel, at 100 alerts/s for `MAYDAY_BENCH_SECONDS` (20), each alert an incident of its own;
//! * durable alerts accepted a second: batches of 100 over 8 connections, 100,000 series that end and fire again, for as long;
//! * how the time until N alerts are stored and folded into their incidents grows with N: 1,000, 10,000 … up to
//!   `MAYDAY_BENCH_STORED` (100,000; 1,000,000 for the goal), each another series; the slope of its logarithm;
//! * acknowledging one incident each by its command, with all that stored;
//! * start to ready with all that stored, after SIGKILL.
//!
//! Beside them, in the same run, what the disk's write-and-fdatasync takes. `MAYDAY_BENCH_DIR` names a folder on the disk
//! to measure.

mod world;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use world::{Bot, client, disk, number};

const RATE: u64 = 100;
const CONNECTIONS: usize = 8;
const BATCH: u64 = 100;
const SERIES: u64 = 100_000;
/// Services that alert, so incidents that are open.
const SERVICES: u64 = 500;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parent = std::env::var_os("MAYDAY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder to measure in");
    let seconds = number("MAYDAY_BENCH_SECONDS", 20);
    let stored = number("MAYDAY_BENCH_STORED", 100_000);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");

    disk(folder.path());
    let mut bot = Bot::start(folder.path());
    println!("start to ready, empty                    {:>10.3} s", bot.took.as_secs_f64());
    std::thread::sleep(Duration::from_secs(5));
    println!("resident when idle                       {:>10.1} MB", bot.resident_mb());
    runtime.block_on(cards(&bot, seconds));
    bot.stop();

    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let mut bot = Bot::start(&other);
    let long = Duration::from_secs(seconds);
    let (total, busy) = runtime.block_on(accept(&bot, 0, Until::Over(Instant::now() + long), SERIES));
    println!(
        "accepted, batches of {BATCH} over {CONNECTIONS} connections {:>9.0} alerts/s ({total} in {long:?}, {busy} times 503)",
        total as f64 / long.as_secs_f64()
    );
    println!("resident after {total} alerts, still folding {:>6.1} MB", bot.resident_mb());
    let left = runtime.block_on(bot.folded());
    println!("… and all folded into incidents after      {:>8.1} s more", left.as_secs_f64());
    println!("resident then                            {:>10.1} MB", bot.resident_mb());
    bot.stop();

    let many = folder.path().join("many");
    std::fs::create_dir(&many).expect("a folder");
    let mut bot = Bot::start(&many);
    runtime.block_on(grow(&bot, stored));
    println!("resident with {stored} alerts, all of them firing {:>8.1} MB", bot.resident_mb());
    runtime.block_on(acknowledge(&bot, &many, stored));
    bot.kill();
    let bot = Bot::start(&many);
    println!("start to ready with {stored} alerts, after SIGKILL {:>6.3} s", bot.took.as_secs_f64());
    disk(folder.path());
}

/// Stores more and more alerts, each of a series of its own, and says how the time grows.
async fn grow(bot: &Bot, stored: u64) {
    let mut points = Vec::new();
    let mut took = Duration::ZERO;
    let mut have = 0;
    let mut next = 1_000.min(stored);
    while have < stored {
        let began = Instant::now();
        accept(bot, have, Until::Sent(next), u64::MAX).await;
        bot.folded().await;
        took += began.elapsed();
        have = next;
        points.push((have, took));
        next = (next * 10).min(stored);
    }
    println!("time until stored and folded {points:?}");
    if points.len() > 1 {
        println!("slope of its logarithm {:.2}", slope(&points));
    }
}

/// Each alert names a service of its own, so each makes an incident with a card; the live feed shows when.
async fn cards(bot: &Bot, seconds: u64) {
    let client = client();
    let cookie = bot.cookie(&client).await;
    let feed = client
        .get(format!("{}/events?channel=incidents", bot.url))
        .header("cookie", &cookie)
        .send()
        .await
        .expect("a live feed");
    assert!(feed.status().is_success(), "the live feed answers {}", feed.status());
    let sent: Arc<Mutex<HashMap<u64, Instant>>> = Arc::default();
    let (was_sent, total) = (sent.clone(), RATE * seconds);
    let listen = tokio::spawn(async move {
        let mut took = Vec::new();
        let mut stream = feed.bytes_stream();
        let mut text = String::new();
        while let Ok(Some(Ok(bytes))) = tokio::time::timeout(Duration::from_secs(5), stream.next()).await {
            let now = Instant::now();
            text.push_str(&String::from_utf8_lossy(&bytes));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let Some(at) = event.find("bench-svc-") else { continue };
                let digits: String = event[at + 10..].chars().take_while(char::is_ascii_digit).collect();
                let began = digits.parse().ok().and_then(|n: u64| was_sent.lock().expect("lock").remove(&n));
                if let Some(began) = began {
                    took.push(now.duration_since(began));
                }
            }
            if took.len() as u64 == total {
                break;
            }
        }
        took
    });
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for number in 0..total {
        tick.tick().await;
        let (client, sent, url) = (client.clone(), sent.clone(), bot.url.clone());
        tokio::spawn(async move {
            let body = serde_json::json!({
                "alert_name": "Bench", "severity": "Warning", "service_name": format!("bench-svc-{number}"),
                "metric_value": 97.5, "description": "a card wanted",
            });
            sent.lock().expect("lock").insert(number, Instant::now());
            let answer = client.post(format!("{url}/webhook/generic")).json(&body).send().await.expect("answered");
            assert!(answer.status().is_success(), "the webhook answers {}", answer.status());
        });
    }
    let mut took = listen.await.expect("listened");
    took.sort();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
    println!(
        "webhook to card at {RATE}/s, {} of {total} cards  p50 {:?}, p99 {:?}, worst {:?}",
        took.len(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        took.last().copied().unwrap_or_default()
    );
}

/// One command after the other, as `mayday say "ack INC-7"` sends it.
async fn acknowledge(bot: &Bot, folder: &Path, stored: u64) {
    let file = std::fs::read_to_string(folder.join("data").join("admin-token")).expect("the token file");
    let token = file.lines().next().expect("a token").to_owned();
    let client = client();
    let mut took = Vec::new();
    for incident in 1..=SERVICES {
        let began = Instant::now();
        let line = serde_json::json!({ "text": format!("ack INC-{incident}") });
        let sent = client.post(format!("{}/api/v1/say", bot.url)).bearer_auth(&token).json(&line).send();
        let answer: serde_json::Value = sent.await.expect("answered").json().await.expect("json");
        assert_eq!(answer["ok"], true, "{answer}");
        took.push(began.elapsed());
    }
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("acknowledging with {stored} alerts stored, {} times  p50 {p50:?}, p99 {p99:?}", took.len());
}

/// The slope of log(time) over log(alerts), by least squares: 1 is a flat cost per alert.
fn slope(points: &[(u64, Duration)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, took)| ((*n as f64).ln(), took.as_secs_f64().ln())).collect();
    let mean = |pick: fn(&(f64, f64)) -> f64| logs.iter().map(pick).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let up: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    up / logs.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

/// When enough was sent.
#[derive(Clone, Copy)]
enum Until {
    Over(Instant),
    Sent(u64),
}

/// Alertmanager's batches from eight connections, from the alert of that number on; a 503 is waited out and sent again, as
/// Alertmanager does. Gives how many alerts were taken, and how often the answer was 503.
async fn accept(bot: &Bot, from: u64, until: Until, series: u64) -> (u64, u64) {
    let next = Arc::new(AtomicU64::new(from / BATCH));
    let busy = Arc::new(AtomicU64::new(0));
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let (next, busy, url) = (next.clone(), busy.clone(), format!("{}/webhook/alertmanager", bot.url));
        senders.push(tokio::spawn(async move {
            let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("a client");
            let mut done = 0;
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                let enough = match until {
                    Until::Over(end) => Instant::now() >= end,
                    Until::Sent(count) => batch * BATCH >= count,
                };
                if enough {
                    return done;
                }
                let body = body(batch, series);
                loop {
                    let sent = client.post(&url).header("content-type", "application/json").body(body.clone()).send();
                    let answer = sent.await.expect("answered");
                    if answer.status().as_u16() == 503 {
                        busy.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                    let receipt: serde_json::Value = answer.json().await.expect("json");
                    assert_eq!(receipt["accepted"], BATCH, "{receipt}");
                    break;
                }
                done += BATCH;
            }
        }));
    }
    let mut total: u64 = 0;
    for sender in senders {
        total += sender.await.expect("sent");
    }
    (total, busy.load(Ordering::Relaxed))
}

fn body(batch: u64, of: u64) -> String {
    let alerts: Vec<_> = (0..BATCH)
        .map(|index| {
            let number = batch * BATCH + index;
            let (series, round) = (number % of, number / of);
            let start =
                jiff::Timestamp::from_second(1_790_000_000 + i64::try_from(round).unwrap_or(0)).expect("a time");
            serde_json::json!({
                "status": "firing", "startsAt": start.to_string(), "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": format!("{series:016x}"),
                "labels": {"alertname": "Bench", "severity": "warning", "service": format!("service-{}", series % SERVICES),
                           "instance": format!("10.0.{}.{}:9100", series / 250 % 250, series % 250)},
                "annotations": {"summary": "synthetic", "value": "97.5"},
                "generatorURL": "http://prometheus.example.com/graph",
            })
        })
        .collect();
    serde_json::json!({
        "version": "4", "status": "firing", "receiver": "bench", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager.example.com", "groupKey": "{}", "truncatedAlerts": 0,
        "alerts": alerts,
    })
    .to_string()
}

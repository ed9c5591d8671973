//! Three real processes on one database, killed (SIGKILL) and frozen (SIGSTOP, woken late) at random under load: nothing
//! accepted is lost, nothing is done twice, nothing gets stuck. No two of their machines' clocks agree.
//!
//! `MAYDAY_TEST_CHAOS_SECONDS` says for how long (20), `MAYDAY_TEST_CHAOS_SEED` repeats a run's faults and choices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::postgres_world::{database, sql};
use crate::replica_world::Replica;
use crate::soak_world::Dice;

/// How long a dead replica's shards may stand still.
const SHARDS_BACK: Duration = Duration::from_secs(5);

/// Six processes at once would only measure the machine.
static ONE_HOUSE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What the playbook calls: counts each change.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<BTreeMap<String, u32>>>);

impl Target {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(target.clone().answer(socket));
            }
        });
        url
    }

    async fn answer(self, mut socket: tokio::net::TcpStream) {
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let Ok(count @ 1..) = socket.read(&mut chunk).await else { return };
            read.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() < length.unwrap_or(0usize) {
                continue;
            }
            if head.starts_with("POST") {
                let said: Value = serde_json::from_str(body).unwrap_or_default();
                *self.0.lock().unwrap().entry(said["n"].to_string()).or_default() += 1;
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"ok\":true}";
            let _ = socket.write_all(answer.as_bytes()).await;
            return;
        }
    }
}

/// What commands were answered, numbers left out.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, u32>>>);

impl Heard {
    async fn note(&self, answer: Result<reqwest::Response, reqwest::Error>) {
        let text = match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) if error.is_timeout() => "(no answer in time)".to_owned(),
            Err(_) => "(no answer)".to_owned(),
        };
        let plain: String = text.chars().filter(|letter| !letter.is_ascii_digit()).take(160).collect();
        *self.0.lock().unwrap().entry(plain).or_default() += 1;
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lock().unwrap().iter().try_for_each(|(said, count)| writeln!(f, "{count:5} {said}"))
    }
}

/// Where a replica is, for those who send to it.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<BTreeMap<usize, (String, String)>>>);

struct House {
    url: String,
    folders: Vec<tempfile::TempDir>,
    replicas: Vec<Option<Replica>>,
    addresses: Addresses,
    http: reqwest::Client,
    /// Processes started so far.
    starts: i64,
}

impl House {
    fn new(count: usize, api: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(12)).build().unwrap();
        let mut house = Self {
            url: database(),
            folders: Vec::new(),
            replicas: Vec::new(),
            addresses: Addresses::default(),
            http,
            starts: 0,
        };
        for number in 0..count {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("api"), api).unwrap();
            house.folders.push(folder);
            house.replicas.push(None);
            house.start(number);
        }
        house
    }

    fn start(&mut self, number: usize) {
        let folder: PathBuf = self.folders[number].path().to_owned();
        // No two machines' clocks agree, and one that comes back has another: up to twenty minutes off.
        self.starts += 1;
        let replica = Replica::start_off(&folder, &self.url, (self.starts * 17 % 41 - 20) * 60);
        let token = std::fs::read_to_string(folder.join("data/admin-token")).unwrap();
        let token = token.lines().next().unwrap().to_owned();
        self.addresses.0.lock().unwrap().insert(number, (replica.url.clone(), token));
        self.replicas[number] = Some(replica);
    }

    fn kill(&mut self, number: usize) {
        self.addresses.0.lock().unwrap().remove(&number);
        self.replicas[number] = None;
    }

    fn one(&self) -> &Replica {
        self.replicas.iter().flatten().next().unwrap()
    }

    fn logs(&self) -> String {
        let log = |folder: &tempfile::TempDir| {
            let text = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        self.folders.iter().map(log).collect::<Vec<_>>().join("\n----\n")
    }

    /// Alerts of as many services.
    fn alerts(count: usize, prefix: &str) -> Vec<Value> {
        let alert = |number: usize| {
            json!({ "alert_name": "High_CPU_Usage", "service_name": format!("{prefix}-{number}"), "status": "firing",
                "severity": "Warning", "timestamp": "2026-01-01T10:00:00Z" })
        };
        (0..count).map(alert).collect()
    }
}

async fn send(http: &reqwest::Client, url: &str, alerts: &[Value]) -> Option<Vec<String>> {
    let answer = http.post(format!("{url}/webhook/alert")).json(alerts).send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    let said: Value = answer.json().await.ok()?;
    Some(said["alert_ids"].as_array()?.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

/// Whether a run waits for a person because nobody can know whether its change happened.
fn in_doubt(run: &Value) -> bool {
    run["tasks"].as_array().into_iter().flatten().any(|task| task["state"] == "in_doubt")
}

/// Alerts that have no incident, or more than one.
fn astray(url: &str, accepted: &BTreeSet<String>) -> Vec<String> {
    let links = sql(
        url,
        "SELECT regexp_replace(key, '^incident-alert/[^/]*/[0-9]-', ''), count(*) FROM mayday_entries \
                          WHERE key >= 'incident-alert/' AND key < 'incident-alert0' GROUP BY 1",
    );
    let links: BTreeMap<&str, &str> = links.iter().filter_map(|line| line.rsplit_once('|')).collect();
    let count = |id: &str| links.get(id).copied().unwrap_or("0").to_owned();
    accepted.iter().filter(|id| count(id) != "1").map(|id| format!("{id}: {} incidents", count(id))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_replicas_shards_work_again_within_five_seconds() {
    let _alone = ONE_HOUSE.lock().await;
    let mut house = House::new(3, "http://127.0.0.1:9");
    let shares = "SELECT count(*) FROM mayday_records WHERE key LIKE 'lease/%' AND data ->> 'replica' <> '' \
                  GROUP BY data ->> 'replica' ORDER BY 1";
    let deadline = Instant::now() + Duration::from_secs(30);
    while sql(&house.url, shares) != ["20", "22", "22"] {
        assert!(Instant::now() < deadline, "{:?}\n{}", sql(&house.url, shares), house.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The tests beside this one may take the processors away; what is always too slow is too slow.
    let mut took = Vec::new();
    for attempt in 0..3 {
        let victim = 1 + attempt % 2;
        house.kill(victim);
        let killed = Instant::now();
        let alive = house.one().url.clone();
        let accepted = send(&house.http, &alive, &one_for_each_shard(&format!("service{attempt}"))).await.unwrap();
        let accepted: BTreeSet<String> = accepted.into_iter().collect();
        assert_eq!(accepted.len(), 64);
        while !astray(&house.url, &accepted).is_empty() {
            let left = astray(&house.url, &accepted);
            assert!(killed.elapsed() < 6 * SHARDS_BACK, "{} alerts wait still: {left:?}\n{}", left.len(), house.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        took.push(killed.elapsed());
        if killed.elapsed() < SHARDS_BACK {
            println!("shards of a killed replica worked again after {:?}", killed.elapsed());
            return;
        }
        tokio::task::block_in_place(|| house.start(victim));
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    panic!("each time too late: {took:?}\n{}", house.logs());
}

fn one_for_each_shard(prefix: &str) -> Vec<Value> {
    let mut shards = BTreeSet::new();
    let mut alerts = House::alerts(1_500, prefix);
    alerts.retain(|alert| {
        let group = format!("service_name={}", alert["service_name"].as_str().unwrap());
        shards.insert(mayday::work::Shard::of(&group))
    });
    alerts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_and_frozen_replicas_lose_nothing_repeat_nothing_and_leave_nothing_stuck() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("MAYDAY_TEST_CHAOS_SECONDS").unwrap_or(20);
    let seed = number("MAYDAY_TEST_CHAOS_SEED").unwrap_or_else(|| uuid::Uuid::now_v7().as_u128() as u64);
    println!("MAYDAY_TEST_CHAOS_SEED={seed}");
    let _alone = ONE_HOUSE.lock().await;
    let target = Target::default();
    let mut house = House::new(3, &target.serve().await);
    let until = Instant::now() + Duration::from_secs(seconds);
    let accepted: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let asked = Arc::new(AtomicU64::new(0));
    let heard = Heard::default();
    let mut senders = Vec::new();
    for sender in 0..10u64 {
        let (addresses, http) = (house.addresses.clone(), house.http.clone());
        let (accepted, asked, heard) = (accepted.clone(), asked.clone(), heard.clone());
        senders.push(tokio::spawn(async move {
            let mut dice = Dice(seed ^ (sender + 1));
            let mut batch = 0;
            while Instant::now() < until {
                let known: Vec<(String, String)> = addresses.0.lock().unwrap().values().cloned().collect();
                if known.is_empty() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                let (url, token) = known[dice.roll(known.len() as u64) as usize].clone();
                let say = |line: String| {
                    let asked = http.post(format!("{url}/api/v1/say")).bearer_auth(&token);
                    asked.json(&json!({ "text": line })).send()
                };
                if sender < 4 {
                    batch += 1;
                    let alerts = House::alerts(1 + dice.roll(5) as usize, &format!("s{sender}-{}", batch % 40));
                    if let Some(ids) = send(&http, &url, &alerts).await {
                        accepted.lock().unwrap().extend(ids);
                    }
                    tokio::time::sleep(Duration::from_millis(10 + dice.roll(40))).await;
                } else if dice.roll(2) == 0 {
                    let n = asked.fetch_add(1, Ordering::Relaxed);
                    heard.note(say(format!("run PB-Calls n={n}")).await).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                } else {
                    let newest = asked.load(Ordering::Relaxed).max(1);
                    heard.note(say(format!("approve RUN-{}", newest.saturating_sub(dice.roll(12)).max(1))).await).await;
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            }
        }));
    }
    let mut dice = Dice(seed);
    let (mut kills, mut freezes) = (0, 0);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500 + dice.roll(1_500))).await;
        let victim = dice.roll(3) as usize;
        let away = Duration::from_millis(300 + dice.roll(4_500));
        if dice.roll(2) == 0 {
            kills += 1;
            house.kill(victim);
            tokio::time::sleep(away.min(Duration::from_secs(2))).await;
            tokio::task::block_in_place(|| house.start(victim));
        } else {
            freezes += 1;
            house.replicas[victim].as_ref().unwrap().signal("-STOP");
            tokio::time::sleep(away).await;
            house.replicas[victim].as_ref().unwrap().signal("-CONT");
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let accepted = accepted.lock().unwrap().clone();
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut runs = Vec::new();
    loop {
        let astray = astray(&house.url, &accepted);
        runs = house.one().list(&house.http, "runs").await.unwrap_or(runs);
        let open: Vec<String> = runs
            .iter()
            .filter(|run| run["state"] != "ended" && !in_doubt(run))
            .map(|run| format!("{}: {}, {}", run["run"], run["state"], run["tasks"]))
            .collect();
        let held = sql(
            &house.url,
            "SELECT count(*) FROM mayday_entries WHERE key LIKE 'queue/order/%' OR key LIKE 'queue/incident/%'",
        );
        if astray.is_empty() && open.is_empty() && held == ["0"] {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "seed {seed}: {} astray {:?}; open runs {open:?}; {held:?} in queues\n{}",
            astray.len(),
            astray.first(),
            house.logs()
        );
        // What still waits for a person is approved, each at another replica.
        for run in runs.iter().filter(|run| !run["approval"].is_null()) {
            let known: Vec<(String, String)> = house.addresses.0.lock().unwrap().values().cloned().collect();
            let (url, token) = known[dice.roll(3) as usize].clone();
            let line = format!("approve {}", run["run"].as_str().unwrap());
            let asked = house.http.post(format!("{url}/api/v1/say")).bearer_auth(token).json(&json!({ "text": line }));
            heard.note(asked.send().await).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let repeated: Vec<(String, u32)> =
        target.0.lock().unwrap().clone().into_iter().filter(|(_, count)| *count > 1).collect();
    assert!(repeated.is_empty(), "seed {seed}: done more than once: {repeated:?}\n{}", house.logs());
    let by_outcome = |outcome: &str| runs.iter().filter(|run| run["outcome"] == outcome).count();
    println!("{heard}");
    println!(
        "{kills} kills, {freezes} freezes; {} alerts, {} runs, {} changes made once, {} runs fixed or without effect, {} in doubt",
        accepted.len(),
        runs.len(),
        target.0.lock().unwrap().len(),
        by_outcome("fixed") + by_outcome("no_effect"),
        runs.iter().filter(|run| in_doubt(run)).count()
    );
    assert!(accepted.len() > 50 && !runs.is_empty() && !target.0.lock().unwrap().is_empty(), "there was load");
}

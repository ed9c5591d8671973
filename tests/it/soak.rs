//! The real binary on the embedded store, killed with SIGKILL again and again while alerts come in and people decide:
//! nothing that was accepted is lost, nothing is done twice, every run ends, every incident has its card.
//!
//! Fifty kills here. `MAYDAY_SOAK_KILLS=1000` for a soak; `MAYDAY_SEED=n` repeats a seed's moments and choices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mayday::store::{Key, Range, SharedStore};
use serde_json::{Value, json};

use super::soak_world::{Address, Dice, House, Target, lock};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What people outside do: they send alerts, approve, and say truly what happened.
struct People {
    http: reqwest::Client,
    address: Address,
    target: Target,
    /// Alerts that were answered with 200.
    accepted: Mutex<BTreeSet<String>>,
    /// All runs up to this one have ended.
    ended: Mutex<u64>,
    /// Runs by number, as they were seen last.
    runs: Mutex<BTreeMap<u64, Value>>,
}

impl People {
    fn at(&self) -> Option<(String, String)> {
        lock(&self.address).clone()
    }

    async fn send(&self, alerts: &[Value]) -> Option<()> {
        let (url, _) = self.at()?;
        let answer = self.http.post(format!("{url}/webhook/alert")).json(alerts).send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        let said: Value = answer.json().await.ok()?;
        let ids = said["alert_ids"].as_array()?.iter().filter_map(|id| id.as_str().map(str::to_owned));
        lock(&self.accepted).extend(ids);
        Some(())
    }

    async fn say(&self, line: String) -> Option<()> {
        let (url, token) = self.at()?;
        let asked = self.http.post(format!("{url}/api/v1/say")).bearer_auth(token);
        asked.json(&json!({ "text": line })).send().await.ok().map(drop)
    }

    /// Reads the runs that may go on.
    async fn look(&self) -> Option<()> {
        let (url, token) = self.at()?;
        let mut cursor: Option<String> = None;
        let until = *lock(&self.ended);
        loop {
            let mut asked = self.http.get(format!("{url}/api/v1/runs")).query(&[("limit", "200")]);
            asked = asked.query(&cursor.iter().map(|cursor| ("cursor", cursor)).collect::<Vec<_>>());
            let page: Value = asked.bearer_auth(&token).send().await.ok()?.json().await.ok()?;
            let mut oldest = u64::MAX;
            for run in page["items"].as_array()? {
                let number = run["run"].as_str()?.strip_prefix("RUN-")?.parse().ok()?;
                oldest = oldest.min(number);
                lock(&self.runs).insert(number, run.clone());
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || oldest <= until + 1 {
                break;
            }
        }
        let runs = lock(&self.runs);
        let mut ended = lock(&self.ended);
        while runs.get(&(*ended + 1)).is_some_and(|run| run["state"] == "ended") {
            *ended += 1;
        }
        Some(())
    }

    /// Decides what waits for a person, as far as the dice say.
    async fn decide(&self, dice: &mut Dice, share: u64) -> Option<()> {
        self.look().await?;
        let after = *lock(&self.ended) + 1;
        let open: Vec<Value> = lock(&self.runs).range(after..).map(|(_, run)| run.clone()).collect();
        for run in open {
            let id = run["run"].as_str()?;
            if !run["approval"].is_null() && dice.roll(share) == 0 {
                self.say(format!("approve {id}")).await?;
            }
            for task in run["tasks"].as_array()?.iter().filter(|task| task["state"] == "in_doubt") {
                if dice.roll(share) == 0 {
                    let task = task["id"].as_str()?;
                    let what = match task {
                        "each[0]" => format!("each {id}-a"),
                        "each[1]" => format!("each {id}-b"),
                        other => format!("{other} {id}"),
                    };
                    let word = if lock(&self.target.done).contains_key(&what) { "done" } else { "not_done" };
                    self.say(format!("answer {id} --task {task} {word}")).await?;
                }
            }
        }
        Some(())
    }

    fn open(&self) -> Vec<String> {
        let after = *lock(&self.ended) + 1;
        let runs = lock(&self.runs);
        runs.range(after..).filter(|(_, run)| run["state"] != "ended").map(|(_, run)| run.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_loses_nothing_repeats_nothing_and_ends_everything() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kills = number("MAYDAY_SOAK_KILLS").unwrap_or(50);
    let seed = number("MAYDAY_SEED").unwrap_or(1);
    println!("MAYDAY_SEED={seed} MAYDAY_SOAK_KILLS={kills}");
    let target = Target::default();
    let mut house = House::new(&target.serve().await);
    let people = Arc::new(People {
        http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
        address: house.address.clone(),
        target: target.clone(),
        accepted: Mutex::default(),
        ended: Mutex::default(),
        runs: Mutex::default(),
    });
    let sends = tokio::spawn(sender(people.clone(), Dice(seed ^ 1)));
    let decides = tokio::spawn({
        let (people, mut dice) = (people.clone(), Dice(seed ^ 2));
        async move {
            loop {
                people.decide(&mut dice, 2).await;
                tokio::time::sleep(Duration::from_millis(30 + dice.roll(100))).await;
            }
        }
    });
    let mut dice = Dice(seed);
    let begun = Instant::now();
    let (mut starts, mut young) = (Vec::new(), 0);
    for _ in 0..kills {
        house.start();
        // Some die while they start: that is when the journals are read.
        if dice.roll(6) == 0 {
            young += 1;
            tokio::time::sleep(Duration::from_millis(20 + dice.roll(400))).await;
        } else {
            starts.push(house.listens().await);
            tokio::time::sleep(Duration::from_millis(50 + dice.roll(750))).await;
        }
        house.kill();
    }
    sends.abort();
    decides.abort();
    let killing = begun.elapsed();
    house.start();
    house.listens().await;
    let mut dice = Dice(seed ^ 3);
    let deadline = Instant::now() + Duration::from_secs(60 + kills / 5);
    loop {
        people.decide(&mut dice, 1).await;
        let open = people.open();
        if open.is_empty() && people.look().await.is_some() && people.open().is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "seed {seed}: {} runs go on: {open:#?}\n{}", open.len(), house.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let wrong = settled(&mut house, &people, deadline).await;
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}\n{}", house.logs());

    let twice = |counts: &Mutex<BTreeMap<String, u32>>| -> Vec<(String, u32)> {
        lock(counts).iter().filter(|(_, count)| **count > 1).map(|(what, count)| (what.clone(), *count)).collect()
    };
    assert!(twice(&target.done).is_empty(), "seed {seed}: done twice: {:?}\n{}", twice(&target.done), house.logs());
    assert!(twice(&target.keys).is_empty(), "seed {seed}: a key twice: {:?}", twice(&target.keys));
    let runs = lock(&people.runs);
    let done = lock(&target.done);
    for (number, run) in runs.iter() {
        check(*number, run, &done).unwrap_or_else(|why| panic!("seed {seed}: RUN-{number}: {why}: {run:#}"));
    }
    let of = |outcome: &str| runs.values().filter(|run| run["outcome"] == outcome).count();
    let left = runs.values().filter(|run| ["before", "judge"].iter().any(|task| given_up(run, task))).count();
    assert!(left <= 1 + runs.len() / 20, "seed {seed}: {left} runs gave up a reading");
    let slowest = starts.iter().max().copied().unwrap_or_default();
    println!(
        "{kills} kills ({young} while it started) in {killing:.1?}, a start at most {slowest:.2?}; {} alerts, {} runs: {} done, {} taken back ({left} since a reading was interrupted four times); {} changes made once; all after {:.1?}",
        lock(&people.accepted).len(),
        runs.len(),
        of("no_effect"),
        of("failed"),
        done.len(),
        begun.elapsed()
    );
    assert_eq!(of("no_effect") + of("failed"), runs.len(), "seed {seed}: every run did its work or took it back");
    assert!(of("no_effect") > 0 && of("failed") > 0 && lock(&people.accepted).len() > 10, "there was load");
}

async fn sender(people: Arc<People>, mut dice: Dice) {
    let mut service = 0;
    loop {
        service += dice.roll(2);
        let alert = |number: u64| {
            json!({ "alert_name": "Soak", "service_name": format!("s{number}"), "status": "firing", "severity": "Critical",
                "timestamp": "2026-01-01T10:00:00Z", "labels": {"part": format!("p{}", number % 3)} })
        };
        let alerts: Vec<Value> = (0..=dice.roll(2)).map(|more| alert(service + more)).collect();
        people.send(&alerts).await;
        tokio::time::sleep(Duration::from_millis(100 + dice.roll(300))).await;
    }
}

/// Whether a reading was interrupted so often that it was not begun once more.
fn given_up(run: &Value, task: &str) -> bool {
    let mut tasks = run["tasks"].as_array().into_iter().flatten();
    let found = tasks.find(|found| found["id"] == task && found["state"] == "failed");
    found.is_some_and(|task| {
        task["note"].as_str().is_some_and(|note| note.contains("was interrupted in the middle of it"))
    })
}

/// What a run says it did has happened, and the other way round.
fn check(number: u64, run: &Value, done: &BTreeMap<String, u32>) -> Result<(), String> {
    let state = |task: &str| {
        let tasks = run["tasks"].as_array().into_iter().flatten();
        tasks
            .clone()
            .find(|found| found["id"] == task)
            .map_or("none", |task| task["state"].as_str().unwrap())
            .to_owned()
    };
    let happened = |what: &str| done.contains_key(what);
    if given_up(run, "before") {
        let nothing = state("change") == "pending" && !happened(&format!("change RUN-{number}"));
        return if nothing { Ok(()) } else { Err("it went on without what it was to read first".to_owned()) };
    }
    let back = number.is_multiple_of(5) || given_up(run, "judge");
    let wanted = [
        ("change", if back { "rolled_back" } else { "succeeded" }, format!("change RUN-{number}"), true),
        ("take_back", if back { "succeeded" } else { "none" }, format!("take_back RUN-{number}"), back),
        ("each[0]", "succeeded", format!("each RUN-{number}-a"), true),
        ("each[1]", "succeeded", format!("each RUN-{number}-b"), true),
    ];
    for (task, word, what, there) in wanted {
        if state(task) != word || happened(&what) != there {
            return Err(format!("{task} is {}, and that `{what}` happened is {}", state(task), happened(&what)));
        }
    }
    Ok(())
}

/// Stops it in order and looks into its store: what is missing. What is still on its way gets its time.
async fn settled(house: &mut House, people: &People, deadline: Instant) -> Vec<String> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.stop();
        let store = mayday::store::open(&house.data().join("store"), &mayday::store::Options::default()).unwrap();
        let accepted = lock(&people.accepted).clone();
        let mut wrong = missing(&store, &accepted).await;
        wrong.extend(audited(&store).await);
        let audit = mayday::access::audit::verify(&store, &[]).await.unwrap();
        let broken = serde_json::to_value(&audit).unwrap()["first_bad"].clone();
        assert!(broken.is_null(), "the audit is broken: {broken}");
        drop(store);
        if wrong.is_empty() || Instant::now() > deadline {
            return wrong;
        }
        house.start();
        house.listens().await;
    }
}

async fn read(store: &SharedStore, key: &Key) -> Option<Value> {
    let entry = store.read(key).await.unwrap()?;
    Some(serde_json::from_slice::<Value>(&entry.value).unwrap()["d"].clone())
}

/// Nobody is told of what the auditor finds here; it is asked.
struct Deaf;

impl mayday::watch::AlertSink for Deaf {
    fn accept<'a>(&'a self, _: Vec<mayday::alert::Alert>) -> mayday::core::BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// What the auditor would raise an alert for.
async fn audited(store: &SharedStore) -> Vec<String> {
    let clock: mayday::core::SharedClock = std::sync::Arc::new(mayday::core::clock::SystemClock);
    let incidents = std::sync::Arc::new(mayday::incident::Incidents::new(store.clone(), clock.clone()));
    let options = mayday::ops::auditor::Options::default();
    let auditor =
        mayday::ops::auditor::Auditor::new(store.clone(), clock, incidents, std::sync::Arc::new(Deaf), options);
    let found = auditor.look().await.unwrap();
    found.iter().map(|found| format!("the auditor: {found:?}")).collect()
}

/// Alerts without an incident, open runs, incidents without a card.
async fn missing(store: &SharedStore, accepted: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for alert in accepted {
        if read(store, &Key::of(["alert-incident", alert])).await.is_none() {
            wrong.push(format!("{alert} is in no incident"));
        }
    }
    for open in store.scan(&Range::under(&Key::of(["run-open"]), 1_000)).await.unwrap() {
        wrong.push(format!("{} is open", open.key));
    }
    let incidents = store.scan(&Range::under(&Key::of(["incident"]), 100_000)).await.unwrap();
    assert!(!incidents.is_empty());
    for entry in incidents {
        let incident = serde_json::from_slice::<Value>(&entry.value).unwrap()["d"].clone();
        let (id, channel) = (incident["id"].as_str().unwrap(), incident["channel"]["name"].as_str().unwrap());
        if read(store, &Key::of(["web-slot", channel, id])).await.is_some() {
            continue;
        }
        // A channel keeps its newest messages only: older cards were let go.
        let oldest = store.scan(&Range::under(&Key::of(["web", channel]), 1)).await.unwrap();
        let since =
            oldest.first().map(|entry| serde_json::from_slice::<Value>(&entry.value).unwrap()["d"]["at"].clone());
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<mayday::core::Timestamp>().ok());
        if since.as_ref().and_then(time).is_none_or(|since| since <= time(&incident["opened_at"]).unwrap()) {
            wrong.push(format!("{id} has no card"));
        }
    }
    wrong
}

//! For the soak: the real binary in a folder of its own, and a target that counts what is done to it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as Part, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};

/// Reads, changes, changes two things at once, and takes the first back where the judge says no.
const PLAYBOOK: &str = "
playbook_id: PB-Soak
name: calls that are counted
trigger_conditions: [{alert_name: Soak, service_name: any}]
tasks:
  - {id: before, type: API_Call, action: GET /read}
  - {id: change, type: API_Call, depends_on: [before], action: POST /do/change, parameters: {n: '{{ run.id }}'}, timeout: 1s, rollback: take_back}
  - {id: take_back, type: API_Call, action: POST /do/take_back, parameters: {n: '{{ run.id }}'}, timeout: 1s}
  - {id: each, type: API_Call, depends_on: [change], for_each: {in: [a, b], concurrency: 2}, action: POST /do/each, parameters: {n: '{{ run.id }}-{{ item }}'}, timeout: 1s}
  - {id: wait, type: Wait, depends_on: [each], parameters: {for: 200ms}}
  - {id: judge, type: API_Call, depends_on: [wait], action: GET /judge, parameters: {n: '{{ run.id }}'}}
  - {id: tell, type: Notification, depends_on: [judge], parameters: {message: done}}
";

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A choice from a seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What was done: how often by what it is (`change RUN-3`), and how often by idempotency key.
#[derive(Clone, Default)]
pub struct Target {
    pub done: Arc<Mutex<BTreeMap<String, u32>>>,
    pub keys: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Target {
    /// Listens; gives the address.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/read", get(async || axum::Json(json!({"ok": true}))))
            .route("/judge", get(Self::judge))
            .route("/do/{what}", post(Self::note))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }

    /// Every fifth run is judged to have done no good.
    async fn judge(Query(asked): Query<BTreeMap<String, String>>) -> StatusCode {
        let number: u64 = asked["n"].trim_start_matches("RUN-").parse().unwrap();
        if number.is_multiple_of(5) { StatusCode::CONFLICT } else { StatusCode::OK }
    }

    async fn note(
        State(target): State<Self>,
        Part(what): Part<String>,
        headers: HeaderMap,
        axum::Json(said): axum::Json<Value>,
    ) -> axum::Json<Value> {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        *lock(&target.done).entry(format!("{what} {}", said["n"].as_str().unwrap())).or_default() += 1;
        *lock(&target.keys).entry(key).or_default() += 1;
        axum::Json(json!({"ok": true}))
    }
}

/// Where the process that runs now is reached: its address and the admin's token. None while none listens.
pub type Address = Arc<Mutex<Option<(String, String)>>>;

/// The binary and its folder.
pub struct House {
    pub folder: tempfile::TempDir,
    pub address: Address,
    process: Option<Child>,
}

impl House {
    pub fn new(api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let playbooks = folder.path().join("playbooks");
        std::fs::create_dir_all(&playbooks).unwrap();
        std::fs::write(playbooks.join("soak.yaml"), PLAYBOOK).unwrap();
        let text = format!(
            "data: {}\nhttp:\n  listen: 127.0.0.1:0\n  open_webhooks_on_loopback: true\nplaybooks:\n  folder: {}\n  allow_self: true\nactions:\n  default_api: {api}\n",
            folder.path().join("data").display(),
            playbooks.display()
        );
        std::fs::write(folder.path().join("mayday.yaml"), text).unwrap();
        Self { folder, address: Address::default(), process: None }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn logs(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Starts it; its address stands in `address` once it listens.
    pub fn start(&mut self) {
        let log = std::fs::File::options().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["run", "-c", "mayday.yaml"])
            .current_dir(self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env_remove("MAYDAY_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (address, data) = (self.address.clone(), self.data());
        std::thread::spawn(move || {
            let url = lines.find_map(|line| line.ok()?.strip_prefix("Mayday listens on ").map(str::to_owned));
            if let (Some(url), Some(token)) = (url, token(&data)) {
                *lock(&address) = Some((url, token));
            }
            // The pipe must not fill.
            lines.for_each(drop);
        });
        self.process = Some(process);
    }

    /// Waits until it listens.
    pub async fn listens(&mut self) -> Duration {
        let begun = Instant::now();
        while lock(&self.address).is_none() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "it does not start:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().unwrap();
        process.wait().unwrap();
        *lock(&self.address) = None;
    }

    /// Freezes it, or lets it go on.
    pub fn signal(&self, name: &str) {
        Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
    }

    /// Of the process that runs now.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
        let begun = Instant::now();
        while process.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not stop:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
        *lock(&self.address) = None;
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

fn token(data: &Path) -> Option<String> {
    std::fs::read_to_string(data.join("admin-token")).ok()?.lines().next().map(str::to_owned)
}

//! Processes of the real binary for tests: `mayday run` on one database, with what can be sent to them and done to them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

const PLAYBOOK: &str = "
playbook_id: PB-Note
name: say it
tasks:
  - {id: wait, type: Wait, parameters: {for: 100ms}}
  - {id: tell, type: Notification, depends_on: [wait], parameters: {message: done}}
";

/// Reads, changes something once a person has approved it, and reads again.
const CALLS: &str = "
playbook_id: PB-Calls
name: calls that are counted
parameters: {n: {type: string}}
tasks:
  - {id: before, type: API_Call, action: GET /read}
  - {id: change, type: API_Call, depends_on: [before], action: POST /change, parameters: {n: '{{ params.n }}'}, timeout: 2s}
  - {id: after, type: API_Call, depends_on: [change], action: GET /read}
  - {id: tell, type: Notification, depends_on: [after], parameters: {message: done}}
";

/// One `mayday run`.
/// What makes a process see another wall clock; the steady one runs as it does.
fn clock_off(seconds: i64) -> Vec<(&'static str, String)> {
    if seconds == 0 {
        return Vec::new();
    }
    let library = std::fs::read_dir("/usr/lib").unwrap().flatten().find_map(|folder| {
        let library = folder.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then(|| library.display().to_string())
    });
    let library = library.expect("libfaketime; `tests/run` installs it, or `apt-get install faketime`");
    let on = || "1".to_owned();
    vec![
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
        ("FAKETIME_NO_CACHE", on()),
    ]
}

pub struct Replica {
    pub folder: PathBuf,
    pub process: Child,
    pub url: String,
    /// Signs in once.
    pub link: String,
}

impl Replica {
    /// Starts one in a folder of its own and waits until it listens. What stands in the folder's `more.yaml` is configured
    /// besides.
    pub fn start(folder: &Path, database: &str) -> Self {
        Self::start_as(&configuration(folder, database), folder, database)
    }

    /// The same on a machine whose clock is so many seconds off.
    pub fn start_off(folder: &Path, database: &str, seconds: i64) -> Self {
        Self::start_with(&configuration(folder, database), folder, database, seconds)
    }

    /// The same with a configuration that stands there.
    pub fn start_as(config: &Path, folder: &Path, database: &str) -> Self {
        Self::start_with(config, folder, database, 0)
    }

    fn start_with(config: &Path, folder: &Path, database: &str, off: i64) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["run", "-c"])
            .arg(config)
            .current_dir(folder)
            .env("MAYDAY_TEST_DATABASE", database)
            .envs(clock_off(off))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| line.ok()?.strip_prefix("Mayday listens on ").map(str::to_owned));
        let url = url.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(folder.join("log")).unwrap()));
        let link = lines.find_map(|line| {
            let line = line.ok()?;
            line.find("http://").filter(|_| line.contains("/sign-in?token=")).map(|at| line[at..].trim().to_owned())
        });
        let link = link.expect("a link to sign in with");
        // Nobody reads the rest; the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder: folder.to_owned(), process, url, link }
    }

    pub fn say(&self, line: &str) -> String {
        let data = self.folder.join("data");
        let said = mayday(&self.folder, &["say", line, "--data", data.to_str().unwrap()], "");
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    }

    /// A list of the API.
    pub async fn list(&self, http: &reqwest::Client, what: &str) -> Option<Vec<Value>> {
        let token = std::fs::read_to_string(self.folder.join("data/admin-token")).ok()?;
        let asked = http.get(format!("{}/api/v1/{what}", self.url)).query(&[("limit", "1000")]);
        let said: Value = asked.bearer_auth(token.lines().next()?).send().await.ok()?.json().await.ok()?;
        said["items"].as_array().cloned()
    }

    /// Freezes it, or lets it go on.
    pub fn signal(&self, name: &str) {
        Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
    }

    pub async fn alert(&self, name: &str, service: &str) -> Value {
        // A second installation in the same process is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let body = json!({ "alert_name": name, "service_name": service, "status": "firing", "severity": "Critical",
            "timestamp": "2026-01-01T10:00:00Z" });
        let answer =
            reqwest::Client::new().post(format!("{}/webhook/alert", self.url)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn configuration(folder: &Path, database: &str) -> PathBuf {
    let playbooks = folder.join("playbooks");
    std::fs::create_dir_all(&playbooks).unwrap();
    std::fs::write(playbooks.join("note.yaml"), PLAYBOOK).unwrap();
    std::fs::write(playbooks.join("calls.yaml"), CALLS).unwrap();
    let api = std::fs::read_to_string(folder.join("api")).unwrap_or_else(|_| "http://127.0.0.1:9".to_owned());
    let file = folder.join("mayday.yaml");
    let url = if database.is_empty() { "url: postgres://nobody@127.0.0.1:9/x" } else { "url: ${MAYDAY_TEST_DATABASE}" };
    let text = format!(
        "data: {}\nhttp:\n  listen: 127.0.0.1:0\n  open_webhooks_on_loopback: true\nplaybooks:\n  folder: {}\n  allow_self: true\nstore:\n  postgres:\n    {url}\nactions:\n  default_api: {api}\n",
        folder.join("data").display(),
        playbooks.display()
    );
    let more = std::fs::read_to_string(folder.join("more.yaml")).unwrap_or_default();
    std::fs::write(&file, text + &more).unwrap();
    file
}

pub fn mayday(folder: &Path, arguments: &[&str], database: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("MAYDAY_TEST_DATABASE", database)
        .env_remove("MAYDAY_TOKEN")
        .output()
        .unwrap()
}

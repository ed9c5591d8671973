//! The real binary on PostgreSQL: one process and its views in plain SQL, and what `mayday check` says of a server.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::postgres_world::{database, sql};

const PLAYBOOK: &str = "
playbook_id: PB-Note
name: say it
tasks:
  - {id: wait, type: Wait, parameters: {for: 100ms}}
  - {id: tell, type: Notification, depends_on: [wait], parameters: {message: done}}
";

/// One `mayday run`.
struct Replica {
    folder: PathBuf,
    process: Child,
    url: String,
}

impl Replica {
    /// Starts one in a folder of its own and waits until it listens.
    fn start(folder: &Path, database: &str) -> Self {
        let config = configuration(folder, database);
        let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["run", "-c"])
            .arg(&config)
            .current_dir(folder)
            .env("MAYDAY_TEST_DATABASE", database)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| line.ok()?.strip_prefix("Mayday listens on ").map(str::to_owned));
        let url = url.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(folder.join("log")).unwrap()));
        // Nobody reads the rest; the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder: folder.to_owned(), process, url }
    }

    fn say(&self, line: &str) -> String {
        let data = self.folder.join("data");
        let said = mayday(&self.folder, &["say", line, "--data", data.to_str().unwrap()], "");
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    }

    async fn alert(&self, name: &str, service: &str) -> Value {
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

fn configuration(folder: &Path, database: &str) -> PathBuf {
    let playbooks = folder.join("playbooks");
    std::fs::create_dir_all(&playbooks).unwrap();
    std::fs::write(playbooks.join("note.yaml"), PLAYBOOK).unwrap();
    let file = folder.join("mayday.yaml");
    let url = if database.is_empty() { "url: postgres://nobody@127.0.0.1:9/x" } else { "url: ${MAYDAY_TEST_DATABASE}" };
    let text = format!(
        "data: {}\nhttp:\n  listen: 127.0.0.1:0\n  open_webhooks_on_loopback: true\nplaybooks:\n  folder: {}\nstore:\n  postgres:\n    {url}\n",
        folder.join("data").display(),
        playbooks.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn mayday(folder: &Path, arguments: &[&str], database: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("MAYDAY_TEST_DATABASE", database)
        .env_remove("MAYDAY_TOKEN")
        .output()
        .unwrap()
}

/// Waits until plain SQL says so.
fn until(url: &str, statement: &str, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let said = sql(url, statement);
        if said == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{statement}: {said:?} instead of {wanted:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_runs_and_audit_are_read_with_plain_sql_and_outlive_a_kill() {
    let url = database();
    let folder = tempfile::tempdir().unwrap();
    let mut replica = Replica::start(folder.path(), &url);
    let accepted = replica.alert("High_CPU_Usage", "order-service").await;
    assert_eq!(accepted["accepted"], 1);
    until(
        &url,
        "SELECT id, phase, severity, service, alert_name, chat, firing, alerts, opened_at > started_at, resolved_at IS NULL FROM mayday_incidents",
        &["INC-1|triggered|Critical|order-service|High_CPU_Usage|web|1|1|t|t"],
    );
    let said = replica.say("ack INC-1");
    until(
        &url,
        "SELECT phase, acknowledged_at IS NOT NULL, commander IS NOT NULL FROM mayday_incidents",
        &["acknowledged|t|t"],
    );
    let said = format!("{said}{}", replica.say("run PB-Note"));
    until(
        &url,
        "SELECT state, playbook_name, incident IS NULL, ended_at > proposed_at FROM mayday_runs WHERE playbook = 'PB-Note'",
        &["ended|say it|t|t"],
    );
    let acted = sql(
        &url,
        "SELECT seq, action, actor IS NOT NULL, hash <> '' FROM mayday_audit WHERE action = 'ack' OR subject = 'INC-1'",
    );
    assert!(!acted.is_empty(), "{said}: {:?}", sql(&url, "SELECT * FROM mayday_audit"));

    replica.process.kill().unwrap();
    replica.process.wait().unwrap();
    let again = Replica::start(folder.path(), &url);
    again.alert("Slow", "order-service").await;
    until(&url, "SELECT id, phase, alerts FROM mayday_incidents", &["INC-1|acknowledged|2"]);
}

#[test]
fn check_asks_the_server_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let url = database();
    configuration(folder.path(), &url);
    let well = mayday(folder.path(), &["check", "-c", "mayday.yaml"], &url);
    let said = String::from_utf8_lossy(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{said}");
    assert!(said.contains("mayday.yaml:9:10: CF021: warning: ") && said.contains("has fsync off"), "{said}");
    assert!(said.contains("no mistakes"), "{said}");

    configuration(folder.path(), "");
    let down = mayday(folder.path(), &["check", "-c", "mayday.yaml"], "");
    let said = String::from_utf8_lossy(&down.stdout);
    assert_eq!(down.status.code(), Some(1), "{said}");
    assert!(said.contains("mayday.yaml:9:10: CF020: ") && said.contains("does not answer"), "{said}");
}

//! What an earlier version left in a store, embedded or PostgreSQL, is read, and gone on with, by this one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::postgres_world::{database, dump, restore, sql};
use super::replica_world::{Replica, configuration, mayday};
use super::soak_world::{House, lock};

/// A run that ended, and one that the version before left in the middle: it waits for a minute, which is over when the store
/// is opened again, and may take for ever.
const PLAYBOOKS: [(&str, &str); 2] = [
    (
        "kept.yaml",
        "playbook_id: PB-Kept
name: a run that stays in the store
trigger_conditions: [{alert_name: Kept, service_name: any}]
tasks:
  - {id: wait, type: Wait, parameters: {for: 100ms}}
  - {id: tell, type: Notification, depends_on: [wait], parameters: {message: kept}}
",
    ),
    (
        "open.yaml",
        "playbook_id: PB-Open
name: a run that goes on
max_duration: 36500d
tasks:
  - {id: wait, type: Wait, parameters: {for: 60s}}
  - {id: tell, type: Notification, depends_on: [wait], parameters: {message: it went on}}
",
    ),
];

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stores")
}

/// The folders of the versions, with what is in them.
fn versions(part: &str) -> Vec<(String, PathBuf)> {
    let folders = std::fs::read_dir(stores()).unwrap().map(|entry| entry.unwrap().path());
    let parts = folders.map(|folder| (folder.file_name().unwrap().to_str().unwrap().to_owned(), folder.join(part)));
    parts.filter(|(_, part)| part.exists()).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A Mayday that runs, as it is spoken to.
struct Bot {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl Bot {
    fn at(url: &str, data: &Path) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
        Self {
            url: url.to_owned(),
            token: token.lines().next().unwrap().to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn get(&self, what: &str) -> Value {
        let asked = self.client.get(format!("{}/api/v1/{what}", self.url)).bearer_auth(&self.token).send().await;
        let asked = asked.unwrap();
        assert!(asked.status().is_success(), "{what}: {}", asked.status());
        asked.json().await.unwrap()
    }

    /// One field of a list's items.
    async fn each(&self, what: &str, field: &str) -> Vec<Value> {
        let list = self.get(what).await;
        list["items"].as_array().unwrap().iter().map(|item| item[field].clone()).collect()
    }

    async fn say(&self, line: &str) -> Value {
        let said = self.client.post(format!("{}/api/v1/say", self.url)).bearer_auth(&self.token);
        said.json(&json!({ "text": line })).send().await.unwrap().json().await.unwrap()
    }

    async fn alert(&self, name: &str, service: &str, severity: &str, status: &str) {
        let body = json!({ "alert_name": name, "service_name": service, "status": status, "severity": severity,
            "timestamp": jiff::Timestamp::now(), "description": "what it said", "metric_value": 93.5 });
        let sent = self.client.post(format!("{}/webhook/alert", self.url)).json(&body).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    }

    async fn run_of(&self, playbook: &str) -> Option<Value> {
        let list = self.get("runs").await;
        list["items"].as_array().unwrap().iter().find(|run| run["playbook"] == playbook).cloned()
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            let now = async || format!("{} {}", self.get("runs").await, self.get("incidents").await);
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {}", now().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What every store of a release holds.
    async fn fill(&self) {
        self.alert("Kept", "order-service", "Critical", "firing").await;
        self.alert("Second", "order-service", "Warning", "firing").await;
        self.alert("Over", "payment-gateway", "Warning", "firing").await;
        self.until("two incidents", async || self.each("incidents", "id").await.len() == 2).await;
        self.alert("Over", "payment-gateway", "Warning", "resolved").await;
        self.until("one is over", async || self.each("incidents", "phase").await.contains(&json!("resolved"))).await;
        let ended = async || self.run_of("PB-Kept").await.is_some_and(|run| run["state"] == "ended");
        self.until("a run has ended", ended).await;
        assert_eq!(self.say("ack INC-1").await["ok"], true);
        let acknowledged = async || self.each("incidents", "phase").await.contains(&json!("acknowledged"));
        self.until("INC-1 is acknowledged", acknowledged).await;
        assert_eq!(self.say("run PB-Open").await["ok"], true);
        let begun = |run: Value| run["state"] != "ended" && run["tasks"][0]["state"] != "pending";
        self.until("a run is open", async || self.run_of("PB-Open").await.is_some_and(begun)).await;
    }

    /// That it is all there, and goes on.
    async fn goes_on(&self, folder: &Path, with_an_open_run: bool) {
        let mut phases = self.each("incidents", "phase").await;
        phases.sort_by_key(Value::to_string);
        assert_eq!(phases, ["acknowledged", "resolved"]);
        assert_eq!(self.each("alerts", "id").await.len(), 3);
        let kept = self.run_of("PB-Kept").await.unwrap();
        assert_eq!(kept["state"], "ended", "{kept}");
        assert!(self.each("audit", "seq").await.len() >= 2);
        if with_an_open_run {
            let ended = async || self.run_of("PB-Open").await.is_some_and(|run| run["state"] == "ended");
            self.until("the open run goes on to its end", ended).await;
            let run = self.run_of("PB-Open").await.unwrap();
            assert_eq!(run["outcome"], kept["outcome"], "{run}");
        }
        let done = self.say("resolve INC-1").await;
        assert_eq!(done["ok"], true, "{done}");
        assert_eq!(self.get("incidents/INC-1").await["phase"], "resolved");
        // What the version before chained and what was added now are one chain.
        let verified = mayday(folder, &["audit", "verify", "--data", "data"], "");
        let said =
            format!("{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
        assert!(verified.status.success(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_of_each_released_version_is_read_and_gone_on_with() {
    let versions = versions("store");
    assert!(!versions.is_empty());
    for (version, store) in versions {
        let mut house = House::new("http://127.0.0.1:9");
        copy(&store, &house.data().join("store"));
        house.start();
        house.listens().await;
        let url = lock(&house.address).clone().unwrap().0;
        Bot::at(&url, &house.data()).goes_on(house.folder.path(), version != "0.1.0").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_each_released_version_is_read_and_gone_on_with() {
    let versions = versions("postgres.sql");
    assert!(!versions.is_empty());
    for (_, file) in versions {
        let url = database();
        restore(&url, &file);
        let left = sql(&url, "SELECT layout FROM mayday_head");
        let folder = tempfile::tempdir().unwrap();
        let replica = Replica::start(folder.path(), &url);
        Bot::at(&replica.url, &folder.path().join("data")).goes_on(folder.path(), true).await;
        // The views are the release's promise too.
        let views = "SELECT id, phase FROM mayday_incidents UNION ALL SELECT id, state FROM mayday_runs ORDER BY 1";
        assert_eq!(sql(&url, views), ["INC-1|resolved", "INC-2|resolved", "RUN-1|ended", "RUN-2|ended"]);
        assert!(sql(&url, "SELECT layout FROM mayday_head") >= left);
        drop(replica);

        // Two layouts further it is another version's alone.
        let before = sql(&url, "UPDATE mayday_head SET layout = layout + 2 RETURNING last");
        let refused = mayday(folder.path(), &["run", "-c", "mayday.yaml"], &url);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("start the newer version"), "{said}");
        assert_eq!(sql(&url, "SELECT last FROM mayday_head"), before, "nothing was written");
    }
}

/// Makes what is missing of this version's stores; see `tests/data/stores/README.md`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the test data of a release"]
async fn make() {
    let target = stores().join(env!("CARGO_PKG_VERSION"));
    std::fs::create_dir_all(&target).unwrap();
    // With names from the folder on: a release's test data knows nothing of this machine.
    let prepare = |folder: &Path, config: &Path| {
        let text = std::fs::read_to_string(config).unwrap();
        std::fs::write(config, text.replace(&format!("{}/", folder.display()), "")).unwrap();
        PLAYBOOKS.iter().for_each(|(name, text)| std::fs::write(folder.join("playbooks").join(name), text).unwrap());
    };
    if !target.join("store").exists() {
        let mut house = House::new("http://127.0.0.1:9");
        prepare(house.folder.path(), &house.folder.path().join("mayday.yaml"));
        house.start();
        house.listens().await;
        let url = lock(&house.address).clone().unwrap().0;
        Bot::at(&url, &house.data()).fill().await;
        house.stop();
        copy(&house.data().join("store"), &target.join("store"));
    }
    if !target.join("postgres.sql").exists() {
        let url = database();
        let folder = tempfile::tempdir().unwrap();
        let config = configuration(folder.path(), &url);
        prepare(folder.path(), &config);
        let mut replica = Replica::start_as(&config, folder.path(), &url);
        Bot::at(&replica.url, &folder.path().join("data")).fill().await;
        replica.signal("-TERM");
        assert!(replica.process.wait().unwrap().success());
        let text = dump(&url);
        assert!(!text.contains(folder.path().to_str().unwrap()));
        std::fs::write(target.join("postgres.sql"), text).unwrap();
    }
}

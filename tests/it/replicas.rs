//! The real binary on PostgreSQL: one process and its views in plain SQL, what `mayday check` says of a server, and three
//! processes on one database that are killed and frozen at random.

use std::time::{Duration, Instant};

use crate::postgres_world::{database, sql};
use crate::replica_world::{Replica, configuration, mayday};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_can_not_start_keeps_no_shard_from_those_that_work() {
    let url = database();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let healthy = Replica::start(folders[0].path(), &url);
    let held = "SELECT count(*) FROM mayday_records AS lease JOIN mayday_records AS alive \
                ON alive.key = 'replica/' || (lease.data ->> 'replica') WHERE lease.key LIKE 'lease/%'";
    until(&url, held, &["64"]);
    let config = configuration(folders[1].path(), &url);
    let taken = healthy.url.trim_start_matches("http://");
    let text = std::fs::read_to_string(&config).unwrap().replace("127.0.0.1:0", taken);
    std::fs::write(&config, text).unwrap();
    for _ in 0..3 {
        let refused = mayday(folders[1].path(), &["run", "-c", config.to_str().unwrap()], &url);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(taken), "{said}");
        // It says goodbye as it ends; nobody has to wait until it counts as dead.
        assert_eq!(sql(&url, "SELECT count(*) FROM mayday_records WHERE key LIKE 'replica/%'"), ["1"]);
    }
    until(&url, held, &["64"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_one_replica_shows_what_another_one_wrote_without_loading_again() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = database();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Replica::start(folders[0].path(), &url);
    let second = Replica::start(folders[1].path(), &url);
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let cookie = async |replica: &Replica| -> String {
        let token = replica.link.rsplit("token=").next().unwrap();
        let asked = http.post(format!("{}/sign-in", replica.url)).header("origin", &replica.url);
        let signed_in = asked.form(&[("token", token)]).send().await.unwrap();
        signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let feed = http.get(format!("{}/events?channel=incidents&after=0", first.url));
    let mut feed = feed.header("cookie", cookie(&first).await).send().await.unwrap();
    assert!(feed.status().is_success());
    // A person types something on a page of the other one.
    let other = cookie(&second).await;
    let page = http.get(format!("{}/channels/incidents", second.url)).header("cookie", &other).send().await.unwrap();
    let page = page.text().await.unwrap();
    let csrf = page.split("name=\"mayday-csrf\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let said = http.post(format!("{}/say", second.url)).header("cookie", &other).header("x-mayday-csrf", csrf);
    let said = said.json(&serde_json::json!({"channel": "incidents", "text": "runs"})).send().await.unwrap();
    assert!(said.status().is_success(), "{}", said.status());
    let mut text = String::new();
    let shown = async {
        while !text.contains("event: message") {
            let chunk = feed.chunk().await.unwrap().expect("the feed goes on");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(10), shown).await;
    assert!(shown.is_ok(), "{text}");
}

/// Whoever sums the gauge over the replicas, as Prometheus does, has the number of open incidents; also when one is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_incidents_are_counted_once_over_all_replicas() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = database();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut replicas: Vec<Replica> = folders.iter().map(|folder| Replica::start(folder.path(), &url)).collect();
    for number in 0..6 {
        replicas[number % 2].alert("Slow", &format!("service-{number}")).await;
    }
    let http = reqwest::Client::new();
    let gauge = async |replica: &Replica| -> f64 {
        let text = http.get(format!("{}/metrics", replica.url)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("mayday_incidents_open "));
        line.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
    };
    let sum_is = async |replicas: &[Replica], wanted: f64| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut all = Vec::new();
            for replica in replicas {
                all.push(gauge(replica).await);
            }
            if all.iter().sum::<f64>() == wanted && all.contains(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{all:?} instead of {wanted} in all");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    sum_is(&replicas, 6.0).await;
    for (number, replica) in [(1, 0), (2, 1), (3, 0)] {
        replicas[replica].say(&format!("resolve INC-{number}"));
    }
    sum_is(&replicas, 3.0).await;
    // Whoever of them counted: the other one counts when it is gone.
    let counting = if gauge(&replicas[0]).await == 3.0 { 0 } else { 1 };
    drop(replicas.remove(counting));
    sum_is(&replicas, 3.0).await;
}

/// With the replicas running: what a record says is erased, by a process beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_the_audit_is_erased_while_replicas_run() {
    let url = database();
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(folder.path(), &url);
    replica.alert("Slow", "order-service").await;
    until(&url, "SELECT count(*) FROM mayday_incidents", &["1"]);
    replica.say("ack INC-1");
    let said = "SELECT seq FROM mayday_audit WHERE chain = 'main' AND subject = 'INC-1' LIMIT 1";
    let record = format!("main:{}", sql(&url, said)[0]);
    let words = ["audit", "erase", &record, "--reason", "asked for", "--config", "mayday.yaml"];
    let erased = mayday(folder.path(), &words, &url);
    let told = String::from_utf8_lossy(&[erased.stdout, erased.stderr].concat()).into_owned();
    assert_eq!(erased.status.code(), Some(0), "{told}");
    assert_eq!(sql(&url, &said.replace("= 'INC-1'", "= 'INC-1' AND actor IS NOT NULL")), [""; 0]);
    // The bot goes on in the chain that grew beside it, and it is whole.
    replica.say("resolve INC-1");
    let whole = mayday(folder.path(), &["audit", "verify", "--data", "data"], &url);
    let told = String::from_utf8_lossy(&[whole.stdout, whole.stderr].concat()).into_owned();
    assert!(whole.status.code() == Some(0) && told.contains("is whole"), "{told}");
}

/// Its token file, series and signing key are one bot's, wherever the store is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_on_a_data_folder_is_refused_and_leaves_the_first_alone() {
    let url = database();
    let folder = tempfile::tempdir().unwrap();
    let first = Replica::start(folder.path(), &url);
    let refused = mayday(folder.path(), &["run", "-c", "mayday.yaml"], &url);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("in use by another Mayday"), "{said}");
    let still = mayday(folder.path(), &["say", "runs", "--data", "data"], &url);
    assert!(still.status.success(), "{}", String::from_utf8_lossy(&still.stderr));
    drop(first);
}

#[test]
fn a_command_on_a_database_makes_no_tables_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = database();
    configuration(folder.path(), &url);
    let erase = ["audit", "erase", "main:1", "--reason", "asked for", "--config", "mayday.yaml"];
    let refused = mayday(folder.path(), &erase, &url);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("holds no data of Mayday"), "{said}");
    assert_eq!(sql(&url, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'mayday%'"), ["0"]);
}

#[test]
fn check_asks_the_server_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let url = database();
    configuration(folder.path(), &url);
    let well = mayday(folder.path(), &["check", "-c", "mayday.yaml"], &url);
    let said = String::from_utf8_lossy(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{said}");
    assert!(said.contains("mayday.yaml:10:10: CF021: warning: ") && said.contains("has fsync off"), "{said}");
    assert!(said.contains("CF022: warning: each replica signs"), "{said}");
    assert!(said.contains("no mistakes"), "{said}");

    configuration(folder.path(), "");
    let down = mayday(folder.path(), &["check", "-c", "mayday.yaml"], "");
    let said = String::from_utf8_lossy(&down.stdout);
    assert_eq!(down.status.code(), Some(1), "{said}");
    assert!(said.contains("mayday.yaml:10:10: CF020: ") && said.contains("does not answer"), "{said}");
}

//! Own alert rules of two real processes on one database: each alert once, and rules go on when a process is killed.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::postgres_world::{database, sql};
use crate::replica_world::Replica;

const ALERTS: &str = "SELECT data #>> '{alert,alert_name}', lower(data #>> '{alert,status}'), coalesce(data #>> '{alert,labels,host}', '-') \
     FROM mayday_records WHERE key LIKE 'alert/%' ORDER BY 1, 3";

/// A page with one number, which a test moves.
#[derive(Clone, Default)]
struct Page(Arc<AtomicU64>);

impl Page {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let page = self.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let body = format!("job_backlog {}\n", page.0.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    let _ = socket.read(&mut [0; 4096]).await;
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                    let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
                });
            }
        });
        url
    }
}

fn start(folder: &Path, url: &str, watch: &str) -> Replica {
    let services = "services: [{name: order-service, team: shop}]\n";
    let beat = "  rule_defaults: {every: 300ms}\n";
    std::fs::write(folder.join("more.yaml"), format!("{services}watch:\n{watch}{beat}")).unwrap();
    Replica::start(folder, url)
}

async fn until(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_evaluates_what_all_see_and_another_one_goes_on_when_it_is_killed() {
    let url = database();
    let page = Page::default();
    // The same on both, as it is for one. The page is on the loopback only since this test is.
    let watch = format!(
        "  scrape: [{{service: order-service, url: '{}', interval: 1s, timeout: 1s}}]\n  rules:\n    \
         - {{id: backlog, alert_name: Backlog, severity: Critical, expr: job_backlog, threshold: 100, for: 2s, per_host: false}}\n    \
         - {{id: overflow, alert_name: Overflow, severity: Critical, expr: job_backlog, threshold: 1000, for: 2s, per_host: false}}\n",
        page.serve().await
    );
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut replicas: Vec<Replica> = folders.iter().map(|folder| start(folder.path(), &url, &watch)).collect();
    let evaluated = |replica: &Replica| {
        let said = replica.say("health");
        let own = said.split("metrics pages answer; ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        own.unwrap_or(if said.contains("1 of 1 metrics pages answer") { 2 } else { 0 })
    };
    // Shards have been shared once both have looked: together they evaluate each rule once.
    let shared = || replicas.iter().map(evaluated).collect::<Vec<usize>>();
    until("each rule is evaluated once", Duration::from_secs(20), || shared().iter().sum::<usize>() == 2).await;

    page.0.store(500, Ordering::SeqCst);
    until("the alert", Duration::from_secs(15), || !sql(&url, ALERTS).is_empty()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sql(&url, ALERTS), ["Backlog|firing|-"]);
    assert_eq!(sql(&url, "SELECT alerts, firing FROM mayday_incidents"), ["1|1"]);

    // Killed is who evaluates the rule that fires: both, in turn, if need be.
    let holder = "SELECT data #>> '{replica}' FROM mayday_records WHERE key LIKE 'lease/%' GROUP BY 1";
    assert_eq!(sql(&url, holder).len(), 2, "both hold shards");
    let most = usize::from(evaluated(&replicas[1]) > evaluated(&replicas[0]));
    let mut killed = replicas.remove(most);
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    let began = Instant::now();
    page.0.store(5_000, Ordering::SeqCst);
    let both = ["Backlog|firing|-", "Overflow|firing|-"];
    until("the second rule's alert", Duration::from_secs(12), || sql(&url, ALERTS) == both).await;
    page.0.store(1, Ordering::SeqCst);
    let over = ["Backlog|resolved|-", "Overflow|resolved|-"];
    until("the alerts' end", Duration::from_secs(12), || sql(&url, ALERTS) == over).await;
    println!("gone on {:?} after the kill", began.elapsed());
    assert_eq!(evaluated(&replicas[0]), 2);
    assert_eq!(sql(&url, "SELECT phase, alerts, firing FROM mayday_incidents"), ["resolved|2|0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_machine_sees_fires_for_it_alone_and_its_rule_decides_when_the_machine_is_gone() {
    let url = database();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |number: usize| {
        let folder = folders[number].path();
        let watch = format!(
            "  host: {{name: web-{number}}}\n  logs: {{files: [{{service: order-service, path: {}/order.log}}], poll: 100ms}}\n  rules:\n    \
             - {{id: errors, alert_name: Errors, severity: Critical, threshold: 2, no_data: ok, no_data_after: 2s, \
             logs: {{service: order-service, words: [refused], window: 10m}}}}\n    \
             - {{id: machine, alert_name: Machine, severity: Info, expr: host_cpu_count, threshold: 100000, no_data: alert, no_data_after: 3s}}\n",
            folder.display()
        );
        start(folder, &url, &watch)
    };
    let mut replicas = vec![start(0), start(1)];
    let known = "SELECT count(*) FROM mayday_records WHERE key LIKE 'rule/machine/%'";
    until("both machines are known", Duration::from_secs(30), || sql(&url, known) == ["2"]).await;
    let mut log = std::fs::File::create(folders[1].path().join("order.log")).unwrap();
    log.write_all(b"ERROR connection refused\n".repeat(5).as_slice()).unwrap();
    until("the alert", Duration::from_secs(15), || !sql(&url, ALERTS).is_empty()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sql(&url, ALERTS), ["Errors|firing|web-1"]);

    // The machine dies. One rule takes that for well, the other one wants data.
    let mut killed = replicas.remove(1);
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    let gone = ["Errors|resolved|web-1", "Machine|firing|web-1"];
    until("what the rules make of it", Duration::from_secs(15), || sql(&url, ALERTS) == gone).await;
    // It comes back, and is well: its lines are there again, and count again.
    let _back = start(1);
    let back = ["Errors|resolved|web-1", "Machine|resolved|web-1"];
    until("the machine's own word", Duration::from_secs(30), || {
        let said = sql(&url, ALERTS);
        back.iter().all(|line| said.iter().any(|said| said == line))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_stands_in_one_configuration_only_is_evaluated_whoever_holds_its_lease() {
    let url = database();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // The first one holds everything when the second one comes, and keeps half.
    let _first = start(folders[0].path(), &url, "  rules: []\n");
    let rule = |number: usize| {
        format!(
            "    - {{id: only-{number}, alert_name: Only{number}, severity: Info, expr: host_cpu_count, threshold: 0, per_host: false}}\n"
        )
    };
    let rules: String = (0..6).map(rule).collect();
    let _second = start(folders[1].path(), &url, &format!("  host: {{interval: 1s}}\n  rules:\n{rules}"));
    let all: Vec<String> = (0..6).map(|number| format!("Only{number}|firing|-")).collect();
    until("every rule's alert", Duration::from_secs(20), || sql(&url, ALERTS) == all).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sql(&url, ALERTS), all);
}

//! Own eyes on real pages, real files and real processes.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayday::core::clock::SystemClock;
use mayday::core::stop::Stopper;
use mayday::core::{BoxFuture, Timestamp};
use mayday::source::{LogQuery, Logs as _};
use mayday::store::memory::Memory;
use mayday::store::series::{self, Series};
use mayday::watch::process::State;
use mayday::watch::scrape::Answer;
use mayday::watch::{AlertSink, Handle, Options, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Nobody;

impl AlertSink for Nobody {
    fn accept<'a>(&'a self, _: Vec<mayday::alert::Alert>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Running eyes; stopped, with everything they started, when the test ends.
struct Eyes {
    handle: Handle,
    stopper: Stopper,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Eyes {
    fn open(options: serde_json::Value) -> Self {
        // Installed already by another test: that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options: Options = serde_json::from_value(options).unwrap();
        assert_eq!(options.problems(), []);
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let series = Series::open(folder.path(), series::Options::default(), clock.clone()).unwrap();
        let (service, handle) = Service::new(
            options,
            Memory::shared(),
            series,
            Arc::new(Nobody),
            Arc::new(mayday::watch::rules::Alone::default()),
            clock,
        )
        .unwrap();
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(service.run(stop));
        Self { handle, stopper, running, _folder: folder }
    }

    async fn close(self) {
        self.stopper.stop();
        tokio::time::timeout(Duration::from_secs(10), self.running).await.unwrap().unwrap();
    }

    async fn lines(&self, service: &str) -> Vec<String> {
        let now = Timestamp::now();
        let query = LogQuery {
            service: service.to_owned(),
            from: now - Duration::from_secs(3600 * 24 * 365 * 20),
            to: now + Duration::from_secs(60),
            words: Vec::new(),
            limit: 1_000,
        };
        let page = self.handle.logs.search(&query).await.unwrap();
        page.lines.into_iter().map(|line| line.text.as_data().to_owned()).collect()
    }

    fn now(&self, expr: &str) -> Option<f64> {
        let query = mayday::watch::expr::Query::parse(expr).unwrap();
        self.handle.metrics.instant(&query, Timestamp::now()).unwrap().first().map(|(_, value)| *value)
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(15), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// A page that answers with what the closure says; `None` accepts and stays silent.
async fn page(answer: impl Fn() -> Option<String> + Send + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let Some(body) = answer() else {
                silent.push(socket);
                continue;
            };
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    url
}

fn target(service: &str, url: &str) -> serde_json::Value {
    serde_json::json!({"service": service, "url": url, "interval": "1s", "timeout": "500ms"})
}

#[tokio::test]
async fn a_page_becomes_series_and_a_silent_or_missing_or_odd_target_is_down_each_in_its_own_words() {
    let good =
        page(|| Some("# TYPE cpu_usage gauge\ncpu_usage{core=\"0\",service=\"own\"} 42.5\nodd NaN\n".to_owned())).await;
    let silent = page(|| None).await;
    let odd = page(|| Some("<html>\n".to_owned())).await;
    let eyes = Eyes::open(serde_json::json!({
        "host": {"interval": "1s"},
        "scrape": [target("good", &good), target("silent", &silent), target("odd", &odd), target("gone", "http://127.0.0.1:9/metrics")],
    }));
    until("all four answers", async || eyes.handle.targets.list().iter().all(|target| target.answer.is_some())).await;
    assert_eq!(eyes.now("cpu_usage{service=\"good\",exported_service=\"own\"}"), Some(42.5));
    assert_eq!((eyes.now("up{service=\"good\"}"), eyes.now("sum(up)")), (Some(1.0), Some(1.0)));
    let answer = |service: &str| eyes.handle.targets.of(service)[0].answer.clone().unwrap();
    assert_eq!(answer("good"), Answer::Up);
    assert_eq!(answer("silent"), Answer::Silent(Duration::from_millis(500)));
    assert!(matches!(answer("odd"), Answer::Unreadable(why) if why.contains("line 1")));
    assert!(matches!(answer("gone"), Answer::Unreachable(why) if why.to_lowercase().contains("refused")));
    assert!(eyes.now("scrape_duration_seconds{service=\"silent\"}").unwrap() >= 0.5);
    until("the host's numbers", async || eyes.now("host_memory_total_bytes").is_some()).await;
    eyes.close().await;
}

#[tokio::test]
async fn a_file_is_followed_through_partial_lines_truncation_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("order.log");
    std::fs::write(&log, "2020-01-01T00:00:00Z INFO from before\n").unwrap();
    let eyes = Eyes::open(serde_json::json!({
        "host": {"enabled": false},
        "logs": {"files": [{"service": "order", "path": folder.path().join("*.log")}], "poll": "50ms"},
    }));
    let append = |path: &Path, text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    until("what was there", async || eyes.lines("order").await.len() == 1).await;
    append(&log, "half a ");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(eyes.lines("order").await.len(), 1);
    append(&log, "line\nsecond\n");
    until("the finished line", async || eyes.lines("order").await.len() == 3).await;

    // Rotated away while its writer still has a word to say.
    let old = folder.path().join("order.log.1");
    std::fs::rename(&log, &old).unwrap();
    append(&log, "in the new file\n");
    append(&old, "late in the old one\n");
    until("both files' lines", async || eyes.lines("order").await.len() == 5).await;

    std::fs::write(&log, "cut\n").unwrap();
    until("the line after the cut", async || eyes.lines("order").await.len() == 6).await;
    let mut lines = eyes.lines("order").await;
    lines.sort();
    let wanted = [
        "2020-01-01T00:00:00Z INFO from before",
        "cut",
        "half a line",
        "in the new file",
        "late in the old one",
        "second",
    ];
    assert_eq!(lines, wanted);
    eyes.close().await;
}

fn shell(name: &str, script: &str) -> serde_json::Value {
    serde_json::json!({"name": name, "program": "sh", "args": ["-c", script], "grace": "1s"})
}

#[tokio::test]
async fn a_process_is_started_its_output_read_and_one_order_restarts_it_once() {
    let eyes = Eyes::open(serde_json::json!({
        "host": {"enabled": false},
        "processes": [shell("order", "echo INFO hello; echo ERROR oops >&2; exec sleep 1000")],
    }));
    until("its output", async || eyes.lines("order").await.len() == 2).await;
    let first = eyes.handle.processes.status("order").unwrap();
    assert_eq!(first.start, 1);
    let done = eyes.handle.processes.restart("order", "RUN-1/restart").await.unwrap();
    assert_eq!((done.before, done.repeated), (first.pid(), false));
    let again = eyes.handle.processes.restart("order", "RUN-1/restart").await.unwrap();
    assert_eq!((again.pid, again.repeated), (done.pid, true));
    let status = eyes.handle.processes.status("order").unwrap();
    assert_eq!((status.pid(), status.start, status.restarts, status.exits), (Some(done.pid), 2, 1, 0));
    assert!(status.last_exit.unwrap().ordered);
    let unknown = eyes.handle.processes.restart("nothing", "k").await.unwrap_err();
    assert!(unknown.to_string().contains("watch.processes"));
    until("its numbers", async || eyes.now("process_resident_bytes{service=\"order\"}").is_some()).await;
    assert_eq!(eyes.now("process_up{process=\"order\"}"), Some(1.0));
    eyes.close().await;
    until("its end", async || !Path::new(&format!("/proc/{}", done.pid)).exists()).await;
}

#[tokio::test]
async fn a_process_gets_what_is_configured_and_nothing_else_of_maydays_environment() {
    let mut process = shell("order", "env; echo done; exec sleep 1000");
    process["env"] = serde_json::json!({"SHOP_PORT": "8080", "LANG": "C"});
    let eyes = Eyes::open(serde_json::json!({"host": {"enabled": false}, "processes": [process]}));
    until("its output", async || eyes.lines("order").await.iter().any(|line| line == "done")).await;
    // Cargo tells tests about the package; that stands for the tokens in Mayday's own environment.
    assert!(std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("CARGO")));
    let lines = eyes.lines("order").await;
    let allowed = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "SHOP_PORT", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in lines.iter().filter(|line| *line != "done") {
        let name = line.split('=').next().unwrap();
        assert!(allowed.contains(&name), "{name} was handed on");
    }
    for wanted in ["SHOP_PORT=8080", "LANG=C"] {
        assert!(lines.iter().any(|line| line == wanted), "{lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("PATH=")));
    eyes.close().await;
}

/// A zombie that nobody has collected yet is dead.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn what_a_process_has_started_ends_with_it() {
    let script = "sleep 1000 & echo child $!; wait";
    let deaf = "sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 1; done' & wait";
    let leaves = "sleep 1000 & echo child $!; exit 3";
    let eyes = Eyes::open(serde_json::json!({
        "host": {"enabled": false},
        "processes": [shell("order", script), shell("deaf", deaf), shell("leaves", leaves)],
    }));
    let children = async |service: &str| -> Vec<String> {
        let lines = eyes.lines(service).await;
        lines.iter().filter_map(|line| line.strip_prefix("child ").map(str::to_owned)).collect()
    };
    for service in ["order", "deaf", "leaves"] {
        until("its child", async || !children(service).await.is_empty()).await;
    }
    let left = children("leaves").await.remove(0);
    until("the end of what a crash left behind", async || !runs(&left)).await;
    for service in ["order", "deaf"] {
        let child = children(service).await.remove(0);
        assert!(runs(&child), "{service}");
        eyes.handle.processes.restart(service, "k").await.unwrap();
        until("the child's end", async || !runs(&child)).await;
        until("the next child", async || children(service).await.len() == 2).await;
    }
    let second = [children("order").await.remove(1), children("deaf").await.remove(1)];
    eyes.close().await;
    until("the end of all", async || !second.iter().any(|child| runs(child))).await;
}

#[tokio::test]
async fn a_crash_stays_visible_a_stopped_process_is_still_ended_and_a_missing_program_is_said() {
    let mut again = shell("again", "exit 3");
    again["restart_on_exit"] = true.into();
    again["backoff"] = "100ms".into();
    let eyes = Eyes::open(serde_json::json!({
        "host": {"enabled": false},
        "processes": [
            shell("crash", "kill -9 $$"), again, shell("stuck", "trap '' TERM; kill -STOP $$"),
            {"name": "missing", "program": "/no/such/program"},
        ],
    }));
    let status = |name: &str| eyes.handle.processes.status(name).unwrap();
    until("the crash", async || matches!(status("crash").state, State::Exited { .. })).await;
    let exit = status("crash").last_exit.unwrap();
    assert_eq!((exit.to_string(), exit.ordered), ("signal 9 (SIGKILL)".to_owned(), false));
    until("restarts by itself", async || status("again").restarts >= 2).await;
    assert_eq!((status("crash").restarts, status("crash").exits), (0, 1));
    assert!(matches!(status("missing").state, State::Failed { why } if why.contains("/no/such/program")));
    let stuck = status("stuck").pid().unwrap();
    let done = eyes.handle.processes.restart("stuck", "k").await.unwrap();
    assert_eq!(done.before, Some(stuck));
    assert!(!Path::new(&format!("/proc/{stuck}")).exists());
    eyes.close().await;
}

/// Not a test of its own: the process that the next test kills. Without its variable it does nothing.
#[tokio::test]
async fn the_one_that_is_killed() {
    if std::env::var_os("MAYDAY_TEST_TO_BE_KILLED").is_none() {
        return;
    }
    let eyes = Eyes::open(serde_json::json!({
        "host": {"enabled": false},
        "processes": [{"name": "deaf", "program": "sleep", "args": ["1000"]}, shell("reads", "cat >/dev/null")],
    }));
    until("both run", async || eyes.handle.processes.list().iter().all(|process| process.pid().is_some())).await;
    for process in eyes.handle.processes.list() {
        println!("\nstarted {}", process.pid().unwrap());
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn children_end_when_mayday_is_killed() {
    use tokio::io::AsyncBufReadExt as _;
    let mut mayday = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["watch::the_one_that_is_killed", "--exact", "--nocapture"])
        .env("MAYDAY_TEST_TO_BE_KILLED", "1")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(mayday.stdout.take().unwrap()).lines();
    let mut children = Vec::new();
    while children.len() < 2 {
        let line = tokio::time::timeout(Duration::from_secs(15), lines.next_line()).await.unwrap().unwrap().unwrap();
        children.extend(line.strip_prefix("started ").map(str::to_owned));
    }
    let alive = |pid: &String| {
        // A zombie that nobody has collected yet is dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    assert!(children.iter().all(alive));
    mayday.start_kill().unwrap();
    mayday.wait().await.unwrap();
    until("the children's end", async || !children.iter().any(alive)).await;
}

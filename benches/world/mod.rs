//! What the benches of the whole bot share: the real binary, and what the disk does without it.

#![allow(dead_code, reason = "each bench uses what it needs")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What the disk does without us.
pub fn disk(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("plain")).expect("a file");
    let mut times: Vec<Duration> = (0..2000)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4096]).expect("written");
            file.sync_data().expect("synced");
            began.elapsed()
        })
        .collect();
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("disk: 4 KiB append + fdatasync           p50 {p50:?}, p99 {p99:?}");
}

/// Megabytes of memory a process has now.
pub fn resident_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kb: f64 = line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0.0);
    kb / 1024.0
}

/// A running bot, ended with this.
pub struct Bot {
    child: Child,
    /// Where it listens.
    pub url: String,
    link: String,
    session: tokio::sync::OnceCell<String>,
    /// From its start to its first word.
    pub took: Duration,
}

impl Bot {
    /// Starts one with its data in a folder, and waits until it is ready.
    pub fn start(folder: &Path) -> Self {
        Self::configured(folder, "")
    }

    /// The same with more lines of its configuration.
    pub fn configured(folder: &Path, more: &str) -> Self {
        let config = folder.join("mayday.yaml");
        let text = format!(
            "data: {}\nhttp: {{listen: '127.0.0.1:0', open_webhooks_on_loopback: true}}\nwatch: {{host: {{enabled: true}}}}\n",
            folder.join("data").display()
        );
        // What else is to be configured, as YAML: `store: {cache_bytes: 67108864}`.
        let text = text + more + &std::env::var("MAYDAY_BENCH_YAML").unwrap_or_default();
        std::fs::write(&config, text).expect("written");
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["run", "-c"])
            .arg(&config)
            // A refused body is a line in its log; here it is counted.
            .env("MAYDAY_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bot starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut link = String::new();
        let mut took = Duration::ZERO;
        for line in out.by_ref() {
            let line = line.expect("read");
            if let Some(at) = line.find("http://").filter(|_| line.contains("/sign-in?token=")) {
                took = began.elapsed();
                link = line[at..].trim().to_owned();
                break;
            }
        }
        std::thread::spawn(move || out.for_each(drop));
        let url = link.split("/sign-in").next().unwrap_or_default().to_owned();
        assert!(!url.is_empty(), "the bot printed no sign-in link");
        Self { child, url, link, session: tokio::sync::OnceCell::new(), took }
    }

    /// Megabytes of memory it has now.
    pub fn resident_mb(&self) -> f64 {
        resident_mb(self.child.id())
    }

    /// Waits until nothing is left in the inbox: a new alert is folded in at once then.
    pub async fn folded(&self) -> Duration {
        let client = client();
        let began = Instant::now();
        // Another one each time: a repetition is not folded in.
        let body = format!(
            r#"{{"alert_name":"LastOne","severity":"Info","service_name":"last-{}"}}"#,
            began.elapsed().subsec_nanos()
        );
        let answer = client.post(format!("{}/webhook/generic", self.url)).header("content-type", "application/json");
        let answer: serde_json::Value = loop {
            let sent = answer.try_clone().expect("a small body").body(body.clone()).send().await.expect("answered");
            if sent.status().is_success() {
                break sent.json().await.expect("json");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let id = answer["alert_ids"][0].as_str().expect("an id").to_owned();
        let token = self.cookie(&client).await;
        loop {
            let url = format!("{}/api/v1/alerts/{id}", self.url);
            let got = client.get(url).header("cookie", &token).send().await.expect("answered");
            let view: serde_json::Value = got.json().await.expect("json");
            if view["incident"].is_string() || began.elapsed() > Duration::from_secs(600) {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The `Cookie` header of a session; the first time it signs in with the link that was printed, which works once.
    pub async fn cookie(&self, client: &reqwest::Client) -> String {
        self.session.get_or_init(|| self.sign_in(client)).await.clone()
    }

    async fn sign_in(&self, client: &reqwest::Client) -> String {
        let token = self.link.rsplit("token=").next().expect("a token");
        let answer = client
            .post(format!("{}/sign-in", self.url))
            .header("origin", &self.url)
            .form(&[("token", token)])
            .send()
            .await
            .expect("answered");
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().expect("text").to_owned());
        let cookie = cookie.unwrap_or_else(|| panic!("not signed in: {}", answer.status()));
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("asked to stop");
        self.child.wait().expect("ended");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Redirects are not followed: the one after signing in carries the cookie.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

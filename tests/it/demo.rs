//! The whole loop through the public door: the real `mayday demo`, real processes, real faults, a person who approves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// From a fault to its card, at most.
const CARD: Duration = Duration::from_secs(30);
/// From the card to the plan, from the click to the verified repair, at most each.
const STEP: Duration = Duration::from_secs(60);

/// A demo that runs in a data folder of its own.
struct Demo {
    child: Child,
    url: String,
    link: String,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Demo {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(["demo", "--port", "0", "--data"])
            .arg(folder.path().join("data"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .env_remove("MAYDAY_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let link = loop {
            let Some(line) = lines.next() else {
                let mut why = String::new();
                child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
                panic!("the demo ended before it was up:\n{said}{why}");
            };
            let line = line.unwrap();
            if line.trim_start().starts_with("http://") {
                break line.trim().to_owned();
            }
            said.push_str(&line);
        };
        // Someone must read the rest, or the demo would wait at a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let url = link.split("/sign-in").next().unwrap().to_owned();
        let policy = reqwest::redirect::Policy::none();
        let http =
            reqwest::Client::builder().no_proxy().redirect(policy).timeout(Duration::from_secs(20)).build().unwrap();
        Self { child, url, link, folder, http }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command of the same binary, which finds this demo by itself.
    fn mayday(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mayday"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env_remove("MAYDAY_TOKEN")
            .output()
            .unwrap()
    }

    fn say(&self, command: &str) -> String {
        let output = self.mayday(&["say", command]);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Redeems the printed link as a browser does; gives the session's cookie.
    async fn sign_in(&self) -> String {
        let page = self.http.get(&self.link).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let token = self.link.split("token=").nth(1).unwrap();
        let form = [("token", token)];
        let signed = self
            .http
            .post(format!("{}/sign-in", self.url))
            .header("origin", &self.url)
            .form(&form)
            .send()
            .await
            .unwrap();
        assert!(signed.status().is_redirection(), "{}", signed.status());
        signed.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn page(&self, cookie: &str, path: &str) -> String {
        self.http
            .get(format!("{}{path}", self.url))
            .header("cookie", cookie)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    async fn list(&self, cookie: &str, collection: &str) -> Vec<Value> {
        let page = self.page(cookie, &format!("/api/v1/{collection}?limit=50")).await;
        let page: Value = serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error}: {page}"));
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until something of a collection is as wanted, and gives it.
    async fn until(
        &self,
        cookie: &str,
        collection: &str,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let until = Instant::now() + within;
        loop {
            let all = self.list(cookie, collection).await;
            if let Some(found) = all.iter().find(|item| wanted(item)) {
                return found.clone();
            }
            assert!(Instant::now() < until, "{what} did not come within {within:?}; {collection}: {all:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The shop's processes, with their command lines.
    fn children(&self) -> Vec<(u32, String)> {
        let mark = self.folder.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // `load` is given no path of its own: its gateway's port tells whose it is.
            let ours = line.contains(&mark)
                || self.ports().iter().any(|port| line.contains(&format!("=http://127.0.0.1:{port} ")));
            if line.contains(" shop-service ") && ours {
                found.push((pid, line));
            }
        }
        found
    }

    fn ports(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.data().join("mayday.yaml")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let port = |service: &Value| service["base_url"].as_str()?.rsplit(':').next()?.parse().ok();
        config["services"].as_array().unwrap().iter().filter_map(port).collect()
    }

    fn pid_of(&self, service: &str) -> Option<u32> {
        let mark = format!(" shop-service {service} ");
        self.children().into_iter().find(|(_, line)| line.contains(&mark)).map(|(pid, _)| pid)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Breaks something and follows it to the verified repair; gives the incident as it ended.
async fn healed(demo: &Demo, cookie: &str, fault: &str, service: &str, alert: &str, approve: &str) -> Value {
    let made = demo.mayday(&["demo", "break", fault]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let about =
        |item: &Value| item["service"] == service && item["alert_name"] == alert && item["phase"] == "triggered";
    let incident = demo.until(cookie, "incidents", CARD, "the incident", about).await;
    let id = incident["id"].as_str().unwrap().to_owned();
    let channel = incident["channel"]["name"].as_str().unwrap();
    // The card is posted by the commit after the incident's own.
    let until = Instant::now() + CARD;
    loop {
        let page = demo.page(cookie, &format!("/channels/{channel}")).await;
        if page.contains(&id) && page.contains(service) {
            break;
        }
        assert!(Instant::now() < until, "the card of {id} does not stand in the channel");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let proposed = |item: &Value| item["incident"] == id.as_str() && !item["approval"].is_null();
    let run = demo.until(cookie, "runs", STEP, "the plan", proposed).await;
    let frontier = run["approval"]["frontier"].to_string();
    assert!(frontier.contains(service), "the plan names what it changes: {frontier}");
    let (run, hash) = (run["run"].as_str().unwrap(), run["approval"]["plan_hash"].as_str().unwrap());
    let answer = demo.say(&format!("approve {run} --plan {hash}"));
    assert!(answer.contains(approve), "{answer}");
    let again = demo.mayday(&["say", &format!("approve {run} --plan {hash}")]);
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(!again.contains("starts now"), "the second click does nothing: {again}");

    let ended = |item: &Value| item["run"] == run && item["state"] == "ended";
    let ended = demo.until(cookie, "runs", STEP, "the end of the run", ended).await;
    assert_eq!(ended["outcome"], "fixed", "{ended:#}");
    let over = |item: &Value| item["id"] == id.as_str() && item["phase"] == "resolved";
    demo.until(cookie, "incidents", STEP, "the end of the incident", over).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_service_is_shown_restarted_after_one_approval_and_verified() {
    let demo = Demo::start();
    let cookie = demo.sign_in().await;
    let before = demo.pid_of("inventory-service").unwrap();
    let incident =
        healed(&demo, &cookie, "hang", "inventory-service", "Service_Unresponsive", "RUN-1 is approved").await;
    let after = demo.pid_of("inventory-service").unwrap();
    assert_ne!(before, after, "it is another process now");
    let health = demo.http.get(format!("http://127.0.0.1:{}/health", demo.ports()[2])).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let id = incident["id"].as_str().unwrap();
    let page = demo.page(&cookie, &format!("/incidents/{id}")).await;
    assert!(page.contains("MTTR"), "the time to repair is shown");
    assert!(!incident["findings"].as_array().unwrap().is_empty(), "a cause was named: {incident:#}");
    let verified = demo.mayday(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let exported = String::from_utf8(demo.mayday(&["audit", "export"]).stdout).unwrap();
    assert!(
        exported.lines().any(|line| line.contains("\"action\":\"approve\"") && line.contains("RUN-1")),
        "{exported}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_folder_is_shown_cleaned_after_one_approval_and_verified() {
    let demo = Demo::start();
    let cookie = demo.sign_in().await;
    let written = demo.data().join("shop/payment-gateway/payments.log");
    let file = || std::fs::metadata(&written).ok().map(|data| std::os::unix::fs::MetadataExt::ino(&data));
    let begun = Instant::now();
    while file().is_none() {
        assert!(begun.elapsed() < STEP, "no payment is booked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = file();
    healed(&demo, &cookie, "disk", "payment-gateway", "Disk_Full", "RUN-1 is approved").await;
    let left: u64 = std::fs::read_dir(demo.data().join("shop/payment-gateway"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(left < 2_000_000, "{left} bytes are left");
    assert_eq!(file(), before, "what is being written stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_service_is_shown_started_again_after_one_approval_and_verified() {
    let demo = Demo::start();
    let cookie = demo.sign_in().await;
    healed(&demo, &cookie, "crash", "order-service", "Service_Down", "RUN-1 is approved").await;
    assert!(demo.pid_of("order-service").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_or_asked_the_demo_leaves_no_process_behind() {
    for signal in ["KILL", "TERM"] {
        let mut demo = Demo::start();
        let until = Instant::now() + Duration::from_secs(10);
        while demo.children().len() < 6 {
            assert!(Instant::now() < until, "the shop is not complete: {:?}", demo.children());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let pid = demo.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        let until = Instant::now() + Duration::from_secs(3);
        while !demo.children().is_empty() {
            assert!(Instant::now() < until, "after SIG{signal} there are still {:?}", demo.children());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = demo.child.wait().unwrap();
        assert_eq!(status.success(), signal == "TERM", "asked to end it ends well: {status}");
    }
}

#[test]
fn a_plan_is_worked_out_against_what_runs_and_only_for_the_text_that_the_bot_has() {
    let demo = Demo::start();
    let plan = |what: &str| {
        let output = demo.mayday(&["playbook", "plan", what, "service=inventory-service"]);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), told)
    };
    // The process is one that runs now: the plan names its pid.
    let (code, told) = plan("PB-Service-Restart");
    assert_eq!(code, Some(0), "{told}");
    let line = told.lines().find(|line| line.contains('→')).unwrap_or_else(|| panic!("no change in\n{told}"));
    let digits = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit());
    let pid = line.split_whitespace().find(digits).unwrap_or_else(|| panic!("no pid in {line}"));
    let process = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(process.contains("inventory-service"), "{line}: {process:?}");
    assert!(demo.say("runs").contains("No run"), "{}", demo.say("runs"));

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/PB-Service-Restart.yaml");
    let (code, of_file) = plan(file);
    assert_eq!(code, Some(0), "{of_file}");
    assert!(of_file.contains('→'), "{of_file}");
    let changed = demo.folder.path().join("changed.yaml");
    std::fs::write(&changed, std::fs::read_to_string(file).unwrap() + "\n# another text\n").unwrap();
    let (code, refused) = plan(changed.to_str().unwrap());
    assert_eq!(code, Some(1), "{refused}");
    assert!(refused.contains("playbooks.folder"), "{refused}");
    let (code, missing) = plan("no/such.yaml");
    assert_eq!(code, Some(1), "{missing}");
    assert!(missing.contains("no/such.yaml"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_fault_and_a_used_link_are_refused_with_what_to_do() {
    let demo = Demo::start();
    demo.sign_in().await;
    let form = [("token", demo.link.split("token=").nth(1).unwrap())];
    let again = demo.http.post(format!("{}/sign-in", demo.url)).form(&form).send().await.unwrap();
    assert_eq!(again.status(), 401);
    let body = serde_json::json!({ "fault": "hnag" });
    let wrong = demo.http.post(format!("{}/demo/faults", demo.url)).json(&body).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("did you mean `hang`?"));
    let well = demo.mayday(&["health"]);
    assert!(well.status.success(), "{}", String::from_utf8_lossy(&well.stdout));
    let url = demo.url.clone();
    let outside = Command::new(env!("CARGO_BIN_EXE_mayday"))
        .args(["say", "incidents", "--url", &url, "--data"])
        .arg(demo.data())
        .output()
        .unwrap();
    assert!(outside.status.success(), "{}", String::from_utf8_lossy(&outside.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_burns_cpu_is_paused_after_one_approval_and_verified() {
    let demo = Demo::start();
    let cookie = demo.sign_in().await;
    healed(&demo, &cookie, "burn", "inventory-service", "High_CPU_Usage", "RUN-1 is approved").await;
    let url = format!("http://127.0.0.1:{}/jobs/recount", demo.ports()[2]);
    let job: Value = demo.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(job["state"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_help_is_taken_back_and_a_restart_heals() {
    let demo = Demo::start();
    let cookie = demo.sign_in().await;
    assert!(demo.mayday(&["demo", "break", "connections"]).status.success());
    let asks = |item: &Value| item["playbook"] == "PB-Pool-Raise" && !item["approval"].is_null();
    let run = demo.until(&cookie, "runs", CARD + STEP, "the plan", asks).await["run"].as_str().unwrap().to_owned();
    demo.say(&format!("approve {run}"));
    let ended = |item: &Value| item["run"] == run.as_str() && item["state"] == "ended";
    let ended = demo.until(&cookie, "runs", STEP, "the end of the run", ended).await;
    // The window of its errors was still filling when it was read before the change: then it is worse afterwards.
    assert!(["no_effect", "made_worse"].contains(&ended["outcome"].as_str().unwrap()), "{ended:#}");
    let raised = ended["tasks"].as_array().unwrap().iter().find(|task| task["id"] == "raise_pool").unwrap().clone();
    assert_eq!(raised["state"], "rolled_back", "{ended:#}");
    let url = format!("http://127.0.0.1:{}/pool", demo.ports()[2]);
    let pool: Value = demo.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(pool["size"], 8, "what was changed is as before");
    demo.say("run PB-Service-Restart service=inventory-service");
    let asks = |item: &Value| item["playbook"] == "PB-Service-Restart" && !item["approval"].is_null();
    let restart =
        demo.until(&cookie, "runs", STEP, "the restart's plan", asks).await["run"].as_str().unwrap().to_owned();
    demo.say(&format!("approve {restart}"));
    let fixed = |item: &Value| item["run"] == restart.as_str() && item["state"] == "ended";
    assert_eq!(demo.until(&cookie, "runs", STEP, "the restart", fixed).await["outcome"], "fixed");
    let over = |item: &Value| item["alert_name"] == "Connections_Exhausted" && item["phase"] == "resolved";
    demo.until(&cookie, "incidents", STEP, "the end of the incident", over).await;
}

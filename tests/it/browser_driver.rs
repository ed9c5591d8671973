//! A real Chromium through chromedriver: just enough of the WebDriver protocol.
//!
//! The driver gets a free port, the browser a fresh profile; both end with the value, also when a test fails.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    http: reqwest::Client,
    _profile: tempfile::TempDir,
}

/// Keys that have no letter (WebDriver, section 17.4.2).
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const DOWN: &str = "\u{e015}";
pub const UP: &str = "\u{e013}";

impl Browser {
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (Debian: chromium-driver)");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says its port");
        // Its later words would block it once the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = [
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "disable-dev-shm-usage",
            "window-size=1280,900",
            "lang=en-US",
        ]
        .iter()
        .map(|name| format!("--{name}"))
        .collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let mut browser = Self { driver, port, session: String::new(), http, _profile: profile };
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let answer = browser.ask("/session", wanted).await;
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer: Value = self.http.post(url).json(&body).send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        answer["value"].clone()
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        self.ask(&format!("/session/{}{path}", self.session), body).await
    }

    pub async fn open(&self, url: &str) {
        self.command("/url", json!({"url": url})).await;
    }

    /// The value of a JavaScript expression.
    pub async fn eval(&self, expression: &str) -> Value {
        self.command("/execute/sync", json!({"script": format!("return ({expression})"), "args": []})).await
    }

    /// Waits until an expression is true; says what the page shows if it never is.
    pub async fn until(&self, expression: &str) {
        let since = Instant::now();
        while self.eval(&format!("!!({expression})")).await != json!(true) {
            if since.elapsed() > Duration::from_secs(10) {
                let page = self.eval("document.body.innerText").await;
                panic!("never true: {expression}\npage: {}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types with the keyboard, wherever the focus is.
    pub async fn keys(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|text| {
            let special = text.starts_with('\u{e000}')
                || text.chars().next().is_some_and(|first| ('\u{e000}'..='\u{e05d}').contains(&first));
            if special { vec![(*text).to_owned()] } else { text.chars().map(String::from).collect() }
        });
        let actions: Vec<Value> = strokes
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.command("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})).await;
    }

    pub async fn click(&self, selector: &str) {
        let found = self.command("/element", json!({"using": "css selector", "value": selector})).await;
        let id =
            found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str).unwrap().to_owned();
        self.command(&format!("/element/{id}/click"), json!({})).await;
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.command("/goog/cdp/execute", json!({"cmd": command, "params": params})).await;
    }

    pub async fn size(&self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", params).await;
    }

    pub async fn scheme(&self, scheme: &str) {
        let params = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", params).await;
    }

    /// Saves a picture for a person to look at, if `MAYDAY_SCREENSHOTS` names a folder.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("MAYDAY_SCREENSHOTS") else { return };
        let url = format!("http://127.0.0.1:{}/session/{}/screenshot", self.port, self.session);
        let answer: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Signs the browser in through the page, with the one-time link.
    pub async fn sign_in(&self, world: &crate::web_world::World) {
        self.open(&world.url(&format!("/sign-in?token={}", crate::web_world::LINK))).await;
        self.until("document.querySelector('#command, .empty')").await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ending the session ends the browser; killing the driver alone would leave it behind.
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let request =
                format!("DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read(&mut [0; 512]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

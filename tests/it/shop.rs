//! The demo's shop, without Mayday: it sells, says how it is, falls sick for real, and ends with its parent.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mayday::demo::shop::part::Part;
use serde_json::Value;

/// A shop of real processes. Their standard input is held by `children`, so dropping it ends them.
struct Shop {
    children: Vec<(Part, Child)>,
    ports: Vec<(Part, u16)>,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Shop {
    async fn open() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let held: Vec<_> =
            Part::SERVICES.iter().map(|part| (*part, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let ports = held.iter().map(|(part, listener)| (*part, listener.local_addr().unwrap().port())).collect();
        drop(held);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("control"), "let-me-break-it\n").unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(4)).build().unwrap();
        let mut shop = Self { children: Vec::new(), ports, folder, http };
        for part in Part::SERVICES {
            shop.start(part);
        }
        for part in Part::SERVICES {
            shop.until_well(part).await;
        }
        shop
    }

    fn start(&mut self, part: Part) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayday"));
        command.args(["shop-service", part.name(), "--port", &self.port(part).to_string(), "--quota", "3000000"]);
        command.arg("--control-file").arg(self.folder.path().join("control"));
        for callee in part.calls() {
            command.args(["--upstream", &format!("{}={}", callee.name(), self.url(*callee))]);
        }
        if part == Part::PaymentGateway {
            command.arg("--folder").arg(self.journal());
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        self.children.retain(|(known, _)| *known != part);
        self.children.push((part, child));
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("payments")
    }

    fn port(&self, part: Part) -> u16 {
        self.ports.iter().find(|(known, _)| *known == part).unwrap().1
    }

    fn url(&self, part: Part) -> String {
        format!("http://127.0.0.1:{}", self.port(part))
    }

    async fn until_well(&self, part: Part) {
        let until = Instant::now() + Duration::from_secs(10);
        while !matches!(self.http.get(self.url(part) + "/health").send().await, Ok(answer) if answer.status().is_success())
        {
            assert!(Instant::now() < until, "{} did not become well", part.name());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn buy(&self) -> u16 {
        self.http.post(self.url(Part::Gateway) + "/checkout").send().await.unwrap().status().as_u16()
    }

    async fn json(&self, part: Part, path: &str) -> Value {
        self.http.get(self.url(part) + path).send().await.unwrap().json().await.unwrap()
    }

    async fn metrics(&self, part: Part) -> String {
        self.http.get(self.url(part) + "/metrics").send().await.unwrap().text().await.unwrap()
    }

    async fn break_it(&self, part: Part, fault: &str) -> u16 {
        let request =
            self.http.post(format!("{}/control/{fault}", self.url(part))).header("x-control", "let-me-break-it");
        request.send().await.unwrap().status().as_u16()
    }

    fn kill(&mut self, part: Part) {
        let (_, child) = self.children.iter_mut().find(|(known, _)| *known == part).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test]
async fn it_sells_through_all_services_and_shows_what_it_did() {
    let shop = Shop::open().await;
    assert_eq!(shop.buy().await, 200);
    assert_eq!(shop.json(Part::PaymentGateway, "/api/v1/health/payment-gateway").await["is_healthy"], true);
    let seen = shop.json(Part::OrderService, "/api/v1/dependencies/order-service").await;
    assert_eq!(seen["all_healthy"], true);
    assert_eq!(seen["dependencies"][0]["service"], "inventory-service");
    let metrics = shop.metrics(Part::Store).await;
    assert!(
        metrics.contains("http_requests_total{code=\"204\"} 2\n"),
        "one for the stock, one for the payment:\n{metrics}"
    );
    assert!(
        metrics.contains("connections_max 40\n") && metrics.contains("process_resident_memory_bytes "),
        "{metrics}"
    );
    assert!(std::fs::read_to_string(shop.journal().join("payments.log")).unwrap().contains("settled"));
}

#[tokio::test]
async fn nobody_breaks_it_without_the_token() {
    let shop = Shop::open().await;
    let answer = shop.http.post(shop.url(Part::OrderService) + "/control/crash").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(shop.buy().await, 200);
}

#[tokio::test]
async fn a_hung_service_takes_connections_answers_none_and_a_restart_heals_it() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.break_it(Part::InventoryService, "hang").await, 202);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", shop.port(Part::InventoryService))).await.is_ok());
    let silent =
        shop.http.get(shop.url(Part::InventoryService) + "/metrics").timeout(Duration::from_secs(1)).send().await;
    assert!(silent.unwrap_err().is_timeout());
    assert_eq!(shop.buy().await, 502, "the gateway says that the order failed");
    let seen = shop.json(Part::OrderService, "/api/v1/dependencies/order-service").await;
    assert_eq!(seen["dependencies"][0]["status"], "does not answer");
    shop.kill(Part::InventoryService);
    shop.start(Part::InventoryService);
    shop.until_well(Part::InventoryService).await;
    assert_eq!(shop.buy().await, 200);
}

#[tokio::test]
async fn a_crashed_service_is_gone() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.break_it(Part::OrderService, "crash").await, 202);
    let (_, child) = shop.children.iter_mut().find(|(part, _)| *part == Part::OrderService).unwrap();
    // Not `wait`: it closes the child's standard input first, and that ends it too.
    let until = Instant::now() + Duration::from_secs(3);
    let status = loop {
        assert!(Instant::now() < until, "it did not crash");
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(status.code(), Some(134));
    assert_eq!(shop.buy().await, 502);
}

#[tokio::test]
async fn a_full_folder_fails_payments_until_old_parts_are_removed() {
    let shop = Shop::open().await;
    assert_eq!(shop.break_it(Part::PaymentGateway, "disk").await, 202);
    assert_eq!(shop.buy().await, 502);
    assert!(shop.metrics(Part::PaymentGateway).await.contains("disk_usage 100\n"));
    let health = shop.json(Part::PaymentGateway, "/api/v1/health/payment-gateway").await;
    assert_eq!(
        (&health["is_healthy"], &health["why"]),
        (&Value::from(false), &Value::from("the journal's disk is full"))
    );
    remove_parts(&shop.journal());
    assert_eq!(shop.buy().await, 200);
}

#[tokio::test]
async fn every_service_ends_when_its_parent_lets_go() {
    let mut shop = Shop::open().await;
    for (_, child) in &mut shop.children {
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"a word on the way is ignored\n").unwrap();
    }
    let until = Instant::now() + Duration::from_secs(3);
    for (part, child) in &mut shop.children {
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{} is still there", part.name());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn remove_parts(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("payments.log.") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

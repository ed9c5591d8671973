//! Diagnosis over real eyes: a real silent service, a real crashed process, real log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mayday::analysis::{FaultKind, Outcome};
use mayday::catalog::Catalog;
use mayday::core::clock::SystemClock;
use mayday::core::stop::Stopper;
use mayday::core::{BoxFuture, Timestamp};
use mayday::diagnose::{Diagnosis, HttpHealth, Options, Sources, Subject};
use mayday::store::memory::Memory;
use mayday::store::series::{self, Series};
use mayday::watch::{self, AlertSink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Nobody;

impl AlertSink for Nobody {
    fn accept<'a>(&'a self, _: Vec<mayday::alert::Alert>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A service that answers every request with a page of metrics, until it hangs: then it takes connections and is silent.
async fn service(hangs: Arc<AtomicBool>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if hangs.load(Ordering::SeqCst) {
                silent.push(socket);
                continue;
            }
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\nin_flight 1.5\n";
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_silent_service_below_and_a_crashed_one_beside_are_told_apart_within_seconds() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hangs = Arc::new(AtomicBool::new(false));
    let (order, inventory) = (service(Arc::default()).await, service(hangs.clone()).await);
    let scrape = |name: &str, url: &str| serde_json::json!({"service": name, "url": format!("{url}/metrics"), "interval": "1s", "timeout": "400ms"});
    let shout =
        "echo INFO starting; sleep 1; echo ERROR inventory-service did not answer within 400 ms; exec sleep 1000";
    let options: watch::Options = serde_json::from_value(serde_json::json!({
        "host": {"enabled": false},
        "scrape": [scrape("order-service", &order), scrape("inventory-service", &inventory)],
        "processes": [
            {"name": "order-service", "program": "sh", "args": ["-c", shout], "grace": "1s"},
            {"name": "mailer", "program": "sh", "args": ["-c", "exit 137"], "grace": "1s"},
        ],
    }))
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let series = Series::open(folder.path(), series::Options::default(), clock.clone()).unwrap();
    let (eyes, handle) = watch::Service::new(
        options,
        Memory::shared(),
        series,
        Arc::new(Nobody),
        Arc::new(mayday::watch::rules::Alone::default()),
        clock.clone(),
    )
    .unwrap();
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(eyes.run(stop));

    let up = |name: &str| handle.targets.of(name)[0].answer.as_ref().map(mayday::watch::scrape::Answer::is_up);
    let began = Instant::now();
    while up("inventory-service") != Some(true) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    hangs.store(true, Ordering::SeqCst);
    while up("inventory-service") != Some(false) || handle.logs.services().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let catalog = serde_json::from_value(serde_json::json!([
        {"name": "order-service", "team": "shop", "depends_on": ["inventory-service"], "base_url": order, "health_path": "/health"},
        {"name": "inventory-service", "team": "shop", "base_url": inventory, "health_path": "/health"},
        {"name": "mailer", "team": "shop"},
    ]));
    let catalog = Arc::new(Catalog::new(catalog.unwrap()).unwrap());
    let sources = Sources {
        logs: Arc::new(handle.logs.clone()),
        metrics: Arc::new(handle.metrics.clone()),
        machine: Arc::new(handle.clone()),
        health: Arc::new(HttpHealth::new().unwrap()),
    };
    let diagnosis = Diagnosis::new(sources, catalog, Options::default(), clock);
    let subject =
        |name: &str| Subject { incident: None, service: name.to_owned(), since: Timestamp::now(), until: None };

    let asked = Instant::now();
    let explained = diagnosis.explain_subject(&subject("order-service")).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let first = &explained.findings[0];
    assert_eq!((first.component.as_str(), first.kind), ("inventory-service", FaultKind::Saturation), "{explained:#?}");
    assert!(first.says.starts_with("inventory-service: answers nothing since "), "{}", first.says);
    let proof = explained.evidence.iter().find(|piece| piece.id == first.evidence[0]).unwrap();
    assert_eq!((proof.source.as_str(), &proof.outcome), ("health check", &Outcome::Timeout));

    let explained = diagnosis.explain_subject(&subject("mailer")).await;
    assert!(
        explained.findings[0].says.contains("process mailer ended with exit code 137 (SIGKILL) at "),
        "{explained:#?}"
    );
    stopper.stop();
    running.await.unwrap();
}

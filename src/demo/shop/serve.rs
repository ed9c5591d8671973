//! One service of the shop: its work, health, dependencies, metrics, and the switch that makes it fall sick.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::disk::Folder;
use super::gauges::{self, Gauges};
use super::part::Part;
use super::shelf::{Seats, Shelf};
use super::sick::{Pool, Recount};
use super::upstream::{Answer, Upstreams};
use super::{Args, Error, log};

/// Connections the store takes; the other services take more than the shop ever opens.
const STORE_SEATS: usize = 40;
const SEATS: usize = 512;

struct Service {
    part: Part,
    upstreams: Upstreams,
    folder: Option<Folder>,
    gauges: Gauges,
    seats: Seats,
    /// Set by the fault `hang`: every request is accepted and none answered.
    hung: AtomicBool,
    control: Option<String>,
    started: Instant,
    count: AtomicU64,
    /// Of inventory-service.
    pool: Pool,
    recount: Recount,
    /// The store's data: one counter per caller is all the shop needs.
    sold: Mutex<u64>,
}

/// Serves until the process ends.
///
/// # Errors
/// The port can't be bound within five seconds, or the folder can't be made.
pub async fn run(args: Args) -> Result<(), Error> {
    let part = args.part;
    let listener = bind(args.port).await?;
    let seats = Seats::new(if part == Part::Store { STORE_SEATS } else { SEATS });
    let control = args.control_file.as_deref().map(std::fs::read_to_string).transpose()?;
    let service = Arc::new(Service {
        part,
        upstreams: Upstreams::new(part, args.upstreams)?,
        folder: args.folder.map(|path| Folder::open(path, args.quota)).transpose()?,
        gauges: Gauges::default(),
        seats: seats.clone(),
        hung: AtomicBool::new(false),
        control: control.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        started: Instant::now(),
        count: AtomicU64::new(0),
        pool: Pool::default(),
        recount: Recount::default(),
        sold: Mutex::new(0),
    });
    log("INFO", part, &format!("listening on {}", listener.local_addr()?));
    let router = router(service);
    axum::serve(Shelf { listener, seats }, router).await?;
    Ok(())
}

/// A port that its predecessor just gave back may still be closing.
async fn bind(port: u16) -> std::io::Result<tokio::net::TcpListener> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    if service.part == Part::InventoryService {
        router = router
            .route("/pool", get(pool).post(resize))
            .route("/jobs/recount", get(recount))
            .route("/jobs/recount/{what}", post(steer_recount));
    }
    router
        .route(service.part.work(), post(work))
        .route("/health", get(health))
        .route("/api/v1/health/{name}", get(health_of))
        .route("/api/v1/dependencies/{name}", get(dependencies_of))
        .route("/metrics", get(metrics))
        .route("/control/{fault}", post(control))
        .layer(middleware::from_fn_with_state(Arc::clone(&service), counted))
        .with_state(service)
}

/// Counts what customers ask (not what watchers ask), and answers nothing while hung.
async fn counted(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let in_flight = service.gauges.begin();
    if service.hung.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let customer = request.uri().path() == service.part.work();
    let began = Instant::now();
    let response = next.run(request).await;
    if service.hung.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    if customer {
        service.gauges.answered(response.status().as_u16(), began.elapsed());
    }
    drop(in_flight);
    response
}

async fn work(State(service): State<Arc<Service>>) -> Response {
    let number = service.count.fetch_add(1, Ordering::Relaxed) + 1;
    // The work itself takes a few milliseconds, spread so that a latency curve has a shape.
    tokio::time::sleep(Duration::from_millis(2 + number.wrapping_mul(2_654_435_761) % 9)).await;
    if service.part == Part::Store {
        *service.sold.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        return StatusCode::NO_CONTENT.into_response();
    }
    let connection = if service.part == Part::InventoryService { service.pool.take().map(Some) } else { Some(None) };
    let Some(_connection) = connection else {
        let says = format!("no free connection to store: all {} are in use", service.pool.size());
        log("ERROR", service.part, &format!("request {number} failed: {says}"));
        return (StatusCode::SERVICE_UNAVAILABLE, says).into_response();
    };
    for callee in service.part.calls() {
        let Some(address) = service.upstreams.all().iter().find(|address| address.name == callee.name()) else {
            continue;
        };
        let began = Instant::now();
        let answer = service.upstreams.work(address, callee.work()).await;
        let (code, says) = match answer {
            Answer::Fine => continue,
            Answer::Refused(code) => (StatusCode::BAD_GATEWAY, format!("{} answered {code}", address.name)),
            Answer::Late => {
                let limit = service.upstreams.patience().as_millis();
                (StatusCode::GATEWAY_TIMEOUT, format!("TIMEOUT {} did not answer within {limit} ms", address.name))
            }
            Answer::Unreachable => (StatusCode::BAD_GATEWAY, format!("connection to {} refused", address.name)),
        };
        log(
            "ERROR",
            service.part,
            &format!("request {number} failed after {} ms: {says}", began.elapsed().as_millis()),
        );
        return (code, says).into_response();
    }
    if let Some(folder) = service.folder.clone() {
        let line = format!("payment {number} settled");
        let written = tokio::task::spawn_blocking(move || folder.append(&line)).await;
        if let Ok(Err(error)) = written {
            log("ERROR", service.part, &format!("payment failed: journal write: {error}"));
            return (StatusCode::INSUFFICIENT_STORAGE, error.to_string()).into_response();
        }
    }
    if number % 8 == 0 {
        log("INFO", service.part, &format!("{number} requests served"));
    }
    Json(json!({ "request": number })).into_response()
}

impl Service {
    /// Whether it can do its work by itself: a full folder is its own sickness, a sick neighbour is not.
    fn well(&self) -> Result<(), String> {
        if self.pool.in_use() >= self.pool.size() {
            return Err("no connection to the store is free".to_owned());
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        match folder.used() {
            Ok(used) if used + 1024 > folder.quota() => Err("the journal's disk is full".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the journal's folder can't be read: {error}")),
        }
    }

    fn report(&self) -> Value {
        let well = self.well();
        json!({
            "service": self.part.name(),
            "is_healthy": well.is_ok(),
            "status": if well.is_ok() { "up" } else { "degraded" },
            "why": well.err(),
            "uptime_seconds": self.started.elapsed().as_secs(),
        })
    }
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    let code = if service.well().is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(service.report())).into_response()
}

/// Always 200 for a known service: the caller asked for the state, and the body is the answer.
async fn health_of(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Response {
    if name == service.part.name() {
        return Json(service.report()).into_response();
    }
    match service.upstreams.all().iter().find(|address| address.name == name) {
        Some(address) => Json(seen(&service, address).await).into_response(),
        None => (StatusCode::NOT_FOUND, format!("{} knows no {name}", service.part.name())).into_response(),
    }
}

async fn dependencies_of(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Response {
    if name != service.part.name() {
        return (StatusCode::NOT_FOUND, format!("{} knows only its own dependencies", service.part.name()))
            .into_response();
    }
    let mut dependencies = Vec::new();
    for address in service.upstreams.all() {
        dependencies.push(seen(&service, address).await);
    }
    let healthy = dependencies.iter().all(|one| one["is_healthy"] == true);
    Json(json!({ "service": name, "all_healthy": healthy, "dependencies": dependencies })).into_response()
}

async fn seen(service: &Service, address: &super::upstream::Address) -> Value {
    let began = Instant::now();
    let answer = service.upstreams.health(address).await;
    json!({
        "service": address.name,
        "is_healthy": answer == Answer::Fine,
        "status": match answer {
            Answer::Fine => "up".to_owned(),
            Answer::Refused(code) => format!("answers {code}"),
            Answer::Late => "does not answer".to_owned(),
            Answer::Unreachable => "down".to_owned(),
        },
        "latency_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

async fn metrics(State(service): State<Arc<Service>>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown as metrics")]
    let number = |value: u64| value as f64;
    let mut extra = vec![
        ("connections_open", "Connections open.", number(service.seats.open() as u64)),
        ("connections_max", "Connections it takes.", number(service.seats.most() as u64)),
        ("process_uptime_seconds", "Time since its start.", service.started.elapsed().as_secs_f64()),
    ];
    if let Some((cpu, rss)) = gauges::of_process() {
        extra.push(("process_cpu_seconds_total", "CPU time used.", cpu));
        extra.push(("process_resident_memory_bytes", "Memory in use.", rss));
    }
    if service.part == Part::InventoryService {
        extra.push((
            "store_pool_connections",
            "Connections to the store that it may use.",
            number(service.pool.size() as u64),
        ));
        extra.push(("store_pool_in_use", "Connections to the store in use.", number(service.pool.in_use() as u64)));
    }
    if let Some(folder) = &service.folder {
        let used = number(folder.used().unwrap_or(0));
        let quota = number(folder.quota().max(1));
        extra.push(("disk_used_bytes", "Bytes in its folder.", used));
        extra.push(("disk_quota_bytes", "Bytes its folder may hold.", quota));
        extra.push(("disk_usage", "Share of its folder in use, percent.", used / quota * 100.0));
    }
    service.gauges.render(&extra)
}

async fn pool(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({ "size": service.pool.size(), "in_use": service.pool.in_use() }))
}

async fn resize(State(service): State<Arc<Service>>, Json(wanted): Json<Value>) -> Response {
    let size = wanted["size"].as_u64().and_then(|size| usize::try_from(size).ok());
    if !size.is_some_and(|size| service.pool.resize(size)) {
        return (StatusCode::BAD_REQUEST, format!("size is 1 to {}", super::sick::MOST)).into_response();
    }
    log("INFO", service.part, &format!("the pool has {} connections now", service.pool.size()));
    pool(State(service)).await.into_response()
}

async fn recount(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({ "job": "recount", "state": service.recount.state() }))
}

async fn steer_recount(State(service): State<Arc<Service>>, Path(what): Path<String>) -> Response {
    let done = match what.as_str() {
        "pause" => service.recount.pause(),
        "resume" => {
            service.recount.start();
            true
        }
        _ => return (StatusCode::NOT_FOUND, "pause or resume").into_response(),
    };
    if !done {
        return (StatusCode::CONFLICT, "no recount has begun").into_response();
    }
    log("INFO", service.part, &format!("the recount is {}", service.recount.state()));
    recount(State(service)).await.into_response()
}

/// Makes a fault, for whoever knows the token of the control file.
async fn control(State(service): State<Arc<Service>>, Path(fault): Path<String>, headers: HeaderMap) -> Response {
    let given = headers.get("x-control").and_then(|value| value.to_str().ok());
    if service.control.is_none() || given != service.control.as_deref() {
        return (StatusCode::FORBIDDEN, "the control token is missing or wrong").into_response();
    }
    match fault.as_str() {
        "hang" => {
            log("WARN", service.part, "waiting for a lock that nobody gives back");
            // A moment later, so that this answer still goes out.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                service.hung.store(true, Ordering::Relaxed);
            });
            StatusCode::ACCEPTED.into_response()
        }
        "crash" => {
            log("FATAL", service.part, "panicked at 'order total overflows': aborting");
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                std::process::exit(134);
            });
            StatusCode::ACCEPTED.into_response()
        }
        "burn" if service.part == Part::InventoryService => {
            log("INFO", service.part, "recount of the whole stock begins");
            service.recount.start();
            StatusCode::ACCEPTED.into_response()
        }
        "connections" if service.part == Part::InventoryService => {
            log("WARN", service.part, "connections to the store are no longer given back after use");
            service.pool.leak();
            StatusCode::ACCEPTED.into_response()
        }
        "disk" => match service.folder.clone() {
            Some(folder) => {
                log("WARN", service.part, "debug dump of payment requests is on");
                match tokio::task::spawn_blocking(move || folder.fill()).await {
                    Ok(Ok(bytes)) => (StatusCode::ACCEPTED, format!("{bytes} bytes written")).into_response(),
                    Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
                    Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
                }
            }
            None => (StatusCode::NOT_FOUND, "this service has no folder").into_response(),
        },
        _ => (StatusCode::NOT_FOUND, "no such fault here").into_response(),
    }
}

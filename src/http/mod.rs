//! The one listener: webhooks, the web channel, the API, health and metrics.
//!
//! Architecture Invariant: nothing is decided here. A request is checked, handed through a door ([`doors`]), and its
//! outcome is drawn.
//! Architecture Invariant: whatever changes something names a person, except a webhook, which names its integration, and
//! the demo's own panel.

mod api;
mod assets;
mod channel;
mod demo;
pub mod doors;
mod events;
mod guard;
mod incidents;
mod listener;
pub mod options;
mod page;
mod problem;
mod say;
mod secret;
mod session;
mod sign_in;
mod webhook;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

pub use doors::{Doors, Intake};
pub use options::Options;

use crate::core::stop::Stop;
use listener::Peer;
use problem::Problem;

/// Bodies of the page and the API; webhooks have their own limit.
const SMALL_BODY: usize = 64 << 10;
/// Requests that are under way when the listener stops have this long to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the listener can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("can't listen on {address}: {why}; set `http.listen` to a free port (port 0 takes one)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
    /// A secret can't be loaded.
    #[error("{0}; fix `http.integrations`")]
    Secret(String),
    /// Webhooks without a secret on an address that others reach.
    #[error("webhooks without a secret are only for loopback, and {0} is not; give each integration a secret")]
    OpenToAll(SocketAddr),
    /// The listener broke.
    #[error("the listener failed: {0}")]
    Serve(std::io::Error),
}

/// What handlers share.
struct App {
    options: Options,
    doors: Doors,
    keys: webhook::Keys,
    hosts: guard::Hosts,
    /// Webhooks need no secret: the demo on loopback.
    open_webhooks: bool,
    https: bool,
    cookie: String,
    inflight_kib: Arc<Semaphore>,
    live_pages: Arc<Semaphore>,
    stop: Stop,
}

/// The listener, bound and ready to serve.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    doors: Doors,
    keys: webhook::Keys,
}

impl Service {
    /// Binds the address and loads the secrets; nothing is served before [`Service::run`].
    ///
    /// # Errors
    /// [`Error`], each with what to change.
    pub async fn new(options: Options, doors: Doors) -> Result<Self, Error> {
        let keys = webhook::Keys::load(&options.integrations).map_err(Error::Secret)?;
        let listening = |why| Error::Listen { address: options.listen, why };
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        if options.open_webhooks_on_loopback && !address.ip().is_loopback() {
            return Err(Error::OpenToAll(address));
        }
        Ok(Self { listener, address, options, doors, keys })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address people open, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.options.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.address),
        }
    }

    /// Serves until asked to stop; then requests under way have 5 s to end.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn run(self, stop: Stop) -> Result<(), Error> {
        let https = self.options.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        // Browsers share cookies between ports of one host; two demos must not sign each other out.
        let cookie = if https { "__Host-mayday".to_owned() } else { format!("mayday-{}", self.address.port()) };
        let listener =
            listener::Bounded::new(self.listener, self.options.max_connections, self.options.request_timeout.0 * 2);
        let app = Arc::new(App {
            hosts: guard::Hosts::new(&self.options.allowed_hosts, self.options.public_url.as_deref()),
            open_webhooks: self.options.open_webhooks_on_loopback,
            https,
            cookie,
            inflight_kib: Arc::new(Semaphore::new((self.options.max_inflight_bytes / 1024).max(1))),
            live_pages: Arc::new(Semaphore::new(self.options.max_live_pages)),
            keys: self.keys,
            doors: self.doors,
            options: self.options,
            stop: stop.clone(),
        });
        tracing::info!(address = %self.address, "listening");
        let asked = stop.clone();
        let serving = axum::serve(listener, router(app).into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(async move { asked.wait().await })
            .into_future();
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(Error::Serve),
            () = stop.wait() => {}
        }
        match tokio::time::timeout(FAREWELL, serving).await {
            Ok(ended) => ended.map_err(Error::Serve),
            Err(_) => {
                tracing::info!("connections that did not end were cut");
                Ok(())
            }
        }
    }
}

fn router(app: Arc<App>) -> Router {
    let timed = Router::new()
        .route("/", get(channel::home))
        .route("/channels/{channel}", get(channel::channel))
        .route("/channels/{channel}/messages", get(channel::older))
        .route("/channels/{channel}/threads/{seq}", get(channel::thread))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::one))
        .route("/incidents/{id}/evidence/{evidence}", get(incidents::evidence))
        .route("/say", post(say::from_page))
        .route("/complete", get(say::complete))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/{build}/{name}", get(assets::asset))
        .route("/demo/faults", get(demo::list).post(demo::make))
        .route("/api/v1/say", post(api::say))
        .route("/api/v1/{collection}", get(api::list))
        .route("/api/v1/{collection}/{id}", get(api::item))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/metrics", get(api::metrics))
        .layer(DefaultBodyLimit::max(SMALL_BODY))
        .merge(
            Router::new()
                .route("/webhook/{format}", post(webhook::by_format))
                .route("/webhook/{format}/{integration}", post(webhook::by_integration))
                .layer(DefaultBodyLimit::disable()),
        )
        .layer(middleware::from_fn_with_state(app.clone(), in_time));
    timed
        .route("/events", get(events::events))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Every answer but the live feed comes within the configured time.
async fn in_time(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    request: axum::extract::Request,
    next: middleware::Next,
) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    let within = app.options.request_timeout;
    match tokio::time::timeout(within.0, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::failed(format!("no answer within {within}")).into_response(),
    }
}

async fn unknown(uri: axum::http::Uri) -> Problem {
    let path = crate::core::text::capped(uri.path(), 120);
    Problem::not_found(
        format!("there is nothing at `{path}`"),
        "there are / (the web channel), /incidents, /webhook/{format}, /api/v1/{alerts,incidents,runs,audit}, /health, /ready and /metrics",
    )
}

async fn wrong_method(method: axum::http::Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} does nothing here"),
        "webhooks and commands are POST, everything else is GET",
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    tracing::error!("a request's handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Mayday made a mistake with this request",
        "try again; the log says where it happened",
    )
    .into_response()
}

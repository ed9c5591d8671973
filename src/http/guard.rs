//! What holds for every request before it reaches its handler: the name it was sent to, the site it came from, the size
//! of its headers; and the headers every answer carries.
//!
//! * `Host` must be an IP address, `localhost`, or an allowed name: a page of another site can bind its own name to our
//!   address, but it can't make the browser send another `Host`.
//! * A request that may change something must come from our own page or from no page at all (`Sec-Fetch-Site`, else
//!   `Origin`).

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::problem::Problem;

/// Most bytes of all headers together; a browser sends about 2 KiB.
const HEADER_BYTES: usize = 32 << 10;

/// No inline script or style, nothing from elsewhere, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The checks, and the headers of every answer.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADER_BYTES {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the headers have {size} bytes, at most {HEADER_BYTES} are read"),
            "send fewer or shorter headers (cookies of other services on the same host count too)",
        ));
    }
    let host = host_of(request)?;
    // A sender that proves itself with a secret is no browser that was tricked; it may use any name for us.
    let proves_itself = request.uri().path().starts_with("/webhook/") && !app.open_webhooks;
    if !proves_itself && !app.hosts.serve(host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!("`{host}` is not a name of this Mayday"),
            "add the name to `http.allowed_hosts` (or set `http.public_url`), or use the IP address",
        ));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && !from_our_page_or_none(headers, host) {
        return Err(Problem::forbidden(
            "the request came from a page of another site",
            "press the button on Mayday's own page, or call the API without a browser",
        ));
    }
    Ok(())
}

fn host_of(request: &Request) -> Result<&str, Problem> {
    let missing =
        || Problem::bad_request("the request has no single readable Host header", "send HTTP/1.1 with one Host header");
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (Some(host), None, _) => host.to_str().map_err(|_| missing()),
        (None, None, Some(authority)) => Ok(authority.as_str()),
        _ => Err(missing()),
    }
}

/// `Sec-Fetch-Site` where the browser sends it (it does to https and loopback), else `Origin`; tools send neither.
fn from_our_page_or_none(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)),
    }
}

/// The names this listener answers to.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(allowed: &[String], public_url: Option<&str>) -> Self {
        let public = public_url.and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
        let public = public.map(|rest| name_of(rest.split('/').next().unwrap_or(rest)).to_owned());
        Self(allowed.iter().map(|name| name_of(name).to_lowercase()).chain(public).collect())
    }

    /// Whether a `Host` header names us.
    pub(super) fn serve(&self, host: &str) -> bool {
        let name = name_of(host);
        name.eq_ignore_ascii_case("localhost")
            || is_address(host, name)
            || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

fn is_address(host: &str, name: &str) -> bool {
    name.parse::<std::net::Ipv4Addr>().is_ok()
        || host.parse::<SocketAddr>().is_ok()
        || name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_allowed_names_are_served_and_nothing_else() {
        let hosts = Hosts::new(&["Mayday.internal".into()], Some("https://mayday.example.com/x"));
        for ours in [
            "127.0.0.1:7007",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7007",
            "[::1]",
            "10.0.0.3",
            "mayday.internal:80",
            "mayday.example.com",
        ] {
            assert!(hosts.serve(ours), "{ours}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7007",
            "",
            "mayday.internal.evil",
            "1.2.3",
        ] {
            assert!(!hosts.serve(other), "{other}");
        }
    }

    #[test]
    fn a_request_from_another_site_is_told_from_one_of_ours_and_from_a_tool() {
        let case = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            from_our_page_or_none(&headers, "127.0.0.1:7007")
        };
        assert!(case("accept", "*/*"));
        assert!(case("origin", "http://127.0.0.1:7007"));
        assert!(case("sec-fetch-site", "same-origin"));
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:8080"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!case(name, value), "{name}: {value}");
        }
    }
}

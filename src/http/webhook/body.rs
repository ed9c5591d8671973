//! The body: its type, room for it, reading it in time, and decompressing it, each with a bound.

use std::io::Read as _;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Duration;

use crate::http::App;
use crate::http::problem::Problem;

/// How long a request waits for room before it is told to come again.
const PATIENCE: Duration = Duration::from_millis(500);

/// JSON in UTF-8, plain or gzip.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let wrong = |what: String| {
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            what,
            "send `Content-Type: application/json` with UTF-8 text",
        ))
    };
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return wrong("the body has no content type".to_owned());
    };
    let value = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        return wrong(format!("the body is `{kind}`, not JSON"));
    }
    if let Some(charset) = parts.find_map(|part| part.strip_prefix("charset=")) {
        let charset = charset.trim_matches('"');
        if !matches!(charset, "utf-8" | "utf8" | "us-ascii") {
            return wrong(format!("the body is in `{charset}`, not UTF-8"));
        }
    }
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity" | b"gzip") => Ok(()),
        Some(other) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is compressed with `{}`", String::from_utf8_lossy(other)),
            "send it plain or with `Content-Encoding: gzip`",
        )),
    }
}

/// Room for the body, in KiB of the listener's budget; given back when the permit is dropped.
pub(super) async fn room(app: &App, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    let limit = app.options.max_body_bytes;
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|bytes| bytes > limit) {
        return Err(too_large(limit));
    }
    let zipped = headers.contains_key(header::CONTENT_ENCODING);
    let bytes = if zipped { limit } else { said.unwrap_or(limit) };
    let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
    match tokio::time::timeout(PATIENCE, app.inflight_kib.clone().acquire_many_owned(kib)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Problem::busy("too many alerts are being read at once", 1)),
    }
}

/// Reads the body as it came over the wire.
pub(super) async fn read(app: &App, body: Body) -> Result<Bytes, Problem> {
    let limit = app.options.max_body_bytes;
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::bad_request(
                    format!("the body broke off: {error}"),
                    "send the whole body; its length must fit its header",
                )
            })?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let within = app.options.body_timeout;
    tokio::time::timeout(within.0, reading).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body was not complete within {within}"),
            "send the body at once after the headers",
        ))
    })
}

/// Decompresses it if need be, and makes sure that it is text.
pub(super) async fn decode(app: &App, headers: &HeaderMap, wire: Bytes) -> Result<Bytes, Problem> {
    let zipped =
        headers.get(header::CONTENT_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let body = if zipped { unzip(wire, app.options.max_body_bytes).await? } else { wire };
    match std::str::from_utf8(&body) {
        Ok(_) => Ok(body),
        Err(error) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is not UTF-8 text: byte {} is wrong", error.valid_up_to()),
            "send JSON in UTF-8",
        )),
    }
}

async fn unzip(wire: Bytes, limit: usize) -> Result<Bytes, Problem> {
    let unzipping = tokio::task::spawn_blocking(move || {
        let mut plain = Vec::new();
        let read = flate2::read::GzDecoder::new(wire.as_ref()).take(limit as u64 + 1).read_to_end(&mut plain);
        (read, plain)
    });
    let (read, plain) = unzipping.await.map_err(|error| Problem::failed(error.to_string()))?;
    if plain.len() > limit {
        return Err(too_large(limit));
    }
    match read {
        Ok(_) => Ok(Bytes::from(plain)),
        Err(error) => Err(Problem::bad_request(
            format!("the body says it is gzip and can't be unpacked after {} bytes: {error}", plain.len()),
            "send it plain, or compress it again",
        )),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {limit} bytes"),
        "send fewer alerts at once (Alertmanager: `max_alerts`), or raise `http.max_body_bytes`",
    )
}

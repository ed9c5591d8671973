//! Style sheet, scripts and icon, in the binary. Their address carries a digest of all of them, so that browsers keep
//! them for ever and still get a new version at once.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;
use crate::core::digest;

#[derive(RustEmbed)]
#[folder = "src/http/assets/"]
struct Assets;

/// Digest of all assets, ten hex digits.
pub(super) fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        let hashes: Vec<[u8; 32]> =
            Assets::iter().filter_map(|name| Assets::get(&name)).map(|file| file.metadata.sha256_hash()).collect();
        digest::of_parts(hashes.iter().map(<[u8; 32]>::as_slice))[..10].to_owned()
    })
}

/// The address of an asset.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}/{name}", build())
}

/// `GET /assets/{build}/{name}`
pub(super) async fn asset(Path((_build, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let file = Assets::get(&name).ok_or_else(|| Problem::not_found("there is no such file", "load the page again"))?;
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let kept = if cfg!(debug_assertions) { "no-cache" } else { "public, max-age=31536000, immutable" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], file.data.into_owned()).into_response())
}

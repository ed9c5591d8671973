//! Looks at the shared store's server for `mayday check`: whether it can be used, what about it can lose data, and who may
//! read along.

use std::path::Path;

use super::diagnostic::{Code, Diagnostic};
use super::tree::{Place, Step};
use super::{Config, tree};
use crate::core::message::config as message;
use crate::store::postgres;

/// Asks the configured server, if there is one; what comes back are warnings.
///
/// # Errors
/// Why it can't be used, and what to do.
pub async fn look(path: &Path, config: &Config) -> Result<Vec<Diagnostic>, Diagnostic> {
    let Some(options) = &config.store.postgres else { return Ok(Vec::new()) };
    let file = path.display().to_string();
    let place = place(path, &file);
    let diagnostic = |code, says| Diagnostic { file: file.clone(), place, code, says };
    match postgres::probe(options).await {
        Ok(probed) => {
            let mut warnings: Vec<Diagnostic> =
                probed.warnings.iter().map(|says| diagnostic(Code::DatabaseUnsafe, message::warning(says))).collect();
            let open = options.in_the_open();
            warnings.extend(open.map(|says| diagnostic(Code::DatabaseInTheOpen, message::warning(&says))));
            if config.access.checkpoints.key_path.is_none() {
                warnings.push(diagnostic(Code::OwnKeys, message::warning(message::own_keys())));
            }
            Ok(warnings)
        }
        Err(error) => Err(diagnostic(Code::DatabaseDown, error.to_string())),
    }
}

/// Where the configuration names the server.
fn place(path: &Path, file: &str) -> Place {
    let tree = std::fs::read(path).ok().and_then(|bytes| tree::parse(file, &bytes, &mut Vec::new()));
    tree.map_or(Place::START, |tree| tree.place_of(&["store", "postgres", "url"].map(Step::from)))
}

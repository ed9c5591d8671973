//! `mayday logs mine`: the templates of a log file, one JSON object for each of its lines.

use std::io::{BufRead as _, Write as _};
use std::path::Path;

use serde_json::json;

use super::{Exit, Problem};
use crate::analysis::templates::{Miner, WILDCARD};
use crate::core::message::cli as message;

/// A longer line is cut there, bytes.
const LONGEST: usize = 64 * 1024;

/// Prints a line's template for every line, in order. The file is read first: a template is only known once all its lines are.
pub(super) fn mine(file: &Path, as_json: bool) -> Result<Exit, Problem> {
    let shown = file.display().to_string();
    let wrong = |error: std::io::Error| Problem::refused(message::no_file(&shown, &error.to_string()));
    let mut reader = std::io::BufReader::new(std::fs::File::open(file).map_err(wrong)?);
    let mut miner = Miner::default();
    let mut ids = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(wrong)? > 0 {
        line.truncate(LONGEST);
        ids.push(miner.learn(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])));
        line.clear();
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (index, id) in ids.iter().enumerate() {
        // Beyond the bound on templates a line has none of its own.
        let (name, template) = match id.and_then(|id| Some((id, miner.template(id)?))) {
            Some((id, template)) => (format!("T{}", id + 1), template),
            None => ("none".to_owned(), WILDCARD.to_owned()),
        };
        let written = if as_json {
            writeln!(out, "{}", json!({ "line": index + 1, "template_id": name, "template": template }))
        } else {
            writeln!(out, "{name}\t{template}")
        };
        if written.is_err() {
            // Whoever read it has enough.
            return Ok(Exit::Done);
        }
    }
    let _ = out.flush();
    Ok(Exit::Done)
}

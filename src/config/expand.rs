//! `${NAME}` and `*_file`: how secrets get into the configuration without standing in it.

use super::diagnostic::{Code, Diagnostic};
use super::tree::{Kind, Node, Place};
use crate::core::message::config as message;

/// Where variables come from: the environment, or a test's table.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Longest text a variable or secret file may give, bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Replaces `${NAME}` and `${NAME:-default}` in every text of the tree; `$${` stands for `${`.
pub fn variables(node: &mut Node, file: &str, get: Variables<'_>, wrong: &mut Vec<Diagnostic>) {
    let place = node.place;
    match &mut node.kind {
        Kind::Text(text) if text.contains("${") => {
            let mut names = Vec::new();
            match expanded(text, get, &mut names) {
                Ok(new) => *text = new,
                Err(says) => wrong.push(Diagnostic { file: file.to_owned(), place, code: Code::Variable, says }),
            }
            if !names.is_empty() {
                node.hidden = Some(names.join(" and "));
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| variables(item, file, get, wrong)),
        Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| variables(value, file, get, wrong)),
        _ => {}
    }
}

fn expanded(text: &str, get: Variables<'_>, names: &mut Vec<String>) -> Result<String, String> {
    let mut new = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            new.push_str(&rest[..at]);
            new.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        new.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or_else(message::bad_variable)?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain {
            return Err(message::bad_variable());
        }
        let value = get(name).filter(|value| !value.is_empty() && value.len() <= MAX_TEXT);
        let value = value.or_else(|| default.map(str::to_owned)).ok_or_else(|| message::no_variable(name))?;
        new.push_str(&value);
        names.push(format!("${{{name}}}"));
        rest = &inner[end + 1..];
    }
    new.push_str(rest);
    Ok(new)
}

/// The secret in a file, without the line break at its end.
///
/// # Errors
/// Why it can't be read, for the person.
pub fn secret_file(path: &str, base: &std::path::Path) -> Result<String, String> {
    let full = base.join(path);
    let size = std::fs::metadata(&full).map_err(|error| message::no_file(path, &error.to_string()))?;
    if size.is_dir() {
        return Err(message::no_file(path, "it is a folder"));
    }
    if size.len() > MAX_TEXT as u64 {
        return Err(message::no_file(path, "it is too large for a secret"));
    }
    let text = std::fs::read_to_string(&full).map_err(|error| message::no_file(path, &error.to_string()))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() { Err(message::empty_file(path)) } else { Ok(secret.to_owned()) }
}

/// A text node that shows as the file it came from.
pub fn hidden_text(place: Place, text: String, path: &str) -> Node {
    Node { place, kind: Kind::Text(text), hidden: Some(format!("the file {path}")) }
}

//! From the file's bytes to a [`Config`], or to every mistake in it.
//!
//! A mistake is reported, its node set aside, and the rest read again: serde stops at the first mistake, a person who
//! corrects a configuration should not have to.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::diagnostic::{Code, Diagnostic};
use super::expand::{self, Variables};
use super::reader::{Reader, Seen, What, Wrong};
use super::tree::{Key, Kind, Node, Place, Step};
use super::{Config, check};
use crate::core::message::config as message;
use crate::core::nearest::nearest;

/// So many mistakes are shown at once.
const MOST: usize = 100;

/// Reads and checks a configuration file.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    let file = path.display().to_string();
    let limit = super::tree::MAX_BYTES as u64 + 1;
    let bytes = std::fs::File::open(path).and_then(|open| {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        open.take(limit).read_to_end(&mut bytes).map(|_| bytes)
    });
    match bytes {
        Ok(bytes) => {
            from_bytes(&file, &bytes, path.parent().unwrap_or(Path::new(".")), &|name| std::env::var(name).ok())
        }
        Err(error) => {
            let says = message::no_file(&file, &error.to_string());
            Err(vec![Diagnostic { file, place: Place::START, code: Code::File, says }])
        }
    }
}

/// The same from bytes; relative `*_file` paths start at `base`.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn from_bytes(file: &str, bytes: &[u8], base: &Path, variables: Variables<'_>) -> Result<Config, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let config = read::<Config>(file, bytes, base, variables, &mut wrong, &Seen::default());
    if let Some(Read { value: config, left, written }) = config {
        check::cross(&config, &left, &written, file, &mut wrong);
        if wrong.is_empty() {
            return Ok(config);
        }
    }
    wrong.sort_by(|a, b| (a.place, a.code, &a.says).cmp(&(b.place, b.code, &b.says)));
    wrong.dedup();
    if wrong.len() > MOST {
        let place = wrong[MOST].place;
        wrong.truncate(MOST);
        wrong.push(Diagnostic { file: file.to_owned(), place, code: Code::More, says: message::more(MOST) });
    }
    Err(wrong)
}

/// What was read.
pub(super) struct Read<T> {
    /// The value.
    pub value: T,
    /// The tree it was read from: what had a mistake is set aside.
    pub left: Node,
    /// The tree as it was written.
    pub written: Node,
}

/// Reads any type this way; what could be read comes back even if there were mistakes, so that it can be checked further.
pub(super) fn read<T: DeserializeOwned>(
    file: &str,
    bytes: &[u8],
    base: &Path,
    variables: Variables<'_>,
    wrong: &mut Vec<Diagnostic>,
    seen: &Seen,
) -> Option<Read<T>> {
    let mut tree = super::tree::parse(file, bytes, wrong)?;
    expand::variables(&mut tree, file, variables, wrong);
    let written = tree.clone();
    let mut gone: Vec<Vec<Step>> = Vec::new();
    // Each round sets one node aside or fills one secret in; far more mistakes than are shown end it as well.
    for _ in 0..MOST * 4 {
        seen.borrow_mut().clear();
        let mistake = match T::deserialize(Reader::new(&tree, seen)) {
            Ok(value) => return Some(Read { value, left: tree, written }),
            Err(mistake) => mistake,
        };
        let path = mistake.path.clone().unwrap_or_default();
        if let Some(key) = file_key(&mistake) {
            if let Err(says) = fill_in(&mut tree, &path, key, base) {
                let place = tree.place_of(&path);
                wrong.push(Diagnostic { file: file.to_owned(), place, code: Code::File, says });
                // The key itself counts as given: its absence would be the same mistake again.
                gone.push(path[..path.len() - 1].iter().cloned().chain([Step::from(key)]).collect());
                set_aside(&mut tree, &path);
                gone.push(path);
            }
            continue;
        }
        let follows = matches!(mistake.what, What::Missing(field)
            if gone.contains(&path.iter().cloned().chain([Step::from(field)]).collect()));
        if !follows {
            wrong.push(diagnostic(file, &mistake));
        }
        if path.is_empty() || !set_aside(&mut tree, &path) {
            return None;
        }
        gone.push(path);
    }
    None
}

/// `token`, when the unknown key is `token_file` and `token` is one of the known.
fn file_key(mistake: &Wrong) -> Option<&'static str> {
    let What::UnknownKey(key, known) = &mistake.what else { return None };
    let bare = key.strip_suffix("_file")?;
    known.iter().find(|known| **known == bare).copied()
}

/// Replaces `token_file: path` by `token: <what the file says>`.
fn fill_in(tree: &mut Node, path: &[Step], key: &str, base: &Path) -> Result<(), String> {
    let (Some((_, parent)), Some(node)) = (path.split_last(), tree.at(path)) else { return Ok(()) };
    let place = node.place;
    let Kind::Text(named) = node.kind.clone() else { return Err(message::no_file("this", "a path is wanted here")) };
    let Some(Kind::Map(entries)) = tree.at_mut(parent).map(|node| &mut node.kind) else { return Ok(()) };
    if entries.iter().any(|(known, value)| known.name == key && value.kind != Kind::Gone) {
        return Err(message::both(key));
    }
    let secret = expand::secret_file(&named, base)?;
    let Some(Step::Key(file_key)) = path.last() else { return Ok(()) };
    entries.retain(|(known, _)| known.name != *file_key && known.name != key);
    entries.push((Key { place, name: key.to_owned() }, expand::hidden_text(place, secret, &named)));
    Ok(())
}

fn set_aside(tree: &mut Node, path: &[Step]) -> bool {
    match tree.at_mut(path) {
        Some(node) if node.kind != Kind::Gone => {
            node.kind = Kind::Gone;
            true
        }
        _ => false,
    }
}

fn diagnostic(file: &str, mistake: &Wrong) -> Diagnostic {
    let (code, says) = match &mistake.what {
        What::UnknownKey(key, known) => {
            (Code::UnknownKey, message::unknown_key(key, nearest(key, known.iter().copied()), known))
        }
        // Everyone who could post without one would be believed.
        What::Missing("auth") if mistake.path.as_deref().is_some_and(is_integration) => {
            (Code::Secret, message::no_auth())
        }
        What::Missing(field) => (Code::MissingKey, message::missing_key(field)),
        What::Value(why) => (Code::Value, message::wrong_value(&crate::core::text::capped(why, 300))),
    };
    Diagnostic { file: file.to_owned(), place: mistake.place.unwrap_or(Place::START), code, says }
}

fn is_integration(path: &[Step]) -> bool {
    matches!(path, [Step::Key(http), Step::Key(list), Step::Item(_)] if http == "http" && list == "integrations")
}

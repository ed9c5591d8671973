//! The YAML file as a tree in which every key and value knows where it was written.
//!
//! The typed reading ([`super::reader`]) works on this tree and not on the text, so that one wrong value can be set aside
//! and the rest still be read: a person gets every mistake at once.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::diagnostic::{Code, Diagnostic};
use crate::core::message::config as message;

/// Largest file that is read, bytes. A configuration of 1,000 services is a tenth of it.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Where something was written; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl Place {
    /// Where a file begins: for what concerns all of it.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// The variable or file its text was taken from, if it was: then the text is never shown.
    pub hidden: Option<String>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing, or `null`.
    Null,
    /// `true`, `false`; with its text.
    Bool(bool, String),
    /// A whole number; with its text, for where text is wanted.
    Whole(i64, String),
    /// Another number; with its text.
    Number(f64, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order written.
    Map(Vec<(Key, Node)>),
    /// Set aside after its mistake was reported.
    Gone,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub place: Place,
    /// Its text.
    pub name: String,
}

/// One step down a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Item(usize),
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Key(name.to_owned())
    }
}
impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Item(index)
    }
}

impl Node {
    /// The value at a path, if it is there.
    pub fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match (&node.kind, step) {
            (Kind::Map(entries), Step::Key(name)) => {
                entries.iter().find(|(key, _)| key.name == *name).map(|(_, value)| value)
            }
            (Kind::List(items), Step::Item(index)) => items.get(*index),
            _ => None,
        })
    }

    /// The value at a path, to change it.
    pub fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, step| match (&mut node.kind, step) {
            (Kind::Map(entries), Step::Key(name)) => {
                entries.iter_mut().find(|(key, _)| key.name == *name).map(|(_, value)| value)
            }
            (Kind::List(items), Step::Item(index)) => items.get_mut(*index),
            _ => None,
        })
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::Bool(_, text) | Kind::Whole(_, text) | Kind::Number(_, text) => Some(text),
            _ => None,
        }
    }

    /// Where to point at for a path: the deepest part of it that was written.
    pub fn place_of(&self, path: &[Step]) -> Place {
        (0..=path.len()).rev().find_map(|length| self.at(&path[..length])).map_or(Place::START, |node| node.place)
    }

    /// Takes the text of every scalar from the source, since a number's text matters where text is wanted (`1.20`).
    fn texts(&mut self, source: &Source<'_>) {
        match &mut self.kind {
            Kind::Bool(_, text) | Kind::Whole(_, text) | Kind::Number(_, text) => {
                if let Some(written) = source.word_at(self.place) {
                    *text = written;
                }
            }
            Kind::List(items) => items.iter_mut().for_each(|item| item.texts(source)),
            Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.texts(source)),
            Kind::Null | Kind::Text(_) | Kind::Gone => {}
        }
    }
}

/// Reads a file's bytes. What is wrong with the YAML itself goes to `wrong`; a tree comes back where one could be read.
pub fn parse(file: &str, bytes: &[u8], wrong: &mut Vec<Diagnostic>) -> Option<Node> {
    let report = |place, code, says| Diagnostic { file: file.to_owned(), place, code, says };
    if bytes.len() > MAX_BYTES {
        wrong.push(report(Place::START, Code::Yaml, message::too_large(bytes.len(), MAX_BYTES)));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            wrong.push(report(end_of(&before), Code::Utf8, message::not_utf8(bytes[error.valid_up_to()])));
            return None;
        }
    };
    let source = Source { lines: text.lines().collect() };
    if let Some(line) = second_document(&source.lines) {
        wrong.push(report(Place { line, column: 1 }, Code::Yaml, message::second_document()));
        return None;
    }
    match from_text(text, serde_saphyr::DuplicateKeyPolicy::Error) {
        Ok(node) => return Some(finished(node, &source)),
        Err(error) => {
            let place = place_of_error(&error);
            if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error.without_snippet() {
                wrong.push(report(place, Code::Duplicate, message::duplicate_key(key.as_deref())));
            } else {
                wrong.push(report(
                    place,
                    Code::Yaml,
                    message::not_yaml(&first_line(&error.without_snippet().to_string())),
                ));
                return None;
            }
        }
    }
    // A key written twice does not hide the other mistakes.
    from_text(text, serde_saphyr::DuplicateKeyPolicy::LastWins).ok().map(|node| finished(node, &source))
}

/// The line of a `---` after the first document has begun. (Inside a block of text a line is indented.)
fn second_document(lines: &[&str]) -> Option<u64> {
    let content = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', '%']) && !is_border(line);
    let begun = lines.iter().position(content)?;
    lines.iter().skip(begun).position(|line| is_border(line)).map(|after| (begun + after) as u64 + 1)
}

fn is_border(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn finished(mut node: Node, source: &Source<'_>) -> Node {
    node.texts(source);
    node
}

/// The budgets end an alias bomb, a deep nesting and a flood of nodes long before they cost memory or stack.
fn from_text(text: &str, duplicate_keys: serde_saphyr::DuplicateKeyPolicy) -> Result<Node, serde_saphyr::Error> {
    if text.trim().is_empty() {
        return Ok(Node { place: Place::START, kind: Kind::Map(Vec::new()), hidden: None });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 48,
            flow_nesting_limit: 48,
            max_nodes: 100_000,
            max_events: 400_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 1,
        },
        duplicate_keys: duplicate_keys,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options)
}

fn place_of_error(error: &serde_saphyr::Error) -> Place {
    error.location().filter(|location| location.line() > 0).map_or(Place::START, place)
}

fn place(location: serde_saphyr::Location) -> Place {
    Place { line: location.line().max(1), column: location.column().max(1) }
}

fn end_of(text: &str) -> Place {
    let line = text.bytes().filter(|byte| *byte == b'\n').count() as u64 + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    Place { line, column }
}

fn first_line(text: &str) -> String {
    crate::core::text::capped(text.lines().next().unwrap_or_default().trim(), 300)
}

struct Source<'a> {
    lines: Vec<&'a str>,
}

impl Source<'_> {
    /// The plain scalar that begins at a place.
    fn word_at(&self, place: Place) -> Option<String> {
        let line = self.lines.get(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
        let rest: String = line.chars().skip(usize::try_from(place.column).ok()?.checked_sub(1)?).collect();
        let word = rest.split([' ', '\t', ',', '}', ']']).next().unwrap_or_default();
        (!word.is_empty()).then(|| word.to_owned())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { place: place(referenced), kind: value, hidden: None })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value, value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Whole(value, value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        // Above i64 no key of ours has a meaning; the text is kept for where text is wanted.
        #[expect(clippy::cast_precision_loss, reason = "only its size matters here")]
        Ok(i64::try_from(value).map_or_else(
            |_| Kind::Number(value as f64, value.to_string()),
            |whole| Kind::Whole(whole, value.to_string()),
        ))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Number(value, value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Node>()? {
            let key = Key { place: place(key.referenced), name: key.value };
            entries.retain(|(known, _)| known.name != key.name);
            entries.push((key, value));
        }
        Ok(Kind::Map(entries))
    }
}

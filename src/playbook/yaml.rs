//! YAML as a tree in which every key and value knows its place. The only file that names the YAML library.
//!
//! Why a tree of our own and not `derive(Deserialize)`: a derive stops at the first mistake, an author wants all.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::diagnostic::{Code, Place, Report};

/// The largest file, bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most values in a file, aliases expanded.
const MAX_NODES: usize = 20_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 24;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a YAML value is.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Kind {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub place: Place,
    /// The key.
    pub name: String,
}

impl Node {
    /// What it is, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The same as JSON, without places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect())
            }
        }
    }
}

/// Reads one YAML document from bytes; what is wrong goes to the report.
pub fn parse(bytes: &[u8], report: &mut Report) -> Option<Node> {
    let start = Place { line: 1, column: 1 };
    if bytes.len() > MAX_BYTES {
        let says = format!("the file has {} bytes, at most {MAX_BYTES} are read; split it", bytes.len());
        report.add(start, Code::PB001, says);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
            report.add(Place { line, column }, Code::PB001, "this byte is not UTF-8; save the file as UTF-8");
            return None;
        }
    };
    let mut budget = serde_saphyr::budget::Budget::default();
    budget.max_reader_input_bytes = Some(MAX_BYTES);
    budget.max_nodes = MAX_NODES;
    budget.max_events = MAX_NODES * 3;
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_documents = 1;
    budget.max_aliases = 200;
    budget.max_anchors = 200;
    budget.max_total_scalar_bytes = MAX_BYTES * 2;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.with_snippet = false;
    options.strict_booleans = true;
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Some(node),
        Err(error) => {
            let place = error.location().map_or(start, |location| place(&location));
            let message = error.without_snippet().to_string();
            let (code, says) = plain(&message);
            // The library names what stands before the tab.
            let tab = |line: &&str| line[..line.len() - line.trim_start().len()].contains('\t');
            let at = text.lines().skip(place.line.saturating_sub(1)).position(|line| tab(&line));
            let place = match at.filter(|_| message.contains("found a tab")) {
                Some(below) => Place { line: place.line + below, column: 1 },
                None => place,
            };
            report.add(place, code, says);
            None
        }
    }
}

/// What a playbook's author did, for what the library found.
fn plain(message: &str) -> (Code, String) {
    let message = message.split(" --> ").next().unwrap_or(message);
    let message = message.split(" at line ").next().unwrap_or(message).trim();
    if let Some(key) = message.strip_prefix("duplicate mapping key: ") {
        let key = key.split(", set ").next().unwrap_or(key);
        return (Code::PB009, format!("`{key}` stands here twice; keep one"));
    }
    let says = match message {
        _ if message.contains("Nodes {") => {
            &format!("it has more than {MAX_NODES} values, aliases expanded; write less")
        }
        _ if message.contains("Documents {") => {
            "a file holds one playbook; remove what follows `---`, or put it into a file of its own"
        }
        "alias references unknown anchor" => "a text can't begin with `*` or `&`; put it in quotes",
        "mapping values are not allowed in this context" => {
            "there can't be a `: ` here; put a text that has one in quotes, and indent keys that belong together alike"
        }
        "illegal placement of ':' indicator" => {
            "there can't be a `: ` here; close the `[`, `{` or quotation mark before it"
        }
        "a key must be plain text" => {
            "a text can't begin with `{` or `[`; put it in quotes, as `\"{{ params.service }}\"`"
        }
        _ if message.contains("found a tab") => "YAML is indented with spaces; replace the tab",
        _ if message.contains("multiline quoted scalar") => "a quotation mark before this is not closed; close it",
        _ => &format!("the YAML can't be read: {message}"),
    };
    (Code::PB002, says.to_owned())
}

fn place(location: &serde_saphyr::Location) -> Place {
    Place {
        line: usize::try_from(location.line()).unwrap_or(1).max(1),
        column: usize::try_from(location.column()).unwrap_or(1).max(1),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { place: place(&spanned.referenced), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        // Infinite and NaN have no JSON form; as text they fail the type check of wherever they stand.
        Ok(serde_json::Number::from_f64(value).map_or_else(|| Kind::Text(value.to_string()), Kind::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
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
        while let Some((key, value)) = map.next_entry::<Node, Node>()? {
            let name = match key.kind {
                Kind::Text(text) => text,
                Kind::Bool(value) => value.to_string(),
                Kind::Number(number) => number.to_string(),
                Kind::Null | Kind::List(_) | Kind::Map(_) => {
                    return Err(de::Error::custom("a key must be plain text"));
                }
            };
            entries.push((Key { place: key.place, name }, value));
        }
        Ok(Kind::Map(entries))
    }
}

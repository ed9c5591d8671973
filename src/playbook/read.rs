//! From YAML to the model: every key and value is compared with the language's shape, and every mistake is reported.
//!
//! What is wrong is left out (or an empty text stands in for it), so that the checks of meaning still see the rest.

use serde_json::{Map, Value};

use super::diagnostic::{Code, Place, Report};
use super::model::{Places, Playbook};
use super::shape::{FOR_EACH, Field, PLAYBOOK, Shape};
use super::yaml::{self, Kind, Node};
use crate::core::nearest::hint;

/// The longest single text, bytes.
const MAX_TEXT: usize = 16 * 1024;

/// Reads a playbook; `None` when so little of it can be read that nothing more can be said.
pub fn playbook(bytes: &[u8], report: &mut Report) -> Option<(Playbook, Places)> {
    let node = yaml::parse(bytes, report)?;
    if !matches!(node.kind, Kind::Map(_)) {
        let says = format!("a playbook is a map that begins with `playbook_id:`; this is {}", node.describe());
        report.add(node.place, Code::PB005, says);
        return None;
    }
    let mut reader = Reader { report, places: Places::default() };
    let value = reader.value(&node, PLAYBOOK, "")?;
    let places = reader.places;
    match serde_json::from_value(value) {
        Ok(playbook) => Some((playbook, places)),
        Err(error) => {
            report.add(node.place, Code::PB005, format!("the playbook can't be read: {error}"));
            None
        }
    }
}

struct Reader<'a> {
    report: &'a mut Report,
    places: Places,
}

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, wanted: &str, path: &str) -> Option<Value> {
        let quote = if wanted.starts_with("text") && !matches!(node.kind, Kind::List(_) | Kind::Map(_) | Kind::Null) {
            "; put it in quotes"
        } else {
            ""
        };
        let says = format!("`{}` must be {wanted}, this is {}{quote}", last(path), node.describe());
        self.report.add(node.place, Code::PB005, says);
        None
    }

    fn value(&mut self, node: &Node, shape: Shape, path: &str) -> Option<Value> {
        self.places.set(path, node.place);
        match (shape, &node.kind) {
            (Shape::ForEach, Kind::Map(_)) => self.value(node, Shape::Fields(FOR_EACH), path),
            (Shape::Over | Shape::ForEach, Kind::List(_)) => {
                self.value(node, Shape::List(&Shape::Any, super::run::MAX_ITEMS), path)
            }
            (Shape::Over | Shape::ForEach, Kind::Text(text)) => self.text(node.place, text, path),
            (Shape::Over | Shape::ForEach, _) => self.wrong(node, "a list, or CEL that gives one", path),
            (Shape::Any, _) => {
                self.remember(node, path);
                Some(node.to_json())
            }
            (Shape::Text, Kind::Text(text)) => self.text(node.place, text, path),
            (Shape::Version, Kind::Text(text)) => self.text(node.place, text, path),
            (Shape::Version, Kind::Number(number)) if !number.is_f64() => Some(Value::String(number.to_string())),
            (Shape::Text | Shape::Version, _) => self.wrong(node, "text", path),
            (Shape::Condition, Kind::Text(text)) => self.text(node.place, text, path),
            (Shape::Condition, Kind::Bool(value)) => Some(Value::String(value.to_string())),
            (Shape::Condition, _) => self.wrong(node, "text: a condition like `\"cpu.value < 80\"`", path),
            (Shape::Id, Kind::Text(text)) => {
                let good = (1..=80).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                if good {
                    return Some(Value::String(text.clone()));
                }
                let says = format!("`{}` can't be {text:?}; use 1 to 80 letters, digits, `.`, `_`, `-`", last(path));
                self.report.add(node.place, Code::PB008, says);
                None
            }
            (Shape::Variable, Kind::Text(text)) => {
                let good = (1..=64).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if good && !super::names::RESERVED.contains(&text.as_str()) {
                    return Some(Value::String(text.clone()));
                }
                let says = if good {
                    format!("`{text}` is a name that every condition already has; choose another")
                } else {
                    format!(
                        "`{}` can't be {text:?}; use a letter, then letters, digits and `_`, at most 64",
                        last(path)
                    )
                };
                self.report.add(node.place, Code::PB008, says);
                None
            }
            (Shape::Id | Shape::Variable, _) => self.wrong(node, "text", path),
            (Shape::Duration, Kind::Text(text)) => match text.parse::<crate::core::duration::Span>() {
                Ok(_) => Some(Value::String(text.clone())),
                Err(error) => {
                    self.report.add(node.place, Code::PB007, format!("{error}"));
                    None
                }
            },
            (Shape::Duration, Kind::Number(number)) => {
                let says = format!("`{number}` has no unit; write for instance {number}s or {number}m");
                self.report.add(node.place, Code::PB007, says);
                None
            }
            (Shape::Duration, _) => self.wrong(node, "a duration like 90s", path),
            (Shape::Bool, Kind::Bool(value)) => Some(Value::Bool(*value)),
            (Shape::Bool, _) => self.wrong(node, "true or false", path),
            (Shape::Whole(least, most), Kind::Number(number)) => match number.as_i64() {
                Some(value) if (least..=most).contains(&value) => Some(Value::Number(number.clone())),
                _ => {
                    let says = format!("`{}` must be a whole number from {least} to {most}, not {number}", last(path));
                    self.report.add(node.place, Code::PB023, says);
                    None
                }
            },
            (Shape::Whole(..), _) => self.wrong(node, "a whole number", path),
            (Shape::Number(least, most), Kind::Number(number)) => match number.as_f64() {
                Some(value) if (least..=most).contains(&value) => Some(Value::Number(number.clone())),
                _ => {
                    let says = format!("`{}` must be from {least} to {most}, not {number}", last(path));
                    self.report.add(node.place, Code::PB023, says);
                    None
                }
            },
            (Shape::Number(..), _) => self.wrong(node, "a number", path),
            (Shape::Word(words), Kind::Text(text)) => {
                if words.contains(&text.as_str()) {
                    return Some(Value::String(text.clone()));
                }
                let near = hint(text, words.iter().copied());
                let says = format!("`{}` can't be {text:?}, only {}{near}", last(path), listed(words));
                self.report.add(node.place, Code::PB006, says);
                None
            }
            (Shape::Word(words), _) => self.wrong(node, &format!("one of {}", listed(words)), path),
            (Shape::List(shape, most), Kind::List(items)) => {
                if items.len() > most {
                    let says = format!("`{}` has {} entries, at most {most} are allowed", last(path), items.len());
                    self.report.add(node.place, Code::PB023, says);
                }
                let values = items
                    .iter()
                    .take(most)
                    .enumerate()
                    .filter_map(|(index, item)| self.value(item, *shape, &format!("{path}[{index}]")))
                    .collect();
                Some(Value::Array(values))
            }
            (Shape::List(..), Kind::Null) => Some(Value::Array(Vec::new())),
            (Shape::List(..), _) => self.wrong(node, "a list", path),
            (Shape::Map(shape, most), Kind::Map(entries)) => {
                if entries.len() > most {
                    let says = format!("`{}` has {} entries, at most {most} are allowed", last(path), entries.len());
                    self.report.add(node.place, Code::PB023, says);
                }
                let mut map = Map::new();
                for (key, value) in entries.iter().take(most) {
                    let below = join(path, &key.name);
                    if let Some(value) = self.value(value, *shape, &below) {
                        map.insert(key.name.clone(), value);
                    }
                }
                Some(Value::Object(map))
            }
            (Shape::Map(..), Kind::Null) => Some(Value::Object(Map::new())),
            (Shape::Map(..), _) => self.wrong(node, "a map", path),
            (Shape::Fields(fields), Kind::Map(entries)) => Some(self.fields(node.place, entries, fields, path)),
            (Shape::Fields(_), _) => self.wrong(node, "a map", path),
        }
    }

    fn fields(&mut self, place: Place, entries: &[(yaml::Key, Node)], fields: &[Field], path: &str) -> Value {
        let mut map = Map::new();
        for (key, node) in entries {
            let Some(field) = fields.iter().find(|field| field.name == key.name) else {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let near = hint(&key.name, names.iter().copied());
                let fix = if near.is_empty() { format!("; known here: {}", listed(&names)) } else { near };
                let wher = if path.is_empty() { "a playbook".to_owned() } else { format!("`{}`", last(path)) };
                self.report.add(key.place, Code::PB003, format!("{wher} has no key `{}`{fix}", key.name));
                continue;
            };
            if map.contains_key(field.name) {
                self.report.add(key.place, Code::PB009, format!("`{}` stands here twice; keep one", key.name));
                continue;
            }
            if matches!(node.kind, Kind::Null) && !field.required {
                continue;
            }
            match self.value(node, field.shape, &join(path, field.name)) {
                Some(value) => {
                    map.insert(field.name.to_owned(), value);
                }
                None if field.required => {
                    map.insert(field.name.to_owned(), stand_in(field.shape));
                }
                None => {}
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !map.contains_key(field.name) {
                let wher = if path.is_empty() { "the playbook".to_owned() } else { format!("`{}`", last(path)) };
                self.report.add(place, Code::PB004, format!("{wher} needs `{}:`", field.name));
                map.insert(field.name.to_owned(), stand_in(field.shape));
            }
        }
        Value::Object(map)
    }

    fn text(&mut self, place: Place, text: &str, path: &str) -> Option<Value> {
        if text.len() > MAX_TEXT {
            let says = format!("`{}` has {} bytes, at most {MAX_TEXT} are allowed", last(path), text.len());
            self.report.add(place, Code::PB023, says);
            return None;
        }
        Some(Value::String(text.to_owned()))
    }

    /// Places of everything below a free value.
    fn remember(&mut self, node: &Node, path: &str) {
        self.places.set(path, node.place);
        match &node.kind {
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.remember(item, &format!("{path}[{index}]"));
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    self.remember(value, &join(path, &key.name));
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }
}

/// What stands in for a required value that is missing or wrong, so that reading can go on.
fn stand_in(shape: Shape) -> Value {
    match shape {
        Shape::List(..) => Value::Array(Vec::new()),
        Shape::Map(..) => Value::Object(Map::new()),
        Shape::Whole(least, _) => Value::from(least),
        Shape::Number(least, _) => Value::from(least),
        Shape::Bool => Value::Bool(false),
        Shape::Duration => Value::String("1s".to_owned()),
        Shape::Word(words) => Value::String(words.first().copied().unwrap_or_default().to_owned()),
        Shape::Fields(fields) => Value::Object(
            fields
                .iter()
                .filter(|field| field.required)
                .map(|field| (field.name.to_owned(), stand_in(field.shape)))
                .collect(),
        ),
        Shape::Over => Value::Array(Vec::new()),
        Shape::Any | Shape::ForEach => Value::Null,
        Shape::Text | Shape::Version | Shape::Id | Shape::Variable | Shape::Condition => Value::String(String::new()),
    }
}

/// A path with one more key.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The last part of a path, as people say it.
fn last(path: &str) -> &str {
    let tail = path.rsplit('.').next().unwrap_or(path);
    if tail.is_empty() { "playbook" } else { tail }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

//! From YAML to the model: every key and value is compared with the language's shape, and every mistake is reported.
//!
//! What is wrong is left out (or an empty text stands in for it), so that the checks of meaning still see the rest.

use serde_json::{Map, Value};

use super::diagnostic::{Code, Place, Report};
use super::model::{Places, Playbook};
use super::shape::{FOR_EACH, Field, PLAYBOOK, Shape, TASK};
use super::yaml::{self, Kind, Node};
use crate::core::nearest::hint;

/// The longest single text, bytes.
const MAX_TEXT: usize = 16 * 1024;

/// Reads a playbook; `None` when so little of it can be read that nothing more can be said.
pub fn playbook(bytes: &[u8], report: &mut Report) -> Option<(Playbook, Places)> {
    let node = yaml::parse(bytes, report)?;
    if !matches!(node.kind, Kind::Map(_)) {
        let found = if matches!(node.kind, Kind::Null) {
            "the file is empty".to_owned()
        } else {
            format!("this is {}", node.describe())
        };
        let says = format!("a playbook is a map that begins with `playbook_id:`; {found}");
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
        let says = format!("`{}` must be {wanted}, this is {}{}", last(path), node.describe(), fix(node, wanted, path));
        self.report.add(node.place, Code::PB005, says);
        None
    }

    /// Whatever is not what it should be is marked, so that the checks of meaning don't speak of what stands in for it.
    fn value(&mut self, node: &Node, shape: Shape, path: &str) -> Option<Value> {
        let value = self.shaped(node, shape, path);
        if value.is_none() {
            self.places.mark_wrong(path);
        }
        value
    }

    fn shaped(&mut self, node: &Node, shape: Shape, path: &str) -> Option<Value> {
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
            (Shape::Condition, _) => self.wrong(node, "a condition like `cpu.value < 80`", path),
            (Shape::Id, Kind::Text(text)) => {
                let good = (1..=80).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                if good {
                    return Some(Value::String(text.clone()));
                }
                let says = format!("`{}` can't be {text:?}; use 1 to 80 letters, digits, `.`, `_`, `-`", last(path));
                self.report.add(node.place, Code::PB008, says);
                // Others name it as it stands here.
                Some(Value::String(text.clone()))
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
                Some(Value::String(text.clone()))
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
                let near =
                    synonym(text).filter(|word| words.contains(word)).map(|word| format!("; did you mean `{word}`?"));
                let near = near.unwrap_or_else(|| hint(text, words.iter().copied()));
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
                    self.places.set_key(&below, key.place);
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
        let mut beside = Map::new();
        let subject = subject(path, entries);
        for (key, node) in entries {
            let Some(field) = fields.iter().find(|field| field.name == key.name) else {
                if let Some(kind) = takes(path, entries, &key.name) {
                    let says = format!("{subject} has no key `{}`; {kind} takes it under `parameters:`", key.name);
                    self.report.add(key.place, Code::PB003, says);
                    self.remember(node, &format!("{path}.parameters.{}", key.name));
                    beside.insert(key.name.clone(), node.to_json());
                    continue;
                }
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let near = elsewhere(path, fields, &key.name).unwrap_or_else(|| hint(&key.name, names.iter().copied()));
                let fix = if near.is_empty() { format!("; known here: {}", listed(&names)) } else { near };
                self.report.add(key.place, Code::PB003, format!("{subject} has no key `{}`{fix}", key.name));
                continue;
            };
            if map.contains_key(field.name) {
                self.report.add(key.place, Code::PB009, format!("`{}` stands here twice; keep one", key.name));
                continue;
            }
            if matches!(node.kind, Kind::Null) && !field.required {
                continue;
            }
            self.places.set_key(&join(path, field.name), key.place);
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
                self.report.add(place, Code::PB004, format!("{subject} needs `{}:`", field.name));
                self.places.mark_wrong(&join(path, field.name));
                map.insert(field.name.to_owned(), stand_in(field.shape));
            }
        }
        if !beside.is_empty()
            && let Some(parameters) =
                map.entry("parameters").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        {
            beside.extend(std::mem::take(parameters));
            *parameters = beside;
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
                    let below = join(path, &key.name);
                    self.places.set_key(&below, key.place);
                    self.remember(value, &below);
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }
}

/// What a map is, for messages: a task by its id.
fn subject(path: &str, entries: &[(yaml::Key, Node)]) -> String {
    let named = |key: &str| {
        let (_, node) = entries.iter().find(|(found, _)| found.name == key)?;
        if let Kind::Text(text) = &node.kind { Some(crate::core::text::capped(text, 60)) } else { None }
    };
    let of = |word: &str, name: Option<String>| {
        name.map_or_else(|| format!("this {word}"), |name| format!("the {word} `{name}`"))
    };
    match path.rsplit('.').next().unwrap_or(path).split('[').next() {
        _ if path.is_empty() => "the playbook".to_owned(),
        Some("tasks") if path.ends_with(']') => of("task", named("id")),
        Some("tests") if path.ends_with(']') => of("test", named("name")),
        Some("trigger_conditions") if path.ends_with(']') => of("trigger", named("alert_name")),
        _ if path.starts_with("parameters.") => format!("the parameter `{}`", last(path)),
        _ => format!("`{}`", last(path)),
    }
}

/// The task's type, if it takes a parameter of that name, which was written beside `parameters:`.
fn takes(path: &str, entries: &[(yaml::Key, Node)], key: &str) -> Option<&'static str> {
    let (_, kind) = entries.iter().find(|(found, _)| found.name == "type")?;
    let Kind::Text(kind) = &kind.kind else { return None };
    let of = super::tasks::find(kind).filter(|_| path.starts_with("tasks["))?;
    let super::tasks::Takes::These(declared) = of.takes else { return None };
    declared.iter().any(|parameter| parameter.name == key).then_some(of.name)
}

/// Where a key belongs that is right in another place.
fn elsewhere(path: &str, fields: &[Field], key: &str) -> Option<String> {
    let has = |fields: &[Field], key: &str| fields.iter().any(|field| field.name == key);
    let Shape::Fields(playbook) = PLAYBOOK else { return None };
    if path.is_empty() && has(TASK, key) {
        return Some("; it is a key of a task".to_owned());
    }
    if path.starts_with("tasks[") && has(playbook, key) {
        return Some("; it is a key of the whole playbook, not of a task".to_owned());
    }
    let below = fields.iter().find(|field| matches!(field.shape, Shape::Fields(below) if has(below, key)))?;
    Some(format!("; it belongs under `{}:`", below.name))
}

/// What other languages call it.
fn synonym(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "int" | "long" => Some("integer"),
        "float" | "double" => Some("number"),
        "bool" => Some("boolean"),
        "str" | "text" => Some("string"),
        "success" | "ok" | "done" => Some("succeeded"),
        "error" => Some("failed"),
        _ => None,
    }
}

/// The fix for a value of the wrong type, where it can be told.
fn fix(node: &Node, wanted: &str, path: &str) -> String {
    match &node.kind {
        Kind::Text(text) if wanted == "a list" => format!("; write `{}: [{text}]`", last(path)),
        Kind::Map(_) if wanted == "a list" => "; begin each entry with `- `".to_owned(),
        Kind::Text(text) if wanted.starts_with("true") => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => "; write `true`".to_owned(),
            "no" | "off" | "n" => "; write `false`".to_owned(),
            _ => String::new(),
        },
        Kind::Text(text) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
            "; remove the quotes".to_owned()
        }
        Kind::Number(number) if wanted.starts_with("a list, or") => format!("; write `[{number}]`"),
        Kind::Bool(_) | Kind::Number(_) if wanted == "text" => "; put it in quotes".to_owned(),
        _ => String::new(),
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

//! Reading JSON that anyone may have written: every mistake gets its place, and depth has a limit.
//!
//! A body is first cut into alerts without looking into them, so that one bad alert (a number out of range, a broken
//! escape) does not take the others with it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::core::text::capped;

/// Deeper nesting than any sender uses.
const MAX_DEPTH: usize = 32;

/// The body as text.
///
/// # Errors
/// Empty, not UTF-8, or nested too deeply, with the place.
pub(super) fn text(body: &[u8]) -> Result<&str, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not UTF-8: byte {} is wrong; send UTF-8", error.valid_up_to()))?;
    if text.trim().is_empty() {
        return Err("the body is empty".to_owned());
    }
    check_depth(text.as_bytes())?;
    Ok(text)
}

fn check_depth(bytes: &[u8]) -> Result<(), String> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("the JSON is nested deeper than {MAX_DEPTH} levels at byte {at}"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// A body cut into its alerts.
pub(super) struct Body<'a> {
    /// The fields around the list; empty when the body is a list or one alert alone.
    pub(super) around: BTreeMap<String, &'a RawValue>,
    /// The alerts, unread.
    pub(super) alerts: Vec<&'a RawValue>,
    shape: Shape,
}

enum Shape {
    /// `{…}`: one alert.
    One,
    /// `[…]`.
    List,
    /// `{"alerts":[…]}`.
    Wrapped,
}

impl<'a> Body<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        match text.trim_start().as_bytes().first() {
            Some(b'[') => {
                let alerts = serde_json::from_str(text).map_err(|error| broken(&error, text))?;
                Ok(Self { around: BTreeMap::new(), alerts, shape: Shape::List })
            }
            Some(b'{') => {
                let fields: BTreeMap<String, &'a RawValue> =
                    serde_json::from_str(text).map_err(|error| broken(&error, text))?;
                match fields.get("alerts") {
                    Some(list) if list.get().starts_with('[') => {
                        let alerts = serde_json::from_str(list.get()).map_err(|error| broken(&error, list.get()))?;
                        Ok(Self { around: fields, alerts, shape: Shape::Wrapped })
                    }
                    Some(other) => Err(format!("alerts: {} where a list was expected", kind_of_raw(other.get()))),
                    None => {
                        let whole: &RawValue = serde_json::from_str(text).map_err(|error| broken(&error, text))?;
                        Ok(Self { around: BTreeMap::new(), alerts: vec![whole], shape: Shape::One })
                    }
                }
            }
            _ => {
                // Only for its message: it names the place of what is no JSON at all.
                match serde_json::from_str::<Value>(text) {
                    Ok(value) => Err(format!("{} where an object or a list was expected", kind(&value))),
                    Err(error) => Err(broken(&error, text)),
                }
            }
        }
    }

    /// How messages name an alert of this body.
    pub(super) fn place(&self, index: usize) -> String {
        match self.shape {
            Shape::One => String::new(),
            Shape::List => format!("[{index}]"),
            Shape::Wrapped => format!("alerts[{index}]"),
        }
    }

    /// A field around the list, if it is there and readable.
    pub(super) fn beside(&self, name: &str) -> Option<Value> {
        self.around.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
}

fn broken(error: &serde_json::Error, text: &str) -> String {
    if error.is_eof() {
        format!("the JSON breaks off after {} bytes (line {}, column {})", text.len(), error.line(), error.column())
    } else {
        format!("the body is not JSON: {error}")
    }
}

fn kind_of_raw(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One alert as an object.
pub(super) fn object(raw: &RawValue, place: &str) -> Result<Map<String, Value>, String> {
    let at = if place.is_empty() { String::new() } else { format!("{place}: ") };
    match serde_json::from_str(raw.get()) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("{at}{} where an object was expected", kind(&other))),
        Err(error) => Err(format!("{at}can't be read: {error}")),
    }
}

/// An object's fields, with the place for messages.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: String,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, place: String) -> Self {
        Self { object, place }
    }

    pub(super) fn all(&self) -> &'a Map<String, Value> {
        self.object
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A reason with the place in front.
    pub(super) fn wrong(&self, name: &str, why: &str) -> String {
        match (self.place.is_empty(), name.is_empty()) {
            (true, true) => why.to_owned(),
            (true, false) => format!("{name}: {why}"),
            (false, true) => format!("{}: {why}", self.place),
            (false, false) => format!("{}.{name}: {why}", self.place),
        }
    }

    /// A field as text; numbers and truth values are written out, null is absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => scalar(value)
                .map(Some)
                .ok_or_else(|| self.wrong(name, &format!("{} where text was expected", kind(value)))),
        }
    }

    /// A field as an object of texts.
    pub(super) fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, String> {
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(object)) => {
                let mut texts = BTreeMap::new();
                for (key, value) in object {
                    if value.is_null() {
                        continue;
                    }
                    let text = scalar(value).ok_or_else(|| {
                        let why = format!("{} where text was expected", kind(value));
                        self.wrong(&format!("{name}.{}", capped(key, 80)), &why)
                    })?;
                    texts.insert(key.clone(), text);
                }
                Ok(texts)
            }
            Some(other) => Err(self.wrong(name, &format!("{} where an object was expected", kind(other)))),
        }
    }
}

/// Text, number or truth value as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

//! A run's parameters: what was given, checked against what the playbook declares, and defaults filled in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Parameter, ParameterType, Playbook};
use super::text::{self, Use};
use crate::core::Tainted;
use crate::core::duration::Span;
use crate::core::nearest::hint;

/// The values of a run, by parameter.
///
/// # Errors
/// A sentence that names the parameter: unknown, missing, or not of its type.
pub fn resolve(
    playbook: &Playbook,
    given: &BTreeMap<String, Value>,
    alert: Option<&Value>,
) -> Result<BTreeMap<String, Value>, String> {
    for name in given.keys() {
        if !playbook.parameters.contains_key(name) {
            let near = hint(name, playbook.parameters.keys().map(String::as_str));
            let known: Vec<&str> = playbook.parameters.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "takes no parameters".to_owned() } else { format!("takes {}", known.join(", ")) };
            return Err(format!("{} has no parameter `{name}`{near}; it {known}", playbook.playbook_id));
        }
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in &playbook.parameters {
        let value = match (given.get(name), &parameter.default) {
            (Some(value), _) => value.clone(),
            (None, Some(Value::String(words))) if text::is_template(words) => {
                let seen = alert.map_or_else(|| json!({}), |alert| json!({ "alert": alert }));
                // A default made of the alert is only wanted where there is one.
                let rendered = text::render_value(&Value::String(words.clone()), &seen, Use::Change);
                rendered.map_err(|why| {
                    format!("{} needs the parameter `{name}`: {why}; add `{name}=…`", playbook.playbook_id)
                })?
            }
            (None, Some(value)) => value.clone(),
            (None, None) => {
                let example = format!("{name}=…");
                return Err(format!("{} needs the parameter `{name}`; add `{example}`", playbook.playbook_id));
            }
        };
        values.insert(name.clone(), accept(name, parameter, &value)?);
    }
    Ok(values)
}

/// A value as a parameter takes it; text from a command line becomes the declared type.
///
/// # Errors
/// What the parameter takes instead.
pub fn accept(name: &str, parameter: &Parameter, value: &Value) -> Result<Value, String> {
    let typed = match (parameter.kind, value) {
        (ParameterType::Name, Value::String(words)) => {
            Tainted::new(words.as_str()).as_name().map_err(|error| format!("`{name}`: {error}"))?;
            Some(value.clone())
        }
        (ParameterType::String, Value::String(words)) if words.len() <= 4096 => Some(value.clone()),
        (ParameterType::Integer, Value::Number(number)) if number.is_i64() => Some(value.clone()),
        (ParameterType::Integer, Value::String(words)) => words.parse::<i64>().ok().map(Value::from),
        (ParameterType::Number, Value::Number(_)) => Some(value.clone()),
        (ParameterType::Number, Value::String(words)) => {
            words.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
        }
        (ParameterType::Boolean, Value::Bool(_)) => Some(value.clone()),
        (ParameterType::Boolean, Value::String(words)) => words.parse::<bool>().ok().map(Value::from),
        (ParameterType::Duration, Value::String(words)) => words.parse::<Span>().ok().map(|_| value.clone()),
        _ => None,
    };
    let wanted = match parameter.kind {
        ParameterType::Name => "a plain name",
        ParameterType::String => "text of at most 4096 bytes",
        ParameterType::Integer => "a whole number",
        ParameterType::Number => "a number",
        ParameterType::Boolean => "true or false",
        ParameterType::Duration => "a duration like 10m",
    };
    let shown = crate::core::text::capped(&value.to_string(), 80);
    let typed = typed.ok_or_else(|| format!("`{name}` must be {wanted}, not {shown}"))?;
    if !parameter.one_of.is_empty() && !parameter.one_of.contains(&typed) {
        let allowed: Vec<String> = parameter.one_of.iter().map(Value::to_string).collect();
        return Err(format!("`{name}` must be one of {}, not {shown}", allowed.join(", ")));
    }
    Ok(typed)
}

//! Whether a value fits a task type's parameter; the same before a run (literals) and in one (rendered texts).

use serde_json::Value;

use super::super::tasks::ParamKind;
use super::super::text;
use crate::core::Tainted;
use crate::core::duration::Span;

/// Checks one value. A text with `{{ … }}` fits everything: it is looked at again when it is filled in.
///
/// # Errors
/// What it must be, for the end of a sentence that names the parameter.
pub fn fits(kind: ParamKind, value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("must be {}, not {}", kind.says(), brief(value)));
    if let Value::String(words) = value
        && text::is_template(words)
    {
        return if matches!(kind, ParamKind::Map) { wrong() } else { Ok(()) };
    }
    let good = match (kind, value) {
        (ParamKind::Text | ParamKind::Condition, Value::String(words)) => !words.is_empty(),
        (ParamKind::Name, Value::String(words)) => Tainted::new(words.as_str()).as_name().is_ok(),
        (ParamKind::Texts, Value::Array(items)) => items.len() <= 100 && items.iter().all(Value::is_string),
        (ParamKind::Whole, Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        (ParamKind::Number, Value::Number(_))
        | (ParamKind::Bool, Value::Bool(_))
        | (ParamKind::Map, Value::Object(_)) => true,
        (ParamKind::Duration, Value::String(words)) => words.parse::<Span>().is_ok(),
        _ => false,
    };
    match (good, kind, value) {
        (true, ..) => Ok(()),
        (false, ParamKind::Duration, Value::Number(number)) => {
            Err(format!("must be {}; `{number}` has no unit, write for instance {number}s or {number}m", kind.says()))
        }
        (false, ParamKind::Duration, Value::String(words)) => {
            words.parse::<Span>().map(|_| ()).map_err(|error| format!("must be {}; {error}", kind.says()))
        }
        (false, ParamKind::Texts, Value::String(words)) => {
            Err(format!("must be {}; write [{}]", kind.says(), brief(&words.as_str().into())))
        }
        _ => wrong(),
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => crate::core::text::capped(&value.to_string(), 60),
    }
}

/// Checks `METHOD /path`, `METHOD service:/path` or `GET service:health`.
///
/// # Errors
/// What is wrong and how it should look.
pub fn action_line(line: &str) -> Result<(), String> {
    const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let (method, target) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    if !METHODS.contains(&method) {
        return Err(format!(
            "`{}` must begin with one of {}, as `GET /health`",
            brief(&line.into()),
            METHODS.join(", ")
        ));
    }
    let target = target.trim();
    let path = target.starts_with('/') || target.starts_with("http://") || target.starts_with("https://");
    let of_service = target.split_once(':').is_some_and(|(service, rest)| {
        !service.is_empty() && !service.contains('/') && (rest.starts_with('/') || rest == "health")
    });
    if (path || of_service) && (text::is_template(target) || !target.contains(char::is_whitespace)) {
        return Ok(());
    }
    Err(format!(
        "`{target}` is no place to call; write `{method} /path`, `{method} service:/path` or `GET service:health`"
    ))
}

//! Text with `{{ … }}`: minijinja, strict about undefined names, with a bound on work.
//!
//! Text for people may hold anything. Text that becomes part of a change ([`Use::Change`]) may only be filled with
//! numbers, truth values and plain names, whatever the template does: that is the typed check text from outside must pass.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::value::{Serde, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::Value;

use crate::core::Tainted;

/// Steps one text may take.
const FUEL: u64 = 50_000;
/// The longest rendered text, bytes.
const MAX_RENDERED: usize = 64 * 1024;

/// What a rendered text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// People read it.
    People,
    /// It becomes part of a change or a request.
    Change,
}

static PEOPLE: LazyLock<Environment<'static>> = LazyLock::new(environment);
static CHANGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_formatter(only_names);
    environment
});

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    // Chats escape for their medium; nothing here is HTML.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

fn only_names(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    if let Some(text) = value.as_str()
        && Tainted::new(text).as_name().is_err()
    {
        let shown: String = text.chars().take(80).collect();
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("{shown:?} can't become part of a change: only plain names (letters, digits, `.`, `_`, `-`) can"),
        ));
    }
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Bytes) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a list or a map can't become part of a change; name one value of it",
        ));
    }
    minijinja::escape_formatter(out, state, value)
}

/// Whether a text has anything to fill in.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// What is wrong with a template: the sentence and the byte in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub says: String,
    /// Where, bytes from the start of the text.
    pub at: usize,
}

/// The names a text uses: `alert`, `params.service`. Only what can be seen without running it.
///
/// # Errors
/// The text is not a template.
pub fn names(text: &str) -> Result<BTreeSet<String>, Wrong> {
    let template = PEOPLE.template_from_str(text).map_err(|error| wrong(text, &error))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// The text with its values filled in.
///
/// # Errors
/// A sentence: an undefined name, too much work, or text that can't become part of a change.
pub fn render(text: &str, values: &Value, purpose: Use) -> Result<String, String> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let environment = match purpose {
        Use::People => &PEOPLE,
        Use::Change => &CHANGE,
    };
    let rendered =
        environment.render_str(text, Jinja::from(Serde(values))).map_err(|error| wrong(text, &error).says)?;
    if rendered.len() > MAX_RENDERED {
        return Err(format!("the text becomes {} bytes long, at most {MAX_RENDERED} are allowed", rendered.len()));
    }
    Ok(rendered)
}

/// A whole value with the texts in it filled in. A text that is one `{{ … }}` and nothing else keeps its value's type.
///
/// # Errors
/// The sentence of the first text that can't be filled in.
pub fn render_value(value: &Value, values: &Value, purpose: Use) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let rendered = render(text, values, purpose)?;
            match single_expression(text) {
                Some(expression) => typed(expression, values, rendered),
                None => Value::String(rendered),
            }
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_value(item, values, purpose)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, item)| Ok((key.clone(), render_value(item, values, purpose)?)))
                .collect::<Result<_, String>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// The expression of a text that is nothing but one `{{ … }}`.
#[must_use]
pub fn single_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim().trim_matches('-').trim())
}

fn typed(expression: &str, values: &Value, rendered: String) -> Value {
    let value = PEOPLE
        .compile_expression(expression)
        .and_then(|compiled| compiled.eval(Jinja::from(Serde(values))))
        .ok()
        .filter(|value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool))
        .and_then(|value| serde_json::to_value(value).ok());
    value.unwrap_or(Value::String(rendered))
}

/// A filter that texts can use: `{{ value | round }}`.
#[derive(Debug)]
pub struct Filter {
    /// Its name.
    pub name: &'static str,
    /// What it does, one line for the reference.
    pub doc: &'static str,
    /// A text that uses it, and what it becomes; a test fills it in.
    pub example: (&'static str, &'static str),
}

/// Those that the reference names. There are more, of which any may be used.
pub const FILTERS: &[Filter] = &[
    Filter { name: "round", doc: "Rounds to so many digits.", example: ("{{ 12.345 | round(1) }}", "12.3") },
    Filter { name: "int", doc: "A number without what follows the point.", example: ("{{ 12.9 | int }}", "12") },
    Filter { name: "length", doc: "How many items or characters.", example: ("{{ [1, 2] | length }}", "2") },
    Filter { name: "join", doc: "The items in a row.", example: ("{{ ['a', 'b'] | join(', ') }}", "a, b") },
    Filter { name: "first", doc: "The first item.", example: ("{{ ['a', 'b'] | first }}", "a") },
    Filter { name: "last", doc: "The last item.", example: ("{{ ['a', 'b'] | last }}", "b") },
    Filter {
        name: "default",
        doc: "Something else where there is no value.",
        example: ("{{ none | default('-', true) }}", "-"),
    },
    Filter { name: "lower", doc: "In small letters.", example: ("{{ 'ERROR' | lower }}", "error") },
    Filter { name: "upper", doc: "In capital letters.", example: ("{{ 'error' | upper }}", "ERROR") },
    Filter {
        name: "replace",
        doc: "One part instead of another.",
        example: ("{{ 'a-b' | replace('-', '_') }}", "a_b"),
    },
    Filter { name: "tojson", doc: "As JSON.", example: ("{{ [1, 2] | tojson }}", "[1, 2]") },
];

/// Filters that are not there, with their place (bytes). Only a run would find them: compiling does not.
#[must_use]
pub fn unknown_filters(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    // Filled in is what stands between `{{` or `{%` and its end.
    while let Some(open) = text[at..].find("{{").into_iter().chain(text[at..].find("{%")).min() {
        let start = at + open + 2;
        let end = text[start..]
            .find("}}")
            .into_iter()
            .chain(text[start..].find("%}"))
            .min()
            .map_or(text.len(), |end| start + end);
        let mut quote = None;
        for (offset, char) in text[start..end].char_indices() {
            match (quote, char) {
                (None, '\'' | '"') => quote = Some(char),
                (Some(open), _) if open == char => quote = None,
                (None, '|') => {
                    let after = &text[start + offset + 1..end];
                    let name = after.trim_start();
                    let name = &name
                        [..name.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(name.len())];
                    let place = start + offset + 1 + (after.len() - after.trim_start().len());
                    if !name.is_empty() && !has_filter(name) {
                        found.push((place, name));
                    }
                }
                _ => {}
            }
        }
        at = end;
    }
    found
}

fn has_filter(name: &str) -> bool {
    let tried = PEOPLE.compile_expression(&format!("0|{name}")).and_then(|compiled| compiled.eval(()));
    !tried.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter)
}

fn wrong(text: &str, error: &Error) -> Wrong {
    let detail = match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, _) => {
            let name = error.range().and_then(|range| text.get(range)).unwrap_or("a name in it");
            format!("`{}` is not defined here", name.trim())
        }
        (ErrorKind::OutOfFuel, _) => format!("the text takes more than {FUEL} steps"),
        (_, Some(detail)) if detail.contains("expected end of variable block") => "`}}` is missing here".to_owned(),
        (_, Some(detail)) if detail.contains("unexpected end of input") => {
            "something is not closed; end `{{` with `}}`, and `{% if … %}` with `{% endif %}`".to_owned()
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    Wrong { says: detail, at: error.range().map_or(0, |range| range.start) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_undefined_name_is_an_error_and_not_an_empty_text() {
        assert!(render("a {{ nobody }}", &json!({}), Use::People).unwrap_err().contains("nobody"));
        assert_eq!(render("{{ a.b }} %", &json!({"a": {"b": 3}}), Use::People).unwrap(), "3 %");
        assert!(names("{{ a.b }} {% if c %}x{% endif %}").unwrap().contains("a.b"));
        assert!(names("{{ a. }}").is_err());
    }

    #[test]
    fn every_filter_of_the_reference_does_what_it_says_and_an_unknown_one_is_found() {
        for filter in FILTERS {
            let (text, becomes) = filter.example;
            assert_eq!(render(text, &json!({}), Use::People).unwrap(), becomes, "{}", filter.name);
            assert_eq!(unknown_filters(text), [], "{}", filter.name);
        }
        assert_eq!(
            unknown_filters("a | b {{ x | rounded }} {% if 'a|b' | upper == y|lowr %}"),
            [(13, "rounded"), (49, "lowr")]
        );
    }

    #[test]
    fn text_from_outside_becomes_part_of_a_change_only_as_a_plain_name() {
        let values = json!({"alert": {"service_name": "order-service; rm -rf /", "ok": "order-service"}, "n": 2});
        assert!(render("{{ alert.service_name }}", &values, Use::Change).unwrap_err().contains("plain names"));
        assert_eq!(render("GET {{ alert.ok }}:/x", &values, Use::Change).unwrap(), "GET order-service:/x");
        assert!(render("{{ alert }}", &values, Use::Change).is_err());
        assert_eq!(
            render_value(&json!({"replicas": "{{ n + 1 }}"}), &values, Use::Change).unwrap(),
            json!({"replicas": 3})
        );
    }

    #[test]
    fn a_text_that_would_run_for_ever_is_stopped() {
        let text = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
        assert!(render(text, &json!({}), Use::People).is_err());
    }
}

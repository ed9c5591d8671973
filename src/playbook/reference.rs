//! The playbook reference as Markdown: every key, task type, function, name and mistake. Made of what the reader and the checks
//! use, so that it can't say anything else.

use std::fmt::Write as _;

use serde_json::Value;

use super::condition::functions::FUNCTIONS;
use super::diagnostic::Code;
use super::names::{ALERT_FIELDS, Known, RUN_FIELDS, TASK_FIELDS};
use super::schema::schema;
use super::tasks::{Gives, TASK_TYPES, Takes};
use super::text::FILTERS;

const HEAD: &str = "# Playbook reference

Printed by `mayday playbook reference` from what Mayday itself checks playbooks with: don't edit it.

A playbook is one YAML file. `mayday playbook check FILE` tells every mistake in it, `mayday playbook test FILE` runs its own tests without touching
anything, and `mayday playbook plan FILE` shows what it would change on a running Mayday.

* [Keys](#keys)
* [Task types](#task-types)
* [Conditions](#conditions)
* [Texts](#texts)
* [Mistakes](#mistakes)

Durations are whole numbers with their unit, as `500ms`, `90s`, `10m`, `2h30m`, `7d` or `1w`.

";

const CONDITIONS: &str = "## Conditions

`conditions`, `when`, `verify.condition`, `until` and a `for_each` that is worked out are [CEL](https://cel.dev): `disk.value > 80 && logs.errors == 0`. The
`{{ }}` around one is optional. There are `==`, `!=`, `<`, `<=`, `>`, `>=`, `&&`, `||`, `!`, `+`, `-`, `*`, `/`, `%`, `in`, `yes ? a : b` and these functions:

";

const NAMES: &str = "
What conditions and texts can name, beside the `output_variable` of every task that comes before:

";

const TEXTS: &str = "
## Texts

Texts in `parameters`, `action`, `concurrency_key` and defaults are filled in: `{{ params.service }}`. A name that has no value is an error. In a text for people
there are also `{% if … %} … {% endif %}` and `{% for one in list %} … {% endfor %}`. What becomes part of a change may only be filled with numbers, truth values and
plain names. Filters:

";

/// The whole reference.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let schema = schema();
    page.push_str("## Keys\n\n");
    keys(&mut page, "The file", &schema);
    for (heading, name) in [
        ("`trigger_conditions[]`", "Trigger"),
        ("`parameters.NAME`", "Parameter"),
        ("`quota`", "Quota"),
        ("`tasks[]`", "Task"),
        ("`tasks[].for_each`", "ForEachWith"),
        ("`tasks[].retry`", "Retry"),
        ("`tasks[].approval`", "Approval"),
        ("`tasks[].verify`", "Verify"),
        ("`tests[]`", "TestCase"),
        ("`tests[].expect`", "Expect"),
    ] {
        keys(&mut page, heading, &schema["$defs"][name]);
    }
    task_types(&mut page);
    page.push_str(CONDITIONS);
    page.push_str("| function | gives | what | example |\n|---|---|---|---|\n");
    for function in FUNCTIONS {
        row(&mut page, &[&code(function.form), function.gives.says(), function.doc, &code(function.example)]);
    }
    page.push_str(NAMES);
    page.push_str("| name | type | what |\n|---|---|---|\n");
    row(&mut page, &["`params.NAME`", "as declared", "A parameter of the run."]);
    known(&mut page, "alert", ALERT_FIELDS);
    known(&mut page, "run", RUN_FIELDS);
    known(&mut page, "tasks.ID", TASK_FIELDS);
    row(&mut page, &["`item`", "anything", "The item of a task with `for_each`, and of what undoes it."]);
    page.push_str(TEXTS);
    page.push_str("| filter | what | example | becomes |\n|---|---|---|---|\n");
    for filter in FILTERS {
        row(&mut page, &[&code(filter.name), filter.doc, &code(filter.example.0), &code(filter.example.1)]);
    }
    mistakes(&mut page);
    page
}

/// A code span, also of text with `|` in it (which ends a table's cell even there).
fn code(text: &str) -> String {
    format!("`{text}`")
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn known(page: &mut String, root: &str, fields: &[Known]) {
    for field in fields {
        row(page, &[&format!("`{root}.{}`", field.name), field.kind.says(), field.doc]);
    }
}

/// One table of keys.
fn keys(page: &mut String, heading: &str, node: &Value) {
    let _ = writeln!(page, "### {heading}\n\n{}\n", node["description"].as_str().unwrap_or_default());
    page.push_str("| key | type | default | meaning | example |\n|---|---|---|---|---|\n");
    let required: Vec<&str> = node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let none = serde_json::Map::new();
    for (key, value) in node["properties"].as_object().unwrap_or(&none) {
        let default = match &value["default"] {
            _ if required.contains(&key.as_str()) => "**required**".to_owned(),
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => String::new(),
            Value::Array(items) if items.is_empty() => String::new(),
            Value::Object(map) if map.is_empty() => String::new(),
            Value::String(text) => code(text),
            other => code(&other.to_string()),
        };
        let example = value["examples"][0].clone();
        let example = match &example {
            Value::Null => String::new(),
            Value::String(text) => code(&format!("{key}: {}", quoted(text))),
            other => code(&format!("{key}: {}", flow(other))),
        };
        let mut meaning = value["description"].as_str().unwrap_or_default().to_owned();
        for word in value["oneOf"].as_array().into_iter().flatten() {
            if let (Some(word), Some(says)) = (word["const"].as_str(), word["description"].as_str()) {
                let _ = write!(meaning, "<br>`{word}`: {says}");
            }
        }
        row(page, &[&code(key), &kind(value), &default, &meaning, &example]);
    }
    page.push('\n');
}

/// The type of a key's value, in words.
fn kind(value: &Value) -> String {
    if let Some(words) = value["enum"].as_array() {
        // The task types have a section of their own.
        if words.len() > 10 {
            return "a [task type](#task-types)".to_owned();
        }
        return words.iter().filter_map(Value::as_str).map(code).collect::<Vec<_>>().join(", ");
    }
    if value["oneOf"].is_array() {
        return "one of these words".to_owned();
    }
    if value["anyOf"].is_array() {
        return "a list, a condition or a map".to_owned();
    }
    if value["$ref"].is_string() {
        return "a map".to_owned();
    }
    let limits = match (&value["minimum"], &value["maximum"]) {
        (Value::Null, _) => String::new(),
        (least, most) => format!(", {least} to {most}"),
    };
    let types = match &value["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    };
    let most = |key: &str| value[key].as_u64().map_or_else(String::new, |most| format!(", at most {most}"));
    match types.as_slice() {
        ["string"] if value["pattern"].as_str().is_some_and(|pattern| pattern.contains("(ms|s|m")) => {
            "duration".to_owned()
        }
        ["string"] => "text".to_owned(),
        ["string", "boolean"] => "condition".to_owned(),
        ["string", "integer"] => "text".to_owned(),
        ["array", "string"] => "a list or a condition".to_owned(),
        ["integer"] => format!("whole number{limits}"),
        ["number"] => format!("number{limits}"),
        ["boolean"] => "`true` or `false`".to_owned(),
        ["array"] => format!("list{}", most("maxItems")),
        ["object"] => format!("map{}", most("maxProperties")),
        _ => "anything".to_owned(),
    }
}

/// Text as YAML takes it.
fn quoted(text: &str) -> String {
    let plain =
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(": ") && !text.contains(" #");
    if plain { text.to_owned() } else { format!("\"{text}\"") }
}

/// A value on one line, as YAML.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains([',', '{', '[', ']', '}']) => format!("\"{text}\""),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn task_types(page: &mut String) {
    page.push_str("## Task types\n\nA task reads or changes something, by its type. Read tasks run at once; the others wait for approval, by their risk.\n\n");
    for task in TASK_TYPES {
        let _ = writeln!(page, "### {}\n\n{}\n", task.name, task.doc);
        let risk = if task.action_line {
            "read for GET and HEAD, otherwise what the task's `risk` says, `disruptive` when missing".to_owned()
        } else {
            serde_json::to_value(task.risk).ok().and_then(|risk| risk.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let undo = match (task.risk, task.reversible) {
            (crate::access::Risk::Read, _) => "nothing to undo",
            _ if task.action_line => {
                "`rollback: inverse` of a PATCH; otherwise by a task of its own (`rollback: TASK`)"
            }
            (_, true) => "`rollback: inverse`",
            (_, false) => "by a task of its own only (`rollback: TASK`)",
        };
        let _ = writeln!(
            page,
            "* Risk: {risk}\n* Undone: {undo}\n* In doubt, after a crash or without an answer that tells: {}\n",
            task.doubt
        );
        match task.takes {
            Takes::Anything => page.push_str("Its `parameters` are what the API takes.\n\n"),
            Takes::These(declared) => {
                page.push_str("| parameter | type | required | meaning |\n|---|---|---|---|\n");
                for parameter in declared {
                    let needed = if parameter.required { "yes" } else { "" };
                    row(page, &[&code(parameter.name), parameter.kind.says(), needed, parameter.doc]);
                }
                page.push('\n');
            }
        }
        match task.gives {
            Gives::Dynamic => page.push_str("Its output has the fields that the API answers with.\n\n"),
            Gives::These(outs) => {
                page.push_str("| output | type | meaning |\n|---|---|---|\n");
                for out in outs {
                    row(page, &[&code(out.name), out.kind.says(), out.doc]);
                }
                page.push('\n');
            }
        }
    }
}

fn mistakes(page: &mut String) {
    page.push_str("\n## Mistakes\n\nWhat `mayday playbook check` finds, as `file:line:col: CODE: what is wrong, and the fix`. A code never changes its meaning.\n\n| code | meaning | fix |\n|---|---|---|\n");
    for words in Code::words() {
        row(page, &[&words.code, &words.meaning, &words.fix]);
    }
}

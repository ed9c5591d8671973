//! The schema that editors get: the playbooks there are fit it, those that are wrong in their structure don't.
//!
//! The small validator knows the keywords that the schema uses, and fails on any other.

use serde_json::Value;

fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let rules = schema.as_object().unwrap();
    rules.iter().all(|(rule, said)| match rule.as_str() {
        "$ref" => fits(root, root.pointer(said.as_str().unwrap().trim_start_matches('#')).unwrap(), value),
        "type" => {
            let is = |word: &Value| match word.as_str().unwrap() {
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                other => panic!("the validator does not know the type {other}"),
            };
            said.as_array().map_or_else(|| is(said), |words| words.iter().any(is))
        }
        "enum" => said.as_array().unwrap().contains(value),
        "const" => said == value,
        "oneOf" => said.as_array().unwrap().iter().filter(|one| fits(root, one, value)).count() == 1,
        "anyOf" => said.as_array().unwrap().iter().any(|one| fits(root, one, value)),
        "allOf" => said.as_array().unwrap().iter().all(|one| fits(root, one, value)),
        "if" => !fits(root, said, value) || fits(root, &rules["then"], value),
        "pattern" => {
            value.as_str().is_none_or(|text| regex::Regex::new(said.as_str().unwrap()).unwrap().is_match(text))
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= said.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= said.as_u64().unwrap()),
        "maxProperties" => value.as_object().is_none_or(|map| map.len() as u64 <= said.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(root, said, item))),
        "required" => value
            .as_object()
            .is_none_or(|map| said.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| said.get(key).is_none_or(|schema| fits(root, schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |key: &String| schema["properties"].get(key).is_some();
            map.iter().filter(|(key, _)| !known(key)).all(|(_, value)| match said {
                Value::Bool(open) => *open,
                schema => fits(root, schema, value),
            })
        }),
        "then" | "description" | "default" | "examples" | "title" | "$schema" | "$defs" => true,
        other => panic!("the validator does not know `{other}`"),
    })
}

fn read(path: &str) -> Value {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

#[test]
fn every_shipped_playbook_and_the_example_of_the_design_fit_the_schema() {
    let schema = mayday::playbook::authoring::schema();
    for path in [
        "playbooks/PB-CPU-Scale-Order.yaml",
        "playbooks/PB-DB-Check-Inventory.yaml",
        "playbooks/PB-Disk-Cleanup.yaml",
        "playbooks/PB-Payment-Troubleshoot.yaml",
        "playbooks/PB-Service-Restart.yaml",
        "src/demo/playbooks/PB-Job-Pause.yaml",
        "src/demo/playbooks/PB-Pool-Raise.yaml",
        "tests/data/playbooks/design-example.yaml",
    ] {
        assert!(fits(&schema, &schema, &read(path)), "{path}");
    }
}

#[test]
fn a_playbook_whose_structure_is_wrong_does_not_fit_the_schema() {
    let schema = mayday::playbook::authoring::schema();
    for name in [
        "key-misspelt",
        "key-unknown",
        "key-of-a-task-at-the-top",
        "key-missing-at-the-top",
        "parameter-beside-parameters",
        "task-without-type",
        "task-type-misspelt",
        "task-parameter-misspelt",
        "task-parameter-missing",
        "task-parameter-wrong-type",
        "task-parameter-text-for-a-list",
        "task-parameter-duration-without-unit",
        "number-where-text-is-needed",
        "text-where-a-list-is-needed",
        "map-where-a-list-is-needed",
        "word-not-allowed",
        "severity-in-small-letters",
        "parameter-type-unknown",
        "duration-without-unit",
        "duration-in-words",
        "id-with-a-space",
        "output-name-with-a-dash",
        "action-missing",
        "retry-without-attempts",
        "retry-for-ever",
        "quota-of-nothing",
        "for-each-over-a-number",
        "for-each-over-nothing",
        "test-without-expect",
        "test-with-an-unknown-state",
        "verify-without-a-condition",
    ] {
        let playbook = read(&format!("tests/data/playbooks/faulty/{name}.yaml"));
        assert!(!fits(&schema, &schema, &playbook), "{name} is accepted");
    }
}

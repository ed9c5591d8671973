//! The JSON schema of a playbook file, for editors: the structure is the one that the reader checks ([`super::shape`]), the words
//! are those of the model's types.

use serde_json::{Map, Value, json};

use super::model::Playbook;
use super::run::MAX_ITEMS;
use super::shape::{FOR_EACH, Field, PLAYBOOK, Shape};
use super::tasks::{self, ParamKind, TASK_TYPES, Takes};

/// The schema: every key with its meaning, its limits and an example, and each task type with its parameters.
#[must_use]
pub fn schema() -> Value {
    let words = serde_json::to_value(schemars::schema_for!(Playbook)).unwrap_or_default();
    let mut maker = Maker { words: &words, defs: Map::new() };
    let mut schema = match PLAYBOOK {
        Shape::Fields(fields) => maker.fields(fields, &words),
        _ => json!({}),
    };
    let mut defs = maker.defs;
    if let Some(task) = defs.get_mut("Task") {
        let names: Vec<&str> = TASK_TYPES.iter().map(|task_type| task_type.name).collect();
        task["properties"]["type"]["enum"] = json!(names);
        task["allOf"] = TASK_TYPES.iter().map(per_type).collect();
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A Mayday playbook");
    schema["$defs"] = Value::Object(defs);
    schema
}

struct Maker<'a> {
    words: &'a Value,
    defs: Map<String, Value>,
}

impl Maker<'_> {
    /// The name of the type that a node of the model's schema stands for, if it has one.
    fn name(node: &Value) -> Option<String> {
        let own = node["$ref"].as_str();
        let among = || node["anyOf"].as_array()?.iter().find_map(|one| one["$ref"].as_str());
        Some(own.or_else(among)?.rsplit('/').next()?.to_owned())
    }

    /// The node itself, or what it refers to.
    fn meant<'v>(&'v self, node: &'v Value) -> &'v Value {
        Self::name(node).map_or(node, |name| &self.words["$defs"][name])
    }

    fn fields(&mut self, fields: &[Field], node: &Value) -> Value {
        let meant = self.meant(node).clone();
        let mut properties = Map::new();
        for field in fields {
            let words = &meant["properties"][field.name];
            let mut made = self.value(field.shape, words);
            for key in ["description", "default", "examples"] {
                if !words[key].is_null() {
                    made[key] = words[key].clone();
                }
            }
            properties.insert(field.name.to_owned(), made);
        }
        let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut made =
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        if let Some(description) = meant["description"].as_str() {
            made["description"] = json!(description);
        }
        made
    }

    fn value(&mut self, shape: Shape, node: &Value) -> Value {
        match shape {
            Shape::Text => json!({"type": "string"}),
            Shape::Version => json!({"type": ["string", "integer"]}),
            Shape::Id => json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"}),
            Shape::Variable => json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"}),
            Shape::Duration => json!({"type": "string", "pattern": DURATION}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Shape::Number(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
            Shape::Condition => json!({"type": ["string", "boolean"]}),
            Shape::Word(words) => {
                let said = |word: &str| {
                    let all = self.meant(node)["oneOf"].as_array()?;
                    Some(all.iter().find(|one| one["const"] == word)?["description"].clone())
                };
                match words.iter().map(|word| said(word)).collect::<Option<Vec<_>>>() {
                    Some(said) => {
                        let one = |(word, says): (&&str, Value)| json!({"const": word, "description": says});
                        json!({"type": "string", "oneOf": words.iter().zip(said).map(one).collect::<Vec<_>>()})
                    }
                    None => json!({"type": "string", "enum": words}),
                }
            }
            Shape::List(inner, most) => {
                let items = self.value(*inner, &node["items"]);
                json!({"type": "array", "items": items, "maxItems": most})
            }
            Shape::Map(inner, most) => {
                let items = self.value(*inner, &node["additionalProperties"]);
                json!({"type": "object", "additionalProperties": items, "maxProperties": most})
            }
            Shape::Fields(fields) => {
                let made = self.fields(fields, node);
                self.named(node, made)
            }
            Shape::Over => json!({"type": ["array", "string"], "minItems": 1, "maxItems": MAX_ITEMS}),
            Shape::ForEach => {
                let node = json!({"$ref": "#/$defs/ForEachWith"});
                let made = self.fields(FOR_EACH, &node);
                let with = self.named(&node, made);
                json!({"anyOf": [self.value(Shape::Over, &Value::Null), with]})
            }
            Shape::Any => json!({}),
        }
    }

    fn named(&mut self, node: &Value, made: Value) -> Value {
        match Self::name(node) {
            Some(name) => {
                let reference = json!({"$ref": format!("#/$defs/{name}")});
                self.defs.insert(name, made);
                reference
            }
            None => made,
        }
    }
}

const DURATION: &str = "^([0-9]+(ms|s|m|min|h|d|w))+$";

fn per_type(task_type: &tasks::TaskType) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let open = match task_type.takes {
        Takes::Anything => true,
        Takes::These(declared) => {
            for parameter in declared {
                // Text with `{{ … }}` may stand for any of them.
                let mut made = match parameter.kind {
                    ParamKind::Text | ParamKind::Name | ParamKind::Condition => json!({"type": "string"}),
                    ParamKind::Duration => {
                        json!({"type": "string", "pattern": format!("{DURATION}|\\{{\\{{")})
                    }
                    ParamKind::Texts => json!({"type": ["array", "string"], "items": {"type": "string"}}),
                    ParamKind::Whole => json!({"type": ["integer", "string"]}),
                    ParamKind::Number => json!({"type": ["number", "string"]}),
                    ParamKind::Bool => json!({"type": ["boolean", "string"]}),
                    ParamKind::Map => json!({"type": "object"}),
                };
                if matches!(parameter.kind, ParamKind::Texts | ParamKind::Whole | ParamKind::Number | ParamKind::Bool) {
                    made["pattern"] = json!("\\{\\{");
                }
                made["description"] = json!(parameter.doc);
                properties.insert(parameter.name.to_owned(), made);
                if parameter.required {
                    required.push(parameter.name);
                }
            }
            false
        }
    };
    let mut needed = Vec::new();
    if !required.is_empty() {
        needed.push("parameters");
    }
    if task_type.action_line {
        needed.push("action");
    }
    json!({
        "if": {"properties": {"type": {"const": task_type.name}}, "required": ["type"]},
        "then": {
            "description": task_type.doc,
            "required": needed,
            "properties": {
                "parameters": {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": open,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reader's shape and the model's types say the same keys: neither has one that the other lacks.
    #[test]
    fn the_reader_and_the_types_have_the_same_keys_and_each_is_explained() {
        let words = serde_json::to_value(schemars::schema_for!(Playbook)).unwrap();
        let schema = schema();
        let keys = |node: &Value| -> Vec<String> { node["properties"].as_object().unwrap().keys().cloned().collect() };
        let same = |name: &str, made: &Value, typed: &Value| {
            let (mut made_keys, mut typed_keys) = (keys(made), keys(typed));
            made_keys.sort();
            typed_keys.sort();
            assert_eq!(made_keys, typed_keys, "{name}");
            for (key, node) in made["properties"].as_object().unwrap() {
                assert!(node["description"].is_string(), "{name}.{key} is not explained");
                assert!(node["examples"].is_array(), "{name}.{key} has no example");
            }
        };
        same("Playbook", &schema, &words);
        let defs = schema["$defs"].as_object().unwrap();
        assert!(defs.len() >= 10, "{:?}", defs.keys());
        for (name, made) in defs {
            same(name, made, &words["$defs"][name]);
        }
    }
}

//! The functions that a condition can call: one table, from which the checks and the reference come. What CEL has beside
//! them (types, bytes, optional values) is not offered: a condition decides about a change, and must be easy to read.

use super::kinds::Kind;

/// One function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it gives, one line for the reference.
    pub doc: &'static str,
    /// A condition that is true, for the reference; a test evaluates it.
    pub example: &'static str,
    /// What kind of value it gives.
    pub gives: Kind,
}

const fn function(
    name: &'static str,
    form: &'static str,
    gives: Kind,
    doc: &'static str,
    example: &'static str,
) -> Function {
    Function { name, form, doc, example, gives }
}

/// All of them.
pub const FUNCTIONS: &[Function] = &[
    function(
        "size",
        "size(x)",
        Kind::Number,
        "How many items, entries or characters there are.",
        "size(['a', 'b']) == 2",
    ),
    function("has", "has(x.field)", Kind::Truth, "Whether the field is there.", "has({'a': 1}.a)"),
    function(
        "all",
        "list.all(one, condition)",
        Kind::Truth,
        "Whether the condition holds for every item; true for an empty list.",
        "[1, 2].all(one, one > 0)",
    ),
    function(
        "exists",
        "list.exists(one, condition)",
        Kind::Truth,
        "Whether the condition holds for at least one item.",
        "[1, 2].exists(one, one > 1)",
    ),
    function(
        "exists_one",
        "list.exists_one(one, condition)",
        Kind::Truth,
        "Whether the condition holds for exactly one item.",
        "[1, 2].exists_one(one, one > 1)",
    ),
    function(
        "filter",
        "list.filter(one, condition)",
        Kind::List,
        "The items for which the condition holds.",
        "[1, 2].filter(one, one > 1) == [2]",
    ),
    function(
        "map",
        "list.map(one, value)",
        Kind::List,
        "The value worked out for each item.",
        "['a', 'b'].map(one, one + '.log') == ['a.log', 'b.log']",
    ),
    function(
        "contains",
        "text.contains(part)",
        Kind::Truth,
        "Whether the part stands in the text.",
        "'timeout'.contains('time')",
    ),
    function(
        "startsWith",
        "text.startsWith(part)",
        Kind::Truth,
        "Whether the text begins with the part.",
        "'timeout'.startsWith('time')",
    ),
    function(
        "endsWith",
        "text.endsWith(part)",
        Kind::Truth,
        "Whether the text ends with the part.",
        "'timeout'.endsWith('out')",
    ),
    function(
        "matches",
        "text.matches(pattern)",
        Kind::Truth,
        "Whether the regular expression is found in the text.",
        "'order-17'.matches('^order-[0-9]+$')",
    ),
    function(
        "double",
        "double(text)",
        Kind::Number,
        "A text as a number; an error if it is none.",
        "double('2.5') > 2.0",
    ),
    function("int", "int(number)", Kind::Number, "A number without what follows the point.", "int(2.5) == 2"),
    function("string", "string(x)", Kind::Text, "A number or truth value as text.", "string(true) == 'true'"),
];

/// The function of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::condition::Condition;

    #[test]
    fn every_example_of_a_function_is_true_and_calls_it() {
        for function in FUNCTIONS {
            let condition =
                Condition::parse(function.example).unwrap_or_else(|wrong| panic!("{}: {wrong:?}", function.name));
            assert_eq!(condition.holds(&serde_json::json!({})), Ok(true), "{}", function.example);
            assert!(function.example.contains(&format!("{}(", function.name)), "{}", function.name);
        }
    }
}

//! Conditions: CEL, with every number from an output as a double. An error in a condition is an error, never a "no".
//!
//! Why not the templates' language: it orders a number against a text without an error, and a condition decides whether
//! something is destroyed. Macros (`all`, `exists` …) nest at most twice, so that evaluation over a capped output is bounded.

pub mod functions;
mod kinds;

pub use kinds::{Clash, Kind};

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::objects::{Key, Map};
use cel::{Context, Program, Value as Cel};
use serde_json::Value;

/// The longest condition, bytes.
pub const MAX_BYTES: usize = 2_000;
/// How deep macros may nest.
const MAX_LOOPS: usize = 2;
/// How deep brackets may nest: parsing and evaluating recurse.
const MAX_BRACKETS: usize = 12;
/// Operators, dots and opening brackets in one condition, for the same reason.
const MAX_OPERATORS: usize = 150;
/// Stack for parsing and evaluating, bytes. The generated parser takes up to 200 kB for each nesting in an unoptimised build; a
/// worker thread has 2 MB, and running out of it ends the process. Only the pages that are touched cost memory.
const STACK: usize = 64 << 20;

/// A condition ready to be evaluated.
pub struct Condition {
    source: String,
    program: Program,
    references: Vec<Reference>,
    /// Bytes of the text as written before the source.
    cut: usize,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

/// One name that a condition uses: `payment_status.is_healthy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The first word.
    pub root: String,
    /// The fields after it, as far as they are written out.
    pub fields: Vec<String>,
    /// Where it stands in the text as written, bytes.
    pub at: usize,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub says: String,
    /// Where in the text as written, bytes.
    pub at: usize,
    /// Whether it is a calculation with two kinds of numbers.
    pub mixed_numbers: bool,
}

/// The condition without the optional `{{ }}` around it, and how many bytes were cut off before it.
fn bare(text: &str) -> (&str, usize) {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(trimmed).trim();
    (inner, inner.as_ptr() as usize - text.as_ptr() as usize)
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        // The parser is generated code; a panic in it must stay a mistake in one file.
        let cannot = || Wrong { says: "it can't be parsed".to_owned(), at: 0, mixed_numbers: false };
        on_own_stack(|| Self::parse_here(text)).unwrap_or_else(|| Err(cannot()))
    }

    fn parse_here(text: &str) -> Result<Self, Wrong> {
        let (source, cut) = bare(text);
        let wrong = |says: String, at: usize| Wrong { says, at: at + cut, mixed_numbers: false };
        if source.is_empty() {
            return Err(wrong("the condition is empty".to_owned(), 0));
        }
        if source.len() > MAX_BYTES {
            return Err(wrong(format!("the condition has {} bytes, at most {MAX_BYTES} are allowed", source.len()), 0));
        }
        if let Some(says) = too_deep(source) {
            return Err(wrong(says, 0));
        }
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 1), |error| error.pos);
            let before: usize =
                source.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
            let says = first.map_or_else(|| "it can't be parsed".to_owned(), |error| plain(&error.msg));
            wrong(short(&says), before + usize::try_from(column - 1).unwrap_or(0))
        })?;
        let mut walk = Walk { program: &program, references: Vec::new(), bound: Vec::new(), loops: 0, wrong: None };
        walk.expr(program.expression());
        if let Some(mut found) = walk.wrong {
            found.at += cut;
            return Err(found);
        }
        let mut references = walk.references;
        for reference in &mut references {
            reference.at += cut;
        }
        Ok(Self { source: source.to_owned(), program, references, cut })
    }

    /// The text, without `{{ }}`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names it uses.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Whether it holds with these values (an object: name to value).
    ///
    /// # Errors
    /// A sentence: a name without a value, types that don't go together, an outcome that is neither true nor false.
    pub fn holds(&self, values: &Value) -> Result<bool, String> {
        on_own_stack(|| self.holds_here(values)).unwrap_or_else(|| Err(format!("`{}` can't be evaluated", self.source)))
    }

    fn holds_here(&self, values: &Value) -> Result<bool, String> {
        match self.run(values)? {
            Cel::Bool(holds) => Ok(holds),
            other => Err(format!("`{}` gives {}, not true or false", self.source, other.type_of())),
        }
    }

    fn run(&self, values: &Value) -> Result<Cel, String> {
        let mut context = Context::default();
        for root in self.roots() {
            if let Some(value) = values.get(root) {
                context.add_variable_from_value(root, to_cel(value));
            }
        }
        self.program
            .execute(&context)
            .map_err(|error| format!("`{}` can't be evaluated: {}", self.source, short(&error.to_string())))
    }

    /// The list that it gives with these values.
    ///
    /// # Errors
    /// A sentence: it can't be evaluated, or gives no list.
    pub fn list(&self, values: &Value) -> Result<Vec<Value>, String> {
        let cannot = || Err(format!("`{}` can't be evaluated", self.source));
        on_own_stack(|| match self.run(values) {
            Ok(Cel::List(items)) => Ok(items.iter().map(from_cel).collect()),
            Ok(other) => Err(format!("`{}` gives {}, not a list", self.source, other.type_of())),
            Err(why) => Err(why),
        })
        .unwrap_or_else(cannot)
    }

    /// How far the number that it compares with a limit is on the wrong side of it; below zero: on the right side. None if
    /// it is not a comparison of one name with one number, or there is no number.
    #[must_use]
    pub fn distance(&self, values: &Value) -> Option<f64> {
        let Expr::Call(call) = &self.program.expression().expr else { return None };
        let [left, right] = call.args.as_slice() else { return None };
        let number = |node: &IdedExpr| match &node.expr {
            Expr::Literal(LiteralValue::Int(number)) => number.inner().to_string().parse::<f64>().ok(),
            Expr::Literal(LiteralValue::Double(number)) => Some(*number.inner()),
            _ => None,
        };
        let named = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(_) | Expr::Select(_));
        let (limit, flipped) = match (number(left), number(right)) {
            (None, Some(limit)) if named(left) => (limit, false),
            (Some(limit), None) if named(right) => (limit, true),
            _ => return None,
        };
        let below = match call.func_name.as_str() {
            operators::LESS | operators::LESS_EQUALS => !flipped,
            operators::GREATER | operators::GREATER_EQUALS => flipped,
            _ => return None,
        };
        let reference = self.references.first()?;
        let found = reference.fields.iter().try_fold(values.get(&reference.root)?, |value, field| value.get(field))?;
        let found = found.as_f64()?;
        Some(if below { found - limit } else { limit - found })
    }

    /// The first words of the names it uses, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.references.iter().enumerate().filter_map(|(index, reference)| {
            let first = !self.references[..index].iter().any(|earlier| earlier.root == reference.root);
            first.then_some(reference.root.as_str())
        })
    }
}

/// Does something on a thread with a large stack; none if it panicked or there is no thread.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

/// Looks at the bare characters, before the recursive parser does. Text in quotes counts as well, which errs on the safe side.
fn too_deep(source: &str) -> Option<String> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                operators += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'?' | b'<' | b'>' | b'=' | b'&' | b'|' | b'.' => operators += 1,
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Some(format!("brackets nest more than {MAX_BRACKETS} deep; split it into several conditions"));
        }
    }
    (operators > MAX_OPERATORS)
        .then(|| format!("it has more than {MAX_OPERATORS} operators; split it into several conditions"))
}

/// The generated parser's words as people say it, with the fix for what other languages write.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let quoted = |after: &str| Some(message.split_once(after)?.1.split('\'').next()?.trim().to_owned());
    let Some(found) = ["mismatched input '", "token recognition error at: '", "extraneous input '"]
        .iter()
        .find_map(|after| quoted(after))
    else {
        return message.to_owned();
    };
    match found.split_whitespace().next().unwrap_or("") {
        "<EOF>" => "it ends too early".to_owned(),
        "and" | "AND" => "write `&&` instead of `and`".to_owned(),
        "or" | "OR" => "write `||` instead of `or`".to_owned(),
        "not" | "NOT" => "write `!` instead of `not`".to_owned(),
        "is" => "write `==` instead of `is`".to_owned(),
        "=" => "write `==` to compare".to_owned(),
        other => format!("`{other}` does not belong here"),
    }
}

fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    crate::core::text::capped(line, 300)
}

/// JSON as CEL sees it: every number a double, so that `3 < 3.5` and `== 200` mean what they say.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(map) => {
            let map: HashMap<Key, Cel> =
                map.iter().map(|(key, value)| (Key::from(key.clone()), to_cel(value))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value as CEL gives it, as JSON: a whole double as a whole number. What JSON does not have becomes its text.
fn from_cel(value: &Cel) -> Value {
    match value {
        Cel::Null => Value::Null,
        Cel::Bool(value) => Value::Bool(*value),
        Cel::Int(number) => Value::from(*number),
        Cel::UInt(number) => Value::from(*number),
        Cel::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Value::from(*number as i64),
        Cel::Float(number) => Value::from(*number),
        Cel::String(text) => Value::String(text.to_string()),
        Cel::List(items) => Value::Array(items.iter().map(from_cel).collect()),
        Cel::Map(map) => Value::Object(map.map.iter().map(|(key, value)| (key.to_string(), from_cel(value))).collect()),
        other => Value::String(short(&format!("{other:?}"))),
    }
}

struct Walk<'a> {
    program: &'a Program,
    references: Vec<Reference>,
    bound: Vec<String>,
    loops: usize,
    wrong: Option<Wrong>,
}

impl Walk<'_> {
    fn at(&self, id: u64) -> usize {
        self.program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize)
    }

    fn refuse(&mut self, at: usize, says: String, mixed_numbers: bool) {
        if self.wrong.is_none() {
            self.wrong = Some(Wrong { says, at, mixed_numbers });
        }
    }

    fn expr(&mut self, node: &IdedExpr) {
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(_) | Expr::Select(_) => self.name(node),
            Expr::Call(call) => {
                self.calculation(call, node.id);
                if let Some(target) = &call.target {
                    self.expr(target);
                }
                for argument in &call.args {
                    self.expr(argument);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.expr(element)),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(made) => self.entries(&made.entries),
            Expr::Comprehension(made) => {
                self.expr(&made.iter_range);
                self.loops += 1;
                if self.loops > MAX_LOOPS {
                    let at = self.at(node.id);
                    self.refuse(at, format!("macros nest more than {MAX_LOOPS} deep; simplify it"), false);
                    return;
                }
                let before = self.bound.len();
                self.bound.push(made.iter_var.clone());
                self.bound.extend(made.iter_var2.clone());
                self.bound.push(made.accu_var.clone());
                for part in [&made.accu_init, &made.loop_cond, &made.loop_step, &made.result] {
                    self.expr(part);
                }
                self.bound.truncate(before);
                self.loops -= 1;
            }
        }
    }

    fn entries(&mut self, entries: &[cel::common::ast::IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.expr(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.expr(&entry.key);
                    self.expr(&entry.value);
                }
            }
        }
    }

    fn name(&mut self, node: &IdedExpr) {
        let mut fields = Vec::new();
        let mut at = node;
        loop {
            match &at.expr {
                Expr::Select(select) => {
                    fields.push(select.field.clone());
                    at = &select.operand;
                }
                Expr::Ident(name) => {
                    let root = name.trim_start_matches('.').to_owned();
                    if !self.bound.contains(&root) {
                        fields.reverse();
                        let place = self.at(at.id);
                        self.references.push(Reference { root, fields, at: place });
                    }
                    return;
                }
                _ => {
                    self.expr(at);
                    return;
                }
            }
        }
    }

    /// `x.count + 1` has no meaning in CEL when `x.count` is a double: say so before it runs.
    fn calculation(&mut self, call: &cel::common::ast::CallExpr, id: u64) {
        let calculates =
            [operators::ADD, operators::SUBSTRACT, operators::MULTIPLY, operators::DIVIDE, operators::MODULO];
        if !calculates.contains(&call.func_name.as_str()) || call.args.len() != 2 {
            return;
        }
        let whole = |node: &IdedExpr| matches!(&node.expr, Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)));
        // What a macro counts with is a whole number.
        let output = |node: &IdedExpr| match &node.expr {
            Expr::Ident(name) => !name.starts_with('@'),
            other => matches!(other, Expr::Select(_)),
        };
        if (whole(&call.args[0]) && output(&call.args[1])) || (output(&call.args[0]) && whole(&call.args[1])) {
            let at = self.at(id);
            self.refuse(
                at,
                "numbers of outputs have a fraction; write the other one with one too, as `1.0`".to_owned(),
                true,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str, values: Value) -> Result<bool, String> {
        Condition::parse(text).unwrap().holds(&values)
    }

    /// Each of these ended the process once: the generated parser needs far more stack than its input looks like.
    #[test]
    fn what_nests_as_deep_as_allowed_or_deeper_is_parsed_or_refused_and_the_process_stays() {
        let around = |open: &str, times: usize, inner: &str, close: &str| {
            format!("{}{inner}{}", open.repeat(times), close.repeat(times))
        };
        for text in [
            around("[", MAX_BRACKETS, "1", "]") + " == a",
            around("{a:", MAX_BRACKETS, "1", "}") + " == a",
            around("(", MAX_BRACKETS, "true", ")"),
            format!("1{} < 2", "+1".repeat(MAX_OPERATORS - 2)),
            format!("{}true", "!".repeat(MAX_OPERATORS)),
            format!("{}true", "true?true:".repeat(MAX_OPERATORS)),
            format!("a{} == 1", "[0]".repeat(600)),
            format!("{}1", ")(".repeat(400)),
            format!("{}1", "](".repeat(900)),
        ] {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&json!({"a": [1]}));
            }
        }
    }

    #[test]
    fn numbers_compare_whatever_their_form_and_braces_are_optional() {
        assert_eq!(holds("{{ a.rate < 0.1 }}", json!({"a": {"rate": 0}})), Ok(true));
        assert_eq!(holds("a.code == 200", json!({"a": {"code": 200}})), Ok(true));
        assert_eq!(holds("  {{a.ok}}  ", json!({"a": {"ok": true}})), Ok(true));
        assert_eq!(holds("a.lines.exists(l, l.contains('x'))", json!({"a": {"lines": ["axb"]}})), Ok(true));
    }

    #[test]
    fn an_error_is_an_error_and_never_a_no() {
        assert!(holds("a.rate < 0.1", json!({"a": {"rate": "0"}})).is_err());
        assert!(holds("a.rate < 0.1", json!({"a": {}})).is_err());
        assert!(holds("a.rate < 0.1", json!({})).is_err());
        assert!(holds("a.rate", json!({"a": {"rate": 1}})).is_err());
        assert!(holds("a.rate < 1.0", json!({"a": {"rate": null}})).is_err());
    }

    #[test]
    fn a_mistake_has_its_place_in_the_text_as_written() {
        let wrong = Condition::parse("{{ a.b < }}").unwrap_err();
        assert!(wrong.at >= 3, "{wrong:?}");
        assert!(Condition::parse("").is_err());
        assert!(Condition::parse("a.count + 1 > 3.0").unwrap_err().mixed_numbers);
        assert!(Condition::parse(&"(".repeat(1900)).is_err());
        assert!(Condition::parse("a.all(x, a.all(y, a.all(z, true)))").is_err());
    }

    #[test]
    fn names_are_found_and_bound_ones_are_not() {
        let condition = Condition::parse("{{ a.b.c > 1 && size(l) > 0 && l.all(x, x.y == d) && has(e.f) }}").unwrap();
        let roots: Vec<_> = condition.roots().collect();
        assert_eq!(roots, ["a", "l", "d", "e"]);
        assert_eq!(condition.references()[0].fields, ["b", "c"]);
        assert_eq!(condition.references()[0].at, 3);
    }
}

//! What kinds of values a condition puts together, as far as that can be seen before anything runs: a number is not
//! compared with a text, and what comes of it is true or false. What only the live system knows fits everything.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Condition, functions};
use crate::core::nearest::hint;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// Text.
    Text,
    /// True or false.
    Truth,
    /// A list.
    List,
    /// Fields by name.
    Map,
    /// Not known before it runs.
    Any,
}

impl Kind {
    /// For messages.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "text",
            Self::Truth => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "anything",
        }
    }
}

/// A place where kinds don't go together, or a function that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// What, and the fix.
    pub says: String,
    /// Where in the text as written, bytes.
    pub at: usize,
    /// Whether it is a function that is not there.
    pub function: bool,
}

impl Condition {
    /// The kind of value that it gives; `of` tells the kind of a name with its fields.
    ///
    /// # Errors
    /// The first place where kinds don't go together.
    pub fn kind(&self, of: &dyn Fn(&str, &[String]) -> Kind) -> Result<Kind, Clash> {
        let mut kinds = Kinds { condition: self, of, bound: Vec::new() };
        let found = kinds.of(self.program.expression());
        found.map_err(|mut clash| {
            clash.at += self.cut;
            clash
        })
    }
}

struct Kinds<'a> {
    condition: &'a Condition,
    of: &'a dyn Fn(&str, &[String]) -> Kind,
    bound: Vec<String>,
}

impl Kinds<'_> {
    fn clash(&self, node: &IdedExpr, says: String) -> Clash {
        let at = self.condition.program.source_info().offset_for(node.id).map_or(0, |(start, _)| start as usize);
        Clash { says, at, function: false }
    }

    /// What the author wrote for a part, as far as it is a plain value or name.
    fn shown(node: &IdedExpr) -> Option<String> {
        match &node.expr {
            Expr::Ident(name) => Some(name.clone()),
            Expr::Select(select) => Some(format!("{}.{}", Self::shown(&select.operand)?, select.field)),
            Expr::Literal(LiteralValue::Int(value)) => Some(value.inner().to_string()),
            Expr::Literal(LiteralValue::Double(value)) => Some(value.inner().to_string()),
            Expr::Literal(LiteralValue::String(value)) => Some(format!("\"{}\"", value.inner())),
            Expr::Literal(LiteralValue::Boolean(value)) => Some(value.inner().to_string()),
            _ => None,
        }
    }

    fn named(node: &IdedExpr, kind: Kind) -> String {
        Self::shown(node)
            .map_or_else(|| format!("one side is {}", kind.says()), |name| format!("`{name}` is {}", kind.says()))
    }

    fn of(&mut self, node: &IdedExpr) -> Result<Kind, Clash> {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => Ok(Kind::Any),
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Kind::Truth,
                LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Kind::Number,
                LiteralValue::String(_) => Kind::Text,
                LiteralValue::Bytes(_) | LiteralValue::Null => Kind::Any,
            }),
            Expr::Ident(_) | Expr::Select(_) => self.name(node),
            Expr::List(list) => {
                for element in &list.elements {
                    self.of(element)?;
                }
                Ok(Kind::List)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.of(&entry.value)?;
                    }
                }
                Ok(Kind::Map)
            }
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(made) => {
                let over = self.of(&made.iter_range)?;
                if matches!(over, Kind::Number | Kind::Text | Kind::Truth) {
                    let says =
                        format!("{}, not a list: it has no items to look at", Self::named(&made.iter_range, over));
                    return Err(self.clash(node, says));
                }
                let before = self.bound.len();
                self.bound.push(made.iter_var.clone());
                self.bound.extend(made.iter_var2.clone());
                self.bound.push(made.accu_var.clone());
                let step = self.of(&made.loop_step);
                self.bound.truncate(before);
                step?;
                // `filter` and `map` collect a list, the other macros answer a question.
                Ok(if matches!(made.accu_init.expr, Expr::List(_)) { Kind::List } else { Kind::Truth })
            }
        }
    }

    fn name(&mut self, node: &IdedExpr) -> Result<Kind, Clash> {
        let mut fields = Vec::new();
        let mut at = node;
        let mut asked = false;
        while let Expr::Select(select) = &at.expr {
            asked |= select.test;
            fields.push(select.field.clone());
            at = &select.operand;
        }
        fields.reverse();
        let Expr::Ident(root) = &at.expr else {
            self.of(at)?;
            return Ok(if asked { Kind::Truth } else { Kind::Any });
        };
        if asked {
            return Ok(Kind::Truth);
        }
        if self.bound.contains(root) { Ok(Kind::Any) } else { Ok((self.of)(root, &fields)) }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Result<Kind, Clash> {
        let target = call.target.as_deref().map(|target| self.of(target)).transpose()?;
        let args = call.args.iter().map(|argument| self.of(argument)).collect::<Result<Vec<_>, _>>()?;
        match (call.func_name.as_str(), args.as_slice()) {
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                self.compared(node, call, (*left, *right), true)?;
                Ok(Kind::Truth)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.compared(node, call, (*left, *right), false)?;
                Ok(Kind::Truth)
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, found) => {
                for (argument, kind) in call.args.iter().zip(found) {
                    if !matches!(kind, Kind::Truth | Kind::Any) {
                        let says =
                            format!("{}, not true or false; compare it with something", Self::named(argument, *kind));
                        return Err(self.clash(argument, says));
                    }
                }
                Ok(Kind::Truth)
            }
            (operators::CONDITIONAL, [_, yes, no]) => Ok(if yes == no { *yes } else { Kind::Any }),
            (operators::ADD, [left, right]) if left == right => Ok(*left),
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                [left, right],
            ) => {
                for (argument, kind) in call.args.iter().zip([left, right]) {
                    if !matches!(kind, Kind::Number | Kind::Any)
                        && (call.func_name != operators::ADD || *left != Kind::Any && *right != Kind::Any)
                    {
                        let says = format!("{}: nothing can be calculated with it", Self::named(argument, *kind));
                        return Err(self.clash(node, says));
                    }
                }
                Ok(if *left == Kind::Any { *right } else { *left })
            }
            (operators::NEGATE, [kind]) => Ok(*kind),
            (operators::IN, [_, list]) => {
                if matches!(list, Kind::Number | Kind::Text | Kind::Truth) {
                    let fix = if *list == Kind::Text { "; for text write `text.contains(part)`" } else { "" };
                    let says = format!("{}, and `in` looks into a list{fix}", Self::named(&call.args[1], *list));
                    return Err(self.clash(node, says));
                }
                Ok(Kind::Truth)
            }
            (name, _) if name.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                self.function(node, call, target)
            }
            _ => Ok(Kind::Any),
        }
    }

    fn compared(
        &self,
        node: &IdedExpr,
        call: &CallExpr,
        (left, right): (Kind, Kind),
        order: bool,
    ) -> Result<(), Clash> {
        let known = left != Kind::Any && right != Kind::Any;
        let orders = |kind| matches!(kind, Kind::Number | Kind::Text | Kind::Any);
        if (!known || left == right) && (!order || orders(left) && orders(right)) {
            return Ok(());
        }
        let number = |node: &IdedExpr| match &node.expr {
            Expr::Literal(LiteralValue::String(text)) => {
                Some(text.inner().trim().to_owned()).filter(|text| text.parse::<f64>().is_ok())
            }
            _ => None,
        };
        let side = |wanted: Kind| [left, right].into_iter().zip(&call.args).find(|(kind, _)| *kind == wanted);
        let (list, truth) = (side(Kind::List), side(Kind::Truth));
        let fix = if let Some(number) = number(&call.args[0]).or_else(|| number(&call.args[1])) {
            format!("write `{number}` without quotes")
        } else if let Some((_, list)) = list.filter(|_| left == Kind::Number || right == Kind::Number) {
            format!("for how many it has write `size({})`", Self::shown(list).unwrap_or_else(|| "…".to_owned()))
        } else if let Some((_, truth)) = truth.filter(|_| known) {
            format!("write `{0}` or `!{0}` alone", Self::shown(truth).unwrap_or_else(|| "…".to_owned()))
        } else if let Some(name) = call.args.iter().filter_map(Self::shown).find(|name| name.starts_with("params.")) {
            format!("give `{name}` another type, or compare it with another value")
        } else {
            "compare values of one kind".to_owned()
        };
        let both = format!("{} and {}", Self::named(&call.args[0], left), Self::named(&call.args[1], right));
        Err(self.clash(node, format!("{both}, which can't be compared; {fix}")))
    }

    fn function(&self, node: &IdedExpr, call: &CallExpr, target: Option<Kind>) -> Result<Kind, Clash> {
        let name = call.func_name.as_str();
        let Some(function) = functions::find(name) else {
            let near = match name {
                "len" | "length" | "count" => "; did you mean `size`?".to_owned(),
                "float" | "number" => "; did you mean `double`?".to_owned(),
                "any" | "some" => "; did you mean `exists`?".to_owned(),
                "includes" => "; did you mean `contains`?".to_owned(),
                _ => hint(name, functions::FUNCTIONS.iter().map(|known| known.name)),
            };
            let near = if near.is_empty() {
                let all: Vec<&str> = functions::FUNCTIONS.iter().map(|known| known.name).collect();
                format!("; there are {}", all.join(", "))
            } else {
                near
            };
            let mut clash = self.clash(node, format!("there is no function `{name}`{near}"));
            clash.function = true;
            return Err(clash);
        };
        let needs_text = matches!(name, "contains" | "startsWith" | "endsWith" | "matches");
        if let (true, Some(kind), Some(on)) = (needs_text, target, call.target.as_deref())
            && !matches!(kind, Kind::Text | Kind::Any)
        {
            let fix = if kind == Kind::List { "; write `x in list`" } else { "" };
            return Err(self.clash(node, format!("{}, and `{name}` looks into text{fix}", Self::named(on, kind))));
        }
        Ok(function.gives)
    }
}

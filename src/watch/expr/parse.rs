//! Tokens to a tree.

use std::time::Duration;

use super::lex::{Token, place, tokens};
use super::{Aggregate, Error, Grouping, LabelMatch, Node, Op, Over, Query, Selector, Test};
use crate::core::duration::Span;

/// Deepest nesting of brackets and signs.
const DEEPEST: usize = 32;
/// Most selectors in one expression: each is a search through the series.
const MOST_SELECTORS: usize = 16;
/// Compiled size of a regular expression, in bytes.
const REGEX_SIZE: usize = 256 * 1024;

const OVER: [(&str, Over); 8] = [
    ("rate", Over::Rate),
    ("increase", Over::Increase),
    ("delta", Over::Delta),
    ("avg_over_time", Over::Avg),
    ("min_over_time", Over::Min),
    ("max_over_time", Over::Max),
    ("sum_over_time", Over::Sum),
    ("count_over_time", Over::Count),
];

const AGGREGATES: [(&str, Aggregate); 5] = [
    ("sum", Aggregate::Sum),
    ("avg", Aggregate::Avg),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("count", Aggregate::Count),
];

pub(super) fn query(text: &str) -> Result<Query, Error> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0, selectors: Vec::new() };
    let root = parser.sum()?;
    match parser.peek() {
        Token::End => Ok(Query { text: text.to_owned(), selectors: parser.selectors, root }),
        Token::Sign(sign @ ("==" | "!=" | ">" | "<" | ">=" | "<=")) => Err(parser.wrong(format!(
            "no `{sign}` inside an expression; a rule compares with its fields `comparison` and `threshold`"
        ))),
        other => Err(parser.wrong(format!("expected an operator or the end, not {}", other.shown()))),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    selectors: Vec<Selector>,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn offset(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn wrong(&self, why: impl Into<String>) -> Error {
        place(self.text, self.offset(), why)
    }

    fn sees(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(seen) if *seen == sign);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Error> {
        if self.sees(sign) {
            Ok(())
        } else {
            Err(self.wrong(format!("expected `{sign}`, not {}", self.peek().shown())))
        }
    }

    fn sum(&mut self) -> Result<Node, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(format!("nested more than {DEEPEST} deep")));
        }
        let mut left = self.product()?;
        loop {
            let at = self.offset();
            let op = if self.sees("+") {
                Op::Add
            } else if self.sees("-") {
                Op::Subtract
            } else {
                break;
            };
            let right = self.product()?;
            left = Node::Arithmetic { op, at, left: Box::new(left), right: Box::new(right) };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, Error> {
        let mut left = self.factor()?;
        loop {
            let at = self.offset();
            let op = if self.sees("*") {
                Op::Multiply
            } else if self.sees("/") {
                Op::Divide
            } else {
                return Ok(left);
            };
            let right = self.factor()?;
            left = Node::Arithmetic { op, at, left: Box::new(left), right: Box::new(right) };
        }
    }

    fn factor(&mut self) -> Result<Node, Error> {
        if self.sees("-") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(self.wrong(format!("nested more than {DEEPEST} deep")));
            }
            let of = self.factor()?;
            self.depth -= 1;
            return Ok(Node::Negated(Box::new(of)));
        }
        if self.sees("(") {
            let inner = self.sum()?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.peek().clone() {
            Token::Number(number) => {
                self.next += 1;
                Ok(Node::Number(number))
            }
            Token::Word(word) => self.word(&word),
            Token::Sign("{") => self.series(None, None),
            other => Err(self.wrong(format!("expected a number, a metric or a function, not {}", other.shown()))),
        }
    }

    fn word(&mut self, word: &str) -> Result<Node, Error> {
        let follows = self.tokens.get(self.next + 1).map_or(&Token::End, |(_, token)| token);
        let called = *follows == Token::Sign("(");
        let grouped = matches!(follows, Token::Word(next) if next == "by" || next == "without");
        if let Some((_, how)) = AGGREGATES.iter().find(|(name, _)| *name == word && (called || grouped)) {
            self.next += 1;
            return self.aggregate(*how);
        }
        if !called {
            self.next += 1;
            return self.series(Some(word.to_owned()), None);
        }
        if let Some((_, over)) = OVER.iter().find(|(name, _)| *name == word) {
            self.next += 2;
            let name = match self.peek().clone() {
                Token::Word(name) => {
                    self.next += 1;
                    Some(name)
                }
                _ => None,
            };
            let series = self.series(name, Some((word, *over)))?;
            self.expect(")")?;
            return Ok(series);
        }
        match word {
            "abs" => {
                self.next += 2;
                let of = self.sum()?;
                self.expect(")")?;
                Ok(Node::Absolute(Box::new(of)))
            }
            "histogram_quantile" => {
                self.next += 2;
                let Token::Number(quantile) = self.peek().clone() else {
                    return Err(self.wrong(format!("expected a number from 0 to 1, not {}", self.peek().shown())));
                };
                if !(0.0..=1.0).contains(&quantile) {
                    return Err(self.wrong("a quantile lies between 0 and 1"));
                }
                self.next += 1;
                self.expect(",")?;
                let of = self.sum()?;
                self.expect(")")?;
                Ok(Node::Quantile(quantile, Box::new(of)))
            }
            _ => Err(self.wrong(format!(
                "there is no function `{word}`; known are {}, {}, abs, histogram_quantile",
                OVER.map(|(name, _)| name).join(", "),
                AGGREGATES.map(|(name, _)| name).join(", ")
            ))),
        }
    }

    fn aggregate(&mut self, how: Aggregate) -> Result<Node, Error> {
        let before = self.grouping()?;
        self.expect("(")?;
        let of = Box::new(self.sum()?);
        self.expect(")")?;
        let after = if before.is_none() { self.grouping()? } else { None };
        let labels = before.or(after).unwrap_or(Grouping::By(Vec::new()));
        Ok(Node::Aggregate { how, labels, of })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Error> {
        let by = match self.peek() {
            Token::Word(word) if word == "by" => true,
            Token::Word(word) if word == "without" => false,
            _ => return Ok(None),
        };
        self.next += 1;
        self.expect("(")?;
        let mut labels = Vec::new();
        while let Token::Word(label) = self.peek().clone() {
            self.next += 1;
            labels.push(label);
            if !self.sees(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(Some(if by { Grouping::By(labels) } else { Grouping::Without(labels) }))
    }

    /// The rest of a selector, after its name.
    fn series(&mut self, name: Option<String>, over: Option<(&str, Over)>) -> Result<Node, Error> {
        let start = self.offset();
        let mut labels = Vec::new();
        if self.sees("{") {
            while !self.sees("}") {
                labels.push(self.label()?);
                if !self.sees(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if name.is_none() && labels.is_empty() {
            return Err(place(self.text, start, "expected a metric's name or at least one label"));
        }
        let range = if self.sees("[") { Some(self.range()?) } else { None };
        match (over, range) {
            (Some((function, _)), None) => {
                return Err(self.wrong(format!("`{function}` needs a range: write [5m] after the metric")));
            }
            (None, Some(_)) => return Err(self.wrong("a range needs a function around it, as rate(…[5m])")),
            _ => {}
        }
        if self.selectors.len() >= MOST_SELECTORS {
            return Err(self.wrong(format!("more than {MOST_SELECTORS} selectors in one expression")));
        }
        self.selectors.push(Selector { name, labels, range, over: over.map(|(_, over)| over) });
        Ok(Node::Series(self.selectors.len() - 1))
    }

    fn label(&mut self) -> Result<LabelMatch, Error> {
        let Token::Word(label) = self.take() else {
            self.next -= 1;
            return Err(self.wrong(format!("expected a label, not {}", self.peek().shown())));
        };
        let Token::Sign(sign @ ("=" | "!=" | "=~" | "!~")) = self.take() else {
            self.next -= 1;
            return Err(self.wrong(format!("expected =, !=, =~ or !~ after `{label}`")));
        };
        let Token::Text(value) = self.peek().clone() else {
            return Err(self.wrong(format!("expected a text in quotes, not {}", self.peek().shown())));
        };
        let test = match sign {
            "=" => Test::Is(value),
            "!=" => Test::IsNot(value),
            _ => {
                let regex = regex::RegexBuilder::new(&format!("^(?:{value})$")).size_limit(REGEX_SIZE).build();
                let regex = regex
                    .map_err(|_| self.wrong(format!("{value:?} is not a regular expression, or too large a one")))?;
                if sign == "=~" { Test::Like(regex) } else { Test::NotLike(regex) }
            }
        };
        self.next += 1;
        Ok(LabelMatch { label, test })
    }

    fn range(&mut self) -> Result<Duration, Error> {
        let span = match self.peek() {
            Token::Duration(text) => text.parse::<Span>().ok(),
            _ => None,
        };
        let Some(span) = span.filter(|span| span.0 >= Duration::from_secs(1)) else {
            return Err(self.wrong(format!("expected a duration like 30s, 5m or 1h, not {}", self.peek().shown())));
        };
        self.next += 1;
        self.expect("]")?;
        Ok(span.0)
    }
}

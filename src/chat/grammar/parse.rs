//! The parser, one function per shape of command.

use std::collections::BTreeMap;
use std::ops::Range;

use super::command::{BookAct, Command, Filter, Matcher, Operator, Verdict, Who};
use super::error::GrammarError;
use super::spec::{BOOK_ACTS, FILTERS, LEVELS, NEWEST, SPECS, Spec, VERDICTS, Verb};
use super::token::{Cursor, Token, Unclosed, is_double, unquote};
use crate::alert::Severity;
use crate::core::duration::Span;
use crate::core::message::command::grammar as say;
use crate::core::nearest::nearest;
use crate::core::{IncidentId, RunId};

/// A longer line is not a command. Generous: a metric expression or a reason can be long.
const LONGEST: usize = 8 * 1024;

/// Reads one command line: `/mayday ack INC-7`, `@mayday ack INC-7` or `ack INC-7`. An empty line is `help`.
///
/// # Errors
/// The place, what is wrong there, and what was probably meant.
pub fn parse(line: &str) -> Result<Command, GrammarError> {
    if line.len() > LONGEST {
        let what = say::line_too_long(line.len(), LONGEST);
        let cut = (0..=LONGEST).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        return Err(GrammarError { line: line[..cut].to_owned(), at: cut..cut, what, near: None, usage: None });
    }
    let mut parser = Parser { cursor: Cursor::new(after_name(line.trim())), spec: None };
    parser.command()
}

/// Finds a command in a message of a chat: the first line that begins with `/mayday` or `@mayday`. What stands in code
/// blocks, in inline code and in quoted lines is someone else's words and is passed over. None: not meant for Mayday.
#[must_use]
pub fn in_message(message: &str) -> Option<Result<Command, GrammarError>> {
    let mut fence: Option<&str> = None;
    for line in message.lines().map(str::trim) {
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark)) {
            match fence {
                Some(open) if open == mark => fence = None,
                // A block may open and close on one line.
                None if !line[mark.len()..].contains(mark) => fence = Some(mark),
                _ => {}
            }
            continue;
        }
        if fence.is_none() && is_addressed(line) {
            return Some(parse(line));
        }
    }
    None
}

fn is_addressed(line: &str) -> bool {
    after_name(line).len() != line.len()
}

/// The line without the name it calls Mayday by.
fn after_name(line: &str) -> &str {
    const NAME: &str = "mayday";
    let Some(rest) = line.strip_prefix(['/', '@']) else { return line };
    let Some(rest) = rest.get(..NAME.len()).filter(|name| name.eq_ignore_ascii_case(NAME)).map(|_| &rest[NAME.len()..])
    else {
        return line;
    };
    match rest.chars().next() {
        None => rest,
        Some(':' | ',') => rest[1..].trim_start(),
        Some(c) if c.is_whitespace() => rest.trim_start(),
        // `@maydayteam` is someone else.
        Some(_) => line,
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    spec: Option<&'static Spec>,
}

type Parsed<T> = Result<T, GrammarError>;

impl<'a> Parser<'a> {
    fn error(&self, at: Range<usize>, what: String) -> GrammarError {
        GrammarError { line: self.cursor.line.to_owned(), at, what, near: None, usage: self.spec.map(Spec::usage) }
    }

    fn near(&self, at: Range<usize>, what: String, near: Option<&str>) -> GrammarError {
        GrammarError { near: near.map(str::to_owned), ..self.error(at, what) }
    }

    fn unclosed(&self, Unclosed(open): Unclosed) -> GrammarError {
        let width = self.cursor.line[open..].chars().next().map_or(0, char::len_utf8);
        self.error(open..open + width, say::open_quote())
    }

    fn peek(&self) -> Parsed<Option<Token<'a>>> {
        self.cursor.peek().map_err(|error| self.unclosed(error))
    }

    /// The next word; if there is none, what was expected there.
    fn expect(&mut self, expected: &str) -> Parsed<Token<'a>> {
        let next = self.cursor.next().map_err(|error| self.unclosed(error))?;
        match next {
            Some(token) if !token.text.is_empty() => Ok(token),
            Some(token) => Err(self.error(token.at, say::expected(expected))),
            None => Err(self.missing(expected)),
        }
    }

    fn missing(&self, expected: &str) -> GrammarError {
        let end = self.cursor.line.len();
        self.error(end..end, say::missing(expected))
    }

    fn optional(&mut self) -> Parsed<Option<Token<'a>>> {
        let next = self.peek()?.filter(|token| !token.text.is_empty());
        if let Some(token) = &next {
            self.cursor.go_to(token.at.end);
        }
        Ok(next)
    }

    /// Nothing may be left.
    fn end(&self, command: Command) -> Parsed<Command> {
        match self.peek()? {
            None => Ok(command),
            Some(token) => Err(self.error(token.at.clone(), say::unexpected(token.raw))),
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let Some(word) = self.peek()? else { return Ok(Command::Help { about: None }) };
        self.cursor.go_to(word.at.end);
        let verb = self.verb(&word)?;
        self.spec = Some(verb.spec());
        let command = match verb {
            Verb::Help => {
                let about = match self.optional()? {
                    Some(word) => Some(self.verb(&word)?),
                    None => None,
                };
                Command::Help { about }
            }
            Verb::Incidents => {
                let filter = match self.optional()? {
                    None => Filter::Open,
                    Some(word) => [Filter::Open, Filter::All][self.choice(&word, FILTERS)?],
                };
                Command::Incidents { filter }
            }
            Verb::Show => Command::Show { incident: self.incident()? },
            Verb::Ack => Command::Ack { incident: self.incident()? },
            Verb::Assign => self.assign()?,
            Verb::Severity => {
                let incident = self.incident()?;
                let word = self.expect(say::A_SEVERITY)?;
                let severity = [Severity::Critical, Severity::Warning, Severity::Info][self.choice(&word, LEVELS)?];
                Command::Severity { incident, severity }
            }
            Verb::Resolve => Command::Resolve { incident: self.incident()? },
            Verb::Reopen => Command::Reopen { incident: self.incident()? },
            Verb::Silence => self.silence()?,
            Verb::Why => Command::Why { incident: self.incident()? },
            Verb::Ask => Command::Ask { question: self.need_text(say::A_QUESTION)? },
            Verb::Logs => self.logs()?,
            Verb::Metrics => {
                let (expression, span) = self.expression()?;
                Command::Metrics { expression, span }
            }
            Verb::Trace => Command::Trace { id: self.expect(say::A_TRACE)?.text },
            Verb::Topology => Command::Topology { service: self.expect(say::A_SERVICE)?.text },
            Verb::Anomalies => Command::Anomalies { service: self.optional()?.map(|word| word.text) },
            Verb::Forecast => {
                let (expression, span) = self.expression()?;
                Command::Forecast { expression, span }
            }
            Verb::Capacity => Command::Capacity { service: self.optional()?.map(|word| word.text) },
            Verb::Playbooks => {
                let playbook = self.optional()?.map(|word| word.text);
                Command::Playbooks { playbook, act: self.book_act()? }
            }
            Verb::Plan => {
                let (playbook, parameters, incident) = self.playbook()?;
                Command::Plan { playbook, parameters, incident }
            }
            Verb::Run => {
                let (playbook, parameters, incident) = self.playbook()?;
                Command::Run { playbook, parameters, incident }
            }
            Verb::Runs => {
                let run = match self.peek()? {
                    Some(_) => Some(self.run()?),
                    None => None,
                };
                Command::Runs { run }
            }
            Verb::Pause => Command::Pause { run: self.run()? },
            Verb::Resume => Command::Resume { run: self.run()? },
            Verb::Cancel => Command::Cancel { run: self.run()? },
            Verb::Retry => Command::Retry { run: self.run()? },
            Verb::Approve => {
                let (run, plan) = (self.run()?, self.flag("--plan")?);
                match self.flag("--break-glass")? {
                    // Without quotes the reason goes on to the end of the line.
                    Some(first) => {
                        let rest = self.text()?.map(|rest| format!(" {rest}")).unwrap_or_default();
                        Command::BreakGlass { run, plan, reason: format!("{first}{rest}") }
                    }
                    None => Command::Approve { run, plan, reason: self.text()? },
                }
            }
            Verb::Reject => {
                let (run, plan) = (self.run()?, self.flag("--plan")?);
                Command::Reject { run, plan, reason: self.text()? }
            }
            Verb::Answer => {
                let (run, task) = (self.run()?, self.flag("--task")?);
                Command::Answer { run, task, answer: self.need_text(say::AN_ANSWER)? }
            }
            Verb::Oncall => Command::Oncall { team: self.optional()?.map(|word| word.text) },
            Verb::Timeline => Command::Timeline { incident: self.incident()? },
            Verb::Postmortem => Command::Postmortem { incident: self.incident()? },
            Verb::Report => {
                let span = match self.peek()? {
                    Some(_) => Some(self.span()?),
                    None => None,
                };
                Command::Report { span }
            }
            Verb::Feedback => {
                let incident = self.incident()?;
                let word = self.expect(say::A_VERDICT)?;
                let verdict = [Verdict::Good, Verdict::Bad][self.choice(&word, VERDICTS)?];
                Command::Feedback { incident, verdict, text: self.text()? }
            }
            Verb::Schedule => Command::Schedule,
            Verb::Usage => Command::Usage,
            Verb::Health => Command::Health,
        };
        self.end(command)
    }

    fn verb(&self, word: &Token<'_>) -> Parsed<Verb> {
        Verb::find(&word.text).ok_or_else(|| {
            // `time` for `timeline`: an unfinished word is near as well.
            let unfinished =
                SPECS.iter().find(|spec| word.text.len() >= 3 && spec.name.starts_with(&*word.text.to_lowercase()));
            let near = unfinished.map(|spec| spec.name);
            let near = near.or_else(|| nearest(&word.text, SPECS.iter().map(|spec| spec.name)));
            self.near(word.at.clone(), say::not_a_command(word.raw), near)
        })
    }

    /// Which of the words it is; the first letters are enough if only one begins so.
    fn choice(&self, word: &Token<'_>, choices: &'static [&'static str]) -> Parsed<usize> {
        let begins =
            |choice: &&str| choice.get(..word.text.len()).is_some_and(|head| head.eq_ignore_ascii_case(&word.text));
        let mut found = choices.iter().enumerate().filter(|(_, choice)| begins(choice));
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            _ => {
                let near = nearest(&word.text, choices.iter().copied());
                Err(self.near(word.at.clone(), say::not_a_choice(word.raw, &choices.join(", ")), near))
            }
        }
    }

    /// What is done with a playbook's versions.
    fn book_act(&mut self) -> Parsed<BookAct> {
        let Some(word) = self.optional()? else { return Ok(BookAct::Show) };
        Ok(match self.choice(&word, BOOK_ACTS)? {
            0 => BookAct::History,
            1 => {
                let from = self.version()?;
                BookAct::Diff { from, to: if from.is_some() { self.version()? } else { None } }
            }
            _ => {
                let word = self.expect(say::A_VERSION)?;
                if word.text.eq_ignore_ascii_case(NEWEST) {
                    BookAct::Use { version: None }
                } else {
                    BookAct::Use { version: Some(self.number(&word)?) }
                }
            }
        })
    }

    fn version(&mut self) -> Parsed<Option<u32>> {
        match self.optional()? {
            Some(word) => self.number(&word).map(Some),
            None => Ok(None),
        }
    }

    fn number(&self, word: &Token<'_>) -> Parsed<u32> {
        let number = word.text.trim_start_matches(['v', 'V']).parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| self.near(word.at.clone(), say::not_a_version(word.raw), None))
    }

    /// An incident's id if the next word is one.
    fn incident(&mut self) -> Parsed<Option<IncidentId>> {
        let Some(word) = self.peek()? else { return Ok(None) };
        if word.quoted() {
            return Ok(None);
        }
        if let Ok(id) = word.text.parse() {
            self.cursor.go_to(word.at.end);
            return Ok(Some(id));
        }
        // `INC7`, `#7`, `inc 7` or a run: meant as an id, so better an error here than a puzzling one later.
        match meant_number(&word.text).filter(|_| word.text.parse::<RunId>().is_err()) {
            Some(number) => {
                let near = IncidentId::new(number).to_string();
                Err(self.near(word.at.clone(), say::not_an_incident(word.raw), Some(&near)))
            }
            None if word.text.parse::<RunId>().is_ok() => {
                Err(self.error(word.at.clone(), say::not_an_incident(word.raw)))
            }
            // Only an incident can stand here: say so.
            None if self.spec.is_some_and(|spec| spec.args.len() == 1) => {
                Err(self.error(word.at.clone(), say::not_an_incident(word.raw)))
            }
            None => Ok(None),
        }
    }

    fn need_incident(&mut self) -> Parsed<IncidentId> {
        let word = self.expect(say::AN_INCIDENT)?;
        word.text.parse().map_err(|_| {
            let near = meant_number(&word.text).map(|number| IncidentId::new(number).to_string());
            self.near(word.at.clone(), say::not_an_incident(word.raw), near.as_deref())
        })
    }

    fn run(&mut self) -> Parsed<RunId> {
        let word = self.expect(say::A_RUN)?;
        word.text.parse().map_err(|_| {
            let near = meant_number(&word.text).map(|number| RunId::new(number).to_string());
            self.near(word.at.clone(), say::not_a_run(word.raw), near.as_deref())
        })
    }

    fn span(&mut self) -> Parsed<Span> {
        let word = self.expect(say::A_SPAN)?;
        word.text.parse().map_err(|_| {
            // `2 h`: the unit is the next word.
            let unit = self.cursor.rest().split_whitespace().next().unwrap_or("");
            let near = format!("{}{unit}", word.text);
            let near = near.parse::<Span>().is_ok().then_some(near.as_str());
            self.near(word.at.clone(), say::not_a_span(word.raw), near)
        })
    }

    fn assign(&mut self) -> Parsed<Command> {
        let mut incident = self.incident()?;
        let word = self.expect(say::A_PERSON)?;
        let name = word.text.strip_prefix('@').unwrap_or(&word.text);
        if name.is_empty() {
            return Err(self.error(word.at.clone(), say::expected(say::A_PERSON)));
        }
        let to = if name.eq_ignore_ascii_case("me") { Who::Me } else { Who::Name(name.to_owned()) };
        if incident.is_none() && self.peek()?.is_some() {
            incident = Some(self.need_incident()?);
        }
        Ok(Command::Assign { incident, to })
    }

    fn logs(&mut self) -> Parsed<Command> {
        let service = self.expect(say::A_SERVICE)?.text;
        let span = self.peek()?.filter(|word| !word.quoted()).and_then(|word| word.text.parse::<Span>().ok());
        if span.is_some() {
            self.optional()?;
        }
        let mut words = Vec::new();
        while let Some(word) = self.optional()? {
            words.push(word.text);
        }
        Ok(Command::Logs { service, span, words })
    }

    fn silence(&mut self) -> Parsed<Command> {
        let mut matchers = Vec::new();
        while let Some(word) = self.peek()? {
            if !word.raw.contains(['=', '~']) {
                break;
            }
            self.cursor.go_to(word.at.end);
            self.matchers(&word, &mut matchers)?;
        }
        if matchers.is_empty() {
            let at = self.peek()?.map_or(self.cursor.line.len()..self.cursor.line.len(), |word| word.at);
            return Err(self.error(at, say::missing(say::A_MATCHER)));
        }
        Ok(Command::Silence { matchers, span: self.span()? })
    }

    /// `a=b,c!="d, e"`
    fn matchers(&self, word: &Token<'_>, found: &mut Vec<Matcher>) -> Parsed<()> {
        let line = self.cursor.line;
        let mut at = word.at.start;
        loop {
            let rest = &line[at..word.at.end];
            let length = rest.find(|c: char| !is_label(c)).unwrap_or(rest.len());
            let label = &rest[..length];
            let operators = [Operator::IsNot, Operator::Matches, Operator::MatchesNot, Operator::Is];
            let operator = operators.into_iter().find(|operator| rest[length..].starts_with(operator.as_str()));
            let (false, Some(operator)) = (label.is_empty(), operator) else {
                return Err(self.error(at..word.at.end, say::not_a_matcher(rest)));
            };
            at += length + operator.as_str().len();
            let mut value = String::new();
            while at < word.at.end {
                let Some(c) = line[at..].chars().next() else { break };
                if c == ',' {
                    break;
                }
                if value.is_empty() && (is_double(c) || c == '\'') {
                    let (text, after) = unquote(&line[..word.at.end], at).map_err(|error| self.unclosed(error))?;
                    value = text;
                    at = after;
                    if line[at..word.at.end].starts_with(|c| c != ',') {
                        return Err(self.error(at..word.at.end, say::not_a_matcher(&line[at..word.at.end])));
                    }
                } else {
                    value.push(c);
                    at += c.len_utf8();
                }
            }
            found.push(Matcher { label: label.to_owned(), operator, value });
            if at >= word.at.end {
                return Ok(());
            }
            // The comma.
            at += 1;
        }
    }

    fn playbook(&mut self) -> Parsed<(String, BTreeMap<String, String>, Option<IncidentId>)> {
        let playbook = self.expect(say::A_PLAYBOOK)?.text;
        let mut parameters = BTreeMap::new();
        let mut incident = None;
        loop {
            if incident.is_none()
                && let Some(word) = self.flag("--incident")?
            {
                let number = word.parse::<IncidentId>();
                let end = self.cursor.place();
                incident = Some(number.map_err(|_| self.error(end..end, say::not_an_incident(&word)))?);
                continue;
            }
            let Some(word) = self.optional()? else { break };
            let name = word.raw.split('=').next().unwrap_or_default();
            let named = name.len() < word.raw.len()
                && name.starts_with(|c| is_label(c) && c != '-')
                && name.chars().all(is_label);
            if !named {
                return Err(self.error(word.at.clone(), say::not_a_parameter(word.raw)));
            }
            // The name has no quotes, so it is as long in the text as in the line.
            let value = word.text[name.len() + 1..].to_owned();
            if parameters.insert(name.to_owned(), value).is_some() {
                return Err(self.error(word.at.clone(), say::given_twice(name)));
            }
        }
        Ok((playbook, parameters, incident))
    }

    /// `--name value` or `--name=value` if it stands next; an option that is unknown is an error here.
    fn flag(&mut self, name: &'static str) -> Parsed<Option<String>> {
        if !self.cursor.rest().starts_with("--") {
            return Ok(None);
        }
        let Some(word) = self.peek()? else { return Ok(None) };
        let given = word.raw.split('=').next().unwrap_or_default();
        if !given.eq_ignore_ascii_case(name) {
            let flags = self.spec.map_or(&[] as &[_], |spec| spec.flags);
            // Another one of this command: its turn comes.
            if flags.iter().skip_while(|flag| flag.name != name).any(|flag| flag.name.eq_ignore_ascii_case(given)) {
                return Ok(None);
            }
            let near = nearest(given, flags.iter().map(|flag| flag.name));
            return Err(self.near(word.at.clone(), say::not_a_flag(given), near));
        }
        self.cursor.go_to(word.at.end);
        // The option's name has no quotes, so it is as long in the text as in the line.
        match word.text.get(given.len() + 1..) {
            Some(value) if !value.is_empty() => Ok(Some(value.to_owned())),
            _ => Ok(Some(self.expect(&say::a_value_of(name))?.text)),
        }
    }

    fn need_text(&mut self, expected: &str) -> Parsed<String> {
        match self.text()? {
            Some(text) => Ok(text),
            None => Err(self.missing(expected)),
        }
    }

    /// The rest of the line, as it stands.
    fn text(&mut self) -> Parsed<Option<String>> {
        let start = self.cursor.place();
        let rest = self.cursor.rest();
        // An option hidden in the text would be lost, and with it what it binds.
        let flags = self.spec.map_or(&[] as &[_], |spec| spec.flags);
        let whole = self.quoted_rest();
        if whole.is_none()
            && let Some(word) = rest.split_whitespace().find(|word| flags.iter().any(|flag| is_flag(word, flag.name)))
        {
            let at = start + rest.find(word).unwrap_or(0);
            return Err(self.error(at..at + word.len(), say::flag_in_text(word)));
        }
        self.cursor.finish();
        let text = whole.unwrap_or_else(|| rest.to_owned());
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// What is left, without its quotes, if it is one quoted text.
    fn quoted_rest(&self) -> Option<String> {
        let start = self.cursor.place();
        if !self.cursor.line[start..].starts_with(is_double) {
            return None;
        }
        let (text, after) = unquote(self.cursor.line, start).ok()?;
        self.cursor.line[after..].trim().is_empty().then_some(text)
    }

    /// An expression and, if its last word is one, a span.
    fn expression(&mut self) -> Parsed<(String, Option<Span>)> {
        let start = self.cursor.place();
        let line = self.cursor.line;
        if line[start..].starts_with(is_double) {
            let word = self.expect(say::AN_EXPRESSION)?;
            let span = match self.peek()? {
                Some(_) => Some(self.span()?),
                None => None,
            };
            return Ok((word.text, span));
        }
        let rest = self.cursor.rest();
        if rest.is_empty() {
            return Err(self.missing(say::AN_EXPRESSION));
        }
        self.cursor.finish();
        Ok(split_span(rest))
    }
}

/// `up 1h` is the expression `up` and the span `1h`; `up offset 1h` is all expression.
pub(super) fn split_span(text: &str) -> (String, Option<Span>) {
    if let Some((expression, last)) = text.rsplit_once(char::is_whitespace)
        && let Ok(span) = last.parse::<Span>()
    {
        let expression = expression.trim_end();
        let before = expression.rsplit(char::is_whitespace).next().unwrap_or_default();
        if !expression.is_empty() && !before.eq_ignore_ascii_case("offset") {
            return (expression.to_owned(), Some(span));
        }
    }
    (text.to_owned(), None)
}

fn is_flag(word: &str, name: &str) -> bool {
    word.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
        && matches!(word.as_bytes().get(name.len()), None | Some(b'='))
}

/// Characters of a label's or parameter's name.
pub(super) fn is_label(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':')
}

/// The number in `INC7`, `#7`, `inc_7`, `RUN-7`, `INC–7`: an id that is nearly right.
fn meant_number(text: &str) -> Option<u64> {
    let lower = text.to_lowercase();
    let rest = lower.strip_prefix("inc").or_else(|| lower.strip_prefix("run")).or_else(|| lower.strip_prefix('#'))?;
    rest.trim_start_matches(['-', '_', '–', '—', '#', ':']).parse().ok()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;

//! `Run_Command`: one allow-listed program with its fixed arguments, and the playbook's if each matches an allowed pattern.
//! No shell, no environment of ours, bounded output and time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::here::Here;
use super::off_loop::Left;
use super::program::{self, Failure, Program, Ran};
use super::trust::{self, Trust};
use super::{Problem, json as to_json, parameters, target};
use crate::core::duration::Span;
use crate::core::message::action as say;
use crate::core::redact::redact;
use crate::core::{BoxFuture, digest, text};
use crate::playbook::Action;
use crate::playbook::action::{Change, Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "Run_Command";
/// Longest argument, bytes.
const ARGUMENT: usize = 256;
/// Lines of a failed program's output that are told.
const SAID: usize = 4;

/// A program that playbooks may run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What playbooks call it.
    pub name: String,
    /// Absolute path of the program. Shells are refused; with `allow_args` also interpreters and programs that run others.
    pub path: PathBuf,
    /// Arguments that always come first.
    #[serde(default)]
    pub args: Vec<String>,
    /// Patterns (regular expressions over the whole argument) for what a playbook may add; none: it may add nothing. An
    /// argument that begins with `-` needs a pattern that begins with `-`.
    #[serde(default)]
    pub allow_args: Vec<String>,
    /// Most arguments a playbook may add.
    #[serde(default = "eight")]
    pub max_args: usize,
    /// Its whole environment; without one it gets `PATH=/usr/bin:/bin`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Folder it starts in; `/` when missing.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Killed after this long.
    #[serde(default = "thirty_seconds")]
    pub timeout: Span,
    /// Bytes kept of each of its outputs.
    #[serde(default = "kept")]
    pub max_output_bytes: usize,
    /// Whether running it twice is the same as once: then it is repeated after a crash, else a person is asked.
    #[serde(default)]
    pub idempotent: bool,
    /// The name of the program on this list that takes back what this one did: with `rollback: inverse` it runs with the
    /// same arguments from the playbook, which its own `allow_args` must allow. That of an idempotent program must be idempotent
    /// itself: where nobody knows whether the program ran, it is run all the same.
    #[serde(default)]
    pub undo: Option<String>,
}

const fn eight() -> usize {
    8
}
const fn thirty_seconds() -> Span {
    Span::from_secs(30)
}
const fn kept() -> usize {
    16 * 1024
}

/// The allow-list with its patterns compiled.
pub struct Allowed(HashMap<String, (Command, Vec<Pattern>)>);

/// One of `allow_args`.
struct Pattern {
    regex: Regex,
    /// Whether it is meant for options: it begins with a `-` of its own.
    options: bool,
}

impl Pattern {
    fn allows(&self, arg: &str) -> bool {
        (self.options || !arg.starts_with('-')) && self.regex.is_match(arg)
    }
}

/// The executor.
pub struct RunCommand {
    allowed: Allowed,
    here: Here,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    program: String,
    #[serde(default)]
    args: Vec<Value>,
    /// It takes back what another did, so nothing takes it back. Only [`Action::inverse`] says so.
    #[serde(default)]
    undoes: bool,
    /// The program that people approved as the undo. Only [`Action::inverse`] says so.
    #[serde(default)]
    bound: Option<Bound>,
    /// Where what is undone was done. Only [`Action::inverse`] says so.
    #[serde(default)]
    machine: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Target {
    program: String,
    args: Vec<String>,
    /// Where, among several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    /// What `program` stood for when people approved it; targets of before 0.2 do not say.
    #[serde(default)]
    bound: Option<Bound>,
    /// What takes it back, as it was when people approved it.
    #[serde(default)]
    undo: Option<String>,
    /// What `undo` stood for then.
    #[serde(default)]
    undo_bound: Option<Bound>,
}

/// What a name of the list stands for: nothing else is run under an approval. Arguments and environment may hold secrets,
/// so only their digest is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    path: PathBuf,
    setting: String,
}

impl Bound {
    fn of(program: &Program) -> Self {
        let count = program.args.len().to_string();
        let cwd = program.cwd.as_os_str().as_encoded_bytes();
        let env = program.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let args = program.args.iter().map(String::as_bytes);
        let parts = [cwd, count.as_bytes()].into_iter().chain(args).chain(env);
        Self { path: program.path.clone(), setting: digest::of_parts(parts) }
    }

    /// # Errors
    /// The list has something else under this name by now; nothing happened.
    fn check(approved: Option<&Self>, name: &str, program: &Program) -> Result<(), Error> {
        match approved {
            Some(approved) if *approved != Self::of(program) => Err(Error::Permanent(say::command_changed(name))),
            _ => Ok(()),
        }
    }
}

/// Checks the allow-list.
///
/// # Errors
/// Every mistake in it.
pub fn check(commands: &[Command]) -> Result<Allowed, Vec<Problem>> {
    let mut wrong = Vec::new();
    let mut allowed = HashMap::new();
    let at = |row: usize, why: String| Problem::at(format!("actions.commands[{row}]"), why);
    for (row, command) in commands.iter().enumerate() {
        let mut bad = |why: String| wrong.push(at(row, format!("{}: {why}", command.name)));
        if !command.path.is_absolute() {
            bad(format!("`{}` is not an absolute path", command.path.display()));
        }
        match trust::of(&command.path) {
            Trust::Shell => bad(say::command_is_a_shell()),
            Trust::RunsOthers if !command.allow_args.is_empty() => bad(say::command_runs_others()),
            Trust::RunsOthers | Trust::Plain => {}
        }
        let mut patterns = Vec::new();
        for pattern in &command.allow_args {
            match Regex::new(&format!("\\A(?:{pattern})\\z")) {
                Ok(regex) => patterns.push(Pattern { regex, options: trust::allows_options(pattern) }),
                // Its last line says what; those before it draw where, over several lines.
                Err(error) => {
                    let error = error.to_string();
                    let what = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    bad(format!("the pattern `{pattern}` is not valid: {what}"));
                }
            }
        }
        if allowed.insert(command.name.clone(), (command.clone(), patterns)).is_some() {
            bad("the name is used twice".to_owned());
        }
    }
    for (row, command) in commands.iter().enumerate() {
        let Some(undo) = &command.undo else { continue };
        match allowed.get(undo).filter(|_| *undo != command.name) {
            None => wrong.push(at(row, say::command_undo_unknown(&command.name, undo))),
            Some((undoes, _)) if command.idempotent && !undoes.idempotent => {
                wrong.push(at(row, say::command_undo_once(&command.name, undo)));
            }
            Some(_) => {}
        }
    }
    if wrong.is_empty() { Ok(Allowed(allowed)) } else { Err(wrong) }
}

impl RunCommand {
    /// Runs what is on this list and nothing else.
    #[must_use]
    pub fn new(allowed: Allowed) -> Self {
        Self { allowed, here: Here::default() }
    }

    /// On this machine, which is one of several.
    #[must_use]
    pub fn on(self, here: Here) -> Self {
        Self { here, ..self }
    }

    fn resolve(&self, name: &str, args: &[String]) -> Result<(&Command, Program), Error> {
        let refuse = |why: String| Error::Permanent(format!("{KIND} `{}`: {why}", text::capped(name, 80)));
        let Some((command, patterns)) = self.allowed.0.get(name) else {
            let mut known: Vec<&str> = self.allowed.0.keys().map(String::as_str).collect();
            known.sort_unstable();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            return Err(refuse(format!("not on the list of allowed programs (actions.commands has {known})")));
        };
        if args.len() > command.max_args {
            return Err(refuse(format!("{} arguments, at most {} are allowed", args.len(), command.max_args)));
        }
        for arg in args {
            let fits =
                arg.len() <= ARGUMENT && !arg.contains('\0') && patterns.iter().any(|pattern| pattern.allows(arg));
            if !fits {
                return Err(refuse(say::argument_refused(&text::capped(arg, 80), arg.starts_with('-'))));
            }
        }
        let env = if command.env.is_empty() {
            BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())])
        } else {
            command.env.clone()
        };
        let program = Program {
            path: command.path.clone(),
            args: command.args.iter().chain(args).cloned().collect(),
            env,
            cwd: command.cwd.clone().unwrap_or_else(|| "/".into()),
            timeout: command.timeout.0,
            max_output: command.max_output_bytes.min(256 * 1024),
        };
        Ok((command, program))
    }
}

/// An argument as text: playbooks may write numbers.
fn argument(value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(Error::Permanent(format!("{KIND}: an argument must be text or a number"))),
    }
}

/// The last of what a program said, for the person who decides whether it did its work.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(SAID)..].join(" / ");
    text::capped(&last, 600)
}

/// What a run of a program is as the output of a task, or why it counts as failed.
pub(super) fn outcome(ran: Result<Ran, Failure>) -> Result<Value, Error> {
    match ran {
        Ok(ran) => {
            let (stdout, stderr) = (redact(&ran.stdout), redact(&ran.stderr));
            match ran.exit_code {
                Some(0) => Ok(json!({
                    "exit_code": 0,
                    "stdout": stdout,
                    "stderr": stderr,
                    "truncated": ran.truncated,
                    "took_ms": ran.took.as_millis(),
                })),
                code => {
                    let how = code.map_or_else(
                        || "was ended by a signal".to_owned(),
                        |code| format!("ended with exit code {code}"),
                    );
                    let said = if stderr.trim().is_empty() { stdout } else { stderr };
                    // It ran, and how far it came only it knows: nobody may take it for something that did not happen.
                    Err(Error::InDoubt(say::program_failed(&how, &last_lines(&said))))
                }
            }
        }
        Err(Failure::NotStarted { why, passes: true }) => Err(Error::Transient(why)),
        Err(Failure::NotStarted { why, passes: false }) => Err(Error::Permanent(why)),
        Err(Failure::TimedOut(after)) => {
            Err(Error::InDoubt(format!("the program did not end within {} and was killed", Span(after))))
        }
    }
}

impl Action for RunCommand {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, value: &Value) -> Settle {
        let Ok(Target { program: name, args, machine, bound, .. }) = target(KIND, value) else {
            return Settle::AskPerson;
        };
        if !self.here.is(machine.as_deref()) {
            return Settle::AskPerson;
        }
        match self.resolve(&name, &args) {
            // What the list says of another program is not said of the one that may have run.
            Ok((command, program)) if command.idempotent && Bound::check(bound.as_ref(), &name, &program).is_ok() => {
                Settle::Repeat
            }
            _ => Settle::AskPerson,
        }
    }

    fn ends_with_mayday(&self) -> bool {
        true
    }

    fn default_timeout(&self) -> Duration {
        // The program's own limit comes first, so that its group is killed and the outcome is honest.
        let longest = self.allowed.0.values().map(|(command, _)| command.timeout.0).max();
        longest.unwrap_or_default() + Duration::from_secs(5)
    }

    fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(async move {
            let Parameters { program: name, args, undoes, bound, machine } = parameters(KIND, value)?;
            self.here.check(machine.as_deref())?;
            let args: Vec<String> = args.iter().map(argument).collect::<Result<_, _>>()?;
            let (command, program) = self.resolve(&name, &args)?;
            Bound::check(bound.as_ref(), &name, &program)?;
            let undo = command.undo.clone().filter(|_| !undoes);
            // What the undoing program would refuse is known before anyone approves.
            let undo_bound = match &undo {
                Some(undo) => Some(Bound::of(&self.resolve(undo, &args)?.1)),
                None => None,
            };
            let line = format!("{} {}", program.path.display(), program.args.join(" "));
            Ok(Planned {
                object: self.here.object(format!("program {}", command.name)),
                changes: vec![Change {
                    field: "run".to_owned(),
                    before: "not run".to_owned(),
                    after: redact(&line).into_owned(),
                }],
                radius: say::command_radius(&command.name),
                undo: undo.as_deref().map(say::command_undo),
                details: vec![text::capped(&redact(&line), 400)],
                target: to_json(&Target {
                    program: name,
                    args,
                    machine: self.here.name(),
                    bound: Some(Bound::of(&program)),
                    undo,
                    undo_bound,
                }),
            })
        })
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            // Looked up again: the list may have become shorter since the plan, or say something else.
            let Target { program: name, args, machine, bound, .. } = target(KIND, &intent.target)?;
            self.here.check(machine.as_deref())?;
            let (_, program) = self.resolve(&name, &args)?;
            Bound::check(bound.as_ref(), &name, &program)?;
            outcome(program::run(&program, Left::of(context, intent)).await).map(Perform::Done)
        })
    }

    /// Arguments and environment of the list may hold secrets, so that the plan does not show all of them.
    fn same_undo(&self, approved: &Planned, now: &Planned) -> bool {
        match (target::<Target>(KIND, &approved.target), target::<Target>(KIND, &now.target)) {
            (Ok(approved), Ok(now)) => approved.bound == now.bound,
            _ => false,
        }
    }

    fn inverse(&self, value: &Value, _: &Value) -> Option<Value> {
        let Target { args, machine, undo, undo_bound, .. } = target(KIND, value).ok()?;
        let mut parameters = json!({"program": undo?, "args": args, "undoes": true});
        if let Some(bound) = undo_bound {
            parameters["bound"] = to_json(&bound);
        }
        if let Some(machine) = machine {
            parameters["machine"] = json!(machine);
        }
        Some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::testing::{carry_out, context, intent};

    fn command(name: &str, path: &str) -> Command {
        Command {
            name: name.into(),
            path: path.into(),
            args: vec![],
            allow_args: vec![],
            max_args: 2,
            env: BTreeMap::new(),
            cwd: None,
            timeout: Span::from_secs(5),
            max_output_bytes: 1000,
            idempotent: false,
            undo: None,
        }
    }

    fn action() -> RunCommand {
        let echo = Command {
            args: vec!["fixed".into()],
            allow_args: vec!["[a-z]+".into(), "[0-9]{1,3}".into()],
            ..command("echo", "/bin/echo")
        };
        let fail = Command { args: vec!["/nonexistent/token=abcdef".into()], ..command("fail", "/bin/ls") };
        let hang =
            Command { args: vec!["60".into()], timeout: "200ms".parse().unwrap(), ..command("hang", "/bin/sleep") };
        let twice = Command { idempotent: true, ..command("true", "/bin/true") };
        RunCommand::new(check(&[echo, fail, hang, twice]).unwrap())
    }

    #[tokio::test]
    async fn it_runs_what_is_listed_with_allowed_arguments() {
        let output = carry_out(&action(), json!({"program": "echo", "args": ["abc", 12]})).await.unwrap();
        assert_eq!((&output["stdout"], &output["exit_code"]), (&json!("fixed abc 12\n"), &json!(0)));
    }

    #[tokio::test]
    async fn nothing_else_runs_and_no_argument_gets_around_its_pattern() {
        for wrong in [
            json!({"program": "rm"}),
            json!({"program": "/bin/echo"}),
            json!({"program": "echo", "args": ["--help"]}),
            json!({"program": "echo", "args": ["abc; rm -rf /"]}),
            json!({"program": "echo", "args": ["abc\n"]}),
            json!({"program": "echo", "args": ["abc\n--x"]}),
            json!({"program": "echo", "args": ["a\u{0}b"]}),
            json!({"program": "echo", "args": ["a", "b", "c"]}),
            json!({"program": "echo", "args": [["a"]]}),
            json!({"program": "true", "args": ["a"]}),
            json!({"program": "echo", "env": {"LD_PRELOAD": "x"}}),
        ] {
            let refused = carry_out(&action(), wrong.clone()).await;
            assert!(matches!(refused, Err(Error::Permanent(_))), "{wrong}: {refused:?}");
        }
        // A target that got into the journal by another way meets the same list.
        let planted = intent(json!({"program": "echo", "args": ["$(id)"]}));
        assert!(matches!(action().perform(&context(), &planted).await, Err(Error::Permanent(_))));
    }

    #[tokio::test]
    async fn an_undo_that_reads_the_same_is_another_where_its_program_is_given_another_secret() {
        let with = |secret: &str| {
            let env = BTreeMap::from([("TOKEN".to_owned(), secret.to_owned())]);
            RunCommand::new(check(&[Command { env, ..command("back", "/bin/true") }]).unwrap())
        };
        let (one, other) = (with("one"), with("other"));
        let (context, parameters) = (context(), json!({"program": "back"}));
        let seen = one.plan(&context, &parameters).await.unwrap();
        let now = other.plan(&context, &parameters).await.unwrap();
        assert_eq!(seen.changes, now.changes);
        assert!(one.same_undo(&seen, &seen) && !other.same_undo(&seen, &now));
    }

    #[tokio::test]
    async fn failure_says_why_without_secrets_and_a_timeout_leaves_a_doubt() {
        let failed = carry_out(&action(), json!({"program": "fail"})).await.unwrap_err();
        let Error::InDoubt(why) = failed else { panic!("it ran, so it may have changed something: {failed:?}") };
        assert!(why.contains("exit code 2") && why.contains("[redacted]") && !why.contains("abc"), "{why}");
        assert!(matches!(carry_out(&action(), json!({"program": "hang"})).await, Err(Error::InDoubt(_))));
        assert_eq!(action().settle(&json!({"program": "hang", "args": []})), Settle::AskPerson);
        assert_eq!(action().settle(&json!({"program": "true", "args": []})), Settle::Repeat);
    }

    #[tokio::test]
    async fn its_undo_runs_with_the_same_arguments_which_both_must_allow() {
        let raise =
            Command { allow_args: vec!["[a-z]+".into()], undo: Some("lower".into()), ..command("raise", "/bin/echo") };
        let lower =
            Command { args: vec!["lower".into()], allow_args: vec!["[a-c]+".into()], ..command("lower", "/bin/echo") };
        let action = RunCommand::new(check(&[raise.clone(), lower, command("once", "/bin/true")]).unwrap());
        let planned = action.plan(&context(), &json!({"program": "raise", "args": ["abc"]})).await.unwrap();
        assert_eq!(planned.undo.unwrap(), "`lower` with the same arguments");
        let parameters = action.inverse(&planned.target, &Value::Null).unwrap();
        assert_eq!(carry_out(&action, parameters).await.unwrap()["stdout"], "lower abc\n");
        let refused = action.plan(&context(), &json!({"program": "raise", "args": ["xyz"]})).await;
        assert!(matches!(&refused, Err(Error::Permanent(why)) if why.contains("`lower`")), "{refused:?}");
        assert_eq!(action.inverse(&json!({"program": "once", "args": []}), &Value::Null), None);
        // What people approved counts, not what the list says by then; and an undo is not itself undone.
        let other = Command { undo: Some("once".into()), ..raise.clone() };
        let lower = |undo: &str| Command {
            args: vec!["lower".into()],
            allow_args: vec!["[a-c]+".into()],
            undo: Some(undo.into()),
            ..command("lower", "/bin/echo")
        };
        let later = RunCommand::new(check(&[other, lower("once"), command("once", "/bin/true")]).unwrap());
        let parameters = later.inverse(&planned.target, &Value::Null).unwrap();
        assert_eq!(parameters["program"], "lower");
        assert_eq!(later.plan(&context(), &parameters).await.unwrap().undo, None);
        // An undo that may follow what never happened must be one that does no harm then.
        let repeated = Command { idempotent: true, ..raise.clone() };
        let wrong = check(&[repeated.clone(), lower("once"), command("once", "/bin/true")]).err().unwrap();
        assert!(wrong.len() == 1 && wrong[0].why.contains("`lower` is not"), "{wrong:?}");
        assert!(check(&[repeated, Command { idempotent: true, ..command("lower", "/bin/true") }]).is_ok());
        let itself = Command { undo: Some("raise".into()), ..raise.clone() };
        assert!(check(&[itself]).err().unwrap()[0].why.contains("not another program of the list"));
        assert_eq!(check(&[raise]).err().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_was_approved_runs_and_nothing_that_the_list_says_by_then() {
        let list = |raise: Command, lower: Command| RunCommand::new(check(&[raise, lower]).unwrap());
        let raise =
            || Command { undo: Some("lower".into()), args: vec!["raised".into()], ..command("raise", "/bin/echo") };
        let lower = || command("lower", "/bin/true");
        let then = list(raise(), lower());
        let planned = then.plan(&context(), &json!({"program": "raise"})).await.unwrap();
        assert!(then.perform(&context(), &intent(planned.target.clone())).await.is_ok());
        for other in [
            Command { path: "/bin/true".into(), ..raise() },
            Command { args: vec!["lowered".into()], ..raise() },
            Command { env: BTreeMap::from([("A".into(), "b".into())]), ..raise() },
            Command { cwd: Some("/tmp".into()), ..raise() },
        ] {
            let refused = list(other, lower()).perform(&context(), &intent(planned.target.clone())).await;
            assert!(matches!(&refused, Err(Error::Permanent(why)) if why.contains("nothing was run")), "{refused:?}");
        }
        // What runs it twice is judged by the program that may have run.
        let repeats = list(Command { idempotent: true, undo: None, path: "/bin/true".into(), ..raise() }, lower());
        assert_eq!(repeats.settle(&planned.target), Settle::AskPerson);
        // The undo too is the one that people saw.
        let undo = then.inverse(&planned.target, &Value::Null).unwrap();
        assert!(then.plan(&context(), &undo).await.is_ok());
        let refused = list(raise(), command("lower", "/bin/false")).plan(&context(), &undo).await;
        assert!(matches!(&refused, Err(Error::Permanent(why)) if why.contains("nothing was run")), "{refused:?}");
        // What an earlier version stored is still carried out.
        assert!(then.perform(&context(), &intent(json!({"program": "raise", "args": []}))).await.is_ok());
    }

    #[tokio::test]
    async fn an_option_needs_a_pattern_that_begins_with_one() {
        let echo = |pattern: &str| {
            let echo = Command { allow_args: vec![pattern.into()], ..command("echo", "/bin/echo") };
            RunCommand::new(check(&[echo]).unwrap())
        };
        let minus = json!({"program": "echo", "args": ["-n"]});
        for pattern in [".*", "(-n|x)", "[-a-z]+", "-x|.*"] {
            let refused = carry_out(&echo(pattern), minus.clone()).await.unwrap_err();
            assert!(refused.to_string().contains("begins with `-`"), "{pattern}: {refused}");
        }
        for pattern in ["-[a-z]", "-n|-e", "^-(n|e)$", r"\-n"] {
            assert!(carry_out(&echo(pattern), minus.clone()).await.is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_list_with_mistakes_names_each() {
        let bad = Command { allow_args: vec!["(".into()], ..command("a", "relative") };
        let shell = command("b", "/bin/sh");
        let wrong = check(&[bad, shell, command("b", "/bin/true")]).err().unwrap();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
    }
}

//! `Run_Command`: one allow-listed program with its fixed arguments, and the playbook's if each matches an allowed pattern.
//! No shell, no environment of ours, bounded output and time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::program::{self, Failure, Program, Ran};
use super::{json as to_json, parameters, target};
use crate::core::duration::Span;
use crate::core::message::action as say;
use crate::core::redact::redact;
use crate::core::{BoxFuture, text};
use crate::playbook::Action;
use crate::playbook::action::{Change, Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "Run_Command";
/// Longest argument, bytes.
const ARGUMENT: usize = 256;

/// A program that playbooks may run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What playbooks call it.
    pub name: String,
    /// Absolute path of the program. Shells are refused.
    pub path: PathBuf,
    /// Arguments that always come first.
    #[serde(default)]
    pub args: Vec<String>,
    /// Patterns (regular expressions over the whole argument) for what a playbook may add; none: it may add nothing.
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
pub struct Allowed(HashMap<String, (Command, Vec<Regex>)>);

/// The executor.
pub struct RunCommand {
    allowed: Allowed,
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
}

#[derive(Serialize, Deserialize)]
struct Target {
    program: String,
    args: Vec<String>,
    /// What takes it back, as it was when people approved it.
    #[serde(default)]
    undo: Option<String>,
}

/// Checks the allow-list.
///
/// # Errors
/// Every mistake in it.
pub fn check(commands: &[Command]) -> Result<Allowed, Vec<String>> {
    let mut wrong = Vec::new();
    let mut allowed = HashMap::new();
    for command in commands {
        let mut bad = |why: String| wrong.push(format!("actions.commands: {}: {why}", command.name));
        if !command.path.is_absolute() {
            bad(format!("`{}` is not an absolute path", command.path.display()));
        }
        // A link to a shell is a shell.
        let real = std::fs::canonicalize(&command.path).unwrap_or_else(|_| command.path.clone());
        let names = [&command.path, &real].map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        let shells = ["sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "env", "sudo", "xargs"];
        if !command.allow_args.is_empty() && names.iter().flatten().any(|name| shells.contains(&name.as_str())) {
            bad("a shell with arguments from a playbook could run anything; name the program itself".to_owned());
        }
        let mut patterns = Vec::new();
        for pattern in &command.allow_args {
            match Regex::new(&format!("\\A(?:{pattern})\\z")) {
                Ok(regex) => patterns.push(regex),
                Err(error) => bad(format!("the pattern `{pattern}` is not valid: {error}")),
            }
        }
        if allowed.insert(command.name.clone(), (command.clone(), patterns)).is_some() {
            bad("the name is used twice".to_owned());
        }
    }
    for (command, _) in allowed.values() {
        let Some(undo) = &command.undo else { continue };
        match allowed.get(undo).filter(|_| *undo != command.name) {
            None => wrong.push(say::command_undo_unknown(&command.name, undo)),
            Some((undoes, _)) if command.idempotent && !undoes.idempotent => {
                wrong.push(say::command_undo_once(&command.name, undo));
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
        Self { allowed }
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
                arg.len() <= ARGUMENT && !arg.contains('\0') && patterns.iter().any(|pattern| pattern.is_match(arg));
            if !fits {
                return Err(refuse(format!(
                    "the argument `{}` matches no pattern of its allow_args",
                    text::capped(arg, 80)
                )));
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
                    let said = said.trim().lines().last().unwrap_or_default().to_owned();
                    Err(Error::Permanent(format!("the program {how}: {}", text::capped(&said, 300))))
                }
            }
        }
        Err(Failure::NotStarted(why)) => Err(Error::Permanent(why)),
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
        let idempotent = target::<Target>(KIND, value)
            .ok()
            .and_then(|target| self.allowed.0.get(&target.program).map(|(command, _)| command.idempotent));
        if idempotent == Some(true) { Settle::Repeat } else { Settle::AskPerson }
    }

    fn default_timeout(&self) -> Duration {
        // The program's own limit comes first, so that its group is killed and the outcome is honest.
        let longest = self.allowed.0.values().map(|(command, _)| command.timeout.0).max();
        longest.unwrap_or_default() + Duration::from_secs(5)
    }

    fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(async move {
            let Parameters { program: name, args, undoes } = parameters(KIND, value)?;
            let args: Vec<String> = args.iter().map(argument).collect::<Result<_, _>>()?;
            let (command, program) = self.resolve(&name, &args)?;
            let undo = command.undo.clone().filter(|_| !undoes);
            // What the undoing program would refuse is known before anyone approves.
            if let Some(undo) = &undo {
                self.resolve(undo, &args)?;
            }
            let line = format!("{} {}", program.path.display(), program.args.join(" "));
            Ok(Planned {
                object: format!("program {}", command.name),
                changes: vec![Change {
                    field: "run".to_owned(),
                    before: "not run".to_owned(),
                    after: redact(&line).into_owned(),
                }],
                radius: say::command_radius(&command.name),
                undo: undo.as_deref().map(say::command_undo),
                details: vec![text::capped(&redact(&line), 400)],
                target: to_json(&Target { program: name, args, undo }),
            })
        })
    }

    fn perform<'a>(&'a self, _: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            // Looked up again: the list may have become shorter since the plan.
            let Target { program, args, .. } = target(KIND, &intent.target)?;
            let (_, program) = self.resolve(&program, &args)?;
            outcome(program::run(&program).await).map(Perform::Done)
        })
    }

    fn inverse(&self, value: &Value, _: &Value) -> Option<Value> {
        let Target { args, undo, .. } = target(KIND, value).ok()?;
        Some(json!({"program": undo?, "args": args, "undoes": true}))
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
        let fail =
            Command { args: vec!["-c".into(), "echo token=abc >&2; exit 4".into()], ..command("fail", "/bin/sh") };
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
    async fn failure_says_why_without_secrets_and_a_timeout_leaves_a_doubt() {
        let failed = carry_out(&action(), json!({"program": "fail"})).await.unwrap_err();
        assert_eq!(failed, Error::Permanent("the program ended with exit code 4: token=[redacted]".into()));
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
        assert!(wrong.len() == 1 && wrong[0].contains("`lower` is not"), "{wrong:?}");
        assert!(check(&[repeated, Command { idempotent: true, ..command("lower", "/bin/true") }]).is_ok());
        let itself = Command { undo: Some("raise".into()), ..raise.clone() };
        assert!(check(&[itself]).err().unwrap()[0].contains("not another program of the list"));
        assert_eq!(check(&[raise]).err().unwrap().len(), 1);
    }

    #[test]
    fn a_list_with_mistakes_names_each() {
        let bad = Command { allow_args: vec!["(".into()], ..command("a", "relative") };
        let shell = Command { allow_args: vec![".*".into()], ..command("b", "/bin/sh") };
        let wrong = check(&[bad, shell, command("b", "/bin/true")]).err().unwrap();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
    }
}

//! The command line: what was typed, carried out, and an exit code that scripts can use.
//!
//! Most commands talk to a running bot over its API. Those that start one (`run`, `demo`) or read the configuration go
//! through [`Doors`], which `src/main.rs` implements: `config` and `demo` are neighbours of this room.
//!
//! Architecture Invariant: no command reads the store of a bot that runs.

mod alert;
pub mod args;
mod audit;
mod client;
mod health;
mod later;
mod logs;
mod playbook;
mod say;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

pub use later::LATER;

use args::{AlertCommand, AuditCommand, Cli, Command, DemoCommand, LogsCommand};

use crate::core::message::cli as message;
use crate::core::{BoxFuture, SharedClock};
use crate::store::SharedStore;

/// What the command line needs of its neighbours.
pub trait Doors {
    /// Runs the bot until it is asked to stop.
    ///
    /// # Errors
    /// Sentences for the person: the mistakes of the configuration, or what kept it from starting.
    fn run(&self, config: &Path) -> Result<(), Vec<String>>;
    /// Runs the demo until it is asked to stop.
    ///
    /// # Errors
    /// What kept it from starting.
    fn demo(&self, port: Option<u16>, data: Option<PathBuf>) -> Result<(), Vec<String>>;
    /// Runs one process of the demo's shop.
    ///
    /// # Errors
    /// What kept it from starting.
    fn shop_service(&self, arguments: Vec<OsString>) -> Result<(), Vec<String>>;
    /// Checks a configuration; the answer is what to say when all is well.
    ///
    /// # Errors
    /// Every mistake, a line each.
    fn check(&self, config: &Path) -> Result<String, Vec<String>>;
    /// The whole, commented configuration.
    fn example(&self) -> &str;
    /// The demo's faults: name and what it does.
    fn faults(&self) -> Vec<(String, String)>;
    /// Data folders where a running bot's token file may be, best first.
    fn data_folders(&self) -> Vec<PathBuf>;
    /// Opens the store of a data folder that no bot uses now.
    fn open_store<'a>(&'a self, data: &'a Path) -> BoxFuture<'a, Result<SharedStore, String>>;
    /// Opens the store that a configuration names: an embedded one that no bot uses now, or PostgreSQL.
    fn open_configured<'a>(&'a self, config: &'a Path) -> BoxFuture<'a, Result<Opened, String>>;
}

/// A store with what belongs to it.
pub struct Opened {
    /// The store.
    pub store: SharedStore,
    /// The clock to go by.
    pub clock: SharedClock,
    /// Where the key is that signs the audit's checkpoints.
    pub key: PathBuf,
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it says.
    Done = 0,
    /// It was refused, or found mistakes.
    Refused = 1,
    /// Its back end is not there yet.
    Later = 3,
    /// No Mayday answers.
    Nobody = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A sentence for standard error, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{says}")]
pub struct Problem {
    /// How the process ends.
    pub exit: Exit,
    /// What a person reads.
    pub says: String,
}

impl Problem {
    fn refused(says: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, says: says.into() }
    }
}

/// Runs the command line and gives the process's exit code.
pub fn main(doors: &dyn Doors) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with 0, mistakes to standard error with 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match carry_out(cli.command, doors) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            eprintln!("{}", problem.says);
            problem.exit.into()
        }
    }
}

fn carry_out(command: Command, doors: &dyn Doors) -> Result<Exit, Problem> {
    let lines = |result: Result<(), Vec<String>>| match result {
        Ok(()) => Ok(Exit::Done),
        Err(lines) => Err(Problem::refused(lines.join("\n"))),
    };
    match command {
        Command::Run(args) => lines(doors.run(&args.config)),
        Command::Demo(args) => match args.command {
            None => lines(doors.demo(args.port, args.data)),
            Some(DemoCommand::Faults) => {
                for (name, does) in doors.faults() {
                    say(&format!("{name:8} {does}"));
                }
                Ok(Exit::Done)
            }
            Some(DemoCommand::Break { fault, bot }) => wait(client::break_demo(&bot, doors, &fault)),
        },
        Command::ShopService(args) => lines(doors.shop_service(args.rest)),
        Command::Check(args) if args.example => {
            use std::io::Write as _;
            // Someone who pipes it to `head` has what they wanted.
            let _ = std::io::stdout().write_all(doors.example().as_bytes());
            Ok(Exit::Done)
        }
        Command::Check(args) => match doors.check(&args.config) {
            Ok(well) => {
                say(&well);
                Ok(Exit::Done)
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    say(mistake);
                }
                Err(Problem::refused(message::mistakes(mistakes.len())))
            }
        },
        Command::Playbook(args) => playbook::carry_out(args.command, doors),
        Command::Say(args) => wait(say::carry_out(args, doors)),
        Command::Alert(args) => match args.command {
            AlertCommand::Send { file, format, integration, bot } => {
                wait(alert::send(&file, &format, integration.as_deref(), &bot, doors))
            }
        },
        Command::Health(args) => wait(health::carry_out(args, doors)),
        Command::Audit(args) => match args.command {
            AuditCommand::Verify { checkpoints, key, bot } => {
                wait(audit::verify(checkpoints.as_deref(), &key, &bot, doors))
            }
            AuditCommand::Export { checkpoints: true, bot } => wait(audit::export_checkpoints(&bot, doors)),
            AuditCommand::Export { checkpoints: false, bot } => wait(audit::export(&bot, doors)),
            AuditCommand::Erase { record, reason, place } => wait(audit::erase(&record, &reason, &place, doors)),
            AuditCommand::AcceptCut { reason, checkpoints, key, yes, place } => {
                wait(audit::accept_cut(&reason, checkpoints.as_deref(), &key, yes, &place, doors))
            }
        },
        Command::Logs(args) => match args.command {
            LogsCommand::Mine { file, json } => logs::mine(&file, json),
        },
        Command::Password => password(),
        later => Err(later::problem(&later)),
    }
}

/// One line to standard output; a closed pipe is no one's problem.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a command that talks to a bot.
fn wait(command: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::refused(error.to_string()))?;
    runtime.block_on(command)
}

fn password() -> Result<Exit, Problem> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Problem::refused(error.to_string()))?;
    let word = line.trim_end_matches(['\n', '\r']);
    let hash =
        crate::access::passwords::hash(&word.to_owned().into()).map_err(|error| Problem::refused(error.to_string()))?;
    say(&hash);
    Ok(Exit::Done)
}

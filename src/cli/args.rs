//! What can be typed after `mayday`. The help texts here are what people read; the doors' names are the design's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// An incident bot: takes in alerts, shows them enriched, proposes repairs that people approve, and runs them durably.
#[derive(Debug, Parser)]
#[command(name = "mayday", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Begin with `mayday demo`: a small shop with real faults, on this machine only.\n\n\
Exit codes: 0 done, 1 refused or mistakes found, 2 wrong usage, 3 not there yet, 4 no Mayday answers.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole loop on this machine: a small shop of real processes, real faults, the web channel
    Demo(DemoArgs),
    /// Run the bot
    Run(RunArgs),
    /// Check configuration and playbooks: every mistake at once, as file:line:col: CODE: what is wrong, and the fix
    Check(CheckArgs),
    /// For authors of playbooks: check, test, plan, run, schema, reference
    Playbook(PlaybookArgs),
    /// Give one chat command to a running bot, as in `mayday say "incidents open"`
    Say(SayArgs),
    /// Post an alert to a running bot
    Alert(AlertArgs),
    /// How a running bot is: exit 0 if well, 1 if not, 4 if none answers
    Health(HealthArgs),
    /// The audit chain: verify, export, erase, accept-cut
    Audit(AuditArgs),
    /// Hash a password for `access.users` (reads it from standard input)
    Password,
    /// Find the root cause of recorded cases, one JSON object a line
    Diagnose(LaterArgs),
    /// Log files: mine their templates
    Logs(LogsArgs),
    /// Score anomalies of a CSV series
    Detect(LaterArgs),
    /// Forecast a CSV series
    Forecast(LaterArgs),
    /// Report on a period
    Report(LaterArgs),
    /// Write an incident's postmortem
    Postmortem(LaterArgs),
    /// Replay an incident
    Replay(LaterArgs),
    /// Export an incident as a case for `diagnose`
    ExportCase(LaterArgs),
    /// Back the data up
    Backup(LaterArgs),
    /// Restore a backup
    Restore(LaterArgs),
    /// Prove that a backup can be restored
    VerifyBackup(LaterArgs),
    /// One process of the demo's shop
    #[command(hide = true, disable_help_flag = true)]
    ShopService(RawArgs),
}

/// `mayday demo`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    /// Port of the web channel on 127.0.0.1; the next free one if it is taken
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Keep the data in this folder (default: a fresh temporary folder, removed at the end)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Commands for a demo that runs
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

/// Commands for a demo that runs.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Make a fault in a running demo
    Break {
        /// Which one; `mayday demo faults` lists them
        fault: String,
        /// Which running demo.
        #[command(flatten)]
        bot: Bot,
    },
    /// List the faults
    Faults,
}

/// Where the running bot is.
#[derive(Debug, Clone, Default, Args)]
pub struct Bot {
    /// Address of the running bot (default: the one in the data folder's token file)
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Data folder of the running bot, with its token file
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Token, instead of the token file
    #[arg(long, env = "MAYDAY_TOKEN", hide_env_values = true, hide = true)]
    pub token: Option<String>,
}

/// `mayday run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(short, long, default_value = "mayday.yaml", value_name = "FILE")]
    pub config: PathBuf,
}

/// `mayday check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file
    #[arg(short, long, default_value = "mayday.yaml", value_name = "FILE")]
    pub config: PathBuf,
    /// Print a whole, commented configuration that passes
    #[arg(long)]
    pub example: bool,
}

/// `mayday playbook`
#[derive(Debug, Args)]
pub struct PlaybookArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PlaybookCommand,
}

/// What can be done with playbooks.
#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Check playbook files and folders: every mistake at once
    Check {
        /// Files or folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Print one JSON object a mistake, with the place where it begins and ends, for editors
        #[arg(long)]
        json: bool,
    },
    /// Run the tests that playbooks carry, without touching anything
    Test {
        /// Files or folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Show what a playbook would change, worked out by a running bot
    Plan(PlaybookRun),
    /// Propose a run of a playbook to a running bot; changes still wait for their approval
    Run(PlaybookRun),
    /// Print the JSON schema of playbooks, for editors
    Schema,
    /// Print the reference of the language: keys, task types, conditions, mistakes (Markdown)
    Reference,
}

/// A playbook for a running bot.
#[derive(Debug, Args)]
pub struct PlaybookRun {
    /// The playbook's file, or its id
    pub playbook: String,
    /// Its parameters
    #[arg(value_name = "KEY=VALUE")]
    pub parameters: Vec<String>,
    /// Where the bot is.
    #[command(flatten)]
    pub bot: Bot,
}

/// `mayday say`
#[derive(Debug, Args)]
pub struct SayArgs {
    /// The command, as in a chat: "show INC-7"
    #[arg(required = true, value_name = "COMMAND", allow_hyphen_values = true, num_args = 1)]
    pub text: String,
    /// Speak as this person (needs the admin token; audited as impersonation)
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the bot is.
    #[command(flatten)]
    pub bot: Bot,
}

/// `mayday alert`
#[derive(Debug, Args)]
pub struct AlertArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AlertCommand,
}

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Post the alerts of a file (`-` for standard input)
    Send {
        /// The file
        file: PathBuf,
        /// Whose format it is; `alert` finds it out
        #[arg(long, default_value = "alert", value_name = "NAME")]
        format: String,
        /// Post as this integration, with its secret in MAYDAY_TOKEN
        #[arg(long, value_name = "NAME")]
        integration: Option<String>,
        /// Where the bot is.
        #[command(flatten)]
        bot: Bot,
    },
}

/// `mayday health`
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the bot is.
    #[command(flatten)]
    pub bot: Bot,
}

/// `mayday logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LogsCommand,
}

/// What can be done with log files.
#[derive(Debug, Subcommand)]
pub enum LogsCommand {
    /// Print the template of every line, in order
    Mine {
        /// The log file
        file: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// `mayday audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be done with the audit chain.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Recompute every link of the chain: exit 0 if whole, 1 if broken
    Verify {
        /// Signed checkpoints that were exported earlier and kept elsewhere: shows a cut tail too
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// A public key that may have signed checkpoints, the file's and the store's; repeat it for each replica's
        /// (default: the first one's of the file, any of the store)
        #[arg(long, value_name = "ed25519:…")]
        key: Vec<String>,
        /// Where the bot or its data is.
        #[command(flatten)]
        bot: Bot,
    },
    /// Print every record, one JSON object a line, newest first
    Export {
        /// Print the signed checkpoints instead, oldest first: keep them where this machine can't change them
        #[arg(long)]
        checkpoints: bool,
        /// Where the bot is.
        #[command(flatten)]
        bot: Bot,
    },
    /// Erase what one record says; its place and digest stay. With the embedded store the bot must not run
    Erase {
        /// Which: `main:17`, as `mayday audit export` names it
        record: String,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
        /// Where its store is.
        #[command(flatten)]
        place: Place,
    },
    /// Accept that records are gone for good, after a restore from an old backup: `verify` then says so and is quiet.
    /// Needs the key that signs checkpoints; with the embedded store the bot must not run
    AcceptCut {
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
        /// Signed checkpoints that were kept elsewhere and show the cut. What they say goes on to show it: begin a new file
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// A public key that may have signed them; repeat it for each replica's (default: the first one's of the file)
        #[arg(long, value_name = "ed25519:…", requires = "checkpoints")]
        key: Vec<String>,
        /// Accept all that is gone; without it, only what would be accepted is printed
        #[arg(long)]
        yes: bool,
        /// Where its store is.
        #[command(flatten)]
        place: Place,
    },
}

/// Where a store is that is opened here, not through a running bot.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// Data folder, with the embedded store
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file, whose store is used: PostgreSQL too, also while replicas run
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of a command that is not there yet: taken, not understood.
#[derive(Debug, Args)]
pub struct LaterArgs {
    /// Anything
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

/// Arguments for someone else.
#[derive(Debug, Args)]
pub struct RawArgs {
    /// Handed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<OsString>,
}

//! Commands that are declared and whose back end does not exist yet: they say so, and which room will have it.
//!
//! `tests/it/cli.rs` fails as soon as the named file exists, so that no such sentence outlives its reason.

use super::args::Command;
use super::{Exit, Problem};
use crate::core::message::cli as message;

/// Each command that is not there yet, and the source file whose arrival ends that.
pub const LATER: &[(&str, &str)] = &[
    ("diagnose", "src/diagnose/case.rs"),
    ("detect", "src/analysis/anomaly.rs"),
    ("forecast", "src/analysis/forecast.rs"),
    ("report", "src/ops/report.rs"),
    ("postmortem", "src/ops/postmortem.rs"),
    ("replay", "src/ops/replay.rs"),
    ("export-case", "src/ops/export_case.rs"),
    ("backup", "src/ops/backup.rs"),
    ("restore", "src/ops/backup.rs"),
    ("verify-backup", "src/ops/backup.rs"),
];

/// The answer to such a command.
pub(super) fn problem(command: &Command) -> Problem {
    let name = match command {
        Command::Diagnose(_) => "diagnose",
        Command::Detect(_) => "detect",
        Command::Forecast(_) => "forecast",
        Command::Report(_) => "report",
        Command::Postmortem(_) => "postmortem",
        Command::Replay(_) => "replay",
        Command::ExportCase(_) => "export-case",
        Command::Backup(_) => "backup",
        Command::Restore(_) => "restore",
        Command::VerifyBackup(_) => "verify-backup",
        // Each of these has its own arm in `carry_out`.
        Command::Demo(_)
        | Command::Run(_)
        | Command::Check(_)
        | Command::Playbook(_)
        | Command::Say(_)
        | Command::Alert(_)
        | Command::Health(_)
        | Command::Audit(_)
        | Command::Logs(_)
        | Command::Password
        | Command::ShopService(_) => return Problem::refused(message::wrong_usage()),
    };
    Problem { exit: Exit::Later, says: message::later(name) }
}

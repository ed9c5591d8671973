//! What actions say: plans as people read them before they approve, and why something was not done.

use std::time::Duration;

use crate::core::duration::human;

/// How the fields that a call sets are taken back.
#[must_use]
pub fn fields_set_back() -> String {
    "the fields are set back to what they are now".to_owned()
}
/// An undo is not made, since it can't be seen what it would overwrite.
#[must_use]
pub fn not_shown(status: u16) -> String {
    format!("what the fields are now can't be read (HTTP {status}), so nothing is set back")
}
/// An undo is not made, since somebody else has changed the field since.
#[must_use]
pub fn changed_since(field: &str, now: &str) -> String {
    format!("`{field}` is {now} now, which this run did not set; nothing is set back, do it by hand if it should be")
}
/// Another machine's process can't be asked.
#[must_use]
pub fn asked_only_there(planned: &str) -> String {
    format!("only on the machine {planned} it can be seen whether it happened")
}
/// What was planned on one machine is not done on another.
#[must_use]
pub fn other_machine(planned: &str, here: Option<&str>) -> String {
    let here = here.map(|here| format!(", and this is {here}")).unwrap_or_default();
    format!("it was planned on the machine {planned}{here}; nothing was done here, propose the run again")
}
/// A name of the allow-list that stood for another program, or for other arguments, when people approved it.
#[must_use]
pub fn command_changed(name: &str) -> String {
    format!(
        "actions.commands says something else under `{name}` now (program, arguments, environment or folder) than what was \
         approved; nothing was run, propose the run again"
    )
}
/// A shell on the allow-list.
#[must_use]
pub fn command_is_a_shell() -> String {
    "a shell runs whatever a text says; name the program itself, or put the commands into a script and name that"
        .to_owned()
}
/// A program that runs others on the allow-list, with arguments from playbooks.
#[must_use]
pub fn command_runs_others() -> String {
    "with arguments from a playbook it could run anything; name the program itself, or leave `allow_args` out"
        .to_owned()
}
/// An argument that may not be given.
#[must_use]
pub fn argument_refused(arg: &str, option: bool) -> String {
    let option = if option { "; an argument that begins with `-` needs a pattern that begins with `-`" } else { "" };
    format!("the argument `{arg}` matches no pattern of its allow_args{option}")
}
/// A clean-up whose time was over before its end.
#[must_use]
pub fn cleanup_out_of_time(removed: u64, bytes: u64, left: u64) -> String {
    let (removed, left) = (usize::try_from(removed).unwrap_or(usize::MAX), usize::try_from(left).unwrap_or(usize::MAX));
    format!(
        "its time was over: {} removed ({}), {} of the list not looked at; give it a longer `timeout`, or let it remove less",
        count(removed, "file"),
        bytes_text(bytes),
        count(left, "file")
    )
}
/// Files are removed, and how full the disk is now can't be told.
#[must_use]
pub fn usage_unknown(why: &str) -> String {
    format!("the files are removed; how full the disk is now can't be told: {why}")
}
/// A program that ran and failed; `said` is the last of its output.
#[must_use]
pub fn program_failed(how: &str, said: &str) -> String {
    let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
    format!("the program {how}, and may have done some or all of its work; {said}")
}
/// How what a program did is taken back.
#[must_use]
pub fn command_undo(undo: &str) -> String {
    format!("`{undo}` with the same arguments")
}
/// An `undo` that is not there.
#[must_use]
pub fn command_undo_unknown(command: &str, undo: &str) -> String {
    format!("{command}: its undo `{undo}` is not another program of the list; add it, or name one that is there")
}
/// An `undo` that can't be repeated of a program that can.
#[must_use]
pub fn command_undo_once(command: &str, undo: &str) -> String {
    format!(
        "{command} is idempotent and its undo `{undo}` is not: when it is not known whether {command} ran, its undo runs \
         all the same; make `{undo}` set what was there before and say `idempotent: true`, or leave `undo` out"
    )
}
/// How long a process has been running, beside its pid.
#[must_use]
pub fn process_up(time: Duration) -> String {
    format!("(up {})", human(time))
}

/// How long ago a process ended, beside `not running`.
#[must_use]
pub fn process_exited(time: Duration) -> String {
    format!("(exited {} ago)", human(time))
}

/// Blast radius of a restart.
#[must_use]
pub fn restart_radius(service: &str) -> String {
    format!("restarts 1 process; {service} gives no answers until it is up again")
}

/// Blast radius of a restart through a program.
#[must_use]
pub fn restart_program_radius(service: &str, program: &str) -> String {
    format!("runs `{program}`; {service} gives no answers until it is up again")
}

/// The process that was to be restarted is another one by now.
#[must_use]
pub fn process_moved(service: &str, planned: &str, now: &str) -> String {
    format!("{service} was {planned} in the plan and is {now} now: something else restarted it; nothing was done")
}

/// A service without a way to restart it.
#[must_use]
pub fn no_restart(service: &str) -> String {
    format!("the catalogue does not say how {service} is restarted; add `restart` to its entry")
}

/// A name that the catalogue does not know.
#[must_use]
pub fn no_service(service: &str) -> String {
    format!("the catalogue knows no service `{service}`")
}

/// Blast radius of a clean-up.
#[must_use]
pub fn cleanup_radius(files: usize, bytes: u64, folders: usize) -> String {
    format!("removes {}, {}, from {}", count(files, "file"), bytes_text(bytes), count(folders, "folder"))
}

/// Nothing to clean up.
#[must_use]
pub fn nothing_to_clean(service: &str) -> String {
    format!("no file of {service}'s clean-up folders is both old enough and named like the allowed patterns")
}

/// A service without folders that may be cleaned.
#[must_use]
pub fn no_cleanup(service: &str) -> String {
    format!("the catalogue allows no folder of {service} to be cleaned; add `cleanup` to its entry")
}

/// More files than one plan takes.
#[must_use]
pub fn cleanup_cut(limit: usize) -> String {
    format!("more files match; this plan takes the {limit} oldest")
}

/// Blast radius of a call that may change something.
#[must_use]
pub fn call_radius(method: &str, host: &str) -> String {
    format!("one {method} request to {host}; what it changes is that API's to say")
}

/// Blast radius of a command.
#[must_use]
pub fn command_radius(name: &str) -> String {
    format!("runs the allow-listed program `{name}` once, on this machine")
}

/// Where a message could not go because there is no mail server.
#[must_use]
pub fn no_mail_server() -> String {
    "no mail server is configured; it was posted to the channel instead".to_owned()
}

/// Nobody answered.
#[must_use]
pub fn nobody_answered(question: &str) -> String {
    format!("nobody answered in time: {question}")
}

/// `1 file`, `3 files`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `34.5 MiB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

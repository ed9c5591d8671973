//! What the command line says.

use std::time::Duration;

use crate::core::Timestamp;

/// A playbook's file holds another text than the bot has.
#[must_use]
pub fn other_version(id: &str, own: &str, theirs: Option<&str>) -> String {
    let has = theirs.map_or_else(
        || format!("the bot has no {id}"),
        |theirs| format!("the bot has {id} in version {theirs}, and this file is {own}"),
    );
    format!("{has}; put the file into the folder of `playbooks.folder`, and try again in some seconds")
}

/// A command that is declared before its back end exists.
pub fn later(command: &str) -> String {
    format!("`mayday {command}` is not there yet: this version can't do it.")
}

/// Should not be reached by typing.
pub fn wrong_usage() -> String {
    "this can't be done that way; see `mayday --help`".to_owned()
}

/// Mistakes were found and printed.
pub fn mistakes(count: usize) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}

/// No token file anywhere.
pub fn no_bot() -> String {
    "no running Mayday was found here; start one with `mayday run` or `mayday demo`, or say where it is with --data DIR or --url URL"
        .to_owned()
}

/// Nobody listens there.
pub fn nobody_answers(url: &str) -> String {
    format!("no Mayday answers at {url}; start one with `mayday run`, or give --url")
}

/// It listens, and does not answer.
pub fn slow(url: &str, waited: Duration) -> String {
    format!("Mayday at {url} did not answer within {}; look at `mayday health`", crate::core::duration::human(waited))
}

/// No token for a door that needs one.
pub fn no_token(url: &str) -> String {
    format!("{url} needs a token; give its data folder with --data, or the token in MAYDAY_TOKEN")
}

/// The bot's own words.
pub fn refused(why: &str, fix: Option<&str>) -> String {
    match fix {
        Some(fix) if !fix.is_empty() => format!("Mayday refused: {why}; {fix}"),
        _ => format!("Mayday refused: {why}"),
    }
}

/// Not an address.
pub fn bad_url(url: &str) -> String {
    format!(
        "`{}` is not an address; write for instance --url http://127.0.0.1:7007",
        crate::core::text::capped(url, 120)
    )
}

/// A format or integration that can't be part of a path.
pub fn not_a_name(name: &str) -> String {
    format!("`{}` is not a name; letters, digits, `-`, `_` and `.` are", crate::core::text::capped(name, 80))
}

/// A file that can't be read.
pub fn no_file(file: &str, why: &str) -> String {
    format!("{file} can't be read: {why}")
}

/// More than is sent.
pub fn file_too_large(file: &str, most: u64) -> String {
    format!("{file} has more than {} MB; split it", most / 1_000_000)
}

/// No such fault.
pub fn no_fault(fault: &str, near: Option<&str>, all: &[String]) -> String {
    let fault = crate::core::text::capped(fault, 80);
    match near {
        Some(near) => format!("there is no fault `{fault}`; did you mean `{near}`?"),
        None => format!("there is no fault `{fault}`; there are: {}", all.join(", ")),
    }
}

/// What became of alerts.
pub fn receipt(accepted: u64, duplicates: u64, rejected: usize) -> String {
    format!("{accepted} accepted ({duplicates} of them known already), {rejected} rejected")
}

/// One that was set aside.
pub fn rejected(index: u64, why: &str) -> String {
    format!("  alert {index}: {why}")
}

/// How the bot is.
pub fn health(url: &str, well: bool, version: &str) -> String {
    let how = if well { "well" } else { "not well" };
    format!("Mayday {version} at {url} is {how}")
}

/// All playbooks passed.
pub fn playbooks_well(count: usize) -> String {
    if count == 1 { "1 playbook, no mistakes".to_owned() } else { format!("{count} playbooks, no mistakes") }
}

/// A folder without playbooks.
pub fn no_playbooks() -> String {
    "no YAML file was found there; name playbook files, or folders that hold some".to_owned()
}

/// More files than anyone has.
pub fn too_many_files(most: usize) -> String {
    format!("these folders hold more than {most} files; name the ones that are playbooks")
}

/// One test of a playbook.
pub fn tested(file: &str, name: &str, passed: bool) -> String {
    format!("{file}: {name}: {}", if passed { "passed" } else { "FAILED" })
}

/// A playbook without tests.
pub fn no_tests(file: &str) -> String {
    format!("{file}: has no tests; add some under `tests`")
}

/// All tests of a call.
pub fn tests_done(passed: usize, failed: usize) -> String {
    format!("{passed} passed, {failed} failed")
}

/// Every link holds.
pub fn audit_whole(records: u64) -> String {
    format!("the audit chain is whole: {records} records")
}

/// One does not.
pub fn audit_broken(bad: &str) -> String {
    format!("the audit chain is broken: {bad}; compare it with a backup")
}

/// So do the checkpoints in the store, for whoever knows the key.
pub fn stored_checkpoints_hold(count: u64, keys: &[&str]) -> String {
    format!("and fits the {count} signed checkpoints in the store; signed with {}", keys.join(", "))
}

/// A checkpoint in the store has a key that was not named.
pub fn checkpoint_of_another(key: &str) -> String {
    format!(
        "the store has checkpoints that were signed with {key}; if that is a replica's key, name it too: --key {key}"
    )
}

/// So many places of exported checkpoints are as they were signed.
pub fn checkpoints_hold(places: usize) -> String {
    format!("and as it was signed at {places} places of the checkpoints")
}

/// What was typed names no record of the audit.
pub fn no_audit_place(text: &str) -> String {
    format!(
        "`{text}` names no record; write it as `main:17`, which is what `mayday audit export` shows as chain and seq"
    )
}

/// There is no store in the folder.
pub fn no_store(data: &str) -> String {
    format!("{data} is no data folder: it has no `store` in it")
}

/// A person said before that records are gone.
pub fn cut_was_accepted(by: &str, at: Timestamp, reason: &str, gone: &str, seq: u64) -> String {
    format!("a cut was accepted by {by} on {at:.0}: {reason} (record main:{seq}; gone: {gone})")
}

/// What a person would accept.
pub fn would_accept(gone: &str) -> String {
    format!(
        "gone would be accepted: {gone}. Nothing was written; if all of it is explained by what you know, say --yes"
    )
}

/// A person says so now.
pub fn cut_accepted(gone: &str, checkpoint: u64) -> String {
    format!(
        "accepted, in the audit and in signed checkpoint {checkpoint}; gone: {gone}. Checkpoints that were exported before go on to show it: export them again into a new file, and keep the old one"
    )
}

/// What is gone of one chain.
pub fn cut_of(chain: &str, kept: u64, signed: u64, replaced: bool) -> String {
    let since = if replaced { "; other records stand in their place" } else { "" };
    format!("records of {chain} after {kept}, which were signed up to {signed}{since}")
}

/// The signing key is not in the data folder.
pub fn key_elsewhere(why: &str) -> String {
    format!("{why}; if access.checkpoints.key_path says where the key is, name the configuration with --config instead")
}

/// An acceptance without a word.
pub fn cut_needs_reason() -> &'static str {
    "say with --reason why records are gone; it is what others read when they ask"
}

/// An erasure without a word.
pub fn erasure_needs_reason() -> &'static str {
    "say with --reason why it is erased; it stands in the audit instead of what the record said"
}

/// A record's text is gone.
pub fn audit_erased(record: &str) -> String {
    format!("what {record} says is erased; that it was, and why, is in the audit")
}

/// A word that Mayday calls itself with, said by a person.
pub fn guard_is_internal(word: &str) -> String {
    format!("`{word}` is how Mayday starts a guard beside a program; it is no command. See mayday --help")
}

//! What people read about the versions of playbooks.

/// There is no such version.
#[must_use]
pub fn no_version(id: &str, number: u32, newest: u32) -> String {
    match newest {
        0 => format!("there is no playbook {id} with versions; `playbooks` lists what there is"),
        1 => format!("{id} has no version {number}, only version 1"),
        newest => format!("{id} has versions 1 to {newest}, no version {number}"),
    }
}

/// It is chosen already.
#[must_use]
pub fn version_in_force(id: &str, number: u32) -> String {
    format!("version {number} of {id} is in force already")
}

/// A text that this Mayday no longer accepts.
#[must_use]
pub fn version_unreadable(id: &str, number: u32, why: &str) -> String {
    format!("version {number} of {id} does not pass the checks of this Mayday: {why}; correct it as a new version")
}

/// Someone else chose at the same moment.
#[must_use]
pub fn version_changed_meanwhile(id: &str) -> String {
    format!(
        "someone else chose a version of {id} at the same moment; look at `playbooks {id} history` and choose again"
    )
}

/// Where the text of a chosen version comes from.
#[must_use]
pub fn pinned_file(id: &str, number: u32) -> String {
    format!("{id} version {number} (chosen)")
}

/// One line of a history.
#[must_use]
pub fn line(number: u32, shown: &str, when: &str, file: &str, in_force: bool) -> String {
    let mark = if in_force { "  in force" } else { "" };
    format!("{number:>4}  {shown}  since {when}  {file}{mark}")
}

/// Who chose a version that is not the newest.
#[must_use]
pub fn chosen_by(number: u32, by: &str, when: &str, id: &str) -> String {
    format!("{by} chose version {number} at {when}; `playbooks {id} use newest` ends that.")
}

/// A version is in force from now on.
#[must_use]
pub fn now_in_force(id: &str, number: u32, newest: bool) -> String {
    let note = if newest { ", the newest" } else { ", whatever the file says, until `use newest`" };
    format!("{id}: version {number} is in force now{note}. Runs keep the version they began with.")
}

/// Two versions are the same.
#[must_use]
pub fn same(id: &str, from: u32, to: u32) -> String {
    format!("versions {from} and {to} of {id} have the same text")
}

/// There is nothing before the first version.
#[must_use]
pub fn only_one(id: &str) -> String {
    format!("{id} has one version only; there is nothing to compare it with")
}

/// A diff's heading.
#[must_use]
pub fn diff_heading(id: &str, from: u32, to: u32) -> String {
    format!("{id}: version {from} → {to}")
}

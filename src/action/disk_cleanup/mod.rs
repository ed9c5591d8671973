//! `Disk_Cleanup`: removes old files from folders that the catalogue allows for a service.
//!
//! The plan lists the exact files; an approval covers that list and no other (its digest is a guard field), and only those
//! of them that are still the same file, unchanged, are removed. Repeating it after a crash finds the removed ones gone and
//! counts them, so the outcome is the same.

mod walk;

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::here::Here;
use super::off_loop::{Cancel, off_loop, time_left};
use super::{Problem, json as to_json, parameters, target};
use crate::catalog::{Catalog, CleanupFolder};
use crate::core::duration::Span;
use crate::core::message::action as say;
use crate::core::{BoxFuture, Timestamp, digest};
use crate::playbook::Action;
use crate::playbook::action::{Change, Context, Error, Intent, Perform, Planned, Settle};

const KIND: &str = "Disk_Cleanup";
/// Lines of the list that the plan shows.
const SHOWN: usize = 18;

/// The executor.
pub struct DiskCleanup {
    catalog: Arc<Catalog>,
    max_files: usize,
    here: Here,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    service: String,
    #[serde(default)]
    older_than: Option<Span>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Target {
    service: String,
    /// Where, among several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    folders: Vec<Folder>,
    /// Fullness of the first folder's file system when the plan was made, percent.
    usage_before: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    path: PathBuf,
    files: Vec<walk::Listed>,
}

/// What is wrong with the catalogue's `cleanup` entries.
#[must_use]
pub fn check(catalog: &Catalog) -> Vec<Problem> {
    let mut wrong = Vec::new();
    for (row, service) in catalog.services().iter().enumerate() {
        for (place, folder) in service.cleanup.iter().enumerate() {
            let path = folder.path.display();
            let mut bad = |why: &str| {
                wrong.push(Problem::at(format!("services[{row}].cleanup[{place}]"), format!("`{path}` {why}")));
            };
            if !folder.path.is_absolute() || folder.path.components().any(|part| part == Component::ParentDir) {
                bad("must be an absolute path without `..`");
            } else if folder.path.components().count() < 3 {
                bad("is too near the root to be cleaned; name a folder below it");
            }
            if folder.patterns.is_empty() {
                bad("has no patterns; write for instance [\"*.log.*\"]");
            }
            if folder.patterns.iter().any(|pattern| pattern.contains('/') || pattern.is_empty()) {
                bad("has an empty pattern or one with `/`; patterns are for file names");
            }
        }
    }
    wrong
}

impl DiskCleanup {
    /// Cleans folders of this catalogue, at most `max_files` at once.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, max_files: usize) -> Self {
        Self { catalog, max_files: max_files.clamp(1, 10_000), here: Here::default() }
    }

    /// On this machine, which is one of several.
    #[must_use]
    pub fn on(self, here: Here) -> Self {
        Self { here, ..self }
    }

    fn allowed(&self, service: &str) -> Result<(String, Vec<CleanupFolder>), Error> {
        let entry = self.catalog.find(service).ok_or_else(|| Error::Permanent(say::no_service(service)))?;
        if entry.cleanup.is_empty() {
            return Err(Error::NotAvailable(say::no_cleanup(&entry.name)));
        }
        Ok((entry.name.clone(), entry.cleanup.clone()))
    }
}

/// Looks into the folders without changing anything.
fn look(
    service: String,
    folders: Vec<CleanupFolder>,
    older_than: Option<Span>,
    now: Timestamp,
    max_files: usize,
    here: &Here,
    cancel: &Cancel,
) -> Result<Planned, Error> {
    let mut notes = Vec::new();
    let mut listed = Vec::new();
    let mut usage_before = None;
    for folder in folders {
        let handle = walk::open(&folder.path).map_err(Error::Permanent)?;
        // A playbook may only be stricter than the catalogue.
        let age = older_than.map_or(folder.older_than.0, |wanted| wanted.0.max(folder.older_than.0));
        let since = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let found = walk::find(handle.as_fd(), &folder.patterns, since, || cancel.is_set());
        let found = found.map_err(Error::Permanent)?;
        notes.extend(found.notes);
        usage_before.get_or_insert(usage(&folder.path)?);
        listed.push(Folder { path: folder.path, files: found.files });
    }
    let mut room = max_files;
    for folder in &mut listed {
        if folder.files.len() > room {
            notes.push(say::cleanup_cut(max_files));
            folder.files.truncate(room);
        }
        room -= folder.files.len();
    }
    listed.retain(|folder| !folder.files.is_empty());
    if listed.is_empty() {
        return Err(Error::Permanent(say::nothing_to_clean(&service)));
    }
    let usage_before = usage_before.unwrap_or_default();
    Ok(planned(Target { service, machine: here.name(), folders: listed, usage_before }, notes, here))
}

fn planned(target: Target, mut notes: Vec<String>, here: &Here) -> Planned {
    let files = || target.folders.iter().flat_map(|folder| folder.files.iter().map(move |file| (folder, file)));
    let count = files().count();
    let bytes = files().map(|(_, file)| file.frees).sum();
    let changes = target.folders.iter().map(|folder| Change {
        field: format!("files in {}", folder.path.display()),
        before: format!("{} (list {})", say::count(folder.files.len(), "file"), &list_digest(folder)[..12]),
        after: "removed".to_owned(),
    });
    let mut largest: Vec<_> = files().collect();
    largest.sort_by_key(|(_, file)| std::cmp::Reverse(file.size));
    let mut details: Vec<String> = largest
        .iter()
        .take(SHOWN)
        .map(|(folder, file)| format!("{}  {}", folder.path.join(&file.path).display(), say::bytes_text(file.size)))
        .collect();
    if count > details.len() {
        details.push(format!("and {} more", count - details.len()));
    }
    notes.truncate(20 - details.len().min(20));
    details.append(&mut notes);
    Planned {
        object: here.object(format!("old files of {}", target.service)),
        changes: changes.collect(),
        radius: say::cleanup_radius(count, bytes, target.folders.len()),
        undo: None,
        details,
        target: to_json(&target),
    }
}

/// Which files, by identity: path, inode, size.
fn list_digest(folder: &Folder) -> String {
    let lines: Vec<String> =
        folder.files.iter().map(|file| format!("{} {} {}", file.inode, file.size, file.path)).collect();
    digest::of_parts(lines.iter().map(String::as_bytes))
}

/// How full the file system of a path is, percent, as `df` shows it.
fn usage(path: &Path) -> Result<f64, Error> {
    let stat = rustix::fs::statvfs(path).map_err(|error| Error::Transient(format!("{}: {error}", path.display())))?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let whole = used + stat.f_bavail;
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    Ok(if whole == 0 { 0.0 } else { used as f64 * 100.0 / whole as f64 })
}

fn clean(target: &Target, allowed: &[CleanupFolder], stops: impl Fn() -> bool) -> Result<Value, Error> {
    let mut sum = walk::Removed::default();
    // All is looked at before the first file goes: an error means that nothing was removed.
    let mut opened = Vec::new();
    for folder in &target.folders {
        // What stands in the journal gives no right to a folder that the catalogue does not allow.
        let permitted = allowed.iter().find(|allowed| allowed.path == folder.path);
        let Some(permitted) = permitted else {
            return Err(Error::Permanent(format!(
                "the catalogue no longer allows {} to be cleaned",
                folder.path.display()
            )));
        };
        let named = |file: &walk::Listed| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            permitted.patterns.iter().any(|pattern| walk::matches_pattern(pattern, name))
        };
        if !folder.files.iter().all(named) {
            return Err(Error::Permanent("the list has a file that no allowed pattern matches".to_owned()));
        }
        opened.push((folder, walk::open(&folder.path).map_err(Error::Transient)?));
    }
    let mut folders = Vec::new();
    for (folder, handle) in opened {
        let done = walk::remove(handle.as_fd(), &folder.files, &stops);
        sum.files += done.files;
        sum.bytes += done.bytes;
        sum.left_count += done.left_count;
        sum.cut += done.cut;
        sum.left.extend(done.left);
        folders.push(folder.path.display().to_string());
    }
    metrics::counter!("mayday_action_cleanup_bytes").increment(sum.bytes);
    if sum.cut > 0 {
        let why = say::cleanup_out_of_time(sum.files, sum.bytes, sum.cut);
        // What is done is done; another try goes on with the rest.
        return Err(if sum.files == 0 { Error::Transient(why) } else { Error::InDoubt(why) });
    }
    if sum.files == 0 {
        return Err(Error::Permanent(format!("nothing was removed: {}", sum.left.join("; "))));
    }
    sum.left.truncate(20);
    let mut output = json!({
        "removed": sum.files,
        "files_removed": sum.files,
        "freed_bytes": sum.bytes,
        "bytes_freed": sum.bytes,
        "folders": folders,
        "left": sum.left,
        "left_count": sum.left_count,
        "disk_usage_before": target.usage_before,
    });
    // The files are gone whether the file system can be measured or not.
    match target.folders.first().map(|folder| usage(&folder.path)) {
        Some(Err(why)) => output["note"] = json!(say::usage_unknown(&why.to_string())),
        measured => output["disk_usage_after"] = json!(measured.and_then(Result::ok).unwrap_or_default()),
    }
    Ok(output)
}

impl Action for DiskCleanup {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, value: &Value) -> Settle {
        // Targets are read when they are performed; one that can't be read does nothing then.
        match target::<Target>(KIND, value) {
            Ok(target) if !self.here.is(target.machine.as_deref()) => Settle::AskPerson,
            _ => Settle::Repeat,
        }
    }

    fn ends_with_mayday(&self) -> bool {
        true
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn plan<'a>(&'a self, context: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        Box::pin(async move {
            let Parameters { service, older_than } = parameters(KIND, value)?;
            let (service, folders) = self.allowed(&service)?;
            let (now, max_files, here) = (context.now, self.max_files, self.here.clone());
            off_loop(None, move |cancel| look(service, folders, older_than, now, max_files, &here, cancel)).await
        })
    }

    /// A busy folder gets new files all the time: they stay for the next run, and do not void the approval of those that
    /// were seen and are still the same.
    fn still_holds(&self, approved: &Planned, now: &Planned) -> bool {
        let targets = (target::<Target>(KIND, &approved.target), target::<Target>(KIND, &now.target));
        let (Ok(seen), Ok(there)) = targets else { return false };
        let same = |folder: &Folder| {
            let Some(there) = there.folders.iter().find(|other| other.path == folder.path) else { return false };
            let known: HashMap<&str, &walk::Listed> =
                there.files.iter().map(|file| (file.path.as_str(), file)).collect();
            folder.files.iter().all(|file| known.get(file.path.as_str()) == Some(&file))
        };
        approved.object == now.object && seen.service == there.service && seen.folders.iter().all(same)
    }

    /// What would be removed is how it is before.
    fn same_undo(&self, approved: &Planned, now: &Planned) -> bool {
        approved.changes == now.changes
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            let target: Target = target(KIND, &intent.target)?;
            self.here.check(target.machine.as_deref())?;
            let (_, allowed) = self.allowed(&target.service)?;
            let time = Some(time_left(context, intent));
            off_loop(time, move |cancel| clean(&target, &allowed, || cancel.is_set())).await.map(Perform::Done)
        })
    }
}

#[cfg(test)]
mod tests;

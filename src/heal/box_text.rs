//! The mono lines of a plan: what changes from what to what, aligned; below them what it touches and how it is undone.

use crate::core::message::heal as say;
use crate::core::text::capped;
use crate::playbook::action::Change;
use crate::playbook::view::ApprovalView;

/// A card shows so many lines; `runs RUN-3` shows all.
const LINES: usize = 24;
/// A line of the diff; bytes.
const WIDTH: usize = 160;

/// A change of this field is one of the object itself, so the field is not named.
const ITSELF: &str = "process";

/// One line per change, `object   field  before → after`, with the columns under each other; details follow indented, but
/// one in parentheses stands beside how the object is now.
pub(super) fn diff_lines(approval: &ApprovalView) -> Vec<String> {
    let plans = || approval.frontier.iter().map(|(_, plan)| plan);
    let object_width = plans().map(|plan| plan.object.chars().count()).max().unwrap_or(0).min(40);
    let fields = plans().flat_map(|plan| &plan.changes).map(|change| field(change).chars().count());
    let field_width = fields.max().unwrap_or(0).min(24);
    let mut lines = Vec::new();
    for plan in plans() {
        let mut object = plan.object.as_str();
        let (mut beside, details): (Vec<&String>, Vec<&String>) =
            plan.details.iter().partition(|detail| detail.starts_with('(') && !plan.changes.is_empty());
        for change in &plan.changes {
            let gap = if field_width == 0 { "" } else { "  " };
            let before = beside.drain(..).fold(change.before.clone(), |before, words| format!("{before} {words}"));
            let (named, field) = (padded(object, object_width), padded(field(change), field_width));
            lines.push(capped(&format!("{named}   {field}{gap}{before} → {}", change.after), WIDTH));
            // The object is named once.
            object = "";
        }
        if plan.changes.is_empty() {
            lines.push(capped(&plan.object, WIDTH));
        }
        let folder = shared_folder(&details, &plan.changes);
        let short = |detail: &String| capped(&format!("  {}", detail.strip_prefix(&folder).unwrap_or(detail)), WIDTH);
        lines.extend(details.iter().map(|detail| short(detail)));
    }
    cut(lines)
}

/// What it touches, how it is undone, how it is verified; first of all why it is asked again.
pub(super) fn notes(approval: &ApprovalView) -> Vec<String> {
    let mut lines: Vec<String> = approval.difference.iter().map(|what| say::moved(&capped(what, WIDTH))).collect();
    for (_, plan) in &approval.frontier {
        let line = say::note(&plan.radius, plan.undo.as_deref());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.push(approval.verified_by.as_deref().map_or_else(say::not_verified, say::verified_by));
    cut(lines)
}

fn field(change: &Change) -> &str {
    if change.field == ITSELF { "" } else { &change.field }
}

/// The folder that all details are files of, when a change names it already: then their names say enough.
fn shared_folder(details: &[&String], changes: &[Change]) -> String {
    let folder =
        |path: &str| path.starts_with('/').then(|| path.rfind('/').map(|end| path[..=end].to_owned())).flatten();
    let Some(first) = details.first().and_then(|detail| folder(detail)) else { return String::new() };
    let all =
        details.iter().filter(|detail| detail.starts_with('/')).all(|detail| folder(detail).as_ref() == Some(&first));
    let named = changes.iter().any(|change| change.field.contains(first.trim_end_matches('/')));
    if all && named { first } else { String::new() }
}

fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES {
        let more = lines.len() - (LINES - 1);
        lines.truncate(LINES - 1);
        lines.push(say::and_more(more));
    }
    lines
}

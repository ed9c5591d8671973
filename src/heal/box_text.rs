//! The mono lines of a plan: what changes from what to what, aligned; below them what it touches and how it is undone.

use crate::core::message::heal as say;
use crate::core::text::capped;
use crate::playbook::action::Change;
use crate::playbook::view::ApprovalView;

/// How much of a plan is shown. What a change comes to is never cut away: a long value loses its middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Lines before the details are cut.
    lines: usize,
    /// How something is now; bytes.
    before: usize,
    /// How it will be; bytes.
    after: usize,
    /// A line that helps the reader; bytes.
    detail: usize,
}

/// On a card; `runs RUN-3` shows all.
pub(super) const CARD: Room = Room { lines: 24, before: 120, after: 1200, detail: WIDTH };
/// Where someone asks for the whole plan.
pub(super) const WHOLE: Room = Room { lines: 400, before: 16 * 1024, after: 16 * 1024, detail: 1024 };

/// A line of the box; bytes. What is longer goes on in the next one.
const WIDTH: usize = 160;
/// Before the lines in which something goes on.
const INDENT: &str = "      ";

/// A change of this field is one of the object itself, so the field is not named.
const ITSELF: &str = "process";

/// One line per change, `object   field  before → after`, with the columns under each other; details follow indented, but
/// one in parentheses stands beside how the object is now.
pub(super) fn diff_lines(approval: &ApprovalView, room: Room) -> Vec<String> {
    let plans = || approval.frontier.iter().map(|(_, plan)| plan);
    let object_width = plans().map(|plan| plan.object.chars().count()).max().unwrap_or(0).min(40);
    let fields = plans().flat_map(|plan| &plan.changes).map(|change| field(change).chars().count());
    let field_width = fields.max().unwrap_or(0).min(24);
    let mut told: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for plan in plans() {
        let mut object = plan.object.as_str();
        let (mut beside, details): (Vec<&String>, Vec<&String>) =
            plan.details.iter().partition(|detail| detail.starts_with('(') && !plan.changes.is_empty());
        let mut lines = Vec::new();
        for change in &plan.changes {
            let gap = if field_width == 0 { "" } else { "  " };
            let before = elided(&change.before, room.before);
            let before = beside.drain(..).fold(before, |before, words| format!("{before} {words}"));
            let (named, field) = (padded(object, object_width), padded(field(change), field_width));
            let now = format!("{named}   {field}{gap}{before} →");
            let after = elided(&change.after, room.after);
            if now.len() + after.len() < WIDTH {
                lines.push(format!("{now} {after}"));
            } else {
                lines.extend(wrapped(&now));
                lines.extend(wrapped(&format!("{INDENT}{after}")));
            }
            // The object is named once.
            object = "";
        }
        if plan.changes.is_empty() {
            lines.extend(wrapped(&plan.object));
        }
        let folder = shared_folder(&details, &plan.changes);
        let short =
            |detail: &&String| capped(&format!("  {}", detail.strip_prefix(&folder).unwrap_or(detail)), room.detail);
        told.push((lines, details.iter().map(short).collect()));
    }
    // The changes are what is approved: only the details make room.
    let changes: usize = told.iter().map(|(lines, _)| lines.len()).sum();
    let details: usize = told.iter().map(|(_, details)| details.len()).sum();
    let mut left = if changes + details <= room.lines { details } else { room.lines.saturating_sub(changes + 1) };
    let hidden = details - left.min(details);
    let mut lines = Vec::new();
    for (changes, mut details) in told {
        details.truncate(left);
        left -= details.len();
        lines.extend(changes);
        lines.extend(details);
    }
    if hidden > 0 {
        lines.push(say::and_more(hidden));
    }
    cut(lines, room)
}

/// What it touches, how it is undone, how it is verified; first of all why it is asked again.
pub(super) fn notes(approval: &ApprovalView, room: Room) -> Vec<String> {
    // What is now stands at the end of a difference.
    let moved = |what: &String| wrapped(&say::moved(&elided(what, room.after / 2)));
    let mut lines: Vec<String> = approval.difference.iter().flat_map(moved).collect();
    let mut told: Vec<String> = Vec::new();
    for (_, plan) in &approval.frontier {
        let note = say::note(&plan.radius, plan.undo.as_deref());
        if !told.contains(&note) {
            told.push(note);
        }
    }
    // How it is undone is approved with it.
    lines.extend(told.iter().flat_map(|note| wrapped(&elided(note, room.after))));
    lines.push(approval.verified_by.as_deref().map_or_else(say::not_verified, say::verified_by));
    cut(lines, room)
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

/// A text without its middle where it is longer than `most` bytes: the end says as much as the beginning.
fn elided(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let head = (0..=most / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let tail = (text.len() - most / 2..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("{} {} {}", &text[..head], say::left_out(tail - head), &text[tail..])
}

/// A text as lines of at most [`WIDTH`] bytes.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for letter in text.chars() {
        if lines.last().is_some_and(|line| line.len() + letter.len_utf8() > WIDTH) {
            lines.push(INDENT.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push(letter);
        }
    }
    lines
}

/// So many changes at once, or differences, end in a number all the same.
fn cut(mut lines: Vec<String>, room: Room) -> Vec<String> {
    let most = room.lines * 4;
    if lines.len() > most {
        let more = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(say::and_more(more));
    }
    lines
}

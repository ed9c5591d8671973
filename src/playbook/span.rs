//! How far a mistake reaches: a diagnostic knows where it begins, and what stands there says where it ends. Worked out from
//! the text, so that every check gives a span without each of them having to carry one.

use super::diagnostic::{Code, Diagnostic, Place};

/// The place right after the last character of what begins at `start`: a key, a text with its quotation marks, a list or
/// block of one line, or within a quoted text the word there. At least one character wide, always on the same line.
#[must_use]
pub fn end(text: &str, start: Place) -> Place {
    let line: Vec<char> = line_of(text, start).chars().collect();
    let from = start.column.saturating_sub(1).min(line.len());
    let wide = width(&line, from).max(1);
    Place { line: start.line, column: from + wide + 1 }
}

/// The line with what is wrong underlined, for a person at a terminal; nothing where the line is empty or not there.
#[must_use]
pub fn frame(text: &str, mistake: &Diagnostic) -> Option<String> {
    let line = line_of(text, mistake.place);
    if line.trim().is_empty() {
        return None;
    }
    let from = mistake.place.column.saturating_sub(1);
    // What stands before is repeated as blanks, tabs as tabs: the mark is then below its word in every terminal.
    let before: String = line.chars().take(from).map(|char| if char == '\t' { '\t' } else { ' ' }).collect();
    let marks = "^".repeat(end(text, mistake.place).column.saturating_sub(mistake.place.column).max(1));
    let number = mistake.place.line.to_string();
    let gap = " ".repeat(number.len());
    let shown: String =
        line.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect();
    Some(format!("{number} | {shown}\n{gap} | {before}{marks}"))
}

/// A mistake for an editor: `file`, `start`, `end` (the place after the last character), `code`, `says`, and the `fix` that
/// the code stands for. Lines and columns count from 1, columns in characters.
#[must_use]
pub fn json(text: &str, mistake: &Diagnostic) -> serde_json::Value {
    let code = mistake.code.to_string();
    let fix = Code::words().into_iter().find(|words| words.code == code).map(|words| words.fix);
    let Diagnostic { file, place, says, .. } = mistake;
    serde_json::json!({ "file": file, "start": place, "end": end(text, *place), "code": code, "says": says, "fix": fix })
}

fn line_of(text: &str, place: Place) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default()
}

fn width(line: &[char], from: usize) -> usize {
    let rest = &line[from..];
    if within_quotes(&line[..from]) {
        // Inside a text: the word of the condition or template, or one sign of it.
        return rest.iter().take_while(|char| char.is_alphanumeric() || matches!(char, '_' | '.')).count();
    }
    match rest.first() {
        Some(quote @ ('"' | '\'')) => quoted(rest, *quote),
        Some('[' | '{') => bracketed(rest),
        _ => plain(rest),
    }
}

/// Whether a place follows an opened quotation mark. A mark in the middle of a word (`it's`) opens nothing in YAML.
fn within_quotes(before: &[char]) -> bool {
    let mut open = None;
    let mut last = ' ';
    for char in before {
        match open {
            Some(quote) if *char == quote && last != '\\' => open = None,
            None if matches!(char, '"' | '\'') && matches!(last, ' ' | '[' | '{' | ',' | ':') => open = Some(*char),
            _ => {}
        }
        last = *char;
    }
    open.is_some()
}

/// Up to the closing mark, else to the end of the line.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' if quote == '"' => at += 1,
            // Two single marks in a single-quoted text are one of its characters.
            '\'' if quote == '\'' && rest.get(at + 1) == Some(&'\'') => at += 1,
            char if char == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    trimmed(rest)
}

/// Up to the bracket that closes it, else to the end of the line.
fn bracketed(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at] {
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 1 => return at + 1,
            ']' | '}' => depth -= 1,
            quote @ ('"' | '\'') => at += quoted(&rest[at..], quote).max(1) - 1,
            _ => {}
        }
        at += 1;
    }
    trimmed(rest)
}

/// A key up to its colon, or a plain value up to what ends it.
fn plain(rest: &[char]) -> usize {
    let ends = |at: usize| {
        let blank = |at: usize| rest.get(at).is_none_or(|char| char.is_whitespace());
        match rest[at] {
            ':' => blank(at + 1),
            '#' => at > 0 && rest[at - 1].is_whitespace(),
            ',' => blank(at + 1),
            ']' | '}' => true,
            _ => false,
        }
    };
    let length = (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
    trimmed(&rest[..length])
}

fn trimmed(part: &[char]) -> usize {
    part.iter().rposition(|char| !char.is_whitespace()).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the span that begins at `column` of the one line covers.
    fn covered(line: &str, column: usize) -> String {
        let end = end(line, Place { line: 1, column });
        line.chars().skip(column - 1).take(end.column - column).collect()
    }

    #[test]
    fn a_span_covers_what_stands_there() {
        assert_eq!(covered("  on_falure: abort # why", 3), "on_falure");
        assert_eq!(covered("  on_falure: abort # why", 14), "abort");
        assert_eq!(covered("timeout: 5 parsecs", 10), "5 parsecs");
        assert_eq!(covered("depends_on: [a, 'b]', c] # d", 13), "[a, 'b]', c]");
        assert_eq!(covered("depends_on: [alpha, beta]", 14), "alpha");
        assert_eq!(covered(r#"name: "say \"no\" now" # x"#, 7), r#""say \"no\" now""#);
        assert_eq!(covered("name: 'it''s' # x", 7), "'it''s'");
        assert_eq!(covered(r#"  - "{{ logs.errors > nope.x }}""#, 23), "nope.x");
        assert_eq!(covered(r#"  - "{{ logs.errors > 3 }}""#, 21), ">");
        assert_eq!(covered("name: 支付网关 # x", 7), "支付网关");
        assert_eq!(covered("name: it's late", 12), "late");
        assert_eq!(covered("url: http://a.example/b", 6), "http://a.example/b");
    }

    #[test]
    fn a_span_is_never_empty_and_stays_on_its_line() {
        for (text, line, column) in [("", 1, 1), ("a", 9, 4), ("a: ", 1, 40), ("a:\n  b", 1, 3), ("x: \"open\ny", 1, 4)]
        {
            let start = Place { line, column };
            let end = end(text, start);
            assert_eq!(end.line, line);
            assert!(end.column > 1, "{text:?}: {end:?}");
        }
    }

    #[test]
    fn a_frame_underlines_the_word() {
        let mistake = |line, column| Diagnostic {
            file: "a.yaml".to_owned(),
            place: Place { line, column },
            code: Code::PB003,
            says: "x".to_owned(),
        };
        let text = "name: x\ntasks:\n  - id: a\n    on_falure: abort\n\n";
        let frame_of = |line, column| frame(text, &mistake(line, column));
        assert_eq!(frame_of(4, 5).as_deref(), Some("4 |     on_falure: abort\n  |     ^^^^^^^^^"));
        assert_eq!(frame_of(5, 1), None);
        assert_eq!(frame_of(50, 1), None);
    }
}

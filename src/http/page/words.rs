//! Small pieces of every page: times, numbers with units, text with the ids in it made into links.

use maud::{Markup, html};

use crate::core::Timestamp;

/// A moment. The page's script turns it into "4 min ago" and keeps it so; the exact time is on hover.
pub(super) fn ago(at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(exact(at)) data-ago { (exact(at)) } }
}

/// A moment as a clock shows it, in the reader's time zone once the script ran.
pub(super) fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(exact(at)) data-clock { (at.strftime("%H:%M")) " UTC" } }
}

/// `2026-11-21 14:02:11 UTC`.
pub(super) fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A number with its unit, as few digits as tell it.
pub(super) fn amount(value: f64, unit: &str) -> String {
    if matches!(unit, "B" | "bytes") {
        let (mut value, mut unit) = (value, "B");
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            if value.abs() < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, next);
        }
        return format!("{} {unit}", number(value));
    }
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::with_capacity(text.len() + 4);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{}", rest.map(|rest| format!(".{rest}")).unwrap_or_default())
}

/// Text with `INC-7` made into a link to its page.
pub(super) fn linked(text: &str) -> Markup {
    let mut pieces: Vec<(&str, bool)> = Vec::new();
    let mut plain = 0;
    for (at, _) in text.match_indices("INC-") {
        let digits = text[at + 4..].bytes().take_while(u8::is_ascii_digit).count();
        let inside_word =
            text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '-');
        if digits == 0 || digits > 18 || inside_word || at < plain {
            continue;
        }
        pieces.push((&text[plain..at], false));
        pieces.push((&text[at..at + 4 + digits], true));
        plain = at + 4 + digits;
    }
    pieces.push((&text[plain..], false));
    html! {
        @for (piece, link) in pieces {
            @if link { a href={ "/incidents/" (piece) } { (piece) } } @else { (piece) }
        }
    }
}

/// A path on our own listener, or nothing: evidence links come with cards and must not lead elsewhere.
pub(super) fn own_path(path: &str) -> Option<&str> {
    let ours = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\n', '\r', '\t']);
    ours.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_few_digits_as_tell_them() {
        for (value, unit, text) in [
            (0.0, "%", "0 %"),
            (48.04, "%", "48 %"),
            (9.812, "s", "9.81 s"),
            (0.0421, "s", "0.042 s"),
            (120_400.0, "", "120,400"),
            (-1234.5, "ms", "-1,234 ms"),
            (3.0 * 1024.0 * 1024.0, "bytes", "3 MiB"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }

    #[test]
    fn ids_become_links_and_everything_else_stays_text() {
        let html = linked("see INC-7 and <b>INC-x</b> XINC-3 INC-12.").into_string();
        assert_eq!(
            html,
            "see <a href=\"/incidents/INC-7\">INC-7</a> and &lt;b&gt;INC-x&lt;/b&gt; XINC-3 <a href=\"/incidents/INC-12\">INC-12</a>."
        );
        assert_eq!(own_path("//evil.example"), None);
        assert_eq!(own_path("javascript:alert(1)"), None);
        assert_eq!(own_path("/incidents/INC-7/evidence/E1"), Some("/incidents/INC-7/evidence/E1"));
    }
}

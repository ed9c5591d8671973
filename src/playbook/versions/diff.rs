//! Two texts line by line, as people are used to read it: `-` gone, `+` new, a few lines around.

/// Lines shown around a change.
const AROUND: usize = 3;
/// Above so many pairs of lines the middle is shown as all gone and all new, instead of taking long.
const MOST_PAIRS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Gone,
    New,
}

/// The difference, with the line number (of the new text) where each part begins; empty when there is none.
#[must_use]
pub fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let steps = steps(&old, &new);
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        steps[from..(at + AROUND + 1).min(steps.len())].iter().any(|(kind, _)| *kind != Kind::Same)
    };
    let mut text = String::new();
    let (mut line, mut shown) = (1, true);
    for (at, (kind, words)) in steps.iter().enumerate() {
        if near(at) {
            if !shown || at == 0 {
                text.push_str(&format!("@@ line {line}\n"));
            }
            let mark = match kind {
                Kind::Same => ' ',
                Kind::Gone => '-',
                Kind::New => '+',
            };
            text.push_str(&format!("{mark} {words}\n"));
            shown = true;
        } else {
            shown = false;
        }
        line += usize::from(*kind != Kind::Gone);
    }
    text
}

/// The longest common subsequence by the usual table, after the equal ends are taken off.
fn steps<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Kind, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_old, middle_new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut found: Vec<(Kind, &str)> = old[..head].iter().map(|line| (Kind::Same, *line)).collect();
    let (rows, columns) = (middle_old.len(), middle_new.len());
    if rows * columns > MOST_PAIRS {
        found.extend(middle_old.iter().map(|line| (Kind::Gone, *line)));
        found.extend(middle_new.iter().map(|line| (Kind::New, *line)));
    } else {
        let mut longest = vec![0u32; (rows + 1) * (columns + 1)];
        let at = |row: usize, column: usize| row * (columns + 1) + column;
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                longest[at(row, column)] = if middle_old[row] == middle_new[column] {
                    longest[at(row + 1, column + 1)] + 1
                } else {
                    longest[at(row + 1, column)].max(longest[at(row, column + 1)])
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows || column < columns {
            if row < rows && column < columns && middle_old[row] == middle_new[column] {
                found.push((Kind::Same, middle_old[row]));
                (row, column) = (row + 1, column + 1);
            } else if column == columns || (row < rows && longest[at(row + 1, column)] >= longest[at(row, column + 1)])
            {
                found.push((Kind::Gone, middle_old[row]));
                row += 1;
            } else {
                found.push((Kind::New, middle_new[column]));
                column += 1;
            }
        }
    }
    found.extend(old[old.len() - tail..].iter().map(|line| (Kind::Same, *line)));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_changed_line_stands_with_its_neighbours() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni";
        let after = "a\nb\nc\nd\nE\nf\ng\nh\ni";
        assert_eq!(diff(before, after), "@@ line 2\n  b\n  c\n  d\n- e\n+ E\n  f\n  g\n  h\n");
        assert_eq!(diff(before, before), "");
        assert_eq!(diff("", "x"), "@@ line 1\n+ x\n");
    }

    proptest! {
        /// What is not new is the old text, and what is not gone is the new one.
        #[test]
        fn nothing_is_lost_or_made_up(
            old in prop::collection::vec("[ab]", 0..12),
            new in prop::collection::vec("[ab]", 0..12),
        ) {
            let (old, new): (Vec<&str>, Vec<&str>) =
                (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let steps = steps(&old, &new);
            let without = |kind: Kind| -> Vec<&str> {
                steps.iter().filter(|(found, _)| *found != kind).map(|(_, line)| *line).collect()
            };
            prop_assert_eq!(without(Kind::New), old);
            prop_assert_eq!(without(Kind::Gone), new);
        }
    }
}

//! "Did you mean": the nearest of some words.

/// The candidate nearest to `word`, if one is near enough to be meant: at most one slip per three letters (and one at
/// least). The first of equally near ones; case does not count.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes eighty letters, and the distance costs the product of both lengths.
    const LONGEST: usize = 80;
    let word: Vec<char> = word.to_lowercase().chars().take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().take(LONGEST + 1).collect();
        // `time` for `timeline`: an unfinished word is near as well.
        let unfinished = word.len() >= 3 && letters.starts_with(&word);
        let distance = if unfinished { 1 } else { distance(&word, &letters) };
        let allowed = (word.len().max(letters.len()) / 3).max(1);
        // Two letters differ from every other two by at most two: one slip must leave something in common.
        let shares = word.iter().any(|letter| letters.contains(letter));
        if distance <= allowed && shares && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours (Damerau 1964, restricted).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let words = ["incidents", "ack", "approve", "timeline", "runs", "run"];
        assert_eq!(nearest("incidnets", words), Some("incidents"));
        assert_eq!(nearest("akc", words), Some("ack"));
        assert_eq!(nearest("aprove", words), Some("approve"));
        assert_eq!(nearest("time", words), Some("timeline"));
        assert_eq!(nearest("rn", words), Some("run"));
        assert_eq!(nearest("frobnicate", words), None);
        assert_eq!(nearest("", words), None);
    }
}

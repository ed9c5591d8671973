//! Log templates: lines that differ only in their variable parts are one template, `user <*> logged in`.
//!
//! After Drain (He, Zhu, Zheng, Lyu: "Drain: an online log parsing approach with fixed depth tree", ICWS 2017): lines of
//! the same number of tokens and the same first token are candidates; the most similar cluster takes the line if at least
//! half of its tokens agree, and what differs becomes `<*>`. Before that, what is obviously variable (numbers, ids,
//! addresses, hex) is masked, so that one line is enough for a template.

use std::collections::{BTreeMap, HashMap};

use crate::core::Timestamp;

/// The variable part of a template.
pub const WILDCARD: &str = "<*>";

/// At most so many templates; lines that fit none once it is full are counted under [`Miner::overflow`].
pub const MAX_TEMPLATES: usize = 1_000;
const MAX_TOKENS: usize = 128;
/// Share of equal tokens from which a line belongs to a cluster (the paper's value for most systems).
const SIMILAR: f64 = 0.5;

/// Learns templates line by line.
#[derive(Debug, Default)]
pub struct Miner {
    clusters: Vec<Cluster>,
    /// Clusters by number of tokens and first token.
    groups: HashMap<(usize, String), Vec<usize>>,
    overflow: u64,
}

#[derive(Debug)]
struct Cluster {
    tokens: Vec<String>,
    count: u64,
}

/// Which template a line belongs to: its number, from 0 in order of appearance. Stays the same while the template grows
/// more general.
pub type TemplateId = usize;

impl Miner {
    /// Takes a line; none when the miner is full and no template fits, or the line is blank.
    pub fn learn(&mut self, line: &str) -> Option<TemplateId> {
        let tokens = masked(line);
        let first = tokens.first()?;
        // A variable first token can't tell clusters apart.
        let first = if first.contains(WILDCARD) { WILDCARD.to_owned() } else { first.clone() };
        let group = self.groups.entry((tokens.len(), first)).or_default();
        let best = group
            .iter()
            .map(|id| (*id, likeness(&self.clusters[*id].tokens, &tokens)))
            // The earlier template wins a tie, so that the order of later ones does not matter.
            .fold(
                None,
                |best: Option<(usize, f64)>, one| {
                    if best.is_some_and(|best| best.1 >= one.1) { best } else { Some(one) }
                },
            );
        if let Some((id, likeness)) = best
            && likeness >= SIMILAR
        {
            let cluster = &mut self.clusters[id];
            cluster.count += 1;
            for (known, new) in cluster.tokens.iter_mut().zip(&tokens) {
                if known != new {
                    *known = WILDCARD.to_owned();
                }
            }
            return Some(id);
        }
        if self.clusters.len() >= MAX_TEMPLATES {
            self.overflow += 1;
            return None;
        }
        let id = self.clusters.len();
        group.push(id);
        self.clusters.push(Cluster { tokens, count: 1 });
        Some(id)
    }

    /// A template's text.
    #[must_use]
    pub fn template(&self, id: TemplateId) -> Option<String> {
        self.clusters.get(id).map(|cluster| cluster.tokens.join(" "))
    }

    /// How many lines a template has taken.
    #[must_use]
    pub fn count(&self, id: TemplateId) -> u64 {
        self.clusters.get(id).map_or(0, |cluster| cluster.count)
    }

    /// How many templates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// Whether nothing was learned yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// Lines that found no place because [`MAX_TEMPLATES`] was reached.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.overflow
    }
}

/// Share of the tokens that are equal and not variable on either side; two variable ones count half, so that lines of
/// nothing but numbers find each other.
fn likeness(template: &[String], tokens: &[String]) -> f64 {
    let same: f64 = template
        .iter()
        .zip(tokens)
        .map(|(one, other)| match one == other {
            true if one == WILDCARD => 0.5,
            true => 1.0,
            false => 0.0,
        })
        .sum();
    same / template.len().max(1) as f64
}

/// A line's tokens with the obviously variable parts replaced by `<*>`.
#[must_use]
pub fn masked(line: &str) -> Vec<String> {
    line.split_whitespace().take(MAX_TOKENS).map(mask_token).collect()
}

fn mask_token(token: &str) -> String {
    let mut masked = String::with_capacity(token.len());
    let mut word = String::new();
    for letter in token.chars() {
        if letter.is_alphanumeric() || "_-.:@".contains(letter) {
            word.push(letter);
        } else {
            push_word(&mut masked, &word);
            word.clear();
            masked.push(letter);
        }
    }
    push_word(&mut masked, &word);
    masked
}

fn push_word(masked: &mut String, word: &str) {
    // `port:8080` and `10.0.0.1:53,`: the name before the colon stays, punctuation at the end too.
    let body = word.trim_end_matches([':', '.', '-']);
    let tail = &word[body.len()..];
    match body.split_once(':') {
        Some((name, value)) if !is_variable(name) && is_variable(value) => {
            masked.push_str(name);
            masked.push(':');
            masked.push_str(WILDCARD);
        }
        _ if is_variable(body) => masked.push_str(WILDCARD),
        _ => masked.push_str(body),
    }
    masked.push_str(tail);
}

/// Numbers, durations, dates, addresses, ids: a word with a digit, unless it reads like a name (`http2`, `utf-8`, `v1`);
/// and long runs of hex digits.
fn is_variable(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.chars().filter(|letter| letter.is_alphabetic()).count();
    if digits == 0 {
        return word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let name_like = digits == 1 && (1..=5).contains(&letters) && word.starts_with(char::is_alphabetic);
    !name_like
}

/// What is different about the lines of a window compared with those before it.
#[derive(Debug, Default)]
pub struct Comparison {
    miner: Miner,
    seen: BTreeMap<TemplateId, Seen>,
}

#[derive(Debug)]
struct Seen {
    before: u64,
    during: u64,
    errors: u64,
    first: Option<(Timestamp, String)>,
}

/// One template's counts on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateChange {
    /// The template.
    pub template: String,
    /// Lines before the window.
    pub before: u64,
    /// Lines in it.
    pub during: u64,
    /// Lines in it whose level is ERROR or worse.
    pub errors: u64,
    /// When the first line in the window came.
    pub first_at: Timestamp,
    /// That line.
    pub sample: String,
}

impl TemplateChange {
    /// Never seen before the window.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.before == 0
    }
}

impl Comparison {
    /// A line from before the window. Give all of these first: a template learned here is not new.
    pub fn before(&mut self, line: &str) {
        if let Some(seen) = self.learn(line) {
            seen.before += 1;
        }
    }

    /// A line of the window, in time order.
    pub fn during(&mut self, at: Timestamp, line: &str, is_error: bool) {
        if let Some(seen) = self.learn(line) {
            seen.during += 1;
            seen.errors += u64::from(is_error);
            seen.first.get_or_insert_with(|| (at, line.to_owned()));
        }
    }

    fn learn(&mut self, line: &str) -> Option<&mut Seen> {
        let id = self.miner.learn(line)?;
        Some(self.seen.entry(id).or_insert(Seen { before: 0, during: 0, errors: 0, first: None }))
    }

    /// The templates of the window, in order of first appearance there.
    #[must_use]
    pub fn changes(&self) -> Vec<TemplateChange> {
        let mut changes: Vec<TemplateChange> = self
            .seen
            .iter()
            .filter_map(|(id, seen)| {
                let (first_at, sample) = seen.first.clone()?;
                let template = self.miner.template(*id)?;
                Some(TemplateChange {
                    template,
                    before: seen.before,
                    during: seen.during,
                    errors: seen.errors,
                    first_at,
                    sample,
                })
            })
            .collect();
        changes.sort_by_key(|change| change.first_at);
        changes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(lines: &[&str]) -> String {
        let mut miner = Miner::default();
        let ids: Vec<_> = lines.iter().map(|line| miner.learn(line).unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{lines:?} are {ids:?}");
        miner.template(ids[0]).unwrap()
    }

    #[test]
    fn variable_parts_are_masked_in_a_single_line() {
        for (line, wanted) in [
            ("GET /orders/4711 took 312ms", "GET /orders/<*> took <*>"),
            ("connect to 10.1.2.3:5432 failed: timeout=5s", "connect to <*> failed: timeout=<*>"),
            ("trace 4bf92f3577b34da6a3ce929d0e0e4736 done", "trace <*> done"),
            ("pod order-service-7d9f8b6c5-x2x9z restarted", "pod <*> restarted"),
            ("speaks http2 and utf-8 on port:8080", "speaks http2 and utf-8 on port:<*>"),
            ("at 2026-05-01T12:00:01.5Z [worker-12] gone", "at <*> [<*>] gone"),
        ] {
            assert_eq!(template(&[line]), wanted);
        }
    }

    #[test]
    fn words_that_differ_become_variable_and_other_sentences_stay_apart() {
        assert_eq!(template(&["user ana logged in", "user ben logged in"]), "user <*> logged in");
        let mut miner = Miner::default();
        let one = miner.learn("disk is full on node");
        let other = miner.learn("disk was replaced by hand");
        assert_ne!(one, other);
    }

    #[test]
    fn a_line_never_seen_before_the_window_is_new_and_a_usual_one_is_not() {
        let mut comparison = Comparison::default();
        for order in 0..50 {
            comparison.before(&format!("INFO order {order} placed"));
        }
        let at = |secs| Timestamp::from_second(secs).unwrap();
        comparison.during(at(1), "INFO order 51 placed", false);
        comparison.during(at(2), "ERROR inventory-service did not answer within 1000 ms", true);
        comparison.during(at(3), "ERROR inventory-service did not answer within 1001 ms", true);
        let changes = comparison.changes();
        assert_eq!(changes.iter().map(TemplateChange::is_new).collect::<Vec<_>>(), [false, true]);
        assert_eq!((changes[1].during, changes[1].errors, changes[1].first_at), (2, 2, at(2)));
        assert_eq!(changes[1].template, "ERROR inventory-service did not answer within <*> ms");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic_and_every_line_finds_its_template_again(lines in prop::collection::vec(".{0,60}", 1..40)) {
            let mut miner = Miner::default();
            for line in &lines {
                let first = miner.learn(line);
                prop_assert_eq!(miner.learn(line), first, "{}", line);
                prop_assert_eq!(first.is_none(), line.split_whitespace().next().is_none());
            }
        }

        #[test]
        fn only_the_numbers_differ_so_it_is_one_template(words in prop::collection::vec("[a-z]{2,9}", 1..8), a in 10u32..99999, b in 10u32..99999) {
            let mut miner = Miner::default();
            let words = words.join(" ");
            prop_assert_eq!(miner.learn(&format!("{words} {a}")), miner.learn(&format!("{words} {b}")));
        }

        #[test]
        fn a_full_miner_counts_what_it_turns_away(extra in 1usize..50) {
            let mut miner = Miner::default();
            for number in 0..MAX_TEMPLATES + extra {
                // Letters only, so that nothing is masked.
                let word: String = number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
                miner.learn(&word);
            }
            prop_assert_eq!(miner.overflow() as usize, extra);
        }
    }
}

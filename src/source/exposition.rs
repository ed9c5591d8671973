//! The Prometheus text format 0.0.4, read and written:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! Pure and bounded: a body of any bytes gives samples or an error that names the line. One bad line refuses the whole
//! body, as Prometheus does: half a page of counters would look like a change that never happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Reading;
use crate::core::Timestamp;

/// What one page may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples on the page.
    pub samples: usize,
    /// Labels of one sample.
    pub labels: usize,
    /// Bytes of a name or a label value.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 5_000, labels: 64, text: 2_048 }
    }
}

/// What a `# TYPE` line says about a family of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are the format's")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] = [
        ("counter", Self::Counter),
        ("gauge", Self::Gauge),
        ("histogram", Self::Histogram),
        ("summary", Self::Summary),
        ("untyped", Self::Untyped),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("untyped", |(name, _)| name)
    }
}

/// What is said about a family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Family {
    /// From `# TYPE`.
    pub kind: Option<Kind>,
    /// From `# HELP`.
    pub help: Option<String>,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Samples in the page's order.
    pub samples: Vec<Reading>,
    /// Families by name.
    pub families: BTreeMap<String, Family>,
}

/// A page can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Error {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub why: String,
}

/// Reads a page.
///
/// # Errors
/// The first line that is not of the format, or a limit that the page exceeds.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Page, Error> {
    let text = std::str::from_utf8(body).map_err(|error| Error {
        line: 1 + body[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count(),
        why: "not UTF-8".to_owned(),
    })?;
    let mut page = Page::default();
    for (index, line) in text.split('\n').enumerate() {
        let mut cursor = Cursor { rest: line.strip_suffix('\r').unwrap_or(line), limits };
        cursor.blanks();
        let read = if cursor.rest.is_empty() {
            Ok(())
        } else if let Some(comment) = cursor.rest.strip_prefix('#') {
            cursor.rest = comment;
            about(&mut cursor, &mut page)
        } else if page.samples.len() >= limits.samples {
            Err(format!(
                "more than {} samples on the page; raise max_series of this target or expose less",
                limits.samples
            ))
        } else {
            sample(&mut cursor).map(|sample| page.samples.push(sample))
        };
        read.map_err(|why| Error { line: index + 1, why })?;
    }
    Ok(page)
}

/// `# HELP name text`, `# TYPE name kind`; any other comment is skipped.
fn about(cursor: &mut Cursor<'_>, page: &mut Page) -> Result<(), String> {
    cursor.blanks();
    let what = match cursor.rest.split([' ', '\t']).next() {
        Some(what @ ("HELP" | "TYPE")) => what,
        _ => return Ok(()),
    };
    cursor.rest = &cursor.rest[what.len()..];
    cursor.blanks();
    let name = cursor.name(true)?.to_owned();
    if page.families.len() >= cursor.limits.samples && !page.families.contains_key(&name) {
        return Err(format!("more than {} families on the page", cursor.limits.samples));
    }
    let family = page.families.entry(name.clone()).or_default();
    if what == "HELP" {
        // One blank separates; further blanks belong to the text.
        let text = cursor.rest.strip_prefix([' ', '\t']).unwrap_or(cursor.rest);
        family.help = Some(unescaped(text, cursor.limits.text, false)?);
        return Ok(());
    }
    let word = cursor.rest.trim_matches([' ', '\t']);
    let kind = Kind::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| {
        format!("`{}` is not a type; one of counter, gauge, histogram, summary, untyped", short(word))
    })?;
    if family.kind.replace(kind).is_some() {
        return Err(format!("a second TYPE for `{}`", short(&name)));
    }
    Ok(())
}

fn sample(cursor: &mut Cursor<'_>) -> Result<Reading, String> {
    let name = cursor.name(true)?.to_owned();
    cursor.blanks();
    let mut labels = BTreeMap::new();
    if cursor.take('{') {
        loop {
            cursor.blanks();
            if cursor.take('}') {
                break;
            }
            let label = cursor.name(false)?.to_owned();
            cursor.blanks();
            cursor.expect('=')?;
            cursor.blanks();
            let value = cursor.quoted()?;
            if labels.len() >= cursor.limits.labels {
                return Err(format!("more than {} labels", cursor.limits.labels));
            }
            if labels.insert(label.clone(), value).is_some() {
                return Err(format!("the label `{}` stands twice", short(&label)));
            }
            cursor.blanks();
            if !cursor.take(',') {
                cursor.expect('}')?;
                break;
            }
        }
    }
    let mut words = cursor.rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next().ok_or("there is no value after the name")?;
    let value: f64 = value.parse().map_err(|_| format!("`{}` is not a number", short(value)))?;
    let at = words.next().map(timestamp).transpose()?;
    match words.next() {
        Some(more) => Err(format!("`{}` follows the timestamp; a line ends there", short(more))),
        None => Ok(Reading { name, labels, value, at }),
    }
}

fn timestamp(word: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{}` is not a timestamp in milliseconds", short(word));
    let millis: i64 = word.parse().map_err(|_| wrong())?;
    Timestamp::from_millisecond(millis).map_err(|_| wrong())
}

struct Cursor<'a> {
    rest: &'a str,
    limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("expected `{wanted}` before `{}`", short(self.rest))) }
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`, for a metric's name also with `:`.
    fn name(&mut self, metric: bool) -> Result<&'a str, String> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (metric && *byte == b':');
        let end = self.rest.bytes().take_while(allowed).count();
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("expected a name before `{}`", short(self.rest)));
        }
        if name.len() > self.limits.text {
            return Err(format!("a name longer than {} bytes", self.limits.text));
        }
        self.rest = rest;
        Ok(name)
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut escaped = false;
        let end = self.rest.char_indices().find_map(|(at, letter)| match letter {
            _ if escaped => {
                escaped = false;
                None
            }
            '\\' => {
                escaped = true;
                None
            }
            '"' => Some(at),
            _ => None,
        });
        let end = end.ok_or("a label value has no closing quote")?;
        let value = unescaped(&self.rest[..end], self.limits.text, true)?;
        self.rest = &self.rest[end + 1..];
        Ok(value)
    }
}

/// Resolves `\\`, `\n` and, in label values, `\"`.
fn unescaped(text: &str, limit: usize, quotes: bool) -> Result<String, String> {
    if text.len() > limit {
        return Err(format!("a text longer than {limit} bytes"));
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if quotes => plain.push('"'),
            other => return Err(format!("`\\{}` is not an escape", other.map(String::from).unwrap_or_default())),
        }
    }
    Ok(plain)
}

fn short(text: &str) -> String {
    crate::core::text::capped(text, 40)
}

/// Writes a page that [`parse`] reads back as it was.
#[must_use]
pub fn render(page: &Page) -> String {
    let mut text = String::new();
    for (name, family) in &page.families {
        if let Some(help) = &family.help {
            let _ = writeln!(text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        }
        if let Some(kind) = family.kind {
            let _ = writeln!(text, "# TYPE {name} {}", kind.name());
        }
    }
    for sample in &page.samples {
        text.push_str(&sample.name);
        for (index, (label, value)) in sample.labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(text, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
        }
        if !sample.labels.is_empty() {
            text.push('}');
        }
        let _ = match sample.value {
            f64::INFINITY => write!(text, " +Inf"),
            f64::NEG_INFINITY => write!(text, " -Inf"),
            value => write!(text, " {value}"),
        };
        if let Some(at) = sample.at {
            let _ = write!(text, " {}", at.as_millisecond());
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(text: &str) -> Result<Page, Error> {
        parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn the_documented_example_is_read() {
        let page = page(
            r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045
rpc_duration_seconds{quantile="0.01",} NaN
"#,
        )
        .unwrap();
        assert_eq!(page.samples.len(), 6);
        assert_eq!(page.samples[0].labels["code"], "200");
        assert_eq!(page.samples[0].at.unwrap().as_millisecond(), 1_395_066_363_000);
        assert_eq!(page.samples[2].labels["error"], "Cannot find file:\n\"FILE.TXT\"");
        assert_eq!(page.samples[4].value, f64::INFINITY);
        assert!(page.samples[5].value.is_nan());
        assert_eq!(page.families["http_requests_total"].kind, Some(Kind::Counter));
        assert_eq!(page.families["http_requests_total"].help.as_deref(), Some("The total number of HTTP requests."));
    }

    #[test]
    fn an_error_names_the_line_and_what_is_wrong() {
        for (text, line, why) in [
            ("a 1\nb", 2, "no value"),
            ("a{x=\"1} 1", 1, "closing quote"),
            ("a{x=\"1\",x=\"2\"} 1", 1, "twice"),
            ("a{1x=\"1\"} 1", 1, "expected a name"),
            ("a one", 1, "`one` is not a number"),
            ("a 1 2.5", 1, "milliseconds"),
            ("a 1 2 3", 1, "follows the timestamp"),
            ("# TYPE a speed", 1, "is not a type"),
            ("\n\n# TYPE a gauge\n# TYPE a gauge", 4, "second TYPE"),
            ("a{x=\"\\q\"} 1", 1, "is not an escape"),
        ] {
            let error = page(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.why.contains(why), "{text}: {}", error.why);
        }
        assert_eq!(parse(b"a 1\n\xff 2", &Limits::default()).unwrap_err().line, 2);
    }

    #[test]
    fn a_page_of_too_many_series_is_refused_at_the_bound() {
        let limits = Limits { samples: 2, ..Limits::default() };
        assert_eq!(parse(b"a 1\nb 2\n", &limits).unwrap().samples.len(), 2);
        assert_eq!(parse(b"a 1\nb 2\nc 3\n", &limits).unwrap_err().line, 3);
    }

    fn reading() -> impl Strategy<Value = Reading> {
        let labels = prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", ".{0,12}|[\\\\\"\n ]{0,6}", 0..4);
        (
            "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
            labels,
            any::<f64>(),
            prop::option::of(-1_000_000_000_000i64..4_000_000_000_000),
        )
            .prop_map(|(name, labels, value, at)| Reading {
                name,
                // A line break that is not `\n` is data too.
                labels,
                value: if value.is_nan() { 0.5 } else { value },
                at: at.map(|millis| Timestamp::from_millisecond(millis).unwrap()),
            })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, &Limits::default());
        }

        #[test]
        fn no_text_near_the_format_makes_it_panic(text in "[a-z_{}=\",\\\\ #\n0-9.é+-]{0,120}") {
            let _ = page(&text);
        }

        #[test]
        fn what_is_written_reads_back(samples in prop::collection::vec(reading(), 0..8), help in ".{0,20}") {
            let families = BTreeMap::from([("a_total".to_owned(), Family { kind: Some(Kind::Counter), help: Some(help.replace('\r', "")) })]);
            let samples = samples.into_iter().map(|mut one| {
                one.labels.values_mut().for_each(|value| *value = value.replace('\r', ""));
                one
            }).collect();
            let wanted = Page { samples, families };
            prop_assert_eq!(page(&render(&wanted)).unwrap(), wanted);
        }
    }
}

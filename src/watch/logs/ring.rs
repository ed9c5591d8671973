//! The last lines of one service, bounded by bytes.

use std::collections::VecDeque;

use crate::core::Timestamp;

/// What a line costs beside its text, in bytes.
const OVERHEAD: usize = std::mem::size_of::<Line>();

#[derive(Debug)]
pub(super) struct Line {
    pub at: Timestamp,
    pub level: Option<&'static str>,
    pub text: Box<str>,
}

#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    limit: usize,
    /// The newest time of a line that had to go.
    gone: Option<Timestamp>,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit, gone: None }
    }

    /// Adds a line at its place in time; returns how many old ones went.
    pub(super) fn push(&mut self, at: Timestamp, level: Option<&'static str>, text: Box<str>) -> u64 {
        self.bytes += text.len() + OVERHEAD;
        // Two files of one service interleave: nearly always at the end, else a few places before it.
        let mut place = self.lines.len();
        while place > 0 && self.lines[place - 1].at > at {
            place -= 1;
        }
        self.lines.insert(place, Line { at, level, text });
        let mut evicted = 0;
        while self.bytes > self.limit && self.lines.len() > 1 {
            if let Some(old) = self.lines.pop_front() {
                self.bytes -= old.text.len() + OVERHEAD;
                self.gone = self.gone.max(Some(old.at));
                evicted += 1;
            }
        }
        evicted
    }

    /// Lines with `from` ≤ time < `to`, in time order.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Line> {
        let start = self.lines.partition_point(|line| line.at < from);
        let end = self.lines.partition_point(|line| line.at < to).max(start);
        self.lines.range(start..end)
    }

    /// No line up to this time is sure to be still here.
    pub(super) fn gone_before(&self) -> Option<Timestamp> {
        self.gone
    }
}

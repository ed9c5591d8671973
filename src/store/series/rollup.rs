//! Several samples as one: enough to give their mean, least, greatest and last.

/// What is known of the samples of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rollup {
    pub count: u32,
    pub sum: f64,
    pub least: f64,
    pub greatest: f64,
    pub last: f64,
}

impl Rollup {
    /// Of one sample.
    pub const fn of(value: f64) -> Self {
        Self { count: 1, sum: value, least: value, greatest: value, last: value }
    }

    /// Takes in what came after it.
    pub fn add(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.sum += later.sum;
        self.least = self.least.min(later.least);
        self.greatest = self.greatest.max(later.greatest);
        self.last = later.last;
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

//! What may go wrong inside inventory-service and be put right from outside: its pool of connections to the store, and the
//! recount of its stock, a job that can be paused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Connections to the store that may be in use at once, until someone sets another number.
pub const POOL: usize = 8;
/// A pool is never set larger: the store has no more seats for one caller.
pub const MOST: usize = 32;

/// A pool of connections to the store.
#[derive(Debug)]
pub struct Pool {
    size: AtomicUsize,
    in_use: AtomicUsize,
    leaks: AtomicBool,
}

/// A connection in use; given back when dropped, unless the pool leaks.
#[derive(Debug)]
pub struct Connection<'a>(&'a Pool);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if !self.0.leaks.load(Ordering::Relaxed) {
            self.0.in_use.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { size: AtomicUsize::new(POOL), in_use: AtomicUsize::new(0), leaks: AtomicBool::new(false) }
    }
}

impl Pool {
    /// A free connection, if there is one.
    pub fn take(&self) -> Option<Connection<'_>> {
        let size = self.size();
        let one_more = |in_use| (in_use < size).then_some(in_use + 1);
        self.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Connection(self))
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// How many are in use, lost ones included.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Sets how many there are, 1 to [`MOST`]; false if it can't be so many.
    pub fn resize(&self, size: usize) -> bool {
        let fits = (1..=MOST).contains(&size);
        if fits {
            self.size.store(size, Ordering::Relaxed);
        }
        fits
    }

    /// From now on no connection comes back.
    pub fn leak(&self) {
        self.leaks.store(true, Ordering::Relaxed);
    }
}

/// The recount of the stock.
#[derive(Debug, Default)]
pub struct Recount {
    begun: AtomicBool,
    runs: std::sync::Arc<AtomicBool>,
}

impl Recount {
    /// `idle`, `running` or `paused`.
    pub fn state(&self) -> &'static str {
        match (self.begun.load(Ordering::Relaxed), self.runs.load(Ordering::Relaxed)) {
            (false, _) => "idle",
            (true, true) => "running",
            (true, false) => "paused",
        }
    }

    /// Starts it, or lets it go on; does nothing while it runs.
    pub fn start(&self) {
        self.begun.store(true, Ordering::Relaxed);
        if self.runs.swap(true, Ordering::Relaxed) {
            return;
        }
        let runs = self.runs.clone();
        // It counts as fast as it can: that is what is wrong with it.
        std::thread::spawn(move || {
            let mut counted = 0u64;
            while runs.load(Ordering::Relaxed) {
                counted = std::hint::black_box(counted.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        });
    }

    /// Pauses it. False if it has not begun.
    pub fn pause(&self) -> bool {
        self.runs.store(false, Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_out_what_it_has_and_a_leaking_one_gets_nothing_back() {
        let pool = Pool::default();
        let all: Vec<_> = (0..POOL).map(|_| pool.take().unwrap()).collect();
        assert!(pool.take().is_none());
        drop(all);
        assert_eq!(pool.in_use(), 0);
        pool.leak();
        drop(pool.take());
        assert_eq!(pool.in_use(), 1);
        assert!(pool.resize(16) && !pool.resize(MOST + 1) && !pool.resize(0));
        assert_eq!(pool.size(), 16);
    }

    #[test]
    fn a_recount_is_paused_and_goes_on() {
        let recount = Recount::default();
        assert!(!recount.pause());
        assert_eq!(recount.state(), "idle");
        recount.start();
        assert_eq!(recount.state(), "running");
        assert!(recount.pause());
        assert_eq!(recount.state(), "paused");
    }
}

//! How fast we go: pings of our own see what any other client sees behind our work. While they are quick the batches grow, to a
//! limit; when one is slow they shrink, and pauses begin. `--over` spreads the work on top of that.

use std::time::{Duration, Instant};

use super::Link;
use crate::sys::Stop;

/// Keys of one script at most; one that would take longer than its budget hands the rest back.
const LARGEST_BATCH: usize = 400;
const SMALLEST_BATCH: usize = 4;
const GROWTH: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A spread run takes a step this often.
const STRIDE: Duration = Duration::from_millis(100);
/// Pings before the work begins: what the way to the server takes by itself.
const IDLE_PINGS: usize = 20;

/// The speed of one run.
pub struct Pace {
    limit: Duration,
    over: Duration,
    total: u64,
    passed: u64,
    started: Instant,
    idle: Duration,
    batch: usize,
    pause: Duration,
    pings: Pings,
    slowed: u64,
}

impl Pace {
    /// Others wait at most `limit` longer than without us; about `total` keys are gone through in no less than `over`.
    pub fn new(limit: Duration, over: Duration, total: u64) -> Self {
        Self {
            limit,
            over,
            total,
            passed: 0,
            started: Instant::now(),
            idle: Duration::ZERO,
            batch: LARGEST_BATCH / 4,
            pause: Duration::ZERO,
            pings: Pings::default(),
            slowed: 0,
        }
    }

    /// Learns how long an answer takes while we do nothing.
    pub(super) fn settle(&mut self, probe: &mut Link) -> anyhow::Result<()> {
        let mut fastest = Duration::MAX;
        for _ in 0..IDLE_PINGS {
            let asked = Instant::now();
            probe.ping()?;
            fastest = fastest.min(asked.elapsed());
        }
        self.idle = fastest;
        Ok(())
    }

    /// Keys that one script may look at.
    pub(super) fn batch(&self) -> usize {
        let strides = self.over.as_millis() / STRIDE.as_millis();
        match u64::try_from(strides) {
            Ok(0) | Err(_) => self.batch,
            Ok(strides) => {
                let share = usize::try_from(self.total / strides).unwrap_or(usize::MAX);
                self.batch.min(share.max(1))
            }
        }
    }

    /// Keys that one SCAN may look at: it holds the server for about as long as a script with as many.
    pub(super) fn page(&self) -> usize {
        self.batch
    }

    /// What a ping behind our work took.
    pub(super) fn saw(&mut self, ping: Duration) {
        self.pings.add(ping);
        let waited = ping.saturating_sub(self.idle);
        if waited > self.limit {
            self.batch = (self.batch / 2).max(SMALLEST_BATCH);
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.slowed += 1;
        } else if waited < self.limit / 4 {
            self.batch = (self.batch + GROWTH).min(LARGEST_BATCH);
            self.pause = match self.pause {
                pause if pause <= FIRST_PAUSE => Duration::ZERO,
                pause => pause / 2,
            };
        }
    }

    /// So many more keys are behind us.
    pub(super) fn pass(&mut self, keys: u64) {
        self.passed += keys;
    }

    /// Waits until it is time to go on.
    pub(super) fn rest(&self, stop: &Stop) -> anyhow::Result<()> {
        let share = self.passed as f64 / self.total.max(1) as f64;
        let due = self.started + self.over.mul_f64(share.clamp(0.0, 1.0));
        let until = due.max(Instant::now() + self.pause);
        loop {
            stop.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(STRIDE));
        }
    }

    /// The pings so far.
    pub fn pings(&self) -> &Pings {
        &self.pings
    }

    /// How often a ping was so slow that we became slower.
    pub fn slowed(&self) -> u64 {
        self.slowed
    }
}

const BUCKET_US: u64 = 10;
const BUCKETS: usize = 10_000;

/// Times of many pings in little memory: counted by hundredths of a millisecond.
pub struct Pings {
    counts: Vec<u32>,
    number: u64,
    longest: Duration,
}

impl Default for Pings {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            number: 0,
            longest: Duration::ZERO,
        }
    }
}

impl Pings {
    fn add(&mut self, ping: Duration) {
        let bucket = u64::try_from(ping.as_micros()).unwrap_or(u64::MAX) / BUCKET_US;
        let bucket = usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.number += 1;
        self.longest = self.longest.max(ping);
    }

    /// Milliseconds that so many percent of the pings took at most; nothing where there were none.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let wanted = (self.number as f64 * percent / 100.0).ceil().max(1.0);
        let mut seen = 0.0;
        let bucket = self.counts.iter().position(|count| {
            seen += f64::from(*count);
            seen >= wanted
        })?;
        let most = self.longest.as_secs_f64() * 1000.0;
        Some(((bucket as u64 + 1) as f64 * BUCKET_US as f64 / 1000.0).min(most))
    }

    /// Milliseconds of the longest.
    pub fn longest(&self) -> Option<f64> {
        (self.number > 0).then_some(self.longest.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn slow_answers_make_us_slow_and_quick_ones_quick_again() {
        let mut pace = Pace::new(5 * MILLI, Duration::ZERO, 1000);
        pace.idle = MILLI;
        for _ in 0..100 {
            pace.saw(MILLI);
        }
        assert_eq!((pace.batch(), pace.pause), (LARGEST_BATCH, Duration::ZERO));
        pace.saw(6 * MILLI);
        assert_eq!(pace.batch(), LARGEST_BATCH, "the way itself takes 1 ms");
        for _ in 0..100 {
            pace.saw(7 * MILLI);
        }
        assert_eq!((pace.batch(), pace.pause), (SMALLEST_BATCH, LONGEST_PAUSE));
        for _ in 0..100 {
            pace.saw(MILLI);
        }
        assert_eq!((pace.batch(), pace.pause), (LARGEST_BATCH, Duration::ZERO));
        assert_eq!(pace.slowed(), 100);
    }

    #[test]
    fn a_spread_run_takes_small_steps() {
        let over = Duration::from_secs(600);
        assert_eq!(Pace::new(MILLI, over, 6000).batch(), 1);
        assert_eq!(Pace::new(MILLI, over, 60_000).batch(), 10);
        assert!(Pace::new(MILLI, over, 10_000_000).batch() > 10);
    }

    #[test]
    fn percentiles_are_of_all_pings() {
        let mut pings = Pings::default();
        assert_eq!((pings.percentile(99.0), pings.longest()), (None, None));
        for number in 1..=1000 {
            pings.add(Duration::from_micros(number));
        }
        let median = pings.percentile(50.0).expect("some");
        assert!((0.49..=0.52).contains(&median), "{median}");
        assert_eq!(pings.percentile(100.0), Some(1.0));
        pings.add(Duration::from_secs(3));
        assert_eq!(pings.longest(), Some(3000.0));
    }
}

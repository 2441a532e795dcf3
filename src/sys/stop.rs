//! The one value for signals, the run's time limit and the limits of single calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind};
use crate::units::Length;

const SIGNALS: [(i32, &str); 3] = [
    (signal_hook::consts::SIGINT, "SIGINT"),
    (signal_hook::consts::SIGTERM, "SIGTERM"),
    (signal_hook::consts::SIGHUP, "SIGHUP"),
];

/// Asked between steps and given to every outside call. Clones share one state.
#[derive(Clone)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
    expired: Arc<AtomicBool>,
    shields: Arc<AtomicUsize>,
    started: Instant,
    limit: Duration,
    also: Option<Arc<Reason>>,
}

type Reason = dyn Fn() -> Option<Failure> + Send + Sync;

impl Stop {
    /// A run that may take `limit` from now on.
    pub fn after(limit: Duration) -> Self {
        Self {
            signal: Arc::default(),
            expired: Arc::default(),
            shields: Arc::default(),
            started: Instant::now(),
            limit,
            also: None,
        }
    }

    /// The same signals and shields, another limit, counted from now.
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self {
            started: Instant::now(),
            limit,
            ..self.clone()
        }
    }

    /// The same, and ends what it is given to as soon as there is a `reason` too, which is asked often: for one step of a run that
    /// gives way to something else.
    pub fn unless(&self, reason: impl Fn() -> Option<Failure> + Send + Sync + 'static) -> Self {
        let before = self.also.clone();
        let both = move || before.as_ref().and_then(|before| before()).or_else(&reason);
        Self {
            also: Some(Arc::new(both)),
            ..self.clone()
        }
    }

    /// From now on SIGINT, SIGTERM and SIGHUP set this value instead of ending the process. One that was ignored when the
    /// process began stays so: `nohup` asked for that.
    pub fn listen(&self) -> std::io::Result<()> {
        let ignored = super::machine::ignored_signals();
        for (signal, _) in SIGNALS {
            if ignored & (1 << (signal - 1)) != 0 {
                continue;
            }
            let number = usize::try_from(signal).unwrap_or(0);
            signal_hook::flag::register_usize(signal, Arc::clone(&self.signal), number)?;
        }
        // A file that is larger than a limit allows is an error of its write, which can be told, and not the end of the process.
        let nobody = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, nobody)?;
        Ok(())
    }

    /// The signal that was received, if any.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed))
            .ok()
            .filter(|signal| *signal != 0)
    }

    /// Errs once a signal came or the time is up.
    pub fn check(&self) -> anyhow::Result<()> {
        self.left(Duration::MAX).map(|_| ())
    }

    /// True once [`Stop::check`] errs; for callbacks that can only say yes or no.
    pub fn asked(&self) -> bool {
        self.signal().is_some()
            || self.expired()
            || self.started.elapsed() >= self.limit
            || self.reason().is_some()
    }

    /// The time left, never more than `at_most`: what every outside call gets as its own limit.
    pub fn left(&self, at_most: Duration) -> anyhow::Result<Duration> {
        if let Some(signal) = self.signal() {
            let name = SIGNALS
                .iter()
                .find(|(number, _)| *number == i32::from(signal))
                .map_or("a signal", |(_, name)| name);
            return Err(Failure::new(Kind::Interrupted, format!("interrupted by {name}")).into());
        }
        let left = self.limit.saturating_sub(self.started.elapsed());
        if left.is_zero() || self.expired() {
            return Err(Failure::new(
                Kind::TimeLimit,
                format!("the time limit of {} was reached", Length(self.limit)),
            )
            .hint("--timeout sets another limit")
            .into());
        }
        if let Some(reason) = self.reason() {
            return Err(reason.into());
        }
        Ok(left.min(at_most))
    }

    fn reason(&self) -> Option<Failure> {
        self.also.as_ref().and_then(|also| also())
    }

    /// How long the run may take in all.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    fn expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// Ends the run at its next check, whatever limit the clone at hand has.
    pub fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
    }

    /// While the guard lives, the watchdog waits: publishing and swapping are never cut into.
    pub fn shield(&self) -> Shield {
        self.shields.fetch_add(1, Ordering::SeqCst);
        Shield(Arc::clone(&self.shields))
    }

    /// True while a [`Shield`] lives.
    pub fn shielded(&self) -> bool {
        self.shields.load(Ordering::SeqCst) > 0
    }
}

/// See [`Stop::shield`].
pub struct Shield(Arc<AtomicUsize>);

impl Drop for Shield {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn the_limit_bounds_every_call() {
        let stop = Stop::after(Duration::from_secs(60));
        let left = stop.left(Duration::from_secs(10)).expect("time left");
        assert_eq!(left, Duration::from_secs(10));
        stop.expire();
        let error = stop.check().expect_err("expired");
        assert_eq!(kind_of(&error), Kind::TimeLimit);
    }

    #[test]
    fn a_step_gives_way_and_the_run_goes_on() {
        let stop = Stop::after(Duration::from_secs(60));
        let wanted = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&wanted);
        let step = stop.unless(move || {
            asked
                .load(Ordering::Relaxed)
                .then(|| Failure::new(Kind::Locked, "a restore waits"))
        });
        step.check().expect("nobody waits");
        wanted.store(true, Ordering::Relaxed);
        assert!(step.asked() && !stop.asked());
        let error = step.check().expect_err("somebody waits");
        assert_eq!(kind_of(&error), Kind::Locked);
        stop.check().expect("goes on");
    }

    #[test]
    fn a_shield_counts() {
        let stop = Stop::after(Duration::from_secs(60));
        let shield = stop.shield();
        assert!(stop.clone().shielded());
        drop(shield);
        assert!(!stop.shielded());
    }
}

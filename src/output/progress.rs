//! One line on a terminal's standard error: done, rate, time left. Nothing anywhere else.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::{Progress, Unit};
use crate::units::{self, Bytes, Length};

const BETWEEN_PAINTS: Duration = Duration::from_millis(100);

/// The progress line.
pub struct Line(Mutex<State>);

struct State {
    what: String,
    started: Instant,
    painted: Option<Instant>,
    shown: bool,
}

impl Line {
    /// A line, where standard error is a terminal that understands it.
    pub fn on_terminal() -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        (io::stderr().is_terminal() && !dumb).then(|| {
            Self(Mutex::new(State {
                what: String::new(),
                started: Instant::now(),
                painted: None,
                shown: false,
            }))
        })
    }
}

impl Progress for Line {
    fn paint(&self, done: u64, total: u64, unit: Unit, what: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.what != what {
            what.clone_into(&mut state.what);
            state.started = Instant::now();
            state.painted = None;
        }
        if state
            .painted
            .is_some_and(|at| at.elapsed() < BETWEEN_PAINTS)
        {
            return;
        }
        state.painted = Some(Instant::now());
        state.shown = true;
        let line = line(done, total, unit, what, state.started.elapsed());
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn clear(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        state.what.clear();
    }
}

/// What is known of how far it is.
fn line(done: u64, total: u64, unit: Unit, what: &str, elapsed: Duration) -> String {
    let what = super::clean(what);
    let shown = |number: u64| match unit {
        Unit::Bytes => Bytes(number).to_string(),
        Unit::Count => number.to_string(),
    };
    if total == 0 {
        return match done {
            0 => what,
            _ => format!("{what}: {}", shown(done)),
        };
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    format!(
        "{what}: {} of {} ({:.0}%), {}/s, {} left",
        shown(done.min(total)),
        shown(total),
        units::percent(done.min(total), total),
        shown(rate as u64),
        Length(Duration::from_secs_f64(left.min(1e6)))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_are_shown_as_bytes() {
        let after = Duration::from_secs(2);
        for (done, total, unit, shown) in [
            (
                1 << 20,
                4 << 20,
                Unit::Bytes,
                "x: 1.0 MiB of 4.0 MiB (25%), 512 KiB/s, 6.0 s left",
            ),
            (
                1000,
                4000,
                Unit::Count,
                "x: 1000 of 4000 (25%), 500/s, 6.0 s left",
            ),
            (1000, 0, Unit::Count, "x: 1000"),
            (0, 0, Unit::Count, "x"),
        ] {
            assert_eq!(line(done, total, unit, "x", after), shown);
        }
    }
}

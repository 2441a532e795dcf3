//! One line on a terminal's standard error: done, rate, time left. Nothing anywhere else.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::Progress;
use crate::units::{Bytes, Length};

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
    fn paint(&self, done: u64, total: u64, what: &str) {
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
        let elapsed = state.started.elapsed().as_secs_f64();
        let rate = done as f64 / elapsed.max(0.001);
        let mut line = format!(
            "\r\x1b[K{}: {}",
            super::clean(what),
            Bytes(done.min(total.max(done)))
        );
        if total > 0 {
            let left = total.saturating_sub(done) as f64 / rate.max(1.0);
            line = format!(
                "\r\x1b[K{}: {} of {} ({:.0}%), {}/s, {} left",
                super::clean(what),
                Bytes(done.min(total)),
                Bytes(total),
                (done.min(total) as f64 * 100.0) / total as f64,
                Bytes(rate as u64),
                Length(Duration::from_secs_f64(left.min(1e6)))
            );
        }
        let _ = write!(io::stderr(), "{line}");
    }

    fn clear(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        state.what.clear();
    }
}

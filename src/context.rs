//! What a run knows besides its own settings: the time, read once; the host; whether anything may change; when to stop.
//! Cloneable, and holds no connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::journal;
use crate::sys::Stop;
use crate::sys::lock::{Held, Lock};

/// Given to every task.
#[derive(Clone)]
pub struct Context {
    /// The command that runs.
    pub task: Arc<str>,
    /// One cut-off for the whole run.
    pub now: Timestamp,
    /// When that was.
    pub began: Instant,
    /// The names of all commands there are.
    pub commands: Arc<[&'static str]>,
    /// The calendar's zone.
    pub zone: TimeZone,
    /// This machine.
    pub host: Arc<str>,
    /// True when nothing may change.
    pub dry_run: bool,
    /// True when a person watches at a terminal: what is remembered from run to run is left to the runs of the schedule.
    pub attended: bool,
    /// False with `--no-alert`, where nobody hears of what is new: the next run that tells somebody has to find it new too.
    pub tells: bool,
    /// Signals and time limits.
    pub stop: Stop,
    /// `--lock-wait`, where it was given.
    pub lock_wait: Option<Duration>,
    /// Journal, run files, task locks.
    pub state: Arc<PathBuf>,
}

impl Context {
    /// The time by now, for what is dated or compared with what others dated meanwhile: a run may have waited for hours.
    pub fn moment(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        let moment = self.now.checked_add(passed).unwrap_or(self.now);
        Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment)
    }

    /// The lock that lets one run of this task go on at a time.
    pub fn task_lock(&self) -> Lock {
        Lock {
            path: self.state.join("locks").join(format!("{}.lock", self.task)),
            what: format!("the task {} is", self.task),
            optional: true,
            urgent: false,
        }
    }

    /// True where what is found new may be known from here on: somebody hears of it, and not only who watches.
    pub fn learns(&self) -> bool {
        self.tells && !self.attended
    }

    /// Takes a lock unless this is a dry run, which changes nothing and so needs none.
    pub fn take(&self, lock: &Lock, patience: Duration) -> anyhow::Result<Option<Held>> {
        if self.dry_run {
            return Ok(None);
        }
        let patience = self.lock_wait.unwrap_or(patience);
        let now = self.now.to_zoned(self.zone.clone());
        lock.take(&self.task, patience, &now, &self.stop)
    }

    /// What the last run of this task remembered; `None` where there is none, or no journal.
    pub fn recall(&self, key: &str) -> Option<Value> {
        journal::recall(&self.state, &self.task, key).ok().flatten()
    }
}

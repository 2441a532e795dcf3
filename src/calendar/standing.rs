//! How a line of the plan stands: due, missed, failing, or somebody's own.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use super::last_due;
use crate::config::When;

/// Finding id: a task did not run although it was due.
pub const MISSED: &str = "schedule.missed";

/// What is known of the runs of a line's command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// When the last run began that could start: one that is still running, or that ended with 0, 1 or 2.
    pub answered: Option<Timestamp>,
    /// False when the last run ended with 2 or more, or was killed; none where there is no run.
    pub well: Option<bool>,
    /// Since when something should have been running at all, as far as anybody knows.
    pub since: Option<Timestamp>,
}

/// How a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Ran when it was due, and well.
    Fine,
    /// Never ran, and was not due for long enough that this means anything.
    Waiting,
    /// Was due, and did not run within its grace time.
    Overdue,
    /// Ran, and the last run failed or found something urgent.
    Failing,
    /// Has nothing to do on this server.
    Idle,
    /// Switched off in the configuration.
    Off,
    /// There is no command for it: a person does it.
    Manual,
}

impl Standing {
    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Waiting => "waiting",
            Self::Overdue => "overdue",
            Self::Failing => "failing",
            Self::Idle => "idle",
            Self::Off => "off",
            Self::Manual => "manual",
        }
    }
}

/// Judges a line that has a command: how it stands, and the moment that it missed.
pub fn standing(
    when: &When,
    grace: Duration,
    past: Past,
    now: Timestamp,
    zone: &TimeZone,
) -> (Standing, Option<Timestamp>) {
    if *when == When::Off {
        return (Standing::Off, None);
    }
    let decided = jiff::SignedDuration::try_from(grace)
        .ok()
        .and_then(|grace| now.checked_sub(grace).ok())
        .and_then(|until| last_due(when, until, zone));
    let expected = decided.filter(|due| past.since.is_some_and(|since| since <= *due));
    match (expected, past.answered) {
        (Some(due), answered) if answered.is_none_or(|at| at < due) => {
            (Standing::Overdue, Some(due))
        }
        _ => match past.well {
            Some(true) => (Standing::Fine, None),
            Some(false) => (Standing::Failing, None),
            None => (Standing::Waiting, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn judge(when: &str, past: [Option<&str>; 2], well: Option<bool>, now: &str) -> Standing {
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let past = Past {
            answered: past[0].map(at),
            since: past[1].map(at),
            well,
        };
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let rule = when.parse().expect("a rule");
        standing(&rule, Duration::from_secs(3 * HOUR), past, at(now), &zone).0
    }

    #[test]
    fn a_line_stands_by_its_last_due_moment_that_is_decided() {
        const DAILY: &str = "03:07"; // 02:07 UTC in winter
        let since = Some("2026-11-01T00:00:00Z");
        let ran = Some("2026-11-23T02:07:01Z");
        for (past, well, now, expected) in [
            (
                [ran, since],
                Some(true),
                "2026-11-23T12:00:00Z",
                Standing::Fine,
            ),
            (
                [ran, since],
                Some(true),
                "2026-11-24T02:08:00Z",
                Standing::Fine,
            ),
            (
                [ran, since],
                Some(true),
                "2026-11-24T05:06:59Z",
                Standing::Fine,
            ),
            (
                [ran, since],
                Some(true),
                "2026-11-24T05:07:00Z",
                Standing::Overdue,
            ),
            (
                [ran, since],
                Some(false),
                "2026-11-24T05:07:00Z",
                Standing::Overdue,
            ),
            (
                [ran, since],
                Some(false),
                "2026-11-24T02:00:00Z",
                Standing::Failing,
            ),
            // Never ran: calm until it was due, with its grace, since somebody could know.
            (
                [None, None],
                None,
                "2026-11-24T12:00:00Z",
                Standing::Waiting,
            ),
            (
                [None, Some("2026-11-24T02:08:00Z")],
                None,
                "2026-11-24T12:00:00Z",
                Standing::Waiting,
            ),
            (
                [None, Some("2026-11-24T02:07:00Z")],
                None,
                "2026-11-24T05:07:00Z",
                Standing::Overdue,
            ),
            // Could not start, ever: it did not run.
            (
                [None, since],
                Some(false),
                "2026-11-24T12:00:00Z",
                Standing::Overdue,
            ),
            // Installed after the moment that would have been missed.
            (
                [ran, Some("2026-11-24T10:00:00Z")],
                Some(true),
                "2026-11-24T12:00:00Z",
                Standing::Fine,
            ),
        ] {
            assert_eq!(judge(DAILY, past, well, now), expected, "{past:?} {now}");
        }
        assert_eq!(
            judge("off", [None, since], None, "2026-11-24T12:00:00Z"),
            Standing::Off
        );
    }

    /// What Debian's cron does on the two days: a skipped line runs right after the jump, a doubled one once.
    #[test]
    fn the_days_on_which_the_clock_changes_miss_nothing() {
        let since = Some("2026-01-01T00:00:00Z");
        for (ran, now) in [
            ("2026-03-29T01:00:05Z", "2026-03-29T20:00:00Z"),
            ("2026-10-25T00:30:01Z", "2026-10-25T20:00:00Z"),
        ] {
            assert_eq!(
                judge("02:30", [Some(ran), since], Some(true), now),
                Standing::Fine,
                "{now}"
            );
            let before = [Some("2026-03-01T00:00:00Z"), since];
            assert_eq!(
                judge("02:30", before, Some(true), now),
                Standing::Overdue,
                "{now}"
            );
        }
    }
}

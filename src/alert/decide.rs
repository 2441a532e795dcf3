//! The deciding part, pure: given what is known of an incident and what a channel was told of it, is there something to say now?

use std::time::Duration;

use jiff::Timestamp;

use crate::report::Severity;

/// What happened to an incident since a channel last heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel hears of it for the first time.
    First,
    /// It became more urgent.
    Worse,
    /// It is still there, and the repeat time has passed.
    Repeat,
    /// It is gone.
    Resolved,
    /// Nobody acknowledged it in time.
    Escalated,
}

impl Event {
    /// As messages say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "new",
            Self::Worse => "worse",
            Self::Repeat => "still there",
            Self::Resolved => "resolved",
            Self::Escalated => "not acknowledged",
        }
    }
}

/// What is known of an incident.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// How urgent it is now.
    pub severity: Severity,
    /// Since when it is there.
    pub first: Timestamp,
    /// False once a run looked and found it well.
    pub open: bool,
    /// True when this very run found it.
    pub seen: bool,
    /// True when somebody said that they know, and it has not become worse since.
    pub acknowledged: bool,
    /// True while a silence or a maintenance holds.
    pub muted: bool,
}

/// What a channel was last told of it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// How urgent it was then.
    pub severity: Severity,
    /// That nobody acknowledged it.
    pub escalated: bool,
    /// That it is gone.
    pub resolved: bool,
}

/// What the routes say for an incident and a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// True where a route sends it here at once; false where it only comes here when nobody acknowledges it.
    pub direct: bool,
    /// The repeat time.
    pub repeat: Duration,
    /// It is told only if it is still there after this time.
    pub hold: Duration,
    /// It is told here once nobody acknowledged it for so long.
    pub escalate: Option<Duration>,
}

/// Runs of a schedule are never exactly a day apart: this much earlier still counts.
const SLACK: Duration = Duration::from_secs(300);

/// What to say, if anything.
pub fn decide(
    state: &State,
    told: Option<&Told>,
    policy: Option<&Policy>,
    now: Timestamp,
) -> Option<Event> {
    if state.muted {
        return None;
    }
    if !state.open {
        return told.filter(|told| !told.resolved).map(|_| Event::Resolved);
    }
    let policy = policy?;
    let age = elapsed(state.first, now);
    let overdue = policy.escalate.is_some_and(|after| age >= after) && !state.acknowledged;
    match told.filter(|told| !told.resolved) {
        None if policy.direct && age >= policy.hold => Some(Event::First),
        None if overdue => Some(Event::Escalated),
        None => None,
        Some(told) if state.severity > told.severity => Some(Event::Worse),
        Some(_) if state.acknowledged => None,
        Some(told) if overdue && !told.escalated => Some(Event::Escalated),
        Some(told) if state.seen && is_due(told.at, policy.repeat, now) => Some(Event::Repeat),
        Some(_) => None,
    }
}

fn is_due(told: Timestamp, repeat: Duration, now: Timestamp) -> bool {
    elapsed(told, now) >= repeat - SLACK.min(repeat / 20)
}

/// The time since `then`. A moment that lies ahead means that the clock was set back: nobody knows how long ago it was, and that
/// must not silence anything.
fn elapsed(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: f64) -> Timestamp {
        Timestamp::from_millisecond((hours * 3_600_000.0) as i64 + 1_700_000_000_000).expect("time")
    }

    fn found() -> State {
        State {
            severity: Severity::Medium,
            first: at(0.0),
            open: true,
            seen: true,
            acknowledged: false,
            muted: false,
        }
    }

    fn told(hours: f64) -> Told {
        Told {
            at: at(hours),
            severity: Severity::Medium,
            escalated: false,
            resolved: false,
        }
    }

    fn daily() -> Policy {
        Policy {
            direct: true,
            repeat: 24 * HOUR,
            hold: Duration::ZERO,
            escalate: None,
        }
    }

    #[test]
    fn the_table() {
        let gone = State {
            open: false,
            seen: false,
            ..found()
        };
        let worse = State {
            severity: Severity::High,
            ..found()
        };
        let known = State {
            acknowledged: true,
            ..found()
        };
        let muted = State {
            muted: true,
            ..found()
        };
        let unseen = State {
            seen: false,
            ..found()
        };
        let escalating = Policy {
            escalate: Some(4 * HOUR),
            ..daily()
        };
        let only_escalation = Policy {
            direct: false,
            ..escalating
        };
        let held = Policy {
            hold: HOUR / 2,
            ..daily()
        };
        let was_escalated = Told {
            escalated: true,
            ..told(4.0)
        };
        let was_resolved = Told {
            resolved: true,
            ..told(1.0)
        };
        let was_high = Told {
            severity: Severity::High,
            ..told(0.0)
        };
        for (what, state, told, policy, now, expected) in [
            ("new", found(), None, Some(daily()), 0.0, Some(Event::First)),
            ("no route", found(), None, None, 0.0, None),
            (
                "unchanged",
                found(),
                Some(told(0.0)),
                Some(daily()),
                1.0,
                None,
            ),
            (
                "a day later",
                found(),
                Some(told(0.0)),
                Some(daily()),
                24.0,
                Some(Event::Repeat),
            ),
            (
                "a day later, less a second",
                found(),
                Some(told(0.0)),
                Some(daily()),
                23.999,
                Some(Event::Repeat),
            ),
            (
                "an hour short of a day",
                found(),
                Some(told(0.0)),
                Some(daily()),
                23.0,
                None,
            ),
            (
                "not looked at",
                unseen,
                Some(told(0.0)),
                Some(daily()),
                48.0,
                None,
            ),
            (
                "worse",
                worse,
                Some(told(0.0)),
                Some(daily()),
                0.1,
                Some(Event::Worse),
            ),
            (
                "less urgent",
                found(),
                Some(was_high),
                Some(daily()),
                0.1,
                None,
            ),
            (
                "gone",
                gone,
                Some(told(0.0)),
                Some(daily()),
                1.0,
                Some(Event::Resolved),
            ),
            (
                "gone, no route any more",
                gone,
                Some(told(0.0)),
                None,
                1.0,
                Some(Event::Resolved),
            ),
            (
                "gone and said",
                gone,
                Some(was_resolved),
                Some(daily()),
                2.0,
                None,
            ),
            (
                "gone before anybody was told",
                gone,
                None,
                Some(daily()),
                1.0,
                None,
            ),
            ("known", known, Some(told(0.0)), Some(daily()), 48.0, None),
            (
                "known, and worse",
                State {
                    severity: Severity::High,
                    ..known
                },
                Some(told(0.0)),
                Some(daily()),
                1.0,
                Some(Event::Worse),
            ),
            (
                "known, and gone",
                State {
                    open: false,
                    ..known
                },
                Some(told(0.0)),
                Some(daily()),
                1.0,
                Some(Event::Resolved),
            ),
            ("muted", muted, None, Some(daily()), 1.0, None),
            (
                "muted and gone",
                State {
                    open: false,
                    ..muted
                },
                Some(told(0.0)),
                Some(daily()),
                1.0,
                None,
            ),
            ("held", found(), None, Some(held), 0.1, None),
            (
                "held long enough",
                unseen,
                None,
                Some(held),
                0.5,
                Some(Event::First),
            ),
            ("held and gone", gone, None, Some(held), 0.5, None),
            (
                "not yet escalated",
                unseen,
                Some(told(0.0)),
                Some(escalating),
                3.9,
                None,
            ),
            (
                "escalated",
                unseen,
                Some(told(0.0)),
                Some(escalating),
                4.0,
                Some(Event::Escalated),
            ),
            (
                "escalated once",
                unseen,
                Some(was_escalated),
                Some(escalating),
                5.0,
                None,
            ),
            (
                "known, so not escalated",
                known,
                Some(told(0.0)),
                Some(escalating),
                5.0,
                None,
            ),
            (
                "a pager is not told at first",
                found(),
                None,
                Some(only_escalation),
                0.0,
                None,
            ),
            (
                "a pager is told in the end",
                unseen,
                None,
                Some(only_escalation),
                4.0,
                Some(Event::Escalated),
            ),
            (
                "the clock went back a year",
                found(),
                Some(told(8760.0)),
                Some(daily()),
                0.0,
                Some(Event::Repeat),
            ),
            (
                "held, and the clock went back",
                found(),
                None,
                Some(held),
                -9.0,
                Some(Event::First),
            ),
        ] {
            assert_eq!(
                decide(&state, told.as_ref(), policy.as_ref(), at(now)),
                expected,
                "{what}"
            );
        }
    }
}

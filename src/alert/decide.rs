//! The deciding part, pure: given what is known of an incident and what a channel was told of it, is there something to say now?

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

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
    /// When a run found it last.
    pub last: Timestamp,
    /// Since when it is gone: a run looked and found it well.
    pub over: Option<Timestamp>,
    /// When the one before it was over, the same about the same, and somebody was told so.
    pub over_before: Option<Timestamp>,
    /// True when this very run found it.
    pub seen: bool,
    /// True when this very run found it again before everybody was told that it was over.
    pub returned: bool,
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
const EARLY: SignedDuration = SignedDuration::from_secs(300);

/// What comes and goes is over once it has stayed away for this long.
const CALM: Duration = Duration::from_secs(6 * 3600);

const DAY: u64 = 24 * 3600;

/// What to say, if anything. Days are those of `zone`.
pub fn decide(
    state: &State,
    told: Option<&Told>,
    policy: Option<&Policy>,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<Event> {
    if state.muted {
        return None;
    }
    let told = told.filter(|told| !told.resolved);
    if let Some(over) = state.over {
        let wait = policy.map_or(Duration::ZERO, |policy| calm(state, policy));
        return told
            .filter(|_| elapsed(over, now) >= wait)
            .map(|_| Event::Resolved);
    }
    let policy = policy?;
    // What nobody has looked at again since is not known to be still there.
    let held = elapsed(state.first, state.last) < nearly(policy.hold);
    let age = elapsed(state.first, now);
    let overdue = policy.escalate.is_some_and(|after| age >= after) && !state.acknowledged;
    let alarms = state.returned && policy.direct && state.severity == Severity::Critical;
    match told {
        None if held => None,
        None if policy.direct => Some(Event::First),
        None if overdue => Some(Event::Escalated),
        None => None,
        Some(told) if state.severity > told.severity => Some(Event::Worse),
        Some(_) if alarms => Some(Event::First),
        Some(_) if state.acknowledged => None,
        Some(told) if overdue && !told.escalated => Some(Event::Escalated),
        Some(told) if state.seen && is_due(told.at, policy.repeat, now, zone) => {
            Some(Event::Repeat)
        }
        Some(_) => None,
    }
}

/// How long something has to stay away before that is said. The first time it is believed at once; what came back within the repeat
/// time comes and goes, and each coming and going would be another message.
fn calm(state: &State, policy: &Policy) -> Duration {
    let came_back = state
        .over_before
        .is_some_and(|before| elapsed(before, state.first) < policy.repeat);
    match came_back {
        true => policy.repeat.min(CALM),
        false => Duration::ZERO,
    }
}

/// Whole days are days of the calendar: the one on which summer time begins has 23 hours.
fn is_due(told: Timestamp, repeat: Duration, now: Timestamp, zone: &TimeZone) -> bool {
    let days = match repeat.as_secs() % DAY {
        0 => i64::try_from(repeat.as_secs() / DAY).ok(),
        _ => None,
    };
    let same_hour = |days: i64| {
        let told = told.to_zoned(zone.clone());
        told.checked_add(Span::new().try_days(days).ok()?).ok()
    };
    let due = days.filter(|days| *days > 0).and_then(same_hour);
    elapsed(told, now) >= nearly(repeat)
        || due.is_some_and(|due| now.duration_since(due.timestamp()) >= -EARLY)
}

fn nearly(time: Duration) -> Duration {
    time - SLACK.min(time / 20)
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
            last: at(0.0),
            over: None,
            over_before: None,
            seen: true,
            returned: false,
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
            over: Some(at(1.0)),
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
        let again_at = |hours| State {
            last: at(hours),
            ..found()
        };
        let came_back = State {
            over_before: Some(at(-3.0)),
            ..gone
        };
        let returned = |severity| State {
            severity,
            returned: true,
            ..found()
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
                    over: Some(at(1.0)),
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
                    over: Some(at(1.0)),
                    ..muted
                },
                Some(told(0.0)),
                Some(daily()),
                1.0,
                None,
            ),
            ("held", found(), None, Some(held), 0.1, None),
            (
                "held, and nobody looked again",
                found(),
                None,
                Some(held),
                0.6,
                None,
            ),
            (
                "held for a pager too",
                found(),
                None,
                Some(Policy {
                    direct: false,
                    escalate: Some(HOUR / 4),
                    ..held
                }),
                0.6,
                None,
            ),
            (
                "came back, and is over again for an hour",
                came_back,
                Some(told(0.0)),
                Some(daily()),
                2.0,
                None,
            ),
            (
                "came back, and is over for good",
                came_back,
                Some(told(0.0)),
                Some(daily()),
                7.0,
                Some(Event::Resolved),
            ),
            (
                "came back, and the repeat time is short",
                came_back,
                Some(told(0.0)),
                Some(Policy {
                    repeat: 4 * HOUR,
                    ..daily()
                }),
                5.0,
                Some(Event::Resolved),
            ),
            (
                "came back after longer than the repeat time",
                came_back,
                Some(told(0.0)),
                Some(Policy {
                    repeat: 2 * HOUR,
                    ..daily()
                }),
                1.0,
                Some(Event::Resolved),
            ),
            (
                "comes and goes",
                returned(Severity::Medium),
                Some(told(0.0)),
                Some(daily()),
                1.0,
                None,
            ),
            (
                "comes and goes, and is worse",
                returned(Severity::High),
                Some(told(0.0)),
                Some(daily()),
                1.0,
                Some(Event::Worse),
            ),
            (
                "comes and goes, and is critical",
                returned(Severity::Critical),
                Some(Told {
                    severity: Severity::Critical,
                    ..told(0.0)
                }),
                Some(daily()),
                1.0,
                Some(Event::First),
            ),
            (
                "held, and found again late enough",
                State {
                    last: at(0.5),
                    ..unseen
                },
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
                again_at(-9.0),
                None,
                Some(held),
                -9.0,
                Some(Event::First),
            ),
        ] {
            assert_eq!(
                decide(
                    &state,
                    told.as_ref(),
                    policy.as_ref(),
                    at(now),
                    &TimeZone::UTC
                ),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn a_day_on_which_the_clock_changes_is_a_day() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        for (told_at, now, repeats) in [
            ("2026-03-28T02:07:30Z", "2026-03-29T01:07:01Z", true),
            ("2026-03-28T02:07:30Z", "2026-03-29T00:07:01Z", false),
            ("2026-03-28T22:50:00Z", "2026-03-28T23:10:00Z", false),
            ("2026-10-24T01:07:01Z", "2026-10-25T02:07:01Z", true),
            ("2026-06-10T01:07:30Z", "2026-06-11T01:07:01Z", true),
            ("2026-06-10T01:07:30Z", "2026-06-11T00:07:01Z", false),
        ] {
            let told = Told {
                at: at(told_at),
                ..told(0.0)
            };
            let said = decide(&found(), Some(&told), Some(&daily()), at(now), &zone);
            assert_eq!(said.is_some(), repeats, "{told_at} {now}");
        }
    }
}

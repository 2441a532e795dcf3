//! When a rule is due: pure functions of a rule, a moment and a zone.
//!
//! Days and hours are the zone's. A time that the clock skips is due at the moment it jumps, which is when Debian's cron runs such
//! a line; a time that comes twice is due the first time. Rules of an hour or less go by the minute that the clock shows, so they
//! are due in both of the two hours.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use crate::config::{Days, When};

/// Longer than from one yearly day to the next.
const LONGEST: i32 = 380;
const MINUTE: i64 = 60;

/// The first moment after `after` at which the rule is due; none for a rule that never is.
pub fn next_due(when: &When, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let When::Minutes { step, first } = when {
        return by_minute(*step, *first, after, zone, 1);
    }
    let today = after.to_zoned(zone.clone()).date();
    (-1..LONGEST)
        .filter_map(|days| today.checked_add(days.days()).ok())
        .flat_map(|date| moments(when, date, zone))
        .find(|moment| *moment > after)
}

/// The last moment at or before `until` at which the rule was due.
pub fn last_due(when: &When, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let When::Minutes { step, first } = when {
        return by_minute(*step, *first, until, zone, -1);
    }
    let today = until.to_zoned(zone.clone()).date();
    (-1..LONGEST)
        .filter_map(|days| today.checked_sub(days.days()).ok())
        .flat_map(|date| {
            let mut moments = moments(when, date, zone);
            moments.reverse();
            moments
        })
        .find(|moment| *moment <= until)
}

/// Goes on or back from minute to minute, over the hour and the jump of the clock that may lie in between.
fn by_minute(
    step: i8,
    first: i8,
    from: Timestamp,
    zone: &TimeZone,
    direction: i64,
) -> Option<Timestamp> {
    let start = from.as_second().div_euclid(MINUTE) * MINUTE;
    let begin = i64::from(direction > 0);
    (begin..240)
        .filter_map(|minutes| Timestamp::from_second(start + direction * minutes * MINUTE).ok())
        .find(|moment| {
            let clock = zone.to_datetime(*moment);
            clock.minute() % step == first
        })
}

/// All moments of one day, in order.
fn moments(when: &When, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
    let at = |hour: i8, minute: i8| moment(date.at(hour, minute, 0, 0), zone);
    match when {
        When::Off | When::Minutes { .. } => Vec::new(),
        When::Hours { step, minute } => (0..24)
            .step_by(usize::from(step.unsigned_abs().max(1)))
            .filter_map(|hour| at(hour, *minute))
            .collect(),
        When::Days { days, hour, minute } if fits(days, date) => {
            at(*hour, *minute).into_iter().collect()
        }
        When::Days { .. } => Vec::new(),
    }
}

fn fits(days: &Days, date: Date) -> bool {
    match days {
        Days::Every => true,
        Days::Week(weekday) => date.weekday() == *weekday,
        Days::Month {
            months,
            nth,
            weekday,
        } => {
            months & (1 << (date.month() - 1)) != 0
                && date.weekday() == *weekday
                && (date.day() - 1) / 7 + 1 == *nth
        }
    }
}

/// When the clock shows `shown`: the first time, or the jump over it.
fn moment(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            let jump = zone.following(before).next()?;
            Some(jump.timestamp())
        }
        _ => ambiguous.compatible().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn rule(text: &str) -> When {
        text.parse().expect("a rule")
    }

    /// Every moment of the years from 2026 to 2035.
    fn ten_years(text: &str, zone: &TimeZone) -> Vec<Timestamp> {
        let end = at("2035-12-31T12:00:00Z");
        let mut found = Vec::new();
        let mut now = at("2025-12-31T12:00:00Z");
        while let Some(next) = next_due(&rule(text), now, zone).filter(|next| *next < end) {
            assert!(next > now, "{text}: time goes on");
            found.push(next);
            now = next;
        }
        found
    }

    #[test]
    fn a_year_has_exactly_twelve_of_each_monday_whatever_the_zone() {
        for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
            let zone = zone(name);
            for nth in ["first", "second", "third", "fourth"] {
                let found = ten_years(&format!("{nth} mon 02:30"), &zone);
                assert_eq!(found.len(), 120, "{name} {nth}");
                for year in 2026..2036 {
                    let of_year = found
                        .iter()
                        .filter(|moment| zone.to_datetime(**moment).year() == year)
                        .count();
                    assert_eq!(of_year, 12, "{name} {nth} {year}");
                }
            }
        }
    }

    #[test]
    fn quarters_and_years() {
        let utc = zone("UTC");
        assert_eq!(ten_years("jan,apr,jul,oct first mon 09:41", &utc).len(), 40);
        let yearly = ten_years("feb third wed 10:00", &utc);
        assert_eq!(yearly.len(), 10);
        assert_eq!(yearly[0], at("2026-02-18T10:00:00Z"));
    }

    #[test]
    fn every_day_is_due_once_also_when_the_clock_changes() {
        let berlin = zone("Europe/Berlin");
        for time in [
            "00:00", "01:59", "02:00", "02:30", "02:59", "03:00", "03:07",
        ] {
            let found = ten_years(time, &berlin);
            let days: std::collections::BTreeSet<_> = found
                .iter()
                .map(|moment| berlin.to_datetime(*moment).date())
                .collect();
            assert_eq!((found.len(), days.len()), (3652, 3652), "{time}");
        }
    }

    #[test]
    fn a_skipped_time_is_due_at_the_jump_and_a_doubled_one_the_first_time() {
        let berlin = zone("Europe/Berlin");
        // 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC. 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
        for (text, after, due) in [
            ("02:30", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("03:07", "2026-03-28T12:00:00Z", "2026-03-29T01:07:00Z"),
            ("01:59", "2026-03-28T12:00:00Z", "2026-03-29T00:59:00Z"),
            ("02:30", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("02:30", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("sun 02:30", "2026-03-25T12:00:00Z", "2026-03-29T01:00:00Z"),
            (
                "every 6h :41",
                "2026-03-28T23:00:00Z",
                "2026-03-28T23:41:00Z",
            ),
            (
                "every 6h :41",
                "2026-03-28T23:41:00Z",
                "2026-03-29T04:41:00Z",
            ),
            (
                "every 1h :17",
                "2026-03-29T00:17:00Z",
                "2026-03-29T01:17:00Z",
            ),
            (
                "every 1h :17",
                "2026-10-25T00:17:00Z",
                "2026-10-25T01:17:00Z",
            ),
            ("every 5m", "2026-10-25T00:57:30Z", "2026-10-25T01:00:00Z"),
        ] {
            let found = next_due(&rule(text), at(after), &berlin);
            assert_eq!(found, Some(at(due)), "{text} after {after}");
            assert_eq!(
                last_due(&rule(text), at(due), &berlin),
                Some(at(due)),
                "{text}"
            );
        }
    }

    #[test]
    fn half_hour_zones_go_by_their_own_minutes() {
        let india = zone("Asia/Kolkata");
        assert_eq!(
            next_due(&rule("every 1h :17"), at("2026-05-01T00:00:00Z"), &india),
            Some(at("2026-05-01T00:47:00Z"))
        );
    }

    #[test]
    fn last_and_next_are_neighbours() {
        let berlin = zone("Europe/Berlin");
        for text in [
            "every 5m :02",
            "every 1h :17",
            "every 6h :41",
            "03:07",
            "wed 10:11",
            "second mon 04:13",
            "jan,apr,jul,oct first mon 09:41",
            "jan second tue 09:53",
        ] {
            let rule = rule(text);
            let mut now = at("2026-01-01T00:00:00Z");
            for _ in 0..300 {
                let last = last_due(&rule, now, &berlin).expect("was due");
                let next = next_due(&rule, now, &berlin).expect("will be due");
                assert!(last <= now && now < next, "{text} at {now}");
                assert_eq!(
                    next_due(&rule, last, &berlin),
                    Some(next),
                    "{text} at {now}"
                );
                now += jiff::SignedDuration::from_mins(1777);
            }
        }
    }

    #[test]
    fn off_is_never_due() {
        let now = at("2026-01-01T00:00:00Z");
        assert_eq!(next_due(&When::Off, now, &TimeZone::UTC), None);
        assert_eq!(last_due(&When::Off, now, &TimeZone::UTC), None);
    }
}

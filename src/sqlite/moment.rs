//! A point in time out of a column: ISO text, a Julian day, or an epoch number, told apart by its size.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::types::ValueRef;

/// Julian day of 1970-01-01 00:00 UTC.
pub(super) const JULIAN_EPOCH: f64 = 2_440_587.5;

/// The time that a value means; `None` where it means none. Text without a zone is UTC, as SQLite's own functions have it.
pub fn moment(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Integer(number) => epoch(number).or_else(|| julian(number as f64)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).ok()?.trim();
            if let Ok(number) = text.parse::<i64>() {
                return epoch(number);
            }
            let iso = text.replacen(' ', "T", 1);
            iso.parse().ok().or_else(|| {
                let civil: DateTime = iso.parse().ok()?;
                civil
                    .to_zoned(TimeZone::UTC)
                    .ok()
                    .map(|zoned| zoned.timestamp())
            })
        }
        ValueRef::Real(number) if number > 1e9 => epoch(number as i64),
        ValueRef::Real(number) => julian(number),
        _ => None,
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds: each range covers 1973 to 5138 and none overlaps the next.
fn epoch(number: i64) -> Option<Timestamp> {
    let duration = match number.unsigned_abs() {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => SignedDuration::from_secs(number),
        100_000_000_000..100_000_000_000_000 => SignedDuration::from_millis(number),
        100_000_000_000_000..100_000_000_000_000_000 => SignedDuration::from_micros(number),
        _ => SignedDuration::from_nanos(number),
    };
    Timestamp::from_duration(duration).ok()
}

/// Days since noon of a January long ago, as SQLite's `julianday()` has them: 1970 to 2243. To the millisecond, like SQLite.
fn julian(day: f64) -> Option<Timestamp> {
    let days = day - JULIAN_EPOCH;
    if !(0.0..100_000.0).contains(&days) {
        return None;
    }
    Timestamp::from_millisecond((days * 86_400_000.0).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings() {
        let expected: Timestamp = "2026-11-24T03:00:00Z".parse().expect("a time");
        let seconds = expected.as_second();
        for text in [
            "2026-11-24 03:00:00",
            "2026-11-24T03:00:00Z",
            "2026-11-24T04:00:00+01:00",
        ] {
            assert_eq!(
                moment(ValueRef::Text(text.as_bytes())),
                Some(expected),
                "{text}"
            );
        }
        for factor in [1, 1_000, 1_000_000, 1_000_000_000] {
            assert_eq!(moment(ValueRef::Integer(seconds * factor)), Some(expected));
        }
        assert_eq!(moment(ValueRef::Real(2_461_368.625)), Some(expected));
        assert_eq!(
            moment(ValueRef::Integer(2_461_369)).map(|time| time.to_string()),
            Some("2026-11-24T12:00:00Z".into())
        );
        assert_eq!(moment(ValueRef::Text(b"soon")), None);
        assert_eq!(moment(ValueRef::Null), None);
    }
}

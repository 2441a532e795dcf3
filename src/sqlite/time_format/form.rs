//! The form of one value, told from its type, its length and its digits.

use rusqlite::types::ValueRef;

use super::{FIRST_YEAR, JULIAN, Resolution, TimeFormat, Unit, Zone};

/// The form of one value; `None` where it has none that can be told without doubt.
pub(super) fn form(value: ValueRef<'_>) -> Option<TimeFormat> {
    match value {
        ValueRef::Integer(number) => numeric(number as f64),
        ValueRef::Real(number) => numeric(number),
        ValueRef::Text(text) => digits(text).or_else(|| iso(text)),
        _ => None,
    }
}

fn numeric(number: f64) -> Option<TimeFormat> {
    if JULIAN.contains(&number) {
        return Some(TimeFormat::Julian);
    }
    let unit = Unit::ALL.into_iter().find(|unit| unit.holds(number))?;
    Some(TimeFormat::Epoch { unit, text: false })
}

fn digits(text: &[u8]) -> Option<TimeFormat> {
    let unit = match text.len() {
        10 => Unit::Seconds,
        13 => Unit::Milliseconds,
        16 => Unit::Microseconds,
        19 => Unit::Nanoseconds,
        _ => return None,
    };
    let fine = text[0] != b'0' && text.iter().all(u8::is_ascii_digit);
    fine.then_some(TimeFormat::Epoch { unit, text: true })
}

/// Two digits; more than any field may be where they are none.
fn two_digits(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 2) {
        Some([ten @ b'0'..=b'9', one @ b'0'..=b'9']) => {
            u32::from(ten - b'0') * 10 + u32::from(one - b'0')
        }
        _ => 1_000,
    }
}

/// True where `text` is `known` with another time of the same day, so that it has its form: an index brings one moment after the
/// other, and this is all that they differ in. `known` is ISO text with seconds.
pub(super) fn is_same_day(known: &[u8], text: &[u8]) -> bool {
    const DATE: usize = 11;
    const SECONDS: usize = 19;
    if known.len() != text.len() || known.len() < SECONDS || known[..DATE] != text[..DATE] {
        return false;
    }
    let time = two_digits(text, 11) < 24
        && text[13] == b':'
        && two_digits(text, 14) < 60
        && text[16] == b':'
        && two_digits(text, 17) < 60;
    let (known, text) = (&known[SECONDS..], &text[SECONDS..]);
    // A point, the digits behind it, and the zone.
    let digits = match known.split_first() {
        Some((b'.', rest)) => 1 + rest.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let fraction =
        digits == 0 || (text[0] == b'.' && text[1..digits].iter().all(u8::is_ascii_digit));
    time && fraction && known[digits..] == text[digits..]
}

fn iso(text: &[u8]) -> Option<TimeFormat> {
    let two = |at: usize| two_digits(text, at);
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    let (century, year) = (two(0), two(2));
    let plausible = century < 100
        && year < 100
        && century * 100 + year >= FIRST_YEAR
        && is(4, b'-')
        && (1..=12).contains(&two(5))
        && is(7, b'-')
        && (1..=31).contains(&two(8));
    if !plausible {
        return None;
    }
    let separator = match text.get(10) {
        None => {
            return Some(TimeFormat::Iso {
                resolution: Resolution::Day,
                separator: ' ',
                zone: Zone::None,
            });
        }
        Some(b' ') => ' ',
        Some(b'T') => 'T',
        Some(_) => return None,
    };
    if !(two(11) < 24 && is(13, b':') && two(14) < 60) {
        return None;
    }
    let (resolution, mut at) = if is(16, b':') {
        if two(17) >= 60 {
            return None;
        }
        (Resolution::Second, 19)
    } else {
        (Resolution::Minute, 16)
    };
    if resolution == Resolution::Second && is(at, b'.') {
        let fraction = text[at + 1..].iter().take_while(|b| b.is_ascii_digit());
        let long = fraction.count();
        if long == 0 {
            return None;
        }
        at += 1 + long;
    }
    Some(TimeFormat::Iso {
        resolution,
        separator,
        zone: zone(&text[at..])?,
    })
}

fn zone(text: &[u8]) -> Option<Zone> {
    if text.is_empty() {
        return Some(Zone::None);
    }
    let text = std::str::from_utf8(text).ok()?;
    if text == "Z" {
        return Some(Zone::Utc);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (text.get(1..)?, "00"),
        5 => (text.get(1..3)?, text.get(3..)?),
        6 if text.get(3..4)? == ":" => (text.get(1..3)?, text.get(4..)?),
        _ => return None,
    };
    if !format!("{hours}{minutes}")
        .bytes()
        .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    // `-00:00` says that the zone is not known.
    let known = sign > 0 || hours > 0 || minutes > 0;
    (known && hours <= 14 && minutes < 60).then_some(Zone::Offset {
        minutes: sign * (hours * 60 + minutes),
        width: text.len(),
    })
}

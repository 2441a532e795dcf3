//! Bytes, percentages, durations and calendar spans: how they are read from a configuration and shown to people.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How a moment is shown to people: in the zone of the calendar, with its offset.
pub fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let here = at.to_zoned(zone.clone());
    here.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A moment as it is typed: RFC 3339, or as it is shown.
pub fn moment(text: &str) -> Result<Timestamp, jiff::Error> {
    text.replacen(" +", "+", 1).replacen(" -", "-", 1).parse()
}

/// A number of bytes; reads `"2GiB"`, `"500 MB"` or a plain number, shows `1.1 GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const BINARY: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];
const DECIMAL: [(&str, u64); 4] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

impl Bytes {
    /// As it is read again; what people are shown is rounded.
    fn written(self) -> String {
        let shown = compact(&self.to_string());
        match shown.parse() {
            Ok(read) if self == read => shown,
            _ => format!("{}B", self.0),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, unit)| self.0 >= *unit) {
            None => write!(f, "{} B", self.0),
            Some((name, unit)) => {
                let value = self.0 as f64 / *unit as f64;
                if value < 9.95 {
                    write!(f, "{value:.1} {name}")
                } else {
                    write!(f, "{value:.0} {name}")
                }
            }
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let factor = if unit.is_empty() || unit == "B" {
            Some(1)
        } else {
            BINARY
                .iter()
                .chain(&DECIMAL)
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
        };
        match (number.parse::<f64>(), factor) {
            // Half of what 64 bits hold: what is shown is rounded, and must be readable again.
            (Ok(number), Some(factor)) if number * (factor as f64) <= i64::MAX as f64 => {
                Ok(Self((number * factor as f64) as u64))
            }
            _ => Err(format!(
                "'{text}' is not a size: use a number and B, KiB, MiB, GiB or TiB, as in \"2GiB\""
            )),
        }
    }
}

/// A fixed length of time; reads `"90s"`, `"26h"`, `"1h30m"`, shows `1 h 30 m`. A bare `m` is minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Duration);

impl Length {
    const UNITS: &str = "ms, s, m (minutes), h, d or w, as in \"26h\"";

    /// Whole milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As it is read again; what people are shown is rounded.
    fn written(self) -> String {
        let shown = compact(&self.to_string());
        match (shown.parse(), self.0.as_millis()) {
            (Ok(read), _) if self == read => shown,
            (_, millis) if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
            (_, millis) => format!("{millis}ms"),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{millis} ms"),
            1..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} m {:02} s", seconds / 60, seconds % 60),
            3600..172_800 => write!(f, "{} h {:02} m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut millis = 0f64;
        for (number, unit) in parts(text, Self::UNITS)? {
            millis += number
                * match unit {
                    "ms" => 1.0,
                    "s" => 1e3,
                    "m" => 60e3,
                    "h" => 3600e3,
                    "d" => 86_400e3,
                    "w" => 604_800e3,
                    _ => return Err(not_a_duration(text, Self::UNITS)),
                };
        }
        if millis > 1e14 {
            return Err(format!("'{text}' is longer than three thousand years"));
        }
        Ok(Self(Duration::from_millis(millis as u64)))
    }
}

/// A length of time on the calendar: `"90d"`, `"6mo"`, `"1y"`; days, months and years follow the time zone.
#[derive(Clone, Debug)]
pub struct CalendarSpan {
    text: String,
    span: Span,
}

impl CalendarSpan {
    const UNITS: &str = "s, m (minutes), h, d, w, mo (months) or y, as in \"6mo\"";

    /// So many days.
    pub fn days(days: u32) -> Self {
        Self {
            text: format!("{days}d"),
            span: Span::new().days(days),
        }
    }

    /// So many years.
    pub fn years(years: u16) -> Self {
        Self {
            text: format!("{years}y"),
            span: Span::new().years(years),
        }
    }

    fn written(&self) -> String {
        compact(&self.text)
    }

    /// The moment this long before `now`.
    pub fn before(&self, now: &Zoned) -> Result<Zoned, jiff::Error> {
        now.checked_sub(self.span)
    }
}

impl fmt::Display for CalendarSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for CalendarSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut span = Span::new();
        for (number, unit) in parts(text, Self::UNITS)? {
            let whole = number as i64;
            if number.fract() != 0.0 {
                return Err(format!("'{text}': only whole numbers are possible here"));
            }
            span = match unit {
                "s" => span.try_seconds(whole),
                "m" => span.try_minutes(whole),
                "h" => span.try_hours(whole),
                "d" => span.try_days(whole),
                "w" => span.try_weeks(whole),
                "mo" => span.try_months(whole),
                "y" => span.try_years(whole),
                _ => return Err(not_a_duration(text, Self::UNITS)),
            }
            .map_err(|_| format!("'{text}' is too long"))?;
        }
        Ok(Self {
            text: text.to_owned(),
            span,
        })
    }
}

fn not_a_duration(text: &str, units: &str) -> String {
    format!("'{text}' is not a duration: use a number and {units}")
}

/// Splits `1h30m` into numbers with their units, of which only `units` are possible.
fn parts<'a>(text: &'a str, units: &str) -> Result<Vec<(f64, &'a str)>, String> {
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        match number.parse() {
            Ok(number) if !unit.is_empty() => found.push((number, unit)),
            _ => return Err(not_a_duration(text, units)),
        }
        rest = tail.trim_start();
    }
    if found.is_empty() {
        return Err(not_a_duration(text, units));
    }
    Ok(found)
}

/// Serialises as text and reads text, so that configuration errors carry their place.
macro_rules! as_text {
    ($type:ty, $name:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.written())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} in quotes, as in \"{}\"", $name, $example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": concat!($name, ", as in \"", $example, "\"")})
            }
        }
    };
}

/// What people read has blanks, what a configuration holds does not: `26 h 00 m` becomes `26h`.
fn compact(shown: &str) -> String {
    let joined: String = shown.split_whitespace().collect();
    for zero in ["00s", "00m"] {
        if let Some(short) = joined.strip_suffix(zero)
            && short.ends_with(|c: char| c.is_ascii_alphabetic())
        {
            return short.to_owned();
        }
    }
    joined
        .strip_suffix("d0h")
        .map(|days| format!("{days}d"))
        .unwrap_or_else(|| joined.replace(".0", ""))
}

as_text!(Bytes, "a size", "2GiB");
as_text!(Length, "a duration", "26h");
as_text!(CalendarSpan, "a calendar span", "90d");

/// How much `part` is of `whole`, 0 to 100; 0 of nothing.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

/// `1 database`, `2 databases`: the one place that knows plurals.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        return format!("1 {noun}");
    }
    if let Some(stem) = noun.strip_suffix("index") {
        return format!("{number} {stem}indices");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ if noun.ends_with('s') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for (text, written) in [
            ("123456789", "123456789B"),
            ("1025MiB", "1074790400B"),
            ("1.5GiB", "1.5GiB"),
            ("512 MiB", "512MiB"),
        ] {
            let bytes: Bytes = text.parse().expect("reads");
            assert_eq!(bytes.written(), written);
            assert_eq!(written.parse(), Ok(bytes));
        }
        for (text, written) in [
            ("1050ms", "1050ms"),
            ("25h59m59s", "93599s"),
            ("100d5h59m", "8661540s"),
            ("26h", "26h"),
            ("90m", "1h30m"),
            ("100ms", "100ms"),
        ] {
            let length: Length = text.parse().expect("reads");
            assert_eq!(length.written(), written);
            assert_eq!(written.parse(), Ok(length));
        }
    }

    #[test]
    fn bytes_are_read_and_shown() {
        assert_eq!("2GiB".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("1.5 MB".parse(), Ok(Bytes(1_500_000)));
        assert_eq!("4096".parse(), Ok(Bytes(4096)));
        assert!("-1".parse::<Bytes>().is_err());
        assert!("GiB".parse::<Bytes>().is_err());
        assert!("9e99".parse::<Bytes>().is_err());
        assert!("16777216TiB".parse::<Bytes>().is_err());
        assert_eq!("8388608TiB".parse(), Ok(Bytes(1 << 63)));
        assert_eq!(Bytes(1_181_116_006).to_string(), "1.1 GiB");
        assert_eq!(Bytes(1023).to_string(), "1023 B");
        assert_eq!(Bytes(222_298_112).to_string(), "212 MiB");
    }

    #[test]
    fn durations_are_read_and_shown() {
        assert_eq!("1h30m".parse(), Ok(Length(Duration::from_secs(5400))));
        assert_eq!("250ms".parse(), Ok(Length::from_millis(250)));
        for bad in ["", "7", "7d ago", "NaN", "-1d", "1e18d", "6mo"] {
            assert!(bad.parse::<Length>().is_err(), "{bad}");
        }
        assert_eq!(Length(Duration::from_secs(93_600)).to_string(), "26 h 00 m");
    }

    #[test]
    fn a_shown_duration_reads_back() {
        for text in ["26h", "5s", "30m", "7d", "250ms", "1h30m", "1m05s"] {
            let length: Length = text.parse().expect("reads");
            let shown = compact(&length.to_string());
            assert_eq!(shown.parse::<Length>(), Ok(length), "{text} as {shown}");
        }
        assert_eq!(
            compact(&Length(Duration::from_secs(93_600)).to_string()),
            "26h"
        );
    }

    #[test]
    fn calendar_spans_follow_the_calendar() {
        let now: Zoned = "2026-03-31T12:00[Europe/Berlin]".parse().expect("a time");
        let month: CalendarSpan = "1mo".parse().expect("a span");
        assert_eq!(
            month.before(&now).expect("in range").date().to_string(),
            "2026-02-28"
        );
        assert!("1.5d".parse::<CalendarSpan>().is_err());
        let wrong = "6 months".parse::<CalendarSpan>().expect_err("no unit");
        assert!(
            wrong.contains("m (minutes)") && wrong.contains("mo (months) or y"),
            "{wrong}"
        );
    }

    #[test]
    fn plurals() {
        assert_eq!(count(1, "database"), "1 database");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(count(0, "day"), "0 days");
        assert_eq!(count(3, "address"), "3 addresses");
        assert_eq!(count(2, "missing index"), "2 missing indices");
    }
}

//! How a column writes moments, told from all its values, and the condition that chooses the rows before a cut-off.
//! SQLite compares any number as less than any text: a condition written for the wrong form takes every row, or none.

mod form;
mod look;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::moment::{JULIAN_EPOCH, moment};
use form::form;
pub use look::{TimeColumn, Times};

/// One way to write a moment. Text without a zone is taken as UTC, as SQLite's own functions have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// ISO 8601 text.
    Iso {
        /// Where the text ends.
        resolution: Resolution,
        /// A blank or `T`; a blank for plain days too.
        separator: char,
        /// What stands behind the time.
        zone: Zone,
    },
    /// A number since 1970, from September 2001 to 2286: there each unit has its own number of digits.
    Epoch {
        /// What is counted.
        unit: Unit,
        /// Written as text.
        text: bool,
    },
    /// SQLite's `julianday()`.
    Julian,
}

/// The last field of ISO text; seconds may have a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// `2026-11-24`
    Day,
    /// `2026-11-24 03:00`
    Minute,
    /// `2026-11-24 03:00:00`, with or without a fraction
    Second,
}

/// The zone of ISO text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// None written.
    None,
    /// `Z`
    Utc,
    /// The same offset in every row.
    Offset {
        /// East of UTC.
        minutes: i16,
        /// `+01`, `+0100`, `+01:00`: how many characters.
        width: usize,
    },
    /// `Z` or `+01:00`, not the same in every row.
    Varying,
}

/// What an epoch number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 10 digits.
    Seconds,
    /// 13 digits.
    Milliseconds,
    /// 16 digits.
    Microseconds,
    /// 19 digits.
    Nanoseconds,
}

impl Unit {
    const ALL: [Self; 4] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
    ];

    fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    /// The smallest number that is taken as a moment; ten times that is the first that is not.
    fn least(self) -> i64 {
        1_000_000_000 * self.per_second()
    }

    fn holds(self, number: f64) -> bool {
        let least = self.least() as f64;
        (least..least * 10.0).contains(&number)
    }
}

/// The earliest year in text. Before it are the zeros of other systems: `0001-01-01`, `1970-01-01`.
const FIRST_YEAR: u32 = 1971;
const HALF: SignedDuration = SignedDuration::from_micros(500);

/// What connections call the order that they are taught.
const OLDER: &str = "older_than_the_cut_off";

/// Julian days of 1990 and 2200.
const JULIAN: std::ops::Range<f64> = 2_447_892.5..2_524_593.5;
/// No zone is further from UTC than 14 hours.
const WIDEST: SignedDuration = SignedDuration::from_hours(15);

impl TimeFormat {
    /// The moment that a value of this form means; `None` for a value of any other form.
    pub fn read(&self, value: ValueRef<'_>) -> Option<Timestamp> {
        let form = form(value)?;
        form.fits(self).then(|| moment(value)).flatten()
    }

    /// An SQL condition on `column` (a quoted name) that is true for exactly the values of this form before `cutoff`, in whole
    /// seconds. Never for NULL or another form, also in a row that is written later. It begins with a plain range: an index on
    /// the column is used.
    pub fn older_than(&self, column: &str, cutoff: Timestamp) -> String {
        let mut sql = self.range_before(column, cutoff) + &self.shape(column);
        if let Self::Iso {
            zone: Zone::Varying,
            ..
        } = self
        {
            let seconds = cutoff.as_second();
            sql.push_str(&format!(" AND unixepoch({column}) < {seconds}"));
        }
        sql
    }

    /// The same without a call of a function, for a connection that was taught it: a call may fail, and SQLite keeps a journal of its
    /// own for each statement of several rows in which something may, a quarter of the time that they take.
    pub fn plainly_older_than(&self, column: &str, cutoff: Timestamp) -> String {
        let range = self.range_before(column, cutoff);
        match self {
            Self::Iso { .. } | Self::Epoch { text: true, .. } => {
                format!("{range} AND {column} COLLATE {OLDER} = ''")
            }
            Self::Epoch { text: false, .. } | Self::Julian => range,
        }
    }

    /// Teaches a connection what [`Self::plainly_older_than`] says: to compare is no call. In this order text that is meant is like the
    /// empty one.
    pub fn teach(self, connection: &Connection, cutoff: Timestamp) -> rusqlite::Result<()> {
        connection.create_collation(OLDER, move |one, other| {
            let text = if one.is_empty() { other } else { one };
            match self.means_older(ValueRef::Text(text.as_bytes()), cutoff) {
                true => Ordering::Equal,
                false => one.cmp(other),
            }
        })
    }

    /// True where a value in the range before `cutoff` is of this form, and before it.
    fn means_older(&self, value: ValueRef<'_>, cutoff: Timestamp) -> bool {
        let fits = form(value).is_some_and(|form| form.fits(self));
        match self {
            Self::Iso {
                zone: Zone::Varying,
                ..
            } => {
                // SQLite's own functions round to the millisecond.
                let rounded = moment(value).and_then(|one| one.checked_add(HALF).ok());
                fits && rounded.is_some_and(|moment| moment < cutoff)
            }
            _ => fits,
        }
    }

    /// The range alone: true for every value for which [`Self::older_than`] is, and for others between.
    pub fn range_before(&self, column: &str, cutoff: Timestamp) -> String {
        let least = match self {
            Self::Iso { .. } => format!("'{FIRST_YEAR}-01-01'"),
            Self::Epoch { unit, text: true } => format!("'{}'", unit.least()),
            Self::Epoch { unit, text: false } => unit.least().to_string(),
            Self::Julian => format!("{:?}", JULIAN.start),
        };
        format!("{column} >= {least} AND {column} < {}", self.bound(cutoff))
    }

    /// The same for the values at or after `cutoff`.
    pub fn since(&self, column: &str, cutoff: Timestamp) -> String {
        let bound = self.bound(cutoff);
        match self {
            Self::Iso {
                zone: Zone::Varying,
                ..
            } => {
                let low = self.bound(cutoff.checked_sub(WIDEST * 2).unwrap_or(cutoff));
                let seconds = cutoff.as_second();
                let shape = self.shape(column);
                format!("{column} >= {low}{shape} AND unixepoch({column}) >= {seconds}")
            }
            Self::Iso { .. } | Self::Epoch { text: true, .. } => {
                format!("{column} >= {bound}{}", self.shape(column))
            }
            Self::Epoch { unit, text: false } => format!(
                "{column} >= {bound} AND {column} < {:?}",
                unit.least() as f64 * 10.0
            ),
            Self::Julian => format!("{column} >= {bound} AND {column} < {:?}", JULIAN.end),
        }
    }

    /// The first value that is not before `cutoff`, as an SQL literal; for varying zones one that no earlier moment can reach.
    fn bound(&self, cutoff: Timestamp) -> String {
        let seconds = cutoff.as_second();
        match self {
            Self::Iso { .. } => format!("'{}'", self.spelled(cutoff)),
            Self::Epoch { unit, text } => {
                let number = seconds.saturating_mul(unit.per_second()).max(unit.least());
                match text {
                    true => format!("'{number}'"),
                    false => number.to_string(),
                }
            }
            Self::Julian => format!("{:?}", seconds as f64 / 86_400.0 + JULIAN_EPOCH),
        }
    }

    /// A prefix of what this form writes for the first of its moments that is not before `cutoff`: without fraction and zone,
    /// so that whatever stands behind the second does not matter.
    fn spelled(&self, cutoff: Timestamp) -> String {
        let Self::Iso {
            resolution,
            separator,
            zone,
        } = self
        else {
            return String::new();
        };
        let shift = match zone {
            Zone::None | Zone::Utc => SignedDuration::ZERO,
            Zone::Offset { minutes, .. } => SignedDuration::from_mins(i64::from(*minutes)),
            Zone::Varying => WIDEST,
        };
        let step = match resolution {
            Resolution::Day => 86_400,
            Resolution::Minute => 60,
            Resolution::Second => 1,
        };
        let local = cutoff.as_second() + shift.as_secs();
        let up = local.div_euclid(step) * step + if local.rem_euclid(step) > 0 { step } else { 0 };
        let written = Timestamp::from_second(up).unwrap_or(cutoff).to_string();
        let date = written.get(..10).unwrap_or_default();
        let time = written.get(11..19).unwrap_or_default();
        match resolution {
            Resolution::Day => date.to_owned(),
            Resolution::Minute => format!("{date}{separator}{}", time.get(..5).unwrap_or(time)),
            Resolution::Second => format!("{date}{separator}{time}"),
        }
    }

    /// What a value in the range has to look like beside.
    fn shape(&self, column: &str) -> String {
        match self {
            Self::Iso {
                resolution: Resolution::Day,
                ..
            } => format!(" AND {column} GLOB '????-??-??'"),
            Self::Iso {
                resolution,
                separator,
                zone,
            } => {
                let (seconds, length) = match resolution {
                    Resolution::Second => (":??", 20),
                    _ => ("", 17),
                };
                let head = format!("????-??-??{separator}??:??{seconds}");
                match zone {
                    // The second half is only tried where there is a fraction.
                    Zone::None => format!(
                        " AND ({column} GLOB '{head}' OR {column} GLOB '{head}*' AND substr({column}, {length}) NOT GLOB '*[^.0-9]*')"
                    ),
                    Zone::Utc => format!(" AND {column} GLOB '{head}*Z'"),
                    Zone::Offset { .. } => format!(" AND {column} GLOB '{head}*{zone}'"),
                    Zone::Varying => format!(" AND {column} GLOB '{head}*[Z0-9]'"),
                }
            }
            Self::Epoch { unit, text: true } => format!(
                " AND length({column}) = {} AND {column} NOT GLOB '*[^0-9]*'",
                unit.least().to_string().len()
            ),
            _ => String::new(),
        }
    }

    /// True where a value of this form may stand in a column of the other.
    fn fits(&self, column: &Self) -> bool {
        match (self, column) {
            (
                Self::Iso {
                    resolution,
                    separator,
                    zone,
                },
                Self::Iso {
                    resolution: wanted,
                    separator: between,
                    zone: Zone::Varying,
                },
            ) => (resolution, separator) == (wanted, between) && zone.may_vary(),
            _ => self == column,
        }
    }
}

impl Zone {
    /// What SQLite's own functions can read row by row.
    fn may_vary(self) -> bool {
        matches!(
            self,
            Self::Utc | Self::Varying | Self::Offset { width: 6, .. }
        )
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Utc => f.write_str("Z"),
            Self::Offset { minutes, width } => {
                let sign = if *minutes < 0 { '-' } else { '+' };
                let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
                match width {
                    3 => write!(f, "{sign}{hours:02}"),
                    5 => write!(f, "{sign}{hours:02}{minutes:02}"),
                    _ => write!(f, "{sign}{hours:02}:{minutes:02}"),
                }
            }
            Self::Varying => f.write_str("±hh:mm"),
        }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iso {
                resolution: Resolution::Day,
                ..
            } => f.write_str("text YYYY-MM-DD (as UTC)"),
            Self::Iso {
                resolution,
                separator,
                zone,
            } => {
                let seconds = match resolution {
                    Resolution::Second => ":SS",
                    _ => "",
                };
                write!(f, "text YYYY-MM-DD{separator}HH:MM{seconds}{zone}")?;
                match zone {
                    Zone::None => f.write_str(" (as UTC)"),
                    _ => Ok(()),
                }
            }
            Self::Epoch { unit, text } => {
                let unit = match unit {
                    Unit::Seconds => "seconds",
                    Unit::Milliseconds => "milliseconds",
                    Unit::Microseconds => "microseconds",
                    Unit::Nanoseconds => "nanoseconds",
                };
                write!(f, "{unit} since 1970")?;
                f.write_str(if *text { " as text" } else { "" })
            }
            Self::Julian => f.write_str("Julian day"),
        }
    }
}

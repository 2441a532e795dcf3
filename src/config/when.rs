//! When something is due, as it is written in a configuration: `"03:07"`, `"mon 01:11"`, `"second mon 04:13"`, `"every 6h :41"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A rule of the calendar. What it means on a given day is `calendar::next_due` and `calendar::last_due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Never: somebody else sees to it.
    Off,
    /// Every `step` minutes (a divisor of 60), from minute `first` of each hour, which is below `step`.
    Minutes {
        /// Minutes from one to the next.
        step: i8,
        /// The first minute of each hour.
        first: i8,
    },
    /// Every `step` hours (a divisor of 24) from midnight, at `minute`.
    Hours {
        /// Hours from one to the next, 2 to 12.
        step: i8,
        /// The minute of the hour.
        minute: i8,
    },
    /// Once on each day that fits.
    Days {
        /// Which days.
        days: Days,
        /// 0 to 23.
        hour: i8,
        /// 0 to 59.
        minute: i8,
    },
}

/// Which days of the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// All of them.
    Every,
    /// One day of each week.
    Week(Weekday),
    /// The first to fourth such weekday of some months.
    Month {
        /// Bit 0 is January.
        months: u16,
        /// 1 to 4.
        nth: i8,
        /// The weekday.
        weekday: Weekday,
    },
}

/// All twelve, as [`Days::Month`] has them.
pub const EVERY_MONTH: u16 = 0xfff;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const NTH: [&str; 4] = ["first", "second", "third", "fourth"];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl When {
    /// Every `step` minutes from minute `first` on.
    pub const fn minutes(step: i8, first: i8) -> Self {
        Self::Minutes { step, first }
    }

    /// Once an hour.
    pub const fn hourly(minute: i8) -> Self {
        Self::Minutes {
            step: 60,
            first: minute,
        }
    }

    /// Every `step` hours.
    pub const fn hours(step: i8, minute: i8) -> Self {
        Self::Hours { step, minute }
    }

    /// Once a day.
    pub const fn daily(hour: i8, minute: i8) -> Self {
        let days = Days::Every;
        Self::Days { days, hour, minute }
    }

    /// Once a week.
    pub const fn weekly(weekday: Weekday, hour: i8, minute: i8) -> Self {
        let days = Days::Week(weekday);
        Self::Days { days, hour, minute }
    }

    /// On the nth weekday of some months.
    pub const fn monthly(months: u16, nth: i8, weekday: Weekday, hour: i8, minute: i8) -> Self {
        let days = Days::Month {
            months,
            nth,
            weekday,
        };
        Self::Days { days, hour, minute }
    }
}

/// The three letters of a weekday.
pub fn weekday_name(weekday: Weekday) -> &'static str {
    WEEKDAYS[weekday.to_monday_zero_offset() as usize % 7].0
}

/// The months of a set, as numbers from 1.
pub fn month_numbers(months: u16) -> impl Iterator<Item = i8> {
    (0..12)
        .filter(move |at| months & (1 << at) != 0)
        .map(|at| at + 1)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Minutes { step: 60, first } => write!(f, "every 1h :{first:02}"),
            Self::Minutes { step, first: 0 } => write!(f, "every {step}m"),
            Self::Minutes { step, first } => write!(f, "every {step}m :{first:02}"),
            Self::Hours { step, minute } => write!(f, "every {step}h :{minute:02}"),
            Self::Days { days, hour, minute } => {
                match days {
                    Days::Every => {}
                    Days::Week(weekday) => write!(f, "{} ", weekday_name(*weekday))?,
                    Days::Month {
                        months,
                        nth,
                        weekday,
                    } => {
                        if *months != EVERY_MONTH {
                            let names: Vec<_> = month_numbers(*months)
                                .map(|month| MONTHS[month as usize - 1])
                                .collect();
                            write!(f, "{} ", names.join(","))?;
                        }
                        let nth = NTH[(*nth as usize).clamp(1, 4) - 1];
                        write!(f, "{nth} {} ", weekday_name(*weekday))?;
                    }
                }
                write!(f, "{hour:02}:{minute:02}")
            }
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<_> = lower.split_whitespace().collect();
        let found = match words.as_slice() {
            ["off"] => Some(Self::Off),
            ["every", step] => every(step, None),
            ["every", step, minute] => every(step, Some(minute)),
            [days @ .., time] => on_days(days)
                .zip(clock(time))
                .map(|(days, (hour, minute))| Self::Days { days, hour, minute }),
            [] => None,
        };
        found.ok_or_else(|| {
            format!(
                "'{}' is no time of the calendar: write \"03:07\", \"mon 01:11\", \"second mon 04:13\", \"jan,jul first mon 09:00\", \"every 6h :41\", \"every 5m\" or \"off\"",
                text.escape_debug()
            )
        })
    }
}

fn every(step: &str, minute: Option<&str>) -> Option<When> {
    let minute = match minute {
        None => 0,
        Some(text) => two_digits(text.strip_prefix(':')?).filter(|minute| *minute < 60)?,
    };
    if let Some(hours) = step.strip_suffix('h') {
        return match hours.parse().ok()? {
            1 => Some(When::hourly(minute)),
            step @ (2 | 3 | 4 | 6 | 8 | 12) => Some(When::Hours { step, minute }),
            _ => None,
        };
    }
    let step: i8 = step.strip_suffix('m')?.parse().ok()?;
    let fits = (1..=60).contains(&step) && 60 % step == 0 && minute < step;
    fits.then_some(When::Minutes {
        step,
        first: minute,
    })
}

fn on_days(words: &[&str]) -> Option<Days> {
    let day = |word: &str| WEEKDAYS.iter().find(|(name, _)| *name == word);
    let nth = |word: &str| NTH.iter().position(|name| *name == word);
    match words {
        [] => Some(Days::Every),
        [weekday] => Some(Days::Week(day(weekday)?.1)),
        [rest @ .., which, weekday] => {
            let months = match rest {
                [] => EVERY_MONTH,
                [list] => month_set(list)?,
                _ => return None,
            };
            Some(Days::Month {
                months,
                nth: i8::try_from(nth(which)? + 1).ok()?,
                weekday: day(weekday)?.1,
            })
        }
    }
}

fn month_set(list: &str) -> Option<u16> {
    list.split(',').try_fold(0, |set, name| {
        let at = MONTHS.iter().position(|month| *month == name)?;
        Some(set | 1 << at)
    })
}

fn clock(text: &str) -> Option<(i8, i8)> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

fn two_digits(text: &str) -> Option<i8> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "a time of the calendar, as in \"mon 01:11\""})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "off",
            "every 5m",
            "every 15m :04",
            "every 1h :17",
            "every 6h :41",
            "03:07",
            "mon 01:11",
            "second mon 04:13",
            "jan,apr,jul,oct first tue 09:00",
        ] {
            let when: When = text.parse().expect(text);
            assert_eq!(when.to_string(), text);
        }
        assert_eq!(
            " Second  MON 4:13".parse(),
            "second mon 04:13".parse::<When>()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "3",
            "24:00",
            "03:60",
            "-1:00",
            "3:-7",
            "monday 03:00",
            "fifth mon 03:00",
            "jan mon 03:00",
            "jan 03:00",
            "first 03:00",
            "every 7m",
            "every 5h",
            "every 5m :05",
            "every 0m",
            "every h",
            "jan,,feb first mon 03:00",
            "0 3 * * *",
            "mon tue 03:00",
        ] {
            let error = text.parse::<When>().expect_err(text);
            assert!(error.contains("second mon"), "{error}");
        }
    }
}

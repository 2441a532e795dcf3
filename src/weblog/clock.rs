//! The times that logs hold, as seconds since 1970.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Reads times, and remembers the last one: thousands of lines in a row say the same minute.
#[derive(Default)]
pub struct Clock {
    /// `10/Oct/2000:13:55` and ` -0700`.
    last: ([u8; 17], [u8; 6]),
    seconds: i64,
}

impl Clock {
    /// `10/Oct/2000:13:55:36 -0700`, what stands between the brackets.
    pub fn apache(&mut self, text: &[u8]) -> Option<i64> {
        let text: &[u8; 26] = text.get(..26)?.try_into().ok()?;
        let (minute, rest) = text.split_first_chunk::<17>()?;
        let (second, zone) = rest.split_first_chunk::<3>()?;
        let zone: &[u8; 6] = zone.try_into().ok()?;
        if (minute, zone) != (&self.last.0, &self.last.1) {
            self.seconds = start_of_minute(minute, zone)?;
            self.last = (*minute, *zone);
        }
        (second[0] == b':').then_some(())?;
        Some(self.seconds + number(&second[1..])?)
    }
}

fn start_of_minute(minute: &[u8; 17], zone: &[u8; 6]) -> Option<i64> {
    let month = MONTHS.iter().position(|month| minute[3..6] == **month)? + 1;
    let time = DateTime::new(
        i16::try_from(number(&minute[7..11])?).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(number(&minute[..2])?).ok()?,
        i8::try_from(number(&minute[12..14])?).ok()?,
        i8::try_from(number(&minute[15..17])?).ok()?,
        0,
        0,
    )
    .ok()?;
    let away = number(&zone[2..4])? * 3600 + number(&zone[4..6])? * 60;
    let away = i32::try_from(if zone[1] == b'-' { -away } else { away }).ok()?;
    let offset = Offset::from_seconds(away).ok()?;
    Some(offset.to_timestamp(time).ok()?.as_second())
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0;
    for digit in digits {
        digit.is_ascii_digit().then_some(())?;
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(value)
}

/// What JSON logs write: RFC 3339, Apache's form, or seconds or milliseconds since 1970.
pub fn any(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    match text.parse::<f64>() {
        Ok(number) => since_1970(number),
        Err(_) => Clock::default().apache(text.as_bytes()),
    }
}

/// Seconds, or milliseconds where they would be thousands of years.
pub fn since_1970(number: f64) -> Option<i64> {
    const YEAR_5138: f64 = 1e11;
    (number.is_finite() && (0.0..1e14).contains(&number)).then_some(())?;
    Some(match number < YEAR_5138 {
        true => number as i64,
        false => (number / 1000.0) as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_moment() {
        let mut clock = Clock::default();
        for _ in 0..2 {
            assert_eq!(
                clock.apache(b"10/Oct/2000:13:55:36 -0700"),
                Some(971_211_336)
            );
            assert_eq!(
                clock.apache(b"10/Oct/2000:20:55:36 +0000"),
                Some(971_211_336)
            );
        }
        assert_eq!(any("2000-10-10T20:55:36Z"), Some(971_211_336));
        assert_eq!(any("2000-10-10T13:55:36.5-07:00"), Some(971_211_336));
        assert_eq!(any("971211336.25"), Some(971_211_336));
        assert_eq!(any("971211336250"), Some(971_211_336));
        for wrong in ["", "-", "NaN", "1e300", "-5", "32/Oct/2000:13:55:36 -0700"] {
            assert_eq!(any(wrong), None, "{wrong}");
        }
        assert_eq!(clock.apache(b"10/Oct/2000:13:55:3x -0700"), None);
        assert_eq!(
            clock.apache("10/Oct/2000:13:55:36 -07\u{e4}".as_bytes()),
            None
        );
    }
}

//! How many requests each minute of the last hour had, and how many of them went wrong. What the last run has counted is kept, so
//! that a run reads only what is new.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::entry::When;
use super::line::parse;
use super::tail::{Lines, Piece, Position, line_start, tail};
use crate::sys::Stop;

/// Minutes that are kept.
const HOUR: i64 = 60;

/// A log may be ahead of us by a little; what is further ahead has another clock.
const AHEAD: i64 = 2;
const MOST: u64 = 4 << 30;
/// Under this a second thread does not pay.
const SMALL: u64 = 8 << 20;

/// Requests of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    /// All.
    pub requests: u64,
    /// Answered with 500 or more.
    pub server_errors: u64,
    /// API requests answered with 400 or more.
    pub api_errors: u64,
    /// Logins that were refused.
    pub failed_logins: u64,
}

impl Minute {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.server_errors += other.server_errors;
        self.api_errors += other.api_errors;
        self.failed_logins += other.failed_logins;
    }

    /// The share of one of `parts`, as even as whole numbers can be.
    fn share(self, part: u64, parts: u64) -> Self {
        let share = |number: u64| number * (part + 1) / parts - number * part / parts;
        Self {
            requests: share(self.requests),
            server_errors: share(self.server_errors),
            api_errors: share(self.api_errors),
            failed_logins: share(self.failed_logins),
        }
    }
}

/// Which requests are what.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// A path that ends so is a login.
    pub login: Vec<String>,
    /// A path that starts so is the API's.
    pub api: Vec<String>,
}

/// The last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Minutes since 1970.
    minutes: BTreeMap<i64, Minute>,
}

impl Rates {
    /// Everything together.
    pub fn hour(&self) -> Minute {
        let mut all = Minute::default();
        for minute in self.minutes.values() {
            all.add(*minute);
        }
        all
    }

    /// The worst minute.
    pub fn peak(&self, of: impl Fn(&Minute) -> u64) -> u64 {
        self.minutes.values().map(of).max().unwrap_or(0)
    }

    fn keep_hour(&mut self, now: i64) {
        let this = now.div_euclid(60);
        self.minutes
            .retain(|minute, _| (this - HOUR < *minute) && *minute <= this + AHEAD);
    }
}

/// What a run knows of a log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Up to where it was read.
    position: Position,
    /// When, seconds since 1970.
    at: i64,
    /// The last hour.
    pub rates: Rates,
    /// New lines that were requests.
    #[serde(skip)]
    pub parsed: u64,
    /// New lines that were not understood.
    #[serde(skip)]
    pub unparsed: u64,
    /// Some of the new lines could not be read.
    #[serde(skip)]
    pub skipped: bool,
}

/// Reads what is new in the log at `path` and counts it on top of what the last run knew.
pub fn read(
    path: &Path,
    last: Option<&Reading>,
    paths: &Paths,
    now: i64,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<Reading> {
    let tail = tail(path, last.map(|last| &last.position), MOST)?;
    let mut all = Counts::default();
    for piece in &tail.pieces {
        for counts in count(piece, paths, now, threads, stop)? {
            all.add(counts);
        }
    }
    let mut rates = last.map(|last| last.rates.clone()).unwrap_or_default();
    for (minute, counts) in all.minutes {
        rates.minutes.entry(minute).or_default().add(counts);
    }
    // Lines without a time came at some moment since the last run; a first run cannot say when.
    if let Some(last) = last {
        let end = now.div_euclid(60);
        let begin = last.at.div_euclid(60).clamp(end - HOUR + 1, end);
        let parts = u64::try_from(end - begin + 1).unwrap_or(1);
        for (minute, part) in (begin..=end).zip(0..) {
            let share = all.untimed.share(part, parts);
            if share.requests > 0 {
                rates.minutes.entry(minute).or_default().add(share);
            }
        }
    }
    rates.keep_hour(now);
    Ok(Reading {
        position: tail.position,
        at: now,
        rates,
        parsed: all.parsed,
        unparsed: all.unparsed,
        skipped: tail.skipped,
    })
}

/// The minutes of the last hour, in one block: no search and no allocation for a line.
struct Hour {
    first: i64,
    minutes: [Minute; (HOUR + AHEAD) as usize],
}

impl Hour {
    fn at(&mut self, second: i64) -> Option<&mut Minute> {
        let place = second.div_euclid(60).checked_sub(self.first)?;
        self.minutes.get_mut(usize::try_from(place).ok()?)
    }

    fn iter(&self) -> impl Iterator<Item = (i64, Minute)> + '_ {
        (self.first..)
            .zip(self.minutes)
            .filter(|(_, minute)| minute.requests > 0)
    }
}

#[derive(Default)]
struct Counts {
    minutes: BTreeMap<i64, Minute>,
    untimed: Minute,
    parsed: u64,
    unparsed: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        for (minute, counts) in other.minutes {
            self.minutes.entry(minute).or_default().add(counts);
        }
        self.untimed.add(other.untimed);
        self.parsed += other.parsed;
        self.unparsed += other.unparsed;
    }
}

/// Counts a piece, in parts of about the same size on as many threads.
fn count(
    piece: &Piece,
    paths: &Paths,
    now: i64,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<Vec<Counts>> {
    let size = piece.to - piece.from;
    let parts = match size < SMALL {
        true => 1,
        false => threads.clamp(1, 4) as u64,
    };
    let mut borders = vec![piece.from];
    for part in 1..parts {
        let border = line_start(&piece.file, piece.from + size / parts * part, piece.to)?;
        borders.push(border);
    }
    borders.push(piece.to);
    std::thread::scope(|scope| {
        let workers: Vec<_> = borders
            .windows(2)
            .map(|border| {
                let (from, to) = (border[0], border[1]);
                scope.spawn(move || {
                    let file = piece.file.try_clone()?;
                    count_part(&Piece { file, from, to }, paths, now, stop)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a reader of the log panicked")))
            })
            .collect()
    })
}

fn count_part(piece: &Piece, paths: &Paths, now: i64, stop: &Stop) -> anyhow::Result<Counts> {
    let mut hour = Hour {
        first: now.div_euclid(60) - HOUR + 1,
        minutes: [Minute::default(); (HOUR + AHEAD) as usize],
    };
    let mut counts = Counts::default();
    let mut clock = Clock::default();
    Lines::default().read(piece, stop, &mut |line| {
        let Some(entry) = line.and_then(|line| parse(line, &mut clock)) else {
            counts.unparsed += 1;
            return;
        };
        counts.parsed += 1;
        let minute = match entry.at {
            When::At(second) => hour.at(second),
            When::Unsaid => Some(&mut counts.untimed),
        };
        let Some(minute) = minute else { return };
        minute.requests += 1;
        if entry.status < 400 {
            return;
        }
        minute.server_errors += u64::from(entry.status >= 500);
        minute.api_errors += u64::from(paths.is_api(&entry.path));
        let refused = matches!(entry.status, 400 | 401 | 403 | 422 | 429);
        minute.failed_logins += u64::from(refused && paths.is_login(&entry.path));
    })?;
    counts.minutes = hour.iter().collect();
    Ok(counts)
}

impl Paths {
    fn is_api(&self, path: &[u8]) -> bool {
        self.api.iter().any(|api| {
            path.strip_prefix(api.as_bytes())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')))
        })
    }

    pub(super) fn is_login(&self, path: &[u8]) -> bool {
        let end = memchr::memchr(b'?', path).unwrap_or(path.len());
        let path = path[..end].strip_suffix(b"/").unwrap_or(&path[..end]);
        self.login
            .iter()
            .any(|login| path.ends_with(login.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::time::Duration;

    const NOW: i64 = 971_211_336; // 10/Oct/2000:20:55:36 UTC

    fn paths() -> Paths {
        Paths {
            login: vec!["/login".into()],
            api: vec!["/api".into()],
        }
    }

    fn read_all(text: &str, last: Option<&Reading>, now: i64) -> Reading {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        std::fs::write(&log, text).expect("writes");
        let stop = Stop::after(Duration::from_secs(60));
        read(&log, last, &paths(), now, 2, &stop).expect("reads")
    }

    fn line(time: &str, path: &str, status: u16) -> String {
        format!("1.2.3.4 - - [10/Oct/2000:{time} +0000] \"POST {path} HTTP/1.1\" {status} 5\n")
    }

    #[test]
    fn only_the_last_hour_counts() {
        let text = line("19:50:00", "/api/old", 500)
            + &line("20:10:00", "/api/new", 500)
            + &line("20:10:30", "/api/login/?next=/", 401)
            + &line("20:11:00", "/apix", 404)
            + &line("23:00:00", "/api/future", 500)
            + "nonsense\n";
        let reading = read_all(&text, None, NOW);
        let hour = reading.rates.hour();
        assert_eq!((hour.requests, hour.server_errors), (3, 1));
        assert_eq!((hour.api_errors, hour.failed_logins), (2, 1));
        assert_eq!(reading.rates.peak(|minute| minute.requests), 2);
        assert_eq!((reading.parsed, reading.unparsed), (5, 1));
        // A later run of the same log finds nothing new, and forgets what is over.
        let later = read_all("", Some(&reading), NOW + 15 * 60);
        assert_eq!(later.rates.hour().requests, 1);
    }

    #[test]
    fn threads_count_as_one_does() {
        let mut text = String::new();
        for number in 0..120_000 {
            let _ = write!(
                text,
                "{}",
                line(
                    &format!("20:{:02}:{:02}", number / 60 % 55, number % 60),
                    "/login",
                    if number % 3 == 0 { 401 } else { 200 }
                )
            );
        }
        assert!(text.len() as u64 > SMALL);
        let reading = read_all(&text, None, NOW);
        assert_eq!(reading.parsed, 120_000);
        assert_eq!(reading.rates.hour().requests, 120_000);
        assert_eq!(reading.rates.hour().failed_logins, 40_000);
    }

    #[test]
    fn lines_without_a_time_are_spread_over_the_time_between_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        let text = "GET /login 401 1.0 ms - 5\n".repeat(60);
        let stop = Stop::after(Duration::from_secs(60));
        std::fs::write(&log, &text).expect("writes");
        let first = read(&log, None, &paths(), NOW, 1, &stop).expect("reads");
        assert_eq!(first.rates.hour().requests, 0);
        std::fs::write(&log, text.repeat(2)).expect("grows");
        let second = read(&log, Some(&first), &paths(), NOW + 300, 1, &stop).expect("reads");
        assert_eq!(second.rates.hour().failed_logins, 60);
        assert_eq!(second.rates.peak(|minute| minute.failed_logins), 10);
    }
}

//! A longer time of an access log, with what was rotated away in it: who asked, for what, and how it was answered.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::clock::Clock;
use super::entry::{Entry, When};
use super::line::parse;
use super::probes;
use super::rates::Paths;
use super::rotated::{inflate, rotated};
use super::table::{Counts, Table};
use super::tail::{Lines, Piece, line_start};
use crate::sys::{Stop, files};

/// Names of addresses and of endpoints that are kept; see [`super::table`] for what becomes of more.
const MOST: usize = 50_000;
const SMALL: u64 = 8 << 20;

/// What one address did.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// All its requests.
    pub requests: u64,
    /// Answered 401 or 403.
    pub denied: u64,
    /// Logins that were refused.
    pub failed_logins: u64,
    /// Paths that only scanners ask for.
    pub probes: u64,
    /// Answers 401 and 403 in its worst minute.
    pub denied_peak: u64,
    minute: (i64, u64),
}

/// What one endpoint answered.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// All its requests.
    pub requests: u64,
    /// Answered from 500 on.
    pub errors: u64,
    /// Answered 2xx.
    pub fine: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kind {
    login: bool,
    probe: bool,
    hostile: bool,
}

impl Counts for Address {
    fn weight(&self) -> u64 {
        self.requests
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.denied += other.denied;
        self.failed_logins += other.failed_logins;
        self.probes += other.probes;
        self.denied_peak = self.denied_peak.max(other.denied_peak);
    }
}

impl Counts for Endpoint {
    fn weight(&self) -> u64 {
        self.requests
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.fine += other.fine;
        self.kind = other.kind;
    }
}

impl Endpoint {
    /// True for a path that only scanners ask for.
    pub fn is_probe(&self) -> bool {
        self.kind.probe
    }
}

/// Everything that was seen.
pub struct Survey {
    /// By status, 0-999.
    pub statuses: Vec<u64>,
    /// Who asked.
    pub addresses: Table<Address>,
    /// For what, without the query.
    pub endpoints: Table<Endpoint>,
    /// Refused logins by minute since the beginning.
    failed_logins: Vec<u32>,
    /// Lines that were requests of the time that was asked for.
    pub requests: u64,
    /// Lines that were requests of another time.
    pub elsewhen: u64,
    /// Lines that were no request.
    pub unparsed: u64,
    /// Lines longer than 64 KiB, which are among those.
    pub too_long: u64,
    /// Lines with control characters or broken UTF-8 in them.
    pub hostile: u64,
    /// Requests for what only scanners ask for.
    pub probes: u64,
    /// What was read.
    pub files: u64,
    /// Bytes, as they lie on the disk.
    pub bytes: u64,
    /// Files that could not be read to their end, and why.
    pub broken: Vec<(PathBuf, String)>,
    from: i64,
    to: i64,
}

impl Survey {
    fn new(from: i64, to: i64) -> Self {
        let minutes = usize::try_from((to - from) / 60 + 2).unwrap_or(2);
        Self {
            statuses: vec![0; 1000],
            addresses: Table::new(MOST),
            endpoints: Table::new(MOST),
            failed_logins: vec![0; minutes],
            requests: 0,
            elsewhen: 0,
            unparsed: 0,
            too_long: 0,
            hostile: 0,
            probes: 0,
            files: 0,
            bytes: 0,
            broken: Vec::new(),
            from,
            to,
        }
    }

    /// Refused logins in the worst minute.
    pub fn login_peak(&self) -> u64 {
        self.failed_logins.iter().max().copied().unwrap_or(0).into()
    }

    /// Refused logins.
    pub fn failed_logins(&self) -> u64 {
        self.failed_logins
            .iter()
            .map(|number| u64::from(*number))
            .sum()
    }

    /// Answers with a status of these hundreds: 5 for 5xx.
    pub fn of_class(&self, hundred: usize) -> u64 {
        self.statuses[hundred * 100..hundred * 100 + 100]
            .iter()
            .sum()
    }

    fn merge(&mut self, other: Self) {
        for (own, more) in self.statuses.iter_mut().zip(&other.statuses) {
            *own += more;
        }
        for (own, more) in self.failed_logins.iter_mut().zip(&other.failed_logins) {
            *own += more;
        }
        self.addresses.merge(other.addresses);
        self.endpoints.merge(other.endpoints);
        self.requests += other.requests;
        self.elsewhen += other.elsewhen;
        self.unparsed += other.unparsed;
        self.too_long += other.too_long;
        self.hostile += other.hostile;
        self.probes += other.probes;
        self.files += other.files;
        self.bytes += other.bytes;
        self.broken.extend(other.broken);
    }

    fn line(&mut self, line: Option<&[u8]>, clock: &mut Clock, paths: &Paths) {
        let Some(line) = line else {
            self.unparsed += 1;
            self.too_long += 1;
            return;
        };
        match parse(line, clock) {
            Some(entry) => self.request(&entry, paths),
            None => {
                self.unparsed += 1;
                self.hostile += u64::from(is_hostile(line));
            }
        }
    }

    #[inline]
    fn request(&mut self, entry: &Entry<'_>, paths: &Paths) {
        let minute = match entry.at {
            When::At(second) if second < self.from || second > self.to => {
                self.elsewhen += 1;
                return;
            }
            When::At(second) => Some((second - self.from) / 60),
            When::Unsaid => None,
        };
        self.requests += 1;
        let status = entry.status;
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
        let end = memchr::memchr(b'?', &entry.path).unwrap_or(entry.path.len());
        let (endpoint, new) = self.endpoints.entry(&entry.path[..end]);
        if new {
            endpoint.kind = Kind {
                login: paths.is_login(&entry.path),
                probe: probes::is_one(&entry.path[..end]),
                hostile: is_hostile(&entry.path),
            };
        }
        endpoint.requests += 1;
        endpoint.errors += u64::from(status >= 500);
        endpoint.fine += u64::from((200..300).contains(&status));
        let kind = endpoint.kind;
        let denied = matches!(status, 401 | 403);
        let refused = kind.login && matches!(status, 400 | 401 | 403 | 422 | 429);
        self.hostile += u64::from(kind.hostile);
        self.probes += u64::from(kind.probe);
        let (address, _) = self.addresses.entry(&entry.host);
        address.requests += 1;
        address.probes += u64::from(kind.probe);
        address.failed_logins += u64::from(refused);
        if denied {
            address.denied += 1;
            let minute = minute.unwrap_or(-1);
            if address.minute.0 != minute {
                address.minute = (minute, 0);
            }
            address.minute.1 += 1;
            if minute >= 0 {
                address.denied_peak = address.denied_peak.max(address.minute.1);
            }
        }
        if refused
            && let Some(minute) = minute.and_then(|minute| usize::try_from(minute).ok())
            && let Some(count) = self.failed_logins.get_mut(minute)
        {
            *count += 1;
        }
    }
}

fn is_hostile(text: &[u8]) -> bool {
    let control = |byte: &u8| *byte < 0x20 && *byte != b'\t' || *byte == 0x7f;
    text.iter().any(control) || std::str::from_utf8(text).is_err()
}

/// Reads the log at `path` and those that were rotated away from it, as far as they may hold something of the time from `from` to
/// `to`, seconds since 1970.
pub fn survey(
    path: &Path,
    paths: &Paths,
    from: i64,
    to: i64,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<Survey> {
    let mut all = Survey::new(from, to);
    for file in rotated(path, from)?.into_iter().chain([path.to_owned()]) {
        stop.check()?;
        let opened = match files::open_regular(&file) {
            Ok(opened) => opened,
            Err(error) if file != path => {
                all.broken.push((file, format!("{error:#}")));
                continue;
            }
            Err(error) => return Err(error),
        };
        let size = opened.metadata()?.len();
        all.files += 1;
        all.bytes += size;
        match file.extension().is_some_and(|end| end == "gz") {
            true => {
                let mut clock = Clock::default();
                let mut each = |line: Option<&[u8]>| all.line(line, &mut clock, paths);
                if let Err(error) = inflate(opened, stop, &mut each) {
                    stop.check()?;
                    all.broken.push((file, format!("{error:#}")));
                }
            }
            false => plain(opened, size, &mut all, paths, threads, stop)?,
        }
    }
    Ok(all)
}

fn plain(
    file: File,
    size: u64,
    all: &mut Survey,
    paths: &Paths,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<()> {
    let parts = match size < SMALL {
        true => 1,
        false => threads.clamp(1, 8) as u64,
    };
    let mut borders = vec![0];
    for part in 1..parts {
        borders.push(line_start(&file, size / parts * part, size)?);
    }
    borders.push(size);
    let (from, to) = (all.from, all.to);
    let seen: Vec<anyhow::Result<Survey>> = std::thread::scope(|scope| {
        let workers: Vec<_> = borders
            .windows(2)
            .map(|border| {
                let (start, end) = (border[0], border[1]);
                let file = file.try_clone();
                scope.spawn(move || {
                    let piece = Piece {
                        file: file?,
                        from: start,
                        to: end,
                    };
                    let (mut part, mut clock) = (Survey::new(from, to), Clock::default());
                    Lines::default().read(&piece, stop, &mut |line| {
                        part.line(line, &mut clock, paths);
                    })?;
                    Ok(part)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                let panicked = |_| Err(anyhow::anyhow!("a reader of the log panicked"));
                worker.join().unwrap_or_else(panicked)
            })
            .collect()
    });
    for part in seen {
        all.merge(part?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rotated::DAY;
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    const NOW: i64 = 971_211_336; // 10/Oct/2000:20:55:36 UTC

    fn line(address: &str, time: &str, path: &str, status: u16) -> String {
        format!(
            "{address} - - [10/Oct/2000:{time} +0000] \"GET {path} HTTP/1.1\" {status} 5 \"-\" \"x\"\n"
        )
    }

    fn read(log: &Path) -> Survey {
        let paths = Paths {
            login: vec!["/login".into()],
            api: Vec::new(),
        };
        let stop = Stop::after(Duration::from_secs(60));
        survey(log, &paths, NOW - 7 * DAY, NOW, 2, &stop).expect("reads")
    }

    #[test]
    fn rotated_files_count_and_other_times_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        std::fs::write(&log, line("1.1.1.1", "20:00:00", "/a?x=1", 500)).expect("writes");
        std::fs::write(
            folder.path().join("access.log.1"),
            line("1.1.1.1", "19:00:00", "/a", 200)
                + &line("2.2.2.2", "19:00:01", "/.env", 200)
                + &line("2.2.2.2", "23:00:00", "/later", 200),
        )
        .expect("writes");
        let mut gz = flate2::write::GzEncoder::new(
            File::create(folder.path().join("access.log.2.gz")).expect("creates"),
            flate2::Compression::fast(),
        );
        for second in 0..30 {
            let time = format!("18:00:{second:02}");
            gz.write_all(line("3.3.3.3", &time, "/login", 401).as_bytes())
                .expect("writes");
        }
        gz.write_all(b"nonsense \x1b[2J\n").expect("writes");
        gz.finish().expect("finishes");
        std::fs::write(folder.path().join("access.log.3.gz"), b"\x1f\x8bbroken").expect("writes");
        std::fs::write(folder.path().join("access.log.swp"), "x\n").expect("writes");
        let seen = read(&log);
        assert_eq!((seen.requests, seen.elsewhen, seen.unparsed), (33, 1, 1));
        assert_eq!((seen.files, seen.broken.len(), seen.hostile), (4, 1, 1));
        assert_eq!((seen.of_class(5), seen.statuses[401]), (1, 30));
        assert_eq!((seen.login_peak(), seen.failed_logins()), (30, 30));
        assert_eq!(seen.probes, 1);
        let addresses = seen.addresses.into_rows();
        assert_eq!(&*addresses[0].name, b"3.3.3.3");
        assert_eq!(addresses[0].counts.denied_peak, 30);
        let endpoints = seen.endpoints.into_rows();
        let probe = endpoints.iter().find(|row| row.counts.is_probe());
        assert_eq!(probe.map(|row| row.counts.fine), Some(1));
    }
}

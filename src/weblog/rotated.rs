//! A log with what was rotated away from it, line by line: whoever writes it, and whatever its lines say.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::tail::{Lines, Piece, line_start};
use crate::sys::{Stop, files};

const LONGEST: u64 = 64 << 10;
/// A rotated log that inflates to more is left at that.
const MOST_INFLATED: u64 = 64 << 30;
pub(super) const DAY: i64 = 86_400;

/// What was read of a log.
#[derive(Debug, Default)]
pub struct History {
    /// Files, the log itself among them.
    pub files: u64,
    /// Those that were larger than what is read of one: their beginning was left out.
    pub cut: Vec<PathBuf>,
    /// Files that could not be read to their end, and why.
    pub broken: Vec<(PathBuf, String)>,
}

/// Gives each line of the log at `path`, and of those that were rotated away from it and written to since `from`, to `each`, oldest
/// first; `None` for one that is too long. Of a file that is not compressed the last `most` bytes are read.
pub fn every_line(
    path: &Path,
    from: i64,
    most: u64,
    stop: &Stop,
    each: &mut dyn FnMut(Option<&[u8]>),
) -> anyhow::Result<History> {
    let mut seen = History::default();
    for file in rotated(path, from)?.into_iter().chain([path.to_owned()]) {
        stop.check()?;
        let read = match file.extension().is_some_and(|end| end == "gz") {
            true => files::open_regular(&file).and_then(|opened| inflate(opened, stop, each)),
            false => plain(&file, most, stop, each).map(|cut| {
                seen.cut.extend(cut.then(|| file.clone()));
            }),
        };
        match read {
            Ok(()) => seen.files += 1,
            Err(error) => {
                stop.check()?;
                if file == path {
                    return Err(error);
                }
                seen.broken.push((file, format!("{error:#}")));
            }
        }
    }
    Ok(seen)
}

/// True where the beginning was left out.
fn plain(
    path: &Path,
    most: u64,
    stop: &Stop,
    each: &mut dyn FnMut(Option<&[u8]>),
) -> anyhow::Result<bool> {
    let file = files::open_regular(path)?;
    let to = file.metadata()?.len();
    let from = line_start(&file, to.saturating_sub(most), to)?;
    Lines::default().read(&Piece { file, from, to }, stop, each)?;
    Ok(from > 0)
}

/// `access.log.1`, `access.log.2.gz`, `access.log-20261124.gz`: those that were written to since, oldest first.
pub(super) fn rotated(path: &Path, from: i64) -> anyhow::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().map(|name| name.as_bytes().to_owned()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in files::list(files::parent(path))? {
        let other = entry.file_name();
        let Some(rest) = other.as_bytes().strip_prefix(&*name) else {
            continue;
        };
        let rest = rest.strip_suffix(b".gz").unwrap_or(rest);
        let dated = rest.len() > 1
            && matches!(rest[0], b'.' | b'-')
            && rest[1..]
                .iter()
                .all(|byte| byte.is_ascii_digit() || *byte == b'-');
        let Ok(Some(meta)) = files::link_metadata(&entry.path()) else {
            continue;
        };
        // A day more: the time of a file is that of its compression, or of its last line.
        if dated && meta.is_file() && meta.mtime() >= from - DAY {
            found.push((meta.mtime(), entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Gives each line of a compressed log to `each`.
pub(super) fn inflate(
    file: File,
    stop: &Stop,
    each: &mut dyn FnMut(Option<&[u8]>),
) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(
        1 << 18,
        MultiGzDecoder::new(BufReader::with_capacity(1 << 17, file)).take(MOST_INFLATED),
    );
    let (mut line, mut lines) = (Vec::new(), 0u64);
    loop {
        lines += 1;
        if lines.is_multiple_of(4096) {
            stop.check()?;
        }
        line.clear();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read as u64 == LONGEST {
            reader.skip_until(b'\n')?;
            each(None);
            continue;
        }
        if !line.is_empty() {
            each(Some(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    #[test]
    fn the_oldest_comes_first_and_a_cut_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("auth.log");
        let mut gz = flate2::write::GzEncoder::new(
            File::create(folder.path().join("auth.log.2.gz")).expect("creates"),
            flate2::Compression::fast(),
        );
        gz.write_all(b"one\n").expect("writes");
        gz.finish().expect("finishes");
        std::fs::write(folder.path().join("auth.log.1"), "two\nthree\n").expect("writes");
        std::fs::write(&log, "four\nfive\nsix\n").expect("writes");
        let old = folder.path().join("auth.log.2.gz");
        for (path, hours) in [(&old, 2), (&folder.path().join("auth.log.1"), 1)] {
            let at = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
            let file = File::options().append(true).open(path).expect("opens");
            file.set_modified(at).expect("sets its time");
        }
        let read = |most: u64| {
            let mut lines = Vec::new();
            let stop = Stop::after(Duration::from_secs(60));
            let seen = every_line(&log, 0, most, &stop, &mut |line| {
                lines.push(String::from_utf8_lossy(line.unwrap_or_default()).into_owned());
            })
            .expect("reads");
            (lines.join(" "), seen)
        };
        let (lines, seen) = read(1000);
        assert_eq!(lines, "one two three four five six");
        assert_eq!((seen.files, seen.cut.len(), seen.broken.len()), (3, 0, 0));
        let (lines, seen) = read(10);
        assert_eq!(lines, "one two three five six");
        assert_eq!(seen.cut, std::slice::from_ref(&log));
        std::fs::write(&old, b"\x1f\x8bbroken").expect("writes");
        assert_eq!(read(1000).1.broken.len(), 1);
    }
}

//! What a log has grown by since the last run, across rotation: by rename (the old file is found by its inode beside the new one)
//! and by copying and truncating (the file is shorter, or begins otherwise).

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Context as _;
use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};

use crate::sys::{Stop, files};

const BUFFER: usize = 1 << 20;
const LONGEST: usize = 64 << 10;
const HEAD: usize = 256;

/// Up to where a log has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    inode: u64,
    offset: u64,
    /// How many of the first bytes the digest covers, and the digest.
    head: (u64, String),
}

/// Part of a file.
pub struct Piece {
    /// Open for reading.
    pub file: File,
    /// First byte.
    pub from: u64,
    /// Behind the last byte.
    pub to: u64,
}

/// What is new.
pub struct Tail {
    /// In the order of time.
    pub pieces: Vec<Piece>,
    /// Where the next run begins.
    pub position: Position,
    /// Bytes that were left out because there were too many, or because the rotated file is gone.
    pub skipped: bool,
    /// False where nothing was remembered, or not of this file.
    pub resumed: bool,
}

/// What is new in the log at `path` since `last`, at most `most` bytes of it, the newest.
pub fn tail(path: &Path, last: Option<&Position>, most: u64) -> anyhow::Result<Tail> {
    let file = files::open_regular(path)?;
    let meta = file.metadata()?;
    let end = whole_lines(&file, meta.len())
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut pieces = Vec::new();
    let mut skipped = false;
    let mut from = 0;
    let resumed = last.is_some();
    if let Some(last) = last {
        if last.inode == meta.ino() {
            if last.offset <= end && last.begins(&file)? {
                from = last.offset;
            }
        } else {
            match rotated(path, last)? {
                Some(piece) => pieces.push(piece),
                None => skipped = true,
            }
        }
    }
    let position = Position {
        inode: meta.ino(),
        offset: end,
        head: head(&file, end)?,
    };
    pieces.push(Piece {
        file,
        from,
        to: end,
    });
    skipped |= shorten(&mut pieces, most)?;
    Ok(Tail {
        pieces,
        position,
        skipped,
        resumed,
    })
}

impl Position {
    fn begins(&self, file: &File) -> anyhow::Result<bool> {
        let bytes = usize::try_from(self.head.0).unwrap_or(HEAD).min(HEAD);
        Ok(digest(file, bytes)? == self.head.1)
    }
}

fn head(file: &File, end: u64) -> anyhow::Result<(u64, String)> {
    let bytes = usize::try_from(end).unwrap_or(HEAD).min(HEAD);
    Ok((bytes as u64, digest(file, bytes)?))
}

fn digest(file: &File, bytes: usize) -> anyhow::Result<String> {
    let mut buffer = [0; HEAD];
    let read = read_at(file, &mut buffer[..bytes], 0)?;
    Ok(blake3::hash(&buffer[..read]).to_hex()[..16].to_owned())
}

/// The rest of the file that had this name: it lies beside it under another one, unless it is compressed or gone already.
fn rotated(path: &Path, last: &Position) -> anyhow::Result<Option<Piece>> {
    for entry in files::list(files::parent(path))? {
        let Ok(Some(meta)) = files::link_metadata(&entry.path()) else {
            continue;
        };
        if meta.ino() != last.inode || !meta.is_file() {
            continue;
        }
        let file = files::open_regular(&entry.path())?;
        if meta.len() < last.offset || !last.begins(&file)? {
            return Ok(None);
        }
        return Ok(Some(Piece {
            file,
            from: last.offset,
            to: meta.len(),
        }));
    }
    Ok(None)
}

/// Leaves the oldest bytes out where there are more than `most`, to the next line.
fn shorten(pieces: &mut Vec<Piece>, most: u64) -> anyhow::Result<bool> {
    let all: u64 = pieces
        .iter()
        .map(|piece| piece.to.saturating_sub(piece.from))
        .sum();
    let mut over = all.saturating_sub(most);
    let skipped = over > 0;
    for piece in pieces.iter_mut() {
        let size = piece.to.saturating_sub(piece.from);
        let left_out = over.min(size);
        over -= left_out;
        piece.from += left_out;
        if left_out > 0 {
            piece.from = line_start(&piece.file, piece.from, piece.to)?;
        }
    }
    pieces.retain(|piece| piece.from < piece.to);
    Ok(skipped)
}

/// The end of the last whole line: what a server is just writing is left for the next run.
fn whole_lines(file: &File, size: u64) -> std::io::Result<u64> {
    let mut buffer = vec![0; LONGEST];
    let from = size.saturating_sub(LONGEST as u64);
    let wanted = usize::try_from(size - from).unwrap_or(LONGEST);
    let read = read_at(file, &mut buffer[..wanted], from)?;
    Ok(match memrchr(b'\n', &buffer[..read]) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => size, // a line without end, which is nobody's
    })
}

/// The first line start at or behind `at`.
pub(super) fn line_start(file: &File, at: u64, end: u64) -> std::io::Result<u64> {
    if at == 0 {
        return Ok(0);
    }
    let mut buffer = vec![0; LONGEST];
    let mut from = at - 1;
    while from < end {
        let read = read_at(file, &mut buffer, from)?;
        if read == 0 {
            break;
        }
        if let Some(found) = memchr(b'\n', &buffer[..read]) {
            return Ok((from + found as u64 + 1).min(end));
        }
        from += read as u64;
    }
    Ok(end)
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads lines through one buffer. A line that does not fit is passed over.
pub struct Lines {
    buffer: Vec<u8>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER],
        }
    }
}

impl Lines {
    /// Gives every line between two line starts, without its line feed, to `each`; `None` for one that is too long.
    pub fn read(
        &mut self,
        piece: &Piece,
        stop: &Stop,
        each: &mut dyn FnMut(Option<&[u8]>),
    ) -> anyhow::Result<()> {
        let (mut at, mut held, mut too_long) = (piece.from, 0, false);
        while at < piece.to {
            stop.check()?;
            let room = (self.buffer.len() - held) as u64;
            let wanted = usize::try_from(room.min(piece.to - at)).unwrap_or(0);
            let read = read_at(&piece.file, &mut self.buffer[held..held + wanted], at)?;
            if read == 0 {
                break; // truncated under our eyes
            }
            at += read as u64;
            let full = held + read;
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', &self.buffer[..full]) {
                let line = &self.buffer[start..end];
                start = end + 1;
                if std::mem::take(&mut too_long) || line.len() > LONGEST {
                    each(None);
                } else if !line.is_empty() {
                    each(Some(line));
                }
            }
            held = full - start;
            if held == self.buffer.len() {
                (held, too_long) = (0, true);
            }
            self.buffer.copy_within(start..start + held, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    const MOST: u64 = 1 << 30;

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    fn lines(tail: &Tail) -> Vec<String> {
        let stop = Stop::after(Duration::from_secs(60));
        let mut found = Vec::new();
        for piece in &tail.pieces {
            Lines::default()
                .read(piece, &stop, &mut |line| {
                    let line = line.map(String::from_utf8_lossy).unwrap_or("LONG".into());
                    found.push(line.into_owned());
                })
                .expect("reads");
        }
        found
    }

    #[test]
    fn nothing_is_read_twice_and_nothing_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        append(&log, "one\ntwo\nthr");
        let first = tail(&log, None, MOST).expect("reads");
        assert_eq!(lines(&first), ["one", "two"]);
        assert!(!first.resumed);
        append(&log, "ee\n");
        let second = tail(&log, Some(&first.position), MOST).expect("reads");
        assert_eq!(lines(&second), ["three"]);
        // Rotated by rename, with a last line behind the remembered place.
        append(&log, "four\n");
        std::fs::rename(&log, folder.path().join("access.log.1")).expect("renames");
        append(&log, "five\n");
        let third = tail(&log, Some(&second.position), MOST).expect("reads");
        assert_eq!(lines(&third), ["four", "five"]);
        assert!(!third.skipped);
        // Rotated by copying and truncating, and already longer than before.
        std::fs::write(&log, "").expect("truncates");
        append(&log, "six\nseven\neight\n");
        let fourth = tail(&log, Some(&third.position), MOST).expect("reads");
        assert_eq!(lines(&fourth), ["six", "seven", "eight"]);
        // The rotated file is compressed and gone: what it had is lost, and that is said.
        std::fs::remove_file(&log).expect("removes");
        append(&log, "nine\n");
        let fifth = tail(
            &log,
            Some(&Position {
                inode: 1,
                ..fourth.position
            }),
            MOST,
        );
        let fifth = fifth.expect("reads");
        assert_eq!(lines(&fifth), ["nine"]);
        assert!(fifth.skipped);
    }

    #[test]
    fn too_much_is_cut_at_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        append(&log, "first\nsecond\nthird\n");
        let cut = tail(&log, None, 8).expect("reads");
        assert!(cut.skipped);
        assert_eq!(lines(&cut), ["third"]);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        append(&log, &format!("a\n{}\nb\n", "x".repeat(BUFFER * 2 + 5)));
        assert_eq!(
            lines(&tail(&log, None, MOST).expect("reads")),
            ["a", "LONG", "b"]
        );
        append(&log, &"y".repeat(BUFFER));
        let _ = tail(&log, None, MOST).expect("reads");
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        std::os::unix::fs::symlink("/etc/passwd", &log).expect("links");
        assert!(tail(&log, None, MOST).is_err());
    }
}

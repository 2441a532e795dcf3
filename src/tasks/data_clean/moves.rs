//! Which lines of a file of archived rows a transaction is about to move, on the disk before it begins. After a kill the next run
//! knows of each line whether its row moved, also where the application has changed the row since.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::report::Permit;
use crate::sys::files;

/// Notes what is about to happen.
pub struct Moves {
    path: PathBuf,
    file: File,
}

/// What is known of a run that was cut short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The lines before this one are dealt with: each moved, or is among `stayed`.
    pub done: u64,
    /// The lines from this one on were not touched. Those between were one transaction: all are dealt with, or none.
    pub begun: u64,
    /// Lines whose rows did not move.
    pub stayed: BTreeSet<u64>,
    /// Lines of the last transaction whose rows were in the table before it; none where that was not noted, which comes before the
    /// commit.
    pub before: Option<BTreeSet<u64>>,
}

impl Moves {
    /// Goes on from what is known, in place of any other; durable.
    pub fn create(permit: &Permit, path: &Path, known: &Known) -> anyhow::Result<Self> {
        let part = files::with_suffix(path, ".part");
        files::remove(permit, &part)?;
        let mut moves = Self {
            file: files::create_new(permit, &part)?,
            path: path.to_owned(),
        };
        moves.stay(&known.stayed.iter().copied().collect::<Vec<_>>())?;
        moves.begin(known.done, known.begun)?;
        files::rename_over(permit, &part, path)?;
        files::sync_directory(files::parent(path))?;
        Ok(moves)
    }

    /// The next transaction is about the lines from `from` up to, not including, `to`.
    pub fn begin(&mut self, from: u64, to: u64) -> anyhow::Result<()> {
        self.note(&format!("begin {from} {to}\n"))
    }

    /// It leaves these where they are: said before it is committed.
    pub fn stay(&mut self, lines: &[u64]) -> anyhow::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.note(&about("stay", lines))
    }

    /// The rows of these are in the table already: said before it is committed.
    pub fn before(&mut self, lines: &[u64]) -> anyhow::Result<()> {
        self.note(&about("before", lines))
    }

    /// The transaction that was begun last is undone, and what it said of its lines with it.
    pub fn undo(&mut self) -> anyhow::Result<()> {
        self.note("undo\n")
    }

    fn note(&mut self, line: &str) -> anyhow::Result<()> {
        self.file
            .write_all(line.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        files::sync(&self.file, &self.path)
    }
}

fn about(what: &str, lines: &[u64]) -> String {
    let mut text = what.to_owned();
    for line in lines {
        text += &format!(" {line}");
    }
    text + "\n"
}

impl Known {
    /// All lines are dealt with, and these did not move.
    pub fn all(stayed: BTreeSet<u64>) -> Self {
        Self {
            done: u64::MAX,
            begun: u64::MAX,
            stayed,
            before: None,
        }
    }

    /// What was noted; `None` where nothing was: then no line says anything about its row.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        if files::metadata(path)?.is_none() {
            return Ok(None);
        }
        let bytes = files::read_small(path, 1 << 30)?;
        Ok(Some(Self::from_text(&String::from_utf8_lossy(&bytes))))
    }

    /// An end that is torn was not on the disk, and what it would have told has not happened.
    fn from_text(text: &str) -> Self {
        let mut known = Self::default();
        let mut stay = Vec::new();
        for line in text.split_inclusive('\n') {
            let words = line.strip_suffix('\n').map(|line| line.split(' '));
            let Some(mut words) = words else { break };
            let what = words.next();
            let Ok(numbers) = words.map(str::parse).collect::<Result<Vec<u64>, _>>() else {
                break;
            };
            match (what, numbers.as_slice()) {
                (Some("begin"), [from, to]) => {
                    known.stayed.extend(stay.drain(..));
                    (known.done, known.begun, known.before) = (*from, *to, None);
                }
                (Some("before"), lines) => known.before = Some(lines.iter().copied().collect()),
                (Some("stay"), lines) => stay.extend_from_slice(lines),
                (Some("undo"), []) => {
                    stay.clear();
                    (known.begun, known.before) = (known.done, None);
                }
                _ => break,
            }
        }
        // Of the last transaction: if it is undone they did not move either.
        known.stayed.extend(stay);
        known
    }

    /// True for a line of the transaction that may be undone.
    pub fn in_flight(&self, line: u64) -> bool {
        (self.done..self.begun).contains(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.moves");
        assert_eq!(Known::read(&path).expect("reads"), None);
        let permit = Permit::for_tests();
        let mut moves = Moves::create(&permit, &path, &Known::default()).expect("creates");
        let known = || Known::read(&path).expect("reads").expect("is there");
        assert_eq!(known(), Known::default());
        moves.begin(0, 64).expect("notes");
        moves.stay(&[]).expect("notes");
        moves.stay(&[3, 60]).expect("notes");
        moves.begin(64, 100).expect("notes");
        moves.stay(&[70]).expect("notes");
        let found = known();
        assert_eq!((found.done, found.begun), (64, 100));
        assert_eq!(found.stayed, [3, 60, 70].into());
        assert!(found.in_flight(64) && !found.in_flight(63) && !found.in_flight(100));
        moves.undo().expect("notes");
        let undone = known();
        assert_eq!((undone.done, undone.begun), (64, 64));
        assert_eq!(undone.stayed, [3, 60].into());
        moves.begin(64, 100).expect("notes");
        moves.stay(&[70]).expect("notes");
        assert_eq!(known(), found);
        for (lines, before) in [(&[][..], [].into()), (&[80, 81], [80, 81].into())] {
            moves.before(lines).expect("notes");
            assert_eq!(known().before, Some(before));
        }
        moves.undo().expect("notes");
        assert_eq!(known().before, None);
        moves.begin(64, 100).expect("notes");
        moves.stay(&[70]).expect("notes");
        let whole = std::fs::read_to_string(&path).expect("reads");
        for (end, (done, begun)) in [
            (whole.len() - 1, (64, 100)),
            (whole.find("begin 64").expect("is there") + 9, (0, 64)),
            (12, (0, 0)),
        ] {
            let found = Known::from_text(&whole[..end]);
            assert_eq!((found.done, found.begun), (done, begun), "cut at {end}");
        }
        let again = Known {
            done: 64,
            ..found.clone()
        };
        drop(Moves::create(&permit, &path, &again).expect("creates"));
        assert_eq!(known(), again);
        let zeros = format!("begin 0 64\n{}\nbegin 64 70\n", "\0".repeat(8));
        assert_eq!(Known::from_text(&zeros).begun, 64);
    }
}

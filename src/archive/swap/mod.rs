//! Puts a restored database in the place of a live one. Killed at any point, either the old or the new database is in place and
//! whole, the other one is beside it, and a rerun reads the intent and finishes the job.

mod intent;
mod locked;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use rusqlite::Connection;

use super::Backup;
use crate::error::{self, Failure, Kind};
use crate::report::Permit;
use crate::sqlite;
use crate::sys::files;
use crate::sys::{Stop, machine};

use intent::{back_path, end, free_aside, intent_path};
use locked::{Locked, PATIENCE, lock, set_wal, told};

pub use intent::{Intent, part_path, pending_swap, report_unfinished, sweep_part};
pub use locked::{in_use, require_unlocked};

/// How a database in its place is looked at once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody else can have it open.
    Alone,
    /// Somebody has.
    Shared,
}

/// One swap.
pub struct Swap<'a> {
    /// The live path.
    pub target: &'a Path,
    /// The restored database beside it: checked, owned and synced.
    pub part: &'a Path,
    /// The backup that it came from.
    pub backup: &'a Backup,
    /// True when the application was stopped for it.
    pub stop_app: bool,
    /// Decides the dated name.
    pub now: Timestamp,
    /// Signals and time limits.
    pub stop: &'a Stop,
}

/// What a rerun found of an earlier restore.
#[derive(Debug, PartialEq, Eq)]
pub enum Healed {
    /// The new database is in place; the old one is under the given name.
    Swapped(PathBuf),
    /// The old database is in place as it was.
    NotSwapped,
}

/// Finishes what a killed restore began: forwards where the swap had happened, backwards where it had not, or where what was
/// swapped in is damaged. What somebody works with by now never goes, and a look that fails for another reason undoes nothing: there may
/// be commits in it since.
pub fn heal(
    permit: &Permit,
    target: &Path,
    intent: &Intent,
    stop: &Stop,
    sound: impl FnOnce(Access) -> anyhow::Result<()>,
) -> anyhow::Result<Healed> {
    let _shield = stop.shield();
    if inode(target)? != Some(intent.new) {
        undo(permit, target, intent, stop)?;
        return Ok(Healed::NotSwapped);
    }
    files::remove(permit, &back_path(target))?;
    sweep_part(permit, target)?; // what the killed one left of its lock
    match Locked::take(target, stop) {
        Ok(new) => match sound(Access::Alone) {
            Err(error) if error::kind_of(&error) != Kind::Damaged => {
                new.let_go(permit, target)?;
                return Err(error);
            }
            looked => conclude(permit, target, intent, new, stop, |_| looked)?,
        },
        Err(error) if error::kind_of(&error) == Kind::Refused => {
            match sound(Access::Shared) {
                Err(error) if error::kind_of(&error) == Kind::Damaged => {
                    return Err(kept_although(error, target, &intent.aside(target)));
                }
                // Sound, or closed to everybody: it is theirs.
                _ => end(permit, target)?,
            }
        }
        Err(error) if error::kind_of(&error) == Kind::Damaged => {
            return Err(put_back(permit, target, intent, stop, error));
        }
        Err(error) => return Err(error),
    }
    Ok(Healed::Swapped(intent.aside(target)))
}

/// The new database is in place: it stays if it is sound, else the old one comes back. Until that is known nobody else reads it or
/// writes to it, so that nothing goes with it that somebody was told is stored.
fn conclude(
    permit: &Permit,
    target: &Path,
    intent: &Intent,
    new: Locked,
    stop: &Stop,
    sound: impl FnOnce(Access) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let failed = sound(Access::Alone)
        .err()
        .map(|error| put_back(permit, target, intent, stop, error));
    new.let_go(permit, target)?;
    match failed {
        Some(error) => Err(error),
        None => end(permit, target),
    }
}

/// What is in place did not pass: it goes, unless somebody waits for it.
fn put_back(
    permit: &Permit,
    target: &Path,
    intent: &Intent,
    stop: &Stop,
    error: anyhow::Error,
) -> anyhow::Error {
    if !machine::holders(&[target.to_owned()]).is_empty() {
        return kept_although(error, target, &intent.aside(target));
    }
    match undo(permit, target, intent, stop) {
        Ok(()) => error.context("the restored database did not pass; the old one is back in place"),
        Err(failed) => failed.context("cannot put the old database back"),
    }
}

/// Whoever has it open would go on to write into a file without a name.
fn kept_although(error: anyhow::Error, target: &Path, aside: &Path) -> anyhow::Error {
    let message = format!(
        "the restored database did not pass, and {}; it was left in place, and the old one is {}",
        in_use(target).message,
        aside.display()
    );
    let hint = "stop the application and run the same command again: it puts the old one back";
    error.context(Failure::new(Kind::Failed, message).hint(hint))
}

fn inode(path: &Path) -> anyhow::Result<Option<u64>> {
    Ok(files::identity(path)?.map(|(_, inode)| inode))
}

/// The old database under its own name, with its side files and its mode, and no trace of the restore.
fn undo(permit: &Permit, target: &Path, intent: &Intent, stop: &Stop) -> anyhow::Result<()> {
    let directory = files::parent(target);
    let (back, aside) = (back_path(target), intent.aside(target));
    files::remove(permit, &back)?;
    if inode(target)? == Some(intent.new) {
        // Side files that appeared by now are the new one's and go with it: they must never be played into the old one.
        for side in sqlite::side_files(target) {
            files::remove(permit, &side)?;
        }
        files::link(permit, &aside, &back)?;
        files::rename_over(permit, &back, target)?;
        files::sync_directory(directory)?;
    }
    anyhow::ensure!(
        inode(target)? == Some(intent.old),
        Failure::new(
            Kind::Failed,
            format!(
                "{} is neither the database from before the interrupted restore nor the restored one",
                target.display()
            )
        )
        .hint(format!(
            "look at {} and {}, then remove {}",
            target.display(),
            aside.display(),
            intent_path(target).display()
        ))
    );
    for (side, kept) in side_pairs(target, &aside) {
        if files::link_metadata(&kept)?.is_some() {
            files::rename_new(permit, &kept, &side)?;
        }
    }
    if inode(&aside)? == Some(intent.old) {
        files::remove(permit, &aside)?;
    }
    files::sync_directory(directory)?;
    if intent.was_wal {
        set_wal(target, stop)?;
    }
    files::remove(permit, &intent_path(target))?;
    files::sync_directory(directory)
}

/// Gives the restored database a path where there is none yet; one that is not `sound` there loses it again.
/// Side files of a database that is gone get its dated name.
pub fn place(
    permit: &Permit,
    swap: &Swap<'_>,
    sound: impl FnOnce(Access) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _shield = swap.stop.shield();
    let target = swap.target;
    let aside = files::with_suffix(target, &free_aside(target, swap.now)?);
    let new = Locked::take(swap.part, swap.stop)?;
    set_side_files_aside(permit, target, &aside)?;
    files::rename_new(permit, swap.part, target)?;
    files::sync_directory(files::parent(target))?;
    if let Err(error) = sound(Access::Alone) {
        if !machine::holders(&[target.to_owned()]).is_empty() {
            let message = format!(
                "it did not pass and was left in place: {}",
                in_use(target).message
            );
            return Err(error.context(message));
        }
        files::rename_new(permit, target, swap.part)?;
        files::sync_directory(files::parent(target))?;
        return Err(error.context("the restored database did not pass; it is not in place"));
    }
    new.let_go(permit, target)
}

/// Swaps, checks with `sound`, and swaps back when that fails. Returns the name under which the old database is kept.
pub fn swap(
    permit: &Permit,
    swap: &Swap<'_>,
    sound: impl FnOnce(Access) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let target = swap.target;
    sqlite::require_plain_side_files(target)?;
    let _shield = swap.stop.shield();
    let directory = files::parent(target);
    let there = |path: &Path| -> anyhow::Result<u64> {
        inode(path)?.with_context(|| format!("{} is gone", path.display()))
    };
    let suffix = free_aside(target, swap.now)?;
    let aside = files::with_suffix(target, &suffix);
    let (old, was_wal) = open_old(target, swap.stop)?;
    let mut new = Locked::take(swap.part, swap.stop)?;
    if was_wal && !new.is_wal {
        // The backup may be of before the switch, or made without it.
        drop(new);
        set_wal(swap.part, swap.stop)?;
        new = Locked::take(swap.part, swap.stop)?;
    }
    let intent = Intent {
        backup: swap.backup.name.stem.clone(),
        old: there(target)?,
        new: there(swap.part)?,
        aside: suffix,
        was_wal,
        file: swap.backup.path.to_str().map(str::to_owned),
        stop_app: swap.stop_app,
    };
    intent.write(permit, target)?;
    let swapped = old.shut_out(target, swap.stop).and_then(|old| {
        files::link(permit, target, &aside)?;
        files::sync_directory(directory)?;
        // Of a sound one nothing is in them any more: some journal modes leave an empty one.
        set_side_files_aside(permit, target, &aside)?;
        files::rename_over(permit, swap.part, target)?;
        files::sync_directory(directory)?;
        Ok(old)
    });
    let old = match swapped {
        Ok(old) => old,
        Err(error) => {
            undo(permit, target, &intent, swap.stop).context("cannot put the old database back")?;
            return Err(error);
        }
    };
    drop(old); // the lock on the old file, held until nobody can open it under its name any more
    conclude(permit, target, &intent, new, swap.stop, sound)?;
    Ok(aside)
}

/// The database that is about to be replaced.
enum Old {
    Sound(Connection),
    /// SQLite cannot read it: its write-ahead log cannot be folded in and goes aside with it.
    Damaged,
}

/// The database and whether it is in WAL mode.
fn open_old(target: &Path, stop: &Stop) -> anyhow::Result<(Old, bool)> {
    const DAMAGED: (Old, bool) = (Old::Damaged, false);
    if files::metadata(target)?.is_some_and(|meta| meta.len() == 0) {
        return Ok(DAMAGED); // created by a typo, or all that a full disk left
    }
    // Looked at without its side files first: what SQLite opens and cannot read, it may close without them.
    let header = sqlite::open_private(target, stop).and_then(|connection| {
        connection
            .query_row("PRAGMA user_version", [], |_| Ok(()))
            .map_err(|error| sqlite::explain(error, target, stop))
    });
    if matches!(&header, Err(error) if error::kind_of(error) == Kind::Damaged) {
        return Ok(DAMAGED);
    }
    let connection = match sqlite::open_writable(target, stop, PATIENCE) {
        Err(error) if error::kind_of(&error) == Kind::Damaged => return Ok(DAMAGED),
        other => other?,
    };
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) => Ok((Old::Sound(connection), sqlite::is_wal(&mode))),
        Err(error) if sqlite::is_damage(&error) => Ok(DAMAGED),
        Err(error) => Err(sqlite::explain(error, target, stop)),
    }
}

impl Old {
    /// Succeeds only when nobody else has the database open.
    fn shut_out(self, target: &Path, stop: &Stop) -> anyhow::Result<Self> {
        match &self {
            Self::Damaged => Ok(self),
            Self::Sound(connection) => match lock(connection) {
                Ok(()) => Ok(self),
                Err(error) if sqlite::is_damage(&error) => Ok(Self::Damaged),
                Err(error) => Err(told(error, target, stop)),
            },
        }
    }
}

fn side_pairs(target: &Path, aside: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    sqlite::side_files(target)
        .into_iter()
        .zip(sqlite::side_files(aside))
}

/// Gives the side files of a database that is not there, or not readable, the dated name of that database.
fn set_side_files_aside(permit: &Permit, target: &Path, aside: &Path) -> anyhow::Result<()> {
    for (side, aside) in side_pairs(target, aside) {
        if files::link_metadata(&side)?.is_some() {
            files::rename_new(permit, &side, &aside)?;
        }
    }
    files::sync_directory(files::parent(target))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::damaged;

    /// Killed after the swap; the new one has had a commit since.
    #[test]
    fn only_damage_takes_the_new_one_out_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("app.db");
        let (permit, stop) = (Permit::for_tests(), Stop::after(Duration::from_secs(60)));
        let aside = ".before-restore-20261129T030000Z".to_owned();
        let make = |path: &Path, name: &str| {
            let connection = Connection::open(path).expect("creates");
            let sql = format!("PRAGMA journal_mode=WAL; CREATE TABLE {name}(x)");
            connection.execute_batch(&sql).expect("creates");
            inode(path).expect("looks").expect("is there")
        };
        let old = make(&files::with_suffix(&target, &aside), "old");
        let intent = Intent {
            backup: "x".to_owned(),
            old,
            new: make(&target, "new"),
            aside,
            was_wal: true,
            file: None,
            stop_app: false,
        };
        std::fs::write(intent_path(&target), "{}").expect("writes");
        let heal = |error: anyhow::Error| heal(&permit, &target, &intent, &stop, |_| Err(error));
        assert!(heal(anyhow::anyhow!("the disk does not answer")).is_err());
        assert_eq!(inode(&target).expect("looks"), Some(intent.new));
        assert!(intent_path(&target).exists(), "the next run looks again");
        assert!(heal(damaged("it is").into()).is_err());
        assert_eq!(inode(&target).expect("looks"), Some(intent.old));
        assert!(!intent_path(&target).exists());
    }
}

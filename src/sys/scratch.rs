//! Scratch folders: private, gone with their value, and recognisable as dead when their process was killed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::files;
use crate::report::{Permit, Reporter, Step};

const PREFIX: &str = ".empire-maint-scratch-";

/// A private folder that goes away with the value. Locked while it lives, so that a sweep knows those of dead runs.
pub struct Scratch {
    folder: tempfile::TempDir,
    _held: File,
}

impl Scratch {
    /// A new one in `within`.
    pub fn new(within: &Path) -> anyhow::Result<Self> {
        let describe = || format!("cannot make a scratch folder in {}", within.display());
        loop {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(within)
                .with_context(describe)?;
            let held = File::open(folder.path()).with_context(describe)?;
            let swept = matches!(held.try_lock(), Err(TryLockError::WouldBlock))
                || files::link_metadata(folder.path())?.is_none();
            // A sweep may take it for a dead one in the moment before it is locked. Where folders cannot be locked at all,
            // no sweep takes any.
            if !swept {
                return Ok(Self {
                    folder,
                    _held: held,
                });
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder to the owner of a file, who is to work in it. Only root can and only root tries.
    pub fn give_to_owner(&self, of: &fs::Metadata) -> anyhow::Result<()> {
        files::own_like(&self._held, of)
    }

    /// A new file in it.
    pub fn file(&self, name: &str) -> anyhow::Result<(PathBuf, fs::File)> {
        let path = self.path().join(name);
        let file = files::create_private(&path)?;
        Ok((path, file))
    }
}

/// Where SQLite puts its temporary files: the first of its places that is a folder to write in
/// (<https://sqlite.org/tempfiles.html#temporary_file_storage_locations>).
pub fn sqlite_folder() -> PathBuf {
    let named = ["SQLITE_TMPDIR", "TMPDIR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let fixed = ["/var/tmp", "/usr/tmp", "/tmp"].map(PathBuf::from);
    let usable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    named
        .chain(fixed)
        .find(|folder| folder.is_dir() && rustix::fs::access(folder, usable).is_ok())
        .unwrap_or_else(|| ".".into())
}

/// Removes what killed runs left in `within`.
pub fn sweep(report: &Reporter, within: &Path) -> anyhow::Result<()> {
    for dead in dead(within)? {
        let step = Step {
            kind: "sweep",
            target: dead.display().to_string(),
            reason: "scratch of a run that was killed".into(),
        };
        report.act(step, |permit| remove(permit, &dead))?;
    }
    Ok(())
}

/// The scratch folders in `within` whose process is dead.
fn dead(within: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in files::list(within)? {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && entry.file_type()?.is_dir() && lock(&entry.path()).is_some() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes one, unless it has come to life since.
fn remove(_: &Permit, path: &Path) -> anyhow::Result<()> {
    match lock(path) {
        Some(_held) => {
            fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
        }
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Option<File> {
    // Others may make names like ours where everybody can write.
    let folder = files::open_folder(path).ok()?;
    folder.try_lock().is_ok().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let alive = Scratch::new(folder.path()).expect("is made");
        let killed = folder.path().join(format!("{PREFIX}killed"));
        fs::create_dir(&killed).expect("is made");
        assert_eq!(dead(folder.path()).expect("looks"), [killed.as_path()]);
        remove(&Permit::for_tests(), alive.path()).expect("declines");
        remove(&Permit::for_tests(), &killed).expect("removes");
        assert!(alive.path().exists() && !killed.exists());
    }
}

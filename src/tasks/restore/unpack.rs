//! From a backup of files to a new folder.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;

use super::place::{Placed, Work};
use crate::archive::{self, Limits};
use crate::error::refused;
use crate::report::{Finding, Severity, Step};
use crate::sys::process::shell_path;
use crate::sys::scratch::Scratch;
use crate::sys::{files, machine, scratch, space};
use crate::units;

const NOT_UNPACKED: &str = "restore.not-unpacked";

impl Work<'_> {
    /// A tar into a folder that must not exist yet.
    pub fn unpack(&self) -> anyhow::Result<Option<Placed>> {
        if files::link_metadata(self.target)?.is_some() {
            return Err(refused(format!("{} exists", self.target.display()))
                .hint("--to a folder that does not exist yet")
                .into());
        }
        self.require_readable_backup()?;
        scratch::sweep(self.report, files::parent(self.target))?;
        let step = Step {
            kind: "unpack",
            target: self.target.display().to_string(),
            reason: format!("from {}", self.backup.path.display()),
        };
        let folder = files::parent(self.target);
        let plain = self.report.act(step, |permit| {
            let scratch = Scratch::new(folder)?;
            let (copy, file) = scratch.file("files.tar")?;
            let plain = self
                .backup
                .manifest()
                .map_or(0, |manifest| manifest.plain.size);
            space::require(
                folder,
                plain
                    .saturating_mul(2)
                    .saturating_add(self.task.backup.reserve.0),
                "the unpacked files",
            )?;
            let limits = Limits {
                threads: machine::threads(self.task.backup.threads),
                stop: &self.context.stop,
                progress: &|_| {},
            };
            // It lies there twice for a moment.
            let room = space::free(folder)?.saturating_sub(self.task.backup.reserve.0) / 2;
            let (read, _) = archive::extract_backup(self.backup, file, room, &limits)?;
            let unpacked = scratch.path().join("files");
            files::private_directory(&unpacked)?;
            self.entries(&copy, &unpacked)?;
            files::sync_file_system(&unpacked)?;
            files::rename_new(permit, &unpacked, self.target)?;
            files::sync_directory(folder)?;
            Ok(read.plain.size)
        })?;
        Ok(plain.map(|plain| Placed { plain, kept: None }))
    }

    /// All that can be unpacked; what cannot is told.
    fn entries(&self, copy: &Path, folder: &Path) -> anyhow::Result<()> {
        let mut tar = tar::Archive::new(files::open_regular(copy)?);
        tar.set_preserve_permissions(true);
        tar.set_preserve_ownerships(machine::is_root());
        let mut left = Vec::new();
        let mut folders = Vec::new();
        let mut unpack = |entry: &mut tar::Entry<'_, File>| {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match entry.unpack_in(folder) {
                Ok(true) => Ok(true),
                Ok(false) => {
                    left.push(format!("{path}: leads out of the folder"));
                    Ok(false)
                }
                Err(error) if error.kind() == ErrorKind::StorageFull => Err(error),
                Err(error) => {
                    left.push(format!("{path}: {error}"));
                    Ok(false)
                }
            }
        };
        for entry in tar.entries()? {
            let mut entry = entry.context("cannot unpack")?;
            match entry.header().entry_type().is_dir() {
                // Last, and the innermost first: one that nobody may write into is filled before.
                true => folders.push(entry),
                false => {
                    unpack(&mut entry).context("cannot unpack")?;
                }
            }
        }
        folders.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
        for mut entry in folders {
            if unpack(&mut entry).context("cannot unpack")? {
                give_time(&entry, folder);
            }
        }
        if let Some(first) = left.first() {
            self.report.find(
                Finding::new(
                    NOT_UNPACKED,
                    Severity::High,
                    self.backup.name.file(),
                    format!(
                        "{} of the archive could not be unpacked, the others are there. The first is {first}",
                        units::count(left.len() as u64, "entry")
                    ),
                )
                .hint(format!("tar -tvzf {}", shell_path(&self.backup.path))),
            );
        }
        Ok(())
    }
}

/// The time of a folder that is unpacked and filled. Where it has gone since, or has none that can be said, it has that of now.
fn give_time(entry: &tar::Entry<'_, File>, folder: &Path) {
    let (Ok(path), Ok(seconds)) = (entry.path(), entry.header().mtime()) else {
        return;
    };
    let inside = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let path = inside.fold(folder.to_owned(), |path, part| path.join(part));
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    if let (Ok(made), Some(time)) = (files::open_folder(&path), time) {
        let _ = made.set_modified(time);
    }
}

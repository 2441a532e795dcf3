//! From a backup of files to a new folder.

use anyhow::Context as _;

use super::place::{Placed, Work};
use crate::archive::{self, Limits};
use crate::error::refused;
use crate::report::Step;
use crate::sys::scratch::Scratch;
use crate::sys::{files, machine, space};

impl Work<'_> {
    /// A tar into a folder that must not exist yet.
    pub fn unpack(&self) -> anyhow::Result<Option<Placed>> {
        if files::link_metadata(self.target)?.is_some() {
            return Err(refused(format!("{} exists", self.target.display()))
                .hint("--to a folder that does not exist yet")
                .into());
        }
        self.require_readable_backup()?;
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
            let mut tar = tar::Archive::new(files::open_regular(&copy)?);
            tar.set_preserve_permissions(true);
            tar.set_preserve_ownerships(machine::is_root());
            tar.unpack(&unpacked).context("cannot unpack")?;
            files::sync_file_system(&unpacked)?;
            files::rename_new(permit, &unpacked, self.target)?;
            files::sync_directory(folder)?;
            Ok(read.plain.size)
        })?;
        Ok(plain.map(|plain| Placed { plain, kept: None }))
    }
}

//! What the operator should know of a restore beside what it did.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::place::Work;
use crate::archive::{self, Backup};
use crate::error::{self, Kind, damaged};
use crate::report::{Finding, Severity};
use crate::sys::process::shell_path;
use crate::sys::{files, machine, mounts};
use crate::units;

impl Work<'_> {
    /// Allowed, and still worth a word: what they write from here on goes into the old database.
    pub(super) fn tell_still_open(&self, kept: &Path) {
        const ID: &str = "restore.still-open";
        let subject = self.target.display().to_string();
        self.report.examined(ID, &subject);
        let holders = machine::holders(&[kept.to_owned()]);
        if holders.is_empty() {
            return;
        }
        let names: Vec<_> = holders.iter().map(ToString::to_string).collect();
        let message = format!(
            "still open as the old database ({}) in {}",
            kept.display(),
            names.join(", ")
        );
        self.report.find(
            Finding::new(ID, Severity::High, subject, message)
                .hint("restart them now: what they write is not in the restored database"),
        );
    }

    /// Whoever opens the database by another name of the same file has the old one.
    pub(super) fn tell_other_names(&self, kept: &Path) -> anyhow::Result<()> {
        const ID: &str = "restore.other-names";
        let subject = self.target.display().to_string();
        self.report.examined(ID, &subject);
        let Some(meta) = files::link_metadata(kept)?.filter(|meta| meta.nlink() > 1) else {
            return Ok(());
        };
        let message = format!(
            "the old database ({}) has {} (hard links): whoever opens it there does not see the restored one",
            kept.display(),
            units::count(meta.nlink() - 1, "more name")
        );
        let hint = format!(
            "find {} -xdev -samefile {}",
            shell_path(&mounts::top(kept)),
            shell_path(kept)
        );
        let finding = Finding::new(ID, Severity::Medium, subject, message);
        self.report.find(finding.hint(hint));
        Ok(())
    }

    /// A damaged backup is not the end: the one before it may be whole.
    pub(super) fn with_the_one_before(&self, error: anyhow::Error) -> anyhow::Error {
        if error::kind_of(&error) != Kind::Damaged {
            return error;
        }
        let series = &self.backup.name.series;
        let folder = &self.task.store.folder;
        let all = archive::catalogue(folder, series, self.context.moment()).unwrap_or_default();
        let before = all
            .iter()
            .find(|other| other.is_good() && other.created_at() < self.backup.created_at());
        let shown = self.backup.path.display();
        let (message, hint) = match before {
            Some(before) => (
                format!(
                    "{shown} cannot be restored; {} can be tried",
                    before.name.stem
                ),
                self.same_from(before),
            ),
            None => (
                format!("{shown} cannot be restored"),
                match self.task.store.series().contains(series) {
                    true => format!("empire-maint backup list {series}"),
                    false => "empire-maint backup list".to_owned(),
                },
            ),
        };
        error.context(damaged(message).hint(hint))
    }

    /// The command that was typed, with another backup.
    fn same_from(&self, other: &Backup) -> String {
        let mut line = format!(
            "empire-maint restore {} --file {}",
            other.name.series,
            shell_path(&other.path)
        );
        if let Some(to) = &self.task.to {
            line.push_str(&format!(" --to {}", shell_path(to)));
        }
        for (given, option) in [
            (self.force, " --force"),
            (self.task.stop_app, " --stop-app"),
            (self.task.allow_open, " --allow-open"),
        ] {
            line.push_str(if given { option } else { "" });
        }
        line
    }

    /// Who takes another server's data for this one's should know.
    pub(super) fn tell_source(&self) {
        const ID: &str = "restore.other-source";
        let series = &self.backup.name.series;
        self.report.examined(ID, series);
        let (Some(manifest), Some(live)) = (self.backup.manifest(), self.live()) else {
            return;
        };
        let there = manifest.source == live.path.display().to_string();
        if there && *manifest.host == *self.context.host {
            return;
        }
        let message = format!(
            "{} was made of {} on {}, and goes to {} on {}",
            self.backup.name.stem,
            manifest.source,
            manifest.host,
            self.target.display(),
            self.context.host
        );
        self.report
            .find(Finding::new(ID, Severity::Medium, series, message));
    }
}

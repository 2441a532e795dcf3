//! What a restore leaves beside the database while it is at work, each under a name of its own: the restored database, the intent, and
//! the old database. Whoever passes by later can tell by that what was begun.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::refused;
use crate::report::{Finding, Permit, Reporter, Severity};
use crate::sqlite;
use crate::sys::files;
use crate::sys::process::{shell_path, shell_word};

const LARGEST_INTENT: u64 = 64 << 10;
const ASIDE: &str = ".before-restore-";

/// What a restore is about to do; on disk before it does any of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The backup that is being restored.
    pub backup: String,
    /// The inode of the database that was there. All happens in one folder, and a device may have another number after a reboot.
    pub old: u64,
    /// That of the restored one.
    pub new: u64,
    /// What stands behind the database's name where the old one is kept. Not a path: that need not be text.
    pub aside: String,
    /// True when the old one was in WAL mode, which it gets back if the swap does not happen.
    pub was_wal: bool,
    /// Where that backup is, as far as that is text.
    #[serde(default)]
    pub file: Option<String>,
    /// True when the application was stopped for it.
    #[serde(default)]
    pub stop_app: bool,
}

impl Intent {
    /// Where the old database of `target` is kept.
    pub(super) fn aside(&self, target: &Path) -> PathBuf {
        files::with_suffix(target, &self.aside)
    }

    /// What has to be typed to finish just this restore, and not to begin another.
    fn rest_of_command(&self) -> String {
        let file = self.file.as_deref().map(shell_word);
        let file = file.map_or(String::new(), |file| format!(" --file {file}"));
        let stop_app = if self.stop_app { " --stop-app" } else { "" };
        format!("{file}{stop_app}")
    }

    /// Puts it on disk, in one step.
    pub(super) fn write(&self, permit: &Permit, target: &Path) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        let unfinished = unfinished_intent_path(target);
        files::remove(permit, &unfinished)?;
        files::write_new_synced(permit, &unfinished, &bytes)?;
        files::rename_new(permit, &unfinished, &intent_path(target))?;
        files::sync_directory(files::parent(target))
    }
}

/// A restore that was cut short may have left an old database where a new one was meant to be: whoever passes by says so.
pub fn report_unfinished(report: &Reporter, name: &str, target: &Path) {
    report.examined("restore.unfinished", name);
    let real = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let (message, hint) = match pending_swap(&real) {
        Ok(None) => return,
        Ok(Some(intent)) => (
            format!(
                "a restore of {} to {} was cut short, and is to be finished",
                intent.backup,
                real.display()
            ),
            format!(
                "empire-maint restore {name} --force{}",
                intent.rest_of_command()
            ),
        ),
        Err(error) => (
            format!(
                "cannot tell whether a restore to {} was cut short: {error:#}",
                real.display()
            ),
            format!("ls -la {}", shell_path(files::parent(&real))),
        ),
    };
    report.find(Finding::new("restore.unfinished", Severity::High, name, message).hint(hint));
}

/// Where a restore writes before the swap.
pub fn part_path(target: &Path) -> PathBuf {
    beside(target, ".restore.part")
}

pub(super) fn intent_path(target: &Path) -> PathBuf {
    beside(target, ".restore.json")
}

/// The intent while it is being written: half of one would stop every rerun.
fn unfinished_intent_path(target: &Path) -> PathBuf {
    beside(target, ".restore.json.part")
}

/// The old database on its way back.
pub(super) fn back_path(target: &Path) -> PathBuf {
    beside(target, ".restore.back")
}

/// `.app.db` and a suffix, in the same folder.
fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(suffix);
    target.with_file_name(name)
}

/// The intent of a restore that did not come to its end, if there is one.
pub fn pending_swap(target: &Path) -> anyhow::Result<Option<Intent>> {
    let path = intent_path(target);
    if files::link_metadata(&path)?.is_none() {
        return Ok(None);
    }
    let content = files::read_small(&path, LARGEST_INTENT)?;
    let intent: Intent = serde_json::from_slice(&content)
        .with_context(|| format!("{} is not readable", path.display()))?;
    // Whoever may write beside the database must not make root rename files elsewhere.
    if !intent.aside.starts_with(ASIDE) || intent.aside.contains('/') {
        return Err(refused(format!("{} names a file in another folder", path.display())).into());
    }
    Ok(Some(intent))
}

/// The restore is over.
pub(super) fn end(permit: &Permit, target: &Path) -> anyhow::Result<()> {
    files::remove(permit, &intent_path(target))?;
    files::sync_directory(files::parent(target))
}

/// Removes the parts of a restore that did not come to its swap.
pub fn sweep_part(permit: &Permit, target: &Path) -> anyhow::Result<()> {
    let part = part_path(target);
    anyhow::ensure!(
        files::identity(&part)?.is_none() || files::identity(&part)? != files::identity(target)?,
        "{} is the live database itself",
        part.display()
    );
    for side in sqlite::side_files(&part) {
        files::remove(permit, &side)?;
    }
    files::remove(permit, &part)?;
    files::remove(permit, &unfinished_intent_path(target))
}

/// `.before-restore-20261124T030000Z`, or the next second that is free for the database and all its side files.
pub(super) fn free_aside(target: &Path, now: Timestamp) -> anyhow::Result<String> {
    let mut at = now;
    loop {
        let suffix = format!("{ASIDE}{}", at.strftime("%Y%m%dT%H%M%SZ"));
        let aside = files::with_suffix(target, &suffix);
        let mut taken = files::link_metadata(&aside)?.is_some();
        for side in sqlite::side_files(&aside) {
            taken |= files::link_metadata(&side)?.is_some();
        }
        if !taken {
            return Ok(suffix);
        }
        at = at.checked_add(jiff::SignedDuration::from_secs(1))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_of_an_older_version_is_read() {
        let text =
            r#"{"backup": "x", "old": 1, "new": 2, "aside": ".before-restore-y", "was_wal": true}"#;
        let intent: Intent = serde_json::from_str(text).expect("reads");
        assert_eq!(intent.rest_of_command(), "");
    }
}

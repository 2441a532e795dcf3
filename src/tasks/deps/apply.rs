//! `--apply`: package.json and the lock file change places with those that were tested. The old ones stay beside them.

use std::path::Path;

use anyhow::Context as _;

use super::handover::{self, PACKAGE, Pair};
use super::{Task, lock_file};
use crate::context::Context;
use crate::error::refused;
use crate::npm::Lock;
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sys::files;
use crate::text;
use crate::units;

const DEPLOY: &str = "deps.deploy-due";
const LARGEST: u64 = 64 << 20;

/// Puts the newest hand-over in place. Killed in between, the next one goes on.
pub(super) fn run(task: &Task, context: &Context, report: &Reporter) -> anyhow::Result<()> {
    let lock = lock_file(task)?;
    let (folder, manifest, tested) = handover::newest(&task.reports)?;
    let project = &task.project.path;
    if manifest.project != project.display().to_string() || !lock.ends_with(&manifest.lock_file) {
        return Err(refused(format!(
            "{} was made for {} of {}",
            folder.display(),
            manifest.lock_file,
            manifest.project
        ))
        .hint("empire-maint deps --fix")
        .into());
    }
    let live = Pair::read(project, &manifest.lock_file)?.digests();
    for (index, name) in [PACKAGE, &manifest.lock_file].into_iter().enumerate() {
        if live[index] != manifest.before[index] && live[index] != manifest.after[index] {
            return Err(refused(format!(
                "{name} has changed since {} was made",
                folder.display()
            ))
            .hint("empire-maint deps --fix")
            .into());
        }
    }
    let stamp = manifest.created_at.strftime("%Y%m%dT%H%M%SZ");
    let mut swapped = 0;
    for (index, name) in [PACKAGE, &manifest.lock_file].into_iter().enumerate() {
        if live[index] == manifest.after[index] {
            continue;
        }
        swapped += 1;
        let path = project.join(name);
        let kept = files::with_suffix(&path, &format!(".before-deps-{stamp}"));
        let step = Step {
            kind: "replace",
            target: path.display().to_string(),
            reason: format!(
                "by the one in {}; the old one stays as {}",
                folder.display(),
                kept.display()
            ),
        };
        report.act(step, |permit| {
            let _shield = context.stop.shield();
            keep(permit, &path, &kept)?;
            files::replace(permit, &path, &tested.0[index], 0o640)
        })?;
    }
    report.summarise(match (swapped, context.dry_run) {
        (0, _) => "what was handed over is in place already".to_owned(),
        (_, true) => "would do what is listed".to_owned(),
        (..) => format!(
            "{} in place, the old ones kept; node_modules is as it was: a deployment must follow (npm ci, then a restart)",
            units::count(swapped, "file")
        ),
    });
    if !context.dry_run {
        judge_deploy(
            task,
            report,
            &task.project.lock()?,
            &project.display().to_string(),
        );
    }
    Ok(())
}

/// The old content under another name: whole and on the disk before the new one comes.
fn keep(permit: &Permit, path: &Path, kept: &Path) -> anyhow::Result<()> {
    // One that is there comes from a run that was killed before the new file came.
    if files::link_metadata(kept)?.is_some() {
        files::remove(permit, kept)?;
    }
    files::link(permit, path, kept)?;
    files::sync_directory(files::parent(kept))
}

/// Says when what is installed is not what the lock file says: somebody has yet to deploy.
pub(super) fn judge_deploy(task: &Task, report: &Reporter, lock: &Lock, subject: &str) {
    let installed = match installed(task) {
        Ok(installed) => installed,
        Err(error) => {
            let hint = "npm ci, in the project's folder as its owner, makes node_modules anew";
            return task.unknown(report, "whether a deployment is due", &error, hint);
        }
    };
    report.examined(DEPLOY, subject);
    let other: Vec<_> = installed
        .packages
        .iter()
        .filter_map(|here| {
            let wanted = lock.packages.iter().find(|one| one.path == here.path)?;
            (wanted.version != here.version).then(|| {
                format!(
                    "{} {} instead of {}",
                    here.name, here.version, wanted.version
                )
            })
        })
        .collect();
    if !other.is_empty() {
        let number = units::count(other.len() as u64, "package");
        let message = format!(
            "{number} installed in another version than the lock file says: {}",
            text::clean(&other.join(", "))
        );
        report.find(
            Finding::new(DEPLOY, Severity::Low, subject, text::shorten(&message, 500))
                .hint("deploy: npm ci as the project's owner, then restart the application"),
        );
    }
}

/// What npm wrote down when it installed; nothing where it did not.
fn installed(task: &Task) -> anyhow::Result<Lock> {
    let path = task.project.path.join("node_modules/.package-lock.json");
    if files::link_metadata(&path)?.is_none() {
        return Ok(Lock::default());
    }
    let content = files::read_small(&path, LARGEST)?;
    Lock::read(&content).with_context(|| format!("{} cannot be read", path.display()))
}

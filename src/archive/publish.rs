//! The commit protocol: only what was verified is published, and only a published one lets retention remove anything.
//! Stages are types, so that what must not happen does not compile.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::manifest::{Index, Manifest, Plain, Stored, VerifiedLevel};
use super::name::{Content, Name, Part};
use super::read::{Limits, Most, extract_serially};
use crate::error;
use crate::report::Permit;
use crate::sys::{Stop, files};

/// Part files that are not to be relied on yet.
pub(super) struct Draft {
    folder: PathBuf,
    name: Name,
}

/// What was written into the parts.
pub struct Written {
    /// Digest and size of what went in.
    pub plain: Plain,
    /// Digest and size of what came out.
    pub gz: Stored,
    /// About the index.
    pub index: Index,
    /// The oldest day on which a member was inflated, once today's are.
    pub oldest_inflation: String,
}

/// Part files that are complete and synced, and whose every stored byte was read back and found right.
pub struct Verified {
    draft: Draft,
    written: Written,
}

/// A backup that is there, whatever happens next.
pub struct Published {
    /// Its name.
    pub name: Name,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Draft {
    pub(super) fn new(folder: &Path, name: &Name) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.clone(),
        }
    }

    /// Removes the parts. What cannot be removed now, the next sweep removes.
    pub(super) fn discard(&self, permit: &Permit) {
        for part in Part::ALL {
            let _ = files::remove(permit, &self.name.part(&self.folder, part));
        }
    }
}

impl Verified {
    pub(super) fn new(draft: Draft, written: Written) -> Self {
        Self { draft, written }
    }

    /// What was written, for the manifest.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Removes the parts, where something else speaks against this backup.
    pub fn discard(&self, permit: &Permit) {
        self.draft.discard(permit);
    }

    /// Gives the parts their final names; the manifest's is the commit. Never cut short by a time limit.
    pub fn publish(
        self,
        permit: &Permit,
        manifest: Manifest,
        stop: &Stop,
    ) -> anyhow::Result<Published> {
        let _shield = stop.shield();
        let Draft { folder, name } = &self.draft;
        let intent = name.part(folder, Part::Manifest);
        let written = self.require_its_own(&manifest).and_then(|()| {
            files::write_new_synced(permit, &intent, &manifest.to_bytes()?)?;
            files::sync_directory(folder)
        });
        if let Err(error) = written {
            self.discard(permit);
            return Err(error);
        }
        finish(permit, folder, name)?;
        Ok(Published {
            name: self.draft.name,
            manifest,
        })
    }

    fn require_its_own(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let Written {
            plain, gz, index, ..
        } = &self.written;
        anyhow::ensure!(
            (&manifest.plain, &manifest.gz, manifest.index.as_ref()) == (plain, gz, Some(index))
                && manifest.verified.is_some(),
            "the manifest is not the one of what was written"
        );
        Ok(())
    }
}

/// Everything after the intent is on disk: whoever finds the intent after a crash does the same.
fn finish(permit: &Permit, folder: &Path, name: &Name) -> anyhow::Result<()> {
    for (part, target) in [
        (Part::Gz, name.gz(folder)),
        (Part::Index, name.index(folder)),
    ] {
        let from = name.part(folder, part);
        if files::link_metadata(&from)?.is_some() {
            files::rename_new(permit, &from, &target)?;
        }
    }
    files::sync_directory(folder)?;
    files::rename_new(
        permit,
        &name.part(folder, Part::Manifest),
        &name.manifest(folder),
    )?;
    files::sync_directory(folder)
}

/// Replaces the manifest of a published backup in one step: verified again, pinned, found bad.
pub fn rewrite_manifest(
    permit: &Permit,
    folder: &Path,
    name: &Name,
    manifest: &Manifest,
) -> anyhow::Result<()> {
    let (part, path) = (name.part(folder, Part::Manifest), name.manifest(folder));
    let old = files::link_metadata(&path)?;
    files::remove(permit, &part)?;
    files::write_new_synced_like(permit, &part, &manifest.to_bytes()?, old.as_ref())?;
    files::rename_over(permit, &part, &path)?;
    files::sync_directory(folder)
}

/// Removes a published backup: first its promise, then its data.
pub fn remove(permit: &Permit, folder: &Path, name: &Name) -> anyhow::Result<()> {
    files::rename_over(permit, &name.manifest(folder), &name.doomed(folder))?;
    files::sync_directory(folder)?;
    finish_removal(permit, folder, name)
}

fn finish_removal(permit: &Permit, folder: &Path, name: &Name) -> anyhow::Result<()> {
    for path in [name.gz(folder), name.index(folder), name.doomed(folder)] {
        files::remove(permit, &path)?;
    }
    files::sync_directory(folder)
}

/// What a killed run left behind, put right under the series' lock. Returns what was done, for the report.
pub fn sweep(
    permit: &Permit,
    folder: &Path,
    series: &str,
    limits: &Limits<'_>,
) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    let mut failed = Ok(());
    for leftover in leftovers(folder, series)? {
        // One that cannot be put right holds up no other.
        match put_right(permit, folder, &leftover, limits) {
            Ok(told) => done.push(told),
            Err(error) if error::ends_the_run(&error) => return Err(error),
            Err(error) => failed = failed.and(Err(error)),
        }
    }
    failed.map(|()| done)
}

fn put_right(
    permit: &Permit,
    folder: &Path,
    Leftover { name, kind }: &Leftover,
    limits: &Limits<'_>,
) -> anyhow::Result<String> {
    match kind {
        Kind::Doomed => {
            finish_removal(permit, folder, name)?;
            Ok(format!("finished the removal of {}", name.file()))
        }
        Kind::Parts if can_be_finished(folder, name, limits)? => {
            finish(permit, folder, name)?;
            Ok(format!("finished publishing {}", name.file()))
        }
        Kind::Parts => {
            abandon(permit, folder, name)?;
            Ok(format!("removed what a killed run left of {}", name.file()))
        }
    }
}

/// True when there is something for [`sweep`] to do.
pub fn has_leftovers(folder: &Path, series: &str) -> anyhow::Result<bool> {
    Ok(!leftovers(folder, series)?.is_empty())
}

struct Leftover {
    name: Name,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parts,
    Doomed,
}

/// Every backup of the series that has a part file or a doomed manifest, once each.
fn leftovers(folder: &Path, series: &str) -> anyhow::Result<Vec<Leftover>> {
    let mut found: Vec<Leftover> = Vec::new();
    for entry in files::list(folder)? {
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        let (stem, kind) = if let Some(doomed) = file.strip_suffix(".json.del") {
            (doomed, Kind::Doomed)
        } else if let Some(part) = file
            .strip_prefix('.')
            .and_then(|file| file.strip_suffix(".part"))
        {
            let stem = part
                .strip_suffix(".idx")
                .or_else(|| part.strip_suffix(".json"))
                .unwrap_or(part);
            (stem, Kind::Parts)
        } else {
            continue;
        };
        let Some(name) = Name::parse(series, stem) else {
            continue;
        };
        let known = found
            .iter()
            .any(|other| other.kind == kind && other.name == name);
        if !known {
            found.push(Leftover { name, kind });
        }
    }
    Ok(found)
}

/// What was about to be published; `None` where the run was killed before it had said so. Errs where that cannot be read.
fn intent(folder: &Path, name: &Name) -> anyhow::Result<Option<Manifest>> {
    let path = name.part(folder, Part::Manifest);
    if files::link_metadata(&path)?.is_none() {
        return Ok(None);
    }
    match Manifest::read(&path) {
        Ok(manifest) => Ok(Some(manifest).filter(|manifest| manifest.backup == name.stem)),
        Err(failure) if failure.kind == error::Kind::Damaged => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// True when the intent is whole and the data it speaks of is too. Errs where that cannot be told: a complete draft is not thrown
/// away because a disk does not answer.
fn can_be_finished(folder: &Path, name: &Name, limits: &Limits<'_>) -> anyhow::Result<bool> {
    if files::link_metadata(&name.manifest(folder))?.is_some() {
        return Ok(false); // a rewrite that was killed: the published manifest stands
    }
    let Some(manifest) = intent(folder, name)? else {
        return Ok(false);
    };
    let part = name.part(folder, Part::Gz);
    let gz = match files::link_metadata(&part)? {
        Some(_) => part,
        None => name.gz(folder),
    };
    has_digest(&gz, name.content, &manifest, limits)
}

fn has_digest(
    gz: &Path,
    content: Content,
    manifest: &Manifest,
    limits: &Limits<'_>,
) -> anyhow::Result<bool> {
    if files::link_metadata(gz)?.map(|meta| meta.len()) != Some(manifest.gz.size) {
        return Ok(false);
    }
    let most = Most::Promised(manifest.plain.size);
    match extract_serially(gz, content, most, None, limits) {
        Ok(read) => Ok(read.gz == manifest.gz && read.plain == manifest.plain),
        Err(error) if error::kind_of(&error) == error::Kind::Damaged => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes parts, and final names only where an intent says that they are ours: that of an adoption speaks of data which
/// somebody else made, and has no index.
fn abandon(permit: &Permit, folder: &Path, name: &Name) -> anyhow::Result<()> {
    let published = files::link_metadata(&name.manifest(folder))?.is_some();
    let ours = |manifest: Manifest| manifest.index.is_some();
    if !published && intent(folder, name)?.is_some_and(ours) {
        files::remove(permit, &name.index(folder))?;
        files::remove(permit, &name.gz(folder))?;
        files::sync_directory(folder)?;
    }
    for part in Part::ALL {
        files::remove(permit, &name.part(folder, part))?;
    }
    files::sync_directory(folder)
}

/// A name for a backup of `at`. Several in one second take the following seconds, behind one another, so that names sort as
/// the backups were made; a backup that a wrong clock dated far ahead is not followed.
pub fn free_name(
    folder: &Path,
    series: &str,
    at: Timestamp,
    content: Content,
) -> anyhow::Result<Name> {
    const BURST: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);
    const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
    let now = Name::new(series, at, content).stamp;
    let mut newest = None;
    for entry in files::list(folder)? {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let data = [".idx", ".json", ".json.del", ".part"]
            .iter()
            .fold(file.trim_start_matches('.'), |name, end| {
                name.trim_end_matches(end)
            });
        let taken = Name::parse(series, data).map(|name| name.stamp);
        newest =
            newest.max(taken.filter(|taken| *taken >= now && taken.duration_since(now) < BURST));
    }
    let free = match newest {
        Some(newest) => newest.checked_add(SECOND)?,
        None => now,
    };
    Ok(Name::new(series, free, content))
}

/// A manifest for a backup that somebody else made, after everything in it was read.
pub fn adopt(
    permit: &Permit,
    folder: &Path,
    name: &Name,
    manifest: &Manifest,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        manifest
            .verified
            .as_ref()
            .is_some_and(|verified| verified.level >= VerifiedLevel::Checked),
        "only a verified backup can be adopted"
    );
    debug_assert!(manifest.index.is_none());
    let part = name.part(folder, Part::Manifest);
    files::remove(permit, &part)?;
    files::write_new_synced(permit, &part, &manifest.to_bytes()?)?;
    files::rename_new(permit, &part, &name.manifest(folder))?;
    files::sync_directory(folder)
}

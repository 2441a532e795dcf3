//! Puts a proven file in the place of the one that was there, which is kept as `.bak`: a link first, so that the name is never without
//! a file, then a rename, then the folder is synced.

use std::path::{Path, PathBuf};

use super::held::Held;
use crate::error::refused;
use crate::report::Permit;
use crate::sys::files;

/// Where a new one waits until it is proven.
pub fn waiting(path: &Path) -> PathBuf {
    files::with_suffix(path, ".new")
}

/// The waiting one of this name is what everybody sees from now on.
pub fn publish(permit: &Permit, path: &Path) -> anyhow::Result<()> {
    files::rename_over(permit, &waiting(path), path)?;
    files::sync_directory(files::parent(path))
}

/// Refuses where something else than a file has the name of the one that is kept.
pub fn require_kept(path: &Path) -> anyhow::Result<()> {
    let kept = files::with_suffix(path, ".bak");
    match files::link_metadata(&kept)? {
        Some(meta) if meta.is_dir() => Err(refused(format!(
            "{} is a folder, and the index that is replaced has to be kept there",
            kept.display()
        ))
        .hint("move it away")
        .into()),
        _ => Ok(()),
    }
}

/// The one that is there is also called `.bak`.
pub fn keep(permit: &Permit, path: &Path) -> anyhow::Result<()> {
    let kept = files::with_suffix(path, ".bak");
    let new = files::with_suffix(path, ".bak.new");
    files::remove(permit, &new)?;
    files::link(permit, path, &new)?;
    files::rename_over(permit, &new, &kept)?;
    // Where a run was killed here before, both are names of one file already, and renaming one to the other does nothing.
    files::remove(permit, &new)
}

/// Whoever else wrote it meanwhile has put in what we have not seen.
pub fn require_unchanged(held: &Held) -> anyhow::Result<()> {
    let map = held.map.as_ref().map_or(Ok(true), |map| map.is_still())?;
    require(map && held.index.is_still(&held.path)?)
}

/// Errs where that is not so.
pub fn require(unchanged: bool) -> anyhow::Result<()> {
    if unchanged {
        return Ok(());
    }
    Err(
        refused("it was written by another process while it was built anew")
            .hint("empire-maint rag-clean --rebuild-index")
            .into(),
    )
}

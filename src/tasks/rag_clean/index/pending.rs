//! A mark beside an index that has to follow its table: there, durably, from before the first row changes until the index was built
//! anew. Whoever finds it knows what a run that was killed, or whose rebuild failed, had decided while the old numbers could be told.

use std::path::{Path, PathBuf};

use super::publish::{publish, waiting};
use crate::report::Permit;
use crate::sys::files;

fn mark(path: &Path) -> PathBuf {
    files::with_suffix(path, ".pending")
}

/// What the mark beside an index says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The index has to be built anew.
    pub due: bool,
    /// That this may be done was decided about the very file that is there: nobody has written it since.
    pub settled: bool,
}

impl Pending {
    /// Looks.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let Some(mark) = files::link_metadata(&mark(path))?.filter(|meta| meta.is_file()) else {
            return Ok(Self::default());
        };
        let index = files::metadata(path)?;
        Ok(Self {
            due: true,
            settled: match index {
                Some(index) => mark.modified()? >= index.modified()?,
                None => false,
            },
        })
    }
}

/// Sets the mark, with the time of now. True where there was none. What has its name is never opened: the folder is the application's.
pub fn set(permit: &Permit, path: &Path) -> anyhow::Result<bool> {
    let mark = mark(path);
    let new = waiting(&mark);
    let is_new = files::link_metadata(&mark)?.is_none();
    files::remove(permit, &new)?;
    files::write_new_synced(permit, &new, b"")?;
    publish(permit, &mark)?;
    Ok(is_new)
}

/// Takes it away.
pub fn clear(permit: &Permit, path: &Path) -> anyhow::Result<()> {
    files::remove(permit, &mark(path))
}

/// Forgets it where the two agree all the same. What is left of it costs a needless look and nothing else.
pub fn forget(path: &Path) {
    files::forget(&mark(path));
}

//! Free space, before and while something large is written.

use std::path::Path;

use anyhow::Context as _;

use crate::error::{Failure, Kind};
use crate::units::Bytes;

/// Bytes that this process may still write on the file system of `path`.
pub fn free(path: &Path) -> anyhow::Result<u64> {
    let stat = rustix::fs::statvfs(path)
        .with_context(|| format!("cannot look at the file system of {}", path.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// True where nothing of any use fits any more, by bytes or by inodes.
pub fn is_full(path: &Path) -> bool {
    const LEAST: u64 = 64 << 10;
    rustix::fs::statvfs(path).is_ok_and(|stat| {
        let inodes = stat.f_files == 0 || stat.f_favail > 0;
        stat.f_bavail.saturating_mul(stat.f_frsize) < LEAST || !inodes
    })
}

/// Refuses to start what would not fit, with both numbers.
pub fn require(path: &Path, bytes: u64, what: &str) -> anyhow::Result<()> {
    let free = free(path)?;
    if free < bytes {
        return Err(Failure::new(
            Kind::Failed,
            format!(
                "not enough space in {} for {what}: {} free, {} needed",
                path.display(),
                Bytes(free),
                Bytes(bytes)
            ),
        )
        .hint(format!("free at least {}", Bytes(bytes - free)))
        .into());
    }
    Ok(())
}

//! What under the application's root is in no backup: databases that nobody configured, and everything else by size.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{Selection, suggestion};
use crate::archive::Store;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files::{self, Identity, Walked};
use crate::units::Bytes;

const MOST_ENTRIES: u64 = 200_000;
const LONGEST: Duration = Duration::from_secs(5);
const ENDINGS: [&str; 4] = ["db", "sqlite", "sqlite3", "db3"];

/// One info finding with the largest uncovered entries, one medium finding for each database that nobody configured.
pub fn report(
    context: &Context,
    report: &Reporter,
    root: &Path,
    store: &Store,
    selection: &Selection,
) -> anyhow::Result<()> {
    report.examined_all("backup.unconfigured-database");
    report.examined_all("backup.database-in-files");
    let stop = &context.stop;
    if files::metadata(root)?.is_none() {
        return Ok(());
    }
    let untouchable = store.untouchable(&context.state)?;
    let skip = |identity: Identity| untouchable.contains(&identity);
    let watch = stop.with_limit(stop.left(LONGEST)?);
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut databases = Vec::new();
    let mut seen = 0u64;
    let walked = files::walk(root, &skip, &mut |Walked { path, meta }| {
        seen += 1;
        if seen > MOST_ENTRIES || watch.asked() {
            anyhow::bail!("too much to look at");
        }
        let name = path.file_name().unwrap_or_default();
        if selection.covers(&path) || name == "node_modules" || name == ".git" {
            return Ok(false);
        }
        if meta.is_file() {
            if is_database(&path) {
                databases.push(path.clone());
            }
            let top = path.strip_prefix(root).unwrap_or(&path);
            let top: PathBuf = top.components().take(1).collect();
            *sizes.entry(top).or_default() += meta.len();
        }
        Ok(true)
    });
    stop.check()?;
    for path in &databases {
        report.find(
            Finding::new(
                "backup.unconfigured-database",
                Severity::Medium,
                path.display().to_string(),
                "is a database and in no backup",
            )
            .hint(suggestion(path, store)),
        );
    }
    let mut largest: Vec<_> = sizes.into_iter().collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let shown: Vec<_> = largest
        .iter()
        .take(10)
        .map(|(path, size)| format!("{} ({})", path.display(), Bytes(*size)))
        .collect();
    let partly = if walked.is_err() {
        ", and more that was not looked at"
    } else {
        ""
    };
    if !shown.is_empty() {
        report.find(
            Finding::new(
                "backup.uncovered",
                Severity::Info,
                root.display().to_string(),
                format!("in no backup: {}{partly}", shown.join(", ")),
            )
            .hint("[[backup.file]] takes files and folders along"),
        );
    }
    Ok(())
}

/// By its first bytes; only files with a database's ending are opened, and none that this process has open.
fn is_database(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
        return false;
    }
    let mut start = [0; 16];
    files::open_regular(path)
        .ok()
        .and_then(|mut file| file.read_exact(&mut start).ok())
        .is_some_and(|()| &start == b"SQLite format 3\0")
}

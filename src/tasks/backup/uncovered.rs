//! What under the application's root is in no backup: databases that nobody configured, and everything else by size.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::suggestion;
use super::selection::Selection;
use crate::alert;
use crate::archive::Store;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::Stop;
use crate::sys::files::{self, Identity, Walked};
use crate::units::{self, Bytes};

const UNCONFIGURED: &str = "backup.unconfigured-database";
const MOST_ENTRIES: u64 = 200_000;
const LONGEST: Duration = Duration::from_secs(5);
const ENDINGS: [&str; 4] = ["db", "sqlite", "sqlite3", "db3"];

/// What lies below the root and is in no backup, as far as it was seen.
#[derive(Default)]
struct Seen {
    entries: u64,
    sizes: BTreeMap<PathBuf, u64>,
    databases: BTreeSet<PathBuf>,
    /// What this user may not look into.
    closed: BTreeSet<PathBuf>,
    /// It was too much, or took too long.
    cut: bool,
}

/// One info finding with the largest uncovered entries, one medium finding for each database that nobody configured.
pub fn report(
    context: &Context,
    report: &Reporter,
    root: &Path,
    store: &Store,
    selection: &Selection,
) -> anyhow::Result<()> {
    let stop = &context.stop;
    if matches!(files::metadata(root), Ok(None)) {
        return Ok(());
    }
    let untouchable = store.untouchable(&context.state);
    let skip = |identity: Identity| untouchable.contains(&identity);
    let watch = stop.with_limit(stop.left(LONGEST)?);
    let seen = look(root, &skip, selection, &watch);
    stop.check()?;
    for path in &seen.databases {
        report.find(
            Finding::new(
                UNCONFIGURED,
                Severity::Medium,
                path.display().to_string(),
                "is a database and in no backup",
            )
            .hint(suggestion(path, store)),
        );
    }
    if seen.closed.is_empty() && !seen.cut {
        report.examined_all(UNCONFIGURED);
    } else {
        // What was not seen this time is not in a backup for that: what is open is looked at by itself.
        for path in alert::open_paths(&context.state, UNCONFIGURED) {
            let over = match files::link_metadata(&path) {
                Ok(None) => true,
                Ok(Some(meta)) => skip((meta.dev(), meta.ino())) || selection.covers(&path),
                Err(_) => false,
            };
            if over {
                report.examined(UNCONFIGURED, path.display().to_string());
            }
        }
    }
    if let Some(message) = seen.message() {
        report.find(
            Finding::new(
                "backup.uncovered",
                Severity::Info,
                root.display().to_string(),
                message,
            )
            .hint("[[backup.file]] takes files and folders along"),
        );
    }
    Ok(())
}

/// Goes through the tree, folder by folder: one that cannot be read hides nothing but what is in it.
fn look(root: &Path, skip: &dyn Fn(Identity) -> bool, selection: &Selection, watch: &Stop) -> Seen {
    let mut seen = Seen::default();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let walked = files::walk(&folder, skip, &mut |Walked { path, meta }| {
            seen.entries += 1;
            seen.cut |= seen.entries > MOST_ENTRIES || watch.asked();
            let name = path.file_name().unwrap_or_default();
            if seen.cut || selection.covers(&path) || name == "node_modules" || name == ".git" {
                return Ok(false);
            }
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() {
                match is_database(&path) {
                    Ok(true) => drop(seen.databases.insert(path.clone())),
                    Ok(false) => {}
                    Err(_) => drop(seen.closed.insert(path.clone())),
                }
                let top = path.strip_prefix(root).unwrap_or(&path);
                let top: PathBuf = top.components().take(1).collect();
                *seen.sizes.entry(top).or_default() += meta.len();
            }
            Ok(false)
        });
        if walked.is_err() {
            seen.closed.insert(folder);
        }
        if seen.cut {
            break;
        }
    }
    seen
}

impl Seen {
    /// The largest entries, and what else there may be; nothing where all is covered.
    fn message(&self) -> Option<String> {
        let mut largest: Vec<_> = self.sizes.iter().collect();
        largest.sort_by_key(|(_, size)| std::cmp::Reverse(**size));
        let shown: Vec<_> = largest
            .iter()
            .take(10)
            .map(|(path, size)| format!("{} ({})", path.display(), Bytes(**size)))
            .collect();
        let mut parts = Vec::new();
        if !shown.is_empty() {
            parts.push(format!("in no backup: {}", shown.join(", ")));
        }
        if let Some(first) = self.closed.first() {
            parts.push(format!(
                "{} could not be looked into, the first is {}",
                units::count(self.closed.len() as u64, "path"),
                first.display()
            ));
        }
        if self.cut {
            parts.push("there is more than was looked at".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// By its first bytes; only files with a database's ending are opened, and none that this process has open. An error where it may
/// be one and cannot be read.
fn is_database(path: &Path) -> anyhow::Result<bool> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
        return Ok(false);
    }
    let mut start = Vec::new();
    files::open_regular(path)?
        .take(16)
        .read_to_end(&mut start)?;
    Ok(start == b"SQLite format 3\0")
}

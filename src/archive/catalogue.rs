//! What backups there are of one series, newest first, and the lock that guards them.

use std::cmp::Reverse;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use super::manifest::Manifest;
use super::name::{Content, Name};
use crate::error::{Failure, Kind, damaged, missing, refused};
use crate::sys::files;
use crate::sys::lock::Lock;
use crate::sys::process::shell_path;
use crate::units;

/// One backup as it stands in the folder.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its name.
    pub name: Name,
    /// The data.
    pub path: PathBuf,
    /// Bytes of the data.
    pub size: u64,
    /// What is known of it.
    pub standing: Standing,
}

/// How much is known of a backup.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It has its manifest.
    Known(Box<Manifest>),
    /// It has none: made by hand or by another tool.
    Foreign,
    /// Its manifest cannot be read: it is damaged, or a disk or a permission says no, which tells nothing of the backup.
    Unreadable(Failure),
}

impl Backup {
    /// A backup anywhere, by the path of its data; its manifest and index are looked for beside it.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        let meta = files::link_metadata(path)?
            .ok_or_else(|| missing(format!("there is no backup {}", path.display())))?;
        if !meta.is_file() {
            return Err(refused(format!("{} is not a regular file", path.display())).into());
        }
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let standing = standing(&manifest_path(path), None)?;
        let (series, created) = match &standing {
            Standing::Known(manifest) => (manifest.series.clone(), manifest.created_at),
            _ => {
                // A copy is as old as its name says, and not as its own file.
                let stamp = match Name::of_any_series(&file) {
                    Some(name) => name.stamp,
                    None => Timestamp::try_from(meta.modified()?)?,
                };
                (file.clone(), stamp)
            }
        };
        let content = match &standing {
            Standing::Known(manifest) => manifest.content,
            _ if file.ends_with(".tar.gz") => Content::Tar,
            _ => Content::Sqlite,
        };
        Ok(Self {
            name: Name {
                series,
                stem: file
                    .trim_end_matches(".gz")
                    .trim_end_matches(".db")
                    .trim_end_matches(".tar")
                    .to_owned(),
                stamp: created,
                content,
            },
            path: path.to_owned(),
            size: meta.len(),
            standing,
        })
    }

    /// Refuses what somebody took for a backup and is none: a database as it is, or anything else that is no gzip file.
    pub fn require_compressed(&self) -> anyhow::Result<()> {
        let path = &self.path;
        let mut start = Vec::new();
        files::open_regular(path)?
            .take(16)
            .read_to_end(&mut start)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if start == b"SQLite format 3\0" {
            return Err(refused(format!(
                "{} is a database as it is, and no compressed backup; it can be copied while the application is stopped",
                path.display()
            ))
            .hint(format!("sqlite3 {} '.backup TARGET'", shell_path(path)))
            .into());
        }
        // One with a manifest was a backup once, and is damaged.
        if matches!(self.standing, Standing::Foreign)
            && start.len() >= 2
            && !start.starts_with(b"\x1f\x8b")
        {
            return Err(
                refused(format!("{} is no gzip file, so no backup", path.display()))
                    .hint("--file FILE names the .db.gz or .tar.gz of a backup")
                    .into(),
            );
        }
        Ok(())
    }

    /// The index beside the data.
    pub fn index_path(&self) -> PathBuf {
        files::with_suffix(&self.path, ".idx")
    }

    /// The manifest, where there is one.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.standing {
            Standing::Known(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// The instant of the snapshot.
    pub fn created_at(&self) -> Timestamp {
        self.manifest()
            .map_or(self.name.stamp, |manifest| manifest.created_at)
    }

    /// The age of what could be brought back: of the data where it is known, else of the snapshot.
    pub fn data_as_of(&self) -> Timestamp {
        let created = self.created_at();
        self.manifest()
            .and_then(|manifest| manifest.database.as_ref()?.data_as_of)
            .map_or(created, |newest| newest.min(created))
    }

    /// True when it is dated in the future.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.created_at().duration_since(now) > AHEAD
    }

    /// True when it may be counted on.
    pub fn is_good(&self) -> bool {
        self.manifest()
            .is_some_and(|manifest| manifest.is_good() && manifest.gz.size == self.size)
    }

    /// Why nothing is known of it, where a disk or a permission said no.
    pub fn unread(&self) -> Option<&Failure> {
        match &self.standing {
            Standing::Unreadable(failure) if failure.kind != Kind::Damaged => Some(failure),
            _ => None,
        }
    }

    /// True when retention keeps its hands off.
    pub fn is_pinned(&self) -> bool {
        self.manifest()
            .is_some_and(|manifest| manifest.pinned.is_some())
    }
}

/// A backup that is more ahead of the clock was dated by a wrong one, or is looked at by one. Clocks that are kept right differ less.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Every backup of a series, newest first, but those ahead of `now` behind all others: whatever they hold, a later one is newer.
/// Links and anything that is not a file are no backups.
pub fn catalogue(folder: &Path, series: &str, now: Timestamp) -> anyhow::Result<Vec<Backup>> {
    let mut found = Vec::new();
    for entry in files::list(folder)? {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| Name::parse(series, file)) else {
            continue;
        };
        let path = entry.path();
        let Some(meta) = files::link_metadata(&path)?.filter(std::fs::Metadata::is_file) else {
            continue;
        };
        let standing = standing(&name.manifest(folder), Some(&name.stem))?;
        found.push(Backup {
            name,
            path,
            size: meta.len(),
            standing,
        });
    }
    let order = |one: &Backup| (one.is_ahead(now), Reverse(one.created_at()));
    found.sort_by(|a, b| (order(a), &b.name.stem).cmp(&(order(b), &a.name.stem)));
    Ok(found)
}

/// The backups of a series whose manifest is there and whose data is not.
pub fn lost(folder: &Path, series: &str) -> anyhow::Result<Vec<Name>> {
    let mut found = Vec::new();
    for entry in files::list(folder)? {
        let file = entry.file_name();
        let data = file.to_str().and_then(|file| file.strip_suffix(".json"));
        if let Some(name) = data.and_then(|data| Name::parse(series, data))
            && files::link_metadata(&name.gz(folder))?.is_none()
        {
            found.push(name);
        }
    }
    Ok(found)
}

fn manifest_path(data: &Path) -> PathBuf {
    files::with_suffix(data, ".json")
}

/// What the manifest says, if there is one and it is this backup's.
fn standing(manifest: &Path, stem: Option<&str>) -> anyhow::Result<Standing> {
    if files::link_metadata(manifest)?.is_none() {
        return Ok(Standing::Foreign);
    }
    Ok(match Manifest::read(manifest) {
        Ok(manifest) if stem.is_none_or(|stem| stem == manifest.backup) => {
            Standing::Known(manifest.into())
        }
        Ok(other) => Standing::Unreadable(damaged(format!(
            "{} is the manifest of {}",
            manifest.display(),
            other.backup
        ))),
        Err(failure) => Standing::Unreadable(failure),
    })
}

/// The first that may be counted on. Errs where this user may not read a manifest before it: that one may be newer; and where there
/// is none, but one of which nothing is known.
pub fn first_good<'a>(
    backups: impl IntoIterator<Item = &'a Backup>,
) -> anyhow::Result<Option<&'a Backup>> {
    let mut unread = None;
    for backup in backups {
        if backup.is_good() {
            return Ok(Some(backup));
        }
        match backup.unread() {
            Some(denied) if denied.kind == Kind::Missing => return Err(denied.clone().into()),
            other => unread = unread.or(other),
        }
    }
    match unread {
        Some(failure) => Err(failure.clone().into()),
        None => Ok(None),
    }
}

/// The size of the newest backup against the median of its five predecessors: share in percent, and that median.
/// `None` with fewer than five.
pub(super) fn size_against_median(newest: u64, before: &[Backup]) -> Option<(f64, u64)> {
    let mut sizes: Vec<u64> = before
        .iter()
        .filter(|backup| backup.is_good())
        .take(5)
        .map(|backup| backup.size)
        .collect();
    if sizes.len() < 5 {
        return None;
    }
    sizes.sort_unstable();
    Some((units::percent(newest, sizes[2]), sizes[2]))
}

/// Finds a backup by what a person would type: a path, a file name or its stem.
pub fn find(folder: &Path, all: &[String], wanted: &str) -> anyhow::Result<Backup> {
    let wanted_path = Path::new(wanted);
    let file = wanted_path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // A path is meant as it stands; a bare name is one in the folder.
    let there = match wanted.contains('/') {
        true => files::identity(files::parent(wanted_path)).unwrap_or_default(),
        false => files::identity(folder)?,
    };
    if there.is_none() || there != files::identity(folder)? {
        return Err(not_found(folder, wanted).into());
    }
    for series in all {
        for backup in catalogue(folder, series, Timestamp::MAX)? {
            if backup.name.file() == file || backup.name.stem == file {
                return Ok(backup);
            }
        }
    }
    let lies_there = files::link_metadata(&folder.join(&file))?.is_some_and(|meta| meta.is_file());
    if lies_there && !file.is_empty() {
        return Err(refused(format!(
            "{file} does not have the name of a backup of {}",
            all.join(", ")
        ))
        .hint("mv it to NAME_YYYYMMDDTHHMMSSZ.db.gz, as in app_db_20261124T030000Z.db.gz: when its data was copied, in UTC")
        .into());
    }
    Err(not_found(folder, wanted).into())
}

fn not_found(folder: &Path, wanted: &str) -> Failure {
    missing(format!(
        "there is no backup {wanted} in {}",
        folder.display()
    ))
    .hint("empire-maint backup list")
}

/// Held by whoever adds, changes, removes or swaps in backups of a series.
pub fn series_lock(folder: &Path, series: &str) -> Lock {
    Lock {
        path: folder.join(format!(".{series}.lock")),
        what: format!("the backups of {series} in {} are", folder.display()),
        optional: false,
        urgent: false,
    }
}

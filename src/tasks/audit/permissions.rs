//! `permissions`: who may read and change what should be the application's alone. Nothing is opened but PEM files, to tell keys from
//! certificates.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Looked;
use super::scene::Scene;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite;
use crate::sys::files::{self, Walked};
use crate::sys::machine;
use crate::sys::process::shell_word;
use crate::units;

const READABLE: &str = "permissions.readable";
const WRITABLE: &str = "permissions.writable";
const OWNER: &str = "permissions.owner";
const SETUID: &str = "permissions.setuid";
const LARGEST_KEY: u64 = 1 << 20;
/// A tree with more entries is looked at as far as this.
const MOST: u64 = 2_000_000;
const MOST_FINDINGS: usize = 500;

/// What a path is, as far as it matters who may read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Database,
    Backup,
    Key,
    Environment,
    Other,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Database => "a database",
            Self::Backup => "a backup",
            Self::Key => "a private key",
            Self::Environment => "a file of secrets",
            Self::Other => "a file",
        }
    }
}

/// Goes through the named paths, then the application's tree.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    if files::metadata(&scene.root)?.is_none() {
        return Ok(Looked::Nothing(format!(
            "there is no {}",
            scene.root.display()
        )));
    }
    for id in [READABLE, WRITABLE, OWNER, SETUID] {
        report.examined_all(id);
    }
    let mut judge = Judge {
        report,
        owner: owner(scene)?,
        reachable: BTreeMap::new(),
        found: 0,
    };
    let mut paths: BTreeMap<PathBuf, What> = BTreeMap::new();
    for database in &scene.store.databases {
        paths.insert(database.path.clone(), What::Database);
        for side in sqlite::side_files(&database.path) {
            paths.insert(side, What::Database);
        }
    }
    for entry in files::list(&scene.store.folder).unwrap_or_default() {
        paths.insert(entry.path(), What::Backup);
    }
    paths.extend(
        scene
            .configuration
            .iter()
            .map(|path| (path.clone(), What::Other)),
    );
    for path in &scene.certs.files {
        for file in keys_at(path) {
            paths.insert(file, What::Key);
        }
    }
    let mut looked = 0u64;
    for (path, what) in &paths {
        if let Some(meta) = files::link_metadata(path)? {
            looked += 1;
            judge.path(path, &meta, *what);
        }
    }
    let mut full = true;
    let mut folders = vec![scene.root.clone()];
    let mut unreadable = 0u64;
    while let Some(folder) = folders.pop() {
        context.stop.check()?;
        if looked > MOST {
            full = false;
            break;
        }
        let mut visit = |Walked { path, meta }: Walked| {
            looked += 1;
            if !paths.contains_key(&path) {
                judge.path(&path, &meta, what_is(&path, &meta));
            }
            if meta.is_dir() && path.file_name().is_some_and(|name| name != ".git") {
                folders.push(path);
            }
            Ok(false)
        };
        unreadable += u64::from(files::walk(&folder, &|_| false, &mut visit).is_err());
    }
    let found = judge.found;
    let more = if full { "" } else { ", not all there are" };
    Ok(Looked::At(
        format!("{}{more}, {found} too open", units::count(looked, "path")),
        json!({"paths": looked, "complete": full, "folders_not_readable": unreadable, "found": found}),
    ))
}

/// The application's user.
fn owner(scene: &Scene) -> anyhow::Result<Option<u32>> {
    Ok(match &scene.user {
        Some(name) => machine::user_id(name)?,
        None => files::metadata(&scene.root)?.map(|meta| meta.uid()),
    })
}

/// The certificate's own folder usually has its key.
fn keys_at(path: &Path) -> Vec<PathBuf> {
    let folder = match files::metadata(path) {
        Ok(Some(meta)) if meta.is_dir() => path,
        _ => files::parent(path),
    };
    let entries = files::list(folder).unwrap_or_default();
    entries
        .iter()
        .take(1000)
        .map(std::fs::DirEntry::path)
        .filter(|path| is_pem(path) && is_key(path))
        .collect()
}

fn is_pem(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("pem" | "key"))
}

fn is_key(path: &Path) -> bool {
    files::read_small(path, LARGEST_KEY)
        .is_ok_and(|content| memchr::memmem::find(&content, b"PRIVATE KEY-----").is_some())
}

fn what_is(path: &Path, meta: &Metadata) -> What {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    let example = name.contains("example") || name.contains("sample") || name.contains("template");
    if !meta.is_file() {
        return What::Other;
    }
    if (name == ".env"
        || name.starts_with(".env.")
        || ending == "env"
        || name == ".netrc"
        || name == ".pgpass")
        && !example
    {
        return What::Environment;
    }
    if matches!(ending, "db" | "sqlite" | "sqlite3")
        || name.ends_with(".db-wal")
        || name.ends_with(".db-shm")
    {
        return What::Database;
    }
    // Packages bring keys of their own, for their tests.
    let packages = path
        .components()
        .any(|part| part.as_os_str() == "node_modules");
    match is_pem(path) && !packages && meta.mode() & 0o006 != 0 && is_key(path) {
        true => What::Key,
        false => What::Other,
    }
}

struct Judge<'a> {
    report: &'a Reporter,
    owner: Option<u32>,
    reachable: BTreeMap<PathBuf, bool>,
    found: usize,
}

impl Judge<'_> {
    fn find(&mut self, finding: Finding) {
        self.found += 1;
        if self.found <= MOST_FINDINGS {
            self.report.find(finding);
        }
    }

    fn path(&mut self, path: &Path, meta: &Metadata, what: What) {
        if meta.is_symlink() {
            return;
        }
        let mode = meta.mode() & 0o7777;
        let shown = path.display().to_string();
        let word = shell_word(&shown);
        let secret = what != What::Other;
        if secret && mode & 0o004 != 0 && (meta.is_file() || what == What::Backup) {
            // A closed folder above it still keeps others out.
            let severity = match self.is_reachable(path) {
                true => Severity::High,
                false => Severity::Low,
            };
            self.find(
                Finding::new(
                    READABLE,
                    severity,
                    &*shown,
                    format!(
                        "{shown} is {} that everybody may read (mode {mode:04o})",
                        what.word()
                    ),
                )
                .hint(format!("chmod o-rwx {word}")),
            );
        } else if mode & 0o002 != 0
            && !(meta.is_dir() && mode & 0o1000 != 0)
            && (meta.is_file() || meta.is_dir())
        {
            let severity = match self.is_reachable(path) {
                true => Severity::High,
                false => Severity::Low,
            };
            self.find(
                Finding::new(
                    WRITABLE,
                    severity,
                    &*shown,
                    format!("{shown} may be changed by everybody (mode {mode:04o})"),
                )
                .hint(format!("chmod o-w {word}")),
            );
        }
        if matches!(what, What::Database | What::Environment | What::Key)
            && let Some(owner) = self.owner
            && meta.uid() != owner
            && meta.uid() != 0
        {
            self.find(
                Finding::new(
                    OWNER,
                    Severity::Medium,
                    &*shown,
                    format!(
                        "{shown} belongs to uid {}, not to the application's uid {owner} or root",
                        meta.uid()
                    ),
                )
                .hint(format!("chown {owner} {word}")),
            );
        }
        // A database that root owns and nobody else may write is one that the application cannot use.
        if what == What::Database
            && let Some(owner) = self.owner
            && owner != 0
            && meta.uid() == 0
            && mode & 0o022 == 0
        {
            self.find(
                Finding::new(
                    OWNER,
                    Severity::Medium,
                    &*shown,
                    format!(
                        "{shown} belongs to root: the application (uid {owner}) cannot write it"
                    ),
                )
                .hint(format!("chown {owner} {word}")),
            );
        }
        if meta.is_file() && mode & 0o6000 != 0 && mode & 0o111 != 0 {
            let severity = match meta.uid() == 0 && mode & 0o4000 != 0 {
                true => Severity::High,
                false => Severity::Medium,
            };
            self.find(
                Finding::new(SETUID, severity, &*shown, format!("{shown} runs as its owner or group, whoever starts it (mode {mode:04o}, uid {})", meta.uid()))
                    .hint(format!("chmod ug-s {word}")),
            );
        }
    }

    /// True when others may pass through every folder above it.
    fn is_reachable(&mut self, path: &Path) -> bool {
        let folder = files::parent(path);
        if let Some(known) = self.reachable.get(folder) {
            return *known;
        }
        let open = folder.ancestors().all(|part| {
            part.as_os_str().is_empty()
                || files::metadata(part)
                    .is_ok_and(|meta| meta.is_none_or(|meta| meta.mode() & 0o001 != 0))
        });
        self.reachable.insert(folder.to_owned(), open);
        open
    }
}

//! `permissions`: who may read and change what should be the application's alone. Nothing is opened but what may be a key or a dump
//! and stands open to everybody, to see what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::scene::{Looked, Scene};
use crate::alert;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite;
use crate::sys::files::{self, Walked};
use crate::sys::machine;
use crate::sys::process::shell_path;
use crate::units;

const READABLE: &str = "permissions.readable";
const WRITABLE: &str = "permissions.writable";
const OWNER: &str = "permissions.owner";
const SETUID: &str = "permissions.setuid";
const UNREADABLE: &str = "permissions.unreadable";
/// What each path is judged for.
const JUDGED: [&str; 4] = [READABLE, WRITABLE, OWNER, SETUID];
const LARGEST_KEY: u64 = 1 << 20;
/// The beginning of a file, which says what it is.
const BEGINNING: u64 = 256;
/// A tree with more entries is looked at as far as this.
const MOST: u64 = 2_000_000;
const MOST_FINDINGS: usize = 500;

/// What a path is, as far as it matters who may read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Database,
    /// A copy of one, or its rows as text.
    Dump,
    Backup,
    Key,
    Environment,
    Other,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Database => "a database",
            Self::Dump => "a copy of a database",
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
    let mut judge = Judge {
        report,
        owner: owner(scene)?,
        reachable: BTreeMap::new(),
        open: BTreeMap::new(),
        looked_at: BTreeSet::new(),
        found: 0,
    };
    for (id, subject) in alert::open(&context.state) {
        judge.open.entry(subject).or_default().insert(id);
    }
    let mut paths: BTreeMap<PathBuf, What> = BTreeMap::new();
    for database in &scene.store.databases {
        paths.insert(database.path.clone(), What::Database);
        for side in sqlite::side_files(&database.path) {
            paths.insert(side, What::Database);
        }
    }
    let mut unreadable = Vec::new();
    match files::list(&scene.store.folder) {
        Ok(entries) => {
            paths.extend(entries.iter().map(|entry| (entry.path(), What::Backup)));
        }
        Err(_) => unreadable.push(scene.store.folder.clone()),
    }
    paths.extend(
        scene
            .configuration
            .iter()
            .map(|path| (path.clone(), What::Other)),
    );
    for path in &scene.certs.files {
        match keys_at(path) {
            Ok(files) => paths.extend(files.into_iter().map(|file| (file, What::Key))),
            Err(folder) => unreadable.push(folder),
        }
    }
    let mut looked = 0u64;
    // What a configured path leads to is meant, and not the link.
    let paths: BTreeMap<PathBuf, What> = paths
        .into_iter()
        .map(|(path, what)| (std::fs::canonicalize(&path).unwrap_or(path), what))
        .collect();
    for (path, what) in &paths {
        match files::link_metadata(path) {
            Ok(Some(meta)) => {
                looked += 1;
                judge.path(path, &meta, *what);
            }
            Ok(None) => {}
            Err(_) => unreadable.push(files::parent(path).to_owned()),
        }
    }
    let untouchable = scene.store.untouchable(&context.state);
    let live = |meta: &Metadata| untouchable.contains(&(meta.dev(), meta.ino()));
    let mut full = true;
    let mut folders = vec![scene.root.clone()];
    while let Some(folder) = folders.pop() {
        context.stop.check()?;
        if looked > MOST {
            full = false;
            break;
        }
        let mut visit = |Walked { path, meta }: Walked| {
            looked += 1;
            if !paths.contains_key(&path) && !live(&meta) {
                judge.path(&path, &meta, what_is(&path, &meta));
            }
            if meta.is_dir() && path.file_name().is_some_and(|name| name != ".git") {
                folders.push(path);
            }
            Ok(false)
        };
        if files::walk(&folder, &|_| false, &mut visit).is_err() {
            unreadable.push(folder);
        }
    }
    judge.say_what_was_looked_at(full && unreadable.is_empty());
    report.examined_all(UNREADABLE);
    let found = judge.found;
    let more = if full { "" } else { ", not all there are" };
    let mut note = format!("{}{more}, {found} too open", units::count(looked, "path"));
    unreadable.sort();
    unreadable.dedup();
    if let Some(first) = unreadable.first() {
        let folders = units::count(unreadable.len() as u64, "folder");
        note += &format!(", {folders} not looked into");
        report.find(
            Finding::new(
                UNREADABLE,
                Severity::Low,
                "permissions",
                format!(
                    "{folders} could not be looked into; the first is {}",
                    first.display()
                ),
            )
            .hint("run it as root: what lies there was not judged"),
        );
    }
    Ok(Looked::At(
        note,
        json!({"paths": looked, "complete": full, "folders_not_readable": unreadable.len(), "found": found}),
    ))
}

/// The application's user.
fn owner(scene: &Scene) -> anyhow::Result<Option<u32>> {
    Ok(match &scene.user {
        Some(name) => machine::user_id(name)?,
        None => files::metadata(&scene.root)?.map(|meta| meta.uid()),
    })
}

/// The certificate's own folder usually has its key. Where it cannot be read, which folder that is.
fn keys_at(path: &Path) -> Result<Vec<PathBuf>, PathBuf> {
    let folder = match files::metadata(path) {
        Ok(Some(meta)) if meta.is_dir() => path,
        _ => files::parent(path),
    };
    let entries = files::list(folder).map_err(|_| folder.to_owned())?;
    let keys = entries
        .iter()
        .take(1000)
        .map(std::fs::DirEntry::path)
        .filter(|path| is_pem(path))
        // certbot leaves links.
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .filter(|path| is_key(path));
    Ok(keys.collect())
}

/// A name that is no text does not lead back to what it is about.
fn is_gone(subject: &str) -> bool {
    !subject.contains(char::REPLACEMENT_CHARACTER)
        && matches!(files::link_metadata(Path::new(subject)), Ok(None))
}

fn is_pem(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("pem" | "key"))
}

/// Looked at from its beginning first: most of what has no ending is large, and something else.
fn is_key(path: &Path) -> bool {
    let binary = beginning(path).is_ok_and(|text| text.contains('\0'));
    !binary
        && files::read_small(path, LARGEST_KEY)
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
    if is_copy(&name) {
        return What::Dump;
    }
    // Packages bring keys and dumps of their own, for their tests.
    let packages = path
        .components()
        .any(|part| part.as_os_str() == "node_modules");
    if packages || meta.mode() & 0o006 == 0 {
        return What::Other;
    }
    match ending {
        "p12" | "pfx" => What::Key,
        "dump" => What::Dump,
        "gz" | "zst" | "xz" | "bz2" if name.contains(".sql.") => What::Dump,
        "sql" if is_dump(path) => What::Dump,
        "pem" | "key" | "" if is_key(path) => What::Key,
        _ if may_be_key(&name) && is_key(path) => What::Key,
        _ => What::Other,
    }
}

/// `app.db.bak`, `app.sqlite-20261124`, `app.db~`: somebody's own copy of a database.
fn is_copy(name: &str) -> bool {
    const ENDINGS: [&str; 3] = [".sqlite3", ".sqlite", ".db"];
    const COPIES: [&str; 11] = [
        "bak", "backup", "before", "copy", "old", "orig", "save", "gz", "zst", "xz", "zip",
    ];
    ENDINGS.iter().any(|ending| {
        name.split_once(ending).is_some_and(|(_, rest)| {
            let word = rest.trim_start_matches(['.', '-', '_']);
            rest == "~"
                || rest.len() > word.len()
                    && (word.starts_with(|c: char| c.is_ascii_digit())
                        || COPIES.iter().any(|copy| word.starts_with(copy)))
        })
    })
}

/// `id_ed25519.old`, `deploy_rsa.2`: what ssh-keygen names, with something behind it.
fn may_be_key(name: &str) -> bool {
    !name.ends_with(".pub")
        && ["id_", "_rsa", "_ecdsa", "_ed25519"]
            .iter()
            .any(|part| name.contains(part))
}

/// A schema or a migration is no secret; the rows of a database are.
fn is_dump(path: &Path) -> bool {
    let Ok(text) = beginning(path) else {
        return false;
    };
    [
        "-- MySQL dump",
        "-- MariaDB dump",
        "PostgreSQL database dump",
        "PRAGMA foreign_keys=OFF;",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

fn beginning(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let file = files::open_regular(path)?;
    file.take(BEGINNING).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

struct Judge<'a> {
    report: &'a Reporter,
    owner: Option<u32>,
    reachable: BTreeMap<PathBuf, bool>,
    /// The alerts that are open: subject and findings.
    open: BTreeMap<String, BTreeSet<String>>,
    /// Those subjects that were judged this time.
    looked_at: BTreeSet<String>,
    found: usize,
}

impl Judge<'_> {
    /// What is found beyond the limit is left out, but for what is open: it is not well for being one of many.
    fn find(&mut self, finding: Finding) {
        self.found += 1;
        let open = self.open.get(&finding.subject);
        if self.found <= MOST_FINDINGS || open.is_some_and(|ids| ids.contains(finding.id)) {
            self.report.find(finding);
        }
    }

    /// Everything where nothing is hidden; else what is open and was judged, or is not there any more.
    fn say_what_was_looked_at(&self, everything: bool) {
        if everything {
            return JUDGED.iter().for_each(|id| self.report.examined_all(id));
        }
        for id in JUDGED {
            let open = self.open.iter().filter(|(_, ids)| ids.contains(id));
            for (subject, _) in open {
                if self.looked_at.contains(subject) || is_gone(subject) {
                    self.report.examined(id, subject.as_str());
                }
            }
        }
    }

    fn path(&mut self, path: &Path, meta: &Metadata, what: What) {
        let shown = path.display().to_string();
        if self.open.contains_key(&shown) {
            self.looked_at.insert(shown.clone());
        }
        if meta.is_symlink() {
            return;
        }
        let mode = meta.mode() & 0o7777;
        let word = shell_path(path);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_databases_are_told_from_what_only_looks_so() {
        for (name, copy) in [
            ("app.db.bak", true),
            ("app.db-20261124", true),
            ("app.sqlite3.old", true),
            ("app.db.gz", true),
            ("app.db~", true),
            ("app.db.before-restore-20261124T000000Z", true),
            ("app.db", false),
            ("app.db.js", false),
            ("app.dbx", false),
            ("my.dbconfig", false),
            ("app.db-wal", false),
        ] {
            assert_eq!(is_copy(name), copy, "{name}");
        }
    }
}

//! Everything that is no database, as one tar: what `[[backup.file]]` names, and the configuration itself.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;

use super::run::Outcome;
use super::series::{About, Work};
use crate::archive::{self, Checks, Content, Source, Store};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity, Unit};
use crate::sys::files::{self, Identity};
use crate::sys::machine;
use crate::units;

const MISSING: &str = "backup.file-missing";
const CHANGED: &str = "backup.file-changed";
const OUTSIDE: &str = "backup.link-outside";
const UNREADABLE: &str = "cannot be read by this user";
const SKIPPED: &str = "backup.file-skipped";
const DATABASE: &str = "backup.database-in-files";

/// What is taken along.
pub struct Selection {
    /// Absolute.
    pub paths: Vec<PathBuf>,
    /// The file that was read.
    pub configuration: Option<PathBuf>,
    /// The application's root: links of its owner are followed.
    pub root: PathBuf,
}

impl Work<'_> {
    /// Everything configured that is no database, and the configuration itself.
    pub(super) fn files(&self) -> anyhow::Result<Option<Outcome>> {
        let likely = self.run.files.size(self.store, &self.context.state)?;
        if self.context.dry_run {
            self.run
                .files
                .tell_missing(self.store, self.context, self.report)?;
        }
        self.series(
            archive::FILES,
            Content::Tar,
            likely,
            |permit, name, previous| {
                let progress = |done: u64| {
                    self.report
                        .progress(done, likely, Unit::Bytes, "backing up files")
                };
                let mut writing = self.writing(name, previous, &progress);
                writing.roots = self.run.files.is_roots(self.store, &self.context.state)?;
                let verified = archive::write(permit, writing, |sink| {
                    self.run
                        .files
                        .write_tar(sink, self.store, self.context, self.report)
                })?;
                let taken_at = self.context.moment();
                let about = About {
                    taken_at,
                    source: self.run.files.to_string(),
                    content: Content::Tar,
                    database: None,
                    journal_mode: None,
                    checks: Checks::default(),
                    checks_took: Duration::ZERO,
                };
                Ok((verified, about))
            },
        )
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.all().map(|path| path.display().to_string()).collect();
        f.write_str(&shown.join(", "))
    }
}

impl Selection {
    /// True when there is nothing to take along.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.configuration)
    }

    /// True when a path is taken along, by itself or inside a folder that is.
    pub fn covers(&self, path: &Path) -> bool {
        self.paths.iter().any(|own| path.starts_with(own))
    }

    /// Plain bytes, roughly.
    pub fn size(&self, store: &Store, state: &Path) -> anyhow::Result<u64> {
        let mut total = 0;
        let visit = &mut |_: &Path, meta: &std::fs::Metadata| {
            total += 1024 + meta.len();
            Ok(())
        };
        self.each(store, state, visit, &mut |_, _| {})?;
        Ok(total)
    }

    /// True where something in it may be read by root alone, and the archive would belong to somebody else: whoever owns the folder.
    pub fn is_roots(&self, store: &Store, state: &Path) -> anyhow::Result<bool> {
        let Some(folder) = files::metadata(&store.folder)?.filter(|folder| folder.uid() != 0)
        else {
            return Ok(false);
        };
        let readable = |meta: &std::fs::Metadata| {
            let may = |bits: u32| meta.mode() & bits != 0;
            may(0o004)
                || (meta.uid() == folder.uid() && may(0o400))
                || (meta.gid() == folder.gid() && may(0o040))
        };
        let mut roots = false;
        let visit = &mut |_: &Path, meta: &std::fs::Metadata| {
            roots |= !meta.is_symlink() && !readable(meta);
            Ok(())
        };
        self.each(store, state, visit, &mut |_, _| {})?;
        Ok(roots && machine::is_root())
    }

    /// Where the paths are, without those that lie in another; the links that lead there come along as links. Hears of what is
    /// `absent`.
    fn starts(
        &self,
        absent: &mut dyn FnMut(&Path, &str),
    ) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
        let (mut links, mut starts) = (BTreeSet::new(), BTreeSet::new());
        for path in self.all() {
            let followed = files::follow(path).and_then(|followed| {
                files::require_own_links(path, &self.root)?;
                for link in followed.iter().flat_map(|one| &one.links) {
                    files::require_own_links(link, &self.root)?;
                }
                Ok(followed)
            });
            match followed {
                Ok(Some(followed)) => {
                    links.extend(followed.links);
                    starts.insert(followed.real);
                }
                Ok(None) => absent(path, "is not there"),
                Err(error) => absent(path, &format!("cannot be taken along ({error:#})")),
            }
        }
        let inside = |path: &PathBuf| path.ancestors().skip(1).any(|above| starts.contains(above));
        let outermost = starts
            .iter()
            .filter(|path| !inside(path))
            .cloned()
            .collect();
        (links, outermost)
    }

    /// Visits every file, folder and link, in a stable order, and hears of what is `absent`; returns how many were skipped because
    /// they are not plain files.
    fn each(
        &self,
        store: &Store,
        state: &Path,
        visit: &mut dyn FnMut(&Path, &std::fs::Metadata) -> anyhow::Result<()>,
        absent: &mut dyn FnMut(&Path, &str),
    ) -> anyhow::Result<u64> {
        let untouchable = store.untouchable(state);
        let skipped = Cell::new(0);
        let skip = |identity: Identity| {
            let skip = untouchable.contains(&identity);
            skipped.set(skipped.get() + u64::from(skip));
            skip
        };
        let (links, starts) = self.starts(absent);
        let inside = |path: &PathBuf| starts.iter().any(|start| path.starts_with(start));
        let links = links.iter().filter(|link| !inside(link));
        for path in links.chain(&starts) {
            let Some(meta) = files::link_metadata(path)? else {
                continue; // gone since it was followed
            };
            if skip((meta.dev(), meta.ino())) {
                continue;
            }
            visit(path, &meta)?;
            let mut enters = |path: &Path, meta: &std::fs::Metadata| {
                let enters = meta.is_dir() && files::may_read(path);
                if meta.is_dir() && !enters && path.exists() {
                    absent(path, "is a folder that cannot be read");
                }
                enters
            };
            if enters(path, &meta) {
                files::walk(path, &skip, &mut |walked| {
                    visit(&walked.path, &walked.meta)?;
                    Ok(enters(&walked.path, &walked.meta))
                })?;
            }
        }
        Ok(skipped.get())
    }

    /// For a dry run: what would not be taken along.
    fn tell_missing(
        &self,
        store: &Store,
        context: &Context,
        report: &Reporter,
    ) -> anyhow::Result<()> {
        let visit = &mut |path: &Path, meta: &std::fs::Metadata| {
            context.stop.check()?;
            if meta.is_file() && !files::may_read(path) {
                missing(report, path, UNREADABLE);
            }
            Ok(())
        };
        let absent = &mut |path: &Path, why: &str| missing(report, path, why);
        self.each(store, &context.state, visit, absent).map(|_| ())
    }

    /// Streams the tar. A file that changes while it is read, and a database among the files, are findings.
    pub fn write_tar(
        &self,
        sink: &mut dyn Write,
        store: &Store,
        context: &Context,
        report: &Reporter,
    ) -> anyhow::Result<()> {
        let mut tar = tar::Builder::new(sink);
        tar.follow_symlinks(false);
        let absent = &mut |path: &Path, why: &str| missing(report, path, why);
        let (on_the_way, starts) = self.starts(&mut |_, _| {});
        let (mut outside, mut first) = (0, None);
        let visit = &mut |path: &Path, meta: &std::fs::Metadata| {
            context.stop.check()?;
            let inside = path.strip_prefix("/").unwrap_or(path);
            let mut header = tar::Header::new_gnu();
            header.set_metadata(meta);
            header.set_size(0);
            if meta.is_dir() {
                tar.append_data(&mut header, inside, io::empty())
                    .with_context(|| format!("cannot add {}", path.display()))
            } else if meta.is_symlink() {
                let Ok(target) = std::fs::read_link(path) else {
                    changed(report, path, "was gone when it was to be read");
                    return Ok(());
                };
                if !on_the_way.contains(path)
                    && let Some(target) = leads_out(path, &starts)
                {
                    outside += 1;
                    first.get_or_insert((path.to_owned(), target));
                }
                tar.append_link(&mut header, inside, target)
                    .with_context(|| format!("cannot add {}", path.display()))
            } else if meta.is_file() {
                append_file(&mut tar, path, inside, store, report)
            } else {
                report.find(Finding::new(
                    SKIPPED,
                    Severity::Low,
                    path.display().to_string(),
                    "is neither a file nor a folder nor a link",
                ));
                Ok(())
            }
        };
        let skipped = self.each(store, &context.state, visit, absent)?;
        tar.finish()?;
        // Said at the end: an error midway has not looked at the rest.
        for id in [MISSING, CHANGED, SKIPPED, OUTSIDE, DATABASE] {
            report.examined_all(id);
        }
        if let Some((link, target)) = first {
            report.find(
                Finding::new(
                    OUTSIDE,
                    Severity::Low,
                    link.display().to_string(),
                    format!(
                        "leads to {}, which is not in the backup; {} in all lead out of it",
                        target.display(),
                        units::count(outside, "link")
                    ),
                )
                .hint(store.appending(&[
                    "[[backup.file]]".to_owned(),
                    format!("path = {}", text(&target)),
                ])),
            );
        }
        if skipped > 0 {
            report.find(Finding::new(
                "backup.databases-skipped",
                Severity::Info,
                "files",
                format!(
                    "{} left out of the archive: configured databases with their side files, backups, own state",
                    units::count(skipped, "entry")
                ),
            ));
        }
        Ok(())
    }
}

/// What a link points to, where that is neither taken along nor part of the system.
fn leads_out(link: &Path, starts: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    const SYSTEM: [&str; 8] = [
        "/usr", "/bin", "/sbin", "/lib", "/proc", "/sys", "/dev", "/run",
    ];
    let target = files::follow(link).ok().flatten()?.real;
    let inside = |start: &PathBuf| target.starts_with(start);
    let known = starts.iter().any(inside) || SYSTEM.iter().any(|one| target.starts_with(one));
    (!known).then_some(target)
}

fn changed(report: &Reporter, path: &Path, what: &str) {
    report.find(Finding::new(
        CHANGED,
        Severity::Low,
        path.display().to_string(),
        what,
    ));
}

/// The rest is taken along, and somebody is told every time.
fn missing(report: &Reporter, path: &Path, why: &str) {
    report.find(
        Finding::new(
            MISSING,
            Severity::Critical,
            path.display().to_string(),
            format!("{why}, and is not in the backup of the files"),
        )
        .hint("[[backup.file]] names it: correct the path, or run as somebody who may read it"),
    );
}

fn append_file(
    tar: &mut tar::Builder<&mut dyn Write>,
    path: &Path,
    inside: &Path,
    store: &Store,
    report: &Reporter,
) -> anyhow::Result<()> {
    let mut file = match files::open_regular(path) {
        Ok(file) => file,
        Err(error) => {
            let io = error.root_cause().downcast_ref::<io::Error>();
            match io.map(|io| (io.kind(), io.raw_os_error())) {
                // A file of another is no reason to lose the rest.
                Some((io::ErrorKind::PermissionDenied, _)) => {
                    missing(report, path, UNREADABLE);
                }
                Some((io::ErrorKind::NotFound, _)) => {
                    changed(report, path, "was gone when it was to be read");
                }
                Some((_, code)) if code == Some(Errno::LOOP.raw_os_error()) => {
                    changed(
                        report,
                        path,
                        "was replaced by a link when it was to be read",
                    );
                }
                _ => return Err(error),
            }
            return Ok(());
        }
    };
    let meta = file.metadata()?;
    let mut start = [0; 16];
    let length = file.read(&mut start)?;
    if start[..length] == *b"SQLite format 3\0" {
        report.find(
            Finding::new(
                DATABASE,
                Severity::Medium,
                path.display().to_string(),
                "is a database: copied as a file it would be inconsistent, so it was left out",
            )
            .hint(suggestion(path, store)),
        );
        return Ok(());
    }
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&meta);
    header.set_size(meta.len());
    let mut exact = Exact {
        inner: io::Cursor::new(&start[..length]).chain(file),
        left: meta.len(),
        short: false,
    };
    tar.append_data(&mut header, inside, &mut exact)
        .with_context(|| format!("cannot add {}", path.display()))?;
    let now = files::metadata(path)?.map(|now| (now.len(), now.mtime(), now.mtime_nsec()));
    if exact.short || now != Some((meta.len(), meta.mtime(), meta.mtime_nsec())) {
        changed(
            report,
            path,
            "changed while it was read: the copy may be a mixture",
        );
    }
    Ok(())
}

/// The command that adds a database that was found to the configuration. Its name is that of the file without the ending, as far as
/// names go and nothing else has it. A list replaces the one of the defaults whole, so the first that is added brings those too.
pub fn suggestion(path: &Path, store: &Store) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = stem.replace(|c: char| !c.is_alphanumeric(), "_");
    name = name.chars().take(40).collect();
    while store.series().contains(&name) {
        name.push_str("_db");
    }
    let found = Source {
        name,
        path: path.to_owned(),
        expect_tables: Vec::new(),
        freshness: BTreeMap::new(),
    };
    let add = store.appending(&lines(&found));
    match store.by_default {
        true => {
            let defaults: Vec<_> = store.databases.iter().flat_map(lines).collect();
            store.appending_unless(r"^ *\[\[ *database", &defaults) + "; " + &add
        }
        false => add,
    }
}

/// A `[[database]]` of the configuration.
fn lines(source: &Source) -> Vec<String> {
    let mut lines = vec![
        "[[database]]".to_owned(),
        format!("name = {}", toml::Value::from(source.name.as_str())),
        format!("path = {}", text(&source.path)),
    ];
    if !source.expect_tables.is_empty() {
        let tables = toml::Value::from(source.expect_tables.clone());
        lines.push(format!("expect_tables = {tables}"));
    }
    if !source.freshness.is_empty() {
        let columns = source.freshness.iter();
        let columns = columns.map(|(table, column)| (table.clone(), column.as_str().into()));
        let columns = toml::Value::Table(columns.collect());
        lines.push(format!("freshness = {columns}"));
    }
    lines
}

fn text(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}

/// Exactly so many bytes, whatever becomes of the file meanwhile: a tar entry must be as long as its header says.
struct Exact<R> {
    inner: R,
    left: u64,
    short: bool,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let mut length = self.inner.read(&mut buffer[..most])?;
        if length == 0 {
            self.short = true;
            buffer[..most].fill(0);
            length = most;
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_shrinks_is_padded_and_noticed() {
        let mut exact = Exact {
            inner: &b"abc"[..],
            left: 5,
            short: false,
        };
        let mut bytes = Vec::new();
        exact.read_to_end(&mut bytes).expect("reads");
        assert_eq!(bytes, b"abc\0\0");
        assert!(exact.short);
    }
}

//! Everything that is no database, as one tar: what `[[backup.file]]` names, and the configuration itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;

use super::selection::Selection;
use super::series::{About, Outcome, Work};
use crate::archive::{self, Checks, Content, Source, Store};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity, Unit};
use crate::sys::files;
use crate::sys::process::shell_path;
use crate::units;

const MISSING: &str = "backup.file-missing";
const CHANGED: &str = "backup.file-changed";
const LIST: &str = "backup.access-list";
const OUTSIDE: &str = "backup.link-outside";
const UNREADABLE: &str = "cannot be read by this user";
const SKIPPED: &str = "backup.file-skipped";
const DATABASE: &str = "backup.database-in-files";

impl Work<'_> {
    /// Everything configured that is no database, and the configuration itself.
    pub(super) fn tar(&self) -> anyhow::Result<Option<Outcome>> {
        let likely = self.files.size(self.store, &self.context.state)?;
        if self.context.dry_run {
            self.files
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
                writing.roots = self.files.is_roots(self.store, &self.context.state)?;
                let verified = archive::write(permit, writing, |sink| {
                    self.files
                        .write_tar(sink, self.store, self.context, self.report)
                })?;
                let taken_at = self.context.moment();
                let about = About {
                    taken_at,
                    source: self.files.to_string(),
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

impl Selection {
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
        let (mut lists, mut first_list) = (0, None);
        let visit = &mut |path: &Path, meta: &std::fs::Metadata| {
            context.stop.check()?;
            let inside = path.strip_prefix("/").unwrap_or(path);
            let mode = match meta.is_symlink() {
                true => None,
                false => files::mode_without_list(path, meta.mode()),
            };
            if mode.is_some() {
                lists += 1;
                first_list.get_or_insert_with(|| path.to_owned());
            }
            let mut header = header(meta, mode);
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
                append_file(&mut tar, (path, inside, mode), store, report)
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
        for id in [MISSING, CHANGED, SKIPPED, OUTSIDE, DATABASE, LIST] {
            report.examined_all(id);
        }
        if let Some(path) = first_list {
            report.find(
                Finding::new(
                    LIST,
                    Severity::Low,
                    path.display().to_string(),
                    format!(
                        "has an access control list, which the archive does not take along; {} in all with one",
                        units::count(lists, "path")
                    ),
                )
                .hint(format!(
                    "keep the lists in a file that is backed up: getfacl -R {}",
                    shell_path(files::parent(&path))
                )),
            );
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

/// What the archive says of an entry, with another mode where one is given.
fn header(meta: &std::fs::Metadata, mode: Option<u32>) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_metadata(meta);
    // Its time has no sign: what is from before 1970 would come from the far future.
    header.set_mtime(meta.mtime().max(0).cast_unsigned());
    if let Some(mode) = mode {
        header.set_mode(mode);
    }
    header
}

fn append_file(
    tar: &mut tar::Builder<&mut dyn Write>,
    (path, inside, mode): (&Path, &Path, Option<u32>),
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
    let mut header = header(&meta, mode);
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

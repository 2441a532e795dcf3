//! The plan's own sentence: check space, snapshot, compress, verify, publish, prune.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Detail, files as tar, uncovered};
use crate::archive::retention::{self, Candidate, Verdict, Worth};
use crate::archive::{
    self, Backup, Bad, Checks, Content, Limits, Manifest, Name, Previous, Published, Source, Store,
    Verification, Verified, VerifiedLevel, Writing,
};
use crate::config::Config;
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error;
use crate::journal;
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sqlite::{self, Facts, Snapshot, SnapshotOptions};
use crate::sys::{files, machine, scratch, space};
use crate::units::{self, Bytes, Length};

const FAILED: &str = "backup.failed";
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// A backup run, resolved.
pub struct Run {
    only: Vec<String>,
    fresh: bool,
    root: PathBuf,
    files: tar::Selection,
}

/// One published backup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The series.
    database: String,
    /// The file, as `restore --file` takes it.
    file: String,
    /// Plain bytes.
    plain_bytes: u64,
    /// Stored bytes.
    stored_bytes: u64,
    /// Members copied from the previous backup.
    copied_members: u64,
    /// All members.
    members: u64,
    /// From the snapshot to the published name, ms.
    duration_ms: u64,
    /// The SQL checks, which run beside the compression, ms.
    checks_ms: u64,
    /// What was found to be true of the database.
    facts: Option<Facts>,
}

impl Run {
    /// Everything that can be refused before anything is looked at.
    pub fn resolve(
        config: &Config,
        store: &Store,
        settings: &Settings,
        only: &[String],
        fresh: bool,
    ) -> anyhow::Result<Self> {
        for name in only {
            if !store.series().contains(name) {
                store.database(name)?;
            }
        }
        let paths = settings
            .file
            .iter()
            .map(|file| config.path(&file.path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            only: only.to_vec(),
            fresh,
            root: config.app_root()?,
            files: tar::Selection {
                paths,
                configuration: config.source().map(Path::to_owned),
            },
        })
    }

    pub(super) fn run(
        &self,
        context: &Context,
        report: &Reporter,
        store: &Store,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let work = Work {
            run: self,
            context,
            report,
            store,
            settings,
            threads: machine::threads(settings.threads),
        };
        work.prepare_folder()?;
        let mut outcomes = Vec::new();
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        for source in store.databases.iter().filter(|source| wanted(&source.name)) {
            let done = report.attempt(FAILED, &source.name, || work.database(source))?;
            examined(report, &source.name, done.is_some());
            outcomes.extend(done.flatten());
        }
        let journal = work.journal();
        if wanted(archive::JOURNAL) && files::metadata(&journal.path)?.is_some() {
            let done = report.attempt(FAILED, archive::JOURNAL, || work.database(&journal))?;
            examined(report, archive::JOURNAL, done.is_some());
            outcomes.extend(done.flatten());
        } else if wanted(archive::JOURNAL) && context.dry_run {
            work.plan_first_journal()?;
        }
        if wanted(archive::FILES) && !self.files.is_empty() {
            let done = report.attempt(FAILED, archive::FILES, || work.files())?;
            examined(report, archive::FILES, done.is_some());
            outcomes.extend(done.flatten());
        }
        if self.only.is_empty() {
            uncovered::report(context, report, &self.root, store, &self.files)?;
        }
        report.summarise(summary(&outcomes, report));
        report.detail(&Detail {
            published: outcomes,
            ..Detail::default()
        })
    }
}

/// What a run looked at in one series: all of it only where the backup was published.
fn examined(report: &Reporter, series: &str, published: bool) {
    report.examined(FAILED, series);
    if published {
        for id in [
            "backup.missing",
            "backup.stale",
            "backup.size",
            "backup.foreign-keys",
            "backup.not-wal",
        ] {
            report.examined(id, series);
        }
    }
}

fn summary(outcomes: &[Outcome], report: &Reporter) -> String {
    let databases = outcomes
        .iter()
        .filter(|outcome| outcome.facts.is_some() && outcome.database != archive::JOURNAL)
        .count();
    let failed = report
        .snapshot()
        .findings
        .iter()
        .filter(|finding| finding.id == FAILED)
        .count();
    let plain = outcomes.iter().map(|outcome| outcome.plain_bytes).sum();
    let stored = outcomes.iter().map(|outcome| outcome.stored_bytes).sum();
    let mut text = format!(
        "{} backed up and verified, {} to {}",
        units::count(databases as u64, "database"),
        Bytes(plain),
        Bytes(stored)
    );
    if failed > 0 {
        text = format!("{failed} FAILED, {text}");
    }
    if report.dry_run() {
        text = "would back up what is listed".to_owned();
    }
    text
}

/// What every step of one run needs.
struct Work<'a> {
    run: &'a Run,
    context: &'a Context,
    report: &'a Reporter,
    store: &'a Store,
    settings: &'a Settings,
    threads: usize,
}

/// What goes into a manifest beside digests and sizes.
struct About {
    source: String,
    content: Content,
    database: Option<Facts>,
    journal_mode: Option<String>,
    checks: Checks,
    checks_took: Duration,
}

impl Work<'_> {
    fn prepare_folder(&self) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        if files::metadata(folder)
            .with_context(|| format!("cannot look at {}", folder.display()))?
            .is_none()
        {
            let step = Step {
                kind: "create",
                target: folder.display().to_string(),
                reason: "the backup folder is not there yet".into(),
            };
            self.report.act(step, |permit| {
                files::create_directory(permit, folder)?;
                files::sync_directory(files::parent(folder))
            })?;
        }
        if files::metadata(folder)?.is_some() {
            files::require_trusted_directory(folder)?;
        }
        scratch::sweep(self.report, folder)?;
        Ok(())
    }

    fn journal(&self) -> Source {
        Source {
            name: archive::JOURNAL.to_owned(),
            path: journal::path(&self.context.state),
            expect_tables: vec!["runs".to_owned()],
            freshness: BTreeMap::new(),
        }
    }

    /// The first run that is not dry begins the journal, and takes it along.
    fn plan_first_journal(&self) -> anyhow::Result<()> {
        let (folder, now) = (&self.store.folder, self.context.now);
        let name = archive::free_name(folder, archive::JOURNAL, now, Content::Sqlite)?;
        let step = Step {
            kind: "backup",
            target: name.gz(folder).display().to_string(),
            reason: "begun by the first run".into(),
        };
        self.report.act(step, |_| Ok(())).map(|_| ())
    }

    /// One database, from the space check to retention.
    fn database(&self, source: &Source) -> anyhow::Result<Option<Outcome>> {
        files::require_own_links(&source.path, &self.run.root)?;
        sqlite::require_database_file(&source.path)?;
        self.note_same_device(source)?;
        let likely = files::metadata(&source.path)?.map_or(0, |meta| meta.len());
        self.series(
            &source.name,
            Content::Sqlite,
            likely,
            |permit, name, previous| {
                archive::swap::report_unfinished(self.report, &source.name, &source.path);
                let mut snapshot = Snapshot::take(
                    &source.path,
                    &SnapshotOptions {
                        max_wal: self.settings.max_wal,
                        max_lock: self.settings.max_lock,
                        scratch: &self.store.folder,
                        stop: &self.context.stop,
                    },
                )?;
                snapshot.require_tables(&source.expect_tables)?;
                if let Some(held) = snapshot.writers_held() {
                    self.report.find(
                        Finding::new(
                            "backup.not-wal",
                            Severity::Low,
                            &source.name,
                            format!(
                                "{} is not in WAL mode: its writers had to wait {}",
                                source.path.display(),
                                Length(held)
                            ),
                        )
                        .hint(format!(
                            "sqlite3 '{}' 'PRAGMA journal_mode=WAL'",
                            source.path.display()
                        )),
                    );
                }
                let total = snapshot.size();
                let journal_mode = snapshot.journal_mode().to_owned();
                let shown = format!("backing up {}", source.name);
                let progress = |done: u64| self.report.progress(done, total, &shown);
                let writing = self.writing(name, previous, &progress);
                let checking = format!("verifying {}", source.name);
                let verified = |done: u64| self.report.progress(done, total, &checking);
                let limits = self.limits(&verified);
                let checked = compress_and_check(permit, writing, &limits, &mut snapshot, source)?;
                drop(snapshot); // the write-ahead log may be folded in again from here on
                let Checked {
                    verified,
                    facts,
                    took,
                    wal_peak,
                } = checked;
                let read = verified.written().plain.size;
                anyhow::ensure!(read == total, "{read} of {total} bytes were read");
                self.report.measure(
                    "backup_wal_peak_bytes",
                    wal_peak as f64,
                    "bytes",
                    [("database", source.name.as_str())],
                );
                let about = About {
                    source: source.path.display().to_string(),
                    content: Content::Sqlite,
                    journal_mode: Some(journal_mode),
                    database: Some(facts),
                    checks: Checks {
                        integrity: "quick_check".to_owned(),
                        expected_tables: source.expect_tables.clone(),
                    },
                    checks_took: took,
                };
                Ok((verified, about))
            },
        )
    }

    /// Everything configured that is no database, and the configuration itself.
    fn files(&self) -> anyhow::Result<Option<Outcome>> {
        let likely = self.run.files.size(self.store, &self.context.state)?;
        self.series(
            archive::FILES,
            Content::Tar,
            likely,
            |permit, name, previous| {
                let progress = |done: u64| self.report.progress(done, likely, "backing up files");
                let writing = self.writing(name, previous, &progress);
                let written = archive::write(permit, writing, |sink| {
                    self.run
                        .files
                        .write_tar(sink, self.store, self.context, self.report)
                })?;
                let checked = |done: u64| self.report.progress(done, likely, "verifying files");
                let verified = written.verify(permit, &self.limits(&checked))?;
                let about = About {
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

    fn writing<'b>(
        &'b self,
        name: &'b Name,
        previous: Option<&'b mut Previous>,
        progress: &'b (dyn Fn(u64) + Sync),
    ) -> Writing<'b> {
        Writing {
            folder: &self.store.folder,
            name,
            previous,
            threads: self.threads,
            day: archive::day(self.context.now),
            reserve: self.settings.reserve.0,
            stop: &self.context.stop,
            progress,
        }
    }

    /// The protocol around whatever makes the plain bytes: lock, sweep, space, write, verify, publish, prune.
    fn series(
        &self,
        series: &str,
        content: Content,
        likely: u64,
        make: impl FnOnce(&Permit, &Name, Option<&mut Previous>) -> anyhow::Result<(Verified, About)>,
    ) -> anyhow::Result<Option<Outcome>> {
        let folder = &self.store.folder;
        let _held = self
            .context
            .take(&archive::series_lock(folder, series).urgent(), PATIENCE)?;
        self.sweep(series)?;
        let before = archive::catalogue(folder, series)?;
        self.require_space(&before, likely)?;
        let name = archive::free_name(folder, series, self.context.now, content)?;
        let step = Step {
            kind: "backup",
            target: name.gz(folder).display().to_string(),
            reason: format!("{} plain", Bytes(likely)),
        };
        let published = self.report.act(step, |permit| {
            let started = Instant::now();
            let mut previous = self.previous(&before);
            let made = make(permit, &name, previous.as_mut().map(|(_, open)| open));
            if let Some((backup, open)) = &previous
                && open.damaged()
            {
                self.mark_bad(permit, backup)?;
            }
            let (verified, about) = made?;
            self.publish(permit, &name, verified, about, started)
        })?;
        self.report.progress_done();
        match published {
            Some((published, outcome)) => {
                let size = published.manifest.gz.size;
                archive::judge_size(self.report, series, &published.name.stem, size, &before);
                self.prune(series, &published)?;
                Ok(Some(outcome))
            }
            None => {
                self.plan_prune(&before);
                Ok(None)
            }
        }
    }

    fn sweep(&self, series: &str) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        if !archive::has_leftovers(folder, series)? {
            return Ok(());
        }
        let step = Step {
            kind: "sweep",
            target: folder.display().to_string(),
            reason: format!("an earlier backup of {series} was cut short"),
        };
        let done = self.report.act(step, |permit| {
            archive::sweep(permit, folder, series, &self.limits(&|_| {}))
        })?;
        if let Some(done) = done {
            self.report.find(Finding::new(
                "backup.swept",
                Severity::Info,
                series,
                done.join("; "),
            ));
        }
        Ok(())
    }

    fn limits<'b>(&'b self, progress: &'b (dyn Fn(u64) + Sync)) -> Limits<'b> {
        Limits {
            threads: self.threads,
            stop: &self.context.stop,
            progress,
        }
    }

    /// The previous size and a fifth, or half the plain size where there is none, beside the reserve.
    fn require_space(&self, before: &[Backup], likely: u64) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        if files::metadata(folder)?.is_none() {
            return Ok(()); // a dry run before the first backup
        }
        let guess = before
            .iter()
            .find(|backup| backup.is_good())
            .map_or(likely / 2, |backup| {
                backup.size.saturating_add(backup.size / 5)
            });
        space::require(
            folder,
            guess.saturating_add(self.settings.reserve.0),
            "the backup and the reserve",
        )
    }

    /// The newest good backup, opened for copying; none with --fresh, or where its index does not match.
    fn previous<'b>(&self, before: &'b [Backup]) -> Option<(&'b Backup, Previous)> {
        if self.run.fresh {
            return None;
        }
        let backup = before.iter().find(|backup| backup.is_good())?;
        match Previous::open(&self.store.folder, &backup.name, backup.manifest()?) {
            Ok(open) => Some((backup, open)),
            Err(error) => {
                self.report.find(Finding::new(
                    "backup.index-unusable",
                    Severity::Info,
                    backup.name.file(),
                    format!("nothing can be copied from it: {error:#}"),
                ));
                None
            }
        }
    }

    fn mark_bad(&self, permit: &Permit, backup: &Backup) -> anyhow::Result<()> {
        let reason = "a member does not have its digest any more".to_owned();
        self.report.find(
            Finding::new(
                "backup.previous-damaged",
                Severity::High,
                backup.name.file(),
                format!(
                    "{}: damaged on disk since it was made; compressed anew instead",
                    backup.path.display()
                ),
            )
            .hint(format!(
                "empire-maint verify-backup --file '{}'; check the disk",
                backup.path.display()
            )),
        );
        let Some(mut manifest) = backup.manifest().cloned() else {
            return Ok(());
        };
        manifest.bad = Some(Bad {
            at: self.context.now,
            reason,
        });
        archive::rewrite_manifest(permit, &self.store.folder, &backup.name, &manifest)
    }

    fn publish(
        &self,
        permit: &Permit,
        name: &Name,
        verified: Verified,
        about: About,
        started: Instant,
    ) -> anyhow::Result<(Published, Outcome)> {
        let now = self.context.now;
        let written = verified.written();
        let manifest = Manifest {
            format: archive::FORMAT,
            backup: name.stem.clone(),
            series: name.series.clone(),
            content: about.content,
            created_at: now,
            host: self.context.host.to_string(),
            tool: concat!("empire-maint ", env!("CARGO_PKG_VERSION")).to_owned(),
            sqlite: sqlite::version().to_owned(),
            run_id: self.report.run_id(),
            source: about.source,
            plain: written.plain.clone(),
            gz: written.gz.clone(),
            index: Some(written.index.clone()),
            database: about.database,
            journal_mode: about.journal_mode,
            checks: about.checks,
            verified: Some(Verification {
                level: VerifiedLevel::Checked,
                at: now,
                oldest_inflation: written.oldest_inflation.clone(),
            }),
            bad: None,
            pinned: None,
        };
        let published = verified.publish(permit, manifest, &self.context.stop)?;
        let outcome = self.outcome(&published, about.checks_took, started);
        Ok((published, outcome))
    }

    fn outcome(&self, published: &Published, checks: Duration, started: Instant) -> Outcome {
        let manifest = &published.manifest;
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (copied, members) = manifest
            .index
            .as_ref()
            .map_or((0, 0), |index| (index.copied, index.members));
        let labels = [("database", manifest.series.as_str())];
        let report = self.report;
        report.measure(
            "backup_size_bytes",
            manifest.gz.size as f64,
            "bytes",
            labels,
        );
        report.measure(
            "backup_plain_bytes",
            manifest.plain.size as f64,
            "bytes",
            labels,
        );
        report.measure(
            "backup_duration_seconds",
            started.elapsed().as_secs_f64(),
            "s",
            labels,
        );
        report.measure("backup_checks_seconds", checks.as_secs_f64(), "s", labels);
        report.measure(
            "backup_copied_percent",
            units::percent(copied, members),
            "%",
            labels,
        );
        if let Some(facts) = &manifest.database
            && facts.foreign_key_violations > 0
        {
            report.find(
                Finding::new(
                    "backup.foreign-keys",
                    Severity::Medium,
                    &manifest.series,
                    format!(
                        "{} point to rows that are not there; the backup holds the data as it is",
                        units::count(facts.foreign_key_violations, "row")
                    ),
                )
                .measured(facts.foreign_key_violations as f64, "", 0.0)
                .hint(format!(
                    "sqlite3 -readonly '{}' 'PRAGMA foreign_key_check'",
                    manifest.source
                )),
            );
        }
        Outcome {
            database: manifest.series.clone(),
            file: published.name.gz(&self.store.folder).display().to_string(),
            plain_bytes: manifest.plain.size,
            stored_bytes: manifest.gz.size,
            copied_members: copied,
            members,
            duration_ms: millis(started.elapsed()),
            checks_ms: millis(checks),
            facts: manifest.database.clone(),
        }
    }

    /// What goes now that a new backup is there: each removal an action with its reason.
    fn prune(&self, series: &str, newest: &Published) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        let all = archive::catalogue(folder, series)?;
        anyhow::ensure!(
            all.iter()
                .any(|backup| backup.name.stem == newest.name.stem),
            "the published backup is not in the catalogue"
        );
        for (backup, verdict) in all.iter().zip(self.verdicts(&all)) {
            // Set back by an hour, the clock makes the newest look like an older one of its day.
            if verdict.keeps() || backup.name.stem == newest.name.stem {
                continue;
            }
            self.context.stop.check()?;
            self.report.act(removal(backup, &verdict), |permit| {
                retention::prune(permit, folder, &backup.name, newest)
            })?;
            // What is gone is no longer damaged.
            for id in [
                "verify.damaged",
                "verify.data-gone",
                "backup.previous-damaged",
            ] {
                self.report.examined(id, backup.name.file());
            }
        }
        Ok(())
    }

    fn verdicts(&self, all: &[Backup]) -> Vec<Verdict> {
        let candidates: Vec<_> = all.iter().map(Candidate::from).collect();
        retention::plan(
            &candidates,
            &self.settings.keep,
            self.context.now,
            &self.context.zone,
        )
    }

    /// For a dry run: what would go if the backup of now were there.
    fn plan_prune(&self, before: &[Backup]) {
        let now = self.context.now;
        let at = before.partition_point(|backup| backup.created_at() > now);
        let mut candidates: Vec<_> = before.iter().map(Candidate::from).collect();
        let planned = Candidate {
            created_at: now,
            worth: Worth::Good,
            pinned: false,
        };
        candidates.insert(at, planned);
        let mut verdicts =
            retention::plan(&candidates, &self.settings.keep, now, &self.context.zone);
        verdicts.remove(at);
        for (backup, verdict) in before.iter().zip(verdicts) {
            if !verdict.keeps() {
                // A dry run never comes to the closure.
                let _ = self.report.act(removal(backup, &verdict), |_| Ok(()));
            }
        }
    }

    /// Said once: a backup on the disk of its database does not survive that disk.
    fn note_same_device(&self, source: &Source) -> anyhow::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let key = format!("same-device {}", source.name);
        let device = |path: &Path| files::metadata(path).map(|meta| meta.map(|meta| meta.dev()));
        let (data, backups) = (device(&source.path)?, device(&self.store.folder)?);
        if source.name == archive::JOURNAL || data.is_none() || data != backups {
            return Ok(());
        }
        self.report.remember(key.clone(), true);
        if self.context.recall(&key).is_none() {
            self.report.find(
                Finding::new(
                    "backup.same-device",
                    Severity::Low,
                    &source.name,
                    format!(
                        "{} and its backups are on one device: a copy elsewhere is missing (said once)",
                        source.path.display()
                    ),
                )
                .hint("copy the backup folder to another machine, or set [backup] dir to another disk"),
            );
        }
        Ok(())
    }
}

fn removal(backup: &Backup, verdict: &Verdict) -> Step {
    Step {
        kind: "delete",
        target: backup.path.display().to_string(),
        reason: format!("retention: {}", verdict.reason()),
    }
}

/// A draft that was read back, and what was found to be true of the database meanwhile.
struct Checked {
    verified: Verified,
    facts: Facts,
    took: Duration,
    wal_peak: u64,
}

/// The pages go through the compressor, and what it wrote is read back, while the SQL checks run on a second view of the same state.
fn compress_and_check(
    permit: &Permit,
    writing: Writing<'_>,
    limits: &Limits<'_>,
    snapshot: &mut Snapshot,
    source: &Source,
) -> anyhow::Result<Checked> {
    let stop = writing.stop;
    let path = snapshot.path().to_owned();
    let (mut pages, checks) = snapshot.split();
    let timed = |connection: &rusqlite::Connection| {
        let started = Instant::now();
        let facts = sqlite::facts(connection, &path, &source.freshness, stop)?;
        anyhow::Ok((facts, started.elapsed()))
    };
    let (verified, checked) = match checks {
        sqlite::SnapshotChecks::Beside(connection) => std::thread::scope(|scope| {
            let timed = &timed;
            let checking = scope.spawn(move || timed(connection));
            let verified = archive::write(permit, writing, |sink| {
                pages.write_to(sink)?;
                pages.release()
            })
            .and_then(|written| written.verify(permit, limits));
            let checked = checking
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the SQL checks panicked")));
            (verified, checked)
        }),
        sqlite::SnapshotChecks::Afterwards => {
            let written = archive::write(permit, writing, |sink| pages.write_to(sink));
            let checked = timed(pages.connection());
            let released = pages.release();
            let verified = written.and_then(|written| {
                released.inspect_err(|_| written.draft.discard(permit))?;
                written.verify(permit, limits)
            });
            (verified, checked)
        }
    };
    let (verified, (facts, took)) = keep_if_sound(permit, verified, checked)?;
    Ok(Checked {
        verified,
        facts,
        took,
        wal_peak: pages.wal_peak(),
    })
}

/// A database that fails its checks leaves no draft; its corruption is a better reason than whatever else went wrong.
fn keep_if_sound(
    permit: &Permit,
    verified: anyhow::Result<Verified>,
    checked: anyhow::Result<(Facts, Duration)>,
) -> anyhow::Result<(Verified, (Facts, Duration))> {
    match (verified, checked) {
        (Ok(verified), Ok(checked)) => Ok((verified, checked)),
        (Ok(verified), Err(error)) => {
            verified.discard(permit);
            Err(error)
        }
        (Err(error), Err(check)) if !error::ends_the_run(&error) => {
            Err(check.context(format!("{error:#}")))
        }
        (Err(error), _) => Err(error),
    }
}

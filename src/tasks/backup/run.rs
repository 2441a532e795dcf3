//! The plan's own sentence: check space, snapshot, compress, verify, publish, prune.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::series::Work;
use super::{Detail, files as tar, uncovered};
use crate::archive::{self, Store};
use crate::config::Config;
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error::{Kind, kind_of, missing};
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::Facts;
use crate::sys::{files, machine};
use crate::units::{self, Bytes};

const FAILED: &str = "backup.failed";

/// A backup run, resolved.
pub struct Run {
    pub(super) only: Vec<String>,
    pub(super) fresh: bool,
    pub(super) root: PathBuf,
    pub(super) files: tar::Selection,
}

/// One published backup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The series.
    pub(super) database: String,
    /// The file, as `restore --file` takes it.
    pub(super) file: String,
    /// Plain bytes.
    pub(super) plain_bytes: u64,
    /// Stored bytes.
    pub(super) stored_bytes: u64,
    /// Members copied from the previous backup.
    pub(super) copied_members: u64,
    /// All members.
    pub(super) members: u64,
    /// From the snapshot to the published name, ms.
    pub(super) duration_ms: u64,
    /// The SQL checks, which run beside the compression, ms.
    pub(super) checks_ms: u64,
    /// What was found to be true of the database.
    pub(super) facts: Option<Facts>,
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
                configuration: config.source().map(std::path::absolute).transpose()?,
                root: config.app_root()?,
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
            let done = self.attempt(report, &source.name, work.database(source))?;
            examined(report, &source.name, done.is_some());
            outcomes.extend(done.flatten());
        }
        let journal = work.journal();
        // One that cannot even be looked at fails alone.
        let begun = !matches!(files::metadata(&journal.path), Ok(None));
        if wanted(archive::JOURNAL) && begun {
            let done = self.attempt(report, archive::JOURNAL, work.database(&journal))?;
            examined(report, archive::JOURNAL, done.is_some());
            outcomes.extend(done.flatten());
        } else if wanted(archive::JOURNAL) && context.dry_run {
            work.plan_first_journal()?;
        }
        if wanted(archive::FILES) && !self.files.is_empty() {
            let done = self.attempt(report, archive::FILES, work.files())?;
            examined(report, archive::FILES, done.is_some());
            outcomes.extend(done.flatten());
        }
        if self.only.is_empty() {
            judge_orphans(report, store)?;
            uncovered::report(context, report, &self.root, store, &self.files)?;
        }
        report.summarise(summary(&outcomes, report));
        report.detail(&Detail {
            published: outcomes,
            ..Detail::default()
        })
    }
}

impl Run {
    /// One series that fails does not stop the next. Where it alone was asked for and its lock was not had, nothing has begun.
    fn attempt(
        &self,
        report: &Reporter,
        series: &str,
        done: anyhow::Result<Option<Outcome>>,
    ) -> anyhow::Result<Option<Option<Outcome>>> {
        match done {
            Err(error) if self.only.len() == 1 && kind_of(&error) == Kind::Locked => Err(error),
            done => report.attempt(FAILED, series, || done),
        }
    }

    /// A mistyped root, or one whose file system is not mounted, is nothing to create a backup folder in.
    pub(super) fn require_root_of(&self, folder: &Path) -> anyhow::Result<()> {
        match files::metadata(&self.root)? {
            None if folder.starts_with(&self.root) => Err(missing(format!(
                "the application's root {} is not there",
                self.root.display()
            ))
            .hint("is its file system mounted? [app] root or --root says where it is")
            .into()),
            _ => Ok(()),
        }
    }
}

/// A database that was renamed or taken out of the configuration leaves its backups behind.
fn judge_orphans(report: &Reporter, store: &Store) -> anyhow::Result<()> {
    const ID: &str = "backup.orphaned";
    report.examined_all(ID);
    for (series, number) in store.orphans()? {
        report.find(
            Finding::new(ID, Severity::Low, &series, orphaned(&series, number)).hint(format!(
                "a [[database]] with the name \"{series}\" has them again; else move them out of {}, where restore --file still takes them",
                store.folder.display()
            )),
        );
    }
    Ok(())
}

pub(super) fn orphaned(series: &str, number: u64) -> String {
    format!(
        "{} of {series}, which is not configured: not verified, and never removed",
        units::count(number, "backup")
    )
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
            "backup.foreign-keys-unchecked",
            "backup.unchecked",
            "backup.constraints",
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

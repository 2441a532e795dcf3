//! The plan's own sentence: check space, snapshot, compress, verify, publish, prune.

use std::path::PathBuf;

use super::selection::Selection;
use super::series::{Outcome, Work};
use super::{Detail, uncovered};
use crate::archive::{self, Store};
use crate::config::Config;
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error::{Kind, kind_of};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::{files, machine};
use crate::units::{self, Bytes};

const FAILED: &str = "backup.failed";

/// A backup run, resolved.
pub struct Run {
    only: Vec<String>,
    fresh: bool,
    root: PathBuf,
    files: Selection,
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
            files: Selection {
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
            context,
            report,
            store,
            settings,
            threads: machine::threads(settings.threads),
            root: &self.root,
            files: &self.files,
            fresh: self.fresh,
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
            let done = self.attempt(report, archive::FILES, work.tar())?;
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

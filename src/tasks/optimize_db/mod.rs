//! Keeps live databases sound and small: integrity first, then statistics, indexes and free space, each only where it pays.
//! Changes how a database is laid out and what the planner knows; holds its writers no longer than it may, and says for how long.
//! Never changes a row or a rowid, never touches a database that is not sound, never goes on while a backup or restore waits.

mod show;

use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{Config, Section as _};
use crate::context::Context;
use crate::error::{self, missing};
use crate::optimize::{FAILED, Optimizer, Outcome, PATIENCE};
use crate::report::{Document, Finding, Reporter, Severity};
use crate::sys::files;
use crate::task;
use crate::units::Length;

const MISSING: &str = "optimize.missing";

/// Check live databases, then ANALYZE, REINDEX and VACUUM where it pays
#[derive(Args)]
#[command(
    after_long_help = "Every database is checked first (integrity_check, foreign_key_check); one that is not sound is reported and \
left alone. Nothing is changed without a verified backup that is younger than [optimize] backup_max_age.\n\n\
ANALYZE runs for tables whose indexes have no statistics or whose rows became ten times more or less, with an analysis limit. \
REINDEX runs for an index that is at least half empty and wastes 16 MiB. VACUUM runs where at least 25% and 64 MiB would be \
freed. It is rehearsed on a copy first, which shows what it frees, how long it will hold the writers, and that it keeps every \
rowid; over --max-lock it is left to a quiet hour. A database that holds a table with neither INTEGER PRIMARY KEY nor index is not \
vacuumed, because that renumbers its rows, unless [optimize] vacuum_anyway names it."
)]
pub struct Arguments {
    /// Only these databases; default: all
    #[arg(value_name = "DATABASE")]
    databases: Vec<String>,
    /// How long one step may hold up the writers of a database, and wait for them; default: [optimize] max_lock
    #[arg(long, value_name = "DURATION")]
    max_lock: Option<Length>,
    /// Change databases without a recent verified backup too
    #[arg(long)]
    no_backup_check: bool,
}

/// What `optimize-db` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a database that was looked at.
    databases: Vec<Outcome>,
}

/// Resolved.
pub struct Task {
    optimizer: Optimizer,
    only: Vec<String>,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "optimize-db";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        self.databases.is_empty()
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let mut optimizer = Optimizer::from_config(config, self.no_backup_check)?;
        let (store, settings) = (&optimizer.store, &mut optimizer.settings);
        for name in &self.databases {
            store.database(name)?;
        }
        settings.review(config)?;
        if let Some(length) = self.max_lock {
            if length.0.is_zero() {
                return Err(error::usage(
                    "--max-lock 0: a step that may take no time is never done",
                )
                .into());
            }
            settings.max_lock = length;
        }
        Ok(Task {
            optimizer,
            only: self.databases,
        })
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let mut outcomes = Vec::new();
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let sources: Vec<_> = self
            .optimizer
            .store
            .databases
            .iter()
            .filter(|source| wanted(&source.name))
            .collect();
        let mut absent = 0;
        for source in &sources {
            // One that cannot be looked at is found below, and keeps no other from being looked after.
            let is_absent = matches!(files::metadata(&source.path), Ok(None));
            if is_absent && self.only.is_empty() {
                absent += 1;
                report.find(Finding::new(
                    MISSING,
                    Severity::Info,
                    &source.name,
                    format!("there is no database {}", source.path.display()),
                ));
                continue;
            }
            let done = report.attempt(FAILED, &source.name, || {
                self.optimizer.database(context, report, source)
            })?;
            report.examined(FAILED, &source.name);
            outcomes.extend(done.flatten());
        }
        report.progress_done();
        if absent == sources.len() {
            return Err(missing("there is no database to look after")
                .hint("[[database]] in the configuration says where they are")
                .into());
        }
        report.document(Document::Table(show::table(&outcomes)));
        for table in outcomes.iter().filter_map(show::trees) {
            report.document(Document::Table(table));
        }
        report.summarise(show::summary(&outcomes, report));
        report.detail(&Detail {
            databases: outcomes,
        })
    }
}

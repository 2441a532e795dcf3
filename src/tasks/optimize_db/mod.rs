//! Keeps live databases sound and small: integrity first, then statistics, indexes and free space, each only where it pays.
//! Changes how a database is laid out and what the planner knows; holds its writers no longer than it may, and says for how long.
//! Never changes a row or a rowid, never touches a database that is not sound, never goes on while a backup or restore waits.

mod act;
mod look;
mod plan;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{self, Source, Store};
use crate::config::Config;
use crate::config::sections::{Backup as BackupSettings, Optimize};
use crate::context::Context;
use crate::error::{self, Failure, Kind, missing};
use crate::report::{Document, Finding, Reporter, Severity};
use crate::sqlite::{self, Layout, SnapshotOptions};
use crate::sys::lock::Held;
use crate::sys::{Stop, files, scratch};
use crate::task;
use crate::units::{Bytes, Length};

const PATIENCE: Duration = Duration::from_secs(30 * 60);
const FAILED: &str = "optimize.failed";
const MISSING: &str = "optimize.missing";
const CORRUPT: &str = "optimize.corrupt";
const FOREIGN_KEYS: &str = "optimize.foreign-keys";
const UNCHECKED: &str = "optimize.unchecked";
const NO_BACKUP: &str = "optimize.no-backup";
const PUT_OFF: &str = "optimize.put-off";
const TOO_LONG: &str = "optimize.too-long";
const NO_SPACE: &str = "optimize.no-space";
const ROWIDS: &str = "optimize.rowids";
const HELD: &str = "optimize.held";
const LOG: &str = "optimize.log";

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

/// One database.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// Its name.
    database: String,
    /// The file.
    file: String,
    /// True when integrity_check and foreign_key_check found nothing.
    sound: bool,
    /// integrity_check, foreign_key_check and row counts, ms.
    check_ms: u64,
    /// Before anything was changed.
    before: Option<State>,
    /// Afterwards, where something was changed.
    after: Option<State>,
    /// Why VACUUM was or was not planned.
    vacuum: Option<String>,
    /// The longest that one step held the write lock, ms.
    longest_lock_ms: u64,
    /// What the checkpoint did with the write-ahead log.
    checkpoint: Option<Checkpoint>,
}

/// A database at one moment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct State {
    /// Bytes of the file, free pages included.
    size_bytes: u64,
    /// Bytes of the write-ahead log's file.
    wal_bytes: u64,
    /// Free pages, %.
    free_percent: f64,
    /// Time to count the rows of every table, ms.
    query_ms: f64,
    /// Where the pages are.
    layout: Layout,
}

/// What a checkpoint did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Checkpoint {
    /// Frames of the log when it began.
    frames: u64,
    /// Frames that are in the database now.
    moved: u64,
    /// True when the log's file is empty now.
    emptied: bool,
}

/// Resolved.
pub struct Task {
    store: Store,
    settings: Optimize,
    backup: BackupSettings,
    root: PathBuf,
    only: Vec<String>,
    no_backup_check: bool,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "optimize-db";
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let mut settings = config.get::<Optimize>()?;
        for name in &self.databases {
            store.database(name)?;
        }
        for name in &settings.vacuum_anyway {
            store.database(name).map_err(|_| {
                error::config(format!(
                    "[optimize] vacuum_anyway names '{name}', which is no [[database]]"
                ))
            })?;
        }
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
            store,
            settings,
            backup: config.get()?,
            root: config.app_root()?,
            only: self.databases,
            no_backup_check: self.no_backup_check,
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
            .store
            .databases
            .iter()
            .filter(|source| wanted(&source.name))
            .collect();
        let mut absent = 0;
        for source in &sources {
            if files::metadata(&source.path)?.is_none() && self.only.is_empty() {
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
                self.database(context, report, source)
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

impl Task {
    /// One database: look, plan, act, look again. What has to wait is a finding; `None` where it was not even looked at.
    fn database(
        &self,
        context: &Context,
        report: &Reporter,
        source: &Source,
    ) -> anyhow::Result<Option<Outcome>> {
        files::require_own_links(&source.path, &self.root)?;
        sqlite::require_database_file(&source.path)?;
        let folder = &self.store.folder;
        let lock = archive::series_lock(folder, &source.name);
        let mut outcome = Outcome {
            database: source.name.clone(),
            file: source.path.display().to_string(),
            sound: false,
            check_ms: 0,
            before: None,
            after: None,
            vacuum: None,
            longest_lock_ms: 0,
            checkpoint: None,
        };
        report.examined(PUT_OFF, &source.name);
        let held = match files::metadata(folder)?.is_some() {
            true => context.take(&lock, PATIENCE),
            false => Ok(None), // without a folder of backups nobody else takes the lock
        };
        let worked = held.and_then(|held| {
            scratch::sweep(report, files::parent(&source.path))?;
            let work = Work {
                task: self,
                context,
                report,
                source,
                held: held.map(Arc::new),
            };
            work.all(&mut outcome)
        });
        match worked {
            Ok(()) => Ok(Some(outcome)),
            Err(error) if error::kind_of(&error) == Kind::Locked => {
                put_off(report, &source.name, &format!("{error:#}"));
                Ok(outcome.sound.then_some(outcome))
            }
            Err(error) => Err(error),
        }
    }
}

/// What could not be done now and needs nobody: the next run does it.
fn put_off(report: &Reporter, database: &str, why: &str) {
    report.find(
        Finding::new(
            PUT_OFF,
            Severity::Low,
            database,
            format!("not done this time: {why}"),
        )
        .hint(format!("empire-maint optimize-db {database}")),
    );
}

/// One database, and all that its steps need.
struct Work<'a> {
    task: &'a Task,
    context: &'a Context,
    report: &'a Reporter,
    source: &'a Source,
    held: Option<Arc<Held>>,
}

impl Work<'_> {
    fn all(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let looked = match self.look(outcome)? {
            Some(looked) => looked,
            None => return Ok(()), // not sound: it is left alone
        };
        self.measure_query("before", &looked.state);
        outcome.before = Some(looked.state.clone());
        if !self.may_change() {
            return Ok(());
        }
        let plan = self.plan(&looked)?;
        outcome.vacuum = plan.vacuum.clone();
        outcome.longest_lock_ms = millis(plan.held);
        let changed = self.act(plan, &looked, outcome)?;
        if changed {
            let stop = self.giving_way(0);
            let after =
                self.snapshot(&stop, |snapshot| self.state(snapshot.connection(), &stop))?;
            let freed = looked.state.size_bytes.saturating_sub(after.size_bytes);
            self.report
                .measure("optimize_freed_bytes", freed as f64, "bytes", self.label());
            self.measure_query("after", &after);
            outcome.after = Some(after);
        }
        Ok(())
    }

    /// A verified backup that is young enough, or the word of who runs this.
    fn may_change(&self) -> bool {
        let name = &self.source.name;
        self.report.examined(NO_BACKUP, name);
        if self.task.no_backup_check {
            return true;
        }
        let (folder, limit) = (&self.task.store.folder, self.task.settings.backup_max_age.0);
        match archive::require_younger(folder, name, self.context.now, limit) {
            Ok(()) => true,
            Err(error) => {
                let mut finding = Finding::new(
                    NO_BACKUP,
                    Severity::High,
                    name,
                    format!("checked, and nothing changed: {error:#}"),
                );
                finding.hint = error::failure_in(&error).and_then(|failure| failure.hint.clone());
                self.report.find(finding);
                false
            }
        }
    }

    /// Ends a look when a backup or a restore waits for us, or when our reading makes the log of a busy database too large.
    fn giving_way(&self, wal_before: u64) -> Stop {
        let (held, [wal, ..]) = (self.held.clone(), sqlite::side_files(&self.source.path));
        let most = self.task.backup.max_wal.0.max(wal_before);
        self.context.stop.unless(move || {
            if held.as_ref().is_some_and(|held| held.wanted()) {
                return Some(gives_way());
            }
            let size = files::metadata(&wal)
                .ok()
                .flatten()
                .map_or(0, |meta| meta.len());
            (size > most).then(|| {
                Failure::new(
                    Kind::Locked,
                    format!(
                        "the write-ahead log grew to {} while the database was read (limit {})",
                        Bytes(size),
                        Bytes(most)
                    ),
                )
            })
        })
    }

    /// True when a backup or a restore waits for the lock that we hold.
    fn wanted(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.wanted())
    }

    fn options<'s>(&'s self, stop: &'s Stop) -> SnapshotOptions<'s> {
        SnapshotOptions {
            max_wal: self.task.backup.max_wal,
            max_lock: self.task.settings.max_lock,
            scratch: files::parent(&self.source.path),
            stop,
        }
    }

    fn measure_query(&self, moment: &str, state: &State) {
        let labels = [("database", self.source.name.as_str()), ("moment", moment)];
        self.report
            .measure("optimize_query_ms", state.query_ms, "ms", labels);
    }

    fn label(&self) -> [(&'static str, &str); 1] {
        [("database", self.source.name.as_str())]
    }
}

fn gives_way() -> Failure {
    Failure::new(
        Kind::Locked,
        "a backup or a restore of this database waits, and goes first",
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

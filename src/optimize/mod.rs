//! Keeps one live database sound and small: integrity first, then statistics, indexes and free space, each only where it pays.
//! Changes how a database is laid out and what the planner knows; holds its writers no longer than it may, and says for how long.
//! Never changes a row or a rowid, never touches a database that is not sound, never goes on while a backup or restore waits.

mod act;
mod ids;
mod look;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{self, Source, Store};
use crate::config::Config;
use crate::config::sections::{Backup as BackupSettings, Optimize, Rag};
use crate::context::Context;
use crate::error::{self, Failure, Kind};
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::{self, HoldsWriters, Layout, SnapshotOptions};
use crate::sys::lock::Held;
use crate::sys::{Stop, files, scratch};
use crate::units::{Bytes, Length};

/// How long the lock of a series is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Finding id: a database could not be looked after.
pub const FAILED: &str = "optimize.failed";
/// Finding id: a database is damaged.
pub const CORRUPT: &str = "optimize.corrupt";
/// Finding id: rows point to parents that are not there.
pub const FOREIGN_KEYS: &str = "optimize.foreign-keys";
const UNCHECKED: &str = "optimize.unchecked";
const NO_BACKUP: &str = "optimize.no-backup";
const PUT_OFF: &str = "optimize.put-off";
const TOO_LONG: &str = "optimize.too-long";
const NO_SPACE: &str = "optimize.no-space";
const ROWIDS: &str = "optimize.rowids";
const HELD: &str = "optimize.held";
const LOG: &str = "optimize.log";
const IDS: &str = "optimize.index-ids";

/// One database.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// Its name.
    pub database: String,
    /// The file.
    pub file: String,
    /// True when integrity_check and foreign_key_check found nothing.
    pub sound: bool,
    /// integrity_check, foreign_key_check and row counts, ms.
    pub check_ms: u64,
    /// Before anything was changed.
    pub before: Option<State>,
    /// Afterwards, where something was changed.
    pub after: Option<State>,
    /// Why VACUUM was or was not planned.
    pub vacuum: Option<String>,
    /// The longest that one step held the write lock, ms.
    pub longest_lock_ms: u64,
    /// What the checkpoint did with the write-ahead log.
    pub checkpoint: Option<sqlite::Checkpoint>,
}

/// A database at one moment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct State {
    /// Bytes of the file, free pages included.
    pub size_bytes: u64,
    /// Bytes of the write-ahead log's file.
    pub wal_bytes: u64,
    /// Free pages, %.
    pub free_percent: f64,
    /// Time to count the rows of every table, ms.
    pub query_ms: f64,
    /// Where the pages are.
    pub layout: Layout,
}

/// What it needs of the configuration.
pub struct Optimizer {
    /// Databases and their backups.
    pub store: Store,
    /// `[optimize]`
    pub settings: Optimize,
    backup: BackupSettings,
    root: PathBuf,
    /// The memory, where an index relies on its ids.
    indexed: Option<Rag>,
    no_backup_check: bool,
}

impl Optimizer {
    /// From the configuration. `no_backup_check`: also without a recent verified backup.
    pub fn from_config(config: &Config, no_backup_check: bool) -> anyhow::Result<Self> {
        let rag = config.get::<Rag>()?;
        Ok(Self {
            store: Store::from_config(config)?,
            settings: config.get()?,
            backup: config.get()?,
            root: config.app_root()?,
            indexed: (!rag.index.is_empty()).then_some(rag),
            no_backup_check,
        })
    }
}

impl Optimizer {
    /// One database: look, plan, act, look again. What has to wait is a finding; `None` where it was not even looked at.
    pub fn database(
        &self,
        context: &Context,
        report: &Reporter,
        source: &Source,
    ) -> anyhow::Result<Option<Outcome>> {
        let folder = &self.store.folder;
        let lock = archive::series_lock(folder, &source.name);
        let held = match files::metadata(folder)?.is_some() {
            true => context.take(&lock, PATIENCE),
            false => Ok(None), // without a folder of backups nobody else takes the lock
        };
        self.held(context, report, source, held.map(|held| held.map(Arc::new)))
    }

    /// The same for who has the lock of the series already, or was refused it.
    pub fn held(
        &self,
        context: &Context,
        report: &Reporter,
        source: &Source,
        held: anyhow::Result<Option<Arc<Held>>>,
    ) -> anyhow::Result<Option<Outcome>> {
        files::require_own_links(&source.path, &self.root)?;
        sqlite::require_database_file(&source.path)?;
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
        let worked = held.and_then(|held| {
            scratch::sweep(report, files::parent(&source.path))?;
            let work = Work {
                task: self,
                context,
                report,
                source,
                held,
            };
            work.all(&mut outcome)
        });
        match worked {
            Ok(()) => Ok(Some(outcome)),
            Err(error) if error::kind_of(&error) == Kind::Locked => {
                put_off(report, &source.name, &format!("{error:#}"));
                Ok(outcome.sound.then_some(outcome))
            }
            Err(error) => match error.downcast_ref::<HoldsWriters>() {
                Some(held) => {
                    report.find(would_hold(&source.name, held));
                    Ok(outcome.sound.then_some(outcome))
                }
                None => Err(error),
            },
        }
    }
}

/// A database without a write-ahead log that takes too long to look at.
fn would_hold(database: &str, held: &HoldsWriters) -> Finding {
    let (took, limit) = (held.estimate, held.limit);
    Finding::new(
        TOO_LONG,
        Severity::Low,
        database,
        format!(
            "a look at {database} would hold its writers for about {}, since it is not in WAL mode (limit {limit})",
            Length(took)
        ),
    )
    .measured(took.as_secs_f64(), "s", limit.0.as_secs_f64())
    .hint(format!(
        "{}, or in a quiet hour: {}",
        held.remedy(),
        patiently(database, took)
    ))
}

/// The same command for an hour in which the writers may wait.
fn patiently(database: &str, took: Duration) -> String {
    let seconds = (took.as_secs_f64() * 1.5).ceil().max(10.0);
    format!("empire-maint optimize-db '{database}' --max-lock {seconds:.0}s")
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
    task: &'a Optimizer,
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
        match archive::require_younger(folder, name, self.context.moment(), limit) {
            Ok(()) => true,
            Err(error) => {
                let mut finding = Finding::new(
                    NO_BACKUP,
                    Severity::High,
                    name,
                    format!("checked, and nothing changed: {error:#}"),
                );
                finding.hint = error::hint_of(&error).map(str::to_owned);
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

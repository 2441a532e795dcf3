//! Brings a backup back, to a new path or over the live database. The backup is read whole and checked before anything is touched.
//! Changes the target only, and keeps what was there under a dated name; killed at any point, a rerun finishes the job.
//! Never replaces a database that another process has open, and never leaves one without its side files.

mod app;
mod choose;
mod place;
mod tell;
mod unpack;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::Config;
use crate::config::sections::{App, Backup as BackupSettings};
use crate::context::Context;
use crate::report::Reporter;
use crate::sys::files;
use crate::task;
use crate::units::{self, Bytes, Length};

/// Bring a backup back, without ever losing the database that was there
#[derive(Args)]
pub struct Arguments {
    /// The database, or `journal`, or `files`
    database: Option<String>,
    /// The newest verified backup (the default)
    #[arg(long, conflicts_with_all = ["at", "file"])]
    latest: bool,
    /// The newest verified backup taken at or before this time, as in "2026-11-24 03:00"
    #[arg(long, value_name = "TIME", conflicts_with = "file")]
    at: Option<String>,
    /// This backup
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A new path, instead of the live one
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Replace what is there; it is kept under a dated name
    #[arg(long)]
    force: bool,
    /// Stop the application first, start it afterwards and wait until it is well
    #[arg(long, requires = "force")]
    stop_app: bool,
    /// Go on although another process has the database open, where SQLite's own locks allow it
    #[arg(long, requires = "force")]
    allow_open: bool,
}

/// What `restore` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// The series.
    database: String,
    /// The backup that was restored.
    file: String,
    /// Where it is now.
    target: String,
    /// Where the database that was there is kept.
    kept: Option<String>,
    /// How old the data in the backup is.
    #[schemars(with = "String")]
    data_as_of: Timestamp,
    /// Plain bytes.
    plain_bytes: u64,
    /// From the first byte read to the last name synced, ms.
    duration_ms: u64,
}

/// Resolved.
pub struct Task {
    store: Store,
    backup: BackupSettings,
    app: App,
    root: PathBuf,
    database: Option<String>,
    which: choose::Which,
    to: Option<PathBuf>,
    force: bool,
    stop_app: bool,
    allow_open: bool,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "restore";
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        if let Some(name) = &self.database
            && !store.series().contains(name)
        {
            store.database(name)?;
        }
        let which = match (self.file, self.at) {
            (Some(file), _) => choose::Which::File(files::absolute(&file)?),
            (_, Some(at)) => choose::Which::At(at),
            _ => choose::Which::Latest,
        };
        Ok(Task {
            store,
            backup: config.get()?,
            app: config.get()?,
            root: config.app_root()?,
            database: self.database,
            which,
            to: self.to.as_deref().map(files::absolute).transpose()?,
            force: self.force,
            stop_app: self.stop_app,
            allow_open: self.allow_open,
        })
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let started = Instant::now();
        let choice = choose::choose(self, context, report)?;
        let placed = place::place(self, context, report, &choice)?;
        let took = started.elapsed();
        report.progress_done();
        let backup = &choice.backup;
        let Some(placed) = placed else {
            let taken = units::shown(backup.created_at(), &context.zone);
            report.summarise(format!("would restore {}, taken {taken}", backup.name.stem));
            return Ok(());
        };
        let labels = [("database", backup.name.series.as_str())];
        report.measure("restore_duration_seconds", took.as_secs_f64(), "s", labels);
        report.measure("restore_plain_bytes", placed.plain as f64, "bytes", labels);
        report.remember(
            "bytes_per_second",
            placed.plain as f64 / took.as_secs_f64().max(0.001),
        );
        report.summarise(summary(&choice, &placed, context, took));
        report.detail(&Detail {
            database: backup.name.series.clone(),
            file: backup.path.display().to_string(),
            target: choice.target.display().to_string(),
            kept: placed
                .kept
                .as_deref()
                .map(|path| path.display().to_string()),
            data_as_of: backup.data_as_of(),
            plain_bytes: placed.plain,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn summary(
    choice: &choose::Choice,
    placed: &place::Placed,
    context: &Context,
    took: Duration,
) -> String {
    let age = context.now.duration_since(choice.backup.data_as_of());
    let kept = placed.kept.as_deref().map_or(String::new(), |path: &Path| {
        format!("; the database that was there is {}", path.display())
    });
    format!(
        "{} restored to {} from {} (taken {}, {}, data {} old) in {}{kept}",
        choice.backup.name.series,
        choice.target.display(),
        choice.backup.name.stem,
        units::shown(choice.backup.created_at(), &context.zone),
        Bytes(placed.plain),
        Length(Duration::try_from(age).unwrap_or_default()),
        Length(took)
    )
}

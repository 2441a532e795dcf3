//! Consistent, verified backups of every live database, of the journal and of the configuration, while writers keep writing.
//! Writes into the backup folder only, and removes there only what a newly published backup has made dispensable.
//! Never touches a source, never publishes what it has not read back, never removes a backup without a manifest.

mod adopt;
mod database;
mod files;
mod list;
mod mark;
mod prune;
mod run;
mod selection;
mod series;
mod uncovered;

use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::Config;
use crate::config::sections::Backup;
use crate::context::Context;
use crate::error::usage;
use crate::report::Reporter;
use crate::sys::lock::Lock;
use crate::task;

/// Back up every live database, verified before it is published
#[derive(Args)]
pub struct Arguments {
    /// Only this database (repeatable)
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// Compress everything anew, copy nothing from the previous backup
    #[arg(long)]
    fresh: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show every backup: age, size, how far verified, why it is kept
    List {
        /// Only this database
        database: Option<String>,
    },
    /// Keep a backup whatever retention says
    Pin {
        /// Its name, as in `backup list`
        backup: String,
    },
    /// Leave a pinned backup to retention again
    Unpin {
        /// Its name, as in `backup list`
        backup: String,
    },
    /// Check a backup that another tool made and give it a manifest
    Adopt {
        /// A file in the backup folder
        backup: String,
    },
}

/// What `backup` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// Backups that this run published.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    published: Vec<series::Outcome>,
    /// The catalogue, for `backup list`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    catalogue: Vec<list::Row>,
}

/// Resolved.
pub struct Task {
    store: Store,
    settings: Backup,
    what: What,
}

enum What {
    Run(run::Run),
    List(Option<String>),
    Mark { backup: String, pin: bool },
    Adopt(String),
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "backup";
    const LIMIT: Duration = Duration::from_secs(6 * 3600);
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn reads_only(&self) -> bool {
        matches!(self.command, Some(Command::List { .. }))
    }

    fn covers(&self, _: &Self) -> bool {
        self.command.is_none() && self.database.is_empty()
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let settings = config.get::<Backup>()?;
        if self.command.is_some() && (self.fresh || !self.database.is_empty()) {
            return Err(usage("--database and --fresh belong to a backup run alone")
                .hint("empire-maint backup --help")
                .into());
        }
        let what = match self.command {
            None => What::Run(run::Run::resolve(
                config,
                &store,
                &settings,
                &self.database,
                self.fresh,
            )?),
            Some(Command::List { database }) => {
                if let Some(name) = &database
                    && !store.series().contains(name)
                {
                    store.database(name)?;
                }
                What::List(database)
            }
            Some(Command::Pin { backup }) => What::Mark { backup, pin: true },
            Some(Command::Unpin { backup }) => What::Mark { backup, pin: false },
            Some(Command::Adopt { backup }) => What::Adopt(backup),
        };
        Ok(Task {
            store,
            settings,
            what,
        })
    }
}

impl task::Task for Task {
    fn locks(&self, context: &Context) -> Vec<Lock> {
        match self.what {
            What::Run(_) => vec![context.task_lock()],
            _ => Vec::new(),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2 * 3600)
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        match &self.what {
            What::Run(run) => run.run(context, report, &self.store, &self.settings),
            What::List(only) => list::run(
                context,
                report,
                &self.store,
                &self.settings,
                only.as_deref(),
            ),
            What::Mark { backup, pin } => mark::run(context, report, &self.store, backup, *pin),
            What::Adopt(backup) => adopt::run(context, report, &self.store, &self.settings, backup),
        }
    }
}

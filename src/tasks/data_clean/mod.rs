//! Keeps tables from growing for ever: rows older than a rule allows are deleted or archived, while the application keeps writing.
//! Changes the tables of its rules and their archives, in transactions of a few milliseconds, after a backup has been verified.
//! Never takes a row whose age is in doubt, never loses one on the way to its archive, never holds up a writer for long.

mod apply;
mod columns;
mod lines;
mod plan;
mod run;
mod walk;

use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::Config;
use crate::config::sections::DataClean;
use crate::context::Context;
use crate::error::{missing, usage};
use crate::report::Reporter;
use crate::sys::lock::Lock;
use crate::task;

const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Delete or archive old rows by rules, in short transactions, without losing one
#[derive(Args)]
#[command(after_long_help = "The rules stand in [[data_clean.rule]]; without any, the plan's four apply: logs after 90 days, trades \
archived after a year, expired temp_cache, failed job_logs after 30 days. How a column writes time is told from all its values; one \
that mixes forms is refused. A verified backup from the last 24 hours must be there. See what would be done: \
empire-maint data-clean --dry-run")]
pub struct Arguments {
    /// Only this rule (repeatable)
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
    /// Also where a rule takes more of its table than max_fraction
    #[arg(long)]
    yes: bool,
    /// Also without a verified backup from the last 24 hours
    #[arg(long)]
    no_backup_check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Bring archived rows back into their table
    RestoreArchive {
        /// The rule that archived them
        rule: String,
    },
}

/// What `data-clean` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a rule that was looked at.
    rules: Vec<run::Outcome>,
    /// One entry a database.
    databases: Vec<run::Size>,
}

/// Resolved.
pub struct Task {
    store: Store,
    what: run::Run,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "data-clean";
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let settings = config.get::<DataClean>()?;
        for rule in &settings.rule {
            if store.database(&rule.database).is_err() {
                return Err(crate::error::config(format!(
                    "[[data_clean.rule]] '{}': there is no [[database]] '{}'",
                    rule.name, rule.database
                ))
                .into());
            }
        }
        todo!()
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        todo!()
    }
}

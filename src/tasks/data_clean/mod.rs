//! Keeps tables from growing for ever: rows older than a rule allows are deleted or archived, while the application keeps writing.
//! Changes the tables of its rules and their archives, in transactions of a few milliseconds, after a backup has been verified.
//! Never takes a row whose age is in doubt, never loses one on the way to its archive, never holds up a writer for long.

mod apply;
mod columns;
mod into_file;
mod landed;
mod layout;
mod lines;
mod moves;
mod outcome;
mod pack;
mod plan;
mod restore;
mod run;
mod scene;
mod space;
mod statements;

use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::sections::{Backup, DataClean, Rule};
use crate::config::{Config, Origin, Section as _};
use crate::context::Context;
use crate::error::{missing, usage};
use crate::report::Reporter;
use crate::task;

const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Delete or archive old rows by rules, in short transactions, without losing one
#[derive(Args)]
#[command(
    after_long_help = "The rules stand in [[data_clean.rule]]; without any, the plan's four apply: logs after 90 days, trades \
archived after a year, expired temp_cache, failed job_logs after 30 days. How a column writes time is told from all its values; one \
that mixes forms is refused. A verified backup from the last 24 hours must be there. See what would be done: \
empire-maint data-clean --dry-run"
)]
pub struct Arguments {
    /// Only this rule (repeatable)
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
    /// Also where a rule takes more of its table than max_fraction, or the clock may be wrong
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
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    rules: Vec<outcome::Outcome>,
    /// One entry a database.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    databases: Vec<outcome::Size>,
    /// For `restore-archive`: what came back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    restored: Option<restore::Restored>,
}

/// Resolved.
pub struct Task {
    store: Store,
    what: What,
    run: run::Run,
}

enum What {
    Clean,
    /// With the names of all rules.
    Restore(Vec<String>),
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "data-clean";
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        self.command.is_none() && self.rule.is_empty()
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let settings = config.get::<DataClean>()?;
        settings.review(config)?;
        let mut rules = settings.rule;
        let known = |rule: &Rule| store.databases.iter().any(|one| one.name == rule.database);
        let planned = config.origin("data_clean", &["rule"]) == Origin::Default;
        rules.retain(known); // the plan's own rules, for what is there
        let wanted = match &self.command {
            Some(Command::RestoreArchive { .. })
                if self.yes || self.no_backup_check || !self.rule.is_empty() =>
            {
                return Err(usage(
                    "--rule, --yes and --no-backup-check do not belong to restore-archive",
                )
                .hint("empire-maint data-clean restore-archive --help")
                .into());
            }
            Some(Command::RestoreArchive { rule }) => std::slice::from_ref(rule),
            None => self.rule.as_slice(),
        };
        for name in wanted {
            if !rules.iter().any(|rule| rule.name == *name) {
                let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
                return Err(missing(format!("there is no rule '{name}'"))
                    .hint(format!("there are: {}", names.join(", ")))
                    .into());
            }
        }
        let what = match &self.command {
            Some(Command::RestoreArchive { .. }) => {
                What::Restore(rules.iter().map(|rule| rule.name.clone()).collect())
            }
            None => What::Clean,
        };
        if !wanted.is_empty() {
            rules.retain(|rule| wanted.contains(&rule.name));
        }
        let rules = rules
            .into_iter()
            .map(|rule| {
                let folder = rule.folder().map(|folder| config.path(folder));
                let folder = folder.transpose()?;
                Ok((rule, folder))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Task {
            store,
            what,
            run: run::Run {
                rules,
                planned,
                yes: self.yes,
                backup_check: !self.no_backup_check,
                root: config.app_root()?,
                reserve: config.get::<Backup>()?.reserve.0,
            },
        })
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        match &self.what {
            What::Clean => self.run.run(context, report, &self.store),
            What::Restore(rules) => restore::run(&self.run, context, report, &self.store, rules),
        }
    }
}

//! Which queries are slow, what SQLite does for them, and which index would help or can go (§3.5). Reads the application's own log
//! of queries and the schema; never runs a query of somebody else, never makes or drops an index. `--profile` starts a program
//! under the Node profiler and ends it again.

mod log;
mod profile;
mod review;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{Source, Store};
use crate::config::sections::{App, QueryReview};
use crate::config::{Config, Origin};
use crate::context::Context;
use crate::error::{missing, usage};
use crate::report::{Cell, Document, Reporter, Table};
use crate::sys::files;
use crate::task;
use crate::units::{self, Length};

const UNREADABLE: &str = "database.unreadable";
/// Slow shapes in the table of a database.
const SHOWN: usize = 20;

/// What nobody outside the application can see, said wherever a person might look for it.
const CACHE: &str = "cache hits cannot be seen from outside: SQLite counts them inside each connection of the application, \
where sqlite3_db_status(SQLITE_DBSTATUS_CACHE_HIT) tells them and PRAGMA cache_size sets the size";

/// Review slow queries: their plans, indices that are missing or needless, stale statistics; profile Node
#[derive(Args)]
pub struct Arguments {
    /// Only these databases
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// Also run this program under the Node profiler, as in --profile 'PORT=3001 node server.js': a second one beside the
    /// application, in [app] root and as its user, started without a shell
    #[arg(long, value_name = "COMMAND")]
    profile: Option<String>,
    /// For how long, from 1s to 1h
    #[arg(
        long = "for",
        value_name = "DURATION",
        default_value = "5m",
        requires = "profile"
    )]
    span: Length,
}

/// What `query-review` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a database that could be read.
    databases: Vec<review::Reviewed>,
    /// Why there is nothing about the cache here.
    cache_hits: &'static str,
    /// The program's profile, where one was asked for.
    profile: Option<profile::Profile>,
}

/// Resolved.
pub struct Task {
    databases: Vec<Source>,
    root: PathBuf,
    /// The databases that only a default names may be absent.
    named: bool,
    settings: QueryReview,
    profile: Option<profile::Plan>,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "query-review";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        self.database.is_empty()
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let mut named = config.origin("database", &[]) != Origin::Default;
        let mut databases = store.databases.clone();
        if !self.database.is_empty() {
            named = true;
            databases = self
                .database
                .iter()
                .map(|name| store.database(name).cloned())
                .collect::<anyhow::Result<_>>()?;
        }
        let profile = match self.profile {
            None => None,
            Some(line) => {
                const LIMITS: std::ops::RangeInclusive<Duration> =
                    Duration::from_secs(1)..=Duration::from_secs(3600);
                if !LIMITS.contains(&self.span.0) {
                    return Err(usage(format!("--for {} is not from 1s to 1h", self.span)).into());
                }
                let app: App = config.get()?;
                Some(profile::Plan::new(
                    &line,
                    self.span.0,
                    config.app_root()?,
                    app.user,
                )?)
            }
        };
        Ok(Task {
            databases,
            root: config.app_root()?,
            named,
            settings: config.get()?,
            profile,
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let now = context.now.to_zoned(context.zone.clone());
        let since = self.settings.period.before(&now)?.timestamp();
        let place = log::Place {
            table: self.settings.table.clone(),
            query: self.settings.query_column.clone(),
            duration: self.settings.duration_column.clone(),
            time: self.settings.time_column.clone(),
            slow_ms: self.settings.slow.0.as_secs_f64() * 1000.0,
            since,
        };
        let mut reviewed = Vec::new();
        let mut failed_to_read = 0;
        for source in &self.databases {
            // One that cannot be looked at is found below.
            if matches!(files::metadata(&source.path), Ok(None)) && !self.named {
                continue; // the plan's own layout, which this server need not have
            }
            report.examined(UNREADABLE, &*source.name);
            let one = report.attempt(UNREADABLE, &source.name, || {
                files::require_own_links(&source.path, &self.root)?;
                review::database(source, &place, &self.settings, &context.stop, report)
            })?;
            failed_to_read += usize::from(one.is_none());
            reviewed.extend(one);
        }
        if reviewed.is_empty() && failed_to_read == 0 && self.profile.is_none() {
            let paths: Vec<PathBuf> = self.databases.iter().map(|one| one.path.clone()).collect();
            let shown: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            return Err(
                missing(format!("there is no database at {}", shown.join(", ")))
                    .hint("[[database]] path")
                    .into(),
            );
        }
        // What a database that could not be read would have had is not known to be gone.
        if self.databases.len() == reviewed.len() {
            tell::examined(&reviewed, report);
        }
        for one in reviewed.iter().filter(|one| !one.slow.is_empty()) {
            report.document(Document::Table(table(one)));
        }
        let notes: String = reviewed.iter().map(footnotes).collect();
        if !notes.is_empty() {
            report.document(Document::Text(notes));
        }
        // A program that cannot be profiled takes nothing away from the review.
        let (profile, failed) = match &self.profile {
            None => (None, None),
            Some(plan) => match profile::run(plan, context, report) {
                Ok(profile) => (profile, None),
                Err(error) => (None, Some(error)),
            },
        };
        report.document(Document::Text(format!(
            "{}\n",
            CACHE.replace(": ", ":\n  ")
        )));
        report.summarise(summary(&reviewed, failed_to_read, profile.as_ref()));
        report.detail(&Detail {
            databases: reviewed,
            cache_hits: CACHE,
            profile,
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn summary(
    reviewed: &[review::Reviewed],
    failed_to_read: usize,
    profile: Option<&profile::Profile>,
) -> String {
    let sum =
        |of: &dyn Fn(&review::Reviewed) -> usize| reviewed.iter().map(of).sum::<usize>() as u64;
    let mut parts = vec![
        format!(
            "{} of slow queries in {}",
            units::count(sum(&|one| one.shapes()), "shape"),
            units::count(reviewed.len() as u64, "database")
        ),
        format!(
            "{} missing",
            units::count(sum(&|one| one.missing_indices.len()), "index")
        ),
        format!(
            "{} needless",
            units::count(sum(&|one| one.needless_indices.len()), "index")
        ),
    ];
    if failed_to_read > 0 {
        let number = units::count(failed_to_read as u64, "database");
        parts.push(format!("{number} could not be read"));
    }
    if let Some(profile) = profile {
        parts.push(format!(
            "a profile of {}",
            units::count(profile.ticks, "tick")
        ));
    }
    parts.join("; ")
}

/// What the table of a database does not show, and what was not looked at.
fn footnotes(one: &review::Reviewed) -> String {
    let (name, mut text) = (&one.database, String::new());
    if one.slow.len() > SHOWN {
        text += &format!(
            "{name}: {} more in the data of --json\n",
            one.slow.len() - SHOWN
        );
    }
    if one.not_tried > 0 {
        text += &format!(
            "{name}: no indices were tried for the {} that take least time\n",
            units::count(one.not_tried as u64, "slow shape")
        );
    }
    if !one.not_copied.is_empty() {
        text += &format!(
            "{name}: left out, since they cannot be made here on a copy: {}\n",
            one.not_copied.join(", ")
        );
    }
    text
}

fn table(one: &review::Reviewed) -> Table {
    let mut rows = Vec::new();
    for query in one.slow.iter().take(SHOWN) {
        let problems = match query.problems.is_empty() {
            true => Cell::Text(query.not_explained.clone().unwrap_or_default()),
            false => Cell::Bad(query.problems.join("; ")),
        };
        rows.push(vec![
            Cell::Count(query.count),
            ms(query.total_ms),
            ms(query.p50_ms),
            ms(query.p95_ms),
            ms(query.max_ms),
            problems,
            Cell::Text(query.query.clone()),
        ]);
    }
    Table {
        title: format!(
            "{}: slow queries, those that take most time first",
            one.database
        ),
        columns: vec!["times", "total", "p50", "p95", "max", "plan", "query"],
        rows,
    }
}

fn ms(ms: f64) -> Cell {
    Cell::Text(Length(Duration::from_secs_f64(ms.max(0.0) / 1000.0)).to_string())
}

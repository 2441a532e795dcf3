//! Past runs and what they found, out of the journal.
//! Changes nothing, takes no lock, leaves no trace of its own.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Config;
use crate::context::Context;
use crate::error::usage;
use crate::journal::{self, Filter, Run};
use crate::report::{Cell, Document, Reporter, Table};
use crate::sys::files;
use crate::sys::lock::Lock;
use crate::task;
use crate::units::{self, CalendarSpan};

/// Show past runs and their findings
#[derive(Args)]
pub struct Arguments {
    /// Only runs of this task
    #[arg(long)]
    task: Option<String>,
    /// Only runs that ended so: ok, warning, critical, unknown, running or interrupted
    #[arg(long)]
    status: Option<String>,
    /// Only runs since then: 7d, 6mo, a day such as 2026-11-24, or a time such as 2026-11-24T03:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// The findings of each run too
    #[arg(long)]
    findings: bool,
}

/// What `history` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// Newest first.
    runs: Vec<Run>,
}

/// Resolved.
pub struct Task {
    filter: Filter,
    since: Option<Since>,
    findings: bool,
}

enum Since {
    Moment(Timestamp),
    /// In the calendar's zone.
    Here(DateTime),
    Ago(CalendarSpan),
}

impl Since {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if let Ok(moment) = units::moment(text) {
            return Ok(Self::Moment(moment));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Here(time));
        }
        let span = text.parse().map_err(|why: String| {
            // What is written as a day is meant as one.
            let why = match text.contains(['-', ':']) {
                true => format!("'{}' is no day and no time", text.escape_debug()),
                false => why,
            };
            usage(why).hint("as in --since 7d, 2026-11-24 or 2026-11-24T03:00:00Z")
        })?;
        Ok(Self::Ago(span))
    }

    fn moment(&self, context: &Context) -> anyhow::Result<Timestamp> {
        Ok(match self {
            Self::Moment(moment) => *moment,
            Self::Here(time) => time.to_zoned(context.zone.clone())?.timestamp(),
            Self::Ago(span) => {
                let now = context.now.to_zoned(context.zone.clone());
                span.before(&now)?.timestamp()
            }
        })
    }
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "history";
    type Task = Task;
    type Detail = Detail;

    fn reads_only(&self) -> bool {
        true
    }

    fn resolve(self, _: &Config) -> anyhow::Result<Task> {
        const STATUS: [&str; 6] = [
            "ok",
            "warning",
            "critical",
            "unknown",
            "running",
            "interrupted",
        ];
        if let Some(status) = &self.status
            && !STATUS.contains(&status.as_str())
        {
            return Err(usage(format!("there is no status '{status}'"))
                .hint(STATUS.join(", "))
                .into());
        }
        Ok(Task {
            filter: Filter {
                task: self.task,
                status: self.status,
                since: None,
                until: None,
                most: self.limit,
            },
            since: self.since.as_deref().map(Since::parse).transpose()?,
            findings: self.findings,
        })
    }
}

impl task::Task for Task {
    fn locks(&self, _: &Context) -> Vec<Lock> {
        Vec::new()
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let mut filter = self.filter.clone();
        if let Some(since) = &self.since {
            filter.since = Some(since.moment(context)?);
        }
        if let Some(task) = &filter.task
            && !context.commands.contains(&task.as_str())
        {
            return Err(usage(format!("there is no task '{}'", task.escape_debug()))
                .hint(context.commands.join(", "))
                .into());
        }
        files::require_readable_directory(&context.state)?;
        let runs = journal::runs(&context.state, &filter)?;
        report.document(Document::Table(table(&runs, self.findings)));
        report.summarise(units::count(runs.len() as u64, "run"));
        report.detail(&Detail { runs })
    }
}

fn table(runs: &[Run], findings: bool) -> Table {
    let mut table = Table {
        title: String::new(),
        columns: vec!["started", "task", "status", "took", "summary"],
        rows: Vec::new(),
    };
    for run in runs {
        let status = run.status.clone().unwrap_or_else(|| run.state.clone());
        let status = if run.state == "interrupted" {
            "interrupted".to_owned()
        } else {
            status
        };
        let bad = matches!(status.as_str(), "critical" | "unknown" | "interrupted");
        let took = run.duration_ms.and_then(|ms| u64::try_from(ms).ok());
        let dry = if run.dry_run { " (dry run)" } else { "" };
        table.rows.push(vec![
            Cell::Time(run.started_at),
            Cell::Text(run.task.clone()),
            if bad {
                Cell::Bad(status)
            } else {
                Cell::Text(status)
            },
            took.map_or(Cell::Empty, |ms| {
                Cell::Age(std::time::Duration::from_millis(ms))
            }),
            Cell::Text(format!(
                "{}{dry}",
                run.summary.as_deref().unwrap_or_default()
            )),
        ]);
        for finding in run.findings.iter().filter(|_| findings) {
            table.rows.push(vec![
                Cell::Text(String::new()),
                Cell::Text(String::new()),
                Cell::Text(finding.severity.clone()),
                Cell::Text(String::new()),
                Cell::Text(format!(
                    "{} {}: {}",
                    finding.id, finding.subject, finding.message
                )),
            ]);
        }
    }
    table
}

//! Past runs and what they found, out of the journal.
//! Changes nothing, takes no lock, leaves no trace of its own.

use clap::Args;
use jiff::Timestamp;
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
    /// Only runs since then: 7d, 6mo, or a time such as 2026-11-24T03:00:00Z
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
    since: Option<CalendarSpan>,
    findings: bool,
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
        let (moment, span) = match &self.since {
            None => (None, None),
            Some(text) => match text.parse::<Timestamp>() {
                Ok(moment) => (Some(moment), None),
                Err(_) => (
                    None,
                    Some(
                        text.parse()
                            .map_err(|why: String| usage(why).hint("as in --since 7d"))?,
                    ),
                ),
            },
        };
        Ok(Task {
            filter: Filter {
                task: self.task,
                status: self.status,
                since: moment,
                most: self.limit,
            },
            since: span,
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
        if let Some(span) = &self.since {
            let now = context.now.to_zoned(context.zone.clone());
            filter.since = Some(span.before(&now)?.timestamp());
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

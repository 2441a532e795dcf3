//! `schedule show` and `schedule check`: every line of the plan with what the journal knows of it.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Detail, Planned, Role, here};
use crate::calendar::{self, MISSED, Past, Standing};
use crate::context::Context;
use crate::journal::{self, TaskPast};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Table};
use crate::units::{self, Length};

/// Finding id: a task that is due has never run so far, and nothing is wrong with that yet.
const WAITING: &str = "schedule.waiting";

/// One line of the board.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Row {
    /// What `[schedule.at]` calls it.
    name: String,
    /// The plan's section.
    section: String,
    /// What it is for.
    title: String,
    /// The command line, where there is such a command.
    command: Option<String>,
    /// The rule in force.
    when: String,
    /// How it stands.
    standing: Standing,
    /// Why there is nothing to do.
    reason: Option<String>,
    /// When the last run of the command began. Lines of one command share its runs.
    #[schemars(with = "Option<String>")]
    last_run: Option<Timestamp>,
    /// How it ended.
    result: Option<String>,
    /// When a run last ended with 0 or 1.
    #[schemars(with = "Option<String>")]
    last_success: Option<Timestamp>,
    /// The time that passed without a run.
    #[schemars(with = "Option<String>")]
    missed: Option<Timestamp>,
    /// When it is due next.
    #[schemars(with = "Option<String>")]
    next_due: Option<Timestamp>,
    /// How late it may begin, s.
    grace_seconds: u64,
    /// How long a run may take, s.
    limit_seconds: u64,
}

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    lines: &[Planned],
    check: bool,
) -> anyhow::Result<()> {
    let pasts = journal::task_pasts(&context.state, context.now)?;
    let first = journal::first_run(&context.state)?;
    let since = first.max(here::installed(context.now));
    let rows: Vec<_> = lines
        .iter()
        .map(|line| row(context, line, &pasts, since))
        .collect();
    if check {
        judge(context, report, &rows);
    }
    let table = table(context, &rows, check);
    if !table.rows.is_empty() {
        report.document(Document::Table(table));
    }
    let unknown = match first {
        Some(_) => String::new(),
        // As another user than root this may be another journal than that of the tasks.
        None => format!("; no run is written down in {}", context.state.display()),
    };
    report.summarise(format!("{}{unknown}", summary(&rows)));
    report.detail(&Detail {
        lines: rows,
        text: None,
        units: Vec::new(),
    })
}

fn row(context: &Context, planned: &Planned, pasts: &[TaskPast], since: Option<Timestamp>) -> Row {
    let Planned { line, when, role } = planned;
    let exists = *role != Role::Manual;
    let past = pasts
        .iter()
        .find(|past| exists && line.task() == Some(past.task.as_str()));
    let known = Past {
        answered: past.and_then(|past| past.answered),
        well: past.map(|past| past.result == "running" || matches!(past.exit_code, Some(0 | 1))),
        since,
    };
    let (standing, missed) = match role {
        Role::Manual => (Standing::Manual, None),
        Role::Off => (Standing::Off, None),
        Role::Idle(_) => (Standing::Idle, None),
        Role::Active => calendar::standing(when, line.grace, known, context.now, &context.zone),
    };
    Row {
        name: line.name.to_owned(),
        section: line.section.to_owned(),
        title: line.title.to_owned(),
        command: line.command.filter(|_| exists).map(str::to_owned),
        when: when.to_string(),
        standing,
        reason: match role {
            Role::Idle(reason) => Some(reason.clone()),
            _ => None,
        },
        last_run: past.map(|past| past.started_at),
        result: past.map(|past| past.result.clone()),
        last_success: past.and_then(|past| past.success),
        missed,
        next_due: match role {
            Role::Idle(_) => None,
            _ => calendar::next_due(when, context.now, &context.zone),
        },
        grace_seconds: line.grace.as_secs(),
        limit_seconds: line.limit.as_secs(),
    }
}

/// What is wrong becomes a finding; that all others were looked at is said too, so that their alerts end.
fn judge(context: &Context, report: &Reporter, rows: &[Row]) {
    let shown = |at: Timestamp| {
        let local = at.to_zoned(context.zone.clone());
        local.strftime("%Y-%m-%d %H:%M %:z").to_string()
    };
    for row in rows {
        match row.standing {
            Standing::Overdue | Standing::Fine | Standing::Failing | Standing::Waiting => {
                report.examined(MISSED, row.name.as_str());
            }
            _ => {}
        }
        let task = row.command.as_deref().unwrap_or_default();
        let task = task.split_whitespace().next().unwrap_or_default();
        if let Some(due) = row.missed {
            let grace = Length(Duration::from_secs(row.grace_seconds));
            let last = match row.last_run {
                Some(at) => format!("the last run began {}", shown(at)),
                None => "it never ran".to_owned(),
            };
            let late = context.now.duration_since(due).as_secs_f64();
            let message = format!(
                "was due {} and did not run within {grace}; {last}",
                shown(due)
            );
            report.find(
                Finding::new(MISSED, Severity::High, row.name.as_str(), message)
                    .measured(late, "s", row.grace_seconds as f64)
                    .hint(format!(
                        "systemctl status cron; empire-maint history --task {task}"
                    )),
            );
        } else if row.standing == Standing::Waiting {
            let due = row.next_due.map_or("never".to_owned(), shown);
            let message = format!("never ran so far; due {due}");
            report.find(Finding::new(
                WAITING,
                Severity::Info,
                row.name.as_str(),
                message,
            ));
        }
    }
    let overdue = number(rows, Standing::Overdue);
    report.measure("schedule_overdue", overdue as f64, "", []);
}

fn number(rows: &[Row], standing: Standing) -> usize {
    rows.iter().filter(|row| row.standing == standing).count()
}

fn summary(rows: &[Row]) -> String {
    let parts: Vec<_> = [
        Standing::Overdue,
        Standing::Failing,
        Standing::Fine,
        Standing::Waiting,
        Standing::Idle,
        Standing::Off,
        Standing::Manual,
    ]
    .into_iter()
    .map(|standing| (number(rows, standing), standing.word()))
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    format!(
        "{} of the plan: {}",
        units::count(rows.len() as u64, "line"),
        parts.join(", ")
    )
}

/// The board; for `check`, only what somebody has to look at.
fn table(context: &Context, rows: &[Row], check: bool) -> Table {
    let mut table = Table {
        title: String::new(),
        columns: vec![
            "plan", "line", "command", "last run", "result", "next due", "standing",
        ],
        rows: Vec::new(),
    };
    for row in rows {
        let bad = matches!(row.standing, Standing::Overdue | Standing::Failing);
        if check && !bad {
            continue;
        }
        let ago = row
            .last_run
            .and_then(|at| Duration::try_from(context.now.duration_since(at)).ok());
        let word = match &row.reason {
            Some(reason) => format!("{}: {reason}", row.standing.word()),
            None => row.standing.word().to_owned(),
        };
        table.rows.push(vec![
            Cell::Text(row.section.clone()),
            Cell::Text(row.title.clone()),
            match &row.command {
                Some(command) => Cell::Text(command.clone()),
                None => Cell::Empty,
            },
            ago.map_or(Cell::Empty, Cell::Age),
            match &row.result {
                None => Cell::Empty,
                Some(result) if matches!(result.as_str(), "ok" | "warning" | "running") => {
                    Cell::Text(result.clone())
                }
                Some(result) => Cell::Bad(result.clone()),
            },
            match row.next_due {
                Some(due) => Cell::Text(
                    due.to_zoned(context.zone.clone())
                        .strftime("%a %Y-%m-%d %H:%M")
                        .to_string(),
                ),
                None => Cell::Empty,
            },
            if bad {
                Cell::Bad(word)
            } else {
                Cell::Text(word)
            },
        ]);
    }
    table
}

//! How every line of the plan stands on this server: the calendar joined with the journal.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::alert::{self, Incident};
use crate::calendar::{self, MISSED, Need, Past, Planned, Role, Standing};
use crate::context::Context;
use crate::journal::{self, LinePast};
use crate::report::{Finding, Reporter, Severity, TASK_FAILED};
use crate::sys::files;
use crate::text;
use crate::units::Length;

/// Finding id: a task that is due has never run so far, and nothing is wrong with that yet.
const WAITING: &str = "schedule.waiting";

/// A server that does not answer just now is still there, where its line has done its work within this time.
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// One line of the board.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Row {
    /// What `[schedule.at]` calls it.
    pub name: String,
    /// The plan's section.
    pub section: String,
    /// What it is for.
    pub title: String,
    /// The command line, where there is such a command.
    pub command: Option<String>,
    /// The rule in force.
    pub when: String,
    /// How it stands.
    pub standing: Standing,
    /// Why there is nothing to do.
    pub reason: Option<String>,
    /// When the last run of this line began.
    #[schemars(with = "Option<String>")]
    pub last_run: Option<Timestamp>,
    /// How it ended.
    pub result: Option<String>,
    /// When a run last ended with 0 or 1.
    #[schemars(with = "Option<String>")]
    pub last_success: Option<Timestamp>,
    /// The time that passed without a run.
    #[schemars(with = "Option<String>")]
    pub missed: Option<Timestamp>,
    /// When it is due next.
    #[schemars(with = "Option<String>")]
    pub next_due: Option<Timestamp>,
    /// How late it may begin, s.
    pub grace_seconds: u64,
    /// How long a run may take, s.
    pub limit_seconds: u64,
}

/// All lines, in the order of the plan; none where no run was ever written down.
pub fn rows(context: &Context, lines: &[Planned]) -> anyhow::Result<Board> {
    files::require_readable_directory(&context.state)?;
    let pasts = journal::line_pasts(&context.state, context.now)?;
    let first = journal::first_run(&context.state)?;
    let since = first.max(calendar::installed(context.now));
    let open = alert::incidents(&context.state);
    Ok(Board {
        rows: lines
            .iter()
            .map(|line| row(context, line, &pasts, since, &open))
            .collect(),
        journalled: first.is_some(),
    })
}

/// What [`rows`] returns.
pub struct Board {
    /// One a line.
    pub rows: Vec<Row>,
    /// False where no run was ever written down: as another user this may be another journal than that of the tasks.
    pub journalled: bool,
}

fn row(
    context: &Context,
    planned: &Planned,
    pasts: &[LinePast],
    since: Option<Timestamp>,
    open: &[Incident],
) -> Row {
    let Planned { line, when, role } = planned;
    let exists = *role != Role::Manual;
    let past = pasts.iter().find(|past| exists && line.name == past.line);
    let known = Past {
        answered: past.and_then(|past| past.answered),
        well: past.map(|past| past.result == "running" || matches!(past.exit_code, Some(0 | 1))),
        since,
    };
    let worked = past.and_then(|past| past.success);
    let is_recent = |at: Timestamp| context.now.duration_since(at) <= RECENT;
    let role = match role {
        Role::Idle(_) if line.need == Need::Redis && worked.is_some_and(is_recent) => &Role::Active,
        role => role,
    };
    let (standing, missed) = match role {
        Role::Manual => (Standing::Manual, None),
        Role::Off => (Standing::Off, None),
        Role::Idle(_) => (Standing::Idle, None),
        Role::Active => calendar::standing(when, line.grace, known, context.now, &context.zone),
    };
    // Tried in time, and somebody is told already why that came to nothing: not that it did not run.
    let (standing, missed) = match (missed, past) {
        (Some(due), Some(past)) if past.started_at >= due && is_told(open, line.name) => {
            (Standing::Failing, None)
        }
        _ => (standing, missed),
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

/// True while the failure or the death of a run of this line is an open alert that somebody hears of.
fn is_told(open: &[Incident], line: &str) -> bool {
    open.iter().any(|incident| {
        matches!(
            incident.finding.as_str(),
            TASK_FAILED | journal::INTERRUPTED
        ) && incident.subject == line
            && incident.severity >= Severity::Medium
    })
}

/// What is wrong becomes a finding; that all others were looked at is said too, so that their alerts end.
pub fn judge(context: &Context, report: &Reporter, rows: &[Row]) {
    let shown = |at: Timestamp| {
        let local = at.to_zoned(context.zone.clone());
        local.strftime("%Y-%m-%d %H:%M %:z").to_string()
    };
    for row in rows {
        report.examined(MISSED, row.name.as_str());
        let command = row.command.as_deref().unwrap_or_default();
        let task = command.split_whitespace().next().unwrap_or_default();
        if let Some(due) = row.missed {
            let grace = Length(Duration::from_secs(row.grace_seconds));
            let history = format!("empire-maint history --task {task}");
            // Who runs the others has run since: this one alone is left, and need not wait for its next turn.
            let others_ran = rows
                .iter()
                .any(|other| other.name != row.name && other.last_run > Some(due));
            let (message, hint) = match row.last_run {
                Some(at) if at >= due => (
                    format!(
                        "was due {}, began {} and {}",
                        shown(due),
                        shown(at),
                        what_became(context, row, task, at)
                    ),
                    history,
                ),
                last => {
                    let last = match last {
                        Some(at) => format!("the last run began {}", shown(at)),
                        None => "it never ran".to_owned(),
                    };
                    let message = format!(
                        "was due {} and did not run within {grace}; {last}",
                        shown(due)
                    );
                    let hint = match others_ran {
                        true => format!("empire-maint {command}"),
                        false => format!("systemctl status cron; {history}"),
                    };
                    (message, hint)
                }
            };
            let late = context.now.duration_since(due).as_secs_f64();
            report.find(
                Finding::new(MISSED, Severity::High, row.name.as_str(), message)
                    .measured(late, "s", row.grace_seconds as f64)
                    .hint(hint),
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
    let overdue = rows.iter().filter(|row| row.standing == Standing::Overdue);
    report.measure("schedule_overdue", overdue.count() as f64, "", []);
}

/// How the last run ended, which is no run that did its work, with its own words.
fn what_became(context: &Context, row: &Row, task: &str, began: Timestamp) -> String {
    let killed = row.result.as_deref() == Some("interrupted");
    if killed {
        return "was killed".to_owned();
    }
    let filter = journal::Filter {
        task: Some(task.to_owned()),
        since: Some(began),
        most: 100,
        ..journal::Filter::default()
    };
    let runs = journal::runs(&context.state, &filter).unwrap_or_default();
    let run = runs.into_iter().find(|run| run.started_at == began);
    match run.and_then(|run| run.summary) {
        Some(why) => format!("could not start: {}", text::shorten(&why, 300)),
        None => "could not start".to_owned(),
    }
}

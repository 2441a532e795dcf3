//! `schedule show` and `schedule check`: every line of the plan with what the journal knows of it.

use std::time::Duration;

use super::Detail;
use crate::board::{self, Board, Row};
use crate::calendar::{Planned, Standing};
use crate::context::Context;
use crate::report::{Cell, Document, Reporter, Table};
use crate::units;

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    lines: &[Planned],
    check: bool,
) -> anyhow::Result<()> {
    let Board { rows, journalled } = board::rows(context, lines)?;
    if check {
        board::judge(context, report, &rows);
    }
    let table = table(context, &rows, check);
    if !table.rows.is_empty() {
        report.document(Document::Table(table));
    }
    let unknown = match journalled {
        true => String::new(),
        false => format!("; no run is written down in {}", context.state.display()),
    };
    report.summarise(format!("{}{unknown}", summary(&rows)));
    report.detail(&Detail {
        lines: rows,
        text: None,
        units: Vec::new(),
    })
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

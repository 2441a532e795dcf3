//! `jobs`: did every task of the schedule run when it was due?

use super::scene::{Looked, Scene};
use crate::board;
use crate::calendar::Standing;
use crate::context::Context;
use crate::report::Reporter;
use crate::units;

/// Joins the calendar with the journal, as `schedule check` does; but this one alerts.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let board = board::rows(context, &scene.here.lines(&context.commands))?;
    if !board.journalled {
        return Ok(Looked::Nothing("no run is written down yet".into()));
    }
    board::judge(context, report, &board.rows);
    let named = |standing: Standing| -> Vec<&str> {
        let rows = board.rows.iter();
        let those = rows.filter(|row| row.standing == standing);
        those.map(|row| row.name.as_str()).collect()
    };
    let mut told = format!(
        "{} ran when due",
        units::count(named(Standing::Fine).len() as u64, "task")
    );
    for standing in [Standing::Failing, Standing::Overdue] {
        let names = named(standing);
        if !names.is_empty() {
            told += &format!("; {}: {}", standing.word(), names.join(", "));
        }
    }
    Ok(Looked::At(told))
}

//! What people read of a run.

use crate::optimize::{CORRUPT, FAILED, FOREIGN_KEYS, Outcome, State};
use crate::report::{Cell, Reporter, Table};
use crate::sqlite::Tree;
use crate::units::{self, Bytes, Length};

/// So many are shown; the report's data has them all.
const LARGEST: usize = 10;

pub(super) fn table(outcomes: &[Outcome]) -> Table {
    let row = |outcome: &Outcome| {
        let (before, after) = (outcome.before.as_ref(), outcome.after.as_ref());
        let bytes = |state: Option<&State>| {
            state.map_or(Cell::Empty, |state| Cell::Bytes(state.size_bytes))
        };
        let free = |state: Option<&State>| {
            state.map_or(Cell::Empty, |state| Cell::Percent(state.free_percent))
        };
        let query = |state: Option<&State>| {
            state.map_or(Cell::Empty, |state| {
                Cell::Text(format!("{:.1} ms", state.query_ms))
            })
        };
        vec![
            Cell::Text(outcome.database.clone()),
            match outcome.sound {
                true => Cell::Text("sound".to_owned()),
                false => Cell::Bad("NOT SOUND".to_owned()),
            },
            bytes(before),
            bytes(after),
            free(before),
            free(after),
            query(before),
            query(after),
            Cell::Text(Length::from_millis(outcome.longest_lock_ms).to_string()),
        ]
    };
    Table {
        title: String::new(),
        columns: vec![
            "database",
            "verdict",
            "size",
            "after",
            "free",
            "after",
            "rows counted in",
            "after",
            "writers held",
        ],
        rows: outcomes.iter().map(row).collect(),
    }
}

/// The largest tables and indexes of one database, as they are now.
pub(super) fn trees(outcome: &Outcome) -> Option<Table> {
    let state = outcome.after.as_ref().or(outcome.before.as_ref())?;
    let size = state.layout.page_size;
    let mut largest: Vec<_> = state.layout.trees.iter().collect();
    largest.sort_by_key(|tree| std::cmp::Reverse(tree.pages));
    let row = |tree: &&Tree| {
        vec![
            Cell::Text(tree.name.clone()),
            match tree.index {
                true => Cell::Text(format!("index of {}", tree.table)),
                false => Cell::Text("table".to_owned()),
            },
            Cell::Bytes(tree.pages * size),
            Cell::Percent(tree.unused_percent(size)),
            Cell::Percent(tree.fragmented_percent),
        ]
    };
    Some(Table {
        title: outcome.database.clone(),
        columns: vec!["name", "is", "size", "unused", "fragmented"],
        rows: largest.iter().take(LARGEST).map(row).collect(),
    })
}

pub(super) fn summary(outcomes: &[Outcome], report: &Reporter) -> String {
    let report = report.snapshot();
    let number = |ids: &[&str]| {
        let of = |id: &&str| {
            report
                .findings
                .iter()
                .filter(|finding| finding.id == *id)
                .count()
        };
        ids.iter().map(of).sum::<usize>()
    };
    let sound = outcomes.iter().filter(|outcome| outcome.sound).count();
    let mut text = format!("{} sound", units::count(sound as u64, "database"));
    if report.dry_run {
        text += ", would do what is listed";
    } else {
        let freed: u64 = outcomes
            .iter()
            .filter_map(|outcome| {
                Some(
                    outcome
                        .before
                        .as_ref()?
                        .size_bytes
                        .saturating_sub(outcome.after.as_ref()?.size_bytes),
                )
            })
            .sum();
        let steps = report
            .actions
            .iter()
            .filter(|action| {
                action.outcome == crate::report::Outcome::Done && action.kind != "sweep"
            })
            .count();
        text += &format!(
            ", {} done, {} freed",
            units::count(steps as u64, "step"),
            Bytes(freed)
        );
        let longest = outcomes
            .iter()
            .map(|outcome| outcome.longest_lock_ms)
            .max()
            .unwrap_or(0);
        if longest > 0 {
            text += &format!(", writers held {} at most", Length::from_millis(longest));
        }
    }
    for (ids, word) in [
        (&[FAILED] as &[_], "FAILED"),
        (&[CORRUPT, FOREIGN_KEYS], "NOT SOUND"),
    ] {
        let number = number(ids);
        if number > 0 {
            text = format!("{number} {word}, {text}");
        }
    }
    text
}

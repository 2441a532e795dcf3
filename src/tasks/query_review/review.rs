//! One database: its log of queries, their plans, its indices and statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::log::{self, Group, Log, Place};
use super::reviewed::{LogDetail, Missing, NeedlessIndex, Reviewed, Slow, Stale, Statistics};
use super::tell;
use crate::archive::Source;
use crate::config::sections::QueryReview;
use crate::queries::{
    self, Advice, Copy, Explainer, FEW, Hidden, Index, Plan, Step, advise, believed_rows, indices,
    might_use, needless, together,
};
use crate::report::Reporter;
use crate::sqlite;
use crate::sys::Stop;

const PATIENCE: Duration = Duration::from_secs(5);
/// Slow shapes that indices are tried for, those that take most time.
const TRIED: usize = 100;
/// What is said of a query that is not whole.
const CUT: &str = "it is too long, or a quote in it is never closed";
/// Fewer logged queries than this say nothing about an index that none of them uses.
const EVIDENCE: u64 = 1_000;

/// Looks at one database.
pub fn database(
    source: &Source,
    place: &Place,
    settings: &QueryReview,
    stop: &Stop,
    report: &Reporter,
) -> anyhow::Result<Reviewed> {
    let (path, name) = (source.path.as_path(), source.name.as_str());
    let wrong = |error| sqlite::explain(error, path, stop);
    let live = sqlite::open_readonly(path, stop, PATIENCE)?;
    sqlite::require_tables(&live, path, &[], stop)?;
    let rows = sqlite::row_counts(&live).map_err(wrong)?;
    let existing = indices(&live).map_err(wrong)?;
    let believed = believed_rows(&live).map_err(wrong)?;
    let copy = Copy::of(&live, rows.clone(), path, stop)?;
    let log = log::read(&live, place, &copy, path, stop)?;
    tell::say_about_log(&log, source, settings, report);
    let log = log.ok();
    let mut hidden = Hidden::of(&live).map_err(wrong)?;
    let groups = log.iter().flat_map(|log| log.groups.values());
    for sql in groups.flat_map(Group::examples) {
        hidden.note(sql);
    }
    let needless_ones = needless(&existing)
        .iter()
        .filter(|one| !hidden.names(&one.index.name))
        .map(NeedlessIndex::of)
        .collect();
    let mut reviewed = Reviewed {
        database: name.to_owned(),
        log: log.as_ref().map(|log| detail(log, place)),
        slow: Vec::new(),
        not_tried: 0,
        missing_indices: Vec::new(),
        needless_indices: needless_ones,
        unused_indices: None,
        statistics: statistics(&rows, &believed, &existing),
        not_copied: copy.left_out.clone(),
    };
    if let Some(log) = &log {
        let explainer = Explainer::live(path, stop, PATIENCE)?;
        let ask = |sql: &str| explainer.explain(sql).or_else(|_| copy.explain(sql));
        let slow = log.slow();
        let mut asked = Vec::new();
        for (id, group) in &slow {
            stop.check()?;
            let plan = plan(group, &ask, &explainer);
            reviewed.slow.push(Slow::of(id, group, plan, &copy));
            if asked.len() < TRIED {
                let found = advise(&copy, &live, &existing, &group.example).map_err(wrong)?;
                asked.push((group.example.clone(), found));
            }
        }
        reviewed.not_tried = slow.len() - asked.len();
        let advice = together(&copy, &live, &asked).map_err(wrong)?;
        reviewed.missing_indices = advice
            .iter()
            .map(|one| Missing::of(one, &reviewed.slow))
            .collect();
        let seen = Seen {
            log,
            copy: &copy,
            hidden: &hidden,
            needless: &reviewed.needless_indices,
        };
        reviewed.unused_indices = seen.unused(&existing, &ask, stop)?;
    }
    tell::tell(&reviewed, source, place, settings, report);
    Ok(reviewed)
}

/// The plan of the slowest query of its kind; of a SELECT on the database itself, of a change on the copy. Where it cannot be had,
/// that of the shape: what is said about that holds no values.
fn plan(
    group: &Group,
    ask: &dyn Fn(&str) -> Result<Plan, String>,
    explainer: &Explainer,
) -> Result<Plan, String> {
    ask(&group.example).or_else(|_| {
        if group.text.ends_with('…') {
            return Err(CUT.to_owned());
        }
        ask(&group.text).map_err(|_| {
            let why = explainer.explain(&group.text);
            why.err().unwrap_or_default()
        })
    })
}

impl Slow {
    fn of(id: &str, group: &Group, plan: Result<Plan, String>, copy: &Copy) -> Self {
        let (plan, not_explained) = match plan {
            Ok(plan) => (plan, None),
            Err(why) => (Plan::default(), Some(why)),
        };
        Self {
            id: id.to_owned(),
            query: group.text.clone(),
            count: group.slow.count,
            total_ms: group.slow.total,
            p50_ms: group.slow.percentile(50),
            p95_ms: group.slow.percentile(95),
            max_ms: group.slow.max,
            problems: problems(&plan, copy),
            plan: plan.details,
            not_explained,
        }
    }
}

/// What takes time in a plan. Reading all of a small table does not.
fn problems(plan: &Plan, copy: &Copy) -> Vec<String> {
    let mut found = Vec::new();
    for step in &plan.steps {
        let problem = match step {
            Step::Scan { table, index } => match copy.rows(table) {
                Some(rows) if rows < FEW => continue,
                rows => {
                    let rows = rows.map_or(String::new(), |rows| format!(" ({rows} rows)"));
                    let by = index
                        .as_ref()
                        .map_or(String::new(), |index| format!(" by index {index}"));
                    format!("full scan of {table}{rows}{by}")
                }
            },
            Step::Sort { what } => format!("temporary b-tree for {what}"),
            Step::Automatic { table } => format!("an index on {table} made for each run"),
            Step::Search { .. } | Step::Other => continue,
        };
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    found
}

impl Missing {
    fn of(advice: &Advice, slow: &[Slow]) -> Self {
        let takers = || advice.queries.iter().filter_map(|at| slow.get(*at));
        Self {
            table: advice.index.table.clone(),
            columns: advice
                .index
                .keys
                .iter()
                .map(|key| key.column.clone())
                .collect(),
            sql: advice.sql.clone(),
            queries: takers().map(|query| query.id.clone()).collect(),
            total_ms: takers().map(|query| query.total_ms).sum(),
        }
    }
}

impl NeedlessIndex {
    fn of(one: &queries::Needless<'_>) -> Self {
        Self {
            index: one.index.name.clone(),
            table: one.index.table.clone(),
            by: one.by.name.clone(),
            same: one.same,
        }
    }
}

/// What says which indices are used.
struct Seen<'a> {
    log: &'a Log,
    copy: &'a Copy,
    hidden: &'a Hidden,
    needless: &'a [NeedlessIndex],
}

impl Seen<'_> {
    /// Indices that none of the logged queries uses. Only a log that has quick queries too, and many, says anything about that; and
    /// an index that keeps rows apart, serves a foreign key or a trigger, or is to replace another has work that no query shows.
    fn unused(
        &self,
        existing: &[Index],
        ask: &dyn Fn(&str) -> Result<Plan, String>,
        stop: &Stop,
    ) -> anyhow::Result<Option<Vec<String>>> {
        let log = self.log;
        let quick = log.rows > log.slow_count();
        if log.rows < EVIDENCE || !quick || log.overflowed || log.too_long > 0 {
            return Ok(None);
        }
        let mut used = BTreeSet::new();
        for group in log.groups.values() {
            stop.check()?;
            for sql in group.examples() {
                let (plan, whole) = match ask(sql) {
                    Ok(plan) => (plan, true),
                    Err(_) => match ask(&group.text) {
                        Ok(plan) => (plan, false),
                        // What cannot be explained may use anything.
                        Err(_) => return Ok(None),
                    },
                };
                used.extend(plan.indices().map(str::to_owned));
                if group.varies || !whole {
                    let might = existing
                        .iter()
                        .filter(|index| might_use(self.copy, &plan, index, sql));
                    used.extend(might.map(|index| index.name.clone()));
                }
            }
        }
        let serves = |index: &Index| {
            index.unique
                || index.serves_a_key
                || self.hidden.touches(&index.table)
                || self.hidden.names(&index.name)
                || self
                    .needless
                    .iter()
                    .any(|one| one.index == index.name || one.by == index.name)
        };
        let idle = existing
            .iter()
            .filter(|index| index.created && !used.contains(&index.name) && !serves(index));
        Ok(Some(idle.map(|index| index.name.clone()).collect()))
    }
}

fn statistics(
    rows: &BTreeMap<String, u64>,
    believed: &BTreeMap<String, u64>,
    existing: &[Index],
) -> Statistics {
    let indexed: BTreeSet<&str> = existing.iter().map(|index| index.table.as_str()).collect();
    let mut found = Statistics {
        present: !believed.is_empty(),
        missing: Vec::new(),
        stale: Vec::new(),
    };
    for (table, rows) in rows {
        match believed.get(table) {
            None if *rows >= FEW && indexed.contains(table.as_str()) => {
                found.missing.push(table.clone());
            }
            Some(believed)
                if (*rows).max(*believed) >= FEW && sqlite::is_stale(*rows, *believed) =>
            {
                found.stale.push(Stale {
                    table: table.clone(),
                    rows: *rows,
                    believed: *believed,
                });
            }
            _ => {}
        }
    }
    found
}

fn detail(log: &Log, place: &Place) -> LogDetail {
    LogDetail {
        table: log.table.clone(),
        rows: log.rows,
        since: log.format.is_some().then_some(place.since),
        time_format: log.format.map(|format| format.to_string()),
        slow: log.slow_count(),
        slow_shapes: log.slow().len(),
        unreadable: log.unreadable,
        too_long: log.too_long,
    }
}

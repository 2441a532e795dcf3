//! What of a review needs a person: findings and figures.

use std::time::Duration;

use super::log::{Absent, Log, Place};
use super::reviewed::Reviewed;
use crate::archive::Source;
use crate::config::sections::QueryReview;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::quote;
use crate::sys::process::shell_path;
use crate::text::shorten;
use crate::units::{self, Length};

const SLOW: &str = "query.slow";
const NO_LOG: &str = "query.no-log";
const LOG: &str = "query.log";
const MISSING: &str = "query.index-missing";
const NEEDLESS: &str = "query.index-needless";
const UNUSED: &str = "query.index-unused";
const STATISTICS: &str = "query.statistics";

/// Says what was looked for in all databases: what a log or a part of it does not show is not known to be gone.
pub fn examined(all: &[Reviewed], report: &Reporter) {
    report.examined_all(NEEDLESS);
    if all.iter().all(|one| one.unused_indices.is_some()) {
        report.examined_all(UNUSED);
    }
    if all
        .iter()
        .all(|one| one.log.is_some() && one.not_tried == 0)
    {
        report.examined_all(MISSING);
    }
}

/// What there is to say about the log itself.
pub fn say_about_log(
    log: &Result<Log, Absent>,
    source: &Source,
    settings: &QueryReview,
    report: &Reporter,
) {
    let name = source.name.as_str();
    for id in [NO_LOG, LOG] {
        report.examined(id, name);
    }
    let low = |message: String, hint: &str| {
        report.find(Finding::new(LOG, Severity::Low, name, message).hint(hint));
    };
    match log {
        Err(Absent::NoTable) => report.find(
            Finding::new(
                NO_LOG,
                Severity::Info,
                name,
                format!("{name} has no table {}: which queries are slow is not known", settings.table),
            )
            .hint("let the application write its queries down; [query_review] names table and columns"),
        ),
        Err(Absent::Unfit(why)) => low(why.clone(), "[query_review] names table and columns"),
        Ok(log) => {
            if let Some(doubt) = &log.doubt {
                low(
                    format!("all of {} was looked at, however old: {doubt}", log.table),
                    "[query_review] time_column",
                );
            }
            if log.unreadable + log.too_long > 0 {
                low(
                    format!(
                        "{} of {} in {} could not be read: {} without a query or a number of milliseconds that a query can take, {} too long",
                        log.unreadable + log.too_long,
                        units::count(log.rows, "entry"),
                        log.table,
                        log.unreadable,
                        log.too_long
                    ),
                    "[query_review] query_column, duration_column",
                );
            }
        }
    }
}

/// Slow queries, and what is wrong with indices and statistics.
pub fn tell(
    reviewed: &Reviewed,
    source: &Source,
    place: &Place,
    settings: &QueryReview,
    report: &Reporter,
) {
    let name = reviewed.database.as_str();
    let label = [("database", name)];
    if let Some(log) = &reviewed.log {
        report.examined(SLOW, name);
        report.measure("query_slow", log.slow as f64, "", label);
        report.measure("query_slow_shapes", log.slow_shapes as f64, "", label);
        if let Some(worst) = reviewed.slow.first() {
            let most = reviewed
                .slow
                .iter()
                .map(|query| query.max_ms)
                .fold(0.0, f64::max);
            let when = match log.since {
                Some(_) => format!(" in the last {}", settings.period),
                None => String::new(),
            };
            let plan = match worst.problems.is_empty() {
                true => String::new(),
                false => format!("; {}", worst.problems.join(", ")),
            };
            report.find(
                Finding::new(
                    SLOW,
                    Severity::Medium,
                    name,
                    format!(
                        "{} of {}{when} took up to {most:.0} ms (limit {:.0} ms); most time: {} ({} times, p95 {:.0} ms{plan})",
                        units::count(log.slow, "query"),
                        units::count(log.slow_shapes as u64, "shape"),
                        place.slow_ms,
                        shorten(&worst.query, 160),
                        worst.count,
                        worst.p95_ms
                    ),
                )
                .measured(most, "ms", place.slow_ms)
                .hint("empire-maint query-review shows each with its plan"),
            );
        }
    }
    for one in &reviewed.missing_indices {
        report.find(
            Finding::new(
                MISSING,
                Severity::Low,
                format!("{name}: {}({})", one.table, one.columns.join(", ")),
                format!(
                    "an index on {}({}) would serve {} that took {}: SQLite's planner takes it on a copy of the schema",
                    one.table,
                    one.columns.join(", "),
                    units::count(one.queries.len() as u64, "slow query"),
                    Length(Duration::from_secs_f64(one.total_ms / 1000.0))
                ),
            )
            .hint(format!("in a quiet minute, since writers wait for it: {};", one.sql)),
        );
    }
    for one in &reviewed.needless_indices {
        let how = if one.same {
            "has the same columns"
        } else {
            "begins with its columns"
        };
        report.find(
            Finding::new(
                NEEDLESS,
                Severity::Low,
                format!("{name}: {}", one.index),
                format!(
                    "the index {} of {} is needless: {} {how}",
                    one.index, one.table, one.by
                ),
            )
            .hint(format!("DROP INDEX {};", quote(&one.index))),
        );
    }
    let queries = reviewed.log.as_ref().map_or(0, |log| log.rows);
    for index in reviewed.unused_indices.iter().flatten() {
        report.find(
            Finding::new(
                UNUSED,
                Severity::Low,
                format!("{name}: {index}"),
                format!(
                    "none of {} uses the index {index}, and every write keeps it up",
                    units::count(queries, "logged query")
                ),
            )
            .hint(format!(
                "is it there for something rare? else: DROP INDEX {};",
                quote(index)
            )),
        );
    }
    tell_statistics(reviewed, source, report);
}

fn tell_statistics(reviewed: &Reviewed, source: &Source, report: &Reporter) {
    let (name, found) = (reviewed.database.as_str(), &reviewed.statistics);
    report.examined(STATISTICS, name);
    let message = if let Some(first) = found.stale.first() {
        format!(
            "the planner's statistics are stale for {}: {} has {} rows, they say {}",
            units::count(found.stale.len() as u64, "table"),
            first.table,
            first.rows,
            first.believed
        )
    } else if !found.missing.is_empty() {
        format!(
            "the planner has no statistics for {}",
            found.missing.join(", ")
        )
    } else {
        return;
    };
    report.find(
        Finding::new(STATISTICS, Severity::Low, name, message).hint(format!(
            "empire-maint optimize-db, or: sqlite3 {} 'PRAGMA analysis_limit=1000; ANALYZE'",
            shell_path(&source.path)
        )),
    );
}

//! `database`: can each database be opened and read, how fast, and how does it grow? Read-only, through SQLite, as it is.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::scene::{Looked, Scene};
use crate::archive::Source;
use crate::context::Context;
use crate::error;
use crate::journal::{self, Sample};
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite;
use crate::sys::process::shell_path;
use crate::sys::{files, machine};
use crate::units::{self, Bytes};

const UNREADABLE: &str = "database.unreadable";
const SLOW: &str = "database.slow";
const WAL: &str = "database.wal";
const PATIENCE: Duration = Duration::from_secs(5);
const DAY: f64 = 86_400.0;

/// Looks at each; one that cannot be read stops no other.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let mut told = Vec::new();
    let mut unseen = Ok(());
    for source in &scene.store.databases {
        if !scene.expects(source, context)? {
            continue; // the plan's own layout, which this server need not have
        }
        match one(scene, context, report, source) {
            Ok(words) => told.push(words),
            Err(error) if error::ends_the_run(&error) => return Err(error),
            Err(error) => unseen = Err(error),
        }
    }
    unseen?;
    Ok(match told.is_empty() {
        true => Looked::Nothing("there is no database at the default paths".into()),
        false => Looked::At(told.join("; ")),
    })
}

/// One database: figures, findings, and a few words.
fn one(
    scene: &Scene,
    context: &Context,
    report: &Reporter,
    source: &Source,
) -> anyhow::Result<String> {
    let name = source.name.as_str();
    let there = look_at(&source.path)?;
    for id in [UNREADABLE, SLOW, WAL] {
        report.examined(id, name);
    }
    let label = [("database", name)];
    if let Err(error) = there {
        report.find(
            Finding::new(UNREADABLE, Severity::Critical, name, error.to_string())
                .hint(format!("namei -l {}", shell_path(&source.path))),
        );
        return Ok(format!("{name} cannot be looked at"));
    }
    let [wal, ..] = sqlite::side_files(&source.path);
    let wal = files::metadata(&wal)?.map_or(0, |meta| meta.len());
    report.measure("database_wal_bytes", wal as f64, "bytes", label);
    if wal > scene.limits.max_wal.0 {
        report.find(
            Finding::new(
                WAL,
                Severity::Medium,
                name,
                format!(
                    "the write-ahead log of {name} has {} (limit {}): a reader that never ends, or no checkpoints",
                    Bytes(wal),
                    scene.limits.max_wal
                ),
            )
            .measured(wal as f64, "bytes", scene.limits.max_wal.0 as f64)
            .hint(format!("fuser -v {}", shell_path(&source.path))),
        );
    }
    let facts = match ask(source, context) {
        Ok(facts) => facts,
        Err(error) if error::ends_the_run(&error) => return Err(error),
        Err(error) => {
            report.find(Finding::of_error(
                UNREADABLE,
                Severity::Critical,
                name,
                &error,
            ));
            return Ok(format!("{name} cannot be read"));
        }
    };
    let took = facts.took.as_secs_f64() * 1000.0;
    report.measure("database_query_ms", took, "ms", label);
    report.measure("database_size_bytes", facts.size as f64, "bytes", label);
    report.measure("database_free_percent", facts.free_percent, "%", label);
    if let Some((severity, limit)) = scene.limits.database_query_ms.judge(took) {
        report.find(
            Finding::new(
                SLOW,
                severity,
                name,
                format!("{name} takes {took:.0} ms to open and read (limit {limit:.0} ms)"),
            )
            .measured(took, "ms", limit)
            .hint("empire-maint health --check cpu,disk"),
        );
    }
    let mut told = format!(
        "{name} {} in {took:.0} ms, {:.0}% free pages",
        Bytes(facts.size),
        facts.free_percent
    );
    if let Some(growth) = growth(context, name, facts.size) {
        report.measure("database_growth_bytes_per_day", growth, "bytes", label);
        let amount = Bytes(growth.abs() as u64);
        told += &match growth < 0.0 {
            true => format!(", shrinks by {amount} a day"),
            false => format!(", grows by {amount} a day"),
        };
    }
    Ok(told)
}

/// An error inside where a link in a circle, or a mount that does not answer, is in the way of everybody. A file that only we may not
/// see or read says nothing about the database: that is a check that could not look.
fn look_at(path: &Path) -> anyhow::Result<io::Result<()>> {
    let closed = match files::metadata(path) {
        Ok(there) => there.is_some() && !files::may_read(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !machine::is_root() => {
            true
        }
        Err(error) => return Ok(Err(error)),
    };
    anyhow::ensure!(
        !closed,
        error::missing(format!("{} may not be read by this user", path.display()))
            .hint("run as root or as the application's user")
    );
    Ok(Ok(()))
}

struct Facts {
    took: Duration,
    size: u64,
    free_percent: f64,
}

/// Opens, and reads one row of each expected table: what every request of the application does first.
fn ask(source: &Source, context: &Context) -> anyhow::Result<Facts> {
    let (path, stop) = (&source.path, &context.stop);
    let started = Instant::now();
    let connection = sqlite::open_readonly(path, stop, PATIENCE)?;
    sqlite::require_tables(&connection, path, &source.expect_tables, stop)?;
    for table in &source.expect_tables {
        let sql = format!("SELECT * FROM main.{} LIMIT 1", sqlite::quote(table));
        connection
            .prepare(&sql)
            .and_then(|mut statement| Ok(statement.query([])?.next()?.is_some()))
            .map_err(|error| sqlite::explain(error, path, stop))?;
    }
    let took = started.elapsed();
    let number = |pragma: &str| -> anyhow::Result<u64> {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0))
            .map(|number| u64::try_from(number).unwrap_or(0))
            .map_err(|error| sqlite::explain(error, path, stop))
    };
    let pages = number("page_count")?;
    Ok(Facts {
        took,
        size: pages.saturating_mul(number("page_size")?),
        free_percent: units::percent(number("freelist_count")?, pages),
    })
}

/// Bytes a day since the oldest look of the last week; nothing before a day has passed.
fn growth(context: &Context, name: &str, size: u64) -> Option<f64> {
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let since = context.now.checked_sub(week).ok()?;
    let before = journal::samples(
        &context.state,
        "database_size_bytes",
        Some(("database", name)),
        since,
    )
    .ok()?;
    let Sample { at, value } = *before.first()?;
    let days = context.now.duration_since(at).as_secs_f64() / DAY;
    (days >= 1.0).then(|| (size as f64 - value) / days)
}

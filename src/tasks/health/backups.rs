//! `backups`: is there a good one of each database, young enough and of a likely size, and did the last attempt succeed?

use jiff::Timestamp;

use super::scene::{Looked, Scene};
use crate::archive::{self, Backup, Freshness};
use crate::context::Context;
use crate::error::Kind;
use crate::journal::{self, Run};
use crate::report::{Finding, Reporter, Severity, TASK_FAILED};
use crate::sys::files;
use crate::units::{self, Length};

const FAILED: &str = "backup.failed";

/// Looks at the catalogue of each database.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let folder = &scene.store.folder;
    files::require_readable_directory(folder)?;
    let now = context.now;
    let grace = scene.backup.max_age.0;
    let is_young = |since: Timestamp| now.duration_since(since).unsigned_abs() < grace;
    let installed = journal::first_run(&context.state)?.unwrap_or(now);
    let attempts = journal::runs(
        &context.state,
        &journal::Filter {
            task: Some("backup".into()),
            until: Some(now),
            most: 50,
            ..journal::Filter::default()
        },
    )?;
    let mut oldest = None;
    let mut looked = 0;
    for source in &scene.store.databases {
        let series = source.name.as_str();
        let all = archive::catalogue(folder, series, context.moment())?;
        if all.is_empty() && !scene.expects(source, context)? {
            continue;
        }
        looked += 1;
        // One that is new in the configuration waits for its first night, as a whole installation does.
        let known = match is_young(installed) || all.iter().any(Backup::is_good) {
            true => installed,
            false => journal::first_about(&context.state, series, now)?.unwrap_or(now),
        };
        let key = journal::published_key(series);
        let published = journal::recall(&context.state, "backup", &key)?.is_some();
        let failed = last_failure(&attempts, series, &all, known);
        report.examined(FAILED, series);
        if let Some((at, why)) = &failed {
            report.find(
                Finding::new(
                    FAILED,
                    Severity::High,
                    series,
                    format!(
                        "the last attempt to back up {series} failed ({}): {why}",
                        units::shown(*at, &context.zone)
                    ),
                )
                .hint("empire-maint history --task backup --findings"),
            );
        }
        let age = Freshness {
            folder,
            series,
            all: &all,
            max_age: scene.backup.max_age,
            now: context.moment(),
            new_here: is_young(known) && !published && failed.is_none(),
        }
        .judge(report)?;
        if let Some(age) = age {
            let label = [("database", series)];
            report.measure("backup_age_seconds", age.as_secs_f64(), "s", label);
        }
        oldest = oldest.max(age);
        if let [newest, before @ ..] = all.as_slice() {
            archive::judge_size(report, series, &newest.name.stem, newest.size, before);
        }
    }
    if looked == 0 {
        return Ok(Looked::Nothing("there is no database to back up".into()));
    }
    let seen = units::count(looked, "database");
    Ok(Looked::At(match oldest {
        Some(age) => format!("{seen}, the newest backup at most {} old", Length(age)),
        None => format!("{seen}, no good backup"),
    }))
}

/// When and why the last attempt failed, if nothing good came after it: of the runs that were about all that there is, or that name
/// the database. A lock that somebody else held and a typing slip are no failures, and what failed before the database was `known`
/// was none of its own.
fn last_failure(
    attempts: &[Run],
    series: &str,
    all: &[Backup],
    known: Timestamp,
) -> Option<(Timestamp, String)> {
    let good = all
        .iter()
        .find(|backup| backup.is_good())
        .map(Backup::created_at);
    let is_whole = |run: &Run| run.line.as_deref() == Some("backup");
    attempts
        .iter()
        .filter(|run| !run.dry_run && good.is_none_or(|good| run.started_at > good))
        .take_while(|run| !is_whole(run) || !matches!(run.exit_code, Some(0 | 1)))
        .find_map(|run| {
            let of_all = is_whole(run) && run.started_at >= known;
            if run.state == "interrupted" {
                return of_all.then(|| (run.started_at, "it was killed".to_owned()));
            }
            let told = run.findings.iter().find(|finding| {
                let own = finding.id == FAILED && finding.subject == series;
                let whole = finding.id == TASK_FAILED && finding.severity != "low";
                own || whole && of_all && run.failed != Some(Kind::Usage)
            })?;
            Some((run.started_at, told.message.clone()))
        })
}

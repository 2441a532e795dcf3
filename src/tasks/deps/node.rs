//! The Node that runs here: until when it gets fixes, and whether it is the one that the packages want.

use std::time::Duration;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use super::Task;
use crate::context::Context;
use crate::npm::{Lock, Version, satisfies};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process;
use crate::text;

const END_OF_LIFE: &str = "deps.node-eol";
const ENGINES: &str = "deps.engines";
const SUBJECT: &str = "node";
/// From so many days before the end on it is worth planning.
const SOON: i64 = 90;

/// When the release lines of Node end, by their own schedule.
const ENDS: &[(u64, &str)] = &[
    (10, "2021-04-30"),
    (11, "2019-06-01"),
    (12, "2022-04-30"),
    (13, "2020-06-01"),
    (14, "2023-04-30"),
    (15, "2021-06-01"),
    (16, "2023-09-11"),
    (17, "2022-06-01"),
    (18, "2025-04-30"),
    (19, "2023-06-01"),
    (20, "2026-04-30"),
    (21, "2024-06-01"),
    (22, "2027-04-30"),
    (23, "2025-06-01"),
    (24, "2028-04-30"),
    (25, "2026-06-01"),
];

/// The Node that runs here.
#[derive(Serialize, JsonSchema)]
pub(super) struct Runtime {
    /// What `node --version` says.
    version: String,
    /// The last day with fixes, where it is known.
    end_of_life: Option<String>,
    /// Packages that want another one.
    refused_by: Vec<String>,
}

/// Without a `lock` only the project itself is asked. `None` where there is no Node to ask: the package manager will say that more
/// clearly.
pub(super) fn judge(
    task: &Task,
    context: &Context,
    report: &Reporter,
    lock: Option<&Lock>,
) -> anyhow::Result<Option<Runtime>> {
    let mut command = task.project.command("node", &task.project.path)?;
    command.arg("--version");
    let Ok(output) = process::run(command, Duration::from_secs(30), &context.stop) else {
        context.stop.check()?;
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Some(version) = Version::parse(&text) else {
        return Ok(None);
    };
    let today = context.now.to_zoned(context.zone.clone()).date();
    let end = end_of_life(&version, task.deps.node_end_of_life.as_deref());
    report.examined(END_OF_LIFE, SUBJECT);
    if let Some(finding) = end.and_then(|end| ending(&text, end, today)) {
        report.find(finding);
    }
    let refused_by = refused_by(task, lock, &version)?;
    if lock.is_some() {
        report.examined(ENGINES, SUBJECT);
    }
    if !refused_by.is_empty() {
        let message = format!("{text} is not what is wanted by {}", refused_by.join(", "));
        report.find(
            Finding::new(
                ENGINES,
                Severity::Medium,
                SUBJECT,
                text::shorten(&text::clean(&message), 500),
            )
            .hint("install a Node that fits, or versions of the packages that fit this one"),
        );
    }
    Ok(Some(Runtime {
        version: text,
        end_of_life: end.map(|end| end.to_string()),
        refused_by,
    }))
}

fn end_of_life(version: &Version, configured: Option<&str>) -> Option<Date> {
    let known = ENDS
        .iter()
        .find(|(major, _)| *major == version.major())
        .map(|(_, end)| *end);
    match version.major() {
        ..10 => Some("2020-12-31"),
        _ => known.or(configured),
    }?
    .parse()
    .ok()
}

fn ending(version: &str, end: Date, today: Date) -> Option<Finding> {
    let left = (end - today).get_days();
    let left = i64::from(left);
    let (severity, message) = match left {
        ..0 => (
            Severity::Medium,
            format!("node {version} has had no fixes since {end}"),
        ),
        0..=SOON => (
            Severity::Low,
            format!("node {version} gets no fixes after {end}, in {left} days (limit {SOON})"),
        ),
        _ => return None,
    };
    Some(
        Finding::new(END_OF_LIFE, severity, SUBJECT, message)
            .measured(left as f64, "d", SOON as f64)
            .hint("plan the step to the next release with long support"),
    )
}

/// The project itself first, then its packages.
fn refused_by(task: &Task, lock: Option<&Lock>, version: &Version) -> anyhow::Result<Vec<String>> {
    let package = task.project.package()?;
    let own = package["engines"]["node"].as_str();
    let own = own.map(|range| ("the project itself".to_owned(), range.to_owned()));
    let others = lock
        .into_iter()
        .flat_map(|lock| &lock.packages)
        .filter_map(|one| Some((format!("{} {}", one.name, one.version), one.node.clone()?)));
    Ok(own
        .into_iter()
        .chain(others)
        .filter(|(_, range)| satisfies(version, range) == Some(false))
        .map(|(who, range)| format!("{who} ({range})"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_on_its_day() {
        let version = Version::parse("v20.20.2").expect("a version");
        let end = end_of_life(&version, None).expect("known");
        let at = |today: &str| {
            ending("v20", end, today.parse().expect("a date")).map(|one| one.severity)
        };
        assert_eq!(at("2026-01-29"), None);
        assert_eq!(at("2026-01-30"), Some(Severity::Low));
        assert_eq!(at("2026-04-30"), Some(Severity::Low));
        assert_eq!(at("2026-05-01"), Some(Severity::Medium));
        let future = Version::parse("v99.0.0").expect("a version");
        assert_eq!(end_of_life(&future, None), None);
        assert!(end_of_life(&future, Some("2031-04-30")).is_some());
        let old = Version::parse("v0.12.0").expect("a version");
        assert!(end_of_life(&old, Some("2031-04-30")).is_some_and(|end| end.year() == 2020));
    }
}

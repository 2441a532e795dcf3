//! `access-log`: who asked for what in the last week, and how it was answered; rotated logs too. The status is the field of that
//! name: 401 in a byte count or a path is no refusal.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process::{shell_path, shell_word};
use crate::sys::{files, machine};
use crate::text::{clean, shorten};
use crate::units;
use crate::weblog::{self, Address, Endpoint, Row, Survey};

const MISSING: &str = "log.missing";
pub(super) const UNPARSED: &str = "log.unparsed";
pub(super) const SKIPPED: &str = "log.skipped";
pub(super) const STALE: &str = "log.stale";
const DENIED: &str = "access.denied";
const ERRORS: &str = "access.errors";
const LOGINS: &str = "access.logins";
const PROBES: &str = "access.probes";
const EXPOSED: &str = "access.exposed";

/// The time that is looked at, seconds: a week and some hours, so that nothing falls between two weekly runs.
const PERIOD: i64 = 7 * 86_400 + 6 * 3600;
/// Rows of a list in `data`.
const TOP: usize = 20;
const LONGEST: usize = 200;

/// Reads the log and judges it.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (path, named) = &scene.access_log;
    let subject = &*path.display().to_string();
    let real = files::through_own_links(path, &scene.root)?;
    if files::metadata(&real)?.is_none() {
        if *named {
            report.examined(MISSING, subject);
            report.find(
                Finding::new(
                    MISSING,
                    Severity::Medium,
                    subject,
                    format!("there is no access log {subject}"),
                )
                .hint("[audit] access_log"),
            );
            return Ok(Looked::At(format!("there is no {subject}"), Value::Null));
        }
        return Ok(Looked::Nothing(format!("there is no access log {subject}")));
    }
    let now = context.now.as_second();
    let threads = machine::threads(0);
    let seen = weblog::survey(
        &real,
        &scene.paths,
        now - PERIOD,
        now,
        threads,
        &context.stop,
    )?;
    for id in [
        MISSING, UNPARSED, STALE, SKIPPED, DENIED, ERRORS, LOGINS, PROBES,
    ] {
        report.examined(id, subject);
    }
    report.examined_all(EXPOSED);
    measure(&seen, report);
    judge_log(&seen, subject, report);
    judge_errors(scene, &seen, subject, report);
    judge_logins(scene, &seen, subject, report);
    let note = format!(
        "{} in {}, {} 5xx, {} 401 or 403, {} not understood",
        units::count(seen.requests, "request"),
        units::count(seen.files, "file"),
        seen.of_class(5),
        seen.statuses[401] + seen.statuses[403],
        units::count(seen.unparsed, "line")
    );
    let detail = tell(scene, seen, subject, report);
    Ok(Looked::At(note, detail))
}

fn measure(seen: &Survey, report: &Reporter) {
    for (class, label) in [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")] {
        report.measure(
            "access_requests",
            seen.of_class(class) as f64,
            "",
            [("status", label)],
        );
    }
    report.measure("access_unparsed_lines", seen.unparsed as f64, "", []);
    report.measure(
        "access_denied",
        (seen.statuses[401] + seen.statuses[403]) as f64,
        "",
        [],
    );
    report.measure("access_probes", seen.probes as f64, "", []);
    report.measure(
        "access_failed_logins_per_minute",
        seen.login_peak() as f64,
        "",
        [],
    );
}

/// What a rotated log that cannot be read had to tell is not known.
pub(super) fn tell_broken(broken: &[(PathBuf, String)], subject: &str, report: &Reporter) {
    let Some((file, why)) = broken.first() else {
        return;
    };
    let message = format!(
        "{} could not be read to the end; the first is {}: {why}",
        units::count(broken.len() as u64, "rotated log"),
        file.display()
    );
    report.find(
        Finding::new(SKIPPED, Severity::Info, subject, message)
            .hint(format!("gzip -t {}", shell_path(file))),
    );
}

/// A filter that matches nothing any more would stay quiet for ever.
fn judge_log(seen: &Survey, subject: &str, report: &Reporter) {
    let parsed = seen.requests + seen.elsewhen;
    let lines = parsed + seen.unparsed;
    if lines > 0 && (parsed == 0 || seen.unparsed > parsed) {
        report.find(
            Finding::new(
                UNPARSED,
                Severity::Medium,
                subject,
                format!(
                    "{} of {} were not understood: figures from this log mean nothing",
                    seen.unparsed,
                    units::count(lines, "line")
                ),
            )
            .measured(units::percent(seen.unparsed, lines), "%", 50.0)
            .hint(format!(
                "tail -3 {}: common, combined, morgan, nginx's JSON and pino's are understood",
                shell_word(subject)
            )),
        );
    }
    if seen.requests == 0 && seen.unparsed == 0 {
        let why = match seen.elsewhen {
            0 => "it is empty".to_owned(),
            _ => "all that it holds is older".to_owned(),
        };
        report.find(
            Finding::new(
                STALE,
                Severity::Low,
                subject,
                format!("there is no request of the last week in {subject}: {why}"),
            )
            .hint(
                "does the server write somewhere else? [audit] access_log says which file is read",
            ),
        );
    }
    tell_broken(&seen.broken, subject, report);
}

fn judge_errors(scene: &Scene, seen: &Survey, subject: &str, report: &Reporter) {
    let (levels, _, least) = &scene.limits;
    let share = units::percent(seen.of_class(5), seen.requests);
    if seen.requests < *least {
        return;
    }
    if let Some((severity, limit)) = levels.judge(share) {
        // health asks within the hour; a week's share is nothing to get up for.
        let severity = severity.min(Severity::Medium);
        report.find(
            Finding::new(
                ERRORS,
                severity,
                subject,
                format!(
                    "{share:.2}% of {} in a week were answered with 5xx (limit {limit}%)",
                    units::count(seen.requests, "request")
                ),
            )
            .measured(share, "%", limit)
            .hint(format!(
                "grep '\" 5[0-9][0-9] ' {} | tail",
                shell_word(subject)
            )),
        );
    }
}

fn judge_logins(scene: &Scene, seen: &Survey, subject: &str, report: &Reporter) {
    let (_, levels, _) = &scene.limits;
    let peak = seen.login_peak();
    if let Some((severity, limit)) = levels.judge(peak as f64) {
        report.find(
            Finding::new(
                LOGINS,
                severity.min(Severity::Medium),
                subject,
                format!(
                    "{peak} failed logins in one minute of the week (limit {limit:.0}), {} in all",
                    seen.failed_logins()
                ),
            )
            .measured(peak as f64, "", limit)
            .hint(format!(
                "grep '\" 40[13] ' {} | grep login | tail",
                shell_word(subject)
            )),
        );
    }
}

/// Addresses and endpoints, the findings about them, and the lists.
fn tell(scene: &Scene, seen: Survey, subject: &str, report: &Reporter) -> Value {
    let statuses: serde_json::Map<String, Value> = seen
        .statuses
        .iter()
        .enumerate()
        .filter(|(_, number)| **number > 0)
        .map(|(status, number)| (status.to_string(), (*number).into()))
        .collect();
    let (failed_logins, bounds) = (
        seen.failed_logins(),
        (seen.addresses.lowered(), seen.endpoints.lowered()),
    );
    let (many_addresses, many_endpoints) = (seen.addresses.len(), seen.endpoints.len());
    let addresses = seen.addresses.into_rows();
    let endpoints = seen.endpoints.into_rows();
    judge_denied(scene, &addresses, subject, report);
    judge_probes(&addresses, &endpoints, seen.probes, subject, report);
    json!({
        "requests": seen.requests, "requests_of_another_time": seen.elsewhen, "lines_not_understood": seen.unparsed,
        "lines_too_long": seen.too_long, "lines_hostile": seen.hostile, "files": seen.files, "bytes": seen.bytes,
        "statuses": statuses, "failed_logins": failed_logins, "probes": seen.probes,
        "addresses": {"kept": many_addresses, "counts_too_low_by_at_most": bounds.0,
            "top": addresses.iter().take(TOP).map(of_address).collect::<Vec<_>>()},
        "endpoints": {"kept": many_endpoints, "counts_too_low_by_at_most": bounds.1,
            "top": endpoints.iter().take(TOP).map(of_endpoint).collect::<Vec<_>>()},
    })
}

fn of_address(row: &Row<Address>) -> Value {
    let counts = &row.counts;
    json!({"address": shown(&row.name), "requests": counts.requests, "denied": counts.denied,
           "denied_in_worst_minute": counts.denied_peak, "failed_logins": counts.failed_logins, "probes": counts.probes})
}

fn of_endpoint(row: &Row<Endpoint>) -> Value {
    let counts = &row.counts;
    json!({"path": shown(&row.name), "requests": counts.requests, "errors": counts.errors, "probe": counts.is_probe()})
}

/// Somebody else's text, harmless.
fn shown(name: &[u8]) -> String {
    shorten(&clean(&String::from_utf8_lossy(name)), LONGEST)
}

fn judge_denied(scene: &Scene, addresses: &[Row<Address>], subject: &str, report: &Reporter) {
    let limit = scene.audit.denied_per_minute;
    let mut over: Vec<_> = addresses
        .iter()
        .filter(|row| row.counts.denied_peak >= limit.max(1))
        .collect();
    over.sort_by_key(|row| std::cmp::Reverse(row.counts.denied_peak));
    let Some(worst) = over.first() else { return };
    report.find(
        Finding::new(
            DENIED,
            Severity::Medium,
            subject,
            format!(
                "{} got {} answers 401 or 403 in one minute (limit {limit}), {} in all; {} did so",
                shown(&worst.name),
                worst.counts.denied_peak,
                worst.counts.denied,
                units::count(over.len() as u64, "address")
            ),
        )
        .measured(worst.counts.denied_peak as f64, "", limit as f64)
        .hint(format!(
            "grep -F {} {} | tail",
            shell_word(&format!("{} ", shown(&worst.name))),
            shell_word(subject)
        )),
    );
}

fn judge_probes(
    addresses: &[Row<Address>],
    endpoints: &[Row<Endpoint>],
    probes: u64,
    subject: &str,
    report: &Reporter,
) {
    if probes > 0 {
        let from = addresses.iter().filter(|row| row.counts.probes > 0);
        let most = addresses.iter().max_by_key(|row| row.counts.probes);
        let most = most.map(|row| shown(&row.name)).unwrap_or_default();
        report.find(
            Finding::new(
                PROBES,
                Severity::Low,
                subject,
                format!(
                    "{} for what only scanners ask for, from {}, most of them from {most}",
                    units::count(probes, "request"),
                    units::count(from.count() as u64, "source")
                ),
            )
            .hint("fail2ban or the firewall can turn them away"),
        );
    }
    for row in endpoints {
        if row.counts.is_probe() && row.counts.fine > 0 && weblog::is_treasure(&row.name) {
            let path = shown(&row.name);
            report.find(
                Finding::new(
                    EXPOSED,
                    Severity::Medium,
                    &*path,
                    format!(
                        "{path} was answered with 2xx {} times: is it really served?",
                        row.counts.fine
                    ),
                )
                .hint("ask for it with curl -i and see what comes"),
            );
        }
    }
}

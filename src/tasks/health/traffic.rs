//! `errors` and `logins`: what the access log says of the last hour. It is read once a run, from where the last one stopped.

use std::sync::PoisonError;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process::shell_word;
use crate::sys::{files, machine};
use crate::units;
use crate::weblog::{self, Reading};

const RATE: &str = "errors.rate";
const API: &str = "errors.api";
const LOGINS: &str = "logins.failed";
const MISSING: &str = "log.missing";
const UNPARSED: &str = "log.unparsed";
const SKIPPED: &str = "log.skipped";

/// Fewer lines than this say nothing about the form of a log.
const FEW: u64 = 20;

/// Server errors among all requests, API errors a minute, and requests a second.
pub fn errors(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let subject = scene.access_log.path.display().to_string();
    let Some(reading) = reading(scene, context, report)? else {
        return Ok(no_log(scene, &subject));
    };
    let (hour, limits) = (reading.rates.hour(), &scene.limits);
    let share = units::percent(hour.server_errors, hour.requests);
    let each_second = hour.requests as f64 / 3600.0;
    report.measure("http_requests_per_second", each_second, "", []);
    report.measure("http_error_rate_percent", share, "%", []);
    report.examined(RATE, &*subject);
    let enough = hour.requests >= limits.error_rate_requests;
    if let Some((severity, limit)) = limits.error_rate_pct.judge(share).filter(|_| enough) {
        report.find(
            Finding::new(
                RATE,
                severity,
                &*subject,
                format!(
                    "{share:.2}% of {} in the last hour were answered with 5xx (limit {limit}%)",
                    units::count(hour.requests, "request")
                ),
            )
            .measured(share, "%", limit)
            .hint(format!(
                "grep '\" 5[0-9][0-9] ' {} | tail",
                shell_word(&subject)
            )),
        );
    }
    let peak = reading.rates.peak(|minute| minute.api_errors);
    report.measure("http_api_errors_per_minute", peak as f64, "", []);
    report.examined(API, &*subject);
    if let Some((severity, limit)) = limits.api_errors_per_minute.judge(peak as f64) {
        report.find(
            Finding::new(
                API,
                severity,
                &*subject,
                format!("{peak} API errors in one minute of the last hour (limit {limit:.0})"),
            )
            .measured(peak as f64, "", limit)
            .hint(format!(
                "grep '\" [45][0-9][0-9] ' {} | tail",
                shell_word(&subject)
            )),
        );
    }
    Ok(Looked::At(format!(
        "{} in the last hour, {share:.2}% of them 5xx",
        units::count(hour.requests, "request")
    )))
}

/// Logins that were refused.
pub fn logins(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let subject = scene.access_log.path.display().to_string();
    let Some(reading) = reading(scene, context, report)? else {
        return Ok(no_log(scene, &subject));
    };
    let peak = reading.rates.peak(|minute| minute.failed_logins);
    let all = reading.rates.hour().failed_logins;
    report.measure("logins_failed_per_minute", peak as f64, "", []);
    report.measure("logins_failed_per_hour", all as f64, "", []);
    report.examined(LOGINS, &*subject);
    let levels = &scene.limits.failed_logins_per_minute;
    if let Some((severity, limit)) = levels.judge(peak as f64) {
        report.find(
            Finding::new(
                LOGINS,
                severity,
                &*subject,
                format!(
                    "{peak} failed logins in one minute of the last hour (limit {limit:.0}), {all} in all"
                ),
            )
            .measured(peak as f64, "", limit)
            .hint(format!("grep '\" 40[13] ' {} | grep login | tail", shell_word(&subject))),
        );
    }
    Ok(Looked::At(format!(
        "{} in the last hour, at most {peak} in a minute",
        units::count(all, "failed login")
    )))
}

/// One that the configuration names is missed: nothing is known of the traffic.
fn no_log(scene: &Scene, subject: &str) -> Looked {
    let why = format!("there is no access log {subject}");
    match scene.access_log.named {
        true => Looked::Not(why),
        false => Looked::Nothing(why),
    }
}

/// The last hour of the access log; `None` where there is none. Whoever asks first reads it, and says what is wrong with the
/// log itself.
fn reading(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Option<Reading>> {
    let mut slot = scene.traffic.lock().unwrap_or_else(PoisonError::into_inner);
    slot.get_or_insert_with(|| read(scene, context, report).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow::anyhow!(error))
}

fn read(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Option<Reading>> {
    let (path, named) = (&scene.access_log.path, scene.access_log.named);
    let subject = &*path.display().to_string();
    let real = files::through_own_links(path, &scene.root)?;
    if files::metadata(&real)?.is_none() {
        if named {
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
        }
        return Ok(None);
    }
    let key = format!("access_log:{subject}");
    let last: Option<Reading> = context
        .recall(&key)
        .and_then(|value| serde_json::from_value(value).ok());
    let reading = weblog::read(
        &real,
        last.as_ref(),
        &scene.paths,
        context.now.as_second(),
        machine::threads(2),
        &context.stop,
    )?;
    for id in [MISSING, UNPARSED, SKIPPED] {
        report.examined(id, subject);
    }
    report.measure("access_log_lines", reading.parsed as f64, "", []);
    report.measure("access_log_unparsed_lines", reading.unparsed as f64, "", []);
    let lines = reading.parsed + reading.unparsed;
    if lines >= FEW && reading.unparsed * 2 > lines {
        report.find(
            Finding::new(
                UNPARSED,
                Severity::Medium,
                subject,
                format!(
                    "{} of {} were not understood: rates from this log mean nothing",
                    reading.unparsed,
                    units::count(lines, "new line")
                ),
            )
            .hint(format!(
                "tail -3 {}: common, combined, morgan, nginx's JSON and pino's are understood",
                shell_word(subject)
            )),
        );
    }
    if reading.skipped {
        report.find(Finding::new(
            SKIPPED,
            Severity::Info,
            subject,
            "not all new lines could be read: there were too many, or the rotated log was gone",
        ));
    }
    if context.learns() {
        report.remember(key, serde_json::to_value(&reading)?);
    }
    Ok(Some(reading))
}

//! `http`: does the application answer, with what, and how fast?

use std::time::Duration;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::http::{self, Answer, Request};

const DOWN: &str = "http.down";
const STATUS: &str = "http.status";
const BODY: &str = "http.body";
const SLOW: &str = "http.slow";
const LARGEST_BODY: u64 = 256 << 10;

/// Asks `[app] health_url`.
pub fn http(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let url = scene.app.health_url.as_str();
    for id in [DOWN, STATUS, BODY, SLOW] {
        report.examined(id, url);
    }
    let ask = || -> anyhow::Result<anyhow::Result<Answer>> {
        let limit = context.stop.left(scene.limits.http_timeout.0)?;
        Ok(http::send(&Request {
            url,
            name: url,
            limit,
            wanted: LARGEST_BODY,
            ..Request::default()
        }))
    };
    let answer = match ask()? {
        Ok(answer) => answer,
        Err(error) => {
            report.measure("http_up", 0.0, "", []);
            let why = format!("{error:#}");
            let why = why
                .strip_prefix(&format!("no answer from {url}: "))
                .unwrap_or(&why);
            report.find(
                Finding::new(
                    DOWN,
                    Severity::Critical,
                    url,
                    format!("{url} does not answer: {why}"),
                )
                .hint(format!("systemctl status {}", scene.app.service)),
            );
            return Ok(Looked::At(format!("{url} does not answer")));
        }
    };
    let well = judge_answer(scene, report, url, &answer);
    report.measure("http_up", f64::from(u8::from(well)), "", []);
    let took = match scene.limits.response_ms.judge(millis(answer.took)) {
        None => answer.took,
        // One slow answer is chance: two more, and the one in the middle counts.
        Some(_) => {
            let mut all = vec![answer.took];
            for _ in 0..2 {
                if let Ok(again) = ask()? {
                    all.push(again.took);
                }
            }
            all.sort_unstable();
            all[all.len() / 2]
        }
    };
    let took = millis(took);
    report.measure("http_response_ms", took, "ms", []);
    if let Some((severity, limit)) = scene.limits.response_ms.judge(took) {
        report.find(
            Finding::new(
                SLOW,
                severity,
                url,
                format!("{url} takes {took:.0} ms to answer (limit {limit:.0} ms)"),
            )
            .measured(took, "ms", limit)
            .hint("empire-maint health --check cpu,memory,database,errors"),
        );
    }
    Ok(Looked::At(format!(
        "{url} answers {} in {took:.0} ms",
        answer.status
    )))
}

fn judge_answer(scene: &Scene, report: &Reporter, url: &str, answer: &Answer) -> bool {
    let status = answer.status;
    if !(200..300).contains(&status) {
        let severity = match status >= 500 {
            true => Severity::Critical,
            false => Severity::High,
        };
        report.find(
            Finding::new(
                STATUS,
                severity,
                url,
                format!("{url} answers {status} instead of 200"),
            )
            .measured(f64::from(status), "", 200.0)
            .hint(format!("journalctl -u {} -n 100", scene.app.service)),
        );
        return false;
    }
    let Some(wanted) = &scene.limits.http_body else {
        return true;
    };
    let there = memchr::memmem::find(&answer.body, wanted.as_bytes()).is_some();
    if !there {
        report.find(
            Finding::new(
                BODY,
                Severity::High,
                url,
                format!("the answer of {url} does not contain '{wanted}'"),
            )
            .hint(format!("curl -i {url}")),
        );
    }
    there
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

//! `certs`: does any certificate of a chain, in a file or as it is served, end soon?

use std::time::Duration;

use super::Looked;
use super::scene::Scene;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
use crate::units::{self, Length};
use crate::x509::{self, Certificate, Stage};

const EXPIRING: &str = "cert.expiring";
const EXPIRED: &str = "cert.expired";
const NOT_YET: &str = "cert.not-yet-valid";
const UNREADABLE: &str = "cert.unreadable";
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at every file and every endpoint.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let mut found = Vec::new();
    for named in &scene.cert_files {
        if files::metadata(&named.path)?.is_none() && !named.named {
            continue;
        }
        for file in x509::files_below(&named.path)? {
            found.push((file.display().to_string(), x509::of_file(&file)));
        }
    }
    let limit = context.stop.left(PATIENCE)?;
    std::thread::scope(|scope| {
        let asked: Vec<_> = scene
            .endpoints
            .iter()
            .map(|(name, endpoint)| (name, scope.spawn(move || x509::served(endpoint, limit))))
            .collect();
        for (name, answer) in asked {
            let chain = answer
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the look at it panicked")));
            found.push((name.clone(), chain));
        }
    });
    if found.is_empty() {
        return Ok(Looked::Nothing(
            "there is no certificate at the default path, and [certs] names none".into(),
        ));
    }
    let mut soonest = None;
    for (subject, chain) in &found {
        report.examined(UNREADABLE, &**subject);
        match chain {
            Ok(chain) => {
                let left = judge(scene, context, report, subject, chain);
                if soonest.is_none_or(|before| left < before) {
                    soonest = Some(left);
                }
            }
            Err(error) => report.find(
                Finding::new(UNREADABLE, Severity::High, &**subject, format!("{error:#}"))
                    .hint("[certs] says what to look at"),
            ),
        }
    }
    let seen = units::count(found.len() as u64, "chain");
    Ok(Looked::At(match soonest {
        Some(left) if left >= 0 => format!("{seen}, the first ends in {}", span(left)),
        Some(_) => format!("{seen}, one has ended"),
        None => seen,
    }))
}

/// The worst certificate of a chain; returns the seconds to the first end.
fn judge(
    scene: &Scene,
    context: &Context,
    report: &Reporter,
    subject: &str,
    chain: &[Certificate],
) -> i64 {
    for id in [EXPIRING, EXPIRED, NOT_YET] {
        report.examined(id, subject);
    }
    let now = context.now.as_second();
    let first = chain.iter().map(|one| one.not_after).min().unwrap_or(now);
    report.measure(
        "cert_not_after_timestamp_seconds",
        first as f64,
        "s",
        [("certificate", subject)],
    );
    let worst = chain
        .iter()
        .filter_map(|one| finding(one, x509::stage(one, now, scene.renewed), subject))
        .max_by_key(|finding| finding.severity);
    if let Some(finding) = worst {
        report.find(finding);
    }
    first.saturating_sub(now)
}

fn finding(certificate: &Certificate, stage: Stage, subject: &str) -> Option<Finding> {
    let name = &certificate.subject;
    let made = |id, severity, message| Some(Finding::new(id, severity, subject, message));
    match stage {
        Stage::Fine => None,
        Stage::NotYetValid => made(
            NOT_YET,
            Severity::Critical,
            format!("the certificate {name} is not valid yet: is the clock right?"),
        ),
        Stage::Expired(ago) => made(
            EXPIRED,
            Severity::Critical,
            format!("the certificate {name} expired {} ago", span(ago)),
        ),
        Stage::Expiring {
            left,
            limit,
            severity,
        } => made(
            EXPIRING,
            severity,
            format!(
                "the certificate {name} expires in {} (limit {})",
                span(left),
                span(limit)
            ),
        )
        .map(|finding| finding.measured(left as f64, "s", limit as f64)),
    }
    .map(|finding| finding.hint("renew it, and make the server read it: [certs] renew_command"))
}

fn span(seconds: i64) -> Length {
    Length(Duration::from_secs(seconds.unsigned_abs()))
}

//! `npm`: what is published against the packages of the project. What could not be asked is unknown, and never clean.

use std::time::Duration;

use serde_json::json;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::npm::{Advisory, Verdict};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
use crate::sys::process::shell_path;

const VULNERABLE: &str = "npm.vulnerable";
const UNKNOWN: &str = "npm.unknown";
const PATIENCE: Duration = Duration::from_secs(300);

/// Asks the package manager of the project.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let project = &scene.project;
    let subject = project.path.display().to_string();
    if files::metadata(&project.path.join("package.json"))?.is_none() {
        return Ok(Looked::Nothing(format!(
            "there is no package.json in {subject}"
        )));
    }
    report.examined(UNKNOWN, &*subject);
    let verdict = project.audit(PATIENCE, &context.stop)?;
    let found = match verdict {
        Verdict::Unknown(why) => {
            report.find(
                Finding::new(
                    UNKNOWN,
                    Severity::Medium,
                    &*subject,
                    format!("nobody knows whether the packages are sound: {why}"),
                )
                .hint(format!(
                    "cd {} && {} audit",
                    shell_path(&project.path),
                    project.manager()?.program()
                )),
            );
            return Ok(Looked::At(
                format!("unknown: {why}"),
                json!({"verdict": "unknown", "why": why}),
            ));
        }
        Verdict::Clean => Vec::new(),
        Verdict::Vulnerable(found) => found,
    };
    report.examined_all(VULNERABLE);
    let least = scene.audit.npm_level.severity();
    let (told, quiet): (Vec<&Advisory>, Vec<&Advisory>) = found
        .iter()
        .partition(|advisory| advisory.severity >= least);
    for advisory in &told {
        report.find(
            Finding::new(
                VULNERABLE,
                advisory.severity,
                format!("{} {}", advisory.package, advisory.id),
                advisory.to_string(),
            )
            .hint(format!(
                "empire-maint deps --fix tries it in a copy; {}",
                advisory.url
            )),
        );
    }
    for severity in [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ] {
        let number = found
            .iter()
            .filter(|advisory| advisory.severity == severity)
            .count();
        report.measure(
            "npm_advisories",
            number as f64,
            "",
            [("severity", severity.word())],
        );
    }
    let mut note = match found.is_empty() {
        true => "no advisory".to_owned(),
        false => match told.len() {
            1 => "1 advisory".to_owned(),
            more => format!("{more} advisories"),
        },
    };
    if !quiet.is_empty() {
        note += &format!(
            ", {} more under {}",
            quiet.len(),
            scene.audit.npm_level.word()
        );
    }
    let word = if found.is_empty() {
        "clean"
    } else {
        "vulnerable"
    };
    Ok(Looked::At(
        note,
        json!({"verdict": word, "advisories": found}),
    ))
}

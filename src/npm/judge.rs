//! The one judgement of an audit: `audit` and `deps` say the same of the same advisory.

use super::{Advisory, Fix, Project, Verdict};
use crate::report::{Finding, Reporter, Severity};
use crate::text;

/// Finding id: a package has a published weakness. The subject is `package advisory`.
pub const VULNERABLE: &str = "npm.vulnerable";
/// Finding id: nobody knows whether there are any. The subject is the project.
pub const UNKNOWN: &str = "npm.unknown";

/// What is worth a finding: advisories from `level` on, or that nobody knows.
pub fn findings(project: &Project, verdict: &Verdict, level: Severity) -> Vec<Finding> {
    match verdict {
        Verdict::Clean => Vec::new(),
        Verdict::Unknown(why) => {
            let why = text::shorten(&text::clean(why), 400);
            vec![
                Finding::new(
                    UNKNOWN,
                    Severity::Medium,
                    project.path.display().to_string(),
                    format!("it is not known whether packages are vulnerable: {why}"),
                )
                .hint(project.hint_of_unknown()),
            ]
        }
        Verdict::Vulnerable(all) => all
            .iter()
            .filter(|advisory| advisory.severity >= level)
            .map(one)
            .collect(),
    }
}

fn one(advisory: &Advisory) -> Finding {
    let subject = format!("{} {}", advisory.package, advisory.id);
    let hint = match advisory.fix {
        Fix::Available => "empire-maint deps --fix tries the fix in a copy".to_owned(),
        _ if advisory.url.is_empty() => format!("npm explain {}", text::clean(&advisory.package)),
        _ => text::clean(&advisory.url),
    };
    Finding::new(
        VULNERABLE,
        advisory.severity,
        text::clean(&subject),
        text::shorten(&text::clean(&advisory.to_string()), 500),
    )
    .hint(hint)
}

/// Reports all of it, with what was looked for, and counts the advisories by severity.
pub fn judge(report: &Reporter, project: &Project, verdict: &Verdict, level: Severity) {
    report.examined(UNKNOWN, project.path.display().to_string());
    if !matches!(verdict, Verdict::Unknown(_)) {
        report.examined_all(VULNERABLE);
        let all: &[Advisory] = match verdict {
            Verdict::Vulnerable(all) => all,
            _ => &[],
        };
        for severity in [
            Severity::Low,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
        ] {
            let number = all.iter().filter(|one| one.severity == severity).count();
            report.measure(
                "npm_advisories",
                number as f64,
                "",
                [("severity", severity.word())],
            );
        }
    }
    for finding in findings(project, verdict, level) {
        report.find(finding);
    }
}

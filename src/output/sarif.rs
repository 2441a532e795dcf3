//! SARIF 2.1.0, for code scanning systems. One rule for each finding id; a finding without a place in a file has its subject as a
//! logical location.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::report::{Finding, Report, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as one SARIF log.
pub fn render(report: &Report) -> String {
    let ids: BTreeMap<&str, usize> = report
        .findings
        .iter()
        .map(|finding| (finding.id, 0))
        .collect::<BTreeMap<_, _>>()
        .into_keys()
        .zip(0..)
        .collect();
    let rules: Vec<Value> = ids
        .keys()
        .map(|id| json!({"id": id, "shortDescription": {"text": id.replace(['.', '-'], " ")}}))
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(finding, ids[finding.id]))
        .collect();
    let notes: Vec<Value> = report
        .failure
        .iter()
        .map(|failure| json!({"level": "error", "message": {"text": failure.message}}))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": report.tool.name, "semanticVersion": report.tool.version, "rules": rules}},
            "automationDetails": {"id": format!("{}/{}", report.task, report.run_id)},
            "invocations": [{
                "executionSuccessful": report.failure.is_none(),
                "exitCode": report.exit_code,
                "startTimeUtc": report.started_at.to_string(),
                "endTimeUtc": report.finished_at.to_string(),
                "machine": report.host,
                "toolExecutionNotifications": notes,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {"status": report.status, "summary": report.summary, "complete": report.failure.is_none()},
        }],
    });
    format!("{log:#}\n")
}

fn result(finding: &Finding, rule: usize) -> Value {
    let level = match finding.severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    };
    let place = match &finding.location {
        Some(at) => json!({"physicalLocation": {
            "artifactLocation": {"uri": uri(&at.file)},
            "region": {"startLine": at.line, "startColumn": at.column},
        }}),
        None => json!({"logicalLocations": [{"fullyQualifiedName": finding.subject}]}),
    };
    let text = match &finding.hint {
        Some(hint) => format!("{}. {hint}", finding.message),
        None => finding.message.clone(),
    };
    let suppressions: Vec<Value> = finding
        .accepted
        .iter()
        .map(|why| json!({"kind": "external", "status": "accepted", "justification": why}))
        .collect();
    json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"subject/v1": finding.subject},
        "suppressions": suppressions,
        "properties": {"severity": finding.severity.word()},
    })
}

/// RFC 3986: everything but what a path may hold is escaped.
fn uri(path: &str) -> String {
    let mut text = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                text.push(byte.into())
            }
            other => text += &format!("%{other:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Failure, Kind};
    use crate::report::FailureReport;
    use jiff::Timestamp;

    #[test]
    fn a_run_that_failed_midway_is_not_complete() {
        let mut report = Report::new("audit", "h", Timestamp::UNIX_EPOCH, false);
        let complete = |report: &Report| -> Value {
            let log: Value = serde_json::from_str(&render(report)).expect("is JSON");
            log["runs"][0]["properties"]["complete"].clone()
        };
        assert_eq!(complete(&report), true);
        let failure = Failure::new(Kind::TimeLimit, "too long").into();
        report.failure = Some(FailureReport::from_error(&failure));
        report.seal(Timestamp::UNIX_EPOCH);
        assert_eq!(complete(&report), false);
    }

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("/srv/my app/ä#1"), "file:///srv/my%20app/%C3%A4%231");
        assert_eq!(uri("a/b.c"), "a/b.c");
    }
}

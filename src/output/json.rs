//! One JSON object, whatever happened.

use crate::report::Report;

/// The report with a line break behind it.
pub fn render(report: &Report) -> String {
    match serde_json::to_string_pretty(report) {
        Ok(text) => text + "\n",
        Err(error) => {
            let message = serde_json::json!({"schema_version": report.schema_version, "status": "unknown", "exit_code": 3, "failure": {"kind": "failed", "message": error.to_string(), "causes": [], "hint": null}});
            format!("{message}\n")
        }
    }
}

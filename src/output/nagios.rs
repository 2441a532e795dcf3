//! `TASK STATUS - summary | perfdata`, as the monitoring plugins' guidelines have it: label, value, unit, and more text below.

use std::fmt::Write as _;

use super::clean;
use crate::report::{Metric, Report, Severity};
use crate::text::about;

/// The whole output.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "{} {} - {}",
        report.task.to_uppercase(),
        report.status.word().to_uppercase(),
        plain(&report.summary)
    );
    let perfdata: Vec<_> = report.metrics.iter().map(perfdata).collect();
    if !perfdata.is_empty() {
        let _ = write!(text, " | {}", perfdata.join(" "));
    }
    text.push('\n');
    for finding in &report.findings {
        if finding.severity > Severity::Info {
            let _ = writeln!(
                text,
                "{} {}",
                finding.severity.word(),
                about(&plain(&finding.subject), &plain(&finding.message))
            );
        }
    }
    text
}

/// A bar would start the performance data.
fn plain(text: &str) -> String {
    clean(text).replace('|', "/")
}

fn perfdata(metric: &Metric) -> String {
    let mut label = metric.name.to_owned();
    for value in metric.labels.values() {
        let _ = write!(label, " {value}");
    }
    let label = plain(&label).replace('=', "_").replace('\'', "''");
    let unit = match metric.unit {
        "bytes" => "B",
        "s" | "ms" | "us" | "%" => metric.unit,
        _ => "",
    };
    if metric.value.is_finite() {
        format!("'{label}'={}{unit}", metric.value)
    } else {
        format!("'{label}'=U")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    #[test]
    fn labels_are_quoted_and_nothing_breaks_the_line() {
        let mut report = Report::new("backup", "h", Timestamp::UNIX_EPOCH, false);
        report.summary = "done | fine\nsecond".into();
        report.metrics.push(Metric {
            name: "backup_size_bytes",
            value: 42.0,
            unit: "bytes",
            labels: BTreeMap::from([("database", "it's=odd".to_owned())]),
        });
        assert_eq!(
            render(&report),
            "BACKUP OK - done / fine second | 'backup_size_bytes it''s_odd'=42B\n"
        );
    }
}

//! The text format of Prometheus, for standard output and for node_exporter's textfile collector.
//! One file a task; the same family has the same HELP and TYPE in every file, as the collector demands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::report::{Permit, Report, Severity, Status};
use crate::sys::files;

const LARGEST: u64 = 16 << 20;

/// Family name to HELP and the samples under it.
type Families = BTreeMap<String, (String, Vec<String>)>;

/// All metrics of a run, under this label `task`. `last_success` is carried over where this run was none.
pub fn render(report: &Report, task: &str, last_success: Option<Timestamp>) -> String {
    let mut families = Families::new();
    let label = [("task", task)];
    let seconds = |time: Timestamp| time.as_millisecond() as f64 / 1000.0;
    let mut common = |name: &str, help: &str, value: f64| {
        add(&mut families, name, help, &label, value);
    };
    common(
        "last_run_timestamp_seconds",
        "When the task last ended, seconds since 1970.",
        seconds(report.finished_at),
    );
    common(
        "last_duration_seconds",
        "How long the last run of the task took.",
        report.duration_ms as f64 / 1000.0,
    );
    common(
        "last_exit_code",
        "What the last run of the task ended with.",
        f64::from(report.exit_code),
    );
    let success = match report.status {
        Status::Ok | Status::Warning if !report.dry_run => Some(report.finished_at),
        _ => last_success,
    };
    if let Some(success) = success {
        common(
            "last_success_timestamp_seconds",
            "When the task last ended with 0 or 1, seconds since 1970.",
            seconds(success),
        );
    }
    for severity in [
        Severity::Info,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ] {
        let number = report
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count();
        add(
            &mut families,
            "findings",
            "Findings of the last run of the task.",
            &[("task", task), ("severity", severity.word())],
            number as f64,
        );
    }
    for metric in &report.metrics {
        let mut labels = vec![("task", task)];
        labels.extend(
            metric
                .labels
                .iter()
                .map(|(key, value)| (*key, value.as_str())),
        );
        // Prometheus counts time in seconds; promtool refuses anything else.
        let (name, value) = match metric.name.strip_suffix("_ms") {
            Some(stem) => (format!("{stem}_seconds"), metric.value / 1000.0),
            None => (metric.name.to_owned(), metric.value),
        };
        let help = format!("{}, as the last run measured it.", name.replace('_', " "));
        add(&mut families, &name, &help, &labels, value);
    }
    let mut text = String::new();
    for (name, (help, samples)) in families {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for sample in samples {
            let _ = writeln!(text, "{sample}");
        }
    }
    text
}

fn add(families: &mut Families, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
    let name = format!("empire_maint_{name}");
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
        .collect();
    let sample = format!("{name}{{{}}} {value}", labels.join(","));
    families
        .entry(name)
        .or_insert_with(|| (help.to_owned(), Vec::new()))
        .1
        .push(sample);
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Replaces the task's file in the collector's folder in one step; readable by the collector.
pub fn textfile(
    permit: &Permit,
    folder: &Path,
    report: &Report,
    task: &str,
    last_success: Option<Timestamp>,
) -> anyhow::Result<()> {
    let path = textfile_of(folder, task);
    let text = render(report, task, last_success);
    files::replace(permit, &path, text.as_bytes(), 0o644)
}

fn textfile_of(folder: &Path, task: &str) -> PathBuf {
    folder.join(format!("empire_maint_{}.prom", task.replace('-', "_")))
}

/// When the task last went well, as the file says that is there.
pub fn success_in_textfile(folder: &Path, task: &str) -> anyhow::Result<Option<Timestamp>> {
    let path = textfile_of(folder, task);
    if files::metadata(&path)?.is_none() {
        return Ok(None);
    }
    let content = files::read_small(&path, LARGEST)?;
    let content = String::from_utf8_lossy(&content);
    let mut lines = content.lines();
    let value = lines.find_map(|line| {
        let rest = line.strip_prefix("empire_maint_last_success_timestamp_seconds{")?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    Ok(value.and_then(|seconds| Timestamp::from_second(seconds as i64).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Metric;

    #[test]
    fn families_are_unique_and_success_is_carried_over() {
        let mut report = Report::new("backup", "h", Timestamp::UNIX_EPOCH, false);
        report.status = Status::Critical;
        for database in ["one", "two"] {
            report.metrics.push(Metric {
                name: "backup_size_bytes",
                value: 42.0,
                unit: "bytes",
                labels: BTreeMap::from([("database", database.to_owned())]),
            });
        }
        let text = render(&report, "backup", Timestamp::from_second(1000).ok());
        assert!(
            text.contains("empire_maint_last_success_timestamp_seconds{task=\"backup\"} 1000\n")
        );
        let named = |line: &str| text.lines().filter(|one| one.starts_with(line)).count();
        assert_eq!(named("# TYPE empire_maint_backup_size_bytes gauge"), 1);
        assert_eq!(named("# HELP empire_maint_backup_size_bytes "), 1);
        assert_eq!(named("empire_maint_backup_size_bytes{"), 2);
    }
}

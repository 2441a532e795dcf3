//! What every task returns: plain data, of which each output format and each alert is a rendering.
//! A found problem is a [`Finding`]; failing to look is an error and becomes the [`FailureReport`].

mod document;
mod reporter;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use document::{Cell, Document, Table};
pub use reporter::{Ask, Permit, Progress, Reporter, Step, Unit};

use crate::error::{self, Kind};
use crate::exit;
pub use crate::exit::Status;
use crate::text::with_options;
use crate::units;

/// The version of the JSON layout; adding keys does not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// Finding id: the run itself failed.
pub const TASK_FAILED: &str = "task.failed";

/// How urgent a finding is, as the plan's escalation matrix has it (§10).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, needs nobody.
    Info,
    /// Next maintenance window.
    Low,
    /// Within 4 hours.
    Medium,
    /// Within 1 hour.
    High,
    /// At once.
    Critical,
}

impl Severity {
    /// The lower-case word used in every format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity that this word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Info,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::Critical,
        ]
        .into_iter()
        .find(|severity| severity.word() == word)
    }

    /// The plan's time to respond.
    pub fn respond_within(self) -> Option<&'static str> {
        match self {
            Self::Info => None,
            Self::Low => Some("next window"),
            Self::Medium => Some("4h"),
            Self::High => Some("1h"),
            Self::Critical => Some("at once"),
        }
    }
}

/// One thing that was found. The id is stable: other people's monitoring depends on it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// Stable, dotted, lower case: `backup.stale`.
    pub id: &'static str,
    /// How urgent.
    pub severity: Severity,
    /// What it is about: a database name, a path, a device. Alerts are deduplicated on (host, id, subject).
    pub subject: String,
    /// A sentence with the number and the limit.
    pub message: String,
    /// The measured number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its unit: bytes, %, ms, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// The limit that was crossed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Where in a file, where it is about a place in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The plan's time to respond to this severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond_within: Option<&'static str>,
    /// A command to run or a thing to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Who accepted it, until when and why, where somebody did; it is info then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Location {
    /// The file.
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    /// In characters, counted from 1.
    pub column: u64,
}

impl Finding {
    /// A finding without number and hint.
    pub fn new(
        id: &'static str,
        severity: Severity,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity,
            subject: subject.into(),
            message: message.into(),
            value: None,
            unit: None,
            threshold: None,
            location: None,
            respond_within: severity.respond_within(),
            hint: None,
            accepted: None,
        }
    }

    /// A finding that tells an error, all of its chain, with the hint that is in it.
    pub fn of_error(
        id: &'static str,
        severity: Severity,
        subject: impl Into<String>,
        error: &anyhow::Error,
    ) -> Self {
        Self {
            hint: error::hint_of(error).map(str::to_owned),
            ..Self::new(id, severity, subject, format!("{error:#}"))
        }
    }

    /// Adds the measured number, its unit and the limit.
    pub fn measured(mut self, value: f64, unit: &'static str, threshold: f64) -> Self {
        self.value = Some(value);
        self.unit = Some(unit);
        self.threshold = Some(threshold);
        self
    }

    /// Adds the place in a file.
    pub fn at(mut self, file: impl Into<String>, line: u64, column: u64) -> Self {
        let file = file.into();
        self.location = Some(Location { file, line, column });
        self
    }

    /// Makes it more or less urgent.
    pub fn set_severity(&mut self, severity: Severity) {
        self.severity = severity;
        self.respond_within = severity.respond_within();
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A number worth keeping: goes to the journal, to Prometheus and to Nagios.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Metric {
    /// snake_case with its unit at the end: `backup_size_bytes`.
    pub name: &'static str,
    /// In base units.
    #[serde(serialize_with = "whole_or_real")]
    pub value: f64,
    /// bytes, s, ms, %, or empty for a count.
    pub unit: &'static str,
    /// What it belongs to.
    pub labels: BTreeMap<&'static str, String>,
}

/// Whole numbers without a fraction: `222298112`, not `222298112.0`.
fn whole_or_real<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Would be done, or was about to be done when the run ended.
    Planned,
    /// Done and durable.
    Done,
    /// Not needed after all, or not possible just now.
    Skipped,
    /// Tried and not done.
    Failed,
}

/// One change of the world, planned or done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Action {
    /// A verb: backup, delete, swap.
    pub kind: &'static str,
    /// What was changed.
    pub target: String,
    /// Why.
    pub reason: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Why the run as a whole failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FailureReport {
    /// Decides the exit code.
    pub kind: Kind,
    /// Lower case, names the thing.
    pub message: String,
    /// What led to it, outermost first.
    pub causes: Vec<String>,
    /// The next step.
    pub hint: Option<String>,
}

impl FailureReport {
    /// Flattens an error chain.
    pub fn from_error(error: &anyhow::Error) -> Self {
        Self {
            kind: error::kind_of(error),
            message: error.to_string(),
            causes: error.chain().skip(1).map(ToString::to_string).collect(),
            hint: error::hint_of(error).map(str::to_owned),
        }
    }
}

/// The program that wrote the report.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Tool {
    /// Always `empire-maint`.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
}

impl Default for Tool {
    fn default() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Everything that one run has to say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// The command.
    pub task: String,
    /// UUID version 7: sorts by time.
    pub run_id: String,
    /// Where it ran.
    pub host: String,
    /// RFC 3339, UTC.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// RFC 3339, UTC.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// Wall-clock time of the run, ms.
    pub duration_ms: u64,
    /// True when nothing was changed.
    pub dry_run: bool,
    /// The verdict.
    pub status: Status,
    /// The number that the process ends with.
    pub exit_code: u8,
    /// One line.
    pub summary: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// What was changed.
    pub actions: Vec<Action>,
    /// The task's own typed detail.
    pub data: Value,
    /// Why the run failed, if it did.
    pub failure: Option<FailureReport>,
    /// The zone in which people are shown times: the calendar's.
    #[serde(skip)]
    pub zone: TimeZone,
    /// Text or tables for people; programs read `data`.
    #[serde(skip)]
    pub documents: Vec<Document>,
    /// Values that the next run of this task may recall; saved in the journal.
    #[serde(skip)]
    pub remembered: BTreeMap<String, Value>,
    /// What is news in it, as far as no channel has delivered that: all that a quiet run prints. `None` where nobody decided.
    #[serde(skip)]
    pub news: Option<Vec<NewsLine>>,
    /// Options of the command line, each with a blank behind it, that the next command has to have too.
    #[serde(skip)]
    pub options: String,
    /// What this run looked at: an open alert about it that this run did not find again is resolved.
    #[serde(skip)]
    pub examined: Vec<Examined>,
    /// What [`Report::seal`] has put behind the summary.
    #[serde(skip)]
    counted: String,
}

/// One of several lines that a quiet run prints.
#[derive(Clone, Debug)]
pub struct NewsLine {
    /// How urgent it is; `None` where it is over.
    pub severity: Option<Severity>,
    /// The line.
    pub text: String,
}

/// That a run looked whether a finding holds, whatever the answer was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The finding that would have been made.
    pub id: &'static str,
    /// About what; `None` for everything that the finding may be about.
    pub subject: Option<String>,
}

/// The verdict on what was found.
pub fn status_of(worst: Option<Severity>) -> Status {
    match worst {
        Some(Severity::High | Severity::Critical) => Status::Critical,
        Some(Severity::Medium) => Status::Warning,
        Some(Severity::Low | Severity::Info) | None => Status::Ok,
    }
}

impl Report {
    /// An empty report of a run that starts now.
    pub fn new(task: &str, host: &str, started_at: Timestamp, dry_run: bool) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::default(),
            task: task.to_owned(),
            run_id: uuid::Uuid::now_v7().to_string(),
            host: host.to_owned(),
            started_at,
            finished_at: started_at,
            duration_ms: 0,
            dry_run,
            status: Status::Ok,
            exit_code: 0,
            summary: String::new(),
            findings: Vec::new(),
            metrics: Vec::new(),
            actions: Vec::new(),
            data: Value::Object(serde_json::Map::new()),
            failure: None,
            zone: TimeZone::system(),
            documents: Vec::new(),
            remembered: BTreeMap::new(),
            news: None,
            options: String::new(),
            examined: Vec::new(),
            counted: String::new(),
        }
    }

    /// Gives the commands in hints the options of this run, for people: without them they would look at another server.
    pub fn complete_hints(&mut self) {
        let hints = self.findings.iter_mut().map(|finding| &mut finding.hint);
        let failure = self.failure.iter_mut().map(|failure| &mut failure.hint);
        for hint in hints.chain(failure).flatten() {
            *hint = with_options(hint, &self.options);
        }
    }

    /// The most urgent finding, if any.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Puts the number of the worst findings behind the summary, where the verdict is theirs: what a task has done may well read
    /// as if all were well.
    fn count_worst(&mut self) {
        if let Some(bare) = self.summary.strip_suffix(&self.counted) {
            self.summary.truncate(bare.len());
        }
        self.counted.clear();
        let Some(worst) = self.worst().filter(|worst| *worst >= Severity::Medium) else {
            return;
        };
        let of_worst = self.findings.iter().filter(|one| one.severity == worst);
        let noun = format!("{} finding", worst.word());
        let counted = units::count(of_worst.count() as u64, &noun);
        self.counted = match self.summary.is_empty() {
            true => counted,
            false => format!("; {counted}"),
        };
        self.summary += &self.counted;
    }

    /// Derives status and exit code from findings and failure: within a run that started, critical wins over unknown. May be
    /// called again after more was found.
    pub fn seal(&mut self, finished_at: Timestamp) {
        self.finished_at = finished_at;
        self.duration_ms = u64::try_from(
            finished_at
                .duration_since(self.started_at)
                .as_millis()
                .max(0),
        )
        .unwrap_or(u64::MAX);
        self.status = match (&self.failure, self.worst()) {
            (Some(failure), _) if failure.kind.could_not_start() => Status::Unknown,
            (Some(failure), _) => exit::status_of_failure(failure.kind),
            (None, worst) => status_of(worst),
        };
        self.exit_code = exit::Code::Status(self.status).value();
        match &self.failure {
            Some(failure) => {
                let chain = std::iter::once(&failure.message).chain(&failure.causes);
                self.summary = chain.map(String::as_str).collect::<Vec<_>>().join(": ");
            }
            None => self.count_worst(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Failure, refused};

    fn report() -> Report {
        Report::new("backup", "web1", Timestamp::UNIX_EPOCH, false)
    }

    #[test]
    fn status_follows_the_worst_finding() {
        for (severity, status, code) in [
            (Severity::Info, Status::Ok, 0),
            (Severity::Low, Status::Ok, 0),
            (Severity::Medium, Status::Warning, 1),
            (Severity::High, Status::Critical, 2),
            (Severity::Critical, Status::Critical, 2),
        ] {
            let mut report = report();
            report
                .findings
                .push(Finding::new("x.y", severity, "s", "m"));
            report.seal(Timestamp::UNIX_EPOCH);
            assert_eq!((report.status, report.exit_code), (status, code));
        }
    }

    #[test]
    fn the_worst_are_counted_once_behind_the_summary() {
        let mut report = report();
        report.summary = "1 database backed up".into();
        let found = |severity| Finding::new("x.y", severity, "s", "m");
        for (severity, summary) in [
            (Severity::Low, "1 database backed up"),
            (Severity::Medium, "1 database backed up; 1 medium finding"),
            (Severity::Medium, "1 database backed up; 2 medium findings"),
            (
                Severity::Critical,
                "1 database backed up; 1 critical finding",
            ),
        ] {
            report.findings.push(found(severity));
            report.seal(Timestamp::UNIX_EPOCH);
            report.seal(Timestamp::UNIX_EPOCH);
            assert_eq!(report.summary, summary);
        }
        report.failure = Some(FailureReport::from_error(&refused("target exists").into()));
        report.seal(Timestamp::UNIX_EPOCH);
        assert_eq!(report.summary, "target exists");
    }

    #[test]
    fn what_could_not_start_is_unknown_whatever_was_found() {
        let mut report = report();
        report
            .findings
            .push(Finding::new("task.failed", Severity::Critical, "s", "m"));
        report.failure = Some(FailureReport::from_error(&refused("target exists").into()));
        report.seal(Timestamp::UNIX_EPOCH);
        assert_eq!(report.exit_code, 3);
        report.failure = Some(FailureReport::from_error(
            &Failure::new(Kind::TimeLimit, "too long").into(),
        ));
        report.seal(Timestamp::UNIX_EPOCH);
        assert_eq!(report.exit_code, 2);
    }
}

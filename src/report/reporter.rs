//! A cloneable handle on the report, so that closures, parallel checks, the watchdog and a panic all leave the findings so far.
//! Never locked while a closure runs. Also the only gate for changes: see [`Reporter::act`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use super::{Action, Document, Examined, Finding, Metric, Outcome, Report, Severity};
use crate::error;

/// Proof that this run may change the world. Only [`Reporter::act`] makes one, so a dry run is enforced by types.
pub struct Permit(());

impl Permit {
    /// For tests of the rooms that ask for a permit.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self(())
    }
}

/// What is about to be changed, and why.
pub struct Step {
    /// A verb: backup, delete, swap.
    pub kind: &'static str,
    /// What will be changed.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// What progress is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Rows, keys, pages: things that have no unit.
    Count,
}

/// Where progress goes; painted on a terminal, dropped elsewhere.
pub trait Progress: Send + Sync {
    /// `done` of `total`; a total of zero means that it is not known.
    fn paint(&self, done: u64, total: u64, unit: Unit, what: &str);
    /// Wipes the line.
    fn clear(&self);
}

/// A person at a terminal who can be asked.
pub trait Ask: Send + Sync {
    /// Shows what was found so far, asks, returns the trimmed answer.
    fn ask(
        &self,
        documents: &[Document],
        zone: &TimeZone,
        question: &str,
    ) -> std::io::Result<String>;
}

/// The handle. Clones share one report.
#[derive(Clone)]
pub struct Reporter {
    report: Arc<Mutex<Report>>,
    progress: Option<Arc<dyn Progress>>,
    person: Option<Arc<dyn Ask>>,
}

impl Reporter {
    /// A handle on `report`, with or without somebody who watches and can be asked.
    pub fn new(
        report: Report,
        progress: Option<Arc<dyn Progress>>,
        person: Option<Arc<dyn Ask>>,
    ) -> Self {
        Self {
            report: Arc::new(Mutex::new(report)),
            progress,
            person,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Report) -> T) -> T {
        work(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty report of the same run, for one of several things that are looked at at once: what it finds is joined in an order
    /// of our choice, and what comes too late is lost.
    pub fn part(&self) -> Self {
        let report = self.with(|report| {
            Report::new(
                &report.task,
                &report.host,
                report.started_at,
                report.dry_run,
            )
        });
        Self::new(report, None, None)
    }

    /// Takes over what a part has found, measured, examined and remembered.
    pub fn join(&self, part: &Self) {
        let part = part.snapshot();
        self.with(|report| {
            report.findings.extend(part.findings);
            report.metrics.extend(part.metrics);
            report.examined.extend(part.examined);
            report.remembered.extend(part.remembered);
        });
    }

    /// A copy of everything so far.
    pub fn snapshot(&self) -> Report {
        self.with(|report| report.clone())
    }

    /// True when nothing may be changed.
    pub fn dry_run(&self) -> bool {
        self.with(|report| report.dry_run)
    }

    /// The id of this run.
    pub fn run_id(&self) -> String {
        self.with(|report| report.run_id.clone())
    }

    /// Adds a finding.
    pub fn find(&self, finding: Finding) {
        self.with(|report| report.findings.push(finding));
    }

    /// Changes findings that were made.
    pub fn revise(&self, change: impl FnMut(&mut Finding)) {
        self.with(|report| report.findings.iter_mut().for_each(change));
    }

    /// Says that this run looked at `subject` for the finding `id`, well or not: an alert that is open and was not found again
    /// is resolved by that, and by nothing else.
    pub fn examined(&self, id: &'static str, subject: impl Into<String>) {
        let subject = Some(subject.into());
        self.with(|report| report.examined.push(Examined { id, subject }));
    }

    /// The same for every subject that the finding may be about.
    pub fn examined_all(&self, id: &'static str) {
        self.with(|report| report.examined.push(Examined { id, subject: None }));
    }

    /// Adds a metric.
    pub fn measure<const N: usize>(
        &self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        labels: [(&'static str, &str); N],
    ) {
        let labels = labels
            .into_iter()
            .map(|(key, value)| (key, value.to_owned()))
            .collect::<BTreeMap<_, _>>();
        self.with(|report| {
            report.metrics.push(Metric {
                name,
                value,
                unit,
                labels,
            });
        });
    }

    /// Sets the one-line summary.
    pub fn summarise(&self, summary: impl Into<String>) {
        let summary = summary.into();
        self.with(|report| report.summary = summary);
    }

    /// Sets the task's typed detail.
    pub fn detail(&self, detail: &impl Serialize) -> anyhow::Result<()> {
        let value = serde_json::to_value(detail)?;
        self.with(|report| report.data = value);
        Ok(())
    }

    /// Decides the zone in which people are shown times.
    pub fn show_times_in(&self, zone: TimeZone) {
        self.with(|report| report.zone = zone);
    }

    /// Adds something for people to read.
    pub fn document(&self, document: Document) {
        self.with(|report| report.documents.push(document));
    }

    /// Saves a value for the next run of this task.
    pub fn remember(&self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        self.with(|report| report.remembered.insert(key, value));
    }

    /// Paints progress where somebody watches.
    pub fn progress(&self, done: u64, total: u64, unit: Unit, what: &str) {
        if let Some(progress) = &self.progress {
            progress.paint(done, total, unit, what);
        }
    }

    /// Wipes the progress line.
    pub fn progress_done(&self) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
    }

    /// True when a person sits at the terminal.
    pub fn can_ask(&self) -> bool {
        self.person.is_some()
    }

    /// Shows the documents so far and asks; `None` where there is nobody to ask.
    pub fn ask(&self, question: &str) -> anyhow::Result<Option<String>> {
        let Some(person) = &self.person else {
            return Ok(None);
        };
        let (documents, zone) = self.with(|report| {
            let documents = std::mem::take(&mut report.documents);
            (documents, report.zone.clone())
        });
        Ok(Some(person.ask(&documents, &zone, question)?))
    }

    /// The one gate for changes. Lists the action; does it unless this is a dry run; notes what became of it.
    pub fn act<T>(
        &self,
        step: Step,
        work: impl FnOnce(&Permit) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let (at, dry_run) = self.with(|report| {
            report.actions.push(Action {
                kind: step.kind,
                target: step.target,
                reason: step.reason,
                outcome: Outcome::Planned,
            });
            (report.actions.len() - 1, report.dry_run)
        });
        if dry_run {
            return Ok(None);
        }
        let result = work(&Permit(()));
        self.with(|report| {
            report.actions[at].outcome = if result.is_ok() {
                Outcome::Done
            } else {
                Outcome::Failed
            };
        });
        result.map(Some)
    }

    /// Notes that the step that was tried last, or the rest of it, was left to another run: that is nobody's failure.
    pub fn left_out(&self) {
        self.with(|report| {
            if let Some(last) = report.actions.last_mut() {
                last.outcome = Outcome::Skipped;
            }
        });
    }

    /// One item of many: its failure is a critical finding and the next item still runs. A signal or the time limit ends the run.
    pub fn attempt<T>(
        &self,
        id: &'static str,
        subject: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        match work() {
            Ok(value) => Ok(Some(value)),
            Err(error) if error::ends_the_run(&error) => {
                Err(error.context(format!("stopped at {subject}")))
            }
            Err(error) => {
                self.find(Finding::of_error(id, Severity::Critical, subject, &error));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn reporter(dry_run: bool) -> Reporter {
        Reporter::new(
            Report::new("t", "h", Timestamp::UNIX_EPOCH, dry_run),
            None,
            None,
        )
    }

    fn step() -> Step {
        Step {
            kind: "delete",
            target: "x".into(),
            reason: "test".into(),
        }
    }

    #[test]
    fn a_dry_run_lists_and_does_not_act() {
        let reporter = reporter(true);
        let done = reporter
            .act(step(), |_| -> anyhow::Result<()> { panic!("acted") })
            .expect("no error");
        assert!(done.is_none());
        assert_eq!(reporter.snapshot().actions[0].outcome, Outcome::Planned);
    }

    #[test]
    fn a_failed_item_is_a_finding_and_the_next_still_runs() {
        let reporter = reporter(false);
        for database in ["one", "two"] {
            let result = reporter.attempt("backup.failed", database, || {
                anyhow::ensure!(database == "two", "is broken");
                Ok(())
            });
            assert!(result.is_ok());
        }
        let report = reporter.snapshot();
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].subject, "one");
    }

    #[test]
    fn findings_may_be_added_inside_an_action() {
        let reporter = reporter(false);
        let _ = reporter.act(step(), |_| {
            reporter.find(Finding::new("a.b", Severity::Low, "s", "m"));
            Ok(())
        });
        assert_eq!(reporter.snapshot().findings.len(), 1);
    }
}

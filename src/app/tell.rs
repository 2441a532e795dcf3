//! Stations of the road that tell others of the run: the dead-man switch, the figures for Prometheus, the alerts.

use std::path::Path;

use super::{Road, memory_beside, unwritable};
use crate::alert::{self, Desk, Switch};
use crate::journal;
use crate::output;
use crate::report::{Examined, Finding, NewsLine, Permit, Report, Reporter, Severity, Step};

/// Finding id: the file for Prometheus could not be written.
const METRICS_UNWRITABLE: &str = "metrics.unwritable";

impl Road<'_> {
    /// Calls the dead-man switch: the run has begun.
    pub(super) fn start_ping(&mut self, report: &mut Report) {
        let (Some(desk), Some(name)) = (&self.desk, self.known_as()) else {
            return;
        };
        match Switch::new(desk.ping(), name, &report.run_id) {
            Ok(switch) => self.switch = switch,
            Err(error) => report.findings.push(ping_failed(&report.task, &error)),
        }
        if let Some(switch) = &mut self.switch {
            switch.start();
        }
    }

    /// Calls the dead-man switch: how the run ended, and whether its alerts went out. That nobody answers is an alert of its own.
    pub(super) fn end_ping(&self, report: &mut Report) {
        let Some(switch) = &self.switch else { return };
        let mut about_it = report.clone();
        about_it.findings.clear();
        about_it.examined.clear();
        match switch.end(report) {
            Ok(()) => about_it.examined.push(Examined {
                id: alert::PING_FAILED,
                subject: Some(report.task.clone()),
            }),
            Err(error) => about_it.findings.push(ping_failed(&report.task, &error)),
        }
        report.findings.extend(about_it.findings.iter().cloned());
        if let (Some(desk), Some(_)) = (&self.desk, &self.journal)
            && let Err(error) = alert::note(&self.state, desk, &about_it, false, self.now())
        {
            report.findings.push(unwritable(&self.state, &error));
        }
    }

    /// The file for Prometheus, where one is wanted.
    pub(super) fn write_metrics(&self, report: &mut Report) {
        if let (Some(folder), Some(name)) = (&self.textfiles, self.known_as())
            && !report.dry_run
        {
            let subject = folder.display().to_string();
            match self.write_textfile(report, name, folder) {
                Ok(()) => report.examined.push(Examined {
                    id: METRICS_UNWRITABLE,
                    subject: Some(subject),
                }),
                Err(error) => {
                    let message = format!("{error:#}");
                    report.findings.push(
                        Finding::new(METRICS_UNWRITABLE, Severity::Medium, subject, message)
                            .hint("[metrics] textfile_dir"),
                    );
                    self.seal(report);
                }
            }
        }
    }

    fn write_textfile(&self, report: &Report, name: &str, folder: &Path) -> anyhow::Result<()> {
        let line = self.lines.first().map(|line| line.name);
        // Where the journal cannot say it now, what was written last still holds.
        let last = journal::last_success(&self.state, &report.task, line, self.now())
            .or_else(|_| output::success_in_textfile(folder, name))?;
        let reporter = Reporter::new(report.clone(), None, None);
        reporter.act(
            Step {
                kind: "write",
                target: folder.display().to_string(),
                reason: "metrics for Prometheus".into(),
            },
            |permit: &Permit| output::textfile(permit, folder, report, name, last),
        )?;
        Ok(())
    }

    /// Spools and sends. A channel that fails is told to the others, and never spoils the task.
    pub(super) fn alert(&self, report: &mut Report) {
        let Some(desk) = &self.desk else { return };
        if self.journal.is_none() {
            self.alert_without_journal(desk, report);
            return;
        }
        match self.alert_with_memory(desk, report) {
            Ok(news) => report.news = self.globals.style().quiet.then_some(news),
            Err(error) => {
                report.findings.push(unwritable(&self.state, &error));
                self.alert_without_journal(desk, report);
            }
        }
        self.seal(report);
    }

    fn alert_without_journal(&self, desk: &Desk, report: &mut Report) {
        let memory = memory_beside(&self.state);
        // One that was begun has its row.
        let line = self.lines.first().filter(|_| self.journal.is_none());
        let (findings, news) = alert::send_without_journal(
            &self.state,
            desk,
            &for_people(report),
            line.map(|line| line.name),
            memory.as_deref(),
            self.now(),
        );
        report.findings.extend(findings);
        report.news = news.filter(|_| self.globals.style().quiet);
    }

    fn alert_with_memory(&self, desk: &Desk, report: &mut Report) -> anyhow::Result<Vec<NewsLine>> {
        let quiet = self.globals.style().quiet;
        if let Some(memory) = memory_beside(&self.state) {
            alert::catch_up(&self.state, &memory)?;
        }
        let told = for_people(report);
        let mut unheard = alert::note(&self.state, desk, &told, quiet, self.now())?;
        let first = alert::deliver(&self.state, desk, &report.host, &self.stop, self.now())?;
        // The second round tells of channels that do not work, and of those that work again.
        let mut about_channels = report.clone();
        about_channels.findings.clone_from(&first.findings);
        about_channels.examined = first.examined;
        for channel in desk.channels() {
            if !alert::is_stuck(&self.state, &channel.name)? {
                about_channels.examined.push(Examined {
                    id: alert::UNDELIVERED,
                    subject: Some(channel.name.clone()),
                });
            }
        }
        unheard.extend(alert::note(
            &self.state,
            desk,
            &about_channels,
            quiet,
            self.now(),
        )?);
        report.findings.extend(first.findings);
        let more = alert::deliver(&self.state, desk, &report.host, &self.stop, self.now())?;
        for finding in more.findings {
            let same = |other: &Finding| other.id == finding.id && other.subject == finding.subject;
            if !report.findings.iter().any(same) {
                report.findings.push(finding);
            }
        }
        alert::unheard(&self.state, unheard)
    }
}

/// The report with commands that people can type as they are.
fn for_people(report: &Report) -> Report {
    let mut told = report.clone();
    told.complete_hints();
    told
}

fn ping_failed(task: &str, error: &anyhow::Error) -> Finding {
    Finding::new(
        alert::PING_FAILED,
        Severity::Low,
        task,
        format!("{error:#}"),
    )
    .hint("[alerts.ping] url_template_file")
}

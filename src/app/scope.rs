//! What a run was about, so that its failure is over only when a run about the same went well; and how urgent a failure is.

use super::Road;
use crate::calendar::{LINES, Line};
use crate::error::{self, Kind};
use crate::journal;
use crate::report::Severity;
use crate::task::Entry;
use crate::tasks::TASKS;

impl Road<'_> {
    /// What the run was about, as the one that finds it well again names it too: its line of the plan, or a part.
    pub(super) fn scope(&self) -> String {
        match (self.part, self.known_as()) {
            (false, Some(name)) => name.to_owned(),
            _ => in_part(self.entry.name),
        }
    }

    /// True when no other run of this command does more.
    pub(super) fn is_all(&self) -> bool {
        let task = self.entry.name;
        let bare = |line: &Line| line.task() == Some(task) && line.is_bare();
        match self.line {
            _ if self.part => false,
            Some(line) => line.is_bare() || !LINES.iter().any(bare),
            None => self.known_as().is_some(),
        }
    }

    /// What the figures and the dead-man switch call this run: the line of the plan that it answers, or its task where the plan has
    /// none. Nothing for a run that does a part of what a line asks for: it must not be taken for the whole.
    pub(super) fn known_as(&self) -> Option<&'static str> {
        let task = self.entry.name;
        let planned = || LINES.iter().any(|line| line.task() == Some(task));
        match self.line {
            Some(line) => Some(line.name),
            None => (!planned()).then_some(task),
        }
    }

    /// A lock that somebody else holds is normal once; the third time in a row it is not.
    pub(super) fn severity_of(&self, error: &anyhow::Error) -> Severity {
        match error::kind_of(error) {
            Kind::Locked if !self.locked_before() => Severity::Low,
            kind if kind.could_not_start() => Severity::High,
            _ => self.severity,
        }
    }

    /// A run of the same command does now what the one that was killed did not.
    pub(super) fn severity_of_killed(&self, task: &str) -> Severity {
        let guards_data = |entry: &Entry| entry.name == task && entry.guards_data;
        match task != self.entry.name && TASKS.iter().any(guards_data) {
            true => Severity::High,
            false => Severity::Medium,
        }
    }

    fn locked_before(&self) -> bool {
        let filter = journal::Filter {
            task: Some(self.entry.name.to_owned()),
            most: 3,
            ..journal::Filter::default()
        };
        let runs = journal::runs(&self.state, &filter).unwrap_or_default();
        let ended: Vec<_> = runs.iter().filter(|run| run.state == "finished").collect();
        ended.len() >= 2
            && ended[..2].iter().all(|run| {
                run.status.as_deref() == Some("unknown")
                    && run
                        .summary
                        .as_deref()
                        .is_some_and(|text| text.contains("is in use by"))
            })
    }
}

/// What failed where a run was about some of it only.
pub(super) fn in_part(task: &str) -> String {
    format!("{task}, in part")
}

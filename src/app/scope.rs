//! What a run was about, so that its failure is over only when a run about the same went well; and how urgent a failure is.

use std::cmp::Reverse;
use std::ffi::OsString;

use clap::ArgMatches;

use super::Road;
use crate::calendar::{LINES, Line, in_part};
use crate::cli;
use crate::error::{self, Kind};
use crate::journal;
use crate::report::Severity;
use crate::task::Entry;
use crate::tasks::TASKS;

/// The lines of the plan of whose work a run with these arguments leaves nothing out, the one that asks for most first.
pub(super) fn lines_of(entry: &Entry, matches: &ArgMatches) -> Vec<&'static Line> {
    let asked: Vec<_> = of_task(entry.name)
        .filter_map(|line| {
            Some((
                line,
                (entry.command)().try_get_matches_from(line.words()).ok()?,
            ))
        })
        .collect();
    let covered = |matches: &ArgMatches| {
        let lines = asked.iter();
        lines
            .filter(|(_, other)| (entry.covers)(matches, other))
            .count()
    };
    let mut lines: Vec<_> = asked
        .iter()
        .filter(|(_, other)| (entry.covers)(matches, other))
        .collect();
    lines.sort_by_key(|(_, own)| Reverse(covered(own)));
    lines.into_iter().map(|(line, _)| *line).collect()
}

/// The same where the arguments make no sense: only what is word for word a line of the plan is one.
pub(super) fn lines_typed(entry: &Entry, arguments: &[OsString]) -> Vec<&'static Line> {
    let own = cli::own_words(arguments);
    of_task(entry.name)
        .filter(|line| line.words().eq(own.iter().map(String::as_str)))
        .collect()
}

fn of_task(task: &str) -> impl Iterator<Item = &'static Line> {
    LINES.iter().filter(move |line| line.task() == Some(task))
}

/// What a run was about: its line of the plan, the task where the plan has none of it, or a part of the task.
pub(super) fn name(task: &str, line: Option<&str>) -> String {
    match line {
        Some(line) => line.to_owned(),
        None if of_task(task).next().is_some() => in_part(task),
        None => task.to_owned(),
    }
}

impl Road<'_> {
    /// What the run was about, as the one that finds it well again names it too.
    pub(super) fn scope(&self) -> String {
        name(self.entry.name, self.lines.first().map(|line| line.name))
    }

    /// All whose failure is over when this run went well: of runs that do no more than it.
    pub(super) fn found_well(&self) -> Vec<String> {
        let mut well: Vec<_> = self.lines.iter().map(|line| line.name.to_owned()).collect();
        let all = match of_task(self.entry.name).find(|line| line.is_bare()) {
            Some(bare) => well.iter().any(|name| name == bare.name),
            None => !well.is_empty(),
        };
        if all {
            well.push(in_part(self.entry.name));
        } else if well.is_empty() {
            well.push(self.scope());
        }
        well
    }

    /// What the figures and the dead-man switch call this run: the line of the plan that it answers, or its task where the plan has
    /// none. Nothing for a run that does a part of what a line asks for: it must not be taken for the whole.
    pub(super) fn known_as(&self) -> Option<&'static str> {
        let task = self.entry.name;
        match self.lines.first() {
            Some(line) => Some(line.name),
            None => of_task(task).next().is_none().then_some(task),
        }
    }

    /// True where the crontab has a line of this command, or had: what once had something to do here has lost it since.
    pub(super) fn is_planned(&self) -> bool {
        let task = self.entry.name;
        let Some(here) = &self.here else { return true };
        let had = |line: &Line| {
            let last = journal::last_success(&self.state, task, Some(line.name), self.now());
            // Where nobody can look, it may have.
            last.map_or(true, |last| last.is_some())
        };
        here.has(task) || of_task(task).any(had)
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
            && ended[..2]
                .iter()
                .all(|run| run.failed == Some(Kind::Locked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_answers_the_lines_whose_work_it_does() {
        for (words, expected) in [
            ("health --quiet -c /etc/x", &["health", "health-light"][..]),
            ("health --check=http,listen,disk,logins", &["health-light"]),
            ("health --check disk,http,logins,listen", &["health-light"]),
            (
                "health --check disk,http,logins,listen,cpu",
                &["health-light"],
            ),
            ("health --skip redis", &["health-light"]),
            ("health --skip disk", &[]),
            ("health --check disk", &[]),
            ("verify-backup", &["verify-backup"]),
            ("verify-backup app_db", &[]),
            ("verify-backup --sample 1/7", &[]),
            (
                "--json verify-backup --all",
                &["verify-all", "verify-backup"],
            ),
            ("verify-backup --all app_db", &[]),
            ("backup --fresh", &["backup"]),
            ("backup --database app_db", &[]),
            ("backup pin x", &[]),
            ("cache-clean", &["cache-clean"]),
            ("cache-clean --over 5m", &["cache-clean"]),
            ("cache-clean --report", &[]),
            ("alerts flush", &["alerts-flush"]),
            ("alerts ack 3", &[]),
            ("gpu", &["gpu"]),
            ("gpu --benchmark", &["gpu-balance", "gpu"]),
            ("rag-clean", &["rag-clean"]),
            (
                "rag-clean --rebuild-index --quiet",
                &["rag-index", "rag-clean"],
            ),
            ("rag-clean --step idle", &[]),
            ("audit --only npm", &[]),
            ("data-clean --rule old-logs", &[]),
            ("certs --renew", &["certs"]),
            ("restore", &[]),
        ] {
            let typed = ["empire-maint"].into_iter().chain(words.split_whitespace());
            let typed: Vec<OsString> = typed.map(Into::into).collect();
            let invocation = cli::parse(&typed).unwrap_or_else(|error| panic!("{words}: {error}"));
            let entry = TASKS.iter().find(|entry| entry.name == invocation.name);
            let lines = lines_of(entry.expect("a task"), &invocation.matches);
            let names: Vec<_> = lines.iter().map(|line| line.name).collect();
            assert_eq!(names, expected, "{words}");
        }
    }
}

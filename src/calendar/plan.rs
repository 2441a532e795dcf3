//! The lines of the plan, §1 to §9. Each time is the plan's own hour, with a minute of its own so that no two start at once.

use std::time::Duration;

use jiff::civil::Weekday::{Monday, Sunday, Thursday, Tuesday, Wednesday};

use crate::config::{EVERY_MONTH, When};

/// One line of the plan.
#[derive(Debug)]
pub struct Line {
    /// What `[schedule.at]`, the systemd units and findings call it.
    pub name: &'static str,
    /// The plan's section.
    pub section: &'static str,
    /// What it is for, in a few words.
    pub title: &'static str,
    /// The command line behind the program's name; none for what a person does.
    pub command: Option<&'static str>,
    /// When it is due unless `[schedule.at]` says otherwise.
    pub when: When,
    /// How late it may begin before it counts as missed.
    pub grace: Duration,
    /// How long one run may take.
    pub limit: Duration,
    /// What there must be on the server for it to have something to do.
    pub need: Need,
}

/// What a line is about; without it on this server, there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing in particular.
    Nothing,
    /// A `[[database]]`.
    Databases,
    /// A Redis that answers.
    Redis,
    /// Certificate files.
    Certificates,
    /// A Node project.
    Node,
    /// An NVIDIA GPU.
    Gpu,
    /// An NVIDIA GPU, and a command that measures it.
    Benchmark,
    /// The database of the embeddings.
    Embeddings,
    /// That, and an index made from it.
    Index,
}

/// The command of a run that alerts know by its line of the plan, or as [`in_part`].
pub fn command_of(scope: &str) -> &str {
    let line = LINES.iter().find(|line| line.name == scope);
    line.and_then(Line::task)
        .or_else(|| scope.strip_suffix(IN_PART))
        .unwrap_or(scope)
}

/// What a run is known by that was about some of what its command is about.
pub fn in_part(task: &str) -> String {
    format!("{task}{IN_PART}")
}

const IN_PART: &str = ", in part";

impl Line {
    /// The words behind the program's name.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.command.unwrap_or_default().split_whitespace()
    }

    /// True when it asks for all that its command does: no word stands behind the command's name.
    pub fn is_bare(&self) -> bool {
        self.words().count() == 1
    }

    /// The name of its command, if it has one.
    pub fn task(&self) -> Option<&'static str> {
        self.command?.split_whitespace().next()
    }

    /// True when the command is one of those that exist.
    pub fn exists(&self, commands: &[&str]) -> bool {
        self.task().is_some_and(|task| commands.contains(&task))
    }

    /// Its plan section and title.
    pub fn label(&self) -> String {
        format!("{} {}", self.section, self.title)
    }

    const fn manual(
        name: &'static str,
        section: &'static str,
        title: &'static str,
        when: When,
    ) -> Self {
        Self {
            name,
            section,
            title,
            command: None,
            when,
            grace: Duration::from_secs(7 * 24 * HOUR),
            limit: Duration::ZERO,
            need: Need::Nothing,
        }
    }

    const fn task_line(
        name: &'static str,
        section: &'static str,
        title: &'static str,
        command: &'static str,
        when: When,
    ) -> Self {
        Self {
            name,
            section,
            title,
            command: Some(command),
            when,
            grace: Duration::from_secs(6 * HOUR),
            limit: Duration::from_secs(2 * HOUR),
            need: Need::Nothing,
        }
    }

    const fn grace(mut self, minutes: u64) -> Self {
        self.grace = Duration::from_secs(minutes * 60);
        self
    }

    const fn limit(mut self, minutes: u64) -> Self {
        self.limit = Duration::from_secs(minutes * 60);
        self
    }

    const fn needs(mut self, need: Need) -> Self {
        self.need = need;
        self
    }
}

const HOUR: u64 = 3600;
/// January, April, July, October.
const QUARTERLY: u16 = 1 | 1 << 3 | 1 << 6 | 1 << 9;
const JANUARY: u16 = 1;
const APRIL: u16 = 1 << 3;
const JULY: u16 = 1 << 6;
const OCTOBER: u16 = 1 << 9;

use Line as L;

/// All of them, in the order of the plan.
#[rustfmt::skip]
pub const LINES: &[Line] = &[
    L::task_line("health", "§1.1", "health checks", "health", When::hourly(17)).grace(60).limit(2),
    L::task_line("rotate-logs", "§1.2", "log rotation", "rotate-logs", When::daily(2, 3)),
    L::task_line("backup", "§1.3", "database backup", "backup", When::daily(3, 7)).limit(360).needs(Need::Databases),
    L::task_line("verify-all", "§1.3", "test restore of every backup", "verify-backup --all", When::weekly(Sunday, 5, 23)).needs(Need::Databases),
    L::manual("offsite", "§1.3", "offsite copy", When::daily(6, 0)),
    L::task_line("cache-clean", "§1.4", "cache cleanup", "cache-clean --over 10m", When::hours(6, 41)).grace(120).needs(Need::Redis),
    L::task_line("optimize-db", "§2.1", "database optimization", "optimize-db", When::weekly(Monday, 1, 11)).needs(Need::Databases),
    L::task_line("audit", "§2.2", "security audit", "audit", When::weekly(Monday, 2, 21)),
    L::task_line("perf-report", "§2.3", "performance review", "perf-report", When::weekly(Tuesday, 9, 13)),
    L::task_line("verify-backup", "§2.4", "backup verification", "verify-backup", When::weekly(Wednesday, 10, 11)).needs(Need::Databases),
    L::task_line("deps", "§2.5", "dependency updates", "deps", When::weekly(Thursday, 1, 31)).needs(Need::Node),
    L::task_line("review-weekly", "§2", "the week's manual lines", "review weekly", When::weekly(Monday, 8, 43)),
    L::task_line("review-monthly", "§3.1", "full system review", "review monthly", When::monthly(EVERY_MONTH, 1, Monday, 8, 47)),
    L::task_line("certs", "§3.2", "certificates", "certs", When::daily(6, 28)).needs(Need::Certificates),
    L::task_line("data-clean", "§3.3", "data cleanup", "data-clean", When::monthly(EVERY_MONTH, 2, Monday, 4, 13)).needs(Need::Databases),
    L::task_line("access-audit", "§3.4", "user access audit", "access-audit", When::monthly(EVERY_MONTH, 3, Monday, 4, 37)).needs(Need::Databases),
    L::task_line("query-review", "§3.5", "performance optimization", "query-review", When::monthly(EVERY_MONTH, 4, Monday, 4, 53)).needs(Need::Databases),
    L::task_line("capacity", "§4.1", "capacity planning", "capacity", When::monthly(QUARTERLY, 1, Monday, 9, 41)),
    L::task_line("review-quarterly", "§4", "the quarter's checklists", "review quarterly", When::monthly(QUARTERLY, 1, Monday, 9, 51)),
    L::task_line("dr-drill", "§4.2", "disaster recovery drill", "dr-drill", When::monthly(JANUARY, 2, Tuesday, 10, 37)).needs(Need::Databases),
    L::manual("vulnerabilities", "§4.3", "vulnerability assessment", When::monthly(APRIL, 2, Tuesday, 10, 0)),
    L::task_line("compliance", "§4.4", "compliance audit", "compliance", When::monthly(JULY, 2, Tuesday, 10, 43)),
    L::manual("stack-review", "§4.5", "technology stack review", When::monthly(OCTOBER, 2, Tuesday, 10, 0)),
    L::task_line("review-annual", "§5.1", "comprehensive system audit", "review annual", When::monthly(JANUARY, 3, Tuesday, 9, 53)),
    L::manual("recovery-plan", "§5.2", "disaster recovery plan update", When::monthly(JANUARY, 3, Tuesday, 13, 0)),
    L::manual("infrastructure", "§5.3", "infrastructure planning", When::monthly(JANUARY, 3, Wednesday, 10, 0)),
    L::task_line("health-light", "§6.1", "answers, listens, disk, logins", "health --check http,listen,disk,logins", When::minutes(5, 0)).grace(30).limit(2),
    L::task_line("alerts-flush", "§6.2", "alerts that could not be sent", "alerts flush", When::minutes(5, 4)).limit(5).grace(30),
    L::task_line("gpu", "§7.1", "GPU health", "gpu", When::daily(6, 53)).needs(Need::Gpu),
    L::task_line("gpu-balance", "§7.2", "GPU load and benchmarks", "gpu --benchmark", When::weekly(Tuesday, 10, 3)).needs(Need::Benchmark),
    L::task_line("rag-clean", "§8.1", "vector database cleanup", "rag-clean", When::weekly(Sunday, 2, 37)).needs(Need::Embeddings),
    L::task_line("rag-index", "§8.2", "index optimization", "rag-clean --rebuild-index", When::monthly(EVERY_MONTH, 1, Tuesday, 2, 51)).needs(Need::Index),
    L::task_line("rag-eval", "§8.3", "retrieval quality", "rag-eval", When::monthly(QUARTERLY, 2, Tuesday, 11, 3)).needs(Need::Embeddings),
    L::manual("runbooks", "§9.1", "runbooks still true", When::monthly(QUARTERLY, 2, Wednesday, 10, 0)),
    L::manual("documentation", "§9.2", "documentation", When::monthly(QUARTERLY, 2, Thursday, 10, 0)),
    L::manual("training", "§9.3", "team meeting on procedures", When::monthly(EVERY_MONTH, 2, Wednesday, 14, 0)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::next_due;
    use crate::config::sections::schedule_names;
    use jiff::tz::TimeZone;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_those_of_the_configuration_and_each_is_there_once() {
        let names: Vec<_> = LINES.iter().map(|line| line.name).collect();
        assert_eq!(names, schedule_names());
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
    }

    #[test]
    fn every_section_of_the_plan_is_there() {
        for section in [
            "§1.1", "§1.2", "§1.3", "§1.4", "§2.1", "§2.2", "§2.3", "§2.4", "§2.5", "§3.1", "§3.2",
            "§3.3", "§3.4", "§3.5", "§4.1", "§4.2", "§4.3", "§4.4", "§4.5", "§5.1", "§5.2", "§5.3",
            "§7.1", "§7.2", "§8.1", "§8.2", "§8.3", "§9.1", "§9.2", "§9.3",
        ] {
            assert!(
                LINES.iter().any(|line| line.section == section),
                "{section}"
            );
        }
    }

    /// In a whole year no two commands begin in the same minute, but for those that run every few minutes.
    #[test]
    fn no_two_lines_begin_at_once() {
        let mut seen = std::collections::BTreeMap::new();
        let end = "2027-01-01T00:00:00Z".parse().expect("a time");
        for line in LINES.iter().filter(|line| line.command.is_some()) {
            let mut now = "2026-01-01T00:00:00Z".parse().expect("a time");
            while let Some(next) =
                next_due(&line.when, now, &TimeZone::UTC).filter(|next| *next < end)
            {
                if let Some(other) = seen.insert(next, line.name) {
                    panic!("{} and {other} both begin at {next}", line.name);
                }
                now = next;
            }
        }
    }

    #[test]
    fn the_command_is_known_by_every_name_of_a_run() {
        for (scope, command) in [
            ("verify-all", "verify-backup"),
            ("verify-backup, in part", "verify-backup"),
            ("restore", "restore"),
        ] {
            assert_eq!(command_of(scope), command);
        }
    }

    #[test]
    fn what_exists_is_told_by_the_list_that_is_handed_in() {
        let line = LINES
            .iter()
            .find(|line| line.name == "verify-all")
            .expect("is there");
        assert!(line.exists(&["backup", "verify-backup"]));
        assert!(!line.exists(&["backup", "verify"]));
        assert!(
            LINES
                .iter()
                .filter(|line| line.command.is_none())
                .all(|line| !line.exists(&[""]))
        );
    }
}

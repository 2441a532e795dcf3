//! One database of one server, and which rules can be asked there.

use std::time::Duration;

use crate::config::sections::Condition;
use crate::redis::{Rule, Server};
use crate::report::{Finding, Reporter, Severity};

/// What every single answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const NO_IDLE: &str = "cache.no-idle";

/// One database of one server, with the rules that are about it.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) database: i64,
    pub(super) cluster: bool,
    pub(super) rules: Vec<Rule>,
    /// The server keeps how often a key is used, and not since when it is not.
    pub(super) counts_use: bool,
}

impl Place {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.server.name(), self.database)
    }

    /// A database other than that of the URL is there because a rule names it.
    pub(super) fn name_rule(&self, error: anyhow::Error) -> anyhow::Error {
        match self.rules.first() {
            Some(rule) => error.context(format!("the rule '{}'", rule.pattern.text())),
            None => error,
        }
    }

    /// Where nobody knows how long a key was not used, no rule can ask for that: it is left out, and the others are done.
    pub(super) fn refuse_idle(&mut self, report: &Reporter) {
        let name = self.name();
        let counts_use = self.counts_use;
        self.rules.retain(|rule| {
            if !matches!(rule.when, Condition::Idle(_)) {
                return true;
            }
            let subject = format!("{name} {}", rule.pattern.text());
            report.examined(NO_IDLE, &*subject);
            if counts_use {
                report.find(
                    Finding::new(
                        NO_IDLE,
                        Severity::Medium,
                        subject,
                        format!("the rule {} was left out: with an LFU maxmemory-policy the server does not know how long a key was not used", rule.when),
                    )
                    .hint("another condition, such as ttl>1d; or redis-cli CONFIG SET maxmemory-policy allkeys-lru"),
                );
            }
            !counts_use
        });
    }
}

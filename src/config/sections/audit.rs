//! `[audit]`: what is looked through for signs of trouble.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::report::Severity;

/// What is looked through for signs of trouble.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// the Node project, where its package.json is
    pub project: PathBuf,
    /// advisories of less than this are not findings: low, moderate, high or critical
    pub npm_level: NpmLevel,
    /// the registry that is asked about advisories; default: the project's own; yarn 1 knows no other than registry.yarnpkg.com
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://registry.npmjs.org")]
    pub registry: Option<String>,
    /// where node and npm are, when they are not where the system has its programs
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/opt/node/bin")]
    pub node_bin: Option<PathBuf>,
    /// folders and files that are looked through for secrets
    pub sources: Vec<PathBuf>,
    /// what is left out of them
    pub exclude: Vec<PathBuf>,
    /// leave out what a .gitignore names too; a server's own .env usually is in one
    pub gitignore: bool,
    /// a file of rules in gitleaks' format, in place of the built-in ones unless it extends them
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"gitleaks.toml")]
    pub rules: Option<PathBuf>,
    /// findings that somebody has accepted, with who, why and until when
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"audit-baseline.toml")]
    pub baseline: Option<PathBuf>,
    /// one line a request: common, combined, morgan, nginx's JSON or pino's
    pub access_log: PathBuf,
    /// so many answers 401 and 403 to one address in a minute are a finding
    pub denied_per_minute: u64,
    /// where sshd and sudo write; without that file the system's journal is asked
    pub auth_log: PathBuf,
    /// so many failed ssh logins from one address in a minute are a finding
    pub auth_failures_per_minute: u64,
    /// what may listen, as in "443", "127.0.0.1:6379" or "udp:53"; without a list new ones are told from those of the last run
    pub allowed_sockets: Vec<String>,
    /// an intrusion test: it found something where it does not end with 0
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["/usr/sbin/rkhunter", "--check", "--skip-keypress", "--report-warnings-only"])]
    pub ids_command: Option<Vec<String>>,
}

/// How urgent an advisory is, in npm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NpmLevel {
    /// Everything but info.
    Low,
    /// Medium, in our words.
    Moderate,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl NpmLevel {
    /// The least severity that is meant.
    pub fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Moderate => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }

    /// The word, as npm has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            project: ".".into(),
            npm_level: NpmLevel::Moderate,
            registry: None,
            node_bin: None,
            sources: vec![".".into()],
            exclude: Vec::new(),
            gitignore: false,
            rules: None,
            baseline: None,
            access_log: "logs/access.log".into(),
            denied_per_minute: 60,
            auth_log: "/var/log/auth.log".into(),
            auth_failures_per_minute: 10,
            allowed_sockets: Vec::new(),
            ids_command: None,
        }
    }
}

impl Section for Audit {
    const NAME: &'static str = "audit";
}

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
    /// the registry that is asked about advisories; default: the project's own
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://registry.npmjs.org")]
    pub registry: Option<String>,
    /// where node and npm are, when they are not where the system has its programs
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/opt/node/bin")]
    pub node_bin: Option<PathBuf>,
    /// one line a request: common, combined, morgan, nginx's JSON or pino's
    pub access_log: PathBuf,
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
            access_log: "logs/access.log".into(),
        }
    }
}

impl Section for Audit {
    const NAME: &'static str = "audit";
}

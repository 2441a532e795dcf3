//! A Node project's package manager, asked what is known about its packages. What it says is decided by the shape of its JSON and
//! never by its exit code: npm ends 1 both for advisories and for a registry that refuses, and 0 where it never asked.

mod ask;
mod judge;
mod lock;
mod outdated;
mod read;
mod version;

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

pub use ask::{Manager, Project, is_about_logs};
pub use judge::{UNKNOWN, VULNERABLE, findings, judge};
pub use lock::Lock;
pub use outdated::{Outdated, outdated};
pub use read::read;
pub use version::{Version, satisfies};

use crate::report::Severity;

/// What an audit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every package was looked up, and nothing is known against any.
    Clean,
    /// These, each once, the most urgent first; never empty.
    Vulnerable(Vec<Advisory>),
    /// Nobody knows, for this reason. Never the same as clean.
    Unknown(String),
}

/// One published weakness of one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Advisory {
    /// The name of the advisory (`GHSA-…`), else the registry's number.
    pub id: String,
    /// The package that has it.
    pub package: String,
    /// What it is.
    pub title: String,
    /// Where it is described.
    pub url: String,
    /// By its own word; moderate is medium, and a word that nobody knows is high.
    #[schemars(with = "String")]
    pub severity: Severity,
    /// The versions that have it.
    pub range: String,
    /// True when the project itself asks for the package.
    pub direct: bool,
    /// The packages that the project asks for and through which this one comes.
    pub through: Vec<String>,
    /// Whether there is a way out.
    pub fix: Fix,
}

/// The way out of an advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fix {
    /// None is known.
    Missing,
    /// A version that fits what the project asks for.
    Available,
    /// Only a version that may break the project: this package at this version.
    Breaking(String),
    /// The package manager does not say.
    Unsaid,
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no fix yet"),
            Self::Available => f.write_str("a fix is available"),
            Self::Breaking(version) => write!(f, "the fix may break things: {version}"),
            Self::Unsaid => f.write_str("see the advisory for a fix"),
        }
    }
}

impl fmt::Display for Advisory {
    /// `left: Bad pad (GHSA-…), through outer; a fix is available`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.package, self.title, self.id)?;
        if !self.direct && !self.through.is_empty() {
            write!(f, ", through {}", self.through.join(", "))?;
        }
        write!(f, "; {}", self.fix)
    }
}

//! The exit codes, a public promise: those that monitoring wrappers know.

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Kind;

/// The verdict on a run, with the exit codes that monitoring wrappers know.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing above low.
    Ok,
    /// At least one medium finding.
    Warning,
    /// At least one high or critical finding, or a run that could not finish.
    Critical,
    /// The task could not start.
    Unknown,
}

impl Status {
    /// The lower-case word used in every format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 0, 1, 2 or 3.
    Status(Status),
    /// 128 + the signal that ended the run.
    Signal(u8),
}

/// What help and manual pages tell.
pub const CODES: [(&str, &str); 5] = [
    ("0", "ok: nothing above low"),
    ("1", "warning: a medium finding"),
    (
        "2",
        "critical: a high or critical finding, or a run that started and could not finish",
    ),
    (
        "3",
        "unknown: the task could not start (usage, configuration, lock, a missing part)",
    ),
    ("128+n", "ended by signal n"),
];

/// The same as a table.
pub fn table() -> String {
    let lines = CODES.map(|(code, meaning)| format!("\n  {code:<5}  {meaning}"));
    format!("EXIT STATUS{}", lines.concat())
}

impl Code {
    /// The number.
    pub fn value(self) -> u8 {
        match self {
            Self::Status(Status::Ok) => 0,
            Self::Status(Status::Warning) => 1,
            Self::Status(Status::Critical) => 2,
            Self::Status(Status::Unknown) => 3,
            Self::Signal(signal) => 128u8.saturating_add(signal),
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.value())
    }
}

/// The status of a run that ended with a failure of this kind.
pub fn status_of_failure(kind: Kind) -> Status {
    if kind.could_not_start() {
        Status::Unknown
    } else {
        Status::Critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        assert_eq!(Code::Status(Status::Ok).value(), 0);
        assert_eq!(Code::Status(Status::Warning).value(), 1);
        assert_eq!(Code::Status(Status::Critical).value(), 2);
        assert_eq!(Code::Status(Status::Unknown).value(), 3);
        assert_eq!(Code::Signal(15).value(), 143);
    }

    #[test]
    fn only_what_could_not_start_is_unknown() {
        assert_eq!(status_of_failure(Kind::Locked), Status::Unknown);
        assert_eq!(status_of_failure(Kind::TimeLimit), Status::Critical);
    }
}

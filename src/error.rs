//! How a failure is told: its kind (which decides the exit code), one sentence, and what to do next.
//! Everything else travels as `anyhow` context; a [`Failure`] may sit anywhere in that chain.

use std::error::Error;
use std::fmt;
use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, as far as the exit code and the alert routes need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The command line does not make sense.
    Usage,
    /// The configuration does not make sense.
    Config,
    /// Somebody else holds the lock.
    Locked,
    /// A program, file or peer that the task cannot do without is not there.
    Missing,
    /// The request is refused because it would destroy something.
    Refused,
    /// What was read is not what was once written: the stored data is at fault, not this machine's moment.
    Damaged,
    /// SIGINT, SIGTERM or SIGHUP.
    Interrupted,
    /// The time limit of the run was reached.
    TimeLimit,
    /// The code panicked: a defect of this program.
    Panic,
    /// Anything that happened to a run that had started: I/O, full disk, peer gone.
    Failed,
}

impl Kind {
    /// True when the task never started, which is exit code 3.
    pub fn could_not_start(self) -> bool {
        matches!(
            self,
            Self::Usage | Self::Config | Self::Locked | Self::Missing | Self::Refused
        )
    }
}

/// An error with a kind and, where there is one, the next step for the operator.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// Lower case, names the thing.
    pub message: String,
    /// A command to run or a thing to change.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Shorthand for the commonest refusal: bad input on the command line.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Usage, message)
}

/// Shorthand for an impossible or missing configuration value.
pub fn config(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Config, message)
}

/// Shorthand for "this would destroy something".
pub fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Refused, message)
}

/// Shorthand for "what was asked for is not there".
pub fn missing(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Missing, message)
}

/// Shorthand for "the stored data is not what it should be".
pub fn damaged(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Damaged, message)
}

/// The first [`Failure`] of a chain, whatever context was put around it.
pub fn failure_in(error: &anyhow::Error) -> Option<&Failure> {
    error.downcast_ref::<Failure>().or_else(|| {
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Failure>())
    })
}

/// The kind of an error; [`Kind::Failed`] where nobody said.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    failure_in(error).map_or(Kind::Failed, |failure| failure.kind)
}

/// The next step that an error names, where it does.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    failure_in(error).and_then(|failure| failure.hint.as_deref())
}

/// What the system said, where that is the cause. Decoders put their own words around it, and errors of their own kinds beside it.
pub fn system_error(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if io.raw_os_error().is_some() {
                return Some(io.kind());
            }
            // Its source is that of what it holds, which may be such an error itself.
            next = io.get_ref().map(|held| held as _);
        } else {
            next = error.source();
        }
    }
    None
}

/// True for errors that end the whole run and must not be turned into a finding about one subject.
pub fn ends_the_run(error: &anyhow::Error) -> bool {
    matches!(kind_of(error), Kind::Interrupted | Kind::TimeLimit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn kind_and_hint_survive_context() {
        let error = Err::<(), _>(refused("target exists").hint("use --force"))
            .context("restoring app_db")
            .expect_err("is an error");
        assert_eq!(kind_of(&error), Kind::Refused);
        assert_eq!(hint_of(&error), Some("use --force"));
    }
}

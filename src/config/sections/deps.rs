//! `[deps]`: packages of the Node project, which `[audit] project` names.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use super::values::names_program;
use crate::error::{Failure, config};
use crate::units::Length;

/// How fixes of packages are tried.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deps {
    /// where the project is copied to be fixed and tested; its owner must be able to get there
    #[serde(deserialize_with = "super::values::path")]
    pub scratch_dir: PathBuf,
    /// what lies in the project's folder and is not copied; databases and backups never are
    pub leave_out: Vec<String>,
    /// tests the copy, as the project's owner
    pub test_command: Vec<String>,
    /// how long one test may take
    #[serde(deserialize_with = "super::values::some_time")]
    pub test_timeout: Length,
    /// packages' own scripts do not run
    pub ignore_scripts: bool,
    /// the end of life of the Node that runs here, where this program does not know it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"2031-04-30")]
    pub node_end_of_life: Option<String>,
}

impl Default for Deps {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            scratch_dir: "/var/tmp".into(),
            leave_out: words(&[
                ".git", "archive", "backups", "certs", "data", "logs", "reports",
            ]),
            test_command: words(&["npm", "test"]),
            test_timeout: Length::from_millis(1_800_000),
            ignore_scripts: true,
            node_end_of_life: None,
        }
    }
}

impl Section for Deps {
    const NAME: &'static str = "deps";

    fn check(&self) -> Result<(), Failure> {
        if !names_program(&self.test_command) {
            return Err(config("[deps] test_command is empty").hint("as in [\"npm\", \"test\"]"));
        }
        match &self.node_end_of_life {
            Some(date) if date.parse::<jiff::civil::Date>().is_err() => Err(config(format!(
                "[deps] node_end_of_life: '{date}' is no date"
            ))
            .hint("as in \"2031-04-30\"")),
            _ => Ok(()),
        }
    }
}

//! `[optimize]`: what `optimize-db` may do to a live database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::config::Config;
use crate::error::{self, Failure};
use crate::units::Length;

/// How far the care of live databases may go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Optimize {
    /// how long one step may hold up the writers of a database, and wait for them
    pub max_lock: Length,
    /// nothing is changed without a verified backup that is younger than this
    pub backup_max_age: Length,
    /// databases that may be vacuumed although that renumbers tables with neither INTEGER PRIMARY KEY nor index
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["app_db"])]
    pub vacuum_anyway: Vec<String>,
}

impl Default for Optimize {
    fn default() -> Self {
        Self {
            max_lock: Length::from_millis(5_000),
            backup_max_age: Length::from_millis(24 * 3_600_000),
            vacuum_anyway: Vec::new(),
        }
    }
}

impl Section for Optimize {
    const NAME: &'static str = "optimize";

    fn check(&self) -> Result<(), Failure> {
        for (key, length) in [
            ("max_lock", self.max_lock),
            ("backup_max_age", self.backup_max_age),
        ] {
            if length.0.is_zero() {
                return Err(error::config(format!("[optimize] {key} is 0")).hint(
                    "a step that may take no time is never done: 5s and 24h are the defaults",
                ));
            }
        }
        Ok(())
    }

    fn review(&self, config: &Config) -> Result<(), Failure> {
        let key = ["vacuum_anyway"];
        let mut names = self.vacuum_anyway.iter();
        names.try_for_each(|name| config.require_database(Self::NAME, &key, name))
    }
}

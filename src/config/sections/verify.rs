//! `[verify]`: how backups are tried out.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::error::{self, Failure};

/// How backups are tried out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// where backups are restored to be checked; default: a private folder beside the backups
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/tmp")]
    #[serde(deserialize_with = "super::values::path")]
    pub scratch_dir: Option<PathBuf>,
    /// a table whose rows differ from the live database by more than this (and by more than 1000 rows) is a finding, %
    #[schemars(range(min = 0.0))]
    pub row_tolerance_pct: f64,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            scratch_dir: None,
            row_tolerance_pct: 50.0,
        }
    }
}

impl Section for Verify {
    const NAME: &'static str = "verify";

    fn check(&self) -> Result<(), Failure> {
        match self.row_tolerance_pct >= 0.0 {
            true => Ok(()),
            false => Err(error::config(format!(
                "row_tolerance_pct = {} is no difference: from 0 up",
                self.row_tolerance_pct
            ))),
        }
    }
}

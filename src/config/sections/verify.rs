//! `[verify]`: how backups are tried out.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// How backups are tried out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// where backups are restored to be checked; default: a private folder beside the backups
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/tmp")]
    pub scratch_dir: Option<PathBuf>,
    /// a table whose rows differ from the live database by more than this (and by more than 1000 rows) is a finding, %
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
}

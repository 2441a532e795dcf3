//! `[audit]`: what is looked through for signs of trouble.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// What is looked through for signs of trouble.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// one line a request: common, combined, morgan, nginx's JSON or pino's
    pub access_log: PathBuf,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            access_log: "logs/access.log".into(),
        }
    }
}

impl Section for Audit {
    const NAME: &'static str = "audit";
}

//! `[logs]`: the application's own logs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// The application's own logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// where the application writes its errors: new kinds of them, and many at once, are findings
    #[serde(deserialize_with = "super::values::path")]
    pub error_logs: Vec<PathBuf>,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            error_logs: vec!["logs/error.log".into()],
        }
    }
}

impl Section for Logs {
    const NAME: &'static str = "logs";
}

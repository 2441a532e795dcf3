//! `[runbooks]`: procedures of one's own.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// Procedures of one's own, beside the built-in ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runbooks {
    /// a folder of NAME.md files, each shown by `runbook show NAME`; one beats the built-in one of the same name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"runbooks")]
    #[serde(deserialize_with = "super::values::path")]
    pub dir: Option<PathBuf>,
}

impl Section for Runbooks {
    const NAME: &'static str = "runbooks";
}

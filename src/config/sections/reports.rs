//! `[reports]`: dated files for people.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::units::CalendarSpan;

/// Dated files for people.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// where they are kept
    #[serde(deserialize_with = "super::values::path")]
    pub dir: PathBuf,
    /// older ones are removed
    pub keep: CalendarSpan,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            dir: "reports".into(),
            keep: CalendarSpan::days(400),
        }
    }
}

impl Section for Reports {
    const NAME: &'static str = "reports";
}

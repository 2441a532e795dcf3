//! `[state]`: where the journal lives.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::error::{self, Failure};
use crate::units::Length;

/// The program's own memory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// journal and lock files; default: /var/lib/empire-maint, or as another user $STATE_DIRECTORY or $XDG_STATE_HOME/empire-maint
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/lib/empire-maint")]
    #[serde(deserialize_with = "super::values::path")]
    pub dir: Option<PathBuf>,
    /// runs older than this are taken out of the journal; of those older than 35 days that found nothing new, one a day stays
    pub keep: Length,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: None,
            keep: Length(Duration::from_secs(800 * 86_400)),
        }
    }
}

impl Section for State {
    const NAME: &'static str = "state";

    fn check(&self) -> Result<(), Failure> {
        // Availability is told from the runs of a month.
        let least = Length(Duration::from_secs(35 * 86_400));
        if self.keep.0 < least.0 {
            return Err(error::config(format!(
                "[state] keep = \"{}\" is less than {least}",
                self.keep
            ))
            .hint("as in keep = \"800d\""));
        }
        Ok(())
    }
}

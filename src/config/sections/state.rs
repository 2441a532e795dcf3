//! `[state]`: where the journal lives.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// The program's own memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// journal and lock files; default: /var/lib/empire-maint, or as another user $STATE_DIRECTORY or $XDG_STATE_HOME/empire-maint
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/lib/empire-maint")]
    pub dir: Option<PathBuf>,
}

impl Section for State {
    const NAME: &'static str = "state";
}

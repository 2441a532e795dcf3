//! `[redis]`: where it is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// The Redis that the application uses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// host, port and database; for a socket redis+unix:///run/redis.sock
    pub url: String,
    /// a file that holds the password
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/redis-password")]
    pub password_file: Option<PathBuf>,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/0".into(),
            password_file: None,
        }
    }
}

impl Section for Redis {
    const NAME: &'static str = "redis";
}

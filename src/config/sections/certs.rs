//! `[certs]`: certificates in files and as they are served.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// Certificates in files and as they are served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// files, or directories of them
    pub files: Vec<PathBuf>,
    /// what is served: "host:port", or "smtp:host:25" for STARTTLS
    pub endpoints: Vec<String>,
    /// renews certificates by itself: an argument list, never a shell; with it, expiry is a finding somewhat later
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["certbot", "renew", "--non-interactive"])]
    pub renew_command: Option<Vec<String>>,
}

impl Default for Certs {
    fn default() -> Self {
        Self {
            files: vec!["certs/cert.pem".into()],
            endpoints: Vec::new(),
            renew_command: None,
        }
    }
}

impl Section for Certs {
    const NAME: &'static str = "certs";
}

//! `[certs]`: certificates in files and as they are served.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::units::Length;

/// Certificates in files and as they are served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// files, or directories of them
    pub files: Vec<PathBuf>,
    /// what is served: "host:port", "smtp:host:25" for STARTTLS, "name@host:port" to ask for another name than the host's
    pub endpoints: Vec<String>,
    /// renews certificates by itself: an argument list, never a shell; with it, expiry is a finding somewhat later
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["certbot", "renew", "--non-interactive"])]
    pub renew_command: Option<Vec<String>>,
    /// how long renew_command may take
    pub renew_timeout: Length,
    /// makes the servers read the new certificate; default: the reload of [app]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["systemctl", "reload", "nginx"])]
    pub reload_command: Option<Vec<String>>,
    /// how long the endpoints may take to serve the new certificate
    pub proof_timeout: Length,
    /// files with authorities of your own, known beside the system's
    pub roots: Vec<PathBuf>,
}

impl Default for Certs {
    fn default() -> Self {
        Self {
            files: vec!["certs/cert.pem".into()],
            endpoints: Vec::new(),
            renew_command: None,
            renew_timeout: Length::from_millis(600_000),
            reload_command: None,
            proof_timeout: Length::from_millis(60_000),
            roots: Vec::new(),
        }
    }
}

impl Section for Certs {
    const NAME: &'static str = "certs";
}

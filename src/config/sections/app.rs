//! `[app]`: the server that is looked after.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// The application that is looked after.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// relative paths below start here
    pub root: PathBuf,
    /// answers 200 when the application is well
    pub health_url: String,
    /// where the application listens
    pub listen: String,
    /// stop, start and reload default to systemctl on this unit
    pub service: String,
    /// the application's own user; default: the owner of root
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"agentic")]
    pub user: Option<String>,
    /// stops the application: an argument list, never a shell
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["systemctl", "stop", "agentic-empire"])]
    pub stop: Option<Vec<String>>,
    /// starts the application
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["systemctl", "start", "agentic-empire"])]
    pub start: Option<Vec<String>>,
    /// makes the application reopen its files
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["systemctl", "reload", "agentic-empire"])]
    pub reload: Option<Vec<String>>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            root: "/opt/agentic-empire".into(),
            health_url: "http://localhost:3000/health".into(),
            listen: "0.0.0.0:3000".into(),
            service: "agentic-empire".into(),
            user: None,
            stop: None,
            start: None,
            reload: None,
        }
    }
}

impl App {
    /// The argument list that stops the application.
    pub fn stop_command(&self) -> Vec<String> {
        self.stop.clone().unwrap_or_else(|| self.systemctl("stop"))
    }

    /// The argument list that starts the application.
    pub fn start_command(&self) -> Vec<String> {
        self.start
            .clone()
            .unwrap_or_else(|| self.systemctl("start"))
    }

    /// The argument list that makes the application reopen its files.
    pub fn reload_command(&self) -> Vec<String> {
        self.reload
            .clone()
            .unwrap_or_else(|| self.systemctl("reload"))
    }

    fn systemctl(&self, verb: &str) -> Vec<String> {
        vec!["systemctl".into(), verb.into(), self.service.clone()]
    }
}

impl Section for App {
    const NAME: &'static str = "app";
}

//! `[app]`: the server that is looked after.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use super::values::names_program;
use crate::config::Config;
use crate::error::Failure;

/// The application that is looked after.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// relative paths below start here
    #[serde(deserialize_with = "super::values::path")]
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

impl App {
    /// Host and port of `listen`.
    pub fn listens_at(&self) -> Option<(String, u16)> {
        let (host, port) = self.listen.rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Some((host, port.parse().ok()?))
    }
}

impl Section for App {
    const NAME: &'static str = "app";

    fn review(&self, config: &Config) -> Result<(), Failure> {
        let wrong = |key: &str, message: String| config.impossible(Self::NAME, &[key], &message);
        if self.listens_at().is_none() {
            let message = format!("\"{}\" is no address with a port", self.listen);
            return Err(wrong("listen", message).hint("as in \"0.0.0.0:3000\""));
        }
        let rest = self.health_url.split_once("://");
        if !rest.is_some_and(|(scheme, rest)| {
            ["http", "https"].contains(&scheme) && !rest.is_empty() && !rest.starts_with('/')
        }) {
            let message = format!("\"{}\" is neither http:// nor https://", self.health_url);
            return Err(wrong("health_url", message));
        }
        if self.service.trim().is_empty() {
            return Err(wrong("service", "it names no unit".into()));
        }
        for (key, command) in [
            ("stop", &self.stop),
            ("start", &self.start),
            ("reload", &self.reload),
        ] {
            if command.as_ref().is_some_and(|list| !names_program(list)) {
                return Err(wrong(key, "it names no program".into()));
            }
        }
        Ok(())
    }
}

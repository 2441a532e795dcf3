//! `[certs]`: certificates in files and as they are served.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Section;
use crate::units::Length;

/// Certificates in files and as they are served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// files, or directories of them
    #[serde(deserialize_with = "super::values::path")]
    pub files: Vec<PathBuf>,
    /// what is served: "host:port", "smtp:host:25" for STARTTLS, "name@host:port" to ask for another name than the host's
    #[serde(deserialize_with = "endpoints")]
    pub endpoints: Vec<String>,
    /// renews certificates by itself: an argument list, never a shell; with it, expiry is a finding somewhat later
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["certbot", "renew", "--non-interactive"])]
    #[serde(deserialize_with = "super::values::program")]
    pub renew_command: Option<Vec<String>>,
    /// how long renew_command may take
    #[serde(deserialize_with = "super::values::some_time")]
    pub renew_timeout: Length,
    /// makes the servers read the new certificate; default: the reload of [app]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["systemctl", "reload", "nginx"])]
    #[serde(deserialize_with = "super::values::program")]
    pub reload_command: Option<Vec<String>>,
    /// how long the endpoints may take to serve the new certificate
    #[serde(deserialize_with = "super::values::some_time")]
    pub proof_timeout: Length,
    /// files with authorities of your own, known beside the system's
    #[serde(deserialize_with = "super::values::path")]
    pub roots: Vec<PathBuf>,
}

fn endpoints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    list.iter()
        .try_for_each(|text| text.parse::<Endpoint>().map(drop))
        .map_err(de::Error::custom)?;
    Ok(list)
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

/// Where TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name that is asked for, where it is not the host.
    pub asked_for: Option<String>,
    /// Host or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it begins as SMTP does.
    pub smtp: bool,
}

impl Endpoint {
    /// The name that its clients use; `None` for an address of this machine, by which nobody else knows it.
    pub fn name(&self) -> Option<&str> {
        if let Some(name) = &self.asked_for {
            return Some(name);
        }
        let local = self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        (!local).then_some(self.host.as_str())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (smtp, rest) = match text.strip_prefix("smtp:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, rest) = match rest.split_once('@') {
            Some((name, rest)) if ServerName::try_from(name).is_ok() => {
                (Some(name.to_owned()), rest)
            }
            Some(_) => (None, ""),
            None => (None, rest),
        };
        let parts = rest
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => Ok(Self {
                asked_for: name,
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
                smtp,
            }),
            _ => Err(format!(
                "'{text}' is no endpoint: as in \"host:443\", \"smtp:host:25\" or \"www.example.org@127.0.0.1:443\""
            )),
        }
    }
}

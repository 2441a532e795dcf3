//! `[audit]`: what is looked through for signs of trouble.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::error::{Failure, config};
use crate::report::Severity;

/// What is looked through for signs of trouble.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// the Node project, where its package.json is
    #[serde(deserialize_with = "super::values::path")]
    pub project: PathBuf,
    /// advisories of less than this are not findings: low, moderate, high or critical
    pub npm_level: NpmLevel,
    /// the registry that is asked about advisories; default: the project's own; yarn 1 knows no other than registry.yarnpkg.com
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://registry.npmjs.org")]
    pub registry: Option<String>,
    /// where node and npm are, when they are not where the system has its programs
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/opt/node/bin")]
    #[serde(deserialize_with = "super::values::path")]
    pub node_bin: Option<PathBuf>,
    /// folders and files that are looked through for secrets
    #[serde(deserialize_with = "super::values::path")]
    pub sources: Vec<PathBuf>,
    /// what is left out of them
    #[serde(deserialize_with = "super::values::path")]
    pub exclude: Vec<PathBuf>,
    /// leave out what a .gitignore names too; a server's own .env usually is in one
    pub gitignore: bool,
    /// a file of rules in gitleaks' format, in place of the built-in ones unless it extends them
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"gitleaks.toml")]
    #[serde(deserialize_with = "super::values::path")]
    pub rules: Option<PathBuf>,
    /// findings that somebody has accepted, with who, why and until when
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"audit-baseline.toml")]
    #[serde(deserialize_with = "super::values::path")]
    pub baseline: Option<PathBuf>,
    /// one line a request: common, combined, morgan, nginx's JSON or pino's
    #[serde(deserialize_with = "super::values::path")]
    pub access_log: PathBuf,
    /// so many answers 401 and 403 to one address in a minute are a finding
    pub denied_per_minute: u64,
    /// where sshd and sudo write; without that file the system's journal is asked
    #[serde(deserialize_with = "super::values::path")]
    pub auth_log: PathBuf,
    /// so many failed ssh logins from one address in a minute are a finding
    pub auth_failures_per_minute: u64,
    /// what may listen, as in "443", "127.0.0.1:6379" or "udp:53"; without a list new ones are told from those of the last run
    pub allowed_sockets: Vec<String>,
    /// an intrusion test: it found something where it does not end with 0
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["/usr/sbin/rkhunter", "--check", "--skip-keypress", "--report-warnings-only"])]
    #[serde(deserialize_with = "super::values::program")]
    pub ids_command: Option<Vec<String>>,
}

/// How urgent an advisory is, in npm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NpmLevel {
    /// Everything but info.
    Low,
    /// Medium, in our words.
    Moderate,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl NpmLevel {
    /// The least severity that is meant.
    pub fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Moderate => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }

    /// The word, as npm has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            project: ".".into(),
            npm_level: NpmLevel::Moderate,
            registry: None,
            node_bin: None,
            sources: vec![".".into()],
            exclude: Vec::new(),
            gitignore: false,
            rules: None,
            baseline: None,
            access_log: "logs/access.log".into(),
            denied_per_minute: 60,
            auth_log: "/var/log/auth.log".into(),
            auth_failures_per_minute: 10,
            allowed_sockets: Vec::new(),
            ids_command: None,
        }
    }
}

impl Section for Audit {
    const NAME: &'static str = "audit";

    fn check(&self) -> Result<(), Failure> {
        if let Some(wrong) = self
            .allowed_sockets
            .iter()
            .find(|text| text.parse::<Allowed>().is_err())
        {
            return Err(
                config(format!("[audit] allowed_sockets: '{wrong}' is no socket"))
                    .hint("as in \"443\", \"127.0.0.1:6379\", \"[::]:443\" or \"udp:53\""),
            );
        }
        match &self.registry {
            Some(url) if has_password(url) => Err(config(
                "[audit] registry has a name or password in it, which every user of this machine could read while npm runs",
            )
            .hint("the project's .npmrc is the place: //HOST/:_auth or //HOST/:_authToken")),
            _ => Ok(()),
        }
    }
}

/// `https://user:password@host/…`
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.contains('@')
}

/// What may listen: a port, at one address or at any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    udp: bool,
    port: u16,
    address: Option<IpAddr>,
}

impl Allowed {
    /// True when it is the socket at `local`.
    pub fn is(&self, local: SocketAddr, udp: bool) -> bool {
        self.udp == udp
            && self.port == local.port()
            && self.address.is_none_or(|address| address == local.ip())
    }
}

impl FromStr for Allowed {
    type Err = ();

    /// `443`, `0.0.0.0:443`, `[::]:443`; of UDP `udp:53`, `udp:0.0.0.0:53`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (udp, rest) = match text.strip_prefix("udp:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (port, address) = match (rest.parse::<u16>(), rest.parse::<SocketAddr>()) {
            (Ok(port), _) => (port, None),
            (_, Ok(at)) => (at.port(), Some(at.ip())),
            _ => return Err(()),
        };
        Ok(Self { udp, port, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_can_be_allowed() {
        let is = |text: &str, local: &str, udp: bool| {
            let allowed: Allowed = text.parse().expect(text);
            allowed.is(local.parse().expect(local), udp)
        };
        assert!(is("443", "0.0.0.0:443", false) && !is("443", "0.0.0.0:443", true));
        assert!(is("127.0.0.1:6379", "127.0.0.1:6379", false));
        assert!(!is("127.0.0.1:6379", "0.0.0.0:6379", false));
        assert!(is("[::]:443", "[::]:443", false) && is("udp:53", "0.0.0.0:53", true));
        for wrong in [
            "https",
            "443/tcp",
            "",
            "udp:",
            "localhost:80",
            "70000",
            "tcp:443",
        ] {
            let audit = Audit {
                allowed_sockets: vec!["443".into(), wrong.into()],
                ..Audit::default()
            };
            let error = audit.check().expect_err(wrong);
            assert!(error.to_string().contains(&format!("'{wrong}'")), "{error}");
        }
    }

    #[test]
    fn a_password_has_no_place_in_an_address() {
        for (url, refused) in [
            ("https://registry.npmjs.org", false),
            ("https://npm.example.test/@scope/", false),
            ("https://jo:secret@npm.example.test/", true),
            ("https://token@npm.example.test", true),
        ] {
            let audit = Audit {
                registry: Some(url.into()),
                ..Audit::default()
            };
            assert_eq!(audit.check().is_err(), refused, "{url}");
        }
    }
}

//! `[redis]`: where it is, and how to get in.

use std::path::PathBuf;

use ::redis::{ConnectionInfo, IntoConnectionInfo as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::Section;
use crate::config::Config;
use crate::error::{self, Failure};

/// The Redis that the application uses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// user, host, port and database; rediss:// for TLS; for a socket redis+unix:///run/redis.sock; of a cluster any one server
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// a file whose first line is the password; may begin with $CREDENTIALS_DIRECTORY
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/redis-password")]
    #[serde(deserialize_with = "super::values::path")]
    pub password_file: Option<PathBuf>,
    /// TLS: certificates to trust instead of the system's
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/redis/ca.pem")]
    #[serde(deserialize_with = "super::values::path")]
    pub ca_file: Option<PathBuf>,
    /// TLS: our own certificate, for a server that asks for one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/redis.pem")]
    #[serde(deserialize_with = "super::values::path")]
    pub cert_file: Option<PathBuf>,
    /// TLS: its key
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/redis.key")]
    #[serde(deserialize_with = "super::values::path")]
    pub key_file: Option<PathBuf>,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/0".into(),
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }
}

impl Section for Redis {
    const NAME: &'static str = "redis";

    fn check(&self) -> Result<(), Failure> {
        let tls = [&self.ca_file, &self.cert_file, &self.key_file];
        if tls.iter().any(|file| file.is_some()) && !self.url.starts_with("rediss://") {
            return Err(error::config(
                "ca_file, cert_file and key_file are for TLS, and the url is not",
            )
            .hint("url = \"rediss://…\""));
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(error::config("cert_file and key_file go together"));
        }
        Ok(())
    }

    fn review(&self, config: &Config) -> Result<(), Failure> {
        match self.connection() {
            Some(_) => Ok(()),
            None => Err(config
                .impossible(
                    Self::NAME,
                    &["url"],
                    "it is not the address of a Redis server",
                )
                .hint("as in redis://127.0.0.1:6379/0 or redis+unix:///run/redis.sock")),
        }
    }
}

impl Redis {
    /// What the URL says. The crate's own message may repeat it, and with it the password.
    pub fn connection(&self) -> Option<ConnectionInfo> {
        self.url.as_str().into_connection_info().ok()
    }
}

/// A password that stands in the address is shown to nobody.
fn without_password<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redacted(url))
}

fn redacted(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        for (url, shown) in [
            (
                "redis://:hunter2@127.0.0.1:6379/0",
                "redis://:***@127.0.0.1:6379/0",
            ),
            ("rediss://app:hun@ter2@h/1", "rediss://app:***@h/1"),
            ("redis://app@h:1/0", "redis://app@h:1/0"),
            (
                "redis+unix:///run/redis.sock",
                "redis+unix:///run/redis.sock",
            ),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn keys_of_tls_want_tls() {
        let read = |text: &str| toml::from_str::<Redis>(text).expect("reads").check();
        assert!(read("ca_file = \"x\"").is_err());
        assert!(read("url = \"rediss://h\"\ncert_file = \"x\"").is_err());
        assert!(read("url = \"rediss://h\"\nca_file = \"x\"").is_ok());
    }
}

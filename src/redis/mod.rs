//! A Redis server, asked within a limit: the crate's own connections would wait for an answer for ever. The crate is `::redis`.
//! One way to connect (`Server`), one way to ask (`Link`), one way to change many keys (`Sweep`).

mod glob;
mod judge;
mod link;
mod pace;
mod primaries;
mod sample;
mod sweep;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    TlsCertificates,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Secret;
use crate::config::sections::Redis;
use crate::error::{self, Failure, Kind};
use crate::sys::files;

pub use glob::Pattern;
pub use judge::{judge_memory, judge_saving};
pub use link::Link;
pub use pace::{Pace, Pings};
pub use sample::{Sample, Sampled, Share};
pub use sweep::{Mode, Rule, Sweep, Tally};

const LARGEST_CERTIFICATE: u64 = 4 << 20;

/// Where a server is, without showing how to get in.
#[derive(Clone)]
pub struct Server {
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
}

impl Server {
    /// Reads the URL, and password and certificates from their files.
    pub fn new(settings: &Redis) -> anyhow::Result<Self> {
        let mut info = settings.connection().ok_or_else(|| {
            error::config("[redis] url is not the address of a Redis server")
                .hint("as in redis://127.0.0.1:6379/0 or redis+unix:///run/redis.sock")
        })?;
        let file = settings.password_file.as_deref();
        if let Some(password) = Secret::read("[redis] password", None, file)? {
            let login = info.redis_settings().clone();
            info = info.set_redis_settings(login.set_password(password));
        }
        let ca = settings.ca_file.as_deref();
        let root_cert = ca.map(|file| certificates("ca_file", file)).transpose()?;
        let client_tls = match (&settings.cert_file, &settings.key_file) {
            (Some(certificate), Some(key)) => Some(ClientTlsConfig {
                client_cert: certificates("cert_file", certificate)?,
                client_key: key_in(key)?,
            }),
            _ => None,
        };
        let tls = root_cert.is_some() || client_tls.is_some();
        Ok(Self {
            info,
            certificates: tls.then_some(TlsCertificates {
                client_tls,
                root_cert,
            }),
        })
    }

    /// Host and port, or socket, of a URL; nothing is read for it.
    pub fn address(url: &str) -> Option<String> {
        let info = url.into_connection_info().ok()?;
        Some(info.addr().to_string())
    }

    /// Host and port, or socket.
    pub fn name(&self) -> String {
        self.info.addr().to_string()
    }

    /// The database that the URL names.
    pub fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// The same server with another database.
    pub fn with_database(&self, number: i64) -> Self {
        let settings = self.info.redis_settings().clone();
        Self {
            info: self
                .info
                .clone()
                .set_redis_settings(settings.set_db(number)),
            certificates: self.certificates.clone(),
        }
    }

    /// Another server of the same cluster, with the same way in.
    fn at(&self, host: &str, port: u16) -> Self {
        let host = host.to_owned();
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self {
            info: self.info.clone().set_addr(addr),
            certificates: self.certificates.clone(),
        }
    }

    /// Connects, asks whether it is there, and what it says about itself.
    pub fn look(&self, limit: Duration) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let mut link = self.connect(limit)?;
        let mut asked = || {
            link.ping()?;
            let ping = started.elapsed();
            Ok(Answer {
                ping,
                ..link.info()?
            })
        };
        // Nothing has begun yet: one that is loading or wants a password is one that is not there.
        asked().map_err(|error: anyhow::Error| match error.downcast::<Failure>() {
            Ok(failure) => Failure {
                kind: Kind::Missing,
                ..failure
            }
            .into(),
            Err(other) => other,
        })
    }

    /// A connection whose every answer comes within `limit`, or is an error.
    pub fn connect(&self, limit: Duration) -> anyhow::Result<Link> {
        let connect = || {
            let client = match &self.certificates {
                Some(certificates) => {
                    Client::build_with_tls(self.info.clone(), certificates.clone())?
                }
                None => Client::open(self.info.clone())?,
            };
            let connection = client.get_connection_with_timeout(limit)?;
            connection.set_read_timeout(Some(limit))?;
            connection.set_write_timeout(Some(limit))?;
            Ok(connection)
        };
        match connect() {
            Ok(connection) => Ok(Link::new(self.name(), connection)),
            Err(error) => Err(link::refused(&self.name(), self.database(), &error).into()),
        }
    }
}

/// A file of certificates. One without any would be trusted to know nobody.
fn certificates(setting: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = files::read_small(file, LARGEST_CERTIFICATE)?;
    let first = CertificateDer::pem_slice_iter(&text).next();
    if !matches!(first, Some(Ok(_))) {
        let shown = file.display();
        return Err(
            error::config(format!("[redis] {setting} {shown} holds no certificate")).into(),
        );
    }
    Ok(text)
}

fn key_in(file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = files::read_small(file, LARGEST_CERTIFICATE)?;
    if PrivateKeyDer::from_pem_slice(&text).is_err() {
        let shown = file.display();
        return Err(error::config(format!("[redis] key_file {shown} holds no key")).into());
    }
    Ok(text)
}

/// What a server said.
pub struct Answer {
    /// From the first packet to PONG.
    pub ping: Duration,
    /// What INFO says: name to value.
    info: BTreeMap<String, String>,
}

impl Answer {
    /// A number of INFO.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    /// A word of INFO.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    /// Keys of a database, and how many of them have a time to live.
    pub fn keys(&self, database: i64) -> (u64, u64) {
        let line = self.text(&format!("db{database}")).unwrap_or_default();
        let field = |name: &str| {
            line.split(',')
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0)
        };
        (field("keys"), field("expires"))
    }

    /// The databases that hold something.
    pub fn databases(&self) -> impl Iterator<Item = i64> {
        self.info
            .keys()
            .filter_map(|name| name.strip_prefix("db")?.parse().ok())
    }

    /// True for a server of a cluster.
    pub fn is_cluster(&self) -> bool {
        self.text("redis_mode") == Some("cluster")
    }

    /// Where the primary is, of a replica.
    pub fn primary(&self) -> Option<&str> {
        self.text("role").filter(|role| *role != "master")?;
        self.text("master_host").or(Some("another server"))
    }

    fn parse(text: &str) -> Self {
        let info = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            ping: Duration::ZERO,
            info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> anyhow::Result<Server> {
        Server::new(&Redis {
            url: url.into(),
            ..Redis::default()
        })
    }

    #[test]
    fn a_wrong_url_does_not_show_its_password() {
        let error = at("http://:hunter2@host/0").err().expect("refused");
        assert!(!format!("{error:#}").contains("hunter2"));
        let server = at("redis://:hunter2@127.0.0.1:6380/1").expect("is read");
        assert_eq!(
            (server.name(), server.database()),
            ("127.0.0.1:6380".into(), 1)
        );
    }

    #[test]
    fn info_is_read() {
        let answer = Answer::parse(
            "# Memory\r\nused_memory:1024\r\nmaxmemory:0\r\n\r\nrole:master\r\ndb0:keys=7,expires=2,avg_ttl=0\r\ndb3:keys=1,expires=0\r\n",
        );
        assert_eq!(answer.number("used_memory"), Some(1024.0));
        assert_eq!(answer.keys(0), (7, 2));
        assert_eq!(answer.keys(1), (0, 0));
        assert_eq!(answer.databases().collect::<Vec<_>>(), [0, 3]);
    }
}

//! A Redis server, asked within a limit: the crate's own connections would wait for an answer for ever. The crate is `::redis`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ::redis::{
    Client, Connection, ConnectionInfo, IntoConnectionInfo as _, RedisError, RedisResult,
};
use anyhow::Context as _;

use crate::error;
use crate::sys::files;

const LARGEST_PASSWORD: u64 = 4096;

/// Where a server is, without showing how to get in.
#[derive(Clone)]
pub struct Server {
    info: ConnectionInfo,
}

impl Server {
    /// Reads the URL, and the password from its file.
    pub fn new(url: &str, password_file: Option<&Path>) -> anyhow::Result<Self> {
        // The crate's message may repeat the URL, and with it the password.
        let mut info = url.into_connection_info().map_err(|_| {
            error::config("[redis] url is not the address of a Redis server")
                .hint("as in redis://127.0.0.1:6379/0 or redis+unix:///run/redis.sock")
        })?;
        if let Some(file) = password_file {
            let content = files::read_small(file, LARGEST_PASSWORD)?;
            let password = String::from_utf8(content)
                .with_context(|| format!("{} is not text", file.display()))?;
            let settings = info.redis_settings().clone();
            info = info.set_redis_settings(settings.set_password(password.trim()));
        }
        Ok(Self { info })
    }

    /// Host and port, or socket.
    pub fn name(&self) -> String {
        self.info.addr().to_string()
    }

    /// Connects, asks whether it is there, and what it says about itself.
    pub fn look(&self, limit: Duration) -> anyhow::Result<Answer> {
        // The crate's errors say the same again as their own cause.
        let name = self.name();
        let told = |error: RedisError| anyhow::anyhow!("no answer from Redis at {name}: {error}");
        let started = Instant::now();
        let mut connection = self.connect(limit).map_err(told)?;
        let pong: String = ::redis::cmd("PING").query(&mut connection).map_err(told)?;
        anyhow::ensure!(pong == "PONG", "what answers at {name} is no Redis");
        let ping = started.elapsed();
        let text: String = ::redis::cmd("INFO").query(&mut connection).map_err(told)?;
        Ok(Answer {
            ping,
            info: parse(&text),
        })
    }

    fn connect(&self, limit: Duration) -> RedisResult<Connection> {
        let connection = Client::open(self.info.clone())?.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.set_write_timeout(Some(limit))?;
        Ok(connection)
    }
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
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_does_not_show_its_password() {
        let error = Server::new("http://:hunter2@host/0", None)
            .err()
            .expect("refused");
        assert!(!format!("{error:#}").contains("hunter2"));
        let server = Server::new("redis://:hunter2@127.0.0.1:6380/1", None).expect("is read");
        assert_eq!(server.name(), "127.0.0.1:6380");
    }

    #[test]
    fn info_is_read() {
        let info = parse("# Memory\r\nused_memory:1024\r\nmaxmemory:0\r\n\r\nrole:master\r\n");
        assert_eq!(info["used_memory"], "1024");
        assert_eq!(info.len(), 3);
    }
}

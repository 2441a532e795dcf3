//! One connection: ask and be answered, with errors that say what became of the server.

use std::error::Error;
use std::io;
use std::sync::Arc;

use ::redis::{
    Cmd, Connection, ErrorKind, FromRedisValue, RedisError, Value, cmd, from_redis_value,
};

use super::Answer;
use crate::error::{Failure, Kind};

/// A connection that is never waited on for longer than its limit.
pub struct Link {
    name: String,
    connection: Connection,
    waits: bool,
}

impl Link {
    pub(super) fn new(name: String, connection: Connection) -> Self {
        Self {
            name,
            connection,
            waits: false,
        }
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks and waits for the answer.
    pub fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> anyhow::Result<T> {
        command
            .query(&mut self.connection)
            .map_err(|error| lost(&self.name, &error).into())
    }

    /// Asks without waiting. Exactly one [`Link::receive`] has to follow.
    pub(super) fn send(&mut self, command: &Cmd) -> anyhow::Result<()> {
        self.waits = true;
        self.connection
            .send_packed_command(&command.get_packed_command())
            .map_err(|error| lost(&self.name, &error).into())
    }

    /// The answer to what was sent.
    pub(super) fn receive(&mut self) -> anyhow::Result<Value> {
        self.connection
            .recv_response()
            .and_then(|value| {
                self.waits = false;
                value.extract_error()
            })
            .map_err(|error| lost(&self.name, &error).into())
    }

    /// True when what was sent last was not answered: nobody knows what became of it.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// The same several times, without waiting in between.
    pub(super) fn ask_often<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        times: usize,
    ) -> anyhow::Result<Vec<T>> {
        for _ in 0..times {
            self.send(command)?;
        }
        (0..times)
            .map(|_| Ok(from_redis_value(self.receive()?)?))
            .collect()
    }

    /// PING. One that cannot save refuses even that, and says so: it is there.
    pub fn ping(&mut self) -> anyhow::Result<()> {
        let answer: Result<String, RedisError> = cmd("PING").query(&mut self.connection);
        match answer {
            Ok(pong) if pong == "PONG" => Ok(()),
            Ok(_) => Err(complaint(&self.name, "is none: it does not know PING").into()),
            Err(error) if error.code() == Some("MISCONF") => Ok(()),
            Err(error) => Err(lost(&self.name, &error).into()),
        }
    }

    /// INFO.
    pub fn info(&mut self) -> anyhow::Result<Answer> {
        let text: String = self.ask(&cmd("INFO"))?;
        Ok(Answer::parse(&text))
    }
}

/// Why there is no connection. Nothing has been done yet.
pub(super) fn refused(name: &str, database: i64, error: &RedisError) -> Failure {
    let config = |text: String| Failure::new(Kind::Config, text);
    let shown = reason(error);
    if shown.contains("DB index is out of range") {
        return config(format!("Redis at {name} has no database {database}")).hint(
            "redis-cli CONFIG GET databases; [redis] url, [[cache.rule]] databases name the number",
        );
    }
    let text = format!("no answer from Redis at {name}: {shown}");
    if error.kind() == ErrorKind::AuthenticationFailed {
        return config(text).hint("[redis] url has the user, password_file the password");
    }
    let hint = match of_tls(error) {
        Some(error) => about_tls(name, error),
        None if error.kind() == ErrorKind::InvalidClientConfig => {
            "[redis] cert_file and key_file: do they belong together?".to_owned()
        }
        None => {
            "systemctl status redis-server; [redis] url, which begins with rediss:// where it wants TLS, and only there"
                .to_owned()
        }
    };
    Failure::new(Kind::Missing, text).hint(hint)
}

/// What went wrong between the two ends of TLS, where that was it.
fn of_tls(error: &RedisError) -> Option<&rustls::Error> {
    let held: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    let inner: &(dyn Error + 'static) = &**held;
    match inner.downcast_ref::<io::Error>() {
        Some(outer) => outer.get_ref()?.downcast_ref(),
        None => inner.downcast_ref(),
    }
}

fn about_tls(name: &str, error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error as Tls};
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "[redis] ca_file: the certificate that has signed the server's".to_owned()
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "[redis] url has to name the server as its certificate does".to_owned(),
        Tls::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => "[redis] cert_file, key_file: the certificate that the server asks for".to_owned(),
        _ => format!("openssl s_client -connect {name}; [redis] url, ca_file, cert_file, key_file"),
    }
}

/// Why a connection that worked does not any more.
fn lost(name: &str, error: &RedisError) -> Failure {
    let text = match error.code() {
        Some(code) => meaning(code, error.detail().unwrap_or_default()),
        None => reason(error),
    };
    complaint(name, &text)
}

/// A failure in the middle of the work.
pub(super) fn complaint(name: &str, text: &str) -> Failure {
    let failure = Failure::new(Kind::Failed, format!("Redis at {name} {text}"));
    if text.starts_with(FORBIDS) {
        failure.hint("redis-cli ACL LOG; the commands that are needed are in the manual: man empire-maint-cache-clean")
    } else if text == LOCKED {
        failure.hint("[redis] password_file; url has the user, where there is one")
    } else {
        failure
    }
}

const FORBIDS: &str = "does not allow it";
const LOCKED: &str = "wants a password";

/// What an error of the server means for somebody who changes keys there.
pub(super) fn meaning(code: &str, detail: &str) -> String {
    match code {
        "READONLY" => "has become read-only: another server took over".to_owned(),
        "LOADING" => "is loading its data".to_owned(),
        "MASTERDOWN" => "is a replica that has lost its primary".to_owned(),
        "CLUSTERDOWN" => "belongs to a cluster that is down".to_owned(),
        "MOVED" | "ASK" => "has given these keys to another server".to_owned(),
        "BUSY" => "is busy with somebody's script".to_owned(),
        "MISCONF" => "takes no writes, because it cannot save".to_owned(),
        "NOREPLICAS" => "takes no writes, because it has too few replicas".to_owned(),
        "NOPERM" => format!("{FORBIDS}: {detail}"),
        "NOAUTH" => LOCKED.to_owned(),
        // What a user may not do inside a script has no code of its own.
        _ if detail.contains("user executing the script") => format!("{FORBIDS}: {detail}"),
        _ => format!("says: {code} {detail}"),
    }
}

fn reason(error: &RedisError) -> String {
    if error.is_timeout() {
        "does not answer in time".to_owned()
    } else if error.is_connection_refusal() {
        "nobody listens there".to_owned()
    } else if error.is_connection_dropped() {
        "closed the connection".to_owned()
    } else {
        error.to_string()
    }
}

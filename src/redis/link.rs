//! One connection: ask and be answered, with errors that say what became of the server.

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
pub(super) fn refused(name: &str, error: &RedisError) -> Failure {
    let kind = match error.kind() {
        ErrorKind::AuthenticationFailed => Kind::Config,
        _ => Kind::Missing,
    };
    let text = format!("no answer from Redis at {name}: {}", reason(error));
    let failure = Failure::new(kind, text);
    match kind {
        Kind::Config => failure.hint("[redis] url has the user, password_file the password"),
        _ => failure.hint("systemctl status redis-server; [redis] url"),
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
    match text.starts_with(FORBIDS) {
        true => failure.hint("redis-cli ACL LOG; the commands that are needed are in the manual: man empire-maint-cache-clean"),
        false => failure,
    }
}

const FORBIDS: &str = "does not allow it";

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
        "NOAUTH" => "wants a password".to_owned(),
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

//! `redis`: does it answer, does it save, does it fit into its memory?

use std::time::Duration;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::error;
use crate::redis::{Server, judge_memory, judge_saving};
use crate::report::{Finding, Reporter, Severity};
use crate::units::Bytes;

const DOWN: &str = "redis.down";
const PATIENCE: Duration = Duration::from_secs(5);

/// PING and INFO.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (settings, named) = &scene.redis;
    let server = Server::new(settings)?;
    let name = server.name();
    let limit = context.stop.left(PATIENCE)?;
    let answer = match server.look(limit) {
        Ok(answer) => answer,
        Err(error) if !named => {
            return Ok(Looked::Nothing(format!("{error:#}")));
        }
        Err(error) => {
            report.examined(DOWN, &*name);
            report.measure("redis_up", 0.0, "", []);
            report.find(
                Finding::new(DOWN, Severity::High, &*name, format!("{error:#}"))
                    .hint(error::hint_of(&error).unwrap_or("systemctl status redis-server")),
            );
            return Ok(Looked::At(format!("{name} does not answer")));
        }
    };
    report.examined(DOWN, &*name);
    let ping = answer.ping.as_secs_f64() * 1000.0;
    report.measure("redis_up", 1.0, "", []);
    report.measure("redis_ping_ms", ping, "ms", []);
    judge_saving(report, &name, &answer);
    let (used, share) = judge_memory(report, &name, &answer);
    report.measure("redis_used_memory_bytes", used, "bytes", []);
    if let Some(share) = share {
        report.measure("redis_memory_percent", share, "%", []);
    }
    if let Some(clients) = answer.number("connected_clients") {
        report.measure("redis_clients", clients, "", []);
    }
    Ok(Looked::At(format!(
        "{name} answers in {ping:.1} ms, {} in use",
        Bytes(used as u64)
    )))
}

//! `redis`: does it answer, does it save, does it fit into its memory?

use std::time::Duration;

use super::Looked;
use super::scene::Scene;
use crate::context::Context;
use crate::redis::{Answer, Server};
use crate::report::{Finding, Reporter, Severity};
use crate::units::Bytes;

const DOWN: &str = "redis.down";
const SAVE: &str = "redis.save";
const MEMORY: &str = "redis.memory";
const PATIENCE: Duration = Duration::from_secs(5);
const FULL: f64 = 90.0;

/// PING and INFO.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (settings, named) = &scene.redis;
    let server = Server::new(&settings.url, settings.password_file.as_deref())?;
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
                    .hint("systemctl status redis-server"),
            );
            return Ok(Looked::At(format!("{name} does not answer")));
        }
    };
    for id in [DOWN, SAVE, MEMORY] {
        report.examined(id, &*name);
    }
    let ping = answer.ping.as_secs_f64() * 1000.0;
    report.measure("redis_up", 1.0, "", []);
    report.measure("redis_ping_ms", ping, "ms", []);
    judge_saving(report, &name, &answer);
    let used = judge_memory(report, &name, &answer);
    if let Some(clients) = answer.number("connected_clients") {
        report.measure("redis_clients", clients, "", []);
    }
    Ok(Looked::At(format!(
        "{name} answers in {ping:.1} ms, {} in use",
        Bytes(used as u64)
    )))
}

/// A server that cannot write its data down loses it at the next stop.
fn judge_saving(report: &Reporter, name: &str, answer: &Answer) {
    for (figure, what) in [
        ("rdb_last_bgsave_status", "the last snapshot"),
        ("aof_last_bgrewrite_status", "the last rewrite of the log"),
        ("aof_last_write_status", "the last write to the log"),
    ] {
        if answer.text(figure) == Some("err") {
            report.find(
                Finding::new(
                    SAVE,
                    Severity::High,
                    name,
                    format!("{what} failed: what is in Redis is not on the disk"),
                )
                .hint("redis-cli INFO persistence; then its log"),
            );
            return;
        }
    }
}

fn judge_memory(report: &Reporter, name: &str, answer: &Answer) -> f64 {
    let used = answer.number("used_memory").unwrap_or(0.0);
    report.measure("redis_used_memory_bytes", used, "bytes", []);
    let most = answer.number("maxmemory").unwrap_or(0.0);
    if most > 0.0 {
        let share = used * 100.0 / most;
        report.measure("redis_memory_percent", share, "%", []);
        // With any other policy a full server makes room by itself, which is what it is for.
        let refuses = answer.text("maxmemory_policy") == Some("noeviction");
        if share >= FULL && refuses {
            report.find(
                Finding::new(
                    MEMORY,
                    Severity::Medium,
                    name,
                    format!(
                        "Redis uses {share:.1}% of its maxmemory (limit {FULL:.0}%) and will refuse writes"
                    ),
                )
                .measured(share, "%", FULL)
                .hint("redis-cli --bigkeys"),
            );
        }
    }
    used
}

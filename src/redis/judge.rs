//! What a server's own figures say: does it save, does it fit into its memory?

use super::Answer;
use crate::report::{Finding, Reporter, Severity};

const SAVE: &str = "redis.save";
const MEMORY: &str = "redis.memory";
const FULL: f64 = 90.0;

/// A server that cannot write its data down loses it at the next stop.
pub fn judge_saving(report: &Reporter, name: &str, answer: &Answer) {
    report.examined(SAVE, name);
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

/// One that is full and may not make room refuses writes. Returns the bytes in use and, where there is a limit, the share of it.
pub fn judge_memory(report: &Reporter, name: &str, answer: &Answer) -> (f64, Option<f64>) {
    report.examined(MEMORY, name);
    let used = answer.number("used_memory").unwrap_or(0.0);
    let most = answer.number("maxmemory").unwrap_or(0.0);
    if most <= 0.0 {
        return (used, None);
    }
    let share = used * 100.0 / most;
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
    (used, Some(share))
}

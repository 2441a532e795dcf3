//! One server as it describes itself: memory, clients, and how often it is asked for what it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::redis::{Answer, judge_memory, judge_saving};
use crate::report::{Cell, Finding, Reporter, Severity, Table};
use crate::units::Bytes;

const FRAGMENTATION: &str = "cache.fragmentation";
const EVICTIONS: &str = "cache.evictions";
/// More than half as much again as is used, and worth the trouble.
const FRAGMENTED: f64 = 1.5;
const WORTH: f64 = (100 << 20) as f64;
/// Fewer lookups than this make no rate.
const FEW: u64 = 100;

/// Memory, clients and hit rate of one server.
#[derive(Serialize, JsonSchema)]
pub struct Figures {
    /// Host and port, or socket.
    server: String,
    /// What it runs.
    version: String,
    /// used_memory before we began.
    used_bytes: u64,
    /// The same when we had ended; absent where it did not answer then. What is unlinked may still be on its way out.
    used_after_bytes: Option<u64>,
    /// The most since it started.
    peak_bytes: u64,
    /// maxmemory; absent where there is none.
    limit_bytes: Option<u64>,
    /// What it does when the limit is reached.
    policy: String,
    /// What the system gave it over what it uses.
    fragmentation: Option<f64>,
    /// Keys that had to go for want of memory since it started.
    evicted_keys: u64,
    /// Connections.
    clients: u64,
    /// Lookups that found something, %: since our last run, else since it started.
    hit_percent_before: Option<f64>,
    /// The same from the beginning of this run to its end, without our own.
    hit_percent_after: Option<f64>,
    #[serde(skip)]
    #[schemars(skip)]
    counts: Counts,
    #[serde(skip)]
    #[schemars(skip)]
    ours: (u64, u64),
}

/// Counters that only grow while a server runs.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Counts {
    /// The server's own name for the time since it started.
    run: String,
    hits: u64,
    misses: u64,
    evicted: u64,
}

impl Counts {
    fn of(answer: &Answer) -> Self {
        Self {
            run: answer.text("run_id").unwrap_or_default().to_owned(),
            hits: whole(answer, "keyspace_hits"),
            misses: whole(answer, "keyspace_misses"),
            evicted: whole(answer, "evicted_keys"),
        }
    }

    /// What came since then; since the start, where the server was started anew.
    fn since(&self, before: Option<&Self>) -> (u64, u64, u64) {
        let before = before.filter(|before| before.run == self.run);
        let (hits, misses, evicted) =
            before.map_or((0, 0, 0), |then| (then.hits, then.misses, then.evicted));
        (
            self.hits.saturating_sub(hits),
            self.misses.saturating_sub(misses),
            self.evicted.saturating_sub(evicted),
        )
    }
}

fn whole(answer: &Answer, name: &str) -> u64 {
    answer.number(name).map_or(0, |number| number as u64)
}

fn rate(hits: u64, misses: u64) -> Option<f64> {
    let all = hits + misses;
    (all >= FEW).then(|| hits as f64 * 100.0 / all as f64)
}

fn key(server: &str) -> String {
    format!("counts {server}")
}

impl Figures {
    /// Reads and judges what the server says.
    pub(super) fn look(
        context: &Context,
        report: &Reporter,
        server: &str,
        answer: &Answer,
    ) -> Self {
        judge_saving(report, server, answer);
        let (used, share) = judge_memory(report, server, answer);
        let counts = Counts::of(answer);
        let before = context
            .recall(&key(server))
            .and_then(|value| serde_json::from_value::<Counts>(value).ok());
        let (hits, misses, evicted) = counts.since(before.as_ref());
        let figures = Self {
            server: server.to_owned(),
            version: answer.text("redis_version").unwrap_or_default().to_owned(),
            used_bytes: used as u64,
            used_after_bytes: None,
            peak_bytes: whole(answer, "used_memory_peak"),
            limit_bytes: Some(whole(answer, "maxmemory")).filter(|limit| *limit > 0),
            policy: answer
                .text("maxmemory_policy")
                .unwrap_or_default()
                .to_owned(),
            fragmentation: answer.number("mem_fragmentation_ratio"),
            evicted_keys: counts.evicted,
            clients: whole(answer, "connected_clients"),
            hit_percent_before: rate(hits, misses),
            hit_percent_after: None,
            counts,
            ours: (0, 0),
        };
        figures.measure(report, share);
        figures.judge(report, answer, before.is_some(), evicted);
        figures
    }

    fn measure(&self, report: &Reporter, share: Option<f64>) {
        let labels = [("server", self.server.as_str())];
        report.measure(
            "redis_used_memory_bytes",
            self.used_bytes as f64,
            "bytes",
            labels,
        );
        report.measure("redis_evicted_keys", self.evicted_keys as f64, "", labels);
        report.measure("redis_clients", self.clients as f64, "", labels);
        if let Some(share) = share {
            report.measure("redis_memory_percent", share, "%", labels);
        }
        if let Some(ratio) = self.fragmentation {
            report.measure("redis_fragmentation_ratio", ratio, "", labels);
        }
        self.measure_hits(report, "before", self.hit_percent_before);
    }

    fn measure_hits(&self, report: &Reporter, when: &str, rate: Option<f64>) {
        if let Some(rate) = rate {
            let labels = [("server", self.server.as_str()), ("when", when)];
            report.measure("redis_hit_percent", rate, "%", labels);
        }
    }

    fn judge(&self, report: &Reporter, answer: &Answer, before: bool, evicted: u64) {
        report.examined(FRAGMENTATION, &*self.server);
        report.examined(EVICTIONS, &*self.server);
        let wasted = answer.number("mem_fragmentation_bytes").unwrap_or(0.0);
        if let Some(ratio) = self.fragmentation.filter(|ratio| *ratio > FRAGMENTED)
            && wasted > WORTH
        {
            report.find(
                Finding::new(
                    FRAGMENTATION,
                    Severity::Low,
                    &*self.server,
                    format!(
                        "the system gave Redis {ratio:.2} times what it uses (limit {FRAGMENTED}): {} lie idle",
                        Bytes(wasted as u64)
                    ),
                )
                .measured(ratio, "", FRAGMENTED)
                .hint("redis-cli CONFIG SET activedefrag yes"),
            );
        }
        if evicted > 0 && before {
            report.find(
                Finding::new(
                    EVICTIONS,
                    Severity::Info,
                    &*self.server,
                    format!(
                        "{evicted} keys had to go for want of memory since the last run (policy {})",
                        self.policy
                    ),
                )
                .hint("redis-cli CONFIG GET maxmemory"),
            );
        }
    }

    pub(super) fn is(&self, server: &str) -> bool {
        self.server == server
    }

    /// Lookups that the server counts and nobody asked for.
    pub(super) fn lookups_are_ours(&mut self, hits: u64, misses: u64) {
        self.ours.0 += hits;
        self.ours.1 += misses;
    }

    /// How it is when we have ended.
    pub(super) fn end(&mut self, report: &Reporter, answer: &Answer) {
        self.used_after_bytes = Some(whole(answer, "used_memory"));
        let counts = Counts::of(answer);
        let (hits, misses, _) = counts.since(Some(&self.counts));
        self.hit_percent_after = rate(
            hits.saturating_sub(self.ours.0),
            misses.saturating_sub(self.ours.1),
        );
        self.measure_hits(report, "after", self.hit_percent_after);
        report.remember(key(&self.server), json!(counts));
    }
}

/// Used memory of all of them, before and after.
pub(super) fn memory(servers: &[Figures]) -> String {
    let before: u64 = servers.iter().map(|one| one.used_bytes).sum();
    let after: Option<u64> = servers.iter().map(|one| one.used_after_bytes).sum();
    match after {
        Some(after) if after.abs_diff(before) > before / 100 => {
            format!("{} in use, now {}", Bytes(before), Bytes(after))
        }
        _ => format!("{} in use", Bytes(before)),
    }
}

pub(super) fn table(servers: &[Figures]) -> Table {
    let percent = |rate: Option<f64>| rate.map_or(Cell::Empty, Cell::Percent);
    let row = |one: &Figures| {
        vec![
            Cell::Text(one.server.clone()),
            Cell::Bytes(one.used_bytes),
            one.used_after_bytes.map_or(Cell::Empty, Cell::Bytes),
            Cell::Bytes(one.peak_bytes),
            one.limit_bytes.map_or(Cell::Empty, Cell::Bytes),
            one.fragmentation
                .map_or(Cell::Empty, |ratio| Cell::Text(format!("{ratio:.2}"))),
            Cell::Count(one.evicted_keys),
            Cell::Count(one.clients),
            percent(one.hit_percent_before),
            percent(one.hit_percent_after),
        ]
    };
    Table {
        title: "Memory".to_owned(),
        columns: vec![
            "server",
            "in use",
            "after",
            "peak",
            "limit",
            "fragmentation",
            "evicted",
            "clients",
            "hits before",
            "hits after",
        ],
        rows: servers.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_server_that_was_started_anew_begin_at_nothing() {
        let counts = |run: &str, hits, misses| Counts {
            run: run.into(),
            hits,
            misses,
            evicted: 0,
        };
        let now = counts("a", 500, 100);
        assert_eq!(now.since(Some(&counts("a", 300, 50))), (200, 50, 0));
        assert_eq!(now.since(Some(&counts("b", 300, 50))), (500, 100, 0));
        assert_eq!(now.since(None), (500, 100, 0));
        assert_eq!(rate(75, 25), Some(75.0));
        assert_eq!(rate(99, 0), None, "too few");
    }
}

//! Keeps Redis small without anybody noticing: says what takes the memory, and removes by rule what need not be there.
//! Changes only keys that a `[[cache.rule]]` names, judged and changed in one step on the server.
//! Never runs KEYS, never lets other clients wait, never goes on against a server that is not a primary any more.

mod clean;
mod contents;
mod figures;
mod place;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use self::clean::{Pass, RuleDone, rules_table};
use self::contents::Contents;
use self::figures::Figures;
use self::place::{PATIENCE, Place};
use crate::config::Config;
use crate::config::sections::{Cache, Redis};
use crate::context::Context;
use crate::error::{config, ends_the_run, refused, usage};
use crate::redis::{Pace, Pattern, Rule, Server};
use crate::report::{Document, Finding, Reporter, Severity};
use crate::task;
use crate::units::{self, Length};

const STOPPED: &str = "cache.stopped";
const SLOWED: &str = "cache.slowed";
const REPLICA: &str = "cache.replica";

/// Say what takes Redis's memory, and remove by rule what need not be there
///
/// A user of its own (ACL) needs: ping, info, dbsize, select, scan, randomkey, eval, time, pttl, memory|usage, unlink, and as the
/// rules have it pexpire, object|idletime; in a cluster cluster|slots.
#[derive(Args)]
pub struct Arguments {
    /// Only say what takes the memory
    #[arg(long)]
    report: bool,
    /// Spread the removal over this time, so that what is missed is made again bit by bit
    #[arg(long, value_name = "DURATION", conflicts_with = "report")]
    over: Option<Length>,
    /// Other clients wait at most this much longer while we work [default: [cache] max_latency]
    #[arg(long, value_name = "DURATION")]
    max_latency: Option<Length>,
    /// Keys that the report of memory looks at; 0: none [default: [cache] sample]
    #[arg(long, value_name = "NUMBER")]
    sample: Option<u64>,
    /// Also patterns that are as good as every key
    #[arg(long)]
    yes: bool,
}

/// What `cache-clean` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// Each server's memory, clients and hit rate.
    servers: Vec<Figures>,
    /// What is in each database that a rule is about.
    databases: Vec<Contents>,
    /// What became of each rule, in each database.
    rules: Vec<RuleDone>,
    /// What another client waited for meanwhile.
    pings: PingsSeen,
}

/// Our own pings while we worked, ms.
#[derive(Default, Serialize, JsonSchema)]
struct PingsSeen {
    median_ms: Option<f64>,
    p99_ms: Option<f64>,
    longest_ms: Option<f64>,
    /// How often one was so slow that we became slower.
    slowed: u64,
}

impl Detail {
    /// Hits and misses that the server counts and nobody asked for.
    fn lookups_are_ours(&mut self, place: &Place, (hits, misses): (u64, u64)) {
        let name = place.server.name();
        for figures in self.servers.iter_mut().filter(|one| one.is(&name)) {
            figures.lookups_are_ours(hits, misses);
        }
    }
}

/// Resolved.
pub struct Task {
    redis: Redis,
    cache: Cache,
    only_report: bool,
    over: Duration,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "cache-clean";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        !self.report
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let mut cache = config.get::<Cache>()?;
        if let Some(limit) = self.max_latency {
            anyhow::ensure!(
                !limit.0.is_zero(),
                usage("--max-latency 0: nothing is that quick")
            );
            cache.max_latency = limit;
        }
        cache.sample = self.sample.unwrap_or(cache.sample);
        if !self.report && !self.yes {
            for rule in &cache.rule {
                require_bounded(&rule.pattern)?;
            }
        }
        Ok(Task {
            redis: config.get()?,
            cache,
            only_report: self.report,
            over: self.over.unwrap_or_default().0,
        })
    }
}

fn require_bounded(pattern: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        !Pattern::new(pattern).is_boundless(),
        refused(format!(
            "the pattern '{pattern}' is as good as every key of the database"
        ))
        .hint("count them with empire-maint cache-clean --dry-run --yes; --yes without --dry-run means it")
    );
    Ok(())
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.over < context.stop.limit(),
            usage(format!(
                "--over {} does not fit into the time limit of {}",
                Length(self.over),
                Length(context.stop.limit())
            ))
            .hint("--timeout sets another limit")
        );
        let server = Server::new(&self.redis)?;
        let limit = context.stop.left(PATIENCE)?;
        let answer = server.look(limit)?;
        let changes = !self.only_report && !context.dry_run;
        if context.dry_run
            && let Some(primary) = answer.primary()
        {
            report.find(Finding::new(
                REPLICA,
                Severity::Info,
                server.name(),
                format!("is a replica of {primary}: what is counted here is removed there only"),
            ));
        }
        let primaries = server.primaries(&answer, changes, limit)?;
        let databases = self.databases(&server, answer.is_cluster())?;
        let mut detail = Detail::default();
        let mut places = Vec::new();
        let mut stopped = Vec::new();
        for primary in &primaries {
            let name = primary.name();
            if !self.only_report {
                report.examined(STOPPED, &*name);
            }
            let mut looked = self.places(&server, primary, &databases);
            match self.look(context, report, primary, &mut looked, &mut detail) {
                Err(error) if primaries.len() == 1 || ends_the_run(&error) => return Err(error),
                Err(error) => stopped.push((name, error)),
                Ok(()) => places.append(&mut looked),
            }
        }
        let result = match self.only_report {
            true => Ok(()),
            false => self.clean(context, report, &mut places, &mut detail, &mut stopped),
        };
        report.progress_done();
        self.conclude(context, report, &primaries, &mut detail)?;
        result?;
        tell_stopped(report, stopped, primaries.len())
    }
}

/// Of one server, or of all of them, that is a failure of the run; of some of several a finding each.
fn tell_stopped(
    report: &Reporter,
    stopped: Vec<(String, anyhow::Error)>,
    servers: usize,
) -> anyhow::Result<()> {
    let all = servers == 1 || stopped.len() == servers;
    for (name, error) in stopped {
        if all {
            return Err(error);
        }
        report.find(
            Finding::new(STOPPED, Severity::High, name, format!("{error:#}"))
                .hint("redis-cli CLUSTER NODES; the next run goes on there"),
        );
    }
    Ok(())
}

impl Task {
    /// The numbers of the databases that are looked at.
    fn databases(&self, server: &Server, cluster: bool) -> anyhow::Result<BTreeSet<i64>> {
        let mut numbers = BTreeSet::from([server.database()]);
        numbers.extend(self.cache.rule.iter().flat_map(|rule| &rule.databases));
        if cluster && numbers.iter().any(|number| *number != 0) {
            return Err(config("a cluster has database 0 and no other")
                .hint("[[cache.rule]] databases, [redis] url")
                .into());
        }
        Ok(numbers)
    }

    fn places(&self, server: &Server, primary: &Server, databases: &BTreeSet<i64>) -> Vec<Place> {
        let own = server.database();
        let about = |databases: &[i64], number| match databases {
            [] => number == own,
            some => some.contains(&number),
        };
        let place = |&database: &i64| {
            let rules = self.cache.rule.iter();
            Place {
                server: primary.with_database(database),
                database,
                cluster: false,
                rules: rules
                    .filter(|rule| about(&rule.databases, database))
                    .map(Rule::new)
                    .collect(),
                counts_use: false,
            }
        };
        databases.iter().map(place).collect()
    }

    /// What one server says of itself, and what is in its databases.
    fn look(
        &self,
        context: &Context,
        report: &Reporter,
        primary: &Server,
        places: &mut [Place],
        detail: &mut Detail,
    ) -> anyhow::Result<()> {
        let answer = primary.look(context.stop.left(PATIENCE)?)?;
        let policy = answer.text("maxmemory_policy").unwrap_or_default();
        detail
            .servers
            .push(Figures::look(context, report, &primary.name(), &answer));
        for place in places {
            place.cluster = answer.is_cluster();
            place.counts_use = policy.contains("lfu");
            let contents = contents::look(context, report, place, self.cache.sample);
            let contents =
                contents.map_err(|error| match place.database == primary.database() {
                    true => error,
                    false => place.name_rule(error),
                })?;
            detail.lookups_are_ours(place, (contents.lookups(), 0));
            detail.databases.push(contents);
        }
        Ok(())
    }

    /// Place by place. Where one of several servers stops, the others go on.
    fn clean(
        &self,
        context: &Context,
        report: &Reporter,
        places: &mut [Place],
        detail: &mut Detail,
        stopped: &mut Vec<(String, anyhow::Error)>,
    ) -> anyhow::Result<()> {
        let total = detail.databases.iter().map(Contents::keys).sum();
        let over = match context.dry_run {
            true => Duration::ZERO,
            false => self.over,
        };
        for place in places.iter_mut() {
            place.refuse_idle(report);
        }
        let mut pace = Pace::new(self.cache.max_latency.0, over, total);
        for place in places.iter().filter(|place| !place.rules.is_empty()) {
            let mut pass = Pass::new(context, report, place);
            let result = pass.run(&mut pace);
            detail.rules.extend(pass.done());
            detail.lookups_are_ours(place, pass.lookups());
            match result {
                Err(error) if ends_the_run(&error) => return Err(error),
                Err(error) => stopped.push((place.server.name(), error)),
                Ok(()) => {}
            }
        }
        detail.pings = seen(&pace);
        self.judge_pace(report, &pace);
        Ok(())
    }

    fn judge_pace(&self, report: &Reporter, pace: &Pace) {
        let (median, p99) = (pace.pings().percentile(50.0), pace.pings().percentile(99.0));
        for (name, value) in [
            ("cache_ping_median_ms", median),
            ("cache_ping_p99_ms", p99),
            ("cache_ping_longest_ms", pace.pings().longest()),
        ] {
            if let Some(value) = value {
                report.measure(name, value, "ms", []);
            }
        }
        if pace.slowed() > 0 {
            let longest = pace.pings().longest().unwrap_or(0.0);
            let limit = self.cache.max_latency.0.as_secs_f64() * 1000.0;
            report.find(
                Finding::new(
                    SLOWED,
                    Severity::Info,
                    "redis",
                    format!(
                        "became slower {}: a ping behind our work took up to {longest:.1} ms (limit {limit} ms more than without)",
                        units::count(pace.slowed(), "time")
                    ),
                )
                .measured(longest, "ms", limit),
            );
        }
    }

    /// The figures afterwards, tables, summary.
    fn conclude(
        &self,
        context: &Context,
        report: &Reporter,
        primaries: &[Server],
        detail: &mut Detail,
    ) -> anyhow::Result<()> {
        for figures in &mut detail.servers {
            // One that does not answer any more has been told of.
            if let Some(primary) = primaries.iter().find(|one| figures.is(&one.name()))
                && let Ok(limit) = context.stop.left(PATIENCE)
                && let Ok(answer) = primary.look(limit)
            {
                figures.end(report, &answer);
            }
        }
        report.document(Document::Table(figures::table(&detail.servers)));
        for contents in &detail.databases {
            for table in contents.tables() {
                report.document(Document::Table(table));
            }
        }
        if !self.only_report {
            report.document(Document::Table(rules_table(&detail.rules, context.dry_run)));
        }
        report.summarise(summary(detail, self.only_report, context.dry_run));
        report.detail(detail)
    }
}

fn seen(pace: &Pace) -> PingsSeen {
    PingsSeen {
        median_ms: pace.pings().percentile(50.0),
        p99_ms: pace.pings().percentile(99.0),
        longest_ms: pace.pings().longest(),
        slowed: pace.slowed(),
    }
}

fn summary(detail: &Detail, only_report: bool, dry_run: bool) -> String {
    let sum = |action: fn(&str) -> bool| -> u64 {
        let of = detail.rules.iter().filter(|rule| action(&rule.action));
        of.map(|rule| rule.keys).sum()
    };
    let memory = figures::memory(&detail.servers);
    if only_report {
        return memory;
    }
    let removed = sum(|action| action == "unlink");
    let ended = sum(|action| action != "unlink");
    let (would, removed) = match dry_run {
        true => ("would remove ", units::count(removed, "key")),
        false => ("", format!("{} removed", units::count(removed, "key"))),
    };
    let ended = match ended {
        0 => String::new(),
        number => format!(", {} given an end", units::count(number, "key")),
    };
    format!("{would}{removed}{ended}; {memory}")
}

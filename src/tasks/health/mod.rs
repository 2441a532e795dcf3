//! Is the server well? Everything that can be asked quickly, all at once, each question on its own time limit (§1.1, §6.1).
//! Changes nothing but its own memory of how far the logs were read, and not even that when a person watches.
//! Never opens a database file but through SQLite, never waits for what does not answer.

mod app_errors;
mod backups;
mod certs;
mod database;
mod disk;
mod jobs;
mod machine;
mod redis;
mod scene;
mod server;
mod sockets;
mod traffic;
mod uptime;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Config;
use crate::context::Context;
use crate::error::{self, missing, usage};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Table};
use crate::sys::lock::Lock;
use crate::task;
use crate::units::{self, Length};
use scene::{Looked, Scene};

const UNKNOWN: &str = "health.unknown";
const NOTHING: &str = "health.nothing";
const HEARTBEAT: Duration = Duration::from_millis(50);

/// Look at the server: HTTP, disk, memory, CPU, databases, Redis, logs, certificates, backups, missed tasks
#[derive(Args)]
pub struct Arguments {
    /// Only these checks, with commas between them
    #[arg(long, value_name = "CHECK", value_delimiter = ',', conflicts_with = "skip", value_parser = names())]
    check: Vec<String>,
    /// All but these checks
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = names())]
    skip: Vec<String>,
}

/// One question.
struct Check {
    name: &'static str,
    limit: Duration,
    look: fn(&Scene, &Context, &Reporter) -> anyhow::Result<Looked>,
}

const fn check(
    name: &'static str,
    seconds: u64,
    look: fn(&Scene, &Context, &Reporter) -> anyhow::Result<Looked>,
) -> Check {
    Check {
        name,
        limit: Duration::from_secs(seconds),
        look,
    }
}

/// All of them, in the order of the report.
const CHECKS: &[Check] = &[
    check("http", 60, server::http),
    check("listen", 10, sockets::listen),
    check("disk", 30, disk::look),
    check("memory", 10, machine::memory),
    check("cpu", 10, machine::cpu),
    check("connections", 10, sockets::connections),
    check("database", 60, database::look),
    check("redis", 15, redis::look),
    check("errors", 60, traffic::errors),
    check("app-errors", 60, app_errors::look),
    check("logins", 60, traffic::logins),
    check("certs", 60, certs::look),
    check("backups", 30, backups::look),
    check("jobs", 10, jobs::look),
    check("system", 10, machine::system),
    check("uptime", 10, uptime::look),
];

fn names() -> clap::builder::PossibleValuesParser {
    CHECKS
        .iter()
        .map(|check| check.name)
        .collect::<Vec<_>>()
        .into()
}

/// What `health` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a check.
    checks: Vec<Answer>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Nothing above info was found.
    Well,
    /// Something was found.
    Found,
    /// There is nothing to look at.
    Nothing,
    /// It could not look.
    Unknown,
}

/// One check that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Answer {
    /// Its name.
    check: &'static str,
    /// How it ended.
    outcome: Outcome,
    /// What it looked at, or why it could not.
    note: String,
    /// How long it took, ms.
    took_ms: u64,
}

/// Resolved.
pub struct Task {
    checks: Vec<&'static Check>,
    scene: Arc<Scene>,
    /// The one check that was asked for by name, if it was one.
    alone: bool,
}

impl Arguments {
    fn wants(&self, check: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|given| given == check);
        (self.check.is_empty() || has(&self.check)) && !has(&self.skip)
    }
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "health";
    const LIMIT: Duration = Duration::from_secs(120);
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, other: &Self) -> bool {
        CHECKS
            .iter()
            .all(|check| self.wants(check.name) || !other.wants(check.name))
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let checks: Vec<_> = CHECKS
            .iter()
            .filter(|check| self.wants(check.name))
            .collect();
        if checks.is_empty() {
            return Err(usage("--skip leaves no check").into());
        }
        let wanted = |name: &str| checks.iter().any(|check| check.name == name);
        Ok(Task {
            scene: Arc::new(Scene::resolve(config, &wanted)?),
            alone: self.check.len() == 1,
            checks,
        })
    }
}

impl task::Task for Task {
    /// Two runs of the schedule must not read the same lines; a person's run moves nothing and waits for nobody.
    fn locks(&self, context: &Context) -> Vec<Lock> {
        match context.attended {
            true => Vec::new(),
            false => vec![context.task_lock()],
        }
    }

    /// The light run and the full one may begin in the same minute: neither is a failure.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let looked = self.look(context, report)?;
        let accepted = self.scene.baseline.read(report);
        let mut answers = Vec::new();
        for (check, (part, took, result)) in self.checks.iter().zip(looked) {
            report.examined(UNKNOWN, check.name);
            if let Some(accepted) = &accepted {
                part.revise(|finding| {
                    accepted.accept(finding, context);
                });
            }
            let before = part.snapshot();
            report.join(&part);
            let (outcome, note) = match result {
                Ok(Looked::At(note)) => {
                    let found = before.worst() > Some(Severity::Info);
                    (if found { Outcome::Found } else { Outcome::Well }, note)
                }
                Ok(Looked::Nothing(why) | Looked::Not(why)) if self.alone => {
                    return Err(missing(why)
                        .hint("empire-maint health --help lists the checks")
                        .into());
                }
                Ok(Looked::Nothing(why)) => {
                    report.find(Finding::new(NOTHING, Severity::Info, check.name, &*why));
                    (Outcome::Nothing, why)
                }
                Ok(Looked::Not(why)) => (Outcome::Unknown, why),
                Err(error) => {
                    report.find(cannot_look(check, &error));
                    (Outcome::Unknown, format!("{error:#}"))
                }
            };
            answers.push(Answer {
                check: check.name,
                outcome,
                note,
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            });
        }
        report.document(Document::Table(table(&answers)));
        report.summarise(summary(&answers));
        report.detail(&Detail { checks: answers })
    }
}

type Seen = (Reporter, Duration, anyhow::Result<Looked>);

impl Task {
    /// Asks everything at once and waits for each no longer than its own limit. What does not come back is left behind.
    fn look(&self, context: &Context, report: &Reporter) -> anyhow::Result<Vec<Seen>> {
        let (send, receive) = channel();
        let started = Instant::now();
        let mut seen = Vec::new();
        for (at, check) in self.checks.iter().copied().enumerate() {
            let limit = context.stop.left(check.limit)?;
            let part = report.part();
            seen.push((part.clone(), limit, None));
            let (scene, send) = (Arc::clone(&self.scene), send.clone());
            let mut context = context.clone();
            context.stop = context.stop.with_limit(limit);
            std::thread::Builder::new()
                .name(check.name.to_owned())
                .spawn(move || {
                    let result =
                        catch_unwind(AssertUnwindSafe(|| (check.look)(&scene, &context, &part)))
                            .unwrap_or_else(|_| Err(anyhow::anyhow!("the check panicked")));
                    let _ = send.send((at, started.elapsed(), result));
                })?;
        }
        while let Some(limit) = seen
            .iter()
            .filter(|(_, _, result)| result.is_none())
            .map(|(_, limit, _)| *limit)
            .max()
        {
            // A little longer than the check's own calls may take, so that it can say itself what did not answer.
            let Some(left) = (limit + HEARTBEAT * 2).checked_sub(started.elapsed()) else {
                break;
            };
            match receive.recv_timeout(left.min(HEARTBEAT)) {
                Ok((at, took, result)) => seen[at].2 = Some((took, result)),
                Err(RecvTimeoutError::Timeout) => context.stop.check()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(seen
            .into_iter()
            .map(|(part, limit, result)| match result {
                Some((took, result)) => (part, took, result),
                // What it found so far may be half of it, and it may still be writing.
                None => (report.part(), limit, Err(no_answer(limit))),
            })
            .collect())
    }
}

fn no_answer(limit: Duration) -> anyhow::Error {
    anyhow::anyhow!("no answer within {}", Length(limit))
}

fn cannot_look(check: &Check, error: &anyhow::Error) -> Finding {
    let again = format!("empire-maint health --check {}", check.name);
    Finding::new(
        UNKNOWN,
        Severity::Medium,
        check.name,
        format!("the check {} could not look: {error:#}", check.name),
    )
    .hint(error::hint_of(error).unwrap_or(&again))
}

fn summary(answers: &[Answer]) -> String {
    let number = |outcome| {
        let all = answers.iter().filter(|answer| answer.outcome == outcome);
        all.count() as u64
    };
    let looked = answers.len() as u64 - number(Outcome::Nothing);
    let mut text = format!(
        "{} of {} well",
        number(Outcome::Well),
        units::count(looked, "check")
    );
    let bad: Vec<_> = answers
        .iter()
        .filter(|answer| matches!(answer.outcome, Outcome::Found | Outcome::Unknown))
        .map(|answer| answer.check)
        .collect();
    if !bad.is_empty() {
        text += &format!("; not: {}", bad.join(", "));
    }
    text
}

fn table(answers: &[Answer]) -> Table {
    Table {
        title: String::new(),
        columns: vec!["check", "", "what was seen"],
        rows: answers
            .iter()
            .map(|answer| {
                let word = match answer.outcome {
                    Outcome::Well => Cell::Text("well".into()),
                    Outcome::Found => Cell::Bad("found".into()),
                    Outcome::Nothing => Cell::Text("nothing here".into()),
                    Outcome::Unknown => Cell::Bad("unknown".into()),
                };
                vec![
                    Cell::Text(answer.check.into()),
                    word,
                    Cell::Text(answer.note.clone()),
                ]
            })
            .collect(),
    }
}

//! What a security-minded operator checks weekly (§2.2, §4.3): advisories, secrets in files, certificates, access and login logs,
//! permissions, listening sockets. Changes nothing. Never opens a configured database, never shows a secret, never calls what it
//! could not look at clean.

mod access;
mod auth;
mod certs;
mod ids;
mod npm;
mod permissions;
mod scene;
mod secrets;
mod sockets;

use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::baseline;
use crate::config::Config;
use crate::context::Context;
use crate::error::{self, missing};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Table};
use crate::task;
use crate::units;
use scene::{Looked, Scene};

const UNKNOWN: &str = "audit.unknown";
const NOTHING: &str = "audit.nothing";

/// Audit the server: npm advisories, secrets in files, logs, certificates, permissions, sockets
#[derive(Args)]
pub struct Arguments {
    /// Only these parts, with commas between them
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
}

/// One part.
struct Part {
    name: &'static str,
    look: fn(&Scene, &Context, &Reporter) -> anyhow::Result<Looked>,
}

/// All of them, in the order of the report.
const PARTS: &[Part] = &[
    Part {
        name: "npm",
        look: npm::look,
    },
    Part {
        name: "secrets",
        look: secrets::look,
    },
    Part {
        name: "access-log",
        look: access::look,
    },
    Part {
        name: "auth-log",
        look: auth::look,
    },
    Part {
        name: "certs",
        look: certs::look,
    },
    Part {
        name: "permissions",
        look: permissions::look,
    },
    Part {
        name: "sockets",
        look: sockets::look,
    },
    Part {
        name: "ids",
        look: ids::look,
    },
];

fn names() -> clap::builder::PossibleValuesParser {
    PARTS
        .iter()
        .map(|part| part.name)
        .collect::<Vec<_>>()
        .into()
}

/// What `audit` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a part.
    parts: Vec<Answer>,
    /// What each part has to tell beyond findings, by its name.
    details: Map<String, Value>,
    /// Findings that the baseline accepts; they are info here.
    accepted: u64,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Nothing above info was found, or all of it is accepted.
    Well,
    /// Something was found.
    Found,
    /// There is nothing to look at.
    Nothing,
    /// It could not look.
    Unknown,
}

/// One part that was looked at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Answer {
    /// Its name.
    part: &'static str,
    /// How it ended.
    outcome: Outcome,
    /// What it looked at, or why it could not.
    note: String,
    /// How long it took, ms.
    took_ms: u64,
}

/// Resolved.
pub struct Task {
    parts: Vec<&'static Part>,
    scene: Scene,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "audit";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        let named = |part: &Part| self.only.iter().any(|name| name == part.name);
        self.only.is_empty() || PARTS.iter().all(named)
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let parts: Vec<_> = PARTS
            .iter()
            .filter(|part| self.only.is_empty() || self.only.iter().any(|name| name == part.name))
            .collect();
        let wanted = |name: &str| parts.iter().any(|part| part.name == name);
        Ok(Task {
            scene: Scene::resolve(config, &wanted)?,
            parts,
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let baseline = self
            .scene
            .baseline
            .as_deref()
            .map(baseline::read)
            .transpose()?;
        let mut answers = Vec::new();
        let mut details = Map::new();
        let mut accepted = 0;
        for part in &self.parts {
            context.stop.check()?;
            report.examined(UNKNOWN, part.name);
            let (own, started) = (report.part(), Instant::now());
            let result = (part.look)(&self.scene, context, &own);
            if let Some(baseline) = &baseline {
                own.revise(|finding| accepted += u64::from(baseline.accept(finding, context)));
            }
            let worst = own.snapshot().worst();
            report.join(&own);
            let (outcome, note) = match result {
                Ok(Looked::At(note, detail)) => {
                    details.insert(part.name.to_owned(), detail);
                    let found = worst > Some(Severity::Info);
                    (if found { Outcome::Found } else { Outcome::Well }, note)
                }
                Ok(Looked::Nothing(why)) if self.parts.len() == 1 => {
                    return Err(missing(why)
                        .hint("empire-maint audit --help lists the parts")
                        .into());
                }
                Ok(Looked::Nothing(why)) => {
                    report.find(Finding::new(NOTHING, Severity::Info, part.name, &*why));
                    (Outcome::Nothing, why)
                }
                Err(error) if error::ends_the_run(&error) => {
                    return Err(error.context(format!("stopped at {}", part.name)));
                }
                Err(error) => {
                    report.find(cannot_look(part.name, &error));
                    (Outcome::Unknown, format!("{error:#}"))
                }
            };
            answers.push(Answer {
                part: part.name,
                outcome,
                note,
                took_ms: milliseconds(started.elapsed()),
            });
        }
        if let Some(baseline) = &baseline {
            baseline.judge(
                report,
                context,
                &answers.iter().map(|answer| answer.part).collect::<Vec<_>>(),
            );
        }
        report.document(Document::Table(table(&answers)));
        report.summarise(summary(&answers, report, accepted));
        report.detail(&Detail {
            parts: answers,
            details,
            accepted,
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn cannot_look(part: &str, error: &anyhow::Error) -> Finding {
    let again = format!("empire-maint audit --only {part}");
    Finding::new(
        UNKNOWN,
        Severity::Medium,
        part,
        format!("the part {part} could not look: {error:#}"),
    )
    .hint(error::hint_of(error).unwrap_or(&again))
}

fn summary(answers: &[Answer], report: &Reporter, accepted: u64) -> String {
    let looked = answers
        .iter()
        .filter(|answer| answer.outcome != Outcome::Nothing);
    let mut text = format!("{} looked at", units::count(looked.count() as u64, "part"));
    // What is worse is counted by the report.
    let found = report.snapshot().findings;
    let low = found.iter().filter(|one| one.severity == Severity::Low);
    match low.count() as u64 {
        0 => {}
        low => text += &format!(", {}", units::count(low, "low finding")),
    }
    if accepted > 0 {
        text += &format!(", {accepted} more accepted");
    }
    let unknown: Vec<_> = answers
        .iter()
        .filter(|answer| answer.outcome == Outcome::Unknown)
        .map(|answer| answer.part)
        .collect();
    if !unknown.is_empty() {
        text += &format!("; unknown: {}", unknown.join(", "));
    }
    text
}

fn table(answers: &[Answer]) -> Table {
    Table {
        title: String::new(),
        columns: vec!["part", "", "what was seen"],
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
                    Cell::Text(answer.part.into()),
                    word,
                    Cell::Text(answer.note.clone()),
                ]
            })
            .collect(),
    }
}

//! Measures how well the application's memory is retrieved (§8.3): labelled queries, indices against exact search, drift of the
//! embeddings, and memories that a person should look at. Changes nothing, but for `--quarantine`, which takes memories out of the
//! application's sight after a verified backup and keeps all that brings them back. Never deletes a memory, never runs a model.

mod drift;
mod drop;
mod engines;
mod labels;
mod memories;
mod quarantine;
mod recall;
mod vectors;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::Config;
use crate::config::sections::Rag;
use crate::context::Context;
use crate::error::{self, Kind};
use crate::ranking::{self, Query, Ranking};
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite;
use crate::sys::{files, process};
use crate::task;

const FAILED: &str = "rag-eval.failed";
const REFUSED: &str = "rag-eval.refused";

/// How long a read waits for a lock.
const BUSY: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Measure retrieval: labelled queries, indices against exact search, drift, harmful memories
#[derive(Args)]
#[command(
    after_long_help = "Parts: labels (precision@k, recall@k, MRR and nDCG@k of the queries in [rag.eval] labels, for each way to \
search that is configured: a run file of the application, its search command, exact search, every [[rag.index]]; a drop against \
earlier runs is a finding where it is more than chance), recall (what each index finds of the nearest, over its search parameter), \
drift (mean vector, lengths, dimension, models against the first run), memories (texts with instructions for a model, hidden \
characters, links that act, secrets). Nothing is quarantined without --quarantine, and nothing is ever deleted. See what would be \
done: empire-maint rag-eval --quarantine --dry-run"
)]
pub struct Arguments {
    /// Only this part (repeatable): labels, recall, drift, memories
    #[arg(long, value_name = "PART", value_enum, hide_possible_values = true)]
    only: Vec<Part>,
    /// Take what this run measures for the new baseline
    #[arg(long)]
    accept: bool,
    /// Take memories out of the application's sight: these of those that are found (repeatable), or all of medium severity and up
    #[arg(
        long,
        value_name = "ID",
        num_args = 0..=1,
        default_missing_value = "all",
        allow_negative_numbers = true,
        conflicts_with_all = ["only", "accept"]
    )]
    quarantine: Vec<String>,
    /// Bring a quarantined memory back (repeatable)
    #[arg(long, value_name = "ID", allow_negative_numbers = true, conflicts_with_all = ["only", "accept", "quarantine"])]
    unquarantine: Vec<String>,
    /// Also where more than [rag] max_fraction of the chunks would be quarantined
    #[arg(long)]
    yes: bool,
    /// Quarantine also without a verified backup from the last 24 hours
    #[arg(long)]
    no_backup_check: bool,
}

/// A part of `rag-eval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Labelled queries.
    Labels,
    /// Indices against exact search.
    Recall,
    /// The embeddings against those of the first run.
    Drift,
    /// What a person should look at.
    Memories,
}

/// What `rag-eval` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a way to search.
    ways: Vec<labels::Way>,
    /// One entry an index.
    indices: Vec<recall::Swept>,
    /// The embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    embeddings: Option<drift::Look>,
    /// What a person should look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    memories: Option<memories::Audit>,
}

/// Resolved.
pub struct Task {
    store: Store,
    rag: Rag,
    parts: Vec<Part>,
    accept: bool,
    change: Option<quarantine::Change>,
    yes: bool,
    backup_check: bool,
    labels: Option<PathBuf>,
    run: Option<PathBuf>,
    indices: Vec<IndexAt>,
    root: PathBuf,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "rag-eval";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        let moves = !self.quarantine.is_empty() || !self.unquarantine.is_empty();
        let mut parts = Part::value_variants().iter();
        !moves && (self.only.is_empty() || parts.all(|part| self.only.contains(part)))
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let rag = config.get::<Rag>()?;
        store.database(&rag.database)?;
        let change = match (self.quarantine.is_empty(), self.unquarantine.is_empty()) {
            (false, _) => Some(quarantine::Change::Away(quarantine::Wanted::of(
                self.quarantine,
            ))),
            (_, false) => Some(quarantine::Change::Back(self.unquarantine)),
            _ => None,
        };
        let parts = match &change {
            Some(quarantine::Change::Away(_)) => vec![Part::Memories],
            Some(quarantine::Change::Back(_)) => Vec::new(),
            None if self.only.is_empty() => Part::value_variants().to_vec(),
            None => self.only,
        };
        let path = |path: &Option<PathBuf>| -> anyhow::Result<Option<PathBuf>> {
            path.as_deref().map(|path| config.path(path)).transpose()
        };
        Ok(Task {
            parts,
            accept: self.accept,
            change,
            yes: self.yes,
            backup_check: !self.no_backup_check,
            labels: path(&rag.eval.labels)?,
            run: path(&rag.eval.run)?,
            indices: rag
                .index
                .iter()
                .map(|index| {
                    Ok(IndexAt {
                        path: config.path(&index.path)?,
                        map: path(&index.positions_map)?,
                    })
                })
                .collect::<anyhow::Result<_>>()?,
            root: config.app_root()?,
            store,
            rag,
        })
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let input = self.read_files()?;
        let source = self.store.database(&self.rag.database)?;
        files::require_own_links(&source.path, &self.root)?;
        let reader = sqlite::open_readonly(&source.path, &context.stop, BUSY)?;
        let memory = vectors::Memory::find(&reader, &self.rag, source, context)?;
        let scene = Scene {
            task: self,
            context,
            report,
            memory: &memory,
            input: &input,
        };
        let mut detail = Detail::default();
        let mut told = Vec::new();
        for part in &self.parts {
            let word = part.word();
            report.examined(FAILED, word);
            report.examined(REFUSED, word);
            let done = match part {
                Part::Labels => labels::look(&scene, &mut detail.ways),
                Part::Recall => recall::look(&scene, &mut detail.indices),
                Part::Drift => drift::look(&scene, &mut detail.embeddings),
                Part::Memories => memories::look(&scene, &mut detail.memories),
            };
            told.extend(scene.settle(word, done)?);
        }
        if let Some(change) = &self.change {
            told.push(quarantine::carry_out(
                &scene,
                change,
                detail.memories.as_mut(),
            )?);
        }
        if let Some(audit) = &detail.memories {
            memories::tell(&scene, audit);
        }
        report.progress_done();
        report.summarise(told.join("; "));
        report.detail(&detail)
    }
}

/// A configured index.
struct IndexAt {
    path: PathBuf,
    /// Which id each position has, where it has no ids of its own.
    map: Option<PathBuf>,
}

/// What the operator has written down.
#[derive(Default)]
struct Input {
    queries: Vec<Query>,
    run: Option<Ranking>,
}

impl Task {
    /// All files are read before anything is measured: a line that is wrong ends the run before it began.
    fn read_files(&self) -> anyhow::Result<Input> {
        if !self
            .parts
            .iter()
            .any(|part| matches!(part, Part::Labels | Part::Recall))
        {
            return Ok(Input::default());
        }
        let mut queries = match &self.labels {
            None => Vec::new(),
            Some(path) => ranking::read_labels(path)?,
        };
        let command = self.rag.eval.command.as_deref().unwrap_or_default();
        if let Some(program) = command.first().filter(|_| !queries.is_empty()) {
            // It runs in the root.
            let at = match program.contains('/') {
                true => self.root.join(program).display().to_string(),
                false => program.clone(),
            };
            if !process::is_installed(&at) {
                return Err(error::missing(format!("there is no program {program}"))
                    .hint("[rag.eval] command names it")
                    .into());
            }
        }
        let canaries = &self.rag.eval.canaries;
        for name in canaries {
            let query = queries.iter_mut().find(|query| query.id == *name);
            let query = query.ok_or_else(|| {
                error::config(format!(
                    "[rag.eval]: the canary '{name}' is no labelled query"
                ))
            })?;
            query.canary = true;
        }
        Ok(Input {
            queries,
            run: self.run.as_deref().map(ranking::read_run).transpose()?,
        })
    }
}

/// What every part needs.
struct Scene<'a> {
    task: &'a Task,
    context: &'a Context,
    report: &'a Reporter,
    memory: &'a vectors::Memory<'a>,
    input: &'a Input,
}

impl Scene<'_> {
    /// A part that could not be done is a finding, and the next one is done; signals and time limits end the run.
    fn settle<T>(&self, subject: &str, done: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let error = match done {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error::ends_the_run(&error) => return Err(error),
            Err(error) => error,
        };
        let (id, severity) = match error::kind_of(&error) {
            Kind::Refused | Kind::Missing => (REFUSED, Severity::Medium),
            _ => (FAILED, Severity::High),
        };
        self.report
            .find(Finding::of_error(id, severity, subject, &error));
        Ok(None)
    }
}

impl Part {
    /// As it is typed.
    fn word(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Recall => "recall",
            Self::Drift => "drift",
            Self::Memories => "memories",
        }
    }
}

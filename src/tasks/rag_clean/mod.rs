//! Keeps the application's memory true: what is idle, orphaned or invalid goes, and with it what FAISS indices still hold of it.
//! Changes the tables of `[rag.tables]`, in transactions of a few milliseconds after a verified backup, and the files of `[[rag.index]]`.
//! Never takes a row in doubt, never a text whose vector alone is wrong, never shows a reader half an index, never renumbers an id.

mod apply;
mod changed;
mod digest;
mod dimension;
mod duplicates;
mod embed;
mod index;
mod judge;
mod memory;
mod merge;
mod plan;
mod probe;
mod references;
mod removal;
mod renew;
mod run;
mod scene;
mod twins;
mod vectors;

use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Store;
use crate::config::Config;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::{missing, usage};
use crate::optimize::{self, Optimizer};
use crate::report::Reporter;
use crate::task;

const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Rows of texts or vectors that are read at once.
const PIECE: usize = 1_000;
/// How long a transaction waits for the writers before it.
const BUSY: Duration = Duration::from_secs(20);

const FAILED: &str = "rag-clean.failed";
const GAVE_WAY: &str = "rag-clean.gave-way";

/// Remove idle, orphaned and invalid embeddings and chunks; keep FAISS indices true to them
#[derive(Args)]
#[command(
    after_long_help = "Steps: idle (embeddings not accessed for [rag] max_idle, with their chunks), orphans (chunks whose embedding \
or document is gone, embeddings that no chunk points to, but for what is new and may be about to get the other), invalid (vectors \
with NaN, infinite or all zero numbers, of another dimension or no floats at all, whose chunks then wait for a new one; chunks whose \
text holds nothing to read), and only where they are listed: duplicates (chunks \
whose text, case and blanks aside, is that of another; that have [rag] near_duplicate of their runs of three words in common with it and \
the same numbers and signs; or, with [rag.duplicates] cosine, whose vectors lie so near. The one that has a vector, was used last, is longest or \
came first stays; whatever a foreign key or [rag.duplicates] references says points to it then), quality \
(embeddings that the application's own count says were never retrieved and that are older than [rag.quality] never_retrieved; texts \
of few words, of symbols or of one word again and again that were never retrieved), changed (documents whose file has another hash \
than content_hash are marked in their column stale and listed, never removed; chunks without an embedding, and those whose text has \
another hash than the text_hash of their embedding, get a vector from [rag.embedding]), optimize (what optimize-db does, for this \
database). An index of [[rag.index]] that holds what \
is gone is rebuilt in the same run, from the vectors of the table, in the kind that it has, and proven before it is published; the \
one before is kept as .bak. A bare Flat or HNSW calls its vectors by their positions: it is rebuilt where the ids of the table are \
0, 1, 2 and so on, or positions_map names the file with the ids. The lists of an IVF keep their centroids unless --retrain is given, \
most of its vectors are new, or its lists are very unequal (4 times the square of even ones). Other kinds are written by \
external_command. Rebuilding takes about 160 bytes of memory a vector, for HNSW also one and a quarter times the vectors and twice the graph; \
what is not available is refused first. See what \
would be done: empire-maint rag-clean --dry-run"
)]
pub struct Arguments {
    /// Only this step (repeatable): idle, orphans, invalid, duplicates, quality, changed, optimize
    #[arg(long, value_name = "STEP", value_enum, hide_possible_values = true)]
    step: Vec<RagStep>,
    /// Rebuild every index of [[rag.index]], whatever it holds
    #[arg(long)]
    rebuild_index: bool,
    /// Rebuild an index once this part of it (0 to 1) differs from the table
    #[arg(long, value_name = "FRACTION", conflicts_with = "rebuild_index")]
    rebuild_if_stale: Option<f64>,
    /// Where an IVF is rebuilt, find new centroids for its lists
    #[arg(long)]
    retrain: bool,
    /// Also where a step takes more of its table than max_fraction
    #[arg(long)]
    yes: bool,
    /// Also without a verified backup from the last 24 hours
    #[arg(long)]
    no_backup_check: bool,
}

/// What `rag-clean` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a kind of rows that a step looked for.
    steps: Vec<run::Outcome>,
    /// Groups of chunks that say the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<duplicates::Outcome>,
    /// The database afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<run::Size>,
    /// What became of the documents, where the step changed was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<changed::Outcome>,
    /// What became of the texts without a vector of theirs, where the step changed was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<embed::Outcome>,
    /// What became of the database, where the step optimize was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    optimized: Option<optimize::Outcome>,
    /// One entry an index.
    indices: Vec<index::Outcome>,
}

/// Resolved.
pub struct Task {
    store: Store,
    run: run::Run,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "rag-clean";
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, other: &Self) -> bool {
        self.step.is_empty() && (self.rebuild_index || !other.rebuild_index)
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let rag = config.get::<Rag>()?;
        store.database(&rag.database)?;
        if let Some(fraction) = self.rebuild_if_stale
            && !(0.0..=1.0).contains(&fraction)
        {
            return Err(usage(format!(
                "--rebuild-if-stale {fraction} is no part of an index: from 0 to 1"
            ))
            .into());
        }
        let indices = rag
            .index
            .iter()
            .map(|one| {
                Ok(index::Wanted {
                    path: config.path(&one.path)?,
                    map: one
                        .positions_map
                        .as_ref()
                        .map(|path| config.path(path))
                        .transpose()?,
                    command: one.external_command.clone(),
                    limit: one.external_timeout.0,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        if indices.is_empty() && (self.rebuild_index || self.rebuild_if_stale.is_some()) {
            return Err(missing("there is no [[rag.index]] to rebuild")
                .hint("name the file that the application writes: [[rag.index]] path = \"data/rag.faiss\"")
                .into());
        }
        let all = [
            RagStep::Idle,
            RagStep::Orphans,
            RagStep::Invalid,
            RagStep::Duplicates,
            RagStep::Quality,
            RagStep::Changed,
            RagStep::Optimize,
        ];
        let wanted = match self.step.is_empty() {
            true => &rag.steps,
            false => &self.step,
        };
        // Always in this order: what one step leaves, the next may take.
        let steps: Vec<_> = all
            .into_iter()
            .filter(|step| wanted.contains(step))
            .collect();
        Ok(Task {
            store,
            run: run::Run {
                steps,
                indices,
                rebuild: match (self.rebuild_index, self.rebuild_if_stale) {
                    (true, _) => index::When::Always,
                    (false, Some(fraction)) => index::When::Differs(fraction),
                    (false, None) => index::When::Stale,
                },
                retrain: self.retrain,
                yes: self.yes,
                backup_check: !self.no_backup_check,
                root: config.app_root()?,
                optimizer: Optimizer::from_config(config, self.no_backup_check)?,
                documents_root: config.path(&rag.documents_root)?,
                rag,
            },
        })
    }
}

impl task::Task for Task {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        self.run.run(context, report, &self.store)
    }
}

/// As it is typed.
fn word(step: RagStep) -> &'static str {
    match step {
        RagStep::Idle => "idle",
        RagStep::Orphans => "orphans",
        RagStep::Invalid => "invalid",
        RagStep::Duplicates => "duplicates",
        RagStep::Quality => "quality",
        RagStep::Changed => "changed",
        RagStep::Optimize => "optimize",
    }
}

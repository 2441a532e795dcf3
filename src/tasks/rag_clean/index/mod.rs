//! An index beside its table: what of it is missing, stale or moved, and building it anew. The new one is proven against the table
//! before anybody sees it, and takes the place of the old one in one step.

mod drift;
mod foreign;
mod look;
mod publish;
mod rebuild;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use drift::Drift;
use look::{Found, Held};

use super::memory::Memory;
use crate::archive::Source;
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Step, Table};
use crate::sqlite;
use crate::units::count;

pub use look::Looked;

/// Finding id: an index could not be looked at or rebuilt.
pub const FAILED: &str = "rag-clean.index-failed";
const ON_TRUST: &str = "rag-clean.index-on-trust";
const UNUSABLE: &str = "rag-clean.index-unusable";
const REFUSED: &str = "rag-clean.index-refused";
const DRIFT: &str = "rag-clean.index-drift";
const ABSENT: &str = "rag-clean.no-index";

/// An index of the configuration.
#[derive(Clone)]
pub struct Wanted {
    /// The file.
    pub path: PathBuf,
    /// The ids of its positions.
    pub map: Option<PathBuf>,
    /// Writes one of a kind that is not written here.
    pub command: Option<Vec<String>>,
    /// How long that may take.
    pub limit: Duration,
}

/// When an index is rebuilt.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Whatever it holds.
    Always,
    /// When it holds what is gone.
    Stale,
    /// That, and when more than this part of it differs.
    Differs(f64),
}

/// What became of an index.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The file.
    path: String,
    /// What it is, as FAISS calls it.
    kind: String,
    /// Numbers a vector.
    dimension: usize,
    /// Its vectors are those of the table, brought to length 1.
    normalised: bool,
    /// Vectors in it before.
    vectors: u64,
    /// Vectors of the table that belong into it.
    rows: u64,
    /// Rows of the table without a usable vector.
    skipped: u64,
    /// Rows that it lacked.
    missing: u64,
    /// Ids in it that are in no row.
    stale: u64,
    /// Ids whose vector differs from that of the row.
    moved: u64,
    /// It was built anew.
    rebuilt: bool,
    /// Milliseconds that building and writing it took, without the proof; of a command's nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_ms: Option<u64>,
    /// What was shown of the one that was built anew: `whole`; of one that a command wrote `ids`, or `ids-as-told` by the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<&'static str>,
}

impl Outcome {
    fn new(path: &str, kind: String, dimension: usize, drift: &Drift) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            dimension,
            normalised: drift.normalised,
            vectors: drift.vectors,
            rows: drift.rows,
            skipped: drift.skipped,
            missing: drift.missing,
            stale: drift.stale,
            moved: drift.moved,
            rebuilt: false,
            build_ms: None,
            proven: None,
        }
    }

    /// True once it was built anew.
    pub fn rebuilt(&self) -> bool {
        self.rebuilt
    }
}

/// For people.
pub fn table(indices: &[Outcome]) -> Document {
    Document::Table(Table {
        title: "Indices".to_owned(),
        columns: vec![
            "index", "kind", "vectors", "rows", "missing", "stale", "moved", "rebuilt",
        ],
        rows: indices
            .iter()
            .map(|one| {
                vec![
                    Cell::Text(one.path.clone()),
                    Cell::Text(one.kind.clone()),
                    Cell::Count(one.vectors),
                    Cell::Count(one.rows),
                    Cell::Count(one.missing),
                    Cell::Count(one.stale),
                    Cell::Count(one.moved),
                    Cell::Text(if one.rebuilt { "yes" } else { "no" }.to_owned()),
                ]
            })
            .collect(),
    })
}

/// What all indices of a run need.
pub struct Work<'a> {
    /// The run.
    pub context: &'a Context,
    /// Its report.
    pub report: &'a Reporter,
    /// The database.
    pub source: &'a Source,
    /// Its tables.
    pub memory: &'a Memory,
    /// Reads.
    pub reader: &'a Connection,
    /// When they are rebuilt.
    pub when: When,
    /// The lists of an IVF get new centroids.
    pub retrain: bool,
    /// Embeddings went, or would have.
    pub unlinked: bool,
}

impl Work<'_> {
    /// Compares, and rebuilds where that is due, from the state of the table that it was compared with.
    pub fn bring_in_line(
        &self,
        looked: &Looked,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
        let done: &dyn Fn(&mut Vec<Outcome>) -> anyhow::Result<()> = match &looked.found {
            Found::Held(held) => &|outcomes| self.compare_and_rebuild(held, outcomes),
            Found::Foreign(foreign) => &|outcomes| self.have_rebuilt(foreign, outcomes),
            Found::Absent | Found::Unusable(_) => return Ok(()),
        };
        self.batch("BEGIN")?;
        let done = done(outcomes);
        let ended = self.let_go();
        match done {
            Err(error) if error::kind_of(&error) == Kind::Refused => {
                let subject = looked.subject();
                let mut finding =
                    Finding::new(REFUSED, Severity::High, subject, format!("{error:#}"));
                finding.hint = error::failure_in(&error).and_then(|failure| failure.hint.clone());
                self.report.find(finding);
                ended
            }
            other => other.and(ended),
        }
    }

    /// Refused where it could not be rebuilt without the rows that are to go. All of it sees one state of the table.
    pub fn require_possible(&self, looked: &Looked) -> anyhow::Result<()> {
        self.batch("BEGIN")?;
        let possible = match &looked.found {
            Found::Held(held) => self.require_ids().and_then(|()| {
                let drift = self.drift(held)?;
                self.require_rebuildable(held, &drift)?;
                self.require_room(held, &drift)
            }),
            Found::Foreign(foreign) => foreign
                .require_possible()
                .and_then(|()| self.ids(foreign.glance.dimension * 4).map(|_| ())),
            Found::Absent | Found::Unusable(_) => Ok(()),
        };
        possible.and(self.let_go())
    }

    fn compare_and_rebuild(&self, held: &Held, outcomes: &mut Vec<Outcome>) -> anyhow::Result<()> {
        let subject = held.path.display().to_string();
        self.require_ids()?;
        let drift = self.drift(held)?;
        self.measure(&subject, &drift);
        let shape = &held.index.shape;
        outcomes.push(Outcome::new(
            &subject,
            shape.to_string(),
            shape.dimension,
            &drift,
        ));
        self.report.examined(DRIFT, &subject);
        let due = self.due(&drift);
        let possible = self.require_rebuildable(held, &drift);
        if due.is_none() || possible.is_err() {
            self.tell(&subject, &drift, &possible);
        }
        let Some(reason) = due else {
            return Ok(());
        };
        possible?;
        let step = Step {
            kind: "rebuild",
            target: subject,
            reason: format!("{shape}: {reason}"),
        };
        let done = self
            .report
            .act(step, |permit| self.rebuild(permit, held, &drift))?;
        if let (Some(took), Some(last)) = (done, outcomes.last_mut()) {
            (last.rebuilt, last.proven) = (true, Some("whole"));
            last.build_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn due(&self, drift: &Drift) -> Option<String> {
        match self.when {
            When::Always => Some("asked for".to_owned()),
            _ if self.unlinked => Some("what goes has to go from it too".to_owned()),
            _ if drift.stale > 0 => {
                Some(format!("{} of it are in no row", count(drift.stale, "id")))
            }
            When::Differs(most) if drift.share() > most => Some(format!(
                "{:.1}% of it differ (limit {:.1}%)",
                drift.share() * 100.0,
                most * 100.0
            )),
            _ => None,
        }
    }

    /// With what would bring them together.
    fn tell(&self, subject: &str, drift: &Drift, possible: &anyhow::Result<()>) {
        if drift.differing() == 0 {
            return;
        }
        self.report.find(
            Finding::new(
                DRIFT,
                Severity::Low,
                subject,
                format!(
                    "{:.1}% of the index differ from the table: {} missing, {} stale, {} with another vector",
                    drift.share() * 100.0,
                    drift.missing,
                    drift.stale,
                    drift.moved
                ),
            )
            .hint(match possible {
                Ok(()) => "empire-maint rag-clean --rebuild-index",
                Err(refused) => error::failure_in(refused)
                    .and_then(|failure| failure.hint.as_deref())
                    .unwrap_or("have the application write it anew"),
            }),
        );
    }

    fn measure(&self, subject: &str, drift: &Drift) {
        let measure = |name, value: u64| {
            self.report
                .measure(name, value as f64, "", [("index", subject)]);
        };
        measure("rag_index_vectors", drift.vectors);
        measure("rag_index_missing_ids", drift.missing);
        measure("rag_index_stale_ids", drift.stale);
        measure("rag_index_moved_ids", drift.moved);
    }

    /// From now on the state of the table is seen that is there, and the log need not keep another one.
    fn let_go(&self) -> anyhow::Result<()> {
        match self.reader.is_autocommit() {
            true => Ok(()),
            false => self.batch("COMMIT"),
        }
    }

    fn batch(&self, sql: &str) -> anyhow::Result<()> {
        self.reader
            .execute_batch(sql)
            .map_err(|error| self.explain(error))
    }

    fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        sqlite::explain(error, &self.source.path, &self.context.stop)
    }
}

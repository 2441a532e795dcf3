//! An index beside its table: what of it is missing, stale or moved, and building it anew. The new one is proven against the table
//! before anybody sees it, and takes the place of the old one in one step.

mod drift;
mod foreign;
mod held;
mod look;
mod pending;
mod publish;
mod rebuild;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use drift::Drift;
use held::Held;
use look::Found;
use pending::Pending;

use super::memory::Memory;
use crate::archive::Source;
use crate::context::Context;
use crate::error::{self, Failure, Kind, refused};
use crate::report::{Cell, Document, Finding, Permit, Reporter, Severity, Step, Table};
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

/// What was refused, as a value.
fn refusal<T>(done: anyhow::Result<T>) -> anyhow::Result<Result<T, Failure>> {
    match done {
        Err(error) if error::kind_of(&error) == Kind::Refused => Ok(Err(Failure {
            hint: error::hint_of(&error).map(str::to_owned),
            ..refused(format!("{error:#}"))
        })),
        other => other.map(Ok),
    }
}

/// Takes those marks away: nothing has changed.
pub fn unmark(permit: &Permit, marked: &[&Path]) -> anyhow::Result<()> {
    marked
        .iter()
        .try_for_each(|path| pending::clear(permit, path))
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
    /// The indices.
    pub looked: Vec<Looked>,
}

/// Why an index has to follow: rows of the table went, or would have.
pub const GONE: &str = "what goes has to go from it too";
/// The same: vectors came or changed, or would have.
pub const RENEWED: &str = "vectors come or change";

impl Work<'_> {
    /// Why an index would go on to return embeddings that are gone; none where all can be rebuilt.
    pub fn cannot_follow(&self) -> anyhow::Result<Option<Failure>> {
        if let Some(why) = self.looked.iter().find_map(Looked::cannot_follow) {
            return Ok(Some(why));
        }
        for one in &self.looked {
            let told = |why: &Failure| Failure {
                hint: why.hint.clone(),
                ..refused(format!("{}: {why}", one.subject()))
            };
            match (self.judged(one)?, &one.found) {
                (Err(why), _) => return Ok(Some(told(why))),
                (Ok(drift), Found::Held(held)) => {
                    if let Err(why) = refusal(self.require_room_before(held, drift))? {
                        return Ok(Some(told(&why)));
                    }
                }
                (Ok(_), _) => {}
            }
        }
        Ok(None)
    }

    /// Judges every index while nothing of the table has changed. What cannot be looked at is told when it is to be brought in line.
    pub fn judge(&self) -> anyhow::Result<()> {
        for one in &self.looked {
            match self.judged(one) {
                Err(error) if error::ends_the_run(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn judged<'l>(&self, looked: &'l Looked) -> anyhow::Result<&'l Result<Drift, Failure>> {
        if let Some(known) = looked.judged.get() {
            return Ok(known);
        }
        let judged = refusal(self.require_possible(looked))?;
        Ok(looked.judged.get_or_init(|| judged))
    }

    /// Marks those that will have to be built anew, before the first vector of the table goes, comes or changes. Returns those that
    /// were not marked.
    pub fn mark(&self, permit: &Permit) -> anyhow::Result<Vec<&Path>> {
        let mut new = Vec::new();
        for one in &self.looked {
            let follows = match one.found {
                Found::Held(_) => matches!(one.judged.get(), Some(Ok(_))),
                Found::Foreign(_) => true,
                Found::Absent | Found::Unusable(_) => false,
            };
            if follows && pending::set(permit, &one.path)? {
                new.push(one.path.as_path());
            }
        }
        Ok(new)
    }

    /// Compares, and rebuilds where that is due, from the state of the table that it was compared with. `change` is what this run did
    /// to the table.
    pub fn bring_in_line(
        &self,
        looked: &Looked,
        change: Option<&str>,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
        let done: &dyn Fn(&mut Vec<Outcome>) -> anyhow::Result<()> = match &looked.found {
            Found::Held(held) => {
                let decided = change.is_some() && matches!(looked.judged.get(), Some(Ok(_)));
                let pending = Pending {
                    settled: looked.pending.settled || decided,
                    ..looked.pending
                };
                &move |outcomes| self.compare_and_rebuild(held, change, pending, outcomes)
            }
            Found::Foreign(foreign) => {
                &|outcomes| self.have_rebuilt(foreign, change, looked.pending, outcomes)
            }
            Found::Absent | Found::Unusable(_) => return Ok(()),
        };
        self.batch("BEGIN")?;
        let done = done(outcomes);
        let ended = self.let_go();
        match done {
            Err(error) if error::kind_of(&error) == Kind::Refused => {
                let subject = looked.subject();
                self.report
                    .find(Finding::of_error(REFUSED, Severity::High, subject, &error));
                ended
            }
            other => other.and(ended),
        }
    }

    /// How it differs from the table. Refused where it could not be rebuilt. All of it sees one state of the table.
    fn require_possible(&self, looked: &Looked) -> anyhow::Result<Drift> {
        self.batch("BEGIN")?;
        let possible = match &looked.found {
            Found::Held(held) => self.require_ids().and_then(|()| {
                let drift = self.drift(held)?;
                self.require_rebuildable(held, &drift, looked.pending.settled)?;
                Ok(drift)
            }),
            Found::Foreign(foreign) => foreign
                .require_possible()
                .and_then(|()| self.ids(foreign.glance.dimension * 4))
                .map(|_| Drift::default()),
            Found::Absent | Found::Unusable(_) => Ok(Drift::default()),
        };
        let ended = self.let_go();
        possible.and_then(|drift| ended.map(|()| drift))
    }

    fn compare_and_rebuild(
        &self,
        held: &Held,
        change: Option<&str>,
        pending: Pending,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
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
        let left = pending.due && drift.differing() > 0;
        if pending.due && !left && !self.report.dry_run() {
            pending::forget(&held.path);
        }
        let due = self.due(&drift, change, left);
        let possible = self.require_rebuildable(held, &drift, pending.settled);
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

    /// Why it is to be built anew: also where an earlier run has left that to do.
    fn due(&self, drift: &Drift, change: Option<&str>, left: bool) -> Option<String> {
        match (self.when, change) {
            (When::Always, _) => Some("asked for".to_owned()),
            (_, Some(change)) => Some(change.to_owned()),
            _ if left => Some("an earlier run has left that to do".to_owned()),
            _ if drift.stale > 0 => {
                Some(format!("{} of it are in no row", count(drift.stale, "id")))
            }
            (When::Differs(most), _) if drift.share() > most => Some(format!(
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
                Err(refused) => error::hint_of(refused)
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

//! An index beside its table: what of it is missing, stale or moved, and building it anew. The new one is proven against the table
//! before anybody sees it, and takes the place of the old one in one step.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use schemars::JsonSchema;
use serde::Serialize;

use super::judge::wrong_vector;
use super::memory::Memory;
use crate::archive::Source;
use crate::context::Context;
use crate::error::{self, Kind, refused};
use crate::faiss::{self, Index};
use crate::report::{Cell, Document, Finding, Permit, Reporter, Severity, Step, Table};
use crate::sqlite::{self, quote};
use crate::sys::{files, load, space};
use crate::units::{Bytes, count, percent};

/// Finding id: an index could not be looked at or rebuilt.
pub const FAILED: &str = "rag-clean.index-failed";
const UNUSABLE: &str = "rag-clean.index-unusable";
const REFUSED: &str = "rag-clean.index-refused";
const DRIFT: &str = "rag-clean.index-drift";
const ABSENT: &str = "rag-clean.no-index";

/// Numbers of a normalised vector may differ so much from ours.
const CLOSE: f32 = 1e-4;

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
}

impl Outcome {
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

/// A configured index, looked at before anything goes.
pub struct Looked {
    path: PathBuf,
    found: Found,
}

enum Found {
    Index(Box<Index>),
    Absent,
    Unusable(String),
}

impl Looked {
    /// Reads what is there, and tells where that is nothing to build from.
    pub fn at(path: &Path, report: &Reporter) -> anyhow::Result<Self> {
        let subject = path.display().to_string();
        for id in [UNUSABLE, REFUSED, ABSENT] {
            report.examined(id, &subject);
        }
        let found = if files::metadata(path)?.is_none() {
            let message =
                "there is no file yet: the kind of an index is read from the one that is there";
            report.find(
                Finding::new(ABSENT, Severity::Info, &subject, message)
                    .hint("have the application write it once, or take it out of [[rag.index]]"),
            );
            Found::Absent
        } else {
            match Index::open(path) {
                Ok(index) => Found::Index(Box::new(index)),
                Err(error) if error::ends_the_run(&error) => return Err(error),
                Err(error) => {
                    let message = format!("{error:#}");
                    report.find(
                        Finding::new(UNUSABLE, Severity::High, &subject, &message).hint(
                            "have the application write it anew; its vectors are in the table",
                        ),
                    );
                    Found::Unusable(message)
                }
            }
        };
        Ok(Self {
            path: path.to_owned(),
            found,
        })
    }

    /// What findings about it are about.
    pub fn subject(&self) -> String {
        self.path.display().to_string()
    }

    /// Why it would go on to return embeddings that are gone; none where it can be rebuilt.
    pub fn cannot_follow(&self) -> Option<String> {
        match &self.found {
            Found::Absent => None,
            Found::Unusable(why) => Some(why.clone()),
            Found::Index(index) => index.shape.is_positional().then(|| {
                format!(
                    "{}: {} has positions for ids, and every row that goes would move those behind it",
                    self.path.display(),
                    index.shape
                )
            }),
        }
    }
}

/// How an index and its table differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Drift {
    vectors: u64,
    rows: u64,
    skipped: u64,
    missing: u64,
    stale: u64,
    moved: u64,
    normalised: bool,
    /// The last id of the table.
    last: Option<i64>,
}

impl Drift {
    fn differing(&self) -> u64 {
        self.missing + self.stale + self.moved
    }

    fn share(&self) -> f64 {
        percent(self.differing(), self.rows.max(self.vectors)) / 100.0
    }
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
    /// Embeddings went, or would have.
    pub unlinked: bool,
}

impl Work<'_> {
    /// Compares, and rebuilds where that is due. All of it sees one state of the table.
    pub fn bring_in_line(
        &self,
        looked: &Looked,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
        let Found::Index(index) = &looked.found else {
            return Ok(());
        };
        self.batch("BEGIN")?;
        let done = self.compare_and_rebuild(&looked.path, index, outcomes);
        let ended = self.batch("COMMIT");
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

    fn compare_and_rebuild(
        &self,
        path: &Path,
        index: &Index,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
        let subject = path.display().to_string();
        self.require_ids()?;
        let drift = self.drift(index)?;
        self.measure(&subject, &drift);
        let outcome = Outcome {
            path: subject.clone(),
            kind: index.shape.to_string(),
            dimension: index.shape.dimension,
            normalised: drift.normalised,
            vectors: drift.vectors,
            rows: drift.rows,
            skipped: drift.skipped,
            missing: drift.missing,
            stale: drift.stale,
            moved: drift.moved,
            rebuilt: false,
        };
        outcomes.push(outcome);
        self.report.examined(DRIFT, &subject);
        let Some(reason) = self.due(&drift) else {
            self.tell(&subject, &drift);
            return Ok(());
        };
        let possible = require_possible(index, &drift);
        if possible.is_err() {
            self.tell(&subject, &drift);
        }
        possible?;
        let step = Step {
            kind: "rebuild",
            target: subject,
            reason: format!("{}: {reason}", index.shape),
        };
        let done = self
            .report
            .act(step, |permit| self.rebuild(permit, path, index, &drift))?;
        if let Some(last) = outcomes.last_mut() {
            last.rebuilt = done.is_some();
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

    fn tell(&self, subject: &str, drift: &Drift) {
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
            .hint("empire-maint rag-clean --rebuild-index"),
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

    /// Rows are compared in the order of their ids, which has to be cheap.
    fn require_ids(&self) -> anyhow::Result<()> {
        let (table, id) = (&self.memory.embeddings, &self.memory.names.id);
        let is_key = matches!(table.key.as_slice(), [key] if key.eq_ignore_ascii_case(id));
        let wrong = |error| self.explain(error);
        if is_key || table.has_index(self.reader, &[id]).map_err(wrong)? {
            return Ok(());
        }
        Err(refused(format!("no index finds {} by {id}", table.name))
            .hint(format!(
                "CREATE UNIQUE INDEX {} ON {}({})",
                quote(&format!("{}_by_{id}", table.name)),
                quote(&table.name),
                quote(id)
            ))
            .into())
    }

    /// Every usable vector of the table with its id, by id. Says how many rows have none.
    fn rows(
        &self,
        width: usize,
        each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let names = &self.memory.names;
        let (id, vector) = (quote(&names.id), quote(&names.vector));
        let sql = format!(
            "SELECT {id}, {vector} FROM main.{} WHERE {id} IS NOT NULL ORDER BY {id}",
            quote(&self.memory.embeddings.name)
        );
        let wrong = |error| self.explain(error);
        let mut statement = self.reader.prepare(&sql).map_err(wrong)?;
        let mut rows = statement.query([]).map_err(wrong)?;
        let (mut before, mut skipped) = (None, 0);
        while let Some(row) = rows.next().map_err(wrong)? {
            let ValueRef::Integer(id) = row.get_ref(0).map_err(wrong)? else {
                return Err(refused(format!(
                    "{}.{} holds ids that are no integers, which no FAISS index has",
                    self.memory.embeddings.name, names.id
                ))
                .into());
            };
            if before.replace(id) == Some(id) {
                return Err(refused(format!("two rows have the id {id}")).into());
            }
            match row.get_ref(1).map_err(wrong)? {
                ValueRef::Blob(bytes) if wrong_vector(bytes, width / 4).is_none() => {
                    each(id, bytes)?
                }
                _ => skipped += 1,
            }
        }
        Ok(skipped)
    }

    fn drift(&self, index: &Index) -> anyhow::Result<Drift> {
        let mut entries = index.entries.clone();
        entries.sort_unstable();
        let mut left = entries.iter().copied().peekable();
        let mut drift = Drift {
            vectors: entries.len() as u64,
            ..Drift::default()
        };
        let (mut own, mut common, mut same, mut close) = (Vec::new(), 0u64, 0u64, 0u64);
        let mut scaled = Vec::new();
        let skipped = self.rows(index.shape.width(), &mut |id, bytes| {
            drift.rows += 1;
            drift.last = Some(id);
            while left.next_if(|one| one.id < id).is_some() {
                drift.stale += 1;
            }
            let Some(entry) = left.next_if(|one| one.id == id) else {
                drift.missing += 1;
                return Ok(());
            };
            index.vector(entry, &mut own)?;
            common += 1;
            same += u64::from(own == bytes);
            normalise(bytes, &mut scaled);
            close += u64::from(is_close(&own, &scaled));
            Ok(())
        })?;
        drift.skipped = skipped;
        drift.stale += left.count() as u64;
        drift.normalised = close > same && close * 10 >= common * 9;
        drift.moved = common - if drift.normalised { close } else { same };
        Ok(drift)
    }

    fn rebuild(
        &self,
        permit: &Permit,
        path: &Path,
        index: &Index,
        drift: &Drift,
    ) -> anyhow::Result<()> {
        let shape = &index.shape;
        let needed = faiss::memory_needed(shape, drift.rows);
        let available = load::memory()?.available;
        if needed > available {
            return Err(refused(format!(
                "building it takes {} of memory, {} are available",
                Bytes(needed),
                Bytes(available)
            ))
            .into());
        }
        space::require(
            files::parent(path),
            faiss::size_of(shape, drift.rows),
            "the new index",
        )?;
        let new = files::with_suffix(path, ".new");
        files::remove(permit, &new)?; // of a run that was killed
        let built = self.build(permit, path, &new, index, drift);
        if built.is_err() {
            let _ = files::remove(permit, &new);
        }
        built
    }

    fn build(
        &self,
        permit: &Permit,
        path: &Path,
        new: &Path,
        index: &Index,
        drift: &Drift,
    ) -> anyhow::Result<()> {
        let file = files::create_new(permit, new)?;
        if let Some(old) = files::metadata(path)? {
            files::own_like(&file, &old)?;
            files::set_mode(&file, old.mode())?;
        }
        let rows = |each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>| -> anyhow::Result<()> {
            let mut scaled = Vec::new();
            let mut done = 0;
            self.rows(index.shape.width(), &mut |id, bytes| {
                done += 1;
                self.report.progress(done, drift.rows, "vectors");
                if !drift.normalised {
                    return each(id, bytes);
                }
                normalise(bytes, &mut scaled);
                each(id, &scaled)
            })?;
            Ok(())
        };
        faiss::write(
            &file,
            new,
            &index.shape,
            drift.rows,
            &rows,
            &self.context.stop,
        )?;
        files::sync(&file, new)?;
        files::drop_cache(&file);
        drop(file);
        self.prove(new, index, drift)?;
        let _shield = self.context.stop.shield();
        require_unchanged(path, index)?;
        let kept = files::with_suffix(path, ".bak");
        let keep = files::with_suffix(path, ".bak.new");
        files::remove(permit, &keep)?;
        files::link(permit, path, &keep)?;
        files::rename_over(permit, &keep, &kept)?;
        files::rename_over(permit, new, path)?;
        files::sync_directory(files::parent(path))
    }

    /// The new one, read from the disk: of the same shape, with every row's vector under its id and nothing else, and found.
    fn prove(&self, new: &Path, old: &Index, before: &Drift) -> anyhow::Result<()> {
        let index = Index::open(new)?;
        let drift = self.drift(&index)?;
        anyhow::ensure!(
            index.shape == old.shape,
            "the new index is {} instead of {}",
            index.shape,
            old.shape
        );
        anyhow::ensure!(
            drift.differing() == 0 && drift.rows == before.rows && drift.vectors == before.rows,
            "the new index does not hold what the table holds: {} missing, {} stale, {} with another vector",
            drift.missing,
            drift.stale,
            drift.moved
        );
        index.require_found(old, &self.context.stop)
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

fn require_possible(index: &Index, drift: &Drift) -> anyhow::Result<()> {
    let shape = &index.shape;
    let positions = drift.skipped == 0 && drift.last.unwrap_or(-1) + 1 == drift.rows.cast_signed();
    if shape.is_positional() && !positions {
        return Err(refused(format!(
            "{shape} has positions for ids, and the ids of the table are not 0 to {}: built anew, it would call every vector by another's id",
            drift.rows.cast_signed() - 1
        ))
        .hint("have the application keep it in an IDMap2")
        .into());
    }
    let common = drift.vectors - drift.stale;
    if common > 0 && drift.moved * 2 > common {
        return Err(refused(format!(
            "{} of {} vectors in it are others than those of the table: it was not made from them",
            drift.moved, common
        ))
        .hint("are [rag.tables] vector and id the right columns? else have the application write it anew")
        .into());
    }
    if drift.rows == 0 && drift.skipped > 0 {
        return Err(refused(format!(
            "no vector of the table has its {} dimensions",
            shape.dimension
        ))
        .hint("have the application write it anew with the new model")
        .into());
    }
    Ok(())
}

/// Whoever else wrote it meanwhile has put in what we have not seen.
fn require_unchanged(path: &Path, index: &Index) -> anyhow::Result<()> {
    if index.is_still(path)? {
        return Ok(());
    }
    Err(
        refused("it was written by another process while it was built anew")
            .hint("empire-maint rag-clean --rebuild-index")
            .into(),
    )
}

/// A vector brought to length 1, as FAISS does it for cosine similarity.
fn normalise(bytes: &[u8], into: &mut Vec<u8>) {
    let numbers = || {
        bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
    };
    let norm: f32 = numbers().map(|one| one * one).sum();
    let factor = if norm > 0.0 { 1.0 / norm.sqrt() } else { 1.0 };
    into.clear();
    into.extend(numbers().flat_map(|one| (one * factor).to_le_bytes()));
}

fn is_close(a: &[u8], b: &[u8]) -> bool {
    let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    a.len() == b.len()
        && a.chunks_exact(4)
            .zip(b.chunks_exact(4))
            .all(|(a, b)| (number(a) - number(b)).abs() < CLOSE)
}

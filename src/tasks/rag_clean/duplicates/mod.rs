//! The step `duplicates`: reads every chunk once, in pieces, and finds those that say the same as another one. Of each group the best is
//! kept: one that can be found by its vector, one with an embedding, the preferred, the last accessed, the longest, the first.

mod outcome;
mod read;

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use rusqlite::types::Value;

pub use outcome::{Outcome, table};
use read::{Chunks, Signals};

use super::dimension::dimension;
use super::memory::Memory;
use super::references::References;
use super::removal::{Along, Beyond, Removal};
use super::twins::{Chunk, Fetch, Measure};
use crate::archive::Source;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::{missing, refused};
use crate::similar::{self, Group, Kind, Sketches, Texts, Vectors};
use crate::sqlite::{self, Row, Selection, Table, quote};
use crate::sys::{load, machine};
use crate::units::{self, Bytes};

/// Chunks, and bytes of their texts and vectors, that are read at once.
const PIECE: usize = 1_000;
const PIECE_BYTES: usize = 8 << 20;
/// What is kept of a chunk beside its sketches: its key and its rank; of one that goes also both keys, and its name in two sets.
const EACH: u64 = 8 + 40 + 150 + 100;
/// Groups that the report shows, and ids of each.
const SHOWN: usize = 20;
const SHOWN_IDS: usize = 20;

/// A chunk that goes, and the one that says the same.
pub struct Pair {
    /// The key of the one that stays.
    pub kept: Row,
    /// The key of the one that goes.
    pub removed: Row,
    /// How they are alike.
    pub kind: Kind,
}

/// Everything that the removal needs.
pub struct Twins {
    /// In the order of their groups.
    pub pairs: Vec<Pair>,
    /// What is alike enough.
    pub measure: Measure,
    /// What points to chunks and embeddings.
    pub references: References,
    /// For the report.
    pub outcome: Outcome,
}

/// Looks for them.
pub struct Look<'a> {
    /// The settings.
    pub rag: &'a Rag,
    /// The tables.
    pub memory: &'a Memory,
    /// Reads.
    pub reader: &'a Connection,
    /// The database.
    pub source: &'a Source,
    /// The run.
    pub context: &'a Context,
    /// True for a chunk that the steps before leave.
    pub chunks_left: String,
    /// True for an embedding that they leave.
    pub embeddings_left: String,
}

impl Look<'_> {
    /// What goes, with what the report tells of it.
    pub fn look(&self) -> anyhow::Result<(Removal, Twins)> {
        let names = &self.memory.names;
        let table = self
            .memory
            .chunks(&[(&names.embedding_id, "embedding_id"), (&names.text, "text")])?;
        self.require_columns(table)?;
        self.memory
            .require_ids(self.reader)
            .map_err(|error| self.explain(error))??;
        let references = References::find(
            self.rag,
            self.memory,
            self.reader,
            self.source,
            self.context,
        )?;
        let mut measure = Measure::of(self.rag);
        let dimension = match measure.cosine {
            None => None,
            Some(_) => {
                self.memory.embeddings(&[(&names.vector, "vector")])?;
                dimension(self.reader, self.memory).map_err(|error| self.explain(error))??
            }
        };
        if dimension.is_none() {
            measure.cosine = None;
        }
        self.require_memory(table, &measure)?;
        let threads = machine::threads(0);
        let mut signals = Signals {
            same: Sketches::of_digests(),
            near: measure.nearly().map(|least| Texts::new(least, threads)),
            vectors: measure
                .cosine
                .zip(dimension)
                .map(|(least, dimension)| Vectors::new(least, dimension, threads)),
        };
        let chunks = self.read(table, &mut signals)?;
        let groups = self.groups(table, &chunks, &signals, &measure, threads)?;
        drop(signals);
        self.removal(table, &chunks, groups, measure, references)
    }

    fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        sqlite::explain(error, &self.source.path, &self.context.stop)
    }

    fn require_columns(&self, table: &Table) -> anyhow::Result<()> {
        for name in &self.rag.duplicates.same {
            if table.column(name).is_none() {
                return Err(
                    missing(format!("table {} has no column {name}", table.name))
                        .hint("[rag.duplicates] same names columns of the chunks")
                        .into(),
                );
            }
        }
        if let Some(name) = &self.rag.duplicates.prefer
            && self.preferred(table).is_none()
        {
            return Err(missing(format!(
                "neither {} nor {} has a column {name}",
                table.name, self.memory.embeddings.name
            ))
            .hint("[rag.duplicates] prefer names a column of one of them")
            .into());
        }
        Ok(())
    }

    fn fetch(&self, table: &Table) -> rusqlite::Result<Fetch<'_>> {
        let left = &self.embeddings_left;
        Fetch::new(self.reader, self.memory, self.rag, table, left)
    }

    /// Where the preferred figure stands.
    fn preferred(&self, table: &Table) -> Option<String> {
        let name = self.rag.duplicates.prefer.as_ref()?;
        if table.column(name).is_some() {
            return Some(format!("{}.{}", quote(&table.name), quote(name)));
        }
        let column = self.memory.embeddings.column(name)?;
        let embeddings = quote(&self.memory.embeddings.name);
        Some(format!("{embeddings}.{}", quote(&column.name)))
    }

    fn require_memory(&self, table: &Table, measure: &Measure) -> anyhow::Result<()> {
        let sql = format!("SELECT count(*) FROM main.{}", quote(&table.name));
        let rows: i64 = self
            .reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| self.explain(error))?;
        let rows = u64::try_from(rows).unwrap_or(0);
        let needed = similar::memory_needed(rows, measure.nearly(), measure.cosine)
            + rows * EACH
            + 4 * PIECE_BYTES as u64;
        let available = load::memory()?.available;
        if needed > available {
            return Err(refused(format!(
                "comparing {} takes {} of memory, {} are available",
                units::count(rows, "chunk"),
                Bytes(needed),
                Bytes(available)
            ))
            .into());
        }
        Ok(())
    }

    fn groups(
        &self,
        table: &Table,
        chunks: &Chunks,
        signals: &Signals,
        measure: &Measure,
        threads: usize,
    ) -> anyhow::Result<Vec<Group>> {
        let mut order: Vec<u32> = (0..u32::try_from(chunks.ranks.len())?).collect();
        order.sort_by(|&a, &b| {
            chunks.ranks[a as usize]
                .order(&chunks.ranks[b as usize])
                .then(a.cmp(&b))
        });
        let mut asked = vec![(Kind::Same, &signals.same)];
        asked.extend(
            signals
                .near
                .as_ref()
                .map(|near| (Kind::Near, &near.sketches)),
        );
        asked.extend(
            signals
                .vectors
                .as_ref()
                .map(|vectors| (Kind::Vector, &vectors.sketches)),
        );
        let mut fetch = self.fetch(table).map_err(|error| self.explain(error))?;
        let mut read = |item: u32| {
            fetch
                .chunk(&chunks.keys.get(item))
                .map_err(|error| self.explain(error))
        };
        // One after another is shown beside those that it may be like.
        let mut last: (Option<u32>, Option<Chunk>) = (None, None);
        let mut compare = |kind, kept, item| {
            if last.0 != Some(item) {
                last = (Some(item), read(item)?);
            }
            let before = read(kept)?;
            let pair = before.as_ref().zip(last.1.as_ref());
            Ok(pair.and_then(|(kept, item)| measure.alike(kind, kept, item)))
        };
        similar::groups(&order, &asked, threads, &self.context.stop, &mut compare)
    }

    fn removal(
        &self,
        table: &Table,
        chunks: &Chunks,
        mut groups: Vec<Group>,
        measure: Measure,
        references: References,
    ) -> anyhow::Result<(Removal, Twins)> {
        groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
        let count = |kind: Kind| {
            let members = groups.iter().flat_map(|group| &group.members);
            members.filter(|member| member.kind == kind).count() as u64
        };
        let outcome = Outcome {
            groups: groups.len() as u64,
            largest: groups
                .first()
                .map_or(0, |group| group.members.len() as u64 + 1),
            same: count(Kind::Same),
            near: count(Kind::Near),
            vector: count(Kind::Vector),
            moved: 0,
            dropped: 0,
            samples: self.samples(table, chunks, groups.get(..SHOWN).unwrap_or(&groups))?,
        };
        let pairs: Vec<_> = groups
            .iter()
            .flat_map(|group| {
                group.members.iter().map(|member| Pair {
                    kept: chunks.keys.get(group.kept),
                    removed: chunks.keys.get(member.item),
                    kind: member.kind,
                })
            })
            .collect();
        let embeddings = self.embeddings_that_go(table, &pairs)?;
        let removal = Removal {
            step: RagStep::Duplicates,
            what: "duplicate chunks",
            table: table.clone(),
            selection: Selection::of(table, "0"),
            along: if embeddings > 0 {
                Along::Embedding
            } else {
                Along::Nothing
            },
            free: String::new(),
            chosen: pairs.len() as u64,
            others: embeddings,
            beyond: Beyond::new(),
            total: chunks.total,
            nulls: chunks.nulls,
            not_yet: 0,
            damaged: 0,
            reason: format!(
                "{} of {} say the same as one that stays ({} the same text, {} nearly, {} by their vectors), in {}{}",
                pairs.len(),
                units::count(chunks.total, "chunk"),
                outcome.same,
                outcome.near,
                outcome.vector,
                units::count(outcome.groups, "group"),
                match references.is_empty() {
                    true => "",
                    false =>
                        "; rows that point to them follow, or go where they would be there twice",
                }
            ),
        };
        let twins = Twins {
            pairs,
            measure,
            references,
            outcome,
        };
        Ok((removal, twins))
    }

    /// How many embeddings only chunks point to that go.
    fn embeddings_that_go(&self, table: &Table, pairs: &[Pair]) -> anyhow::Result<u64> {
        let wrong = |error| self.explain(error);
        let going: HashSet<String> = pairs
            .iter()
            .map(|pair| format!("{:?}", pair.removed))
            .collect();
        let mut fetch = self.fetch(table).map_err(wrong)?;
        let keys: Vec<_> = table.key.iter().map(|name| quote(name)).collect();
        let mut pointing = self
            .reader
            .prepare(&format!(
                "SELECT {} FROM main.{} WHERE {} = ?1 AND ({})",
                keys.join(", "),
                quote(&table.name),
                quote(&self.memory.names.embedding_id),
                self.chunks_left
            ))
            .map_err(wrong)?;
        let mut is_left = self
            .reader
            .prepare(&format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {} = ?1 AND ({}))",
                quote(&self.memory.embeddings.name),
                quote(&self.memory.names.id),
                self.embeddings_left
            ))
            .map_err(wrong)?;
        let mut seen = BTreeMap::new();
        for (at, pair) in pairs.iter().enumerate() {
            if at % 256 == 0 {
                self.context.stop.check()?;
            }
            let Some(id) = fetch
                .chunk(&pair.removed)
                .map_err(wrong)?
                .map(|chunk| chunk.embedding)
            else {
                continue;
            };
            if id == Value::Null || seen.contains_key(&format!("{id:?}")) {
                continue;
            }
            let mut goes: bool = is_left.query_row([&id], |row| row.get(0)).map_err(wrong)?;
            let mut rows = pointing.query([&id]).map_err(wrong)?;
            while let Some(row) = rows.next().map_err(wrong)? {
                let key: rusqlite::Result<Row> = (0..keys.len()).map(|at| row.get(at)).collect();
                let key = format!("{:?}", key.map_err(wrong)?);
                goes &= going.contains(&key);
            }
            seen.insert(format!("{id:?}"), goes);
        }
        Ok(seen.values().filter(|goes| **goes).count() as u64)
    }
}

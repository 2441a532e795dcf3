//! The step `duplicates`: reads every chunk once, in pieces, and finds those that say the same as another one. Of each group the best is
//! kept: one that can be found by its vector, the preferred, the last accessed, the longest, the first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;

use super::judge::{Judge, wrong_vector};
use super::memory::Memory;
use super::merge::References;
use super::plan::{Along, Removal, dimension};
use super::twins::{Chunk, Fetch, Measure, Text, columns, tables};
use crate::archive::Source;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::{self, Kind as Wrong, missing, refused};
use crate::report::{Cell, Document, Reporter};
use crate::similar::{self, Group, Kind, Sketches, Texts, Vectors};
use crate::sqlite::{self, Row, Selection, Table, TimeColumn, TimeFormat, quote};
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

/// Groups of chunks that say the same.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// How many.
    groups: u64,
    /// Chunks in the largest of them, the kept one too.
    largest: u64,
    /// Chunks with the same text as the one that is kept.
    same: u64,
    /// Chunks with nearly the same text.
    near: u64,
    /// Chunks with nearly the same vector.
    vector: u64,
    /// Rows of other tables that point to the one that is kept since.
    pub moved: u64,
    /// Rows of other tables that went: beside one that already pointed to the one that is kept, a unique index has no room for them.
    pub dropped: u64,
    /// The largest groups.
    samples: Vec<Sample>,
}

/// One group.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Sample {
    /// The id of the chunk that is kept.
    kept: String,
    /// Ids of those that go, at most 20 of them.
    removed: Vec<String>,
    /// How many go.
    count: u64,
    /// `same` text, `near`ly the same text, nearly the same `vector`: the last of these that is in it.
    kind: &'static str,
    /// How alike the one is that is the least like the kept one, 0 to 1.
    least: f64,
}

impl Outcome {
    /// Its figures.
    pub fn measure(&self, report: &Reporter) {
        let measure = |name, value: u64| report.measure(name, value as f64, "", []);
        measure("rag_duplicate_groups", self.groups);
        measure("rag_duplicate_largest_group", self.largest);
        measure("rag_references_moved", self.moved);
    }
}

/// For people.
pub fn table(outcome: &Outcome) -> Document {
    Document::Table(crate::report::Table {
        title: "Groups of duplicates".to_owned(),
        columns: vec!["kept", "others", "ids", "by", "likeness"],
        rows: outcome
            .samples
            .iter()
            .map(|one| {
                let mut ids = one.removed.join(", ");
                if one.removed.len() < usize::try_from(one.count).unwrap_or(usize::MAX) {
                    ids.push_str(", …");
                }
                vec![
                    Cell::Text(one.kept.clone()),
                    Cell::Count(one.count),
                    Cell::Text(ids),
                    Cell::Text(one.kind.to_owned()),
                    Cell::Percent(one.least * 100.0),
                ]
            })
            .collect(),
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Same => "same text",
        Kind::Near => "near text",
        Kind::Vector => "vector",
    }
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
    /// The chunks that the steps before leave, as far as SQL can say.
    pub left: String,
    /// What they take beside that.
    pub before: &'a [Removal],
}

/// What of a chunk says whether it is kept.
struct Rank {
    found: bool,
    preferred: f64,
    accessed: i64,
    length: usize,
}

impl Rank {
    /// The better is the less.
    fn order(&self, other: &Self) -> Ordering {
        other
            .found
            .cmp(&self.found)
            .then(other.preferred.total_cmp(&self.preferred))
            .then(other.accessed.cmp(&self.accessed))
            .then(other.length.cmp(&self.length))
    }
}

/// All chunks, one beside another.
#[derive(Default)]
struct Chunks {
    keys: Keys,
    ranks: Vec<Rank>,
    nulls: u64,
    total: u64,
    /// Those that a step before takes.
    excluded: HashSet<String>,
}

/// Keys are integers, as good as always.
enum Keys {
    Integers(Vec<i64>),
    Rows(Vec<Row>),
}

impl Default for Keys {
    fn default() -> Self {
        Self::Integers(Vec::new())
    }
}

impl Keys {
    fn push(&mut self, key: &Row) {
        if let (Self::Integers(all), [Value::Integer(one)]) = (&mut *self, key.as_slice()) {
            all.push(*one);
            return;
        }
        if let Self::Integers(all) = self {
            *self = Self::Rows(all.iter().map(|&one| vec![Value::Integer(one)]).collect());
        }
        if let Self::Rows(all) = self {
            all.push(key.clone());
        }
    }

    fn get(&self, item: u32) -> Row {
        match self {
            Self::Integers(all) => vec![Value::Integer(all[item as usize])],
            Self::Rows(all) => all[item as usize].clone(),
        }
    }
}

/// The sketches of all chunks.
struct Signals {
    same: Sketches,
    near: Option<Texts>,
    vectors: Option<Vectors>,
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

    /// Where the preferred figure stands.
    fn preferred(&self, table: &Table) -> Option<String> {
        let name = self.rag.duplicates.prefer.as_ref()?;
        if table.column(name).is_some() {
            return Some(format!("{}.{}", quote(&table.name), quote(name)));
        }
        let column = self.memory.embeddings.column(name)?;
        Some(format!("\"its embedding\".{}", quote(&column.name)))
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

    /// How the time of the last access is written; none where that cannot be told, and then it does not count.
    fn time(&self) -> anyhow::Result<Option<TimeFormat>> {
        let (embeddings, name) = (&self.memory.embeddings, &self.memory.names.last_accessed);
        if embeddings.column(name).is_none() {
            return Ok(None);
        }
        let column = TimeColumn {
            table: &embeddings.name,
            column: name,
            filter: None,
        };
        match column.look(
            self.reader,
            self.context.now,
            &self.source.path,
            &self.context.stop,
        ) {
            Ok(times) => Ok(times.format),
            Err(error) if error::kind_of(&error) == Wrong::Refused => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all chunks in the order of their keys. No piece holds a snapshot while others are read.
    fn read(&self, table: &Table, signals: &mut Signals) -> anyhow::Result<Chunks> {
        let wrong = |error| self.explain(error);
        let time = self.time()?;
        let dimension = match self.memory.embeddings.column(&self.memory.names.vector) {
            // What no vector can be told by makes none the better.
            Some(_) => dimension(self.reader, self.memory)
                .map_err(wrong)?
                .ok()
                .flatten(),
            None => None,
        };
        let own = quote(&table.name);
        let key: Vec<_> = table
            .key
            .iter()
            .map(|name| format!("{own}.{}", quote(name)))
            .collect();
        let marks: Vec<_> = (1..=key.len()).map(|at| format!("?{at}")).collect();
        let key_list = key.join(", ");
        let preferred = self.preferred(table).unwrap_or_else(|| "NULL".to_owned());
        let accessed = match time {
            Some(_) => format!(
                "\"its embedding\".{}",
                quote(&self.memory.names.last_accessed)
            ),
            None => "NULL".to_owned(),
        };
        let sql = |after: &str| {
            format!(
                "SELECT {key_list}, {}, {preferred}, {accessed} FROM {} WHERE ({}) {after} ORDER BY {key_list} LIMIT {PIECE}",
                columns(self.memory, self.rag),
                tables(self.memory),
                self.left
            )
        };
        let next = format!("AND ({key_list}) > ({})", marks.join(", "));
        let mut first = self.reader.prepare(&sql("")).map_err(wrong)?;
        let mut others = self.reader.prepare(&sql(&next)).map_err(wrong)?;
        let mut all = Chunks::default();
        let mut after: Option<Row> = None;
        let judges = self.judges();
        loop {
            self.context.stop.check()?;
            let mut piece = Piece::default();
            let mut rows = match &after {
                None => first.query([]),
                Some(key) => others.query(params_from_iter(key)),
            }
            .map_err(wrong)?;
            let mut any = false;
            while let Some(row) = rows.next().map_err(wrong)? {
                any = true;
                let read: rusqlite::Result<Row> = (0..key.len()).map(|at| row.get(at)).collect();
                let read = read.map_err(wrong)?;
                // Ids of embeddings that are there twice bring a chunk twice.
                if after.as_ref() == Some(&read) {
                    continue;
                }
                after = Some(read.clone());
                all.total += 1;
                let text = row.get_ref(key.len()).map_err(wrong)?;
                let vector = row.get_ref(key.len() + 3).map_err(wrong)?;
                if judges.iter().any(|(judge, of_text)| {
                    let value = if *of_text { text } else { vector };
                    judge.wrong(value).is_some()
                }) {
                    all.excluded.insert(format!("{read:?}"));
                    continue;
                }
                let at = key.len() + 4;
                let length = text
                    .as_bytes_or_null()
                    .ok()
                    .flatten()
                    .map_or(0, <[u8]>::len);
                let rank = Rank {
                    found: matches!((vector, dimension), (ValueRef::Blob(bytes), Some(dimension)) if wrong_vector(bytes, dimension).is_none()),
                    preferred: match row.get_ref(at).map_err(wrong)? {
                        ValueRef::Integer(number) => number as f64,
                        ValueRef::Real(number) => number,
                        _ => f64::NEG_INFINITY,
                    },
                    accessed: time
                        .zip(row.get_ref(at + 1).ok())
                        .and_then(|(time, value)| time.read(value))
                        .map_or(i64::MIN, |at| at.as_microsecond()),
                    length,
                };
                let mut chunk = Chunk::of(row, key.len()).map_err(wrong)?;
                if !rank.found {
                    chunk.vector = None;
                }
                all.keys.push(&read);
                all.nulls += u64::from(chunk.text == Text::None);
                all.ranks.push(rank);
                if piece.push(chunk) >= PIECE_BYTES {
                    break;
                }
            }
            drop(rows);
            if !any {
                return Ok(all);
            }
            piece.sketch(signals);
        }
    }

    /// What judges the chunks of steps before, by their text or their vector.
    fn judges(&self) -> Vec<(&Judge, bool)> {
        let names = &self.memory.names;
        let judge = |one: &Removal, table: &str, column: &str| {
            one.table.name.eq_ignore_ascii_case(table)
                && one
                    .judge
                    .as_ref()
                    .is_some_and(|judge| judge.column().eq_ignore_ascii_case(column))
        };
        self.before
            .iter()
            .filter_map(|one| {
                let of_text = judge(one, &names.chunks, &names.text);
                let of_vector = one.along == Along::Chunks
                    && judge(one, &self.memory.embeddings.name, &names.vector);
                (of_text || of_vector).then_some(())?;
                one.judge.as_ref().map(|judge| (judge, of_text))
            })
            .collect()
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
        let mut fetch = Fetch::new(self.reader, self.memory, self.rag, table)
            .map_err(|error| self.explain(error))?;
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
        let embeddings = self.embeddings_that_go(table, chunks, &pairs)?;
        let removal = Removal {
            step: RagStep::Duplicates,
            what: "duplicate chunks",
            table: table.clone(),
            selection: Selection::of(table, "0"),
            judge: None,
            along: if embeddings > 0 {
                Along::Embedding
            } else {
                Along::Nothing
            },
            chosen: pairs.len() as u64,
            others: embeddings,
            total: chunks.total,
            nulls: chunks.nulls,
            reason: format!(
                "{} of {} say the same as one that stays ({} the same text, {} nearly, {} by their vectors), in {}; {} go with them",
                pairs.len(),
                units::count(chunks.total, "chunk"),
                outcome.same,
                outcome.near,
                outcome.vector,
                units::count(outcome.groups, "group"),
                units::count(embeddings, "embedding")
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

    /// How many embeddings only chunks point to that go, now or in a step before.
    fn embeddings_that_go(
        &self,
        table: &Table,
        chunks: &Chunks,
        pairs: &[Pair],
    ) -> anyhow::Result<u64> {
        let wrong = |error| self.explain(error);
        let going: HashSet<String> = pairs
            .iter()
            .map(|pair| format!("{:?}", pair.removed))
            .collect();
        let judged = self.before.iter().find_map(|one| {
            let of_embeddings = one.table.name == self.memory.embeddings.name;
            one.judge.as_ref().filter(|_| of_embeddings)
        });
        let mut fetch = Fetch::new(self.reader, self.memory, self.rag, table).map_err(wrong)?;
        let keys: Vec<_> = table.key.iter().map(|name| quote(name)).collect();
        let mut pointing = self
            .reader
            .prepare(&format!(
                "SELECT {} FROM main.{} WHERE {} = ?1 AND ({})",
                keys.join(", "),
                quote(&table.name),
                quote(&self.memory.names.embedding_id),
                self.left
            ))
            .map_err(wrong)?;
        let mut vector = self
            .reader
            .prepare(&format!(
                "SELECT {} FROM main.{} WHERE {} = ?1",
                judged.map_or_else(|| "NULL".to_owned(), |judge| quote(judge.column())),
                quote(&self.memory.embeddings.name),
                quote(&self.memory.names.id)
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
            let gone = vector
                .query_row([&id], |row| {
                    let value = row.get_ref(0)?;
                    Ok(judged.is_some_and(|judge| judge.wrong(value).is_some()))
                })
                .optional()
                .map_err(wrong)?;
            let mut rows = pointing.query([&id]).map_err(wrong)?;
            let mut goes = gone == Some(false);
            while let Some(row) = rows.next().map_err(wrong)? {
                let key: rusqlite::Result<Row> = (0..keys.len()).map(|at| row.get(at)).collect();
                let key = format!("{:?}", key.map_err(wrong)?);
                goes &= going.contains(&key) || chunks.excluded.contains(&key);
            }
            seen.insert(format!("{id:?}"), goes);
        }
        Ok(seen.values().filter(|goes| **goes).count() as u64)
    }

    fn samples(
        &self,
        table: &Table,
        chunks: &Chunks,
        groups: &[Group],
    ) -> anyhow::Result<Vec<Sample>> {
        let wrong = |error| self.explain(error);
        // As other tables call it, where it has such an id.
        let id = &self.memory.names.chunks_id;
        let shown = table.column(id).map(|column| column.name.clone());
        let shown = shown
            .or_else(|| table.key.first().cloned())
            .unwrap_or_default();
        let mut statement = self
            .reader
            .prepare(&format!(
                "SELECT CAST({} AS TEXT) FROM main.{} WHERE {}",
                quote(&shown),
                quote(&table.name),
                table.key_is()
            ))
            .map_err(wrong)?;
        let mut name = |item: u32| -> anyhow::Result<String> {
            let key = chunks.keys.get(item);
            let found: Option<Option<String>> = statement
                .query_row(params_from_iter(&key), |row| row.get(0))
                .optional()
                .map_err(wrong)?;
            Ok(crate::text::clean(&crate::text::shorten(
                &found.flatten().unwrap_or_default(),
                60,
            )))
        };
        groups
            .iter()
            .map(|group| {
                let shown = group.members.iter().take(SHOWN_IDS);
                let rank = |kind: Kind| match kind {
                    Kind::Same => 0,
                    Kind::Near => 1,
                    Kind::Vector => 2,
                };
                let kinds = group.members.iter().map(|member| member.kind);
                Ok(Sample {
                    kept: name(group.kept)?,
                    removed: shown
                        .map(|member| name(member.item))
                        .collect::<anyhow::Result<_>>()?,
                    count: group.members.len() as u64,
                    kind: word(kinds.max_by_key(|kind| rank(*kind)).unwrap_or(Kind::Same)),
                    least: group
                        .members
                        .iter()
                        .map(|member| member.likeness)
                        .fold(1.0, f64::min),
                })
            })
            .collect()
    }
}

/// Chunks that were read and have no sketch yet.
#[derive(Default)]
struct Piece {
    digests: Vec<Option<[u8; 16]>>,
    texts: Vec<Option<String>>,
    vectors: Vec<Option<Vec<f32>>>,
    bytes: usize,
}

impl Piece {
    /// Says how many bytes it has now.
    fn push(&mut self, chunk: Chunk) -> usize {
        self.digests.push(chunk.text.digest(&chunk.apart));
        self.bytes += chunk.vector.as_ref().map_or(0, Vec::len) * 4;
        let text = match chunk.text {
            Text::Words(text) => Some(text),
            _ => None,
        };
        self.bytes += text.as_ref().map_or(0, String::len);
        self.texts.push(text);
        self.vectors.push(chunk.vector);
        self.bytes
    }

    fn sketch(self, signals: &mut Signals) {
        for digest in &self.digests {
            signals.same.push(digest.as_ref().map(<[u8; 16]>::as_slice));
        }
        if let Some(near) = &mut signals.near {
            near.extend(&self.texts);
        }
        if let Some(vectors) = &mut signals.vectors {
            vectors.extend(&self.vectors);
        }
    }
}

//! All chunks, read once: what ranks them stays, their texts and vectors become sketches.

use std::cmp::Ordering;

use rusqlite::params_from_iter;
use rusqlite::types::{Value, ValueRef};

use super::{Look, PIECE, PIECE_BYTES};
use crate::error::{self, Kind as Wrong};
use crate::similar::{Sketches, Texts, Vectors};
use crate::sqlite::{Row, Table, TimeColumn, TimeFormat, quote};
use crate::tasks::rag_clean::dimension::dimension;
use crate::tasks::rag_clean::judge::wrong_vector;
use crate::tasks::rag_clean::twins::{Chunk, Text, columns, tables};

/// What of a chunk says whether it is kept.
pub struct Rank {
    found: bool,
    /// It has an embedding, whatever that is.
    linked: bool,
    preferred: f64,
    accessed: i64,
    length: usize,
}

impl Rank {
    /// The better is the less.
    pub fn order(&self, other: &Self) -> Ordering {
        other
            .found
            .cmp(&self.found)
            .then(other.linked.cmp(&self.linked))
            .then(other.preferred.total_cmp(&self.preferred))
            .then(other.accessed.cmp(&self.accessed))
            .then(other.length.cmp(&self.length))
    }
}

/// All chunks, one beside another.
#[derive(Default)]
pub struct Chunks {
    pub keys: Keys,
    pub ranks: Vec<Rank>,
    pub nulls: u64,
    pub total: u64,
}

/// Keys are integers, as good as always.
pub enum Keys {
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

    pub fn get(&self, item: u32) -> Row {
        match self {
            Self::Integers(all) => vec![Value::Integer(all[item as usize])],
            Self::Rows(all) => all[item as usize].clone(),
        }
    }
}

/// The sketches of all chunks.
pub struct Signals {
    pub same: Sketches,
    pub near: Option<Texts>,
    pub vectors: Option<Vectors>,
}

impl Look<'_> {
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
    pub fn read(&self, table: &Table, signals: &mut Signals) -> anyhow::Result<Chunks> {
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
        let key = table.own_key();
        let marks: Vec<_> = (1..=key.len()).map(|at| format!("?{at}")).collect();
        let key_list = key.join(", ");
        let preferred = self.preferred(table).unwrap_or_else(|| "NULL".to_owned());
        let accessed = match time {
            Some(_) => format!(
                "{}.{}",
                quote(&self.memory.embeddings.name),
                quote(&self.memory.names.last_accessed)
            ),
            None => "NULL".to_owned(),
        };
        let sql = |after: &str| {
            format!(
                "SELECT {key_list}, {}, {preferred}, {accessed} FROM {} WHERE ({}) {after} ORDER BY {key_list} LIMIT {PIECE}",
                columns(self.memory, self.rag),
                tables(self.memory, &self.embeddings_left),
                self.chunks_left
            )
        };
        let next = format!("AND ({key_list}) > ({})", marks.join(", "));
        let mut first = self.reader.prepare(&sql("")).map_err(wrong)?;
        let mut others = self.reader.prepare(&sql(&next)).map_err(wrong)?;
        let mut all = Chunks::default();
        let mut after: Option<Row> = None;
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
                let at = key.len() + 4;
                let length = text
                    .as_bytes_or_null()
                    .ok()
                    .flatten()
                    .map_or(0, <[u8]>::len);
                let rank = Rank {
                    found: matches!((vector, dimension), (ValueRef::Blob(bytes), Some(dimension)) if wrong_vector(bytes, dimension).is_none()),
                    linked: row.get_ref(key.len() + 2).map_err(wrong)? != ValueRef::Null,
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

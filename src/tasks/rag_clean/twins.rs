//! What of a chunk counts when it is compared with another, read the same way when duplicates are looked for and when one goes.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Statement, params_from_iter};

use super::memory::Memory;
use crate::config::sections::Rag;
use crate::similar::{self, Compared, Kind};
use crate::sqlite::{Row, Table, quote};

/// A text, as far as it can be compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// NULL, blank, or no text.
    None,
    /// To be read.
    Words(String),
    /// Too long for that, or no UTF-8: only the same bytes are the same.
    Bytes([u8; 16]),
}

impl Text {
    /// Of a value.
    pub fn of(value: ValueRef<'_>) -> Self {
        let ValueRef::Text(bytes) = value else {
            return Self::None;
        };
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= similar::MOST_BYTES => {
                match text
                    .chars()
                    .all(|one| one.is_whitespace() || one.is_control())
                {
                    true => Self::None,
                    false => Self::Words(text.to_owned()),
                }
            }
            _ => Self::Bytes(similar::digest(b"", bytes)),
        }
    }

    /// The same for the same text, among chunks that are not kept apart.
    pub fn digest(&self, apart: &[u8]) -> Option<[u8; 16]> {
        match self {
            Self::None => None,
            Self::Words(text) => Some(similar::digest(apart, similar::normal(text).as_bytes())),
            // No normal form begins like that.
            Self::Bytes(digest) => {
                Some(similar::digest(apart, &[b"\0", digest.as_slice()].concat()))
            }
        }
    }
}

/// A chunk.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its text.
    pub text: Text,
    /// What keeps it apart from others.
    pub apart: Vec<u8>,
    /// The id of its embedding; NULL where it points to none, or to one that is not there.
    pub embedding: Value,
    /// Its vector.
    pub vector: Option<Vec<f32>>,
}

/// The columns of a chunk and its embedding that make one, in the order in which [`Chunk::of`] reads them.
pub fn columns(memory: &Memory, rag: &Rag) -> String {
    let (names, chunks) = (&memory.names, quote(&memory.names.chunks));
    let embedding = quote(&memory.embeddings.name);
    let own = |name: &str| format!("{chunks}.{}", quote(name));
    let apart: Vec<_> = rag
        .duplicates
        .same
        .iter()
        .map(|name| format!("quote({})", own(name)))
        .collect();
    format!(
        "{}, {}, {embedding}.{}, {}",
        own(&names.text),
        match apart.is_empty() {
            true => "''".to_owned(),
            false => apart.join(" || ',' || "),
        },
        quote(&names.id),
        match memory.embeddings.column(&names.vector) {
            Some(_) => format!("{embedding}.{}", quote(&names.vector)),
            None => "NULL".to_owned(),
        }
    )
}

/// The chunks, each with its embedding, as far as that is `left`.
pub fn tables(memory: &Memory, left: &str) -> String {
    let names = &memory.names;
    format!(
        "main.{0} LEFT JOIN main.{1} ON {1}.{2} = {0}.{3} AND ({left})",
        quote(&names.chunks),
        quote(&memory.embeddings.name),
        quote(&names.id),
        quote(&names.embedding_id)
    )
}

impl Chunk {
    /// Reads those columns from place `at` on.
    pub fn of(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let vector = match row.get_ref(at + 3)? {
            ValueRef::Blob(bytes) if bytes.len() % 4 == 0 => {
                let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                Some(bytes.chunks_exact(4).map(number).collect())
            }
            _ => None,
        };
        Ok(Self {
            text: Text::of(row.get_ref(at)?),
            apart: row
                .get_ref(at + 1)?
                .as_bytes_or_null()
                .ok()
                .flatten()
                .unwrap_or_default()
                .to_vec(),
            embedding: row.get(at + 2)?,
            vector,
        })
    }
}

/// Reads one chunk after another by their keys.
pub struct Fetch<'a>(Statement<'a>);

impl<'a> Fetch<'a> {
    /// On this connection; an embedding that is not `left` is none.
    pub fn new(
        connection: &'a Connection,
        memory: &Memory,
        rag: &Rag,
        chunks: &Table,
        left: &str,
    ) -> rusqlite::Result<Self> {
        let own = quote(&chunks.name);
        let key: Vec<_> = (1..)
            .zip(&chunks.key)
            .map(|(at, name)| format!("{own}.{} = ?{at}", quote(name)))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            columns(memory, rag),
            tables(memory, left),
            key.join(" AND ")
        );
        Ok(Self(connection.prepare(&sql)?))
    }

    /// The chunk with that key; `None` once it is gone.
    pub fn chunk(&mut self, key: &Row) -> rusqlite::Result<Option<Chunk>> {
        self.0
            .query_row(params_from_iter(key), |row| Chunk::of(row, 0))
            .optional()
    }
}

/// No more are two texts alike that are not the same.
const NEARLY: f64 = 0.999;

/// How alike is alike enough.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Of texts; 1 for none but the same.
    pub near: f64,
    /// Of vectors.
    pub cosine: Option<f64>,
}

impl Measure {
    /// As configured.
    pub fn of(rag: &Rag) -> Self {
        Self {
            near: rag.near_duplicate,
            cosine: rag.duplicates.cosine,
        }
    }

    /// The Jaccard likeness from which texts are near-duplicates; `None` where only the same text counts.
    pub fn nearly(&self) -> Option<f64> {
        (self.near < 1.0).then_some(self.near)
    }

    /// How much two chunks are alike in that way, where it is enough.
    pub fn alike(&self, kind: Kind, a: &Chunk, b: &Chunk) -> Option<f64> {
        if a.apart != b.apart {
            return None;
        }
        match kind {
            Kind::Same => (a.text.digest(b"")? == b.text.digest(b"")?).then_some(1.0),
            Kind::Near => {
                let (Text::Words(a), Text::Words(b)) = (&a.text, &b.text) else {
                    return None;
                };
                if !similar::same_marks(&similar::normal(a), &similar::normal(b)) {
                    return None;
                }
                let (a, b) = (Compared::of(a), Compared::of(b));
                if a.words().len().min(b.words().len()) < similar::LEAST_WORDS {
                    return None;
                }
                // Their words may be the same ones, they are not.
                a.likeness(&b, self.near).map(|found| found.min(NEARLY))
            }
            Kind::Vector => {
                // One vector for two texts says nothing of the texts.
                if a.embedding == b.embedding {
                    return None;
                }
                let cosine = similar::cosine(a.vector.as_ref()?, b.vector.as_ref()?)?;
                Some(cosine.min(1.0))
                    .filter(|found| Some(*found) >= self.cosine && self.cosine.is_some())
            }
        }
    }
}

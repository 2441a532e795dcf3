//! The tables of the memory, and its vectors, read in short reads while the application writes.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::archive::Source;
use crate::config::sections::Rag;
use crate::context::Context;
use crate::error::{missing, refused};
use crate::faiss;
use crate::sqlite::{self, Table, quote};

/// The tables, found.
pub struct Memory<'a> {
    /// Settings: names of tables and columns.
    pub rag: &'a Rag,
    /// The database.
    pub source: &'a Source,
    /// Reads.
    pub reader: &'a Connection,
    /// The embeddings.
    pub embeddings: Table,
    /// The chunks, where there are any.
    pub chunks: Option<Table>,
    context: &'a Context,
}

/// A vector that can be searched for.
pub struct Vector<'a> {
    /// The id of its embedding.
    pub id: i64,
    /// Its numbers.
    pub numbers: &'a [f32],
    /// Its length.
    pub norm: f64,
    /// The model that it is said to be of.
    pub model: Option<&'a str>,
}

impl<'a> Memory<'a> {
    /// Finds them. Without embeddings there is nothing to measure.
    pub fn find(
        reader: &'a Connection,
        rag: &'a Rag,
        source: &'a Source,
        context: &'a Context,
    ) -> anyhow::Result<Self> {
        let find = |name: &str| Table::find(reader, name, &source.path, &context.stop);
        let names = &rag.tables;
        let embeddings = find(&names.embeddings)?.ok_or_else(|| {
            missing(format!("{} has no table {}", source.name, names.embeddings))
                .hint("[rag.tables] embeddings names it")
        })?;
        let chunks = find(&names.chunks)?;
        Ok(Self {
            rag,
            source,
            reader,
            embeddings,
            chunks,
            context,
        })
    }

    /// The chunks with these columns.
    pub fn chunks(&self, columns: &[&str]) -> anyhow::Result<&Table> {
        let chunks = self.chunks.as_ref().ok_or_else(|| {
            missing(format!("there is no table {}", self.rag.tables.chunks))
                .hint("[rag.tables] chunks names it")
        })?;
        require(chunks, columns)?;
        Ok(chunks)
    }

    /// Hands out every vector that can be compared: finite, not all zero, a BLOB of 32-bit numbers under a whole number. Says how
    /// many rows have another one; NULL is none yet.
    pub fn each_vector(
        &self,
        each: &mut dyn FnMut(&Vector<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let names = &self.rag.tables;
        require(&self.embeddings, &[&names.id, &names.vector])?;
        let model = &self.rag.eval.model_column;
        let model = match self.embeddings.column(model) {
            Some(column) => quote(&column.name),
            None => "NULL".to_owned(),
        };
        let wanted = [quote(&names.id), quote(&names.vector), model];
        let (mut numbers, mut skipped) = (Vec::new(), 0);
        let mut broken: Option<anyhow::Error> = None;
        self.scroll(&self.embeddings, &wanted, &mut |row| {
            if broken.is_some() {
                return Ok(());
            }
            let (id, bytes) = match (row.get_ref(0)?, row.get_ref(1)?) {
                (_, ValueRef::Null) => return Ok(()),
                (ValueRef::Integer(id), ValueRef::Blob(bytes)) => (id, bytes),
                (_, ValueRef::Blob(_)) => {
                    broken = Some(
                        refused(format!(
                            "{}.{} holds ids that are no whole numbers",
                            self.embeddings.name, names.id
                        ))
                        .into(),
                    );
                    return Ok(());
                }
                _ => {
                    skipped += 1;
                    return Ok(());
                }
            };
            numbers.clear();
            faiss::numbers(bytes, &mut numbers);
            let norm = norm(&numbers);
            if bytes.len() % 4 != 0 || !norm.is_finite() || norm == 0.0 {
                skipped += 1;
                return Ok(());
            }
            let model = match row.get_ref(2)? {
                ValueRef::Text(text) => std::str::from_utf8(text).ok(),
                _ => None,
            };
            let vector = Vector {
                id,
                numbers: &numbers,
                norm,
                model,
            };
            broken = each(&vector).err();
            Ok(())
        })?;
        broken.map_or(Ok(skipped), Err)
    }

    /// How many numbers vectors have: every length that there is.
    pub fn dimensions(&self) -> anyhow::Result<BTreeSet<usize>> {
        let names = &self.rag.tables;
        require(&self.embeddings, &[&names.id, &names.vector])?;
        let vector = quote(&names.vector);
        let wanted = [format!(
            "iif(typeof({vector}) = 'blob', length({vector}), NULL)"
        )];
        let mut found = BTreeSet::new();
        self.scroll(&self.embeddings, &wanted, &mut |row| {
            if let Some(bytes) = row.get::<_, Option<u32>>(0)?
                && bytes % 4 == 0
            {
                found.insert(bytes as usize / 4);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// True where the ids of the embeddings are 0, 1, 2 and so on, as the positions of an index are.
    pub fn ids_are_positions(&self) -> anyhow::Result<bool> {
        let (id, table) = (quote(&self.rag.tables.id), quote(&self.embeddings.name));
        let sql = format!(
            "SELECT count(DISTINCT {id}), count(*), max({id}), min({id}) FROM main.{table}"
        );
        let read = |row: &rusqlite::Row<'_>| {
            let (ids, rows): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (last, first) = (row.get_ref(2)?, row.get_ref(3)?);
            Ok(ids == rows && last == ValueRef::Integer(rows - 1) && first == ValueRef::Integer(0))
        };
        self.reader
            .query_row(&sql, [], read)
            .map_err(|error| self.explain(error))
    }

    /// Every row of a table.
    pub fn scroll(
        &self,
        table: &Table,
        wanted: &[String],
        each: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
    ) -> anyhow::Result<()> {
        let (path, stop) = (&self.source.path, &self.context.stop);
        sqlite::scroll(self.reader, &table.name, wanted, path, stop, each)
    }

    /// In the operator's words.
    pub fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        sqlite::explain(error, &self.source.path, &self.context.stop)
    }
}

/// SQLite takes a quoted name that is no column for a text, so each has to be one.
pub fn require(table: &Table, columns: &[&str]) -> anyhow::Result<()> {
    for name in columns {
        if table.column(name).is_none() {
            return Err(
                missing(format!("table {} has no column {name}", table.name))
                    .hint("[rag.tables] names it")
                    .into(),
            );
        }
    }
    Ok(())
}

/// The length of a vector.
pub fn norm(numbers: &[f32]) -> f64 {
    let square = |one: &f32| f64::from(*one) * f64::from(*one);
    numbers.iter().map(square).sum::<f64>().sqrt()
}

/// The vector brought to length 1.
pub fn unit(numbers: &[f32]) -> Vec<f32> {
    let norm = norm(numbers);
    let scale = |one: &f32| (f64::from(*one) / norm) as f32;
    match norm > 0.0 && norm.is_finite() {
        true => numbers.iter().map(scale).collect(),
        false => numbers.to_vec(),
    }
}

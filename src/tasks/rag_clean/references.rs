//! What points to chunks and to embeddings, by foreign keys and by the configuration.

use rusqlite::Connection;

use super::memory::Memory;
use crate::archive::Source;
use crate::config::sections::{Rag, split_reference};
use crate::context::Context;
use crate::error::{missing, refused};
use crate::sqlite::{self, Reference, Table};

/// What points to chunks and to embeddings, but the chunks themselves to their embeddings.
pub struct References {
    /// To chunks.
    pub chunks: Vec<Reference>,
    /// To embeddings.
    pub embeddings: Vec<Reference>,
}

impl References {
    /// The foreign keys of the schema and the columns of the configuration; refused where looking for one row would take long.
    pub fn find(
        rag: &Rag,
        memory: &Memory,
        reader: &Connection,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let wrong = |error| sqlite::explain(error, &source.path, &context.stop);
        let mut embeddings = memory.references(reader, source, context)?;
        let Some(table) = &memory.chunks else {
            return Ok(Self {
                chunks: Vec::new(),
                embeddings,
            });
        };
        let mut chunks = table.references(reader).map_err(wrong)?;
        let settings = &rag.duplicates;
        for (named, found, parent, id, key) in [
            (
                &settings.references,
                &mut chunks,
                table,
                &memory.names.chunks_id,
                "chunks_id",
            ),
            (
                &settings.embedding_references,
                &mut embeddings,
                &memory.embeddings,
                &memory.names.id,
                "id",
            ),
        ] {
            for name in named {
                let Some((child, column)) = split_reference(name) else {
                    continue;
                };
                let child = Table::find(reader, child, &source.path, &context.stop)?
                    .filter(|child| child.column(column).is_some())
                    .ok_or_else(|| {
                        missing(format!("{} has no column {name}", source.name))
                            .hint("[rag.duplicates] references and embedding_references name columns of tables")
                    })?;
                if parent.column(id).is_none() {
                    return Err(missing(format!(
                        "table {} has no column {id}, which {name} would hold",
                        parent.name
                    ))
                    .hint(format!("[rag.tables] {key} names it"))
                    .into());
                }
                let is_known = |one: &Reference| {
                    one.child.eq_ignore_ascii_case(&child.name)
                        && matches!(one.pairs.as_slice(), [(from, _)] if from.eq_ignore_ascii_case(column))
                };
                if found.iter().any(is_known) {
                    continue;
                }
                found.push(Reference {
                    cascades: false,
                    indexed: is_key(&child, column)
                        || child.has_index(reader, &[column]).map_err(wrong)?,
                    child: child.name,
                    pairs: vec![(column.to_owned(), id.clone())],
                    has_action: false,
                });
            }
            parent.require_short(reader, found).map_err(wrong)??;
        }
        if let Some(other) = chunks.iter().find(|one| one.pairs.is_empty()) {
            return Err(refused(format!(
                "the foreign key of {} names no column of {}",
                other.child, table.name
            ))
            .into());
        }
        Ok(Self { chunks, embeddings })
    }

    /// True where nothing points to either.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.embeddings.is_empty()
    }
}

fn is_key(table: &Table, column: &str) -> bool {
    matches!(table.key.as_slice(), [key] if key.eq_ignore_ascii_case(column))
}

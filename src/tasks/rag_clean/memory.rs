//! The tables of the memory, found, and what is wrong with a row of them, as SQL conditions that NULL cannot fool.

use rusqlite::{Connection, OptionalExtension as _};

use crate::archive::Source;
use crate::config::sections::RagTables;
use crate::context::Context;
use crate::error::{missing, refused};
use crate::sqlite::{self, Reference, Table, quote};

/// What there is of the memory.
pub struct Memory {
    /// As configured.
    pub names: RagTables,
    /// The embeddings.
    pub embeddings: Table,
    /// The chunks.
    pub chunks: Option<Table>,
    /// The documents.
    pub documents: Option<Table>,
}

/// How chunks point to rows of another table, in SQL.
pub struct Pointer {
    /// Their column, behind their name. NULL points to nothing, and waits for it.
    pub column: String,
    /// The other table.
    pub table: String,
    /// The column of its ids.
    pub id: String,
    /// True for a chunk that points to a row that is there.
    pub leads: String,
}

impl Pointer {
    /// True for a chunk that points to a row that is not there.
    pub fn is_lost(&self) -> String {
        format!("{} IS NOT NULL AND NOT {}", self.column, self.leads)
    }
}

impl Memory {
    /// Finds the tables. Without embeddings there is no memory; chunks and documents may be missing.
    pub fn find(
        connection: &Connection,
        names: &RagTables,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let find = |name: &str| Table::find(connection, name, &source.path, &context.stop);
        let embeddings = find(&names.embeddings)?.ok_or_else(|| {
            missing(format!("{} has no table {}", source.name, names.embeddings))
                .hint("[rag.tables] embeddings names it")
        })?;
        require(&embeddings, &[(&names.id, "id")])?;
        Ok(Self {
            names: names.clone(),
            embeddings,
            chunks: find(&names.chunks)?,
            documents: find(&names.documents)?,
        })
    }

    /// The chunks, with these columns.
    pub fn chunks(&self, columns: &[(&str, &str)]) -> anyhow::Result<&Table> {
        let chunks = self.chunks.as_ref().ok_or_else(|| {
            missing(format!("there is no table {}", self.names.chunks))
                .hint("[rag.tables] chunks names it")
        })?;
        require(chunks, columns)?;
        Ok(chunks)
    }

    /// The documents, with these columns.
    pub fn documents(&self, columns: &[(&str, &str)]) -> anyhow::Result<&Table> {
        let documents = self.documents.as_ref().ok_or_else(|| {
            missing(format!("there is no table {}", self.names.documents))
                .hint("[rag.tables] documents names it")
        })?;
        require(documents, columns)?;
        Ok(documents)
    }

    /// The embeddings, with these columns.
    pub fn embeddings(&self, columns: &[(&str, &str)]) -> anyhow::Result<&Table> {
        require(&self.embeddings, columns)?;
        Ok(&self.embeddings)
    }

    /// The chunks as far as they can point to embeddings.
    pub fn pointing(&self) -> Option<&Table> {
        let chunks = self.chunks.as_ref()?;
        chunks.column(&self.names.embedding_id).map(|_| chunks)
    }

    /// True for the embeddings, false for the chunks.
    pub fn is_of_embeddings(&self, table: &Table) -> bool {
        table.name == self.embeddings.name
    }

    /// Everything whose rows point to embeddings; refused where looking for those of one row would take long.
    pub fn references(
        &self,
        connection: &Connection,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<Vec<Reference>> {
        let wrong = |error| sqlite::explain(error, &source.path, &context.stop);
        let mut found = self.embeddings.references(connection).map_err(wrong)?;
        let mut all = found.clone();
        if let Some(chunks) = self.pointing() {
            let is_ours = |one: &Reference| {
                one.child.eq_ignore_ascii_case(&chunks.name)
                    && matches!(one.pairs.as_slice(), [(from, _)] if from.eq_ignore_ascii_case(&self.names.embedding_id))
            };
            found.retain(|one| !is_ours(one));
            if !all.iter().any(is_ours) {
                all.push(Reference {
                    child: chunks.name.clone(),
                    pairs: vec![(self.names.embedding_id.clone(), self.names.id.clone())],
                    has_action: false,
                    cascades: false,
                    indexed: chunks
                        .has_index(connection, &[&self.names.embedding_id])
                        .map_err(wrong)?,
                });
            }
        }
        self.embeddings
            .require_short(connection, &all)
            .map_err(wrong)??;
        Ok(found)
    }

    /// Refuses where an embedding cannot be found by its id without going through all of them.
    pub fn require_ids(&self, connection: &Connection) -> rusqlite::Result<anyhow::Result<()>> {
        let (table, id) = (&self.embeddings, &self.names.id);
        let is_key = matches!(table.key.as_slice(), [key] if key.eq_ignore_ascii_case(id));
        if is_key || table.has_index(connection, &[id])? {
            return Ok(Ok(()));
        }
        Ok(Err(refused(format!(
            "no index finds {} by {id}",
            table.name
        ))
        .hint(format!(
            "CREATE UNIQUE INDEX {} ON {}({})",
            quote(&format!("{}_by_{id}", table.name)),
            quote(&table.name),
            quote(id)
        ))
        .into()))
    }

    /// From chunks to embeddings.
    pub fn to_embeddings(&self) -> Pointer {
        Pointer {
            column: format!(
                "{}.{}",
                quote(&self.names.chunks),
                quote(&self.names.embedding_id)
            ),
            table: quote(&self.embeddings.name),
            id: quote(&self.names.id),
            leads: self.embedding_of_it("1"),
        }
    }

    /// From chunks to documents; `None` where chunks and documents are not like that.
    pub fn to_documents(&self) -> Option<Pointer> {
        let documents = self.documents.as_ref()?;
        documents.column(&self.names.documents_id)?;
        self.chunks.as_ref()?.column(&self.names.document_id)?;
        let column = format!(
            "{}.{}",
            quote(&self.names.chunks),
            quote(&self.names.document_id)
        );
        let (table, id) = (quote(&documents.name), quote(&self.names.documents_id));
        Some(Pointer {
            leads: format!("EXISTS (SELECT 1 FROM main.{table} WHERE {table}.{id} = {column})"),
            column,
            table,
            id,
        })
    }

    /// An embedding has a chunk for which `condition`, on the chunks by their own name, is true.
    pub fn chunk_of_it(&self, condition: &str) -> String {
        format!(
            "EXISTS (SELECT 1 FROM main.{} WHERE {} AND ({condition}))",
            quote(&self.names.chunks),
            self.belong()
        )
    }

    /// A chunk has an embedding for which `condition`, on the embeddings by their own name, is true.
    pub fn embedding_of_it(&self, condition: &str) -> String {
        format!(
            "EXISTS (SELECT 1 FROM main.{} WHERE {} AND ({condition}))",
            quote(&self.embeddings.name),
            self.belong()
        )
    }

    /// A chunk and an embedding belong together. Always in this order: the collation of what stands first decides.
    fn belong(&self) -> String {
        format!(
            "{}.{} = {}.{}",
            quote(&self.embeddings.name),
            quote(&self.names.id),
            quote(&self.names.chunks),
            quote(&self.names.embedding_id)
        )
    }

    /// Refuses where two embeddings have one id: what belongs to one of them cannot be told from what belongs to the other.
    pub fn require_unique(&self, connection: &Connection) -> rusqlite::Result<anyhow::Result<()>> {
        let (table, id) = (&self.embeddings, &self.names.id);
        if matches!(table.key.as_slice(), [key] if key.eq_ignore_ascii_case(id)) {
            return Ok(Ok(()));
        }
        let twice: Option<String> = connection
            .query_row(
                &format!(
                    "SELECT quote({id}) FROM main.{} WHERE {id} IS NOT NULL GROUP BY {id} HAVING count(*) > 1 LIMIT 1",
                    quote(&table.name),
                    id = quote(id)
                ),
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(match twice {
            None => Ok(()),
            Some(twice) => Err(refused(format!(
                "two rows of {} have the {id} {}",
                table.name,
                crate::text::shorten(&twice, 100)
            ))
            .hint("[rag.tables] id names the column that chunks point to; have the application make it unique")
            .into()),
        })
    }
}

/// SQLite takes a quoted name that is no column for a text, so each has to be one. The second word is its key in the configuration.
fn require(table: &Table, columns: &[(&str, &str)]) -> anyhow::Result<()> {
    for (name, key) in columns {
        if table.column(name).is_none() {
            let names: Vec<_> = table.columns.iter().map(|one| one.name.as_str()).collect();
            return Err(
                missing(format!("table {} has no column {name}", table.name))
                    .hint(format!(
                        "[rag.tables] {key} names it; there are: {}",
                        names.join(", ")
                    ))
                    .into(),
            );
        }
    }
    Ok(())
}

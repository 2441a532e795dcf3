//! Writes a vector, in the transaction that finds its text as it was sent: into the embedding of its chunk, or into a new one where
//! there is none, or where other texts share it.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::digest;
use super::memory::Memory;
use crate::config::sections::RagHash;
use crate::sqlite::{is_constraint, quote};

/// A chunk that is due.
#[derive(Clone, Debug)]
pub struct Item {
    /// The key of its row.
    pub key: Vec<Value>,
    /// Its embedding; NULL where there is none.
    pub embedding: Value,
    /// Its text as it was sent.
    pub text: String,
}

/// The statements.
pub struct Vectors<'a> {
    /// Writes.
    pub writer: &'a Connection,
    hash: RagHash,
    model: Option<&'a str>,
    look: String,
    shared: String,
    update: String,
    insert: String,
    link: String,
}

impl<'a> Vectors<'a> {
    /// `text_hash` and `model` are columns of the embeddings, where it has them.
    pub fn new(
        memory: &Memory,
        text_hash: Option<&str>,
        model: Option<(&str, &'a str)>,
        hash: RagHash,
        writer: &'a Connection,
    ) -> Self {
        let names = &memory.names;
        let embeddings = quote(&memory.embeddings.name);
        let chunks = quote(&names.chunks);
        let (text, pointer, id) = (
            quote(&names.text),
            quote(&names.embedding_id),
            quote(&names.id),
        );
        let (is_it, after) = memory.chunks.as_ref().map_or(("0".to_owned(), 1), |table| {
            (table.key_is(), table.key.len() + 1)
        });
        // Always three values: a column that is not there takes none of them.
        let columns: Vec<_> = [
            (1, Some(names.vector.as_str())),
            (2, text_hash),
            (3, model.map(|(column, _)| column)),
        ]
        .into_iter()
        .filter_map(|(at, column)| Some((at, quote(column?))))
        .collect();
        let sets: Vec<_> = columns
            .iter()
            .map(|(at, column)| format!("{column} = ?{at}"))
            .collect();
        let places: Vec<_> = columns.iter().map(|(_, column)| column.as_str()).collect();
        let marks: Vec<_> = columns.iter().map(|(at, _)| format!("?{at}")).collect();
        Self {
            writer,
            hash,
            model: model.map(|(_, name)| name),
            look: format!(
                "SELECT {pointer} FROM main.{chunks} WHERE {is_it} AND typeof({text}) = 'text' AND CAST({text} AS BLOB) = ?{after}"
            ),
            shared: format!(
                "SELECT EXISTS (SELECT 1 FROM main.{chunks} WHERE {pointer} = ?1 AND CAST({text} AS BLOB) IS NOT ?2)"
            ),
            update: format!(
                "UPDATE main.{embeddings} SET {} WHERE {id} = ?4",
                sets.join(", ")
            ),
            insert: format!(
                "INSERT INTO main.{embeddings} ({}) VALUES ({})",
                places.join(", "),
                marks.join(", ")
            ),
            link: format!("UPDATE main.{chunks} SET {pointer} = ?{after} WHERE {is_it}"),
        }
    }

    /// Inside a transaction. False where the chunk changed since, or the schema refuses: then nothing was written.
    pub fn write(&self, item: &Item, vector: &[u8]) -> rusqlite::Result<bool> {
        self.writer.execute_batch("SAVEPOINT \"one text\"")?;
        match self.swap(item, vector) {
            Ok(true) => {
                self.writer.execute_batch("RELEASE \"one text\"")?;
                Ok(true)
            }
            Err(error) if !is_constraint(&error) => Err(error),
            _ => {
                self.writer
                    .execute_batch("ROLLBACK TO \"one text\"; RELEASE \"one text\"")?;
                Ok(false)
            }
        }
    }

    fn swap(&self, item: &Item, vector: &[u8]) -> rusqlite::Result<bool> {
        let text = Value::Blob(item.text.as_bytes().to_vec());
        let now: Option<Value> = self
            .writer
            .prepare(&self.look)?
            .query_row(params_from_iter(item.key.iter().chain([&text])), |row| {
                row.get(0)
            })
            .optional()?;
        if now.as_ref() != Some(&item.embedding) {
            return Ok(false);
        }
        let vector = Value::Blob(vector.to_vec());
        let hash = Value::Text(digest::of_text(item.text.as_bytes(), self.hash));
        let model = self
            .model
            .map_or(Value::Null, |name| Value::Text(name.to_owned()));
        let values = [&vector, &hash, &model];
        if item.embedding != Value::Null {
            let shared: bool = self
                .writer
                .prepare(&self.shared)?
                .query_row([&item.embedding, &text], |row| row.get(0))?;
            if !shared {
                let mut update = self.writer.prepare(&self.update)?;
                bind(&mut update, &values)?;
                update.raw_bind_parameter(4, &item.embedding)?;
                return Ok(update.raw_execute()? == 1);
            }
        }
        let mut insert = self.writer.prepare(&self.insert)?;
        bind(&mut insert, &values)?;
        insert.raw_execute()?;
        let id = Value::Integer(self.writer.last_insert_rowid());
        let linked = self
            .writer
            .prepare(&self.link)?
            .execute(params_from_iter(item.key.iter().chain([&id])))?;
        Ok(linked == 1)
    }
}

/// The values that the statement has a place for.
fn bind(statement: &mut rusqlite::Statement<'_>, values: &[&Value; 3]) -> rusqlite::Result<()> {
    let most = statement.parameter_count();
    for (at, value) in (1..).zip(values).take_while(|(at, _)| *at <= most) {
        statement.raw_bind_parameter(at, value)?;
    }
    Ok(())
}

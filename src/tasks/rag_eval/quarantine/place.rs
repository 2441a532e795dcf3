//! Where memories go: marked in a column, or moved into tables beside the application's own.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{AT, CHUNK, Chosen, FOR, NUMBER, Outcome, ROWID};
use crate::config::sections::RagTables;
use crate::error::{self, missing, refused};
use crate::faiss::Index;
use crate::sqlite::{self, Act, Column, Reference, Table, quote};
use crate::sys::files;
use crate::tasks::rag_eval::Scene;

const MARK: &str = "[rag.eval] quarantine_column marks it instead";

/// Where memories go.
pub struct Place {
    pub chunks: Table,
    way: Way,
}

enum Way {
    /// A column of the chunks.
    Column(Column),
    /// Tables beside.
    Tables(Box<Tables>),
}

struct Tables {
    chunks: Beside,
    /// Where the embeddings go along; none where an index knows them by position, and every one behind would move.
    embeddings: Option<Beside>,
    references: Vec<Reference>,
    /// What points to embeddings, but for the chunks to their own.
    embedding_references: Vec<Reference>,
}

/// A table and the one beside it.
pub struct Beside {
    table: Table,
    pub name: String,
    /// Columns of the application, by name.
    columns: Vec<String>,
}

impl Place {
    pub fn find(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let names = &scene.task.rag.tables;
        let chunks = scene.memory.chunks(&[&names.text])?.clone();
        if let Some(wanted) = &scene.task.rag.eval.quarantine_column {
            let column = chunks
                .written()
                .find(|one| one.name.eq_ignore_ascii_case(wanted));
            let column = column.cloned().ok_or_else(|| {
                missing(format!("table {} has no column {wanted}", chunks.name)).hint(format!(
                    "ALTER TABLE {} ADD COLUMN {} INTEGER, and have the application leave out rows where it is 1",
                    quote(&chunks.name),
                    quote(wanted)
                ))
            })?;
            return Ok(Self {
                chunks,
                way: Way::Column(column),
            });
        }
        let reader = scene.memory.reader;
        let wrong = |error| scene.memory.explain(error);
        let references_to = |table: &Table| -> anyhow::Result<Vec<Reference>> {
            let mut found = table.references(reader).map_err(wrong)?;
            table.require_short(reader, &found).map_err(wrong)??;
            found.retain(|one| !one.pairs.is_empty());
            Ok(found)
        };
        let references = references_to(&chunks)?;
        let (embeddings, embedding_references) = match chunks.column(&names.embedding_id) {
            Some(pointer) if !positional(scene)? => {
                let table = &scene.memory.embeddings;
                let is_own = |one: &Reference| {
                    one.child.eq_ignore_ascii_case(&chunks.name)
                        && matches!(one.pairs.as_slice(), [(from, _)] if from.eq_ignore_ascii_case(&pointer.name))
                };
                let mut found = references_to(table)?;
                found.retain(|one| !is_own(one));
                (Some(Beside::of(scene, table, CHUNK)?), found)
            }
            _ => (None, Vec::new()),
        };
        Ok(Self {
            way: Way::Tables(Box::new(Tables {
                chunks: Beside::of(scene, &chunks, FOR)?,
                embeddings,
                references,
                embedding_references,
            })),
            chunks,
        })
    }

    pub fn way(&self) -> String {
        match &self.way {
            Way::Column(column) => format!("{} is set to 1", column.name),
            Way::Tables(tables) => format!("into {}", tables.chunks.name),
        }
    }

    /// What is left to do for whom, behind what was done.
    pub fn left_to_do(&self, scene: &Scene<'_>) -> &'static str {
        match &self.way {
            Way::Column(_) => ": the application has to heed the column",
            Way::Tables(_) if scene.task.indices.is_empty() => "",
            Way::Tables(tables) if tables.embeddings.is_some() => {
                "; empire-maint rag-clean takes them out of the indices"
            }
            Way::Tables(_) => {
                "; embeddings stay where they are, and in the indices: they are found, without a text"
            }
        }
    }

    /// Why a memory has to stay; none where it can go. What points to it, or to what would go with it, would be gone for good: the
    /// schema may let it go along, or forget what it pointed to.
    pub fn keeps(
        &self,
        scene: &Scene<'_>,
        connection: &Connection,
        chosen: &Chosen<'_>,
    ) -> rusqlite::Result<Option<String>> {
        let names = &scene.task.rag.tables;
        let (table, is_it) = (quote(&self.chunks.name), self.chunks.key_is());
        let key = &chosen.suspect.key;
        let sql = format!(
            "SELECT {} FROM main.{table} WHERE {is_it}",
            quote(&names.text)
        );
        // Whatever bytes it has: who wrote it may have seen to that.
        let is_the_same = |row: &Row<'_>| match row.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Ok(blake3::hash(bytes) == chosen.suspect.digest)
            }
            _ => Ok(false),
        };
        if connection.query_row(&sql, [key], is_the_same).optional()? != Some(true) {
            return Ok(Some("its text changed meanwhile".to_owned()));
        }
        let Way::Tables(tables) = &self.way else {
            return Ok(None);
        };
        let points = |reference: &Reference, to: &Table, which: &str, key: &Value| {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {which} AND {})",
                quote(&to.name),
                reference.points_to(to)
            );
            connection.query_row(&sql, [key], |row| row.get::<_, bool>(0))
        };
        for reference in &tables.references {
            if points(reference, &self.chunks, &is_it, key)? {
                return Ok(Some(format!(
                    "rows of {} point to it; {MARK}",
                    reference.child
                )));
            }
        }
        let Some(embeddings) = &tables.embeddings else {
            return Ok(None);
        };
        let pointer = quote(&names.embedding_id);
        // One that another chunk has as well stays.
        let sql = format!(
            "SELECT {pointer} FROM main.{table} AS own WHERE {is_it} AND NOT EXISTS (
               SELECT 1 FROM main.{table} AS other WHERE other.{pointer} = own.{pointer} AND other.{0} <> own.{0})",
            quote(&self.chunks.key[0])
        );
        let Some(pointer) = connection
            .query_row(&sql, [key], |row| row.get::<_, Value>(0))
            .optional()?
        else {
            return Ok(None);
        };
        let which = format!("{} = ?1", quote(&names.id));
        for reference in &tables.embedding_references {
            if points(reference, &embeddings.table, &which, &pointer)? {
                return Ok(Some(format!(
                    "rows of {} point to its embedding; {MARK}",
                    reference.child
                )));
            }
        }
        Ok(None)
    }

    pub fn away(
        &self,
        scene: &Scene<'_>,
        writer: &Connection,
        chosen: &Chosen<'_>,
    ) -> rusqlite::Result<Outcome> {
        if let Some(why) = self.keeps(scene, writer, chosen)? {
            return Ok(Outcome::Stays(why));
        }
        let names = &scene.task.rag.tables;
        let (table, is_it) = (quote(&self.chunks.name), self.chunks.key_is());
        let key = &chosen.suspect.key;
        let (chunks, embeddings) = match &self.way {
            Way::Column(column) => {
                let sql = format!(
                    "UPDATE main.{table} SET {} = 1 WHERE {is_it}",
                    quote(&column.name)
                );
                writer.execute(&sql, [key])?;
                return Ok(Outcome::Done);
            }
            Way::Tables(tables) => (&tables.chunks, &tables.embeddings),
        };
        let now = scene.context.now.to_string();
        chunks.make(writer)?;
        chunks.take(writer, &is_it, key, (AT, FOR), (&now, &chosen.rules))?;
        let pointer = match embeddings {
            None => Value::Null,
            Some(_) => writer.query_row(
                &format!(
                    "SELECT {} FROM main.{table} WHERE {is_it}",
                    quote(&names.embedding_id)
                ),
                [key],
                |row| row.get(0),
            )?,
        };
        if writer.execute(&format!("DELETE FROM main.{table} WHERE {is_it}"), [key])? != 1 {
            return Ok(Outcome::Stays("a trigger keeps it".to_owned()));
        }
        let Some(embeddings) = embeddings.as_ref().filter(|_| pointer != Value::Null) else {
            return Ok(Outcome::Done);
        };
        let is_used = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{table} WHERE {} = ?1)",
            quote(&names.embedding_id)
        );
        if writer.query_row(&is_used, [&pointer], |row| row.get(0))? {
            return Ok(Outcome::Done);
        }
        let is_it = format!("{} = ?1", quote(&names.id));
        embeddings.make(writer)?;
        embeddings.take(
            writer,
            &is_it,
            &pointer,
            (AT, CHUNK),
            (&now, &chosen.suspect.id),
        )?;
        let from = quote(&embeddings.table.name);
        let sql = format!("DELETE FROM main.{from} WHERE {is_it}");
        Ok(match writer.execute(&sql, [&pointer])? {
            1 => Outcome::Done,
            _ => Outcome::Stays("a trigger keeps its embedding".to_owned()),
        })
    }
}

/// True where the ids of an index are positions, or nobody can say.
fn positional(scene: &Scene<'_>) -> anyhow::Result<bool> {
    for at in &scene.task.indices {
        if files::metadata(&at.path)?.is_some() {
            match Index::open(&files::through_own_links(&at.path, &scene.task.root)?) {
                Ok(index) if !index.shape.is_positional() || at.map.is_some() => {}
                Err(error) if error::ends_the_run(&error) => return Err(error),
                _ => return Ok(true),
            }
        }
    }
    Ok(false)
}

impl Beside {
    /// `own` is a column of ours that only a table of ours has.
    pub fn of(scene: &Scene<'_>, table: &Table, own: &str) -> anyhow::Result<Self> {
        let mut columns: Vec<_> = table.written().map(|one| one.name.clone()).collect();
        if table.key_is_rowid() {
            columns.extend(table.key.iter().cloned());
        }
        let beside = Self {
            table: table.clone(),
            name: RagTables::quarantine(&table.name),
            columns,
        };
        let there = sqlite::columns(scene.memory.reader, &beside.name)
            .map_err(|error| scene.memory.explain(error))?;
        let lacks = |name: &str| !there.iter().any(|one| one.name.eq_ignore_ascii_case(name));
        let lacking: Vec<_> = beside
            .columns
            .iter()
            .map(|name| beside.kept_as(name))
            .chain([own, AT, NUMBER])
            .filter(|name| lacks(name))
            .collect();
        if !there.is_empty() && !lacking.is_empty() {
            return Err(refused(format!(
                "the table {} lacks {}",
                beside.name,
                lacking.join(", ")
            ))
            .hint(format!(
                "ALTER TABLE {} ADD COLUMN {}",
                quote(&beside.name),
                quote(lacking[0])
            ))
            .into());
        }
        Ok(beside)
    }

    /// What a column is called in the table beside.
    pub fn kept_as<'a>(&self, name: &'a str) -> &'a str {
        match self.table.column(name) {
            Some(_) => name,
            None => ROWID,
        }
    }

    fn kept(&self) -> String {
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|one| quote(self.kept_as(one)))
            .collect();
        names.join(", ")
    }

    fn own(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|one| quote(one)).collect();
        names.join(", ")
    }

    /// Its columns have no types, so that every value stays as it is.
    fn make(&self, writer: &Connection) -> rusqlite::Result<()> {
        writer.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS main.{} ({} INTEGER PRIMARY KEY, {}, {})",
            quote(&self.name),
            quote(NUMBER),
            [AT, FOR, CHUNK].map(quote).join(", "),
            self.kept()
        ))
    }

    /// Copies the row, with two words of ours.
    fn take(
        &self,
        writer: &Connection,
        is_it: &str,
        key: &Value,
        (first, second): (&str, &str),
        (one, two): (&str, &str),
    ) -> rusqlite::Result<()> {
        let sql = format!(
            "INSERT INTO main.{} ({}, {}, {}) SELECT ?2, ?3, {} FROM main.{} WHERE {is_it}",
            quote(&self.name),
            quote(first),
            quote(second),
            self.kept(),
            self.own(),
            quote(&self.table.name)
        );
        match writer.execute(&sql, rusqlite::params![key, one, two])? {
            1 => Ok(()),
            rows => Err(rusqlite::Error::StatementChangedRows(rows)),
        }
    }

    /// Brings rows back, as they were. Triggers may remove or change what comes in: that fails as a constraint does.
    pub fn give(
        &self,
        writer: &Connection,
        which: &str,
        id: &str,
    ) -> rusqlite::Result<Option<String>> {
        sqlite::keep_rows(writer, &self.table.name, &[Act::Delete, Act::Update])?;
        let (own, beside) = (quote(&self.table.name), quote(&self.name));
        let given = writer.execute(
            &format!(
                "INSERT INTO main.{own} ({}) SELECT {} FROM main.{beside} WHERE {which}",
                self.own(),
                self.kept()
            ),
            [id],
        )?;
        let same: Vec<_> = self
            .columns
            .iter()
            .map(|name| {
                let kept = quote(self.kept_as(name));
                format!(
                    "quote(\"came back\".{}) = quote({beside}.{kept})",
                    quote(name)
                )
            })
            .collect();
        let lost: bool = writer.query_row(
            &format!(
                "SELECT EXISTS (SELECT 1 FROM main.{beside} WHERE {which} AND NOT EXISTS (
                   SELECT 1 FROM main.{own} AS \"came back\" WHERE {}))",
                same.join(" AND ")
            ),
            [id],
            |row| row.get(0),
        )?;
        let gone = writer.execute(&format!("DELETE FROM main.{beside} WHERE {which}"), [id])?;
        Ok((lost || given != gone).then(|| {
            format!(
                "a trigger of {0} does not let it in, or changes it, or a column of {0} has another type by now",
                self.table.name
            )
        }))
    }
}

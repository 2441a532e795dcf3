//! The ids that a FAISS index calls its vectors by: the same before and after a database is laid out anew.

use rusqlite::Connection;

use super::{IDS, Work};
use crate::report::{Finding, Severity};
use crate::sqlite::{self, column_digest, columns};

/// The ids, and how often others had written when they were read.
pub(super) struct Ids {
    digest: blake3::Hash,
    version: i64,
}

impl Work<'_> {
    /// Table and column; `None` where no index relies on this database.
    pub(super) fn place_of_ids(
        &self,
        connection: &Connection,
    ) -> rusqlite::Result<Option<(&str, &str)>> {
        let rag = self.task.indexed.as_ref();
        let Some(rag) = rag.filter(|rag| rag.database == self.source.name) else {
            return Ok(None);
        };
        let (table, id) = (rag.tables.embeddings.as_str(), rag.tables.id.as_str());
        let known = columns(connection, table)?;
        let is_there = known.iter().any(|one| one.name.eq_ignore_ascii_case(id));
        Ok(is_there.then_some((table, id)))
    }

    /// Reads them; `None` where no index relies on this database.
    pub(super) fn ids(&self, connection: &Connection) -> anyhow::Result<Option<Ids>> {
        let read = || -> rusqlite::Result<Option<Ids>> {
            let Some((table, id)) = self.place_of_ids(connection)? else {
                return Ok(None);
            };
            let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            let digest = column_digest(connection, table, id)?;
            Ok(Some(Ids { digest, version }))
        };
        read().map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))
    }

    /// A difference that nobody else wrote is ours.
    pub(super) fn compare_ids(
        &self,
        before: Option<&Ids>,
        connection: &Connection,
    ) -> anyhow::Result<()> {
        let Some(before) = before else {
            return Ok(());
        };
        self.report.examined(IDS, &self.source.name);
        let Some(after) = self.ids(connection)? else {
            return Ok(());
        };
        if before.digest != after.digest && before.version == after.version {
            self.report.find(
                Finding::new(
                    IDS,
                    Severity::Critical,
                    &self.source.name,
                    format!(
                        "VACUUM of {} changed ids of its embeddings, by which an index calls its vectors",
                        self.source.name
                    ),
                )
                .hint(format!("empire-maint restore {}", self.source.name)),
            );
        }
        Ok(())
    }
}

//! What every change of one database needs, and what is committed of it.

use rusqlite::Connection;

use super::duplicates::Twins;
use super::index;
use super::memory::Memory;
use crate::archive::Source;
use crate::config::sections::Rag;
use crate::context::Context;
use crate::report::Reporter;
use crate::sqlite;
use crate::sys::lock::Held;

/// What every change of one database needs.
pub struct Scene<'a> {
    /// The run.
    pub context: &'a Context,
    /// Its report.
    pub report: &'a Reporter,
    /// The database.
    pub source: &'a Source,
    /// Its tables.
    pub memory: &'a Memory,
    /// Its indices.
    pub indices: &'a index::Work<'a>,
    /// Looks ahead.
    pub reader: &'a Connection,
    /// The lock of the series.
    pub held: Option<&'a Held>,
    /// The settings.
    pub rag: &'a Rag,
    /// The chunks that say the same, where that step was planned.
    pub twins: Option<&'a Twins>,
}

/// What is committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Rows that went.
    pub rows: u64,
    /// Rows of the other table that went or wait with them.
    pub others: u64,
    /// Rows elsewhere that point to another row since.
    pub moved: u64,
    /// Rows elsewhere that would then be there twice, and went.
    pub dropped: u64,
    /// A backup or a restore waits: the rest is left to the next run.
    pub gave_way: bool,
}

impl Scene<'_> {
    /// A backup or a restore waits.
    pub fn wanted(&self) -> bool {
        self.held.is_some_and(Held::wanted)
    }

    /// In the operator's words.
    pub fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        sqlite::explain(error, &self.source.path, &self.context.stop)
    }
}

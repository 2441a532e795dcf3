//! What every step on one database works with, and what it gives back.

use std::time::Duration;

use rusqlite::Connection;

use super::plan::Plan;
use crate::archive::Source;
use crate::context::Context;
use crate::report::{Reporter, Unit};
use crate::sqlite;
use crate::sys::lock::Held;

pub(super) const FAILED: &str = "data-clean.failed";
pub(super) const REFUSED: &str = "data-clean.refused";
pub(super) const NO_BACKUP: &str = "data-clean.no-backup";
pub(super) const CONFLICT: &str = "data-clean.conflict";
pub(super) const GAVE_WAY: &str = "data-clean.gave-way";

/// How long a transaction waits for the writers before it.
pub const BUSY: Duration = Duration::from_secs(20);

/// What is committed.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Rows that went.
    pub rows: u64,
    /// A backup or a restore waits: the rest is left to the next run.
    pub gave_way: bool,
    /// Where they are.
    pub archive: Option<String>,
    /// Rows that the archive does not take.
    pub conflicts: u64,
    /// The first of them, and why.
    pub first_conflict: Option<String>,
}

impl Done {
    /// Adds what one transaction did.
    pub fn add(&mut self, turn: &Self) {
        self.rows += turn.rows;
        self.conflicts += turn.conflicts;
        if self.first_conflict.is_none() {
            self.first_conflict.clone_from(&turn.first_conflict);
        }
    }
}

/// What every step on one database needs.
pub struct Scene<'a> {
    /// The run.
    pub context: &'a Context,
    /// Its report.
    pub report: &'a Reporter,
    /// The database.
    pub source: &'a Source,
    /// Looks ahead.
    pub reader: &'a Connection,
    /// Writes.
    pub writer: &'a Connection,
    /// The lock of the series.
    pub held: Option<&'a Held>,
    /// Free space to leave where files are written.
    pub reserve: u64,
}

impl Scene<'_> {
    /// True when a backup or a restore of this database waits for us.
    pub fn must_give_way(&self) -> bool {
        self.held.is_some_and(Held::wanted)
    }

    /// In the operator's words.
    pub fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        sqlite::explain(error, &self.source.path, &self.context.stop)
    }

    /// Paints how far a rule is.
    pub fn progress(&self, done: u64, plan: &Plan) {
        self.report.progress(
            done,
            plan.chosen,
            Unit::Count,
            &format!("rows of {}", plan.table.name),
        );
    }
}

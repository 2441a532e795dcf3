//! What is true of one database: sound or not, where its pages are, which tables lack statistics.

use std::collections::BTreeMap;
use std::time::Instant;

use rusqlite::Connection;

use super::{CORRUPT, FOREIGN_KEYS, Outcome, State, UNCHECKED, Work, millis};
use crate::error::{self, Kind};
use crate::report::{Finding, Severity, Unit};
use crate::sqlite::{self, BareTable, Snapshot, Stale};
use crate::sys::process::shell_path;
use crate::sys::{Stop, files};
use crate::units;

/// A sound database.
pub(super) struct Looked {
    /// Sizes, layout, time of a query.
    pub state: State,
    /// Tables that need `ANALYZE`.
    pub stale: Vec<Stale>,
    /// Tables whose rowids `VACUUM` does not promise to keep.
    pub bare: Vec<BareTable>,
    /// It has a write-ahead log.
    pub wal: bool,
}

/// Why a database is left alone.
enum Bad {
    ForeignKeys(u64),
    Constraints(u64),
    Unchecked(String),
}

impl Work<'_> {
    /// Integrity and foreign keys first; `None`, with a critical finding, where they are bad.
    pub(super) fn look(&self, outcome: &mut Outcome) -> anyhow::Result<Option<Looked>> {
        let (name, path) = (&self.source.name, &self.source.path);
        let [wal, ..] = sqlite::side_files(path);
        let stop = self.giving_way(files::metadata(&wal)?.map_or(0, |meta| meta.len()));
        for id in [CORRUPT, FOREIGN_KEYS, UNCHECKED] {
            self.report.examined(id, name);
        }
        self.report
            .progress(0, 0, Unit::Count, &format!("checking {name}"));
        let started = Instant::now();
        let looked = self.snapshot(&stop, |snapshot| {
            snapshot.require_tables(&self.source.expect_tables)?;
            let mut all = snapshot.connections();
            let facts = sqlite::full_check(&mut all, path, &BTreeMap::new(), &stop)?;
            let wal = sqlite::is_wal(snapshot.journal_mode());
            let connection = snapshot.connection();
            outcome.check_ms = millis(started.elapsed());
            if let Some(doubt) = facts.doubt() {
                return Ok(Err(Bad::Unchecked(doubt)));
            }
            if !facts.foreign_key_mismatches.is_empty() {
                let message = format!(
                    "foreign keys that SQLite cannot check: {}",
                    facts.foreign_key_mismatches.join("; ")
                );
                self.report.find(
                    Finding::new(UNCHECKED, Severity::Low, name, message)
                        .hint("what they point to needs a UNIQUE index, or to be there"),
                );
            }
            if facts.constraint_violations > 0 {
                return Ok(Err(Bad::Constraints(facts.constraint_violations)));
            }
            if facts.foreign_key_violations > 0 {
                return Ok(Err(Bad::ForeignKeys(facts.foreign_key_violations)));
            }
            let state = self.state(connection, &stop)?;
            let wrong = |error| sqlite::explain(error, path, &stop);
            let trees = &state.layout.trees;
            let empty: Vec<_> = trees
                .iter()
                .filter(|tree| tree.index && tree.cells == 0)
                .map(|tree| tree.name.as_str())
                .collect();
            let stale =
                sqlite::stale_statistics(connection, &facts.tables, &empty).map_err(wrong)?;
            let bare = sqlite::bare_tables(connection).map_err(wrong)?;
            Ok(Ok(Looked {
                state,
                stale,
                bare,
                wal,
            }))
        });
        let seconds = started.elapsed().as_secs_f64();
        self.report
            .measure("optimize_check_seconds", seconds, "s", self.label());
        match looked {
            Ok(Ok(looked)) => {
                outcome.sound = true;
                Ok(Some(looked))
            }
            Ok(Err(Bad::Unchecked(doubt))) => {
                let message = format!("{name} is left alone: {doubt}");
                self.report.find(
                    Finding::new(UNCHECKED, Severity::Low, name, message).hint(
                        "let the application run PRAGMA integrity_check and PRAGMA optimize on its own connection",
                    ),
                );
                Ok(None)
            }
            Ok(Err(Bad::Constraints(violations))) => {
                let message = format!(
                    "{} of {name} that NOT NULL or a CHECK of the schema would not take: the database is left alone",
                    units::count(violations, "value")
                );
                self.report.find(
                    Finding::new(CORRUPT, Severity::Critical, name, message)
                        .measured(violations as f64, "", 0.0)
                        .hint(format!("sqlite3 {} 'PRAGMA quick_check'", shell_path(path))),
                );
                Ok(None)
            }
            Ok(Err(Bad::ForeignKeys(violations))) => {
                self.report.find(
                    Finding::new(
                        FOREIGN_KEYS,
                        Severity::Critical,
                        name,
                        format!(
                            "{} of {name} {} to a parent that is not there: the database is left alone",
                            units::count(violations, "row"),
                            if violations == 1 { "points" } else { "point" }
                        ),
                    )
                    .measured(violations as f64, "", 0.0)
                    .hint(format!(
                        "sqlite3 -readonly {} 'PRAGMA foreign_key_check'",
                        shell_path(path)
                    )),
                );
                Ok(None)
            }
            Err(error) if error::kind_of(&error) == Kind::Damaged => {
                let finding = Finding::of_error(CORRUPT, Severity::Critical, name, &error);
                self.report.find(finding);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at one state of the database, which is held for as long as `look` takes.
    pub(super) fn snapshot<T>(
        &self,
        stop: &Stop,
        look: impl FnOnce(&mut Snapshot) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut snapshot = Snapshot::take(&self.source.path, &self.options(stop))?;
        look(&mut snapshot)
    }

    /// Sizes, layout, and the time that counting every table's rows takes.
    pub(super) fn state(&self, connection: &Connection, stop: &Stop) -> anyhow::Result<State> {
        let path = &self.source.path;
        let [wal, ..] = sqlite::side_files(path);
        let layout = sqlite::layout(connection, path, stop)?;
        let started = Instant::now();
        sqlite::row_counts(connection).map_err(|error| sqlite::explain(error, path, stop))?;
        let query = started.elapsed();
        Ok(State {
            size_bytes: layout.bytes(),
            wal_bytes: files::metadata(&wal)?.map_or(0, |meta| meta.len()),
            free_percent: units::percent(layout.free_pages, layout.pages),
            query_ms: query.as_secs_f64() * 1000.0,
            layout,
        })
    }
}

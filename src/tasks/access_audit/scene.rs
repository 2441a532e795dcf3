//! The live database, and from when on it is looked at; its tables, as far as they are there.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::tables::{self, Found, Look, Usual};
use crate::config::sections::AccessAudit;
use crate::error;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::{self, TimeColumn, TimeFormat};
use crate::sys::Stop;

const NO_TABLE: &str = "access.no-table";
const UNFIT: &str = "access.unfit";
const TIME_FORMAT: &str = "access.time-format";

/// What is looked at, and from when on.
pub(super) struct Scene<'a> {
    pub(super) live: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) stop: &'a Stop,
    pub(super) report: &'a Reporter,
    pub(super) settings: &'a AccessAudit,
    pub(super) until: Timestamp,
    pub(super) since: Timestamp,
    pub(super) idle_since: Timestamp,
}

impl Scene<'_> {
    /// A moment; one that is still to come is none.
    pub(super) fn moment(
        &self,
        format: Option<TimeFormat>,
        value: ValueRef<'_>,
    ) -> Option<Timestamp> {
        format?.read(value).filter(|at| *at <= self.until)
    }

    /// The table, or `None` with a finding that says why not.
    pub(super) fn table(&self, usual: &Usual) -> anyhow::Result<Option<Found>> {
        let wrong = |error| sqlite::explain(error, self.path, self.stop);
        for id in [NO_TABLE, UNFIT] {
            self.report.examined(id, usual.what);
        }
        match tables::find(self.live, usual, self.settings).map_err(wrong)? {
            Look::Found(found) => Ok(Some(found)),
            Look::Absent => {
                self.report.find(
                    Finding::new(NO_TABLE, Severity::Info, usual.what, usual.without())
                        .hint(format!("[access_audit.{}] table names it", usual.what)),
                );
                Ok(None)
            }
            Look::Unfit(why, named) => {
                let severity = if named {
                    Severity::Medium
                } else {
                    Severity::Low
                };
                self.report.find(
                    Finding::new(
                        UNFIT,
                        severity,
                        usual.what,
                        format!("{why}; {}", usual.without()),
                    )
                    .hint(format!(
                        "[access_audit.{}] names table and columns",
                        usual.what
                    )),
                );
                Ok(None)
            }
        }
    }

    /// How a column writes its moments: `None` where there is no such column or where that cannot be told, with a finding;
    /// `Some(None)` where it holds none so far.
    pub(super) fn format(
        &self,
        found: &Found,
        what: &str,
    ) -> anyhow::Result<Option<Option<TimeFormat>>> {
        let Some(column) = found.column(what) else {
            return Ok(None);
        };
        let subject = format!("{}.{column}", found.table);
        self.report.examined(TIME_FORMAT, &*subject);
        let column = TimeColumn {
            table: &found.table,
            column,
            filter: None,
        };
        match column.look(self.live, self.since, self.path, self.stop) {
            Ok(times) => Ok(Some(times.format)),
            Err(error) if error::kind_of(&error) == error::Kind::Refused => {
                self.report.find(
                    Finding::new(
                        TIME_FORMAT,
                        Severity::Low,
                        subject,
                        format!("what this column says is left out: {error:#}"),
                    )
                    .hint("one way to write a time in one column"),
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

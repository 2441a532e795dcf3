//! How a row of a table is written in a line, and found again.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement, params_from_iter};

use super::lines::Names;
use crate::sqlite::{Table, quote};

/// How the rows of a table are written.
pub struct Layout {
    /// The names in a line: the key where it is no column, then the columns.
    pub names: Names,
    /// The same, quoted.
    pub columns: Vec<String>,
    /// Where the key stands among them.
    pub key: Vec<usize>,
}

impl Layout {
    /// Of this table. What is computed from other columns is left out.
    pub fn of(table: &Table) -> Self {
        Self::with(table, |_| true)
    }

    /// As rows were written into a line before columns were added: these have their default.
    pub fn of_line(table: &Table, line: &str) -> anyhow::Result<Self> {
        let there = Names::of(line)?;
        Ok(Self::with(table, |name| {
            there.0.iter().any(|one| one == name)
        }))
    }

    fn with(table: &Table, is_wanted: impl Fn(&str) -> bool) -> Self {
        let rowid = table.key_is_rowid();
        let columns = table.written().map(|column| column.name.clone());
        let mut names: Vec<_> = match rowid {
            true => table.key.iter().cloned().chain(columns).collect(),
            false => columns.collect(),
        };
        names.retain(|name| is_wanted(name) || table.key.contains(name));
        let key = table
            .key
            .iter()
            .filter_map(|key| names.iter().position(|name| name == key));
        Self {
            key: key.collect(),
            columns: names.iter().map(|name| quote(name)).collect(),
            names: Names(names),
        }
    }

    /// The key of a row.
    pub fn key_of<'a>(&self, row: &'a [Value]) -> Vec<&'a Value> {
        self.key.iter().filter_map(|at| row.get(*at)).collect()
    }

    /// Reads one row by its key, as long as `condition` holds.
    pub fn select<'a>(
        &self,
        connection: &'a Connection,
        table: &Table,
        condition: &str,
    ) -> rusqlite::Result<Statement<'a>> {
        connection.prepare(&format!(
            "SELECT {} FROM main.{} WHERE {} AND ({condition})",
            self.columns.join(", "),
            quote(&table.name),
            table.key_is()
        ))
    }

    /// Whether the row with the same key is the same; `None` where there is none.
    pub fn is_same(
        &self,
        select: &mut Statement<'_>,
        row: &[Value],
    ) -> rusqlite::Result<Option<bool>> {
        let mut rows = select.query(params_from_iter(self.key_of(row)))?;
        let Some(there) = rows.next()? else {
            return Ok(None);
        };
        for (at, value) in row.iter().enumerate() {
            if there.get_ref(at)? != ValueRef::from(value) {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }
}

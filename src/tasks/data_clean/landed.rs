//! Where triggers act, what a statement says of itself is not believed: each row that was copied is looked for where it should be, and
//! where it should not be any more, before the transaction is committed.

use rusqlite::{Connection, Statement, params_from_iter};

use crate::error::{Failure, Kind, refused};
use crate::sqlite::{self, Row, Table, TableKind, quote};

/// True where a trigger does something of its own when rows of the table change.
pub fn trigger_acts(connection: &Connection, table: &Table) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1))",
        [&table.name],
        |row| row.get(0),
    )
}

/// Follows rows from one table into another.
pub struct Landed<'a> {
    connection: &'a Connection,
    names: [String; 2],
    /// A row of the other table, by its number.
    there: Statement<'a>,
    /// A row of the first table, by its key.
    left: Statement<'a>,
    /// The rows of this transaction.
    numbers: Vec<i64>,
}

impl<'a> Landed<'a> {
    /// None where no trigger acts on one of the two: then a row that was copied is there.
    pub fn watch(
        connection: &'a Connection,
        from: &Table,
        to: &Table,
    ) -> rusqlite::Result<anyhow::Result<Option<Self>>> {
        if !trigger_acts(connection, from)? && !trigger_acts(connection, to)? {
            return Ok(Ok(None));
        }
        let names = [from.name.clone(), to.name.clone()];
        let kind = sqlite::table_kind(connection, &to.name)?;
        if matches!(kind, Some((_, TableKind::WithoutRowid))) {
            return Ok(Err(refused(format!(
                "a trigger acts on {} or {}, and what becomes of rows in {1}, a table WITHOUT ROWID, cannot be followed",
                from.name, to.name
            ))
            .hint("archive into an ordinary table, or into files: into = \"file:FOLDER\"")
            .into()));
        }
        let any = |table: &Table, which: &str| {
            connection.prepare(&format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {which})",
                quote(&table.name)
            ))
        };
        Ok(Ok(Some(Self {
            connection,
            there: any(to, &to.key_is())?,
            left: any(from, &from.key_is())?,
            names,
            numbers: Vec::new(),
        })))
    }

    /// A row was copied, and that with `key` removed.
    pub fn moved(&mut self, number: i64, key: &Row) -> anyhow::Result<()> {
        self.numbers.push(number);
        let left: bool = self
            .left
            .query_row(params_from_iter(key), |row| row.get(0))?;
        match left {
            false => Ok(()),
            true => Err(self.refuse("puts back what is removed").into()),
        }
    }

    /// The number that the last row got.
    pub fn number(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    /// All rows of this transaction are in the other table.
    pub fn prove(&mut self) -> anyhow::Result<()> {
        for number in std::mem::take(&mut self.numbers) {
            let there: bool = self.there.query_row([number], |row| row.get(0))?;
            if !there {
                return Err(self.refuse("removes what is copied").into());
            }
        }
        Ok(())
    }

    fn refuse(&self, what: &str) -> Failure {
        let [from, to] = &self.names;
        Failure::new(
            Kind::Failed,
            format!("a trigger on {from} or {to} {what}: nothing of this transaction is done"),
        )
        .hint("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'")
    }
}

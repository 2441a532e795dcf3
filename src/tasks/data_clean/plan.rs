//! What a rule would do to a database as it is now: looked at read-only, refused before anything happens where it would do harm.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::Connection;

use super::columns;
use crate::archive::Source;
use crate::config::sections::{CleanAction, Nulls, Rule};
use crate::context::Context;
use crate::error::refused;
use crate::sqlite::{self, Reference, Selection, Table, TimeColumn, Times, quote};
use crate::units;

/// A rule, looked at.
pub struct Plan {
    /// As configured.
    pub rule: Rule,
    /// Older than this.
    pub cutoff: Timestamp,
    /// Its rows.
    pub table: Table,
    /// Those that would go.
    pub selection: Selection,
    /// What the column says.
    pub times: Times,
    /// All rows of the table.
    pub total: u64,
    /// Rows that would go.
    pub chosen: u64,
    /// Old rows that stay, because others point to them.
    pub referenced: u64,
    /// Rows of other tables that the schema lets go along, by table.
    pub along: Vec<(String, u64)>,
    /// Where they go.
    pub target: Target,
}

/// Where old rows go.
pub enum Target {
    /// Nowhere.
    Nothing,
    /// A table of the same database, and the columns that are copied.
    Table {
        /// Its name.
        name: String,
        /// Quoted, in one order for both.
        columns: Vec<String>,
    },
    /// Files in this folder.
    Folder(PathBuf),
}

impl Plan {
    /// Looks; `None` where there is no such table.
    pub fn look(
        connection: &Connection,
        rule: &Rule,
        folder: Option<PathBuf>,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<Option<Self>> {
        let (path, stop) = (&source.path, &context.stop);
        let wrong = |error| sqlite::explain(error, path, stop);
        let Some(table) = Table::find(connection, &rule.table, path, stop)? else {
            return Ok(None);
        };
        let now = context.now.to_zoned(context.zone.clone());
        let cutoff = Timestamp::from_second(rule.older_than.before(&now)?.timestamp().as_second())?;
        let column = TimeColumn {
            table: &table.name,
            column: &rule.column,
            filter: rule.filter.as_deref(),
        };
        let times = column.look(connection, cutoff, path, stop)?;
        let target = target(connection, rule, folder, &table, source, context)?;
        let references = table.references(connection).map_err(wrong)?;
        table
            .require_short(connection, &references)
            .map_err(wrong)??;
        // What is archived takes nothing along: a child that went with it would be lost.
        let follows = |one: &&Reference| rule.action == CleanAction::Delete && one.has_action;
        let (along, keeps): (Vec<_>, Vec<_>) = references.iter().partition(follows);
        let selection = {
            let mut others: Vec<_> = rule.filter.iter().cloned().collect();
            let kept = keeps
                .iter()
                .map(|one| format!("NOT {}", one.points_to(&table)));
            others.extend(kept);
            let old = times
                .format
                .map(|format| format.older_than(&quote(&rule.column), cutoff));
            let nulls = rule.nulls == Nulls::Old;
            let indexed = table
                .has_index(connection, &[&rule.column])
                .map_err(wrong)?;
            Selection::new(&table, &rule.column, old, nulls, &others, indexed)
        };
        let nulls = if rule.nulls == Nulls::Old {
            times.nulls
        } else {
            0
        };
        let old = times.older + nulls;
        let chosen = match keeps.is_empty() {
            true => old,
            false => selection.count(connection).map_err(wrong)?,
        };
        let total = match rule.filter {
            None => times.rows,
            Some(_) => count(connection, &table.name).map_err(wrong)?,
        };
        let along = along
            .into_iter()
            .map(|one| going_along(connection, &table, &selection, one))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(wrong)?;
        Ok(Some(Self {
            rule: rule.clone(),
            cutoff,
            table,
            selection,
            times,
            total,
            chosen,
            referenced: old.saturating_sub(chosen),
            along: along.into_iter().filter(|(_, rows)| *rows > 0).collect(),
            target,
        }))
    }

    /// The part of the table that would go.
    pub fn fraction(&self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.chosen as f64 / total as f64,
        }
    }

    /// Refuses to take more of a table than the rule allows.
    pub fn require_fraction(&self) -> anyhow::Result<()> {
        if self.fraction() <= self.rule.max_fraction {
            return Ok(());
        }
        Err(refused(format!(
            "{} of {} in {} are older than {} ({:.1}%, limit {:.1}%)",
            self.chosen,
            units::count(self.total, "row"),
            self.table.name,
            self.cutoff,
            self.fraction() * 100.0,
            self.rule.max_fraction * 100.0
        ))
        .hint(format!(
            "empire-maint data-clean --rule {} --yes",
            self.rule.name
        ))
        .into())
    }

    /// How the time is written; for people.
    pub fn format(&self) -> String {
        match self.times.format {
            Some(format) => format.to_string(),
            None => "no values".to_owned(),
        }
    }
}

fn target(
    connection: &Connection,
    rule: &Rule,
    folder: Option<PathBuf>,
    table: &Table,
    source: &Source,
    context: &Context,
) -> anyhow::Result<Target> {
    if let Some(folder) = folder {
        return Ok(Target::Folder(folder));
    }
    let Some(into) = &rule.into else {
        return Ok(Target::Nothing);
    };
    let (path, stop) = (&source.path, &context.stop);
    let Some(archive) = Table::find(connection, into, path, stop)? else {
        let (from, to) = (quote(&table.name), quote(into));
        return Err(refused(format!(
            "there is no table {into} to archive {} into",
            table.name
        ))
        .hint(format!(
            "sqlite3 '{}' 'CREATE TABLE {to} AS SELECT * FROM {from} WHERE 0'",
            path.display()
        ))
        .into());
    };
    Ok(Target::Table {
        columns: columns::shared(table, &archive)?,
        name: archive.name,
    })
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quote(table));
    let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The rows of a child that go, or change, with those of the selection.
fn going_along(
    connection: &Connection,
    table: &Table,
    selection: &Selection,
    reference: &Reference,
) -> rusqlite::Result<(String, u64)> {
    let sql = format!(
        "SELECT count(*) FROM main.{} AS \"a child\" WHERE EXISTS (SELECT 1 FROM main.{} WHERE {} AND ({}))",
        quote(&reference.child),
        quote(&table.name),
        reference.same(table),
        selection.condition()
    );
    let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok((reference.child.clone(), u64::try_from(rows).unwrap_or(0)))
}

//! What a rule would do to a database as it is now: looked at read-only, refused before anything happens where it would do harm.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::columns;
use crate::archive::Source;
use crate::config::sections::{CleanAction, Nulls, Rule};
use crate::context::Context;
use crate::error::refused;
use crate::journal;
use crate::sqlite::{
    self, Cascade, Gone, Old, Selection, Table, TimeColumn, TimeFormat, Times, quote,
};
use crate::sys::process::{shell_path, shell_word};
use crate::units::{self, Length};

/// A clock that was right has been seen to go on in so many days: by the application's rows, or by runs.
const WITNESSED_DAYS: u32 = 7;

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
    /// True for a row of the selection, on a connection that was taught it.
    pub still: String,
    /// What foreign keys make of that.
    cascade: Cascade,
    /// What the column says.
    pub times: Times,
    /// All rows of the table.
    pub total: u64,
    /// Rows that would go.
    pub chosen: u64,
    /// Old rows that stay, because others point to them.
    pub referenced: u64,
    /// Rows of other tables that the schema lets go along or changes.
    pub along: Vec<Along>,
    /// Where they go.
    pub target: Target,
}

/// Rows of another table that go along, or change.
pub struct Along {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// All of its rows.
    pub total: u64,
}

/// Where old rows go.
pub enum Target {
    /// Nowhere.
    Nothing,
    /// A table of the same database, and the columns that are copied.
    Table {
        /// That table.
        archive: Table,
        /// Quoted, in one order for both.
        columns: Vec<String>,
    },
    /// Files in this folder.
    Folder(PathBuf),
    /// A table that is not there, and what to do about it.
    Missing(anyhow::Error),
}

impl Plan {
    /// Looks; `None` where there is no such table. What rules before this one would have taken is `gone`.
    pub fn look(
        connection: &Connection,
        rule: &Rule,
        folder: Option<PathBuf>,
        gone: &Gone,
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
        let column = |filter| TimeColumn {
            table: &table.name,
            column: &rule.column,
            filter,
        };
        let filter = rule.filter.as_deref();
        column(filter).require_filter(connection, path, stop)?;
        column(filter).require_own_row(connection, path, stop)?;
        let left = gone.not(&table.name, &quote(&table.name));
        let wanted: Vec<_> = rule.filter.iter().cloned().chain(left).collect();
        let both = wanted.join("\n) AND (\n");
        let column = column((!wanted.is_empty()).then_some(both.as_str()));
        let times = column.look(connection, cutoff, path, stop)?;
        let target = target(connection, rule, folder, &table, source, context)?;
        // What is archived takes nothing along: a child that went with it would be lost.
        let takes = rule.action == CleanAction::Delete;
        let cascade = Cascade::of(connection, &table, takes, gone, path, stop)?;
        let (selection, still) = {
            let column = quote(&rule.column);
            let told_by = |condition: fn(&TimeFormat, &str, Timestamp) -> String| {
                times.format.map(|format| Old {
                    condition: condition(&format, &column, cutoff),
                    range: format.range_before(&column, cutoff),
                })
            };
            let old = told_by(TimeFormat::older_than);
            let plainly = told_by(TimeFormat::plainly_older_than);
            let nulls = rule.nulls == Nulls::Old;
            let indexed = table
                .has_index(connection, &[&rule.column])
                .map_err(wrong)?;
            let kept = cascade.keeps.iter().map(|one| format!("NOT {one}"));
            let free: Vec<_> = wanted.iter().cloned().chain(kept).collect();
            let of = |old: &Option<Old>, others: &[String]| {
                Selection::new(&table, &rule.column, old.clone(), nulls, others, indexed)
            };
            let selection = of(&old, &free);
            cascade
                .require_counted(
                    connection,
                    &table,
                    &selection.condition(),
                    &of(&old, &wanted).condition(),
                )
                .map_err(wrong)??;
            (selection, of(&plainly, &free).condition())
        };
        let nulls = if rule.nulls == Nulls::Old {
            times.nulls
        } else {
            0
        };
        let old = times.older + nulls;
        let chosen = match cascade.keeps.is_empty() {
            true => old,
            false => selection.count(connection).map_err(wrong)?,
        };
        let total = match rule.filter {
            None => times.rows,
            Some(_) => count(connection, &table.name, gone).map_err(wrong)?,
        };
        let along = cascade
            .count_along(connection, &selection.condition())
            .map_err(wrong)?
            .into_iter()
            .map(|(table, rows)| {
                let total = count(connection, &table, gone)?;
                Ok(Along { table, rows, total })
            })
            .collect::<rusqlite::Result<_>>()
            .map_err(wrong)?;
        Ok(Some(Self {
            rule: rule.clone(),
            cutoff,
            table,
            selection,
            still,
            cascade,
            times,
            total,
            chosen,
            referenced: old.saturating_sub(chosen),
            along,
            target,
        }))
    }

    /// Teaches a connection what `still` says.
    pub fn teach(&self, connection: &Connection) -> rusqlite::Result<()> {
        match self.times.format {
            Some(format) => format.teach(connection, self.cutoff),
            None => Ok(()),
        }
    }

    /// Takes the rows of the plan, and what goes along with them, for gone.
    pub fn take(
        &self,
        connection: &Connection,
        gone: &mut Gone,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<()> {
        let condition = self.selection.condition();
        gone.add(&self.table, None, &condition);
        let (path, stop) = (&source.path, &context.stop);
        self.cascade
            .take_along(connection, &condition, gone, path, stop)
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
        let most = self.rule.max_fraction;
        let limit = format!("limit {:.1}%", most * 100.0);
        let too_many = |one: &&Along| one.rows as f64 > one.total as f64 * most;
        let what = if self.fraction() > most {
            format!(
                "{} of {} in {} are older than {} ({:.1}%, {limit})",
                self.chosen,
                units::count(self.total, "row"),
                self.table.name,
                self.cutoff,
                self.fraction() * 100.0,
            )
        } else if let Some(one) = self.along.iter().find(too_many) {
            format!(
                "with what is older than {} in {} would go or change {} of {} in {} ({limit})",
                self.cutoff,
                self.table.name,
                one.rows,
                units::count(one.total, "row"),
                one.table,
            )
        } else {
            return Ok(());
        };
        Err(refused(what).hint(self.anyway()).into())
    }

    /// Refuses where the clock may have been set ahead, for then rows look older than they are: the table has no value of the last
    /// days, and this program did not run for as long, or has only just begun to run again.
    pub fn require_clock(&self, context: &Context) -> anyhow::Result<()> {
        let now = context.now;
        let days = SignedDuration::from_hours(24 * i64::from(WITNESSED_DAYS));
        let Some(newest) = self
            .times
            .newest
            .filter(|newest| now.duration_since(*newest) > days)
        else {
            return Ok(());
        };
        // That the journal cannot be read is told by every run, and is no sign of a wrong clock.
        let pause = journal::before_longest_pause(&context.state, WITNESSED_DAYS, now);
        match pause.ok().flatten() {
            Some((last, pause)) if pause > days => Err(refused(format!(
                "is the clock right? {}.{} has nothing newer than {newest:.0}, and empire-maint did not run for {} after {last:.0}: \
if the clock was set ahead, these rows are younger than they look",
                self.table.name,
                self.rule.column,
                Length(pause.unsigned_abs())
            ))
            .hint(self.anyway())
            .into()),
            _ => Ok(()),
        }
    }

    /// The command that does it all the same.
    fn anyway(&self) -> String {
        let rule = shell_word(&self.rule.name);
        format!("empire-maint data-clean --rule {rule} --yes")
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
        let missing = refused(format!(
            "there is no table {into} to archive {} into",
            table.name
        ))
        .hint(format!(
            "sqlite3 {} {}",
            shell_path(path),
            shell_word(&columns::archive_table(table, into))
        ));
        return Ok(Target::Missing(missing.into()));
    };
    Ok(Target::Table {
        columns: columns::shared(table, &archive)?,
        archive,
    })
}

fn count(connection: &Connection, table: &str, gone: &Gone) -> rusqlite::Result<u64> {
    let name = quote(table);
    let left = gone.and_not(table, &name);
    let sql = format!("SELECT count(*) FROM main.{name} WHERE true{left}");
    let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

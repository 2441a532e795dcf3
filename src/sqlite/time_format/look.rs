//! All values of a column, read once: how many there are of each form, and whether they are of one.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;

use super::form::{form, is_same_day};
use super::{Resolution, TimeFormat, Zone};
use crate::error::{missing, refused};
use crate::sqlite::index_values::each_value;
use crate::sqlite::moment::{JULIAN_EPOCH, moment};
use crate::sqlite::{columns, explain, quote};
use crate::sys::Stop;
use crate::units;

/// A column that is expected to hold moments.
#[derive(Clone, Copy, Debug)]
pub struct TimeColumn<'a> {
    /// A table of the main schema.
    pub table: &'a str,
    /// One of its columns.
    pub column: &'a str,
    /// An SQL expression: only the rows for which it is true are looked at.
    pub filter: Option<&'a str>,
}

/// What all values of a column say.
#[derive(Clone, Debug)]
pub struct Times {
    /// `None` where there is no value to tell it from.
    pub format: Option<TimeFormat>,
    /// Rows that were looked at, those without a value among them.
    pub rows: u64,
    /// Rows without a value.
    pub nulls: u64,
    /// Rows whose moment is before the cut-off.
    pub older: u64,
    /// The first moment.
    pub oldest: Option<Timestamp>,
    /// The last moment.
    pub newest: Option<Timestamp>,
}

impl TimeColumn<'_> {
    /// Reads every value once. Refuses, with counts and examples, a column that mixes forms or holds a value that may mean
    /// something else: no condition would choose the right rows.
    pub fn look(
        &self,
        connection: &Connection,
        cutoff: Timestamp,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Times> {
        self.require(connection, path, stop)?;
        self.require_filter(connection, path, stop)?;
        self.tallies(connection, cutoff)
            .map_err(|error| explain(error, path, stop))?
            .verdict(self)
    }

    fn tallies(&self, connection: &Connection, cutoff: Timestamp) -> rusqlite::Result<Tallies> {
        if self.filter.is_none() {
            let mut tallies = Tallies::new(cutoff);
            let add = &mut |value: ValueRef<'_>| tallies.add(value);
            if each_value(connection, self.table, self.column, add)? {
                return Ok(tallies);
            }
        }
        let mut tallies = Tallies::new(cutoff);
        tallies.count(connection, &self.sql())?;
        Ok(tallies)
    }

    /// The columns of the rows that are looked at.
    fn sql(&self) -> String {
        let filter = self
            .filter
            .map(|filter| format!(" WHERE (\n{filter}\n)"))
            .unwrap_or_default();
        let (table, column) = (quote(self.table), quote(self.column));
        format!("SELECT {column} FROM main.{table}{filter}")
    }

    /// SQLite takes a quoted name that is no column for a text, so it has to be one.
    fn require(&self, connection: &Connection, path: &Path, stop: &Stop) -> anyhow::Result<()> {
        let columns =
            columns(connection, self.table).map_err(|error| explain(error, path, stop))?;
        if columns.is_empty() {
            return Err(missing(format!("{} has no table {}", path.display(), self.table)).into());
        }
        if columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(self.column))
        {
            return Ok(());
        }
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        Err(missing(format!(
            "table {} has no column {}",
            self.table, self.column
        ))
        .hint(format!("it has: {}", names.join(", ")))
        .into())
    }
}

impl TimeColumn<'_> {
    /// The filter is put among other conditions, so it has to be one by itself and in brackets: `a) OR (b` is not. And its quoted names
    /// have to be columns, since SQLite takes one that is none for a text.
    pub fn require_filter(
        &self,
        connection: &Connection,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        self.compiles(connection)
            .map_err(|error| explain(error, path, stop))?
    }

    /// Refuses a filter that looks at other rows of its own table: with each row that goes it would mean others than were counted.
    pub fn require_own_row(
        &self,
        connection: &Connection,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let Some(filter) = self.filter else {
            return Ok(());
        };
        let reads = reads_itself(connection, self.table, filter);
        if !reads.map_err(|error| explain(error, path, stop))? {
            return Ok(());
        }
        Err(refused(format!(
            "where = '{filter}' looks at other rows of {}: with each row that goes it would mean others than were counted",
            self.table
        ))
        .hint("mark the rows that are meant in a column of their own, and ask for that column")
        .into())
    }

    fn compiles(&self, connection: &Connection) -> rusqlite::Result<anyhow::Result<()>> {
        let Some(filter) = self.filter else {
            return Ok(Ok(()));
        };
        let table = quote(self.table);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        let prepared = [filter.to_owned(), format!("(\n{filter}\n)")]
            .iter()
            .try_for_each(|one| {
                let sql = format!("SELECT 1 FROM main.{table} WHERE {one}");
                connection.prepare(&sql).map(drop)
            });
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, true)?;
        Ok(prepared.map_err(|error| {
            refused(format!(
                "where = '{filter}' is no condition on {}: {error}",
                self.table
            ))
            .hint("texts stand in single quotes, columns in double ones or none")
            .into()
        }))
    }
}

/// How SQLite would carry the filter out says which tables it opens: the table itself once, and again where a subquery reads it.
fn reads_itself(connection: &Connection, table: &str, filter: &str) -> rusqlite::Result<bool> {
    let pages: Vec<i64> = connection
        .prepare("SELECT rootpage FROM main.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND rootpage > 0")?
        .query_map([table], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = format!(
        "EXPLAIN SELECT 1 FROM main.{} NOT INDEXED WHERE (\n{filter}\n)",
        quote(table)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut opened = 0;
    while let Some(row) = rows.next()? {
        let (opcode, page, schema): (String, i64, i64) =
            (row.get("opcode")?, row.get("p2")?, row.get("p3")?);
        opened += u32::from(opcode == "OpenRead" && schema == 0 && pages.contains(&page));
    }
    Ok(opened > 1)
}

/// What was seen of one form.
struct Tally {
    /// `None`: no form.
    form: Option<TimeFormat>,
    /// Where the values before the cut-off end.
    bound: Bound,
    rows: u64,
    older: u64,
    first: Sample,
    least: Sample,
    most: Sample,
    last: Sample,
    last_is_older: bool,
    /// A number with a fraction, or that SQLite stores as one, was among them.
    real: bool,
}

enum Bound {
    Never,
    Number(f64),
    Text(Vec<u8>),
}

/// A value, in a buffer that is used again.
#[derive(Clone, Debug)]
enum Sample {
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Other(&'static str),
}

impl Sample {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(text.to_vec()),
            ValueRef::Blob(_) => Self::Other("a blob"),
            ValueRef::Null => Self::Other("NULL"),
        }
    }

    fn take(&mut self, value: ValueRef<'_>) {
        match (self, value) {
            (Self::Text(buffer), ValueRef::Text(text)) => {
                buffer.clear();
                buffer.extend_from_slice(text);
            }
            (own, value) => *own = Self::of(value),
        }
    }

    /// How a value of the same form compares with this one.
    fn against(&self, value: ValueRef<'_>) -> Option<std::cmp::Ordering> {
        match (value, self) {
            (ValueRef::Text(text), Self::Text(own)) => Some(text.cmp(own.as_slice())),
            (ValueRef::Integer(number), Self::Integer(own)) => Some(number.cmp(own)),
            (value, own) => float(value)?.partial_cmp(&own.float()?),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => None,
        }
    }

    fn moment(&self) -> Option<Timestamp> {
        moment(match self {
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Other(_) => return None,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Text(text) => {
                let text = String::from_utf8_lossy(text);
                let short: String = text.chars().take(40).collect();
                write!(f, "'{}'", short.escape_debug())
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

fn float(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        _ => None,
    }
}

impl Tally {
    fn new(form: Option<TimeFormat>, value: ValueRef<'_>, cutoff: Timestamp) -> Self {
        let seconds = cutoff.as_second();
        let bound = match form {
            None => Bound::Never,
            Some(form @ TimeFormat::Iso { .. }) => Bound::Text(form.spelled(cutoff).into_bytes()),
            Some(TimeFormat::Epoch { unit, text }) => {
                let number = seconds.saturating_mul(unit.per_second()).max(unit.least());
                match text {
                    true => Bound::Text(number.to_string().into_bytes()),
                    false => Bound::Number(number as f64),
                }
            }
            Some(TimeFormat::Julian) => Bound::Number(seconds as f64 / 86_400.0 + JULIAN_EPOCH),
        };
        Self {
            form,
            bound,
            rows: 0,
            older: 0,
            first: Sample::of(value),
            least: Sample::of(value),
            most: Sample::of(value),
            last: Sample::of(value),
            last_is_older: false,
            real: false,
        }
    }

    fn has_seconds(&self) -> bool {
        matches!(
            self.form,
            Some(TimeFormat::Iso {
                resolution: Resolution::Second,
                ..
            })
        )
    }

    fn add(&mut self, value: ValueRef<'_>) {
        use std::cmp::Ordering;
        self.rows += 1;
        self.real |= matches!(value, ValueRef::Real(_));
        self.last.take(value);
        self.last_is_older = match (&self.bound, value) {
            (Bound::Text(bound), ValueRef::Text(text)) => text < bound.as_slice(),
            (Bound::Number(bound), value) => float(value).is_some_and(|number| number < *bound),
            _ => false,
        };
        self.older += u64::from(self.last_is_older);
        if self.form.is_none() {
            return;
        }
        if self.least.against(value) == Some(Ordering::Less) {
            self.least.take(value);
        }
        if self.most.against(value) == Some(Ordering::Greater) {
            self.most.take(value);
        }
    }
}

/// All forms of a column. There are few: one by one is fast enough, and most often the first is it.
struct Tallies {
    cutoff: Timestamp,
    nulls: u64,
    all: Vec<Tally>,
    /// The one that was added to last.
    last: usize,
}

impl Tallies {
    fn new(cutoff: Timestamp) -> Self {
        Self {
            cutoff,
            nulls: 0,
            all: Vec::new(),
            last: 0,
        }
    }

    fn count(&mut self, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.add(row.get_ref(0)?);
        }
        Ok(())
    }

    fn add(&mut self, value: ValueRef<'_>) {
        if matches!(value, ValueRef::Null) {
            self.nulls += 1;
            return;
        }
        // In an index the same moments stand side by side, and those of one day.
        if let (ValueRef::Text(text), Some(tally)) = (value, self.all.get_mut(self.last))
            && let Sample::Text(last) = &tally.last
        {
            if last == text {
                tally.rows += 1;
                tally.older += u64::from(tally.last_is_older);
                return;
            }
            if tally.has_seconds() && is_same_day(last, text) {
                tally.add(value);
                return;
            }
        }
        let form = form(value);
        let at = match self.all.iter().position(|tally| tally.form == form) {
            Some(at) => at,
            None => {
                self.all.push(Tally::new(form, value, self.cutoff));
                self.all.len() - 1
            }
        };
        self.last = at;
        self.all[at].add(value);
    }

    fn verdict(self, column: &TimeColumn<'_>) -> anyhow::Result<Times> {
        let Some(format) = self.format() else {
            if self.all.is_empty() {
                return Ok(self.times(None));
            }
            return Err(self.refusal(column));
        };
        Ok(self.times(Some(format)))
    }

    /// The one form of all values; `None` where there is none.
    fn format(&self) -> Option<TimeFormat> {
        let (first, others) = self.all.split_first()?;
        let format = first.form?;
        if others.is_empty() {
            // Whole numbers of seven digits alone may count anything.
            let doubtful = format == TimeFormat::Julian && !first.real;
            return (!doubtful).then_some(format);
        }
        let TimeFormat::Iso {
            resolution,
            separator,
            ..
        } = format
        else {
            return None;
        };
        let format = TimeFormat::Iso {
            resolution,
            separator,
            zone: Zone::Varying,
        };
        let fits = |tally: &Tally| tally.form.is_some_and(|form| form.fits(&format));
        self.all.iter().all(fits).then_some(format)
    }

    fn times(&self, format: Option<TimeFormat>) -> Times {
        let sum = |of: fn(&Tally) -> u64| self.all.iter().map(of).sum::<u64>();
        Times {
            format,
            rows: self.nulls + sum(|tally| tally.rows),
            nulls: self.nulls,
            older: sum(|tally| tally.older),
            oldest: self
                .all
                .iter()
                .filter_map(|tally| tally.least.moment())
                .min(),
            newest: self
                .all
                .iter()
                .filter_map(|tally| tally.most.moment())
                .max(),
        }
    }

    fn refusal(mut self, column: &TimeColumn<'_>) -> anyhow::Error {
        self.all.sort_by_key(|tally| std::cmp::Reverse(tally.rows));
        let all = self.all.len();
        let mut found: Vec<_> = self
            .all
            .iter()
            .take(4)
            .map(|tally| {
                let what = match tally.form {
                    None => "no moment that could be told without doubt".to_owned(),
                    Some(TimeFormat::Julian) if all == 1 => {
                        "a Julian day or any other whole number".to_owned()
                    }
                    Some(form) => form.to_string(),
                };
                format!(
                    "{}: {what}, as {}",
                    units::count(tally.rows, "value"),
                    tally.first
                )
            })
            .collect();
        if all > found.len() {
            found.push(format!("{} more forms", all - found.len()));
        }
        let mixed = if all > 1 {
            "mixes forms of time"
        } else {
            "is no column of times"
        };
        refused(format!(
            "column {} of table {} {mixed}: {}",
            column.column,
            column.table,
            found.join("; ")
        ))
        .hint(format!(
            "look: SELECT typeof({0}), length({0}), count(*), min({0}), max({0}) FROM {1} GROUP BY 1, 2; bring them into one form, or leave rows out with a where",
            quote(column.column),
            quote(column.table)
        ))
        .into()
    }
}

//! What the application wrote down of its queries, grouped by shape. Memory does not grow with the log: each shape has counts and
//! one example, and there is a limit to shapes.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::error;
use crate::queries::{Copy, has_parameters, shape};
use crate::sqlite::{self, TableKind, TimeColumn, TimeFormat, quote};
use crate::sys::Stop;

/// Shapes that are kept; a slow one takes the place of a quick one.
const MOST_SHAPES: usize = 1_000;
/// A longer query is counted and not looked at.
const LONGEST: usize = 32 << 10;
/// A longer time for one query is none: three years, ms.
const LONGEST_MS: f64 = 1e11;
/// Other queries of a shape that are kept beside the slowest, and how long each may be.
const MOST_OTHERS: usize = 7;
const LONGEST_OTHER: usize = 2 << 10;
/// Names that a column with the moment has by convention.
const TIMES: [&str; 6] = [
    "timestamp",
    "created_at",
    "logged_at",
    "executed_at",
    "time",
    "at",
];

/// Where the queries are.
pub struct Place {
    /// `[query_review] table`.
    pub table: String,
    /// `[query_review] query_column`.
    pub query: String,
    /// `[query_review] duration_column`.
    pub duration: String,
    /// `[query_review] time_column`.
    pub time: Option<String>,
    /// Longer than this is slow, ms.
    pub slow_ms: f64,
    /// Entries before this are left out.
    pub since: Timestamp,
}

/// The log of one database.
pub struct Log {
    /// The table as it was declared.
    pub table: String,
    /// How its moments are written; none where it has none, or they cannot be told.
    pub format: Option<TimeFormat>,
    /// Why its moments could not be told.
    pub doubt: Option<String>,
    /// Entries that were looked at.
    pub rows: u64,
    /// Of them, those whose time is no number that a time can be, or without a query.
    pub unreadable: u64,
    /// Of them, those longer than what is looked at.
    pub too_long: u64,
    /// Slow and quick.
    pub groups: BTreeMap<String, Group>,
    /// More shapes than could be kept.
    pub overflowed: bool,
}

/// All queries of one shape.
pub struct Group {
    /// Without values.
    pub text: String,
    /// One of them, the slowest: it may hold values and is never shown.
    pub example: String,
    /// A few with other values, which may be planned in another way.
    pub others: Vec<String>,
    /// There were more with other values, or the text does not show them.
    pub varies: bool,
    /// How often it was logged.
    pub times: u64,
    /// The slow ones among them.
    pub slow: Durations,
}

/// What is kept of many durations: number, sum, largest, and how many there are of each to three digits.
#[derive(Default)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// Their sum, ms.
    pub total: f64,
    /// The longest, ms.
    pub max: f64,
    buckets: BTreeMap<u64, u64>,
}

impl Durations {
    fn add(&mut self, ms: f64) {
        self.count += 1;
        self.total += ms;
        self.max = self.max.max(ms);
        *self.buckets.entry(three_digits(ms)).or_default() += 1;
    }

    /// The smallest duration that so many percent do not exceed (nearest rank), to three digits, ms.
    pub fn percentile(&self, percent: u64) -> f64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (ms, number) in &self.buckets {
            seen += number;
            if seen >= rank {
                return (*ms as f64).min(self.max);
            }
        }
        self.max
    }
}

fn three_digits(ms: f64) -> u64 {
    let ms = ms.clamp(0.0, 1e15).round() as u64;
    let mut step = 1;
    while ms / step >= 1_000 {
        step *= 10;
    }
    (ms + step / 2) / step * step
}

/// Reads it; `Err(why)` inside where the database has no such log.
pub fn read(
    connection: &Connection,
    place: &Place,
    copy: &Copy,
    path: &Path,
    stop: &Stop,
) -> anyhow::Result<Result<Log, Absent>> {
    let wrong = |error| sqlite::explain(error, path, stop);
    let kind = sqlite::table_kind(connection, &place.table).map_err(wrong)?;
    let table = match kind {
        None => return Ok(Err(Absent::NoTable)),
        Some((table, TableKind::Table | TableKind::WithoutRowid)) => table,
        Some((table, _)) => {
            return Ok(Err(Absent::Unfit(format!(
                "{table} is not an ordinary table: nothing bounds what reading it does"
            ))));
        }
    };
    let columns = sqlite::columns(connection, &table).map_err(wrong)?;
    let has = |name: &str| {
        let found = columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name));
        found.map(|column| column.name.clone())
    };
    let (Some(query), Some(duration)) = (has(&place.query), has(&place.duration)) else {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        return Ok(Err(Absent::Unfit(format!(
            "{table} has no column {} or no column {}; it has: {}",
            place.query,
            place.duration,
            names.join(", ")
        ))));
    };
    let time = match &place.time {
        Some(name) => has(name),
        None => TIMES.iter().find_map(|name| has(name)),
    };
    let mut log = Log {
        table,
        format: None,
        doubt: None,
        rows: 0,
        unreadable: 0,
        too_long: 0,
        groups: BTreeMap::new(),
        overflowed: false,
    };
    match (&time, &place.time) {
        (Some(column), _) => {
            let column = TimeColumn {
                table: &log.table,
                column,
                filter: None,
            };
            match column.look(connection, place.since, path, stop) {
                Ok(times) => log.format = times.format,
                Err(error) if error::kind_of(&error) == error::Kind::Refused => {
                    log.doubt = Some(format!("{error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
        (None, Some(name)) => log.doubt = Some(format!("{} has no column {name}", log.table)),
        (None, None) => {}
    }
    let quoted = quote(&query);
    let wanted = [
        format!("CASE WHEN octet_length({quoted}) <= {LONGEST} THEN {quoted} END"),
        format!("octet_length({quoted})"),
        quote(&duration),
        time.as_deref().map_or_else(|| "NULL".to_owned(), quote),
    ];
    let table = log.table.clone();
    sqlite::scroll(connection, &table, &wanted, path, stop, |row| {
        if let Some(format) = &log.format {
            let at = format.read(row.get_ref(3)?);
            if at.is_some_and(|at| at < place.since) {
                return Ok(());
            }
        }
        log.rows += 1;
        let length: Option<i64> = row.get(1)?;
        let (Some(ms), Some(length)) = (milliseconds(row.get_ref(2)?), length) else {
            log.unreadable += 1;
            return Ok(());
        };
        match row.get_ref(0)? {
            ValueRef::Text(text) => {
                log.add(&String::from_utf8_lossy(text), ms, place.slow_ms, copy)
            }
            _ if length > LONGEST as i64 => log.too_long += 1,
            _ => log.unreadable += 1,
        }
        Ok(())
    })?;
    Ok(Ok(log))
}

/// Why a database has no log that can be read.
pub enum Absent {
    /// There is no such table.
    NoTable,
    /// There is one, and it is not what it should be.
    Unfit(String),
}

fn milliseconds(value: ValueRef<'_>) -> Option<f64> {
    let number = match value {
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok()?,
        _ => return None,
    };
    (0.0..=LONGEST_MS).contains(&number).then_some(number)
}

impl Group {
    fn new(text: String, sql: &str) -> Self {
        Self {
            text,
            example: sql.to_owned(),
            others: Vec::new(),
            varies: has_parameters(sql),
            times: 0,
            slow: Durations::default(),
        }
    }

    fn add(&mut self, sql: &str, ms: f64, slow: bool) {
        self.times += 1;
        if slow && ms > self.slow.max && sql != self.example {
            let before = std::mem::replace(&mut self.example, sql.to_owned());
            self.others.retain(|other| other != sql);
            self.keep(&before);
            self.varies |= has_parameters(sql);
        }
        if slow {
            self.slow.add(ms);
        }
        if !self.varies && sql != self.example {
            self.keep(sql);
        }
    }

    fn keep(&mut self, sql: &str) {
        if self.others.iter().any(|other| other == sql) {
            return;
        }
        match self.others.len() < MOST_OTHERS && sql.len() <= LONGEST_OTHER {
            true => self.others.push(sql.to_owned()),
            false => self.varies = true,
        }
        self.varies |= has_parameters(sql);
    }

    /// All that are kept, the slowest first.
    pub fn examples(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.example.as_str()).chain(self.others.iter().map(String::as_str))
    }
}

impl Log {
    fn add(&mut self, sql: &str, ms: f64, slow_ms: f64, copy: &Copy) {
        let slow = ms > slow_ms;
        let shape = shape(sql, &|name| copy.knows(name));
        if !self.groups.contains_key(&shape.id) && self.groups.len() >= MOST_SHAPES {
            self.overflowed = true;
            let quick = self.groups.iter().find(|(_, group)| group.slow.count == 0);
            match quick.map(|(id, _)| id.clone()).filter(|_| slow) {
                Some(id) => self.groups.remove(&id),
                None => return,
            };
        }
        self.groups
            .entry(shape.id)
            .or_insert_with(|| Group::new(shape.text, sql))
            .add(sql, ms, slow);
    }

    /// The slow shapes, those that take most time first.
    pub fn slow(&self) -> Vec<(&str, &Group)> {
        let mut found: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, group)| group.slow.count > 0)
            .map(|(id, group)| (id.as_str(), group))
            .collect();
        found.sort_by(|one, other| other.1.slow.total.total_cmp(&one.1.slow.total));
        found
    }

    /// How many entries were slow.
    pub fn slow_count(&self) -> u64 {
        self.groups.values().map(|group| group.slow.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks_to_three_digits() {
        let mut durations = Durations::default();
        for ms in 1..=100 {
            durations.add(f64::from(ms) * 1001.0);
        }
        assert_eq!(durations.percentile(50), 50_100.0);
        assert_eq!(durations.percentile(95), 95_100.0);
        assert_eq!(durations.percentile(100), 100_000.0);
        assert_eq!(durations.max, 100_100.0);
        let mut one = Durations::default();
        one.add(1234.4);
        assert_eq!((one.percentile(50), one.percentile(95)), (1230.0, 1230.0));
    }

    #[test]
    fn a_duration_is_a_number_however_it_is_stored() {
        assert_eq!(milliseconds(ValueRef::Text(b" 1500.5 ")), Some(1500.5));
        assert_eq!(milliseconds(ValueRef::Integer(7)), Some(7.0));
        for wrong in [
            ValueRef::Null,
            ValueRef::Text(b"slow"),
            ValueRef::Real(f64::NAN),
            ValueRef::Integer(-1),
            ValueRef::Real(1e23),
            ValueRef::Real(1e300),
            ValueRef::Text(b"1e300"),
            ValueRef::Integer(i64::MAX),
        ] {
            assert_eq!(milliseconds(wrong), None);
        }
    }

    #[test]
    fn a_few_queries_of_a_shape_are_kept() {
        let mut group = Group::new("q ?".into(), "q 0");
        for number in 0..5 {
            group.add(&format!("q {number}"), 1.0, false);
        }
        group.add("q 3", 2000.0, true);
        let kept: Vec<_> = group.examples().collect();
        assert_eq!(kept, ["q 3", "q 1", "q 2", "q 4", "q 0"]);
        assert!(!group.varies);
        for number in 5..9 {
            group.add(&format!("q {number}"), 1.0, false);
        }
        assert!(group.varies && group.examples().count() == MOST_OTHERS + 1);
        assert!(Group::new("q ?".into(), "q ?").varies);
    }
}

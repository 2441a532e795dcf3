//! The schema and the statistics of a database, without its rows, in memory: a place where an index costs nothing, and where the
//! planner decides as it would over there (<https://sqlite.org/optoverview.html>, <https://sqlite.org/fileformat2.html#the_sqlite_stat1_table>).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::explain::{Explainer, Gate, Plan};
use super::mentions::Key;
use crate::sqlite::{self, LISTING, quote};
use crate::sys::Stop;

/// The longest definition that is copied.
const LONGEST: i64 = 1 << 20;
/// Statistics are the database's own, but anybody may have written them.
const LONGEST_STATISTIC: u32 = 100_000;
const MOST_STATISTICS: u32 = 100_000;
/// Rows that are looked at to tell how often the values of a column repeat.
const SAMPLE: u64 = 10_000;
const PLACES: u64 = 100;
/// A value longer than this counts by its length: what is compared is how often values repeat.
const LONG_VALUE: u64 = 256;

/// The copy.
pub struct Copy {
    explainer: Explainer,
    /// Rows of each ordinary table, by its name.
    rows: BTreeMap<String, u64>,
    /// What the statistics say of it.
    believed: BTreeMap<String, u64>,
    /// The definitions of the views, by name.
    pub(super) views: BTreeMap<String, String>,
    /// The names of tables, views and indices, and those of columns, in lower case.
    names: BTreeSet<String>,
    columns: BTreeSet<String>,
    /// Definitions that could not be copied.
    pub left_out: Vec<String>,
}

/// An index that is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its table.
    pub table: String,
    /// Its columns.
    pub keys: Vec<Key>,
}

/// What a few rows of a table say of some of its columns.
pub struct Sample {
    columns: Vec<String>,
    rows: Vec<Vec<u64>>,
}

impl Copy {
    /// Copies what `live` has. `rows` are those of its ordinary tables.
    pub fn of(
        live: &Connection,
        rows: BTreeMap<String, u64>,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let wrong = |error| sqlite::explain(error, path, stop);
        let explainer = Explainer::on(sqlite::open_memory(stop)?, Gate::Schema, stop)?;
        let mut copy = Self {
            explainer,
            rows,
            believed: BTreeMap::new(),
            views: BTreeMap::new(),
            names: BTreeSet::new(),
            columns: BTreeSet::new(),
            left_out: Vec::new(),
        };
        copy.schema(live).map_err(wrong)?;
        copy.statistics(live).map_err(wrong)?;
        copy.explainer.open_gate(Gate::Rows);
        Ok(copy)
    }

    fn schema(&mut self, live: &Connection) -> rusqlite::Result<()> {
        let mut statement = live.prepare(
            "SELECT type, name, CASE WHEN octet_length(sql) <= ?1 THEN sql END FROM sqlite_schema
             WHERE sql IS NOT NULL AND type IN ('table', 'index', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY type = 'index', type = 'view'",
        )?;
        let mut rows = statement.query([LONGEST])?;
        while let Some(row) = rows.next()? {
            let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
            let sql: Option<String> = row.get(2)?;
            self.names.insert(name.to_ascii_lowercase());
            let made = sql.as_deref().is_some_and(|sql| {
                let mut made = self.explainer.connection.prepare(sql);
                made.as_mut().is_ok_and(|made| made.execute([]).is_ok())
            });
            if !made {
                self.left_out.push(name);
            } else if kind == "view" {
                self.views.insert(name, sql.unwrap_or_default());
            }
        }
        let mut statement = live.prepare(&format!(
            "SELECT name, type = 'virtual' FROM {LISTING} WHERE type <> 'view'"
        ))?;
        let mut tables = statement.query([])?;
        while let Some(row) = tables.next()? {
            let (name, is_virtual): (String, bool) = (row.get(0)?, row.get(1)?);
            match sqlite::columns(live, &name) {
                Ok(columns) => {
                    let names = columns.iter().map(|one| one.name.to_lowercase());
                    self.columns.extend(names);
                }
                // A module that only the application has; it is among those left out.
                Err(_) if is_virtual => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn statistics(&mut self, live: &Connection) -> rusqlite::Result<()> {
        let own = &self.explainer.connection;
        own.execute_batch("ANALYZE")?;
        for (table, columns, largest) in [
            ("sqlite_stat1", "tbl, idx, stat", "stat"),
            ("sqlite_stat4", "tbl, idx, neq, nlt, ndlt, sample", "sample"),
        ] {
            if sqlite::table_kind(live, table)?.is_none() {
                continue;
            }
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            let mut insert = own.prepare(&format!("INSERT INTO {table} VALUES ({marks})"))?;
            let mut statement = live.prepare(&format!(
                "SELECT {columns} FROM main.{table} WHERE octet_length({largest}) < {LONGEST_STATISTIC} LIMIT {MOST_STATISTICS}"
            ))?;
            let number = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let values = (0..number)
                    .map(|column| row.get::<_, rusqlite::types::Value>(column))
                    .collect::<rusqlite::Result<Vec<_>>>();
                // What is no text is no name of anything.
                let Ok(values) = values else { continue };
                insert.execute(rusqlite::params_from_iter(values))?;
            }
        }
        for (table, rows) in believed_rows(live)? {
            self.believed.insert(table, rows);
        }
        own.execute_batch("ANALYZE sqlite_schema")
    }

    /// The plan of any statement that reads or changes rows; there are none here to change.
    pub fn explain(&self, sql: &str) -> Result<Plan, String> {
        self.explainer.explain(sql)
    }

    /// Rows of a table, none for one that is not an ordinary table.
    pub fn rows(&self, table: &str) -> Option<u64> {
        self.rows.get(table).copied()
    }

    /// True where something has this name already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(&name.to_ascii_lowercase())
    }

    /// True where a table, view, index or column has this name.
    pub fn knows(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.contains(&name) || self.columns.contains(&name)
    }

    /// Makes the candidates, asks, and takes them away again. `name_of` is under which name a candidate is in a plan.
    pub(super) fn with<T>(
        &self,
        candidates: &[&Candidate],
        samples: &BTreeMap<String, Sample>,
        ask: impl FnOnce(&Self) -> T,
    ) -> rusqlite::Result<T> {
        self.explainer.open_gate(Gate::Schema);
        let own = &self.explainer.connection;
        let make = || -> rusqlite::Result<()> {
            for (number, candidate) in candidates.iter().enumerate() {
                let name = name_of(number);
                own.execute_batch(&candidate.sql(&name))?;
                if let Some(stat) = self.estimate(candidate, samples) {
                    own.execute(
                        "INSERT INTO sqlite_stat1 VALUES (?1, ?2, ?3)",
                        [&candidate.table, &name, &stat],
                    )?;
                }
            }
            own.execute_batch("ANALYZE sqlite_schema")
        };
        let made = make();
        self.explainer.open_gate(Gate::Rows);
        let answer = made.map(|()| ask(self));
        self.explainer.open_gate(Gate::Schema);
        for number in 0..candidates.len() {
            own.execute_batch(&format!("DROP INDEX IF EXISTS {}", quote(&name_of(number))))?;
        }
        own.execute_batch("ANALYZE sqlite_schema")?;
        self.explainer.open_gate(Gate::Rows);
        answer
    }

    /// What ANALYZE would write for it, as far as the sample says.
    fn estimate(
        &self,
        candidate: &Candidate,
        samples: &BTreeMap<String, Sample>,
    ) -> Option<String> {
        let rows = self
            .believed
            .get(&candidate.table)
            .or_else(|| self.rows.get(&candidate.table))?;
        let sample = samples.get(&candidate.table)?;
        let each: Vec<_> = (1..=candidate.keys.len())
            .map(|number| {
                sample
                    .rows_a_key(&candidate.keys[..number], *rows)
                    .to_string()
            })
            .collect();
        Some(format!("{rows} {}", each.join(" ")))
    }
}

/// The name of the candidate with this number.
pub(super) fn name_of(number: usize) -> String {
    format!("empire-maint candidate {number}")
}

impl Candidate {
    /// The statement that makes it.
    pub fn sql(&self, name: &str) -> String {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                let falling = if key.falling { " DESC" } else { "" };
                format!("{}{falling}", quote(&key.column))
            })
            .collect();
        format!(
            "CREATE INDEX {} ON {}({})",
            quote(name),
            quote(&self.table),
            keys.join(", ")
        )
    }
}

/// The first number of `sqlite_stat1` for each table: its rows when ANALYZE last looked.
pub fn believed_rows(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    if sqlite::table_kind(connection, "sqlite_stat1")?.is_none() {
        return Ok(found);
    }
    let mut statement =
        connection.prepare("SELECT tbl, stat FROM main.sqlite_stat1 WHERE typeof(stat) = 'text' AND octet_length(stat) < 10000")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (Ok(table), Ok(stat)) = (row.get::<_, String>(0), row.get::<_, String>(1)) else {
            continue;
        };
        let first = stat.split_whitespace().next();
        if let Some(number) = first.and_then(|first| first.parse::<u64>().ok()) {
            let known = found.entry(table).or_insert(0);
            *known = number.max(*known);
        }
    }
    Ok(found)
}

impl Sample {
    /// Looks at some rows of `table`, all over it where it has rowids.
    pub fn of(
        live: &Connection,
        table: &str,
        columns: Vec<String>,
        total: u64,
    ) -> rusqlite::Result<Self> {
        let wanted: Vec<_> = columns
            .iter()
            .map(|column| {
                let column = quote(column);
                format!("CASE WHEN octet_length({column}) > {LONG_VALUE} THEN octet_length({column}) ELSE {column} END")
            })
            .collect();
        let select = format!("SELECT {} FROM main.{}", wanted.join(", "), quote(table));
        let mut rows = Vec::new();
        let rowid = sqlite::rowid(live, table)?;
        match rowid.filter(|_| total > SAMPLE) {
            None => read(live, &format!("{select} LIMIT {SAMPLE}"), [], &mut rows)?,
            Some(rowid) => {
                let ends = format!(
                    "SELECT min({rowid}), max({rowid}) FROM main.{}",
                    quote(table)
                );
                let (first, last): (Option<i64>, Option<i64>) =
                    live.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
                let step = (i128::from(last) - i128::from(first)) / i128::from(PLACES);
                let sql = format!(
                    "{select} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT {}",
                    SAMPLE / PLACES
                );
                for place in 0..PLACES {
                    let from = i128::from(first) + step * i128::from(place);
                    let from = i64::try_from(from).unwrap_or(first);
                    read(live, &sql, [from], &mut rows)?;
                }
            }
        }
        Ok(Self { columns, rows })
    }

    /// How many rows share one value of these columns, on average, in a table of `total` rows. The number of different values is
    /// estimated from those seen once and those seen more often (GEE, Charikar et al. 2000).
    pub fn rows_a_key(&self, keys: &[Key], total: u64) -> u64 {
        let places: Vec<_> = keys
            .iter()
            .filter_map(|key| self.columns.iter().position(|column| *column == key.column))
            .collect();
        let mut seen: HashMap<Vec<u64>, u64> = HashMap::new();
        for row in &self.rows {
            let key = places.iter().map(|place| row[*place]).collect();
            *seen.entry(key).or_default() += 1;
        }
        let looked = self.rows.len() as f64;
        let once = seen.values().filter(|number| **number == 1).count() as f64;
        let often = seen.len() as f64 - once;
        let scale = (total as f64 / looked.max(1.0)).max(1.0).sqrt();
        let different = (scale * once + often).clamp(1.0, total.max(1) as f64);
        (total as f64 / different).ceil().max(1.0) as u64
    }
}

fn read<P: rusqlite::Params>(
    live: &Connection,
    sql: &str,
    parameters: P,
    found: &mut Vec<Vec<u64>>,
) -> rusqlite::Result<()> {
    let mut statement = live.prepare(sql)?;
    let number = statement.column_count();
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        let digests = (0..number)
            .map(|column| Ok(digest(row.get_ref(column)?)))
            .collect::<rusqlite::Result<_>>()?;
        found.push(digests);
    }
    Ok(())
}

fn digest(value: ValueRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match value {
        ValueRef::Null => 0u8.hash(&mut hasher),
        ValueRef::Integer(number) => (number as f64).to_bits().hash(&mut hasher),
        ValueRef::Real(number) => number.to_bits().hash(&mut hasher),
        ValueRef::Text(text) => (1u8, text).hash(&mut hasher),
        ValueRef::Blob(blob) => (2u8, blob).hash(&mut hasher),
    }
    hasher.finish()
}

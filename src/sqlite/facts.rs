//! What is true of a database inside one snapshot: its soundness, schema, row counts and the age of its data.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at_once::at_once;
use super::integrity::{self, Verdict};
use super::moment::moment;
use super::open::{is_the_applications, open_private_at_once};
use super::{columns, explain, quote};
use crate::error::{Failure, Kind};
use crate::sys::Stop;

/// Part of every manifest; computed again from each restored copy and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Bytes a page.
    pub page_size: u32,
    /// Pages in the snapshot.
    pub page_count: u64,
    /// BLAKE3 over type, name, table and SQL of every schema entry.
    pub schema_hash: String,
    /// Rows of every ordinary and shadow table.
    pub tables: BTreeMap<String, u64>,
    /// Rows that point to no parent.
    pub foreign_key_violations: u64,
    /// Values that NOT NULL or a CHECK of the schema would not take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub constraint_violations: u64,
    /// Foreign keys that SQLite cannot check, because what they point to is not unique or not there; in its words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_key_mismatches: Vec<String>,
    /// Tables that only the application can check, and why, in SQLite's words: it defines a collation or a function that they use.
    /// Their pages were looked at, their content was not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unchecked: BTreeMap<String, String>,
    /// Newest value of the freshness columns.
    #[schemars(with = "Option<String>")]
    pub data_as_of: Option<Timestamp>,
    /// The freshness columns as they were configured then, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub freshness: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Facts {
    /// Which check this was, in words: `check` is its name.
    pub fn checked_by(&self, check: &str) -> String {
        match self.unchecked.is_empty() {
            true => check.to_owned(),
            false => {
                let tables: Vec<_> = self.unchecked.keys().map(String::as_str).collect();
                format!("{check}, not of {}", tables.join(", "))
            }
        }
    }

    /// The same for the operator: what is not known to be sound; `None` where all is.
    pub fn doubt(&self) -> Option<String> {
        let named = |(table, reason): (&String, &String)| format!("{table} ({reason})");
        let named: Vec<_> = self.unchecked.iter().map(named).collect();
        (!named.is_empty()).then(|| {
            format!(
                "not checked, since only the application can: {}; their pages and all other tables are",
                named.join(", ")
            )
        })
    }

    /// In which points another set of facts differs. The age of the data counts where both looked at the same columns.
    pub fn differs(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if (self.page_size, self.page_count) != (other.page_size, other.page_count) {
            found.push(format!(
                "{} pages of {} bytes instead of {} of {}",
                other.page_count, other.page_size, self.page_count, self.page_size
            ));
        }
        if self.schema_hash != other.schema_hash {
            found.push("another schema".to_owned());
        }
        for (table, rows) in &self.tables {
            let found_rows = other.tables.get(table);
            if found_rows != Some(rows) {
                let shown = found_rows.map_or("no".to_owned(), u64::to_string);
                found.push(format!("table {table} has {shown} rows instead of {rows}"));
            }
        }
        if self.freshness == other.freshness && self.data_as_of != other.data_as_of {
            found.push("data of another age".to_owned());
        }
        found
    }
}

/// quick_check, foreign_key_check, schema hash, row counts and data age, on connections that all see one state: where there are more
/// than one, the others count while the first checks. A corrupt database is an error; a foreign-key violation is a figure.
pub fn facts(
    connections: &mut [&mut Connection],
    path: &Path,
    freshness: &BTreeMap<String, String>,
    stop: &Stop,
) -> anyhow::Result<Facts> {
    let (verdict, counts) = match connections {
        [] => anyhow::bail!("no connection to look at {} with", path.display()),
        [one] => (integrity::quick(one), None),
        [one, others @ ..] => {
            let counts = move || Counts::on(others, BTreeMap::new());
            let (verdict, counts) = beside(|| integrity::quick(one), counts);
            (verdict, Some(counts))
        }
    };
    let verdict = verdict.map_err(|error| explain(error, path, stop))?;
    judged(verdict, counts, connections, path, freshness, stop)
}

/// The same with the full integrity_check, which compares every index with its table.
pub fn full_check(
    connections: &mut [&mut Connection],
    path: &Path,
    freshness: &BTreeMap<String, String>,
    stop: &Stop,
) -> anyhow::Result<Facts> {
    let verdict = integrity::full(connections, path, stop)?;
    judged(verdict, None, connections, path, freshness, stop)
}

/// Both at once: the second one on a thread of its own.
fn beside<A, B: Send>(first: impl FnOnce() -> A, second: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        let second = second
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (first, second)
    })
}

fn judged(
    mut verdict: Verdict,
    counts: Option<rusqlite::Result<Counts>>,
    connections: &mut [&mut Connection],
    path: &Path,
    freshness: &BTreeMap<String, String>,
    stop: &Stop,
) -> anyhow::Result<Facts> {
    if !verdict.problems.is_empty() {
        return Err(integrity::damage(path, &verdict.problems).into());
    }
    let known = std::mem::take(&mut verdict.rows);
    counts
        .unwrap_or_else(|| Counts::on(connections, known))
        .and_then(|counts| look(connections[0], counts, verdict, freshness))
        .map_err(|error| explain(error, path, stop))
}

/// A full check of a copy that nobody else can be writing, which has to have these tables.
pub fn check_copy(
    copy: &Path,
    expected: &[String],
    freshness: &BTreeMap<String, String>,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<Facts> {
    let mut connections = open_private_at_once(copy, threads, stop)?;
    if let Some(first) = connections.first() {
        require_tables(first, copy, expected, stop)?;
    }
    let mut connections: Vec<_> = connections.iter_mut().collect();
    full_check(&mut connections, copy, freshness, stop)
}

/// What takes a walk through the tables.
#[derive(Default)]
struct Counts {
    /// Rows, by table.
    rows: BTreeMap<String, u64>,
    keys: ForeignKeys,
}

/// A part of it.
enum Count {
    Rows(String),
    Keys(String),
}

impl Counts {
    /// The rows of some tables may be known.
    fn on(
        connections: &mut [&mut Connection],
        known: BTreeMap<String, u64>,
    ) -> rusqlite::Result<Self> {
        let mut all = Self {
            rows: known,
            ..Self::default()
        };
        let names = match connections {
            [] => return Ok(all),
            [first, ..] => table_names(first)?,
        };
        let rows = names.iter().filter(|name| !all.rows.contains_key(*name));
        let rows = rows.cloned().map(Count::Rows);
        let parts: Vec<_> = rows.chain(names.iter().cloned().map(Count::Keys)).collect();
        let found = at_once(connections, parts, |connection, part| {
            let mut own = Self::default();
            match part {
                Count::Rows(table) => {
                    let rows = rows_of(connection, &table)?;
                    own.rows.extend(rows.map(|rows| (table, rows)));
                }
                Count::Keys(table) => own.keys = ForeignKeys::of(connection, table)?,
            }
            Ok(own)
        })?;
        for own in found {
            all.rows.extend(own.rows);
            all.keys.add(own.keys);
        }
        all.keys.mismatches.sort();
        Ok(all)
    }
}

fn look(
    connection: &Connection,
    Counts { rows, keys }: Counts,
    verdict: Verdict,
    freshness: &BTreeMap<String, String>,
) -> rusqlite::Result<Facts> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut unchecked = keys.unchecked;
    unchecked.extend(verdict.unchecked);
    Ok(Facts {
        page_size: u32::try_from(number("PRAGMA page_size")?).unwrap_or(0),
        page_count: u64::try_from(number("PRAGMA page_count")?).unwrap_or(0),
        schema_hash: schema_hash(connection)?,
        tables: rows,
        foreign_key_violations: keys.violations,
        constraint_violations: verdict.violations,
        foreign_key_mismatches: keys.mismatches,
        unchecked,
        data_as_of: data_as_of(connection, freshness)?,
        freshness: freshness.clone(),
    })
}

fn strings(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn count_rows(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut number = 0;
    while rows.next()?.is_some() {
        number += 1;
    }
    Ok(number)
}

/// What foreign_key_check says.
#[derive(Default)]
struct ForeignKeys {
    /// Rows without a parent.
    violations: u64,
    /// Keys that cannot be checked, in SQLite's words.
    mismatches: Vec<String>,
    /// Tables that only the application can check, and why.
    unchecked: BTreeMap<String, String>,
}

impl ForeignKeys {
    /// Those of a table. One that cannot be checked is no error: an application that never turned foreign keys on may live with it
    /// for years, and wants its backup all the same.
    fn of(connection: &Connection, table: String) -> rusqlite::Result<Self> {
        let mut keys = Self::default();
        let sql = format!("PRAGMA main.foreign_key_check({})", quote(&table));
        match count_rows(connection, &sql) {
            Ok(rows) => keys.violations = rows,
            Err(error) => {
                let message = error.to_string();
                match (
                    message.find("foreign key mismatch"),
                    is_the_applications(&error),
                ) {
                    (Some(at), _) => keys.mismatches.push(message[at..].to_owned()),
                    (None, Some(reason)) => {
                        keys.unchecked.insert(table, reason);
                    }
                    (None, None) => return Err(error),
                }
            }
        }
        Ok(keys)
    }

    fn add(&mut self, other: Self) {
        self.violations += other.violations;
        self.mismatches.extend(other.mismatches);
        self.unchecked.extend(other.unchecked);
    }
}

fn schema_hash(connection: &Connection) -> rusqlite::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name, tbl_name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            let bytes = row.get_ref(column)?.as_bytes().unwrap_or_default();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    strings(
        connection,
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage <> 0",
    )
}

/// Rows of every ordinary and shadow table. Views run somebody else's SQL and virtual tables somebody else's code: not counted.
pub fn row_counts(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut counted = BTreeMap::new();
    for name in table_names(connection)? {
        let rows = rows_of(connection, &name)?;
        counted.extend(rows.map(|rows| (name, rows)));
    }
    Ok(counted)
}

fn rows_of(connection: &Connection, table: &str) -> rusqlite::Result<Option<u64>> {
    let sql = format!("SELECT count(*) FROM main.{}", quote(table));
    let rows = without_its_indexes(&sql, |sql| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0))
    })?;
    Ok(rows.map(|rows| u64::try_from(rows).unwrap_or(0)))
}

/// Asks again without indexes where one needs what only the application has; `None` where the table itself does.
fn without_its_indexes<T>(
    sql: &str,
    ask: impl Fn(&str) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match ask(sql) {
        Err(error) if is_the_applications(&error).is_some() => {}
        other => return other.map(Some),
    }
    match ask(&format!("{sql} NOT INDEXED")) {
        Err(error) if is_the_applications(&error).is_some() => Ok(None),
        other => other.map(Some),
    }
}

/// Bytes of the database with its write-ahead log folded in, and how many of them hold nothing.
pub fn allocated(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map(|number| u64::try_from(number).unwrap_or(0))
    };
    let page = number("PRAGMA page_size")?;
    Ok((
        number("PRAGMA page_count")? * page,
        number("PRAGMA freelist_count")? * page,
    ))
}

/// Refuses a database without its expected tables, or without any: whatever it is, it is not the one that was meant.
pub fn require_tables(
    connection: &Connection,
    path: &Path,
    expected: &[String],
    stop: &Stop,
) -> anyhow::Result<()> {
    let tables = strings(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table'",
    )
    .map_err(|error| explain(error, path, stop))?;
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !tables.iter().any(|table| table.eq_ignore_ascii_case(name)))
        .map(String::as_str)
        .collect();
    if tables.is_empty() {
        return Err(Failure::new(
            Kind::Damaged,
            format!("{} has no tables at all", path.display()),
        )
        .hint("is this the right file? [[database]] path")
        .into());
    }
    if !missing.is_empty() {
        return Err(Failure::new(
            Kind::Damaged,
            format!(
                "{} lacks the expected tables: {}",
                path.display(),
                missing.join(", ")
            ),
        )
        .hint("is this the right database? [[database]] path and expect_tables")
        .into());
    }
    Ok(())
}

fn data_as_of(
    connection: &Connection,
    freshness: &BTreeMap<String, String>,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut newest = None;
    for (table, column) in freshness {
        // SQLite takes a quoted name that is no column for a text, and a table that is gone is no reason to have no backup.
        let there = columns(connection, table)?;
        if !there
            .iter()
            .any(|one| one.name.eq_ignore_ascii_case(column))
        {
            continue;
        }
        let sql = format!("SELECT max({}) FROM main.{}", quote(column), quote(table));
        let value = without_its_indexes(&sql, |sql| {
            connection.query_row(sql, [], |row| Ok(moment(row.get_ref(0)?)))
        })?;
        newest = newest.max(value.flatten());
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn facts_of_a_database_with_odd_names() {
        let mut connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE \"a \"\"b\"\" c\"(x INTEGER PRIMARY KEY);
                 INSERT INTO \"a \"\"b\"\" c\" VALUES (1), (2);
                 CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
                 CREATE VIRTUAL TABLE f USING fts5(body);
                 INSERT INTO f VALUES ('hello');
                 CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c;
                 CREATE TABLE trades(created_at);
                 INSERT INTO trades VALUES ('2026-11-24 03:00:00'), ('2025-01-01 00:00:00');
                 CREATE TABLE child(p REFERENCES w(k));
                 INSERT INTO child VALUES ('nobody');",
            )
            .or_else(|_| connection.execute_batch("PRAGMA foreign_keys=OFF; INSERT INTO child VALUES ('nobody')"))
            .expect("creates");
        let stop = Stop::after(Duration::from_secs(60));
        let freshness = BTreeMap::from([("trades".to_owned(), "created_at".to_owned())]);
        let facts = full_check(
            &mut [&mut connection],
            Path::new("memory"),
            &freshness,
            &stop,
        )
        .expect("sound");
        assert_eq!(facts.tables["a \"b\" c"], 2);
        assert_eq!(facts.tables["f_content"], 1);
        assert!(!facts.tables.contains_key("endless"));
        assert_eq!(facts.foreign_key_violations, 1);
        assert_eq!(
            facts.data_as_of.map(|t| t.to_string()).as_deref(),
            Some("2026-11-24T03:00:00Z")
        );
    }
}

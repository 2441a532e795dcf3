//! An ordinary table: its columns, what tells one row from another, and which rows of other tables point to a row.

use std::path::Path;

use rusqlite::{Connection, Statement};

use super::columns::{Column, columns, free_rowid};
use super::listing::is_strict_table;
use super::{TableKind, explain, quote, table_kind};
use crate::error::refused;
use crate::sys::Stop;

/// Looking for rows of a child goes through all of it where no index helps: up to so many rows that is short.
const FEW_CHILDREN: i64 = 2_000;

/// A table whose rows can be told apart, looked at one after another, and removed.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns in their order.
    pub columns: Vec<Column>,
    /// The columns that tell one row from another, or the one name of the rowid that no column has taken.
    pub key: Vec<String>,
    /// Its values have the types that are declared, and ANY leaves them as they are.
    pub strict: bool,
}

/// Rows of `child` point to rows of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table with the foreign key.
    pub child: String,
    /// Its columns, and the columns of the table that they name.
    pub pairs: Vec<(String, String)>,
    /// The schema says what becomes of the child: CASCADE, SET NULL or SET DEFAULT. Otherwise the row cannot go.
    pub has_action: bool,
    /// The child goes along.
    pub cascades: bool,
    /// An index of the child begins with these columns, so that looking for pointing rows is short.
    pub indexed: bool,
}

impl Table {
    /// The table of that name; `None` where there is nothing of that name. A view or virtual table is refused: deleting from it
    /// runs somebody else's code.
    pub fn find(
        connection: &Connection,
        name: &str,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Option<Self>> {
        let wrong = |error| explain(error, path, stop);
        let Some((name, kind)) = table_kind(connection, name).map_err(wrong)? else {
            return Ok(None);
        };
        let what = match kind {
            TableKind::Table | TableKind::WithoutRowid => "a table of SQLite's own",
            TableKind::View => "a view",
            TableKind::Virtual => "a virtual table, or belongs to one",
        };
        let own = name.to_ascii_lowercase().starts_with("sqlite_");
        if own || matches!(kind, TableKind::View | TableKind::Virtual) {
            return Err(refused(format!("{name} is no ordinary table but {what}"))
                .hint("name the table itself")
                .into());
        }
        let without_rowid = kind == TableKind::WithoutRowid;
        let strict = is_strict_table(connection, &name).map_err(wrong)?;
        let columns = columns(connection, &name).map_err(wrong)?;
        let key = key(connection, &name, &columns, without_rowid).map_err(wrong)?;
        if key.is_empty() {
            return Err(refused(format!(
                "the rows of {name} cannot be told apart: columns have all three names of the rowid"
            ))
            .into());
        }
        Ok(Some(Self {
            name,
            columns,
            key,
            strict,
        }))
    }

    /// The columns that can be written.
    pub fn written(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// The column of that name, as SQLite compares names.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// True where the key is no column but the rowid, which has to be kept beside the columns.
    pub fn key_is_rowid(&self) -> bool {
        self.key.iter().all(|name| self.column(name).is_none())
    }

    /// The columns of the key, each behind the name of the table.
    pub fn own_key(&self) -> Vec<String> {
        let own = quote(&self.name);
        let names = self.key.iter();
        names.map(|name| format!("{own}.{}", quote(name))).collect()
    }

    /// `"a" = ?1 AND "b" = ?2`, for the key.
    pub fn key_is(&self) -> String {
        let parts: Vec<_> = (1..)
            .zip(&self.key)
            .map(|(at, name)| format!("{} = ?{at}", quote(name)))
            .collect();
        parts.join(" AND ")
    }

    /// True where an index over all rows begins with these columns.
    pub fn has_index(&self, connection: &Connection, wanted: &[&str]) -> rusqlite::Result<bool> {
        has_index(connection, &self.name, wanted)
    }

    /// Refuses where every single row would have to be looked for in a whole table, while the application waits.
    pub fn require_short(
        &self,
        connection: &Connection,
        references: &[Reference],
    ) -> rusqlite::Result<anyhow::Result<()>> {
        for reference in references.iter().filter(|one| !one.indexed) {
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM main.{} LIMIT {})",
                quote(&reference.child),
                FEW_CHILDREN + 1
            );
            let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
            if rows > FEW_CHILDREN {
                let from: Vec<_> = reference
                    .pairs
                    .iter()
                    .map(|(from, _)| quote(from))
                    .collect();
                return Ok(Err(refused(format!(
                    "rows of {} point to {} and no index finds them: each row would have to be looked for in all of {0}",
                    reference.child, self.name
                ))
                .hint(format!(
                    "CREATE INDEX {} ON {}({})",
                    quote(&format!("{}_{}", reference.child, self.name)),
                    quote(&reference.child),
                    from.join(", ")
                ))
                .into()));
            }
        }
        Ok(Ok(()))
    }

    /// `DELETE` of one row by its key, as long as it still is what was meant.
    pub fn delete<'a>(
        &self,
        connection: &'a Connection,
        condition: &str,
    ) -> rusqlite::Result<Statement<'a>> {
        self.delete_those(connection, &self.key_is(), condition)
    }

    /// `DELETE` of the rows with `which` keys, as long as they still are what was meant. The key alone finds them: with an index on
    /// a column of the condition, the planner could prefer to go through all old rows of the table for each statement.
    pub fn delete_those<'a>(
        &self,
        connection: &'a Connection,
        which: &str,
        condition: &str,
    ) -> rusqlite::Result<Statement<'a>> {
        let table = quote(&self.name);
        connection.prepare(&format!(
            "DELETE FROM main.{table} WHERE {which} AND ({condition}) IS TRUE"
        ))
    }

    /// The foreign keys of other tables, and its own, that point to it.
    pub fn references(&self, connection: &Connection) -> rusqlite::Result<Vec<Reference>> {
        let mut statement = connection.prepare(
            "SELECT child.name, fk.id, fk.\"from\", fk.\"to\", fk.on_delete
             FROM main.sqlite_schema AS child, pragma_foreign_key_list(child.name, 'main') AS fk
             WHERE child.type = 'table' AND child.rootpage <> 0 AND fk.\"table\" = ?1 COLLATE NOCASE
             ORDER BY child.name, fk.id, fk.seq",
        )?;
        let mut rows = statement.query([&self.name])?;
        let mut found: Vec<(i64, Reference)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (child, id, from): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let to: Option<String> = row.get(3)?;
            let action: String = row.get(4)?;
            let same = found
                .last()
                .is_some_and(|(last, one)| *last == id && one.child == child);
            if !same {
                let reference = Reference {
                    child,
                    pairs: Vec::new(),
                    has_action: matches!(action.as_str(), "CASCADE" | "SET NULL" | "SET DEFAULT"),
                    cascades: action == "CASCADE",
                    indexed: false,
                };
                found.push((id, reference));
            }
            if let Some((_, reference)) = found.last_mut() {
                // Without a named column the primary key is meant.
                let at = u32::try_from(reference.pairs.len() + 1).unwrap_or(u32::MAX);
                let implied = || self.columns.iter().find(|column| column.key == at);
                let to = to.or_else(|| implied().map(|column| column.name.clone()));
                reference.pairs.extend(to.map(|to| (from, to)));
            }
        }
        drop(rows);
        let mut found: Vec<_> = found.into_iter().map(|(_, reference)| reference).collect();
        for reference in &mut found {
            let wanted: Vec<_> = reference
                .pairs
                .iter()
                .map(|(from, _)| from.as_str())
                .collect();
            let own = columns(connection, &reference.child)?;
            let key = key(connection, &reference.child, &own, false)?;
            let is_rowid = matches!((wanted.as_slice(), key.as_slice()), ([one], [key]) if key.eq_ignore_ascii_case(one));
            reference.indexed = is_rowid || has_index(connection, &reference.child, &wanted)?;
        }
        Ok(found)
    }
}

impl Reference {
    /// An SQL condition on a row of `table`: a row of the child points to it.
    pub fn points_to(&self, table: &Table) -> String {
        format!(
            "EXISTS (SELECT 1 FROM main.{} AS \"a child\" WHERE {})",
            quote(&self.child),
            self.same(table)
        )
    }

    /// An SQL condition on a row of the child, under its own name: it points to a row of `table` for which `condition` is true.
    pub fn points_from(&self, table: &Table, condition: &str) -> String {
        let name = quote(&table.name);
        format!(
            "EXISTS (SELECT 1 FROM main.{name} WHERE {} AND ({condition}))",
            self.matches(&name, &quote(&self.child))
        )
    }

    /// The same for one row of the child, which is called `"a child"`.
    pub fn same(&self, table: &Table) -> String {
        self.matches(&quote(&table.name), "\"a child\"")
    }

    /// An SQL condition on a row of each, by their names in the statement, quoted: one points to the other.
    pub fn matches(&self, parent: &str, child: &str) -> String {
        let pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(from, to)| format!("{parent}.{} = {child}.{}", quote(to), quote(from)))
            .collect();
        pairs.join(" AND ")
    }

    /// The same where both are of one table: they are not one row.
    pub(super) fn is_another(&self, parent: &str, child: &str) -> String {
        let pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(_, to)| format!("{parent}.{0} IS {child}.{0}", quote(to)))
            .collect();
        format!("NOT ({})", pairs.join(" AND "))
    }
}

/// The primary key where it is the table's own order, else a free name of the rowid.
fn key(
    connection: &Connection,
    table: &str,
    columns: &[Column],
    without_rowid: bool,
) -> rusqlite::Result<Vec<String>> {
    let mut primary: Vec<_> = columns.iter().filter(|column| column.key > 0).collect();
    primary.sort_by_key(|column| column.key);
    // A single primary key without an index of its own is the rowid under another name.
    let indices: i64 = connection.query_row(
        "SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'",
        [table],
        |row| row.get(0),
    )?;
    if without_rowid || (primary.len() == 1 && indices == 0) {
        return Ok(primary.iter().map(|column| column.name.clone()).collect());
    }
    Ok(free_rowid(columns).map(str::to_owned).into_iter().collect())
}

/// True where a whole index begins with these columns, in any order.
fn has_index(connection: &Connection, table: &str, wanted: &[&str]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare(
        "SELECT list.name, info.name FROM pragma_index_list(?1, 'main') AS list, pragma_index_info(list.name, 'main') AS info
         WHERE list.partial = 0 ORDER BY list.name, info.seqno",
    )?;
    let entries: Vec<(String, Option<String>)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(entries.chunk_by(|a, b| a.0 == b.0).any(|index| {
        let first = index.get(..wanted.len()).unwrap_or_default();
        let has = |name: &&str| {
            let is = |column: &Option<String>| {
                column
                    .as_deref()
                    .is_some_and(|column| column.eq_ignore_ascii_case(name))
            };
            first.iter().any(|(_, column)| is(column))
        };
        !first.is_empty() && wanted.iter().all(has)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn table(connection: &Connection, name: &str) -> anyhow::Result<Option<Table>> {
        let stop = Stop::after(Duration::from_secs(60));
        Table::find(connection, name, Path::new("x.db"), &stop)
    }

    #[test]
    fn what_tells_rows_apart() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE plain(a, b);
                 CREATE TABLE alias(id INTEGER PRIMARY KEY, a);
                 CREATE TABLE descending(id INTEGER PRIMARY KEY DESC, a);
                 CREATE TABLE named(id INTEGER PRIMARY KEY, rowid TEXT);
                 CREATE TABLE text_key(k TEXT PRIMARY KEY, rowid);
                 CREATE TABLE without(a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;
                 CREATE TABLE all_taken(rowid, _rowid_, oid);
                 CREATE VIEW v AS SELECT 1 AS a;
                 CREATE VIRTUAL TABLE f USING fts5(body);",
            )
            .expect("creates");
        for (name, key) in [
            ("plain", vec!["rowid"]),
            ("ALIAS", vec!["id"]),
            ("descending", vec!["rowid"]),
            ("named", vec!["id"]),
            ("text_key", vec!["_rowid_"]),
            ("without", vec!["b", "a"]),
        ] {
            let found = table(&connection, name)
                .expect("a table")
                .expect("is there");
            assert_eq!(found.key, key, "{name}");
        }
        for name in ["v", "f", "f_data", "sqlite_schema", "all_taken"] {
            assert!(table(&connection, name).is_err(), "{name}");
        }
        assert!(table(&connection, "none").expect("no error").is_none());
    }

    #[test]
    fn who_points_to_a_row() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b, UNIQUE (a, b));
                 CREATE TABLE c1(x REFERENCES P);
                 CREATE TABLE c2(id INTEGER PRIMARY KEY REFERENCES p(id) ON DELETE CASCADE);
                 CREATE TABLE c3(u, v, FOREIGN KEY (u, v) REFERENCES p(a, b));
                 CREATE INDEX i3 ON c3(v, u);
                 INSERT INTO p VALUES (1, 10, 11), (2, 20, 21), (3, 30, 31), (4, 40, 41);
                 INSERT INTO c1 VALUES (1), (NULL); INSERT INTO c2 VALUES (2); INSERT INTO c3 VALUES (30, 31), (40, NULL);",
            )
            .expect("creates");
        let parent = table(&connection, "p").expect("a table").expect("is there");
        let found = parent.references(&connection).expect("looks");
        let short: Vec<_> = found
            .iter()
            .map(|one| (one.child.as_str(), one.has_action, one.indexed))
            .collect();
        assert_eq!(
            short,
            [
                ("c1", false, false),
                ("c2", true, true),
                ("c3", false, true)
            ]
        );
        for (reference, expected) in found.iter().zip([1, 2, 3]) {
            let sql = format!(
                "SELECT id FROM main.p WHERE {}",
                reference.points_to(&parent)
            );
            let ids: Vec<i64> = connection
                .prepare(&sql)
                .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
                .expect("selects");
            assert_eq!(ids, [expected]);
        }
    }
    /// Without that, each of the statements for a few rows goes through all old rows of the table.
    #[test]
    fn rows_are_found_by_their_key_whatever_index_the_condition_has() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE a(id INTEGER PRIMARY KEY, at TEXT);
                 CREATE TABLE b(id INTEGER PRIMARY KEY, at TEXT) WITHOUT ROWID;
                 CREATE INDEX a_at ON a(at); CREATE INDEX b_at ON b(at);",
            )
            .expect("creates");
        let stop = Stop::after(Duration::from_secs(60));
        for name in ["a", "b"] {
            let table = Table::find(&connection, name, Path::new("x.db"), &stop)
                .expect("no error")
                .expect("is there");
            let statement = table
                .delete_those(&connection, "id BETWEEN ?1 AND ?2", "at < '2026'")
                .expect("prepares");
            let sql = statement.expanded_sql().expect("has text");
            let plan: String = connection
                .query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3))
                .expect("explains");
            assert!(plan.contains("PRIMARY KEY"), "{name}: {plan}");
        }
    }
}

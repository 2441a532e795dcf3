//! The indices that there are, and those that another one makes needless.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::sqlite::LISTING;

/// One index of an ordinary table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// It keeps two rows from being equal.
    pub unique: bool,
    /// Made by CREATE INDEX: only such a one can be dropped.
    pub created: bool,
    /// It holds some of the rows only.
    pub partial: bool,
    /// Its own columns in order.
    pub columns: Vec<Column>,
    /// Its first columns are those of a foreign key: SQLite looks for children in it, which no query shows.
    pub serves_a_key: bool,
}

/// One column of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `None` for an expression.
    pub name: Option<String>,
    /// Falling.
    pub falling: bool,
    /// How texts compare.
    pub collation: String,
}

/// An index that another one makes needless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needless<'a> {
    /// The one that can go.
    pub index: &'a Index,
    /// The one that does its work.
    pub by: &'a Index,
    /// Both have the same columns; otherwise the other begins with them.
    pub same: bool,
}

/// All indices of the main schema.
pub fn indices(connection: &Connection) -> rusqlite::Result<Vec<Index>> {
    let mut found: Vec<Index> = connection
        .prepare(&format!(
            "SELECT l.name, t.name, l.\"unique\", l.origin = 'c', l.partial
             FROM {LISTING} AS t, pragma_index_list(t.name, 'main') AS l
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY t.name, l.name",
        ))?
        .query_map([], |row| {
            Ok(Index {
                name: row.get(0)?,
                table: row.get(1)?,
                unique: row.get(2)?,
                created: row.get(3)?,
                partial: row.get(4)?,
                columns: Vec::new(),
                serves_a_key: false,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for index in &mut found {
        index.columns = connection
            .prepare("SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno")?
            .query_map([&index.name], |row| {
                Ok(Column {
                    name: row.get(0)?,
                    falling: row.get(1)?,
                    collation: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        index.serves_a_key = serves_a_key(connection, index)?;
    }
    Ok(found)
}

fn serves_a_key(connection: &Connection, index: &Index) -> rusqlite::Result<bool> {
    let keys: Vec<(i64, String)> = connection
        .prepare("SELECT id, \"from\" FROM pragma_foreign_key_list(?1, 'main')")?
        .query_map([&index.table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let lower = |name: &str| name.to_ascii_lowercase();
    let ids: BTreeSet<i64> = keys.iter().map(|(id, _)| *id).collect();
    Ok(ids.into_iter().any(|id| {
        let children: BTreeSet<_> = keys
            .iter()
            .filter(|(other, _)| *other == id)
            .map(|(_, column)| lower(column))
            .collect();
        let first: BTreeSet<_> = index
            .columns
            .iter()
            .take(children.len())
            .map(|column| lower(column.name.as_deref().unwrap_or_default()))
            .collect();
        children == first
    }))
}

/// Those that can go without any query missing them: another index of the same table has the same columns or begins with them.
/// Never one that keeps rows apart, holds some rows only, or is made of expressions.
pub fn needless(all: &[Index]) -> Vec<Needless<'_>> {
    let plain =
        |index: &Index| !index.partial && index.columns.iter().all(|column| column.name.is_some());
    let mut found: Vec<Needless<'_>> = Vec::new();
    for (at, index) in all.iter().enumerate() {
        if !index.created || index.columns.is_empty() || !plain(index) {
            continue;
        }
        let by = all.iter().enumerate().find(|(other_at, other)| {
            let same = other.columns == index.columns;
            *other_at != at
                && other.table == index.table
                && plain(other)
                && (other.columns.starts_with(&index.columns))
                && (!index.unique || (same && other.unique))
                // Of two that are equal one stays: what cannot be dropped, what keeps rows apart, else the first.
                && (!same
                    || (!other.created, other.unique, at) > (!index.created, index.unique, *other_at))
        });
        if let Some((_, by)) = by {
            found.push(Needless {
                index,
                by,
                same: by.columns == index.columns,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needless_and_the_needed() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE p(id INTEGER PRIMARY KEY);
                 CREATE TABLE t(a, b UNIQUE, c COLLATE NOCASE, d REFERENCES p(id));
                 CREATE INDEX a1 ON t(a); CREATE INDEX a2 ON t(a); CREATE INDEX ab ON t(a, b);
                 CREATE INDEX b1 ON t(b); CREATE UNIQUE INDEX b2 ON t(b);
                 CREATE INDEX falling ON t(a DESC); CREATE INDEX part ON t(a) WHERE a > 1;
                 CREATE INDEX expr ON t(a + 1); CREATE INDEX c1 ON t(c); CREATE INDEX c2 ON t(c COLLATE BINARY);
                 CREATE INDEX d1 ON t(d); CREATE UNIQUE INDEX once ON t(d); CREATE UNIQUE INDEX short ON t(a);",
            )
            .expect("sets up");
        let all = indices(&connection).expect("reads");
        let names: Vec<_> = needless(&all)
            .iter()
            .map(|one| (one.index.name.clone(), one.by.name.clone(), one.same))
            .collect();
        assert_eq!(
            names,
            [
                ("a1".into(), "ab".into(), false),
                ("a2".into(), "a1".into(), true),
                ("b1".into(), "b2".into(), true),
                ("b2".into(), "sqlite_autoindex_t_1".into(), true),
                ("d1".into(), "once".into(), true),
            ]
        );
        let serving: Vec<_> = all
            .iter()
            .filter(|index| index.serves_a_key)
            .map(|index| index.name.as_str())
            .collect();
        assert_eq!(serving, ["d1", "once"]);
    }
}

//! What uses indices and is in no plan of a logged query: triggers, which a copy does not have and EXPLAIN does not show, and
//! `INDEXED BY`, which fails without the index that it names.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Copy;
use super::explain::Plan;
use super::indices::Index;
use super::token::{Kind, tokens};

/// Of one database.
#[derive(Default)]
pub struct Hidden {
    /// Every name in the bodies of triggers, and in the views that they go through; in lower case.
    by_triggers: BTreeSet<String>,
    /// Indices that views and triggers name; in lower case.
    named: BTreeSet<String>,
}

impl Hidden {
    /// Reads the definitions.
    pub fn of(live: &Connection) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        let mut views: Vec<(String, BTreeSet<String>)> = Vec::new();
        let mut statement = live.prepare(
            "SELECT type, lower(name), sql FROM main.sqlite_schema WHERE type IN ('trigger', 'view') AND sql IS NOT NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let kind: String = row.get(0)?;
            let sql = String::from_utf8_lossy(row.get_ref(2)?.as_bytes()?).into_owned();
            found.named.extend(indexed_by(&sql));
            match kind.as_str() {
                "view" => views.push((row.get(1)?, names(&sql, false))),
                _ => found.by_triggers.extend(names(&sql, true)),
            }
        }
        // Through views of views.
        while let Some(at) = views
            .iter()
            .position(|(name, _)| found.by_triggers.contains(name))
        {
            let (_, more) = views.swap_remove(at);
            found.by_triggers.extend(more);
        }
        Ok(found)
    }

    /// Takes in the indices that a query names.
    pub fn note(&mut self, sql: &str) {
        self.named.extend(indexed_by(sql));
    }

    /// True where some trigger reads or writes the table.
    pub fn touches(&self, table: &str) -> bool {
        self.by_triggers.contains(&table.to_ascii_lowercase())
    }

    /// True where something names the index.
    pub fn names(&self, index: &str) -> bool {
        self.named.contains(&index.to_ascii_lowercase())
    }
}

/// The names in a definition; of a trigger those behind the table that it watches, which it need not read.
fn names(sql: &str, trigger: bool) -> BTreeSet<String> {
    let tokens = tokens(sql);
    let on = tokens.iter().position(|token| token.is_word("on"));
    let start = match on.filter(|_| trigger) {
        Some(on) => on + 2,
        None => 0,
    };
    tokens
        .iter()
        .skip(start)
        .map(|token| token.name().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

/// What stands behind `INDEXED BY`, in lower case.
fn indexed_by(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    tokens
        .windows(3)
        .filter(|words| words[0].is_word("indexed") && words[1].is_word("by"))
        .map(|words| words[2].name().to_ascii_lowercase())
        .collect()
}

/// True where the application puts in values that the text does not show.
pub fn has_parameters(sql: &str) -> bool {
    tokens(sql)
        .iter()
        .any(|token| token.kind == Kind::Parameter)
}

/// True where the query might use the index with other values than those that it was explained with: what holds some rows only may
/// be read in any query of its table, any other index where its first column is named.
pub fn might_use(copy: &Copy, plan: &Plan, index: &Index, sql: &str) -> bool {
    let reads = |name: &str| {
        plan.reads
            .iter()
            .any(|(table, _)| table.eq_ignore_ascii_case(name))
    };
    if !reads(&index.table) {
        return false;
    }
    let first = index.columns.first().and_then(|one| one.name.as_deref());
    let Some(first) = first.filter(|_| !index.partial) else {
        return true;
    };
    let says = |sql: &str| {
        tokens(sql)
            .iter()
            .any(|token| token.name().eq_ignore_ascii_case(first))
    };
    let mut views = copy.views.iter().filter(|(name, _)| reads(name));
    says(sql) || views.any(|(_, sql)| says(sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_followed_through_views() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE o(a); CREATE TABLE audit(b); CREATE TABLE far(c); CREATE TABLE free(d);
                 CREATE INDEX ic ON far(c);
                 CREATE VIEW near AS SELECT c FROM far INDEXED BY ic WHERE c = 1; CREATE VIEW nearer AS SELECT c FROM NEAR;
                 CREATE VIEW other AS SELECT d FROM free;
                 CREATE TRIGGER g AFTER UPDATE OF a ON o WHEN new.a > 1 BEGIN
                   INSERT INTO \"Audit\" SELECT c FROM [nearer]; END;",
            )
            .expect("sets up");
        let mut hidden = Hidden::of(&connection).expect("reads");
        assert!(hidden.touches("AUDIT") && hidden.touches("far"));
        assert!(!hidden.touches("o") && !hidden.touches("free"));
        assert!(hidden.names("IC") && !hidden.names("id"));
        hidden.note("SELECT * FROM free AS f INDEXED BY `iD` WHERE d = 1");
        assert!(hidden.names("id"));
        assert!(has_parameters("SELECT :a") && !has_parameters("SELECT ':a', a"));
    }
}

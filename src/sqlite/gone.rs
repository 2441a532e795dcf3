//! Rows that are taken for gone: what the rules before would have removed, had they not been a dry run.

use super::{Table, quote};

/// Rows, by their tables.
#[derive(Clone, Debug, Default)]
pub struct Gone(Vec<Rows>);

#[derive(Clone, Debug)]
struct Rows {
    table: String,
    key: Vec<String>,
    /// Selects their keys.
    keys: String,
}

impl Gone {
    /// The rows of a table for which `condition` is true; `alias` is what the condition calls the table.
    pub fn add(&mut self, table: &Table, alias: Option<&str>, condition: &str) {
        let key: Vec<_> = table.key.iter().map(|name| quote(name)).collect();
        let called = alias.map(|alias| format!(" AS {alias}"));
        self.0.push(Rows {
            keys: format!(
                "SELECT {} FROM main.{}{} WHERE {condition}",
                key.join(", "),
                quote(&table.name),
                called.unwrap_or_default()
            ),
            table: table.name.clone(),
            key,
        });
    }

    /// True for a row, called `alias`, of a table that is still there. Nothing where none of the table is gone.
    pub fn not(&self, table: &str, alias: &str) -> Option<String> {
        let rows = |one: &&Rows| one.table.eq_ignore_ascii_case(table);
        let one = |one: &Rows| {
            let key: Vec<_> = one.key.iter().map(|key| format!("{alias}.{key}")).collect();
            format!("(({}) IN ({})) IS NOT TRUE", key.join(", "), one.keys)
        };
        let all: Vec<_> = self.0.iter().filter(rows).map(one).collect();
        (!all.is_empty()).then(|| all.join(" AND "))
    }

    /// The same, to follow another condition.
    pub fn and_not(&self, table: &str, alias: &str) -> String {
        self.not(table, alias)
            .map_or_else(String::new, |condition| format!(" AND {condition}"))
    }
}

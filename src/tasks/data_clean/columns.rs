//! Which columns of a table and of its archive belong together: by name, never by place.

use crate::error::refused;
use crate::sqlite::{Column, Table, quote};

/// The statement that makes an archive for a table: its columns and its key. Without the key a row could be archived twice, and
/// VACUUM would renumber the rows.
pub fn archive_table(table: &Table, into: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_ (),".contains(c);
    let mut parts: Vec<_> = table
        .written()
        .map(|column| {
            let name = quote(&column.name);
            match column.declared.as_str() {
                declared if !declared.is_empty() && declared.chars().all(plain) => {
                    format!("{name} {declared}")
                }
                _ => name,
            }
        })
        .collect();
    let key = primary_key(table);
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!("CREATE TABLE {} ({})", quote(into), parts.join(", "))
}

/// The columns of the key that the schema declares, quoted.
pub fn primary_key(table: &Table) -> Vec<String> {
    let mut columns: Vec<_> = table.written().filter(|column| column.key > 0).collect();
    columns.sort_by_key(|column| column.key);
    columns.iter().map(|column| quote(&column.name)).collect()
}

/// The columns that are copied from one to the other, quoted. Refuses where a value would be lost or changed on the way.
pub fn shared(table: &Table, archive: &Table) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    let mut changed = Vec::new();
    let mut found = Vec::new();
    for column in &table.columns {
        match archive.column(&column.name) {
            // What is computed from others is computed again, or is kept as it was where the archive has room for it.
            None if column.generated => {}
            None => missing.push(column.name.as_str()),
            Some(there) if there.generated && column.generated => {}
            Some(there) if there.generated => {
                changed.push(format!("{} is computed there", column.name))
            }
            Some(there) if !keeps((table, column), (archive, there)) => changed.push(format!(
                "{} is {} and there {}",
                column.name,
                declared(column),
                declared(there)
            )),
            Some(_) => found.push(quote(&column.name)),
        }
    }
    let needed: Vec<_> = archive
        .written()
        .filter(|there| there.not_null && there.default.is_none() && there.key == 0)
        .filter(|there| table.column(&there.name).is_none())
        .map(|there| there.name.as_str())
        .collect();
    let from = &table.name;
    let to = &archive.name;
    if !missing.is_empty() {
        return Err(refused(format!(
            "{to} lacks columns of {from}: {}",
            missing.join(", ")
        ))
        .hint(format!("ALTER TABLE {} ADD COLUMN …", quote(to)))
        .into());
    }
    if !changed.is_empty() {
        return Err(refused(format!(
            "values of {from} would be changed in {to}: {}",
            changed.join("; ")
        ))
        .hint("give both columns the same type")
        .into());
    }
    if !needed.is_empty() {
        return Err(refused(format!(
            "{to} needs values that {from} has not: {}",
            needed.join(", ")
        ))
        .hint("give these columns a default")
        .into());
    }
    Ok(found)
}

fn declared(column: &Column) -> &str {
    match column.declared.as_str() {
        "" => "without a type",
        declared => declared,
    }
}

/// True where every value of `from` is stored in `to` as it is.
fn keeps(from: (&Table, &Column), to: (&Table, &Column)) -> bool {
    let [from, to] = [from, to].map(|(table, column)| Affinity::of(&column.declared, table.strict));
    to == Affinity::None || to == from
}

/// What SQLite makes of values, by the declared type: <https://sqlite.org/datatype3.html#determination_of_column_affinity>.
#[derive(PartialEq, Eq)]
enum Affinity {
    Number,
    Real,
    Text,
    None,
}

impl Affinity {
    fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Self::Number
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || declared.is_empty() || (strict && declared == "ANY") {
            Self::None
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Stop;
    use rusqlite::Connection;
    use std::path::Path;
    use std::time::Duration;

    fn both(table: &str, archive: &str) -> anyhow::Result<Vec<String>> {
        created(&format!("t({table})"), &format!("a({archive})"))
    }

    fn created(table: &str, archive: &str) -> anyhow::Result<Vec<String>> {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(&format!("CREATE TABLE {table}; CREATE TABLE {archive}"))
            .expect("creates");
        let stop = Stop::after(Duration::from_secs(60));
        let find = |name| {
            Table::find(&connection, name, Path::new("x.db"), &stop)
                .expect("no error")
                .expect("is there")
        };
        shared(&find("t"), &find("a"))
    }

    #[test]
    fn columns_are_matched_by_name() {
        let found = both(
            "id INTEGER PRIMARY KEY, a TEXT, b INT",
            "B INTEGER, id INTEGER PRIMARY KEY, a VARCHAR(9), at DEFAULT 1",
        );
        assert_eq!(found.expect("fits"), ["\"id\"", "\"a\"", "\"b\""]);
        let computed = both("a INT, b INT AS (a + 1)", "a INT, b INT");
        assert_eq!(computed.expect("fits"), ["\"a\"", "\"b\""]);
        let both_computed = both("a INT, b AS (a + 1), c AS (a + 2)", "a INT, b AS (a + 1)");
        assert_eq!(both_computed.expect("fits"), ["\"a\""]);
    }

    #[test]
    fn what_would_lose_or_change_a_value_is_refused() {
        for (table, archive, told) in [
            ("a, b, c", "b", "lacks columns of t: a, c"),
            ("a TEXT", "a INTEGER", "a is TEXT and there INTEGER"),
            ("a", "a TEXT", "a is without a type and there TEXT"),
            ("a INT", "a REAL", "a is INT and there REAL"),
            ("a INT, b INT", "a INT, b AS (a + 1)", "b is computed there"),
            (
                "a INT",
                "a INT, why TEXT NOT NULL",
                "needs values that t has not: why",
            ),
        ] {
            let error = both(table, archive).expect_err(told);
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    /// ANY is what it says in a STRICT table only; in any other texts that look like numbers become numbers.
    #[test]
    fn any_is_not_always_any() {
        assert!(created("t(a ANY) STRICT", "a(a ANY) STRICT").is_ok());
        assert!(created("t(a ANY) STRICT", "a(a)").is_ok());
        let error = created("t(a ANY) STRICT", "a(a ANY)").expect_err("'007' becomes 7");
        assert!(
            error.to_string().contains("a is ANY and there ANY"),
            "{error}"
        );
    }
}

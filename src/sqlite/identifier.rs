//! Names of tables and columns, quoted so that any name is only ever a name.

/// `"name"` with quotes doubled, as <https://sqlite.org/lang_keywords.html> has it.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quoted_name_creates_exactly_that_table(name in "[^\0]{1,40}") {
            prop_assume!(!name.to_lowercase().starts_with("sqlite_"));
            let connection = rusqlite::Connection::open_in_memory().expect("opens");
            connection.execute_batch(&format!("CREATE TABLE {} (x)", quote(&name))).expect("creates");
            let found: String = connection
                .query_row("SELECT name FROM sqlite_schema", [], |row| row.get(0))
                .expect("reads");
            prop_assert_eq!(found, name);
        }
    }
}

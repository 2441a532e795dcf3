//! What no SQL condition can say of a value, as functions of SQL: a vector that is none, a text without text, a text that says nothing.

use std::collections::HashSet;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::quality::says_nothing;
use crate::config::sections::RagQuality;
use crate::sqlite::{Row, Table, quote};

/// Bytes that are no UTF-8, whatever SQLite calls them.
const NO_TEXT: &str = "bytes that are no text";

/// Lets SQL on this connection ask for it. Nothing in a schema can.
pub fn teach(connection: &Connection, rules: &RagQuality) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    let least = |context: &Context<'_>| Ok::<_, rusqlite::Error>(context.get::<u32>(1)? as usize);
    connection.create_scalar_function("wrong_vector", 2, flags, move |context| {
        Ok(wrong_vector_value(context.get_raw(0), least(context)?))
    })?;
    connection.create_scalar_function("wrong_text", 2, flags, move |context| {
        Ok(wrong_text_value(context.get_raw(0), least(context)?))
    })?;
    let rules = rules.clone();
    connection.create_scalar_function("says_nothing", 2, flags, move |context| {
        let ValueRef::Text(bytes) = context.get_raw(0) else {
            return Ok(None);
        };
        if wrong_text(bytes, least(context)?).is_some() {
            return Ok(None);
        }
        let text = std::str::from_utf8(bytes).ok();
        Ok(text.and_then(|text| says_nothing(text, &rules)))
    })
}

/// SQL, true on this connection for the rows of a table with these keys.
pub fn teach_keys(connection: &Connection, table: &Table, keys: &[Row]) -> Result<String> {
    let shown = |key: &Row| format!("{key:?}");
    let keys: HashSet<String> = keys.iter().map(shown).collect();
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("is_one_of_them", -1, flags, move |context| {
        let key: Result<Row> = (0..context.len()).map(|at| context.get(at)).collect();
        Ok(keys.contains(&shown(&key?)))
    })?;
    Ok(format!("is_one_of_them({})", table.own_key().join(", ")))
}

/// SQL for what is wrong with a value, NULL where nothing is.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The value.
    pub value: String,
    /// What is wrong with it.
    pub why: String,
}

impl Judge {
    /// BLOBs of so many 32-bit floats.
    pub fn vector(table: &str, column: &str, dimension: usize) -> Self {
        Self::new("wrong_vector", table, column, dimension)
    }

    /// Texts of at least so many characters that are no blanks.
    pub fn text(table: &str, column: &str, least: u32) -> Self {
        Self::new("wrong_text", table, column, least)
    }

    /// Texts that say something; those that are none are left to [`Judge::text`].
    pub fn quality(table: &str, column: &str, least: u32) -> Self {
        Self::new("says_nothing", table, column, least)
    }

    fn new(function: &str, table: &str, column: &str, limit: impl std::fmt::Display) -> Self {
        let value = format!("{}.{}", quote(table), quote(column));
        Self {
            why: format!("{function}({value}, {limit})"),
            value,
        }
    }
}

/// NULL is no value: it waits for one.
fn wrong_vector_value(value: ValueRef<'_>, dimension: usize) -> Option<&'static str> {
    match value {
        ValueRef::Null => None,
        ValueRef::Blob(bytes) => wrong_vector(bytes, dimension),
        _ => Some("no BLOB"),
    }
}

fn wrong_text_value(value: ValueRef<'_>, least: usize) -> Option<&'static str> {
    match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) => wrong_text(bytes, least),
        ValueRef::Blob(_) => Some(NO_TEXT),
        _ => Some("a number"),
    }
}

/// What is wrong with the bytes of a vector of that dimension.
pub fn wrong_vector(bytes: &[u8], dimension: usize) -> Option<&'static str> {
    if !bytes.len().is_multiple_of(4) {
        return Some("a length that is no multiple of 4 bytes");
    }
    if bytes.len() != dimension * 4 {
        return Some("another dimension");
    }
    let mut norm = 0.0;
    for bytes in bytes.chunks_exact(4) {
        let number = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if number.is_nan() {
            return Some("NaN");
        }
        if number.is_infinite() {
            return Some("infinite");
        }
        norm += f64::from(number) * f64::from(number);
    }
    (norm == 0.0).then_some("all zero")
}

/// What is wrong with the bytes of a text with fewer characters than that, or none.
pub fn wrong_text(bytes: &[u8], least: usize) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(NO_TEXT);
    };
    let (mut characters, mut garbage) = (0, 0);
    for one in text.chars().filter(|one| !one.is_whitespace()) {
        characters += 1;
        garbage += usize::from(one.is_control() || one == char::REPLACEMENT_CHARACTER);
    }
    if characters < least {
        return Some("too short");
    }
    (garbage * 2 > characters).then_some("mostly control or replacement characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|one| one.to_le_bytes()).collect()
    }

    #[test]
    fn vectors() {
        for (numbers, expected) in [
            (vec![1.0, 0.0], None),
            (vec![f32::MIN_POSITIVE / 4.0, 0.0], None),
            (vec![0.0, -0.0], Some("all zero")),
            (vec![1.0, f32::NAN], Some("NaN")),
            (vec![f32::NEG_INFINITY, 0.0], Some("infinite")),
            (vec![1.0], Some("another dimension")),
            (vec![], Some("another dimension")),
        ] {
            assert_eq!(wrong_vector(&bytes(&numbers), 2), expected, "{numbers:?}");
        }
        assert!(wrong_vector(&[1, 2, 3], 2).is_some());
    }

    #[test]
    fn texts() {
        for (text, expected) in [
            (&b"yes"[..], None),
            ("äöü".as_bytes(), None),
            (b" a b ", Some("too short")),
            (b"", Some("too short")),
            (
                b"\x00\x01\x02a",
                Some("mostly control or replacement characters"),
            ),
            (b"ab\xff", Some(NO_TEXT)),
        ] {
            assert_eq!(wrong_text(text, 3), expected, "{text:?}");
        }
    }

    #[test]
    fn sql_asks_and_a_schema_cannot() {
        let connection = Connection::open_in_memory().expect("opens");
        teach(&connection, &RagQuality::default()).expect("takes the functions");
        connection
            .execute_batch("CREATE TABLE t(v); CREATE VIEW asks AS SELECT wrong_text('a', 3)")
            .expect("creates");
        let ask = |judge: &Judge, value: &str| -> Option<String> {
            connection
                .execute_batch(&format!("DELETE FROM t; INSERT INTO t VALUES ({value})"))
                .expect("inserts");
            connection
                .query_row(&format!("SELECT {} FROM t", judge.why), [], |row| {
                    row.get(0)
                })
                .expect("answers")
        };
        let vector = Judge::vector("t", "v", 1);
        let text = Judge::text("t", "v", 3);
        let quality = Judge::quality("t", "v", 3);
        for (judge, value, expected) in [
            (&vector, "NULL", None),
            (&vector, "x'0000803f'", None),
            (&vector, "x'0000807f'", Some("infinite")),
            (&vector, "'[1, 2]'", Some("no BLOB")),
            (&text, "NULL", None),
            (&text, "'yes'", None),
            (&text, "CAST(x'616263ff' AS TEXT)", Some(NO_TEXT)),
            (&text, "x'616263'", Some(NO_TEXT)),
            (&text, "12345", Some("a number")),
            (&quality, "'the cat sits'", None),
            (&quality, "'the cat'", Some("too few words")),
            (&quality, "'a'", None),
            (&quality, "12345", None),
        ] {
            assert_eq!(
                ask(judge, value).as_deref(),
                expected,
                "{} of {value}",
                judge.why
            );
        }
        let asked = connection.query_row("SELECT * FROM asks", [], |_| Ok(()));
        assert!(asked.is_err(), "a view asked");
    }
}

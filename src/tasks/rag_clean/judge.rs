//! What no SQL condition can say of a value, as functions of SQL: a vector that is none, a text that nobody can read, a text that says
//! nothing.

use std::collections::HashSet;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::config::sections::RagQuality;
use crate::sqlite::{Row, Table, quote};

/// No model writes a number that is larger or, but for 0, smaller: such are numbers of another format.
const LARGEST: f32 = 1e15;
const SMALLEST: f32 = 1e-30;

/// A text with fewer words repeats none of them too often.
const LEAST_WORDS: usize = 20;

/// Lets SQL on this connection ask for it. Nothing in a schema can.
pub fn teach(connection: &Connection, rules: &RagQuality) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    let least = |context: &Context<'_>| Ok::<_, rusqlite::Error>(context.get::<u32>(1)? as usize);
    connection.create_scalar_function("wrong_vector", 2, flags, move |context| {
        Ok(wrong_vector_value(context.get_raw(0), least(context)?))
    })?;
    connection.create_scalar_function("is_of_another_format", 2, flags, move |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Blob(bytes) => is_of_another_format(bytes, least(context)?),
            _ => false,
        })
    })?;
    connection.create_scalar_function("wrong_text", 2, flags, move |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(bytes) => wrong_text(bytes, least(context)?),
            _ => None,
        })
    })?;
    connection.create_scalar_function("is_damaged", 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).is_err(),
            _ => false,
        })
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
    /// What is wrong with it.
    pub why: String,
    /// True where it is of no kind that is judged, or not there yet.
    pub unjudged: String,
    /// True where a person has to look at it.
    pub damaged: String,
}

impl Judge {
    /// BLOBs of so many 32-bit floats.
    pub fn vector(table: &str, column: &str, dimension: usize) -> Self {
        let value = value(table, column);
        Self {
            why: format!("wrong_vector({value}, {dimension})"),
            unjudged: format!("{value} IS NULL"),
            damaged: "0".to_owned(),
        }
    }

    /// Texts of at least so many characters that can be read. A BLOB or a number is the application's own way to keep one.
    pub fn text(table: &str, column: &str, least: u32) -> Self {
        let value = value(table, column);
        Self {
            why: format!("wrong_text({value}, {least})"),
            unjudged: format!("typeof({value}) <> 'text'"),
            damaged: format!("is_damaged({value})"),
        }
    }

    /// Texts that say something; those that are none are left to [`Judge::text`].
    pub fn quality(table: &str, column: &str, least: u32) -> Self {
        let value = value(table, column);
        Self {
            why: format!("says_nothing({value}, {least})"),
            unjudged: format!("typeof({value}) <> 'text'"),
            damaged: "0".to_owned(),
        }
    }
}

fn value(table: &str, column: &str) -> String {
    format!("{}.{}", quote(table), quote(column))
}

/// SQL, true for a vector of that dimension whose numbers are of another format than 32-bit floats.
pub fn another_format(table: &str, column: &str, dimension: usize) -> String {
    format!(
        "is_of_another_format({}, {dimension})",
        value(table, column)
    )
}

/// NULL is no value: it waits for one.
fn wrong_vector_value(value: ValueRef<'_>, dimension: usize) -> Option<&'static str> {
    match value {
        ValueRef::Null => None,
        ValueRef::Blob(bytes) => wrong_vector(bytes, dimension),
        _ => Some("no BLOB"),
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

/// Among the numbers of a vector of that dimension is one that no model writes. What is no number at all says nothing of that.
fn is_of_another_format(bytes: &[u8], dimension: usize) -> bool {
    bytes.len() == dimension * 4
        && bytes.chunks_exact(4).any(|bytes| {
            let size = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).abs();
            size.is_finite() && size != 0.0 && !(SMALLEST..=LARGEST).contains(&size)
        })
}

/// What is wrong with a text in which a person can read fewer characters than that. One with bytes that are no UTF-8 is damaged, and
/// says nothing of what it was.
pub fn wrong_text(bytes: &[u8], least: usize) -> Option<&'static str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_read = |one: &char| {
        !one.is_whitespace() && !one.is_control() && *one != char::REPLACEMENT_CHARACTER
    };
    match text.chars().filter(is_read).take(least).count() {
        found if found >= least => None,
        0 => Some("nothing to read"),
        _ => Some("too short"),
    }
}

/// What is wrong with a text, as a memory.
fn says_nothing(text: &str, rules: &RagQuality) -> Option<&'static str> {
    let words = words(text);
    if words.len() < rules.min_words as usize {
        return Some("too few words");
    }
    let (mut all, mut symbols) = (0u64, 0u64);
    for one in text.chars().filter(|one| !one.is_whitespace()) {
        all += 1;
        symbols += u64::from(!one.is_alphanumeric());
    }
    if symbols as f64 > all as f64 * rules.max_symbols {
        return Some("mostly symbols");
    }
    if words.len() >= LEAST_WORDS {
        let mut counts = std::collections::HashMap::new();
        for word in &words {
            *counts.entry(word).or_insert(0usize) += 1;
        }
        let most = counts.values().max().copied().unwrap_or(0);
        if most as f64 > words.len() as f64 * rules.max_repetition {
            return Some("one word again and again");
        }
    }
    None
}

/// Words, in lower case; a character of a script that puts no blanks between words is one.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    for one in text.chars() {
        let alone = matches!(one, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}');
        if one.is_alphanumeric() && !alone {
            word.extend(one.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if alone {
            found.push(one.to_string());
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
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
        for (text, least, expected) in [
            (&b"yes"[..], 3, None),
            ("äöü".as_bytes(), 3, None),
            (b" a b ", 3, Some("too short")),
            (b"", 3, Some("nothing to read")),
            (b"", 0, None),
            (
                " \t\n\u{a0}\0\u{1b}\u{fffd}".as_bytes(),
                1,
                Some("nothing to read"),
            ),
            ("北京".as_bytes(), 1, None),
            (b"\x00\x01\x02a", 1, None),
            (b"\xff", 1, None),
        ] {
            assert_eq!(wrong_text(text, least), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_that_say_nothing() {
        let rules = RagQuality::default();
        let again = "buy ".repeat(30);
        let some = format!(
            "{}the text goes on about what can be bought where and when",
            "buy ".repeat(5)
        );
        for (text, expected) in [
            ("the cat sits", None),
            ("the cat", Some("too few words")),
            ("a b c ----------", Some("mostly symbols")),
            ("f(x) = g(x) + h(x)", None),
            ("東京は日本の首都です", None),
            (again.as_str(), Some("one word again and again")),
            (some.as_str(), None),
            ("Größe über alles", None),
            ("", Some("too few words")),
        ] {
            assert_eq!(says_nothing(text, &rules), expected, "{text}");
        }
    }

    #[test]
    fn numbers_of_another_format() {
        let of = |bytes: &[u8]| is_of_another_format(bytes, bytes.len() / 4);
        assert!(!of(&bytes(&[0.0, -3.5, 1e-9, f32::NAN, f32::INFINITY])));
        assert!(of(&0.12_f64.to_le_bytes()));
        assert!(of(&[3, 0, 0, 0]), "a whole number of 32 bits");
        assert!(of(&[12, 200, 17, 120]), "whole numbers of 8 bits");
        assert!(!is_of_another_format(&[3, 0, 0, 0], 2), "another dimension");
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
            (&text, "' ' || char(0)", Some("nothing to read")),
            (&text, "CAST(x'616263ff' AS TEXT)", None),
            (&text, "x'616263'", None),
            (&text, "12345", None),
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

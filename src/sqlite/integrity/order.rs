//! Whether the entries of an index are in the order that SQLite keeps them in.

use std::cmp::Ordering;

use rusqlite::Row;
use rusqlite::types::ValueRef;

/// A column of an index.
pub(super) struct Column {
    pub name: String,
    descending: bool,
    collation: Collation,
}

/// The order of texts.
#[derive(Clone, Copy)]
enum Collation {
    Binary,
    NoCase,
    RightTrim,
}

impl Column {
    /// None of an expression, or with a collation that the application has.
    pub fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let collation: String = row.get(2)?;
        let collation = match collation.to_ascii_uppercase().as_str() {
            "BINARY" => Collation::Binary,
            "NOCASE" => Collation::NoCase,
            "RTRIM" => Collation::RightTrim,
            _ => return Ok(None),
        };
        let name: Option<String> = row.get(0)?;
        let descending = row.get(1)?;
        Ok(name.map(|name| Self {
            name,
            descending,
            collation,
        }))
    }

    fn order(&self, a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
        let order = order(a, b, self.collation);
        if self.descending {
            order.reverse()
        } else {
            order
        }
    }
}

/// The entry before, and how it stands to this one.
pub(super) struct Last {
    values: Vec<Held>,
    rowid: Option<i64>,
    order: Ordering,
    /// This one has a NULL, which nothing is the same as.
    null: bool,
}

impl Last {
    /// Of an index with so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            values: vec![Held::default(); columns],
            rowid: None,
            order: Ordering::Equal,
            null: false,
        }
    }

    /// The next value of this one.
    pub fn compare(&mut self, at: usize, column: &Column, value: ValueRef<'_>) {
        let held = &mut self.values[at];
        self.null |= value == ValueRef::Null;
        self.order = self.order.then_with(|| column.order(held.value(), value));
        held.hold(value);
    }

    /// After all values of this one: whether the other comes before it. Then this one is the one before the next.
    pub fn precedes(&mut self, rowid: i64, unique: bool) -> bool {
        let order = std::mem::replace(&mut self.order, Ordering::Equal);
        let null = std::mem::take(&mut self.null);
        let Some(last) = self.rowid.replace(rowid) else {
            return true;
        };
        let is_same = order == Ordering::Equal && !null;
        order.then(last.cmp(&rowid)) == Ordering::Less && !(is_same && unique)
    }
}

/// A value of the entry before.
#[derive(Clone, Default)]
enum Held {
    #[default]
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Held {
    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }

    /// Takes another value, a text or blob in the room of the one before.
    fn hold(&mut self, value: ValueRef<'_>) {
        match (value, &mut *self) {
            (ValueRef::Text(bytes), Self::Text(room))
            | (ValueRef::Blob(bytes), Self::Blob(room)) => {
                room.clear();
                room.extend_from_slice(bytes);
            }
            (ValueRef::Null, _) => *self = Self::Null,
            (ValueRef::Integer(number), _) => *self = Self::Integer(number),
            (ValueRef::Real(number), _) => *self = Self::Real(number),
            (ValueRef::Text(bytes), _) => *self = Self::Text(bytes.to_owned()),
            (ValueRef::Blob(bytes), _) => *self = Self::Blob(bytes.to_owned()),
        }
    }
}

/// SQLite's order (<https://sqlite.org/datatype3.html#comparison_expressions>).
fn order(a: ValueRef<'_>, b: ValueRef<'_>, collation: Collation) -> Ordering {
    use ValueRef::{Blob, Integer, Null, Real, Text};
    let class = |value: &ValueRef<'_>| match value {
        Null => 0,
        Integer(_) | Real(_) => 1,
        Text(_) => 2,
        Blob(_) => 3,
    };
    match (a, b) {
        (Integer(a), Integer(b)) => a.cmp(&b),
        (Real(a), Real(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Integer(a), Real(b)) => whole_and_real(a, b),
        (Real(a), Integer(b)) => whole_and_real(b, a).reverse(),
        (Text(a), Text(b)) => collation.order(a, b),
        (Blob(a), Blob(b)) => a.cmp(b),
        _ => class(&a).cmp(&class(&b)),
    }
}

/// Exactly: not every whole number is a floating-point one.
fn whole_and_real(whole: i64, real: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real >= BEYOND {
        Ordering::Less
    } else if real < -BEYOND {
        Ordering::Greater
    } else {
        let rest = real - real.trunc();
        whole.cmp(&(real as i64)).then(0f64.total_cmp(&rest))
    }
}

impl Collation {
    fn order(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Self::Binary => a.cmp(b),
            Self::NoCase => {
                let [a, b] = [a, b].map(|text| text.iter().map(u8::to_ascii_lowercase));
                a.cmp(b)
            }
            Self::RightTrim => {
                let end = |text: &[u8]| {
                    let last = text.iter().rposition(|&byte| byte != b' ');
                    last.map_or(0, |last| last + 1)
                };
                a[..end(a)].cmp(&b[..end(b)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use rusqlite::types::Value;

    use super::*;

    #[test]
    fn values_are_in_the_order_that_they_have_in_sqlite() {
        let connection = Connection::open_in_memory().expect("opens");
        let mut values = vec![Value::Null];
        for number in [
            0,
            1,
            -1,
            2,
            1 << 53,
            (1 << 53) + 1,
            -(1 << 53) - 1,
            i64::MAX,
            i64::MAX - 1,
            i64::MIN,
            i64::MIN + 1,
        ] {
            values.extend([
                Value::Integer(number),
                Value::Real(number as f64),
                Value::Real(number as f64 + 0.5),
            ]);
        }
        values.extend(
            [
                -0.0,
                -1.5,
                1e300,
                -1e300,
                f64::INFINITY,
                f64::NEG_INFINITY,
                5e-324,
            ]
            .map(Value::Real),
        );
        for text in [
            "",
            " ",
            "a",
            "A",
            "a ",
            "a  ",
            "B",
            "b",
            "ä",
            "Ä",
            "a\u{1f600}",
            "a\0",
            "ab",
            "Ab ",
            "[",
            "_",
        ] {
            values.extend([Value::Text(text.into()), Value::Blob(text.into())]);
        }
        for (collation, name) in [
            (Collation::Binary, "BINARY"),
            (Collation::NoCase, "NOCASE"),
            (Collation::RightTrim, "RTRIM"),
        ] {
            let mut less = connection
                .prepare(&format!("WITH v(x, k) AS (VALUES (?1, 1), (?2, 2)) SELECT group_concat(k, '') FROM (SELECT k FROM v ORDER BY x COLLATE {name}, k)"))
                .expect("prepares");
            let mut first = |a: &Value, b: &Value| -> String {
                less.query_row([a, b], |row| row.get(0)).expect("compares")
            };
            for a in &values {
                for b in &values {
                    // In their order when they are the same, and so the one way round only when the second is less.
                    let theirs = match (first(a, b).as_str(), first(b, a).as_str()) {
                        ("21", _) => Ordering::Greater,
                        (_, "21") => Ordering::Less,
                        _ => Ordering::Equal,
                    };
                    assert_eq!(
                        order(a.into(), b.into(), collation),
                        theirs,
                        "{a:?} {b:?} {name}"
                    );
                }
            }
        }
    }
}

//! Which rows a rule means, as SQL, and a walk over them in pieces: no piece holds a lock or a snapshot while others are written.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::{Table, quote};

/// The rows that a rule means.
#[derive(Clone, Debug)]
pub struct Selection {
    /// What tells the old rows, and where rows without a time are old too, those. No row is in two of them.
    parts: Vec<Part>,
    table: Table,
}

/// What tells the old rows, in SQL.
#[derive(Clone, Debug)]
pub struct Old {
    /// True for just these.
    pub condition: String,
    /// True for all of these, and perhaps for others; quickly told. A walk brings the rows of the range: whatever changes one asks
    /// for the condition anyway, since the row may have changed.
    pub range: String,
}

#[derive(Clone, Debug)]
struct Part {
    condition: String,
    /// The same or more, quickly told.
    range: String,
    /// The rows are gone through along an index on this column, otherwise along the key.
    along: Option<String>,
}

impl Selection {
    /// `old` is about the column; `others` hold for every row of the selection.
    pub fn new(
        table: &Table,
        column: &str,
        old: Option<Old>,
        nulls: bool,
        others: &[String],
        indexed: bool,
    ) -> Self {
        let mut parts = Vec::new();
        let whole = |first: String| {
            let mut all = vec![format!("({first})")];
            all.extend(others.iter().map(|other| format!("(\n{other}\n)")));
            all.join(" AND ")
        };
        if let Some(old) = old {
            parts.push(Part {
                condition: whole(old.condition),
                range: whole(old.range),
                along: indexed.then(|| quote(column)),
            });
        }
        if nulls {
            let condition = whole(format!("{} IS NULL", quote(column)));
            parts.push(Part {
                range: condition.clone(),
                condition,
                along: None,
            });
        }
        Self {
            parts,
            table: table.clone(),
        }
    }

    /// The rows for which `condition` is true, along the key.
    pub fn of(table: &Table, condition: &str) -> Self {
        Self {
            parts: vec![Part {
                condition: format!("({condition})"),
                range: format!("({condition})"),
                along: None,
            }],
            table: table.clone(),
        }
    }

    /// True for a row of the selection.
    pub fn condition(&self) -> String {
        match self.parts.as_slice() {
            [] => "0".to_owned(),
            [one] => one.condition.clone(),
            many => many
                .iter()
                .map(|part| format!("({})", part.condition))
                .collect::<Vec<_>>()
                .join(" OR "),
        }
    }

    /// How many rows there are in it.
    pub fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut sum = 0;
        for part in &self.parts {
            let table = quote(&self.table.name);
            let sql = format!("SELECT count(*) FROM main.{table} WHERE {}", part.condition);
            sum += connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        Ok(u64::try_from(sum).unwrap_or(0))
    }

    /// A walk from the beginning; each piece brings the key and then these columns (quoted).
    pub fn walk(&self, columns: &[String]) -> Walk<'_> {
        Walk {
            selection: self,
            columns: columns.to_vec(),
            part: 0,
            after: None,
            bytes: false,
        }
    }
}

/// Where a walk is.
pub struct Walk<'a> {
    selection: &'a Selection,
    columns: Vec<String>,
    part: usize,
    after: Option<Vec<Value>>,
    /// Text that is no UTF-8 is its bytes.
    bytes: bool,
}

/// A row: the values of its key, then those that were asked for.
pub type Row = Vec<Value>;

impl Walk<'_> {
    /// Text that is no UTF-8, which SQLite lets anybody write, is no error: it comes as its bytes. But not in a key.
    pub fn or_bytes(self) -> Self {
        Self {
            bytes: true,
            ..self
        }
    }

    /// The next rows, at most `most`, or fewer once `enough` says so after one; none at the end. Every row is seen once, also
    /// when it stays.
    pub fn piece(
        &mut self,
        connection: &Connection,
        most: usize,
        mut enough: impl FnMut(&Row) -> bool,
    ) -> rusqlite::Result<Vec<Row>> {
        while let Some(part) = self.selection.parts.get(self.part) {
            let places = self.places(part);
            let sql = self.sql(part, &places, most);
            let mut statement = connection.prepare(&sql)?;
            let values = self.after.iter().flatten();
            let mut rows = statement.query(params_from_iter(values))?;
            let mut found: Vec<Row> = Vec::new();
            let mut last = vec![Value::Null; places.len()];
            while let Some(row) = rows.next()? {
                for (at, place) in last.iter_mut().enumerate() {
                    take(place, row.get_ref(at)?)?;
                }
                let key = usize::from(part.along.is_some());
                let values = key..places.len() + self.columns.len();
                let row: Row = values
                    .map(|at| match row.get_ref(at)? {
                        ValueRef::Text(bytes) if self.bytes => Ok(text_or_bytes(bytes)),
                        ValueRef::Text(bytes) if std::str::from_utf8(bytes).is_err() => {
                            let mut names = places.iter().chain(&self.columns);
                            let column = names.nth(at).map_or("", String::as_str);
                            Err(no_utf8(column, &places, &last))
                        }
                        _ => row.get(at),
                    })
                    .collect::<rusqlite::Result<_>>()?;
                let stop = enough(&row);
                found.push(row);
                if stop {
                    break;
                }
            }
            if !found.is_empty() {
                self.after = Some(last);
                return Ok(found);
            }
            self.part += 1;
            self.after = None;
        }
        Ok(Vec::new())
    }

    /// What the walk is ordered by, quoted.
    fn places(&self, part: &Part) -> Vec<String> {
        let key = self.selection.table.key.iter().map(|name| quote(name));
        part.along.iter().cloned().chain(key).collect()
    }

    fn sql(&self, part: &Part, places: &[String], most: usize) -> String {
        let mut sql = format!(
            "SELECT {} FROM main.{} WHERE {}",
            [places, &self.columns].concat().join(", "),
            quote(&self.selection.table.name),
            part.range
        );
        if self.after.is_some() {
            let marks: Vec<_> = (1..=places.len()).map(|at| format!("?{at}")).collect();
            sql.push_str(&format!(
                " AND ({}) > ({})",
                places.join(", "),
                marks.join(", ")
            ));
            if let Some(along) = &part.along {
                sql.push_str(&format!(" AND {along} >= ?1"));
            }
        }
        sql.push_str(&format!(" ORDER BY {} LIMIT {most}", places.join(", ")));
        sql
    }
}

/// The same value, without a new place for each text.
fn take(place: &mut Value, value: ValueRef<'_>) -> rusqlite::Result<()> {
    match (place, value) {
        (Value::Text(own), ValueRef::Text(_)) => {
            own.clear();
            own.push_str(value.as_str()?);
        }
        (own, value) => *own = value.try_into()?,
    }
    Ok(())
}

/// Which value that is: SQLite itself would only say in which column of a statement that nobody knows.
fn no_utf8(column: &str, places: &[String], row: &[Value]) -> rusqlite::Error {
    let pairs: Vec<_> = places
        .iter()
        .zip(row)
        .map(|(name, value)| match value {
            Value::Integer(number) => format!("{name} = {number}"),
            Value::Real(number) => format!("{name} = {number}"),
            Value::Text(text) => format!("{name} = '{}'", text.replace('\'', "''")),
            Value::Blob(bytes) => format!("{name} = a BLOB of {} bytes", bytes.len()),
            Value::Null => format!("{name} IS NULL"),
        })
        .collect();
    let message = format!(
        "{column} holds text that is no UTF-8, in the row with {}",
        pairs.join(" AND ")
    );
    rusqlite::Error::UserFunctionError(message.into())
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Blob(bytes.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Stop;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn every_row_is_seen_once_whatever_the_order() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, c, state);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   INSERT INTO t SELECT i, CASE i % 7 WHEN 0 THEN NULL ELSE i % 5 END, i % 2 FROM n;
                 CREATE INDEX by_c ON t(c);
                 CREATE TABLE w(a TEXT, b INT, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
                 INSERT INTO w SELECT id % 10, id, c FROM t;",
            )
            .expect("fills");
        let stop = Stop::after(Duration::from_secs(60));
        for (name, indexed) in [("t", true), ("t", false), ("w", false)] {
            let table = Table::find(&connection, name, Path::new("x.db"), &stop)
                .expect("no error")
                .expect("is there");
            let condition = "\"c\" >= 0 AND \"c\" < 3".to_owned();
            let old = Some(Old {
                range: condition.clone(),
                condition,
            });
            let selection = Selection::new(
                &table,
                "c",
                old,
                true,
                &["c IS NULL OR c <> 1".into()],
                indexed,
            );
            let mut walk = selection.walk(&[quote("c")]);
            let mut seen = Vec::new();
            loop {
                let piece = walk.piece(&connection, 17, |_| false).expect("reads");
                if piece.is_empty() {
                    break;
                }
                seen.extend(
                    piece
                        .into_iter()
                        .map(|row| format!("{:?}", &row[..row.len() - 1])),
                );
            }
            let all = seen.len() as u64;
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len() as u64, all, "{name}: a row twice");
            assert_eq!(all, selection.count(&connection).expect("counts"), "{name}");
            let sql = format!(
                "SELECT count(*) FROM {name} WHERE {}",
                selection.condition()
            );
            let counted: i64 = connection
                .query_row(&sql, [], |row| row.get(0))
                .expect("counts");
            assert_eq!(counted as u64, all);
            assert!(all > 400);
        }
    }
}

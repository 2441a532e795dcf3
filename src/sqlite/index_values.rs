//! All values of a column, straight from the pages of an index on it: six times as fast as asking for row after row. What is in the
//! pages is looked at on another thread than the one that reads them.

use std::sync::mpsc;
use std::thread;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::btree::{Page, Pages, varint};

/// No index is deeper.
const DEEPEST: usize = 40;
/// No page of an index is the file's first.
const NOT_THE_FIRST: u32 = 0;

/// Bytes of pages that go from thread to thread at once, and how often that before one waits for the other.
const BATCH: usize = 256 << 10;
const BATCHES: usize = 4;

/// What hears every value.
type Each<'a> = &'a mut (dyn FnMut(ValueRef<'_>) + Send);

/// Calls `each` with the value of `column` in every row, in any order. False where no index has them all, or one is of a form that is
/// not read here: then what `each` has heard means nothing.
pub(super) fn each_value(
    connection: &Connection,
    table: &str,
    column: &str,
    each: Each<'_>,
) -> rusqlite::Result<bool> {
    if !connection.is_autocommit() {
        return read(connection, table, column, each);
    }
    let transaction = connection.unchecked_transaction()?;
    let found = read(&transaction, table, column, each);
    transaction.finish()?;
    found
}

fn read(
    connection: &Connection,
    table: &str,
    column: &str,
    each: Each<'_>,
) -> rusqlite::Result<bool> {
    let encoding: String = connection.query_row("PRAGMA main.encoding", [], |row| row.get(0))?;
    let Some(root) = root(connection, table, column)? else {
        return Ok(false);
    };
    if encoding != "UTF-8" {
        return Ok(false);
    }
    let (batches, given) = mpsc::sync_channel::<Batch>(BATCHES);
    thread::scope(|scope| {
        let looking = scope.spawn(move || given.iter().all(|batch| batch.values(each).is_some()));
        let handed = walk(connection, root, &batches);
        drop(batches);
        match looking.join() {
            Ok(understood) => Ok(handed? && understood),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Hands on every page of the index. False where it is no tree, or nobody wants more.
fn walk(
    connection: &Connection,
    root: u32,
    batches: &mpsc::SyncSender<Batch>,
) -> rusqlite::Result<bool> {
    let mut pages = Pages::of(connection)?;
    let (size, usable) = (pages.size, pages.usable);
    let mut batch = Batch::new(size, usable);
    let mut read = 0;
    let mut next = vec![(root, 0)];
    while let Some((number, depth)) = next.pop() {
        read += 1;
        if read > pages.count || depth > DEEPEST {
            return Ok(false); // a circle
        }
        let understood = pages.read(number, |bytes| {
            batch.bytes.extend_from_slice(bytes);
            let first = next.len();
            let page = Page::of(bytes, number, usable).filter(Page::is_of_index)?;
            page.children(|child| next.push((child, depth + 1)))?;
            next[first..].reverse();
            Some(())
        })?;
        if understood.flatten().is_none() {
            return Ok(false);
        }
        if batch.bytes.len() >= BATCH {
            let full = std::mem::replace(&mut batch, Batch::new(size, usable));
            if batches.send(full).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(batches.send(batch).is_ok())
}

/// Pages, one after the other.
struct Batch {
    bytes: Vec<u8>,
    page: usize,
    usable: usize,
}

impl Batch {
    fn new(page: usize, usable: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(BATCH + page),
            page,
            usable,
        }
    }

    /// Calls `each` for each entry; `None` for what is not understood.
    fn values(&self, each: Each<'_>) -> Option<()> {
        for bytes in self.bytes.chunks_exact(self.page) {
            let page = Page::of(bytes, NOT_THE_FIRST, self.usable)?;
            for cell in page.cells()? {
                let (record, rest) = page.record(cell?)?;
                if rest.is_some() {
                    return None; // the value may go on there
                }
                each(first_value(record)?);
            }
        }
        Some(())
    }
}

/// The first page of an index over all rows that begins with the column. A column of reals is left out: their whole numbers are
/// stored as something else.
fn root(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<Option<u32>> {
    let mut statement = connection.prepare(
        "SELECT schema.rootpage FROM pragma_index_list(?1, 'main') AS list
         JOIN pragma_index_info(list.name, 'main') AS info ON info.seqno = 0 AND info.name = ?2 COLLATE NOCASE
         JOIN pragma_table_info(?1, 'main') AS own ON own.name = info.name AND own.type NOT LIKE '%REAL%'
           AND own.type NOT LIKE '%FLOA%' AND own.type NOT LIKE '%DOUB%'
         JOIN main.sqlite_schema AS schema ON schema.type = 'index' AND schema.name = list.name
         WHERE list.partial = 0 AND list.origin <> 'pk' LIMIT 1",
    )?;
    statement
        .query_row([table, column], |row| row.get(0))
        .optional()
}

fn first_value(record: &[u8]) -> Option<ValueRef<'_>> {
    let (head, at) = varint(record, 0)?;
    let (kind, _) = varint(record, at)?;
    let body = record.get(usize::try_from(head).ok()?..)?;
    let whole = |width: usize| -> Option<ValueRef<'_>> {
        let mut bytes = [0_u8; 8];
        let from = body.get(..width)?;
        if from.first()? & 0x80 != 0 {
            bytes = [0xff; 8];
        }
        bytes[8 - width..].copy_from_slice(from);
        Some(ValueRef::Integer(i64::from_be_bytes(bytes)))
    };
    Some(match kind {
        0 => ValueRef::Null,
        1..=4 => whole(usize::try_from(kind).ok()?)?,
        5 => whole(6)?,
        6 => whole(8)?,
        7 => ValueRef::Real(f64::from_be_bytes(body.get(..8)?.try_into().ok()?)),
        8 => ValueRef::Integer(0),
        9 => ValueRef::Integer(1),
        10 | 11 => return None,
        long => {
            let bytes = body.get(..usize::try_from((long - 12) / 2).ok()?)?;
            match long % 2 {
                0 => ValueRef::Blob(bytes),
                _ => ValueRef::Text(bytes),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::types::Value;

    fn sorted(mut values: Vec<Value>) -> Vec<String> {
        let mut shown: Vec<_> = values.drain(..).map(|one| format!("{one:?}")).collect();
        shown.sort();
        shown
    }

    fn both(connection: &Connection) -> (Vec<String>, Option<Vec<String>>) {
        let rows: Vec<Value> = connection
            .prepare("SELECT c FROM t NOT INDEXED")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .expect("selects");
        let mut seen: Vec<Value> = Vec::new();
        let found = each_value(connection, "t", "C", &mut |value| {
            seen.push(value.try_into().expect("valid"))
        });
        let found = found.expect("reads");
        (sorted(rows), found.then(|| sorted(seen)))
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            (0..64_u32, any::<bool>()).prop_map(|(bits, minus)| {
                let number = (1_i64 << bits.min(62)) - i64::from(bits % 3);
                Value::Integer(if minus { -number } else { number })
            }),
            any::<f64>()
                .prop_filter("SQLite has no NaN", |real| !real.is_nan())
                .prop_map(Value::Real),
            "[ -~]{0,60}".prop_map(Value::Text),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn the_pages_say_what_the_rows_say(values in proptest::collection::vec(any_value(), 0..400), reserved in any::<bool>()) {
            let connection = Connection::open_in_memory().expect("opens");
            connection
                .execute_batch(&format!(
                    "PRAGMA page_size={}; CREATE TABLE t(id INTEGER PRIMARY KEY, c, d); CREATE INDEX i ON t(c DESC, d)",
                    if reserved { 512 } else { 1024 }
                ))
                .expect("creates");
            for value in values {
                connection.execute("INSERT INTO t(c, d) VALUES (?1, 7)", [value]).expect("inserts");
            }
            let (rows, pages) = both(&connection);
            prop_assert_eq!(Some(rows), pages);
        }
    }

    #[test]
    fn what_it_does_not_understand_it_leaves() {
        for (schema, understood) in [
            ("CREATE TABLE t(c); CREATE INDEX i ON t(c)", true),
            ("CREATE TABLE t(a, c); CREATE INDEX i ON t(a, c)", false),
            (
                "CREATE TABLE t(c); CREATE INDEX i ON t(c) WHERE c > 'x'",
                false,
            ),
            ("CREATE TABLE t(c); CREATE INDEX i ON t(upper(c))", false),
            ("CREATE TABLE t(c DOUBLE); CREATE INDEX i ON t(c)", false),
            ("CREATE TABLE t(c)", false),
            (
                "PRAGMA encoding='UTF-16le'; CREATE TABLE t(c); CREATE INDEX i ON t(c)",
                false,
            ),
            (
                "CREATE TABLE t(k, c UNIQUE, PRIMARY KEY (k)) WITHOUT ROWID",
                true,
            ),
        ] {
            let connection = Connection::open_in_memory().expect("opens");
            let columns = match schema.contains("(a, c)") || schema.contains("(k, c") {
                true => "",
                false => "(c)",
            };
            let value = match columns {
                "" => "'2026', '2026-01-01'",
                _ => "'2026-01-01'",
            };
            connection
                .execute_batch(&format!(
                    "{schema}; INSERT INTO t{columns} VALUES ({value})"
                ))
                .expect("creates");
            assert_eq!(both(&connection).1.is_some(), understood, "{schema}");
        }
        // A value that goes on in another page.
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(c); CREATE INDEX i ON t(c); INSERT INTO t VALUES (zeroblob(9000))",
            )
            .expect("creates");
        assert_eq!(both(&connection).1, None);
    }
}

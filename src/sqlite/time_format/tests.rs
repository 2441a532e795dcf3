//! Every form, told and chosen; what is refused.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use proptest::prelude::*;

use super::form::is_same_day;
use super::*;
use crate::sys::Stop;

const CUTOFF: &str = "2026-08-26T03:00:00Z";

fn cutoff() -> Timestamp {
    CUTOFF.parse().expect("a time")
}

/// A table `t` with the column `c` of that declared type, and these SQL literals in it.
fn filled(declared: &str, values: &[&str]) -> Connection {
    let connection = Connection::open_in_memory().expect("opens");
    connection
        .execute_batch(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, c {declared}, state)"
        ))
        .expect("creates");
    for value in values {
        connection
            .execute_batch(&format!("INSERT INTO t(c) VALUES ({value})"))
            .expect("fills");
    }
    connection
}

fn look(connection: &Connection) -> anyhow::Result<Times> {
    let column = TimeColumn {
        table: "t",
        column: "c",
        filter: None,
    };
    let stop = Stop::after(Duration::from_secs(60));
    column.look(connection, cutoff(), Path::new("x.db"), &stop)
}

fn count(connection: &Connection, condition: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM t WHERE {condition}");
    connection
        .query_row(&sql, [], |row| row.get::<_, i64>(0))
        .map(|number| u64::try_from(number).expect("a count"))
        .expect("counts")
}

/// Two values before the cut-off, one at it, one after it, for each form: the expected name is the form's.
#[test]
fn each_form_is_told_and_chosen_exactly() {
    let iso = |separator: &str, tail: &str| {
        [
            "2025-01-01 00:00:00",
            "2026-08-26 02:59:59",
            "2026-08-26 03:00:00",
            "2026-11-24 00:00:00",
        ]
        .map(|text| format!("'{}{tail}'", text.replace(' ', separator)))
        .to_vec()
    };
    let seconds: Vec<i64> = [
        "2025-01-01T00:00:00Z",
        "2026-08-26T02:59:59Z",
        CUTOFF,
        "2026-11-24T00:00:00Z",
    ]
    .map(|text| text.parse::<Timestamp>().expect("a time").as_second())
    .to_vec();
    let epoch = |factor: i64, quote: &str| -> Vec<String> {
        seconds
            .iter()
            .map(|second| format!("{quote}{}{quote}", second * factor))
            .collect()
    };
    let julian = seconds
        .iter()
        .map(|second| format!("julianday({second}, 'unixepoch')"))
        .collect();
    let strings = |values: &[&str]| values.iter().map(|value| format!("'{value}'")).collect();
    let cases: Vec<(&str, &str, Vec<String>)> = vec![
        ("TEXT", "text YYYY-MM-DD HH:MM:SS (as UTC)", iso(" ", "")),
        (
            "DATETIME",
            "text YYYY-MM-DDTHH:MM:SS (as UTC)",
            iso("T", ""),
        ),
        ("INTEGER", "text YYYY-MM-DDTHH:MM:SSZ", iso("T", "Z")),
        ("", "text YYYY-MM-DDTHH:MM:SSZ", iso("T", ".000Z")),
        (
            "TEXT COLLATE NOCASE",
            "text YYYY-MM-DD HH:MM:SS (as UTC)",
            iso(" ", ".000000"),
        ),
        (
            "TEXT",
            "text YYYY-MM-DD HH:MM:SS (as UTC)", // Python leaves out a fraction of zero
            strings(&[
                "2025-01-01 00:00:00.5",
                "2026-08-26 02:59:59.999999",
                "2026-08-26 03:00:00",
                "2026-08-26 03:00:00.1",
            ]),
        ),
        (
            "TEXT",
            "text YYYY-MM-DDTHH:MM:SS+02:00",
            strings(&[
                "2025-01-01T00:00:00+02:00",
                "2026-08-26T04:59:59+02:00",
                "2026-08-26T05:00:00+02:00",
                "2026-11-24T00:00:00+02:00",
            ]),
        ),
        (
            "TEXT",
            "text YYYY-MM-DD HH:MM:SS-03", // as PostgreSQL writes it
            strings(&[
                "2025-01-01 00:00:00-03",
                "2026-08-25 23:59:59-03",
                "2026-08-26 00:00:00-03",
                "2026-11-24 00:00:00-03",
            ]),
        ),
        (
            "TEXT",
            "text YYYY-MM-DD HH:MM:SS+0530",
            strings(&[
                "2025-01-01 00:00:00+0530",
                "2026-08-26 08:29:59+0530",
                "2026-08-26 08:30:00+0530",
                "2026-11-24 00:00:00+0530",
            ]),
        ),
        (
            "TEXT",
            "text YYYY-MM-DDTHH:MM:SS±hh:mm", // summer and winter
            strings(&[
                "2025-01-01T00:00:00.5+01:00",
                "2026-08-26T16:59:59+14:00",
                "2026-08-25T15:00:00-12:00",
                "2026-08-26T03:00:00Z",
            ]),
        ),
        (
            "TEXT",
            "text YYYY-MM-DD HH:MM (as UTC)",
            strings(&[
                "2025-01-01 00:00",
                "2026-08-26 02:59",
                "2026-08-26 03:00",
                "2026-11-24 00:00",
            ]),
        ),
        (
            "DATE",
            "text YYYY-MM-DD (as UTC)",
            strings(&["2025-01-01", "2026-08-26", "2026-08-27", "2026-11-24"]),
        ),
        ("INTEGER", "seconds since 1970", epoch(1, "")),
        ("INTEGER", "milliseconds since 1970", epoch(1_000, "")),
        ("", "microseconds since 1970", epoch(1_000_000, "")),
        (
            "INTEGER",
            "nanoseconds since 1970",
            epoch(1_000_000_000, ""),
        ),
        ("REAL", "seconds since 1970", epoch(1, "")),
        ("TEXT", "seconds since 1970 as text", epoch(1, "'")),
        ("TEXT", "milliseconds since 1970 as text", epoch(1_000, "'")),
        ("", "microseconds since 1970 as text", epoch(1_000_000, "'")),
        (
            "BLOB",
            "nanoseconds since 1970 as text",
            epoch(1_000_000_000, "'"),
        ),
        ("REAL", "Julian day", julian),
    ];
    for (declared, name, values) in cases {
        let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.push("NULL");
        let connection = filled(declared, &values);
        let times = look(&connection).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let format = times.format.expect("has values");
        assert_eq!(format.to_string(), name);
        assert_eq!((times.rows, times.nulls, times.older), (5, 1, 2), "{name}");
        let older = format.older_than("\"c\"", cutoff());
        let since = format.since("\"c\"", cutoff());
        let plainly = format.plainly_older_than("\"c\"", cutoff());
        format.teach(&connection, cutoff()).expect("teaches");
        assert_eq!(count(&connection, &older), 2, "{name}: {older}");
        assert_eq!(count(&connection, &plainly), 2, "{name}: {plainly}");
        assert_eq!(count(&connection, &since), 2, "{name}: {since}");
        // What is written later, in any other form, is never taken for old.
        connection
            .execute_batch(
                "CREATE TABLE more(c);
                 INSERT INTO more VALUES (''), ('-'), ('soon'), (0), (1), (-1), (NULL), (x'00'), ('0001-01-01 00:00:00'), ('1970-01-01'), (1e300)",
            )
            .expect("fills");
        let all = format!("SELECT count(*) FROM more WHERE ({older}) OR ({plainly}) OR ({since})");
        let taken: i64 = connection
            .query_row(&all, [], |row| row.get(0))
            .expect("counts");
        assert_eq!(taken, 0, "{name}");
        // What goes is never more than what was counted: a zone that is not known, the last half of a millisecond.
        connection
            .execute_batch(&format!(
                "CREATE TABLE doubtful(c);
                 INSERT INTO doubtful VALUES ('2020-01-01T00:00:00-00:00'), ('2020-01-01T00:00:00-00'), ('2020-01-01 00:00:00-00:00');
                 INSERT INTO doubtful SELECT strftime('%Y-%m-%dT%H:%M:%S', unixepoch('{CUTOFF}') - 1, 'unixepoch') || zone.column1 || '+00:00'
                   FROM (VALUES ('.9994'), ('.9996'), ('.99951234')) AS zone"
            ))
            .expect("fills");
        let more =
            format!("SELECT count(*) FROM doubtful WHERE ({plainly}) AND ({older}) IS NOT TRUE");
        let taken: i64 = connection
            .query_row(&more, [], |row| row.get(0))
            .expect("counts");
        assert_eq!(taken, 0, "{name}");
        // The same value means the same in Rust and in SQL, and none of the others means anything.
        let mut statement = connection
            .prepare("SELECT c FROM t WHERE c IS NOT NULL")
            .expect("prepares");
        let mut rows = statement.query([]).expect("queries");
        let mut before = 0;
        while let Some(row) = rows.next().expect("steps") {
            let moment = format.read(row.get_ref(0).expect("a value"));
            before += u64::from(moment.expect("a moment") < cutoff());
        }
        assert_eq!(before, 2, "{name}");
        assert_eq!(format.read(ValueRef::Text(b"soon")), None);
        assert_eq!(format.read(ValueRef::Integer(0)), None);
    }
}

#[test]
fn one_form_never_takes_another_for_old() {
    let old = "'2001-10-10 00:00:00', '2001-10-10T00:00:00', '2001-10-10T00:00:00Z', '2001-10-10T00:00:00+01:00', '2001-10-10',
        1002672000, 1002672000000, 1002672000000000, 1002672000000000000, '1002672000', '1002672000000', 2452192.5";
    let old: Vec<&str> = old.split(',').map(str::trim).collect();
    for (at, value) in old.iter().enumerate() {
        let connection = filled("", &old);
        let format = look(&filled("", &[value]))
            .expect("one form")
            .format
            .expect("a value");
        format.teach(&connection, cutoff()).expect("teaches");
        for condition in [
            format.older_than("c", cutoff()),
            format.plainly_older_than("c", cutoff()),
        ] {
            let ids: Vec<i64> = connection
                .prepare(&format!("SELECT id FROM t WHERE {condition}"))
                .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
                .expect("selects");
            assert_eq!(
                ids,
                [i64::try_from(at).expect("small") + 1],
                "{format}: {condition}"
            );
        }
    }
}

#[test]
fn what_is_mixed_or_doubtful_is_refused_with_examples() {
    let now = "2026-08-26 03:00:00";
    for (values, told) in [
        (
            vec!["'2026-08-26 03:00:00'", "'2026-08-26T03:00:00'"],
            "1 value: text YYYY-MM-DDTHH:MM:SS (as UTC), as '2026-08-26T03:00:00'",
        ),
        (
            vec!["'2026-08-26 03:00:00'", "'2026-08-26 03:00:00Z'"],
            "mixes forms",
        ),
        (vec!["'2026-08-26 03:00:00'", "'2026-08-26'"], "mixes forms"),
        (
            vec!["'2026-08-26T03:00:00+02'", "'2026-08-26T03:00:00+01'"],
            "mixes forms",
        ),
        (
            vec!["1787713200", "1787713200000"],
            "1 value: milliseconds since 1970, as 1787713200000",
        ),
        (
            vec!["1787713200", "1787713200", "'2026-08-26 03:00:00'"],
            "2 values: seconds since 1970, as 1787713200; 1 value",
        ),
        (vec!["1787713200", "0"], "without doubt, as 0"),
        (vec!["'2026-08-26 03:00:00'", "''"], "without doubt, as ''"),
        (
            vec!["'2026-08-26 03:00:00'", "'0000-00-00 00:00:00'"],
            "as '0000-00-00 00:00:00'",
        ),
        (
            vec!["'24.11.2026'"],
            "is no column of times: 1 value: no moment that could be told without doubt, as '24.11.2026'",
        ),
        (vec!["20261124"], "as 20261124"),
        (vec!["20261124030000"], "as 20261124030000"),
        (vec!["1", "2", "3"], "3 values"),
        (
            vec!["2460000"],
            "a Julian day or any other whole number, as 2460000",
        ),
        (vec!["x'00ff'"], "as a blob"),
        (vec!["'2026-08-26 03:00:00 Europe/Berlin'"], "without doubt"),
        (vec!["char(27) || '[31m'"], "as '\\u{1b}[31m'"),
    ] {
        let connection = filled("", &values);
        let error = look(&connection).expect_err(&format!("{values:?}"));
        assert_eq!(crate::error::kind_of(&error), crate::error::Kind::Refused);
        assert!(error.to_string().contains(told), "{values:?}: {error}");
        // With a filter that leaves the odd rows out, what remains is one form.
        let column = TimeColumn {
            table: "t",
            column: "c",
            filter: Some("c = '2026-08-26 03:00:00'"),
        };
        let stop = Stop::after(Duration::from_secs(60));
        let times = column
            .look(&connection, cutoff(), Path::new("x.db"), &stop)
            .expect("one form");
        assert_eq!(
            times.format.is_some(),
            values.contains(&&*format!("'{now}'"))
        );
    }
}

#[test]
fn the_range_of_times_and_a_column_without_any() {
    let times = look(&filled(
        "",
        &[
            "'2026-08-26T03:00:00+02:00'",
            "'2026-08-26T02:00:00Z'",
            "NULL",
        ],
    ))
    .expect("one form");
    assert_eq!(times.oldest, "2026-08-26T01:00:00Z".parse().ok());
    assert_eq!(times.newest, "2026-08-26T02:00:00Z".parse().ok());
    for values in [vec![], vec!["NULL", "NULL"]] {
        let times = look(&filled("", &values)).expect("nothing to doubt");
        assert_eq!((times.format, times.nulls), (None, values.len() as u64));
    }
}

#[test]
fn a_name_that_is_not_there_is_an_error_and_never_a_text() {
    let connection = filled("", &["1787713200"]);
    let stop = Stop::after(Duration::from_secs(60));
    for (table, name) in [("t", "created"), ("trades", "c")] {
        let column = TimeColumn {
            table,
            column: name,
            filter: None,
        };
        let error = column
            .look(&connection, cutoff(), Path::new("x.db"), &stop)
            .expect_err("is not there");
        assert_eq!(crate::error::kind_of(&error), crate::error::Kind::Missing);
    }
}

#[test]
fn an_index_on_the_column_is_used() {
    for values in [
        ["'2025-01-01 00:00:00'", "'2025-01-02 00:00:00'"],
        ["'2025-01-01T00:00:00+01:00'", "'2025-01-02T00:00:00Z'"],
        ["1735689600", "1735689601"],
        ["'1735689600'", "'1735689601'"],
        ["2460676.5", "2460676.6"],
    ] {
        let connection = filled("", &values);
        connection
            .execute_batch("CREATE INDEX i ON t(c)")
            .expect("creates");
        let format = look(&connection)
            .expect("one form")
            .format
            .expect("a value");
        for condition in [
            format.older_than("\"c\"", cutoff()),
            format.since("\"c\"", cutoff()),
        ] {
            let plan: String = connection
                .query_row(
                    &format!("EXPLAIN QUERY PLAN SELECT id FROM t WHERE {condition}"),
                    [],
                    |row| row.get(3),
                )
                .expect("explains");
            assert!(
                plan.starts_with("SEARCH")
                    && (plan.contains("(c>? AND c<?)") || plan.contains("(c>?)")),
                "{plan}"
            );
        }
    }
}

proptest! {
    #[test]
    fn a_time_of_the_same_day_has_the_same_form(
        known in "2026-08-26[ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,4})?(Z|[+]0[0-9]:[0-6]0)?",
        at in 11_usize..32,
        byte in "[0-9:.Zx+]",
    ) {
        let mut text = known.clone().into_bytes();
        let at = at.min(text.len() - 1);
        text[at] = byte.as_bytes()[0];
        let form_of = |text: &[u8]| form(ValueRef::Text(text));
        let known_form = form_of(known.as_bytes());
        if known_form.is_some() && is_same_day(known.as_bytes(), &text) {
            prop_assert_eq!(known_form, form_of(&text));
        }
    }
}

#[test]
fn moments_of_one_day_are_told_by_their_times_alone() {
    for (known, text, same) in [
        ("2026-08-26 03:00:00", "2026-08-26 23:59:59", true),
        ("2026-08-26 03:00:00", "2026-08-26 24:00:00", false),
        ("2026-08-26 03:00:00", "2026-08-27 03:00:00", false),
        ("2026-08-26T03:00:00.000Z", "2026-08-26T03:00:00.999Z", true),
        (
            "2026-08-26T03:00:00.000Z",
            "2026-08-26T03:00:00.99xZ",
            false,
        ),
        (
            "2026-08-26T03:00:00+01:00",
            "2026-08-26T03:00:00+02:00",
            false,
        ),
    ] {
        let found = is_same_day(known.as_bytes(), text.as_bytes());
        assert_eq!(found, same, "{known} {text}");
    }
}

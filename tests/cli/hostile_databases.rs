//! Databases that somebody made to do harm, or that only their application understands: the commands that change live databases, and
//! those that save them, say what is wrong or cope, lose nothing, and never panic.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Server, finding, finding_ids, number, sql};

const NOW: &str = "2026-11-09T04:13:00Z";
const RULE: &str = "[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"kept\"\ncolumn = \"at\"\nolder_than = \"90d\"\nmax_fraction = 1.0\naction = \"delete\"\n";

/// Rows 1 to 50 of `kept` are too old, 51 to 100 are not.
const KEPT: &str = "
    CREATE TABLE kept (id INTEGER PRIMARY KEY, at TEXT, note TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100)
      INSERT INTO kept SELECT i, datetime('2026-11-09', iif(i <= 50, -200, -20) || ' days'), 'row ' || i FROM c;
    CREATE TABLE other (id INTEGER PRIMARY KEY, x);
    INSERT INTO other SELECT id, note FROM kept;";

fn server(schema: &str) -> Server {
    let server = Server::new().config(RULE);
    sql(&server.database(), &format!("{KEPT}{schema}"));
    server
}

fn set_rule(server: &Server, rule: &str) {
    let config = fs::read_to_string(server.config_path()).unwrap();
    assert!(config.contains(RULE));
    fs::write(server.config_path(), config.replace(RULE, rule)).unwrap();
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("data-clean --no-backup-check --now {NOW} {line}"))
}

/// `writable_schema` on a connection of its own, as an editor of a file would have it.
fn edit(path: &Path, statements: &str) {
    sql(
        path,
        &format!("PRAGMA writable_schema=ON; {statements}; PRAGMA wal_checkpoint(TRUNCATE)"),
    );
}

fn no_panic(report: &Value, name: &str) {
    let text = report.to_string();
    assert!(
        !text.contains("a defect of this program") && !text.contains("panicked"),
        "{name}: {report:#}"
    );
}

fn count(server: &Server, table: &str) -> i64 {
    number(&server.database(), &format!("SELECT count(*) FROM {table}"))
}

/// Whoever works out the columns of the last of them compiles eight million queries.
#[test]
fn views_of_views_of_views_hold_up_nobody() {
    let mut schema = String::from("CREATE TABLE z (a); CREATE VIEW w0 AS SELECT a FROM z;");
    for level in 1..24 {
        let below = level - 1;
        schema += &format!(
            "CREATE VIEW w{level} AS SELECT a FROM w{below} UNION ALL SELECT a FROM w{below};"
        );
    }
    let server = server(&schema);
    for line in ["backup", "optimize-db", "access-audit", "query-review"] {
        let (code, report) = server.json(&format!("{line} --timeout 20s"));
        assert!(code < 2, "{line}: {report:#}");
    }
    let (code, report) = clean(&server, "--timeout 20s");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(count(&server, "kept"), 50);
}

/// A trigger is part of the application: it runs in the same transaction, and what it refuses stays.
#[test]
fn triggers_that_write_elsewhere_raise_or_delete_more() {
    // Writes elsewhere.
    let one = server(
        "CREATE TRIGGER t AFTER DELETE ON kept BEGIN UPDATE other SET x = 'gone' WHERE id = old.id; END;",
    );
    let (code, report) = clean(&one, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (count(&one, "kept"), count(&one, "other WHERE x = 'gone'")),
        (50, 50)
    );

    // Raises: the row stays, the others go.
    let one = server(
        "CREATE TRIGGER t BEFORE DELETE ON kept WHEN old.id % 10 = 0 BEGIN SELECT RAISE(ABORT, 'not this one'); END;",
    );
    let (code, report) = clean(&one, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(count(&one, "kept WHERE id <= 50"), 5);
    finding(&report, "data-clean.kept");

    // Ends the whole transaction: an error that says so, nothing half done.
    let one = server(
        "CREATE TRIGGER t BEFORE DELETE ON kept WHEN old.id = 7 BEGIN SELECT RAISE(ROLLBACK, 'never'); END;",
    );
    let (_, report) = clean(&one, "");
    no_panic(&report, "rollback");
    assert_eq!(count(&one, "kept WHERE id = 7 OR id > 50"), 51);

    // Deletes more, of its own table and of others: what goes is told, and nothing is counted twice.
    let one = server(
        "CREATE TRIGGER t AFTER DELETE ON kept BEGIN DELETE FROM other WHERE id = old.id + 50; DELETE FROM kept WHERE id = old.id + 50; END;",
    );
    let (code, report) = clean(&one, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["rules"][0]["done"], 50);
    assert_eq!((count(&one, "kept"), count(&one, "other")), (0, 50));

    // Calls what is not trusted from a schema, or is not there.
    for body in [
        "SELECT load_extension('/tmp/x.so')",
        "SELECT nobody_has_this(1)",
    ] {
        let one = server(&format!(
            "CREATE TRIGGER t AFTER DELETE ON kept BEGIN {body}; END;"
        ));
        let (code, report) = clean(&one, "");
        assert_eq!(code, 2, "{report:#}");
        no_panic(&report, body);
        assert_eq!(count(&one, "other"), 100);
        assert_eq!(number(&one.database(), "SELECT count(*) FROM kept"), 100);
    }
}

#[test]
fn views_are_not_run() {
    let endless = "AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS id, '2020-01-01' AS at FROM c";
    let one = server(&format!(
        "DROP TABLE kept; CREATE VIEW kept {endless}; CREATE VIEW more {endless};
         CREATE TRIGGER instead INSTEAD OF DELETE ON kept BEGIN DELETE FROM other; END;"
    ));
    let (code, report) = clean(&one, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    assert!(
        refused["message"].as_str().unwrap().contains("a view"),
        "{refused}"
    );
    let (code, report) = one.json("optimize-db --no-backup-check app_db");
    assert!(code < 2, "{report:#}");
    assert_eq!(count(&one, "other"), 100);
}

/// Each is an edit of `sqlite_schema`. A database that cannot be understood is left as it is.
#[test]
fn a_schema_that_somebody_edited() {
    let deep = |open: &str, close: &str, times: usize| {
        format!(
            "replace(hex(zeroblob({times})), '00', '{open}') || '1' || replace(hex(zeroblob({times})), '00', '{close}')"
        )
    };
    let table = |body: &str| {
        format!(
            "UPDATE sqlite_schema SET sql = 'CREATE TABLE kept (id INTEGER PRIMARY KEY, at TEXT, note TEXT ' || {body} || ')' WHERE name = 'kept'"
        )
    };
    for (name, edited) in [
        ("a check too deep", table(&format!("'CHECK (' || {} || ')'", deep("(", ")", 20_000)))),
        ("a generated column too deep", table(&format!("', g AS (' || {} || ')'", deep("abs(", ")", 20_000)))),
        (
            "a view too deep",
            format!("INSERT INTO sqlite_schema VALUES ('view', 'v', 'v', 0, 'CREATE VIEW v AS SELECT ' || {})", deep("(", ")", 20_000)),
        ),
        (
            "a trigger too deep",
            format!("INSERT INTO sqlite_schema VALUES ('trigger', 't', 'kept', 0, 'CREATE TRIGGER t AFTER DELETE ON kept BEGIN SELECT ' || {} || '; END')", deep("(", ")", 20_000)),
        ),
        ("another table's page", "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'other') WHERE name = 'kept'".to_owned()),
        ("a page that is not there", "UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = 'kept'".to_owned()),
        ("the page of the schema", "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'kept'".to_owned()),
        ("a name twice", "INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema WHERE name = 'kept'".to_owned()),
        ("another name", "UPDATE sqlite_schema SET name = 'sqlite_kept', tbl_name = 'sqlite_kept' WHERE name = 'kept'".to_owned()),
        ("a kind that is none", "UPDATE sqlite_schema SET type = 'thing' WHERE name = 'kept'".to_owned()),
        ("an index of nothing", "INSERT INTO sqlite_schema VALUES ('index', 'i', 'nobody', 3, 'CREATE INDEX i ON nobody(x)')".to_owned()),
        ("no text", "UPDATE sqlite_schema SET sql = x'00ff00' WHERE name = 'kept'".to_owned()),
    ] {
        let one = server("");
        edit(&one.database(), &edited);
        let before = fs::read(one.database()).unwrap();
        for line in ["data-clean --no-backup-check --dry-run", "data-clean --no-backup-check", "optimize-db --no-backup-check app_db"] {
            let (code, report) = one.json(&format!("{line} --now {NOW}"));
            no_panic(&report, name);
            if code == 2 {
                let found = &report["findings"][0];
                assert!(!found["message"].as_str().unwrap().is_empty(), "{name}: {found}");
            } else {
                // It was understood, and then it is still whole.
                assert!(code < 2, "{name}: {line}: {report:#}");
            }
            if name != "a view too deep" {
                assert!(code == 2 || report["data"]["rules"][0]["done"] != 50, "{name}: {line}: {report:#}");
            }
        }
        if name != "a view too deep" {
            assert!(fs::read(one.database()).unwrap() == before, "{name}: it was changed");
        }
    }
}

#[test]
fn wide_tables_and_huge_values_are_no_matter() {
    // Of a text; ten times as much where there is time.
    let half = match std::env::var_os("SLOW_TESTS") {
        Some(_) => 50_000_000,
        None => 5_000_000,
    };
    let columns: Vec<_> = (0..1_990).map(|at| format!("c{at}")).collect();
    let long = "n".repeat(100_000);
    let one = server(&format!(
        "DROP TABLE kept; CREATE TABLE kept (id INTEGER PRIMARY KEY, at TEXT, {}, \"{long}\");
         INSERT INTO kept(id, at) VALUES (1, '2020-01-01 00:00:00'), (2, '2026-11-01 00:00:00');
         INSERT INTO kept(id, at, \"{long}\") VALUES (3, '2020-01-01 00:00:00', hex(zeroblob({half})));
         CREATE TABLE archive AS SELECT * FROM kept WHERE 0;",
        columns.join(", ")
    ));
    let rule = format!(
        "{}into = \"file:archive\"\n",
        RULE.replace("\"delete\"", "\"archive\"")
    );
    set_rule(&one, &rule);
    let (code, report) = clean(&one, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(count(&one, "kept"), 1);
    let (code, report) = one.json(&format!("data-clean restore-archive old --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(
            &one.database(),
            &format!("SELECT length(\"{long}\") FROM kept WHERE id = 3")
        ),
        2 * half
    );
    let (code, report) = one.json("optimize-db --no-backup-check");
    assert!(code < 2, "{report:#}");
    // A value of the time column that is none.
    let one = server(&format!(
        "UPDATE kept SET at = hex(zeroblob({half})) WHERE id = 60"
    ));
    let (code, report) = clean(&one, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    assert!(
        refused["message"].as_str().unwrap().len() < 1_000,
        "{refused}"
    );
    assert_eq!(count(&one, "kept"), 100);
}

#[test]
fn names_are_only_names() {
    for name in [
        "a\"b",
        "new\nline",
        "semi; DROP TABLE other; --",
        "\u{1}\u{2}",
        "child 1",
        "a child",
        "rowid",
    ] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let one = server(&format!(
            "DROP TABLE kept;
             CREATE TABLE {quoted} ({quoted} INTEGER PRIMARY KEY, at TEXT, \"x{}\" REFERENCES {quoted} ON DELETE CASCADE);
             CREATE TABLE kids (id INTEGER PRIMARY KEY, {quoted} REFERENCES {quoted} ON DELETE CASCADE);
             INSERT INTO {quoted}({quoted}, at) VALUES (1, '2020-01-01'), (2, '2026-11-01');
             INSERT INTO kids VALUES (1, 1), (2, 1), (3, 2);",
            name.replace('"', "\"\"")
        ));
        let rule = RULE.replace(
            "table = \"kept\"",
            &format!(
                "table = \"{}\"",
                name.escape_default()
                    .to_string()
                    .replace("\\'", "'")
                    .replace("\\u{1}", "\\u0001")
                    .replace("\\u{2}", "\\u0002")
            ),
        );
        set_rule(&one, &rule);
        let (code, report) = clean(&one, "");
        assert_eq!(code, 0, "{name:?}: {report:#}");
        assert_eq!(
            (
                count(&one, &quoted),
                count(&one, "kids"),
                count(&one, "other")
            ),
            (1, 1, 100),
            "{name:?}"
        );
        let (code, report) = one.json("optimize-db --no-backup-check app_db");
        assert!(code < 2, "{name:?}: {report:#}");
    }
}

/// The application orders names its own way. Its database is saved, and nobody says that all of it was checked.
#[test]
fn what_only_the_application_understands_is_saved_all_the_same() {
    let one = server("CREATE INDEX by_note ON kept(note);");
    edit(
        &one.database(),
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX by_note ON kept(note COLLATE house)' WHERE name = 'by_note'",
    );
    let (code, report) = one.json(&format!("backup --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    let said = finding(&report, "backup.unchecked");
    let message = said["message"].as_str().unwrap();
    assert!(
        message.contains("kept (no such collation sequence: house)"),
        "{message}"
    );
    let backup = one.list("app_db").remove(0);
    assert_eq!(
        one.manifest(&backup)["checks"]["integrity"],
        "quick_check, not of kept"
    );
    let (code, report) = one.json(&format!("verify-backup app_db --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(finding_ids(&report, "app_db"), ["verify.unchecked"]);
    assert_eq!(
        one.manifest(&backup)["checks"]["integrity"],
        "integrity_check, not of kept"
    );
    let copy = one.path().join("copy.db");
    one.run_args(["restore", "app_db", "--to", copy.to_str().unwrap()])
        .expect(0);
    assert!(fs::read(&copy).unwrap() == fs::read(one.database()).unwrap());
    let (code, report) = one.json(&format!("optimize-db app_db --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    finding(&report, "optimize.unchecked");
    let (code, report) = one.json(&format!("data-clean --now {NOW}"));
    assert_eq!(code, 2, "{report:#}");
    let failed = finding(&report, "data-clean.failed");
    assert!(
        failed["hint"]
            .as_str()
            .unwrap()
            .contains("only the application"),
        "{failed}"
    );
    // Damage elsewhere is damage.
    let mut bytes = fs::read(one.database()).unwrap();
    let root = number(
        &one.database(),
        "SELECT rootpage FROM sqlite_schema WHERE name = 'other'",
    );
    bytes[(root as usize - 1) * 4096 + 3] ^= 0x5a;
    fs::write(one.database(), bytes).unwrap();
    let (code, report) = one.json(&format!("backup --database app_db --now {NOW}"));
    assert_eq!(code, 2, "{report:#}");
}

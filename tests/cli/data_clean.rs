//! `data-clean`: what is too old goes or moves, by rules; what is in doubt, pointed to, or younger stays.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Ran, Server, actions, finding, finding_ids, number, sql};

/// The second Monday of November.
const NOW: &str = "2026-11-09T04:13:00Z";

/// The plan's tables beside those of every test; ids up to 40 are too old for the plan's rules, 60 are not.
const TABLES: &str = "
    CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp TEXT, message TEXT);
    CREATE INDEX logs_by_time ON logs(timestamp);
    CREATE TABLE archived_trades (created_at TEXT, id INTEGER PRIMARY KEY);
    CREATE TABLE temp_cache (key TEXT PRIMARY KEY, expires_at INTEGER) WITHOUT ROWID;
    CREATE TABLE job_logs (id INTEGER PRIMARY KEY, status TEXT, created_at TEXT);
    CREATE TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) SELECT i FROM c;
    INSERT INTO logs SELECT i, datetime('2026-11-09', iif(i <= 40, -120, -20) || ' days'), 'line ' || i FROM n;
    INSERT INTO trades SELECT i, datetime('2026-11-09', iif(i <= 40, -400, -20) || ' days') FROM n;
    INSERT INTO temp_cache SELECT 'k' || i, 1794182400000 + iif(i <= 40, -86400000, 86400000) FROM n;
    INSERT INTO job_logs SELECT i, iif(i % 2, 'failed', 'done'), datetime('2026-11-09', iif(i <= 40, -40, -20) || ' days') FROM n;
";

/// A server with the plan's tables and a backup of this night.
fn server() -> Server {
    let server = Server::new();
    sql(&server.database(), TABLES);
    back_up(&server);
    server
}

fn back_up(server: &Server) {
    server.run(&format!("backup --now {NOW}")).expect(0);
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("data-clean --now {NOW} {line}"))
}

fn rows(path: &Path, table: &str) -> i64 {
    number(path, &format!("SELECT count(*) FROM {table}"))
}

fn rule(lines: &str) -> String {
    format!(
        "[[data_clean.rule]]\nname = \"the-rule\"\ndatabase = \"app_db\"\nolder_than = \"90d\"\n{lines}\n"
    )
}

fn outcome(report: &Value) -> &Value {
    &report["data"]["rules"][0]
}

#[test]
fn the_plans_own_rules() {
    let server = server();
    let database = server.database();
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rows(&database, "logs"), 60);
    assert_eq!(rows(&database, "trades"), 60);
    assert_eq!(rows(&database, "archived_trades"), 40);
    assert_eq!(rows(&database, "temp_cache"), 60);
    assert_eq!(rows(&database, "job_logs"), 80); // only the failed ones
    assert_eq!(
        number(
            &database,
            "SELECT max(id) FROM archived_trades WHERE created_at LIKE '20%'"
        ),
        40
    );
    assert_eq!(
        number(
            &database,
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
        ),
        0
    );
    let kinds: Vec<_> = actions(&report)
        .into_iter()
        .map(|(kind, target, outcome)| format!("{kind} {target} {outcome}"))
        .collect();
    assert_eq!(
        kinds,
        [
            "delete app_db: logs done",
            "archive app_db: trades done",
            "delete app_db: temp_cache done",
            "delete app_db: job_logs done",
        ]
    );
    let formats: Vec<_> = report["data"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["time_format"].as_str().unwrap())
        .collect();
    assert_eq!(formats[0], "text YYYY-MM-DD HH:MM:SS (as UTC)");
    assert_eq!(formats[2], "milliseconds since 1970");
    // Once more: nothing to do, and nothing is done.
    let (code, again) = clean(&server, "");
    assert_eq!(
        (code, again["summary"].as_str()),
        (0, Some("nothing is older than the rules allow"))
    );
    assert!(actions(&again).is_empty());
}

/// What a rule with an archive of files has put there: every line.
fn archived(server: &Server) -> Vec<Value> {
    let mut found = Vec::new();
    for path in packs(server) {
        assert!(
            path.extension().unwrap() == "gz",
            "{path:?} is not finished"
        );
        let plain = server.path().join("plain");
        crate::support::zcat(&path, &plain);
        let text = std::fs::read_to_string(&plain).unwrap();
        found.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
    }
    found
}

fn packs(server: &Server) -> Vec<PathBuf> {
    let folder = server.root().join("archive");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn rows_go_to_a_file_and_come_back_as_they_were() {
    let server = Server::new().config(&rule(
        "table = \"odd\"\ncolumn = \"at\"\naction = \"archive\"\ninto = \"file:archive\"\n",
    ));
    let database = server.database();
    sql(
        &database,
        "CREATE TABLE odd (\"a \"\"b\"\"\", at TEXT, n REAL, raw, twice AS (n * 2));
         INSERT INTO odd VALUES ('x' || char(10) || 'é\"', '2025-01-01T00:00:00Z', 1.0, x'00ff'), (NULL, '2025-01-02T00:00:00Z', 9e999, 9223372036854775807),
           ('', '2025-01-03T00:00:00.5Z', 0.1, 1.0), (7, '2026-11-01T00:00:00Z', 2, NULL), (8, NULL, 3, 'without a time');
         CREATE TABLE before AS SELECT rowid AS r, *, typeof(raw) AS t FROM odd;",
    );
    back_up(&server);
    let (code, report) = clean(&server, "--yes");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(&database, "SELECT group_concat(rowid, '') FROM odd"),
        45
    );
    assert_eq!(
        (
            outcome(&report)["done"].as_u64(),
            outcome(&report)["nulls"].as_u64()
        ),
        (Some(3), Some(1))
    );
    let lines = archived(&server);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["rowid"], 1);
    assert_eq!(lines[0]["a \"b\""], "x\né\"");
    assert!(lines[0].get("twice").is_none());
    assert_eq!(
        outcome(&report)["archive"],
        packs(&server)[0].display().to_string()
    );

    let (code, report) = server.json(&format!(
        "data-clean restore-archive the-rule --now {NOW} --dry-run"
    ));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["restored"]["found"], 3);
    assert_eq!(packs(&server).len(), 1);
    let (code, report) = server.json(&format!("data-clean restore-archive the-rule --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["restored"]["rows"], 3);
    assert!(packs(&server).is_empty());
    let differ = "SELECT count(*) FROM (SELECT rowid AS r, *, typeof(raw) AS t FROM odd EXCEPT SELECT * FROM before)";
    assert_eq!(number(&database, differ), 0);
    assert_eq!(rows(&database, "odd"), 5);
}

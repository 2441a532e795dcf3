//! `data-clean`: what is too old goes or moves, by rules; what is in doubt, pointed to, or younger stays.

use std::path::Path;

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

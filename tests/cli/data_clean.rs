//! `data-clean`: what is too old goes or moves, by rules; what is in doubt, pointed to, or younger stays.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Server, actions, finding, finding_ids, number, sql};

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

/// What cannot be opened beside the rest is no reason to say that nothing was done when it was.
#[test]
fn with_few_files_what_is_said_is_what_was_done() {
    let mut left = Vec::new();
    for files in 6..20 {
        let server = Server::new().config(&rule(
            "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"",
        ));
        sql(&server.database(), TABLES);
        let line = ["data-clean", "--no-backup-check", "--now", NOW, "--json"];
        let ours = server.command(line);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"])
            .arg(ours.get_program())
            .args(ours.get_args())
            .envs(
                ours.get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            );
        let output = limited.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let now = rows(&server.database(), "logs");
        let said = outcome(&report)["done"].as_i64().unwrap_or(0);
        assert_eq!(100 - now, said, "{files} files: {report:#}");
        left.push(now);
    }
    assert!(left.contains(&60) && left.contains(&100), "{left:?}");
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
    assert_eq!(number(&database, "SELECT sum(rowid) FROM odd"), 9);
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

#[test]
fn a_dry_run_lists_what_the_run_does_and_changes_nothing() {
    let server = server();
    let before = server.fingerprint(&server.root());
    let (code, dry) = clean(&server, "--dry-run");
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(server.fingerprint(&server.root()), before);
    let (_, real) = clean(&server, "");
    let steps = |report: &Value| -> Vec<_> {
        let actions = report["actions"].as_array().unwrap();
        actions
            .iter()
            .map(|one| {
                (
                    one["kind"].clone(),
                    one["target"].clone(),
                    one["reason"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(steps(&dry), steps(&real));
    assert_eq!(actions(&dry).len(), 4);
    for (planned, done) in dry["data"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .zip(real["data"]["rules"].as_array().unwrap())
    {
        assert_eq!(planned["chosen"], done["done"]);
        assert_eq!(planned["done"], 0);
    }
}

/// §3.3 of the snippets: with numbers in the column, every row is older than any text.
#[test]
fn epochs_in_every_unit_lose_only_what_is_old() {
    let second = 1_794_197_580_i64; // 2026-11-09T04:13:00Z
    for (declared, factor, text) in [
        ("INTEGER", 1, false),
        ("INTEGER", 1_000, false),
        ("INTEGER", 1_000_000, false),
        ("INTEGER", 1_000_000_000, false),
        ("TEXT", 1, true),
        ("TEXT", 1_000, true),
        ("TEXT", 1_000_000, true),
        ("TEXT", 1_000_000_000, true),
        ("REAL", 1, false),
    ] {
        let server = Server::new().config(&rule(
            "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"\n",
        ));
        let database = server.database();
        sql(
            &database,
            &format!("CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp {declared})"),
        );
        for (id, days) in [(1, 400), (2, 91), (3, 89), (4, 0), (5, -3)] {
            let value = (second - days * 86_400) * factor;
            let value = if text {
                format!("'{value}'")
            } else {
                value.to_string()
            };
            sql(
                &database,
                &format!("INSERT INTO logs VALUES ({id}, {value})"),
            );
        }
        if !text {
            let snippet = "SELECT count(*) FROM logs WHERE timestamp < datetime('now', '-90 days')";
            assert_eq!(number(&database, snippet), 5, "the snippet takes all");
        }
        back_up(&server);
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(
            number(&database, "SELECT sum(id) FROM logs"),
            12,
            "{declared} {factor}"
        );
    }
}

#[test]
fn a_column_in_doubt_is_refused_and_the_other_rules_go_on() {
    let server = server();
    let database = server.database();
    sql(
        &database,
        "UPDATE logs SET timestamp = 1700000000 WHERE id = 7",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    assert_eq!(
        (refused["subject"].as_str(), refused["severity"].as_str()),
        (Some("old-logs"), Some("high"))
    );
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("99 values: text YYYY-MM-DD HH:MM:SS (as UTC), as '2026-07-12 00:00:00'"),
        "{message}"
    );
    assert!(
        message.contains("1 value: seconds since 1970 as text, as"),
        "{message}"
    );
    assert_eq!(rows(&database, "logs"), 100);
    assert_eq!(rows(&database, "trades"), 60);
}

/// §3.3: the INSERT fails, the DELETE runs all the same.
#[test]
fn an_archive_that_lacks_a_column_costs_no_row() {
    let server = server();
    let database = server.database();
    sql(&database, "ALTER TABLE trades ADD COLUMN amount");
    let snippet = "INSERT INTO archived_trades SELECT * FROM trades WHERE created_at < datetime('2026-11-09', '-1 year');
        DELETE FROM trades WHERE created_at < datetime('2026-11-09', '-1 year');";
    let copy = server.path().join("copy.db");
    sql(&database, &format!("VACUUM INTO '{}'", copy.display()));
    let shell = Command::new("sqlite3")
        .arg(&copy)
        .arg(snippet.replace('\n', " "))
        .output();
    let _ = shell; // one statement after another: the shell of a here-document goes on after an error
    for statement in snippet.split(';') {
        let _ = rusqlite::Connection::open(&copy)
            .unwrap()
            .execute_batch(statement);
    }
    assert_eq!(
        (rows(&copy, "trades"), rows(&copy, "archived_trades")),
        (60, 0),
        "the snippet loses 40"
    );

    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    assert_eq!(
        refused["message"],
        "archived_trades lacks columns of trades: amount"
    );
    assert_eq!(
        (
            rows(&database, "trades"),
            rows(&database, "archived_trades")
        ),
        (100, 0)
    );
    assert_eq!(rows(&database, "logs"), 60);

    sql(&database, "DROP TABLE archived_trades");
    let (_, report) = clean(&server, "--rule old-trades");
    let hint = finding(&report, "data-clean.refused")["hint"]
        .as_str()
        .unwrap()
        .to_owned();
    let status = Command::new("sh").args(["-c", &hint]).status().unwrap();
    assert!(status.success(), "{hint}");
    let keys = "SELECT count(*) FROM pragma_table_info('archived_trades') WHERE pk > 0";
    assert_eq!(number(&database, keys), 1, "{hint}");
    let (code, report) = clean(&server, "--rule old-trades");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (
            rows(&database, "trades"),
            rows(&database, "archived_trades")
        ),
        (60, 40)
    );
}

/// A row that is in the archive already, as after the snippet: neither of the two goes, and the others do not wait for it.
#[test]
fn a_row_that_the_archive_has_already_is_not_removed() {
    let server = server();
    let database = server.database();
    sql(
        &database,
        "CREATE TABLE strict_archive (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, created_at TEXT);
        INSERT INTO strict_archive VALUES (30, 'something else')",
    );
    let server = server.config(&rule("table = \"trades\"\ncolumn = \"created_at\"\naction = \"archive\"\ninto = \"strict_archive\"\n"));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 1, "{report:#}");
    let told = finding(&report, "data-clean.conflict");
    assert_eq!(
        told["message"],
        "1 row of trades left where they are: strict_archive does not take them. The first is id = 30: UNIQUE constraint failed: strict_archive.id"
    );
    assert!(!report["findings"].to_string().contains("data-clean.kept"));
    let hint = told["hint"].as_str().unwrap();
    let both = format!("SELECT count(*) FROM ({hint})");
    assert_eq!(number(&database, &both), 1, "{hint}");
    let outcome = &report["data"]["rules"][0];
    let counts = ["chosen", "done", "conflicts"].map(|one| outcome[one].as_u64().unwrap());
    assert_eq!(counts, [40, 39, 1]);
    let both = "SELECT count(*) FROM (SELECT id FROM trades UNION ALL SELECT id FROM strict_archive WHERE created_at LIKE '20%')";
    assert_eq!(number(&database, both), 100);
    assert_eq!(
        number(
            &database,
            "SELECT count(*) FROM strict_archive WHERE created_at = 'something else'"
        ),
        1
    );
    assert_eq!(
        number(&database, "SELECT count(*) FROM trades WHERE id = 30"),
        1
    );
}

#[test]
fn more_than_the_rule_allows_waits_for_a_person() {
    let server = server();
    let database = server.database();
    sql(&database, "DELETE FROM logs WHERE id > 70");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    assert_eq!(
        refused["message"],
        "40 of 70 rows in logs are older than 2026-08-11T04:13:00Z (57.1%, limit 50.0%)"
    );
    assert_eq!(
        refused["hint"],
        "empire-maint data-clean --rule old-logs --yes"
    );
    assert_eq!(rows(&database, "logs"), 70);
    let command = refused["hint"]
        .as_str()
        .unwrap()
        .strip_prefix("empire-maint data-clean ")
        .unwrap();
    let (code, report) = clean(&server, command);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rows(&database, "logs"), 30);
    // What was refused is well now.
    let (_, report) = clean(&server, "");
    assert!(finding_ids(&report, "old-logs").is_empty());
}

/// A clock that is ahead makes young rows old. The nightly backup ran by that clock too.
#[test]
fn a_clock_that_may_have_been_set_ahead_waits_for_a_person() {
    let server = server();
    let database = server.database();
    let tables = ["logs", "trades", "temp_cache", "job_logs"];
    let counts = || tables.map(|table| rows(&database, table));
    let before = counts();
    server.run("backup --now 2027-01-20T03:00:00Z").expect(0);
    let ahead = |line: &str| server.json(&format!("data-clean --now 2027-01-20T04:13:00Z {line}"));
    for line in ["--dry-run", ""] {
        let (code, report) = ahead(line);
        assert_eq!(code, 2, "{report:#}");
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 4, "{report:#}");
        for refused in findings {
            assert_eq!(refused["id"], "data-clean.refused");
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains("is the clock right?"), "{message}");
        }
        assert!(actions(&report).is_empty(), "{report:#}");
        assert_eq!(counts(), before);
    }
    // A table that says what is to come is not what the clock is measured by.
    sql(
        &database,
        "INSERT INTO temp_cache VALUES ('late', 1830000000000)",
    );
    let (_, report) = ahead("");
    let hint = report["findings"][0]["hint"].clone();
    assert_eq!(rows(&database, "temp_cache"), 1, "all others had expired");
    assert_eq!(counts()[..2], before[..2]);
    // Whoever knows better says so.
    let hint = hint.as_str().unwrap();
    let (code, report) = ahead(hint.strip_prefix("empire-maint data-clean ").unwrap());
    assert_eq!(code, 0, "{report:#}");
    assert_ne!(counts(), before);
}

/// That a table is quiet says nothing of a clock by which this program has run all the time, nor before it has ever run.
#[test]
fn a_quiet_table_is_cleaned() {
    let late = "data-clean --no-backup-check --now 2026-12-20T04:13:00Z";
    let server = Server::new();
    sql(&server.database(), TABLES);
    let (code, report) = server.json(late);
    assert_eq!(code, 0, "the first run: {report:#}");
    assert!(rows(&server.database(), "logs") < 100);
    let server = self::server();
    for day in ["08", "13", "19"] {
        let night = format!("backup --database app_db --now 2026-12-{day}T03:00:00Z");
        server.run(&night).expect(0);
    }
    let (code, report) = server.json(late);
    assert_eq!(code, 0, "{report:#}");
    assert!(rows(&server.database(), "logs") < 100);
}

const PARENTS: &str = "
    CREATE TABLE parents (id INTEGER PRIMARY KEY, at TEXT);
    CREATE TABLE plain (id INTEGER PRIMARY KEY, parent REFERENCES parents(id));
    CREATE TABLE late (parent REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE follows (parent REFERENCES parents(id) ON DELETE CASCADE);
    CREATE TABLE archive (id INTEGER PRIMARY KEY, at TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40)
      INSERT INTO parents SELECT i, iif(i <= 10, '2025-01-01', '2026-11-01') FROM c;
    INSERT INTO plain VALUES (1, 1), (2, NULL), (3, 30);
    INSERT INTO late VALUES (2);
    INSERT INTO follows VALUES (3), (3), (30);
";

#[test]
fn foreign_keys_are_kept_as_the_schema_has_them() {
    let server = Server::new().config(&rule(
        "table = \"parents\"\ncolumn = \"at\"\naction = \"delete\"\nmax_fraction = 1.0\n",
    ));
    let database = server.database();
    sql(&database, PARENTS);
    back_up(&server);
    let (_, dry) = clean(&server, "--dry-run");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(
            &database,
            "SELECT group_concat(id, '') + 0 FROM parents WHERE id <= 10"
        ),
        12
    );
    assert_eq!(
        number(&database, "SELECT count(*) FROM pragma_foreign_key_check"),
        0
    );
    assert_eq!(rows(&database, "follows"), 1);
    assert_eq!((rows(&database, "plain"), rows(&database, "late")), (3, 1));
    assert_eq!(
        (
            outcome(&dry)["chosen"].as_u64(),
            outcome(&report)["done"].as_u64()
        ),
        (Some(8), Some(8))
    );
    let kept = finding(&report, "data-clean.kept");
    assert!(
        kept["message"]
            .as_str()
            .unwrap()
            .starts_with("2 rows of parents older than"),
        "{kept}"
    );
    let reason = report["actions"][0]["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("with them go or change 2 rows of follows"),
        "{reason}"
    );
}

/// Through any number of tables, and with rows that point to rows of their own table: what the dry run says is what goes.
#[test]
fn what_goes_along_is_counted_before_or_the_rule_is_refused() {
    let server = Server::new().config(&rule(
        "table = \"posts\"\ncolumn = \"at\"\naction = \"delete\"\nmax_fraction = 1.0\n",
    ));
    let database = server.database();
    sql(
        &database,
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, at TEXT, parent REFERENCES posts ON DELETE CASCADE);
         CREATE TABLE comments (id INTEGER PRIMARY KEY, post REFERENCES posts ON DELETE CASCADE);
         CREATE TABLE likes (comment REFERENCES comments ON DELETE CASCADE);
         CREATE TABLE pins (comment REFERENCES comments);
         CREATE INDEX by_parent ON posts(parent);
         INSERT INTO posts VALUES (1, '2025-01-01', NULL), (2, '2026-11-01', 1), (3, '2025-01-01', 2), (4, '2025-01-01', NULL), (5, '2025-01-01', NULL);
         INSERT INTO comments VALUES (10, 3), (11, 3), (12, 4), (13, 5), (14, 2);
         INSERT INTO likes VALUES (10), (10), (12), (14);
         INSERT INTO pins VALUES (13);",
    );
    back_up(&server);
    let (_, dry) = clean(&server, "--dry-run");
    let before = ["posts", "comments", "likes"].map(|table| rows(&database, table));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    let gone = ["posts", "comments", "likes"].map(|table| rows(&database, table));
    // 1 has a young reply, which stays; 5 has a comment that is pinned.
    assert_eq!(
        number(
            &database,
            "SELECT group_concat(id, '') + 0 FROM (SELECT id FROM posts ORDER BY id)"
        ),
        125
    );
    let gone: Vec<_> = before.iter().zip(gone).map(|(a, b)| a - b).collect();
    assert_eq!(gone, [2, 3, 3]);
    assert_eq!(outcome(&dry)["chosen"], 2);
    let reason = dry["actions"][0]["reason"].as_str().unwrap();
    assert!(
        reason.ends_with(
            "with them go or change 3 rows of comments; with them go or change 3 rows of likes"
        ),
        "{reason}"
    );
    // Once 7 is gone 6 could go too: nobody can say before how many.
    sql(
        &database,
        "INSERT INTO posts VALUES (6, '2025-01-01', NULL), (7, '2025-01-01', 6)",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("cannot be told before"), "{refused}");
    assert_eq!(rows(&database, "posts"), 5);
}

#[test]
fn what_is_archived_takes_no_child_along() {
    let server = Server::new().config(&rule(
        "table = \"parents\"\ncolumn = \"at\"\naction = \"archive\"\ninto = \"archive\"\n",
    ));
    let database = server.database();
    sql(&database, PARENTS);
    back_up(&server);
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(
            &database,
            "SELECT group_concat(id, '') + 0 FROM parents WHERE id <= 10"
        ),
        123
    );
    assert_eq!(rows(&database, "archive"), 7);
    assert_eq!(rows(&database, "follows"), 3);
    // Children without an index: every row would have to be looked for in all of them.
    sql(&database, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) INSERT INTO plain(parent) SELECT 30 FROM c;
        INSERT INTO parents VALUES (100, '2025-01-01')");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "data-clean.refused");
    sql(&database, refused["hint"].as_str().unwrap());
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rows(&database, "archive"), 8);
}

#[test]
fn triggers_run_and_what_they_hold_is_not_doubled() {
    let server = server();
    let database = server.database();
    sql(&database, "CREATE TABLE audit (id);
        CREATE TRIGGER noted AFTER DELETE ON logs BEGIN INSERT INTO audit VALUES (old.id); END;
        CREATE TRIGGER holds BEFORE DELETE ON logs WHEN old.id = 5 BEGIN SELECT RAISE(IGNORE); END;
        CREATE TRIGGER keeps BEFORE DELETE ON trades WHEN old.id = 6 BEGIN SELECT RAISE(IGNORE); END;");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    assert_eq!(rows(&database, "audit"), 39);
    assert_eq!(rows(&database, "logs"), 61);
    assert!(
        finding(&report, "data-clean.kept")["message"]
            .as_str()
            .unwrap()
            .starts_with("1 row of logs")
    );
    let failed = finding(&report, "data-clean.failed");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("a trigger keeps the others"),
        "{failed}"
    );
    let twice = "SELECT count(*) FROM trades JOIN archived_trades USING (id)";
    assert_eq!(number(&database, twice), 0);
    assert_eq!(
        number(
            &database,
            "SELECT (SELECT count(*) FROM trades) + (SELECT count(*) FROM archived_trades)"
        ),
        100
    );
}

/// What goes first may change what would go next.
#[test]
fn a_row_that_a_trigger_makes_new_stays() {
    let server = server();
    let database = server.database();
    sql(
        &database,
        "CREATE TRIGGER wakes AFTER DELETE ON logs WHEN old.id = 5 BEGIN
        UPDATE logs SET timestamp = '2026-11-08 00:00:00' WHERE id = 6; END;",
    );
    let old = "SELECT count(*) FROM logs WHERE id = 6";
    assert_eq!(number(&database, old), 1);
    let (code, report) = clean(&server, "");
    assert_eq!(number(&database, old), 1, "{code}: {report}");
    assert_eq!(
        number(&database, "SELECT count(*) FROM logs WHERE id IN (5, 7)"),
        0
    );
}

/// Keys of a table WITHOUT ROWID need not be whole.
#[test]
fn what_stands_between_two_whole_keys_is_another_row() {
    let lines = "table = \"steps\"\ncolumn = \"at\"\naction = \"delete\"\nmax_fraction = 1.0\n";
    let server = server().config(&rule(lines));
    let database = server.database();
    sql(&database, "CREATE TABLE steps (id NUMERIC PRIMARY KEY, at TEXT) WITHOUT ROWID;
        INSERT INTO steps VALUES (1, '2020-01-01 00:00:00'), (2, '2020-01-01 00:00:01'), (2.5, '2026-11-08 00:00:00'),
          (3, '2020-01-01 00:00:02'), (4.5, '2020-01-01 00:00:03')");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report}");
    let new = "SELECT count(*) FROM steps WHERE id = 2.5";
    assert_eq!((number(&database, new), rows(&database, "steps")), (1, 1));
}

#[test]
fn any_name_is_only_a_name_and_generated_columns_stay_computed() {
    let name = "x\"; DROP TABLE users; --";
    let server = Server::new().config(&format!(
        "[[data_clean.rule]]\nname = \"the-rule\"\ndatabase = \"app_db\"\nolder_than = \"90d\"\ntable = '{name}'\ncolumn = '{name}'\naction = \"archive\"\ninto = 'a {name}'\nwhere = \"keep IS NOT 1 -- never\"\n"
    ));
    let database = server.database();
    let quoted = name.replace('"', "\"\"");
    sql(&database, &format!(
        "CREATE TABLE \"{quoted}\" (\"{quoted}\", keep, year AS (substr(\"{quoted}\", 1, 4)), half INT AS (keep / 2) STORED);
         CREATE TABLE \"a {quoted}\" (year AS (substr(\"{quoted}\", 1, 4)), keep, half INT, \"{quoted}\");
         INSERT INTO \"{quoted}\" VALUES ('2025-01-01', 4), ('2025-01-02', 1), ('2026-11-01', 0), ('2026-11-02', 0), ('2026-11-03', 0);"
    ));
    back_up(&server);
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(
            &database,
            &format!("SELECT year + half FROM \"a {quoted}\"")
        ),
        2027
    );
    assert_eq!(
        number(&database, &format!("SELECT count(*) FROM \"{quoted}\"")),
        4
    );
    let (code, report) = server.json("data-clean restore-archive the-rule");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(&database, &format!("SELECT sum(year) FROM \"{quoted}\"")),
        2025 * 2 + 2026 * 3
    );
}

#[test]
fn rows_without_a_time_stay_unless_the_rule_says_otherwise() {
    let lines = "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"\n";
    for (more, left, old) in [("", 61, 39), ("nulls = \"old\"\n", 60, 40)] {
        let server = server().config(&rule(&format!("{lines}{more}")));
        let database = server.database();
        sql(&database, "UPDATE logs SET timestamp = NULL WHERE id = 7");
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(rows(&database, "logs"), left);
        assert_eq!(
            (
                outcome(&report)["nulls"].as_u64(),
                outcome(&report)["done"].as_u64()
            ),
            (Some(1), Some(old))
        );
    }
}

#[test]
fn without_a_backup_from_this_day_nothing_goes() {
    let server = Server::new();
    sql(&server.database(), TABLES);
    for line in ["", "--dry-run"] {
        let (code, report) = clean(&server, line);
        assert_eq!(code, 2);
        let finding = finding(&report, "data-clean.no-backup");
        assert_eq!(
            (finding["severity"].as_str(), finding["subject"].as_str()),
            (Some("high"), Some("app_db"))
        );
        assert_eq!(rows(&server.database(), "logs"), 100);
    }
    server.run("backup --now 2026-11-08T03:00:00Z").expect(0);
    assert_eq!(clean(&server, "").0, 2);
    let (code, report) = clean(&server, "--no-backup-check");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rows(&server.database(), "logs"), 60);
}

#[test]
fn a_table_that_somebody_named_has_to_be_there() {
    let rule = "[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"lgos\"\ncolumn = \"timestamp\"\nolder_than = \"90d\"\naction = \"delete\"\n";
    let server = Server::new().config(rule);
    sql(&server.database(), TABLES);
    let (code, report) = clean(&server, "--no-backup-check");
    assert_eq!(code, 1, "{report:#}");
    let found = finding(&report, "data-clean.no-table");
    assert_eq!(
        (found["severity"].as_str(), found["subject"].as_str()),
        (Some("medium"), Some("old"))
    );
    assert!(found["message"].as_str().unwrap().contains("lgos"));
    let ran = server.run("data-clean restore-archive --rule old");
    assert!(
        ran.err.contains("restore-archive [OPTIONS] <RULE>") && !ran.err.contains("-- --rule"),
        "{ran:?}"
    );
    ran.expect(3);
}

#[test]
fn what_is_not_there_or_cannot_be_cleaned_is_told() {
    let server = server();
    let database = server.database();
    sql(&database, "DROP TABLE temp_cache; ALTER TABLE logs RENAME COLUMN timestamp TO at; DROP TABLE job_logs;
        CREATE VIEW job_logs AS SELECT id, 'failed' AS status, at AS created_at FROM logs");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let told = |subject: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|one| one["subject"] == subject)
            .unwrap_or_else(|| panic!("{report:#}"))
    };
    assert_eq!(
        (
            told("expired-cache")["id"].as_str(),
            told("expired-cache")["severity"].as_str()
        ),
        (Some("data-clean.no-table"), Some("info"))
    );
    assert_eq!(
        told("old-logs")["message"],
        "table logs has no column timestamp"
    );
    assert_eq!(told("old-logs")["id"], "data-clean.refused");
    assert_eq!(
        told("failed-jobs")["message"],
        "job_logs is no ordinary table but a view"
    );
    assert_eq!(rows(&database, "archived_trades"), 40);
    std::fs::write(&database, "no database at all, and long enough for a header of one hundred bytes, which is what is read first").unwrap();
    let (code, report) = clean(&server, "--no-backup-check");
    assert_eq!(code, 2);
    assert_eq!(finding(&report, "data-clean.failed")["subject"], "app_db");
}

#[test]
fn rules_that_make_no_sense_are_refused_before_anything_happens() {
    let server = server().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\n",
    ));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 3);
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("archive needs into"),
        "{report:#}"
    );
    let server = self::server();
    for (line, told) in [
        ("--rule nonsense", "there is no rule 'nonsense'"),
        (
            "--yes restore-archive old-trades",
            "do not belong to restore-archive",
        ),
        (
            "restore-archive old-logs",
            "rule old-logs deletes rows, it does not archive them",
        ),
    ] {
        let (code, report) = clean(&server, line);
        assert_eq!(code, 3, "{report:#}");
        assert!(
            report["failure"]["message"]
                .as_str()
                .unwrap()
                .contains(told),
            "{report:#}"
        );
    }
    assert_eq!(rows(&server.database(), "logs"), 100);
    let server = server.config("[[data_clean.rule]]\nname = \"x\"\ndatabase = \"other\"\ntable = \"t\"\ncolumn = \"c\"\nolder_than = \"1d\"\naction = \"delete\"\n");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 3);
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("there is no [[database]] 'other'"),
        "{report:#}"
    );
    // A filter that is no expression fails its rule, and nothing goes.
    let server = self::server().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"\nwhere = \"status = = 1\"\n",
    ));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    assert_eq!(
        finding(&report, "data-clean.refused")["subject"],
        "the-rule"
    );
    assert_eq!(rows(&server.database(), "logs"), 100);
}

/// §3.3: the snippet's figure is a bare number of whole MiB, of the file without its log.
#[test]
fn the_size_is_that_of_the_file_with_everything_in_it() {
    let server = server();
    let (_, report) = clean(&server, "");
    let size = &report["data"]["databases"][0];
    let database = server.database();
    sql(&database, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(size["bytes"], std::fs::metadata(&database).unwrap().len());
    let free = number(
        &database,
        "SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()",
    );
    assert_eq!(size["free_bytes"], free);
    let metrics = report["metrics"].as_array().unwrap();
    let metric = metrics
        .iter()
        .find(|one| one["name"] == "data_clean_database_bytes")
        .unwrap();
    assert_eq!(
        (&metric["value"], metric["unit"].as_str()),
        (&size["bytes"], Some("bytes"))
    );
}

#[test]
fn what_has_no_place_any_more_stays_archived() {
    let server = server();
    let database = server.database();
    assert_eq!(clean(&server, "").0, 0);
    sql(&database, "INSERT INTO trades VALUES (7, 'another one')");
    let (code, report) = server.json("data-clean restore-archive old-trades");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        finding(&report, "data-clean.conflict")["severity"],
        "medium"
    );
    assert_eq!(
        number(
            &database,
            "SELECT count(*) FROM archived_trades WHERE id = 7"
        ),
        1
    );
    assert_eq!(
        (
            rows(&database, "trades"),
            rows(&database, "archived_trades")
        ),
        (100, 1)
    );
    // The same out of files.
    let server = self::server().config(&rule("table = \"trades\"\ncolumn = \"created_at\"\naction = \"archive\"\ninto = \"file:archive\"\n"));
    let database = server.database();
    assert_eq!(clean(&server, "").0, 0);
    sql(&database, "INSERT INTO trades VALUES (7, 'another one')");
    let (code, report) = server.json("data-clean restore-archive the-rule");
    assert_eq!(code, 1, "{report:#}");
    let left = archived(&server);
    assert_eq!((left.len(), left[0]["id"].as_u64()), (1, Some(7)));
    assert_eq!(rows(&database, "trades"), 100);
}

/// What is put among other conditions has to be one by itself.
#[test]
fn a_filter_that_says_something_else_takes_nothing() {
    for filter in [
        "id = 1) OR (id > 50",
        "id = 1) OR (1 = 1",
        "id < 90 LIMIT 5",
        "id < 90; DELETE FROM logs",
        "id < 90 /*",
        "\"mesage\" <> 'keep'",
    ] {
        let server = Server::new().config(&rule(&format!(
            "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"\nmax_fraction = 1.0\nwhere = '''{filter}'''"
        )));
        sql(&server.database(), TABLES);
        back_up(&server);
        let (code, report) = clean(&server, "");
        assert_eq!(code, 2, "{filter}: {report:#}");
        let refused = finding(&report, "data-clean.refused");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("is no condition on logs"), "{refused}");
        assert_eq!(rows(&server.database(), "logs"), 100, "{filter}");
    }
}

/// With each row that goes such a filter would mean another one, and nobody has counted that.
#[test]
fn a_filter_that_looks_at_other_rows_of_its_table_takes_nothing() {
    for (filter, fine) in [
        (
            "id = (SELECT min(id) FROM logs AS l WHERE l.id % 10 = logs.id % 10)",
            false,
        ),
        (
            "NOT EXISTS (SELECT 1 FROM LOGS l WHERE l.id = logs.id - 1)",
            false,
        ),
        ("timestamp < (SELECT max(timestamp) FROM seen)", false),
        ("id NOT IN (SELECT id FROM trades WHERE id < 11)", true),
        ("length(message) > 3 AND id > 10", true),
    ] {
        let server = Server::new().config(&rule(&format!(
            "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"\nwhere = '''{filter}'''"
        )));
        sql(&server.database(), TABLES);
        sql(
            &server.database(),
            "CREATE VIEW seen AS SELECT timestamp FROM logs",
        );
        back_up(&server);
        let (code, report) = clean(&server, "");
        if fine {
            let left = rows(&server.database(), "logs");
            assert_eq!((code, left), (0, 70), "{filter}: {report:#}");
            continue;
        }
        assert_eq!(code, 2, "{filter}: {report:#}");
        let refused = finding(&report, "data-clean.refused");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("looks at other rows of logs"), "{refused}");
        assert_eq!(rows(&server.database(), "logs"), 100, "{filter}");
    }
}

/// The plan's own rules find no fault with a server that never needed an archive.
#[test]
fn an_archive_is_asked_for_once_there_is_something_to_put_into_it() {
    let server = Server::new();
    let database = server.database();
    sql(&database, TABLES);
    sql(
        &database,
        "DROP TABLE archived_trades; DELETE FROM trades WHERE id <= 40",
    );
    back_up(&server);
    for line in ["--dry-run", ""] {
        let (code, report) = clean(&server, line);
        assert_eq!(code, 0, "{report:#}");
    }
    sql(
        &database,
        "INSERT INTO trades VALUES (7, '2024-01-01 00:00:00')",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "data-clean.refused");
    assert_eq!(refused["subject"], "old-trades");
}

/// A statement's own word on how many rows it moved is not what happened.
#[test]
fn a_trigger_that_undoes_the_move_costs_no_row() {
    for trigger in [
        "AFTER DELETE ON trades BEGIN DELETE FROM archived_trades WHERE id = old.id; END",
        "AFTER DELETE ON trades BEGIN INSERT INTO trades VALUES (old.id, old.created_at); END",
        "AFTER INSERT ON archived_trades BEGIN DELETE FROM archived_trades WHERE id < new.id - 5; END",
        "BEFORE DELETE ON trades WHEN old.id = 20 BEGIN SELECT raise(ROLLBACK, 'no'); END",
        "BEFORE INSERT ON archived_trades WHEN new.id = 20 BEGIN SELECT raise(ROLLBACK, 'no'); END",
    ] {
        let server = Server::new().config(&rule(
            "table = \"trades\"\ncolumn = \"created_at\"\naction = \"archive\"\ninto = \"archived_trades\"",
        ));
        let database = server.database();
        sql(&database, TABLES);
        sql(&database, &format!("CREATE TRIGGER t {trigger}"));
        back_up(&server);
        let (code, report) = clean(&server, "");
        assert_eq!(code, 2, "{trigger}: {report:#}");
        // On a slow machine the first transaction ends before the trigger does anything.
        let everywhere =
            "SELECT count(*) FROM (SELECT id FROM trades UNION SELECT id FROM archived_trades)";
        assert_eq!(number(&database, everywhere), 100, "{trigger}");
        assert!(rows(&database, "archived_trades") <= 5, "{trigger}");
        // And back again.
        sql(
            &database,
            "DROP TRIGGER t; INSERT OR IGNORE INTO archived_trades SELECT created_at, id FROM trades WHERE id <= 40; DELETE FROM trades WHERE id <= 40;
             CREATE TRIGGER t AFTER INSERT ON trades BEGIN DELETE FROM trades WHERE id = new.id; END",
        );
        let (code, report) = server.json("data-clean restore-archive the-rule");
        assert_eq!(code, 1, "{report:#}");
        assert_eq!(rows(&database, "archived_trades"), 40);
        assert_eq!(rows(&database, "trades"), 60);
    }
}

/// What a trigger or another type makes of a row that comes back is not what was archived: the file is the only copy.
#[test]
fn a_row_that_would_not_come_back_as_it_was_stays_in_its_file() {
    let stays = "SELECT count(*) FROM logs WHERE id <= 40";
    for (change, code, back) in [
        // Ordinary triggers: what is old goes, the newest stay, the time of the change is noted.
        (
            "CREATE TRIGGER t AFTER INSERT ON logs BEGIN DELETE FROM logs WHERE timestamp < '2026-08-01'; END",
            1,
            0,
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON logs WHEN new.id > 5 BEGIN DELETE FROM logs WHERE id = 1; END",
            1,
            5,
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON logs BEGIN UPDATE logs SET message = 'now' WHERE id = new.id; END",
            1,
            0,
        ),
        (
            "CREATE TRIGGER t BEFORE INSERT ON logs BEGIN SELECT raise(IGNORE); END",
            2,
            0,
        ),
        (
            "UPDATE logs SET message = NULL; ALTER TABLE logs DROP COLUMN message; ALTER TABLE logs ADD COLUMN message NUMERIC",
            2,
            0,
        ),
    ] {
        let server = Server::new().config(&rule(
            "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\"",
        ));
        let database = server.database();
        sql(&database, TABLES);
        sql(&database, "UPDATE logs SET message = '007'");
        back_up(&server);
        assert_eq!(clean(&server, "").0, 0);
        sql(&database, change);
        let (was, report) = server.json("data-clean restore-archive the-rule");
        assert_eq!(was, code, "{change}: {report:#}");
        assert_eq!(number(&database, stays), back, "{change}");
        let told = report.to_string();
        let reasons = [
            "a trigger removes rows of logs",
            "a trigger changes rows of logs",
            "another type by now",
        ];
        assert!(reasons.iter().any(|reason| told.contains(reason)), "{told}");
        // Once nothing is in the way all come back.
        sql(&database, "DROP TRIGGER IF EXISTS t");
        if change.contains("NUMERIC") {
            sql(
                &database,
                "ALTER TABLE logs DROP COLUMN message; ALTER TABLE logs ADD COLUMN message TEXT",
            );
        }
        let (code, report) = server.json("data-clean restore-archive the-rule");
        assert_eq!(code, 0, "{change}: {report:#}");
        let whole = format!("{stays} AND message = '007'");
        assert_eq!(number(&database, &whole), 40, "{change}");
    }
}

/// A row that was there all along says nothing about a transaction that a kill undid.
#[test]
fn a_row_that_was_there_before_is_no_sign_that_the_others_came() {
    let server = Server::new().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\"",
    ));
    let database = server.database();
    sql(&database, TABLES);
    sql(
        &database,
        "CREATE TABLE kept AS SELECT * FROM logs WHERE id = 7",
    );
    back_up(&server);
    assert_eq!(clean(&server, "").0, 0);
    sql(&database, "INSERT INTO logs SELECT * FROM kept");
    let folder = server.root().join("archive");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let path = file.path().display().to_string();
    for notes in ["begin 0 40\n", "begin 0 40\nbefore 6\n"] {
        std::fs::rename(&path, format!("{path}.restoring")).unwrap();
        std::fs::write(format!("{path}.moves"), notes).unwrap();
        let (code, report) = server.json("data-clean restore-archive the-rule");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(rows(&database, "logs"), 100, "{notes}");
        sql(&database, "DELETE FROM logs WHERE id <= 40");
        sql(
            &database,
            TABLES
                .split(';')
                .find(|one| one.contains("INSERT INTO logs"))
                .unwrap()
                .replace("FROM n", "FROM n WHERE i <= 40")
                .as_str(),
        );
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
        sql(&database, "INSERT INTO logs SELECT * FROM kept");
        let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        if file.path().display().to_string() != path {
            std::fs::rename(file.path(), &path).unwrap();
        }
    }
}

#[test]
fn a_trigger_that_rolls_back_leaves_nothing_half_done() {
    let server = server();
    let database = server.database();
    sql(
        &database,
        "CREATE TRIGGER t BEFORE DELETE ON logs WHEN old.id = 20 BEGIN SELECT raise(ROLLBACK, 'no'); END",
    );
    let (code, report) = clean(&server, "--rule old-logs");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(rows(&database, "logs"), 100);
    assert_eq!(outcome(&report)["done"], 0);
}

/// A table changes after its rows were archived.
#[test]
fn files_come_back_into_a_table_that_changed() {
    let server = Server::new().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\"",
    ));
    let database = server.database();
    sql(&database, TABLES);
    back_up(&server);
    clean(&server, "");
    assert_eq!(rows(&database, "logs"), 60);
    sql(&database, "ALTER TABLE logs RENAME COLUMN message TO words");
    for line in [
        "data-clean restore-archive the-rule --dry-run",
        "data-clean restore-archive the-rule",
    ] {
        let (code, report) = server.json(line);
        assert_eq!(code, 3, "{report:#}");
        let said = report["failure"].to_string();
        assert!(said.contains("no column message"), "{said}");
        assert!(said.contains("the-rule_"), "{said}");
    }
    // Nothing is on its way, so the rule goes on.
    assert_eq!(clean(&server, "").0, 0);
    sql(
        &database,
        "ALTER TABLE logs RENAME COLUMN words TO message;
         ALTER TABLE logs ADD COLUMN level TEXT NOT NULL DEFAULT 'info'",
    );
    let (code, report) = server.json("data-clean restore-archive the-rule");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(&database, "SELECT count(*) FROM logs WHERE level = 'info'"),
        100
    );
}

#[test]
fn what_a_rule_archived_under_its_former_name_is_told() {
    let archives = |name: &str| {
        rule("table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\"")
            .replace("the-rule", name)
    };
    let server = Server::new().config(&archives("old_logs"));
    let database = server.database();
    sql(&database, TABLES);
    back_up(&server);
    assert_eq!(clean(&server, "").0, 0);
    let text = std::fs::read_to_string(server.config_path()).unwrap();
    std::fs::write(server.config_path(), text.replace("old_logs", "old")).unwrap();
    let (code, report) = server.json("data-clean restore-archive old");
    let told = finding(&report, "data-clean.no-rule");
    assert_eq!((code, told["severity"].as_str()), (0, Some("low")));
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("to no rule: old_logs_… (1 file)"),
        "{message}"
    );
    assert_eq!(
        told["hint"],
        "give the rule that name: [[data_clean.rule]] name = \"old_logs\""
    );
    // Of another rule they are told of as little as once they are back.
    let both = format!("{text}\n{}", archives("old"));
    for (text, rule) in [(both, "old"), (text, "old_logs")] {
        std::fs::write(server.config_path(), text).unwrap();
        let (code, report) = server.json(&format!("data-clean restore-archive {rule}"));
        assert_eq!(code, 0, "{report:#}");
        assert!(finding_ids(&report, rule).is_empty(), "{report:#}");
    }
    assert_eq!(rows(&database, "logs"), 100);
}

/// The columns alone do not tell one table from another.
#[test]
fn rows_of_another_table_are_not_taken() {
    let lines = |table: &str| {
        rule(&format!(
            "table = \"{table}\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\""
        ))
    };
    let server = Server::new().config(&lines("logs"));
    let database = server.database();
    sql(&database, TABLES);
    sql(
        &database,
        "CREATE TABLE events (id INTEGER PRIMARY KEY, timestamp TEXT, message TEXT)",
    );
    back_up(&server);
    assert_eq!(clean(&server, "").0, 0);
    let text = std::fs::read_to_string(server.config_path()).unwrap();
    let other = text.replace("\"logs\"", "\"events\"");
    std::fs::write(server.config_path(), other).unwrap();
    let told = format!(
        "{} holds rows of logs of app_db, not of events of app_db",
        packs(&server)[0].display()
    );
    let refused = |line: &str, told: &str| {
        let (code, report) = server.json(line);
        assert_eq!(code, 3, "{report:#}");
        let message = report["failure"]["message"].as_str().unwrap();
        assert!(message.starts_with(told), "{message}");
        report["failure"]["hint"].as_str().unwrap().to_owned()
    };
    refused("data-clean restore-archive the-rule --dry-run", &told);
    let hint = refused("data-clean restore-archive the-rule", &told);
    assert_eq!((rows(&database, "events"), packs(&server).len()), (0, 1));
    // One that was cut short is not compared with another table either.
    let whole = packs(&server).remove(0);
    let pending = PathBuf::from(format!("{}.pending", whole.display()));
    std::fs::rename(&whole, &pending).unwrap();
    for line in ["--dry-run", ""] {
        let (code, report) = clean(&server, line);
        assert_eq!(code, 2, "{report:#}");
        let message = finding(&report, "data-clean.refused")["message"].clone();
        let told = told.replacen(".gz", ".gz.pending", 1);
        assert!(message.as_str().unwrap().starts_with(&told), "{message}");
    }
    std::fs::rename(&pending, &whole).unwrap();
    // The table has got another name, and the file is told to forget the old one.
    sql(
        &database,
        "DROP TABLE events; ALTER TABLE logs RENAME TO events",
    );
    let ran = Command::new("sh").args(["-c", &hint]).status();
    assert!(ran.unwrap().success());
    let (code, report) = server.json("data-clean restore-archive the-rule");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rows(&database, "events"), 100);
}

/// JSON has no place for it, so its row has to be found and mended by somebody.
#[test]
fn text_that_is_no_utf_8_is_found_by_what_is_said_of_it() {
    let server = Server::new().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"archive\"\ninto = \"file:archive\"",
    ));
    let database = server.database();
    sql(&database, TABLES);
    sql(
        &database,
        "UPDATE logs SET message = CAST(x'ff41' AS TEXT) WHERE id = 17",
    );
    back_up(&server);
    let (code, report) = clean(&server, "");
    assert_eq!((code, rows(&database, "logs")), (2, 100), "{report:#}");
    let failed = finding(&report, "data-clean.failed");
    let said = failed["message"].as_str().unwrap();
    assert!(said.contains("\"message\" holds text"), "{said}");
    let which = said.rsplit_once("in the row with ").unwrap().1;
    sql(
        &database,
        &format!("UPDATE logs SET message = CAST(message AS BLOB) WHERE {which}"),
    );
    let (code, report) = clean(&server, "");
    assert_eq!((code, rows(&database, "logs")), (0, 60), "{report:#}");
    server.run("data-clean restore-archive the-rule").expect(0);
    let mended = "SELECT count(*) FROM logs WHERE id = 17 AND message = x'ff41'";
    assert_eq!(number(&database, mended), 1);
}

/// A foreign key that is looked at only when a transaction ends refuses one row and not those beside it.
#[test]
fn a_row_whose_parent_is_gone_stays_archived_alone() {
    for into in ["old_notes", "file:archive"] {
        let server = Server::new().config(&rule(&format!(
            "table = \"notes\"\ncolumn = \"at\"\naction = \"archive\"\ninto = \"{into}\"",
        )));
        let database = server.database();
        sql(&database, TABLES);
        sql(
            &database,
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, line REFERENCES logs DEFERRABLE INITIALLY DEFERRED, at TEXT);
             CREATE TABLE old_notes (id INTEGER PRIMARY KEY, line, at TEXT);
             INSERT INTO notes SELECT id, id, timestamp FROM logs",
        );
        back_up(&server);
        assert_eq!(clean(&server, "").0, 0);
        assert_eq!(rows(&database, "notes"), 60);
        sql(&database, "DELETE FROM logs WHERE id IN (7, 8, 31)");
        let (code, report) = server.json("data-clean restore-archive the-rule");
        assert_eq!(code, 1, "{report:#}");
        let restored = &report["data"]["restored"];
        let counts = ["found", "rows", "conflicts"].map(|one| restored[one].as_u64().unwrap());
        assert_eq!(counts, [40, 37, 3], "{into}");
        assert_eq!(rows(&database, "notes"), 97);
        let stay = match into {
            "old_notes" => rows(&database, "old_notes"),
            _ => archived(&server).len() as i64,
        };
        assert_eq!(stay, 3);
    }
}

/// Rules that come one after another: each sees what those before it left, in a dry run too.
#[test]
fn a_dry_run_of_several_rules_says_what_they_do() {
    let rule = |name: &str, lines: &str| {
        format!(
            "[[data_clean.rule]]\nname = \"{name}\"\ndatabase = \"app_db\"\ncolumn = \"at\"\nolder_than = \"90d\"\naction = \"delete\"\nmax_fraction = 1.0\n{lines}\n"
        )
    };
    let rules = [
        // Takes the notes of its rows along, and sets their parents free.
        rule("lines", "table = \"lines\"\nwhere = \"kind = 1 -- or\""),
        rule("notes", "table = \"notes\""),
        // The same rows twice.
        rule("all-lines", "table = \"lines\""),
        rule("parents", "table = \"parents\""),
        rule("keys", "table = \"keys\"\nwhere = \"k > 'b'\""),
        rule("all-keys", "table = \"keys\""),
    ];
    let server = Server::new().config(&rules.concat());
    let database = server.database();
    sql(
        &database,
        "PRAGMA foreign_keys = ON;
         CREATE TABLE parents (id INTEGER PRIMARY KEY, at TEXT);
         CREATE TABLE lines (id INTEGER PRIMARY KEY, parent REFERENCES parents, kind INT, at TEXT);
         CREATE TABLE notes (id INTEGER PRIMARY KEY, line REFERENCES lines ON DELETE CASCADE, at TEXT);
         CREATE TABLE keys (k TEXT PRIMARY KEY, at TEXT);
         CREATE TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60) SELECT i FROM c;
         INSERT INTO parents SELECT i, '2026-01-01 00:00:00' FROM n;
         INSERT INTO lines SELECT i, iif(i % 4, i, NULL), i % 3, iif(i % 5, '2026-02-01 00:00:00', '2026-11-01 00:00:00') FROM n;
         INSERT INTO notes SELECT i, iif(i % 7, i, NULL), '2026-02-01 00:00:00' FROM n;
         INSERT INTO keys SELECT char(96 + i % 5) || i, '2026-02-01 00:00:00' FROM n;
         INSERT INTO keys VALUES (NULL, '2026-02-01 00:00:00');",
    );
    back_up(&server);
    let counts = |report: &Value, key: &str| -> Vec<u64> {
        let rules = report["data"]["rules"].as_array().unwrap();
        rules.iter().map(|one| one[key].as_u64().unwrap()).collect()
    };
    let (_, dry) = clean(&server, "--dry-run");
    let (code, real) = clean(&server, "");
    assert_eq!(code, 0, "{real:#}");
    for key in ["rows", "chosen", "referenced"] {
        assert_eq!(counts(&dry, key), counts(&real, key), "{key}");
    }
    assert_eq!(counts(&real, "done"), counts(&dry, "chosen"));
    assert!(counts(&real, "done").iter().all(|rows| *rows > 0));
    let reasons = |report: &Value| -> Vec<String> {
        let all = report["actions"].as_array().unwrap().iter();
        all.map(|one| one["reason"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(reasons(&dry), reasons(&real));
}

/// A few rows may take most of another table along.
#[test]
fn what_goes_along_has_a_limit_too() {
    let server = Server::new().config(&rule(
        "table = \"logs\"\ncolumn = \"timestamp\"\naction = \"delete\"",
    ));
    let database = server.database();
    sql(&database, TABLES);
    sql(
        &database,
        "CREATE TABLE words (log REFERENCES logs(id) ON DELETE CASCADE); CREATE INDEX by_log ON words(log);
         INSERT INTO words SELECT 1 FROM n; INSERT INTO words VALUES (90);",
    );
    back_up(&server);
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "data-clean.refused");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("100 of 101 rows in words"), "{refused}");
    assert_eq!(rows(&database, "logs"), 100);
    assert_eq!(clean(&server, "--yes").0, 0);
    assert_eq!((rows(&database, "logs"), rows(&database, "words")), (60, 1));
}

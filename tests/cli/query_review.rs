//! `query-review` on real databases: what is slow and why, which index SQLite would take, and nothing of it ever run.

use std::fs;
use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;

use crate::health::{finding, metric};
use crate::support::{Server, finding_ids};

/// Tables large enough that reading all of one matters, and a log of queries about them.
const SCENE: &str = "
    CREATE TABLE query_logs (id INTEGER PRIMARY KEY, query TEXT, query_time REAL, created_at TEXT);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, mail TEXT, state TEXT, amount REAL, created_at TEXT);
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000)
      INSERT INTO orders SELECT n, n % 2000, 'm' || n || '@example.org',
        CASE WHEN n % 3 THEN 'done' ELSE 'open' END, n, datetime(1760000000 + n * 60, 'unixepoch') FROM c;
    ANALYZE;";

/// A server with the scene, and these entries `(query, ms)` in the log, all of yesterday.
fn scene(entries: &[(&str, f64)]) -> Server {
    let server = Server::new();
    let connection = Connection::open(server.database()).unwrap();
    connection.execute_batch(SCENE).unwrap();
    for (query, ms) in entries {
        log(&connection, query, *ms, 1);
    }
    server
}

fn log(connection: &Connection, query: &str, ms: f64, days_ago: u32) {
    connection
        .execute(
            "INSERT INTO query_logs (query, query_time, created_at) VALUES (?1, ?2, datetime('now', ?3))",
            rusqlite::params![query, ms, format!("-{days_ago} days")],
        )
        .unwrap();
}

fn first(report: &Value) -> &Value {
    &report["data"]["databases"][0]
}

/// The findings of that id.
fn all<'a>(report: &'a Value, id: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["id"] == id)
        .collect()
}

#[test]
fn nothing_is_slow() {
    let server = scene(&[("SELECT * FROM orders WHERE id = 5", 1000.0)]);
    let (code, report) = server.json("query-review");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    assert_eq!(metric(&report, "query_slow"), 0.0);
    assert_eq!(first(&report)["log"]["rows"], 1);
    let cache = report["data"]["cache_hits"].as_str().unwrap();
    assert!(cache.contains("cannot be seen"), "{cache}");
    let text = server.run("query-review").expect(0).out;
    assert!(text.contains("cannot be seen from outside"), "{text}");
    assert!(server.run("query-review --quiet").expect(0).out.is_empty());
}

#[test]
fn slow_queries_are_grouped_measured_and_explained() {
    let mut entries: Vec<(String, f64)> = (1..=100)
        .map(|n| {
            (
                format!("SELECT * FROM orders WHERE mail = 'secret{n}@example.org'"),
                1000.0 + f64::from(n) * 10.0,
            )
        })
        .collect();
    entries.push((
        "select amount from orders where state = \"opaque\" order by amount".into(),
        9000.0,
    ));
    entries.push(("SELECT * FROM orders WHERE mail = 'quick-one'".into(), 3.0));
    let entries: Vec<(&str, f64)> = entries
        .iter()
        .map(|(sql, ms)| (sql.as_str(), *ms))
        .collect();
    let server = scene(&entries);
    log(
        &Connection::open(server.database()).unwrap(),
        "SELECT old",
        99_999.0,
        60,
    );
    let (code, report) = server.json("query-review");
    assert_eq!(code, 1, "{report:#}");
    let one = first(&report);
    assert_eq!(
        one["log"]["rows"], 102,
        "what is older than 30 days is left out: {one:#}"
    );
    assert_eq!(one["log"]["slow"], 101);
    let slow = &one["slow"][0];
    assert_eq!(slow["query"], "select * from orders where mail = ?");
    assert_eq!(
        (
            &slow["count"],
            &slow["total_ms"],
            &slow["p50_ms"],
            &slow["p95_ms"],
            &slow["max_ms"]
        ),
        (
            &100.into(),
            &150_500.0.into(),
            &1500.0.into(),
            &1950.0.into(),
            &2000.0.into()
        )
    );
    assert_eq!(
        slow["problems"],
        serde_json::json!(["full scan of orders (20000 rows)"])
    );
    assert_eq!(
        one["slow"][1]["query"],
        "select amount from orders where state = ? order by amount"
    );
    let problems = one["slow"][1]["problems"].to_string();
    assert!(
        problems.contains("temporary b-tree for ORDER BY"),
        "{problems}"
    );
    let found = finding(&report, "query.slow");
    assert_eq!(found["severity"], "medium");
    assert_eq!(
        (&found["value"], &found["threshold"]),
        (&9000.0.into(), &1000.0.into())
    );
    // Values never leave the database.
    let text = server.run("query-review -v").out;
    for told in [report.to_string(), text] {
        assert!(told.contains("orders where mail"), "{told}");
        for secret in ["secret", "opaque", "quick-one"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

/// The same questions to the shell's own adviser. It samples nothing, so the columns are what is compared.
#[test]
fn the_index_that_is_missing_is_the_one_that_the_shell_proposes() {
    let queries = [
        "SELECT * FROM orders WHERE mail = 'm7@example.org'",
        "SELECT amount FROM orders WHERE user_id = 5 ORDER BY created_at",
        "SELECT sum(o.amount) FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 7",
    ];
    for query in queries {
        let server = scene(&[(query, 2500.0)]);
        let (code, report) = server.json("query-review");
        assert_eq!(code, 1, "{report:#}");
        let missing = &first(&report)["missing_indices"][0];
        let columns: Vec<_> = missing["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let output = Command::new("sqlite3")
            .arg("-readonly")
            .arg(server.database())
            .args([".expert", query])
            .output()
            .unwrap();
        let peer = String::from_utf8_lossy(&output.stdout).into_owned();
        let wanted = format!(
            "ON {}({})",
            missing["table"].as_str().unwrap(),
            columns.join(", ")
        );
        assert!(
            peer.contains(&wanted),
            "{query}: ours {wanted}, the shell's: {peer}"
        );
        // What is proposed works, and is taken from then on.
        let sql = missing["sql"].as_str().unwrap();
        let found = finding(&report, "query.index-missing");
        assert!(found["hint"].as_str().unwrap().contains(sql), "{found:#}");
        let connection = Connection::open(server.database()).unwrap();
        connection.execute_batch(sql).unwrap();
        let plan: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(
            plan.iter().any(|step| step.contains("idx_orders_")),
            "{plan:?}"
        );
        let (_, report) = server.json("query-review");
        assert_eq!(
            first(&report)["missing_indices"],
            serde_json::json!([]),
            "{report:#}"
        );
    }
}

#[test]
fn indices_that_are_needless_or_unused_and_statistics_that_are_stale() {
    let server = scene(&[]);
    let connection = Connection::open(server.database()).unwrap();
    connection
        .execute_batch(
            "CREATE INDEX by_user ON orders(user_id); CREATE INDEX by_user_state ON orders(user_id, state);
             CREATE INDEX idle ON orders(amount); CREATE INDEX busy ON orders(mail);
             CREATE UNIQUE INDEX once ON orders(created_at, id);",
        )
        .unwrap();
    let (code, report) = server.json("query-review");
    assert_eq!(code, 0, "{report:#}");
    let needless = finding(&report, "query.index-needless");
    assert_eq!(needless["subject"], "app_db: by_user");
    assert_eq!(needless["hint"], "DROP INDEX \"by_user\";");
    assert_eq!(
        first(&report)["unused_indices"],
        Value::Null,
        "no log says so: {report:#}"
    );
    assert!(all(&report, "query.statistics").is_empty(), "{report:#}");

    connection.execute_batch("BEGIN").unwrap();
    for number in 0..1100 {
        let query = format!(
            "SELECT id FROM orders WHERE mail = '{number}' OR user_id = {number} AND state = 'x'"
        );
        log(&connection, &query, 5.0, 1);
    }
    log(
        &connection,
        "DELETE FROM orders WHERE mail = 'x'",
        1500.0,
        1,
    );
    connection
        .execute_batch("COMMIT; DELETE FROM orders WHERE id > 5000")
        .unwrap();
    let (_, report) = server.json("query-review");
    // What optimize-db would leave alone is not told.
    assert!(all(&report, "query.statistics").is_empty(), "{report:#}");
    connection
        .execute_batch("DELETE FROM orders WHERE id > 1500")
        .unwrap();
    let (_, report) = server.json("query-review");
    let unused = finding(&report, "query.index-unused");
    assert_eq!(unused["subject"], "app_db: idle", "{report:#}");
    let statistics = finding(&report, "query.statistics")["message"]
        .as_str()
        .unwrap();
    assert!(
        statistics.contains("orders has 1500 rows, they say 20000"),
        "{statistics}"
    );
    // A change is explained too, on the copy: it uses an index.
    assert_eq!(
        first(&report)["slow"][0]["problems"],
        serde_json::json!([]),
        "{report:#}"
    );
    connection
        .execute_batch("DROP TABLE sqlite_stat4; DROP TABLE sqlite_stat1")
        .unwrap();
    let (_, report) = server.json("query-review");
    let statistics = finding(&report, "query.statistics")["message"]
        .as_str()
        .unwrap();
    assert!(
        statistics.contains("no statistics for orders"),
        "{statistics}"
    );
    // The hint is true.
    server.run("backup --database app_db").expect(0);
    server.json("optimize-db app_db");
    let (_, report) = server.json("query-review");
    assert!(all(&report, "query.statistics").is_empty(), "{report:#}");
}

/// Each of these indices is used by something that one plan a shape does not show.
#[test]
fn an_index_that_only_some_queries_use_is_not_called_unused() {
    let server = scene(&[]);
    let connection = Connection::open(server.database()).unwrap();
    connection
        .execute_batch(
            "CREATE INDEX open_ones ON orders(id) WHERE state = 'open';
             CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, age INT); CREATE INDEX by_name ON people(name COLLATE NOCASE);
             CREATE INDEX idle ON people(age);
             CREATE TABLE audit(k INT, n INT); CREATE INDEX of_audit ON audit(k);
             CREATE TRIGGER g AFTER UPDATE ON orders BEGIN UPDATE audit SET n = n + 1 WHERE k = new.user_id; END;
             CREATE TABLE o(t INT, u INT); CREATE INDEX o_t ON o(t); CREATE INDEX o_tu ON o(t, u);
             CREATE TABLE p(t INT, u INT); CREATE INDEX p_t ON p(t); CREATE INDEX p_tu ON p(t, u);
             BEGIN;",
        )
        .unwrap();
    for number in 0..1100 {
        let state = if number == 3 { "open" } else { "done" };
        let pattern = if number == 3 { "n1%" } else { "%x" };
        for query in [
            format!("SELECT id FROM orders WHERE state = '{state}'"),
            format!("SELECT id FROM people WHERE name LIKE '{pattern}'"),
            "UPDATE orders SET amount = 1 WHERE id = 5".to_owned(),
            "SELECT u FROM p INDEXED BY p_t WHERE t = 1".to_owned(),
        ] {
            log(&connection, &query, 5.0, 1);
        }
    }
    log(&connection, "SELECT count(*) FROM o", 1500.0, 1);
    connection.execute_batch("COMMIT").unwrap();
    let (_, report) = server.json("query-review");
    assert_eq!(
        first(&report)["unused_indices"],
        serde_json::json!(["p_tu", "idle"]),
        "{report:#}"
    );
    let needless = all(&report, "query.index-needless");
    assert_eq!(needless.len(), 1, "{needless:#?}");
    assert_eq!(needless[0]["subject"], "app_db: o_t");

    // Of very many values nobody knows which ones were not seen.
    connection
        .execute_batch("DELETE FROM query_logs; BEGIN")
        .unwrap();
    for number in 0..1100 {
        let state = if number == 900 { "open" } else { "done" };
        let query =
            format!("SELECT id FROM orders WHERE state = '{state}' AND amount + 0 < {number}");
        log(&connection, &query, 5.0, 1);
        log(
            &connection,
            "SELECT id FROM people WHERE name LIKE ?",
            5.0,
            1,
        );
    }
    log(&connection, "SELECT count(*) FROM o", 1500.0, 1);
    connection.execute_batch("COMMIT").unwrap();
    let (_, report) = server.json("query-review");
    assert_eq!(
        first(&report)["unused_indices"],
        serde_json::json!(["idle"]),
        "{report:#}"
    );
}

#[test]
fn an_impossible_duration_is_counted_and_said() {
    let server = scene(&[("SELECT 1", 1e23), ("SELECT 1", 1e300)]);
    let (code, report) = server.json("query-review");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(first(&report)["log"]["unreadable"], 2);
    let message = finding(&report, "query.log")["message"].to_string();
    assert!(message.contains("2 of 2 entries"), "{message}");
    server.run("query-review").expect(0);
    let connection = Connection::open(server.database()).unwrap();
    for _ in 0..3 {
        log(&connection, "SELECT 1", 9e10, 1);
    }
    let text = server.run("query-review").expect(1).out;
    assert!(text.contains("select ?"), "{text}");
}

#[test]
fn a_table_of_a_module_that_is_not_here_is_left_out() {
    let server = scene(&[("SELECT * FROM orders WHERE mail = 'x'", 1500.0)]);
    crate::support::sql(
        &server.database(),
        "PRAGMA writable_schema=ON;
         INSERT INTO sqlite_schema VALUES ('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0(a float[3])')",
    );
    let (code, report) = server.json("query-review");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(first(&report)["not_copied"], serde_json::json!(["vectors"]));
    finding(&report, "query.index-missing");
    let text = server.run("query-review").expect(1).out;
    assert!(
        text.contains("cannot be made here on a copy: vectors"),
        "{text}"
    );
}

#[test]
fn all_slow_shapes_are_looked_at_and_those_that_are_not_shown_are_counted() {
    let server = scene(&[("SELECT 'a text that never ends FROM orders", 1001.0)]);
    let connection = Connection::open(server.database()).unwrap();
    for number in 0..48_u32 {
        let columns = "id, ".repeat(usize::try_from(number).unwrap() + 1);
        let query = format!("SELECT {columns} amount FROM orders WHERE id = 5");
        log(&connection, &query, 2000.0 + f64::from(number), 1);
    }
    let (_, report) = server.json("query-review");
    let slow = first(&report)["slow"].as_array().unwrap();
    assert_eq!(slow.len(), 49);
    assert!(
        slow[47]["plan"].to_string().contains("SEARCH"),
        "{report:#}"
    );
    let why = slow[48]["not_explained"].as_str().unwrap();
    assert!(why.contains("never closed"), "{why}");
    assert_eq!(first(&report)["not_tried"], 0);
    let text = server.run("query-review").expect(1).out;
    assert!(text.contains("29 more"), "{text}");
}

#[test]
fn any_table_may_be_missing_and_any_column_have_another_name() {
    let server = Server::empty();
    let connection = Connection::open(server.database()).unwrap();
    connection.execute_batch("CREATE TABLE one(x)").unwrap();
    let (code, report) = server.json("query-review");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(finding(&report, "query.no-log")["severity"], "info");
    connection
        .execute_batch(
            "CREATE TABLE \"odd \"\"log\"\"\"(\"the sql\" TEXT, ms TEXT, \"at\" INTEGER);
             INSERT INTO \"odd \"\"log\"\"\" VALUES ('SELECT x FROM one', '1500', strftime('%s') * 1000),
               ('SELECT x FROM one', '2500.5', strftime('%s') * 1000), ('SELECT x FROM one', 'soon', strftime('%s') * 1000);",
        )
        .unwrap();
    let server = server.config(
        "[query_review]\ntable = 'odd \"log\"'\nquery_column = \"the sql\"\nduration_column = \"MS\"\nslow = \"2s\"",
    );
    let (code, report) = server.json("query-review");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(first(&report)["slow"][0]["max_ms"], 2500.5);
    assert_eq!(
        first(&report)["log"]["time_format"],
        "milliseconds since 1970"
    );
    assert!(
        finding(&report, "query.log")["message"]
            .as_str()
            .unwrap()
            .contains("1 of 3 entries")
    );
    let server = server.config("");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"MS\"", "\"duration\""));
    let (code, report) = server.json("query-review");
    assert_eq!(code, 0, "{report:#}");
    assert!(
        finding(&report, "query.log")["message"]
            .as_str()
            .unwrap()
            .contains("it has: the sql, ms, at")
    );
}

/// What is in the log is somebody else's text, and so is the schema.
#[test]
fn a_hostile_log_and_schema_do_nothing() {
    let nested = format!("SELECT {}1{}", "(".repeat(9_000), ")".repeat(9_000));
    let huge = format!("SELECT '{}'", "x".repeat(5_000_000));
    let entries = [
        "DROP TABLE users",
        "SELECT 1; DROP TABLE users",
        "DELETE FROM users",
        "PRAGMA writable_schema = ON",
        "ATTACH '/tmp/em-hostile.db' AS h",
        "SELECT load_extension('x')",
        "SELECT writefile('/tmp/em-hostile.db', 'x')",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "SELECT * FROM v24",
        "\u{1b}[2J'",
        nested.as_str(),
        huge.as_str(),
    ]
    .map(|query| (query, 5000.0));
    let server = scene(&entries);
    let mut schema = String::from(
        "CREATE TRIGGER gone AFTER INSERT ON query_logs BEGIN DELETE FROM users; END;
         CREATE VIEW v0 AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c;",
    );
    for level in 1..25 {
        let below = level - 1;
        schema += &format!(
            "CREATE VIEW v{level} AS SELECT x FROM v{below} UNION ALL SELECT x FROM v{below};"
        );
    }
    let connection = Connection::open(server.database()).unwrap();
    connection.execute_batch(&schema).unwrap();
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let before = fs::read(server.database()).unwrap();
    let (code, report) = server.json("query-review --timeout 60s");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(first(&report)["log"]["slow"], 11);
    assert_eq!(first(&report)["log"]["too_long"], 1);
    for query in first(&report)["slow"].as_array().unwrap() {
        let explained = query["not_explained"].is_null();
        let reads = query["query"]
            .as_str()
            .unwrap()
            .starts_with("with recursive")
            || query["query"] == "delete from users"
            || query["query"].as_str().unwrap().contains("writefile");
        assert!(!explained || reads, "{query:#}");
    }
    assert!(!std::path::Path::new("/tmp/em-hostile.db").exists());
    assert!(fs::read(server.database()).unwrap() == before);
    let text = server.run("query-review -v --timeout 60s").out;
    assert!(!text.contains('\u{1b}'), "{text}");

    // A log that is a view is not read at all.
    connection
        .execute_batch("DROP TABLE query_logs; CREATE VIEW query_logs AS SELECT x AS query, x AS query_time FROM v0")
        .unwrap();
    let (code, report) = server.json("query-review --timeout 60s");
    assert_eq!(code, 0, "{report:#}");
    assert!(
        finding(&report, "query.log")["message"]
            .as_str()
            .unwrap()
            .contains("not an ordinary table")
    );
}

#[test]
fn a_schema_that_makes_no_sense_and_a_file_that_is_none() {
    let server = Server::new().config("[[database]]\nname = \"bad_db\"\npath = \"data/bad.db\"\n[[database]]\nname = \"no_db\"\npath = \"data/no.db\"");
    let bad = server.root().join("data/bad.db");
    let connection = Connection::open(&bad).unwrap();
    connection
        .execute_batch("CREATE TABLE t(x); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t(x'")
        .unwrap();
    drop(connection);
    fs::write(
        server.root().join("data/no.db"),
        "not a database, whatever its name",
    )
    .unwrap();
    let (code, report) = server.json("query-review");
    assert_eq!(code, 2, "{report:#}");
    let malformed = finding_ids(&report, "bad_db");
    assert_eq!(malformed, ["database.unreadable"], "{report:#}");
    assert_eq!(finding_ids(&report, "no_db"), ["database.unreadable"]);
    assert_eq!(report["data"]["databases"].as_array().unwrap().len(), 1);
    assert_eq!(first(&report)["database"], "app_db");
    let message = report["findings"].to_string();
    assert!(message.contains("malformed database schema"), "{message}");
}

#[test]
fn bad_usage_and_configuration_start_nothing() {
    let server = Server::new();
    for line in [
        vec!["query-review", "--database", "nothing"],
        vec!["query-review", "--profile", "npm start"],
        vec!["query-review", "--profile", "node a.js | tee b"],
        vec!["query-review", "--profile", "node a.js", "--for", "2h"],
        vec!["query-review", "--for", "5m"],
    ] {
        let ran = server.run_args(&line);
        ran.expect(3);
    }
    let server = Server::new().config("[query_review]\nslow = \"quick\"");
    let ran = server.run("query-review").expect(3);
    assert!(
        ran.err.contains("query_review") && ran.err.contains("slow"),
        "{}",
        ran.err
    );
    let server = Server::new().config("[query_review]\ntable = \"\"");
    server.run("query-review").expect(3);
    let server = Server::empty();
    let (code, report) = server.json("query-review");
    assert_eq!(
        code, 2,
        "a database that the configuration names must be there: {report:#}"
    );
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.ends_with("1 database could not be read; 1 critical finding"),
        "{summary}"
    );
    let server = Server::empty().raw_config("[app]\nroot = \"/nonexistent\"");
    server.run("query-review").expect(3);
}

const PROGRAM: &str = "
const http = require('http');
function busyWork(n) { let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003; return x; }
require('fs').writeFileSync('started', process.argv.slice(2).join('|') + '|' + process.env.GREETING);
process.on('SIGTERM', () => { require('fs').writeFileSync('ended', 'cleanly'); process.exit(0); });
http.createServer((q, r) => r.end(String(busyWork(1e6)))).listen(Number(process.env.PORT), '127.0.0.1');
setInterval(() => busyWork(3e6), 5);
";

#[test]
fn a_real_node_program_is_profiled_and_ended_cleanly() {
    let server = Server::new();
    fs::write(server.root().join("server.js"), PROGRAM).unwrap();
    let line = ["query-review", "--json", "--for", "2s", "--profile"];
    let command = "PORT=0 GREETING='hello world' node server.js 'a b' c";
    let dry = server
        .run_args(line.iter().chain(&[command, "--dry-run"]))
        .expect(0)
        .json();
    assert_eq!(dry["actions"][0]["target"], "node server.js 'a b' c");
    assert_eq!(dry["actions"][0]["outcome"], "planned");
    assert!(!server.root().join("started").exists());
    let before = server.fingerprint(&server.root());

    let report = server
        .run_args(line.iter().chain(&[command]))
        .expect(0)
        .json();
    let started = fs::read_to_string(server.root().join("started")).unwrap();
    assert_eq!(started, "a b|c|hello world");
    let ended = fs::read_to_string(server.root().join("ended")).unwrap();
    assert_eq!(ended, "cleanly");
    let profile = &report["data"]["profile"];
    assert_eq!(profile["killed"], false);
    assert!(profile["ticks"].as_u64().unwrap() > 100, "{profile:#}");
    let top = profile["top"][0]["name"].as_str().unwrap();
    assert!(top.contains("busyWork"), "{profile:#}");
    assert!(
        profile["parts"].to_string().contains("JavaScript"),
        "{profile:#}"
    );
    assert_eq!(
        metric(&report, "profile_ticks"),
        profile["ticks"].as_f64().unwrap()
    );
    // Nothing of the profiler stays behind.
    for name in ["started", "ended"] {
        fs::remove_file(server.root().join(name)).unwrap();
    }
    let after = server.fingerprint(&server.root());
    assert_eq!(before, after);
}

/// Nobody is left to end it then.
#[test]
fn a_program_does_not_outlive_a_run_that_is_killed() {
    let server = Server::new();
    let program = format!("require('fs').writeFileSync('pid', String(process.pid)); {PROGRAM}");
    fs::write(server.root().join("server.js"), program).unwrap();
    let mut run = server
        .command([
            "query-review",
            "--for",
            "10m",
            "--profile",
            "PORT=0 node server.js",
        ])
        .spawn()
        .unwrap();
    let until = |what: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if what() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("it did not come to that");
    };
    let pid = || fs::read_to_string(server.root().join("pid")).unwrap_or_default();
    until(&|| server.root().join("started").exists() && !pid().is_empty());
    run.kill().unwrap();
    run.wait().unwrap();
    let process = format!("/proc/{}/stat", pid());
    until(&|| {
        let stat = fs::read_to_string(&process).unwrap_or_default();
        // One that is dead and was not yet waited for by whoever inherited it.
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[test]
fn a_program_that_fails_is_said_to_have() {
    let server = Server::new();
    fs::write(
        server.root().join("server.js"),
        "throw new Error('the port is taken');",
    )
    .unwrap();
    let report = server
        .run_args([
            "query-review",
            "--json",
            "--for",
            "5s",
            "--profile",
            "node server.js",
        ])
        .expect(2)
        .json();
    let message = report["failure"].to_string();
    assert!(
        message.contains("ended by itself") && message.contains("the port is taken"),
        "{message}"
    );
    assert_eq!(report["actions"][0]["outcome"], "failed");
    // The review is there all the same.
    assert_eq!(report["data"]["databases"][0]["database"], "app_db");
    fs::write(server.root().join("silent.js"), "process.exit(3)").unwrap();
    let line = ["query-review", "--json", "--for", "5s", "--profile"];
    let report = server
        .run_args(line.iter().chain(&["node silent.js"]))
        .expect(2)
        .json();
    assert_eq!(
        report["failure"]["message"],
        "node silent.js ended by itself with exit status: 3 and said nothing"
    );
}

#[test]
fn a_program_that_does_not_end_when_asked_is_killed_and_said_to_be() {
    let server = Server::new();
    fs::write(
        server.root().join("server.js"),
        "process.on('SIGTERM', () => {}); setInterval(() => { for (let i = 0; i < 1e6; i++); }, 5);",
    )
    .unwrap();
    let line = ["query-review", "--for", "1s", "--profile", "node server.js"];
    let text = server.run_args(line).expect(0).out;
    assert!(
        text.contains("node server.js did not end on SIGTERM and was killed 10.0 s later"),
        "{text}"
    );
}

/// `query-review > report.txt`: tables, findings and verdict are one report.
#[test]
fn a_saved_report_has_its_findings() {
    let log: Vec<_> = (0..20)
        .map(|n| (format!("SELECT * FROM orders WHERE mail = 'm{n}'"), 1500.0))
        .collect();
    let log: Vec<_> = log
        .iter()
        .map(|(query, ms)| (query.as_str(), *ms))
        .collect();
    let server = scene(&log);
    let ran = server.run("query-review");
    assert!(ran.code > 0 && ran.err.is_empty(), "{ran:?}");
    assert!(ran.out.contains("CREATE INDEX"), "{ran:?}");
    assert!(ran.out.contains("\nquery-review: "), "{ran:?}");
    assert!(
        !ran.out.contains("query-review shows"),
        "it is shown above: {ran:?}"
    );
    let told = server.json("query-review").1.to_string();
    assert!(told.contains("query-review shows"), "{told}");
}

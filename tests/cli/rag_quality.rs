//! `rag-clean --step quality`: what was never retrieved for long and what says nothing goes; what nobody counts stays.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::broken::everywhere;
use crate::support::faults::Kind;
use crate::support::{Server, actions, finding, number, sql};

const NOW: &str = "2026-11-08T02:37:00Z";

/// Embeddings 1 to 100, each with a chunk, used once, made a year ago.
const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT, access_count, created_at);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100)
      INSERT INTO embeddings SELECT i, CAST(x'0000803f00000040' AS BLOB), '2026-11-07 00:00:00', 1, '2025-11-01 00:00:00' FROM c;
    INSERT INTO chunks SELECT id, NULL, id, 'what the chunk of number ' || id || ' says' FROM embeddings;
";

fn server(extra: &str, statements: &str) -> Server {
    let server = Server::new().config(&format!(
        "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[rag]\n{extra}\n"
    ));
    sql(&rag(&server), TABLES);
    sql(&rag(&server), statements);
    server.run(&format!("backup --now {NOW}")).expect(0);
    server
}

fn rag(server: &Server) -> PathBuf {
    server.root().join("data/rag.db")
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("rag-clean --now {NOW} {line}"))
}

fn gone(server: &Server, table: &str) -> i64 {
    5050 - number(&rag(server), &format!("SELECT sum(id) FROM {table}"))
}

fn outcome<'a>(report: &'a Value, what: &str) -> &'a Value {
    let steps = report["data"]["steps"].as_array().unwrap();
    let found = steps.iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {report:#}"))
}

#[test]
fn what_was_never_retrieved_goes_however_time_is_written() {
    for written in [
        "datetime(u, 'unixepoch')",
        "u",
        "u * 1000",
        "strftime('%Y-%m-%dT%H:%M:%SZ', u, 'unixepoch')",
    ] {
        // 1 to 3 old and unused, 4 unused and young, 5 unused of unknown age, 6 old and nobody knows.
        let server = server(
            "",
            &format!(
                "UPDATE embeddings SET created_at = (SELECT {written} FROM (SELECT unixepoch('2026-11-08') - 86400 * iif(embeddings.id = 4, 100, 300) AS u));
                 UPDATE embeddings SET access_count = 0 WHERE id <= 5;
                 UPDATE embeddings SET created_at = NULL WHERE id = 5;
                 UPDATE embeddings SET access_count = NULL WHERE id = 6;"
            ),
        );
        let (code, report) = clean(&server, "--step quality");
        assert_eq!(code, 0, "{written}: {report:#}");
        assert_eq!(gone(&server, "embeddings"), 1 + 2 + 3, "{written}");
        assert_eq!(gone(&server, "chunks"), 1 + 2 + 3, "{written}");
        let found = outcome(&report, "memories never retrieved");
        assert_eq!((&found["done"], &found["nulls"]), (&3.into(), &2.into()));
    }
}

#[test]
fn a_text_that_says_nothing_goes_where_it_was_never_retrieved() {
    let server = server(
        "",
        "UPDATE embeddings SET created_at = '2026-11-07 00:00:00', access_count = 0 WHERE id <= 6;
         UPDATE chunks SET text = 'hello' WHERE id IN (1, 50);
         UPDATE chunks SET text = '---- | ---- | a | b | c | ====' WHERE id IN (2, 51);
         UPDATE chunks SET text = replace(printf('%040d', 0), '0', 'buy ') WHERE id IN (3, 52);
         UPDATE chunks SET text = NULL WHERE id = 4;",
    );
    let (code, report) = clean(&server, "--step quality");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (gone(&server, "chunks"), gone(&server, "embeddings")),
        (6, 6)
    );
    let found = outcome(&report, "texts that say nothing");
    assert_eq!((&found["done"], &found["others"]), (&3.into(), &3.into()));
}

#[test]
fn counts_beside_the_chunks_count_too() {
    let server = server(
        "[rag.tables]\nretrievals = \"hits\"",
        "ALTER TABLE chunks ADD COLUMN hits INTEGER; ALTER TABLE chunks ADD COLUMN created_at INTEGER;
         UPDATE chunks SET hits = id > 5, created_at = unixepoch('2026-01-01');
         UPDATE chunks SET hits = NULL WHERE id = 5;",
    );
    let (code, report) = clean(&server, "--step quality");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (gone(&server, "chunks"), gone(&server, "embeddings")),
        (10, 10)
    );
    assert_eq!(outcome(&report, "memories never retrieved")["nulls"], 1);
}

#[test]
fn nothing_goes_where_nothing_is_counted_or_too_much_would() {
    for (statements, told) in [
        ("UPDATE embeddings SET access_count = 0", "does not count"),
        (
            "UPDATE embeddings SET access_count = NULL",
            "does not count",
        ),
        ("ALTER TABLE embeddings DROP COLUMN access_count", "no"),
        (
            "UPDATE embeddings SET access_count = 0 WHERE id <= 26",
            "26.0%, limit 25.0%",
        ),
        (
            "UPDATE embeddings SET access_count = 0 WHERE id < 9; UPDATE embeddings SET created_at = 1700000000 WHERE id % 2",
            "mixes forms",
        ),
        (
            "ALTER TABLE embeddings DROP COLUMN created_at; ALTER TABLE embeddings DROP COLUMN last_accessed",
            "how old",
        ),
    ] {
        let server = server("", statements);
        let (code, report) = clean(&server, "--step quality");
        assert_eq!(code, 2, "{statements}: {report:#}");
        let refused = finding(&report, "rag-clean.refused");
        assert_eq!(refused["subject"], "quality");
        assert!(
            refused["message"].as_str().unwrap().contains(told),
            "{refused}"
        );
        assert_eq!(gone(&server, "embeddings"), 0, "{statements}");
    }
}

#[test]
fn a_bare_run_leaves_it_out() {
    let server = server("", "UPDATE embeddings SET access_count = 0 WHERE id <= 5");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert!(actions(&report).is_empty(), "{report:#}");
    assert_eq!(gone(&server, "embeddings"), 0);
}

/// Each step finds something that another would too: who goes first takes it, in the dry run as in the real one.
/// Work for each of the steps of [`STEPS`], some of it for two.
const ALL: &str = "
    UPDATE embeddings SET access_count = 0 WHERE id <= 12;
    UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id IN (1, 2, 20);
    UPDATE embeddings SET vector = zeroblob(8) WHERE id IN (2, 3, 30);
    UPDATE chunks SET text = '' WHERE id IN (3, 4, 5, 40);
    UPDATE chunks SET text = 'one' WHERE id IN (1, 6, 7);
    UPDATE embeddings SET created_at = '2026-11-01 00:00:00' WHERE id IN (7, 8);
    DELETE FROM embeddings WHERE id = 9;
";
const STEPS: &str = "steps = [\"idle\", \"orphans\", \"invalid\", \"quality\"]";

#[test]
fn a_dry_run_of_all_steps_tells_what_the_run_does() {
    let server = server(STEPS, ALL);
    let before = server.fingerprint(&server.root());
    let (code, dry) = clean(&server, "--dry-run");
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(server.fingerprint(&server.root()), before);
    let (code, real) = clean(&server, "");
    assert_eq!(code, 0, "{real:#}");
    let steps = |report: &Value| -> Vec<Value> {
        let actions = report["actions"].as_array().unwrap();
        actions
            .iter()
            .map(|one| serde_json::json!([one["kind"], one["target"], one["reason"]]))
            .collect()
    };
    assert_eq!(steps(&dry), steps(&real));
    for one in real["data"]["steps"].as_array().unwrap() {
        assert_eq!(one["chosen"], one["done"], "{one}");
    }
    let (_, again) = clean(&server, "");
    assert!(actions(&again).is_empty(), "{again:#}");
}

const SOUND: &str = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
/// Chunks that wait for a vector are not torn; 9 was so from the start.
const TORN: &str = "SELECT count(*) FROM chunks WHERE id <> 9 AND embedding_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM embeddings AS e WHERE e.id = chunks.embedding_id)";

/// What is there, and what it points to.
fn memory(server: &Server) -> Vec<(i64, Option<i64>)> {
    let connection = rusqlite::Connection::open(rag(server)).unwrap();
    let mut statement = connection
        .prepare("SELECT id, embedding_id FROM chunks UNION ALL SELECT -id, NULL FROM embeddings ORDER BY 1")
        .unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    found.unwrap().map(Result::unwrap).collect()
}

#[test]
fn killed_anywhere_in_any_step_the_memory_is_whole_and_the_next_run_ends_it() {
    let server = server(STEPS, ALL);
    let start = memory(&server);
    let mut part = 0;
    everywhere(
        &server,
        &format!("rag-clean --now {NOW} --json"),
        Kind::Kill,
        40,
        || memory(&server),
        |end, _, place| {
            assert_eq!(number(&rag(&server), SOUND), 0, "{place}");
            assert_eq!(number(&rag(&server), TORN), 0, "{place}");
            let now = memory(&server);
            part += u32::from(now != start && now != *end);
            let (code, again) = clean(&server, "");
            assert!(code <= 1, "{place}: {again:#}"); // a killed run is told of
            assert_eq!(memory(&server), *end, "{place}");
        },
    );
    assert!(part > 0, "no run was killed between two steps");
}

/// VACUUM and what goes with it: the same rows under the same ids, before and after.
#[test]
fn killed_anywhere_while_it_is_made_small_every_row_stays() {
    let server = server(
        "",
        "CREATE TABLE junk (x); INSERT INTO junk VALUES (zeroblob(70000000)); DROP TABLE junk;",
    );
    let size = || fs::metadata(rag(&server)).unwrap().len();
    everywhere(
        &server,
        &format!("rag-clean --step optimize --now {NOW} --json"),
        Kind::Kill,
        12,
        || {
            assert!(size() < 1_000_000);
            memory(&server)
        },
        |end, _, place| {
            assert_eq!(number(&rag(&server), SOUND), 0, "{place}");
            assert_eq!(memory(&server), *end, "{place}");
            let (code, again) = clean(&server, "--step optimize");
            assert!(code <= 1, "{place}: {again:#}");
            assert_eq!(memory(&server), *end, "{place}");
            assert!(size() < 1_000_000, "{place}: {again:#}");
        },
    );
}

//! `rag-clean`: what is idle, orphaned or invalid goes; what is in doubt, pending, young or pointed to stays.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Paused, Server, actions, finding, finding_ids, number, require_as_planned, sql,
};

/// A Sunday.
const NOW: &str = "2026-11-08T02:37:00Z";

/// Embeddings 1 to 100, each with a chunk of its own, ten chunks a document.
const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT, content_hash TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
    CREATE TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) SELECT i FROM c;
    INSERT INTO documents SELECT i, 'docs/' || i, '' FROM n WHERE i <= 10;
    INSERT INTO embeddings SELECT i, x'0000803f' || CAST(x'00000040' AS BLOB), NULL FROM n;
    UPDATE embeddings SET vector = CAST(x'0000803f00000040' AS BLOB), last_accessed = datetime('2026-11-08', '-' || id || ' hours');
    INSERT INTO chunks SELECT i, (i - 1) / 10 + 1, i, 'the text of chunk ' || i FROM n;
";

fn config(extra: &str) -> String {
    format!("[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[rag]\n{extra}\n")
}

fn server_with(extra: &str, statements: &str) -> Server {
    let server = Server::new().config(&config(extra));
    sql(&rag(&server), TABLES);
    sql(&rag(&server), statements);
    server.run(&format!("backup --now {NOW}")).expect(0);
    server
}

fn server(statements: &str) -> Server {
    server_with("", statements)
}

fn rag(server: &Server) -> PathBuf {
    server.root().join("data/rag.db")
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("rag-clean --now {NOW} {line}"))
}

fn ids(path: &Path, table: &str) -> Vec<i64> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection
        .prepare(&format!("SELECT id FROM {table} ORDER BY id"))
        .unwrap();
    let found = statement.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}

fn without(gone: &[i64]) -> Vec<i64> {
    (1..=100).filter(|id| !gone.contains(id)).collect()
}

fn outcome<'a>(report: &'a Value, what: &str) -> &'a Value {
    let steps = report["data"]["steps"].as_array().unwrap();
    let found = steps.iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {report:#}"))
}

#[test]
fn a_memory_that_is_well_is_left_alone() {
    let server = server("");
    let before = server.fingerprint(&server.root().join("data"));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["summary"], "nothing that a step looked for is there");
    assert!(actions(&report).is_empty());
    assert_eq!(server.fingerprint(&server.root().join("data")), before);
}

#[test]
fn idle_embeddings_go_with_their_chunks_however_time_is_written() {
    // The plan's own comparison takes every row of the second to the fifth, and the NULL of none.
    for written in [
        "datetime(u, 'unixepoch')",
        "u",
        "u * 1000",
        "strftime('%Y-%m-%dT%H:%M:%SZ', u, 'unixepoch')",
        "CAST(u AS TEXT)",
    ] {
        let server = server(&format!(
            "UPDATE embeddings SET last_accessed = (SELECT {written} FROM (SELECT unixepoch('2026-11-08') - 3600 - iif(embeddings.id <= 9, 95 * 86400, 0) AS u));
             UPDATE embeddings SET last_accessed = NULL WHERE id = 50;"
        ));
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{written}: {report:#}");
        let left = without(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(ids(&rag(&server), "embeddings"), left, "{written}");
        assert_eq!(ids(&rag(&server), "chunks"), left, "{written}");
        let idle = outcome(&report, "idle embeddings");
        assert_eq!(
            (&idle["done"], &idle["others"], &idle["nulls"]),
            (&9.into(), &9.into(), &1.into()),
            "{written}"
        );
    }
}

#[test]
fn a_column_that_the_application_does_not_maintain_tells_nothing() {
    for column in [
        "datetime('2026-10-01', '-' || id || ' days')",
        // Not an access either: one date far ahead.
        "iif(id = 100, '2036-01-01 00:00:00', datetime('2026-10-01', '-' || id || ' days'))",
    ] {
        let server = server(&format!("UPDATE embeddings SET last_accessed = {column}"));
        let (code, report) = clean(&server, "--yes");
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.refused");
        assert_eq!(refused["subject"], "idle");
        assert!(
            refused["message"]
                .as_str()
                .unwrap()
                .contains("does not maintain it"),
            "{refused}"
        );
        assert_eq!(ids(&rag(&server), "embeddings"), without(&[]));
    }
}

#[test]
fn a_column_that_mixes_forms_of_time_is_refused_and_the_other_steps_are_done() {
    let server = server(
        "UPDATE embeddings SET last_accessed = 1700000000 WHERE id % 2; DELETE FROM embeddings WHERE id = 7;",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    for step in ["idle", "orphans"] {
        assert_eq!(
            finding_ids(&report, step),
            ["rag-clean.refused"],
            "{report:#}"
        );
    }
    let refused = &report["findings"][0];
    assert!(
        refused["message"].as_str().unwrap().contains("mixes forms"),
        "{refused}"
    );
    assert_eq!(ids(&rag(&server), "chunks"), without(&[7]));
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[7]));
}

#[test]
fn orphans_go_although_there_are_nulls() {
    let server = server(
        "DELETE FROM embeddings WHERE id IN (3, 4);
         UPDATE chunks SET embedding_id = NULL WHERE id = 15;
         INSERT INTO embeddings SELECT NULL, NULL, NULL;
         DELETE FROM documents WHERE id = 1;
         UPDATE chunks SET document_id = NULL WHERE id = 6;
         DELETE FROM chunks WHERE id = 60;",
    );
    // Chunk 15 waits for an embedding, 6 never had a document. Embeddings 15 and 60 lost their chunk; 101 is newer than all that have
    // one, so its chunk may be on its way.
    let (_, dry) = clean(&server, "--dry-run --step orphans");
    let (code, report) = clean(&server, "--step orphans");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        ids(&rag(&server), "chunks"),
        without(&[1, 2, 3, 4, 5, 7, 8, 9, 10, 60])
    );
    let chosen = |report: &Value| -> Vec<Value> {
        let steps = report["data"]["steps"].as_array().unwrap();
        steps.iter().map(|one| one["chosen"].clone()).collect()
    };
    assert_eq!(chosen(&dry), chosen(&report));
    assert_eq!(
        outcome(&report, "chunks without their embedding")["nulls"],
        1
    );
    // Used in the last day: 1, 2, 5, 7, 8, 9, 10, 15. Not so: 60.
    let mut left = without(&[3, 4, 60]);
    left.push(101);
    assert_eq!(ids(&rag(&server), "embeddings"), left);
    // Once more finds nothing: the young ones are still young.
    let (_, again) = clean(&server, "--step orphans");
    assert!(actions(&again).is_empty(), "{again:#}");
}

#[test]
fn what_is_no_vector_goes_and_its_text_waits_for_a_new_one() {
    let server = server(
        "UPDATE embeddings SET vector = CAST(x'0000c07f00000040' AS BLOB) WHERE id = 1;
         UPDATE embeddings SET vector = CAST(x'0000807f00000040' AS BLOB) WHERE id = 2;
         UPDATE embeddings SET vector = zeroblob(8) WHERE id = 3;
         UPDATE embeddings SET vector = CAST(x'0000803f' AS BLOB) WHERE id = 4;
         UPDATE embeddings SET vector = CAST(x'000080' AS BLOB) WHERE id = 5;
         UPDATE embeddings SET vector = '[1, 2]' WHERE id = 6;
         UPDATE embeddings SET vector = NULL WHERE id = 7;
         UPDATE chunks SET text = ' ' || char(10, 27) WHERE id = 8;
         UPDATE chunks SET text = NULL WHERE id = 9;",
    );
    let (code, report) = clean(&server, "--step invalid");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        ids(&rag(&server), "embeddings"),
        without(&[1, 2, 3, 4, 5, 6, 8])
    );
    assert_eq!(ids(&rag(&server), "chunks"), without(&[8]));
    assert_eq!(
        number(
            &rag(&server),
            "SELECT sum(id) FROM chunks WHERE embedding_id IS NULL"
        ),
        1 + 2 + 3 + 4 + 5 + 6
    );
    let vectors = outcome(&report, "invalid vectors");
    assert_eq!(
        (&vectors["done"], &vectors["nulls"]),
        (&6.into(), &1.into())
    );
    assert_eq!(outcome(&report, "chunks without text")["done"], 1);
}

/// What an application keeps in another way, or what a person could still read, is no rubbish.
#[test]
fn only_what_holds_nothing_to_read_is_no_text() {
    let server = server(
        "ALTER TABLE chunks RENAME TO old;
         CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text);
         INSERT INTO chunks SELECT * FROM old; DROP TABLE old; CREATE INDEX by_embedding ON chunks(embedding_id);
         UPDATE chunks SET text = CAST('kept as bytes' AS BLOB) WHERE id = 1;
         UPDATE chunks SET text = x'789c4b4c4a06000024d00127' WHERE id = 2;
         UPDATE chunks SET text = '北京' WHERE id = 3;
         UPDATE chunks SET text = 20241130 WHERE id = 4;
         UPDATE chunks SET text = CAST(x'ff' || CAST('a long text with one bad byte' AS BLOB) AS TEXT) WHERE id = 5;
         UPDATE chunks SET text = '4' WHERE id = 6;
         UPDATE chunks SET text = char(0, 9, 32, 160) WHERE id = 7;",
    );
    let (_, dry) = clean(&server, "--dry-run");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    for report in [&dry, &report] {
        let texts = outcome(report, "chunks without text");
        assert_eq!(
            (&texts["chosen"], &texts["nulls"]),
            (&1.into(), &3.into()),
            "{texts}"
        );
        assert_eq!(finding_ids(report, "invalid"), ["rag-clean.damaged-text"]);
    }
    assert_eq!(ids(&rag(&server), "chunks"), without(&[7]));
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[7]));
}

#[test]
fn text_that_is_no_utf_8_stays_and_hides_nothing_else() {
    let server = server(
        "UPDATE chunks SET text = CAST(x'616263ff' AS TEXT) WHERE id = 40;
         UPDATE chunks SET text = '' WHERE id = 39;
         UPDATE embeddings SET vector = CAST(x'0000803fff' AS TEXT) WHERE id = 41;
         UPDATE embeddings SET vector = zeroblob(8) WHERE id = 42;",
    );
    let (code, dry) = clean(&server, "--step invalid --dry-run");
    assert_eq!(code, 0, "{dry:#}");
    let (code, report) = clean(&server, "--step invalid");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[39, 41, 42]));
    assert_eq!(ids(&rag(&server), "chunks"), without(&[39]));
    for what in ["invalid vectors", "chunks without text"] {
        assert_eq!(
            outcome(&report, what)["done"],
            outcome(&dry, what)["chosen"]
        );
    }
}

#[test]
fn a_chunk_stays_with_the_embedding_that_a_trigger_keeps() {
    let server = server(
        "CREATE TRIGGER kept BEFORE DELETE ON embeddings BEGIN SELECT raise(IGNORE); END;
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id <= 3;",
    );
    let (code, report) = clean(&server, "--step idle");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[]));
    assert_eq!(ids(&rag(&server), "chunks"), without(&[]));
    assert_eq!(finding_ids(&report, "idle"), ["rag-clean.kept"]);
}

#[test]
fn a_dry_run_lists_what_the_run_does_and_changes_nothing() {
    let server = server(
        "UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id <= 5;
         DELETE FROM embeddings WHERE id = 20; DELETE FROM chunks WHERE id IN (3, 30);
         DELETE FROM documents WHERE id = 9;
         UPDATE embeddings SET vector = zeroblob(8) WHERE id IN (4, 40, 95);
         UPDATE chunks SET text = '' WHERE id IN (2, 50, 96);",
    );
    let before = server.fingerprint(&server.root());
    let (code, dry) = clean(&server, "--dry-run");
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(server.fingerprint(&server.root()), before);
    let (code, real) = clean(&server, "");
    assert_eq!(code, 0, "{real:#}");
    let steps = |report: &Value| -> Vec<(Value, Value, Value)> {
        let actions = report["actions"].as_array().unwrap();
        let one = |one: &Value| {
            (
                one["kind"].clone(),
                one["target"].clone(),
                one["reason"].clone(),
            )
        };
        actions.iter().map(one).collect()
    };
    assert_eq!(steps(&dry), steps(&real));
    require_as_planned(&dry, &real);
    let (_, again) = clean(&server, "");
    assert!(actions(&again).is_empty(), "{again:#}");
}

#[test]
fn too_much_at_once_is_refused_without_yes() {
    let server =
        server("UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id <= 26;");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.refused");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("26.0%, limit 25.0%"),
        "{refused}"
    );
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[]));
    let (code, _) = clean(&server, "--step idle --yes");
    assert_eq!(code, 0);
    assert_eq!(ids(&rag(&server), "embeddings").len(), 74);
}

/// What goes along is no less gone.
#[test]
fn too_much_that_goes_along_is_refused_too() {
    for (more, change, told) in [
        // 20 chunks are a tenth of them; their embeddings are a fifth.
        (
            "DELETE FROM embeddings WHERE id > 100; UPDATE chunks SET embedding_id = 50 WHERE id > 100",
            "UPDATE chunks SET text = '' WHERE id <= 20",
            "embeddings of chunks without text 20 of 100 rows would go",
        ),
        (
            "UPDATE chunks SET embedding_id = 1 WHERE id > 100",
            "UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id = 1",
            "chunks of idle embeddings 101 of 200 rows would go",
        ),
    ] {
        let twice = "INSERT INTO embeddings SELECT id + 100, vector, last_accessed FROM embeddings;
            INSERT INTO chunks SELECT id + 100, document_id, id, text FROM chunks";
        let server = server_with("max_fraction = 0.15", &format!("{twice}; {more}; {change}"));
        let before = ids(&rag(&server), "chunks");
        let (code, report) = clean(&server, "--step idle --step invalid");
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.refused");
        assert!(
            refused["message"].as_str().unwrap().contains(told),
            "{refused}"
        );
        assert_eq!(ids(&rag(&server), "chunks"), before);
    }
}

#[test]
fn without_a_backup_nothing_goes() {
    let server = Server::new().config(&config(""));
    sql(&rag(&server), TABLES);
    sql(&rag(&server), "DELETE FROM embeddings WHERE id = 7");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    assert_eq!(finding(&report, "rag-clean.no-backup")["subject"], "rag_db");
    assert_eq!(ids(&rag(&server), "chunks").len(), 100);
    let (code, _) = clean(&server, "--no-backup-check");
    assert_eq!(code, 0);
    assert_eq!(ids(&rag(&server), "chunks").len(), 99);
}

#[test]
fn what_the_schema_holds_on_to_stays() {
    let server = server(
        "CREATE TABLE pins (embedding INTEGER REFERENCES embeddings(id), chunk INTEGER REFERENCES chunks(id));
         CREATE INDEX pins_by_embedding ON pins(embedding); CREATE INDEX pins_by_chunk ON pins(chunk);
         INSERT INTO pins VALUES (1, NULL), (NULL, 2);
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id <= 3;",
    );
    let (_, dry) = clean(&server, "--step idle --dry-run");
    let planned = outcome(&dry, "idle embeddings");
    assert_eq!(
        (&planned["chosen"], &planned["others"]),
        (&1.into(), &1.into())
    );
    let (code, report) = clean(&server, "--step idle");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[3]));
    assert_eq!(ids(&rag(&server), "chunks"), without(&[3]));
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM pragma_foreign_key_check"
        ),
        0
    );
}

#[test]
fn a_full_text_index_beside_the_chunks_follows() {
    let server = server(
        "CREATE VIRTUAL TABLE search USING fts5(text, content='chunks', content_rowid='id');
         INSERT INTO search(search) VALUES ('rebuild');
         CREATE TRIGGER chunks_gone AFTER DELETE ON chunks BEGIN
           INSERT INTO search(search, rowid, text) VALUES ('delete', old.id, old.text);
         END;
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id <= 9;",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    let found = "SELECT count(*) FROM search WHERE search MATCH 'chunk'";
    assert_eq!(number(&rag(&server), found), 91);
    sql(
        &rag(&server),
        "INSERT INTO search(search, rank) VALUES ('integrity-check', 1)",
    );
}

/// Without an INTEGER PRIMARY KEY a VACUUM could renumber what an index calls its vectors by.
#[test]
fn no_rowid_is_renumbered() {
    let server = server(
        "CREATE TABLE plain AS SELECT rowid + 0 AS kept, id, vector, last_accessed FROM embeddings;
         DROP TABLE embeddings; ALTER TABLE plain RENAME TO embeddings;
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id % 10 = 0;",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM embeddings WHERE rowid = kept AND rowid = id"
        ),
        90
    );
    assert_eq!(number(&rag(&server), "SELECT count(*) FROM chunks"), 90);
}

#[test]
fn bad_input_is_told_and_changes_nothing() {
    for (extra, line, told) in [
        ("steps = [\"dupes\"]", "", "dupes"),
        ("max_fraction = 2.0", "", "from 0 to 1"),
        ("database = \"other\"", "", "no database 'other'"),
        ("", "--step dupes", "dupes"),
        ("", "--rebuild-if-stale 2", "from 0 to 1"),
        ("", "--rebuild-index", "no [[rag.index]]"),
        (
            "[rag.tables]\nembeddings = \"vectors\"",
            "",
            "no table vectors",
        ),
    ] {
        let server = server_with("", "DELETE FROM embeddings WHERE id = 7").config("");
        let text = std::fs::read_to_string(server.config_path()).unwrap();
        let server = server.raw_config(&text.replace("[rag]\n", &format!("[rag]\n{extra}\n")));
        let ran = server.run(&format!("rag-clean --now {NOW} {line}"));
        assert_eq!(ran.code, 3, "{extra} {line}: {ran:?}");
        assert!(ran.err.contains(told), "{extra} {line}: {ran:?}");
        assert_eq!(ids(&rag(&server), "chunks").len(), 100);
    }
    let other = server("ALTER TABLE embeddings RENAME COLUMN vector TO floats");
    let (code, report) = clean(&other, "--step invalid");
    assert_eq!(code, 2);
    let refused = finding(&report, "rag-clean.refused");
    assert!(
        refused["hint"].as_str().unwrap().contains("floats"),
        "{refused}"
    );
}

#[test]
fn a_table_without_the_index_that_it_takes_is_refused_with_the_statement() {
    let server = server(
        "DROP INDEX chunks_by_embedding;
         INSERT INTO chunks SELECT 1000 + 100 * a.i + b.i, 1, 50, 'more text' FROM n AS a, n AS b WHERE a.i <= 25;
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id = 1;",
    );
    let (code, report) = clean(&server, "--step idle");
    assert_eq!(code, 2);
    let refused = finding(&report, "rag-clean.refused");
    let hint = refused["hint"].as_str().unwrap().to_owned();
    sql(&rag(&server), &hint);
    let (code, _) = clean(&server, "--step idle");
    assert_eq!(code, 0);
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[1]));
}

/// Twenty thousand embeddings, the even ones idle.
fn large(server: &Server) {
    sql(
        &rag(server),
        "WITH RECURSIVE c(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM c WHERE i < 20999)
           INSERT INTO embeddings SELECT i, CAST(x'0000803f00000040' AS BLOB), iif(i % 2, '2026-11-01 00:00:00', '2025-01-01 00:00:00') FROM c;
         INSERT INTO chunks SELECT id, NULL, id, 'the text of chunk ' || id FROM embeddings WHERE id >= 1000;",
    );
    server.run(&format!("backup --fresh --now {NOW}")).expect(0);
}

#[test]
fn the_application_goes_on_and_keeps_what_it_uses_again() {
    let server = server("");
    large(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let application = {
        let (path, stop) = (rag(&server), stop.clone());
        std::thread::spawn(move || {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.busy_timeout(Duration::from_secs(30)).unwrap();
            // Uses idle embeddings again, from the end, and notes which it found.
            let mut used = Vec::new();
            for id in (1000..21_000).rev().filter(|id| id % 2 == 0) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let found = connection
                    .execute(
                        "UPDATE embeddings SET last_accessed = '2026-11-08 00:00:00' WHERE id = ?1",
                        [id],
                    )
                    .unwrap();
                if found == 1 {
                    used.push(id);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            used
        })
    };
    let (code, report) = clean(&server, "--yes");
    stop.store(true, Ordering::Relaxed);
    let used = application.join().unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert!(!used.is_empty());
    let left: std::collections::BTreeSet<_> =
        ids(&rag(&server), "embeddings").into_iter().collect();
    let chunks: std::collections::BTreeSet<_> = ids(&rag(&server), "chunks").into_iter().collect();
    for id in used {
        assert!(left.contains(&id), "{id} was used and is gone");
    }
    assert_eq!(left, chunks);
    assert!(report["data"]["database"]["transactions"].as_u64().unwrap() > 3);
}

#[test]
fn a_backup_that_waits_gets_its_turn() {
    let server = server("");
    large(&server);
    let mut command = server.command(["rag-clean", "--yes", "--now", NOW, "--json"]);
    let paused = Paused::before("write", "rag.db-wal", &server.root(), &mut command);
    let backup = server
        .command(["backup", "--database", "rag_db", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits once it holds the lock of those who wait.
    let waiting = server.backups().join(".rag_db.lock.waiting");
    while !waiting.exists() || File::open(&waiting).unwrap().try_lock_shared().is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran = paused.resume();
    let report = ran.json();
    assert_eq!(ran.code, 0, "{report:#}");
    assert_eq!(finding(&report, "rag-clean.gave-way")["subject"], "idle");
    assert!(backup.wait_with_output().unwrap().status.success());
    assert_eq!(
        ids(&rag(&server), "embeddings"),
        ids(&rag(&server), "chunks")
    );
    let (code, _) = clean(&server, "--yes");
    assert_eq!(code, 0);
    assert_eq!(ids(&rag(&server), "embeddings").len(), 10_100);
}

#[test]
fn it_waits_for_a_backup_and_says_for_whom() {
    let server = server("DELETE FROM embeddings WHERE id = 7");
    let mut command = server.command(["backup", "--database", "rag_db", "--json"]);
    let paused = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
    let (code, report) = clean(&server, "--lock-wait 0s");
    assert_eq!(code, 3, "{report:#}");
    let message = report["failure"]["message"].as_str().unwrap();
    assert!(
        message.contains("in use by empire-maint backup"),
        "{message}"
    );
    assert_eq!(ids(&rag(&server), "chunks").len(), 100);
    assert_eq!(paused.resume().code, 0);
}

#[test]
fn a_signal_ends_it_between_two_transactions() {
    let server = server("");
    large(&server);
    let mut command = server.command(["rag-clean", "--yes", "--now", NOW, "--json"]);
    let paused = Paused::before("write", "rag.db-wal", &server.root(), &mut command);
    paused.signal(Signal::TERM);
    assert_eq!(paused.resume().code, 128 + 15);
    assert_eq!(
        ids(&rag(&server), "embeddings"),
        ids(&rag(&server), "chunks")
    );
    assert_eq!(clean(&server, "--yes").0, 0);
    assert_eq!(ids(&rag(&server), "embeddings").len(), 10_100);
}

/// The tables of an application that has more than the plan knows of.
fn with_pins(more: &str) -> Server {
    let server = server("");
    sql(
        &rag(&server),
        &format!(
            "PRAGMA foreign_keys=OFF; CREATE TABLE pins (e INTEGER REFERENCES embeddings(id), c INTEGER REFERENCES chunks(id)); {more}"
        ),
    );
    server
}

/// What another table points to stays, and what belongs to it.
#[test]
fn what_is_pinned_stays_with_what_belongs_to_it() {
    // The chunks of an embedding that has to go along, one of them pinned, and one without its document.
    let server = with_pins(
        "CREATE TABLE new (id INTEGER PRIMARY KEY, document_id INTEGER REFERENCES documents(id), embedding_id INTEGER NOT NULL, text TEXT);
         INSERT INTO new SELECT * FROM chunks; DROP TABLE chunks; ALTER TABLE new RENAME TO chunks;
         CREATE INDEX by_embedding ON chunks(embedding_id);
         INSERT INTO chunks VALUES (101, 77, 1, 'another text');
         INSERT INTO pins VALUES (NULL, 1); UPDATE embeddings SET vector = zeroblob(8) WHERE id IN (1, 2)",
    );
    let (code, report) = clean(&server, "--step invalid --no-backup-check");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(outcome(&report, "invalid vectors")["done"], 1);
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[2]));
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM pins JOIN chunks ON chunks.id = c"
        ),
        1
    );
    // An embedding that is pinned stays where its chunk says nothing.
    let server = with_pins(
        "INSERT INTO pins VALUES (1, NULL); UPDATE chunks SET text = '' WHERE id IN (1, 2)",
    );
    let (_, dry) = clean(&server, "--step invalid --dry-run");
    let (code, report) = clean(&server, "--step invalid");
    assert_eq!(code, 0, "{report:#}");
    for report in [&dry, &report] {
        assert_eq!(outcome(report, "chunks without text")["others"], 1);
    }
    assert_eq!(ids(&rag(&server), "chunks"), without(&[1, 2]));
    assert_eq!(ids(&rag(&server), "embeddings"), without(&[2]));
    assert!(finding_ids(&report, "").is_empty(), "{report:#}");
}

#[test]
fn no_embedding_goes_without_its_chunks() {
    for trigger in [
        "BEFORE DELETE ON chunks WHEN old.id = 1",
        "BEFORE UPDATE OF embedding_id ON chunks WHEN old.id = 1",
    ] {
        let server = server(&format!(
            "CREATE TRIGGER k {trigger} BEGIN SELECT raise(IGNORE); END;
             UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00', vector = zeroblob(8) WHERE id <= 2"
        ));
        let step = if trigger.contains("DELETE") {
            "idle"
        } else {
            "invalid"
        };
        let (code, report) = clean(&server, &format!("--step {step}"));
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(ids(&rag(&server), "embeddings"), without(&[2]), "{trigger}");
        assert_eq!(
            number(
                &rag(&server),
                "SELECT embedding_id FROM chunks WHERE id = 1"
            ),
            1
        );
        assert_eq!(finding_ids(&report, step), ["rag-clean.kept"]);
    }
}

/// An application writes the embedding first, and then its chunk.
#[test]
fn an_embedding_that_is_about_to_get_its_chunk_stays() {
    // A pointer to nowhere says nothing of what is new.
    let server = server(
        "INSERT INTO embeddings SELECT 101, vector, NULL FROM embeddings WHERE id = 1;
         UPDATE chunks SET embedding_id = 5000 WHERE id = 6",
    );
    clean(&server, "--step orphans");
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM embeddings WHERE id = 101"
        ),
        1
    );
    // Nor do ids that are no numbers.
    let server = self::server(
        "CREATE TABLE new (id TEXT PRIMARY KEY, vector BLOB, last_accessed);
         INSERT INTO new SELECT 'e' || id, vector, last_accessed FROM embeddings;
         INSERT INTO new SELECT 'a0', vector, NULL FROM embeddings WHERE id = 1;
         INSERT INTO new SELECT 'a1', vector, '2025-01-01 00:00:00' FROM embeddings WHERE id = 1;
         DROP TABLE embeddings; ALTER TABLE new RENAME TO embeddings;
         UPDATE chunks SET embedding_id = 'e' || embedding_id",
    );
    let (code, report) = clean(&server, "--step orphans");
    assert_eq!(code, 0, "{report:#}");
    let left = "SELECT count(*) FROM embeddings WHERE id IN ('a0', 'a1')";
    assert_eq!(number(&rag(&server), left), 1);
}

/// Or the chunk first, and then its embedding, or its document.
#[test]
fn a_chunk_whose_embedding_or_document_is_about_to_come_stays() {
    // 9001: as it was given out before. 105: of several that are computed at once the last came first. 200: its document comes later.
    let fresh = "
        INSERT INTO chunks VALUES (101, 1, 9001, 'a new text'), (105, 1, 105, 'another new text'), (106, 1, 106, 'of the same few'), (200, 77, 1, 'of a new document');
        INSERT INTO embeddings SELECT 106, vector, '2026-11-08 02:30:00' FROM embeddings WHERE id = 1;";
    let gone = "DELETE FROM embeddings WHERE id = 20; DELETE FROM documents WHERE id = 5;";
    let server = server(&format!("{fresh}{gone}"));
    let (_, dry) = clean(&server, "--dry-run");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    for report in [&dry, &report] {
        for (what, gone, not_yet) in [
            ("chunks without their embedding", 1, 2),
            ("chunks without their document", 10, 1),
        ] {
            let outcome = outcome(report, what);
            assert_eq!(
                (&outcome["chosen"], &outcome["not_yet"]),
                (&gone.into(), &not_yet.into()),
                "{outcome}"
            );
        }
    }
    let chunks = ids(&rag(&server), "chunks");
    let mut left = without(&[20, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50]);
    left.extend([101, 105, 106, 200]);
    assert_eq!(chunks, left);
}

/// Where all of a memory was used a moment ago nothing tells what is new; an hour is enough to tell.
#[test]
fn in_a_memory_that_is_used_all_the_time_a_batch_may_come_in_any_order() {
    let used = |ago: &str| {
        format!(
            "UPDATE embeddings SET last_accessed = datetime('2026-11-08 02:37:00', '-{ago}');
             DELETE FROM embeddings WHERE id = 20;
             INSERT INTO chunks VALUES (101, 1, 101, 'a new text'), (102, 1, 102, 'another one');
             INSERT INTO embeddings SELECT 102, vector, '2026-11-08 02:36:58' FROM embeddings WHERE id = 1"
        )
    };
    for (ago, gone, not_yet) in [("10 seconds", 0, 2), ("2 hours", 1, 1)] {
        let server = server(&used(ago));
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
        let outcome = outcome(&report, "chunks without their embedding");
        assert_eq!(
            (&outcome["done"], &outcome["not_yet"]),
            (&gone.into(), &not_yet.into()),
            "{ago}: {outcome}"
        );
    }
}

/// The key that tells what was written when is the rowid, also where ids are no numbers.
#[test]
fn ids_that_are_no_numbers_cost_no_chunk_that_is_new() {
    let texts = "
        CREATE TABLE other (id TEXT PRIMARY KEY, vector BLOB, last_accessed);
        INSERT INTO other SELECT 'e' || id, vector, last_accessed FROM embeddings;
        DROP TABLE embeddings; ALTER TABLE other RENAME TO embeddings;
        CREATE TABLE new (id TEXT PRIMARY KEY, document_id, embedding_id TEXT, text TEXT) OPTIONS;
        INSERT INTO new SELECT 'c' || id, document_id, 'e' || embedding_id, text FROM chunks ORDER BY id;
        INSERT INTO new VALUES ('a fresh one', 1, 'e7777', 'a new text');
        DROP TABLE chunks; ALTER TABLE new RENAME TO chunks; CREATE INDEX by_embedding ON chunks(embedding_id);
        DELETE FROM embeddings WHERE id = 'e7'";
    let left = |server: &Server| {
        let sql = "SELECT count(*) FROM chunks WHERE embedding_id IN ('e7', 'e7777')";
        number(&rag(server), sql)
    };
    let server = server(&texts.replace("OPTIONS", ""));
    let (code, report) = clean(&server, "--step orphans");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(left(&server), 1);
    // Without one nothing tells.
    let server = self::server(&texts.replace("OPTIONS", "WITHOUT ROWID"));
    let (code, report) = clean(&server, "--step orphans");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding_ids(&report, "orphans"), ["rag-clean.refused"]);
    assert_eq!(left(&server), 2);
}

/// An application that computes embeddings while this runs loses none of its texts.
#[test]
fn no_chunk_of_a_live_application_goes() {
    let server = server("DELETE FROM embeddings WHERE id = 7");
    let stop = Arc::new(AtomicBool::new(false));
    let application = {
        let (path, stop) = (rag(&server), stop.clone());
        std::thread::spawn(move || {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.busy_timeout(Duration::from_secs(30)).unwrap();
            let mut written = Vec::new();
            for id in 1_000.. {
                if stop.load(Ordering::Relaxed) {
                    return written;
                }
                let chunk = "INSERT INTO chunks VALUES (?1, 1, ?1, 'a new text')";
                connection.execute(chunk, [id]).unwrap();
                std::thread::sleep(Duration::from_millis(15));
                let embedding = "INSERT INTO embeddings SELECT ?1, vector, '2026-11-08 02:37:00' FROM embeddings WHERE id = 1";
                connection.execute(embedding, [id]).unwrap();
                written.push(id);
            }
            written
        })
    };
    for _ in 0..3 {
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
    }
    stop.store(true, Ordering::Relaxed);
    let mut left = without(&[7]);
    left.extend(application.join().unwrap());
    assert_eq!(ids(&rag(&server), "chunks"), left);
}

/// While an application goes over to another model both kinds of vectors are right.
#[test]
fn vectors_of_another_length_or_format_are_somebodys_will() {
    let two = "CAST(x'0000803f0000004000004040' AS BLOB)";
    for (vectors, told) in [
        (
            format!("UPDATE embeddings SET vector = {two} WHERE id <= 15"),
            "3 numbers in 15 rows",
        ),
        (
            format!("UPDATE embeddings SET vector = {two} WHERE id = 100"),
            "3 numbers in 1 row",
        ),
        (
            "UPDATE embeddings SET vector = '[1, 2]' WHERE id <= 4".to_owned(),
            "no BLOB in 4 rows",
        ),
        (
            // Numbers of 64 bits: their lower halves are anything, and of four rows no number.
            "UPDATE embeddings SET vector = iif(id <= 4, x'3333c37f3333fb3f', x'f3ffd3633333fb3f')"
                .to_owned(),
            "another number format",
        ),
    ] {
        let server = server(&format!(
            "{vectors}; UPDATE chunks SET text = '' WHERE id = 50"
        ));
        let (code, report) = clean(&server, "--step invalid --yes");
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.refused");
        let said = refused["message"].as_str().unwrap();
        assert!(said.contains(told), "{said}");
        // The texts are looked at all the same.
        assert_eq!(ids(&rag(&server), "embeddings"), without(&[50]));
    }
}

/// What a step takes that is refused counts for no other.
#[test]
fn a_refused_step_takes_nothing_from_the_others() {
    let server = server_with(
        "[[rag.index]]\npath = \"data/rag.faiss\"",
        "INSERT INTO chunks VALUES (101, 1, 1, '');
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id = 1",
    );
    std::fs::write(server.root().join("data/rag.faiss"), "not an index").unwrap();
    let (code, report) = clean(&server, "--step idle --step invalid");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding(&report, "rag-clean.refused")["subject"], "idle");
    assert_eq!(outcome(&report, "chunks without text")["done"], 1);
    assert_eq!(ids(&rag(&server), "chunks"), without(&[]));
}

/// Rows of the memory that would go along are not asked for.
#[test]
fn a_row_that_takes_others_along_stays() {
    let server = server(
        "CREATE TABLE new (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT, parent INTEGER REFERENCES new(id) ON DELETE CASCADE);
         INSERT INTO new SELECT *, nullif(1, id) FROM chunks; DROP TABLE chunks; ALTER TABLE new RENAME TO chunks;
         CREATE INDEX by_embedding ON chunks(embedding_id); CREATE INDEX by_parent ON chunks(parent);
         UPDATE chunks SET text = '' WHERE id IN (1, 2)",
    );
    let (code, report) = clean(&server, "--step invalid");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&rag(&server), "chunks"), without(&[2]));
}

#[test]
fn ids_that_are_there_twice_or_in_another_case_cost_no_chunk() {
    let twice = server(
        "CREATE TABLE new (id INTEGER, vector BLOB, last_accessed); INSERT INTO new SELECT * FROM embeddings;
         INSERT INTO new SELECT id, vector, '2025-01-01 00:00:00' FROM embeddings WHERE id = 1;
         DROP TABLE embeddings; ALTER TABLE new RENAME TO embeddings; CREATE INDEX by_id ON embeddings(id);",
    );
    let (code, report) = clean(&twice, "--step idle");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.refused");
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("two rows of embeddings have the id 1"),
        "{refused}"
    );
    assert_eq!(ids(&rag(&twice), "chunks"), without(&[]));
    let case = server(
        "CREATE TABLE new (id TEXT PRIMARY KEY COLLATE NOCASE, vector BLOB, last_accessed);
         INSERT INTO new SELECT 'E' || id, vector, '2026-11-01 00:00:00' FROM embeddings;
         DROP TABLE embeddings; ALTER TABLE new RENAME TO embeddings; UPDATE chunks SET embedding_id = 'e' || embedding_id",
    );
    let (code, report) = clean(&case, "--step orphans");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&rag(&case), "chunks"), without(&[]));
    assert_eq!(number(&rag(&case), "SELECT count(*) FROM embeddings"), 100);
}

/// The program enforces foreign keys also where the application never did: what goes along beyond the memory is counted, told and
/// limited like the memory itself.
#[test]
fn rows_of_other_tables_that_go_along_are_told_and_limited() {
    let notes = |rows: i64| {
        format!(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, chunk INTEGER REFERENCES chunks ON DELETE CASCADE);
             CREATE TABLE marks (note INTEGER REFERENCES notes ON DELETE CASCADE);
             INSERT INTO notes SELECT i, iif(i <= {rows}, 7, 50) FROM n;
             INSERT INTO marks SELECT i FROM n;
             UPDATE embeddings SET last_accessed = '2026-01-01 00:00:00' WHERE id = 7"
        )
    };
    let server = server(&notes(90));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.refused");
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("rows of marks") && said.contains("90 of 100 rows"),
        "{said}"
    );
    assert_eq!(ids(&rag(&server), "notes").len(), 100);
    assert_eq!(ids(&rag(&server), "embeddings").len(), 100);
    let server = server_with("", &notes(20));
    for line in ["--dry-run", ""] {
        let (code, report) = clean(&server, line);
        assert_eq!(code, 0, "{report:#}");
        let beyond = &outcome(&report, "idle embeddings")["beyond"];
        assert_eq!(*beyond, serde_json::json!({"marks": 20, "notes": 20}));
        let reason = report["actions"].to_string();
        assert!(
            reason.contains("with those go or change 20 rows of notes"),
            "{reason}"
        );
    }
    assert_eq!(ids(&rag(&server), "notes").len(), 80);
    assert_eq!(number(&rag(&server), "SELECT count(*) FROM marks"), 80);
}

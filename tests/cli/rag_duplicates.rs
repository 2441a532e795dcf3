//! `rag-clean --step duplicates`: of chunks that say the same one stays, and whatever pointed to the others points to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::broken::everywhere;
use crate::support::faults::Kind;
use crate::support::{Server, actions, finding, finding_ids, number, require_as_planned, sql};

const NOW: &str = "2026-11-08T02:37:00Z";
const STEP: &str = "--step duplicates";

/// A hundred chunks, each with an embedding of its own and sixty words that no other has.
const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
    CREATE TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) SELECT i FROM c;
    INSERT INTO documents SELECT i, 'docs/' || i FROM n WHERE i <= 10;
    INSERT INTO chunks SELECT n.i, (n.i - 1) / 10 + 1, n.i, (SELECT group_concat('w' || char(97 + n.i % 26, 97 + n.i / 26) || char(97 + m.i % 26, 97 + m.i / 26), ' ') FROM n AS m WHERE m.i <= 60) FROM n;
";

fn server_with(settings: &str, statements: &str) -> Server {
    let server = Server::new().config(&format!(
        "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[rag]\n{settings}\n"
    ));
    sql(&rag(&server), TABLES);
    vectors(&server, 100);
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

/// Embeddings 1 to `count`, none like another.
fn vectors(server: &Server, count: i64) {
    let mut connection = rusqlite::Connection::open(rag(server)).unwrap();
    let together = connection.transaction().unwrap();
    let mut state = 1u32;
    for id in 1..=count {
        let vector: Vec<u8> = (0..16)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state as f32 / u32::MAX as f32 - 0.5).to_le_bytes()
            })
            .collect();
        together
            .execute(
                "INSERT INTO embeddings VALUES (?1, ?2, '2026-11-07 00:00:00')",
                (id, vector),
            )
            .unwrap();
    }
    together.commit().unwrap();
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("rag-clean --now {NOW} {line}"))
}

fn ids(server: &Server, table: &str) -> Vec<i64> {
    list(server, &format!("SELECT id FROM {table} ORDER BY id"))
}

fn list(server: &Server, sql: &str) -> Vec<i64> {
    let connection = rusqlite::Connection::open(rag(server)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}

fn without(gone: &[i64]) -> Vec<i64> {
    (1..=100).filter(|id| !gone.contains(id)).collect()
}

fn copy(from: i64, to: i64) -> String {
    format!("UPDATE chunks SET text = (SELECT text FROM chunks WHERE id = {from}) WHERE id = {to};")
}

#[test]
fn a_bare_run_keeps_duplicates_and_a_memory_without_any_is_left_alone() {
    let twice = server(&copy(1, 2));
    let (code, report) = clean(&twice, "");
    assert_eq!(code, 0, "{report:#}");
    assert!(actions(&report).is_empty());
    assert_eq!(ids(&twice, "chunks"), without(&[]));
    let server = server("");
    let before = server.fingerprint(&server.root().join("data"));
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert!(actions(&report).is_empty(), "{report:#}");
    assert_eq!(report["data"]["duplicates"]["groups"], 0);
    assert_eq!(server.fingerprint(&server.root().join("data")), before);
}

#[test]
fn the_same_text_goes_with_its_embedding_and_the_best_stays() {
    // 1 and 2 but for case and blanks, where the longer stays; 10 to 13, where the last accessed stays; 20 and 21, where one has
    // no vector yet; 31 points to the embedding of 30; and 41 shares its embedding with 42, which says something else.
    let server = server(&format!(
        "UPDATE chunks SET text = (SELECT '  ' || upper(text) || ' ' FROM chunks WHERE id = 1) WHERE id = 2; {}{}{}{}{}{}
         UPDATE embeddings SET last_accessed = '2026-11-07 12:00:00' WHERE id = 12;
         UPDATE chunks SET embedding_id = NULL WHERE id = 20; DELETE FROM embeddings WHERE id = 20;
         UPDATE chunks SET embedding_id = 30 WHERE id = 31; DELETE FROM embeddings WHERE id = 31;
         UPDATE chunks SET embedding_id = 41 WHERE id = 42; DELETE FROM embeddings WHERE id = 42;",
        copy(10, 11), copy(10, 12), copy(10, 13), copy(20, 21), copy(30, 31), copy(40, 41)
    ));
    let (code, dry) = clean(&server, &format!("{STEP} --dry-run"));
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(ids(&server, "chunks"), without(&[]));
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        ids(&server, "chunks"),
        without(&[1, 10, 11, 13, 20, 31, 41])
    );
    assert_eq!(
        ids(&server, "embeddings"),
        without(&[1, 10, 11, 13, 20, 31, 42])
    );
    assert_eq!(number(&rag(&server), "SELECT count(*) FROM documents"), 10);
    let found = &report["data"]["duplicates"];
    assert_eq!(
        (
            &found["groups"],
            &found["largest"],
            &found["same"],
            &found["near"]
        ),
        (&5.into(), &4.into(), &7.into(), &0.into())
    );
    let first = &found["samples"][0];
    assert_eq!(first["kept"], "12");
    assert_eq!(first["removed"], serde_json::json!(["10", "11", "13"]));
    let step = &report["data"]["steps"][0];
    assert_eq!(
        (&step["chosen"], &step["done"], &step["others"]),
        (&7.into(), &7.into(), &4.into())
    );
    assert_eq!(dry["data"]["steps"][0]["others"], 4);
    assert_eq!(actions(&dry).len(), 1);
    assert_eq!(dry["actions"][0]["reason"], report["actions"][0]["reason"]);
    assert!(actions(&clean(&server, STEP).1).is_empty());
}

#[test]
fn nearly_the_same_words_are_a_duplicate_unless_a_number_is_another() {
    // One word of sixty: 55 of 61 runs of three are the same.
    let one_word = |from: i64, to: i64, by: &str| {
        format!(
            "UPDATE chunks SET text = (SELECT replace(text, substr(text, 151, 5), '{by}') FROM chunks WHERE id = {from}) WHERE id = {to};"
        )
    };
    let statements = format!("{}{}", one_word(1, 2, "more"), one_word(3, 4, "17"));
    let server = server(&statements);
    let (_, report) = clean(&server, STEP);
    assert!(actions(&report).is_empty(), "0.98 is the limit: {report:#}");
    let server = server_with("near_duplicate = 0.9", &statements);
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[2]));
    let found = &report["data"]["duplicates"];
    assert_eq!((&found["near"], &found["same"]), (&1.into(), &0.into()));
    let least = found["samples"][0]["least"].as_f64().unwrap();
    assert!((least - 55.0 / 61.0).abs() < 1e-9, "{least}");
    let server = server_with("near_duplicate = 1.0", &statements);
    assert!(actions(&clean(&server, STEP).1).is_empty());
}

/// Few signs say the opposite of what many words say.
#[test]
fn signs_and_units_are_no_punctuation() {
    let words = "the line that decides who may open the valve of the vessel in the cellar of the main building has been written down as";
    let pairs = [
        ("role == admin", "role != admin"),
        ("C++", "C#"),
        ("p < three", "p > three"),
        ("✅", "❌"),
        ("5 MW", "5 mW"),
    ];
    let mut statements = String::new();
    for (at, (a, b)) in pairs.iter().enumerate() {
        for (at, text) in [(2 * at + 1, a), (2 * at + 2, b)] {
            statements.push_str(&format!(
                "UPDATE chunks SET text = '{words} {text}' WHERE id = {at};"
            ));
        }
    }
    // A comma more is the same nearly, and not wholly.
    statements.push_str(&format!(
        "UPDATE chunks SET text = '{words} it is' WHERE id = 21; UPDATE chunks SET text = '{words}, it is' WHERE id = 22;"
    ));
    let server = server_with("near_duplicate = 0.6", &statements);
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[21]));
    let least = report["data"]["duplicates"]["samples"][0]["least"].as_f64();
    assert!(least.unwrap() < 1.0, "{report:#}");
}

#[test]
fn vectors_count_only_when_asked_for() {
    let statements =
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 1) WHERE id = 2;
         UPDATE chunks SET embedding_id = 5 WHERE id = 6; DELETE FROM embeddings WHERE id = 6;";
    assert!(actions(&clean(&server(statements), STEP).1).is_empty());
    let server = server_with("duplicates.cosine = 0.99", statements);
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    // 5 and 6 point to one vector, which says nothing of their texts.
    assert_eq!(ids(&server, "chunks"), without(&[2]));
    assert_eq!(ids(&server, "embeddings"), without(&[2, 6]));
    assert_eq!(report["data"]["duplicates"]["vector"], 1);
}

#[test]
fn what_pointed_to_the_one_that_goes_points_to_the_other() {
    let server = server_with(
        "duplicates.references = [\"notes.chunk\"]\nduplicates.embedding_references = [\"notes.vector\"]",
        &format!(
            "{}{}
             CREATE TABLE cites (question INTEGER, chunk INTEGER REFERENCES chunks(id), score REAL, UNIQUE (question, chunk));
             CREATE INDEX cites_by_chunk ON cites(chunk);
             CREATE TABLE extra (chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, what TEXT);
             CREATE TABLE notes (id INTEGER PRIMARY KEY, chunk, vector);
             INSERT INTO cites VALUES (1, 1, 0.5), (1, 2, 0.4), (2, 2, 0.9), (3, 3, 0.1), (3, NULL, 0.2);
             INSERT INTO extra VALUES (2, 'of two'), (10, 'of ten'), (11, 'of eleven');
             INSERT INTO notes VALUES (1, 2, 2), (2, 1, 1), (3, 3, NULL);",
            copy(1, 2),
            copy(10, 11)
        ),
    );
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[2, 11]));
    assert_eq!(
        list(
            &server,
            "SELECT chunk FROM cites WHERE chunk IS NOT NULL ORDER BY question"
        ),
        [1, 1, 3]
    );
    assert_eq!(
        list(&server, "SELECT score = 0.5 FROM cites WHERE question = 1"),
        [1]
    );
    assert_eq!(
        list(&server, "SELECT chunk FROM extra ORDER BY chunk"),
        [1, 10]
    );
    assert_eq!(
        number(
            &rag(&server),
            "SELECT what = 'of two' FROM extra WHERE chunk = 1"
        ),
        1
    );
    assert_eq!(
        number(
            &rag(&server),
            "SELECT what = 'of ten' FROM extra WHERE chunk = 10"
        ),
        1
    );
    assert_eq!(
        list(&server, "SELECT chunk FROM notes ORDER BY id"),
        [1, 1, 3]
    );
    assert_eq!(
        list(&server, "SELECT ifnull(vector, 0) FROM notes ORDER BY id"),
        [1, 1, 0]
    );
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM pragma_foreign_key_check"
        ),
        0
    );
    let found = &report["data"]["duplicates"];
    // Of cites one moved and one went, of extra one and one, of notes two moved.
    assert_eq!(
        (&found["moved"], &found["dropped"]),
        (&4.into(), &2.into()),
        "{found:#}"
    );
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.contains("4 rows elsewhere followed, 2 gone"),
        "{summary}"
    );
    let reason = report["actions"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("go where they would be there twice"),
        "{reason}"
    );
}

#[test]
fn what_cannot_move_stays_as_it_is() {
    let server = server(&format!(
        "{}{}{}{}
         ALTER TABLE chunks ADD COLUMN next INTEGER REFERENCES chunks(id);
         CREATE INDEX chunks_by_next ON chunks(next);
         UPDATE chunks SET next = 2 WHERE id = 1;
         UPDATE chunks SET next = 11 WHERE id = 12;
         CREATE TABLE pins (chunk INTEGER REFERENCES chunks(id), CHECK (chunk <> 20));
         CREATE INDEX pins_by_chunk ON pins(chunk);
         INSERT INTO pins VALUES (21);
         CREATE TRIGGER keep BEFORE DELETE ON chunks WHEN old.id = 99 BEGIN SELECT RAISE(IGNORE); END;",
        copy(1, 2), copy(10, 11), copy(20, 21), copy(98, 99)
    ));
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    // 1 would point to itself; a CHECK keeps the pin of 21; a trigger 99.
    assert_eq!(ids(&server, "chunks"), without(&[11]));
    assert_eq!(
        list(
            &server,
            "SELECT next FROM chunks WHERE next IS NOT NULL ORDER BY id"
        ),
        [2, 10]
    );
    assert_eq!(list(&server, "SELECT chunk FROM pins"), [21]);
    assert_eq!(ids(&server, "embeddings"), without(&[11]));
    assert_eq!(finding_ids(&report, "duplicates"), ["rag-clean.kept"]);
}

#[test]
fn what_is_kept_apart_is_no_duplicate() {
    let statements = format!(
        "{}{} ALTER TABLE chunks ADD COLUMN owner TEXT; UPDATE chunks SET owner = iif(id IN (2, 4), 'b', 'a');
         UPDATE chunks SET owner = 'b' WHERE id = 3;",
        copy(1, 2),
        copy(3, 4)
    );
    let server = server_with("duplicates.same = [\"owner\"]", &statements);
    assert_eq!(clean(&server, STEP).0, 0);
    assert_eq!(ids(&server, "chunks"), without(&[4]));
    // The preferred column comes before the time.
    let server = server_with(
        "duplicates.prefer = \"hits\"",
        &format!(
            "{} ALTER TABLE chunks ADD COLUMN hits INTEGER; UPDATE chunks SET hits = 5 WHERE id = 2;",
            copy(1, 2)
        ),
    );
    assert_eq!(clean(&server, STEP).0, 0);
    assert_eq!(ids(&server, "chunks"), without(&[1]));
}

#[test]
fn hostile_texts_are_neither_twins_nor_a_failure() {
    let long = "long words ".repeat(20_000);
    let server = server(&format!(
        "UPDATE chunks SET text = NULL WHERE id IN (1, 2);
         UPDATE chunks SET text = '' WHERE id IN (3, 4);
         UPDATE chunks SET text = char(0) || ' ' || char(9) WHERE id IN (5, 6);
         UPDATE chunks SET text = x'ff00ff' WHERE id IN (7, 8);
         UPDATE chunks SET text = CAST(x'41ff42' AS TEXT) WHERE id IN (11, 12);
         UPDATE chunks SET text = CAST(x'41fe42' AS TEXT) WHERE id = 13;
         UPDATE chunks SET text = '{long}' WHERE id IN (21, 22);
         UPDATE chunks SET text = '{long} more' WHERE id = 23;
         UPDATE chunks SET text = 'a' || char(0) || 'b c' WHERE id IN (31, 32);
         UPDATE chunks SET text = 12345 WHERE id = 41; UPDATE chunks SET text = -5 WHERE id = 51; UPDATE chunks SET text = 5 WHERE id = 52;"
    ));
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[12, 22, 32]));
    assert_eq!(report["data"]["steps"][0]["nulls"], 8);
}

#[test]
fn ids_may_be_texts_and_keys_of_several_columns() {
    for create in [
        "CREATE TABLE other (id TEXT PRIMARY KEY, document_id INTEGER, embedding_id TEXT, text TEXT)",
        "CREATE TABLE other (id TEXT, document_id INTEGER, embedding_id TEXT, text TEXT, PRIMARY KEY (document_id, id)) WITHOUT ROWID",
    ] {
        let server = server_with(
            "duplicates.references = [\"cites.chunk\"]",
            &format!(
                "{create};
                 INSERT INTO other SELECT printf('c%03d', id), document_id, printf('e%03d', embedding_id), text FROM chunks;
                 DROP TABLE chunks; ALTER TABLE other RENAME TO chunks;
                 CREATE TABLE floats (id TEXT PRIMARY KEY, vector BLOB, last_accessed TEXT);
                 INSERT INTO floats SELECT printf('e%03d', id), vector, last_accessed FROM embeddings;
                 DROP TABLE embeddings; ALTER TABLE floats RENAME TO embeddings;
                 CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
                 CREATE TABLE cites (chunk TEXT); INSERT INTO cites VALUES ('c002'), ('c050');
                 UPDATE chunks SET text = (SELECT text FROM chunks WHERE id = 'c001') WHERE id IN ('c002', 'c100');"
            ),
        );
        let (code, report) = clean(&server, STEP);
        assert_eq!(code, 0, "{create}: {report:#}");
        let count = |sql: &str| number(&rag(&server), sql);
        assert_eq!(
            count("SELECT count(*) FROM chunks WHERE id IN ('c001', 'c002', 'c100')"),
            1
        );
        assert_eq!(count("SELECT count(*) FROM chunks"), 98);
        assert_eq!(count("SELECT count(*) FROM embeddings"), 98);
        assert_eq!(count("SELECT count(*) FROM cites WHERE chunk = 'c001'"), 1);
        assert_eq!(report["data"]["duplicates"]["samples"][0]["kept"], "c001");
    }
}

#[test]
fn too_much_and_bad_settings_are_refused_and_the_groups_are_told() {
    let many: String = (51..=80).map(|id| copy(1, id)).collect();
    let server = server(&many);
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.refused");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("30.0%, limit 25.0%"),
        "{refused}"
    );
    assert_eq!(report["data"]["duplicates"]["largest"], 31);
    assert_eq!(ids(&server, "chunks"), without(&[]));
    assert_eq!(clean(&server, &format!("{STEP} --yes")).0, 0);
    assert_eq!(ids(&server, "chunks").len(), 70);
    for (settings, code, told) in [
        ("near_duplicate = 0.3", 3, "from 0.5 to 1"),
        ("duplicates.cosine = 0.5", 3, "from 0.9 to 1"),
        ("duplicates.references = [\"x\"]", 3, "table.column"),
        (
            "duplicates.references = [\"cites.chunk\"]",
            2,
            "no column cites.chunk",
        ),
        ("duplicates.same = [\"owner\"]", 2, "no column owner"),
        ("duplicates.prefer = \"hits\"", 2, "column hits"),
        ("tables.text = \"body\"", 2, "no column body"),
    ] {
        let other = server_with("", &copy(1, 2)).config("");
        let text = fs::read_to_string(other.config_path()).unwrap();
        let other = other.raw_config(&text.replace("[rag]\n", &format!("[rag]\n{settings}\n")));
        let ran = other.run(&format!("rag-clean --now {NOW} {STEP}"));
        assert_eq!(ran.code, code, "{settings}: {ran:?}");
        assert!(
            format!("{}{}", ran.out, ran.err).contains(told),
            "{settings}: {ran:?}"
        );
        assert_eq!(ids(&other, "chunks"), without(&[]));
    }
}

#[test]
fn after_the_other_steps_only_what_they_leave_counts() {
    // 1 is idle and would stay for being longer; the text of 10 is gone with its document; the vector of 20 is none.
    let server = server(&format!(
        "{}{}{} UPDATE chunks SET text = text || '  ' WHERE id IN (1, 10, 20);
         UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE id = 1;
         UPDATE chunks SET document_id = 77 WHERE id = 10; INSERT INTO documents VALUES (78, 'a newer one');
         UPDATE embeddings SET vector = zeroblob(64) WHERE id = 20;
         UPDATE chunks SET text = ' ' WHERE id IN (30, 31);",
        copy(1, 2),
        copy(10, 11),
        copy(20, 21)
    ));
    let steps = "--step idle --step orphans --step invalid --step duplicates";
    let (_, dry) = clean(&server, &format!("{steps} --dry-run"));
    let (code, report) = clean(&server, steps);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[1, 10, 20, 30, 31]));
    let reasons = |report: &Value| -> Vec<Value> {
        let actions = report["actions"].as_array().unwrap();
        actions.iter().map(|one| one["reason"].clone()).collect()
    };
    assert_eq!(reasons(&dry), reasons(&report));
    for one in report["data"]["steps"].as_array().unwrap() {
        assert_eq!(one["chosen"], one["done"], "{one}");
    }
    assert_eq!(report["data"]["duplicates"]["same"], 1);
}

/// An embedding that is going to go makes no chunk the better, and one without its vector is better than none.
#[test]
fn which_is_kept_does_not_hang_on_what_goes() {
    let server = server(&format!(
        "{}{} UPDATE embeddings SET vector = zeroblob(64), last_accessed = '2026-11-07 12:00:00' WHERE id = 1;
         UPDATE embeddings SET vector = NULL WHERE id = 2;
         UPDATE chunks SET embedding_id = NULL WHERE id = 10; UPDATE embeddings SET vector = NULL WHERE id = 11;",
        copy(1, 2),
        copy(10, 11)
    ));
    let steps = "--step invalid --step duplicates";
    let (_, dry) = clean(&server, &format!("{steps} --dry-run"));
    let (code, report) = clean(&server, steps);
    assert_eq!(code, 0, "{report:#}");
    assert!(finding_ids(&report, "duplicates").is_empty(), "{report:#}");
    require_as_planned(&dry, &report);
    assert_eq!(ids(&server, "chunks"), without(&[1, 10]));
}

/// What is gone as a duplicate counts for no later step.
#[test]
fn a_duplicate_goes_once() {
    let server = server(&format!(
        "{} ALTER TABLE chunks ADD access_count INTEGER DEFAULT 1; ALTER TABLE chunks ADD created_at DEFAULT '2026-01-01 00:00:00';
         UPDATE chunks SET access_count = 0 WHERE id IN (1, 2);",
        copy(1, 2)
    ));
    let steps = "--step duplicates --step quality";
    let (_, dry) = clean(&server, &format!("{steps} --dry-run"));
    let (code, report) = clean(&server, steps);
    assert_eq!(code, 0, "{report:#}");
    require_as_planned(&dry, &report);
    assert!(finding_ids(&report, "quality").is_empty(), "{report:#}");
    assert_eq!(ids(&server, "chunks"), without(&[1, 2]));
}

/// Twenty thousand chunks more, every second one the same as the one before.
fn large(server: &Server) {
    sql(
        &rag(server),
        "CREATE TABLE cites (chunk INTEGER REFERENCES chunks(id)); CREATE INDEX cites_by_chunk ON cites(chunk);
         WITH RECURSIVE c(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM c WHERE i < 20999)
           INSERT INTO chunks SELECT i, NULL, NULL, 'the text of chunk ' || (i / 2) FROM c;
         INSERT INTO cites SELECT id FROM chunks WHERE id >= 1000;",
    );
    server.run(&format!("backup --fresh --now {NOW}")).expect(0);
}

#[test]
fn what_the_application_changes_meanwhile_stays() {
    let server = server("");
    large(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let application = {
        let (path, stop) = (rag(&server), stop.clone());
        std::thread::spawn(move || {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.busy_timeout(Duration::from_secs(30)).unwrap();
            // Writes other texts into those that would go, from the end, and notes which it found.
            let mut changed = Vec::new();
            for id in (1000..21_000).rev().filter(|id| id % 2 == 1) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let found = connection
                    .execute(
                        "UPDATE chunks SET text = 'changed to ' || id WHERE id = ?1",
                        [id],
                    )
                    .unwrap();
                if found == 1 {
                    changed.push(id);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            changed
        })
    };
    let (code, report) = clean(&server, &format!("{STEP} --yes"));
    stop.store(true, Ordering::Relaxed);
    let changed = application.join().unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert!(!changed.is_empty());
    let left: std::collections::BTreeSet<_> = ids(&server, "chunks").into_iter().collect();
    for id in &changed {
        assert!(left.contains(id), "{id} was changed and is gone");
    }
    assert!(left.len() < 20_100 - 1_000, "{}", left.len());
    assert!(left.range(1000..).filter(|id| *id % 2 == 0).count() == 10_000);
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM pragma_foreign_key_check"
        ),
        0
    );
    assert_eq!(number(&rag(&server), "SELECT count(*) FROM cites"), 20_000);
    // What still says the same goes the next time.
    assert_eq!(clean(&server, &format!("{STEP} --yes")).0, 0);
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) - count(DISTINCT text) FROM chunks"
        ),
        0
    );
}

/// The Python that `./test` has set up with the real FAISS.
fn peer<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python3");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/cli/support/faiss_peer.py"
    );
    let output = Command::new(python).arg(script).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{python}: {error}; ./test sets it up"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A memory with an index of the real FAISS, thirty chunks of which are there twice and cited.
fn indexed() -> (Server, PathBuf) {
    let many: String = (1..=20).map(|id| copy(id, id + 50)).collect();
    let server = server(&format!(
        "{many} CREATE TABLE cites (chunk INTEGER REFERENCES chunks(id)); CREATE INDEX cites_by_chunk ON cites(chunk);
         INSERT INTO cites SELECT id FROM chunks;"
    ));
    let server = server.config("[[rag.index]]\npath = \"data/rag.faiss\"\n");
    let index = server.root().join("data/rag.faiss");
    let paths = [&rag(&server), &index].map(|path| path.to_str().unwrap().to_owned());
    peer(["make", &paths[0], &paths[1], "IDMap2,Flat", "L2", "plain"]);
    (server, index)
}

/// What holds at every moment: no citation without its chunk, no chunk without its embedding, a whole index.
fn require_whole(server: &Server, index: &Path) -> Vec<i64> {
    let count = |sql: &str| number(&rag(server), sql);
    assert_eq!(
        count("SELECT count(*) FROM cites WHERE chunk NOT IN (SELECT id FROM chunks)"),
        0
    );
    assert_eq!(
        count("SELECT count(*) FROM chunks WHERE embedding_id NOT IN (SELECT id FROM embeddings)"),
        0
    );
    assert_eq!(count("SELECT count(*) FROM cites"), 100);
    assert_eq!(
        count("SELECT count(*) FROM chunks"),
        count("SELECT count(*) FROM embeddings")
    );
    let look = peer([
        "look",
        rag(server).to_str().unwrap(),
        index.to_str().unwrap(),
    ]);
    let look: Value = serde_json::from_str(&look).unwrap();
    serde_json::from_value(look["ids"].clone()).unwrap()
}

#[test]
fn their_vectors_leave_the_index_in_the_same_run() {
    let (server, index) = indexed();
    assert_eq!(require_whole(&server, &index), without(&[]));
    let (code, report) = clean(&server, STEP);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
    let left = without(&(51..=70).collect::<Vec<_>>());
    assert_eq!(require_whole(&server, &index), left);
    assert_eq!(ids(&server, "embeddings"), left);
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM (SELECT chunk FROM cites GROUP BY 1 HAVING count(*) = 2)"
        ),
        20
    );
}

#[test]
fn a_run_that_is_killed_anywhere_leaves_a_whole_memory_and_the_next_one_ends_it() {
    let (server, index) = indexed();
    let mut part = 0;
    everywhere(
        &server,
        &format!("rag-clean {STEP} --now {NOW} --json"),
        Kind::Kill,
        15,
        || ids(&server, "chunks"),
        |left, _, place| {
            require_whole(&server, &index);
            part += u32::from(ids(&server, "chunks") != without(&[]));
            let (code, report) = clean(&server, STEP);
            assert!(code <= 1, "{place}: {report:#}"); // a killed run is told of
            assert_eq!(require_whole(&server, &index), *left, "{place}");
            assert_eq!(ids(&server, "chunks"), *left, "{place}");
        },
    );
    assert!(part > 0, "no run was killed after its first change");
}

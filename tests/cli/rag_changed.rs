//! `rag-clean --step changed`: documents beside their files, and texts beside a real embedding server, also where it fails.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::embedder::Embedder;
use crate::support::{Paused, Server, actions, finding, number, sql};

const NOW: &str = "2026-11-08T02:37:00Z";

const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT, content_hash TEXT, stale INTEGER DEFAULT 0);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT, text_hash TEXT, model TEXT);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
";

/// What the chunks say, in their order.
const TEXTS: [&str; 12] = [
    "The cat sat on the mat and purred.",
    "A kitten was resting on the rug.",
    "Interest rates rose for the third quarter in a row.",
    "The central bank lifted its key rate again.",
    "Rust compiles to native code without a runtime.",
    "The borrow checker finds data races before they happen.",
    "Bread dough rises best in a warm place.",
    "Knead the flour and water until it is smooth.",
    "The harbour freezes over in most winters.",
    "Ships wait for the ice breaker to clear the channel.",
    "The committee voted to delay the new rules.",
    "Members will meet again before the summer.",
];

fn hash(content: impl AsRef<[u8]>) -> String {
    let bytes = Sha256::digest(content.as_ref());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(extra: &str) -> String {
    format!(
        "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[rag]\nsteps = [\"changed\"]\n{extra}\n"
    )
}

fn endpoint(url: &str, more: &str) -> String {
    format!(
        "[rag.embedding]\nurl = \"{url}\"\nmodel = \"minilm\"\nbatch = 4\ntimeout = \"20s\"\npatience = \"1s\"\n{more}\n"
    )
}

fn rag(server: &Server) -> PathBuf {
    server.root().join("data/rag.db")
}

fn clean(server: &Server, line: &str) -> (i32, Value) {
    server.json(&format!("rag-clean --now {NOW} {line}"))
}

/// Documents only.
fn documents(extra: &str, statements: &str) -> Server {
    let server = Server::new().config(&config(extra));
    sql(&rag(&server), TABLES);
    sql(&rag(&server), statements);
    server.run(&format!("backup --now {NOW}")).expect(0);
    server
}

fn write(server: &Server, path: &str, content: &str) {
    let path = server.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn document(id: u32, path: &str, hash: &str) -> String {
    format!("INSERT INTO documents(id, path, content_hash) VALUES ({id}, '{path}', '{hash}');")
}

/// An application that embedded all but the last four of its chunks: two have no embedding, two got another text since.
fn memory(embedder: &Embedder, extra: &str) -> Server {
    memory_with(embedder, extra, "")
}

fn memory_with(embedder: &Embedder, extra: &str, statements: &str) -> Server {
    let server = Server::new().config(&config(extra));
    sql(&rag(&server), TABLES);
    for (id, text) in (1..).zip(TEXTS) {
        sql(
            &rag(&server),
            &format!(
                "INSERT INTO chunks VALUES ({id}, NULL, {id}, '{text}');
                 INSERT INTO embeddings VALUES ({id}, NULL, '2026-11-01', '{}', 'minilm');",
                hash(text)
            ),
        );
    }
    embedder.fill(&rag(&server));
    sql(
        &rag(&server),
        "UPDATE chunks SET embedding_id = NULL WHERE id IN (9, 10); DELETE FROM embeddings WHERE id IN (9, 10);
         UPDATE chunks SET text = 'Everything was decided at once.' WHERE id = 11;
         UPDATE chunks SET text = 'They never meet again.' WHERE id = 12;",
    );
    sql(&rag(&server), statements);
    server.run(&format!("backup --now {NOW}")).expect(0);
    server
}

/// Every chunk with the vector that it leads to.
fn vectors(path: &Path) -> Vec<(i64, String, Option<Vec<u8>>)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT c.id, c.text, e.vector FROM chunks AS c LEFT JOIN embeddings AS e ON e.id = c.embedding_id ORDER BY c.id";
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    found.unwrap().map(Result::unwrap).collect()
}

fn all_true(server: &Server, embedder: &Embedder) {
    for (id, text, vector) in vectors(&rag(server)) {
        assert_eq!(vector, Some(embedder.vector(&text)), "chunk {id}: {text}");
    }
    for (_, text, _) in vectors(&rag(server)) {
        let kept = format!(
            "SELECT count(*) FROM embeddings WHERE text_hash = '{}' AND model = 'minilm'",
            hash(&text)
        );
        assert_eq!(number(&rag(server), &kept), 1, "{text}");
    }
}

#[test]
fn documents_whose_file_changed_are_marked_and_the_gone_are_told() {
    let md5 = "900150983cd24fb0d6963f7d28e17f72"; // of abc
    let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let server = documents(
        "documents_root = \"docs\"",
        &[
            document(1, "a.md", &hash("abc")),
            document(2, "b.md", md5),
            document(3, "in/c.md", sha1),
            document(4, "gone.md", md5),
            document(5, "gone/too.md", md5),
            document(6, "https://example.com/page", md5),
            document(7, "odd.md", "v1-0"),
            document(8, "changed.md", &hash("abc")),
            document(9, "changed.md", sha1),
            "INSERT INTO documents(id, path, content_hash) VALUES (10, NULL, 'x'), (11, 'a.md', NULL);".to_owned(),
            "UPDATE documents SET stale = 1 WHERE id = 9;".to_owned(),
        ]
        .concat(),
    );
    for path in ["docs/a.md", "docs/b.md", "docs/in/c.md", "docs/odd.md"] {
        write(&server, path, "abc");
    }
    write(&server, "docs/changed.md", "abcd");
    let before = server.fingerprint(&server.root());
    let (_, dry) = clean(&server, "--dry-run");
    assert_eq!(server.fingerprint(&server.root()), before);
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    let found = &report["data"]["documents"];
    for (key, expected) in [
        ("documents", 11),
        ("without_a_value", 2),
        ("elsewhere", 1),
        ("changed", 2),
        ("already_marked", 1),
        ("marked", 1),
        ("gone", 2),
    ] {
        assert_eq!(found[key], expected, "{key}: {found:#}");
    }
    assert_eq!(found["changed_paths"][0], "changed.md");
    let stale = "SELECT sum(id) FROM documents WHERE stale = 1 AND typeof(stale) = 'integer'";
    assert_eq!(number(&rag(&server), stale), 8 + 9);
    assert_eq!(number(&rag(&server), "SELECT count(*) FROM documents"), 11);
    for id in ["documents-changed", "documents-gone", "documents-unread"] {
        assert_eq!(
            finding(&report, &format!("rag-clean.{id}"))["severity"],
            "low"
        );
    }
    let reasons = |report: &Value| report["actions"][0]["reason"].clone();
    assert_eq!((actions(&dry).len(), reasons(&dry)), (1, reasons(&report)));
    // Nothing is left to do, and it is told all the same.
    let (_, again) = clean(&server, "");
    assert!(actions(&again).is_empty(), "{again:#}");
    assert_eq!(again["data"]["documents"]["changed"], 2);
}

#[test]
fn without_a_column_to_mark_changed_documents_are_a_matter_for_somebody() {
    let server = documents("", &document(1, "a.md", &hash("abc")));
    sql(&rag(&server), "ALTER TABLE documents DROP COLUMN stale");
    write(&server, "a.md", "abcd");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        finding(&report, "rag-clean.documents-changed")["severity"],
        "medium"
    );
    assert!(actions(&report).is_empty());
    let other = documents(
        "[rag.tables]\nstale = \"status\"\nstale_value = \"changed\"",
        &document(1, "a.md", &hash("abc")),
    );
    sql(&rag(&other), "ALTER TABLE documents ADD COLUMN status TEXT");
    write(&other, "a.md", "abcd");
    assert_eq!(clean(&other, "").0, 0);
    let marked = "SELECT count(*) FROM documents WHERE status = 'changed'";
    assert_eq!(number(&rag(&other), marked), 1);
}

#[test]
fn no_file_outside_the_folder_is_read_and_nothing_blocks() {
    let server = documents(
        "documents_root = \"docs\"\nmax_document = \"1MiB\"",
        &[
            document(1, "../secret", &hash("x")),
            document(2, "/etc/passwd", &hash("x")),
            document(3, "link", &hash("x")),
            document(4, "linked/secret", &hash("x")),
            document(5, "pipe", &hash("x")),
            document(6, "large", &hash("x")),
            document(7, "folder", &hash("x")),
            document(8, &"x".repeat(5000), &hash("x")),
            document(9, "rag.db", &hash("x")),
            "INSERT INTO documents(id, path, content_hash) VALUES (10, 'a' || char(27) || '[31mred' || char(10), 'x'), (11, CAST(x'ff2f6100' AS TEXT), printf('%064d', 0));".to_owned(),
        ]
        .concat(),
    );
    let docs = server.root().join("docs");
    fs::create_dir_all(docs.join("folder")).unwrap();
    write(&server, "secret", "abc");
    symlink("../secret", docs.join("link")).unwrap();
    symlink("..", docs.join("linked")).unwrap();
    let status = std::process::Command::new("mkfifo")
        .arg(docs.join("pipe"))
        .status();
    assert!(status.unwrap().success());
    let large = fs::File::create(docs.join("large")).unwrap();
    large.set_len((1 << 20) + 1).unwrap();
    fs::hard_link(rag(&server), docs.join("rag.db")).unwrap();
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    let unread = report["data"]["documents"]["unread"].as_object().unwrap();
    for (why, rows) in [
        ("with .. in its path", 1),
        ("outside the folder of the documents", 1),
        ("a link", 1),
        ("behind a link", 1),
        ("no regular file", 1),
        ("larger than max_document", 1),
        ("a folder", 1),
        ("no possible path", 2),
        ("a live database or our own", 1),
        ("its hash is of no known kind", 1),
    ] {
        assert_eq!(unread.get(why), Some(&rows.into()), "{why}: {unread:?}");
    }
    assert_eq!(report["data"]["documents"]["changed"], 0);
    let shown = server.run(&format!("rag-clean --now {NOW}"));
    assert!(!shown.out.contains('\u{1b}'), "{shown:?}");
    // A folder that is not there is a disk that is not mounted, not a thousand documents that are gone.
    fs::remove_dir_all(&docs).unwrap();
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2);
    let refused = finding(&report, "rag-clean.refused");
    assert!(
        refused["message"].as_str().unwrap().contains("no folder"),
        "{refused}"
    );
}

#[test]
fn texts_without_a_vector_of_theirs_get_it_in_both_shapes() {
    let embedder = Embedder::start();
    for (url, key) in [(embedder.url(), ""), (embedder.ollama(), "key")] {
        let server = memory(
            &embedder,
            &endpoint(
                &url,
                if key.is_empty() {
                    ""
                } else {
                    "api_key_file = \"etc-key\""
                },
            ),
        );
        let text = fs::read_to_string(server.config_path()).unwrap();
        let file = server.path().join("etc/embedding-key");
        fs::write(&file, "open-sesame\n").unwrap();
        let server = server.raw_config(&text.replace("etc-key", file.to_str().unwrap()));
        let before = server.fingerprint(&server.root());
        let asked = embedder.requests().len();
        let (code, dry) = clean(&server, "--dry-run");
        assert_eq!(code, 0, "{dry:#}");
        assert_eq!(server.fingerprint(&server.root()), before);
        assert_eq!(embedder.requests().len(), asked, "a dry run asks nobody");
        let old = vectors(&rag(&server));
        let (code, report) = clean(&server, "");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(dry["actions"][0]["reason"], report["actions"][0]["reason"]);
        let found = &report["data"]["embedded"];
        assert_eq!(
            (&found["pending"], &found["changed"], &found["done"]),
            (&2.into(), &2.into(), &4.into()),
            "{found}"
        );
        all_true(&server, &embedder);
        assert_eq!(vectors(&rag(&server))[..8], old[..8]);
        let last = embedder
            .requests()
            .into_iter()
            .find(|one| one["texts"] == 4)
            .unwrap();
        assert_eq!(last["model"], "minilm");
        assert!(url.ends_with(embedder.requests()[asked]["path"].as_str().unwrap()));
        let sent = embedder.requests()[asked]["key"].clone();
        match key {
            "" => assert_eq!(sent, Value::Null),
            _ => assert_eq!(sent, "Bearer open-sesame"),
        }
        assert!(!report.to_string().contains("open-sesame"));
        let (_, again) = clean(&server, "");
        assert!(actions(&again).is_empty(), "{again:#}");
    }
}

#[test]
fn the_index_in_an_answer_gives_the_order() {
    let embedder = Embedder::start();
    let server = memory(&embedder, &endpoint(&embedder.url(), ""));
    embedder.fails("shuffled");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    embedder.fails("");
    all_true(&server, &embedder);
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_not_written() {
    let embedder = Embedder::start();
    for (how, told) in [
        (
            "dimension",
            "383 dimensions; those that are stored have 384",
        ),
        ("count", "vectors for"),
        ("nan", "not what was expected"),
        ("infinite", "no 32-bit float"),
        ("order", "two vectors with the index 0"),
        ("base64", "base64"),
        ("model", "another model"),
        // The probe is answered well, and then not.
        ("dimension +1", "383 dimensions"),
        ("zero +1", "all zero"),
    ] {
        let server = memory(&embedder, &endpoint(&embedder.url(), ""));
        let before = vectors(&rag(&server));
        embedder.fails(how);
        let (code, report) = clean(&server, "");
        assert_eq!(code, 2, "{how}: {report:#}");
        let wrong = finding(&report, "rag-clean.embedding-wrong");
        assert_eq!(wrong["severity"], "high");
        assert!(
            wrong["message"].as_str().unwrap().contains(told),
            "{how}: {wrong}"
        );
        assert_eq!(vectors(&rag(&server)), before, "{how}");
        assert_eq!(
            number(&rag(&server), "SELECT count(*) FROM embeddings"),
            10,
            "{how}"
        );
        embedder.fails("");
        assert_eq!(clean(&server, "").0, 0, "{how}");
        all_true(&server, &embedder);
    }
}

#[test]
fn what_it_cannot_do_now_is_tried_again_and_then_left_to_the_next_run() {
    let embedder = Embedder::start();
    for (how, more, code) in [
        ("429 1", "patience = \"20s\"", 0),
        ("500 2", "patience = \"20s\"", 0),
        ("429", "", 2),
        ("503", "", 2),
        ("half", "", 2),
        ("hang", "timeout = \"300ms\"", 2),
        ("401", "patience = \"60s\"", 2),
    ] {
        let settings = endpoint(&embedder.url(), "");
        let key = more.split(' ').next().unwrap();
        let settings: String = settings
            .lines()
            .filter(|line| key.is_empty() || !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let server = memory(&embedder, &format!("{settings}{more}\n"));
        let before = vectors(&rag(&server));
        let asked = embedder.requests().len();
        embedder.fails(how);
        let (got, report) = clean(&server, "");
        assert_eq!(got, code, "{how}: {report:#}");
        let asked = embedder.requests().len() - asked;
        embedder.fails("");
        if code == 0 {
            all_true(&server, &embedder);
            assert!(asked > 2, "{how}");
            continue;
        }
        let failed = finding(&report, "rag-clean.embedding-failed");
        assert_eq!(failed["severity"], "high");
        assert_eq!(vectors(&rag(&server)), before, "{how}");
        if how == "401" {
            assert_eq!(asked, 1, "what is refused is not asked again");
        }
        assert_eq!(clean(&server, "").0, 0, "{how}");
        all_true(&server, &embedder);
    }
}

#[test]
fn what_is_committed_stays_and_the_next_run_goes_on_there() {
    let embedder = Embedder::start();
    let server = memory(
        &embedder,
        &endpoint(&embedder.url(), "").replace("batch = 4", "batch = 1"),
    );
    embedder.fails("500 +3"); // the probe and two texts
    let (code, report) = clean(&server, "");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(report["data"]["embedded"]["done"], 2);
    assert!(
        finding(&report, "rag-clean.embedding-failed")["message"]
            .as_str()
            .unwrap()
            .contains("after 2 of 4 texts")
    );
    embedder.fails("");
    let (_, report) = clean(&server, "");
    assert_eq!(report["data"]["embedded"]["done"], 2, "{report:#}");
    all_true(&server, &embedder);
}

#[test]
fn one_text_that_is_refused_keeps_its_vector_and_the_others_get_theirs() {
    let embedder = Embedder::start();
    let server = memory_with(
        &embedder,
        &endpoint(&embedder.url(), ""),
        "UPDATE chunks SET text = 'REFUSE: too long' WHERE id = 11",
    );
    let before = vectors(&rag(&server));
    embedder.fails("refuse");
    let (code, report) = clean(&server, "");
    assert_eq!(code, 1, "{report:#}");
    let found = &report["data"]["embedded"];
    assert_eq!((&found["done"], &found["refused"]), (&3.into(), &1.into()));
    let refused = finding(&report, "rag-clean.texts-refused");
    assert_eq!(refused["severity"], "medium");
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("1 text without a new"), "{message}");
    assert_eq!(vectors(&rag(&server))[10], before[10]);
    assert_ne!(vectors(&rag(&server))[11], before[11]);
}

#[test]
fn without_an_endpoint_what_waits_is_told() {
    let embedder = Embedder::start();
    let server = memory(&embedder, "");
    let before = vectors(&rag(&server));
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    let waiting = finding(&report, "rag-clean.not-embedded");
    assert!(
        waiting["message"]
            .as_str()
            .unwrap()
            .starts_with("2 chunks without an embedding, 2 whose text changed"),
        "{waiting}"
    );
    assert_eq!(vectors(&rag(&server)), before);
}

#[test]
fn another_model_or_a_table_that_only_the_application_fills_is_refused() {
    let embedder = Embedder::start();
    for (statements, told) in [
        ("UPDATE embeddings SET model = 'ada' WHERE id = 1", "1 vector are of the model ada"),
        ("ALTER TABLE embeddings ADD COLUMN owner TEXT NOT NULL DEFAULT 'x'", ""),
        (
            "CREATE TABLE other (id INTEGER PRIMARY KEY, vector BLOB, text_hash TEXT, owner TEXT NOT NULL);
             INSERT INTO other SELECT id, vector, text_hash, 'me' FROM embeddings; DROP TABLE embeddings; ALTER TABLE other RENAME TO embeddings;",
            "needs owner",
        ),
        (
            "CREATE TABLE other (id TEXT PRIMARY KEY, vector BLOB, text_hash TEXT);
             INSERT INTO other SELECT id, vector, text_hash FROM embeddings; DROP TABLE embeddings; ALTER TABLE other RENAME TO embeddings;",
            "no INTEGER PRIMARY KEY",
        ),
    ] {
        let server = memory_with(&embedder, &endpoint(&embedder.url(), ""), statements);
        let (code, report) = clean(&server, "");
        if told.is_empty() {
            assert_eq!(code, 0, "{report:#}");
            continue;
        }
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.refused");
        assert!(refused["message"].as_str().unwrap().contains(told.trim_start_matches("1 vector ")), "{refused}");
        assert!(actions(&report).is_empty());
    }
}

#[test]
fn texts_that_share_an_embedding_part_where_one_changes() {
    let embedder = Embedder::start();
    let server = memory_with(
        &embedder,
        &endpoint(&embedder.url(), ""),
        "INSERT INTO chunks VALUES (13, NULL, 1, 'It was a dog that barked.');",
    );
    let (code, report) = clean(&server, "");
    assert_eq!(code, 0, "{report:#}");
    all_true(&server, &embedder);
    assert_eq!(
        number(
            &rag(&server),
            "SELECT embedding_id FROM chunks WHERE id = 1"
        ),
        1
    );
}

#[test]
fn a_run_that_is_killed_while_it_writes_leaves_a_memory_that_is_whole() {
    let embedder = Embedder::start();
    let server = memory(&embedder, &endpoint(&embedder.url(), ""));
    let mut command = server.command(["rag-clean", "--now", NOW, "--json"]);
    let paused = Paused::before("write", "rag.db-wal", &server.root(), &mut command);
    drop(paused); // kill -9 in the first transaction
    let sound = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    assert_eq!(number(&rag(&server), sound), 1);
    let dangling =
        "SELECT count(*) FROM chunks WHERE embedding_id NOT IN (SELECT id FROM embeddings)";
    assert_eq!(number(&rag(&server), dangling), 0);
    let (code, report) = clean(&server, "");
    assert_eq!(code, 1, "the killed run is told: {report:#}");
    assert_eq!(report["data"]["embedded"]["done"], 4);
    all_true(&server, &embedder);
}

#[test]
fn a_text_that_changes_while_the_endpoint_is_asked_is_left_to_the_next_run() {
    let embedder = Embedder::start();
    let settings = endpoint(&embedder.url(), "").replace("patience = \"1s\"", "patience = \"60s\"");
    let server = memory(&embedder, &settings);
    let asked = embedder.requests().len();
    embedder.fails("429 +1"); // the probe is answered, the texts are not
    let child = server
        .command(["rag-clean", "--now", NOW, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while embedder.requests().len() < asked + 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    sql(
        &rag(&server),
        "UPDATE chunks SET text = 'The harbour is free of ice.' WHERE id = 9;
         UPDATE chunks SET embedding_id = 1, text = (SELECT text FROM chunks WHERE id = 1) WHERE id = 10;",
    );
    embedder.fails("");
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["data"]["embedded"]["done"], 2, "{report:#}");
    assert_eq!(
        number(
            &rag(&server),
            "SELECT count(*) FROM chunks WHERE id = 9 AND embedding_id IS NULL"
        ),
        1
    );
    assert_eq!(
        number(
            &rag(&server),
            "SELECT embedding_id FROM chunks WHERE id = 10"
        ),
        1
    );
    clean(&server, "");
    all_true(&server, &embedder);
}

/// The real FAISS makes the index and finds the new vectors in ours. A run that was killed before leaves that to the next one.
#[test]
fn an_index_follows_in_the_same_run_or_in_the_next() {
    for killed in [false, true] {
        an_index_follows(killed);
    }
}

fn an_index_follows(killed: bool) {
    let embedder = Embedder::start();
    let server = memory(
        &embedder,
        &format!(
            "[[rag.index]]\npath = \"data/rag.faiss\"\n{}",
            endpoint(&embedder.url(), "")
        ),
    );
    let index = server.root().join("data/rag.faiss");
    let peer = |words: &[&str]| -> String {
        let output = std::process::Command::new(crate::support::embedder::PYTHON)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/cli/support/faiss_peer.py"
            ))
            .arg(words[0])
            .args([rag(&server), index.clone()])
            .args(&words[1..])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    peer(&["make", "IDMap2,Flat", "IP", "plain"]);
    let (_, dry) = clean(&server, "--dry-run");
    let reason = dry["actions"].as_array().unwrap().last().unwrap()["reason"].to_string();
    assert!(reason.contains("vectors come or change"), "{reason}");
    if killed {
        let mut command = server.command(["rag-clean", "--now", NOW]);
        let data = server.root().join("data");
        drop(Paused::before(
            "unlink",
            "rag.faiss.new",
            &data,
            &mut command,
        ));
        all_true(&server, &embedder);
    }
    let (code, report) = clean(&server, "");
    assert_eq!(code, i32::from(killed), "{report:#}"); // a killed run is told of
    let found = &report["data"]["indices"][0];
    assert_eq!(
        (&found["rebuilt"], &found["missing"], &found["moved"]),
        (&true.into(), &2.into(), &2.into()),
        "{found}"
    );
    let (_, again) = clean(&server, "");
    let found = &again["data"]["indices"][0];
    assert_eq!(
        (&found["vectors"], &found["missing"], &found["moved"]),
        (&12.into(), &0.into(), &0.into()),
        "{found}"
    );
    peer(&["look"]);
}

#[test]
fn a_backup_that_waits_goes_before_the_endpoint() {
    let embedder = Embedder::start();
    let settings = endpoint(&embedder.url(), "").replace("patience = \"1s\"", "patience = \"10m\"");
    let server = memory(&embedder, &settings);
    let asked = embedder.requests().len();
    embedder.fails("503");
    let child = server
        .command(["rag-clean", "--now", NOW, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while embedder.requests().len() < asked + 1 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.run("backup --database rag_db").expect(0);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(finding(&report, "rag-clean.gave-way")["subject"], "changed");
}

#[test]
fn the_step_optimize_is_optimize_db_for_this_database() {
    let server = Server::new().config(&format!(
        "{}\n[[rag.index]]\npath = \"data/rag.faiss\"",
        config("")
    ));
    sql(&rag(&server), TABLES);
    sql(
        &rag(&server),
        "CREATE TABLE junk (x); INSERT INTO junk VALUES (zeroblob(80000000));
         INSERT INTO embeddings(id, vector) VALUES (7, x'00'), (9, x'00'); DROP TABLE junk;",
    );
    server.run(&format!("backup --now {NOW}")).expect(0);
    let size = || fs::metadata(rag(&server)).unwrap().len();
    let before = server.fingerprint(&server.root());
    let (_, dry) = clean(&server, "--step optimize --dry-run");
    assert_eq!(server.fingerprint(&server.root()), before);
    let (code, report) = clean(&server, "--step optimize");
    assert_eq!(code, 0, "{report:#}");
    let kinds = |report: &Value| -> Vec<String> {
        actions(report).into_iter().map(|(kind, ..)| kind).collect()
    };
    assert!(kinds(&report).contains(&"vacuum".to_owned()), "{report:#}");
    assert_eq!(kinds(&dry)[..1], kinds(&report)[..1]);
    assert!(size() < 1_000_000, "{}", size());
    assert_eq!(number(&rag(&server), "SELECT sum(id) FROM embeddings"), 16);
    assert_eq!(report["data"]["optimized"]["sound"], true);
}

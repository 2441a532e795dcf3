//! `rag-eval`: its measures beside trec_eval's own code, its searches beside the real FAISS; drops, canaries, drift.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Server, finding, finding_ids, sql};

/// The second Tuesday of a quarter.
const NOW: &str = "2026-10-13T11:03:00Z";

const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT, model TEXT);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
";

fn python<S: AsRef<std::ffi::OsStr>>(script: &str, words: impl IntoIterator<Item = S>) -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/support")
        .join(script);
    let output = Command::new(python).arg(script).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{python}: {error}; ./test sets it up"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// An application with a memory, and settings of `[rag.eval]`.
struct Memory(Server);

impl Memory {
    fn new(eval: &str) -> Self {
        Self::with("", eval)
    }

    fn with(indices: &str, eval: &str) -> Self {
        let server = Server::new().config(&format!(
            "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n{indices}\n[rag.eval]\n{eval}\n"
        ));
        sql(&server.root().join("data/rag.db"), TABLES);
        Self(server)
    }

    fn database(&self) -> PathBuf {
        self.0.root().join("data/rag.db")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.root().join(name)
    }

    fn eval(&self, line: &str) -> (i32, Value) {
        self.0.json(&format!("rag-eval --now {NOW} {line}"))
    }

    fn fill(&self, count: u32, dimension: u32) {
        let words = [
            "fill".to_owned(),
            text(&self.database()),
            count.to_string(),
            dimension.to_string(),
        ];
        python("faiss_peer.py", words);
    }

    fn make(&self, name: &str, factory: &str, metric: &str) {
        let words = [
            "make".to_owned(),
            text(&self.database()),
            text(&self.path(name)),
            factory.to_owned(),
            metric.to_owned(),
            "plain".to_owned(),
        ];
        python("faiss_peer.py", words);
    }
}

/// The way of that name.
fn way<'a>(report: &'a Value, name: &str) -> &'a Value {
    let ways = report["data"]["ways"].as_array().unwrap();
    let found = ways
        .iter()
        .find(|one| one["way"].as_str().unwrap().ends_with(name));
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn close(a: &Value, b: f64) -> bool {
    (a.as_f64().unwrap() - b).abs() < 1e-9
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// Grades from -1 to 3, queries that nobody labelled or answered, scores with ties, and scores that differ only in 64 bits.
fn write_random(folder: &Path, number: u64, random: &mut Random) {
    let (mut qrels, mut run) = (String::new(), String::new());
    for query in 0..1 + random.below(6) {
        let documents = 1 + random.below(30);
        let labelled = random.below(8) > 0;
        let relevant = random.below(5) > 0;
        let answered = random.below(8) > 0;
        for document in 0..documents {
            // Names of different lengths, where bytes and numbers are in another order.
            let name = document * 7 % 113;
            if labelled && random.below(3) > 0 {
                let grade = if relevant {
                    random.below(5).cast_signed() - 1
                } else {
                    0
                };
                writeln!(qrels, "q{query} 0 d{name} {grade}").unwrap();
            }
            if answered && random.below(4) > 0 {
                let score = random.below(6) as f64 / 3.0 + random.below(2) as f64 * 1e-11;
                writeln!(run, "q{query} Q0 d{name} {document} {score:.13} test").unwrap();
            }
        }
    }
    // A file without any line is no file of labels.
    writeln!(qrels, "q9 0 d1 1").unwrap();
    fs::write(folder.join(format!("{number}.qrels")), qrels).unwrap();
    fs::write(folder.join(format!("{number}.run")), run).unwrap();
}

#[test]
fn the_measures_are_those_of_trec_eval() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(20261013);
    let k = 5;
    for number in 0..1000 {
        write_random(folder.path(), number, &mut random);
    }
    let told = python(
        "eval_peer.py",
        ["measures", folder.path().to_str().unwrap(), &k.to_string()],
    );
    let told: BTreeMap<String, BTreeMap<String, [f64; 4]>> = serde_json::from_str(&told).unwrap();
    assert_eq!(told.len(), 1000);
    let (mut compared, mut ties) = (0, 0);
    for (number, queries) in told {
        let labels =
            empire_maint::ranking::read_labels(&folder.path().join(format!("{number}.qrels")))
                .unwrap();
        let run =
            empire_maint::ranking::read_run(&folder.path().join(format!("{number}.run"))).unwrap();
        for query in &labels {
            let ranked = run.get(&query.id).map(Vec::as_slice).unwrap_or_default();
            ties += ranked
                .windows(2)
                .filter(|two| two[0].1 as f32 == two[1].1 as f32)
                .count();
            let names = ranked.iter().map(|one| one.0.as_str());
            let ours = empire_maint::ranking::score(&query.grades, names, k);
            // It leaves out queries without an answer; a question that finds nothing has scored nothing.
            let theirs = queries.get(&query.id).copied().unwrap_or_default();
            assert_eq!(queries.contains_key(&query.id), !ranked.is_empty());
            let ours = [ours.precision, ours.recall, ours.reciprocal_rank, ours.ndcg];
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!(
                    (ours - theirs).abs() < 1e-9,
                    "{number} {}: {ours} {theirs}",
                    query.id
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 3000 && ties > 5000, "{compared} {ties}");
}

#[test]
fn a_run_of_the_application_is_measured_and_kept() {
    let memory = Memory::new("labels = \"eval.qrels\"\nrun = \"app.run\"\nk = 3");
    fs::write(
        memory.path("eval.qrels"),
        "a 0 1 2\na 0 2 1\nb 0 3 1\nc 0 9 0\nd 0 4 1\n",
    )
    .unwrap();
    fs::write(memory.path("app.run"), "a Q0 2 1 9.5 x\na Q0 5 2 9.5 x\na Q0 1 3 1 x\nb Q0 7 1 1 x\nb Q0 3 2 0.5 x\nc Q0 9 1 1 x\n").unwrap();
    let (code, report) = memory.eval("");
    assert_eq!(code, 0, "{report:#}");
    let run = way(&report, "run");
    assert_eq!(run["queries"], 4);
    assert_eq!(run["without_relevant"], 1);
    // Of a: equal scores are in the order of their names, so 5 comes before 2. d is not in the run.
    let ndcg = (1.0 / 3f64.log2() + 2.0 / 2.0) / (2.0 + 1.0 / 3f64.log2()) + 1.0 / 3f64.log2();
    assert!(close(&run["mean"]["ndcg"], ndcg / 4.0), "{run:#}");
    assert!(
        close(&run["mean"]["precision"], (2.0 / 3.0 + 1.0 / 3.0) / 4.0),
        "{run:#}"
    );
    assert!(close(&run["mean"]["reciprocal_rank"], 1.0 / 4.0), "{run:#}");
    let metrics = report["metrics"].as_array().unwrap();
    let kept = metrics
        .iter()
        .find(|one| one["name"] == "rag_eval_ndcg")
        .unwrap();
    assert!(close(&kept["value"], ndcg / 4.0));
    let journal = rusqlite::Connection::open(memory.0.state().join("journal.db")).unwrap();
    let value: f64 = journal
        .query_row(
            "SELECT value FROM metrics WHERE name = 'rag_eval_ndcg'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!((value - ndcg / 4.0).abs() < 1e-9);
}

/// Forty queries with one relevant document each, which the application has in the place that `place` says.
fn write_run(memory: &Memory, place: impl Fn(u32) -> u32) {
    let (mut qrels, mut run) = (String::new(), String::new());
    for query in 0..40 {
        writeln!(qrels, "q{query:02} 0 right 1").unwrap();
        for at in 1..=10 {
            let name = if at == place(query) {
                "right".to_owned()
            } else {
                format!("d{at}")
            };
            writeln!(run, "q{query:02} Q0 {name} {at} {} app", 100 - at).unwrap();
        }
    }
    fs::write(memory.path("eval.qrels"), qrels).unwrap();
    fs::write(memory.path("app.run"), run).unwrap();
}

#[test]
fn a_drop_is_told_when_it_is_more_than_chance() {
    let memory = Memory::new("labels = \"eval.qrels\"\nrun = \"app.run\"");
    let eval = |line: &str| memory.eval(&format!("--only labels {line}"));
    write_run(&memory, |_| 1);
    let (code, first) = eval("");
    assert_eq!(code, 0, "{first:#}");
    assert!(
        finding(&first, "rag-eval.baseline")["message"]
            .as_str()
            .unwrap()
            .contains("none yet")
    );
    // The same again is no news.
    let (code, same) = eval("");
    assert_eq!((code, finding_ids(&same, "run").len()), (0, 0), "{same:#}");
    // Two of forty that lost much: large enough, and chance.
    write_run(&memory, |query| if query < 3 { 11 } else { 1 });
    let (code, few) = eval("--dry-run");
    assert_eq!((code, finding_ids(&few, "run").len()), (0, 0), "{few:#}");
    assert!(way(&few, "run")["change"]["chance"].as_f64().unwrap() > 0.05);
    // All lost a little, which chance does not explain.
    write_run(&memory, |query| 1 + query % 2);
    for line in ["--dry-run", "", ""] {
        let (code, drop) = eval(line);
        assert_eq!(code, 1, "{drop:#}");
        let told = finding(&drop, "rag-eval.drop");
        assert_eq!(told["subject"], "run");
        let message = told["message"].as_str().unwrap();
        // Also in the second run, against the best of those before.
        assert!(
            message.starts_with("nDCG@10 fell from 1.000 (2026-10-13) to 0.815"),
            "{message}"
        );
        assert!(message.contains("q01, q03"), "{message}");
    }
    // It was meant.
    let (code, accepted) = eval("--accept");
    assert_eq!(code, 0, "{accepted:#}");
    assert!(
        finding(&accepted, "rag-eval.baseline")["message"]
            .as_str()
            .unwrap()
            .contains("--accept")
    );
    assert_eq!(finding_ids(&eval("").1, ""), Vec::<String>::new());
    // Other labels are another baseline.
    write_run(&memory, |_| 10);
    let labels = fs::read_to_string(memory.path("eval.qrels")).unwrap();
    fs::write(memory.path("eval.qrels"), format!("{labels}q00 0 also 1\n")).unwrap();
    let (code, other) = eval("");
    assert_eq!(code, 0, "{other:#}");
    let told = finding(&other, "rag-eval.baseline")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        told.contains("labelled queries, k, names or the measure changed"),
        "{told}"
    );
}

#[test]
fn what_is_kept_for_comparison_does_not_grow() {
    let memory = Memory::new("labels = \"eval.qrels\"\nrun = \"app.run\"");
    write_run(&memory, |_| 2);
    for _ in 0..9 {
        memory.eval("--only labels");
    }
    let journal = rusqlite::Connection::open(memory.0.state().join("journal.db")).unwrap();
    let kept: String = journal
        .query_row(
            "SELECT value FROM remembered WHERE key = 'scores run'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["runs"].as_array().unwrap().len(), 6);
}

#[test]
fn a_canary_that_is_not_found_is_a_finding_by_name() {
    let memory =
        Memory::new("labels = \"eval.jsonl\"\nrun = \"app.run\"\nk = 2\ncanaries = [\"terms\"]");
    fs::write(
        memory.path("eval.jsonl"),
        "{\"id\": \"refunds\", \"relevant\": [7], \"canary\": true}\n{\"id\": \"terms\", \"relevant\": [8]}\n{\"id\": \"other\", \"relevant\": [9]}\n",
    )
    .unwrap();
    fs::write(
        memory.path("app.run"),
        "refunds Q0 1 1 3 x\nrefunds Q0 2 2 2 x\nrefunds Q0 7 3 1 x\nterms Q0 8 1 1 x\n",
    )
    .unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 1, "{report:#}");
    let told = finding(&report, "rag-eval.canary");
    assert_eq!(told["subject"], "refunds (run)");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("(7) is in the first 2: the first is in place 3"),
        "{message}"
    );
    assert_eq!(
        way(&report, "run")["missed_canaries"],
        serde_json::json!(["refunds"])
    );
}

#[test]
fn searches_find_what_faiss_finds() {
    let indices =
        ["flat", "hnsw", "ivf"].map(|name| format!("[[rag.index]]\npath = \"{name}.faiss\"\n"));
    let memory = Memory::with(
        &indices.concat(),
        "labels = \"eval.jsonl\"\nleast_recall = 0.99",
    );
    memory.fill(2000, 24);
    memory.make("flat.faiss", "IDMap2,Flat", "L2");
    memory.make("hnsw.faiss", "IDMap2,HNSW4,Flat", "L2");
    memory.make("ivf.faiss", "IVF64,Flat", "L2");
    let labels = memory.path("eval.jsonl");
    python(
        "eval_peer.py",
        [
            "labels".to_owned(),
            text(&memory.database()),
            text(&labels),
            "100".to_owned(),
            "10".to_owned(),
        ],
    );
    let (code, report) = memory.eval("--only labels --only recall");
    // A graph with four links, and one list of 64, do not find enough.
    assert_eq!(code, 1, "{report:#}");
    for name in ["exact", "flat.faiss"] {
        let mean = &way(&report, name)["mean"];
        for measure in ["precision", "recall", "reciprocal_rank", "ndcg"] {
            assert!(close(&mean[measure], 1.0), "{name} {measure}: {mean:#}");
        }
    }
    // FAISS adds up distances in another order, so that a vector may be in the other of two lists that are equally near.
    for (name, parameter, tolerance) in [
        ("ivf.faiss", "nprobe", 0.002),
        ("hnsw.faiss", "efSearch", 0.02),
    ] {
        let swept = report["data"]["indices"].as_array().unwrap();
        let swept = swept
            .iter()
            .find(|one| one["index"].as_str().unwrap().ends_with(name))
            .unwrap();
        assert_eq!(
            (&swept["parameter"], &swept["sample"]),
            (&parameter.into(), &"labelled queries".into())
        );
        let settings = swept["settings"].as_array().unwrap();
        assert!(settings.len() > 4, "{swept:#}");
        let values: Vec<_> = settings
            .iter()
            .map(|one| one["value"].to_string())
            .collect();
        let theirs = python(
            "eval_peer.py",
            [
                "sweep".to_owned(),
                text(&memory.path(name)),
                text(&labels),
                "10".to_owned(),
                values.join(","),
            ],
        );
        let theirs: BTreeMap<String, f64> = serde_json::from_str(&theirs).unwrap();
        for one in settings {
            let ours = one["recall"].as_f64().unwrap();
            let theirs = theirs[&one["value"].to_string()];
            assert!(
                (ours - theirs).abs() <= tolerance,
                "{name} {one}: FAISS finds {theirs}"
            );
        }
        assert!(
            settings.last().unwrap()["recall"].as_f64().unwrap() > 0.97,
            "{swept:#}"
        );
        // As it is searched, it is measured by the labels too.
        let own = settings.iter().find(|one| one["own"] == true).unwrap();
        let by_labels = way(&report, name)["mean"]["recall"].as_f64().unwrap();
        assert!(
            (by_labels - own["recall"].as_f64().unwrap()).abs() < 1e-9,
            "{by_labels} {own}"
        );
        let told = report["findings"].as_array().unwrap().iter().find(|one| {
            one["id"] == "rag-eval.index-recall" && one["subject"].as_str().unwrap().ends_with(name)
        });
        let hint = told.unwrap()["hint"].as_str().unwrap();
        assert!(hint.starts_with(parameter), "{hint}");
    }
}

#[test]
fn without_labels_an_index_is_measured_on_what_it_holds() {
    let memory = Memory::with(
        "[[rag.index]]\npath = \"i.faiss\"\n[[rag.index]]\npath = \"none.faiss\"\n",
        "least_recall = 0.5",
    );
    memory.fill(800, 16);
    memory.make("i.faiss", "IDMap,HNSW16,Flat", "IP");
    let (code, report) = memory.eval("--only recall");
    assert_eq!(code, 0, "{report:#}");
    let swept = &report["data"]["indices"][0];
    assert_eq!(
        (&swept["sample"], &swept["queries"]),
        (&"stored vectors".into(), &200.into())
    );
    assert!(
        swept["settings"].as_array().unwrap().last().unwrap()["recall"]
            .as_f64()
            .unwrap()
            > 0.99
    );
    assert_eq!(finding(&report, "rag-eval.no-index")["severity"], "info");
    // A file that is none is told, and the other one measured.
    fs::write(memory.path("none.faiss"), "no index").unwrap();
    let (code, report) = memory.eval("--only recall");
    assert_eq!(code, 1, "{report:#}");
    assert!(
        finding(&report, "rag-eval.refused")["subject"]
            .as_str()
            .unwrap()
            .ends_with("none.faiss")
    );
    assert_eq!(report["data"]["indices"].as_array().unwrap().len(), 1);
}

/// A bare index calls its vectors by position; a map says whose they are.
#[test]
fn positions_are_taken_for_ids_through_their_map() {
    for map in ["", "positions_map = \"ids.json\""] {
        let memory = Memory::with(
            &format!("[[rag.index]]\npath = \"i.faiss\"\n{map}\n"),
            "labels = \"eval.jsonl\"",
        );
        memory.fill(300, 16);
        sql(&memory.database(), "UPDATE embeddings SET id = id + 10000");
        memory.make("i.faiss", "HNSW32,Flat", "L2");
        let ids: Vec<i64> = (10_000..10_300).collect();
        fs::write(memory.path("ids.json"), format!("{ids:?}")).unwrap();
        let words = [
            "labels".to_owned(),
            text(&memory.database()),
            text(&memory.path("eval.jsonl")),
            "20".to_owned(),
            "10".to_owned(),
        ];
        python("eval_peer.py", words);
        let (code, report) = memory.eval("");
        if map.is_empty() {
            // Nobody can tell which embeddings it finds; how much it finds needs no ids.
            assert_eq!(code, 2, "{report:#}");
            let told = finding(&report, "rag-eval.way-failed");
            assert!(
                told["message"]
                    .as_str()
                    .unwrap()
                    .contains("positions for ids"),
                "{told}"
            );
            assert_eq!(report["data"]["ways"].as_array().unwrap().len(), 1);
            assert_eq!(report["data"]["indices"].as_array().unwrap().len(), 1);
            continue;
        }
        let recall = way(&report, "i.faiss")["mean"]["recall"].as_f64().unwrap();
        assert!(recall > 0.95, "{recall}");
    }
}

#[test]
fn documents_and_chunks_are_found_through_their_embeddings() {
    for (names, relevant) in [("documents", "\"guide\""), ("chunks", "12")] {
        let memory = Memory::new(&format!(
            "labels = \"eval.jsonl\"\nnames = \"{names}\"\nk = 3"
        ));
        sql(
            &memory.database(),
            "INSERT INTO embeddings (id, vector) VALUES (1, x'0000803f00000000'), (2, x'0000803f0000003f'), (3, x'000000000000803f'), (4, x'000000000000c07f');
             INSERT INTO chunks VALUES (11, 'other', 1, 'a'), (12, 'guide', 2, 'b'), (13, 'other', 1, 'c'), (14, 'guide', 3, 'd'), (15, 'guide', NULL, 'e');",
        );
        fs::write(
            memory.path("eval.jsonl"),
            format!("{{\"query\": \"how\", \"vector\": [1, 0], \"relevant\": [{relevant}]}}\n"),
        )
        .unwrap();
        let (code, report) = memory.eval("--only labels");
        assert_eq!(code, 0, "{report:#}");
        let mean = &way(&report, "exact")["mean"];
        let place = if names == "documents" { 2.0 } else { 3.0 };
        assert!(
            close(&mean["reciprocal_rank"], 1.0 / place),
            "{names}: {mean}"
        );
    }
}

/// What is asked for are documents, however many chunks each of them has.
#[test]
fn as_many_documents_are_found_as_are_asked_for() {
    let memory = Memory::with(
        "[[rag.index]]\npath = \"i.faiss\"\n",
        "labels = \"eval.jsonl\"\nnames = \"documents\"\nk = 3",
    );
    memory.fill(200, 8);
    // The nearest 150 are of one document; ids are texts where chunks point to them.
    sql(
        &memory.database(),
        "DROP TABLE chunks; CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id, embedding_id TEXT, text TEXT);
         INSERT INTO chunks SELECT id, iif(id <= 150, 'long', 'doc ' || id), id, 'a text' FROM embeddings;
         UPDATE embeddings SET vector = CAST(x'0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f' AS BLOB) WHERE id <= 150;
         UPDATE embeddings SET vector = CAST(x'0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000003f' AS BLOB) WHERE id = 151;",
    );
    memory.make("i.faiss", "IDMap2,Flat", "L2");
    let line =
        "{\"id\": \"q\", \"vector\": [1, 1, 1, 1, 1, 1, 1, 1], \"relevant\": [\"doc 151\"]}\n";
    fs::write(memory.path("eval.jsonl"), line).unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 0, "{report:#}");
    for name in ["exact", "i.faiss"] {
        let mean = &way(&report, name)["mean"];
        assert!(close(&mean["reciprocal_rank"], 0.5), "{name}: {mean}");
    }
}

#[test]
fn a_query_of_another_dimension_is_not_asked() {
    let memory = Memory::new("labels = \"eval.jsonl\"");
    memory.fill(50, 4);
    let lines = "{\"id\": \"a\", \"vector\": [1, 0, 0, 0], \"relevant\": [1]}\n{\"id\": \"b\", \"vector\": [1, 0], \"relevant\": [1]}\n";
    fs::write(memory.path("eval.jsonl"), lines).unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 0, "{report:#}");
    let exact = way(&report, "exact");
    assert_eq!(
        (&exact["queries"], &exact["not_asked"]),
        (&1.into(), &1.into())
    );
    // Where none fits that is told.
    fs::write(memory.path("eval.jsonl"), lines.lines().last().unwrap()).unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 2, "{report:#}");
    let told = finding(&report, "rag-eval.way-failed");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("has the dimension"),
        "{told}"
    );
}

/// A run of other questions is no run that found nothing.
#[test]
fn a_run_without_the_labelled_queries_is_no_baseline() {
    let memory = Memory::new("labels = \"eval.qrels\"\nrun = \"run.trec\"");
    fs::write(memory.path("eval.qrels"), "q 0 1 1\n").unwrap();
    for run in ["", "Q1 Q0 1 1 1 x\n"] {
        fs::write(memory.path("run.trec"), run).unwrap();
        let (code, report) = memory.eval("--only labels --accept");
        assert_eq!(code, 2, "{report:#}");
        assert_eq!(finding_ids(&report, "run"), ["rag-eval.way-failed"]);
        assert_eq!(report["data"]["ways"], serde_json::json!([]));
    }
    // So the first that says something begins it.
    fs::write(memory.path("run.trec"), "q Q0 1 1 1 x\n").unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(finding(&report, "rag-eval.baseline")["subject"], "run");
}

#[test]
fn the_applications_own_search_is_asked() {
    let memory = Memory::new("labels = \"eval.jsonl\"\ncommand = [\"sh\", \"search.sh\"]");
    fs::write(
        memory.path("search.sh"),
        "q=$(cat)\ncase $q in *refund*) echo 9; echo 7; echo 9;; *) exit 0;; esac\n",
    )
    .unwrap();
    fs::write(memory.path("eval.jsonl"), "{\"query\": \"a refund?\", \"relevant\": [7]}\n{\"query\": \"else\", \"relevant\": [1]}\n{\"id\": \"x\", \"relevant\": [1]}\n").unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 0, "{report:#}");
    let command = way(&report, "command");
    assert_eq!(
        (&command["queries"], &command["not_asked"]),
        (&2.into(), &1.into())
    );
    assert!(
        close(&command["mean"]["reciprocal_rank"], 0.25),
        "{command}"
    );
    // One that fails is told with its own words.
    fs::write(memory.path("search.sh"), "echo no server >&2; exit 4\n").unwrap();
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 2, "{report:#}");
    let told = finding(&report, "rag-eval.way-failed");
    assert!(
        told["message"].as_str().unwrap().contains("no server"),
        "{told}"
    );
}

#[test]
fn drift_is_told_against_the_first_run() {
    let memory = Memory::new("");
    memory.fill(1200, 16);
    // A model has a direction of its own.
    let shift = |by: &str| {
        let connection = rusqlite::Connection::open(memory.database()).unwrap();
        let mut read = connection
            .prepare("SELECT id, vector FROM embeddings WHERE length(vector) = 64")
            .unwrap();
        let rows: Vec<(i64, Vec<u8>)> = read
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        connection.execute_batch("BEGIN").unwrap();
        for (id, bytes) in rows {
            let mut numbers: Vec<f32> = bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
                .collect();
            match by {
                "first" => numbers[0] += 0.5,
                "second" => numbers[1] += 1.0,
                _ => numbers.iter_mut().for_each(|one| *one *= 1.5),
            }
            let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_le_bytes()).collect();
            connection
                .execute(
                    "UPDATE embeddings SET vector = ?1 WHERE id = ?2",
                    (bytes, id),
                )
                .unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    };
    shift("first");
    sql(
        &memory.database(),
        "UPDATE embeddings SET model = 'small-1'",
    );
    let look = |line: &str| memory.eval(&format!("--only drift {line}"));
    let (code, first) = look("");
    assert_eq!(code, 0, "{first:#}");
    assert_eq!(finding_ids(&first, "drift"), ["rag-eval.baseline"]);
    // A third of them goes: the rest points where all did.
    sql(
        &memory.database(),
        "DELETE FROM embeddings WHERE id % 3 = 0; INSERT INTO embeddings (id, vector) VALUES (5000, x'00'), (5001, NULL)",
    );
    let (code, fewer) = look("");
    assert_eq!((code, finding_ids(&fewer, "").len()), (0, 0), "{fewer:#}");
    assert_eq!(fewer["data"]["embeddings"]["others"], 1);
    let subjects = |report: &Value| -> Vec<String> {
        let drifts = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["id"] == "rag-eval.drift");
        drifts
            .map(|one| one["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    shift("longer");
    assert_eq!(subjects(&look("").1), ["norm"]);
    shift("second");
    sql(
        &memory.database(),
        "UPDATE embeddings SET model = 'large-2' WHERE id > 600",
    );
    let (code, report) = look("");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(subjects(&report), ["model", "centroid", "norm"]);
    let mixed = finding(&report, "rag-eval.mixed-models")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        mixed.contains("large-2 (") && mixed.contains("small-1 ("),
        "{mixed}"
    );
    // A dry run and a look at it change no baseline; accepting it does.
    sql(
        &memory.database(),
        "UPDATE embeddings SET model = 'large-2'",
    );
    assert_eq!(
        subjects(&look("--accept --dry-run").1),
        Vec::<String>::new()
    );
    assert_eq!(subjects(&look("").1).len(), 3);
    assert_eq!(look("--accept").0, 0);
    let (code, after) = look("");
    assert_eq!((code, finding_ids(&after, "").len()), (0, 0), "{after:#}");
    sql(
        &memory.database(),
        "UPDATE embeddings SET vector = CAST(vector || x'0000803f' AS BLOB) WHERE length(vector) = 64",
    );
    let (_, wider) = look("");
    assert_eq!(subjects(&wider), ["dimension"]);
    sql(
        &memory.database(),
        "UPDATE embeddings SET vector = CAST(vector AS TEXT)",
    );
    let (code, none) = look("");
    assert_eq!(code, 1);
    let told = finding(&none, "rag-eval.refused")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        told.contains("none of 801 vectors can be compared"),
        "{told}"
    );
}

/// Vectors all around have no common direction: that its rest moves is chance.
#[test]
fn vectors_without_a_direction_do_not_drift() {
    let memory = Memory::new("max_shift = 0.0");
    let connection = rusqlite::Connection::open(memory.database()).unwrap();
    let mut random = Random(3);
    for id in 0..500 {
        let numbers = (0..64).map(|_| random.below(2001) as f32 / 1000.0 - 1.0);
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        connection
            .execute(
                "INSERT INTO embeddings (id, vector) VALUES (?1, ?2)",
                (id, bytes),
            )
            .unwrap();
    }
    memory.eval("--only drift");
    connection
        .execute("DELETE FROM embeddings WHERE id % 2 = 0", [])
        .unwrap();
    let (code, report) = memory.eval("--only drift");
    assert_eq!((code, finding_ids(&report, "").len()), (0, 0), "{report:#}");
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.contains("no common direction") && !summary.contains("moved"),
        "{summary}"
    );
    assert_eq!(report["data"]["embeddings"]["shift"], Value::Null);
}

#[test]
fn a_memory_that_is_well_is_measured_and_nothing_is_changed() {
    let memory = Memory::with(
        "[[rag.index]]\npath = \"i.faiss\"\n",
        "labels = \"eval.jsonl\"",
    );
    memory.fill(500, 16);
    memory.make("i.faiss", "IDMap2,Flat", "L2");
    python(
        "eval_peer.py",
        [
            "labels".to_owned(),
            text(&memory.database()),
            text(&memory.path("eval.jsonl")),
            "20".to_owned(),
            "5".to_owned(),
        ],
    );
    let before = memory.0.fingerprint(&memory.0.root());
    let (code, report) = memory.eval("");
    assert_eq!(code, 0, "{report:#}");
    let worst = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["severity"] != "info");
    assert_eq!(worst.count(), 0, "{report:#}");
    let mut after = memory.0.fingerprint(&memory.0.root());
    after.retain(|(path, _)| !path.to_string_lossy().contains(".db-"));
    let before: Vec<_> = before
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().contains(".db-"))
        .collect();
    assert_eq!(after, before);
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("20 labelled queries asked in 2 ways: nDCG@10 up to "),
        "{summary}"
    );
}

#[test]
fn bad_input_is_told_and_nothing_begins() {
    let cases: [(&str, &str, &str); 11] = [
        (
            "labels = \"eval.jsonl\"\ncommand = [\"/nope/x\"]",
            "q 0 d 1\n",
            "there is no program /nope/x",
        ),
        ("accepted = [\"zz\"]", "", "accepted holds 'zz'"),
        (
            "labels = \"eval.jsonl\"",
            "{\"id\": 1, \"relevant\": [1, 1]}\n",
            "eval.jsonl, line 1: 1 is there twice in relevant",
        ),
        (
            "labels = \"eval.jsonl\"",
            "{\"id\": 1, \"relevant\": [1]}\n{\"id\": 2, \"relevant\": }\n",
            "eval.jsonl, line 2: ",
        ),
        (
            "labels = \"eval.jsonl\"",
            "q 0 d 1\nq 0 d\n",
            "eval.jsonl, line 2: 3 fields",
        ),
        ("labels = \"none.jsonl\"", "", "there is no "),
        ("labels = \"data\"", "", "data is no file"),
        (
            "labels = \"eval.jsonl\"",
            "\u{feff}{\"id\": 1, \"relevant\": {\"5\": 1.5}}\n",
            "a whole number for each",
        ),
        (
            "labels = \"eval.jsonl\"\ncanaries = [\"x\"]",
            "q 0 d 1\n",
            "the canary 'x' is no labelled query",
        ),
        ("k = 0", "", "from 1 to 1000"),
        ("metric = \"ndcg\"", "", "unknown key 'metric'"),
    ];
    for (eval, labels, told) in cases {
        let memory = Memory::new(eval);
        fs::write(memory.path("eval.jsonl"), labels).unwrap();
        let ran = memory.0.run(&format!("rag-eval --now {NOW}"));
        assert_eq!(ran.code, 3, "{eval}: {ran:?}");
        assert!(ran.err.contains(told), "{eval}: {ran:?}");
    }
    let memory = Memory::new("labels = \"eval.qrels\"");
    fs::write(memory.path("eval.qrels"), "q 0 d 1\n").unwrap();
    // Labels that nothing can be asked for.
    let (code, report) = memory.eval("--only labels");
    assert_eq!(code, 1, "{report:#}");
    assert!(
        finding(&report, "rag-eval.refused")["message"]
            .as_str()
            .unwrap()
            .contains("1 labelled query without a vector")
    );
    fs::write(memory.database(), vec![7; 4096]).unwrap();
    assert_eq!(memory.eval("").0, 2);
    fs::remove_file(memory.database()).unwrap();
    assert_eq!(memory.eval("").0, 3);
}

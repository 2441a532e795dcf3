//! Half an application with a memory, and the real FAISS beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Server, sql};

pub const NOW: &str = "2026-11-08T02:37:00Z";

const TABLES: &str = "
    PRAGMA journal_mode=WAL;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks(embedding_id);
";

/// Half an application: the database and the FAISS file that it made from it.
pub struct Memory {
    pub server: Server,
    pub factory: String,
    metric: &'static str,
}

/// The Python that `./test` has set up with the real FAISS.
pub fn peer<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> String {
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

impl Memory {
    pub fn new(factory: &str, metric: &'static str, count: u32, dimension: u32) -> Self {
        Self::with(factory, metric, count, dimension, "")
    }

    /// With more lines below `[[rag.index]]`.
    pub fn with(
        factory: &str,
        metric: &'static str,
        count: u32,
        dimension: u32,
        lines: &str,
    ) -> Self {
        let mut memory = Self::empty(lines);
        (memory.factory, memory.metric) = (factory.to_owned(), metric);
        memory.fill(count, dimension);
        memory.make(&memory.index(), "plain");
        memory.server.run(&format!("backup --now {NOW}")).expect(0);
        memory
    }

    /// The tables alone, and nothing in them.
    pub fn empty(lines: &str) -> Self {
        let server = Server::new().config(&format!(
            "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[[rag.index]]\npath = \"data/rag.faiss\"\n{lines}",
        ));
        let memory = Self {
            server,
            factory: String::new(),
            metric: "L2",
        };
        sql(&memory.database(), TABLES);
        memory
    }

    pub fn fill(&self, count: u32, dimension: u32) {
        peer([
            "fill",
            self.database().to_str().unwrap(),
            &count.to_string(),
            &dimension.to_string(),
        ]);
    }

    pub fn database(&self) -> PathBuf {
        self.server.root().join("data/rag.db")
    }

    pub fn index(&self) -> PathBuf {
        self.server.root().join("data/rag.faiss")
    }

    /// FAISS's own file of what is in the table now.
    pub fn make(&self, path: &Path, how: &str) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        peer([
            "make".to_owned(),
            text(&self.database()),
            text(path),
            self.factory.clone(),
            self.metric.to_owned(),
            how.to_owned(),
        ]);
    }

    pub fn map(&self, form: &str) -> PathBuf {
        let path = self.server.root().join(format!("data/rag.ids.{form}"));
        let database = self.database();
        peer([
            "positions".as_ref(),
            database.as_os_str(),
            path.as_os_str(),
            form.as_ref(),
        ]);
        path
    }

    /// Indices with their maps, as FAISS and numpy read them.
    pub fn pairs(&self, paths: &[&Path]) -> Vec<Value> {
        let database = self.database();
        let words = [Path::new("pairs"), &database]
            .into_iter()
            .chain(paths.iter().copied());
        serde_json::from_str(&peer(words)).unwrap()
    }

    pub fn look(&self) -> Value {
        let text = peer([
            "look",
            self.database().to_str().unwrap(),
            self.index().to_str().unwrap(),
        ]);
        serde_json::from_str(&text).unwrap()
    }

    pub fn clean(&self, line: &str) -> (i32, Value) {
        self.server.json(&format!("rag-clean --now {NOW} {line}"))
    }

    /// The ids of the table.
    pub fn ids(&self) -> Vec<i64> {
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        let mut statement = connection
            .prepare("SELECT id FROM embeddings ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Some embeddings were not used for long.
    pub fn idle(&self, which: &str) {
        sql(
            &self.database(),
            &format!("UPDATE embeddings SET last_accessed = '2025-01-01 00:00:00' WHERE {which}"),
        );
    }

    pub fn require_true(&self) -> Value {
        let found = self.look();
        let ids: Vec<i64> = serde_json::from_value(found["ids"].clone()).unwrap();
        assert_eq!(ids, self.ids());
        found
    }
}

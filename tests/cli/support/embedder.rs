//! A real embedding server, which can be told to fail.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The Python that `./test` has set up.
pub const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python3");

/// The server; it ends with the test.
pub struct Embedder {
    folder: TempDir,
    child: Child,
    pub port: u16,
}

impl Embedder {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(PYTHON)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/cli/support/embedder.py"
            ))
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{PYTHON}: {error}; ./test sets it up"));
        let port = folder.path().join("port");
        while !port.exists() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the embedding server ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let port = fs::read_to_string(port).unwrap().parse().unwrap();
        Self {
            folder,
            child,
            port,
        }
    }

    /// OpenAI's shape.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/embeddings", self.port)
    }

    /// Ollama's.
    pub fn ollama(&self) -> String {
        format!("http://127.0.0.1:{}/api/embed", self.port)
    }

    /// "500", "500 2" for the next two requests, "500 +2" after two good ones; nothing ends it.
    pub fn fails(&self, how: &str) {
        let path = self.folder.path().join("fail");
        match how {
            "" => drop(fs::remove_file(path)),
            how => fs::write(path, how).unwrap(),
        }
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What the application would have: the vector of a text, by a client of its own.
    pub fn vector(&self, text: &str) -> Vec<u8> {
        let asked = json!({"model": "minilm", "input": [text]});
        let answer = ureq::post(&self.ollama())
            .header("content-type", "application/json")
            .send(asked.to_string())
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let numbers = answer["embeddings"][0].as_array().unwrap();
        numbers
            .iter()
            .flat_map(|one| (one.as_f64().unwrap() as f32).to_le_bytes())
            .collect()
    }

    /// Gives every row without a vector that of its chunk, as the application does.
    pub fn fill(&self, database: &Path) {
        let connection = rusqlite::Connection::open(database).unwrap();
        let texts: Vec<(i64, String)> = connection
            .prepare("SELECT e.id, c.text FROM embeddings AS e JOIN chunks AS c ON c.embedding_id = e.id WHERE e.vector IS NULL")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (id, text) in texts {
            let vector = self.vector(&text);
            connection
                .execute(
                    "UPDATE embeddings SET vector = ?1 WHERE id = ?2",
                    (vector, id),
                )
                .unwrap();
        }
    }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! What the demonstration's server is made of.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::faiss::{self, Kind, Map, Metric, Shape};
use crate::sys::Stop;

const DIMENSION: usize = 384;
const EMBEDDINGS: u64 = 8000;
const LONGEST_WRITER: Duration = Duration::from_secs(600);

/// Users, deals, trades, logs, logins, and slow queries that an index would help.
pub fn app(path: &Path) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch(
        "PRAGMA journal_mode=WAL;
         CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, role TEXT, last_login TEXT);
         CREATE TABLE deals (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), title TEXT, amount REAL, created_at TEXT);
         CREATE TABLE trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, price REAL, quantity INTEGER, created_at TEXT);
         CREATE TABLE archived_trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, price REAL, quantity INTEGER, created_at TEXT);
         CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp TEXT, level TEXT, message TEXT);
         CREATE TABLE audit_log (id INTEGER PRIMARY KEY, action_type TEXT, actor TEXT, timestamp TEXT);
         CREATE TABLE login_events (id INTEGER PRIMARY KEY, user_id INTEGER, success INTEGER, ip TEXT, created_at TEXT);
         CREATE TABLE query_logs (id INTEGER PRIMARY KEY, query TEXT, query_time REAL, created_at TEXT);
         CREATE INDEX trades_by_time ON trades (created_at);
         BEGIN;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000)
           INSERT INTO users SELECT n, 'user' || n, iif(n % 500, 'trader', 'admin'), datetime('now', '-' || iif(n % 500, n % 200, 0) || ' days') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60000)
           INSERT INTO deals SELECT n, n % 20000 + 1, 'deal ' || n || ' for a customer of region ' || (n % 12), n * 1.25, datetime('now', '-' || (n % 400) || ' days') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200000)
           INSERT INTO trades SELECT n, n % 60000, substr('AAPLMSFTNVDAGOOG', n % 4 * 4 + 1, 4), abs(random() % 100000) / 100.0, n % 900, datetime('now', '-' || (200000 - n) || ' minutes') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
           INSERT INTO logs SELECT n, datetime('now', '-' || (n % 120) || ' days'), iif(n % 20, 'info', 'error'), 'request ' || n || ' took ' || (n % 300) || ' ms' FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000)
           INSERT INTO login_events SELECT n, n % 300 + 1, n % 40 > 0, '10.0.' || (n % 5) || '.' || (n % 250), datetime('now', '-' || (n % 700) || ' hours') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40)
           INSERT INTO audit_log SELECT n, 'admin', 'user' || ((n % 3 + 1) * 500), datetime('now', '-' || (n * 11) || ' hours') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500)
           INSERT INTO query_logs SELECT n, iif(n % 3, 'SELECT title, amount FROM deals WHERE user_id = ' || n,
             'SELECT symbol, count(*) FROM trades WHERE created_at > datetime(''now'', ''-' || n || ' days'') GROUP BY symbol'),
             n * 7, datetime('now', '-' || n || ' minutes') FROM c;
         COMMIT;",
    )
}

/// A memory, a quarter of whose embeddings were not used for long.
pub fn rag(path: &Path, index: &Path, stop: &Stop) -> anyhow::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL;
         CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT, content_hash TEXT);
         CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT);
         CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
         CREATE INDEX chunks_by_embedding ON chunks (embedding_id);
         BEGIN;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400)
           INSERT INTO documents SELECT n, 'docs/' || n || '.md', hex(randomblob(16)) FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 8000)
           INSERT INTO embeddings SELECT n, NULL, datetime('now', '-' || (n % 120) || ' days') FROM c;
         INSERT INTO chunks SELECT id, id % 400 + 1, id, 'chunk ' || id || ' of a document that somebody will ask about' FROM embeddings;
         UPDATE chunks SET text = text || ': http://9.9.9.9/more' WHERE id = 4000;
         COMMIT;",
    )?;
    let together = connection.transaction()?;
    {
        let mut give = together.prepare("UPDATE embeddings SET vector = ?1 WHERE id = ?2")?;
        vectors(&mut |id, vector| {
            give.execute((vector, id))?;
            Ok(())
        })?;
    }
    together.commit()?;
    // What an application would have written with FAISS.
    let shape = Shape {
        map: Map::Map2,
        kind: Kind::Flat,
        metric: Metric::L2,
        dimension: DIMENSION,
    };
    let file = File::create_new(index)?;
    let all = faiss::Vectors {
        count: EMBEDDINGS,
        rows: &vectors,
        read: &|| Ok(()),
    };
    faiss::write(&file, index, &shape, &all, stop)
}

/// The same numbers each time, with their ids.
fn vectors(each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut state: u32 = 1;
    for id in 1..=EMBEDDINGS {
        let vector: Vec<u8> = (0..DIMENSION)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state as f32 / u32::MAX as f32 - 0.5).to_le_bytes()
            })
            .collect();
        each(id.cast_signed(), &vector)?;
    }
    Ok(())
}

/// Commits a few times a second until killed, or until nobody can still be watching.
pub fn keep_writing(path: &Path) -> anyhow::Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let started = Instant::now();
    while started.elapsed() < LONGEST_WRITER {
        connection.execute(
            "INSERT INTO trades (deal_id, symbol, price, quantity, created_at) VALUES (1, 'AAPL', 1.0, 1, datetime('now'))",
            [],
        )?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

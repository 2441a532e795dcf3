//! `demo`: a small throw-away server in a temporary folder, with a process that keeps writing, and this very program run on it.
//! Touches nothing outside that folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::Globals;
use crate::config::sections::Redis;
use crate::output::{self, Format};
use crate::redis;
use crate::report::Report;
use crate::sys::{files, process};
use crate::units;

const STEP: Duration = Duration::from_secs(300);
const REDIS_STARTS: Duration = Duration::from_secs(10);
const REDIS_KEYS: usize = 2000;
const LONGEST_WRITER: Duration = Duration::from_secs(600);

/// Build a small throw-away server with live databases and run backup, verify and restore on it
#[derive(Args)]
pub struct Arguments {
    /// Keep writing into this database until killed
    #[arg(long, hide = true, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Builds, runs, tells.
pub fn run(arguments: &Arguments, globals: &Globals, report: &mut Report) -> anyhow::Result<()> {
    if let Some(path) = &arguments.write {
        return keep_writing(path);
    }
    let human = globals.style().format == Format::Human;
    let folder = tempfile::Builder::new()
        .prefix("empire-maint-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?
        .keep();
    let server = Server {
        config: folder.join("config.toml"),
        root: folder.join("agentic-empire"),
        folder,
        human,
        color: globals.style().color,
    };
    server.tell(&format!(
        "A small server is being built in {}: an app.db and a rag.db with the plan's tables.\n",
        server.folder.display()
    ));
    server.build()?;
    let writer = server.start_writer()?;
    server.tell("A process writes into app.db from now on, as an application would.\n\n");
    let redis = server.start_redis()?;
    let steps = server.steps(redis.is_some());
    drop((writer, redis));
    let steps = steps?;
    server.tell(&server.what_next());
    // 1 is something worth a look, such as the slow queries that were put there.
    let failed = steps
        .iter()
        .filter(|step| !matches!(step["exit_code"].as_i64(), Some(0 | 1)))
        .count() as u64;
    report.summary = match failed {
        0 => format!(
            "everything worked; the server is in {}",
            server.folder.display()
        ),
        failed => format!("{} failed", units::count(failed, "step")),
    };
    report.data = json!({"folder": server.folder, "steps": steps});
    anyhow::ensure!(failed == 0, "{}", report.summary);
    Ok(())
}

struct Server {
    folder: PathBuf,
    root: PathBuf,
    config: PathBuf,
    human: bool,
    color: output::Color,
}

impl Server {
    fn tell(&self, text: &str) {
        if self.human {
            output::print_text(text);
        }
    }

    fn build(&self) -> anyhow::Result<()> {
        let data = self.root.join("data");
        files::private_directory(&data)?;
        create_app(&data.join("app.db")).context("cannot build app.db")?;
        create_rag(&data.join("rag.db")).context("cannot build rag.db")?;
        let text = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let config = format!(
            "[app]\nroot = {}\n\n[state]\ndir = {}\n\n[[database]]\nname = \"app_db\"\npath = \"data/app.db\"\nexpect_tables = [\"users\", \"deals\", \"trades\"]\nfreshness = {{ trades = \"created_at\" }}\n\n[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n\n[redis]\nurl = {}\n",
            text(&self.root),
            text(&self.folder.join("state")),
            toml::Value::from(self.redis_url()),
        );
        files::write_private(&self.config, config.as_bytes())
    }

    fn redis_url(&self) -> String {
        format!(
            "redis+unix://{}",
            self.folder.join("redis-socket").display()
        )
    }

    /// A Redis on a socket in the folder, with some keys; none where it is not installed.
    fn start_redis(&self) -> anyhow::Result<Option<Running>> {
        let mut command = process::command(Path::new("redis-server"));
        command.args(["--port", "0", "--save", "", "--unixsocket"]);
        command.arg(self.folder.join("redis-socket"));
        command.arg("--dir").arg(&self.folder);
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            self.tell("There is no redis-server on this machine: cache-clean is left out.\n\n");
            return Ok(None);
        };
        let running = Running(child);
        let server = redis::Server::new(&Redis {
            url: self.redis_url(),
            ..Redis::default()
        })?;
        let started = Instant::now();
        let mut link = loop {
            match server.connect(REDIS_STARTS) {
                Ok(link) => break link,
                Err(error) if started.elapsed() > REDIS_STARTS => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        for number in 0..REDIS_KEYS {
            for prefix in ["cache", "session", "rate"] {
                let mut set = ::redis::cmd("SET");
                set.arg(format!("{prefix}:{number}"))
                    .arg("x".repeat(number % 500));
                if prefix == "session" && number % 2 == 0 {
                    set.arg("EX").arg(3600);
                }
                link.ask::<()>(&set)?;
            }
        }
        Ok(Some(running))
    }

    fn start_writer(&self) -> anyhow::Result<Running> {
        let mut command = process::command(&std::env::current_exe()?);
        command
            .arg("demo")
            .arg("--write")
            .arg(self.root.join("data/app.db"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Running(command.spawn().context("cannot start the writer")?))
    }

    fn steps(&self, redis: bool) -> anyhow::Result<Vec<Value>> {
        let copy = self.folder.join("app-restored.db").display().to_string();
        let mut steps: Vec<(&str, Vec<&str>)> = vec![
            (
                "A first backup. Every byte is compressed, written, and read back.",
                vec!["backup"],
            ),
            (
                "A second one. What did not change is copied, after its digest was checked.",
                vec!["backup"],
            ),
            (
                "The catalogue: what there is, how far verified, why it is kept.",
                vec!["backup", "list"],
            ),
            (
                "The proof: everything restored into scratch, checked, compared.",
                vec!["verify-backup"],
            ),
            (
                "A restore to a new path, while the application goes on.",
                vec!["restore", "app_db", "--to", &copy],
            ),
            (
                "The weekly care: sound? Then statistics, indices and free space, where it pays.",
                vec!["optimize-db"],
            ),
            (
                "Logs older than 90 days go, by the plan's own rules, in transactions of a few milliseconds.",
                vec!["data-clean"],
            ),
            (
                "Embeddings that nobody used for 90 days go, with their chunks; what is orphaned or no vector goes too.",
                vec!["rag-clean"],
            ),
            (
                "Is the memory found well, is it still what it was, and what of it should a person look at? One text has a link to a bare address.",
                vec!["rag-eval"],
            ),
            (
                "Is the server well? Here only what a demonstration has: its databases and their backups.",
                vec!["health", "--check", "database,backups"],
            ),
            (
                "What takes the memory of Redis; and out with what the plan's rules say.",
                vec!["cache-clean"],
            ),
            (
                "Who has access, who uses it, and what administrators did.",
                vec!["access-audit"],
            ),
            (
                "Slow queries, why they are slow, and which index would help. Nothing is run, nothing is made.",
                vec!["query-review"],
            ),
            (
                "Is a password where it should not be? A telling name with a literal behind it would be found here.",
                vec!["audit", "--only", "secrets"],
            ),
        ];
        if self.make_certificate()? {
            steps.push((
                "A certificate, which openssl has just made: its life, its names, its key.",
                vec!["certs"],
            ));
        }
        if !redis {
            steps.retain(|(_, arguments)| arguments[0] != "cache-clean");
        }
        steps.push(("What the journal remembers.", vec!["history"]));
        let mut done = Vec::new();
        for (why, arguments) in steps {
            self.tell(&format!("{why}\n$ empire-maint {}\n", arguments.join(" ")));
            done.push(self.step(&arguments)?);
        }
        let rows = |path: &Path| -> anyhow::Result<i64> {
            let connection = Connection::open(path)?;
            Ok(connection.query_row("SELECT count(*) FROM trades", [], |row| row.get(0))?)
        };
        self.tell(&format!(
            "The restored copy has {} trades; the live database has {} by now.\n\n",
            rows(Path::new(&copy))?,
            rows(&self.root.join("data/app.db"))?
        ));
        Ok(done)
    }

    /// A self-signed one at the default path; false where openssl is not there to make it.
    fn make_certificate(&self) -> anyhow::Result<bool> {
        let certs = self.root.join("certs");
        files::private_directory(&certs)?;
        let mut command = process::command(Path::new("openssl"));
        command.current_dir(&certs).args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "90",
            "-subj",
            "/CN=demo.example.test",
            "-addext",
            "subjectAltName=DNS:demo.example.test",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ]);
        Ok(process::run(command, STEP).is_ok_and(|output| output.status.success()))
    }

    fn step(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = process::command(&std::env::current_exe()?);
        command.arg("--config").arg(&self.config);
        if self.human {
            let colour = output::wants_color(self.color);
            command.args(["--color", if colour { "always" } else { "never" }]);
        } else {
            command.arg("--json");
        }
        command.args(arguments);
        let output = process::run(command, STEP)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        self.tell(&format!("{text}{error}\n"));
        Ok(json!({
            "arguments": arguments,
            "exit_code": output.status.code(),
            "report": serde_json::from_str::<Value>(&text).unwrap_or(Value::Null),
        }))
    }

    fn what_next(&self) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| "empire-maint".into());
        let on_it = format!("{} -c {}", program.display(), self.config.display());
        format!(
            "Try next (the database that is replaced is kept; the third prints a configuration for a real server):\n  \
             {on_it} restore app_db --force\n  \
             {on_it} backup --json | less\n  \
             {} config init\n\
             Throw it away with: rm -r {}\n",
            program.display(),
            self.folder.display()
        )
    }
}

/// A process that ends with the demo.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn create_app(path: &Path) -> rusqlite::Result<()> {
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

fn create_rag(path: &Path) -> rusqlite::Result<()> {
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
        let mut state: u32 = 1;
        for id in 1..=8000 {
            let vector: Vec<u8> = (0..384)
                .flat_map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state as f32 / u32::MAX as f32 - 0.5).to_le_bytes()
                })
                .collect();
            give.execute((vector, id))?;
        }
    }
    together.commit()
}

/// Commits a few times a second until killed, or until nobody can still be watching.
fn keep_writing(path: &Path) -> anyhow::Result<()> {
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

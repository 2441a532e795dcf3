//! `demo`: a small throw-away server in a temporary folder, with a process that keeps writing, and this very program run on it.
//! Touches nothing outside that folder.

mod build;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::Globals;
use crate::config::sections::Redis;
use crate::error::usage;
use crate::output::{self, Format};
use crate::redis;
use crate::report::Report;
use crate::sys::{Stop, files, process};
use crate::units;

const STEP: Duration = Duration::from_secs(300);
const REDIS_STARTS: Duration = Duration::from_secs(10);
const REDIS_KEYS: usize = 2000;

/// Build a small throw-away server with live databases and run backup, verify and restore on it
#[derive(Args)]
pub struct Arguments {
    /// Keep writing into this database until killed
    #[arg(long, hide = true, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Builds, runs, tells. Interrupted, it takes its processes and its folder along.
pub fn run(
    arguments: &Arguments,
    globals: &Globals,
    stop: &Stop,
    report: &mut Report,
) -> anyhow::Result<()> {
    if let Some(path) = &arguments.write {
        return build::keep_writing(path);
    }
    if globals.dry_run {
        return Err(usage(
            "demo has no dry run: all that it does is in a temporary folder of its own",
        )
        .hint("empire-maint demo")
        .into());
    }
    stop.listen().context("cannot listen for signals")?;
    let human = globals.style().format == Format::Human;
    let temporary = tempfile::Builder::new()
        .prefix("empire-maint-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let folder = temporary.path().to_owned();
    let server = Server {
        config: folder.join("config.toml"),
        root: folder.join("agentic-empire"),
        folder,
        human,
        color: globals.style().color,
        stop: stop.clone(),
    };
    server.tell(&format!(
        "A small server is being built in {}: an app.db and a rag.db with the plan's tables, and a FAISS index.\n",
        server.folder.display()
    ));
    server.build()?;
    let writer = server.start_writer()?;
    server.tell("A process writes into app.db from now on, as an application would.\n\n");
    let redis = server.start_redis()?;
    let steps = server.steps(redis.is_some());
    drop((writer, redis));
    let steps = steps?;
    let _ = temporary.keep();
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
    report.data = json!({"folder": server.folder.display().to_string(), "steps": steps});
    anyhow::ensure!(failed == 0, "{}", report.summary);
    Ok(())
}

struct Server {
    folder: PathBuf,
    root: PathBuf,
    config: PathBuf,
    human: bool,
    color: output::Color,
    stop: Stop,
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
        build::app(&data.join("app.db")).context("cannot build app.db")?;
        self.stop.check()?;
        build::rag(
            &data.join("rag.db"),
            &data.join("rag.faiss"),
            &self.stop.with_limit(STEP),
        )
        .context("cannot build rag.db and its index")?;
        let text = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let config = format!(
            "[app]\nroot = {}\n\n[state]\ndir = {}\n\n[[database]]\nname = \"app_db\"\npath = \"data/app.db\"\nexpect_tables = [\"users\", \"deals\", \"trades\"]\nfreshness = {{ trades = \"created_at\" }}\n\n[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n\n[[rag.index]]\npath = \"data/rag.faiss\"\n\n[redis]\nurl = {}\n",
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
        let mut command = process::from_list_tied(
            &["redis-server", "--port", "0", "--save", "", "--unixsocket"].map(str::to_owned),
        )?;
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
            self.stop.check()?;
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
        let program = std::env::current_exe()?.display().to_string();
        let mut command = process::from_list_tied(&[program, "demo".to_owned()])?;
        command
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
                "Embeddings that nobody used for 90 days go, with their chunks; what is orphaned or no vector goes too, and the FAISS index is built anew without them.",
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
        Ok(process::run(command, STEP, &self.stop).is_ok_and(|output| output.status.success()))
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
        let output = process::run(command, STEP, &self.stop)?;
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

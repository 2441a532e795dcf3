//! A throw-away server: an application root with live databases, a configuration, a state folder, and the real binary on it.

#![allow(dead_code)]

pub mod broken;
pub mod embedder;
pub mod faults;
pub mod gpus;
pub mod http;
pub mod keys;
pub mod memory;
pub mod peers;
pub mod pki;
pub mod registry;
pub mod services;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_empire-maint");

/// One server in a folder that goes away with it.
pub struct Server {
    folder: TempDir,
    extra: String,
}

impl Server {
    /// A root with `data/app.db` (the plan's tables, WAL, 500 users) and a configuration that names it.
    pub fn new() -> Self {
        let server = Self::empty();
        fill(&server.database(), 500);
        server
    }

    /// The same without the database.
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("em-test-")
            .tempdir()
            .unwrap();
        fs::create_dir_all(folder.path().join("root/data")).unwrap();
        fs::create_dir_all(folder.path().join("etc")).unwrap();
        let server = Self {
            folder,
            extra: String::new(),
        };
        server.write_config();
        server
    }

    /// Adds lines to the configuration, behind the ones that every test has.
    pub fn config(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self.write_config();
        self
    }

    /// Adds lines to `[app]`; after [`Server::config`], which writes the file anew.
    pub fn app(self, lines: &str) -> Self {
        let text = fs::read_to_string(self.config_path()).unwrap();
        self.raw_config(&text.replacen("[app]\n", &format!("[app]\n{lines}\n"), 1))
    }

    /// Replaces the configuration whole.
    pub fn raw_config(self, text: &str) -> Self {
        fs::write(self.config_path(), text).unwrap();
        self
    }

    fn write_config(&self) {
        let text = format!(
            "[app]\nroot = {:?}\n[state]\ndir = {:?}\n[schedule]\ntimezone = \"UTC\"\n[[database]]\nname = \"app_db\"\npath = \"data/app.db\"\nexpect_tables = [\"users\"]\n{}",
            self.root(),
            self.state(),
            self.extra
        );
        fs::write(self.config_path(), text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub fn database(&self) -> PathBuf {
        self.root().join("data/app.db")
    }

    pub fn backups(&self) -> PathBuf {
        self.root().join("backups")
    }

    pub fn config_path(&self) -> PathBuf {
        self.path().join("etc/config.toml")
    }

    /// The binary with this server's configuration, in cron's environment: nothing inherited, no terminal, closed input.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("STATE_DIRECTORY", self.state())
            .env("RUNTIME_DIRECTORY", self.path().join("run"))
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .arg("--config")
            .arg(self.config_path());
        command.args(arguments);
        command
    }

    /// Gives root and state to another user, as on a server whose application has one of its own. Only root can: false otherwise.
    pub fn give_to(&self, user: u32) -> bool {
        fs::copy(BINARY, self.path().join("empire-maint")).unwrap();
        fs::create_dir_all(self.state()).unwrap();
        let readable = Command::new("chmod")
            .args(["-R", "go+rX"])
            .arg(self.path())
            .status();
        assert!(readable.unwrap().success());
        let owner = format!("{user}:{user}");
        let given = Command::new("chown")
            .args(["-R", &owner])
            .args([self.root(), self.state()])
            .stderr(std::process::Stdio::null())
            .status();
        given.unwrap().success()
    }

    /// The same command as another user, after [`Server::give_to`].
    pub fn command_as<S: AsRef<OsStr>>(
        &self,
        user: u32,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("setpriv");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args(["--clear-groups", "--"])
            .arg(self.path().join("empire-maint"))
            .arg("--config")
            .arg(self.config_path())
            .args(arguments);
        command
    }

    /// The manifest of a backup.
    pub fn manifest(&self, backup: &Path) -> Value {
        serde_json::from_slice(&fs::read(beside(backup, ".json")).unwrap()).unwrap()
    }

    /// Runs a command line; words are split at blanks.
    pub fn run(&self, line: &str) -> Ran {
        self.run_args(line.split_whitespace())
    }

    pub fn run_args<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs with `--json` and takes the report.
    pub fn json(&self, line: &str) -> (i32, Value) {
        let ran = self.run(&format!("{line} --json"));
        (ran.code, ran.json())
    }

    /// The data files of all backups of a series, oldest first by name.
    pub fn list(&self, series: &str) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(self.backups())
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        found.retain(|path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&format!("{series}_")) && name.ends_with(".gz")
        });
        found.sort();
        found
    }

    /// Everything under the server's folder with its content's digest: to show that nothing changed.
    pub fn fingerprint(&self, below: &Path) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders = vec![below.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let what = if meta.is_dir() {
                    folders.push(path.clone());
                    "folder".to_owned()
                } else if meta.is_symlink() {
                    format!("link to {:?}", fs::read_link(&path).unwrap())
                } else {
                    blake3::hash(&fs::read(&path).unwrap()).to_string()
                };
                found.push((path, what));
            }
        }
        found.sort();
        found
    }
}

/// A run that stands still before one of its file operations, until it is let go on. Killed where the test forgets it.
pub struct Paused {
    child: Option<Child>,
    _trash: TempDir,
}

impl Paused {
    /// Starts `command` and waits until it stands before the first `op` on a path in `folder` that ends with `end`.
    pub fn before(op: &str, end: &str, folder: &Path, command: &mut Command) -> Self {
        let trash = tempfile::tempdir().unwrap();
        let faults = faults::Faults::new([folder], trash.path());
        faults.pause(command, op, end);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut paused = Self {
            child: Some(child),
            _trash: trash,
        };
        while state(paused.id()) != 'T' {
            let child = paused.child.as_mut().unwrap();
            let ended = child.try_wait().unwrap();
            if ended.is_some() {
                let output = paused.child.take().unwrap().wait_with_output();
                panic!("it ended before {op} {end}: {output:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        paused
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Lets it go on and waits for its end.
    pub fn resume(mut self) -> Ran {
        self.signal(Signal::CONT);
        Ran::from(self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Sends a signal to a process.
pub fn send(id: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// `R`, `S`, `T`…, as the kernel has it.
pub fn state(id: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, behind_name) = stat.rsplit_once(") ").unwrap();
    behind_name.chars().next().unwrap()
}

/// What a run printed and ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// The one JSON object on standard output, whose exit code is the process's.
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not one JSON object ({error}): {self:?}"));
        assert_eq!(value["exit_code"], self.code, "{self:?}");
        value
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The ids of a report's findings that are about `subject`, or all for an empty one.
pub fn finding_ids(report: &Value, subject: &str) -> Vec<String> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| subject.is_empty() || finding["subject"] == subject)
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The finding with that id, of which there must be one.
pub fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let mut found = findings.iter().filter(|finding| finding["id"] == id);
    match (found.next(), found.next()) {
        (Some(finding), None) => finding,
        _ => panic!("not one {id} in {report:#}"),
    }
}

/// What a report's actions are and were: kind, target, outcome.
pub fn actions(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| {
            (
                text(&action["kind"]),
                text(&action["target"]),
                text(&action["outcome"]),
            )
        })
        .collect()
}

/// Runs some SQL in a connection of its own.
pub fn sql(path: &Path, statements: &str) {
    Connection::open(path)
        .unwrap()
        .execute_batch(statements)
        .unwrap();
}

/// `gzip`, as an operator or an old script would.
pub fn gzip(plain: &[u8], to: &Path) {
    let child = Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(fs::File::create(to).unwrap())
        .spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), plain).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The plan's tables with so many users, in WAL mode.
pub fn fill(path: &Path, users: u32) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
             CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, last_login TEXT);
             CREATE TABLE deals (id INTEGER PRIMARY KEY, title TEXT);
             CREATE TABLE trades (id INTEGER PRIMARY KEY, created_at TEXT);
             CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
             CREATE TABLE counter (n INTEGER NOT NULL);
             INSERT INTO counter VALUES (0);
             WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)
               INSERT INTO accounts SELECT n, 1000 FROM c;",
        )
        .unwrap();
    connection
        .execute(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
             INSERT INTO users SELECT n, 'user' || n || hex(randomblob(50)), '2026-11-24 03:00:00' FROM c",
            [users],
        )
        .unwrap();
}

/// One number out of a database that nobody else uses.
pub fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path)
        .unwrap()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

/// Rows of `users`.
pub fn users(path: &Path) -> i64 {
    number(path, "SELECT count(*) FROM users")
}

/// The sum that every transfer keeps.
pub const BALANCE: i64 = 100 * 1000;

/// Writers that move money between accounts and count their commits, until dropped.
pub struct Writers {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(path: &Path, number: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let threads = (0..number)
            .map(|seed| {
                let (path, stop, committed) = (path.to_owned(), stop.clone(), committed.clone());
                std::thread::spawn(move || {
                    let connection = Connection::open(path).unwrap();
                    connection.busy_timeout(Duration::from_secs(60)).unwrap();
                    connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
                    let mut state = seed * 7919 + 1;
                    while !stop.load(Ordering::Relaxed) {
                        state = state
                            .wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                        let (from, to) = ((state >> 33) % 100 + 1, (state >> 43) % 100 + 1);
                        connection
                            .execute_batch(&format!(
                                "BEGIN IMMEDIATE;
                                 UPDATE accounts SET balance = balance - 7 WHERE id = {from};
                                 UPDATE accounts SET balance = balance + 7 WHERE id = {to};
                                 UPDATE counter SET n = n + 1;
                                 COMMIT;"
                            ))
                            .unwrap();
                        committed.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self {
            stop,
            committed,
            threads,
        }
    }

    /// Commits so far, at least.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Inflates as an operator would without this program: `zcat`.
pub fn zcat(gz: &Path, to: &Path) {
    let output = Command::new("zcat").arg(gz).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(to, output.stdout).unwrap();
}

/// `name` with something behind it.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Every step of a run of `rag-clean` did what the dry run before it said.
pub fn require_as_planned(dry: &Value, real: &Value) {
    let [planned, done] = [dry, real].map(|report| report["data"]["steps"].as_array().unwrap());
    assert_eq!(planned.len(), done.len());
    for (planned, done) in planned.iter().zip(done) {
        assert_eq!(planned["chosen"], done["done"], "{planned} {done}");
        assert_eq!(planned["others"], done["others"], "{planned} {done}");
    }
}

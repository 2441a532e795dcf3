//! `restore` over a live database: what is kept, who is in the way, and what happens when the new one does not pass.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rusqlite::Connection;

use crate::support::{Paused, Server, actions, beside, finding, number, sql, users};

/// A backup of 500 users under a database that has 600 by now, one of them only in the log.
pub fn server() -> Server {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    sql(
        &server.database(),
        "WITH RECURSIVE c(n) AS (SELECT 501 UNION ALL SELECT n + 1 FROM c WHERE n < 600)
         INSERT INTO users (username) SELECT 'later' || n FROM c",
    );
    server
}

/// The databases that were set aside, without their side files.
pub fn kept(server: &Server) -> Vec<PathBuf> {
    let folder = server.root().join("data");
    let entries = fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| {
        let name = path.to_string_lossy().into_owned();
        name.contains(".before-restore-") && name.ends_with('Z')
    });
    found.sort();
    found
}

pub fn names(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.root().join("data")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_old_one_is_kept_whole_and_owner_mode_and_log_are_put_back() {
    let server = server();
    let database = server.database();
    // The backup is of a time before somebody switched to WAL.
    sql(&database, "PRAGMA journal_mode=DELETE");
    server.run("backup --database app_db").expect(0);
    sql(&database, "PRAGMA journal_mode=WAL");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o664)).unwrap();
    let owner = match std::os::unix::fs::chown(&database, Some(4711), Some(4713)) {
        Ok(()) => (4711, 4713),
        Err(_) => {
            let meta = fs::metadata(&database).unwrap();
            (meta.uid(), meta.gid())
        }
    };
    // A process died and left a log that holds a row.
    let open = Connection::open(&database).unwrap();
    open.execute_batch(
        "PRAGMA wal_autocheckpoint=0; INSERT INTO users (username) VALUES ('in the log')",
    )
    .unwrap();
    let log = fs::read(beside(&database, "-wal")).unwrap();
    let main = fs::read(&database).unwrap();
    drop(open);
    fs::write(&database, main).unwrap();
    fs::write(beside(&database, "-wal"), log).unwrap();

    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 0, "{report:#}");
    let [old] = kept(&server).try_into().unwrap();
    assert_eq!(report["data"]["kept"], old.to_str().unwrap());
    let meta = fs::metadata(&database).unwrap();
    assert_eq!((meta.uid(), meta.gid()), owner);
    assert_eq!(meta.mode() & 0o7777, 0o664);
    assert_eq!(
        names(&server).len(),
        2,
        "no side files: {:?}",
        names(&server)
    );
    let mode: String = Connection::open(&database)
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(users(&old), 601, "what was in the log is in what is kept");
    assert_eq!(users(&database), 600);
    // Again, and again: each one is kept.
    let now = "--now 2046-11-24T03:00:00Z";
    server
        .run(&format!("restore app_db --force {now}"))
        .expect(0);
    server
        .run(&format!("restore app_db --force {now}"))
        .expect(0);
    assert_eq!(kept(&server).len(), 3);
}

#[test]
fn what_cannot_even_be_opened_is_kept_with_its_side_files() {
    for content in [&b""[..], b"not a database at all", &[0; 8192]] {
        let server = server();
        let database = server.database();
        fs::write(&database, content).unwrap();
        fs::write(beside(&database, "-wal"), "a log").unwrap();
        fs::write(beside(&database, "-journal"), "a journal").unwrap();
        server.run("restore app_db --force").expect(0);
        assert_eq!(users(&database), 500);
        let [old] = kept(&server).try_into().unwrap();
        assert_eq!(fs::read(&old).unwrap(), content);
        assert_eq!(fs::read(beside(&old, "-wal")).unwrap(), b"a log");
        assert_eq!(fs::read(beside(&old, "-journal")).unwrap(), b"a journal");
    }
}

/// A real process that has the database open: the SQLite shell.
struct Shell {
    child: Child,
    input: ChildStdin,
    _output: BufReader<ChildStdout>,
}

impl Shell {
    fn on(path: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-interactive"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "SELECT 'ready ' || count(*) FROM users;").unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready 6") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the shell ended");
        }
        Self {
            child,
            input,
            _output: output,
        }
    }

    fn end(mut self) {
        let _ = writeln!(self.input, ".quit");
        self.child.wait().unwrap();
    }
}

#[test]
fn a_database_that_another_process_has_open_is_refused_and_the_process_named() {
    let server = server();
    let database = server.database();
    let shell = Shell::on(&database);
    let before = fs::read(&database).unwrap();
    let said = format!("sqlite3 (pid {})", shell.child.id());
    // SQLite's own lock says no, whatever we are told; a dry run knows it too.
    for line in [
        "restore app_db --force",
        "restore app_db --force --allow-open",
        "restore app_db --force --dry-run",
        "restore app_db --force --allow-open --dry-run",
    ] {
        let ran = server.run(line);
        assert_eq!(ran.code, 3, "{line}: {ran:?}");
        assert!(ran.err.contains(&said), "{line}: {ran:?}");
        let why = "SQLite's own lock is on it, which --allow-open does not lift";
        let allowed = line.contains("--allow-open");
        assert_eq!(ran.err.contains(why), allowed, "{line}: {ran:?}");
        assert!(kept(&server).is_empty(), "{line}");
        assert!(names(&server).iter().all(|name| !name.contains(".restore")));
    }
    assert_eq!(fs::read(&database).unwrap(), before);
    shell.end();
    server.run("restore app_db --force").expect(0);
    assert_eq!(users(&database), 500);
}

/// Of one that SQLite cannot read no lock is asked for: the application may hold what is left of it.
#[test]
fn a_damaged_one_that_is_open_is_replaced_where_that_is_allowed() {
    let server = server();
    let shell = Shell::on(&server.database());
    let file = fs::OpenOptions::new().write(true).open(server.database());
    file.unwrap().write_all_at(&[0x5a; 4096], 0).unwrap();
    let (code, report) = server.json("restore app_db --force --allow-open --dry-run");
    assert_eq!(code, 0, "{report:#}");
    let (code, report) = server.json("restore app_db --force --allow-open");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "restore.still-open");
    assert_eq!(users(&server.database()), 500);
    shell.end();
}

/// A process that has it open without SQLite's locks: a copy that runs, a pager. Only the operator knows that it does no harm.
#[test]
fn who_holds_no_lock_is_refused_until_it_is_allowed() {
    let server = server();
    let mut reader = Command::new("sleep")
        .arg("600")
        .stdin(fs::File::open(server.database()).unwrap())
        .spawn()
        .unwrap();
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 3, "{report:#}");
    let said = report["failure"].to_string();
    let named = format!("sleep (pid {})", reader.id());
    assert!(said.contains(&named), "{said}");
    assert_eq!(actions(&report), [], "before the backup is even read");
    assert_eq!(users(&server.database()), 600);
    let (code, report) = server.json("restore app_db --force --allow-open");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(users(&server.database()), 500);
    let open = finding(&report, "restore.still-open");
    assert!(open["message"].to_string().contains(&named), "{open}");
    reader.kill().unwrap();
    reader.wait().unwrap();
}

/// A second name goes on to be the old database, and whoever opens that one should be told.
#[test]
fn another_name_of_the_file_that_was_replaced_is_told() {
    let server = server();
    let other = server.path().join("other name.db"); // outside of the application's root
    fs::hard_link(server.database(), &other).unwrap();
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!((users(&server.database()), users(&other)), (500, 600));
    let told = finding(&report, "restore.other-names");
    let hint = told["hint"].as_str().unwrap();
    let command = hint.strip_prefix("find ").unwrap();
    let (top, rest) = command.split_once(' ').unwrap();
    assert!(other.starts_with(top), "{hint}");
    // The whole file system is large.
    let found = Command::new("sh")
        .args(["-c", &format!("find '{}' {rest}", server.path().display())])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains("other name.db"), "{hint}: {found}");
    fs::remove_file(&other).unwrap();
    let (code, _) = server.json("restore app_db --force");
    assert_eq!(code, 0);
}

fn mode(database: &Path) -> String {
    let connection = Connection::open(database).unwrap();
    connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap()
}

/// The new one is looked at once more under its name. A disk that lost some of it must not leave it there.
#[test]
fn what_does_not_pass_after_the_swap_is_taken_out_and_the_old_one_put_back() {
    let server = server();
    let database = server.database();
    let mut command = server.command(["restore", "app_db", "--force", "--json"]);
    let folder = server.root().join("data");
    let paused = Paused::before("rename", ".app.db.restore.part", &folder, &mut command);
    let part = fs::OpenOptions::new()
        .write(true)
        .open(folder.join(".app.db.restore.part"))
        .unwrap();
    part.write_all_at(&[0xff; 8192], 8192).unwrap();
    // Whoever has it open would go on to write into a file without a name.
    let ran = paused.resume();
    assert_eq!(ran.code, 2, "{ran:?}");
    let said = ran.json()["failure"].to_string();
    assert!(said.contains("it was left in place"), "{said}");
    drop(part);
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 2, "{report:#}");
    let said = report["failure"].to_string();
    assert!(said.contains("the old one is back in place"), "{said}");
    assert_eq!(users(&database), 600);
    assert_eq!(mode(&database), "wal");
    assert!(kept(&server).is_empty());
    assert!(names(&server).iter().all(|name| !name.contains("restore")));
}

/// Nothing goes that somebody was told is stored: until the new one has passed nobody gets in, and then it stays.
#[test]
fn an_application_that_is_back_at_once_loses_nothing() {
    let server = server();
    let database = server.database();
    let before = fs::metadata(&database).unwrap().ino();
    let application = std::thread::spawn({
        let database = database.clone();
        move || {
            while fs::metadata(&database).unwrap().ino() == before {
                std::thread::yield_now();
            }
            let connection = Connection::open(&database).unwrap();
            connection
                .busy_timeout(std::time::Duration::from_secs(20))
                .unwrap();
            for at in 0..200 {
                connection
                    .execute("INSERT INTO users (username) VALUES ('new' || ?1)", [at])
                    .unwrap();
            }
        }
    });
    let ran = server.run("restore app_db --force --json");
    application.join().unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(users(&database), 700);
    assert!(names(&server).iter().all(|name| !name.ends_with(".json")));
}

#[test]
fn a_rerun_leaves_what_an_application_works_with_by_now() {
    for locking in ["normal", "exclusive"] {
        let server = server();
        let folder = server.root().join("data");
        let line = ["restore", "app_db", "--force", "--json"];
        let mut command = server.command(line);
        drop(Paused::before(
            "unlink",
            ".app.db.restore.json",
            &folder,
            &mut command,
        ));
        let application = Connection::open(server.database()).unwrap();
        application
            .execute_batch(&format!(
                "PRAGMA locking_mode={locking}; INSERT INTO users (username) VALUES ('new')"
            ))
            .unwrap();
        let (code, report) = server.json("restore app_db --force");
        assert_eq!(code, 1, "{locking}: {report:#}"); // the killed run is told
        application
            .execute_batch("INSERT INTO users (username) VALUES ('newer')")
            .unwrap();
        drop(application);
        assert_eq!(users(&server.database()), 502, "{locking}");
        assert!(names(&server).iter().all(|name| !name.ends_with(".json")));
    }
}

/// Modes that leave a journal without content beside the database.
#[test]
fn a_journal_that_is_always_there_is_in_nobody_s_way() {
    for mode in ["TRUNCATE", "PERSIST"] {
        let server = server();
        let database = server.database();
        sql(
            &database,
            &format!(
                "PRAGMA journal_mode=DELETE; PRAGMA journal_mode={mode}; INSERT INTO users (username) VALUES ('one')"
            ),
        );
        assert!(beside(&database, "-journal").exists());
        let (code, report) = server.json("restore app_db --force");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(users(&database), 500);
        let [old] = kept(&server).try_into().unwrap();
        assert_eq!(users(&old), 601);
    }
}

/// Data that a rule of its schema would not take any more is data.
#[test]
fn rows_that_break_a_rule_come_back() {
    for rows in [1, 250] {
        let server = Server::new();
        let database = server.database();
        sql(
            &database,
            &format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a);
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) INSERT INTO t SELECT n, NULL FROM c;
                 PRAGMA writable_schema=ON;
                 UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL)' WHERE name = 't'"
            ),
        );
        let (code, report) = server.json("backup --database app_db");
        assert_eq!(code, 1, "{report:#}");
        let found = finding(&report, "backup.constraints");
        assert_eq!(found["value"], f64::from(rows), "{found}");
        server.run("verify-backup app_db").expect(0);
        server.run("restore app_db --force").expect(0);
        assert_eq!(number(&database, "SELECT count(*) FROM t"), i64::from(rows));
    }
}

#[test]
fn a_row_that_breaks_a_check_comes_back() {
    let server = Server::new();
    let database = server.database();
    sql(
        &database,
        "CREATE TABLE prices (id INTEGER PRIMARY KEY, price); INSERT INTO prices VALUES (1, -5);
         PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE prices (id INTEGER PRIMARY KEY, price CHECK (price > 0))' WHERE name = 'prices'",
    );
    server.run("backup --database app_db").expect(0);
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(number(&database, "SELECT price FROM prices"), -5);
}

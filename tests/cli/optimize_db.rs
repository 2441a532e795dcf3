//! `optimize-db` on live databases: sound ones become small while their writers write, and nothing else ever changes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::faults::{Faults, Kind, points};
use crate::support::{
    BALANCE, Paused, Ran, Server, Writers, actions, beside, fill, finding, number, sql,
};

const MIB: u64 = 1 << 20;
/// `counter` has neither INTEGER PRIMARY KEY nor index; nobody keeps its rowid. The limit is for machines that are busy with more.
const ANYWAY: &str = "[optimize]\nvacuum_anyway = [\"app_db\"]\nmax_lock = \"10m\"";

/// A table that keeps 3 MiB and has given 72 MiB back, and one whose rowids somebody may rely on.
fn bloat(path: &Path) {
    sql(
        path,
        "PRAGMA synchronous=OFF;
         CREATE TABLE \"old 'blobs\"(id INTEGER PRIMARY KEY, body BLOB);
         CREATE TABLE kept(name TEXT UNIQUE);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 75)
           INSERT INTO \"old 'blobs\" SELECT n, zeroblob(1048576) FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 900)
           INSERT INTO kept SELECT 'name ' || n FROM c;
         DELETE FROM kept WHERE rowid % 3 = 0;
         DELETE FROM \"old 'blobs\" WHERE id > 3;
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
}

fn bloated(lines: &str) -> Server {
    let server = Server::new().config(lines);
    bloat(&server.database());
    server
}

/// What must be the same whatever happened: rows and rowids of what nobody writes.
fn content(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let text = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    vec![
        text("SELECT group_concat(rowid || name) FROM kept"),
        text("SELECT group_concat(id || username || last_login) FROM users"),
        text("SELECT count(*) || ' ' || sum(id * length(body)) FROM \"old 'blobs\""),
        text("SELECT CAST(sum(balance) AS TEXT) FROM accounts"),
    ]
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn database<'a>(report: &'a Value, name: &str) -> &'a Value {
    let databases = report["data"]["databases"].as_array().unwrap();
    let found = databases.iter().find(|one| one["database"] == name);
    found.unwrap_or_else(|| panic!("{report:#}"))
}

/// The kinds of all actions, each with its outcome.
fn kinds(report: &Value) -> Vec<(String, String)> {
    let actions = actions(report).into_iter();
    actions.map(|(kind, _, outcome)| (kind, outcome)).collect()
}

fn done(kinds_of: &[&str]) -> Vec<(String, String)> {
    let done = |kind: &&str| ((*kind).to_owned(), "done".to_owned());
    kinds_of.iter().map(done).collect()
}

#[test]
fn a_database_becomes_small_while_its_writers_write() {
    let server = bloated(ANYWAY);
    let path = server.database();
    server.run("backup").expect(0);
    let before = content(&path);
    assert!(size(&path) > 75 * MIB);
    let writers = Writers::start(&path, 4);
    while writers.committed() < 20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (code, report) = server.json("optimize-db");
    let committed = writers.committed();
    while writers.committed() < committed + 20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(writers);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["vacuum", "analyze", "checkpoint"]));
    assert_eq!(content(&path), before);
    assert_eq!(number(&path, "SELECT sum(balance) FROM accounts"), BALANCE);
    assert!(number(&path, "SELECT n FROM counter") >= i64::try_from(committed).unwrap());
    assert!(size(&path) < 6 * MIB, "{}", size(&path));

    let one = database(&report, "app_db");
    assert_eq!(one["sound"], true);
    let figure = |state: &str, key: &str| one[state][key].as_f64().unwrap();
    assert!(figure("before", "free_percent") > 90.0 && figure("after", "free_percent") < 10.0);
    assert!(figure("before", "query_ms") > 0.0 && figure("after", "query_ms") > 0.0);
    assert!(one["longest_lock_ms"].as_u64().unwrap() > 0);
    let trees = one["before"]["layout"]["trees"].as_array().unwrap();
    let blobs = trees
        .iter()
        .find(|tree| tree["name"] == "old 'blobs")
        .unwrap();
    assert!(blobs["pages"].as_u64().unwrap() > 700);
    let index = trees.iter().find(|tree| tree["index"] == true).unwrap();
    assert_eq!(index["table"], "kept");
    let vacuum = &report["actions"][0]["reason"].as_str().unwrap();
    assert!(
        vacuum.contains("frees 7") && vacuum.contains("limit 10 m"),
        "{vacuum}"
    );
    assert!(number(&path, "SELECT count(*) FROM sqlite_stat1") > 0);

    // All is done: the next run finds nothing to do.
    let (code, report) = server.json("optimize-db");
    assert_eq!((code, kinds(&report).len()), (0, 0), "{report:#}");
    assert_eq!(database(&report, "app_db")["after"], Value::Null);
}

#[test]
fn a_damaged_database_is_left_alone_and_the_others_are_not() {
    let server = bloated("[[database]]\nname = \"other\"\npath = \"data/other.db\"");
    let path = server.database();
    sql(
        &server.root().join("data/other.db"),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE); INSERT INTO t(x) VALUES (1), (2)",
    );
    server.run("backup").expect(0);
    // An index entry that leads nowhere: the snippet's VACUUM would have rewritten the whole file over it.
    let page = number(
        &path,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_kept_1'",
    );
    let leaf = number(
        &path,
        "SELECT min(pageno) FROM dbstat WHERE name = 'sqlite_autoindex_kept_1' AND pagetype = 'leaf'",
    );
    assert!(page > 1 && leaf > 1);
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(leaf).unwrap() * 4096 - 3;
    bytes[at] ^= 0x15;
    fs::write(&path, &bytes).unwrap();
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "optimize.corrupt");
    assert_eq!(
        (&found["severity"], &found["subject"]),
        (&"critical".into(), &"app_db".into())
    );
    assert!(
        found["message"].as_str().unwrap().contains("kept"),
        "{found}"
    );
    assert!(
        found["hint"].as_str().unwrap().contains("backup list"),
        "{found}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(
        actions(&report)
            .iter()
            .all(|(_, target, _)| target.contains("other.db"))
    );
    assert_eq!(kinds(&report), done(&["analyze"]));
    assert_eq!(database(&report, "app_db")["sound"], false);
}

#[test]
fn rows_without_their_parent_stop_it() {
    let server = bloated(ANYWAY);
    let path = server.database();
    sql(
        &path,
        "PRAGMA foreign_keys=OFF;
         CREATE TABLE child(id INTEGER PRIMARY KEY, user INTEGER REFERENCES users(id));
         INSERT INTO child(user) VALUES (1), (100000), (100001);
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
    server.run("backup").expect(1);
    let before = fs::read(&path).unwrap();
    let (code, report) = server.json("optimize-db");
    assert_eq!((code, kinds(&report).len()), (2, 0), "{report:#}");
    let found = finding(&report, "optimize.foreign-keys");
    assert_eq!(
        (&found["severity"], &found["value"]),
        (&"critical".into(), &2.0.into())
    );
    assert!(fs::read(&path).unwrap() == before);
    sql(
        &path,
        "PRAGMA foreign_keys=OFF; DELETE FROM child WHERE user > 100000",
    );
    let (_, report) = server.json("optimize-db");
    let message = finding(&report, "optimize.foreign-keys")["message"].to_string();
    assert!(
        message.contains("1 row of app_db points to a parent"),
        "{message}"
    );
}

/// A hint is pasted into a shell, whatever the folder is called.
#[test]
fn a_hint_about_a_path_with_an_apostrophe_runs_as_it_is() {
    let server = Server::new();
    fs::create_dir(server.root().join("it's")).unwrap();
    let path = server.root().join("it's/app.db");
    fs::rename(server.database(), &path).unwrap();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("data/app.db", "it's/app.db"));
    sql(
        &path,
        "PRAGMA foreign_keys=OFF;
         CREATE TABLE child(id INTEGER PRIMARY KEY, user INTEGER REFERENCES users(id));
         INSERT INTO child(user) VALUES (100000);",
    );
    let pasted = |report: &Value, id: &str| {
        let hint = finding(report, id)["hint"].as_str().unwrap().to_owned();
        let output = Command::new("sh").args(["-c", &hint]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), hint)
    };
    let (_, report) = server.json("backup");
    let (said, hint) = pasted(&report, "backup.foreign-keys");
    assert_eq!(said, "child|1|users|0\n", "{hint}");
    let (_, report) = server.json("optimize-db");
    let (said, hint) = pasted(&report, "optimize.foreign-keys");
    assert_eq!(said, "child|1|users|0\n", "{hint}");
    fs::write(&path, "this is no database, and is long enough for one").unwrap();
    let (_, report) = server.json("query-review");
    let hint = finding(&report, "database.unreadable")["hint"]
        .as_str()
        .unwrap();
    assert!(hint.contains(r"/it'\''s/app.db'; encrypted"), "{hint}");
}

#[test]
fn what_is_no_database_or_has_a_broken_schema_is_an_error_and_no_panic() {
    for (name, schema) in [
        ("text", None),
        (
            "broken",
            Some("UPDATE sqlite_schema SET sql = 'CREATE TABLE (((' WHERE name = 'kept'"),
        ),
        (
            "nested",
            Some(
                "UPDATE sqlite_schema SET sql = 'CREATE TABLE kept(x CHECK (' || replace(hex(zeroblob(5000)), '00', '(') || '1' || replace(hex(zeroblob(5000)), '00', ')') || '))' WHERE name = 'kept'",
            ),
        ),
    ] {
        let server = bloated(ANYWAY);
        match schema {
            None => fs::write(server.database(), "no database\n".repeat(500)).unwrap(),
            Some(schema) => sql(
                &server.database(),
                &format!("PRAGMA writable_schema=ON; {schema}; PRAGMA wal_checkpoint(TRUNCATE)"),
            ),
        }
        let before = fs::read(server.database()).unwrap();
        let (code, report) = server.json("optimize-db --no-backup-check");
        assert_eq!(code, 2, "{name}: {report:#}");
        let found = &report["findings"][0];
        assert_eq!(found["severity"], "critical", "{name}: {report:#}");
        assert!(found["hint"].as_str().is_some(), "{name}: {found}");
        assert!(fs::read(server.database()).unwrap() == before, "{name}");
    }
}

#[test]
fn without_a_recent_backup_it_only_looks() {
    let server = bloated(ANYWAY);
    let before = content(&server.database());
    for (line, code) in [
        ("optimize-db", 2),
        ("optimize-db --dry-run", 2),
        ("optimize-db --now 2031-01-01T00:00:00Z", 2),
    ] {
        if line.contains("--now") {
            server.run("backup").expect(0);
        }
        let bytes = fs::read(server.database()).unwrap();
        let (ended, report) = server.json(line);
        assert_eq!((ended, kinds(&report).len()), (code, 0), "{report:#}");
        let found = finding(&report, "optimize.no-backup");
        assert_eq!(found["severity"], "high");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains("--no-backup-check"), "{message}");
        assert_eq!(found["hint"], "empire-maint backup --database app_db");
        assert_eq!(database(&report, "app_db")["sound"], true);
        assert!(fs::read(server.database()).unwrap() == bytes, "{line}");
    }
    let (code, report) = server.json("optimize-db --now 2031-01-01T00:00:00Z --no-backup-check");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["vacuum", "analyze", "checkpoint"]));
    assert_eq!(content(&server.database()), before);
}

#[test]
fn a_dry_run_lists_what_the_real_one_does_and_changes_nothing() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let _open = Connection::open(server.database()).unwrap();
    let data = server.root().join("data");
    let look = || {
        let mut all = server.fingerprint(&data);
        // SQLite's readers note there what they read.
        all.retain(|(path, _)| !path.to_string_lossy().ends_with("-shm"));
        all.retain(|(path, _)| !path.to_string_lossy().ends_with("-wal") || size(path) > 0);
        all
    };
    let before = look();
    let (code, dry) = server.json("optimize-db --dry-run");
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(look(), before);
    let (code, real) = server.json("optimize-db");
    assert_eq!(code, 0, "{real:#}");
    let listed = |report: &Value| -> Vec<_> {
        let actions = actions(report).into_iter();
        actions.map(|(kind, target, _)| (kind, target)).collect()
    };
    assert_eq!(listed(&dry), listed(&real));
    assert_eq!(listed(&dry).len(), 3);
    assert!(actions(&dry).iter().all(|action| action.2 == "planned"));
    assert_ne!(look(), before);
}

#[test]
fn rows_that_vacuum_would_renumber_keep_their_numbers() {
    let server = bloated("");
    server.run("backup").expect(0);
    sql(
        &server.database(),
        "CREATE TABLE vectors(x); INSERT INTO vectors VALUES (1), (2), (3); DELETE FROM vectors WHERE x < 3",
    );
    let ids = "SELECT group_concat(rowid) + 0 FROM vectors";
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["analyze", "checkpoint"]));
    let found = finding(&report, "optimize.rowids");
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("counter, vectors") && message.contains("72 MiB"),
        "{message}"
    );
    assert!(found["hint"].as_str().unwrap().contains("vacuum_anyway"));
    assert_eq!(number(&server.database(), ids), 3);
    // Who says that nobody keeps them gets the space, and new numbers.
    let server = server.config(ANYWAY);
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["vacuum", "checkpoint"]));
    assert_eq!(number(&server.database(), ids), 1);
}

#[test]
fn what_would_hold_the_writers_too_long_waits_for_a_quiet_hour() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let (code, report) = server.json("optimize-db --max-lock 1ms");
    assert_eq!(code, 0, "{report:#}");
    let found = finding(&report, "optimize.too-long");
    assert_eq!(
        (&found["severity"], &found["threshold"]),
        (&"low".into(), &0.001.into())
    );
    let hint = found["hint"].as_str().unwrap();
    let command = hint
        .split_once("empire-maint ")
        .unwrap()
        .1
        .replace('\'', "");
    assert!(
        command.starts_with("optimize-db app_db --max-lock "),
        "{hint}"
    );
    assert!(kinds(&report).iter().all(|(kind, _)| kind != "vacuum"));
    assert!(size(&server.database()) > 75 * MIB);
    // The command of the hint does it.
    let (code, report) = server.json(&command);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report)[0], ("vacuum".into(), "done".into()));
    assert!(size(&server.database()) < 6 * MIB);
}

#[test]
fn an_application_that_is_busy_is_not_disturbed() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let busy = Connection::open(server.database()).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE; UPDATE counter SET n = n + 1")
        .unwrap();
    let (code, report) = server.json("optimize-db --max-lock 100ms");
    assert_eq!(code, 0, "{report:#}");
    let found = finding(&report, "optimize.put-off");
    assert_eq!(found["severity"], "low");
    assert!(
        found["message"].as_str().unwrap().contains("write lock"),
        "{found}"
    );
    // The first step that wants the lock; which one that is depends on how fast this machine rehearses.
    let kinds_of = kinds(&report);
    assert!(
        kinds_of.len() == 1 && kinds_of[0].1 == "skipped",
        "{report:#}"
    );
    busy.execute_batch("COMMIT").unwrap();
    let (_, report) = server.json("optimize-db");
    assert_eq!(kinds(&report), done(&["vacuum", "analyze", "checkpoint"]));
}

#[test]
fn a_backup_that_waits_goes_first() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let before = content(&server.database());
    let mut command = server.command(["optimize-db", "--json"]);
    // It stands in the rehearsal: in the middle of looking.
    let paused = Paused::before("write", "copy.db", &server.root(), &mut command);
    let backup = server
        .command(["backup", "--database", "app_db", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = server.backups().join(".app_db.lock.waiting");
    while !fs::File::open(&waiting).is_ok_and(|file| file.try_lock_shared().is_err()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let report = paused.resume().expect(0).json();
    Ran::from(backup.wait_with_output().unwrap()).expect(0);
    let found = finding(&report, "optimize.put-off");
    assert!(
        found["message"].as_str().unwrap().contains("goes first"),
        "{found}"
    );
    assert_eq!(kinds(&report).len(), 0, "{report:#}");
    assert_eq!(server.list("app_db").len(), 2);
    assert_eq!(content(&server.database()), before);
    let left = fs::read_dir(server.root().join("data")).unwrap();
    assert!(
        left.flatten()
            .all(|entry| !entry.file_name().to_string_lossy().starts_with(".empire"))
    );
}

#[test]
fn a_signal_ends_it_and_undoes_the_step() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let before = content(&server.database());
    let mut command = server.command(["optimize-db", "--json"]);
    let paused = Paused::before("write", "copy.db", &server.root(), &mut command);
    paused.signal(Signal::TERM);
    paused.resume().expect(143);
    assert!(size(&server.database()) > 75 * MIB);
    assert_eq!(content(&server.database()), before);
    server.run("optimize-db").expect(0);
    assert!(size(&server.database()) < 6 * MIB);
}

#[test]
fn any_name_that_a_file_may_have() {
    let server = Server::empty();
    let odd = server
        .path()
        .join(OsStr::from_bytes(b"ro\xff ot 'q' \"d\" ?#%41;$(x)"));
    fs::create_dir_all(odd.join("data")).unwrap();
    let path = odd.join("data/app.db");
    fill(&path, 30);
    bloat(&path);
    let mut words: Vec<OsString> = vec!["--json".into(), "--root".into(), odd.into()];
    words.extend(["optimize-db", "--no-backup-check"].map(OsString::from));
    let server = server.config(ANYWAY);
    let report = server.run_args(words).expect(0).json();
    assert_eq!(kinds(&report)[0], ("vacuum".into(), "done".into()));
    assert!(size(&path) < 6 * MIB);
}

#[test]
fn the_application_s_own_user_can_and_a_third_one_is_told_why_not() {
    let server = bloated(ANYWAY);
    if !server.give_to(4711) {
        return; // not root: that the own user can is what every other test shows
    }
    Ran::of(&mut server.command_as(4711, ["backup"])).expect(0);
    let ran = Ran::of(&mut server.command_as(4712, ["optimize-db"]));
    assert!(
        ran.out.contains("run as root") || ran.err.contains("run as root"),
        "{ran:?}"
    );
    assert!(ran.code >= 2, "{ran:?}");
    let ran = Ran::of(&mut server.command_as(4711, ["optimize-db", "--json"])).expect(0);
    assert_eq!(kinds(&ran.json())[0], ("vacuum".into(), "done".into()));
    // And when root does it, the application can go on.
    bloat_again(&server.database());
    Ran::of(&mut server.command_as(4711, ["backup"])).expect(0);
    server.run("optimize-db").expect(0);
    let mut alone = Command::new("setpriv");
    alone.args([
        "--reuid=4711",
        "--regid=4711",
        "--clear-groups",
        "--",
        "sqlite3",
    ]);
    alone
        .arg(server.database())
        .arg("UPDATE counter SET n = n + 1");
    Ran::of(&mut alone).expect(0);
}

#[test]
fn who_holds_the_lock_is_waited_for_and_named() {
    let server = bloated(ANYWAY);
    server.run("backup").expect(0);
    let lock = fs::File::open(server.backups().join(".app_db.lock")).unwrap();
    lock.lock().unwrap();
    let (code, report) = server.json("optimize-db --lock-wait 0s");
    assert_eq!((code, kinds(&report).len()), (0, 0), "{report:#}");
    let found = finding(&report, "optimize.put-off");
    assert!(
        found["message"].as_str().unwrap().contains("in use by"),
        "{found}"
    );
    drop(lock);
    let task = fs::File::open(server.state().join("locks/optimize-db.lock")).unwrap();
    task.lock().unwrap();
    server.run("optimize-db --lock-wait 0s").expect(3);
}

/// Wherever it is killed or runs out of space: the database is whole, nobody's row or number changed, and the next run does it.
#[test]
fn a_run_that_is_cut_short_costs_nothing() {
    let server = bloated(ANYWAY);
    let path = server.database();
    server.run("backup").expect(0);
    let before = content(&path);
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE)");
    let start = server.path().join("start.db");
    let temporary = server.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::copy(&path, &start).unwrap();
    let renew = || {
        for suffix in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&path, suffix));
        }
        fs::copy(&start, &path).unwrap();
    };
    let command = || {
        let mut command = server.command(["optimize-db", "--json"]);
        command.env("TMPDIR", &temporary);
        command
    };
    let faults = Faults::new(
        [server.root(), temporary.clone()],
        &server.path().join("trash"),
    );
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    let total = counter.total();
    assert!(total > 1000, "{total}");
    let mut failed_vacuums = 0;
    for (kind, want) in [
        (Kind::Kill, 12),
        (Kind::PowerCut, 6),
        (Kind::Enospc { sticky: true }, 8),
        (Kind::Eio, 6),
    ] {
        for at in points(total, want) {
            renew();
            let mut broken = command();
            faults.inject(&mut broken, kind, at);
            let ran = Ran::of(&mut broken);
            let undone = kind == (Kind::Enospc { sticky: true })
                && kinds(&ran.json()).contains(&("vacuum".to_owned(), "failed".to_owned()));
            if undone {
                // What the failed step wrote is no longer in the way.
                failed_vacuums += 1;
                let wal = fs::metadata(beside(&path, "-wal")).map_or(0, |meta| meta.len());
                assert_eq!(wal, 0, "{kind:?} at {at} of {total}");
            }
            assert_eq!(content(&path), before, "{kind:?} at {at} of {total}");
            let report = Ran::of(&mut command()).json();
            assert_eq!(content(&path), before, "{kind:?} at {at} of {total}");
            assert!(
                size(&path) < 6 * MIB,
                "{kind:?} at {at} of {total}: {report:#}"
            );
            let data = fs::read_dir(server.root().join("data")).unwrap();
            assert!(
                data.flatten()
                    .all(|entry| !entry.file_name().to_string_lossy().starts_with(".empire"))
            );
        }
    }
    assert!(failed_vacuums > 0);
}

#[test]
fn free_pages_go_back_in_small_steps_where_the_database_is_built_for_it() {
    let server = Server::empty();
    sql(
        &server.database(),
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; CREATE TABLE users(id INTEGER PRIMARY KEY)",
    );
    bloat_again(&server.database());
    server.run("backup").expect(0);
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["incremental-vacuum", "checkpoint"]));
    assert!(size(&server.database()) < MIB);
    assert_eq!(database(&report, "app_db")["after"]["free_percent"], 0.0);
}

/// Free pages all over the file, so that others have to move.
fn scattered(server: &Server) {
    sql(
        &server.database(),
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
         CREATE TABLE users(id INTEGER PRIMARY KEY); CREATE TABLE counter(n); INSERT INTO counter VALUES (0);
         CREATE TABLE b(id INTEGER PRIMARY KEY, body);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) INSERT INTO b SELECT n, zeroblob(3000) FROM c;
         DELETE FROM b WHERE id % 2 OR id > 18000; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);",
    );
}

#[test]
fn the_application_gets_its_turn_while_free_pages_go_back() {
    let server = Server::empty();
    scattered(&server);
    let path = server.database();
    let free = |connection: &Connection| -> u64 {
        let number = connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        u64::try_from(number.unwrap()).unwrap()
    };
    let (writer, look) = (
        Connection::open(&path).unwrap(),
        Connection::open(&path).unwrap(),
    );
    writer.busy_timeout(Duration::from_secs(60)).unwrap();
    let all = free(&look);
    let over = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let over = &over;
        let turns = scope.spawn(move || {
            let mut between = std::collections::BTreeSet::new();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                writer
                    .execute_batch("BEGIN IMMEDIATE; UPDATE counter SET n = n + 1")
                    .unwrap();
                between.insert(free(&writer));
                writer.execute_batch("COMMIT").unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            between
        });
        let (code, report) = server.json("optimize-db --no-backup-check");
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(code, 0, "{report:#}");
        let mut between = turns.join().unwrap();
        between.retain(|number| *number > 0 && *number < all);
        // How often depends on the machine; in one piece it would be never.
        assert!(!between.is_empty(), "{all} at once");
        report
    });
    assert_eq!(kinds(&report), done(&["incremental-vacuum", "checkpoint"]));
    assert_eq!(free(&look), 0);
    assert_eq!(content_check(&path), "ok");
}

#[test]
fn without_space_for_the_log_no_page_goes_back() {
    let server = Server::empty().config("[backup]\nreserve = \"1000000GiB\"");
    scattered(&server);
    let before = size(&server.database());
    let (code, report) = server.json("optimize-db --no-backup-check");
    assert_eq!(code, 0, "{report:#}");
    let found = finding(&report, "optimize.no-space");
    assert_eq!(found["severity"], "low");
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("free pages") && message.contains("needed"),
        "{message}"
    );
    assert_eq!(kinds(&report), []);
    assert_eq!(size(&server.database()), before);
}

#[test]
fn a_database_that_cannot_be_looked_at_without_holding_its_writers_waits_for_a_quiet_hour() {
    let server = bloated(ANYWAY);
    let path = server.database();
    sql(&path, "PRAGMA journal_mode=DELETE");
    let (code, report) = server.json("optimize-db --no-backup-check --max-lock 1ms");
    assert_eq!(code, 0, "{report:#}");
    let found = finding(&report, "optimize.too-long");
    assert_eq!(found["severity"], "low");
    let hint = found["hint"].as_str().unwrap();
    assert!(
        hint.contains("optimize-db 'app_db' --max-lock") && hint.contains("journal_mode=WAL"),
        "{hint}"
    );
    assert!(size(&path) > 75 * MIB);
}

fn bloat_again(path: &Path) {
    sql(
        path,
        "CREATE TABLE b(id INTEGER PRIMARY KEY, body);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 70) INSERT INTO b SELECT n, zeroblob(1048576) FROM c;
         DELETE FROM b;",
    );
}

#[test]
fn an_index_that_is_half_empty_is_built_anew() {
    let server = Server::empty();
    let path = server.database();
    sql(
        &path,
        "PRAGMA page_size=65536; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
         CREATE TABLE users(id INTEGER PRIMARY KEY, body BLOB);
         CREATE INDEX \"by \"\"body\" ON users(body);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40000)
           INSERT INTO users SELECT n, CAST(printf('%08d', n) AS BLOB) || zeroblob(880) FROM c;
         DELETE FROM users WHERE id % 20 > 8;
         ANALYZE;",
    );
    server.run("backup").expect(0);
    let pages = |path: &Path| number(path, "SELECT count(*) FROM dbstat WHERE name = 'by \"body'");
    let before = pages(&path);
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["reindex", "checkpoint"]));
    assert!(pages(&path) * 10 < before * 7, "{before} {}", pages(&path));
    assert_eq!(content_check(&path), "ok");
}

fn content_check(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_database_without_a_write_ahead_log_is_cared_for_too() {
    let server = bloated(ANYWAY);
    let path = server.database();
    sql(&path, "PRAGMA journal_mode=DELETE");
    server.run("backup").expect(0);
    let before = content(&path);
    let (code, report) = server.json("optimize-db");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(kinds(&report), done(&["vacuum", "analyze"]));
    assert_eq!(content(&path), before);
    assert!(size(&path) < 6 * MIB);
    let one = database(&report, "app_db");
    assert_eq!(one["checkpoint"], Value::Null);
    assert!(one["longest_lock_ms"].as_u64().unwrap() > 0);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_looked_at() {
    for (config, line, said) in [
        ("", "optimize-db nobody", "nobody"),
        ("", "optimize-db --max-lock 0s", "--max-lock"),
        ("", "optimize-db --max-lock soon", "duration"),
        ("[optimize]\nmax_lock = \"0s\"", "optimize-db", "max_lock"),
        (
            "[optimize]\nvacuum_anyway = [\"nobody\"]",
            "optimize-db",
            "nobody",
        ),
        ("[optimize]\nmax_lok = \"1s\"", "optimize-db", "max_lock"),
    ] {
        let server = Server::new().config(config);
        let before = server.fingerprint(&server.root());
        let ran = server.run(line);
        assert!(ran.err.contains(said), "{line}: {ran:?}");
        ran.expect(3);
        assert_eq!(server.fingerprint(&server.root()), before);
    }
    let server = Server::empty();
    let (code, report) = server.json("optimize-db");
    assert_eq!((code, &report["failure"]["kind"]), (3, &"missing".into()));
}

#[test]
fn one_that_cannot_be_looked_at_stops_none_of_the_others() {
    let server = Server::new();
    let own = fs::read_to_string(server.config_path()).unwrap();
    // It comes first.
    let circle = "[[database]]\nname = \"circle\"\npath = \"data/circle.db\"\n";
    let server =
        server.raw_config(&own.replacen("[[database]]", &format!("{circle}[[database]]"), 1));
    std::os::unix::fs::symlink("circle.db", server.root().join("data/circle.db")).unwrap();
    let (code, report) = server.json("optimize-db --no-backup-check");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding(&report, "optimize.failed")["subject"], "circle");
    assert_eq!(
        report["data"]["databases"][0]["database"], "app_db",
        "{report:#}"
    );
    let (code, report) = server.json("query-review");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding(&report, "database.unreadable")["subject"], "circle");
}

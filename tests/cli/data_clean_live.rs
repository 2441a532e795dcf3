//! `data-clean` beside an application that keeps writing, and killed, stopped, starved wherever it is: every row is in exactly one
//! place, and the same command again finishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::faults::{Faults, Kind, points};
use crate::support::{BINARY, Paused, Ran, Server, finding, finding_ids, number, send, sql, zcat};

const NOW: &str = "2026-11-09T04:13:00Z";

/// Rows of `trades`; those with an even id are too old.
fn fill(database: &Path, rows: u32, width: u32) {
    sql(
        database,
        &format!(
            "CREATE TABLE archived_trades (note BLOB, created_at TEXT, id INTEGER PRIMARY KEY);
             ALTER TABLE trades ADD COLUMN note;
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {rows})
               INSERT INTO trades SELECT i, iif(i % 2, '2026-11-01 00:00:00', '2025-01-01 00:00:00'), hex(randomblob({width})) FROM c;"
        ),
    );
}

fn rule(action: &str) -> String {
    format!(
        "[[data_clean.rule]]\nname = \"old-trades\"\ndatabase = \"app_db\"\ntable = \"trades\"\ncolumn = \"created_at\"\nolder_than = \"90d\"\nmax_fraction = 1.0\n{action}\n"
    )
}

const DELETE: &str = "action = \"delete\"";
const TABLE: &str = "action = \"archive\"\ninto = \"archived_trades\"";
const FILE: &str = "action = \"archive\"\ninto = \"file:archive\"";

fn server(action: &str, rows: u32, width: u32) -> Server {
    let server = Server::new().config(&rule(action));
    fill(&server.database(), rows, width);
    server.run(&format!("backup --now {NOW}")).expect(0);
    server
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

/// Where each old row is: in the table, in the other table, in files that are final, in one that is not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    table: u64,
    archive: u64,
    files: u64,
    unfinished: u64,
}

/// Looks at a copy, so that the next run finds what this one left.
fn places(server: &Server) -> BTreeMap<i64, Places> {
    let look = server.path().join("look");
    let _ = fs::remove_dir_all(&look);
    copy(&server.root().join("data"), &look);
    let connection = Connection::open(look.join("app.db")).unwrap();
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    let ids = |table: &str| -> Vec<i64> {
        let sql = format!("SELECT id FROM {table} WHERE id % 2 = 0 AND length(note) > 0");
        let mut statement = connection.prepare(&sql).unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    };
    let mut found: BTreeMap<i64, Places> = BTreeMap::new();
    for id in ids("trades") {
        found.entry(id).or_default().table += 1;
    }
    for id in ids("archived_trades") {
        found.entry(id).or_default().archive += 1;
    }
    for path in packs(server) {
        let is = |end: &str| path.to_string_lossy().ends_with(end);
        if is(".part") {
            continue;
        }
        for line in lines(server, &path) {
            let id = line["id"].as_i64().unwrap();
            assert!(!line["note"].as_str().unwrap().is_empty());
            let place = found.entry(id).or_default();
            match is(".gz") {
                true => place.files += 1,
                false => place.unfinished += 1,
            }
        }
    }
    found
}

fn packs(server: &Server) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(server.root().join("archive")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The whole lines of a file, whose end may be missing.
fn lines(server: &Server, path: &Path) -> Vec<Value> {
    let plain = server.path().join("plain");
    if path.to_string_lossy().ends_with(".gz") {
        zcat(path, &plain);
    } else {
        let out = Command::new("zcat")
            .stdin(fs::File::open(path).unwrap())
            .output()
            .unwrap();
        fs::write(&plain, out.stdout).unwrap();
    }
    let text = fs::read_to_string(&plain).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// At every moment no row is nowhere, none is twice in the database, and none both in the database and in a finished file.
fn require_kept(server: &Server, rows: u32, deletes: bool, place: &str) {
    let found = places(server);
    if deletes {
        return;
    }
    for id in (2..=i64::from(rows)).step_by(2) {
        let there = found
            .get(&id)
            .unwrap_or_else(|| panic!("{id} is lost; {place}"));
        let final_places = there.table + there.archive + there.files;
        assert!(final_places <= 1, "{id}: {there:?}; {place}");
        assert!(
            final_places + there.unfinished >= 1,
            "{id}: {there:?}; {place}"
        );
    }
}

/// Once it is done every old row is in exactly one place, and that is the archive.
fn require_done(server: &Server, rows: u32, action: &str, place: &str) {
    let found = places(server);
    for id in (2..=i64::from(rows)).step_by(2) {
        let expected = match action {
            DELETE => None,
            TABLE => Some(Places {
                archive: 1,
                ..Places::default()
            }),
            _ => Some(Places {
                files: 1,
                ..Places::default()
            }),
        };
        assert_eq!(found.get(&id), expected.as_ref(), "{id}; {place}");
    }
    let database = server.path().join("look/app.db");
    assert_eq!(
        number(&database, "SELECT count(*) FROM trades"),
        i64::from(rows / 2),
        "{place}"
    );
    for path in packs(server) {
        assert!(
            path.extension().unwrap() == "gz",
            "{path:?} is left; {place}"
        );
    }
}

/// Breaks a run at many points, looks, and runs it again.
fn survives(action: &str, kind: Kind, rows: u32) {
    let server = server(action, rows, 40);
    let start = server.path().join("start");
    copy(&server.root(), &start);
    let back = |server: &Server| {
        fs::remove_dir_all(server.root()).unwrap();
        copy(&start, &server.root());
        let _ = fs::remove_dir_all(server.state());
    };
    let command = || {
        let mut command = server.command(["data-clean", "--now", NOW, "--json"]);
        command.stdin(Stdio::null());
        command
    };
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    require_done(&server, rows, action, "undisturbed");
    let most = match std::env::var_os("SLOW_TESTS") {
        Some(_) => usize::MAX,
        None => 20,
    };
    for at in points(counter.total(), most) {
        back(&server);
        let mut broken = command();
        faults.inject(&mut broken, kind, at);
        let broken = Ran::of(&mut broken);
        let place = format!("{action} with {kind:?} at {at}: {broken:?}");
        assert!(!broken.out.contains("a defect of this program"), "{place}");
        require_kept(&server, rows, action == DELETE, &place);
        let again = Ran::of(&mut command());
        let place = format!("{place}\nand again: {again:?}");
        assert_eq!(again.code, i32::from(broken.code == -1), "{place}"); // a killed run is told of
        require_done(&server, rows, action, &place);
    }
}

#[test]
fn killed_anywhere_while_it_deletes() {
    survives(DELETE, Kind::Kill, 4_000);
}

#[test]
fn killed_anywhere_while_it_archives_into_a_table() {
    survives(TABLE, Kind::Kill, 4_000);
}

#[test]
fn killed_anywhere_while_it_archives_into_a_file() {
    survives(FILE, Kind::Kill, 4_000);
}

/// What was not synced is lost: the rows of a file are only gone from the table once the file is on the disk, and the other way round.
#[test]
fn a_power_cut_anywhere_costs_no_row() {
    survives(TABLE, Kind::PowerCut, 1_000);
    survives(FILE, Kind::PowerCut, 1_000);
    survives(FILE, Kind::LostNames, 1_000);
}

#[test]
fn a_disk_that_fills_up_costs_no_row() {
    survives(TABLE, Kind::Enospc { sticky: true }, 1_000);
    survives(FILE, Kind::Enospc { sticky: true }, 1_000);
}

/// A real disk, as small as it takes: what fits is archived, the reserve stays, and what is there needs no space to be finished.
#[test]
fn what_is_written_leaves_the_reserve() {
    let mounts = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        return; // needs root
    }
    let rows = 8_000;
    let config = format!("{}[backup]\nreserve = \"1MiB\"\n", rule(FILE));
    let server = Server::new().config(&config);
    fill(&server.database(), rows, 1_500);
    server.run(&format!("backup --now {NOW}")).expect(0);
    fs::create_dir(server.root().join("archive")).unwrap();
    let script = format!(
        "cd '{root}'; mount -t tmpfs -o size=6m tmpfs archive || exit 99
         clean() {{ {BINARY} -c '{config}' data-clean --now {NOW} --json >\"../$1\"; echo $? >>../codes; }}
         clean first; ls archive >../left; df --output=avail -B1 archive | tail -1 >../free
         clean second; ls archive >>../left
         mount -o remount,size=20m archive; clean third
         cp -a archive ../kept; umount archive; cp -a ../kept/. archive",
        root = server.root().display(),
        config = server.config_path().display(),
    );
    let ran = Ran::of(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    let read = |name: &str| fs::read_to_string(server.path().join(name)).unwrap();
    assert_eq!(read("codes"), "2\n2\n0\n", "{ran:?}");
    let first = "old-trades_20261109T041300Z.jsonl.gz\n";
    assert_eq!(read("left"), first.repeat(2));
    assert!(read("free").trim().parse::<u64>().unwrap() >= 1 << 20);
    for (name, some) in [("first", true), ("second", false)] {
        let report = serde_json::from_str(&read(name)).unwrap();
        let failed = finding(&report, "data-clean.failed");
        let said = failed["message"].as_str().unwrap();
        assert!(said.contains("not enough space"), "{said}");
        assert_eq!(report["data"]["rules"][0]["done"] != 0, some, "{report:#}");
    }
    require_done(&server, rows, FILE, "once there is space");
}

#[test]
fn killed_anywhere_while_rows_come_back() {
    let rows = 2_000;
    let server = server(FILE, rows, 40);
    assert_eq!(server.json(&format!("data-clean --now {NOW}")).0, 0);
    let start = server.path().join("start");
    copy(&server.root(), &start);
    let command = || {
        server.command([
            "data-clean",
            "restore-archive",
            "old-trades",
            "--now",
            NOW,
            "--json",
        ])
    };
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    for at in points(counter.total(), 25) {
        fs::remove_dir_all(server.root()).unwrap();
        copy(&start, &server.root());
        let mut broken = command();
        faults.inject(&mut broken, Kind::Kill, at);
        let broken = Ran::of(&mut broken);
        let place = format!("killed at {at}: {broken:?}");
        let found = places(&server);
        for id in (2..=i64::from(rows)).step_by(2) {
            assert!(found.contains_key(&id), "{id} is lost; {place}");
        }
        if packs(&server)
            .iter()
            .any(|path| path.to_string_lossy().ends_with(".restoring"))
        {
            // Until that is finished, the rule does not archive what came back.
            let (code, report) = server.json(&format!("data-clean --now {NOW}"));
            assert_eq!(code, 2, "{place}");
            let refused = finding(&report, "data-clean.refused");
            assert_eq!(
                refused["hint"],
                "empire-maint data-clean restore-archive old-trades"
            );
        }
        let again = Ran::of(&mut command());
        assert!(matches!(again.code, 0 | 1), "{place}\nand again: {again:?}"); // a killed run is told of
        assert!(packs(&server).is_empty(), "{place}");
        assert_eq!(
            number(&server.database(), "SELECT count(*) FROM trades"),
            i64::from(rows),
            "{place}"
        );
    }
}

/// Between a kill and the next run the application changes rows that are still there: the changed row is the one that is archived.
#[test]
fn killed_anywhere_and_changed_before_the_next_run() {
    let rows = 2_000;
    let server = server(FILE, rows, 40);
    let start = server.path().join("start");
    copy(&server.root(), &start);
    let command = || server.command(["data-clean", "--now", NOW, "--json"]);
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    let mut changed = 0;
    for (turn, at) in points(counter.total(), 24).into_iter().enumerate() {
        fs::remove_dir_all(server.root()).unwrap();
        copy(&start, &server.root());
        let _ = fs::remove_dir_all(server.state());
        let mut broken = command();
        faults.inject(&mut broken, Kind::Kill, at);
        let broken = Ran::of(&mut broken);
        // Every second old row; each third time every one of them, the first of a transaction and its last among them.
        let which = ["id % 4 = 0", "id % 4 = 2", "id % 2 = 0"][turn % 3];
        let there: i64 = number(
            &server.database(),
            &format!("SELECT count(*) FROM trades WHERE {which}"),
        );
        changed += there;
        sql(
            &server.database(),
            &format!("UPDATE trades SET note = 'changed' WHERE {which}"),
        );
        let again = Ran::of(&mut command());
        let place = format!("{which} after a kill at {at}: {broken:?}\nand again: {again:?}");
        let report = again.json();
        let doubt = finding_ids(&report, "old-trades").contains(&"data-clean.doubt".to_owned());
        if turn % 3 < 2 {
            assert!(!doubt, "{place}");
            require_done(&server, rows, FILE, &place);
        }
        let files: Vec<_> = packs(&server)
            .iter()
            .flat_map(|path| lines(&server, path))
            .collect();
        let new = files.iter().filter(|line| line["note"] == "changed");
        assert_eq!(new.count() as i64, there, "{place}");
        assert!(doubt || files.len() as u32 == rows / 2, "{place}");
        assert!(files.len() as u32 >= rows / 2, "{place}");
    }
    assert!(changed > 500, "{changed}");
}

#[test]
fn killed_anywhere_while_rows_come_back_and_changed_before_the_next_run() {
    let rows = 1_000;
    let server = server(FILE, rows, 40);
    assert_eq!(server.json(&format!("data-clean --now {NOW}")).0, 0);
    let start = server.path().join("start");
    copy(&server.root(), &start);
    let line = [
        "data-clean",
        "restore-archive",
        "old-trades",
        "--now",
        NOW,
        "--json",
    ];
    let command = || server.command(line);
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    let mut changed = 0;
    for at in points(counter.total(), 20) {
        fs::remove_dir_all(server.root()).unwrap();
        copy(&start, &server.root());
        let mut broken = command();
        faults.inject(&mut broken, Kind::Kill, at);
        let broken = Ran::of(&mut broken);
        let count = |which: &str| {
            let sql = format!("SELECT count(*) FROM trades WHERE {which}");
            number(&server.database(), &sql)
        };
        let there = count("id % 4 = 0");
        changed += there;
        // One that came back goes for good: it does not come back again.
        let gone = count("id = 2");
        sql(
            &server.database(),
            "UPDATE trades SET note = 'changed' WHERE id % 4 = 0; DELETE FROM trades WHERE id = 2",
        );
        let again = Ran::of(&mut command());
        let place = format!("killed at {at}: {broken:?}\nand again: {again:?}");
        assert!(packs(&server).is_empty(), "{place}");
        let sum = i64::from(rows);
        let all = count("1");
        assert!(all == sum || all == sum - gone, "{all}: {place}");
        assert_eq!(count("note = 'changed'"), there, "{place}");
    }
    assert!(changed > 500, "{changed}");
}

/// Writers of the application: each inserts rows and changes old ones, and notes what it wrote last.
struct Application {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(i64, i64)>>,
}

impl Application {
    fn start(database: &Path, rows: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..4_i64)
            .map(|seed| {
                let (path, stop) = (database.to_owned(), stop.clone());
                std::thread::spawn(move || {
                    let connection = Connection::open(path).unwrap();
                    connection.busy_timeout(Duration::from_secs(30)).unwrap();
                    connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
                    let (mut written, mut changed) = (0, 0);
                    let mut state = seed * 7919 + 1;
                    while !stop.load(Ordering::Relaxed) {
                        state = (state * 48_271) % 2_147_483_647;
                        connection
                            .execute("INSERT INTO trades(created_at, note) VALUES ('2026-11-05 00:00:00', 'new')", [])
                            .unwrap();
                        // An old row that changes is not old any more, or is changed where it is.
                        let id = (state % i64::from(rows / 2)) * 2 + 2;
                        let rows = connection
                            .execute("UPDATE trades SET note = note || 'x' WHERE id = ?1", [id])
                            .unwrap();
                        changed += i64::try_from(rows).unwrap();
                        written += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    (written, changed)
                })
            })
            .collect();
        Self { stop, threads }
    }

    /// Rows that were written, and changes to old ones.
    fn stop(self) -> (i64, i64) {
        self.stop.store(true, Ordering::Relaxed);
        let each = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// How often old rows were changed, wherever they are by now.
fn changes(server: &Server) -> i64 {
    let crosses = |table: &str| {
        let sql = format!(
            "SELECT coalesce(sum(length(note) - length(replace(note, 'x', ''))), 0) FROM {table}"
        );
        number(&server.database(), &sql)
    };
    let files = packs(server);
    let lines = files.iter().flat_map(|path| lines(server, path));
    let in_files: usize = lines
        .map(|line| line["note"].as_str().unwrap().matches('x').count())
        .sum();
    crosses("trades") + crosses("archived_trades") + i64::try_from(in_files).unwrap()
}

#[test]
fn the_application_writes_on_and_no_row_is_lost() {
    for action in [DELETE, TABLE, FILE] {
        let rows = 60_000;
        let server = server(action, rows, 20);
        let application = Application::start(&server.database(), rows);
        let (code, report) = server.json(&format!("data-clean --now {NOW}"));
        let (written, changed) = application.stop();
        assert_eq!(code, 0, "{report:#}");
        assert!(written > 20, "only {written} rows");
        let transactions = report["data"]["databases"][0]["transactions"]
            .as_u64()
            .unwrap();
        assert!(transactions > 3, "{transactions} transactions");
        require_kept(&server, rows, action == DELETE, action);
        let new = "SELECT count(*) FROM trades WHERE note = 'new'";
        assert_eq!(number(&server.database(), new), written);
        assert_eq!(
            number(
                &server.database(),
                "SELECT count(*) FROM trades WHERE id <= 60000 AND id % 2"
            ),
            i64::from(rows / 2)
        );
        if action != DELETE {
            assert_eq!(changes(&server), changed, "{action}: a change is lost");
        }
        // What changed just then is taken by the next run.
        let (code, report) = server.json(&format!("data-clean --now {NOW}"));
        assert_eq!(code, 0, "{report:#}");
        require_kept(&server, rows, action == DELETE, action);
        assert_eq!(
            number(
                &server.database(),
                "SELECT count(*) FROM trades WHERE id <= 60000 AND id % 2 = 0"
            ),
            0
        );
    }
}

#[test]
fn killed_at_any_time_beside_an_application() {
    for action in [TABLE, FILE] {
        let rows = 20_000;
        let server = server(action, rows, 20);
        for pause in [5, 20, 40, 60, 90, 130, 180] {
            let application = Application::start(&server.database(), rows);
            let mut child = server
                .command(["data-clean", "--now", NOW, "--json"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(pause));
            child.kill().unwrap();
            child.wait().unwrap();
            application.stop();
            require_nowhere_lost(&server, rows);
        }
        let (code, report) = server.json(&format!("data-clean --now {NOW}"));
        assert!(matches!(code, 0 | 1), "{report:#}"); // a killed run is told of
        require_nowhere_lost(&server, rows);
        assert_eq!(
            number(
                &server.database(),
                "SELECT count(*) FROM trades WHERE id <= 20000 AND id % 2 = 0"
            ),
            0
        );
    }
}

fn require_nowhere_lost(server: &Server, rows: u32) {
    let found = places(server);
    for id in (2..=i64::from(rows)).step_by(2) {
        assert!(found.contains_key(&id), "{id} is lost");
    }
}

#[test]
fn a_signal_ends_it_between_two_transactions() {
    let server = server(TABLE, 40_000, 20);
    let mut command = server.command(["data-clean", "--now", NOW, "--json"]);
    let paused = Paused::before("write", "app.db-wal", &server.root(), &mut command);
    paused.signal(Signal::TERM);
    let ran = paused.resume();
    assert_eq!(ran.code, 128 + 15, "{ran:?}");
    require_kept(&server, 40_000, false, "after SIGTERM");
    let (code, _) = server.json(&format!("data-clean --now {NOW}"));
    assert_eq!(code, 0);
    require_done(&server, 40_000, TABLE, "after SIGTERM and again");
}

#[test]
fn a_backup_that_waits_gets_its_turn() {
    for action in [TABLE, FILE] {
        let server = server(action, 60_000, 20);
        let mut command = server.command(["data-clean", "--now", NOW, "--json"]);
        let paused = Paused::before("write", "app.db-wal", &server.root(), &mut command);
        let backup = server
            .command(["backup", "--database", "app_db", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It waits once it holds the lock of those who wait.
        let waiting = server.backups().join(".app_db.lock.waiting");
        while !waiting.exists() || fs::File::open(&waiting).unwrap().try_lock_shared().is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ran = paused.resume();
        let report = ran.json();
        assert_eq!(ran.code, 0, "{report:#}");
        let finding = finding(&report, "data-clean.gave-way");
        assert!(
            finding["message"]
                .as_str()
                .unwrap()
                .contains("of 30000 rows for a backup or restore of app_db that waits"),
            "{finding}"
        );
        let backup = Ran::from(backup.wait_with_output().unwrap());
        assert_eq!(backup.code, 0, "{backup:?}");
        require_kept(&server, 60_000, false, action);
        for path in packs(&server) {
            assert!(path.extension().unwrap() == "gz", "{path:?}");
        }
        let (code, report) = server.json(&format!("data-clean --now {NOW}"));
        assert_eq!(code, 0, "{report:#}");
        assert!(finding_ids(&report, "old-trades").is_empty());
        require_done(&server, 60_000, action, "and again");
    }
}

#[test]
fn it_waits_for_a_backup_and_says_for_whom() {
    let server = server(DELETE, 100, 20);
    let mut command = server.command(["backup", "--database", "app_db", "--json"]);
    let paused = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
    let (code, report) = server.json(&format!("data-clean --now {NOW} --lock-wait 0s"));
    assert_eq!(code, 3, "{report:#}");
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("in use by empire-maint backup"),
        "{report:#}"
    );
    assert_eq!(
        number(&server.database(), "SELECT count(*) FROM trades"),
        100
    );
    send(paused.id(), Signal::CONT);
    assert_eq!(paused.resume().code, 0);
}

//! Whatever ends a run, wherever it does: the source is whole, what was good restores, nothing half-written has a final name,
//! and the same command again finishes the job.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::faults::{Call, Faults, Kind, points, read_log};
use crate::support::{Ran, Server, beside, fill, finding_ids, number, users, zcat};

const NIGHT: &str = "2026-11-20T03:00:00Z";
const TONIGHT: &str = "app_db_20261120T030000Z.db.gz";

/// A command, and where it starts from.
struct Operation {
    server: Server,
    line: String,
    /// Rows of `users` in the live database before, and after where that is something else.
    before: i64,
    after: i64,
    /// Backups that the run may remove once a new one is there.
    dispensable: Vec<String>,
    /// Where the run before this one was killed, if there was one.
    killed_at: Option<u64>,
    /// What has to be true once it is done, beside the general promises.
    done: fn(&Operation),
}

impl Operation {
    fn new(server: Server, line: &str, done: fn(&Self)) -> Self {
        let before = users(&server.database());
        Self {
            server,
            line: line.to_owned(),
            before,
            after: before,
            dispensable: Vec::new(),
            killed_at: None,
            done,
        }
    }

    /// Notes the start; the live database gets one more user, who is only in the write-ahead log.
    fn ready(mut self) -> Self {
        let database = self.server.database();
        let open = Connection::open(&database).unwrap();
        open.execute_batch(
            "PRAGMA wal_autocheckpoint=0; INSERT INTO users (username) VALUES ('in the log')",
        )
        .unwrap();
        self.after += i64::from(self.after == self.before);
        self.before += 1;
        let start = self.start();
        fs::create_dir(&start).unwrap();
        for folder in ["root", "state"] {
            let from = self.server.path().join(folder);
            if from.exists() {
                copy(&from, &start.join(folder));
            }
        }
        drop(open);
        self
    }

    /// The same command, after it was killed just before the call that answers.
    fn killed_before(mut self, what: &str, is: impl Fn(&Call) -> bool) -> Self {
        let log = self.log();
        self.killed_at = Some(log[position(&log, 0, what, is)].n);
        self
    }

    fn start(&self) -> PathBuf {
        self.server.path().join("start")
    }

    fn back_to_start(&self) {
        self.renew("root");
        self.renew("state");
        if let Some(at) = self.killed_at {
            let mut command = self.command();
            self.faults(self.server.root())
                .inject(&mut command, Kind::Kill, at);
            Ran::of(&mut command).expect(-1);
            self.renew("state"); // that it was killed is told of the run under test only
        }
    }

    fn renew(&self, folder: &str) {
        let to = self.server.path().join(folder);
        let _ = fs::remove_dir_all(&to);
        let from = self.start().join(folder);
        if from.exists() {
            copy(&from, &to);
        }
    }

    fn faults(&self, root: PathBuf) -> Faults {
        Faults::new([root], &self.server.path().join("trash"))
    }

    fn command(&self) -> Command {
        let words = self.line.split_whitespace().chain(["--json"]);
        self.server.command(words)
    }

    /// The points of a run that goes well.
    fn log(&self) -> Vec<Call> {
        self.back_to_start();
        let file = self.server.path().join("log");
        let mut command = self.command();
        self.faults(self.server.root()).log(&mut command, &file);
        Ran::of(&mut command).expect(0);
        (self.done)(self);
        read_log(&file)
    }

    /// Breaks it at many points, and looks and runs it again after each.
    fn survives(&self, kind: Kind) {
        self.back_to_start();
        let faults = self.faults(self.server.root());
        let mut command = self.command();
        let counter = faults.count(&mut command);
        Ran::of(&mut command).expect(0);
        let most = match std::env::var_os("SLOW_TESTS") {
            Some(_) => usize::MAX,
            None => 25,
        };
        for at in points(counter.total(), most) {
            self.back_to_start();
            let mut command = self.command();
            faults.inject(&mut command, kind, at);
            let broken = Ran::of(&mut command);
            let place = format!("{} with {kind:?} at {at}: {broken:?}", self.line);
            assert!(!broken.out.contains("a defect of this program"), "{place}");
            if matches!(broken.code, 0 | 1) && !tells_of_leftovers(&broken) {
                (self.done)(self); // what says that it went well did
            }
            self.keeps_its_promises(&place);

            let again = Ran::of(&mut self.command());
            let place = format!("{place}\nand again: {again:?}");
            assert!(matches!(again.code, 0 | 1), "{place}");
            let interrupted = finding_ids(&again.json(), "")
                .iter()
                .any(|id| id == "task.interrupted");
            assert_eq!(interrupted, broken.code == -1, "{place}");
            self.keeps_its_promises(&place);
            self.left_nothing_behind(&place);
            (self.done)(self);
        }
    }

    /// What holds at every moment. Only looks: the next run finds what this one left.
    fn keeps_its_promises(&self, place: &str) {
        let copied = self.copy_of_live();
        let there = users(&copied);
        assert!(
            there == self.before || there == self.after,
            "{there} users; {place}"
        );
        require_sound(&copied, place);
        let published = self.published(place);
        let before = names(&self.start().join("root/backups"));
        let data = before.iter().filter(|name| name.ends_with(".gz"));
        let newer = published.keys().any(|name| !before.contains(name));
        for name in data {
            let path = self.server.backups().join(name);
            let was_published = before.contains(&format!("{name}.json"));
            if newer && self.dispensable.contains(name) {
                continue;
            }
            assert!(path.exists(), "{name} is gone; {place}");
            assert!(
                fs::read(&path).unwrap()
                    == fs::read(self.start().join("root/backups").join(name)).unwrap(),
                "{name} changed; {place}"
            );
            assert!(
                published.contains_key(name) || !was_published,
                "{name} has no manifest any more; {place}"
            );
        }
    }

    /// The live database as it would be found: copied with its side files, so that opening it changes nothing.
    fn copy_of_live(&self) -> PathBuf {
        let look = self.server.path().join("look");
        let _ = fs::remove_dir_all(&look);
        copy(&self.server.root().join("data"), &look);
        look.join("app.db")
    }

    /// The manifest of everything that has one, after its data was restored as an operator would and compared with it.
    fn published(&self, place: &str) -> BTreeMap<String, Value> {
        let folder = self.server.backups();
        let plain = self.server.path().join("plain");
        let mut found = BTreeMap::new();
        for name in names(&folder) {
            let Some(data) = name
                .strip_suffix(".json")
                .filter(|_| !name.starts_with('.'))
            else {
                continue;
            };
            let manifest: Value = serde_json::from_slice(&fs::read(folder.join(&name)).unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error}; {place}"));
            zcat(&folder.join(data), &plain);
            assert_eq!(
                manifest["plain"]["size"],
                fs::metadata(&plain).unwrap().len(),
                "{name}; {place}"
            );
            if manifest["content"] == "sqlite" {
                require_sound(&plain, place);
                for (table, rows) in manifest["database"]["tables"].as_object().unwrap() {
                    let there = number(&plain, &format!("SELECT count(*) FROM \"{table}\""));
                    assert_eq!(rows, there, "{table} in {name}; {place}");
                }
            }
            for side in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(beside(&plain, side));
            }
            found.insert(data.to_owned(), manifest);
        }
        found
    }

    fn left_nothing_behind(&self, place: &str) {
        for folder in [self.server.backups(), self.server.root().join("data")] {
            for name in names(&folder) {
                let leftover = name.ends_with(".part")
                    || name.ends_with(".del")
                    || name.contains("scratch")
                    || name.contains(".restore.");
                assert!(!leftover, "{name} is left; {place}");
                let lost = name.ends_with(".gz")
                    && !folder.join(format!("{name}.json")).exists()
                    && !self.start().join("root/backups").join(&name).exists();
                assert!(!lost, "{name} has no manifest; {place}");
            }
        }
    }

    /// Rows of `users` in the newest backup.
    fn newest_users(&self) -> Value {
        let newest = self.server.list("app_db").pop().unwrap();
        let manifest = fs::read(beside(&newest, ".json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["database"]["tables"]["users"].clone()
    }
}

/// The backup is made, and something is left for the next run to remove or to finish.
fn tells_of_leftovers(ran: &Ran) -> bool {
    let ids = finding_ids(&ran.json(), "");
    ids.iter()
        .any(|id| id == "backup.prune-failed" || id == "backup.unswept")
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn require_sound(database: &Path, place: &str) {
    let verdict: String = Connection::open(database)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok", "{}; {place}", database.display());
}

fn first_backup() -> Operation {
    Operation::new(Server::new(), "backup", |operation| {
        assert_eq!(operation.newest_users(), operation.before);
        for series in ["journal", "files"] {
            assert!(!operation.server.list(series).is_empty(), "{series}");
        }
    })
    .ready()
}

/// Of a database that does not get smaller, so that most of the backup is written past the page cache.
fn large_backup() -> Operation {
    let server = Server::new();
    Connection::open(server.database())
        .unwrap()
        .execute_batch("CREATE TABLE noise (x); INSERT INTO noise VALUES (randomblob(3500000))")
        .unwrap();
    Operation::new(server, "backup --database app_db", |operation| {
        assert_eq!(operation.newest_users(), operation.before);
    })
    .ready()
}

/// The fourth of four days, of which two are kept.
fn pruning_backup() -> Operation {
    let server =
        Server::new().config("[backup.keep]\ndaily = 2\nweekly = 0\nmonthly = 0\nminimum = 1");
    for day in [16, 17] {
        server
            .run(&format!(
                "backup --database app_db --now 2026-11-{day}T03:00:00Z"
            ))
            .expect(0);
    }
    // Made when more was kept: both go at once.
    let kept = server.path().join("kept");
    copy(&server.backups(), &kept);
    for day in [18, 19] {
        server
            .run(&format!(
                "backup --database app_db --now 2026-11-{day}T03:00:00Z"
            ))
            .expect(0);
    }
    copy(&kept.join("."), &server.backups());
    let mut operation = Operation::new(
        server,
        &format!("backup --database app_db --now {NIGHT}"),
        |operation| {
            assert_eq!(operation.newest_users(), operation.before);
            let left = operation.server.list("app_db");
            for gone in &operation.dispensable {
                assert!(!left.iter().any(|path| path.ends_with(gone)), "{left:?}");
            }
        },
    );
    let all = names(&operation.server.backups());
    let data = all.into_iter().filter(|name| name.ends_with(".gz"));
    operation.dispensable = data.filter(|name| !name.contains("20261119T")).collect();
    assert_eq!(operation.dispensable.len(), 3);
    operation.ready()
}

/// A backup of 500 users over a database that has 600 by now.
fn restore() -> Operation {
    let server = Server::new();
    server
        .run(&format!("backup --database app_db --now {NIGHT}"))
        .expect(0);
    Connection::open(server.database())
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE c(n) AS (SELECT 501 UNION ALL SELECT n + 1 FROM c WHERE n < 600)
             INSERT INTO users (username) SELECT 'later' || n FROM c",
        )
        .unwrap();
    let line = format!("restore app_db --force --now {NIGHT}");
    let mut operation = Operation::new(server, &line, |operation| {
        let live = operation.copy_of_live();
        assert_eq!(users(&live), operation.after);
        let mode: String = Connection::open(&live)
            .unwrap()
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
        let folder = live.parent().unwrap();
        let kept = names(folder)
            .into_iter()
            .filter(|name| name.starts_with("app.db.before-restore-") && name.ends_with('Z'));
        let old = kept.filter(|name| users(&folder.join(name)) == operation.before);
        assert_eq!(old.count(), 1);
    });
    operation.after = 500;
    operation.ready()
}

/// A database without a write-ahead log goes through a scratch copy.
fn backup_through_scratch() -> Operation {
    let server = Server::new();
    Connection::open(server.database())
        .unwrap()
        .query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))
        .unwrap();
    Operation::new(server, "backup --database app_db", |operation| {
        assert_eq!(operation.newest_users(), operation.before);
    })
    .ready()
}

/// Its predecessor had given the data its name, and not the manifest.
fn backup_after_half_a_commit() -> Operation {
    pruning_backup().killed_before("commit", |call| {
        call.op == "rename" && call.path.ends_with(format!(".{TONIGHT}.json.part"))
    })
}

/// Its predecessor was removing an old one.
fn backup_after_half_a_removal() -> Operation {
    pruning_backup().killed_before("removal", |call| {
        call.op == "unlink" && call.path.extension().is_some_and(|end| end == "gz")
    })
}

/// Its predecessor had prepared everything for the swap.
fn restore_after_no_swap() -> Operation {
    restore().killed_before("swap", |call| {
        call.op == "rename" && call.path.ends_with(".app.db.restore.part")
    })
}

/// Its predecessor had swapped, and not checked yet.
fn restore_after_a_swap() -> Operation {
    restore().killed_before("removal of the intent", |call| {
        call.op == "unlink" && call.path.ends_with(".app.db.restore.json")
    })
}

fn adoption() -> Operation {
    let server = Server::new();
    fs::create_dir(server.backups()).unwrap();
    let made = server.backups().join("app_db_20250101_030000.db.gz");
    let output = Command::new("gzip")
        .stdin(fs::File::open(server.database()).unwrap())
        .output();
    fs::write(made, output.unwrap().stdout).unwrap();
    let line = "backup adopt app_db_20250101_030000.db.gz";
    Operation::new(server, line, |operation| {
        assert_eq!(operation.newest_users(), 500);
    })
    .ready()
}

fn pin() -> Operation {
    let server = Server::new();
    server
        .run(&format!("backup --database app_db --now {NIGHT}"))
        .expect(0);
    Operation::new(server, &format!("backup pin {TONIGHT}"), |operation| {
        let published = operation.published("pinned");
        assert!(
            published
                .values()
                .all(|manifest| manifest["pinned"].is_object())
        );
    })
    .ready()
}

macro_rules! every_operation_survives {
    ($($operation:ident)*) => { $(mod $operation {
        use crate::support::faults::Kind;
        use super::$operation as operation;

        #[test]
        fn a_kill() {
            operation().survives(Kind::Kill);
        }

        #[test]
        fn a_power_cut() {
            operation().survives(Kind::PowerCut);
        }

        #[test]
        fn lost_names() {
            operation().survives(Kind::LostNames);
        }

        #[test]
        fn a_disk_that_is_full_for_a_moment() {
            operation().survives(Kind::Enospc { sticky: false });
        }

        #[test]
        fn a_disk_that_stays_full() {
            operation().survives(Kind::Enospc { sticky: true });
        }

        #[test]
        fn an_input_output_error() {
            operation().survives(Kind::Eio);
        }

        #[test]
        fn a_short_write() {
            operation().survives(Kind::Short);
        }
    })* };
}

every_operation_survives! {
    first_backup large_backup pruning_backup backup_through_scratch backup_after_half_a_commit backup_after_half_a_removal
    restore restore_after_no_swap restore_after_a_swap adoption pin
}

#[test]
fn a_file_system_that_takes_no_write_past_the_cache() {
    const WINDOW: &str = "1048576";
    let operation = large_backup();
    let writes = |refused: bool| {
        operation.back_to_start();
        let file = operation.server.path().join("log");
        let _ = fs::remove_file(&file);
        let mut command = operation.command();
        let faults = operation.faults(operation.server.root());
        faults.log(&mut command, &file);
        if refused {
            faults.refuse(&mut command, "write", ".db.gz.part");
        }
        Ran::of(&mut command).expect(0);
        operation.keeps_its_promises("written");
        (operation.done)(&operation);
        read_log(&file)
            .into_iter()
            .filter(|call| call.op == "write" && call.path.to_string_lossy().ends_with(".gz.part"))
            .map(|call| call.result)
            .collect::<Vec<_>>()
    };
    let direct = writes(false);
    assert!(direct.len() > 3 && direct[0] == WINDOW, "{direct:?}");
    let through = writes(true);
    assert_eq!(through[0], "EINVAL");
    assert_eq!(through[1..], direct);
}

/// The position of the first call that answers, behind `after`.
fn position(log: &[Call], after: usize, what: &str, is: impl Fn(&Call) -> bool) -> usize {
    let found = log
        .iter()
        .enumerate()
        .skip(after)
        .find(|(_, call)| is(call));
    found
        .unwrap_or_else(|| panic!("no {what} behind {after} in {log:#?}"))
        .0
}

fn renames(call: &Call, to: &Path) -> bool {
    call.op == "rename" && call.result == "0" && call.to.as_deref() == Some(to)
}

fn syncs(call: &Call, path: &Path) -> bool {
    call.is_sync() && call.path == path
}

#[test]
fn a_backup_is_durable_before_it_is_announced_and_announced_before_any_is_removed() {
    let operation = pruning_backup();
    let log = operation.log();
    let folder = operation.server.backups();
    let name = TONIGHT;
    let (gz, index) = (folder.join(name), folder.join(format!("{name}.idx")));
    let manifest = folder.join(format!("{name}.json"));
    let part = |suffix: &str| folder.join(format!(".{name}{suffix}.part"));
    let first_rename = position(&log, 0, "rename of the data", |call| renames(call, &gz));
    let mut written = 0;
    for part in [part(""), part(".idx"), part(".json")] {
        let is_write = |call: &Call| call.op == "write" && call.path == part;
        let last = log.iter().rposition(is_write).unwrap();
        written = written.max(position(&log, last, "sync of a part", |call| {
            syncs(call, &part)
        }));
    }
    let names = position(&log, written, "sync of the names", |call| {
        syncs(call, &folder)
    });
    assert!(
        names < first_rename,
        "the parts are durable first: {log:#?}"
    );
    let renamed = first_rename.max(position(&log, 0, "rename of the index", |call| {
        renames(call, &index)
    }));
    let synced = position(&log, renamed, "sync of the names", |call| {
        syncs(call, &folder)
    });
    let commit = position(&log, 0, "commit", |call| renames(call, &manifest));
    assert!(synced < commit, "the data is durable first: {log:#?}");
    let committed = position(&log, commit, "sync of the commit", |call| {
        syncs(call, &folder)
    });
    let is_old = |path: &Path| {
        let shown = path.to_string_lossy();
        operation
            .dispensable
            .iter()
            .any(|name| shown.contains(name.as_str()))
    };
    let removal = position(&log, 0, "removal", |call| {
        matches!(call.op.as_str(), "unlink" | "rename") && is_old(&call.path)
    });
    assert!(
        committed < removal,
        "the new one is durable first: {log:#?}"
    );
    // Each of those that go loses its promise before its data.
    for name in &operation.dispensable {
        let doomed = folder.join(format!("{name}.json.del"));
        let promise = position(&log, committed, "doom", |call| renames(call, &doomed));
        let synced = position(&log, promise, "sync of it", |call| syncs(call, &folder));
        let unlinked = position(&log, 0, "unlink", |call| {
            call.op == "unlink" && call.path == folder.join(name)
        });
        assert!(synced < unlinked, "{name}: {log:#?}");
    }
}

#[test]
fn a_restored_database_is_durable_before_it_takes_the_name() {
    let operation = restore();
    let log = operation.log();
    let target = operation.server.database();
    let folder = target.parent().unwrap();
    let swap = position(&log, 0, "swap", |call| renames(call, &target));
    let aside = position(&log, 0, "second name of the old one", |call| {
        call.op == "link" && call.path == target
    });
    let intent = position(&log, 0, "intent", |call| {
        renames(call, &folder.join(".app.db.restore.json"))
    });
    for (part, before) in [
        (".app.db.restore.part", swap),
        (".app.db.restore.json.part", intent),
    ] {
        let part = folder.join(part);
        let is_write = |call: &Call| call.op == "write" && call.path == part;
        let last = log.iter().rposition(is_write).unwrap();
        let synced = position(&log, last, "sync of a part", |call| syncs(call, &part));
        assert!(synced < before, "{}: {log:#?}", part.display());
    }
    for (before, after) in [(intent, aside), (aside, swap)] {
        let synced = position(&log, before, "sync of the names", |call| {
            syncs(call, folder)
        });
        assert!(synced < after, "{log:#?}");
    }
    let synced = position(&log, swap, "sync of the swap", |call| syncs(call, folder));
    let forgotten = position(&log, swap, "removal of the intent", |call| {
        call.op == "unlink" && call.path.ends_with(".app.db.restore.json")
    });
    assert!(synced < forgotten, "{log:#?}");
}

/// The journal is worth a finding, never a backup.
#[test]
fn a_journal_that_cannot_be_written_stops_no_backup() {
    let mut operation = first_backup();
    operation.line.push_str(" --database app_db");
    operation.done = |operation| assert_eq!(operation.newest_users(), operation.before);
    let faults = operation.faults(operation.server.state());
    operation.back_to_start();
    let mut command = operation.command();
    let counter = faults.count(&mut command);
    Ran::of(&mut command).expect(0);
    let mut said = 0;
    for kind in [Kind::Eio, Kind::Enospc { sticky: true }] {
        for at in points(counter.total(), 25) {
            operation.back_to_start();
            let mut command = operation.command();
            faults.inject(&mut command, kind, at);
            let ran = Ran::of(&mut command);
            let place = format!("{kind:?} at {at} of the state: {ran:?}");
            assert!(matches!(ran.code, 0 | 1), "{place}");
            operation.keeps_its_promises(&place);
            (operation.done)(&operation);
            let findings = finding_ids(&ran.json(), "");
            let unwritable = findings.iter().any(|id| id == "journal.unwritable");
            assert_eq!(unwritable, ran.code == 1, "{place}");
            said += u32::from(unwritable);
            let again = Ran::of(&mut operation.command());
            assert!(matches!(again.code, 0 | 1), "{place}\nand again: {again:?}");
        }
    }
    assert!(said > 10, "{said}");
}

/// A server with a database that takes a while, and a backup of it that has begun to write.
fn backup_underway() -> (Server, Child) {
    let server = Server::empty();
    fill(&server.database(), 200_000);
    let child = server
        .command(["backup", "--database", "app_db", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let writes = |name: &String| {
        let meta = fs::metadata(server.backups().join(name));
        name.ends_with(".db.gz.part") && meta.is_ok_and(|meta| meta.size() > 0)
    };
    while !names(&server.backups()).iter().any(writes) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    (server, child)
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The lock is free, and the backup that did not come to its end does no harm to the next.
fn goes_on_at_once(server: &Server, code: i32) -> Value {
    let ran = server
        .run("backup --database app_db --lock-wait 0s --json")
        .expect(code);
    assert_eq!(server.list("app_db").len(), 1);
    server.run("verify-backup app_db").expect(0);
    ran.json()
}

#[test]
fn a_signal_ends_a_backup_cleanly() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1)] {
        let (server, child) = backup_underway();
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(128 + number),
            "{signal}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["exit_code"], 128 + number, "{signal}");
        let left = names(&server.backups());
        assert!(
            left.iter().all(|name| name.ends_with(".lock")),
            "{signal}: {left:?}"
        );
        let report = goes_on_at_once(&server, 0);
        assert!(
            finding_ids(&report, "")
                .iter()
                .all(|id| id != "task.interrupted")
        );
    }
}

#[test]
fn a_killed_run_is_in_the_journal_as_interrupted() {
    let (server, mut child) = backup_underway();
    send("-KILL", &child);
    assert_eq!(child.wait().unwrap().code(), None);
    let states = || {
        let (code, report) = server.json("history --task backup");
        assert_eq!(code, 0, "{report:#}");
        let runs = report["data"]["runs"].as_array().unwrap().clone();
        let states = runs
            .iter()
            .map(|run| run["state"].as_str().unwrap().to_owned());
        states.collect::<Vec<_>>()
    };
    assert_eq!(states(), ["interrupted"], "before any other run has looked");
    let report = goes_on_at_once(&server, 1);
    assert!(finding_ids(&report, "backup, in part").contains(&"task.interrupted".to_owned()));
    assert_eq!(states(), ["finished", "interrupted"]);
}

#[test]
fn data_that_somebody_else_made_outlives_a_killed_adoption() {
    let operation = adoption().killed_before("commit of the adoption", |call| {
        call.op == "rename" && call.path.extension().is_some_and(|end| end == "part")
    });
    operation.back_to_start();
    let server = &operation.server;
    let made = server.list("app_db").remove(0);
    // Changed since, so that the manifest that was about to be written is wrong by now.
    fs::write(&made, "something else").unwrap();
    server.run("backup --database app_db").expect(0);
    assert_eq!(fs::read(&made).unwrap(), b"something else");
    operation.left_nothing_behind("after the next backup");
}

#[test]
fn scratch_space_is_swept_once_its_run_is_dead() {
    let server = Server::new();
    let [dead, alive] = ["dead", "alive"].map(|name| {
        server
            .backups()
            .join(format!(".empire-maint-scratch-{name}"))
    });
    for folder in [&dead, &alive] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("restored.db"), "content").unwrap();
    }
    let held = fs::File::open(&alive).unwrap();
    held.lock().unwrap();
    server.run("backup --database app_db").expect(0);
    assert!(!dead.exists());
    assert!(alive.join("restored.db").exists());
    drop(held);
    server.run("backup --database app_db").expect(0);
    assert!(!alive.exists());
}

#[test]
fn half_an_intent_stops_no_rerun() {
    let operation = restore().killed_before("content of the intent", |call| {
        call.op == "write" && call.path.to_string_lossy().contains(".restore.json")
    });
    operation.back_to_start();
    Ran::of(&mut operation.command()).expect(0);
    (operation.done)(&operation);
    operation.left_nothing_behind("after the rerun");
}

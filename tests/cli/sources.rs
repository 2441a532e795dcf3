//! What sources are like: logs that grow, modes without a log, odd names, a disk that fills, a previous backup that rotted.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{
    BINARY, Paused, Ran, Server, beside, fill, finding, finding_ids, sql, users, zcat,
};

/// The message of the finding `id` about `subject`.
fn message(report: &Value, id: &str, subject: &str) -> String {
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["id"] == id && finding["subject"] == subject);
    let found = found.unwrap_or_else(|| panic!("no {id} about {subject}: {report:#}"));
    found["message"].as_str().unwrap().to_owned()
}

/// What is in the backup folder that is neither a published backup nor a lock.
fn leftovers(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.backups()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') && !name.ends_with(".lock"))
        .collect()
}

/// Commits so many MiB that no checkpoint folds in.
fn grow_log(connection: &Connection, mib: u32) {
    connection
        .execute_batch(&format!(
            "PRAGMA wal_autocheckpoint=0;
             WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {mib})
               INSERT INTO users (username) SELECT hex(randomblob(524288)) FROM c;"
        ))
        .unwrap();
}

#[test]
fn a_log_that_grows_while_we_read_stops_that_backup_and_says_so() {
    let server = Server::new().config(
        "[[database]]\nname = \"other\"\npath = \"data/other.db\"\n[backup]\nmax_wal = \"2MiB\"",
    );
    fill(&server.root().join("data/other.db"), 10);
    let app = Connection::open(server.database()).unwrap();
    let mut command = server.command(["backup", "--json"]);
    let run = Paused::before("open", ".db.gz.part", &server.backups(), &mut command);
    grow_log(&app, 4);
    let ran = run.resume();
    assert_eq!(ran.code, 2, "{ran:?}");
    let said = message(&ran.json(), "backup.failed", "app_db");
    assert!(
        said.contains("app.db-wal grew from 0 B to 4.") && said.contains("(limit 2.0 MiB)"),
        "{said}"
    );
    assert!(server.list("app_db").is_empty());
    assert_eq!(server.list("other").len(), 1, "the others are done");
    assert_eq!(leftovers(&server), Vec::<String>::new());
    // The log can be folded in again: nobody holds a snapshot any more.
    let busy: i64 = app
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0);
    server.run("backup").expect(0);
}

/// The pages are through at once, and the checks hold the state for much longer.
#[test]
fn a_log_that_grows_while_the_checks_run_stops_them() {
    let server = Server::new().config("[backup]\nmax_wal = \"2MiB\"");
    server.run("backup").expect(0);
    let before = server.list("app_db");
    let app = Connection::open(server.database()).unwrap();
    let keys: Vec<_> = (0..30)
        .map(|n| format!("c{n} TEXT REFERENCES p(id)"))
        .collect();
    let values = vec!["'key ' || (n % 1000)"; 30].join(", ");
    app.execute_batch(&format!(
        "CREATE TABLE p(id TEXT PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE s({});
         WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 999) INSERT INTO p SELECT 'key ' || n FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40000) INSERT INTO s SELECT {values} FROM c;
         PRAGMA wal_checkpoint(TRUNCATE)",
        keys.join(", ")
    ))
    .unwrap();
    let mut backup = server.command(["backup", "--json"]);
    let running = backup.stdout(Stdio::piped()).spawn().unwrap();
    // Whenever the run looks, the log has grown past the limit: as soon as it has begun to hold a state.
    let part = || {
        leftovers(&server)
            .iter()
            .any(|name| name.ends_with(".part"))
    };
    while !part() {
        std::thread::sleep(Duration::from_millis(2));
    }
    grow_log(&app, 4);
    let ran = running.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{report:#}");
    let said = message(&report, "backup.failed", "app_db");
    assert_eq!(said.matches("app.db-wal grew from").count(), 1, "{said}");
    assert_eq!(server.list("app_db"), before);
    assert_eq!(leftovers(&server), Vec::<String>::new());
}

/// The log of a database that is configured through a link lies beside the file, not beside the link.
#[test]
fn side_files_of_a_linked_database_are_its_own() {
    let server = Server::new().config(
        "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n[[backup.file]]\npath = \"real\"\n[backup]\nmax_wal = \"2MiB\"",
    );
    let real = server.root().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("notes.txt"), "kept").unwrap();
    fill(&real.join("rag.db"), 10);
    std::os::unix::fs::symlink("../real/rag.db", server.root().join("data/rag.db")).unwrap();
    let app = Connection::open(real.join("rag.db")).unwrap();
    grow_log(&app, 1);
    let (code, report) = server.json("backup");
    assert_eq!(code, 0, "{report:#}");
    let peak = report["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|metric| {
            metric["name"] == "backup_wal_peak_bytes" && metric["labels"]["database"] == "rag_db"
        })
        .unwrap();
    assert!(peak["value"].as_u64().unwrap() > 1 << 20, "{peak}");
    let archive = server.list("files").remove(0);
    let listed = Command::new("tar")
        .arg("-tzf")
        .arg(&archive)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("real/notes.txt"), "{listed}");
    assert!(!listed.contains("rag.db-"), "{listed}");
}

/// A log never shrinks while the app has the database open. One that was large once must not stop every later backup.
#[test]
fn a_log_that_was_large_before_is_no_reason_to_stop() {
    let server = Server::new().config("[backup]\nmax_wal = \"2MiB\"");
    let app = Connection::open(server.database()).unwrap();
    grow_log(&app, 4);
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 0, "{report:#}");
    let metrics = report["metrics"].as_array().unwrap();
    let peak = metrics
        .iter()
        .find(|metric| metric["name"] == "backup_wal_peak_bytes")
        .unwrap();
    assert!(peak["value"].as_u64().unwrap() > 4 << 20, "{peak}");
}

#[test]
fn without_wal_the_lock_is_bounded_and_reported() {
    let server = Server::empty().config("[backup]\nmax_lock = \"1ms\"");
    let app = Connection::open(server.database()).unwrap();
    app.execute_batch(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40)
           INSERT INTO users SELECT n, hex(randomblob(524288)) FROM c;",
    )
    .unwrap();
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 2, "{report:#}");
    let said = message(&report, "backup.failed", "app_db");
    assert!(
        said.contains("is not in WAL mode and its writers would wait")
            && said.contains("(limit 1 ms)"),
        "{said}"
    );
    assert!(server.list("app_db").is_empty());
    assert_eq!(leftovers(&server), Vec::<String>::new());
    app.execute_batch("INSERT INTO users (name) VALUES ('not held up')")
        .unwrap();
    let server = server.config("");
    let text = fs::read_to_string(server.config_path()).unwrap();
    fs::write(server.config_path(), text.replace("1ms", "1m")).unwrap();
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 0, "{report:#}");
    let said = message(&report, "backup.not-wal", "app_db");
    assert!(said.contains("its writers had to wait "), "{said}");
    drop(app);
    let plain = server.path().join("plain.db");
    zcat(&server.list("app_db")[0], &plain);
    assert!(fs::read(plain).unwrap() == fs::read(server.database()).unwrap());
}

/// The app died in a transaction: what its journal would roll back is not in the database yet, and reading it as it is would be wrong.
#[test]
fn a_database_with_a_hot_journal_is_never_read_as_it_lies_there() {
    let server = Server::empty();
    let path = server.database();
    let app = Connection::open(&path).unwrap();
    app.execute_batch(
        "PRAGMA cache_size=5; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000)
           INSERT INTO users SELECT n, hex(randomblob(100)) FROM c;
         BEGIN; UPDATE users SET name = 'half done';",
    )
    .unwrap();
    let crashed = server.root().join("data/crashed.db");
    fs::copy(&path, &crashed).unwrap();
    fs::copy(beside(&path, "-journal"), beside(&crashed, "-journal")).unwrap();
    drop(app);
    let server = server.config("[[database]]\nname = \"crashed\"\npath = \"data/crashed.db\"");
    let (code, report) = server.json("backup --database crashed");
    assert_eq!(code, 2, "{report:#}");
    assert!(server.list("crashed").is_empty());
    let findings = report["findings"].as_array().unwrap();
    let failed = findings.iter().find(|found| found["id"] == "backup.failed");
    let hint = failed.unwrap()["hint"].as_str().unwrap();
    let (_, command) = hint.split_once(", or: ").unwrap();
    let run = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(run.success(), "{command}");
    server.run("backup --database crashed").expect(0);
    let plain = server.path().join("plain.db");
    zcat(&server.list("crashed")[0], &plain);
    let half = "SELECT count(*) FROM users WHERE name = 'half done'";
    assert_eq!(crate::support::number(&plain, half), 0);
}

#[test]
fn one_disk_for_data_and_backups_is_said_once() {
    let server = Server::new();
    let said = |line: &str| {
        let (_, report) = server.json(line);
        finding_ids(&report, "app_db").contains(&"backup.same-device".to_owned())
    };
    server.run("backup list").expect(3); // there is no folder yet
    assert!(said("backup"));
    assert!(!said("backup") && !said("backup"));
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let elsewhere = Server::new().config(&format!("[backup]\ndir = {:?}", shm.path()));
    let (_, report) = elsewhere.json("backup");
    assert!(!finding_ids(&report, "app_db").contains(&"backup.same-device".to_owned()));
}

/// A real disk, as small as it takes, that is full before the backup is whole. Mounting it needs root.
#[test]
fn a_disk_that_fills_while_it_is_written_leaves_what_was_there() {
    let mounts = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        return;
    }
    for reserve in ["0", "300KiB"] {
        let server = Server::empty().config(&format!(
            "[[database]]\nname = \"small\"\npath = \"data/small.db\"\n[backup]\nreserve = \"{reserve}\""
        ));
        fill(&server.root().join("data/small.db"), 10);
        fill(&server.database(), 10);
        Connection::open(server.database())
            .unwrap()
            .execute_batch("CREATE TABLE noise AS SELECT randomblob(3500000) AS x")
            .unwrap();
        fs::create_dir(server.backups()).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=2200k tmpfs '{backups}' || exit 99
             {BINARY} -c '{config}' backup --json; echo $? >'{root}/code'
             ls -A '{backups}' >'{root}/left'; rm -f '{backups}'/small*
             {BINARY} -c '{config}' verify-backup small >/dev/null; umount '{backups}'",
            backups = server.backups().display(),
            config = server.config_path().display(),
            root = server.path().display(),
        );
        let ran = Ran::of(Command::new("unshare").args(["-m", "sh", "-c", &script]));
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(
            fs::read_to_string(server.path().join("code")).unwrap(),
            "2\n"
        );
        let said = message(&report, "backup.failed", "app_db");
        assert!(
            said.contains("No space left on device") || said.contains("not enough space"),
            "{said}"
        );
        let left = fs::read_to_string(server.path().join("left")).unwrap();
        assert!(
            left.contains("small_") && left.contains("files_"),
            "the others are done: {left}"
        );
        assert!(
            !left.contains("part") && !left.contains("app_db_"),
            "{left}"
        );
    }
}

#[test]
fn the_lines_that_a_finding_suggests_work_as_they_are() {
    let server = Server::new();
    let odd = server.root().join("data/it's \"odd\" here.db");
    fill(&odd, 7);
    fill(&server.root().join("data/files.db"), 7);
    let (code, report) = server.json("backup");
    assert_eq!(code, 1, "{report:#}");
    let findings = report["findings"].as_array().unwrap().iter();
    let found: Vec<_> = findings
        .filter(|finding| finding["id"] == "backup.unconfigured-database")
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1]["subject"], odd.display().to_string());
    for found in found {
        let hint = found["hint"].as_str().unwrap();
        let status = Command::new("sh").args(["-c", hint]).status();
        assert!(status.unwrap().success(), "{hint}");
    }
    let (code, report) = server.json("backup");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["published"].as_array().unwrap().len(), 5);
}

/// Finding and subject of the alerts that are open.
fn open_alerts(server: &Server) -> Vec<(String, String)> {
    let (_, report) = server.json("alerts list");
    let incidents = report["data"]["incidents"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    incidents
        .map(|one| (text(&one["finding"]), text(&one["subject"])))
        .collect()
}

#[test]
fn a_closed_folder_hides_no_database_but_its_own_and_resolves_none() {
    let server = Server::new();
    let closed = server.root().join("a_closed");
    fs::create_dir(&closed).unwrap();
    fs::create_dir(server.root().join("z")).unwrap();
    let [inside, mended, behind] =
        ["a_closed/inside.db", "mended.db", "z/behind.db"].map(|name| server.root().join(name));
    let user = 23_457;
    for path in [&inside, &mended] {
        fill(path, 5);
    }
    server.run("backup").expect(1);
    if !server.give_to(user) {
        return;
    }
    fill(&behind, 5);
    fs::remove_file(&mended).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&closed, Some(0), Some(0)).unwrap();
    let mut command = server.command_as(user, ["backup", "--json"]);
    let report = Ran::of(command.env("STATE_DIRECTORY", server.state())).json();
    const ID: &str = "backup.unconfigured-database";
    message(&report, ID, &behind.display().to_string());
    let said = message(
        &report,
        "backup.uncovered",
        &server.root().display().to_string(),
    );
    let named = format!(
        "1 path could not be looked into, the first is {}",
        closed.display()
    );
    assert!(said.contains(&named), "{said}");
    let open = open_alerts(&server);
    let is_open = |path: &Path| open.contains(&(ID.to_owned(), path.display().to_string()));
    assert!(
        is_open(&inside) && is_open(&behind) && !is_open(&mended),
        "{open:?}"
    );
}

#[test]
fn an_archive_of_files_that_fails_midway_has_looked_at_nothing() {
    let server = Server::new().config("[[backup.file]]\npath = \"more\"");
    let folder = server.root().join("more");
    fs::create_dir(&folder).unwrap();
    fill(&folder.join("z.db"), 5);
    let pipe = Command::new("mkfifo").arg(folder.join("z.pipe")).status();
    assert!(pipe.unwrap().success());
    server.run("backup --database files").expect(1);
    let open = open_alerts(&server);
    let about = format!("{open:?}");
    assert!(
        about.contains("backup.database-in-files") && about.contains("backup.file-skipped"),
        "{about}"
    );
    let mut large = fs::File::create(folder.join("a.bin")).unwrap();
    let mut random = std::io::Read::take(fs::File::open("/dev/urandom").unwrap(), 8 << 20);
    std::io::copy(&mut random, &mut large).unwrap();
    let ours = server.command(["backup", "--database", "files", "--json"]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
        .arg(ours.get_program())
        .args(ours.get_args())
        .envs(
            ours.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
    let report = Ran::of(&mut limited).json();
    message(&report, "backup.failed", "files");
    let after = open_alerts(&server);
    assert!(open.iter().all(|one| after.contains(one)), "{after:?}");
}

#[test]
fn what_is_in_no_backup_is_named_by_size() {
    let server = Server::new();
    fs::write(server.root().join("uploads.bin"), vec![1; 300_000]).unwrap();
    fs::create_dir(server.root().join("node_modules")).unwrap();
    fs::write(server.root().join("node_modules/big"), vec![1; 900_000]).unwrap();
    let (_, report) = server.json("backup");
    let said = message(
        &report,
        "backup.uncovered",
        &server.root().display().to_string(),
    );
    assert!(said.contains("uploads.bin (293 KiB)"), "{said}");
    assert!(
        !said.contains("node_modules") && !said.contains("backups"),
        "{said}"
    );
    assert!(!said.contains("data"), "the databases are covered: {said}");
    let server = server.config("[[backup.file]]\npath = \"uploads.bin\"");
    let (_, report) = server.json("backup");
    assert!(!finding_ids(&report, "").contains(&"backup.uncovered".to_owned()));
}

#[test]
fn names_with_blanks_and_quotes_go_the_whole_way() {
    let server = Server::empty();
    let path = server.root().join("data/it's \"the\" db.db");
    fill(&path, 30);
    let server = server.config(&format!(
        "[[database]]\nname = \"my db.2\"\npath = {path:?}\nexpect_tables = [\"users\"]"
    ));
    server
        .run_args(["backup", "--database", "my db.2"])
        .expect(0);
    let listed = server.run_args(["backup", "list", "my db.2"]).expect(0).out;
    assert!(listed.contains("my db.2_20"), "{listed}");
    server.run_args(["verify-backup", "my db.2"]).expect(0);
    let to = server.path().join("a 'new' \"place\".db");
    server
        .run_args([
            "restore".as_ref(),
            "my db.2".as_ref(),
            "--to".as_ref(),
            to.as_os_str(),
        ])
        .expect(0);
    assert_eq!(users(&to), 30);
    server.run_args(["restore", "my db.2", "--force"]).expect(0);
    assert_eq!(users(&path), 30);
}

#[test]
fn a_root_that_is_not_utf_8_goes_the_whole_way() {
    let server = Server::new();
    let root: PathBuf = server.path().join(OsStr::from_bytes(b"r\xff\xfe"));
    fs::create_dir_all(root.join("data")).unwrap();
    fill(&root.join("data/app.db"), 40);
    let run = |words: &[&OsStr]| {
        let mut all = vec![OsStr::new("--root"), root.as_os_str()];
        all.extend(words);
        server.run_args(all)
    };
    run(&["backup".as_ref()]).expect(0);
    run(&["backup".as_ref(), "--json".as_ref()])
        .expect(0)
        .json();
    run(&["backup".as_ref(), "list".as_ref()]).expect(0);
    run(&["verify-backup".as_ref()]).expect(0);
    run(&["config".as_ref(), "show".as_ref(), "--json".as_ref()]).expect(0);
    run(&["restore".as_ref(), "app_db".as_ref(), "--force".as_ref()]).expect(0);
    assert_eq!(users(&root.join("data/app.db")), 40);
    let backups = fs::read_dir(root.join("backups")).unwrap();
    let backup = backups
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with("Z.db.gz"))
        .unwrap();
    run(&[
        "verify-backup".as_ref(),
        "--file".as_ref(),
        backup.as_os_str(),
    ])
    .expect(0);
    let to = server.path().join(OsStr::from_bytes(b"copy\xfe.db"));
    run(&[
        "restore".as_ref(),
        "--file".as_ref(),
        backup.as_os_str(),
        "--to".as_ref(),
        to.as_os_str(),
    ])
    .expect(0);
    assert!(to.exists());
}

#[test]
fn a_backup_that_was_cut_short_is_noticed_without_a_look_into_it() {
    let server = Server::empty();
    fill(&server.database(), 2000);
    server.run("backup --database app_db").expect(0);
    let first = server.list("app_db").pop().unwrap();
    let length = fs::metadata(&first).unwrap().len();
    let file = fs::File::options().write(true).open(&first).unwrap();
    file.set_len(length - 1000).unwrap();
    let listed = server.run("backup list app_db").expect(0).out;
    assert!(listed.contains("bad: it has "), "{listed}");
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 2, "{report:#}");
    let name = first.file_name().unwrap().to_str().unwrap();
    let said = message(&report, "backup.previous-damaged", name);
    assert!(
        said.contains(&format!("{} bytes, and {length} when", length - 1000)),
        "{said}"
    );
    assert_eq!(report["data"]["published"][0]["copied_members"], 0);
    assert!(server.manifest(&first)["bad"]["reason"].is_string());
    server.run("backup --database app_db").expect(0);
}

#[test]
fn a_previous_backup_that_rotted_is_noticed_and_never_copied_from() {
    let server = Server::empty();
    fill(&server.database(), 20_000);
    server.run("backup --database app_db").expect(0);
    let first = server.list("app_db").pop().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).unwrap();
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 2, "{report:#}");
    let file = first.file_name().unwrap().to_str().unwrap();
    let said = message(&report, "backup.previous-damaged", file);
    assert!(said.contains("compressed anew"), "{said}");
    let second = server.list("app_db").pop().unwrap();
    let plain = server.path().join("plain.db");
    zcat(&second, &plain);
    assert_eq!(users(&plain), 20_000);
    let listed = server.run("backup list app_db").expect(0).out;
    let line = |path: &Path| {
        let stem = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".db.gz");
        listed
            .lines()
            .find(|line| line.contains(stem))
            .unwrap()
            .to_owned()
    };
    assert!(line(&first).contains("bad: "), "{listed}");
    assert!(line(&second).contains("checked"), "{listed}");
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(
        code, 0,
        "said once, and the good one is copied from: {report:#}"
    );
    assert!(
        report["data"]["published"][0]["copied_members"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[test]
fn what_is_being_verified_is_not_pruned_meanwhile() {
    let server =
        Server::new().config("[backup.keep]\ndaily = 1\nweekly = 0\nmonthly = 0\nminimum = 1");
    server
        .run("backup --database app_db --now 2026-11-01T03:00:00Z")
        .expect(0);
    let mut command = server.command("verify-backup app_db --now 2026-11-01T05:00:00Z".split(' '));
    let verify = Paused::before("write", ".db", &server.backups(), &mut command);
    let (code, report) =
        server.json("backup --database app_db --lock-wait 0s --now 2026-11-02T03:00:00Z");
    assert_eq!(code, 3, "{report:#}");
    let said = message(&report, "task.failed", "backup, in part");
    let holder = format!(
        "in use by empire-maint verify-backup (process {})",
        verify.id()
    );
    assert!(said.contains(&holder), "{said}");
    assert_eq!(server.list("app_db").len(), 1);
    verify.resume().expect(0);
    server
        .run("backup --database app_db --now 2026-11-02T03:00:00Z")
        .expect(0);
    assert_eq!(server.list("app_db").len(), 1, "and now the old one went");
}

/// A pipe or a device under a configured name would hold the run up for ever.
#[test]
fn a_source_that_is_no_file_is_refused_at_once() {
    let server = Server::new().config(
        "[[database]]\nname = \"pipe\"\npath = \"data/pipe\"\n\
         [[database]]\nname = \"null\"\npath = \"/dev/null\"\n\
         [[backup.file]]\npath = \"data/other\"",
    );
    let made = Command::new("mkfifo")
        .args(["data/pipe", "data/other"])
        .current_dir(server.root())
        .status();
    assert!(made.unwrap().success());
    let mut command = server.command(["backup", "--json", "--timeout", "5m"]);
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, 2, "{ran:?}");
    let report = ran.json();
    for (name, word) in [("pipe", "is not a file"), ("null", "is not a file")] {
        let said = message(&report, "backup.failed", name);
        assert!(said.contains(word), "{said}");
    }
    let path = server.root().join("data/other").display().to_string();
    assert_eq!(finding_ids(&report, &path), ["backup.file-skipped"]);
    assert_eq!(server.list("app_db").len(), 1);
}

/// SQLite ends its check of all tables at such a key. An application that never turned foreign keys on does not notice.
#[test]
fn a_foreign_key_that_cannot_be_checked_costs_no_backup() {
    let server = Server::new();
    sql(
        &server.database(),
        "PRAGMA foreign_keys=OFF; CREATE TABLE p(a INT, b INT); CREATE TABLE c(x INT REFERENCES p(a)); INSERT INTO c VALUES (1);
         CREATE TABLE d(y INT REFERENCES users(id)); INSERT INTO d VALUES (NULL), (-5);",
    );
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 1, "{report:#}");
    let unchecked = finding(&report, "backup.foreign-keys-unchecked");
    assert_eq!(unchecked["severity"], "low");
    let message = unchecked["message"].as_str().unwrap();
    assert!(message.contains("\"c\" referencing \"p\""), "{message}");
    // What can be checked is checked.
    assert_eq!(finding(&report, "backup.foreign-keys")["value"], 1.0);
    server.run("verify-backup app_db").expect(0);
    let copy = server.path().join("copy.db");
    server
        .run(&format!("restore app_db --to {}", copy.display()))
        .expect(0);
}

/// A figure is no reason to have no backup, and one that says nothing is told.
#[test]
fn freshness_that_tells_nothing_costs_no_backup() {
    for (freshness, extra, told) in [
        ("gone = \"at\"", "", "tell no moment"),
        ("users = \"no_such\"", "", "tell no moment"),
        ("users = \"username\"", "", "tell no moment"),
        (
            "seen = \"at\"",
            "INSERT INTO seen VALUES ('2099-01-01 00:00:00')",
            "in the future",
        ),
    ] {
        let server = Server::new();
        let text = fs::read_to_string(server.config_path()).unwrap();
        let text = text.replace(
            "path = \"data/app.db\"",
            &format!("path = \"data/app.db\"\nfreshness = {{ {freshness} }}"),
        );
        let server = server.raw_config(&text);
        sql(
            &server.database(),
            &format!(
                "CREATE TABLE seen (at TEXT); INSERT INTO seen VALUES ('2026-01-01 00:00:00'); {extra}"
            ),
        );
        let (code, report) = server.json("backup --database app_db");
        assert_eq!(code, 1, "{freshness}: {report:#}");
        let found = finding(&report, "backup.freshness");
        assert!(found["message"].as_str().unwrap().contains(told), "{found}");
        server.run("verify-backup app_db").expect(0);
    }
}

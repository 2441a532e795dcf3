//! `restore`: which backup is taken, and where it goes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::support::{Paused, Ran, Server, actions, beside, finding, gzip, sql, users};

/// Backups at these times, each with one user more than the one before: 501, 502, …
pub fn backups_at(server: Server, times: &[&str]) -> Server {
    for time in times {
        sql(
            &server.database(),
            "INSERT INTO users (username) VALUES ('one more')",
        );
        server
            .run(&format!("backup --database app_db --now {time}"))
            .expect(0);
    }
    server
}

/// Restores to a new path and says how many users are there.
pub fn restored_users(server: &Server, more: &[&str]) -> i64 {
    let to = server.path().join("restored.db");
    let mut words = vec!["restore", "app_db", "--to", "restored.db"];
    words.extend(more);
    server.run_args(words).expect(0);
    let number = users(&to);
    fs::remove_file(&to).unwrap();
    number
}

pub fn refused(ran: &Ran, said: &str) {
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(said), "{said}: {ran:?}");
}

/// The files beside the live database.
pub fn data(server: &Server) -> Vec<(PathBuf, String)> {
    server.fingerprint(&server.root().join("data"))
}

#[test]
fn the_newest_one_or_the_newest_at_a_time_or_that_file() {
    let days = ["2026-11-21", "2026-11-22", "2026-11-23"];
    let times = days.map(|day| format!("{day}T03:00:00Z"));
    let server = backups_at(Server::new(), &times.each_ref().map(String::as_str));
    assert_eq!(restored_users(&server, &[]), 503);
    assert_eq!(restored_users(&server, &["--latest"]), 503);
    for (at, expected) in [
        ("2026-11-23T02:59:59Z", 502),
        ("2026-11-23T03:00:00Z", 503),
        ("2026-11-22T04:00:00+01:00", 502),
        ("2026-11-22 03:00", 502),
        ("2026-11-22 02:59", 501),
        ("2030-01-01 00:00", 503),
    ] {
        assert_eq!(restored_users(&server, &["--at", at]), expected, "{at}");
    }
    let file = server.list("app_db").remove(0);
    assert_eq!(
        restored_users(&server, &["--file", file.to_str().unwrap()]),
        501
    );
    for (at, said) in [
        (
            "2026-11-21 02:59",
            "at or before 2026-11-21 02:59:00 +00:00",
        ),
        ("2026-11-22", "is a day: say the hour too"),
        ("yesterday", "is not a time"),
        ("2026-02-30 03:00", "is not a time"),
        ("03:00", "is not a time"),
        ("", "is not a time"),
    ] {
        let ran = server.run_args(["restore", "app_db", "--to", "x.db", "--at", at]);
        refused(&ran, said);
    }
    for line in [
        "restore app_db --latest --at 2026-11-22T03:00:00Z",
        "restore app_db --file x --latest",
        "restore app_db --allow-open",
        "restore app_db --stop-app",
        "restore nobody",
        "restore",
        "restore --file nothing.db.gz",
    ] {
        server.run(line).expect(3);
    }
}

/// The system's zone is another one: what the list shows is what `--at` and `--since` read.
#[test]
fn a_time_is_shown_as_it_is_read() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Europe/Berlin\""));
    let server = backups_at(server, &["2026-11-27T03:07:00Z", "2026-11-28T03:07:00Z"]);
    let listed = server.run("backup list app_db").expect(0).out;
    let whole = "2026-11-28 04:07:00 +01:00";
    assert!(listed.contains(whole), "{listed}");
    for at in [whole, "2026-11-28 04:07:00", "2026-11-28 04:07"] {
        assert_eq!(restored_users(&server, &["--at", at]), 502, "{at}");
        let ran = server.run_args(["history", "--since", at, "--task", "backup", "--json"]);
        assert_eq!(ran.json()["data"]["runs"].as_array().unwrap().len(), 1);
    }
    let (_, report) = server.json("restore app_db --to x.db --at 2026-11-28T03:06:59Z");
    let said = report["summary"].as_str().unwrap();
    assert!(
        said.contains("(taken 2026-11-27 04:07:00 +01:00,"),
        "{said}"
    );
    let ran = server.run("restore app_db --to y.db --at 2026-11-20T00:00:00Z");
    refused(&ran, "at or before 2026-11-20 01:00:00 +01:00");
}

/// Two backups in the hour that there was twice, and one in the hour that there was not.
#[test]
fn a_local_time_that_was_there_twice_or_never_is_not_guessed_at() {
    let server = Server::new().config("[backup.keep]\nminimum = 100");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Europe/Berlin\""));
    let server = backups_at(
        server,
        &[
            "2026-03-29T00:10:00Z", // 01:10, before the clocks went forward
            "2026-03-29T01:15:00Z", // 03:15
            "2026-10-25T00:15:00Z", // 02:15 summer time
            "2026-10-25T01:15:00Z", // 02:15 winter time
        ],
    );
    assert_eq!(restored_users(&server, &["--at", "2026-10-25 01:59"]), 502);
    assert_eq!(restored_users(&server, &["--at", "2026-10-25 03:00"]), 504);
    assert_eq!(restored_users(&server, &["--at", "2026-03-29 01:59"]), 501);
    assert_eq!(restored_users(&server, &["--at", "2026-03-29 03:15"]), 502);
    for (at, said, expected) in [
        ("2026-10-25 02:30", "was there twice", [503, 504]),
        ("2026-03-29 02:20", "did not exist", [502, 501]),
    ] {
        let ran = server.run_args(["restore", "app_db", "--to", "x.db", "--at", at, "--json"]);
        assert_eq!(ran.code, 3, "{ran:?}");
        let failure = ran.json()["failure"].clone();
        assert!(
            failure["message"].as_str().unwrap().contains(said),
            "{failure}"
        );
        // The hint is two things to type.
        let hint = failure["hint"].as_str().unwrap();
        let typed: Vec<_> = hint
            .split(" or ")
            .map(|one| one.strip_prefix("--at ").unwrap())
            .collect();
        let found = [typed[0], typed[1]].map(|at| restored_users(&server, &["--at", at]));
        assert_eq!(found, expected, "{hint}");
    }
}

#[test]
fn to_a_new_path_it_leaves_one_private_file_and_nothing_beside_it() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let before = data(&server);
    let folder = server.path().join("with 'quotes' \"and\" spaces");
    fs::create_dir(&folder).unwrap();
    let to = folder.join("look at #1?.db");
    let line = [
        OsStr::new("restore"),
        "app_db".as_ref(),
        "--to".as_ref(),
        to.as_ref(),
    ];
    for _ in 0..2 {
        let (ran, names) = (server.run_args(line), || {
            fs::read_dir(&folder).unwrap().count()
        });
        ran.expect(0);
        assert_eq!(names(), 1);
        let meta = fs::metadata(&to).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert_eq!(meta.uid(), fs::metadata(&folder).unwrap().uid());
        assert_eq!(users(&to), 501);
        refused(&server.run_args(line), "exists");
        // Somebody who looked and tidied up can do it again.
        fs::remove_file(&to).unwrap();
    }
    let missing = folder.join("no/such/folder/x.db");
    let ran = server.run_args([line[0], line[1], line[2], missing.as_ref()]);
    refused(&ran, "there is no folder");
    let ran = server.run_args([line[0], line[1], line[2], folder.as_ref()]);
    refused(&ran, "is not a file");
    assert_eq!(data(&server), before, "the live one is as it was");
}

/// The log of a later time has valid frames: beside the restored database they would be played into it.
#[test]
fn a_log_that_is_left_beside_the_target_never_gets_into_what_is_restored() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let database = server.database();
    let stale = server.path().join("stale-wal");
    let open = Connection::open(&database).unwrap();
    open.execute_batch(
        "PRAGMA wal_autocheckpoint=0; INSERT INTO users (username) VALUES ('of another time')",
    )
    .unwrap();
    fs::copy(beside(&database, "-wal"), &stale).unwrap();
    drop(open);
    for suffix in ["-wal", "-shm", "-journal"] {
        for other in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&database, other));
        }
        let side = beside(&database, suffix);
        fs::copy(&stale, &side).unwrap();
        let before = data(&server);
        let ran = server.run("restore app_db");
        refused(&ran, "a stale log would corrupt what is restored");
        assert!(ran.err.contains(side.to_str().unwrap()), "{ran:?}");
        assert_eq!(data(&server), before, "{suffix}");
        server.run("restore app_db --force").expect(0);
        assert!(!side.exists(), "{suffix}");
        assert_eq!(users(&database), 501, "{suffix}");
        // It may be all that is left of somebody's evening: it is kept.
        let kept = data(&server)
            .into_iter()
            .map(|(path, _)| path)
            .find(|path| {
                let name = path.to_string_lossy().into_owned();
                name.contains(".before-restore-") && name.ends_with(suffix)
            });
        let kept = kept.unwrap_or_else(|| panic!("{suffix} is gone"));
        assert_eq!(fs::read(&kept).unwrap(), fs::read(&stale).unwrap());
        fs::remove_file(kept).unwrap();
    }
    // The same to a path where there never was one.
    let to = server.path().join("new.db");
    fs::copy(&stale, beside(&to, "-wal")).unwrap();
    refused(&server.run("restore app_db --to new.db"), "a stale log");
    server.run("restore app_db --to new.db --force").expect(0);
    assert_eq!(users(&to), 501);
}

#[test]
fn a_backup_that_an_old_script_made_comes_back_too() {
    let server = Server::new();
    fs::create_dir(server.backups()).unwrap();
    let by_hand = server.backups().join("app_db_20250101_030000.db.gz");
    let copy = server.path().join("copy");
    sql(
        &server.database(),
        &format!("VACUUM INTO '{}'", copy.display()),
    );
    gzip(&fs::read(&copy).unwrap(), &by_hand);
    sql(&server.database(), "DELETE FROM users");
    let ran = server.run("restore app_db --force");
    refused(&ran, "there is no verified backup");
    assert!(ran.err.contains("--file"), "{ran:?}");
    // Its name says which database it is, and how old, wherever it was copied to.
    let copied = server.path().join("app_db_20250101_030000.db.gz");
    fs::copy(&by_hand, &copied).unwrap();
    let (code, report) = server.json(&format!("restore --force --file {}", copied.display()));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["data_as_of"], "2025-01-01T03:00:00Z");
    assert_eq!(users(&server.database()), 500);
    let mode: String = Connection::open(server.database())
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal", "VACUUM INTO forgets it");
}

#[test]
fn a_dry_run_changes_nothing_and_lists_what_the_real_one_does() {
    let server = Server::new()
        .app("stop = [\"true\"]\nstart = [\"true\"]\nhealth_url = \"http://127.0.0.1:9/\"");
    let server = backups_at(server, &["2026-11-21T03:00:00Z"]);
    let before = server.fingerprint(&server.root());
    let line = "restore app_db --force --stop-app --timeout 5s";
    let (code, dry) = server.json(&format!("{line} --dry-run"));
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(dry["dry_run"], true);
    assert_eq!(server.fingerprint(&server.root()), before);
    let (_, real) = server.json(line);
    let what = |report: &serde_json::Value| -> Vec<_> {
        let all = actions(report).into_iter();
        all.map(|(kind, target, _)| (kind, target)).collect()
    };
    assert_eq!(what(&dry), what(&real));
    let kinds: Vec<_> = what(&dry).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["restore", "stop", "swap", "start"]);
    assert!(actions(&dry).iter().all(|action| action.2 == "planned"));
    // What would be refused is refused in a dry run too.
    refused(&server.run("restore app_db --dry-run"), "exists");
}

#[test]
fn files_and_the_journal_go_to_a_new_place_only() {
    let server = Server::new();
    server.run("backup").expect(0);
    for series in ["journal", "files"] {
        refused(&server.run(&format!("restore {series}")), "--to PATH");
        refused(
            &server.run(&format!("restore {series} --force")),
            "--to PATH",
        );
    }
    server.run("restore journal --to journal.db").expect(0);
    server.run("restore files --to files").expect(0);
    refused(&server.run("restore files --to files"), "exists");
    let files = server.path().join("files");
    let config = files.join(server.config_path().strip_prefix("/").unwrap());
    assert_eq!(
        fs::read(config).unwrap(),
        fs::read(server.config_path()).unwrap()
    );
    let left = fs::read_dir(server.path()).unwrap();
    assert!(left.into_iter().all(|entry| {
        let name = entry.unwrap().file_name();
        !name.to_string_lossy().contains("scratch")
    }));
}

/// An archive that somebody else made holds a file behind a link of its own: that one is told, the others are there.
#[test]
fn one_entry_that_cannot_be_unpacked_costs_no_other() {
    let server = Server::new();
    let made = server.path().join("made");
    for folder in ["a/link", "b"] {
        fs::create_dir_all(made.join(folder)).unwrap();
    }
    fs::write(made.join("a/link/behind"), "behind").unwrap();
    fs::write(made.join("b/whole"), "whole").unwrap();
    std::os::unix::fs::symlink("nowhere", made.join("b/link")).unwrap();
    let archive = server.path().join("files_20261101T030000Z.tar.gz");
    let script = format!(
        "cd '{0}' && tar cf t -C b link && tar rf t -C a link/behind && tar rf t -C b whole && gzip -c t >'{1}'",
        made.display(),
        archive.display()
    );
    let made = std::process::Command::new("sh")
        .args(["-ec", &script])
        .status();
    assert!(made.unwrap().success());
    let out = server.path().join("out");
    let line = format!(
        "restore --file {} --to {}",
        archive.display(),
        out.display()
    );
    let (code, report) = server.json(&line);
    assert_eq!(code, 2, "{report:#}");
    let left = finding(&report, "restore.not-unpacked");
    let said = left["message"].as_str().unwrap();
    assert!(
        said.starts_with("1 entry of the archive") && said.contains("link/behind"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(out.join("whole")).unwrap(), "whole");
}

/// A slip in `--to`, and what SQLite would wait for without end.
#[test]
fn own_files_and_pipes_are_refused() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let backup = server.list("app_db").pop().unwrap();
    let before = fs::read(&backup).unwrap();
    for own in [&backup, &server.state().join("journal.db")] {
        let line = format!("restore app_db --force --to {}", own.display());
        refused(&server.run(&line), "one of our own files");
    }
    assert_eq!(fs::read(&backup).unwrap(), before);
    let pipe = beside(&server.database(), "-journal");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 2, "{report:#}");
    assert!(report.to_string().contains("is not a file"), "{report:#}");
    let ran = server.run("restore app_db --force --timeout 20s");
    assert!(
        ran.code >= 2 && ran.err.contains("is not a file"),
        "{ran:?}"
    );
}

/// A clock that was wrong once must not decide for years what is the newest.
#[test]
fn a_backup_of_the_future_is_not_the_latest() {
    let times = [
        "2026-11-21T03:00:00Z",
        "2031-01-07T03:00:00Z",
        "2026-11-22T03:00:00Z",
    ];
    let server = backups_at(Server::new(), &times);
    let now = "--now 2026-11-22T04:00:00Z";
    let target = server.path().join("latest.db");
    let line = format!("restore app_db --to {} {now}", target.display());
    let (code, report) = server.json(&line);
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "backup.ahead");
    assert_eq!(users(&target), 503);
    let (code, report) = server.json(&format!("verify-backup app_db {now}"));
    assert_eq!(code, 1, "{report:#}");
    let ahead = finding(&report, "backup.ahead");
    assert!(ahead["message"].to_string().contains("20310107"), "{ahead}");
    let (_, report) = server.json(&format!("verify-backup app_db --all {now}"));
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.contains(" old (app_db_20261122T030000Z), slowest"),
        "{summary}"
    );
    // Nor does it hide that there is no new one.
    let (code, report) = server.json("verify-backup app_db --now 2027-03-01T03:00:00Z");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "backup.stale");
    let (code, report) = server.json("optimize-db --now 2027-03-01T03:00:00Z");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "optimize.no-backup");
}

/// What a killed one had begun beside the target goes with the next one there.
#[test]
fn a_restore_to_a_new_path_takes_away_what_a_killed_one_left_there() {
    let server = backups_at(
        Server::new().config("[[backup.file]]\npath = \"data\""),
        &["2026-11-21T03:00:00Z"],
    );
    server.run("backup --database files").expect(0);
    let elsewhere = server.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for (series, op, end) in [
        ("app_db", "write", ".restore.part"),
        ("app_db", "rename", ".restore.part"),
        ("files", "write", "files.tar"),
        ("files", "rename", "/files"),
    ] {
        let to = elsewhere.join("new");
        let line = ["restore", series, "--to", to.to_str().unwrap()];
        let killed = Paused::before(op, end, &elsewhere, &mut server.command(line));
        drop(killed);
        assert!(std::fs::read_dir(&elsewhere).unwrap().count() > 0);
        let ran = server.run_args(line); // that one was killed is told
        assert!(ran.code <= 1, "{ran:?}");
        let left: Vec<_> = std::fs::read_dir(&elsewhere)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["new"], "{series}: {op}");
        let removed = std::fs::remove_file(&to).or_else(|_| std::fs::remove_dir_all(&to));
        removed.unwrap();
    }
}

//! A disk or a permission that says no is no word about a backup: nothing good is marked bad, called gone, or thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::faults::Faults;
use crate::support::{Paused, Ran, Server, beside, fill, finding, finding_ids, users};

/// A run for which the disk does not give back files whose path ends so.
fn unread(server: &Server, line: &str, end: &str) -> (i32, Value) {
    let mut command = server.command(line.split_whitespace().chain(["--json"]));
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    faults.unreadable(&mut command, end);
    let ran = Ran::of(&mut command);
    (ran.code, ran.json())
}

fn has(report: &Value, id: &str) -> bool {
    finding_ids(report, "").iter().any(|one| one == id)
}

#[test]
fn a_previous_backup_that_cannot_be_read_is_not_marked_bad() {
    let server = Server::empty();
    fill(&server.database(), 5_000);
    server.run("backup --database app_db").expect(0);
    let first = server.list("app_db").remove(0);
    let before = fs::read(beside(&first, ".json")).unwrap();
    let (code, report) = unread(&server, "backup --database app_db", ".db.gz");
    assert_eq!(code, 2, "{report:#}");
    let told = finding(&report, "backup.previous-unreadable");
    assert_eq!(told["severity"], "high");
    assert_eq!(
        told["subject"],
        first.file_name().unwrap().to_str().unwrap()
    );
    assert!(!has(&report, "backup.previous-damaged"), "{report:#}");
    assert_eq!(report["data"]["published"][0]["copied_members"], 0);
    assert_eq!(fs::read(beside(&first, ".json")).unwrap(), before);
    // What can be read to its end and is something else, or ends too soon, is damaged.
    let second = server.list("app_db").remove(1);
    let mut bytes = fs::read(&second).unwrap();
    bytes[100] ^= 1;
    fs::write(&second, bytes).unwrap();
    let (_, report) = server.json("backup --database app_db");
    finding(&report, "backup.previous-damaged");
    assert!(server.manifest(&second)["bad"].is_object());
    // Whoever reads all of it has the last word.
    let hint = told["hint"].as_str().unwrap();
    let (code, report) = server.json(hint.strip_prefix("empire-maint ").unwrap());
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn scratch_that_cannot_be_read_is_no_damage_of_the_backup() {
    let server = Server::new().config("[[backup.file]]\npath = \"data\"");
    server.run("backup --database files").expect(0);
    let backup = server.list("files").remove(0);
    let (code, report) = unread(&server, "verify-backup files", "/restored.db");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "verify.failed");
    assert!(!has(&report, "verify.damaged"), "{report:#}");
    assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    // The backup itself, the same.
    let (code, report) = unread(&server, "verify-backup files", ".tar.gz");
    assert_eq!(code, 2, "{report:#}");
    assert!(!has(&report, "verify.damaged"), "{report:#}");
    assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    server.run("verify-backup files").expect(0);
}

#[test]
fn a_complete_draft_that_cannot_be_read_is_finished_later() {
    for end in [
        "20261120T030000Z.db.gz.part",
        "20261120T030000Z.db.gz.json.part",
    ] {
        let server = Server::new();
        let line = ["backup", "--database", "app_db"];
        let mut command = server.command(line.iter().chain(&["--now", "2026-11-20T03:00:00Z"]));
        fs::create_dir(server.backups()).unwrap();
        let publishes = Paused::before("rename", ".gz.part", &server.backups(), &mut command);
        drop(publishes); // killed there
        assert!(server.list("app_db").is_empty());
        let draft = |end: &str| {
            let name = format!(".app_db_20261120T030000Z.db.gz{end}");
            server.backups().join(name)
        };
        assert!(draft(".part").exists() && draft(".json.part").exists());
        // The new backup is made nevertheless, and nothing is thrown away.
        let (code, report) = unread(&server, &line.join(" "), end);
        assert!(code <= 1, "{end}: {report:#}");
        assert_eq!(finding(&report, "backup.unswept")["severity"], "medium");
        assert_eq!(server.list("app_db").len(), 1, "{end}");
        assert!(draft(".part").exists() && draft(".json.part").exists());
        let (code, report) = server.json(&line.join(" "));
        assert_eq!(code, 0, "{end}: {report:#}");
        finding(&report, "backup.swept");
        assert_eq!(server.list("app_db").len(), 3, "{end}");
        assert!(!draft(".part").exists());
        server.run("verify-backup app_db --all").expect(0);
    }
}

#[test]
fn a_manifest_that_the_disk_does_not_give_back_is_not_called_bad() {
    let server = Server::new();
    server
        .run("backup --database app_db --now 2026-11-20T03:00:00Z")
        .expect(0);
    server
        .run("backup --database app_db --now 2026-11-21T03:00:00Z")
        .expect(0);
    let now = "--now 2026-11-21T04:00:00Z";
    let newest = "app_db_20261121T030000Z.db.gz.json";
    let (code, report) = unread(&server, &format!("backup list app_db {now}"), newest);
    assert_eq!(code, 0, "{report:#}");
    let said = report["data"]["catalogue"][0]["verified"].as_str().unwrap();
    assert!(said.starts_with("unknown: "), "{said}");
    // In an emergency the one before is better than none, and is named.
    let to = server.path().join("copy.db");
    let line = format!("restore app_db --to {} {now}", to.display());
    let (code, report) = unread(&server, &line, newest);
    assert_eq!(code, 0, "{report:#}");
    finding(&report, "restore.newer-unverified");
    fs::remove_file(&to).unwrap();
    let (code, report) = unread(&server, &line, ".db.gz.json");
    assert_eq!(code, 2, "{report:#}");
    let said = report["failure"].to_string();
    assert!(!said.contains("no verified backup"), "{said}");
    let (_, report) = unread(
        &server,
        &format!("verify-backup app_db {now}"),
        ".db.gz.json",
    );
    assert!(!has(&report, "verify.damaged"), "{report:#}");
    assert!(!has(&report, "backup.missing"), "{report:#}");
}

/// One clear error, for each way to ask.
#[test]
fn who_may_not_read_a_manifest_is_told_who_may() {
    const NOBODY: u32 = 54_321;
    let server = Server::new();
    if !server.give_to(12_345) {
        return; // only root can
    }
    server.run("backup").expect(0);
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(&server.root());
    open(&server.backups());
    for series in ["app_db", "journal", "files"] {
        for backup in server.list(series) {
            open(&backup);
        }
    }
    let to = server.path().join("copy.db");
    let to = to.to_str().unwrap();
    for line in [
        &["backup", "list"][..],
        &["restore", "app_db", "--force", "-n"],
        &["restore", "app_db", "--to", to],
        &["restore", "app_db", "--at", "2100-01-01 00:00", "--to", to],
    ] {
        let ran = Ran::of(&mut server.command_as(NOBODY, line)).expect(3);
        assert!(ran.err.contains("Permission denied"), "{ran:?}");
        assert!(
            ran.err.contains("hint: run as root or as the owner"),
            "{ran:?}"
        );
        assert!(!ran.err.contains("no verified backup"), "{ran:?}");
    }
    // Who may read all and write nothing.
    for entry in fs::read_dir(server.backups()).unwrap() {
        open(&entry.unwrap().path());
    }
    Ran::of(&mut server.command_as(NOBODY, ["backup", "list"])).expect(0);
    let ran = Ran::of(&mut server.command_as(NOBODY, ["verify-backup", "app_db", "--json"]));
    let report = ran.expect(2).json();
    let told = finding(&report, "verify.failed");
    let hint = told["hint"].as_str().unwrap();
    assert!(hint.contains("run as root or as the owner"), "{told}");
}

#[test]
fn a_folder_that_is_not_there_is_not_an_empty_one() {
    let server = Server::new();
    for line in [
        "backup list",
        "restore app_db --to x.db",
        "restore app_db --force -n",
    ] {
        let (code, report) = server.json(line);
        assert_eq!(code, 3, "{line}: {report:#}");
        let hint = report["failure"]["hint"].as_str().unwrap();
        assert!(hint.contains("is its disk mounted?"), "{line}: {hint}");
    }
    fs::create_dir(server.backups()).unwrap();
    server.run("backup list").expect(0);
}

/// The program's own memory is worth a finding, never a backup.
#[test]
fn a_journal_that_cannot_be_looked_at_costs_nothing_else() {
    let server = Server::new().config("[[backup.file]]\npath = \"notes\"");
    fs::write(server.root().join("notes"), "keep me").unwrap();
    fs::create_dir_all(server.state()).unwrap();
    let journal = server.state().join("journal.db");
    std::os::unix::fs::symlink(&journal, &journal).unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    assert!(finding_ids(&report, "journal").contains(&"backup.failed".to_owned()));
    let made = |series: &str| server.list(series).len();
    assert_eq!(json!([made("app_db"), made("files")]), json!([1, 1]));
    // The state of somebody else.
    let server = Server::new();
    if !server.give_to(12_345) {
        return; // only root can
    }
    let closed = server.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let state = format!("{:?}", server.state());
    let there = format!("{:?}", closed.join("state"));
    let server = server.raw_config(&text.replace(&state, &there));
    let ran = Ran::of(&mut server.command_as(12_345, ["backup"])).expect(2);
    let made: Vec<PathBuf> = [server.list("app_db"), server.list("files")].concat();
    assert_eq!(made.len(), 2, "{ran:?}");
    assert_eq!(users(&server.database()), 500);
}

/// A link in a circle on the way to one database, as a mount that does not answer would be.
fn one_out_of_sight() -> Server {
    let server = Server::new().config(
        "[[database]]\nname = \"gone\"\npath = \"circle/gone.db\"\n\
         [[database]]\nname = \"last\"\npath = \"data/last.db\"\n\
         [[backup.file]]\npath = \"notes\"",
    );
    let circle = server.root().join("circle");
    std::os::unix::fs::symlink("circle", circle).unwrap();
    fs::write(server.root().join("notes"), "keep me").unwrap();
    fill(&server.root().join("data/last.db"), 5);
    server
}

#[test]
fn a_database_out_of_sight_costs_no_other_anything() {
    let server = one_out_of_sight();
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(report["failure"], Value::Null, "{report:#}");
    assert_eq!(finding(&report, "backup.failed")["subject"], "gone");
    let made = report["data"]["published"].as_array().unwrap().iter();
    let made: Vec<_> = made.map(|one| one["database"].as_str().unwrap()).collect();
    assert_eq!(made, ["app_db", "last", "journal", "files"]);
    for line in ["optimize-db", "optimize-db gone last"] {
        let (code, report) = server.json(line);
        assert_eq!(code, 2, "{report:#}");
        assert_eq!(report["failure"], Value::Null, "{report:#}");
        let failed = finding(&report, "optimize.failed");
        assert_eq!(failed["subject"], "gone");
        let message = failed["message"].as_str().unwrap();
        assert!(message.contains("cannot look at"), "{message}");
        let done = report["data"]["databases"].as_array().unwrap();
        assert_eq!(done.last().unwrap()["database"], "last");
        assert_eq!(done.last().unwrap()["sound"], true);
    }
    let (code, report) = server.json("health --check database");
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "database.unreadable");
    assert_eq!(
        json!([found["subject"], found["severity"]]),
        json!(["gone", "critical"])
    );
    let measured = report["metrics"].as_array().unwrap().iter();
    let measured = measured.filter(|metric| metric["name"] == "database_size_bytes");
    let measured: Vec<_> = measured.map(|one| &one["labels"]["database"]).collect();
    assert_eq!(measured, ["app_db", "last"]);
    let (_, report) = server.json("query-review");
    assert_eq!(finding(&report, "database.unreadable")["subject"], "gone");
    assert_eq!(report["data"]["databases"].as_array().unwrap().len(), 2);
    let (_, report) = server.json("audit --only secrets,permissions");
    assert!(!report.to_string().contains("cannot look at"), "{report:#}");
}

/// No restore ran, so none is to be finished by force.
#[test]
fn a_restore_that_nobody_knows_of_is_not_called_cut_short() {
    let server = one_out_of_sight();
    fs::remove_file(server.root().join("circle")).unwrap();
    fs::create_dir(server.root().join("circle")).unwrap();
    fill(&server.root().join("circle/gone.db"), 5);
    server.run("backup").expect(0);
    fs::remove_dir_all(server.root().join("circle")).unwrap();
    std::os::unix::fs::symlink("circle", server.root().join("circle")).unwrap();
    let (_, report) = server.json("verify-backup");
    let told = finding(&report, "restore.unfinished");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with("cannot tell whether a restore to "),
        "{told}"
    );
    assert!(
        !told["hint"].as_str().unwrap().contains("--force"),
        "{told}"
    );
}

/// A user who may not enter a folder cannot know what is in it.
#[test]
fn what_this_user_may_not_see_is_no_absent_database() {
    let server =
        Server::new().config("[[database]]\nname = \"closed\"\npath = \"closed/closed.db\"");
    let closed = server.root().join("closed");
    fs::create_dir(&closed).unwrap();
    fill(&closed.join("closed.db"), 5);
    if !server.give_to(12_345) {
        return; // only root can
    }
    let root_s = Some(0);
    std::os::unix::fs::chown(&closed, root_s, root_s).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let ask = |words: &[&str]| {
        let words = words.iter().chain(&["--json"]);
        Ran::of(&mut server.command_as(12_345, words)).json()
    };
    let report = ask(&["backup"]);
    assert_eq!(finding(&report, "backup.failed")["subject"], "closed");
    assert_eq!(server.list("app_db").len(), 1, "{report:#}");
    assert_eq!(server.list("files").len(), 1, "{report:#}");
    let report = ask(&["health", "--check", "database"]);
    let hint = finding(&report, "health.unknown")["hint"].to_string();
    assert!(hint.contains("run as root"), "{hint}");
    assert!(
        report["metrics"].to_string().contains("app_db"),
        "{report:#}"
    );
    assert!(!has(&report, "database.unreadable"), "{report:#}");
}

//! Two at once: the second is told who holds the lock, waits as long as it was told to, and nothing outlives a dead process.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Paused, Ran, Server, finding_ids, users};

/// A backup that holds its locks and stands still in the middle of its first database.
fn busy(server: &Server) -> Paused {
    let mut command = server.command(["backup", "--json"]);
    Paused::before("write", ".db.gz.part", &server.backups(), &mut command)
}

fn lock_finding(report: &Value) -> Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["id"] == "task.failed")
        .unwrap();
    found.clone()
}

#[test]
fn the_second_is_told_who_holds_the_lock_and_since_when() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Asia/Kathmandu\""));
    let first = busy(&server);
    let (code, report) = server.json("backup --lock-wait 0s");
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(report["failure"]["kind"], "locked");
    let message = report["failure"]["message"].as_str().unwrap();
    let holder = format!(
        "the task backup is in use by empire-maint backup (process {}) since ",
        first.id()
    );
    let since = message
        .strip_prefix(&holder)
        .unwrap_or_else(|| panic!("{message}"));
    assert!(
        since.ends_with(" +05:45"),
        "of the calendar's zone: {since}"
    );
    let hint = report["failure"]["hint"].as_str().unwrap();
    assert!(hint.contains("--lock-wait"), "{hint}");
    assert_eq!(server.list("app_db").len(), 0);
    first.resume().expect(0);
    assert_eq!(server.list("app_db").len(), 1);
}

#[test]
fn a_lock_not_had_is_low_and_high_the_third_time_in_a_row() {
    let server = Server::new();
    let severities = |times: usize| -> Vec<Value> {
        (0..times)
            .map(|_| {
                let (code, report) = server.json("backup --lock-wait 0s");
                assert_eq!((code, &report["status"]), (3, &"unknown".into()));
                lock_finding(&report)["severity"].clone()
            })
            .collect()
    };
    let first = busy(&server);
    assert_eq!(severities(4), ["low", "low", "high", "high"]);
    first.resume().expect(0);
    let second = busy(&server);
    assert_eq!(severities(1), ["low"], "a success in between starts anew");
    second.resume().expect(0);
}

#[test]
fn who_waits_long_enough_gets_the_lock() {
    let server = Server::new();
    let first = busy(&server);
    let waiting = server
        .command(["backup", "--lock-wait", "10m"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun, and so is in the journal beside the first.
    let begun = || fs::read_dir(server.state().join("runs")).map_or(0, Iterator::count);
    let started = Instant::now();
    while begun() < 2 {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    first.resume().expect(0);
    Ran::from(waiting.wait_with_output().unwrap()).expect(0);
    assert_eq!(server.list("app_db").len(), 2);
}

#[test]
fn a_lock_dies_with_its_process() {
    let server = Server::new();
    let first = busy(&server);
    first.signal(Signal::KILL);
    let dead = first.resume();
    assert_eq!(dead.code, -1, "{dead:?}");
    let (code, report) = server.json("backup --lock-wait 0s");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        finding_ids(&report, "backup"),
        ["task.interrupted"],
        "{report:#}"
    );
    assert_eq!(server.list("app_db").len(), 1);
}

/// The lock of a database lies beside its backups, so that two installations with one backup folder respect it.
#[test]
fn the_lock_of_a_database_holds_across_state_folders() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    let backup = server.list("app_db").pop().unwrap();
    let first = busy(&server);
    assert!(server.backups().join(".app_db.lock").exists());
    assert!(server.state().join("locks/backup.lock").exists());
    let pin = format!(
        "backup pin {} --lock-wait 0s",
        backup.file_name().unwrap().display()
    );
    let refused = server.run(&pin).expect(3);
    let holder = format!("are in use by empire-maint backup (process {})", first.id());
    assert!(
        refused.err.contains("the backups of app_db in ") && refused.err.contains(&holder),
        "{}",
        refused.err
    );
    let other = fs::read_to_string(server.config_path()).unwrap();
    let other = other.replace(
        &format!("{:?}", server.state()),
        &format!("{:?}", server.path().join("other-state")),
    );
    fs::write(server.path().join("etc/other.toml"), other).unwrap();
    let ran = Ran::of(
        std::process::Command::new(crate::support::BINARY)
            .env_clear()
            .arg("-c")
            .arg(server.path().join("etc/other.toml"))
            .args(["backup", "--database", "app_db", "--lock-wait", "0s"]),
    );
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(&holder), "{ran:?}");
    first.resume().expect(0);
    server.run(&pin).expect(0);
}

#[test]
fn without_a_place_for_task_locks_backup_and_restore_still_run() {
    let server = Server::new();
    fs::write(server.state(), "a file where the folder should be").unwrap();
    server.run("backup").expect(1);
    let to = server.path().join("copy.db");
    server
        .run(&format!("restore app_db --to {}", to.display()))
        .expect(1);
    assert_eq!(users(&to), 500);
}

#[test]
fn reading_never_waits() {
    let server = Server::new();
    server.run("backup").expect(0);
    let first = busy(&server);
    server.run("backup list").expect(0);
    let history = server.run("history").expect(0);
    assert!(history.out.contains("running"), "{}", history.out);
    server.run("config show").expect(0);
    first.resume().expect(0);
}

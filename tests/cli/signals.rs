//! Signals and time limits: a run that is asked to stop cleans up and says so; what is being published is never cut.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::faults::Faults;
use crate::support::{BINARY, Paused, Ran, Server, send};

const SIGNALS: [(Signal, &str, i32); 3] = [
    (Signal::INT, "SIGINT", 130),
    (Signal::TERM, "SIGTERM", 143),
    (Signal::HUP, "SIGHUP", 129),
];

/// What is in the backup folder that is no published backup.
fn leftovers(server: &Server) -> Vec<String> {
    fs::read_dir(server.backups())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') && !name.ends_with(".lock"))
        .collect()
}

#[test]
fn a_signal_ends_the_run_cleanly_with_128_and_its_number() {
    for (signal, name, code) in SIGNALS {
        let server = Server::new();
        server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
        let before = server.fingerprint(&server.backups());
        let mut command = server.command(["backup", "--json"]);
        let run = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
        assert!(!leftovers(&server).is_empty());
        run.signal(signal);
        let ran = run.resume();
        assert_eq!(ran.code, code, "{ran:?}");
        let report = ran.json();
        assert_eq!(report["failure"]["kind"], "interrupted");
        assert_eq!(report["status"], "critical");
        assert!(report["summary"].as_str().unwrap().contains(name));
        assert_eq!(leftovers(&server), Vec::<String>::new());
        let after = server.fingerprint(&server.backups());
        assert_eq!(
            without_locks(after),
            without_locks(before),
            "the older backup is untouched"
        );
        let (_, history) = server.json("history --limit 1");
        let past = &history["data"]["runs"][0];
        assert_eq!(
            (&past["state"], &past["exit_code"]),
            (&"finished".into(), &code.into())
        );
        server.run("backup").expect(0);
        assert_eq!(server.list("app_db").len(), 2);
    }
}

/// The note in a lock file changes with its holder.
fn without_locks(found: Vec<(std::path::PathBuf, String)>) -> Vec<(std::path::PathBuf, String)> {
    let keep =
        |(path, _): &(std::path::PathBuf, String)| !path.to_string_lossy().ends_with(".lock");
    found.into_iter().filter(keep).collect()
}

#[test]
fn a_signal_while_publishing_waits_until_the_backup_is_there() {
    let server = Server::new();
    let mut command = server.command(["backup", "--database", "app_db"]);
    let run = Paused::before("rename", ".db.gz.part", &server.backups(), &mut command);
    run.signal(Signal::TERM);
    let ran = run.resume();
    assert_eq!(server.list("app_db").len(), 1, "{ran:?}");
    assert_eq!(leftovers(&server), Vec::<String>::new());
    let listed = server.run("backup list").expect(0).out;
    assert!(listed.contains("checked"), "{listed}");
}

/// The watchdog gives up on a thread that does not answer ten seconds after the limit; on one that publishes it does not.
#[test]
fn a_time_limit_never_cuts_into_publishing() {
    let server = Server::new();
    let trash = tempfile::tempdir().unwrap();
    let faults = Faults::new([server.backups()], trash.path());
    let mut command = server.command(["backup", "--database", "app_db", "--timeout", "3s"]);
    faults.stall(&mut command, "rename", ".db.gz.part", 16);
    Ran::of(&mut command);
    assert_eq!(server.list("app_db").len(), 1);
    assert_eq!(leftovers(&server), Vec::<String>::new());
    let listed = server.run("backup list").expect(0).out;
    assert!(listed.contains("checked"), "{listed}");
}

/// What no flag can reach (a dead mount, a disk that hangs) does not hold the run.
#[test]
fn a_thread_that_hangs_is_left_behind_once_the_time_is_up() {
    let server = Server::new();
    let trash = tempfile::tempdir().unwrap();
    let faults = Faults::new([server.backups()], trash.path());
    let mut command = server.command(["backup", "--json", "--timeout", "2s"]);
    faults.stall(&mut command, "write", ".db.gz.part", 600);
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, 2, "{ran:?}");
    let message = ran.json()["failure"]["message"].clone();
    assert_eq!(message, "the task did not stop by itself");
    assert!(server.list("app_db").is_empty());
    server.run("backup").expect(0);
    assert_eq!(leftovers(&server), Vec::<String>::new());
}

#[test]
fn a_time_limit_ends_the_run_with_2_and_leaves_nothing_behind() {
    let server = Server::new();
    let mut command = server.command(["backup", "--json", "--timeout", "3s"]);
    let run = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
    std::thread::sleep(Duration::from_secs(4));
    let ran = run.resume();
    assert_eq!(ran.code, 2, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["failure"]["kind"], "time-limit");
    let failed = &report["findings"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&failed["id"], &failed["severity"]),
        (&"task.failed".into(), &"critical".into())
    );
    assert!(failed["message"].as_str().unwrap().contains("3.0 s"));
    assert!(server.list("app_db").is_empty());
    assert_eq!(leftovers(&server), Vec::<String>::new());
    server.run("backup").expect(0);
}

#[test]
fn a_signal_ends_the_wait_for_a_lock() {
    let server = Server::new();
    let mut command = server.command(["backup"]);
    let first = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
    let waiting = server
        .command(["backup", "--lock-wait", "1h"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_runs(&server, 2);
    send(waiting.id(), Signal::INT);
    let ran = Ran::from(waiting.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.err.contains("interrupted by SIGINT"), "{}", ran.err);
    first.resume().expect(0);
}

/// A restore that was started over ssh with nohup goes on when the line drops.
#[test]
fn a_hangup_that_nohup_ignores_stays_ignored() {
    let server = Server::new();
    let mut command = server.command(["backup"]);
    let first = Paused::before("write", ".db.gz.part", &server.backups(), &mut command);
    let waiting = Command::new("env")
        .args(["--ignore-signal=HUP", BINARY, "-c"])
        .arg(server.config_path())
        .args(["backup", "--lock-wait", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_runs(&server, 2);
    send(waiting.id(), Signal::HUP);
    first.resume().expect(0);
    Ran::from(waiting.wait_with_output().unwrap()).expect(0);
    assert_eq!(server.list("app_db").len(), 2);
}

/// A run has its file as soon as it is written down, and a signal is listened to from before that.
fn wait_for_runs(server: &Server, number: usize) {
    let runs = || fs::read_dir(server.state().join("runs")).map_or(0, Iterator::count);
    while runs() < number {
        std::thread::sleep(Duration::from_millis(5));
    }
}

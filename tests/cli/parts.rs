//! What a run is taken for: the line of the plan, or a part of it. Slips and parts are no failures of the whole.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Server, finding_ids, number};

/// Finding and subject of every open alert.
fn open(server: &Server) -> Vec<String> {
    let (_, list) = server.json("alerts list");
    let incidents = list["data"]["incidents"].as_array().unwrap().iter();
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    incidents
        .map(|one| format!("{}: {}", word(one, "finding"), word(one, "subject")))
        .collect()
}

fn journal(server: &Server) -> Connection {
    Connection::open(server.state().join("journal.db")).unwrap()
}

/// A run that was killed: it says `running`, and nobody holds its lock.
fn killed(server: &Server, task: &str, line: Option<&str>) {
    let began = jiff::Timestamp::now().as_millisecond();
    journal(server)
        .execute(
            "INSERT INTO runs (id, task, line, host, version, started_ms, dry_run, state) VALUES (hex(randomblob(8)), ?1, ?2, 'h', '0', ?3, 0, 'running')",
            rusqlite::params![task, line, began],
        )
        .unwrap();
}

#[test]
fn a_slip_after_a_good_backup_is_no_failed_backup() {
    let server = Server::new();
    server.run("backup").expect(0);
    for slip in [
        "backup --databse app_db",
        "backup --database nosuch",
        "backup --timeout 1x",
        "backup lst",
        "backup pin nosuch",
        "backup unpin nosuch",
        "backup adopt nofile",
    ] {
        assert_eq!(server.run(slip).code, 3, "{slip}");
    }
    killed(&server, "backup", None);
    let (_, report) = server.json("health --check backups");
    assert_eq!(finding_ids(&report, ""), ["task.interrupted"], "once");
    server.run("health --check backups").expect(0);
    // The line itself, cut short or failed, is one.
    killed(&server, "backup", Some("backup"));
    server.run("health --check backups").expect(2);
    server.run("backup").expect(0);
    server.run("health --check backups").expect(0);
    fs::rename(server.backups(), server.root().join("away")).unwrap();
    fs::write(server.backups(), "a file where the folder should be").unwrap();
    assert!(server.run("backup").code >= 2);
    fs::remove_file(server.backups()).unwrap();
    fs::rename(server.root().join("away"), server.backups()).unwrap();
    server.run("health --check backups").expect(2);
}

#[test]
fn a_part_that_cannot_start_is_not_the_whole() {
    let figures = tempfile::tempdir().unwrap();
    let server = Server::new().config(&format!("[metrics]\ntextfile_dir = {:?}", figures.path()));
    for (part, task) in [
        ("verify-backup rag_bd", "verify-backup"),
        ("optimize-db app_bd", "optimize-db"),
        ("backup --database app_bd", "backup"),
        ("health --check nosuch", "health"),
        ("audit --only nosuch", "audit"),
        ("data-clean --rule nosuch", "data-clean"),
    ] {
        assert_eq!(server.run(part).code, 3, "{part}");
        let alert = format!("task.failed: {task}, in part");
        assert!(
            open(&server).contains(&alert),
            "{part}: {:?}",
            open(&server)
        );
    }
    assert_eq!(open(&server).len(), 6);
    assert_eq!(fs::read_dir(figures.path()).unwrap().count(), 0);
    let path = server.state().join("journal.db");
    let lines = "SELECT count(*) FROM runs WHERE line IS NOT NULL";
    assert_eq!(number(&path, lines), 0);
    // A slip in what every command takes is one of the line.
    server.run("verify-backup --all --timeout 1x").expect(3);
    assert!(open(&server).contains(&"task.failed: verify-all".to_owned()));
    server.run("health --check disk,http,logins,listen");
    let light = "SELECT count(*) FROM runs WHERE line = 'health-light'";
    assert_eq!(number(&path, light), 1);
}

#[test]
fn what_reads_and_what_the_crontab_does_not_have_alerts_nobody() {
    let server = Server::new();
    for line in [
        "history --color pink",
        "schedule --nosuch",
        "runbook show restore --nosuch",
        "backup list --nosuch",
        "alerts list --nosuch",
        "gpu",
        "certs",
        "restore app_db",
    ] {
        assert_eq!(server.run(line).code, 3, "{line}");
        assert_eq!(open(&server), [""; 0], "{line}");
    }
    // What had something to do here once has lost it.
    server.run("certs --dry-run").expect(3);
    journal(&server)
        .execute_batch(
            "INSERT INTO runs (id, task, line, host, version, started_ms, finished_ms, dry_run, state, status, exit_code)
             VALUES ('well', 'certs', 'certs', 'h', '0', 1795489200000, 1795489200001, 0, 'finished', 'ok', 0)",
        )
        .unwrap();
    server.run("certs").expect(3);
    assert_eq!(open(&server), ["task.failed: certs"]);
    server.run("backup --databse app_db").expect(3);
    assert_eq!(open(&server).len(), 2);
}

#[test]
fn a_killed_run_is_over_once_another_did_as_much() {
    let server = Server::new();
    server.run("backup").expect(0);
    killed(&server, "verify-backup", Some("verify-all"));
    killed(&server, "verify-backup", None);
    let all = [
        "task.interrupted: verify-all",
        "task.interrupted: verify-backup, in part",
    ];
    let seen = || {
        let mut open = open(&server);
        open.retain(|one| one.starts_with("task."));
        open.sort();
        open
    };
    server.run("health --check memory");
    assert_eq!(seen(), all);
    server.run("backup").expect(0);
    assert_eq!(seen(), all);
    server.run("verify-backup").expect(0);
    assert_eq!(seen(), all[..1]);
    server.run("verify-backup --all").expect(0);
    assert_eq!(seen(), [""; 0]);
}

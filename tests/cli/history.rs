//! The journal and `history`: every run is written down, and one that cannot be written down still does its work.

use std::fs;

use crate::support::{Server, finding_ids};

#[test]
fn runs_are_found_by_task_status_and_time() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    server
        .run("backup --now 2026-11-21T03:00:00Z --database nothing")
        .expect(3);
    server
        .run("verify-backup --now 2026-11-21T04:30:00Z")
        .expect(0);
    let tasks = |line: &str| -> Vec<(String, String)> {
        let (_, report) = server.json(line);
        let runs = report["data"]["runs"].as_array().unwrap().clone();
        runs.iter()
            .map(|run| {
                let word = |key: &str| run[key].as_str().unwrap().to_owned();
                (word("task"), word("status"))
            })
            .collect()
    };
    let pair = |task: &str, status: &str| (task.to_owned(), status.to_owned());
    assert_eq!(
        tasks("history"),
        [
            pair("verify-backup", "ok"),
            pair("backup", "unknown"),
            pair("backup", "ok")
        ]
    );
    assert_eq!(
        tasks("history --task backup --status ok"),
        [pair("backup", "ok")]
    );
    assert_eq!(
        tasks("history --since 2026-11-21T04:00:00Z"),
        [pair("verify-backup", "ok")]
    );
    assert_eq!(
        tasks("history --since 12h --now 2026-11-21T12:00:00Z").len(),
        2
    );
    assert_eq!(tasks("history --limit 1").len(), 1);
    server.run("history --status fine").expect(3);
    server.run("history --since yesterday").expect(3);
    let text = server.run("history --findings").expect(0).out;
    assert!(text.contains("task.failed"), "{text}");
}

#[test]
fn a_journal_that_cannot_be_written_does_not_stop_the_backup() {
    let server = Server::new();
    fs::write(server.state(), "a file where the folder should be").unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(server.list("app_db").len(), 1);
    assert!(finding_ids(&report, "").contains(&"journal.unwritable".to_owned()));
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    let server = Server::new();
    server.run("backup").expect(0);
    rusqlite::Connection::open(server.state().join("journal.db"))
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 1, "{report:#}");
    assert!(finding_ids(&report, "").contains(&"journal.unwritable".to_owned()));
}

#[test]
fn dry_runs_are_written_down_as_dry() {
    let server = Server::new();
    server.run("backup").expect(0);
    server.run("backup -n").expect(0);
    let (_, report) = server.json("history");
    assert_eq!(report["data"]["runs"][0]["dry_run"], true);
}

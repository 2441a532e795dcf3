//! The journal and `history`: every run is written down, and one that cannot be written down still does its work.

use std::fs;
use std::process::Command;

use crate::support::{Server, finding, finding_ids, number};

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

/// The next command has to stand there, and to help.
#[test]
fn a_damaged_journal_is_moved_away_by_its_own_hint() {
    let server = Server::new();
    server.run("backup").expect(0);
    fs::write(server.state().join("journal.db"), "x".repeat(9000)).unwrap();
    let (_, report) = server.json("verify-backup app_db");
    let found = finding(&report, "journal.unwritable");
    let (command, _) = found["hint"].as_str().unwrap().split_once(": ").unwrap();
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 0, "{report:#}");
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

/// A year of hourly runs of which one in a hundred found something: a month stays whole, before that one run a day and what was
/// found, and nothing older than the operator wants; two days of it a day, so that a wrong clock cannot empty the journal.
#[test]
fn the_journal_does_not_grow_for_ever() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replacen("[state]\n", "[state]\nkeep = \"300d\"\n", 1));
    let history = |now: &str| server.run(&format!("backup --now {now}")).expect(0);
    history("2026-11-20T00:00:00Z");
    let path = server.state().join("journal.db");
    let journal = rusqlite::Connection::open(&path).unwrap();
    journal
        .execute_batch(
            "DELETE FROM remembered WHERE task = 'journal';
             WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 8760)
               INSERT INTO runs (id, task, line, host, version, started_ms, finished_ms, dry_run, state, status)
               SELECT 'r' || n, 'health', 'health', 'h', '0', 1795132800000 - n * 3600000, 1795132800000 - n * 3600000 + 50, 0,
                 'finished', iif(n % 100 = 0, 'warning', 'ok') FROM c;
             INSERT INTO metrics SELECT id, 'http_up', 1, '', '{}' FROM runs WHERE id LIKE 'r%';",
        )
        .unwrap();
    let runs = |what: &str| {
        number(
            &path,
            &format!("SELECT count(*) FROM runs WHERE id LIKE 'r%' AND {what}"),
        )
    };
    assert_eq!(runs("true"), 8760);
    let oldest = "started_ms < (SELECT 1795132800000 - 363 * 86400000)";
    assert_eq!(runs(oldest), 48);
    history("2026-11-21T00:00:00Z");
    assert_eq!(runs("true"), 8760, "only what was old a day ago is old");
    history("2026-11-22T00:00:00Z");
    assert_eq!(runs(oldest), 0, "the oldest two days");
    let now = runs("true");
    assert!(now > 8560, "and no more than that");
    // The clock was ten years ahead for a moment.
    history("2036-11-21T00:00:00Z");
    assert!(now - runs("true") < 100);
    history("2026-11-22T01:00:00Z");
    for day in 0..400 {
        let day = jiff::civil::date(2026, 11, 23) + jiff::Span::new().days(day);
        let now = format!("{day}T00:00:00Z");
        server.run(&format!("alerts flush --now {now}")).expect(0);
        let month = "started_ms >= 1795132800000 - 10 * 86400000";
        if day == jiff::civil::date(2026, 12, 1) {
            assert_eq!(runs(month), 240, "young ones stay");
        }
        if runs("true") < 100 {
            break;
        }
    }
    let left = runs("true");
    assert_eq!(
        runs(
            "status = 'ok' AND id NOT IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY started_ms / 86400000 ORDER BY started_ms) AS place FROM runs WHERE id LIKE 'r%') WHERE place = 1)"
        ),
        0
    );
    assert!(left > 0 && left < 100, "{left}");
    assert_eq!(
        number(
            &path,
            "SELECT count(*) FROM metrics WHERE run_id NOT IN (SELECT id FROM runs)"
        ),
        0
    );
}

#[test]
fn a_journal_of_the_first_layout_is_taken_over() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T03:07:02Z").expect(0);
    let path = server.state().join("journal.db");
    let journal = rusqlite::Connection::open(&path).unwrap();
    journal
        .execute_batch(
            "ALTER TABLE runs DROP COLUMN line; ALTER TABLE incidents DROP COLUMN acknowledged_severity;
             ALTER TABLE outbox DROP COLUMN receivers; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(journal);
    server.run("backup --now 2026-11-20T04:00:00Z").expect(0);
    assert_eq!(
        number(&path, "SELECT count(*) FROM runs WHERE line = 'backup'"),
        2
    );
    assert_eq!(number(&path, "PRAGMA user_version"), 3);
}

#[test]
fn a_task_that_there_is_not_is_no_empty_list_and_a_day_is_a_time() {
    let server = Server::new();
    let text = std::fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Europe/Berlin\""));
    server.run("backup --now 2026-11-20T22:59:00Z").expect(0);
    server.run("backup --now 2026-11-20T23:01:00Z").expect(0);
    let ran = server.run("history --task nope").expect(3);
    assert!(ran.err.contains("no task 'nope'"), "{}", ran.err);
    for (since, runs) in [
        ("2026-11-20", 2),
        ("2026-11-21", 1),
        ("2026-11-21T00:02", 0),
        ("2026-11-20T23:00:00Z", 1),
    ] {
        let (_, report) = server.json(&format!("history --since {since}"));
        let found = report["data"]["runs"].as_array().unwrap().len();
        assert_eq!(found, runs, "{since}");
    }
    server.run("history --since yesterday").expect(3);
    let ran = server.run("history --since 2026-11-31").expect(3);
    assert!(ran.err.contains("no day and no time"), "{}", ran.err);
}

//! `health` on backups and databases that were there once, are new, or were dated by a wrong clock.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Server, finding_ids, sql};

fn severity(report: &Value, id: &str, subject: &str) -> Option<String> {
    let mut all = report["findings"].as_array().unwrap().iter();
    let found = all.find(|one| one["id"] == id && one["subject"] == subject)?;
    Some(found["severity"].as_str().unwrap().to_owned())
}

#[test]
fn a_failed_backup_of_the_future_says_nothing() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    let lost = server.root().join("lost.db");
    fs::rename(server.database(), &lost).unwrap();
    server.run("backup --now 2027-11-20T03:00:00Z").expect(2);
    fs::rename(&lost, server.database()).unwrap();
    server
        .run("health --check backups --now 2026-11-20T05:00:00Z")
        .expect(0);
}

/// Without a `[[database]]` none of the plan's own need be there; one that was there once has to be.
#[test]
fn a_disk_that_is_gone_is_found_in_the_plans_own_layout_too() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let (text, _) = text.split_once("[[database]]").unwrap();
    let server = server.raw_config(text);
    let look = "health --check backups,database";
    let (code, report) = server.json(look);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(finding_ids(&report, "rag_db"), [""; 0], "{report:#}");
    server.run("backup --database app_db").expect(0);
    server.run(look).expect(0);
    let away = server.path().join("away");
    fs::rename(server.root(), &away).unwrap();
    fs::create_dir(server.root()).unwrap();
    let (code, report) = server.json(look);
    assert_eq!(code, 2, "{report:#}");
    for id in ["backup.missing", "database.unreadable"] {
        let found = severity(&report, id, "app_db");
        assert_eq!(found.as_deref(), Some("critical"), "{id}: {report:#}");
    }
    assert_eq!(finding_ids(&report, "rag_db"), [""; 0], "{report:#}");
    fs::remove_dir(server.root()).unwrap();
    let root = server.root().display().to_string();
    let (_, report) = server.json("health --check disk");
    assert_eq!(
        severity(&report, "disk.root", &root).as_deref(),
        Some("high")
    );
    fs::rename(&away, server.root()).unwrap();
    let (_, report) = server.json("health --check disk");
    assert_eq!(severity(&report, "disk.root", &root), None);
    server.run(look).expect(0);
}

#[test]
fn a_new_database_waits_for_its_first_night() {
    let server = Server::new();
    let at = |line: &str, now: &str| server.json(&format!("{line} --now 2026-11-{now}:00:00Z"));
    assert_eq!(at("backup", "20T03").0, 0);
    // The whole line failed before anybody knew of the new one.
    fs::rename(server.backups(), server.root().join("away")).unwrap();
    fs::write(server.backups(), "a file where the folder should be").unwrap();
    assert!(at("backup", "24T03").0 >= 2);
    fs::remove_file(server.backups()).unwrap();
    fs::rename(server.root().join("away"), server.backups()).unwrap();
    let server = server.config("[[database]]\nname = \"new_db\"\npath = \"data/new.db\"");
    fs::copy(server.database(), server.root().join("data/new.db")).unwrap();
    let at = |line: &str, now: &str| server.json(&format!("{line} --now 2026-11-{now}:00:00Z"));
    let look = |now: &str| {
        let report = at("health --check backups,database", now).1;
        assert_eq!(
            severity(&report, "backup.failed", "new_db"),
            None,
            "{report:#}"
        );
        severity(&report, "backup.missing", "new_db")
    };
    assert_eq!(look("24T04").as_deref(), Some("info"));
    assert_eq!(look("25T05").as_deref(), Some("info"));
    assert_eq!(look("25T07").as_deref(), Some("critical"));
    assert_eq!(at("backup", "25T08").0, 0);
    assert_eq!(look("25T09"), None);
}

/// It grows from its first day on; one that became small has lost its past.
#[test]
fn a_journal_that_grows_is_well() {
    let server = Server::new();
    let journal = server.state().join("journal.db");
    for day in 10..20 {
        let (code, report) = server.json(&format!("backup --now 2026-11-{day}T03:00:00Z"));
        assert_eq!(code, 0, "{report:#}");
        let connection = Connection::open(&journal).unwrap();
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS past (x); INSERT INTO past VALUES (randomblob(1 << 18))")
            .unwrap();
    }
    server
        .run("verify-backup --now 2026-11-19T04:00:00Z")
        .expect(0);
    sql(&journal, "DROP TABLE past; VACUUM");
    let (_, report) = server.json("backup --now 2026-11-20T03:00:00Z");
    let found = severity(&report, "backup.size", "journal");
    assert_eq!(found.as_deref(), Some("medium"), "{report:#}");
}

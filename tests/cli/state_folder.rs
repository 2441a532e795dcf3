//! The state folder: whose it is, who may write it, and what stays in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::{Ran, Server, fill, finding, finding_ids, number};

fn open(server: &Server) -> Vec<Value> {
    let (_, list) = server.json("alerts list");
    let incidents = list["data"]["incidents"].as_array().unwrap().iter();
    let ids = incidents.map(|one| one["finding"].clone());
    ids.filter(|id| id != "backup.same-device").collect()
}

fn configuration(root: &Path, state: &Path) -> String {
    format!(
        "[app]\nroot = {root:?}\n[state]\ndir = {state:?}\n[[database]]\nname = \"app_db\"\npath = \"data/app.db\"\n"
    )
}

#[test]
fn two_applications_in_one_folder_do_not_end_each_others_alerts() {
    let server = Server::empty();
    let other = Server::new();
    let text = configuration(&other.root(), &server.state());
    let other = other.raw_config(&text);
    let at = |server: &Server, line: &str, now: &str| {
        server.json(&format!("{line} --now 2026-11-{now}:00:00Z"))
    };
    assert_eq!(at(&server, "backup", "20T03").0, 2);
    assert_eq!(open(&server), ["backup.failed"]);
    let (code, report) = at(&other, "backup", "20T04");
    assert_eq!(code, 1, "{report:#}");
    let shared = finding(&report, "state.shared");
    assert_eq!(shared["severity"], "medium");
    assert!(shared["hint"].as_str().unwrap().contains("[state] dir"));
    assert_eq!(open(&server), ["backup.failed", "state.shared"]);
    fill(&server.database(), 5);
    // Our own runs end what is ours; that two are here is over a day after the last run of the other.
    assert_eq!(at(&server, "backup", "20T05").0, 0);
    assert_eq!(open(&server), ["state.shared"]);
    assert_eq!(at(&server, "backup", "21T06").0, 0);
    assert_eq!(open(&server), [""; 0]);
    // An application that moves takes its state along.
    let moved = server.path().join("moved");
    fs::rename(server.root(), &moved).unwrap();
    let text = configuration(&moved, &server.state());
    let server = server.raw_config(&text);
    let (code, report) = at(&server, "backup", "22T06");
    let shared = finding_ids(&report, "").contains(&"state.shared".to_owned());
    assert_eq!((code, shared), (0, false), "{report:#}");
}

#[test]
fn the_first_of_systemds_state_folders_is_taken() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let state = format!("[state]\ndir = {:?}\n", server.state());
    let server = server.raw_config(&text.replace(&state, ""));
    let both = format!("{}:/nonexistent/b", server.state().display());
    let ran = Ran::of(server.command(["backup"]).env("STATE_DIRECTORY", both));
    ran.expect(0);
    assert!(server.state().join("journal.db").exists());
}

#[test]
fn root_writes_no_state_where_somebody_else_can() {
    let server = Server::new();
    fs::create_dir(server.state()).unwrap();
    if chown(server.state(), Some(65534), Some(65534)).is_err() {
        return; // only root can give it away
    }
    let victim = server.path().join("victim.db");
    symlink(&victim, server.state().join("journal.db")).unwrap();
    let refused = |why: &str| {
        let (code, report) = server.json("backup");
        assert_eq!(code, 1, "{report:#}");
        let found = finding(&report, "journal.unwritable");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert!(found["hint"].as_str().unwrap().starts_with("ch"), "{found}");
        assert!(!victim.exists());
    };
    refused("belongs to somebody else");
    chown(server.state(), Some(0), Some(0)).unwrap();
    fs::set_permissions(server.state(), fs::Permissions::from_mode(0o777)).unwrap();
    refused("is writable by everybody");
}

#[test]
fn a_damaged_journal_leaves_no_files_of_runs() {
    let server = Server::new();
    server.run("backup").expect(0);
    fs::write(server.state().join("journal.db"), "x".repeat(9000)).unwrap();
    for _ in 0..3 {
        server.run("health --check memory");
    }
    let left = fs::read_dir(server.state().join("runs")).unwrap().count();
    assert_eq!(left, 0);
}

/// What runs every five minutes has one row a half hour, so that a clock that is put back finds a run of before.
#[test]
fn a_clock_that_is_put_back_misses_no_line() {
    let server = Server::new();
    let path = server.state().join("journal.db");
    for minute in (4..120).step_by(5) {
        let now = format!("2026-11-20T{:02}:{:02}:00Z", 10 + minute / 60, minute % 60);
        server.run(&format!("alerts flush --now {now}")).expect(0);
    }
    assert_eq!(number(&path, "SELECT count(*) FROM runs"), 4);
    for now in ["10:41", "10:59", "11:20", "11:40"] {
        let (_, report) = server.json(&format!("schedule show --now 2026-11-20T{now}:00Z"));
        let rows = report["data"]["lines"].as_array().unwrap();
        let flush = rows.iter().find(|row| row["name"] == "alerts-flush");
        assert_eq!(flush.unwrap()["standing"], "fine", "{now}: {report:#}");
    }
}

/// One finding that stays for weeks is written down once a day, as one that is not there is.
#[test]
fn what_was_found_again_and_again_is_thinned_too() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T00:00:00Z").expect(0);
    let path = server.state().join("journal.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "DELETE FROM remembered WHERE task = 'journal' AND key = 'thinned';
             WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 23)
               INSERT INTO runs (id, task, line, host, version, started_ms, finished_ms, dry_run, state, status, exit_code)
               SELECT 'r' || n, 'health', 'health', 'h', '0', 1789948800000 + n * 3600000, 1789948800050 + n * 3600000, 0,
                 'finished', 'critical', 2 FROM c;
             INSERT INTO findings (run_id, id, severity, subject, message)
               SELECT id, 'disk.usage', iif(id IN ('r9', 'r10'), 'critical', 'high'), '/', 'so full at ' || id FROM runs WHERE id LIKE 'r%';",
        )
        .unwrap();
    for day in ["21", "22"] {
        server
            .run(&format!("backup --now 2026-11-{day}T00:00:00Z"))
            .expect(0);
    }
    let left = "SELECT group_concat(id, ' ') = 'r0 r9 r11' FROM (SELECT id FROM runs WHERE id LIKE 'r%' ORDER BY started_ms)";
    assert_eq!(number(&path, left), 1);
}

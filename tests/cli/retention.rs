//! Which backups stay: the list and its reasons, pins, and that nothing goes before a new one is there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Server, beside, fill, finding};

fn backup_at(server: &Server, day: &str) {
    server
        .run(&format!("backup --database app_db --now {day}T03:00:00Z"))
        .expect(0);
}

/// Days of November 2026, one backup each.
fn nights(server: &Server, days: std::ops::RangeInclusive<u32>) {
    for day in days {
        backup_at(server, &format!("2026-11-{day:02}"));
    }
}

fn names(server: &Server) -> Vec<String> {
    let names = server.list("app_db").into_iter();
    names
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Targets of the removals that a report lists.
fn removals(report: &Value) -> Vec<String> {
    let actions = report["actions"].as_array().unwrap().iter();
    actions
        .filter(|action| action["kind"] == "delete")
        .map(|action| action["target"].as_str().unwrap().to_owned())
        .collect()
}

const TIGHT: &str = "[backup.keep]\ndaily = 2\nweekly = 0\nmonthly = 0\nminimum = 1";

#[test]
fn the_list_shows_when_how_large_how_old_how_sure_and_why() {
    let server = Server::empty().config(
        "freshness = { users = \"last_login\" }\n[backup.keep]\ndaily = 2\nweekly = 1\nminimum = 1",
    );
    fill(&server.database(), 2000);
    nights(&server, 23..=24);
    server
        .run("verify-backup app_db --now 2026-11-24T09:00:00Z")
        .expect(0);
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Europe/Berlin\""));
    let out = server
        .run("backup list app_db --now 2026-11-24T12:00:30Z")
        .out;
    let lines: Vec<&str> = out.lines().collect();
    for column in [
        "taken",
        "age",
        "size",
        "ratio",
        "data as of",
        "verified",
        "when",
        "kept because",
    ] {
        assert!(lines[1].contains(column), "{column}: {out}");
    }
    let size = fs::metadata(&server.list("app_db")[1]).unwrap().len();
    let plain = {
        let text = fs::read(beside(&server.list("app_db")[1], ".json")).unwrap();
        let manifest: Value = serde_json::from_slice(&text).unwrap();
        manifest["plain"]["size"].as_u64().unwrap()
    };
    let ratio = format!("{:.0}%", size as f64 * 100.0 / plain as f64);
    for word in [
        "app_db_20261124T030000Z",
        "2026-11-24 04:00:00 +01:00",
        "9 h 00 m",
        "KiB",
        &ratio,
        "2026-11-24 04:00:00 +01:00",
        "restored",
        "2026-11-24 10:00:00 +01:00",
        "newest of 2026-11-24, newest of week 2026-W48",
    ] {
        assert!(lines[2].contains(word), "{word}: {out}");
    }
    assert!(
        lines[3].contains("checked") && lines[3].contains("33 h 00 m"),
        "{out}"
    );
    assert!(lines[3].ends_with("newest of 2026-11-23"), "{out}");
    let (_, report) = server.json("backup list --now 2026-11-24T12:00:00Z");
    let row = &report["data"]["catalogue"][0];
    assert_eq!(row["data_as_of"], "2026-11-24T03:00:00Z");
    assert_eq!(row["size_bytes"], size);
    assert_eq!(row["plain_bytes"], plain);
    assert_eq!(row["verified_at"], "2026-11-24T09:00:00Z");
    assert_eq!(
        (&row["kept"], &row["pinned"]),
        (&true.into(), &false.into())
    );
    server.run("backup list nothing").expect(3);
}

#[test]
fn a_dry_run_lists_exactly_what_the_real_run_removes() {
    let server = Server::new().config("[backup.keep]\ndaily = 3\nweekly = 1\nminimum = 2");
    nights(&server, 1..=9);
    // One pinned, one that is somebody else's: each with its own rule.
    let pinned = names(&server)[1].clone();
    server.run(&format!("backup pin {pinned}")).expect(0);
    fs::write(server.backups().join("app_db_20261030_030000.db.gz"), "old").unwrap();
    let mut all = 0;
    for day in ["2026-11-10", "2026-11-16", "2026-11-30"] {
        let line = format!("backup --database app_db --now {day}T03:00:00Z");
        let before = server.fingerprint(&server.backups());
        let (code, dry) = server.json(&format!("{line} --dry-run"));
        assert_eq!(code, 0);
        assert_eq!(server.fingerprint(&server.backups()), before);
        let there = server.list("app_db");
        let (_, real) = server.json(&line);
        assert_eq!(removals(&dry), removals(&real), "{day}");
        let left = server.list("app_db");
        let mut gone: Vec<String> = there
            .iter()
            .filter(|path| !left.contains(path))
            .map(|path| path.display().to_string())
            .collect();
        let mut listed = removals(&real);
        gone.sort();
        listed.sort();
        assert_eq!(gone, listed, "{day}");
        all += gone.len();
        for gone in gone {
            for suffix in [".idx", ".json", ".json.del"] {
                assert!(!beside(Path::new(&gone), suffix).exists(), "{gone}{suffix}");
            }
        }
        assert!(names(&server).contains(&pinned));
        assert!(names(&server).contains(&"app_db_20261030_030000.db.gz".to_owned()));
    }
    assert_eq!(all, 2, "the 7th, later the 9th");
}

#[test]
fn each_removal_has_its_reason() {
    let server = Server::new().config(TIGHT);
    nights(&server, 1..=2);
    let (_, report) = server.json("backup --database app_db --now 2026-11-03T03:00:00Z");
    let actions = report["actions"].as_array().unwrap();
    let delete = actions.iter().find(|a| a["kind"] == "delete").unwrap();
    assert_eq!(delete["reason"], "retention: not among the newest 2 days");
    assert_eq!(delete["outcome"], "done");
}

#[test]
fn a_night_that_failed_removes_nothing() {
    let server = Server::new().config(TIGHT);
    nights(&server, 1..=2);
    server.run("backup pin app_db_20261101T030000Z").expect(0);
    nights(&server, 3..=4);
    server.run("backup unpin app_db_20261101T030000Z").expect(0);
    let before = names(&server);
    assert_eq!(before.len(), 3, "one is due for removal: {before:?}");
    fs::rename(server.database(), server.root().join("away.db")).unwrap();
    for day in 5..30 {
        let (code, report) = server.json(&format!("backup --now 2026-11-{day:02}T03:00:00Z"));
        assert_eq!(code, 2);
        assert!(
            removals(&report)
                .iter()
                .all(|target| !target.contains("app_db")),
            "{report:#}"
        );
    }
    assert_eq!(names(&server), before);
    fs::rename(server.root().join("away.db"), server.database()).unwrap();
    backup_at(&server, "2026-11-30");
    assert_eq!(
        names(&server),
        [
            "app_db_20261104T030000Z.db.gz",
            "app_db_20261130T030000Z.db.gz"
        ]
    );
}

#[test]
fn a_clock_that_jumps_never_removes_much() {
    let server = Server::new().config("[backup.keep]\ndaily = 5\nweekly = 0\nminimum = 3");
    nights(&server, 1..=5);
    let five = names(&server);
    // Ten years ahead for one night: what it made is not counted once the clock is right again.
    backup_at(&server, "2036-11-06");
    let kept = |name: &String| names(&server).contains(name);
    assert_eq!(
        five.iter().filter(|name| kept(name)).count(),
        4,
        "one for the new one"
    );
    backup_at(&server, "2026-11-07");
    let now = names(&server);
    assert!(
        now.contains(&"app_db_20361106T030000Z.db.gz".to_owned()),
        "{now:?}"
    );
    assert_eq!(now.len(), 6, "{now:?}");
    let listed = server
        .run("backup list --now 2026-11-07T04:00:00Z")
        .expect(0)
        .out;
    assert!(
        listed.contains("dated in the future: a clock was wrong"),
        "{listed}"
    );
    // Years back, many nights: nothing from the future goes.
    for day in 1..=9 {
        backup_at(&server, &format!("2019-01-{day:02}"));
    }
    let later = names(&server);
    assert!(now.iter().all(|name| later.contains(name)), "{later:?}");
    assert_eq!(later.len(), 6 + 5, "{later:?}");
}

/// Set back by an hour, the clock makes the new backup an older one of the same day.
#[test]
fn what_was_just_made_never_goes() {
    let server =
        Server::new().config("[backup.keep]\ndaily = 1\nweekly = 0\nmonthly = 0\nminimum = 1");
    server
        .run("backup --database app_db --now 2026-11-24T03:00:00Z")
        .expect(0);
    let (code, report) = server.json("backup --database app_db --now 2026-11-24T02:00:00Z");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(names(&server).len(), 2);
    backup_at(&server, "2026-11-25");
    assert_eq!(names(&server), ["app_db_20261125T030000Z.db.gz"]);
}

#[test]
fn the_minimum_counts_good_ones_only() {
    let server = Server::new().config("[backup.keep]\ndaily = 1\nweekly = 0\nminimum = 3");
    nights(&server, 1..=3);
    // The newest two rot; verify-backup marks them.
    for backup in &server.list("app_db")[1..] {
        let mut bytes = fs::read(backup).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(backup, bytes).unwrap();
    }
    server
        .run("verify-backup --all --now 2026-11-03T05:00:00Z")
        .expect(2);
    let first = names(&server)[0].clone();
    backup_at(&server, "2026-11-04");
    backup_at(&server, "2026-11-05");
    assert!(names(&server).contains(&first), "the third good one stays");
    backup_at(&server, "2026-11-06");
    assert!(!names(&server).contains(&first));
    assert_eq!(
        names(&server),
        [4, 5, 6].map(|day| format!("app_db_2026110{day}T030000Z.db.gz")),
        "the bad ones go once there are three good ones"
    );
}

#[test]
fn a_pin_holds_until_it_is_taken_off() {
    let server = Server::new().config(TIGHT);
    nights(&server, 1..=2);
    let path = server.list("app_db")[0].clone();
    let stem = "app_db_20261101T030000Z";
    // As a name, a file, a path: whatever a person copies out of the list.
    for wanted in [stem, &format!("{stem}.db.gz"), &path.display().to_string()] {
        server.run(&format!("backup pin {wanted}")).expect(0);
    }
    nights(&server, 3..=9);
    assert!(path.exists());
    let listed = server
        .run("backup list --now 2026-11-09T04:00:00Z")
        .expect(0)
        .out;
    assert!(
        listed
            .lines()
            .any(|line| line.contains(stem) && line.ends_with("pinned")),
        "{listed}"
    );
    let manifest = fs::read_to_string(beside(&path, ".json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert!(manifest["pinned"]["by"].is_string(), "{manifest:#}");
    let before = server.fingerprint(&server.backups());
    server
        .run(&format!("backup unpin {stem} --dry-run"))
        .expect(0);
    assert_eq!(server.fingerprint(&server.backups()), before);
    server.run(&format!("backup unpin {stem}")).expect(0);
    backup_at(&server, "2026-11-10");
    assert!(!path.exists());
    for nothing in ["app_db_20261101T030000Z", "../../etc/passwd", "", "/"] {
        let ran = server.run_args(["backup", "pin", nothing]).expect(3);
        assert!(
            ran.err.contains("there is no backup"),
            "{nothing}: {}",
            ran.err
        );
    }
}

/// A path that leads elsewhere never means the backup of that name in the folder.
#[test]
fn a_path_to_another_folder_is_not_taken_for_one_in_ours() {
    let server = Server::new();
    backup_at(&server, "2026-11-01");
    let other = server.path().join("elsewhere");
    fs::create_dir(&other).unwrap();
    let name = names(&server)[0].clone();
    fs::copy(&server.list("app_db")[0], other.join(&name)).unwrap();
    let ran = server
        .run(&format!("backup pin {}", other.join(&name).display()))
        .expect(3);
    assert!(ran.err.contains("there is no backup"), "{}", ran.err);
}

/// The backup is there, whatever cannot be removed for it.
#[test]
fn what_cannot_be_removed_is_no_failure_of_the_backup() {
    let server = Server::new();
    nights(&server, 20..=23);
    let server = server.config(TIGHT);
    let oldest = server.list("app_db").remove(0);
    let index = beside(&oldest, ".idx");
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    let line = |day: u32| format!("backup --database app_db --now 2026-11-{day}T03:00:00Z");
    let (code, report) = server.json(&line(24));
    assert_eq!(code, 1, "{report:#}");
    let told = finding(&report, "backup.prune-failed");
    assert_eq!(
        (told["severity"].as_str(), told["subject"].as_str()),
        (Some("medium"), Some("app_db"))
    );
    assert_eq!(report["data"]["published"][0]["database"], "app_db");
    assert_eq!(removals(&report).len(), 3, "{report:#}");
    assert_eq!(names(&server).len(), 2, "the others went");
    // What is left of it holds up no other backup.
    let (code, report) = server.json(&line(25));
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "backup.unswept");
    assert_eq!(report["data"]["published"][0]["database"], "app_db");
    fs::remove_dir(&index).unwrap();
    let (code, report) = server.json(&line(26));
    assert_eq!(code, 0, "{report:#}");
    finding(&report, "backup.swept");
}

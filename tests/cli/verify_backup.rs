//! `verify-backup`: what it says of backups that are sound, which of them it takes, and where it does its work.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Ran, Server, actions, beside, fill, finding, finding_ids, gzip, sql, users, zcat,
};

/// Backups of so many nights in November 2026.
fn nights(server: Server, days: impl IntoIterator<Item = u32>) -> Server {
    for day in days {
        server
            .run(&format!(
                "backup --database app_db --now 2026-11-{day:02}T03:00:00Z"
            ))
            .expect(0);
    }
    server
}

fn verified(report: &Value) -> Vec<String> {
    report["data"]["verified"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| {
            assert_eq!(outcome["sound"], true, "{report:#}");
            outcome["backup"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The value of a metric that there is once.
fn metric(report: &Value, name: &str) -> f64 {
    let metrics = report["metrics"].as_array().unwrap();
    let mut found = metrics.iter().filter(|metric| metric["name"] == name);
    let value = found.next().unwrap_or_else(|| panic!("{name}: {report:#}"))["value"].clone();
    assert!(found.next().is_none(), "{name} twice");
    value.as_f64().unwrap()
}

#[test]
fn the_latest_of_each_is_restored_and_named_with_the_age_of_its_data() {
    let server = Server::new().config(
        "freshness = { users = \"last_login\" }\n\
         [[database]]\nname = \"second\"\npath = \"data/second.db\"",
    );
    fill(&server.root().join("data/second.db"), 5);
    sql(
        &server.database(),
        "UPDATE users SET last_login = '2026-11-24 02:30:00' WHERE id = 7",
    );
    server.run("backup --now 2026-11-23T03:00:00Z").expect(0);
    server.run("backup --now 2026-11-24T03:00:00Z").expect(0);
    let (code, report) = server.json("verify-backup --now 2026-11-24T05:00:00Z");
    assert_eq!(code, 0, "{report:#}");
    let day = "20261124T030000Z";
    assert_eq!(
        verified(&report),
        ["app_db", "second", "journal", "files"].map(|series| format!("{series}_{day}"))
    );
    let newest = &report["data"]["verified"][0];
    assert_eq!(newest["facts"]["tables"]["users"], 500);
    let (_, report) = server.json("verify-backup app_db --now 2026-11-24T05:00:00Z");
    // The newest row was written at 03:00: fill() says so. The one of 02:30 is older, as is the snapshot no newer.
    assert_eq!(metric(&report, "backup_rpo_seconds").floor(), 2.0 * 3600.0);
    assert!(metric(&report, "backup_rto_seconds") > 0.0);
    let manifest = server.manifest(&server.list("app_db")[1]);
    assert_eq!(manifest["verified"]["level"], "restored");
    assert_eq!(manifest["verified"]["at"], "2026-11-24T05:00:00Z");
    assert_eq!(manifest["checks"]["integrity"], "integrity_check");
    let older = server.manifest(&server.list("app_db")[0]);
    assert_eq!(older["verified"]["level"], "checked");

    let shown = server.run("verify-backup app_db --now 2026-11-24T05:00:00Z");
    let shown = shown.expect(0).out;
    for part in [
        "app_db_20261124T030000Z",
        "2 h 00 m",
        "sound",
        "1 backup restored and checked",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

/// The recovery point is the age of the data, which may be far older than the file.
#[test]
fn the_recovery_point_is_the_age_of_the_newest_row() {
    let server = Server::new().config("freshness = { users = \"last_login\" }");
    sql(
        &server.database(),
        "UPDATE users SET last_login = '2026-11-20 12:00:00'",
    );
    server.run("backup --now 2026-11-24T03:00:00Z").expect(0);
    let (_, report) = server.json("verify-backup app_db --now 2026-11-24T12:00:00Z");
    assert_eq!(
        metric(&report, "backup_rpo_seconds").floor(),
        4.0 * 86_400.0
    );
    // One that somebody else made has no manifest to say it: the restored copy does.
    let copy = server.path().join("copy.db.gz");
    fs::copy(&server.list("app_db")[0], server.path().join("named.db.gz")).unwrap();
    fs::rename(server.path().join("named.db.gz"), &copy).unwrap();
    let by_hand = server.backups().join("app_db_20261124_110000.db.gz");
    fs::rename(&copy, &by_hand).unwrap();
    let ran = server.run_args([
        OsStr::new("verify-backup"),
        "--json".as_ref(),
        "--now".as_ref(),
        "2026-11-24T12:00:00Z".as_ref(),
        "--file".as_ref(),
        by_hand.as_os_str(),
    ]);
    assert_eq!(
        metric(&ran.json(), "backup_rpo_seconds").floor(),
        4.0 * 86_400.0,
        "{ran:?}"
    );
}

#[test]
fn all_takes_every_backup_and_samples_share_them_out() {
    let server = nights(Server::new().config("[backup.keep]\ndaily = 100"), 1..=12);
    let now = "--now 2026-11-12T04:00:00Z";
    let (code, report) = server.json(&format!("verify-backup app_db --all {now}"));
    assert_eq!(code, 0, "{report:#}");
    let all: BTreeSet<_> = verified(&report).into_iter().collect();
    assert_eq!(all.len(), 12);
    let part = |number: u32| {
        let (code, report) =
            server.json(&format!("verify-backup app_db --sample {number}/3 {now}"));
        assert_eq!(code, 0, "{report:#}");
        verified(&report)
    };
    let parts: Vec<_> = (1..=3).flat_map(part).collect();
    assert_eq!(parts.len(), 12, "each in one part: {parts:?}");
    assert_eq!(parts.into_iter().collect::<BTreeSet<_>>(), all);
    // One more leaves the others in their parts.
    let before = part(2);
    let server = nights(server, [13]);
    let (_, report) = server.json(&format!("verify-backup app_db --sample 2/3 {now}"));
    assert!(before.iter().all(|name| verified(&report).contains(name)));
    for bad in ["0/7", "8/7", "1/0", "-1/7", "1", "a/b"] {
        let ran = server.run(&format!("verify-backup --sample={bad}"));
        assert!(ran.err.contains("--sample"), "{bad}: {ran:?}");
        ran.expect(3);
    }
}

#[test]
fn without_its_index_a_backup_is_read_serially_and_without_its_manifest_too() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let backup = server.list("app_db").remove(0);
    let index = beside(&backup, ".idx");
    let whole = fs::read(&index).unwrap();
    let mut changed = whole.clone();
    changed[100] ^= 1;
    for content in [Some(&changed[..]), Some(&whole[..70]), Some(b""), None] {
        match content {
            Some(content) => fs::write(&index, content).unwrap(),
            None => fs::remove_file(&index).unwrap(),
        }
        let (code, report) = server.json("verify-backup app_db");
        assert_eq!(code, 0, "{report:#}");
        let said = finding(&report, "verify.no-index");
        assert_eq!(said["severity"], "info");
        assert_eq!(verified(&report).len(), 1);
    }
    fs::remove_file(beside(&backup, ".json")).unwrap();
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(verified(&report).len(), 1, "the operator's own is tried");
    assert_eq!(finding_ids(&report, "app_db"), ["backup.missing"]);
    assert_eq!(code, 2);
    assert!(!beside(&backup, ".json").exists(), "and left as it is");
}

#[test]
fn scratch_is_made_where_it_is_configured_and_goes_away() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let server = server.config("[verify]\nscratch_dir = \"elsewhere\"");
    let elsewhere = server.root().join("elsewhere");
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 2, "it is not made by guess: {report:#}");
    let failed = finding(&report, "verify.failed");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains(elsewhere.to_str().unwrap()), "{message}");
    fs::create_dir(&elsewhere).unwrap();
    // What a killed run left there is swept.
    fs::create_dir(elsewhere.join(".empire-maint-scratch-dead")).unwrap();
    fs::write(
        elsewhere.join(".empire-maint-scratch-dead/restored.db"),
        "x",
    )
    .unwrap();
    let before = server.fingerprint(&server.backups()).len();
    server.run("verify-backup app_db").expect(0);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(server.fingerprint(&server.backups()).len(), before);
}

#[test]
fn no_room_for_scratch_says_nothing_about_the_backup() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let server = server.config("[backup]\nreserve = \"900TiB\"");
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 2);
    let failed = finding(&report, "verify.failed");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("not enough space") && message.contains("needed"),
        "{message}"
    );
    assert!(
        finding_ids(&report, "")
            .iter()
            .all(|id| id != "verify.damaged")
    );
    let backup = server.list("app_db").remove(0);
    assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    // The same of one that nobody vouches for, whose size is only known once it is opened.
    fs::remove_file(beside(&backup, ".json")).unwrap();
    let (_, report) = server.json("verify-backup app_db");
    finding(&report, "verify.failed");
}

#[test]
fn a_table_that_is_far_from_the_live_one_is_worth_a_look() {
    let server = Server::empty();
    fill(&server.database(), 3000);
    server
        .run("backup --database app_db --now 2026-11-20T03:00:00Z")
        .expect(0);
    let verify = |more: &str| {
        server.json(&format!(
            "verify-backup app_db --now 2026-11-20T04:00:00Z{more}"
        ))
    };
    sql(&server.database(), "DELETE FROM users WHERE id > 1600");
    assert_eq!(verify("").0, 0, "within the tolerance");
    sql(&server.database(), "DELETE FROM users WHERE id > 1400");
    let (code, report) = verify("");
    assert_eq!(code, 1, "{report:#}");
    let differs = finding(&report, "verify.rows-differ");
    assert_eq!(differs["subject"], "app_db.users");
    let message = differs["message"].as_str().unwrap();
    assert!(
        message.contains("3000 rows in app_db_20261120T030000Z and 1400 live"),
        "{message}"
    );
    // A small table may come and go, one that is expected may not be emptied.
    sql(&server.database(), "DELETE FROM accounts");
    assert_eq!(
        finding(&verify("").1, "verify.rows-differ")["subject"],
        "app_db.users"
    );
    // A later backup is near the live one; the older one is compared with its own time only.
    server
        .run("backup --database app_db --now 2026-11-20T03:30:00Z")
        .expect(0);
    assert_eq!(verify(" --all").0, 0, "{:#}", verify(" --all").1);
    sql(&server.database(), "DELETE FROM users");
    let (code, report) = verify("");
    assert_eq!(code, 1);
    assert_eq!(
        finding(&report, "verify.rows-differ")["subject"],
        "app_db.users"
    );
    // The tolerance is configured; an emptied table is not a matter of tolerance.
    let server = server.config("[verify]\nrow_tolerance_pct = 100.0");
    assert_eq!(
        server
            .run("verify-backup app_db --now 2026-11-20T04:00:00Z")
            .code,
        1
    );
    fs::remove_file(server.database()).unwrap();
    let (code, report) = server.json("verify-backup app_db --now 2026-11-20T04:00:00Z");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "verify.live-unreadable");
    assert!(!server.database().exists(), "and it is not created");
}

#[test]
fn backups_that_are_old_or_missing_are_said() {
    let server = Server::new();
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 2, "there is not even a folder");
    assert_eq!(finding(&report, "backup.missing")["subject"], "app_db");
    assert!(!server.backups().exists());
    server
        .run("backup --database app_db --now 2026-11-20T03:00:00Z")
        .expect(0);
    for (now, severity, code) in [
        ("2026-11-21T04:59:50Z", None, 0),
        ("2026-11-21T05:00:10Z", Some("high"), 2),
        ("2026-11-22T07:00:10Z", Some("critical"), 2),
    ] {
        let (ended, report) = server.json(&format!("verify-backup app_db --now {now}"));
        assert_eq!(ended, code, "{now}: {report:#}");
        let stale: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["id"] == "backup.stale")
            .map(|finding| finding["severity"].as_str().unwrap())
            .collect();
        assert_eq!(stale, severity.into_iter().collect::<Vec<_>>(), "{now}");
    }
}

#[test]
fn an_odd_size_is_said_once_there_are_five_to_compare_with() {
    let server = nights(Server::new(), 1..=5);
    let now = "--now 2026-11-06T04:00:00Z";
    sql(
        &server.database(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000)
         INSERT INTO deals SELECT n, hex(randomblob(50)) FROM c",
    );
    server
        .run("backup --database app_db --now 2026-11-06T03:00:00Z")
        .expect(1);
    let (code, report) = server.json(&format!("verify-backup app_db {now}"));
    assert_eq!(code, 1, "{report:#}");
    let size = finding(&report, "backup.size");
    let message = size["message"].as_str().unwrap();
    assert!(message.contains("app_db_20261106T030000Z"), "{message}");
}

#[test]
fn a_dry_run_changes_nothing_and_lists_what_the_real_one_does() {
    let server = Server::new();
    server.run("backup").expect(0);
    gzip(
        &fs::read(server.database()).unwrap(),
        &server.backups().join("app_db_20200101_000000.db.gz"),
    );
    let before = server.fingerprint(server.path());
    let (code, dry) = server.json("verify-backup --all --dry-run");
    assert_eq!(code, 0, "{dry:#}");
    let same = |path: &Path| {
        let state = server.state();
        !path.starts_with(state) // the run is journalled, as dry
    };
    let only = |all: Vec<(PathBuf, String)>| -> Vec<_> {
        all.into_iter().filter(|(path, _)| same(path)).collect()
    };
    assert_eq!(only(server.fingerprint(server.path())), only(before));
    let (code, real) = server.json("verify-backup --all");
    assert_eq!(code, 0, "{real:#}");
    let what = |report: &Value| -> Vec<_> {
        let all = actions(report).into_iter();
        all.map(|(kind, target, _)| (kind, target)).collect()
    };
    assert_eq!(what(&dry), what(&real));
    assert!(actions(&dry).iter().all(|action| action.2 == "planned"));
    assert!(actions(&real).iter().all(|action| action.2 == "done"));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_looked_at() {
    let server = Server::new();
    for (line, said) in [
        ("verify-backup nobody", "nobody"),
        ("verify-backup --file nothing.db.gz", "there is no backup"),
        ("verify-backup --file data", "not a regular file"),
        ("verify-backup app_db --file x", "cannot be used with"),
        ("verify-backup --all --sample 1/7", "cannot be used with"),
    ] {
        fs::create_dir_all(server.path().join("data")).unwrap();
        let ran = server.run(line);
        assert!(ran.err.contains(said), "{line}: {ran:?}");
        ran.expect(3);
    }
    let server = server.config("[verify]\nrow_tolerance_pct = \"much\"");
    let ran = server.run("verify-backup");
    assert!(
        ran.err.contains("config.toml") && ran.err.contains("row_tolerance_pct"),
        "{ran:?}"
    );
    ran.expect(3);
}

#[test]
fn any_name_that_a_file_may_have() {
    let server = Server::empty();
    let odd = server
        .path()
        .join(OsStr::from_bytes(b"ro\xff ot 'q' \"d\" ?#%41;$(x)"));
    fs::create_dir_all(odd.join("data")).unwrap();
    fill(&odd.join("data/app.db"), 30);
    let with_root = |words: &[&OsStr]| {
        let mut all: Vec<OsString> = vec!["--json".into(), "--root".into(), odd.clone().into()];
        all.extend(words.iter().map(|&word| word.to_owned()));
        server.run_args(all)
    };
    with_root(&["backup".as_ref()]).expect(0);
    let report = with_root(&["verify-backup".as_ref()]).expect(0).json();
    assert_eq!(verified(&report).len(), 3);
    let backup = fs::read_dir(odd.join("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.to_string_lossy().ends_with("Z.db.gz")
                && path.to_string_lossy().contains("app_db_")
        })
        .unwrap();
    for name in [
        &b"caf\xe9 'x' \"y\".db.gz"[..],
        b"-n.db.gz",
        b"new\nline.db.gz",
    ] {
        let file = server.path().join(OsStr::from_bytes(name));
        for suffix in ["", ".json", ".idx"] {
            fs::copy(beside(&backup, suffix), beside(&file, suffix)).unwrap();
        }
        let report = with_root(&["verify-backup".as_ref(), "--file".as_ref(), file.as_ref()])
            .expect(0)
            .json();
        assert_eq!(verified(&report).len(), 1);
        assert!(
            finding_ids(&report, "")
                .iter()
                .all(|id| id != "verify.no-index")
        );
        let to = server
            .path()
            .join(OsStr::from_bytes(&[name, b" restored"].concat()));
        with_root(&[
            "restore".as_ref(),
            "--file".as_ref(),
            file.as_ref(),
            "--to".as_ref(),
            to.as_ref(),
        ])
        .expect(0);
        assert_eq!(users(&to), 30);
    }
    with_root(&["restore".as_ref(), "app_db".as_ref(), "--force".as_ref()]).expect(0);
    assert_eq!(users(&odd.join("data/app.db")), 30);
}

#[test]
fn a_backup_that_is_in_use_is_left_alone() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let lock = fs::File::open(server.backups().join(".app_db.lock")).unwrap();
    lock.lock().unwrap();
    let (code, report) = server.json("verify-backup app_db --lock-wait 0s");
    assert_eq!(code, 2);
    let message = finding(&report, "verify.failed")["message"].clone();
    assert!(message.as_str().unwrap().contains("in use by"), "{message}");
    let manifest = server.manifest(&server.list("app_db")[0]);
    assert_eq!(manifest["verified"]["level"], "checked");
    drop(lock);
    // Two runs of the command: the second does not start.
    let locks = server.state().join("locks");
    let lock = fs::File::open(locks.join("verify-backup.lock")).unwrap();
    lock.lock().unwrap();
    let ran = server.run("verify-backup app_db --lock-wait 0s");
    assert!(ran.err.contains("in use by"), "{ran:?}");
    ran.expect(3);
}

#[test]
fn the_application_s_own_user_can_and_a_third_one_is_told_why_not() {
    let server = Server::new();
    if !server.give_to(4711) {
        return; // not root: that the own user can is what every other test shows
    }
    Ran::of(&mut server.command_as(4711, ["backup"])).expect(0);
    Ran::of(&mut server.command_as(4711, ["verify-backup"])).expect(0);
    let before = server.fingerprint(&server.root());
    let ran = Ran::of(&mut server.command_as(4712, ["verify-backup"]));
    assert!(
        ran.err.contains("cannot read") && ran.err.contains("run as root"),
        "{ran:?}"
    );
    ran.expect(3);
    assert_eq!(server.fingerprint(&server.root()), before);
    // One manifest that may not be read is no damage.
    let manifest = beside(&server.list("app_db")[0], ".json");
    let status = Command::new("chown").arg("4712").arg(&manifest).status();
    assert!(status.unwrap().success());
    let ran = Ran::of(&mut server.command_as(4711, ["verify-backup", "app_db", "--json"]));
    let report = ran.expect(2).json();
    let ids = finding_ids(&report, "");
    assert!(ids.contains(&"verify.failed".to_owned()), "{ids:?}");
    assert!(!ids.contains(&"verify.damaged".to_owned()), "{ids:?}");
    assert!(!ids.contains(&"backup.missing".to_owned()), "{ids:?}");
    let status = Command::new("chown").arg("4711").arg(&manifest).status();
    assert!(status.unwrap().success());
    // Root verifies for them and takes nothing away from them: neither manifests nor locks.
    fs::remove_file(server.backups().join(".app_db.lock")).unwrap();
    server.run("verify-backup").expect(0);
    Ran::of(&mut server.command_as(4711, ["verify-backup"])).expect(0);
    let plain = server.path().join("plain.db");
    zcat(&server.list("app_db")[0], &plain);
    assert_eq!(users(&plain), 500);
}

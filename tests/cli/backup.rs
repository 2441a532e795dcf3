//! `backup`: what it writes restores, whatever the source is like; what cannot be backed up is said.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use crate::support::{
    BALANCE, Server, Writers, beside, fill, finding, finding_ids, number, users, zcat,
};

#[test]
fn a_backup_is_a_plain_gzip_of_the_whole_database() {
    let server = Server::new();
    // Rows that are only in the write-ahead log: a connection that stays open keeps them there.
    let open = Connection::open(server.database()).unwrap();
    open.execute_batch(
        "PRAGMA wal_autocheckpoint=0; INSERT INTO users (username) VALUES ('in the log')",
    )
    .unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 0, "{report:#}");
    let backups = server.list("app_db");
    assert_eq!(backups.len(), 1);
    let plain = server.path().join("plain.db");
    zcat(&backups[0], &plain);
    assert_eq!(users(&plain), 501);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(beside(&backups[0], ".json")).unwrap()).unwrap();
    let zcat_again = server.path().join("again.db");
    zcat(&backups[0], &zcat_again);
    assert_eq!(
        manifest["plain"]["blake3"],
        blake3::hash(&fs::read(&zcat_again).unwrap())
            .to_hex()
            .as_str()
    );
    assert_eq!(manifest["database"]["tables"]["users"], 501);
    assert_eq!(manifest["verified"]["level"], "checked");
    drop(open);
}

#[test]
fn four_writers_and_many_backups_each_a_consistent_moment() {
    let server = Server::new();
    let writers = Writers::start(&server.database(), 4);
    let plain = server.path().join("plain.db");
    let count = |path: &Path| number(path, "SELECT n FROM counter");
    let mut last = 0;
    let rounds = if std::env::var_os("SLOW_TESTS").is_some() {
        300
    } else {
        25
    };
    for _ in 0..rounds {
        let before = i64::try_from(writers.committed()).unwrap();
        server.run("backup --database app_db").expect(0);
        // Four writers may each have a commit that is not counted yet.
        let after = i64::try_from(writers.committed()).unwrap() + 4;
        zcat(server.list("app_db").last().unwrap(), &plain);
        assert_eq!(number(&plain, "SELECT sum(balance) FROM accounts"), BALANCE);
        let inside = count(&plain);
        assert!(
            before <= inside && inside <= after,
            "{before} <= {inside} <= {after}"
        );
        assert!(inside >= last);
        last = inside;
        fs::remove_file(&plain).unwrap();
    }
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn every_page_size_and_kind_of_table_comes_back_bit_for_bit() {
    let server = Server::empty().config("");
    for size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        let path = server.database();
        for name in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&path, name));
        }
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA page_size={size}; PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=WAL;
                 CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
                 CREATE TABLE \"odd \"\"name\"\" here\" (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
                 CREATE VIRTUAL TABLE notes USING fts5(body);
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)
                   INSERT INTO users SELECT n, hex(randomblob(80)) FROM c;
                 INSERT INTO \"odd \"\"name\"\" here\" VALUES ('a', 1);
                 INSERT INTO notes VALUES ('hello world');
                 DELETE FROM users WHERE id % 3 = 0;"
            ))
            .unwrap();
        let (code, report) = server.json("backup --database app_db --fresh");
        assert_eq!(code, 0, "page size {size}: {report:#}");
        let backup = server.list("app_db").pop().unwrap();
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        drop(connection);
        let plain = server.path().join("plain.db");
        zcat(&backup, &plain);
        assert!(
            fs::read(&plain).unwrap() == fs::read(&path).unwrap(),
            "page size {size}"
        );
        server.run("verify-backup app_db").expect(0);
    }
}

#[test]
fn what_cannot_be_backed_up_is_critical_and_the_rest_is_done() {
    let server = Server::new().config(
        "[[database]]\nname = \"missing\"\npath = \"data/missing.db\"\n\
         [[database]]\nname = \"empty\"\npath = \"data/empty.db\"\n\
         [[database]]\nname = \"text\"\npath = \"data/text.db\"\n\
         [[database]]\nname = \"folder\"\npath = \"data\"\n\
         [[database]]\nname = \"other\"\npath = \"data/other.db\"\nexpect_tables = [\"users\"]\n\
         [[database]]\nname = \"torn\"\npath = \"data/torn.db\"\n\
         [[database]]\nname = \"last\"\npath = \"data/last.db\"\nexpect_tables = [\"users\"]",
    );
    let data = server.root().join("data");
    fs::write(data.join("empty.db"), "").unwrap();
    fs::write(
        data.join("text.db"),
        "not a database, whatever it is called".repeat(200),
    )
    .unwrap();
    Connection::open(data.join("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE something (x)")
        .unwrap();
    fill(&data.join("torn.db"), 5000);
    let torn = fs::OpenOptions::new()
        .write(true)
        .open(data.join("torn.db"))
        .unwrap();
    let length = torn.metadata().unwrap().len();
    torn.set_len(length / 4096 / 2 * 4096).unwrap();
    fill(&data.join("last.db"), 10);
    let (code, report) = server.json("backup");
    assert_eq!(code, 2);
    for bad in ["missing", "empty", "text", "folder", "other", "torn"] {
        assert!(
            finding_ids(&report, bad).contains(&"backup.failed".to_owned()),
            "{bad}: {report:#}"
        );
        assert!(server.list(bad).is_empty(), "{bad}");
        assert!(!data.join("missing.db").exists());
    }
    assert_eq!(server.list("app_db").len(), 1);
    assert_eq!(server.list("last").len(), 1);
    let leftovers: Vec<_> = fs::read_dir(server.backups())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("part") || name.contains("scratch"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_the_real_one_does() {
    let server = Server::new();
    server.run("backup").expect(0);
    let before = server.fingerprint(&server.root());
    let (code, dry) = server.json("backup --dry-run");
    assert_eq!(code, 0);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(server.fingerprint(&server.root()), before);
    let kinds: Vec<_> = dry["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| (action["kind"].clone(), action["outcome"].clone()))
        .collect();
    assert!(
        kinds.contains(&("backup".into(), "planned".into())),
        "{kinds:?}"
    );
}

/// What is planned and what is done, on the first night and on the second.
#[test]
fn a_dry_run_lists_the_very_actions_of_the_real_one() {
    let server = Server::new().config("[[backup.file]]\npath = \"data\"");
    for day in ["2026-11-01", "2026-11-02"] {
        let actions = |line: &str| -> Vec<(String, String)> {
            let (_, report) = server.json(&format!("{line} --now {day}T03:00:00Z"));
            let actions = report["actions"].as_array().unwrap().clone();
            let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            actions
                .iter()
                .map(|action| (word(&action["kind"]), word(&action["target"])))
                .collect()
        };
        let planned = actions("backup --dry-run");
        assert!(planned.len() >= 3, "{planned:?}");
        assert_eq!(planned, actions("backup"), "{day}");
    }
}

#[test]
fn a_further_backup_copies_what_did_not_change() {
    let server = Server::empty();
    fill(&server.database(), 20_000);
    server.run("backup").expect(0);
    Connection::open(server.database())
        .unwrap()
        .execute_batch("UPDATE users SET username = 'changed' WHERE id = 7")
        .unwrap();
    let (code, report) = server.json("backup --database app_db");
    assert_eq!(code, 0);
    let outcome = &report["data"]["published"][0];
    let (copied, members) = (
        outcome["copied_members"].as_u64().unwrap(),
        outcome["members"].as_u64().unwrap(),
    );
    assert!(
        copied > members / 2 && copied < members,
        "{copied} of {members}"
    );
    let plain = server.path().join("plain.db");
    zcat(&server.list("app_db")[1], &plain);
    assert_eq!(
        number(
            &plain,
            "SELECT count(*) FROM users WHERE username = 'changed'"
        ),
        1
    );
    let (_, fresh) = server.json("backup --database app_db --fresh");
    assert_eq!(fresh["data"]["published"][0]["copied_members"], 0);
}

#[test]
fn files_are_taken_along_and_databases_among_them_are_not() {
    let server = Server::new().config("[[backup.file]]\npath = \".\"");
    fs::write(server.root().join("notes.txt"), "keep me").unwrap();
    std::os::unix::fs::symlink("notes.txt", server.root().join("link")).unwrap();
    fs::write(server.root().join("data/odd \"name\""), "me too").unwrap();
    fill(&server.root().join("data/forgotten.db"), 5);
    let (code, report) = server.json("backup");
    assert_eq!(code, 1, "{report:#}");
    let forgotten = server.root().join("data/forgotten.db");
    assert_eq!(
        finding_ids(&report, &forgotten.display().to_string()),
        ["backup.database-in-files"]
    );
    assert!(finding_ids(&report, "files").contains(&"backup.databases-skipped".to_owned()));
    let to = server.path().join("unpacked");
    let output = Command::new("tar")
        .arg("tzf")
        .arg(&server.list("files")[0])
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && names.contains("config.toml"),
        "{names}"
    );
    assert!(
        !names.contains("app.db") && !names.contains("backups/"),
        "{names}"
    );
    server
        .run_args([
            "restore".as_ref(),
            "files".as_ref(),
            "--to".as_ref(),
            to.as_os_str(),
        ])
        .expect(0);
    let root = to.join(server.root().strip_prefix("/").unwrap());
    assert_eq!(
        fs::read_to_string(root.join("notes.txt")).unwrap(),
        "keep me"
    );
    assert_eq!(
        fs::read_link(root.join("link")).unwrap(),
        Path::new("notes.txt")
    );
    assert_eq!(
        fs::read_to_string(root.join("data/odd \"name\"")).unwrap(),
        "me too"
    );
}

#[test]
fn a_full_disk_stops_in_time_and_leaves_the_old_backups() {
    let server = Server::new().config("[backup]\nreserve = \"900TiB\"");
    let (code, report) = server.json("backup");
    assert_eq!(code, 2);
    let findings = report["findings"].as_array().unwrap();
    let failed = findings
        .iter()
        .find(|finding| finding["id"] == "backup.failed")
        .unwrap();
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("not enough space") && message.contains("needed"),
        "{message}"
    );
    assert!(server.list("app_db").is_empty());
}

/// The rest is taken along, and somebody is told every time.
fn listed(archive: &Path) -> String {
    let output = Command::new("tar")
        .arg("tzf")
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// As with a release behind a link, or the certificates of a server: what is behind it is what is wanted back.
#[test]
fn a_path_that_is_a_link_brings_what_is_behind_it() {
    let server = Server::new().config(
        "[[backup.file]]\npath = \"certs\"\n[[backup.file]]\npath = \"certs/one.pem\"\n\
         [[backup.file]]\npath = \"etc/../live/site.pem\"\n[[backup.file]]\npath = \"dangling\"",
    );
    let root = server.root();
    for folder in ["releases/5/certs", "etc", "live", "archive"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("releases/5/certs/one.pem"), "a key").unwrap();
    fs::write(root.join("archive/site1.pem"), "another").unwrap();
    fs::write(root.join("archive/other.pem"), "not asked for").unwrap();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    };
    link("releases/5", "current");
    link("current/certs", "certs");
    link("../archive/site1.pem", "live/site.pem");
    link("../../../archive/other.pem", "releases/5/certs/more.pem");
    link("nowhere", "dangling");
    // The configuration is one too.
    let config = server.path().join("linked.toml");
    std::os::unix::fs::symlink(server.config_path(), &config).unwrap();
    let ran = server.run_args(["backup", "--json", "--config", config.to_str().unwrap()]);
    let report = ran.json();
    let missing: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["id"] == "backup.file-missing")
        .map(|one| one["subject"].as_str().unwrap())
        .collect();
    assert_eq!(missing, [root.join("dangling").to_str().unwrap()]);
    let outside = finding(&report, "backup.link-outside");
    assert!(
        outside["message"].to_string().contains("archive/other.pem"),
        "{outside}"
    );
    let names = listed(&server.list("files")[0]);
    let entries = |end: &str| names.lines().filter(|line| line.ends_with(end)).count();
    for once in [
        "/certs/one.pem",
        "/archive/site1.pem",
        "/current",
        "/linked.toml",
        "/root/certs",
    ] {
        assert_eq!(entries(once), 1, "{once}: {names}");
    }
    assert!(
        entries("config.toml") == 1 && entries("archive/other.pem") == 0,
        "{names}"
    );
    let (code, report) = server.json("verify-backup files");
    assert_eq!(code, 0, "{report:#}");
    let to = server.path().join("unpacked");
    server
        .run(&format!("restore files --to {}", to.display()))
        .expect(0);
    let there = to.join(root.strip_prefix("/").unwrap());
    assert_eq!(
        fs::read_to_string(there.join("certs/one.pem")).unwrap(),
        "a key"
    );
    assert_eq!(
        fs::read_to_string(there.join("live/site.pem")).unwrap(),
        "another"
    );
}

#[test]
fn times_come_back_with_files_and_folders() {
    let server = Server::new().config("[[backup.file]]\npath = \"certs\"");
    let folder = server.root().join("certs");
    fs::create_dir_all(folder.join("live/empty")).unwrap();
    for name in ["one.pem", "live/ancient.pem"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let then = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    let set = |name: &str, time: SystemTime| {
        let path = folder.join(name);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    };
    set("one.pem", then);
    // The archive cannot say so; what matters is that it is not from the future.
    set("live/ancient.pem", UNIX_EPOCH - Duration::from_secs(86_400));
    for name in ["live/empty", "live", ""] {
        set(name, then);
    }
    server.run("backup").expect(0);
    let to = server.path().join("back");
    server
        .run(&format!("restore files --to {}", to.display()))
        .expect(0);
    let back = to.join(folder.strip_prefix("/").unwrap());
    let time = |name: &str| fs::metadata(back.join(name)).unwrap().modified().unwrap();
    for name in ["one.pem", "live/empty", "live", ""] {
        assert_eq!(time(name), then, "{name}");
    }
    assert!(time("live/ancient.pem") < UNIX_EPOCH + Duration::from_secs(2));
}

/// A disk that is not mounted: the folder is there, and empty.
#[test]
fn backups_that_are_all_gone_are_missed() {
    let server = Server::new();
    server.run("backup").expect(0);
    server.run("backup").expect(0);
    let elsewhere = server.path().join("elsewhere");
    fs::rename(server.backups(), &elsewhere).unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    let gone: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
    let gone = gone.iter().filter(|one| one["id"] == "backup.vanished");
    assert_eq!(gone.count(), 3, "{report:#}");
    assert_eq!(server.list("app_db").len(), 1);
    assert_eq!(server.json("backup").0, 0);
    // Another folder by configuration is no loss.
    let new = format!(
        "[backup]\ndir = \"{}\"",
        server.path().join("new").display()
    );
    let server = server.config(&new);
    assert_eq!(server.json("backup").0, 0);
}

/// What was written while the run waited is in it, so it is dated after that: `restore --at` never brings what was written later.
#[test]
fn backups_of_a_database_that_was_renamed_are_told() {
    let server = Server::new();
    server.run("backup").expect(0);
    server.run("backup --now 2031-01-01T03:00:00Z");
    let text = fs::read_to_string(server.config_path()).unwrap();
    fs::write(
        server.config_path(),
        text.replace("\"app_db\"", "\"main_db\""),
    )
    .unwrap();
    let (_, report) = server.json("backup");
    let orphaned = finding(&report, "backup.orphaned");
    assert_eq!(
        (&orphaned["subject"], &orphaned["severity"]),
        (&"app_db".into(), &"low".into())
    );
    let listed = server.run("backup list").expect(0).out;
    assert!(
        listed.contains("2 backups of app_db, which is not configured"),
        "{listed}"
    );
    assert!(listed.contains("\nbackup: ok: "), "{listed}");
    fs::write(server.config_path(), text).unwrap();
    let (_, report) = server.json("backup");
    let orphaned = finding(&report, "backup.orphaned");
    assert_eq!(orphaned["subject"], "main_db");
}

#[test]
fn a_backup_is_dated_when_the_database_was_read() {
    let server = Server::new();
    server.run("backup").expect(0);
    let lock = fs::File::open(server.backups().join(".app_db.lock")).unwrap();
    lock.lock().unwrap();
    let waiting = server
        .command(["backup", "--database", "app_db"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let before = jiff::Timestamp::now();
    crate::support::sql(
        &server.database(),
        "INSERT INTO users (username) VALUES ('late')",
    );
    drop(lock);
    let ended = waiting.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let file = server.list("app_db").pop().unwrap();
    let created = server.manifest(&file)["created_at"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        created.parse::<jiff::Timestamp>().unwrap() >= before,
        "{created}"
    );
    let to = server.path().join("before.db");
    let at = before
        .checked_sub(jiff::SignedDuration::from_secs(1))
        .unwrap();
    server
        .run(&format!(
            "restore app_db --at {at:.0} --to {}",
            to.display()
        ))
        .expect(0);
    assert_eq!(users(&to), 500);
}

/// A typo, or a file system that is not mounted: nothing is created where it should be.
#[test]
fn a_root_that_is_not_there_is_not_created() {
    let server = Server::new();
    let missing = server.path().join("not-mounted");
    let root = missing.to_str().unwrap();
    let ran = server.run_args(["backup", "--root", root, "--json"]);
    assert!([2, 3].contains(&ran.code), "{ran:?}");
    let report = ran.json().to_string();
    assert!(report.contains("is its file system mounted?"), "{report}");
    assert!(!missing.exists());
}

#[test]
fn a_path_that_is_missing_costs_nothing_else() {
    let server = Server::new()
        .config("[[backup.file]]\npath = \"keys\"\n[[backup.file]]\npath = \"no/such\"");
    fs::create_dir(server.root().join("keys")).unwrap();
    fs::write(server.root().join("keys/one.pem"), "a key").unwrap();
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    let missing = finding(&report, "backup.file-missing");
    assert!(missing["subject"].as_str().unwrap().ends_with("no/such"));
    let file = server.list("files").pop().unwrap();
    let output = Command::new("tar").arg("tzf").arg(file).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.contains("keys/one.pem"), "{listed}");
    assert!(listed.contains("config.toml"), "{listed}");
}

/// What only root may read is not handed to whoever owns the folder.
#[test]
fn an_archive_of_roots_files_stays_roots() {
    if !rustix::process::geteuid().is_root() {
        return; // nobody else can give files away
    }
    let server = Server::new().config("[[backup.file]]\npath = \"key.pem\"");
    let key = server.root().join("key.pem");
    fs::create_dir(server.backups()).unwrap();
    std::os::unix::fs::chown(server.backups(), Some(4711), Some(4711)).unwrap();
    for (owner, mode, expected) in [(0, 0o600, 0), (4711, 0o600, 4711), (0, 0o644, 4711)] {
        fs::write(&key, "a key").unwrap();
        std::os::unix::fs::chown(&key, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(server.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
        let ran = server.run("backup");
        assert!(ran.code < 2, "{ran:?}");
        for end in ["", ".idx"] {
            let path = beside(&server.list("files").pop().unwrap(), end);
            let meta = fs::metadata(&path).unwrap();
            assert_eq!(
                (meta.uid(), meta.mode() & 0o777),
                (expected, 0o600),
                "{owner} {mode:o}"
            );
        }
        let database = server.list("app_db").pop().unwrap();
        assert_eq!(fs::metadata(database).unwrap().uid(), 4711);
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
}

/// It is what a person tries before the first night.
#[test]
fn a_dry_run_finds_what_the_real_one_would() {
    let server = Server::new().config(
        "[[database]]\nname = \"text\"\npath = \"data/text.db\"\n\
         [[database]]\nname = \"other\"\npath = \"data/other.db\"\nexpect_tables = [\"users\"]\n\
         [[database]]\nname = \"missing\"\npath = \"data/missing.db\"\n\
         [[backup.file]]\npath = \"nosuch\"",
    );
    let data = server.root().join("data");
    let text = "not a database, whatever it is called".repeat(200);
    fs::write(data.join("text.db"), text).unwrap();
    Connection::open(data.join("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE something (x)")
        .unwrap();
    // Whoever closes a database last takes its empty log away.
    let content = || {
        let mut all = server.fingerprint(&server.root());
        all.retain(|(path, _)| !path.to_string_lossy().contains(".db-"));
        all
    };
    let before = content();
    let (code, dry) = server.json("backup --dry-run");
    assert_eq!(code, 2, "{dry:#}");
    assert_eq!(content(), before);
    let (_, real) = server.json("backup");
    for report in [&dry, &real] {
        for bad in ["text", "other", "missing"] {
            let ids = finding_ids(report, bad);
            assert!(ids.iter().any(|id| id == "backup.failed"), "{report:#}");
        }
        let missing = finding(report, "backup.file-missing");
        assert!(missing["subject"].as_str().unwrap().ends_with("nosuch"));
    }
}

/// The hint is one line for a shell, and what was backed up before still is.
#[test]
fn the_hint_takes_a_database_along_and_loses_no_other() {
    let server = Server::new();
    let text = fs::read_to_string(server.config_path()).unwrap();
    let (defaults, _) = text.split_once("[[database]]").unwrap();
    let server = server.raw_config(defaults.trim_end()); // without an end of its last line
    let data = server.root().join("data");
    fill(&data.join("rag.db"), 3);
    // Two at once while the defaults are in force, and one more when there is a list.
    for (round, names) in [(1, &["extra", "it is odd"][..]), (2, &["late"])] {
        for name in names {
            fill(&data.join(format!("{name}.db")), 5);
        }
        let (code, report) = server.json("backup");
        assert_eq!(code, 1, "{report:#}");
        let findings = report["findings"].as_array().unwrap().iter();
        let told = findings.filter(|one| one["id"] == "backup.unconfigured-database");
        for told in told {
            let hint = told["hint"].as_str().unwrap();
            assert!(!hint.contains('\n'), "{hint}");
            let status = Command::new("sh").args(["-c", hint]).status().unwrap();
            assert!(status.success(), "{hint}");
        }
        let (code, report) = server.json("backup");
        assert_eq!(code, 0, "{report:#}");
        for name in names {
            assert_eq!(server.list(&name.replace(' ', "_")).len(), 1, "{name}");
        }
        for database in ["app_db", "rag_db"] {
            // Three is what a day keeps.
            assert_eq!(
                server.list(database).len(),
                (2 * round).min(3),
                "{database}"
            );
        }
    }
    let shown = server.run("config show").expect(0).out;
    assert!(shown.contains("expect_tables"), "{shown}");
}

/// What a list kept from the group is not given to it by the archive, which has no lists.
#[test]
fn an_access_control_list_gives_nobody_more_when_it_is_gone() {
    let server = Server::new().config("[[backup.file]]\npath = \"certs\"");
    let folder = server.root().join("certs");
    fs::create_dir_all(&folder).unwrap();
    for name in ["key.pem", "plain.pem"] {
        fs::write(folder.join(name), "secret").unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    // Owner, one user, group, mask, others.
    let mut list = vec![2, 0, 0, 0];
    for (tag, may, who) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 4, 1234),
        (4, 0, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&may.to_le_bytes());
        list.extend_from_slice(&who.to_le_bytes());
    }
    let key = folder.join("key.pem");
    rustix::fs::setxattr(
        &key,
        "system.posix_acl_access",
        &list,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let (code, report) = server.json("backup");
    assert_eq!(code, 0, "{report:#}");
    let told = finding(&report, "backup.access-list");
    assert_eq!(told["subject"], key.display().to_string());
    assert!(
        told["message"].as_str().unwrap().contains("1 path in all"),
        "{told}"
    );
    let to = server.root().join("back");
    server
        .run(&format!("restore files --to {}", to.display()))
        .expect(0);
    let mode = |name: &str| {
        let path = to.join(folder.strip_prefix("/").unwrap()).join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("key.pem"), mode("plain.pem")), (0o600, 0o640));
}

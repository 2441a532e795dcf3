//! `restore`: what is refused before anything is touched, and why.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::restore::{backups_at, data, refused, restored_users};
use crate::support::{Ran, Server, beside, finding, sql, users};

#[test]
fn a_live_path_is_not_replaced_without_force() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let before = data(&server);
    let ran = server.run("restore app_db");
    refused(&ran, "exists");
    assert!(ran.err.contains("--force"), "{ran:?}");
    assert_eq!(data(&server), before);
}

type Change = Box<dyn Fn(&mut Vec<u8>)>;

#[test]
fn a_damaged_backup_is_refused_before_anything_is_touched() {
    let server = Server::new();
    let touched = server.path().join("touched");
    let server = server.app(&format!(
        "stop = [\"touch\", {touched:?}]\nstart = [\"touch\", {touched:?}]"
    ));
    let server = backups_at(server, &["2026-11-21T03:00:00Z"]);
    let backup = server.list("app_db").remove(0);
    let whole = fs::read(&backup).unwrap();
    sql(&server.database(), "DELETE FROM users");
    let before = data(&server);
    let length = whole.len();
    let broken: [(&str, Change); 5] = [
        ("a bit", Box::new(move |data| data[length / 2] ^= 1)),
        (
            "a header that no checksum covers",
            Box::new(|data| data[5] ^= 1),
        ),
        ("the end", Box::new(move |data| data.truncate(length - 1))),
        ("everything", Box::new(Vec::clear)),
        ("something behind it", Box::new(|data| data.push(0))),
    ];
    for index in [true, false] {
        for (what, break_it) in &broken {
            let mut changed = whole.clone();
            break_it(&mut changed);
            fs::write(&backup, &changed).unwrap();
            let ran = server.run_args([
                "restore".as_ref(),
                "app_db".as_ref(),
                "--force".as_ref(),
                "--stop-app".as_ref(),
                "--file".as_ref(),
                backup.as_os_str(),
            ]);
            assert_eq!(ran.code, 2, "{what}, index {index}: {ran:?}");
            assert!(ran.err.contains("damaged"), "{what}: {ran:?}");
            assert_eq!(data(&server), before, "{what}, index {index}");
            assert!(!touched.exists(), "the application was not stopped for it");
        }
        fs::write(&backup, &whole).unwrap();
        let _ = fs::remove_file(beside(&backup, ".idx"));
    }
    // Read serially it is as good.
    assert_eq!(restored_users(&server, &[]), 501);
}

#[test]
fn what_is_known_of_a_backup_is_said() {
    let server = backups_at(
        Server::new(),
        &["2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"],
    );
    let newest = server.list("app_db").remove(1);
    let mut manifest = server.manifest(&newest);
    manifest["bad"] =
        serde_json::json!({"at": "2026-11-22T04:00:00Z", "reason": "a bit fell over"});
    fs::write(beside(&newest, ".json"), manifest.to_string()).unwrap();
    let (code, report) = server.json("restore app_db --to one.db");
    assert_eq!(code, 0, "{report:#}");
    let said = finding(&report, "restore.newer-unverified")["message"].clone();
    assert!(
        said.as_str()
            .unwrap()
            .contains("app_db_20261121T030000Z is taken"),
        "{said}"
    );
    assert_eq!(users(&server.path().join("one.db")), 501);
    // Who insists on that very file gets it, with a warning that nobody overlooks.
    let (code, report) = server.json(&format!("restore --to two.db --file {}", newest.display()));
    assert_eq!(code, 2);
    assert_eq!(finding(&report, "restore.known-bad")["severity"], "high");
    assert_eq!(users(&server.path().join("two.db")), 502);
    fs::write(beside(&newest, ".json"), "{").unwrap();
    let ran = server.run(&format!(
        "restore --to three.db --file {}",
        newest.display()
    ));
    refused(&ran, "manifest");
}

#[test]
fn another_database_is_not_put_in_this_one_s_place() {
    let server = Server::new().config("[[database]]\nname = \"other\"\npath = \"data/other.db\"");
    sql(
        &server.root().join("data/other.db"),
        "CREATE TABLE embeddings (id INTEGER PRIMARY KEY)",
    );
    server.run("backup").expect(0);
    let other = server.list("other").remove(0);
    let before = data(&server);
    let ran = server.run(&format!(
        "restore app_db --force --file {}",
        other.display()
    ));
    refused(&ran, "is a backup of other, not of app_db");
    let live = server.database();
    let by_path = format!(
        "restore --force --file {} --to {}",
        other.display(),
        live.display()
    );
    let ran = server.run(&by_path);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no backup of app_db"), "{ran:?}");
    // One that nobody vouches for, named as if it were.
    let foreign = server.path().join("app_db_20200101_000000.db.gz");
    fs::copy(&other, &foreign).unwrap();
    let ran = server.run(&format!(
        "restore app_db --force --file {}",
        foreign.display()
    ));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("lacks the expected tables"), "{ran:?}");
    assert_eq!(data(&server), before);
    // Where nothing is expected it may go; and without a database's name the file's own is enough.
    server
        .run(&format!(
            "restore --file {} --to looked-at.db",
            other.display()
        ))
        .expect(0);
    let ran = server.run(&format!("restore --file {}", other.display()));
    refused(&ran, "data/other.db exists");
}

#[test]
fn a_restore_waits_for_nobody_for_ever() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let before = data(&server);
    let lock = fs::File::open(server.backups().join(".app_db.lock")).unwrap();
    lock.lock().unwrap();
    let ran = server.run("restore app_db --force --lock-wait 0s");
    refused(&ran, "the backups of app_db");
    assert!(
        ran.err
            .contains("are in use by empire-maint backup (process "),
        "{ran:?}"
    );
    assert_eq!(data(&server), before);
    drop(lock);
    server
        .run("restore app_db --force --lock-wait 0s")
        .expect(0);
}

#[test]
fn no_room_is_said_before_anything_is_written() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let server = server.config("[backup]\nreserve = \"900TiB\"");
    let before = data(&server);
    let ran = server.run("restore app_db --force");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("not enough space"), "{ran:?}");
    assert_eq!(data(&server), before);
    let server = server.config("[app\n");
    refused(&server.run("restore app_db --force"), "config.toml");
    assert_eq!(data(&server), before);
}

/// A link to the database is the database; a link that a stranger made is a trap.
#[test]
fn a_link_is_followed_only_where_it_can_be_trusted() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    let real = server.path().join("disk2");
    fs::create_dir(&real).unwrap();
    let database = server.database();
    fs::rename(&database, real.join("app.db")).unwrap();
    std::os::unix::fs::symlink(real.join("app.db"), &database).unwrap();
    sql(&database, "DELETE FROM users");
    server.run("restore app_db --force").expect(0);
    assert!(fs::symlink_metadata(&database).unwrap().is_symlink());
    assert_eq!(users(&real.join("app.db")), 501);
    let kept = server.fingerprint(&real);
    assert!(
        kept.iter()
            .any(|(path, _)| path.to_string_lossy().contains(".before-restore-"))
    );
    if given_away(&database) {
        refused(&server.run("restore app_db --force"), "somebody else made");
        assert_eq!(server.fingerprint(&real), kept);
    }
    fs::remove_file(&database).unwrap();
    std::os::unix::fs::symlink(real.join("gone.db"), &database).unwrap();
    if given_away(&database) {
        refused(&server.run("restore app_db --force"), "somebody else made");
        assert!(!real.join("gone.db").exists());
        std::os::unix::fs::lchown(&database, Some(0), Some(0)).unwrap();
    }
    // The database is lost, and the link to where it was is left: that is where it goes.
    server.run("restore app_db").expect(0);
    assert!(fs::symlink_metadata(&database).unwrap().is_symlink());
    assert_eq!(users(&real.join("gone.db")), 501);
    // The folder too, and the application's user is to have it back.
    fs::remove_file(&database).unwrap();
    std::os::unix::fs::symlink("../../lost/app.db", &database).unwrap();
    let server = server.app("user = \"agentic\"");
    let ran = server.run("restore app_db");
    refused(&ran, "there is no folder");
    assert!(ran.err.contains(" && chown agentic: "), "{ran:?}");
    fs::create_dir(server.path().join("lost")).unwrap();
    server.run("restore app_db").expect(0);
    assert_eq!(users(&server.path().join("lost/app.db")), 501);
}

/// Only root can.
fn given_away(link: &std::path::Path) -> bool {
    std::os::unix::fs::lchown(link, Some(4712), None).is_ok()
}

#[test]
fn each_user_can_restore_what_is_theirs() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    if !server.give_to(4711) {
        return; // not root: the own user's case is what every other test shows
    }
    let database = server.database();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = Ran::of(&mut server.command_as(4711, ["restore", "app_db", "--force"]));
    ran.expect(0);
    let meta = fs::metadata(&database).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o777),
        (4711, 4711, 0o640)
    );
    fs::set_permissions(server.backups(), fs::Permissions::from_mode(0o700)).unwrap();
    // A third one may neither read the backups nor, with a copy that is readable, take the database over.
    let before = data(&server);
    let ran = Ran::of(&mut server.command_as(4712, ["restore", "app_db", "--force"]));
    refused(&ran, "cannot read");
    let copy = server.path().join("copy.db.gz");
    fs::copy(server.list("app_db").remove(0), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(
        database.parent().unwrap(),
        fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    let restore = |more: &[&str]| {
        let mut words = vec!["restore", "--file", copy.to_str().unwrap()];
        words.extend(more);
        Ran::of(&mut server.command_as(4712, words))
    };
    let live = database.to_str().unwrap();
    refused(&restore(&["--force", "--to", live]), "belongs to user 4711");
    assert_eq!(data(&server), before);
    // To a place of their own they may.
    let own = server.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(4712), Some(4712)).unwrap();
    let to = own.join("x.db");
    restore(&["--to", to.to_str().unwrap()]).expect(1); // the journal is not theirs to write
    assert_eq!(fs::metadata(&to).unwrap().uid(), 4712);
    assert_eq!(users(&to), 501);
    // What root puts into somebody's folder is theirs.
    server
        .run_args([
            "restore".as_ref(),
            "app_db".as_ref(),
            "--to".as_ref(),
            own.join("y.db").as_os_str(),
        ])
        .expect(0);
    assert_eq!(fs::metadata(own.join("y.db")).unwrap().uid(), 4712);
}

/// At 3 a.m. the next command has to stand there.
#[test]
fn a_damaged_newest_one_names_the_one_before_it() {
    let times = ["2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"];
    let server = backups_at(Server::new(), &times);
    let newest = server.list("app_db").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    fs::write(&newest, bytes).unwrap();
    let target = server.path().join("x.db");
    let next = |line: &str| {
        let (code, report) = server.json(line);
        assert_eq!(code, 2, "{report:#}");
        let hint = report["failure"]["hint"].as_str().unwrap();
        hint.strip_prefix("empire-maint ").unwrap().to_owned()
    };
    let line = next(&format!("restore app_db --to {}", target.display()));
    assert!(!target.exists());
    server.run(&line).expect(0);
    assert_eq!(users(&target), 501);
    server.run(&next("restore app_db --force")).expect(0);
    assert_eq!(users(&server.database()), 501);
}

#[test]
fn a_database_does_not_go_to_the_name_of_a_folder() {
    let server = backups_at(Server::new(), &["2026-11-21T03:00:00Z"]);
    refused(
        &server.run("restore app_db --to new/"),
        "is the name of a folder",
    );
}

#[test]
fn a_database_is_no_backup_and_another_servers_backup_is_named() {
    let server = Server::new();
    let ran = server.run_args([
        "restore",
        "--file",
        server.database().to_str().unwrap(),
        "app_db",
        "--to",
        "x.db",
    ]);
    refused(&ran, "is a database as it is");
    server.run("backup --database app_db").expect(0);
    let backup = server.list("app_db").pop().unwrap();
    let path = beside(&backup, ".json");
    let manifest = fs::read_to_string(&path).unwrap();
    let host: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let host = host["host"].as_str().unwrap();
    let other = manifest.replace(&format!("\"host\": \"{host}\""), "\"host\": \"staging\"");
    assert_ne!(other, manifest);
    fs::write(&path, other).unwrap();
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 1, "{report:#}");
    let told = finding(&report, "restore.other-source");
    assert!(
        told["message"].as_str().unwrap().contains("staging"),
        "{told}"
    );
}

#[test]
fn what_was_never_a_backup_is_refused() {
    let server = Server::new();
    let to = server.path().join("x.db");
    for more in [&[][..], &["app_db"], &["-n"]] {
        let mut words = vec!["restore", "--file", "/etc/passwd", "--to"];
        words.push(to.to_str().unwrap());
        words.extend(more);
        let ran = server.run_args(words);
        refused(&ran, "/etc/passwd is no gzip file");
        assert!(!ran.err.contains("backup list"), "{ran:?}");
        assert!(!to.exists());
    }
}

//! `backup adopt`: what another tool made is read whole and checked before it counts; what is not sound stays what it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::peers::wait_until;
use crate::support::{Ran, Server, beside};

fn backup_at(server: &Server, day: &str) {
    server
        .run(&format!("backup --database app_db --now {day}T03:00:00Z"))
        .expect(0);
}

/// As the old script did it: `gzip` of a copy.
fn by_hand(server: &Server, name: &str, from: &Path) -> PathBuf {
    let to = server.backups().join(name);
    fs::create_dir_all(server.backups()).unwrap();
    let out = fs::File::create(&to).unwrap();
    let status = Command::new("gzip")
        .args(["-9", "-c"])
        .arg(from)
        .stdout(Stdio::from(out))
        .status()
        .unwrap();
    assert!(status.success());
    to
}

fn copy_of(server: &Server) -> PathBuf {
    let copy = server.path().join("copy.db");
    let _ = fs::remove_file(&copy);
    Connection::open(server.database())
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    copy
}

#[test]
fn a_good_backup_of_another_tool_is_adopted_and_then_one_of_ours() {
    let server = Server::new().config("[backup.keep]\ndaily = 1\nweekly = 0\nminimum = 1");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Asia/Tokyo\""));
    let copy = copy_of(&server);
    let old = by_hand(&server, "app_db_20241101_030000.db.gz", &copy);
    let bytes = fs::read(&old).unwrap();
    let listed = server.run("backup list").expect(0).out;
    assert!(
        listed.contains("none") && listed.contains("no readable manifest"),
        "{listed}"
    );
    backup_at(&server, "2026-11-01");
    backup_at(&server, "2026-11-02");
    assert!(old.exists(), "retention never touches it");
    let dry = server
        .run("backup adopt app_db_20241101_030000 -n")
        .expect(0);
    assert!(dry.out.contains("would adopt"), "{}", dry.out);
    assert!(!beside(&old, ".json").exists());
    server.run("backup adopt app_db_20241101_030000").expect(0);
    let manifest: Value =
        serde_json::from_slice(&fs::read(beside(&old, ".json")).unwrap()).unwrap();
    assert_eq!(manifest["verified"]["level"], "restored");
    // `date` of the other tool's script wrote the local time.
    assert_eq!(manifest["created_at"], "2024-10-31T18:00:00Z");
    assert_eq!(manifest["database"]["tables"]["users"], 500);
    assert_eq!(
        manifest["plain"]["blake3"],
        blake3::hash(&fs::read(&copy).unwrap()).to_hex().as_str()
    );
    assert_eq!(fs::read(&old).unwrap(), bytes, "the data is as it was");
    // Once more is no harm, and does nothing.
    server.run("backup adopt app_db_20241101_030000").expect(0);
    server
        .run("verify-backup --all --now 2026-11-02T05:00:00Z")
        .expect(0);
    let to = server.path().join("back.db");
    server
        .run_args([
            "restore",
            "app_db",
            "--at",
            "2024-11-02 12:00",
            "--to",
            to.to_str().unwrap(),
        ])
        .expect(0);
    assert_eq!(fs::read(&to).unwrap().len(), fs::read(&copy).unwrap().len());
    backup_at(&server, "2026-11-03");
    assert!(
        !old.exists(),
        "now it is one of ours, and retention treats it so"
    );
}

#[test]
fn what_is_no_sound_backup_is_not_adopted() {
    let server = Server::new();
    let copy = copy_of(&server);
    let good = fs::read(by_hand(&server, "app_db_20241101_030000.db.gz", &copy)).unwrap();
    let text = server.path().join("text");
    fs::write(&text, "not a database at all".repeat(1000)).unwrap();
    let other = server.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE something (x)")
        .unwrap();
    let torn = server.path().join("torn.db");
    let plain = fs::read(&copy).unwrap();
    fs::write(&torn, &plain[..plain.len() / 2]).unwrap();
    let holed = server.path().join("holed.db");
    let mut bytes = plain.clone();
    bytes[8192..12288].fill(0xaa);
    fs::write(&holed, bytes).unwrap();
    for (day, from, code) in [(2, &text, 2), (3, &other, 2), (4, &torn, 2), (5, &holed, 2)] {
        let name = format!("app_db_2024110{day}_030000.db.gz");
        by_hand(&server, &name, from);
        refuse(&server, &name, code);
    }
    let write = |name: &str, bytes: &[u8]| fs::write(server.backups().join(name), bytes).unwrap();
    write("app_db_20241106_030000.db.gz", b"");
    refuse(&server, "app_db_20241106_030000.db.gz", 2);
    write("app_db_20241107_030000.db.gz", &good[..good.len() / 2]);
    refuse(&server, "app_db_20241107_030000.db.gz", 2);
    let mut flipped = good.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 4;
    write("app_db_20241108_030000.db.gz", &flipped);
    refuse(&server, "app_db_20241108_030000.db.gz", 2);
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"and more");
    write("app_db_20241109_030000.db.gz", &trailing);
    refuse(&server, "app_db_20241109_030000.db.gz", 2);
    // Ours already, under another name, of a database that nobody configured, a link, not there.
    backup_at(&server, "2026-11-01");
    refuse(&server, "app_db_20261101T030000Z.db.gz", 3);
    write("mine.db.gz", &good);
    let ran = refuse(&server, "mine.db.gz", 3);
    assert!(
        ran.contains("does not have the name of a backup") && ran.contains("hint: mv"),
        "{ran}"
    );
    write("stranger_20241101T030000Z.db.gz", &good);
    refuse(&server, "stranger_20241101T030000Z.db.gz", 3);
    std::os::unix::fs::symlink(
        server.backups().join("app_db_20241101_030000.db.gz"),
        server.backups().join("app_db_20241110_030000.db.gz"),
    )
    .unwrap();
    refuse(&server, "app_db_20241110_030000.db.gz", 3);
    refuse(&server, "app_db_20991101_030000.db.gz", 3);
    refuse(&server, "/etc/passwd", 3);
    write("app_db_20241111_030000.db.gz", &good);
    write("app_db_20241111_030000.db.gz.json", b"{}");
    let ran = refuse(&server, "app_db_20241111_030000.db.gz", 3);
    assert!(ran.contains("cannot be read"), "{ran}");
}

/// Nothing changed, no scratch is left, and one error says why.
fn refuse(server: &Server, name: &str, code: i32) -> String {
    let without_locks = || -> Vec<_> {
        let found = server.fingerprint(&server.root()).into_iter();
        found
            .filter(|(path, _)| !path.to_string_lossy().ends_with(".lock"))
            .collect()
    };
    let before = without_locks();
    let ran = server.run_args(["backup", "adopt", name]);
    assert_eq!(ran.code, code, "{name}: {ran:?}");
    assert_eq!(ran.err.matches("error:").count(), 1, "{name}: {ran:?}");
    assert!(
        !ran.err.contains("panicked") && !ran.err.contains("defect"),
        "{ran:?}"
    );
    assert_eq!(without_locks(), before, "{name}");
    ran.err
}

/// Whoever had the lock before may have adopted or removed it.
#[test]
fn it_looks_again_once_it_has_the_lock() {
    let server = Server::new();
    let made = by_hand(&server, "app_db_20241101_030000.db.gz", &copy_of(&server));
    let path = server.backups().join(".app_db.lock");
    let lock = fs::File::create(&path).unwrap();
    lock.lock().unwrap();
    let child = server
        .command(["backup", "adopt", "app_db_20241101_030000"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waits = || {
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        open.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path))
    };
    wait_until(waits);
    fs::remove_file(&made).unwrap();
    drop(lock);
    let ran = Ran::from(child.wait_with_output().unwrap()).expect(3);
    assert!(ran.err.contains("there is no backup"), "{ran:?}");
}

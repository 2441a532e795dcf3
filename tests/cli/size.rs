//! What grows with the data and what must not. The database above 1 GiB, with SQLite's lock page in the middle, is slow:
//! `./test --slow` runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;

use crate::support::keys::Keys;
use crate::support::{Server, beside, sql, users};

const MIB: u64 = 1 << 20;

/// Runs a command line and returns the most memory that it had resident, bytes.
fn peak_memory(server: &Server, line: &str) -> u64 {
    let mut child = server
        .command(line.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find(|line| line.starts_with("VmHWM"))
        {
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            peak = peak.max(kib * 1024);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{line}: {status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn fill_bytes(path: &Path, bytes: u64) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE users (id INTEGER PRIMARY KEY, body BLOB)")
        .unwrap();
    let rows = bytes / 10_000;
    connection
        .execute(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
             INSERT INTO users SELECT n, hex(randomblob(500)) || zeroblob(9000) FROM c",
            [i64::try_from(rows).unwrap()],
        )
        .unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
}

#[test]
fn memory_stays_flat() {
    for size in [20 * MIB, 200 * MIB] {
        let server = Server::empty();
        fill_bytes(&server.database(), size);
        for line in [
            "backup",
            "backup --fresh",
            "verify-backup",
            "restore app_db --force",
        ] {
            let peak = peak_memory(&server, line);
            assert!(
                peak > 0 && peak < 64 * MIB,
                "{line} of {size} bytes: {peak}"
            );
        }
    }
}

/// Nor with the number of keys.
#[test]
fn memory_stays_flat_however_many_keys_there_are() {
    let mut keys = Keys::start(&[]);
    let server = keys.server("");
    let mut peaks = Vec::new();
    for number in [20_000, 400_000] {
        keys.fill("cache", number);
        peaks.push(peak_memory(&server, "cache-clean"));
        assert_eq!(keys.size(), 0);
    }
    assert!(peaks[1] < peaks[0] + 2 * MIB, "{peaks:?}");
}

/// VACUUM builds its copy in a file, not in memory.
#[test]
fn memory_stays_flat_while_a_large_database_is_made_small() {
    let server = Server::empty();
    fill_bytes(&server.database(), 240 * MIB);
    sql(&server.database(), "DELETE FROM users WHERE id % 2");
    server.run("backup").expect(0);
    let before = fs::metadata(server.database()).unwrap().len();
    let peak = peak_memory(&server, "optimize-db --max-lock 10m");
    assert!(peak > 0 && peak < 64 * MIB, "{peak}");
    let after = fs::metadata(server.database()).unwrap().len();
    assert!(after * 3 < before * 2, "{before} {after}");
}

/// A manifest comes from outside: no number in it may end the program in another way than with an error.
#[test]
fn a_manifest_that_announces_too_much_is_refused() {
    let server = Server::new();
    assert_eq!(server.run("backup").code, 0);
    let manifest = beside(&server.list("app_db").pop().unwrap(), ".json");
    let mut promised: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    promised["plain"]["size"] = u64::MAX.into();
    fs::write(&manifest, promised.to_string()).unwrap();
    for line in ["verify-backup", "restore app_db --to copy.db"] {
        let ran = server.run(line);
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        assert!(
            format!("{}{}", ran.out, ran.err).contains("not enough space"),
            "{line}: {ran:?}"
        );
    }
}

#[test]
#[ignore = "slow: a minute and 4 GiB of disk; ./test --slow runs it"]
fn a_database_above_one_gib_comes_back_bit_for_bit() {
    let server = Server::empty();
    fill_bytes(&server.database(), 1200 * MIB);
    let length = fs::metadata(server.database()).unwrap().len();
    assert!(length > 1 << 30, "past the lock page: {length}");
    assert!(peak_memory(&server, "backup") < 64 * MIB);
    let backup = server.list("app_db").pop().unwrap();
    let digest = |command: &mut Command| {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut hasher = blake3::Hasher::new();
        std::io::copy(child.stdout.as_mut().unwrap(), &mut hasher).unwrap();
        assert!(child.wait().unwrap().success());
        hasher.finalize()
    };
    let inside = digest(Command::new("zcat").arg(&backup));
    assert_eq!(inside, digest(Command::new("cat").arg(server.database())));
    assert!(peak_memory(&server, "verify-backup") < 64 * MIB);
    assert!(peak_memory(&server, "restore app_db --force") < 64 * MIB);
    assert!(users(&server.database()) > 100_000);
}

//! Rebuilding while an application reads the file over and over: whatever happens to the run, each read gets a whole index.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::Ran;
use crate::support::faults::{Faults, Kind, points};
use crate::support::memory::{Memory, NOW};

#[test]
fn a_reader_never_meets_half_an_index() {
    let most = match std::env::var_os("SLOW_TESTS") {
        Some(_) => 200,
        None => 25,
    };
    for factory in ["IDMap2,HNSW8,Flat", "IVF8,Flat"] {
        let memory = Memory::new(factory, "L2", 600, 16);
        let stop = memory.server.path().join("stop");
        let here = env!("CARGO_MANIFEST_DIR");
        let mut reader = Command::new(format!("{here}/target/python/bin/python3"))
            .arg(format!("{here}/tests/cli/support/faiss_peer.py"))
            .arg("watch")
            .args([&memory.index(), &stop])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(reader.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        let command = || {
            let words = ["rag-clean", "--rebuild-index", "--now", NOW, "--json"];
            memory.server.command(words)
        };
        let faults = Faults::new([memory.server.root()], &memory.server.path().join("trash"));
        let mut counted = command();
        let counter = faults.count(&mut counted);
        Ran::of(&mut counted).expect(0);
        let whole = fs::read(memory.index()).unwrap();
        let mut killed = 0;
        for at in points(counter.total(), most) {
            let mut broken = command();
            faults.inject(&mut broken, Kind::Kill, at);
            killed += u32::from(Ran::of(&mut broken).code == -1);
            // The same vectors give the same file, so it is the old or the new one.
            assert!(
                fs::read(memory.index()).unwrap() == whole,
                "{factory} at {at}"
            );
        }
        Ran::of(&mut command());
        fs::write(&stop, "").unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert!(reader.wait().unwrap().success());
        let found: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(found["failed"], serde_json::json!([]), "{factory}");
        assert_eq!(found["totals"], serde_json::json!([600]), "{factory}");
        assert!(
            found["reads"].as_u64().unwrap() > 10 && killed > 5,
            "{found} {killed}"
        );
        memory.require_true();
    }
}

#[test]
fn two_at_once_take_turns() {
    let memory = Memory::new("IDMap2,HNSW8,Flat", "L2", 600, 16);
    memory.idle("id % 7 = 3");
    let run = || {
        memory
            .server
            .command(["rag-clean", "--rebuild-index", "--now", NOW, "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (one, other) = (run(), run());
    for run in [one, other] {
        let output = run.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}");
    }
    memory.require_true();
}

/// Its log grows while a state of the table is read, so that must not last as long as a graph takes to build.
#[test]
fn a_graph_that_is_built_does_not_hold_the_log() {
    let memory = Memory::new("IDMap2,HNSW16,Flat", "L2", 8_000, 32);
    let application = rusqlite::Connection::open(memory.database()).unwrap();
    application
        .execute_batch("PRAGMA wal_autocheckpoint=0; UPDATE chunks SET text = text || '.'")
        .unwrap();
    let mut run = memory
        .server
        .command(["rag-clean", "--rebuild-index", "--now", NOW, "--json"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let new = memory.index().with_file_name("rag.faiss.new");
    let (mut held, mut free) = (0, 0);
    while run.try_wait().unwrap().is_none() {
        let (busy, log): (i64, i64) = application
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        application
            .execute_batch("UPDATE chunks SET text = text || '.' WHERE id = 1")
            .unwrap();
        // A new index that is still empty is one whose graph is not there yet.
        if log > 0 && fs::metadata(&new).is_ok_and(|meta| meta.len() == 0) {
            (held, free) = (held + busy, free + 1 - busy);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(run.wait().unwrap().success());
    assert!(free > held, "{free} times free, {held} times held");
    memory.require_true();
}

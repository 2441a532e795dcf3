//! `demo` works on a bare machine, and touches only its own folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::peers::wait_until;
use crate::support::{BINARY, Ran, send, users};

#[test]
fn the_demo_backs_up_verifies_and_restores() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Ran::of(
        Command::new(BINARY)
            .env_clear()
            .env("TMPDIR", folder.path())
            .args(["demo", "--json"]),
    )
    .expect(0);
    let report = ran.json();
    let server = PathBuf::from(report["data"]["folder"].as_str().unwrap());
    assert!(server.starts_with(folder.path()));
    assert_eq!(users(&server.join("app-restored.db")), 20_000);
    for step in report["data"]["steps"].as_array().unwrap() {
        let slow_queries = step["arguments"][0] == "query-review";
        assert_eq!(step["exit_code"], u8::from(slow_queries), "{step:#}");
    }
    let cleaned = report["data"]["steps"].as_array().unwrap().iter();
    let cleaned: Vec<_> = cleaned
        .filter(|step| step["arguments"][0] == "cache-clean")
        .map(|step| step["report"]["summary"].as_str().unwrap())
        .collect();
    assert!(cleaned[0].starts_with("3000 keys removed"), "{cleaned:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Ctrl-C or a kill while it runs: no writer, no Redis and no folder stay.
#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Command::new(BINARY)
            .env_clear()
            .env("TMPDIR", folder.path())
            .args(["demo", "--json"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Whoever is at work in the folder has its path among its words.
        let at_work = || {
            let words = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
            let all = fs::read_dir("/proc").unwrap().flatten().filter_map(words);
            let ours = folder.path().display().to_string();
            all.filter(|words| String::from_utf8_lossy(words).contains(&ours))
                .count()
        };
        // The writer, Redis, and a step.
        wait_until(|| at_work() > 2);
        send(demo.id(), signal);
        assert_eq!(demo.wait().unwrap().code(), code);
        if signal == Signal::INT {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
        wait_until(|| at_work() == 0);
    }
}

#[test]
fn a_dry_demo_is_refused_and_builds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(BINARY);
    demo.env_clear().env("TMPDIR", folder.path());
    let ran = Ran::of(demo.args(["demo", "--dry-run"])).expect(3);
    assert!(ran.err.contains("no dry run"), "{ran:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

//! `demo` works on a bare machine, and touches only its own folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{BINARY, Ran, users};

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

//! The whole program from outside: the real binary on real databases. One module a command, and one for each thing that holds
//! for all of them.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

mod adopt;
mod alerts;
mod audit;
mod backup;
mod certs;
mod config;
mod crash;
mod demo;
mod docs;
mod environment;
mod formats;
mod generated;
mod health;
mod health_logs;
mod health_peers;
mod history;
mod input;
mod layers;
mod licences;
mod locks;
mod npm;
mod output;
mod permissions;
mod restore;
mod restore_app;
mod restore_live;
mod restore_refused;
mod retention;
mod runbook;
mod schedule;
mod schema;
mod signals;
mod size;
mod sources;
mod terminal;
mod verify_backup;
mod verify_damage;

/// A test file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let source = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        if module != "main" {
            assert!(
                source.contains(&format!("\nmod {module};")),
                "tests/cli/{name} is not listed in main.rs"
            );
        }
    }
}

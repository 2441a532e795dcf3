//! The whole program from outside: the real binary on real databases. One module a command, and one for each thing that holds
//! for all of them.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

mod backup;
mod config;
mod crash;
mod demo;
mod docs;
mod generated;
mod health;
mod health_logs;
mod health_peers;
mod history;
mod layers;
mod licences;
mod output;
mod schema;
mod size;
mod terminal;

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

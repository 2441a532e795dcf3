//! The whole program from outside: the real binary on real databases. One module a command, and one for each thing that holds
//! for all of them.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

mod access_audit;
mod adopt;
mod alerts;
mod audit;
mod audit_host;
mod backup;
mod cache_clean;
mod cache_clean_broken;
mod cache_clean_ways;
mod certs;
mod certs_acme;
mod certs_renew;
mod config;
mod crash;
mod data_clean;
mod data_clean_live;
mod demo;
mod deps;
mod docs;
mod environment;
mod formats;
mod generated;
mod gpu;
mod health;
mod health_backups;
mod health_logs;
mod health_peers;
mod history;
mod hostile_databases;
mod input;
mod layers;
mod licences;
mod locks;
mod monitors;
mod npm;
mod npm_managers;
mod optimize_db;
mod output;
mod parts;
mod permissions;
mod query_review;
mod rag_changed;
mod rag_clean;
mod rag_duplicates;
mod rag_eval;
mod rag_index;
mod rag_index_live;
mod rag_index_ways;
mod rag_memories;
mod rag_quality;
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
mod state_folder;
mod terminal;
mod unanswered;
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

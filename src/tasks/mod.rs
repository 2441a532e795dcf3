//! The registry: one line a command, and nothing else.

mod access_audit;
mod alerts;
mod audit;
mod backup;
mod cache_clean;
mod certs;
mod data_clean;
mod deps;
mod gpu;
mod health;
mod history;
mod maintenance;
mod optimize_db;
mod query_review;
mod rag_clean;
mod rag_eval;
mod restore;
mod runbook;
mod schedule;
mod verify_backup;

use crate::task::{Entry, entry};

/// Every task there is, in the order of the help.
pub const TASKS: &[Entry] = &[
    entry::<health::Arguments>(),
    entry::<backup::Arguments>(),
    entry::<verify_backup::Arguments>(),
    entry::<restore::Arguments>(),
    entry::<cache_clean::Arguments>(),
    entry::<optimize_db::Arguments>(),
    entry::<data_clean::Arguments>(),
    entry::<access_audit::Arguments>(),
    entry::<query_review::Arguments>(),
    entry::<deps::Arguments>(),
    entry::<audit::Arguments>(),
    entry::<certs::Arguments>(),
    entry::<gpu::Arguments>(),
    entry::<rag_clean::Arguments>(),
    entry::<rag_eval::Arguments>(),
    entry::<alerts::Arguments>(),
    entry::<maintenance::Arguments>(),
    entry::<history::Arguments>(),
    entry::<schedule::Arguments>(),
    entry::<runbook::Arguments>(),
];

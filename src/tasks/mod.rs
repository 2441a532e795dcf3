//! The registry: one line a command, and nothing else.

mod alerts;
mod audit;
mod backup;
mod certs;
mod health;
mod history;
mod maintenance;
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
    entry::<audit::Arguments>(),
    entry::<certs::Arguments>(),
    entry::<alerts::Arguments>(),
    entry::<maintenance::Arguments>(),
    entry::<history::Arguments>(),
    entry::<schedule::Arguments>(),
    entry::<runbook::Arguments>(),
];

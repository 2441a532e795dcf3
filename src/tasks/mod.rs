//! The registry: one line a command, and nothing else.

mod backup;
mod health;
mod history;
mod restore;
mod verify_backup;

use crate::task::{Entry, entry};

/// Every task there is, in the order of the help.
pub const TASKS: &[Entry] = &[
    entry::<health::Arguments>(),
    entry::<backup::Arguments>(),
    entry::<verify_backup::Arguments>(),
    entry::<restore::Arguments>(),
    entry::<history::Arguments>(),
];

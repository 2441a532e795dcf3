//! Live SQLite databases. Only SQLite ever opens one: another open and close of the file inside this process would silently
//! drop the locks that SQLite holds on it (POSIX advisory locks belong to the process, <https://sqlite.org/howtocorrupt.html> §2.2).

mod columns;
mod facts;
mod identifier;
mod moment;
mod open;
mod scroll;
mod snapshot;
mod time_format;

pub use columns::{Column, columns};
pub use facts::{Facts, facts, full_check, require_tables, row_counts};
pub use identifier::quote;
pub use moment::moment;
pub use open::{
    explain, header_size, open_memory, open_private, open_readonly, open_writable,
    require_database_file, side_files,
};
pub use scroll::{Kind as TableKind, kind as table_kind, rowid, scroll};
pub use snapshot::{Checks as SnapshotChecks, Snapshot, SnapshotOptions};
pub use time_format::{Resolution, TimeColumn, TimeFormat, Times, Unit, Zone};

/// The SQLite that is built in.
pub fn version() -> &'static str {
    rusqlite::version()
}

//! Live SQLite databases. Only SQLite ever opens one: another open and close of the file inside this process would silently
//! drop the locks that SQLite holds on it (POSIX advisory locks belong to the process, <https://sqlite.org/howtocorrupt.html> §2.2).

mod columns;
mod facts;
mod identifier;
mod moment;
mod open;
mod pace;
mod snapshot;
mod table;
mod time_format;
mod walk;

pub use columns::{Column, columns};
pub use facts::{Facts, allocated, facts, full_check, require_tables, row_counts};
pub use identifier::quote;
pub use moment::moment;
pub use open::{
    explain, header_size, is_constraint, open_private, open_readonly, open_writable, open_writer,
    require_database_file, side_files,
};
pub use pace::{LONGEST_LOCK, Pace};
pub use snapshot::{Checks as SnapshotChecks, Snapshot, SnapshotOptions};
pub use table::{Reference, Table};
pub use time_format::{Resolution, TimeColumn, TimeFormat, Times, Unit, Zone};
pub use walk::{Row, Selection, Walk};

/// The SQLite that is built in.
pub fn version() -> &'static str {
    rusqlite::version()
}

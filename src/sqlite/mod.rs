//! Live SQLite databases. Only SQLite ever opens one: another open and close of the file inside this process would silently
//! drop the locks that SQLite holds on it (POSIX advisory locks belong to the process, <https://sqlite.org/howtocorrupt.html> §2.2).

mod at_once;
mod btree;
mod cascade;
mod columns;
mod facts;
mod fold;
mod gone;
mod identifier;
mod index_values;
mod integrity;
mod kept;
mod layout;
mod listing;
mod moment;
mod open;
mod pace;
mod rowids;
mod scroll;
mod snapshot;
mod statistics;
mod table;
mod time_format;
mod vacuum;
mod walk;
mod writer;

pub use cascade::Cascade;
pub use columns::{Column, columns};
pub use facts::{Facts, allocated, check_copy, facts, full_check, require_tables, row_counts};
pub use gone::Gone;
pub use identifier::quote;
pub use kept::{Act, keep_rows};
pub use layout::{Layout, Tree, layout};
pub use listing::{LISTING, TableKind, table_kind};
pub use moment::moment;
pub use open::{
    explain, header_size, is_busy, is_constraint, is_constraint_in, is_damage, is_disk_full,
    is_wal, open_memory, open_private, open_private_at_once, open_readonly, open_writable,
    open_writer, require_database_file, require_plain_side_files, side_files,
};
pub use pace::{LONGEST_LOCK, Pace, require_open};
pub use rowids::{BareTable, bare_tables, column_digest, rowid_digest};
pub use scroll::{rowid, scroll};
pub use snapshot::{Checks as SnapshotChecks, HoldsWriters, Snapshot, SnapshotOptions};
pub use statistics::{Stale, is_stale, stale_statistics};
pub use table::{Reference, Table};
pub use time_format::{Resolution, TimeColumn, TimeFormat, Times, Unit, Zone};
pub use vacuum::{Rehearsal, rehearse};
pub use walk::{Old, Row, Selection, Walk};
pub use writer::{Checkpoint, Held, Writer};

/// The SQLite that is built in.
pub fn version() -> &'static str {
    rusqlite::version()
}

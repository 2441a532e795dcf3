//! What a backup is: a plain gzip of a plain database or tar, in members of a fixed plain length; an index of them; a manifest
//! whose presence under its final name is the backup. `docs/backup-format.md` has the format and the commit protocol.

mod catalogue;
mod digest;
mod index;
mod judge;
mod manifest;
mod member;
mod name;
mod publish;
mod read;
pub mod retention;
mod store;
pub mod swap;
mod write;

pub use catalogue::{
    Backup, Standing, catalogue, find as find_backup, first_good, lost, series_lock,
};
pub use index::IndexReader;
pub use judge::{
    Freshness, examine_gone, examine_removed, judge_dates, judge_size, require_recent,
    require_younger,
};
pub use manifest::{
    Bad, Checks, FORMAT, Manifest, Pinned, Verified as Verification, VerifiedLevel,
};
pub use member::Inflater;
pub use name::{Content, Name};
pub use publish::{Published, Verified, adopt, free_name, has_leftovers, rewrite_manifest, sweep};
pub use read::{Extracted, Limits, Most, extract_backup, extract_serially, unreadable};
pub use store::{FILES, JOURNAL, Source, Store};
pub use write::{Previous, Writing, write};

/// Plain bytes of every member but the last. Not under the largest SQLite page, and a whole number of BLAKE3 chunks.
pub const BLOCK: usize = 128 << 10;

/// Everything that two days have in common: days since 1970 in UTC, as the index stores them.
pub fn day(now: jiff::Timestamp) -> u32 {
    u32::try_from(now.as_second().max(0) / 86_400).unwrap_or(u32::MAX)
}

//! What a database takes on the disk after its rules, and whether giving space back would pay. `optimize-db` is who does that.

use rusqlite::Connection;

use crate::archive::Source;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite;
use crate::units::{Bytes, percent};

const SPACE: &str = "data-clean.space";
/// Less than this share, or this much, is soon filled again.
const LEAST_PERCENT: f64 = 25.0;
const LEAST_BYTES: u64 = 64 << 20;

/// Folds the log in as far as readers allow, and says where the free space could go.
pub fn after(
    report: &Reporter,
    source: &Source,
    writer: &Connection,
) -> rusqlite::Result<(u64, u64)> {
    // Busy or not, the next one who commits goes on with it.
    writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    let (bytes, free) = sqlite::allocated(writer)?;
    if free >= LEAST_BYTES && percent(free, bytes) >= LEAST_PERCENT {
        report.find(
            Finding::new(
                SPACE,
                Severity::Info,
                &source.name,
                format!(
                    "{} of {} in {} hold nothing ({:.0}%, worth giving back from {LEAST_PERCENT}%)",
                    Bytes(free),
                    Bytes(bytes),
                    source.name,
                    percent(free, bytes)
                ),
            )
            .hint("empire-maint optimize-db"),
        );
    }
    Ok((bytes, free))
}

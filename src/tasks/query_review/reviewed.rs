//! What a review of one database returns as data.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// What was found in one database.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reviewed {
    /// Its name.
    pub database: String,
    /// The log of queries, where there is one.
    pub log: Option<LogDetail>,
    /// The slow queries that take most time, the worst first.
    pub slow: Vec<Slow>,
    /// Slow shapes that no indices were tried for: those that take least time, of very many.
    pub not_tried: usize,
    /// Indices that the planner would take for the others.
    pub missing_indices: Vec<Missing>,
    /// Indices whose work another one does too.
    pub needless_indices: Vec<NeedlessIndex>,
    /// Indices that no logged query uses; null where the log does not say enough for that.
    pub unused_indices: Option<Vec<String>>,
    /// What the planner knows of the tables.
    pub statistics: Statistics,
    /// Definitions that could not be tried on the copy: virtual tables, and what this SQLite does not know.
    pub not_copied: Vec<String>,
}

/// The log itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogDetail {
    /// The table.
    pub table: String,
    /// Entries that were looked at.
    pub rows: u64,
    /// From then on; null where the table does not say when.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// How its moments are written.
    pub time_format: Option<String>,
    /// Entries that were slow.
    pub slow: u64,
    /// Different queries among the slow ones.
    pub slow_shapes: usize,
    /// Entries without a number of milliseconds or without a query.
    pub unreadable: u64,
    /// Entries whose query is too long to be looked at.
    pub too_long: u64,
}

/// Slow queries of one shape.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Slow {
    /// The same on every run.
    pub id: String,
    /// Without its values.
    pub query: String,
    /// How often it was slow.
    pub count: u64,
    /// Their time in all, ms.
    pub total_ms: f64,
    /// Half took no longer, ms, to three digits.
    pub p50_ms: f64,
    /// 95% took no longer, ms, to three digits.
    pub p95_ms: f64,
    /// The slowest, ms.
    pub max_ms: f64,
    /// What SQLite would do, in its own words.
    pub plan: Vec<String>,
    /// What of that takes time.
    pub problems: Vec<String>,
    /// Why there is no plan.
    pub not_explained: Option<String>,
}

/// An index that would help.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Missing {
    /// Its table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The statement to copy.
    pub sql: String,
    /// The ids of the queries that would use it.
    pub queries: Vec<String>,
    /// The time that they took, ms.
    pub total_ms: f64,
}

/// An index that can go.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NeedlessIndex {
    /// Its name.
    pub index: String,
    /// Its table.
    pub table: String,
    /// The index that does its work.
    pub by: String,
    /// Both have the same columns; otherwise the other begins with them.
    pub same: bool,
}

/// What the planner knows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Statistics {
    /// There is a `sqlite_stat1`.
    pub present: bool,
    /// Tables with an index that have none.
    pub missing: Vec<String>,
    /// Tables whose number of rows is no longer near the one in the statistics.
    pub stale: Vec<Stale>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stale {
    /// The table.
    pub table: String,
    /// Rows that it has.
    pub rows: u64,
    /// Rows that the statistics say.
    pub believed: u64,
}

impl Reviewed {
    /// Different slow queries.
    pub fn shapes(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.slow_shapes)
    }
}

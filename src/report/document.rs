//! What people read beyond findings: texts and tables. Cells stay typed; only the output room knows columns and colour.

use jiff::Timestamp;

/// Something to print whole.
#[derive(Clone, Debug)]
pub enum Document {
    /// Printed as it is; a part of the report, as a table is.
    Text(String),
    /// The same for what was asked for, as a configuration file or a crontab: a quiet run prints it too, and nothing else gets
    /// into what a pipe makes of it.
    Answer(String),
    /// Rows of typed cells.
    Table(Table),
}

/// A table with a heading and named columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Said above it.
    pub title: String,
    /// One name a column.
    pub columns: Vec<&'static str>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// One typed value of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// Words that carry a warning.
    Bad(String),
    /// A size.
    Bytes(u64),
    /// Shown in the report's zone, with offset.
    Time(Timestamp),
    /// Shown as an age: how long before the run.
    Age(std::time::Duration),
    /// Shown as percent, 0-100.
    Percent(f64),
    /// A count.
    Count(u64),
    /// Not known, or does not apply.
    Empty,
}

impl Cell {
    /// A time that may be missing.
    pub fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Empty, Self::Time)
    }
}

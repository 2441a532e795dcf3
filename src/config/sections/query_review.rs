//! `[query_review]`: where the application writes down what it asked and how long that took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::error::{self, Failure};
use crate::units::{CalendarSpan, Length};

/// Where the application writes down its queries, and which of them are slow.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryReview {
    /// the table of queries, in any of the databases
    pub table: String,
    /// its column with the SQL
    pub query_column: String,
    /// its column with how long it took, in milliseconds
    pub duration_column: String,
    /// its column with when that was; default: the first of timestamp, created_at, logged_at, executed_at, time, at
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"created_at")]
    pub time_column: Option<String>,
    /// a query that takes longer is slow
    pub slow: Length,
    /// older entries are left out, where the table says when they were
    pub period: CalendarSpan,
}

impl Default for QueryReview {
    fn default() -> Self {
        Self {
            table: "query_logs".into(),
            query_column: "query".into(),
            duration_column: "query_time".into(),
            time_column: None,
            slow: Length::from_millis(1000),
            period: CalendarSpan::days(30),
        }
    }
}

impl Section for QueryReview {
    const NAME: &'static str = "query_review";

    fn check(&self) -> Result<(), Failure> {
        let names = [&self.table, &self.query_column, &self.duration_column];
        if names.iter().any(|name| name.trim().is_empty()) {
            return Err(error::config("[query_review] has an empty name")
                .hint("table, query_column, duration_column"));
        }
        Ok(())
    }
}

//! `[rag.duplicates]`: which chunks say the same, which of them is kept, and what has to point to it then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{self, Failure};

/// The step `duplicates` of rag-clean, beside `near_duplicate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RagDuplicates {
    /// chunks whose vectors have at least this cosine (0.9 to 1) are duplicates too; unset: vectors, which hardly see another number or a "not", do not count
    #[schemars(range(min = 0.9, max = 1.0), example = &0.995)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// columns of the chunks that hold the same in duplicates, such as the owner's: without them a text of two owners is one
    pub same: Vec<String>,
    /// a column of the chunks or embeddings with a figure: the duplicate with the highest is kept; then the last accessed, the longest, the first
    #[schemars(example = &"access_count")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer: Option<String>,
    /// columns that hold ids of chunks and have no foreign key, as "table.column"; they and all foreign keys point to the one that is kept
    pub references: Vec<String>,
    /// the same for ids of embeddings
    pub embedding_references: Vec<String>,
}

impl RagDuplicates {
    /// Refuses what cannot be.
    pub fn check(&self) -> Result<(), Failure> {
        let wrong = |what: String| error::config(format!("[rag.duplicates]: {what}"));
        if let Some(cosine) = self.cosine
            && !(0.9..=1.0).contains(&cosine)
        {
            return Err(wrong(format!(
                "cosine = {cosine} would take what only resembles: from 0.9 to 1"
            )));
        }
        for reference in self.references.iter().chain(&self.embedding_references) {
            if split(reference).is_none() {
                return Err(wrong(format!(
                    "'{reference}' is no column: write it as \"table.column\""
                )));
            }
        }
        Ok(())
    }
}

/// The table and the column of a reference.
pub fn split(reference: &str) -> Option<(&str, &str)> {
    let (table, column) = reference.split_once('.')?;
    (!table.is_empty() && !column.is_empty()).then_some((table, column))
}

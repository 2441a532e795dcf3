//! `[rag]`: the memory of the application: which tables hold it, what of it goes, and which FAISS files are made from it.

use std::path::PathBuf;

use jiff::Zoned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RagDuplicates, RagEval, Section};
use crate::error::{self, Failure};
use crate::units::{CalendarSpan, Length};

/// The application's memory: documents, chunks, embeddings, and the FAISS indices over them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rag {
    /// the [[database]] that holds it
    pub database: String,
    /// what a bare rag-clean does: idle, orphans, invalid; others: duplicates
    pub steps: Vec<RagStep>,
    /// an embedding that was not accessed for so long goes
    pub max_idle: CalendarSpan,
    /// a chunk with fewer characters that are no blanks is no text
    #[schemars(range(min = 0, max = 1000))]
    pub min_text: u32,
    /// more than this part of a table is refused without --yes
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_fraction: f64,
    /// texts with so much of their runs of three words in common (0.5 to 1) are duplicates; 1: only the same text is one
    #[schemars(range(min = 0.5, max = 1.0))]
    pub near_duplicate: f64,
    /// chunks that say the same: the step `duplicates`, which has to be asked for
    pub duplicates: RagDuplicates,
    /// what the application calls its tables and columns
    pub tables: RagTables,
    /// index files that are made from the embeddings
    pub index: Vec<RagIndex>,
    /// how the quality of retrieval is measured
    pub eval: RagEval,
}

/// A step of `rag-clean`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum RagStep {
    /// Embeddings that were not accessed for `max_idle`, with their chunks.
    Idle,
    /// Chunks whose embedding or document is gone, embeddings that no chunk points to.
    Orphans,
    /// Vectors and texts that cannot be what they should be.
    Invalid,
    /// Chunks that say the same as another one.
    Duplicates,
}

/// What the application calls its tables and columns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RagTables {
    /// the table of the embeddings
    pub embeddings: String,
    /// its id, which chunks and indices use
    pub id: String,
    /// its vector: a BLOB of 32-bit floats
    pub vector: String,
    /// its column that says when it was last used
    pub last_accessed: String,
    /// the table of the chunks
    pub chunks: String,
    /// its id, which other tables use
    pub chunks_id: String,
    /// its column with the id of an embedding; NULL where there is none yet
    pub embedding_id: String,
    /// its column with the id of a document
    pub document_id: String,
    /// its text
    pub text: String,
    /// the table of the documents
    pub documents: String,
    /// its id
    pub documents_id: String,
}

/// A FAISS file; its kind, metric and parameters are read from the file that is there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RagIndex {
    /// the file
    #[schemars(example = &"data/rag.faiss")]
    pub path: PathBuf,
    /// the ids of the positions of a bare Flat or HNSW: a .npy of int64, or a JSON array; rewritten with the index, just after it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"data/rag.ids.npy")]
    pub positions_map: Option<PathBuf>,
    /// writes an index of a kind that is not written here (others than Flat, HNSW Flat and IVF Flat): an argument list, never a shell,
    /// run as the owner of the file; what it is told and has to write is in docs/rag-index.md
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["/opt/agentic-empire/venv/bin/python", "/opt/agentic-empire/bin/build-index.py"])]
    pub external_command: Option<Vec<String>>,
    /// how long external_command may take
    #[serde(default = "an_hour")]
    pub external_timeout: Length,
}

fn an_hour() -> Length {
    Length::from_millis(3_600_000)
}

impl Default for RagTables {
    fn default() -> Self {
        Self {
            embeddings: "embeddings".into(),
            id: "id".into(),
            vector: "vector".into(),
            last_accessed: "last_accessed".into(),
            chunks: "chunks".into(),
            chunks_id: "id".into(),
            embedding_id: "embedding_id".into(),
            document_id: "document_id".into(),
            text: "text".into(),
            documents: "documents".into(),
            documents_id: "id".into(),
        }
    }
}

impl Default for Rag {
    fn default() -> Self {
        Self {
            database: "rag_db".into(),
            steps: vec![RagStep::Idle, RagStep::Orphans, RagStep::Invalid],
            max_idle: CalendarSpan::days(90),
            min_text: 3,
            max_fraction: 0.25,
            near_duplicate: 0.98,
            duplicates: RagDuplicates::default(),
            tables: RagTables::default(),
            index: Vec::new(),
            eval: RagEval::default(),
        }
    }
}

impl Section for Rag {
    const NAME: &'static str = "rag";

    fn check(&self) -> Result<(), Failure> {
        let wrong = |what: String| error::config(format!("[rag]: {what}"));
        self.eval.check()?;
        if !(0.0..=1.0).contains(&self.max_fraction) {
            return Err(wrong(format!(
                "max_fraction = {} is no part of a table: from 0 to 1",
                self.max_fraction
            )));
        }
        if self.min_text > 1000 {
            return Err(wrong(format!(
                "min_text = {} would take whole paragraphs: at most 1000",
                self.min_text
            )));
        }
        if self.max_idle.before(&Zoned::default()).is_err() {
            return Err(wrong(format!(
                "max_idle = \"{}\" is too long",
                self.max_idle
            )));
        }
        if !(0.5..=1.0).contains(&self.near_duplicate) {
            return Err(wrong(format!(
                "near_duplicate = {} would take what only resembles: from 0.5 to 1",
                self.near_duplicate
            )));
        }
        self.duplicates.check()?;
        for (at, index) in self.index.iter().enumerate() {
            if index.external_command.as_ref().is_some_and(Vec::is_empty) {
                return Err(wrong(format!(
                    "the external_command of {} is an empty list",
                    index.path.display()
                )));
            }
            if index.external_timeout.0.is_zero() {
                return Err(wrong("external_timeout = \"0\" leaves no time".to_owned()));
            }
            if index.positions_map.as_ref() == Some(&index.path) {
                return Err(wrong(format!(
                    "{} cannot be both an index and its positions_map",
                    index.path.display()
                )));
            }
            if self.index[..at]
                .iter()
                .any(|other| other.path == index.path)
            {
                return Err(wrong(format!(
                    "two [[rag.index]] have the path {}",
                    index.path.display()
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_told() {
        for (lines, told) in [
            ("max_fraction = 1.5", "from 0 to 1"),
            ("max_fraction = nan", "from 0 to 1"),
            ("min_text = 1001", "at most 1000"),
            ("near_duplicate = 0.4", "from 0.5 to 1"),
            ("near_duplicate = nan", "from 0.5 to 1"),
            ("duplicates.cosine = 0.8", "from 0.9 to 1"),
            ("duplicates.references = ['notes']", "table.column"),
            ("index = [{path = 'a'}, {path = 'a'}]", "two [[rag.index]]"),
            (
                "index = [{path = 'a', positions_map = 'a'}]",
                "both an index",
            ),
            (
                "index = [{path = 'a', external_command = []}]",
                "empty list",
            ),
        ] {
            let section: Rag = toml::from_str(lines).expect("reads");
            let error = section.check().expect_err(lines);
            assert!(error.message.contains(told), "{lines}: {error}");
        }
        assert!(Rag::default().check().is_ok());
        assert!(toml::from_str::<Rag>("steps = ['dupes']").is_err());
    }
}

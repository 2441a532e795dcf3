//! `[rag]`: the memory of the application: which tables hold it, what of it goes, and which FAISS files are made from it.

use std::path::PathBuf;

use jiff::Zoned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::names_program;
use super::{RagDuplicates, RagEval, Section};
use crate::config::{Config, Origin};
use crate::error::{self, Failure};
use crate::units::{Bytes, CalendarSpan, Length};

/// The application's memory: documents, chunks, embeddings, and the FAISS indices over them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rag {
    /// the [[database]] that holds it
    pub database: String,
    /// what a bare rag-clean does: idle, orphans, invalid; also duplicates, quality, changed, optimize
    pub steps: Vec<RagStep>,
    /// an embedding that was not accessed for so long goes
    pub max_idle: CalendarSpan,
    /// a chunk with fewer characters that can be read is no text, and goes; 1: only what holds nothing to read
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
    /// the folder that documents.path is relative to, and beyond which no document is read
    #[serde(deserialize_with = "super::values::path")]
    pub documents_root: PathBuf,
    /// a larger document is not read
    pub max_document: Bytes,
    /// which hash documents.content_hash is; auto: told by its length
    pub hash: RagHash,
    /// what tells a memory that nobody needs: the step quality
    pub quality: RagQuality,
    /// where texts become vectors: the step changed
    pub embedding: RagEmbedding,
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
    /// Memories that were never retrieved, and texts that say nothing.
    Quality,
    /// Documents whose file is another one by now, and texts that have no vector of theirs.
    Changed,
    /// What `optimize-db` does, for this database.
    Optimize,
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
    /// a column of the embeddings with the hash of the text that the vector was made from; without it only chunks without an embedding get one
    pub text_hash: String,
    /// a column of the embeddings with the name of the model
    pub model: String,
    /// a column of the embeddings or chunks that counts retrievals
    pub retrievals: String,
    /// a column beside that one with the time when the row was made; without it last_accessed
    pub created_at: String,
    /// the table of the documents
    pub documents: String,
    /// its id
    pub documents_id: String,
    /// its column with the path of the file
    pub path: String,
    /// its column with the hash of the file as it was read
    pub content_hash: String,
    /// its column that tells the application to read the file again; without it changed documents are only reported
    pub stale: String,
    /// what is written there
    pub stale_value: String,
}

impl RagTables {
    /// The table beside one of these that keeps what is quarantined of it.
    pub fn quarantine(table: &str) -> String {
        format!("{table}_quarantine")
    }
}

/// How documents are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RagHash {
    /// By its length: 32 digits are MD5, 40 SHA-1, 64 SHA-256, 128 SHA-512.
    Auto,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// BLAKE3.
    Blake3,
}

/// What tells a memory that nobody needs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RagQuality {
    /// a memory that is older and was never retrieved goes
    pub never_retrieved: CalendarSpan,
    /// a text with fewer words says little
    #[schemars(range(min = 0, max = 100))]
    pub min_words: u32,
    /// a text of which a larger part is neither letter nor digit says little
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_symbols: f64,
    /// a text of 20 words or more in which one word is a larger part says little
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_repetition: f64,
}

/// An endpoint that makes vectors of texts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RagEmbedding {
    /// its address, as the application uses it; without it no text gets a vector
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"http://127.0.0.1:11434/v1/embeddings")]
    pub url: Option<String>,
    /// the model, as the application names it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"nomic-embed-text")]
    pub model: Option<String>,
    /// openai or ollama; default: by the address, ollama where it ends with /api/embed
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"openai")]
    pub api: Option<EmbeddingApi>,
    /// a file whose first line is the key; may begin with $CREDENTIALS_DIRECTORY
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/embedding-key")]
    #[serde(deserialize_with = "super::values::path")]
    pub api_key_file: Option<PathBuf>,
    /// certificates to trust instead of the system's
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/ca.pem")]
    #[serde(deserialize_with = "super::values::path")]
    pub ca_file: Option<PathBuf>,
    /// texts in one request
    #[schemars(range(min = 1, max = 2048))]
    pub batch: u32,
    /// how long one request may take
    pub timeout: Length,
    /// how long a request that failed is tried again
    pub patience: Length,
    /// before anything is written, texts that have a vector are embedded again, and must be at least so similar to it; 0: not checked
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_similarity: f64,
}

/// What an embedding endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingApi {
    /// `/v1/embeddings`.
    Openai,
    /// `/api/embed`.
    Ollama,
}

impl RagEmbedding {
    /// What it speaks.
    pub fn speaks(&self) -> EmbeddingApi {
        let is_ollama = |url: &String| url.trim_end_matches('/').ends_with("/api/embed");
        match self.api {
            Some(api) => api,
            None if self.url.as_ref().is_some_and(is_ollama) => EmbeddingApi::Ollama,
            None => EmbeddingApi::Openai,
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(url) = &self.url {
            let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
            let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
                return Err("url begins with neither http:// nor https://".to_owned());
            };
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if host.contains('@') || url.contains('?') {
                return Err(
                    "url holds what may be a secret: api_key_file is the place for it".to_owned(),
                );
            }
            if url.trim_end_matches('/').ends_with("/api/embeddings") {
                return Err("url is Ollama's old address for one text: take /api/embed".to_owned());
            }
            if self.model.as_ref().is_none_or(String::is_empty) {
                return Err("url without a model".to_owned());
            }
        }
        if !(1..=2048).contains(&self.batch) {
            return Err(format!("batch = {}: from 1 to 2048", self.batch));
        }
        if self.timeout.0.is_zero() {
            return Err("timeout = 0: a request that may take no time never succeeds".to_owned());
        }
        if !(0.0..=1.0).contains(&self.min_similarity) {
            return Err(format!(
                "min_similarity = {}: from 0 to 1",
                self.min_similarity
            ));
        }
        Ok(())
    }
}

impl Default for RagEmbedding {
    fn default() -> Self {
        Self {
            url: None,
            model: None,
            api: None,
            api_key_file: None,
            ca_file: None,
            batch: 32,
            timeout: Length::from_millis(60_000),
            patience: Length::from_millis(300_000),
            min_similarity: 0.9,
        }
    }
}

impl RagQuality {
    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("max_symbols", self.max_symbols),
            ("max_repetition", self.max_repetition),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{key} = {value} is no part of a text: from 0 to 1"));
            }
        }
        if self.min_words > 100 {
            return Err(format!(
                "min_words = {} would take whole paragraphs: at most 100",
                self.min_words
            ));
        }
        if self.never_retrieved.before(&Zoned::default()).is_err() {
            return Err(format!(
                "never_retrieved = \"{}\" is too long",
                self.never_retrieved
            ));
        }
        Ok(())
    }
}

impl Default for RagQuality {
    fn default() -> Self {
        Self {
            never_retrieved: CalendarSpan::days(180),
            min_words: 3,
            max_symbols: 0.6,
            max_repetition: 0.5,
        }
    }
}

/// A FAISS file; its kind, metric and parameters are read from the file that is there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RagIndex {
    /// the file
    #[schemars(example = &"data/rag.faiss")]
    #[serde(deserialize_with = "super::values::path")]
    pub path: PathBuf,
    /// the ids of the positions of a bare Flat or HNSW: a .npy of int64, or a JSON array; rewritten with the index, just after it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"data/rag.ids.npy")]
    #[serde(deserialize_with = "super::values::path")]
    pub positions_map: Option<PathBuf>,
    /// writes an index of a kind that is not written here (others than Flat, HNSW Flat and IVF Flat): an argument list, never a shell,
    /// run as the owner of the file; what it is told and has to write is in docs/rag-index.md
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["/opt/agentic-empire/venv/bin/python", "/opt/agentic-empire/bin/build-index.py"])]
    pub external_command: Option<Vec<String>>,
    /// how long external_command may take
    #[serde(default = "an_hour")]
    #[schemars(example = &"1h")]
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
            text_hash: "text_hash".into(),
            model: "model".into(),
            retrievals: "access_count".into(),
            created_at: "created_at".into(),
            documents: "documents".into(),
            documents_id: "id".into(),
            path: "path".into(),
            content_hash: "content_hash".into(),
            stale: "stale".into(),
            stale_value: "1".into(),
        }
    }
}

impl Default for Rag {
    fn default() -> Self {
        Self {
            database: "rag_db".into(),
            steps: vec![RagStep::Idle, RagStep::Orphans, RagStep::Invalid],
            max_idle: CalendarSpan::days(90),
            min_text: 1,
            max_fraction: 0.25,
            near_duplicate: 0.98,
            duplicates: RagDuplicates::default(),
            documents_root: ".".into(),
            max_document: Bytes(1 << 30),
            hash: RagHash::Auto,
            quality: RagQuality::default(),
            embedding: RagEmbedding::default(),
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
        let tables = &self.tables;
        let named = [&tables.embeddings, &tables.chunks, &tables.documents];
        for (at, name) in named.iter().enumerate() {
            if named[..at]
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name))
            {
                return Err(error::config(format!(
                    "[rag.tables]: two of embeddings, chunks and documents are the table {name}"
                )));
            }
        }
        self.duplicates.check()?;
        self.quality
            .check()
            .map_err(|what| error::config(format!("[rag.quality]: {what}")))?;
        self.embedding
            .check()
            .map_err(|what| error::config(format!("[rag.embedding]: {what}")))?;
        for (at, index) in self.index.iter().enumerate() {
            let command = index.external_command.as_ref();
            if command.is_some_and(|list| !names_program(list)) {
                return Err(wrong(format!(
                    "the external_command of {} names no program",
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

    /// Without the key it is a server without a memory, which is no mistake.
    fn review(&self, config: &Config) -> Result<(), Failure> {
        match config.origin(Self::NAME, &["database"]) {
            Origin::Default => Ok(()),
            Origin::Line(_) => config.require_database(Self::NAME, &["database"], &self.database),
        }
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
            ("quality = {max_symbols = 2.0}", "from 0 to 1"),
            ("quality = {min_words = 101}", "at most 100"),
            (
                "embedding = {url = 'http://a/v1/embeddings'}",
                "without a model",
            ),
            ("embedding = {url = 'ftp://a', model = 'm'}", "neither http"),
            (
                "embedding = {url = 'http://me:pass@a/', model = 'm'}",
                "may be a secret",
            ),
            (
                "embedding = {url = 'http://a/api/embeddings', model = 'm'}",
                "/api/embed",
            ),
            ("embedding = {batch = 0}", "from 1 to 2048"),
            ("embedding = {timeout = '0s'}", "never succeeds"),
            ("index = [{path = 'a'}, {path = 'a'}]", "two [[rag.index]]"),
            (
                "index = [{path = 'a', positions_map = 'a'}]",
                "both an index",
            ),
            (
                "index = [{path = 'a', external_command = []}]",
                "names no program",
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

//! Chunks without a vector of their text, and the endpoint that makes one: which they are, looked at before anything is changed,
//! and the run over them. What cannot be embedded keeps what it has.

mod asked;

use rusqlite::Connection;
use rusqlite::types::Value;
use schemars::JsonSchema;
use serde::Serialize;

use asked::Asked;
pub use asked::Ended;

use super::PIECE;
use super::digest::Kept;
use super::dimension::dimension;
use super::judge::wrong_text;
use super::memory::Memory;
use super::plan::Planner;
use super::scene::Scene;
use super::vectors::{Item, Vectors};
use crate::config::Secret;
use crate::config::sections::{EmbeddingApi, Rag};
use crate::embedding::{Api, Endpoint};
use crate::error::refused;
use crate::report::{Finding, Reporter, Severity, Step, Unit};
use crate::sqlite::{self, Pace, Selection, Table, quote};
use crate::units;

/// Finding id: the endpoint did not do its part.
pub const FAILED: &str = "rag-clean.embedding-failed";
/// Finding id: what it answered is nothing to write.
pub const WRONG: &str = "rag-clean.embedding-wrong";
const REFUSED: &str = "rag-clean.texts-refused";
const WAITING: &str = "rag-clean.not-embedded";

/// A longer text is not sent, bytes.
const LONGEST: usize = 1 << 20;
/// So many refused texts in a row are no matter of texts.
const IN_A_ROW: u64 = 20;

/// Rows are read at once with fewer bytes than this, or one row.
const PIECE_BYTES: usize = 4 << 20;

/// What became of the texts.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Outcome {
    /// Chunks that had no embedding.
    pending: u64,
    /// Chunks whose text is another one than their vector was made from.
    changed: u64,
    /// Chunks of which nobody knows: their embedding has no hash of the text.
    unknown: u64,
    /// Chunks that got a vector.
    pub done: u64,
    /// Texts that the endpoint refused, or that are longer than 1 MiB.
    refused: u64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let due = units::count(self.pending + self.changed, "text");
        write!(f, "{} of {due} embedded", self.done)
    }
}

/// What was found out.
pub struct Looked {
    /// So far.
    pub outcome: Outcome,
    chunks: Table,
    /// What every vector has; `None` where there is none yet.
    dimension: Option<usize>,
    text_hash: Option<String>,
    model: Option<String>,
}

/// The endpoint of `[rag.embedding]`, if any.
pub fn endpoint(rag: &Rag) -> anyhow::Result<Option<Endpoint>> {
    let settings = &rag.embedding;
    let (Some(url), Some(model)) = (&settings.url, &settings.model) else {
        return Ok(None);
    };
    let key = Secret::read(
        "[rag.embedding] api_key",
        None,
        settings.api_key_file.as_deref(),
    )?;
    Ok(Some(Endpoint {
        url: url.clone(),
        model: model.clone(),
        api: match settings.speaks() {
            EmbeddingApi::Openai => Api::OpenAi,
            EmbeddingApi::Ollama => Api::Ollama,
        },
        key,
        ca_file: settings.ca_file.clone(),
        timeout: settings.timeout.0,
        patience: settings.patience.0,
    }))
}

/// Counts the chunks that are due, as they will be once what the steps before take is gone.
pub fn look(planner: &Planner<'_>, endpoint: Option<&Endpoint>) -> anyhow::Result<Looked> {
    let memory = planner.memory;
    let names = &memory.names;
    let chunks = memory.chunks(&[(&names.embedding_id, "embedding_id"), (&names.text, "text")])?;
    let embeddings = memory.embeddings(&[(&names.vector, "vector")])?;
    let wrong = |error| sqlite::explain(error, &planner.source.path, &planner.context.stop);
    let column = |name: &str| embeddings.column(name).map(|column| column.name.clone());
    let mut looked = Looked {
        outcome: Outcome::default(),
        chunks: chunks.clone(),
        dimension: dimension(planner.reader, memory).map_err(wrong)??,
        text_hash: column(&names.text_hash),
        model: column(&names.model),
    };
    // Looking for the other chunks of an embedding has to be short.
    memory.references(planner.reader, planner.source, planner.context)?;
    if let Some(endpoint) = endpoint {
        require_writable(memory, &looked)?;
        require_model(planner, &looked, endpoint)?;
    }
    let columns = looked.columns(memory, &planner.left(embeddings, "1"));
    let selection = Selection::of(chunks, &planner.left(chunks, "1"));
    let mut walk = selection.walk(&columns).or_bytes();
    let mut total = 0;
    loop {
        planner.context.stop.check()?;
        let mut read = 0;
        let piece = walk
            .piece(planner.reader, PIECE, |row| enough(row, &mut read))
            .map_err(wrong)?;
        if piece.is_empty() {
            break;
        }
        for row in piece {
            total += 1;
            match looked.due(row, planner.rag) {
                Due::Pending(_) => looked.outcome.pending += 1,
                Due::Changed(_) => looked.outcome.changed += 1,
                Due::Unknown => looked.outcome.unknown += 1,
                Due::TooLong => looked.outcome.refused += 1,
                Due::No => {}
            }
        }
    }
    planner.require_fraction(
        looked.outcome.changed,
        total,
        "texts that changed",
        super::RagStep::Changed,
    )?;
    Ok(looked)
}

enum Due {
    No,
    Unknown,
    TooLong,
    Pending(Item),
    Changed(Item),
}

impl Looked {
    /// How many are due.
    pub fn due_rows(&self) -> u64 {
        self.outcome.pending + self.outcome.changed
    }

    /// The text, the embedding, and the hash of the text that it was made from. An embedding that is not `left` counts as gone.
    fn columns(&self, memory: &Memory, left: &str) -> Vec<String> {
        let names = &memory.names;
        let text = quote(&names.text);
        let gone = memory.embedding_of_it(&format!("({left}) IS NOT TRUE"));
        let hash = match &self.text_hash {
            None => "NULL".to_owned(),
            Some(hash) => format!(
                "(SELECT CAST({hash} AS BLOB) FROM main.{0} WHERE {0}.{1} = {2}.{3})",
                quote(&memory.embeddings.name),
                quote(&names.id),
                quote(&self.chunks.name),
                quote(&names.embedding_id),
                hash = quote(hash)
            ),
        };
        vec![
            format!(
                "CASE WHEN typeof({text}) <> 'text' THEN NULL WHEN length(CAST({text} AS BLOB)) > {LONGEST} THEN 0 ELSE CAST({text} AS BLOB) END"
            ),
            format!(
                "CASE WHEN NOT {gone} THEN {}.{} END",
                quote(&self.chunks.name),
                quote(&names.embedding_id)
            ),
            hash,
        ]
    }

    /// What a chunk needs.
    fn due(&self, mut row: Vec<Value>, rag: &Rag) -> Due {
        let (hash, embedding, text) = (row.pop(), row.pop(), row.pop());
        let embedding = embedding.unwrap_or(Value::Null);
        let text = match text {
            Some(Value::Blob(text)) => text,
            Some(Value::Integer(_)) if embedding == Value::Null => return Due::TooLong,
            _ => return Due::No,
        };
        let Ok(text) = String::from_utf8(text) else {
            return Due::No; // the step invalid tells it
        };
        if wrong_text(text.as_bytes(), rag.min_text as usize).is_some() {
            return Due::No;
        }
        let item = |text| Item {
            key: row,
            embedding: embedding.clone(),
            text,
        };
        if embedding == Value::Null {
            return Due::Pending(item(text));
        }
        if self.text_hash.is_none() {
            return Due::No;
        }
        let kept = match &hash {
            Some(Value::Blob(bytes)) => Kept::read(bytes, rag.hash),
            _ => None,
        };
        match kept {
            None => Due::Unknown,
            Some(kept) if kept.is_of_text(text.as_bytes()) => Due::No,
            Some(_) => Due::Changed(item(text)),
        }
    }

    /// The action; `None` where nothing is due.
    pub fn step(&self, endpoint: &Endpoint, database: &str) -> Option<Step> {
        (self.due_rows() > 0).then(|| Step {
            kind: "embed",
            target: format!("{database}: {}", self.chunks.name),
            reason: format!(
                "{} without an embedding and {} whose text changed, by {} of {}",
                units::count(self.outcome.pending, "chunk"),
                self.outcome.changed,
                endpoint.model,
                endpoint.url
            ),
        })
    }

    /// Says what the endpoint would not take.
    pub fn tell_refused(&self, report: &Reporter, database: &str) {
        report.examined(REFUSED, database);
        if self.outcome.refused > 0 {
            let texts = units::count(self.outcome.refused, "text");
            let message = format!(
                "{texts} without a new vector, refused by the endpoint or longer than 1 MiB: what was there stays"
            );
            report.find(
                Finding::new(REFUSED, Severity::Medium, database, message)
                    .hint("have the application cut them smaller"),
            );
        }
    }

    /// Says what waits where there is no endpoint.
    pub fn tell_waiting(&self, report: &Reporter, database: &str) {
        report.examined(WAITING, database);
        if self.due_rows() == 0 {
            return;
        }
        report.find(
            Finding::new(
                WAITING,
                Severity::Low,
                database,
                format!(
                    "{} without an embedding, {} whose text changed since, and no endpoint that makes one",
                    units::count(self.outcome.pending, "chunk"),
                    self.outcome.changed
                ),
            )
            .hint("[rag.embedding] url and model name it, or the application embeds them"),
        );
    }

    /// Gives every chunk that is due its vector. `done` holds, also after an error, how many are committed; false when a backup or
    /// restore waits.
    pub fn embed(
        &mut self,
        scene: &Scene<'_>,
        endpoint: &Endpoint,
        writer: &Connection,
        pace: &mut Pace,
    ) -> anyhow::Result<bool> {
        let (rag, due) = (scene.rag, self.due_rows());
        let mut run = Asked {
            scene,
            endpoint,
            dimension: self.dimension,
            vectors: Vectors::new(
                scene.memory,
                self.text_hash.as_deref(),
                self.model
                    .as_deref()
                    .map(|column| (column, endpoint.model.as_str())),
                rag.hash,
                writer,
            ),
            refused_in_a_row: 0,
        };
        if run.is_probed(self.text_hash.as_deref(), rag)? {
            return Ok(false);
        }
        let condition = match self.text_hash {
            Some(_) => "1".to_owned(),
            None => format!("{} IS NULL", quote(&rag.tables.embedding_id)),
        };
        let selection = Selection::of(&self.chunks, &condition);
        let columns = self.columns(scene.memory, "1");
        let mut walk = selection.walk(&columns).or_bytes();
        let (most, mut waiting) = (rag.embedding.batch as usize, Vec::new());
        loop {
            scene.context.stop.check()?;
            let mut read = 0;
            let piece = walk
                .piece(scene.reader, PIECE, |row| enough(row, &mut read))
                .map_err(|error| scene.explain(error))?;
            let last = piece.is_empty();
            for row in piece {
                match self.due(row, rag) {
                    Due::Pending(item) | Due::Changed(item) => waiting.push(item),
                    _ => {}
                }
            }
            while waiting.len() >= most || (last && !waiting.is_empty()) {
                let batch: Vec<_> = waiting.drain(..most.min(waiting.len())).collect();
                if !run.batch(&batch, pace, &mut self.outcome)? {
                    return Ok(false);
                }
                scene
                    .report
                    .progress(self.outcome.done, due, Unit::Count, "texts embedded");
            }
            if last {
                return Ok(true);
            }
        }
    }
}

/// True once the rows of a piece are enough; `read` begins with 0.
fn enough(row: &[Value], read: &mut usize) -> bool {
    *read += row
        .iter()
        .map(|value| match value {
            Value::Blob(bytes) => bytes.len(),
            Value::Text(text) => text.len(),
            _ => 8,
        })
        .sum::<usize>();
    *read > PIECE_BYTES
}

/// A row of the embeddings can be made from what we have.
fn require_writable(memory: &Memory, looked: &Looked) -> anyhow::Result<()> {
    let (table, names) = (&memory.embeddings, &memory.names);
    let is_rowid = table
        .column(&names.id)
        .is_some_and(|one| one.key == 1 && one.declared.eq_ignore_ascii_case("INTEGER"));
    if !is_rowid || table.key.len() != 1 {
        return Err(refused(format!(
            "{}.{} is no INTEGER PRIMARY KEY, so only the application can give a new embedding its id",
            table.name, names.id
        ))
        .into());
    }
    let known = [
        Some(&names.vector),
        looked.text_hash.as_ref(),
        looked.model.as_ref(),
    ];
    let lacking: Vec<_> = table
        .columns
        .iter()
        .filter(|one| one.not_null && one.default.is_none() && one.key == 0 && !one.generated)
        .filter(|one| {
            !known
                .iter()
                .flatten()
                .any(|name| name.eq_ignore_ascii_case(&one.name))
        })
        .map(|one| one.name.as_str())
        .collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(refused(format!(
            "a new row of {} needs {}, which only the application knows",
            table.name,
            lacking.join(", ")
        ))
        .hint("give these columns a default value")
        .into()),
    }
}

/// Vectors of two models cannot be compared.
fn require_model(
    planner: &Planner<'_>,
    looked: &Looked,
    endpoint: &Endpoint,
) -> anyhow::Result<()> {
    let Some(column) = &looked.model else {
        return Ok(());
    };
    let column = quote(column);
    let sql = format!(
        "SELECT CAST({column} AS TEXT), count(*) FROM main.{} WHERE {column} IS NOT NULL AND {column} <> ?1 GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
        quote(&planner.memory.embeddings.name)
    );
    let found = planner.reader.query_row(&sql, [&endpoint.model], |row| {
        Ok((
            row.get::<_, Vec<u8>>(0)
                .or_else(|_| row.get::<_, String>(0).map(String::into_bytes))?,
            row.get::<_, i64>(1)?,
        ))
    });
    match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        Err(error) => Err(sqlite::explain(error, &planner.source.path, &planner.context.stop)),
        Ok((other, rows)) => Err(refused(format!(
            "{} are of the model {}, and [rag.embedding] model is {}: vectors of two models cannot be compared",
            units::count(rows.unsigned_abs(), "vector"),
            String::from_utf8_lossy(&other),
            endpoint.model
        ))
        .hint("name the model that the application uses, or have it embed all of them anew")
        .into()),
    }
}

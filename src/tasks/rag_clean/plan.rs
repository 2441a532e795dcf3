//! What each step would take, looked at read-only. A step counts as if those before it had been done, so that a dry run tells
//! what the real run does; each row is judged again when it goes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::duplicates::{Look, Twins};
use super::judge::Judge;
use super::memory::Memory;
use crate::archive::Source;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::{self, Kind, refused};
use crate::sqlite::{self, Selection, Table, TimeColumn, quote};
use crate::units::{self, Length};

/// An application that notes when it used an embedding has noted one within this time.
const MAINTAINED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A moment so far ahead was not written by an access.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// An embedding that was used so lately may be about to get its chunk.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);
/// Rows of values that are judged at once.
pub const PIECE: usize = 1_000;

/// Rows of one table that a step takes.
pub struct Removal {
    /// The step.
    pub step: RagStep,
    /// What they are: "idle embeddings".
    pub what: &'static str,
    /// Their table.
    pub table: Table,
    /// The rows as they are when it is their turn.
    pub selection: Selection,
    /// Those of them that are wrong; all where there is no judge.
    pub judge: Option<Judge>,
    /// What happens to the rows that belong to one.
    pub along: Along,
    /// How many there are.
    pub chosen: u64,
    /// How many rows of the other table change or go with them.
    pub others: u64,
    /// How many were looked at: the whole table.
    pub total: u64,
    /// How many have no value to tell it from, and stay.
    pub nulls: u64,
    /// One sentence on why.
    pub reason: String,
}

/// What happens to the rows that belong to a row that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Nothing belongs to it.
    Nothing,
    /// The chunks of an embedding go.
    Chunks,
    /// The chunks of an embedding wait for a new one.
    Pending,
    /// The embedding of a chunk goes where no other chunk points to it.
    Embedding,
}

/// Conditions on rows that steps before will have taken.
#[derive(Default)]
struct Gone {
    embeddings: Vec<String>,
    chunks: Vec<String>,
    embedding_rows: u64,
    chunk_rows: u64,
}

/// Looks for what the steps would take.
pub struct Planner<'a> {
    /// The settings.
    pub rag: &'a Rag,
    /// The tables.
    pub memory: &'a Memory,
    /// Reads.
    pub reader: &'a Connection,
    /// The database.
    pub source: &'a Source,
    /// The run.
    pub context: &'a Context,
    /// More than `max_fraction` may go.
    pub yes: bool,
    /// Parts of steps that were refused.
    pub refusals: Vec<anyhow::Error>,
    /// The chunks that say the same, once they were looked for.
    pub twins: Option<Twins>,
    gone: Gone,
}

impl<'a> Planner<'a> {
    /// Begins.
    pub fn new(
        rag: &'a Rag,
        memory: &'a Memory,
        reader: &'a Connection,
        source: &'a Source,
        context: &'a Context,
        yes: bool,
    ) -> Self {
        Self {
            rag,
            memory,
            reader,
            source,
            context,
            yes,
            refusals: Vec::new(),
            twins: None,
            gone: Gone::default(),
        }
    }

    /// What a step would take, in the order in which it goes; those without rows too. Refused where it is in doubt, or too much.
    /// `found` is what the steps before it take.
    pub fn step(&mut self, step: RagStep, found: &[Removal]) -> anyhow::Result<Vec<Removal>> {
        let before = (self.gone.embeddings.len(), self.gone.chunks.len());
        let rows = (self.gone.embedding_rows, self.gone.chunk_rows);
        let planned = match step {
            RagStep::Idle => self.idle(),
            RagStep::Orphans => self.orphans(),
            RagStep::Invalid => self.invalid(),
            RagStep::Duplicates => self.duplicates(found),
            RagStep::Quality => super::quality::look(self, found),
            // They take nothing: see `renew` and `run`.
            RagStep::Changed | RagStep::Optimize => Ok(Vec::new()),
        };
        if planned.is_err() {
            // What is refused does not go, and the steps behind it must not count on that.
            self.gone.embeddings.truncate(before.0);
            self.gone.chunks.truncate(before.1);
            (self.gone.embedding_rows, self.gone.chunk_rows) = rows;
        }
        planned
    }

    fn idle(&mut self) -> anyhow::Result<Vec<Removal>> {
        let names = &self.memory.names;
        let table = self
            .memory
            .embeddings(&[(&names.last_accessed, "last_accessed")])?;
        let now = self.context.now;
        let zoned = now.to_zoned(self.context.zone.clone());
        let cutoff = self.rag.max_idle.before(&zoned)?.timestamp();
        let cutoff = Timestamp::from_second(cutoff.as_second())?;
        let column = TimeColumn {
            table: &table.name,
            column: &names.last_accessed,
            filter: None,
        };
        let times = column.look(self.reader, cutoff, &self.source.path, &self.context.stop)?;
        let own = quote(&table.name);
        let mut removal = Removal {
            step: RagStep::Idle,
            what: "idle embeddings",
            table: table.clone(),
            selection: Selection::of(table, "0"),
            judge: None,
            along: Along::Chunks,
            chosen: 0,
            others: 0,
            total: times.rows,
            nulls: times.nulls,
            reason: String::new(),
        };
        let Some(format) = times.format else {
            return Ok(vec![removal]);
        };
        let place = |table: &str| format!("{table}.{}", quote(&names.last_accessed));
        let kept = format!(
            "({}) AND ({}) IS NOT TRUE",
            format.since(&place(&own), now - MAINTAINED),
            format.since(&place(&own), now + AHEAD)
        );
        if times.older > 0 && !self.any(&table.name, &kept)? {
            let newest = times.newest.unwrap_or(now);
            let age = now.duration_since(newest).unsigned_abs();
            return Err(refused(format!(
                "no value of {}.{} is from the last 7 days (the newest is {newest}, {} away): the application does not maintain it, so it does not tell what is idle",
                table.name,
                names.last_accessed,
                Length(age)
            ))
            .hint(format!(
                "have the application set {} at each use, or leave the step out: [rag] steps, or --step",
                names.last_accessed
            ))
            .into());
        }
        let old = format.older_than(&place(&own), cutoff);
        let condition = self.unreferenced(&old)?;
        removal.chosen = match times.older {
            0 => 0,
            _ => self.count(&table.name, &condition)?,
        };
        removal.selection = Selection::of(table, &condition);
        if let Some(chunks) = self.memory.pointing() {
            let of_idle = self.memory.has_embedding(
                &quote(&chunks.name),
                &format.older_than(&place("\"an embedding\""), cutoff),
            );
            if removal.chosen > 0 {
                removal.others = self.count(&chunks.name, &of_idle)?;
            }
            self.gone.chunks.push(of_idle);
        }
        removal.reason = format!(
            "{} of {} were last accessed before {cutoff} ({}: {format})",
            removal.chosen,
            units::count(times.rows, "embedding"),
            self.rag.max_idle
        );
        self.require_embeddings(&removal)?;
        self.require_chunks(removal.others, "chunks of idle embeddings", RagStep::Idle)?;
        self.gone.embeddings.push(condition);
        Ok(vec![removal])
    }

    fn orphans(&mut self) -> anyhow::Result<Vec<Removal>> {
        let names = &self.memory.names;
        let chunks = self
            .memory
            .chunks(&[(&names.embedding_id, "embedding_id")])?;
        let own = quote(&chunks.name);
        let total = self.count(&chunks.name, "1")?;
        let pending = self.count(
            &chunks.name,
            &format!("{own}.{} IS NULL", quote(&names.embedding_id)),
        )?;
        let mut found = Vec::new();
        let mut conditions = vec![(
            "chunks without their embedding",
            self.memory.without_embedding(&own),
        )];
        if let Some(condition) = self.memory.without_document(&own) {
            conditions.push(("chunks without their document", condition));
        }
        for (at, (what, condition)) in conditions.into_iter().enumerate() {
            let condition = self.unreferenced_chunk(&condition)?;
            let chosen = self.count(&chunks.name, &self.but_gone(&condition, &self.gone.chunks))?;
            self.require_chunks(chosen, what, RagStep::Orphans)?;
            self.gone.chunks.push(condition.clone());
            found.push(Removal {
                step: RagStep::Orphans,
                what,
                table: chunks.clone(),
                selection: Selection::of(chunks, &condition),
                judge: None,
                along: Along::Nothing,
                chosen,
                others: 0,
                total,
                nulls: if at == 0 { pending } else { 0 },
                reason: format!("{chosen} of {}", units::count(total, "chunk")),
            });
        }
        match self.embeddings_without_chunk() {
            Ok(removal) => found.push(removal),
            // What is in doubt of the embeddings is not in doubt of the chunks.
            Err(error) if error::kind_of(&error) == Kind::Refused => self.refusals.push(error),
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    /// Embeddings that no chunk points to. One that is newer than all that have a chunk, or was just used, may be about to get it.
    fn embeddings_without_chunk(&mut self) -> anyhow::Result<Removal> {
        let memory = self.memory;
        let names = &memory.names;
        let table = &memory.embeddings;
        let own = quote(&table.name);
        // As it is now: once chunks are gone, the newest that has one may be another.
        let newest: Option<String> = self
            .reader
            .query_row(
                &format!(
                    "SELECT quote(max({})) FROM main.{}",
                    quote(&names.embedding_id),
                    quote(&names.chunks)
                ),
                [],
                |row| row.get(0),
            )
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        let newest = newest.unwrap_or_else(|| "NULL".to_owned());
        let mut conditions = vec![format!("{own}.{} <= {newest}", quote(&names.id))];
        if table.column(&names.last_accessed).is_some() {
            let column = TimeColumn {
                table: &table.name,
                column: &names.last_accessed,
                filter: None,
            };
            let now = self.context.now;
            let times = column.look(self.reader, now, &self.source.path, &self.context.stop)?;
            if let Some(format) = times.format {
                let place = format!("{own}.{}", quote(&names.last_accessed));
                let young = format.since(&place, now - YOUNG);
                conditions.push(format!("({young}) IS NOT TRUE"));
            }
        }
        let act = |chunk: &str| -> String {
            let mut all = conditions.clone();
            all.push(format!("NOT {}", memory.has_chunk(&own, chunk)));
            all.join(" AND ")
        };
        let acting = self.unreferenced(&act("1"))?;
        // In the count the chunks that go before are gone already.
        let left: Vec<_> = memory
            .without_document("\"a chunk\"")
            .iter()
            .map(|condition| format!("({condition}) IS NOT TRUE"))
            .collect();
        let left = if left.is_empty() {
            "1".to_owned()
        } else {
            left.join(" AND ")
        };
        let counted = self.unreferenced(&act(&left))?;
        let counted = self.but_gone(&counted, &self.gone.embeddings);
        let chosen = self.count(&table.name, &counted)?;
        let total = self.count(&table.name, "1")?;
        let removal = Removal {
            step: RagStep::Orphans,
            what: "embeddings without a chunk",
            table: table.clone(),
            selection: Selection::of(table, &acting),
            judge: None,
            along: Along::Nothing,
            chosen,
            others: 0,
            total,
            nulls: 0,
            reason: format!("{chosen} of {}", units::count(total, "embedding")),
        };
        self.require_embeddings(&removal)?;
        self.gone.embeddings.push(counted);
        Ok(removal)
    }

    fn invalid(&mut self) -> anyhow::Result<Vec<Removal>> {
        let names = &self.memory.names;
        let table = self.memory.embeddings(&[(&names.vector, "vector")])?;
        let mut found = Vec::new();
        let dimension = dimension(self.reader, self.memory)
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))??;
        if let Some(dimension) = dimension {
            let acting = self.unreferenced("1")?;
            let mut removal = self.judged(
                table,
                "invalid vectors",
                Judge::vector(&names.vector, dimension),
                &acting,
                Along::Pending,
            )?;
            if let Some(chunks) = self.memory.pointing() {
                let may_wait = chunks
                    .column(&names.embedding_id)
                    .is_some_and(|one| !one.not_null);
                if !may_wait {
                    removal.along = Along::Chunks;
                }
            }
            self.require_embeddings(&removal)?;
            found.push(removal);
        }
        if let Some(chunks) = &self.memory.chunks
            && chunks.column(&names.text).is_some()
        {
            let acting = self.unreferenced_chunk("1")?;
            let along = match self.memory.pointing() {
                Some(_) => Along::Embedding,
                None => Along::Nothing,
            };
            let judge = Judge::text(&names.text, self.rag.min_text);
            let removal = self.judged(chunks, "chunks without text", judge, &acting, along)?;
            self.require_chunks(removal.chosen, removal.what, RagStep::Invalid)?;
            found.push(removal);
        }
        Ok(found)
    }

    fn duplicates(&mut self, before: &[Removal]) -> anyhow::Result<Vec<Removal>> {
        let look = Look {
            rag: self.rag,
            memory: self.memory,
            reader: self.reader,
            source: self.source,
            context: self.context,
            left: self.but_gone("1", &self.gone.chunks),
            before,
        };
        let (removal, twins) = look.look()?;
        self.twins = Some(twins); // told also where it is too much
        let embeddings = self.gone.embedding_rows + removal.others;
        let total = self.count(&self.memory.embeddings.name, "1")?;
        self.require_fraction(
            embeddings,
            total,
            "embeddings of duplicate chunks",
            RagStep::Duplicates,
        )?;
        self.require_chunks(removal.chosen, removal.what, RagStep::Duplicates)?;
        self.gone.embedding_rows = embeddings;
        Ok(vec![removal])
    }

    pub(super) fn judged(
        &self,
        table: &Table,
        what: &'static str,
        judge: Judge,
        acting: &str,
        along: Along,
    ) -> anyhow::Result<Removal> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let gone = match along {
            Along::Pending | Along::Chunks => &self.gone.embeddings,
            _ => &self.gone.chunks,
        };
        let looked = Selection::of(table, &self.but_gone(acting, gone));
        let column = quote(judge.column());
        let mut walk = looked.walk(std::slice::from_ref(&column));
        let (mut chosen, mut nulls) = (0, 0);
        let mut reasons = std::collections::BTreeMap::<&str, u64>::new();
        loop {
            self.context.stop.check()?;
            let piece = walk.piece(self.reader, PIECE, |_| false).map_err(wrong)?;
            if piece.is_empty() {
                break;
            }
            for row in &piece {
                let value = row.last().unwrap_or(&Value::Null);
                nulls += u64::from(*value == Value::Null);
                if let Some(reason) = judge.wrong(value.into()) {
                    chosen += 1;
                    *reasons.entry(reason).or_default() += 1;
                }
            }
        }
        let total = self.count(&table.name, "1")?;
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, rows)| format!("{rows}: {reason}"))
            .collect();
        Ok(Removal {
            step: RagStep::Invalid,
            what,
            table: table.clone(),
            selection: Selection::of(table, acting),
            judge: Some(judge),
            along,
            chosen,
            others: 0,
            total,
            nulls,
            reason: format!(
                "{chosen} of {} ({})",
                units::count(total, "row"),
                reasons.join("; ")
            ),
        })
    }

    /// The condition, and nothing else in the schema holds on to the embedding.
    pub(super) fn unreferenced(&self, condition: &str) -> anyhow::Result<String> {
        let references = self
            .memory
            .references(self.reader, self.source, self.context)?;
        Ok(hold_back(condition, &references, &self.memory.embeddings))
    }

    pub(super) fn unreferenced_chunk(&self, condition: &str) -> anyhow::Result<String> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let Some(chunks) = &self.memory.chunks else {
            return Ok(condition.to_owned());
        };
        let references = chunks.references(self.reader).map_err(wrong)?;
        chunks
            .require_short(self.reader, &references)
            .map_err(wrong)??;
        Ok(hold_back(condition, &references, chunks))
    }

    /// True for a chunk that none of the conditions so far takes.
    pub(super) fn chunks_left(&self) -> String {
        self.but_gone("1", &self.gone.chunks)
    }

    /// The same for embeddings.
    pub(super) fn embeddings_left(&self) -> String {
        self.but_gone("1", &self.gone.embeddings)
    }

    /// From now on those chunks count as gone.
    pub(super) fn takes_chunks(&mut self, condition: &str) {
        self.gone.chunks.push(condition.to_owned());
    }

    /// From now on those embeddings count as gone.
    pub(super) fn takes_embeddings(&mut self, condition: &str) {
        self.gone.embeddings.push(condition.to_owned());
    }

    fn but_gone(&self, condition: &str, gone: &[String]) -> String {
        let mut all = vec![format!("({condition})")];
        all.extend(gone.iter().map(|one| format!("({one}) IS NOT TRUE")));
        all.join(" AND ")
    }

    pub(super) fn count(&self, table: &str, condition: &str) -> anyhow::Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM main.{} WHERE {condition}",
            quote(table)
        );
        let rows: i64 = self
            .reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    pub(super) fn any(&self, table: &str, condition: &str) -> anyhow::Result<bool> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {condition})",
            quote(table)
        );
        self.reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))
    }

    pub(super) fn require_embeddings(&mut self, removal: &Removal) -> anyhow::Result<()> {
        let rows = self.gone.embedding_rows + removal.chosen;
        self.require_fraction(rows, removal.total, removal.what, removal.step)?;
        self.gone.embedding_rows = rows;
        Ok(())
    }

    pub(super) fn require_chunks(
        &mut self,
        rows: u64,
        what: &str,
        step: RagStep,
    ) -> anyhow::Result<()> {
        let Some(chunks) = &self.memory.chunks else {
            return Ok(());
        };
        let total = self.count(&chunks.name, "1")?;
        let rows = self.gone.chunk_rows + rows;
        self.require_fraction(rows, total, what, step)?;
        self.gone.chunk_rows = rows;
        Ok(())
    }

    pub(super) fn require_fraction(
        &self,
        rows: u64,
        total: u64,
        what: &str,
        step: RagStep,
    ) -> anyhow::Result<()> {
        let share = match total {
            0 => 0.0,
            total => rows as f64 / total as f64,
        };
        if self.yes || share <= self.rag.max_fraction {
            return Ok(());
        }
        Err(refused(format!(
            "with the {what} {rows} of {} would go ({:.1}%, limit {:.1}%)",
            units::count(total, "row"),
            share * 100.0,
            self.rag.max_fraction * 100.0
        ))
        .hint(format!(
            "empire-maint rag-clean --step {} --yes",
            super::word(step)
        ))
        .into())
    }
}

/// Rows of other tables without an action of their own keep theirs.
fn hold_back(condition: &str, references: &[sqlite::Reference], table: &Table) -> String {
    let mut all = vec![format!("({condition})")];
    all.extend(
        references
            .iter()
            .filter(|one| !one.has_action)
            .map(|one| format!("NOT {}", one.points_to(table))),
    );
    all.join(" AND ")
}

/// The dimension that more than half of the vectors have; `None` where there is no vector. Refused where no dimension has more.
pub fn dimension(
    connection: &Connection,
    memory: &Memory,
) -> rusqlite::Result<anyhow::Result<Option<usize>>> {
    let vector = quote(&memory.names.vector);
    // Counted here: a GROUP BY would sort the vectors themselves.
    let mut statement = connection.prepare(&format!(
        "SELECT length({vector}), typeof({vector}) = 'blob' FROM main.{} WHERE {vector} IS NOT NULL",
        quote(&memory.embeddings.name)
    ))?;
    let mut values = statement.query([])?;
    let (mut lengths, mut all) = (BTreeMap::<i64, u64>::new(), 0);
    while let Some(value) = values.next()? {
        all += 1;
        if value.get(1)? {
            *lengths.entry(value.get(0)?).or_default() += 1;
        }
    }
    if all == 0 {
        return Ok(Ok(None));
    }
    let most = lengths.into_iter().max_by_key(|(_, rows)| *rows);
    let (bytes, rows) = most.unwrap_or_default();
    if rows * 2 <= all || bytes == 0 || bytes % 4 != 0 {
        return Ok(Err(not_floats(memory).into()));
    }
    Ok(Ok(usize::try_from(bytes / 4).ok()))
}

fn not_floats(memory: &Memory) -> crate::error::Failure {
    refused(format!(
        "column {} of {} holds no BLOBs of 32-bit floats, or no length that most of them have",
        memory.names.vector, memory.embeddings.name
    ))
    .hint(format!(
        "SELECT typeof({0}), length({0}), count(*) FROM {1} GROUP BY 1, 2",
        quote(&memory.names.vector),
        quote(&memory.embeddings.name)
    ))
}

//! The steps that look at rows one by one: idle, orphans, invalid, duplicates.

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension as _;

use super::{AHEAD, MAINTAINED, Planner, YOUNG};
use crate::config::sections::{RagStep, RagTables};
use crate::error::{self, Failure, Kind, refused};
use crate::report::{Finding, Severity};
use crate::sqlite::{self, Selection, Table, TimeColumn, TimeFormat, quote};
use crate::tasks::rag_clean::dimension::Lengths;
use crate::tasks::rag_clean::duplicates::Look;
use crate::tasks::rag_clean::judge::{Judge, another_format};
use crate::tasks::rag_clean::memory::Pointer;
use crate::tasks::rag_clean::removal::{Along, Beyond, Removal};
use crate::tasks::rag_clean::word;
use crate::units::{self, Length};

/// An application hardly computes an embedding for longer.
const COMPUTED: SignedDuration = SignedDuration::from_hours(1);

/// Texts with bytes that are no text.
pub const DAMAGED: &str = "rag-clean.damaged-text";

/// So many embeddings are gone through for each chunk where no index finds them.
const FEW: u64 = 2_000;

impl Planner<'_> {
    pub(super) fn idle(&mut self) -> anyhow::Result<Vec<Removal>> {
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
            along: Along::Chunks,
            free: String::new(),
            chosen: 0,
            others: 0,
            beyond: Beyond::new(),
            total: times.rows,
            nulls: times.nulls,
            not_yet: 0,
            damaged: 0,
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
        let condition = self.unreferenced_with_chunks(&old)?;
        removal.chosen = match times.older {
            0 => 0,
            _ => self.count(&table.name, &condition)?,
        };
        removal.selection = Selection::of(table, &condition);
        removal.reason = format!(
            "{} of {} were last accessed before {cutoff} ({}: {format})",
            removal.chosen,
            units::count(times.rows, "embedding"),
            self.rag.max_idle
        );
        Ok(vec![self.take(removal)?])
    }

    pub(super) fn orphans(&mut self) -> anyhow::Result<Vec<Removal>> {
        let names = &self.memory.names;
        let chunks = self
            .memory
            .chunks(&[(&names.embedding_id, "embedding_id")])?;
        if self.count(&self.memory.embeddings.name, "1")? > FEW {
            let found = self.memory.require_ids(self.reader);
            found
                .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))??;
        }
        let own = quote(&chunks.name);
        let total = self.count(&chunks.name, "1")?;
        let pending = self.count(
            &chunks.name,
            &format!("{own}.{} IS NULL", quote(&names.embedding_id)),
        )?;
        let mut found = Vec::new();
        let mut pointers = vec![(
            "chunks without their embedding",
            self.memory.to_embeddings(),
        )];
        if let Some(pointer) = self.memory.to_documents() {
            pointers.push(("chunks without their document", pointer));
        }
        for (at, (what, pointer)) in pointers.into_iter().enumerate() {
            let lost = self.unreferenced_chunk(&pointer.is_lost())?;
            let Some(settled) = self.settled(chunks, &pointer)? else {
                if self.any(&chunks.name, &self.left(chunks, &lost))? {
                    self.refusals.push(
                        refused(format!(
                            "the keys of {} are no whole numbers: which of the {what} is about to get it cannot be told",
                            chunks.name
                        ))
                        .hint("have the application remove them itself")
                        .into(),
                    );
                }
                continue;
            };
            let condition = format!("({lost}) AND {settled}");
            let chosen = self.count(&chunks.name, &self.left(chunks, &condition))?;
            let all = self.count(&chunks.name, &self.left(chunks, &lost))?;
            found.push(self.take(Removal {
                step: RagStep::Orphans,
                what,
                table: chunks.clone(),
                selection: Selection::of(chunks, &condition),
                along: Along::Nothing,
                free: String::new(),
                chosen,
                others: 0,
                beyond: Beyond::new(),
                total,
                nulls: if at == 0 { pending } else { 0 },
                not_yet: all.saturating_sub(chosen),
                damaged: 0,
                reason: format!("{chosen} of {}", units::count(total, "chunk")),
            })?);
        }
        match self.embeddings_without_chunk() {
            Ok(removal) => found.push(removal),
            // What is in doubt of the embeddings is not in doubt of the chunks.
            Err(error) if error::kind_of(&error) == Kind::Refused => self.refusals.push(error),
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    /// SQL, true for a chunk that was there before others which have what they point to: what it points to is then no more about to be
    /// written. An application may write a chunk first, and its embedding once that is computed. `None` where keys say nothing of
    /// what was written when.
    fn settled(&self, chunks: &Table, pointer: &Pointer) -> anyhow::Result<Option<String>> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let own_key = chunks.own_key();
        let [key] = own_key.as_slice() else {
            return Ok(None);
        };
        let own = quote(&chunks.name);
        if self.any(&chunks.name, &format!("typeof({key}) <> 'integer'"))? {
            return Ok(None);
        }
        let newest = |condition: &str| -> anyhow::Result<Option<i64>> {
            let sql = format!(
                "SELECT {key} FROM main.{own} WHERE {condition} ORDER BY {key} DESC LIMIT 1"
            );
            let found = self.reader.query_row(&sql, [], |row| row.get(0));
            found.optional().map_err(wrong)
        };
        // Of several that are computed at once the later may be there first: better one whose embedding was not used lately, and so
        // was not written lately either.
        let newest = match self.last_accessed()? {
            None => newest(&pointer.leads)?,
            Some((place, format)) => {
                let old = |span: SignedDuration| {
                    let young = format.since(&place, self.context.now - span);
                    let old = self.memory.embedding_of_it(&format!("({young}) IS FALSE"));
                    newest(&format!("{} AND {old}", pointer.leads))
                };
                match old(YOUNG)? {
                    None => old(COMPUTED)?,
                    found => found,
                }
            }
        };
        let Some(newest) = newest else {
            return Ok(Some("0".to_owned()));
        };
        let Pointer {
            column, table, id, ..
        } = pointer;
        let sql = format!("SELECT max({id}) FROM main.{table} WHERE typeof({id}) = 'integer'");
        let last: Option<i64> = self
            .reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(wrong)?;
        Ok(Some(match last {
            // A text may be a number as well.
            Some(last) => format!("{key} <= {newest} AND CAST({column} AS NUMERIC) <= {last}"),
            None => format!("{key} <= {newest}"),
        }))
    }

    /// Where the time of the last access stands, and how it is written; `None` where that is not kept, or not in one form.
    fn last_accessed(&self) -> anyhow::Result<Option<(String, TimeFormat)>> {
        let (table, name) = (&self.memory.embeddings, &self.memory.names.last_accessed);
        if table.column(name).is_none() {
            return Ok(None);
        }
        let column = TimeColumn {
            table: &table.name,
            column: name,
            filter: None,
        };
        let now = self.context.now;
        let format = match column.look(self.reader, now, &self.source.path, &self.context.stop) {
            Ok(times) => times.format,
            // A column that mixes forms is told where it decides.
            Err(error) if error::kind_of(&error) == Kind::Refused => None,
            Err(error) => return Err(error),
        };
        let place = format!("{}.{}", quote(&table.name), quote(name));
        Ok(format.map(|format| (place, format)))
    }

    /// Embeddings that no chunk points to. One that is newer than all that have a chunk, or was just used, may be about to get it.
    fn embeddings_without_chunk(&mut self) -> anyhow::Result<Removal> {
        let memory = self.memory;
        let names = &memory.names;
        let table = &memory.embeddings;
        let own = quote(&table.name);
        // As it is now: once chunks are gone, the newest that has one may be another. Ids that are no numbers say nothing of that.
        let newest: Option<Option<i64>> = self
            .reader
            .query_row(
                &format!(
                    "SELECT max({own}.{id}), max(typeof({own}.{id}) <> 'integer') FROM main.{own} WHERE {}",
                    memory.chunk_of_it("1"),
                    id = quote(&names.id)
                ),
                [],
                |row| match row.get::<_, Option<bool>>(1)? {
                    Some(true) => Ok(None),
                    _ => row.get(0).map(Some),
                },
            )
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        let mut conditions = match newest {
            Some(Some(newest)) => vec![format!("{own}.{} <= {newest}", quote(&names.id))],
            Some(None) => vec!["0".to_owned()],
            None => Vec::new(),
        };
        let mut dated = false;
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
                let not_young = match newest {
                    Some(_) => "IS NOT TRUE",
                    None => "IS FALSE",
                };
                conditions.push(format!("({young}) {not_young}"));
                dated = true;
            }
        }
        if newest.is_none() && !dated {
            return Err(refused(format!(
                "the ids of {} are no numbers and {} tells nothing: which embedding is about to get its chunk cannot be told",
                table.name, names.last_accessed
            ))
            .hint("have the application set it, or remove embeddings without a chunk itself")
            .into());
        }
        // That of a memory in quarantine waits for it, wherever it could not go along.
        let kept = RagTables::quarantine(&names.chunks);
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let kept_columns = sqlite::columns(self.reader, &kept).map_err(wrong)?;
        if kept_columns
            .iter()
            .any(|one| one.name.eq_ignore_ascii_case(&names.embedding_id))
        {
            let (kept, pointer) = (quote(&kept), quote(&names.embedding_id));
            conditions.push(format!(
                "{own}.{} NOT IN (SELECT {pointer} FROM main.{kept} WHERE {pointer} IS NOT NULL)",
                quote(&names.id)
            ));
        }
        let without = |chunk: &str| -> String {
            let mut all = conditions.clone();
            all.push(format!("NOT {}", memory.chunk_of_it(chunk)));
            all.join(" AND ")
        };
        let acting = self.unreferenced(&without("1"))?;
        // In the count the chunks that go before are gone already.
        let left = match &memory.chunks {
            Some(chunks) => self.left(chunks, "1"),
            None => "1".to_owned(),
        };
        let counted = self.unreferenced(&without(&left))?;
        let chosen = self.count(&table.name, &self.left(table, &counted))?;
        let total = self.count(&table.name, "1")?;
        let mut removal = Removal {
            step: RagStep::Orphans,
            what: "embeddings without a chunk",
            table: table.clone(),
            selection: Selection::of(table, &acting),
            along: Along::Nothing,
            free: String::new(),
            chosen,
            others: 0,
            beyond: Beyond::new(),
            total,
            nulls: 0,
            not_yet: 0,
            damaged: 0,
            reason: format!("{chosen} of {}", units::count(total, "embedding")),
        };
        removal.beyond = self.beyond(table, &self.left(table, &counted))?;
        self.require_beyond(&removal)?;
        self.require(table, chosen, removal.what, removal.step)?;
        self.takes(table, counted);
        Ok(removal)
    }

    pub(super) fn invalid(&mut self) -> anyhow::Result<Vec<Removal>> {
        let names = &self.memory.names;
        let table = self.memory.embeddings(&[(&names.vector, "vector")])?;
        let mut found = Vec::new();
        let lengths = Lengths::of(self.reader, self.memory)
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        if let Some(dimension) = lengths.dimension(self.memory)? {
            match self.invalid_vectors(table, &lengths, dimension)? {
                Ok(removal) => found.push(self.take(removal)?),
                // Of the texts nothing is in doubt.
                Err(why) => self.refusals.push(why.into()),
            }
        }
        if let Some(chunks) = &self.memory.chunks
            && chunks.column(&names.text).is_some()
        {
            let along = match self.memory.pointing() {
                Some(_) => Along::Embedding,
                None => Along::Nothing,
            };
            let removal = self.judged(
                RagStep::Invalid,
                chunks,
                "chunks without text",
                &Judge::text(&chunks.name, &names.text, self.rag.min_text),
                &self.unreferenced_chunk("1")?,
                along,
            )?;
            if removal.damaged > 0 {
                self.findings.push(damaged(&removal, &names.text));
            }
            found.push(self.take(removal)?);
        }
        Ok(found)
    }

    /// Refused where vectors that look wrong may be right.
    fn invalid_vectors(
        &self,
        table: &Table,
        lengths: &Lengths,
        dimension: usize,
    ) -> anyhow::Result<Result<Removal, Failure>> {
        if let Some(why) = lengths.in_doubt(self.memory) {
            return Ok(Err(why));
        }
        let names = &self.memory.names;
        let may_wait = self.memory.pointing().is_none_or(|chunks| {
            let pointer = chunks.column(&names.embedding_id);
            pointer.is_some_and(|one| !one.not_null && one.key == 0)
        });
        let (along, acting) = match may_wait {
            true => (Along::Pending, self.unreferenced("1")?),
            false => (Along::Chunks, self.unreferenced_with_chunks("1")?),
        };
        let removal = self.judged(
            RagStep::Invalid,
            table,
            "invalid vectors",
            &Judge::vector(&table.name, &names.vector, dimension),
            &acting,
            along,
        )?;
        if removal.chosen == 0 {
            return Ok(Ok(removal));
        }
        let format = another_format(&table.name, &names.vector, dimension);
        let strange = self.count(&table.name, &format)?;
        if strange <= removal.total / 10 {
            return Ok(Ok(removal));
        }
        Ok(Err(refused(format!(
            "{strange} of {} of {} hold numbers that no model writes as 32-bit floats: column {} looks like another number format (64-bit floats, whole numbers of 8 bits)",
            units::count(removal.total, "row"),
            table.name,
            names.vector
        ))
        .hint("[rag.tables] vector names a column of 32-bit floats; where there is none, leave the step out: [rag] steps, or --step")))
    }

    pub(super) fn duplicates(&mut self) -> anyhow::Result<Vec<Removal>> {
        let left = |table: &Table| self.left(table, "1");
        let look = Look {
            rag: self.rag,
            memory: self.memory,
            reader: self.reader,
            source: self.source,
            context: self.context,
            chunks_left: self.memory.chunks.as_ref().map_or_else(String::new, left),
            embeddings_left: left(&self.memory.embeddings),
        };
        let (removal, twins) = look.look()?;
        self.twins = Some(twins); // told also where it is too much
        self.require(
            &self.memory.embeddings,
            removal.others,
            "embeddings of duplicate chunks",
            RagStep::Duplicates,
        )?;
        self.require(
            &removal.table,
            removal.chosen,
            removal.what,
            RagStep::Duplicates,
        )?;
        self.takes_twins(&removal)?;
        Ok(vec![removal])
    }
}

fn damaged(removal: &Removal, column: &str) -> Finding {
    let table = &removal.table;
    let message = format!(
        "{} of {}.{column} hold bytes that are no text: they stay",
        units::count(removal.damaged, "row"),
        table.name
    );
    Finding::new(DAMAGED, Severity::Low, word(removal.step), message)
        .hint("have the application write them anew; rag-eval --only memories reads what can be read of them")
}

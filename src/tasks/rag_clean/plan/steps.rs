//! The steps that look at rows one by one: idle, orphans, invalid, duplicates.

use jiff::Timestamp;

use super::{AHEAD, Along, MAINTAINED, Planner, Removal, YOUNG, dimension};
use crate::config::sections::{RagStep, RagTables};
use crate::error::{self, Kind, refused};
use crate::sqlite::{self, Selection, TimeColumn, quote};
use crate::tasks::rag_clean::duplicates::Look;
use crate::tasks::rag_clean::judge::Judge;
use crate::units::{self, Length};

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
        let mut condition = self.unreferenced(&old)?;
        if let Some(chunks) = self.memory.pointing() {
            // Nor to one of its chunks, which would go with it.
            condition = format!(
                "{condition} AND NOT EXISTS (SELECT 1 FROM main.{0} WHERE {0}.{1} = {own}.{2} AND NOT ({3}))",
                quote(&chunks.name),
                quote(&names.embedding_id),
                quote(&names.id),
                self.unreferenced_chunk("1")?
            );
        }
        removal.chosen = match times.older {
            0 => 0,
            _ => self.count(&table.name, &condition)?,
        };
        removal.selection = Selection::of(table, &condition);
        if let Some(chunks) = self.memory.pointing() {
            let of_idle = format!(
                "EXISTS (SELECT 1 FROM main.{own} WHERE {own}.{} = {}.{} AND {condition})",
                quote(&names.id),
                quote(&chunks.name),
                quote(&names.embedding_id)
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

    pub(super) fn orphans(&mut self) -> anyhow::Result<Vec<Removal>> {
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

    pub(super) fn invalid(&mut self) -> anyhow::Result<Vec<Removal>> {
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

    pub(super) fn duplicates(&mut self, before: &[Removal]) -> anyhow::Result<Vec<Removal>> {
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
}

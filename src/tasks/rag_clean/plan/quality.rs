//! Memories that nobody needs, by the application's own count of retrievals: never retrieved for a long time; never retrieved and
//! of a text that says nothing. Where nothing is counted, nothing goes.

use jiff::Timestamp;

use super::Planner;
use crate::config::sections::RagStep;
use crate::error::refused;
use crate::sqlite::{Selection, Table, TimeColumn, TimeFormat, quote};
use crate::tasks::rag_clean::judge::Judge;
use crate::tasks::rag_clean::removal::{Along, Beyond, Removal};
use crate::units;

/// Where retrievals are counted.
struct Statistics<'a> {
    table: &'a Table,
    of_embeddings: bool,
    retrievals: String,
    age: String,
    format: Option<TimeFormat>,
    cutoff: Timestamp,
    total: u64,
    nulls: u64,
}

impl Statistics<'_> {
    fn column(&self, name: &str) -> String {
        format!("{}.{}", quote(&self.table.name), quote(name))
    }

    /// SQL, true for a row that was never retrieved; never where nobody knows.
    fn unused(&self) -> String {
        let column = self.column(&self.retrievals);
        format!("typeof({column}) IN ('integer', 'real') AND {column} = 0")
    }

    fn unused_for_long(&self) -> String {
        match self.format {
            Some(format) => format!(
                "{} AND {}",
                self.unused(),
                format.older_than(&self.column(&self.age), self.cutoff)
            ),
            None => "0".to_owned(),
        }
    }
}

/// What the step takes, once what the steps before take is gone.
pub fn look(planner: &mut Planner<'_>) -> anyhow::Result<Vec<Removal>> {
    let memory = planner.memory;
    let statistics = statistics(planner)?;
    let mut found = vec![never_retrieved(planner, &statistics)?];
    let names = &memory.names;
    if let Some(chunks) = &memory.chunks
        && chunks.column(&names.text).is_some()
    {
        let unused = match statistics.of_embeddings {
            false => statistics.unused(),
            true => {
                memory.chunks(&[(&names.embedding_id, "embedding_id")])?;
                memory.embedding_of_it(&planner.left(&memory.embeddings, &statistics.unused()))
            }
        };
        let along = match memory.pointing() {
            Some(_) => Along::Embedding,
            None => Along::Nothing,
        };
        let removal = planner.judged(
            RagStep::Quality,
            chunks,
            "texts that say nothing",
            &Judge::quality(&chunks.name, &names.text, planner.rag.min_text),
            &planner.unreferenced_chunk(&unused)?,
            along,
        )?;
        found.push(planner.take(removal)?);
    }
    Ok(found)
}

fn statistics<'a>(planner: &Planner<'a>) -> anyhow::Result<Statistics<'a>> {
    let memory = planner.memory;
    let names = &memory.names;
    let has = |table: &Table| table.column(&names.retrievals).is_some();
    let (table, of_embeddings) = match &memory.chunks {
        _ if has(&memory.embeddings) => (&memory.embeddings, true),
        Some(chunks) if has(chunks) => (chunks, false),
        _ => {
            return Err(refused(format!(
                "neither {} nor {} has a column {}: nothing tells which memories are retrieved",
                memory.embeddings.name, names.chunks, names.retrievals
            ))
            .hint("[rag.tables] retrievals names the column that the application counts in; or leave the step out")
            .into());
        }
    };
    let age = [&names.created_at, &names.last_accessed]
        .into_iter()
        .find(|name| table.column(name).is_some())
        .ok_or_else(|| {
            refused(format!(
                "{} has neither {} nor {}: nothing tells how old a memory is",
                table.name, names.created_at, names.last_accessed
            ))
            .hint("[rag.tables] created_at names the column")
        })?;
    let retrievals = quote(&names.retrievals);
    if !planner.any(
        &table.name,
        &format!("typeof({retrievals}) IN ('integer', 'real') AND {retrievals} > 0"),
    )? {
        return Err(refused(format!(
            "{}.{} is above 0 in no row: the application does not count in it, so it does not tell what is never retrieved",
            table.name, names.retrievals
        ))
        .hint("have the application count each retrieval, or leave the step out: [rag] steps, or --step")
        .into());
    }
    let zoned = planner.context.now.to_zoned(planner.context.zone.clone());
    let cutoff = planner
        .rag
        .quality
        .never_retrieved
        .before(&zoned)?
        .timestamp();
    let cutoff = Timestamp::from_second(cutoff.as_second())?;
    let column = TimeColumn {
        table: &table.name,
        column: age,
        filter: None,
    };
    let times = column.look(
        planner.reader,
        cutoff,
        &planner.source.path,
        &planner.context.stop,
    )?;
    let nulls = planner.count(
        &table.name,
        &format!("{retrievals} IS NULL OR {} IS NULL", quote(age)),
    )?;
    Ok(Statistics {
        table,
        of_embeddings,
        retrievals: names.retrievals.clone(),
        age: age.clone(),
        format: times.format,
        cutoff,
        total: times.rows,
        nulls,
    })
}

fn never_retrieved(
    planner: &mut Planner<'_>,
    statistics: &Statistics<'_>,
) -> anyhow::Result<Removal> {
    let memory = planner.memory;
    let table = statistics.table;
    let condition = statistics.unused_for_long();
    let (condition, along) = match statistics.of_embeddings {
        true => (planner.unreferenced_with_chunks(&condition)?, Along::Chunks),
        false => (
            planner.unreferenced_chunk(&condition)?,
            memory
                .pointing()
                .map_or(Along::Nothing, |_| Along::Embedding),
        ),
    };
    let chosen = planner.count(&table.name, &planner.left(table, &condition))?;
    planner.take(Removal {
        step: RagStep::Quality,
        what: "memories never retrieved",
        table: table.clone(),
        selection: Selection::of(table, &condition),
        along,
        free: String::new(),
        chosen,
        others: 0,
        beyond: Beyond::new(),
        total: statistics.total,
        nulls: statistics.nulls,
        not_yet: 0,
        damaged: 0,
        reason: format!(
            "{chosen} of {} were not retrieved once and are from before {} ({})",
            units::count(statistics.total, "row"),
            statistics.cutoff,
            planner.rag.quality.never_retrieved
        ),
    })
}

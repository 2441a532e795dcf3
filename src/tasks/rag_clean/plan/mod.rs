//! What each step would take, looked at read-only. A step counts as if those before it had been done, so that a dry run tells
//! what the real run does; each row is judged again when it goes.

mod quality;
mod steps;

pub use steps::DAMAGED;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use rusqlite::Connection;

use super::duplicates::Twins;
use super::judge::{self, Judge};
use super::memory::Memory;
use super::removal::{Along, Beyond, Removal};
use crate::archive::Source;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::refused;
use crate::report::Finding;
use crate::sqlite::{self, Cascade, Gone as GoneRows, Row, Selection, Table, quote};
use crate::units;

/// An application that notes when it used an embedding has noted one within this time.
const MAINTAINED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A moment so far ahead was not written by an access.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// An embedding that was used so lately may be about to get its chunk.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);

/// What the steps so far take of a table.
#[derive(Clone, Default)]
struct Gone {
    /// True for a row that one of them takes.
    conditions: Vec<String>,
    rows: u64,
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
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// The chunks that say the same, once they were looked for.
    pub twins: Option<Twins>,
    gone_embeddings: Gone,
    gone_chunks: Gone,
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
            findings: Vec::new(),
            twins: None,
            gone_embeddings: Gone::default(),
            gone_chunks: Gone::default(),
        }
    }

    /// What a step would take, in the order in which it goes; those without rows too. Refused where it is in doubt, or too much.
    /// `allow` may refuse it too.
    pub fn step(
        &mut self,
        step: RagStep,
        allow: impl FnOnce(&[Removal]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Removal>> {
        let before = (self.gone_embeddings.clone(), self.gone_chunks.clone());
        let unique = self.memory.require_unique(self.reader);
        unique.map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))??;
        let planned = match step {
            RagStep::Idle => self.idle(),
            RagStep::Orphans => self.orphans(),
            RagStep::Invalid => self.invalid(),
            RagStep::Duplicates => self.duplicates(),
            RagStep::Quality => quality::look(self),
            // They take nothing: see `renew` and `run`.
            RagStep::Changed | RagStep::Optimize => Ok(Vec::new()),
        };
        let planned = planned.and_then(|planned| allow(&planned).map(|()| planned));
        if planned.is_err() {
            // What is refused does not go, and the steps behind it must not count on that.
            (self.gone_embeddings, self.gone_chunks) = before;
        }
        planned
    }

    /// The rows with a value that is wrong, of those for which `acting` is true, counted by what is wrong with them.
    pub(super) fn judged(
        &self,
        step: RagStep,
        table: &Table,
        what: &'static str,
        judge: &Judge,
        acting: &str,
        along: Along,
    ) -> anyhow::Result<Removal> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let Judge {
            why,
            unjudged,
            damaged,
        } = judge;
        let mut statement = self
            .reader
            .prepare(&format!(
                "SELECT {unjudged}, {why}, {damaged} FROM main.{} WHERE {}",
                quote(&table.name),
                self.left(table, acting)
            ))
            .map_err(wrong)?;
        let mut rows = statement.query([]).map_err(wrong)?;
        let (mut chosen, mut nulls, mut damaged) = (0, 0, 0);
        let mut reasons = BTreeMap::<String, u64>::new();
        // Counted here: a GROUP BY would sort all rows.
        while let Some(row) = rows.next().map_err(wrong)? {
            nulls += u64::from(row.get::<_, bool>(0).map_err(wrong)?);
            damaged += u64::from(row.get::<_, bool>(2).map_err(wrong)?);
            if let Some(reason) = row.get::<_, Option<String>>(1).map_err(wrong)? {
                chosen += 1;
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let total = self.count(&table.name, "1")?;
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, rows)| format!("{rows}: {reason}"))
            .collect();
        Ok(Removal {
            step,
            what,
            table: table.clone(),
            selection: Selection::of(table, &format!("{why} IS NOT NULL AND ({acting})")),
            along,
            free: String::new(),
            chosen,
            others: 0,
            beyond: Beyond::new(),
            total,
            nulls,
            not_yet: 0,
            damaged,
            reason: format!(
                "{chosen} of {} ({})",
                units::count(total, "row"),
                reasons.join("; ")
            ),
        })
    }

    /// Counts what goes along, refuses too much of either, and from now on counts all of it as gone.
    pub(super) fn take(&mut self, mut removal: Removal) -> anyhow::Result<Removal> {
        if removal.chosen == 0 {
            return Ok(removal);
        }
        let rows = removal.selection.condition();
        if removal.along == Along::Embedding {
            removal.free = self.unreferenced("1")?;
        }
        let others = self.along(&removal, &rows)?;
        if let Some((table, condition)) = &others {
            removal.others = self.count(&table.name, &self.left(table, condition))?;
        }
        removal.beyond = self.beyond(&removal.table, &self.left(&removal.table, &rows))?;
        if let Some((table, condition)) = others.as_ref().filter(|_| removal.goes_along()) {
            for (child, rows) in self.beyond(table, &self.left(table, condition))? {
                *removal.beyond.entry(child).or_default() += rows;
            }
        }
        self.require_beyond(&removal)?;
        self.require(&removal.table, removal.chosen, removal.what, removal.step)?;
        self.takes(&removal.table, rows);
        if let Some((table, condition)) = others.filter(|_| removal.goes_along()) {
            let along = match removal.along {
                Along::Embedding => "embeddings",
                _ => "chunks",
            };
            let what = format!("{along} of {}", removal.what);
            self.require(table, removal.others, &what, removal.step)?;
            self.takes(table, condition);
        }
        Ok(removal)
    }

    /// Rows of tables that are no part of the memory and go along, or change, with those of `table` for which the condition is true.
    pub(super) fn beyond(&self, table: &Table, condition: &str) -> anyhow::Result<Beyond> {
        let (path, stop) = (&self.source.path, &self.context.stop);
        let wrong = |error| sqlite::explain(error, path, stop);
        let chunks = self.memory.chunks.iter();
        let own: Vec<_> = chunks.chain([&self.memory.embeddings]).collect();
        let is_own = |name: &str| own.iter().any(|one| one.name.eq_ignore_ascii_case(name));
        let mut found = Beyond::new();
        let references = table.references(self.reader).map_err(wrong)?;
        for reference in references.iter().filter(|one| one.has_action) {
            let Some(child) = Table::find(self.reader, &reference.child, path, stop)? else {
                continue;
            };
            if is_own(&child.name) {
                continue; // what goes there is what the step says
            }
            let pointing = reference.points_from(table, condition);
            *found.entry(child.name.clone()).or_default() += self.count(&child.name, &pointing)?;
            if reference.cascades {
                let below =
                    Cascade::of(self.reader, &child, true, &GoneRows::default(), path, stop)?;
                let counted = below.count_along(self.reader, &pointing).map_err(wrong)?;
                for (name, rows) in counted.into_iter().filter(|(name, _)| !is_own(name)) {
                    *found.entry(name).or_default() += rows;
                }
            }
        }
        found.retain(|_, rows| *rows > 0);
        Ok(found)
    }

    /// No more of these either than of the memory itself.
    pub(super) fn require_beyond(&self, removal: &Removal) -> anyhow::Result<()> {
        for (table, rows) in &removal.beyond {
            let total = self.count(table, "1")?;
            let what = format!(
                "{} rows of {table}, which the schema lets go along or changes,",
                removal.what
            );
            self.require_fraction(*rows, total, &what, removal.step)?;
        }
        Ok(())
    }

    /// From now on duplicates count as gone, which no condition on their values tells.
    pub(super) fn takes_twins(&mut self, removal: &Removal) -> anyhow::Result<()> {
        let pairs = self.twins.iter().flat_map(|twins| &twins.pairs);
        let keys: Vec<Row> = pairs.map(|pair| pair.removed.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let is_twin = judge::teach_keys(self.reader, &removal.table, &keys)
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        let others = self.along(removal, &is_twin)?;
        self.takes(&removal.table, is_twin);
        if let Some((table, condition)) = others {
            self.takes(table, condition);
        }
        Ok(())
    }

    /// The table of what belongs to these `rows` of a removal, and what tells it.
    fn along(&self, removal: &Removal, rows: &str) -> anyhow::Result<Option<(&'a Table, String)>> {
        let memory = self.memory;
        let Some(chunks) = memory.pointing() else {
            return Ok(None);
        };
        Ok(match removal.along {
            Along::Nothing => None,
            Along::Chunks | Along::Pending => {
                let goes = self.left(&removal.table, rows);
                Some((chunks, memory.embedding_of_it(&goes)))
            }
            Along::Embedding => {
                let goes = self.left(chunks, rows);
                let stays = self.left(chunks, &format!("({rows}) IS NOT TRUE"));
                let condition = format!(
                    "{} AND NOT {}",
                    memory.chunk_of_it(&goes),
                    memory.chunk_of_it(&stays)
                );
                // Looking for the other chunks of an embedding is short then.
                let condition = self.unreferenced(&condition)?;
                Some((&memory.embeddings, condition))
            }
        })
    }

    fn gone(&self, table: &Table) -> &Gone {
        match self.memory.is_of_embeddings(table) {
            true => &self.gone_embeddings,
            false => &self.gone_chunks,
        }
    }

    fn gone_mut(&mut self, table: &Table) -> &mut Gone {
        match self.memory.is_of_embeddings(table) {
            true => &mut self.gone_embeddings,
            false => &mut self.gone_chunks,
        }
    }

    /// From now on rows for which the condition is true count as gone.
    pub(super) fn takes(&mut self, table: &Table, condition: String) {
        self.gone_mut(table).conditions.push(condition);
    }

    /// True for a row that is left by the steps so far and for which the condition is true.
    pub(super) fn left(&self, table: &Table, condition: &str) -> String {
        let gone = &self.gone(table).conditions;
        let mut all = vec![format!("({condition})")];
        all.extend(gone.iter().map(|one| format!("({one}) IS NOT TRUE")));
        all.join(" AND ")
    }

    /// The condition, and nothing else in the schema holds on to the embedding.
    pub(super) fn unreferenced(&self, condition: &str) -> anyhow::Result<String> {
        let references = self
            .memory
            .references(self.reader, self.source, self.context)?;
        Ok(hold_back(condition, &references, &self.memory.embeddings))
    }

    /// The same, and nothing holds on to one of its chunks, which would go with it.
    pub(super) fn unreferenced_with_chunks(&self, condition: &str) -> anyhow::Result<String> {
        let condition = self.unreferenced(condition)?;
        if self.memory.pointing().is_none() {
            return Ok(condition);
        }
        let held = format!("({}) IS NOT TRUE", self.unreferenced_chunk("1")?);
        Ok(format!(
            "{condition} AND NOT {}",
            self.memory.chunk_of_it(&held)
        ))
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

    /// Refuses more than `max_fraction` of a table, with what the steps before take of it.
    pub(super) fn require(
        &mut self,
        table: &Table,
        rows: u64,
        what: &str,
        step: RagStep,
    ) -> anyhow::Result<()> {
        let total = self.count(&table.name, "1")?;
        let rows = self.gone(table).rows + rows;
        self.require_fraction(rows, total, what, step)?;
        self.gone_mut(table).rows = rows;
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

/// Rows of other tables without an action of their own keep theirs, and rows of the same table that would go along: nobody said that
/// they may.
fn hold_back(condition: &str, references: &[sqlite::Reference], table: &Table) -> String {
    let mut all = vec![format!("({condition})")];
    let own = |one: &sqlite::Reference| one.child.eq_ignore_ascii_case(&table.name);
    all.extend(
        references
            .iter()
            .filter(|one| !one.pairs.is_empty())
            .filter(|one| !one.has_action || (one.cascades && own(one)))
            .map(|one| format!("NOT {}", one.points_to(table))),
    );
    all.join(" AND ")
}

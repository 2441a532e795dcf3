//! What the report tells of the groups.

use rusqlite::{OptionalExtension as _, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;

use super::read::Chunks;
use super::{Look, SHOWN_IDS};
use crate::report::{Cell, Document, Reporter};
use crate::similar::{Group, Kind};
use crate::sqlite::{Table, quote};
use crate::units;

/// Groups of chunks that say the same.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// How many.
    pub(super) groups: u64,
    /// Chunks in the largest of them, the kept one too.
    pub(super) largest: u64,
    /// Chunks with the same text as the one that is kept.
    pub(super) same: u64,
    /// Chunks with nearly the same text.
    pub(super) near: u64,
    /// Chunks with nearly the same vector.
    pub(super) vector: u64,
    /// Rows of other tables that point to the one that is kept since.
    pub moved: u64,
    /// Rows of other tables that went: beside one that already pointed to the one that is kept, a unique index has no room for them.
    pub dropped: u64,
    /// The largest groups.
    pub(super) samples: Vec<Sample>,
}

/// One group.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Sample {
    /// The id of the chunk that is kept.
    kept: String,
    /// Ids of those that go, at most 20 of them.
    removed: Vec<String>,
    /// How many go.
    count: u64,
    /// `same` text, `near`ly the same text, nearly the same `vector`: the last of these that is in it.
    kind: &'static str,
    /// How alike the one is that is the least like the kept one, 0 to 1.
    least: f64,
}

impl Outcome {
    /// Its figures.
    pub fn measure(&self, report: &Reporter) {
        let measure = |name, value: u64| report.measure(name, value as f64, "", []);
        measure("rag_duplicate_groups", self.groups);
        measure("rag_duplicate_largest_group", self.largest);
        measure("rag_references_moved", self.moved);
        measure("rag_references_dropped", self.dropped);
    }

    /// What became of the rows that pointed to what went; nothing where there was none.
    pub fn followed(&self) -> Option<String> {
        (self.moved + self.dropped > 0).then(|| {
            format!(
                "{} elsewhere followed, {} gone that would have been there twice",
                units::count(self.moved, "row"),
                self.dropped
            )
        })
    }
}

/// For people.
pub fn table(outcome: &Outcome) -> Document {
    Document::Table(crate::report::Table {
        title: "Groups of duplicates".to_owned(),
        columns: vec!["kept", "others", "ids", "by", "likeness"],
        rows: outcome
            .samples
            .iter()
            .map(|one| {
                let mut ids = one.removed.join(", ");
                if one.removed.len() < usize::try_from(one.count).unwrap_or(usize::MAX) {
                    ids.push_str(", …");
                }
                vec![
                    Cell::Text(one.kept.clone()),
                    Cell::Count(one.count),
                    Cell::Text(ids),
                    Cell::Text(one.kind.to_owned()),
                    // Rounded up it would say that nothing differs.
                    Cell::Percent((one.least * 100.0).floor()),
                ]
            })
            .collect(),
    })
}

pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Same => "same text",
        Kind::Near => "near text",
        Kind::Vector => "vector",
    }
}

impl Look<'_> {
    pub(super) fn samples(
        &self,
        table: &Table,
        chunks: &Chunks,
        groups: &[Group],
    ) -> anyhow::Result<Vec<Sample>> {
        let wrong = |error| self.explain(error);
        // As other tables call it, where it has such an id.
        let id = &self.memory.names.chunks_id;
        let shown = table.column(id).map(|column| column.name.clone());
        let shown = shown
            .or_else(|| table.key.first().cloned())
            .unwrap_or_default();
        let mut statement = self
            .reader
            .prepare(&format!(
                "SELECT CAST({} AS TEXT) FROM main.{} WHERE {}",
                quote(&shown),
                quote(&table.name),
                table.key_is()
            ))
            .map_err(wrong)?;
        let mut name = |item: u32| -> anyhow::Result<String> {
            let key = chunks.keys.get(item);
            let found: Option<Option<String>> = statement
                .query_row(params_from_iter(&key), |row| row.get(0))
                .optional()
                .map_err(wrong)?;
            Ok(crate::text::clean(&crate::text::shorten(
                &found.flatten().unwrap_or_default(),
                60,
            )))
        };
        groups
            .iter()
            .map(|group| {
                let shown = group.members.iter().take(SHOWN_IDS);
                let rank = |kind: Kind| match kind {
                    Kind::Same => 0,
                    Kind::Near => 1,
                    Kind::Vector => 2,
                };
                let kinds = group.members.iter().map(|member| member.kind);
                Ok(Sample {
                    kept: name(group.kept)?,
                    removed: shown
                        .map(|member| name(member.item))
                        .collect::<anyhow::Result<_>>()?,
                    count: group.members.len() as u64,
                    kind: word(kinds.max_by_key(|kind| rank(*kind)).unwrap_or(Kind::Same)),
                    least: group
                        .members
                        .iter()
                        .map(|member| member.likeness)
                        .fold(1.0, f64::min),
                })
            })
            .collect()
    }
}

//! What a run says of itself: a line, its tables, its data.

use super::{FAILED, NO_BACKUP, Outcome, REFUSED, Run};
use crate::report::{Cell, Document, Reporter, Table};
use crate::tasks::rag_clean::{Detail, duplicates, index, word};
use crate::units;

impl Run {
    /// Says what became of everything.
    pub(super) fn summarise(&self, report: &Reporter, detail: &Detail) -> anyhow::Result<()> {
        let sum = |of: fn(&Outcome) -> u64| detail.steps.iter().map(of).sum::<u64>();
        let (chosen, done) = (sum(|one| one.chosen), sum(|one| one.done));
        let rebuilt = detail.indices.iter().filter(|one| one.rebuilt()).count() as u64;
        let found = report.snapshot().findings;
        let is_told = |ids: &[&str], subject: &str| {
            let mut those = found.iter().filter(|one| ids.contains(&one.id));
            those.any(|one| one.subject == subject)
        };
        let left: Vec<_> = self
            .steps
            .iter()
            .map(|&step| word(step))
            .filter(|step| is_told(&[FAILED, REFUSED], step))
            .collect();
        let mut text = match (report.dry_run(), chosen) {
            (_, 0) if !left.is_empty() => "no rows removed".to_owned(),
            (_, 0) => "nothing that a step looked for is there".to_owned(),
            (true, _) => format!("would remove {}", units::count(chosen, "row")),
            (false, _) => format!(
                "{} removed; the write lock was held for {:.0} ms at most",
                units::count(done, "row"),
                detail
                    .database
                    .as_ref()
                    .map_or(0.0, |one| one.longest_lock_ms)
            ),
        };
        if is_told(&[NO_BACKUP], &self.rag.database) {
            text = "no rows removed without a recent backup".to_owned();
        } else if detail.steps.is_empty() && left.is_empty() {
            text = "nothing was to be removed".to_owned();
        }
        if !left.is_empty() {
            text.push_str(&format!("; not done: {}", left.join(", ")));
        }
        if let Some(followed) = detail.duplicates.as_ref().and_then(|one| one.followed()) {
            text.push_str(&format!("; {followed}"));
        }
        if let Some(documents) = &detail.documents {
            text.push_str(&format!("; {documents}"));
        }
        if let Some(texts) = &detail.embedded {
            text.push_str(&format!("; {texts}"));
        }
        if rebuilt > 0 {
            text.push_str(&format!("; rebuilt: {rebuilt} of {}", detail.indices.len()));
        }
        report.summarise(text);
        if !detail.steps.is_empty() {
            report.document(table(&detail.steps, report.dry_run()));
        }
        if let Some(outcome) = &detail.duplicates {
            report.document(duplicates::table(outcome));
        }
        if !detail.indices.is_empty() {
            report.document(index::table(&detail.indices));
        }
        report.detail(detail)
    }
}

fn table(steps: &[Outcome], dry_run: bool) -> Document {
    Document::Table(Table {
        title: "Steps".to_owned(),
        columns: vec![
            "step",
            "what",
            "rows",
            if dry_run { "would go" } else { "gone" },
            "with them",
            "without a value",
            "not yet",
        ],
        rows: steps
            .iter()
            .map(|one| {
                vec![
                    Cell::Text(word(one.step).to_owned()),
                    Cell::Text(one.what.clone()),
                    Cell::Count(one.rows),
                    Cell::Count(if dry_run { one.chosen } else { one.done }),
                    Cell::Count(one.others),
                    Cell::Count(one.nulls),
                    Cell::Count(one.not_yet),
                ]
            })
            .collect(),
    })
}

//! What a sound backup may still be: too old, of an odd size, far from what is live, or gone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Task;
use crate::archive::{self, Backup, Source};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::{self, Facts};
use crate::units;

const DATA_GONE: &str = "verify.data-gone";

/// Fewer rows than this come and go.
const FEW: u64 = 1000;

impl Task {
    /// A table that is far from the live one is worth a look; a live database that cannot be read is another task's finding.
    pub(super) fn compare_with_live(
        &self,
        context: &Context,
        report: &Reporter,
        source: &Source,
        backup: &Backup,
        facts: &Facts,
    ) -> anyhow::Result<()> {
        let live = sqlite::open_readonly(&source.path, &context.stop, Duration::from_secs(5))
            .and_then(|connection| Ok(sqlite::row_counts(&connection)?));
        context.stop.check()?;
        report.examined("verify.live-unreadable", &source.name);
        let live = match live {
            Ok(live) => live,
            Err(error) => {
                report.find(Finding::new(
                    "verify.live-unreadable",
                    Severity::Medium,
                    &source.name,
                    format!("the live database cannot be compared: {error:#}"),
                ));
                return Ok(());
            }
        };
        let limit = self.settings.row_tolerance_pct;
        let tables: BTreeSet<_> = live.keys().chain(facts.tables.keys()).collect();
        for table in tables {
            report.examined("verify.rows-differ", format!("{}.{table}", source.name));
            let rows = live.get(table).copied().unwrap_or(0);
            let kept = facts.tables.get(table).copied().unwrap_or(0);
            let share = units::percent(rows.abs_diff(kept), rows.max(kept));
            let expected = source
                .expect_tables
                .iter()
                .any(|name| name.eq_ignore_ascii_case(table));
            if far_apart(kept, rows, expected, limit) {
                report.find(
                    Finding::new(
                        "verify.rows-differ",
                        Severity::Medium,
                        format!("{}.{table}", source.name),
                        format!(
                            "{kept} rows in {} and {rows} live: {share:.0}% apart (limit {limit:.0}%); where the live table is wrong, pin that backup before it goes",
                            backup.name.stem
                        ),
                    )
                    .measured(share, "%", limit)
                    .hint(format!("empire-maint backup pin {}", backup.name.stem)),
                );
            }
        }
        Ok(())
    }

    /// A manifest whose data is not there any more promises what nobody can restore.
    pub(super) fn judge_lost(
        &self,
        report: &Reporter,
        series: &str,
        all: &[Backup],
    ) -> anyhow::Result<()> {
        for backup in all {
            report.examined(DATA_GONE, backup.name.file());
        }
        for name in archive::lost(&self.store.folder, series)? {
            let manifest = name.manifest(&self.store.folder);
            report.find(
                Finding::new(
                    DATA_GONE,
                    Severity::Critical,
                    name.file(),
                    format!(
                        "{} promises a backup, and its data is not there",
                        manifest.display()
                    ),
                )
                .hint("bring it back; where it was removed on purpose, remove the manifest and the index too"),
            );
        }
        Ok(())
    }
}

/// True when a table's rows are worth a look. One that has to be there is never empty on one side only.
fn far_apart(kept: u64, live: u64, expected: bool, limit: f64) -> bool {
    let difference = kept.abs_diff(live);
    let emptied = expected && (kept == 0) != (live == 0);
    emptied || (difference > FEW && units::percent(difference, kept.max(live)) > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_and_a_large_share_of_them_or_all_of_an_expected_table() {
        assert!(!far_apart(0, 1000, false, 50.0), "few");
        assert!(far_apart(0, 1001, false, 50.0));
        assert!(!far_apart(6000, 10_000, false, 50.0), "a small share");
        assert!(far_apart(10_000, 4000, false, 50.0));
        assert!(far_apart(0, 1, true, 50.0) && far_apart(1, 0, true, 50.0));
        assert!(!far_apart(0, 0, true, 50.0));
    }
}

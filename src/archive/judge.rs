//! Whether what is there can be counted on: young enough, and about as large as the ones before.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::catalogue::{Backup, catalogue, first_good, size_against_median};
use super::name::Name;
use super::store::JOURNAL;
use crate::error::refused;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
use crate::units::{self, Bytes, Length};

const MISSING: &str = "backup.missing";
const STALE: &str = "backup.stale";
const SIZE: &str = "backup.size";
const AHEAD: &str = "backup.ahead";
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// The catalogue of one series, and how old its newest good backup may be.
pub struct Freshness<'a> {
    /// Where backups are.
    pub folder: &'a Path,
    /// The database.
    pub series: &'a str,
    /// The catalogue, newest first.
    pub all: &'a [Backup],
    /// Older than this is a finding.
    pub max_age: Length,
    /// The run's cut-off.
    pub now: Timestamp,
    /// True where a first backup need not be there yet.
    pub new_here: bool,
}

impl Freshness<'_> {
    /// No good backup, or none that is young enough. Returns the age of the newest good one; errs where that cannot be told.
    pub fn judge(&self, report: &Reporter) -> anyhow::Result<Option<Duration>> {
        let (series, limit) = (self.series, self.max_age);
        let newest = first_good(self.all)?;
        report.examined(MISSING, series);
        report.examined(STALE, series);
        judge_dates(report, series, self.all, self.now);
        let Some(newest) = newest else {
            let severity = match self.new_here && self.all.is_empty() {
                true => Severity::Info,
                false => Severity::Critical,
            };
            report.find(
                Finding::new(
                    MISSING,
                    severity,
                    series,
                    format!(
                        "there is no verified backup of {series} in {}",
                        self.folder.display()
                    ),
                )
                .hint(format!("empire-maint backup --database {series}")),
            );
            return Ok(None);
        };
        let age = self.now.duration_since(newest.created_at());
        let age = Duration::try_from(age).unwrap_or_default();
        if age > limit.0 {
            let severity = match age > limit.0 * 2 {
                true => Severity::Critical,
                false => Severity::High,
            };
            report.find(
                Finding::new(
                    STALE,
                    severity,
                    series,
                    format!(
                        "the newest verified backup is {} old (limit {limit})",
                        Length(age)
                    ),
                )
                .measured(age.as_secs_f64(), "s", limit.0.as_secs_f64())
                .hint(format!("empire-maint backup --database {series}")),
            );
        }
        Ok(Some(age))
    }
}

/// What is found of a single backup, and is over with it.
const OF_ONE: [&str; 6] = [
    "verify.damaged",
    "verify.data-gone",
    "backup.previous-damaged",
    "backup.previous-unreadable",
    "restore.known-bad",
    "restore.not-unpacked",
];

/// Says that nothing is found any more of a backup that is gone.
pub fn examine_gone(report: &Reporter, file: &str) {
    for id in OF_ONE {
        report.examined(id, file);
    }
}

/// The same for each backup that has an `open` alert, as finding and subject, and was removed by hand since. Where no other of the
/// series is there, its disk may be missing and not the backup.
pub fn examine_removed(
    report: &Reporter,
    folder: &Path,
    series: &str,
    all: &[Backup],
    open: &[(String, String)],
) -> anyhow::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    for (id, file) in open {
        if OF_ONE.contains(&id.as_str())
            && let Some(name) = Name::parse(series, file)
            && files::link_metadata(&name.gz(folder))?.is_none()
            && files::link_metadata(&name.manifest(folder))?.is_none()
        {
            examine_gone(report, file);
        }
    }
    Ok(())
}

/// A clock that was or is wrong: what it dated would be the newest for as long.
pub fn judge_dates(report: &Reporter, series: &str, all: &[Backup], now: Timestamp) {
    report.examined(AHEAD, series);
    let ahead = || all.iter().filter(|backup| backup.is_ahead(now));
    let Some(first) = ahead().next() else {
        return;
    };
    let message = format!(
        "{} dated in the future, {} for one: the clock was wrong then, or is now; what is dated right counts as newer",
        units::count(ahead().count() as u64, "backup"),
        first.name.stem
    );
    report.find(
        Finding::new(AHEAD, Severity::Medium, series, message)
            .hint("where the clock is right, move what is dated wrong away"),
    );
}

/// What changes a live database wants to see before it begins: a good backup from the last day. Errs where there is none.
pub fn require_recent(folder: &Path, series: &str, now: Timestamp) -> anyhow::Result<()> {
    require_younger(folder, series, now, RECENT)
}

/// The same with another limit.
pub fn require_younger(
    folder: &Path,
    series: &str,
    now: Timestamp,
    limit: Duration,
) -> anyhow::Result<()> {
    let mut all = catalogue(folder, series, now)?;
    all.retain(|backup| !backup.is_ahead(now));
    let age = first_good(&all)?.map(|backup| now.duration_since(backup.created_at()));
    let age = age.map(|age| Duration::try_from(age).unwrap_or_default());
    let what = match age {
        Some(age) if age <= limit => return Ok(()),
        Some(age) => format!(
            "the newest verified backup of {series} is {} old (limit {}): take one and repeat this command, or repeat it with --no-backup-check",
            Length(age),
            Length(limit)
        ),
        None => format!(
            "there is no verified backup of {series} in {}: take one and repeat this command, or repeat it with --no-backup-check",
            folder.display()
        ),
    };
    let hint = format!("empire-maint backup --database {series}");
    Err(refused(what).hint(hint).into())
}

/// A backup with less than half or more than twice of what the five before it had.
pub fn judge_size(report: &Reporter, series: &str, stem: &str, size: u64, before: &[Backup]) {
    let Some((share, median)) = size_against_median(size, before) else {
        return;
    };
    report.examined(SIZE, series);
    // The journal grows from its first day on, and nothing is wrong with that.
    if (50.0..=200.0).contains(&share) || (series == JOURNAL && share > 200.0) {
        return;
    }
    let limit = if share < 50.0 { 50.0 } else { 200.0 };
    report.find(
        Finding::new(
            SIZE,
            Severity::Medium,
            series,
            format!(
                "{stem} has {}, {share:.0}% of the median of the 5 before it ({}; limits 50% and 200%)",
                Bytes(size),
                Bytes(median)
            ),
        )
        .measured(share, "%", limit)
        .hint(format!("empire-maint verify-backup {series}")),
    );
}

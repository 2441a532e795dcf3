//! The protocol around whatever makes the plain bytes of one series: lock, sweep, space, write, verify, publish, prune.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::selection::Selection;
use crate::alert;
use crate::archive::{
    self, Backup, Bad, Checks, Content, Limits, Manifest, Name, Previous, Published, Store,
    Verification, Verified, VerifiedLevel, Writing,
};
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error::{self, missing};
use crate::journal;
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sqlite::{self, Facts};
use crate::sys::process::{shell_path, shell_word};
use crate::sys::{files, scratch, space};
use crate::units::{self, Bytes};

/// Data that is dated so far ahead is dated wrong; an application may write local time.
const DATA_AHEAD: SignedDuration = SignedDuration::from_hours(24);

const MEMBER_DAMAGED: &str = "a member does not have its digest any more";

const UNREAD: &str = "backup.previous-unreadable";
const UNSWEPT: &str = "backup.unswept";

const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// What every step of one run needs.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) report: &'a Reporter,
    pub(super) store: &'a Store,
    pub(super) settings: &'a Settings,
    pub(super) threads: usize,
    /// The application's root.
    pub(super) root: &'a Path,
    /// Beside the databases.
    pub(super) files: &'a Selection,
    /// Nothing is copied from the backup before.
    pub(super) fresh: bool,
}

/// One published backup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The series.
    pub(super) database: String,
    /// The file, as `restore --file` takes it.
    pub(super) file: String,
    /// Plain bytes.
    pub(super) plain_bytes: u64,
    /// Stored bytes.
    pub(super) stored_bytes: u64,
    /// Members copied from the previous backup.
    pub(super) copied_members: u64,
    /// All members.
    pub(super) members: u64,
    /// From the snapshot to the published name, ms.
    pub(super) duration_ms: u64,
    /// The SQL checks, which run beside the compression, ms.
    pub(super) checks_ms: u64,
    /// What was found to be true of the database.
    pub(super) facts: Option<Facts>,
}

/// What goes into a manifest beside digests and sizes.
pub(super) struct About {
    /// Nothing in it was written later.
    pub(super) taken_at: Timestamp,
    pub(super) source: String,
    pub(super) content: Content,
    pub(super) database: Option<Facts>,
    pub(super) journal_mode: Option<String>,
    pub(super) checks: Checks,
    pub(super) checks_took: Duration,
}

impl Work<'_> {
    pub(super) fn prepare_folder(&self) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        if files::metadata(folder)?.is_none() {
            self.require_root_of(folder)?;
            let step = Step {
                kind: "create",
                target: folder.display().to_string(),
                reason: "the backup folder is not there yet".into(),
            };
            self.report.act(step, |permit| {
                files::create_directory(permit, folder)?;
                files::sync_directory(files::parent(folder))
            })?;
        }
        files::require_own_links(folder, self.root)?;
        if files::metadata(folder)?.is_some() {
            files::require_trusted_directory(folder)?;
        }
        scratch::sweep(self.report, folder)?;
        Ok(())
    }

    /// A mistyped root, or one whose file system is not mounted, is nothing to create a backup folder in.
    fn require_root_of(&self, folder: &Path) -> anyhow::Result<()> {
        match files::metadata(self.root)? {
            None if folder.starts_with(self.root) => Err(missing(format!(
                "the application's root {} is not there",
                self.root.display()
            ))
            .hint("is its file system mounted? [app] root or --root says where it is")
            .into()),
            _ => Ok(()),
        }
    }

    pub(super) fn writing<'b>(
        &'b self,
        name: &'b Name,
        previous: Option<&'b mut Previous>,
        progress: &'b (dyn Fn(u64) + Sync),
    ) -> Writing<'b> {
        Writing {
            folder: &self.store.folder,
            name,
            previous,
            threads: self.threads,
            day: archive::day(self.context.now),
            roots: false,
            reserve: self.settings.reserve.0,
            stop: &self.context.stop,
            progress,
        }
    }

    /// The protocol around whatever makes the plain bytes: lock, sweep, space, write, verify, publish, prune.
    pub(super) fn series(
        &self,
        series: &str,
        content: Content,
        likely: u64,
        make: impl FnOnce(&Permit, &Name, Option<&mut Previous>) -> anyhow::Result<(Verified, About)>,
    ) -> anyhow::Result<Option<Outcome>> {
        let folder = &self.store.folder;
        let _held = self
            .context
            .take(&archive::series_lock(folder, series).urgent(), PATIENCE)?;
        self.sweep(series)?;
        let before = archive::catalogue(folder, series, self.context.moment())?;
        self.judge_vanished(series, &before);
        let open = alert::open(&self.context.state);
        archive::examine_removed(self.report, folder, series, &before, &open)?;
        self.require_space(&before, likely)?;
        let name = archive::free_name(folder, series, self.context.moment(), content)?;
        let step = Step {
            kind: "backup",
            target: name.gz(folder).display().to_string(),
            reason: format!("{} plain", Bytes(likely)),
        };
        let published = self.report.act(step, |permit| {
            let started = Instant::now();
            self.mark_misfits(permit, &before)?;
            let mut previous = self.previous(&before);
            let made = make(permit, &name, previous.as_mut().map(|(_, open)| open));
            if let Some((backup, open)) = &previous {
                self.judge_previous(permit, backup, open)?;
            }
            let (verified, about) = made?;
            self.publish(permit, &name, verified, about, started)
        })?;
        self.report.progress_done();
        match published {
            Some((published, outcome)) => {
                let last = json!([folder.display().to_string(), published.name.stem]);
                self.report.remember(journal::published_key(series), last);
                let size = published.manifest.gz.size;
                archive::judge_size(self.report, series, &published.name.stem, size, &before);
                self.prune_or_tell(series, &published)?;
                Ok(Some(outcome))
            }
            None => {
                self.plan_prune(&before);
                Ok(None)
            }
        }
    }

    /// The last run has published one here, and now there is none at all: a disk that is not mounted, or somebody removed them.
    fn judge_vanished(&self, series: &str, before: &[Backup]) {
        const ID: &str = "backup.vanished";
        self.report.examined(ID, series);
        let folder = &self.store.folder;
        let last = self.context.recall(&journal::published_key(series));
        let Some((then, name)) =
            last.and_then(|last| serde_json::from_value::<(String, String)>(last).ok())
        else {
            return;
        };
        if !before.is_empty() || then != folder.display().to_string() {
            return;
        }
        self.report.find(
            Finding::new(
                ID,
                Severity::High,
                series,
                format!(
                    "{name} and all before it are not in {} any more: is the disk mounted? what is backed up now is the only one there",
                    folder.display()
                ),
            )
            .hint(format!("findmnt -T {}", shell_path(folder))),
        );
    }

    fn sweep(&self, series: &str) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        self.report.examined(UNSWEPT, series);
        if !archive::has_leftovers(folder, series)? {
            return Ok(());
        }
        let step = Step {
            kind: "sweep",
            target: folder.display().to_string(),
            reason: format!("an earlier backup of {series} was cut short"),
        };
        let done = self.report.act(step, |permit| {
            archive::sweep(permit, folder, series, &self.limits(&|_| {}))
        });
        let done = match done {
            // It stays where it is for the next run, and is no reason not to take this backup.
            Err(error) if !error::ends_the_run(&error) => {
                let message = format!(
                    "an earlier backup was cut short, and what is left of it cannot be put right: {error:#}"
                );
                self.report.find(
                    Finding::new(UNSWEPT, Severity::Medium, series, message)
                        .hint("the next backup tries again; does the disk answer, may the files be changed?"),
                );
                None
            }
            other => other?,
        };
        if let Some(done) = done {
            self.report.find(Finding::new(
                "backup.swept",
                Severity::Info,
                series,
                done.join("; "),
            ));
        }
        Ok(())
    }

    pub(super) fn limits<'b>(&'b self, progress: &'b (dyn Fn(u64) + Sync)) -> Limits<'b> {
        Limits {
            threads: self.threads,
            stop: &self.context.stop,
            progress,
        }
    }

    /// The previous size and a fifth, or half the plain size where there is none, beside the reserve.
    fn require_space(&self, before: &[Backup], likely: u64) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        if files::metadata(folder)?.is_none() {
            return Ok(()); // a dry run before the first backup
        }
        let guess = before
            .iter()
            .find(|backup| backup.is_good())
            .map_or(likely / 2, |backup| {
                backup.size.saturating_add(backup.size / 5)
            });
        space::require(
            folder,
            guess.saturating_add(self.settings.reserve.0),
            "the backup and the reserve",
        )
    }

    /// The newest good backup, opened for copying; none with --fresh, or where its index does not match.
    fn previous<'b>(&self, before: &'b [Backup]) -> Option<(&'b Backup, Previous)> {
        if self.fresh {
            return None;
        }
        let backup = before.iter().find(|backup| backup.is_good())?;
        match Previous::open(&self.store.folder, &backup.name, backup.manifest()?) {
            Ok(open) => {
                self.report.examined(UNREAD, backup.name.file());
                Some((backup, open))
            }
            Err(error) => {
                self.report.find(Finding::new(
                    "backup.index-unusable",
                    Severity::Info,
                    backup.name.file(),
                    format!("nothing can be copied from it: {error:#}"),
                ));
                None
            }
        }
    }

    /// Cut short or longer than it was made: nothing is copied from it, and nobody has to read it to see that.
    fn mark_misfits(&self, permit: &Permit, before: &[Backup]) -> anyhow::Result<()> {
        for backup in before {
            if let Some(manifest) = backup.manifest()
                && manifest.is_good()
                && let Some(misfit) = manifest.misfit(backup.size)
            {
                self.mark_bad(permit, backup, &misfit)?;
            }
        }
        Ok(())
    }

    /// What was found of it while it was copied from.
    fn judge_previous(
        &self,
        permit: &Permit,
        backup: &Backup,
        open: &Previous,
    ) -> anyhow::Result<()> {
        if let Some(error) = open.unread() {
            let message = format!(
                "{}: the disk does not give all of it back ({error}); that is compressed anew, and the backup is not marked bad",
                backup.path.display()
            );
            let hint = format!(
                "empire-maint verify-backup --file {}",
                shell_path(&backup.path)
            );
            let finding = Finding::new(UNREAD, Severity::High, backup.name.file(), message);
            self.report.find(finding.hint(hint));
        }
        match open.damaged() {
            true => self.mark_bad(permit, backup, MEMBER_DAMAGED),
            false => Ok(()),
        }
    }

    fn mark_bad(&self, permit: &Permit, backup: &Backup, reason: &str) -> anyhow::Result<()> {
        self.report.find(
            Finding::new(
                "backup.previous-damaged",
                Severity::High,
                backup.name.file(),
                format!(
                    "{}: damaged on disk since it was made ({reason}); what it cannot give is compressed anew; check the disk",
                    backup.path.display()
                ),
            )
            .hint(format!(
                "empire-maint verify-backup --file {}",
                shell_path(&backup.path)
            )),
        );
        let Some(mut manifest) = backup.manifest().cloned() else {
            return Ok(());
        };
        manifest.bad = Some(Bad {
            at: self.context.now,
            reason: reason.to_owned(),
        });
        archive::rewrite_manifest(permit, &self.store.folder, &backup.name, &manifest)
    }

    fn publish(
        &self,
        permit: &Permit,
        name: &Name,
        verified: Verified,
        about: About,
        started: Instant,
    ) -> anyhow::Result<(Published, Outcome)> {
        let written = verified.written();
        let manifest = Manifest {
            format: archive::FORMAT,
            backup: name.stem.clone(),
            series: name.series.clone(),
            content: about.content,
            created_at: about.taken_at,
            host: self.context.host.to_string(),
            tool: concat!("empire-maint ", env!("CARGO_PKG_VERSION")).to_owned(),
            sqlite: sqlite::version().to_owned(),
            run_id: self.report.run_id(),
            source: about.source,
            plain: written.plain.clone(),
            gz: written.gz.clone(),
            index: Some(written.index.clone()),
            database: about.database,
            journal_mode: about.journal_mode,
            checks: about.checks,
            verified: Some(Verification {
                level: VerifiedLevel::Checked,
                at: self.context.moment(),
                oldest_inflation: written.oldest_inflation.clone(),
            }),
            bad: None,
            pinned: None,
        };
        let published = verified.publish(permit, manifest, &self.context.stop)?;
        let outcome = self.outcome(&published, about.checks_took, started);
        Ok((published, outcome))
    }

    /// Columns that tell nothing make the age of the data that of the backup.
    fn judge_freshness(&self, manifest: &Manifest, facts: &Facts) {
        const ID: &str = "backup.freshness";
        if facts.freshness.is_empty() {
            return;
        }
        self.report.examined(ID, &manifest.series);
        let ahead = |newest: &Timestamp| newest.duration_since(manifest.created_at) > DATA_AHEAD;
        let what = match facts.data_as_of {
            None => {
                "tell no moment: a table, a column or every value of it is missing or is no time"
                    .to_owned()
            }
            Some(newest) if ahead(&newest) => {
                format!("say that the newest data is from {newest:.0}, which is in the future")
            }
            Some(_) => return,
        };
        let named = |(table, column): (&String, &String)| format!("{table}.{column}");
        let columns: Vec<_> = facts.freshness.iter().map(named).collect();
        let message = format!(
            "{} {what}; the age of the data is taken for that of the backup",
            columns.join(", ")
        );
        self.report.find(
            Finding::new(ID, Severity::Medium, &manifest.series, message)
                .hint("freshness of [[database]] names a table and its column of times"),
        );
    }

    fn outcome(&self, published: &Published, checks: Duration, started: Instant) -> Outcome {
        let manifest = &published.manifest;
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (copied, members) = manifest
            .index
            .as_ref()
            .map_or((0, 0), |index| (index.copied, index.members));
        let labels = [("database", manifest.series.as_str())];
        let report = self.report;
        report.measure(
            "backup_size_bytes",
            manifest.gz.size as f64,
            "bytes",
            labels,
        );
        report.measure(
            "backup_plain_bytes",
            manifest.plain.size as f64,
            "bytes",
            labels,
        );
        report.measure(
            "backup_duration_seconds",
            started.elapsed().as_secs_f64(),
            "s",
            labels,
        );
        report.measure("backup_checks_seconds", checks.as_secs_f64(), "s", labels);
        report.measure(
            "backup_copied_percent",
            units::percent(copied, members),
            "%",
            labels,
        );
        if let Some(facts) = &manifest.database {
            self.judge_freshness(manifest, facts);
        }
        if let Some(facts) = &manifest.database
            && facts.foreign_key_violations > 0
        {
            report.find(
                Finding::new(
                    "backup.foreign-keys",
                    Severity::Medium,
                    &manifest.series,
                    format!(
                        "{} {} to rows that are not there; the backup holds the data as it is",
                        units::count(facts.foreign_key_violations, "row"),
                        match facts.foreign_key_violations {
                            1 => "points",
                            _ => "point",
                        }
                    ),
                )
                .measured(facts.foreign_key_violations as f64, "", 0.0)
                .hint(format!(
                    "sqlite3 -readonly {} 'PRAGMA foreign_key_check'",
                    shell_word(&manifest.source)
                )),
            );
        }
        if let Some(facts) = &manifest.database
            && facts.constraint_violations > 0
        {
            report.find(
                Finding::new(
                    "backup.constraints",
                    Severity::Medium,
                    &manifest.series,
                    format!(
                        "{} that NOT NULL or a CHECK of the schema would not take; the backup holds the data as it is",
                        units::count(facts.constraint_violations, "value")
                    ),
                )
                .measured(facts.constraint_violations as f64, "", 0.0)
                .hint(format!("sqlite3 {} 'PRAGMA quick_check'", shell_word(&manifest.source))),
            );
        }
        if let Some(facts) = &manifest.database
            && !facts.foreign_key_mismatches.is_empty()
        {
            report.find(
                Finding::new(
                    "backup.foreign-keys-unchecked",
                    Severity::Low,
                    &manifest.series,
                    format!(
                        "foreign keys that cannot be checked, since what they point to is not unique or not there: {}",
                        facts.foreign_key_mismatches.join("; ")
                    ),
                )
                .hint("give the columns that are pointed to a UNIQUE index; the backup is good as it is"),
            );
        }
        if let Some(doubt) = manifest.database.as_ref().and_then(Facts::doubt) {
            report.find(
                Finding::new("backup.unchecked", Severity::Low, &manifest.series, doubt).hint(
                    "the backup holds the data as it is; let the application run PRAGMA integrity_check on its own connection",
                ),
            );
        }
        Outcome {
            database: manifest.series.clone(),
            file: published.name.gz(&self.store.folder).display().to_string(),
            plain_bytes: manifest.plain.size,
            stored_bytes: manifest.gz.size,
            copied_members: copied,
            members,
            duration_ms: millis(started.elapsed()),
            checks_ms: millis(checks),
            facts: manifest.database.clone(),
        }
    }
}

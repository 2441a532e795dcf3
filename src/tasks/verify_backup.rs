//! Proves that backups restore: everything inflated into scratch, every digest, full integrity, compared with the manifest and with
//! the live database. Writes to scratch and to the backup's own manifest; never touches a live database or the stored data.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{
    self, Backup, Bad, Content, Extracted, Limits, Source, Standing, Store, Verification,
    VerifiedLevel,
};
use crate::config::Config;
use crate::config::sections::{Backup as BackupSettings, Verify};
use crate::context::Context;
use crate::error::{self, Kind, damaged, usage};
use crate::report::{Finding, Reporter, Severity, Step};
use crate::sqlite::{self, Facts};
use crate::sys::scratch::{self, Scratch};
use crate::sys::{files, machine, space};
use crate::task;
use crate::units::{self, Length};

const PATIENCE: Duration = Duration::from_secs(30 * 60);
const FAILED: &str = "verify.failed";

/// Restore backups into a scratch place, check everything, report RPO and RTO
#[derive(Args)]
pub struct Arguments {
    /// Only these databases; default: the latest backup of each
    databases: Vec<String>,
    /// Every backup, not only the latest
    #[arg(long, conflicts_with = "file")]
    all: bool,
    /// One backup, wherever it is
    #[arg(long, value_name = "FILE", conflicts_with = "databases")]
    file: Option<PathBuf>,
    /// The n-th of m parts of all backups: 1/7 on Mondays, 2/7 on Tuesdays, …
    #[arg(long, value_name = "N/M", conflicts_with_all = ["all", "file"])]
    sample: Option<String>,
}

/// What `verify-backup` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a backup.
    verified: Vec<Outcome>,
}

/// One backup that was restored into scratch.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The series.
    database: String,
    /// The data.
    file: String,
    /// True when everything was as it should be.
    sound: bool,
    /// The instant of the snapshot.
    #[schemars(with = "String")]
    created_at: Timestamp,
    /// Age of what could be brought back, s: the recovery point.
    rpo_seconds: f64,
    /// Time to restore and check, s: the recovery time.
    rto_seconds: f64,
    /// Plain bytes.
    plain_bytes: u64,
    /// What was found in the restored copy.
    facts: Option<Facts>,
}

/// Resolved.
pub struct Task {
    store: Store,
    settings: Verify,
    backup: BackupSettings,
    scratch: PathBuf,
    series: Vec<String>,
    which: Which,
}

enum Which {
    Latest,
    All,
    Sample { part: u64, of: u64 },
    File(PathBuf),
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "verify-backup";
    const GUARDS_DATA: bool = true;
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let store = Store::from_config(config)?;
        let settings = config.get::<Verify>()?;
        for name in &self.databases {
            if !store.series().contains(name) {
                store.database(name)?;
            }
        }
        let series = match self.databases.is_empty() {
            true => store.series(),
            false => self.databases,
        };
        let scratch = match &settings.scratch_dir {
            Some(folder) => config.path(folder)?,
            None => store.folder.clone(),
        };
        let which = match (self.file, self.sample, self.all) {
            (Some(file), ..) => Which::File(std::path::absolute(file)?),
            (_, Some(sample), _) => parse_sample(&sample)?,
            (_, _, true) => Which::All,
            _ => Which::Latest,
        };
        Ok(Task {
            store,
            settings,
            backup: config.get()?,
            scratch,
            series,
            which,
        })
    }
}

fn parse_sample(text: &str) -> anyhow::Result<Which> {
    let parts = text
        .split_once('/')
        .and_then(|(part, of)| Some((part.parse::<u64>().ok()?, of.parse::<u64>().ok()?)));
    match parts {
        Some((part, of)) if part >= 1 && part <= of => Ok(Which::Sample { part, of }),
        _ => Err(usage(format!("--sample {text}: not a part of a whole"))
            .hint("as in --sample 1/7")
            .into()),
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        scratch::sweep(report, &self.scratch)?;
        let mut outcomes = Vec::new();
        if let Which::File(path) = &self.which {
            let backup = Backup::at(path)?;
            outcomes.extend(self.one(context, report, &backup, false)?);
        } else {
            files::require_readable_directory(&self.store.folder)?;
            for series in &self.series {
                let done =
                    report.attempt(FAILED, series, || self.series(context, report, series))?;
                outcomes.extend(done.into_iter().flatten());
            }
        }
        report.progress_done();
        report.summarise(summary(&outcomes, report));
        report.detail(&Detail { verified: outcomes })
    }
}

fn summary(outcomes: &[Outcome], report: &Reporter) -> String {
    if report.dry_run() {
        return "would verify what is listed".to_owned();
    }
    let sound = outcomes.iter().filter(|outcome| outcome.sound).count();
    let bad = outcomes.len() - sound;
    let oldest = outcomes
        .iter()
        .map(|outcome| outcome.rpo_seconds)
        .fold(0.0, f64::max);
    let slowest = outcomes
        .iter()
        .map(|outcome| outcome.rto_seconds)
        .fold(0.0, f64::max);
    let mut text = format!(
        "{} restored and checked",
        units::count(sound as u64, "backup")
    );
    if !outcomes.is_empty() {
        text += &format!(
            "; oldest data {} old, slowest restore {}",
            Length(Duration::from_secs_f64(oldest)),
            Length(Duration::from_secs_f64(slowest))
        );
    }
    match bad {
        0 => text,
        bad => format!("{bad} DAMAGED, {text}"),
    }
}

impl Task {
    fn series(
        &self,
        context: &Context,
        report: &Reporter,
        series: &str,
    ) -> anyhow::Result<Vec<Outcome>> {
        let folder = &self.store.folder;
        let own = self.store.database(series).is_ok();
        let there = files::metadata(folder)?.is_some();
        let _held = match there {
            true => context.take(&archive::series_lock(folder, series), PATIENCE)?,
            false => None,
        };
        let all = archive::catalogue(folder, series)?;
        if own {
            archive::Freshness {
                folder,
                series,
                all: &all,
                max_age: self.backup.max_age,
                now: context.now,
                new_here: false,
            }
            .judge(report);
        }
        let wanted: Vec<&Backup> = match self.which {
            Which::All => all.iter().collect(),
            Which::Sample { part, of } => all
                .iter()
                .filter(|backup| part_of(&backup.name.stem, of) == part)
                .collect(),
            _ => all
                .iter()
                .find(|backup| !matches!(backup.standing, Standing::Foreign))
                .or(all.first())
                .into_iter()
                .collect(),
        };
        if let ([newest, before @ ..], Which::Latest) = (all.as_slice(), &self.which) {
            archive::judge_size(report, series, &newest.name.stem, newest.size, before);
        }
        let mut outcomes = Vec::new();
        for backup in wanted {
            outcomes.extend(self.one(context, report, backup, true)?);
        }
        Ok(outcomes)
    }

    /// One backup: restored into scratch, checked, and the verdict noted in its manifest where it is one of ours.
    fn one(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        ours: bool,
    ) -> anyhow::Result<Option<Outcome>> {
        let step = Step {
            kind: "verify",
            target: backup.path.display().to_string(),
            reason: format!("taken {:.0}", backup.created_at()),
        };
        let started = Instant::now();
        let looked = report.act(
            step,
            |_| Ok(self.restore_and_check(context, report, backup)),
        )?;
        let Some(looked) = looked else {
            return Ok(None);
        };
        let rto = started.elapsed();
        let age = context.now.duration_since(backup.data_as_of());
        let mut outcome = Outcome {
            database: backup.name.series.clone(),
            file: backup.path.display().to_string(),
            sound: looked.is_ok(),
            created_at: backup.created_at(),
            rpo_seconds: age.as_secs_f64().max(0.0),
            rto_seconds: rto.as_secs_f64(),
            plain_bytes: 0,
            facts: None,
        };
        let labels = [
            ("database", outcome.database.as_str()),
            ("backup", backup.name.stem.as_str()),
        ];
        match looked {
            Ok((read, facts)) => {
                report.measure("backup_rpo_seconds", outcome.rpo_seconds, "s", labels);
                report.measure("backup_rto_seconds", outcome.rto_seconds, "s", labels);
                outcome.plain_bytes = read.plain.size;
                outcome.facts = facts;
                if ours {
                    self.note(context, report, backup, None)?;
                }
            }
            // No space, no scratch, a disk that does not answer: that says nothing about the backup.
            Err(error) if error::kind_of(&error) != Kind::Damaged => return Err(error),
            Err(error) => {
                let reason = format!("{error:#}");
                report.find(
                    Finding::new(
                        "verify.damaged",
                        Severity::Critical,
                        backup.name.file(),
                        format!("{} cannot be restored: {reason}", backup.path.display()),
                    )
                    .hint("empire-maint backup --fresh takes a new one; empire-maint backup list shows the others"),
                );
                if ours {
                    self.note(context, report, backup, Some(reason))?;
                }
            }
        }
        Ok(Some(outcome))
    }

    fn restore_and_check(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
    ) -> anyhow::Result<(Extracted, Option<Facts>)> {
        if let Standing::Unreadable(why) = &backup.standing {
            return Err(damaged(format!("its manifest cannot be read: {why}")).into());
        }
        let scratch = Scratch::new(&self.scratch)?;
        let announced = backup
            .manifest()
            .map_or(backup.size * 4, |manifest| manifest.plain.size);
        space::require(
            &self.scratch,
            announced + self.backup.reserve.0,
            "restoring into scratch",
        )?;
        let most = space::free(&self.scratch)?.saturating_sub(self.backup.reserve.0);
        let shown = format!("verifying {}", backup.name.stem);
        let progress = |done: u64| report.progress(done, announced, &shown);
        let limits = Limits {
            threads: machine::threads(self.backup.threads),
            stop: &context.stop,
            progress: &progress,
        };
        let (copy, target) = scratch.file("restored.db")?;
        let (read, serially) = archive::extract_backup(backup, target, most, &limits)?;
        if let (Some(why), Some(_)) = (&serially, backup.manifest()) {
            report.find(Finding::new(
                "verify.no-index",
                Severity::Info,
                backup.name.file(),
                format!("read serially: {why}"),
            ));
        }
        report.progress_done();
        match backup.name.content {
            Content::Tar => {
                read_tar(&copy)?;
                Ok((read, None))
            }
            Content::Sqlite => {
                let facts = self.check_database(context, report, backup, &copy)?;
                Ok((read, Some(facts)))
            }
        }
    }

    fn check_database(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        copy: &std::path::Path,
    ) -> anyhow::Result<Facts> {
        let source = self.store.database(&backup.name.series).ok();
        let freshness = source
            .map(|source| source.freshness.clone())
            .unwrap_or_default();
        let stop = &context.stop;
        let connection = sqlite::open_private(copy, stop)?;
        let expected = source
            .map(|source| source.expect_tables.clone())
            .unwrap_or_default();
        sqlite::require_tables(&connection, copy, &expected, stop)?;
        let facts = sqlite::full_check(&connection, copy, &freshness, stop)?;
        if let Some(promised) = backup
            .manifest()
            .and_then(|manifest| manifest.database.as_ref())
        {
            let differs = promised.differs(&facts);
            anyhow::ensure!(
                differs.is_empty(),
                damaged(format!(
                    "the restored copy differs from the manifest: {}",
                    differs.join("; ")
                ))
            );
        }
        if let Some(source) = source {
            self.compare_with_live(context, report, source, backup, &facts)?;
        }
        Ok(facts)
    }

    /// A table that is far from the live one is worth a look; a live database that cannot be read is another task's finding.
    fn compare_with_live(
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
        for (table, rows) in live {
            let kept = facts.tables.get(&table).copied().unwrap_or(0);
            let difference = rows.abs_diff(kept);
            let share = units::percent(difference, rows.max(kept));
            if difference > 1000 && share > self.settings.row_tolerance_pct {
                report.find(
                    Finding::new(
                        "verify.rows-differ",
                        Severity::Medium,
                        format!("{}.{table}", source.name),
                        format!(
                            "{kept} rows in {} and {rows} live: {share:.0}% apart (limit {:.0}%)",
                            backup.name.stem, self.settings.row_tolerance_pct
                        ),
                    )
                    .measured(share, "%", self.settings.row_tolerance_pct)
                    .hint("is the live table what it should be? pin the backup before it goes: empire-maint backup pin NAME"),
                );
            }
        }
        Ok(())
    }

    /// Writes the verdict into the manifest.
    fn note(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        damage: Option<String>,
    ) -> anyhow::Result<()> {
        let Some(mut manifest) = backup.manifest().cloned() else {
            return Ok(());
        };
        let sound = damage.is_none();
        manifest.bad = damage.map(|reason| Bad {
            at: context.now,
            reason,
        });
        if sound {
            manifest.checks.integrity = match manifest.content {
                Content::Sqlite => "integrity_check".to_owned(),
                Content::Tar => manifest.checks.integrity,
            };
            manifest.verified = Some(Verification {
                level: VerifiedLevel::Restored,
                at: context.now,
                oldest_inflation: context.now.strftime("%Y-%m-%d").to_string(),
            });
        }
        let step = Step {
            kind: "note",
            target: backup.path.display().to_string(),
            reason: if sound {
                "restored and sound"
            } else {
                "damaged"
            }
            .to_owned(),
        };
        report.act(step, |permit| {
            archive::rewrite_manifest(permit, &self.store.folder, &backup.name, &manifest)
        })?;
        Ok(())
    }
}

/// Which of `of` parts a backup belongs to: by its name, so that it stays in its part while others come and go.
fn part_of(stem: &str, of: u64) -> u64 {
    let hash = blake3::hash(stem.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word) % of + 1
}

/// Reads a tar to its end.
fn read_tar(path: &std::path::Path) -> anyhow::Result<()> {
    let file = files::open_regular(path)?;
    let broken = |error: std::io::Error| damaged(format!("the tar is damaged: {error}"));
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    for entry in archive.entries()? {
        let mut entry = entry.map_err(broken)?;
        std::io::copy(&mut entry, &mut std::io::sink()).map_err(broken)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backup_belongs_to_exactly_one_part() {
        for number in 0..50 {
            let stem = format!("app_db_20261124T0300{number:02}Z");
            let part = part_of(&stem, 7);
            assert!((1..=7).contains(&part));
        }
        assert!(parse_sample("0/7").is_err());
        assert!(parse_sample("8/7").is_err());
        assert!(parse_sample("1").is_err());
    }
}

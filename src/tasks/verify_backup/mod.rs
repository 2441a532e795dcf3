//! Proves that backups restore: everything inflated into scratch, every digest, full integrity, compared with the manifest and with
//! the live database. Writes to scratch and to the backup's own manifest; never touches a live database or the stored data.

mod check;
mod judge;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use self::check::Care;
use crate::alert;
use crate::archive::{self, Backup, Name, Standing, Store};
use crate::config::Config;
use crate::config::sections::{Backup as BackupSettings, Verify};
use crate::context::Context;
use crate::error::{self, missing, usage};
use crate::report::{Cell, Document, Reporter, Table};
use crate::sqlite::Facts;
use crate::sys::lock::Held;
use crate::sys::{files, scratch};
use crate::task;
use crate::units::{self, Length};

const PATIENCE: Duration = Duration::from_secs(30 * 60);
const FAILED: &str = "verify.failed";
const DAMAGED: &str = "verify.damaged";
const UNCHECKED: &str = "verify.unchecked";

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
    /// Its name, as in `backup list`.
    backup: String,
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
    scratch: Option<PathBuf>,
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

    fn covers(&self, other: &Self) -> bool {
        let some = !self.databases.is_empty() || self.file.is_some() || self.sample.is_some();
        !some && (self.all || !other.all)
    }

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
            Some(folder) => Some(config.path(folder)?),
            None => None,
        };
        let which = match (self.file, self.sample, self.all) {
            (Some(file), ..) => Which::File(files::absolute(&file)?),
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
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        files::require_readable_directory(&self.store.folder)?;
        scratch::sweep(report, self.scratch()?)?;
        let mut outcomes = Vec::new();
        if let Which::File(path) = &self.which {
            outcomes.extend(self.file(context, report, path)?);
        } else {
            for series in &self.series {
                let done =
                    report.attempt(FAILED, series, || self.series(context, report, series))?;
                report.examined(FAILED, series);
                report.examined(UNCHECKED, series);
                outcomes.extend(done.into_iter().flatten());
            }
        }
        report.progress_done();
        examine_gone_elsewhere(context, report);
        if !outcomes.is_empty() {
            report.document(Document::Table(table(&outcomes)));
        }
        report.summarise(summary(&outcomes, report));
        report.detail(&Detail { verified: outcomes })
    }
}

/// What was found of a file that is not in the backup folder is over once somebody took it away.
fn examine_gone_elsewhere(context: &Context, report: &Reporter) {
    for path in alert::open_paths(&context.state, DAMAGED) {
        if path.is_absolute() && matches!(files::link_metadata(&path), Ok(None)) {
            report.examined(DAMAGED, path.display().to_string());
        }
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

fn table(outcomes: &[Outcome]) -> Table {
    let row = |outcome: &Outcome| {
        vec![
            Cell::Text(outcome.backup.clone()),
            Cell::Time(outcome.created_at),
            Cell::Age(seconds(outcome.rpo_seconds)),
            Cell::Age(seconds(outcome.rto_seconds)),
            match outcome.sound {
                true => Cell::Text("sound".to_owned()),
                false => Cell::Bad("DAMAGED".to_owned()),
            },
        ]
    };
    Table {
        title: String::new(),
        columns: vec!["backup", "taken", "data age", "restored in", "verdict"],
        rows: outcomes.iter().map(row).collect(),
    }
}

/// How many, and the worst of what could be brought back: the newest sound backup of each database counts.
fn summary(outcomes: &[Outcome], report: &Reporter) -> String {
    if report.dry_run() {
        return "would verify what is listed".to_owned();
    }
    let sound: Vec<_> = outcomes.iter().filter(|outcome| outcome.sound).collect();
    let bad = outcomes.len() - sound.len();
    let failed = report
        .snapshot()
        .findings
        .iter()
        .filter(|finding| finding.id == FAILED)
        .count();
    let mut text = format!(
        "{} restored and checked",
        units::count(sound.len() as u64, "backup")
    );
    // One that is dated in the future tells no age.
    let dated = || sound.iter().filter(|outcome| outcome.rpo_seconds > 0.0);
    let newest = |outcome: &&&Outcome| {
        let same = |other: &&&Outcome| other.database == outcome.database;
        let at = dated().filter(same).map(|other| other.created_at);
        Some(outcome.created_at) == at.max()
    };
    let oldest = dated()
        .filter(newest)
        .max_by(|a, b| a.rpo_seconds.total_cmp(&b.rpo_seconds));
    let slowest = sound
        .iter()
        .map(|outcome| outcome.rto_seconds)
        .fold(0.0, f64::max);
    if let Some(oldest) = oldest {
        text += &format!(
            "; oldest data {} old ({})",
            Length(seconds(oldest.rpo_seconds)),
            oldest.backup
        );
    }
    if !sound.is_empty() {
        text += &format!(", slowest restore {}", Length(seconds(slowest)));
    }
    for (number, word) in [(failed, "FAILED"), (bad, "DAMAGED")] {
        if number > 0 {
            text = format!("{number} {word}, {text}");
        }
    }
    text
}

impl Task {
    /// Where it is configured, else beside the backups; beside the one that was named where there are no others.
    fn scratch(&self) -> anyhow::Result<&Path> {
        let folder = &self.store.folder;
        Ok(match (&self.scratch, &self.which) {
            (Some(configured), _) => configured,
            (None, Which::File(path)) if files::metadata(folder)?.is_none() => files::parent(path),
            _ => folder,
        })
    }

    fn series(
        &self,
        context: &Context,
        report: &Reporter,
        series: &str,
    ) -> anyhow::Result<Vec<Outcome>> {
        let folder = &self.store.folder;
        let there = files::metadata(folder)?.is_some();
        let _held = match there {
            true => self.hold(context, series)?,
            false => None,
        };
        let all = archive::catalogue(folder, series, context.moment())?;
        self.judge_lost(report, series, &all)?;
        let open = alert::open(&context.state);
        archive::examine_removed(report, folder, series, &all, &open)?;
        if let Ok(source) = self.store.database(series) {
            archive::swap::report_unfinished(report, series, &source.path);
            let freshness = archive::Freshness {
                folder: &self.store.folder,
                series,
                all: &all,
                max_age: self.backup.max_age,
                now: context.moment(),
                new_here: false,
            };
            // What can be tried is tried, whatever cannot be told of the rest.
            report.attempt(FAILED, series, || freshness.judge(report))?;
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
            let care = Care {
                noted: true,
                compared: all.first().is_some_and(|newest| newest.name == backup.name),
            };
            // One that cannot be tried leaves the others to be tried.
            let done = report.attempt(FAILED, &backup.name.file(), || {
                self.one(context, report, backup, care)
            })?;
            outcomes.extend(done.flatten());
        }
        Ok(outcomes)
    }

    /// The backups of a series, so that nobody else notes anything in them meanwhile.
    fn hold(&self, context: &Context, series: &str) -> anyhow::Result<Option<Held>> {
        let folder = &self.store.folder;
        let taken = context.take(&archive::series_lock(folder, series), PATIENCE);
        taken.map_err(|error| match error::failure_in(&error) {
            Some(_) => error,
            None => error.context(
                missing(format!(
                    "{} cannot be written to, where the verdict is noted",
                    folder.display()
                ))
                .hint("run as root or as the owner; a copy elsewhere is verified with --file"),
            ),
        })
    }

    /// A file of the backup folder is treated as one of its series; any other is only tried.
    fn file(
        &self,
        context: &Context,
        report: &Reporter,
        path: &Path,
    ) -> anyhow::Result<Option<Outcome>> {
        let folder = &self.store.folder;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let inside = files::identity(files::parent(path))? == files::identity(folder)?;
        let series = self
            .store
            .series()
            .into_iter()
            .find(|series| inside && Name::parse(series, name).is_some());
        let Some(series) = series else {
            let care = Care {
                noted: false,
                compared: true,
            };
            let backup = Backup::at(path)?;
            backup.require_compressed()?;
            return self.one(context, report, &backup, care);
        };
        let _held = self.hold(context, &series)?;
        let all = archive::catalogue(folder, &series, context.moment())?;
        let Some(backup) = all.iter().find(|backup| backup.name.file() == name) else {
            return Err(missing(format!("there is no backup {}", path.display()))
                .hint(format!("empire-maint backup list {series}"))
                .into());
        };
        let care = Care {
            noted: true,
            compared: all.first().is_some_and(|newest| newest.name == backup.name),
        };
        self.one(context, report, backup, care)
    }
}

/// Which of `of` parts a backup belongs to: by its name, so that it stays in its part while others come and go.
fn part_of(stem: &str, of: u64) -> u64 {
    let hash = blake3::hash(stem.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word) % of + 1
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

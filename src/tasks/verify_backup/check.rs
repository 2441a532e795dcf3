//! One backup: restored into scratch, every digest, full integrity, compared with its manifest; the verdict goes into the manifest.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::{DAMAGED, Outcome, Task, UNCHECKED};
use crate::archive::{
    self, Backup, Bad, Content, Extracted, Limits, Manifest, Standing, Verification, VerifiedLevel,
};
use crate::context::Context;
use crate::error::{self, Kind, damaged};
use crate::report::{Finding, Reporter, Severity, Step, Unit};
use crate::sqlite::{self, Facts};
use crate::sys::scratch::Scratch;
use crate::sys::{files, machine, space};

/// What is done with one backup beside trying it.
#[derive(Clone, Copy)]
pub(super) struct Care {
    /// The verdict goes into the manifest: it is in our folder and we hold its lock.
    pub noted: bool,
    /// What the live database has now is what it should have.
    pub compared: bool,
}

impl Task {
    /// Restored, checked, and the verdict noted; `None` in a dry run.
    pub(super) fn one(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        care: Care,
    ) -> anyhow::Result<Option<Outcome>> {
        let step = Step {
            kind: "verify",
            target: backup.path.display().to_string(),
            reason: format!("taken {:.0}", backup.created_at()),
        };
        // One from elsewhere is known by its path: its name may be that of one of ours.
        let (subject, remedy) = match care.noted {
            true => (backup.name.file(), "empire-maint backup --fresh"),
            false => (
                backup.path.display().to_string(),
                "make or copy that file anew: no new backup mends it",
            ),
        };
        let started = Instant::now();
        let looked = report.act(step, |_| {
            Ok(self.restore_and_check(context, report, backup, care))
        })?;
        let Some(looked) = looked else {
            self.note(context, report, backup, care, "the verdict", None)?;
            return Ok(None);
        };
        let rto = started.elapsed();
        let mut outcome = Outcome {
            database: backup.name.series.clone(),
            backup: backup.name.stem.clone(),
            file: backup.path.display().to_string(),
            sound: looked.is_ok(),
            created_at: backup.created_at(),
            rpo_seconds: 0.0,
            rto_seconds: rto.as_secs_f64(),
            plain_bytes: 0,
            facts: None,
        };
        let as_of = match &looked {
            Ok((_, Some(facts))) => facts.data_as_of.map_or_else(
                || backup.created_at(),
                |newest| newest.min(backup.created_at()),
            ),
            _ => backup.data_as_of(),
        };
        let age = context.moment().duration_since(as_of);
        outcome.rpo_seconds = age.as_secs_f64().max(0.0);
        match looked {
            Ok((read, facts)) => {
                for id in [
                    DAMAGED,
                    "backup.previous-damaged",
                    "backup.previous-unreadable",
                ] {
                    report.examined(id, &subject);
                }
                // Of the newest one, under one name for ever; the others are in the detail.
                if care.compared {
                    let labels = [("database", outcome.database.as_str())];
                    report.measure("backup_rpo_seconds", outcome.rpo_seconds, "s", labels);
                    report.measure("backup_rto_seconds", outcome.rto_seconds, "s", labels);
                }
                outcome.plain_bytes = read.plain.size;
                outcome.facts = facts;
                self.note(context, report, backup, care, "restored and sound", None)?;
            }
            // No space, no scratch, a disk that does not answer: that says nothing about the backup.
            Err(error) if error::kind_of(&error) != Kind::Damaged => return Err(error),
            Err(error) => {
                let reason = format!("{error:#}");
                report.find(
                    Finding::new(
                        DAMAGED,
                        Severity::Critical,
                        &subject,
                        format!("{} cannot be restored: {reason}", backup.path.display()),
                    )
                    .hint(remedy),
                );
                self.note(context, report, backup, care, "damaged", Some(reason))?;
            }
        }
        Ok(Some(outcome))
    }

    fn restore_and_check(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        care: Care,
    ) -> anyhow::Result<(Extracted, Option<Facts>)> {
        if let Standing::Unreadable(failure) = &backup.standing {
            let failure = anyhow::Error::from(failure.clone());
            return Err(failure.context("its manifest cannot be read"));
        }
        let within = self.scratch()?;
        let scratch = Scratch::new(within)?;
        let announced = backup
            .manifest()
            .map_or(backup.size.saturating_mul(4), |manifest| {
                manifest.plain.size
            });
        space::require(
            within,
            announced.saturating_add(self.backup.reserve.0),
            "restoring into scratch",
        )?;
        // What nobody vouches for may take half of what is free, and no more: it may be made to fill the disk.
        let room = space::free(within)?.saturating_sub(self.backup.reserve.0) / 2;
        let shown = format!("verifying {}", backup.name.stem);
        let progress = |done: u64| report.progress(done, announced, Unit::Bytes, &shown);
        let limits = Limits {
            threads: machine::threads(self.backup.threads),
            stop: &context.stop,
            progress: &progress,
        };
        let (copy, target) = scratch.file("restored.db")?;
        let (read, serially) = archive::extract_backup(backup, target, room, &limits)?;
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
                let facts = self.check_database(context, report, backup, care, &copy)?;
                Ok((read, Some(facts)))
            }
        }
    }

    fn check_database(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        care: Care,
        copy: &Path,
    ) -> anyhow::Result<Facts> {
        let source = self.store.database(&backup.name.series).ok();
        let stop = &context.stop;
        let manifest = backup.manifest();
        let promised = manifest.and_then(|manifest| manifest.database.as_ref());
        // What was asked of it when it was made: a table that came later makes no old backup bad.
        let expected = manifest
            .map(|manifest| manifest.checks.expected_tables.clone())
            .or_else(|| source.map(|source| source.expect_tables.clone()));
        let freshness = promised
            .map(|promised| promised.freshness.clone())
            .or_else(|| source.map(|source| source.freshness.clone()));
        let facts = sqlite::check_copy(
            copy,
            &expected.unwrap_or_default(),
            &freshness.unwrap_or_default(),
            machine::threads(self.backup.threads),
            stop,
        )?;
        if let Some(promised) = promised {
            let differs = promised.differs(&facts);
            anyhow::ensure!(
                differs.is_empty(),
                damaged(format!(
                    "the restored copy differs from the manifest: {}",
                    differs.join("; ")
                ))
            );
        }
        if let Some(doubt) = facts.doubt() {
            report.find(
                Finding::new(
                    UNCHECKED,
                    Severity::Low,
                    &backup.name.series,
                    format!("{doubt}; in a copy that is restored beside the live one the application can run PRAGMA integrity_check"),
                )
                .hint(format!(
                    "empire-maint restore {} --to /var/tmp/{0}.db",
                    backup.name.series
                )),
            );
        }
        if let (Some(source), true) = (source, care.compared) {
            self.compare_with_live(context, report, source, backup, &facts)?;
        }
        Ok(facts)
    }

    /// Writes the verdict into the manifest.
    fn note(
        &self,
        context: &Context,
        report: &Reporter,
        backup: &Backup,
        care: Care,
        verdict: &str,
        damage: Option<String>,
    ) -> anyhow::Result<()> {
        let (true, Some(manifest)) = (care.noted, backup.manifest()) else {
            return Ok(());
        };
        let noted = with_verdict(manifest.clone(), context, damage);
        let step = Step {
            kind: "note",
            target: backup.path.display().to_string(),
            reason: verdict.to_owned(),
        };
        report.act(step, |permit| {
            archive::rewrite_manifest(permit, &self.store.folder, &backup.name, &noted)
        })?;
        Ok(())
    }
}

fn with_verdict(mut manifest: Manifest, context: &Context, damage: Option<String>) -> Manifest {
    if damage.is_none() {
        if manifest.content == Content::Sqlite {
            manifest.checks.integrity = match &manifest.database {
                Some(facts) => facts.checked_by("integrity_check"),
                None => "integrity_check".to_owned(),
            };
        }
        manifest.verified = Some(Verification {
            level: VerifiedLevel::Restored,
            at: context.now,
            oldest_inflation: context.now.strftime("%Y-%m-%d").to_string(),
        });
    }
    manifest.bad = damage.map(|reason| Bad {
        at: context.now,
        reason,
    });
    manifest
}

/// Reads a tar to its end. What lies behind a link of the same tar could not be unpacked.
fn read_tar(path: &Path) -> anyhow::Result<()> {
    let file = files::open_regular(path)?;
    let broken = |error| archive::unreadable("the tar", error);
    let mut tar = tar::Archive::new(std::io::BufReader::new(file));
    let mut links = BTreeSet::new();
    for entry in tar.entries()? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        if let Some(link) = path.ancestors().skip(1).find(|one| links.contains(*one)) {
            return Err(damaged(format!(
                "{} lies behind the link {} and cannot be unpacked",
                path.display(),
                link.display()
            ))
            .into());
        }
        if entry.header().entry_type().is_symlink() {
            links.insert(path);
        }
        std::io::copy(&mut entry, &mut std::io::sink()).map_err(broken)?;
    }
    Ok(())
}

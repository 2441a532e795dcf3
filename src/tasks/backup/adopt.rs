//! `backup adopt`: a backup that another tool made, read whole, restored into scratch, checked, and given a manifest.

use std::time::Duration;

use crate::archive::retention::{self, Candidate, Verdict};
use crate::archive::{
    self, Backup, Checks, Content, Limits, Manifest, Most, Standing, Store, Verification,
    VerifiedLevel,
};
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error::{Kind, refused};
use crate::report::{Reporter, Step, Unit};
use crate::sqlite;
use crate::sys::scratch::{self, Scratch};
use crate::sys::{files, machine, space};

const TOOL: &str = "adopted";
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    store: &Store,
    settings: &Settings,
    wanted: &str,
) -> anyhow::Result<()> {
    let folder = &store.folder;
    let found = archive::find_backup(folder, &store.series(), wanted)?;
    let series = &found.name.series;
    let _held = context.take(&archive::series_lock(folder, series), PATIENCE)?;
    machine::be_polite(&context.stop);
    // Read again now that nobody else changes it.
    let backup = archive::find_backup(folder, &store.series(), wanted)?;
    scratch::sweep(report, folder)?;
    match &backup.standing {
        Standing::Foreign => {}
        // A killed run came this far; what it could not sync is synced now.
        Standing::Known(manifest) if manifest.tool == TOOL => {
            files::sync_directory(folder)?;
            report.summarise(format!("{} was adopted before", backup.name.stem));
            return Ok(());
        }
        Standing::Known(_) => {
            return Err(refused(format!(
                "{} has its manifest already",
                backup.path.display()
            ))
            .into());
        }
        Standing::Unreadable(failure) => {
            let mut failure = failure.clone();
            if failure.kind == Kind::Damaged {
                failure = refused(failure.message).hint("move that manifest away first");
            }
            let what = format!(
                "{} has a manifest that cannot be read",
                backup.path.display()
            );
            return Err(anyhow::Error::from(failure).context(what));
        }
    }
    let source = store.database(series)?;
    let scratch = Scratch::new(folder)?;
    let (copy, mut file) = scratch.file("adopted.db")?;
    let total = backup.size.saturating_mul(4);
    let progress = |done: u64| report.progress(done, total, Unit::Bytes, "reading the backup");
    let limits = Limits {
        threads: machine::threads(settings.threads),
        stop: &context.stop,
        progress: &progress,
    };
    let most = space::free(folder)?.saturating_sub(settings.reserve.0);
    let read = archive::extract_serially(
        &backup.path,
        Content::Sqlite,
        Most::Room(most),
        Some(&mut file),
        &limits,
    )?;
    let facts = sqlite::check_copy(
        &copy,
        &source.expect_tables,
        &source.freshness,
        machine::threads(settings.threads),
        &context.stop,
    )?;
    let manifest = Manifest {
        format: archive::FORMAT,
        backup: backup.name.stem.clone(),
        series: series.clone(),
        content: Content::Sqlite,
        created_at: backup.name.taken_in(&context.zone),
        host: context.host.to_string(),
        tool: TOOL.to_owned(),
        sqlite: sqlite::version().to_owned(),
        run_id: String::new(),
        source: source.path.display().to_string(),
        plain: read.plain,
        gz: read.gz,
        index: None,
        database: Some(facts),
        journal_mode: None,
        checks: Checks {
            integrity: "integrity_check".to_owned(),
            expected_tables: source.expect_tables.clone(),
        },
        verified: Some(Verification {
            level: VerifiedLevel::Restored,
            at: context.now,
            oldest_inflation: context.now.strftime("%Y-%m-%d").to_string(),
        }),
        bad: None,
        pinned: None,
    };
    let step = Step {
        kind: "adopt",
        target: backup.path.display().to_string(),
        reason: "restored into scratch and found sound".into(),
    };
    report.act(step, |permit| {
        archive::adopt(permit, folder, &backup.name, &manifest)
    })?;
    let all = archive::catalogue(folder, series, context.moment())?;
    let candidates: Vec<_> = all.iter().map(Candidate::from).collect();
    let verdicts = retention::plan(&candidates, &settings.keep, context.moment(), &context.zone);
    let own = |(one, _): &(&Backup, &Verdict)| one.name == backup.name;
    let stays = match all.iter().zip(&verdicts).find(own) {
        Some((_, Verdict::Remove(why))) => format!(
            "; it goes with the next backup ({why}), unless: empire-maint backup pin {}",
            backup.name.stem
        ),
        _ => String::new(),
    };
    report.summarise(format!(
        "{} is sound and has a manifest now{stays}",
        backup.name.stem
    ));
    Ok(())
}

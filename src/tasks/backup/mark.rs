//! `backup pin` and `backup unpin`: a backup that retention leaves alone.

use std::time::Duration;

use crate::archive::{self, Pinned, Store};
use crate::context::Context;
use crate::error::refused;
use crate::report::{Reporter, Step};
use crate::sys::machine;

const PATIENCE: Duration = Duration::from_secs(2 * 3600);

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    store: &Store,
    wanted: &str,
    pin: bool,
) -> anyhow::Result<()> {
    let found = archive::find_backup(&store.folder, &store.series(), wanted)?;
    let lock = archive::series_lock(&store.folder, &found.name.series);
    let _held = context.take(&lock, PATIENCE)?;
    // Read again now that nobody else changes it.
    let backup = archive::find_backup(&store.folder, &store.series(), wanted)?;
    let Some(mut manifest) = backup.manifest().cloned() else {
        return Err(refused(format!(
            "{} has no manifest to note it in",
            backup.path.display()
        ))
        .hint(format!("empire-maint backup adopt {}", backup.name.file()))
        .into());
    };
    manifest.pinned = pin.then(|| Pinned {
        by: machine::user(),
        at: context.now,
    });
    let verb = if pin { "pin" } else { "unpin" };
    let step = Step {
        kind: verb,
        target: backup.path.display().to_string(),
        reason: "asked for".into(),
    };
    report.act(step, |permit| {
        archive::rewrite_manifest(permit, &store.folder, &backup.name, &manifest)
    })?;
    let stem = &backup.name.stem;
    report.summarise(match (pin, context.dry_run) {
        (true, false) => format!("{stem} stays until it is unpinned"),
        (true, true) => format!("{stem} would stay until it is unpinned"),
        (false, false) => format!("{stem} is left to retention again"),
        (false, true) => format!("{stem} would be left to retention again"),
    });
    Ok(())
}

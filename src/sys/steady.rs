//! Large files written so that the application's own commits never wait behind them: what is written goes to the disk in small
//! steps while the writing goes on, on a thread of its own, instead of in one flood at the end.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context as _;

/// Bytes that may wait to be synced: what another process's `fsync` may find in front of it.
pub const STEP: u64 = 16 << 20;

/// Told how far the writing has come.
#[derive(Debug)]
pub struct Steps {
    due: SyncSender<()>,
    reached: AtomicU64,
}

impl Steps {
    /// `total` bytes have been written so far. Every so many it begins to sync them, first waiting until the step before has ended.
    /// Errs when that one failed; [`synced_in_steps`] returns why.
    pub fn written(&self, total: u64) -> anyhow::Result<()> {
        let reached = self.reached.load(Ordering::Relaxed);
        if total < reached.saturating_add(STEP) {
            return Ok(());
        }
        // Several threads may write: one of them takes the step.
        let mine =
            self.reached
                .compare_exchange(reached, total, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return Ok(());
        }
        self.due
            .send(())
            .map_err(|_| anyhow::anyhow!("what was written could not be synced"))
    }
}

/// Runs `work`, which fills `file` in any order, and syncs what it has written in steps. The end of the file, whatever is less than a
/// step, is left to the caller's own sync.
pub fn synced_in_steps<T>(
    file: &File,
    path: &Path,
    work: impl FnOnce(&Steps) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let (due, steps) = sync_channel(0);
        let syncing = scope.spawn(move || steps.iter().try_for_each(|()| file.sync_data()));
        let steps = Steps {
            due,
            reached: AtomicU64::new(0),
        };
        let worked = work(&steps);
        drop(steps);
        let synced = syncing
            .join()
            .map_err(|_| anyhow::anyhow!("the syncing thread panicked"))?;
        synced.with_context(|| format!("cannot sync {}", path.display()))?;
        worked
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_cannot_be_synced_ends_the_writing() {
        // What is no file has nothing to sync, and says so.
        let path = Path::new("/dev/zero");
        let file = File::open(path).expect("opens");
        let mut errs = Vec::new();
        let failed = synced_in_steps(&file, path, |steps| {
            for total in [STEP - 1, STEP, 2 * STEP - 1, 2 * STEP] {
                errs.push(steps.written(total).is_err());
            }
            Ok(())
        });
        assert_eq!(errs, [false, false, false, true]);
        let error = failed.expect_err("failed").to_string();
        assert_eq!(error, "cannot sync /dev/zero");
    }

    #[test]
    fn the_writers_own_error_is_not_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        let file = File::create(&path).expect("creates");
        let failed: anyhow::Result<()> =
            synced_in_steps(&file, &path, |_| anyhow::bail!("no more"));
        assert_eq!(failed.expect_err("failed").to_string(), "no more");
    }
}

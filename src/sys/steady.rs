//! Large files written so that the application's own commits never wait behind them: what is written goes to the disk in small
//! steps while the writing goes on, on a thread of its own, instead of in one flood at the end.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context as _;

/// Bytes that may wait to be synced: what another process's `fsync` may find in front of it.
pub const STEP: u64 = 16 << 20;

/// Told how far the writing has come.
#[derive(Debug)]
pub struct Steps {
    due: SyncSender<u64>,
    reached: AtomicU64,
}

impl Steps {
    /// `total` bytes have been written so far. Every so many it begins to sync them, first waiting until the step before has ended,
    /// and says that it did. Errs when that one failed; [`synced_in_steps`] returns why.
    pub fn written(&self, total: u64) -> anyhow::Result<bool> {
        let reached = self.reached.load(Ordering::Relaxed);
        if total < reached.saturating_add(STEP) {
            return Ok(false);
        }
        // Several threads may write: one of them takes the step.
        let mine =
            self.reached
                .compare_exchange(reached, total, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return Ok(false);
        }
        self.due
            .send(total)
            .map_err(|_| anyhow::anyhow!("what was written could not be synced"))?;
        Ok(true)
    }
}

/// Runs `work`, which fills `file`, and syncs what it has written in steps. `after` is told of each synced part. The end of the
/// file, whatever is less than a step, is left to the caller's own sync.
pub fn synced_in_steps<T>(
    file: &File,
    path: &Path,
    after: impl Fn(u64, u64) + Send,
    work: impl FnOnce(&Steps) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let (due, steps) = sync_channel(0);
        let syncing = scope.spawn(move || {
            let mut from = 0;
            steps.iter().try_for_each(|to| {
                file.sync_data()?;
                after(from, to);
                from = to;
                io::Result::Ok(())
            })
        });
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
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_is_synced_is_whole_steps_one_behind_the_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        let file = File::create(&path).expect("creates");
        let parts = Mutex::new(Vec::new());
        let note = |from, to| parts.lock().expect("no panic").push((from, to));
        let taken = synced_in_steps(&file, &path, note, |steps| {
            let mut taken = 0;
            for number in 1..=50u64 {
                (&file).write_all(&vec![1; 1 << 20])?;
                taken += u64::from(steps.written(number << 20)?);
            }
            Ok(taken)
        });
        assert_eq!(taken.expect("writes"), 3);
        let parts = parts.into_inner().expect("no panic");
        assert_eq!(parts, [(0, STEP), (STEP, 2 * STEP), (2 * STEP, 3 * STEP)]);
    }

    #[test]
    fn the_writers_own_error_is_not_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        let file = File::create(&path).expect("creates");
        let failed: anyhow::Result<()> =
            synced_in_steps(&file, &path, |_, _| {}, |_| anyhow::bail!("no more"));
        assert_eq!(failed.expect_err("failed").to_string(), "no more");
    }
}

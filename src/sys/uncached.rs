//! Large files written past the page cache, where the file system can do that (`O_DIRECT`): that takes less of the processors, the
//! application's own commits never wait behind a flood of ours, and what is read back comes from the disk. A thread of its own
//! writes, and syncs in steps while the work goes on.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::steady::STEP;

/// No common disk or file system wants memory, place and length to be multiples of more.
const ALIGNMENT: usize = 4096;
/// Written at once.
const WINDOW: usize = 1 << 20;
/// One is filled, one is written, and one waits.
const WINDOWS: usize = 3;

/// Runs `work`, which fills the new `file` from its beginning, and syncs it: in steps while it is written, and at the end. `synced`
/// is told of each part that is on the disk.
pub fn write<T>(
    file: &File,
    path: &Path,
    synced: impl Fn(u64, u64) + Send,
    work: impl FnOnce(&mut Writer) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let (full, receive_full) = sync_channel(WINDOWS);
        let (send_empty, empty) = sync_channel(WINDOWS);
        let writing = scope.spawn(move || write_windows(file, &receive_full, &send_empty, synced));
        let mut writer = Writer {
            filling: Window::new(),
            unused: WINDOWS - 1,
            full,
            empty,
        };
        let worked = work(&mut writer);
        let worked = worked.and_then(move |done| {
            writer.finish()?;
            Ok(done)
        });
        let written = writing
            .join()
            .map_err(|_| anyhow::anyhow!("the writing thread panicked"))?;
        written.with_context(|| format!("cannot write {}", path.display()))?;
        worked
    })
}

/// Takes what is to be written.
pub struct Writer {
    filling: Window,
    /// Windows that were never needed so far.
    unused: usize,
    full: SyncSender<Window>,
    empty: Receiver<Window>,
}

impl Writer {
    /// One that is not full, be it empty, is the end of the file.
    fn finish(self) -> io::Result<()> {
        self.full.send(self.filling).map_err(|_| gone())
    }

    fn next_window(&mut self) -> io::Result<()> {
        let next = match self.unused {
            0 => self.empty.recv().map_err(|_| gone())?,
            _ => {
                self.unused -= 1;
                Window::new()
            }
        };
        let full = std::mem::replace(&mut self.filling, next);
        self.full.send(full).map_err(|_| gone())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.filling.take(bytes);
        if self.filling.is_full() {
            self.next_window()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The other side has its own error, which is the one worth telling.
fn gone() -> io::Error {
    io::Error::other("nothing can be written any more")
}

/// Memory that begins where the disk wants it to.
struct Window {
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Window {
    fn new() -> Self {
        let memory = vec![0; WINDOW + ALIGNMENT];
        Self {
            start: memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT),
            memory,
            filled: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.filled == WINDOW
    }

    /// As much of `bytes` as there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(WINDOW - self.filled);
        let from = self.start + self.filled;
        self.memory[from..from + length].copy_from_slice(&bytes[..length]);
        self.filled += length;
        length
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }
}

/// Ends with the window that is not full, or, with the file as it is, where none comes any more.
fn write_windows(
    file: &File,
    full: &Receiver<Window>,
    empty: &SyncSender<Window>,
    synced: impl Fn(u64, u64),
) -> io::Result<()> {
    let mut direct = set_direct(file, true).is_ok();
    let (mut written, mut on_disk) = (0, 0);
    for mut window in full {
        let last = !window.is_full();
        if last && direct {
            direct = false;
            set_direct(file, false)?;
        }
        write_all(file, window.bytes(), &mut direct)?;
        written += window.filled as u64;
        if last {
            file.sync_all()?;
            synced(on_disk, written);
            break;
        }
        window.filled = 0;
        let _ = empty.send(window);
        if written - on_disk >= STEP {
            file.sync_data()?;
            synced(on_disk, written);
            on_disk = written;
        }
    }
    Ok(())
}

/// A file system that takes the flag may still refuse what it is asked to write that way, and a disk that is nearly full may take a
/// part: then the rest goes through the page cache.
fn write_all(mut file: &File, mut bytes: &[u8], direct: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if *direct && error.kind() == io::ErrorKind::InvalidInput => {
                *direct = false;
                set_direct(file, false)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Mutex;

    use super::*;

    fn is_direct(file: &File) -> bool {
        fcntl_getfl(file).expect("flags").contains(OFlags::DIRECT)
    }

    #[test]
    fn a_file_is_written_whole_whatever_its_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let step = STEP as usize;
        for length in [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, step, 2 * step + 4097] {
            let path = folder.path().join(length.to_string());
            let file = File::create_new(&path).expect("creates");
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let parts = Mutex::new(Vec::new());
            let note = |from, to| parts.lock().expect("no panic").push((from, to));
            write(&file, &path, note, |writer| {
                // In pieces that fit nothing.
                Ok(bytes
                    .chunks(300_007)
                    .try_for_each(|piece| writer.write_all(piece))?)
            })
            .expect("writes");
            let mut read = Vec::new();
            let mut again = File::open(&path).expect("opens");
            again.read_to_end(&mut read).expect("reads");
            assert!(read == bytes, "{length} bytes");
            assert!(!is_direct(&file), "whoever has it next knows nothing of it");
            let parts = parts.into_inner().expect("no panic");
            let mut expected: Vec<(u64, u64)> = (0..length as u64 / STEP)
                .map(|step| (step * STEP, (step + 1) * STEP))
                .collect();
            expected.push((length as u64 / STEP * STEP, length as u64));
            assert_eq!(parts, expected);
        }
    }

    #[test]
    fn whoever_fails_first_is_heard() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        let file = File::create_new(&path).expect("creates");
        let failed: anyhow::Result<()> =
            write(&file, &path, |_, _| {}, |_| anyhow::bail!("no more"));
        assert_eq!(failed.expect_err("failed").to_string(), "no more");
        let unwritable = File::open(&path).expect("opens");
        let failed = write(
            &unwritable,
            &path,
            |_, _| {},
            |writer| Ok(writer.write_all(&vec![1; 8 * WINDOW])?),
        );
        let error = failed.expect_err("failed").to_string();
        assert!(error.contains("large"), "{error}");
    }

    /// As a file system does that takes the flag and no such writes.
    #[test]
    fn what_is_refused_past_the_cache_goes_through_it() {
        let file = tempfile::tempfile().expect("a file");
        let mut direct = set_direct(&file, true).is_ok();
        write_all(&file, &[1; 100], &mut direct).expect("writes");
        assert!(!direct && !is_direct(&file));
        assert_eq!(file.metadata().expect("is there").len(), 100);
    }
}

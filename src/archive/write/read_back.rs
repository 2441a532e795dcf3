//! Behind the writer: what has been synced is read back from the disk, and every member compared with its digest, while later ones
//! are still being made.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use anyhow::{Context as _, ensure};

use super::super::index::Record;
use super::feed::stopped;
use crate::error::damaged;
use crate::sys::{Stop, files};

/// What the writer tells.
pub(super) struct Progress<'a> {
    gz: &'a File,
    members: Sender<Record>,
    synced: SyncSender<u64>,
}

/// Reads what the writer has written.
pub(super) struct ReadBack<'a> {
    gz: &'a File,
    gz_path: &'a Path,
    members: Receiver<Record>,
    synced: Receiver<u64>,
    stop: &'a Stop,
}

/// Both sides of one file.
pub(super) fn behind<'a>(
    gz: &'a File,
    gz_path: &'a Path,
    stop: &'a Stop,
) -> (Progress<'a>, ReadBack<'a>) {
    let (send_members, members) = channel();
    // A disk that reads slower than it writes holds the writer up, so that what waits to be read does not grow with the data.
    let (send_synced, synced) = sync_channel(1);
    let progress = Progress {
        gz,
        members: send_members,
        synced: send_synced,
    };
    let read_back = ReadBack {
        gz,
        gz_path,
        members,
        synced,
        stop,
    };
    (progress, read_back)
}

impl Progress<'_> {
    /// The next member.
    pub(super) fn written(&self, record: Record) -> anyhow::Result<()> {
        self.members.send(record).map_err(|_| stopped())
    }

    /// Whole members are on the disk: they are forgotten, so that they are read from there. A reader that is gone has its own
    /// error.
    pub(super) fn synced(&self, from: u64, to: u64) {
        files::read_again(self.gz, from, to);
        let _ = self.synced.send(to);
    }
}

impl ReadBack<'_> {
    /// Ends when nothing more is synced; returns how many bytes were right.
    pub(super) fn run(self) -> anyhow::Result<u64> {
        let mut right = 0;
        let mut member = Vec::new();
        for synced in self.synced {
            while right < synced {
                self.stop.check()?;
                let record = self.members.recv().map_err(|_| stopped())?;
                member.resize(record.length as usize, 0);
                self.gz
                    .read_exact_at(&mut member, right)
                    .with_context(|| format!("cannot read {}", self.gz_path.display()))?;
                ensure!(
                    *blake3::hash(&member).as_bytes() == record.member,
                    damaged(format!(
                        "{} does not read back as it was written: the member at byte {right} does not have its digest",
                        self.gz_path.display()
                    ))
                );
                right += u64::from(record.length);
            }
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{Kind, kind_of};

    fn read_back(file: &File, members: &[&[u8]]) -> anyhow::Result<u64> {
        let stop = Stop::after(Duration::from_secs(60));
        let (progress, read_back) = behind(file, Path::new("x.gz"), &stop);
        let mut length = 0;
        for member in members {
            let record = Record {
                length: u32::try_from(member.len())?,
                inflated_day: 0,
                plain: [0; 32],
                member: *blake3::hash(member).as_bytes(),
            };
            progress.written(record)?;
            length += member.len() as u64;
        }
        progress.synced(0, length);
        drop(progress);
        read_back.run()
    }

    #[test]
    fn a_byte_that_the_disk_gives_back_otherwise_is_seen() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(b"onetwo", 0).expect("writes");
        let members = [&b"one"[..], b"two"];
        assert_eq!(read_back(&file, &members).expect("is right"), 6);
        file.write_all_at(b"x", 4).expect("writes");
        let error = read_back(&file, &members).expect_err("is wrong");
        assert_eq!(kind_of(&error), Kind::Damaged);
        assert!(error.to_string().contains("byte 3"), "{error}");
    }
}

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

/// The members that were written, in their order.
pub(super) struct Members(Sender<Record>);

impl Members {
    /// The next one. A reader that is gone has its own error.
    pub(super) fn push(&self, record: Record) -> anyhow::Result<()> {
        self.0.send(record).map_err(|_| stopped())
    }
}

/// How much of the file is on the disk.
pub(super) struct Synced {
    gz: File,
    synced: SyncSender<u64>,
}

impl Synced {
    /// So much: the part is forgotten, if it was ever kept in memory, so that it is read from the disk. A reader that is gone has its
    /// own error.
    pub(super) fn reached(&self, from: u64, to: u64) {
        files::read_again(&self.gz, from, to);
        let _ = self.synced.send(to);
    }
}

/// Reads what has been written.
pub(super) struct ReadBack<'a> {
    gz: File,
    gz_path: &'a Path,
    members: Receiver<Record>,
    synced: Receiver<u64>,
    stop: &'a Stop,
}

/// All sides of one file. It is opened once more: how it is written is nothing to who reads it.
pub(super) fn behind<'a>(
    gz_path: &'a Path,
    stop: &'a Stop,
) -> anyhow::Result<(Members, Synced, ReadBack<'a>)> {
    let gz = files::open_regular(gz_path)?;
    let (send_members, members) = channel();
    // A disk that reads slower than it writes holds the writer up, so that what waits to be read does not grow with the data.
    let (send_synced, synced) = sync_channel(1);
    let sender = Synced {
        gz: gz.try_clone()?,
        synced: send_synced,
    };
    let read_back = ReadBack {
        gz,
        gz_path,
        members,
        synced,
        stop,
    };
    Ok((Members(send_members), sender, read_back))
}

impl ReadBack<'_> {
    /// Ends with the members, or when nothing more is synced; returns how many bytes were right.
    pub(super) fn run(self) -> anyhow::Result<u64> {
        let (mut right, mut synced) = (0, 0);
        let mut member = Vec::new();
        for record in self.members {
            let end = right + u64::from(record.length);
            while synced < end {
                let Ok(more) = self.synced.recv() else {
                    return Ok(right);
                };
                synced = more;
            }
            self.stop.check()?;
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
            right = end;
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{Kind, kind_of};

    fn read_back(path: &Path, members: &[&[u8]]) -> anyhow::Result<u64> {
        let stop = Stop::after(Duration::from_secs(60));
        let (written, synced, read_back) = behind(path, &stop)?;
        let mut length = 0;
        for member in members {
            let record = Record {
                length: u32::try_from(member.len())?,
                inflated_day: 0,
                plain: [0; 32],
                member: *blake3::hash(member).as_bytes(),
            };
            written.push(record)?;
            length += member.len() as u64;
        }
        synced.reached(0, length);
        drop((written, synced));
        read_back.run()
    }

    #[test]
    fn a_byte_that_the_disk_gives_back_otherwise_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.gz");
        std::fs::write(&path, "onetwo").expect("writes");
        let members = [&b"one"[..], b"two"];
        assert_eq!(read_back(&path, &members).expect("is right"), 6);
        std::fs::write(&path, "onexwo").expect("writes");
        let error = read_back(&path, &members).expect_err("is wrong");
        assert_eq!(kind_of(&error), Kind::Damaged);
        assert!(error.to_string().contains("byte 3"), "{error}");
    }
}

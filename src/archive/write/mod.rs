//! From plain bytes to a .gz and its index, on all cores: one feeder, workers that digest and compress or copy, one ordered writer,
//! and behind it a reader that gets back from the disk what was synced. Memory is bounded by the number of blocks in flight,
//! whatever the size of the data.

mod collect;
mod feed;
mod read_back;
mod work;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, sync_channel};

use anyhow::Context as _;

use super::index::{IndexReader, IndexWriter, file_digest};
use super::manifest::Manifest;
use super::name::{Name, Part};
use super::publish::{Draft, Verified, Written};
use crate::report::Permit;
use crate::sys::{Stop, files, uncached};
use collect::{Output, Room, write_in_order};
use feed::{Buffers, Feeder, stopped};
use work::{Trouble, work};

/// Pieces on their way, however few the workers: a slow one, or a disk that is busy for a moment, holds nobody up.
const LEAST_IN_FLIGHT: usize = 16;

/// The backup before this one, from which unchanged members are copied.
pub struct Previous {
    gz: File,
    index: IndexReader,
    trouble: Trouble,
}

impl Previous {
    /// Opens a good backup for copying. Errs where its index is missing or does not match its manifest.
    pub fn open(folder: &Path, name: &Name, manifest: &Manifest) -> anyhow::Result<Self> {
        let figures = manifest.index.as_ref().context("it has no index")?;
        let index_path = name.index(folder);
        let mut index = files::open_regular(&index_path)?;
        anyhow::ensure!(
            file_digest(&mut index)?.to_hex().as_str() == figures.blake3,
            "{} does not match its manifest",
            index_path.display()
        );
        let gz = files::open_regular(&name.gz(folder))?;
        anyhow::ensure!(
            gz.metadata()?.len() == manifest.gz.size,
            "its size is not the one in its manifest"
        );
        Ok(Self {
            gz,
            index: IndexReader::new(files::open_regular(&index_path)?)?,
            trouble: Trouble::default(),
        })
    }

    /// True when a member that should have been copied did not have its digest.
    pub fn damaged(&self) -> bool {
        self.trouble.damaged.load(Ordering::Relaxed)
    }

    /// What the disk said where it did not give back a member that should have been copied: that is no word about the backup.
    pub fn unread(&self) -> Option<&io::Error> {
        self.trouble.unread.get()
    }
}

/// What is to be written, and how.
pub struct Writing<'a> {
    /// The backup folder.
    pub folder: &'a Path,
    /// The name that it will have.
    pub name: &'a Name,
    /// Where unchanged members come from.
    pub previous: Option<&'a mut Previous>,
    /// Compressing threads.
    pub threads: usize,
    /// It stays root's, whoever owns the folder.
    pub roots: bool,
    /// Today, days since 1970.
    pub day: u32,
    /// Free space that is left to others, bytes; the writing stops when it would go below.
    pub reserve: u64,
    /// Signals and time limits.
    pub stop: &'a Stop,
    /// Told the plain bytes done so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// Runs `source` into new part files, syncs them, and reads every stored byte back. Nothing is left behind on an error.
pub fn write(
    permit: &Permit,
    writing: Writing<'_>,
    source: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<Verified> {
    let draft = Draft::new(writing.folder, writing.name);
    let gz_path = writing.name.part(writing.folder, Part::Gz);
    let index_path = writing.name.part(writing.folder, Part::Index);
    match fill(permit, writing, source, &gz_path, &index_path) {
        Ok(written) => Ok(Verified::new(draft, written)),
        Err(error) => {
            draft.discard(permit);
            Err(error)
        }
    }
}

fn fill(
    permit: &Permit,
    writing: Writing<'_>,
    source: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    gz_path: &Path,
    index_path: &Path,
) -> anyhow::Result<Written> {
    let create = match writing.roots {
        true => files::create_own,
        false => files::create_new,
    };
    let gz = &create(permit, gz_path)?;
    let index = IndexWriter::new(create(permit, index_path)?)?;
    let in_flight = (writing.threads * 2 + 4).max(LEAST_IN_FLIGHT);
    let (send_empty, empty) = channel();
    for _ in 0..in_flight {
        send_empty.send(Buffers::default()).map_err(|_| stopped())?;
    }
    let (jobs, receive_jobs) = sync_channel(in_flight);
    let receive_jobs = Mutex::new(receive_jobs);
    let (send_done, receive_done) = channel();
    let (previous, old_index) = match writing.previous {
        // The index is read by the feeder while the workers read the .gz: two disjoint halves of one value.
        Some(Previous { gz, index, trouble }) => (Some((&*gz, &*trouble)), Some(index)),
        None => (None, None),
    };
    let (day, stop) = (writing.day, writing.stop);
    let room = Room {
        folder: writing.folder,
        reserve: writing.reserve,
    };
    let (members, synced, read_back) = read_back::behind(gz_path, stop)?;
    std::thread::scope(|scope| {
        for _ in 0..writing.threads {
            let send_done = send_done.clone();
            let receive_jobs = &receive_jobs;
            scope.spawn(move || work(receive_jobs, &send_done, previous, day));
        }
        drop(send_done);
        let read_back = scope.spawn(move || read_back.run());
        let writer = scope.spawn(move || {
            let on_disk = |from, to| synced.reached(from, to);
            uncached::write(gz, gz_path, on_disk, |gz| {
                let output = Output {
                    gz,
                    index,
                    index_path,
                    room,
                    members,
                };
                write_in_order(output, &receive_done, &send_empty)
            })
        });
        let mut feeder = Feeder::new(jobs, empty, old_index, stop, writing.progress);
        let fed = source(&mut feeder).and_then(|()| feeder.finish());
        let fed_some = feeder.fed_some();
        drop(feeder);
        let written = writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        let right = read_back
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        // A writer that nobody reads behind any more ends too, with an error that says less.
        let written = right.and_then(|right| {
            let written = written?;
            anyhow::ensure!(
                right == written.gz.size,
                "{right} of {} bytes were read back",
                written.gz.size
            );
            Ok(written)
        });
        // The source's own error may have come through `io::Error`, which hides that the run was stopped.
        // The writer's is the cause when both have one, unless it never got anything to write.
        match (fed, written) {
            (Ok(()), written) => written,
            (Err(error), written) => {
                let theirs = written.err().filter(|_| fed_some);
                Err(stop.check().err().or(theirs).unwrap_or(error))
            }
        }
    })
}

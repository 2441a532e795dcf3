//! The first stage: plain bytes in pieces of any size become pieces of whole blocks, each block with the old member at its place.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender};

use super::super::BLOCK;
use super::super::index::{IndexReader, Record};
use crate::sys::Stop;

/// Plain bytes that go from stage to stage at once: each hand-over wakes a thread, and most often a processor.
pub(super) const PIECE: usize = 4 * BLOCK;

/// Some blocks on their way to a worker.
pub(super) struct Job {
    pub(super) first: u64,
    /// One block is all there is.
    pub(super) only: bool,
    pub(super) buffers: Buffers,
    /// The old member at the place of each block.
    pub(super) previous: Vec<Option<(u64, Record)>>,
}

/// Room for a piece and its members. They go round from the writer to the feeder and back: that bounds the memory, and new
/// memory costs more than one might think.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) plain: Vec<u8>,
    pub(super) members: Vec<u8>,
}

/// Takes plain bytes in pieces of any size and hands whole blocks to the workers.
pub struct Feeder<'a> {
    jobs: SyncSender<Job>,
    empty: Receiver<Buffers>,
    index: Option<&'a mut IndexReader>,
    filling: Buffers,
    next: u64,
    stop: &'a Stop,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Feeder<'a> {
    pub(super) fn new(
        jobs: SyncSender<Job>,
        empty: Receiver<Buffers>,
        index: Option<&'a mut IndexReader>,
        stop: &'a Stop,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Self {
        Self {
            jobs,
            empty,
            index,
            filling: Buffers::default(),
            next: 0,
            stop,
            progress,
        }
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        match self.filling.plain.is_empty() {
            true => Ok(()),
            false => self.dispatch(true),
        }
    }

    /// True once a block is on its way.
    pub(super) fn fed_some(&self) -> bool {
        self.next > 0
    }

    fn dispatch(&mut self, last: bool) -> anyhow::Result<()> {
        self.stop.check()?;
        // Returned by the writer: this is what bounds the blocks in flight.
        let empty = self.empty.recv().map_err(|_| stopped())?;
        let buffers = std::mem::replace(&mut self.filling, empty);
        self.filling.plain.clear();
        let blocks = buffers.plain.len().div_ceil(BLOCK);
        let only = last && self.next == 0 && blocks == 1;
        let previous = match only {
            true => vec![None],
            false => (0..blocks).map(|_| self.next_old_member()).collect(),
        };
        let job = Job {
            first: self.next,
            only,
            buffers,
            previous,
        };
        self.jobs.send(job).map_err(|_| stopped())?;
        self.next += blocks as u64;
        (self.progress)(self.next * BLOCK as u64);
        Ok(())
    }

    /// The member at the same place in the previous backup. The digest of a single block is of another kind, so it is never compared;
    /// an index that cannot be read only costs the copying.
    fn next_old_member(&mut self) -> Option<(u64, Record)> {
        let index = self
            .index
            .as_mut()
            .filter(|index| index.header.members > 1)?;
        match index.next_member() {
            Ok(member) => member,
            Err(_) => {
                self.index = None;
                None
            }
        }
    }
}

/// The other side of a channel is gone: its own error is the one worth telling.
pub(super) fn stopped() -> anyhow::Error {
    anyhow::anyhow!("the backup pipeline stopped")
}

impl Write for Feeder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece waits for the next byte, so that the last one is known to be the last.
        if self.filling.plain.len() == PIECE && !bytes.is_empty() {
            self.dispatch(false).map_err(io::Error::other)?;
        }
        let plain = &mut self.filling.plain;
        let length = bytes.len().min(PIECE - plain.len());
        plain.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The first stage: plain bytes in pieces of any size become whole blocks, each with the old member at its place.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender};

use super::super::BLOCK;
use super::super::index::{IndexReader, Record};
use crate::sys::Stop;

/// One block on its way to a worker.
pub(super) struct Job {
    pub(super) index: u64,
    pub(super) only: bool,
    pub(super) plain: Vec<u8>,
    pub(super) member: Vec<u8>,
    pub(super) previous: Option<(u64, Record)>,
}

/// Room for one block and its member. They go round from the writer to the feeder and back: that bounds the memory, and new
/// memory costs more than one might think.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) plain: Vec<u8>,
    pub(super) member: Vec<u8>,
}

/// Takes plain bytes in pieces of any size and hands whole blocks to the workers.
pub struct Feeder<'a> {
    jobs: SyncSender<Job>,
    empty: Receiver<Buffers>,
    index: Option<&'a mut IndexReader>,
    block: Vec<u8>,
    member: Vec<u8>,
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
            block: Vec::with_capacity(BLOCK),
            member: Vec::new(),
            next: 0,
            stop,
            progress,
        }
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        match self.block.is_empty() {
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
        let plain = std::mem::replace(&mut self.block, empty.plain);
        let member = std::mem::replace(&mut self.member, empty.member);
        self.block.clear();
        let only = last && self.next == 0;
        let previous = if only { None } else { self.next_old_member() };
        let job = Job {
            index: self.next,
            only,
            plain,
            member,
            previous,
        };
        self.jobs.send(job).map_err(|_| stopped())?;
        self.next += 1;
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
        // A full block waits for the next byte, so that the last one is known to be the last.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.dispatch(false).map_err(io::Error::other)?;
        }
        let length = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

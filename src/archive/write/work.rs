//! The second stage, on all cores: a block becomes the member that it had in the backup before, where it still is the same, or a
//! new one that has been inflated and compared.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::super::BLOCK;
use super::super::digest::block_digest;
use super::super::index::Record;
use super::super::member::{Deflater, Inflater};
use super::feed::{Buffers, Job};

/// A copied member is inflated again when nobody has done so for this many days; a seventh of them is, each day.
const DAYS_BETWEEN_INFLATIONS: u32 = 7;

/// What was wrong with members that should have been copied.
#[derive(Default)]
pub(super) struct Trouble {
    /// One did not have its digest, or was cut off.
    pub(super) damaged: AtomicBool,
    /// What the disk said instead of giving one back, the first time.
    pub(super) unread: OnceLock<io::Error>,
}

impl Trouble {
    /// True for a member that can be copied; what is wrong with another one is kept.
    fn accepts(&self, old: Old) -> bool {
        match old {
            Old::Sound => return true,
            Old::Damaged => self.damaged.store(true, Ordering::Relaxed),
            Old::Unread(error) => {
                let _ = self.unread.set(error); // the first one is told
            }
        }
        false
    }
}

/// An old member, read.
enum Old {
    Sound,
    Damaged,
    Unread(io::Error),
}

/// The members of a piece, on their way to the writer.
pub(super) struct Done {
    pub(super) first: u64,
    pub(super) records: Vec<Record>,
    pub(super) copied: u64,
    pub(super) buffers: Buffers,
}

/// Ends when there is no more to do, or when nobody takes the result any more.
pub(super) fn work(
    jobs: &Mutex<Receiver<Job>>,
    done: &Sender<anyhow::Result<Done>>,
    previous: Option<(&File, &Trouble)>,
    day: u32,
) {
    let mut tools = match Tools::new() {
        Ok(tools) => tools,
        Err(error) => {
            let _ = done.send(Err(error));
            return;
        }
    };
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let result = members_of(job, &mut tools, previous, day);
        if done.send(result).is_err() {
            return;
        }
    }
}

/// What one worker owns.
struct Tools {
    deflater: Deflater,
    inflater: Inflater,
    inflated: Vec<u8>,
}

impl Tools {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            deflater: Deflater::new()?,
            inflater: Inflater::default(),
            inflated: vec![0; BLOCK],
        })
    }

    /// Inflates and compares while both are in the processor's cache. That the same bytes are on the disk is shown
    /// afterwards, by their digest.
    fn require_inflates(&mut self, member: &[u8], plain: &[u8]) -> anyhow::Result<()> {
        let inflated = &mut self.inflated[..plain.len()];
        self.inflater.inflate(member, inflated)?;
        anyhow::ensure!(
            inflated == plain,
            "a member does not inflate to its own content"
        );
        Ok(())
    }
}

fn members_of(
    job: Job,
    tools: &mut Tools,
    previous: Option<(&File, &Trouble)>,
    day: u32,
) -> anyhow::Result<Done> {
    let Buffers { plain, mut members } = job.buffers;
    members.clear();
    let mut records = Vec::with_capacity(job.previous.len());
    let mut copied = 0;
    for ((number, block), old) in (job.first..).zip(plain.chunks(BLOCK)).zip(job.previous) {
        let digest = block_digest(number, job.only, block);
        let start = members.len();
        let same = old.filter(|(_, record)| record.plain == digest);
        let record = match (previous, same) {
            (Some((gz, trouble)), Some((offset, record)))
                if trouble.accepts(append_old(gz, offset, &record, &mut members)) =>
            {
                copied += 1;
                let due = is_due(&record, number, day);
                if due {
                    tools.require_inflates(&members[start..], block)?;
                }
                Record {
                    inflated_day: if due { day } else { record.inflated_day },
                    ..record
                }
            }
            _ => {
                tools.deflater.compress(block, &mut members)?;
                let member = &members[start..];
                tools.require_inflates(member, block)?;
                Record {
                    length: u32::try_from(member.len())?,
                    inflated_day: day,
                    plain: digest,
                    member: *blake3::hash(member).as_bytes(),
                }
            }
        };
        records.push(record);
    }
    Ok(Done {
        first: job.first,
        records,
        copied,
        buffers: Buffers { plain, members },
    })
}

/// True where a copied member has to be inflated again today.
fn is_due(record: &Record, number: u64, day: u32) -> bool {
    let age = day.saturating_sub(record.inflated_day);
    let turn = |number: u64| number % u64::from(DAYS_BETWEEN_INFLATIONS);
    record.inflated_day != day
        && (age >= DAYS_BETWEEN_INFLATIONS
            || record.inflated_day > day
            || turn(number) == turn(u64::from(day)))
}

/// Appends the bytes of an old member. Only what is read and is not what the index says is damage.
fn append_old(gz: &File, offset: u64, record: &Record, members: &mut Vec<u8>) -> Old {
    let start = members.len();
    members.resize(start + record.length as usize, 0);
    let member = &mut members[start..];
    let old = match gz.read_exact_at(member, offset) {
        Ok(()) if *blake3::hash(member).as_bytes() == record.member => return Old::Sound,
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Old::Unread(error),
        _ => Old::Damaged,
    };
    members.truncate(start);
    old
}

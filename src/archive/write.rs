//! From plain bytes to a .gz and its index, on all cores: one feeder, workers that digest and compress or copy, one ordered writer.
//! Memory is bounded by the number of blocks in flight, whatever the size of the data.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::digest::{Tree, block_digest};
use super::index::{Header, IndexReader, IndexWriter, Record, file_digest};
use super::manifest::{Index, Manifest, Plain, Stored, day_text};
use super::member::{CODEC, Deflater, Inflater, LEVEL};
use super::name::{Name, Part};
use super::{BLOCK, publish::Draft};
use crate::report::Permit;
use crate::sys::steady::{self, Steps};
use crate::sys::{Stop, files, space};

const WRITE_BUFFER: usize = 1 << 20;
/// A copied member is inflated again when nobody has done so for this many days; a seventh of them is, each day.
const DAYS_BETWEEN_INFLATIONS: u32 = 7;

/// The backup before this one, from which unchanged members are copied.
pub struct Previous {
    gz: File,
    index: IndexReader,
    damaged: AtomicBool,
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
            damaged: AtomicBool::new(false),
        })
    }

    /// True when a member that should have been copied did not have its digest.
    pub fn damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
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
    /// Today, days since 1970.
    pub day: u32,
    /// Free space that is left to others, bytes; the writing stops when it would go below.
    pub reserve: u64,
    /// Signals and time limits.
    pub stop: &'a Stop,
    /// Told the plain bytes done so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// What was written into the parts.
pub struct Written {
    /// The parts, synced, waiting to be verified.
    pub draft: Draft,
    /// Digest and size of what went in.
    pub plain: Plain,
    /// Digest and size of what came out.
    pub gz: Stored,
    /// About the index.
    pub index: Index,
    /// The oldest day on which a member was inflated, once today's are.
    pub oldest_inflation: String,
}

/// One block on its way to a worker.
struct Job {
    index: u64,
    only: bool,
    plain: Vec<u8>,
    member: Vec<u8>,
    previous: Option<(u64, Record)>,
}

/// One member on its way to the writer.
struct Done {
    index: u64,
    record: Record,
    member: Vec<u8>,
    plain: Vec<u8>,
    copied: bool,
}

/// Room for one block and its member. They go round from the writer to the feeder and back: that bounds the memory, and new
/// memory costs more than one might think.
#[derive(Default)]
struct Buffers {
    plain: Vec<u8>,
    member: Vec<u8>,
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

impl Feeder<'_> {
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
fn stopped() -> anyhow::Error {
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

/// Runs `source` into new part files and syncs them. Nothing is left behind on an error.
pub fn write(
    permit: &Permit,
    writing: Writing<'_>,
    source: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<Written> {
    let draft = Draft::new(writing.folder, writing.name);
    let gz_path = writing.name.part(writing.folder, Part::Gz);
    let index_path = writing.name.part(writing.folder, Part::Index);
    let result = fill(permit, writing, source, &gz_path, &index_path);
    match result {
        Ok(filled) => Ok(filled.into_written(draft)),
        Err(error) => {
            draft.discard(permit);
            Err(error)
        }
    }
}

struct Filled {
    plain: Plain,
    gz: Stored,
    index: Index,
    oldest: u32,
}

impl Filled {
    fn into_written(self, draft: Draft) -> Written {
        Written {
            draft,
            plain: self.plain,
            gz: self.gz,
            index: self.index,
            oldest_inflation: day_text(self.oldest),
        }
    }
}

fn fill(
    permit: &Permit,
    writing: Writing<'_>,
    source: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    gz_path: &Path,
    index_path: &Path,
) -> anyhow::Result<Filled> {
    let gz = files::create_new(permit, gz_path)?;
    let index = IndexWriter::new(files::create_new(permit, index_path)?)?;
    let in_flight = writing.threads * 4 + 8;
    let (send_empty, empty) = channel();
    for _ in 0..in_flight {
        send_empty.send(Buffers::default()).map_err(|_| stopped())?;
    }
    let (jobs, receive_jobs) = sync_channel(in_flight);
    let receive_jobs = Mutex::new(receive_jobs);
    let (send_done, receive_done) = channel();
    let (previous, old_index) = match writing.previous {
        // The index is read by the feeder while the workers read the .gz: two disjoint halves of one value.
        Some(Previous { gz, index, damaged }) => (Some((&*gz, &*damaged)), Some(index)),
        None => (None, None),
    };
    let (day, stop) = (writing.day, writing.stop);
    let room = Room {
        folder: writing.folder,
        reserve: writing.reserve,
    };
    std::thread::scope(|scope| {
        for _ in 0..writing.threads {
            let send_done = send_done.clone();
            let receive_jobs = &receive_jobs;
            scope.spawn(move || work(receive_jobs, &send_done, previous, day));
        }
        drop(send_done);
        let writer = scope.spawn(move || {
            // What has been synced is forgotten and asked for again: once everything is written, most of it has come back from
            // the disk.
            let read_again = |from, to| files::read_again(&gz, from, to);
            steady::synced_in_steps(&gz, gz_path, read_again, |steps| {
                let output = Output {
                    gz: &gz,
                    gz_path,
                    index,
                    index_path,
                    room,
                };
                write_in_order(output, &receive_done, &send_empty, steps)
            })
        });
        let mut feeder = Feeder {
            jobs,
            empty,
            index: old_index,
            block: Vec::with_capacity(BLOCK),
            member: Vec::new(),
            next: 0,
            stop,
            progress: writing.progress,
        };
        let fed = source(&mut feeder).and_then(|()| match feeder.block.is_empty() {
            true => Ok(()),
            false => feeder.dispatch(true),
        });
        let fed_some = feeder.next > 0;
        drop(feeder);
        let filled = writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        // The source's own error may have come through `io::Error`, which hides that the run was stopped.
        // The writer's is the cause when both have one, unless it never got anything to write.
        match (fed, filled) {
            (Ok(()), filled) => filled,
            (Err(error), filled) => {
                let theirs = filled.err().filter(|_| fed_some);
                Err(stop.check().err().or(theirs).unwrap_or(error))
            }
        }
    })
}

/// Ends when there is no more to do, or when nobody takes the result any more.
fn work(
    jobs: &Mutex<Receiver<Job>>,
    done: &Sender<anyhow::Result<Done>>,
    previous: Option<(&File, &AtomicBool)>,
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
        let result = member_of(job, &mut tools, previous, day);
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

fn member_of(
    job: Job,
    tools: &mut Tools,
    previous: Option<(&File, &AtomicBool)>,
    day: u32,
) -> anyhow::Result<Done> {
    let plain = block_digest(job.index, job.only, &job.plain);
    let mut member = job.member;
    if let (Some((gz, damaged)), Some((offset, record))) = (previous, job.previous)
        && record.plain == plain
        && read_member(gz, offset, &record, &mut member, damaged)
    {
        let age = day.saturating_sub(record.inflated_day);
        let due = record.inflated_day != day
            && (age >= DAYS_BETWEEN_INFLATIONS
                || record.inflated_day > day
                || job.index % u64::from(DAYS_BETWEEN_INFLATIONS)
                    == u64::from(day % DAYS_BETWEEN_INFLATIONS));
        let inflated_day = if due { day } else { record.inflated_day };
        if due {
            tools.require_inflates(&member, &job.plain)?;
        }
        return Ok(Done {
            index: job.index,
            record: Record {
                inflated_day,
                ..record
            },
            member,
            plain: job.plain,
            copied: true,
        });
    }
    tools.deflater.compress(&job.plain, &mut member)?;
    tools.require_inflates(&member, &job.plain)?;
    let record = Record {
        length: u32::try_from(member.len())?,
        inflated_day: day,
        plain,
        member: *blake3::hash(&member).as_bytes(),
    };
    Ok(Done {
        index: job.index,
        record,
        member,
        plain: job.plain,
        copied: false,
    })
}

/// The bytes of an old member, if they still are what the index says.
fn read_member(
    gz: &File,
    offset: u64,
    record: &Record,
    into: &mut Vec<u8>,
    damaged: &AtomicBool,
) -> bool {
    into.resize(record.length as usize, 0);
    let sound =
        gz.read_exact_at(into, offset).is_ok() && *blake3::hash(into).as_bytes() == record.member;
    if !sound {
        damaged.store(true, Ordering::Relaxed);
    }
    sound
}

/// The space that must stay free while we write.
struct Room<'a> {
    folder: &'a Path,
    reserve: u64,
}

impl Room<'_> {
    fn require(&self) -> anyhow::Result<()> {
        space::require(
            self.folder,
            self.reserve,
            "the reserve, while the backup is written",
        )
    }
}

/// Where the writer puts what it gets.
struct Output<'a> {
    gz: &'a File,
    gz_path: &'a Path,
    index: IndexWriter,
    index_path: &'a Path,
    room: Room<'a>,
}

fn write_in_order(
    output: Output<'_>,
    done: &Receiver<anyhow::Result<Done>>,
    empty: &Sender<Buffers>,
    steps: &Steps,
) -> anyhow::Result<Filled> {
    let Output {
        gz,
        gz_path,
        mut index,
        index_path,
        room,
    } = output;
    let describe = || format!("cannot write {}", gz_path.display());
    let mut sha256 = Sha256::new();
    let mut tree = Tree::default();
    let mut waiting = BTreeMap::new();
    let mut buffer = Vec::with_capacity(WRITE_BUFFER + super::member::LONGEST);
    let (mut plain, mut length, mut members, mut copied) = (0u64, 0u64, 0u64, 0u64);
    let mut oldest = u32::MAX;
    let mut synced = 0;
    for result in done {
        let result = result?;
        waiting.insert(result.index, result);
        while let Some(next) = waiting.remove(&members) {
            members += 1;
            plain += next.plain.len() as u64;
            length += next.member.len() as u64;
            copied += u64::from(next.copied);
            oldest = oldest.min(next.record.inflated_day);
            tree.push(next.record.plain);
            index.push(&next.record)?;
            buffer.extend_from_slice(&next.member);
            if buffer.len() >= WRITE_BUFFER {
                flush(gz, &mut buffer, &mut sha256).with_context(describe)?;
            }
            let _ = empty.send(Buffers {
                plain: next.plain,
                member: next.member,
            });
        }
        let written = length - buffer.len() as u64;
        if steps.written(written)? {
            synced = written;
            room.require()?;
        }
    }
    anyhow::ensure!(waiting.is_empty(), "a block of the backup is missing");
    anyhow::ensure!(members > 0, "there is nothing to back up");
    flush(gz, &mut buffer, &mut sha256).with_context(describe)?;
    files::sync(gz, gz_path)?;
    files::read_again(gz, synced, length);
    let header = Header {
        members,
        plain,
        gz: length,
    };
    let mut index = index.finish(header)?;
    files::sync(&index, index_path)?;
    files::drop_cache(&index);
    io::Seek::rewind(&mut index)?;
    Ok(Filled {
        plain: Plain {
            size: plain,
            blake3: tree.finish().to_hex().to_string(),
        },
        gz: Stored {
            size: length,
            sha256: hex(&sha256.finalize()),
        },
        index: Index {
            blake3: file_digest(&mut index)?.to_hex().to_string(),
            block: BLOCK as u64,
            members,
            copied,
            codec: CODEC.to_owned(),
            level: LEVEL,
        },
        oldest,
    })
}

fn flush(mut gz: &File, buffer: &mut Vec<u8>, sha256: &mut Sha256) -> io::Result<()> {
    gz.write_all(buffer)?;
    sha256.update(&buffer);
    buffer.clear();
    Ok(())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

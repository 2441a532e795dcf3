//! The one way to read a published backup, for verify-backup and restore.
//! With its index on all cores, every stored byte compared with its digest; without one serially, as `zcat` would.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::BLOCK;
use super::catalogue::Backup;
use super::digest::hex;
use super::digest::{Tree, block_digest};
use super::index::{IndexReader, Record, file_digest};
use super::manifest::{Index, Plain, Stored};
use super::member::Inflater;
use super::name::Content;
use crate::error::{self, Failure, Kind};
use crate::sqlite;
use crate::sys::{Stop, files};
use crate::units::Bytes;

/// Bytes that the disk is asked for before they are needed.
const READ_AHEAD: u64 = 8 << 20;
/// Where a damaged backup is not the only one.
const OTHERS: &str = "empire-maint backup list";

/// What reading costs at most.
pub struct Limits<'a> {
    /// Inflating threads.
    pub threads: usize,
    /// Signals and time limits.
    pub stop: &'a Stop,
    /// Told the plain bytes done so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// Digest and size of the plain bytes.
    pub plain: Plain,
    /// Size of the .gz, and its SHA-256 where it was read serially.
    pub gz: Stored,
}

/// Where the files are and what the manifest says of them.
struct Expected<'a> {
    gz: &'a Path,
    index: &'a Path,
    plain: &'a Plain,
    stored: &'a Stored,
    figures: &'a Index,
}

struct Job {
    number: u64,
    offset: u64,
    record: Record,
    plain: usize,
    only: bool,
}

/// Every member into its place in `target`, on all cores: each stored byte and what it inflates to compared with their digests.
fn extract(
    expected: &Expected<'_>,
    target: &File,
    limits: &Limits<'_>,
) -> anyhow::Result<Extracted> {
    let gz = files::open_regular(expected.gz)?;
    let index = open_index(expected)?;
    ensure!(
        gz.metadata()?.len() == expected.stored.size,
        damaged(expected.gz, "its size is not the one in its manifest")
    );
    let (send, receive) = sync_channel(limits.threads * 4);
    let receive = Mutex::new(receive);
    let reading = Reading {
        gz: &gz,
        target,
        limits,
        done: AtomicU64::new(0),
        failed: Mutex::new(None),
    };
    let mut announced = 0;
    let fed = std::thread::scope(|scope| {
        for _ in 0..limits.threads {
            scope.spawn(|| reading.work(&receive));
        }
        let fed = feed(index, |job| {
            // Several threads on one file: the kernel does not see by itself that they read it from end to end.
            if job.offset + READ_AHEAD > announced {
                files::will_read(&gz, announced, READ_AHEAD);
                announced += READ_AHEAD;
            }
            !reading.has_failed() && send.send(job).is_ok()
        });
        drop(send);
        fed
    });
    if let Some(error) = reading
        .failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        return Err(match error::kind_of(&error) {
            Kind::Damaged => error.context(format!("{} is damaged", expected.gz.display())),
            _ => error.context(format!("reading {}", expected.gz.display())),
        });
    }
    let digest = fed?;
    let digest = digest.to_hex().to_string();
    ensure!(
        digest == expected.plain.blake3,
        damaged(
            expected.gz,
            "its content does not have the digest in its manifest"
        )
    );
    Ok(Extracted {
        plain: expected.plain.clone(),
        gz: expected.stored.clone(),
    })
}

fn damaged(path: &Path, what: &str) -> Failure {
    error::damaged(format!("{} is damaged: {what}", path.display())).hint(OTHERS)
}

fn open_index(expected: &Expected<'_>) -> anyhow::Result<IndexReader> {
    let mut file = files::open_regular(expected.index)?;
    ensure!(
        file_digest(&mut file)?.to_hex().as_str() == expected.figures.blake3,
        "{} does not match the manifest",
        expected.index.display()
    );
    io::Seek::rewind(&mut file)?;
    let index = IndexReader::new(file)?;
    ensure!(
        index.header.plain == expected.plain.size && index.header.gz == expected.stored.size,
        "{} does not match the manifest",
        expected.index.display()
    );
    Ok(index)
}

/// Gives every member to the workers, in order; ends early when they do.
fn feed(mut index: IndexReader, mut give: impl FnMut(Job) -> bool) -> anyhow::Result<blake3::Hash> {
    let mut tree = Tree::default();
    let mut number = 0;
    while let Some((offset, record)) = index.next_member()? {
        tree.push(record.plain);
        let job = Job {
            number,
            offset,
            record,
            plain: index.block_length(number),
            only: index.header.members == 1,
        };
        if !give(job) {
            anyhow::bail!("the readers stopped");
        }
        number += 1;
    }
    Ok(tree.finish())
}

/// What the workers share.
struct Reading<'a> {
    gz: &'a File,
    target: &'a File,
    limits: &'a Limits<'a>,
    done: AtomicU64,
    failed: Mutex<Option<anyhow::Error>>,
}

impl Reading<'_> {
    fn has_failed(&self) -> bool {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Takes jobs to the end, also after a failure: the feeder must never wait for a worker that is gone.
    fn work(&self, jobs: &Mutex<Receiver<Job>>) {
        let mut inflater = Inflater::default();
        let mut member = Vec::new();
        let mut plain = vec![0; BLOCK];
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if self.has_failed() {
                continue;
            }
            let plain = &mut plain[..job.plain];
            if let Err(error) = self.check(&job, &mut inflater, &mut member, plain) {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
            }
        }
    }

    fn check(
        &self,
        job: &Job,
        inflater: &mut Inflater,
        member: &mut Vec<u8>,
        plain: &mut [u8],
    ) -> anyhow::Result<()> {
        self.limits.stop.check()?;
        let record = &job.record;
        let place = || format!("member {} at byte {}", job.number, job.offset);
        member.resize(record.length as usize, 0);
        self.gz
            .read_exact_at(member, job.offset)
            .with_context(place)?;
        ensure!(
            *blake3::hash(member).as_bytes() == record.member,
            error::damaged(format!("{}: its bytes do not have their digest", place()))
        );
        inflater.inflate(member, plain).with_context(place)?;
        ensure!(
            block_digest(job.number, job.only, plain) == record.plain,
            error::damaged(format!("{}: its content does not have its digest", place()))
        );
        self.target.write_all_at(plain, job.number * BLOCK as u64)?;
        let length = plain.len() as u64;
        let before = self.done.fetch_add(length, Ordering::Relaxed);
        (self.limits.progress)(before + length);
        Ok(())
    }
}

/// How much a backup may inflate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// What its manifest says: more is damage.
    Promised(u64),
    /// What there is room for: more says nothing about the backup.
    Room(u64),
}

impl Most {
    fn require(self, gz: &Path, plain: u64) -> anyhow::Result<()> {
        match self {
            Self::Promised(most) if plain > most => Err(damaged(
                gz,
                &format!(
                    "it inflates to more than the {} that were announced",
                    Bytes(most)
                ),
            )
            .into()),
            Self::Room(room) if plain > room => Err(Failure::new(
                Kind::Failed,
                format!(
                    "not enough space: {} inflates to more than the {} that it may take",
                    gz.display(),
                    Bytes(room)
                ),
            )
            .hint("free some space, or use another disk: [verify] scratch_dir, restore --to")
            .into()),
            _ => Ok(()),
        }
    }
}

/// A whole backup into an empty file: by its index on all cores, or serially where there is none that fits; compared with its
/// manifest where there is one, else bounded by `room`. The second value says why it was read serially.
pub fn extract_backup(
    backup: &Backup,
    mut target: File,
    room: u64,
    limits: &Limits<'_>,
) -> anyhow::Result<(Extracted, Option<String>)> {
    let index = backup.index_path();
    let manifest = backup.manifest();
    let why = match manifest.and_then(|manifest| Some((manifest, manifest.index.as_ref()?))) {
        None => "it has no index".to_owned(),
        Some((manifest, figures)) => {
            let expected = Expected {
                gz: &backup.path,
                index: &index,
                plain: &manifest.plain,
                stored: &manifest.gz,
                figures,
            };
            match open_index(&expected) {
                Err(error) => format!("{error:#}"),
                Ok(_) => {
                    let read = extract(&expected, &target, limits)?;
                    return Ok((read, None));
                }
            }
        }
    };
    let most = match manifest {
        Some(manifest) => Most::Promised(manifest.plain.size),
        None => Most::Room(room),
    };
    let content = backup.name.content;
    let read = extract_serially(&backup.path, content, most, Some(&mut target), limits)?;
    if let Some(manifest) = manifest {
        ensure!(
            read.gz == manifest.gz && read.plain == manifest.plain,
            damaged(&backup.path, "it does not have the digests in its manifest")
        );
    }
    Ok((read, Some(why)))
}

/// Inflates as `zcat` does, for backups without a usable index. Stops at `most` plain bytes, and for a database at the size
/// that its own header announces, so that a small file cannot fill the disk.
pub fn extract_serially(
    gz: &Path,
    content: Content,
    most: Most,
    mut target: Option<&mut dyn Write>,
    limits: &Limits<'_>,
) -> anyhow::Result<Extracted> {
    let mut decoder = MultiGzDecoder::new(Tee {
        file: io::BufReader::with_capacity(256 << 10, files::open_regular(gz)?),
        sha256: Sha256::new(),
        length: 0,
    });
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let (mut plain, mut announced) = (0u64, u64::MAX);
    loop {
        limits.stop.check()?;
        let filled = fill(&mut decoder, &mut buffer).map_err(|error| {
            unreadable(&format!("{} at plain byte {plain}", gz.display()), error)
        })?;
        if plain == 0 && content == Content::Sqlite {
            let size = sqlite::header_size(&buffer[..filled])
                .ok_or_else(|| damaged(gz, "its content is not an SQLite database"))?;
            most.require(gz, size)?;
            if size > 0 {
                announced = size;
            }
        }
        if filled == 0 {
            break;
        }
        plain += filled as u64;
        Most::Promised(announced).require(gz, plain)?;
        most.require(gz, plain)?;
        hasher.update(&buffer[..filled]);
        if let Some(target) = &mut target {
            target.write_all(&buffer[..filled])?;
        }
        (limits.progress)(plain);
    }
    let tee = decoder.into_inner();
    Ok(Extracted {
        plain: Plain {
            size: plain,
            blake3: hasher.finalize().to_hex().to_string(),
        },
        gz: Stored {
            size: tee.length,
            sha256: hex(&tee.sha256.finalize()),
        },
    })
}

/// What a decoder refuses, or misses, is damage; what the disk refuses is not.
pub fn unreadable(what: &str, error: io::Error) -> anyhow::Error {
    match error::system_error(&error) {
        None => error::damaged(format!("{what} is damaged: {error}"))
            .hint(OTHERS)
            .into(),
        Some(_) => anyhow::Error::from(error).context(format!("reading {what}")),
    }
}

/// Fills the buffer as far as the input goes, so that the first piece holds a whole header.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

/// Digests what passes through.
struct Tee {
    file: io::BufReader<File>,
    sha256: Sha256,
    length: u64,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.sha256.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

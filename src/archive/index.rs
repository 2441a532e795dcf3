//! The index of the members: what lets a backup be checked and restored on all cores, and the next one copy what has not changed.
//! A help and never needed. Streamed both ways, never loaded: 576 KiB a GiB of plain data.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use blake3::hazmat::ChainingValue;

use super::BLOCK;
use super::member::{CODEC, LEVEL, LONGEST};
use crate::error::damaged;
use crate::sys::files;

const MAGIC: &[u8; 8] = b"EMPIDX1\n";
const HEADER: usize = 64;
const RECORD: usize = 72;

/// What the index says of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Bytes of the member in the .gz.
    pub length: u32,
    /// The day when it was last inflated and compared, days since 1970.
    pub inflated_day: u32,
    /// The digest of the plain block: its chaining value, or the plain BLAKE3 where it is the only one.
    pub plain: ChainingValue,
    /// The BLAKE3 of the member's bytes.
    pub member: [u8; 32],
}

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of members.
    pub members: u64,
    /// Plain bytes in all.
    pub plain: u64,
    /// Bytes of the .gz.
    pub gz: u64,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&LEVEL.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.members.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.plain.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.gz.to_le_bytes());
        bytes[40..40 + CODEC.len()].copy_from_slice(CODEC.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let header = Self {
            members: number(16),
            plain: number(24),
            gz: number(32),
        };
        // Another block size, codec or level makes other bytes: then it is not an index that this version can use.
        (header.to_bytes() == *bytes).then_some(header)
    }
}

/// Bytes that an index of so many members has; a number out of a damaged header may be any.
pub fn size(members: u64) -> u64 {
    members
        .saturating_mul(RECORD as u64)
        .saturating_add(HEADER as u64)
}

/// Writes the records as they come; the header, which holds the totals, at the end.
pub struct IndexWriter {
    file: BufWriter<File>,
    records: blake3::Hasher,
}

impl IndexWriter {
    /// Starts an index in an empty file.
    pub fn new(file: File) -> anyhow::Result<Self> {
        let mut file = BufWriter::with_capacity(64 << 10, file);
        file.write_all(&[0; HEADER])?;
        Ok(Self {
            file,
            records: blake3::Hasher::new(),
        })
    }

    /// The next record.
    pub fn push(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&record.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&record.inflated_day.to_le_bytes());
        bytes[8..40].copy_from_slice(&record.plain);
        bytes[40..].copy_from_slice(&record.member);
        self.records.update(&bytes);
        self.file.write_all(&bytes)?;
        Ok(())
    }

    /// Puts the header in its place, syncs, and reads all of it back from the disk. Returns the BLAKE3 of the file.
    pub fn finish(self, header: Header, path: &Path) -> anyhow::Result<blake3::Hash> {
        use std::os::unix::fs::FileExt as _;
        let header = header.to_bytes();
        let mut file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.write_all_at(&header, 0)?;
        files::sync(&file, path)?;
        files::drop_cache(&file);
        let mut stored = [0; HEADER];
        file.rewind()?;
        file.read_exact(&mut stored)?;
        let records = file_digest(&mut file)?;
        ensure!(
            stored == header && records == self.records.finalize(),
            damaged(format!(
                "{} does not read back as it was written",
                path.display()
            ))
        );
        file.rewind()?;
        file_digest(&mut file)
    }
}

/// Reads the records one after the other.
pub struct IndexReader {
    file: BufReader<File>,
    /// The totals.
    pub header: Header,
    left: u64,
    offset: u64,
}

impl IndexReader {
    /// Opens an index; errs when it is not one that fits its own length.
    pub fn new(file: File) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(64 << 10, file);
        let mut bytes = [0; HEADER];
        file.read_exact(&mut bytes)
            .context("the index is too short")?;
        let header =
            Header::from_bytes(&bytes).context("not an index that this version can read")?;
        ensure!(length == size(header.members), "the index is truncated");
        let blocks = header.plain.div_ceil(BLOCK as u64);
        ensure!(
            blocks == header.members,
            "the index does not match its own totals"
        );
        Ok(Self {
            file,
            header,
            left: header.members,
            offset: 0,
        })
    }

    /// The next record with the offset of its member in the .gz; `None` at the end, where the lengths must add up.
    pub fn next_member(&mut self) -> anyhow::Result<Option<(u64, Record)>> {
        if self.left == 0 {
            ensure!(
                self.offset == self.header.gz,
                "the lengths in the index do not add up"
            );
            return Ok(None);
        }
        self.left -= 1;
        let mut bytes = [0; RECORD];
        self.file
            .read_exact(&mut bytes)
            .context("cannot read the index")?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let digest = |at: usize| {
            let mut digest = [0; 32];
            digest.copy_from_slice(&bytes[at..at + 32]);
            digest
        };
        let record = Record {
            length: word(0),
            inflated_day: word(4),
            plain: digest(8),
            member: digest(40),
        };
        ensure!(
            record.length as usize <= LONGEST,
            "the index holds an impossible length"
        );
        let offset = self.offset;
        self.offset += u64::from(record.length);
        Ok(Some((offset, record)))
    }

    /// Plain bytes of block `index`.
    pub fn block_length(&self, index: u64) -> usize {
        let start = index * BLOCK as u64;
        usize::try_from(self.header.plain.saturating_sub(start))
            .map_or(BLOCK, |left| left.min(BLOCK))
    }
}

/// The BLAKE3 of a file from where it stands, read in pieces.
pub fn file_digest(file: &mut File) -> anyhow::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> File {
        let mut file = tempfile::tempfile().expect("a file");
        let mut writer = IndexWriter::new(file.try_clone().expect("clones")).expect("starts");
        for length in [10, 20] {
            let record = Record {
                length,
                inflated_day: 20_000,
                plain: [1; 32],
                member: [2; 32],
            };
            writer.push(&record).expect("writes");
        }
        let header = Header {
            members: 2,
            plain: BLOCK as u64 + 1,
            gz: 30,
        };
        let digest = writer.finish(header, Path::new("index")).expect("finishes");
        file.rewind().expect("rewinds");
        assert_eq!(file_digest(&mut file).expect("reads"), digest);
        file.rewind().expect("rewinds");
        file
    }

    #[test]
    fn records_round_trip_with_their_offsets() {
        let mut reader = IndexReader::new(written()).expect("opens");
        assert_eq!(reader.block_length(0), BLOCK);
        assert_eq!(reader.block_length(1), 1);
        let offsets: Vec<_> = std::iter::from_fn(|| reader.next_member().expect("reads"))
            .map(|(offset, record)| (offset, record.length))
            .collect();
        assert_eq!(offsets, [(0, 10), (10, 20)]);
    }

    #[test]
    fn an_impossible_number_of_members_is_refused() {
        use std::os::unix::fs::FileExt as _;
        let file = written();
        file.write_all_at(&u64::MAX.to_le_bytes(), 16)
            .expect("writes");
        let error = IndexReader::new(file).err().expect("is refused");
        assert_eq!(error.to_string(), "the index is truncated");
    }

    #[test]
    fn a_truncated_or_altered_index_is_refused() {
        let file = written();
        file.set_len(100).expect("truncates");
        assert!(IndexReader::new(file).is_err());
        use std::os::unix::fs::FileExt as _;
        let file = written();
        file.write_all_at(&[9], 9).expect("writes");
        assert!(IndexReader::new(file).is_err());
    }
}

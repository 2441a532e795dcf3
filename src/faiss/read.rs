//! Reads an index file: its shape, and of each vector the id and the place.

use std::fs::{File, Metadata};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Kind, Map, Metric, Parameters, Shape};
use crate::error::{Failure, damaged, refused};
use crate::sys::files;

const WIDEST: usize = 1 << 20;
const MOST_LEVELS: usize = 64;

/// A vector in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// What the index calls it.
    pub id: i64,
    /// Where it begins in the file.
    pub offset: u64,
}

/// An index file.
#[derive(Debug)]
pub struct Index {
    /// What it is.
    pub shape: Shape,
    /// Its vectors, in the order of the file.
    pub entries: Vec<Entry>,
    /// The graph of an HNSW.
    pub(super) graph: Option<Graph>,
    /// How many vectors each list of an IVF holds; empty lists may be left out.
    pub(super) lists: Vec<(u64, u64)>,
    file: File,
    path: PathBuf,
    opened: Stamp,
}

/// Whether a file is still the one that was read, and as it was.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

pub(super) fn stamp_of(meta: &Metadata) -> Stamp {
    (
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
    )
}

/// What every index file begins with, whatever its kind.
#[derive(Debug)]
pub struct Glance {
    /// The four letters of its kind.
    pub kind: String,
    /// Numbers a vector.
    pub dimension: usize,
    /// Its vectors.
    pub total: u64,
    opened: Stamp,
}

impl Glance {
    /// Of a file whose rest need not be known here.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        let file = files::open_regular(path)?;
        let meta = file.metadata()?;
        let mut bytes = Bytes {
            reader: BufReader::new(&file),
            at: 0,
            length: meta.len(),
            lists: Vec::new(),
        };
        let mut read = || -> anyhow::Result<Self> {
            let fourcc: [u8; 4] = bytes.array()?;
            let dimension = usize::try_from(bytes.i32()?).unwrap_or(0);
            let total = u64::try_from(bytes.i64()?);
            // Those of binary vectors begin otherwise.
            let known = fourcc.starts_with(b"I") && !fourcc.starts_with(b"IB");
            match total {
                Ok(total) if known && (1..=WIDEST).contains(&dimension) => Ok(Self {
                    kind: String::from_utf8_lossy(&fourcc).into_owned(),
                    dimension,
                    total,
                    opened: stamp_of(&meta),
                }),
                _ => Err(damaged("it is no FAISS index of float vectors").into()),
            }
        };
        read().with_context(|| path.display().to_string())
    }

    /// True while nobody else has put another file in its place, or written into it.
    pub fn is_still(&self, path: &Path) -> anyhow::Result<bool> {
        let now = files::metadata(path)?;
        Ok(now.is_some_and(|now| stamp_of(&now) == self.opened))
    }
}

/// Where the parts of an HNSW graph are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Graph {
    pub offsets: u64,
    pub neighbours: u64,
    pub links: u64,
    pub entry: i32,
    pub top: i32,
}

impl Index {
    /// Opens and reads it. A kind that is not written here is refused, bytes that are no index are damaged.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = files::open_regular(path)?;
        let meta = file.metadata()?;
        let length = meta.len();
        let mut lists = Vec::new();
        let mut read = || -> anyhow::Result<(Shape, Vec<Entry>, Option<Graph>)> {
            let mut bytes = Bytes {
                reader: BufReader::with_capacity(1 << 18, &file),
                at: 0,
                length,
                lists: Vec::new(),
            };
            let found = bytes.index()?;
            if bytes.at != length {
                return Err(damaged(format!("{} bytes behind its end", length - bytes.at)).into());
            }
            lists = bytes.lists;
            Ok(found)
        };
        let (shape, entries, graph) = read().with_context(|| path.display().to_string())?;
        Ok(Self {
            shape,
            entries,
            graph,
            lists,
            opened: stamp_of(&meta),
            file,
            path: path.to_owned(),
        })
    }

    /// The bytes of a vector.
    pub fn vector(&self, entry: Entry, into: &mut Vec<u8>) -> anyhow::Result<()> {
        self.bytes(entry.offset, self.shape.width(), into)
    }

    pub(super) fn bytes(&self, at: u64, length: usize, into: &mut Vec<u8>) -> anyhow::Result<()> {
        into.resize(length, 0);
        self.file
            .read_exact_at(into, at)
            .with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// True while nobody else has put another file in its place, or written into it.
    pub fn is_still(&self, path: &Path) -> anyhow::Result<bool> {
        let own = self.file.metadata()?;
        let now = files::metadata(path)?;
        Ok(self.opened == stamp_of(&own) && now.is_some_and(|now| stamp_of(&now) == self.opened))
    }
}

struct Bytes<'a> {
    reader: BufReader<&'a File>,
    at: u64,
    length: u64,
    lists: Vec<(u64, u64)>,
}

struct Header {
    fourcc: [u8; 4],
    dimension: usize,
    total: u64,
    metric: Metric,
}

/// Positions of vectors that follow each other.
struct Run {
    first: u64,
    count: u64,
}

impl Bytes<'_> {
    fn index(&mut self) -> anyhow::Result<(Shape, Vec<Entry>, Option<Graph>)> {
        let header = self.header()?;
        let map = match &header.fourcc {
            b"IxMp" => Map::Map,
            b"IxM2" => Map::Map2,
            _ => {
                let (kind, entries, graph) = self.inner(&header)?;
                return Ok((header.shape(Map::Bare, kind), entries, graph));
            }
        };
        let inner = self.header()?;
        if (inner.dimension, inner.total) != (header.dimension, header.total) {
            return Err(damaged("its two headers differ").into());
        }
        let (kind, mut entries, graph) = self.inner(&inner)?;
        let ids = self.count(8)?;
        if ids != entries.len() as u64 {
            return Err(damaged(format!("{ids} ids for {} vectors", entries.len())).into());
        }
        let ids: Vec<i64> = (0..ids)
            .map(|_| self.i64())
            .collect::<anyhow::Result<_>>()?;
        for entry in &mut entries {
            entry.id = usize::try_from(entry.id)
                .ok()
                .and_then(|at| ids.get(at).copied())
                .ok_or_else(|| damaged(format!("position {} is in no map", entry.id)))?;
        }
        Ok((inner.shape(map, kind), entries, graph))
    }

    fn header(&mut self) -> anyhow::Result<Header> {
        let fourcc = self.array()?;
        let known = [b"IxF2", b"IxFI", b"IxMp", b"IxM2", b"IHNf", b"IwFl"];
        if !known.contains(&&fourcc) {
            return Err(unknown(&fourcc).into());
        }
        let dimension = usize::try_from(self.i32()?).unwrap_or(0);
        let total = self.i64()?;
        let _ = (self.i64()?, self.i64()?);
        let [trained] = self.array()?;
        let metric = match self.i32()? {
            0 => Metric::InnerProduct,
            1 => Metric::L2,
            other => {
                return Err(refused(format!(
                    "its metric ({other}) is neither L2 nor inner product"
                ))
                .into());
            }
        };
        let total = u64::try_from(total).map_err(|_| damaged(format!("{total} vectors")))?;
        if dimension == 0 || dimension > WIDEST {
            return Err(damaged(format!("{dimension} dimensions")).into());
        }
        if trained != 1 {
            return Err(refused("it is not trained").into());
        }
        Ok(Header {
            fourcc,
            dimension,
            total,
            metric,
        })
    }

    fn inner(&mut self, header: &Header) -> anyhow::Result<(Kind, Vec<Entry>, Option<Graph>)> {
        match &header.fourcc {
            b"IxF2" | b"IxFI" => {
                let entries = self.flat(header)?.entries(header);
                Ok((Kind::Flat, entries, None))
            }
            b"IHNf" => self.hnsw(header),
            b"IwFl" => self.ivf(header),
            other => Err(unknown(other).into()),
        }
    }

    fn flat(&mut self, header: &Header) -> anyhow::Result<Run> {
        let numbers = self.count(4)?;
        if Some(numbers) != header.total.checked_mul(header.dimension as u64) {
            return Err(damaged(format!("{numbers} numbers for {} vectors", header.total)).into());
        }
        let first = self.at;
        self.skip(numbers * 4)?;
        Ok(Run {
            first,
            count: header.total,
        })
    }

    fn hnsw(&mut self, header: &Header) -> anyhow::Result<(Kind, Vec<Entry>, Option<Graph>)> {
        let levels_known = |count: u64| -> anyhow::Result<()> {
            match count {
                2.. if count <= MOST_LEVELS as u64 => Ok(()),
                _ => Err(damaged(format!("{count} levels")).into()),
            }
        };
        let count = self.count(8)?;
        levels_known(count + 1)?;
        let probabilities = (0..count)
            .map(|_| self.f64())
            .collect::<anyhow::Result<_>>()?;
        let count = self.count(4)?;
        levels_known(count)?;
        let cumulative: Vec<i32> = (0..count)
            .map(|_| self.i32())
            .collect::<anyhow::Result<_>>()?;
        if cumulative.first() != Some(&0) || !cumulative.is_sorted() {
            return Err(damaged("its levels do not add up").into());
        }
        let total = header.total;
        let part =
            |bytes: &mut Self, width: u64, expected: Option<u64>| -> anyhow::Result<(u64, u64)> {
                let count = bytes.count(width)?;
                if expected.is_some_and(|expected| expected != count) {
                    return Err(damaged(format!("{count} entries for {total} vectors")).into());
                }
                let at = bytes.at;
                bytes.skip(count * width)?;
                Ok((at, count))
            };
        let _ = part(self, 4, Some(total))?;
        let (offsets, _) = part(self, 8, Some(total + 1))?;
        let (neighbours, links) = part(self, 4, None)?;
        let (entry, top) = (self.i32()?, self.i32()?);
        let (ef_construction, ef_search) = (self.i32()?, self.i32()?);
        let _ = self.i32()?;
        let storage = self.header()?;
        if !matches!(&storage.fourcc, b"IxF2" | b"IxFI") {
            return Err(unknown(&storage.fourcc).into());
        }
        if (storage.dimension, storage.total, storage.metric)
            != (header.dimension, total, header.metric)
        {
            return Err(damaged("graph and vectors are not of one index").into());
        }
        let entries = self.flat(&storage)?.entries(&storage);
        let parameters = Parameters {
            probabilities,
            cumulative,
            ef_construction,
            ef_search,
        };
        let graph = Graph {
            offsets,
            neighbours,
            links,
            entry,
            top,
        };
        Ok((Kind::Hnsw(parameters), entries, Some(graph)))
    }

    fn ivf(&mut self, header: &Header) -> anyhow::Result<(Kind, Vec<Entry>, Option<Graph>)> {
        let (lists, nprobe) = (self.u64()?, self.u64()?);
        if lists == 0 {
            return Err(damaged("it has no list").into());
        }
        let quantizer = self.header()?;
        if !matches!(&quantizer.fourcc, b"IxF2" | b"IxFI") {
            return Err(refused("its centroids are in another index than Flat").into());
        }
        if (quantizer.dimension, quantizer.total) != (header.dimension, lists)
            || quantizer.metric != header.metric
        {
            return Err(refused("its centroids are of another metric or number").into());
        }
        let numbers = self.count(4)?;
        if Some(numbers) != lists.checked_mul(header.dimension as u64) {
            return Err(damaged(format!("{numbers} numbers for {lists} centroids")).into());
        }
        let centroids = (0..numbers)
            .map(|_| Ok(f32::from_le_bytes(self.array()?)))
            .collect::<anyhow::Result<_>>()?;
        let [direct] = self.array()?;
        if direct != 0 || self.count(8)? != 0 {
            return Err(refused("it has a direct map").into());
        }
        let tag: [u8; 4] = self.array()?;
        let width = header.dimension as u64 * 4;
        if &tag != b"ilar" || self.u64()? != lists || self.u64()? != width {
            return Err(refused("its lists are not in the file, or not those of IVF Flat").into());
        }
        let tag: [u8; 4] = self.array()?;
        let sizes = match &tag {
            b"full" => {
                let count = self.count(8)?;
                (0..count)
                    .map(|at| Ok((at, self.u64()?)))
                    .collect::<anyhow::Result<Vec<_>>>()?
            }
            b"sprs" => {
                let count = self.count(8)?;
                let pair = |_| Ok((self.u64()?, self.u64()?));
                (0..count / 2)
                    .map(pair)
                    .collect::<anyhow::Result<Vec<_>>>()?
            }
            _ => return Err(damaged("lists of an unknown layout").into()),
        };
        let mut entries = Vec::new();
        for &(list, size) in &sizes {
            if list >= lists {
                return Err(damaged(format!("list {list} of {lists}")).into());
            }
            let first = self.at;
            let bytes = size
                .checked_mul(width)
                .ok_or_else(|| damaged("a list without end"))?;
            self.skip(bytes)?;
            if size.saturating_mul(8) > self.length - self.at {
                return Err(damaged("it ends in the middle of a list").into());
            }
            for at in 0..size {
                entries.push(Entry {
                    id: self.i64()?,
                    offset: first + at * width,
                });
            }
        }
        if entries.len() as u64 != header.total {
            return Err(damaged(format!(
                "{} vectors in the lists, {} announced",
                entries.len(),
                header.total
            ))
            .into());
        }
        self.lists = sizes;
        Ok((Kind::Ivf { nprobe, centroids }, entries, None))
    }

    /// The length of a vector of things of this width, which must be in the file.
    fn count(&mut self, width: u64) -> anyhow::Result<u64> {
        let count = self.u64()?;
        match count.checked_mul(width) {
            Some(bytes) if bytes <= self.length - self.at => Ok(count),
            _ => Err(damaged(format!(
                "it ends before {count} entries at byte {}",
                self.at
            ))
            .into()),
        }
    }

    fn skip(&mut self, bytes: u64) -> anyhow::Result<()> {
        if bytes > self.length - self.at {
            return Err(damaged(format!("it ends at byte {}", self.length)).into());
        }
        self.at += bytes;
        self.reader.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        if N as u64 > self.length - self.at {
            return Err(damaged(format!("it ends at byte {}", self.length)).into());
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f64(&mut self) -> anyhow::Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }
}

impl Header {
    fn shape(&self, map: Map, kind: Kind) -> Shape {
        Shape {
            map,
            kind,
            metric: self.metric,
            dimension: self.dimension,
        }
    }
}

impl Run {
    /// Positions are ids until a map says otherwise.
    fn entries(&self, header: &Header) -> Vec<Entry> {
        let width = header.dimension as u64 * 4;
        (0..self.count)
            .map(|at| Entry {
                id: at.cast_signed(),
                offset: self.first + at * width,
            })
            .collect()
    }
}

fn unknown(fourcc: &[u8; 4]) -> Failure {
    // Those of all kinds begin with it.
    if fourcc[0] != b'I' || !fourcc.iter().all(u8::is_ascii_graphic) {
        return damaged("it is no FAISS index");
    }
    refused(format!(
        "an index of the kind {} is not written natively: Flat, HNSW Flat and IVF Flat are, bare or in an IDMap or IDMap2",
        String::from_utf8_lossy(fourcc)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLAT: &[u8] =
        b"IxM2\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\x01\x01\0\0\0\
        IxF2\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\x01\x01\0\0\0\
        \x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0";

    fn open(bytes: &[u8]) -> anyhow::Result<Index> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        std::fs::write(&path, bytes).expect("writes");
        Index::open(&path)
    }

    #[test]
    fn a_small_one() {
        let index = open(FLAT).expect("reads");
        assert_eq!(index.shape.to_string(), "IDMap2,Flat (L2)");
        assert_eq!(
            index.entries.iter().map(|one| one.id).collect::<Vec<_>>(),
            [7]
        );
        let mut bytes = Vec::new();
        index.vector(index.entries[0], &mut bytes).expect("reads");
        assert_eq!(bytes, [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    }

    proptest! {
        #[test]
        fn no_byte_of_it_is_believed(at in 0..FLAT.len(), value in any::<u8>(), end in 0..=FLAT.len()) {
            let mut bytes = FLAT.to_vec();
            bytes[at] = value;
            bytes.truncate(end);
            if let Ok(index) = open(&bytes) {
                let mut vector = Vec::new();
                for entry in &index.entries {
                    index.vector(*entry, &mut vector).expect("is in the file");
                }
            }
        }
    }
}

//! Writes an index as FAISS would, from vectors that come one after another in the order of their ids.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context as _;

use super::{Kind, Map, Metric, Rows, Shape, Vectors, assign, hnsw};
use crate::error::refused;
use crate::sys::Stop;
use crate::sys::steady::{Steps, synced_in_steps};

/// FAISS writes this twice where it once had a meaning.
const DUMMY: i64 = 1 << 20;

/// Bytes that a file with so many vectors has, roughly for a graph.
pub fn size_of(shape: &Shape, count: u64) -> u64 {
    let vectors = count * (shape.width() as u64 + 8);
    let more = match &shape.kind {
        Kind::Flat => 0,
        Kind::Hnsw(parameters) => count * (12 + 8 * (parameters.neighbours() as u64 + 4)),
        Kind::Ivf { centroids, .. } => centroids.len() as u64 * 12,
    };
    vectors + more + (1 << 16)
}

/// Bytes of memory that comparing, writing and proving take.
pub fn memory_needed(shape: &Shape, count: u64) -> u64 {
    /// Ids and places of the old and the new one, each also sorted; lists, and what was seen by each thread.
    const EACH: u64 = 160;
    let more = match &shape.kind {
        Kind::Flat | Kind::Ivf { .. } => 0,
        // The vectors, also in a byte a number; the graph, also with how far each neighbour is.
        Kind::Hnsw(parameters) => {
            shape.width() as u64 * 5 / 4 + 16 * (parameters.neighbours() as u64 + 4)
        }
    };
    count * (EACH + more) + (64 << 20)
}

/// Writes the whole file. What it holds is synced in steps, its end by the caller.
pub fn write(
    file: &File,
    path: &Path,
    shape: &Shape,
    vectors: &Vectors<'_>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let Vectors { count, rows, read } = *vectors;
    synced_in_steps(file, path, |steps| {
        let mut out = Out {
            buffer: BufWriter::with_capacity(1 << 18, file),
            total: 0,
            steps,
            path,
        };
        let mut ids = Vec::new();
        let outer = match shape.map {
            Map::Bare => None,
            Map::Map => Some(b"IxMp"),
            Map::Map2 => Some(b"IxM2"),
        };
        if let Some(fourcc) = outer {
            out.header(fourcc, shape, count)?;
        }
        match &shape.kind {
            Kind::Flat => {
                out.flat(shape, count, rows, &mut ids)?;
                read()?;
            }
            Kind::Ivf { nprobe, centroids } => {
                let lists = Lists::assign(shape, centroids, rows, stop)?;
                out.ivf(shape, *nprobe, centroids, &lists, rows, file)?;
                read()?;
                ids = lists.ids;
            }
            Kind::Hnsw(parameters) => {
                let graph = hnsw::build(shape, parameters, vectors, stop)?;
                ids.clone_from(&graph.ids);
                out.hnsw(shape, parameters, &graph)?;
            }
        }
        if ids.len() as u64 != count {
            return Err(refused(format!(
                "{} vectors came, {count} were announced",
                ids.len()
            ))
            .into());
        }
        if outer.is_some() {
            out.put(&count.to_le_bytes())?;
            for id in &ids {
                out.put(&id.to_le_bytes())?;
            }
        }
        out.buffer
            .flush()
            .with_context(|| format!("cannot write {}", path.display()))
    })
}

struct Out<'a> {
    buffer: BufWriter<&'a File>,
    total: u64,
    steps: &'a Steps,
    path: &'a Path,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.buffer
            .write_all(bytes)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.total += bytes.len() as u64;
        self.steps.written(self.total)?;
        Ok(())
    }

    fn header(&mut self, fourcc: &[u8; 4], shape: &Shape, count: u64) -> anyhow::Result<()> {
        self.put(fourcc)?;
        self.put(&i32::try_from(shape.dimension)?.to_le_bytes())?;
        self.put(&count.to_le_bytes())?;
        self.put(&DUMMY.to_le_bytes())?;
        self.put(&DUMMY.to_le_bytes())?;
        self.put(&[1])?;
        let metric = match shape.metric {
            Metric::InnerProduct => 0i32,
            Metric::L2 => 1,
        };
        self.put(&metric.to_le_bytes())
    }

    fn flat_header(&mut self, shape: &Shape, count: u64) -> anyhow::Result<()> {
        let fourcc = match shape.metric {
            Metric::InnerProduct => b"IxFI",
            Metric::L2 => b"IxF2",
        };
        self.header(fourcc, shape, count)?;
        self.put(&(count * shape.dimension as u64).to_le_bytes())
    }

    fn flat(
        &mut self,
        shape: &Shape,
        count: u64,
        rows: &Rows<'_>,
        ids: &mut Vec<i64>,
    ) -> anyhow::Result<()> {
        self.flat_header(shape, count)?;
        rows(&mut |id, bytes| {
            ids.push(id);
            self.put(bytes)
        })
    }

    fn ivf(
        &mut self,
        shape: &Shape,
        nprobe: u64,
        centroids: &[f32],
        lists: &Lists,
        rows: &Rows<'_>,
        file: &File,
    ) -> anyhow::Result<()> {
        let count = lists.ids.len() as u64;
        let number = lists.sizes.len() as u64;
        self.header(b"IwFl", shape, count)?;
        self.put(&number.to_le_bytes())?;
        self.put(&nprobe.to_le_bytes())?;
        self.flat_header(shape, number)?;
        for one in centroids {
            self.put(&one.to_le_bytes())?;
        }
        self.put(&[0])?;
        self.put(&0u64.to_le_bytes())?;
        self.put(b"ilar")?;
        self.put(&number.to_le_bytes())?;
        self.put(&(shape.width() as u64).to_le_bytes())?;
        let used = lists.sizes.iter().filter(|&&size| size > 0).count() as u64;
        if used > number / 2 {
            self.put(b"full")?;
            self.put(&number.to_le_bytes())?;
            for size in &lists.sizes {
                self.put(&size.to_le_bytes())?;
            }
        } else {
            self.put(b"sprs")?;
            self.put(&(used * 2).to_le_bytes())?;
            for (at, size) in lists
                .sizes
                .iter()
                .enumerate()
                .filter(|(_, size)| **size > 0)
            {
                self.put(&(at as u64).to_le_bytes())?;
                self.put(&size.to_le_bytes())?;
            }
        }
        self.buffer.flush()?;
        // Vectors come by id and go to their lists: each to its own place.
        let width = shape.width() as u64;
        let mut next = Vec::with_capacity(lists.sizes.len());
        let mut at = self.total;
        for size in &lists.sizes {
            next.push((at, at + size * width));
            at += size * (width + 8);
        }
        let mut position = 0;
        rows(&mut |id, bytes| {
            let list = lists.of.get(position).copied().unwrap_or(0);
            let own = match shape.map {
                Map::Bare => id,
                _ => i64::try_from(position)?,
            };
            let (vector, label) = &mut next[list as usize];
            file.write_all_at(bytes, *vector)
                .and_then(|()| file.write_all_at(&own.to_le_bytes(), *label))
                .with_context(|| format!("cannot write {}", self.path.display()))?;
            (*vector, *label) = (*vector + width, *label + 8);
            position += 1;
            Ok(())
        })?;
        use std::io::Seek as _;
        self.buffer.seek(std::io::SeekFrom::Start(at))?;
        self.total = at;
        Ok(())
    }

    fn hnsw(
        &mut self,
        shape: &Shape,
        parameters: &super::Parameters,
        graph: &hnsw::Graph,
    ) -> anyhow::Result<()> {
        let count = graph.ids.len() as u64;
        self.header(b"IHNf", shape, count)?;
        self.put(&(parameters.probabilities.len() as u64).to_le_bytes())?;
        for one in &parameters.probabilities {
            self.put(&one.to_le_bytes())?;
        }
        self.put(&(parameters.cumulative.len() as u64).to_le_bytes())?;
        for one in &parameters.cumulative {
            self.put(&one.to_le_bytes())?;
        }
        self.put(&count.to_le_bytes())?;
        for &level in &graph.levels {
            self.put(&(i32::from(level) + 1).to_le_bytes())?;
        }
        self.put(&(count + 1).to_le_bytes())?;
        for &offset in &graph.offsets {
            self.put(&(offset as u64).to_le_bytes())?;
        }
        self.put(&(graph.neighbours.len() as u64).to_le_bytes())?;
        for one in &graph.neighbours {
            self.put(&one.load(Relaxed).to_le_bytes())?;
        }
        self.put(&graph.entry.to_le_bytes())?;
        self.put(&graph.top.to_le_bytes())?;
        self.put(&parameters.ef_construction.to_le_bytes())?;
        self.put(&parameters.ef_search.to_le_bytes())?;
        self.put(&1i32.to_le_bytes())?;
        self.flat_header(shape, count)?;
        for &number in &graph.vectors {
            self.put(&number.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Which vector goes into which list.
struct Lists {
    ids: Vec<i64>,
    of: Vec<u32>,
    sizes: Vec<u64>,
}

impl Lists {
    fn assign(
        shape: &Shape,
        centroids: &[f32],
        rows: &Rows<'_>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let mut lists = Self {
            ids: Vec::new(),
            of: Vec::new(),
            sizes: vec![0; centroids.len() / shape.dimension],
        };
        let mut vectors = Vec::new();
        rows(&mut |id, bytes| {
            lists.ids.push(id);
            assign::numbers(bytes, &mut vectors);
            if vectors.len() >= assign::PIECE * shape.dimension {
                stop.check()?;
                lists.take(shape, centroids, &mut vectors)?;
            }
            Ok(())
        })?;
        lists.take(shape, centroids, &mut vectors)?;
        Ok(lists)
    }

    fn take(
        &mut self,
        shape: &Shape,
        centroids: &[f32],
        vectors: &mut Vec<f32>,
    ) -> anyhow::Result<()> {
        for list in assign::assign(shape.metric, shape.dimension, centroids, vectors) {
            self.of.push(u32::try_from(list)?);
            self.sizes[list] += 1;
        }
        vectors.clear();
        Ok(())
    }
}

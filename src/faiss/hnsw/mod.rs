//! HNSW graphs (Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>) in FAISS's layout: built, read, searched.

mod build;
mod quality;
mod reach;
mod search;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::distance::Space;
use super::read::Index;
use super::{Metric, Parameters, assign};
use crate::error::damaged;

pub use build::build;
pub use quality::quality;
pub use search::Search;

/// A graph with its vectors.
pub struct Graph {
    pub ids: Vec<i64>,
    pub vectors: Vec<f32>,
    /// The highest level of each vector.
    pub levels: Vec<u8>,
    /// Where the neighbours of each begin.
    pub offsets: Vec<usize>,
    /// Positions; -1 for none. Several threads write, each the lists that are its own.
    pub neighbours: Vec<AtomicI32>,
    pub entry: i32,
    pub top: i32,
}

/// A vector and how far it is; the furthest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    pub far: f32,
    pub at: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.far.total_cmp(&other.far).then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A graph that is built, or searched.
pub struct Net<'a> {
    pub graph: Graph,
    parameters: &'a Parameters,
    metric: Metric,
    dimension: usize,
}

impl<'a> Net<'a> {
    /// The graph of a file; none of an empty one.
    pub fn load(index: &Index, parameters: &'a Parameters) -> anyhow::Result<Option<Self>> {
        let Some(place) = index.graph.filter(|_| !index.entries.is_empty()) else {
            return Ok(None);
        };
        let count = index.entries.len();
        let mut bytes = Vec::new();
        index.bytes(place.offsets, (count + 1) * 8, &mut bytes)?;
        let links = usize::try_from(place.links)?;
        let offsets: Vec<usize> = bytes
            .chunks_exact(8)
            .map(|eight| usize::try_from(u64::from_le_bytes(eight.try_into()?)).map_err(Into::into))
            .collect::<anyhow::Result<_>>()?;
        index.bytes(place.neighbours, links * 4, &mut bytes)?;
        let neighbours: Vec<i32> = bytes
            .chunks_exact(4)
            .map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        let is_vector = |one: i32| usize::try_from(one).is_ok_and(|one| one < count);
        if !offsets.is_sorted()
            || offsets.last() != Some(&links)
            || !is_vector(place.entry)
            || neighbours.iter().any(|&one| one >= 0 && !is_vector(one))
            || usize::try_from(place.top).is_err()
        {
            return Err(damaged("its graph leads outside").into());
        }
        let first = index.entries.first().map_or(0, |one| one.offset);
        let mut vectors = Vec::with_capacity(count * index.shape.dimension);
        let width = index.shape.width();
        for begin in (0..count).step_by(assign::PIECE) {
            let piece = assign::PIECE.min(count - begin);
            index.bytes(first + (begin * width) as u64, piece * width, &mut bytes)?;
            assign::numbers(&bytes, &mut vectors);
        }
        Ok(Some(Net {
            graph: Graph {
                ids: index.entries.iter().map(|one| one.id).collect(),
                vectors,
                levels: Vec::new(),
                offsets,
                neighbours: neighbours.into_iter().map(AtomicI32::new).collect(),
                entry: place.entry,
                top: place.top.min(64),
            },
            parameters,
            metric: index.shape.metric,
            dimension: index.shape.dimension,
        }))
    }

    fn space(&self) -> Space<'_> {
        Space::new(self.metric, self.dimension, &self.graph.vectors)
    }

    fn top(&self) -> usize {
        usize::try_from(self.graph.top).unwrap_or(0)
    }

    /// The slots of the neighbours of one on a level.
    fn slots(&self, at: u32, level: usize) -> Range<usize> {
        let (begin, end) = (
            self.graph.offsets[at as usize],
            self.graph.offsets[at as usize + 1],
        );
        // Of a graph out of a file nothing is believed.
        let within = |level| (begin + self.parameters.end_of(level)).min(end);
        within(level)..within(level + 1)
    }

    fn neighbours(&self, at: u32, level: usize) -> impl Iterator<Item = u32> + '_ {
        self.graph.neighbours[self.slots(at, level)]
            .iter()
            .map(|one| one.load(Relaxed))
            .take_while(|&one| one >= 0)
            .map(|one| one.cast_unsigned())
    }
}

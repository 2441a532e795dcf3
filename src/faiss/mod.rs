//! FAISS index files, read and written without FAISS: Flat, HNSW Flat and IVF Flat, bare or in an IDMap or IDMap2, for the L2 metric
//! and the inner product. The layout is that of FAISS's own `write_index`; what is written is what FAISS itself would read.
//! Only the vectors, ids and parameters are taken from a file, and no number in it is believed before it fits the file's length.

mod assign;
mod distance;
mod hnsw;
mod positions;
mod prove;
mod read;
mod rough;
mod search;
mod train;
mod write;

use std::fmt;

pub use assign::numbers;
pub use positions::Positions;
pub use read::{Entry, Glance, Index};
pub use search::{Effort, Nearest, Searcher, distances};
pub use train::{memory_to_train, train};
pub use write::{memory_needed, size_of, write};

/// With it the same vectors give the same index, wherever and whenever.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// How near two vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The larger the product, the nearer.
    InnerProduct,
    /// The smaller the squared distance, the nearer.
    L2,
}

/// How an index calls its vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// By their position; an IVF keeps ids in its lists.
    Bare,
    /// IDMap.
    Map,
    /// IDMap2, which can also be asked for the vector of an id.
    Map2,
}

/// How an index finds its vectors, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One after another.
    Flat,
    /// Along a graph.
    Hnsw(Parameters),
    /// In the lists of the nearest centroids.
    Ivf {
        /// Lists that a search looks into.
        nprobe: u64,
        /// One after another, each of the index's dimension.
        centroids: Vec<f32>,
    },
}

/// What an HNSW graph was built with.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// How likely each level is.
    pub probabilities: Vec<f64>,
    /// Neighbours up to each level, from 0.
    pub cumulative: Vec<i32>,
    /// Candidates while building.
    pub ef_construction: i32,
    /// Candidates while searching.
    pub ef_search: i32,
}

/// Gives every vector, the same ones in the same order each time: its id and its bytes.
pub type Rows<'a> =
    dyn Fn(&mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> + 'a;

/// What an index is made of.
pub struct Vectors<'a> {
    /// How many there are.
    pub count: u64,
    /// Each of them.
    pub rows: &'a Rows<'a>,
    /// Called once they are not asked for any more, long before the end where that takes long.
    pub read: &'a dyn Fn() -> anyhow::Result<()>,
}

/// Everything about an index but its vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// How it calls its vectors.
    pub map: Map,
    /// How it finds them.
    pub kind: Kind,
    /// What near means.
    pub metric: Metric,
    /// Numbers a vector.
    pub dimension: usize,
}

impl Shape {
    /// True where ids are positions: 0, 1, 2 and so on, and nothing else.
    pub fn is_positional(&self) -> bool {
        self.map == Map::Bare && !matches!(self.kind, Kind::Ivf { .. })
    }

    /// Bytes a vector.
    pub fn width(&self) -> usize {
        self.dimension * 4
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.map {
            Map::Bare => "",
            Map::Map => "IDMap,",
            Map::Map2 => "IDMap2,",
        })?;
        match &self.kind {
            Kind::Flat => f.write_str("Flat")?,
            Kind::Hnsw(parameters) => write!(f, "HNSW{},Flat", parameters.neighbours())?,
            Kind::Ivf { centroids, .. } => {
                write!(f, "IVF{},Flat", centroids.len() / self.dimension.max(1))?;
            }
        }
        f.write_str(match self.metric {
            Metric::InnerProduct => " (inner product)",
            Metric::L2 => " (L2)",
        })
    }
}

impl Parameters {
    /// Neighbours of a vector on each level above the lowest, which has twice as many: the M of HNSW.
    pub fn neighbours(&self) -> usize {
        self.most_at(1)
    }

    /// Room for neighbours on a level.
    fn most_at(&self, level: usize) -> usize {
        self.end_of(level + 1) - self.end_of(level)
    }

    /// Where the neighbours of a level begin among those of one vector.
    fn end_of(&self, level: usize) -> usize {
        let at = level.min(self.cumulative.len().saturating_sub(1));
        self.cumulative
            .get(at)
            .and_then(|&end| usize::try_from(end).ok())
            .unwrap_or(0)
    }
}

//! Searches an index as FAISS would, with its own settings or others, and exactly: how much of what is nearest an index finds.

use std::cell::RefCell;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::distance::Space;
use super::hnsw::{Net, Search};
use super::read::Index;
use super::{Kind, Metric, Shape, assign};
use crate::error::{damaged, refused};
use crate::sys::{Stop, load};
use crate::units::Bytes;

/// Vectors that are read at once.
const PIECE: usize = 4096;
/// Beside the numbers of a vector: its id, its place, and what the allocator keeps.
const BESIDE: u64 = 64;

/// An index in memory.
pub struct Searcher<'a> {
    shape: &'a Shape,
    ids: Vec<i64>,
    vectors: Vec<f32>,
    way: Way<'a>,
}

enum Way<'a> {
    All,
    Graph(Box<Net<'a>>, RefCell<Search>),
    Lists {
        centroids: &'a [f32],
        /// Where the vectors of each list are.
        lists: Vec<Range<usize>>,
    },
}

/// How hard a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// What FAISS calls it.
    pub name: &'static str,
    /// The setting in the file.
    pub own: usize,
    /// The largest that makes a difference.
    pub most: usize,
}

/// The so many that are nearest of all that it was shown.
#[derive(Clone, Debug)]
pub struct Nearest {
    wanted: usize,
    found: BinaryHeap<Far>,
}

/// An id and how far it is; the furthest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Far(f32, i64);

impl Eq for Far {}

impl Ord for Far {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Far {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Nearest {
    /// Of nothing yet.
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            found: BinaryHeap::with_capacity(wanted + 1),
        }
    }

    /// Takes one in where it is near enough.
    pub fn offer(&mut self, far: f32, id: i64) {
        let one = Far(far, id);
        if self.found.len() < self.wanted {
            self.found.push(one);
        } else if self.found.peek().is_some_and(|worst| one < *worst) {
            self.found.pop();
            self.found.push(one);
        }
    }

    /// Ids and how far they are, the nearest first.
    pub fn sorted(self) -> Vec<(i64, f32)> {
        let sorted = self.found.into_sorted_vec();
        sorted.into_iter().map(|Far(far, id)| (id, far)).collect()
    }
}

impl<'a> Searcher<'a> {
    /// Takes an index into memory; refused where that does not suffice.
    pub fn load(index: &'a Index, stop: &Stop) -> anyhow::Result<Self> {
        let shape = &index.shape;
        // While a graph is loaded its vectors are there as bytes and as numbers.
        let times = if matches!(shape.kind, Kind::Hnsw(_)) {
            2
        } else {
            1
        };
        let links = index.graph.map_or(0, |graph| graph.links * 8);
        let count = index.entries.len() as u64;
        let needed = count * (shape.width() as u64 * times + BESIDE) + links;
        let available = load::memory()?.available;
        if needed > available {
            return Err(refused(format!(
                "searching it takes {} of memory, {} are available",
                Bytes(needed),
                Bytes(available)
            ))
            .into());
        }
        let mut searcher = Self {
            shape,
            ids: Vec::new(),
            vectors: Vec::new(),
            way: Way::All,
        };
        match &shape.kind {
            Kind::Hnsw(parameters) => {
                if let Some(mut net) = Net::load(index, parameters)? {
                    searcher.ids = std::mem::take(&mut net.graph.ids);
                    let search = RefCell::new(Search::new(searcher.ids.len()));
                    searcher.way = Way::Graph(Box::new(net), search);
                }
            }
            Kind::Flat => searcher.read(index, stop)?,
            Kind::Ivf { centroids, .. } => {
                searcher.read(index, stop)?;
                let mut lists = vec![0..0; centroids.len() / shape.dimension];
                let mut end = 0;
                for &(list, size) in &index.lists {
                    let begin = end;
                    end += usize::try_from(size)?;
                    *usize::try_from(list)
                        .ok()
                        .and_then(|list| lists.get_mut(list))
                        .ok_or_else(|| damaged(format!("there is no list {list}")))? = begin..end;
                }
                searcher.way = Way::Lists { centroids, lists };
            }
        }
        Ok(searcher)
    }

    fn read(&mut self, index: &Index, stop: &Stop) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        self.ids.reserve_exact(index.entries.len());
        self.vectors
            .reserve_exact(index.entries.len() * self.shape.dimension);
        for piece in index.entries.chunks(PIECE) {
            stop.check()?;
            for entry in piece {
                index.vector(*entry, &mut bytes)?;
                assign::numbers(&bytes, &mut self.vectors);
                self.ids.push(entry.id);
            }
        }
        Ok(())
    }

    /// Its vectors.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// A vector by its place in the file.
    pub fn vector(&self, at: usize) -> &[f32] {
        let vectors = match &self.way {
            Way::Graph(net, _) => &net.graph.vectors,
            _ => &self.vectors,
        };
        &vectors[at * self.shape.dimension..][..self.shape.dimension]
    }

    /// What can be turned up; none where a search looks at everything.
    pub fn effort(&self) -> Option<Effort> {
        let own = |setting: u64| usize::try_from(setting).unwrap_or(usize::MAX);
        match &self.shape.kind {
            Kind::Flat => None,
            Kind::Hnsw(parameters) => Some(Effort {
                name: "efSearch",
                own: own(u64::try_from(parameters.ef_search).unwrap_or(1)),
                most: self.count(),
            }),
            Kind::Ivf { nprobe, centroids } => Some(Effort {
                name: "nprobe",
                own: own(*nprobe),
                most: centroids.len() / self.shape.dimension.max(1),
            }),
        }
    }

    /// Ids of the nearest that a search with this effort finds, and how far they are, the nearest first.
    pub fn search(&self, query: &[f32], wanted: usize, effort: usize) -> Vec<(i64, f32)> {
        match &self.way {
            Way::All => self.exact(query, wanted),
            Way::Graph(net, search) => {
                let mut found = search.borrow_mut().nearest(net, query, effort.max(wanted));
                found.truncate(wanted);
                let id = |at: u32| self.ids[at as usize];
                found.iter().map(|one| (id(one.at), one.far)).collect()
            }
            Way::Lists { centroids, lists } => {
                let mut near = Nearest::new(effort.max(1));
                let mut far = Vec::new();
                distances(self.shape.metric, query, centroids, &mut far);
                for (list, far) in (0..).zip(far) {
                    near.offer(far, list);
                }
                let lists = near.sorted().into_iter().filter_map(|(list, _)| {
                    usize::try_from(list).ok().and_then(|list| lists.get(list))
                });
                self.among(lists.cloned(), query, wanted)
            }
        }
    }

    /// The same of all its vectors.
    pub fn exact(&self, query: &[f32], wanted: usize) -> Vec<(i64, f32)> {
        self.among(std::iter::once(0..self.count()), query, wanted)
    }

    fn among(
        &self,
        places: impl Iterator<Item = Range<usize>>,
        query: &[f32],
        wanted: usize,
    ) -> Vec<(i64, f32)> {
        let dimension = self.shape.dimension;
        let vectors = match &self.way {
            Way::Graph(net, _) => &net.graph.vectors,
            _ => &self.vectors,
        };
        let (mut nearest, mut far) = (Nearest::new(wanted), Vec::new());
        for range in places {
            let part = &vectors[range.start * dimension..range.end * dimension];
            for (ids, part) in self.ids[range]
                .chunks(PIECE)
                .zip(part.chunks(PIECE * dimension))
            {
                distances(self.shape.metric, query, part, &mut far);
                for (id, far) in ids.iter().zip(&far) {
                    nearest.offer(*far, *id);
                }
            }
        }
        nearest.sorted()
    }
}

/// How far each of these vectors, which follow each other, is from the query: the smaller, the nearer.
pub fn distances(metric: Metric, query: &[f32], vectors: &[f32], into: &mut Vec<f32>) {
    let space = Space::new(metric, query.len(), vectors);
    let all: Vec<u32> = (0..u32::try_from(space.count()).unwrap_or(u32::MAX)).collect();
    space.all(query, &all, into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_in_order() {
        let mut nearest = Nearest::new(3);
        for (far, id) in [(5.0, 1), (1.0, 2), (3.0, 3), (1.0, 4), (9.0, 5), (0.5, 6)] {
            nearest.offer(far, id);
        }
        assert_eq!(nearest.sorted(), [(6, 0.5), (2, 1.0), (4, 1.0)]);
        let mut none = Nearest::new(0);
        none.offer(1.0, 1);
        assert!(none.sorted().is_empty());
    }
}

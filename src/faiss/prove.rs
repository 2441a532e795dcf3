//! Shows that an index finds what it holds: every vector can be reached, and a search finds as much of what is nearest as before.

use std::collections::HashMap;

use super::SEED;
use super::read::Index;
use super::{Kind, Parameters, assign, hnsw};
use crate::hash::Numbers;
use crate::sys::Stop;

/// Two graphs of the same vectors differ by that much.
const TOLERANCE: f64 = 0.02;
/// Vectors that both are searched from. From few of them a good graph may look worse by chance, and from the most only one that is.
const SAMPLES: [usize; 3] = [64, 256, 1024];

impl Index {
    /// Errs where a vector could not be found, or where searching finds less than the index before did.
    pub fn require_found(&self, before: &Self, stop: &Stop) -> anyhow::Result<()> {
        match &self.shape.kind {
            Kind::Flat => Ok(()),
            Kind::Ivf { centroids, .. } => self.require_lists(centroids, stop),
            Kind::Hnsw(parameters) => self.require_reachable(parameters, before, stop),
        }
    }

    /// Each vector is in the list of its nearest centroid, where a search looks for it first.
    fn require_lists(&self, centroids: &[f32], stop: &Stop) -> anyhow::Result<()> {
        let width = self.shape.width() as u64;
        let (mut bytes, mut vectors) = (Vec::new(), Vec::new());
        let mut before: Option<(u64, usize)> = None;
        for piece in self.entries.chunks(assign::PIECE) {
            stop.check()?;
            vectors.clear();
            for entry in piece {
                self.vector(*entry, &mut bytes)?;
                assign::numbers(&bytes, &mut vectors);
            }
            let shape = &self.shape;
            let lists = assign::assign(shape.metric, shape.dimension, centroids, &vectors);
            for (entry, list) in piece.iter().zip(lists) {
                // Vectors that follow each other without a gap are of one list; the lists follow each other too.
                if let Some((end, last)) = before {
                    let same = end == entry.offset;
                    anyhow::ensure!(
                        if same { list == last } else { list > last },
                        "the new index has the vector {} in a wrong list",
                        entry.id
                    );
                }
                before = Some((entry.offset + width, list));
            }
        }
        Ok(())
    }

    /// Each vector is reached from the entry, and as many of the nearest are found as before.
    fn require_reachable(
        &self,
        parameters: &Parameters,
        before: &Self,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let common = self.common(before);
        let mut shown = Ok(());
        for sample in SAMPLES {
            let some = &common[..sample.min(common.len())];
            let (own, theirs): (Vec<_>, Vec<_>) = some.iter().copied().unzip();
            let (recall, lost) = hnsw::quality(self, parameters, &own, stop)?;
            anyhow::ensure!(
                lost == 0,
                "the new index has {lost} of {} vectors that no search can reach",
                self.entries.len()
            );
            // What was there may be damaged in its graph: then there is nothing to be as good as.
            let Ok((old, _)) = hnsw::quality(before, parameters, &theirs, stop) else {
                return stop.check();
            };
            if recall >= old - TOLERANCE {
                return Ok(());
            }
            shown = Err(anyhow::anyhow!(
                "the new index finds {:.1}% of the nearest, the one before {:.1}%",
                recall * 100.0,
                old * 100.0
            ));
            if some.len() == common.len() {
                break;
            }
        }
        shown
    }

    /// Where vectors that both have stand in each, some from all over, in no order.
    fn common(&self, before: &Self) -> Vec<(u32, u32)> {
        let most = SAMPLES.into_iter().max().unwrap_or(1);
        let step = self.entries.len().div_ceil(most).max(1);
        let wanted: HashMap<i64, u32> = (0..)
            .zip(&self.entries)
            .step_by(step)
            .map(|(at, entry)| (entry.id, at))
            .collect();
        let mut random = Numbers::new(SEED);
        let mut found: Vec<_> = (0..)
            .zip(&before.entries)
            .filter_map(|(at, entry)| Some((random.next(), *wanted.get(&entry.id)?, at)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, own, at)| (own, at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faiss::{Map, Metric, Shape, Vectors, write};
    use std::time::Duration;

    fn graph(dimension: usize, vectors: &[Vec<f32>]) -> (tempfile::TempDir, Index) {
        let each: Vec<_> = (0..).step_by(3).zip(vectors).collect();
        graph_of(dimension, &each, 20)
    }

    fn graph_of(
        dimension: usize,
        vectors: &[(i64, &Vec<f32>)],
        ef_construction: i32,
    ) -> (tempfile::TempDir, Index) {
        let parameters = Parameters {
            probabilities: vec![0.9, 0.09, 0.01],
            cumulative: vec![0, 8, 12, 16],
            ef_construction,
            ef_search: 16,
        };
        let shape = Shape {
            map: Map::Map2,
            kind: Kind::Hnsw(parameters),
            metric: Metric::L2,
            dimension,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        let file = std::fs::File::create(&path).expect("creates");
        let rows = |each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>| {
            vectors.iter().try_for_each(|(id, vector)| {
                let bytes: Vec<u8> = vector.iter().flat_map(|one| one.to_le_bytes()).collect();
                each(*id, &bytes)
            })
        };
        let stop = Stop::after(Duration::from_secs(60));
        let all = Vectors {
            count: vectors.len() as u64,
            rows: &rows,
            read: &|| Ok(()),
        };
        write(&file, &path, &shape, &all, &stop).expect("writes");
        let index = Index::open(&path).expect("reads");
        assert_eq!(index.shape, shape);
        (folder, index)
    }

    /// Many that are the same crowd out each other's neighbours.
    #[test]
    fn every_vector_can_be_reached() {
        let stop = Stop::after(Duration::from_secs(60));
        for count in [0, 1, 2, 50, 700] {
            let vectors: Vec<_> = (0..count)
                .map(|at| match at % 3 {
                    0 => vec![1.0, 2.0],
                    1 => vec![5.0, 5.0],
                    _ => vec![(at * 37 % 101) as f32, (at * 53 % 97) as f32],
                })
                .collect();
            let (_folder, index) = graph(2, &vectors);
            assert_eq!(index.entries.len(), count);
            index.require_found(&index, &stop).expect("is good");
        }
    }

    #[test]
    fn a_graph_that_lost_its_links_is_not_published() {
        let stop = Stop::after(Duration::from_secs(60));
        let vectors: Vec<_> = (0..100u16)
            .map(|at| vec![f32::from(at * 37 % 101), f32::from(at)])
            .collect();
        let (folder, index) = graph(2, &vectors);
        let path = folder.path().join("index");
        let mut bytes = std::fs::read(&path).expect("reads");
        let graph = index.graph.expect("is there");
        let at = usize::try_from(graph.neighbours).expect("fits");
        bytes[at..at + usize::try_from(graph.links).expect("fits") * 4].fill(0xFF);
        std::fs::write(&path, bytes).expect("writes");
        let broken = Index::open(&path).expect("reads");
        let error = broken.require_found(&index, &stop).expect_err("is lost");
        assert!(error.to_string().contains("99 of 100"), "{error}");
    }

    /// Vectors in which searches miss many.
    fn hard(count: i64) -> Vec<(i64, Vec<f32>)> {
        let mut random = Numbers::new(SEED);
        let mut number = || (random.next() >> 40) as f32 / 16_777_216.0 - 0.5;
        (0..count)
            .map(|id| (id, (0..24).map(|_| number()).collect()))
            .collect()
    }

    #[test]
    fn another_order_of_the_same_vectors_is_no_worse() {
        let stop = Stop::after(Duration::from_secs(60));
        let vectors = hard(1000);
        let mut orders = Vec::new();
        let mut random = Numbers::new(SEED);
        for _ in 0..4 {
            let mut order: Vec<_> = vectors.iter().map(|(id, one)| (*id, one)).collect();
            order.sort_by_cached_key(|_| random.next());
            orders.push(graph_of(24, &order, 20));
        }
        for (_, before) in &orders {
            for (_, after) in &orders {
                after.require_found(before, &stop).expect("is as good");
            }
        }
    }

    #[test]
    fn a_graph_that_was_built_carelessly_is_not_published() {
        let stop = Stop::after(Duration::from_secs(60));
        let vectors = hard(1000);
        let each: Vec<_> = vectors.iter().map(|(id, one)| (*id, one)).collect();
        let (_good_folder, good) = graph_of(24, &each, 20);
        let (_poor_folder, poor) = graph_of(24, &each, 4);
        good.require_found(&poor, &stop).expect("is better");
        let error = poor.require_found(&good, &stop).expect_err("is worse");
        assert!(error.to_string().contains("of the nearest"), "{error}");
        // Nothing that both have: nothing to be as good as.
        let others: Vec<_> = each.iter().map(|(id, one)| (id + 9999, *one)).collect();
        let (_other_folder, other) = graph_of(24, &others, 20);
        poor.require_found(&other, &stop).expect("is its own");
    }
}

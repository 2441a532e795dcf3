//! Shows that an index finds what it holds: every vector can be reached, and a search finds as much of what is nearest as before.

use super::read::Index;
use super::{Kind, Parameters, assign, hnsw};
use crate::sys::Stop;

/// The samples of two indices are not the same vectors.
const TOLERANCE: f64 = 0.02;

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
        let (mut bytes, mut vector) = (Vec::new(), Vec::new());
        let mut before: Option<(u64, usize)> = None;
        for entry in &self.entries {
            stop.check()?;
            self.vector(*entry, &mut bytes)?;
            assign::numbers(&bytes, &mut vector);
            let list = assign::nearest(self.shape.metric, centroids, &vector);
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
        Ok(())
    }

    /// Each vector is reached from the entry, and as many of the nearest are found as before.
    fn require_reachable(
        &self,
        parameters: &Parameters,
        before: &Self,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let (recall, lost) = hnsw::quality(self, parameters, stop)?;
        anyhow::ensure!(
            lost == 0,
            "the new index has {lost} of {} vectors that no search can reach",
            self.entries.len()
        );
        // What was there may be damaged in its graph: then there is nothing to be as good as.
        let Ok((old, _)) = hnsw::quality(before, parameters, stop) else {
            return stop.check();
        };
        anyhow::ensure!(
            recall >= old - TOLERANCE,
            "the new index finds {:.1}% of the nearest, the one before {:.1}%",
            recall * 100.0,
            old * 100.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faiss::{Map, Metric, Shape, write};
    use std::time::Duration;

    fn graph(dimension: usize, vectors: &[Vec<f32>]) -> (tempfile::TempDir, Index) {
        let parameters = Parameters {
            probabilities: vec![0.9, 0.09, 0.01],
            cumulative: vec![0, 8, 12, 16],
            ef_construction: 20,
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
            vectors.iter().enumerate().try_for_each(|(at, vector)| {
                let bytes: Vec<u8> = vector.iter().flat_map(|one| one.to_le_bytes()).collect();
                each(at as i64 * 3, &bytes)
            })
        };
        let stop = Stop::after(Duration::from_secs(60));
        write(&file, &path, &shape, vectors.len() as u64, &rows, &stop).expect("writes");
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
}

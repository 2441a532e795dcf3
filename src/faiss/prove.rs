//! Shows that an index finds what it holds: every vector can be reached, and a search finds as much of what is nearest as before.

use super::read::{Graph, Index};
use super::{Kind, Parameters, assign};
use crate::sys::Stop;

impl Index {
    /// Errs where a vector could not be found, or where searching finds less than the index before did.
    pub fn require_found(&self, _before: &Self, stop: &Stop) -> anyhow::Result<()> {
        match &self.shape.kind {
            Kind::Flat => Ok(()),
            Kind::Ivf { centroids, .. } => self.require_lists(centroids, stop),
            Kind::Hnsw(parameters) => match self.graph {
                Some(graph) => self.require_reachable(parameters, graph, stop),
                None => Ok(()),
            },
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

    /// Each vector is reached from the entry along the lowest level.
    fn require_reachable(
        &self,
        parameters: &Parameters,
        graph: Graph,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let total = self.entries.len();
        let mut bytes = Vec::new();
        let mut reached = vec![false; total];
        let mut next = Vec::new();
        if let Ok(entry) = usize::try_from(graph.entry) {
            anyhow::ensure!(entry < total, "the new index begins at {entry} of {total}");
            reached[entry] = true;
            next.push(entry);
        }
        let most = parameters.end_of(1);
        while let Some(at) = next.pop() {
            stop.check()?;
            self.bytes(graph.offsets + at as u64 * 8, 8, &mut bytes)?;
            let begin = u64::from_le_bytes(bytes.as_slice().try_into()?);
            anyhow::ensure!(
                begin + most as u64 <= graph.links,
                "the new index has links of {at} outside"
            );
            self.bytes(graph.neighbours + begin * 4, most * 4, &mut bytes)?;
            for four in bytes.chunks_exact(4) {
                let other = i32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                let Ok(other) = usize::try_from(other) else {
                    break;
                };
                anyhow::ensure!(
                    other < total,
                    "the new index links {at} with {other} of {total}"
                );
                if !reached[other] {
                    reached[other] = true;
                    next.push(other);
                }
            }
        }
        let lost = reached.iter().filter(|reached| !**reached).count();
        anyhow::ensure!(
            lost == 0,
            "the new index has {lost} of {total} vectors that no search can reach"
        );
        Ok(())
    }
}

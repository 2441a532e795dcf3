//! Which of some centroids each vector is nearest to.

use super::Metric;
use super::distance::Space;
use crate::sys::machine;

/// Vectors that are assigned at once.
pub const PIECE: usize = 2048;

/// Bytes of centroids that fit a processor's nearest cache beside a vector.
const CACHED: usize = 24 << 10;

/// For each of the vectors the nearest of the centroids; both follow each other. On all cores.
pub fn assign(metric: Metric, dimension: usize, centroids: &[f32], vectors: &[f32]) -> Vec<usize> {
    let space = Space::new(metric, dimension, centroids);
    machine::in_shares(vectors, dimension, |share| nearest(&space, share)).concat()
}

/// A part of the centroids that stays near while all the vectors pass by.
fn nearest(space: &Space<'_>, vectors: &[f32]) -> Vec<usize> {
    let dimension = space.dimension();
    let step = (CACHED / (dimension * 4)).max(4);
    let mut best = vec![(0, f32::INFINITY); vectors.len() / dimension];
    let count = u32::try_from(space.count()).unwrap_or(u32::MAX);
    for begin in (0..count).step_by(step) {
        let end = count.min(begin + u32::try_from(step).unwrap_or(count));
        for (vector, best) in vectors.chunks_exact(dimension).zip(&mut best) {
            space.nearest(vector, begin..end, best);
        }
    }
    best.into_iter().map(|(at, _)| at as usize).collect()
}

/// Numbers out of their bytes, behind those that are there.
pub fn numbers(bytes: &[u8], into: &mut Vec<f32>) {
    into.extend(
        bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])),
    );
}

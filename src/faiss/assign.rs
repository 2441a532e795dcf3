//! Distances between vectors, and the nearest of some centroids.

use super::Metric;

const LANES: usize = 16;

/// How far two vectors are from each other: the smaller, the nearer. In lanes, so that the compiler can use wide registers, and
/// always in the same order, so that the same vectors give the same number everywhere.
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    match metric {
        Metric::L2 => in_lanes(a, b, |a, b| (a - b) * (a - b)),
        Metric::InnerProduct => -in_lanes(a, b, |a, b| a * b),
    }
}

#[inline]
fn in_lanes(a: &[f32], b: &[f32], part: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (mut left, mut right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut left).zip(&mut right) {
        for lane in 0..LANES {
            sums[lane] += part(a[lane], b[lane]);
        }
    }
    let mut sum: f32 = left
        .remainder()
        .iter()
        .zip(right.remainder())
        .map(|(&a, &b)| part(a, b))
        .sum();
    for lane in sums {
        sum += lane;
    }
    sum
}

/// The nearest of the centroids, which follow each other; the first of those that are equally near.
pub fn nearest(metric: Metric, centroids: &[f32], vector: &[f32]) -> usize {
    let mut best = (0, f32::INFINITY);
    for (at, centroid) in centroids.chunks_exact(vector.len()).enumerate() {
        let far = distance(metric, centroid, vector);
        if far < best.1 {
            best = (at, far);
        }
    }
    best.0
}

/// Numbers out of their bytes.
pub fn numbers(bytes: &[u8], into: &mut Vec<f32>) {
    into.clear();
    into.extend(
        bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])),
    );
}

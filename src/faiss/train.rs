//! Centroids for the lists of an IVF, by k-means (Lloyd), as FAISS trains them: from a sample, ten rounds, and a list that stays empty
//! takes half of the longest. The same vectors give the same centroids.

use super::{Kind, Metric, Rows, SEED, Shape, assign};
use crate::error::refused;
use crate::faiss::read::Index;
use crate::hash::Numbers;
use crate::sys::Stop;

const ROUNDS: usize = 10;
/// Vectors of the sample for each list, at most.
const SAMPLE: usize = 128;
/// A list that is halved: its two centroids lie so far apart.
const APART: f32 = 1.0 / 1024.0;

impl Index {
    /// How unequal the lists of an IVF are: 1 where all are of one length, the number of lists where all is in one. What a search
    /// costs grows with it. None of another kind, or an empty one.
    pub fn imbalance(&self) -> Option<f64> {
        let Kind::Ivf { centroids, .. } = &self.shape.kind else {
            return None;
        };
        let width = self.shape.width() as u64;
        let lists = self
            .entries
            .chunk_by(|a, b| a.offset + width == b.offset)
            .map(|list| (list.len() as f64).powi(2));
        let count = self.entries.len() as f64;
        let number = (centroids.len() / self.shape.dimension) as f64;
        (count > 0.0).then(|| lists.sum::<f64>() * number / (count * count))
    }
}

/// Bytes of memory that training takes.
pub fn memory_to_train(shape: &Shape, count: u64) -> u64 {
    match &shape.kind {
        Kind::Ivf { centroids, .. } => {
            let lists = (centroids.len() / shape.dimension) as u64;
            count.min(lists * SAMPLE as u64) * (shape.width() as u64 + 8)
                + 3 * lists * shape.width() as u64
        }
        _ => 0,
    }
}

/// The same shape with centroids of these vectors; of an IVF, for as many lists as there are.
pub fn train(shape: &Shape, count: u64, rows: &Rows<'_>, stop: &Stop) -> anyhow::Result<Shape> {
    let Kind::Ivf { nprobe, centroids } = &shape.kind else {
        return Ok(shape.clone());
    };
    let dimension = shape.dimension;
    let lists = centroids.len() / dimension;
    let sample = sample(count, lists, rows)?;
    let vectors = sample.len() / dimension;
    if vectors < lists {
        return Err(refused(format!("{vectors} vectors are too few for {lists} lists")).into());
    }
    let mut centroids = some_of(&sample, dimension, lists);
    for _ in 0..ROUNDS {
        stop.check()?;
        let mut sums = vec![0f64; lists * dimension];
        let mut sizes = vec![0usize; lists];
        for piece in sample.chunks(assign::PIECE * dimension) {
            stop.check()?;
            let nearest = assign::assign(shape.metric, dimension, &centroids, piece);
            for (vector, list) in piece.chunks_exact(dimension).zip(nearest) {
                sizes[list] += 1;
                let sum = &mut sums[list * dimension..][..dimension];
                for (sum, &one) in sum.iter_mut().zip(vector) {
                    *sum += f64::from(one);
                }
            }
        }
        for (list, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            for at in list * dimension..(list + 1) * dimension {
                centroids[at] = (sums[at] / size as f64) as f32;
            }
        }
        fill_empty(&mut centroids, &mut sizes, dimension);
        if shape.metric == Metric::InnerProduct {
            centroids.chunks_exact_mut(dimension).for_each(normalise);
        }
    }
    Ok(Shape {
        kind: Kind::Ivf {
            nprobe: *nprobe,
            centroids,
        },
        ..shape.clone()
    })
}

/// Spread evenly over all.
fn sample(count: u64, lists: usize, rows: &Rows<'_>) -> anyhow::Result<Vec<f32>> {
    let wanted = count.min((lists * SAMPLE) as u64);
    let taken = |at: u64| u128::from(at) * u128::from(wanted) / u128::from(count.max(1));
    let (mut sample, mut at) = (Vec::new(), 0);
    rows(&mut |_, bytes| {
        if taken(at) != taken(at + 1) {
            assign::numbers(bytes, &mut sample);
        }
        at += 1;
        Ok(())
    })?;
    Ok(sample)
}

/// So many of them, each another.
fn some_of(sample: &[f32], dimension: usize, lists: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..sample.len() / dimension).collect();
    let mut random = Numbers::new(SEED);
    let mut chosen = Vec::with_capacity(lists * dimension);
    for at in 0..lists {
        let left = (order.len() - at) as u64;
        let other = at + usize::try_from(random.next() % left).unwrap_or(0);
        order.swap(at, other);
        chosen.extend_from_slice(&sample[order[at] * dimension..][..dimension]);
    }
    chosen
}

fn fill_empty(centroids: &mut [f32], sizes: &mut [usize], dimension: usize) {
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        let longest = (0..sizes.len())
            .max_by_key(|&list| sizes[list])
            .unwrap_or(empty);
        for at in 0..dimension {
            let (from, to) = (longest * dimension + at, empty * dimension + at);
            let sign = if at % 2 == 0 { APART } else { -APART };
            centroids[to] = centroids[from] * (1.0 + sign);
            centroids[from] *= 1.0 - sign;
        }
        sizes[empty] = sizes[longest] / 2;
        sizes[longest] -= sizes[empty];
    }
}

fn normalise(vector: &mut [f32]) {
    let norm: f32 = vector.iter().map(|one| one * one).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|one| *one /= norm);
    }
}

//! Distances between vectors: on the widest registers that this processor has, and always added up in the same order, so that the
//! same vectors give the same number on every machine.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Metric;

/// Numbers that are added up side by side.
const LANES: usize = 16;
/// Vectors that are looked at side by side: while one is on its way from memory, the next are too.
const ABREAST: usize = 4;

/// Vectors that follow each other, and what near means among them.
#[derive(Clone, Copy)]
pub struct Space<'a> {
    arch: Arch,
    metric: Metric,
    dimension: usize,
    vectors: &'a [f32],
}

impl<'a> Space<'a> {
    /// Of vectors of this dimension.
    pub fn new(metric: Metric, dimension: usize, vectors: &'a [f32]) -> Self {
        Self {
            arch: Arch::new(),
            metric,
            dimension,
            vectors,
        }
    }

    /// What near means.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Numbers a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All of them, one after another.
    pub fn vectors(&self) -> &'a [f32] {
        self.vectors
    }

    /// How many vectors there are.
    pub fn count(&self) -> usize {
        self.vectors.len() / self.dimension
    }

    /// One of them.
    #[inline(always)]
    pub fn vector(&self, at: u32) -> &'a [f32] {
        let begin = at as usize * self.dimension;
        &self.vectors[begin..begin + self.dimension]
    }

    /// How far these are from a vector, in their order: the smaller, the nearer.
    pub fn all(&self, query: &[f32], which: &[u32], into: &mut Vec<f32>) {
        into.clear();
        self.each(query, which, |_, far| {
            into.push(far);
            true
        });
    }

    /// True when one of these is nearer to a vector than that.
    pub fn any_within(&self, query: &[f32], which: &[u32], than: f32) -> bool {
        let mut any = false;
        self.each(query, which, |_, far| {
            any |= far < than;
            !any
        });
        any
    }

    /// Calls with each of these and its distance, until it is told to stop.
    fn each(&self, query: &[f32], which: &[u32], call: impl FnMut(u32, f32) -> bool) {
        self.arch.dispatch(Each {
            space: *self,
            query,
            which,
            call,
        });
    }

    /// The nearest to a vector of these, where one is nearer than the best so far; the first of those that are equally near.
    pub fn nearest(&self, query: &[f32], among: Range<u32>, best: &mut (u32, f32)) {
        self.arch.dispatch(Nearest {
            space: *self,
            query,
            among,
            best,
        });
    }

    #[inline(always)]
    fn abreast(&self, query: &[f32], which: [u32; ABREAST]) -> [f32; ABREAST] {
        let vectors = which.map(|at| self.vector(at));
        match self.metric {
            Metric::L2 => sums(query, vectors, |a, b| (a - b) * (a - b)),
            Metric::InnerProduct => sums(query, vectors, |a, b| a * b).map(|sum| -sum),
        }
    }

    #[inline(always)]
    fn single(&self, query: &[f32], at: u32) -> f32 {
        let vectors = [self.vector(at)];
        match self.metric {
            Metric::L2 => sums(query, vectors, |a, b| (a - b) * (a - b))[0],
            Metric::InnerProduct => -sums(query, vectors, |a, b| a * b)[0],
        }
    }
}

struct Each<'a, F> {
    space: Space<'a>,
    query: &'a [f32],
    which: &'a [u32],
    call: F,
}

impl<F: FnMut(u32, f32) -> bool> WithSimd for Each<'_, F> {
    type Output = ();

    // What is inlined here is compiled once for each kind of processor.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let (fours, rest) = self.which.as_chunks::<ABREAST>();
        for &four in fours {
            let far = self.space.abreast(self.query, four);
            for (at, far) in four.into_iter().zip(far) {
                if !(self.call)(at, far) {
                    return;
                }
            }
        }
        for &at in rest {
            if !(self.call)(at, self.space.single(self.query, at)) {
                return;
            }
        }
    }
}

struct Nearest<'a> {
    space: Space<'a>,
    query: &'a [f32],
    among: Range<u32>,
    best: &'a mut (u32, f32),
}

impl WithSimd for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (mut at, end) = (self.among.start, self.among.end);
        let mut take = |at: u32, far: f32| {
            if far < self.best.1 {
                *self.best = (at, far);
            }
        };
        while end - at >= 4 {
            let four = [at, at + 1, at + 2, at + 3];
            let far = self.space.abreast(self.query, four);
            for (at, far) in four.into_iter().zip(far) {
                take(at, far);
            }
            at += 4;
        }
        for at in at..end {
            take(at, self.space.single(self.query, at));
        }
    }
}

/// Adds up a part of each pair of numbers, for several vectors.
#[inline(always)]
fn sums<const N: usize>(
    query: &[f32],
    vectors: [&[f32]; N],
    part: impl Fn(f32, f32) -> f32,
) -> [f32; N] {
    let (query, rest) = query.as_chunks::<LANES>();
    let split = vectors.map(|vector| vector.as_chunks::<LANES>());
    let blocks = split.map(|(blocks, _)| &blocks[..query.len()]);
    let mut sums = [[0f32; LANES]; N];
    for at in 0..query.len() {
        for one in 0..N {
            for lane in 0..LANES {
                sums[one][lane] += part(query[at][lane], blocks[one][at][lane]);
            }
        }
    }
    let mut all = [0f32; N];
    for one in 0..N {
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                sums[one][lane] += sums[one][lane + width];
            }
        }
        let tail = split[one].1;
        all[one] = rest
            .iter()
            .zip(tail)
            .fold(sums[one][0], |sum, (&a, &b)| sum + part(a, b));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_every_way_gives_the_same_number() {
        let mut state = 7u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        for dimension in [1, 2, 3, 7, 15, 16, 17, 64, 100, 384] {
            let query: Vec<f32> = (0..dimension).map(|_| number()).collect();
            let vectors: Vec<f32> = (0..dimension * 9).map(|_| number()).collect();
            let which: Vec<u32> = (0..9).collect();
            for metric in [Metric::L2, Metric::InnerProduct] {
                let space = Space::new(metric, dimension, &vectors);
                let mut all = Vec::new();
                space.all(&query, &which, &mut all);
                for (at, &far) in all.iter().enumerate() {
                    let vector = space.vector(u32::try_from(at).expect("is small"));
                    let exact: f64 = query
                        .iter()
                        .zip(vector)
                        .map(|(&a, &b)| (f64::from(a), f64::from(b)))
                        .map(|(a, b)| match metric {
                            Metric::L2 => (a - b) * (a - b),
                            Metric::InnerProduct => -(a * b),
                        })
                        .sum();
                    assert!((f64::from(far) - exact).abs() < 1e-4, "{far} {exact}");
                    let (at, mut alone) = (u32::try_from(at).expect("is small"), Vec::new());
                    space.all(&query, &[at], &mut alone);
                    assert_eq!(alone[0].to_bits(), far.to_bits());
                }
                let least = all.iter().copied().fold(f32::INFINITY, f32::min);
                let mut best = (0, f32::INFINITY);
                space.nearest(&query, 0..5, &mut best);
                space.nearest(&query, 5..9, &mut best);
                assert_eq!(best.1.to_bits(), least.to_bits());
                assert_eq!(all[best.0 as usize].to_bits(), least.to_bits());
                assert!(!space.any_within(&query, &which, least));
                assert!(space.any_within(&query, &which, least + 1e-3));
            }
        }
    }
}

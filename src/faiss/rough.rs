//! Vectors in a byte a number, to see roughly what is near: a quarter of the memory that a search would have to wait for. All in whole
//! numbers, and so the same everywhere.

use pulp::{Arch, Simd, WithSimd};

use super::Metric;
use super::distance::Space;

/// Bytes that come from memory together.
const LINE: usize = 64;
/// More numbers than this would not add up in 32 bits.
const WIDEST: usize = 1 << 15;

/// So many of the vectors are looked from, to see whether what is near is still near.
const SAMPLE: usize = 32;
/// Of what is nearest to each of them so many,
const NEAREST: usize = 10;
/// have to be among so many that are roughly nearest,
const ROUGHLY: usize = 20;
/// with at most one in so many missing.
const MISSING: usize = 100;

/// The vectors of a space, roughly.
pub struct Rough {
    arch: Arch,
    metric: Metric,
    dimension: usize,
    codes: Vec<i8>,
    /// What one of its distances is in the space.
    unit: f32,
}

impl Rough {
    /// Of vectors that can still be told from each other like this; of others none.
    pub fn faithful(space: &Space<'_>) -> Option<Self> {
        let rough = (space.dimension() <= WIDEST).then(|| Self::of(space))?;
        rough.is_faithful(space).then_some(rough)
    }

    fn of(space: &Space<'_>) -> Self {
        let dimension = space.dimension();
        let rows = || space.vectors().chunks_exact(dimension);
        // Distances stay what they are when everything is moved, products don't.
        let mut middle = vec![0f64; dimension];
        if space.metric() == Metric::L2 {
            for row in rows() {
                for (sum, &one) in middle.iter_mut().zip(row) {
                    *sum += f64::from(one);
                }
            }
            let count = space.count().max(1) as f64;
            middle.iter_mut().for_each(|sum| *sum /= count);
        }
        let middle: Vec<f32> = middle.into_iter().map(|one| one as f32).collect();
        let moved = || rows().flat_map(|row| row.iter().zip(&middle).map(|(one, by)| one - by));
        let most = moved().fold(0f32, |most, one| most.max(one.abs()));
        let step = if most > 0.0 { most / 127.0 } else { 1.0 };
        let mut codes = Vec::with_capacity(space.vectors().len());
        codes.extend(moved().map(|one| (one / step).round() as i8));
        Self {
            arch: Arch::new(),
            metric: space.metric(),
            dimension,
            codes,
            unit: step * step,
        }
    }

    fn is_faithful(&self, space: &Space<'_>) -> bool {
        let count = u32::try_from(space.count()).unwrap_or(u32::MAX);
        let all: Vec<u32> = (0..count).collect();
        let (mut exact, mut rough) = (Vec::new(), Vec::new());
        let (mut wanted, mut missed) = (0, 0);
        let kth = |far: &[f32], k: usize| {
            let mut far = far.to_vec();
            let k = k.min(far.len()) - 1;
            *far.select_nth_unstable_by(k, f32::total_cmp).1
        };
        for at in (0..count).step_by((all.len() / SAMPLE).max(1)) {
            space.all(space.vector(at), &all, &mut exact);
            self.all(at, &all, &mut rough);
            let (near, roughly) = (kth(&exact, NEAREST), kth(&rough, ROUGHLY));
            let mut among = 0;
            for (&exact, &rough) in exact.iter().zip(&rough) {
                if exact < near {
                    wanted += 1;
                    missed += usize::from(rough > roughly);
                }
                among += usize::from(rough <= roughly);
            }
            // So many that look the same are no help.
            missed += if among > 4 * ROUGHLY.min(all.len()) {
                NEAREST
            } else {
                0
            };
        }
        missed * MISSING <= wanted
    }

    /// Roughly how far these are from one, in their order.
    pub fn all(&self, from: u32, which: &[u32], into: &mut Vec<f32>) {
        into.clear();
        self.each(from, which, |far| {
            into.push(far);
            true
        });
    }

    /// True when one of these is roughly nearer to one than that.
    pub fn any_within(&self, from: u32, which: &[u32], than: f32) -> bool {
        let mut any = false;
        self.each(from, which, |far| {
            any |= far < than;
            !any
        });
        any
    }

    /// Asks for all of these at once, so that none has to be waited for when its turn comes.
    pub fn fetch(&self, which: &[u32]) {
        let mut seen = 0;
        for &at in which {
            for line in self.code(at).chunks(LINE) {
                seen ^= line[0];
            }
        }
        std::hint::black_box(seen);
    }

    #[inline(always)]
    fn code(&self, at: u32) -> &[i8] {
        let begin = at as usize * self.dimension;
        &self.codes[begin..begin + self.dimension]
    }

    fn each(&self, from: u32, which: &[u32], call: impl FnMut(f32) -> bool) {
        self.arch.dispatch(Each {
            rough: self,
            from: self.code(from),
            which,
            call,
        });
    }
}

struct Each<'a, F> {
    rough: &'a Rough,
    from: &'a [i8],
    which: &'a [u32],
    call: F,
}

impl<F: FnMut(f32) -> bool> WithSimd for Each<'_, F> {
    type Output = ();

    // What is inlined here is compiled once for each kind of processor.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        for &at in self.which {
            let pairs = self.from.iter().zip(self.rough.code(at));
            let pairs = pairs.map(|(&a, &b)| (i16::from(a), i16::from(b)));
            let far = match self.rough.metric {
                Metric::L2 => pairs.fold(0i32, |sum, (a, b)| {
                    let apart = i32::from(a.wrapping_sub(b));
                    sum.wrapping_add(apart.wrapping_mul(apart))
                }),
                Metric::InnerProduct => pairs.fold(0i32, |sum, (a, b)| {
                    sum.wrapping_sub(i32::from(a).wrapping_mul(i32::from(b)))
                }),
            };
            if !(self.call)(far as f32 * self.rough.unit) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two numbers a vector.
    fn rough_of(metric: Metric, vectors: &[f32]) -> Option<Vec<f32>> {
        let space = Space::new(metric, 2, vectors);
        let rough = Rough::faithful(&space)?;
        let which: Vec<u32> = (0..u32::try_from(space.count()).expect("is small")).collect();
        let (mut all, mut exact) = (Vec::new(), Vec::new());
        rough.all(3, &which, &mut all);
        space.all(space.vector(3), &which, &mut exact);
        let furthest = exact.iter().fold(0f32, |most, one| most.max(one.abs()));
        for (rough, exact) in all.iter().zip(exact) {
            assert!((rough - exact).abs() < furthest / 50.0, "{rough} {exact}");
        }
        Some(all)
    }

    #[test]
    fn what_is_near_is_near() {
        let vectors: Vec<f32> = (0..400u16)
            .map(|at| f32::from(at * 37 % 101) - 50.0)
            .collect();
        for metric in [Metric::L2, Metric::InnerProduct] {
            assert!(rough_of(metric, &vectors).is_some(), "{metric:?}");
        }
    }

    #[test]
    fn what_a_byte_cannot_tell_apart_is_not_taken() {
        // All but one lie within a thousandth of where that one is.
        let mut vectors: Vec<f32> = (0..400u16)
            .map(|at| f32::from(at * 37 % 101) / 101.0)
            .collect();
        vectors[0] = 1000.0;
        assert!(rough_of(Metric::L2, &vectors).is_none());
    }
}

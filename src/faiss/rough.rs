//! Vectors in a byte a number, to see roughly what is near: a quarter of the memory that a search would have to wait for. All in whole
//! numbers, and so the same everywhere.

use pulp::{Arch, Simd, WithSimd};

use super::Metric;
use super::distance::Space;
use crate::sys::machine;

/// Bytes that come from memory together.
const LINE: usize = 64;
/// Numbers between two looks whether a vector is too far already.
const BLOCK: usize = 128;
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
    /// From `start` on, where a line begins.
    codes: Vec<i8>,
    start: usize,
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
        let furthest = |row| moved(row, &middle).fold(0f32, |most, one| most.max(one.abs()));
        let most = rows().map(furthest).fold(0f32, f32::max);
        let step = if most > 0.0 { most / 127.0 } else { 1.0 };
        let mut codes = vec![0; space.vectors().len() + LINE];
        let start = codes.as_ptr().align_offset(LINE).min(LINE);
        for (row, codes) in rows().zip(codes[start..].chunks_exact_mut(dimension)) {
            for (code, one) in codes.iter_mut().zip(moved(row, &middle)) {
                // Rounded by what a cast cuts off, which any processor does in place.
                *code = ((one / step + 127.5) as i32 - 127) as i8;
            }
        }
        Self {
            arch: Arch::new(),
            metric: space.metric(),
            dimension,
            codes,
            start,
            unit: step * step,
        }
    }

    fn is_faithful(&self, space: &Space<'_>) -> bool {
        let count = u32::try_from(space.count()).unwrap_or(u32::MAX);
        let all: Vec<u32> = (0..count).collect();
        let samples: Vec<u32> = (0..count).step_by((all.len() / SAMPLE).max(1)).collect();
        let shares = machine::in_shares(&samples, 1, |samples| self.missed(space, samples, &all));
        let sum = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        let (wanted, missed) = shares.into_iter().fold((0, 0), sum);
        missed * MISSING <= wanted
    }

    /// How many there are that are nearest to one of the samples, and how many of them are not roughly nearest.
    fn missed(&self, space: &Space<'_>, samples: &[u32], all: &[u32]) -> (usize, usize) {
        let (mut exact, mut rough) = (Vec::new(), Vec::new());
        let (mut wanted, mut missed) = (0, 0);
        let kth = |far: &[f32], k: usize| {
            let mut far = far.to_vec();
            let k = k.min(far.len()) - 1;
            *far.select_nth_unstable_by(k, f32::total_cmp).1
        };
        for &at in samples {
            space.all(space.vector(at), all, &mut exact);
            self.all(at, all, f32::INFINITY, &mut rough);
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
        (wanted, missed)
    }

    /// Roughly how far these are from one, in their order; of those that are not nearer than that no more than just this.
    pub fn all(&self, from: u32, which: &[u32], than: f32, into: &mut Vec<f32>) {
        into.clear();
        // Most are too far already after a block.
        let needed = match self.metric {
            Metric::L2 if than.is_finite() => BLOCK.min(self.dimension),
            _ => self.dimension,
        };
        self.fetch(which, needed);
        self.each(from, which, than, |far| {
            into.push(far);
            true
        });
    }

    /// True when one of these is roughly nearer to one than that.
    pub fn any_within(&self, from: u32, which: &[u32], than: f32) -> bool {
        let mut any = false;
        self.each(from, which, than, |far| {
            any |= far < than;
            !any
        });
        any
    }

    /// Asks for all of these at once, or the beginning of each, so that none has to be waited for when its turn comes.
    pub fn fetch(&self, which: &[u32], numbers: usize) {
        let mut seen = 0;
        for &at in which {
            for line in self.code(at)[..numbers].chunks(LINE) {
                seen ^= line[0];
            }
        }
        std::hint::black_box(seen);
    }

    #[inline(always)]
    fn code(&self, at: u32) -> &[i8] {
        let begin = self.start + at as usize * self.dimension;
        &self.codes[begin..begin + self.dimension]
    }

    fn each(&self, from: u32, which: &[u32], than: f32, call: impl FnMut(f32) -> bool) {
        self.arch.dispatch(Each {
            rough: self,
            from: self.code(from),
            which,
            than,
            call,
        });
    }
}

/// The numbers of a vector, from the middle of all.
fn moved(row: &[f32], middle: &[f32]) -> impl Iterator<Item = f32> {
    row.iter().zip(middle).map(|(one, by)| one - by)
}

struct Each<'a, F> {
    rough: &'a Rough,
    from: &'a [i8],
    which: &'a [u32],
    than: f32,
    call: F,
}

impl<F: FnMut(f32) -> bool> WithSimd for Each<'_, F> {
    type Output = ();

    // What is inlined here is compiled once for each kind of processor.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let unit = self.rough.unit;
        for &at in self.which {
            let code = self.rough.code(at);
            let far = match self.rough.metric {
                Metric::L2 => {
                    let (blocks, rest) = self.from.as_chunks::<BLOCK>();
                    let (others, other) = code.as_chunks::<BLOCK>();
                    let mut far = 0i32;
                    for (one, other) in blocks.iter().zip(others) {
                        far = far.wrapping_add(apart(one, other));
                        if far as f32 * unit >= self.than {
                            break;
                        }
                    }
                    far.wrapping_add(apart(rest, other))
                }
                Metric::InnerProduct => -product(self.from, code),
            };
            if !(self.call)(far as f32 * unit) {
                return;
            }
        }
    }
}

/// The square of how far they are apart, which only grows with more numbers.
#[inline(always)]
fn apart(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (&a, &b)| {
        let apart = i32::from(i16::from(a).wrapping_sub(i16::from(b)));
        sum.wrapping_add(apart.wrapping_mul(apart))
    })
}

#[inline(always)]
fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (&a, &b)| {
        sum.wrapping_add(i32::from(i16::from(a).wrapping_mul(i16::from(b))))
    })
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
        rough.all(3, &which, f32::INFINITY, &mut all);
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

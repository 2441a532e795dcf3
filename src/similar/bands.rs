//! How a sketch is cut into bands. Two items are candidates once they agree in all rows of one band: with few rows a band too many
//! agree, with many too few. So there are as many rows as still find 99 of 100 pairs that are just alike enough.

/// A pair that is just alike enough is missed at most this often.
const MISSED: f64 = 0.01;
/// No sketch of a text has more bytes, of a vector more bits.
const MOST_ROWS: usize = 132;
const MOST_BITS: usize = 1024;

/// The bands of a sketch; a band is some bytes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    /// Bytes a band.
    pub bytes: usize,
    /// Bands.
    pub count: usize,
    /// The least part of the rows that are alike in a pair that is alike enough, but for chance.
    pub least: f64,
    /// A row is a bit, not a byte.
    pub bits: bool,
}

impl Bands {
    /// One band of so many bytes, all of which have to be the same.
    pub fn whole(bytes: usize) -> Self {
        Self {
            bytes,
            count: 1,
            least: 1.0,
            bits: false,
        }
    }

    /// Of texts of which so much has to be the same: one byte of a MinHash a row, which is the same with just that probability.
    pub fn of_texts(jaccard: f64) -> Self {
        let (rows, count) = cut(jaccard, 1, MOST_ROWS);
        Self {
            bytes: rows,
            count,
            least: slack(jaccard, rows * count),
            bits: false,
        }
    }

    /// Of vectors with at least that cosine: a row is the side of a hyperplane that the vector lies on, which is another one for as
    /// much of all hyperplanes as the angle is of half a turn.
    pub fn of_vectors(cosine: f64) -> Self {
        let same = 1.0 - cosine.clamp(-1.0, 1.0).acos() / std::f64::consts::PI;
        let (rows, count) = cut(same, 8, MOST_BITS);
        Self {
            bytes: rows / 8,
            count,
            least: slack(same, rows * count),
            bits: true,
        }
    }

    /// Bytes of a sketch.
    pub fn width(&self) -> usize {
        self.bytes * self.count
    }

    /// The part of their rows in which two sketches agree.
    pub fn agreement(&self, a: &[u8], b: &[u8]) -> f64 {
        let rows = if self.bits { a.len() * 8 } else { a.len() };
        let same = match self.bits {
            true => a.iter().zip(b).map(|(a, b)| (a ^ b).count_zeros()).sum(),
            false => same_bytes(a, b),
        };
        f64::from(same) / rows as f64
    }
}

/// In how many places two sketches have the same byte. In lanes, so that the compiler compares many at once.
fn same_bytes(a: &[u8], b: &[u8]) -> u32 {
    const LANES: usize = 16;
    let mut sums = [0u8; LANES];
    let (mut left, mut right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    // No sketch has so many bytes that a lane runs over.
    for (a, b) in (&mut left).zip(&mut right) {
        for lane in 0..LANES {
            sums[lane] = sums[lane].wrapping_add(u8::from(a[lane] == b[lane]));
        }
    }
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: u32 = rest.map(|(a, b)| u32::from(a == b)).sum();
    rest + sums.iter().map(|&lane| u32::from(lane)).sum::<u32>()
}

/// Rows a band and bands, where each row is the same with probability `same`.
fn cut(same: f64, step: usize, most: usize) -> (usize, usize) {
    let bands = |rows: usize| -> usize {
        let meets = same.powi(i32::try_from(rows).unwrap_or(i32::MAX));
        (MISSED.ln() / (-meets).ln_1p()).ceil().max(1.0) as usize
    };
    (1..=most / step)
        .rev()
        .map(|rows| (rows * step, bands(rows * step)))
        .find(|(rows, bands)| rows.saturating_mul(*bands) <= most)
        .unwrap_or((step, most / step))
}

/// Three standard deviations below what is expected: of a thousand pairs that are just alike enough one is lost by it.
fn slack(same: f64, rows: usize) -> f64 {
    same - 3.0 * (same * (1.0 - same) / rows as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_just_alike_enough_is_found_and_no_sketch_is_large() {
        for at in 50..100 {
            let part = f64::from(at) / 100.0;
            for bands in [Bands::of_texts(part), Bands::of_vectors(0.9 + part / 10.0)] {
                let (rows, same) = match bands.bits {
                    true => {
                        let angle = (0.9 + part / 10.0).acos();
                        (bands.bytes * 8, 1.0 - angle / std::f64::consts::PI)
                    }
                    false => (bands.bytes, part),
                };
                let missed = (1.0 - same.powi(rows as i32)).powi(bands.count as i32);
                assert!(missed <= MISSED + 1e-9, "{part}: {bands:?} misses {missed}");
                assert!(bands.width() <= MOST_ROWS, "{part}: {bands:?}");
                assert!(bands.least < same);
            }
        }
    }
}

//! Sketches: a few bytes for each text or vector, which are the more alike the more alike these are.

use super::bands::Bands;
use super::words::{LEAST_WORDS, MOST_BYTES, Words};
use crate::hash::{self, Numbers};

/// Bytes of a digest.
pub(super) const DIGEST: usize = 16;
/// One seed, so that two runs find the same.
const SEED: u64 = 0x656d_7069_7265;

/// With fewer numbers, changed signs are too few to make many directions of.
const LEAST_PADDED: usize = 64;

/// What only the same bytes have, in the same group of texts (`apart` tells groups from each other).
pub fn digest(apart: &[u8], text: &[u8]) -> [u8; DIGEST] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(apart.len() as u64).to_le_bytes());
    hasher.update(apart);
    hasher.update(text);
    let mut found = [0; DIGEST];
    hasher.finalize_xof().fill(&mut found);
    found
}

/// The sketches of items in their order; some items may have none.
pub struct Sketches {
    pub(super) bands: Bands,
    pub(super) bytes: Vec<u8>,
    pub(super) present: Vec<bool>,
}

impl Sketches {
    /// None yet.
    pub fn new(bands: Bands) -> Self {
        Self {
            bands,
            bytes: Vec::new(),
            present: Vec::new(),
        }
    }

    /// For digests.
    pub fn of_digests() -> Self {
        Self::new(Bands::whole(DIGEST))
    }

    /// The next item's.
    pub fn push(&mut self, sketch: Option<&[u8]>) {
        let from = self.bytes.len();
        self.bytes.resize(from + self.bands.width(), 0);
        if let Some(sketch) = sketch {
            self.bytes[from..].copy_from_slice(sketch);
        }
        self.present.push(sketch.is_some());
    }

    /// The next items', made on several threads; `make` says whether there is one.
    fn extend<T: Sync>(
        &mut self,
        items: &[T],
        threads: usize,
        make: impl Fn(&[T], &mut [u8], &mut [bool]) + Sync,
    ) {
        let (width, from) = (self.bands.width(), self.present.len());
        self.bytes.resize((from + items.len()) * width, 0);
        self.present.resize(from + items.len(), false);
        let share = items.len().div_ceil(threads.max(1)).max(1);
        let bytes = self.bytes[from * width..].chunks_mut(share * width);
        let present = self.present[from..].chunks_mut(share);
        let mut shares = items.chunks(share).zip(bytes).zip(present);
        std::thread::scope(|scope| {
            let own = shares.next();
            for ((items, bytes), present) in shares {
                let make = &make;
                scope.spawn(move || make(items, bytes, present));
            }
            if let Some(((items, bytes), present)) = own {
                make(items, bytes, present);
            }
        });
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub(super) fn sketch(&self, at: u32) -> &[u8] {
        let (at, width) = (at as usize, self.bands.width());
        &self.bytes[at * width..(at + 1) * width]
    }
}

/// Makes MinHash sketches of texts: the first of a text's runs of three words in a row's own order is the same for two texts as often
/// as their runs are (Broder 1997). The rows are filled in rounds, in each of which a run stands in one row only, until none is empty
/// (Dahlgaard, Knudsen and Thorup 2017): a text of some length needs a few rounds in place of one for each row. A byte of what is first
/// is kept (Li and König 2010).
pub struct Texts {
    /// Those made so far.
    pub sketches: Sketches,
    /// One a round.
    seeds: Vec<u64>,
    threads: usize,
}

impl Texts {
    /// For texts that have at least this Jaccard likeness.
    pub fn new(least: f64, threads: usize) -> Self {
        let bands = Bands::of_texts(least);
        let mut numbers = Numbers::new(SEED);
        Self {
            // After as many as there are rows each round fills one that is left.
            seeds: (0..2 * bands.width()).map(|_| numbers.next()).collect(),
            sketches: Sketches::new(bands),
            threads,
        }
    }

    /// The next texts'. One that is too short or too long for it, or no text, has none.
    pub fn extend<T: AsRef<str> + Sync>(&mut self, texts: &[Option<T>]) {
        let (seeds, width) = (&self.seeds, self.sketches.bands.width());
        let make = |texts: &[Option<T>], bytes: &mut [u8], present: &mut [bool]| {
            let (mut words, mut runs, mut firsts) = (Words::default(), Vec::new(), vec![0; width]);
            let places = bytes.chunks_exact_mut(width).zip(present);
            for (text, (sketch, present)) in texts.iter().zip(places) {
                let Some(text) = text
                    .as_ref()
                    .map(AsRef::as_ref)
                    .filter(|text| text.len() <= MOST_BYTES)
                else {
                    continue;
                };
                words.read(text);
                if words.len() < LEAST_WORDS {
                    continue;
                }
                words.runs(&mut runs);
                fill(&runs, seeds, &mut firsts);
                for (byte, first) in sketch.iter_mut().zip(&firsts) {
                    *byte = (first.wrapping_mul(0x9e37_79b1) >> 24) as u8;
                }
                *present = true;
            }
        };
        self.sketches.extend(texts, self.threads, make);
    }
}

/// The first run of each row, as a number that is the smaller, the earlier the round.
fn fill(runs: &[u64], seeds: &[u64], rows: &mut [u32]) {
    const EMPTY: u32 = u32::MAX;
    /// Bits that tell the runs of a round apart.
    const WITHIN: u32 = 20;
    rows.fill(EMPTY);
    let count = rows.len();
    for (round, &seed) in seeds.iter().enumerate() {
        let earliest = (round as u32) << WITHIN;
        for &run in runs {
            let number = hash::mix(run, seed);
            let row = match round.checked_sub(count) {
                None => (((number >> 32) * count as u64) >> 32) as usize,
                Some(row) => row,
            };
            let place = earliest | (number as u32 >> (32 - WITHIN));
            rows[row] = rows[row].min(place);
        }
        if !rows.contains(&EMPTY) {
            break;
        }
    }
}

/// Makes sketches of vectors: on which side of each of many hyperplanes they lie (Charikar 2002). The hyperplanes are those of
/// random rotations, each made of two changes of signs and two Hadamard transforms, which is far less work than so many products.
pub struct Vectors {
    /// Those made so far.
    pub sketches: Sketches,
    dimension: usize,
    /// Two a rotation, of the dimension filled up to a power of two.
    signs: Vec<Vec<f32>>,
    threads: usize,
}

impl Vectors {
    /// For vectors of this dimension that have at least this cosine.
    pub fn new(least: f64, dimension: usize, threads: usize) -> Self {
        let bands = Bands::of_vectors(least);
        let padded = dimension.next_power_of_two().max(LEAST_PADDED);
        let rotations = (bands.width() * 8).div_ceil(padded);
        let mut numbers = Numbers::new(SEED ^ 1);
        let mut sign = || if numbers.next() >> 63 == 0 { 1.0 } else { -1.0 };
        Self {
            signs: (0..2 * rotations)
                .map(|_| (0..padded).map(|_| sign()).collect())
                .collect(),
            sketches: Sketches::new(bands),
            dimension,
            threads,
        }
    }

    /// The next vectors'. One of another dimension or without a direction has none.
    pub fn extend(&mut self, vectors: &[Option<Vec<f32>>]) {
        let (signs, dimension, width) = (&self.signs, self.dimension, self.sketches.bands.width());
        let make = |vectors: &[Option<Vec<f32>>], bytes: &mut [u8], present: &mut [bool]| {
            let mut rotated = Vec::new();
            let places = bytes.chunks_exact_mut(width).zip(present);
            for (vector, (sketch, present)) in vectors.iter().zip(places) {
                let Some(vector) = vector.as_ref().filter(|one| one.len() == dimension) else {
                    continue;
                };
                let norm: f64 = vector
                    .iter()
                    .map(|&one| f64::from(one) * f64::from(one))
                    .sum();
                if !(norm > 0.0 && norm.is_finite()) {
                    continue;
                }
                let scale = 1.0 / norm.sqrt();
                let mut bit = 0;
                for pair in signs.chunks_exact(2) {
                    rotated.clear();
                    rotated.extend(vector.iter().map(|&one| (f64::from(one) * scale) as f32));
                    rotated.resize(pair[0].len(), 0.0);
                    for signs in pair {
                        rotated
                            .iter_mut()
                            .zip(signs)
                            .for_each(|(one, sign)| *one *= sign);
                        hadamard(&mut rotated);
                    }
                    for one in rotated.iter().take(width * 8 - bit) {
                        sketch[bit / 8] |= u8::from(*one >= 0.0) << (bit % 8);
                        bit += 1;
                    }
                }
                *present = true;
            }
        };
        self.sketches.extend(vectors, self.threads, make);
    }
}

/// Sums and differences of all pairs, at each distance that is a power of two.
fn hadamard(numbers: &mut [f32]) {
    let mut half = 1;
    while half < numbers.len() {
        for block in numbers.chunks_exact_mut(2 * half) {
            let (left, right) = block.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similar::{cosine, likeness};

    fn text(numbers: &mut Numbers, words: usize) -> Vec<String> {
        (0..words)
            .map(|_| format!("w{}", numbers.next() % 5000))
            .collect()
    }

    #[test]
    fn sketches_of_texts_agree_as_much_as_their_words_do() {
        let mut numbers = Numbers::new(3);
        let (mut pairs, mut texts) = (Vec::new(), Texts::new(0.7, 3));
        for at in 0..200 {
            let first = text(&mut numbers, 30 + at);
            let mut second = first.clone();
            for _ in 0..at % 7 {
                let place = (numbers.next() % first.len() as u64) as usize;
                second[place] = "other".into();
            }
            pairs.push((first.join(" "), second.join(" ")));
        }
        let all: Vec<_> = pairs.iter().flat_map(|(a, b)| [Some(a), Some(b)]).collect();
        texts.extend(&all);
        let sketches = &texts.sketches;
        let mut off = 0.0;
        for (at, (a, b)) in (0..).zip(&pairs) {
            let truth = likeness(&Words::of(a), &Words::of(b));
            let told = sketches
                .bands
                .agreement(sketches.sketch(2 * at), sketches.sketch(2 * at + 1));
            assert!((truth - told).abs() < 0.2, "{truth} {told}");
            off += told - (truth + (1.0 - truth) / 256.0);
        }
        assert!(
            off.abs() / 200.0 < 0.01,
            "on average off by {}",
            off / 200.0
        );
        // Whatever the number of threads.
        let mut alone = Texts::new(0.7, 1);
        alone.extend(&all);
        assert_eq!(alone.sketches.bytes, texts.sketches.bytes);
    }

    #[test]
    fn texts_that_are_too_short_or_too_long_have_no_sketch() {
        let mut texts = Texts::new(0.9, 2);
        let long = "word ".repeat(MOST_BYTES / 5 + 1);
        texts.extend(&[None, Some("one two three"), Some(&long), Some(&long[..500])]);
        assert_eq!(texts.sketches.present, [false, false, false, true]);
    }

    #[test]
    fn sketches_of_vectors_agree_as_much_as_their_directions_do() {
        let mut numbers = Numbers::new(5);
        for dimension in [2, 8, 100, 384] {
            let mut number = || (numbers.next() >> 40) as f32 / 16_777_216.0 - 0.5;
            let mut vectors = Vectors::new(0.98, dimension, 2);
            let mut all = Vec::new();
            for at in 0..100 {
                let first: Vec<f32> = (0..dimension).map(|_| number()).collect();
                let second = first
                    .iter()
                    .map(|one| one + number() * at as f32 / 100.0)
                    .collect();
                all.extend([Some(first), Some(second)]);
            }
            vectors.extend(&all);
            let mut off = 0.0;
            for at in 0..100 {
                let (a, b) = (&all[2 * at], &all[2 * at + 1]);
                let truth = cosine(a.as_ref().expect("is there"), b.as_ref().expect("is there"));
                let truth =
                    1.0 - truth.expect("both have a direction").acos() / std::f64::consts::PI;
                let sketch = |at: usize| vectors.sketches.sketch(at as u32);
                off += vectors
                    .sketches
                    .bands
                    .agreement(sketch(2 * at), sketch(2 * at + 1))
                    - truth;
            }
            assert!(
                off.abs() / 100.0 < 0.02,
                "{dimension}: on average off by {}",
                off / 100.0
            );
        }
        let mut vectors = Vectors::new(0.98, 2, 1);
        vectors.extend(&[
            None,
            Some(vec![0.0, 0.0]),
            Some(vec![1.0]),
            Some(vec![1e38, -1e38]),
            Some(vec![f32::NAN, 1.0]),
        ]);
        assert_eq!(vectors.sketches.present, [false, false, false, true, false]);
    }
}

//! Which texts say the same: exactly, nearly (MinHash and locality-sensitive hashing find candidates, the words themselves decide), or
//! by their vectors. Nothing here reads a file or a database, and the same input gives the same groups everywhere.
//!
//! Three rules hold. What goes is like what stays: an item joins a group only when it is like the one that is kept, never over a third.
//! A sketch only proposes: whoever asks is called back with each pair, and says how alike they are. And memory is bounded:
//! [`memory_needed`] says how much, before any of it is taken.

mod bands;
mod groups;
mod normal;
mod sketch;
mod words;

pub use bands::Bands;
pub use groups::{Group, Kind, Member, groups};
pub use normal::{normal, same_marks};
pub use sketch::{Sketches, Texts, Vectors, digest};
pub use words::{Compared, LEAST_WORDS, MOST_BYTES, Words, likeness};

/// Bytes that the search for groups takes beside the texts, for so many of them, at most. `near` and `cosine` as they are asked for.
pub fn memory_needed(items: u64, near: Option<f64>, cosine: Option<f64>) -> u64 {
    // A sketch; the places of its bands while they are made, and where they stand; the keys of one band on each of two threads.
    let signal = |bands: Bands| bands.width() + 1 + 20 * bands.count + 8 + 16;
    // The order, and a group of one. The digest is a signal of one band.
    let mut each = 4 + 40 + signal(Bands::whole(sketch::DIGEST));
    each += near.map_or(0, |least| signal(Bands::of_texts(least)));
    each += cosine.map_or(0, |least| signal(Bands::of_vectors(least)));
    items.saturating_mul(each as u64)
}

/// How alike the directions of two vectors are, from -1 to 1; `None` where they have not the same number of numbers, or no direction.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let norm = (product(a, a) * product(b, b)).sqrt();
    (a.len() == b.len() && norm > 0.0 && norm.is_finite()).then(|| product(a, b) / norm)
}

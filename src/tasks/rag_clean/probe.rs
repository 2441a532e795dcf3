//! Is it the model that made what is stored? A few texts that have a vector are embedded again and compared.

use rusqlite::types::Value;

use super::digest::Kept;
use super::judge::wrong_vector;
use super::scene::Scene;
use crate::config::sections::Rag;
use crate::sqlite::quote;

/// Texts that are embedded again.
const SAMPLES: usize = 8;
/// Rows that are looked at for them.
const LOOKED: usize = 64;
/// A longer text may be cut in more than one way.
const LONGEST: usize = 8 << 10;

/// A text and its stored vector.
pub struct Sample {
    /// The text.
    pub text: String,
    vector: Vec<u8>,
}

/// The newest texts that have a usable vector; none whose text is known to be another one by now.
pub fn samples(
    scene: &Scene<'_>,
    text_hash: Option<&str>,
    rag: &Rag,
) -> anyhow::Result<Vec<Sample>> {
    let names = &scene.memory.names;
    let hash = text_hash.map_or("NULL".to_owned(), |hash| {
        format!("CAST(e.{} AS BLOB)", quote(hash))
    });
    let sql = format!(
        "SELECT CAST(c.{text} AS BLOB), e.{vector}, {hash} FROM main.{chunks} AS c JOIN main.{embeddings} AS e ON e.{id} = c.{pointer}
         WHERE typeof(c.{text}) = 'text' AND length(c.{text}) BETWEEN 8 AND {LONGEST} AND typeof(e.{vector}) = 'blob'
         ORDER BY c.{pointer} DESC LIMIT {LOOKED}",
        text = quote(&names.text),
        vector = quote(&names.vector),
        chunks = quote(&names.chunks),
        embeddings = quote(&scene.memory.embeddings.name),
        id = quote(&names.id),
        pointer = quote(&names.embedding_id),
    );
    type Found = (Vec<u8>, Vec<u8>, Value);
    let read = || -> rusqlite::Result<Vec<Found>> {
        scene
            .reader
            .prepare(&sql)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    };
    let found = read().map_err(|error| scene.explain(error))?;
    let usable = found.into_iter().filter_map(|(text, vector, hash)| {
        let is_of_it = match hash {
            Value::Blob(hash) => {
                Kept::read(&hash, rag.hash).is_none_or(|kept| kept.is_of_text(&text))
            }
            _ => true,
        };
        let usable = is_of_it && wrong_vector(&vector, vector.len() / 4).is_none();
        let text = String::from_utf8(text).ok()?;
        usable.then_some(Sample { text, vector })
    });
    Ok(usable.take(SAMPLES).collect())
}

/// The median of their cosines: one text that changed unseen does not matter.
pub fn similarity(samples: &[Sample], vectors: &[Vec<u8>]) -> f64 {
    let mut all: Vec<f64> = samples
        .iter()
        .zip(vectors)
        .map(|(sample, vector)| cosine(&sample.vector, vector))
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn cosine(a: &[u8], b: &[u8]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let numbers = |bytes: &[u8]| -> Vec<f64> {
        bytes
            .chunks_exact(4)
            .map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])))
            .collect()
    };
    let (a, b) = (numbers(a), numbers(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|one| one.to_le_bytes()).collect()
    }

    #[test]
    fn the_median_tells_and_length_does_not_matter() {
        let samples: Vec<_> = (0..3)
            .map(|_| Sample {
                text: String::new(),
                vector: bytes(&[3.0, 4.0]),
            })
            .collect();
        let same = bytes(&[6.0, 8.0]);
        let other = bytes(&[-4.0, 3.0]);
        let one_off = [same.clone(), other.clone(), same.clone()];
        assert!((similarity(&samples, &one_off) - 1.0).abs() < 1e-9);
        let most_off = [same, other.clone(), other];
        assert!(similarity(&samples, &most_off).abs() < 1e-9);
        assert_eq!(similarity(&samples[..1], &[bytes(&[1.0])]), 0.0);
    }
}

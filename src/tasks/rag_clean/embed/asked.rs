//! The endpoint asked for the vectors of texts: first for some that are there already, then batch by batch.

use super::{FAILED, IN_A_ROW, Outcome, WRONG};
use crate::config::sections::Rag;
use crate::embedding::{Endpoint, Trouble};
use crate::sqlite::Pace;
use crate::tasks::rag_clean::judge::wrong_vector;
use crate::tasks::rag_clean::probe;
use crate::tasks::rag_clean::scene::Scene;
use crate::tasks::rag_clean::vectors::{Item, Vectors};
use crate::units;

/// The endpoint, asked batch by batch.
pub struct Asked<'a> {
    pub scene: &'a Scene<'a>,
    pub endpoint: &'a Endpoint,
    pub dimension: Option<usize>,
    pub vectors: Vectors<'a>,
    pub refused_in_a_row: u64,
}

impl Asked<'_> {
    /// Asks for vectors that are there already; true when a backup or restore waits.
    pub fn is_probed(&self, text_hash: Option<&str>, rag: &Rag) -> anyhow::Result<bool> {
        let samples = probe::samples(self.scene, text_hash, rag)?;
        if samples.is_empty() || rag.embedding.min_similarity == 0.0 {
            return Ok(false);
        }
        let texts: Vec<_> = samples.iter().map(|one| one.text.as_str()).collect();
        let vectors = match self.ask(&texts)? {
            Ok(vectors) => vectors,
            Err(Trouble::GaveWay) => return Ok(true),
            Err(trouble) => return Err(ended(trouble).into()),
        };
        self.require_dimension(&vectors)?;
        let similarity = probe::similarity(&samples, &vectors);
        if similarity < rag.embedding.min_similarity {
            return Err(Ended {
                id: WRONG,
                message: format!(
                    "{} that have a vector get another one from {}: similarity {similarity:.2} (limit {:.2}); it is another model, or the application prepares its texts in some way",
                    units::count(samples.len() as u64, "text"),
                    self.endpoint.url,
                    rag.embedding.min_similarity
                ),
            }
            .into());
        }
        Ok(false)
    }

    fn ask(&self, texts: &[&str]) -> anyhow::Result<Result<Vec<Vec<u8>>, Trouble>> {
        let gives_way = || self.scene.wanted();
        match self
            .endpoint
            .embed(texts, &self.scene.context.stop, &gives_way)
        {
            Err(Trouble::Stopped(error)) => Err(error),
            other => Ok(other),
        }
    }

    fn require_dimension(&self, vectors: &[Vec<u8>]) -> anyhow::Result<()> {
        let (Some(expected), Some(first)) = (self.dimension, vectors.first()) else {
            return Ok(());
        };
        if first.len() == expected * 4 {
            return Ok(());
        }
        Err(Ended {
            id: WRONG,
            message: format!(
                "{} answered vectors of {} dimensions; those that are stored have {expected}: nothing of it was written",
                self.endpoint.url,
                first.len() / 4
            ),
        }
        .into())
    }

    /// One request, then its vectors in short transactions. False when a backup or restore waits.
    pub fn batch(
        &mut self,
        batch: &[Item],
        pace: &mut Pace,
        outcome: &mut Outcome,
    ) -> anyhow::Result<bool> {
        let texts: Vec<_> = batch.iter().map(|item| item.text.as_str()).collect();
        let vectors = match self.ask(&texts)? {
            Ok(vectors) => vectors,
            Err(Trouble::GaveWay) => return Ok(false),
            // One of them may be too long for the model, and the others need not wait for it.
            Err(Trouble::Refused(400 | 413 | 422, _)) if batch.len() > 1 => {
                for item in batch {
                    if !self.batch(std::slice::from_ref(item), pace, outcome)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            Err(Trouble::Refused(400 | 413 | 422, _)) if self.refused_in_a_row + 1 < IN_A_ROW => {
                self.refused_in_a_row += 1;
                outcome.refused += 1;
                return Ok(true);
            }
            Err(trouble) => return Err(ended(trouble).into()),
        };
        self.refused_in_a_row = 0;
        self.require_dimension(&vectors)?;
        let dimension = vectors.first().map_or(0, |one| one.len() / 4);
        for vector in &vectors {
            if let Some(why) = wrong_vector(vector, dimension) {
                return Err(Ended {
                    id: WRONG,
                    message: format!(
                        "{} answered a vector that is {why}: nothing of it was written",
                        self.endpoint.url
                    ),
                }
                .into());
            }
        }
        self.dimension = self.dimension.or(Some(dimension));
        let pairs: Vec<_> = batch.iter().zip(&vectors).collect();
        let mut rest = pairs.as_slice();
        while !rest.is_empty() {
            if self.scene.wanted() {
                return Ok(false);
            }
            let mut written = 0;
            let worked = pace.turn(self.vectors.writer, rest, |(item, vector)| {
                let one = self.vectors.write(item, vector);
                written += u64::from(one.map_err(|error| self.scene.explain(error))?);
                Ok(())
            })?;
            outcome.done += written;
            rest = &rest[worked..];
        }
        Ok(true)
    }
}

fn ended(trouble: Trouble) -> Ended {
    match trouble {
        Trouble::Wrong(why) => Ended {
            id: WRONG,
            message: format!("{why}: nothing of that answer was written"),
        },
        Trouble::Refused(status, said) => Ended {
            id: FAILED,
            message: format!("the endpoint refuses: {status}{said}"),
        },
        Trouble::Away(why) => Ended {
            id: FAILED,
            message: why,
        },
        Trouble::Stopped(_) | Trouble::GaveWay => Ended {
            id: FAILED,
            message: "ended".to_owned(),
        },
    }
}

/// Why the run over the texts ended early: a finding, and nobody's fault here.
#[derive(Debug)]
pub struct Ended {
    /// Its finding.
    pub id: &'static str,
    message: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ended {}

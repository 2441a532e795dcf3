//! precision@k, recall@k, reciprocal rank and nDCG@k, each defined as in trec_eval (measures P, recall, recip_rank and ndcg_cut of
//! <https://github.com/usnistgov/trec_eval>): a document is relevant from grade 1 on, its gain is its grade, one that nobody judged
//! has none, and a query without any relevant document scores 0.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::config::sections::Measure;

/// What people said of documents for one query: 0 and less is not relevant, more is better.
pub type Grades = BTreeMap<String, i64>;

/// How good one ranking is, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// Of the first k places, the part with a relevant document.
    pub precision: f64,
    /// Of the relevant documents, the part that is among the first k.
    pub recall: f64,
    /// 1 through the place of the first relevant one.
    pub reciprocal_rank: f64,
    /// The gains of the first k, less by the logarithm of their place, as a part of what the best order would have.
    pub ndcg: f64,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Precision, Self::Recall, Self::Mrr, Self::Ndcg];

    /// As people call it.
    pub fn name(self, k: usize) -> String {
        match self {
            Self::Precision => format!("precision@{k}"),
            Self::Recall => format!("recall@{k}"),
            Self::Mrr => "MRR".to_owned(),
            Self::Ndcg => format!("nDCG@{k}"),
        }
    }

    /// This one of the four.
    pub fn of(self, scores: &Scores) -> f64 {
        match self {
            Self::Precision => scores.precision,
            Self::Recall => scores.recall,
            Self::Mrr => scores.reciprocal_rank,
            Self::Ndcg => scores.ndcg,
        }
    }
}

/// Brings documents into the order of their scores, the best first; of equal ones the last by name comes first. trec_eval holds a
/// score in 32 bits, so what differs only beyond them is equal.
pub fn order(found: &mut [(String, f64)]) {
    found.sort_by(|a, b| {
        (b.1 as f32)
            .total_cmp(&(a.1 as f32))
            .then_with(|| b.0.as_bytes().cmp(a.0.as_bytes()))
    });
}

/// The scores of documents in their order; each may be there once.
pub fn score<'a>(grades: &Grades, ranked: impl IntoIterator<Item = &'a str>, k: usize) -> Scores {
    let relevant = grades.values().filter(|&&grade| grade >= 1).count();
    let discount = |place: usize| ((place + 1) as f64).log2();
    let (mut first, mut hits, mut gained) = (None, 0usize, 0.0);
    for (place, document) in (1..).zip(ranked) {
        let grade = grades.get(document).copied().unwrap_or(0);
        if grade < 1 {
            continue;
        }
        first = first.or(Some(place));
        if place <= k {
            hits += 1;
            gained += grade as f64 / discount(place);
        }
    }
    let mut best: Vec<i64> = grades.values().copied().filter(|&one| one >= 1).collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let ideal: f64 = (1..)
        .zip(best.iter().take(k))
        .map(|(place, &grade)| grade as f64 / discount(place))
        .sum();
    let part = |of: f64, whole: f64| if whole > 0.0 { of / whole } else { 0.0 };
    Scores {
        precision: part(hits as f64, k as f64),
        recall: part(hits as f64, relevant as f64),
        reciprocal_rank: first.map_or(0.0, |place| 1.0 / place as f64),
        ndcg: part(gained, ideal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(pairs: &[(&str, i64)]) -> Grades {
        pairs
            .iter()
            .map(|(name, grade)| ((*name).to_owned(), *grade))
            .collect()
    }

    #[test]
    fn by_hand() {
        let grades = grades(&[("a", 2), ("b", 1), ("c", 0), ("d", -1), ("e", 1)]);
        let scores = score(&grades, ["c", "b", "x", "a"], 3);
        assert_eq!(scores.precision, 1.0 / 3.0);
        assert_eq!(scores.recall, 1.0 / 3.0);
        assert_eq!(scores.reciprocal_rank, 0.5);
        let ideal = 2.0 + 1.0 / 3f64.log2() + 0.5;
        assert!((scores.ndcg - 1.0 / 3f64.log2() / ideal).abs() < 1e-15);
        // The first relevant one counts wherever it is.
        assert_eq!(
            score(&grades, ["c", "x", "d", "e"], 3).reciprocal_rank,
            0.25
        );
        assert_eq!(score(&grades, [], 3), Scores::default());
    }

    #[test]
    fn without_anything_relevant_all_is_zero() {
        let grades = grades(&[("a", 0)]);
        assert_eq!(score(&grades, ["a", "b"], 2), Scores::default());
    }

    #[test]
    fn equal_scores_are_in_the_order_of_trec_eval() {
        let mut found: Vec<_> = [("a", 1.0), ("b", 1.0 + 1e-12), ("c", 2.0), ("ä", 1.0)]
            .map(|(name, score)| (name.to_owned(), score))
            .into();
        order(&mut found);
        let names: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["c", "ä", "b", "a"]);
    }
}

//! `[rag.eval]`: how the quality of retrieval is measured, and what is a finding.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::names_program;
use crate::error::{self, Failure};

/// The quality of retrieval: labelled queries, indices, drift, harmful memories.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RagEval {
    /// queries with what is relevant for each: TREC qrels, or a JSON object a line with id, query, vector, relevant, canary
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"eval/queries.jsonl")]
    #[serde(deserialize_with = "super::values::path")]
    pub labels: Option<PathBuf>,
    /// what the application found for them: a TREC run file that it wrote
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"eval/run.trec")]
    #[serde(deserialize_with = "super::values::path")]
    pub run: Option<PathBuf>,
    /// a program that searches as the application does: the query on its input, ids on its output, one a line, the best first
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["node", "scripts/search.js"])]
    pub command: Option<Vec<String>>,
    /// what the ids of the labels are: embeddings, chunks or documents
    pub names: RagNames,
    /// places of a ranking that count
    #[schemars(range(min = 1, max = 1000))]
    pub k: usize,
    /// the measure whose drop is a finding: precision, recall, mrr or ndcg
    pub measure: Measure,
    /// a drop of its mean by less is none
    #[schemars(range(min = 0.0, max = 1.0))]
    pub least_drop: f64,
    /// a drop that chance explains with this probability or more is none
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_chance: f64,
    /// queries that must find one of their relevant documents, besides those with "canary": true
    pub canaries: Vec<String>,
    /// an index that finds less of the k nearest with its own settings is a finding
    #[schemars(range(min = 0.0, max = 1.0))]
    pub least_recall: f64,
    /// stored vectors that are searched for to measure an index
    #[schemars(range(min = 1, max = 10_000))]
    pub sample: usize,
    /// 1 less the cosine between the mean vector now and that of the baseline
    #[schemars(range(min = 0.0, max = 2.0))]
    pub max_shift: f64,
    /// change of the mean length of a vector, as a part of that of the baseline
    #[schemars(range(min = 0.0))]
    pub max_norm_change: f64,
    /// the column of the embeddings that names the model
    pub model_column: String,
    /// a column of the chunks that is set for what is quarantined; without it such rows move to a table of their own
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"quarantined")]
    pub quarantine_column: Option<String>,
    /// findings about memories that somebody has looked at: the number in brackets of each
    pub accepted: Vec<String>,
}

/// A measure of how good a ranking is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// precision@k
    Precision,
    /// recall@k
    Recall,
    /// The reciprocal rank, whose mean over all queries is the MRR.
    Mrr,
    /// nDCG@k
    Ndcg,
}

/// What ids of labels, of a run and of the command's output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RagNames {
    /// Of embeddings.
    Embeddings,
    /// Of chunks.
    Chunks,
    /// Of documents.
    Documents,
}

impl Default for RagEval {
    fn default() -> Self {
        Self {
            labels: None,
            run: None,
            command: None,
            names: RagNames::Embeddings,
            k: 10,
            measure: Measure::Ndcg,
            least_drop: 0.02,
            max_chance: 0.05,
            canaries: Vec::new(),
            least_recall: 0.9,
            sample: 200,
            max_shift: 0.05,
            max_norm_change: 0.1,
            model_column: "model".into(),
            quarantine_column: None,
            accepted: Vec::new(),
        }
    }
}

impl RagEval {
    /// What is impossible in it.
    pub fn check(&self) -> Result<(), Failure> {
        let wrong = |what: String| Err(error::config(format!("[rag.eval]: {what}")));
        for (key, value, most) in [
            ("least_drop", self.least_drop, 1.0),
            ("max_chance", self.max_chance, 1.0),
            ("least_recall", self.least_recall, 1.0),
            ("max_shift", self.max_shift, 2.0),
            ("max_norm_change", self.max_norm_change, f64::MAX),
        ] {
            if !(0.0..=most).contains(&value) {
                let most = if most > 2.0 {
                    "up".to_owned()
                } else {
                    format!("to {most}")
                };
                return wrong(format!(
                    "{key} = {value} is out of its range: from 0 {most}"
                ));
            }
        }
        for (key, value, most) in [("k", self.k, 1000), ("sample", self.sample, 10_000)] {
            if !(1..=most).contains(&value) {
                return wrong(format!(
                    "{key} = {value} is out of its range: from 1 to {most}"
                ));
            }
        }
        let is_number = |one: &&String| {
            let is_digit = |one: u8| matches!(one, b'0'..=b'9' | b'a'..=b'f');
            one.len() == 12 && one.bytes().all(is_digit)
        };
        if let Some(other) = self.accepted.iter().find(|one| !is_number(one)) {
            return wrong(format!(
                "accepted holds '{other}', and the number in brackets of a finding has 12 hexadecimal digits"
            ));
        }
        if self
            .command
            .as_ref()
            .is_some_and(|list| !names_program(list))
        {
            return wrong("command names no program".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_told() {
        for (lines, told) in [
            ("max_chance = 1.5", "from 0 to 1"),
            ("least_recall = nan", "from 0 to 1"),
            ("max_norm_change = -1.0", "from 0 up"),
            ("k = 0", "from 1 to 1000"),
            ("sample = 20000", "from 1 to 10000"),
            ("command = []", "names no program"),
            ("accepted = ['zz']", "12 hexadecimal digits"),
        ] {
            let section: RagEval = toml::from_str(lines).expect("reads");
            let error = section.check().expect_err(lines);
            assert!(error.message.contains(told), "{lines}: {error}");
        }
        assert!(RagEval::default().check().is_ok());
        let accepts: RagEval = toml::from_str("accepted = ['0a1b2c3d4e5f']").expect("reads");
        assert!(accepts.check().is_ok());
    }
}

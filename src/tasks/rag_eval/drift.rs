//! `drift`: are the embeddings still like those of the baseline? Another model, another dimension, a mean vector that points
//! elsewhere: each breaks retrieval without an error anywhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scene;
use super::vectors::norm;
use crate::error::refused;
use crate::report::{Finding, Severity};
use crate::text::{clean, shorten};
use crate::units;

const DRIFT: &str = "rag-eval.drift";
const MIXED: &str = "rag-eval.mixed-models";
const BASELINE: &str = "rag-eval.baseline";
const KEY: &str = "drift";
/// A mean direction that is less sure says nothing.
const SURE: f64 = 0.005;
/// Names of models that are told.
const MOST_MODELS: usize = 20;

/// The embeddings as they are.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Look {
    /// Vectors that can be compared.
    vectors: u64,
    /// Rows with a vector that cannot: broken, or of another dimension than most.
    others: u64,
    /// Numbers a vector, of most.
    dimension: usize,
    /// Their mean length.
    mean_norm: f64,
    /// Vectors by the model that they are said to be of, where the table says.
    models: BTreeMap<String, u64>,
    /// When the baseline was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// 1 less the cosine between the mean vector and that of the baseline; absent where one of them is chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f64>,
}

/// What later runs are compared with.
#[derive(Clone, Serialize, Deserialize)]
struct Baseline {
    at: Timestamp,
    vectors: u64,
    dimension: usize,
    mean_norm: f64,
    models: Vec<String>,
    centroid: Vec<f32>,
}

impl Baseline {
    /// False where the vectors lie all around: the direction of their mean is then chance, and moves with every row. That of a
    /// mean of length c over n vectors is sure to about (1 - c²) / 2nc² of its cosine.
    fn has_direction(&self) -> bool {
        let square = norm(&self.centroid).powi(2);
        square > 0.0 && (1.0 - square) / (2.0 * self.vectors as f64 * square) < SURE
    }

    /// How far the mean points elsewhere: 1 less the cosine.
    fn shift(&self, before: &Self) -> f64 {
        let both = self.centroid.iter().zip(&before.centroid);
        let product: f64 = both.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (1.0 - product / (norm(&self.centroid) * norm(&before.centroid))).max(0.0)
    }
}

/// The sums of one dimension.
#[derive(Default)]
struct Sum {
    count: u64,
    norms: f64,
    /// Of the vectors brought to length 1: a long one says no more than a short one.
    directions: Vec<f64>,
    models: BTreeMap<String, u64>,
}

/// Compares with the baseline; the first run takes it.
pub(super) fn look(scene: &Scene<'_>, detail: &mut Option<Look>) -> anyhow::Result<String> {
    let report = scene.report;
    let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
    let broken = scene.memory.each_vector(&mut |vector| {
        let sum = sums.entry(vector.numbers.len()).or_default();
        sum.count += 1;
        sum.norms += vector.norm;
        sum.directions.resize(vector.numbers.len(), 0.0);
        for (sum, number) in sum.directions.iter_mut().zip(vector.numbers) {
            *sum += f64::from(*number) / vector.norm;
        }
        if let Some(model) = vector.model {
            match sum.models.get_mut(model) {
                Some(count) => *count += 1,
                None => _ = sum.models.insert(model.to_owned(), 1),
            }
        }
        Ok(())
    })?;
    let all: u64 = sums.values().map(|sum| sum.count).sum();
    let Some((&dimension, sum)) = sums.iter().max_by_key(|(_, sum)| sum.count) else {
        if broken > 0 {
            let message = format!("none of {} can be compared", units::count(broken, "vector"));
            return Err(refused(message)
                .hint("is [rag.tables] vector the right column? empire-maint rag-clean --step invalid --dry-run")
                .into());
        }
        return Ok("no embeddings".to_owned());
    };
    let now = Baseline {
        at: scene.context.now,
        vectors: sum.count,
        dimension,
        mean_norm: sum.norms / sum.count as f64,
        models: sum.models.keys().cloned().collect(),
        centroid: sum
            .directions
            .iter()
            .map(|one| (one / sum.count as f64) as f32)
            .collect(),
    };
    tell_models(scene, &sums);
    report.measure("rag_embeddings", all as f64, "", []);
    report.measure("rag_embedding_dimension", dimension as f64, "", []);
    report.measure("rag_embedding_mean_norm", now.mean_norm, "", []);
    let before: Option<Baseline> = scene
        .context
        .recall(KEY)
        .and_then(|value| serde_json::from_value(value).ok());
    for what in ["dimension", "centroid", "norm", "model"] {
        report.examined(DRIFT, what);
    }
    report.examined(BASELINE, "drift");
    let mut look = Look {
        vectors: sum.count,
        others: broken + all - sum.count,
        dimension,
        mean_norm: now.mean_norm,
        models: sum.models.clone(),
        since: None,
        shift: None,
    };
    let told = match before.filter(|_| !scene.task.accept) {
        Some(before) => {
            look.since = Some(before.at);
            look.shift = compare(scene, &before, &now);
            match look.shift {
                Some(shift) => format!("the mean vector moved by {shift:.4}"),
                None if before.dimension != dimension => "another dimension".to_owned(),
                None => "the embeddings have no common direction".to_owned(),
            }
        }
        None => {
            report.find(Finding::new(
                BASELINE,
                Severity::Info,
                "drift",
                format!(
                    "this run begins the baseline: {} of {dimension} dimensions",
                    units::count(sum.count, "vector")
                ),
            ));
            if !scene.context.attended || scene.task.accept {
                report.remember(KEY, serde_json::to_value(&now)?);
            }
            "a first look at the embeddings".to_owned()
        }
    };
    *detail = Some(look);
    Ok(told)
}

/// Vectors of two models cannot be compared, whatever their dimension.
fn tell_models(scene: &Scene<'_>, sums: &BTreeMap<usize, Sum>) {
    scene.report.examined(MIXED, &*scene.memory.embeddings.name);
    let mut models: BTreeMap<&str, u64> = BTreeMap::new();
    for (model, count) in sums.values().flat_map(|sum| &sum.models) {
        *models.entry(model).or_default() += count;
    }
    if models.len() < 2 {
        return;
    }
    let named: Vec<_> = models
        .iter()
        .take(MOST_MODELS)
        .map(|(model, count)| format!("{} ({count})", clean(&shorten(model, 80))))
        .collect();
    scene.report.find(
        Finding::new(
            MIXED,
            Severity::Medium,
            &scene.memory.embeddings.name,
            format!(
                "embeddings of {} models lie in one table, and cannot be compared: {}",
                models.len(),
                named.join(", ")
            ),
        )
        .hint("have the application embed all of it with one model"),
    );
}

fn compare(scene: &Scene<'_>, before: &Baseline, now: &Baseline) -> Option<f64> {
    let eval = &scene.task.rag.eval;
    let find = |what: &str, message: String| {
        Finding::new(
            DRIFT,
            Severity::Medium,
            what,
            format!("{message}, since {}", before.at.strftime("%Y-%m-%d")),
        )
        .hint("if it is meant: empire-maint rag-eval --accept; every labelled vector and index has to be made anew too")
    };
    let new: Vec<_> = now
        .models
        .iter()
        .filter(|model| !before.models.contains(model))
        .take(MOST_MODELS)
        .map(|model| clean(&shorten(model, 80)))
        .collect();
    if !before.models.is_empty() && !new.is_empty() {
        scene.report.find(find(
            "model",
            format!("a model that was not there: {}", new.join(", ")),
        ));
    }
    if before.dimension != now.dimension {
        scene.report.find(find(
            "dimension",
            format!(
                "most vectors have {} dimensions instead of {}",
                now.dimension, before.dimension
            ),
        ));
        return None;
    }
    let shift = (now.has_direction() && before.has_direction()).then(|| now.shift(before));
    if let Some(shift) = shift {
        scene.report.measure("rag_embedding_shift", shift, "", []);
        if shift > eval.max_shift {
            let message = format!(
                "the mean vector has moved by {shift:.3} (1 less the cosine; limit {:.3})",
                eval.max_shift
            );
            let finding = find("centroid", message).measured(shift, "", eval.max_shift);
            scene.report.find(finding);
        }
    }
    let change = (now.mean_norm / before.mean_norm - 1.0).abs();
    if change > eval.max_norm_change {
        let message = format!(
            "the mean length of a vector is {:.3} instead of {:.3}, a change by {:.1}% (limit {:.1}%)",
            now.mean_norm,
            before.mean_norm,
            change * 100.0,
            eval.max_norm_change * 100.0
        );
        let finding = find("norm", message).measured(change, "", eval.max_norm_change);
        scene.report.find(finding);
    }
    shift
}

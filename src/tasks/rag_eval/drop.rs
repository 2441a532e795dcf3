//! This run against the ones before it, query by query: a drop is a finding where it is large enough to matter and more than
//! chance. Compared with the last run, and with the best of those kept, so that many small steps down are seen too.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scene;
use crate::ranking::{self, Query, Scores, chance_of_drop};
use crate::report::{Cell, Finding, Severity};
use crate::text::shorten;

const DROP: &str = "rag-eval.drop";
const BASELINE: &str = "rag-eval.baseline";

/// Runs whose scores are kept for each way.
const KEPT: usize = 6;
/// A set with more is not kept, so that the journal stays small.
const MOST_QUERIES: usize = 5_000;
/// Two comparisons are made, so each has half of what chance may have.
const COMPARISONS: f64 = 2.0;

/// What is kept in the journal for one way.
#[derive(Default, Serialize, Deserialize)]
struct Past {
    /// Which set of queries, how many places, which names.
    set: String,
    runs: Vec<PastRun>,
}

#[derive(Clone, Serialize, Deserialize)]
struct PastRun {
    at: Timestamp,
    /// A number a query, in the order of their ids.
    scores: Vec<f64>,
}

/// This run against an earlier one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Change {
    /// The earlier run.
    #[schemars(with = "String")]
    since: Timestamp,
    /// Its mean.
    before: f64,
    /// The mean now.
    now: f64,
    /// How likely so large a drop would be by chance; 1 where there is none.
    chance: f64,
    /// It is a finding.
    significant: bool,
}

impl Change {
    /// For people.
    pub fn cell(&self) -> Cell {
        let text = format!("{:+.4} (chance {:.3})", self.now - self.before, self.chance);
        match self.significant {
            true => Cell::Bad(text),
            false => Cell::Text(text),
        }
    }
}

impl PastRun {
    fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len().max(1) as f64
    }
}

/// Compares, and keeps the scores of this run.
pub(super) fn judge(
    scene: &Scene<'_>,
    way: &str,
    asked: &[&Query],
    scores: &[Scores],
) -> anyhow::Result<Option<Change>> {
    let eval = &scene.task.rag.eval;
    let report = scene.report;
    report.examined(DROP, way);
    report.examined(BASELINE, way);
    if asked.len() > MOST_QUERIES {
        report.find(Finding::new(
            BASELINE,
            Severity::Info,
            way,
            format!(
                "{} queries are more than the {MOST_QUERIES} whose scores are kept: this run is not compared with others",
                asked.len()
            ),
        ));
        return Ok(None);
    }
    let owned: Vec<Query> = asked.iter().map(|query| (*query).clone()).collect();
    let set = format!(
        "{} k={} {:?} {:?}",
        ranking::digest(&owned),
        eval.k,
        eval.names,
        eval.measure
    );
    let now = PastRun {
        at: scene.context.now,
        scores: scores
            .iter()
            .map(|one| (eval.measure.of(one) * 1e6).round() / 1e6)
            .collect(),
    };
    let key = format!("scores {way}");
    let past: Option<Past> = scene
        .context
        .recall(&key)
        .and_then(|value| serde_json::from_value(value).ok());
    let mut past = past.unwrap_or_default();
    let is_new = past.set != set || past.runs.iter().any(|run| run.scores.len() != scores.len());
    if scene.task.accept || is_new {
        let why = match (scene.task.accept, past.runs.is_empty()) {
            (true, _) => "asked for with --accept",
            (_, true) => "there is none yet",
            _ => "the labelled queries, k, names or the measure changed",
        };
        report.find(Finding::new(
            BASELINE,
            Severity::Info,
            way,
            format!(
                "this run begins a new baseline of {}: {why}",
                eval.measure.name(eval.k)
            ),
        ));
        past = Past {
            set,
            runs: Vec::new(),
        };
    }
    let change = compare(scene, way, asked, &past.runs, &now);
    past.runs.push(now);
    let surplus = past.runs.len().saturating_sub(KEPT);
    past.runs.drain(..surplus);
    // Whoever tries something at a terminal does not move what the schedule compares with.
    if !scene.context.attended || scene.task.accept {
        report.remember(key, serde_json::to_value(&past)?);
    }
    Ok(change)
}

fn compare(
    scene: &Scene<'_>,
    way: &str,
    asked: &[&Query],
    runs: &[PastRun],
    now: &PastRun,
) -> Option<Change> {
    let eval = &scene.task.rag.eval;
    let last = runs.last()?;
    let best = runs.iter().max_by(|a, b| a.mean().total_cmp(&b.mean()))?;
    let change = |before: &PastRun| {
        let chance = (chance_of_drop(&before.scores, &now.scores) * COMPARISONS).min(1.0);
        let drop = before.mean() - now.mean();
        Change {
            since: before.at,
            before: before.mean(),
            now: now.mean(),
            chance,
            significant: drop >= eval.least_drop && chance < eval.max_chance,
        }
    };
    let (last, best, runs) = (change(last), change(best), (last, best));
    let (worse, before) = match best.significant && !last.significant {
        true => (best, runs.1),
        false => (last, runs.0),
    };
    if worse.significant {
        let mut lost: Vec<(f64, &str)> = (before.scores.iter().zip(&now.scores))
            .zip(asked)
            .map(|((before, now), query)| (before - now, query.id.as_str()))
            .filter(|(lost, _)| *lost > 0.0)
            .collect();
        lost.sort_by(|a, b| b.0.total_cmp(&a.0));
        let named: Vec<_> = lost.iter().take(3).map(|(_, id)| shorten(id, 60)).collect();
        let message = format!(
            "{} fell from {:.3} ({}) to {:.3} over {} queries, which chance explains with {:.1}% (limit {:.1}%); most lost: {}",
            eval.measure.name(eval.k),
            worse.before,
            worse.since.strftime("%Y-%m-%d"),
            worse.now,
            now.scores.len(),
            worse.chance * 100.0,
            eval.max_chance * 100.0,
            named.join(", ")
        );
        scene.report.find(
            Finding::new(DROP, Severity::Medium, way, message)
                .measured(worse.now, "", worse.before - eval.least_drop)
                .hint("what changed: model, chunking, index, documents? If it is meant: empire-maint rag-eval --accept"),
        );
    }
    Some(worse)
}

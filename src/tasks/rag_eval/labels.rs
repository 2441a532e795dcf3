//! `labels`: how good each way to search is, by what people said is relevant; canaries that must be found.

use schemars::JsonSchema;
use serde::Serialize;

use super::drop::{self, Change};
use super::engines::{self, Command, Engine, Exact, IndexFile, Near, RunFile};
use super::{Scene, recall};
use crate::config::sections::Measure;
use crate::error::missing;
use crate::ranking::{self, Query, Scores};
use crate::report::{Cell, Document, Finding, Severity, Table};
use crate::text::shorten;
use crate::units;

const CANARY: &str = "rag-eval.canary";
const NO_LABELS: &str = "rag-eval.no-labels";
/// Of a way to search that could not be tried.
const WAY: &str = "rag-eval.way-failed";

/// One way to search, measured.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Way {
    /// `run`, `command`, `exact`, or the path of an index.
    way: String,
    /// Queries that it was asked.
    queries: usize,
    /// Labelled queries that it could not be asked: without a vector or a text.
    not_asked: usize,
    /// Queries of these for which nothing is relevant; they score 0.
    without_relevant: usize,
    /// Places that count.
    k: usize,
    /// The means of all that it was asked.
    mean: Scores,
    /// Against earlier runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
    /// Canaries that it did not find.
    missed_canaries: Vec<String>,
}

/// Measures every way that is configured. Says so in a few words.
pub(super) fn look(scene: &Scene<'_>, ways: &mut Vec<Way>) -> anyhow::Result<String> {
    let report = scene.report;
    let queries = &scene.input.queries;
    report.examined(NO_LABELS, "labels");
    if queries.is_empty() {
        report.find(
            Finding::new(
                NO_LABELS,
                Severity::Info,
                "labels",
                "there are no labelled queries: precision and recall of what is retrieved are not known",
            )
            .hint("[rag.eval] labels names a file with, for a start, thirty real questions and what should be found"),
        );
        return Ok("no labelled queries".to_owned());
    }
    measure_all(scene, ways)?;
    if ways.is_empty() && report.snapshot().findings.iter().all(|one| one.id != WAY) {
        return Err(missing(format!(
            "{} without a vector, and neither a run nor a command to search with",
            units::count(queries.len() as u64, "labelled query")
        ))
        .hint("[rag.eval] run or command, or \"vector\" in the lines of [rag.eval] labels")
        .into());
    }
    if ways.is_empty() {
        let all = units::count(queries.len() as u64, "labelled query");
        return Ok(format!("{all}, and no way to ask"));
    }
    report.document(table(ways));
    let best = ways.iter().map(|way| way.mean.ndcg).fold(0.0, f64::max);
    Ok(format!(
        "{} asked in {}: nDCG@{} up to {best:.3}",
        units::count(queries.len() as u64, "labelled query"),
        units::count(ways.len() as u64, "way"),
        scene.task.rag.eval.k,
    ))
}

fn measure_all(scene: &Scene<'_>, ways: &mut Vec<Way>) -> anyhow::Result<()> {
    let eval = &scene.task.rag.eval;
    if let Some(run) = &scene.input.run {
        measure(scene, &RunFile(run), ways)?;
    }
    if let Some(list) = &eval.command {
        let command = Command {
            list,
            root: &scene.task.root,
            context: scene.context,
        };
        measure(scene, &command, ways)?;
    }
    if scene.input.queries.iter().all(|one| one.vector.is_none()) {
        return Ok(());
    }
    let (mut near, mut indices) = (Near::Cosine, Vec::new());
    for at in &scene.task.indices {
        let Some(index) = recall::open(scene, at)? else {
            continue;
        };
        if indices.is_empty() && !engines::is_unit(&index)? {
            near = Near::Metric(index.shape.metric);
        }
        indices.push((at, index));
    }
    let exact = Exact::new(scene.memory, near, &scene.input.queries)?;
    measure(scene, &exact, ways)?;
    for (at, index) in &indices {
        let index = IndexFile {
            memory: scene.memory,
            path: at.path.clone(),
            index,
            is_mapped: at.map.is_some(),
            context: scene.context,
        };
        measure(scene, &index, ways)?;
    }
    Ok(())
}

/// One way. Where it fails the next is tried.
fn measure(scene: &Scene<'_>, engine: &dyn Engine, ways: &mut Vec<Way>) -> anyhow::Result<()> {
    let name = engine.name();
    let report = scene.report;
    report.examined(WAY, &name);
    let k = scene.task.rag.eval.k;
    let (asked, others): (Vec<&Query>, Vec<&Query>) = scene
        .input
        .queries
        .iter()
        .partition(|query| engine.takes(query));
    if asked.is_empty() {
        return Ok(());
    }
    let found = match engine.find(&asked, k) {
        Ok(found) => found,
        Err(error) if crate::error::ends_the_run(&error) => return Err(error),
        Err(error) => {
            report.find(Finding::of_error(WAY, Severity::High, &name, &error));
            return Ok(());
        }
    };
    let scores: Vec<Scores> = asked
        .iter()
        .zip(&found)
        .map(|(query, found)| ranking::score(&query.grades, found.iter().map(String::as_str), k))
        .collect();
    let mean = mean(&scores);
    for (metric, measure) in [
        ("rag_eval_precision", Measure::Precision),
        ("rag_eval_recall", Measure::Recall),
        ("rag_eval_mrr", Measure::Mrr),
        ("rag_eval_ndcg", Measure::Ndcg),
    ] {
        report.measure(metric, measure.of(&mean), "", [("way", &name)]);
    }
    report.measure("rag_eval_queries", asked.len() as f64, "", [("way", &name)]);
    let missed_canaries = canaries(scene, &name, &asked, &found);
    let is_empty = |query: &&&Query| query.grades.values().all(|&grade| grade < 1);
    ways.push(Way {
        queries: asked.len(),
        not_asked: others.len(),
        without_relevant: asked.iter().filter(is_empty).count(),
        k,
        mean,
        change: drop::judge(scene, &name, &asked, &scores)?,
        missed_canaries,
        way: name,
    });
    Ok(())
}

fn mean(scores: &[Scores]) -> Scores {
    let count = scores.len().max(1) as f64;
    let mean = |measure: Measure| scores.iter().map(|one| measure.of(one)).sum::<f64>() / count;
    Scores {
        precision: mean(Measure::Precision),
        recall: mean(Measure::Recall),
        reciprocal_rank: mean(Measure::Mrr),
        ndcg: mean(Measure::Ndcg),
    }
}

/// Each canary that is not found is a finding of its own.
fn canaries(scene: &Scene<'_>, way: &str, asked: &[&Query], found: &[Vec<String>]) -> Vec<String> {
    let k = scene.task.rag.eval.k;
    let mut missed = Vec::new();
    for (query, found) in asked.iter().zip(found).filter(|(query, _)| query.canary) {
        let subject = format!("{} ({way})", shorten(&query.id, 100));
        scene.report.examined(CANARY, &subject);
        let is_relevant = |name: &String| query.grades.get(name).is_some_and(|&grade| grade >= 1);
        if found.iter().take(k).any(is_relevant) {
            continue;
        }
        let place = found.iter().position(is_relevant);
        let expected: Vec<_> = query
            .grades
            .iter()
            .filter(|(_, grade)| **grade >= 1)
            .map(|(name, _)| name.as_str())
            .take(3)
            .collect();
        let where_it_is = match place {
            Some(place) => format!("the first is in place {}", place + 1),
            None => format!("not found at all, of {} that were", found.len()),
        };
        let message = format!(
            "none of what must be found ({}) is in the first {k}: {where_it_is}",
            shorten(&expected.join(", "), 100)
        );
        scene.report.find(
            Finding::new(CANARY, Severity::Medium, subject, message).hint(
                "is the document still there, with an embedding? empire-maint rag-clean --dry-run",
            ),
        );
        missed.push(query.id.clone());
    }
    missed
}

fn table(ways: &[Way]) -> Document {
    Document::Table(Table {
        title: "Retrieval of labelled queries".to_owned(),
        columns: vec![
            "way",
            "queries",
            "precision",
            "recall",
            "MRR",
            "nDCG",
            "against before",
        ],
        rows: ways
            .iter()
            .map(|way| {
                let number = |value: f64| Cell::Text(format!("{value:.4}"));
                vec![
                    Cell::Text(way.way.clone()),
                    Cell::Count(way.queries as u64),
                    number(way.mean.precision),
                    number(way.mean.recall),
                    number(way.mean.reciprocal_rank),
                    number(way.mean.ndcg),
                    way.change.as_ref().map_or(Cell::Empty, Change::cell),
                ]
            })
            .collect(),
    })
}

//! `recall`: how much of what is nearest each index finds, and in what time, over its search parameter. No labels are needed: the
//! truth is an exact search over the same vectors.

use std::path::PathBuf;

use std::collections::HashSet;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::engines::is_unit;
use super::vectors::unit;
use super::{IndexAt, REFUSED, Scene};
use crate::faiss::{Index, Positions, Searcher};
use crate::report::{Cell, Document, Finding, Severity, Table, Unit};
use crate::sys::files;
use crate::{error, units};

const LOW: &str = "rag-eval.index-recall";
const NO_INDEX: &str = "rag-eval.no-index";

/// Settings that are tried besides the index's own.
const EFFORTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// The id of a position that its map does not have.
const NOBODY: i64 = i64::MIN;
/// A graph is never searched with less than this.
const LEAST_GRAPH: usize = 16;

/// One index, swept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Swept {
    /// The file.
    index: String,
    /// What it is.
    kind: String,
    /// Its vectors.
    vectors: usize,
    /// `labelled queries`, or `stored vectors`.
    sample: String,
    /// How many of them.
    queries: usize,
    /// Places that count.
    k: usize,
    /// efSearch or nprobe; absent where a search looks at everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// One entry a setting, rising.
    settings: Vec<Setting>,
}

/// What an index finds with one setting.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Setting {
    /// efSearch or nprobe.
    value: usize,
    /// It is the one in the file.
    own: bool,
    /// Of the k nearest, the part that is found.
    recall: f64,
    /// Time for a query, ms, in this program.
    query_ms: f64,
}

/// Sweeps every index.
pub(super) fn look(scene: &Scene<'_>, swept: &mut Vec<Swept>) -> anyhow::Result<String> {
    scene.report.examined(NO_INDEX, "recall");
    if scene.task.indices.is_empty() {
        scene.report.find(Finding::new(
            NO_INDEX,
            Severity::Info,
            "recall",
            "there is no [[rag.index]] to measure",
        ));
        return Ok("no index".to_owned());
    }
    for at in &scene.task.indices {
        let subject = at.path.display().to_string();
        let Some(index) = open(scene, at)? else {
            continue;
        };
        scene.report.examined(LOW, &subject);
        let done = sweep(scene, &subject, &index);
        swept.extend(scene.settle(&subject, done)?.flatten());
    }
    scene.report.document(table(swept));
    if swept.is_empty() {
        return Ok("no index file could be measured".to_owned());
    }
    let own = swept
        .iter()
        .flat_map(|one| &one.settings)
        .filter(|one| one.own);
    let least = own.map(|one| one.recall).fold(1.0, f64::min);
    Ok(format!(
        "{} measured, the least finds {:.1}% of the nearest",
        units::count(swept.len() as u64, "index file"),
        least * 100.0
    ))
}

/// An index that can be read; else a finding says why not.
pub(super) fn open(scene: &Scene<'_>, at: &IndexAt) -> anyhow::Result<Option<Index>> {
    let path = &at.path;
    let subject = path.display().to_string();
    // Two parts open each: one finding is enough.
    let snapshot = scene.report.snapshot();
    let is_told = |id| {
        snapshot
            .findings
            .iter()
            .any(|one| one.id == id && one.subject == subject)
    };
    if is_told(NO_INDEX) || is_told(REFUSED) {
        return Ok(None);
    }
    scene.report.examined(NO_INDEX, &subject);
    scene.report.examined(REFUSED, &subject);
    let real = |path: &PathBuf| files::through_own_links(path, &scene.task.root);
    let at = IndexAt {
        path: real(path)?,
        map: at.map.as_ref().map(real).transpose()?,
    };
    if files::metadata(path)?.is_none() {
        scene.report.find(Finding::new(
            NO_INDEX,
            Severity::Info,
            &subject,
            "there is no file yet",
        ));
        return Ok(None);
    }
    match read(&at) {
        Ok(index) => Ok(Some(index)),
        Err(error) if error::ends_the_run(&error) => Err(error),
        Err(error) => {
            scene.report.find(
                Finding::new(REFUSED, Severity::Medium, &subject, format!("{error:#}"))
                    .hint("empire-maint rag-clean --dry-run says what can be done"),
            );
            Ok(None)
        }
    }
}

/// The file, with the ids of its positions where a map has them.
fn read(at: &IndexAt) -> anyhow::Result<Index> {
    let mut index = Index::open(&at.path)?;
    if let Some(map) = at.map.as_ref().filter(|_| index.shape.is_positional()) {
        let ids = Positions::open(map)?.ids;
        for (at, entry) in index.entries.iter_mut().enumerate() {
            entry.id = ids.get(at).copied().unwrap_or(NOBODY);
        }
    }
    Ok(index)
}

fn sweep(scene: &Scene<'_>, subject: &str, index: &Index) -> anyhow::Result<Option<Swept>> {
    let eval = &scene.task.rag.eval;
    let searcher = Searcher::load(index, &scene.context.stop)?;
    let (count, dimension) = (searcher.count(), index.shape.dimension);
    if count == 0 {
        return Ok(None);
    }
    let is_unit = is_unit(index)?;
    let labelled = scene
        .input
        .queries
        .iter()
        .filter_map(|one| one.vector.as_ref());
    let mut queries: Vec<Vec<f32>> = labelled
        .filter(|vector| vector.len() == dimension)
        .take(eval.sample)
        .map(|vector| {
            if is_unit {
                unit(vector)
            } else {
                vector.clone()
            }
        })
        .collect();
    let mut sample = "labelled queries";
    if queries.is_empty() {
        sample = "stored vectors";
        // From the middle of equal parts, so that no order of the file decides.
        let wanted = eval.sample.min(count);
        queries = (0..wanted)
            .map(|at| {
                searcher
                    .vector((2 * at + 1) * count / (2 * wanted))
                    .to_vec()
            })
            .collect();
    }
    let k = eval.k.min(count);
    let mut exact = Vec::with_capacity(queries.len());
    for (done, query) in (1u64..).zip(&queries) {
        scene.context.stop.check()?;
        scene
            .report
            .progress(done, queries.len() as u64, Unit::Count, "exact searches");
        let found = searcher.exact(query, k);
        // One that is as near as the last is as good.
        let worst = found.last().map_or(f32::INFINITY, |one| one.1);
        exact.push((
            found.into_iter().map(|one| one.0).collect::<HashSet<_>>(),
            worst,
        ));
    }
    let mut swept = Swept {
        index: subject.to_owned(),
        kind: index.shape.to_string(),
        vectors: count,
        sample: sample.to_owned(),
        queries: queries.len(),
        k,
        parameter: None,
        settings: Vec::new(),
    };
    if let Some(effort) = searcher.effort() {
        swept.parameter = Some(effort.name.to_owned());
        let least = if effort.name == "efSearch" {
            LEAST_GRAPH.max(k)
        } else {
            1
        };
        let mut values: Vec<_> = EFFORTS
            .into_iter()
            .chain([effort.own])
            .filter(|&value| value == effort.own || (least..=effort.most).contains(&value))
            .collect();
        values.sort_unstable();
        values.dedup();
        for value in values {
            let mut hits = 0;
            let began = Instant::now();
            let mut found = Vec::with_capacity(queries.len());
            for query in &queries {
                scene.context.stop.check()?;
                found.push(searcher.search(query, k, value));
            }
            let taken = began.elapsed();
            for ((truth, worst), found) in exact.iter().zip(found) {
                let good = |one: &&(i64, f32)| truth.contains(&one.0) || one.1 <= *worst;
                hits += found.iter().filter(good).count();
            }
            swept.settings.push(Setting {
                value,
                own: value == effort.own,
                recall: hits as f64 / (queries.len() * k) as f64,
                query_ms: taken.as_secs_f64() * 1000.0 / queries.len() as f64,
            });
        }
        tell(scene, &swept);
    }
    Ok(Some(swept))
}

fn tell(scene: &Scene<'_>, swept: &Swept) {
    let eval = &scene.task.rag.eval;
    let report = scene.report;
    let index = swept.index.as_str();
    for one in &swept.settings {
        let value = one.value.to_string();
        let labels = [("index", index), ("setting", value.as_str())];
        report.measure("rag_index_recall", one.recall, "", labels);
        report.measure("rag_index_query_ms", one.query_ms, "ms", labels);
    }
    let Some(own) = swept.settings.iter().find(|one| one.own) else {
        return;
    };
    report.measure("rag_index_own_recall", own.recall, "", [("index", index)]);
    if own.recall >= eval.least_recall {
        return;
    }
    let parameter = swept.parameter.as_deref().unwrap_or_default();
    let enough = swept
        .settings
        .iter()
        .find(|one| one.value > own.value && one.recall >= eval.least_recall);
    let hint = match enough {
        Some(one) => format!(
            "{parameter} {} finds {:.1}% in {:.2} ms a query instead of {:.2}",
            one.value,
            one.recall * 100.0,
            one.query_ms,
            own.query_ms
        ),
        None => "no setting finds enough: have the application build it with more links or lists, or empire-maint rag-clean --rebuild-index".to_owned(),
    };
    report.find(
        Finding::new(
            LOW,
            Severity::Medium,
            index,
            format!(
                "with its own {parameter} {} it finds {:.1}% of the {} nearest (limit {:.1}%)",
                own.value,
                own.recall * 100.0,
                swept.k,
                eval.least_recall * 100.0
            ),
        )
        .measured(own.recall, "", eval.least_recall)
        .hint(hint),
    );
}

fn table(swept: &[Swept]) -> Document {
    let mut rows = Vec::new();
    for one in swept {
        if one.settings.is_empty() {
            rows.push(vec![
                Cell::Text(one.index.clone()),
                Cell::Text(one.kind.clone()),
                Cell::Text("looks at everything".to_owned()),
                Cell::Percent(100.0),
                Cell::Text("-".to_owned()),
            ]);
        }
        for setting in &one.settings {
            let own = if setting.own { " (its own)" } else { "" };
            rows.push(vec![
                Cell::Text(one.index.clone()),
                Cell::Text(one.kind.clone()),
                Cell::Text(format!(
                    "{} {}{own}",
                    one.parameter.as_deref().unwrap_or_default(),
                    setting.value
                )),
                Cell::Percent(setting.recall * 100.0),
                Cell::Text(format!("{:.3} ms", setting.query_ms)),
            ]);
        }
    }
    Document::Table(Table {
        title: "Indices: how much of what is nearest they find".to_owned(),
        columns: vec!["index", "kind", "setting", "recall", "a query"],
        rows,
    })
}

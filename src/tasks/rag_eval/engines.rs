//! Whatever can be asked what it finds: a run file, the application's own search, exact search, an index. Another vector engine
//! would be one more [`Engine`], and nothing else of this command would know.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::types::ValueRef;

use super::vectors::{Memory, norm, unit};
use crate::config::sections::RagNames;
use crate::context::Context;
use crate::error::{missing, refused};
use crate::faiss::{self, Index, Metric, Nearest, Searcher, distances};
use crate::ranking::{Query, Ranking};
use crate::sqlite::quote;
use crate::sys::{files, machine, process};

/// Rows that are compared at once.
const PIECE: usize = 2048;
/// How long the application's search may take for one query.
const LIMIT: Duration = Duration::from_secs(30);
/// Where names are fewer than embeddings, so many times more are searched for until there are enough.
const DEEPER: usize = 4;
/// And for so many queries at once that no more are found in all.
const MOST_FOUND: usize = 1 << 20;
/// A vector of length 1, as normalised numbers of 32 bits have it.
const UNIT: f64 = 1e-3;

/// A way to search.
pub trait Engine {
    /// What figures and findings call it.
    fn name(&self) -> String;
    /// True for a query that it can be asked.
    fn takes(&self, query: &Query) -> bool;
    /// For each query what it finds, by the names that labels use, the best first; `k` of them where it decides that itself.
    fn find(&self, queries: &[&Query], k: usize) -> anyhow::Result<Vec<Vec<String>>>;
}

/// What the application wrote down.
pub struct RunFile<'a>(pub &'a Ranking);

impl Engine for RunFile<'_> {
    fn name(&self) -> String {
        "run".to_owned()
    }

    /// One that is missing in the file found nothing.
    fn takes(&self, _: &Query) -> bool {
        true
    }

    fn find(&self, queries: &[&Query], _: usize) -> anyhow::Result<Vec<Vec<String>>> {
        if !queries.iter().any(|query| self.0.contains_key(&query.id)) {
            return Err(refused("the run file names none of the labelled queries")
                .hint("[rag.eval] run and labels have to call a query by the same id")
                .into());
        }
        let found = |query: &&Query| -> Vec<String> {
            let found = self.0.get(&query.id).into_iter().flatten();
            found.map(|(document, _)| document.clone()).collect()
        };
        Ok(queries.iter().map(found).collect())
    }
}

/// The application's own search, as a program.
pub struct Command<'a> {
    /// The program and its arguments.
    pub list: &'a [String],
    /// The application's root: where it runs, and as whose.
    pub root: &'a Path,
    /// The run.
    pub context: &'a Context,
}

impl Engine for Command<'_> {
    fn name(&self) -> String {
        "command".to_owned()
    }

    fn takes(&self, query: &Query) -> bool {
        query.text.is_some()
    }

    fn find(&self, queries: &[&Query], _: usize) -> anyhow::Result<Vec<Vec<String>>> {
        queries.iter().map(|query| self.ask(query)).collect()
    }
}

impl Command<'_> {
    fn ask(&self, query: &Query) -> anyhow::Result<Vec<String>> {
        let program = self.list.first().map(String::as_str).unwrap_or_default();
        let mut command = process::from_list(self.list)?;
        command.current_dir(self.root);
        if let Some(root) = files::metadata(self.root)? {
            process::as_owner(&mut command, &root);
        }
        let text = query.text.clone().unwrap_or_default();
        let stop = &self.context.stop;
        let output = process::run_with_input(command, text.into_bytes(), LIMIT, stop)
            .with_context(|| format!("{program}, asked for '{}'", query.id))?;
        anyhow::ensure!(
            output.status.success(),
            "{program}, asked for '{}', ended with {}: {}",
            query.id,
            output.status,
            crate::text::clean(&crate::text::shorten(
                String::from_utf8_lossy(&output.stderr).trim(),
                300
            ))
        );
        let text = String::from_utf8(output.stdout)
            .with_context(|| format!("{program} wrote no UTF-8 for '{}'", query.id))?;
        let mut seen = BTreeSet::new();
        let ids = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(ids
            .filter(|id| seen.insert(id.to_owned()))
            .map(str::to_owned)
            .collect())
    }
}

/// What is near, for searches over the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// The angle alone.
    Cosine,
    /// As an index has it.
    Metric(Metric),
}

/// Every embedding of the table, one after another: what no index can be better than.
pub struct Exact<'a> {
    /// The tables.
    pub memory: &'a Memory<'a>,
    /// What near means.
    near: Near,
    /// Dimensions that embeddings and queries have in common.
    dimensions: BTreeSet<usize>,
}

impl<'a> Exact<'a> {
    /// For these queries.
    pub fn new(memory: &'a Memory<'a>, near: Near, queries: &[Query]) -> anyhow::Result<Self> {
        let mut dimensions = memory.dimensions()?;
        let asked = |one: &usize| {
            let vectors = queries.iter().filter_map(|query| query.vector.as_ref());
            vectors.map(Vec::len).any(|length| length == *one)
        };
        dimensions.retain(asked);
        Ok(Self {
            memory,
            near,
            dimensions,
        })
    }
}

impl Engine for Exact<'_> {
    fn name(&self) -> String {
        "exact".to_owned()
    }

    /// Where no dimension fits it is asked all the same, and says so.
    fn takes(&self, query: &Query) -> bool {
        let fits = |vector: &Vec<f32>| {
            self.dimensions.is_empty() || self.dimensions.contains(&vector.len())
        };
        query.vector.as_ref().is_some_and(fits)
    }

    fn find(&self, queries: &[&Query], k: usize) -> anyhow::Result<Vec<Vec<String>>> {
        if self.dimensions.is_empty() {
            return Err(refused(
                "no embedding of the table has the dimension of the labelled vectors",
            )
            .hint("make the labelled vectors with the model of the table")
            .into());
        }
        by_name(self.memory, queries, k, &|queries, depth| {
            self.nearest(queries, depth)
        })
    }
}

impl Exact<'_> {
    /// Ids of the nearest, the nearest first.
    fn nearest(&self, queries: &[&Query], k: usize) -> anyhow::Result<Vec<Vec<i64>>> {
        let vectors: Vec<Vec<f32>> = queries
            .iter()
            .map(|query| match (&query.vector, self.near) {
                (Some(vector), Near::Cosine) => unit(vector),
                (Some(vector), Near::Metric(_)) => vector.clone(),
                (None, _) => Vec::new(),
            })
            .collect();
        let mut nearest = vec![Nearest::new(k); vectors.len()];
        let mut pieces: BTreeMap<usize, Piece> = vectors
            .iter()
            .map(|query| (query.len(), Piece::default()))
            .collect();
        self.memory.each_vector(&mut |vector| {
            let Some(piece) = pieces.get_mut(&vector.numbers.len()) else {
                return Ok(());
            };
            piece.ids.push(vector.id);
            match self.near {
                Near::Cosine => piece.numbers.extend(unit(vector.numbers)),
                Near::Metric(_) => piece.numbers.extend_from_slice(vector.numbers),
            }
            if piece.ids.len() == PIECE {
                self.compare(&vectors, piece, &mut nearest);
                piece.ids.clear();
                piece.numbers.clear();
            }
            Ok(())
        })?;
        for piece in pieces.values() {
            self.compare(&vectors, piece, &mut nearest);
        }
        let ids = |one: Nearest| one.sorted().into_iter().map(|(id, _)| id).collect();
        Ok(nearest.into_iter().map(ids).collect())
    }
}

/// Vectors of one dimension, which follow each other.
#[derive(Default)]
struct Piece {
    ids: Vec<i64>,
    numbers: Vec<f32>,
}

impl Exact<'_> {
    fn compare(&self, queries: &[Vec<f32>], piece: &Piece, nearest: &mut [Nearest]) {
        let metric = match self.near {
            Near::Cosine => Metric::InnerProduct,
            Near::Metric(metric) => metric,
        };
        let share = queries.len().div_ceil(machine::threads(0)).max(1);
        std::thread::scope(|scope| {
            for (queries, nearest) in queries.chunks(share).zip(nearest.chunks_mut(share)) {
                scope.spawn(move || {
                    let mut far = Vec::new();
                    for (query, nearest) in queries.iter().zip(nearest) {
                        if query.len() * piece.ids.len() != piece.numbers.len() {
                            continue; // of another dimension
                        }
                        distances(metric, query, &piece.numbers, &mut far);
                        for (far, id) in far.iter().zip(&piece.ids) {
                            nearest.offer(*far, *id);
                        }
                    }
                });
            }
        });
    }
}

/// An index as the application searches it: with the settings in the file.
pub struct IndexFile<'a> {
    /// The tables, for names.
    pub memory: &'a Memory<'a>,
    /// The file.
    pub path: PathBuf,
    /// Read.
    pub index: &'a Index,
    /// Its positions have ids.
    pub is_mapped: bool,
    /// The run.
    pub context: &'a Context,
}

impl Engine for IndexFile<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn takes(&self, query: &Query) -> bool {
        let dimension = self.index.shape.dimension;
        query
            .vector
            .as_ref()
            .is_some_and(|one| one.len() == dimension)
    }

    fn find(&self, queries: &[&Query], k: usize) -> anyhow::Result<Vec<Vec<String>>> {
        if !self.is_mapped
            && self.index.shape.is_positional()
            && !self.memory.ids_are_positions()?
        {
            return Err(refused(format!(
                "{} has positions for ids, and the ids of the table are not 0, 1, 2 and so on: what it finds cannot be told",
                self.index.shape
            ))
            .hint("positions_map of [[rag.index]] names the file with the id of each position")
            .into());
        }
        let searcher = Searcher::load(self.index, &self.context.stop)?;
        let effort = searcher.effort().map_or(0, |effort| effort.own);
        let is_unit = is_unit(self.index)?;
        by_name(self.memory, queries, k, &|queries, depth| {
            let mut found = Vec::with_capacity(queries.len());
            for vector in queries.iter().filter_map(|query| query.vector.as_ref()) {
                self.context.stop.check()?;
                let nearest = match is_unit {
                    true => searcher.search(&unit(vector), depth, effort),
                    false => searcher.search(vector, depth, effort),
                };
                found.push(nearest.into_iter().map(|(id, _)| id).collect());
            }
            Ok(found)
        })
    }
}

/// Finds so many of the nearest, by their ids.
type Search<'a> = dyn Fn(&[&Query], usize) -> anyhow::Result<Vec<Vec<i64>>> + 'a;

/// The names of what is found, `k` of them where there are as many: several embeddings may be of one document.
fn by_name(
    memory: &Memory<'_>,
    queries: &[&Query],
    k: usize,
    search: &Search<'_>,
) -> anyhow::Result<Vec<Vec<String>>> {
    let mut found = vec![Vec::new(); queries.len()];
    let mut open: Vec<usize> = (0..queries.len()).collect();
    let mut depth = k;
    while !open.is_empty() {
        let mut lacking = Vec::new();
        for some in open.chunks((MOST_FOUND / depth).max(1)) {
            let asked: Vec<_> = some.iter().map(|&at| queries[at]).collect();
            let ids = search(&asked, depth)?;
            let is_all: Vec<_> = ids.iter().map(|ids| ids.len() < depth).collect();
            let names = named(memory, ids)?;
            for ((&at, mut names), is_all) in some.iter().zip(names).zip(is_all) {
                if names.len() < k && !is_all {
                    lacking.push(at);
                }
                names.truncate(k);
                found[at] = names;
            }
        }
        open = lacking;
        depth *= DEEPER;
    }
    Ok(found)
}

/// True where all vectors of an index that are looked at have the length 1: then the application brings its queries to it too.
pub fn is_unit(index: &Index) -> anyhow::Result<bool> {
    let step = (index.entries.len() / 100).max(1);
    let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
    for entry in index.entries.iter().step_by(step) {
        index.vector(*entry, &mut bytes)?;
        numbers.clear();
        faiss::numbers(&bytes, &mut numbers);
        if (norm(&numbers) - 1.0).abs() > UNIT {
            return Ok(false);
        }
    }
    Ok(!index.entries.is_empty())
}

/// From ids of embeddings to the names that labels use; each once, in its best place.
fn named(memory: &Memory<'_>, found: Vec<Vec<i64>>) -> anyhow::Result<Vec<Vec<String>>> {
    let names = &memory.rag.tables;
    let column = match memory.rag.eval.names {
        RagNames::Embeddings => {
            let text = |ids: Vec<i64>| ids.iter().map(ToString::to_string).collect();
            return Ok(found.into_iter().map(text).collect());
        }
        RagNames::Chunks => None,
        RagNames::Documents => Some(names.document_id.as_str()),
    };
    let chunks = match column {
        Some(column) => memory.chunks(&[&names.embedding_id, column])?,
        None => memory.chunks(&[&names.embedding_id])?,
    };
    let column = match (column, chunks.key.as_slice()) {
        (Some(column), _) => quote(column),
        (None, [key]) => quote(key),
        (None, _) => return Err(missing(format!("{} has no id", chunks.name)).into()),
    };
    let wanted: HashSet<i64> = found.iter().flatten().copied().collect();
    let mut known: HashMap<i64, BTreeSet<String>> = HashMap::new();
    memory.scroll(chunks, &[quote(&names.embedding_id), column], &mut |row| {
        // As SQLite compares them with whole numbers.
        let id = match row.get_ref(0)? {
            ValueRef::Integer(id) => Some(id),
            ValueRef::Text(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            ValueRef::Real(number) => Some(number as i64).filter(|id| *id as f64 == number),
            _ => None,
        };
        let Some(id) = id else {
            return Ok(());
        };
        let name = match row.get_ref(1)? {
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => return Ok(()),
        };
        if wanted.contains(&id) {
            known.entry(id).or_default().insert(name);
        }
        Ok(())
    })?;
    let names = |ids: Vec<i64>| -> Vec<String> {
        let mut seen = HashSet::new();
        ids.iter()
            .flat_map(|id| known.get(id).into_iter().flatten())
            .filter(|name| seen.insert((*name).clone()))
            .cloned()
            .collect()
    };
    Ok(found.into_iter().map(names).collect())
}

//! Labels (TREC qrels, or JSON Lines) and rankings (TREC run files). A line that is wrong is an error that names it: labels that
//! are silently left out would make every figure look better or worse than it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::measures::{Grades, order};
use crate::error::{Failure, config};
use crate::sys::files;

/// Nobody labels more.
const LARGEST: u64 = 256 << 20;

/// A query with what is relevant for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What files call it.
    pub id: String,
    /// What is asked; qrels do not have it.
    pub text: Option<String>,
    /// The same as a vector.
    pub vector: Option<Vec<f32>>,
    /// By document.
    pub grades: Grades,
    /// One of its relevant documents has to be among the first k.
    pub canary: bool,
}

/// The documents of each query with their scores, the best first.
pub type Ranking = BTreeMap<String, Vec<(String, f64)>>;

/// A line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<Name>,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    vector: Option<Vec<f32>>,
    relevant: Relevant,
    #[serde(default)]
    canary: bool,
}

/// Ids are written as texts and as numbers.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "relevant is neither a list of ids nor an object with a whole number for each"
)]
enum Relevant {
    Names(Vec<Name>),
    Grades(Graded),
}

/// An object as it is written: a map would forget that a name is there twice.
struct Graded(Vec<(String, i64)>);

impl<'de> Deserialize<'de> for Graded {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Graded;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("an object with a whole number for each id")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Graded, A::Error> {
                let mut found = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    found.push(pair);
                }
                Ok(Graded(found))
            }
        }
        from.deserialize_map(Visitor)
    }
}

impl Name {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Where an error is.
struct Place<'a> {
    path: &'a Path,
    line: usize,
}

impl Place<'_> {
    fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        config(format!(
            "{}, line {}: {what}",
            self.path.display(),
            self.line
        ))
    }
}

/// Reads labels of either kind: JSON Lines begin with a brace, lines of qrels never do.
pub fn read_labels(path: &Path) -> anyhow::Result<Vec<Query>> {
    let text = read(path)?;
    // What some editors begin a file with.
    let text = text.trim_start_matches('\u{feff}');
    let is_json = text.trim_start().starts_with('{');
    let queries = if is_json {
        json_lines(path, text)?
    } else {
        qrels(path, text)?
    };
    if queries.is_empty() {
        return Err(config(format!("{} holds no labels", path.display())).into());
    }
    Ok(queries)
}

/// Reads a ranking: query, `Q0`, document, rank, score and a name a line. The order is that of the scores, as for trec_eval; the
/// rank says nothing.
pub fn read_run(path: &Path) -> anyhow::Result<Ranking> {
    let text = read(path)?;
    let mut ranking = Ranking::new();
    let mut seen = BTreeSet::new();
    for (place, words) in rows(path, &text) {
        let [query, _, document, _, score, _] = words.as_slice() else {
            return Err(place
                .wrong(format!(
                    "{} fields instead of query, Q0, document, rank, score and name",
                    words.len()
                ))
                .into());
        };
        let value: f64 = score
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| place.wrong(format!("the score '{score}' is no number")))?;
        if !seen.insert((*query, *document)) {
            return Err(place
                .wrong(format!("{document} is there twice for {query}"))
                .into());
        }
        let found = ranking.entry((*query).to_owned()).or_default();
        found.push(((*document).to_owned(), value));
    }
    ranking.values_mut().for_each(|found| order(found));
    Ok(ranking)
}

/// Says which set of questions and labels this is. Vectors are not of it: they change with the model, and whether that did harm is
/// what is asked.
pub fn digest(queries: &[Query]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("empire-maint 2026 set of labelled queries");
    let mut word = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for query in queries {
        word(&query.id);
        word(query.text.as_deref().unwrap_or_default());
        word(&query.grades.len().to_string());
        for (document, grade) in &query.grades {
            word(document);
            word(&grade.to_string());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn read(path: &Path) -> anyhow::Result<String> {
    let wrong = match files::metadata(path)? {
        None => Some(format!("there is no {}", path.display())),
        Some(meta) if !meta.is_file() => Some(format!("{} is no file", path.display())),
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        return Err(crate::error::missing(wrong)
            .hint("[rag.eval] names it")
            .into());
    }
    let bytes = files::read_small(path, LARGEST)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid]
            .iter()
            .filter(|&&one| one == b'\n')
            .count();
        Place { path, line }.wrong("it is no UTF-8").into()
    })
}

/// The fields of each line that has any.
fn rows<'a>(path: &'a Path, text: &'a str) -> impl Iterator<Item = (Place<'a>, Vec<&'a str>)> {
    (1..)
        .zip(text.lines())
        .map(move |(line, words)| (Place { path, line }, words.split_whitespace().collect()))
        .filter(|(_, words): &(_, Vec<_>)| !words.is_empty())
}

fn qrels(path: &Path, text: &str) -> anyhow::Result<Vec<Query>> {
    let mut queries: BTreeMap<&str, Grades> = BTreeMap::new();
    for (place, words) in rows(path, text) {
        let [query, _, document, grade] = words.as_slice() else {
            return Err(place
                .wrong(format!(
                    "{} fields instead of query, iteration, document and grade",
                    words.len()
                ))
                .into());
        };
        let value: i64 = grade
            .parse()
            .map_err(|_| place.wrong(format!("the grade '{grade}' is no whole number")))?;
        let grades = queries.entry(query).or_default();
        if grades.insert((*document).to_owned(), value).is_some() {
            return Err(place
                .wrong(format!("{document} is there twice for {query}"))
                .into());
        }
    }
    Ok(queries
        .into_iter()
        .map(|(id, grades)| Query {
            id: id.to_owned(),
            text: None,
            vector: None,
            grades,
            canary: false,
        })
        .collect())
}

fn json_lines(path: &Path, text: &str) -> anyhow::Result<Vec<Query>> {
    let mut queries: BTreeMap<String, Query> = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let place = Place { path, line };
        let read: Line = serde_json::from_str(text).map_err(|error| {
            // The place in the line is all that is of use of serde's own.
            let column = error.column();
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            place.wrong(format!("{what} (column {column})"))
        })?;
        let id = read
            .id
            .map(Name::text)
            .or_else(|| read.query.clone())
            .ok_or_else(|| place.wrong("neither an id nor a query"))?;
        let named: Vec<(String, i64)> = match read.relevant {
            Relevant::Names(names) => names.into_iter().map(|name| (name.text(), 1)).collect(),
            Relevant::Grades(Graded(grades)) => grades,
        };
        let mut grades = Grades::new();
        for (name, grade) in named {
            if grades.insert(name.clone(), grade).is_some() {
                return Err(place
                    .wrong(format!("{name} is there twice in relevant"))
                    .into());
            }
        }
        if let Some(vector) = &read.vector {
            if !vector.iter().all(|one| one.is_finite()) {
                return Err(place.wrong("the vector holds no number").into());
            }
            if vector.iter().all(|one| *one == 0.0) {
                return Err(place.wrong("the vector is empty or all zero").into());
            }
        }
        if read.canary && !grades.values().any(|&grade| grade >= 1) {
            return Err(place.wrong("a canary without a relevant document").into());
        }
        let query = Query {
            id: id.clone(),
            text: read.query,
            vector: read.vector,
            grades,
            canary: read.canary,
        };
        if queries.insert(id.clone(), query).is_some() {
            return Err(place.wrong(format!("'{id}' is there twice")).into());
        }
    }
    Ok(queries.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Kind, kind_of};

    fn labels(text: &str) -> anyhow::Result<Vec<Query>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("labels");
        std::fs::write(&path, text).expect("writes");
        read_labels(&path)
    }

    fn run(text: &str) -> anyhow::Result<Ranking> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run");
        std::fs::write(&path, text).expect("writes");
        read_run(&path)
    }

    #[test]
    fn both_kinds_of_labels_mean_the_same() {
        let lines = labels(
            "{\"id\": 2, \"relevant\": [7, \"8\"]}\n\n{\"id\": \"1\", \"relevant\": {\"7\": 3, \"9\": 0}}\n",
        );
        let trec = labels("1 0 7 3\n1 0 9 0\r\n\n2\t0 7 1\n2 0 8 1\n");
        let (lines, trec) = (lines.expect("reads"), trec.expect("reads"));
        assert_eq!(lines, trec);
        assert_eq!(digest(&lines), digest(&trec));
        let other = labels("1 0 7 2\n1 0 9 0\n2 0 7 1\n2 0 8 1\n").expect("reads");
        assert_ne!(digest(&other), digest(&trec));
    }

    #[test]
    fn a_run_is_in_the_order_of_its_scores() {
        let run = run("q Q0 a 1 0.5 x\nq Q0 b 2 0.7 x\nq Q0 c 3 0.5 x\n").expect("reads");
        let names: Vec<_> = run["q"].iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("1 0 7 3\n1 0 9\n", "line 2: 3 fields"),
            ("1 0 7 much\n", "line 1: the grade 'much'"),
            ("1 0 7 1\n1 0 7 2\n", "line 2: 7 is there twice for 1"),
            ("{\"relevant\": []}\n", "line 1: neither an id"),
            (
                "{\"id\": 1, \"relevant\": [1]}\n{\"id\": 1, \"relevant\": [1]}",
                "line 2: '1' is there twice",
            ),
            (
                "{\"id\": 1, \"relevant\": [1]}\nnothing\n",
                "line 2: expected",
            ),
            ("{\"id\": 1, \"relevent\": [1]}\n", "line 1: unknown field"),
            (
                "{\"id\": 1, \"relevant\": [], \"canary\": true}\n",
                "line 1: a canary",
            ),
            (
                "{\"id\": 1, \"relevant\": [], \"vector\": []}\n",
                "line 1: the vector",
            ),
            ("{\"id\": 1, \"relevant\": 3}\n", "line 1: "),
            (
                "{\"id\": 1, \"relevant\": [7, \"7\"]}\n",
                "line 1: 7 is there twice",
            ),
            (
                "{\"id\": 1, \"relevant\": {\"7\": 1, \"7\": 2}}\n",
                "line 1: 7 is there twice",
            ),
            ("\n\n", "holds no labels"),
        ] {
            let error = labels(text).expect_err(text);
            assert!(error.to_string().contains(told), "{text}: {error}");
            assert_eq!(kind_of(&error), Kind::Config, "{text}");
        }
        for (text, told) in [
            ("q Q0 a 1 0.5\n", "line 1: 5 fields"),
            ("q Q0 a 1 nan x\n", "line 1: the score 'nan'"),
            ("q Q0 a 1 1 x\nq Q0 a 2 2 x\n", "line 2: a is there twice"),
        ] {
            let error = run(text).expect_err(text);
            assert!(error.to_string().contains(told), "{text}: {error}");
        }
    }
}

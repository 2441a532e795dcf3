//! What rules must not find: paths, expressions, words, as gitleaks' allowlists have them.

use regex_automata::meta::Regex;
use serde::Deserialize;

use super::expression::compile;

/// What is not a finding.
pub struct Allow {
    /// All kinds of conditions that it has must hold, else any.
    all: bool,
    paths: Vec<Regex>,
    target: Target,
    expressions: Vec<Regex>,
    stopwords: Vec<String>,
    /// For these rules only.
    only: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    #[default]
    #[serde(alias = "")]
    Secret,
    Match,
    Line,
}

/// What an allowlist is asked about.
pub struct Candidate<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// The file.
    pub path: &'a str,
    /// The secret alone.
    pub secret: &'a [u8],
    /// All that the expression matched.
    pub matched: &'a [u8],
    /// The lines that it lies in.
    pub line: &'a [u8],
}

/// As it stands in the file.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AllowText {
    condition: String,
    paths: Vec<String>,
    regex_target: Target,
    regexes: Vec<String>,
    stopwords: Vec<String>,
    target_rules: Vec<String>,
}

impl AllowText {
    /// With its expressions compiled.
    pub fn resolve(self) -> anyhow::Result<Allow> {
        let all = |list: &[String]| -> anyhow::Result<Vec<Regex>> {
            list.iter().map(|text| compile(text)).collect()
        };
        Ok(Allow {
            all: self.condition.eq_ignore_ascii_case("and"),
            paths: all(&self.paths)?,
            target: self.regex_target,
            expressions: all(&self.regexes)?,
            stopwords: self
                .stopwords
                .iter()
                .map(|word| word.to_lowercase())
                .collect(),
            only: self.target_rules,
        })
    }
}

impl Allow {
    /// True where it says that this is no finding.
    pub fn covers(&self, candidate: &Candidate<'_>) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|id| id == candidate.rule) {
            return false;
        }
        let target = match self.target {
            Target::Secret => candidate.secret,
            Target::Match => candidate.matched,
            Target::Line => candidate.line,
        };
        let secret = candidate.secret.to_ascii_lowercase();
        let holds = [
            (!self.paths.is_empty()).then(|| any(&self.paths, candidate.path.as_bytes())),
            (!self.expressions.is_empty()).then(|| any(&self.expressions, target)),
            (!self.stopwords.is_empty()).then(|| {
                let has = |word: &String| memchr::memmem::find(&secret, word.as_bytes()).is_some();
                self.stopwords.iter().any(has)
            }),
        ];
        let mut holds = holds.into_iter().flatten();
        match self.all {
            true => holds.all(|holds| holds),
            false => holds.any(|holds| holds),
        }
    }

    /// True where the path alone is enough: the file need not be opened.
    pub fn covers_path(&self, path: &str) -> bool {
        let alone = !self.all || (self.expressions.is_empty() && self.stopwords.is_empty());
        self.only.is_empty() && alone && any(&self.paths, path.as_bytes())
    }
}

fn any(list: &[Regex], text: &[u8]) -> bool {
    list.iter().any(|one| one.is_match(text))
}

//! One text against all rules: one pass finds every keyword of every rule, then each rule that has one looks around it.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::{memchr, memchr_iter, memrchr};

use super::allow::Candidate;
use super::assigned;
use super::place::Place;
use super::random::entropy;
use super::rules::{Matched, Rule, Rules};
use crate::report::Severity;

/// The name of the rule for literals that are assigned to a telling name.
pub const ASSIGNED: &str = "assigned-literal";

/// A line with one of these is left alone by whoever wrote it.
const INLINE: [&[u8]; 3] = [
    b"empire-maint:allow",
    b"gitleaks:allow",
    b"pragma: allowlist secret",
];

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The rule that found it.
    pub rule: String,
    /// In words.
    pub description: String,
    /// How urgent.
    pub severity: Severity,
    /// Counted from 1.
    pub line: u64,
    /// Bytes from the beginning of the line, counted from 1.
    pub column: u64,
    /// Its first characters, at most four, and only where it is long.
    pub shown: String,
    /// Says where it is (path, rule, the line without the secret), and nothing of the secret itself.
    pub fingerprint: String,
}

/// Ready to look.
pub struct Scanner {
    rules: Rules,
    keywords: AhoCorasick,
    /// For each keyword the rules that have it; one past the last rule is the assigned literals.
    owners: Vec<Vec<usize>>,
    always: Vec<usize>,
}

/// Where each rule's keywords are, kept from file to file.
#[derive(Default)]
pub struct Memory {
    hits: Vec<Vec<u32>>,
    touched: Vec<usize>,
}

impl Scanner {
    /// Builds the one automaton.
    pub fn new(rules: Rules) -> anyhow::Result<Self> {
        let mut words: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        let mut own = |word: &str, rule: usize| {
            let at = words.iter().position(|known| known == word);
            let at = at.unwrap_or_else(|| {
                words.push(word.to_owned());
                owners.push(Vec::new());
                words.len() - 1
            });
            if !owners[at].contains(&rule) {
                owners[at].push(rule);
            }
        };
        for (number, rule) in rules.rules.iter().enumerate() {
            for word in &rule.keywords {
                own(word, number);
            }
        }
        if rules.assigned {
            for word in assigned::KEYWORDS {
                own(word, rules.rules.len());
            }
        }
        let always = rules
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.keywords.is_empty())
            .map(|(number, _)| number)
            .collect();
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words)?;
        Ok(Self {
            rules,
            keywords,
            owners,
            always,
        })
    }

    /// True where the rules themselves leave a path out.
    pub fn leaves_out(&self, path: &str) -> bool {
        self.rules.allow.iter().any(|allow| allow.covers_path(path))
    }

    /// Every secret of a text, in the order of its lines.
    pub fn scan(&self, path: &str, text: &[u8], memory: &mut Memory) -> Vec<Secret> {
        self.find_keywords(text, memory);
        let mut found: Vec<Found> = Vec::new();
        let touched = std::mem::take(&mut memory.touched);
        for number in touched.iter().chain(&self.always).copied() {
            let hits = &memory.hits[number];
            match self.rules.rules.get(number) {
                Some(rule) => self.apply(rule, path, text, hits, &mut found),
                None => self.assigned(path, text, hits, &mut found),
            }
        }
        for number in &touched {
            memory.hits[*number].clear();
        }
        memory.touched = touched;
        memory.touched.clear();
        self.require(text, &mut found);
        let mut lines = Lines::of(text);
        found.sort_by_key(|found| found.start);
        let mut seen = BTreeSet::new();
        found
            .into_iter()
            .filter(|found| !found.silent)
            .map(|found| found.secret(path, text, &mut lines))
            .filter(|secret| seen.insert((secret.line, secret.rule.clone())))
            .collect()
    }

    fn find_keywords(&self, text: &[u8], memory: &mut Memory) {
        memory.hits.resize(self.rules.rules.len() + 1, Vec::new());
        memory.touched.clear();
        for hit in self.keywords.find_overlapping_iter(text) {
            for rule in &self.owners[hit.pattern().as_usize()] {
                let hits = &mut memory.hits[*rule];
                if hits.is_empty() {
                    memory.touched.push(*rule);
                }
                hits.push(u32::try_from(hit.start()).unwrap_or(u32::MAX));
            }
        }
        for rule in &memory.touched {
            // Ends come in order, starts of words of different lengths do not.
            memory.hits[*rule].sort_unstable();
        }
    }

    fn apply(&self, rule: &Rule, path: &str, text: &[u8], hits: &[u32], found: &mut Vec<Found>) {
        if let Some(wanted) = &rule.path
            && !wanted.is_match(path.as_bytes())
        {
            return;
        }
        if rule.is_path_only() {
            found.push(Found::of(rule, 0..0));
            return;
        }
        rule.each(text, hits, &mut |Matched { all, secret }| {
            let value = &text[secret.clone()];
            if rule.entropy.is_some_and(|least| entropy(value) <= least) {
                return;
            }
            let line = line_around(text, all.start, all.end);
            if INLINE
                .iter()
                .any(|mark| memchr::memmem::find(line, mark).is_some())
            {
                return;
            }
            let candidate = Candidate {
                rule: &rule.id,
                path,
                secret: value,
                matched: &text[all.clone()],
                line,
            };
            let mut allows = rule.allow.iter().chain(&self.rules.allow);
            if !allows.any(|allow| allow.covers(&candidate)) {
                found.push(Found {
                    start: all.start,
                    ..Found::of(rule, secret)
                });
            }
        });
    }

    fn assigned(&self, path: &str, text: &[u8], hits: &[u32], found: &mut Vec<Found>) {
        let place = Place::of(path);
        let mut end = 0;
        for hit in hits {
            if (*hit as usize) < end {
                continue;
            }
            let Some(literal) = assigned::at(text, *hit as usize, place) else {
                continue;
            };
            end = literal.secret.end;
            let line = line_around(text, literal.secret.start, literal.secret.end);
            if INLINE
                .iter()
                .any(|mark| memchr::memmem::find(line, mark).is_some())
            {
                continue;
            }
            let candidate = Candidate {
                rule: ASSIGNED,
                path,
                secret: &text[literal.secret.clone()],
                matched: line,
                line,
            };
            if self
                .rules
                .allow
                .iter()
                .any(|allow| allow.covers(&candidate))
            {
                continue;
            }
            found.push(Found {
                rule: ASSIGNED.to_owned(),
                description: format!("a literal {}", literal.kind),
                severity: Severity::Medium,
                start: *hit as usize,
                secret: literal.secret,
                required: Vec::new(),
                silent: false,
            });
        }
        // What a rule for its kind has found needs no second finding.
        let known: Vec<_> = found
            .iter()
            .filter(|found| found.rule != ASSIGNED)
            .map(|found| found.secret.clone())
            .collect();
        found.retain(|one| {
            one.rule != ASSIGNED
                || !known
                    .iter()
                    .any(|other| other.start < one.secret.end && one.secret.start < other.end)
        });
    }

    /// Leaves out what other rules had to confirm and did not.
    fn require(&self, text: &[u8], found: &mut Vec<Found>) {
        if found.iter().all(|found| found.required.is_empty()) {
            return;
        }
        let line = |at: usize| memchr_iter(b'\n', &text[..at]).count() as u64;
        let all: Vec<_> = found
            .iter()
            .map(|found| (found.rule.clone(), line(found.start)))
            .collect();
        let mut at = 0;
        found.retain(|one| {
            let own = all[at].1;
            at += 1;
            one.required.iter().all(|(rule, within)| {
                all.iter().any(|(other, line)| {
                    other == rule && within.is_none_or(|within| own.abs_diff(*line) <= within)
                })
            })
        });
    }
}

/// The whole lines from `start` to `end`, not more than a screen of them.
fn line_around(text: &[u8], start: usize, end: usize) -> &[u8] {
    const MOST: usize = 2000;
    let from = memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
    let to = memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at);
    &text[from.max(start.saturating_sub(MOST))..to.min(end + MOST)]
}

struct Found {
    rule: String,
    description: String,
    severity: Severity,
    start: usize,
    secret: std::ops::Range<usize>,
    required: Vec<(String, Option<u64>)>,
    silent: bool,
}

impl Found {
    fn of(rule: &Rule, secret: std::ops::Range<usize>) -> Self {
        Self {
            rule: rule.id.clone(),
            description: rule.description.clone(),
            severity: rule.severity,
            start: secret.start,
            secret,
            required: rule.required.clone(),
            silent: rule.silent,
        }
    }

    fn secret(self, path: &str, text: &[u8], lines: &mut Lines<'_>) -> Secret {
        let line = lines.number(self.start);
        let begin = memrchr(b'\n', &text[..self.secret.start]).map_or(0, |at| at + 1);
        let before = String::from_utf8_lossy(&text[begin..self.secret.start]);
        let column = before.chars().count() as u64 + 1;
        let mut hasher = blake3::Hasher::new_derive_key("empire-maint 2026 place of a secret");
        let around = line_around(text, self.secret.start, self.secret.end);
        let offset = around.as_ptr() as usize - text.as_ptr() as usize;
        for part in [
            path.as_bytes(),
            self.rule.as_bytes(),
            &around[..self.secret.start - offset],
            &around[self.secret.end - offset..],
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Secret {
            rule: self.rule,
            description: self.description,
            severity: self.severity,
            line,
            column,
            shown: redacted(&text[self.secret]),
            fingerprint: hasher.finalize().to_hex()[..12].to_owned(),
        }
    }
}

/// At most four characters, and none of a short one: it would be guessed from them.
fn redacted(secret: &[u8]) -> String {
    let shown = match secret.len() {
        0..16 => 0,
        _ => 4,
    };
    let start = String::from_utf8_lossy(&secret[..shown]).into_owned();
    format!("{}…", crate::text::clean(&start))
}

/// Counts lines once, forward.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    number: u64,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            number: 1,
        }
    }

    fn number(&mut self, offset: usize) -> u64 {
        let offset = offset.max(self.at);
        self.number += memchr_iter(b'\n', &self.text[self.at..offset]).count() as u64;
        self.at = offset;
        self.number
    }
}

//! `memories`: texts that a person should look at before a model reads them again: instructions for the model, hidden characters,
//! links that act, secrets. Listed with what is suspicious in them; nothing is changed here.

use std::ops::Range;

use rusqlite::types::{Value, ValueRef};
use schemars::JsonSchema;
use serde::Serialize;

use super::Scene;
use crate::error::missing;
use crate::harmful::{self, Harm, Phrases};
use crate::report::{Cell, Document, Finding, Severity, Table, Unit};
use crate::secrets::{Memory, Rules, Scanner, Secret};
use crate::sqlite::quote;
use crate::units;

const HARMFUL: &str = "rag-eval.harmful";
const MORE: &str = "rag-eval.more";
/// More is no list that anybody reads.
const MOST: usize = 1_000;
const UNREAD: &str = "rag-eval.unread-memories";
/// A longer text is looked at in pieces, so that it takes no more memory than they do. So much of each is looked at with the next one
/// too: no more lies between the first and the last word of what a rule looks for.
const PIECE: usize = 1 << 20;
const AGAIN: usize = 64 << 10;
/// What rules about secrets take a memory for.
const NAME: &str = "chunk.txt";

/// What the audit found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Audit {
    /// Texts that were read.
    pub texts: u64,
    /// Chunks without one.
    without_text: u64,
    /// Chunks with bytes or numbers instead, in which nothing could be looked for.
    unread: u64,
    /// Chunks that are quarantined already, by `[rag.eval] quarantine_column`.
    quarantined: u64,
    /// Suspicions that somebody has accepted.
    accepted: u64,
    /// One entry a chunk and rule.
    pub suspects: Vec<Suspect>,
    /// What was, or would be, quarantined by this run.
    pub moved: Vec<String>,
}

/// A memory and why it is suspicious.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Suspect {
    /// The chunk.
    pub id: String,
    /// What it goes against.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// For `[rag.eval] accepted`: of this rule and this text.
    number: String,
    /// In words, with what of the text can be shown.
    message: String,
    /// The chunk, as the database has it.
    #[serde(skip)]
    pub key: Value,
    /// Its text then.
    #[serde(skip)]
    pub digest: blake3::Hash,
}

/// SQL that is true where a value of `[rag.eval] quarantine_column` says quarantined. A word that means neither yes nor no does not: a
/// memory too many is looked at rather than one too few.
pub(super) fn is_set(value: &str) -> String {
    format!(
        "coalesce(CAST({value} AS REAL) <> 0 OR lower(trim({value})) IN ('true', 'yes', 'on', 't', 'y'), 0)"
    )
}

/// Reads every text.
pub(super) fn look(scene: &Scene<'_>, detail: &mut Option<Audit>) -> anyhow::Result<String> {
    let report = scene.report;
    let names = &scene.task.rag.tables;
    let eval = &scene.task.rag.eval;
    let chunks = scene.memory.chunks(&[&names.text])?;
    let [key] = chunks.key.as_slice() else {
        return Err(missing(format!("{} has no single column for its id", chunks.name)).into());
    };
    let column = eval.quarantine_column.as_deref();
    let away = match column.and_then(|column| chunks.column(column)) {
        Some(column) => is_set(&quote(&column.name)),
        None => "0".to_owned(),
    };
    let scanner = Scanner::new(Rules::built_in()?)?;
    let phrases = Phrases::get()?;
    let mut memory = Memory::default();
    let mut audit = Audit::default();
    let wanted = [quote(key), quote(&names.text), away];
    scene.memory.scroll(chunks, &wanted, &mut |row| {
        if row.get::<_, bool>(2)? {
            audit.quarantined += 1;
            return Ok(());
        }
        let bytes = match row.get_ref(1)? {
            ValueRef::Text(bytes) => bytes,
            ValueRef::Blob(bytes) if std::str::from_utf8(bytes).is_ok() => bytes,
            ValueRef::Null => {
                audit.without_text += 1;
                return Ok(());
            }
            _ => {
                audit.unread += 1;
                return Ok(());
            }
        };
        audit.texts += 1;
        report.progress(audit.texts, 0, Unit::Count, "texts");
        let found = Found::of(bytes, &scanner, phrases, &mut memory);
        if found.harms.is_empty() && found.secrets.is_empty() {
            return Ok(());
        }
        let key: Value = row.get(0)?;
        let digest = blake3::hash(bytes);
        let mut add = |rule: String, severity, message| {
            let number = number(&rule, &digest);
            if eval.accepted.contains(&number) {
                audit.accepted += 1;
                return;
            }
            audit.suspects.push(Suspect {
                id: shown(&key),
                rule,
                severity,
                number,
                message,
                key: key.clone(),
                digest,
            });
        };
        for (harm, shown) in found.harms {
            let message = match found.may_show {
                true => shown,
                false => format!("{} (not shown: the text holds a secret)", harm.what),
            };
            add(harm.rule.to_owned(), harm.severity, message);
        }
        for secret in found.secrets {
            let message = format!(
                "{} in line {} ({})",
                secret.description, secret.line, secret.shown
            );
            add(format!("secret.{}", secret.rule), secret.severity, message);
        }
        Ok(())
    })?;
    report.progress_done();
    let told = match audit.suspects.len() {
        0 => format!("{}: nothing suspicious", units::count(audit.texts, "text")),
        found => format!(
            "{} in {}",
            units::count(found as u64, "suspicion"),
            units::count(audit.texts, "text")
        ),
    };
    let told = match audit.quarantined {
        0 => told,
        quarantined => format!("{told}, {quarantined} quarantined already"),
    };
    *detail = Some(audit);
    Ok(told)
}

/// What is suspicious in a text, each rule once.
struct Found {
    /// With what can be shown of it.
    harms: Vec<(Harm, String)>,
    secrets: Vec<Secret>,
    /// False where a text holds a secret: it could be in any part.
    may_show: bool,
}

impl Found {
    fn of(bytes: &[u8], scanner: &Scanner, phrases: &Phrases, memory: &mut Memory) -> Self {
        let mut found = Self {
            harms: Vec::new(),
            secrets: Vec::new(),
            may_show: true,
        };
        let (mut lines, mut counted) = (0u64, 0);
        for piece in pieces(bytes) {
            lines += memchr::memchr_iter(b'\n', &bytes[counted..piece.start]).count() as u64;
            counted = piece.start;
            let bytes = &bytes[piece];
            let text = String::from_utf8_lossy(bytes);
            let secrets = scanner.scan(NAME, bytes, memory);
            let harms = harmful::look(&text, phrases);
            found.may_show &= secrets.is_empty();
            for secret in secrets {
                if found.secrets.iter().all(|one| one.rule != secret.rule) {
                    found.secrets.push(Secret {
                        line: secret.line + lines,
                        ..secret
                    });
                }
            }
            if harms.is_empty() {
                continue;
            }
            // What is hidden may be a secret as well.
            let words = harmful::hidden_words(&text);
            found.may_show &= words
                .as_deref()
                .is_none_or(|words| scanner.scan(NAME, words.as_bytes(), memory).is_empty());
            for harm in harms {
                if found.harms.iter().all(|(one, _)| one.rule != harm.rule) {
                    let shown = describe(&harm, &text, words.as_deref());
                    found.harms.push((harm, shown));
                }
            }
        }
        found
    }
}

/// The pieces of a text. They end with a line where there is one, as what turns the writing direction does.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        if bytes.len() - start <= PIECE {
            next = None;
            return Some(start..bytes.len());
        }
        let most = start + PIECE;
        let end = match memchr::memrchr(b'\n', &bytes[most - AGAIN / 2..most]) {
            Some(at) => most - AGAIN / 2 + at + 1,
            None => begin_of_character(bytes, most),
        };
        next = Some(begin_of_character(bytes, end - AGAIN));
        Some(start..end)
    })
}

fn begin_of_character(bytes: &[u8], at: usize) -> usize {
    let is_within = |one: &&u8| **one & 0xc0 == 0x80;
    at - bytes[..=at]
        .iter()
        .rev()
        .take(3)
        .take_while(is_within)
        .count()
}

fn describe(harm: &Harm, text: &str, words: Option<&str>) -> String {
    let mut message = harm.what.to_owned();
    if harm.rule == "hidden.tags"
        && let Some(words) = words
    {
        message.push_str(&format!(", which say \"{words}\""));
    }
    format!("{message}: {}", harmful::excerpt(text, &harm.at))
}

/// An id, for people.
fn shown(key: &Value) -> String {
    match key {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Stable as long as rule and text are the same.
fn number(rule: &str, digest: &blake3::Hash) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("empire-maint 2026 suspicion about a memory");
    hasher.update(digest.as_bytes());
    hasher.update(rule.as_bytes());
    hasher.finalize().to_hex()[..12].to_owned()
}

/// Makes the findings: of all that is still there for the application to find.
pub(super) fn tell(scene: &Scene<'_>, audit: &Audit) {
    let report = scene.report;
    let table = scene.task.rag.tables.chunks.as_str();
    let is_gone = |one: &&Suspect| !report.dry_run() && audit.moved.contains(&one.id);
    report.examined_all(HARMFUL);
    report.examined(MORE, table);
    report.examined(UNREAD, table);
    if audit.unread > 0 {
        let column = &scene.task.rag.tables.text;
        report.find(
            Finding::new(
                UNREAD,
                Severity::Low,
                table,
                format!(
                    "{} of {table}.{column} are bytes that are no text, or numbers: nothing was looked for in them",
                    units::count(audit.unread, "value")
                ),
            )
            .hint("what an application keeps compressed or encrypted it has to look through itself, before it does"),
        );
    }
    report.measure("rag_memories_read", audit.texts as f64, "", []);
    for kind in ["inject", "hidden", "link", "secret"] {
        let is_of = |one: &&Suspect| one.rule.split('.').next() == Some(kind);
        let count = audit.suspects.iter().filter(is_of).count();
        report.measure(
            "rag_memories_suspicious",
            count as f64,
            "",
            [("kind", kind)],
        );
    }
    let mut order: Vec<&Suspect> = audit.suspects.iter().filter(|one| !is_gone(one)).collect();
    order.sort_by_key(|one| std::cmp::Reverse(one.severity));
    for one in order.iter().take(MOST) {
        report.find(
            Finding::new(
                HARMFUL,
                one.severity,
                format!("{table} {} ({})", one.id, one.rule),
                format!("{} [{}]", one.message, one.number),
            )
            .hint("look at it; then empire-maint rag-eval --quarantine ID, or its number in brackets into [rag.eval] accepted"),
        );
    }
    if order.len() > MOST {
        report.find(Finding::new(
            MORE,
            Severity::Medium,
            table,
            format!(
                "{} more suspicions than the {MOST} that are listed",
                order.len() - MOST
            ),
        ));
    }
    if order.is_empty() {
        return;
    }
    report.document(Document::Table(Table {
        title: "Memories to look at".to_owned(),
        columns: vec!["id", "rule", "number", "what"],
        rows: order
            .iter()
            .take(MOST)
            .map(|one| {
                vec![
                    Cell::Text(one.id.clone()),
                    Cell::Text(one.rule.clone()),
                    Cell::Text(one.number.clone()),
                    Cell::Text(one.message.clone()),
                ]
            })
            .collect(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_text_and_overlap() {
        for text in [
            "a".repeat(10),
            "ä€𝐈 ".repeat(400_000),
            "a line\n".repeat(400_000),
        ] {
            let all: Vec<_> = pieces(text.as_bytes()).collect();
            assert_eq!(all[0].start, 0);
            assert_eq!(all[all.len() - 1].end, text.len());
            assert_eq!(all.len() > 1, text.len() > PIECE);
            for piece in &all {
                assert!(piece.len() <= PIECE);
                assert!(text.get(piece.clone()).is_some(), "cuts a character");
            }
            for pair in all.windows(2) {
                let again = pair[0].end - pair[1].start;
                assert!((AGAIN..AGAIN + 4).contains(&again), "{again}");
            }
        }
        assert!(pieces(&[0xbf; 3 << 20]).count() > 2, "no character begins");
    }
}

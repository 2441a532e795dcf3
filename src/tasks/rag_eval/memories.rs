//! `memories`: texts that a person should look at before a model reads them again: instructions for the model, hidden characters,
//! links that act, secrets. Listed with what is suspicious in them; nothing is changed here.

use rusqlite::types::{Value, ValueRef};
use schemars::JsonSchema;
use serde::Serialize;

use super::Scene;
use crate::error::missing;
use crate::harmful::{self, Harm, Phrases};
use crate::report::{Cell, Document, Finding, Severity, Table, Unit};
use crate::secrets::{Memory, Rules, Scanner};
use crate::sqlite::quote;
use crate::units;

const HARMFUL: &str = "rag-eval.harmful";
const MORE: &str = "rag-eval.more";
/// More is no list that anybody reads.
const MOST: usize = 1_000;
/// What rules about secrets take a memory for.
const NAME: &str = "chunk.txt";

/// What the audit found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Audit {
    /// Texts that were read.
    pub texts: u64,
    /// Chunks without one.
    without_text: u64,
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
        Some(column) => format!(
            "coalesce({0} NOT IN (0, '', '0', 'false'), 0)",
            quote(&column.name)
        ),
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
        let text = match row.get_ref(1)? {
            ValueRef::Text(text) => text,
            _ => {
                audit.without_text += 1;
                return Ok(());
            }
        };
        audit.texts += 1;
        report.progress(audit.texts, 0, Unit::Count, "texts");
        let bytes = text;
        let text = String::from_utf8_lossy(bytes);
        let secrets = scanner.scan(NAME, bytes, &mut memory);
        let harms = harmful::look(&text, phrases);
        if secrets.is_empty() && harms.is_empty() {
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
        // What is hidden may be a secret as well.
        let words = harmful::hidden_words(&text);
        let may_show = secrets.is_empty()
            && words
                .as_deref()
                .is_none_or(|words| scanner.scan(NAME, words.as_bytes(), &mut memory).is_empty());
        for harm in &harms {
            let message = describe(harm, &text, words.as_deref(), may_show);
            add(harm.rule.to_owned(), harm.severity, message);
        }
        let mut told = Vec::new();
        for secret in &secrets {
            if told.contains(&&secret.rule) {
                continue;
            }
            told.push(&secret.rule);
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
    *detail = Some(audit);
    Ok(told)
}

/// Where a text holds a secret, nothing of it is shown: it could be in any part.
fn describe(harm: &Harm, text: &str, words: Option<&str>, may_show: bool) -> String {
    let mut message = harm.what.to_owned();
    if !may_show {
        return format!("{message} (not shown: the text holds a secret)");
    }
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

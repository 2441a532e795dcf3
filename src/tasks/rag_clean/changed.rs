//! Documents whose file is another one by now, by its hash. They are marked for the application, which reads and cuts them again;
//! nothing of them is removed, also where the file is gone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;

use super::PIECE;
use super::digest::Kept;
use super::memory::Memory;
use crate::archive::Source;
use crate::config::sections::Rag;
use crate::context::Context;
use crate::error::missing;
use crate::report::{Finding, Reporter, Severity, Step};
use crate::sqlite::{self, Row, Selection, Table, quote};
use crate::sys::beneath::{Beneath, open_beneath};
use crate::sys::files::{self, Identity};
use crate::units;

const CHANGED: &str = "rag-clean.documents-changed";
const GONE: &str = "rag-clean.documents-gone";
const UNREAD: &str = "rag-clean.documents-unread";

/// Documents that one run marks; the next one goes on.
const MOST: usize = 100_000;
/// Documents that are named in the report.
const NAMED: usize = 100;
/// Bytes of a path that are shown.
const SHOWN: usize = 200;

/// What became of the documents.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Outcome {
    /// Documents in the table.
    documents: u64,
    /// Without a path or a hash: nothing can be said of them.
    without_a_value: u64,
    /// Elsewhere: their path is the address of something on the network.
    elsewhere: u64,
    /// Whose file is another one.
    changed: u64,
    /// Of those, marked already.
    already_marked: u64,
    /// Marked by this run.
    marked: u64,
    /// Whose file is gone.
    gone: u64,
    /// Whose file was not read, and why.
    unread: BTreeMap<String, u64>,
    /// The first of those that changed.
    changed_paths: Vec<String>,
    /// The first of those that are gone.
    gone_paths: Vec<String>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = units::count(self.documents, "document");
        write!(f, "of {all} {} changed, {} gone", self.changed, self.gone)
    }
}

/// What was found out, before anything is marked.
pub struct Looked {
    outcome: Outcome,
    table: Table,
    /// The column that is marked.
    stale: Option<String>,
    /// The keys to mark, and the hash that each had.
    marks: Vec<(Row, Value)>,
    unread_paths: Vec<String>,
}

/// Where documents are.
pub struct Place<'a> {
    /// The settings.
    pub rag: &'a Rag,
    /// The folder.
    pub root: PathBuf,
    /// What must never be opened as a plain file.
    pub untouchable: Vec<Identity>,
}

impl Place<'_> {
    /// Compares every document with its file.
    pub fn look(
        &self,
        memory: &Memory,
        reader: &Connection,
        source: &Source,
        context: &Context,
    ) -> anyhow::Result<Looked> {
        let names = &memory.names;
        let table =
            memory.documents(&[(&names.path, "path"), (&names.content_hash, "content_hash")])?;
        if !files::metadata(&self.root)?.is_some_and(|meta| meta.is_dir()) {
            return Err(missing(format!(
                "there is no folder {}: every document would be gone",
                self.root.display()
            ))
            .hint("[rag] documents_root names it; is its disk mounted?")
            .into());
        }
        let stale = table.column(&names.stale).map(|column| column.name.clone());
        let mut looked = Looked {
            outcome: Outcome::default(),
            table: table.clone(),
            stale,
            marks: Vec::new(),
            unread_paths: Vec::new(),
        };
        let bytes = |name: &str| format!("CAST({} AS BLOB)", quote(name));
        let columns = [
            bytes(&names.path),
            bytes(&names.content_hash),
            looked
                .stale
                .as_ref()
                .map_or("NULL".to_owned(), |name| bytes(name)),
        ];
        let selection = Selection::of(table, "1");
        let mut walk = selection.walk(&columns);
        loop {
            context.stop.check()?;
            let piece = walk
                .piece(reader, PIECE, |_| false)
                .map_err(|error| sqlite::explain(error, &source.path, &context.stop))?;
            if piece.is_empty() {
                return Ok(looked);
            }
            for row in piece {
                self.one(row, &mut looked, context)?;
            }
        }
    }

    fn one(&self, mut row: Row, looked: &mut Looked, context: &Context) -> anyhow::Result<()> {
        let outcome = &mut looked.outcome;
        outcome.documents += 1;
        let mark = row.pop();
        let (Some(Value::Blob(hash)), Some(Value::Blob(path))) = (row.pop(), row.pop()) else {
            outcome.without_a_value += 1;
            return Ok(());
        };
        if path.is_empty() || hash.is_empty() {
            outcome.without_a_value += 1;
            return Ok(());
        }
        let path = path.strip_prefix(b"file://").unwrap_or(&path);
        if path.windows(3).any(|three| three == b"://") {
            outcome.elsewhere += 1;
            return Ok(());
        }
        let shown = || -> String { String::from_utf8_lossy(path).chars().take(SHOWN).collect() };
        let verdict = self.judge(path, &hash, context)?;
        match verdict {
            Verdict::Same => {}
            Verdict::Gone => {
                outcome.gone += 1;
                if outcome.gone_paths.len() < NAMED {
                    outcome.gone_paths.push(shown());
                }
            }
            Verdict::Unread(why) => {
                *outcome.unread.entry(why.to_owned()).or_default() += 1;
                if looked.unread_paths.len() < NAMED {
                    looked.unread_paths.push(format!("{} ({why})", shown()));
                }
            }
            Verdict::Changed => {
                outcome.changed += 1;
                if outcome.changed_paths.len() < NAMED {
                    outcome.changed_paths.push(shown());
                }
                let wanted = self.rag.tables.stale_value.as_bytes();
                let is_marked = matches!(&mark, Some(Value::Blob(mark)) if mark == wanted);
                outcome.already_marked += u64::from(is_marked);
                if looked.stale.is_some() && !is_marked && looked.marks.len() < MOST {
                    looked.marks.push((row, Value::Blob(hash)));
                }
            }
        }
        Ok(())
    }

    fn judge(&self, path: &[u8], hash: &[u8], context: &Context) -> anyhow::Result<Verdict> {
        let Some(kept) = Kept::read(hash, self.rag.hash) else {
            return Ok(Verdict::Unread("its hash is of no known kind"));
        };
        let skip = |identity: Identity| self.untouchable.contains(&identity);
        let file = match open_beneath(&self.root, path, &skip) {
            Ok(Beneath::File(_, length)) if length > self.rag.max_document.0 => {
                return Ok(Verdict::Unread("larger than max_document"));
            }
            Ok(Beneath::File(file, _)) => file,
            Ok(Beneath::Absent) => return Ok(Verdict::Gone),
            Ok(Beneath::Refused(why)) => return Ok(Verdict::Unread(why)),
            Err(_) => return Ok(Verdict::Unread("it could not be opened")),
        };
        // A file that grows while it is read ends all the same.
        let mut content = std::io::Read::take(&file, self.rag.max_document.0);
        let same = kept.is_of(&mut content, &mut || context.stop.check());
        files::drop_cache(&file);
        match same {
            Ok(true) => Ok(Verdict::Same),
            Ok(false) => Ok(Verdict::Changed),
            Err(error) if crate::error::ends_the_run(&error) => Err(error),
            Err(_) => Ok(Verdict::Unread("it could not be read")),
        }
    }
}

enum Verdict {
    Same,
    Changed,
    Gone,
    Unread(&'static str),
}

impl Looked {
    /// The action that marks; `None` where there is nothing to mark.
    pub fn step(&self, source: &Source) -> Option<Step> {
        let column = self.stale.as_ref().filter(|_| !self.marks.is_empty())?;
        Some(Step {
            kind: "mark",
            target: format!("{}: {}.{column}", source.name, self.table.name),
            reason: format!(
                "{} of {}: their file is another one than was read",
                self.marks.len(),
                units::count(self.outcome.documents, "document")
            ),
        })
    }

    /// What is to be marked.
    pub fn marks(&self) -> &[(Row, Value)] {
        &self.marks
    }

    /// Marks one, unless its row has changed since.
    pub fn mark(
        &self,
        writer: &Connection,
        rag: &Rag,
        (key, hash): &(Row, Value),
    ) -> rusqlite::Result<u64> {
        let Some(stale) = &self.stale else {
            return Ok(0);
        };
        let value = &rag.tables.stale_value;
        let value = match value.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(value.clone()),
        };
        let at = key.len();
        let sql = format!(
            "UPDATE main.{} SET {} = ?{} WHERE {} AND CAST({} AS BLOB) IS ?{}",
            quote(&self.table.name),
            quote(stale),
            at + 1,
            self.table.key_is(),
            quote(&rag.tables.content_hash),
            at + 2
        );
        let values = key.iter().chain([&value, hash]);
        let changed = writer.prepare(&sql)?.execute(params_from_iter(values))?;
        Ok(changed as u64)
    }

    /// Says what was found, and what became of it.
    pub fn tell(mut self, marked: u64, report: &Reporter, source: &Source) -> Outcome {
        self.outcome.marked = marked;
        let (name, outcome) = (&source.name, &self.outcome);
        for id in [CHANGED, GONE, UNREAD] {
            report.examined(id, name);
        }
        let all = units::count(outcome.documents, "document");
        if outcome.changed > 0 {
            let severity = match self.stale {
                Some(_) => Severity::Low,
                None => Severity::Medium,
            };
            let message = format!(
                "{} of {all} are other files than were read: {}",
                outcome.changed,
                listed(&outcome.changed_paths, outcome.changed)
            );
            let hint = match &self.stale {
                Some(column) => {
                    format!("the application finds them by {}.{column}", self.table.name)
                }
                None => format!(
                    "have the application read them again; with a column {}.stale they would be marked for it",
                    self.table.name
                ),
            };
            report.find(Finding::new(CHANGED, severity, name, message).hint(hint));
        }
        if outcome.gone > 0 {
            let message = format!(
                "the files of {} of {all} are gone: {}",
                outcome.gone,
                listed(&outcome.gone_paths, outcome.gone)
            );
            report.find(Finding::new(GONE, Severity::Low, name, message).hint(
                "remove them in the application, or their rows: rag-clean --step orphans then takes their chunks",
            ));
        }
        let unread: u64 = outcome.unread.values().sum();
        if unread > 0 {
            let message = format!(
                "the files of {unread} of {all} were not read: {}",
                listed(&self.unread_paths, unread)
            );
            report.find(Finding::new(UNREAD, Severity::Low, name, message));
        }
        for (metric, value) in [
            ("rag_documents", outcome.documents),
            ("rag_documents_changed", outcome.changed),
            ("rag_documents_gone", outcome.gone),
            ("rag_documents_unread", unread),
        ] {
            report.measure(metric, value as f64, "", []);
        }
        self.outcome
    }
}

fn listed(paths: &[String], all: u64) -> String {
    let first: Vec<_> = paths.iter().take(3).map(String::as_str).collect();
    match all.saturating_sub(first.len() as u64) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

//! Takes memories out of the application's sight, and brings them back: by a column of the chunks that the application heeds, or
//! into tables beside the application's own, each memory in one short transaction. Nothing of it is lost, and nothing is deleted
//! that is not in the other table by then.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _};

use super::memories::{Audit, Suspect};
use super::{BUSY, PATIENCE, Scene};
use crate::archive;
use crate::error::{self, Kind, missing, refused};
use crate::faiss::Index;
use crate::report::{Finding, Severity, Step};
use crate::sqlite::{self, Column, Pace, Reference, Table, is_constraint, quote};
use crate::sys::files;
use crate::units;

const NO_BACKUP: &str = "rag-eval.no-backup";
const REFUSED: &str = "rag-eval.quarantine-refused";
const KEPT: &str = "rag-eval.quarantine-kept";
const SUBJECT: &str = "quarantine";

/// Columns of ours in the tables beside.
const NUMBER: &str = "quarantine_number";
const AT: &str = "quarantined_at";
const FOR: &str = "quarantined_for";
const CHUNK: &str = "quarantined_chunk";
/// The rowid, where no column of the application has it.
const ROWID: &str = "quarantined_rowid";

/// What is asked for.
pub enum Change {
    /// Out of sight.
    Away(Wanted),
    /// Back, by id.
    Back(Vec<String>),
}

/// Which memories.
pub enum Wanted {
    /// All that are found, of medium severity and up.
    All,
    /// These of those that are found.
    These(Vec<String>),
}

impl Wanted {
    /// As typed.
    pub fn of(typed: Vec<String>) -> Self {
        match typed.iter().any(|one| one == "all") {
            true => Self::All,
            false => Self::These(typed),
        }
    }
}

/// A memory with all that speaks against it.
struct Chosen<'a> {
    suspect: &'a Suspect,
    rules: String,
}

/// What became of one.
enum Outcome {
    Done,
    /// It stays, and why.
    Stays(String),
}

/// Does what is asked for, and says what was done.
pub(super) fn carry_out(
    scene: &Scene<'_>,
    change: &Change,
    audit: Option<&mut Audit>,
) -> anyhow::Result<String> {
    for id in [NO_BACKUP, REFUSED] {
        scene.report.examined(id, SUBJECT);
    }
    let done = match (change, audit) {
        (Change::Away(wanted), Some(audit)) => away(scene, wanted, audit),
        // Why they could not be read is a finding already.
        (Change::Away(_), None) => return Ok("nothing was quarantined".to_owned()),
        (Change::Back(ids), _) => back(scene, ids),
    };
    match done {
        Err(error) if matches!(error::kind_of(&error), Kind::Refused | Kind::Missing) => {
            refuse(scene, REFUSED, &error);
            Ok("nothing was changed".to_owned())
        }
        other => other,
    }
}

fn refuse(scene: &Scene<'_>, id: &'static str, error: &anyhow::Error) {
    let mut finding = Finding::new(id, Severity::High, SUBJECT, format!("{error:#}"));
    finding.hint = error::failure_in(error).and_then(|failure| failure.hint.clone());
    scene.report.find(finding);
}

fn away(scene: &Scene<'_>, wanted: &Wanted, audit: &mut Audit) -> anyhow::Result<String> {
    let chosen = choose(wanted, &audit.suspects)?;
    if chosen.is_empty() {
        return Ok("nothing to quarantine".to_owned());
    }
    let share = chosen.len() as f64 / audit.texts.max(1) as f64;
    let most = scene.task.rag.max_fraction;
    if !scene.task.yes && share > most {
        return Err(refused(format!(
            "{} of {} would be quarantined ({:.1}%, limit {:.1}%)",
            chosen.len(),
            units::count(audit.texts, "text"),
            share * 100.0,
            most * 100.0
        ))
        .hint("look at the list; those that are meant by id, or all of them with --yes")
        .into());
    }
    let (name, folder) = (&scene.memory.source.name, &scene.task.store.folder);
    if scene.task.backup_check {
        match archive::require_recent(folder, name, scene.context.now) {
            Err(error) if error::kind_of(&error) == Kind::Refused => {
                refuse(scene, NO_BACKUP, &error);
                return Ok("nothing was changed".to_owned());
            }
            other => other?,
        }
    }
    let _held = match files::metadata(folder)? {
        None => None,
        Some(_) => scene
            .context
            .take(&archive::series_lock(folder, name), PATIENCE)?,
    };
    let place = Place::find(scene)?;
    let mut pace = Pace::new(&scene.memory.source.path, &scene.context.stop);
    let mut moved = Vec::new();
    for one in &chosen {
        let id = &one.suspect.id;
        scene.report.examined(KEPT, id);
        let step = Step {
            kind: "quarantine",
            target: format!("{name}: {} {id}", place.chunks.name),
            reason: format!("{}; {}", one.rules, place.way()),
        };
        let done = scene.report.act(step, |_| {
            in_one(scene, &mut pace, |writer| place.away(scene, writer, one))
        })?;
        match done {
            Some(Outcome::Stays(why)) => kept(scene, id, &why),
            _ => moved.push(id.clone()),
        }
    }
    let told = match scene.report.dry_run() {
        true => "would be quarantined",
        false => "quarantined; empire-maint rag-clean takes them out of the indices",
    };
    let count = units::count(moved.len() as u64, "memory");
    audit.moved = moved;
    Ok(format!("{count} {told}"))
}

fn kept(scene: &Scene<'_>, id: &str, why: &str) {
    scene.report.find(Finding::new(
        KEPT,
        Severity::Medium,
        id,
        format!("it stays where it is: {why}"),
    ));
}

/// Every memory once, with all its rules.
fn choose<'a>(wanted: &Wanted, suspects: &'a [Suspect]) -> anyhow::Result<Vec<Chosen<'a>>> {
    let mut chosen: Vec<Chosen<'a>> = Vec::new();
    if let Wanted::These(ids) = wanted
        && let Some(unknown) = ids
            .iter()
            .find(|id| suspects.iter().all(|one| one.id != **id))
    {
        return Err(
            refused(format!("nothing was found about a memory '{unknown}'"))
                .hint("empire-maint rag-eval --only memories lists what is found")
                .into(),
        );
    }
    for one in suspects {
        let is_wanted = match wanted {
            Wanted::All => one.severity >= Severity::Medium,
            Wanted::These(ids) => ids.contains(&one.id),
        };
        if !is_wanted {
            continue;
        }
        match chosen.iter_mut().find(|other| other.suspect.key == one.key) {
            Some(known) => known.rules.push_str(&format!(", {}", one.rule)),
            None => chosen.push(Chosen {
                suspect: one,
                rules: one.rule.clone(),
            }),
        }
    }
    Ok(chosen)
}

/// One transaction, undone as a whole where something in the schema refuses it.
fn in_one(
    scene: &Scene<'_>,
    pace: &mut Pace,
    work: impl Fn(&Connection) -> rusqlite::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    let path = &scene.memory.source.path;
    let writer = sqlite::open_writer(path, &scene.context.stop, BUSY, true)?;
    let mut outcome = Outcome::Done;
    pace.turn(&writer, &[()], |()| {
        writer
            .execute_batch("SAVEPOINT \"one memory\"")
            .map_err(|error| scene.memory.explain(error))?;
        let done = work(&writer);
        let end = match &done {
            Ok(Outcome::Done) => "RELEASE \"one memory\"",
            _ => "ROLLBACK TO \"one memory\"; RELEASE \"one memory\"",
        };
        writer
            .execute_batch(end)
            .map_err(|error| scene.memory.explain(error))?;
        outcome = match done {
            Err(error) if is_constraint(&error) => Outcome::Stays(error.to_string()),
            other => other.map_err(|error| scene.memory.explain(error))?,
        };
        Ok(())
    })?;
    Ok(outcome)
}

/// Where memories go.
struct Place {
    chunks: Table,
    way: Way,
}

enum Way {
    /// A column of the chunks.
    Column(Column),
    /// Tables beside.
    Tables(Box<Tables>),
}

struct Tables {
    chunks: Beside,
    /// Where the embeddings go along; none where an index knows them by position, and every one behind would move.
    embeddings: Option<Beside>,
    references: Vec<Reference>,
}

/// A table and the one beside it.
struct Beside {
    table: Table,
    name: String,
    /// Columns of the application, by name.
    columns: Vec<String>,
}

impl Place {
    fn find(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let names = &scene.task.rag.tables;
        let chunks = scene.memory.chunks(&[&names.text])?.clone();
        if let Some(wanted) = &scene.task.rag.eval.quarantine_column {
            let column = chunks
                .written()
                .find(|one| one.name.eq_ignore_ascii_case(wanted));
            let column = column.cloned().ok_or_else(|| {
                missing(format!("table {} has no column {wanted}", chunks.name)).hint(format!(
                    "ALTER TABLE {} ADD COLUMN {} INTEGER, and have the application leave out rows where it is 1",
                    quote(&chunks.name),
                    quote(wanted)
                ))
            })?;
            return Ok(Self {
                chunks,
                way: Way::Column(column),
            });
        }
        let reader = scene.memory.reader;
        let wrong = |error| scene.memory.explain(error);
        let references = chunks.references(reader).map_err(wrong)?;
        chunks.require_short(reader, &references).map_err(wrong)??;
        let embeddings = match chunks.column(&names.embedding_id) {
            Some(_) if !positional(scene)? => {
                Some(Beside::of(scene, &scene.memory.embeddings, CHUNK)?)
            }
            _ => None,
        };
        Ok(Self {
            way: Way::Tables(Box::new(Tables {
                chunks: Beside::of(scene, &chunks, FOR)?,
                embeddings,
                references,
            })),
            chunks,
        })
    }

    fn way(&self) -> String {
        match &self.way {
            Way::Column(column) => format!("{} is set to 1", column.name),
            Way::Tables(tables) => format!("into {}", tables.chunks.name),
        }
    }

    fn away(
        &self,
        scene: &Scene<'_>,
        writer: &Connection,
        chosen: &Chosen<'_>,
    ) -> rusqlite::Result<Outcome> {
        let names = &scene.task.rag.tables;
        let (table, is_it) = (quote(&self.chunks.name), self.chunks.key_is());
        let key = &chosen.suspect.key;
        let text: Option<Value> = writer
            .query_row(
                &format!(
                    "SELECT {} FROM main.{table} WHERE {is_it}",
                    quote(&names.text)
                ),
                [key],
                |row| row.get(0),
            )
            .optional()?;
        match text {
            Some(Value::Text(text)) if blake3::hash(text.as_bytes()) == chosen.suspect.digest => {}
            _ => return Ok(Outcome::Stays("its text changed meanwhile".to_owned())),
        }
        let (chunks, embeddings, references) = match &self.way {
            Way::Column(column) => {
                let sql = format!(
                    "UPDATE main.{table} SET {} = 1 WHERE {is_it}",
                    quote(&column.name)
                );
                writer.execute(&sql, [key])?;
                return Ok(Outcome::Done);
            }
            Way::Tables(tables) => (&tables.chunks, &tables.embeddings, &tables.references),
        };
        for reference in references {
            let sql = format!(
                "SELECT {} FROM main.{table} WHERE {is_it}",
                reference.points_to(&self.chunks)
            );
            if writer.query_row(&sql, [key], |row| row.get(0))? {
                return Ok(Outcome::Stays(format!(
                    "rows of {} point to it; [rag.eval] quarantine_column marks it instead",
                    reference.child
                )));
            }
        }
        let now = scene.context.now.to_string();
        chunks.make(writer)?;
        chunks.take(writer, &is_it, key, (AT, FOR), (&now, &chosen.rules))?;
        let pointer = match embeddings {
            None => Value::Null,
            Some(_) => writer.query_row(
                &format!(
                    "SELECT {} FROM main.{table} WHERE {is_it}",
                    quote(&names.embedding_id)
                ),
                [key],
                |row| row.get(0),
            )?,
        };
        if writer.execute(&format!("DELETE FROM main.{table} WHERE {is_it}"), [key])? != 1 {
            return Ok(Outcome::Stays("a trigger keeps it".to_owned()));
        }
        let Some(embeddings) = embeddings.as_ref().filter(|_| pointer != Value::Null) else {
            return Ok(Outcome::Done);
        };
        let is_used = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{table} WHERE {} = ?1)",
            quote(&names.embedding_id)
        );
        if writer.query_row(&is_used, [&pointer], |row| row.get(0))? {
            return Ok(Outcome::Done);
        }
        let is_it = format!("{} = ?1", quote(&names.id));
        embeddings.make(writer)?;
        embeddings.take(
            writer,
            &is_it,
            &pointer,
            (AT, CHUNK),
            (&now, &chosen.suspect.id),
        )?;
        let from = quote(&embeddings.table.name);
        writer.execute(
            &format!("DELETE FROM main.{from} WHERE {is_it}"),
            [&pointer],
        )?;
        Ok(Outcome::Done)
    }
}

/// True where the ids of an index are positions, or nobody can say.
fn positional(scene: &Scene<'_>) -> anyhow::Result<bool> {
    for at in &scene.task.indices {
        if files::metadata(&at.path)?.is_some() {
            match Index::open(&at.path) {
                Ok(index) if !index.shape.is_positional() || at.map.is_some() => {}
                Err(error) if error::ends_the_run(&error) => return Err(error),
                _ => return Ok(true),
            }
        }
    }
    Ok(false)
}

impl Beside {
    /// `own` is a column of ours that only a table of ours has.
    fn of(scene: &Scene<'_>, table: &Table, own: &str) -> anyhow::Result<Self> {
        let mut columns: Vec<_> = table.written().map(|one| one.name.clone()).collect();
        if table.key_is_rowid() {
            columns.extend(table.key.iter().cloned());
        }
        let beside = Self {
            table: table.clone(),
            name: format!("{}_quarantine", table.name),
            columns,
        };
        let there = sqlite::columns(scene.memory.reader, &beside.name)
            .map_err(|error| scene.memory.explain(error))?;
        let lacks = |name: &str| !there.iter().any(|one| one.name.eq_ignore_ascii_case(name));
        let lacking: Vec<_> = beside
            .columns
            .iter()
            .map(|name| beside.kept_as(name))
            .chain([own, AT, NUMBER])
            .filter(|name| lacks(name))
            .collect();
        if !there.is_empty() && !lacking.is_empty() {
            return Err(refused(format!(
                "the table {} lacks {}",
                beside.name,
                lacking.join(", ")
            ))
            .hint(format!(
                "ALTER TABLE {} ADD COLUMN {}",
                quote(&beside.name),
                quote(lacking[0])
            ))
            .into());
        }
        Ok(beside)
    }

    /// What a column is called in the table beside.
    fn kept_as<'a>(&self, name: &'a str) -> &'a str {
        match self.table.column(name) {
            Some(_) => name,
            None => ROWID,
        }
    }

    fn kept(&self) -> String {
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|one| quote(self.kept_as(one)))
            .collect();
        names.join(", ")
    }

    fn own(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|one| quote(one)).collect();
        names.join(", ")
    }

    /// Its columns have no types, so that every value stays as it is.
    fn make(&self, writer: &Connection) -> rusqlite::Result<()> {
        writer.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS main.{} ({} INTEGER PRIMARY KEY, {}, {})",
            quote(&self.name),
            quote(NUMBER),
            [AT, FOR, CHUNK].map(quote).join(", "),
            self.kept()
        ))
    }

    /// Copies the row, with two words of ours.
    fn take(
        &self,
        writer: &Connection,
        is_it: &str,
        key: &Value,
        (first, second): (&str, &str),
        (one, two): (&str, &str),
    ) -> rusqlite::Result<()> {
        let sql = format!(
            "INSERT INTO main.{} ({}, {}, {}) SELECT ?2, ?3, {} FROM main.{} WHERE {is_it}",
            quote(&self.name),
            quote(first),
            quote(second),
            self.kept(),
            self.own(),
            quote(&self.table.name)
        );
        match writer.execute(&sql, rusqlite::params![key, one, two])? {
            1 => Ok(()),
            rows => Err(rusqlite::Error::StatementChangedRows(rows)),
        }
    }

    /// Brings rows back. Says how many.
    fn give(&self, writer: &Connection, which: &str, id: &str) -> rusqlite::Result<usize> {
        let (own, beside) = (quote(&self.table.name), quote(&self.name));
        let given = writer.execute(
            &format!(
                "INSERT INTO main.{own} ({}) SELECT {} FROM main.{beside} WHERE {which}",
                self.own(),
                self.kept()
            ),
            [id],
        )?;
        let gone = writer.execute(&format!("DELETE FROM main.{beside} WHERE {which}"), [id])?;
        match given == gone {
            true => Ok(given),
            false => Err(rusqlite::Error::StatementChangedRows(gone)),
        }
    }
}

fn back(scene: &Scene<'_>, ids: &[String]) -> anyhow::Result<String> {
    let names = &scene.task.rag.tables;
    let chunks = scene.memory.chunks(&[&names.text])?;
    let [key] = chunks.key.as_slice() else {
        return Err(missing(format!("{} has no single column for its id", chunks.name)).into());
    };
    let reader = scene.memory.reader;
    let wrong = |error| scene.memory.explain(error);
    let exists = |name: &str| -> anyhow::Result<bool> {
        Ok(!sqlite::columns(reader, name).map_err(wrong)?.is_empty())
    };
    let beside = Beside::of(scene, chunks, FOR)?;
    let with = Beside::of(scene, &scene.memory.embeddings, CHUNK)?;
    let (has, has_with) = (exists(&beside.name)?, exists(&with.name)?);
    let column = scene.task.rag.eval.quarantine_column.as_deref();
    let column = column.and_then(|column| chunks.column(column));
    let name = &scene.memory.source.name;
    let mut pace = Pace::new(&scene.memory.source.path, &scene.context.stop);
    let mut done = 0;
    for id in ids {
        scene.report.examined(KEPT, id);
        let which = format!("CAST({} AS TEXT) = ?1", quote(beside.kept_as(key)));
        let is_there = |table: &str, condition: &str| -> anyhow::Result<bool> {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {condition})",
                quote(table)
            );
            reader
                .query_row(&sql, [id], |row| row.get(0))
                .map_err(wrong)
        };
        let own = format!("CAST({} AS TEXT) = ?1", quote(key));
        let set = column.map(|column| {
            format!(
                "{own} AND coalesce({0} NOT IN (0, '', '0', 'false'), 0)",
                quote(&column.name)
            )
        });
        let in_table = has && is_there(&beside.name, &which)?;
        let in_column = match &set {
            Some(set) => is_there(&chunks.name, set)?,
            None => false,
        };
        if !in_table && !in_column {
            return Err(refused(format!("no memory '{id}' is quarantined")).into());
        }
        let step = Step {
            kind: "unquarantine",
            target: format!("{name}: {} {id}", chunks.name),
            reason: match in_table {
                true => format!("out of {}", beside.name),
                false => "its column is cleared".to_owned(),
            },
        };
        let outcome = scene.report.act(step, |_| {
            in_one(scene, &mut pace, |writer| {
                if in_table {
                    if has_with {
                        with.give(writer, &format!("{} = ?1", quote(CHUNK)), id)?;
                    }
                    beside.give(writer, &which, id)?;
                } else if let Some(column) = column {
                    let value = if column.not_null { "0" } else { "NULL" };
                    let (table, column) = (quote(&chunks.name), quote(&column.name));
                    writer.execute(
                        &format!("UPDATE main.{table} SET {column} = {value} WHERE {own}"),
                        [id],
                    )?;
                }
                Ok(Outcome::Done)
            })
        })?;
        match outcome {
            Some(Outcome::Stays(why)) => kept(scene, id, &why),
            _ => done += 1,
        }
    }
    let told = match scene.report.dry_run() {
        true => "would come back",
        false => "came back; empire-maint rag-clean --rebuild-index puts them into the indices",
    };
    Ok(format!("{} {told}", units::count(done, "memory")))
}

//! Takes memories out of the application's sight, and brings them back: by a column of the chunks that the application heeds, or
//! into tables beside the application's own, each memory in one short transaction. Nothing of it is lost, and nothing is deleted
//! that is not in the other table by then.

mod place;

use rusqlite::Connection;

use place::{Beside, Place};

use super::memories::{Audit, Suspect, is_set};
use super::{BUSY, PATIENCE, Scene};
use crate::archive;
use crate::error::{self, Kind, missing, refused};
use crate::report::{Finding, Severity, Step};
use crate::sqlite::{self, Pace, is_constraint, quote};
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
    scene
        .report
        .find(Finding::of_error(id, Severity::High, SUBJECT, error));
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
        match archive::require_recent(folder, name, scene.context.moment()) {
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
        let stays = match done {
            Some(Outcome::Stays(why)) => Some(why),
            Some(Outcome::Done) => None,
            None => place
                .keeps(scene, scene.memory.reader, one)
                .map_err(|error| scene.memory.explain(error))?,
        };
        match stays {
            Some(why) => kept(scene, id, &why),
            None => moved.push(id.clone()),
        }
    }
    let count = units::count(moved.len() as u64, "memory");
    let told = match scene.report.dry_run() {
        _ if moved.is_empty() => "nothing was quarantined".to_owned(),
        true => format!("{count} would be quarantined"),
        false => format!("{count} quarantined{}", place.left_to_do(scene)),
    };
    audit.moved = moved;
    Ok(told)
}

/// What was tried last was not done.
fn kept(scene: &Scene<'_>, id: &str, why: &str) {
    scene.report.left_out();
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
    let which = format!("CAST({} AS TEXT) = ?1", quote(beside.kept_as(key)));
    let own = format!("CAST({} AS TEXT) = ?1", quote(key));
    let set = column.map(|column| format!("{own} AND {}", is_set(&quote(&column.name))));
    let is_there = |table: &str, condition: &str, id: &str| -> anyhow::Result<bool> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {condition})",
            quote(table)
        );
        reader
            .query_row(&sql, [id], |row| row.get(0))
            .map_err(wrong)
    };
    // All are looked for before one comes back.
    let mut all: Vec<(&String, bool)> = Vec::new();
    for id in ids {
        let in_table = has && is_there(&beside.name, &which, id)?;
        let in_column = match &set {
            Some(set) => is_there(&chunks.name, set, id)?,
            None => false,
        };
        if !in_table && !in_column {
            return Err(refused(format!("no memory '{id}' is quarantined")).into());
        }
        if all.iter().all(|(known, _)| *known != id) {
            all.push((id, in_table));
        }
    }
    // First its embedding, whichever of its chunks that went with.
    let embedding_back = |writer: &Connection, id: &str| -> rusqlite::Result<Outcome> {
        let Some(pointer) = chunks.column(&names.embedding_id) else {
            return Ok(Outcome::Done);
        };
        let (kept, name) = (quote(&beside.name), quote(&pointer.name));
        if has_with {
            let its = format!(
                "{} = (SELECT {name} FROM main.{kept} WHERE {which})",
                quote(with.kept_as(&names.id))
            );
            if let Some(why) = with.give(writer, &its, id)? {
                return Ok(Outcome::Stays(why));
            }
        }
        let lacks = format!(
            "{which} AND {name} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM main.{} AS \"an embedding\" WHERE \"an embedding\".{} = {kept}.{name})",
            quote(&scene.memory.embeddings.name),
            quote(&names.id)
        );
        if pointer.not_null {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM main.{kept} WHERE {lacks})");
            if writer.query_row(&sql, [id], |row| row.get(0))? {
                return Ok(Outcome::Stays(format!(
                    "its embedding is gone, and {} may not be NULL",
                    pointer.name
                )));
            }
        } else {
            // Without a pointer it waits for a new one; with this it would be an orphan.
            let sql = format!("UPDATE main.{kept} SET {name} = NULL WHERE {lacks}");
            writer.execute(&sql, [id])?;
        }
        Ok(Outcome::Done)
    };
    let mut pace = Pace::new(&scene.memory.source.path, &scene.context.stop);
    let mut done = 0;
    for (id, in_table) in all {
        scene.report.examined(KEPT, id);
        let step = Step {
            kind: "unquarantine",
            target: format!("{}: {} {id}", scene.memory.source.name, chunks.name),
            reason: match in_table {
                true => format!("out of {}", beside.name),
                false => "its column is cleared".to_owned(),
            },
        };
        let outcome = scene.report.act(step, |_| {
            in_one(scene, &mut pace, |writer| {
                if in_table {
                    if let Outcome::Stays(why) = embedding_back(writer, id)? {
                        return Ok(Outcome::Stays(why));
                    }
                    if let Some(why) = beside.give(writer, &which, id)? {
                        return Ok(Outcome::Stays(why));
                    }
                } else if let Some(column) = column {
                    // What rows have that the application did not set, unless that says quarantined.
                    let clear = if column.not_null { "0" } else { "NULL" };
                    let default = column.default.as_deref().unwrap_or(clear);
                    let (table, column) = (quote(&chunks.name), quote(&column.name));
                    let is_set = is_set(&format!("({default})"));
                    let sql = format!(
                        "UPDATE main.{table} SET {column} = CASE WHEN {is_set} THEN {clear} ELSE ({default}) END WHERE {own}"
                    );
                    writer.execute(&sql, [id])?;
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
        _ if done == 0 => return Ok("nothing came back".to_owned()),
        true => "would come back",
        false => "came back; empire-maint rag-clean --rebuild-index puts them into the indices",
    };
    Ok(format!("{} {told}", units::count(done, "memory")))
}

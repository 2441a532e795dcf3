//! Moves rows into a file. A file and a database have no common transaction, so: a piece is written, synced and read back; then its
//! rows are removed, each only if it still is as it was written; the name is final once all are gone. Which lines a transaction is
//! about is noted before it begins. Whatever ends that, the next run compares the unfinished file with the notes and the database:
//! a row that is still there, as it was or changed, is not archived.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::layout::Layout;
use super::moves::{Known, Moves};
use super::pack::{Origin, Pack, State, Writer};
use super::plan::Plan;
use super::scene::{Done, Scene};
use crate::archive::Source;
use crate::config::sections::Rule;
use crate::context::Context;
use crate::error::refused;
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sqlite::{self, Pace, Row, Table, Walk};
use crate::sys::files;
use crate::sys::process::shell_word;
use crate::units;

const DOUBT: &str = "data-clean.doubt";

/// What is written at a time, in a fraction of a rest; and what is in the file at most before its rows go.
const ROWS: usize = 2500;
const BYTES: usize = 512 << 10;
const MOST_ROWS: usize = 20_000;
const MOST_BYTES: usize = 4 << 20;

/// Moves the rows of the plan into a new file. `done` holds, also after an error, what is gone from the table.
pub fn archive(
    permit: &Permit,
    scene: &Scene<'_>,
    plan: &Plan,
    folder: &Path,
    pace: &mut Pace,
    done: &mut Done,
) -> anyhow::Result<()> {
    if files::metadata(folder)?.is_none() {
        files::create_directory(permit, folder)?;
        files::sync_directory(files::parent(folder))?;
    }
    let pack = Pack::free(folder, &plan.rule.name, scene.context.now)?;
    done.archive = Some(pack.path.display().to_string());
    let origin = Origin {
        database: scene.source.name.clone(),
        table: plan.table.name.clone(),
    };
    let mut moving = Moving {
        scene,
        plan,
        layout: Layout::of(&plan.table),
        writer: Writer::create(permit, &pack.now(), Some(origin), scene.reserve)?,
        moves: Moves::create(permit, &pack.moves(), &Known::default())?,
        lines: 0,
        stayed: BTreeSet::new(),
        unwritten: None,
    };
    moving.all(pace, done)?;
    let Moving {
        layout,
        stayed,
        unwritten,
        ..
    } = moving;
    if stayed.is_empty() && done.rows > 0 {
        pack.complete(permit)?;
        return unwritten.map_or(Ok(()), Err);
    }
    let ground = Ground {
        reader: scene.reader,
        source: scene.source,
        context: scene.context,
        table: &plan.table,
        layout: &layout,
        reserve: scene.reserve,
    };
    ground.settle(permit, pack, Some(Known::all(stayed)))?;
    unwritten.map_or(Ok(()), Err)
}

struct Moving<'a> {
    scene: &'a Scene<'a>,
    plan: &'a Plan,
    layout: Layout,
    writer: Writer,
    moves: Moves,
    lines: u64,
    /// Lines whose rows are still in the table.
    stayed: BTreeSet<u64>,
    /// Why the rest could not be written. What is in the file is dealt with, so it is settled nevertheless.
    unwritten: Option<anyhow::Error>,
}

impl Moving<'_> {
    fn all(&mut self, pace: &mut Pace, done: &mut Done) -> anyhow::Result<()> {
        let scene = self.scene;
        let wrong = |error| scene.explain(error);
        let (table, condition) = (&self.plan.table, self.plan.still.as_str());
        self.plan.teach(scene.writer).map_err(wrong)?;
        let mut delete = table.delete(scene.writer, condition).map_err(wrong)?;
        let mut select = self
            .layout
            .select(scene.writer, table, condition)
            .map_err(wrong)?;
        let mut walk = self.plan.selection.walk(&self.layout.columns);
        let (mut ahead, mut at, mut more) = (Vec::new(), 0, true);
        loop {
            ahead.drain(..at);
            at = 0;
            // Whatever came since is the next run's.
            while more
                && done.rows + (ahead.len() as u64) < self.plan.chosen
                && (ahead.is_empty() || (pace.rests(scene.writer) && has_room(&ahead)))
            {
                more = self.write(&mut walk, &mut ahead)?;
            }
            if ahead.is_empty() {
                return Ok(());
            }
            while at < ahead.len() && (at == 0 || !more || !pace.rests(scene.writer)) {
                let rest = ahead.get(at..).unwrap_or_default();
                done.gave_way = scene.must_give_way();
                if done.gave_way || done.rows >= self.plan.chosen {
                    self.stayed.extend(rest.iter().map(|line| line.number));
                    return Ok(());
                }
                let mut stayed = Vec::new();
                let (layout, moves) = (&self.layout, RefCell::new(&mut self.moves));
                let number = |line: Option<&Line>| line.map_or(0, |line| line.number);
                let announce = |some: &[Line]| {
                    let (from, last) = (number(some.first()), number(some.last()));
                    moves.borrow_mut().begin(from, last + 1)
                };
                let worked = pace.announced(scene.writer, rest, announce, |some| {
                    for Line { number, row, .. } in some {
                        let same = layout.is_same(&mut select, row).map_err(wrong)?;
                        let key = layout.key_of(row);
                        if same != Some(true)
                            || delete.execute(params_from_iter(key)).map_err(wrong)? != 1
                        {
                            stayed.push(*number); // changed, gone, or held by a trigger
                        }
                    }
                    moves.borrow_mut().stay(&stayed)
                })?;
                done.add(&Done {
                    rows: (worked - stayed.len()) as u64,
                    ..Done::default()
                });
                self.stayed.extend(stayed);
                at += worked;
                scene.progress(done.rows, self.plan);
            }
        }
    }

    /// Writes the next rows into the file. False where there are no more, or no more can be written.
    fn write(&mut self, walk: &mut Walk<'_>, ahead: &mut Vec<Line>) -> anyhow::Result<bool> {
        let (scene, names) = (self.scene, &self.layout.names);
        let keys = self.plan.table.key.len();
        let (mut text, mut ends) = (String::new(), Vec::new());
        let piece = walk
            .piece(scene.reader, ROWS, |row| {
                text.push_str(&names.line(&row[keys..]));
                ends.push(text.len());
                text.len() >= BYTES
            })
            .map_err(|error| scene.explain(error))?;
        if piece.is_empty() {
            return Ok(false);
        }
        if let Err(error) = self.writer.append(&text) {
            if self.writer.cut().is_err() {
                return Err(error); // the next run settles it
            }
            self.unwritten = Some(error);
            return Ok(false);
        }
        let mut begins = 0;
        for (mut row, ends) in piece.into_iter().zip(ends) {
            row.drain(..keys);
            ahead.push(Line {
                number: self.lines,
                row,
                bytes: ends - begins,
            });
            self.lines += 1;
            begins = ends;
        }
        Ok(true)
    }
}

/// A line of the file, whose row is still in the table.
struct Line {
    number: u64,
    row: Row,
    bytes: usize,
}

fn has_room(ahead: &[Line]) -> bool {
    ahead.len() < MOST_ROWS && ahead.iter().map(|line| line.bytes).sum::<usize>() < MOST_BYTES
}

/// A table to compare unfinished files with.
struct Ground<'a> {
    reader: &'a Connection,
    source: &'a Source,
    context: &'a Context,
    table: &'a Table,
    layout: &'a Layout,
    /// Free space to leave.
    reserve: u64,
}

impl Ground<'_> {
    /// Takes out of an unfinished file what is in the table, as it was or changed, and gives it its final name. Says how many rows
    /// are in both because nobody can know.
    fn settle(&self, permit: &Permit, pack: Pack, known: Option<Known>) -> anyhow::Result<u64> {
        let stop = &self.context.stop;
        let wrong = |error| sqlite::explain(error, &self.source.path, stop);
        let select = self.layout.select(self.reader, self.table, "1");
        let mut select = select.map_err(wrong)?;
        let mut stayed = BTreeSet::new();
        let mut changed = InFlight::default();
        let mut at = 0;
        pack.read(|text| {
            for line in text.lines() {
                if known.as_ref().is_some_and(|one| one.stayed.contains(&at)) {
                    stayed.insert(at);
                } else {
                    let row = self.layout.names.values(line)?;
                    let found = self.layout.is_same(&mut select, &row).map_err(wrong)?;
                    let (same, other) = (found == Some(true), found == Some(false));
                    match &known {
                        Some(known) if known.in_flight(at) => changed.see(at, other, same),
                        // Its row was never touched: what has its key now is the row, changed.
                        Some(known) if at >= known.begun && other => {
                            stayed.insert(at);
                        }
                        // It moved: what has its key now is another row.
                        _ => {}
                    }
                    if same {
                        stayed.insert(at);
                    }
                }
                at += 1;
            }
            stop.check()
        })?;
        let doubtful = changed.judge(&mut stayed);
        pack.settle(permit, self.reserve, |line| !stayed.contains(&line))?;
        Ok(doubtful)
    }
}

/// What the table says about the transaction that may be undone: all of its rows moved, or none.
#[derive(Default)]
struct InFlight {
    changed: Vec<u64>,
    undone: bool,
    committed: bool,
}

impl InFlight {
    fn see(&mut self, line: u64, changed: bool, same: bool) {
        match (changed, same) {
            (true, _) => self.changed.push(line),
            (_, true) => self.undone = true,
            _ => self.committed = true,
        }
    }

    /// Adds the rows that are changed and did not move; counts those of which that cannot be known.
    fn judge(self, stayed: &mut BTreeSet<u64>) -> u64 {
        match (self.undone, self.committed) {
            (true, _) => stayed.extend(self.changed),
            (_, true) => {}
            _ => return self.changed.len() as u64,
        }
        0
    }
}

/// Finishes what a killed run left of this rule. Refuses where rows are on their way back.
pub fn finish(
    context: &Context,
    report: &Reporter,
    rule: &Rule,
    folder: &Path,
    source: &Source,
    reader: &Connection,
    reserve: u64,
) -> anyhow::Result<()> {
    report.examined(DOUBT, &rule.name);
    for path in Pack::leftovers(folder, &rule.name)? {
        let step = Step {
            kind: "remove",
            target: path.display().to_string(),
            reason: "an earlier run was cut short behind its last step: it is needed no more"
                .into(),
        };
        report.act(step, |permit| {
            files::remove(permit, &path)?;
            files::sync_directory(folder)
        })?;
    }
    for pack in Pack::list(folder, &rule.name)? {
        if pack.state != State::Pending {
            continue;
        }
        pack.require_of(&Origin {
            database: source.name.clone(),
            table: rule.table.clone(),
        })?;
        let file = pack.path.display().to_string();
        let step = Step {
            kind: "finish",
            target: pack.now().display().to_string(),
            reason:
                "an earlier run was cut short: rows that are still in the table are taken out of it"
                    .into(),
        };
        let doubtful = report.act(step, |permit| {
            let found = Table::find(reader, &rule.table, &source.path, &context.stop)?;
            let table = found
                .ok_or_else(|| refused(format!("there is no table {} any more", rule.table)))?;
            let ground = Ground {
                reader,
                source,
                context,
                table: &table,
                layout: &Layout::of(&table),
                reserve,
            };
            let known = Known::read(&pack.moves())?;
            ground.settle(permit, pack, known)
        })?;
        if let Some(rows @ 1..) = doubtful {
            report.find(in_both(rule, rows, &file));
        }
    }
    Ok(())
}

/// Nothing is lost then, and it is told.
fn in_both(rule: &Rule, rows: u64, file: &str) -> Finding {
    let (rows, table) = (units::count(rows, "row"), &rule.table);
    let message = format!(
        "{rows} of {table} are in {file} and, with another content, in the table: all rows of the transaction that was cut short \
were changed before this run, so nobody can tell whether they moved"
    );
    Finding::new(DOUBT, Severity::Medium, &rule.name, message)
        .hint(format!("zcat {}", shell_word(file)))
}

/// Refuses where rows of this rule are on their way back.
pub fn require_none_restoring(rule: &Rule, folder: &Path) -> anyhow::Result<()> {
    let restoring = |pack: &Pack| pack.state == State::Restoring;
    match Pack::list(folder, &rule.name)?.into_iter().find(restoring) {
        None => Ok(()),
        Some(pack) => Err(refused(format!(
            "rows are on their way back out of {}",
            pack.now().display()
        ))
        .hint(format!(
            "empire-maint data-clean restore-archive {}",
            rule.name
        ))
        .into()),
    }
}

//! Moves rows into a file. A file and a database have no common transaction, so: a piece is written, synced and read back; then its
//! rows are removed, each only if it still is as it was written; the name is final once all are gone. Whatever ends that, the
//! next run compares the unfinished file with the database: a row that is still there is not archived.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::layout::Layout;
use super::pack::{Pack, State, Writer};
use super::plan::Plan;
use super::run::{Done, Scene};
use crate::archive::Source;
use crate::config::sections::Rule;
use crate::context::Context;
use crate::error::refused;
use crate::report::{Permit, Reporter, Step};
use crate::sqlite::{self, Pace, Table};
use crate::sys::files;

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
    files::require_trusted_directory(folder)?;
    let pack = Pack::free(folder, &plan.rule.name, scene.context.now)?;
    done.archive = Some(pack.path.display().to_string());
    let mut moving = Moving {
        scene,
        plan,
        layout: Layout::of(&plan.table),
        writer: Writer::create(permit, &pack.now())?,
        lines: 0,
        stayed: BTreeSet::new(),
    };
    moving.all(pace, done)?;
    let Moving { layout, stayed, .. } = moving;
    if stayed.is_empty() && done.rows > 0 {
        return pack.turn(permit, State::Final).map(|_| ());
    }
    let ground = Ground {
        reader: scene.reader,
        source: scene.source,
        context: scene.context,
        table: &plan.table,
        layout: &layout,
    };
    ground.settle(permit, pack, stayed)
}

struct Moving<'a> {
    scene: &'a Scene<'a>,
    plan: &'a Plan,
    layout: Layout,
    writer: Writer,
    lines: u64,
    /// Lines whose rows are still in the table.
    stayed: BTreeSet<u64>,
}

impl Moving<'_> {
    fn all(&mut self, pace: &mut Pace, done: &mut Done) -> anyhow::Result<()> {
        let scene = self.scene;
        let wrong = |error| scene.explain(error);
        let condition = self.plan.selection.condition();
        let mut delete = self
            .plan
            .table
            .delete(scene.writer, &condition)
            .map_err(wrong)?;
        let mut select = self
            .layout
            .select(scene.writer, &self.plan.table, &condition)
            .map_err(wrong)?;
        let mut walk = self.plan.selection.walk(&self.layout.columns);
        let keys = self.plan.table.key.len();
        loop {
            let mut text = String::new();
            let names = &self.layout.names;
            let piece = walk
                .piece(scene.reader, MOST_ROWS, |row| {
                    text.push_str(&names.line(&row[keys..]));
                    text.len() >= MOST_BYTES
                })
                .map_err(wrong)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.writer.append(&text)?;
            let first = self.lines;
            self.lines += piece.len() as u64;
            let numbered: Vec<_> = (first..).zip(&piece).collect();
            let mut rest = numbered.as_slice();
            while !rest.is_empty() {
                if scene.must_give_way() {
                    done.gave_way = true;
                    self.stayed.extend(rest.iter().map(|(line, _)| *line));
                    return Ok(());
                }
                let mut turn = Done::default();
                let mut stayed = Vec::new();
                let layout = &self.layout;
                let worked = pace.turn(scene.writer, rest, |(line, row)| {
                    let row = &row[keys..];
                    let same =
                        layout.there(&mut select, row).map_err(wrong)?.as_deref() == Some(row);
                    let key = layout.key_of(row);
                    if same && delete.execute(params_from_iter(key)).map_err(wrong)? == 1 {
                        turn.rows += 1;
                    } else {
                        stayed.push(*line); // changed, gone, or held by a trigger
                    }
                    Ok(())
                })?;
                done.add(&turn);
                self.stayed.extend(stayed);
                rest = &rest[worked..];
                scene.progress(done.rows, self.plan);
            }
        }
    }
}

/// A table to compare unfinished files with.
struct Ground<'a> {
    reader: &'a Connection,
    source: &'a Source,
    context: &'a Context,
    table: &'a Table,
    layout: &'a Layout,
}

impl Ground<'_> {
    /// Takes out of an unfinished file what is still in the table, and gives it its final name. `stayed` are lines that are known
    /// to be in the table, as they were or changed.
    fn settle(&self, permit: &Permit, pack: Pack, mut stayed: BTreeSet<u64>) -> anyhow::Result<()> {
        let stop = &self.context.stop;
        let wrong = |error| sqlite::explain(error, &self.source.path, stop);
        let select = self.layout.select(self.reader, self.table, "1");
        let mut select = select.map_err(wrong)?;
        let mut at = 0;
        let torn = pack.read(|text| {
            for line in text.lines() {
                if !stayed.contains(&at) {
                    let row = self.layout.names.values(line)?;
                    let there = self.layout.there(&mut select, &row).map_err(wrong)?;
                    // One with another content may be another row with the same key: the line stays.
                    if there.as_ref() == Some(&row) {
                        stayed.insert(at);
                    }
                }
                at += 1;
            }
            stop.check()
        })?;
        let some = match torn || !stayed.is_empty() {
            true => pack.keep(permit, |line| !stayed.contains(&line))?,
            false => at > 0,
        };
        match some {
            true => pack.turn(permit, State::Final).map(|_| ()),
            false => pack.remove(permit),
        }
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
) -> anyhow::Result<()> {
    for pack in Pack::list(folder, &rule.name)? {
        if pack.state != State::Pending {
            continue;
        }
        let step = Step {
            kind: "finish",
            target: pack.now().display().to_string(),
            reason:
                "an earlier run was cut short: rows that are still in the table are taken out of it"
                    .into(),
        };
        report.act(step, |permit| {
            let found = Table::find(reader, &rule.table, &source.path, &context.stop)?;
            let table = found
                .ok_or_else(|| refused(format!("there is no table {} any more", rule.table)))?;
            let ground = Ground {
                reader,
                source,
                context,
                table: &table,
                layout: &Layout::of(&table),
            };
            ground.settle(permit, pack, BTreeSet::new())
        })?;
    }
    Ok(())
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

//! `restore-archive`: archived rows back into their table. One that does not fit there any more stays archived.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::params_from_iter;
use schemars::JsonSchema;
use serde::Serialize;

use super::apply::named;
use super::landed::Landed;
use super::layout::Layout;
use super::moves::{Known, Moves};
use super::pack::{Origin, Pack, State};
use super::run::Run;
use super::scene::{BUSY, CONFLICT, Done, GAVE_WAY, Scene};
use super::statements::copy_statement;
use super::{Detail, PATIENCE, columns, into_file};
use crate::archive::{self, Store};
use crate::config::sections::Rule;
use crate::context::Context;
use crate::error::{Failure, Kind, missing, refused};
use crate::report::{Finding, Permit, Reporter, Severity, Step, Unit};
use crate::sqlite::{
    self, Act, Pace, Row, Selection, Table, is_constraint, is_constraint_in, quote, require_open,
};
use crate::sys::files;
use crate::sys::process::shell_path;
use crate::units;

const NO_RULE: &str = "data-clean.no-rule";
const PIECE: usize = 10_000;

/// What came back.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Restored {
    /// The rule.
    rule: String,
    /// The table.
    table: String,
    /// Archived rows that were found.
    found: u64,
    /// Those that are in the table again.
    rows: u64,
    /// Those that stay archived, because they do not fit.
    conflicts: u64,
}

/// Of one rule; the first of the run.
pub(super) fn run(
    run: &Run,
    context: &Context,
    report: &Reporter,
    store: &Store,
    rules: &[String],
) -> anyhow::Result<()> {
    let Some((rule, folder)) = run.rules.first() else {
        return Err(missing("there is no rule").into());
    };
    let source = store.database(&rule.database)?;
    let lock = archive::series_lock(&store.folder, &source.name);
    let held = match files::metadata(&store.folder)? {
        None => None,
        Some(_) => context.take(&lock, PATIENCE)?,
    };
    files::require_own_links(&source.path, &run.root)?;
    let reader = sqlite::open_readonly(&source.path, &context.stop, BUSY)?;
    let writer = sqlite::open_writer(&source.path, &context.stop, BUSY, folder.is_some())?;
    let scene = Scene {
        context,
        report,
        source,
        reader: &reader,
        writer: &writer,
        held: held.as_ref(),
        reserve: run.reserve,
    };
    report.examined(CONFLICT, &rule.name);
    let found = Table::find(&reader, &rule.table, &source.path, &context.stop)?;
    let table =
        found.ok_or_else(|| missing(format!("{} has no table {}", source.name, rule.table)))?;
    sqlite::keep_rows(&writer, &table.name, &[Act::Delete, Act::Update])
        .map_err(|error| scene.explain(error))?;
    let mut back = Back {
        scene: &scene,
        table: &table,
        pace: Pace::new(&source.path, &context.stop),
        done: Done::default(),
        restored: Restored {
            rule: rule.name.clone(),
            table: table.name.clone(),
            ..Restored::default()
        },
    };
    match (folder, &rule.into) {
        (Some(folder), _) => {
            files::require_own_directory(folder, &run.root, &source.path)?;
            let reserve = run.reserve;
            into_file::finish(context, report, rule, folder, source, &reader, reserve)?;
            back.files(rule, folder)?;
            report.examined(NO_RULE, &rule.name);
            if back.restored.found == 0 {
                tell_of_no_rule(report, rule, folder, rules)?;
            }
        }
        (None, Some(into)) => back.table(into)?,
        (None, None) => {
            return Err(refused(format!(
                "rule {} deletes rows, it does not archive them; those that it deleted are in the backups of before",
                rule.name
            ))
            .hint(format!(
                "empire-maint restore {} --to /var/tmp/{0}.db",
                rule.database
            ))
            .into());
        }
    }
    report.progress_done();
    back.tell(rule)
}

/// A rule that got another name does not know its files any more.
fn tell_of_no_rule(
    report: &Reporter,
    rule: &Rule,
    folder: &Path,
    rules: &[String],
) -> anyhow::Result<()> {
    let found = Pack::of_no_rule(folder, rules)?;
    let Some(first) = found.keys().next() else {
        return Ok(());
    };
    let shown: Vec<_> = found
        .iter()
        .map(|(name, files)| format!("{name}_… ({})", units::count(*files, "file")))
        .collect();
    report.find(
        Finding::new(
            NO_RULE,
            Severity::Low,
            &rule.name,
            format!(
                "nothing of rule {} is in {}, but files of archived rows that belong to no rule: {}",
                rule.name,
                folder.display(),
                shown.join(", ")
            ),
        )
        .hint(format!("give the rule that name: [[data_clean.rule]] name = \"{first}\"")),
    );
    Ok(())
}

/// What became of an archived row.
enum Came {
    /// It is in the table again.
    Back,
    /// It was there already.
    Before,
    /// It stays archived, and why.
    Not(String),
}

/// A value would be lost with the file, which holds it as it was.
fn not_the_same(table: &Table, layout: &Layout, row: &Row) -> anyhow::Error {
    let key = layout.key_of(row).into_iter().cloned().collect();
    Failure::new(
        Kind::Failed,
        format!(
            "{} of {} does not come back as it was archived: a column has another type by now, or a trigger changes the row; nothing \
of this transaction is done, and the file stays",
            named(table, &key),
            table.name
        ),
    )
    .hint(format!(
        "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = '{}'",
        table.name.replace('\'', "''")
    ))
    .into()
}

struct Back<'a> {
    scene: &'a Scene<'a>,
    table: &'a Table,
    pace: Pace,
    done: Done,
    restored: Restored,
}

impl Back<'_> {
    fn tell(self, rule: &Rule) -> anyhow::Result<()> {
        let report = self.scene.report;
        let mut restored = self.restored;
        restored.rows = self.done.rows;
        if restored.conflicts > 0 {
            let why = self.done.first_conflict.as_deref();
            report.find(Finding::new(
                CONFLICT,
                Severity::Medium,
                &rule.name,
                format!(
                    "{} stay archived: in {} another row is in their place, or they do not fit any more (the first: {})",
                    units::count(restored.conflicts, "row"),
                    restored.table,
                    why.unwrap_or("in an earlier run")
                ),
            ));
        }
        if self.done.gave_way {
            report.find(
                Finding::new(
                    GAVE_WAY,
                    Severity::Low,
                    &rule.name,
                    format!(
                        "stopped after {} of {} rows for a backup or restore of {} that waits",
                        restored.rows, restored.found, self.scene.source.name
                    ),
                )
                .hint(format!(
                    "empire-maint data-clean restore-archive {}",
                    rule.name
                )),
            );
        }
        report.measure(
            "data_clean_rows_restored",
            restored.rows as f64,
            "",
            [
                ("database", self.scene.source.name.as_str()),
                ("rule", rule.name.as_str()),
            ],
        );
        report.summarise(match (report.dry_run(), restored.found) {
            (_, 0) => format!("nothing of rule {} is archived", rule.name),
            (true, found) => format!(
                "would bring {} back into {}",
                units::count(found, "row"),
                restored.table
            ),
            (false, _) => format!(
                "{} back in {}; the next run archives them again as long as the rule says so",
                units::count(restored.rows, "row"),
                restored.table
            ),
        });
        report.detail(&Detail {
            restored: Some(restored),
            ..Detail::default()
        })
    }

    /// Out of a table: copy and removal of a row are one transaction.
    fn table(&mut self, into: &str) -> anyhow::Result<()> {
        let scene = self.scene;
        let wrong = |error| scene.explain(error);
        let (path, stop) = (&scene.source.path, &scene.context.stop);
        let Some(archive) = Table::find(scene.reader, into, path, stop)? else {
            return Err(missing(format!("there is no table {into} to restore from")).into());
        };
        // What the table computes it computes again.
        let written: BTreeSet<_> = self.table.written().map(|one| quote(&one.name)).collect();
        let mut shared = columns::shared(self.table, &archive)?;
        shared.retain(|column| written.contains(column));
        let all = Selection::of(&archive, "1");
        self.restored.found = all.count(scene.reader).map_err(wrong)?;
        if self.restored.found == 0 {
            return Ok(());
        }
        let step = Step {
            kind: "restore-archive",
            target: format!("{}: {}", scene.source.name, self.table.name),
            reason: format!(
                "{} out of {}",
                units::count(self.restored.found, "row"),
                archive.name
            ),
        };
        scene.report.act(step, |_| {
            let which = archive.key_is();
            let copy = copy_statement(
                scene.writer,
                (&archive, which.as_str(), "1"),
                &self.table.name,
                &shared,
            );
            let mut copy = copy.map_err(wrong)?;
            let mut delete = archive.delete(scene.writer, "1").map_err(wrong)?;
            let landed = Landed::watch(scene.writer, &archive, self.table).map_err(wrong)??;
            let landed = RefCell::new(landed);
            let mut walk = all.walk(&[]);
            loop {
                let piece = walk.piece(scene.reader, PIECE, |_| false).map_err(wrong)?;
                if piece.is_empty() {
                    return Ok(());
                }
                self.turns(&piece, |key| {
                    match copy.execute(params_from_iter(key)) {
                        Ok(1) => {}
                        Ok(_) => return Ok(Came::Not("it is gone, or a trigger does not want it".into())),
                        Err(error) if is_constraint(&error) => {
                            return require_open(scene.writer).map(|()| Came::Not(error.to_string()));
                        }
                        Err(error) => return Err(wrong(error)),
                    }
                    let number = landed.borrow().as_ref().map(Landed::number);
                    let removed = delete.execute(params_from_iter(key)).map_err(wrong)?;
                    anyhow::ensure!(
                        removed == 1,
                        "a row of {} was copied back and could not be removed: a trigger keeps it",
                        archive.name
                    );
                    if let (Some(landed), Some(number)) = (&mut *landed.borrow_mut(), number) {
                        landed.moved(number, key)?;
                    }
                    Ok(Came::Back)
                }, || landed.borrow_mut().as_mut().map_or(Ok(()), Landed::prove))?;
                if self.done.gave_way {
                    return Ok(());
                }
            }
        })?;
        Ok(())
    }

    /// Rows in short transactions; `one` says whether it fits, `prove` whether all of a transaction may be committed. One that a
    /// foreign key refuses only at its end is taken apart until the row is found that does not fit.
    fn turns(
        &mut self,
        rows: &[Row],
        mut one: impl FnMut(&Row) -> anyhow::Result<Came>,
        prove: impl Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut rest = rows;
        let mut most = rows.len();
        while !rest.is_empty() {
            if self.scene.must_give_way() {
                self.done.gave_way = true;
                break;
            }
            let (mut tried, mut stay, mut why) = (0, 0, None);
            let work = |row: &Row| -> anyhow::Result<()> {
                tried += 1;
                if let Came::Not(reason) = one(row)? {
                    stay += 1;
                    why.get_or_insert(reason);
                }
                Ok(())
            };
            let some = rest.get(..most).unwrap_or(rest);
            let worked = match self.pace.proven(self.scene.writer, some, work, &prove) {
                Err(error) if is_constraint_in(&error) && tried > 1 => {
                    most = tried / 2;
                    continue;
                }
                Err(error) if is_constraint_in(&error) => {
                    (stay, why) = (1, Some(error.to_string()));
                    1
                }
                other => other?,
            };
            most = most.saturating_mul(2);
            self.count(worked, stay, why);
            rest = &rest[worked..];
        }
        Ok(())
    }

    /// The same for lines of a file, in transactions that are noted before. Returns the lines that do not fit.
    fn noted(
        &mut self,
        lines: &[(u64, Row)],
        moves: &mut Moves,
        mut one: impl FnMut(&Row) -> anyhow::Result<Came>,
    ) -> anyhow::Result<Vec<u64>> {
        let mut rest = lines;
        let mut most = lines.len();
        let mut conflicts = Vec::new();
        while !rest.is_empty() {
            if self.scene.must_give_way() {
                self.done.gave_way = true;
                break;
            }
            let (mut tried, mut stay, mut why) = (0, Vec::new(), None);
            let notes = RefCell::new(&mut *moves);
            let announce = |some: &[(u64, Row)]| match (some.first(), some.last()) {
                (Some((first, _)), Some((last, _))) => notes.borrow_mut().begin(*first, last + 1),
                _ => Ok(()),
            };
            let work = |some: &[(u64, Row)]| {
                tried = some.len();
                let mut before = Vec::new();
                for (line, row) in some {
                    match one(row)? {
                        Came::Back => {}
                        Came::Before => before.push(*line),
                        Came::Not(reason) => {
                            stay.push(*line);
                            why.get_or_insert(reason);
                        }
                    }
                }
                notes.borrow_mut().stay(&stay)?;
                notes.borrow_mut().before(&before)
            };
            let some = rest.get(..most).unwrap_or(rest);
            let worked = match self.pace.announced(self.scene.writer, some, announce, work) {
                Err(error) if is_constraint_in(&error) && tried > 1 => {
                    moves.undo()?;
                    most = tried / 2;
                    continue;
                }
                Err(error) if is_constraint_in(&error) => {
                    stay = some.iter().take(1).map(|(line, _)| *line).collect();
                    why = Some(error.to_string());
                    moves.stay(&stay)?;
                    1
                }
                other => other?,
            };
            most = most.saturating_mul(2);
            self.count(worked, stay.len() as u64, why);
            conflicts.extend(stay);
            rest = &rest[worked..];
        }
        Ok(conflicts)
    }

    fn count(&mut self, worked: usize, stay: u64, why: Option<String>) {
        if self.done.first_conflict.is_none() {
            self.done.first_conflict = why;
        }
        self.done.rows += worked as u64 - stay;
        self.restored.conflicts += stay;
        self.scene.report.progress(
            self.done.rows,
            self.restored.found,
            Unit::Count,
            &format!("rows back in {}", self.table.name),
        );
    }

    /// Out of files, oldest first. A file is removed once all its rows are durably in the table.
    fn files(&mut self, rule: &Rule, folder: &Path) -> anyhow::Result<()> {
        for pack in Pack::list(folder, &rule.name)? {
            if pack.state == State::Pending {
                continue; // of a dry run: listed as to be finished first
            }
            pack.require_of(&Origin {
                database: self.scene.source.name.clone(),
                table: self.table.name.clone(),
            })?;
            let (lines, layout) = self.look(&pack)?;
            self.restored.found += lines;
            let step = Step {
                kind: "restore-archive",
                target: format!("{}: {}", self.scene.source.name, self.table.name),
                reason: format!(
                    "{} out of {}",
                    units::count(lines, "row"),
                    pack.now().display()
                ),
            };
            let report = self.scene.report;
            report.act(step, |permit| self.file(permit, pack, &layout))?;
            if self.done.gave_way {
                break;
            }
        }
        Ok(())
    }

    /// How many lines there are, and how they are written. Refused, before anything is begun, where the table has no place for a value.
    fn look(&self, pack: &Pack) -> anyhow::Result<(u64, Layout)> {
        let path = pack.now();
        let (mut lines, mut layout) = (0, None);
        pack.read(|text| {
            for line in text.lines() {
                lines += 1;
                let mut read = || -> anyhow::Result<Layout> {
                    let layout = match layout.take() {
                        Some(layout) => layout,
                        None => Layout::of_line(self.table, line)?,
                    };
                    layout.names.values(line).map(|_| layout)
                };
                layout = Some(read().map_err(|error| {
                    refused(format!(
                        "{}, line {lines}: {error:#}; bring the column back (ALTER TABLE {} ADD COLUMN), or take what is needed out of the file",
                        path.display(),
                        quote(&self.table.name)
                    ))
                    .hint(format!("zcat {}", shell_path(&path)))
                })?);
            }
            self.scene.context.stop.check()
        })?;
        Ok((lines, layout.unwrap_or_else(|| Layout::of(self.table))))
    }

    fn file(&mut self, permit: &Permit, pack: Pack, layout: &Layout) -> anyhow::Result<()> {
        let scene = self.scene;
        let wrong = |error| scene.explain(error);
        let mut known = match pack.state {
            State::Restoring => Known::read(&pack.moves())?.unwrap_or_default(),
            _ => Known::default(),
        };
        let pack = match pack.state {
            State::Restoring => pack,
            _ => pack.turn(permit, State::Restoring)?,
        };
        let select = layout.select(scene.writer, self.table, "1");
        let mut select = select.map_err(wrong)?;
        let marks: Vec<_> = (1..=layout.columns.len())
            .map(|at| format!("?{at}"))
            .collect();
        let insert = scene.writer.prepare(&format!(
            "INSERT OR ABORT INTO main.{} ({}) VALUES ({})",
            quote(&self.table.name),
            layout.columns.join(", "),
            marks.join(", ")
        ));
        let mut insert = insert.map_err(wrong)?;
        if known.done < known.begun {
            self.judge(&pack, layout, &mut known)?;
        }
        self.restored.conflicts += known.stayed.len() as u64;
        let mut moves = Moves::create(permit, &pack.moves(), &known)?;
        let mut one = |row: &Row| match layout.is_same(&mut select, row).map_err(wrong)? {
            Some(true) => Ok(Came::Before),
            Some(false) => Ok(Came::Not("another row is in its place".into())),
            None => match insert.execute(params_from_iter(row)) {
                // As it was written: a column may have another type by now.
                Ok(_) if layout.is_same(&mut select, row).map_err(wrong)? == Some(true) => {
                    Ok(Came::Back)
                }
                Ok(_) => Err(not_the_same(self.table, layout, row)),
                Err(error) if is_constraint(&error) => {
                    require_open(scene.writer).map(|()| Came::Not(error.to_string()))
                }
                Err(error) => Err(wrong(error)),
            },
        };
        let mut at = 0;
        pack.read(|text| {
            if self.done.gave_way {
                return Ok(());
            }
            let mut rows = Vec::new();
            for line in text.lines() {
                if at >= known.done {
                    rows.push((at, layout.names.values(line)?));
                }
                at += 1;
            }
            let stay = self.noted(&rows, &mut moves, &mut one)?;
            known.stayed.extend(stay);
            Ok(())
        })?;
        if self.done.gave_way {
            return Ok(()); // it stays as it is, and the same command goes on
        }
        pack.settle(permit, scene.reserve, |line| known.stayed.contains(&line))
    }

    /// Whether the transaction that was cut short is undone: its rows were not in the table before it, but for those that are noted.
    fn judge(&self, pack: &Pack, layout: &Layout, known: &mut Known) -> anyhow::Result<()> {
        let wrong = |error| self.scene.explain(error);
        let select = layout.select(self.scene.reader, self.table, "1");
        let mut select = select.map_err(wrong)?;
        let mut committed = false;
        let mut at = 0;
        pack.read(|text| {
            for line in text.lines() {
                let is_new = known
                    .before
                    .as_ref()
                    .is_some_and(|lines| !lines.contains(&at));
                if known.in_flight(at) && is_new && !known.stayed.contains(&at) && !committed {
                    let row = layout.names.values(line)?;
                    committed = layout.is_same(&mut select, &row).map_err(wrong)? == Some(true);
                }
                at += 1;
            }
            self.scene.context.stop.check()
        })?;
        match committed {
            true => known.done = known.begun,
            false => {
                known.begun = known.done;
                known.stayed.retain(|line| *line < known.done);
            }
        }
        Ok(())
    }
}

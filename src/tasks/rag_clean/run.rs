//! Look, plan, take; then bring the indices in line; then what it cost and what is free.

mod summary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::changed::Place;
use super::duplicates::Twins;
use super::embed;
use super::index::{self, Looked};
use super::judge;
use super::memory::Memory;
use super::plan::{DAMAGED, Planner};
use super::removal::{Along, Beyond, Removal};
use super::renew::Renewal;
use super::scene::{Done, Scene};
use super::{BUSY, Detail, FAILED, GAVE_WAY, PATIENCE, word};
use crate::archive::{self, Source, Store};
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::{self, Kind, config, refused};
use crate::optimize::Optimizer;
use crate::report::{Finding, Reporter, Severity, Step};
use crate::sqlite::{self, LONGEST_LOCK, Pace};
use crate::sys::files;
use crate::sys::lock::Held;
use crate::units::{self, Length};

const REFUSED: &str = "rag-clean.refused";
const NO_BACKUP: &str = "rag-clean.no-backup";
const KEPT: &str = "rag-clean.kept";
const LOCK: &str = "rag-clean.lock";

/// A run, resolved.
pub struct Run {
    /// The settings.
    pub rag: Rag,
    /// What it does, in its order.
    pub steps: Vec<RagStep>,
    /// The index files.
    pub indices: Vec<index::Wanted>,
    /// When they are rebuilt.
    pub rebuild: index::When,
    /// `--retrain`
    pub retrain: bool,
    /// `--yes`
    pub yes: bool,
    /// False with `--no-backup-check`.
    pub backup_check: bool,
    /// The application's root.
    pub root: PathBuf,
    /// Keeps the database small.
    pub optimizer: Optimizer,
    /// Where documents are.
    pub documents_root: PathBuf,
}

/// What became of the rows that a step looked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The step.
    step: RagStep,
    /// What they are.
    what: String,
    /// Their table.
    table: String,
    /// Rows of the table before.
    rows: u64,
    /// Rows without a value to tell it from, which stay.
    nulls: u64,
    /// Rows that stay for now: what they point to may be about to be written.
    not_yet: u64,
    /// Rows that were to go.
    chosen: u64,
    /// Rows that went.
    done: u64,
    /// Rows of the other table that went or wait with them.
    others: u64,
    /// Rows of further tables that the schema lets go along or changes, by table.
    #[serde(default, skip_serializing_if = "Beyond::is_empty")]
    beyond: Beyond,
}

/// The database after the steps.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Size {
    /// The database.
    database: String,
    /// Bytes of its file, with everything folded in that is in the write-ahead log.
    bytes: u64,
    /// Bytes of it that hold nothing.
    free_bytes: u64,
    /// The longest that the write lock was held, ms.
    longest_lock_ms: f64,
    /// Write transactions.
    transactions: u64,
}

impl Run {
    pub(super) fn run(
        &self,
        context: &Context,
        report: &Reporter,
        store: &Store,
    ) -> anyhow::Result<()> {
        let source = store.database(&self.rag.database)?;
        let lock = archive::series_lock(&store.folder, &source.name);
        let held = match files::metadata(&store.folder)? {
            // Without the folder there is no backup, and nobody else to wait for.
            None => None,
            Some(_) => context.take(&lock, PATIENCE)?,
        };
        let held = held.map(Arc::new);
        let mut detail = Detail::default();
        let work = Work {
            run: self,
            context,
            report,
            source,
            store,
            folder: &store.folder,
            held: held.as_deref(),
        };
        let done = work.database(&mut detail).and_then(|()| {
            if self.steps.contains(&RagStep::Optimize) {
                let done = || {
                    self.optimizer
                        .held(context, report, source, Ok(held.clone()))
                };
                let optimized = report.attempt(FAILED, word(RagStep::Optimize), done)?;
                detail.optimized = optimized.flatten();
            }
            Ok(())
        });
        report.progress_done();
        self.summarise(report, &detail)?;
        done
    }
}

/// What a run is going to do.
struct Planned {
    removals: Vec<Removal>,
    twins: Option<Twins>,
    renewal: Renewal,
}

struct Work<'a> {
    run: &'a Run,
    context: &'a Context,
    report: &'a Reporter,
    source: &'a Source,
    store: &'a Store,
    folder: &'a Path,
    held: Option<&'a Held>,
}

impl Work<'_> {
    fn database(&self, detail: &mut Detail) -> anyhow::Result<()> {
        let path = &self.source.path;
        files::require_own_links(path, &self.run.root)?;
        // An index is made from the table, and looked at in any case.
        let steps = match self.run.steps.as_slice() {
            [] => &[],
            _ if self.run.backup_check && !self.has_backup()? => &[],
            steps => steps,
        };
        let reader = sqlite::open_readonly(path, &self.context.stop, BUSY)?;
        self.teach(&reader)?;
        sqlite::require_tables(
            &reader,
            path,
            &self.source.expect_tables,
            &self.context.stop,
        )?;
        let memory = Memory::find(&reader, &self.run.rag.tables, self.source, self.context)?;
        let indices = index::Work {
            context: self.context,
            report: self.report,
            source: self.source,
            memory: &memory,
            reader: &reader,
            when: self.run.rebuild,
            retrain: self.run.retrain,
            looked: self.look_at_indices()?,
        };
        let Planned {
            removals,
            twins,
            renewal,
        } = self.plan(steps, &memory, &indices)?;
        detail.duplicates = twins.as_ref().map(|twins| twins.outcome.clone());
        let mut pace = Pace::new(path, &self.context.stop);
        let scene = Scene {
            context: self.context,
            report: self.report,
            source: self.source,
            memory: &memory,
            indices: &indices,
            reader: &reader,
            held: self.held,
            rag: &self.run.rag,
            twins: twins.as_ref(),
        };
        let mut change = None;
        let mut gave_way = false;
        for removal in &removals {
            if gave_way {
                break;
            }
            gave_way = self.take(&scene, removal, &mut pace, detail)?;
            let Some(last) = detail.steps.last() else {
                continue;
            };
            let rows = match self.report.dry_run() {
                true => last.chosen,
                false => last.done,
            };
            if removal.takes_embeddings(&memory, rows, last.others) {
                change = Some(index::GONE);
            }
        }
        if !gave_way {
            let would = self.report.dry_run() && renewal.writes_vectors();
            scene.renew(renewal, &mut pace, detail)?;
            if would || detail.embedded.as_ref().is_some_and(|one| one.done > 0) {
                change = change.or(Some(index::RENEWED));
            }
        }
        for one in &indices.looked {
            self.report.examined(index::FAILED, one.subject());
            let done = || indices.bring_in_line(one, change, &mut detail.indices);
            self.report.attempt(index::FAILED, &one.subject(), done)?;
        }
        detail.database = Some(self.size(&reader, &pace)?);
        Ok(())
    }

    fn teach(&self, connection: &Connection) -> anyhow::Result<()> {
        judge::teach(connection, &self.run.rag.quality)
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))
    }

    fn has_backup(&self) -> anyhow::Result<bool> {
        let name = &self.source.name;
        self.report.examined(NO_BACKUP, name);
        match archive::require_recent(self.folder, name, self.context.moment()) {
            Err(error) if error::kind_of(&error) == Kind::Refused => {
                self.refuse(NO_BACKUP, name, &error);
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    fn refuse(&self, id: &'static str, subject: &str, error: &anyhow::Error) {
        self.report
            .find(Finding::of_error(id, Severity::High, subject, error));
    }

    fn place(&self) -> anyhow::Result<Place<'_>> {
        let root = &self.run.documents_root;
        files::require_own_links(root, &self.run.root)?;
        Ok(Place {
            rag: &self.run.rag,
            root: root.clone(),
            untouchable: self.store.untouchable(&self.context.state),
        })
    }

    fn look_at_indices(&self) -> anyhow::Result<Vec<Looked>> {
        let mut files = HashMap::new();
        self.run
            .indices
            .iter()
            .map(|wanted| {
                let mut real = |path: &PathBuf| -> anyhow::Result<PathBuf> {
                    let file = files::through_own_links(path, &self.run.root)?;
                    match files.insert(file.clone(), path.clone()) {
                        None => Ok(file),
                        Some(other) => Err(config(format!(
                            "{} and {} are one file, and [[rag.index]] names both",
                            other.display(),
                            path.display()
                        ))
                        .into()),
                    }
                };
                let wanted = index::Wanted {
                    path: real(&wanted.path)?,
                    map: wanted.map.as_ref().map(real).transpose()?,
                    ..wanted.clone()
                };
                Looked::at(&wanted, self.run.rebuild, self.report)
            })
            .collect()
    }

    /// What goes, step after step. A step in doubt is refused and the others are done.
    fn plan(
        &self,
        steps: &[RagStep],
        memory: &Memory,
        indices: &index::Work<'_>,
    ) -> anyhow::Result<Planned> {
        let (run, reader) = (self.run, indices.reader);
        let mut planner =
            Planner::new(&run.rag, memory, reader, self.source, self.context, run.yes);
        let mut found = Vec::new();
        let mut renewal = Renewal::default();
        for &step in steps {
            let subject = word(step);
            for id in [FAILED, REFUSED, GAVE_WAY, KEPT] {
                self.report.examined(id, subject);
            }
            let planned = planner.step(step, |planned| {
                let takes = |one: &Removal| one.takes_embeddings(memory, one.chosen, one.others);
                if !planned.iter().any(takes) {
                    return Ok(());
                }
                match indices.cannot_follow()? {
                    Some(why) => Err(refused(format!(
                        "embeddings would go and an index go on to return them: {why}"
                    ))
                    .hint(why.hint.as_deref().unwrap_or(
                        "bring the index in order first, or take it out of [[rag.index]]",
                    ))
                    .into()),
                    None => Ok(()),
                }
            });
            for error in planner.refusals.drain(..) {
                self.refuse(REFUSED, subject, &error);
            }
            planner
                .findings
                .drain(..)
                .for_each(|one| self.report.find(one));
            match planned {
                Ok(planned) => {
                    self.report.examined(DAMAGED, subject);
                    found.extend(planned);
                }
                Err(error) => self.in_doubt(subject, error)?,
            }
            if step == RagStep::Changed {
                match self
                    .place()
                    .and_then(|place| place.look(memory, reader, self.source, self.context))
                {
                    Ok(looked) => renewal.documents = Some(looked),
                    Err(error) => self.in_doubt(subject, error)?,
                }
                let texts = || -> anyhow::Result<_> {
                    let endpoint = embed::endpoint(&run.rag)?;
                    let looked = embed::look(&planner, endpoint.as_ref())?;
                    Ok((looked, endpoint))
                };
                match texts() {
                    Ok(looked) => renewal.texts = Some(looked),
                    Err(error) => self.in_doubt(subject, error)?,
                }
                if renewal.writes_vectors() {
                    indices.judge()?;
                }
            }
        }
        Ok(Planned {
            removals: found,
            twins: planner.twins,
            renewal,
        })
    }

    /// What is refused is a finding, and the other steps are done.
    fn in_doubt(&self, subject: &str, error: anyhow::Error) -> anyhow::Result<()> {
        match error::kind_of(&error) {
            Kind::Refused | Kind::Missing => self.refuse(REFUSED, subject, &error),
            _ if error::ends_the_run(&error) => return Err(error),
            _ => {
                self.report
                    .attempt(FAILED, subject, || anyhow::Result::<()>::Err(error))?;
            }
        }
        Ok(())
    }

    /// Takes what was planned. True when a backup or a restore waits.
    fn take(
        &self,
        scene: &Scene<'_>,
        removal: &Removal,
        pace: &mut Pace,
        detail: &mut Detail,
    ) -> anyhow::Result<bool> {
        let mut done = Done::default();
        let result = self.act(scene, removal, pace, &mut done);
        self.measure(removal, &done);
        if let (RagStep::Duplicates, Some(outcome)) = (removal.step, &mut detail.duplicates) {
            (outcome.moved, outcome.dropped) = (done.moved, done.dropped);
            outcome.measure(self.report);
        }
        detail.steps.push(Outcome {
            step: removal.step,
            what: removal.what.to_owned(),
            table: removal.table.name.clone(),
            rows: removal.total,
            nulls: removal.nulls,
            not_yet: removal.not_yet,
            chosen: removal.chosen,
            done: done.rows,
            others: match self.report.dry_run() {
                true => removal.others,
                false => done.others,
            },
            beyond: removal.beyond.clone(),
        });
        let subject = word(removal.step);
        let went_on = self.report.attempt(FAILED, subject, || result)?.is_some();
        if done.gave_way {
            self.report.find(Finding::new(
                GAVE_WAY,
                Severity::Low,
                subject,
                format!(
                    "stopped after {} of {} {} for a backup or restore of {} that waits; the next run goes on",
                    done.rows, removal.chosen, removal.what, self.source.name
                ),
            ));
        } else if went_on && !self.report.dry_run() && done.rows < removal.chosen {
            self.report.find(Finding::new(
                KEPT,
                Severity::Low,
                subject,
                format!(
                    "{} of {} {} stay: rows of other tables point to them, a trigger keeps them, or they changed meanwhile",
                    removal.chosen - done.rows,
                    removal.chosen,
                    removal.what
                ),
            ));
        }
        Ok(done.gave_way)
    }

    fn act(
        &self,
        scene: &Scene<'_>,
        removal: &Removal,
        pace: &mut Pace,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        if removal.chosen == 0 {
            return Ok(());
        }
        let mut reason = format!("{}: {}", removal.what, removal.reason);
        let others = |one| units::count(removal.others, one);
        match removal.along {
            _ if removal.others == 0 => {}
            Along::Nothing => {}
            Along::Chunks => reason.push_str(&format!("; with them go {}", others("chunk"))),
            Along::Embedding => {
                reason.push_str(&format!("; with them go {}", others("embedding")));
            }
            Along::Pending => {
                reason.push_str(&format!("; {} wait for a new one", others("chunk")));
            }
        }
        for (table, rows) in &removal.beyond {
            let rows = units::count(*rows, "row");
            reason.push_str(&format!("; with those go or change {rows} of {table}"));
        }
        let step = Step {
            kind: "delete",
            target: format!("{}: {}", self.source.name, removal.table.name),
            reason,
        };
        let takes = |rows, others| removal.takes_embeddings(scene.memory, rows, others);
        self.report.act(step, |permit| {
            let (path, stop) = (&self.source.path, &self.context.stop);
            let writer = sqlite::open_writer(path, stop, BUSY, false)?;
            self.teach(&writer)?;
            let marked = match takes(removal.chosen, removal.others) {
                true => scene.indices.mark(permit)?,
                false => Vec::new(),
            };
            scene
                .apply(&writer, removal, pace, done)
                .with_context(|| format!("after {}", units::count(done.rows, "row")))?;
            match takes(done.rows, done.others) {
                true => Ok(()),
                false => index::unmark(permit, &marked),
            }
        })?;
        Ok(())
    }

    fn measure(&self, removal: &Removal, done: &Done) {
        let labels = [("step", word(removal.step)), ("what", removal.what)];
        let measure = |name, value: u64| self.report.measure(name, value as f64, "", labels);
        measure("rag_clean_rows", done.rows);
        measure("rag_clean_rows_without_value", removal.nulls);
    }

    fn size(&self, reader: &Connection, pace: &Pace) -> anyhow::Result<Size> {
        let name = self.source.name.as_str();
        let (path, stop) = (&self.source.path, &self.context.stop);
        let wrong = |error| sqlite::explain(error, path, stop);
        if pace.turns() > 0 {
            // Busy or not, the next one who commits goes on with it.
            sqlite::open_writer(path, stop, BUSY, false)?
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                .map_err(wrong)?;
            self.report.examined(LOCK, name);
        }
        let (bytes, free_bytes) = sqlite::allocated(reader).map_err(wrong)?;
        let longest = pace.longest();
        if longest > LONGEST_LOCK {
            let ms = |length: Duration| length.as_secs_f64() * 1000.0;
            let message = format!(
                "a write lock on {name} was held for {} (limit {})",
                Length(longest),
                Length(LONGEST_LOCK)
            );
            self.report
                .find(Finding::new(LOCK, Severity::Low, name, message).measured(
                    ms(longest),
                    "ms",
                    ms(LONGEST_LOCK),
                ));
        }
        let longest_lock_ms = (longest.as_secs_f64() * 10_000.0).round() / 10.0;
        self.report
            .measure("rag_clean_longest_lock_ms", longest_lock_ms, "ms", []);
        self.report
            .measure("rag_clean_database_bytes", bytes as f64, "bytes", []);
        self.report
            .measure("rag_clean_free_bytes", free_bytes as f64, "bytes", []);
        Ok(Size {
            database: name.to_owned(),
            bytes,
            free_bytes,
            longest_lock_ms,
            transactions: pace.turns(),
        })
    }
}

//! The steps of a plan, one after the other, each in the shortest possible transaction.

use std::fmt;
use std::time::{Duration, Instant};

use super::look::Looked;
use super::plan::Plan;
use super::{HELD, LOG, NO_SPACE, Outcome, TOO_LONG, Work, gives_way, millis, patiently};
use crate::error::{self, Failure, Kind};
use crate::report::{Finding, Severity, Step, Unit};
use crate::sqlite::{Checkpoint, Held, Pace, Rehearsal, Writer, quote};
use crate::sys::process::shell_path;
use crate::units::{self, Bytes, Length};

/// Rows of each index that `ANALYZE` looks at.
const ANALYSIS_LIMIT: u32 = 1000;
/// Pages that are given back at once: no more than a moment's work.
const SOME_PAGES: u64 = 16;
/// How long emptying the log is tried.
const EMPTYING: Duration = Duration::from_secs(2);
/// What stopping a step may take beyond its limit.
const STOPPING: Duration = Duration::from_millis(100);
/// A log that stays larger than this on the disk is worth a word.
const LARGE_LOG: u64 = 64 << 20;

/// Why a step was not done, as far as that is nobody's fault.
#[derive(Debug)]
enum Undone {
    Busy(Duration),
    TooLong(Duration, Duration),
    NoSpace(String),
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(patience) => {
                write!(f, "the write lock was not had within {}", Length(*patience))
            }
            Self::TooLong(took, limit) => {
                write!(
                    f,
                    "stopped and undone after {} (limit {})",
                    Length(*took),
                    Length(*limit)
                )
            }
            Self::NoSpace(lacking) => write!(f, "not enough space: {lacking}"),
        }
    }
}

impl std::error::Error for Undone {}

impl Work<'_> {
    /// Does what the plan says; true when something was changed.
    pub(super) fn act(
        &self,
        plan: Plan,
        looked: &Looked,
        outcome: &mut Outcome,
    ) -> anyhow::Result<bool> {
        let mut writer = Writer::open(&self.source.path, &self.context.stop)?;
        let changes = !plan.is_empty();
        let done = self.steps(plan, looked, &mut writer, outcome);
        if done.is_err() && writer.has_wal() && !self.context.dry_run {
            // What a failed step has left in the log is on the disk until somebody folds it in, and the disk may be full of it.
            outcome.checkpoint = writer.checkpoint().ok();
        }
        let longest = writer
            .longest()
            .max(Duration::from_millis(outcome.longest_lock_ms));
        outcome.longest_lock_ms = millis(longest);
        self.report.measure(
            "optimize_lock_seconds",
            longest.as_secs_f64(),
            "s",
            self.label(),
        );
        let limit = self.task.settings.max_lock;
        if longest > limit.0 + STOPPING {
            let held = longest.as_secs_f64();
            self.report.find(
                Finding::new(
                    HELD,
                    Severity::Medium,
                    &self.source.name,
                    format!("the writers of {} were held for {} (limit {limit})", self.source.name, Length(longest)),
                )
                .measured(held, "s", limit.0.as_secs_f64())
                .hint("the disk was slower than in the rehearsal: empire-maint health --check cpu,disk"),
            );
        }
        done?;
        Ok(changes && !self.context.dry_run)
    }

    fn steps(
        &self,
        plan: Plan,
        looked: &Looked,
        writer: &mut Writer,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let path = self.source.path.display();
        let page_size = looked.state.layout.page_size;
        let changes = !plan.is_empty();
        if let Some(pages) = plan.incremental {
            let reason = format!("{} in free pages", Bytes(pages * page_size));
            self.step("incremental-vacuum", path.to_string(), reason, || {
                self.give_back_pages(writer, pages)
            })?;
        }
        for index in plan.reindex {
            let reason = format!(
                "{:.0}% of its {} hold nothing",
                index.unused_percent(page_size),
                Bytes(index.pages * page_size)
            );
            let sql = format!("REINDEX main.{}", quote(&index.name));
            self.step("reindex", format!("{path}: {}", index.name), reason, || {
                self.change(writer, &sql)
            })?;
        }
        if let Some(rehearsal) = plan.rebuild {
            let reason = plan.vacuum.unwrap_or_default();
            self.step("vacuum", path.to_string(), reason, || {
                self.vacuum(writer, &rehearsal, looked.state.size_bytes)
            })?;
        }
        for stale in plan.analyze {
            let sql = format!(
                "PRAGMA analysis_limit={ANALYSIS_LIMIT}; ANALYZE main.{}",
                quote(&stale.table)
            );
            self.step(
                "analyze",
                format!("{path}: {}", stale.table),
                stale.reason,
                || self.change(writer, &sql),
            )?;
        }
        if writer.has_wal() && (changes || self.wal_size()? > 0) {
            let reason = "the write-ahead log goes into the database".to_owned();
            self.step("checkpoint", path.to_string(), reason, || {
                outcome.checkpoint = Some(self.checkpoint(writer)?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// One step, unless somebody waits for the database. One that took too long or has no space is a finding and the next one is
    /// tried; when the application is too busy, that ends them all.
    fn step(
        &self,
        kind: &'static str,
        target: String,
        reason: String,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.wanted() {
            return Err(gives_way().into());
        }
        self.report
            .progress(0, 0, Unit::Count, &format!("{kind} {}", self.source.name));
        let what = format!("{kind} of {target}");
        let step = Step {
            kind,
            target,
            reason,
        };
        let Err(error) = self.report.act(step, |_| work()) else {
            return Ok(());
        };
        let undone = error.downcast_ref::<Undone>();
        if undone.is_some() || error::kind_of(&error) == Kind::Locked {
            self.report.left_out();
        }
        match undone {
            Some(Undone::NoSpace(_)) => {
                let name = &self.source.name;
                self.report.find(
                    Finding::new(NO_SPACE, Severity::Low, name, format!("{what}: {error}"))
                        .hint("free some space: the next run goes on"),
                );
                Ok(())
            }
            Some(Undone::TooLong(took, limit)) => {
                self.report.find(
                    Finding::new(
                        TOO_LONG,
                        Severity::Low,
                        &self.source.name,
                        format!("{what}: {error}"),
                    )
                    .measured(took.as_secs_f64(), "s", limit.as_secs_f64())
                    .hint(format!(
                        "in a quiet hour: {}",
                        patiently(&self.source.name, *took * 4)
                    )),
                );
                Ok(())
            }
            Some(Undone::Busy(_)) => {
                Err(Failure::new(Kind::Locked, format!("{what}: {error}")).into())
            }
            None => Err(error),
        }
    }

    /// One transaction, within the limit.
    fn change(&self, writer: &mut Writer, sql: &str) -> anyhow::Result<()> {
        let limit = self.task.settings.max_lock.0;
        let done = writer.change(limit, limit, |connection| connection.execute_batch(sql))?;
        self.require(done, limit).map(|_| ())
    }

    fn require<T>(&self, done: Held<T>, limit: Duration) -> anyhow::Result<(T, Duration)> {
        match done {
            Held::Done(value, held) => Ok((value, held)),
            Held::Busy => Err(Undone::Busy(limit).into()),
            Held::TooLong(took) => Err(Undone::TooLong(took, limit).into()),
        }
    }

    /// A few pages at a time, in the beat that lets the application's writers in. The log is folded in on the way: it would grow by
    /// every page that moves.
    fn give_back_pages(&self, writer: &mut Writer, pages: u64) -> anyhow::Result<()> {
        let limit = self.task.settings.max_lock.0;
        let mut pace = Pace::new(&self.source.path, &self.context.stop);
        let mut left = pages;
        while left > 0 {
            if self.wanted() {
                return Err(gives_way().into());
            }
            if self.log_lacks()?.is_some() {
                // What is in the way may be the log itself.
                pace.settle()?;
                writer.checkpoint()?;
                if let Some(lacking) = self.log_lacks()? {
                    return Err(Undone::NoSpace(lacking).into());
                }
            }
            let budget = pace.wait(writer.connection())?;
            let done = writer.change(limit, limit, |connection| {
                let (began, mut given) = (Instant::now(), 0);
                while given < left && (given == 0 || began.elapsed() < budget) {
                    let now = SOME_PAGES.min(left - given);
                    let sql = format!("PRAGMA main.incremental_vacuum({now})");
                    let mut statement = connection.prepare(&sql)?;
                    // A row a page: it has to be asked for each.
                    let mut rows = statement.query([])?;
                    while rows.next()?.is_some() {}
                    given += now;
                }
                Ok(given)
            })?;
            let (given, held) = self.require(done, limit)?;
            pace.ended(writer.connection(), held);
            left -= given;
            self.report
                .progress(pages - left, pages, Unit::Count, "pages given back");
        }
        Ok(())
    }

    /// The real one, after its rehearsal. Space is looked at again: it may be minutes later.
    fn vacuum(&self, writer: &mut Writer, rehearsal: &Rehearsal, old: u64) -> anyhow::Result<()> {
        if let Some(lacking) = self.lacking(rehearsal.bytes, old, writer.has_wal())? {
            return Err(Undone::NoSpace(lacking).into());
        }
        let limit = self.task.settings.max_lock.0;
        let ids = self.ids(writer.connection())?;
        let done = writer.vacuum(limit, rehearsal.build_within(limit))?;
        self.compare_ids(ids.as_ref(), writer.connection())?;
        self.require(done, limit).map(|_| ())
    }

    /// Tries for a moment to leave an empty log; a reader that stays is no error.
    fn checkpoint(&self, writer: &mut Writer) -> anyhow::Result<Checkpoint> {
        let name = &self.source.name;
        let started = std::time::Instant::now();
        let mut done = writer.checkpoint()?;
        while !done.emptied && started.elapsed() < EMPTYING && !self.wanted() {
            std::thread::sleep(self.context.stop.left(Duration::from_millis(20))?);
            done = writer.checkpoint()?;
        }
        let size = self.wal_size()?;
        if !done.emptied && size > LARGE_LOG {
            self.report.find(
                Finding::new(
                    LOG,
                    Severity::Low,
                    name,
                    format!(
                        "the write-ahead log of {name} stays at {}: {} of {} were moved, and a reader or writer was always there",
                        Bytes(size),
                        done.moved,
                        units::count(done.frames, "frame"),
                    ),
                )
                .measured(size as f64, "bytes", LARGE_LOG as f64)
                .hint(format!("who has it open: fuser -v {}", shell_path(&self.source.path))),
            );
        }
        Ok(done)
    }
}

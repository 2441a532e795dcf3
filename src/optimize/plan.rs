//! What would help one database, and what each step would cost its writers: a value, made before anything is changed.

use std::path::Path;
use std::time::Duration;

use super::look::Looked;
use super::{HELD, LOG, NO_SPACE, ROWIDS, TOO_LONG, Work, patiently};
use crate::error::{Failure, Kind};
use crate::report::{Finding, Severity, Unit};
use crate::sqlite::{self, Held, Layout, Rehearsal, Stale, Tree, Writer};
use crate::sys::scratch::{self, Scratch};
use crate::sys::{Stop, files, space};
use crate::units::{self, Bytes, Length};

/// What `VACUUM` must free to pay.
const LEAST_SHARE: f64 = 25.0;
const LEAST_BYTES: u64 = 64 << 20;
/// What an index must waste to be built anew.
const INDEX_SHARE: f64 = 50.0;
const INDEX_BYTES: u64 = 16 << 20;
/// Bytes a second that building an index surely reads and writes; where it does not, it is stopped.
const INDEX_PACE: f64 = (48 << 20) as f64;
/// Free pages that are worth giving back.
const INCREMENTAL_BYTES: u64 = 1 << 20;

/// The steps, in their order.
pub(super) struct Plan {
    /// Free pages given back, in small steps, where the database is built for it.
    pub incremental: Option<u64>,
    /// Indexes to build anew.
    pub reindex: Vec<Tree>,
    /// A rehearsed `VACUUM` that pays and fits.
    pub rebuild: Option<Rehearsal>,
    /// Tables to analyze.
    pub analyze: Vec<Stale>,
    /// Why `VACUUM` is or is not there, for the report.
    pub vacuum: Option<String>,
    /// How long the rehearsal held writers, which it does without a write-ahead log only.
    pub held: Duration,
}

impl Plan {
    /// True when nothing would be changed.
    pub fn is_empty(&self) -> bool {
        self.incremental.is_none()
            && self.reindex.is_empty()
            && self.rebuild.is_none()
            && self.analyze.is_empty()
    }
}

impl Work<'_> {
    pub(super) fn plan(&self, looked: &Looked) -> anyhow::Result<Plan> {
        for id in [TOO_LONG, NO_SPACE, ROWIDS, HELD, LOG] {
            self.report.examined(id, &self.source.name);
        }
        let layout = &looked.state.layout;
        let mut plan = Plan {
            incremental: (layout.auto_vacuum == 2 && layout.free_bytes() >= INCREMENTAL_BYTES)
                .then_some(layout.free_pages),
            reindex: Vec::new(),
            rebuild: None,
            analyze: looked.stale.clone(),
            vacuum: None,
            held: Duration::ZERO,
        };
        // Pages that go back in small steps need no VACUUM.
        let gain = match plan.incremental {
            Some(_) => layout.reclaimable() - layout.free_bytes(),
            None => layout.reclaimable(),
        };
        if plan.incremental.is_some()
            && let Some(lacking) = self.log_lacks()?
        {
            plan.incremental = None;
            let message = format!(
                "{} of {} are in free pages, and there is not the space to give them back: {lacking}",
                Bytes(layout.free_bytes()),
                self.source.name
            );
            self.report.find(
                Finding::new(NO_SPACE, Severity::Low, &self.source.name, message)
                    .hint("free some space: giving them back writes a little first"),
            );
        }
        if pays(gain, layout) {
            self.consider_vacuum(looked, gain, &mut plan)?;
        }
        if plan.rebuild.is_none() {
            plan.reindex = self.worth_reindexing(layout);
        }
        Ok(plan)
    }

    /// Rowids, space, rehearsal: the first that speaks against it is a finding.
    fn consider_vacuum(&self, looked: &Looked, gain: u64, plan: &mut Plan) -> anyhow::Result<()> {
        let (name, layout) = (&self.source.name, &looked.state.layout);
        let would = format!(
            "VACUUM of {name} would free about {} of {} ({:.0}%)",
            Bytes(gain),
            Bytes(layout.bytes()),
            units::percent(gain, layout.bytes())
        );
        let risky: Vec<_> = looked
            .bare
            .iter()
            .filter(|table| !table.indexed)
            .map(|table| table.name.as_str())
            .collect();
        let allowed = self.task.settings.vacuum_anyway.contains(name);
        if !risky.is_empty() && !allowed {
            return self.decline(plan, Finding::new(
                ROWIDS,
                Severity::Low,
                name,
                format!("{would}, and was left out: it renumbers the rows of {}, which have neither INTEGER PRIMARY KEY nor index", shown(&risky)),
            )
            .hint(format!("if nothing outside keeps their rowids: [optimize] vacuum_anyway = [\"{name}\"]")));
        }
        if let Some(lacking) = self.lacking(layout.used_bytes(), layout.bytes(), looked.wal)? {
            return self.decline(
                plan,
                Finding::new(
                    NO_SPACE,
                    Severity::Low,
                    name,
                    format!("{would}, and there is not the space for it: {lacking}"),
                )
                .hint("free some space, or set TMPDIR to a folder that has it"),
            );
        }
        let limit = self.task.settings.max_lock;
        let held_too_long = |took: Duration| {
            Finding::new(
                TOO_LONG,
                Severity::Low,
                name,
                format!(
                    "{would} and hold its writers for about {} (limit {limit})",
                    Length(took)
                ),
            )
            .measured(took.as_secs_f64(), "s", limit.0.as_secs_f64())
            .hint(format!("in a quiet hour: {}", patiently(name, took)))
        };
        let rehearsal = match self.rehearse(layout, plan)? {
            Held::Done(rehearsal, _) => rehearsal,
            Held::TooLong(took) => return self.decline(plan, held_too_long(took)),
            Held::Busy => {
                return Err(Failure::new(
                    Kind::Locked,
                    format!("{name} could not be read for {limit}"),
                )
                .into());
            }
        };
        if !rehearsal.moved.is_empty() {
            let moved: Vec<_> = rehearsal.moved.iter().map(String::as_str).collect();
            return self.decline(
                plan,
                Finding::new(
                    ROWIDS,
                    // Never seen: SQLite itself would have changed.
                    Severity::Critical,
                    name,
                    format!(
                        "{would}, and was left out: its rehearsal changed the rowids of {}",
                        shown(&moved)
                    ),
                ),
            );
        }
        let gain = layout.bytes().saturating_sub(rehearsal.bytes);
        let percent = units::percent(gain, layout.bytes());
        let estimate = rehearsal.lock_estimate();
        if !pays(gain, layout) {
            plan.vacuum = Some(format!(
                "rehearsed: it would free {} ({percent:.0}%), which is not worth it",
                Bytes(gain)
            ));
            return Ok(());
        }
        if estimate > limit.0 {
            return self.decline(plan, held_too_long(estimate));
        }
        plan.vacuum = Some(format!(
            "rehearsed: frees {} ({percent:.0}%), holds writers for about {} (limit {limit})",
            Bytes(gain),
            Length(estimate)
        ));
        plan.rebuild = Some(rehearsal);
        Ok(())
    }

    fn decline(&self, plan: &mut Plan, finding: Finding) -> anyhow::Result<()> {
        plan.vacuum = Some(finding.message.clone());
        self.report.find(finding);
        Ok(())
    }

    /// What is missing for `VACUUM` in the two places that it fills: its copy in SQLite's temporary folder, and beside the database the
    /// log with the new pages, or the journal with the old ones. The rehearsal needs no more.
    pub(super) fn lacking(&self, copy: u64, old: u64, wal: bool) -> anyhow::Result<Option<String>> {
        let (temporary, data) = (scratch::sqlite_folder(), files::parent(&self.source.path));
        let reserve = self.task.backup.reserve.0;
        let written = if wal { copy } else { copy.max(old) };
        let beside = (written / 64 * 66) + reserve;
        let one_place = files::identity(&temporary)?.map(|(device, _)| device)
            == files::identity(data)?.map(|(device, _)| device);
        let wanted = match one_place {
            true => vec![(data.to_owned(), copy + beside)],
            false => vec![(data.to_owned(), beside), (temporary, copy + reserve)],
        };
        for (folder, needed) in wanted {
            let lacking = lacks(&folder, needed)?;
            if lacking.is_some() {
                return Ok(lacking);
            }
        }
        Ok(None)
    }

    /// What is missing for the log to grow by a little.
    pub(super) fn log_lacks(&self) -> anyhow::Result<Option<String>> {
        lacks(files::parent(&self.source.path), self.task.backup.reserve.0)
    }

    fn rehearse(&self, layout: &Layout, plan: &mut Plan) -> anyhow::Result<Held<Rehearsal>> {
        let stop: Stop = self.giving_way(self.wal_size()?);
        let folder = files::parent(&self.source.path);
        self.report.progress(
            0,
            0,
            Unit::Count,
            &format!("rehearsing VACUUM of {}", self.source.name),
        );
        let scratch = Scratch::new(folder)?;
        let copy: &Path = &scratch.path().join("copy.db");
        let mut writer = Writer::open(&self.source.path, &stop)?;
        let ids = self
            .place_of_ids(writer.connection())
            .map_err(|error| sqlite::explain(error, &self.source.path, &stop))?;
        let done = sqlite::rehearse(
            &mut writer,
            copy,
            layout,
            self.task.settings.max_lock.0,
            ids,
            &stop,
        )?;
        plan.held = writer.longest();
        Ok(done)
    }

    /// Bytes of the write-ahead log's file.
    pub(super) fn wal_size(&self) -> anyhow::Result<u64> {
        let [wal, ..] = sqlite::side_files(&self.source.path);
        Ok(files::metadata(&wal)?.map_or(0, |meta| meta.len()))
    }

    /// Indexes that are mostly empty; one whose building would hold the writers too long is a finding.
    fn worth_reindexing(&self, layout: &Layout) -> Vec<Tree> {
        let limit = self.task.settings.max_lock;
        let bytes = |tree: &Tree| tree.pages * layout.page_size;
        let wasteful = |tree: &&Tree| {
            tree.index
                && tree.unused_bytes >= INDEX_BYTES
                && tree.unused_percent(layout.page_size) >= INDEX_SHARE
        };
        let (mut worth, mut too_long) = (Vec::new(), Vec::new());
        for index in layout.trees.iter().filter(wasteful) {
            let table = layout
                .trees
                .iter()
                .find(|tree| tree.name == index.table)
                .map_or(0, bytes);
            let estimate = Duration::from_secs_f64((table + bytes(index)) as f64 / INDEX_PACE);
            match estimate > limit.0 {
                true => too_long.push((index.name.as_str(), estimate)),
                false => worth.push(index.clone()),
            }
        }
        if let Some(longest) = too_long.iter().map(|(_, estimate)| *estimate).max() {
            let names: Vec<_> = too_long.iter().map(|(name, _)| *name).collect();
            self.report.find(
                Finding::new(
                    TOO_LONG,
                    Severity::Low,
                    &self.source.name,
                    format!(
                        "REINDEX of {} would hold the writers for up to {} (limit {limit})",
                        shown(&names),
                        Length(longest)
                    ),
                )
                .measured(longest.as_secs_f64(), "s", limit.0.as_secs_f64())
                .hint(format!(
                    "in a quiet hour: {}",
                    patiently(&self.source.name, longest)
                )),
            );
        }
        worth
    }
}

fn lacks(folder: &Path, needed: u64) -> anyhow::Result<Option<String>> {
    let free = space::free(folder)?;
    let lacking = || {
        let (free, needed) = (Bytes(free), Bytes(needed));
        format!("{} has {free} free, {needed} needed", folder.display())
    };
    Ok((free < needed).then(lacking))
}

fn pays(gain: u64, layout: &Layout) -> bool {
    gain >= LEAST_BYTES && units::percent(gain, layout.bytes()) >= LEAST_SHARE
}

/// The first names of a list, and how many more there are.
fn shown(names: &[&str]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        few => few.join(", "),
    }
}

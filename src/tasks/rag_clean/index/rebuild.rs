//! Builds an index anew from the rows of the table, and shows that it is right before anybody sees it.

use std::cell::Cell;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::drift::{Drift, normalise};
use super::held::Held;
use super::publish::{keep, publish, require_kept, require_unchanged, waiting};
use super::{When, Work, pending};
use crate::error::refused;
use crate::faiss::{self, Index, Kind, Positions, Shape};
use crate::hash;
use crate::report::{Permit, Unit};
use crate::sqlite;
use crate::sys::{Stop, files, load, space};
use crate::units::{Bytes, count};

/// Lists so unequal are trained anew.
const UNEQUAL: f64 = 4.0;

/// Bytes of the write-ahead log between two times that it is folded in, at most, as far as can be told before.
const LONGEST_LOG: u64 = 64 << 20;

impl Work<'_> {
    /// Says how long it took without the proof.
    pub(super) fn rebuild(
        &self,
        permit: &Permit,
        held: &Held,
        drift: &Drift,
    ) -> anyhow::Result<Duration> {
        let retrain = self.is_to_train(held, drift);
        let new = waiting(&held.path);
        let ids = held.map.as_ref().map(|map| waiting(map.path()));
        // Of a run that was killed.
        files::remove(permit, &new)?;
        ids.iter().try_for_each(|ids| files::remove(permit, ids))?;
        self.require_memory(held, drift)?;
        let size = faiss::size_of(&held.index.shape, drift.rows);
        space::require(files::parent(&held.path), size, "the new index")?;
        pending::set(permit, &held.path)?;
        let built = self.build(permit, held, drift, retrain);
        if built.is_err() {
            let _ = files::remove(permit, &new);
            let _ = ids.iter().try_for_each(|ids| files::remove(permit, ids));
        }
        built
    }

    /// Refuses what memory, disk or a name has no room for, with the log of the rows that are to go.
    pub(super) fn require_room_before(&self, held: &Held, drift: &Drift) -> anyhow::Result<()> {
        self.require_memory(held, drift)?;
        let folder = files::parent(&held.path);
        let needed = faiss::size_of(&held.index.shape, drift.rows) + self.log(folder)?;
        // What a run that was killed has left there goes before anything is written.
        let left = files::link_metadata(&waiting(&held.path))?;
        let free = space::free(folder)? + left.map_or(0, |left| left.blocks() * 512);
        if free < needed {
            return Err(refused(format!(
                "not enough space in {} for the new index and the log of what goes: {} free, {} needed",
                folder.display(),
                Bytes(free),
                Bytes(needed)
            ))
            .hint(format!("free at least {}", Bytes(needed - free)))
            .into());
        }
        Ok(())
    }

    /// What the write-ahead log may grow by in this file system while rows go: by the whole database, but it is folded in before it
    /// gets long.
    fn log(&self, folder: &Path) -> anyhow::Result<u64> {
        let beside = files::metadata(files::parent(&self.source.path))?;
        let own = files::metadata(folder)?;
        if beside.map(|meta| meta.dev()) != own.map(|meta| meta.dev()) {
            return Ok(0);
        }
        let (bytes, _) = sqlite::allocated(self.reader).map_err(|error| self.explain(error))?;
        Ok(bytes.min(LONGEST_LOG))
    }

    /// Refuses what memory or a name has no room for.
    fn require_memory(&self, held: &Held, drift: &Drift) -> anyhow::Result<()> {
        let shape = &held.index.shape;
        let trained = match self.is_to_train(held, drift) {
            true => faiss::memory_to_train(shape, drift.rows),
            false => 0,
        };
        let needed = faiss::memory_needed(shape, drift.rows) + trained;
        let available = load::memory()?.available;
        if needed > available {
            return Err(refused(format!(
                "building it takes {} of memory, {} are available",
                Bytes(needed),
                Bytes(available)
            ))
            .into());
        }
        require_kept(&held.path)?;
        held.map
            .as_ref()
            .map_or(Ok(()), |map| require_kept(map.path()))
    }

    /// The centroids of an IVF stay, as FAISS itself would keep them, unless they are asked to go, most vectors are others than
    /// those that they were made from, or their lists have become very unequal.
    fn is_to_train(&self, held: &Held, drift: &Drift) -> bool {
        let Kind::Ivf { centroids, .. } = &held.index.shape.kind else {
            return false;
        };
        let lists = (centroids.len() / held.index.shape.dimension) as u64;
        drift.rows >= lists
            && (self.retrain
                || drift.missing * 2 > drift.rows
                || held.index.imbalance().is_some_and(|by| by > UNEQUAL))
    }

    fn build(
        &self,
        permit: &Permit,
        held: &Held,
        drift: &Drift,
        retrain: bool,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let new = &waiting(&held.path);
        let file = files::create_new(permit, new)?;
        if let Some(old) = files::metadata(&held.path)? {
            files::own_like(&file, &old)?;
            files::set_mode(&file, old.mode())?;
        }
        let width = held.index.shape.width();
        let order = match &held.map {
            Some(map) => Some(map.after(&self.ids(width)?)),
            None => None,
        };
        let given = Cell::new(Content::default());
        let rows = |each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>| -> anyhow::Result<()> {
            let mut scaled = Vec::new();
            let mut content = Content::default();
            let mut each = |id: i64, bytes: &[u8]| {
                self.report
                    .progress(content.vectors, drift.rows, Unit::Count, "vectors");
                let bytes = match drift.normalised {
                    true => {
                        normalise(bytes, &mut scaled);
                        &scaled
                    }
                    false => bytes,
                };
                content.add(id, bytes);
                each(id, bytes)
            };
            match &order {
                Some(order) => self.rows_of(order, &mut each),
                None => self.rows(width, &mut each).map(|_| ()),
            }?;
            given.set(content);
            Ok(())
        };
        let stop = &self.context.stop;
        let shape = match retrain {
            true => faiss::train(&held.index.shape, drift.rows, &rows, stop)?,
            false => held.index.shape.clone(),
        };
        let vectors = faiss::Vectors {
            count: drift.rows,
            rows: &rows,
            read: &|| self.let_go(),
        };
        faiss::write(&file, new, &shape, &vectors, stop)?;
        files::sync(&file, new)?;
        files::drop_cache(&file);
        drop(file);
        if let (Some(map), Some(order)) = (&held.map, &order) {
            self.write_map(permit, map, order)?;
        }
        let took = began.elapsed();
        self.prove(held, &shape, given.get())?;
        let _shield = stop.shield();
        require_unchanged(held)?;
        keep(permit, &held.path)?;
        if let Some(map) = &held.map {
            keep(permit, map.path())?;
            // Whoever finds the new index with the old map may finish that: by what those two have it could not be told.
            pending::set(permit, &held.path)?;
        }
        publish(permit, &held.path)?;
        // The old map goes with the new index as well as it can ([`Positions::after`]); the new one does not go with the old index.
        held.map
            .as_ref()
            .map_or(Ok(()), |map| publish(permit, map.path()))?;
        pending::clear(permit, &held.path)?;
        Ok(took)
    }

    pub(super) fn ids(&self, width: usize) -> anyhow::Result<Vec<i64>> {
        let mut ids = Vec::new();
        self.rows(width, &mut |id, _| {
            ids.push(id);
            Ok(())
        })?;
        Ok(ids)
    }

    fn write_map(&self, permit: &Permit, map: &Positions, order: &[i64]) -> anyhow::Result<()> {
        let new = &waiting(map.path());
        let mut file = files::create_new(permit, new)?;
        if let Some(old) = files::metadata(map.path())? {
            files::own_like(&file, &old)?;
            files::set_mode(&file, old.mode())?;
        }
        file.write_all(&map.encode(order)?)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", new.display()))?;
        files::sync(&file, new)
    }

    /// The new one, read from the disk: of the same shape, with every vector that was given under its id and nothing else, and found.
    fn prove(&self, old: &Held, shape: &Shape, given: Content) -> anyhow::Result<()> {
        let path: &Path = &waiting(&old.path);
        let index = Index::open(path)?;
        anyhow::ensure!(
            index.shape == *shape,
            "the new index is {} instead of {shape}",
            index.shape
        );
        let map = old.map.as_ref().map(|map| waiting(map.path()));
        let map = map.as_deref().map(Positions::open).transpose()?;
        let new = Held::new(path.to_owned(), index, map);
        let held = Content::of(&new, &self.context.stop)?;
        anyhow::ensure!(
            held == given && new.nameless == 0 && new.surplus == 0,
            "the new index does not hold what was read from the table: {} instead of {}, or others",
            count(held.vectors, "vector"),
            given.vectors
        );
        new.index.require_found(&old.index, &self.context.stop)
    }
}

/// Vectors with their ids, in any order: two that are equal hold the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    vectors: u64,
    sum: u64,
}

impl Content {
    fn of(held: &Held, stop: &Stop) -> anyhow::Result<Self> {
        let mut content = Self::default();
        let mut bytes = Vec::new();
        for entry in &held.index.entries {
            stop.check()?;
            held.index.vector(*entry, &mut bytes)?;
            content.add(entry.id, &bytes);
        }
        Ok(content)
    }

    fn add(&mut self, id: i64, vector: &[u8]) {
        let one = hash::mix(hash::bytes(vector), hash::scatter(id.cast_unsigned()));
        self.vectors += 1;
        self.sum = self.sum.wrapping_add(one);
    }
}

impl Work<'_> {
    /// Refuses what would call a vector by another's id, and what is not made from this table, or of it alone. The latter is told by
    /// what both have, so only as long as nothing has gone: where it is `settled` already, it is not asked again.
    pub(super) fn require_rebuildable(
        &self,
        held: &Held,
        drift: &Drift,
        settled: bool,
    ) -> anyhow::Result<()> {
        require_positions(held, drift)?;
        if settled {
            return Ok(());
        }
        require_its_table(held, drift)?;
        if drift.vectors > 0 && drift.common == 0 {
            return Err(refused(format!(
                "none of its {} is in the table: it was not made from it, or the rows are gone",
                count(drift.vectors, "id")
            ))
            .hint(
                "is [rag.tables] id the column of its ids? else have the application write it anew",
            )
            .into());
        }
        if matches!(self.when, When::Stale) && drift.missing > drift.common {
            return Err(refused(format!(
                "it holds {} of {} of the table, perhaps on purpose: built anew it would hold them all",
                drift.common,
                count(drift.rows, "row")
            ))
            .hint("empire-maint rag-clean --rebuild-index, once, where that is wanted")
            .into());
        }
        Ok(())
    }
}

fn require_positions(held: &Held, drift: &Drift) -> anyhow::Result<()> {
    let shape = &held.index.shape;
    let are_ids = drift.skipped == 0 && drift.consecutive;
    if shape.is_positional() && held.map.is_none() && !are_ids {
        return Err(refused(format!(
            "{shape} has positions for ids, and the ids of the table are not 0 to {}: built anew, it would call every vector by another's id",
            drift.rows.cast_signed() - 1
        ))
        .hint("positions_map of [[rag.index]] names the file with the id of each position; or have the application keep it in an IDMap2")
        .into());
    }
    Ok(())
}

fn require_its_table(held: &Held, drift: &Drift) -> anyhow::Result<()> {
    if drift.common > 0 && drift.moved * 2 > drift.common {
        return Err(refused(format!(
            "{} of {} vectors in it are others than those of the table: it was not made from them",
            drift.moved, drift.common
        ))
        .hint("are [rag.tables] vector and id the right columns? else have the application write it anew")
        .into());
    }
    if drift.rows == 0 && drift.skipped > 0 {
        return Err(refused(format!(
            "no vector of the table has its {} dimensions",
            held.index.shape.dimension
        ))
        .hint("have the application write it anew with the new model")
        .into());
    }
    Ok(())
}

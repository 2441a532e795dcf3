//! Who can be reached at all, and a way to those who cannot.

use std::sync::atomic::Ordering::Relaxed;

use super::search::Search;
use super::{Near, Net};
use crate::sys::Stop;

/// No vector.
const NOWHERE: u32 = u32::MAX;

impl Net<'_> {
    /// How many no way leads to.
    pub fn lost(&self) -> usize {
        let mut from = vec![NOWHERE; self.graph.ids.len()];
        if let Ok(entry) = u32::try_from(self.graph.entry) {
            self.reach(entry, entry, &mut from);
        }
        from.iter().filter(|from| **from == NOWHERE).count()
    }

    /// Gives those that no way leads to a place among the neighbours of those that are near to them. A link by which another was
    /// first reached stays, so that no way is lost.
    pub fn connect(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let count = u32::try_from(self.graph.ids.len())?;
        let Ok(entry) = u32::try_from(self.graph.entry) else {
            return Ok(());
        };
        let mut search = Search::new(self.graph.ids.len());
        let mut from = vec![NOWHERE; self.graph.ids.len()];
        self.reach(entry, entry, &mut from);
        let most = 4 * usize::try_from(self.parameters.ef_construction).unwrap_or(1);
        for at in 0..count {
            if from[at as usize] != NOWHERE {
                continue;
            }
            stop.check()?;
            let near = search.nearest(self, self.space().vector(at), most);
            // Those that are near come first; of the others any has room.
            let place = near
                .iter()
                .map(|one: &Near| one.at)
                .chain(0..count)
                // The search came from above, where a way may lead to others that are lost too.
                .filter(|&one| from[one as usize] != NOWHERE)
                .find_map(|one| Some((one, self.place(one, &from)?)));
            if let Some((one, slot)) = place {
                self.graph.neighbours[slot].store(at.cast_signed(), Relaxed);
                self.reach(at, one, &mut from);
            }
        }
        Ok(())
    }

    /// A slot of `at` that is free, or whose neighbour is reached another way.
    fn place(&self, at: u32, from: &[u32]) -> Option<usize> {
        let there = |slot: usize| self.graph.neighbours[slot].load(Relaxed);
        let free = self.slots(at, 0).find(|&slot| there(slot) < 0);
        free.or_else(|| {
            let is_spare =
                |&slot: &usize| usize::try_from(there(slot)).is_ok_and(|one| from[one] != at);
            self.slots(at, 0).rev().find(is_spare)
        })
    }

    /// Notes of everything to which a way leads from `at` along the lowest level where it came from; `at` itself from `before`.
    fn reach(&self, at: u32, before: u32, from: &mut [u32]) {
        from[at as usize] = before;
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            for one in self.neighbours(at, 0) {
                if from[one as usize] == NOWHERE {
                    from[one as usize] = at;
                    next.push(one);
                }
            }
        }
    }
}

//! The way through a graph to what is nearest.

use super::{Near, Net};
use crate::faiss::distance::Space;
use crate::faiss::rough::Rough;

/// A vector to look from.
#[derive(Clone, Copy)]
pub enum Query<'a> {
    /// With all its numbers.
    Exact(Space<'a>, &'a [f32]),
    /// One of those that are known roughly.
    Rough(&'a Rough, u32),
}

impl Query<'_> {
    /// How far these are, in their order; of those that are not nearer than that perhaps no more than just this.
    fn all(&self, which: &[u32], than: f32, into: &mut Vec<f32>) {
        match self {
            Self::Exact(space, query) => space.all(query, which, into),
            Self::Rough(rough, at) => rough.all(*at, which, than, into),
        }
    }

    /// True when one of these is nearer than that.
    pub fn any_within(&self, which: &[u32], than: f32) -> bool {
        match self {
            Self::Exact(space, query) => space.any_within(query, which, than),
            Self::Rough(rough, at) => rough.any_within(*at, which, than),
        }
    }
}

/// What a search needs, kept from one to the next.
pub struct Search {
    marks: Marks,
    pool: Vec<Step>,
    unseen: Vec<u32>,
    far: Vec<f32>,
}

/// One of the nearest so far.
#[derive(Clone, Copy)]
struct Step {
    near: Near,
    /// Its neighbours were looked at.
    done: bool,
}

impl Search {
    /// In a graph of so many.
    pub fn new(count: usize) -> Self {
        Self {
            marks: Marks::new(count),
            pool: Vec::new(),
            unseen: Vec::new(),
            far: Vec::new(),
        }
    }

    /// The nearest of the whole graph, sorted, with so many candidates.
    pub fn nearest(&mut self, net: &Net<'_>, query: &[f32], most: usize) -> Vec<Near> {
        let query = Query::Exact(net.space(), query);
        match self.descend(net, &query, 0) {
            Some(from) => self.along(net, &query, from, 0, most),
            None => Vec::new(),
        }
    }

    /// From the entry to the nearest above `level`.
    pub fn descend(&mut self, net: &Net<'_>, query: &Query<'_>, level: usize) -> Option<Near> {
        let entry = u32::try_from(net.graph.entry).ok()?;
        query.all(&[entry], f32::INFINITY, &mut self.far);
        let mut nearest = Near {
            far: self.far.first().copied()?,
            at: entry,
        };
        for upper in (level + 1..=net.top()).rev() {
            loop {
                self.unseen.clear();
                self.unseen.extend(net.neighbours(nearest.at, upper));
                query.all(&self.unseen, nearest.far, &mut self.far);
                let pairs = self.unseen.iter().zip(&self.far);
                match pairs.map(|(&at, &far)| Near { far, at }).min() {
                    Some(nearer) if nearer.far < nearest.far => nearest = nearer,
                    _ => break,
                }
            }
        }
        Some(nearest)
    }

    /// The nearest on one level, sorted.
    pub fn along(
        &mut self,
        net: &Net<'_>,
        query: &Query<'_>,
        from: Near,
        level: usize,
        most: usize,
    ) -> Vec<Near> {
        let most = most.max(1);
        self.marks.next();
        self.marks.see(from.at);
        self.pool.clear();
        self.pool.push(Step {
            near: from,
            done: false,
        });
        let mut next = 0;
        while next < self.pool.len() {
            if self.pool[next].done {
                next += 1;
                continue;
            }
            self.pool[next].done = true;
            let at = self.pool[next].near.at;
            self.unseen.clear();
            let marks = &mut self.marks;
            self.unseen
                .extend(net.neighbours(at, level).filter(|&one| marks.see(one)));
            let furthest = self
                .pool
                .get(most - 1)
                .map_or(f32::INFINITY, |one| one.near.far);
            query.all(&self.unseen, furthest, &mut self.far);
            for (&at, &far) in self.unseen.iter().zip(&self.far) {
                let near = Near { far, at };
                let is_full = self.pool.len() >= most;
                if is_full && self.pool.last().is_some_and(|worst| far >= worst.near.far) {
                    continue;
                }
                if is_full {
                    self.pool.pop();
                }
                let place = self.pool.partition_point(|one| one.near < near);
                self.pool.insert(place, Step { near, done: false });
                next = next.min(place);
            }
        }
        self.pool.iter().map(|step| step.near).collect()
    }
}

/// Which vectors a search has seen.
struct Marks {
    seen: Vec<u8>,
    round: u8,
}

impl Marks {
    fn new(count: usize) -> Self {
        Self {
            seen: vec![0; count],
            round: 0,
        }
    }

    fn next(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
    }

    /// True the first time.
    fn see(&mut self, at: u32) -> bool {
        let mark = &mut self.seen[at as usize];
        let new = *mark != self.round;
        *mark = self.round;
        new
    }
}

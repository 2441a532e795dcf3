//! Builds an HNSW graph (Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>) in FAISS's layout. The same vectors give the same
//! graph on every machine and any number of threads: neighbours are looked for in pieces against a graph that stands still, and
//! linked one after another.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::read::Index;
use super::write::Rows;
use super::{Metric, Parameters, Shape, assign};
use crate::error::{damaged, refused};
use crate::sys::{Stop, machine};

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Vectors that are looked for at once, at most: they don't see each other.
const PIECE: usize = 256;

/// No vector.
const NOWHERE: u32 = u32::MAX;

/// A graph with its vectors.
pub struct Graph {
    pub ids: Vec<i64>,
    pub vectors: Vec<f32>,
    /// The highest level of each vector.
    pub levels: Vec<u8>,
    /// Where the neighbours of each begin.
    pub offsets: Vec<usize>,
    /// Positions; -1 for none.
    pub neighbours: Vec<i32>,
    pub entry: i32,
    pub top: i32,
}

/// A vector and how far it is; the furthest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    pub far: f32,
    pub at: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.far.total_cmp(&other.far).then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes all vectors in and links them.
pub fn build(
    shape: &Shape,
    parameters: &Parameters,
    count: u64,
    rows: &Rows<'_>,
    stop: &Stop,
) -> anyhow::Result<Graph> {
    let count = usize::try_from(count)?;
    if i32::try_from(count).is_err() {
        return Err(refused(format!("{count} vectors are more than a graph can hold")).into());
    }
    let mut graph = Graph {
        ids: Vec::with_capacity(count),
        vectors: Vec::with_capacity(count * shape.dimension),
        levels: Vec::with_capacity(count),
        offsets: vec![0],
        neighbours: Vec::new(),
        entry: -1,
        top: -1,
    };
    let mut random = SEED;
    rows(&mut |id, bytes| {
        assign::numbers(bytes, &mut graph.vectors);
        graph.ids.push(id);
        let level = random_level(&parameters.probabilities, &mut random);
        let most = parameters.cumulative.len().saturating_sub(2);
        let level = level.min(most);
        graph.levels.push(u8::try_from(level)?);
        let end = graph.offsets.last().copied().unwrap_or(0) + parameters.end_of(level + 1);
        graph.offsets.push(end);
        Ok(())
    })?;
    let links = graph.offsets.last().copied().unwrap_or(0);
    graph.neighbours = vec![-1; links];
    let mut builder = Net {
        graph,
        parameters,
        metric: shape.metric,
        dimension: shape.dimension,
    };
    builder.link_all(stop)?;
    builder.connect(stop)?;
    Ok(builder.graph)
}

/// How much of the ten nearest a search with the index's own settings finds, of a sample of its vectors; and how many vectors no way
/// leads to.
pub fn quality(
    index: &Index,
    parameters: &Parameters,
    stop: &Stop,
) -> anyhow::Result<(f64, usize)> {
    const SAMPLE: usize = 64;
    const NEAREST: usize = 10;
    let Some(searcher) = load(index, parameters)? else {
        return Ok((1.0, 0));
    };
    let count = searcher.graph.ids.len();
    let entry = searcher.graph.entry.cast_unsigned();
    let mut from = vec![NOWHERE; count];
    searcher.reach(entry, entry, &mut from);
    let lost = from.iter().filter(|from| **from == NOWHERE).count();
    let mut marks = Marks::new(count);
    let wanted = NEAREST.min(count);
    let most = usize::try_from(parameters.ef_search)
        .unwrap_or(1)
        .max(wanted);
    let (mut hits, mut queries) = (0, 0);
    for query in (0..u32::try_from(count)?).step_by((count / SAMPLE).max(1)) {
        stop.check()?;
        let vector = searcher.vector(query);
        let mut exact = BinaryHeap::with_capacity(wanted + 1);
        for at in 0..u32::try_from(count)? {
            exact.push(Near {
                far: searcher.far(vector, at),
                at,
            });
            if exact.len() > wanted {
                exact.pop();
            }
        }
        // One that is as near as the last of them is as good.
        let worst = exact.peek().map_or(f32::INFINITY, |one| one.far);
        let found = searcher.nearest(vector, most, &mut marks);
        hits += found
            .iter()
            .take(wanted)
            .filter(|one| one.far <= worst)
            .count();
        queries += 1;
    }
    Ok((hits as f64 / (queries * wanted) as f64, lost))
}

/// The graph of a file; none of an empty one.
pub fn load<'a>(index: &Index, parameters: &'a Parameters) -> anyhow::Result<Option<Net<'a>>> {
    let Some(place) = index.graph.filter(|_| !index.entries.is_empty()) else {
        return Ok(None);
    };
    let count = index.entries.len();
    let mut bytes = Vec::new();
    index.bytes(place.offsets, (count + 1) * 8, &mut bytes)?;
    let links = usize::try_from(place.links)?;
    let offsets: Vec<usize> = bytes
        .chunks_exact(8)
        .map(|eight| usize::try_from(u64::from_le_bytes(eight.try_into()?)).map_err(Into::into))
        .collect::<anyhow::Result<_>>()?;
    index.bytes(place.neighbours, links * 4, &mut bytes)?;
    let neighbours: Vec<i32> = bytes
        .chunks_exact(4)
        .map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect();
    let is_vector = |one: i32| usize::try_from(one).is_ok_and(|one| one < count);
    if !offsets.is_sorted()
        || offsets.last() != Some(&links)
        || !is_vector(place.entry)
        || neighbours.iter().any(|&one| one >= 0 && !is_vector(one))
        || usize::try_from(place.top).is_err()
    {
        return Err(damaged("its graph leads outside").into());
    }
    let first = index.entries.first().map_or(0, |one| one.offset);
    index.bytes(first, count * index.shape.width(), &mut bytes)?;
    let mut vectors = Vec::new();
    assign::numbers(&bytes, &mut vectors);
    Ok(Some(Net {
        graph: Graph {
            ids: index.entries.iter().map(|one| one.id).collect(),
            vectors,
            levels: Vec::new(),
            offsets,
            neighbours,
            entry: place.entry,
            top: place.top.min(64),
        },
        parameters,
        metric: index.shape.metric,
        dimension: index.shape.dimension,
    }))
}

/// By the share that each level has.
fn random_level(probabilities: &[f64], state: &mut u64) -> usize {
    // splitmix64
    *state = state.wrapping_add(SEED);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    let mut left = (bits >> 11) as f64 / (1u64 << 53) as f64;
    for (level, &share) in probabilities.iter().enumerate() {
        if left < share {
            return level;
        }
        left -= share;
    }
    probabilities.len().saturating_sub(1)
}

/// A graph that is built, or searched.
pub struct Net<'a> {
    pub graph: Graph,
    parameters: &'a Parameters,
    metric: Metric,
    dimension: usize,
}

impl Net<'_> {
    fn link_all(&mut self, stop: &Stop) -> anyhow::Result<()> {
        // The highest first, as the way in leads from above.
        let mut order: Vec<u32> = (0..u32::try_from(self.graph.ids.len())?).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.graph.levels[at as usize]));
        let Some((&first, rest)) = order.split_first() else {
            return Ok(());
        };
        self.graph.entry = first.cast_signed();
        self.graph.top = i32::from(self.graph.levels[first as usize]);
        let threads = machine::threads(0).max(1);
        let mut done = 1;
        let mut rest = rest;
        let mut marks: Vec<Marks> = (0..threads).map(|_| Marks::new(order.len())).collect();
        while !rest.is_empty() {
            stop.check()?;
            // A small graph grows in small steps: who is linked at once does not see the others.
            let size = (done / 50).clamp(1, PIECE).min(rest.len());
            let (piece, others) = rest.split_at(size);
            let found = self.find_piece(piece, &mut marks);
            for (&at, levels) in piece.iter().zip(found) {
                self.link(at, levels);
            }
            done += size;
            rest = others;
        }
        Ok(())
    }

    fn find_piece(&self, piece: &[u32], marks: &mut [Marks]) -> Vec<Vec<Vec<Near>>> {
        let share = piece.len().div_ceil(marks.len()).max(1);
        if piece.len() < 8 {
            return piece
                .iter()
                .map(|&at| self.find(at, &mut marks[0]))
                .collect();
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = piece
                .chunks(share)
                .zip(marks)
                .map(|(part, marks)| {
                    scope.spawn(move || {
                        part.iter()
                            .map(|&at| self.find(at, marks))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|part| {
                    part.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    /// The nearest on each level of the vector, from the lowest.
    fn find(&self, at: u32, marks: &mut Marks) -> Vec<Vec<Near>> {
        let level = usize::from(self.graph.levels[at as usize]);
        let query = self.vector(at);
        let most = usize::try_from(self.parameters.ef_construction).unwrap_or(1);
        let mut found = vec![Vec::new(); level + 1];
        let Some(mut nearest) = self.descend(query, level) else {
            return found;
        };
        for lower in (0..=level.min(self.top())).rev() {
            let near = self.search(query, nearest, lower, most, marks);
            if let Some(&first) = near.first() {
                nearest = first;
            }
            found[lower] = near;
        }
        found
    }

    /// The nearest of the whole graph, sorted, with so many candidates.
    pub fn nearest(&self, query: &[f32], most: usize, marks: &mut Marks) -> Vec<Near> {
        match self.descend(query, 0) {
            Some(from) => self.search(query, from, 0, most, marks),
            None => Vec::new(),
        }
    }

    fn top(&self) -> usize {
        usize::try_from(self.graph.top).unwrap_or(0)
    }

    /// From the entry to the nearest above `level`.
    fn descend(&self, query: &[f32], level: usize) -> Option<Near> {
        let entry = u32::try_from(self.graph.entry).ok()?;
        let near = |at| Near {
            far: self.far(query, at),
            at,
        };
        let mut nearest = near(entry);
        for upper in (level + 1..=self.top()).rev() {
            while let Some(nearer) = self
                .neighbours(nearest.at, upper)
                .map(near)
                .min()
                .filter(|one| one.far < nearest.far)
            {
                nearest = nearer;
            }
        }
        Some(nearest)
    }

    /// The nearest on one level, sorted.
    fn search(
        &self,
        query: &[f32],
        from: Near,
        level: usize,
        most: usize,
        marks: &mut Marks,
    ) -> Vec<Near> {
        let most = most.max(1);
        marks.next();
        marks.see(from.at);
        let mut candidates = BinaryHeap::from([std::cmp::Reverse(from)]);
        let mut best = BinaryHeap::from([from]);
        while let Some(std::cmp::Reverse(next)) = candidates.pop() {
            let worst = best.peek().map_or(f32::INFINITY, |one| one.far);
            if next.far > worst && best.len() >= most {
                break;
            }
            for one in self.neighbours(next.at, level) {
                if !marks.see(one) {
                    continue;
                }
                let near = Near {
                    far: self.far(query, one),
                    at: one,
                };
                let worst = best.peek().map_or(f32::INFINITY, |one| one.far);
                if best.len() < most || near.far < worst {
                    candidates.push(std::cmp::Reverse(near));
                    best.push(near);
                    if best.len() > most {
                        best.pop();
                    }
                }
            }
        }
        best.into_sorted_vec()
    }

    /// Gives those that no way leads to a place among the neighbours of those that are near to them. A link by which another was
    /// first reached stays, so that no way is lost.
    fn connect(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let count = u32::try_from(self.graph.ids.len())?;
        let Ok(entry) = u32::try_from(self.graph.entry) else {
            return Ok(());
        };
        let mut marks = Marks::new(self.graph.ids.len());
        let mut from = vec![NOWHERE; self.graph.ids.len()];
        self.reach(entry, entry, &mut from);
        let most = 4 * usize::try_from(self.parameters.ef_construction).unwrap_or(1);
        for at in 0..count {
            if from[at as usize] != NOWHERE {
                continue;
            }
            stop.check()?;
            let near = self.nearest(self.vector(at), most, &mut marks);
            // Those that are near come first; of the others any has room.
            let place = near
                .iter()
                .map(|one| one.at)
                .chain(0..count)
                // The search came from above, where a way may lead to others that are lost too.
                .filter(|&one| from[one as usize] != NOWHERE)
                .find_map(|one| Some((one, self.place(one, &from)?)));
            if let Some((one, slot)) = place {
                self.graph.neighbours[slot] = at.cast_signed();
                self.reach(at, one, &mut from);
            }
        }
        Ok(())
    }

    /// A slot of `at` that is free, or whose neighbour is reached another way.
    fn place(&self, at: u32, from: &[u32]) -> Option<usize> {
        let free = self
            .range(at, 0)
            .find(|&slot| self.graph.neighbours[slot] < 0);
        free.or_else(|| {
            self.range(at, 0).rev().find(|&slot| {
                usize::try_from(self.graph.neighbours[slot]).is_ok_and(|one| from[one] != at)
            })
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

    fn link(&mut self, at: u32, levels: Vec<Vec<Near>>) {
        for (level, near) in levels.into_iter().enumerate().rev() {
            let most = self.parameters.most_at(level);
            let chosen = self.spread(&near, most);
            for (slot, one) in self.range(at, level).zip(&chosen) {
                self.graph.neighbours[slot] = one.at.cast_signed();
            }
            for one in chosen {
                self.link_back(one, at, level, most);
            }
        }
    }

    /// `at` becomes a neighbour of `one`, where there is room or it is better than another.
    fn link_back(&mut self, one: Near, at: u32, level: usize, most: usize) {
        let range = self.range(one.at, level);
        if let Some(free) = range.clone().find(|&slot| self.graph.neighbours[slot] < 0) {
            self.graph.neighbours[free] = at.cast_signed();
            return;
        }
        let own = self.vector(one.at);
        let mut near: Vec<_> = self
            .neighbours(one.at, level)
            .map(|other| Near {
                far: self.far(own, other),
                at: other,
            })
            .collect();
        near.push(Near { far: one.far, at });
        near.sort_unstable();
        let chosen = self.spread(&near, most);
        let mut left = chosen.iter().map(|one| one.at.cast_signed());
        for slot in range {
            self.graph.neighbours[slot] = left.next().unwrap_or(-1);
        }
    }

    /// Of the near ones, sorted, those that lead into different directions.
    fn spread(&self, near: &[Near], most: usize) -> Vec<Near> {
        let mut chosen: Vec<Near> = Vec::with_capacity(most);
        if near.len() < most {
            chosen.extend_from_slice(near);
            return chosen;
        }
        for one in near {
            let vector = self.vector(one.at);
            if chosen
                .iter()
                .all(|other| self.far(vector, other.at) >= one.far)
            {
                chosen.push(*one);
                if chosen.len() >= most {
                    break;
                }
            }
        }
        chosen
    }

    fn range(&self, at: u32, level: usize) -> std::ops::Range<usize> {
        let (begin, end) = (
            self.graph.offsets[at as usize],
            self.graph.offsets[at as usize + 1],
        );
        // Of a graph out of a file nothing is believed.
        let within = |level| (begin + self.parameters.end_of(level)).min(end);
        within(level)..within(level + 1)
    }

    fn neighbours(&self, at: u32, level: usize) -> impl Iterator<Item = u32> + '_ {
        self.graph.neighbours[self.range(at, level)]
            .iter()
            .take_while(|&&one| one >= 0)
            .map(|one| one.cast_unsigned())
    }

    fn vector(&self, at: u32) -> &[f32] {
        let begin = at as usize * self.dimension;
        &self.graph.vectors[begin..begin + self.dimension]
    }

    fn far(&self, query: &[f32], at: u32) -> f32 {
        assign::distance(self.metric, query, self.vector(at))
    }
}

/// Which vectors a search has seen.
pub struct Marks {
    seen: Vec<u32>,
    round: u32,
}

impl Marks {
    pub fn new(count: usize) -> Self {
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

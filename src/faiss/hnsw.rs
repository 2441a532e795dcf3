//! Builds an HNSW graph (Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>) in FAISS's layout. The same vectors give the same
//! graph on every machine and any number of threads: neighbours are looked for in pieces against a graph that stands still, and
//! linked one after another.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::write::Rows;
use super::{Metric, Parameters, Shape, assign};
use crate::error::refused;
use crate::sys::{Stop, machine};

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Vectors that are looked for at once, at most: they don't see each other.
const PIECE: usize = 256;

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
struct Near {
    far: f32,
    at: u32,
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
    let mut numbers = Vec::new();
    rows(&mut |id, bytes| {
        assign::numbers(bytes, &mut numbers);
        graph.vectors.extend_from_slice(&numbers);
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
    let mut builder = Builder {
        graph,
        parameters,
        metric: shape.metric,
        dimension: shape.dimension,
    };
    builder.link_all(stop)?;
    Ok(builder.graph)
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

struct Builder<'a> {
    graph: Graph,
    parameters: &'a Parameters,
    metric: Metric,
    dimension: usize,
}

impl Builder<'_> {
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
        let entry = self.graph.entry.cast_unsigned();
        let mut nearest = Near {
            far: self.far(query, entry),
            at: entry,
        };
        let top = usize::try_from(self.graph.top).unwrap_or(0);
        for upper in (level + 1..=top).rev() {
            while let Some(nearer) = self
                .neighbours(nearest.at, upper)
                .map(|one| Near {
                    far: self.far(query, one),
                    at: one,
                })
                .min()
                .filter(|one| one.far < nearest.far)
            {
                nearest = nearer;
            }
        }
        let mut found = vec![Vec::new(); level + 1];
        for lower in (0..=level.min(top)).rev() {
            let near = self.search(query, nearest, lower, marks);
            if let Some(&first) = near.first() {
                nearest = first;
            }
            found[lower] = near;
        }
        found
    }

    /// The nearest on one level, sorted.
    fn search(&self, query: &[f32], from: Near, level: usize, marks: &mut Marks) -> Vec<Near> {
        let most = usize::try_from(self.parameters.ef_construction)
            .unwrap_or(1)
            .max(1);
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
        let begin = self.graph.offsets[at as usize];
        begin + self.parameters.end_of(level)..begin + self.parameters.end_of(level + 1)
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
struct Marks {
    seen: Vec<u32>,
    round: u32,
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

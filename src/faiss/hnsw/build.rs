//! Builds a graph. The same vectors give the same one on every machine and any number of threads: neighbours are looked for in pieces
//! against a graph that stands still, then each list that gets new ones is made anew from what was found, in a fixed order.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize};

use super::search::{Query, Search};
use super::{Graph, Near, Net};
use crate::error::refused;
use crate::faiss::SEED;
use crate::faiss::rough::Rough;
use crate::faiss::{Parameters, Shape, Vectors, assign};
use crate::hash::Numbers;
use crate::sys::{Stop, machine};

/// Vectors that are looked for at once, at most: they don't see each other.
const PIECE: usize = 256;
/// Work that a thread takes at a time, and less than which one thread does alone.
const SHARE: usize = 2;

/// Takes all vectors in and links them.
pub fn build(
    shape: &Shape,
    parameters: &Parameters,
    vectors: &Vectors<'_>,
    stop: &Stop,
) -> anyhow::Result<Graph> {
    let count = usize::try_from(vectors.count)?;
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
    let mut random = Numbers::new(SEED);
    (vectors.rows)(&mut |id, bytes| {
        assign::numbers(bytes, &mut graph.vectors);
        graph.ids.push(id);
        let level = random_level(&parameters.probabilities, random.next());
        let most = parameters.cumulative.len().saturating_sub(2);
        let level = level.min(most);
        graph.levels.push(u8::try_from(level)?);
        let end = graph.offsets.last().copied().unwrap_or(0) + parameters.end_of(level + 1);
        graph.offsets.push(end);
        Ok(())
    })?;
    (vectors.read)()?;
    let links = graph.offsets.last().copied().unwrap_or(0);
    graph.neighbours.resize_with(links, || AtomicI32::new(-1));
    let mut builder = Builder {
        net: Net {
            graph,
            parameters,
            metric: shape.metric,
            dimension: shape.dimension,
        },
        far: Vec::new(),
        rough: None,
    };
    builder.far.resize_with(links, AtomicU32::default);
    builder.rough = Rough::faithful(&builder.net.space());
    builder.link_all(random, stop)?;
    builder.net.connect(stop)?;
    Ok(builder.net.graph)
}

/// By the share that each level has.
fn random_level(probabilities: &[f64], bits: u64) -> usize {
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
    net: Net<'a>,
    /// How far each neighbour is, slot by slot: the bits of the number.
    far: Vec<AtomicU32>,
    /// To search in; none where only the vectors themselves can be told apart.
    rough: Option<Rough>,
}

/// One that has become a neighbour, and has to learn of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Back {
    level: usize,
    of: u32,
    near: Near,
}

impl Builder<'_> {
    fn link_all(&mut self, mut random: Numbers, stop: &Stop) -> anyhow::Result<()> {
        // The highest first, as the way in leads from above; among them in no order, as those whose ids follow each other are often
        // near to each other, and would not see each other.
        let levels = &self.net.graph.levels;
        let mut order: Vec<(u8, u64, u32)> = (0..u32::try_from(levels.len())?)
            .map(|at| (u8::MAX - levels[at as usize], random.next(), at))
            .collect();
        order.sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|(_, _, at)| at).collect();
        let Some((&first, mut rest)) = order.split_first() else {
            return Ok(());
        };
        self.net.graph.entry = first.cast_signed();
        self.net.graph.top = i32::from(levels[first as usize]);
        let mut hands: Vec<Search> = (0..machine::threads(0).max(1))
            .map(|_| Search::new(order.len()))
            .collect();
        let mut done = 1;
        while !rest.is_empty() {
            stop.check()?;
            // A small graph grows in small steps: who is linked at once does not see the others.
            let size = (done / 50).clamp(1, PIECE).min(rest.len());
            let (piece, others) = rest.split_at(size);
            self.link(piece, &mut hands);
            done += size;
            rest = others;
        }
        Ok(())
    }

    /// Finds the neighbours of each of these, then tells the neighbours.
    fn link(&self, piece: &[u32], hands: &mut [Search]) {
        let mut backs = share(hands, piece, |search, &at| self.enter(at, search)).concat();
        backs.sort_unstable();
        let lists: Vec<&[Back]> = backs
            .chunk_by(|a, b| (a.level, a.of) == (b.level, b.of))
            .collect();
        share(hands, &lists, |_, backs| self.take(backs));
    }

    /// Gives a new one, to which no way leads yet, its neighbours on each of its levels, and says who they are.
    fn enter(&self, at: u32, search: &mut Search) -> Vec<Back> {
        let net = &self.net;
        let level = usize::from(net.graph.levels[at as usize]);
        let query = self.query(at);
        let most = usize::try_from(net.parameters.ef_construction).unwrap_or(1);
        let mut backs = Vec::new();
        let Some(mut nearest) = search.descend(net, &query, level) else {
            return backs;
        };
        for level in (0..=level.min(net.top())).rev() {
            let near = search.along(net, &query, nearest, level, most);
            if let Some(&first) = near.first() {
                nearest = first;
            }
            let chosen = self.spread(near, net.parameters.most_at(level));
            self.set(at, level, &chosen);
            backs.extend(chosen.into_iter().map(|one| Back {
                level,
                of: one.at,
                near: Near { far: one.far, at },
            }));
        }
        backs
    }

    /// One to look from.
    fn query(&self, at: u32) -> Query<'_> {
        let space = self.net.space();
        match &self.rough {
            Some(rough) => Query::Rough(rough, at),
            None => Query::Exact(space, space.vector(at)),
        }
    }

    /// Of the near ones, sorted, those that lead into different directions; all where there are fewer than have room.
    fn spread(&self, near: Vec<Near>, most: usize) -> Vec<Near> {
        if near.len() < most {
            return near;
        }
        let mut chosen = Vec::with_capacity(most);
        let mut which: Vec<u32> = near.iter().map(|one| one.at).collect();
        if let Some(rough) = &self.rough {
            rough.fetch(&which, self.net.dimension);
        }
        which.clear();
        for one in near {
            if !self.query(one.at).any_within(&which, one.far) {
                chosen.push(one);
                which.push(one.at);
                if chosen.len() >= most {
                    break;
                }
            }
        }
        chosen
    }

    /// Gives one those that are new, all on one level: beside the others where there is room, else the best of them stay.
    fn take(&self, backs: &[Back]) {
        let (of, level) = (backs[0].of, backs[0].level);
        let slots = self.net.slots(of, level);
        let most = slots.len();
        let mut near: Vec<Near> = self
            .net
            .neighbours(of, level)
            .zip(slots)
            .map(|(at, slot)| Near {
                far: f32::from_bits(self.far[slot].load(Relaxed)),
                at,
            })
            .collect();
        near.extend(backs.iter().map(|back| back.near));
        if near.len() > most {
            near.sort_unstable();
            near = self.spread(near, most);
        }
        self.set(of, level, &near);
    }

    fn set(&self, at: u32, level: usize, list: &[Near]) {
        let neighbours = &self.net.graph.neighbours;
        let mut slots = self.net.slots(at, level);
        for (one, slot) in list.iter().zip(&mut slots) {
            neighbours[slot].store(one.at.cast_signed(), Relaxed);
            self.far[slot].store(one.far.to_bits(), Relaxed);
        }
        // After the first that is free all are.
        for slot in slots.take_while(|&slot| neighbours[slot].load(Relaxed) >= 0) {
            neighbours[slot].store(-1, Relaxed);
        }
    }
}

/// Work on all items, by as many threads as there are hands; what comes of it in the order of the items.
fn share<T: Sync, R: Send>(
    hands: &mut [Search],
    items: &[T],
    work: impl Fn(&mut Search, &T) -> R + Sync,
) -> Vec<R> {
    if items.len() < SHARE {
        let hand = &mut hands[0];
        return items.iter().map(|item| work(hand, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let (next, work) = (&next, &work);
    let mut parts: Vec<(usize, Vec<R>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = hands
            .iter_mut()
            .map(|hand| {
                scope.spawn(move || {
                    let mut parts = Vec::new();
                    loop {
                        let begin = next.fetch_add(SHARE, Relaxed);
                        let Some(left) = items.get(begin..).filter(|left| !left.is_empty()) else {
                            return parts;
                        };
                        let own = left.iter().take(SHARE);
                        parts.push((begin, own.map(|item| work(hand, item)).collect()));
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    parts.sort_unstable_by_key(|(begin, _)| *begin);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}

//! What a graph is worth: how much of what is nearest is found in it.

use std::collections::BinaryHeap;

use super::search::Search;
use super::{Near, Net};
use crate::faiss::Parameters;
use crate::faiss::read::Index;
use crate::sys::{Stop, machine};

const NEAREST: usize = 10;
/// Vectors that are compared at once.
const PIECE: usize = 256;

/// How much of the ten nearest a search with the index's own settings finds, from these of its vectors; and how many vectors no way
/// leads to.
pub fn quality(
    index: &Index,
    parameters: &Parameters,
    queries: &[u32],
    stop: &Stop,
) -> anyhow::Result<(f64, usize)> {
    let Some(net) = Net::load(index, parameters)? else {
        return Ok((1.0, 0));
    };
    let count = net.graph.ids.len();
    let mut search = Search::new(count);
    let wanted = NEAREST.min(count);
    let most = usize::try_from(parameters.ef_search)
        .unwrap_or(1)
        .max(wanted);
    let mut hits = 0;
    for (&query, worst) in queries.iter().zip(furthest(&net, queries, wanted, stop)?) {
        // One that is as near as the last of them is as good.
        hits += search
            .nearest(&net, net.space().vector(query), most)
            .iter()
            .take(wanted)
            .filter(|one| one.far <= worst)
            .count();
    }
    let all = (queries.len() * wanted).max(1);
    Ok((hits as f64 / all as f64, net.lost()))
}

/// How far the last of the nearest to each is, by looking at all. Each thread takes some of the queries to a piece of the vectors at a
/// time, which stays near the processor meanwhile.
fn furthest(
    net: &Net<'_>,
    queries: &[u32],
    wanted: usize,
    stop: &Stop,
) -> anyhow::Result<Vec<f32>> {
    let space = net.space();
    let all: Vec<u32> = (0..u32::try_from(space.count())?).collect();
    let look = |queries: &[u32]| -> anyhow::Result<Vec<f32>> {
        let mut nearest = vec![BinaryHeap::with_capacity(wanted + 1); queries.len()];
        let mut far = Vec::new();
        for piece in all.chunks(PIECE) {
            stop.check()?;
            for (&query, nearest) in queries.iter().zip(&mut nearest) {
                space.all(space.vector(query), piece, &mut far);
                for (&at, &far) in piece.iter().zip(&far) {
                    nearest.push(Near { far, at });
                    if nearest.len() > wanted {
                        nearest.pop();
                    }
                }
            }
        }
        let last = |nearest: &BinaryHeap<Near>| nearest.peek().map_or(f32::INFINITY, |one| one.far);
        Ok(nearest.iter().map(last).collect())
    };
    let shares = machine::in_shares(queries, 1, look).into_iter();
    Ok(shares.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

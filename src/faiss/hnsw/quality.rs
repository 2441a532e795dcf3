//! What a graph is worth: how much of what is nearest is found in it.

use std::collections::BinaryHeap;

use super::search::Search;
use super::{Near, Net};
use crate::faiss::Parameters;
use crate::faiss::read::Index;
use crate::sys::Stop;

const NEAREST: usize = 10;
/// Vectors that are compared at once.
const PIECE: u32 = 256;

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
    for &query in queries {
        stop.check()?;
        let vector = net.space().vector(query);
        // One that is as near as the last of them is as good.
        let worst = furthest_of_nearest(&net, vector, wanted);
        hits += search
            .nearest(&net, vector, most)
            .iter()
            .take(wanted)
            .filter(|one| one.far <= worst)
            .count();
    }
    let all = (queries.len() * wanted).max(1);
    Ok((hits as f64 / all as f64, net.lost()))
}

/// How far the last of the nearest is, by looking at each.
fn furthest_of_nearest(net: &Net<'_>, vector: &[f32], wanted: usize) -> f32 {
    let space = net.space();
    let count = u32::try_from(space.count()).unwrap_or(u32::MAX);
    let mut exact = BinaryHeap::with_capacity(wanted + 1);
    let (mut piece, mut far): (Vec<u32>, _) = (Vec::new(), Vec::new());
    for begin in (0..count).step_by(PIECE as usize) {
        piece.clear();
        piece.extend(begin..begin.saturating_add(PIECE).min(count));
        space.all(vector, &piece, &mut far);
        for (&at, &far) in piece.iter().zip(&far) {
            exact.push(Near { far, at });
            if exact.len() > wanted {
                exact.pop();
            }
        }
    }
    exact.peek().map_or(f32::INFINITY, |one| one.far)
}

//! Groups: each item, the best first, joins the first one before it that it is like, or stands for itself. So the one that is kept of a
//! group is its best, everything that goes is like it, and a chain of small differences never joins two that differ.

use super::sketch::Sketches;
use crate::hash;
use crate::sys::Stop;

/// So many candidates of an item are looked at in one signal, and so many of them, the most promising, are compared. Only where
/// thousands of items are almost alike enough are there more.
const MOST_CANDIDATES: usize = 4096;
const MOST_COMPARED: usize = 64;
/// Items between two looks whether the run has to end.
const BETWEEN: usize = 256;

/// How two items are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same digest.
    Same,
    /// Texts that have nearly the same words.
    Near,
    /// Vectors that have nearly the same direction.
    Vector,
}

/// An item that is like the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Which.
    pub item: u32,
    /// How it is.
    pub kind: Kind,
    /// How much, from 0 to 1.
    pub likeness: f64,
}

/// Items that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The best of them.
    pub kept: u32,
    /// The others, the better ones first.
    pub members: Vec<Member>,
}

/// Finds the groups. `order` has every item once, the best first. Signals are asked in their order; what they propose, but for the
/// same digest, is shown to `compare` (the one that would be kept, then the other), which says how alike they are where that is enough.
pub fn groups(
    order: &[u32],
    signals: &[(Kind, &Sketches)],
    threads: usize,
    stop: &Stop,
    compare: &mut dyn FnMut(Kind, u32, u32) -> anyhow::Result<Option<f64>>,
) -> anyhow::Result<Vec<Group>> {
    let mut places = Vec::new();
    for (_, sketches) in signals {
        stop.check()?;
        places.push(Places::of(sketches, threads));
    }
    let mut found: Vec<Group> = Vec::new();
    let mut candidates = Vec::new();
    for (at, &item) in order.iter().enumerate() {
        if at % BETWEEN == 0 {
            stop.check()?;
        }
        let mut joined = false;
        for ((kind, sketches), places) in signals.iter().zip(&places) {
            places.candidates(item, &found, sketches, &mut candidates);
            for &(_, head) in candidates.iter().take(MOST_COMPARED) {
                let kept = found[head as usize].kept;
                let likeness = match kind {
                    Kind::Same => Some(1.0),
                    kind => compare(*kind, kept, item)?,
                };
                if let Some(likeness) = likeness {
                    let member = Member {
                        item,
                        kind: *kind,
                        likeness,
                    };
                    found[head as usize].members.push(member);
                    joined = true;
                    break;
                }
            }
            if joined {
                break;
            }
        }
        if !joined && places.iter().any(|places| places.has(item)) {
            let head = u32::try_from(found.len()).unwrap_or(u32::MAX);
            for places in &mut places {
                places.enter(item, head);
            }
            found.push(Group {
                kept: item,
                members: Vec::new(),
            });
        }
    }
    found.retain(|group| !group.members.is_empty());
    Ok(found)
}

/// Where the items of a signal meet: each band has places of those that agree in it. An item that meets nobody has none.
struct Places {
    /// For each item, from where on its places stand; the last is the end.
    of_item: Vec<u32>,
    /// The places of the items, one after another.
    places: Vec<u32>,
    /// For each place, from where on its heads stand, and how many have entered.
    heads_from: Vec<u32>,
    entered: Vec<u32>,
    heads: Vec<u32>,
}

impl Places {
    fn of(sketches: &Sketches, threads: usize) -> Self {
        let bands = sketches.bands;
        let threads = threads.clamp(1, bands.count);
        let mut meetings: Vec<Vec<(u32, u32)>> = Vec::new();
        std::thread::scope(|scope| {
            let share = |first: usize| {
                (first..bands.count)
                    .step_by(threads)
                    .map(|band| meet(sketches, band))
                    .collect::<Vec<_>>()
            };
            let others: Vec<_> = (1..threads)
                .map(|first| scope.spawn(move || share(first)))
                .collect();
            let mut shares = vec![share(0)];
            for other in others {
                shares.push(
                    other
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                );
            }
            // In the order of the bands, whoever made them.
            meetings = (0..bands.count)
                .map(|band| std::mem::take(&mut shares[band % threads][band / threads]))
                .collect();
        });
        let mut all = Self {
            of_item: vec![0; sketches.len() + 1],
            places: Vec::new(),
            heads_from: vec![0],
            entered: Vec::new(),
            heads: Vec::new(),
        };
        let mut total = 0;
        for &(item, _) in meetings.iter().flatten() {
            all.of_item[item as usize + 1] += 1;
            total += 1;
        }
        for at in 1..all.of_item.len() {
            all.of_item[at] += all.of_item[at - 1];
        }
        all.places = vec![0; total];
        all.heads = vec![0; total];
        let mut next = all.of_item.clone();
        for meeting in meetings {
            let first = all.entered.len();
            for (item, place) in meeting {
                let place = first + place as usize;
                if place == all.entered.len() {
                    all.entered.push(0);
                    all.heads_from.push(all.heads_from[place]);
                }
                all.heads_from[place + 1] += 1;
                let slot = &mut next[item as usize];
                all.places[*slot as usize] = u32::try_from(place).unwrap_or(u32::MAX);
                *slot += 1;
            }
        }
        all
    }

    fn of_item(&self, item: u32) -> &[u32] {
        let range = self.of_item[item as usize] as usize..self.of_item[item as usize + 1] as usize;
        &self.places[range]
    }

    fn has(&self, item: u32) -> bool {
        !self.of_item(item).is_empty()
    }

    fn enter(&mut self, item: u32, head: u32) {
        let range = self.of_item[item as usize] as usize..self.of_item[item as usize + 1] as usize;
        for &place in &self.places[range] {
            let place = place as usize;
            let slot = self.heads_from[place] + self.entered[place];
            self.heads[slot as usize] = head;
            self.entered[place] += 1;
        }
    }

    /// Heads that meet the item, with how much their sketches agree: the most alike first, then the better.
    fn candidates(
        &self,
        item: u32,
        found: &[Group],
        sketches: &Sketches,
        into: &mut Vec<(f64, u32)>,
    ) {
        into.clear();
        let mut heads = Vec::new();
        for &place in self.of_item(item) {
            let from = self.heads_from[place as usize] as usize;
            let entered = self.entered[place as usize] as usize;
            heads.extend_from_slice(&self.heads[from..from + entered.min(MOST_CANDIDATES)]);
            if heads.len() >= MOST_CANDIDATES {
                break;
            }
        }
        heads.sort_unstable();
        heads.dedup();
        let own = sketches.sketch(item);
        for head in heads {
            let agreement = sketches
                .bands
                .agreement(own, sketches.sketch(found[head as usize].kept));
            if agreement >= sketches.bands.least {
                into.push((agreement, head));
            }
        }
        into.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
}

/// Items that agree in a band with others, and the place of each, counted from 0.
fn meet(sketches: &Sketches, band: usize) -> Vec<(u32, u32)> {
    let bands = sketches.bands;
    let range = band * bands.bytes..(band + 1) * bands.bytes;
    let mut keys: Vec<u64> = (0u32..)
        .zip(&sketches.present)
        .filter(|(_, present)| **present)
        .map(|(item, _)| {
            let key = hash::bytes(&sketches.sketch(item)[range.clone()]);
            (key >> 32 << 32) | u64::from(item)
        })
        .collect();
    keys.sort_unstable();
    let mut found = Vec::new();
    let mut place = 0;
    for run in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        if run.len() > 1 {
            found.extend(run.iter().map(|&key| (key as u32, place)));
            place += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::similar::{Texts, Words, digest, likeness, normal};

    /// Groups of texts, in the order in which they stand.
    fn find(texts: &[String], least: f64, threads: usize) -> Vec<Group> {
        let mut near = Texts::new(least, threads);
        near.extend(&texts.iter().map(Some).collect::<Vec<_>>());
        let mut same = Sketches::of_digests();
        for text in texts {
            same.push(Some(&digest(b"", normal(text).as_bytes())));
        }
        let words: Vec<_> = texts.iter().map(|text| Words::of(text)).collect();
        let order: Vec<u32> = (0..texts.len() as u32).collect();
        let signals = [(Kind::Same, &same), (Kind::Near, &near.sketches)];
        let stop = Stop::after(Duration::from_secs(600));
        groups(&order, &signals, threads, &stop, &mut |_, kept, item| {
            let found = likeness(&words[kept as usize], &words[item as usize]);
            Ok((found >= least).then_some(found))
        })
        .expect("nothing fails")
    }

    fn text(seed: usize, words: usize) -> Vec<String> {
        (0..words)
            .map(|at| format!("w{}", (seed * 7919 + at * 104_729) % 99_991))
            .collect()
    }

    #[test]
    fn planted_pairs_are_found_and_nothing_else() {
        let mut texts = Vec::new();
        for seed in 0..500 {
            let mut words = text(seed, 100);
            texts.push(words.join(" "));
            // One word in a hundred is three runs of 98: a likeness of 95 in 101.
            words[50] = "changed".into();
            texts.push(words.join(" "));
        }
        let found = find(&texts, 0.9, 2);
        assert_eq!(found.len(), 500);
        for group in &found {
            let [member] = group.members.as_slice() else {
                panic!("{group:?}");
            };
            assert_eq!((group.kept + 1, member.kind), (member.item, Kind::Near));
            assert!((member.likeness - 95.0 / 101.0).abs() < 1e-9);
        }
        assert_eq!(found, find(&texts, 0.9, 1));
        assert!(find(&texts, 0.95, 2).is_empty());
    }

    #[test]
    fn short_texts_only_match_exactly() {
        let texts = [
            "Yes, it is.",
            "yes,  it is.",
            "yes it is",
            "Yes, it is not.",
        ]
        .map(str::to_owned);
        let found = find(&texts, 0.5, 1);
        let member = Member {
            item: 1,
            kind: Kind::Same,
            likeness: 1.0,
        };
        assert_eq!(
            found,
            [Group {
                kept: 0,
                members: vec![member]
            }]
        );
    }

    #[test]
    fn everything_that_goes_is_like_what_stays() {
        // Each differs from the next in one word, and the last from the first in all.
        let mut words = text(1, 60);
        let mut texts = vec![words.join(" ")];
        for at in 0..60 {
            words[at] = format!("other{at}");
            texts.push(words.join(" "));
        }
        let found = find(&texts, 0.8, 2);
        assert!(found.len() > 5, "{found:?}");
        for group in &found {
            for member in &group.members {
                let pair = [group.kept, member.item].map(|at| Words::of(&texts[at as usize]));
                assert!(likeness(&pair[0], &pair[1]) >= 0.8);
            }
        }
    }

    #[test]
    fn ten_thousand_times_the_same_is_one_group_at_once() {
        let texts = vec![text(1, 40).join(" "); 10_000];
        let found = find(&texts, 0.9, 2);
        assert_eq!((found.len(), found[0].members.len()), (1, 9_999));
    }
}

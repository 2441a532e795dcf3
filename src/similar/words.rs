//! The words of a text, and how much of them two texts have in common.

use std::collections::HashMap;

use super::normal::{Part, fold, parts, stands_alone};
use crate::hash::{self, Keyed};

/// Shorter texts only match exactly: in few words each one says much.
pub const LEAST_WORDS: usize = 20;
/// Longer texts only match exactly, so that comparing two takes a few milliseconds at most.
pub const MOST_BYTES: usize = 128 << 10;

/// Words of a text that are looked at together.
const RUN: usize = 3;

/// Bytes that are looked at together.
const EIGHT: usize = 8;

/// The words of a text, folded: runs of letters and digits. Whatever stands between them does not count.
#[derive(Default)]
pub struct Words {
    /// The text, with something of ASCII that is no letter between two words, and zeros behind it.
    folded: Vec<u8>,
    /// Where each word begins and ends.
    bounds: Vec<u32>,
}

impl Words {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.read(text);
        words
    }

    /// Those of another text, in the same place.
    pub fn read(&mut self, text: &str) {
        self.folded.clear();
        for part in parts(text) {
            match part {
                Part::Ascii(run) => self.folded.extend_from_slice(run),
                Part::Other(one) => self.push(one),
            }
        }
        self.folded.make_ascii_lowercase();
        self.folded.extend_from_slice(&[0; EIGHT]);
        self.bound();
    }

    /// One that is not ASCII.
    fn push(&mut self, one: char) {
        if !one.is_alphanumeric() {
            return self.folded.push(b' ');
        }
        let around: &[u8] = if stands_alone(one) { b" " } else { b"" };
        self.folded.extend_from_slice(around);
        let mut buffer = [0; 4];
        fold(one, |one| {
            let folded = one.encode_utf8(&mut buffer);
            self.folded.extend_from_slice(folded.as_bytes());
        });
        self.folded.extend_from_slice(around);
    }

    /// Where words begin and end: where a letter follows what is none, or the other way round. Eight bytes are looked at at once.
    fn bound(&mut self) {
        self.bounds.clear();
        let mut within = 0;
        for (from, eight) in (0..).step_by(EIGHT).zip(self.folded.as_chunks().0) {
            let letters = letters(u64::from_le_bytes(*eight));
            let mut changes = letters ^ (letters << 1 | within);
            within = letters >> 7;
            // The ninth bit is the first of the next eight.
            changes &= 0xff;
            while changes != 0 {
                self.bounds.push(from + changes.trailing_zeros());
                changes &= changes - 1;
            }
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bounds.len() / 2
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (bounds, _) = self.bounds.as_chunks();
        bounds.iter().map(|&bounds| self.within(bounds))
    }

    fn within(&self, [from, to]: [u32; 2]) -> &[u8] {
        &self.folded[from as usize..to as usize]
    }

    /// Whether the runs that begin at these words are the same.
    fn same_run(&self, at: u32, other: &Self, there: u32) -> bool {
        let [a, b] = [(self, at), (other, there)].map(|(words, at)| {
            let (bounds, _) = words.bounds.as_chunks();
            let run = &bounds[at as usize..at as usize + RUN];
            run.iter().map(|&bounds| words.within(bounds))
        });
        a.eq(b)
    }

    /// A number for each run of three words.
    pub(super) fn runs(&self, into: &mut Vec<u64>) {
        into.clear();
        let (mut first, mut second) = (0u64, 0u64);
        let (bounds, _) = self.bounds.as_chunks();
        for (at, &bounds) in bounds.iter().enumerate() {
            let third = self.number(bounds);
            if at + 1 >= RUN {
                into.push(hash::mix(hash::mix(first, second.rotate_left(21)), third));
            }
            (first, second) = (second, third);
        }
    }

    /// A number for a word. Most are short, and then how long they are decides no jump.
    fn number(&self, bounds: [u32; 2]) -> u64 {
        let word = self.within(bounds);
        let eight = self.folded[bounds[0] as usize..].first_chunk();
        match eight {
            Some(&eight) if word.len() <= EIGHT => {
                let rest = 8 * (EIGHT - word.len());
                let letters = u64::from_le_bytes(eight) << rest;
                hash::mix(letters, rest as u64)
            }
            _ => hash::bytes(word),
        }
    }
}

/// Which of eight bytes are of words: letters and digits of ASCII in lower case, and all that is not ASCII. Bit 0 is for the first.
fn letters(eight: u64) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let low = eight & !HIGH;
    // The high bit of each byte that is this one or a later one.
    let since = |byte: u8| low + (0x80 - u64::from(byte)) * ONES;
    let among = |first: u8, last: u8| since(first) & !since(last + 1);
    let found = (among(b'a', b'z') | among(b'0', b'9') | eight) & HIGH;
    // Each high bit is moved to its place in the highest byte.
    ((found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// A text that is compared with several.
#[derive(Default)]
pub struct Compared {
    words: Words,
    numbers: Vec<u64>,
    /// Its runs, each once, in the order of their numbers.
    runs: Vec<Run>,
    /// Two different runs have the same number.
    is_odd: bool,
}

/// Words of a text that follow each other: a number of them, and behind that which is the first of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run(u64);

impl Run {
    /// No text that is looked at has so many words.
    const PLACES: u64 = MOST_BYTES as u64;

    fn new(number: u64, at: u32) -> Self {
        debug_assert!(u64::from(at) < Self::PLACES, "a longer text");
        Self(number & !(Self::PLACES - 1) | u64::from(at))
    }

    fn number(self) -> u64 {
        self.0 & !(Self::PLACES - 1)
    }

    fn at(self) -> u32 {
        (self.0 & (Self::PLACES - 1)) as u32
    }
}

impl Compared {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        let mut found = Self::default();
        found.read(text);
        found
    }

    /// Another text, in the same place.
    pub fn read(&mut self, text: &str) {
        self.words.read(text);
        self.words.runs(&mut self.numbers);
        self.number();
    }

    fn number(&mut self) {
        self.runs.clear();
        let runs = self.numbers.iter().zip(0..);
        self.runs
            .extend(runs.map(|(&number, at)| Run::new(number, at)));
        self.runs.sort_unstable();
        self.is_odd = false;
        self.runs.dedup_by(|later, run| {
            let same = later.number() == run.number();
            self.is_odd |= same && !self.words.same_run(later.at(), &self.words, run.at());
            same
        });
    }

    /// Its words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// How much it is like another one, where that is at least so much.
    pub fn likeness(&self, other: &Self, least: f64) -> Option<f64> {
        let both = || common(&self.runs, &other.runs, |run| run.number());
        // Somebody may have made two words meet: then they are compared one by one.
        let mut is_odd = self.is_odd || other.is_odd;
        let mut found = share(both().count(), &self.runs, &other.runs);
        if found >= least {
            is_odd |= both().any(|(a, b)| !self.words.same_run(a.at(), &other.words, b.at()));
        }
        if is_odd {
            found = likeness(&self.words, &other.words);
        }
        Some(found).filter(|found| *found >= least)
    }
}

/// How much of their runs of three words two texts have in common, from 0 to 1 (Jaccard): on the words themselves, so that nothing
/// can look alike that is not.
pub fn likeness(a: &Words, b: &Words) -> f64 {
    let mut numbers = HashMap::with_capacity_and_hasher(a.len() + b.len(), Keyed::default());
    let mut numbered = Vec::with_capacity(a.len() + b.len());
    for word in a.iter().chain(b.iter()) {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        numbered.push(*numbers.entry(word).or_insert(next));
    }
    let (a, b) = numbered.split_at(a.len());
    let [a, b] = [a, b].map(|numbers| -> Vec<[u32; RUN]> {
        let runs = numbers.windows(RUN);
        let mut runs: Vec<_> = runs.map(|run| [run[0], run[1], run[2]]).collect();
        runs.sort_unstable();
        runs.dedup();
        runs
    });
    share(common(&a, &b, |run| *run).count(), &a, &b)
}

/// What is in two sets that are in the order of their keys.
fn common<'a, T, K: Ord>(
    mut a: &'a [T],
    mut b: &'a [T],
    key: impl Fn(&T) -> K,
) -> impl Iterator<Item = (&'a T, &'a T)> {
    std::iter::from_fn(move || {
        while let (Some(one), Some(other)) = (a.first(), b.first()) {
            let order = key(one).cmp(&key(other));
            a = &a[usize::from(order.is_le())..];
            b = &b[usize::from(order.is_ge())..];
            if order.is_eq() {
                return Some((one, other));
            }
        }
        None
    })
}

/// Jaccard's: how much of what two sets have they have in common.
fn share<T>(common: usize, a: &[T], b: &[T]) -> f64 {
    match a.len() + b.len() - common {
        0 => 0.0,
        all => common as f64 / all as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Words::of(text)
            .iter()
            .map(|word| String::from_utf8(word.to_vec()).expect("words are UTF-8"))
            .collect()
    }

    #[test]
    fn what_a_word_is() {
        assert_eq!(words("Don't, 3.5 GROẞE!"), ["don", "t", "3", "5", "grosse"]);
        assert_eq!(words("東京の abc都"), ["東", "京", "の", "abc", "都"]);
        assert!(words("…\0 -- \u{301}").is_empty());
    }

    #[test]
    fn likeness_is_that_of_the_sets_of_runs() {
        let like = |a: &str, b: &str| likeness(&Words::of(a), &Words::of(b));
        assert_eq!(like("a b c d", "A, b; c. D!"), 1.0);
        // abc bcd | abc bce
        assert_eq!(like("a b c d", "a b c e"), 1.0 / 3.0);
        assert_eq!(like("a b c d", "d c b a"), 0.0);
        assert_eq!(like("a b", "a b"), 0.0);
        assert_eq!(like("a a a a a", "a a a"), 1.0);
    }

    /// Compared by numbers, texts are as like as they are, even where words that differ have one number.
    #[test]
    fn numbers_that_meet_change_nothing() {
        let words = |numbers: &[u32]| -> String {
            numbers.iter().map(|number| format!("w{number} ")).collect()
        };
        let mut seed = crate::hash::Numbers::new(11);
        let mut next = |below: u64| u32::try_from(seed.next() % below).expect("fits");
        let mut alike = 0;
        for at in 0..300 {
            let first: Vec<u32> = (0..30 + at % 40).map(|_| next(60)).collect();
            let mut second = first.clone();
            for _ in 0..at % 9 {
                let place = next(30) as usize;
                second[place] = next(60);
            }
            let [a, b] = [&first, &second].map(|numbers| words(numbers));
            let truth = likeness(&Words::of(&a), &Words::of(&b));
            let told = |bits: u32| {
                let [a, b] = [&a, &b].map(|text| {
                    let mut found = Compared::default();
                    found.words.read(text);
                    found.words.runs(&mut found.numbers);
                    found
                        .numbers
                        .iter_mut()
                        .for_each(|number| *number &= !(u64::MAX >> bits));
                    found.number();
                    found
                });
                a.likeness(&b, 0.5)
            };
            for bits in [63, 12, 6, 1] {
                assert_eq!(
                    told(bits),
                    Some(truth).filter(|truth| *truth >= 0.5),
                    "{bits}: {a}; {b}"
                );
            }
            alike += u32::from(truth >= 0.5);
        }
        assert!((100..290).contains(&alike), "{alike}");
    }
}

//! What of a text counts: its normal form, its words and its numbers.

use std::collections::HashMap;

use crate::hash::{self, Keyed};

/// Shorter texts only match exactly: in few words each one says much.
pub const LEAST_WORDS: usize = 20;
/// Longer texts only match exactly, so that comparing two takes a few milliseconds at most.
pub const MOST_BYTES: usize = 128 << 10;

/// Words of a text that are looked at together.
const RUN: usize = 3;

/// What two texts have to have in common to be the same text: case folded, every run of blanks one blank, none at the ends,
/// nothing that cannot be seen, and typographic quotes, dashes and dots as they are typed. All other punctuation stays: `-5` is not
/// `5`, and `C++` is not `C`.
pub fn normal(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let (mut rest, mut blank) = (text.chars(), false);
    while let Some(one) = rest.next() {
        if one.is_whitespace() {
            blank = true;
            continue;
        }
        if is_unseen(one) {
            continue;
        }
        if blank && !found.is_empty() {
            found.push(' ');
        }
        blank = false;
        match one {
            _ if one.is_ascii() => {
                let typed = rest.as_str().bytes().take_while(u8::is_ascii_graphic);
                let (run, others) = rest.as_str().split_at(typed.count());
                found.push(one);
                found.push_str(run);
                rest = others.chars();
            }
            '‘' | '’' | '‚' | '‛' => found.push('\''),
            '“' | '”' | '„' | '‟' => found.push('"'),
            '‐'..='―' | '−' => found.push('-'),
            '…' => found.push_str("..."),
            _ => fold(one, |one| found.push(one)),
        }
    }
    found.make_ascii_lowercase();
    found
}

fn is_unseen(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Case folding, as near as lower, upper and again lower case come to it. A dotless i has no other case that means the same.
fn fold(one: char, mut push: impl FnMut(char)) {
    match one {
        _ if one.is_ascii() => push(one.to_ascii_lowercase()),
        'ı' => push(one),
        _ => one
            .to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .for_each(push),
    }
}

/// Scripts that put no blanks between words: each character counts as a word.
fn stands_alone(one: char) -> bool {
    matches!(one, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// The words of a text, folded: runs of letters and digits. Whatever stands between them does not count.
#[derive(Default)]
pub struct Words {
    /// The text, with something of ASCII that is no letter between two words.
    folded: Vec<u8>,
    /// Where each word begins and ends.
    bounds: Vec<usize>,
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
        let mut rest = text;
        loop {
            let ascii = match rest.is_ascii() {
                true => rest.len(),
                false => rest.bytes().take_while(u8::is_ascii).count(),
            };
            let (run, others) = rest.split_at(ascii);
            self.folded.extend_from_slice(run.as_bytes());
            let mut others = others.chars();
            let Some(one) = others.next() else {
                break;
            };
            self.push(one);
            rest = others.as_str();
        }
        self.folded.make_ascii_lowercase();
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

    /// Where words begin and end. Each place is written, and the next one over it where it is neither: no jump has to be guessed.
    fn bound(&mut self) {
        self.bounds.clear();
        self.bounds.resize(self.folded.len() + 1, 0);
        let (mut count, mut within) = (0, false);
        for (at, byte) in self.folded.iter().enumerate() {
            let letter = byte.is_ascii_alphanumeric() || !byte.is_ascii();
            self.bounds[count] = at;
            count += usize::from(letter != within);
            within = letter;
        }
        if within {
            self.bounds[count] = self.folded.len();
            count += 1;
        }
        self.bounds.truncate(count);
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
        bounds.iter().map(|&[from, to]| &self.folded[from..to])
    }

    /// Whether the runs that begin at these words are the same.
    fn same_run(&self, at: u32, other: &Self, there: u32) -> bool {
        let [a, b] = [(self, at), (other, there)].map(|(words, at)| {
            let (bounds, _) = words.bounds.as_chunks();
            let run = &bounds[at as usize..at as usize + RUN];
            run.iter().map(|&[from, to]| &words.folded[from..to])
        });
        a.eq(b)
    }

    /// A number for each run of three words.
    pub(super) fn runs(&self, into: &mut Vec<u64>) {
        into.clear();
        let (mut first, mut second) = (0u64, 0u64);
        for (at, word) in self.iter().enumerate() {
            let third = hash::bytes(word);
            if at + 1 >= RUN {
                into.push(hash::mix(hash::mix(first, second.rotate_left(21)), third));
            }
            (first, second) = (second, third);
        }
    }
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

/// Words of a text that follow each other.
#[derive(Clone, Copy)]
struct Run {
    number: u64,
    /// The first of them.
    at: u32,
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
            .extend(runs.map(|(&number, at)| Run { number, at }));
        self.runs.sort_unstable_by_key(|run| run.number);
        self.is_odd = false;
        self.runs.dedup_by(|later, run| {
            let same = later.number == run.number;
            self.is_odd |= same && !self.words.same_run(later.at, &self.words, run.at);
            same
        });
    }

    /// Its words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// How much it is like another one, where that is at least so much.
    pub fn likeness(&self, other: &Self, least: f64) -> Option<f64> {
        let both = || common(&self.runs, &other.runs, |run| run.number);
        // Somebody may have made two words meet: then they are compared one by one.
        let mut is_odd = self.is_odd || other.is_odd;
        let mut found = share(both().count(), &self.runs, &other.runs);
        if found >= least {
            is_odd |= both().any(|(a, b)| !self.words.same_run(a.at, &other.words, b.at));
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

/// True where two texts in their normal form have the same figures, prices, dates and versions in the same order.
pub fn same_numbers(a: &str, b: &str) -> bool {
    fn numbers(text: &str) -> impl Iterator<Item = &str> {
        const AROUND: &[char] = &[
            '(', ')', '[', ']', '{', '}', '"', '\'', ',', '.', ';', ':', '!', '?',
        ];
        text.split(' ')
            .map(|word| word.trim_matches(AROUND))
            .filter(|word| word.chars().any(char::is_numeric))
    }
    numbers(a).eq(numbers(b))
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
    fn the_normal_form() {
        for (a, b) in [
            ("  Hello,\n\tWorld \u{a0}!", "hello, world !"),
            ("STRASSE", "straße"),
            ("STRASSE", "STRAẞE"),
            ("ΟΔΟΣ", "οδος"),
            ("“It’s” — ten…", "\"it's\" - ten..."),
            ("so\u{ad}ft\u{feff}\0", "soft"),
        ] {
            assert_eq!(normal(a), normal(b));
        }
        for (a, b) in [
            ("-5", "5"),
            ("C++", "C"),
            ("1.5", "15"),
            ("ab", "a b"),
            ("kır", "kir"),
            ("e\u{301}", "e"),
        ] {
            assert_ne!(normal(a), normal(b));
        }
        assert_eq!(normal(" \n\0\u{200b} "), "");
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
                        .for_each(|number| *number >>= 64 - bits);
                    found.number();
                    found
                });
                a.likeness(&b, 0.5)
            };
            for bits in [64, 12, 6, 1] {
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

    #[test]
    fn other_numbers_say_something_else() {
        let same = |a: &str, b: &str| same_numbers(&normal(a), &normal(b));
        assert!(same("of 5 (see 3.1), then", "then: 5 see 3.1."));
        for (a, b) in [
            ("5 mg", "50 mg"),
            ("-5", "5"),
            ("1 2", "2 1"),
            ("1.5", "15"),
            ("5", "none"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}

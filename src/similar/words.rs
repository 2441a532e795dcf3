//! What of a text counts: its normal form, its words, its numbers and its signs.

use std::collections::HashMap;

use crate::hash::{self, Keyed};

/// Shorter texts only match exactly: in few words each one says much.
pub const LEAST_WORDS: usize = 20;
/// Longer texts only match exactly, so that comparing two takes a few milliseconds at most.
pub const MOST_BYTES: usize = 128 << 10;

/// Words of a text that are looked at together.
const RUN: usize = 3;

/// Bytes that are looked at together.
const EIGHT: usize = 8;

/// What two texts have to have in common to be the same text: case folded, every run of blanks one blank, none at the ends,
/// nothing that cannot be seen, and typographic quotes, dashes and dots as they are typed. All other punctuation stays: `-5` is not
/// `5`, and `C++` is not `C`. Beside numbers case counts, since `5 mW` is not `5 MW`: where it is not all lower there, what stands
/// there follows as it is, behind a zero.
pub fn normal(text: &str) -> String {
    let mut found = Vec::with_capacity(text.len());
    let mut blank = true;
    let mut buffer = [0; 4];
    for part in parts(text) {
        let one = match part {
            Part::Ascii(run) => {
                blank = push_normal(run, blank, &mut found);
                continue;
            }
            Part::Other(one) => one,
        };
        if one.is_whitespace() {
            if !blank {
                found.push(b' ');
            }
            blank = true;
            continue;
        }
        if is_unseen(one) {
            continue;
        }
        blank = false;
        match one {
            '‘' | '’' | '‚' | '‛' => found.push(b'\''),
            '“' | '”' | '„' | '‟' => found.push(b'"'),
            '‐'..='―' | '−' => found.push(b'-'),
            '…' => found.extend_from_slice(b"..."),
            _ => fold(one, |one| {
                found.extend_from_slice(one.encode_utf8(&mut buffer).as_bytes());
            }),
        }
    }
    if blank {
        found.pop();
    }
    let mut found = String::from_utf8(found).unwrap_or_default();
    push_case(text, &mut found);
    found
}

/// What parts the normal form from the case beside its numbers. No normal form has it.
const CASE: char = '\0';

/// What stands beside numbers, as it is written, where some of it is in upper case.
fn push_case(text: &str, found: &mut String) {
    // Most texts end here, or at their first number.
    if !text
        .bytes()
        .any(|one| one.is_ascii_uppercase() || !one.is_ascii())
    {
        return;
    }
    let is_upper = |word: &str| word.contains(char::is_uppercase);
    if !beside_numbers(text).flatten().any(is_upper) {
        return;
    }
    let mut before = CASE;
    for word in beside_numbers(text).flatten() {
        found.push(std::mem::replace(&mut before, ' '));
        found.extend(word.chars().filter(|one| one.is_alphanumeric()));
    }
}

/// Each word with a number, and the one behind it.
fn beside_numbers(text: &str) -> impl Iterator<Item = [&str; 2]> {
    let is_blank = char::is_whitespace;
    let split = move |text| -> (&str, &str) {
        let end = str::find(text, is_blank).unwrap_or(text.len());
        text.split_at(end)
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        let maybe = |one: u8| one.is_ascii_digit() || !one.is_ascii();
        let maybe = rest.bytes().position(maybe)?;
        let digit = maybe + rest[maybe..].find(char::is_numeric)?;
        let start = rest[..digit].trim_end_matches(|one| !is_blank(one)).len();
        let word;
        (word, rest) = split(&rest[start..]);
        Some([word, split(rest.trim_start()).0])
    })
}

/// What becomes of each byte of ASCII: nothing of what cannot be seen, which is 0 here.
const NORMAL: [u8; 128] = {
    let mut all = [0; 128];
    let mut byte = 0u8;
    while byte < 128 {
        all[byte as usize] = match byte {
            b' ' | b'\t'..=b'\r' => b' ',
            _ if byte.is_ascii_control() => 0,
            _ => byte.to_ascii_lowercase(),
        };
        byte += 1;
    }
    all
};

/// A run of ASCII in its normal form, without a jump a byte: each is written, and the next one over it where it does not count.
/// `blank`: what is there ends with a blank, or there is nothing; says the same of what is there then.
fn push_normal(run: &[u8], mut blank: bool, found: &mut Vec<u8>) -> bool {
    let from = found.len();
    found.resize(from + run.len(), 0);
    let into = &mut found[from..];
    let mut count = 0;
    for byte in run {
        let one = NORMAL[usize::from(byte & 127)];
        let (is_unseen, is_blank) = (one == 0, one == b' ');
        into[count] = one;
        count += usize::from(!(is_unseen | is_blank & blank));
        blank = is_blank | is_unseen & blank;
    }
    found.truncate(from + count);
    blank
}

/// What a text is read in.
enum Part<'a> {
    /// As much of ASCII as there is.
    Ascii(&'a [u8]),
    /// One that is not of it.
    Other(char),
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        if !first.is_ascii() {
            rest = &rest[first.len_utf8()..];
            return Some(Part::Other(first));
        }
        let ascii = match rest.is_ascii() {
            true => rest.len(),
            false => rest.bytes().take_while(u8::is_ascii).count(),
        };
        let run;
        (run, rest) = rest.split_at(ascii);
        Some(Part::Ascii(run.as_bytes()))
    })
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

/// True where two texts in their normal form have the same figures, prices, dates and versions, each with what it counts, and the same
/// operators and signs, in the same order: few of them turn what many words say into the opposite.
pub fn same_marks(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|text| text.split_once(CASE).unwrap_or((text, "")));
    a.1 == b.1 && marks(a.0).eq(marks(b.0))
}

fn marks(text: &str) -> impl Iterator<Item = &str> {
    const BEFORE: &[char] = &['(', '[', '{', '"', '\''];
    const BEHIND: &[char] = &[')', ']', '}', '"', '\'', ',', '.', ';', ':', '!', '?'];
    // Where no blanks are, a word is no whole sentence either.
    let parts = |one: char| {
        one == ' '
            || !one.is_ascii()
                && (stands_alone(one)
                    || matches!(
                        one,
                        '\u{3000}'
                            ..='\u{303f}' | '！' | '（' | '）' | '，' | '．' | '：' | '；' | '？'
                    ))
    };
    let mut is_counted = false;
    text.split(parts)
        .map(|word| word.trim_start_matches(BEFORE).trim_end_matches(BEHIND))
        .filter(move |word| {
            let is_number = word.contains(char::is_numeric);
            let was = is_counted;
            is_counted = is_number || (was && word.is_empty());
            !word.is_empty() && (is_number || was || is_sign(word))
        })
}

/// A word that is no word alone. Dashes and apostrophes within one are part of it.
fn is_sign(word: &str) -> bool {
    let is_other = |one: char| !one.is_alphanumeric() && !matches!(one, '-' | '\'');
    word.starts_with('-') || word.ends_with('-') || word.contains(is_other)
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
            ("“Carries 5\u{a0}MW”", "\"carries  5 MW\""),
            ("All OF 5 mg.", "all of 5 mg."),
        ] {
            assert_eq!(normal(a), normal(b));
        }
        for (a, b) in [
            ("-5", "5"),
            ("C++", "C"),
            ("1.5", "15"),
            ("ab", "a b"),
            ("kır", "kir"),
            ("carries 5 MW.", "carries 5 mW."),
            ("5MW", "5mW"),
            ("5 MW or 5 mW", "5 mW or 5 MW"),
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

    #[test]
    fn other_numbers_and_signs_say_something_else() {
        let same = |a: &str, b: &str| same_marks(&normal(a), &normal(b));
        for (a, b) in [
            ("of 5 (see 3.1), then", "of: 5 see 3.1. then"),
            ("well-known, isn't it?", "\"known\" (it isn't)"),
            ("第5章，を読む。", "を第5章読む"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("5 mg", "50 mg"),
            ("5 mg", "5 kg"),
            ("5 MW", "5 mW"),
            ("-5", "5"),
            ("1 2", "2 1"),
            ("1.5", "15"),
            ("5", "none"),
            ("role == admin", "role != admin"),
            ("if (!admin) stop", "if (admin) stop"),
            ("in C++ alone", "in C# alone"),
            ("p < three", "p > three"),
            ("✅ done", "❌ done"),
            ("rm -r all", "rm r all"),
            ("第5章", "第6章"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}

//! Which part of a text a rule has to look at, once one of its keywords was seen there. Most rules cannot match without one of
//! their keywords inside the match, and not far from it: then the rest of a large file need not be searched. Where that cannot
//! be shown from the expression itself, the whole text is.

use memchr::{memchr, memrchr};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Ways through an expression that are looked at; one with more is searched everywhere.
const MOST_WAYS: usize = 4096;
/// What may span lines without end (a key between its marks) is followed so far.
const FAR: usize = 64 << 10;

/// How far a match may reach from the first byte of a keyword in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    before: Side,
    after: Side,
}

/// One direction: bytes at most, and runs that end at the latest where their line does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    bytes: usize,
    lines: usize,
}

/// A piece of one way through an expression.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// This letter, in either case.
    Letter(u8),
    /// Something else, of bytes at most; without a limit it ends with its line, or it does not.
    Gap(Length),
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Bytes(usize),
    Line,
    Endless,
}

impl Reach {
    /// `None` where a match may do without any of these keywords, which are in lower case.
    pub fn of(hir: &Hir, keywords: &[String]) -> Option<Self> {
        let mut all = Self::default();
        for way in ways(hir)? {
            let one = of_way(&way, keywords)?;
            all.before = all.before.wider(one.before);
            all.after = all.after.wider(one.after);
        }
        Some(all)
    }

    /// The part of `text` that holds every match with a keyword at `hit`.
    pub fn around(self, text: &[u8], hit: usize) -> (usize, usize) {
        let mut start = hit.saturating_sub(self.before.bytes);
        for _ in 0..self.before.lines {
            start = memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
            start = start.saturating_sub(self.before.bytes);
        }
        let reach = |from: usize| (from + self.after.bytes).min(text.len());
        let mut end = reach(hit);
        for _ in 0..self.after.lines {
            end = memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at);
            end = reach(end);
        }
        (start, end)
    }
}

impl Side {
    fn wider(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            lines: self.lines.max(other.lines),
        }
    }

    fn add(&mut self, piece: Piece) -> Option<()> {
        match piece {
            Piece::Letter(_) => self.bytes += 1,
            Piece::Gap(Length::Bytes(bytes)) => self.bytes += bytes,
            Piece::Gap(Length::Line) => self.lines += 1,
            Piece::Gap(Length::Endless) => return None,
        }
        Some(())
    }
}

fn of_way(way: &[Piece], keywords: &[String]) -> Option<Reach> {
    let (at, _) = (0..way.len())
        .flat_map(|at| keywords.iter().map(move |keyword| (at, keyword)))
        .find(|(at, keyword)| {
            let bytes = keyword.as_bytes();
            way.get(*at..at + bytes.len()).is_some_and(|part| {
                part.iter()
                    .zip(bytes)
                    .all(|(piece, byte)| matches!(piece, Piece::Letter(letter) if letter == byte))
            })
        })?;
    let mut reach = Reach::default();
    for piece in &way[..at] {
        reach.before.add(*piece)?;
    }
    for piece in &way[at..] {
        if reach.after.add(*piece).is_none() {
            reach.after.bytes += FAR;
        }
    }
    Some(reach)
}

/// Every way through an expression, as far as its alternatives go.
fn ways(hir: &Hir) -> Option<Vec<Vec<Piece>>> {
    let found = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![
            literal
                .0
                .iter()
                .map(|byte| Piece::Letter(byte.to_ascii_lowercase()))
                .collect(),
        ],
        HirKind::Class(class) => vec![vec![match letter(class) {
            Some(letter) => Piece::Letter(letter),
            None => gap(hir),
        }]],
        HirKind::Capture(capture) => return ways(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 && has_letters(&repetition.sub) => {
            let mut once = ways(&repetition.sub)?;
            for way in &mut once {
                way.push(gap(hir));
            }
            once
        }
        // `account_?key`: with it and without.
        HirKind::Repetition(repetition)
            if repetition.max == Some(1) && has_letters(&repetition.sub) =>
        {
            let mut both = ways(&repetition.sub)?;
            both.push(Vec::new());
            both
        }
        HirKind::Repetition(_) => vec![vec![gap(hir)]],
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let next = ways(part)?;
                if all.len() * next.len() > MOST_WAYS {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|before| {
                        next.iter()
                            .map(move |behind| [&before[..], &behind[..]].concat())
                    })
                    .collect();
            }
            all
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(ways(part)?);
            }
            all
        }
    };
    (found.len() <= MOST_WAYS).then_some(found)
}

fn gap(hir: &Hir) -> Piece {
    Piece::Gap(match hir.properties().maximum_len() {
        Some(bytes) => Length::Bytes(bytes),
        None if spans_lines(hir) => Length::Endless,
        None => Length::Line,
    })
}

/// One letter in either case, or one byte.
fn letter(class: &Class) -> Option<u8> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
    };
    let byte = |at: usize| {
        let (start, end) = *ranges.get(at)?;
        (start == end).then(|| u8::try_from(start).ok())?
    };
    match ranges.len() {
        1 => Some(byte(0)?.to_ascii_lowercase()),
        2 => {
            let (one, other) = (byte(0)?, byte(1)?);
            one.eq_ignore_ascii_case(&other)
                .then(|| one.to_ascii_lowercase())
        }
        _ => None,
    }
}

fn has_letters(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(_) => true,
        HirKind::Class(class) => letter(class).is_some(),
        HirKind::Capture(capture) => has_letters(&capture.sub),
        HirKind::Repetition(repetition) => has_letters(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_letters),
        HirKind::Empty | HirKind::Look(_) => false,
    }
}

fn spans_lines(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'\n'),
        HirKind::Class(Class::Unicode(class)) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&'\n')),
        HirKind::Class(Class::Bytes(class)) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&b'\n')),
        HirKind::Capture(capture) => spans_lines(&capture.sub),
        HirKind::Repetition(repetition) => spans_lines(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(spans_lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(pattern: &str, keywords: &[&str]) -> Option<Reach> {
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(pattern)
            .expect("parses");
        let keywords: Vec<_> = keywords.iter().map(|word| (*word).to_owned()).collect();
        Reach::of(&hir, &keywords)
    }

    #[test]
    fn a_keyword_in_every_match_bounds_the_search() {
        let text = b"0123456789\n0123key=abc\nrest of it";
        let near = reach(r"(?i)[\w.-]{0,3}?(?:key)=([a-z]{1,3})\b", &["key"]).expect("bounded");
        assert_eq!(near.around(text, 15), (12, 22));
        // Alternatives with a common first letter are one branch to the parser.
        assert!(reach("(?i)(?:access|auth)=x", &["access", "auth"]).is_some());
        assert!(reach("(?i)account_?key=x", &["accountkey", "account_key"]).is_some());
        let line = reach(r"key=\w+", &["key"]).expect("bounded by its line");
        assert_eq!(line.around(text, 15), (15, 26));
        let far = reach(r"BEGIN[\s\S]{64,}?END", &["begin"]).expect("bounded");
        assert_eq!(far.around(text, 0), (0, text.len()));
    }

    #[test]
    fn without_one_everything_is_searched() {
        assert_eq!(reach("(?i)(?:key|token)=x", &["key"]), None);
        assert_eq!(reach("(?:key)?=x", &["key"]), None);
        assert_eq!(reach("account_?key=x", &["accountkey"]), None);
        assert_eq!(reach(r"[\s\S]*key", &["key"]), None);
    }
}

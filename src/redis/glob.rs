//! Patterns as SCAN and KEYS have them, on bytes. The server does not say which of several patterns a key matched, so we look
//! ourselves; a test compares with a real server.

/// One pattern, read.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    /// `[…]`, with `true` for `[^…]`.
    Set(bool, Vec<(u8, u8)>),
    Byte(u8),
}

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        let mut rest = text.as_bytes();
        let mut parts = Vec::new();
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match (first, tail) {
                (b'*', _) => Part::Any,
                (b'?', _) => Part::One,
                (b'[', _) => {
                    let (set, behind) = set(tail);
                    rest = behind;
                    set
                }
                (b'\\', [escaped, behind @ ..]) => {
                    rest = behind;
                    Part::Byte(*escaped)
                }
                _ => Part::Byte(first),
            });
        }
        parts.dedup_by(|next, before| *next == Part::Any && *before == Part::Any);
        Self {
            text: text.to_owned(),
            parts,
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True when no byte is asked for by name: such a pattern is as good as every key.
    pub fn is_boundless(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Byte(_)))
    }

    /// Whether a key matches. Takes time in the length of both at worst, whatever the pattern.
    pub fn matches(&self, key: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to go on when the rest does not fit: behind the last star, one byte further than before.
        let mut star: Option<(usize, usize)> = None;
        loop {
            let fits = match (self.parts.get(part), key.get(at)) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    star = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(part), Some(byte)) => part.takes(*byte),
                _ => false,
            };
            if fits {
                part += 1;
                at += 1;
            } else {
                match &mut star {
                    Some((behind, from)) if *from < key.len() => {
                        *from += 1;
                        (part, at) = (*behind, *from);
                    }
                    _ => return false,
                }
            }
        }
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Byte(own) => *own == byte,
            Self::Set(not, ranges) => {
                let among = ranges
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&byte));
                among != *not
            }
        }
    }
}

/// What stands behind `[`, with the server's habits: no end is an end, a range wins over a `]`, a range may be backwards.
fn set(text: &[u8]) -> (Part, &[u8]) {
    let (not, mut rest) = match text {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        match rest {
            [b'\\', escaped, behind @ ..] => {
                ranges.push((*escaped, *escaped));
                rest = behind;
            }
            [b']', behind @ ..] => return (Part::Set(not, ranges), behind),
            [from, b'-', to, behind @ ..] => {
                ranges.push((*from.min(to), *from.max(to)));
                rest = behind;
            }
            [byte, behind @ ..] => {
                ranges.push((*byte, *byte));
                rest = behind;
            }
            [] => return (Part::Set(not, ranges), rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_as_the_server_says() {
        for (pattern, key, expected) in [
            ("cache:*", "cache:1", true),
            ("cache:*", "cache:", true),
            ("cache:*", "xcache:1", false),
            ("*:1", "a:b:1", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("h?llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a[\\]]b", "a]b", true),
            ("a[bc", "ac", true),
            ("a\\", "a\\", true),
            ("", "", true),
            ("", "a", false),
        ] {
            let matches = Pattern::new(pattern).matches(key.as_bytes());
            assert_eq!(matches, expected, "{pattern} {key}");
        }
        assert!(Pattern::new("a*").matches(b"a\0\xff\n"));
    }

    #[test]
    fn what_asks_for_nothing_is_boundless() {
        for (pattern, boundless) in [
            ("*", true),
            ("**", true),
            ("?*", true),
            ("[a-z]*", true),
            ("a*", false),
            ("*\\*", false),
        ] {
            assert_eq!(Pattern::new(pattern).is_boundless(), boundless, "{pattern}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = Pattern::new(&"*a".repeat(30));
        assert!(!pattern.matches(&[b'a'; 29].repeat(1000)[..29]));
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(30))).matches(&[b'a'; 10_000]));
    }
}

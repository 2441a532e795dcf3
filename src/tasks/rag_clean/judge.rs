//! What no SQL condition can say of a value: a vector that is none, a text without text.

use rusqlite::types::ValueRef;

use super::quality::says_nothing;
use crate::config::sections::RagQuality;

/// Bytes that are no UTF-8, whatever SQLite calls them.
const NO_TEXT: &str = "bytes that are no text";

/// Judges the values of one column.
#[derive(Clone, Debug)]
pub struct Judge {
    column: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Vector { dimension: usize },
    Text { least: usize },
    Quality { least: usize, rules: RagQuality },
}

impl Judge {
    /// BLOBs of so many 32-bit floats.
    pub fn vector(column: &str, dimension: usize) -> Self {
        Self {
            column: column.to_owned(),
            what: What::Vector { dimension },
        }
    }

    /// Texts of at least so many characters that are no blanks.
    pub fn text(column: &str, least: u32) -> Self {
        Self {
            column: column.to_owned(),
            what: What::Text {
                least: usize::try_from(least).unwrap_or(0),
            },
        }
    }

    /// Texts that say something; those that are none are left to [`Judge::text`].
    pub fn quality(column: &str, least: u32, rules: &RagQuality) -> Self {
        Self {
            column: column.to_owned(),
            what: What::Quality {
                least: usize::try_from(least).unwrap_or(0),
                rules: rules.clone(),
            },
        }
    }

    /// The column, as it is called.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// What is wrong with a value. NULL is no value: it waits for one.
    pub fn wrong(&self, value: ValueRef<'_>) -> Option<&'static str> {
        if value == ValueRef::Null {
            return None;
        }
        match &self.what {
            What::Vector { dimension } => match value {
                ValueRef::Blob(bytes) => wrong_vector(bytes, *dimension),
                _ => Some("no BLOB"),
            },
            What::Text { least } => match value {
                ValueRef::Text(bytes) => wrong_text(bytes, *least),
                ValueRef::Blob(_) => Some(NO_TEXT),
                _ => Some("a number"),
            },
            What::Quality { least, rules } => match value {
                ValueRef::Text(bytes) if wrong_text(bytes, *least).is_none() => {
                    says_nothing(std::str::from_utf8(bytes).ok()?, rules)
                }
                _ => None,
            },
        }
    }
}

/// What is wrong with the bytes of a vector of that dimension.
pub fn wrong_vector(bytes: &[u8], dimension: usize) -> Option<&'static str> {
    if !bytes.len().is_multiple_of(4) {
        return Some("a length that is no multiple of 4 bytes");
    }
    if bytes.len() != dimension * 4 {
        return Some("another dimension");
    }
    let mut norm = 0.0;
    for bytes in bytes.chunks_exact(4) {
        let number = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if number.is_nan() {
            return Some("NaN");
        }
        if number.is_infinite() {
            return Some("infinite");
        }
        norm += f64::from(number) * f64::from(number);
    }
    (norm == 0.0).then_some("all zero")
}

fn wrong_text(bytes: &[u8], least: usize) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(NO_TEXT);
    };
    let (mut characters, mut garbage) = (0, 0);
    for one in text.chars().filter(|one| !one.is_whitespace()) {
        characters += 1;
        garbage += usize::from(one.is_control() || one == char::REPLACEMENT_CHARACTER);
    }
    if characters < least {
        return Some("too short");
    }
    (garbage * 2 > characters).then_some("mostly control or replacement characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|one| one.to_le_bytes()).collect()
    }

    #[test]
    fn vectors() {
        let judge = Judge::vector("v", 2);
        for (numbers, expected) in [
            (vec![1.0, 0.0], None),
            (vec![f32::MIN_POSITIVE / 4.0, 0.0], None),
            (vec![0.0, -0.0], Some("all zero")),
            (vec![1.0, f32::NAN], Some("NaN")),
            (vec![f32::NEG_INFINITY, 0.0], Some("infinite")),
            (vec![1.0], Some("another dimension")),
            (vec![], Some("another dimension")),
        ] {
            let wrong = judge.wrong(ValueRef::Blob(&bytes(&numbers)));
            assert_eq!(wrong, expected, "{numbers:?}");
        }
        assert!(judge.wrong(ValueRef::Blob(&[1, 2, 3])).is_some());
        assert!(judge.wrong(ValueRef::Text(b"[1, 2]")).is_some());
        assert!(judge.wrong(ValueRef::Null).is_none());
    }

    #[test]
    fn texts() {
        let judge = Judge::text("t", 3);
        for (text, expected) in [
            (&b"yes"[..], None),
            ("äöü".as_bytes(), None),
            (b" a b ", Some("too short")),
            (b"", Some("too short")),
            (
                b"\x00\x01\x02a",
                Some("mostly control or replacement characters"),
            ),
            (b"ab\xff", Some(NO_TEXT)),
        ] {
            assert_eq!(judge.wrong(ValueRef::Text(text)), expected, "{text:?}");
        }
        assert!(judge.wrong(ValueRef::Null).is_none());
    }
}

//! Text from outside, made harmless: nothing in it moves a cursor, sets a clipboard or turns the writing direction.

/// Replaces control characters (C0, DEL, C1) and bidirectional controls by `?`; a line break becomes a blank.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '?',
            '\u{061c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => '?',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_control_byte_comes_out(text in "\\PC*|[\\x00-\\x9f]*") {
            let shown = clean(&text);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }

    #[test]
    fn escapes_and_bidi_are_gone() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\u{9b}d\ne"), "a?[2Jb?c?d e");
    }
}

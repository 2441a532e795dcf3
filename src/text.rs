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

/// The same for text whose lines are to stay.
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// True when `text` fits `pattern`, in which `*` stands for any text, also none.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(start) else {
        return false;
    };
    let Some((middle, end)) = rest.rsplit_once('*') else {
        return left.ends_with(rest);
    };
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

/// The text, cut at a character boundary where it is longer than `most` bytes.
pub fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("backup", "backup", true),
            ("backup", "backups", false),
            ("backup.*", "backup.stale", true),
            ("backup.*", "backup", false),
            ("*.stale", "backup.stale", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxyyc", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(shorten("aäb", 2), "a…");
        assert_eq!(shorten("ab", 2), "ab");
    }

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

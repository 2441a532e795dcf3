//! Characters that no person sees and a model reads: the tags block, variation selectors in a row, zero-width characters in a row
//! or inside words, and controls that turn the writing direction. What scripts and emoji need of them is left alone.

use super::{Harm, Rule, add};
use crate::report::Severity;

const TAGS: Rule = Rule {
    id: "hidden.tags",
    what: "text in invisible tag characters",
    severity: Severity::High,
};
const SELECTORS: Rule = Rule {
    id: "hidden.selectors",
    what: "data in a row of variation selectors",
    severity: Severity::High,
};
const ZERO_WIDTH: Rule = Rule {
    id: "hidden.zero-width",
    what: "a row of zero-width characters, or words cut up by them",
    severity: Severity::Medium,
};
const BIDI: Rule = Rule {
    id: "hidden.bidi",
    what: "a control that turns the writing direction and is not ended",
    severity: Severity::Medium,
};

/// So many zero-width characters in a row carry something.
const ROW: usize = 4;
/// So many times one stands between two ASCII letters, where no script needs it.
const INSIDE: usize = 3;

/// The ASCII character that a tag character stands for.
pub fn tag(c: char) -> Option<char> {
    let code = c as u32;
    (0xE0020..=0xE007E)
        .contains(&code)
        .then(|| char::from_u32(code - 0xE0000))
        .flatten()
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_zero_width(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}')
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// True for what leaves no mark on paper.
pub fn is_hidden(c: char) -> bool {
    is_selector(c)
        || is_zero_width(c)
        || is_bidi(c)
        || matches!(c, '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
}

/// What is hidden in a text.
pub fn look(text: &str) -> Vec<Harm> {
    // Almost all texts end here: ASCII hides nothing.
    if text.is_ascii() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let (mut before, mut black_flag) = (None, false);
    let (mut zero_widths, mut selectors, mut inside) = (0, 0, 0);
    let mut word: Option<char> = None;
    // Where the first stands of those that are open, and how many are.
    let mut open: Option<(usize, usize)> = None;
    for (at, c) in text.char_indices() {
        let here = at..at + c.len_utf8();
        if tag(c).is_some() {
            // A flag of a region is a black flag with its tags behind it.
            if !black_flag {
                add(&mut found, TAGS.at(here.clone()));
            }
        } else {
            black_flag = c == '\u{1f3f4}';
        }
        selectors = if is_selector(c) { selectors + 1 } else { 0 };
        if selectors == 3 {
            add(&mut found, SELECTORS.at(here.clone()));
        }
        zero_widths = if is_zero_width(c) { zero_widths + 1 } else { 0 };
        if zero_widths == ROW {
            add(&mut found, ZERO_WIDTH.at(here.clone()));
        }
        if is_zero_width(c) {
            word = word.or(before.filter(char::is_ascii_alphabetic));
        } else {
            if word.take().is_some() && c.is_ascii_alphabetic() {
                inside += 1;
                if inside == INSIDE {
                    add(&mut found, ZERO_WIDTH.at(here.clone()));
                }
            }
        }
        match c {
            '\u{202d}' | '\u{202e}' => add(&mut found, BIDI.at(here.clone())),
            '\u{202a}' | '\u{202b}' | '\u{2066}'..='\u{2068}' => {
                open = Some(open.map_or((at, 1), |(first, depth)| (first, depth + 1)));
            }
            '\u{202c}' | '\u{2069}' => {
                open = open.filter(|(_, depth)| *depth > 1);
                open = open.map(|(first, depth)| (first, depth - 1));
            }
            // Their effect ends with the paragraph.
            '\n' => {
                if let Some((at, _)) = open.take() {
                    add(&mut found, BIDI.at(at..at + 3));
                }
            }
            _ => {}
        }
        before = Some(c);
    }
    if let Some((at, _)) = open {
        add(&mut found, BIDI.at(at..at + 3));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        look(text).into_iter().map(|harm| harm.rule).collect()
    }

    #[test]
    fn what_hides_something_is_found() {
        let tags: String = "hi"
            .chars()
            .filter_map(|c| char::from_u32(c as u32 + 0xE0000))
            .collect();
        assert_eq!(rules(&format!("a{tags}")), ["hidden.tags"]);
        assert_eq!(rules("a\u{e0101}\u{e0102}\u{e0103}b"), ["hidden.selectors"]);
        assert_eq!(
            rules("a\u{200b}\u{200c}\u{200b}\u{200c}b"),
            ["hidden.zero-width"]
        );
        assert_eq!(
            rules("i\u{200b}g\u{200b}n\u{200b}ore"),
            ["hidden.zero-width"]
        );
        assert_eq!(rules("if admin \u{202e}}"), ["hidden.bidi"]);
        assert_eq!(rules("a \u{2066}b\nc"), ["hidden.bidi"]);
        assert_eq!(rules("a \u{2067}b"), ["hidden.bidi"]);
    }

    #[test]
    fn what_writing_needs_is_left_alone() {
        for text in [
            "plain",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦 ❤\u{fe0f} 1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} England",
            "می\u{200c}خواهم بروم، نمی\u{200c}دانم چه می\u{200c}شود", // Persian
            "क\u{94d}\u{200d}ष",
            "葛\u{e0100}飾区",
            "\u{2067}שלום\u{2069} abc",
            "\u{feff}a byte order mark",
            "soft\u{00ad}hy\u{00ad}phens\u{00ad}are\u{00ad}fine",
            "long\u{200b}word",
        ] {
            assert!(look(text).is_empty(), "{text}: {:?}", look(text));
        }
    }
}

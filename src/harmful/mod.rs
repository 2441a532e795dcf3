//! Texts that could do harm once a language model reads them: instructions for the model, characters that no person sees, links
//! that act. By rules, so that a finding can be explained and a person can judge it; what they find is a suspicion, not a proof.

mod fold;
mod hidden;
mod links;
mod phrases;

use std::ops::Range;

use crate::report::Severity;
use crate::text::shorten;

pub use phrases::Phrases;

/// One suspicion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// Stable: `inject.override`.
    pub rule: &'static str,
    /// In words.
    pub what: &'static str,
    /// How urgent.
    pub severity: Severity,
    /// Where in the text, in bytes.
    pub at: Range<usize>,
}

/// A kind of harm.
#[derive(Clone, Copy)]
struct Rule {
    id: &'static str,
    what: &'static str,
    severity: Severity,
}

impl Rule {
    fn at(self, at: Range<usize>) -> Harm {
        Harm {
            rule: self.id,
            what: self.what,
            severity: self.severity,
            at,
        }
    }
}

/// Everything suspicious in a text, each rule once, at its first place.
pub fn look(text: &str, phrases: &Phrases) -> Vec<Harm> {
    let mut found = hidden::look(text);
    phrases
        .look(text)
        .into_iter()
        .for_each(|one| add(&mut found, one));
    links::look(text)
        .into_iter()
        .for_each(|one| add(&mut found, one));
    found
}

/// Each rule is listed once, however often a text goes against it.
fn add(found: &mut Vec<Harm>, harm: Harm) {
    if found.iter().all(|one| one.rule != harm.rule) {
        found.push(harm);
    }
}

/// What lies around a place, at most some hundred characters, with everything shown that could be hidden or could act on a terminal.
pub fn excerpt(text: &str, at: &Range<usize>) -> String {
    const BEFORE: usize = 30;
    const MOST: usize = 110;
    let mut from = at.start.saturating_sub(BEFORE).min(text.len());
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    let mut shown = String::new();
    for c in text[from..].chars() {
        if shown.len() >= MOST {
            shown.push('…');
            break;
        }
        match c {
            '\n' | '\t' | '\r' => shown.push(' '),
            c if c.is_control() || hidden::is_hidden(c) => {
                shown.push_str(&format!("\\u{{{:x}}}", c as u32));
            }
            c => shown.push(c),
        }
    }
    let shown = shorten(&shown, MOST + 40);
    match from {
        0 => shown,
        _ => format!("…{shown}"),
    }
}

/// What characters of the tags block spell: people see nothing, a model reads it.
pub fn hidden_words(text: &str) -> Option<String> {
    let words: String = text.chars().filter_map(hidden::tag).collect();
    (!words.is_empty()).then(|| shorten(&crate::text::clean(&words), 80))
}

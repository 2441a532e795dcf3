//! What of a text counts beside its words: its normal form, its numbers and its signs.

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
pub enum Part<'a> {
    /// As much of ASCII as there is.
    Ascii(&'a [u8]),
    /// One that is not of it.
    Other(char),
}

/// One after another.
pub fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
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
pub fn fold(one: char, mut push: impl FnMut(char)) {
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
pub fn stands_alone(one: char) -> bool {
    matches!(one, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
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

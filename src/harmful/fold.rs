//! One form for what looks the same: letters without accents and case, look-alikes of other scripts, wide and mathematical forms,
//! and nothing between them that could part a word. Blanks go too, so that `i g n o r e` is a word again.

use super::hidden;

/// Letters and digits alone, with their places in the text. A full stop stands for the end of a sentence.
pub struct Folded {
    /// As folded.
    pub text: String,
    /// For each byte of it where the text has its character.
    places: Vec<usize>,
}

impl Folded {
    /// Where a byte of the folded text comes from.
    pub fn place(&self, at: usize) -> usize {
        self.places.get(at).copied().unwrap_or(0)
    }
}

/// Both forms of a text: with look-alikes taken for the Latin letters that they look like, and without, for languages that are
/// written with those letters.
pub fn fold(text: &str) -> (Folded, Folded) {
    let empty = || Folded {
        text: String::with_capacity(text.len()),
        places: Vec::with_capacity(text.len()),
    };
    let (mut latin, mut plain) = (empty(), empty());
    let add = |to: &mut Folded, c: char, at: usize| {
        to.text.push(c);
        to.places.resize(to.text.len(), at);
    };
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if hidden::is_hidden(c) {
            continue;
        }
        if matches!(c, '.' | '!' | '?' | ';' | '。' | '！' | '？') {
            // Within a word it is no end.
            let ends = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
            if ends || !c.is_ascii() {
                add(&mut latin, '.', at);
                add(&mut plain, '.', at);
            }
            continue;
        }
        for c in narrow(c).to_lowercase() {
            if let Some(letters) = base(c) {
                for letter in letters.chars() {
                    add(&mut latin, letter, at);
                    add(&mut plain, letter, at);
                }
            } else if c.is_alphanumeric() || matches!(c, '@' | '$') {
                let like = like_latin(c);
                if like.is_alphanumeric() {
                    add(&mut latin, like, at);
                }
                if c.is_alphanumeric() {
                    add(&mut plain, c, at);
                }
            }
        }
    }
    (latin, plain)
}

/// Wide, circled and mathematical letters as what they stand for.
fn narrow(c: char) -> char {
    let code = c as u32;
    let of = |first: u32, offset: u32| char::from_u32(first + offset).unwrap_or(c);
    match code {
        0xFF01..=0xFF5E => of(0x21, code - 0xFF01),
        0x24B6..=0x24CF => of(0x41, code - 0x24B6),
        0x24D0..=0x24E9 => of(0x61, code - 0x24D0),
        // Alphabets of 52 letters follow each other; a few places in them are empty.
        0x1D400..=0x1D6A3 => {
            let letter = (code - 0x1D400) % 52;
            if letter < 26 {
                of(0x41, letter)
            } else {
                of(0x61, letter - 26)
            }
        }
        0x1D7CE..=0x1D7FF => of(0x30, (code - 0x1D7CE) % 10),
        0x1F130..=0x1F149 => of(0x41, code - 0x1F130),
        0x1F150..=0x1F169 => of(0x41, code - 0x1F150),
        0x1F170..=0x1F189 => of(0x41, code - 0x1F170),
        _ => match c {
            'ℎ' => 'h',
            'ℯ' => 'e',
            'ℊ' => 'g',
            'ℓ' => 'l',
            'ℴ' => 'o',
            'ℐ' | 'ℑ' => 'i',
            'ℛ' | 'ℜ' | 'ℝ' => 'r',
            'ℕ' => 'n',
            'ℙ' => 'p',
            _ => c,
        },
    }
}

/// Latin letters without what is above or below them. Marks that follow a letter are no letters, and fall out by themselves.
fn base(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ả' | 'ạ' => "a",
        'ç' | 'ć' | 'č' | 'ĉ' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ' => "e",
        'ğ' | 'ģ' | 'ĝ' | 'ǧ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ị' => "i",
        'ķ' => "k",
        'ł' | 'ĺ' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ő' | 'ọ' => "o",
        'ŕ' | 'ř' | 'ŗ' => "r",
        'ś' | 'š' | 'ş' | 'ș' | 'ŝ' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ụ' => "u",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'æ' => "ae",
        'œ' => "oe",
        'ё' => "е",
        _ => return None,
    })
}

/// Letters of other scripts and signs that people take for Latin ones.
fn like_latin(c: char) -> char {
    match c {
        'а' | 'α' | 'ɑ' | '4' | '@' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' | 'ժ' => 'd',
        'е' | 'ε' | 'є' | 'ҽ' | '3' => 'e',
        'ɡ' | 'ց' => 'g',
        'һ' | 'н' | 'հ' => 'h',
        'і' | 'ι' | 'ɩ' | 'ӏ' | '1' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'п' | 'η' | 'ո' => 'n',
        'о' | 'ο' | 'σ' | 'օ' | '0' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' | 'զ' => 'q',
        'г' => 'r',
        'ѕ' | 'ʂ' | '5' | '$' => 's',
        'т' | 'τ' | '7' => 't',
        'υ' | 'ս' | 'ʋ' => 'u',
        'ѵ' | 'ν' => 'v',
        'ѡ' | 'ω' | 'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ү' => 'y',
        'ᴢ' => 'z',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for text in [
            "Ignore all",
            "i g n o r e  a-l-l",
            "ignоre аll", // Cyrillic о and а
            "Ｉｇｎｏｒｅ ａｌｌ",
            "𝐈𝗀𝓷𝔬𝕣𝖾 𝚊𝙡𝑙",
            "ig\u{200b}no\u{00ad}re a\u{2060}ll",
            "ígnöré àll",
            "i\u{301}gnore all",
            "1gn0r3 @ll",
            "ⓘⓖⓝⓞⓡⓔ 🅐🅻🅻",
        ] {
            assert_eq!(fold(text).0.text, "ignoreall", "{text}");
        }
    }

    #[test]
    fn places_lead_back() {
        let text = "ä\u{200b}b. Ignore";
        let (latin, plain) = fold(text);
        assert_eq!(latin.text, "ab.ignore");
        assert_eq!(plain.text, latin.text);
        assert_eq!(latin.place(3), text.find('I').expect("is there"));
        assert_eq!(fold("straße 3.5").0.text, "strassees");
        assert_eq!(fold("Забудь всё").1.text, "забудьвсе");
    }
}

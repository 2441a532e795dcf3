//! How random a text is: what a machine made has letters and digits in no order that a person would write.

/// Bits a character.
pub fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text {
        counts[*byte as usize] += 1;
    }
    let all = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / all;
            -share * share.log2()
        })
        .sum()
}

/// Made by a machine: letters and digits in no order that a person would write.
pub fn is_random(text: &str, least: usize) -> bool {
    if text.len() < least {
        return false;
    }
    let body = text
        .strip_prefix("Bearer ")
        .or_else(|| text.strip_prefix("Basic "))
        .unwrap_or(text);
    if !body
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-+/=.~:!@#$%^&*".contains(&byte))
    {
        return false;
    }
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let letters = body.bytes().filter(u8::is_ascii_alphabetic).count();
    if digits < 2 || letters < 2 {
        return false;
    }
    // Words with a number behind them are a name: my-token-1, access_token_2.
    let longest_word = body
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|part| part.len() > 3 && is_pronounceable(part))
        .map(str::len)
        .sum::<usize>();
    if longest_word * 2 >= body.len() {
        return false;
    }
    let hex = body
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let entropy = entropy(body.as_bytes());
    let enough = match (hex, body.len()) {
        (true, _) => 2.7,
        (false, 0..20) => 2.9,
        (false, _) => 3.2,
    };
    entropy >= enough && !is_sequence(body)
}

/// All lower case or one capital, with vowels as words have them.
pub fn is_pronounceable(part: &str) -> bool {
    let rest = &part[1..];
    let cased = rest.bytes().all(|byte| byte.is_ascii_lowercase())
        || part.bytes().all(|byte| byte.is_ascii_uppercase());
    let vowels = part
        .bytes()
        .filter(|byte| b"aeiouyAEIOUY".contains(byte))
        .count();
    cased && vowels * 5 >= part.len() && vowels * 4 <= part.len() * 3
}

/// 0123456789abcdef and its like.
fn is_sequence(text: &str) -> bool {
    let steps = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[1] == pair[0] + 1 || pair[1] == pair[0])
        .count();
    steps * 10 >= (text.len() - 1) * 6
}

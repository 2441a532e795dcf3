//! The words of an SQL statement, as SQLite's own lexer cuts them (<https://sqlite.org/lang_keywords.html>,
//! <https://sqlite.org/lang_expr.html>): enough to tell names from values. Never fails: what is no SQL becomes single signs.

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bare name or keyword.
    Word,
    /// A name in backticks or brackets.
    Name,
    /// In double quotes: a name, unless there is nothing of that name; then SQLite takes it for a text.
    Doubtful,
    /// A text, number or blob.
    Literal,
    /// `?`, `?1`, `:a`, `@a`, `$a`.
    Parameter,
    /// An operator or other sign.
    Sign,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it was written, with its quotes.
    pub text: &'a str,
}

impl Token<'_> {
    /// The name without its quotes; empty for what is no name.
    pub fn name(&self) -> String {
        let inner = || &self.text[1..self.text.len() - 1];
        match self.kind {
            Kind::Word => self.text.to_owned(),
            Kind::Doubtful => inner().replace("\"\"", "\""),
            Kind::Name => inner().replace("``", "`"),
            _ => String::new(),
        }
    }

    /// True for this bare word in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// True for this sign.
    pub fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// Cuts a statement into its words; white space and comments are gone.
pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = next(bytes, at);
        // Every end is behind an ASCII byte or at a boundary between characters, since bytes from 128 on belong to words.
        if let (Some(kind), Some(text)) = (kind, sql.get(at..end)) {
            found.push(Token { kind, text });
        }
        at = end;
    }
    found
}

/// The kind of what begins at `at` (`None` for space and comments) and where it ends.
fn next(bytes: &[u8], at: usize) -> (Option<Kind>, usize) {
    let second = bytes.get(at + 1).copied().unwrap_or(0);
    match bytes[at] {
        byte if byte.is_ascii_whitespace() || byte == 0 => (None, at + 1),
        b'-' if second == b'-' => (None, until(bytes, at, |byte| byte == b'\n')),
        b'/' if second == b'*' => (None, comment(bytes, at + 2)),
        b'\'' => closed(bytes, at, b'\'', Kind::Literal),
        b'"' => closed(bytes, at, b'"', Kind::Doubtful),
        b'`' => closed(bytes, at, b'`', Kind::Name),
        b'[' => match until(bytes, at, |byte| byte == b']') {
            end if end < bytes.len() => (Some(Kind::Name), end + 1),
            _ => (Some(Kind::Sign), at + 1),
        },
        b'x' | b'X' if second == b'\'' => closed(bytes, at + 1, b'\'', Kind::Literal),
        b'0'..=b'9' => (Some(Kind::Literal), number(bytes, at)),
        b'.' if second.is_ascii_digit() => (Some(Kind::Literal), number(bytes, at)),
        b'?' => (
            Some(Kind::Parameter),
            until(bytes, at + 1, |byte| !byte.is_ascii_digit()),
        ),
        b':' | b'@' | b'$' | b'#' if in_word(second) => (
            Some(Kind::Parameter),
            until(bytes, at + 1, |byte| !in_word(byte)),
        ),
        byte if in_word(byte) => (Some(Kind::Word), until(bytes, at, |byte| !in_word(byte))),
        _ => (Some(Kind::Sign), sign(bytes, at)),
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 128
}

fn until(bytes: &[u8], from: usize, end: impl Fn(u8) -> bool) -> usize {
    bytes
        .get(from..)
        .and_then(|rest| rest.iter().position(|byte| end(*byte)))
        .map_or(bytes.len(), |length| from + length)
}

fn comment(bytes: &[u8], from: usize) -> usize {
    bytes
        .get(from..)
        .and_then(|rest| rest.windows(2).position(|pair| pair == b"*/"))
        .map_or(bytes.len(), |length| from + length + 2)
}

/// A quoted word; the quote doubled is the quote itself. One that is never closed reaches to the end and is a value.
fn closed(bytes: &[u8], open: usize, quote: u8, kind: Kind) -> (Option<Kind>, usize) {
    let mut at = open + 1;
    loop {
        at = until(bytes, at, |byte| byte == quote);
        if at >= bytes.len() {
            return (Some(Kind::Literal), bytes.len());
        }
        match bytes.get(at + 1) {
            Some(next) if *next == quote => at += 2,
            _ => return (Some(kind), at + 1),
        }
    }
}

fn number(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        let signed = matches!(byte, b'+' | b'-')
            && matches!(bytes[at - 1], b'e' | b'E')
            && !bytes[from..].starts_with(b"0x")
            && at > from;
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signed) {
            break;
        }
        at += 1;
    }
    at
}

fn sign(bytes: &[u8], at: usize) -> usize {
    const LONG: [&[u8]; 10] = [
        b"->>", b"->", b"||", b"<=", b">=", b"<>", b"!=", b"==", b"<<", b">>",
    ];
    let rest = &bytes[at..];
    at + LONG
        .iter()
        .find(|long| rest.starts_with(long))
        .map_or(1, |long| long.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_as_sqlite_cuts_them() {
        let sql = "SELECT \"a\"\"b\", [c d], `e`, 'it''s', x'00', 1.5e-3, .5, 0xff, ?1, :n -- end\n FROM/*x*/t WHERE a->>'$.b'>=$x";
        let shown: Vec<_> = tokens(sql)
            .iter()
            .map(|token| format!("{:?} {}", token.kind, token.text))
            .collect();
        assert_eq!(
            shown,
            [
                "Word SELECT",
                "Doubtful \"a\"\"b\"",
                "Sign ,",
                "Name [c d]",
                "Sign ,",
                "Name `e`",
                "Sign ,",
                "Literal 'it''s'",
                "Sign ,",
                "Literal x'00'",
                "Sign ,",
                "Literal 1.5e-3",
                "Sign ,",
                "Literal .5",
                "Sign ,",
                "Literal 0xff",
                "Sign ,",
                "Parameter ?1",
                "Sign ,",
                "Parameter :n",
                "Word FROM",
                "Word t",
                "Word WHERE",
                "Word a",
                "Sign ->>",
                "Literal '$.b'",
                "Sign >=",
                "Parameter $x",
            ]
        );
        assert_eq!(tokens(sql)[1].name(), "a\"b");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,60}|[-'\"`\\[/*.0-9ex$?:ä ]{0,40}") {
            let found = tokens(&text);
            prop_assert!(found.iter().all(|token| text.contains(token.text)));
            for token in found {
                let _ = token.name();
            }
        }
    }
}

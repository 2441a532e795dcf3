//! The shape of a query: the same for all that differ only in their values, in spacing or in case. No value of a row is in it.

use std::collections::BTreeSet;

use super::token::{Kind, Token, tokens};
use crate::text::shorten;

/// Longer shapes are cut for people; their id is of the whole.
const SHOWN: usize = 2_000;
/// Words of one row behind VALUES; a longer one is left as it is.
const LONGEST_ROW: usize = 5_000;

/// A query without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Twelve hexadecimal digits, the same on every run.
    pub id: String,
    /// SQL with `?` in place of each value.
    pub text: String,
}

/// Words that stand apart from a parenthesis behind them; any other is a function.
const APART: [&str; 24] = [
    "in", "values", "from", "and", "or", "not", "on", "where", "select", "as", "exists", "over",
    "using", "then", "when", "else", "by", "all", "union", "join", "having", "set", "into",
    "between",
];

/// The shape of `sql`. A word in double quotes is a value unless it is used as a name: `is_name` says so, or it stands beside a
/// dot or behind AS somewhere in the query.
pub fn shape(sql: &str, is_name: &dyn Fn(&str) -> bool) -> Shape {
    let mut tokens = tokens(sql);
    let torn = first_torn(&tokens);
    tokens.truncate(torn.unwrap_or(usize::MAX));
    let used = used_as_names(&tokens);
    let mut words: Vec<String> = Vec::new();
    for token in &tokens {
        let word = match token.kind {
            Kind::Word => token.text.to_ascii_lowercase(),
            Kind::Name | Kind::Sign => token.text.to_owned(),
            Kind::Doubtful if used.contains(token.text) || is_name(&token.name()) => {
                token.text.to_owned()
            }
            Kind::Doubtful | Kind::Literal | Kind::Parameter => {
                // `= -5` is one value as much as `= 5`.
                let signed = matches!(words.last().map(String::as_str), Some("-" | "+"))
                    && words.len().checked_sub(2).is_none_or(|before| {
                        let before = words[before].as_str();
                        before != ")" && before != "?" && !ends_a_value(before)
                    });
                if signed {
                    words.pop();
                }
                "?".to_owned()
            }
        };
        words.push(word);
    }
    while words.last().is_some_and(|word| word == ";") {
        words.pop();
    }
    if torn.is_some() {
        words.push("…".to_owned());
    }
    let text = join(&fold(words));
    Shape {
        id: blake3::hash(text.as_bytes()).to_hex()[..12].to_owned(),
        text: shorten(&text, SHOWN),
    }
}

/// The first text that is never closed, or that ends in the middle of a word: somebody wrote a quote into a value (`'O'Brien'`), and
/// from there on nobody knows what is a value.
fn first_torn(tokens: &[Token<'_>]) -> Option<usize> {
    let is_text = |token: &Token<'_>| token.kind == Kind::Literal && token.text.ends_with('\'');
    let is_open = |token: &Token<'_>| {
        let text = token.text;
        token.kind == Kind::Literal
            && (text.len() == 1 || !text.ends_with(&text[..1]))
            && text.starts_with(['\'', '"', '`'])
    };
    let touches = |one: &Token<'_>, other: &Token<'_>| {
        one.text.as_bytes().as_ptr_range().end == other.text.as_ptr()
    };
    let is_word = |token: &Token<'_>| matches!(token.kind, Kind::Word | Kind::Literal);
    (0..tokens.len()).find(|&at| {
        let [one, next] = [Some(&tokens[at]), tokens.get(at + 1)];
        let torn = one.zip(next).is_some_and(|(one, next)| {
            touches(one, next) && is_word(one) && is_word(next) && (is_text(one) || is_text(next))
        });
        torn || is_open(&tokens[at])
    })
}

/// A name or number in front of a sign makes it a subtraction; a keyword or another sign does not.
fn ends_a_value(word: &str) -> bool {
    let name = word
        .chars()
        .next()
        .is_some_and(|first| first.is_alphanumeric() || "_\"`[".contains(first));
    name && !APART.contains(&word) && !["limit", "offset", "like", "is", "return"].contains(&word)
}

fn used_as_names<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let behind = tokens.get(at + 1);
        let dotted = [before, behind]
            .into_iter()
            .flatten()
            .any(|other| other.is_sign("."));
        let named = before.is_some_and(|before| before.is_word("as"));
        if token.kind == Kind::Doubtful && (dotted || named) {
            found.insert(token.text);
        }
    }
    found
}

/// `IN (?, ?, ?)` becomes `IN (?)`, and of several rows behind VALUES one stays.
fn fold(words: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let before = kept.last().map_or("", String::as_str);
        let folded = match before {
            "in" => list(&words, at).map(|end| (["(", "?", ")"].map(str::to_owned).to_vec(), end)),
            "values" => group(&words, at).map(|mut end| {
                let first = words[at..=end].to_vec();
                while words.get(end + 1).is_some_and(|word| word == ",") {
                    match group(&words, end + 2) {
                        Some(next) => end = next,
                        None => break,
                    }
                }
                (first, end)
            }),
            _ => None,
        };
        let (own, end) = folded.unwrap_or_else(|| (vec![words[at].clone()], at));
        kept.extend(own);
        at = end + 1;
    }
    kept
}

/// Where a list of nothing but values, which opens at `open`, closes.
fn list(words: &[String], open: usize) -> Option<usize> {
    let inner = words.get(open + 1..).filter(|_| words[open] == "(")?;
    let long = inner
        .iter()
        .take_while(|word| matches!(word.as_str(), "?" | ","))
        .count();
    let closed = inner.get(long).is_some_and(|word| word == ")");
    (long > 0 && closed).then_some(open + 1 + long)
}

/// Where the parenthesis that opens at `open` closes, if it does so soon.
fn group(words: &[String], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, word) in words.iter().enumerate().skip(open).take(LONGEST_ROW) {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return (at > open).then_some(at);
        }
    }
    None
}

fn join(words: &[String]) -> String {
    let mut text = String::new();
    let mut before = "";
    for word in words {
        let tight = matches!(word.as_str(), "," | ")" | "." | ";")
            || matches!(before, "" | "(" | ".")
            || (word == "(" && ends_a_value(before) && !before.starts_with('?'));
        if !tight {
            text.push(' ');
        }
        text.push_str(word);
        before = word;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> String {
        shape(sql, &|name| name == "users").text
    }

    #[test]
    fn a_quote_in_a_value_gives_no_value_away() {
        for sql in [
            "SELECT * FROM users WHERE name='O'Brien' AND password='Tr0ub4dor'",
            "SELECT * FROM users WHERE name = 'Tr0ub4dor",
            "SELECT * FROM users WHERE name = x'00'Tr0ub4dor",
            "SELECT * FROM users WHERE id = 5 AND name = Brien'Tr0ub4dor'",
        ] {
            let text = shape(sql, &|_| false).text;
            assert!(text.starts_with("select * from users where"), "{text}");
            assert!(text.ends_with('…'), "{text}");
            assert!(!text.to_lowercase().contains("tr0ub4dor"), "{text}");
        }
        let whole = shape(
            "SELECT 'it''s', x'00' FROM t WHERE a='b' AND c='d'",
            &|_| false,
        );
        assert!(!whole.text.contains('…'), "{}", whole.text);
    }

    #[test]
    fn values_spacing_and_case_make_no_difference() {
        let expected = "select * from users where id = ? and name like ?";
        for sql in [
            "SELECT * FROM users WHERE id = 5 AND name LIKE 'a%'",
            "select  *\nfrom users -- hello 7\nwhere id=-12.5e3 and name like ?2;",
            "Select * From users Where id = :id And name Like 'it''s ; DROP'",
            "SELECT * FROM users WHERE id = x'00ff' AND name LIKE \"bob@example.org\"",
        ] {
            assert_eq!(of(sql), expected, "{sql}");
        }
        let other = shape("SELECT 1", &|_| false);
        assert_ne!(other.id, shape("SELECT 1, 2", &|_| false).id);
        assert_eq!(other.id, shape("select  9", &|_| false).id);
        assert_eq!(other.id.len(), 12);
    }

    #[test]
    fn lists_and_rows_fold() {
        assert_eq!(
            of("SELECT a FROM t WHERE b IN(1,2,3) OR c IN (SELECT 1, 2)"),
            "select a from t where b in (?) or c in (select ?, ?)"
        );
        assert_eq!(
            of("INSERT INTO t(a, b) VALUES (1, 'x'), (2, f('y')), (3, 'z') ON CONFLICT DO NOTHING"),
            "insert into t(a, b) values (?, ?) on conflict do nothing"
        );
        assert_eq!(
            of("SELECT count(*), a-1 FROM t LIMIT -1"),
            "select count(*), a - ? from t limit ?"
        );
    }

    #[test]
    fn a_word_in_double_quotes_is_a_value_unless_it_is_a_name() {
        assert_eq!(
            of(
                "SELECT \"u\".\"id\" AS \"x\" FROM \"users\" \"u\" WHERE \"u\".\"mail\" = \"secret\" ORDER BY \"x\""
            ),
            "select \"u\".\"id\" as \"x\" from \"users\" \"u\" where \"u\".\"mail\" = ? order by \"x\""
        );
    }

    #[test]
    fn what_never_ends_shows_nothing() {
        assert_eq!(of("SELECT 'secret"), "select …");
        assert_eq!(of("VALUES (1, (2"), "values (?, (?");
        assert_eq!(of(""), "");
        let deep = "(".repeat(100_000);
        assert!(of(&deep).len() <= SHOWN + 4);
    }
}

//! Expressions as the engine of gitleaks' format (RE2) takes them.

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;

use crate::error::config;

/// Some rules of others are larger than the default of 10 MiB.
const LARGEST_EXPRESSION: usize = 64 << 20;

/// How all are compiled.
pub fn settings() -> Config {
    Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(LARGEST_EXPRESSION))
        .hybrid_cache_capacity(8 << 20)
}

/// What the format's own engine (RE2) takes as plain characters: a brace that repeats nothing, and inside of `[…]` a bracket,
/// `&&` and `~~`.
fn translated(text: &str) -> String {
    let (mut out, mut class, mut at) = (String::with_capacity(text.len()), false, 0);
    let bytes = text.as_bytes();
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        match c {
            '\\' => {
                let mut end = next + text[next..].chars().next().map_or(0, char::len_utf8);
                // The brace of \p{L} and \x{4F} repeats nothing and is none of the text.
                if matches!(&text[next..end], "p" | "P" | "x") && text[end..].starts_with('{') {
                    end = text[end..].find('}').map_or(end, |close| end + close + 1);
                }
                out.push_str(&text[at..end]);
                at = end;
                continue;
            }
            '[' if !class => {
                class = true;
                out.push('[');
                at = next;
                // The first of a class may be the bracket that would close it.
                for first in ['^', ']'] {
                    if text[at..].starts_with(first) {
                        out.push_str(if first == ']' { "\\]" } else { "^" });
                        at += 1;
                    }
                }
                continue;
            }
            '[' if bytes.get(next) != Some(&b':') => out.push_str("\\["),
            '[' => {
                // [:alpha:]
                let end = text[next..].find(":]").map_or(next, |end| next + end + 2);
                out.push_str(&text[at..end]);
                at = end;
                continue;
            }
            ']' => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '{' if !class && !is_repetition(&text[at..]) => out.push_str("\\{"),
            c => out.push(c),
        }
        at = next;
    }
    out
}

/// `{3}`, `{3,}`, `{3,5}`.
fn is_repetition(text: &str) -> bool {
    let Some((inner, _)) = text[1..].split_once('}') else {
        return false;
    };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// What is wrong, without the drawing on several lines that points at it.
fn essence(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

/// ASCII classes, as the format's own engine has them; Unicode where the expression asks for it.
pub fn hir(text: &str) -> anyhow::Result<Hir> {
    let translated = translated(text);
    let parse = |unicode: bool| {
        regex_syntax::ParserBuilder::new()
            .unicode(unicode)
            .utf8(false)
            .build()
            .parse(&translated)
            .map_err(|error| essence(&error))
    };
    parse(false)
        .or_else(|_| parse(true))
        .map_err(|error| config(format!("not an expression: {error}")).into())
}

/// Ready to match.
pub fn compile(text: &str) -> anyhow::Result<Regex> {
    let translated = translated(text);
    let build = |unicode| {
        Regex::builder()
            .configure(settings())
            .syntax(syntax::Config::new().unicode(unicode).utf8(false))
            .build(&translated)
            .map_err(|error| error.syntax_error().map_or(error.to_string(), essence))
    };
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| config(format!("not an expression: {text}: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_to_re2() {
        for (pattern, text, fits) in [
            (r"^\$?{{[^}]+}}$", "${{secret}}", true),
            ("^a{2}$", "aa", true),
            ("^a{,2}$", "a{,2}", true),
            ("^[[a&&b]+$", "[a&b", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]$", "]", false),
            ("^[[:digit:]x]+$", "1x", true),
            (r"^[\]x]+$", "]x", true),
            (r"^\w$", "\u{e4}", false),
            (r"^\p{L}{4,}$", "\u{e4}bcd", true),
            (r"^[\p{Greek}\x{4F}]+$", "\u{3b1}O", true),
            (r"^\P{L}\x{4F}{2}$", "1OO", true),
        ] {
            let regex = compile(pattern).expect("an expression");
            hir(pattern).expect("an expression");
            assert_eq!(regex.is_match(text), fits, "{pattern}");
        }
        for wrong in ["(", r"a\p{Nonsense}", r"\x{4F"] {
            let error = hir(wrong).expect_err("is none").to_string();
            assert!(!error.contains('\n') && error.len() < 80, "{error}");
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }
}

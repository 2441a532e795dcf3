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

/// `subject: message`; a message that begins with what it is about stands alone.
pub fn about(subject: &str, message: &str) -> String {
    let names_it = message
        .strip_prefix(subject)
        .is_some_and(|rest| rest.starts_with([' ', ':']));
    match names_it {
        true => message.to_owned(),
        false => format!("{subject}: {message}"),
    }
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

/// How every command of ours begins.
const OURS: &str = "empire-maint ";

/// True for a hint that can be typed as it is: nothing is said in it beside the command.
pub fn is_command(hint: &str) -> bool {
    let Some(rest) = hint.strip_prefix(OURS) else {
        return false;
    };
    let words: Vec<_> = rest.split(' ').collect();
    let is_plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    // A command, one below it, and the name that one takes; two words behind an option are a sentence.
    let behind = words.get(2..).unwrap_or_default();
    let says = behind.windows(2).any(|pair| pair.iter().all(is_plain));
    let stops = |word: &&str| word.ends_with([',', ';', ':', '|']);
    !says && !words.iter().any(stops)
}

/// The hint with `options`, which the run had, in each command of ours in it.
pub fn with_options(hint: &str, options: &str) -> String {
    let ours = format!("{OURS}{options}");
    // The file that the options name is what that one is for.
    let makes_one = hint.starts_with("empire-maint config init");
    if options.is_empty() || makes_one || hint.contains(&ours) {
        return hint.to_owned();
    }
    let behind = ["; ", ": "].map(|before| (format!("{before}{OURS}"), format!("{before}{ours}")));
    let first = match hint.strip_prefix(OURS) {
        Some(rest) => format!("{ours}{rest}"),
        None => hint.to_owned(),
    };
    behind
        .iter()
        .fold(first, |text, (from, to)| text.replace(from, to))
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
    fn what_it_is_about_is_said_once() {
        assert_eq!(about("/a", "/a is open"), "/a is open");
        assert_eq!(about("/a", "/a: no such file"), "/a: no such file");
        assert_eq!(about("/a", "/ab is open"), "/a: /ab is open");
        assert_eq!(about("app_db", "gone"), "app_db: gone");
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
    fn what_can_be_typed_is_a_command() {
        for command in [
            "empire-maint backup",
            "empire-maint backup list app_db",
            "empire-maint health --check cpu,disk",
            "empire-maint verify-backup --file '/srv/my backups/a_20261101T030000Z.db.gz'",
            "empire-maint rag-clean --step quality --yes",
            "empire-maint optimize-db 'app_db' --max-lock 7s",
        ] {
            assert!(is_command(command), "{command}");
        }
        for prose in [
            "",
            "empire-maint",
            "free at least 64 MiB",
            "[[database]] name = \"app_db\"",
            "empire-maint capacity shows what grows",
            "empire-maint query-review shows each with its plan",
            "empire-maint deps --fix tries it in a copy",
            "empire-maint audit --help lists the parts",
            "empire-maint verify-backup --file /a.gz; check the disk",
            "empire-maint optimize-db, or: sqlite3 a 'ANALYZE'",
            "empire-maint restore app_db | rag_db",
        ] {
            assert!(!is_command(prose), "{prose}");
        }
    }

    #[test]
    fn options_of_the_run_go_into_each_command_once() {
        let options = "--config /srv/c.toml ";
        for (hint, told) in [
            (
                "empire-maint backup",
                "empire-maint --config /srv/c.toml backup",
            ),
            (
                "empire-maint history; empire-maint backup",
                "empire-maint --config /srv/c.toml history; empire-maint --config /srv/c.toml backup",
            ),
            ("look at it", "look at it"),
            (
                "empire-maint config init > /srv/c.toml",
                "empire-maint config init > /srv/c.toml",
            ),
        ] {
            assert_eq!(with_options(hint, options), told);
            assert_eq!(with_options(told, options), told);
            assert_eq!(with_options(hint, ""), hint);
        }
    }

    #[test]
    fn escapes_and_bidi_are_gone() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\u{9b}d\ne"), "a?[2Jb?c?d e");
    }
}

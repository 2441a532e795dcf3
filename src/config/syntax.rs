//! What is said of a file that the parser refuses, and what it must not be given at all.

use std::path::Path;

use crate::error;

const DEEPEST: usize = 200;

/// The parser is recursive: ten thousand brackets, on one line or on as many, must be an error and not a stack overflow.
/// Brackets in strings and comments are counted too; nobody leaves two hundred of those open.
pub fn require_shallow(text: &str, source: Option<&Path>) -> anyhow::Result<()> {
    let mut open = 0usize;
    for (number, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > DEEPEST {
                break;
            }
        }
        let key = line.split(['=', '#']).next().unwrap_or_default();
        if open > DEEPEST || key.matches('.').count() > DEEPEST {
            let file = source.unwrap_or(Path::new("configuration")).display();
            let message = format!("{file}:{}: nested too deeply", number + 1);
            return Err(error::config(message).into());
        }
    }
    Ok(())
}

/// Offset and first name of every line that looks like a section header.
pub fn headers(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut offset = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = offset;
        offset += line.len();
        let inner = line.trim_start().strip_prefix('[')?;
        let inner = inner.strip_prefix('[').unwrap_or(inner);
        let name: String = inner
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            .collect();
        (!name.is_empty()).then_some((start, name))
    })
}

/// serde's "unknown field" message, turned into a sentence with the nearest valid key.
pub fn explain(message: &str) -> (String, Option<String>) {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let hint = match message {
            "invalid type: map, expected a sequence" => {
                Some("there may be several: write it with two brackets, [[…]]")
            }
            "invalid type: sequence, expected a map" => {
                Some("there is only one: write it with one bracket, […]")
            }
            _ => None,
        };
        return (message.to_owned(), hint.map(str::to_owned));
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let near = nearest(unknown, names);
    (
        format!("unknown key '{unknown}'"),
        near.map(|near| format!("did you mean '{near}'?")),
    )
}

/// The valid name that was probably meant.
pub fn nearest<'a>(unknown: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

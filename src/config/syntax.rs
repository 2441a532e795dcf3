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

/// A line that is the header of a table, without what stands behind it.
pub fn header(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let end = line.rfind(']').filter(|_| line.starts_with('['))?;
    let header = &line[..=end];
    (!header.contains(['#', '=', '"'])).then_some(header)
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

/// What serde says, in the words of the file, with a hint; `line` is where it stands.
pub fn explain(message: &str, line: &str) -> (String, Option<String>) {
    let mismatch = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|begin| message.strip_prefix(begin)?.split_once(", expected "));
    if let Some((given, wanted)) = mismatch {
        return mismatched(given, wanted, line);
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        let name = name.trim_end_matches('`');
        return (format!("the key '{name}' is missing"), None);
    }
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return (message.to_owned(), None);
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let near = nearest(unknown, names);
    (
        format!("unknown key '{unknown}'"),
        near.map(|near| format!("did you mean '{near}'?")),
    )
}

/// A value of one kind where one of another kind has to be.
fn mismatched(given: &str, wanted: &str, line: &str) -> (String, Option<String>) {
    let header = line.trim_start();
    let is_table = given == "map";
    let given = match given.split_once(' ') {
        None if is_table => "a table".to_owned(),
        None if given == "sequence" => "a list".to_owned(),
        Some(("string", text)) => format!("the text {text}"),
        Some(("boolean", word)) => word.trim_matches('`').to_owned(),
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        _ => given
            .replace("floating point", "the number")
            .replace('`', ""),
    };
    let wanted_is_table = wanted == "a map" || wanted.starts_with("struct ");
    let wanted = match wanted {
        _ if wanted_is_table => "a table",
        "a sequence" => "a list",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "a text in quotes",
        "path string" => "a path in quotes",
        "a boolean" => "true or false",
        other => other,
    };
    // A list of tables is read as the values of one, in their order.
    if is_table && header.starts_with("[[") && wanted != "a list" {
        let message = "it has to be one table, not a list of tables".to_owned();
        return (message, Some("write it with one bracket, […]".to_owned()));
    }
    let hint = match (is_table, wanted) {
        (true, "a list") => Some("there may be several: write it with two brackets, [[…]]"),
        (false, "a table") => Some("write { key = value }; empire-maint.toml(5) has its keys"),
        _ => None,
    };
    let message = format!("it has to be {wanted}, not {given}");
    (message, hint.map(str::to_owned))
}

/// The valid name that was probably meant.
pub fn nearest<'a>(unknown: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

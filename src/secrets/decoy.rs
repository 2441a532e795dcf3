//! What stands where a secret could, and is none: references to code or environment, placeholders, patterns, hashes.

/// In a value: somebody is to put the true one there.
const PLACEHOLDERS: [&str; 31] = [
    "changeme",
    "change_me",
    "change-me",
    "changethis",
    "change_this",
    "your_",
    "your-",
    "yourpass",
    "yoursecret",
    "yourtoken",
    "yourkey",
    "yourapi",
    "<your",
    "placeholder",
    "replace",
    "redacted",
    "example",
    "insert",
    "enter_",
    "todo",
    "fixme",
    "dummy",
    "sample",
    "censored",
    "removed",
    "filtered",
    "not_a_",
    "lorem",
    "foobar123notreal",
    "put_your",
    "my-secret-name",
];

/// It points to where the secret is.
pub fn is_reference(text: &str, quoted: bool, config: bool) -> bool {
    const STARTS: [&str; 24] = [
        "$",
        "%",
        "<",
        "{",
        "[",
        "(",
        "@",
        "&",
        "!",
        "*",
        "|",
        ">",
        "process.",
        "os.",
        "env.",
        "config.",
        "settings.",
        "self.",
        "this.",
        "vault:",
        "secret:",
        "arn:",
        "file:",
        "ref+",
    ];
    let starts: &[&str] = match quoted {
        // In quotes a person may begin a password with any sign.
        true => &[
            "${",
            "$(",
            "{{",
            "<%",
            "%(",
            "#{",
            "process.env",
            "os.environ",
            "vault:",
            "arn:",
            "file:",
            "ref+",
            "secret:",
        ],
        false => &STARTS,
    };
    if starts.iter().any(|start| text.starts_with(start)) {
        return true;
    }
    if [
        "${", "{{", "#{", "$(", "%{", "{$", "<%", "%(", "%s", "%d", "{}", "{0}", "://",
    ]
    .iter()
    .any(|part| text.contains(part))
    {
        return true;
    }
    // $NAME, %NAME%, @NAME@, {name}, <name>, [name], __NAME__
    let inner = |open: char, close: char| {
        text.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(|inner| is_identifier(inner) || close == '>')
    };
    let variable = text.strip_prefix('$').is_some_and(|rest| {
        is_identifier(rest) && (config || rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    });
    if variable
        || inner('%', '%')
        || inner('@', '@')
        || inner('{', '}')
        || inner('<', '>')
        || inner('[', ']')
        || inner(':', ':')
    {
        return true;
    }
    if text.starts_with("__") && text.ends_with("__") {
        return true;
    }
    if text.strip_prefix(':').is_some_and(is_identifier) {
        return true;
    }
    // $name$
    if text.len() > 2
        && text.starts_with('$')
        && text.ends_with('$')
        && is_identifier(&text[1..text.len() - 1])
    {
        return true;
    }
    // "$folder/name"
    let path = text.strip_prefix('$').and_then(|rest| rest.split_once('/'));
    if path.is_some_and(|(name, _)| is_identifier(name)) {
        return true;
    }
    // "$one$two", "pre$name": a shell's text, or PHP's.
    let names = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0] == b'$' && (pair[1].is_ascii_lowercase() || pair[1] == b'_'))
        .count();
    if names > 1 {
        return true;
    }
    if quoted {
        return text == "$$";
    }
    // $$ is a shell's own number. A call, an index, a field: code even where a file looks like settings.
    text.contains("$$")
        || text.contains('(')
        || text.ends_with(')')
        || text.contains("[")
        || text.contains("->")
        || text.ends_with(';')
        || text.ends_with('{')
        || (text.contains('.')
            && !text.bytes().any(|byte| byte.is_ascii_digit())
            && text.split('.').all(is_identifier))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b':')
        })
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Somebody is to put the true one there, or has taken it away.
pub fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if PLACEHOLDERS.iter().any(|part| lower.contains(part)) {
        return true;
    }
    if lower == "your"
        || lower.contains("xxxx")
        || text.contains("...")
        || text.contains("***")
        || text.contains("___")
        || text.contains("---")
    {
        return true;
    }
    // One character again and again.
    let first = text.as_bytes()[0];
    if text.bytes().all(|byte| byte == first) {
        return true;
    }
    // <name>, admin/{name}/reset
    text.contains('<') && text.contains('>')
        || text.contains('/') && text.contains('{') && text.contains('}')
}

/// An expression, a selector, a path, a type.
pub fn is_pattern(text: &str) -> bool {
    if [
        "\\d", "\\w", "\\s", "[a-z", "[A-Z", "[0-9", "(?", ".*", ".+", "[^", "\\b", "\\.", "\\x",
        "\\u",
    ]
    .iter()
    .any(|part| text.contains(part))
    {
        return true;
    }
    let letters = |text: &str| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphabetic()
                || matches!(
                    byte,
                    b'_' | b'-'
                        | b'.'
                        | b'/'
                        | b':'
                        | b'['
                        | b']'
                        | b'='
                        | b'>'
                        | b'#'
                        | b'@'
                        | b'~'
                        | b'\\'
                )
        })
    };
    if letters(text)
        && text
            .bytes()
            .any(|byte| matches!(byte, b'/' | b'[' | b'=' | b'>' | b'\\' | b':'))
    {
        return true;
    }
    if let Some(rest) = text.strip_prefix(['#', '.', '/', '~', ','])
        && letters(rest)
    {
        return true;
    }
    // A path has more than one part.
    (text.starts_with('/')
        || text.starts_with("./")
        || text.starts_with("../")
        || text.starts_with("~/"))
        && text[1..].contains('/')
        || [
            ".js", ".ts", ".json", ".pem", ".key", ".crt", ".txt", ".yml", ".yaml", ".html",
            ".php", ".py", ".go", ".java", ".xml", ".pub", ".c", ".h", ".o", ".rb", ".sh",
        ]
        .iter()
        .any(|end| text.ends_with(end))
}

/// What a password became: not to be turned back.
pub fn is_hash(text: &str) -> bool {
    const STARTS: [&str; 24] = [
        "$2a$",
        "$2b$",
        "$2y$",
        "$1$",
        "$5$",
        "$6$",
        "$argon2",
        "$pbkdf2",
        "pbkdf2",
        "{SHA",
        "{SSHA",
        "{MD5",
        "{md5",
        "{sha",
        "{CRYPT",
        "{bcrypt",
        "sha1$",
        "sha256",
        "sha512-",
        "bcrypt",
        "md5",
        "$apr1$",
        "HMACSHA",
        "SCRAM-SHA",
    ];
    STARTS.iter().any(|start| text.starts_with(start))
}

pub fn letters_then_sign(text: &str) -> bool {
    text.strip_suffix([':', '?', '.', ',']).is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    })
}

pub fn is_version(text: &str) -> bool {
    let text = text.trim_start_matches(['^', '~', '>', '<', '=', 'v']);
    let parts = text.split(['.', '-']);
    text.contains('.')
        && parts.clone().count() >= 2
        && parts.take(2).all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'x' || byte == b'*')
        })
}

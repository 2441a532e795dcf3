//! What tells a secret from everything else that stands behind a telling name: names of fields, messages, placeholders, references
//! to code or environment, hashes. Everything here is about one name and one value; nothing is looked up.

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chosen by a person: short, may be a word.
    Password,
    /// A shared secret or a salt: a word now and then.
    Secret,
    /// Made by a machine: looks random.
    Random,
}

impl Kind {
    /// For a finding's message.
    pub fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Secret => "secret",
            Self::Random => "key or token",
        }
    }
}

/// Where a value stands.
pub struct Context<'a> {
    /// The whole name, with what it is part of.
    pub name: &'a str,
    /// What it promises.
    pub kind: Kind,
    /// The line.
    pub line: &'a [u8],
    /// In quotes.
    pub quoted: bool,
    /// In a file in which a bare word is a value.
    pub config: bool,
}

const PASSWORD: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "passwort",
    "psw",
    "pswd",
    "passw",
    "userpass",
    "dbpass",
];
const NO_PASSWORD: [&str; 8] = [
    "bypass",
    "compass",
    "trespass",
    "encompass",
    "surpass",
    "overpass",
    "renderpass",
    "subpass",
];
const SECRET: [&str; 3] = ["secret", "secrets", "salt"];
/// Before `key` or `token`: what makes it one to hide. A bare `key` is any map's.
const OF_KEYS: [&str; 36] = [
    "api",
    "secret",
    "access",
    "private",
    "auth",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "master",
    "app",
    "application",
    "client",
    "consumer",
    "service",
    "account",
    "storage",
    "shared",
    "jwt",
    "session",
    "cookie",
    "hmac",
    "crypto",
    "cipher",
    "aes",
    "license",
    "webhook",
    "deploy",
    "admin",
    "server",
    "write",
    "ingest",
    "subscription",
    "security",
    "refresh",
    "bearer",
];
/// May stand behind the word that counts.
const BEHIND: [&str; 22] = [
    "value",
    "default",
    "test",
    "plain",
    "raw",
    "admin",
    "user",
    "old",
    "new",
    "confirm",
    "confirmation",
    "prod",
    "production",
    "dev",
    "staging",
    "root",
    "live",
    "sandbox",
    "hex",
    "base64",
    "string",
    "base",
];
/// Anywhere in a name: it is about secrets and holds none.
const NEVER: [&str; 14] = [
    "public",
    "pub",
    "hash",
    "hashed",
    "digest",
    "encoder",
    "policy",
    "regex",
    "pattern",
    "csrf",
    "xsrf",
    "tokenizer",
    "placeholder",
    "label",
];
/// Words of which names of fields and placeholders are made.
const NAMES: [&str; 79] = [
    "password",
    "passwd",
    "pass",
    "pwd",
    "passphrase",
    "user",
    "username",
    "token",
    "tokens",
    "access",
    "refresh",
    "secret",
    "secrets",
    "key",
    "keys",
    "api",
    "apikey",
    "auth",
    "authorization",
    "client",
    "new",
    "old",
    "current",
    "confirm",
    "confirmation",
    "id",
    "login",
    "email",
    "field",
    "value",
    "name",
    "type",
    "text",
    "string",
    "str",
    "hidden",
    "input",
    "form",
    "required",
    "optional",
    "none",
    "null",
    "nil",
    "undefined",
    "true",
    "false",
    "default",
    "empty",
    "bearer",
    "basic",
    "credential",
    "credentials",
    "oauth",
    "session",
    "cookie",
    "header",
    "param",
    "private",
    "public",
    "x",
    "csrf",
    "hash",
    "number",
    "int",
    "bool",
    "boolean",
    "object",
    "any",
    "your",
    "the",
    "here",
    "file",
    "path",
    "url",
    "env",
    "salt",
    "or",
    "and",
    "of",
];
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

/// The words of a name: `dbPassword_2` is db, password, 2.
pub fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in name.chars() {
        let starts = c.is_ascii_uppercase() && last.is_ascii_lowercase()
            || c.is_ascii_digit() != last.is_ascii_digit();
        if c.is_ascii_alphanumeric() {
            match words.last_mut().filter(|word| !starts || word.is_empty()) {
                Some(word) => word.push(c.to_ascii_lowercase()),
                None => words.push(c.to_ascii_lowercase().to_string()),
            }
        } else if words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        last = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What a name promises; `None` for one that only speaks of secrets.
pub fn kind_of(name: &str) -> Option<Kind> {
    // user.password is the password; of a longer path only the last part counts.
    let last = name.trim_matches(['.', '-']).rsplit('.').next()?;
    let mut words = words(last);
    if words.iter().any(|word| NEVER.contains(&word.as_str())) {
        return None;
    }
    while words.len() > 1
        && words.last().is_some_and(|word| {
            BEHIND.contains(&word.as_str()) || word.bytes().all(|byte| byte.is_ascii_digit())
        })
    {
        words.pop();
    }
    let last = words.last()?.as_str();
    let before = words.len().checked_sub(2).map_or("", |at| &words[at]);
    let joined = |ends: &[&str]| {
        ends.iter()
            .any(|end| last.len() > end.len() && last.ends_with(end))
    };
    if PASSWORD.contains(&last)
        || joined(&["password", "passwd", "passphrase"])
        || (joined(&["pwd", "pass"]) && !NO_PASSWORD.contains(&last))
    {
        return Some(Kind::Password);
    }
    if SECRET.contains(&last) || joined(&["secret"]) {
        return Some(Kind::Secret);
    }
    let random = match last {
        "token" | "apikey" | "secretkey" | "accesskey" | "authkey" | "authtoken"
        | "accesstoken" | "apitoken" | "appkey" | "privatekey" | "masterkey" | "credential"
        | "credentials" | "creds" | "cred" => true,
        "key" => OF_KEYS.contains(&before),
        _ => joined(&["token", "apikey", "secretkey"]),
    };
    random.then_some(Kind::Random)
}

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

/// True when the value is what the name promises.
pub fn is_secret(value: &[u8], context: &Context<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let least = match context.kind {
        Kind::Password => 4,
        Kind::Secret => 5,
        Kind::Random => 10,
    };
    if text.len() < least || text.len() > 300 || !text.is_ascii() {
        return false;
    }
    if text
        .bytes()
        .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    {
        return false;
    }
    if is_reference(text, context)
        || is_placeholder(text)
        || names_itself(text, context)
        || is_pattern(text)
        || is_hash(text)
    {
        return false;
    }
    match context.kind {
        Kind::Password => may_be_password(text, context),
        Kind::Secret => is_random(text, 12) || may_be_shared(text, context),
        Kind::Random => is_random(text, 16),
    }
}

/// It points to where the secret is.
fn is_reference(text: &str, context: &Context<'_>) -> bool {
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
    let starts: &[&str] = match context.quoted {
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
        "${", "{{", "#{", "$(", "<%", "%(", "%s", "%d", "{}", "{0}", "://",
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
        is_identifier(rest)
            && (context.config || rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
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
    // "$one$two", "pre$name": a shell's text, or PHP's.
    let names = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0] == b'$' && (pair[1].is_ascii_lowercase() || pair[1] == b'_'))
        .count();
    if names > 1 {
        return true;
    }
    if context.quoted {
        return false;
    }
    // A call, an index, a field: code even where a file looks like settings.
    text.contains('(')
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
fn is_placeholder(text: &str) -> bool {
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
        || text.contains("$$")
    {
        return true;
    }
    // One character again and again.
    let first = text.as_bytes()[0];
    if text.bytes().all(|byte| byte == first) {
        return true;
    }
    if text.contains('<') && text.contains('>') {
        return true;
    }
    false
}

/// Made of the words that name it: `access_token`, `user-password`. Beside a user's name even `password` is one.
fn names_itself(text: &str, context: &Context<'_>) -> bool {
    let words = words(text);
    if words.is_empty() || !words.iter().all(|word| NAMES.contains(&word.as_str())) {
        return false;
    }
    let weak = matches!(text, "secret" | "password" | "passwd" | "pass");
    let used = text == "secret" || has_user(context.line, text);
    !(context.kind == Kind::Password && weak && used)
}

/// A user's name is given on the same line: `login(username="bob", password="password")`.
fn has_user(line: &[u8], text: &str) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let lower = line.to_ascii_lowercase();
    ["user", "login", "email"].iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let rest =
                lower[at..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let rest = rest.trim_start_matches(['"', '\'', ' ', ':', '=', '>', ']', '(']);
            let given = rest
                .split(['"', '\'', ',', ')', '&', ' '])
                .next()
                .unwrap_or_default();
            let quoted = rest.len() < lower.len() - at;
            quoted
                && given.len() > 1
                && given != text
                && !["user", "username", "login", "email", "password"].contains(&given)
                && given
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
        })
    })
}

/// An expression, a selector, a path, a type.
fn is_pattern(text: &str) -> bool {
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
            ".php", ".py", ".go", ".java", ".xml", ".pub",
        ]
        .iter()
        .any(|end| text.ends_with(end))
}

/// What a password became: not to be turned back.
fn is_hash(text: &str) -> bool {
    const STARTS: [&str; 22] = [
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

/// A person's password.
fn may_be_password(text: &str, context: &Context<'_>) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    // md5 and its like, in hex: what a password became.
    if text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128)
    {
        return false;
    }
    let constant = text
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if constant && text.contains('_') && words(text).iter().any(|part| is_telling(part)) {
        return false;
    }
    if !has_digit {
        // dotted.names, CONSTANT_NAMES, camelCaseNames and hyphen-ated-names are names of something.
        let parts = words(text);
        let only_names = text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.'));
        if only_names && parts.len() > 1 {
            let telling = parts.iter().any(|part| is_telling(part));
            let own = parts[0] == "my" || parts[0] == "test";
            if text.contains('.') || (telling && !own) || parts.len() > 3 {
                return false;
            }
            let constant = text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let camel = !text.contains(['_', '-']);
            if constant || camel {
                return false;
            }
        }
        // "Password", "Passwort", "Contrasena": what stands beside an input.
        if letters
            && text.as_bytes()[0].is_ascii_uppercase()
            && text.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
        {
            return false;
        }
        if letters && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return false;
        }
        const FIELDS: [&str; 14] = [
            "oldpassword",
            "newpassword",
            "userpassword",
            "confirmpassword",
            "resetpassword",
            "forgotpassword",
            "changepassword",
            "currentpassword",
            "loginpassword",
            "credential",
            "credentials",
            "authorization",
            "encrypted",
            "plaintext",
        ];
        if letters && FIELDS.contains(&text.to_ascii_lowercase().as_str()) {
            return false;
        }
    }
    // ^1.2.3: a package of that name.
    if is_version(text) {
        return false;
    }
    // A sign at the end of a word is a message's.
    if letters_then_sign(text) {
        return false;
    }
    let lower = context.name.to_ascii_lowercase();
    !lower.contains(&text.to_ascii_lowercase()) || has_digit
}

fn letters_then_sign(text: &str) -> bool {
    text.strip_suffix([':', '?', '.', ',']).is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    })
}

/// A word about secrets.
fn is_telling(word: &str) -> bool {
    [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "apikey",
        "auth",
        "login",
        "passphrase",
        "username",
        "field",
        "key",
    ]
    .iter()
    .any(|telling| word.contains(telling))
}

fn is_version(text: &str) -> bool {
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

/// A shared secret that a person chose: `shhhhh`, `s3cr3t`.
fn may_be_shared(text: &str, context: &Context<'_>) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let lower = text.bytes().all(|byte| byte.is_ascii_lowercase());
    if !context.quoted {
        return has_digit && !text.contains(['.', '/', '-']) && text.len() >= 8;
    }
    if letters {
        return lower
            && text.len() <= 16
            && !is_telling(text)
            && !["encrypted", "hashed", "plain"].contains(&text);
    }
    has_digit
        && text.len() >= 6
        && !text.contains(['/', '.', ':'])
        && may_be_password(text, context)
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
    if longest_word * 2 > body.len() {
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
fn is_pronounceable(part: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_hold() {
        for (name, kind) in [
            ("DB_PASSWORD", Some(Kind::Password)),
            ("spring.datasource.password", Some(Kind::Password)),
            ("dbPassword2", Some(Kind::Password)),
            ("adminPwd", Some(Kind::Password)),
            ("clientSecret", Some(Kind::Secret)),
            ("SECRET_KEY", Some(Kind::Random)),
            ("stripe_api_key", Some(Kind::Random)),
            ("authToken", Some(Kind::Random)),
            ("passwordField", None),
            ("password_hash", None),
            ("token_url", None),
            ("key", None),
            ("primary_key", None),
            ("bypass", None),
            ("tokenizer", None),
            ("publicKey", None),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}

//! What tells a secret from everything else that stands behind a telling name. Everything here is about one name and one value;
//! nothing is looked up.

use super::decoy::{
    is_hash, is_pattern, is_placeholder, is_reference, is_version, letters_then_sign,
};
use super::name::{Kind, words};
use super::random::is_random;

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

/// True when the value is what the name promises.
pub fn is_secret(value: &[u8], context: &Context<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let least = match context.kind {
        Kind::Password if context.quoted && has_user(context.line, text) => 3,
        Kind::Password => 4,
        Kind::Secret => 5,
        Kind::Random => 8,
    };
    let foreign = context.quoted
        && context.kind == Kind::Password
        && text.bytes().any(|byte| byte.is_ascii_digit());
    if text.len() < least || text.len() > 300 || !(text.is_ascii() || foreign) {
        return false;
    }
    if text
        .bytes()
        .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    {
        return context.quoted && context.kind == Kind::Password && is_passphrase(text);
    }
    if is_reference(text, context.quoted, context.config)
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
        Kind::Random => is_random(text, if context.quoted { 8 } else { 16 }),
    }
}

/// Made of the words that name it: `access_token`, `user-password`. Beside a user's name even `password` is one.
fn names_itself(text: &str, context: &Context<'_>) -> bool {
    let words = words(text);
    if words.is_empty() || !words.iter().all(|word| NAMES.contains(&word.as_str())) {
        return false;
    }
    let used = text == "secret" || has_user(context.line, text);
    !(context.kind == Kind::Password && is_weak(text) && used)
}

/// The words that people take first.
fn is_weak(text: &str) -> bool {
    matches!(text, "secret" | "password" | "passwd" | "pass")
}

/// A few plain words, none of which belongs to a message: `correct horse battery`.
fn is_passphrase(text: &str) -> bool {
    const MESSAGES: [&str; 22] = [
        "your", "the", "is", "a", "an", "to", "for", "not", "enter", "must", "or", "and", "of",
        "no", "user", "invalid", "please", "with", "in", "be", "reset", "forgot",
    ];
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    (2..=5).contains(&words.len())
        && text.len() <= 40
        && words.iter().all(|word| {
            word.bytes().all(|byte| byte.is_ascii_lowercase())
                && !MESSAGES.contains(word)
                && !NAMES.contains(word)
                && !is_telling(word)
        })
}

/// Eight, four, four, four and twelve hexadecimal digits: the number of a thing.
fn is_guid(text: &str) -> bool {
    let parts = text.split('-').map(str::len);
    parts.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
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
            let own = CHOSEN.contains(&parts[0].as_str());
            if text.contains('.') || (telling && !own) || parts.len() > 3 {
                return false;
            }
            let constant = text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let camel = !text.contains(['_', '-']);
            if constant || camel && !own {
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
    if context.kind == Kind::Password && is_guid(text) {
        return false;
    }
    let lower = context.name.to_ascii_lowercase();
    !lower.contains(&text.to_ascii_lowercase()) || has_digit || is_weak(text)
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

/// Words with which people who make up a secret begin or adorn it.
const CHOSEN: [&str; 16] = [
    "a",
    "the",
    "my",
    "test",
    "tests",
    "testing",
    "fake",
    "super",
    "very",
    "top",
    "some",
    "any",
    "secure",
    "insecure",
    "django",
    "supersecure",
];

/// Made up of words about secrets and one that is not: `supersecretkey`, `django_tests_secret_key`; `webhook_secret` is a name.
fn is_chosen(text: &str) -> bool {
    let parts = words(text);
    if text.contains('.') || text.bytes().any(|byte| byte.is_ascii_uppercase()) || parts.len() > 4 {
        return false;
    }
    let made_up = |part: &String| {
        let telling = ["secretkey", "secret", "password", "key", "token"];
        let rest = telling.iter().find_map(|word| part.strip_suffix(word));
        rest.is_some_and(|rest| CHOSEN.contains(&rest)) || CHOSEN.contains(&part.as_str())
    };
    is_telling(text) && text.len() >= 8 && parts.iter().any(made_up)
}

/// A shared secret that a person chose: `shhhhh`, `s3cr3t`.
fn may_be_shared(text: &str, context: &Context<'_>) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let lower = text.bytes().all(|byte| byte.is_ascii_lowercase());
    if !context.quoted {
        return has_digit && !text.contains(['.', '/', '-']) && text.len() >= 8;
    }
    // A salt that is a word is the name of what it is for.
    if letters && !is_telling(text) {
        return lower
            && !context.name.to_ascii_lowercase().ends_with("salt")
            && text.len() <= 16
            && !["encrypted", "hashed", "plain"].contains(&text);
    }
    if !has_digit {
        return is_chosen(text);
    }
    has_digit
        && text.len() >= 6
        && !text.contains(['/', '.', ':'])
        && may_be_password(text, context)
}

//! What a name promises: a password, a shared secret, something that a machine made, or nothing to hide.

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

/// At the beginning of a name: it is a question.
const ASKS: [&str; 12] = [
    "has", "is", "use", "uses", "ask", "need", "needs", "require", "requires", "allow", "enable",
    "should",
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
    // has_password, use_token: whether there is one.
    if words.len() > 1 && ASKS.contains(&words[0].as_str()) {
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
    // A secret key is chosen by people as often as made by a machine.
    if (last == "key" && before == "secret") || joined(&["secretkey"]) || last == "secretkey" {
        return Some(Kind::Secret);
    }
    let random = match last {
        "token" | "apikey" | "accesskey" | "authkey" | "authtoken" | "accesstoken" | "apitoken"
        | "appkey" | "privatekey" | "masterkey" | "credential" | "credentials" | "creds"
        | "cred" => true,
        "key" => OF_KEYS.contains(&before),
        _ => joined(&["token", "apikey"]),
    };
    random.then_some(Kind::Random)
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
            ("SECRET_KEY", Some(Kind::Secret)),
            ("stripe_api_key", Some(Kind::Random)),
            ("authToken", Some(Kind::Random)),
            ("passwordField", None),
            ("has-pwd", None),
            ("requirePassword", None),
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

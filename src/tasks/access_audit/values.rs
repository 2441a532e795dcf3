//! What the values of accounts and logins mean, however an application spells them.

use rusqlite::types::ValueRef;

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Somebody is in.
    Succeeded,
    /// Somebody is not.
    Failed,
    /// Another event.
    Other,
}

/// A short text or a whole number, as text; `None` for anything else.
pub fn word(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Yes or no, where the value says either.
fn truth(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(number) => Some(number != 0),
        ValueRef::Real(number) => Some(number != 0.0),
        ValueRef::Text(_) => match word(value)?.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => None,
        },
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// An administrator: a role that is one of `roles`, or a yes in a column whose name asks for it.
pub fn is_admin(column: &str, value: ValueRef<'_>, roles: &[String]) -> bool {
    let column = column.to_ascii_lowercase();
    let asks = ["admin", "super", "staff", "root"]
        .iter()
        .any(|part| column.contains(part));
    // `user,admin`, `["admin"]` and `ROLE_ADMIN` are roles too.
    let is_role = |word: &str| {
        let word = word.to_lowercase();
        let word = word.strip_prefix("role_").unwrap_or(&word);
        roles.iter().any(|known| known.to_lowercase() == word)
    };
    let named = word(value).is_some_and(|role| {
        is_role(&role)
            || role
                .split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'))
                .any(is_role)
    });
    named || (asks && truth(value) == Some(true))
}

/// An account that nobody can use any more: a status of that name, a no where the column asks whether it is active, or anything
/// where it asks the opposite.
pub fn is_disabled(column: &str, value: ValueRef<'_>) -> bool {
    const GONE: [&str; 12] = [
        "disabled",
        "inactive",
        "suspended",
        "deleted",
        "banned",
        "locked",
        "closed",
        "blocked",
        "deactivated",
        "archived",
        "removed",
        "expired",
    ];
    let column = column.to_ascii_lowercase();
    if column.contains("active") || column.contains("enabled") {
        return truth(value) == Some(false);
    }
    let status = word(value).unwrap_or_default().to_ascii_lowercase();
    if column.contains("status") || column.contains("state") {
        return GONE.contains(&status.as_str());
    }
    truth(value).unwrap_or(!status.is_empty())
}

/// How a login ended. A column that asks for success or failure has yes or no; any other has a word, or a status of HTTP. No
/// column: all of them are logins.
pub fn login(column: Option<&str>, value: ValueRef<'_>) -> Login {
    let Some(column) = column else {
        return Login::Succeeded;
    };
    if column.to_ascii_lowercase().contains("fail")
        && let Some(failed) = truth(value)
    {
        return match failed {
            true => Login::Failed,
            false => Login::Succeeded,
        };
    }
    let text = word(value).unwrap_or_default().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "fail",
        "denied",
        "invalid",
        "error",
        "reject",
        "refus",
        "wrong",
        "bad_",
        "unauthor",
        "lock",
        "unsuccess",
        "throttl",
        "too_many",
        "too many",
        "limit",
        "expired",
        "timeout",
        "mismatch",
        "incorrect",
        "forbid",
        "banned",
        "disabled",
        "abort",
    ]) {
        return Login::Failed;
    }
    match text.parse() {
        Ok(400..=599) => return Login::Failed,
        Ok(100..=399) => return Login::Succeeded,
        _ => {}
    }
    match truth(value) {
        Some(true) => return Login::Succeeded,
        Some(false) => return Login::Failed,
        None => {}
    }
    if has(&[
        "logout",
        "log_out",
        "sign_out",
        "signout",
        "attempt",
        "start",
        "request",
        "challenge",
        "pending",
        "required",
        "page",
        "view",
    ]) {
        return Login::Other;
    }
    let said = has(&[
        "login",
        "log_in",
        "logged_in",
        "logged in",
        "signin",
        "sign_in",
        "succ",
        "granted",
        "accepted",
    ]);
    match said || ["ok", "200", "passed"].contains(&text.as_str()) {
        true => Login::Succeeded,
        false => Login::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> ValueRef<'_> {
        ValueRef::Text(value.as_bytes())
    }

    #[test]
    fn administrators() {
        let roles = ["admin".to_owned()];
        for (column, value, expected) in [
            ("role", text("Admin"), true),
            ("role", text("trader"), false),
            ("role", ValueRef::Integer(1), false),
            ("is_admin", ValueRef::Integer(1), true),
            ("is_admin", ValueRef::Integer(0), false),
            ("isAdmin", text("true"), true),
            ("is_admin", ValueRef::Null, false),
            ("role", text("user,admin"), true),
            ("roles", text("[\"admin\"]"), true),
            ("role", text("ROLE_ADMIN"), true),
            ("role", text("non-admin"), false),
            ("role", text("administratorless"), false),
        ] {
            assert_eq!(
                is_admin(column, value, &roles),
                expected,
                "{column} {value:?}"
            );
        }
    }

    #[test]
    fn disabled_accounts() {
        for (column, value, expected) in [
            ("status", text("Suspended"), true),
            ("status", text("active"), false),
            ("is_active", ValueRef::Integer(0), true),
            ("is_active", ValueRef::Integer(1), false),
            ("is_active", ValueRef::Null, false),
            ("disabled", ValueRef::Integer(1), true),
            ("disabled", ValueRef::Integer(0), false),
            ("deleted_at", text("2026-01-01 00:00:00"), true),
            ("deleted_at", ValueRef::Null, false),
        ] {
            assert_eq!(is_disabled(column, value), expected, "{column} {value:?}");
        }
    }

    #[test]
    fn how_a_login_ended() {
        for (value, expected) in [
            (ValueRef::Integer(1), Login::Succeeded),
            (ValueRef::Integer(0), Login::Failed),
            (text("false"), Login::Failed),
            (text("SUCCESS"), Login::Succeeded),
            (text("login_failed"), Login::Failed),
            (text("login"), Login::Succeeded),
            (text("unsuccessful"), Login::Failed),
            (text("logout"), Login::Other),
            (text("password_changed"), Login::Other),
            (text("401"), Login::Failed),
            (text("wrong password"), Login::Failed),
            (ValueRef::Null, Login::Other),
            (ValueRef::Integer(200), Login::Succeeded),
            (ValueRef::Integer(302), Login::Succeeded),
            (ValueRef::Integer(400), Login::Failed),
            (ValueRef::Integer(429), Login::Failed),
            (text("login_blocked"), Login::Failed),
            (text("login_throttled"), Login::Failed),
            (text("too_many_logins"), Login::Failed),
            (text("login_attempt"), Login::Other),
            (text("login_challenge"), Login::Other),
            (text("login_page_viewed"), Login::Other),
        ] {
            assert_eq!(login(Some("result"), value), expected, "{value:?}");
        }
        assert_eq!(login(Some("failed"), ValueRef::Integer(1)), Login::Failed);
        assert_eq!(
            login(Some("failed"), ValueRef::Integer(0)),
            Login::Succeeded
        );
        assert_eq!(login(None, ValueRef::Null), Login::Succeeded);
    }
}

//! `[cache]` and `[[cache.rule]]`: which keys of Redis go, or get an end.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::error::{self, Failure};
use crate::units::{Bytes, Length};

/// More rules than this are a mistake.
const MOST_RULES: usize = 64;

/// Cleaning of Redis.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// other clients wait at most this much longer while we work; we slow down before that
    pub max_latency: Length,
    /// keys that the report of memory looks at
    pub sample: u64,
    /// keys that match, in the order of the rules: the first one that holds for a key is the one that counts
    pub rule: Vec<CacheRule>,
}

/// What happens to which keys.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheRule {
    /// as SCAN has it: * ? [a-z] [^a] and \ before a special character
    #[schemars(example = &"cache:*")]
    pub pattern: String,
    /// always, no-ttl, idle>7d (not read or written), ttl>1d (time left to live), size>1MiB
    #[schemars(example = &"always")]
    pub when: Condition,
    /// unlink, or expire:1h: gone after that time at the latest
    #[schemars(example = &"unlink")]
    pub action: CacheAction,
    /// numbers of databases; empty: that of [redis] url
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = [0])]
    pub databases: Vec<i64>,
}

/// What must hold for a key, at the moment in which it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Condition {
    /// Nothing.
    Always,
    /// It never expires.
    NoTtl,
    /// Nobody has read or written it for longer than this.
    Idle(Length),
    /// It has longer to live than this.
    Ttl(Length),
    /// It takes more memory than this.
    Size(Bytes),
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum CacheAction {
    /// Removed; its memory is freed beside the work of the server.
    Unlink,
    /// It ends after this time, unless it ends before.
    Expire(Length),
}

/// A value without blanks, as it is written.
fn compact(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::NoTtl => f.write_str("no-ttl"),
            Self::Idle(length) => write!(f, "idle>{}", compact(length)),
            Self::Ttl(length) => write!(f, "ttl>{}", compact(length)),
            Self::Size(bytes) => write!(f, "size>{}", compact(bytes)),
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().split_once('>') {
            None if text.trim() == "always" => Ok(Self::Always),
            None if text.trim() == "no-ttl" => Ok(Self::NoTtl),
            Some(("idle", length)) => Ok(Self::Idle(length.parse()?)),
            Some(("ttl", length)) => Ok(Self::Ttl(length.parse()?)),
            Some(("size", bytes)) => Ok(Self::Size(bytes.parse()?)),
            _ => Err(format!(
                "'{text}' is no condition: use always, no-ttl, idle>7d, ttl>1d or size>1MiB"
            )),
        }
    }
}

impl fmt::Display for CacheAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlink => f.write_str("unlink"),
            Self::Expire(length) => write!(f, "expire:{}", compact(length)),
        }
    }
}

impl FromStr for CacheAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().split_once(':') {
            None if text.trim() == "unlink" => Ok(Self::Unlink),
            Some(("expire", length)) => Ok(Self::Expire(length.parse()?)),
            _ => Err(format!("'{text}' is no action: use unlink or expire:1h")),
        }
    }
}

/// From and into the text of the configuration.
macro_rules! as_string {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
as_string!(Condition);
as_string!(CacheAction);

impl Default for Cache {
    fn default() -> Self {
        let rule = |pattern: &str, when| CacheRule {
            pattern: pattern.to_owned(),
            when,
            action: CacheAction::Unlink,
            databases: Vec::new(),
        };
        Self {
            max_latency: Length::from_millis(5),
            sample: 10_000,
            rule: vec![
                rule("cache:*", Condition::Always),
                rule("session:*", Condition::NoTtl),
            ],
        }
    }
}

impl Section for Cache {
    const NAME: &'static str = "cache";

    fn check(&self) -> Result<(), Failure> {
        if self.max_latency.0.is_zero() {
            return Err(error::config("max_latency must be more than 0"));
        }
        if self.rule.len() > MOST_RULES {
            return Err(error::config(format!(
                "{} rules (limit {MOST_RULES})",
                self.rule.len()
            )));
        }
        for rule in &self.rule {
            if rule.pattern.is_empty() {
                return Err(error::config("a rule's pattern is empty"));
            }
            if rule.databases.iter().any(|number| *number < 0) {
                return Err(error::config("databases have numbers from 0 on"));
            }
            let ends = match rule.action {
                CacheAction::Expire(length) => !length.0.is_zero(),
                CacheAction::Unlink => true,
            };
            if !ends {
                return Err(error::config("expire:0 is unlink").hint("action = \"unlink\""));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_actions_are_read_and_shown() {
        for text in ["always", "no-ttl", "idle>7d", "ttl>1h30m", "size>1MiB"] {
            let condition: Condition = text.parse().expect(text);
            assert_eq!(condition.to_string().parse(), Ok(condition), "{text}");
        }
        for text in ["unlink", "expire:1h"] {
            let action: CacheAction = text.parse().expect(text);
            assert_eq!(action.to_string(), text);
        }
        for wrong in [
            "",
            "idle",
            "idle>",
            "idle>7",
            "idle>1mo",
            "age>7d",
            "no-ttl>1d",
        ] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
        for wrong in ["", "del", "expire", "expire:1", "unlink:1h"] {
            assert!(wrong.parse::<CacheAction>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        let rule = |words: &str| format!("[[rule]]\nwhen = \"always\"\n{words}");
        for wrong in [
            "max_latency = \"0s\"".to_owned(),
            rule("pattern = \"\"\naction = \"unlink\""),
            rule("pattern = \"a\"\naction = \"expire:0s\""),
            rule("pattern = \"a\"\naction = \"unlink\"\ndatabases = [-1]"),
        ] {
            let cache: Cache = toml::from_str(&wrong).expect("reads");
            assert!(cache.check().is_err(), "{wrong}");
        }
    }
}

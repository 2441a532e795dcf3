//! `[data_clean]`: which rows of which tables grow too old, and where they go.

use std::path::Path;

use jiff::Zoned;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::database::NAME_RULE;
use super::{Second, Section};
use crate::config::{Config, Origin};
use crate::error::{self, Failure};
use crate::units::CalendarSpan;

/// Rows that grow too old are deleted or archived, rule by rule. A list of rules in the file replaces these whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataClean {
    /// what is too old, and where it goes
    pub rule: Vec<Rule>,
}

/// One table, and what becomes of its old rows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// findings, `--rule` and files of archived rows name it
    #[serde(deserialize_with = "plain_name")]
    #[schemars(example = &"old-logs")]
    pub name: String,
    /// a name of [[database]]
    #[schemars(example = &"app_db")]
    pub database: String,
    /// the table
    #[schemars(example = &"logs")]
    pub table: String,
    /// the column that holds the time; how it is written there is told from its values
    #[schemars(example = &"timestamp")]
    pub column: String,
    /// calendar time before the start of the run: 90d, 6mo, 1y; 0s for times that have come
    #[schemars(example = &"90d")]
    pub older_than: CalendarSpan,
    /// delete or archive
    #[schemars(example = &"delete")]
    pub action: CleanAction,
    /// archive: a table of the same database, or "file:FOLDER" for compressed JSON Lines
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"archived_logs")]
    pub into: Option<String>,
    /// only rows for which this SQL expression is true; it may look at other tables, not at other rows of this one
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"status = 'failed'")]
    pub filter: Option<String>,
    /// rows without a time: keep, or old
    #[serde(default)]
    #[schemars(example = &"keep")]
    pub nulls: Nulls,
    /// more than this part of the table, or of one whose rows go along or change with it, is refused without --yes
    #[serde(default = "half")]
    #[schemars(example = 0.5, range(min = 0.0, max = 1.0))]
    pub max_fraction: f64,
}

/// What becomes of old rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CleanAction {
    /// They go.
    Delete,
    /// They move.
    Archive,
}

/// What a row without a time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Nulls {
    /// Kept, and counted.
    #[default]
    Keep,
    /// As old as what is too old.
    Old,
}

fn half() -> f64 {
    0.5
}

fn plain_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty()
        || name.len() > 100
        || name.starts_with(['.', '-'])
        || !name.chars().all(fine)
    {
        return Err(de::Error::custom(format!(
            "'{}' cannot be a part of file names: {NAME_RULE}",
            name.escape_debug()
        )));
    }
    Ok(name)
}

impl Rule {
    /// The folder of a rule that archives into files.
    pub fn folder(&self) -> Option<&Path> {
        self.into.as_deref()?.strip_prefix("file:").map(Path::new)
    }
}

impl Default for DataClean {
    fn default() -> Self {
        let rule = |name: &str, table: &str, column: &str, older_than| Rule {
            name: name.into(),
            database: "app_db".into(),
            table: table.into(),
            column: column.into(),
            older_than,
            action: CleanAction::Delete,
            into: None,
            filter: None,
            nulls: Nulls::Keep,
            max_fraction: half(),
        };
        Self {
            rule: vec![
                rule("old-logs", "logs", "timestamp", CalendarSpan::days(90)),
                Rule {
                    action: CleanAction::Archive,
                    into: Some("archived_trades".into()),
                    ..rule("old-trades", "trades", "created_at", CalendarSpan::years(1))
                },
                // Everything in a cache may have expired.
                Rule {
                    max_fraction: 1.0,
                    ..rule(
                        "expired-cache",
                        "temp_cache",
                        "expires_at",
                        CalendarSpan::days(0),
                    )
                },
                Rule {
                    filter: Some("status = 'failed'".into()),
                    ..rule(
                        "failed-jobs",
                        "job_logs",
                        "created_at",
                        CalendarSpan::days(30),
                    )
                },
            ],
        }
    }
}

impl Section for DataClean {
    const NAME: &'static str = "data_clean";

    fn check(&self) -> Result<(), Failure> {
        for (at, rule) in self.rule.iter().enumerate() {
            let wrong = |what: String| {
                error::config(format!("[[data_clean.rule]] '{}': {what}", rule.name))
            };
            if !(0.0..=1.0).contains(&rule.max_fraction) {
                return Err(wrong(format!(
                    "max_fraction = {} is no part of a table: from 0 to 1",
                    rule.max_fraction
                )));
            }
            if rule.older_than.before(&Zoned::default()).is_err() {
                return Err(wrong(format!(
                    "older_than = \"{}\" is too long",
                    rule.older_than
                )));
            }
            match (rule.action, rule.into.as_deref()) {
                (CleanAction::Archive, None) => {
                    return Err(wrong(
                        "archive needs into: a table, or \"file:FOLDER\"".into(),
                    ));
                }
                (CleanAction::Delete, Some(_)) => {
                    return Err(wrong("into belongs to action = \"archive\"".into()));
                }
                (CleanAction::Archive, Some("" | "file:")) => {
                    return Err(wrong("into names nothing".into()));
                }
                (CleanAction::Archive, Some(into)) if into.eq_ignore_ascii_case(&rule.table) => {
                    return Err(wrong("into is the table itself".into()));
                }
                (CleanAction::Archive, Some(into)) if !into.starts_with("file:") => {
                    let shares = |other: &&Rule| {
                        let into_same = other.into.as_deref();
                        other.database == rule.database
                            && into_same.is_some_and(|other| other.eq_ignore_ascii_case(into))
                            && !other.table.eq_ignore_ascii_case(&rule.table)
                    };
                    if let Some(other) = self.rule[..at].iter().find(shares) {
                        return Err(wrong(format!(
                            "'{}' archives another table into {into}: what is in there could not be told apart any more",
                            other.name
                        )));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The plan's own rules are for what is there; one that somebody wrote is not.
    fn review(&self, config: &Config) -> Result<(), Failure> {
        if config.origin(Self::NAME, &["rule"]) == Origin::Default {
            return Ok(());
        }
        for (at, rule) in self.rule.iter().enumerate() {
            let place = ["rule", &at.to_string(), "database"];
            config.require_database(Self::NAME, &place, &rule.database)?;
        }
        Ok(())
    }

    fn second(&self) -> Option<Second> {
        self.rule.iter().enumerate().find_map(|(at, rule)| {
            let same = self.rule[..at].iter().any(|other| other.name == rule.name);
            same.then(|| Second {
                place: vec!["rule".to_owned(), at.to_string(), "name".to_owned()],
                message: format!("two [[data_clean.rule]] have the name '{}'", rule.name),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_rules_are_told() {
        let base =
            "name = 'x'\ndatabase = 'app_db'\ntable = 't'\ncolumn = 'c'\nolder_than = '90d'\n";
        for (lines, told) in [
            ("action = 'archive'", "archive needs into"),
            ("action = 'delete'\ninto = 'a'", "into belongs to"),
            ("action = 'archive'\ninto = 'T'", "the table itself"),
            ("action = 'archive'\ninto = 'file:'", "names nothing"),
            ("action = 'delete'\nmax_fraction = 1.5", "from 0 to 1"),
            ("action = 'delete'\nmax_fraction = nan", "from 0 to 1"),
        ] {
            let section: DataClean =
                toml::from_str(&format!("[[rule]]\n{base}{lines}\n")).expect("reads");
            let error = section.check().expect_err(lines);
            assert!(error.message.contains(told), "{lines}: {error}");
        }
        assert!(DataClean::default().check().is_ok());
        // Two tables in one archive; two rules on one table may share it.
        let two = |table: &str, into: &str| {
            let rule = |name: &str, table: &str, into: &str| {
                format!(
                    "[[rule]]\nname = '{name}'\ndatabase = 'a'\ntable = '{table}'\ncolumn = 'c'\nolder_than = '90d'\naction = 'archive'\ninto = '{into}'\n"
                )
            };
            let text = rule("x", "t", "kept") + &rule("y", table, into);
            toml::from_str::<DataClean>(&text).expect("reads").check()
        };
        let error = two("u", "KEPT").expect_err("one archive");
        assert!(error.message.contains("another table"), "{error}");
        assert!(two("T", "kept").is_ok() && two("u", "kept_u").is_ok());
        assert!(toml::from_str::<DataClean>("[[rule]]\nname = '../x'").is_err());
    }
}

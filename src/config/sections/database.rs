//! `[[database]]`: the live SQLite databases.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Second, Section};
use crate::config::Config;
use crate::error::Failure;
use crate::sys::files;

/// All of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Databases(pub Vec<Database>);

/// A live SQLite database: what backup, verify-backup and restore know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// the names of its backups start with it
    #[serde(deserialize_with = "file_name_part")]
    pub name: String,
    /// the database file
    #[serde(deserialize_with = "super::values::path")]
    pub path: PathBuf,
    /// a database without these tables is not backed up but reported
    #[serde(default)]
    pub expect_tables: Vec<String>,
    /// columns that hold when a row was written, by table: how old the data in a backup is
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(example = example_freshness())]
    pub freshness: BTreeMap<String, String>,
}

fn example_freshness() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("trades", "created_at")])
}

/// Names that the program uses for what it always takes along.
pub const RESERVED: [&str; 2] = ["journal", "files"];

/// What a name that becomes a part of file names may hold.
pub const NAME_RULE: &str =
    "use letters, digits, '_', '-', '.', not '-' or '.' first, and at most 100 bytes";

fn file_name_part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    if name.is_empty()
        || name.len() > 100
        || name.starts_with(['.', '-', ' '])
        || !name.chars().all(fine)
    {
        return Err(de::Error::custom(format!(
            "'{}' cannot be a part of file names: {NAME_RULE}",
            name.escape_debug()
        )));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(de::Error::custom(format!(
            "'{name}' is the name of what empire-maint takes along itself"
        )));
    }
    Ok(name)
}

impl Default for Databases {
    fn default() -> Self {
        let database = |name: &str, path: &str, tables: &[&str]| Database {
            name: name.into(),
            path: path.into(),
            expect_tables: tables.iter().map(|&table| table.into()).collect(),
            freshness: BTreeMap::new(),
        };
        Self(vec![
            database("app_db", "data/app.db", &["users", "deals", "trades"]),
            database("rag_db", "data/rag.db", &[]),
        ])
    }
}

impl Section for Databases {
    const NAME: &'static str = "database";

    fn second(&self) -> Option<Second> {
        self.0.iter().enumerate().find_map(|(at, database)| {
            let second = |key: &str, message| Second {
                place: vec![at.to_string(), key.to_owned()],
                message,
            };
            let before = &self.0[..at];
            let name = &database.name;
            if before.iter().any(|other| other.name == *name) {
                let message = format!("two [[database]] have the name '{name}'");
                return Some(second("name", message));
            }
            let same = before.iter().find(|other| other.path == database.path)?;
            let (other, path) = (&same.name, database.path.display());
            let message = format!("the [[database]] '{other}' and '{name}' are one file: {path}");
            Some(second("path", message))
        })
    }

    /// One file that is written in two ways. Two backups of it do no harm, so that this stops none.
    fn review(&self, config: &Config) -> Result<(), Failure> {
        let mut seen: Vec<(&str, PathBuf, Option<files::Identity>)> = Vec::new();
        for (at, database) in self.0.iter().enumerate() {
            let Ok(path) = config.path(&database.path) else {
                return Ok(());
            };
            let path: PathBuf = path.components().collect();
            let identity = files::identity(&path).ok().flatten();
            let is_same = |other: &&(&str, PathBuf, Option<files::Identity>)| {
                other.1 == path || (identity.is_some() && other.2 == identity)
            };
            if let Some((other, ..)) = seen.iter().find(is_same) {
                let message = format!("this is the file of the [[database]] '{other}' too");
                let place = [&at.to_string(), "path"];
                return Err(config.impossible(Self::NAME, &place, &message));
            }
            seen.push((&database.name, path, identity));
        }
        Ok(())
    }
}

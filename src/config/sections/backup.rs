//! `[backup]`: where backups go, how, and how long they are kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::units::{Bytes, Length};

/// Backups of every database, of the journal and of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// where backups are written
    #[serde(deserialize_with = "super::values::path")]
    pub dir: PathBuf,
    /// the one level so far; at most 15% larger than gzip -6
    pub level: Level,
    /// a backup whose reader makes the write-ahead log grow past this is stopped
    pub max_wal: Bytes,
    /// how long writers of a database that is not in WAL mode may be held up
    pub max_lock: Length,
    /// 0: all cores (at nice 10), at most 16
    pub threads: usize,
    /// free space that a backup leaves, and data-clean where it writes files
    pub reserve: Bytes,
    /// older than this is a finding
    pub max_age: Length,
    /// how long backups are kept
    pub keep: Keep,
    /// further files or folders to take along; the journal and the configuration always are
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file: Vec<FileSource>,
}

/// How hard to compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// level 1 of ISA-L, or of libdeflate where ISA-L would cost over 4% in size
    #[default]
    Fast,
}

/// Which verified backups are kept, counted from the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// the newest backup of each of so many days
    pub daily: u32,
    /// the newest backup of each of so many weeks
    pub weekly: u32,
    /// the newest backup of each of so many months
    pub monthly: u32,
    /// verified backups that no rule may remove, at least 1
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(range(min = 1))]
    pub minimum: u32,
}

/// A file or folder that is no database.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// a file or folder; links in it are stored as links
    #[schemars(example = &"certs")]
    #[serde(deserialize_with = "super::values::path")]
    pub path: PathBuf,
}

fn at_least_one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("at least 1 backup must be kept")),
        number => Ok(number),
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 4,
            monthly: 0,
            minimum: 3,
        }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            dir: "backups".into(),
            level: Level::Fast,
            max_wal: Bytes(2 << 30),
            max_lock: Length::from_millis(5_000),
            threads: 0,
            reserve: Bytes(64 << 20),
            max_age: Length::from_millis(26 * 3_600_000),
            keep: Keep::default(),
            file: Vec::new(),
        }
    }
}

impl Section for Backup {
    const NAME: &'static str = "backup";
}

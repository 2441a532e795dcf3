//! The manifest: what a backup promises about itself. Its size does not grow with the data.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::Content;
use crate::error::{Failure, Kind, damaged, missing, system_error};
use crate::sqlite::Facts;
use crate::sys::files;

/// The layout that this version writes and reads.
pub const FORMAT: u32 = 1;

const LARGEST: u64 = 16 << 20;

/// Everything that is known of one backup.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    /// The stem that its files start with.
    pub backup: String,
    /// The name of the database, or `journal`, or `files`.
    pub series: String,
    /// What the plain bytes are.
    pub content: Content,
    /// The exact instant of the snapshot; orders the catalogue.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// Where it was made.
    pub host: String,
    /// The program and its version.
    pub tool: String,
    /// The SQLite that read the database.
    pub sqlite: String,
    /// The run that made it; empty where it was adopted.
    pub run_id: String,
    /// The file that was backed up.
    pub source: String,
    /// The plain database or tar.
    pub plain: Plain,
    /// The .gz.
    pub gz: Stored,
    /// The index; absent for adopted backups.
    pub index: Option<Index>,
    /// What was true of the database in the snapshot; absent for a tar.
    pub database: Option<Facts>,
    /// The journal mode of the source.
    pub journal_mode: Option<String>,
    /// What was checked, and how far.
    pub checks: Checks,
    /// Set when the backup was verified, never without.
    pub verified: Option<Verified>,
    /// Set when damage was found.
    pub bad: Option<Bad>,
    /// Kept whatever retention says.
    pub pinned: Option<Pinned>,
}

/// The plain bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plain {
    /// Bytes.
    pub size: u64,
    /// What `b3sum` prints.
    pub blake3: String,
}

/// The bytes on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// What `sha256sum` prints.
    pub sha256: String,
}

/// The index beside the .gz.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// BLAKE3 of the whole index.
    pub blake3: String,
    /// Plain bytes of every member but the last.
    pub block: u64,
    /// Number of members.
    pub members: u64,
    /// Members copied from the previous backup after checking their digests.
    pub copied: u64,
    /// Codec of the members.
    pub codec: String,
    /// Its level.
    pub level: u32,
}

/// What was looked at in the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// `quick_check` or `integrity_check`, whichever ran last; `none` for a tar.
    pub integrity: String,
    /// The tables that had to be there.
    pub expected_tables: Vec<String>,
}

/// How far a backup was verified.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum VerifiedLevel {
    /// Sound in the snapshot, every stored byte re-read, every member inflated at most 7 days before.
    Checked,
    /// Everything restored into a scratch file and checked there.
    Restored,
}

impl VerifiedLevel {
    /// The word in the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Restored => "restored",
        }
    }
}

/// When and how it was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// How far.
    pub level: VerifiedLevel,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The member that was inflated longest ago was inflated on this day.
    pub oldest_inflation: String,
}

/// When damage was found, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bad {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What.
    pub reason: String,
}

/// Who wants it kept, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pinned {
    /// The user's name or number.
    pub by: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

impl Manifest {
    /// True when it may be counted on: verified and not found bad since.
    pub fn is_good(&self) -> bool {
        self.verified.is_some() && self.bad.is_none()
    }

    /// What is wrong with data that has this many bytes, without a look into it.
    pub fn misfit(&self, size: u64) -> Option<String> {
        (size != self.gz.size)
            .then(|| format!("it has {size} bytes, and {} when it was made", self.gz.size))
    }

    /// Reads and checks a manifest file. What is no manifest is damaged; a disk or a permission that says no tells nothing of it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let content = files::read_small(path, LARGEST).map_err(|error| {
            let told = format!("{error:#}");
            match error.chain().find_map(system_error) {
                Some(ErrorKind::PermissionDenied) => {
                    missing(told).hint("run as root or as the owner of the backups")
                }
                Some(_) => Failure::new(Kind::Failed, told),
                None => damaged(told),
            }
        })?;
        Self::parse(&content)
            .map_err(|error| damaged(format!("cannot read {}: {error:#}", path.display())))
    }

    /// The manifest in the bytes of such a file.
    pub fn parse(content: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_slice(content).context("not a manifest")?;
        anyhow::ensure!(
            manifest.format == FORMAT,
            "it has format {}, this version reads {FORMAT}",
            manifest.format
        );
        Ok(manifest)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// `2026-11-24` of a day number.
pub fn day_text(day: u32) -> String {
    Timestamp::from_second(i64::from(day) * 86_400)
        .map(|time| time.strftime("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

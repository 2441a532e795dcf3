//! `app_db_20261124T030000Z.db.gz` and the names beside it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const OURS: &str = "%Y%m%dT%H%M%SZ";
/// `$(date +%Y%m%d_%H%M%S)`.
const SCRIPTS: &str = "%Y%m%d_%H%M%S";

/// What the plain bytes are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// An SQLite database.
    Sqlite,
    /// A tar of files.
    Tar,
}

impl Content {
    fn extension(self) -> &'static str {
        match self {
            Self::Sqlite => "db",
            Self::Tar => "tar",
        }
    }
}

/// The name of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name of the database, or `journal`, or `files`.
    pub series: String,
    /// `app_db_20261124T030000Z`: what all its files start with.
    pub stem: String,
    /// To the second; the exact instant is in the manifest.
    pub stamp: Timestamp,
    /// Decides the extension.
    pub content: Content,
}

impl Name {
    /// The name of a backup made at `at`.
    pub fn new(series: &str, at: Timestamp, content: Content) -> Self {
        let stamp = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Self {
            series: series.to_owned(),
            stem: format!("{series}_{}", stamp.strftime(OURS)),
            stamp,
            content,
        }
    }

    /// Reads a file name of `series`: ours, or `app_db_20241101_030000.db.gz` as the plan's script made them (local time, taken as UTC
    /// until it is adopted, see [`Name::taken_in`]).
    pub fn parse(series: &str, file: &str) -> Option<Self> {
        let rest = file.strip_prefix(series)?.strip_prefix('_')?;
        let (stamp, content) = [Content::Sqlite, Content::Tar]
            .into_iter()
            .find_map(|content| {
                let suffix = format!(".{}.gz", content.extension());
                Some((rest.strip_suffix(&suffix)?, content))
            })?;
        let civil = [OURS, SCRIPTS]
            .into_iter()
            .find_map(|format| DateTime::strptime(format, stamp).ok())?;
        let digits = stamp.bytes().filter(u8::is_ascii_digit).count();
        let stamp_time = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        (digits == 14).then(|| Self {
            series: series.to_owned(),
            stem: format!("{series}_{stamp}"),
            stamp: stamp_time,
            content,
        })
    }

    /// The instant that the name tells, where the plan's script wrote the time of `zone` into it.
    pub fn taken_in(&self, zone: &TimeZone) -> Timestamp {
        let local = self
            .stem
            .strip_prefix(&self.series)
            .and_then(|rest| DateTime::strptime(SCRIPTS, rest.strip_prefix('_')?).ok())
            .and_then(|civil| civil.to_zoned(zone.clone()).ok());
        local.map_or(self.stamp, |local| local.timestamp())
    }

    /// A file name of a series that nobody has named: what stands before the stamp.
    pub fn of_any_series(file: &str) -> Option<Self> {
        let ends = file.char_indices().rev().filter(|(_, c)| *c == '_');
        // The older form of the stamp has a '_' of its own.
        ends.take(2)
            .find_map(|(at, _)| Self::parse(&file[..at], file))
    }

    /// `….db.gz`.
    pub fn file(&self) -> String {
        format!("{}.{}.gz", self.stem, self.content.extension())
    }

    /// The data.
    pub fn gz(&self, folder: &Path) -> PathBuf {
        folder.join(self.file())
    }

    /// The index of the members.
    pub fn index(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.idx", self.file()))
    }

    /// The manifest: its presence is the backup.
    pub fn manifest(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.file()))
    }

    /// A manifest on its way out.
    pub fn doomed(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json.del", self.file()))
    }

    /// A file that is still being written: `gz`, `idx` or `json` before it has its final name.
    pub fn part(&self, folder: &Path, which: Part) -> PathBuf {
        folder.join(format!(".{}{}.part", self.file(), which.suffix()))
    }
}

/// The three files of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The data.
    Gz,
    /// The index.
    Index,
    /// The manifest.
    Manifest,
}

impl Part {
    /// All of them, in the order in which they get their final names.
    pub const ALL: [Self; 3] = [Self::Gz, Self::Index, Self::Manifest];

    /// What stands behind the name of the data.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gz => "",
            Self::Index => ".idx",
            Self::Manifest => ".json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let at: Timestamp = "2026-11-24T03:00:00.123Z".parse().expect("a time");
        let name = Name::new("app_db", at, Content::Sqlite);
        assert_eq!(name.file(), "app_db_20261124T030000Z.db.gz");
        assert_eq!(Name::parse("app_db", &name.file()), Some(name));
    }

    #[test]
    fn another_series_with_the_same_start_is_not_ours() {
        assert_eq!(Name::parse("app", "app_db_20261124T030000Z.db.gz"), None);
        for odd in [
            "app_../../x.db.gz",
            "app_20261124T030000Z.db.gz.json",
            "app_20261124T030000Z.db",
            "app_20261324T030000Z.db.gz",
        ] {
            assert_eq!(Name::parse("app", odd), None, "{odd}");
        }
    }

    #[test]
    fn the_series_is_what_stands_before_the_stamp() {
        for (file, series) in [
            ("app_db_20261124T030000Z.db.gz", Some("app_db")),
            ("app_db_20241101_030000.db.gz", Some("app_db")),
            ("files_20261124T030000Z.tar.gz", Some("files")),
            ("app_db.db.gz", None),
            ("20261124T030000Z.db.gz", None),
        ] {
            let name = Name::of_any_series(file);
            assert_eq!(name.map(|name| name.series).as_deref(), series, "{file}");
        }
    }

    #[test]
    fn the_old_script_s_names_are_known() {
        let name = Name::parse("app_db", "app_db_20241101_030000.db.gz").expect("is known");
        assert_eq!(name.stamp.to_string(), "2024-11-01T03:00:00Z");
        assert_eq!(name.file(), "app_db_20241101_030000.db.gz");
        let tokyo = TimeZone::get("Asia/Tokyo").expect("a zone");
        assert_eq!(name.taken_in(&tokyo).to_string(), "2024-10-31T18:00:00Z");
        let ours = Name::new("app_db", name.stamp, Content::Sqlite);
        assert_eq!(ours.taken_in(&tokyo), ours.stamp);
    }
}

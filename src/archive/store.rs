//! What is backed up and where backups go: the configuration, resolved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::name::Name;
use crate::config::sections::{Backup, Databases};
use crate::config::{Config, Origin};
use crate::error::{missing, usage};
use crate::sqlite;
use crate::sys::files::{self, Identity};
use crate::sys::process::{shell_path, shell_word};

/// The series that is the program's own memory.
pub const JOURNAL: &str = "journal";
/// The series of everything that is no database.
pub const FILES: &str = "files";

/// The configured databases and the folder of their backups.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where backups are.
    pub folder: PathBuf,
    /// In the order of the configuration.
    pub databases: Vec<Source>,
    /// True where they are those of the defaults: nobody has listed any.
    pub by_default: bool,
    /// The file that was read.
    configuration: Option<PathBuf>,
}

/// One live database.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of its series.
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
    /// Tables without which it is not what it should be.
    pub expect_tables: Vec<String>,
    /// Table to column: how old its data is.
    pub freshness: BTreeMap<String, String>,
}

impl Store {
    /// Reads `[backup]` and `[[database]]`.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        let databases = config.get::<Databases>()?.0.into_iter().map(|database| {
            Ok(Source {
                path: config.path(&database.path)?,
                name: database.name,
                expect_tables: database.expect_tables,
                freshness: database.freshness,
            })
        });
        let databases = databases.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            folder: config.path(&config.get::<Backup>()?.dir)?,
            databases,
            by_default: config.origin("database", &[]) == Origin::Default,
            configuration: config.source().map(std::path::absolute).transpose()?,
        })
    }

    /// The command that puts lines at the end of the configuration: one line for a shell, whatever prints it.
    pub fn appending(&self, lines: &[String]) -> String {
        // The first is empty: the last line of the file may have no end.
        let lines = std::iter::once("").chain(lines.iter().map(String::as_str));
        let words: Vec<_> = lines.map(shell_word).collect();
        let file = shell_path(self.configuration());
        format!("printf '%s\\n' {} >> {file}", words.join(" "))
    }

    /// The same where no line of it matches `pattern` yet.
    pub fn appending_unless(&self, pattern: &str, lines: &[String]) -> String {
        let folder = match self.configuration {
            Some(_) => String::new(),
            None => format!(
                "mkdir -p {}; ",
                shell_path(files::parent(self.configuration()))
            ),
        };
        let file = shell_path(self.configuration());
        let append = self.appending(lines);
        format!(
            "{folder}grep -qs {} {file} || {append}",
            shell_word(pattern)
        )
    }

    /// The file that was read, or else the one that would be.
    fn configuration(&self) -> &Path {
        let file = self.configuration.as_deref();
        file.unwrap_or(Path::new("/etc/empire-maint/config.toml"))
    }

    /// Errs where the folder of the backups is not there, or cannot be read: that is not the same as no backups.
    pub fn require_folder(&self) -> anyhow::Result<()> {
        if files::metadata(&self.folder)?.is_none() {
            return Err(missing(format!(
                "the backup folder {} is not there",
                self.folder.display()
            ))
            .hint("is its disk mounted? [backup] dir says where it is")
            .into());
        }
        files::require_readable_directory(&self.folder)
    }

    /// The configured database of that name.
    pub fn database(&self, name: &str) -> anyhow::Result<&Source> {
        let names = || {
            self.databases
                .iter()
                .map(|database| database.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        self.databases
            .iter()
            .find(|database| database.name == name)
            .ok_or_else(|| {
                usage(format!(
                    "there is no database '{name}' in the configuration"
                ))
                .hint(format!("there are: {}", names()))
                .into()
            })
    }

    /// Configured databases, their side files, the backup folder and our own state: never read as plain files.
    pub fn untouchable(&self, state: &Path) -> Vec<Identity> {
        let databases = self.databases.iter().flat_map(|database| {
            let sides = sqlite::side_files(&database.path);
            std::iter::once(database.path.clone()).chain(sides)
        });
        // One that cannot be looked at cannot be walked into either.
        [state.to_owned(), self.folder.clone()]
            .into_iter()
            .chain(databases)
            .filter_map(|path| files::identity(&path).ok().flatten())
            .collect()
    }

    /// Series that have backups with a manifest here and are not configured any more, and how many backups each: nobody lists,
    /// verifies or removes them.
    pub fn orphans(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let known = self.series();
        let mut found = BTreeMap::new();
        for entry in files::list(&self.folder)? {
            if let Some(name) = entry.file_name().to_str().and_then(Name::of_any_series)
                && !known.contains(&name.series)
                && files::link_metadata(&name.manifest(&self.folder))?.is_some()
            {
                *found.entry(name.series).or_default() += 1;
            }
        }
        Ok(found)
    }

    /// Every series: the databases, the journal, the files.
    pub fn series(&self) -> Vec<String> {
        self.databases
            .iter()
            .map(|database| database.name.clone())
            .chain([JOURNAL.to_owned(), FILES.to_owned()])
            .collect()
    }
}

//! The procedures of the plan (§9.1), filled in with this server's own paths, names and commands; one's own beside them.
//! Changes nothing, takes no lock, leaves no trace.

mod template;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Config;
use crate::config::sections::{App, Backup, Databases, Runbooks};
use crate::context::Context;
use crate::error::{missing, usage};
use crate::output::clean;
use crate::report::{Cell, Document, Reporter, Table};
use crate::sys::lock::Lock;
use crate::sys::{files, process};
use crate::task;
use crate::units;
use template::Values;

/// The built-in ones.
const PAGES: [(&str, &str); 8] = [
    ("start-stop", include_str!("pages/start-stop.md")),
    ("restore", include_str!("pages/restore.md")),
    ("certificates", include_str!("pages/certificates.md")),
    ("rollback", include_str!("pages/rollback.md")),
    ("incident", include_str!("pages/incident.md")),
    ("performance", include_str!("pages/performance.md")),
    ("escalation", include_str!("pages/escalation.md")),
    (
        "without-empire-maint",
        include_str!("pages/without-empire-maint.md"),
    ),
];

const LARGEST: u64 = 1 << 20;
const MOST_OWN: usize = 1000;
const LONGEST_NAME: usize = 100;

/// Show the procedures for bad days, filled in with this server's paths and commands
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// List them: the built-in ones and those in [runbooks] dir (the default)
    List,
    /// Print one as Markdown
    Show {
        /// Its name, as in `runbook list`
        name: String,
    },
}

/// What `runbook` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// What there is, for `list`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    runbooks: Vec<Runbook>,
    /// The page, for `show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// One procedure.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Runbook {
    /// What `show` calls it.
    name: String,
    /// Its first heading.
    title: String,
    /// The file, for one's own.
    file: Option<String>,
}

/// Resolved.
pub struct Task {
    show: Option<String>,
    folder: Option<PathBuf>,
    values: Values,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "runbook";
    type Task = Task;
    type Detail = Detail;

    fn reads_only(&self) -> bool {
        true
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let show = match self.command {
            Some(Command::Show { name }) => Some(name),
            None | Some(Command::List) => None,
        };
        if let Some(name) = show.as_deref().filter(|name| !is_name(name)) {
            let message = format!("'{}' cannot be a runbook's name", name.escape_debug());
            return Err(usage(message).hint("empire-maint runbook list").into());
        }
        let folder = config.get::<Runbooks>()?.dir;
        Ok(Task {
            show,
            folder: folder.map(|folder| config.path(&folder)).transpose()?,
            values: values(config)?,
        })
    }
}

impl task::Task for Task {
    fn locks(&self, _: &Context) -> Vec<Lock> {
        Vec::new()
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        match &self.show {
            None => self.list(context, report),
            Some(name) => {
                let text = self.page(context, name)?;
                report.document(Document::Answer(text.clone()));
                report.detail(&Detail {
                    runbooks: Vec::new(),
                    text: Some(text),
                })
            }
        }
    }
}

impl Task {
    fn list(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let (own, mut remarks) = self.own()?;
        let built_in = PAGES
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|name| !own.contains(name));
        let mut runbooks = Vec::new();
        for name in built_in.chain(own.clone()) {
            let title = match self.page(context, &name) {
                Ok(text) => heading(&text),
                Err(error) => {
                    remarks.push(format!("{name} cannot be read"));
                    format!("cannot be read: {error:#}")
                }
            };
            runbooks.push(Runbook {
                file: own
                    .contains(&name)
                    .then(|| self.file(&name))
                    .flatten()
                    .map(|path| path.display().to_string()),
                title,
                name,
            });
        }
        report.document(Document::Table(Table {
            title: String::new(),
            columns: vec!["runbook", "what for", "file"],
            rows: runbooks
                .iter()
                .map(|one| {
                    let file = one.file.clone();
                    vec![
                        Cell::Text(one.name.clone()),
                        Cell::Text(one.title.clone()),
                        Cell::Text(file.unwrap_or_else(|| "built in".to_owned())),
                    ]
                })
                .collect(),
        }));
        remarks.insert(0, units::count(runbooks.len() as u64, "runbook"));
        report.summarise(remarks.join("; "));
        report.detail(&Detail {
            runbooks,
            text: None,
        })
    }

    /// The names of one's own: files `NAME.md` in the folder, no links; and what is to be said of the rest.
    fn own(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let (mut names, mut remarks) = (Vec::new(), Vec::new());
        let Some(folder) = &self.folder else {
            return Ok((names, remarks));
        };
        if files::metadata(folder)?.is_none() {
            remarks.push(format!("[runbooks] dir: there is no {}", folder.display()));
        }
        let mut left = Vec::new();
        for entry in files::list(folder)? {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = file.strip_suffix(".md").filter(|name| is_name(name));
            match name {
                Some(name) if entry.file_type()?.is_file() && names.len() < MOST_OWN => {
                    names.push(name.to_owned());
                }
                _ if file.to_ascii_lowercase().ends_with(".md") => left.push(file),
                _ => {}
            }
        }
        if !left.is_empty() {
            remarks.push(format!("left out: {}", left.join(", ")));
        }
        Ok((names, remarks))
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{name}.md")))
    }

    /// One's own beats the built-in one of the same name, also when it cannot be read: then that is said.
    fn page(&self, context: &Context, name: &str) -> anyhow::Result<String> {
        let own = self
            .file(name)
            .filter(|file| !matches!(files::link_metadata(file), Ok(None)));
        let page = match own {
            Some(file) => read(&file)?,
            None => PAGES
                .iter()
                .find(|(page, _)| *page == name)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| {
                    missing(format!("there is no runbook '{name}'"))
                        .hint("empire-maint runbook list")
                })?,
        };
        let mut values = Values {
            everywhere: self.values.everywhere.clone(),
            databases: self.values.databases.clone(),
        };
        values
            .everywhere
            .push(("host", context.host.as_ref().to_owned()));
        values
            .everywhere
            .push(("state", process::shell_path(&context.state)));
        Ok(template::fill(&page, &values, &context.commands))
    }
}

/// Text from a file that others may have written: line by line without anything that moves a terminal.
fn read(file: &Path) -> anyhow::Result<String> {
    let content = files::read_small(file, LARGEST).map_err(|error| {
        missing(format!("{error:#}")).hint("[runbooks] dir, or run as somebody who may read it")
    })?;
    let text = String::from_utf8_lossy(&content);
    Ok(text.lines().map(|line| clean(line) + "\n").collect())
}

/// A name that stays in its folder, whoever gives it.
fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with(['.', '-'])
        && name.chars().all(fine)
}

fn heading(text: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix("# "))
        .unwrap_or_default()
        .to_owned()
}

/// What the pages have holes for, as words for a shell.
fn values(config: &Config) -> anyhow::Result<Values> {
    let app = config.get::<App>()?;
    let word = process::shell_path;
    let line = |list: &[String]| {
        let words: Vec<_> = list.iter().map(|one| process::shell_word(one)).collect();
        words.join(" ")
    };
    let root = config.app_root()?;
    let backups = config.path(&config.get::<Backup>()?.dir)?;
    let mut databases = Vec::new();
    let mut paths = Vec::new();
    for database in config.get::<Databases>()?.0 {
        let path = config.path(&database.path)?;
        let file = path.file_name().unwrap_or_default();
        databases.push(vec![
            ("name", process::shell_word(&database.name)),
            ("folder", word(files::parent(&path))),
            ("file", word(Path::new(file))),
            ("path", word(&path)),
        ]);
        paths.push(word(&path));
    }
    let named = config
        .source()
        .filter(|source| !config.is_system_file(source));
    let options = match named {
        Some(source) => format!(" --config {}", word(&std::path::absolute(source)?)),
        None => String::new(),
    };
    // Root does not use a file that belongs to somebody else.
    let owner = named.and_then(|source| files::metadata(source).ok().flatten());
    let is_roots = owner.is_none_or(|meta| meta.uid() == 0);
    let sudo = if is_roots { "sudo " } else { "" };
    let source = config.source().map(std::path::absolute).transpose()?;
    Ok(Values {
        everywhere: vec![
            ("root", word(&root)),
            ("service", process::shell_word(&app.service)),
            ("listen", app.listen.clone()),
            (
                "port",
                app.listen.rsplit(':').next().unwrap_or_default().to_owned(),
            ),
            ("health_url", process::shell_word(&app.health_url)),
            ("stop", line(&app.stop_command())),
            ("start", line(&app.start_command())),
            ("reload", line(&app.reload_command())),
            (
                "user",
                match &app.user {
                    Some(user) => process::shell_word(user),
                    None => format!("\"$(stat -c %U {})\"", word(&root)),
                },
            ),
            (
                "config",
                source.map_or("/etc/empire-maint/config.toml".to_owned(), |path| {
                    word(&path)
                }),
            ),
            ("options", options),
            ("sudo", sudo.to_owned()),
            ("backups", word(&backups)),
            ("database_paths", paths.join(" ")),
        ],
        databases,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        for good in ["restore", "my-own_2.0", "A"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(101);
        for bad in [
            "", ".", "..", "../x", "a/b", "-x", ".hidden", "a b", "ä", "a\0", &long,
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}

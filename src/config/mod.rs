//! The configuration: where it is found, how each section is read, where each value came from.
//! Sections are parsed one by one, so that a typo in one that a task does not read stops neither tonight's backup nor its alert.

mod docs;
mod secret;
pub mod sections;
mod source;
mod syntax;
mod when;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

pub use docs::{commented_file, described_keys, says_it_is_there, schema};
pub use secret::Secret;
pub use source::VARIABLE;
pub use when::{Days, EVERY_MONTH, When, month_numbers, weekday_name};

use source::{SYSTEM_FILE, find, read};
use syntax::{explain, header, headers, nearest, require_shallow};

use crate::error::{self, Failure};
use crate::report::{Finding, Severity};

/// Finding id: a section that this task does not read is broken.
pub const INVALID: &str = "config.invalid";

/// Finding id: nothing is sent through a channel.
pub const UNUSED_CHANNEL: &str = "config.unused-channel";

const MOST_ERRORS: usize = 100;

/// One `[section]` or `[[section]]`: pure data with the plan's values as its default.
pub trait Section: Serialize + DeserializeOwned + JsonSchema + Default {
    /// The name in the file.
    const NAME: &'static str;

    /// What no single key can say: values that do not fit together.
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// An item of a list that cannot stand beside those before it.
    fn second(&self) -> Option<Second> {
        None
    }

    /// What some task cannot use, while the others can: names of other sections, values of one check. `config check` refuses it, and
    /// a run that does not read the section finds it; the task that needs it asks by itself.
    fn review(&self, _config: &Config) -> Result<(), Failure> {
        Ok(())
    }
}

/// The second of two that exclude each other.
pub struct Second {
    /// Where it stands in its section: keys, and numbers in lists from 0.
    pub place: Vec<String>,
    /// What is wrong with it.
    pub message: String,
}

/// What `config check`, `config show`, `config init` and the schema need to know of a section's type.
pub struct SectionEntry {
    /// The name in the file.
    pub name: &'static str,
    value: fn(&Config) -> anyhow::Result<serde_json::Value>,
    check: fn(&Config) -> anyhow::Result<()>,
    defaults: fn() -> serde_json::Result<serde_json::Value>,
    schema: fn(&mut schemars::SchemaGenerator) -> Schema,
}

/// Makes the entry of one section type.
pub const fn section<S: Section>() -> SectionEntry {
    SectionEntry {
        name: S::NAME,
        value: |config| Ok(serde_json::to_value(config.section::<S>()?)?),
        check: |config| Ok(config.section::<S>()?.review(config)?),
        defaults: || serde_json::to_value(S::default()),
        schema: |generator| generator.subschema_for::<S>(),
    }
}

/// The file as it was found, or the defaults.
pub struct Config {
    source: Option<PathBuf>,
    text: &'static str,
    tables: Vec<(String, Spanned<DeValue<'static>>)>,
    broken: Vec<Broken>,
    root: Option<PathBuf>,
    read: Mutex<BTreeSet<&'static str>>,
}

/// A syntax error that the parser could recover from.
struct Broken {
    section: Option<String>,
    message: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not in the file.
    Default,
    /// The line of the file, counted from 1.
    Line(usize),
}

impl Config {
    /// Finds and reads the file: `explicit`, else `$EMPIRE_MAINT_CONFIG`, else the system's, else (not as root) the one here.
    pub fn load(explicit: Option<&Path>, root: Option<&Path>) -> anyhow::Result<Self> {
        let source = match explicit {
            Some(path) => Some(path.to_owned()),
            None => find()?,
        };
        let text = match &source {
            None => String::new(),
            Some(path) => read(path)?,
        };
        Self::parse(source, text, root.map(Path::to_owned))
    }

    /// The defaults alone.
    pub fn defaults(root: Option<&Path>) -> Self {
        Self {
            source: None,
            text: "",
            tables: Vec::new(),
            broken: Vec::new(),
            root: root.map(Path::to_owned),
            read: Mutex::default(),
        }
    }

    /// The configuration in a text; `source` is what errors call it.
    pub fn parse(
        source: Option<PathBuf>,
        text: String,
        root: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        require_shallow(&text, source.as_deref())?;
        // Read once and needed until the end: the parsed values borrow from it.
        let text: &'static str = text.leak();
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut config = Self {
            source,
            text,
            tables: table
                .into_inner()
                .into_iter()
                .map(|(name, value)| (name.into_inner().into_owned(), value))
                .collect(),
            root,
            ..Self::defaults(None)
        };
        if let Some(first) = errors.first() {
            config.require_recovered(first, errors.len())?;
        }
        config.broken = errors
            .iter()
            .map(|error| Broken {
                section: error.span().and_then(|span| config.section_at(span.start)),
                message: config.place(error.span(), error.message()),
            })
            .collect();
        Ok(config)
    }

    /// Where the parser lost a section altogether, or stumbles all the time, nobody knows what the operator wanted.
    fn require_recovered(&self, error: &toml::de::Error, errors: usize) -> anyhow::Result<()> {
        let lost = || {
            headers(self.text).any(|(_, name)| !self.tables.iter().any(|(table, _)| *table == name))
        };
        if errors > MOST_ERRORS || lost() {
            return Err(error::config(self.place(error.span(), error.message())).into());
        }
        Ok(())
    }

    /// The file that was read.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// True for the file that is found without being named.
    pub fn is_system_file(&self, path: &Path) -> bool {
        path == Path::new(SYSTEM_FILE)
    }

    /// Reads one section: the defaults, with what the file says in their place.
    pub fn get<S: Section>(&self) -> anyhow::Result<S> {
        let section = self.section()?;
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(S::NAME);
        Ok(section)
    }

    /// The same where the task can do without: one that is broken is nothing here, and `config.invalid` to the run.
    pub fn peek<S: Section>(&self) -> Option<S> {
        self.section().ok()
    }

    fn section<S: Section>(&self) -> anyhow::Result<S> {
        if let Some(broken) = self.broken.iter().find(|broken| {
            broken
                .section
                .as_deref()
                .is_none_or(|section| section == S::NAME)
        }) {
            return Err(error::config(broken.message.clone()).into());
        }
        let Some((_, value)) = self.tables.iter().find(|(name, _)| name == S::NAME) else {
            return Ok(S::default());
        };
        if let Some((span, message)) = unusable(value) {
            return Err(error::config(self.place(Some(span), message)).into());
        }
        let section = S::deserialize(ValueDeserializer::from(value.clone())).map_err(|error| {
            let line = error.span().map_or("", |span| self.line(span.start).1);
            let (message, hint) = explain(error.message(), line);
            let mut failure = error::config(self.place(error.span(), &message));
            failure.hint = hint;
            failure
        })?;
        section.check().map_err(|mut failure| {
            failure.message = self.place(Some(value.span()), &failure.message);
            failure
        })?;
        if let Some(second) = section.second() {
            let place: Vec<_> = second.place.iter().map(String::as_str).collect();
            return Err(self.impossible(S::NAME, &place, &second.message).into());
        }
        Ok(section)
    }

    /// The application's root: `--root`, else `[app] root`.
    pub fn app_root(&self) -> anyhow::Result<PathBuf> {
        match &self.root {
            Some(root) => Ok(std::path::absolute(root)?),
            None => Ok(self.get::<sections::App>()?.root),
        }
    }

    /// A configured path; a relative one starts at the application's root.
    pub fn path(&self, path: &Path) -> anyhow::Result<PathBuf> {
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        Ok(std::path::absolute(self.app_root()?.join(path))?)
    }

    /// What is wrong in sections that nobody has read with success so far; and sections that do not exist.
    pub fn problems_elsewhere(&self) -> Vec<Finding> {
        let read = self
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.problems(|name| !read.contains(name))
            .into_iter()
            .map(|(subject, failure)| {
                let mut finding = Finding::new(INVALID, Severity::High, subject, failure.message);
                finding.hint = failure
                    .hint
                    .or_else(|| Some("empire-maint config check".to_owned()));
                finding
            })
            .collect()
    }

    /// Everything that is wrong in the wanted sections, by section name.
    pub fn problems(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, Failure)> {
        let mut found = Vec::new();
        for (name, value) in &self.tables {
            if !wanted(name) {
                continue;
            }
            match sections::ALL.iter().find(|entry| entry.name == name) {
                Some(entry) => {
                    if let Err(error) = (entry.check)(self) {
                        let failure = error::failure_in(&error)
                            .cloned()
                            .unwrap_or_else(|| error::config(format!("{error:#}")));
                        found.push((name.clone(), failure));
                    }
                }
                None => {
                    let message =
                        self.place(Some(value.span()), &format!("unknown section [{name}]"));
                    let mut failure = error::config(message);
                    failure.hint = nearest(name, sections::ALL.iter().map(|entry| entry.name))
                        .map(|near| format!("did you mean [{near}]?"));
                    found.push((name.clone(), failure));
                }
            }
        }
        // An error before the first section, or in one of which nothing is left.
        if let (true, Some(broken)) = (found.is_empty(), self.broken.first()) {
            let section = broken.section.as_deref().unwrap_or("configuration");
            if wanted(section) {
                found.push((section.to_owned(), error::config(broken.message.clone())));
            }
        }
        found
    }

    /// Every section as it is in force, and what is wrong with it where it is not.
    pub fn effective(
        &self,
    ) -> impl Iterator<Item = (&'static str, anyhow::Result<serde_json::Value>)> {
        sections::ALL
            .iter()
            .map(|entry| (entry.name, (entry.value)(self)))
    }

    /// Where the value of `section` and, in it, of the key at `path` came from.
    pub fn origin(&self, section: &str, path: &[&str]) -> Origin {
        match self.span_of(section, path) {
            Some((span, true)) => Origin::Line(self.line(span.start).0),
            _ => Origin::Default,
        }
    }

    /// A value that its own task finds impossible, with its place. For what must not stop the tasks that do not need it.
    pub fn impossible(&self, section: &str, path: &[&str], message: &str) -> Failure {
        let span = self.span_of(section, path).map(|(span, _)| span);
        error::config(self.place(span, message))
    }

    /// Refuses a name that is none of the databases'.
    pub fn require_database(
        &self,
        section: &str,
        path: &[&str],
        name: &str,
    ) -> Result<(), Failure> {
        // What is wrong with the list itself is told by itself.
        let Some(databases) = self.peek::<sections::Databases>() else {
            return Ok(());
        };
        let known: Vec<_> = databases.0.iter().map(|one| one.name.as_str()).collect();
        if known.contains(&name) {
            return Ok(());
        }
        let message = format!("there is no [[database]] '{name}'");
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if known.is_empty() => "no [[database]] is configured".to_owned(),
            None => format!("there are: {}", known.join(", ")),
        };
        Err(self.impossible(section, path, &message).hint(hint))
    }

    /// The place of a section, or of the key or list item at `path` in it, as far as it is there; and whether all of it is.
    fn span_of(&self, section: &str, path: &[&str]) -> Option<(Range<usize>, bool)> {
        let table = self.tables.iter().find(|(name, _)| name == section)?;
        let mut value = &table.1;
        let mut span = value.span();
        for step in path {
            let next = match value.get_ref() {
                DeValue::Table(table) => table
                    .iter()
                    .find(|(name, _)| name.get_ref() == step)
                    .map(|(name, value)| (name.span(), value)),
                DeValue::Array(list) => {
                    let item = step.parse().ok().and_then(|at: usize| list.get(at));
                    item.map(|item| (item.span(), item))
                }
                _ => None,
            };
            let Some((found, below)) = next else {
                return Some((span, false));
            };
            (span, value) = (found, below);
        }
        Some((span, true))
    }

    /// `file:line: message`, with the key that stands there.
    fn place(&self, span: Option<Range<usize>>, message: &str) -> String {
        let file = self
            .source
            .as_deref()
            .unwrap_or(Path::new("configuration"))
            .display();
        match span {
            None => format!("{file}: {message}"),
            Some(span) => {
                let (number, line) = self.line(span.start);
                let header = header(line).map(str::to_owned);
                let section = header
                    .or_else(|| Some(format!("[{}]", self.section_at(span.start)?)))
                    .map(|name| format!(" in {name}"))
                    .unwrap_or_default();
                let key = line.split('=').next().unwrap_or_default().trim();
                let key = if line.contains('=') && !key.is_empty() {
                    format!(", key {key}")
                } else {
                    String::new()
                };
                let message = message.replace('\n', "; ");
                format!("{file}:{number}{section}{key}: {message}")
            }
        }
    }

    fn line(&self, offset: usize) -> (usize, &'static str) {
        let offset = offset.min(self.text.len());
        let before = self.text.get(..offset).unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        (
            number,
            self.text.lines().nth(number - 1).unwrap_or_default(),
        )
    }

    fn section_at(&self, offset: usize) -> Option<String> {
        headers(self.text)
            .take_while(|(start, _)| *start <= offset)
            .last()
            .map(|(_, name)| name)
    }
}

/// Where something stands that no key can mean, and what is wrong with it.
fn unusable(value: &Spanned<DeValue<'_>>) -> Option<(Range<usize>, &'static str)> {
    match value.get_ref() {
        DeValue::Float(number) if number.as_str().parse().is_ok_and(|n: f64| !n.is_finite()) => {
            Some((
                value.span(),
                "nan and inf are no numbers that anything can reach",
            ))
        }
        DeValue::String(text) if text.contains('\0') => Some((value.span(), "it has a NUL in it")),
        DeValue::Array(list) => list.iter().find_map(unusable),
        DeValue::Table(table) => table.values().find_map(unusable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::sections::{App, Backup, Databases};
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Config> {
        Config::parse(Some("c.toml".into()), text.to_owned(), None)
    }

    #[test]
    fn a_list_in_the_file_replaces_the_default_whole() {
        let config = parse("[[database]]\nname = \"one\"\npath = \"one.db\"\n").expect("parses");
        let databases: Databases = config.get().expect("is valid");
        assert_eq!(databases.0.len(), 1);
        assert_eq!(Databases::default().0.len(), 2);
    }

    #[test]
    fn an_unknown_key_names_file_line_section_and_the_nearest() {
        let config = parse("[app]\nroot = \"/srv\"\n\n[backup]\nthread = 2\n").expect("parses");
        let error = config.get::<Backup>().expect_err("unknown key");
        assert_eq!(
            error.to_string(),
            "c.toml:5 in [backup], key thread: unknown key 'thread'"
        );
        let failure = error::failure_in(&error).expect("a failure");
        assert_eq!(failure.hint.as_deref(), Some("did you mean 'threads'?"));
        assert!(
            config.get::<App>().is_ok(),
            "another section is not touched"
        );
    }

    #[test]
    fn a_broken_section_that_nobody_reads_is_a_finding() {
        let config = parse("[backup]\nthreads = \"many\"\n[gpuu]\nx = 1\n").expect("parses");
        let _ = config.get::<App>();
        let subjects: Vec<_> = config
            .problems_elsewhere()
            .into_iter()
            .map(|finding| finding.subject)
            .collect();
        assert_eq!(subjects, ["backup", "gpuu"]);
    }

    #[test]
    fn a_syntax_error_stays_in_its_section() {
        let config =
            parse("[app]\nroot = \"/srv\"\n[verify]\nscratch_dir = = 3\n[backup]\nthreads = 2\n")
                .expect("recovers");
        assert_eq!(config.get::<Backup>().expect("reads").threads, 2);
        assert!(config.get::<sections::Verify>().is_err());
    }

    #[test]
    fn a_syntax_error_that_swallows_sections_is_fatal() {
        assert!(parse("[app]\nroot = \"\"\"/srv\n[backup]\nthreads = 2\n").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_at_once() {
        for bracket in ["[", "[\n", "{a=", "{a=[\n"] {
            assert!(parse(&format!("[app]\nx = {}", bracket.repeat(10_000))).is_err());
        }
        assert!(parse(&format!("[app]\n{}x = 1", "a.".repeat(10_000))).is_err());
        assert!(parse(&"]\n= =\n".repeat(100_000)).is_err());
    }
}

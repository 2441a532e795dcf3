//! Commands that need no run: configuration, completions, manual, schema. They work with a broken configuration where they can.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches as _, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::cli::{self, Globals};
use crate::config::sections::{Alerts, Channel};
use crate::config::{self, Config, Origin};
use crate::demo;
use crate::error::{missing, usage};
use crate::exit;
use crate::report::{Document, Finding, Report, Severity};
use crate::sys::Stop;
use crate::tasks::TASKS;
use crate::units;

const PROGRAM: &str = "empire-maint";
const CONFIG_PAGE: &str = "empire-maint.toml";

/// Their names.
pub const NAMES: [&str; 6] = ["config", "demo", "completions", "man", "schema", "help"];

/// Commands of the plan that this version lacks: something else of a similar name is not what was meant.
const LATER: [&str; 6] = [
    "rotate-logs",
    "perf-report",
    "capacity",
    "dr-drill",
    "compliance",
    "review",
];

/// Write, check or show the configuration
#[derive(Args)]
struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print a full, commented configuration with the plan's defaults
    Init,
    /// Check every section; exit code 3 when one is wrong
    Check,
    /// Print every value in force and where it came from
    Show,
}

/// Print the completions of a shell
#[derive(Args)]
struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Print a manual page
#[derive(Args)]
struct ManArguments {
    /// A command, `empire-maint.toml` for the configuration, or nothing for the program itself
    page: Option<String>,
}

/// Print the JSON Schema of the report or of the configuration
#[derive(Args)]
struct SchemaArguments {
    /// Which
    #[arg(value_enum, default_value_t = Which::Report)]
    which: Which,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Report,
    Config,
}

/// Print the help of a command, as its --help does
#[derive(Args)]
struct HelpArguments {
    /// The command, as in `help backup list`; nothing for all of them
    command: Vec<String>,
}

/// Their part of the command line.
pub fn commands() -> Vec<Command> {
    vec![
        ConfigArguments::augment_args(Command::new("config")),
        demo::Arguments::augment_args(Command::new("demo")),
        CompletionsArguments::augment_args(Command::new("completions")),
        ManArguments::augment_args(Command::new("man")),
        SchemaArguments::augment_args(Command::new("schema")),
        HelpArguments::augment_args(Command::new("help")),
    ]
}

/// Runs one of them into the report; `None` where the name is none of theirs.
pub fn run(
    name: &str,
    matches: &ArgMatches,
    globals: &Globals,
    stop: &Stop,
    report: &mut Report,
) -> Option<anyhow::Result<()>> {
    let result = match name {
        "config" => ConfigArguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| match arguments.command {
                ConfigCommand::Init => text(report, config::commented_file()?),
                ConfigCommand::Check => check(globals, report),
                ConfigCommand::Show => show(globals, report),
            }),
        "demo" => demo::Arguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| demo::run(&arguments, globals, stop, report)),
        "completions" => CompletionsArguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| text(report, completions(arguments.shell)?)),
        "man" => ManArguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| text(report, man(arguments.page.as_deref())?)),
        "schema" => SchemaArguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| {
                let schema = match arguments.which {
                    Which::Report => report_schema(),
                    Which::Config => config::schema().to_value(),
                };
                text(report, serde_json::to_string_pretty(&schema)? + "\n")
            }),
        "help" => HelpArguments::from_arg_matches(matches)
            .map_err(anyhow::Error::from)
            .and_then(|arguments| text(report, help(&arguments.command)?)),
        _ => return None,
    };
    Some(result)
}

fn text(report: &mut Report, text: String) -> anyhow::Result<()> {
    answer(report, text);
    Ok(())
}

/// A text is all that was asked for.
pub fn answer(report: &mut Report, text: String) {
    report.data = json!({ "text": text });
    report.documents.push(Document::Answer(text));
}

fn load(globals: &Globals) -> anyhow::Result<Config> {
    Config::load(globals.config.as_deref(), globals.root.as_deref())
}

fn check(globals: &Globals, report: &mut Report) -> anyhow::Result<()> {
    let config = load(globals)?;
    let source = config
        .source()
        .map_or("the built-in defaults".to_owned(), |path| {
            path.display().to_string()
        });
    let problems = config.problems(|_| true);
    if problems.is_empty() {
        report.summary = format!("{source}: every section is valid");
        let alerts = config.peek::<Alerts>().unwrap_or_default();
        report.findings.extend(alerts.unused().map(unused));
        return Ok(());
    }
    for (subject, failure) in &problems {
        let mut finding = Finding::new(
            config::INVALID,
            Severity::High,
            subject,
            failure.message.clone(),
        );
        finding.hint.clone_from(&failure.hint);
        report.findings.push(finding);
    }
    // Each has been told with its own hint, and of each section the first.
    let sections = units::count(problems.len() as u64, "section");
    Err(crate::error::config(format!("{source}: mistakes in {sections}")).into())
}

fn unused(channel: &Channel) -> Finding {
    Finding::new(
        config::UNUSED_CHANNEL,
        Severity::Medium,
        &channel.name,
        format!(
            "no route names the channel '{}': it gets no alerts",
            channel.name
        ),
    )
    .hint(format!(
        "[[alerts.route]] with channels = [\"{}\"]",
        channel.name
    ))
}

fn show(globals: &Globals, report: &mut Report) -> anyhow::Result<()> {
    let config = load(globals)?;
    let file = config
        .source()
        .map_or(String::new(), |path| path.display().to_string());
    let place = |origin: Origin| match origin {
        Origin::Default => "default".to_owned(),
        Origin::Line(line) => format!("{file}:{line}"),
    };
    let mut shown = String::new();
    let mut data = Map::new();
    let root = globals.root.as_ref().map(|root| root.display().to_string());
    for (section, value) in config.effective() {
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                let finding = Finding::new(
                    config::INVALID,
                    Severity::High,
                    section,
                    format!("{error:#}"),
                );
                report
                    .findings
                    .push(finding.hint("empire-maint config check"));
                shown.push_str(&format!("# [{section}] cannot be read, see below\n\n"));
                continue;
            }
        };
        let mut keys = Map::new();
        match &value {
            Value::Object(table) => {
                shown.push_str(&format!("[{section}]\n"));
                for (path, value) in leaves(table) {
                    let key = dotted(&path);
                    let own = root
                        .as_ref()
                        .filter(|_| (section, &*key) == ("app", "root"));
                    let (origin, value) = match own {
                        Some(root) => ("--root".to_owned(), json!(root)),
                        None => (place(config.origin(section, &path)), value.clone()),
                    };
                    // As a line of a file it would say more than the default does.
                    let is_default = origin == "default";
                    let mark = match is_default && config::says_it_is_there(section, &key) {
                        true => "# ",
                        false => "",
                    };
                    let line = mark.to_owned() + &assignment(&key, &value)?;
                    shown.push_str(&format!("{line:<56} # {origin}\n"));
                    keys.insert(key, json!({"value": value, "origin": origin}));
                }
                data.insert(section.to_owned(), keys.into());
            }
            list => {
                let origin = place(config.origin(section, &[]));
                for item in list.as_array().into_iter().flatten() {
                    let mark = if origin == "default" { "# " } else { "" };
                    shown.push_str(&format!("{mark}[[{section}]]{:<46} # {origin}\n", ""));
                    for (key, value) in item.as_object().into_iter().flatten() {
                        shown.push_str(&format!("{mark}{}\n", assignment(key, value)?));
                    }
                }
                data.insert(section.to_owned(), json!({"value": list, "origin": origin}));
            }
        }
        shown.push('\n');
    }
    report.data = data.into();
    report.documents.push(Document::Answer(shown));
    Ok(())
}

/// The values of a table with their keys, those of tables in it one by one: each may come from somewhere else.
fn leaves(table: &Map<String, Value>) -> Vec<(Vec<&str>, &Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Object(below) if !below.is_empty() => {
                found.extend(leaves(below).into_iter().map(|(mut path, value)| {
                    path.insert(0, key);
                    (path, value)
                }));
            }
            _ => found.push((vec![key.as_str()], value)),
        }
    }
    found
}

/// As TOML writes it.
fn dotted(path: &[&str]) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let words = path
        .iter()
        .map(|word| match word.chars().all(bare) && !word.is_empty() {
            true => (*word).to_owned(),
            false => toml::Value::from(*word).to_string(),
        });
    words.collect::<Vec<_>>().join(".")
}

/// On one line, tables of a list too: a header for one would begin a section.
fn assignment(key: &str, value: &Value) -> anyhow::Result<String> {
    Ok(format!("{key} = {}", toml::Value::try_from(value)?))
}

fn completions(shell: Shell) -> anyhow::Result<String> {
    use clap_complete::{Shell as Generator, generate};
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut bytes = Vec::new();
    generate(generator, &mut cli::command(), "empire-maint", &mut bytes);
    Ok(String::from_utf8(bytes)?)
}

/// What clap answers to `--help` behind these words.
fn help(words: &[String]) -> anyhow::Result<String> {
    let line = std::iter::once(PROGRAM)
        .chain(words.iter().map(String::as_str))
        .chain(["--help"]);
    match cli::command().try_get_matches_from(line) {
        Err(error) if is_answer(&error) => Ok(error.render().to_string()),
        Err(error) => Err(usage_failure(&error).into()),
        Ok(_) => Err(usage("there is no such command").into()),
    }
}

/// The names of all manual pages with their sections of the manual.
pub fn pages() -> Vec<(String, u8)> {
    let commands = below(&cli::command(), PROGRAM);
    let pages = commands.into_iter().map(|(words, _)| (page_of(&words), 8));
    std::iter::once((CONFIG_PAGE.to_owned(), 5))
        .chain(pages)
        .collect()
}

/// A command and all below it, each with the words that call it.
fn below(command: &Command, words: &str) -> Vec<(String, Command)> {
    let more = command
        .get_subcommands()
        .flat_map(|one| below(one, &format!("{words} {}", one.get_name())));
    std::iter::once((words.to_owned(), command.clone()))
        .chain(more)
        .collect()
}

fn page_of(words: &str) -> String {
    words.replace(' ', "-")
}

fn man(page: Option<&str>) -> anyhow::Result<String> {
    let page = page.unwrap_or(PROGRAM);
    if page == CONFIG_PAGE {
        return config_page();
    }
    let long = format!("{PROGRAM}-{page}");
    let (words, command) = below(&cli::command(), PROGRAM)
        .into_iter()
        .find(|(words, _)| [page, &long].contains(&page_of(words).as_str()))
        .ok_or_else(|| {
            missing(format!("there is no manual page '{page}'"))
                .hint("a command's name, empire-maint.toml, or nothing")
        })?;
    let mut bytes = Vec::new();
    let command = command
        .name(page_of(&words))
        .bin_name(&words)
        .after_help(None)
        .disable_help_flag(true)
        .disable_help_subcommand(true);
    clap_mangen::Man::new(command)
        .title(page_of(&words))
        .section("8")
        .source(concat!("empire-maint ", env!("CARGO_PKG_VERSION")))
        .manual("System administration")
        .date("2026-11-24")
        .render(&mut bytes)?;
    let mut text = String::from_utf8(bytes)?;
    text.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in exit::CODES {
        text.push_str(&format!(".TP\n\\fB{code}\\fR\n{meaning}\n"));
    }
    Ok(text)
}

fn config_page() -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let mut page = format!(
        ".TH empire-maint.toml 5 2026-11-24 \"empire-maint {}\" \"File formats\"\n.SH NAME\nempire\\-maint.toml \\- configuration of empire\\-maint\n.SH DESCRIPTION\nTOML. The first one found wins: \\-\\-config, $EMPIRE_MAINT_CONFIG, /etc/empire\\-maint/config.toml and, not as root, ./empire\\-maint.toml. Without one, the defaults below are in force. A list in the file replaces the default list whole. Durations take ms s m h d w, calendar spans mo and y too.\n.SH KEYS\n",
        env!("CARGO_PKG_VERSION")
    );
    let escape = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    for key in config::described_keys()? {
        let _ = writeln!(page, ".TP\n\\fB{}\\fR", escape(&key.name));
        let stop = match key.description.ends_with(['.', '?', '!']) {
            true => "",
            false => ".",
        };
        let _ = write!(page, "{}{stop}", escape(&key.description));
        let word = match key.defaults.len() {
            0 => "",
            1 => " Default: ",
            _ => " Defaults: ",
        };
        let _ = writeln!(page, "{word}{}", escape(&key.defaults.join("; ")));
    }
    page.push_str(".SH SEE ALSO\nempire\\-maint(8)\n");
    Ok(page)
}

/// The JSON Schema of every task's report: the frame, and for each task the layout of its `data`.
pub fn report_schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let frame = generator.subschema_for::<Report>().to_value();
    let details: BTreeMap<&str, Value> = TASKS
        .iter()
        .map(|entry| (entry.name, (entry.detail)(&mut generator).to_value()))
        .collect();
    let rules: Vec<Value> = details
        .into_iter()
        .map(|(task, detail)| {
            json!({
                "if": {"properties": {
                    "task": {"const": task},
                    "data": {"minProperties": 1},
                }},
                "then": {"properties": {"data": detail}},
            })
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "empire-maint report",
        "allOf": [frame, {"allOf": rules}],
        "$defs": generator.take_definitions(true),
    })
}

/// A clap error as ours: bad usage is exit code 3, not clap's 2.
pub fn usage_failure(error: &clap::Error) -> crate::error::Failure {
    let text = error.to_string();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or("bad usage");
    let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let rest: Vec<_> = lines.map(str::trim).collect();
    if message.ends_with(':') {
        // What it is about stands on lines of its own.
        let named = |line: &&&str| !line.starts_with("tip: ") && !line.starts_with("Usage: ");
        let named: Vec<_> = rest.iter().take_while(named).copied().collect();
        message = format!("{message} {}", named.join(", "));
    }
    // What is hidden is for nobody who has to be told of it.
    let tip = rest
        .iter()
        .find_map(|line| line.strip_prefix("tip: "))
        .filter(|tip| !names_hidden(tip));
    let unknown = error.get(clap::error::ContextKind::InvalidSubcommand);
    if let Some(clap::error::ContextValue::String(name)) = unknown
        && LATER.contains(&name.as_str())
    {
        return usage(format!("this version has no {name} yet")).hint("empire-maint help");
    }
    // A value that looks like an option is never what was meant here.
    let is_misleading = |tip: &&str| tip.starts_with("to pass ");
    let usage_line = || {
        let line = rest.iter().find_map(|line| line.strip_prefix("Usage: "));
        line.map(|line| format!("as in: {line}"))
    };
    let there_are = || match error.get(clap::error::ContextKind::ValidValue) {
        Some(clap::error::ContextValue::Strings(values)) if !values.is_empty() => {
            Some(format!("there are: {}", values.join(", ")))
        }
        _ => None,
    };
    let hint = match tip {
        Some(tip) if is_misleading(&tip) => usage_line(),
        Some(tip) => Some(tip.to_owned()),
        None => there_are(),
    };
    usage(message).hint(hint.unwrap_or_else(|| "--help shows what is possible".to_owned()))
}

/// True for a tip that leads to an option which no help shows.
fn names_hidden(tip: &str) -> bool {
    let commands = below(&cli::command(), PROGRAM);
    let mut options = commands
        .iter()
        .flat_map(|(_, command)| command.get_arguments());
    options.any(|option| {
        let name = option.get_long().unwrap_or_default();
        option.is_hide_set() && tip.contains(&format!("'--{name}'"))
    })
}

/// `--help` and `--version` are answers, not errors.
pub fn is_answer(error: &clap::Error) -> bool {
    use clap::error::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

/// No command at all: the help is the best error message.
pub fn is_bare(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

//! The command line: global options, one help template, and the commands of the registry and of `meta`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches as _, ValueEnum as _};
use jiff::Timestamp;

use crate::exit;
use crate::meta;
use crate::output::{Color, Format, Style};
use crate::sys::process::shell_path;
use crate::tasks::TASKS;
use crate::units::{self, Length};

/// Options that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The application's root, instead of [app] root
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// What standard output carries
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Human)]
    format: Format,
    /// Short for --format json
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing when there is nothing to say; the exit code never changes
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print info findings and metrics too
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Change nothing, list what would be done
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,
    /// Send no alert for this run
    #[arg(long, global = true)]
    pub no_alert: bool,
    /// How long to wait for a lock, as in 10m
    #[arg(long, global = true, value_name = "DURATION")]
    lock_wait: Option<Length>,
    /// How long the whole run may take, as in 2h
    #[arg(long, global = true, value_name = "DURATION", value_parser = some_time)]
    timeout: Option<Length>,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// The time that the run believes in, for tests
    #[arg(long, global = true, hide = true, value_name = "TIME", value_parser = units::moment)]
    pub now: Option<Timestamp>,
}

impl Globals {
    /// How to print.
    pub fn style(&self) -> Style {
        Style {
            format: if self.json { Format::Json } else { self.format },
            quiet: self.quiet,
            verbose: self.verbose,
            color: self.color,
        }
    }

    /// What a further command about the same server has to have too, each with a blank behind it.
    pub fn carried(&self) -> String {
        let options = [("--config", &self.config), ("--root", &self.root)];
        let given = options
            .into_iter()
            .filter_map(|(name, path)| Some((name, path.as_deref()?)));
        given
            .map(|(name, path)| {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                format!("{name} {} ", shell_path(&path))
            })
            .collect()
    }

    /// `--lock-wait`.
    pub fn lock_wait(&self) -> Option<Duration> {
        self.lock_wait.map(|length| length.0)
    }

    /// `--timeout`.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|length| length.0)
    }
}

fn some_time(text: &str) -> Result<Length, String> {
    let length: Length = text.parse()?;
    match length.0.is_zero() {
        true => Err("in no time nothing can be done".to_owned()),
        false => Ok(length),
    }
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// The whole command line.
pub fn command() -> Command {
    let root = Command::new("empire-maint")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(exit::table())
        .styles(STYLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .infer_subcommands(false);
    // The options' own documentation would become the program's.
    let root = Globals::augment_args(root)
        .about("Maintenance of a small production server, run by cron: backups that restore");
    let tasks = TASKS.iter().map(|entry| (entry.command)());
    root.subcommands(tasks)
        .subcommands(meta::commands())
        .mut_subcommands(|command| command.after_help(exit::table()).styles(STYLES))
}

/// What was typed, taken apart.
pub struct Invocation {
    /// Options of every command.
    pub globals: Globals,
    /// The command.
    pub name: String,
    /// Its own arguments.
    pub matches: ArgMatches,
}

/// Takes the command line apart; the error is clap's own, which is also how it answers `--help`.
pub fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let Some((name, sub)) = matches.subcommand() else {
        return Err(command.error(clap::error::ErrorKind::MissingSubcommand, "no command"));
    };
    let mut deepest = sub;
    while let Some((_, sub)) = deepest.subcommand() {
        deepest = sub;
    }
    let globals = Globals::from_arg_matches(deepest)?;
    let (name, matches) = (name.to_owned(), sub.clone());
    if !globals.style().format.is_of(&name) {
        let message = format!("{name} has no output in that format");
        return Err(command.error(clap::error::ErrorKind::InvalidValue, message));
    }
    Ok(Invocation {
        globals,
        name,
        matches,
    })
}

/// What can be told of a command line that makes no sense: the report about that still has to have a form.
pub struct Guess {
    /// The command that was probably meant.
    pub task: String,
    /// `--config`, where it was given.
    pub config: Option<PathBuf>,
    /// How to print.
    pub style: Style,
}

/// Guesses without understanding.
pub fn guess(arguments: &[OsString]) -> Guess {
    let words: Vec<_> = arguments
        .iter()
        .skip(1)
        .filter_map(|word| word.to_str())
        .collect();
    let known = |word: &&&str| {
        TASKS.iter().any(|entry| entry.name == **word) || meta::NAMES.contains(*word)
    };
    let task = words.iter().find(known).map_or("empire-maint", |word| word);
    let value = |option: &str| {
        let inline = format!("{option}=");
        let behind = words.windows(2).find(|pair| pair[0] == option);
        let joined = words.iter().find_map(|word| word.strip_prefix(&inline));
        joined.or(behind.map(|pair| pair[1]))
    };
    let format = match words.contains(&"--json") {
        true => Format::Json,
        false => value("--format")
            .and_then(|name| Format::from_str(name, false).ok())
            .unwrap_or_default(),
    };
    let format = Some(format)
        .filter(|format| format.is_of(task))
        .unwrap_or_default();
    let config = value("--config").or_else(|| value("-c"));
    Guess {
        task: task.to_owned(),
        config: config.map(Into::into),
        style: Style {
            format,
            ..Style::default()
        },
    }
}

/// What of a command line is its own, in the order in which it was typed: the command and what is no option of every command.
pub fn own_words(arguments: &[OsString]) -> Vec<String> {
    let globals = Globals::augment_args(Command::new("globals"));
    let takes_value = |named: &dyn Fn(&Arg) -> bool| {
        let known = globals.get_arguments().find(|one| named(one));
        known.map(|one| one.get_action().takes_values())
    };
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    let mut own = Vec::new();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (&*word, None),
        };
        let known = match (option.strip_prefix("--"), option.strip_prefix('-')) {
            (Some(long), _) => takes_value(&|one| one.get_long() == Some(long)),
            (_, Some(short)) => takes_value(&|one| {
                let mut letters = short.chars();
                (one.get_short(), None) == (letters.next(), letters.next())
            }),
            _ => None,
        };
        match known {
            Some(true) if value.is_none() => drop(words.next()),
            Some(_) => {}
            None => own.push(word.into_owned()),
        }
    }
    own
}

/// As much of a command line that makes no sense as does, where a command is in it.
pub fn understood(arguments: &[OsString]) -> Option<ArgMatches> {
    let matches = command()
        .ignore_errors(true)
        .try_get_matches_from(arguments);
    matches.ok()?.remove_subcommand().map(|(_, own)| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_are_without_the_options_of_every_command() {
        for (line, own) in [
            ("x backup --timeout 1x", "backup"),
            ("x -c etc/c.toml --json backup -q --lock-wait=7", "backup"),
            ("x backup --databse app_db -n", "backup --databse app_db"),
            ("x health --check=disk --color pink", "health --check=disk"),
            ("x --timeout", ""),
        ] {
            let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            assert_eq!(own_words(&words).join(" "), own, "{line}");
        }
    }

    fn parsed(line: &str) -> Invocation {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        parse(&words).expect("parses")
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn global_options_work_before_and_behind_the_command() {
        for line in [
            "empire-maint --dry-run --json backup list",
            "empire-maint backup -n --json list",
            "empire-maint backup list -n --json",
        ] {
            let invocation = parsed(line);
            assert!(invocation.globals.dry_run, "{line}");
            assert_eq!(invocation.globals.style().format, Format::Json, "{line}");
            assert_eq!(invocation.name, "backup");
        }
    }
}

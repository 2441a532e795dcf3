//! The plan's calendar on this server: the board of every line, what did not run, and the lines for cron or systemd that run it.
//! Changes nothing, takes no lock and leaves no trace, but for `systemd --write`, which writes unit files into one folder.
//! Cannot see from the inside that cron is dead: that takes a ping, another host, or a login shell.

mod crontab;
mod show;
mod systemd;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::board::Row;
use crate::calendar::{Here, Line};
use crate::config::Config;
use crate::config::sections::{App, Schedule};
use crate::context::Context;
use crate::error::usage;
use crate::report::Reporter;
use crate::sys::lock::Lock;
use crate::sys::machine;
use crate::task;

/// Show the plan's calendar, check that its tasks ran, and print the lines for cron or systemd
///
/// A cron that is dead cannot report itself. `schedule check` tells it when something outside of cron asks: a monitoring system,
/// another host over ssh, or root's login shell. The other way is a dead-man switch: a service that is called after each run and
/// complains when no call comes.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The board: every line of the plan, its command, last run, result and next time (the default)
    Show,
    /// Exit with 2 when a task did not run within its grace time
    ///
    /// Run it from outside of cron: a dead cron cannot run it.
    Check,
    /// Print a crontab with every task of the plan that has something to do here
    Crontab {
        #[command(flatten)]
        program: Program,
        /// For /etc/cron.d: put this user before each command
        #[arg(long, value_name = "USER")]
        system_user: Option<String>,
        /// Who gets what the commands print
        #[arg(long, value_name = "ADDRESS", default_value = "root")]
        mail_to: String,
    },
    /// Print systemd timers and services for the same tasks, or write them into a folder
    Systemd {
        #[command(flatten)]
        program: Program,
        /// Write the units into this folder, usually /etc/systemd/system
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Program {
    /// Where the program will be; default: this very program
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// What `schedule` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// The board, for `show` and `check`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    lines: Vec<Row>,
    /// The crontab.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The units, for `systemd`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    units: Vec<systemd::Unit>,
}

/// Resolved.
pub struct Task {
    here: Here,
    what: What,
}

enum What {
    Board { check: bool },
    Crontab(crontab::Settings),
    Systemd(Box<systemd::Settings>),
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "schedule";
    type Task = Task;
    type Detail = Detail;

    fn reads_only(&self) -> bool {
        !matches!(self.command, Some(Command::Systemd { write: Some(_), .. }))
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let schedule = config.get::<Schedule>()?;
        let what = match self.command.unwrap_or(Command::Show) {
            Command::Show => What::Board { check: false },
            Command::Check => What::Board { check: true },
            Command::Crontab {
                program,
                system_user,
                mail_to,
            } => What::Crontab(crontab::Settings {
                program: program.resolve(config)?,
                user: system_user.map(user_name).transpose()?,
                mail_to: one_line(&mail_to)?,
                timezone: schedule.timezone.clone(),
            }),
            Command::Systemd { program, write } => {
                What::Systemd(Box::new(systemd::Settings::resolve(
                    config,
                    program.resolve(config)?,
                    schedule.timezone.clone(),
                    write,
                )?))
            }
        };
        Ok(Task {
            here: Here::resolve(config)?,
            what,
        })
    }
}

impl task::Task for Task {
    fn locks(&self, context: &Context) -> Vec<Lock> {
        match self.writes() {
            true => vec![context.task_lock()],
            false => Vec::new(),
        }
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let lines = self.here.lines(&context.commands);
        match &self.what {
            What::Board { check } => show::run(context, report, &lines, *check),
            What::Crontab(settings) => crontab::run(context, report, &lines, settings),
            What::Systemd(settings) => systemd::run(report, &lines, settings),
        }
    }
}

impl Task {
    fn writes(&self) -> bool {
        matches!(&self.what, What::Systemd(settings) if settings.write.is_some())
    }
}

/// What to call in a line: the program and the options that find this configuration again.
struct Call {
    program: PathBuf,
    options: Vec<String>,
}

impl Program {
    fn resolve(self, config: &Config) -> anyhow::Result<Call> {
        let program = match self.program {
            Some(path) if path.is_absolute() => path,
            Some(path) => {
                let message = format!("--program {}: cron needs an absolute path", path.display());
                return Err(usage(message).into());
            }
            None => machine::program()?,
        };
        let mut options = Vec::new();
        if let Some(source) = config
            .source()
            .filter(|source| !config.is_system_file(source))
        {
            let path = std::path::absolute(source)?.display().to_string();
            options.extend(["--config".to_owned(), one_line(&path)?]);
        }
        let root = config.app_root()?;
        if root != config.get::<App>()?.root {
            options.extend(["--root".to_owned(), one_line(&root.display().to_string())?]);
        }
        one_line(&program.display().to_string())?;
        Ok(Call { program, options })
    }
}

impl Call {
    /// The words of a line's command.
    fn words(&self, line: &Line) -> Vec<String> {
        let own = line.command.unwrap_or_default().split_whitespace();
        std::iter::once(self.program.display().to_string())
            .chain(own.map(str::to_owned))
            .chain(["--quiet".to_owned()])
            .chain(self.options.iter().cloned())
            .collect()
    }
}

/// Neither a crontab nor a unit file can hold a line break inside a line.
fn one_line(text: &str) -> anyhow::Result<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        let shown = text.escape_debug();
        return Err(usage(format!("'{shown}' does not fit on a line of its own")).into());
    }
    Ok(text.to_owned())
}

fn user_name(name: String) -> anyhow::Result<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(fine) {
        return Err(usage(format!("'{}' is no user's name", name.escape_debug())).into());
    }
    Ok(name)
}

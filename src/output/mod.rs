//! Renderings of a report. Each format reads a [`Report`] and nothing else; only this room prints.

mod human;
mod json;
mod nagios;
mod progress;
mod prometheus;
mod prompt;
mod sarif;

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;

pub use crate::text::clean;
pub use progress::Line;
pub use prometheus::{success_in_textfile, textfile};
pub use prompt::Terminal;

use crate::report::Report;

/// What standard output carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// One line with performance data, as monitoring plugins print it.
    Nagios,
    /// Metrics in the text format.
    Prometheus,
    /// SARIF 2.1.0, for audit.
    Sarif,
}

impl Format {
    /// True for a format that this command has; some say nothing about most commands.
    pub fn is_of(self, command: &str) -> bool {
        match self {
            Self::Sarif => command == "audit",
            Self::Human | Self::Json | Self::Nagios | Self::Prometheus => true,
        }
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Which rendering.
    pub format: Format,
    /// Human output only: nothing when there is nothing to say.
    pub quiet: bool,
    /// Human output only: info findings and metrics too.
    pub verbose: bool,
    /// Colour.
    pub color: Color,
}

/// Prints the report. Documents and answers go to standard output, the failure of a human run to standard error.
/// A reader that went away is no error; false where it could not be printed for any other reason.
pub fn print(report: &Report, style: Style) -> bool {
    let result = match style.format {
        Format::Human => human::print(report, style),
        Format::Json => write_out(&json::render(report)),
        Format::Nagios => write_out(&nagios::render(report)),
        Format::Prometheus => write_out(&prometheus::render(report, &report.task, None)),
        Format::Sarif => write_out(&sarif::render(report)),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "empire-maint: error: cannot print: {error}");
            false
        }
        _ => true,
    }
}

/// Prints a text as it is. A reader that went away is no error.
pub fn print_text(text: &str) {
    let _ = write_out(text);
}

/// The help on standard error, where a command was missing.
pub fn print_help_instead(help: &str) {
    let _ = io::stderr().write_all(help.as_bytes());
}

/// True when standard output or standard error is a terminal.
pub fn is_watched() -> bool {
    io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// True when somebody typed the command and reads what becomes of it.
pub fn is_typed() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

/// True when standard output will show colour.
pub fn wants_color(color: Color) -> bool {
    let choice = match color {
        Color::Auto => anstream::AutoStream::choice(&io::stdout()),
        color => color.into(),
    };
    choice != anstream::ColorChoice::Never
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

//! For people: documents, then what was done, then what was found, the verdict last where the eye is.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style as Paint};
use jiff::tz::TimeZone;

use super::{Style, clean};
use crate::report::{
    Action, Cell, Document, FailureReport, Finding, Outcome, Report, Severity, Status, TASK_FAILED,
    Table, status_of,
};
use crate::text::{about, is_command, with_options};
use crate::units::{self, Bytes, Length};

const BOLD: Paint = Paint::new().bold();
const DIM: Paint = Paint::new().dimmed();
const GREEN: Paint = AnsiColor::Green.on_default().bold();
const YELLOW: Paint = AnsiColor::Yellow.on_default().bold();
const RED: Paint = AnsiColor::Red.on_default().bold();

/// Prints the report: the failure to standard error, everything else to standard output. No --quiet keeps back an answer.
pub fn print(report: &Report, style: Style) -> io::Result<()> {
    let silent = match &report.news {
        Some(news) => news.is_empty(),
        None => report.failure.is_none() && report.worst() < Some(Severity::Medium),
    };
    let mut out = anstream::AutoStream::new(io::stdout().lock(), style.color.into());
    let mut err = anstream::AutoStream::new(io::stderr(), style.color.into());
    let is_answer = |part: &Document| matches!(part, Document::Answer(_));
    for part in &report.documents {
        if !style.quiet || is_answer(part) {
            write!(out, "{}", document(part, &report.zone))?;
        }
    }
    let (told, error) = match (style.quiet, &report.failure) {
        (true, _) if silent => (String::new(), String::new()),
        (true, _) => (digest(report), String::new()),
        (false, None) => (body(report, style) + &verdict(report), String::new()),
        (false, Some(why)) => (body(report, style), failure(report, why)),
    };
    // An answer is there to be piped into a file: what there is to say beside it must not end up in it, nor what a command has
    // to say that could not give one.
    let gave_up = |why: &FailureReport| why.kind.could_not_start() && report.actions.is_empty();
    let has_answer = report.documents.iter().any(is_answer);
    if has_answer || !style.quiet && report.failure.as_ref().is_some_and(gave_up) {
        out.flush()?;
        return write!(err, "{told}{error}");
    }
    // A reader that went away keeps nobody from hearing that the run failed.
    let printed = write!(out, "{told}").and_then(|()| out.flush());
    write!(err, "{error}")?;
    printed
}

/// `HOST TASK STATUS: summary`, the command to run next, then what is news: what cron mails. The first line is about the worst of
/// what follows, which may be another task's.
fn digest(report: &Report) -> String {
    let news = report.news.as_deref().unwrap_or_default();
    let worst = news.iter().max_by_key(|line| line.severity);
    let foreign = worst.filter(|line| status_of(line.severity) > report.status);
    let (status, summary) = match foreign {
        Some(line) => (status_of(line.severity), &line.text),
        None => (report.status, &report.summary),
    };
    let mut text = format!(
        "{} {} {}: {}\n",
        clean(&report.host),
        report.task,
        status.word().to_uppercase(),
        clean(summary)
    );
    // The hint of a finding that is no news would be about something that is not shown.
    let only_over = !news.is_empty() && worst.is_some_and(|line| line.severity.is_none());
    let (next, hint) = match foreign {
        None if !only_over || report.failure.is_some() => next_of(report),
        _ => (None, None),
    };
    let or_else = match foreign {
        Some(_) => "empire-maint alerts list".to_owned(),
        None => format!("empire-maint history --task {}", report.task),
    };
    let next = next.map_or_else(|| with_options(&or_else, &report.options), str::to_owned);
    let _ = writeln!(text, "next: {}", clean(&next));
    if let Some(hint) = hint {
        let _ = writeln!(text, "hint: {}", clean(hint));
    }
    for line in news {
        let _ = writeln!(text, "  {}", clean(&line.text));
    }
    if report.news.is_none() {
        for finding in &report.findings {
            if finding.severity >= Severity::Medium {
                text.push_str(&finding_line(finding));
            }
        }
    }
    text
}

/// The first hint of the failure and the worst findings that is a command; and the first of all, where that is none.
fn next_of(report: &Report) -> (Option<&str>, Option<&str>) {
    let failure = report.failure.iter().map(|failure| &failure.hint);
    let worst = report
        .findings
        .iter()
        .filter(|finding| Some(finding.severity) == report.worst())
        .map(|finding| &finding.hint);
    let hints: Vec<&str> = failure.chain(worst).flatten().map(String::as_str).collect();
    let next = hints.iter().copied().find(|hint| is_command(hint));
    let first = hints.first().copied().filter(|hint| !is_command(hint));
    (next, first)
}

fn failure(report: &Report, failure: &FailureReport) -> String {
    let mut text = String::new();
    let task = match report.task.as_str() {
        "empire-maint" => String::new(),
        task => format!(" {task}"),
    };
    let _ = writeln!(
        text,
        "empire-maint{task}: {RED}error{RED:#}: {}",
        clean(&failure.message)
    );
    for cause in &failure.causes {
        let _ = writeln!(text, "  caused by: {}", clean(cause));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  {BOLD}hint{BOLD:#}: {}", clean(hint));
    }
    text
}

/// What was done, and what was found; that the run failed stands behind it.
fn body(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for action in &report.actions {
        text.push_str(&action_line(action, report.dry_run));
    }
    let least = if style.verbose {
        Severity::Info
    } else {
        Severity::Low
    };
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.severity >= least)
        .filter(|finding| report.failure.is_none() || finding.id != TASK_FAILED)
    {
        let mut finding = finding.clone();
        finding.hint = finding.hint.filter(|hint| !is_shown_here(report, hint));
        text.push_str(&finding_line(&finding));
    }
    if style.verbose {
        for metric in &report.metrics {
            let labels: Vec<_> = metric.labels.values().map(|value| clean(value)).collect();
            let _ = writeln!(
                text,
                "  {DIM}{} {}{DIM:#} {} {}",
                metric.name,
                labels.join(" "),
                metric.value,
                metric.unit
            );
        }
    }
    text
}

fn verdict(report: &Report) -> String {
    let mut text = String::new();
    if !report.summary.is_empty() {
        let paint = match report.status {
            Status::Ok => GREEN,
            Status::Warning => YELLOW,
            Status::Critical | Status::Unknown => RED,
        };
        let dry = if report.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{BOLD}{}{BOLD:#}: {paint}{}{paint:#}: {}{dry}",
            report.task,
            report.status.word(),
            clean(&report.summary)
        );
    }
    text
}

fn action_line(action: &Action, dry_run: bool) -> String {
    let word = match action.outcome {
        Outcome::Planned if dry_run => "would ",
        // The run ended before it did.
        Outcome::Planned => "unfinished ",
        Outcome::Done => "",
        Outcome::Skipped => "skipped ",
        Outcome::Failed => "FAILED ",
    };
    format!(
        "  {DIM}{word}{}{DIM:#} {} {DIM}({}){DIM:#}\n",
        action.kind,
        clean(&action.target),
        clean(&action.reason)
    )
}

/// True where the hint is to look at what this very command shows.
fn is_shown_here(report: &Report, hint: &str) -> bool {
    let this = format!("empire-maint {}{} shows ", report.options, report.task);
    hint.starts_with(&this)
}

fn finding_line(finding: &Finding) -> String {
    let paint = match finding.severity {
        Severity::Info | Severity::Low => DIM,
        Severity::Medium => YELLOW,
        Severity::High | Severity::Critical => RED,
    };
    let mut text = format!(
        "  {paint}{}{paint:#} {}\n",
        finding.severity.word(),
        about(&clean(&finding.subject), &clean(&finding.message))
    );
    if let Some(hint) = &finding.hint {
        let _ = writeln!(text, "      {DIM}hint: {}{DIM:#}", clean(hint));
    }
    text
}

/// A document as text, with colour codes that the stream strips where nobody wants them.
pub fn document(document: &Document, zone: &TimeZone) -> String {
    match document {
        Document::Text(text) | Document::Answer(text) => text.clone(),
        Document::Table(table) => render_table(table, zone),
    }
}

fn render_table(table: &Table, zone: &TimeZone) -> String {
    let mut text = String::new();
    // A heading with nothing below it looks as if something were missing.
    if table.rows.is_empty() {
        return text;
    }
    if !table.title.is_empty() {
        let _ = writeln!(text, "{BOLD}{}{BOLD:#}", clean(&table.title));
    }
    let rows: Vec<Vec<(String, bool)>> = table
        .rows
        .iter()
        .map(|row| row.iter().map(|one| cell(one, zone)).collect())
        .collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells
                .map(|(text, _)| text.chars().count())
                .chain([name.chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut line = String::from("  ");
    for (name, width) in table.columns.iter().zip(&widths) {
        let _ = write!(line, "{name:<width$}  ");
    }
    let _ = writeln!(text, "{DIM}{}{DIM:#}", line.trim_end());
    for (row, cells) in rows.iter().zip(&table.rows) {
        let mut line = String::from("  ");
        for (((shown, right), cell), width) in row.iter().zip(cells).zip(&widths) {
            let pad = " ".repeat(width.saturating_sub(shown.chars().count()));
            let shown = match cell {
                Cell::Bad(_) => format!("{RED}{shown}{RED:#}"),
                _ => shown.clone(),
            };
            let _ = match right {
                true => write!(line, "{pad}{shown}  "),
                false => write!(line, "{shown}{pad}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The text of a cell, and whether it stands to the right.
fn cell(cell: &Cell, zone: &TimeZone) -> (String, bool) {
    match cell {
        Cell::Text(text) | Cell::Bad(text) => (clean(text), false),
        Cell::Bytes(bytes) => (Bytes(*bytes).to_string(), true),
        Cell::Time(time) => (units::shown(*time, zone), false),
        Cell::Age(age) => (Length(*age).to_string(), true),
        Cell::Percent(percent) => (format!("{percent:.0}%"), true),
        Cell::Count(number) => (number.to_string(), true),
        Cell::Empty => ("-".to_owned(), false),
    }
}

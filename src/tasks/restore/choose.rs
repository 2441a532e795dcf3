//! Which backup, and where to: from the command line, or asked of the person at the terminal.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::Task;
use crate::archive::{self, Backup, Content, JOURNAL, Name};
use crate::context::Context;
use crate::error::{missing, usage};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Table};
use crate::sys::{files, space};
use crate::units::{self, Bytes, Length};

const UNVERIFIED: &str = "restore.newer-unverified";

/// Which backup was asked for.
pub enum Which {
    /// The newest verified one.
    Latest,
    /// The newest verified one at or before this time, not yet read.
    At(String),
    /// This one.
    File(PathBuf),
}

/// What will be restored.
pub struct Choice {
    /// The backup.
    pub backup: Backup,
    /// Where to.
    pub target: PathBuf,
    /// True when what is there may be replaced.
    pub force: bool,
}

/// Rates are not known before the first restore: a cautious one.
const FIRST_RATE: f64 = 300e6;

pub fn choose(task: &Task, context: &Context, report: &Reporter) -> anyhow::Result<Choice> {
    if let Which::File(path) = &task.which {
        let backup = Backup::at(path)?;
        let series = series_of(task, &backup)?;
        let target = target(task, context, &series, &backup)?;
        return Ok(Choice {
            backup,
            target,
            force: task.force,
        });
    }
    task.store.require_folder()?;
    let (series, confirmed) = match &task.database {
        Some(name) => (name.clone(), false),
        None => ask(task, context, report)?,
    };
    let backup = newest(task, context, report, &series)?;
    let target = target(task, context, &series, &backup)?;
    Ok(Choice {
        backup,
        target,
        force: task.force || confirmed,
    })
}

/// The database that a file is a backup of: what its manifest says, what was typed where it has none, else what its name says.
fn series_of(task: &Task, backup: &Backup) -> anyhow::Result<String> {
    let own = &backup.name.series;
    match (&task.database, backup.manifest()) {
        (Some(typed), Some(_)) if typed != own => Err(usage(format!(
            "{} is a backup of {own}, not of {typed}",
            backup.path.display()
        ))
        .hint("leave the database's name out, and say --to PATH where it should go")
        .into()),
        (Some(typed), _) => Ok(typed.clone()),
        (None, Some(_)) => Ok(own.clone()),
        (None, None) => {
            let file = backup.path.file_name().unwrap_or_default();
            let known = task.store.series().into_iter().find(|series| {
                let name = file.to_str().and_then(|file| Name::parse(series, file));
                name.is_some()
            });
            Ok(known.unwrap_or_else(|| own.clone()))
        }
    }
}

fn target(
    task: &Task,
    context: &Context,
    series: &str,
    backup: &Backup,
) -> anyhow::Result<PathBuf> {
    if let Some(to) = &task.to {
        return Ok(to.clone());
    }
    let need_to =
        |what: &str| usage(format!("{what} is restored to a new path only")).hint("--to PATH");
    if backup.name.content == Content::Tar {
        return Err(need_to("an archive of files").into());
    }
    if series == JOURNAL {
        let live = crate::journal::path(&context.state);
        return Err(need_to("the journal, which this run itself writes,")
            .hint(format!("--to PATH, and then move it to {}", live.display()))
            .into());
    }
    if task.store.database(series).is_err() {
        return Err(need_to("a backup of no configured database").into());
    }
    Ok(task.store.database(series)?.path.clone())
}

fn newest(
    task: &Task,
    context: &Context,
    report: &Reporter,
    series: &str,
) -> anyhow::Result<Backup> {
    let limit = match &task.which {
        Which::At(text) => Some(parse_time(text, context)?),
        _ => None,
    };
    let now = context.moment();
    let all = archive::catalogue(&task.store.folder, series, now)?;
    archive::judge_dates(report, series, &all, now);
    // Times are shown to the second.
    let in_time = |backup: &&Backup| {
        limit.is_none_or(|limit| backup.created_at().as_second() <= limit.as_second())
    };
    let Some(found) = archive::first_good(all.iter().filter(in_time))? else {
        let when = limit.map_or(String::new(), |limit| {
            format!(" at or before {}", units::shown(limit, &context.zone))
        });
        return Err(missing(format!(
            "there is no verified backup of {series}{when} in {}; --file takes one without a manifest",
            task.store.folder.display()
        ))
        .hint(format!("empire-maint backup list {series}"))
        .into());
    };
    report.examined(UNVERIFIED, series);
    if let Some(newer) = all.iter().find(in_time)
        && newer.name != found.name
    {
        report.find(Finding::new(
            UNVERIFIED,
            Severity::Low,
            series,
            format!(
                "{} is newer and not verified, so {} is taken",
                newer.name.stem, found.name.stem
            ),
        ));
    }
    Ok(found.clone())
}

/// RFC 3339, a time as it is shown, or a local time of the configured zone. One that did not exist, or existed twice, is not guessed at.
fn parse_time(text: &str, context: &Context) -> anyhow::Result<Timestamp> {
    if let Ok(at) = units::moment(text) {
        return Ok(at);
    }
    if text.parse::<DateTime>().is_ok() && !text.contains(':') {
        return Err(usage(format!("--at '{text}' is a day: say the hour too"))
            .hint(format!("--at \"{text} 23:59\""))
            .into());
    }
    let civil: DateTime = text.parse().map_err(|_| {
        usage(format!("--at '{text}' is not a time")).hint("as in --at \"2026-11-24 03:00\"")
    })?;
    let local = context.zone.to_ambiguous_zoned(civil);
    let (before, after) = match local.offset() {
        AmbiguousOffset::Unambiguous { .. } => return Ok(local.unambiguous()?.timestamp()),
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            (before, after)
        }
    };
    let what = match local.offset() {
        AmbiguousOffset::Gap { .. } => "did not exist",
        _ => "was there twice",
    };
    Err(usage(format!(
        "--at '{text}': that time {what}, the clocks were changed"
    ))
    .hint(format!("--at {civil}{before} or --at {civil}{after}"))
    .into())
}

/// Shows what there is and what would happen; the answer is the name of the database, which is also the confirmation.
fn ask(task: &Task, context: &Context, report: &Reporter) -> anyhow::Result<(String, bool)> {
    let names: Vec<_> = task
        .store
        .databases
        .iter()
        .map(|database| database.name.as_str())
        .collect();
    if !report.can_ask() || task.to.is_some() {
        return Err(usage("which database?")
            .hint(format!("there are: {}", names.join(", ")))
            .into());
    }
    for database in &task.store.databases {
        let all = archive::catalogue(&task.store.folder, &database.name, context.moment())?;
        let good: Vec<_> = all.into_iter().filter(Backup::is_good).take(10).collect();
        report.document(Document::Table(table(context, &database.name, &good)));
        report.document(Document::Text(consequences(
            context,
            database,
            good.first(),
        )?));
    }
    let answer = report
        .ask("restore the latest backup of which database? type its name, or nothing to leave:")?;
    match answer {
        Some(name) if names.contains(&name.as_str()) => Ok((name, true)),
        Some(name) if name.is_empty() => Err(usage("nothing was restored").into()),
        Some(name) => Err(usage(format!(
            "there is no database '{name}'; nothing was restored"
        ))
        .into()),
        None => Err(usage("which database?").into()),
    }
}

fn table(context: &Context, name: &str, good: &[Backup]) -> Table {
    let row = |backup: &Backup| {
        let age = context.moment().duration_since(backup.data_as_of());
        let verified = backup
            .manifest()
            .and_then(|manifest| manifest.verified.as_ref())
            .map_or("", |verified| verified.level.word());
        vec![
            Cell::Text(backup.name.stem.clone()),
            Cell::Time(backup.created_at()),
            Duration::try_from(age).map_or(Cell::Empty, Cell::Age),
            Cell::Bytes(backup.size),
            Cell::Text(verified.to_owned()),
        ]
    };
    Table {
        title: format!(
            "{name}: {}",
            units::count(good.len() as u64, "verified backup")
        ),
        columns: vec!["backup", "taken", "data age", "size", "verified"],
        rows: good.iter().map(row).collect(),
    }
}

fn consequences(
    context: &Context,
    database: &archive::Source,
    latest: Option<&Backup>,
) -> anyhow::Result<String> {
    let path = &database.path;
    let there = files::metadata(path)?;
    let free = space::free(files::parent(path)).unwrap_or(0);
    let plain = latest
        .and_then(|backup| backup.manifest())
        .map_or(0, |manifest| manifest.plain.size);
    let rate = context
        .recall("bytes_per_second")
        .and_then(|value| value.as_f64())
        .unwrap_or(FIRST_RATE);
    let replaced = match there {
        Some(meta) => format!(
            "replaces {} ({}), which is kept under a dated name",
            path.display(),
            Bytes(meta.len())
        ),
        None => format!("creates {}, which is not there", path.display()),
    };
    Ok(format!(
        "  {replaced}; needs {}, {} free; takes about {}\n\n",
        Bytes(plain),
        Bytes(free),
        Length(Duration::from_secs_f64(plain as f64 / rate))
    ))
}

//! `backup list`: the catalogue, and why each backup is kept.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Detail;
use super::run::orphaned;
use crate::archive::retention::{self, Candidate, Verdict};
use crate::archive::{self, Backup, Standing, Store};
use crate::config::sections::Backup as Settings;
use crate::context::Context;
use crate::error::Kind;
use crate::report::{Cell, Document, Reporter, Table};
use crate::units;

/// One backup of the catalogue.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Row {
    /// The series.
    database: String,
    /// Its name.
    backup: String,
    /// The data.
    file: String,
    /// The instant of the snapshot.
    #[schemars(with = "String")]
    created_at: Timestamp,
    /// How old the data in it is.
    #[schemars(with = "Option<String>")]
    data_as_of: Option<Timestamp>,
    /// Stored bytes.
    size_bytes: u64,
    /// Plain bytes, where known.
    plain_bytes: Option<u64>,
    /// checked, restored, none, or bad or unknown and why.
    verified: String,
    /// True for checked and restored.
    #[serde(skip)]
    trusted: bool,
    /// When.
    #[schemars(with = "Option<String>")]
    verified_at: Option<Timestamp>,
    /// Kept whatever retention says.
    pinned: bool,
    /// Why it stays, or would go.
    reason: String,
    /// False when the next run would remove it.
    kept: bool,
}

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    store: &Store,
    settings: &Settings,
    only: Option<&str>,
) -> anyhow::Result<()> {
    store.require_folder()?;
    let mut rows = Vec::new();
    for series in store.series() {
        if only.is_some_and(|only| only != series) {
            continue;
        }
        let backups = archive::catalogue(&store.folder, &series, context.moment())?;
        let mut unread = backups.iter().filter_map(Backup::unread);
        if let Some(denied) = unread.find(|failure| failure.kind == Kind::Missing) {
            return Err(denied.clone().into());
        }
        let candidates: Vec<_> = backups.iter().map(Candidate::from).collect();
        let verdicts =
            retention::plan(&candidates, &settings.keep, context.moment(), &context.zone);
        let of_series: Vec<_> = backups
            .iter()
            .zip(&verdicts)
            .map(|(backup, verdict)| row(&series, backup, verdict))
            .collect();
        if !of_series.is_empty() {
            report.document(Document::Table(table(
                &series,
                &of_series,
                context.moment(),
            )));
        }
        rows.extend(of_series);
    }
    if only.is_none() {
        for (series, number) in store.orphans()? {
            report.document(Document::Text(orphaned(&series, number) + "\n"));
        }
    }
    report.summarise(format!(
        "{} in {}",
        units::count(rows.len() as u64, "backup"),
        store.folder.display()
    ));
    report.detail(&Detail {
        catalogue: rows,
        ..Detail::default()
    })
}

fn row(series: &str, backup: &Backup, verdict: &Verdict) -> Row {
    let manifest = backup.manifest();
    let verification = manifest.and_then(|manifest| manifest.verified.as_ref());
    let bad = |why: &str| (false, format!("bad: {why}"));
    let (trusted, verified) = match &backup.standing {
        Standing::Unreadable(failure) if backup.unread().is_some() => {
            (false, format!("unknown: {failure}"))
        }
        Standing::Unreadable(failure) => bad(&failure.message),
        Standing::Foreign => (false, "none".to_owned()),
        Standing::Known(manifest) => {
            let damage = manifest.bad.as_ref().map(|bad| bad.reason.clone());
            match (damage.or(manifest.misfit(backup.size)), verification) {
                (Some(damage), _) => bad(&damage),
                (None, Some(verification)) => (true, verification.level.word().to_owned()),
                (None, None) => (false, "none".to_owned()),
            }
        }
    };
    Row {
        database: series.to_owned(),
        backup: backup.name.stem.clone(),
        file: backup.path.display().to_string(),
        created_at: backup.created_at(),
        data_as_of: manifest.and_then(|manifest| manifest.database.as_ref()?.data_as_of),
        size_bytes: backup.size,
        plain_bytes: manifest.map(|manifest| manifest.plain.size),
        verified,
        trusted,
        verified_at: verification.map(|verification| verification.at),
        pinned: backup.is_pinned(),
        reason: verdict.reason().to_owned(),
        kept: verdict.keeps(),
    }
}

fn table(series: &str, rows: &[Row], now: Timestamp) -> Table {
    let cells = |row: &Row| {
        let age = now.duration_since(row.created_at);
        let ratio = row.plain_bytes.map_or(Cell::Empty, |plain| {
            Cell::Percent(units::percent(row.size_bytes, plain))
        });
        let verified = match row.trusted {
            true => Cell::Text(row.verified.clone()),
            false => Cell::Bad(row.verified.clone()),
        };
        let reason = match row.kept {
            true => row.reason.clone(),
            false => format!("goes next: {}", row.reason),
        };
        vec![
            Cell::Text(row.backup.clone()),
            Cell::Time(row.created_at),
            Duration::try_from(age).map_or(Cell::Empty, Cell::Age),
            Cell::Bytes(row.size_bytes),
            ratio,
            Cell::time(row.data_as_of),
            verified,
            Cell::time(row.verified_at),
            Cell::Text(reason),
        ]
    };
    Table {
        title: series.to_owned(),
        columns: vec![
            "backup",
            "taken",
            "age",
            "size",
            "ratio",
            "data as of",
            "verified",
            "when",
            "kept because",
        ],
        rows: rows.iter().map(cells).collect(),
    }
}

//! What became of the rules and the databases, for the report.

use schemars::JsonSchema;
use serde::Serialize;

use super::Detail;
use super::plan::{Plan, Target};
use super::scene::{FAILED, NO_BACKUP, REFUSED};
use crate::report::{Cell, Document, Reporter, Table};
use crate::units;

/// What became of a rule.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// Its name.
    pub rule: String,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// How its column writes time.
    pub time_format: String,
    /// Rows before this moment are old.
    #[schemars(with = "String")]
    pub cutoff: jiff::Timestamp,
    /// The first moment in the column.
    #[schemars(with = "Option<String>")]
    pub oldest: Option<jiff::Timestamp>,
    /// The last moment in the column.
    #[schemars(with = "Option<String>")]
    pub newest: Option<jiff::Timestamp>,
    /// Rows of the table before.
    pub rows: u64,
    /// Rows without a time.
    pub nulls: u64,
    /// Rows that were to go.
    pub chosen: u64,
    /// Old rows that stay, because others point to them.
    pub referenced: u64,
    /// Rows that went.
    pub done: u64,
    /// Rows that stay, because the archive does not take them.
    pub conflicts: u64,
    /// Where archived rows are: a table, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// A database after its rules.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Size {
    /// The database.
    pub database: String,
    /// Bytes of its file, with everything folded in that is in the write-ahead log.
    pub bytes: u64,
    /// Bytes of it that hold nothing.
    pub free_bytes: u64,
    /// The longest that the write lock was held, ms.
    pub longest_lock_ms: f64,
    /// Write transactions.
    pub transactions: u64,
}

impl Outcome {
    /// Of a rule that was looked at, before anything happens.
    pub fn of(plan: &Plan, database: &str) -> Self {
        Self {
            rule: plan.rule.name.clone(),
            database: database.to_owned(),
            table: plan.table.name.clone(),
            time_format: plan.format(),
            cutoff: plan.cutoff,
            oldest: plan.times.oldest,
            newest: plan.times.newest,
            rows: plan.total,
            nulls: plan.times.nulls,
            chosen: plan.chosen,
            referenced: plan.referenced,
            done: 0,
            conflicts: 0,
            archive: match &plan.target {
                Target::Nothing | Target::Missing(_) => None,
                Target::Table { archive, .. } => Some(archive.name.clone()),
                Target::Folder(folder) => Some(folder.display().to_string()),
            },
        }
    }
}

/// The line that comes first, the table of rules, and the detail.
pub fn summarise(report: &Reporter, detail: &Detail) -> anyhow::Result<()> {
    let found = report.snapshot().findings;
    let undone: Vec<&str> = found
        .iter()
        .filter(|one| [FAILED, REFUSED, NO_BACKUP].contains(&one.id))
        .map(|one| one.subject.as_str())
        .collect();
    let done: u64 = detail.rules.iter().map(|one| one.done).sum();
    let goes = |one: &&Outcome| !undone.contains(&one.rule.as_str());
    let chosen: u64 = detail.rules.iter().filter(goes).map(|one| one.chosen).sum();
    let archived: u64 = detail
        .rules
        .iter()
        .filter(|one| one.archive.is_some())
        .map(|one| one.done)
        .sum();
    let longest = detail
        .databases
        .iter()
        .map(|one| one.longest_lock_ms)
        .fold(0.0, f64::max);
    let mut text = match (report.dry_run(), done) {
        (true, _) => format!("would remove {}", units::count(chosen, "row")),
        (false, 0) if !undone.is_empty() => "no rows removed".to_owned(),
        (false, 0) if chosen == 0 => "nothing is older than the rules allow".to_owned(),
        (false, _) => format!(
            "{} removed, {archived} of them archived; the write lock was held for {longest:.0} ms at most",
            units::count(done, "row")
        ),
    };
    if !undone.is_empty() {
        text.push_str(&format!("; not done: {}", undone.join(", ")));
    }
    report.summarise(text);
    if !detail.rules.is_empty() {
        report.document(table(&detail.rules, report.dry_run()));
    }
    report.detail(detail)
}

fn table(rules: &[Outcome], dry_run: bool) -> Document {
    Document::Table(Table {
        title: "Rules".to_owned(),
        columns: vec![
            "rule",
            "table",
            "rows",
            "older than",
            "how time is written",
            "without time",
            if dry_run { "would go" } else { "gone" },
            "kept",
        ],
        rows: rules
            .iter()
            .map(|one| {
                vec![
                    Cell::Text(one.rule.clone()),
                    Cell::Text(format!("{}.{}", one.database, one.table)),
                    Cell::Count(one.rows),
                    Cell::Time(one.cutoff),
                    Cell::Text(one.time_format.clone()),
                    Cell::Count(one.nulls),
                    Cell::Count(if dry_run { one.chosen } else { one.done }),
                    Cell::Count(one.referenced),
                ]
            })
            .collect(),
    })
}

/// One sentence with the numbers: how many, of how many, older than what, told how.
pub fn reason(plan: &Plan) -> String {
    let mut text = format!(
        "{} of {} ({:.1}%) are older than {} ({}; {}: {})",
        plan.chosen,
        units::count(plan.total, "row"),
        plan.fraction() * 100.0,
        plan.cutoff,
        plan.rule.older_than,
        plan.rule.column,
        plan.format()
    );
    match &plan.target {
        Target::Nothing | Target::Missing(_) => {}
        Target::Table { archive, .. } => text.push_str(&format!("; into {}", archive.name)),
        Target::Folder(folder) => text.push_str(&format!("; into {}", folder.display())),
    }
    for one in &plan.along {
        text.push_str(&format!(
            "; with them go or change {} of {}",
            units::count(one.rows, "row"),
            one.table
        ));
    }
    text
}

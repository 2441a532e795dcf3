//! What is open, muted and waiting, as tables.

use super::Detail;
use crate::alert::store;
use crate::context::Context;
use crate::journal;
use crate::report::{Cell, Document, Reporter, Severity, Table};
use crate::sys::files;
use crate::units;

pub(super) fn run(context: &Context, report: &Reporter) -> anyhow::Result<()> {
    files::require_readable_directory(&context.state)?;
    let detail = match journal::open_for_reading(&context.state)? {
        None => Detail::default(),
        Some(connection) => Detail {
            incidents: {
                let mut all = store::open(&connection)?;
                all.extend(store::settling(&connection)?);
                all
            },
            mutes: store::mutes(&connection, context.now)?,
            queues: store::queues(&connection)?,
        },
    };
    report.document(Document::Table(incidents(&detail)));
    if !detail.mutes.is_empty() {
        report.document(Document::Table(mutes(&detail)));
    }
    if !detail.queues.is_empty() {
        report.document(Document::Table(queues(&detail)));
    }
    let waiting: u64 = detail
        .queues
        .iter()
        .map(|queue| u64::from(queue.waiting))
        .sum();
    let open = detail.incidents.iter().filter(|one| one.resolved.is_none());
    report.summarise(format!(
        "{} open, {} muted, {waiting} waiting to be sent",
        units::count(open.count() as u64, "alert"),
        units::count(detail.mutes.len() as u64, "group"),
    ));
    report.detail(&detail)
}

fn incidents(detail: &Detail) -> Table {
    Table {
        title: String::new(),
        columns: vec![
            "no.",
            "severity",
            "since",
            "well since",
            "task",
            "finding",
            "subject",
            "message",
            "known to",
        ],
        rows: detail
            .incidents
            .iter()
            .map(|incident| {
                let word = incident.severity.word().to_owned();
                vec![
                    Cell::Text(incident.number.to_string()),
                    match incident.severity >= Severity::High {
                        true => Cell::Bad(word),
                        false => Cell::Text(word),
                    },
                    Cell::Time(incident.first),
                    incident.resolved.map_or(Cell::Empty, Cell::Time),
                    Cell::Text(incident.task.clone()),
                    Cell::Text(incident.finding.clone()),
                    Cell::Text(incident.subject.clone()),
                    Cell::Text(incident.message.clone()),
                    incident
                        .acknowledged_by
                        .clone()
                        .map_or(Cell::Empty, Cell::Text),
                ]
            })
            .collect(),
    }
}

fn mutes(detail: &Detail) -> Table {
    Table {
        title: "muted".into(),
        columns: vec!["no.", "kind", "finding", "subject", "until", "by", "reason"],
        rows: detail
            .mutes
            .iter()
            .map(|mute| {
                vec![
                    Cell::Text(mute.id.to_string()),
                    Cell::Text(mute.kind.clone()),
                    Cell::Text(mute.finding.clone()),
                    Cell::Text(mute.subject.clone()),
                    Cell::Time(mute.until),
                    Cell::Text(mute.who.clone()),
                    Cell::Text(mute.reason.clone()),
                ]
            })
            .collect(),
    }
}

fn queues(detail: &Detail) -> Table {
    Table {
        title: "waiting to be sent".into(),
        columns: vec!["channel", "waiting", "tried", "last error"],
        rows: detail
            .queues
            .iter()
            .map(|queue| {
                vec![
                    Cell::Text(queue.channel.clone()),
                    Cell::Count(u64::from(queue.waiting)),
                    Cell::Count(u64::from(queue.attempts)),
                    queue.error.clone().map_or(Cell::Empty, Cell::Bad),
                ]
            })
            .collect(),
    }
}

//! The right person, once and in time. A run's findings become incidents; a pure function decides what each channel has to hear;
//! that goes into an outbox in the same transaction, and is sent from there: at least once, and twice only where nobody can know.

mod channel;
pub mod decide;
mod deliver;
mod desk;
mod message;
mod ping;
mod said;
pub mod store;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::TransactionBehavior;

pub use channel::{Sent, Unreached};
pub use deliver::{Delivery, complaints, deliver, is_stuck, try_channel};
pub use desk::Desk;
pub use message::Message;
pub use ping::Switch;

use crate::journal;
use crate::report::{Examined, Finding, NewsLine, Report, Severity};
use crate::text::clean;
use decide::{Event, State, Told, decide};
use said::Said;
use store::{Incident, News, Waiting};

/// Finding id: a channel does not take messages.
pub const UNDELIVERED: &str = "alert.undelivered";

/// Finding id: the dead-man switch did not answer.
pub const PING_FAILED: &str = "alert.ping-failed";

/// Cron's own mail is a channel too: it has no name, and is told by printing.
const CRON: &str = "";

const KEEP: SignedDuration = SignedDuration::from_hours(24 * 400);

/// News that cron's own mail would carry, unless a channel delivers it.
pub struct Unheard {
    incident: i64,
    covered: bool,
    line: NewsLine,
}

/// Turns a run's findings into incidents, resolves what it found well, decides, and fills the outbox: one transaction.
/// `quiet` runs speak to cron's mail too.
pub fn note(
    state: &Path,
    desk: &Desk,
    report: &Report,
    quiet: bool,
    now: Timestamp,
) -> anyhow::Result<Vec<Unheard>> {
    let mut connection = journal::open_for_writing(state)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut seen = BTreeSet::new();
    for finding in worst_of_each(&report.findings) {
        seen.insert(store::found(
            &transaction,
            &report.host,
            task_of(finding, report),
            finding,
            now,
        )?);
    }
    for incident in store::open(&transaction)? {
        if !seen.contains(&incident.number) && was_examined(&incident, &report.examined) {
            store::resolve(&transaction, incident.number, now)?;
        }
    }
    let mutes = store::mutes(&transaction, now)?;
    let mut incidents = store::open(&transaction)?;
    incidents.extend(store::to_resolve(&transaction)?);
    let mut unheard = Vec::new();
    for incident in &incidents {
        let told = store::told(&transaction, incident.number)?;
        let view = State {
            severity: incident.severity,
            first: incident.first,
            open: incident.resolved.is_none(),
            seen: seen.contains(&incident.number),
            acknowledged: incident.acknowledged_by.is_some(),
            muted: mutes.iter().any(|mute| mute.covers(incident)),
        };
        let policies = desk.policies(incident);
        let mut channels: BTreeSet<&str> = policies.keys().map(String::as_str).collect();
        channels.extend(told.keys().map(String::as_str).filter(|name| *name != CRON));
        for name in channels {
            let before = told.get(name);
            let Some(event) = decide(&view, before, policies.get(name), now) else {
                continue;
            };
            let due = desk.due(incident, event, now);
            store::spool(&transaction, name, &news(incident, event, now), now, due)?;
            store::tell(
                &transaction,
                incident.number,
                name,
                &after(incident, event, before, now),
            )?;
        }
        if quiet {
            let before = told.get(CRON);
            if let Some(event) = decide(&view, before, Some(&desk.cron(incident)), now) {
                store::tell(
                    &transaction,
                    incident.number,
                    CRON,
                    &after(incident, event, before, now),
                )?;
                unheard.push(Unheard {
                    incident: incident.number,
                    covered: policies.values().any(|one| one.direct)
                        || told.keys().any(|name| name != CRON),
                    line: line(incident, event),
                });
            }
        }
    }
    store::forget(
        &transaction,
        now.checked_sub(KEEP).unwrap_or(Timestamp::MIN),
    )?;
    transaction.commit()?;
    Ok(unheard)
}

/// The same thing found twice in a run is one incident, as urgent as the worse of them. Info needs nobody.
fn worst_of_each(findings: &[Finding]) -> Vec<&Finding> {
    let mut worst: Vec<&Finding> = Vec::new();
    for finding in findings
        .iter()
        .filter(|finding| finding.severity > Severity::Info)
    {
        let same =
            |other: &&mut &Finding| other.id == finding.id && other.subject == finding.subject;
        match worst.iter_mut().find(same) {
            Some(other) if other.severity < finding.severity => *other = finding,
            Some(_) => {}
            None => worst.push(finding),
        }
    }
    worst
}

/// Whose finding it is: a run that was killed is found by another command.
fn task_of<'a>(finding: &'a Finding, report: &'a Report) -> &'a str {
    match finding.id {
        journal::INTERRUPTED => &finding.subject,
        _ => &report.task,
    }
}

/// Finding and subject of everything that is open; nothing where no journal can be read.
pub fn open(state: &Path) -> Vec<(String, String)> {
    let read = || -> anyhow::Result<_> {
        match journal::open_for_reading(state)? {
            Some(connection) => store::open(&connection),
            None => Ok(Vec::new()),
        }
    };
    let named = |incident: Incident| (incident.finding, incident.subject);
    read().unwrap_or_default().into_iter().map(named).collect()
}

fn was_examined(incident: &Incident, examined: &[Examined]) -> bool {
    examined.iter().any(|examined| {
        examined.id == incident.finding
            && examined
                .subject
                .as_ref()
                .is_none_or(|subject| *subject == incident.subject)
    })
}

fn after(incident: &Incident, event: Event, before: Option<&Told>, now: Timestamp) -> Told {
    Told {
        at: now,
        severity: incident.severity,
        escalated: event == Event::Escalated || before.is_some_and(|told| told.escalated),
        resolved: event == Event::Resolved,
    }
}

fn news(incident: &Incident, event: Event, now: Timestamp) -> News {
    News {
        event: event.word().to_owned(),
        incident: Some(incident.number),
        finding: incident.finding.clone(),
        subject: incident.subject.clone(),
        severity: incident.severity,
        message: incident.message.clone(),
        hint: incident.hint.clone(),
        task: incident.task.clone(),
        since: incident.first,
        at: incident.resolved.unwrap_or(now),
    }
}

fn line(incident: &Incident, event: Event) -> NewsLine {
    NewsLine {
        severity: (event != Event::Resolved).then_some(incident.severity),
        text: format!(
            "{} ({}) {}: {}",
            incident.severity.word(),
            event.word(),
            clean(&incident.subject),
            clean(&incident.message)
        ),
    }
}

/// Of what cron's mail would carry, what no channel has delivered: all that a quiet run prints.
pub fn unheard(state: &Path, unheard: Vec<Unheard>) -> anyhow::Result<Vec<NewsLine>> {
    let Some(connection) = journal::open_for_reading(state)? else {
        return Ok(unheard.into_iter().map(|unheard| unheard.line).collect());
    };
    let stuck = store::undelivered(&connection)?;
    Ok(unheard
        .into_iter()
        .filter(|unheard| !unheard.covered || stuck.contains(&unheard.incident))
        .map(|unheard| unheard.line)
        .collect())
}

/// Where the journal cannot be written: everything is said, to everybody whom a route names, and again after the repeat time, as far
/// as the file `memory` remembers that. Returns what no channel took, and of the news the lines that a quiet run prints; `None`
/// where nothing is remembered.
pub fn send_without_journal(
    desk: &Desk,
    report: &Report,
    memory: Option<&Path>,
    now: Timestamp,
) -> (Vec<Finding>, Option<Vec<NewsLine>>) {
    let mut said = Said::open(memory);
    let known: Vec<Incident> = worst_of_each(&report.findings)
        .into_iter()
        .map(|finding| unwritten(report, finding))
        .collect();
    let mut findings = Vec::new();
    let mut heard = BTreeSet::new();
    for channel in desk.channels() {
        let mut waiting = Vec::new();
        let mut told = Vec::new();
        for incident in &known {
            let policies = desk.policies(incident);
            let policy = policies.get(&channel.name).filter(|policy| policy.direct);
            let Some(policy) = policy.filter(|_| incident.severity >= Severity::Medium) else {
                continue;
            };
            match said.decide(&channel.name, incident, policy, now) {
                Some(event) => {
                    waiting.push(Waiting {
                        id: 0,
                        attempts: 0,
                        only: None,
                        news: News {
                            incident: None,
                            ..news(incident, event, now)
                        },
                    });
                    told.push(incident);
                }
                None => {
                    heard.insert((&incident.finding, &incident.subject));
                }
            }
        }
        if waiting.is_empty() {
            continue;
        }
        let message = Message::new(&report.host, &waiting, desk.zone());
        let sent = channel::send(channel, &message, None);
        if matches!(sent, Sent::Delivered | Sent::Partly(_)) {
            for incident in told {
                said.tell(&channel.name, incident, now);
                heard.insert((&incident.finding, &incident.subject));
            }
        }
        findings.extend(complaints(sent, &channel.name));
    }
    let complained = findings.iter().map(|finding| unwritten(report, finding));
    let unheard = known
        .iter()
        .filter(|incident| !heard.contains(&(&incident.finding, &incident.subject)));
    let mut lines = Vec::new();
    for incident in unheard.cloned().chain(complained) {
        if let Some(event) = said.decide(CRON, &incident, &desk.cron(&incident), now) {
            said.tell(CRON, &incident, now);
            lines.push(line(&incident, event));
        }
    }
    let lines = said.keep().then_some(lines);
    (findings, lines)
}

/// A finding as an incident that has no number.
fn unwritten(report: &Report, finding: &Finding) -> Incident {
    Incident {
        number: 0,
        host: report.host.clone(),
        finding: finding.id.to_owned(),
        subject: finding.subject.clone(),
        task: report.task.clone(),
        severity: finding.severity,
        message: finding.message.clone(),
        hint: finding.hint.clone(),
        first: report.started_at,
        last: report.started_at,
        resolved: None,
        acknowledged_by: None,
    }
}

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
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rusqlite::TransactionBehavior;

pub use channel::{Sent, Unreached};
pub use deliver::{Delivery, complaints, deliver, is_stuck, try_channel};
pub use desk::Desk;
pub use message::Message;
pub use ping::Switch;

use crate::calendar;
use crate::journal;
use crate::report::{Examined, Finding, NewsLine, Report, Severity};
use crate::sys::files;
use crate::text::{about, clean};
use decide::{Event, State, Told, decide};
use said::Said;
pub use store::Incident;
use store::{News, Waiting};

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
    /// Those that are told of it.
    channels: BTreeSet<String>,
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
    let (mut seen, mut returned) = (BTreeSet::new(), BTreeSet::new());
    let settling = store::to_resolve(&transaction)?;
    for finding in worst_of_each(&report.findings) {
        let found = incident(report, finding, now);
        let same = |one: &&Incident| one.finding == found.finding && one.subject == found.subject;
        if let Some(one) = settling.iter().rfind(same)
            && store::reopen(&transaction, one.number)?
        {
            returned.insert(one.number);
        }
        seen.insert(store::found(&transaction, &found)?);
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
            last: incident.last,
            over: incident.resolved,
            over_before: match incident.resolved {
                Some(_) => store::over_before(&transaction, incident)?,
                None => None,
            },
            seen: seen.contains(&incident.number),
            returned: returned.contains(&incident.number),
            acknowledged: incident.acknowledged_by.is_some(),
            muted: mutes.iter().any(|mute| mute.covers(incident)),
        };
        let decide = |told: Option<&Told>, policy| decide(&view, told, policy, now, desk.zone());
        let policies = desk.policies(incident);
        let mut channels: BTreeSet<&str> = policies.keys().map(String::as_str).collect();
        channels.extend(told.keys().map(String::as_str).filter(|name| *name != CRON));
        for name in channels {
            let before = told.get(name);
            let Some(event) = decide(before, policies.get(name)) else {
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
            if let Some(event) = decide(before, Some(&desk.cron(incident))) {
                store::tell(
                    &transaction,
                    incident.number,
                    CRON,
                    &after(incident, event, before, now),
                )?;
                let direct = policies.iter().filter(|(_, policy)| policy.direct);
                let names = direct.map(|(name, _)| name).chain(told.keys());
                unheard.push(Unheard {
                    incident: incident.number,
                    channels: names.filter(|name| *name != CRON).cloned().collect(),
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
        journal::INTERRUPTED => calendar::command_of(&finding.subject),
        _ => &report.task,
    }
}

/// Everything that is open; nothing where no journal can be read.
pub fn incidents(state: &Path) -> Vec<Incident> {
    let read = || -> anyhow::Result<_> {
        match journal::open_for_reading(state)? {
            Some(connection) => store::open(&connection),
            None => Ok(Vec::new()),
        }
    };
    read().unwrap_or_default()
}

/// Finding and subject of everything that is open.
pub fn open(state: &Path) -> Vec<(String, String)> {
    let named = |incident: Incident| (incident.finding, incident.subject);
    incidents(state).into_iter().map(named).collect()
}

/// The paths that open alerts of a finding are about. One whose name is no text is left out: its subject does not lead to it.
pub fn open_paths(state: &Path, finding: &str) -> BTreeSet<PathBuf> {
    open(state)
        .into_iter()
        .filter(|(id, subject)| id == finding && !subject.contains(char::REPLACEMENT_CHARACTER))
        .map(|(_, subject)| subject.into())
        .collect()
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
            "{} ({}) {}",
            incident.severity.word(),
            event.word(),
            about(&clean(&incident.subject), &clean(&incident.message))
        ),
    }
}

/// Of what cron's mail would carry, what no channel has delivered: all that a quiet run prints. One that took it is enough.
pub fn unheard(state: &Path, unheard: Vec<Unheard>) -> anyhow::Result<Vec<NewsLine>> {
    let Some(connection) = journal::open_for_reading(state)? else {
        return Ok(unheard.into_iter().map(|unheard| unheard.line).collect());
    };
    let stuck = store::undelivered(&connection, 1)?;
    let was_heard = |one: &Unheard| {
        let mut channels = one.channels.iter();
        channels.any(|channel| !stuck.contains(&(one.incident, channel.clone())))
    };
    Ok(unheard
        .into_iter()
        .filter(|one| !was_heard(one))
        .map(|unheard| unheard.line)
        .collect())
}

/// What was said while the journal could not be written becomes incidents, so that it can be resolved; and what ran becomes runs, so
/// that no line of the plan is taken for one that did not run.
pub fn catch_up(state: &Path, memory: &Path) -> anyhow::Result<()> {
    let Some(said) = Said::read(memory) else {
        return Ok(());
    };
    let mut connection = journal::open_for_writing(state)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for remembered in said.incidents() {
        let number = store::found(&transaction, &remembered.incident)?;
        for (channel, told) in remembered.told() {
            store::tell(&transaction, number, channel, &told)?;
        }
    }
    for run in said.runs() {
        journal::add(&transaction, run)?;
    }
    transaction.commit()?;
    files::forget(memory);
    Ok(())
}

/// Where the journal cannot be written: what is news is said to everybody whom a route names, as far as the journal can still be read
/// and the file `memory` remembers what was said. Returns what no channel took, and of the news the lines that a quiet run prints;
/// `None` where nothing is remembered. `answers` is the line of the plan that the run answers.
pub fn send_without_journal(
    state: &Path,
    desk: &Desk,
    report: &Report,
    answers: Option<&str>,
    memory: Option<&Path>,
    now: Timestamp,
) -> (Vec<Finding>, Option<Vec<NewsLine>>) {
    let mut said = Said::open(memory, state, desk.zone(), now);
    let known: Vec<Incident> = worst_of_each(&report.findings)
        .into_iter()
        .map(|finding| incident(report, finding, now))
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
    let complained = findings
        .iter()
        .map(|finding| incident(report, finding, now));
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
    if let Some(name) = answers {
        said.ran(name, report);
    }
    let lines = said.keep().then_some(lines);
    (findings, lines)
}

/// A finding as an incident that has no number yet.
fn incident(report: &Report, finding: &Finding, now: Timestamp) -> Incident {
    Incident {
        number: 0,
        host: report.host.clone(),
        finding: finding.id.to_owned(),
        subject: finding.subject.clone(),
        task: task_of(finding, report).to_owned(),
        severity: finding.severity,
        message: finding.message.clone(),
        hint: finding.hint.clone(),
        first: now,
        last: now,
        resolved: None,
        acknowledged_by: None,
    }
}

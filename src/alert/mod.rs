//! The right person, once and in time. A run's findings become incidents; a pure function decides what each channel has to hear;
//! that goes into an outbox in the same transaction, and is sent from there: at least once, and twice only where nobody can know.

mod channel;
pub mod decide;
mod desk;
mod message;
mod ping;
pub mod store;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::channel as pipe;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::TransactionBehavior;

pub use channel::Sent;
pub use desk::Desk;
pub use message::Message;
pub use ping::Switch;

use crate::error::{self, Kind};
use crate::journal;
use crate::report::{Examined, Finding, Report, Severity};
use crate::sys::Stop;
use crate::sys::lock::Lock;
use crate::text::clean;
use decide::{Event, State, Told, decide};
use store::{Incident, News, Waiting};

/// Finding id: a channel does not take messages.
pub const UNDELIVERED: &str = "alert.undelivered";

/// Finding id: the dead-man switch did not answer.
pub const PING_FAILED: &str = "alert.ping-failed";

/// Cron's own mail is a channel too: it has no name, and is told by printing.
const CRON: &str = "";

/// Sending never takes longer than this, however many channels hang.
const LONGEST: Duration = Duration::from_secs(60);
const SENDERS_TURN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(6);
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 400);

/// News that cron's own mail would carry, unless a channel delivers it.
pub struct Unheard {
    incident: i64,
    covered: bool,
    line: String,
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

fn line(incident: &Incident, event: Event) -> String {
    format!(
        "{} ({}) {}: {}",
        incident.severity.word(),
        event.word(),
        clean(&incident.subject),
        clean(&incident.message)
    )
}

/// Sends what is due, one attempt a channel, all at once and within a limit. What a channel does not take is a finding.
pub fn deliver(
    state: &Path,
    desk: &Desk,
    host: &str,
    stop: &Stop,
    now: Timestamp,
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let connection = journal::open_for_writing(state)?;
    if store::due(&connection, now)?.is_empty() {
        return Ok(findings);
    }
    // One sender at a time, or two runs that end together would both send what waits.
    let turn = Lock {
        path: state.join("locks").join("alerts-send.lock"),
        what: "the outbox of alerts".into(),
        optional: true,
        urgent: false,
    };
    let _turn = match turn.take(
        "alerts",
        SENDERS_TURN,
        now,
        &stop.with_limit(SENDERS_TURN * 2),
    ) {
        Ok(held) => held,
        Err(error) if error::kind_of(&error) == Kind::Locked => return Ok(findings),
        Err(error) => return Err(error),
    };
    let (send, receive) = pipe();
    let mut under_way = Vec::new();
    for (name, waiting) in store::due(&connection, now)? {
        let Some(channel) = desk.channel(&name).cloned() else {
            findings.push(gone(&name, waiting.len()));
            store::sent(&connection, &ids(&waiting))?;
            continue;
        };
        let message = Message::new(host, &waiting, desk.zone());
        let send = send.clone();
        std::thread::spawn(move || {
            // Nobody listens any more where this took longer than the limit.
            let _ = send.send((channel.name.clone(), channel::send(&channel, &message)));
        });
        under_way.push((name, waiting));
    }
    let started = Instant::now();
    while !under_way.is_empty() {
        let left = LONGEST.saturating_sub(started.elapsed());
        let Ok((name, sent)) = receive.recv_timeout(left) else {
            break;
        };
        if let Some(at) = under_way.iter().position(|(other, _)| *other == name) {
            let (name, waiting) = under_way.swap_remove(at);
            findings.extend(settle(&connection, &name, &waiting, sent, now)?);
        }
    }
    for (name, waiting) in under_way {
        let hung = Sent::Later {
            error: format!("no end after {} s", LONGEST.as_secs()),
            after: None,
        };
        findings.extend(settle(&connection, &name, &waiting, hung, now)?);
    }
    Ok(findings)
}

fn ids(waiting: &[Waiting]) -> Vec<i64> {
    waiting.iter().map(|waiting| waiting.id).collect()
}

fn gone(name: &str, number: usize) -> Finding {
    Finding::new(
        UNDELIVERED,
        Severity::Medium,
        name,
        format!("the channel is no longer configured; {number} waiting for it dropped"),
    )
    .hint("empire-maint alerts list")
}

fn settle(
    connection: &rusqlite::Connection,
    name: &str,
    waiting: &[Waiting],
    sent: Sent,
    now: Timestamp,
) -> anyhow::Result<Option<Finding>> {
    let attempts = waiting
        .iter()
        .map(|waiting| waiting.attempts)
        .max()
        .unwrap_or(0);
    let (error, pause, severity) = match sent {
        Sent::Delivered => {
            store::sent(connection, &ids(waiting))?;
            return Ok(None);
        }
        Sent::Later { error, after } => (error, pause(attempts, after), Severity::Medium),
        Sent::Rejected(error) => (error, LONGEST_PAUSE, Severity::High),
    };
    let due = now.checked_add(pause).unwrap_or(now);
    store::failed(connection, &ids(waiting), &error, due)?;
    Ok(Some(
        Finding::new(
            UNDELIVERED,
            severity,
            name,
            format!(
                "{} not sent: {error}",
                crate::units::count(waiting.len() as u64, "alert")
            ),
        )
        .hint(format!("empire-maint alerts test {name}")),
    ))
}

/// True when something could not be sent there and still waits.
pub fn is_stuck(state: &Path, channel: &str) -> bool {
    let queues = journal::open_for_reading(state)
        .ok()
        .flatten()
        .and_then(|connection| store::queues(&connection).ok())
        .unwrap_or_default();
    queues
        .iter()
        .any(|queue| queue.channel == channel && queue.attempts > 0)
}

/// How long to leave a channel alone: as it asks, but a slip on the other side must not silence it for good.
fn pause(attempts: u32, asked: Option<Duration>) -> SignedDuration {
    match asked.map(SignedDuration::try_from) {
        Some(asked) => asked.unwrap_or(LONGEST_ASKED).min(LONGEST_ASKED),
        None => (FIRST_PAUSE * 2i32.pow(attempts.min(6))).min(LONGEST_PAUSE),
    }
}

/// Of what cron's mail would carry, what no channel has delivered: all that a quiet run prints.
pub fn unheard(state: &Path, unheard: Vec<Unheard>) -> anyhow::Result<Vec<String>> {
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

/// Where the journal cannot be written nobody knows what was said before: everything is said, to everybody whom a route names.
pub fn send_without_memory(desk: &Desk, report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for channel in desk.channels() {
        let waiting: Vec<_> = worst_of_each(&report.findings)
            .into_iter()
            .map(|finding| Incident {
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
            })
            .filter(|incident| {
                incident.severity >= Severity::Medium
                    && desk
                        .policies(incident)
                        .get(&channel.name)
                        .is_some_and(|policy| policy.direct)
            })
            .map(|incident| Waiting {
                id: 0,
                attempts: 0,
                news: News {
                    incident: None,
                    ..news(&incident, Event::First, report.started_at)
                },
            })
            .collect();
        if waiting.is_empty() {
            continue;
        }
        let message = Message::new(&report.host, &waiting, desk.zone());
        if let Sent::Later { error, .. } | Sent::Rejected(error) = channel::send(channel, &message)
        {
            findings.push(Finding::new(
                UNDELIVERED,
                Severity::High,
                &channel.name,
                error,
            ));
        }
    }
    findings
}

/// Tries a channel at once, beside the outbox.
pub fn try_channel(desk: &Desk, name: &str, host: &str, news: News) -> Option<Sent> {
    let waiting = [Waiting {
        id: 0,
        attempts: 0,
        news,
    }];
    let message = Message::new(host, &waiting, desk.zone());
    desk.channel(name)
        .map(|channel| channel::send(channel, &message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_of_the_other_side_silences_a_channel_for_good() {
        let asked = |seconds| pause(0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(600), SignedDuration::from_mins(10));
        assert_eq!(asked(u64::MAX), LONGEST_ASKED);
        assert_eq!(asked(999_999_999), LONGEST_ASKED);
        assert_eq!(pause(0, None), FIRST_PAUSE);
        assert_eq!(pause(40, None), LONGEST_PAUSE);
    }
}

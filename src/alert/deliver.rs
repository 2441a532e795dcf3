//! What waits in the outbox, sent: one attempt a channel, all at once and within a limit. What a channel does not take stays, and is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel as pipe;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::store::{self, News, Waiting};
use super::{Desk, Message, Sent, UNDELIVERED, Unreached, channel};
use crate::error::{self, Kind};
use crate::journal;
use crate::report::{Examined, Finding, Severity};
use crate::sys::Stop;
use crate::sys::lock::Lock;

/// Sending never takes longer than this, however many channels hang.
const LONGEST: Duration = Duration::from_secs(60);
const SENDERS_TURN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(6);

/// What became of an attempt to send all that is due.
#[derive(Default)]
pub struct Delivery {
    /// What was not taken.
    pub findings: Vec<Finding>,
    /// Who was seen to take something.
    pub examined: Vec<Examined>,
}

/// News that goes out together: to everybody, or to those who did not get it with the others.
struct Parcel {
    channel: String,
    waiting: Vec<Waiting>,
}

/// Sends what is due, one attempt a channel, all at once and within a limit. What a channel does not take is a finding.
pub fn deliver(
    state: &Path,
    desk: &Desk,
    host: &str,
    stop: &Stop,
    now: Timestamp,
) -> anyhow::Result<Delivery> {
    let mut delivery = Delivery::default();
    let connection = journal::open_for_writing(state)?;
    if store::due(&connection, now)?.is_empty() {
        return Ok(delivery);
    }
    // One sender at a time, or two runs that end together would both send what waits.
    let turn = Lock {
        path: state.join("locks").join("alerts-send.lock"),
        what: "the outbox of alerts is".into(),
        optional: true,
        urgent: false,
    };
    let _turn = match turn.take(
        "alerts",
        SENDERS_TURN,
        &now.to_zoned(desk.zone().clone()),
        &stop.with_limit(SENDERS_TURN * 2),
    ) {
        Ok(held) => held,
        Err(error) if error::kind_of(&error) == Kind::Locked => return Ok(delivery),
        Err(error) => return Err(error),
    };
    let (send, receive) = pipe();
    let mut under_way: BTreeMap<usize, Parcel> = BTreeMap::new();
    for (name, waiting) in store::due(&connection, now)? {
        let Some(channel) = desk.channel(&name).cloned() else {
            delivery.findings.push(gone(&name, waiting.len()));
            store::sent(&connection, &ids(&waiting))?;
            continue;
        };
        let mut messages = Vec::new();
        for waiting in by_receivers(waiting) {
            let only = waiting.first().and_then(|one| one.only.clone());
            let message = Message::new(host, &waiting, desk.zone());
            let number = under_way.len();
            messages.push((number, message, only));
            let channel = name.clone();
            under_way.insert(number, Parcel { channel, waiting });
        }
        let send = send.clone();
        std::thread::spawn(move || {
            for (number, message, only) in messages {
                // Nobody listens any more where this took longer than the limit.
                let _ = send.send((number, channel::send(&channel, &message, only.as_deref())));
            }
        });
    }
    let started = Instant::now();
    while !under_way.is_empty() {
        let left = LONGEST.saturating_sub(started.elapsed());
        let Ok((number, sent)) = receive.recv_timeout(left) else {
            break;
        };
        if let Some(parcel) = under_way.remove(&number) {
            settle(&connection, desk, &parcel, sent, now, &mut delivery)?;
        }
    }
    for parcel in under_way.into_values() {
        let hung = Sent::Later {
            error: format!("no end after {} s", LONGEST.as_secs()),
            after: None,
        };
        settle(&connection, desk, &parcel, hung, now, &mut delivery)?;
    }
    Ok(delivery)
}

/// What only some still wait for came before what is for all.
fn by_receivers(waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut groups: Vec<Vec<Waiting>> = Vec::new();
    for one in waiting {
        let same =
            |group: &&mut Vec<Waiting>| group.first().is_some_and(|first| first.only == one.only);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.sort_by_key(|group| group.first().is_none_or(|first| first.only.is_none()));
    groups
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
    desk: &Desk,
    parcel: &Parcel,
    sent: Sent,
    now: Timestamp,
    delivery: &mut Delivery,
) -> anyhow::Result<()> {
    let Parcel { channel, waiting } = parcel;
    let attempts = waiting
        .iter()
        .map(|waiting| waiting.attempts)
        .max()
        .unwrap_or(0);
    let wait = |after| now.checked_add(pause(attempts, after)).unwrap_or(now);
    let many = crate::units::count(waiting.len() as u64, "alert");
    let (error, due, severity) = match sent {
        Sent::Delivered => {
            store::sent(connection, &ids(waiting))?;
            let only = waiting.first().and_then(|one| one.only.as_ref());
            delivery.examined.extend(taken(desk, channel, only, &[]));
            return Ok(());
        }
        // Who has it must not get it again: what is left is for the others alone.
        Sent::Partly(unreached) => {
            let later: Vec<_> = unreached
                .iter()
                .filter(|one| !one.for_good)
                .map(|one| one.receiver.clone())
                .collect();
            match later.is_empty() {
                true => store::sent(connection, &ids(waiting))?,
                false => {
                    store::leave_for(connection, &ids(waiting), &later)?;
                    let error = format!("not taken for {}", later.join(", "));
                    store::failed(connection, &ids(waiting), &error, wait(None))?;
                }
            }
            let only = waiting.first().and_then(|one| one.only.as_ref());
            let taken = taken(desk, channel, only, &unreached);
            delivery.examined.extend(taken);
            let findings = unreached
                .iter()
                .map(|one| left_out(channel, one, &many, attempts));
            delivery.findings.extend(findings);
            return Ok(());
        }
        Sent::Later { error, after } => (error, wait(after), Severity::Medium),
        Sent::Rejected(error) => (
            error,
            now.checked_add(LONGEST_PAUSE).unwrap_or(now),
            Severity::High,
        ),
    };
    store::failed(connection, &ids(waiting), &error, due)?;
    delivery.findings.push(
        Finding::new(
            UNDELIVERED,
            severity,
            channel,
            format!("{many} not sent: {error}"),
        )
        .hint(format!("empire-maint alerts test {channel}")),
    );
    Ok(())
}

/// A server that asks a new sender to come again is no trouble; one that still does so later is.
fn left_out(channel: &str, unreached: &Unreached, many: &str, attempts: u32) -> Finding {
    let severity = match unreached.for_good || attempts >= 3 {
        true => Severity::Medium,
        false => Severity::Low,
    };
    Finding::new(
        UNDELIVERED,
        severity,
        receiver(channel, &unreached.receiver),
        format!("{many} not taken for this receiver: {}", unreached.error),
    )
    .hint(format!("empire-maint alerts test {channel}"))
}

fn receiver(channel: &str, to: &str) -> String {
    format!("{channel}: {to}")
}

/// The receivers who were seen to take a mail.
fn taken(
    desk: &Desk,
    channel: &str,
    only: Option<&Vec<String>>,
    unreached: &[Unreached],
) -> Vec<Examined> {
    let all = desk.channel(channel).map(|channel| channel.to.as_slice());
    all.unwrap_or_default()
        .iter()
        .filter(|to| only.is_none_or(|only| only.contains(to)))
        .filter(|to| !unreached.iter().any(|one| one.receiver == **to))
        .map(|to| Examined {
            id: UNDELIVERED,
            subject: Some(receiver(channel, to)),
        })
        .collect()
}

/// True when something could not be sent there and still waits.
pub fn is_stuck(state: &Path, channel: &str) -> anyhow::Result<bool> {
    match journal::open_for_reading(state)? {
        Some(connection) => store::is_stuck(&connection, channel),
        None => Ok(false),
    }
}

/// How long to leave a channel alone: as it asks, but a slip on the other side must not silence it for good.
fn pause(attempts: u32, asked: Option<Duration>) -> SignedDuration {
    match asked.map(SignedDuration::try_from) {
        Some(asked) => asked.unwrap_or(LONGEST_ASKED).min(LONGEST_ASKED),
        None => (FIRST_PAUSE * 2i32.pow(attempts.min(6))).min(LONGEST_PAUSE),
    }
}

/// What an attempt beside the outbox did not reach.
pub fn complaints(sent: Sent, channel: &str) -> Vec<Finding> {
    let about =
        |subject: String, error: String| Finding::new(UNDELIVERED, Severity::High, subject, error);
    match sent {
        Sent::Delivered => Vec::new(),
        Sent::Later { error, .. } | Sent::Rejected(error) => vec![about(channel.to_owned(), error)],
        Sent::Partly(unreached) => unreached
            .into_iter()
            .map(|one| about(receiver(channel, &one.receiver), one.error))
            .collect(),
    }
}

/// Tries a channel at once, beside the outbox.
pub fn try_channel(desk: &Desk, name: &str, host: &str, news: News) -> Option<Sent> {
    let waiting = [Waiting {
        id: 0,
        attempts: 0,
        only: None,
        news,
    }];
    let message = Message::new(host, &waiting, desk.zone());
    desk.channel(name)
        .map(|channel| channel::send(channel, &message, None))
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

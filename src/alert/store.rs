//! Incidents, what each channel was told of them, what waits to be sent, and mutes: tables of the journal.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::Told;
use crate::report::Severity;
use crate::text;

/// The same finding about the same subject, from the first run that made it to the one that found it well.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its number, for `alerts ack`.
    pub number: i64,
    /// Where.
    pub host: String,
    /// The finding's id.
    pub finding: String,
    /// What it is about.
    pub subject: String,
    /// The task that found it last.
    pub task: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Found first.
    #[schemars(with = "String")]
    pub first: Timestamp,
    /// Found last.
    #[schemars(with = "String")]
    pub last: Timestamp,
    /// Since when it is gone.
    #[schemars(with = "Option<String>")]
    pub resolved: Option<Timestamp>,
    /// Who knows of it.
    pub acknowledged_by: Option<String>,
}

/// Nothing waits longer: no digest, no pause. What is due later was put off while the clock was ahead.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(26);

const COLUMNS: &str = "number, host, finding, subject, task, severity, message, hint, first_ms, last_ms, resolved_ms, acknowledged_by";

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    Ok(Incident {
        number: row.get(0)?,
        host: row.get(1)?,
        finding: row.get(2)?,
        subject: row.get(3)?,
        task: row.get(4)?,
        severity: severity(&row.get::<_, String>(5)?),
        message: row.get(6)?,
        hint: row.get(7)?,
        first: moment(row.get(8)?),
        last: moment(row.get(9)?),
        resolved: row.get::<_, Option<i64>>(10)?.map(moment),
        acknowledged_by: row.get(11)?,
    })
}

fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// What is not understood is taken seriously.
fn severity(word: &str) -> Severity {
    Severity::from_word(word).unwrap_or(Severity::Critical)
}

/// Writes down that a run made this finding; the number that `incident` has is not looked at. A new incident, or the open one with
/// what is known of it now, whatever the host was called then: the journal is that of one installation. One that became more urgent
/// than it was when somebody acknowledged it is no longer acknowledged.
pub fn found(connection: &Connection, incident: &Incident) -> anyhow::Result<i64> {
    let Incident {
        host,
        finding,
        subject,
        task,
        message,
        hint,
        ..
    } = incident;
    let (word, last) = (incident.severity.word(), incident.last.as_millisecond());
    let open: Option<(i64, Option<String>)> = connection
        .query_row(
            "SELECT number, acknowledged_severity FROM incidents
             WHERE finding = ?2 AND subject = ?3 AND resolved_ms IS NULL
             ORDER BY host = ?1 DESC, number DESC LIMIT 1",
            params![host, finding, subject],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    if let Some((number, known)) = open {
        connection.execute(
            "UPDATE incidents SET host = ?2, task = ?3, severity = ?4, message = ?5, hint = ?6, last_ms = ?7 WHERE number = ?1",
            params![number, host, task, word, message, hint, last],
        )?;
        if known.is_some_and(|known| incident.severity > severity(&known)) {
            connection.execute(
                "UPDATE incidents SET acknowledged_by = NULL, acknowledged_ms = NULL, acknowledged_severity = NULL WHERE number = ?1",
                [number],
            )?;
        }
        return Ok(number);
    }
    connection.execute(
        "INSERT INTO incidents (host, finding, subject, task, severity, message, hint, first_ms, last_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![host, finding, subject, task, word, message, hint, incident.first.as_millisecond(), last],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Everything that is open, most urgent first.
pub fn open(connection: &Connection) -> anyhow::Result<Vec<Incident>> {
    let mut found = select(connection, "resolved_ms IS NULL")?;
    found.sort_by_key(|incident| (std::cmp::Reverse(incident.severity), incident.number));
    Ok(found)
}

/// What is gone and some channel still believes to be there.
pub fn to_resolve(connection: &Connection) -> anyhow::Result<Vec<Incident>> {
    select(
        connection,
        "resolved_ms IS NOT NULL AND number IN (SELECT incident FROM told WHERE resolved = 0)",
    )
}

/// What is gone and is not yet said to be: it comes and goes, or is muted.
pub fn settling(connection: &Connection) -> anyhow::Result<Vec<Incident>> {
    select(
        connection,
        "resolved_ms IS NOT NULL AND number IN (SELECT incident FROM told WHERE resolved = 0 AND channel <> '')",
    )
}

fn select(connection: &Connection, which: &str) -> anyhow::Result<Vec<Incident>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM incidents WHERE {which} ORDER BY number"
    ))?;
    let rows = statement.query_map([], incident)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Marks an incident as gone.
pub fn resolve(connection: &Connection, number: i64, now: Timestamp) -> anyhow::Result<()> {
    connection.execute(
        "UPDATE incidents SET resolved_ms = ?2 WHERE number = ?1 AND resolved_ms IS NULL",
        params![number, now.as_millisecond()],
    )?;
    Ok(())
}

/// Goes on with an incident that was gone, where nothing of the kind is open; says whether it does.
pub fn reopen(connection: &Connection, number: i64) -> anyhow::Result<bool> {
    let changed = connection.execute(
        "UPDATE incidents SET resolved_ms = NULL WHERE number = ?1 AND NOT EXISTS (
           SELECT 1 FROM incidents AS other WHERE other.finding = incidents.finding
             AND other.subject = incidents.subject AND other.resolved_ms IS NULL)",
        [number],
    )?;
    Ok(changed == 1)
}

/// When the same about the same was over before this one began, as far as anybody was told so.
pub fn over_before(
    connection: &Connection,
    incident: &Incident,
) -> anyhow::Result<Option<Timestamp>> {
    let over: Option<i64> = connection.query_row(
        "SELECT max(resolved_ms) FROM incidents WHERE finding = ?1 AND subject = ?2 AND number < ?3
           AND number IN (SELECT incident FROM told WHERE resolved = 1)",
        params![incident.finding, incident.subject, incident.number],
        |row| row.get(0),
    )?;
    Ok(over.map(moment))
}

/// Marks an incident as known to somebody; `None` where there is none of that number that is open.
pub fn acknowledge(
    connection: &Connection,
    number: i64,
    who: &str,
    now: Timestamp,
) -> anyhow::Result<Option<()>> {
    let changed = connection.execute(
        "UPDATE incidents SET acknowledged_by = ?2, acknowledged_ms = ?3, acknowledged_severity = severity
         WHERE number = ?1 AND resolved_ms IS NULL",
        params![number, who, now.as_millisecond()],
    )?;
    Ok((changed == 1).then_some(()))
}

/// Ends an incident whose subject no run will look at again; `None` where there is none of that number that is open.
pub fn close(connection: &Connection, number: i64, now: Timestamp) -> anyhow::Result<Option<()>> {
    let open = open(connection)?.iter().any(|one| one.number == number);
    if open {
        resolve(connection, number, now)?;
    }
    Ok(open.then_some(()))
}

/// Forgets what has been over for long.
pub fn forget(connection: &Connection, before: Timestamp) -> anyhow::Result<()> {
    connection.execute(
        "DELETE FROM incidents WHERE resolved_ms < ?1",
        [before.as_millisecond()],
    )?;
    connection.execute(
        "DELETE FROM mutes WHERE until_ms < ?1",
        [before.as_millisecond()],
    )?;
    Ok(())
}

/// What each channel was told of an incident.
pub fn told(connection: &Connection, incident: i64) -> anyhow::Result<BTreeMap<String, Told>> {
    let mut statement = connection.prepare(
        "SELECT channel, at_ms, severity, escalated, resolved FROM told WHERE incident = ?1",
    )?;
    let rows = statement.query_map([incident], |row| {
        Ok((
            row.get(0)?,
            Told {
                at: moment(row.get(1)?),
                severity: severity(&row.get::<_, String>(2)?),
                escalated: row.get(3)?,
                resolved: row.get(4)?,
            },
        ))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes down what a channel is told.
pub fn tell(
    connection: &Connection,
    incident: i64,
    channel: &str,
    told: &Told,
) -> anyhow::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO told VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            incident,
            channel,
            told.at.as_millisecond(),
            told.severity.word(),
            told.escalated,
            told.resolved
        ],
    )?;
    Ok(())
}

/// One piece of news about one incident, or a message of its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct News {
    /// new, worse, still there, resolved, not acknowledged; notice or test for what is no incident.
    pub event: String,
    /// The incident's number.
    pub incident: Option<i64>,
    /// The finding's id.
    pub finding: String,
    /// What it is about.
    pub subject: String,
    /// How urgent.
    pub severity: Severity,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The task that found it.
    pub task: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When it was found so; for what is resolved, its end.
    #[schemars(with = "String")]
    #[serde(default)]
    pub at: Timestamp,
}

/// A piece of news that waits to be sent.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its row.
    pub id: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// The receivers that are left, where others of the channel have it.
    pub only: Option<Vec<String>>,
    /// What it says.
    pub news: News,
}

/// Puts a piece of news into the outbox of a channel.
pub fn spool(
    connection: &Connection,
    channel: &str,
    news: &News,
    now: Timestamp,
    due: Timestamp,
) -> anyhow::Result<()> {
    connection.execute(
        "INSERT INTO outbox (channel, incident, created_ms, due_ms, event) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![channel, news.incident, now.as_millisecond(), due.as_millisecond(), serde_json::to_string(news)?],
    )?;
    Ok(())
}

/// What is due, by channel. Where the clock was set back, everything is. What a channel did not take goes along with whatever is due
/// there: it came first, and a message that it is over must not overtake it.
pub fn due(
    connection: &Connection,
    now: Timestamp,
) -> anyhow::Result<BTreeMap<String, Vec<Waiting>>> {
    let mut statement = connection.prepare(
        "WITH due AS (SELECT channel, id FROM outbox WHERE due_ms NOT BETWEEN ?1 + 1 AND ?2 OR created_ms > ?1)
         SELECT channel, id, attempts, receivers, event FROM outbox
         WHERE id IN (SELECT id FROM due) OR (attempts > 0 AND channel IN (SELECT channel FROM due)) ORDER BY id",
    )?;
    let latest = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    let moments = [now.as_millisecond(), latest.as_millisecond()];
    let rows = statement.query_map(moments, |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get::<_, String>(4)?,
        ))
    })?;
    let unreadable = "the outbox holds something unreadable";
    let mut found: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for row in rows {
        let (channel, id, attempts, receivers, event) = row?;
        let only = receivers.map(|list| serde_json::from_str(&list));
        found.entry(channel).or_default().push(Waiting {
            id,
            attempts,
            only: only.transpose().context(unreadable)?,
            news: serde_json::from_str(&event).context(unreadable)?,
        });
    }
    Ok(found)
}

/// Takes what was sent out of the outbox.
pub fn sent(connection: &Connection, ids: &[i64]) -> anyhow::Result<()> {
    connection.execute(
        "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?1))",
        [serde_json::to_string(ids)?],
    )?;
    Ok(())
}

/// Others of the channel have it: it waits for these receivers alone.
pub fn leave_for(connection: &Connection, ids: &[i64], receivers: &[String]) -> anyhow::Result<()> {
    connection.execute(
        "UPDATE outbox SET receivers = ?2 WHERE id IN (SELECT value FROM json_each(?1))",
        params![
            serde_json::to_string(ids)?,
            serde_json::to_string(receivers)?
        ],
    )?;
    Ok(())
}

/// Notes a failed attempt and when to try again.
pub fn failed(
    connection: &Connection,
    ids: &[i64],
    error: &str,
    due: Timestamp,
) -> anyhow::Result<()> {
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, error = ?2, due_ms = ?3
         WHERE id IN (SELECT value FROM json_each(?1))",
        params![serde_json::to_string(ids)?, error, due.as_millisecond()],
    )?;
    Ok(())
}

/// What waits in one outbox.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Queue {
    /// The channel.
    pub channel: String,
    /// How many pieces of news.
    pub waiting: u32,
    /// How often the one that was tried most was tried.
    pub attempts: u32,
    /// Why it could not be sent.
    pub error: Option<String>,
}

/// What waits, by channel.
pub fn queues(connection: &Connection) -> anyhow::Result<Vec<Queue>> {
    let mut statement = connection.prepare(
        "SELECT channel, count(*), max(attempts), max(error) FROM outbox GROUP BY channel ORDER BY channel",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Queue {
            channel: row.get(0)?,
            waiting: row.get(1)?,
            attempts: row.get(2)?,
            error: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// True when something that nobody of a channel has could not be sent there.
pub fn is_stuck(connection: &Connection, channel: &str) -> anyhow::Result<bool> {
    Ok(connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ?1 AND attempts > 0 AND receivers IS NULL)",
        [channel],
        |row| row.get(0),
    )?)
}

/// The incidents whose news was sent to nobody of a channel so far, with that channel: those that were tried at least so often.
pub fn undelivered(
    connection: &Connection,
    attempts: u32,
) -> anyhow::Result<BTreeSet<(i64, String)>> {
    let mut statement = connection.prepare(
        "SELECT DISTINCT incident, channel FROM outbox WHERE attempts >= ?1 AND incident IS NOT NULL AND receivers IS NULL",
    )?;
    let rows = statement.query_map([attempts], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Why nothing is sent about some incidents, for a while.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Mute {
    /// Its number.
    pub id: i64,
    /// silence or maintenance.
    pub kind: String,
    /// Which findings; * stands for any text.
    pub finding: String,
    /// About which subjects.
    pub subject: String,
    /// Since when.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Until when.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Who wanted it.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl Mute {
    /// True when it holds for this incident.
    pub fn covers(&self, incident: &Incident) -> bool {
        text::fits(&self.finding, &incident.finding) && text::fits(&self.subject, &incident.subject)
    }
}

/// What is muted now. A mute that begins in the future was made before the clock was set back: it does not count.
pub fn mutes(connection: &Connection, now: Timestamp) -> anyhow::Result<Vec<Mute>> {
    let mut statement = connection.prepare(
        "SELECT id, kind, finding, subject, from_ms, until_ms, who, reason FROM mutes
         WHERE from_ms <= ?1 AND until_ms > ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([now.as_millisecond()], |row| {
        Ok(Mute {
            id: row.get(0)?,
            kind: row.get(1)?,
            finding: row.get(2)?,
            subject: row.get(3)?,
            from: moment(row.get(4)?),
            until: moment(row.get(5)?),
            who: row.get(6)?,
            reason: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Adds a mute; its number is given by the store.
pub fn mute(connection: &Connection, mute: &Mute) -> anyhow::Result<i64> {
    connection.execute(
        "INSERT INTO mutes (kind, finding, subject, from_ms, until_ms, who, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![mute.kind, mute.finding, mute.subject, mute.from.as_millisecond(), mute.until.as_millisecond(), mute.who, mute.reason],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Ends mutes of a kind, or one of them; says how many.
pub fn unmute(
    connection: &Connection,
    kind: &str,
    id: Option<i64>,
    now: Timestamp,
) -> anyhow::Result<usize> {
    Ok(connection.execute(
        "UPDATE mutes SET until_ms = ?3 WHERE kind = ?1 AND (?2 IS NULL OR id = ?2) AND until_ms > ?3",
        params![kind, id, now.as_millisecond()],
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal;

    fn about(host: &str, severity: Severity, now: Timestamp) -> Incident {
        Incident {
            number: 0,
            host: host.into(),
            finding: "disk.usage".into(),
            subject: "/".into(),
            task: "health".into(),
            severity,
            message: "full".into(),
            hint: None,
            first: now,
            last: now,
            resolved: None,
            acknowledged_by: None,
        }
    }

    #[test]
    fn a_host_that_is_called_otherwise_now_is_still_the_same() {
        let state = tempfile::tempdir().expect("a folder");
        let journal = journal::open_for_writing(state.path()).expect("opens");
        let now = Timestamp::UNIX_EPOCH;
        let found = |host| found(&journal, &about(host, Severity::High, now)).expect("is written");
        assert_eq!(found("vm"), found("web2"));
        let open = open(&journal).expect("reads");
        assert_eq!((open.len(), open[0].host.as_str()), (1, "web2"));
    }

    #[test]
    fn an_acknowledgement_holds_until_it_is_worse_than_it_was_then() {
        let state = tempfile::tempdir().expect("a folder");
        let journal = journal::open_for_writing(state.path()).expect("opens");
        let now = Timestamp::UNIX_EPOCH;
        let found = |severity| {
            let incident = about("web1", severity, now);
            super::found(&journal, &incident).expect("is written")
        };
        let known = || {
            let open = open(&journal).expect("reads");
            open[0].acknowledged_by.is_some()
        };
        let number = found(Severity::High);
        let known_to = acknowledge(&journal, number, "ann", now).expect("is written");
        assert!(known_to.is_some() && known());
        for (severity, still) in [
            (Severity::Medium, true),
            (Severity::High, true),
            (Severity::Critical, false),
            (Severity::High, false),
        ] {
            found(severity);
            assert_eq!(known(), still, "{severity:?}");
        }
    }
}

//! What was said, and what ran, while the journal cannot be written: a small file outside the state folder, so that a disk that is full
//! makes no run say everything again. What gets lost of it costs a repetition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::decide::{Event, Policy, State, Told, decide};
use super::store::{self, Incident};
use crate::journal::{self, Unwritten};
use crate::report::{Report, Severity};
use crate::sys::files;

const LARGEST: u64 = 4 << 20;

/// The file, as it was and as it will be, and what the journal says as far as it can be read.
pub struct Said {
    file: Option<PathBuf>,
    content: Content,
    written: Vec<Written>,
    zone: TimeZone,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    incidents: Vec<Remembered>,
    /// The last run of each line of the plan.
    runs: BTreeMap<String, Unwritten>,
}

/// Something that was said.
#[derive(Serialize, Deserialize)]
pub struct Remembered {
    /// About what.
    pub incident: Incident,
    told: BTreeMap<String, Mark>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Mark {
    at: Timestamp,
    severity: Severity,
}

/// What the journal knows of an open incident.
struct Written {
    incident: Incident,
    told: BTreeMap<String, Told>,
    muted: bool,
}

impl Mark {
    fn told(self) -> Told {
        Told {
            at: self.at,
            severity: self.severity,
            escalated: false,
            resolved: false,
        }
    }
}

impl Remembered {
    /// What each channel was told of it.
    pub fn told(&self) -> impl Iterator<Item = (&str, Told)> {
        let told = self.told.iter();
        told.map(|(channel, mark)| (channel.as_str(), mark.told()))
    }
}

fn written(state: &Path, now: Timestamp) -> anyhow::Result<Vec<Written>> {
    let Some(connection) = journal::open_for_reading(state)? else {
        return Ok(Vec::new());
    };
    let mutes = store::mutes(&connection, now)?;
    // What waits in the outbox is not said: it cannot be taken out of there now.
    let waiting = store::undelivered(&connection, 0)?;
    let with_told = |incident: Incident| {
        let mut told = store::told(&connection, incident.number)?;
        told.retain(|channel, _| !waiting.contains(&(incident.number, channel.clone())));
        Ok(Written {
            told,
            muted: mutes.iter().any(|mute| mute.covers(&incident)),
            incident,
        })
    };
    store::open(&connection)?
        .into_iter()
        .map(with_told)
        .collect()
}

fn same(one: &Incident, other: &Incident) -> bool {
    one.finding == other.finding && one.subject == other.subject
}

impl Said {
    /// What the file says; nothing where there is none or it cannot be read.
    pub fn read(file: &Path) -> Option<Self> {
        let content = files::read_small(file, LARGEST).ok()?;
        Some(Self {
            file: Some(file.to_owned()),
            content: serde_json::from_slice(&content).unwrap_or_default(),
            written: Vec::new(),
            zone: TimeZone::UTC,
        })
    }

    /// What file and journal say. A journal that cannot be read costs a repetition: that it cannot be written is told already.
    pub fn open(file: Option<&Path>, state: &Path, zone: &TimeZone, now: Timestamp) -> Self {
        let before = file.and_then(Self::read);
        Self {
            file: file.map(Path::to_owned),
            content: before.map(|before| before.content).unwrap_or_default(),
            written: written(state, now).unwrap_or_default(),
            zone: zone.clone(),
        }
    }

    /// What was said.
    pub fn incidents(&self) -> &[Remembered] {
        &self.content.incidents
    }

    /// What ran.
    pub fn runs(&self) -> impl Iterator<Item = &Unwritten> {
        self.content.runs.values()
    }

    /// Is there something to say now? Nothing is held back: nobody would remember it.
    pub fn decide(
        &self,
        channel: &str,
        incident: &Incident,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Event> {
        let written = self
            .written
            .iter()
            .find(|one| same(&one.incident, incident));
        let mut remembered = self.content.incidents.iter();
        let mark = remembered
            .find(|one| same(&one.incident, incident))
            .and_then(|one| one.told.get(channel))
            .map(|mark| mark.told());
        let told = mark.or_else(|| written?.told.get(channel).copied());
        let state = State {
            severity: incident.severity,
            first: incident.first,
            last: incident.last,
            over: None,
            over_before: None,
            seen: true,
            returned: false,
            acknowledged: written.is_some_and(|one| one.incident.acknowledged_by.is_some()),
            muted: written.is_some_and(|one| one.muted),
        };
        let policy = Policy {
            hold: Duration::ZERO,
            escalate: None,
            ..*policy
        };
        decide(&state, told.as_ref(), Some(&policy), now, &self.zone)
    }

    /// Takes down what it is told now.
    pub fn tell(&mut self, channel: &str, incident: &Incident, now: Timestamp) {
        let mark = Mark {
            at: now,
            severity: incident.severity,
        };
        let known = &mut self.content.incidents;
        let at = known.iter().position(|one| same(&one.incident, incident));
        let at = at.unwrap_or_else(|| {
            known.push(Remembered {
                incident: incident.clone(),
                told: BTreeMap::new(),
            });
            known.len() - 1
        });
        let first = known[at].incident.first;
        known[at].incident = Incident {
            first,
            ..incident.clone()
        };
        known[at].told.insert(channel.to_owned(), mark);
    }

    /// Takes down that a line of the plan has run.
    pub fn ran(&mut self, line: &str, report: &Report) {
        let run = Unwritten::new(line, report);
        self.content.runs.insert(line.to_owned(), run);
    }

    /// Writes it down; false where there is no place for it.
    pub fn keep(&self) -> bool {
        let write = |file: &Path| -> anyhow::Result<()> {
            files::private_directory(files::parent(file))?;
            files::forget(file);
            files::write_private(file, &serde_json::to_vec(&self.content)?)
        };
        self.file.as_deref().is_some_and(|file| write(file).is_ok())
    }
}

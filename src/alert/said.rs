//! What was said while the journal cannot be written: a small file outside the state folder, so that a disk that is full makes no run
//! say everything again. What gets lost of it costs a repetition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::{Event, Policy, State, Told, decide};
use super::store::Incident;
use crate::report::Severity;
use crate::sys::files;

const LARGEST: u64 = 4 << 20;

/// The file, as it was and as it will be.
pub struct Said {
    file: Option<PathBuf>,
    known: BTreeMap<String, Mark>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Mark {
    at: Timestamp,
    severity: Severity,
}

impl Said {
    /// What the file says; nothing where there is none or it cannot be read.
    pub fn open(file: Option<&Path>) -> Self {
        let known = file.and_then(|file| {
            let content = files::read_small(file, LARGEST).ok()?;
            serde_json::from_slice(&content).ok()
        });
        Self {
            file: file.map(Path::to_owned),
            known: known.unwrap_or_default(),
        }
    }

    /// What a channel was told of the same finding about the same subject.
    fn told(&self, channel: &str, incident: &Incident) -> Option<Told> {
        let mark = self.known.get(&key(channel, incident))?;
        Some(Told {
            at: mark.at,
            severity: mark.severity,
            escalated: false,
            resolved: false,
        })
    }

    /// Is there something to say now? Nothing is held back: nobody would remember it.
    pub fn decide(
        &self,
        channel: &str,
        incident: &Incident,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Event> {
        let state = State {
            severity: incident.severity,
            first: incident.first,
            open: true,
            seen: true,
            acknowledged: false,
            muted: false,
        };
        let policy = Policy {
            hold: Duration::ZERO,
            escalate: None,
            ..*policy
        };
        let before = self.told(channel, incident);
        decide(&state, before.as_ref(), Some(&policy), now)
    }

    /// Takes down what it is told now.
    pub fn tell(&mut self, channel: &str, incident: &Incident, now: Timestamp) {
        let mark = Mark {
            at: now,
            severity: incident.severity,
        };
        self.known.insert(key(channel, incident), mark);
    }

    /// Writes it down; false where there is no place for it.
    pub fn keep(&self) -> bool {
        let write = |file: &Path| -> anyhow::Result<()> {
            files::private_directory(files::parent(file))?;
            files::forget(file);
            files::write_private(file, &serde_json::to_vec(&self.known)?)
        };
        self.file.as_deref().is_some_and(|file| write(file).is_ok())
    }
}

fn key(channel: &str, incident: &Incident) -> String {
    format!("{channel}\n{}\n{}", incident.finding, incident.subject)
}

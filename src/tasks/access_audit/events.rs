//! Login events: how often each account got in, and who failed, from where, and when.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::bursts::{Burst, Failures};
use super::scene::Scene;
use super::tables::{Found, LOGINS};
use super::values::{self, Login};
use crate::sqlite::{TimeFormat, scroll};

/// Accounts that are counted.
const MOST: usize = 200_000;
/// A login so long after a burst may still be its success.
const AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What the events say of one account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Logins within the period.
    pub logins: u64,
    /// The last one, whenever that was.
    pub last: Option<Timestamp>,
}

/// All of them.
pub struct Events {
    /// Where they are.
    pub found: Found,
    /// How their moments are written; none where there is no event.
    pub format: Option<TimeFormat>,
    /// By what the events call an account, in lower case.
    pub accounts: HashMap<String, Tally>,
    /// Logins within the period.
    pub succeeded: u64,
    /// Failed ones.
    pub failed: u64,
    /// Failed ones by user.
    pub by_user: Failures,
    /// Failed ones by address.
    pub by_address: Failures,
    /// Events without a user or a moment, and those of users for which there was no room.
    pub left_out: u64,
}

/// One event that counts.
struct Event {
    user: Option<String>,
    address: Option<String>,
    at: Timestamp,
    login: Login,
}

impl Events {
    /// Reads them all; `None` where there are none, or where it cannot be told when they were.
    pub fn read(scene: &Scene<'_>) -> anyhow::Result<Option<Self>> {
        let Some(found) = scene.table(&LOGINS)? else {
            return Ok(None);
        };
        let Some(format) = scene.format(&found, "time")? else {
            return Ok(None);
        };
        let mut events = Self {
            found,
            format,
            accounts: HashMap::new(),
            succeeded: 0,
            failed: 0,
            by_user: Failures::default(),
            by_address: Failures::default(),
            left_out: 0,
        };
        let found = events.found.clone();
        scan(scene, &found, format, |event| {
            events.add(event, scene.since)
        })?;
        Ok(Some(events))
    }

    /// True for what an event calls an account.
    pub fn knows(&self, word: &str) -> bool {
        self.accounts.contains_key(word) || self.by_user.knows(word)
    }

    fn add(&mut self, event: Option<Event>, since: Timestamp) {
        let Some(event) = event else {
            self.left_out += 1;
            return;
        };
        let recent = event.at >= since;
        match event.login {
            Login::Other => {}
            Login::Failed if recent => {
                self.failed += 1;
                if let Some(user) = &event.user {
                    self.by_user.add(user, event.at);
                }
                if let Some(address) = &event.address {
                    self.by_address.add(address, event.at);
                }
            }
            Login::Failed => {}
            Login::Succeeded => {
                self.succeeded += u64::from(recent);
                let Some(user) = event.user else {
                    self.left_out += 1;
                    return;
                };
                if self.accounts.len() >= MOST && !self.accounts.contains_key(&user) {
                    self.left_out += 1;
                    return;
                }
                let tally = self.accounts.entry(user).or_default();
                tally.logins += u64::from(recent);
                tally.last = tally.last.max(Some(event.at));
            }
        }
    }

    /// Which of these bursts were followed by a login of the same user, or from the same address: when.
    pub fn succeeded_after(
        &self,
        scene: &Scene<'_>,
        users: &BTreeMap<&str, &Burst>,
        addresses: &BTreeMap<&str, &Burst>,
    ) -> anyhow::Result<(BTreeMap<String, Timestamp>, BTreeMap<String, Timestamp>)> {
        let (mut by_user, mut by_address) = (BTreeMap::new(), BTreeMap::new());
        if users.is_empty() && addresses.is_empty() {
            return Ok((by_user, by_address));
        }
        let within = |burst: &Burst, at: Timestamp| {
            let mut starts = burst.starts.iter();
            starts.any(|&from| at >= from && at <= from + AFTER)
        };
        scan(scene, &self.found, self.format, |event| {
            let Some(event) = event.filter(|event| event.login == Login::Succeeded) else {
                return;
            };
            for (subject, bursts, found) in [
                (&event.user, users, &mut by_user),
                (&event.address, addresses, &mut by_address),
            ] {
                let Some(subject) = subject else { continue };
                if bursts
                    .get(subject.as_str())
                    .is_some_and(|burst| within(burst, event.at))
                {
                    let first = found.entry(subject.clone()).or_insert(event.at);
                    *first = event.at.min(*first);
                }
            }
        })?;
        Ok((by_user, by_address))
    }
}

/// Hands over each event; `None` for one without a moment.
fn scan(
    scene: &Scene<'_>,
    found: &Found,
    format: Option<TimeFormat>,
    mut each: impl FnMut(Option<Event>),
) -> anyhow::Result<()> {
    let wanted = ["user", "time", "result", "address"].map(|what| found.short(what));
    let result = found.column("result");
    scroll(
        scene.live,
        &found.table,
        &wanted,
        scene.path,
        scene.stop,
        |row| {
            each(match scene.moment(format, row.get_ref(1)?) {
                None => None,
                Some(at) => Some(Event {
                    user: values::word(row.get_ref(0)?).map(|user| user.to_lowercase()),
                    address: values::word(row.get_ref(3)?),
                    login: values::login(result, row.get_ref(2)?),
                    at,
                }),
            });
            Ok(())
        },
    )
}

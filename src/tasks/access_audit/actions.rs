//! What administrators did, and when: the newest, the number of each actor, and what was done outside working hours.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use super::scene::Scene;
use super::tables::{ACTIONS, Found};
use super::values;
use crate::config::sections::WorkingHours;
use crate::sqlite::scroll;
use crate::text;

/// The newest that are kept, of all and of those outside working hours.
const NEWEST: usize = 50;
const MOST_ACTORS: usize = 10_000;

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Action {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who, as the account is called.
    pub actor: Option<String>,
    /// Its kind.
    pub kind: String,
    /// What was done, where the table says.
    pub what: Option<String>,
    /// Not within `[access_audit] working_hours`.
    pub outside_hours: bool,
}

/// All of the period.
pub struct Actions {
    /// Where they are.
    pub found: Found,
    /// How many.
    pub total: u64,
    /// How many were outside working hours.
    pub outside: u64,
    /// The newest.
    pub newest: BTreeSet<Action>,
    /// The newest outside working hours.
    pub newest_outside: BTreeSet<Action>,
    /// By what the table calls an actor.
    pub actors: HashMap<String, u64>,
}

impl Actions {
    /// Reads them; `None` where there are none, or where it cannot be told when they were.
    pub fn read(
        scene: &Scene<'_>,
        hours: WorkingHours,
        zone: &TimeZone,
    ) -> anyhow::Result<Option<Self>> {
        let Some(found) = scene.table(&ACTIONS)? else {
            return Ok(None);
        };
        let Some(format) = scene.format(&found, "time")? else {
            return Ok(None);
        };
        let patterns: Vec<_> = scene
            .settings
            .admin_actions
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        let all = found.table.to_ascii_lowercase().contains("admin");
        let mut actions = Self {
            found: found.clone(),
            total: 0,
            outside: 0,
            newest: BTreeSet::new(),
            newest_outside: BTreeSet::new(),
            actors: HashMap::new(),
        };
        let wanted = ["time", "actor", "kind", "what"].map(|what| found.short(what));
        scroll(
            scene.live,
            &found.table,
            &wanted,
            scene.path,
            scene.stop,
            |row| {
                let kind = values::word(row.get_ref(2)?).unwrap_or_default();
                let lower = kind.to_ascii_lowercase();
                if !all && !patterns.iter().any(|pattern| text::fits(pattern, &lower)) {
                    return Ok(());
                }
                let value = row.get_ref(0)?;
                let at = scene.moment(format, value);
                let Some(at) = at.filter(|at| *at >= scene.since) else {
                    return Ok(());
                };
                actions.add(Action {
                    at,
                    actor: values::word(row.get_ref(1)?),
                    kind,
                    what: values::word(row.get_ref(3)?),
                    outside_hours: !within(hours, at, zone),
                });
                Ok(())
            },
        )?;
        Ok(Some(actions))
    }

    fn add(&mut self, action: Action) {
        self.total += 1;
        if let Some(actor) = &action.actor
            && (self.actors.len() < MOST_ACTORS || self.actors.contains_key(actor))
        {
            *self.actors.entry(actor.clone()).or_default() += 1;
        }
        if action.outside_hours {
            self.outside += 1;
            keep(&mut self.newest_outside, action.clone());
        }
        keep(&mut self.newest, action);
    }

    /// Actors by the number of their actions, the most first, called by their names.
    pub fn by_actor(&self, names: &BTreeMap<String, String>) -> Vec<(String, u64)> {
        let mut found: Vec<_> = self
            .actors
            .iter()
            .map(|(actor, number)| (names.get(actor).unwrap_or(actor).clone(), *number))
            .collect();
        found.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        found
    }
}

fn keep(newest: &mut BTreeSet<Action>, action: Action) {
    newest.insert(action);
    if newest.len() > NEWEST {
        newest.pop_first();
    }
}

fn within(hours: WorkingHours, at: Timestamp, zone: &TimeZone) -> bool {
    let local = at.to_zoned(zone.clone());
    let day = u8::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
    let minute =
        u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
    hours.hold(day, minute)
}

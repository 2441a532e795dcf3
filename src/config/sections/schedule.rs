//! `[schedule]`: the calendar.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Section;
use crate::config::When;

/// The calendar that days, weeks and months follow. Cron knows the system's time zone only: keep it, where cron runs the tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// an IANA time zone; default: the system's
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known_zone"
    )]
    #[schemars(example = &"Europe/Berlin")]
    pub timezone: Option<String>,
    /// when a line of the plan is due, where it is not the plan's own time: names from `schedule show`, times such as "03:07", "mon 01:11", "second mon 04:13", "jan,jul first mon 09:00", "every 6h :41", "every 5m", "off"; afterwards install the output of `schedule crontab` or `schedule systemd` again
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "known_lines"
    )]
    #[schemars(example = example_times())]
    pub at: BTreeMap<String, When>,
}

fn example_times() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("backup", "03:07"), ("verify-backup", "wed 10:11")])
}

/// The lines of the plan by name, in its order; a test of the calendar keeps the two the same.
const NAMES: &[&str] = &[
    "health",
    "rotate-logs",
    "backup",
    "verify-all",
    "offsite",
    "cache-clean",
    "optimize-db",
    "audit",
    "perf-report",
    "verify-backup",
    "deps",
    "review-weekly",
    "review-monthly",
    "certs",
    "data-clean",
    "access-audit",
    "query-review",
    "capacity",
    "review-quarterly",
    "dr-drill",
    "vulnerabilities",
    "compliance",
    "stack-review",
    "review-annual",
    "recovery-plan",
    "infrastructure",
    "health-light",
    "alerts-flush",
    "gpu",
    "gpu-balance",
    "rag-clean",
    "rag-index",
    "rag-eval",
    "runbooks",
    "documentation",
    "training",
];

/// The names that `[schedule.at]` takes.
pub fn schedule_names() -> &'static [&'static str] {
    NAMES
}

fn known_lines<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, When>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = BTreeMap<String, When>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("lines of the plan with their times, as in backup = \"03:07\"")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if !NAMES.contains(&name.as_str()) {
                    return Err(de::Error::unknown_field(&name, NAMES));
                }
                found.insert(name, map.next_value()?);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_map(Visitor)
}

fn known_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name)
        .map_err(|_| de::Error::custom(format!("'{name}' is not a known time zone")))?;
    Ok(Some(name))
}

/// What every run needs of `[schedule]`: the zone. A typo in the times of a line is no reason not to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Zone {
    /// as in [schedule]
    #[serde(deserialize_with = "known_zone")]
    timezone: Option<String>,
}

impl Zone {
    /// The zone in force.
    pub fn zone(&self) -> TimeZone {
        self.timezone
            .as_deref()
            .and_then(|name| TimeZone::get(name).ok())
            .unwrap_or_else(TimeZone::system)
    }
}

impl Section for Schedule {
    const NAME: &'static str = "schedule";
}

impl Section for Zone {
    const NAME: &'static str = Schedule::NAME;
}

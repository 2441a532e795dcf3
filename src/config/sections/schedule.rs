//! `[schedule]`: the calendar.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Section;

/// The calendar that days, weeks and months follow.
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
}

fn known_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name)
        .map_err(|_| de::Error::custom(format!("'{name}' is not a known time zone")))?;
    Ok(Some(name))
}

impl Schedule {
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

//! `[access_audit]`: where accounts, logins and actions are written down, and from when on they need a look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::config::Config;
use crate::error::{self, Failure};
use crate::units::{CalendarSpan, Length};

/// Accounts, logins and actions: from when on they need a look. What is not named is found by the usual names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessAudit {
    /// the [[database]] that holds them; default: the first
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"app_db")]
    pub database: Option<String>,
    /// how far back logins and actions are looked at
    pub period: CalendarSpan,
    /// an account without a login for so long is idle
    pub idle_after: CalendarSpan,
    /// so many failed logins of one user or address within burst_within are a burst
    pub burst: u64,
    /// at least a minute
    pub burst_within: Length,
    /// values of the admin column that make an administrator
    pub admin_values: Vec<String>,
    /// kinds of actions that only administrators take; * stands for any text
    pub admin_actions: Vec<String>,
    /// what is done outside is listed, in [schedule] timezone
    pub working_hours: String,
    /// mon, tue, wed, thu, fri, sat, sun
    pub working_days: Vec<String>,
    /// the table of accounts and its columns
    pub users: UserTable,
    /// the table of login events and its columns
    pub logins: LoginTable,
    /// the table of actions and its columns
    pub actions: ActionTable,
}

/// The table of accounts and its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserTable {
    /// its name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"users")]
    pub table: Option<String>,
    /// what other tables call an account by
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"id")]
    pub id: Option<String>,
    /// what people call it by
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"username")]
    pub name: Option<String>,
    /// when it last logged in
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"last_login")]
    pub last_login: Option<String>,
    /// when it was made
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"created_at")]
    pub created: Option<String>,
    /// a role, or whether it is an administrator
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"role")]
    pub admin: Option<String>,
    /// a status, or whether it is active or disabled
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"status")]
    pub status: Option<String>,
}

/// The table of login events and its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginTable {
    /// its name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"login_events")]
    pub table: Option<String>,
    /// the account, by id or name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"user_id")]
    pub user: Option<String>,
    /// when
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"created_at")]
    pub time: Option<String>,
    /// whether it succeeded, or what happened
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"success")]
    pub result: Option<String>,
    /// from where
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ip")]
    pub address: Option<String>,
}

/// The table of actions and its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ActionTable {
    /// its name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"audit_log")]
    pub table: Option<String>,
    /// when
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"timestamp")]
    pub time: Option<String>,
    /// who, by id or name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"actor")]
    pub actor: Option<String>,
    /// the kind that admin_actions is compared with
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"action_type")]
    pub kind: Option<String>,
    /// what was done, in words
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"action")]
    pub what: Option<String>,
}

impl Default for AccessAudit {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            database: None,
            period: CalendarSpan::days(30),
            idle_after: CalendarSpan::days(90),
            burst: 10,
            burst_within: Length::from_millis(600_000),
            admin_values: words(&[
                "admin",
                "administrator",
                "superadmin",
                "superuser",
                "root",
                "owner",
            ]),
            admin_actions: words(&["admin", "admin.*", "admin_*", "admin:*"]),
            working_hours: "08:00-18:00".into(),
            working_days: words(&["mon", "tue", "wed", "thu", "fri"]),
            users: UserTable::default(),
            logins: LoginTable::default(),
            actions: ActionTable::default(),
        }
    }
}

/// When people work: minutes of a day, and days of the week from Monday on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingHours {
    /// From this minute of a day.
    pub from: u16,
    /// Up to, and without, this minute.
    pub to: u16,
    /// A bit each, Monday the lowest.
    pub days: u8,
}

impl WorkingHours {
    /// True at this minute of this day (Monday is 0).
    pub fn hold(&self, day: u8, minute: u16) -> bool {
        self.days & (1 << day) != 0 && (self.from..self.to).contains(&minute)
    }
}

impl AccessAudit {
    /// True where it names a database, a table or a column: somebody says that they are there.
    pub fn names_any(&self) -> bool {
        self.database.is_some()
            || self.users != UserTable::default()
            || self.logins != LoginTable::default()
            || self.actions != ActionTable::default()
    }

    /// `working_hours` and `working_days`, read.
    pub fn working(&self) -> Result<WorkingHours, Failure> {
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let time = |text: &str| -> Option<u16> {
            let (hours, minutes) = text.trim().split_once(':')?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = hours * 60 + minutes;
            (hours <= 24 && minutes < 60 && total <= 24 * 60).then_some(total)
        };
        let span = self.working_hours.split_once('-');
        let span = span.and_then(|(from, to)| Some((time(from)?, time(to)?)));
        let (from, to) = span.filter(|(from, to)| from < to).ok_or_else(|| {
            error::config(format!(
                "[access_audit] working_hours = \"{}\" is no span of a day",
                self.working_hours
            ))
            .hint("as in \"08:00-18:00\"")
        })?;
        let mut days = 0;
        for word in &self.working_days {
            let day = DAYS.iter().position(|day| day == word).ok_or_else(|| {
                error::config(format!("[access_audit] working_days has '{word}'"))
                    .hint(DAYS.join(", "))
            })?;
            days |= 1 << day;
        }
        Ok(WorkingHours { from, to, days })
    }
}

impl Section for AccessAudit {
    const NAME: &'static str = "access_audit";

    fn check(&self) -> Result<(), Failure> {
        if self.burst < 2 {
            return Err(error::config("[access_audit] burst is less than 2"));
        }
        let within = self.burst_within.0.as_secs();
        if !(60..=86_400).contains(&within) {
            return Err(error::config(format!(
                "[access_audit] burst_within = \"{}\" is not from 1m to 1d",
                self.burst_within
            )));
        }
        self.working().map(|_| ())
    }

    fn review(&self, config: &Config) -> Result<(), Failure> {
        match &self.database {
            Some(name) => config.require_database(Self::NAME, &["database"], name),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_hours_are_read() {
        let hours = AccessAudit::default().working().expect("reads");
        assert!(hours.hold(0, 8 * 60) && hours.hold(4, 17 * 60 + 59));
        assert!(!hours.hold(0, 18 * 60) && !hours.hold(5, 9 * 60) && !hours.hold(6, 9 * 60));
        for wrong in [
            "working_hours = \"18:00-08:00\"",
            "working_hours = \"always\"",
            "working_hours = \"08:00-24:01\"",
            "working_days = [\"monday\"]",
            "burst = 1",
            "burst_within = \"5s\"",
        ] {
            let section: AccessAudit = toml::from_str(wrong).expect(wrong);
            assert!(section.check().is_err(), "{wrong}");
        }
    }
}

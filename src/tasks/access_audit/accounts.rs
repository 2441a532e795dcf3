//! The accounts: who is active, who is idle, who is an administrator.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::actions::Actions;
use super::called::{Called, Calls, calls};
use super::events::{Events, Tally};
use super::scene::Scene;
use super::tables::USERS;
use super::values;
use crate::sqlite::scroll;

/// Accounts of each list that are kept.
pub const LISTED: usize = 1_000;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Account {
    /// What it is known by from run to run: a name may be given to another.
    #[serde(skip)]
    pub key: String,
    /// What people call it by.
    pub name: String,
    /// Logins within the period; null where nothing counts them.
    pub logins: Option<u64>,
    /// The last one that is known of.
    #[schemars(with = "Option<String>")]
    pub last_login: Option<Timestamp>,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub created: Option<Timestamp>,
    /// It is an administrator.
    pub admin: bool,
}

/// All of them.
pub struct Accounts {
    /// The table.
    pub table: String,
    /// It says who is an administrator.
    pub knows_admins: bool,
    /// It, or the login events, say when somebody logged in.
    pub knows_logins: bool,
    /// All rows.
    pub total: u64,
    /// Of them, those that nobody can use any more.
    pub disabled: u64,
    /// Those with a login within the period.
    pub active: u64,
    /// Those without one for too long.
    pub idle: u64,
    /// Of them, those that never had one.
    pub never: u64,
    /// The active ones, the busiest first.
    pub listed_active: Vec<Account>,
    /// The idle ones, the longest first.
    pub listed_idle: Vec<Account>,
    /// Administrators that are not disabled.
    pub admins: Vec<Account>,
    /// There were more administrators than are kept.
    pub too_many_admins: bool,
    /// What login events call them.
    pub users: Called,
    /// What actions call them.
    pub actors: Called,
    /// Actors that are accounts and no administrators.
    pub actors_without_right: Vec<String>,
    /// Actors by their names in lower case, as far as no account was found for them.
    pub strangers: BTreeMap<String, Vec<String>>,
}

impl Accounts {
    /// Reads them all; `None` where there is no such table.
    pub fn read(
        scene: &Scene<'_>,
        events: Option<&Events>,
        actions: Option<&Actions>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(found) = scene.table(&USERS)? else {
            return Ok(None);
        };
        // A column whose moments cannot be told is none.
        let last_login = scene.format(&found, "last_login")?.flatten();
        let created = scene.format(&found, "created")?.flatten();
        let mut all = Self {
            table: found.table.clone(),
            knows_admins: found.column("admin").is_some() || found.column("admin_flag").is_some(),
            knows_logins: last_login.is_some()
                || events.is_some_and(|events| !events.accounts.is_empty()),
            total: 0,
            disabled: 0,
            active: 0,
            idle: 0,
            never: 0,
            listed_active: Vec::new(),
            listed_idle: Vec::new(),
            admins: Vec::new(),
            too_many_admins: false,
            users: Called::by(events.map(|events| &events.found), "user", &found),
            actors: Called::by(actions.map(|actions| &actions.found), "actor", &found),
            actors_without_right: Vec::new(),
            strangers: BTreeMap::new(),
        };
        for actor in actions.iter().flat_map(|actions| actions.actors.keys()) {
            let called = all.strangers.entry(actor.to_lowercase()).or_default();
            called.push(actor.clone());
        }
        let wanted = [
            "id",
            "name",
            "email",
            "last_login",
            "created",
            "admin",
            "status",
            "admin_flag",
        ]
        .map(|what| found.short(what));
        let column = |what: &str| found.column(what).unwrap_or_default().to_owned();
        let (admin, status) = (column("admin"), column("status"));
        // One that the configuration names says it alone.
        let flag = match scene.settings.users.admin {
            Some(_) => String::new(),
            None => column("admin_flag"),
        };
        let (live, table, path) = (scene.live, &found.table, scene.path);
        scroll(live, table, &wanted[..3], path, scene.stop, |row| {
            let calls = calls(row)?;
            let in_events = |word: &str| events.is_some_and(|events| events.knows(word));
            all.users.note(&calls, in_events);
            let strangers = &all.strangers;
            all.actors.note(&calls, |word| strangers.contains_key(word));
            Ok(())
        })?;
        scroll(
            scene.live,
            &found.table,
            &wanted,
            scene.path,
            scene.stop,
            |row| {
                let id = values::word(row.get_ref(0)?);
                let name = values::word(row.get_ref(1)?)
                    .or_else(|| id.as_ref().map(|id| format!("account {id}")))
                    .unwrap_or_else(|| "an account without a name".to_owned());
                let seen = scene.moment(last_login, row.get_ref(3)?);
                let calls = calls(row)?;
                let tally = events.map(|events| tally(events, &all.users.words(&calls)));
                let roles = &scene.settings.admin_values;
                let account = Account {
                    key: match &id {
                        Some(id) => format!("id {id}"),
                        None => format!("name {name}"),
                    },
                    logins: tally.map(|tally| tally.logins),
                    last_login: seen.max(tally.and_then(|tally| tally.last)),
                    created: scene.moment(created, row.get_ref(4)?),
                    admin: values::is_admin(&admin, row.get_ref(5)?, roles)
                        || (!flag.is_empty() && values::is_admin(&flag, row.get_ref(7)?, roles)),
                    name,
                };
                let disabled = !status.is_empty() && values::is_disabled(&status, row.get_ref(6)?);
                all.note_names(&calls, &account);
                all.add(account, disabled, scene);
                Ok(())
            },
        )?;
        all.order(usize::MAX);
        Ok(Some(all))
    }

    fn add(&mut self, account: Account, disabled: bool, scene: &Scene<'_>) {
        self.total += 1;
        if disabled {
            self.disabled += 1;
            return;
        }
        if account.admin {
            match self.admins.len() < LISTED {
                true => self.admins.push(account.clone()),
                false => self.too_many_admins = true,
            }
        }
        if account.last_login.is_some_and(|at| at >= scene.since) {
            self.active += 1;
            self.listed_active.push(account.clone());
        }
        if self.knows_logins && account.is_idle(scene.idle_since) {
            self.idle += 1;
            self.never += u64::from(account.last_login.is_none());
            self.listed_idle.push(account);
        }
        self.order(LISTED * 4);
    }

    /// Sorts the lists and cuts them, once they are longer than `most`, or at the end.
    fn order(&mut self, most: usize) {
        let over = |list: &Vec<Account>| most == usize::MAX || list.len() > most;
        if over(&self.listed_active) {
            self.listed_active
                .sort_by_key(|one| (Reverse(one.logins), Reverse(one.last_login)));
            self.listed_active.truncate(LISTED);
        }
        if over(&self.listed_idle) {
            self.listed_idle.sort_by_key(|one| one.last_login);
            self.listed_idle.truncate(LISTED);
        }
    }

    /// Remembers what the other tables call this account, where they do, and whether it may do what it did.
    fn note_names(&mut self, calls: &Calls, account: &Account) {
        for word in self.users.words(calls) {
            let names = &mut self.users.names;
            names.insert(word.to_owned(), account.name.clone());
        }
        let mut acted = false;
        for word in self.actors.words(calls) {
            for actor in self.strangers.remove(word).unwrap_or_default() {
                acted = true;
                self.actors.names.insert(actor, account.name.clone());
            }
        }
        if acted && self.knows_admins && !account.admin && self.actors_without_right.len() < LISTED
        {
            self.actors_without_right.push(account.name.clone());
        }
    }
}

impl Account {
    /// No login since then. One that is younger than that and was never used is only new.
    pub fn is_idle(&self, since: Timestamp) -> bool {
        match self.last_login {
            Some(at) => at < since,
            None => self.created.is_none_or(|at| at < since),
        }
    }
}

fn tally(events: &Events, words: &[&str]) -> Tally {
    let found = words.iter().find_map(|word| events.accounts.get(*word));
    found.copied().unwrap_or_default()
}
